/* What a model gives besides logits: how the rows of its last layer become one vector, and the head that ranks documents. The
 * head works on one row a document, so it is computed on the host, in one order on every machine. */
#ifndef LLMC_HEAD_H
#define LLMC_HEAD_H

#include "model/arch.h"

/* A classifier: tanh(inner . row + inner_bias), then out . that + out_bias. Host memory; either matrix may be missing. */
typedef struct llmc_head {
    uint32_t width;
    uint32_t n_inner; /* rows of inner; 0: out reads the row itself */
    uint32_t n_out;   /* rows of out; 0: the answer is tanh(...) */
    int softmax;      /* the answers compete: of several, as Qwen3's "yes" and "no" */
    float *inner;     /* (n_inner, width) */
    float *inner_bias;
    float *out; /* (n_out, n_inner or width) */
    float *out_bias;
} llmc_head;

/* <architecture>.pooling_type and .attention.causal, and whether the head's tensors are there and fit, into hparams. E_FORMAT and
 * E_UNSUPPORTED name key or tensor. */
llmcall_status llmc_head_read(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error);

int llmc_head_knows(const char *tensor);         /* 1: a tensor of the head */
uint64_t llmc_head_bytes(const llmc_gguf *gguf); /* memory of a head of this file */

/* head may be half filled on failure: free it in any case. Does nothing for a model that does not rank. */
llmcall_status llmc_head_load(const llmc_env *env, llmc_gguf *gguf, const llmc_hparams *hparams, llmc_head *head,
                              llmcall_error *error);
void llmc_head_free(const llmc_env *env, llmc_head *head); /* a zeroed one is fine */

/* The first answer for one row (width). scratch: n_inner + n_out floats. */
float llmc_head_score(const llmc_head *head, const float *row, float *scratch);

#endif
