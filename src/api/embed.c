/* llmcall_embed_texts and llmcall_embed: texts to vectors. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "api/texts.h"

static llmcall_status check_request(const llmc_texts *t, const llmcall_embed_request *request) {
    llmcall_error *error = t->start.error;
    if ((request->texts != NULL) + (request->tokens != NULL) != 1)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "texts", "Exactly one of texts and tokens must be set.");
    if (request->tokens && !request->token_counts)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "token_counts", "token_counts is missing.");
    if (request->pooling < LLMCALL_POOLING_AUTO || request->pooling > LLMCALL_POOLING_NONE)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "pooling", "pooling is %d, which is none of LLMCALL_POOLING_*.",
                         request->pooling);
    if (request->no_normalize > 1)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "no_normalize", "no_normalize is %u; it must be 0 or 1.",
                         request->no_normalize);
    return llmc_texts_check(t);
}

static llmcall_status choose_pooling(llmc_texts *t, const llmcall_embed_request *request) {
    const llmc_model_shape *shape = llmc_model_shape_of(t->start.runtime->model);
    t->pooling = request->pooling;
    if (t->pooling == LLMCALL_POOLING_AUTO && shape->ranks && shape->pooling == LLMCALL_POOLING_AUTO)
        return llmc_fail(t->start.error, LLMCALL_E_UNSUPPORTED, "ranks_only", "pooling",
                         "%s ranks documents (llmcall_rerank); for vectors choose a pooling.", t->start.runtime->name);
    if (t->pooling == LLMCALL_POOLING_AUTO) t->pooling = shape->pooling;
    if (t->pooling == LLMCALL_POOLING_AUTO) t->pooling = LLMCALL_POOLING_MEAN;
    if (request->dimensions <= shape->width) return LLMCALL_OK;
    return llmc_fail(t->start.error, LLMCALL_E_ARGUMENT, NULL, "dimensions",
                     "dimensions is %u; the model's vectors have %u numbers.", request->dimensions, shape->width);
}

static llmcall_status copy_ids(llmc_texts *t, size_t i, const int32_t *ids, size_t n) {
    char what[40];
    snprintf(what, sizeof what, "tokens[%zu]", i);
    return llmc_start_copy_ids(&t->start, what, ids, n, &t->texts[i].tokens);
}

static llmcall_status encode(llmc_texts *t, size_t i, const char *given, int64_t given_size) {
    size_t size;
    const llmc_tokenizer *tokenizer;
    llmc_text *text = &t->texts[i];
    llmcall_error *error = t->start.error;
    llmcall_status status = llmc_check_text(given, given_size, "texts", &size, error);
    if (!status) status = llmc_texts_tokenizer(t, &tokenizer);
    if (!status) status = llmc_tokenizer_encode(tokenizer, given, size, LLMC_ENCODE_BOS_EOS, &text->tokens, error);
    if (!status && text->tokens.n > 0)
        text->n_tail = llmc_tokenizer_is_control(tokenizer, text->tokens.ids[text->tokens.n - 1]) != 0;
    return status;
}

static llmcall_status tokenize(llmc_texts *t, const llmcall_embed_request *request) {
    llmcall_status status = LLMCALL_OK;
    llmc_texts_begin_tokens(t);
    for (size_t i = 0; i < request->n_texts && !status; i++) {
        if (request->tokens) status = copy_ids(t, i, request->tokens[i], request->token_counts[i]);
        else status = encode(t, i, request->texts[i], request->text_sizes ? request->text_sizes[i] : -1);
        if (!status) status = llmc_texts_fit(t, i);
    }
    llmc_texts_end_tokens(t);
    return status;
}

/* Length 1; a vector of zeros stays as it is. */
static void normalize(float *vector, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (double)vector[i] * (double)vector[i];
    if (!(sum > 0)) return;
    double scale = 1 / sqrt(sum);
    for (uint32_t i = 0; i < n; i++) vector[i] = (float)((double)vector[i] * scale);
}

static void give_vectors(const llmc_texts *t, const llmcall_embed_request *request, uint32_t dimensions, float *vectors) {
    for (size_t i = 0; i < t->n_rows; i++) {
        float *to = vectors + i * dimensions;
        memmove(to, t->rows + i * t->width, dimensions * sizeof *to);
        if (!request->no_normalize) normalize(to, dimensions);
    }
}

/* Rows are made where they are wanted, unless they are to be cut. */
static llmcall_status compute(llmc_texts *t, const llmcall_embed_request *request, float *vectors, size_t capacity) {
    const llmc_env *env = &t->start.engine->env;
    uint32_t dimensions = request->dimensions ? request->dimensions : t->width;
    float *own = NULL;
    if (!vectors || capacity / dimensions < t->n_rows)
        return llmc_fail(t->start.error, LLMCALL_E_BUFFER, NULL, "capacity",
                         "capacity is %zu floats; %zu vectors of %u need %zu.", capacity, t->n_rows, dimensions,
                         t->n_rows * dimensions);
    t->rows = vectors;
    if (dimensions < t->width) t->rows = own = llmc_alloc_array(env, t->n_rows, t->width * sizeof *own);
    if (!t->rows) return llmc_fail_memory(t->start.error, "the vectors");
    llmcall_status status = llmc_texts_run(t);
    if (!status) status = llmc_model_project(t->start.runtime->model, t->rows, t->n_rows, t->start.error);
    if (!status) give_vectors(t, request, dimensions, vectors);
    llmc_free(env, own);
    return status;
}

typedef struct embed_arguments {
    const llmcall_embed_request *request; /* imported */
    float *vectors;
    size_t capacity;
    size_t *n_vectors;
} embed_arguments;

static llmcall_status embed(llmc_texts *t, const void *given) {
    const embed_arguments *arguments = given;
    const llmcall_embed_request *request = arguments->request;
    llmcall_status status = check_request(t, request);
    if (!status) status = llmc_texts_route(t);
    if (!status) status = choose_pooling(t, request);
    if (!status) status = tokenize(t, request);
    if (status) return status;
    *arguments->n_vectors = t->n_rows;
    for (size_t i = 0; request->rows && i < request->n_texts; i++) request->rows[i] = t->texts[i].n_rows;
    return compute(t, request, arguments->vectors, arguments->capacity);
}

llmcall_status llmcall_embed_texts(llmcall_engine *engine, const llmcall_embed_request *given, float *vectors, size_t capacity,
                                   size_t *n_vectors, llmcall_usage_record *usage, llmcall_error *error) {
    llmc_error_clear(error);
    if (n_vectors) *n_vectors = 0;
    const char *missing = !engine ? "engine" : !given ? "request" : "n_vectors";
    if (!engine || !given || !n_vectors) return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, missing, "%s is NULL.", missing);
    llmcall_embed_request request;
    llmcall_status status = llmc_import(&request, sizeof request, given, "request", error);
    if (status) return status;
    const llmc_texts_request common = {.use = LLMC_USE_EMBED,
                                       .model = request.model,
                                       .caller = request.caller,
                                       .param = request.tokens ? "tokens" : "texts",
                                       .n_texts = request.n_texts,
                                       .truncate = request.truncate,
                                       .priority = request.priority,
                                       .deadline_ms = request.deadline_ms,
                                       .adapter = request.adapter,
                                       .adapter_scale = request.adapter_scale,
                                       .progress = request.progress,
                                       .progress_user = request.progress_user};
    const embed_arguments arguments = {&request, vectors, capacity, n_vectors};
    return llmc_texts_call(engine, &common, embed, &arguments, usage, error);
}

llmcall_status llmcall_embed(llmcall_engine *engine, const char *model, const char *text, int64_t text_size, float *vector,
                             size_t capacity, size_t *n, llmcall_error *error) {
    LLMCALL_INIT(llmcall_embed_request, request);
    size_t n_vectors;
    llmc_error_clear(error);
    if (!n) return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "n", "n is NULL.");
    *n = 0;
    request.model = model;
    request.texts = &text;
    request.text_sizes = &text_size;
    request.n_texts = 1;
    LLMCALL_INIT(llmcall_usage_record, usage);
    llmcall_status status = llmcall_embed_texts(engine, &request, vector, capacity, &n_vectors, &usage, error);
    const llmc_runtime *runtime = n_vectors ? llmc_runtime_find(engine, usage.model, NULL) : NULL; /* as it was routed */
    if (runtime) *n = llmc_model_shape_of(runtime->model)->width;
    return status;
}
