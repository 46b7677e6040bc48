/* Memory that runs out at every single allocation of a whole life, and steps that do not allocate. */
#include "tests/unit/engine_setup.h"
#include "tests/unit/failing_alloc.h"

/* Any end but success must be for memory. */
static int ended(llmcall_status status) {
    if (status) assert_int_equal(status, LLMCALL_E_NO_MEMORY);
    return status != LLMCALL_OK;
}

static void read_to_end(llmcall_engine *engine, llmcall_call *call) {
    int n_usage = 0, n_error = 0;
    for (int rounds = 0;; rounds++) {
        LLMCALL_INIT(llmcall_event, event);
        llmcall_status status = llmcall_next(call, &event, 0);
        if (status == LLMCALL_E_END) break;
        if (status == LLMCALL_E_TIMEOUT) {
            /* Steps of several tokens between two reads: the pieces grow. */
            for (int i = 0; i < 3; i++) assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
            assert_true(rounds < 10000);
            continue;
        }
        assert_int_equal(status, LLMCALL_OK);
        if (event.type == LLMCALL_EVENT_TEXT && event.n_tokens) assert_non_null(event.logprobs);
        n_error += event.type == LLMCALL_EVENT_ERROR;
        if (event.type == LLMCALL_EVENT_ERROR) assert_int_equal(event.error->status, LLMCALL_E_NO_MEMORY);
        if (event.type != LLMCALL_EVENT_USAGE) continue;
        n_usage++;
        if (event.usage->status) assert_int_equal(event.usage->status, LLMCALL_E_NO_MEMORY);
        assert_int_equal(n_error, event.usage->status != 0);
    }
    assert_int_equal(n_usage, 1);
}

static void use_text(llmcall_engine *engine, const llmcall_message *messages) {
    int32_t tokens[64];
    char text[256];
    size_t n;
    if (ended(llmcall_tokenize(engine, NULL, "hello <|im_end|>", -1, LLMCALL_TOKENIZE_SPECIAL, tokens, 64, &n, NULL))) return;
    if (ended(llmcall_detokenize(engine, NULL, tokens, n, 1, text, sizeof text, &n, NULL))) return;
    (void)ended(llmcall_apply_template(engine, NULL, messages, 2, 1, text, sizeof text, &n, NULL));
    (void)ended(llmcall_count_tokens(engine, NULL, messages, 2, &n, NULL));
}

static void use_calls(llmcall_engine *engine, const llmcall_message *messages) {
    static const char *const stops[] = {"zqzqzq", "never here"};
    llmcall_request request;
    setup_request(&request, NULL, 30);
    request.messages = messages;
    request.n_messages = 2;
    request.n = 2;
    request.logprobs = 1;
    request.top_logprobs = 2;
    request.stop = stops;
    request.n_stop = 2;
    request.speculate = 7;
    llmcall_call *call = NULL;
    if (ended(llmcall_start(engine, &request, &call, NULL))) {
        assert_null(call);
        return;
    }
    read_to_end(engine, call);
    LLMCALL_INIT(llmcall_usage_record, record);
    assert_int_equal(llmcall_usage(call, &record, NULL), LLMCALL_OK);
    llmcall_span spans[LLMCALL_STAGE_COUNT];
    llmcall_init(spans, sizeof *spans);
    size_t n;
    assert_int_equal(llmcall_timeline(call, spans, LLMCALL_STAGE_COUNT, &n, NULL), LLMCALL_OK);
    llmcall_close(&call);
}

static void score(llmcall_engine *engine) {
    static float logits[3 * TINY_VOCAB];
    static const int32_t tokens[] = {1, 2, 3};
    (void)ended(llmcall_score(engine, NULL, tokens, 3, logits, 3 * TINY_VOCAB, NULL));
}

static llmcall_status pass_moderate(void *user, const llmcall_moderation_request *request, llmcall_moderation *verdict) {
    return llmcall_default_moderate(user, request, verdict);
}

/* Open, load, everything, close. 1 if the failure came. */
static int whole_life(tiny_gguf *file, long fail_at, int for_ever, int hooked) {
    failing_alloc f;
    llmc_env env;
    failing_alloc_init(&f, &env);
    f.fail_at = fail_at;
    f.for_ever = for_ever;
    LLMCALL_INIT(llmcall_hooks, hooks);
    hooks.moderate = hooked ? pass_moderate : NULL;
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.threads = 0;
    options.max_step_tokens = 32;
    options.max_sequences = 4;
    options.allocate = failing_allocate;
    options.allocate_user = &f;
    options.hooks = &hooks;
    llmcall_message messages[2];
    for (int i = 0; i < 2; i++) {
        llmcall_init(&messages[i], sizeof messages[i]);
        messages[i].role = "user";
        messages[i].content = "the hello on and then some more in the red";
        messages[i].content_size = -1;
    }
    llmcall_engine *engine = NULL;
    if (!ended(llmcall_engine_open(&options, &engine, NULL))) {
        llmcall_model_options model;
        tiny_gguf_model_options(file, &model);
        model.kv_bytes = 200000;
        if (!ended(llmcall_engine_load(engine, &model, NULL))) {
            use_text(engine, messages);
            use_calls(engine, messages);
            score(engine);
            llmcall_metrics_snapshot metrics;
            setup_metrics(engine, &metrics);
            assert_int_equal(metrics.kv_pages_used, 0);
        }
        llmcall_engine_close(&engine);
    } else {
        assert_null(engine);
    }
    assert_int_equal(f.live, 0);
    return fail_at && f.count >= fail_at;
}

static void every_allocation_of(const tiny_gguf_spec *spec, int hooked) {
    tiny_gguf file;
    tiny_gguf_build(&file, spec);
    for (int for_ever = 0; for_ever <= 1; for_ever++) {
        long n = 1;
        while (whole_life(&file, n, for_ever, hooked)) n++;
        assert_true(n > 50);
    }
    tiny_gguf_free(&file);
}

static void every_allocation_fails(void **state) {
    (void)state;
    const tiny_gguf_spec spec = {.n_layers = 1, .width = 32, .n_heads = 1, .n_ff = 32};
    for (int hooked = 0; hooked <= 1; hooked++) every_allocation_of(&spec, hooked);
}

static void also_with_recurrent_layers(void **state) {
    (void)state;
    const tiny_gguf_spec spec = {.architecture = "granitehybrid", .n_layers = 2, .width = 32, .n_heads = 1, .n_ff = 32};
    every_allocation_of(&spec, 0);
}

static void steady_decode_does_not_allocate(void **state) {
    (void)state;
    for (int variant = 0; variant <= 2; variant++) { /* 1: with a hook; 2: with recurrent layers */
        int hooked = variant == 1;
        failing_alloc f;
        llmc_env env;
        failing_alloc_init(&f, &env);
        LLMCALL_INIT(llmcall_hooks, hooks);
        hooks.moderate = hooked ? pass_moderate : NULL;
        llmcall_engine_options options;
        llmcall_engine_options_defaults(&options);
        options.threads = 0;
        options.allocate = failing_allocate;
        options.allocate_user = &f;
        options.hooks = &hooks;
        tiny_gguf file = {0};
        if (variant == 2) tiny_gguf_build(&file, &(tiny_gguf_spec){.architecture = "granitehybrid"});
        llmcall_engine *engine = setup_engine_with(&file, &options, NULL);
        llmcall_request request;
        setup_request(&request, "hello there", 150);
        request.logprobs = 1;
        request.top_logprobs = 5;
        request.n = 2;
        request.speculate = 7;
        llmcall_call *call = setup_start(engine, &request);
        long before = 0;
        for (int step = 0; step < 100; step++) {
            if (step == 20) before = f.count;
            int32_t busy;
            assert_int_equal(llmcall_engine_step(engine, &busy, NULL), LLMCALL_OK);
            assert_int_equal(busy, 1);
            LLMCALL_INIT(llmcall_event, event);
            while (llmcall_next(call, &event, 0) == LLMCALL_OK) assert_int_equal(event.type, LLMCALL_EVENT_TEXT);
        }
        assert_int_equal(f.count, before);
        llmcall_close(&call);
        llmcall_engine_close(&engine);
        assert_int_equal(f.live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_allocation_fails),
        cmocka_unit_test(also_with_recurrent_layers),
        cmocka_unit_test(steady_decode_does_not_allocate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
