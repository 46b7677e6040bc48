/* Layers with a state instead of a KV cache: how large their parts are. */
#ifndef LLMC_MODEL_RECURRENT_H
#define LLMC_MODEL_RECURRENT_H

#include <stddef.h>

#include "model/arch.h"

/* Channels of the convolution: LFM2's width; x; x, b and c of Mamba-2; q, k and v of the delta rule. */
uint32_t llmc_conv_channels(const llmc_hparams *hparams);

uint32_t llmc_scan_row(const llmc_hparams *hparams);    /* Mamba-2's projections of a token: z, x, b, c and dt */
uint32_t llmc_mixer_width(const llmc_hparams *hparams); /* what a recurrent layer puts out, before its last matrix */
size_t llmc_mixer_floats(const llmc_hparams *hparams);  /* between the two, a token */

/* Floats in a slot of states, for all recurrent layers, a multiple of 16; 0: there are none. A layer's state is its convolution's
 * last inputs and then, from llmc_window_floats on, its heads' states. */
size_t llmc_state_floats(const llmc_hparams *hparams);
size_t llmc_layer_state_floats(const llmc_hparams *hparams);
size_t llmc_window_floats(const llmc_hparams *hparams);

#endif
