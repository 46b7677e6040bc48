/* LoRA adapters by name, for requests to choose from: loaded and unloaded while calls run. A call holds its adapter from
 * llmcall_start to its last step. */
#include "engine/engine.h"

#include <string.h>

#include "core/utf8.h"

/* engine->lock held. */
static llmc_runtime_adapter *find(const llmc_runtime *runtime, const char *name) {
    for (uint32_t i = 0; i < runtime->n_adapters; i++) {
        if (!runtime->adapters[i]->unloaded && strcmp(runtime->adapters[i]->name, name) == 0) return runtime->adapters[i];
    }
    return NULL;
}

static llmcall_status fail_unknown(const llmc_runtime *runtime, const char *name, const char *param, llmcall_error *error) {
    return llmc_fail(error, LLMCALL_E_NOT_FOUND, "adapter_not_found", param, "No adapter named \"%.64s\" is loaded for %s.",
                     name, runtime->name);
}

/* ---- Loading --------------------------------------------------------------------------------------------------------------- */

static llmcall_status set_name(llmc_runtime_adapter *adapter, const char *name, llmcall_error *error) {
    if (!name) name = llmc_adapter_name(adapter->adapter);
    size_t size = strnlen(name, sizeof adapter->name);
    if (size == 0 || size == sizeof adapter->name || llmc_utf8_valid_prefix(name, size) != size) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "name",
                         "The adapter needs a name, UTF-8 text of 1 to %zu bytes; the file's, if it has one, serves too.",
                         sizeof adapter->name - 1);
    }
    memcpy(adapter->name, name, size + 1);
    return LLMCALL_OK;
}

/* engine->lock held: makes it findable. */
static llmcall_status add(llmcall_engine *engine, llmc_runtime *runtime, llmc_runtime_adapter *adapter, llmcall_error *error) {
    if (find(runtime, adapter->name)) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, "duplicate_adapter", "name",
                         "An adapter named \"%s\" is loaded already; give this one another name.", adapter->name);
    }
    if (runtime->n_adapters == LLMC_MAX_ADAPTERS || engine->last_adapter_id == UINT32_MAX) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, "too_many_adapters", "name", "The model has %d adapters already.",
                         LLMC_MAX_ADAPTERS);
    }
    adapter->id = ++engine->last_adapter_id;
    runtime->adapters[runtime->n_adapters++] = adapter;
    return LLMCALL_OK;
}

llmcall_status llmc_adapter_add(llmcall_engine *engine, const llmcall_adapter_options *options, llmcall_error *error) {
    llmc_runtime *runtime = llmc_runtime_find(engine, options->model, error);
    if (!runtime) return LLMCALL_E_NOT_FOUND;
    llmc_runtime_adapter *adapter = llmc_zalloc(&engine->env, sizeof *adapter);
    if (!adapter) return llmc_fail_memory(error, "the adapter");
    llmcall_status status = llmc_model_load_adapter(runtime->model, options, &adapter->adapter, error);
    if (!status) status = set_name(adapter, options->name, error);
    llmc_mutex_lock(&engine->lock);
    llmc_adapters_sweep(engine);
    if (!status) status = add(engine, runtime, adapter, error);
    llmc_mutex_unlock(&engine->lock);
    if (!status) return LLMCALL_OK;
    llmc_adapter_destroy(&adapter->adapter);
    llmc_free(&engine->env, adapter);
    return status;
}

llmcall_status llmc_adapter_unload(llmcall_engine *engine, const char *model, const char *name, llmcall_error *error) {
    llmc_runtime *runtime = llmc_runtime_find(engine, model, error);
    if (!runtime) return LLMCALL_E_NOT_FOUND;
    llmc_mutex_lock(&engine->lock);
    llmc_runtime_adapter *adapter = find(runtime, name);
    if (adapter) adapter->unloaded = 1;
    llmc_adapters_sweep(engine);
    llmc_mutex_unlock(&engine->lock);
    return adapter ? LLMCALL_OK : fail_unknown(runtime, name, "name", error);
}

static void sweep_runtime(llmcall_engine *engine, llmc_runtime *runtime) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < runtime->n_adapters; i++) {
        llmc_runtime_adapter *adapter = runtime->adapters[i];
        if (!adapter->unloaded || adapter->n_calls > 0) {
            runtime->adapters[kept++] = adapter;
            continue;
        }
        llmc_adapter_destroy(&adapter->adapter);
        llmc_free(&engine->env, adapter);
    }
    runtime->n_adapters = kept;
}

void llmc_adapters_sweep(llmcall_engine *engine) {
    for (uint32_t i = 0; i < engine->n_runtimes; i++) sweep_runtime(engine, engine->runtimes[i]);
}

void llmc_adapters_count(const llmc_runtime *runtime, uint32_t *n, uint64_t *bytes) {
    *n = runtime->n_adapters;
    *bytes = 0;
    for (uint32_t i = 0; i < *n; i++) *bytes += llmc_adapter_bytes(runtime->adapters[i]->adapter);
}

/* ---- Use ------------------------------------------------------------------------------------------------------------------- */

llmcall_status llmc_adapter_use(llmcall_call *call, const char *name, float scale, llmcall_error *error) {
    llmcall_engine *engine = call->engine;
    llmc_mutex_lock(&engine->lock);
    llmc_runtime_adapter *adapter = find(call->runtime, name);
    if (adapter) {
        adapter->n_calls++;
        memcpy(call->record.adapter, adapter->name, sizeof call->record.adapter);
    }
    call->adapter = adapter;
    call->adapter_scale = scale;
    llmc_mutex_unlock(&engine->lock);
    return adapter ? LLMCALL_OK : fail_unknown(call->runtime, name, "adapter", error);
}

void llmc_adapter_share(llmcall_call *call, const llmcall_call *whole) {
    llmc_mutex_lock(&call->engine->lock);
    call->adapter = whole->adapter;
    call->adapter_scale = whole->adapter_scale;
    if (call->adapter) call->adapter->n_calls++;
    llmc_mutex_unlock(&call->engine->lock);
}

void llmc_adapter_drop(llmcall_call *call) {
    llmc_runtime_adapter *adapter = call->adapter;
    call->adapter = NULL;
    if (!adapter || --adapter->n_calls > 0 || !adapter->unloaded) return;
    call->engine->woken = 1; /* the next round frees it */
    llmc_cond_signal(&call->engine->work);
}

uint64_t llmc_adapter_key(const llmcall_call *call) {
    uint32_t scale;
    if (!call->adapter) return 0;
    memcpy(&scale, &call->adapter_scale, sizeof scale);
    return (uint64_t)call->adapter->id << 32 | scale;
}
