/* Sizes of recurrent layers. What hparams allows keeps every product far inside 64 bits. */
#include "model/recurrent.h"

static size_t round16(size_t n) {
    return (n + 15) & ~(size_t)15;
}

uint32_t llmc_conv_channels(const llmc_hparams *h) {
    const llmc_recurrent_params *r = &h->recurrent;
    switch (r->mixer) {
    case LLMC_MIXER_CONV:
        return h->width;
    case LLMC_MIXER_SELECT:
    case LLMC_MIXER_SELECT_HEADS:
        return r->inner;
    default:
        return r->inner + 2 * r->n_groups * r->state_size;
    }
}

uint32_t llmc_scan_row(const llmc_hparams *h) {
    return h->recurrent.inner + llmc_conv_channels(h) + h->recurrent.n_heads;
}

uint32_t llmc_mixer_width(const llmc_hparams *h) {
    return h->recurrent.mixer == LLMC_MIXER_CONV ? h->width : h->recurrent.inner;
}

size_t llmc_mixer_floats(const llmc_hparams *h) {
    const llmc_recurrent_params *r = &h->recurrent;
    size_t channels = llmc_conv_channels(h);
    switch (r->mixer) {
    case LLMC_MIXER_NONE:
        break;
    case LLMC_MIXER_CONV:
        return 3 * channels;
    case LLMC_MIXER_SCAN:
        return llmc_scan_row(h) + channels;
    case LLMC_MIXER_SELECT: /* x and z; x convolved; what dt is made of; b and c; dt */
        return 3 * channels + r->dt_rank + 2 * (size_t)r->state_size + r->n_heads;
    case LLMC_MIXER_SELECT_HEADS: /* and x and z apart */
        return 5 * channels + r->dt_rank + 2 * (size_t)r->state_size + r->n_heads;
    case LLMC_MIXER_KDA: /* q, k, v; convolved; decay and gate, and what they are made of; beta */
        return 2 * channels + 2 * (size_t)r->inner + 2 * (size_t)r->dt_rank + r->n_heads;
    case LLMC_MIXER_RWKV:
        return 14 * (size_t)h->width + r->ranks[0] + r->ranks[1] + r->ranks[2] + r->ranks[3];
    case LLMC_MIXER_DELTA: /* q, k, v and z as projected; q, k, v; convolved; z; beta and alpha, as projected and apart */
        return 3 * channels + 2 * (size_t)r->inner + 4 * (size_t)r->n_heads;
    }
    return 0;
}

size_t llmc_window_floats(const llmc_hparams *h) {
    if (h->recurrent.mixer == LLMC_MIXER_RWKV) return round16(2 * (size_t)h->width); /* the rows before, of both shifts */
    return h->recurrent.n_taps > 0 ? round16((size_t)(h->recurrent.n_taps - 1) * llmc_conv_channels(h)) : 0;
}

size_t llmc_layer_state_floats(const llmc_hparams *h) {
    const llmc_recurrent_params *r = &h->recurrent;
    return llmc_window_floats(h) + round16((size_t)r->inner * r->state_size);
}

size_t llmc_state_floats(const llmc_hparams *h) {
    return h->recurrent.n_layers * llmc_layer_state_floats(h);
}
