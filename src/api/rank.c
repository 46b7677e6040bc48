/* llmcall_rerank: a query and documents to scores, by the model's own head. */
#include <string.h>

#include "api/texts.h"

enum { MAX_PROMPT_BYTES = 1 << 28 };

/* A text of the client. */
typedef struct piece {
    const char *text;
    size_t size;
} piece;

/* ---- Models that read pairs: what the vocabulary puts around a text, twice ------------------------------------------------- */

static llmcall_status push(llmc_texts *t, llmc_token_list *list, int32_t id) {
    if (list->n == list->capacity) {
        int32_t *ids = llmc_realloc_array(&t->start.engine->env, list->ids, list->n + 1, sizeof *ids);
        if (!ids) return llmc_fail_memory(t->start.error, "the tokens");
        list->ids = ids;
        list->capacity = list->n + 1;
    }
    list->ids[list->n++] = id;
    return LLMCALL_OK;
}

/* [BOS] query [EOS] document [EOS], as far as the vocabulary adds them; with a separator before the document, where the model
 * has one more. */
static llmcall_status encode_pair(llmc_texts *t, llmc_text *text, const llmc_tokenizer *tokenizer, piece query,
                                  piece document) {
    llmc_token_list *list = &text->tokens;
    llmcall_error *error = t->start.error;
    int32_t separator = llmc_tokenizer_special(tokenizer, LLMC_SPECIAL_SEP);
    llmcall_status status = llmc_tokenizer_encode(tokenizer, query.text, query.size, LLMC_ENCODE_BOS_EOS, list, error);
    if (!status && separator >= 0 && llmc_model_shape_of(t->start.runtime->model)->pair_separator)
        status = push(t, list, separator);
    size_t second = list->n;
    if (!status) status = llmc_tokenizer_encode(tokenizer, document.text, document.size, LLMC_ENCODE_BOS_EOS, list, error);
    if (status) return status;
    int32_t bos = llmc_tokenizer_special(tokenizer, LLMC_SPECIAL_BOS);
    if (llmc_tokenizer_add_bos(tokenizer) && second < list->n && list->ids[second] == bos) {
        memmove(list->ids + second, list->ids + second + 1, (list->n - second - 1) * sizeof *list->ids);
        list->n--;
    }
    text->second = (uint32_t)second;
    text->n_tail = list->n > second && llmc_tokenizer_is_control(tokenizer, list->ids[list->n - 1]);
    return LLMCALL_OK;
}

/* ---- Models with a template of their own: {query} and {document} in it ------------------------------------------------------ */

static int append_piece(const llmc_tokenizer *tokenizer, piece p, uint32_t shield, llmc_buffer *out) {
    return shield ? llmc_tokenizer_shield(tokenizer, p.text, p.size, shield, out) : llmc_buffer_append(out, p.text, p.size);
}

/* The template with the texts in their places; *tail is where what follows the document begins. */
static int render(const llmc_tokenizer *tokenizer, const char *at, piece query, piece document, uint32_t shield,
                  llmc_buffer *out, size_t *tail) {
    static const char query_mark[] = "{query}", document_mark[] = "{document}";
    for (;;) {
        const char *q = strstr(at, query_mark), *d = strstr(at, document_mark);
        const char *next = q && (!d || q < d) ? q : d;
        if (!next) return llmc_buffer_append(out, at, strlen(at));
        if (!llmc_buffer_append(out, at, (size_t)(next - at))) return 0;
        if (!append_piece(tokenizer, next == q ? query : document, shield, out)) return 0;
        at = next + (next == q ? sizeof query_mark - 1 : sizeof document_mark - 1);
        if (next == d) *tail = out->size;
    }
}

static llmcall_status choose_shield(const llmc_texts *t, const llmc_tokenizer *tokenizer, piece query, piece document,
                                    uint32_t *shield) {
    *shield = 0;
    if (!llmc_tokenizer_names_control(tokenizer, query.text, query.size) &&
        !llmc_tokenizer_names_control(tokenizer, document.text, document.size))
        return LLMCALL_OK;
    *shield = llmc_free_shield(llmc_shields_in(query.text, query.size) | llmc_shields_in(document.text, document.size));
    if (*shield) return LLMCALL_OK;
    return llmc_fail(t->start.error, LLMCALL_E_ARGUMENT, NULL, "documents",
                     "query and document hold control tokens as text and all of the noncharacters U+FDD0 to U+FDEF.");
}

/* What stands behind a document that is to be cut is counted apart. */
static llmcall_status encode_rendered(llmc_texts *t, llmc_text *text, const llmc_tokenizer *tokenizer,
                                      const llmc_buffer *prompt, size_t tail, uint32_t shield) {
    const char *data = prompt->data ? prompt->data : "";
    llmcall_error *error = t->start.error;
    llmcall_status status =
        llmc_tokenizer_encode_shielded(tokenizer, data, prompt->size, shield, LLMC_ENCODE_SPECIAL, &text->tokens, error);
    if (status || text->tokens.n <= t->start.runtime->context_length) return status;
    llmc_token_list behind = {0};
    status = llmc_tokenizer_encode_shielded(tokenizer, data + tail, prompt->size - tail, shield, LLMC_ENCODE_SPECIAL, &behind,
                                            error);
    text->n_tail = (uint32_t)behind.n;
    llmc_token_list_free(&t->start.engine->env, &behind);
    return status;
}

static llmcall_status encode_prompt(llmc_texts *t, llmc_text *text, const llmc_tokenizer *tokenizer, piece query,
                                    piece document) {
    const char *template = llmc_model_rerank_template(t->start.runtime->model);
    uint32_t shield;
    size_t tail = 0;
    llmc_buffer prompt;
    llmc_buffer_init(&prompt, &t->start.engine->env, MAX_PROMPT_BYTES);
    llmcall_status status = choose_shield(t, tokenizer, query, document, &shield);
    if (!status && !render(tokenizer, template, query, document, shield, &prompt, &tail))
        status = llmc_fail(t->start.error, prompt.status, NULL, "documents", "The prompt exceeds %zu bytes or the memory.",
                           prompt.max);
    if (!status) status = encode_rendered(t, text, tokenizer, &prompt, tail, shield);
    llmc_buffer_free(&prompt);
    return status;
}

/* ---- The call ------------------------------------------------------------------------------------------------------------ */

static llmcall_status tokenize(llmc_texts *t, const llmcall_rerank_request *request) {
    const llmc_tokenizer *tokenizer;
    piece query = {request->query, 0};
    llmcall_error *error = t->start.error;
    int has_template = llmc_model_rerank_template(t->start.runtime->model) != NULL;
    llmcall_status status = llmc_texts_tokenizer(t, &tokenizer);
    if (!status) status = llmc_check_text(request->query, request->query_size, "query", &query.size, error);
    for (size_t i = 0; i < request->n_documents && !status; i++) {
        piece document = {request->documents[i], 0};
        int64_t size = request->document_sizes ? request->document_sizes[i] : -1;
        status = llmc_check_text(document.text, size, "documents", &document.size, error);
        if (status) break;
        status = (has_template ? encode_prompt : encode_pair)(t, &t->texts[i], tokenizer, query, document);
        if (!status) status = llmc_texts_fit(t, i);
    }
    return status;
}

static llmcall_status compute(llmc_texts *t, float *scores) {
    const llmc_env *env = &t->start.engine->env;
    t->rows = llmc_alloc_array(env, t->n_rows, t->width * sizeof *t->rows);
    if (!t->rows) return llmc_fail_memory(t->start.error, "the documents' vectors");
    llmcall_status status = llmc_texts_run(t);
    if (!status) status = llmc_model_rank(t->start.runtime->model, t->rows, t->n_rows, scores, t->start.error);
    llmc_free(env, t->rows);
    return status;
}

typedef struct rank_arguments {
    const llmcall_rerank_request *request; /* imported */
    float *scores;
} rank_arguments;

static llmcall_status rank(llmc_texts *t, const void *given) {
    const rank_arguments *arguments = given;
    const llmcall_rerank_request *request = arguments->request;
    if (!request->documents || !arguments->scores) {
        const char *missing = arguments->scores ? "documents" : "scores";
        return llmc_fail(t->start.error, LLMCALL_E_ARGUMENT, NULL, missing, "%s is NULL.", missing);
    }
    llmcall_status status = llmc_texts_check(t);
    if (!status) status = llmc_texts_route(t);
    if (status) return status;
    t->pooling = llmc_model_shape_of(t->start.runtime->model)->rank_pooling;
    llmc_texts_begin_tokens(t);
    status = tokenize(t, request);
    llmc_texts_end_tokens(t);
    return status ? status : compute(t, arguments->scores);
}

llmcall_status llmcall_rerank(llmcall_engine *engine, const llmcall_rerank_request *given, float *scores,
                              llmcall_usage_record *usage, llmcall_error *error) {
    llmc_error_clear(error);
    if (!engine || !given)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, engine ? "request" : "engine", "%s is NULL.",
                         engine ? "request" : "engine");
    llmcall_rerank_request request;
    llmcall_status status = llmc_import(&request, sizeof request, given, "request", error);
    if (status) return status;
    const llmc_texts_request common = {.use = LLMC_USE_RANK,
                                       .model = request.model,
                                       .caller = request.caller,
                                       .param = "documents",
                                       .n_texts = request.n_documents,
                                       .truncate = request.truncate,
                                       .priority = request.priority,
                                       .deadline_ms = request.deadline_ms,
                                       .progress = request.progress,
                                       .progress_user = request.progress_user};
    const rank_arguments arguments = {&request, scores};
    return llmc_texts_call(engine, &common, rank, &arguments, usage, error);
}
