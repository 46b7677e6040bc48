/* The angles by which positions turn the dimensions of a head, computed once a model. */
#ifndef LLMC_ROPE_H
#define LLMC_ROPE_H

#include "model/arch.h"

/* inv_freq (n_rot / 2): radians a position for each pair of dimensions, after scaling; factors (n_rot / 2) from the tensor
 * rope_freqs.weight divide them first (Llama 3's scaling arrives this way), NULL: none. Returns what cos and sin are
 * multiplied by. */
float llmc_rope_frequencies(const llmc_rope_params *rope, const float *factors, double *inv_freq);

#endif
