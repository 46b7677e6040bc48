/* The arithmetic inside the sampler: weights as exact integers, selection by threshold, the counter-based generator. Shared by
 * this room's files and its tests only. */
#ifndef LLMC_SAMPLER_PARTS_H
#define LLMC_SAMPLER_PARTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sampler/passes.h"

/* A weight is exp(x), x <= 0, as a float in [0, 1]. Its mass is that in units of 2^-40, an integer: sums of masses are exact,
 * so no order of adding, no tier and no compiler can change which token a number falls on. Adding 2^52 rounds a double to an
 * integer, ties to even, and leaves it in the low bits: unlike a conversion, that is a vector instruction everywhere. */
#define LLMC_SAMPLER_MASS_ONE  0x1p40f
#define LLMC_SAMPLER_MASS_BIAS (uint64_t)0x4330000000000000

static inline uint64_t llmc_sampler_mass(float weight) {
    double rounded = (double)weight * 0x1p40 + 0x1p52;
    uint64_t bits;
    memcpy(&bits, &rounded, sizeof bits);
    return bits - LLMC_SAMPLER_MASS_BIAS;
}

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
    uint64_t mass; /* of what a nucleus keeps; of others 0 */
} llmc_sampler_threshold;

typedef struct llmc_sampler_entry {
    float value;
    uint32_t id;
} llmc_sampler_entry;

/* The k largest values (ties: lower index) into entries, which is a heap with the least of them in front. Returns how many:
 * k or n. No NaN. */
size_t llmc_sampler_largest(const llmc_sampler_passes *passes, const float *values, size_t n, size_t k,
                            llmc_sampler_entry *entries);

/* The k largest, 1 <= k <= n. */
llmc_sampler_threshold llmc_sampler_top_k(const llmc_sampler_passes *passes, const float *values, size_t n, size_t k);
/* The fewest largest weights whose masses reach target, 1 <= target <= mass, the sum of all masses. spare: room for capacity +
 * LLMC_SAMPLER_BLOCK floats; how many changes nothing but the speed; NULL: none. */
llmc_sampler_threshold llmc_sampler_nucleus(const llmc_sampler_passes *passes, const float *weights, size_t n, uint64_t mass,
                                            uint64_t target, float *spare, size_t capacity);

/* Copies what is kept and its indices in order, and returns how many. */
size_t llmc_sampler_keep(const llmc_sampler_passes *passes, const float *values, size_t n, llmc_sampler_threshold threshold,
                         float *out, uint32_t *ids);
/* Moves what is kept to the front, order unchanged, and returns how many. */
size_t llmc_sampler_compact(float *values, uint32_t *ids, size_t n, llmc_sampler_threshold threshold);

/* Index of the first value equal to max, the maximum of all; or 0. */
size_t llmc_sampler_find(const llmc_sampler_passes *passes, const float *values, size_t n, float max);

#endif
