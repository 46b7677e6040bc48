/* What a model gives besides logits: how the rows of its last layer become one vector, what is made of that, and the head that ranks
 * documents. Both work on one row a text, so they are computed on the host, in one order on every machine. */
#ifndef LLMC_HEAD_H
#define LLMC_HEAD_H

#include "model/arch.h"

/* A classifier: tanh(inner . row + inner_bias), then out . that + out_bias; ModernBERT's has GELU in place of tanh, and a layer norm
 * behind it. Host memory; either matrix may be missing. */
typedef struct llmc_head {
    uint32_t width;
    uint32_t n_inner; /* rows of inner; 0: out reads the row itself */
    uint32_t n_out;   /* rows of out; 0: the answer is tanh(...) */
    int softmax;      /* the answers compete: of several, as Qwen3's "yes" and "no" */
    int gelu;
    float eps;
    float *inner; /* (n_inner, width) */
    float *inner_bias;
    float *inner_norm; /* (n_inner) or NULL */
    float *out;        /* (n_out, n_inner or width) */
    float *out_bias;
    uint32_t n_dense; /* rows of dense_2; 0: dense_3 reads the row itself */
    float *dense_2;   /* (n_dense, width) of an embedding's vector */
    float *dense_3;   /* (width, n_dense or width) of that; NULL: none, and then n_dense is width */
} llmc_head;

/* <architecture>.pooling_type and .attention.causal, and whether the head's tensors are there and fit, into hparams. E_FORMAT and
 * E_UNSUPPORTED name key or tensor. */
llmcall_status llmc_head_read(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error);

int llmc_head_knows(const char *tensor);         /* 1: a tensor of the head */
uint64_t llmc_head_bytes(const llmc_gguf *gguf); /* memory of a head of this file */

/* head may be half filled on failure: free it in any case. */
llmcall_status llmc_head_load(const llmc_env *env, llmc_gguf *gguf, const llmc_hparams *hparams, llmc_head *head,
                              llmcall_error *error);
void llmc_head_free(const llmc_env *env, llmc_head *head); /* a zeroed one is fine */

/* dense_3 . dense_2 . row, in its place. scratch: n_dense + width floats. */
void llmc_head_project(const llmc_head *head, float *row, float *scratch);

/* The first answer for one row (width). scratch: n_inner + n_out floats. */
float llmc_head_score(const llmc_head *head, const float *row, float *scratch);

#endif
