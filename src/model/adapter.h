/* LoRA adapters inside the model's room: from a file onto the backend, and into a step. What the engine sees of them is in
 * model.h. */
#ifndef LLMC_ADAPTER_H
#define LLMC_ADAPTER_H

#include "model/model.h"
#include "model/weights.h"

/* The model that an adapter is for. */
typedef struct llmc_adapter_base {
    const llmc_env *env;
    llmc_backend *backend;
    const char *architecture;
    const llmc_hparams *hparams;
    const llmc_weights *weights;
    const llmc_op *ops; /* of any step that wants logits */
    uint32_t n_ops;
} llmc_adapter_base;

/* As llmc_model_load_adapter. */
llmcall_status llmc_adapter_load(const llmc_adapter_base *base, const llmcall_adapter_options *options, llmc_adapter **adapter,
                                 llmcall_error *error);

/* Tells the products of a step which of them the adapters of its segments add to. */
void llmc_adapters_mark(const llmc_batch *batch, llmc_op *ops, uint32_t n_ops);

#endif
