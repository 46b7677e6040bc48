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

INLINE __m256 both(__m256 a, __m256 b, int largest) {
    return largest ? _mm256_max_ps(a, b) : _mm256_add_ps(a, b);
}

/* The sum or the largest of the 8 lanes of each of 6 rows, in lanes 0 to 5. The tree of llmc_sum8 for all rows together: each
 * step puts the halves of two vectors into one. */
INLINE __m256 across(const __m256 row[TILE], int largest) {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 2, 6);
    __m256 two[3];
#pragma GCC unroll 4
    for (int i = 0; i < 3; i++) {
        two[i] = both(_mm256_permute2f128_ps(row[2 * i], row[2 * i + 1], 0x20),
                      _mm256_permute2f128_ps(row[2 * i], row[2 * i + 1], 0x31), largest);
    }
    __m256 low = both(_mm256_shuffle_ps(two[0], two[1], 0x44), _mm256_shuffle_ps(two[0], two[1], 0xee), largest);
    __m256 high = both(_mm256_shuffle_ps(two[2], two[2], 0x44), _mm256_shuffle_ps(two[2], two[2], 0xee), largest);
    __m256 one = both(_mm256_shuffle_ps(low, high, 0x88), _mm256_shuffle_ps(low, high, 0xdd), largest);
    return _mm256_permutevar8x32_ps(one, order);
}

INLINE __m256 visible_lanes(uint32_t n_valid, uint32_t vector) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32((int)n_valid - (int)(8 * vector)), lane));
}

/* The largest of a row's scores is scaled, not every score: rounding keeps their order. */
INLINE void softmax_of(const int masked, float *s, uint32_t n, const uint32_t *n_valid, uint32_t n_vectors, float scale,
                       float *m, float *l) {
    const __m256 factor = _mm256_set1_ps(scale), nothing = _mm256_set1_ps(-INFINITY);
    __m256 row[TILE];
    for (uint32_t i = 0; i < n; i++) {
        __m256 largest = nothing;
#pragma GCC unroll 8
        for (uint32_t v = 0; v < 2 * n_vectors; v++) {
            __m256 x = _mm256_loadu_ps(s + i * LLMC_KV_GROUP + 8 * v);
            if (masked) x = _mm256_blendv_ps(nothing, x, visible_lanes(n_valid[i], v));
            largest = _mm256_max_ps(x, largest);
        }
        row[i] = largest;
    }
    for (uint32_t i = n; i < TILE; i++) row[i] = nothing;
    _mm256_storeu_ps(m, _mm256_mul_ps(across(row, 1), factor));
    for (uint32_t i = 0; i < n; i++) {
        const __m256 largest = _mm256_set1_ps(m[i]);
        __m256 sum[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
#pragma GCC unroll 8
        for (uint32_t v = 0; v < 2 * n_vectors; v++) {
            float *at = s + i * LLMC_KV_GROUP + 8 * v;
            __m256 x = _mm256_sub_ps(_mm256_mul_ps(_mm256_loadu_ps(at), factor), largest);
            if (masked) x = _mm256_blendv_ps(nothing, x, visible_lanes(n_valid[i], v));
            __m256 p = llmc_exp8_down(x);
            _mm256_storeu_ps(at, p);
            sum[v % 2] = _mm256_add_ps(sum[v % 2], p);
        }
        row[i] = _mm256_add_ps(sum[0], sum[1]);
    }
    _mm256_storeu_ps(l, across(row, 0));
}

static void softmax_rows(float *s, uint32_t n, const uint32_t *n_valid, uint32_t n_vectors, float scale, float *m, float *l) {
    if (n_valid[0] == LLMC_KV_GROUP) {
        softmax_of(0, s, n, n_valid, 4, scale, m, l);
    } else {
        softmax_of(1, s, n, n_valid, n_vectors, scale, m, l);
    }
}

static inline void fold_factors(float *maximum, const float *m, uint32_t n, float *old, float *added) {
    const __m256i lanes = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
    __m256 before = _mm256_loadu_ps(maximum), here = _mm256_loadu_ps(m), larger = _mm256_max_ps(before, here);
    _mm256_storeu_ps(maximum, _mm256_blendv_ps(before, larger, _mm256_castsi256_ps(lanes)));
    _mm256_storeu_ps(old, llmc_exp8_down(_mm256_sub_ps(before, larger)));
    _mm256_storeu_ps(added, llmc_exp8_down(_mm256_sub_ps(here, larger)));
}

static inline void fold_output(float *output, float a, const float *o, float b, uint32_t dim) {
    const __m256 old = _mm256_set1_ps(a), added = _mm256_set1_ps(b);
    for (uint32_t d = 0; d < dim; d += 8) {
        __m256 x = _mm256_mul_ps(_mm256_loadu_ps(o + d), added);
        _mm256_storeu_ps(output + d, _mm256_fmadd_ps(_mm256_loadu_ps(output + d), old, x));
    }
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

INLINE __m256 load_bytes(const int8_t *from) {
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)from)));
}

static inline void dequantize_values(float *to, uint32_t to_stride, const int8_t *from, uint32_t from_stride, uint32_t n,
                                     const uint16_t *scales) {
    float factors[LLMC_KV_PAGE];
    _mm256_storeu_ps(factors, load8(scales, 0, 1));
    _mm256_storeu_ps(factors + 8, load8(scales, 8, 1));
    for (uint32_t i = 0; i < n; i++, to += to_stride, from += from_stride) {
        const __m256 factor = _mm256_set1_ps(factors[i]);
#pragma GCC unroll 4
        for (int d = 0; d < LLMC_KV_Q8_DIMS; d += 8) _mm256_storeu_ps(to + d, _mm256_mul_ps(load_bytes(from + d), factor));
    }
}

static inline void dequantize_keys(float *to, const int8_t *from, const uint16_t *scales) {
    const __m256 low = load8(scales, 0, 1), high = load8(scales, 8, 1);
    for (uint32_t d = 0; d < LLMC_KV_Q8_DIMS; d++) {
        float *row = to + (size_t)d * LLMC_KV_GROUP;
        _mm256_storeu_ps(row, _mm256_mul_ps(load_bytes(from + d * LLMC_KV_PAGE), low));
        _mm256_storeu_ps(row + 8, _mm256_mul_ps(load_bytes(from + d * LLMC_KV_PAGE + 8), high));
    }
}

#include "kernels/cpu/attention_body.h"

void llmc_attention_kernels_avx2(llmc_attention_kernels *kernels) {
    *kernels = (llmc_attention_kernels){.attend = attend, .groups = groups, .fold = fold, .store = store};
}
