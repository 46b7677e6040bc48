/* The matrix product in 256-bit registers, for the files of its tiers: two of 8 lanes hold the 16 outputs of a tile. Products
 * of bytes are summed in 16 bits as far as they cannot saturate (AVX2), or, in a file compiled with the VEX form of VNNI, in
 * 32. */
#ifndef LLMC_AVX2_TILES_H
#define LLMC_AVX2_TILES_H

#include "kernels/cpu/pack.h"
#include "kernels/cpu/x86/tile_stream.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { MAX_ROWS = 4, HALVES = 2 /* of a tile: 8 outputs, 32 bytes of each vector */ };

typedef struct tile_job {
    uint32_t cols;
    const uint8_t *tile;
    const uint8_t *next; /* what the next kernel will read, to be fetched ahead */
    const uint8_t *act[MAX_ROWS];
    __m256 *sums; /* (rows, HALVES) */
} tile_job;

/* 8-bit weights without their offset: vpmaddubsw takes them apart into size and sign, and vpdpbusd needs neither. */
#ifdef __AVXVNNI__
enum { BYTES_ARE_SIGNED = 0 };
#else
enum { BYTES_ARE_SIGNED = 1 };
#endif

INLINE __m256i broadcast_4(const void *bytes) {
    int32_t word;
    memcpy(&word, bytes, 4);
    return _mm256_set1_epi32(word);
}

INLINE __m256 halves_at(const uint8_t *bytes) {
    return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)(const void *)bytes));
}

INLINE __m256i load(const uint8_t *bytes) {
    return _mm256_load_si256((const __m256i *)(const void *)bytes);
}

/* Fields of group g (of 8) of 32 columns of half a tile, as unsigned bytes. */
INLINE __m256i group_fields(const int low, const int high, const uint8_t *quants, const int g) {
    const int low_n = 8 / low, low_shift = g % low_n * low;
    __m256i fields = load(quants + g / low_n * 64);
    if (low == 8) return BYTES_ARE_SIGNED ? _mm256_xor_si256(fields, _mm256_set1_epi8((char)0x80)) : fields;
    if (low_shift) fields = _mm256_srli_epi16(fields, low_shift);
    fields = _mm256_and_si256(fields, _mm256_set1_epi8((char)((1 << low) - 1)));
    if (!high) return fields;
    const int high_n = 8 / (high ? high : 1), high_shift = g % high_n * high - low; /* to the right */
    __m256i top = load(quants + 64 * low + g / high_n * 64);
    if (high_shift > 0) top = _mm256_srli_epi16(top, high_shift);
    if (high_shift < 0) top = _mm256_slli_epi16(top, -high_shift);
    return _mm256_or_si256(fields, _mm256_and_si256(top, _mm256_set1_epi8((char)(((1 << high) - 1) << low))));
}

/* Adds to the dots of each row the groups [begin, end) of 32 columns, times the int16 pairs of `scale`, if there is one. */
#ifdef __AVXVNNI__
INLINE void add_groups(const int rows, const int low, const int high, const int begin, const int end, const uint8_t *quants,
                       const int8_t *const *q, const __m256i *scale, __m256i dot[MAX_ROWS][HALVES]) {
    __m256i part[MAX_ROWS][HALVES];
    UNROLL for (int i = 0; i < rows * HALVES; i++) part[i / HALVES][i % HALVES] =
        scale ? _mm256_setzero_si256() : dot[i / HALVES][i % HALVES];
    UNROLL for (int g = begin; g < end; g++) {
        __m256i w[HALVES];
        UNROLL for (int h = 0; h < HALVES; h++) w[h] = group_fields(low, high, quants + h * 32, g);
        UNROLL for (int r = 0; r < rows; r++) {
            __m256i x = broadcast_4(q[r] + 4 * g);
            UNROLL for (int h = 0; h < HALVES; h++) part[r][h] = _mm256_dpbusd_avx_epi32(part[r][h], w[h], x);
        }
    }
    UNROLL for (int h = 0; h < HALVES; h++) {
        UNROLL for (int r = 0; r < rows; r++) {
            if (scale) part[r][h] = _mm256_mullo_epi32(part[r][h], _mm256_srai_epi32(scale[h], 16));
            dot[r][h] = scale ? _mm256_add_epi32(dot[r][h], part[r][h]) : part[r][h];
        }
    }
}
#else
/* How many groups' products of a pair of columns fit in 16 bits: 2 * 127 * the largest field each. 8 bits: one group, as
 * |weight| times the activation with the weight's sign, at most 2 * 128 * 127. */
INLINE int groups_in_16_bits(const int bits) {
    return bits <= 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
}

INLINE void add_groups(const int rows, const int low, const int high, const int begin, const int end, const uint8_t *quants,
                       const int8_t *const *q, const __m256i *scale, __m256i dot[MAX_ROWS][HALVES]) {
    const __m256i ones = _mm256_set1_epi16(1);
    const int step = groups_in_16_bits(low + high) < end - begin ? groups_in_16_bits(low + high) : end - begin;
    UNROLL for (int first = begin; first < end; first += step) {
        __m256i part[MAX_ROWS][HALVES];
        UNROLL for (int g = first; g < first + step; g++) {
            __m256i w[HALVES], size[HALVES];
            UNROLL for (int h = 0; h < HALVES; h++) {
                w[h] = group_fields(low, high, quants + h * 32, g);
                size[h] = low == 8 ? _mm256_abs_epi8(w[h]) : w[h];
            }
            UNROLL for (int r = 0; r < rows; r++) {
                __m256i x = broadcast_4(q[r] + 4 * g);
                UNROLL for (int h = 0; h < HALVES; h++) {
                    __m256i pairs = _mm256_maddubs_epi16(size[h], low == 8 ? _mm256_sign_epi8(x, w[h]) : x);
                    part[r][h] = g == first ? pairs : _mm256_add_epi16(part[r][h], pairs);
                }
            }
        }
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int h = 0; h < HALVES; h++) dot[r][h] =
                _mm256_add_epi32(dot[r][h], _mm256_madd_epi16(part[r][h], scale ? scale[h] : ones));
        }
    }
}
#endif

/* --- blocks of 32 --- */

INLINE void q8_32_kernel(const tile_job *job, const int rows, const int low, const int high, const int offset_shift,
                         const int has_min) {
    const size_t quant_bytes = 64u * (unsigned)(low + high), scale_bytes = has_min ? 64 : 32, n_blocks = job->cols / 32;
    tile_stream at = tile_stream_begin(job->tile, n_blocks, quant_bytes, scale_bytes);
    __m256 sum[MAX_ROWS][HALVES];
    UNROLL for (int i = 0; i < rows * HALVES; i++) sum[i / HALVES][i % HALVES] = _mm256_setzero_ps();
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *quants = at.quants, *scales = at.scales;
        __m256i dot[MAX_ROWS][HALVES];
        const llmc_act_32 *x[MAX_ROWS];
        const int8_t *q[MAX_ROWS];
        UNROLL for (int r = 0; r < rows; r++) {
            __m256i start = _mm256_setzero_si256();
            x[r] = (const llmc_act_32 *)(const void *)job->act[r] + b;
            q[r] = x[r]->q;
            if (offset_shift) start = _mm256_slli_epi32(broadcast_4(&x[r]->neg_sum), offset_shift);
            UNROLL for (int h = 0; h < HALVES; h++) dot[r][h] = start;
        }
        tile_stream_turn(&at, job->next, b, n_blocks, quant_bytes);
        add_groups(rows, low, high, 0, 8, quants, q, NULL, dot);
        tile_stream_step(&at, quant_bytes, scale_bytes);
        UNROLL for (int h = 0; h < HALVES; h++) {
            __m256 d = halves_at(scales + h * 16), m = _mm256_setzero_ps();
            if (has_min) m = halves_at(scales + 32 + h * 16);
            UNROLL for (int r = 0; r < rows; r++) {
                __m256 part = _mm256_mul_ps(_mm256_cvtepi32_ps(dot[r][h]), d);
                sum[r][h] = _mm256_fmadd_ps(part, _mm256_set1_ps(x[r]->d), sum[r][h]);
                if (has_min) sum[r][h] = _mm256_fmadd_ps(m, _mm256_set1_ps(x[r]->s), sum[r][h]);
            }
        }
    }
    UNROLL for (int i = 0; i < rows * HALVES; i++) job->sums[i] = sum[i / HALVES][i % HALVES];
}

/* --- super-blocks of 256 --- */

/* A pair of sub-blocks' scales or minima of 8 outputs as int16 lanes 2 * output + j. */
INLINE __m256i scale_pair(const uint8_t *pairs, const int kind) {
    __m128i bytes = _mm_load_si128((const __m128i *)(const void *)pairs);
    if (kind == LLMC_SCALES_K16) return _mm256_cvtepi8_epi16(bytes);
    if (kind == LLMC_SCALES_K16_MIN) bytes = _mm_and_si128(bytes, _mm_set1_epi8(15));
    return _mm256_cvtepu8_epi16(bytes);
}

INLINE __m256i min_pair(const uint8_t *pairs, const int kind) {
    if (kind == LLMC_SCALES_K16) return scale_pair(pairs, kind);
    __m128i bytes = _mm_load_si128((const __m128i *)(const void *)pairs);
    if (kind == LLMC_SCALES_K16_MIN) bytes = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
    return _mm256_cvtepu8_epi16(bytes);
}

/* Lane j of each pair, twice. */
INLINE __m256i both_lanes(__m256i pair, const int j) {
    __m256i other = j ? _mm256_srli_epi32(pair, 16) : _mm256_slli_epi32(pair, 16);
    return j ? _mm256_blend_epi16(pair, other, 0x55) : _mm256_blend_epi16(pair, other, 0xaa);
}

/* The sums of scale * dot of a super-block. */
INLINE void scaled_dots(const int rows, const int low, const int high, const int kind, const uint8_t *quants,
                        const uint8_t *pairs, const int8_t *const *q_of, __m256i isum[MAX_ROWS][HALVES]) {
    const int sub_groups = kind == LLMC_SCALES_K32_MIN ? 8 : 4, n_pairs = kind == LLMC_SCALES_K32_MIN ? 4 : 8;
    const int8_t *q[MAX_ROWS];
    UNROLL for (int r = 0; r < rows; r++) q[r] = q_of[r];
    for (int p = 0; p < n_pairs; p++) {
        UNROLL for (int j = 0; j < 2; j++) {
            const int begin = sub_groups == 4 ? 4 * j : 0;
            __m256i scale[HALVES];
            UNROLL for (int h = 0; h < HALVES; h++) scale[h] = both_lanes(scale_pair(pairs + p * 32 + h * 16, kind), j);
            add_groups(rows, low, high, begin, begin + sub_groups, quants, q, scale, isum);
            if (sub_groups == 4 && !j) continue;
            quants += 64 * (low + high);
            UNROLL for (int r = 0; r < rows; r++) q[r] += 32;
        }
    }
}

INLINE void q8_256_kernel(const tile_job *job, const int rows, const int low, const int high, const int offset_shift,
                          const int kind) {
    const int n_pairs = kind == LLMC_SCALES_K32_MIN ? 4 : 8, has_min = kind != LLMC_SCALES_K16;
    const int scales_at = has_min ? 64 : 32, mins_at = kind == LLMC_SCALES_K32_MIN ? 192 : scales_at;
    const size_t quant_bytes = 8 * 64u * (unsigned)(low + high), scale_bytes = (size_t)scales_at + 256;
    const size_t n_blocks = job->cols / 256;
    tile_stream at = tile_stream_begin(job->tile, n_blocks, quant_bytes, scale_bytes);
    __m256 *sum = job->sums;
    UNROLL for (int i = 0; i < rows * HALVES; i++) sum[i] = _mm256_setzero_ps();
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *quants = at.quants, *scales = at.scales;
        __m256i isum[MAX_ROWS][HALVES], msum[MAX_ROWS][HALVES];
        const llmc_act_256 *x[MAX_ROWS];
        const int8_t *q[MAX_ROWS];
        UNROLL for (int r = 0; r < rows; r++) {
            x[r] = (const llmc_act_256 *)(const void *)job->act[r] + b;
            q[r] = x[r]->q;
            UNROLL for (int h = 0; h < HALVES; h++) isum[r][h] = msum[r][h] = _mm256_setzero_si256();
        }
        tile_stream_turn(&at, job->next, b, n_blocks, quant_bytes);
        tile_stream_step(&at, quant_bytes, scale_bytes);
        scaled_dots(rows, low, high, kind, quants, scales + scales_at, q, isum);
        for (int p = 0; p < n_pairs; p++) {
            UNROLL for (int h = 0; h < HALVES; h++) {
                __m256i min = min_pair(scales + mins_at + p * 32 + h * 16, kind);
                UNROLL for (int r = 0; r < rows; r++) {
                    const int16_t *x_sums = n_pairs == 4 ? x[r]->sum_32 : x[r]->sum_16;
                    msum[r][h] = _mm256_add_epi32(msum[r][h], _mm256_madd_epi16(min, broadcast_4(x_sums + 2 * p)));
                }
            }
        }
        UNROLL for (int h = 0; h < HALVES; h++) {
            __m256 d = halves_at(scales + h * 16), dmin = _mm256_setzero_ps();
            if (has_min) dmin = halves_at(scales + 32 + h * 16);
            UNROLL for (int r = 0; r < rows; r++) {
                __m256 x_d = _mm256_set1_ps(x[r]->d), total = sum[r * HALVES + h];
                if (offset_shift) isum[r][h] = _mm256_sub_epi32(isum[r][h], _mm256_slli_epi32(msum[r][h], offset_shift));
                total = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(isum[r][h]), d), x_d, total);
                if (has_min) total = _mm256_fnmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(msum[r][h]), dmin), x_d, total);
                sum[r * HALVES + h] = total;
            }
        }
    }
}

/* --- floats --- */

/* Outputs 8 * h ... of column j of a pair of columns, which is two lines for F32 and one for others. */
INLINE __m256 column(const int type, const uint8_t *pair, const int j, const int h) {
    if (type == LLMC_PACK_F32) return _mm256_load_ps((const float *)(const void *)pair + j * LLMC_TILE_ROWS + h * 8);
    if (type == LLMC_PACK_F16) return halves_at(pair + j * 32 + h * 16);
    __m256i words = load(pair + h * 32);
    return _mm256_castsi256_ps(j ? _mm256_and_si256(words, _mm256_set1_epi32((int)0xffff0000)) : _mm256_slli_epi32(words, 16));
}

INLINE void add_column(const tile_job *job, const int rows, const int type, const uint8_t *pair, size_t col, const int j,
                       __m256 sum[MAX_ROWS][HALVES]) {
    UNROLL for (int h = 0; h < HALVES; h++) {
        __m256 w = column(type, pair, j, h);
        UNROLL for (int r = 0; r < rows; r++) {
            __m256 x = _mm256_broadcast_ss((const float *)(const void *)job->act[r] + col);
            sum[r][h] = _mm256_fmadd_ps(w, x, sum[r][h]);
        }
    }
}

INLINE void f32_kernel(const tile_job *job, const int rows, const int type) {
    const size_t pair_bytes = type == LLMC_PACK_F32 ? 128 : 64, n_pairs = job->cols / 2;
    tile_stream at = tile_stream_begin(job->tile, n_pairs, pair_bytes, 0);
    __m256 sum[MAX_ROWS][HALVES];
    UNROLL for (int i = 0; i < rows * HALVES; i++) sum[i / HALVES][i % HALVES] = _mm256_setzero_ps();
    for (size_t p = 0; p < n_pairs; p++) {
        tile_stream_turn(&at, job->next, p, n_pairs, pair_bytes);
        UNROLL for (int j = 0; j < 2; j++) add_column(job, rows, type, at.quants, 2 * p + (size_t)j, j, sum);
        tile_stream_step(&at, pair_bytes, 0);
    }
    if (job->cols % 2) add_column(job, rows, type, at.quants, job->cols - 1, 0, sum);
    UNROLL for (int i = 0; i < rows * HALVES; i++) job->sums[i] = sum[i / HALVES][i % HALVES];
}

/* --- the kernels of each type, by rows --- */

typedef void (*tile_kernel)(const tile_job *job);

#define KERNELS(name, kernel, ...)                                                                                             \
    static void name##_1(const tile_job *job) {                                                                                \
        kernel(job, 1, __VA_ARGS__);                                                                                           \
    }                                                                                                                          \
    static void name##_2(const tile_job *job) {                                                                                \
        kernel(job, 2, __VA_ARGS__);                                                                                           \
    }                                                                                                                          \
    static void name##_4(const tile_job *job) {                                                                                \
        kernel(job, 4, __VA_ARGS__);                                                                                           \
    }
#define ENTRIES(name)                                                                                                          \
    { name##_1, name##_2, name##_4 }

KERNELS(f32, f32_kernel, LLMC_PACK_F32)
KERNELS(f16, f32_kernel, LLMC_PACK_F16)
KERNELS(bf16, f32_kernel, LLMC_PACK_BF16)
KERNELS(q4_0, q8_32_kernel, 4, 0, 3, 0)
KERNELS(q4_1, q8_32_kernel, 4, 0, 0, 1)
KERNELS(q5_0, q8_32_kernel, 4, 1, 4, 0)
KERNELS(q5_1, q8_32_kernel, 4, 1, 0, 1)
KERNELS(q8_0, q8_32_kernel, 8, 0, BYTES_ARE_SIGNED ? 0 : 7, 0)
KERNELS(q2_k, q8_256_kernel, 2, 0, 0, LLMC_SCALES_K16_MIN)
KERNELS(q3_k, q8_256_kernel, 2, 1, 2, LLMC_SCALES_K16)
KERNELS(q4_k, q8_256_kernel, 4, 0, 0, LLMC_SCALES_K32_MIN)
KERNELS(q5_k, q8_256_kernel, 4, 1, 0, LLMC_SCALES_K32_MIN)
KERNELS(q6_k, q8_256_kernel, 4, 2, 5, LLMC_SCALES_K16)

enum { N_HEIGHTS = 3 };

static const uint32_t heights[N_HEIGHTS] = {1, 2, 4};

static const tile_kernel kernel_table[LLMC_PACK_TYPES][N_HEIGHTS] = {
    [LLMC_PACK_F32] = ENTRIES(f32),   [LLMC_PACK_F16] = ENTRIES(f16),   [LLMC_PACK_BF16] = ENTRIES(bf16),
    [LLMC_PACK_Q4_0] = ENTRIES(q4_0), [LLMC_PACK_Q4_1] = ENTRIES(q4_1), [LLMC_PACK_Q5_0] = ENTRIES(q5_0),
    [LLMC_PACK_Q5_1] = ENTRIES(q5_1), [LLMC_PACK_Q8_0] = ENTRIES(q8_0), [LLMC_PACK_Q2_K] = ENTRIES(q2_k),
    [LLMC_PACK_Q3_K] = ENTRIES(q3_k), [LLMC_PACK_Q4_K] = ENTRIES(q4_k), [LLMC_PACK_Q5_K] = ENTRIES(q5_k),
    [LLMC_PACK_Q6_K] = ENTRIES(q6_k),
};

/* What one call of matmul is about. */
typedef struct product {
    const llmc_packed *packed;
    const uint8_t *act;
    size_t act_stride;
    uint32_t n_rows;
    float *dst;
    size_t dst_stride;
    const float *bias;
    int accumulate;
} product;

/* 8 outputs, or those of them that are there. */
static void store(const product *p, uint32_t row, uint32_t output, __m256 value) {
    uint32_t left = p->packed->rows > output ? p->packed->rows - output : 0;
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32(left < 8 ? (int)left : 8), lanes);
    if (!left) return;
    float *dst = p->dst + row * p->dst_stride + output;
    if (p->bias) value = _mm256_add_ps(value, _mm256_maskload_ps(p->bias + output, mask));
    if (p->accumulate) value = _mm256_add_ps(_mm256_maskload_ps(dst, mask), value);
    _mm256_maskstore_ps(dst, mask, value);
}

static void run_kernel(const product *p, uint32_t row, int height, uint32_t tile, uint32_t next) {
    __m256 sums[MAX_ROWS * HALVES];
    uint32_t rows = heights[height], left = p->n_rows - row;
    tile_job job = {.cols = p->packed->cols, .sums = sums, .tile = p->packed->data + tile * p->packed->tile_bytes};
    job.next = p->packed->data + next * p->packed->tile_bytes;
    for (uint32_t r = 0; r < rows; r++) job.act[r] = p->act + (row + (r < left ? r : left - 1)) * p->act_stride;
    kernel_table[p->packed->type][height](&job);
    for (uint32_t r = 0; r < rows && r < left; r++) {
        for (uint32_t h = 0; h < HALVES; h++) store(p, row + r, tile * LLMC_TILE_ROWS + h * 8, sums[r * HALVES + h]);
    }
}

/* Tiles that stay in the second-level cache while all rows pass over them. */
enum { GROUP_BYTES = 128 * 1024 };

static void matmul_tiles(const llmc_packed *packed, const void *act, uint32_t n_rows, uint32_t tile_begin, uint32_t tile_end,
                         float *dst, size_t dst_stride, const float *bias, int accumulate, void *scratch) {
    (void)scratch;
    if (packed->type < 0 || packed->type >= LLMC_PACK_TYPES || !kernel_table[packed->type][0]) return;
    size_t act_stride = llmc_act_bytes(llmc_act_form_inline(packed->type), packed->cols);
    product p = {packed, act, act_stride, n_rows, dst, dst_stride, bias, accumulate};
    uint32_t group = packed->tile_bytes ? (uint32_t)(GROUP_BYTES / packed->tile_bytes) : 0;
    if (!group) group = 1;
    for (uint32_t first = tile_begin; first < tile_end; first += group) {
        uint32_t end = tile_end - first < group ? tile_end : first + group;
        for (uint32_t row = 0, row_end; row < n_rows; row = row_end) {
            int height = 0;
            while (height < N_HEIGHTS - 1 && heights[height] < n_rows - row) height++;
            row_end = row + heights[height];
            for (uint32_t tile = first; tile < end; tile++) {
                uint32_t next = tile + 1 == end && row_end < n_rows ? first : tile + 1;
                run_kernel(&p, row, height, tile, next < tile_end ? next : tile);
            }
        }
    }
}

#endif
