/* Multi-head latent attention (DeepSeek-V2), with the matrices that make keys and values of the latent vector taken into queries
 * and results: one KV head of kv_rank + n_rot dimensions serves all.
 *
 *     latent, turning = norm(x) . kv_a                       (T, kv_rank), (T, n_rot)
 *     k = rope(turning), norm(latent)    v = norm(latent), 0 (T, head_dim)
 *     q of head i = rope(its last n_rot), k_b[i] . the rest  (T, n_heads, head_dim)
 *     attended of head i = v_b[i] . softmax(q . k) v         (T, n_heads, value_length)
 */
#include "model/op_writer.h"

typedef struct latent_arrays {
    float *q_a; /* (T, q_rank) */
    float *kv;  /* (T, kv_rank + n_rot) */
    float *q;   /* (T, n_heads, key_length) */
} latent_arrays;

static latent_arrays arrays_of(const llmc_op_writer *w, uint32_t n_tokens) {
    const llmc_latent_params *l = &w->h->latent;
    latent_arrays arrays = {.q_a = w->a->latent};
    arrays.kv = arrays.q_a + (size_t)n_tokens * l->q_rank;
    arrays.q = arrays.kv + (size_t)n_tokens * w->h->head_dim;
    return arrays;
}

static void add_projections(llmc_op_writer *w, const llmc_layer *l, const latent_arrays *arrays, uint32_t n_tokens) {
    llmc_op_matmul *m = llmc_write_matmul(w, n_tokens, w->h->width, w->a->x);
    llmc_norm_input(w, m, l->attn_norm, NULL);
    llmc_add_part(m, l->kv_a, NULL, arrays->kv);
    llmc_add_part(m, l->q_a ? l->q_a : l->wq, NULL, l->q_a ? arrays->q_a : arrays->q);
    if (!l->q_a) return;
    m = llmc_write_matmul(w, n_tokens, w->h->latent.q_rank, arrays->q_a);
    llmc_norm_input(w, m, l->q_a_norm, NULL);
    llmc_add_part(m, l->q_b, NULL, arrays->q);
}

static void add_split(llmc_op_writer *w, const llmc_layer *l, const latent_arrays *arrays, uint32_t n_tokens) {
    const llmc_hparams *h = w->h;
    llmc_write_op(w, LLMC_OP_SPLIT_LATENT)->u.split_latent = (llmc_op_split_latent){.n_rows = n_tokens,
                                                                                    .n_heads = h->n_heads,
                                                                                    .rank = h->latent.kv_rank,
                                                                                    .n_rot = h->rope.n_rot,
                                                                                    .key_length = h->latent.key_length,
                                                                                    .norm = l->kv_a_norm,
                                                                                    .eps = h->norm_eps,
                                                                                    .kv = arrays->kv,
                                                                                    .heads = arrays->q,
                                                                                    .q = w->a->q,
                                                                                    .k = w->a->k,
                                                                                    .v = w->a->v};
}

static llmc_op_heads *add_heads(llmc_op_writer *w, uint32_t n_tokens, uint32_t width, llmc_weight *const *weights) {
    llmc_op_heads *op = &llmc_write_op(w, LLMC_OP_HEADS)->u.heads;
    *op = (llmc_op_heads){.n_rows = n_tokens, .n_heads = w->h->n_heads, .width = width, .weights = weights};
    return op;
}

void llmc_write_latent(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens) {
    const llmc_hparams *h = w->h;
    const llmc_layer *l = &w->parts->weights->layers[layer];
    latent_arrays arrays = arrays_of(w, n_tokens);
    add_projections(w, l, &arrays, n_tokens);
    add_split(w, l, &arrays, n_tokens);
    llmc_op_heads *op = add_heads(w, n_tokens, h->latent.key_length - h->rope.n_rot, l->k_b);
    op->src = arrays.q;
    op->src_stride = h->latent.key_length;
    op->dst = w->a->q + h->rope.n_rot;
    op->dst_stride = h->head_dim;
    llmc_write_rope_store(w, layer);
}

void llmc_write_latent_values(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens) {
    llmc_op_heads *op = add_heads(w, n_tokens, w->h->latent.kv_rank, w->parts->weights->layers[layer].v_b);
    op->src = w->a->attended;
    op->src_stride = w->h->head_dim;
    op->dst = w->a->q; /* read no more */
    op->dst_stride = w->h->latent.value_length;
}
