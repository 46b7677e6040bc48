/* Normalisation of a row by its root mean square, or by its mean and variance. */
#ifndef LLMC_NORM_H
#define LLMC_NORM_H

#include <stdint.h>

#include "kernels/cpu/cpu.h"

typedef struct llmc_norm_kernels {
    /* y[i] = (x[i] * r) * weight[i], r = 1 / sqrt(mean(x^2) + eps). y may be x. */
    void (*rms_norm)(const float *x, const float *weight, uint32_t n, float eps, float *y);
    /* y[i] = ((x[i] - mean(x)) * r) * weight[i] + bias[i], r = 1 / sqrt(mean((x - mean(x))^2) + eps). bias NULL: none is
     * added. y may be x. */
    void (*layer_norm)(const float *x, const float *weight, const float *bias, uint32_t n, float eps, float *y);
} llmc_norm_kernels;

/* Equal bits on every tier; sums in the fixed 16-way shape (kernels/README.md). */
void llmc_norm_kernels_init(llmc_norm_kernels *kernels, llmc_cpu_tier tier);

void llmc_norm_kernels_avx2(llmc_norm_kernels *kernels); /* overrides what the tier has better */
void llmc_norm_kernels_avx512(llmc_norm_kernels *kernels);

#endif
