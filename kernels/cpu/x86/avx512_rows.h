/* The product of float weights with AVX-512, for the files of its tiers: up to 12 rows times 2 tiles of running sums. Rows are
 * a stride apart and every height has its kernel (others are sums of them), so few registers hold addresses. BF16 is multiplied
 * as floats, or, in a file compiled with vdpbf16ps, by that. */
#ifndef LLMC_AVX512_ROWS_H
#define LLMC_AVX512_ROWS_H

#include "kernels/cpu/x86/avx512_product.h"
#include "kernels/cpu/x86/tile_stream.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { MAX_ROWS = 12, MAX_TILES = 2, ROWS_A_BASE = 3, N_BASES = MAX_ROWS / ROWS_A_BASE };

/* Neighbouring tiles and rows. */
typedef struct rows_job {
    uint32_t cols;
    size_t tile_bytes, act_stride;
    const uint8_t *tile;
    const uint8_t *next; /* what the next kernel will read, to be fetched ahead */
    const uint8_t *act;
    __m512 *sums; /* (rows, tiles) */
} rows_job;

typedef void (*rows_kernel)(const rows_job *job);

INLINE int32_t word_at(const uint8_t *bytes) {
    int32_t word;
    memcpy(&word, bytes, 4);
    return word;
}

/* Column j of a pair of columns, which is two lines for F32 and one for others. */
INLINE __m512 column(const int type, const uint8_t *pair, const int j) {
    if (type == LLMC_PACK_F32) return _mm512_load_ps(pair + j * 64);
    if (type == LLMC_PACK_F16) return _mm512_cvtph_ps(_mm256_load_si256((const __m256i *)(const void *)(pair + j * 32)));
    __m512i words = _mm512_load_si512(pair);
    return _mm512_castsi512_ps(j ? _mm512_and_si512(words, _mm512_set1_epi32((int)0xffff0000)) : _mm512_slli_epi32(words, 16));
}

INLINE const uint8_t *row_at(const uint8_t *const *base, size_t stride, const int r) {
    return base[r / ROWS_A_BASE] + (size_t)(r % ROWS_A_BASE) * stride;
}

/* Adds column j of a pair to the sums; x in floats. */
INLINE void add_column(const int rows, const int tiles, const int type, const uint8_t *pair, size_t tile_bytes,
                       const uint8_t *const *base, size_t stride, const int j, __m512 sum[MAX_ROWS][MAX_TILES]) {
    __m512 w[MAX_TILES];
    UNROLL for (int t = 0; t < tiles; t++) w[t] = column(type, pair + (size_t)t * tile_bytes, j);
    UNROLL for (int r = 0; r < rows; r++) {
        __m512 x = _mm512_castsi512_ps(_mm512_set1_epi32(word_at(row_at(base, stride, r) + 4 * j)));
        UNROLL for (int t = 0; t < tiles; t++) sum[r][t] = _mm512_fmadd_ps(w[t], x, sum[r][t]);
    }
}

#ifdef __AVX512BF16__
enum { PAIR_ACT_BYTES = 4 };

INLINE void add_pair(const int rows, const int tiles, const int type, const uint8_t *pair, size_t tile_bytes,
                     const uint8_t *const *base, size_t stride, __m512 sum[MAX_ROWS][MAX_TILES]) {
    __m512i w[MAX_TILES];
    (void)type;
    UNROLL for (int t = 0; t < tiles; t++) w[t] = _mm512_load_si512(pair + (size_t)t * tile_bytes);
    UNROLL for (int r = 0; r < rows; r++) {
        __m512i x = _mm512_set1_epi32(word_at(row_at(base, stride, r)));
        UNROLL for (int t = 0; t < tiles; t++) sum[r][t] = _mm512_dpbf16_ps(sum[r][t], (__m512bh)w[t], (__m512bh)x);
    }
}
#else
enum { PAIR_ACT_BYTES = 8 };

INLINE void add_pair(const int rows, const int tiles, const int type, const uint8_t *pair, size_t tile_bytes,
                     const uint8_t *const *base, size_t stride, __m512 sum[MAX_ROWS][MAX_TILES]) {
    UNROLL for (int j = 0; j < 2; j++) add_column(rows, tiles, type, pair, tile_bytes, base, stride, j, sum);
}
#endif

INLINE void run_rows(const rows_job *job, const int rows, const int tiles, const int type) {
    __m512 sum[MAX_ROWS][MAX_TILES];
    const uint8_t *base[N_BASES];
    const size_t pair_bytes = type == LLMC_PACK_F32 ? 128 : 64, stride = job->act_stride, tile_bytes = job->tile_bytes;
    const size_t n_pairs = PAIR_ACT_BYTES == 4 ? (job->cols + 1) / 2 : job->cols / 2; /* bfloat16 have a zero at the end */
    tile_stream at = tile_stream_begin(job->tile, n_pairs, pair_bytes, 0);
    UNROLL for (int b = 0; b < N_BASES; b++) base[b] = job->act + (size_t)(b * ROWS_A_BASE) * stride;
    UNROLL for (int i = 0; i < rows * tiles; i++) sum[i / tiles][i % tiles] = _mm512_setzero_ps();
    for (size_t p = 0; p < n_pairs; p++) {
        tile_stream_turn(&at, job->next, p, n_pairs, pair_bytes);
        add_pair(rows, tiles, type, at.quants, tile_bytes, base, stride, sum);
        if (tiles > 1) prefetch_lines(at.ahead_quants + tile_bytes, pair_bytes);
        tile_stream_step(&at, pair_bytes, 0);
        UNROLL for (int b = 0; b < N_BASES; b++) base[b] += PAIR_ACT_BYTES;
    }
    if (PAIR_ACT_BYTES == 8 && job->cols % 2) add_column(rows, tiles, type, at.quants, tile_bytes, base, stride, 0, sum);
    UNROLL for (int i = 0; i < rows * tiles; i++) job->sums[i] = sum[i / tiles][i % tiles];
}

#define ROWS_KERNEL(name, rows, type)                                                                                          \
    static void name##_##rows##x1(const rows_job *job) {                                                                       \
        run_rows(job, rows, 1, type);                                                                                          \
    }                                                                                                                          \
    static void name##_##rows##x2(const rows_job *job) {                                                                       \
        run_rows(job, rows, 2, type);                                                                                          \
    }
#define ROWS_KERNELS(name, type)                                                                                               \
    ROWS_KERNEL(name, 1, type)                                                                                                 \
    ROWS_KERNEL(name, 2, type)                                                                                                 \
    ROWS_KERNEL(name, 3, type)                                                                                                 \
    ROWS_KERNEL(name, 4, type)                                                                                                 \
    ROWS_KERNEL(name, 6, type)                                                                                                 \
    ROWS_KERNEL(name, 8, type)                                                                                                 \
    ROWS_KERNEL(name, 12, type)                                                                                                \
    static const rows_kernel name##_kernels[N_HEIGHTS][MAX_TILES] = {                                                          \
        {name##_1x1, name##_1x2}, {name##_2x1, name##_2x2}, {name##_3x1, name##_3x2},   {name##_4x1, name##_4x2},              \
        {name##_6x1, name##_6x2}, {name##_8x1, name##_8x2}, {name##_12x1, name##_12x2},                                        \
    };

enum { N_HEIGHTS = 7 };

static const uint32_t heights[N_HEIGHTS] = {1, 2, 3, 4, 6, 8, 12};

static void run_kernel(const product *p, const rows_kernel kernels[N_HEIGHTS][MAX_TILES], uint32_t row, int height,
                       uint32_t tile, uint32_t n_tiles, uint32_t next) {
    __m512 sums[MAX_ROWS * MAX_TILES];
    rows_job job = {.cols = p->packed->cols, .sums = sums, .tile_bytes = p->packed->tile_bytes, .act_stride = p->act_stride};
    job.tile = p->packed->data + tile * p->packed->tile_bytes;
    job.next = p->packed->data + next * p->packed->tile_bytes;
    job.act = p->act + row * p->act_stride;
    kernels[height][n_tiles - 1](&job);
    for (uint32_t r = 0; r < heights[height]; r++) {
        for (uint32_t t = 0; t < n_tiles; t++) store(p, row + r, tile + t, sums[r * n_tiles + t]);
    }
}

/* The highest that fits; of 16, two times 8. */
static int height_for(uint32_t rows_left) {
    int h = rows_left == 16 ? N_HEIGHTS - 2 : N_HEIGHTS - 1;
    while (heights[h] > rows_left) h--;
    return h;
}

/* Tiles that stay in the second-level cache while all rows pass over them. */
enum { GROUP_BYTES = 256 * 1024 };

static void walk_rows(const product *p, const rows_kernel kernels[N_HEIGHTS][MAX_TILES], uint32_t tile_begin,
                      uint32_t tile_end) {
    uint32_t group = p->packed->tile_bytes ? (uint32_t)(GROUP_BYTES / p->packed->tile_bytes) / MAX_TILES * MAX_TILES : 0;
    if (group < MAX_TILES) group = MAX_TILES;
    for (uint32_t first = tile_begin; first < tile_end; first += group) {
        uint32_t end = tile_end - first < group ? tile_end : first + group;
        for (uint32_t row = 0, row_end; row < p->n_rows; row = row_end) {
            int height = height_for(p->n_rows - row);
            row_end = row + heights[height];
            for (uint32_t tile = first; tile < end; tile += MAX_TILES) {
                uint32_t n_tiles = end - tile < MAX_TILES ? 1 : MAX_TILES, next = tile + n_tiles;
                if (next == end && row_end < p->n_rows) next = first;
                if (next + n_tiles > tile_end) next = tile; /* nothing to fetch: what is here already */
                run_kernel(p, kernels, row, height, tile, n_tiles, next);
            }
        }
    }
}

#endif
