/* Rotary position embedding, portable: the definition that the other tiers equal. */
#include "kernels/cpu/rope.h"

#include <math.h>

void llmc_rope_angles(uint32_t position, const double *inv_freq, uint32_t n_rot, float scale, float *table) {
    for (uint32_t i = 0; i < n_rot / 2; i++) {
        double angle = (double)position * inv_freq[i];
        table[2 * i] = (float)((double)scale * cos(angle));
        table[2 * i + 1] = (float)((double)scale * sin(angle));
    }
}

static void turn(float *a, float *b, float c, float s) {
    float x = *a, y = *b;
    *a = fmaf(x, c, -(y * s));
    *b = fmaf(y, c, x * s);
}

static void interleaved(float *x, uint32_t n_rot, const float *table) {
    for (uint32_t i = 0; i < n_rot; i += 2) turn(x + i, x + i + 1, table[i], table[i + 1]);
}

static void halves(float *x, uint32_t n_rot, const float *table) {
    uint32_t half = n_rot / 2;
    for (uint32_t i = 0; i < half; i++) turn(x + i, x + i + half, table[2 * i], table[2 * i + 1]);
}

void llmc_rope_kernels_init(llmc_rope_kernels *kernels, llmc_cpu_tier tier) {
    *kernels = (llmc_rope_kernels){.interleaved = interleaved, .halves = halves};
    if (tier < LLMC_TIER_AVX2) return;
#ifdef LLMC_X86
    llmc_rope_kernels_avx2(kernels);
    if (tier < LLMC_TIER_AVX512) return;
    llmc_rope_kernels_avx512(kernels);
#endif
}
