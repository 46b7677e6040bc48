/* Threads, waiting with a limit, and the facts of the system. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <string.h>

#include "core/env.h"
#include "core/thread.h"

typedef struct shared {
    llmc_mutex mutex;
    llmc_cond cond;
    int64_t sum;
    int finished;
    int signals_open; /* of SIGINT, SIGTERM, SIGUSR1: not blocked */
    char name[16];
} shared;

static void add_up(void *argument) {
    shared *s = argument;
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    for (int i = 0; i < 1000; i++) {
        llmc_mutex_lock(&s->mutex);
        s->sum++;
        llmc_mutex_unlock(&s->mutex);
    }
    llmc_mutex_lock(&s->mutex);
    s->signals_open += !sigismember(&set, SIGINT) + !sigismember(&set, SIGTERM) + !sigismember(&set, SIGUSR1);
    pthread_getname_np(pthread_self(), s->name, sizeof s->name);
    s->finished++;
    llmc_cond_signal(&s->cond);
    llmc_mutex_unlock(&s->mutex);
}

static void runs_threads(void **state) {
    (void)state;
    enum { N = 8 };
    shared s = {0};
    assert_true(llmc_mutex_init(&s.mutex) && llmc_cond_init(&s.cond));
    llmc_thread threads[N];
    for (int i = 0; i < N; i++) {
        char name[] = "worker with a long name"; /* may go at once */
        assert_true(llmc_thread_start(&threads[i], add_up, &s, name));
        memset(name, 'x', sizeof name);
    }
    llmc_mutex_lock(&s.mutex);
    while (s.finished < N) assert_true(llmc_cond_wait(&s.cond, &s.mutex, -1));
    llmc_mutex_unlock(&s.mutex);
    for (int i = 0; i < N; i++) llmc_thread_join(&threads[i]);
    assert_int_equal(s.sum, N * 1000);
    assert_int_equal(s.signals_open, 0);
    assert_string_equal(s.name, "worker with a l");
    sigset_t set;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    assert_false(sigismember(&set, SIGUSR1)); /* the starter's own are as before */
    llmc_cond_destroy(&s.cond);
    llmc_mutex_destroy(&s.mutex);
}

static void waits_no_longer_than_asked(void **state) {
    (void)state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    llmc_mutex mutex;
    llmc_cond cond;
    assert_true(llmc_mutex_init(&mutex) && llmc_cond_init(&cond));
    llmc_mutex_lock(&mutex);
    int64_t begin = llmc_now(&env);
    while (llmc_cond_wait(&cond, &mutex, 20000000)) {}
    assert_true(llmc_now(&env) - begin >= 20000000);
    while (llmc_cond_wait(&cond, &mutex, 0)) {}
    llmc_mutex_unlock(&mutex);
    llmc_cond_destroy(&cond);
    llmc_mutex_destroy(&mutex);
}

static void signal_it(void *argument) {
    shared *s = argument;
    llmc_mutex_lock(&s->mutex);
    s->finished = 1;
    llmc_cond_broadcast(&s->cond);
    llmc_mutex_unlock(&s->mutex);
}

/* The largest limit does not overflow into the past. */
static void wakes_before_a_far_limit(void **state) {
    (void)state;
    shared s = {0};
    assert_true(llmc_mutex_init(&s.mutex) && llmc_cond_init(&s.cond));
    llmc_thread thread;
    llmc_mutex_lock(&s.mutex);
    assert_true(llmc_thread_start(&thread, signal_it, &s, NULL));
    while (!s.finished) assert_true(llmc_cond_wait(&s.cond, &s.mutex, INT64_MAX));
    llmc_mutex_unlock(&s.mutex);
    llmc_thread_join(&thread);
    llmc_cond_destroy(&s.cond);
    llmc_mutex_destroy(&s.mutex);
}

static void knows_the_system(void **state) {
    (void)state;
    assert_true(llmc_cpu_count() >= 1);
    assert_true(llmc_memory_available() > 1 << 20);
    assert_true(llmc_unix_ms() > 1600000000000);
    uint8_t a[32] = {0}, b[32] = {0};
    assert_true(llmc_random_bytes(a, sizeof a) && llmc_random_bytes(b, sizeof b));
    assert_memory_not_equal(a, b, sizeof a);
    assert_true(llmc_random_bytes(a, 0));
}

static void pin_it(void *argument) {
    int *got = argument;
    got[0] = llmc_thread_pin(-1);
    got[1] = llmc_thread_pin(llmc_cpu_count());
    got[2] = llmc_thread_pin(llmc_cpu_count() - 1);
    got[3] = llmc_cpu_count(); /* of this thread, by now */
}

static void pins_a_thread_to_a_core(void **state) {
    (void)state;
    int got[4] = {-1, -1, -1, -1}, cores = llmc_cpu_count();
    llmc_thread thread;
    assert_true(llmc_thread_start(&thread, pin_it, got, NULL));
    llmc_thread_join(&thread);
    assert_int_equal(got[0], 0);
    assert_int_equal(got[1], 0);
    assert_int_equal(got[2], 1);
    assert_int_equal(got[3], 1);
    assert_int_equal(llmc_cpu_count(), cores);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_threads),
        cmocka_unit_test(waits_no_longer_than_asked),
        cmocka_unit_test(wakes_before_a_far_limit),
        cmocka_unit_test(knows_the_system),
        cmocka_unit_test(pins_a_thread_to_a_core),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
