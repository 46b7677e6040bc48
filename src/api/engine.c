/* Entry points of the engine: open, load, estimate, step, close, and what it tells about itself. */
#include "api/api.h"

#include <string.h>

void llmcall_engine_options_defaults(llmcall_engine_options *options) {
    llmcall_init(options, sizeof *options);
    options->threads = LLMCALL_THREADS_AUTO;
}

void llmcall_model_options_defaults(llmcall_model_options *options) {
    llmcall_init(options, sizeof *options);
}

void llmcall_adapter_options_defaults(llmcall_adapter_options *options) {
    llmcall_init(options, sizeof *options);
}

/* Zero means the default; the rest must lie in its range. */
static llmcall_status default_or_range(uint32_t *value, uint32_t otherwise, uint32_t max, const char *name,
                                       llmcall_error *error) {
    if (*value == 0) *value = otherwise;
    if (*value > max) return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, name, "%s is %u; at most %u.", name, *value, max);
    return LLMCALL_OK;
}

static llmcall_status import_engine_options(const llmcall_engine_options *given, llmcall_engine_options *options,
                                            llmcall_hooks *hooks, llmcall_error *error) {
    llmcall_engine_options_defaults(options);
    llmcall_init(hooks, sizeof *hooks);
    llmcall_status status = given ? llmc_import(options, sizeof *options, given, "engine options", error) : LLMCALL_OK;
    if (!status && options->hooks) status = llmc_import(hooks, sizeof *hooks, options->hooks, "hooks", error);
    if (status) return status;
    options->hooks = hooks;
    if (options->device == LLMCALL_DEVICE_CUDA)
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, "device", "This build has no CUDA backend.");
    if (options->device != LLMCALL_DEVICE_CPU)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "device", "device is %d, which is none of LLMCALL_DEVICE_*.",
                         options->device);
    if (options->threads < LLMCALL_THREADS_AUTO || options->threads > 1024)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "threads", "threads is %d; it must lie between -1 and 1024.",
                         options->threads);
    if (options->threads == LLMCALL_THREADS_AUTO) options->threads = llmc_cpu_count();
    if (options->reserved) return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "reserved", "reserved must be 0.");
    if (options->disable_prefix_cache > 1)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "disable_prefix_cache",
                         "disable_prefix_cache is %u; it must be 0 or 1.", options->disable_prefix_cache);
    if (options->inexact > 1)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "inexact", "inexact is %u; it must be 0 or 1.", options->inexact);
    if (options->pin_threads > 1)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "pin_threads", "pin_threads is %u; it must be 0 or 1.",
                         options->pin_threads);
    status = default_or_range(&options->max_step_tokens, 512, 65536, "max_step_tokens", error);
    if (!status) status = default_or_range(&options->max_sequences, 64, 4096, "max_sequences", error);
    if (!status) status = default_or_range(&options->max_queue, 256, 1 << 20, "max_queue", error);
    if (!status) status = default_or_range(&options->max_choices, 16, 256, "max_choices", error);
    return status;
}

static llmcall_status missing(const char *name, llmcall_error *error) {
    return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, name, "%s is NULL.", name);
}

llmcall_status llmcall_engine_open(const llmcall_engine_options *given, llmcall_engine **engine, llmcall_error *error) {
    llmc_error_clear(error);
    if (!engine) return missing("engine", error);
    *engine = NULL;
    llmcall_engine_options options;
    llmcall_hooks hooks;
    llmcall_status status = import_engine_options(given, &options, &hooks, error);
    return status ? status : llmc_engine_create(&options, engine, error);
}

void llmcall_engine_close(llmcall_engine **engine) {
    if (engine) llmc_engine_shut(engine);
}

static llmcall_status check_prices(const llmcall_model_options *options, llmcall_error *error) {
    const struct {
        const char *name;
        int64_t price;
    } prices[] = {{"price_prompt", options->price_prompt},
                  {"price_cached", options->price_cached},
                  {"price_completion", options->price_completion}};
    for (size_t i = 0; i < sizeof prices / sizeof *prices; i++) {
        if (prices[i].price < 0)
            return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, prices[i].name, "%s is %lld; it must not be negative.",
                             prices[i].name, (long long)prices[i].price);
    }
    return LLMCALL_OK;
}

static llmcall_status check_source(const char *path, const llmcall_reader *readers, size_t n_readers, llmcall_error *error) {
    if ((path != NULL) + (readers != NULL) != 1)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "path", "Exactly one of path and readers must be set.");
    if (readers && (n_readers == 0 || n_readers > 65535))
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "n_readers", "n_readers is %zu; it must lie between 1 and 65535.",
                         n_readers);
    return LLMCALL_OK;
}

static llmcall_status import_model_options(const llmcall_model_options *given, llmcall_model_options *options,
                                           llmcall_error *error) {
    if (!given) return missing("options", error);
    llmcall_status status = llmc_import(options, sizeof *options, given, "model options", error);
    if (status) return status;
    status = check_source(options->path, options->readers, options->n_readers, error);
    if (status) return status;
    if (options->vocab_only > 1)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "vocab_only", "vocab_only is %u; it must be 0 or 1.",
                         options->vocab_only);
    if (options->kv_type < LLMCALL_KV_AUTO || options->kv_type > LLMCALL_KV_F32)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "kv_type", "kv_type is %d, which is none of LLMCALL_KV_*.",
                         options->kv_type);
    return check_prices(options, error);
}

/* engine->lock held: makes a loaded model findable. */
static llmcall_status add_runtime(llmcall_engine *engine, llmc_runtime *runtime, llmcall_error *error) {
    for (uint32_t i = 0; i < engine->n_runtimes; i++) {
        if (strcmp(engine->runtimes[i]->name, runtime->name) == 0)
            return llmc_fail(error, LLMCALL_E_ARGUMENT, "duplicate_model", "name",
                             "A model named \"%s\" is loaded already; give this one another name.", runtime->name);
    }
    if (engine->n_runtimes == LLMC_MAX_MODELS)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, "too_many_models", "name", "The engine holds %d models already.",
                         LLMC_MAX_MODELS);
    engine->runtimes[engine->n_runtimes++] = runtime;
    return LLMCALL_OK;
}

llmcall_status llmcall_engine_load(llmcall_engine *engine, const llmcall_model_options *given, llmcall_error *error) {
    llmc_error_clear(error);
    if (!engine) return missing("engine", error);
    llmcall_model_options options;
    llmcall_status status = import_model_options(given, &options, error);
    if (status) return status;
    llmc_runtime *runtime = NULL;
    llmc_engine_begin_load(engine);
    status = llmc_runtime_create(engine, &options, &runtime, error);
    if (!status) {
        llmc_mutex_lock(&engine->lock);
        status = add_runtime(engine, runtime, error);
        llmc_mutex_unlock(&engine->lock);
        if (status) llmc_runtime_destroy(engine, &runtime);
    }
    llmc_engine_end_load(engine);
    return status;
}

static llmcall_status import_adapter_options(const llmcall_adapter_options *given, llmcall_adapter_options *options,
                                             llmcall_error *error) {
    if (!given) return missing("options", error);
    llmcall_status status = llmc_import(options, sizeof *options, given, "adapter options", error);
    if (status) return status;
    return check_source(options->path, options->readers, options->n_readers, error);
}

llmcall_status llmcall_engine_load_adapter(llmcall_engine *engine, const llmcall_adapter_options *given, llmcall_error *error) {
    llmc_error_clear(error);
    if (!engine) return missing("engine", error);
    llmcall_adapter_options options;
    llmcall_status status = import_adapter_options(given, &options, error);
    if (status) return status;
    llmc_engine_begin_load(engine);
    status = llmc_adapter_add(engine, &options, error);
    llmc_engine_end_load(engine);
    return status;
}

llmcall_status llmcall_engine_unload_adapter(llmcall_engine *engine, const char *model, const char *name,
                                             llmcall_error *error) {
    llmc_error_clear(error);
    if (!engine || !name) return missing(engine ? "name" : "engine", error);
    llmc_engine_begin_load(engine);
    llmcall_status status = llmc_adapter_unload(engine, model, name, error);
    llmc_engine_end_load(engine);
    return status;
}

llmcall_status llmcall_estimate(const llmcall_engine_options *engine_options, const llmcall_model_options *given,
                                llmcall_memory *memory, llmcall_error *error) {
    llmc_error_clear(error);
    if (!memory) return missing("memory", error);
    llmcall_engine_options engine;
    llmcall_hooks hooks;
    llmcall_model_options options;
    llmcall_status status = import_engine_options(engine_options, &engine, &hooks, error);
    if (!status) status = import_model_options(given, &options, error);
    if (status) return status;
    llmc_env env;
    llmc_env_init(&env, &engine);
    llmc_backend *backend;
    /* Scratch is a thread's own: what it takes depends on how many there are. */
    status = llmc_cpu_backend_create(&env, engine.threads > 0 ? engine.threads : 1, NULL, &backend, error);
    if (status) return status;
    if (engine.inexact) status = llmc_cpu_backend_inexact(backend, NULL, error);
    if (status) {
        backend->call->destroy(backend);
        return status;
    }
    llmc_model_limits limits = {.max_step_tokens = engine.max_step_tokens,
                                .max_outputs = llmc_runtime_max_outputs(&engine),
                                .max_sequences = engine.max_sequences};
    llmcall_memory result;
    llmcall_init(&result, sizeof result);
    status = llmc_model_estimate(&env, backend, &options, &limits, &result, error);
    backend->call->destroy(backend);
    if (!status) llmc_export(memory, &result, sizeof result);
    return status;
}

llmcall_status llmcall_engine_step(llmcall_engine *engine, int32_t *busy, llmcall_error *error) {
    llmc_error_clear(error);
    return engine ? llmc_engine_step(engine, busy, error) : missing("engine", error);
}

llmcall_status llmcall_model_info(llmcall_engine *engine, const char *model, llmcall_model_info_record *info,
                                  llmcall_error *error) {
    llmc_error_clear(error);
    if (!engine || !info) return missing(engine ? "info" : "engine", error);
    const llmc_runtime *runtime = llmc_runtime_find(engine, model, error);
    if (!runtime) return LLMCALL_E_NOT_FOUND;
    const llmc_model_shape *shape = llmc_model_shape_of(runtime->model);
    const llmc_tokenizer *tokenizer = llmc_model_tokenizer(runtime->model);
    llmcall_model_info_record record;
    llmcall_init(&record, sizeof record);
    record.vocab_size = shape->n_vocab;
    record.context_length = runtime->context_length;
    record.n_layers = shape->n_layers;
    record.width = shape->width;
    record.n_heads = shape->n_heads;
    record.n_kv_heads = shape->n_kv_heads;
    record.head_dim = shape->head_dim;
    record.bos_token = tokenizer ? llmc_tokenizer_special(tokenizer, LLMC_SPECIAL_BOS) : -1;
    record.eos_token = tokenizer ? llmc_tokenizer_special(tokenizer, LLMC_SPECIAL_EOS) : -1;
    memcpy(record.name, runtime->name, sizeof record.name);
    memcpy(record.architecture, shape->architecture, sizeof record.architecture);
    memcpy(record.quantization, shape->quantization, sizeof record.quantization);
    record.memory = *llmc_model_memory(runtime->model);
    record.pooling = shape->pooling;
    record.causal = shape->causal != 0;
    record.ranks = shape->ranks != 0;
    llmc_mutex_lock(&engine->lock);
    llmc_adapters_count(runtime, &record.n_adapters, &record.adapter_bytes);
    llmc_mutex_unlock(&engine->lock);
    llmc_export(info, &record, sizeof record);
    return LLMCALL_OK;
}

llmcall_status llmcall_device_info(llmcall_engine *engine, llmcall_device_info_record *info, llmcall_error *error) {
    llmc_error_clear(error);
    if (!engine || !info) return missing(engine ? "info" : "engine", error);
    const llmc_backend_functions *call = engine->backend->call;
    llmcall_device_info_record record;
    llmcall_init(&record, sizeof record);
    record.device = engine->options.device;
    record.threads = call->threads(engine->backend);
    strncpy(record.name, call->name, sizeof record.name - 1);
    strncpy(record.tier, call->tier(engine->backend), sizeof record.tier - 1);
    llmc_export(info, &record, sizeof record);
    return LLMCALL_OK;
}

/* engine->lock held. */
static void add_runtime_metrics(const llmc_runtime *runtime, llmcall_metrics_snapshot *metrics) {
    uint32_t waiting, running, total, used, cached;
    uint64_t preemptions;
    if (!runtime->sched) return;
    llmc_sched_stats(runtime->sched, &waiting, &running, NULL, &preemptions);
    llmc_kv_stats(runtime->kv, &total, &used, &cached);
    metrics->waiting += waiting;
    metrics->running += running;
    metrics->preemptions += preemptions;
    metrics->kv_pages += total;
    metrics->kv_pages_used += used;
    metrics->kv_pages_cached += cached;
    metrics->states += llmc_kv_states_total(runtime->kv);
    metrics->states_cached += llmc_kv_states_kept(runtime->kv);
    metrics->states_used +=
        llmc_kv_states_total(runtime->kv) - llmc_kv_states_kept(runtime->kv) - llmc_kv_states_free(runtime->kv);
}

llmcall_status llmcall_metrics(llmcall_engine *engine, llmcall_metrics_snapshot *metrics, llmcall_error *error) {
    llmc_error_clear(error);
    if (!engine || !metrics) return missing(engine ? "metrics" : "engine", error);
    llmc_mutex_lock(&engine->lock);
    llmcall_metrics_snapshot snapshot = engine->metrics;
    for (uint32_t i = 0; i < engine->n_runtimes; i++) add_runtime_metrics(engine->runtimes[i], &snapshot);
    llmc_mutex_unlock(&engine->lock);
    snapshot.usage_pending = llmc_ledger_pending(engine->ledger);
    llmc_export(metrics, &snapshot, sizeof snapshot);
    return LLMCALL_OK;
}
