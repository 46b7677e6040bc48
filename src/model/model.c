/* Loading a model by its plan, and running steps on it. */
#include "model/model.h"

#include <string.h>

#include "model/adapter.h"
#include "model/estimate.h"
#include "model/forward.h"
#include "model/head.h"

struct llmc_model {
    const llmc_env *env;
    llmc_backend *backend; /* borrowed; NULL with vocab_only */
    llmc_tokenizer *tokenizer;
    char *chat_template;
    char *rerank_template;
    llmc_model_shape shape;
    llmc_model_limits limits;
    llmcall_memory memory;
    llmc_hparams hparams;
    llmc_weights weights;
    llmc_head head;
    uint32_t n_pages;
    llmc_kv_store *kv;       /* NULL: no layer has attention */
    uint32_t n_window_pages; /* 0: layers with a window, if any, are not apart */
    llmc_kv_store *window_kv;
    llmc_state_shape state_shape;
    llmc_state_store *states; /* NULL: no layer is recurrent */
    llmc_activations activations;
    const float *hidden; /* of the last run that was asked for it */
    llmc_op *ops;        /* room for the longest step */
};

/* ---- Life --------------------------------------------------------------------------------------------------------------- */

/* Moves what the plan holds into the model. */
static llmc_model *model_of_plan(const llmc_env *env, llmc_backend *backend, llmc_model_plan *plan) {
    llmc_model *model = llmc_zalloc(env, sizeof *model);
    if (!model) return NULL;
    model->env = env;
    model->backend = backend;
    model->shape = plan->shape;
    model->limits = plan->limits;
    model->memory = plan->memory;
    model->hparams = plan->hparams;
    model->tokenizer = plan->tokenizer;
    model->chat_template = plan->chat_template;
    plan->tokenizer = NULL;
    model->rerank_template = plan->rerank_template;
    plan->chat_template = NULL;
    plan->rerank_template = NULL;
    return model;
}

static llmcall_status make_activations(llmc_model *model, llmcall_error *error) {
    size_t sizes[LLMC_ACTIVATIONS];
    llmc_activations_sizes(&model->hparams, model->limits.max_step_tokens, model->limits.max_outputs, sizes);
    for (int i = 0; i < LLMC_ACTIVATIONS; i++) {
        model->activations.array[i] = model->backend->call->alloc(model->backend, sizes[i]);
        if (!model->activations.array[i]) return llmc_fail_memory(error, "activations");
    }
    return LLMCALL_OK;
}

/* Everything that a step needs, so that it allocates nothing. */
static llmcall_status make_step_memory(llmc_model *model, const llmc_model_plan *plan, llmcall_error *error) {
    const llmc_backend_functions *call = model->backend->call;
    model->n_pages = plan->kv.n_pages;
    model->n_window_pages = plan->window_kv.n_pages;
    model->ops = llmc_zalloc_array(model->env, llmc_forward_max_ops(model->shape.n_layers), sizeof *model->ops);
    if (!model->ops) return llmc_fail_memory(error, "the operations of a step");
    llmcall_status status = LLMCALL_OK;
    model->state_shape = plan->states;
    if (plan->kv.n_layers > 0) status = call->kv_create(model->backend, &plan->kv, &model->kv, error);
    if (status == LLMCALL_OK && model->n_window_pages > 0) {
        status = call->kv_create(model->backend, &plan->window_kv, &model->window_kv, error);
    }
    if (status == LLMCALL_OK && plan->states.n_slots > 0) {
        status = call->state_create(model->backend, &plan->states, &model->states, error);
    }
    if (status == LLMCALL_OK) status = make_activations(model, error);
    if (status != LLMCALL_OK) return status;
    return call->reserve(model->backend, model->limits.max_step_tokens, plan->max_input_width, model->shape.head_dim,
                         model->shape.n_heads, error);
}

static llmcall_status load_by_plan(llmc_model *model, llmc_model_plan *plan, const llmcall_model_options *options,
                                   llmcall_error *error) {
    llmcall_status status = llmc_model_plan_fits(plan, options, error);
    if (status == LLMCALL_OK && model->shape.max_context < model->shape.context_length && !options->context_length) {
        llmc_log(model->env, LLMCALL_LOG_WARN, "%s: cache and steps hold %u tokens, less than the model's context of %u.",
                 model->shape.name, model->shape.max_context, model->shape.context_length);
    }
    if (status == LLMCALL_OK) status = make_step_memory(model, plan, error);
    if (status == LLMCALL_OK) {
        status = llmc_weights_load(model->env, plan->gguf, &model->hparams, &plan->weights, model->backend, options,
                                   &model->weights, error);
    }
    if (status == LLMCALL_OK) status = llmc_head_load(model->env, plan->gguf, &model->hparams, &model->head, error);
    return status;
}

llmcall_status llmc_model_load(const llmc_env *env, llmc_backend *backend, const llmcall_model_options *options,
                               const llmc_model_limits *limits, llmc_model **model, llmcall_error *error) {
    llmc_model_plan plan;
    *model = NULL;
    llmcall_status status = llmc_model_plan_make(env, backend, options, limits, &plan, error);
    if (status == LLMCALL_OK) {
        *model = model_of_plan(env, options->vocab_only ? NULL : backend, &plan);
        if (!*model) status = llmc_fail_memory(error, "the model");
    }
    if (status == LLMCALL_OK && !options->vocab_only) status = load_by_plan(*model, &plan, options, error);
    if (status != LLMCALL_OK) llmc_model_destroy(model);
    llmc_model_plan_free(env, &plan);
    return status;
}

void llmc_model_destroy(llmc_model **model) {
    llmc_model *m = *model;
    if (!m) return;
    if (m->backend) {
        for (int i = 0; i < LLMC_ACTIVATIONS; i++) m->backend->call->release(m->backend, m->activations.array[i]);
        m->backend->call->kv_destroy(m->backend, m->kv);
        m->backend->call->kv_destroy(m->backend, m->window_kv);
        m->backend->call->state_destroy(m->backend, m->states);
        llmc_weights_destroy(m->env, m->backend, &m->weights);
    }
    llmc_free(m->env, m->ops);
    llmc_head_free(m->env, &m->head);
    llmc_tokenizer_destroy(&m->tokenizer);
    llmc_free(m->env, m->chat_template);
    llmc_free(m->env, m->rerank_template);
    llmc_free(m->env, m);
    *model = NULL;
}

const llmc_model_shape *llmc_model_shape_of(const llmc_model *model) {
    return &model->shape;
}
const llmc_tokenizer *llmc_model_tokenizer(const llmc_model *model) {
    return model->tokenizer;
}
const char *llmc_model_chat_template(const llmc_model *model) {
    return model->chat_template;
}
const char *llmc_model_rerank_template(const llmc_model *model) {
    return model->rerank_template;
}
const llmcall_memory *llmc_model_memory(const llmc_model *model) {
    return &model->memory;
}
uint32_t llmc_model_kv_pages(const llmc_model *model) {
    return model->n_pages;
}

void llmc_model_kv_zero(llmc_model *model, uint32_t page) {
    if (model->kv && page < model->n_pages) model->backend->call->kv_zero(model->backend, model->kv, page);
}

uint32_t llmc_model_window(const llmc_model *model) {
    return model->n_window_pages ? model->hparams.window : 0;
}

uint32_t llmc_model_window_pages(const llmc_model *model) {
    return model->n_window_pages;
}

void llmc_model_window_zero(llmc_model *model, uint32_t slot) {
    if (slot < model->n_window_pages) model->backend->call->kv_zero(model->backend, model->window_kv, slot);
}

uint32_t llmc_model_states(const llmc_model *model) {
    return model->state_shape.n_slots;
}

void llmc_model_state_copy(llmc_model *model, uint32_t dst, uint32_t src) {
    if (model->states) model->backend->call->state_copy(model->backend, model->states, dst, src);
}

static llmc_forward_parts parts_of(llmc_model *model) {
    return (llmc_forward_parts){.hparams = &model->hparams,
                                .weights = &model->weights,
                                .activations = &model->activations,
                                .kv = model->kv,
                                .window_kv = model->window_kv,
                                .states = model->states};
}

/* ---- Adapters ----------------------------------------------------------------------------------------------------------- */

llmcall_status llmc_model_load_adapter(llmc_model *model, const llmcall_adapter_options *options, llmc_adapter **adapter,
                                       llmcall_error *error) {
    *adapter = NULL;
    if (!model->backend) return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, "vocab_only", "The model has no weights.");
    llmc_forward_parts parts = parts_of(model);
    uint32_t n_ops = llmc_forward(&parts, 1, 1, 0, model->ops);
    llmc_adapter_base base = {.env = model->env, .backend = model->backend, .architecture = model->shape.architecture};
    base.hparams = &model->hparams;
    base.weights = &model->weights;
    base.ops = model->ops;
    base.n_ops = n_ops;
    return llmc_adapter_load(&base, options, adapter, error);
}

/* ---- Steps -------------------------------------------------------------------------------------------------------------- */

/* From the first page on that its first token sees. */
static int window_pages_fit(const llmc_model *model, const llmc_segment *segment) {
    uint32_t end = (segment->start + segment->n_tokens + LLMC_PAGE_TOKENS - 1) / LLMC_PAGE_TOKENS;
    if (model->n_window_pages == 0) return 1;
    if (!segment->window_pages) return 0;
    for (uint32_t i = llmc_window_first_page(segment->start, model->hparams.window); i < end; i++) {
        if (segment->window_pages[i] >= model->n_window_pages) return 0;
    }
    return 1;
}

static int segment_fits(const llmc_model *model, const llmc_batch *batch, const llmc_segment *segment, uint32_t first_token) {
    uint64_t end = (uint64_t)segment->start + segment->n_tokens;
    if (segment->first_token != first_token || segment->n_tokens > batch->n_tokens - first_token) return 0;
    if (end > model->shape.max_context || (uint64_t)segment->n_pages * LLMC_PAGE_TOKENS < end) return 0;
    for (uint32_t i = 0; i < segment->n_pages; i++) {
        if (segment->pages[i] >= model->n_pages) return 0;
    }
    if (!window_pages_fit(model, segment)) return 0;
    uint32_t n_slots = model->state_shape.n_slots;
    if (n_slots > 0 && segment->state >= n_slots) return 0;
    if (n_slots > 0 && segment->snapshot_after > 0 && segment->snapshot >= n_slots) return 0;
    for (uint32_t i = 0; i < segment->n_tokens; i++) {
        if (batch->positions[first_token + i] != segment->start + i) return 0;
    }
    return 1;
}

static int segments_fit(const llmc_model *model, const llmc_batch *batch) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < batch->n_segments; i++) {
        if (!segment_fits(model, batch, &batch->segments[i], n)) return 0;
        n += batch->segments[i].n_tokens;
    }
    return n == batch->n_tokens;
}

static int rows_fit(const llmc_batch *batch) {
    for (uint32_t i = 0; i < batch->n_outputs; i++) {
        if (batch->output_rows[i] >= batch->n_tokens) return 0;
        if (i > 0 && batch->output_rows[i] <= batch->output_rows[i - 1]) return 0;
    }
    return 1;
}

/* The kernels trust a batch; a wrong one must end here. The cost is a few comparisons a token. */
static llmcall_status check_batch(const llmc_model *model, const llmc_batch *batch, llmcall_error *error) {
    if (!model->backend) return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, "vocab_only", "The model has no weights.");
    if (batch->n_tokens < 1 || batch->n_tokens > model->limits.max_step_tokens ||
        batch->n_outputs > model->limits.max_outputs) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "batch",
                         "The step has %u tokens and %u outputs; limits are %u and %u.", batch->n_tokens, batch->n_outputs,
                         model->limits.max_step_tokens, model->limits.max_outputs);
    }
    for (uint32_t i = 0; i < batch->n_tokens; i++) {
        if (batch->tokens[i] >= 0 && (uint32_t)batch->tokens[i] < model->shape.n_vocab) continue;
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "tokens", "Token id %d is outside the vocabulary of %u tokens.",
                         batch->tokens[i], model->shape.n_vocab);
    }
    int logits_fit = batch->n_outputs == 0 || model->shape.causal;
    if (logits_fit && segments_fit(model, batch) && rows_fit(batch)) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "batch", "The step's segments or output rows contradict its tokens.");
}

static const float *view(llmc_model *model, const float *rows, uint32_t n_rows, uint32_t width) {
    return model->backend->call->view(model->backend, rows, (size_t)n_rows * width);
}

llmcall_status llmc_model_run(llmc_model *model, const llmc_batch *batch, const float **logits, llmcall_error *error) {
    llmc_forward_parts parts = parts_of(model);
    *logits = NULL;
    llmcall_status status = check_batch(model, batch, error);
    if (status != LLMCALL_OK) return status;
    uint32_t n_ops = llmc_forward(&parts, batch->n_tokens, batch->n_outputs, batch->hidden, model->ops);
    llmc_adapters_mark(batch, model->ops, n_ops);
    status = model->backend->call->run(model->backend, batch, model->ops, n_ops, error);
    if (status != LLMCALL_OK) return status;
    model->hidden = NULL;
    if (batch->hidden) model->hidden = view(model, model->activations.x, batch->n_tokens, model->shape.width);
    if (batch->n_outputs) *logits = view(model, model->activations.logits, batch->n_outputs, model->shape.n_vocab);
    if ((*logits || !batch->n_outputs) && (model->hidden || !batch->hidden)) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_BACKEND, NULL, NULL, "The step's results could not be read back.");
}

const float *llmc_model_hidden(const llmc_model *model) {
    return model->hidden;
}

llmcall_status llmc_model_project(const llmc_model *model, float *rows, size_t n, llmcall_error *error) {
    const llmc_head *head = &model->head;
    if (!head->dense_2 && !head->dense_3) return LLMCALL_OK;
    float *scratch = llmc_alloc_array(model->env, (size_t)head->n_dense + head->width, sizeof *scratch);
    if (!scratch) return llmc_fail_memory(error, "the vectors");
    for (size_t i = 0; i < n; i++) llmc_head_project(head, rows + i * head->width, scratch);
    llmc_free(model->env, scratch);
    return LLMCALL_OK;
}

llmcall_status llmc_model_rank(const llmc_model *model, const float *rows, size_t n, float *scores, llmcall_error *error) {
    const llmc_head *head = &model->head;
    if (head->n_inner + head->n_out == 0)
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, "no_rank_head", "model", "%s has no head that ranks documents.",
                         model->shape.name);
    float *scratch = llmc_alloc_array(model->env, (size_t)head->n_inner + head->n_out, sizeof *scratch);
    if (!scratch) return llmc_fail_memory(error, "the rank head");
    for (size_t i = 0; i < n; i++) scores[i] = llmc_head_score(head, rows + i * head->width, scratch);
    llmc_free(model->env, scratch);
    return LLMCALL_OK;
}
