/* llmcall_start: stages 1 to 7 on the caller's thread, in their order, then the queue. */
#include "api/api.h"

#include <string.h>

#include "gateway/gateway.h"
#include "route/route.h"

enum { BILL_RETRY_MS = 1000 };

typedef llmc_start start;

void llmcall_request_defaults(llmcall_request *request) {
    llmcall_init(request, sizeof *request);
    request->n = 1;
    request->temperature = 1;
    request->top_p = 1;
    request->repetition_penalty = 1;
}

static void enter(start *s, int32_t stage) {
    llmc_timeline_begin(&s->call->timeline, stage, llmc_now(&s->engine->env));
}

static void leave(start *s, int32_t stage) {
    llmc_timeline_end(&s->call->timeline, stage, llmc_now(&s->engine->env));
}

llmcall_status llmc_start_import(start *s, const llmcall_request *given) {
    llmcall_status status = llmc_import(&s->request, sizeof s->request, given, "request", s->error);
    if (status) return status;
    llmcall_request *request = &s->request;
    if (request->n == 0) request->n = 1;
    if (request->top_p == 0) request->top_p = 1;
    if (request->repetition_penalty == 0) request->repetition_penalty = 1;
    if (!request->model) request->model = "";
    if (!request->caller) return LLMCALL_OK;
    status = llmc_import(&s->caller_copy, sizeof s->caller_copy, request->caller, "caller", s->error);
    s->caller = &s->caller_copy;
    return status ? status : llmc_check_caller(s->caller, s->error);
}

/* What lies before the call begins: the distance, and the server that took the request. */
static void note_arrival(start *s) {
    llmcall_call *call = s->call;
    int64_t floor_ns = s->caller ? llmc_route_network_ns(s->caller->distance_km) : 0;
    int64_t http_ns = s->caller ? s->caller->http_ns : 0;
    int64_t now_ns = call->timeline.origin_ns;
    llmc_timeline_add(&call->timeline, LLMCALL_STAGE_NETWORK, now_ns - http_ns - floor_ns, now_ns - http_ns, floor_ns);
    llmc_timeline_add(&call->timeline, LLMCALL_STAGE_HTTP, now_ns - http_ns, now_ns, http_ns);
    const char *trace = s->caller ? s->caller->trace_id : NULL;
    size_t size = !trace ? 0 : s->caller->trace_id_size < 0 ? strlen(trace) : (size_t)s->caller->trace_id_size;
    if (!trace || !llmc_meter_trace_id_parse(trace, size, call->record.trace_id)) llmc_meter_trace_id(call->record.trace_id);
}

/* The place for the bill comes first: after admission nothing may keep the record from being delivered. */
static llmcall_status reserve_bill(start *s) {
    llmcall_status status = llmc_ledger_reserve(s->engine->ledger, &s->call->slot, s->error);
    if (status == LLMCALL_E_QUEUE_FULL) s->error->retry_after_ms = BILL_RETRY_MS;
    return status;
}

static llmcall_status admit(start *s) {
    llmcall_admit_request request;
    llmcall_init(&request, sizeof request);
    request.caller = s->caller;
    request.model = s->request.model;
    request.now_ns = llmc_now(&s->engine->env);
    llmc_mutex_lock(&s->engine->lock);
    request.running = s->engine->metrics.calls_started - s->engine->metrics.calls_finished;
    llmc_mutex_unlock(&s->engine->lock);
    enter(s, LLMCALL_STAGE_AUTH);
    llmcall_status status = llmc_gateway_admit(&s->engine->env, &s->engine->hooks, &request, &s->admission, s->error);
    leave(s, LLMCALL_STAGE_AUTH);
    if (status) return status;
    s->admitted = 1;
    memcpy(s->call->record.tenant, s->admission.tenant, sizeof s->call->record.tenant);
    return LLMCALL_OK;
}

static void apply_limits(start *s) {
    enter(s, LLMCALL_STAGE_LIMITS);
    int64_t limit = s->admission.max_tokens_limit;
    if (limit > 0 && (s->request.max_tokens == 0 || s->request.max_tokens > limit)) s->request.max_tokens = limit;
    leave(s, LLMCALL_STAGE_LIMITS);
}

static llmcall_status validate(start *s) {
    enter(s, LLMCALL_STAGE_VALIDATE);
    llmcall_status status = llmc_check_request(s->engine, &s->request, s->error);
    leave(s, LLMCALL_STAGE_VALIDATE);
    return status;
}

static void describe_candidate(const llmc_runtime *runtime, int32_t index, llmcall_candidate *candidate) {
    uint32_t waiting, running;
    llmc_sched_stats(runtime->sched, &waiting, &running, NULL, NULL);
    llmcall_init(candidate, sizeof *candidate);
    candidate->index = index;
    candidate->model = runtime->name;
    candidate->waiting = waiting;
    candidate->running = running;
    candidate->kv_free_tokens = (uint64_t)llmc_kv_available(runtime->kv) * LLMC_KV_PAGE_TOKENS;
    candidate->context_length = runtime->context_length;
    candidate->price_prompt = runtime->prices.prompt;
    candidate->price_completion = runtime->prices.completion;
}

/* What a model cannot do at all. */
static int can_serve(llmc_use use, const llmc_runtime *runtime) {
    const llmc_model_shape *shape = llmc_model_shape_of(runtime->model);
    if (!runtime->sched) return 0;
    return use == LLMC_USE_EMBED || (use == LLMC_USE_RANK ? shape->ranks : shape->causal); /* what has logits is causal */
}

/* Made for embeddings, as its file says. */
static int is_embedder(const llmc_runtime *runtime) {
    const llmc_model_shape *shape = llmc_model_shape_of(runtime->model);
    return runtime->sched && (shape->pooling != LLMCALL_POOLING_AUTO || (!shape->causal && !shape->ranks));
}

/* A model that was asked for by name, or the only one, and cannot do it. */
static llmcall_status check_use(const start *s, uint32_t n_candidates) {
    const char *name = s->request.model;
    const llmc_runtime *runtime = name[0] || n_candidates == 0 ? llmc_runtime_find(s->engine, name, NULL) : NULL;
    if (!runtime || can_serve(s->use, runtime)) return LLMCALL_OK;
    if (!runtime->sched)
        return llmc_fail(s->error, LLMCALL_E_UNSUPPORTED, "no_weights", "model",
                         "%s was loaded with vocab_only: it has no weights to compute with.", runtime->name);
    if (s->use == LLMC_USE_RANK)
        return llmc_fail(s->error, LLMCALL_E_UNSUPPORTED, "no_rank_head", "model",
                         "%s has no head that ranks documents (cls.output.weight in its file).", runtime->name);
    return llmc_fail(s->error, LLMCALL_E_UNSUPPORTED, "no_text_model", "model",
                     "%s is an encoder: it gives embeddings (llmcall_embed_texts), no %s.", runtime->name,
                     s->use == LLMC_USE_SCORE ? "logits" : "text");
}

/* engine->lock held. Without a name, embeddings come from a model made for them, if there is one. */
static void list_candidates(start *s, llmcall_candidate *candidates, uint32_t *n, int64_t floor_ns) {
    const llmcall_engine *engine = s->engine;
    int embedders_only = 0;
    if (s->use == LLMC_USE_EMBED && !s->request.model[0])
        for (uint32_t i = 0; i < engine->n_runtimes; i++) embedders_only |= is_embedder(engine->runtimes[i]);
    for (uint32_t i = 0; i < engine->n_runtimes; i++) {
        const llmc_runtime *runtime = engine->runtimes[i];
        if (!can_serve(s->use, runtime) || (embedders_only && !is_embedder(runtime))) continue;
        describe_candidate(runtime, (int32_t)i, &candidates[*n]);
        candidates[(*n)++].network_ns = floor_ns;
    }
}

llmcall_status llmc_start_route(start *s) {
    llmcall_engine *engine = s->engine;
    llmcall_candidate candidates[LLMC_MAX_MODELS];
    llmcall_route_request request;
    llmcall_init(&request, sizeof request);
    request.candidates = candidates;
    request.model = s->request.model;
    request.caller = s->caller;
    request.priority = s->request.priority;
    int64_t floor_ns = s->caller ? llmc_route_network_ns(s->caller->distance_km) : 0;
    enter(s, LLMCALL_STAGE_ROUTE);
    llmc_mutex_lock(&engine->lock);
    list_candidates(s, candidates, &request.n_candidates, floor_ns);
    llmc_mutex_unlock(&engine->lock);
    int32_t index = -1;
    llmcall_status status = check_use(s, request.n_candidates);
    if (!status) status = llmc_route_choose(&engine->env, &engine->hooks, &request, &index, s->error);
    leave(s, LLMCALL_STAGE_ROUTE);
    if (status) return status;
    s->runtime = engine->runtimes[index];
    memcpy(s->call->record.model, s->runtime->name, sizeof s->call->record.model);
    return LLMCALL_OK;
}

llmcall_status llmc_start_copy_ids(const start *s, const char *what, const int32_t *ids, size_t n, llmc_token_list *list) {
    uint32_t n_vocab = llmc_model_shape_of(s->runtime->model)->n_vocab;
    if (!ids || n == 0) return llmc_fail(s->error, LLMCALL_E_ARGUMENT, "empty_prompt", "tokens", "%s is empty.", what);
    for (size_t i = 0; i < n; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= n_vocab)
            return llmc_fail(s->error, LLMCALL_E_ARGUMENT, NULL, "tokens", "%s[%zu] is %d; the vocabulary has %u.", what, i,
                             ids[i], n_vocab);
    }
    list->ids = llmc_alloc_array(&s->engine->env, n, sizeof *list->ids);
    if (!list->ids) return llmc_fail_memory(s->error, "the tokens");
    memcpy(list->ids, ids, n * sizeof *ids);
    list->n = list->capacity = n;
    return LLMCALL_OK;
}

static llmcall_status copy_tokens(start *s) {
    const llmcall_request *request = &s->request;
    if (request->n_tokens >= s->runtime->context_length)
        return llmc_fail(s->error, LLMCALL_E_CONTEXT_LENGTH, NULL, "tokens",
                         "%zu tokens do not fit the context of %u with room to answer.", request->n_tokens,
                         s->runtime->context_length);
    return llmc_start_copy_ids(s, "tokens", request->tokens, request->n_tokens, &s->tokens);
}

static llmcall_status encode_prompt(start *s) {
    const llmcall_request *request = &s->request;
    const llmc_tokenizer *tokenizer = llmc_model_tokenizer(s->runtime->model);
    if (!tokenizer)
        return llmc_fail(s->error, LLMCALL_E_UNSUPPORTED, "no_vocabulary", "prompt",
                         "The model has no vocabulary; send tokens.");
    size_t size = request->prompt_size < 0 ? strlen(request->prompt) : (size_t)request->prompt_size;
    uint32_t flags = LLMC_ENCODE_BOS_EOS | (request->prompt_special ? LLMC_ENCODE_SPECIAL : 0u);
    return llmc_tokenizer_encode(tokenizer, request->prompt, size, flags, &s->tokens, s->error);
}

static llmcall_status tokenize(start *s) {
    llmcall_status status;
    enter(s, LLMCALL_STAGE_TOKENIZE);
    if (s->request.tokens) status = copy_tokens(s);
    else if (s->request.prompt) status = encode_prompt(s);
    else status = llmc_encode_messages(s->engine, s->runtime, s->request.messages, s->request.n_messages, &s->tokens, s->error);
    leave(s, LLMCALL_STAGE_TOKENIZE);
    llmc_timeline_tokens(&s->call->timeline, LLMCALL_STAGE_TOKENIZE, (int64_t)s->tokens.n);
    if (!status && s->tokens.n == 0)
        status = llmc_fail(s->error, LLMCALL_E_ARGUMENT, "empty_prompt", "prompt", "The prompt has no tokens.");
    if (!status && s->tokens.n >= s->runtime->context_length)
        status = llmc_fail(s->error, LLMCALL_E_CONTEXT_LENGTH, NULL, s->request.messages ? "messages" : "prompt",
                           "The prompt has %zu tokens; the context holds %u, the answer included.", s->tokens.n,
                           s->runtime->context_length);
    return status;
}

static llmcall_status prepare(start *s) {
    const llmcall_request *request = &s->request;
    size_t stop_sizes[LLMC_OUTPUT_MAX_STOPS];
    for (size_t i = 0; i < request->n_stop; i++) stop_sizes[i] = strlen(request->stop[i]);
    llmc_sampler_params sampling = {.temperature = request->temperature,
                                    .top_p = request->top_p,
                                    .min_p = request->min_p,
                                    .presence_penalty = request->presence_penalty,
                                    .frequency_penalty = request->frequency_penalty,
                                    .repetition_penalty = request->repetition_penalty,
                                    .top_k = request->top_k,
                                    .seed = request->seed,
                                    .bias = request->logit_bias,
                                    .n_bias = request->n_logit_bias,
                                    .logprobs = request->logprobs,
                                    .top_logprobs = request->top_logprobs};
    if (!request->has_seed && !llmc_random_bytes(&sampling.seed, sizeof sampling.seed))
        sampling.seed = (uint64_t)llmc_now(&s->engine->env);
    llmc_call_options options = {.n_choices = request->n,
                                 .logprobs = request->logprobs,
                                 .ignore_eos = (int)request->ignore_eos,
                                 .on_event = request->on_event,
                                 .on_event_user = request->on_event_user,
                                 .sampling = &sampling,
                                 .stops = request->stop,
                                 .stop_sizes = stop_sizes,
                                 .n_stops = request->n_stop};
    llmcall_status status = llmc_call_prepare(s->call, s->runtime, &options, s->error);
    if (status) return status;
    for (uint32_t i = 0; i < request->n; i++) llmc_sampler_prompt(s->call->choices[i].sampler, s->tokens.ids, s->tokens.n);
    return LLMCALL_OK;
}

int64_t llmc_deadline_of(int64_t deadline_ms, int64_t start_ns) {
    int64_t deadline_ns;
    if (!deadline_ms) return 0;
    if (__builtin_add_overflow(start_ns, deadline_ms * 1000000, &deadline_ns)) return INT64_MAX;
    return deadline_ns ? deadline_ns : 1;
}

static llmcall_status submit(start *s) {
    const llmcall_request *request = &s->request;
    uint32_t room = s->runtime->context_length - (uint32_t)s->tokens.n;
    uint32_t max_new = request->max_tokens > 0 && request->max_tokens < room ? (uint32_t)request->max_tokens : room;
    int64_t now_ns = llmc_now(&s->engine->env);
    int32_t priority = request->priority + s->admission.priority;
    llmc_sched_request sched = {.user = s->call,
                                .tokens = s->tokens.ids,
                                .n_tokens = (uint32_t)s->tokens.n,
                                .n_choices = request->n,
                                .max_new_tokens = max_new,
                                .priority = priority > 100    ? 100
                                            : priority < -100 ? -100
                                                              : priority,
                                .deadline_ns = llmc_deadline_of(request->deadline_ms, s->call->timeline.origin_ns),
                                .arrival_ns = now_ns,
                                .salt = s->admission.cache_salt,
                                .adapter = llmc_adapter_key(s->call),
                                .max_draft = request->speculate};
    return llmc_call_submit(s->call, &sched, s->error);
}

void llmc_start_bill(start *s, llmcall_status status) {
    llmcall_call *call = s->call;
    if (!s->admitted) return;
    llmcall_usage_record *record = &call->record;
    record->status = status;
    record->finish_reason = LLMCALL_FINISH_ERROR;
    record->total_ns = llmc_now(&s->engine->env) - call->timeline.origin_ns;
    llmc_ledger_put(s->engine->ledger, call->slot, record);
    call->slot = NULL;
    llmc_deliver_bills(s->engine);
}

/* scale 0: 1. */
llmcall_status llmc_start_adapter(llmc_start *s, const char *name, float scale) {
    if (!name || !*name) return LLMCALL_OK;
    s->call->runtime = s->runtime;
    return llmc_adapter_use(s->call, name, scale != 0 ? scale : 1, s->error);
}

void llmc_start_drop_adapter(llmc_start *s) {
    llmc_mutex_lock(&s->engine->lock);
    llmc_adapter_drop(s->call);
    llmc_mutex_unlock(&s->engine->lock);
}

llmcall_status llmc_start_admit(start *s) {
    note_arrival(s);
    llmcall_status status = reserve_bill(s);
    if (!status) status = admit(s);
    if (!status) apply_limits(s);
    return status;
}

static llmcall_status run_stages(start *s) {
    llmcall_status status = llmc_start_admit(s);
    if (!status) status = validate(s);
    if (!status) status = llmc_start_route(s);
    if (!status) status = llmc_start_adapter(s, s->request.adapter, s->request.adapter_scale);
    if (!status) status = tokenize(s);
    if (!status) status = prepare(s);
    if (!status) status = submit(s);
    return status;
}

llmcall_status llmcall_start(llmcall_engine *engine, const llmcall_request *request, llmcall_call **out, llmcall_error *error) {
    llmc_error_clear(error);
    if (!out) return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "call", "call is NULL: there is nowhere to put the handle.");
    *out = NULL;
    if (!engine || !request)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, engine ? "request" : "engine", "%s is NULL.",
                         engine ? "request" : "engine");
    llmcall_error own;
    llmcall_init(&own, sizeof own);
    start s;
    memset(&s, 0, sizeof s);
    s.engine = engine;
    s.error = &own;
    llmcall_status status = llmc_start_import(&s, request);
    if (!status) status = llmc_call_create(engine, &s.call, &own);
    if (!status) status = run_stages(&s);
    llmc_token_list_free(&engine->env, &s.tokens);
    if (!status) {
        *out = s.call;
        return LLMCALL_OK;
    }
    if (s.call) {
        llmc_start_bill(&s, status);
        llmc_start_drop_adapter(&s);
    }
    if (s.call) llmc_call_release(s.call);
    llmc_error_copy(error, &own);
    return status;
}

llmcall_status llmcall_start_json(llmcall_engine *engine, int32_t api, const char *body, size_t size,
                                  const llmcall_caller *caller, llmcall_call **call, llmcall_error *error) {
    (void)engine, (void)api, (void)body, (void)size, (void)caller;
    llmc_error_clear(error);
    if (call) *call = NULL;
    return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, "body",
                     "JSON requests are not served by this version; use llmcall_start.");
}
