/* The arithmetic inside the sampler: weights as exact integers, selection by threshold, the counter-based generator. Shared by
 * this room's files and its tests only. */
#ifndef LLMC_SAMPLER_PARTS_H
#define LLMC_SAMPLER_PARTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A weight is exp(x), x <= 0, as a float in [0, 1]. Its mass is that in units of 2^-40, an integer: sums of masses are exact,
 * so no order of adding, no tier and no compiler can change which token a number falls on. Adding 2^52 rounds a double to an
 * integer, ties to even, and leaves it in the low bits: unlike a conversion, that is a vector instruction everywhere. */
#define LLMC_SAMPLER_MASS_ONE 0x1p40f

static inline uint64_t llmc_sampler_mass(float weight) {
    double rounded = (double)weight * 0x1p40 + 0x1p52;
    uint64_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return bits - 0x4330000000000000;
}

/* out[i] = exp((values[i] - max) * scale) for values <= max; out may be values, or NULL. Returns the sum of the masses.
 * Weights too small to have a mass are 0. Plain multiplications and additions, the same on every machine. */
uint64_t llmc_sampler_weigh(const float *values, size_t n, float max, float scale, float *out);

/* Natural logarithm of a positive normal number, to about 1 unit in the last place of a float; the same on every machine. */
double llmc_sampler_log(double x);

/* Philox4x32-10 (Salmon and others, Parallel Random Numbers: As Easy as 1, 2, 3, 2011). */
void llmc_sampler_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4]);
/* 64 bits for one draw: a function of its three arguments only. */
uint64_t llmc_sampler_random(uint64_t seed, uint32_t choice, uint64_t position);

/* What is kept: every value above, and the first take ones (by index) that are equal. */
typedef struct llmc_sampler_threshold {
    float value;
    size_t take;
} llmc_sampler_threshold;

typedef struct llmc_sampler_entry {
    float value;
    uint32_t id;
} llmc_sampler_entry;

/* The k largest values (ties: lower index) into entries, which is a heap with the least of them in front. Returns how many:
 * k or n. No NaN. */
size_t llmc_sampler_largest(const float *values, size_t n, size_t k, llmc_sampler_entry *entries);

/* The k largest, 1 <= k <= n. */
llmc_sampler_threshold llmc_sampler_top_k(const float *values, size_t n, size_t k);
/* The fewest largest weights whose masses reach target, 1 <= target <= sum of masses. */
llmc_sampler_threshold llmc_sampler_nucleus(const float *weights, size_t n, uint64_t target);

/* Moves what is kept to the front, order unchanged, and returns how many. ids moves along; identity: ids is not read, as
 * ids[i] would be i. */
size_t llmc_sampler_keep(float *values, uint32_t *ids, size_t n, int identity, llmc_sampler_threshold threshold);

/* Replaces NaN by -inf, +inf and what is above 1e30 by 1e30, what is below -1e30 by -inf, -0 by 0. Returns the maximum. */
float llmc_sampler_tidy(float *values, size_t n);
/* Index of the first value equal to x, or 0. */
size_t llmc_sampler_find(const float *values, size_t n, float x);

#endif
