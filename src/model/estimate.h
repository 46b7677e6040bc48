/* What a model file turns into, decided from its header before any weight moves: shape, tensors, page count, memory. */
#ifndef LLMC_ESTIMATE_H
#define LLMC_ESTIMATE_H

#include "model/model.h"
#include "model/weights.h"

typedef struct llmc_model_plan {
    llmc_gguf *gguf;
    llmc_tokenizer *tokenizer; /* NULL: "no_vocab" */
    char *chat_template;       /* NULL: none */
    char *rerank_template;     /* NULL: none */
    llmc_model_shape shape;
    llmc_model_limits limits; /* checked */
    llmcall_memory memory;
    /* Not with vocab_only: */
    llmc_hparams hparams;
    llmc_weights_plan weights;
    llmc_kv_layer kv_layers[LLMC_MAX_LAYERS]; /* of kv, then of window_kv, where they differ */
    llmc_kv_shape kv;                         /* no layers: it has no attention, and pages are only counted */
    llmc_kv_shape window_kv;                  /* no pages: layers with a window are not apart */
    llmc_state_shape states;                  /* no slots: it has no recurrent layers */
    uint32_t max_input_width;                 /* the widest input of a matrix product */
} llmc_model_plan;

/* Free the plan in any case. Whether it fits is llmc_model_plan_fits's question. */
llmcall_status llmc_model_plan_make(const llmc_env *env, const llmc_backend *backend, const llmcall_model_options *options,
                                    const llmc_model_limits *limits, llmc_model_plan *plan, llmcall_error *error);
void llmc_model_plan_free(const llmc_env *env, llmc_model_plan *plan);

/* E_NO_MEMORY with need and have if the model takes more than options->max_memory, or than the system can give. */
llmcall_status llmc_model_plan_fits(const llmc_model_plan *plan, const llmcall_model_options *options, llmcall_error *error);

#endif
