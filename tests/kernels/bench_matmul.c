/* Speed of the matrix products on one core: Gop/s by type, tier and rows with weights in cache, GB/s of weights from memory.
 * Not a test. Arguments: names of types and tiers to take, or none for all. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "kernels/cpu/matmul.h"
#include "tests/kernels/random_weights.h"

enum { COLS = 2048, ROWS = 512, STREAM_BYTES = 192 << 20, HUGE_PAGE = 2 << 20 };

static const uint32_t heights[] = {1, 2, 4, 6, 8, 16, 64, 512};
enum { N_HEIGHTS = sizeof heights / sizeof heights[0] };

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int wanted(int argc, char **argv, const char *name, const char *const *others) {
    int asked = 0;
    for (int i = 1; i < argc; i++) {
        int is_other = 0;
        if (!strcmp(argv[i], name)) return 1;
        for (int j = 0; others && others[j]; j++) is_other |= !strcmp(argv[i], others[j]);
        asked |= !is_other;
    }
    return !asked;
}

static void fill(llmc_packed *packed, const weight_type *type, uint32_t rows) {
    uint64_t seed = 1;
    size_t row_bytes = (size_t)COLS / type->cols * type->bytes;
    uint8_t *blocks = malloc(row_bytes * ROWS);
    packed->type = type->id;
    packed->rows = rows;
    packed->cols = COLS;
    packed->tile_bytes = llmc_packed_tile_bytes(type->id, COLS);
    packed->data = aligned_alloc(HUGE_PAGE, (llmc_packed_bytes(type->id, rows, COLS) / HUGE_PAGE + 1) * HUGE_PAGE);
    madvise(packed->data, llmc_packed_bytes(type->id, rows, COLS), MADV_HUGEPAGE);
    random_weights(&seed, type, blocks, (size_t)COLS * ROWS);
    for (uint32_t row = 0; row < rows; row += ROWS) llmc_pack_rows(packed, row, rows - row < ROWS ? rows - row : ROWS, blocks);
    free(blocks);
}

/* Best of a few, seconds a call. */
static double seconds(const llmc_matmul_kernels *kernels, const llmc_packed *packed, const void *act, uint32_t n_rows,
                      float *dst, void *scratch, double budget) {
    double best = 1e9, begin = now();
    uint32_t n_tiles = (packed->rows + LLMC_TILE_ROWS - 1) / LLMC_TILE_ROWS;
    do {
        double t = now();
        llmc_matmul_of(kernels, packed->type)(packed, act, n_rows, 0, n_tiles, dst, packed->rows, NULL, 0, scratch);
        t = now() - t;
        best = t < best ? t : best;
    } while (now() - begin < budget);
    return best;
}

static void bench(const weight_type *type, const llmc_matmul_kernels *kernels, llmc_cpu_tier tier) {
    llmc_act_form form = llmc_act_form_of(kernels, type->id);
    size_t act_bytes = llmc_act_row_bytes(form, COLS), tile_bytes = llmc_packed_tile_bytes(type->id, COLS);
    uint32_t stream_rows = (uint32_t)(STREAM_BYTES / tile_bytes) * LLMC_TILE_ROWS;
    uint8_t *act = aligned_alloc(64, act_bytes * 512);
    float *x = malloc(COLS * sizeof *x), *dst = malloc((size_t)(ROWS > stream_rows ? ROWS : stream_rows) * 512 * sizeof *dst);
    void *scratch = aligned_alloc(64, (llmc_matmul_scratch_bytes(tier, COLS) + 63) / 64 * 64);
    uint64_t seed = 2;
    double quantize = now();
    llmc_packed packed;
    for (int i = 0; i < COLS; i++) x[i] = random_float(&seed);
    quantize = now();
    for (size_t i = 0; i < 512; i++) kernels->quantize(form, x, COLS, act + i * act_bytes);
    quantize = now() - quantize;
    fill(&packed, type, ROWS);
    printf("%-5s %-10s", type->name, llmc_cpu_tier_name(tier));
    for (int h = 0; h < N_HEIGHTS; h++) {
        if (tier == LLMC_TIER_C && heights[h] > 8) break;
        double t = seconds(kernels, &packed, act, heights[h], dst, scratch, 0.15);
        printf(" %6.1f", 2.0 * ROWS * COLS * heights[h] / t * 1e-9);
        fflush(stdout);
    }
    free(packed.data);
    if (tier != LLMC_TIER_C) {
        fill(&packed, type, stream_rows);
        printf("  |");
        for (int h = 0; h < 5; h++)
            printf(" %5.1f", STREAM_BYTES / seconds(kernels, &packed, act, heights[h], dst, scratch, 0.3) * 1e-9);
        printf("  | %.2f", 512.0 * COLS / quantize * 1e-9);
        free(packed.data);
    }
    printf("\n");
    free(scratch);
    free(act);
    free(x);
    free(dst);
}

int main(int argc, char **argv) {
    static const char *const tiers[] = {"c", "avx2", "avxvnni", "avx512", "avx512bf16", "amx", NULL};
    const char *type_names[N_WEIGHT_TYPES + 1] = {NULL};
    for (int i = 0; i < N_WEIGHT_TYPES; i++) type_names[i] = weight_types[i].name;
    printf("Gop/s of one core, %d outputs x %d columns, rows:\n%-16s", ROWS, COLS, "");
    for (int h = 0; h < N_HEIGHTS; h++) printf(" %6u", heights[h]);
    printf("  | 1, 2, 4, 6, 8 rows, weights from memory, GB/s  | quantize, G/s\n");
    for (int i = 0; i < N_WEIGHT_TYPES; i++) {
        if (!wanted(argc, argv, weight_types[i].name, tiers)) continue;
        for (llmc_cpu_tier tier = LLMC_TIER_C; tier < LLMC_TIERS; tier++) {
            llmc_matmul_kernels kernels;
            if (!llmc_cpu_has_tier(tier) || !wanted(argc, argv, llmc_cpu_tier_name(tier), type_names)) continue;
            llmc_matmul_kernels_init(&kernels, tier);
            bench(&weight_types[i], &kernels, tier);
        }
    }
    return 0;
}
