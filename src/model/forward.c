/* The decoder: embed, then per layer attention and feed-forward, each added to the residual stream x, then the logits.
 *
 *     x = embedding of the tokens                                                   (T, width)
 *     for each layer:
 *         q, k, v = rms_norm(x) . wq, wk, wv            k, v go to the KV pages     (T, q), (T, kv), (T, kv)
 *         x += attention(rope(q), rope(k), v) . wo                                  (T, width)
 *         x += (silu(rms_norm(x) . w_gate) * (rms_norm(x) . w_up)) . w_down         (T, width)
 *     logits = rms_norm(x) . output                                                 (R, n_vocab)
 *
 * After the last attention only the R rows whose logits are wanted go on. */
#include "model/forward.h"

#include <math.h>

/* Where the next operation goes. */
typedef struct writer {
    const llmc_forward_parts *parts;
    const llmc_hparams *h;
    const llmc_activations *a;
    llmc_op *ops;
    uint32_t n;
} writer;

void llmc_activations_sizes(const llmc_hparams *h, uint32_t max_tokens, uint32_t max_rows, size_t sizes[LLMC_ACTIVATIONS]) {
    size_t q = (size_t)h->n_heads * h->head_dim, kv = (size_t)h->n_kv_heads * h->head_dim;
    size_t t = max_tokens, r = max_rows;
    const size_t all[LLMC_ACTIVATIONS] = {t * h->width, t * h->rope.n_rot, t * q,        t * kv, t * kv,        t * q,
                                          t * h->n_ff,  t * h->n_ff,       r * h->width, r * q,  r * h->n_vocab};
    for (int i = 0; i < LLMC_ACTIVATIONS; i++) sizes[i] = all[i];
}

static llmc_op *add(writer *w, llmc_op_kind kind) {
    llmc_op *op = &w->ops[w->n++];
    *op = (llmc_op){.kind = kind};
    return op;
}

static void add_embed(writer *w) {
    add(w, LLMC_OP_EMBED)->u.embed = (llmc_op_embed){.weight = w->parts->weights->token_embd, .dst = w->a->x};
}

static void add_rope_table(writer *w) {
    add(w, LLMC_OP_ROPE_TABLE)->u.rope_table = (llmc_op_rope_table){.inv_freq = w->parts->weights->inv_freq,
                                                                    .n_rot = w->h->rope.n_rot,
                                                                    .scale = w->parts->weights->rope_scale,
                                                                    .dst = w->a->angles};
}

static llmc_op_matmul *add_matmul(writer *w, uint32_t rows, uint32_t width, const float *src) {
    llmc_op_matmul *m = &add(w, LLMC_OP_MATMUL)->u.matmul;
    m->n_rows = rows;
    m->width = width;
    m->src = src;
    return m;
}

static void norm_input(const writer *w, llmc_op_matmul *m, const float *norm) {
    m->input = LLMC_INPUT_RMS_NORM;
    m->norm = norm;
    m->eps = w->h->norm_eps;
}

static void add_part(llmc_op_matmul *m, const llmc_weight *weight, const float *bias, float *dst) {
    m->part[m->n_parts].weight = weight;
    m->part[m->n_parts].bias = bias;
    m->part[m->n_parts].dst = dst;
    m->n_parts++;
}

/* q, k and v of every token; k and v stored. */
static void add_qkv(writer *w, uint32_t layer, uint32_t n_tokens) {
    const llmc_hparams *h = w->h;
    const llmc_layer *l = &w->parts->weights->layers[layer];
    llmc_op_matmul *m = add_matmul(w, n_tokens, h->width, w->a->x);
    norm_input(w, m, l->attn_norm);
    add_part(m, l->wq, l->bq, w->a->q);
    add_part(m, l->wk, l->bk, w->a->k);
    add_part(m, l->wv, l->bv, w->a->v);

    add(w, LLMC_OP_ROPE_STORE)->u.rope_store = (llmc_op_rope_store){.kv = w->parts->kv,
                                                                    .layer = layer,
                                                                    .n_heads = h->n_heads,
                                                                    .n_kv_heads = h->n_kv_heads,
                                                                    .head_dim = h->head_dim,
                                                                    .n_rot = h->rope.n_rot,
                                                                    .rope = h->arch->rope,
                                                                    .table = w->a->angles,
                                                                    .q = w->a->q,
                                                                    .k = w->a->k,
                                                                    .v = w->a->v,
                                                                    .q_norm = l->q_norm,
                                                                    .k_norm = l->k_norm,
                                                                    .eps = h->norm_eps};
}

static void add_attention(writer *w, uint32_t layer) {
    const llmc_hparams *h = w->h;
    add(w, LLMC_OP_ATTENTION)->u.attention = (llmc_op_attention){.kv = w->parts->kv,
                                                                 .layer = layer,
                                                                 .n_heads = h->n_heads,
                                                                 .n_kv_heads = h->n_kv_heads,
                                                                 .head_dim = h->head_dim,
                                                                 .scale = 1 / sqrtf((float)h->head_dim),
                                                                 .q = w->a->q,
                                                                 .dst = w->a->attended};
}

static void add_gather(writer *w, uint32_t width, const float *src, float *dst) {
    add(w, LLMC_OP_GATHER)->u.gather = (llmc_op_gather){.width = width, .src = src, .dst = dst};
}

/* x += attended . wo, then the feed-forward, for the given rows. */
static void add_rest_of_layer(writer *w, uint32_t layer, uint32_t rows, const float *attended, float *x) {
    const llmc_hparams *h = w->h;
    const llmc_layer *l = &w->parts->weights->layers[layer];
    llmc_op_matmul *m = add_matmul(w, rows, h->n_heads * h->head_dim, attended);
    add_part(m, l->wo, l->bo, x);
    m->accumulate = 1;

    m = add_matmul(w, rows, h->width, x);
    norm_input(w, m, l->ffn_norm);
    add_part(m, l->w_gate, l->b_gate, w->a->gate);
    add_part(m, l->w_up, l->b_up, w->a->up);

    m = add_matmul(w, rows, h->n_ff, w->a->gate);
    m->input = LLMC_INPUT_SWIGLU;
    m->up = w->a->up;
    add_part(m, l->w_down, l->b_down, x);
    m->accumulate = 1;
}

static void add_logits(writer *w, uint32_t rows, const float *x) {
    const llmc_weights *weights = w->parts->weights;
    llmc_op_matmul *m = add_matmul(w, rows, w->h->width, x);
    norm_input(w, m, weights->output_norm);
    add_part(m, weights->output ? weights->output : weights->token_embd, NULL, w->a->logits);
}

/* Six a layer; two before, and two gathers and the logits after. */
uint32_t llmc_forward_max_ops(uint32_t n_layers) {
    return 6 * n_layers + 5;
}

uint32_t llmc_forward(const llmc_forward_parts *parts, uint32_t n_tokens, uint32_t n_outputs, llmc_op *ops) {
    const llmc_hparams *h = parts->hparams;
    const llmc_activations *a = parts->activations;
    writer w = {.parts = parts, .h = h, .a = a, .ops = ops};
    uint32_t last = h->n_layers - 1;

    add_embed(&w);
    add_rope_table(&w);
    for (uint32_t layer = 0; layer < last; layer++) {
        add_qkv(&w, layer, n_tokens);
        add_attention(&w, layer);
        add_rest_of_layer(&w, layer, n_tokens, a->attended, a->x);
    }
    add_qkv(&w, last, n_tokens);
    if (n_outputs == 0) return w.n; /* nobody reads x any more: K and V are what such a step is for */
    add_attention(&w, last);
    add_gather(&w, h->width, a->x, a->x_out);
    add_gather(&w, h->n_heads * h->head_dim, a->attended, a->attended_out);
    add_rest_of_layer(&w, last, n_outputs, a->attended_out, a->x_out);
    add_logits(&w, n_outputs, a->x_out);
    return w.n;
}
