/* The gated delta rule (Qwen3-Next, Qwen3.5): linear attention that forgets and corrects, a state of (key, value) a head.
 *
 *     q, k, v = norm(x) . in;  z, beta, alpha likewise        (T, keys) twice, (T, inner); (T, inner), (T, heads) twice
 *     q, k, v = silu(conv(q, k, v))
 *     mixed = norm of heads(delta(q, k, v, beta, alpha)) * silu(z)
 *
 * Some files have q, k, v and z in one matrix, and beta and alpha in another, by key head. */
#include "model/op_writer.h"
#include "model/recurrent.h"

typedef struct delta_arrays {
    float *joined;       /* (T, channels + inner) q, k, v and z of each key head, if the file has them so */
    float *qkv;          /* (T, channels) */
    float *convolved;    /* (T, channels) */
    float *z;            /* (T, inner) */
    float *pairs;        /* (T, 2 * heads) beta and alpha of each key head */
    float *beta, *alpha; /* (T, heads) */
} delta_arrays;

static delta_arrays arrays_of(const llmc_op_writer *w, uint32_t n_tokens) {
    size_t t = n_tokens, channels = llmc_conv_channels(w->h), inner = w->h->recurrent.inner, heads = w->h->recurrent.n_heads;
    delta_arrays a = {.joined = w->a->mixed};
    a.qkv = a.joined + t * (channels + inner);
    a.convolved = a.qkv + t * channels;
    a.z = a.convolved + t * channels;
    a.pairs = a.z + t * inner;
    a.beta = a.pairs + 2 * t * heads;
    a.alpha = a.beta + t * heads;
    return a;
}

/* For every key head a block of src, src_step floats apart, to dst. */
static void add_blocks(llmc_op_writer *w, uint32_t n_tokens, uint32_t block, const float *src, uint32_t src_step, float *dst,
                       uint32_t dst_row) {
    uint32_t n = w->h->recurrent.n_groups;
    llmc_write_op(w, LLMC_OP_BLOCKS)->u.blocks = (llmc_op_blocks){.n_rows = n_tokens,
                                                                  .n_blocks = n,
                                                                  .block = block,
                                                                  .src = src,
                                                                  .src_row = n * src_step,
                                                                  .src_step = src_step,
                                                                  .dst = dst,
                                                                  .dst_row = dst_row,
                                                                  .dst_step = block};
}

static void add_projections(llmc_op_writer *w, const llmc_layer *l, const delta_arrays *a, uint32_t n_tokens) {
    llmc_op_matmul *m = llmc_write_matmul(w, n_tokens, w->h->width, w->a->x);
    llmc_norm_input(w, m, l->attn_norm, NULL);
    llmc_add_part(m, l->mixer_in, NULL, l->mixer_gate ? a->qkv : a->joined);
    if (l->mixer_gate) llmc_add_part(m, l->mixer_gate, NULL, a->z);
    m = llmc_write_matmul(w, n_tokens, w->h->width, w->a->x);
    llmc_norm_input(w, m, l->attn_norm, NULL);
    llmc_add_part(m, l->beta, NULL, l->alpha ? a->beta : a->pairs);
    if (l->alpha) llmc_add_part(m, l->alpha, NULL, a->alpha);
}

static void take_apart(llmc_op_writer *w, const llmc_layer *l, const delta_arrays *a, uint32_t n_tokens) {
    const llmc_recurrent_params *r = &w->h->recurrent;
    uint32_t key = r->state_size, keys = r->n_groups * key, channels = llmc_conv_channels(w->h);
    uint32_t values = r->inner / r->n_groups, heads = r->n_heads / r->n_groups, step = 2 * key + 2 * values;
    if (!l->mixer_gate) {
        add_blocks(w, n_tokens, key, a->joined, step, a->qkv, channels);
        add_blocks(w, n_tokens, key, a->joined + key, step, a->qkv + keys, channels);
        add_blocks(w, n_tokens, values, a->joined + 2 * key, step, a->qkv + 2 * keys, channels);
        add_blocks(w, n_tokens, values, a->joined + 2 * key + values, step, a->z, r->inner);
    }
    if (l->alpha) return;
    add_blocks(w, n_tokens, heads, a->pairs, 2 * heads, a->beta, r->n_heads);
    add_blocks(w, n_tokens, heads, a->pairs + heads, 2 * heads, a->alpha, r->n_heads);
}

static void add_conv(llmc_op_writer *w, uint32_t layer, const delta_arrays *a) {
    uint32_t channels = llmc_conv_channels(w->h);
    llmc_write_op(w, LLMC_OP_CONV)->u.conv = (llmc_op_conv){.state = llmc_state_of(w, layer),
                                                            .n_channels = channels,
                                                            .n_taps = w->h->recurrent.n_taps,
                                                            .row = channels,
                                                            .x = a->qkv,
                                                            .weight = w->parts->weights->layers[layer].conv,
                                                            .silu = 1,
                                                            .dst = a->convolved};
}

static void add_delta(llmc_op_writer *w, uint32_t layer, const delta_arrays *a) {
    const llmc_layer *l = &w->parts->weights->layers[layer];
    const llmc_recurrent_params *r = &w->h->recurrent;
    llmc_state_place state = llmc_state_of(w, layer);
    state.offset += llmc_window_floats(w->h);
    llmc_write_op(w, LLMC_OP_DELTA)->u.delta = (llmc_op_delta){.state = state,
                                                               .n_heads = r->n_heads,
                                                               .n_key_heads = r->n_groups,
                                                               .key_dim = r->state_size,
                                                               .value_dim = r->inner / r->n_heads,
                                                               .grouped = w->h->arch->grouped_keys,
                                                               .qkv = a->convolved,
                                                               .alpha = a->alpha,
                                                               .beta = a->beta,
                                                               .dt_bias = l->dt_bias,
                                                               .a = l->decay,
                                                               .dst = w->a->recurred};
}

void llmc_write_unit_keys(llmc_op_writer *w, uint32_t n_tokens, float *qkv) {
    const llmc_recurrent_params *r = &w->h->recurrent;
    llmc_write_op(w, LLMC_OP_UNIT)->u.unit = (llmc_op_unit){.n_rows = n_tokens,
                                                            .n_blocks = 2 * r->n_groups,
                                                            .block = r->state_size,
                                                            .row = llmc_conv_channels(w->h),
                                                            .eps = w->h->norm_eps,
                                                            .x = qkv};
}

void llmc_write_delta(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens) {
    const llmc_layer *l = &w->parts->weights->layers[layer];
    const llmc_recurrent_params *r = &w->h->recurrent;
    delta_arrays a = arrays_of(w, n_tokens);
    add_projections(w, l, &a, n_tokens);
    take_apart(w, l, &a, n_tokens);
    add_conv(w, layer, &a);
    llmc_write_unit_keys(w, n_tokens, a.convolved);
    add_delta(w, layer, &a);
    llmc_write_op(w, LLMC_OP_GROUP_NORM)->u.group_norm = (llmc_op_group_norm){.n_rows = n_tokens,
                                                                              .n_groups = r->n_heads,
                                                                              .width = r->inner / r->n_heads,
                                                                              .src = w->a->recurred,
                                                                              .weight = l->mixer_norm,
                                                                              .shared_weight = 1,
                                                                              .gate = a.z,
                                                                              .eps = w->h->norm_eps,
                                                                              .dst = w->a->recurred};
}
