/* A model as the engine serves it: weights, cache, queue, compiled template, and the arrays of a step. */
#include "engine/engine.h"

#include <string.h>

static const char *special_text(const llmc_tokenizer *tokenizer, llmc_special kind) {
    if (!tokenizer) return "";
    size_t size;
    return llmc_tokenizer_name(tokenizer, llmc_tokenizer_special(tokenizer, kind), &size);
}

/* A template that does not compile does not keep the model from serving prompts; whoever asks for it gets the error. */
static llmcall_status compile_template(llmcall_engine *engine, llmc_runtime *runtime) {
    const llmc_tokenizer *tokenizer = llmc_model_tokenizer(runtime->model);
    runtime->bos_text = special_text(tokenizer, LLMC_SPECIAL_BOS);
    runtime->eos_text = special_text(tokenizer, LLMC_SPECIAL_EOS);
    llmcall_init(&runtime->template_error, sizeof runtime->template_error);
    const char *text = llmc_model_chat_template(runtime->model);
    if (!text) {
        llmc_fail(&runtime->template_error, LLMCALL_E_TEMPLATE, "no_chat_template", "chat_template",
                  "The model has no chat template; load it with one, or send a prompt.");
        return LLMCALL_OK;
    }
    llmcall_status status =
        llmc_template_compile(&engine->env, text, strlen(text), &runtime->chat_template, &runtime->template_error);
    if (status == LLMCALL_E_NO_MEMORY) return status;
    if (status)
        llmc_log(&engine->env, LLMCALL_LOG_WARN, "chat template of %s: %s", runtime->name, runtime->template_error.message);
    return LLMCALL_OK;
}

static llmcall_status make_scheduler(llmcall_engine *engine, llmc_runtime *runtime, llmcall_error *error) {
    const llmcall_engine_options *options = &engine->options;
    llmcall_status status =
        llmc_kv_create(&engine->env, llmc_model_kv_pages(runtime->model), !options->disable_prefix_cache, &runtime->kv, error);
    uint32_t n_states = llmc_model_states(runtime->model);
    if (!status && n_states > 0) status = llmc_kv_add_states(runtime->kv, n_states, error);
    uint32_t n_slots = llmc_model_window_pages(runtime->model);
    if (!status && n_slots > 0) status = llmc_kv_add_windows(runtime->kv, n_slots, error);
    if (status) return status;
    llmc_sched_options sched = {.max_step_tokens = runtime->max_step_tokens,
                                .max_sequences = options->max_sequences,
                                .max_queue = options->max_queue,
                                .max_outputs = runtime->max_outputs,
                                .window = llmc_model_window(runtime->model),
                                .context_length = runtime->context_length};
    return llmc_sched_create(&engine->env, &sched, runtime->kv, &runtime->sched, error);
}

static llmcall_status make_step_arrays(llmcall_engine *engine, llmc_runtime *runtime, llmcall_error *error) {
    const llmc_env *env = &engine->env;
    size_t n = runtime->max_step_tokens;
    runtime->tokens = llmc_alloc_array(env, n, sizeof *runtime->tokens);
    runtime->positions = llmc_alloc_array(env, n, sizeof *runtime->positions);
    runtime->types = llmc_alloc_array(env, n, sizeof *runtime->types);
    runtime->segments = llmc_alloc_array(env, n, sizeof *runtime->segments);
    runtime->advances = llmc_alloc_array(env, n, sizeof *runtime->advances);
    runtime->output_rows = llmc_alloc_array(env, runtime->max_outputs, sizeof *runtime->output_rows);
    if (!runtime->tokens || !runtime->positions || !runtime->types || !runtime->segments || !runtime->advances ||
        !runtime->output_rows)
        return llmc_fail_memory(error, "the step's arrays");
    return LLMCALL_OK;
}

uint32_t llmc_runtime_max_outputs(const llmcall_engine_options *options) {
    uint32_t n = options->max_sequences > LLMC_SCHED_DRAFT_ROWS ? options->max_sequences : LLMC_SCHED_DRAFT_ROWS;
    return n < options->max_step_tokens ? n : options->max_step_tokens;
}

llmcall_status llmc_runtime_create(llmcall_engine *engine, const llmcall_model_options *options, llmc_runtime **out,
                                   llmcall_error *error) {
    *out = NULL;
    llmc_runtime *runtime = llmc_zalloc(&engine->env, sizeof *runtime);
    if (!runtime) return llmc_fail_memory(error, "the model");
    runtime->max_step_tokens = engine->options.max_step_tokens;
    runtime->max_outputs = llmc_runtime_max_outputs(&engine->options);
    runtime->prices = (llmc_prices){options->price_prompt, options->price_cached, options->price_completion};
    llmc_model_limits limits = {.max_step_tokens = runtime->max_step_tokens,
                                .max_outputs = runtime->max_outputs,
                                .max_sequences = engine->options.max_sequences};
    llmcall_status status = llmc_model_load(&engine->env, engine->backend, options, &limits, &runtime->model, error);
    if (!status) {
        const llmc_model_shape *shape = llmc_model_shape_of(runtime->model);
        memcpy(runtime->name, shape->name, sizeof runtime->name);
        runtime->context_length = shape->max_context;
        if (!options->vocab_only) runtime->max_step_tokens = shape->max_step_tokens;
        status = compile_template(engine, runtime);
        if (status) llmc_fail_memory(error, "the chat template");
    }
    if (!status && !options->vocab_only) status = make_scheduler(engine, runtime, error);
    if (!status && !options->vocab_only) status = make_step_arrays(engine, runtime, error);
    if (status) llmc_runtime_destroy(engine, &runtime);
    *out = runtime;
    return status;
}

void llmc_runtime_destroy(llmcall_engine *engine, llmc_runtime **handle) {
    llmc_runtime *runtime = *handle;
    *handle = NULL;
    if (!runtime) return;
    const llmc_env *env = &engine->env;
    llmc_sched_destroy(&runtime->sched);
    llmc_kv_destroy(&runtime->kv);
    llmc_template_destroy(&runtime->chat_template);
    for (uint32_t i = 0; i < runtime->n_adapters; i++) {
        llmc_adapter_destroy(&runtime->adapters[i]->adapter);
        llmc_free(env, runtime->adapters[i]);
    }
    llmc_model_destroy(&runtime->model);
    llmc_free(env, runtime->tokens);
    llmc_free(env, runtime->positions);
    llmc_free(env, runtime->types);
    llmc_free(env, runtime->segments);
    llmc_free(env, runtime->advances);
    llmc_free(env, runtime->output_rows);
    llmc_free(env, runtime);
}

llmc_runtime *llmc_runtime_find(llmcall_engine *engine, const char *name, llmcall_error *error) {
    llmc_runtime *found = NULL;
    llmc_mutex_lock(&engine->lock);
    for (uint32_t i = 0; i < engine->n_runtimes && !found; i++) {
        if (!name || !*name || strcmp(name, engine->runtimes[i]->name) == 0) found = engine->runtimes[i];
    }
    llmc_mutex_unlock(&engine->lock);
    if (!found && (!name || !*name))
        llmc_fail(error, LLMCALL_E_NOT_FOUND, "no_model", "model", "No model is loaded in this engine.");
    else if (!found)
        llmc_fail(error, LLMCALL_E_NOT_FOUND, "model_not_found", "model", "No model named \"%.64s\" is loaded.", name);
    return found;
}
