/* The matrix product of BF16 and F16 weights with AMX's products of bfloat16. An F16 weight is the sum of two bfloat16 exactly,
 * and an activation is one to 16 bits; of the four products of parts, that of the low ones, below 2^-15 of the whole, is left
 * out. An element's sum takes 32 columns after 32 columns, from the first to the last, however rows and tiles are grouped. Few
 * rows are multiplied with AVX-512 by the operations that AMX is defined by, and so to the same bits. */
#include "kernels/cpu/x86/avx512_product.h"
#include "kernels/cpu/x86/tile_stream.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

/* Registers: 0..3 are sums (2 * half of the rows + tile), 4 and 5 activations, 6 and 7 weights. As assembly, since some
 * compilers' intrinsics do not say that they read and write memory. */
#define TILE_ZERO(c) __asm__ volatile("tilezero %%tmm" #c ::)
#define TILE_LOAD(n, at, stride)                                                                                               \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #n ::"r"((const void *)(at)), "r"((size_t)(stride)) : "memory")
#define TILE_STORE(n, at) __asm__ volatile("tilestored %%tmm" #n ", (%0,%1,1)" ::"r"((void *)(at)), "r"((size_t)64) : "memory")
#define TILE_DOT(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)

enum {
    STEP_COLS = 32,    /* of a product of tiles */
    STEP_BYTES = 64,   /* of a row of activations */
    TILE_BYTES = 1024, /* of a register: 16 rows of 64 bytes */
    HALF_ROWS = 16,
    GROUP_ROWS = 32,  /* of a kernel */
    BLOCK_ROWS = 128, /* that share a chunk of weights */
    CHUNK_STEPS = 8,  /* stay in the first-level cache while a block's rows pass */
    SPLIT_STEPS = 4,  /* the same, of weights split in two */
    AHEAD_STEPS = 8   /* at which lines of weights are asked for */
};

/* What LLMC_AMX_FLOAT_SCRATCH holds. */
typedef struct amx_scratch {
    float sums[BLOCK_ROWS / GROUP_ROWS][4][HALF_ROWS][LLMC_TILE_ROWS];
    uint8_t high[2][CHUNK_STEPS][TILE_BYTES]; /* of weights, by tile; also the last columns' with zeros after them */
    uint8_t low[2][CHUNK_STEPS][TILE_BYTES];
} amx_scratch;

_Static_assert(sizeof(amx_scratch) <= LLMC_AMX_FLOAT_SCRATCH, "scratch");

/* A chunk of columns of two neighbouring tiles, and the rows of a kernel. */
typedef struct chunk {
    const uint8_t *act;         /* of the first row and column */
    size_t act_stride, act_low; /* act_low: from a row's high parts to its low ones */
    const uint8_t *high, *low;  /* weights: n_steps registers each */
    size_t high_tile;           /* from one tile's to the other's; those of low are at CHUNK_STEPS * TILE_BYTES */
    const uint8_t *ahead;       /* lines to fetch, as far as those of high; NULL: none */
    uint32_t n_steps;
    int is_first;
    float *sums;
} chunk;

typedef struct __attribute__((aligned(64))) tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t col_bytes[16];
    uint8_t rows[16];
} tile_config;

/* For n rows; registers that take none stay unused. */
static void configure(uint32_t n_rows) {
    tile_config config = {.palette = 1};
    uint8_t halves[2] = {(uint8_t)(n_rows < HALF_ROWS ? n_rows : HALF_ROWS), 0};
    halves[1] = (uint8_t)(n_rows - halves[0]);
    for (int i = 0; i < 8; i++) {
        config.rows[i] = i < 4 ? halves[i / 2] : i < 6 ? halves[i - 4] : 16;
        config.col_bytes[i] = config.rows[i] ? 64 : 0;
    }
    __asm__ volatile("ldtilecfg %0" ::"m"(config));
}

INLINE void load_sums(const chunk *k, const int halves, const int tiles) {
    const uint8_t *sums = (const uint8_t *)k->sums;
    if (k->is_first) {
        TILE_ZERO(0);
        if (tiles > 1) TILE_ZERO(1);
        if (halves > 1) TILE_ZERO(2);
        if (halves > 1 && tiles > 1) TILE_ZERO(3);
        return;
    }
    TILE_LOAD(0, sums, 64);
    if (tiles > 1) TILE_LOAD(1, sums + TILE_BYTES, 64);
    if (halves > 1) TILE_LOAD(2, sums + 2 * TILE_BYTES, 64);
    if (halves > 1 && tiles > 1) TILE_LOAD(3, sums + 3 * TILE_BYTES, 64);
}

INLINE void store_sums(const chunk *k, const int halves, const int tiles) {
    uint8_t *sums = (uint8_t *)k->sums;
    TILE_STORE(0, sums);
    if (tiles > 1) TILE_STORE(1, sums + TILE_BYTES);
    if (halves > 1) TILE_STORE(2, sums + 2 * TILE_BYTES);
    if (halves > 1 && tiles > 1) TILE_STORE(3, sums + 3 * TILE_BYTES);
}

/* Loads stand as late as they can: a register takes its next value only when the product before has read it. */
INLINE void multiply(const uint8_t *act, size_t act_stride, const uint8_t *w, size_t tile_stride, const int halves,
                     const int tiles) {
    TILE_LOAD(6, w, 64);
    TILE_LOAD(4, act, act_stride);
    TILE_DOT(0, 4, 6);
    if (tiles > 1) TILE_LOAD(7, w + tile_stride, 64);
    if (tiles > 1) TILE_DOT(1, 4, 7);
    if (halves == 1) return;
    TILE_LOAD(5, act + HALF_ROWS * act_stride, act_stride);
    TILE_DOT(2, 5, 6);
    if (tiles > 1) TILE_DOT(3, 5, 7);
}

INLINE void fetch_step(const chunk *k, const int tiles, uint32_t step) {
    UNROLL for (int t = 0; t < tiles; t++) prefetch_lines(k->ahead + (size_t)t * k->high_tile + step * TILE_BYTES, TILE_BYTES);
}

INLINE void add_chunk(const chunk *k, const int halves, const int tiles, const int split) {
    const size_t low_tile = CHUNK_STEPS * TILE_BYTES, stride = k->act_stride, high_tile = k->high_tile;
    const uint8_t *act = k->act, *high = k->high, *low = k->low;
    load_sums(k, halves, tiles);
    for (uint32_t s = 0; s < k->n_steps; s++, act += STEP_BYTES, high += TILE_BYTES) {
        if (split) {
            multiply(act, stride, low, low_tile, halves, tiles);
            low += TILE_BYTES;
        }
        multiply(act, stride, high, high_tile, halves, tiles);
        if (split) multiply(act + k->act_low, stride, high, high_tile, halves, tiles);
        else if (k->ahead) fetch_step(k, tiles, s);
    }
    store_sums(k, halves, tiles);
}

#define ADD_CHUNK(halves, tiles, split)                                                                                        \
    static void add_##halves##x##tiles##_##split(const chunk *k) {                                                             \
        add_chunk(k, halves, tiles, split);                                                                                    \
    }
ADD_CHUNK(1, 1, 0)
ADD_CHUNK(1, 2, 0)
ADD_CHUNK(2, 1, 0)
ADD_CHUNK(2, 2, 0)
ADD_CHUNK(1, 1, 1)
ADD_CHUNK(1, 2, 1)
ADD_CHUNK(2, 1, 1)
ADD_CHUNK(2, 2, 1)

typedef void (*chunk_kernel)(const chunk *k);
static const chunk_kernel chunk_kernels[2][2][2] = {{{add_1x1_0, add_1x2_0}, {add_2x1_0, add_2x2_0}},
                                                    {{add_1x1_1, add_1x2_1}, {add_2x1_1, add_2x2_1}}};

/* --- weights --- */

/* A line of 16 outputs' F16 in two columns into the bfloat16 pairs of their high and low parts: the high one is the first 8 of
 * 11 significant bits, the low one the rest. */
INLINE void split_pair(const uint8_t *line, uint8_t *high, uint8_t *low) {
    const __m512i top = _mm512_set1_epi32((int)0xffff0000);
    __m512 a = _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)line));
    __m512 b = _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)(line + 32)));
    __m512i high_a = _mm512_and_si512(_mm512_castps_si512(a), top), high_b = _mm512_and_si512(_mm512_castps_si512(b), top);
    __m512i low_a = _mm512_castps_si512(_mm512_sub_ps(a, _mm512_castsi512_ps(high_a)));
    __m512i low_b = _mm512_castps_si512(_mm512_sub_ps(b, _mm512_castsi512_ps(high_b)));
    _mm512_store_si512(high, _mm512_or_si512(_mm512_srli_epi32(high_a, 16), high_b));
    _mm512_store_si512(low, _mm512_or_si512(_mm512_srli_epi32(low_a, 16), _mm512_and_si512(low_b, top)));
}

/* What one call does: the product, and the tiles that it is at. */
typedef struct amx_job {
    product p;
    int split;
    uint32_t n_steps, last_lines; /* of a tile: steps, the last of which may be of fewer lines than 16 */
    const uint8_t *tile, *next;   /* next: the tile that is read after this one or two */
    uint32_t n_tiles;
    amx_scratch *scratch;
} amx_job;

/* What is read AHEAD_STEPS after this step. */
static const uint8_t *ahead_of(const amx_job *job, uint32_t step) {
    uint32_t ahead = step + AHEAD_STEPS;
    if (ahead < job->n_steps) return job->tile + (size_t)ahead * TILE_BYTES;
    return job->next + (size_t)(ahead - job->n_steps) * TILE_BYTES;
}

static uint32_t lines_of(const amx_job *job, uint32_t step) {
    return step + 1 == job->n_steps ? job->last_lines : 16;
}

/* The lines of a step, and zeros for those that are missing. */
INLINE void split_step(const uint8_t *from, const uint8_t *ahead, uint32_t n_lines, uint8_t *high, uint8_t *low) {
    for (uint32_t i = 0; i < n_lines; i++) {
        split_pair(from + i * 64, high + i * 64, low + i * 64);
        _mm_prefetch((const char *)ahead + i * 64, _MM_HINT_T0);
    }
    memset(high + n_lines * 64, 0, (16 - n_lines) * 64);
    memset(low + n_lines * 64, 0, (16 - n_lines) * 64);
}

static void copy_steps(const amx_job *job, uint32_t first, uint32_t n_steps) {
    for (uint32_t t = 0; t < job->n_tiles; t++) {
        const uint8_t *from = job->tile + t * job->p.packed->tile_bytes + (size_t)first * TILE_BYTES;
        const uint8_t *ahead = ahead_of(job, first) + t * job->p.packed->tile_bytes;
        for (uint32_t s = 0; s < n_steps; s++, from += TILE_BYTES, ahead += TILE_BYTES) {
            uint8_t *high = job->scratch->high[t][s], *low = job->scratch->low[t][s];
            uint32_t n_lines = lines_of(job, first + s);
            if (job->split && n_lines == 16) {
                split_step(from, ahead, 16, high, low);
            } else if (job->split) {
                split_step(from, ahead, n_lines, high, low);
            } else {
                memcpy(high, from, n_lines * 64);
                memset(high + n_lines * 64, 0, (16 - n_lines) * 64);
            }
        }
    }
}

/* --- a block of rows times two tiles --- */

static void add_rows(const amx_job *job, chunk *k, uint32_t row, uint32_t n_rows) {
    for (uint32_t r = 0; r < n_rows; r += GROUP_ROWS) {
        uint32_t n = n_rows - r < GROUP_ROWS ? n_rows - r : GROUP_ROWS;
        chunk group = *k;
        group.act += (row + r) * job->p.act_stride;
        group.sums = job->scratch->sums[r / GROUP_ROWS][0][0];
        if (n < GROUP_ROWS && n_rows > GROUP_ROWS) configure(n);
        chunk_kernels[job->split][n > HALF_ROWS][job->n_tiles - 1](&group);
        if (n < GROUP_ROWS && n_rows > GROUP_ROWS) configure(GROUP_ROWS);
        k->ahead = NULL;
    }
}

static void store_rows(const amx_job *job, uint32_t row, uint32_t n_rows, uint32_t tile) {
    for (uint32_t r = 0; r < n_rows; r++) {
        for (uint32_t t = 0; t < job->n_tiles; t++) {
            const float *sums = job->scratch->sums[r / GROUP_ROWS][r % GROUP_ROWS / HALF_ROWS * 2 + t][r % HALF_ROWS];
            store(&job->p, row + r, tile + t, _mm512_load_ps(sums));
        }
    }
}

static void multiply_block(const amx_job *job, uint32_t row, uint32_t n_rows, uint32_t tile) {
    const uint32_t most = job->split ? SPLIT_STEPS : CHUNK_STEPS;
    for (uint32_t step = 0, n; step < job->n_steps; step += n) {
        n = job->n_steps - step < most ? job->n_steps - step : most;
        int copied = job->split || lines_of(job, step + n - 1) < 16;
        chunk k = {.n_steps = n, .is_first = step == 0, .act_stride = job->p.act_stride};
        k.act = job->p.act + (size_t)step * STEP_BYTES;
        k.act_low = job->p.act_stride / 2;
        k.high = copied ? job->scratch->high[0][0] : job->tile + (size_t)step * TILE_BYTES;
        k.high_tile = copied ? CHUNK_STEPS * TILE_BYTES : job->p.packed->tile_bytes;
        k.low = job->scratch->low[0][0];
        k.ahead = copied ? NULL : ahead_of(job, step);
        if (copied) copy_steps(job, step, n);
        add_rows(job, &k, row, n_rows);
    }
    store_rows(job, row, n_rows, tile);
}

/* --- few rows --- */

enum { FEW_ROWS = 4, FLUSH_SUBNORMALS = 0x8040 /* inputs and results, in MXCSR */, DEFAULT_MXCSR = 0x1f80 };

/* Activations of a step as floats: the high and low parts of even and odd columns. */
typedef float step_act[2][2][LLMC_TILE_ROWS];

INLINE void expand_act(const amx_job *job, const int rows, const int parts, uint32_t step, step_act *x) {
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int part = 0; part < parts; part++) {
            const uint8_t *act = job->p.act + (size_t)r * job->p.act_stride + (size_t)step * STEP_BYTES;
            __m512i words = _mm512_load_si512(act + (part ? job->p.act_stride / 2 : 0));
            _mm512_store_si512(x[r][part][0], _mm512_slli_epi32(words, 16));
            _mm512_store_si512(x[r][part][1], _mm512_and_si512(words, _mm512_set1_epi32((int)0xffff0000)));
        }
    }
}

/* Column j of a line: the parts whose products are summed, high and low. */
INLINE void line_parts(const uint8_t *line, const int j, const int split, __m512 w[2]) {
    const __m512i top = _mm512_set1_epi32((int)0xffff0000);
    if (split) {
        __m512 value = _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)(line + j * 32)));
        w[0] = _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(value), top));
        w[1] = _mm512_sub_ps(value, w[0]);
    } else {
        __m512i words = _mm512_load_si512(line);
        w[0] = _mm512_castsi512_ps(j ? _mm512_and_si512(words, top) : _mm512_slli_epi32(words, 16));
    }
}

/* tdpbf16ps: even and odd columns are summed apart, and then added to each other and to the sum. Products: low * high (weight
 * and activation), high * high, high * low. */
INLINE void few_rows(const amx_job *job, const int rows, const int split) {
    static const int weight_part[3] = {1, 0, 0}, act_part[3] = {0, 0, 1};
    const int begin = split ? 0 : 1, end = split ? 3 : 2;
    __m512 sum[FEW_ROWS];
    const uint8_t *line = job->tile;
    UNROLL for (int r = 0; r < rows; r++) sum[r] = _mm512_setzero_ps();
    for (uint32_t step = 0; step < job->n_steps; step++) {
        __attribute__((aligned(64))) step_act x[FEW_ROWS];
        __m512 chain[FEW_ROWS][3][2];
        const uint32_t n_lines = lines_of(job, step);
        const uint8_t *ahead = ahead_of(job, step);
        expand_act(job, rows, split ? 2 : 1, step, x);
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int i = begin; i < end; i++) chain[r][i][0] = chain[r][i][1] = _mm512_setzero_ps();
        }
        for (uint32_t i = 0; i < n_lines; i++, line += 64) {
            _mm_prefetch((const char *)ahead + i * 64, _MM_HINT_T0);
            UNROLL for (int j = 0; j < 2; j++) {
                __m512 w[2];
                line_parts(line, j, split, w);
                UNROLL for (int r = 0; r < rows; r++) {
                    UNROLL for (int c = begin; c < end; c++) chain[r][c][j] =
                        _mm512_fmadd_ps(w[weight_part[c]], _mm512_set1_ps(x[r][act_part[c]][j][i]), chain[r][c][j]);
                }
            }
        }
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int c = begin; c < end; c++) {
                if (n_lines < 16) { /* products of zeros: they turn -0 into 0 */
                    chain[r][c][0] = _mm512_add_ps(chain[r][c][0], _mm512_setzero_ps());
                    chain[r][c][1] = _mm512_add_ps(chain[r][c][1], _mm512_setzero_ps());
                }
                sum[r] = _mm512_add_ps(sum[r], _mm512_add_ps(chain[r][c][0], chain[r][c][1]));
            }
        }
    }
    UNROLL for (int r = 0; r < rows; r++) _mm512_store_ps(job->scratch->sums[0][0][r], sum[r]);
}

#define FEW(rows)                                                                                                              \
    static __attribute__((noinline)) void few_##rows##_0(const amx_job *job) {                                                 \
        few_rows(job, rows, 0);                                                                                                \
    }                                                                                                                          \
    static __attribute__((noinline)) void few_##rows##_1(const amx_job *job) {                                                 \
        few_rows(job, rows, 1);                                                                                                \
    }
FEW(1)
FEW(2)
FEW(3)
FEW(4)

typedef void (*few_kernel)(const amx_job *job);
static const few_kernel few_kernels[2][FEW_ROWS] = {{few_1_0, few_2_0, few_3_0, few_4_0}, {few_1_1, few_2_1, few_3_1, few_4_1}};

/* With AMX's treatment of subnormals, and the thread's own again when the sums are stored. */
static void multiply_few(amx_job *job, uint32_t tile_begin, uint32_t tile_end) {
    const llmc_packed *packed = job->p.packed;
    job->n_tiles = 1;
    for (uint32_t tile = tile_begin; tile < tile_end; tile++) {
        unsigned int mxcsr = _mm_getcsr();
        job->tile = packed->data + (size_t)tile * packed->tile_bytes;
        job->next = tile + 1 < tile_end ? job->tile + packed->tile_bytes : job->tile;
        _mm_setcsr(DEFAULT_MXCSR | FLUSH_SUBNORMALS);
        few_kernels[job->split][job->p.n_rows - 1](job);
        _mm_setcsr(mxcsr);
        store_rows(job, 0, job->p.n_rows, tile);
    }
}

/* --- a call --- */

/* Tiles that stay in the second-level cache while all rows pass over them. */
enum { GROUP_BYTES = 256 * 1024 };

static void multiply_tiles(amx_job *job, uint32_t first, uint32_t end) {
    const llmc_packed *packed = job->p.packed;
    for (uint32_t row = 0; row < job->p.n_rows; row += BLOCK_ROWS) {
        uint32_t n_rows = job->p.n_rows - row < BLOCK_ROWS ? job->p.n_rows - row : BLOCK_ROWS;
        configure(n_rows < GROUP_ROWS ? n_rows : GROUP_ROWS);
        for (uint32_t tile = first; tile < end; tile += job->n_tiles) {
            job->n_tiles = end - tile < 2 ? 1 : 2;
            job->tile = packed->data + (size_t)tile * packed->tile_bytes;
            job->next = tile + 2 * job->n_tiles <= end ? job->tile + job->n_tiles * packed->tile_bytes : job->tile;
            multiply_block(job, row, n_rows, tile);
        }
    }
}

static void matmul_amx(const product *p, int split, uint32_t tile_begin, uint32_t tile_end, void *scratch) {
    const llmc_packed *packed = p->packed;
    amx_job job = {.p = *p, .split = split, .scratch = scratch};
    if (packed->cols == 0 || p->n_rows == 0) return;
    job.n_steps = packed->cols / STEP_COLS + (packed->cols % STEP_COLS != 0);
    job.last_lines = ((packed->cols - 1) % STEP_COLS + 2) / 2;
    if (p->n_rows <= FEW_ROWS) {
        multiply_few(&job, tile_begin, tile_end);
        return;
    }
    uint32_t group = (uint32_t)(GROUP_BYTES / packed->tile_bytes) / 2 * 2;
    if (group < 2) group = 2;
    for (uint32_t first = tile_begin; first < tile_end; first += group) {
        multiply_tiles(&job, first, tile_end - first < group ? tile_end : first + group);
    }
    __asm__ volatile("tilerelease" ::);
}

static void matmul_amx_bf16(const llmc_packed *packed, const void *act, uint32_t n_rows, uint32_t tile_begin, uint32_t tile_end,
                            float *dst, size_t dst_stride, const float *bias, int accumulate, void *scratch) {
    size_t act_stride = llmc_act_bytes(LLMC_ACT_BF16, packed->cols);
    product p = {packed, act, act_stride, n_rows, dst, dst_stride, bias, accumulate};
    matmul_amx(&p, 0, tile_begin, tile_end, scratch);
}

static void matmul_amx_f16(const llmc_packed *packed, const void *act, uint32_t n_rows, uint32_t tile_begin, uint32_t tile_end,
                           float *dst, size_t dst_stride, const float *bias, int accumulate, void *scratch) {
    size_t act_stride = llmc_act_bytes(LLMC_ACT_BF16_X2, packed->cols);
    product p = {packed, act, act_stride, n_rows, dst, dst_stride, bias, accumulate};
    matmul_amx(&p, 1, tile_begin, tile_end, scratch);
}

void llmc_matmul_kernels_amx_float(llmc_matmul_kernels *kernels) {
    kernels->bf16 = (llmc_float_product){matmul_amx_bf16, LLMC_ACT_BF16};
    kernels->f16 = (llmc_float_product){matmul_amx_f16, LLMC_ACT_BF16_X2};
}
