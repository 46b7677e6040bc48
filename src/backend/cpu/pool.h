/* The CPU backend's threads: n - 1 workers and the thread that calls run. Between runs workers spin for some 20 microseconds
 * and then park, so that an idle engine takes no CPU time. Inside a run there is a barrier, and a loop whose units the
 * threads share: each begins with its own range and, done with it, takes units of the others, so that a thread which loses
 * its core holds up no more than the unit that it is at. */
#ifndef LLMC_POOL_H
#define LLMC_POOL_H

#include "core/error.h"

enum { LLMC_POOL_MAX_THREADS = 1024 };

typedef struct llmc_pool llmc_pool;
typedef void (*llmc_pool_fn)(void *arg, int32_t thread, int32_t n_threads);

/* 1 <= n_threads <= LLMC_POOL_MAX_THREADS, else LLMCALL_E_ARGUMENT; 1 makes no thread. */
llmcall_status llmc_pool_create(const llmc_env *env, int32_t n_threads, llmc_pool **pool, llmcall_error *error);
void llmc_pool_destroy(llmc_pool *pool); /* NULL is fine */
int32_t llmc_pool_threads(const llmc_pool *pool);

/* fn(arg, thread, n_threads) on n_threads threads, thread 0 being the caller; returns when all have returned. n_threads is the
 * pool's, or fewer for a while after runs that mostly waited for threads whose cores were taken. One run at a time. */
void llmc_pool_run(llmc_pool *pool, llmc_pool_fn fn, void *arg);

/* The next run takes n threads, 1 to the pool's; what the pool finds by itself, for tests to set. */
void llmc_pool_want(llmc_pool *pool, int32_t n);

/* The rest is for fn, and every thread of the run must do it the same number of times. */
void llmc_pool_barrier(llmc_pool *pool);

typedef struct llmc_pool_loop {
    llmc_pool *pool;
    uint32_t n_units;
    int32_t thread;
    int32_t offset; /* the range now taken from is that of thread + offset */
    uint32_t set;
} llmc_pool_loop;

/* Begins a loop over units 0 .. n_units - 1. A barrier (or the end of the run) must stand between two loops. */
llmc_pool_loop llmc_pool_loop_begin(llmc_pool *pool, int32_t thread, uint32_t n_units);
int llmc_pool_loop_next(llmc_pool_loop *loop, uint32_t *unit); /* 1 and a unit that no other thread gets, or 0: none is left */

#endif
