/* Kimi's delta attention: the gated delta rule with a decay for every key dimension, and a gate by sigmoid. Decay and gate come
 * through matrices of low rank; q, k and v are convolved each by its own filters.
 *
 *     q, k, v = silu(conv(norm(x) . wq, wk, wv))              (T, inner) each
 *     decay = exp(a * softplus(norm(x) . decay_in . decay_out + dt_bias)), gate likewise without them     (T, inner)
 *     mixed = norm of heads(delta(q, k, v, beta, decay)) * sigmoid(gate)
 */
#include "model/op_writer.h"
#include "model/recurrent.h"

typedef struct kda_arrays {
    float *qkv[3];    /* (T, inner) each */
    float *convolved; /* (T, 3 * inner) */
    float *low[2];    /* (T, dt_rank) of decay and of gate */
    float *decay;     /* (T, inner) */
    float *gate;      /* (T, inner) */
    float *beta;      /* (T, heads) */
} kda_arrays;

static kda_arrays arrays_of(const llmc_op_writer *w, uint32_t n_tokens) {
    const llmc_recurrent_params *r = &w->h->recurrent;
    size_t t = n_tokens, inner = t * r->inner;
    float *at = w->a->mixed;
    kda_arrays a = {.qkv = {at, at + inner, at + 2 * inner}, .convolved = at + 3 * inner};
    a.decay = at + 6 * inner;
    a.gate = at + 7 * inner;
    a.low[0] = at + 8 * inner;
    a.low[1] = a.low[0] + t * r->dt_rank;
    a.beta = a.low[1] + t * r->dt_rank;
    return a;
}

static void add_low_rank(llmc_op_writer *w, uint32_t n_tokens, const float *low, const llmc_weight *weight, float *dst) {
    llmc_add_part(llmc_write_matmul(w, n_tokens, w->h->recurrent.dt_rank, low), weight, NULL, dst);
}

static void add_projections(llmc_op_writer *w, const llmc_layer *l, const kda_arrays *a, uint32_t n_tokens) {
    llmc_op_matmul *m = llmc_write_matmul(w, n_tokens, w->h->width, w->a->x);
    llmc_norm_input(w, m, l->attn_norm, NULL);
    llmc_add_part(m, l->wq, NULL, a->qkv[0]);
    llmc_add_part(m, l->wk, NULL, a->qkv[1]);
    llmc_add_part(m, l->wv, NULL, a->qkv[2]);
    m = llmc_write_matmul(w, n_tokens, w->h->width, w->a->x);
    llmc_norm_input(w, m, l->attn_norm, NULL);
    llmc_add_part(m, l->decay_in, NULL, a->low[0]);
    llmc_add_part(m, l->gate_in, NULL, a->low[1]);
    llmc_add_part(m, l->beta, NULL, a->beta);
    add_low_rank(w, n_tokens, a->low[0], l->decay_out, a->decay);
    add_low_rank(w, n_tokens, a->low[1], l->gate_out, a->gate);
}

static void add_convs(llmc_op_writer *w, uint32_t layer, const kda_arrays *a) {
    const llmc_layer *l = &w->parts->weights->layers[layer];
    const llmc_recurrent_params *r = &w->h->recurrent;
    const float *const weights[3] = {l->conv_q, l->conv_k, l->conv_v};
    llmc_state_place state = llmc_state_of(w, layer);
    for (int i = 0; i < 3; i++, state.offset += (size_t)(r->n_taps - 1) * r->inner) {
        llmc_write_op(w, LLMC_OP_CONV)->u.conv = (llmc_op_conv){.state = state,
                                                                .n_channels = r->inner,
                                                                .n_taps = r->n_taps,
                                                                .row = r->inner,
                                                                .x = a->qkv[i],
                                                                .weight = weights[i],
                                                                .silu = 1,
                                                                .dst = a->convolved + (size_t)i * r->inner,
                                                                .dst_row = 3 * r->inner};
    }
}

static void add_delta(llmc_op_writer *w, uint32_t layer, const kda_arrays *a, uint32_t n_tokens) {
    const llmc_layer *l = &w->parts->weights->layers[layer];
    const llmc_recurrent_params *r = &w->h->recurrent;
    llmc_state_place state = llmc_state_of(w, layer);
    state.offset += llmc_window_floats(w->h);
    llmc_write_op(w, LLMC_OP_DECAY)->u.decay = (llmc_op_decay){
        .n_rows = n_tokens, .n_heads = r->n_heads, .dim = r->state_size, .bias = l->dt_bias, .a = l->decay, .x = a->decay};
    llmc_write_op(w, LLMC_OP_DELTA)->u.delta = (llmc_op_delta){.state = state,
                                                               .n_heads = r->n_heads,
                                                               .n_key_heads = r->n_heads,
                                                               .key_dim = r->state_size,
                                                               .value_dim = r->state_size,
                                                               .qkv = a->convolved,
                                                               .beta = a->beta,
                                                               .decay = a->decay,
                                                               .dst = w->a->recurred};
}

void llmc_write_kda(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens) {
    const llmc_layer *l = &w->parts->weights->layers[layer];
    const llmc_recurrent_params *r = &w->h->recurrent;
    kda_arrays a = arrays_of(w, n_tokens);
    add_projections(w, l, &a, n_tokens);
    add_convs(w, layer, &a);
    llmc_write_unit_keys(w, n_tokens, a.convolved);
    add_delta(w, layer, &a, n_tokens);
    llmc_write_op(w, LLMC_OP_GROUP_NORM)->u.group_norm = (llmc_op_group_norm){.n_rows = n_tokens,
                                                                              .n_groups = r->n_heads,
                                                                              .width = r->state_size,
                                                                              .src = w->a->recurred,
                                                                              .weight = l->mixer_norm,
                                                                              .shared_weight = 1,
                                                                              .eps = w->h->norm_eps,
                                                                              .dst = w->a->recurred};
    llmc_write_op(w, LLMC_OP_SIGMOID)->u.sigmoid = (llmc_op_sigmoid){.n_rows = n_tokens,
                                                                     .n_blocks = 1,
                                                                     .block = r->inner,
                                                                     .gate = a.gate,
                                                                     .gate_row = r->inner,
                                                                     .gate_step = r->inner,
                                                                     .dst = w->a->recurred};
}
