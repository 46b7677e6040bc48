/* Prices, ids, timeline and the delivery of usage records. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "core/thread.h"
#include "failing_alloc.h"
#include "meter/meter.h"

#define MS 1000000ll

static llmc_env env;
static failing_alloc allocator;

static int setup(void **unused) {
    (void)unused;
    failing_alloc_init(&allocator, &env);
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    return allocator.live == 0 ? 0 : -1;
}

/* ---- Prices ---- */

static void costs_round_half_up_and_add_up(void **unused) {
    (void)unused;
    static const struct {
        llmc_prices prices;
        uint64_t prompt, cached, completion;
        int64_t want[3];
    } rows[] = {
        {{0, 0, 0}, 5, 5, 5, {0, 0, 0}},
        {{1000000, 100000, 4000000}, 1000, 1000, 1000, {1000, 100, 4000}},
        {{1, 1, 1}, 499999, 500000, 1500000, {0, 1, 2}},
        {{150000000, 15000000, 600000000}, 3, 7, 11, {450, 105, 6600}}, /* 0.15 and 0.60 a million */
        {{3, 3, 3}, 500000, 166666, 166667, {2, 0, 1}},
        {{-5, -1, INT64_MIN}, 1000000, 1000000, 1000000, {0, 0, 0}},
        {{INT64_MAX, INT64_MAX, INT64_MAX}, UINT64_MAX, UINT64_MAX, UINT64_MAX, {INT64_MAX, 0, 0}},
        {{INT64_MAX, 7, INT64_MAX}, 500000, 1000000, 1000000, {INT64_MAX / 2 + 1, 7, INT64_MAX / 2 - 7}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        llmcall_usage_record record;
        llmc_meter_cost(&rows[i].prices, rows[i].prompt, rows[i].cached, rows[i].completion, &record);
        assert_true(record.cost_prompt_nano == rows[i].want[0]);
        assert_true(record.cost_cached_nano == rows[i].want[1]);
        assert_true(record.cost_completion_nano == rows[i].want[2]);
        assert_true(record.cost_nano == rows[i].want[0] + rows[i].want[1] + rows[i].want[2]);
    }
    assert_int_equal(llmcall_default_usage(NULL, NULL), LLMCALL_OK);
}

/* ---- Ids ---- */

static void ids_do_not_repeat(void **unused) {
    (void)unused;
    enum { N = 2000 };
    static char ids[N][40];
    for (size_t i = 0; i < N; i++) {
        assert_true(llmc_meter_call_id(ids[i]));
        assert_int_equal(strlen(ids[i]), 37);
        assert_memory_equal(ids[i], "call_", 5);
        assert_int_equal(strspn(ids[i] + 5, "0123456789abcdef"), 32);
    }
    qsort(ids, N, sizeof ids[0], (int (*)(const void *, const void *))strcmp);
    for (size_t i = 1; i < N; i++) assert_true(strcmp(ids[i - 1], ids[i]) != 0);
}

static void trace_ids(void **unused) {
    (void)unused;
    char id[40], copy[40];
    assert_true(llmc_meter_trace_id(id));
    assert_int_equal(strlen(id), 32);
    assert_true(llmc_meter_trace_id_parse(id, 32, copy));
    assert_string_equal(id, copy);
    assert_true(llmc_meter_trace_id_parse("4BF92F3577b34da6a3ce929d0e0e4736", 32, copy));
    assert_string_equal(copy, "4bf92f3577b34da6a3ce929d0e0e4736");
    static const char *const bad[] = {"",
                                      "4bf92f3577b34da6a3ce929d0e0e473",
                                      "4bf92f3577b34da6a3ce929d0e0e47361",
                                      "00000000000000000000000000000000",
                                      "4bf92f3577b34da6a3ce929d0e0e473g",
                                      "4bf92f35-7b34da6a3ce929d0e0e4736"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(llmc_meter_trace_id_parse(bad[i], strlen(bad[i]), copy));
        assert_string_equal(copy, "");
    }
    assert_false(llmc_meter_trace_id_parse(NULL, 32, copy));
}

/* ---- Timeline ---- */

static void timeline(void **unused) {
    (void)unused;
    llmc_timeline t;
    llmcall_span spans[LLMCALL_STAGE_COUNT];
    llmc_timeline_init(&t, 1000);
    assert_int_equal(llmc_timeline_spans(&t, 5000, spans), 0);
    llmc_timeline_begin(&t, LLMCALL_STAGE_QUEUE, 1100);
    llmc_timeline_end(&t, LLMCALL_STAGE_QUEUE, 1300);
    llmc_timeline_end(&t, LLMCALL_STAGE_QUEUE, 9999); /* not open: nothing */
    llmc_timeline_end(&t, LLMCALL_STAGE_CACHE, 9999);
    llmc_timeline_begin(&t, LLMCALL_STAGE_QUEUE, 1500); /* preempted: queued again */
    llmc_timeline_begin(&t, LLMCALL_STAGE_QUEUE, 1600);
    llmc_timeline_end(&t, LLMCALL_STAGE_QUEUE, 1700);
    llmc_timeline_add(&t, LLMCALL_STAGE_DECODE, 2000, 2100, 90);
    llmc_timeline_add(&t, LLMCALL_STAGE_OUTPUT, 2100, 2110, 10);
    llmc_timeline_add(&t, LLMCALL_STAGE_DECODE, 2200, 2300, 100);
    llmc_timeline_add(&t, LLMCALL_STAGE_NETWORK, 1000, 900, -5);
    llmc_timeline_tokens(&t, LLMCALL_STAGE_DECODE, 2);
    llmc_timeline_begin(&t, LLMCALL_STAGE_PACKAGE, 2400);
    static const int32_t wrong[] = {0, -1, LLMCALL_STAGE_COUNT + 1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 5; i++) {
        llmc_timeline_begin(&t, wrong[i], 1);
        llmc_timeline_end(&t, wrong[i], 1);
        llmc_timeline_add(&t, wrong[i], 1, 2, 3);
        llmc_timeline_tokens(&t, wrong[i], 1);
        assert_null(llmc_timeline_span(&t, wrong[i]));
    }
    assert_null(llmc_timeline_span(&t, LLMCALL_STAGE_CACHE));
    assert_int_equal(llmc_timeline_spans(&t, 2500, spans), 5);
    static const int64_t want[5][4] = {{LLMCALL_STAGE_NETWORK, 0, 0, 0},
                                       {LLMCALL_STAGE_QUEUE, 100, 700, 400},
                                       {LLMCALL_STAGE_DECODE, 1000, 1300, 190},
                                       {LLMCALL_STAGE_OUTPUT, 1100, 1110, 10},
                                       {LLMCALL_STAGE_PACKAGE, 1400, 1500, 100}};
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(spans[i].struct_size, sizeof spans[i]);
        assert_int_equal(spans[i].stage, want[i][0]);
        assert_int_equal(spans[i].start_ns, want[i][1]);
        assert_int_equal(spans[i].end_ns, want[i][2]);
        assert_int_equal(spans[i].busy_ns, want[i][3]);
    }
    assert_int_equal(spans[2].tokens, 2);
}

static void costs_of_stages(void **unused) {
    (void)unused;
    llmc_timeline t;
    llmc_timeline_init(&t, 0);
    llmc_timeline_add(&t, LLMCALL_STAGE_CACHE, 1, 2, 1);
    llmc_timeline_add(&t, LLMCALL_STAGE_PREFILL, 2, 3, 1);
    llmc_timeline_add(&t, LLMCALL_STAGE_DECODE, 3, 4, 1);
    llmc_timeline_cost(&t, &(llmcall_usage_record){.cost_prompt_nano = 1, .cost_cached_nano = 2, .cost_completion_nano = 4});
    assert_int_equal(llmc_timeline_span(&t, LLMCALL_STAGE_PREFILL)->cost_nano, 1);
    assert_int_equal(llmc_timeline_span(&t, LLMCALL_STAGE_CACHE)->cost_nano, 2);
    assert_int_equal(llmc_timeline_span(&t, LLMCALL_STAGE_DECODE)->cost_nano, 4);
}

/* ---- Delivery ---- */

typedef struct taker {
    llmc_ledger *ledger;
    int refuse; /* how many of the next offers are refused */
    char log[400];
    uint64_t pending_seen;
    llmc_ledger_slot *put_meanwhile;
} taker;

static llmcall_usage_record record_of(const char *id) {
    llmcall_usage_record record = {.struct_size = sizeof record};
    snprintf(record.call_id, sizeof record.call_id, "%s", id);
    return record;
}

/* Uses the ledger from within: no lock may be held. */
static llmcall_status take(void *user, const llmcall_usage_record *record) {
    taker *t = user;
    size_t size = strlen(t->log);
    int refused = t->refuse > 0;
    if (refused) t->refuse--;
    snprintf(t->log + size, sizeof t->log - size, "%s%d%s ", record->call_id, record->attempt, refused ? "-" : "+");
    t->pending_seen = llmc_ledger_pending(t->ledger);
    llmcall_usage_record late = record_of("late");
    llmc_ledger_put(t->ledger, t->put_meanwhile, &late);
    t->put_meanwhile = NULL;
    return refused ? LLMCALL_E_IO : LLMCALL_OK;
}

static void put(llmc_ledger *ledger, const char *id) {
    llmc_ledger_slot *slot;
    llmcall_usage_record record = record_of(id);
    record.attempt = 77;
    assert_int_equal(llmc_ledger_reserve(ledger, &slot, NULL), LLMCALL_OK);
    llmc_ledger_put(ledger, slot, &record);
}

static llmc_ledger *make(taker *t, uint64_t max_slots) {
    memset(t, 0, sizeof *t);
    assert_int_equal(llmc_ledger_create(&env, take, t, max_slots, &t->ledger, NULL), LLMCALL_OK);
    return t->ledger;
}

static void offered_until_accepted(void **unused) {
    (void)unused;
    taker t;
    llmc_ledger *ledger = make(&t, 0);
    assert_int_equal(llmc_ledger_deliver(ledger, 0), -1);
    put(ledger, "a");
    put(ledger, "b");
    put(ledger, "c");
    t.refuse = 2;
    assert_int_equal(llmc_ledger_deliver(ledger, 0), 100 * MS);
    assert_string_equal(t.log, "a1- b1- c1+ ");
    assert_int_equal(llmc_ledger_pending(ledger), 2);
    assert_int_equal(llmc_ledger_deliver(ledger, 40 * MS), 60 * MS);
    put(ledger, "d");
    t.refuse = 1;
    assert_int_equal(llmc_ledger_deliver(ledger, 50 * MS), 50 * MS);
    t.refuse = 1;
    assert_int_equal(llmc_ledger_deliver(ledger, 100 * MS), 50 * MS); /* a again at 300, d at 150 */
    assert_string_equal(t.log, "a1- b1- c1+ d1- a2- b2+ ");
    assert_int_equal(llmc_ledger_deliver(ledger, 150 * MS), 150 * MS);
    assert_int_equal(llmc_ledger_deliver(ledger, 300 * MS), -1);
    assert_string_equal(t.log, "a1- b1- c1+ d1- a2- b2+ d2+ a3+ ");
    llmc_ledger_destroy(&ledger);
    assert_null(ledger);
}

static void waits_double_up_to_30_s(void **unused) {
    (void)unused;
    taker t;
    llmc_ledger *ledger = make(&t, 0);
    int64_t now = 5, want = 100 * MS;
    put(ledger, "a");
    t.refuse = 1000;
    for (int i = 0; i < 20; i++) {
        int64_t wait = llmc_ledger_deliver(ledger, now);
        assert_true(wait == want);
        assert_true(llmc_ledger_deliver(ledger, now + wait - 1) == 1);
        now += wait;
        want = want * 2 > 30000 * MS ? 30000 * MS : want * 2;
    }
    t.log[0] = 0;
    assert_int_equal(llmc_ledger_deliver_all(ledger, now), 1); /* due or not */
    assert_string_equal(t.log, "a21- ");
    t.refuse = 0;
    assert_int_equal(llmc_ledger_deliver_all(ledger, now), 0);
    assert_string_equal(t.log, "a21- a22+ ");
    llmc_ledger_destroy(&ledger);
}

static void put_during_the_hook_has_its_turn(void **unused) {
    (void)unused;
    taker t;
    llmc_ledger *ledger = make(&t, 0);
    put(ledger, "a");
    assert_int_equal(llmc_ledger_reserve(ledger, &t.put_meanwhile, NULL), LLMCALL_OK);
    assert_int_equal(llmc_ledger_deliver(ledger, 0), -1);
    assert_string_equal(t.log, "a1+ late1+ ");
    llmc_ledger_destroy(&ledger);
}

static int logged;
static void count_log(void *user, int32_t level, const char *message) {
    (void)user;
    if (level == LLMCALL_LOG_ERROR && strstr(message, "call lost")) logged++;
}

static void slots_are_bounded_and_nothing_is_lost_silently(void **unused) {
    (void)unused;
    taker t;
    llmc_ledger *ledger = make(&t, 2);
    llmc_ledger_slot *a, *b, *c;
    LLMCALL_INIT(llmcall_error, error);
    assert_int_equal(llmc_ledger_reserve(ledger, &a, NULL), LLMCALL_OK);
    assert_int_equal(llmc_ledger_reserve(ledger, &b, NULL), LLMCALL_OK);
    assert_int_equal(llmc_ledger_reserve(ledger, &c, &error), LLMCALL_E_QUEUE_FULL);
    assert_null(c);
    assert_string_equal(error.code, "usage_backlog");
    llmc_ledger_release(ledger, a);
    llmc_ledger_release(ledger, NULL);
    assert_int_equal(llmc_ledger_reserve(ledger, &a, NULL), LLMCALL_OK);
    llmcall_usage_record record = record_of("lost");
    llmc_ledger_put(ledger, b, &record);
    llmc_ledger_put(ledger, NULL, &record);
    env.log = count_log;
    logged = 0;
    llmc_ledger_destroy(&ledger); /* frees the one that is still reserved too */
    assert_int_equal(logged, 1);
    llmc_ledger_destroy(&ledger);
    llmc_ledger_destroy(NULL);
}

static void default_hook_accepts(void **unused) {
    (void)unused;
    llmc_ledger *ledger;
    assert_int_equal(llmc_ledger_create(&env, NULL, NULL, 0, &ledger, NULL), LLMCALL_OK);
    put(ledger, "a");
    assert_int_equal(llmc_ledger_deliver(ledger, 0), -1);
    llmc_ledger_destroy(&ledger);
}

static void allocation_failures(void **unused) {
    (void)unused;
    llmcall_status status = LLMCALL_E_NO_MEMORY;
    for (long n = 1; status != LLMCALL_OK; n++) {
        llmc_ledger *ledger = NULL;
        llmc_ledger_slot *slot = NULL;
        allocator.count = 0;
        allocator.fail_at = n;
        status = llmc_ledger_create(&env, NULL, NULL, 0, &ledger, NULL);
        if (status == LLMCALL_OK) status = llmc_ledger_reserve(ledger, &slot, NULL);
        assert_true(status == LLMCALL_OK || status == LLMCALL_E_NO_MEMORY);
        long before = allocator.count;
        llmcall_usage_record record = record_of("a");
        if (slot) llmc_ledger_put(ledger, slot, &record);
        if (slot) assert_int_equal(llmc_ledger_deliver(ledger, 0), -1);
        assert_int_equal(allocator.count, before);
        llmc_ledger_destroy(&ledger);
        assert_int_equal(allocator.live, 0);
    }
}

/* ---- Puts from other threads while one delivers ---- */

enum { THREADS = 4, EACH = 500 };

static void put_many(void *ledger) {
    for (int i = 0; i < EACH; i++) {
        llmc_ledger_slot *slot;
        llmcall_usage_record record = record_of("x");
        if (llmc_ledger_reserve(ledger, &slot, NULL) != LLMCALL_OK) continue;
        if (i % 10 == 0) llmc_ledger_release(ledger, slot);
        else llmc_ledger_put(ledger, slot, &record);
    }
}

static llmcall_status count_take(void *user, const llmcall_usage_record *record) {
    int *taken = user;
    if (record->attempt == 1 && *taken % 7 == 3) return LLMCALL_E_IO;
    ++*taken;
    return LLMCALL_OK;
}

static void threads(void **unused) {
    (void)unused;
    int taken = 0;
    llmc_ledger *ledger;
    llmc_thread workers[THREADS];
    assert_int_equal(llmc_ledger_create(&env, count_take, &taken, 0, &ledger, NULL), LLMCALL_OK);
    for (int i = 0; i < THREADS; i++) assert_true(llmc_thread_start(&workers[i], put_many, ledger, "put"));
    for (int64_t now = 0; now < 100 * 200 * MS; now += 200 * MS) llmc_ledger_deliver(ledger, now);
    for (int i = 0; i < THREADS; i++) llmc_thread_join(&workers[i]);
    while (llmc_ledger_deliver_all(ledger, INT64_MAX / 2) > 0) {}
    assert_int_equal(taken, THREADS * EACH * 9 / 10);
    llmc_ledger_destroy(&ledger);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(costs_round_half_up_and_add_up),
        cmocka_unit_test(ids_do_not_repeat),
        cmocka_unit_test(trace_ids),
        cmocka_unit_test(timeline),
        cmocka_unit_test(costs_of_stages),
        cmocka_unit_test_setup_teardown(offered_until_accepted, setup, teardown),
        cmocka_unit_test_setup_teardown(waits_double_up_to_30_s, setup, teardown),
        cmocka_unit_test_setup_teardown(put_during_the_hook_has_its_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(slots_are_bounded_and_nothing_is_lost_silently, setup, teardown),
        cmocka_unit_test_setup_teardown(default_hook_accepts, setup, teardown),
        cmocka_unit_test_setup_teardown(allocation_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(threads, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
