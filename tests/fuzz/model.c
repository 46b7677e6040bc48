/* Any bytes as a model: loaded, and if that works, everything done with it that can be done. What must hold: every failure has
 * its words, what is refused took no more memory than its size accounts for, and what ran leaves nothing behind. */
#include "tests/unit/gguf_bytes.h"

enum { N_TOKENS = 12, MAX_FLOATS = 1 << 20 };

static float numbers[MAX_FLOATS];
static char text[1 << 16];
static const char *const texts[] = {"hello", "the end <|im_end|> [SEP] \xc3\xa9\xe6\x9d\xb1 1234  x\n\n y"};

/* ---- Memory ---- */

static long long live, peak;

static void *allocate(void *user, void *old, size_t old_size, size_t new_size) {
    (void)user;
    void *block = NULL;
    if (new_size == 0) free(old);
    else if (!(block = realloc(old, new_size))) return NULL;
    live += (long long)new_size - (long long)(old ? old_size : 0);
    if (live > peak) peak = live;
    return block;
}

/* ---- Use ---- */

static void check(llmcall_status status, const llmcall_error *error) {
    if (status != error->status || (status && !error->message[0]) || status == LLMCALL_E_INTERNAL) __builtin_trap();
}

static void run_call(llmcall_engine *engine, const llmcall_request *request) {
    llmcall_call *call = NULL;
    LLMCALL_INIT(llmcall_error, error);
    check(llmcall_start(engine, request, &call, &error), &error);
    for (int32_t busy = call != NULL; busy;) {
        if (llmcall_engine_step(engine, &busy, NULL)) __builtin_trap();
    }
    llmcall_close(&call);
}

static void generate(llmcall_engine *engine, const int32_t *tokens) {
    llmcall_request request;
    LLMCALL_INIT(llmcall_message, message);
    llmcall_request_defaults(&request);
    request.max_tokens = 3;
    request.speculate = 3;
    request.tokens = tokens;
    request.n_tokens = N_TOKENS;
    run_call(engine, &request);
    message.role = "user";
    message.content = texts[1];
    message.content_size = -1;
    request.tokens = NULL;
    request.n_tokens = 0;
    request.messages = &message;
    request.n_messages = 1;
    run_call(engine, &request);
}

static void embed(llmcall_engine *engine) {
    size_t n;
    LLMCALL_INIT(llmcall_error, error);
    LLMCALL_INIT(llmcall_embed_request, request);
    LLMCALL_INIT(llmcall_rerank_request, rerank);
    request.texts = rerank.documents = texts;
    request.n_texts = rerank.n_documents = 2;
    for (request.pooling = LLMCALL_POOLING_AUTO; request.pooling <= LLMCALL_POOLING_NONE; request.pooling++)
        check(llmcall_embed_texts(engine, &request, numbers, MAX_FLOATS, &n, NULL, &error), &error);
    rerank.query = texts[0];
    rerank.query_size = -1;
    check(llmcall_rerank(engine, &rerank, numbers, NULL, &error), &error);
}

static void use_text(llmcall_engine *engine) {
    int32_t ids[512];
    size_t n, size;
    LLMCALL_INIT(llmcall_error, error);
    for (uint32_t flags = 0; flags < 4; flags++) {
        llmcall_status status = llmcall_tokenize(engine, NULL, texts[1], -1, flags, ids, 512, &n, &error);
        check(status, &error);
        if (!status) check(llmcall_detokenize(engine, NULL, ids, n, flags & 1, text, sizeof text, &size, &error), &error);
    }
}

static void use(llmcall_engine *engine) {
    int32_t tokens[N_TOKENS];
    LLMCALL_INIT(llmcall_error, error);
    LLMCALL_INIT(llmcall_model_info_record, info);
    check(llmcall_model_info(engine, NULL, &info, &error), &error);
    for (uint32_t i = 0; i < N_TOKENS; i++) tokens[i] = (int32_t)(i * 37 % info.vocab_size);
    check(llmcall_score(engine, NULL, tokens, N_TOKENS, numbers, MAX_FLOATS, &error), &error);
    generate(engine, tokens);
    embed(engine);
    use_text(engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    llmcall_engine *engine = NULL;
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.threads = 0;
    options.max_step_tokens = 8;
    options.max_sequences = 2;
    options.allocate = allocate;
    live = 0;
    if (llmcall_engine_open(&options, &engine, NULL)) __builtin_trap();
    gguf_bytes file = {.data = (uint8_t *)(uintptr_t)data, .size = size};
    llmcall_reader reader = gguf_bytes_reader(&file);
    LLMCALL_INIT(llmcall_model_options, model);
    LLMCALL_INIT(llmcall_error, error);
    model.readers = &reader;
    model.n_readers = 1;
    model.context_length = 64;
    model.kv_bytes = 1 << 20;
    model.max_memory = 256 << 20;
    peak = live;
    long long before = live;
    llmcall_status status = llmcall_engine_load(engine, &model, &error);
    check(status, &error);
    if (status && peak - before > (16 << 20) + 4 * (long long)size) __builtin_trap();
    if (!status) use(engine);
    llmcall_engine_close(&engine);
    if (live != 0) __builtin_trap();
    return 0;
}
