/* Products of F32 weights by OpenBLAS, for engines whose options give up exact results. It is looked for at run time: who does
 * not ask for it does not load it. */
#include <dlfcn.h>
#include <limits.h>
#include <string.h>

#include "backend/cpu/backend.h"
#include "kernels/cpu/pack.h"

/* As in cblas.h, which is not needed to build. */
enum { ROW_MAJOR = 101, NO_TRANS = 111, OWN_THREADS = 1 /* of openblas_get_parallel: neither none nor OpenMP's */ };

/* What a call of sgemm multiplies with: up to UNIT_TILES tiles, BLOCK_COLS columns at a time, brought from tiles to a row-major
 * matrix of 512 KiB, which with OpenBLAS's own copies stays in a second-level cache. */
enum { UNIT_TILES = 32, BLOCK_COLS = 256 };

/* From how many rows on, and tiles a thread, sgemm with all that copying is faster than the tier's own kernels: never where
 * these have AVX-512, nearly always where they are portable C. */
typedef struct worth {
    uint32_t rows, tiles;
} worth;

static const worth worth_of_tier[LLMC_TIERS] = {
    [LLMC_TIER_C] = {8, 1},
    [LLMC_TIER_AVX2] = {512, 16},
    [LLMC_TIER_AVXVNNI] = {512, 16},
};

static llmcall_status refuse(llmcall_error *error, const char *name, const char *why) {
    return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, "inexact",
                     "inexact needs OpenBLAS with threads of its own, but %.64s %.200s; install it (on Debian and Ubuntu: "
                     "libopenblas0-pthread) or leave inexact 0.",
                     name, why);
}

static llmcall_status find_functions(llmc_cpu_blas *blas, const char *name, llmcall_error *error) {
    int (*parallel)(void) = (int (*)(void))dlsym(blas->library, "openblas_get_parallel");
    char *(*config)(void) = (char *(*)(void))dlsym(blas->library, "openblas_get_config");
    void (*set_threads)(int) = (void (*)(int))dlsym(blas->library, "openblas_set_num_threads");
    blas->sgemm = (llmc_sgemm)dlsym(blas->library, "cblas_sgemm");
    if (!parallel || !config || !set_threads || !blas->sgemm) return refuse(error, name, "is something else");
    if (parallel() != OWN_THREADS || strstr(config(), "USE64BITINT")) return refuse(error, name, "is another build of it");
    set_threads(1);
    return LLMCALL_OK;
}

llmcall_status llmc_cpu_backend_inexact(llmc_backend *base, const char *library, llmcall_error *error) {
    llmc_cpu_backend *backend = (llmc_cpu_backend *)base;
    const char *name = library ? library : "libopenblas.so.0";
    if (worth_of_tier[backend->tier].rows == 0) return LLMCALL_OK;
    llmc_cpu_blas blas = {.library = dlopen(name, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE)}; /* its threads need its code */
    if (!blas.library) return refuse(error, name, "cannot be loaded");
    llmcall_status status = find_functions(&blas, name, error);
    if (status) llmc_cpu_blas_close(&blas);
    else backend->blas = blas;
    return status;
}

void llmc_cpu_blas_close(llmc_cpu_blas *blas) {
    if (blas->library) dlclose(blas->library);
    *blas = (llmc_cpu_blas){0};
}

size_t llmc_cpu_blas_scratch_bytes(const llmc_cpu_backend *backend) {
    return backend->blas.sgemm ? sizeof(float) * UNIT_TILES * LLMC_TILE_ROWS * BLOCK_COLS : 0;
}

uint32_t llmc_cpu_blas_tiles(const llmc_cpu_thread *thread, const llmc_packed *packed, uint32_t n_rows) {
    const llmc_cpu_backend *backend = thread->backend;
    worth least = worth_of_tier[backend->tier];
    uint32_t n_tiles = packed->rows / LLMC_TILE_ROWS, a_thread = n_tiles / (uint32_t)thread->n_threads;
    if (!backend->blas.sgemm || packed->type != LLMC_PACK_F32 || backend->matmul.f32.form != LLMC_ACT_F32) return 0;
    if (n_rows < least.rows || n_rows > INT_MAX || packed->rows > INT_MAX || packed->cols == 0) return 0;
    return a_thread < least.tiles ? 0 : llmc_cpu_min(a_thread, UNIT_TILES);
}

/* Columns [first, first + n) of n_tiles tiles as a matrix (n, 16 * n_tiles). */
static void copy_columns(const llmc_packed *packed, uint32_t tile, uint32_t n_tiles, uint32_t first, uint32_t n, float *to) {
    const size_t width = (size_t)n_tiles * LLMC_TILE_ROWS;
    for (uint32_t t = 0; t < n_tiles; t++, to += LLMC_TILE_ROWS) {
        const float *from = (const float *)(const void *)(packed->data + (tile + t) * packed->tile_bytes);
        from += (size_t)first * LLMC_TILE_ROWS;
        for (uint32_t c = 0; c < n; c++)
            memcpy(to + c * width, from + (size_t)c * LLMC_TILE_ROWS, sizeof(float[LLMC_TILE_ROWS]));
    }
}

void llmc_cpu_blas_multiply(const llmc_cpu_thread *thread, const llmc_packed *packed, const float *act, uint32_t n_rows,
                            uint32_t tile_begin, uint32_t tile_end, float *dst, const float *bias, int accumulate) {
    float *weights = thread->tile;
    uint32_t n_tiles = tile_end - tile_begin, first_output = tile_begin * LLMC_TILE_ROWS;
    uint32_t n_outputs = llmc_cpu_min(n_tiles * LLMC_TILE_ROWS, packed->rows - first_output);
    int act_stride = (int)(llmc_act_row_bytes(LLMC_ACT_F32, packed->cols) / sizeof(float));
    dst += first_output;
    for (uint32_t col = 0, n; col < packed->cols; col += n) {
        n = llmc_cpu_min(BLOCK_COLS, packed->cols - col);
        copy_columns(packed, tile_begin, n_tiles, col, n, weights);
        thread->backend->blas.sgemm(ROW_MAJOR, NO_TRANS, NO_TRANS, (int)n_rows, (int)n_outputs, (int)n, 1, act + col,
                                    act_stride, weights, (int)(n_tiles * LLMC_TILE_ROWS), accumulate || col ? 1 : 0, dst,
                                    (int)packed->rows);
    }
    for (uint32_t row = 0; bias && row < n_rows; row++, dst += packed->rows) {
        for (uint32_t o = 0; o < n_outputs; o++) dst[o] += bias[first_output + o];
    }
}
