/* The hooks of an application, through whole calls: admission, routing, moderation, the bill, the spans. threads = 0, so that
 * everything happens in an order that is known. */
#include "tests/unit/engine_setup.h"

static const char prompt[] = "the hello on and then in the red, an answer that goes over more than one page of the cache";

typedef struct witness {
    llmcall_status refuse;
    char tenant[64];
    uint64_t salt;
    int64_t max_tokens_limit;
    int n_admit, n_route, n_moderate, n_final, n_usage, n_spans[LLMCALL_STAGE_COUNT + 1];
    int64_t span_cost, span_last_start;
    int refuse_bills;
    int32_t attempts;
    int action; /* of moderate, from the piece stop_after on */
    int stop_after;
    int32_t stop_choice; /* -1: every one */
    char seen[4096];
    size_t seen_size;
    llmcall_usage_record record;
    llmcall_engine *engine;
} witness;

static llmcall_status admit(void *user, const llmcall_admit_request *request, llmcall_admission *decision,
                            llmcall_error *error) {
    witness *w = user;
    w->n_admit++;
    assert_int_equal(request->struct_size, sizeof *request);
    assert_non_null(request->model);
    if (w->refuse) {
        error->http_status = 402;
        error->retry_after_ms = 1234;
        memcpy(error->code, "pay_first", 10);
        memcpy(error->message, "Pay first.", 11);
        return w->refuse;
    }
    memcpy(decision->tenant, w->tenant, sizeof decision->tenant);
    decision->cache_salt = w->salt;
    decision->max_tokens_limit = w->max_tokens_limit;
    return LLMCALL_OK;
}

static llmcall_status route(void *user, const llmcall_route_request *request, int32_t *index, llmcall_error *error) {
    witness *w = user;
    w->n_route++;
    LLMCALL_INIT(llmcall_metrics_snapshot, metrics); /* informational functions may be called */
    assert_int_equal(llmcall_metrics(w->engine, &metrics, NULL), LLMCALL_OK);
    return llmcall_default_route(NULL, request, index, error);
}

static llmcall_status moderate(void *user, const llmcall_moderation_request *request, llmcall_moderation *verdict) {
    witness *w = user;
    w->n_moderate++;
    w->n_final += request->final;
    assert_true(w->seen_size + request->size < sizeof w->seen);
    memcpy(w->seen + w->seen_size, request->text, request->size);
    w->seen_size += request->size;
    size_t n;
    assert_int_not_equal(llmcall_tokenize(w->engine, NULL, "a", -1, 0, NULL, 0, &n, NULL), LLMCALL_OK);
    verdict->action = LLMCALL_MODERATE_PASS;
    if (w->n_moderate <= w->stop_after || (w->stop_choice >= 0 && request->choice != w->stop_choice)) return LLMCALL_OK;
    verdict->action = w->action;
    verdict->replacement = "<x>";
    verdict->replacement_size = request->size ? 3 : 0;
    return LLMCALL_OK;
}

static llmcall_status usage(void *user, const llmcall_usage_record *record) {
    witness *w = user;
    w->attempts = record->attempt;
    if (w->refuse_bills-- > 0) return LLMCALL_E_IO;
    w->n_usage++;
    w->record = *record;
    return LLMCALL_OK;
}

static void span(void *user, const char *call_id, const char *trace_id, const llmcall_span *s) {
    witness *w = user;
    assert_int_equal(strlen(call_id), 37);
    assert_int_equal(strlen(trace_id), 32);
    assert_in_range(s->stage, 1, LLMCALL_STAGE_COUNT);
    assert_true(s->start_ns <= s->end_ns && s->busy_ns <= s->end_ns - s->start_ns && s->busy_ns >= 0);
    w->n_spans[s->stage]++;
    w->span_cost += s->cost_nano;
}

static int64_t hour_ns; /* added to the clock of the tests */
static int64_t test_clock(void *user) {
    int64_t *now_ns = user;
    return (*now_ns += 1000) + hour_ns;
}

static llmcall_engine *open_engine(witness *w, int moderated, int spans, const llmcall_model_options *model) {
    static int64_t now_ns;
    LLMCALL_INIT(llmcall_hooks, hooks);
    hooks.user = w;
    hooks.admit = admit;
    hooks.route = route;
    hooks.usage = usage;
    hooks.moderate = moderated ? moderate : NULL;
    hooks.span = spans ? span : NULL;
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.threads = 0;
    options.hooks = &hooks;
    options.clock = test_clock;
    options.clock_user = &now_ns;
    tiny_gguf file = {0};
    w->engine = setup_engine_with(&file, &options, model);
    return w->engine;
}

static void refusal_is_passed_on_and_not_billed(void **state) {
    (void)state;
    witness w = {.refuse = LLMCALL_E_QUOTA};
    llmcall_engine *engine = open_engine(&w, 0, 0, NULL);
    llmcall_request request;
    setup_request(&request, prompt, 3);
    llmcall_call *call;
    LLMCALL_INIT(llmcall_error, error);
    assert_int_equal(llmcall_start(engine, &request, &call, &error), LLMCALL_E_QUOTA);
    assert_null(call);
    assert_int_equal(error.http_status, 402);
    assert_int_equal(error.retry_after_ms, 1234);
    assert_string_equal(error.code, "pay_first");
    assert_string_equal(error.message, "Pay first.");
    int32_t busy;
    assert_int_equal(llmcall_engine_step(engine, &busy, NULL), LLMCALL_OK);
    assert_int_equal(busy, 0);
    llmcall_engine_close(&engine);
    assert_int_equal(w.n_usage, 0);
    assert_int_equal(w.n_route, 0);
}

/* Prefixes are shared within a salt only; the tenant stands on the bill. */
static void tenants_share_no_prefix(void **state) {
    (void)state;
    static const struct {
        const char *tenant;
        uint64_t salt;
        int cached;
    } calls[] = {{"a", 1, 0}, {"a", 1, 1}, {"b", 2, 0}, {"b", 2, 1}, {"a", 1, 1}, {"", 0, 0}};
    witness w = {0};
    llmcall_engine *engine = open_engine(&w, 0, 0, NULL);
    setup_answer *answer = calloc(1, sizeof *answer);
    llmcall_request request;
    setup_request(&request, prompt, 30);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        snprintf(w.tenant, sizeof w.tenant, "%s", calls[i].tenant);
        w.salt = calls[i].salt;
        w.max_tokens_limit = (int64_t)i + 1;
        setup_run(engine, &request, answer);
        assert_int_equal(answer->usage.cached_tokens > 0, calls[i].cached);
        assert_string_equal(answer->usage.tenant, *calls[i].tenant ? calls[i].tenant : "default");
        assert_int_equal(answer->usage.completion_tokens, i + 1);
    }
    assert_int_equal(w.n_route, 6);
    free(answer);
    llmcall_engine_close(&engine);
    assert_int_equal(w.n_usage, 6);
}

static void everything_passes(void **state) {
    (void)state;
    witness w = {.stop_choice = -1, .action = LLMCALL_MODERATE_PASS};
    llmcall_engine *engine = open_engine(&w, 1, 0, NULL);
    setup_answer *answer = calloc(1, sizeof *answer);
    llmcall_request request;
    setup_request(&request, prompt, 20);
    setup_run(engine, &request, answer);
    assert_int_equal(w.n_final, 1);
    assert_int_equal(w.seen_size, answer->choice[0].size);
    assert_memory_equal(w.seen, answer->choice[0].text, w.seen_size);
    assert_int_equal(answer->choice[0].n_tokens, 20);
    free(answer);
    llmcall_engine_close(&engine);
}

static void replaced_text_leaves_no_token(void **state) {
    (void)state;
    witness w = {.stop_choice = -1, .action = LLMCALL_MODERATE_REPLACE};
    llmcall_engine *engine = open_engine(&w, 1, 0, NULL);
    setup_answer *answer = calloc(1, sizeof *answer);
    llmcall_request request;
    setup_request(&request, prompt, 20);
    request.logprobs = 1;
    setup_run(engine, &request, answer);
    assert_int_equal(answer->choice[0].finish, LLMCALL_FINISH_LENGTH);
    assert_int_equal(answer->choice[0].n_tokens, 0);
    assert_true(answer->choice[0].size >= 3);
    for (size_t i = 0; i < answer->choice[0].size; i++) assert_int_equal(answer->choice[0].text[i], "<x>"[i % 3]);
    free(answer);
    llmcall_engine_close(&engine);
}

static void nothing_comes_after_a_stop(void **state) {
    (void)state;
    witness w = {.stop_choice = 0, .action = LLMCALL_MODERATE_STOP, .stop_after = 6};
    llmcall_engine *engine = open_engine(&w, 1, 0, NULL);
    setup_answer *answer = calloc(1, sizeof *answer);
    llmcall_request request;
    setup_request(&request, prompt, 60);
    request.n = 2;
    setup_run(engine, &request, answer);
    assert_int_equal(answer->choice[0].finish, LLMCALL_FINISH_CONTENT_FILTER);
    assert_int_equal(answer->choice[1].finish, LLMCALL_FINISH_LENGTH);
    assert_true(answer->choice[0].n_tokens < 20);
    assert_int_equal(answer->choice[1].n_tokens, 60);
    assert_int_equal(answer->usage.finish_reason, LLMCALL_FINISH_CONTENT_FILTER);
    assert_int_equal(answer->usage.status, LLMCALL_OK);
    assert_int_equal(answer->n_error, 0);
    assert_true(answer->usage.completion_tokens < 90);
    assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
    assert_int_equal(w.record.finish_reason, LLMCALL_FINISH_CONTENT_FILTER);
    free(answer);
    llmcall_engine_close(&engine);
}

/* Stopped at the very last piece, when everything is sampled: still filtered, on the event and on the bill. */
static void a_stop_at_the_end_counts(void **state) {
    (void)state;
    witness w = {.stop_choice = -1, .action = LLMCALL_MODERATE_STOP};
    llmcall_engine *engine = open_engine(&w, 1, 0, NULL);
    setup_answer *answer = calloc(1, sizeof *answer);
    llmcall_request request;
    setup_request(&request, prompt, 1);
    setup_run(engine, &request, answer);
    assert_int_equal(answer->choice[0].finish, LLMCALL_FINISH_CONTENT_FILTER);
    assert_int_equal(answer->choice[0].size + answer->choice[0].n_tokens, 0);
    assert_int_equal(answer->usage.finish_reason, LLMCALL_FINISH_CONTENT_FILTER);
    llmcall_engine_close(&engine);
    assert_int_equal(w.record.finish_reason, LLMCALL_FINISH_CONTENT_FILTER);
    assert_int_equal(w.n_usage, 1);
    free(answer);
}

static void bills_are_offered_until_accepted(void **state) {
    (void)state;
    witness w = {.refuse_bills = 3};
    LLMCALL_INIT(llmcall_model_options, model);
    model.price_prompt = 1000000;
    model.price_completion = 3000000;
    llmcall_engine *engine = open_engine(&w, 0, 0, &model);
    setup_answer *answer = calloc(1, sizeof *answer);
    llmcall_request request;
    setup_request(&request, prompt, 4);
    setup_run(engine, &request, answer);
    llmcall_metrics_snapshot metrics;
    for (int32_t attempt = 1; attempt <= 4; attempt++) {
        int32_t busy;
        assert_int_equal(llmcall_engine_step(engine, &busy, NULL), LLMCALL_OK);
        assert_int_equal(busy, 0);
        assert_int_equal(w.attempts, attempt);
        setup_metrics(engine, &metrics);
        assert_int_equal(metrics.usage_pending, attempt < 4);
        hour_ns += INT64_C(3600) * 1000000000;
    }
    assert_int_equal(w.n_usage, 1);
    assert_string_equal(w.record.call_id, answer->usage.call_id);
    assert_int_equal(w.record.cost_prompt_nano, answer->usage.prompt_tokens);
    assert_int_equal(w.record.cost_completion_nano, 12);
    assert_int_equal(w.record.cost_nano, w.record.cost_prompt_nano + 12);
    free(answer);
    llmcall_engine_close(&engine);
    assert_int_equal(w.n_usage, 1);
}

static void each_stage_is_reported_once(void **state) {
    (void)state;
    witness w = {0};
    LLMCALL_INIT(llmcall_model_options, model);
    model.price_prompt = 1000000;
    model.price_cached = 500000;
    model.price_completion = 3000000;
    llmcall_engine *engine = open_engine(&w, 0, 1, &model);
    setup_answer *answer = calloc(1, sizeof *answer);
    llmcall_request request;
    setup_request(&request, prompt, 20);
    for (int round = 1; round <= 3; round++) { /* cold, cached, cancelled in the queue */
        w.span_cost = 0;
        llmcall_call *call = setup_start(engine, &request);
        if (round == 3) llmcall_cancel(call);
        setup_read(engine, call, answer);
        llmcall_close(&call);
        for (int32_t stage = 1; stage <= LLMCALL_STAGE_COUNT; stage++) assert_int_equal(w.n_spans[stage], round);
        assert_int_equal(w.span_cost, answer->usage.cost_nano);
    }
    assert_int_equal(answer->usage.cost_nano, 0);
    free(answer);
    llmcall_engine_close(&engine);
}

typedef struct push {
    setup_answer answer;
    llmcall_call *call;
    llmcall_call *other; /* kept by the test */
    int end_at;          /* event at which it is cancelled and, in vain, closed */
    int n;
} push;

static void on_event(void *user, const llmcall_event *event) {
    push *p = user;
    setup_note(&p->answer, event);
    LLMCALL_INIT(llmcall_usage_record, record);
    if (p->call) assert_int_equal(llmcall_usage(p->call, &record, NULL), LLMCALL_OK);
    if (p->call && ++p->n == p->end_at) {
        llmcall_cancel(p->call);
        llmcall_call *same = p->call;
        llmcall_close(&same);
        assert_ptr_equal(same, p->call);
    }
}

static void events_are_pushed(void **state) {
    (void)state;
    for (int end_at = 0; end_at <= 4; end_at += 4) {
        witness w = {0};
        llmcall_engine *engine = open_engine(&w, 0, 0, NULL);
        push *p = calloc(1, sizeof *p);
        p->end_at = end_at;
        llmcall_request request;
        setup_request(&request, prompt, 20);
        request.on_event = on_event;
        request.on_event_user = p;
        p->call = setup_start(engine, &request);
        LLMCALL_INIT(llmcall_event, event);
        assert_int_equal(llmcall_next(p->call, &event, -1), LLMCALL_E_END);
        for (int32_t busy = 1, rounds = 0; busy; rounds++) {
            assert_int_equal(llmcall_engine_step(engine, &busy, NULL), LLMCALL_OK);
            assert_true(rounds < 1000);
        }
        assert_int_equal(p->answer.n_usage, 1);
        assert_int_equal(p->answer.choice[0].finish, end_at ? LLMCALL_FINISH_CANCELLED : LLMCALL_FINISH_LENGTH);
        assert_int_equal(p->answer.choice[0].n_tokens, end_at ? 4 : 20);
        assert_int_equal(w.n_usage, 1);
        llmcall_close(&p->call);
        free(p);
        llmcall_engine_close(&engine);
    }
}

/* After the handle is gone nothing is pushed any more; the bill comes all the same. */
static void nothing_is_pushed_after_close(void **state) {
    (void)state;
    witness w = {0};
    llmcall_engine *engine = open_engine(&w, 0, 0, NULL);
    push *p = calloc(1, sizeof *p);
    llmcall_request request;
    setup_request(&request, prompt, 20);
    request.on_event = on_event;
    request.on_event_user = p;
    llmcall_call *call = setup_start(engine, &request);
    for (int i = 0; i < 3; i++) assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
    llmcall_close(&call);
    size_t n = p->answer.choice[0].n_tokens;
    assert_true(n > 0);
    for (int i = 0; i < 3; i++) assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
    assert_int_equal(p->answer.choice[0].n_tokens, n);
    assert_int_equal(p->answer.n_usage, 0);
    assert_int_equal(w.n_usage, 1);
    assert_int_equal(w.record.status, LLMCALL_E_CANCELLED);
    free(p);
    llmcall_engine_close(&engine);
}

static void the_defaults_can_be_called(void **state) {
    (void)state;
    LLMCALL_INIT(llmcall_admit_request, asked);
    LLMCALL_INIT(llmcall_admission, admission);
    LLMCALL_INIT(llmcall_moderation_request, piece);
    LLMCALL_INIT(llmcall_moderation, verdict);
    LLMCALL_INIT(llmcall_usage_record, record);
    LLMCALL_INIT(llmcall_route_request, where);
    int32_t index;
    assert_int_equal(llmcall_default_admit(NULL, &asked, &admission, NULL), LLMCALL_OK);
    assert_int_equal(llmcall_default_moderate(NULL, &piece, &verdict), LLMCALL_OK);
    assert_int_equal(verdict.action, LLMCALL_MODERATE_PASS);
    assert_int_equal(llmcall_default_usage(NULL, &record), LLMCALL_OK);
    assert_int_equal(llmcall_default_route(NULL, &where, &index, NULL), LLMCALL_E_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusal_is_passed_on_and_not_billed),
        cmocka_unit_test(tenants_share_no_prefix),
        cmocka_unit_test(everything_passes),
        cmocka_unit_test(replaced_text_leaves_no_token),
        cmocka_unit_test(nothing_comes_after_a_stop),
        cmocka_unit_test(a_stop_at_the_end_counts),
        cmocka_unit_test(bills_are_offered_until_accepted),
        cmocka_unit_test(each_stage_is_reported_once),
        cmocka_unit_test(events_are_pushed),
        cmocka_unit_test(nothing_is_pushed_after_close),
        cmocka_unit_test(the_defaults_can_be_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
