/* What the files of the forward pass share: where the next operation goes, and the operations that several of them write. */
#ifndef LLMC_OP_WRITER_H
#define LLMC_OP_WRITER_H

#include "model/forward.h"

typedef struct llmc_op_writer {
    const llmc_forward_parts *parts;
    const llmc_hparams *h;
    const llmc_activations *a;
    llmc_op *ops;
    uint32_t n;
} llmc_op_writer;

static inline llmc_op *llmc_write_op(llmc_op_writer *w, llmc_op_kind kind) {
    llmc_op *op = &w->ops[w->n++];
    *op = (llmc_op){.kind = kind};
    return op;
}

static inline int llmc_norm_kind(const llmc_hparams *h) {
    return h->arch->layer_norm ? LLMC_NORM_LAYER : LLMC_NORM_RMS;
}

/* Of rows of src; parts are added. */
llmc_op_matmul *llmc_write_matmul(llmc_op_writer *w, uint32_t rows, uint32_t width, const float *src);
void llmc_add_part(llmc_op_matmul *m, const llmc_weight *weight, const float *bias, float *dst);
void llmc_norm_input(const llmc_op_writer *w, llmc_op_matmul *m, const float *norm,
                     const float *bias); /* norm NULL: src as it is */

/* dst = norm(src) * 1; more is set by the caller. */
llmc_op_norm *llmc_write_norm(llmc_op_writer *w, uint32_t rows, uint32_t width, const float *norm, const float *bias,
                              const float *src, float *dst);

/* The same n_blocks parts of each row, from src, src_row floats from row to row and src_step from part to part, to dst, dst_step from
 * part to part. */
void llmc_write_blocks(llmc_op_writer *w, uint32_t rows, uint32_t n_blocks, uint32_t block, const float *src, uint32_t src_row,
                       uint32_t src_step, float *dst, uint32_t dst_step);

/* x += residual_scale * factor * norm(activated src . weight^T + bias), norm NULL: without, factor NULL: without, a number on the
 * device. The caller sets the input of the matmul that
 * is returned. */
llmc_op_matmul *llmc_write_residual(llmc_op_writer *w, uint32_t rows, uint32_t width, const float *src,
                                    const llmc_weight *weight, const float *bias, const float *norm, const float *factor,
                                    float *x);

/* Of experts that read x by norms of their own, into dst. */
void llmc_write_experts_beside(llmc_op_writer *w, const llmc_layer *layer, uint32_t rows, const float *x, float *dst);

/* The feed-forward of one layer by experts: which ones, up to the sum, and the sum. */
void llmc_write_router(llmc_op_writer *w, const llmc_layer *layer, uint32_t rows, const float *x);
void llmc_write_experts(llmc_op_writer *w, const llmc_layer *layer, uint32_t rows, const float *x);
void llmc_write_experts_sum(llmc_op_writer *w, const llmc_layer *layer, uint32_t rows, float *x);

void llmc_write_rope_store(llmc_op_writer *w, uint32_t layer);

/* Latent attention: up to what is stored, and of what was attended its values, into q. */
void llmc_write_latent(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens);
void llmc_write_latent_values(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens);

/* Embeddings of layers, see layer_inputs.c: all of them, from x; and what a layer makes of x and its own, into branch. */
void llmc_write_layer_inputs(llmc_op_writer *w, uint32_t n_tokens);
void llmc_write_layer_input(llmc_op_writer *w, const llmc_layer *l, uint32_t layer, uint32_t rows, const float *x);

/* AltUp, see streams.c: the beginning, of x; before a layer, into x and sum; and once attention was added to sum, once the
 * feed-forward was; the end, into x. */
void llmc_write_streams(llmc_op_writer *w, uint32_t rows);
void llmc_write_predict(llmc_op_writer *w, const llmc_layer *layer, uint32_t rows);
void llmc_write_laurel_sum(llmc_op_writer *w, uint32_t rows);
void llmc_write_correct(llmc_op_writer *w, const llmc_layer *l, uint32_t layer, uint32_t rows);
void llmc_write_streams_end(llmc_op_writer *w, uint32_t rows);
void llmc_write_sparse(llmc_op_writer *w, uint32_t rows, uint32_t width, float *x); /* what of each row stands out */

/* Recurrent layers: of x, what their last matrix reads, into recurred. */
void llmc_write_conv(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens);
void llmc_write_scan(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens);
void llmc_write_select(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens);
void llmc_write_kda(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens);
void llmc_write_rwkv(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens);
void llmc_write_channel_mix(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens); /* a feed-forward up to its activation */
void llmc_write_delta(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens);
void llmc_write_unit_keys(llmc_op_writer *w, uint32_t n_tokens, float *qkv); /* q and k of each key head to length 1 */
llmc_state_place llmc_state_of(const llmc_op_writer *w, uint32_t layer);

#endif
