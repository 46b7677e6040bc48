/* Activations in 16 lanes. */
#include "kernels/cpu/activation.h"

#include "kernels/cpu/vecmath.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m512 clamped(__m512 gate, __m512 up) {
    const __m512 limit = _mm512_set1_ps(LLMC_CLAMPED_LIMIT), one = _mm512_set1_ps(1.0f);
    __m512 g = _mm512_min_ps(limit, gate), u = _mm512_max_ps(_mm512_set1_ps(-LLMC_CLAMPED_LIMIT), _mm512_min_ps(limit, up));
    __m512 e = llmc_exp16(_mm512_mul_ps(g, _mm512_set1_ps(-LLMC_CLAMPED_ALPHA)));
    return _mm512_mul_ps(_mm512_div_ps(g, _mm512_add_ps(one, e)), _mm512_add_ps(u, one));
}

INLINE __m512 apply(const llmc_activation activation, __m512 gate, __m512 up) {
    switch (activation) {
    case LLMC_SWIGLU:
        return _mm512_mul_ps(llmc_silu16(gate), up);
    case LLMC_GEGLU:
        return _mm512_mul_ps(llmc_gelu16(gate), up);
    case LLMC_SWIGLU_CLAMPED:
        return clamped(gate, up);
    case LLMC_GELU_EXACT:
        return llmc_gelu_exact16(gate);
    default:
        return llmc_gelu16(gate);
    }
}

INLINE void every(const llmc_activation activation, const float *gate, const float *up, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = (__mmask16)((1u << (n - i < 16 ? n - i : 16)) - 1u);
        __m512 second = llmc_activation_is_gated(activation) ? _mm512_maskz_loadu_ps(lanes, up + i) : _mm512_setzero_ps();
        _mm512_mask_storeu_ps(y + i, lanes, apply(activation, _mm512_maskz_loadu_ps(lanes, gate + i), second));
    }
}

static void swiglu(const float *gate, const float *up, uint32_t n, float *y) {
    every(LLMC_SWIGLU, gate, up, n, y);
}

static void geglu(const float *gate, const float *up, uint32_t n, float *y) {
    every(LLMC_GEGLU, gate, up, n, y);
}

static void swiglu_clamped(const float *gate, const float *up, uint32_t n, float *y) {
    every(LLMC_SWIGLU_CLAMPED, gate, up, n, y);
}

static void gelu(const float *gate, const float *up, uint32_t n, float *y) {
    every(LLMC_GELU, gate, up, n, y);
}

static void soft_cap(float *x, uint32_t n, float cap) {
    const __m512 factor = _mm512_set1_ps(cap);
    for (uint32_t i = 0; i < n; i += 16) {
        __mmask16 lanes = (__mmask16)((1u << (n - i < 16 ? n - i : 16)) - 1u);
        __m512 y = llmc_tanh16(_mm512_div_ps(_mm512_maskz_loadu_ps(lanes, x + i), factor));
        _mm512_mask_storeu_ps(x + i, lanes, _mm512_mul_ps(factor, y));
    }
}

static void gelu_exact(const float *gate, const float *up, uint32_t n, float *y) {
    every(LLMC_GELU_EXACT, gate, up, n, y);
}

void llmc_activation_kernels_avx512(llmc_activation_kernels *kernels) {
    kernels->of[LLMC_SWIGLU] = swiglu;
    kernels->of[LLMC_GEGLU] = geglu;
    kernels->of[LLMC_SWIGLU_CLAMPED] = swiglu_clamped;
    kernels->of[LLMC_GELU] = gelu;
    kernels->of[LLMC_GELU_EXACT] = gelu_exact;
    kernels->soft_cap = soft_cap;
}
