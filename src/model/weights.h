/* A model's tensors: which ones an architecture has, whether the file's are the right ones, and their way onto a backend. */
#ifndef LLMC_WEIGHTS_H
#define LLMC_WEIGHTS_H

#include "backend/backend.h"
#include "model/arch.h"

/* Matrices are (outputs, inputs). Vectors are device arrays. NULL: this model has none. q = n_heads * head_dim,
 * kv = n_kv_heads * head_dim. */
typedef struct llmc_layer {
    float *attn_norm;           /* (width) */
    llmc_weight *wq, *wk, *wv;  /* (q, width), (kv, width), (kv, width) */
    float *bq, *bk, *bv;        /* (q), (kv), (kv) */
    float *q_norm, *k_norm;     /* (head_dim) */
    llmc_weight *wo;            /* (width, q) */
    float *bo;                  /* (width) */
    float *ffn_norm;            /* (width) */
    llmc_weight *w_gate, *w_up; /* (n_ff, width) */
    float *b_gate, *b_up;       /* (n_ff) */
    llmc_weight *w_down;        /* (width, n_ff) */
    float *b_down;              /* (width) */
} llmc_layer;

typedef struct llmc_weights {
    llmc_weight *token_embd; /* (n_vocab, width) */
    float *output_norm;      /* (width) */
    llmc_weight *output;     /* (n_vocab, width); NULL: token_embd serves again */
    double *inv_freq;        /* host, (n_rot / 2), see rope.h */
    float rope_scale;
    uint32_t n_layers;
    llmc_layer *layers;
} llmc_weights;

/* What checking the tensors found. */
typedef struct llmc_weights_plan {
    uint64_t file_bytes;   /* to be read */
    uint64_t device_bytes; /* weights as the backend holds them */
    uint64_t matrix_bytes; /* of them, matrices */
    uint64_t parameters;   /* elements of all tensors */
    size_t staging_bytes;  /* the largest piece that is read at once */
    int32_t most_type;     /* the type of most matrix elements */
    int all_f32;           /* every matrix is F32 */
} llmc_weights_plan;

/* Every tensor of the file against what the architecture has: E_FORMAT for a missing one or a wrong shape, E_UNSUPPORTED for a
 * type that the backend cannot hold or a tensor that the architecture does not know; both name it. */
llmcall_status llmc_weights_check(const llmc_gguf *gguf, const llmc_hparams *hparams, const llmc_backend *backend,
                                  llmc_weights_plan *plan, llmcall_error *error);

/* Reads what was checked. weights may be half filled on failure: destroy it in any case. */
llmcall_status llmc_weights_load(const llmc_env *env, llmc_gguf *gguf, const llmc_hparams *hparams,
                                 const llmc_weights_plan *plan, llmc_backend *backend, const llmcall_model_options *options,
                                 llmc_weights *weights, llmcall_error *error);
void llmc_weights_destroy(const llmc_env *env, llmc_backend *backend, llmc_weights *weights); /* zeroed ones are fine */

#endif
