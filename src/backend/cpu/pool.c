/* Thread pool: a generation counter starts a run, another one opens the barrier, and a mutex with a condition is behind both
 * for those who waited too long. */
#include "backend/cpu/pool.h"

#include <sched.h>
#include <stdatomic.h>

#include "core/alloc.h"
#include "core/thread.h"

/* Pauses before a waiting thread parks. Some 20 microseconds between runs; in a barrier longer, because there the work of the
 * others is on its way, but not for ever: a parked thread's core is free for one whose own core was taken. */
enum { IDLE_SPINS = 800, BARRIER_SPINS = 4000, YIELDS = 8 };

/* A run whose threads waited for each other more than half of the time had fewer cores than threads: the next ones take a
 * thread less, and after a pause a thread more again. The pause doubles each time that this fails at once. Runs too short to
 * tell (while a parked worker wakes) take no thread away. The number of threads changes no bit of a result. */
enum { SHORT_RUN_NS = 500000, FIRST_PAUSE_NS = 10000000, LONGEST_PAUSE_NS = 640000000 };

/* The job word: active threads of the run in its low bits (0: workers end), a generation above. */
enum { ACTIVE_BITS = 11 };

typedef struct pool_thread {
    _Alignas(64) atomic_uint taken[2]; /* units taken from this thread's range, by anyone; two sets, used in turn */
    uint32_t set;                      /* the set of the loop in progress; this thread's own during a run */
    llmc_pool *pool;
    int32_t index;
    llmc_thread handle;
} pool_thread;

struct llmc_pool {
    _Alignas(64) atomic_uint job;
    _Alignas(64) atomic_uint arrived;    /* threads at the barrier */
    _Alignas(64) atomic_uint generation; /* of the barrier */
    _Alignas(64) atomic_uint parked;
    const llmc_env *env;
    llmc_mutex mutex;
    llmc_cond cond;
    llmc_pool_fn fn; /* written, as arg and active, before job moves on */
    void *arg;
    int32_t n_threads;
    int32_t n_started;          /* workers */
    int32_t active;             /* threads of the run in progress */
    int32_t wanted;             /* threads of the next one */
    int64_t pause_ns, retry_ns; /* how long to do with a thread less, and until when */
    atomic_llong waited_ns;     /* in this run's barriers, by all threads, beyond spinning */
    int idle_spins, barrier_spins;
    pool_thread *threads;
};

static inline void pause_briefly(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Sequentially consistent on both sides: either the waiter sees the new word, or the waker sees the waiter parked. */
static void park_until_changed(llmc_pool *pool, atomic_uint *word, unsigned old) {
    llmc_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->parked, 1);
    while (atomic_load(word) == old) llmc_cond_wait(&pool->cond, &pool->mutex, -1);
    atomic_fetch_sub(&pool->parked, 1);
    llmc_mutex_unlock(&pool->mutex);
}

/* 1 if it was seen while spinning. */
static int spin_until_changed(const atomic_uint *word, unsigned old, int spins) {
    for (int i = 0; i < spins; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != old) return 1;
        pause_briefly();
    }
    return 0;
}

static void wait_until_changed(llmc_pool *pool, atomic_uint *word, unsigned old, int spins) {
    if (spin_until_changed(word, old, spins)) return;
    for (int i = 0; i < YIELDS; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != old) return;
        sched_yield();
    }
    park_until_changed(pool, word, old);
}

static void change(llmc_pool *pool, atomic_uint *word, unsigned value) {
    atomic_store(word, value);
    if (atomic_load(&pool->parked) == 0) return;
    llmc_mutex_lock(&pool->mutex);
    llmc_cond_broadcast(&pool->cond);
    llmc_mutex_unlock(&pool->mutex);
}

void llmc_pool_barrier(llmc_pool *pool) {
    unsigned active = (unsigned)pool->active; /* read before arriving: after that the next run may be on its way */
    if (active == 1) return;
    unsigned generation = atomic_load_explicit(&pool->generation, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&pool->arrived, 1, memory_order_acq_rel) + 1 == active) {
        atomic_store_explicit(&pool->arrived, 0, memory_order_relaxed);
        change(pool, &pool->generation, generation + 1);
    } else {
        if (spin_until_changed(&pool->generation, generation, pool->barrier_spins)) return;
        int64_t began = llmc_now(pool->env);
        wait_until_changed(pool, &pool->generation, generation, 0);
        atomic_fetch_add_explicit(&pool->waited_ns, llmc_now(pool->env) - began, memory_order_relaxed);
    }
}

static void worker(void *argument) {
    pool_thread *self = argument;
    llmc_pool *pool = self->pool;
    for (unsigned job = 0;;) {
        wait_until_changed(pool, &pool->job, job, pool->idle_spins);
        job = atomic_load(&pool->job);
        int32_t active = (int32_t)(job & ((1u << ACTIVE_BITS) - 1));
        if (active == 0) return;
        if (self->index >= active) continue;
        pool->fn(pool->arg, self->index, active);
        llmc_pool_barrier(pool);
    }
}

static void start_job(llmc_pool *pool, int32_t active) {
    unsigned generation = (atomic_load(&pool->job) >> ACTIVE_BITS) + 1;
    change(pool, &pool->job, generation << ACTIVE_BITS | (unsigned)active);
}

static void choose_wanted(llmc_pool *pool, int64_t began_ns, int64_t ended_ns) {
    int64_t took_ns = ended_ns - began_ns;
    int tells = took_ns >= SHORT_RUN_NS;
    if (tells && pool->active > 1 && atomic_load(&pool->waited_ns) > took_ns / 2 * (pool->active - 1)) {
        pool->wanted = pool->active - 1;
        pool->pause_ns = pool->pause_ns < LONGEST_PAUSE_NS ? 2 * pool->pause_ns : LONGEST_PAUSE_NS;
        pool->retry_ns = ended_ns + pool->pause_ns;
    } else if (pool->active == pool->n_threads) {
        if (tells) pool->pause_ns = FIRST_PAUSE_NS / 2;
    } else if (ended_ns >= pool->retry_ns) {
        pool->wanted = pool->active + 1;
    }
}

/* Threads that sat out the last runs are brought into step with the others: a loop's set must be the same for all. */
static void reset_loops(llmc_pool *pool) {
    for (int32_t i = 0; i < pool->n_threads; i++) {
        pool_thread *thread = &pool->threads[i];
        thread->set = 0;
        atomic_store_explicit(&thread->taken[0], 0, memory_order_relaxed);
        atomic_store_explicit(&thread->taken[1], 0, memory_order_relaxed);
    }
}

void llmc_pool_run(llmc_pool *pool, llmc_pool_fn fn, void *arg) {
    int64_t began = llmc_now(pool->env);
    reset_loops(pool);
    pool->fn = fn;
    pool->arg = arg;
    pool->active = pool->wanted;
    atomic_store(&pool->waited_ns, 0);
    if (pool->active > 1) start_job(pool, pool->active);
    fn(arg, 0, pool->active);
    llmc_pool_barrier(pool);
    choose_wanted(pool, began, llmc_now(pool->env));
}

void llmc_pool_want(llmc_pool *pool, int32_t n) {
    pool->wanted = n < 1 ? 1 : n > pool->n_threads ? pool->n_threads : n;
}

static llmcall_status start_workers(llmc_pool *pool, llmcall_error *error) {
    for (int32_t i = 1; i < pool->n_threads; i++) {
        pool_thread *thread = &pool->threads[i];
        if (!llmc_thread_start(&thread->handle, worker, thread, "llmcall-worker")) {
            return llmc_fail(error, LLMCALL_E_NO_MEMORY, "thread_creation_failed", "threads",
                             "The system refused compute thread %d of %d.", (int)i + 1, (int)pool->n_threads);
        }
        pool->n_started = i;
    }
    return LLMCALL_OK;
}

static llmcall_status make_lock(llmc_pool *pool, llmcall_error *error) {
    if (!llmc_mutex_init(&pool->mutex)) return llmc_fail_memory(error, "a lock");
    if (llmc_cond_init(&pool->cond)) return LLMCALL_OK;
    llmc_mutex_destroy(&pool->mutex);
    return llmc_fail_memory(error, "a lock");
}

static void free_pool(const llmc_env *env, llmc_pool *pool) {
    llmc_free_aligned(env, pool->threads);
    llmc_free_aligned(env, pool);
}

llmcall_status llmc_pool_create(const llmc_env *env, int32_t n_threads, llmc_pool **out, llmcall_error *error) {
    *out = NULL;
    if (n_threads < 1 || n_threads > LLMC_POOL_MAX_THREADS) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "threads", "%d compute threads asked for; 1 to %d are possible.",
                         (int)n_threads, LLMC_POOL_MAX_THREADS);
    }
    llmc_pool *pool = llmc_alloc_aligned(env, sizeof *pool, 64);
    if (!pool) return llmc_fail_memory(error, "the thread pool");
    *pool = (llmc_pool){.env = env, .n_threads = n_threads, .active = 1, .wanted = n_threads, .pause_ns = FIRST_PAUSE_NS / 2};
    pool->threads = llmc_alloc_aligned(env, (size_t)n_threads * sizeof *pool->threads, 64);
    llmcall_status status = pool->threads ? make_lock(pool, error) : llmc_fail_memory(error, "the thread pool");
    if (status != LLMCALL_OK) {
        free_pool(env, pool);
        return status;
    }
    if (n_threads <= llmc_cpu_count()) { /* else a spinning thread only keeps another from its core */
        pool->idle_spins = IDLE_SPINS;
        pool->barrier_spins = BARRIER_SPINS;
    }
    for (int32_t i = 0; i < n_threads; i++) pool->threads[i] = (pool_thread){.pool = pool, .index = i};
    status = start_workers(pool, error);
    if (status != LLMCALL_OK) {
        llmc_pool_destroy(pool);
        return status;
    }
    *out = pool;
    return LLMCALL_OK;
}

void llmc_pool_destroy(llmc_pool *pool) {
    if (!pool) return;
    start_job(pool, 0);
    for (int32_t i = 1; i <= pool->n_started; i++) llmc_thread_join(&pool->threads[i].handle);
    llmc_cond_destroy(&pool->cond);
    llmc_mutex_destroy(&pool->mutex);
    free_pool(pool->env, pool);
}

int32_t llmc_pool_threads(const llmc_pool *pool) {
    return pool->n_threads;
}

/* The other set was last used two loops ago, and a barrier has passed since: its owner may clear it for the next loop. */
llmc_pool_loop llmc_pool_loop_begin(llmc_pool *pool, int32_t thread, uint32_t n_units) {
    pool_thread *self = &pool->threads[thread];
    self->set ^= 1;
    atomic_store_explicit(&self->taken[self->set ^ 1], 0, memory_order_relaxed);
    return (llmc_pool_loop){.pool = pool, .n_units = n_units, .thread = thread, .set = self->set};
}

int llmc_pool_loop_next(llmc_pool_loop *loop, uint32_t *unit) {
    uint64_t n_threads = (uint64_t)loop->pool->active;
    for (; loop->offset < loop->pool->active; loop->offset++) {
        uint64_t owner = (uint64_t)(loop->thread + loop->offset) % n_threads;
        uint64_t begin = loop->n_units * owner / n_threads, end = loop->n_units * (owner + 1) / n_threads;
        atomic_uint *taken = &loop->pool->threads[owner].taken[loop->set];
        if (begin + atomic_load_explicit(taken, memory_order_relaxed) >= end) continue;
        uint64_t mine = begin + atomic_fetch_add_explicit(taken, 1, memory_order_relaxed);
        if (mine >= end) continue;
        *unit = (uint32_t)mine;
        return 1;
    }
    return 0;
}
