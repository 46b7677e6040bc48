/* The scheduler's promises one by one: refusals, order, chunks, sharing, preemption, deadlines. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_alloc.h"
#include "scheduler/scheduler.h"

enum { T = LLMC_KV_PAGE_TOKENS, MAX_TOKENS = 4096 };
#define STEP_NS INT64_C(10000000)

static llmc_env env;
static llmc_kv *kv;
static llmc_sched *sched;
static int64_t now_ns;
static int32_t prompt[MAX_TOKENS];

static void open_sched(uint32_t n_pages, uint32_t max_step_tokens, uint32_t max_sequences, uint32_t max_queue) {
    llmc_env_init(&env, NULL);
    now_ns = 1000000000;
    for (int i = 0; i < MAX_TOKENS; i++) prompt[i] = i;
    assert_int_equal(llmc_kv_create(&env, n_pages, 1, &kv, NULL), LLMCALL_OK);
    llmc_sched_options options = {max_step_tokens, max_sequences, max_queue, MAX_TOKENS, 0};
    assert_int_equal(llmc_sched_create(&env, &options, kv, &sched, NULL), LLMCALL_OK);
}

static void close_sched(void) {
    llmc_sched_destroy(&sched);
    assert_null(sched);
    llmc_sched_destroy(&sched);
    uint32_t used;
    llmc_kv_stats(kv, NULL, &used, NULL);
    assert_int_equal(used, 0);
    llmc_kv_destroy(&kv);
}

static llmc_sched_request request_of(const int32_t *tokens, uint32_t n_tokens, uint32_t max_new) {
    return (llmc_sched_request){
        .tokens = tokens, .n_tokens = n_tokens, .n_choices = 1, .max_new_tokens = max_new, .arrival_ns = now_ns, .salt = 1};
}

static llmc_group *submit_request(const llmc_sched_request *request) {
    llmc_group *group = NULL;
    assert_int_equal(llmc_sched_submit(sched, request, &group, NULL), LLMCALL_OK);
    return group;
}

static llmc_group *submit(const int32_t *tokens, uint32_t n_tokens, uint32_t max_new) {
    llmc_sched_request request = request_of(tokens, n_tokens, max_new);
    return submit_request(&request);
}

static llmc_step plan(void) {
    llmc_step step;
    now_ns += STEP_NS;
    llmc_sched_plan(sched, now_ns, &step);
    return step;
}

/* Commits; every item that is complete gets one token, and is finished at its limit. */
static void carry_out(const llmc_step *step) {
    llmc_sched_commit(sched, step);
    for (uint32_t i = 0; i < step->n_items; i++) {
        llmc_sequence *sequence = step->items[i].sequence;
        if (sequence->n_computed < sequence->n_tokens) continue;
        if (!llmc_sched_append(sched, sequence, 7)) llmc_sched_finish_sequence(sched, sequence);
    }
}

static void step_once(void) {
    llmc_step step = plan();
    carry_out(&step);
}

static uint32_t tokens_of(const llmc_step *step, const llmc_group *group) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < step->n_items; i++) {
        if (step->items[i].sequence->group == group) n += step->items[i].n_tokens;
    }
    return n;
}

static int finished(const llmc_group *group) {
    return group->n_finished == group->n_sequences;
}

/* ---- Refusals ---------------------------------------------------------------------------------------------------------- */

static void expect_refusal(const llmc_sched_request *request, llmcall_status status, const char *text) {
    llmcall_error error;
    llmcall_init(&error, sizeof error);
    llmc_group *group = (llmc_group *)&error;
    assert_int_equal(llmc_sched_submit(sched, request, &group, &error), status);
    assert_null(group);
    assert_int_equal(error.status, status);
    assert_non_null(strstr(error.message, text));
}

static void test_options(void **state) {
    (void)state;
    open_sched(1, 1, 1, 1);
    const llmc_sched_options bad[] = {
        {0, 1, 1, 1, 0}, {1, 0, 1, 1, 0}, {1, 1, 0, 1, 0}, {1, 1, 1, 0, 0}, {1, 1, 1, UINT32_MAX, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        llmc_sched *none = sched;
        assert_int_equal(llmc_sched_create(&env, &bad[i], kv, &none, NULL), LLMCALL_E_ARGUMENT);
        assert_null(none);
    }
    close_sched();
}

static void test_refusals(void **state) {
    (void)state;
    open_sched(10, 64, 4, 4);
    llmc_sched_request request = request_of(prompt, 0, 5);
    expect_refusal(&request, LLMCALL_E_ARGUMENT, "no tokens");
    request = request_of(prompt, 1, 5);
    request.n_choices = 0;
    expect_refusal(&request, LLMCALL_E_ARGUMENT, "choice");
    request = request_of(prompt, MAX_TOKENS + 1, 0);
    expect_refusal(&request, LLMCALL_E_CONTEXT_LENGTH, "4097");
    request = request_of(prompt, MAX_TOKENS, 1);
    expect_refusal(&request, LLMCALL_E_CONTEXT_LENGTH, "no room");
    request = request_of(prompt, 10 * T + 1, 1);
    expect_refusal(&request, LLMCALL_E_NO_MEMORY, "11 KV pages; the cache has 10");
    request = request_of(prompt, UINT32_MAX, UINT32_MAX);
    expect_refusal(&request, LLMCALL_E_CONTEXT_LENGTH, "4294967295");
    /* As long as the cache: one token can still be sampled. */
    llmc_group *group = submit(prompt, 10 * T, UINT32_MAX);
    assert_int_equal(group->max_tokens, 10 * T + 1);
    assert_true(llmc_sched_idle(sched) == 0);
    for (int i = 0; i < 10 && !finished(group); i++) step_once();
    assert_int_equal(group->sequences[0].n_tokens, 10 * T + 1);
    assert_true(llmc_sched_idle(sched));
    close_sched();
}

static void test_queue_full(void **state) {
    (void)state;
    open_sched(100, 64, 1, 2);
    llmcall_error error;
    llmcall_init(&error, sizeof error);
    llmc_group *group[3], *none;
    for (int i = 0; i < 2; i++) group[i] = submit(prompt, 5, 20);
    llmc_sched_request request = request_of(prompt, 5, 1);
    assert_int_equal(llmc_sched_submit(sched, &request, &none, &error), LLMCALL_E_QUEUE_FULL);
    assert_int_equal(error.retry_after_ms, 1000);
    step_once();
    group[2] = submit(prompt, 5, 20);
    assert_int_equal(llmc_sched_submit(sched, &request, &none, &error), LLMCALL_E_QUEUE_FULL);
    while (!finished(group[0])) step_once();
    /* It took 20 steps of 10 ms. */
    assert_int_equal(llmc_sched_submit(sched, &request, &none, &error), LLMCALL_E_QUEUE_FULL);
    assert_in_range(error.retry_after_ms, 190, 210);
    llmc_sched_remove(sched, &group[1]);
    assert_null(group[1]);
    assert_int_equal(llmc_sched_submit(sched, &request, &none, &error), LLMCALL_OK);
    close_sched();
}

static void test_allocation_failures(void **state) {
    (void)state;
    llmcall_status status = LLMCALL_E_NO_MEMORY;
    for (long n = 1; status != LLMCALL_OK; n++) {
        failing_alloc f;
        failing_alloc_init(&f, &env);
        llmc_group *group = NULL;
        assert_int_equal(llmc_kv_create(&env, 20, 1, &kv, NULL), LLMCALL_OK);
        f.fail_at = f.count + n;
        llmc_sched_options options = {16, 4, 4, 100, 0};
        status = llmc_sched_create(&env, &options, kv, &sched, NULL);
        if (status == LLMCALL_OK) {
            llmc_sched_request request = request_of(prompt, 20, 10);
            request.n_choices = 3;
            request.max_draft = 4;
            status = llmc_sched_submit(sched, &request, &group, NULL);
            if (status != LLMCALL_OK) assert_true(llmc_sched_idle(sched));
        }
        assert_true(status == LLMCALL_OK || status == LLMCALL_E_NO_MEMORY);
        llmc_sched_remove(sched, &group);
        llmc_sched_destroy(&sched);
        llmc_kv_destroy(&kv);
        assert_int_equal(f.live, 0);
    }
}

/* ---- Shares of a step --------------------------------------------------------------------------------------------------- */

static void test_long_prompt_stalls_nobody(void **state) {
    (void)state;
    open_sched(500, 64, 8, 8);
    llmc_group *a = submit(prompt + 1, 10, 100);
    step_once();
    llmc_group *long_one = submit(prompt + 2, 2000, 5);
    llmc_group *b = NULL;
    for (int i = 0; long_one->sequences[0].n_tokens == 2000; i++) {
        if (i == 3) b = submit(prompt + 3, 30, 100);
        llmc_step step = plan();
        assert_int_equal(tokens_of(&step, a), 1);
        assert_ptr_equal(step.items[0].sequence->group, a);
        if (i == 3) assert_int_equal(tokens_of(&step, b), 30);
        if (i > 3) assert_int_equal(tokens_of(&step, b), 1);
        uint32_t n = tokens_of(&step, long_one);
        assert_true(n >= 32 || n + step.items[step.n_items - 1].start == 2000);
        carry_out(&step);
        assert_true(i < 60);
    }
    close_sched();
}

/* Chunks end at page boundaries, so that their pages can be found at once. */
static void test_chunks(void **state) {
    (void)state;
    open_sched(500, 50, 8, 8);
    submit(prompt, 100, 5);
    const uint32_t sizes[] = {48, 48, 4, 1};
    for (int i = 0; i < 4; i++) {
        llmc_step step = plan();
        assert_int_equal(step.n_items, 1);
        assert_int_equal(step.items[0].n_tokens, sizes[i]);
        assert_int_equal(step.items[0].wants_logits, i >= 2);
        carry_out(&step);
    }
    close_sched();
}

/* Logits of at most max_outputs rows a step; a score leaves one for each of the others. */
static void test_scores_within_outputs(void **state) {
    (void)state;
    open_sched(100, 64, 8, 8);
    llmc_sched_destroy(&sched);
    llmc_sched_options options = {64, 8, 8, MAX_TOKENS, 8};
    assert_int_equal(llmc_sched_create(&env, &options, kv, &sched, NULL), LLMCALL_OK);
    llmc_sched_request request = request_of(prompt, 50, 0);
    request.all_logits = 1;
    llmc_group *score = submit_request(&request), *other = submit(prompt + 100, 20, 20);
    uint32_t n = 0, steps = 0;
    for (; n < 50; steps++) {
        llmc_step step = plan();
        assert_true(step.n_outputs <= 8);
        if (n < 43) assert_true(step.n_outputs >= 5);
        n += tokens_of(&step, score);
        assert_int_equal(tokens_of(&step, other), steps == 0 ? 20 : 1);
        llmc_sched_commit(sched, &step);
        assert_int_equal(llmc_sched_append(sched, &other->sequences[0], 7), 1);
    }
    assert_in_range(steps, 8, 10);
    close_sched();
}

/* A whole prompt waits for room for all of it; the first in rank has the step to itself. Nobody finds its pages. */
static void test_whole_prompts(void **state) {
    (void)state;
    open_sched(100, 64, 8, 8);
    llmc_sched_request request = request_of(prompt, 40, 0);
    request.whole = 1;
    request.hidden = LLMC_HIDDEN_ALL;
    llmc_group *a = submit_request(&request), *b = submit_request(&request);
    request.n_tokens = 64;
    llmc_group *c = submit_request(&request);
    request.n_tokens = 10;
    llmc_group *d = submit_request(&request);
    llmc_group *const expected[][2] = {{a, d}, {b, NULL}, {c, NULL}};
    for (int i = 0; i < 3; i++) {
        llmc_step step = plan();
        assert_int_equal(step.n_items, expected[i][1] ? 2 : 1);
        assert_int_equal(step.n_outputs, 0);
        assert_int_equal(step.hidden, 1);
        for (uint32_t k = 0; k < step.n_items; k++) {
            assert_ptr_equal(step.items[k].sequence->group, expected[i][k]);
            assert_int_equal(step.items[k].n_tokens, expected[i][k]->n_prompt);
            assert_int_equal(step.items[k].wants_hidden, LLMC_HIDDEN_ALL);
        }
        llmc_sched_commit(sched, &step);
        for (uint32_t k = 0; k < step.n_items; k++) llmc_sched_finish_sequence(sched, step.items[k].sequence);
    }
    uint32_t cached;
    llmc_kv_stats(kv, NULL, NULL, &cached);
    assert_int_equal(cached, 0);
    assert_true(llmc_sched_idle(sched));
    request.n_tokens = 65;
    expect_refusal(&request, LLMCALL_E_CONTEXT_LENGTH, "max_step_tokens is 64");
    close_sched();
}

static void test_priority_and_age(void **state) {
    (void)state;
    open_sched(500, 64, 1, 64);
    llmc_sched_request low = request_of(prompt, 5, 3), high = low;
    low.priority = -2;
    high.priority = 2;
    llmc_group *first = submit_request(&low), *second = submit_request(&low), *urgent = submit_request(&high);
    step_once();
    assert_int_equal(urgent->n_running, 1);
    assert_int_equal(first->n_running + second->n_running, 0);
    /* A stream of urgent calls: four points are four seconds of waiting, 400 steps. */
    int steps = 0;
    for (; first->admitted_ns < 0; steps++) {
        llmc_group *more = NULL;
        high.arrival_ns = now_ns;
        if (steps % 2 == 0 && llmc_sched_submit(sched, &high, &more, NULL) != LLMCALL_OK) assert_null(more);
        step_once();
        assert_true(steps < 3000);
    }
    assert_true(steps > 300);
    assert_true(second->admitted_ns < 0);
    close_sched();
}

/* More urgent than all that could be: neither crashes nor overflows. */
static void test_extreme_numbers(void **state) {
    (void)state;
    open_sched(50, 64, 2, 64);
    const int32_t priorities[] = {INT32_MIN, INT32_MAX, 0};
    const int64_t arrivals[] = {INT64_MIN, INT64_MAX, 0};
    for (int i = 0; i < 9; i++) {
        llmc_sched_request request = request_of(prompt, 5, 3);
        request.priority = priorities[i % 3];
        request.arrival_ns = arrivals[i / 3];
        request.salt = UINT64_MAX;
        submit_request(&request);
    }
    for (int i = 0; i < 100; i++) step_once();
    assert_true(llmc_sched_idle(sched));
    close_sched();
}

/* ---- Sharing ------------------------------------------------------------------------------------------------------------ */

static void test_prefix_reuse(void **state) {
    (void)state;
    open_sched(50, 200, 4, 4);
    llmc_group *a = submit(prompt, 50, 2);
    while (!finished(a)) step_once();
    assert_string_equal(a->sequences[0].cache_reason, "no earlier prompt shares the first page");
    llmc_group *b = submit(prompt, 50, 2);
    int32_t other[50];
    memcpy(other, prompt, sizeof other);
    other[20] = -1;
    llmc_group *c = submit(other, 50, 2), *d = submit(prompt, T, 2);
    llmc_sched_request request = request_of(prompt, 50, 0);
    request.all_logits = 1;
    llmc_group *e = submit_request(&request);
    llmc_step step = plan();
    assert_int_equal(tokens_of(&step, b), 2);
    assert_int_equal(b->sequences[0].n_cached, 48);
    assert_null(b->sequences[0].cache_reason);
    assert_int_equal(c->sequences[0].n_cached, T);
    assert_string_equal(c->sequences[0].cache_reason, "earlier prompts share only the beginning");
    assert_string_equal(d->sequences[0].cache_reason, "prompt shorter than a page");
    assert_int_equal(tokens_of(&step, e), 50);
    assert_string_equal(e->sequences[0].cache_reason, "every row is computed afresh");
    close_sched();
}

/* The generated tokens are found as well: the next turn of a conversation begins with them. */
static void test_next_turn(void **state) {
    (void)state;
    open_sched(50, 200, 4, 4);
    llmc_group *a = submit(prompt, 20, 40);
    while (!finished(a)) step_once();
    int32_t turn[80];
    memcpy(turn, a->sequences[0].tokens, 60 * sizeof *turn);
    memset(turn + 60, 0, 20 * sizeof *turn);
    llmc_group *b = submit(turn, 80, 1);
    step_once();
    assert_int_equal(b->sequences[0].n_cached, 48);
    close_sched();
}

static void test_sharing_while_running(void **state) {
    (void)state;
    open_sched(100, 64, 4, 4);
    submit(prompt, 600, 2);
    for (int i = 0; i < 6; i++) step_once();
    /* 384 rows are there. The second takes them, then each takes what the other publishes. */
    llmc_group *b = submit(prompt, 600, 2);
    uint32_t computed = 0;
    while (!finished(b)) {
        llmc_step step = plan();
        computed += tokens_of(&step, b);
        carry_out(&step);
    }
    assert_true(b->sequences[0].n_cached >= 384);
    assert_int_equal(b->sequences[0].n_cached + computed, 601);
    uint32_t used, cached;
    llmc_kv_stats(kv, NULL, &used, &cached);
    assert_in_range(used + cached, 37, 38);
    close_sched();
}

static void test_choices_share_the_prompt(void **state) {
    (void)state;
    for (int cache = 0; cache < 2; cache++) {
        open_sched(60, 64, 8, 4);
        if (!cache) {
            llmc_sched_destroy(&sched);
            llmc_kv_destroy(&kv);
            assert_int_equal(llmc_kv_create(&env, 60, 0, &kv, NULL), LLMCALL_OK);
            llmc_sched_options options = {64, 8, 4, MAX_TOKENS, 0};
            assert_int_equal(llmc_sched_create(&env, &options, kv, &sched, NULL), LLMCALL_OK);
        }
        llmc_sched_request request = request_of(prompt, 96, 10);
        request.n_choices = 4;
        llmc_group *group = submit_request(&request);
        uint32_t computed = 0;
        for (int i = 0; group->n_running < 4; i++) {
            llmc_step step = plan();
            for (uint32_t k = 0; k < step.n_items; k++) {
                if (step.items[k].start < 96) computed += step.items[k].n_tokens;
            }
            carry_out(&step);
            assert_true(i < 5);
        }
        assert_int_equal(computed, 96 + 3 * T);
        for (uint32_t i = 1; i < 4; i++) {
            assert_memory_equal(group->sequences[i].pages, group->sequences[0].pages, 5 * sizeof(uint32_t));
        }
        close_sched();
    }
}

static void test_other_tenants_pages_are_zeroed(void **state) {
    (void)state;
    open_sched(4, 64, 4, 4);
    llmc_sched_request request = request_of(prompt, 60, 1);
    llmc_group *a = submit_request(&request);
    llmc_step step = plan();
    assert_int_equal(step.n_zero_pages, 0);
    carry_out(&step);
    assert_true(finished(a));
    request.salt = 2;
    llmc_group *b = submit_request(&request);
    step = plan();
    assert_int_equal(b->sequences[0].n_cached, 0);
    assert_int_equal(step.n_zero_pages, 4);
    /* That step never came to be: the pages are still due. */
    step = plan();
    assert_int_equal(step.n_zero_pages, 4);
    carry_out(&step);
    step = plan();
    assert_int_equal(step.n_zero_pages, 0);
    close_sched();
}

/* ---- Preemption, deadlines ---------------------------------------------------------------------------------------------- */

static void test_preemption(void **state) {
    (void)state;
    open_sched(6, 64, 4, 4);
    llmc_group *old = submit(prompt, 30, 50), *young = submit(prompt + 100, 30, 60);
    uint64_t preemptions = 0;
    while (preemptions == 0) {
        step_once();
        llmc_sched_stats(sched, NULL, NULL, NULL, &preemptions);
    }
    assert_int_equal(old->n_running, 1);
    assert_int_equal(young->n_running, 0);
    assert_int_equal(young->sequences[0].n_preempted, 1);
    assert_true(young->sequences[0].n_tokens > 30);
    /* Who gave up pages comes before whoever was never admitted, however urgent. */
    llmc_sched_request request = request_of(prompt + 200, 5, 5);
    request.priority = 100;
    llmc_group *late = submit_request(&request);
    uint32_t start = UINT32_MAX;
    while (!finished(young) || !finished(late)) {
        llmc_step step = plan();
        for (uint32_t i = 0; i < step.n_items && start == UINT32_MAX; i++) {
            if (step.items[i].sequence->group == young) start = step.items[i].start;
        }
        if (start == UINT32_MAX) assert_int_equal(late->n_running, 0);
        carry_out(&step);
    }
    /* The root of its own prefix was still there: less to compute, but no cached token on the bill. */
    assert_int_equal(start, T);
    assert_int_equal(young->sequences[0].n_tokens, 90);
    assert_int_equal(young->sequences[0].n_cached, 0);
    close_sched();
}

/* A more urgent prompt in small chunks outlives decodes that take the pages it was promised. */
static void test_decodes_in_the_step_are_not_preempted(void **state) {
    (void)state;
    open_sched(10, 4, 4, 4);
    llmc_group *a = submit(prompt, 10, 100), *b = submit(prompt + 100, 10, 100);
    while (a->sequences[0].n_tokens == 10 || b->sequences[0].n_tokens == 10) step_once();
    llmc_sched_request request = request_of(prompt + 200, 96, 2);
    request.priority = 100;
    llmc_group *urgent = submit_request(&request);
    while (!finished(urgent)) {
        llmc_step step = plan();
        for (uint32_t i = 0; i < step.n_items; i++) { assert_int_equal(step.items[i].sequence->state, LLMC_SEQUENCE_RUNNING); }
        assert_true(step.n_items > 0);
        carry_out(&step);
    }
    assert_int_equal(urgent->sequences[0].n_preempted, 0);
    assert_true(a->sequences[0].n_preempted + b->sequences[0].n_preempted > 0);
    while (!finished(a) || !finished(b)) step_once();
    close_sched();
}

/* ---- Drafts ------------------------------------------------------------------------------------------------------------ */

static llmc_group *submit_drafting(const int32_t *tokens, uint32_t n_tokens, uint32_t max_new) {
    llmc_sched_request request = request_of(tokens, n_tokens, max_new);
    request.max_draft = LLMC_DRAFT_MAX;
    return submit_request(&request);
}

static uint32_t drafts_of(const llmc_step *step, const llmc_group *group) {
    for (uint32_t i = 0; i < step->n_items; i++) {
        if (step->items[i].sequence->group == group) return step->items[i].n_drafts;
    }
    return 0;
}

/* Every draft was right: carry_out always appends 7, and so does this. */
static void carry_out_drafts(const llmc_step *step) {
    llmc_sched_commit(sched, step);
    for (uint32_t i = 0; i < step->n_items; i++) {
        llmc_sequence *sequence = step->items[i].sequence;
        int more = 1;
        if (sequence->n_computed < sequence->n_tokens) continue;
        for (uint32_t k = 0; more && k <= step->items[i].n_drafts; k++) more = llmc_sched_append(sched, sequence, 7);
        if (!more) llmc_sched_finish_sequence(sched, sequence);
    }
}

static void test_drafts(void **state) {
    (void)state;
    int32_t sevens[40];
    for (int i = 0; i < 40; i++) sevens[i] = 7;
    open_sched(100, 64, 32, 32);
    llmc_group *a = submit_drafting(sevens, 40, 60);
    llmc_step step = plan();
    assert_int_equal(drafts_of(&step, a), 0);
    carry_out_drafts(&step);
    step = plan();
    assert_int_equal(drafts_of(&step, a), 8);
    assert_int_equal(step.n_outputs, 9);
    carry_out_drafts(&step);
    assert_int_equal(a->sequences[0].n_tokens, 40 + 1 + 9);
    assert_int_equal(a->sequences[0].n_computed, 40 + 9);
    step = plan();
    assert_int_equal(drafts_of(&step, a), 15);
    assert_int_equal(step.n_tokens, 16);
    /* All wrong: one token more, and half as many drafts the next time. */
    llmc_sched_commit(sched, &step);
    assert_int_equal(llmc_sched_append(sched, &a->sequences[0], 3), 1);
    assert_int_equal(a->sequences[0].n_tokens, a->sequences[0].n_computed + 1);
    step_once();
    for (int i = 0; i < 2; i++) step_once();
    /* Without a token to spare there is none, and none beyond the answer's end. */
    while (!finished(a)) {
        step = plan();
        const llmc_sequence *sequence = &a->sequences[0];
        assert_true(sequence->n_tokens + drafts_of(&step, a) < a->max_tokens);
        carry_out_drafts(&step);
    }
    assert_int_equal(a->sequences[0].n_tokens, 100);
    close_sched();
}

static void test_drafts_step_back(void **state) {
    (void)state;
    int32_t sevens[40];
    for (int i = 0; i < 40; i++) sevens[i] = 7;
    open_sched(200, 64, 32, 32);
    llmc_group *groups[20];
    for (int i = 0; i < 4; i++) groups[i] = submit_drafting(sevens, 10, 200);
    llmc_step step = plan();
    carry_out_drafts(&step);
    step = plan();
    for (int i = 0; i < 4; i++) assert_int_equal(drafts_of(&step, groups[i]), 3); /* 16 rows, in even shares */
    carry_out_drafts(&step);
    llmc_group *long_one = submit(prompt, 200, 5); /* a prompt fills the step */
    step = plan();
    assert_int_equal(tokens_of(&step, long_one), 48); /* 60 are left; a chunk ends with a page */
    for (int i = 0; i < 4; i++) assert_int_equal(drafts_of(&step, groups[i]), 0);
    while (!finished(long_one)) step_once();
    for (int i = 4; i < 20; i++) groups[i] = submit_drafting(sevens, 1, 200);
    for (int i = 0; i < 3; i++) step_once();
    step = plan(); /* 20 decodes are more than 16 rows */
    assert_int_equal(step.n_tokens, 20);
    carry_out(&step);
    close_sched();
}

/* Drafts take a page only while everybody could have the next one, and preempt nobody. */
static void test_drafts_leave_pages(void **state) {
    (void)state;
    int32_t sevens[T];
    for (int i = 0; i < T; i++) sevens[i] = 7;
    open_sched(4, 64, 4, 4);
    llmc_group *a = submit_drafting(sevens, T - 1, 30);
    llmc_group *b = submit_drafting(sevens, T - 1, 30);
    step_once();
    llmc_step step = plan();
    assert_int_equal(step.n_items, 2);
    assert_int_equal(a->sequences[0].n_pages, 1);
    assert_int_equal(b->sequences[0].n_pages, 1);
    assert_int_equal(step.n_tokens, 2);
    for (; !finished(a) || !finished(b); step = plan()) carry_out_drafts(&step);
    carry_out_drafts(&step);
    close_sched();
}

static void test_deadlines(void **state) {
    (void)state;
    open_sched(20, 64, 1, 4);
    assert_int_equal(llmc_sched_next_deadline(sched), 0);
    llmc_sched_request request = request_of(prompt, 30, 100);
    request.deadline_ns = now_ns + 5 * STEP_NS;
    llmc_group *runs = submit_request(&request);
    request.deadline_ns = now_ns + 3 * STEP_NS;
    llmc_group *waits = submit_request(&request);
    assert_int_equal(llmc_sched_next_deadline(sched), request.deadline_ns);
    for (int i = 0; i < 2; i++) step_once();
    llmc_step step = plan();
    assert_int_equal(step.n_expired, 1);
    assert_ptr_equal(step.expired[0], waits);
    llmc_sched_remove(sched, &waits);
    carry_out(&step);
    step_once();
    for (int i = 0; i < 2; i++) { /* reported until it is finished */
        step = plan();
        assert_int_equal(step.n_expired, 1);
        assert_ptr_equal(step.expired[0], runs);
        assert_int_equal(step.n_items, 0);
        assert_int_equal(runs->sequences[0].n_pages, 0);
    }
    assert_int_equal(llmc_sched_next_deadline(sched), 0);
    llmc_sched_finish_sequence(sched, &runs->sequences[0]);
    step = plan();
    assert_int_equal(step.n_expired, 0);
    assert_true(llmc_sched_idle(sched));
    close_sched();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_queue_full),
        cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_long_prompt_stalls_nobody),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_scores_within_outputs),
        cmocka_unit_test(test_whole_prompts),
        cmocka_unit_test(test_priority_and_age),
        cmocka_unit_test(test_extreme_numbers),
        cmocka_unit_test(test_prefix_reuse),
        cmocka_unit_test(test_next_turn),
        cmocka_unit_test(test_sharing_while_running),
        cmocka_unit_test(test_choices_share_the_prompt),
        cmocka_unit_test(test_other_tenants_pages_are_zeroed),
        cmocka_unit_test(test_preemption),
        cmocka_unit_test(test_decodes_in_the_step_are_not_preempted),
        cmocka_unit_test(test_drafts),
        cmocka_unit_test(test_drafts_step_back),
        cmocka_unit_test(test_drafts_leave_pages),
        cmocka_unit_test(test_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
