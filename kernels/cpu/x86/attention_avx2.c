/* Attention in 8 lanes: a vector of 16 columns is two registers. */
#include "kernels/cpu/attention.h"

#include "kernels/cpu/vecmath.h"

enum { TILE = 6 };

#define INLINE static inline __attribute__((always_inline))

INLINE __m256 load8(const void *b, size_t i, int half) {
    if (half) return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)((const uint16_t *)b + i)));
    return _mm256_loadu_ps((const float *)b + i);
}

/* m rows by n vectors of 16 columns: 2 m n accumulators, in registers because m and n are constants wherever it is inlined. */
INLINE void block(const uint32_t m, const uint32_t n, const int half, const float *a, size_t a_stride, const void *const *b,
                  size_t b_stride, uint32_t k, float *c, size_t c_stride, int add) {
    __m256 sum[6][8];
#pragma GCC unroll 8
    for (uint32_t i = 0; i < m; i++) {
#pragma GCC unroll 8
        for (uint32_t v = 0; v < 2 * n; v++) sum[i][v] = add ? _mm256_loadu_ps(c + i * c_stride + 8 * v) : _mm256_setzero_ps();
    }
    for (uint32_t j = 0; j < k; j++) {
        __m256 columns[8];
#pragma GCC unroll 8
        for (uint32_t v = 0; v < 2 * n; v++) columns[v] = load8(b[v / 2], j * b_stride + v % 2 * 8, half);
#pragma GCC unroll 8
        for (uint32_t i = 0; i < m; i++) {
            __m256 x = _mm256_broadcast_ss(a + i * a_stride + j);
#pragma GCC unroll 8
            for (uint32_t v = 0; v < 2 * n; v++) sum[i][v] = _mm256_fmadd_ps(x, columns[v], sum[i][v]);
        }
    }
#pragma GCC unroll 8
    for (uint32_t i = 0; i < m; i++) {
#pragma GCC unroll 8
        for (uint32_t v = 0; v < 2 * n; v++) _mm256_storeu_ps(c + i * c_stride + 8 * v, sum[i][v]);
    }
}

/* Column vectors taken at once with m rows: what 16 registers hold. */
static const uint8_t columns_at_once[TILE + 1] = {0, 4, 2, 2, 1, 1, 1};

INLINE void product_of(const int half, const float *a, size_t a_stride, uint32_t m, const void *const *b, size_t b_stride,
                       uint32_t k, float *c, size_t c_stride, uint32_t n, int add) {
    uint32_t step = columns_at_once[m];
    for (uint32_t v = 0; v < n; v += n - v < step ? 1 : step) {
        float *to = c + 16 * (size_t)v;
        int whole = n - v >= step;
        switch (m * 2 + (uint32_t)(whole && step > 1)) {
        case 2:
            block(1, 1, half, a, a_stride, b + v, b_stride, k, to, c_stride, add);
            break;
        case 3:
            block(1, 4, half, a, a_stride, b + v, b_stride, k, to, c_stride, add);
            break;
        case 4:
            block(2, 1, half, a, a_stride, b + v, b_stride, k, to, c_stride, add);
            break;
        case 5:
            block(2, 2, half, a, a_stride, b + v, b_stride, k, to, c_stride, add);
            break;
        case 6:
            block(3, 1, half, a, a_stride, b + v, b_stride, k, to, c_stride, add);
            break;
        case 7:
            block(3, 2, half, a, a_stride, b + v, b_stride, k, to, c_stride, add);
            break;
        case 8:
            block(4, 1, half, a, a_stride, b + v, b_stride, k, to, c_stride, add);
            break;
        case 10:
            block(5, 1, half, a, a_stride, b + v, b_stride, k, to, c_stride, add);
            break;
        default:
            block(6, 1, half, a, a_stride, b + v, b_stride, k, to, c_stride, add);
            break;
        }
    }
}

static void product(const float *a, size_t a_stride, uint32_t m, const void *const *b, size_t b_stride, int half, uint32_t k,
                    float *c, size_t c_stride, uint32_t n, int add) {
    if (half) {
        product_of(1, a, a_stride, m, b, b_stride, k, c, c_stride, n, add);
    } else {
        product_of(0, a, a_stride, m, b, b_stride, k, c, c_stride, n, add);
    }
}

static inline float max8(__m256 x) {
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

static inline void softmax_row(float *s, uint32_t n_valid, uint32_t n_vectors, float scale, float *m, float *l) {
    const __m256 factor = _mm256_set1_ps(scale), nothing = _mm256_set1_ps(-INFINITY);
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), valid = _mm256_set1_epi32((int)n_valid);
    __m256 x[8], maximum = nothing, sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (uint32_t v = 0; v < 2 * n_vectors; v++) {
        __m256i keep = _mm256_cmpgt_epi32(valid, _mm256_add_epi32(lane, _mm256_set1_epi32((int)(8 * v))));
        __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(s + 8 * v), factor);
        x[v] = _mm256_blendv_ps(nothing, scaled, _mm256_castsi256_ps(keep));
        maximum = _mm256_max_ps(x[v], maximum);
    }
    *m = max8(maximum);
    for (uint32_t v = 0; v < 2 * n_vectors; v++) {
        __m256 p = llmc_exp8(_mm256_sub_ps(x[v], _mm256_set1_ps(*m)));
        _mm256_storeu_ps(s + 8 * v, p);
        sum[v % 2] = _mm256_add_ps(sum[v % 2], p);
    }
    *l = llmc_sum8(_mm256_add_ps(sum[0], sum[1]));
}

static inline void exp_row(float *x, uint32_t n) {
    float y[16] = {0};
    for (uint32_t i = 0; i < n; i++) y[i] = x[i];
    _mm256_storeu_ps(y, llmc_exp8(_mm256_loadu_ps(y)));
    _mm256_storeu_ps(y + 8, llmc_exp8(_mm256_loadu_ps(y + 8)));
    for (uint32_t i = 0; i < n; i++) x[i] = y[i];
}

static inline void widen(float *to, const void *from, uint32_t n, int half) {
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(to + i, load8(from, i, half));
    for (; i < n; i++) to[i] = half ? llmc_f16_to_f32(((const uint16_t *)from)[i]) : ((const float *)from)[i];
}

static inline void narrow(uint16_t *to, const float *from, uint32_t n) {
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m128i eight = _mm256_cvtps_ph(_mm256_loadu_ps(from + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        _mm_storeu_si128((__m128i *)(to + i), eight);
    }
    for (; i < n; i++) to[i] = llmc_f32_to_f16(from[i]);
}

#include "kernels/cpu/attention_body.h"

void llmc_attention_kernels_avx2(llmc_attention_kernels *kernels) {
    *kernels = (llmc_attention_kernels){.attend = attend, .groups = groups, .fold = fold, .store = store};
}
