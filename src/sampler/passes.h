/* Passes over a whole row of logits or weights: what the sampler does tens of thousands of times a token. One table an
 * instruction set, all from passes.c and all with the same results: lanes are independent, sums are of integers. */
#ifndef LLMC_SAMPLER_PASSES_H
#define LLMC_SAMPLER_PASSES_H

#include <stddef.h>
#include <stdint.h>

enum {
    LLMC_SAMPLER_BLOCK = 16,  /* values that are looked at together */
    LLMC_SAMPLER_CHUNKS = 64, /* parts of a row whose masses are kept */
    LLMC_SAMPLER_LEVELS = 16
};

/* Values a chunk: a multiple of LLMC_SAMPLER_BLOCK; the last chunks may be short or empty. */
static inline size_t llmc_sampler_chunk(size_t n) {
    return ((n + LLMC_SAMPLER_CHUNKS - 1) / LLMC_SAMPLER_CHUNKS + LLMC_SAMPLER_BLOCK - 1) / LLMC_SAMPLER_BLOCK *
           LLMC_SAMPLER_BLOCK;
}

typedef struct llmc_sampler_passes {
    /* Replaces NaN by -inf, +inf and what is above 1e30 by 1e30, what is below -1e30 by -inf, -0 by 0. Returns the maximum. */
    float (*tidy)(float *values, size_t n);

    /* out[i] = exp((values[i] - max) * scale) for values <= max; out may be values, or NULL. Weights too small to have a mass
     * are 0. Returns the sum of the masses; chunks: (LLMC_SAMPLER_CHUNKS) those of each chunk, or NULL. */
    uint64_t (*weigh)(const float *values, size_t n, float max, float scale, float *out, uint64_t *chunks);

    /* The sum of the masses of the weights >= least; chunks as above. */
    uint64_t (*mass_from)(const float *weights, size_t n, float least, uint64_t *chunks);

    /* About the sum of the weights below each level, of every stride-th block; only whole blocks are looked at. The rounding
     * differs from table to table. */
    void (*sums_below)(const float *weights, size_t n, size_t stride, const float levels[LLMC_SAMPLER_LEVELS],
                       float sums[LLMC_SAMPLER_LEVELS]);

    /* The values >= least and < below, with their indices (ids may be NULL), in order. Both outputs have room for capacity +
     * LLMC_SAMPLER_BLOCK. Returns how many, or more than capacity if it gave up. */
    size_t (*gather)(const float *values, size_t n, float least, float below, float *out, uint32_t *ids, size_t capacity);

    /* The first block at or behind the block that begins at i in which something is >= least; n if there is none. Of the last
     * block, which may be short, nothing is said. */
    size_t (*reach)(const float *values, size_t n, size_t i, float least);
} llmc_sampler_passes;

extern const llmc_sampler_passes llmc_sampler_passes_c;
extern const llmc_sampler_passes llmc_sampler_passes_avx2;
extern const llmc_sampler_passes llmc_sampler_passes_avx512;

/* Those that this machine can run, in rising order from 0, where the portable ones are; NULL: none at this place. */
const llmc_sampler_passes *llmc_sampler_passes_at(uint32_t i);
/* The best of them, no better than what LLMCALL_CPU names at the first call. */
const llmc_sampler_passes *llmc_sampler_passes_best(void);

#endif
