/* Activations in 8 lanes. */
#include "kernels/cpu/activation.h"

#include "kernels/cpu/vecmath.h"

#define INLINE static inline __attribute__((always_inline))

INLINE __m256i first_lanes(uint32_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n < 8 ? n : 8)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

INLINE __m256 clamped(__m256 gate, __m256 up) {
    const __m256 limit = _mm256_set1_ps(LLMC_CLAMPED_LIMIT), one = _mm256_set1_ps(1.0f);
    __m256 g = _mm256_min_ps(limit, gate), u = _mm256_max_ps(_mm256_set1_ps(-LLMC_CLAMPED_LIMIT), _mm256_min_ps(limit, up));
    __m256 e = llmc_exp8(_mm256_mul_ps(g, _mm256_set1_ps(-LLMC_CLAMPED_ALPHA)));
    return _mm256_mul_ps(_mm256_div_ps(g, _mm256_add_ps(one, e)), _mm256_add_ps(u, one));
}

INLINE __m256 apply(const llmc_activation activation, __m256 gate, __m256 up) {
    switch (activation) {
    case LLMC_SWIGLU:
        return _mm256_mul_ps(llmc_silu8(gate), up);
    case LLMC_GEGLU:
        return _mm256_mul_ps(llmc_gelu8(gate), up);
    case LLMC_SWIGLU_CLAMPED:
        return clamped(gate, up);
    case LLMC_GELU_EXACT:
        return llmc_gelu_exact8(gate);
    default:
        return llmc_gelu8(gate);
    }
}

INLINE void every(const llmc_activation activation, const float *gate, const float *up, uint32_t n, float *y) {
    uint32_t i = 0;
    int gated = llmc_activation_is_gated(activation);
    for (; i + 8 <= n; i += 8) {
        __m256 second = gated ? _mm256_loadu_ps(up + i) : _mm256_setzero_ps();
        _mm256_storeu_ps(y + i, apply(activation, _mm256_loadu_ps(gate + i), second));
    }
    if (i == n) return;
    __m256i lanes = first_lanes(n - i);
    __m256 second = gated ? _mm256_maskload_ps(up + i, lanes) : _mm256_setzero_ps();
    _mm256_maskstore_ps(y + i, lanes, apply(activation, _mm256_maskload_ps(gate + i, lanes), second));
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
    const __m256 factor = _mm256_set1_ps(cap);
    for (uint32_t i = 0; i < n; i += 8) {
        __m256i lanes = first_lanes(n - i);
        __m256 y = llmc_tanh8(_mm256_div_ps(_mm256_maskload_ps(x + i, lanes), factor));
        _mm256_maskstore_ps(x + i, lanes, _mm256_mul_ps(factor, y));
    }
}

static void gelu_exact(const float *gate, const float *up, uint32_t n, float *y) {
    every(LLMC_GELU_EXACT, gate, up, n, y);
}

void llmc_activation_kernels_avx2(llmc_activation_kernels *kernels) {
    kernels->of[LLMC_SWIGLU] = swiglu;
    kernels->of[LLMC_GEGLU] = geglu;
    kernels->of[LLMC_SWIGLU_CLAMPED] = swiglu_clamped;
    kernels->of[LLMC_GELU] = gelu;
    kernels->of[LLMC_GELU_EXACT] = gelu_exact;
    kernels->soft_cap = soft_cap;
}
