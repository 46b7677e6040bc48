/* RWKV-7: a state of (key, value) a head that each token lets decay, corrects along one key and adds to. What a matrix reads is a
 * mixture of the token's own normed row and of the one before it, the feed-forward too.
 *
 *     xr, xw, xk, xv, xa, xg = shift(norm(x))                                      (T, width) each
 *     r, k, v = xr . wq, xk . wk, xv . wv
 *     decay, rate, mix = tanh(xw . decay_in) . decay_out, xa . rate_in . rate_out, xv . mix_in . mix_out, and their biases
 *     gate = sigmoid(xg . gate_in) . gate_out
 *     mixed = wkv(r, decay, k, v, rate, mix, gate)      v mixed with the first layer's
 */
#include "model/op_writer.h"
#include "model/recurrent.h"

typedef struct rwkv_arrays {
    float *first;      /* (T, width) v of the first layer; stays there for the others */
    float *shifted[6]; /* (T, width) each */
    float *r, *decay, *k, *v, *rate, *gate, *mix;
    float *low[4]; /* (T, rank of each) of decay, rate, mix and gate */
} rwkv_arrays;

static rwkv_arrays arrays_of(const llmc_op_writer *w, uint32_t n_tokens) {
    const llmc_recurrent_params *r = &w->h->recurrent;
    size_t rows = (size_t)n_tokens * w->h->width;
    rwkv_arrays a = {.first = w->a->mixed};
    float *at = a.first + rows;
    for (int i = 0; i < 6; i++, at += rows) a.shifted[i] = at;
    float **const arrays[] = {&a.r, &a.decay, &a.k, &a.v, &a.rate, &a.gate, &a.mix};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++, at += rows) *arrays[i] = at;
    for (int i = 0; i < LLMC_RWKV_RANKS; i++) {
        a.low[i] = at;
        at += (size_t)n_tokens * r->ranks[i];
    }
    return a;
}

/* norm(x) of each row, mixed with that of the row before by n weights, to n arrays at dst. */
static void add_shift(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens, const float *norm, const float *bias, uint32_t at,
                      const float *weight, uint32_t n, float *dst) {
    llmc_state_place state = llmc_state_of(w, layer);
    state.offset += at;
    llmc_write_norm(w, n_tokens, w->h->width, norm, bias, w->a->x, w->a->normed);
    llmc_write_op(w, LLMC_OP_SHIFT)->u.shift =
        (llmc_op_shift){.state = state, .width = w->h->width, .n_outputs = n, .x = w->a->normed, .weight = weight, .dst = dst};
}

static void add_product(llmc_op_writer *w, uint32_t n_tokens, uint32_t width, const float *src, const llmc_weight *weight,
                        const float *bias, float *dst) {
    llmc_add_part(llmc_write_matmul(w, n_tokens, width, src), weight, bias, dst);
}

static void add_low_ranks(llmc_op_writer *w, const llmc_layer *l, const rwkv_arrays *a, uint32_t n_tokens) {
    const uint32_t *ranks = w->h->recurrent.ranks, width = w->h->width;
    add_product(w, n_tokens, width, a->shifted[1], l->decay_in, NULL, a->low[0]);
    llmc_write_op(w, LLMC_OP_SOFT_CAP)->u.soft_cap = /* of 1: tanh */
        (llmc_op_soft_cap){.n_rows = n_tokens, .width = ranks[0], .cap = 1, .x = a->low[0]};
    add_product(w, n_tokens, ranks[0], a->low[0], l->decay_out, l->decay_bias, a->decay);
    add_product(w, n_tokens, width, a->shifted[4], l->rate_in, NULL, a->low[1]);
    add_product(w, n_tokens, ranks[1], a->low[1], l->rate_out, l->rate_bias, a->rate);
    if (l->mix_in) {
        add_product(w, n_tokens, width, a->shifted[3], l->mix_in, NULL, a->low[2]);
        add_product(w, n_tokens, ranks[2], a->low[2], l->mix_out, l->mix_bias, a->mix);
    }
    add_product(w, n_tokens, width, a->shifted[5], l->gate_in, NULL, a->low[3]);
    llmc_write_op(w, LLMC_OP_SIGMOID)->u.sigmoid = (llmc_op_sigmoid){.n_rows = n_tokens,
                                                                     .n_blocks = 1,
                                                                     .block = ranks[3],
                                                                     .gate = a->low[3],
                                                                     .gate_row = ranks[3],
                                                                     .set = 1,
                                                                     .dst = a->low[3]};
    add_product(w, n_tokens, ranks[3], a->low[3], l->gate_out, NULL, a->gate);
}

void llmc_write_rwkv(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens) {
    const llmc_layer *l = &w->parts->weights->layers[layer];
    const llmc_recurrent_params *r = &w->h->recurrent;
    rwkv_arrays a = arrays_of(w, n_tokens);
    llmc_state_place state = llmc_state_of(w, layer);
    state.offset += llmc_window_floats(w->h);
    if (!l->mix_in) a.v = a.first;
    add_shift(w, layer, n_tokens, l->attn_norm, l->attn_norm_bias, 0, l->shift, 6, a.shifted[0]);
    add_product(w, n_tokens, w->h->width, a.shifted[0], l->wq, NULL, a.r);
    add_product(w, n_tokens, w->h->width, a.shifted[2], l->wk, NULL, a.k);
    add_product(w, n_tokens, w->h->width, a.shifted[3], l->wv, NULL, a.v);
    add_low_ranks(w, l, &a, n_tokens);
    llmc_write_op(w, LLMC_OP_WKV)->u.wkv = (llmc_op_wkv){.state = state,
                                                         .n_heads = r->n_heads,
                                                         .dim = r->state_size,
                                                         .r = a.r,
                                                         .decay = a.decay,
                                                         .k = a.k,
                                                         .v = a.v,
                                                         .rate = a.rate,
                                                         .gate = a.gate,
                                                         .first = l->mix_in ? a.first : NULL,
                                                         .mix = l->mix_in ? a.mix : NULL,
                                                         .removal = l->removal,
                                                         .replacement = l->replacement,
                                                         .bonus = l->bonus,
                                                         .norm = l->mixer_norm,
                                                         .norm_bias = l->mixer_norm_bias,
                                                         .dst = w->a->recurred};
}

void llmc_write_channel_mix(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens) {
    const llmc_layer *l = &w->parts->weights->layers[layer];
    rwkv_arrays a = arrays_of(w, n_tokens);
    add_shift(w, layer, n_tokens, l->attn_norm_2, l->attn_norm_2_bias, w->h->width, l->ffn_shift, 1, a.shifted[0]);
    add_product(w, n_tokens, w->h->width, a.shifted[0], l->w_up, NULL, w->a->gate);
}
