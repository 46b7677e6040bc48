/* RMS norm and layer norm, portable: the definition that the other tiers equal. */
#include "kernels/cpu/norm.h"

#include "kernels/cpu/vecmath.h"

static void rms_norm(const float *x, const float *weight, uint32_t n, float eps, float *y) {
    float lanes[16] = {0};
    for (uint32_t i = 0; i < n; i++) lanes[i % 16] = fmaf(x[i], x[i], lanes[i % 16]);
    float r = 1.0f / sqrtf(llmc_sum16(lanes) / (float)n + eps);
    for (uint32_t i = 0; i < n; i++) y[i] = x[i] * r * weight[i];
}

static void layer_norm(const float *x, const float *weight, const float *bias, uint32_t n, float eps, float *y) {
    float sums[16] = {0}, squares[16] = {0};
    for (uint32_t i = 0; i < n; i++) sums[i % 16] += x[i];
    float mean = llmc_sum16(sums) / (float)n;
    for (uint32_t i = 0; i < n; i++) squares[i % 16] = fmaf(x[i] - mean, x[i] - mean, squares[i % 16]);
    float r = 1.0f / sqrtf(llmc_sum16(squares) / (float)n + eps);
    for (uint32_t i = 0; i < n; i++) {
        float scaled = (x[i] - mean) * r * weight[i];
        y[i] = bias ? scaled + bias[i] : scaled;
    }
}

void llmc_norm_kernels_init(llmc_norm_kernels *kernels, llmc_cpu_tier tier) {
    *kernels = (llmc_norm_kernels){.rms_norm = rms_norm, .layer_norm = layer_norm};
    if (tier < LLMC_TIER_AVX2) return;
#ifdef LLMC_X86
    llmc_norm_kernels_avx2(kernels);
    if (tier < LLMC_TIER_AVX512) return;
    llmc_norm_kernels_avx512(kernels);
#endif
}
