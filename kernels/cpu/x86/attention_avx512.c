/* Attention in 16 lanes: up to 6 queries by 4 vectors in registers. */
#include "kernels/cpu/attention.h"

#include "kernels/cpu/vecmath.h"

enum { TILE = 6 };

#define INLINE static inline __attribute__((always_inline))

INLINE __m512 load16(const void *b, size_t i, int half) {
    if (half) return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)((const uint16_t *)b + i)));
    return _mm512_loadu_ps((const float *)b + i);
}

/* m rows by n vectors: m n accumulators, in registers because m and n are constants wherever it is inlined. */
INLINE void block(const uint32_t m, const uint32_t n, const int half, const float *a, size_t a_stride, const void *const *b,
                  size_t b_stride, uint32_t k, float *c, size_t c_stride, int add) {
    __m512 sum[6][4];
#pragma GCC unroll 8
    for (uint32_t i = 0; i < m; i++) {
#pragma GCC unroll 8
        for (uint32_t v = 0; v < n; v++) sum[i][v] = add ? _mm512_loadu_ps(c + i * c_stride + 16 * v) : _mm512_setzero_ps();
    }
    for (uint32_t j = 0; j < k; j++) {
        __m512 columns[4];
#pragma GCC unroll 8
        for (uint32_t v = 0; v < n; v++) columns[v] = load16(b[v], j * b_stride, half);
#pragma GCC unroll 8
        for (uint32_t i = 0; i < m; i++) {
            __m512 x = _mm512_set1_ps(a[i * a_stride + j]);
#pragma GCC unroll 8
            for (uint32_t v = 0; v < n; v++) sum[i][v] = _mm512_fmadd_ps(x, columns[v], sum[i][v]);
        }
    }
#pragma GCC unroll 8
    for (uint32_t i = 0; i < m; i++) {
#pragma GCC unroll 8
        for (uint32_t v = 0; v < n; v++) _mm512_storeu_ps(c + i * c_stride + 16 * v, sum[i][v]);
    }
}

typedef void (*block_fn)(const float *a, size_t a_stride, const void *const *b, size_t b_stride, uint32_t k, float *c,
                         size_t c_stride, int add);

#define BLOCK(m, n, half, name)                                                                                                \
    static void name(const float *a, size_t a_stride, const void *const *b, size_t b_stride, uint32_t k, float *c,             \
                     size_t c_stride, int add) {                                                                               \
        block(m, n, half, a, a_stride, b, b_stride, k, c, c_stride, add);                                                      \
    }
#define BLOCK_ROW(m)                                                                                                           \
    BLOCK(m, 1, 0, block_##m##_1)                                                                                              \
    BLOCK(m, 2, 0, block_##m##_2)                                                                                              \
    BLOCK(m, 3, 0, block_##m##_3)                                                                                              \
    BLOCK(m, 4, 0, block_##m##_4)                                                                                              \
    BLOCK(m, 1, 1, half_##m##_1) BLOCK(m, 2, 1, half_##m##_2) BLOCK(m, 3, 1, half_##m##_3) BLOCK(m, 4, 1, half_##m##_4)
BLOCK_ROW(1)
BLOCK_ROW(2)
BLOCK_ROW(3)
BLOCK_ROW(4)
BLOCK_ROW(5)
BLOCK_ROW(6)

#define BLOCK_NAMES(kind)                                                                                                      \
    {                                                                                                                          \
        {kind##_1_1, kind##_1_2, kind##_1_3, kind##_1_4}, {kind##_2_1, kind##_2_2, kind##_2_3, kind##_2_4},                    \
            {kind##_3_1, kind##_3_2, kind##_3_3, kind##_3_4}, {kind##_4_1, kind##_4_2, kind##_4_3, kind##_4_4},                \
            {kind##_5_1, kind##_5_2, kind##_5_3, kind##_5_4}, {kind##_6_1, kind##_6_2, kind##_6_3, kind##_6_4},                \
    }
static const block_fn blocks[2][TILE][4] = {BLOCK_NAMES(block), BLOCK_NAMES(half)};

static inline void product(const float *a, size_t a_stride, uint32_t m, const void *const *b, size_t b_stride, int half,
                           uint32_t k, float *c, size_t c_stride, uint32_t n, int add) {
    blocks[half != 0][m - 1][n - 1](a, a_stride, b, b_stride, k, c, c_stride, add);
}

INLINE __m512 both(__m512 a, __m512 b, int largest) {
    return largest ? _mm512_max_ps(a, b) : _mm512_add_ps(a, b);
}

/* The sum or the largest of the 16 lanes of each of 6 rows, in lanes 0 to 5. The tree of llmc_sum16 for all rows together:
 * each step puts the halves of two vectors into one. */
INLINE __m512 across(const __m512 row[TILE], int largest) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    __m512 two[3];
#pragma GCC unroll 4
    for (int i = 0; i < 3; i++) {
        two[i] = both(_mm512_shuffle_f32x4(row[2 * i], row[2 * i + 1], 0x44),
                      _mm512_shuffle_f32x4(row[2 * i], row[2 * i + 1], 0xee), largest);
    }
    __m512 low = both(_mm512_shuffle_f32x4(two[0], two[1], 0x88), _mm512_shuffle_f32x4(two[0], two[1], 0xdd), largest);
    __m512 high = both(_mm512_shuffle_f32x4(two[2], two[2], 0x88), _mm512_shuffle_f32x4(two[2], two[2], 0xdd), largest);
    __m512 pairs = both(_mm512_shuffle_ps(low, high, 0x44), _mm512_shuffle_ps(low, high, 0xee), largest);
    __m512 one = both(_mm512_shuffle_ps(pairs, pairs, 0x88), _mm512_shuffle_ps(pairs, pairs, 0xdd), largest);
    return _mm512_permutexvar_ps(order, one);
}

INLINE __mmask16 lanes_of(uint32_t n_valid, uint32_t vector) {
    uint64_t valid = n_valid < 64 ? ((uint64_t)1 << n_valid) - 1 : ~(uint64_t)0;
    return (__mmask16)(valid >> (16 * vector));
}

/* The largest of a row's scores is scaled, not every score: rounding keeps their order. */
INLINE void softmax_of(const int masked, float *s, uint32_t n, const uint32_t *n_valid, uint32_t n_vectors, float scale,
                       float *m, float *l) {
    const __m512 factor = _mm512_set1_ps(scale), nothing = _mm512_set1_ps(-INFINITY);
    __m512 row[TILE];
    for (uint32_t i = 0; i < n; i++) {
        __m512 largest = nothing;
#pragma GCC unroll 4
        for (uint32_t v = 0; v < n_vectors; v++) {
            __m512 x = _mm512_loadu_ps(s + i * LLMC_KV_GROUP + 16 * v);
            largest = masked ? _mm512_mask_max_ps(largest, lanes_of(n_valid[i], v), x, largest) : _mm512_max_ps(x, largest);
        }
        row[i] = largest;
    }
    for (uint32_t i = n; i < TILE; i++) row[i] = nothing;
    _mm512_storeu_ps(m, _mm512_mul_ps(across(row, 1), factor));
    for (uint32_t i = 0; i < n; i++) {
        const __m512 largest = _mm512_set1_ps(m[i]);
        __m512 sum = _mm512_setzero_ps();
#pragma GCC unroll 4
        for (uint32_t v = 0; v < n_vectors; v++) {
            float *at = s + i * LLMC_KV_GROUP + 16 * v;
            __m512 x = _mm512_sub_ps(_mm512_mul_ps(_mm512_loadu_ps(at), factor), largest);
            if (masked) x = _mm512_mask_mov_ps(nothing, lanes_of(n_valid[i], v), x);
            __m512 p = llmc_exp16_down(x);
            _mm512_storeu_ps(at, p);
            sum = _mm512_add_ps(sum, p);
        }
        row[i] = sum;
    }
    _mm512_storeu_ps(l, across(row, 0));
}

static void softmax_rows(float *s, uint32_t n, const uint32_t *n_valid, uint32_t n_vectors, float scale, float *m, float *l) {
    if (n_valid[0] == LLMC_KV_GROUP) {
        softmax_of(0, s, n, n_valid, 4, scale, m, l);
    } else {
        softmax_of(1, s, n, n_valid, n_vectors, scale, m, l);
    }
}

static inline void fold_factors(float *maximum, const float *m, uint32_t n, float *old, float *added) {
    const __mmask16 lanes = (__mmask16)((1u << n) - 1u);
    __m512 before = _mm512_maskz_loadu_ps(lanes, maximum), here = _mm512_loadu_ps(m), larger = _mm512_max_ps(before, here);
    _mm512_mask_storeu_ps(maximum, lanes, larger);
    _mm512_storeu_ps(old, llmc_exp16_down(_mm512_sub_ps(before, larger)));
    _mm512_storeu_ps(added, llmc_exp16_down(_mm512_sub_ps(here, larger)));
}

static inline void fold_output(float *output, float a, const float *o, float b, uint32_t dim) {
    const __m512 old = _mm512_set1_ps(a), added = _mm512_set1_ps(b);
    for (uint32_t d = 0; d < dim; d += 16) {
        __m512 x = _mm512_mul_ps(_mm512_loadu_ps(o + d), added);
        _mm512_storeu_ps(output + d, _mm512_fmadd_ps(_mm512_loadu_ps(output + d), old, x));
    }
}

static inline void widen(float *to, const void *from, uint32_t n, int half) {
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) _mm512_storeu_ps(to + i, load16(from, i, half));
    for (; i < n; i++) to[i] = half ? llmc_f16_to_f32(((const uint16_t *)from)[i]) : ((const float *)from)[i];
}

static inline void narrow(uint16_t *to, const float *from, uint32_t n) {
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256i sixteen = _mm512_cvtps_ph(_mm512_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm256_storeu_si256((__m256i *)(to + i), sixteen);
    }
    for (; i < n; i++) to[i] = llmc_f32_to_f16(from[i]);
}

INLINE __m512 load_bytes(const int8_t *from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)from)));
}

static inline void dequantize_values(float *to, uint32_t to_stride, const int8_t *from, uint32_t from_stride, uint32_t n,
                                     const uint16_t *scales) {
    float factors[LLMC_KV_PAGE];
    _mm512_storeu_ps(factors, load16(scales, 0, 1));
#pragma GCC unroll 4
    for (uint32_t i = 0; i < n; i++, to += to_stride, from += from_stride) {
        const __m512 factor = _mm512_set1_ps(factors[i]);
        _mm512_storeu_ps(to, _mm512_mul_ps(load_bytes(from), factor));
        _mm512_storeu_ps(to + 16, _mm512_mul_ps(load_bytes(from + 16), factor));
    }
}

static inline void dequantize_keys(float *to, const int8_t *from, const uint16_t *scales) {
    const __m512 factor = load16(scales, 0, 1);
#pragma GCC unroll 4
    for (uint32_t d = 0; d < LLMC_KV_Q8_DIMS; d++) {
        _mm512_storeu_ps(to + (size_t)d * LLMC_KV_GROUP, _mm512_mul_ps(load_bytes(from + d * LLMC_KV_PAGE), factor));
    }
}

#include "kernels/cpu/attention_body.h"

void llmc_attention_kernels_avx512(llmc_attention_kernels *kernels) {
    *kernels = (llmc_attention_kernels){.attend = attend, .groups = groups, .fold = fold, .store = store};
}
