/* An engine's and a call's life: the happy path with and without threads, every order of closing, NULLs, struct sizes. */
#include "core/thread.h"
#include "tests/unit/engine_setup.h"

static const char prompt[] = "hello there, the long and winding prompt of the test";

static void chat(int32_t threads, setup_answer *answer) {
    llmcall_engine *engine = setup_engine(threads, NULL);
    LLMCALL_INIT(llmcall_message, message);
    message.role = "user";
    message.content = "hello";
    message.content_size = -1;
    llmcall_request request;
    setup_request(&request, NULL, 24);
    request.messages = &message;
    request.n_messages = 1;
    setup_run(engine, &request, answer);
    size_t n;
    assert_int_equal(llmcall_count_tokens(engine, NULL, &message, 1, &n, NULL), LLMCALL_OK);
    assert_int_equal(answer->usage.prompt_tokens, n);
    llmcall_engine_close(&engine);
    assert_null(engine);
}

static void answers_are_equal_with_and_without_threads(void **state) {
    (void)state;
    setup_answer *a = calloc(2, sizeof *a), *b = a + 1;
    chat(0, a);
    chat(2, b);
    assert_int_equal(a->choice[0].finish, LLMCALL_FINISH_LENGTH);
    assert_int_equal(a->choice[0].n_tokens, 24);
    assert_int_equal(a->usage.completion_tokens, 24);
    assert_int_equal(a->usage.status, LLMCALL_OK);
    assert_int_equal(b->choice[0].n_tokens, 24);
    assert_memory_equal(a->choice[0].tokens, b->choice[0].tokens, 24 * sizeof(int32_t));
    assert_string_equal(a->choice[0].text, b->choice[0].text);
    free(a);
}

/* Asks for more cores than there are, then for as many. */
static void threads_stay_on_cores_of_their_own(void **state) {
    (void)state;
    llmcall_engine *engine = NULL;
    LLMCALL_INIT(llmcall_error, error);
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.pin_threads = 2;
    assert_int_equal(llmcall_engine_open(&options, &engine, &error), LLMCALL_E_ARGUMENT);
    assert_string_equal(error.param, "pin_threads");
    options.pin_threads = 1;
    options.threads = llmc_cpu_count() + 1;
    assert_int_equal(llmcall_engine_open(&options, &engine, &error), LLMCALL_E_UNSUPPORTED);
    assert_string_equal(error.param, "pin_threads");
    assert_null(engine);
    options.threads = LLMCALL_THREADS_AUTO;
    tiny_gguf file = {0};
    engine = setup_engine_with(&file, &options, NULL);
    setup_answer *answer = calloc(1, sizeof *answer);
    llmcall_request request;
    setup_request(&request, prompt, 24);
    setup_run(engine, &request, answer);
    assert_int_equal(answer->choice[0].n_tokens, 24);
    llmcall_engine_close(&engine);
    free(answer);
}

/* The engine goes first: what the call has can still be read, and it says why it ended. */
static void engine_closes_first(void **state) {
    (void)state;
    for (int32_t threads = 0; threads <= 2; threads += 2) {
        llmcall_engine *engine = setup_engine(threads, NULL);
        llmcall_request request;
        setup_request(&request, prompt, 0);
        llmcall_call *calls[3];
        for (int i = 0; i < 3; i++) calls[i] = setup_start(engine, &request);
        if (!threads) assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
        llmcall_close(&calls[1]);
        llmcall_engine_close(&engine);
        setup_answer *answer = calloc(1, sizeof *answer);
        setup_read(NULL, calls[0], answer);
        if (answer->usage.status) {
            assert_int_equal(answer->usage.status, LLMCALL_E_CLOSED);
            assert_int_equal(answer->error_status, LLMCALL_E_CLOSED);
            assert_int_equal(answer->choice[0].finish, LLMCALL_FINISH_ERROR);
        }
        LLMCALL_INIT(llmcall_usage_record, record);
        assert_int_equal(llmcall_usage(calls[0], &record, NULL), LLMCALL_OK);
        assert_int_equal(record.status, answer->usage.status);
        llmcall_cancel(calls[0]);
        free(answer);
        llmcall_close(&calls[0]);
        llmcall_close(&calls[2]); /* never read; the last reference to the engine */
    }
}

/* Half-read, not read, ended and not read: the engine goes on for the others. */
static void calls_close_at_any_time(void **state) {
    (void)state;
    for (int32_t threads = 0; threads <= 2; threads += 2) {
        llmcall_engine *engine = setup_engine(threads, NULL);
        llmcall_request request;
        setup_request(&request, prompt, 40);
        llmcall_call *at_once = setup_start(engine, &request), *whole, *half;
        request.max_tokens = 200;
        half = setup_start(engine, &request);
        request.max_tokens = 40;
        whole = setup_start(engine, &request);
        llmcall_close(&at_once);
        /* One event may carry all that came since the one before. */
        for (int got = 0; got < 2;) {
            LLMCALL_INIT(llmcall_event, event);
            llmcall_status status = llmcall_next(half, &event, 60000);
            if (status == LLMCALL_E_TIMEOUT) assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
            else assert_int_equal(status, LLMCALL_OK);
            got += status == LLMCALL_OK;
        }
        llmcall_close(&half);
        setup_answer *answer = calloc(1, sizeof *answer);
        setup_read(engine, whole, answer);
        assert_int_equal(answer->usage.status, LLMCALL_OK);
        assert_int_equal(answer->choice[0].n_tokens, 40);
        llmcall_close(&whole);
        if (!threads) assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
        setup_run(engine, &request, answer);
        llmcall_metrics_snapshot metrics;
        setup_metrics(engine, &metrics);
        assert_int_equal(metrics.kv_pages_used, 0);
        assert_int_equal(metrics.calls_started, 4);
        assert_int_equal(metrics.calls_finished, 4);
        free(answer);
        llmcall_engine_close(&engine);
    }
}

static void nulls_are_errors(void **state) {
    (void)state;
    llmcall_engine *engine = setup_engine(0, NULL);
    llmcall_call *call = NULL;
    llmcall_request request;
    setup_request(&request, prompt, 1);
    size_t n;
    float logits[1];
    int32_t token = 1;
    LLMCALL_INIT(llmcall_error, error);
    LLMCALL_INIT(llmcall_memory, memory);
    llmcall_engine_close(NULL);
    llmcall_close(NULL);
    llmcall_close(&call);
    llmcall_cancel(NULL);
    assert_int_equal(llmcall_engine_open(NULL, NULL, &error), LLMCALL_E_ARGUMENT);
    assert_int_equal(error.status, LLMCALL_E_ARGUMENT);
    assert_int_equal(error.http_status, 400);
    assert_int_equal(llmcall_engine_load(NULL, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_engine_load(engine, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_estimate(NULL, NULL, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_estimate(NULL, NULL, &memory, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_model_info(NULL, NULL, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_model_info(engine, NULL, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_device_info(engine, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_metrics(engine, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_engine_step(NULL, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_tokenize(NULL, NULL, "", -1, 0, NULL, 0, &n, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_tokenize(engine, NULL, NULL, -1, 0, NULL, 0, &n, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_tokenize(engine, NULL, "a", -1, 0, NULL, 0, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_tokenize(engine, NULL, "a", -1, 0, NULL, 5, &n, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_detokenize(engine, NULL, NULL, 1, 0, NULL, 0, &n, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_apply_template(engine, NULL, NULL, 1, 1, NULL, 0, &n, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_count_tokens(engine, NULL, NULL, 0, &n, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_score(NULL, NULL, &token, 1, logits, 1, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_score(engine, NULL, NULL, 1, logits, 1, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_score(engine, NULL, &token, 1, NULL, 1, NULL), LLMCALL_E_BUFFER);
    assert_int_equal(llmcall_start(NULL, &request, &call, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_start(engine, NULL, &call, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_start(engine, &request, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_next(NULL, NULL, 0), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_usage(NULL, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_timeline(NULL, NULL, 0, &n, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_prefix_save(engine, NULL, &token, 1, NULL, 0, &n, NULL), LLMCALL_E_UNSUPPORTED);
    assert_int_equal(llmcall_prefix_restore(engine, NULL, NULL, 0, NULL), LLMCALL_E_UNSUPPORTED);
    assert_int_equal(llmcall_start_json(engine, LLMCALL_API_COMPLETIONS, "{}", 2, NULL, &call, NULL), LLMCALL_E_UNSUPPORTED);
    assert_null(call);
    llmcall_engine_close(&engine);
}

typedef struct newer_request {
    llmcall_request request;
    int64_t unknown[4];
} newer_request;

/* A request from before its last fields, one from a later version, and one that was never initialised. */
static void structs_of_other_versions(void **state) {
    (void)state;
    llmcall_engine *engine = setup_engine(0, NULL);
    setup_answer *answer = calloc(1, sizeof *answer);
    newer_request newer;
    memset(&newer, 0, sizeof newer);
    setup_request(&newer.request, prompt, 3);
    newer.request.struct_size = offsetof(llmcall_request, logit_bias);
    newer.request.deadline_ms = -77; /* beyond what this caller's version has: not read */
    setup_run(engine, &newer.request, answer);
    assert_int_equal(answer->choice[0].n_tokens, 3);

    newer.request.deadline_ms = 0;
    newer.request.struct_size = sizeof newer;
    setup_run(engine, &newer.request, answer);
    newer.unknown[2] = 1;
    llmcall_call *call;
    LLMCALL_INIT(llmcall_error, error);
    assert_int_equal(llmcall_start(engine, &newer.request, &call, &error), LLMCALL_E_UNSUPPORTED);
    assert_string_equal(error.param, "request");
    newer.request.struct_size = 0;
    assert_int_equal(llmcall_start(engine, &newer.request, &call, &error), LLMCALL_E_ARGUMENT);

    /* A small error and a small event get what they have room for, and not a byte more. */
    unsigned char small[sizeof(llmcall_error)];
    memset(small, 0xee, sizeof small);
    ((llmcall_error *)(void *)small)->struct_size = 8;
    assert_int_equal(llmcall_start(engine, &newer.request, &call, (llmcall_error *)(void *)small), LLMCALL_E_ARGUMENT);
    assert_int_equal(((llmcall_error *)(void *)small)->status, LLMCALL_E_ARGUMENT);
    for (size_t i = 8; i < sizeof small; i++) assert_int_equal(small[i], 0xee);
    free(answer);
    llmcall_engine_close(&engine);
}

static void spans_of_any_size(void **state) {
    (void)state;
    llmcall_engine *engine = setup_engine(0, NULL);
    llmcall_request request;
    setup_request(&request, prompt, 3);
    llmcall_call *call = setup_start(engine, &request);
    setup_answer *answer = calloc(1, sizeof *answer);
    setup_read(engine, call, answer);
    struct {
        llmcall_span span;
        int64_t more;
    } spans[LLMCALL_STAGE_COUNT];
    memset(spans, 0, sizeof spans);
    spans[0].span.struct_size = sizeof spans[0];
    size_t n;
    LLMCALL_INIT(llmcall_error, error);
    assert_int_equal(llmcall_timeline(call, NULL, 0, &n, &error), LLMCALL_E_BUFFER);
    assert_int_equal(error.status, LLMCALL_E_BUFFER);
    assert_int_equal(n, LLMCALL_STAGE_COUNT);
    assert_int_equal(llmcall_timeline(call, &spans[0].span, LLMCALL_STAGE_COUNT, &n, NULL), LLMCALL_OK);
    for (int32_t i = 0; i < LLMCALL_STAGE_COUNT; i++) {
        assert_int_equal(spans[i].span.stage, i + 1);
        assert_int_equal(spans[i].span.struct_size, sizeof spans[0]);
        assert_int_equal(spans[i].more, 0);
    }
    spans[0].span.struct_size = 0;
    assert_int_equal(llmcall_timeline(call, &spans[0].span, 1, &n, NULL), LLMCALL_E_ARGUMENT);
    llmcall_close(&call);
    free(answer);
    llmcall_engine_close(&engine);
}

static void models_by_name(void **state) {
    (void)state;
    llmcall_engine *engine = setup_engine(0, NULL);
    tiny_gguf file;
    tiny_gguf_build(&file, &(tiny_gguf_spec){.seed = 2});
    llmcall_model_options options;
    tiny_gguf_model_options(&file, &options);
    LLMCALL_INIT(llmcall_error, error);
    assert_int_equal(llmcall_engine_load(engine, &options, &error), LLMCALL_E_ARGUMENT);
    assert_string_equal(error.code, "duplicate_model");
    options.name = "words";
    options.vocab_only = 1;
    assert_int_equal(llmcall_engine_load(engine, &options, &error), LLMCALL_OK);
    llmcall_request request;
    setup_request(&request, prompt, 3);
    llmcall_call *call;
    request.model = "words";
    assert_int_equal(llmcall_start(engine, &request, &call, &error), LLMCALL_E_UNSUPPORTED);
    assert_string_equal(error.code, "no_weights");
    request.model = "nobody";
    assert_int_equal(llmcall_start(engine, &request, &call, &error), LLMCALL_E_NOT_FOUND);
    assert_string_equal(error.param, "model");
    float logits[1];
    int32_t token = 1;
    assert_int_equal(llmcall_score(engine, "words", &token, 1, logits, 1, &error), LLMCALL_E_UNSUPPORTED);
    LLMCALL_INIT(llmcall_model_info_record, info);
    assert_int_equal(llmcall_model_info(engine, "words", &info, &error), LLMCALL_OK);
    assert_int_equal(info.vocab_size, TINY_VOCAB);
    assert_int_equal(info.eos_token, TINY_IM_END);
    LLMCALL_INIT(llmcall_device_info_record, device);
    assert_int_equal(llmcall_device_info(engine, &device, &error), LLMCALL_OK);
    assert_int_equal(device.threads, 1);
    assert_string_equal(device.name, "cpu");
    tiny_gguf_free(&file);
    llmcall_engine_close(&engine);
}

typedef struct load_watch {
    llmcall_engine *engine;
    llmcall_call *cancel;
    int n;
} load_watch;

/* From inside a load: calls are reaped, but not computed; nothing hangs. */
static int32_t step_beside(void *user, uint64_t done, uint64_t total) {
    load_watch *w = user;
    assert_true(done <= total);
    if (w->n++ == 0) llmcall_cancel(w->cancel);
    int32_t busy;
    assert_int_equal(llmcall_engine_step(w->engine, &busy, NULL), LLMCALL_OK);
    assert_int_equal(busy, 1);
    return 0;
}

static void steps_wait_for_a_load(void **state) {
    (void)state;
    llmcall_engine *engine = setup_engine(0, NULL);
    llmcall_request request;
    setup_request(&request, prompt, 5);
    llmcall_call *goes_on = setup_start(engine, &request), *cancelled = setup_start(engine, &request);
    load_watch w = {.engine = engine, .cancel = cancelled};
    tiny_gguf file;
    tiny_gguf_build(&file, &(tiny_gguf_spec){.seed = 2});
    llmcall_model_options options;
    tiny_gguf_model_options(&file, &options);
    options.name = "second";
    options.progress = step_beside;
    options.progress_user = &w;
    assert_int_equal(llmcall_engine_load(engine, &options, NULL), LLMCALL_OK);
    assert_true(w.n > 0);
    llmcall_metrics_snapshot metrics;
    setup_metrics(engine, &metrics);
    assert_int_equal(metrics.steps, 0);
    assert_int_equal(metrics.calls_cancelled, 1);
    setup_answer *answer = calloc(1, sizeof *answer);
    setup_read(engine, goes_on, answer);
    assert_int_equal(answer->choice[0].n_tokens, 5);
    llmcall_close(&goes_on);
    llmcall_close(&cancelled);
    free(answer);
    tiny_gguf_free(&file);
    llmcall_engine_close(&engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_equal_with_and_without_threads),
        cmocka_unit_test(threads_stay_on_cores_of_their_own),
        cmocka_unit_test(engine_closes_first),
        cmocka_unit_test(calls_close_at_any_time),
        cmocka_unit_test(nulls_are_errors),
        cmocka_unit_test(structs_of_other_versions),
        cmocka_unit_test(spans_of_any_size),
        cmocka_unit_test(models_by_name),
        cmocka_unit_test(steps_wait_for_a_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
