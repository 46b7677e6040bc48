/* RMS norm and SwiGLU, portable: the definition that the other tiers equal. */
#include "kernels/cpu/norm.h"

#include "kernels/cpu/vecmath.h"

static void rms_norm(const float *x, const float *weight, uint32_t n, float eps, float *y) {
    float lanes[16] = {0};
    for (uint32_t i = 0; i < n; i++) lanes[i % 16] = fmaf(x[i], x[i], lanes[i % 16]);
    float r = 1.0f / sqrtf(llmc_sum16(lanes) / (float)n + eps);
    for (uint32_t i = 0; i < n; i++) y[i] = x[i] * r * weight[i];
}

static void swiglu(const float *gate, const float *up, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = llmc_silu(gate[i]) * up[i];
}

void llmc_norm_kernels_init(llmc_norm_kernels *kernels, llmc_cpu_tier tier) {
    *kernels = (llmc_norm_kernels){.rms_norm = rms_norm, .swiglu = swiglu};
    if (tier < LLMC_TIER_AVX2) return;
#ifdef LLMC_X86
    llmc_norm_kernels_avx2(kernels);
    if (tier < LLMC_TIER_AVX512) return;
    llmc_norm_kernels_avx512(kernels);
#endif
}
