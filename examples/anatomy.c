/* anatomy MODEL.gguf ["PROMPT"]: one call, and what happened in each of its 14 stages, with the numbers of this very call. */
#include <stdlib.h>
#include <string.h>

#include "console.h"

/* What a stage does, in a sentence that its live numbers complete. */
static const char *const stage_texts[LLMCALL_STAGE_COUNT + 1] = {
    [LLMCALL_STAGE_NETWORK] =
        "What distance alone costs: light in fiber needs 5 us a km, and paths are longer than the straight line. "
        "This caller says it is 1,200 km away.",
    [LLMCALL_STAGE_HTTP] = "TLS and HTTP. A server reports here what it spent; in process there is nothing to spend.",
    [LLMCALL_STAGE_AUTH] =
        "The admit hook names the tenant behind the key, with its cache salt and priority. Here: the open default.",
    [LLMCALL_STAGE_LIMITS] = "What the tenant may use: its cap on output tokens is applied.",
    [LLMCALL_STAGE_VALIDATE] = "Every field of the request is checked; an error would name the field and the value.",
    [LLMCALL_STAGE_ROUTE] = "The route hook chooses a model by name, load and price.",
    [LLMCALL_STAGE_TOKENIZE] = "The chat template makes one prompt of the messages, and the tokenizer makes token ids of it.",
    [LLMCALL_STAGE_QUEUE] = "The call waits for its share of the next step.",
    [LLMCALL_STAGE_CACHE] = "The longest prefix of the prompt that is still in the KV cache need not be computed again.",
    [LLMCALL_STAGE_PREFILL] =
        "The model reads the rest of the prompt and fills the KV cache; then the first token can be drawn.",
    [LLMCALL_STAGE_DECODE] = "One token at a time: logits, sampler, token. Each waits for the one before.",
    [LLMCALL_STAGE_OUTPUT] = "Token bytes become whole characters; stop strings are looked for, moderation may step in.",
    [LLMCALL_STAGE_PACKAGE] = "Text, tokens and finish reasons become events for the reader.",
    [LLMCALL_STAGE_BILL] = "Tokens times price, once, whatever ended the call.",
};

static llmcall_status print_answer(llmcall_call *call, llmcall_usage_record *usage, llmcall_error *error) {
    LLMCALL_INIT(llmcall_event, event);
    while (llmcall_next(call, &event, -1) == LLMCALL_OK) {
        if (event.type == LLMCALL_EVENT_TEXT) fwrite(event.text, 1, event.text_size, stdout), fflush(stdout);
        if (event.type == LLMCALL_EVENT_USAGE) *usage = *event.usage;
        if (event.type == LLMCALL_EVENT_ERROR) *error = *event.error;
    }
    putchar('\n');
    return error->status;
}

static void print_span(const console_style *style, const llmcall_span *span) {
    printf("\n%s%2d %s%s  %.3f ms", style->bold, span->stage, llmcall_stage_name(span->stage), style->reset,
           (double)span->busy_ns / 1e6);
    if (span->tokens) printf(", %lld tokens", (long long)span->tokens);
    if (span->tokens && span->busy_ns > 0 && (span->stage == LLMCALL_STAGE_PREFILL || span->stage == LLMCALL_STAGE_DECODE))
        printf(" (%.0f a second)", (double)span->tokens * 1e9 / (double)span->busy_ns);
    if (span->cost_nano) printf(", %.9f $", (double)span->cost_nano / 1e9);
    printf("\n   %s%s%s\n", style->dim, stage_texts[span->stage], style->reset);
}

static void explain(llmcall_call *call, const llmcall_usage_record *usage) {
    console_style style = console_style_for(stdout);
    llmcall_span spans[LLMCALL_STAGE_COUNT];
    for (int i = 0; i < LLMCALL_STAGE_COUNT; i++) llmcall_init(&spans[i], sizeof *spans);
    size_t n = 0;
    (void)llmcall_timeline(call, spans, LLMCALL_STAGE_COUNT, &n, NULL);
    for (size_t i = 0; i < n; i++) print_span(&style, &spans[i]);
    printf("\nIn all: %llu prompt tokens (%llu of them cached), %llu completion tokens, first token after %.1f ms, done after "
           "%.1f ms, "
           "%.9f $.\nThe bill's number, which never repeats: %s\n",
           (unsigned long long)usage->prompt_tokens, (unsigned long long)usage->cached_tokens,
           (unsigned long long)usage->completion_tokens, (double)usage->first_token_ns / 1e6, (double)usage->total_ns / 1e6,
           (double)usage->cost_nano / 1e9, usage->call_id);
}

static llmcall_status load(llmcall_engine *engine, const char *path, llmcall_error *error) {
    llmcall_model_options model;
    llmcall_model_options_defaults(&model);
    model.path = path;
    model.price_prompt = 150000000;     /* $0.15 a million */
    model.price_cached = 15000000;      /* a tenth of it */
    model.price_completion = 600000000; /* four times as much */
    model.progress = console_progress;
    return llmcall_engine_load(engine, &model, error);
}

static llmcall_status run_call(llmcall_engine *engine, const char *prompt, llmcall_error *error) {
    llmcall_message messages[2];
    const char *const texts[2][2] = {{"system", "You are a helpful assistant."}, {"user", prompt}};
    for (int i = 0; i < 2; i++) {
        llmcall_init(&messages[i], sizeof *messages);
        messages[i].role = texts[i][0];
        messages[i].content = texts[i][1];
        messages[i].content_size = -1;
    }
    LLMCALL_INIT(llmcall_caller, caller);
    caller.distance_km = 1200;
    llmcall_request request;
    llmcall_request_defaults(&request);
    request.messages = messages;
    request.n_messages = 2;
    request.temperature = 0;
    request.max_tokens = 128;
    request.caller = &caller;
    llmcall_call *call = NULL;
    LLMCALL_INIT(llmcall_usage_record, usage);
    llmcall_status status = llmcall_start(engine, &request, &call, error);
    if (!status) status = print_answer(call, &usage, error);
    if (!status) explain(call, &usage);
    llmcall_close(&call);
    return status;
}

int main(int argc, char **argv) {
    if (argc < 2 || argc > 3 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        fprintf(argc == 2 ? stdout : stderr,
                "Usage: anatomy MODEL.gguf [\"PROMPT\"]\n\nMakes one call and explains each of its stages.\n");
        return argc == 2 ? 0 : 2;
    }
    LLMCALL_INIT(llmcall_error, error);
    llmcall_engine *engine = NULL;
    llmcall_status status = llmcall_engine_open(NULL, &engine, &error);
    if (!status) status = load(engine, argv[1], &error);
    if (!status) status = run_call(engine, argc == 3 ? argv[2] : "What is the capital of France?", &error);
    if (status) console_fail("anatomy", &error);
    llmcall_engine_close(&engine);
    return status ? 1 : 0;
}
