/* What stands between the matrix products of a feed-forward network: its activation, gated or not. */
#ifndef LLMC_ACTIVATION_H
#define LLMC_ACTIVATION_H

#include <stdint.h>

#include "kernels/activation_kind.h"
#include "kernels/cpu/cpu.h"

/* y (n); it may be gate or up. */
typedef void (*llmc_activation_function)(const float *gate, const float *up, uint32_t n, float *y);

typedef struct llmc_activation_kernels {
    llmc_activation_function of[LLMC_ACTIVATIONS_KNOWN];
    /* silu(gate), up to the limit, times up, from -limit to limit. */
    void (*swiglu_limited)(const float *gate, const float *up, float limit, uint32_t n, float *y);
    void (*xielu)(const float *x, const llmc_xielu *numbers, uint32_t n, float *y); /* y may be x */
    void (*soft_cap)(float *x, uint32_t n, float cap);                              /* x[i] = cap * tanh(x[i] / cap) */
} llmc_activation_kernels;

/* Equal bits on every tier. */
void llmc_activation_kernels_init(llmc_activation_kernels *kernels, llmc_cpu_tier tier);

void llmc_activation_kernels_avx2(llmc_activation_kernels *kernels); /* overrides what the tier has better */
void llmc_activation_kernels_avx512(llmc_activation_kernels *kernels);

#endif
