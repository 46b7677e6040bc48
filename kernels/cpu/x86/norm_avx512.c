/* RMS norm and layer norm in 16 lanes. */
#include "kernels/cpu/norm.h"

#include "kernels/cpu/vecmath.h"

static inline __mmask16 first_lanes(uint32_t n) {
    return (__mmask16)((1u << (n < 16 ? n : 16)) - 1u);
}

static void rms_norm(const float *x, const float *weight, uint32_t n, float eps, float *y) {
    __m512 lanes = _mm512_setzero_ps();
    for (uint32_t i = 0; i < n; i += 16) { /* absent lanes add +0, which changes nothing */
        __m512 a = _mm512_maskz_loadu_ps(first_lanes(n - i), x + i);
        lanes = _mm512_fmadd_ps(a, a, lanes);
    }
    __m512 factor = _mm512_set1_ps(1.0f / sqrtf(llmc_sum16_vector(lanes) / (float)n + eps));
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 scaled = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), factor);
        _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(scaled, _mm512_maskz_loadu_ps(mask, weight + i)));
    }
}

/* x of the lanes that are there, less mean; the others 0. */
static inline __m512 centred(const float *x, __mmask16 mask, __m512 mean) {
    return _mm512_maskz_sub_ps(mask, _mm512_maskz_loadu_ps(mask, x), mean);
}

static void layer_norm(const float *x, const float *weight, const float *bias, uint32_t n, float eps, float *y) {
    __m512 lanes = _mm512_setzero_ps();
    for (uint32_t i = 0; i < n; i += 16) lanes = _mm512_add_ps(lanes, _mm512_maskz_loadu_ps(first_lanes(n - i), x + i));
    __m512 mean = _mm512_set1_ps(llmc_sum16_vector(lanes) / (float)n);
    lanes = _mm512_setzero_ps();
    for (uint32_t i = 0; i < n; i += 16) {
        __m512 d = centred(x + i, first_lanes(n - i), mean);
        lanes = _mm512_fmadd_ps(d, d, lanes);
    }
    __m512 factor = _mm512_set1_ps(1.0f / sqrtf(llmc_sum16_vector(lanes) / (float)n + eps));
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 scaled = _mm512_mul_ps(centred(x + i, mask, mean), factor);
        scaled = _mm512_mul_ps(scaled, _mm512_maskz_loadu_ps(mask, weight + i));
        if (bias) scaled = _mm512_add_ps(scaled, _mm512_maskz_loadu_ps(mask, bias + i));
        _mm512_mask_storeu_ps(y + i, mask, scaled);
    }
}

void llmc_norm_kernels_avx512(llmc_norm_kernels *kernels) {
    kernels->rms_norm = rms_norm;
    kernels->layer_norm = layer_norm;
}
