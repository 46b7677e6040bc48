/* Rotary position embedding: the angles of a position, and the turning of one head. */
#ifndef LLMC_ROPE_H
#define LLMC_ROPE_H

#include <stdint.h>

#include "kernels/cpu/cpu.h"

/* table (n_rot / 2, 2) = scale * cos, scale * sin of position * inv_freq[i], computed in double, rounded once. */
void llmc_rope_angles(uint32_t position, const double *inv_freq, uint32_t n_rot, float scale, float *table);

/* Turns the first n_rot elements of x in place. A pair (a, b) with its (c, s) becomes
 * (fma(a, c, -(b * s)), fma(b, c, a * s)). n_rot is even. */
typedef void (*llmc_rope_fn)(float *x, uint32_t n_rot, const float *table);

typedef struct llmc_rope_kernels {
    llmc_rope_fn interleaved; /* pairs (2i, 2i + 1) */
    llmc_rope_fn halves;      /* pairs (i, i + n_rot / 2) */
} llmc_rope_kernels;

/* Equal bits on every tier. */
void llmc_rope_kernels_init(llmc_rope_kernels *kernels, llmc_cpu_tier tier);

void llmc_rope_kernels_avx2(llmc_rope_kernels *kernels);
void llmc_rope_kernels_avx512(llmc_rope_kernels *kernels);

#endif
