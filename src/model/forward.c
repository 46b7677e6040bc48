/* The decoder: embed, then per layer attention and feed-forward, each added to the residual stream x, then the logits.
 *
 *     x = embedding of the tokens                                                   (T, width)
 *     for each layer:
 *         q, k, v = norm(x) . wq, wk, wv                k, v go to the KV pages     (T, q), (T, kv), (T, kv)
 *         x += attention(rope(q), rope(k), v) . wo                                  (T, width)
 *         x += (silu(norm(x) . w_gate) * (norm(x) . w_up)) . w_down                 (T, width)
 *     logits = norm(x) . output                                                     (R, n_vocab)
 *
 * with the departures that the architecture table names. After the last attention only the R rows whose logits are wanted go
 * on. */
#include "model/forward.h"

#include <math.h>

#include "model/op_writer.h"
#include "model/recurrent.h"

typedef llmc_op_writer writer;

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t widest(const llmc_hparams *h, uint32_t (*rows)(const llmc_hparams *, uint32_t)) {
    size_t n = 0;
    for (uint32_t i = 0; i < h->n_layers; i++) n = larger(n, rows(h, i));
    return n;
}

void llmc_activations_sizes(const llmc_hparams *h, uint32_t max_tokens, uint32_t max_rows, size_t sizes[LLMC_ACTIVATIONS]) {
    size_t q = widest(h, llmc_q_rows), kv = widest(h, llmc_kv_rows);
    size_t t = max_tokens, r = max_rows, slots = t * h->experts.n_used, has_experts = h->experts.n > 0;
    size_t ff = larger(larger(t * h->n_ff, slots * h->experts.n_ff), t * h->experts.n_ff_shared);
    size_t inputs = t * h->n_layers * h->layer_embedding;
    ff = larger(ff, t * larger(h->layer_embedding, h->arch->streams ? LLMC_LAUREL_RANK : 0));
    const llmc_latent_params *l = &h->latent;
    size_t latent = l->kv_rank ? t * ((size_t)l->q_rank + l->kv_rank + h->rope.n_rot + (size_t)h->n_heads * l->key_length) : 0;
    size_t mixed = t * larger(llmc_mixer_floats(h), h->arch->gated_query ? 2 * q : h->arch->gated_output ? q : 0);
    size_t recurred = h->recurrent.n_layers ? llmc_mixer_width(h) : 0;
    int branch = h->arch->post_norms || h->residual_scale != 1 || h->arch->ternary || h->experts.sum_scale != 1;
    int beside = h->arch->experts_beside || h->arch->streams || h->arch->encoder;
    int rwkv = h->recurrent.mixer == LLMC_MIXER_RWKV;
    const size_t all[LLMC_ACTIVATIONS] = {
        t * h->width * (h->arch->streams ? LLMC_STREAMS : 1),
        t * h->rope.n_rot,
        h->window ? t * h->window_rope.n_rot : 0,
        t * q,
        t * kv,
        t * kv,
        t * q,
        t * recurred,
        ff,
        ff,
        has_experts || h->arch->may_idle || h->arch->streams || rwkv ? t * h->width : 0,
        branch ? t * h->width : 0,
        beside ? t * h->width : 0,
        h->arch->streams ? llmc_streams_floats(h, t) : 0,
        inputs,
        inputs,
        t * h->experts.n,
        has_experts ? llmc_routes_floats(t, h->experts.n, h->experts.n_used) : 0,
        h->experts.width < h->width ? t * h->experts.width : 0,
        slots * h->experts.width,
        latent,
        mixed,
        r * h->width,
        r * q,
        r * recurred,
        h->causal ? r * h->n_vocab : 0, /* others have no logits */
    };
    for (int i = 0; i < LLMC_ACTIVATIONS; i++) sizes[i] = all[i] ? all[i] : 1;
}

uint32_t llmc_forward_max_width(const llmc_hparams *h) {
    size_t n = larger(larger(h->width, widest(h, llmc_q_rows)), h->layer_embedding);
    if (h->recurrent.n_layers) n = larger(n, llmc_mixer_width(h));
    n = larger(n, larger(h->recurrent.dt_rank, h->recurrent.state_size));
    n = larger(n, larger(h->n_ff, larger(h->experts.n_ff, h->experts.n_ff_shared)));
    n = larger(n, h->latent.kv_rank);
    return (uint32_t)larger(n, larger(h->latent.q_rank, (size_t)h->n_heads * h->latent.value_length));
}

/* ---- What every part of the pass writes ---------------------------------------------------------------------------------- */

llmc_op_matmul *llmc_write_matmul(writer *w, uint32_t rows, uint32_t width, const float *src) {
    llmc_op_matmul *m = &llmc_write_op(w, LLMC_OP_MATMUL)->u.matmul;
    m->n_rows = rows;
    m->width = width;
    m->src = src;
    return m;
}

void llmc_norm_input(const writer *w, llmc_op_matmul *m, const float *norm, const float *bias) {
    if (!norm) return;
    m->input = llmc_norm_kind(w->h);
    m->norm = norm;
    m->norm_bias = bias;
    m->eps = w->h->norm_eps;
}

void llmc_add_part(llmc_op_matmul *m, const llmc_weight *weight, const float *bias, float *dst) {
    m->part[m->n_parts].weight = weight;
    m->part[m->n_parts].bias = bias;
    m->part[m->n_parts].dst = dst;
    m->n_parts++;
}

llmc_op_norm *llmc_write_norm(writer *w, uint32_t rows, uint32_t width, const float *norm, const float *bias, const float *src,
                              float *dst) {
    llmc_op_norm *op = &llmc_write_op(w, LLMC_OP_NORM)->u.norm;
    *op = (llmc_op_norm){.n_rows = rows, .width = width, .weight = norm, .bias = bias, .src = src, .dst = dst};
    op->norm = norm ? llmc_norm_kind(w->h) : LLMC_NORM_NONE;
    op->eps = w->h->norm_eps;
    op->scale = 1;
    return op;
}

llmc_op_matmul *llmc_write_residual(writer *w, uint32_t rows, uint32_t width, const float *src, const llmc_weight *weight,
                                    const float *bias, const float *norm, const float *factor, float *x) {
    int direct = !norm && !factor && w->h->residual_scale == 1;
    llmc_op_matmul *m = llmc_write_matmul(w, rows, width, src);
    llmc_add_part(m, weight, bias, direct ? x : w->a->branch);
    m->accumulate = direct;
    if (direct) return m;
    llmc_op_norm *add = llmc_write_norm(w, rows, w->h->width, norm, NULL, w->a->branch, x);
    add->scale = w->h->residual_scale;
    add->factor = factor;
    add->accumulate = 1;
    return m;
}

/* Layers that a loop passes again have the same weights. */
static const llmc_layer *layer_of(const writer *w, uint32_t layer) {
    return &w->parts->weights->layers[layer % w->parts->weights->n_layers];
}

/* By a number on the device; NULL: none. */
static void scale_by(writer *w, uint32_t rows, uint32_t width, const float *factor, float *x) {
    if (factor) llmc_write_norm(w, rows, width, NULL, NULL, x, x)->factor = factor;
}

void llmc_write_blocks(writer *w, uint32_t rows, uint32_t n_blocks, uint32_t block, const float *src, uint32_t src_row,
                       uint32_t src_step, float *dst, uint32_t dst_step) {
    llmc_write_op(w, LLMC_OP_BLOCKS)->u.blocks = (llmc_op_blocks){.n_rows = rows,
                                                                  .n_blocks = n_blocks,
                                                                  .block = block,
                                                                  .src_row = src_row,
                                                                  .src_step = src_step,
                                                                  .dst_row = n_blocks * dst_step,
                                                                  .dst_step = dst_step,
                                                                  .src = src,
                                                                  .dst = dst};
}

static void scale_rows(writer *w, uint32_t rows, uint32_t width, float factor, float *x) {
    if (factor != 1) llmc_write_norm(w, rows, width, NULL, NULL, x, x)->scale = factor;
}

static void add_gather(writer *w, uint32_t width, const float *src, float *dst) {
    llmc_write_op(w, LLMC_OP_GATHER)->u.gather = (llmc_op_gather){.width = width, .src = src, .dst = dst};
}

/* ---- The beginning -------------------------------------------------------------------------------------------------------- */

static void add_norm_of_sum(writer *w, uint32_t rows, const float *norm, const float *bias, float *x) {
    if (norm) (void)llmc_write_norm(w, rows, w->h->width, norm, bias, x, x);
}

static void add_rows(writer *w, const llmc_weight *weight, int by) {
    if (!weight) return;
    llmc_write_op(w, LLMC_OP_EMBED)->u.embed = (llmc_op_embed){.weight = weight, .by = by, .dst = w->a->x};
}

static void add_embeddings(writer *w, uint32_t n_tokens) {
    const llmc_weights *weights = w->parts->weights;
    llmc_write_op(w, LLMC_OP_EMBED)->u.embed = (llmc_op_embed){.weight = weights->token_embd, .dst = w->a->x};
    scale_rows(w, n_tokens, w->h->width, w->h->embedding_scale, w->a->x);
    add_rows(w, weights->positions, LLMC_BY_POSITION);
    add_rows(w, weights->token_types, LLMC_BY_TYPE);
    add_norm_of_sum(w, n_tokens, weights->embd_norm, weights->embd_norm_bias, w->a->x);
    if (w->h->layer_embedding) llmc_write_layer_inputs(w, n_tokens);
    if (w->h->arch->streams) llmc_write_streams(w, n_tokens);
}

/* Some models' norms have no weights. */
static const float *or_ones(const writer *w, const float *norm) {
    return norm || !w->h->arch->bare_norms ? norm : w->parts->weights->ones;
}

static void add_rope_tables(writer *w) {
    const llmc_weights *weights = w->parts->weights;
    uint32_t n_rot = w->h->rope.n_rot;
    if (n_rot == 0) return;
    llmc_write_op(w, LLMC_OP_ROPE_TABLE)->u.rope_table =
        (llmc_op_rope_table){.inv_freq = weights->inv_freq, .n_rot = n_rot, .scale = weights->rope_scale, .dst = w->a->angles};
    if (w->h->window == 0) return;
    llmc_write_op(w, LLMC_OP_ROPE_TABLE)->u.rope_table = (llmc_op_rope_table){.inv_freq = weights->window_inv_freq,
                                                                              .n_rot = w->h->window_rope.n_rot,
                                                                              .scale = weights->window_rope_scale,
                                                                              .dst = w->a->window_angles};
}

/* ---- Attention ------------------------------------------------------------------------------------------------------------ */

void llmc_write_rope_store(writer *w, uint32_t layer) {
    const llmc_hparams *h = w->h;
    const llmc_layer *l = layer_of(w, layer);
    int windowed = h->layer[layer] & LLMC_LAYER_WINDOW, turns = h->layer[layer] & LLMC_LAYER_TURNS;
    int whole = h->arch->head_norm_kind == LLMC_HEAD_NORM_ROW, each = h->arch->head_norm_kind >= LLMC_HEAD_NORM_EACH;
    llmc_op_rope_store *op = &llmc_write_op(w, LLMC_OP_ROPE_STORE)->u.rope_store;
    *op = (llmc_op_rope_store){.layer = h->place[layer], .q = w->a->q};
    if (llmc_stores_kv(h, layer)) op->k = w->a->k, op->v = w->a->v;
    op->window_pages = windowed && h->windows_apart;
    op->kv = op->window_pages ? w->parts->window_kv : w->parts->kv;
    op->n_heads = h->sizes[layer].n_heads;
    op->n_kv_heads = h->sizes[layer].n_kv_heads;
    op->head_dim = llmc_head_dim(h, layer);
    op->n_rot = !turns ? 0 : windowed ? h->window_rope.n_rot : h->rope.n_rot;
    op->rope = h->rope_kind == LLMC_ROPE_HALVES ? LLMC_ROPE_HALVES : LLMC_ROPE_INTERLEAVED;
    op->table = windowed ? w->a->window_angles : w->a->angles;
    op->q_norm = whole ? NULL : l->q_norm;
    op->k_norm = whole ? NULL : l->k_norm;
    op->head_norm = h->arch->head_norm_kind == LLMC_HEAD_NORM_EACH ? LLMC_NORM_LAYER : LLMC_NORM_RMS;
    op->norm_each = each;
    op->norm_turned = h->arch->head_norm_kind == LLMC_HEAD_NORM_TURNED;
    if (turns && h->arch->turned_norm_unless && h->experts.n != h->arch->turned_norm_unless) {
        op->q_norm = op->k_norm = w->parts->weights->ones;
    }
    op->eps = h->norm_eps;
    op->temperature_scale = h->temperature_scale;
    op->temperature_floor = h->arch->temperature_unturned && turns ? 0 : h->temperature_floor;
    op->temperature_offset = h->temperature_offset;
}

static void clamp_rows(writer *w, uint32_t rows, uint32_t width, float *x) {
    if (w->h->clamp == 0) return;
    llmc_write_op(w, LLMC_OP_SOFT_CAP)->u.soft_cap =
        (llmc_op_soft_cap){.n_rows = rows, .width = width, .cap = w->h->clamp, .hard = 1, .x = x};
}

/* Values whose heads are normed; without a matrix of their own they are what the keys are before their norm. */
static void add_normed_values(writer *w, uint32_t layer, uint32_t n_tokens) {
    const llmc_weights *weights = w->parts->weights;
    uint32_t kv = llmc_kv_rows(w->h, layer);
    if (!layer_of(w, layer)->wv) llmc_write_blocks(w, n_tokens, 1, kv, w->a->k, kv, kv, w->a->v, kv);
    llmc_op_group_norm *norm = &llmc_write_op(w, LLMC_OP_GROUP_NORM)->u.group_norm;
    *norm = (llmc_op_group_norm){.n_rows = n_tokens, .n_groups = w->h->sizes[layer].n_kv_heads, .shared_weight = 1};
    norm->width = llmc_head_dim(w->h, layer);
    norm->src = norm->dst = w->a->v;
    norm->weight = weights->ones;
    norm->eps = w->h->norm_eps;
}

static void norm_attention_input(const writer *w, const llmc_layer *l, llmc_op_matmul *m) {
    if (l->attn_norm_2) llmc_norm_input(w, m, l->attn_norm_2, l->attn_norm_2_bias);
    else llmc_norm_input(w, m, or_ones(w, l->attn_norm), l->attn_norm_bias);
}

/* q, k and v of every token; k and v stored. */
static void add_qkv(writer *w, uint32_t layer, uint32_t n_tokens) {
    const llmc_hparams *h = w->h;
    const llmc_layer *l = layer_of(w, layer);
    uint32_t q = llmc_q_rows(h, layer), kv = llmc_kv_rows(h, layer), head_dim = llmc_head_dim(h, layer);
    llmc_op_matmul *m = llmc_write_matmul(w, n_tokens, h->width, w->a->x);
    norm_attention_input(w, l, m);
    llmc_add_part(m, l->wq, l->bq, h->arch->gated_query ? w->a->mixed : w->a->q);
    if (l->wk) llmc_add_part(m, l->wk, l->bk, w->a->k);
    if (l->wv) llmc_add_part(m, l->wv, l->bv, w->a->v);
    if (l->out_gate) {
        m = llmc_write_matmul(w, n_tokens, h->width, w->a->x);
        norm_attention_input(w, l, m);
        llmc_add_part(m, l->out_gate, NULL, w->a->mixed);
    }
    if (h->arch->gated_query)
        llmc_write_blocks(w, n_tokens, q / head_dim, head_dim, w->a->mixed, 2 * q, 2 * head_dim, w->a->q, head_dim);
    scale_by(w, n_tokens, q, l->wq_scale, w->a->q);
    scale_by(w, n_tokens, kv, l->wk_scale, w->a->k);
    scale_by(w, n_tokens, kv, l->wv_scale, w->a->v);
    clamp_rows(w, n_tokens, q, w->a->q);
    clamp_rows(w, n_tokens, kv, w->a->k);
    clamp_rows(w, n_tokens, kv, w->a->v);
    if (h->arch->value_norm && l->wk) add_normed_values(w, layer, n_tokens);
    if (h->arch->head_norm_kind == LLMC_HEAD_NORM_ROW && l->q_norm && l->k_norm) {
        llmc_write_norm(w, n_tokens, q, l->q_norm, l->q_norm_bias, w->a->q, w->a->q);
        llmc_write_norm(w, n_tokens, kv, l->k_norm, l->k_norm_bias, w->a->k, w->a->k);
    }
    llmc_write_rope_store(w, layer);
}

static void add_attend(writer *w, uint32_t layer) {
    const llmc_hparams *h = w->h;
    int windowed = h->layer[layer] & LLMC_LAYER_WINDOW, apart = windowed && h->windows_apart;
    llmc_write_op(w, LLMC_OP_ATTENTION)->u.attention = (llmc_op_attention){.kv = apart ? w->parts->window_kv : w->parts->kv,
                                                                           .window_pages = apart,
                                                                           .layer = h->place[layer],
                                                                           .n_heads = h->sizes[layer].n_heads,
                                                                           .n_kv_heads = h->sizes[layer].n_kv_heads,
                                                                           .head_dim = llmc_head_dim(h, layer),
                                                                           .scale = h->score_scale,
                                                                           .soft_cap = h->score_cap,
                                                                           .window = windowed ? h->window : 0,
                                                                           .chunks = h->arch->window_chunks,
                                                                           .sinks = layer_of(w, layer)->sinks,
                                                                           .max_alibi_bias = h->max_alibi_bias,
                                                                           .bidirectional = !h->causal,
                                                                           .q = w->a->q,
                                                                           .dst = w->a->attended};
}

/* ---- Feed-forward --------------------------------------------------------------------------------------------------------- */

static const float *ffn_norm_of(const llmc_layer *l, const float **bias) {
    *bias = l->ffn_norm ? l->ffn_norm_bias : l->attn_norm_bias;
    return l->ffn_norm ? l->ffn_norm : l->attn_norm;
}

/* All of a feed-forward that reads x. */
static void add_up(writer *w, uint32_t layer, uint32_t rows, const float *x) {
    if (w->h->recurrent.mixer == LLMC_MIXER_RWKV) {
        llmc_write_channel_mix(w, layer, rows);
        return;
    }
    const llmc_layer *l = layer_of(w, layer);
    const float *bias = NULL, *norm = or_ones(w, ffn_norm_of(l, &bias));
    if (w->h->layer[layer] & LLMC_LAYER_EXPERTS && !w->h->arch->experts_beside) {
        llmc_write_norm(w, rows, w->h->width, norm, bias, x, w->a->normed);
        llmc_write_experts(w, l, rows, w->a->normed);
        return;
    }
    llmc_op_matmul *m = llmc_write_matmul(w, rows, w->h->width, x);
    llmc_norm_input(w, m, norm, bias);
    if (!l->w_gate) {
        llmc_add_part(m, l->w_up, l->b_up, w->a->gate);
        return;
    }
    llmc_add_part(m, l->w_gate, l->b_gate, w->a->gate);
    llmc_add_part(m, l->w_up, l->b_up, w->a->up);
    scale_by(w, rows, w->h->sizes[layer].n_ff, l->gate_scale, w->a->gate);
    scale_by(w, rows, w->h->sizes[layer].n_ff, l->up_scale, w->a->up);
}

/* x += norm(norm(down . activation) + norm(experts)) */
static void add_down_and_experts(writer *w, uint32_t layer, uint32_t rows, float *x) {
    const llmc_layer *l = layer_of(w, layer);
    uint32_t width = w->h->width;
    llmc_op_matmul *m = llmc_write_matmul(w, rows, w->h->sizes[layer].n_ff, w->a->gate);
    llmc_add_part(m, l->w_down, l->b_down, w->a->branch);
    m->input = LLMC_INPUT_ACTIVATION;
    m->activation = (int)w->h->activation;
    m->up = w->a->up;
    llmc_write_norm(w, rows, width, l->beside_post_norm, NULL, w->a->branch, w->a->sum);
    llmc_write_experts_beside(w, l, rows, x, w->a->branch);
    llmc_write_norm(w, rows, width, l->experts_post_norm, NULL, w->a->branch, w->a->sum)->accumulate = 1;
    llmc_write_norm(w, rows, width, l->ffn_post_norm, NULL, w->a->sum, x)->accumulate = 1;
}

static void add_down(writer *w, uint32_t layer, uint32_t rows, float *x) {
    const llmc_layer *l = layer_of(w, layer);
    if (w->h->layer[layer] & LLMC_LAYER_EXPERTS && w->h->arch->experts_beside) {
        add_down_and_experts(w, layer, rows, x);
        return;
    }
    if (w->h->layer[layer] & LLMC_LAYER_EXPERTS) {
        llmc_write_experts_sum(w, l, rows, x);
        add_norm_of_sum(w, rows, l->ffn_sum_norm, l->ffn_sum_norm_bias, x);
        return;
    }
    llmc_op_matmul *m = llmc_write_residual(w, rows, w->h->sizes[layer].n_ff, w->a->gate, l->w_down, l->b_down,
                                            l->ffn_post_norm, l->down_scale, x);
    m->input = LLMC_INPUT_ACTIVATION;
    m->activation = (int)w->h->activation;
    m->xielu = &l->xielu;
    m->limit = w->h->sizes[layer].limit;
    m->norm = l->ffn_sub_norm;
    m->eps = w->h->norm_eps;
    m->up = w->a->up;
    add_norm_of_sum(w, rows, l->ffn_sum_norm, l->ffn_sum_norm_bias, x);
}

/* ---- Layers --------------------------------------------------------------------------------------------------------------- */

/* The rows that a layer ends with: all of the step, or those whose logits are wanted. */
typedef struct layer_rows {
    uint32_t n;
    const float *attended, *recurred;
    float *x;
} layer_rows;

static uint32_t attended_width(const llmc_hparams *h, uint32_t layer) {
    return h->latent.kv_rank ? h->n_heads * h->latent.value_length : llmc_q_rows(h, layer);
}

static void add_out(writer *w, uint32_t layer, const layer_rows *r) {
    const llmc_hparams *h = w->h;
    const llmc_layer *l = layer_of(w, layer);
    if (l->attn_sum_norm_2) llmc_write_norm(w, r->n, h->width, NULL, NULL, r->x, w->a->sum);
    if (h->layer[layer] & LLMC_LAYER_ATTENDS) {
        llmc_op_matmul *m = llmc_write_residual(w, r->n, attended_width(h, layer), r->attended, l->wo, l->bo, l->attn_post_norm,
                                                l->wo_scale, r->x);
        llmc_norm_input(w, m, l->attn_sub_norm, NULL);
    } else if (l->wo) { /* in the place of attention */
        llmc_write_norm(w, r->n, h->width, l->attn_norm, l->attn_norm_bias, r->x, w->a->normed);
        (void)llmc_write_residual(w, r->n, h->width, w->a->normed, l->wo, l->bo, l->attn_post_norm, NULL, r->x);
    }
    if (h->layer[layer] & LLMC_LAYER_RECURRENT) {
        (void)llmc_write_residual(w, r->n, llmc_mixer_width(h), r->recurred, l->mixer_out, NULL, l->attn_post_norm, NULL, r->x);
    }
    add_norm_of_sum(w, r->n, l->attn_sum_norm, l->attn_sum_norm_bias, r->x);
    if (!l->attn_sum_norm_2) return;
    llmc_write_norm(w, r->n, h->width, NULL, NULL, w->a->sum, r->x)->accumulate = 1;
    add_norm_of_sum(w, r->n, l->attn_sum_norm_2, l->attn_sum_norm_2_bias, r->x);
}

static int ends_loop(const llmc_hparams *h, uint32_t layer) {
    return h->loop_norm && (layer + 1) % h->n_file_layers == 0 && layer + 1 < h->n_layers;
}

/* Of a layer whose input was predicted: what it makes of that corrects the streams. The last layer's rows are all tokens. */
static void add_rest_of_streams(writer *w, uint32_t layer, const layer_rows *r) {
    const layer_rows sum = {.n = r->n, .attended = r->attended, .x = w->a->sum};
    add_out(w, layer, &sum);
    llmc_write_laurel_sum(w, r->n);
    add_up(w, layer, r->n, w->a->sum);
    if (layer < w->h->arch->sparse_layers) llmc_write_sparse(w, r->n, w->h->sizes[layer].n_ff, w->a->gate);
    add_down(w, layer, r->n, w->a->sum);
    llmc_write_correct(w, layer_of(w, layer), layer, r->n);
    if (layer == w->h->n_layers - 1) llmc_write_streams_end(w, r->n);
}

/* x += attended . wo, then the feed-forward. Where both read the layer's input, the feed-forward reads it before anything is
 * added. */
static void add_rest_of_layer(writer *w, uint32_t layer, const layer_rows *r) {
    const llmc_layer *l = layer_of(w, layer);
    int feeds = w->h->layer[layer] & LLMC_LAYER_FEEDS;
    if (w->h->arch->streams) {
        add_rest_of_streams(w, layer, r);
        return;
    }
    int parallel = feeds && (w->h->parallel || (w->h->arch->pre_norm == LLMC_PRE_NORM_OPTIONAL && !l->ffn_norm));
    if (feeds && w->h->arch->router_reads_x) llmc_write_router(w, l, r->n, r->x);
    if (parallel) add_up(w, layer, r->n, r->x);
    add_out(w, layer, r);
    if (feeds && !parallel) add_up(w, layer, r->n, r->x);
    if (feeds) add_down(w, layer, r->n, r->x);
    if (w->h->layer_embedding) { /* and then the rows are all tokens */
        llmc_write_layer_input(w, l, layer, r->n, r->x);
        llmc_write_norm(w, r->n, w->h->width, l->embedding_norm, NULL, w->a->branch, r->x)->accumulate = 1;
    }
    scale_by(w, r->n, w->h->width, l->layer_scale, r->x);
    if (ends_loop(w->h, layer)) add_norm_of_sum(w, r->n, w->parts->weights->output_norm, NULL, r->x);
}

llmc_state_place llmc_state_of(const writer *w, uint32_t layer) {
    return (llmc_state_place){.store = w->parts->states, .offset = w->h->state_place[layer] * llmc_layer_state_floats(w->h)};
}

static void add_mixer(writer *w, uint32_t layer, uint32_t n_tokens) {
    switch (w->h->recurrent.mixer) {
    case LLMC_MIXER_NONE:
        break;
    case LLMC_MIXER_CONV:
        llmc_write_conv(w, layer, n_tokens);
        break;
    case LLMC_MIXER_SCAN:
        llmc_write_scan(w, layer, n_tokens);
        break;
    case LLMC_MIXER_SELECT:
    case LLMC_MIXER_SELECT_HEADS:
        llmc_write_select(w, layer, n_tokens);
        break;
    case LLMC_MIXER_RWKV:
        llmc_write_rwkv(w, layer, n_tokens);
        break;
    case LLMC_MIXER_KDA:
        llmc_write_kda(w, layer, n_tokens);
        break;
    case LLMC_MIXER_DELTA:
        llmc_write_delta(w, layer, n_tokens);
        break;
    }
}

/* What leaves something behind for later tokens: K and V, or a state. */
static void add_store(writer *w, uint32_t layer, uint32_t n_tokens) {
    if (w->h->arch->streams) llmc_write_predict(w, layer_of(w, layer), n_tokens);
    if (w->h->layer[layer] & LLMC_LAYER_RECURRENT) add_mixer(w, layer, n_tokens);
    if (!(w->h->layer[layer] & LLMC_LAYER_ATTENDS)) return;
    if (w->h->latent.kv_rank) llmc_write_latent(w, layer, n_tokens);
    else add_qkv(w, layer, n_tokens);
}

/* What is attended times what becomes of its gate, which lies behind each head's query, or by itself. */
static void add_output_gate(writer *w, uint32_t layer, uint32_t n_tokens) {
    const llmc_hparams *h = w->h;
    uint32_t n_heads = h->sizes[layer].n_heads, head_dim = llmc_head_dim(h, layer), behind = h->arch->gated_query;
    int one = w->parts->weights->facts[layer].gate_by_head;
    llmc_op_sigmoid *op = &llmc_write_op(w, LLMC_OP_SIGMOID)->u.sigmoid;
    *op = (llmc_op_sigmoid){.n_rows = n_tokens, .n_blocks = n_heads, .block = head_dim, .one_gate = one};
    op->softplus = h->arch->gated_output == LLMC_GATED_SOFTPLUS;
    op->gate = w->a->mixed + behind * head_dim;
    op->gate_step = one ? 1 : (1 + behind) * head_dim;
    op->gate_row = n_heads * op->gate_step;
    op->dst = w->a->attended;
}

static void add_attention(writer *w, uint32_t layer, uint32_t n_tokens) {
    if (!(w->h->layer[layer] & LLMC_LAYER_ATTENDS)) return;
    add_attend(w, layer);
    if (w->h->arch->gated_query || layer_of(w, layer)->out_gate) add_output_gate(w, layer, n_tokens);
    if (w->h->latent.kv_rank) llmc_write_latent_values(w, layer, n_tokens);
}

static void add_logits(writer *w, uint32_t rows, const float *x) {
    const llmc_weights *weights = w->parts->weights;
    llmc_op_matmul *m = llmc_write_matmul(w, rows, w->h->width, x);
    llmc_norm_input(w, m, or_ones(w, weights->output_norm), weights->output_norm_bias);
    llmc_add_part(m, weights->output ? weights->output : weights->token_embd, weights->output_bias, w->a->logits);
    scale_rows(w, rows, w->h->n_vocab, w->h->logit_scale, w->a->logits);
    if (w->h->logit_cap == 0) return;
    llmc_op_soft_cap *cap = &llmc_write_op(w, LLMC_OP_SOFT_CAP)->u.soft_cap;
    *cap = (llmc_op_soft_cap){.n_rows = rows, .width = w->h->n_vocab, .cap = w->h->logit_cap, .x = w->a->logits};
}

/* No layer writes more than 44 operations; twenty before, three gathers, a norm, ten after, and the logits in three. */
uint32_t llmc_forward_max_ops(uint32_t n_layers) {
    return 44 * n_layers + 40;
}

/* The last layer and what follows, where every row is wanted. */
static uint32_t add_hidden(writer *w, uint32_t n_outputs, const layer_rows *all) {
    const llmc_weights *weights = w->parts->weights;
    add_rest_of_layer(w, w->h->n_layers - 1, all);
    if (n_outputs > 0) add_gather(w, w->h->width, all->x, w->a->x_out);
    add_norm_of_sum(w, all->n, or_ones(w, weights->output_norm), weights->output_norm_bias, all->x);
    if (n_outputs > 0) add_logits(w, n_outputs, w->a->x_out);
    return w->n;
}

/* What the end of the last layer reads, of the rows whose logits are wanted. */
static void add_gathers(writer *w, uint32_t layer, const layer_rows *all) {
    const llmc_hparams *h = w->h;
    add_gather(w, h->width, all->x, w->a->x_out);
    if (h->layer[layer] & LLMC_LAYER_ATTENDS) add_gather(w, attended_width(h, layer), all->attended, w->a->attended_out);
    if (h->layer[layer] & LLMC_LAYER_RECURRENT) add_gather(w, llmc_mixer_width(h), all->recurred, w->a->recurred_out);
}

static uint32_t last_that_stores(const llmc_hparams *h) {
    uint32_t layer = h->n_layers - 1;
    while (layer > 0 && !llmc_stores_kv(h, layer) && !(h->layer[layer] & LLMC_LAYER_RECURRENT)) layer--;
    return layer;
}

uint32_t llmc_forward(const llmc_forward_parts *parts, uint32_t n_tokens, uint32_t n_outputs, int hidden, llmc_op *ops) {
    const llmc_hparams *h = parts->hparams;
    const llmc_activations *a = parts->activations;
    writer w = {.parts = parts, .h = h, .a = a, .ops = ops};
    uint32_t last = h->n_layers - 1;
    const layer_rows all = {
        .n = n_tokens, .attended = h->latent.kv_rank ? a->q : a->attended, .recurred = a->recurred, .x = a->x};
    const layer_rows out = {.n = n_outputs, .attended = a->attended_out, .recurred = a->recurred_out, .x = a->x_out};
    int only_stores = n_outputs == 0 && !hidden; /* nobody reads x: K and V and states are what such a step is for */
    if (only_stores) last = last_that_stores(h);

    add_embeddings(&w, n_tokens);
    add_rope_tables(&w);
    for (uint32_t layer = 0; layer < last; layer++) {
        add_store(&w, layer, n_tokens);
        add_attention(&w, layer, n_tokens);
        add_rest_of_layer(&w, layer, &all);
    }
    add_store(&w, last, n_tokens);
    int whole = hidden || h->layer_embedding || h->recurrent.mixer == LLMC_MIXER_RWKV; /* all rows to the end */
    if (only_stores && h->recurrent.mixer != LLMC_MIXER_RWKV) return w.n;
    add_attention(&w, last, n_tokens);
    if (whole) return add_hidden(&w, n_outputs, &all);
    add_gathers(&w, last, &all);
    add_rest_of_layer(&w, last, &out);
    add_logits(&w, n_outputs, a->x_out);
    return w.n;
}
