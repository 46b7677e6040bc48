/* Which tensors a model has: a table for every architecture, and what decides whether a layer has each of them. */
#ifndef LLMC_TENSOR_TABLE_H
#define LLMC_TENSOR_TABLE_H

#include "model/arch.h"

typedef enum llmc_dim {
    LLMC_DIM_NONE,
    LLMC_DIM_WIDTH,
    LLMC_DIM_Q,
    LLMC_DIM_KV,
    LLMC_DIM_Q_KV, /* q and k together: where v begins in a fused tensor */
    LLMC_DIM_QKV,
    LLMC_DIM_HEADS,
    LLMC_DIM_KV_HEADS,
    LLMC_DIM_HEAD,
    LLMC_DIM_FF,
    LLMC_DIM_FF_2,
    LLMC_DIM_VOCAB,
    LLMC_DIM_TOKEN_TYPES,
    LLMC_DIM_CONTEXT,
    LLMC_DIM_ROPE_PAIRS,
    LLMC_DIM_EXPERTS,
    LLMC_DIM_EXPERT_FF,
    LLMC_DIM_EXPERT_FF_2,
    LLMC_DIM_SHARED_FF,
    LLMC_DIM_Q_RANK,
    LLMC_DIM_Q_LATENT, /* n_heads * key_length */
    LLMC_DIM_ATTENDED_LATENT,
    LLMC_DIM_KV_RANK,
    LLMC_DIM_HEAD_DIM_LATENT,
    LLMC_DIM_KEY_STILL, /* of a latent key, what does not turn */
    LLMC_DIM_VALUE_LATENT,
    LLMC_DIM_Q_GATED, /* queries and their gates */
    LLMC_DIM_TAPS,    /* of a convolution */
    LLMC_DIM_CONV,    /* channels of it */
    LLMC_DIM_WIDTH_3,
    LLMC_DIM_INNER,    /* what a recurrent layer's heads put out together */
    LLMC_DIM_SCAN_IN,  /* z, x, b, c and dt */
    LLMC_DIM_DELTA_IN, /* q, k, v and z */
    LLMC_DIM_MIXER_HEADS,
    LLMC_DIM_MIXER_HEADS_2,
    LLMC_DIM_MIXER_GROUPS,
    LLMC_DIM_MIXER_GROUP /* outputs of a group's heads */,
    LLMC_DIM_MIXER_STATE
} llmc_dim;

/* What decides whether a layer has the tensor: see presence(). */
typedef enum llmc_need {
    LLMC_NEED_ALWAYS,
    LLMC_NEED_OPTIONAL,
    LLMC_NEED_ATTN_NORM,
    LLMC_NEED_NORM_BIAS,
    LLMC_NEED_FFN_NORM,
    LLMC_NEED_FFN_NORM_BIAS,
    LLMC_NEED_FFN_NORM_AS_POST,
    LLMC_NEED_POST_NORMS,
    LLMC_NEED_ENCODER,
    LLMC_NEED_ENCODER_OPTIONAL,
    LLMC_NEED_Q,
    LLMC_NEED_QKV,
    LLMC_NEED_QKV_FUSED,
    LLMC_NEED_QKV_BIAS,
    LLMC_NEED_QKV_FUSED_BIAS,
    LLMC_NEED_OUT,
    LLMC_NEED_OUT_BIAS,
    LLMC_NEED_HEAD_NORM,
    LLMC_NEED_ROW_NORM,
    LLMC_NEED_EACH_NORM,
    LLMC_NEED_SINKS,
    LLMC_NEED_GATE,
    LLMC_NEED_UP,
    LLMC_NEED_GATE_UP_FUSED,
    LLMC_NEED_DOWN,
    LLMC_NEED_GATE_BIAS,
    LLMC_NEED_FFN_BIAS,
    LLMC_NEED_POSITIONS,
    LLMC_NEED_OUTPUT_BIAS,
    LLMC_NEED_EXPERTS,
    LLMC_NEED_EXPERTS_GATE_UP,
    LLMC_NEED_EXPERTS_GATE_UP_FUSED,
    LLMC_NEED_EXPERTS_BIAS,
    LLMC_NEED_EXPERTS_SELECTION,
    LLMC_NEED_SHARED,
    LLMC_NEED_LATENT,
    LLMC_NEED_LATENT_Q,
    LLMC_NEED_LATENT_Q_RANK,
    LLMC_NEED_OUTPUT_NORM,
    LLMC_NEED_OUTPUT_NORM_AS_EMBD,
    LLMC_NEED_Q_GATED,
    LLMC_NEED_SHARED_GATE,
    LLMC_NEED_CONV, /* these and the rest: recurrent layers of the kind */
    LLMC_NEED_SCAN,
    LLMC_NEED_SCAN_OPTIONAL,
    LLMC_NEED_DELTA,
    LLMC_NEED_DELTA_SPLIT,
    LLMC_NEED_DELTA_JOINED,
    LLMC_NEED_DELTA_SPARE,
    LLMC_NEED_DELTA_AB,
    LLMC_NEED_DELTA_BA
} llmc_need;

/* A vector is floats on the device; a matrix is a weight; a stack is an array of weights, one for each of the outermost dimension. */
typedef enum llmc_tensor_kind { LLMC_TENSOR_VECTOR, LLMC_TENSOR_MATRIX, LLMC_TENSOR_STACK } llmc_tensor_kind;

#define LLMC_SLOT_NONE SIZE_MAX

typedef struct llmc_tensor_row {
    const char *name; /* in a layer: what follows "blk.N." */
    size_t slot;      /* offset of the pointer in llmc_layer or llmc_weights; LLMC_SLOT_NONE: known, but not read */
    llmc_tensor_kind kind;
    llmc_dim count; /* stacks: how many */
    llmc_dim rows;  /* outputs; LLMC_DIM_NONE: 1 */
    llmc_dim cols;
    llmc_need needed;
    /* A tensor that holds several: this one's rows (of a vector: elements) begin after `first`, of `total`. LLMC_DIM_NONE: at 0, and
     * all of them. */
    llmc_dim first, total;
} llmc_tensor_row;

typedef struct llmc_tensor_list {
    const llmc_tensor_row *rows;
    size_t n;
} llmc_tensor_list;

llmc_tensor_list llmc_global_tensors(void); /* slots in llmc_weights */
llmc_tensor_list llmc_layer_tensors(void);  /* slots in llmc_layer */

/* Divisors of the frequencies of RoPE, which do not go to the device; the last two for short and for long contexts. */
enum { LLMC_ROPE_FACTORS, LLMC_ROPE_FACTORS_SHORT, LLMC_ROPE_FACTORS_LONG, LLMC_N_ROPE_FACTORS };
const llmc_tensor_row *llmc_rope_factors(int which);

int llmc_tensor_ignored(const char *name_in_layer); /* left behind by converters; nothing reads it */

uint32_t llmc_dim_size(const llmc_hparams *hparams, llmc_dim dim);
uint32_t llmc_tensor_first(const llmc_hparams *hparams, const llmc_tensor_row *row);
/* Rows (of a vector that is part of another: elements) of the whole tensor, of one matrix of a stack. */
uint32_t llmc_tensor_total(const llmc_hparams *hparams, const llmc_tensor_row *row);

/* What a layer is made of, as its architecture and the file have it; any layer serves for global tensors. */
typedef struct llmc_layer_facts {
    const llmc_hparams *hparams;
    int experts, recurrent, fused_qkv, fused_experts, joined_beta_alpha;
} llmc_layer_facts;

llmc_layer_facts llmc_layer_facts_of(const llmc_gguf *gguf, const llmc_hparams *hparams, uint32_t layer);
llmc_presence llmc_tensor_presence(const llmc_layer_facts *facts, llmc_need need);

#endif
