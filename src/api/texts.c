/* The one call around many texts: its stages, its parts in the engine, its bill. */
#include "api/texts.h"

#include <string.h>

enum { MAX_TEXTS = 65536, PROGRESS_MS = 100 };
#define MAX_DEADLINE_MS (INT64_C(1) << 40)

static const llmc_env *env_of(const llmc_texts *t) {
    return &t->start.engine->env;
}

/* ---- Stages -------------------------------------------------------------------------------------------------------------- */

static llmcall_status open(llmc_texts *t, llmcall_engine *engine, const llmc_texts_request *request, llmcall_error *error) {
    llmcall_request stages;
    memset(t, 0, sizeof *t);
    t->request = *request;
    t->start.engine = engine;
    t->start.use = request->use;
    t->start.error = error;
    llmcall_init(&t->total, sizeof t->total);
    llmcall_request_defaults(&stages);
    stages.model = request->model;
    stages.caller = request->caller;
    stages.priority = request->priority;
    llmcall_status status = llmc_start_import(&t->start, &stages);
    if (!status) status = llmc_call_create(engine, &t->start.call, error);
    if (!status) status = llmc_start_admit(&t->start);
    if (status) return status;
    llmc_timeline_begin(&t->start.call->timeline, LLMCALL_STAGE_VALIDATE, llmc_now(env_of(t)));
    int64_t priority = (int64_t)request->priority + t->start.admission.priority;
    t->priority = priority > 100 ? 100 : priority < -100 ? -100 : (int32_t)priority;
    return LLMCALL_OK;
}

llmcall_status llmc_texts_check(const llmc_texts *t) {
    const llmc_texts_request *request = &t->request;
    llmcall_error *error = t->start.error;
    if (request->n_texts < 1 || request->n_texts > MAX_TEXTS)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, request->param, "%s has %zu entries; 1 to %d.", request->param,
                         request->n_texts, MAX_TEXTS);
    if (request->truncate > 1)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "truncate", "truncate is %u; it must be 0 or 1.", request->truncate);
    if (request->priority < -100 || request->priority > 100)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "priority", "priority is %d; it must lie between -100 and 100.",
                         request->priority);
    if (request->deadline_ms < 0 || request->deadline_ms > MAX_DEADLINE_MS)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "deadline_ms", "deadline_ms is %lld; it must lie between 0 and %lld.",
                         (long long)request->deadline_ms, (long long)MAX_DEADLINE_MS);
    return llmc_check_adapter(request->adapter, request->adapter_scale, error);
}

llmcall_status llmc_texts_route(llmc_texts *t) {
    size_t n = t->request.n_texts, most = t->start.engine->options.max_sequences;
    llmc_timeline_end(&t->start.call->timeline, LLMCALL_STAGE_VALIDATE, llmc_now(env_of(t)));
    llmcall_status status = llmc_start_route(&t->start);
    if (!status) status = llmc_start_adapter(&t->start, t->request.adapter, t->request.adapter_scale);
    if (status) return status;
    const llmc_model_shape *shape = llmc_model_shape_of(t->start.runtime->model);
    t->width = t->request.use == LLMC_USE_SCORE ? shape->n_vocab : shape->width;
    t->n_slots = most < n ? most : n;
    t->texts = llmc_zalloc_array(env_of(t), n, sizeof *t->texts);
    t->parts = llmc_alloc_array(env_of(t), t->n_slots, sizeof(llmcall_call *));
    return t->texts && t->parts ? LLMCALL_OK : llmc_fail_memory(t->start.error, "the texts");
}

llmcall_status llmc_texts_tokenizer(const llmc_texts *t, const llmc_tokenizer **tokenizer) {
    *tokenizer = llmc_model_tokenizer(t->start.runtime->model);
    if (*tokenizer) return LLMCALL_OK;
    return llmc_fail(t->start.error, LLMCALL_E_UNSUPPORTED, "no_vocabulary", t->request.param,
                     "%s has no vocabulary; send tokens.", t->start.runtime->name);
}

void llmc_texts_begin_tokens(llmc_texts *t) {
    llmc_timeline_begin(&t->start.call->timeline, LLMCALL_STAGE_TOKENIZE, llmc_now(env_of(t)));
}

void llmc_texts_end_tokens(llmc_texts *t) {
    int64_t n_tokens = 0;
    for (size_t i = 0; i < t->request.n_texts; i++) {
        llmc_text *text = &t->texts[i];
        text->n_rows = t->pooling == LLMCALL_POOLING_NONE ? (uint32_t)text->tokens.n : 1;
        text->first_row = t->n_rows;
        t->n_rows += text->n_rows;
        n_tokens += (int64_t)text->tokens.n;
    }
    llmc_timeline_end(&t->start.call->timeline, LLMCALL_STAGE_TOKENIZE, llmc_now(env_of(t)));
    llmc_timeline_tokens(&t->start.call->timeline, LLMCALL_STAGE_TOKENIZE, n_tokens);
}

static llmcall_status fail_length(const llmc_texts *t, size_t i) {
    const llmc_runtime *runtime = t->start.runtime;
    int loadable = llmc_model_shape_of(runtime->model)->context_length > runtime->context_length;
    return llmc_fail(t->start.error, LLMCALL_E_CONTEXT_LENGTH, NULL, t->request.param,
                     "%s[%zu] has %zu tokens; the context holds %u. %s, or set truncate.", t->request.param, i,
                     t->texts[i].tokens.n, runtime->context_length,
                     loadable ? "Load the model with a larger context_length" : "Shorten it");
}

llmcall_status llmc_texts_fit(llmc_texts *t, size_t i) {
    const llmc_text *text = &t->texts[i];
    llmc_token_list *list = &t->texts[i].tokens;
    size_t most = t->start.runtime->context_length, tail = text->n_tail;
    if (list->n == 0)
        return llmc_fail(t->start.error, LLMCALL_E_ARGUMENT, "empty_prompt", t->request.param, "%s[%zu] has no tokens.",
                         t->request.param, i);
    if (list->n <= most) return LLMCALL_OK;
    if (!t->request.truncate || text->second + tail >= most) return fail_length(t, i);
    memmove(list->ids + most - tail, list->ids + list->n - tail, tail * sizeof *list->ids);
    list->n = most;
    return LLMCALL_OK;
}

/* ---- Parts --------------------------------------------------------------------------------------------------------------- */

static llmcall_status submit_part(llmc_texts *t, const llmc_text *text, llmcall_call **out) {
    llmc_start *s = &t->start;
    const llmc_model_shape *shape = llmc_model_shape_of(s->runtime->model);
    int score = t->request.use == LLMC_USE_SCORE;
    float *rows = t->rows + text->first_row * t->width;
    llmc_call_options options = {.n_choices = 1,
                                 .score_logits = score ? rows : NULL,
                                 .embedding = score ? NULL : rows,
                                 .pooling = t->pooling,
                                 .second = shape->n_token_types > 1 ? text->second : 0};
    llmcall_status status = llmc_call_create(s->engine, out, s->error);
    if (!status) llmc_adapter_share(*out, s->call);
    if (!status) status = llmc_call_prepare(*out, s->runtime, &options, s->error);
    llmc_sched_request request = {.user = *out,
                                  .tokens = text->tokens.ids,
                                  .n_tokens = (uint32_t)text->tokens.n,
                                  .n_choices = 1,
                                  .priority = t->priority,
                                  .deadline_ns = llmc_deadline_of(t->request.deadline_ms, s->call->timeline.origin_ns),
                                  .arrival_ns = llmc_now(env_of(t)),
                                  .salt = s->admission.cache_salt,
                                  .adapter = llmc_adapter_key(s->call),
                                  .all_logits = score,
                                  .hidden = score ? LLMC_HIDDEN_NONE : llmc_embed_hidden(t->pooling),
                                  .whole = !shape->causal};
    if (!status) status = llmc_call_submit(*out, &request, s->error);
    if (status && *out) {
        llmc_mutex_lock(&s->engine->lock);
        llmc_adapter_drop(*out);
        llmc_mutex_unlock(&s->engine->lock);
        llmc_call_release(*out);
        *out = NULL;
    }
    return status;
}

/* Stages of the whole reach from the first part's beginning to the last part's end. */
static void add_spans(llmc_texts *t, const llmcall_call *part) {
    llmc_timeline *whole = &t->start.call->timeline;
    int64_t origin_ns = part->timeline.origin_ns;
    for (int32_t stage = LLMCALL_STAGE_QUEUE; stage <= LLMCALL_STAGE_PREFILL; stage++) {
        const llmcall_span *span = llmc_timeline_span(&part->timeline, stage);
        if (span) llmc_timeline_add(whole, stage, origin_ns + span->start_ns, origin_ns + span->end_ns, span->busy_ns);
    }
}

/* LLMCALL_E_CANCELLED if the caller says so. */
static llmcall_status report_progress(const llmc_texts *t) {
    const llmc_texts_request *request = &t->request;
    if (!request->progress || !request->progress(request->progress_user, t->n_done, request->n_texts)) return LLMCALL_OK;
    return llmc_fail(t->start.error, LLMCALL_E_CANCELLED, NULL, "progress", "The progress callback stopped the call.");
}

/* Waits for the end of a part; with threads = 0 by stepping. Its status, with error filled. */
static llmcall_status wait_for_end(llmc_texts *t, llmcall_call *part) {
    llmcall_event event;
    llmcall_status status = LLMCALL_OK, ended = LLMCALL_OK;
    while (status == LLMCALL_OK || status == LLMCALL_E_TIMEOUT) {
        llmcall_init(&event, sizeof event);
        status = llmcall_next(part, &event, t->request.progress ? PROGRESS_MS : -1);
        if (status == LLMCALL_E_TIMEOUT) {
            if (t->start.engine->options.threads == 0) (void)llmc_engine_step(t->start.engine, NULL, NULL);
            if (!ended && (ended = report_progress(t))) llmcall_cancel(part);
        } else if (status == LLMCALL_OK && event.type == LLMCALL_EVENT_ERROR && !ended) {
            llmc_error_copy(t->start.error, event.error);
            ended = event.error->status;
        }
    }
    return ended ? ended : status == LLMCALL_E_END ? LLMCALL_OK : status;
}

/* Waits for the oldest part, which is over then whatever ended it. */
static llmcall_status finish_part(llmc_texts *t) {
    llmcall_call *part = t->parts[t->first];
    t->first = (t->first + 1) % t->n_slots;
    t->n_parts--;
    llmcall_status status = wait_for_end(t, part);
    llmc_mutex_lock(&part->lock);
    t->total.prompt_tokens += part->record.prompt_tokens;
    t->total.cached_tokens += part->record.cached_tokens;
    if (t->total.queue_ns < part->record.queue_ns) t->total.queue_ns = part->record.queue_ns;
    if (!status) status = part->record.status;
    add_spans(t, part);
    llmc_mutex_unlock(&part->lock);
    llmc_call_release(part);
    t->n_done++;
    return status ? status : report_progress(t);
}

static llmcall_status add_part(llmc_texts *t, const llmc_text *text) {
    llmcall_call *part = NULL;
    llmcall_status status = t->n_parts == t->n_slots ? finish_part(t) : LLMCALL_OK;
    while (!status) {
        status = submit_part(t, text, &part);
        if (status != LLMCALL_E_QUEUE_FULL || t->n_parts == 0) break;
        status = finish_part(t); /* others fill the queue: a place of ours must come free first */
    }
    if (!status) t->parts[(t->first + t->n_parts++) % t->n_slots] = part;
    return status;
}

/* After the first failure the parts that run are cancelled, and waited for: they write into the rows. */
llmcall_status llmc_texts_run(llmc_texts *t) {
    llmcall_status status = LLMCALL_OK;
    for (size_t i = 0; i < t->request.n_texts && !status; i++) status = add_part(t, &t->texts[i]);
    while (t->n_parts > 0 && !status) status = finish_part(t);
    if (!status) llmc_error_clear(t->start.error); /* a queue that was full for a while is no error */
    if (!status) return LLMCALL_OK;
    llmcall_error first = *t->start.error;
    t->request.progress = NULL;
    for (size_t i = 0; i < t->n_parts; i++) llmcall_cancel(t->parts[(t->first + i) % t->n_slots]);
    while (t->n_parts > 0) (void)finish_part(t);
    *t->start.error = first;
    return status;
}

/* ---- The end ------------------------------------------------------------------------------------------------------------- */

static void fill_record(llmc_texts *t, llmcall_status status, int64_t now_ns) {
    llmcall_usage_record *record = &t->start.call->record;
    record->status = status;
    record->finish_reason = !status                         ? LLMCALL_FINISH_STOP
                            : status == LLMCALL_E_CANCELLED ? LLMCALL_FINISH_CANCELLED
                                                            : LLMCALL_FINISH_ERROR;
    record->prompt_tokens = t->total.prompt_tokens;
    record->cached_tokens = t->total.cached_tokens;
    record->queue_ns = t->total.queue_ns;
    record->total_ns = now_ns - t->start.call->timeline.origin_ns;
    if (!t->start.runtime) return;
    llmc_meter_cost(&t->start.runtime->prices, record->prompt_tokens - record->cached_tokens, record->cached_tokens, 0, record);
}

/* A stage in which the call failed ends, and those that it did not live to see have a span too. */
static void close_early_stages(llmcall_call *call, int64_t now_ns) {
    for (int32_t stage = LLMCALL_STAGE_VALIDATE; stage <= LLMCALL_STAGE_TOKENIZE; stage++) {
        llmc_timeline_end(&call->timeline, stage, now_ns);
        if (!llmc_timeline_span(&call->timeline, stage)) llmc_timeline_add(&call->timeline, stage, now_ns, now_ns, 0);
    }
}

/* To the delivery thread, with the spans; once the engine is closing nobody looks there any more, but the ledger is read. */
static void bill(llmc_texts *t) {
    llmcall_engine *engine = t->start.engine;
    llmcall_call *call = t->start.call;
    llmc_mutex_lock(&engine->lock);
    if (engine->closing) {
        llmc_ledger_put(engine->ledger, call->slot, &call->record);
        call->slot = NULL;
    } else {
        call->staged_end = 1;
        llmc_deliver_queue(call);
    }
    llmc_mutex_unlock(&engine->lock);
}

static void close(llmc_texts *t, llmcall_status status, llmcall_usage_record *usage) {
    llmcall_call *call = t->start.call;
    for (size_t i = 0; t->texts && i < t->request.n_texts; i++) llmc_token_list_free(env_of(t), &t->texts[i].tokens);
    llmc_free(env_of(t), t->texts);
    llmc_free(env_of(t), t->parts);
    if (!call) return;
    llmc_start_drop_adapter(&t->start);
    if (t->start.admitted) {
        int64_t now_ns = llmc_now(env_of(t));
        close_early_stages(call, now_ns);
        fill_record(t, status, now_ns);
        llmc_call_close_timeline(call, now_ns);
        if (usage) llmc_export(usage, &call->record, sizeof call->record);
        bill(t);
    }
    llmc_call_release(call);
}

llmcall_status llmc_texts_call(llmcall_engine *engine, const llmc_texts_request *request, llmc_texts_body body,
                               const void *arguments, llmcall_usage_record *usage, llmcall_error *error) {
    llmc_texts texts;
    LLMCALL_INIT(llmcall_error, own); /* of this version's size, whatever the caller's has */
    llmcall_status status = open(&texts, engine, request, &own);
    if (!status) status = body(&texts, arguments);
    close(&texts, status, usage);
    llmc_error_copy(error, &own);
    return status;
}
