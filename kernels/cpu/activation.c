/* Activations, portable: the definition that the other tiers equal. */
#include "kernels/cpu/activation.h"

#include "kernels/cpu/vecmath.h"

static void swiglu(const float *gate, const float *up, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = llmc_silu(gate[i]) * up[i];
}

static void geglu(const float *gate, const float *up, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = llmc_gelu(gate[i]) * up[i];
}

static void geglu_exact(const float *gate, const float *up, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = llmc_gelu_exact(gate[i]) * up[i];
}

static void swiglu_clamped(const float *gate, const float *up, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i++) {
        float g = gate[i] > LLMC_CLAMPED_LIMIT ? LLMC_CLAMPED_LIMIT : gate[i];
        float u = up[i] > LLMC_CLAMPED_LIMIT ? LLMC_CLAMPED_LIMIT : up[i] < -LLMC_CLAMPED_LIMIT ? -LLMC_CLAMPED_LIMIT : up[i];
        y[i] = g / (1.0f + llmc_expf(g * -LLMC_CLAMPED_ALPHA)) * (u + 1.0f);
    }
}

static void swiglu_limited(const float *gate, const float *up, float limit, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i++) {
        float g = llmc_silu(gate[i]), u = up[i] > limit ? limit : up[i] < -limit ? -limit : up[i];
        y[i] = (g > limit ? limit : g) * u;
    }
}

static void reglu(const float *gate, const float *up, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = gate[i] < 0.0f ? 0.0f : gate[i] * up[i];
}

static void gelu(const float *gate, const float *up, uint32_t n, float *y) {
    (void)up;
    for (uint32_t i = 0; i < n; i++) y[i] = llmc_gelu(gate[i]);
}

static void gelu_exact(const float *gate, const float *up, uint32_t n, float *y) {
    (void)up;
    for (uint32_t i = 0; i < n; i++) y[i] = llmc_gelu_exact(gate[i]);
}

static void relu_squared(const float *gate, const float *up, uint32_t n, float *y) {
    (void)up;
    for (uint32_t i = 0; i < n; i++) y[i] = gate[i] < 0.0f ? 0.0f : gate[i] * gate[i];
}

static void xielu(const float *x, const llmc_xielu *numbers, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i++) {
        float curve = numbers->above * x[i] * x[i];
        float least = x[i] < numbers->limit ? x[i] : numbers->limit;
        if (!(x[i] > 0.0f)) curve = (llmc_expm1_down(least) - x[i]) * numbers->below;
        y[i] = curve + numbers->slope * x[i];
    }
}

static void soft_cap(float *x, uint32_t n, float cap) {
    for (uint32_t i = 0; i < n; i++) x[i] = cap * llmc_tanhf(x[i] / cap);
}

void llmc_activation_kernels_init(llmc_activation_kernels *kernels, llmc_cpu_tier tier) {
    *kernels = (llmc_activation_kernels){.of = {[LLMC_SWIGLU] = swiglu,
                                                [LLMC_GEGLU] = geglu,
                                                [LLMC_SWIGLU_CLAMPED] = swiglu_clamped,
                                                [LLMC_GEGLU_EXACT] = geglu_exact,
                                                [LLMC_REGLU] = reglu,
                                                [LLMC_GELU] = gelu,
                                                [LLMC_RELU_SQUARED] = relu_squared,
                                                [LLMC_GELU_EXACT] = gelu_exact},
                                         .swiglu_limited = swiglu_limited,
                                         .xielu = xielu,
                                         .soft_cap = soft_cap};
    if (tier < LLMC_TIER_AVX2) return;
#ifdef LLMC_X86
    llmc_activation_kernels_avx2(kernels);
    if (tier < LLMC_TIER_AVX512) return;
    llmc_activation_kernels_avx512(kernels);
#endif
}
