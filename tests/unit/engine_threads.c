/* Eight calls at once from four threads, with everything that can end a call early: each ends, is billed once and leaves no
 * page behind. Meant for TSan and ASan. */
#include <stdatomic.h>
#include <time.h>

#include "core/thread.h"
#include "tests/unit/engine_setup.h"

enum { N_THREADS = 4, N_ROUNDS = 6, CALLS_A_ROUND = 2, N_CALLS = N_THREADS * N_ROUNDS * CALLS_A_ROUND };

/* What the hooks saw; they run on the delivery thread, one at a time. */
typedef struct witness {
    llmc_mutex lock;
    char ids[N_CALLS * 2][40];
    int n_ids;
    int n_offers;
    uint64_t completion_tokens;
    atomic_int stopped;
} witness;

static llmcall_status take_usage(void *user, const llmcall_usage_record *record) {
    witness *w = user;
    llmc_mutex_lock(&w->lock);
    int refuse = w->n_offers++ < 5 && record->attempt == 1;
    if (!refuse && w->n_ids < N_CALLS * 2) {
        memcpy(w->ids[w->n_ids++], record->call_id, 40);
        w->completion_tokens += record->completion_tokens;
    }
    llmc_mutex_unlock(&w->lock);
    return refuse ? LLMCALL_E_IO : LLMCALL_OK;
}

static llmcall_status moderate(void *user, const llmcall_moderation_request *request, llmcall_moderation *verdict) {
    witness *w = user;
    verdict->action = LLMCALL_MODERATE_PASS;
    if (request->size && request->call_id[6] == 'a') {
        verdict->action = LLMCALL_MODERATE_STOP;
        atomic_fetch_add(&w->stopped, 1);
    }
    return LLMCALL_OK;
}

static void see_span(void *user, const char *call_id, const char *trace_id, const llmcall_span *span) {
    (void)user, (void)call_id, (void)trace_id, (void)span;
}

typedef struct pushed {
    atomic_int n_usage;
    atomic_int n_events;
    _Atomic(llmcall_call *) cancel; /* to be cancelled from inside */
} pushed;

static void on_event(void *user, const llmcall_event *event) {
    pushed *p = user;
    int n = atomic_fetch_add(&p->n_events, 1);
    llmcall_call *call = atomic_load(&p->cancel);
    if (call && n == 3) {
        llmcall_cancel(call);
        llmcall_close(&call);
        assert_non_null(call);
    }
    if (event->type == LLMCALL_EVENT_USAGE) atomic_fetch_add(&p->n_usage, 1);
}

typedef struct worker {
    llmc_thread thread;
    llmcall_engine *engine;
    uint32_t random;
    uint64_t n_started;
    pushed pushed[N_ROUNDS * CALLS_A_ROUND];
} worker;

static uint32_t draw(worker *w, uint32_t below) {
    w->random = w->random * 1664525u + 1013904223u;
    return (w->random >> 8) % below;
}

/* Reads at most n events; cancels after some of them. */
static void read_some(llmcall_call *call, uint32_t n, uint32_t cancel_at) {
    for (uint32_t i = 0; i < n; i++) {
        if (i == cancel_at) llmcall_cancel(call);
        LLMCALL_INIT(llmcall_event, event);
        llmcall_status status = llmcall_next(call, &event, 30000);
        if (status == LLMCALL_E_END) return;
        assert_int_equal(status, LLMCALL_OK);
    }
}

static void wait_for_push(pushed *p) {
    const struct timespec pause = {0, 1000000};
    for (int i = 0; i < 60000 && !atomic_load(&p->n_usage); i++) nanosleep(&pause, NULL);
    assert_int_equal(atomic_load(&p->n_usage), 1);
}

static llmcall_call *start_one(worker *w, uint32_t kind, pushed *p) {
    static const char *const prompts[] = {"hello", "hello there, the long prompt that all of them share in part",
                                          "on and on and on"};
    llmcall_request request;
    setup_request(&request, prompts[draw(w, 3)], 1 + draw(w, 40));
    request.n = 1 + draw(w, 2);
    request.temperature = 1;
    request.logprobs = draw(w, 2) == 0;
    request.priority = (int32_t)draw(w, 5);
    if (kind == 1) request.deadline_ms = 1 + draw(w, 10);
    if (kind == 2) {
        request.on_event = on_event;
        request.on_event_user = p;
    }
    w->n_started++;
    return setup_start(w->engine, &request);
}

static void run_worker(void *argument) {
    worker *w = argument;
    for (int round = 0; round < N_ROUNDS; round++) {
        llmcall_call *calls[CALLS_A_ROUND];
        uint32_t kinds[CALLS_A_ROUND];
        for (int i = 0; i < CALLS_A_ROUND; i++) {
            kinds[i] = draw(w, 5);
            pushed *p = &w->pushed[round * CALLS_A_ROUND + i];
            calls[i] = start_one(w, kinds[i], p);
            if (kinds[i] == 2 && draw(w, 2)) atomic_store(&p->cancel, calls[i]);
        }
        for (int i = 0; i < CALLS_A_ROUND; i++) {
            pushed *p = &w->pushed[round * CALLS_A_ROUND + i];
            if (kinds[i] == 2) wait_for_push(p);
            else if (kinds[i] == 3) read_some(calls[i], 1000, draw(w, 4)); /* cancelled */
            else if (kinds[i] == 4) read_some(calls[i], draw(w, 4), 1000); /* closed in the middle */
            else read_some(calls[i], 100000, UINT32_MAX);
            LLMCALL_INIT(llmcall_usage_record, record);
            assert_int_equal(llmcall_usage(calls[i], &record, NULL), LLMCALL_OK);
            atomic_store(&p->cancel, NULL);
            llmcall_close(&calls[i]);
        }
    }
}

static void check_bills(const witness *w, int n) {
    assert_int_equal(w->n_ids, n);
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) assert_string_not_equal(w->ids[i], w->ids[j]);
    }
}

static void calls_from_many_threads(const llmcall_hooks *hooks, witness *w, uint64_t kv_bytes) {
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.threads = 2;
    options.hooks = hooks;
    options.max_step_tokens = 24;
    LLMCALL_INIT(llmcall_model_options, model);
    model.kv_bytes = kv_bytes;
    tiny_gguf file = {0};
    llmcall_engine *engine = setup_engine_with(&file, &options, &model);
    worker *workers = calloc(N_THREADS, sizeof *workers);
    for (uint32_t i = 0; i < N_THREADS; i++) {
        workers[i].engine = engine;
        workers[i].random = i * 77 + 5;
        assert_true(llmc_thread_start(&workers[i].thread, run_worker, &workers[i], "test"));
    }
    /* Beside them: scores, figures, and a load in the middle. */
    int32_t tokens[20] = {1, 2, 3, 4, 5, 6, 7};
    float *logits = malloc(20 * TINY_VOCAB * sizeof *logits);
    llmcall_metrics_snapshot metrics;
    uint64_t n_scores = 0;
    for (int i = 0; i < 4; i++, n_scores++) {
        assert_int_equal(llmcall_score(engine, NULL, tokens, 20, logits, 20 * TINY_VOCAB, NULL), LLMCALL_OK);
        setup_metrics(engine, &metrics);
        assert_true(metrics.calls_finished <= metrics.calls_started);
    }
    tiny_gguf_build(&file, &(tiny_gguf_spec){.seed = 3});
    llmcall_model_options second;
    tiny_gguf_model_options(&file, &second);
    second.name = "second";
    assert_int_equal(llmcall_engine_load(engine, &second, NULL), LLMCALL_OK);
    assert_int_equal(llmcall_score(engine, "second", tokens, 20, logits, 20 * TINY_VOCAB, NULL), LLMCALL_OK);
    n_scores++;
    tiny_gguf_free(&file);
    free(logits);
    uint64_t n_started = 0;
    for (uint32_t i = 0; i < N_THREADS; i++) {
        llmc_thread_join(&workers[i].thread);
        n_started += workers[i].n_started;
    }
    for (int i = 0; i < 5000; i++) {
        const struct timespec pause = {0, 2000000};
        setup_metrics(engine, &metrics);
        if (metrics.calls_finished == metrics.calls_started && !metrics.usage_pending) break;
        nanosleep(&pause, NULL);
    }
    assert_int_equal(metrics.calls_started, n_started + n_scores);
    assert_int_equal(metrics.calls_finished, n_started + n_scores);
    assert_int_equal(metrics.running + metrics.waiting, 0);
    assert_int_equal(metrics.kv_pages_used, 0);
    llmcall_engine_close(&engine);
    check_bills(w, (int)(n_started + n_scores));
    assert_int_equal(w->completion_tokens, metrics.completion_tokens);
    free(workers);
}

static void run_with(int moderated, uint64_t kv_bytes) {
    witness *w = calloc(1, sizeof *w);
    assert_true(llmc_mutex_init(&w->lock));
    LLMCALL_INIT(llmcall_hooks, hooks);
    hooks.user = w;
    hooks.usage = take_usage;
    if (moderated) {
        hooks.moderate = moderate;
        hooks.span = see_span;
    }
    calls_from_many_threads(&hooks, w, kv_bytes);
    llmc_mutex_destroy(&w->lock);
    free(w);
}

static void direct_to_readers(void **state) {
    (void)state;
    run_with(0, 0);
}

static void through_hooks(void **state) {
    (void)state;
    run_with(1, 0);
}

static void with_few_pages(void **state) {
    (void)state;
    run_with(1, 300000);
}

/* The engine goes while others read: they see the end. */
static void read_until_end(void *argument) {
    llmcall_call *call = argument;
    read_some(call, 1000000, UINT32_MAX);
    llmcall_close(&call);
}

static void closing_ends_the_readers(void **state) {
    (void)state;
    for (int round = 0; round < 5; round++) {
        llmcall_engine *engine = setup_engine(2, NULL);
        llmc_thread threads[N_THREADS];
        llmcall_request request;
        setup_request(&request, "hello", 0);
        for (int i = 0; i < N_THREADS; i++) {
            llmcall_call *call = setup_start(engine, &request);
            assert_true(llmc_thread_start(&threads[i], read_until_end, call, "test"));
        }
        const struct timespec pause = {0, 3000000};
        nanosleep(&pause, NULL);
        llmcall_engine_close(&engine);
        for (int i = 0; i < N_THREADS; i++) llmc_thread_join(&threads[i]);
    }
}

/* threads = 0: scores on several threads, each of which drives the engine. */
static void score_some(void *argument) {
    int32_t tokens[20] = {1, 2, 3, 4, 5, 6, 7};
    float *logits = malloc(20 * TINY_VOCAB * sizeof *logits);
    for (int i = 0; i < 5; i++)
        assert_int_equal(llmcall_score(argument, NULL, tokens, 20, logits, 20 * TINY_VOCAB, NULL), LLMCALL_OK);
    free(logits);
}

static void scores_share_an_engine_without_threads(void **state) {
    (void)state;
    llmcall_engine *engine = setup_engine(0, NULL);
    llmc_thread threads[N_THREADS];
    for (int i = 0; i < N_THREADS; i++) assert_true(llmc_thread_start(&threads[i], score_some, engine, "test"));
    for (int i = 0; i < N_THREADS; i++) llmc_thread_join(&threads[i]);
    llmcall_engine_close(&engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(direct_to_readers),
        cmocka_unit_test(through_hooks),
        cmocka_unit_test(with_few_pages),
        cmocka_unit_test(closing_ends_the_readers),
        cmocka_unit_test(scores_share_an_engine_without_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
