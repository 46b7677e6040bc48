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
    BLOCK(m, 3, 0, block_##m##_3) BLOCK(m, 4, 0, block_##m##_4) BLOCK(m, 1, 1, half_##m##_1) BLOCK(m, 2, 1, half_##m##_2)      \
        BLOCK(m, 3, 1, half_##m##_3) BLOCK(m, 4, 1, half_##m##_4)
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

static inline void softmax_row(float *s, uint32_t n_valid, uint32_t n_vectors, float scale, float *m, float *l) {
    const __m512 factor = _mm512_set1_ps(scale), nothing = _mm512_set1_ps(-INFINITY);
    const uint64_t valid = n_valid < 64 ? ((uint64_t)1 << n_valid) - 1 : ~(uint64_t)0;
    __m512 x[4], maximum = nothing, sum = _mm512_setzero_ps();
    for (uint32_t v = 0; v < n_vectors; v++) {
        x[v] = _mm512_mask_mul_ps(nothing, (__mmask16)(valid >> (16 * v)), _mm512_loadu_ps(s + 16 * v), factor);
        maximum = _mm512_max_ps(x[v], maximum);
    }
    *m = _mm512_reduce_max_ps(maximum);
    for (uint32_t v = 0; v < n_vectors; v++) {
        __m512 p = llmc_exp16(_mm512_sub_ps(x[v], _mm512_set1_ps(*m)));
        _mm512_storeu_ps(s + 16 * v, p);
        sum = _mm512_add_ps(sum, p);
    }
    *l = llmc_sum16_vector(sum);
}

static inline void exp_row(float *x, uint32_t n) {
    __mmask16 mask = (__mmask16)((1u << (n < 16 ? n : 16)) - 1u);
    _mm512_mask_storeu_ps(x, mask, llmc_exp16(_mm512_maskz_loadu_ps(mask, x)));
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

#include "kernels/cpu/attention_body.h"

void llmc_attention_kernels_avx512(llmc_attention_kernels *kernels) {
    *kernels = (llmc_attention_kernels){.attend = attend, .groups = groups, .fold = fold, .store = store};
}
