/* RMS norm and SwiGLU in 16 lanes. */
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

static void swiglu(const float *gate, const float *up, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 mask = first_lanes(n - i);
        __m512 activated = llmc_silu16(_mm512_maskz_loadu_ps(mask, gate + i));
        _mm512_mask_storeu_ps(y + i, mask, _mm512_mul_ps(activated, _mm512_maskz_loadu_ps(mask, up + i)));
    }
}

void llmc_norm_kernels_avx512(llmc_norm_kernels *kernels) {
    kernels->rms_norm = rms_norm;
    kernels->swiglu = swiglu;
}
