/* The thread pool: every thread runs, barriers hold, a loop's units are taken once each, idle workers sleep, failures are clean. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdatomic.h>
#include <time.h>

#include "backend/cpu/pool.h"
#include "failing_alloc.h"

enum { PHASES = 40, UNITS = 100, RUNS = 8 };

typedef struct shared {
    llmc_pool *pool;
    atomic_int ran[8];
    int plain[8]; /* written before a barrier by one thread, read after it by others: TSan watches */
    atomic_int taken[PHASES][UNITS];
    atomic_int broken;
} shared;

static void all_of_it(void *arg, int32_t thread, int32_t n_threads) {
    shared *s = arg;
    atomic_fetch_add(&s->ran[thread], 1);
    for (int phase = 0; phase < PHASES; phase++) {
        s->plain[thread] = phase + 1;
        llmc_pool_barrier(s->pool);
        for (int32_t t = 0; t < n_threads; t++) {
            if (s->plain[t] != phase + 1) atomic_store(&s->broken, 1);
        }
        uint32_t n_units = (uint32_t)(phase * 7 % (UNITS + 1));
        llmc_pool_loop loop = llmc_pool_loop_begin(s->pool, thread, n_units);
        for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
            if (unit >= n_units) atomic_store(&s->broken, 1);
            atomic_fetch_add(&s->taken[phase][unit], 1);
        }
        llmc_pool_barrier(s->pool);
    }
}

static void units_are_taken_once(void **state) {
    (void)state;
    llmc_env env;
    failing_alloc memory;
    failing_alloc_init(&memory, &env);
    for (int32_t n_threads = 1; n_threads <= 5; n_threads++) {
        shared s = {0};
        assert_int_equal(llmc_pool_create(&env, n_threads, &s.pool, NULL), LLMCALL_OK);
        assert_int_equal(llmc_pool_threads(s.pool), n_threads);
        for (int run = 0; run < RUNS; run++) llmc_pool_run(s.pool, all_of_it, &s);
        for (int32_t t = 0; t < 8; t++) assert_true(t ? s.ran[t] <= (t < n_threads ? RUNS : 0) : s.ran[t] == RUNS);
        for (int phase = 0; phase < PHASES; phase++) {
            for (int unit = 0; unit < UNITS; unit++) {
                assert_int_equal(s.taken[phase][unit], unit < phase * 7 % (UNITS + 1) ? RUNS : 0);
            }
        }
        assert_int_equal(s.broken, 0);
        llmc_pool_destroy(s.pool);
        assert_int_equal(memory.live, 0);
    }
}

static int64_t cpu_time(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

enum { ODD_LOOPS = 3 };

static void odd_loops(void *arg, int32_t thread, int32_t n_threads) {
    shared *s = arg;
    (void)n_threads;
    for (int phase = 0; phase < ODD_LOOPS; phase++) {
        llmc_pool_loop loop = llmc_pool_loop_begin(s->pool, thread, UNITS);
        for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) atomic_fetch_add(&s->taken[phase][unit], 1);
        llmc_pool_barrier(s->pool);
    }
}

/* A thread that sat a run out had its counters out of step with the others, and units were taken twice. */
static void threads_that_come_back_keep_step(void **state) {
    (void)state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    static const int32_t wanted[] = {3, 2, 3, 1, 3, 2, 1, 2, 3, 3, 1, 2};
    enum { N_RUNS = sizeof wanted / sizeof *wanted };
    shared s = {0};
    assert_int_equal(llmc_pool_create(&env, 3, &s.pool, NULL), LLMCALL_OK);
    for (int run = 0; run < N_RUNS; run++) {
        llmc_pool_want(s.pool, wanted[run]);
        llmc_pool_run(s.pool, odd_loops, &s);
    }
    for (int phase = 0; phase < ODD_LOOPS; phase++) {
        for (int unit = 0; unit < UNITS; unit++) assert_int_equal(s.taken[phase][unit], N_RUNS);
    }
    llmc_pool_destroy(s.pool);
}

static void nothing(void *arg, int32_t thread, int32_t n_threads) {
    (void)thread;
    (void)n_threads;
    atomic_fetch_add((atomic_int *)arg, 1);
}

static void idle_workers_sleep(void **state) {
    (void)state;
    llmc_env env;
    llmc_pool *pool;
    atomic_int count = 0;
    llmc_env_init(&env, NULL);
    assert_int_equal(llmc_pool_create(&env, 4, &pool, NULL), LLMCALL_OK);
    const struct timespec pause = {.tv_nsec = 60000000};
    int64_t began = cpu_time();
    for (int i = 0; i < 3; i++) {
        llmc_pool_run(pool, nothing, &count);
        nanosleep(&pause, NULL);
    }
    assert_true(cpu_time() - began < 60000000); /* a third of one core; spinning workers would take three cores */
    assert_true(count >= 3 && count <= 12);
    llmc_pool_destroy(pool);
}

static void failures_are_clean(void **state) {
    (void)state;
    llmc_env env;
    failing_alloc memory;
    failing_alloc_init(&memory, &env);
    LLMCALL_INIT(llmcall_error, error);
    llmc_pool *pool;
    assert_int_equal(llmc_pool_create(&env, 0, &pool, &error), LLMCALL_E_ARGUMENT);
    assert_null(pool);
    assert_int_equal(llmc_pool_create(&env, LLMC_POOL_MAX_THREADS + 1, &pool, &error), LLMCALL_E_ARGUMENT);
    assert_string_equal(error.param, "threads");
    for (long n = 1;; n++) {
        failing_alloc_init(&memory, &env);
        memory.fail_at = n;
        llmcall_status status = llmc_pool_create(&env, 3, &pool, &error);
        llmc_pool_destroy(pool);
        assert_int_equal(memory.live, 0);
        if (status == LLMCALL_OK) break;
        assert_int_equal(status, LLMCALL_E_NO_MEMORY);
        assert_null(pool);
        assert_true(n < 10);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_are_taken_once),
        cmocka_unit_test(threads_that_come_back_keep_step),
        cmocka_unit_test(idle_workers_sleep),
        cmocka_unit_test(failures_are_clean),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
