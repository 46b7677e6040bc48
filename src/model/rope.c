/* Rotary position embedding (Su et al. 2021), linear interpolation and YaRN (Peng et al. 2023), settings as in GGUF. */
#include "model/rope.h"

#include <math.h>

/* The pair of dimensions that makes the given number of turns over the original context. */
static double pair_of_turns(const llmc_rope_params *rope, double turns) {
    const double two_pi = 6.283185307179586;
    return rope->n_rot * log(rope->original_context / (turns * two_pi)) / (2 * log(rope->base));
}

/* How much of pair i keeps its own frequency: 1 for the fast ones, 0 for the slow ones, a ramp between. */
static double kept(double i, double low, double high) {
    double ramp = (i - low) / fmax(0.001, high - low);
    return 1 - fmin(1, fmax(0, ramp));
}

float llmc_rope_frequencies(const llmc_rope_params *rope, const float *factors, double *inv_freq) {
    double shrink = rope->scaling == LLMC_ROPE_UNSCALED ? 1 : 1.0 / rope->factor;
    double low = 0, high = 0;
    if (rope->scaling == LLMC_ROPE_YARN) {
        low = fmax(0, floor(pair_of_turns(rope, rope->beta_fast)));
        high = fmin(rope->n_rot - 1.0, ceil(pair_of_turns(rope, rope->beta_slow)));
    }
    for (uint32_t i = 0; i < rope->n_rot / 2; i++) {
        double own = pow(rope->base, -2.0 * i / rope->n_rot) / (factors ? factors[i] : 1.0);
        double mix = rope->scaling == LLMC_ROPE_YARN ? kept(i, low, high) : 0;
        inv_freq[i] = own * shrink * (1 - mix) + own * mix;
    }
    /* YaRN's attention temperature, applied to q and k alike. */
    double scale = 1;
    if (rope->scaling == LLMC_ROPE_YARN && rope->factor > 1) {
        scale = (1 + 0.1 * log(rope->factor)) / (1 + 0.1 * (double)rope->log_multiplier * log(rope->factor));
    }
    return (float)(scale * rope->attention_factor);
}
