/* llmcall_score: the logits after every token of a sequence. */
#include "api/texts.h"

typedef struct score_arguments {
    const int32_t *tokens;
    size_t n_tokens;
    float *logits;
    size_t capacity;
} score_arguments;

static llmcall_status check_size(const llmc_texts *t, const score_arguments *arguments) {
    size_t n_tokens = arguments->n_tokens, n_vocab = t->width, capacity = arguments->capacity;
    uint32_t most = t->start.runtime->context_length;
    if (!arguments->tokens || n_tokens == 0)
        return llmc_fail(t->start.error, LLMCALL_E_ARGUMENT, "empty_prompt", "tokens", "tokens is empty.");
    if (n_tokens > most)
        return llmc_fail(t->start.error, LLMCALL_E_CONTEXT_LENGTH, NULL, "tokens", "%zu tokens do not fit the context of %u.",
                         n_tokens, most);
    if (arguments->logits && capacity / n_vocab >= n_tokens) return LLMCALL_OK;
    return llmc_fail(t->start.error, LLMCALL_E_BUFFER, NULL, "capacity",
                     "capacity is %zu floats; %zu tokens of a vocabulary of %zu need %zu.", capacity, n_tokens, n_vocab,
                     n_tokens * n_vocab);
}

static llmcall_status score(llmc_texts *t, const void *given) {
    const score_arguments *arguments = given;
    llmcall_status status = llmc_texts_route(t);
    if (status) return status;
    t->pooling = LLMCALL_POOLING_NONE;
    t->rows = arguments->logits;
    llmc_texts_begin_tokens(t);
    status = check_size(t, arguments);
    if (!status) status = llmc_start_copy_ids(&t->start, "tokens", arguments->tokens, arguments->n_tokens, &t->texts[0].tokens);
    llmc_texts_end_tokens(t);
    return status ? status : llmc_texts_run(t);
}

llmcall_status llmcall_score(llmcall_engine *engine, const char *model, const int32_t *tokens, size_t n_tokens, float *logits,
                             size_t capacity, llmcall_error *error) {
    llmc_error_clear(error);
    if (!engine) return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "engine", "engine is NULL.");
    const llmc_runtime *first = llmc_runtime_find(engine, NULL, NULL);
    if (first && (!model || !*model)) model = first->name;
    const llmc_texts_request common = {.use = LLMC_USE_SCORE, .model = model, .param = "tokens", .n_texts = 1};
    const score_arguments arguments = {tokens, n_tokens, logits, capacity};
    return llmc_texts_call(engine, &common, score, &arguments, NULL, error);
}
