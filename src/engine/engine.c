/* An engine's life: its threads, its locks, and the order in which they go. What a step does stands in step.c. */
#include "engine/engine.h"

#include <string.h>

static void engine_free(llmcall_engine *engine);
static void engine_run(void *argument);

static int make_locks(llmcall_engine *engine) {
    return llmc_mutex_init(&engine->lock) && ++engine->n_locks && llmc_cond_init(&engine->work) && ++engine->n_locks &&
           llmc_cond_init(&engine->turn) && ++engine->n_locks && llmc_mutex_init(&engine->delivery.lock) && ++engine->n_locks &&
           llmc_cond_init(&engine->delivery.work) && ++engine->n_locks;
}

static void destroy_locks(llmcall_engine *engine) {
    int n = engine->n_locks;
    if (n > 4) llmc_cond_destroy(&engine->delivery.work);
    if (n > 3) llmc_mutex_destroy(&engine->delivery.lock);
    if (n > 2) llmc_cond_destroy(&engine->turn);
    if (n > 1) llmc_cond_destroy(&engine->work);
    if (n > 0) llmc_mutex_destroy(&engine->lock);
}

static llmcall_status start_threads(llmcall_engine *engine, llmcall_error *error) {
    if (engine->options.threads == 0) return LLMCALL_OK;
    engine->engine_thread_runs = llmc_thread_start(&engine->engine_thread, engine_run, engine, "llmc-engine");
    engine->delivery_thread_runs =
        engine->engine_thread_runs && llmc_thread_start(&engine->delivery_thread, llmc_deliver_thread, engine, "llmc-deliver");
    if (engine->delivery_thread_runs) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_NO_MEMORY, "no_threads", "threads", "The system refused to start the engine's threads.");
}

llmcall_status llmc_engine_create(const llmcall_engine_options *options, llmcall_engine **out, llmcall_error *error) {
    *out = NULL;
    llmc_env env;
    llmc_env_init(&env, options);
    llmcall_engine *engine = llmc_zalloc(&env, sizeof *engine);
    if (!engine) return llmc_fail_memory(error, "the engine");
    engine->env = env;
    engine->options = *options;
    if (options->hooks) engine->hooks = *options->hooks;
    engine->options.hooks = &engine->hooks;
    atomic_init(&engine->references, 1);

    llmcall_status status = LLMCALL_OK;
    if (!make_locks(engine)) status = llmc_fail_memory(error, "the engine's locks");
    int32_t compute_threads = options->threads > 0 ? options->threads : 1;
    if (!status) status = llmc_cpu_backend_create(&engine->env, compute_threads, NULL, &engine->backend, error);
    if (!status && options->pin_threads) status = llmc_cpu_backend_pin(engine->backend, error);
    if (!status && options->inexact) status = llmc_cpu_backend_inexact(engine->backend, NULL, error);
    if (!status) status = llmc_ledger_create(&engine->env, engine->hooks.usage, engine->hooks.user, 0, &engine->ledger, error);
    if (!status) status = start_threads(engine, error);
    if (status) {
        llmc_engine_shut(&engine);
        return status;
    }
    *out = engine;
    return LLMCALL_OK;
}

/* Tells a thread to end, by its own lock, and waits for it. */
static void stop_thread(llmc_mutex *lock, llmc_cond *work, int *closing, int runs, llmc_thread *thread) {
    llmc_mutex_lock(lock);
    *closing = 1;
    llmc_cond_broadcast(work);
    llmc_mutex_unlock(lock);
    if (runs) llmc_thread_join(thread);
}

/* Ends every call, once no other thread (of a llmcall_score with threads = 0) is in a step or a delivery. */
static void end_calls(llmcall_engine *engine) {
    llmc_mutex_lock(&engine->lock);
    while (engine->stepping || engine->delivering) (void)llmc_cond_wait(&engine->turn, &engine->lock, -1);
    llmc_step_reap(engine);
    llmc_mutex_unlock(&engine->lock);
}

void llmc_engine_shut(llmcall_engine **handle) {
    llmcall_engine *engine = *handle;
    *handle = NULL;
    if (!engine) return;
    if (engine->n_locks == 5) {
        stop_thread(&engine->lock, &engine->work, &engine->closing, engine->engine_thread_runs, &engine->engine_thread);
        end_calls(engine);
        stop_thread(&engine->delivery.lock, &engine->delivery.work, &engine->delivery.closing, engine->delivery_thread_runs,
                    &engine->delivery_thread);
        int64_t wait_ns;
        if (engine->ledger) {
            llmc_deliver_all(engine, &wait_ns);
            llmc_ledger_deliver_all(engine->ledger, llmc_now(&engine->env));
        }
    }
    llmc_engine_release(engine);
}

void llmc_engine_release(llmcall_engine *engine) {
    if (atomic_fetch_sub_explicit(&engine->references, 1, memory_order_acq_rel) == 1) engine_free(engine);
}

static void engine_free(llmcall_engine *engine) {
    llmc_env env = engine->env;
    for (uint32_t i = 0; i < engine->n_runtimes; i++) llmc_runtime_destroy(engine, &engine->runtimes[i]);
    llmc_ledger_destroy(&engine->ledger);
    if (engine->backend) engine->backend->call->destroy(engine->backend);
    destroy_locks(engine);
    llmc_free(&env, engine);
}

/* ---- Turns ---- */

void llmc_engine_wake(llmcall_engine *engine) {
    llmc_mutex_lock(&engine->lock);
    engine->woken = 1;
    llmc_cond_signal(&engine->work);
    llmc_mutex_unlock(&engine->lock);
}

void llmc_engine_begin_load(llmcall_engine *engine) {
    llmc_mutex_lock(&engine->lock);
    engine->loads_waiting++;
    while (engine->stepping || engine->loading) (void)llmc_cond_wait(&engine->turn, &engine->lock, -1);
    engine->loads_waiting--;
    engine->loading = 1;
    llmc_mutex_unlock(&engine->lock);
}

void llmc_engine_end_load(llmcall_engine *engine) {
    llmc_mutex_lock(&engine->lock);
    engine->loading = 0;
    engine->woken = 1;
    llmc_cond_broadcast(&engine->turn);
    llmc_cond_signal(&engine->work);
    llmc_mutex_unlock(&engine->lock);
}

/* Ends what is over, which a load does not hinder. Then 1, with the number of models, if it is a step's turn. */
static int begin_round(llmcall_engine *engine, uint32_t *n_runtimes) {
    llmc_mutex_lock(&engine->lock);
    while (engine->stepping) (void)llmc_cond_wait(&engine->turn, &engine->lock, -1);
    engine->woken = 0;
    llmc_step_reap(engine);
    int wait = engine->loading || engine->loads_waiting;
    /* A caller who drives the engine would else spin until the load is done; a load's progress callback may be that caller. */
    if (wait && engine->options.threads == 0) (void)llmc_cond_wait(&engine->turn, &engine->lock, 1000000);
    else if (!wait) engine->stepping = 1;
    if (!wait) llmc_adapters_sweep(engine);
    *n_runtimes = engine->n_runtimes;
    llmc_mutex_unlock(&engine->lock);
    return !wait;
}

/* One round over all models. 1 if anything was computed. */
static int run_round(llmcall_engine *engine) {
    uint32_t n;
    if (!begin_round(engine, &n)) return 0;
    int64_t start_ns = llmc_now(&engine->env);
    int computed = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (engine->runtimes[i]->sched) computed |= llmc_step_runtime(engine, engine->runtimes[i]);
    }
    llmc_mutex_lock(&engine->lock);
    engine->stepping = 0;
    llmc_cond_broadcast(&engine->turn);
    if (computed) {
        engine->metrics.steps++;
        engine->metrics.busy_ns += llmc_now(&engine->env) - start_ns;
    }
    llmc_mutex_unlock(&engine->lock);
    return computed;
}

/* engine->lock held: how long nothing can happen by itself. Half a second is the net below an application's clock, which may
 * run faster than the system's. */
static int64_t sleep_ns(llmcall_engine *engine) {
    if (!engine->calls) return -1;
    int64_t now_ns = llmc_now(&engine->env), sleep = 500000000;
    for (const llmcall_call *call = engine->calls; call; call = call->next) {
        if (!call->group->deadline_ns) continue;
        int64_t left_ns = call->group->deadline_ns > now_ns ? call->group->deadline_ns - now_ns : 0;
        if (left_ns < sleep) sleep = left_ns;
    }
    return sleep;
}

static void engine_run(void *argument) {
    llmcall_engine *engine = argument;
    if (engine->options.pin_threads) llmc_thread_pin(0); /* the backend has seen that there are enough */
    for (int closing = 0; !closing;) {
        int computed = run_round(engine);
        llmc_mutex_lock(&engine->lock);
        while (!computed && !engine->closing && !engine->woken) {
            if (!llmc_cond_wait(&engine->work, &engine->lock, sleep_ns(engine))) break;
        }
        closing = engine->closing;
        llmc_mutex_unlock(&engine->lock);
    }
}

/* Deliveries of an engine without threads, by one thread at a time; the others leave them to it. */
static int64_t deliver_here(llmcall_engine *engine) {
    llmc_mutex_lock(&engine->lock);
    int busy = engine->delivering;
    engine->delivering = 1;
    llmc_mutex_unlock(&engine->lock);
    if (busy) return -1;
    int64_t wait_ns;
    llmc_deliver_all(engine, &wait_ns);
    llmc_mutex_lock(&engine->lock);
    engine->delivering = 0;
    llmc_cond_broadcast(&engine->turn);
    llmc_mutex_unlock(&engine->lock);
    return wait_ns;
}

llmcall_status llmc_engine_step(llmcall_engine *engine, int32_t *busy, llmcall_error *error) {
    if (busy) *busy = 0;
    if (engine->options.threads != 0)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "threads", "This engine has threads of its own and steps by itself.");
    run_round(engine);
    int64_t wait_ns = deliver_here(engine);
    if (!busy) return LLMCALL_OK;
    llmc_mutex_lock(&engine->lock);
    *busy = engine->calls != NULL || wait_ns == 0;
    llmc_mutex_unlock(&engine->lock);
    return LLMCALL_OK;
}
