/* Embeddings of layers (Gemma 3n, Gemma 4): every token has one of its own in each layer, to which is added what a matrix makes of the
 * embedding that all layers share; and a layer adds to its rows what it makes of them and of their input.
 *
 *     inputs = (own * sqrt(n) + norm(x . proj^T / sqrt(width))) / sqrt(2)        (T, layers, n)
 *     x += norm((gelu(gate . x) * the layer's input) . out^T)                    (T, width)
 */
#include <math.h>

#include "model/op_writer.h"

void llmc_write_layer_inputs(llmc_op_writer *w, uint32_t n_tokens) {
    const llmc_weights *weights = w->parts->weights;
    uint32_t one = w->h->layer_embedding, all = one * w->h->n_layers;
    float *inputs = w->a->layer_inputs, *made = w->a->layer_proj;
    llmc_write_op(w, LLMC_OP_EMBED)->u.embed = (llmc_op_embed){.weight = weights->layer_embeddings, .dst = inputs};
    llmc_write_norm(w, n_tokens, all, NULL, NULL, inputs, inputs)->scale = sqrtf((float)one) / sqrtf(2);
    llmc_add_part(llmc_write_matmul(w, n_tokens, w->h->width, w->a->x), weights->layer_proj, NULL, made);
    llmc_write_norm(w, n_tokens, all, NULL, NULL, made, made)->scale = 1 / sqrtf((float)w->h->width);
    llmc_op_group_norm *norm = &llmc_write_op(w, LLMC_OP_GROUP_NORM)->u.group_norm;
    *norm = (llmc_op_group_norm){.n_rows = n_tokens, .n_groups = w->h->n_layers, .width = one, .shared_weight = 1};
    norm->src = norm->dst = made;
    norm->weight = weights->layer_proj_norm;
    norm->eps = w->h->norm_eps;
    llmc_op_norm *sum = llmc_write_norm(w, n_tokens, all, NULL, NULL, made, inputs);
    sum->scale = 1 / sqrtf(2);
    sum->accumulate = 1;
}

void llmc_write_layer_input(llmc_op_writer *w, const llmc_layer *l, uint32_t layer, uint32_t rows, const float *x) {
    uint32_t one = w->h->layer_embedding, all = one * w->h->n_layers;
    llmc_add_part(llmc_write_matmul(w, rows, w->h->width, x), l->embedding_gate, NULL, w->a->gate);
    llmc_write_blocks(w, rows, 1, one, w->a->layer_inputs + (size_t)layer * one, all, one, w->a->up, one);
    llmc_op_matmul *m = llmc_write_matmul(w, rows, one, w->a->gate);
    m->input = LLMC_INPUT_ACTIVATION;
    m->activation = LLMC_GEGLU;
    m->up = w->a->up;
    llmc_add_part(m, l->embedding_out, NULL, w->a->branch);
}
