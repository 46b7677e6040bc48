/* RMS norm and layer norm in 8 lanes. */
#include "kernels/cpu/norm.h"

#include "kernels/cpu/vecmath.h"

/* Lanes 0 .. n - 1 of 8 (all of them from n = 8 on), as maskload wants them. */
static inline __m256i first_lanes(uint32_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n < 8 ? n : 8)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static void rms_norm(const float *x, const float *weight, uint32_t n, float eps, float *y) {
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + 8);
        low = _mm256_fmadd_ps(a, a, low);
        high = _mm256_fmadd_ps(b, b, high);
    }
    if (i < n) { /* absent lanes add +0, which changes nothing */
        uint32_t left = n - i;
        __m256 a = _mm256_maskload_ps(x + i, first_lanes(left));
        __m256 b = left > 8 ? _mm256_maskload_ps(x + i + 8, first_lanes(left - 8)) : _mm256_setzero_ps();
        low = _mm256_fmadd_ps(a, a, low);
        high = _mm256_fmadd_ps(b, b, high);
    }
    float r = 1.0f / sqrtf(llmc_sum8(_mm256_add_ps(low, high)) / (float)n + eps);
    __m256 factor = _mm256_set1_ps(r);
    for (i = 0; i + 8 <= n; i += 8) {
        __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + i), factor);
        _mm256_storeu_ps(y + i, _mm256_mul_ps(scaled, _mm256_loadu_ps(weight + i)));
    }
    for (; i < n; i++) y[i] = x[i] * r * weight[i];
}

/* x of the lanes that are there, less mean; the others 0. */
static inline __m256 centred(const float *x, __m256i lanes, __m256 mean) {
    return _mm256_and_ps(_mm256_sub_ps(_mm256_maskload_ps(x, lanes), mean), _mm256_castsi256_ps(lanes));
}

/* The 16 partial sums of x - mean, or of their squares, by the tree. */
static inline float sum_of(const float *x, uint32_t n, float mean, int squared) {
    const __m256 subtracted = _mm256_set1_ps(mean);
    __m256 half[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (uint32_t i = 0, turn = 0; i < n; i += 8, turn ^= 1) {
        __m256 d = centred(x + i, first_lanes(n - i), subtracted);
        half[turn] = squared ? _mm256_fmadd_ps(d, d, half[turn]) : _mm256_add_ps(half[turn], d);
    }
    return llmc_sum8(_mm256_add_ps(half[0], half[1]));
}

static void layer_norm(const float *x, const float *weight, const float *bias, uint32_t n, float eps, float *y) {
    float mean = sum_of(x, n, 0.0f, 0) / (float)n;
    float r = 1.0f / sqrtf(sum_of(x, n, mean, 1) / (float)n + eps);
    const __m256 subtracted = _mm256_set1_ps(mean), factor = _mm256_set1_ps(r);
    for (uint32_t i = 0; i < n; i += 8) {
        __m256i lanes = first_lanes(n - i);
        __m256 scaled = _mm256_mul_ps(centred(x + i, lanes, subtracted), factor);
        scaled = _mm256_mul_ps(scaled, _mm256_maskload_ps(weight + i, lanes));
        if (bias) scaled = _mm256_add_ps(scaled, _mm256_maskload_ps(bias + i, lanes));
        _mm256_maskstore_ps(y + i, lanes, scaled);
    }
}

void llmc_norm_kernels_avx2(llmc_norm_kernels *kernels) {
    kernels->rms_norm = rms_norm;
    kernels->layer_norm = layer_norm;
}
