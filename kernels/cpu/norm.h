/* Root mean square normalisation, and the gated activation of SwiGLU: what stands between two matrix products. */
#ifndef LLMC_NORM_H
#define LLMC_NORM_H

#include <stdint.h>

#include "kernels/cpu/cpu.h"

typedef struct llmc_norm_kernels {
    /* y[i] = (x[i] * r) * weight[i], r = 1 / sqrt(mean(x^2) + eps). y may be x. */
    void (*rms_norm)(const float *x, const float *weight, uint32_t n, float eps, float *y);
    /* y[i] = silu(gate[i]) * up[i]. y may be gate or up. */
    void (*swiglu)(const float *gate, const float *up, uint32_t n, float *y);
} llmc_norm_kernels;

/* Equal bits on every tier; sums in the fixed 16-way shape (kernels/README.md). */
void llmc_norm_kernels_init(llmc_norm_kernels *kernels, llmc_cpu_tier tier);

void llmc_norm_kernels_avx2(llmc_norm_kernels *kernels); /* overrides what the tier has better */
void llmc_norm_kernels_avx512(llmc_norm_kernels *kernels);

#endif
