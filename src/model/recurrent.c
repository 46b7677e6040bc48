/* Sizes of recurrent layers. What hparams allows keeps every product far inside 64 bits. */
#include "model/recurrent.h"

static size_t round16(size_t n) {
    return (n + 15) & ~(size_t)15;
}

uint32_t llmc_conv_channels(const llmc_hparams *h) {
    const llmc_recurrent_params *r = &h->recurrent;
    return r->mixer == LLMC_MIXER_CONV ? h->width : r->inner + 2 * r->n_groups * r->state_size;
}

size_t llmc_window_floats(const llmc_hparams *h) {
    return h->recurrent.n_taps > 0 ? round16((size_t)(h->recurrent.n_taps - 1) * llmc_conv_channels(h)) : 0;
}

size_t llmc_layer_state_floats(const llmc_hparams *h) {
    const llmc_recurrent_params *r = &h->recurrent;
    return llmc_window_floats(h) + round16((size_t)r->inner * r->state_size);
}

size_t llmc_state_floats(const llmc_hparams *h) {
    return h->recurrent.n_layers * llmc_layer_state_floats(h);
}
