/* A call as an object: what it holds, who holds it, and the events that its reader takes. Pieces of text and tokens are merged
 * while nobody reads them, so a slow reader costs no more memory than the answer itself. */
#include "engine/engine.h"

#include <string.h>

enum { FIRST_TOKENS = 64, MAX_TEXT = 1 << 28 };

/* ---- Pieces ---- */

int llmc_piece_reserve(const llmc_env *env, llmc_piece *piece, size_t n_tokens, int reports) {
    if (n_tokens <= piece->capacity) return 1;
    size_t capacity = piece->capacity ? piece->capacity : FIRST_TOKENS;
    while (capacity < n_tokens) capacity *= 2;
    int32_t *tokens = llmc_realloc_array(env, piece->tokens, capacity, sizeof *tokens);
    if (!tokens) return 0;
    piece->tokens = tokens;
    if (reports) {
        llmc_token_report *grown = llmc_realloc_array(env, piece->reports, capacity, sizeof *grown);
        if (!grown) return 0;
        piece->reports = grown;
    }
    piece->capacity = capacity;
    return 1;
}

int llmc_piece_append(const llmc_env *env, llmc_piece *piece, const llmc_piece *from) {
    if (!llmc_piece_reserve(env, piece, piece->n_tokens + from->n_tokens, from->reports != NULL)) return 0;
    if (!llmc_buffer_append(&piece->text, from->text.data, from->text.size)) return 0;
    if (from->n_tokens) memcpy(piece->tokens + piece->n_tokens, from->tokens, from->n_tokens * sizeof *from->tokens);
    if (from->n_tokens && from->reports)
        memcpy(piece->reports + piece->n_tokens, from->reports, from->n_tokens * sizeof *from->reports);
    piece->n_tokens += from->n_tokens;
    return 1;
}

void llmc_piece_clear(llmc_piece *piece) {
    llmc_buffer_clear(&piece->text);
    piece->n_tokens = 0;
}

void llmc_piece_free(const llmc_env *env, llmc_piece *piece) {
    if (piece->text.env) llmc_buffer_free(&piece->text);
    llmc_free(env, piece->tokens);
    llmc_free(env, piece->reports);
    memset(piece, 0, sizeof *piece);
}

static int piece_init(const llmc_env *env, llmc_piece *piece, int reports) {
    llmc_buffer_init(&piece->text, env, MAX_TEXT);
    return llmc_piece_reserve(env, piece, FIRST_TOKENS, reports) && llmc_buffer_append(&piece->text, "", 0);
}

/* ---- Life ---- */

llmcall_status llmc_call_create(llmcall_engine *engine, llmcall_call **out, llmcall_error *error) {
    *out = NULL;
    llmcall_call *call = llmc_zalloc(&engine->env, sizeof *call);
    if (!call) return llmc_fail_memory(error, "the call");
    if (!llmc_mutex_init(&call->lock)) goto no_lock;
    if (!llmc_cond_init(&call->ready)) goto no_condition;
    call->engine = engine;
    atomic_fetch_add_explicit(&engine->references, 1, memory_order_relaxed);
    atomic_init(&call->references, 1);
    atomic_init(&call->cancelled, 0);
    llmcall_init(&call->record, sizeof call->record);
    llmcall_init(&call->error, sizeof call->error);
    llmc_timeline_init(&call->timeline, llmc_now(&engine->env));
    llmc_meter_call_id(call->record.call_id);
    call->record.created_unix_ms = llmc_unix_ms();
    *out = call;
    return LLMCALL_OK;

no_condition:
    llmc_mutex_destroy(&call->lock);
no_lock:
    llmc_free(&engine->env, call);
    return llmc_fail_memory(error, "the call's lock");
}

static void choice_free(const llmc_env *env, llmc_choice *choice) {
    llmc_sampler_destroy(&choice->sampler);
    llmc_output_destroy(&choice->output);
    llmc_piece_free(env, &choice->staged);
    llmc_piece_free(env, &choice->outgoing);
}

static void call_free(llmcall_call *call) {
    llmcall_engine *engine = call->engine;
    const llmc_env *env = &engine->env;
    if (call->choices)
        for (uint32_t i = 0; i < call->n_choices; i++) choice_free(env, &call->choices[i]);
    llmc_free(env, call->choices);
    llmc_piece_free(env, &call->delivering);
    llmc_piece_free(env, &call->reading);
    llmc_free(env, call->shown);
    llmc_free(env, call->shown_top);
    llmc_ledger_release(engine->ledger, call->slot);
    llmc_cond_destroy(&call->ready);
    llmc_mutex_destroy(&call->lock);
    llmc_free(env, call);
    llmc_engine_release(engine);
}

void llmc_call_retain(llmcall_call *call) {
    atomic_fetch_add_explicit(&call->references, 1, memory_order_relaxed);
}

void llmc_call_release(llmcall_call *call) {
    if (atomic_fetch_sub_explicit(&call->references, 1, memory_order_acq_rel) == 1) call_free(call);
}

static llmcall_status prepare_choice(llmcall_call *call, uint32_t index, const llmc_call_options *options,
                                     llmcall_error *error) {
    const llmc_env *env = &call->engine->env;
    llmc_choice *choice = &call->choices[index];
    atomic_init(&choice->filtered, 0);
    if (!piece_init(env, &choice->staged, options->logprobs) || !piece_init(env, &choice->outgoing, options->logprobs))
        return llmc_fail_memory(error, "the call's text");
    llmcall_status status = llmc_sampler_create(env, options->sampling, llmc_model_shape_of(call->runtime->model)->n_vocab,
                                                index, &choice->sampler, error);
    if (status) return status;
    return llmc_output_create(env, options->stops, options->stop_sizes, options->n_stops, &choice->output, error);
}

static int reserve_shown(llmcall_call *call, size_t n);

llmcall_status llmc_call_prepare(llmcall_call *call, llmc_runtime *runtime, const llmc_call_options *options,
                                 llmcall_error *error) {
    llmcall_engine *engine = call->engine;
    call->runtime = runtime;
    call->logprobs = options->logprobs;
    call->ignore_eos = options->ignore_eos;
    call->on_event = options->on_event;
    call->on_event_user = options->on_event_user;
    call->score_logits = options->score_logits;
    call->embedding = options->embedding;
    call->pooling = options->pooling;
    call->second = options->second;
    call->direct =
        options->score_logits || options->embedding || (!options->on_event && !engine->hooks.moderate && !engine->hooks.span);
    call->choices = llmc_zalloc_array(&engine->env, options->n_choices, sizeof *call->choices);
    if (!call->choices) return llmc_fail_memory(error, "the call's choices");
    call->n_choices = call->n_unfinished = options->n_choices;
    if (!options->sampling) return LLMCALL_OK;
    if (!piece_init(&engine->env, &call->delivering, options->logprobs) ||
        !piece_init(&engine->env, &call->reading, options->logprobs) ||
        (options->logprobs && !reserve_shown(call, FIRST_TOKENS)))
        return llmc_fail_memory(error, "the call's text");
    for (uint32_t i = 0; i < call->n_choices; i++) {
        llmcall_status status = prepare_choice(call, i, options, error);
        if (status) return status;
    }
    return LLMCALL_OK;
}

/* engine->lock held. */
static void link_call(llmcall_engine *engine, llmcall_call *call) {
    call->next = engine->calls;
    if (engine->calls) engine->calls->previous = call;
    engine->calls = call;
    llmc_call_retain(call);
}

llmcall_status llmc_call_submit(llmcall_call *call, const llmc_sched_request *request, llmcall_error *error) {
    llmcall_engine *engine = call->engine;
    llmcall_status status;
    llmc_mutex_lock(&engine->lock);
    if (engine->closing) {
        status = llmc_fail(error, LLMCALL_E_CLOSED, NULL, NULL, "The engine is being closed.");
    } else {
        status = llmc_sched_submit(call->runtime->sched, request, &call->group, error);
    }
    if (!status) {
        for (uint32_t i = 0; i < call->n_choices; i++) {
            call->choices[i].sequence = &call->group->sequences[i];
            call->choices[i].sequence->user = &call->choices[i];
        }
        llmc_timeline_begin(&call->timeline, LLMCALL_STAGE_QUEUE, llmc_now(&engine->env));
        link_call(engine, call);
        engine->metrics.calls_started++;
        engine->woken = 1;
        llmc_cond_signal(&engine->work);
    }
    llmc_mutex_unlock(&engine->lock);
    return status;
}

/* ---- Events ---- */

/* Room to show n tokens with their log-probabilities. */
static int reserve_shown(llmcall_call *call, size_t n) {
    const llmc_env *env = &call->engine->env;
    if (n <= call->shown_capacity) return 1;
    size_t capacity = n < FIRST_TOKENS ? FIRST_TOKENS : n;
    llmcall_token_logprobs *shown = llmc_realloc_array(env, call->shown, capacity, sizeof *shown);
    if (shown) call->shown = shown;
    llmcall_logprob *top = llmc_realloc_array(env, call->shown_top, capacity, LLMC_MAX_TOP_LOGPROBS * sizeof *top);
    if (top) call->shown_top = top;
    if (!shown || !top) return 0;
    call->shown_capacity = capacity;
    return 1;
}

static void show_token(const llmcall_call *call, int32_t token, float logprob, llmcall_logprob *out) {
    out->token = token;
    out->logprob = logprob;
    out->bytes = "";
    out->size = 0;
    const llmc_tokenizer *tokenizer = llmc_model_tokenizer(call->runtime->model);
    if (!tokenizer) return;
    out->bytes = llmc_tokenizer_is_control(tokenizer, token) ? llmc_tokenizer_name(tokenizer, token, &out->size)
                                                             : llmc_tokenizer_piece(tokenizer, token, &out->size);
}

static int show_logprobs(llmcall_call *call, llmcall_event *event) {
    const llmc_piece *piece = &call->reading;
    if (!reserve_shown(call, piece->n_tokens)) return 0;
    for (size_t i = 0; i < piece->n_tokens; i++) {
        const llmc_token_report *report = &piece->reports[i];
        llmcall_logprob *top = call->shown_top + i * LLMC_MAX_TOP_LOGPROBS;
        show_token(call, piece->tokens[i], report->logprob, &call->shown[i].chosen);
        for (uint32_t t = 0; t < report->n_top; t++) show_token(call, report->top_token[t], report->top_logprob[t], &top[t]);
        call->shown[i].top = top;
        call->shown[i].n_top = report->n_top;
    }
    event->logprobs = call->shown;
    return 1;
}

/* Without memory to show log-probabilities the text still comes, without tokens, and the call fails. */
static void hide_tokens(llmcall_call *call, llmcall_event *event) {
    event->n_tokens = 0;
    if (!call->error.status) llmc_fail_memory(&call->error, "the log-probabilities");
    if ((call->outgoing_end || call->staged_end) && !call->record.status) call->record.status = call->error.status;
    atomic_store_explicit(&call->cancelled, 1, memory_order_relaxed);
}

/* Moves what the choice has into call->reading and makes it a TEXT event. */
static int take_text(llmcall_call *call, uint32_t index, llmcall_event *event) {
    llmc_choice *choice = &call->choices[index];
    llmc_piece taken = choice->outgoing;
    choice->outgoing = call->reading;
    call->reading = taken;
    llmc_piece_clear(&choice->outgoing);
    event->type = LLMCALL_EVENT_TEXT;
    event->choice = (int32_t)index;
    event->text = taken.text.data ? taken.text.data : "";
    event->text_size = taken.text.size;
    event->tokens = taken.tokens;
    event->n_tokens = taken.n_tokens;
    if (call->logprobs && !show_logprobs(call, event)) hide_tokens(call, event);
    return 1;
}

static int take_finish(llmcall_call *call, uint32_t index, llmcall_event *event) {
    llmc_choice *choice = &call->choices[index];
    choice->finish_reason = choice->outgoing_finish;
    choice->outgoing_finish = LLMCALL_FINISH_NONE;
    event->type = LLMCALL_EVENT_FINISH;
    event->choice = (int32_t)index;
    event->finish_reason = choice->finish_reason;
    return 1;
}

static int take_end(llmcall_call *call, llmcall_event *event) {
    if (call->error.status && !call->error_read) {
        call->error_read = 1;
        event->type = LLMCALL_EVENT_ERROR;
        event->error = &call->error;
        return 1;
    }
    if (!call->usage_read) {
        call->usage_read = 1;
        call->shown_record = call->record;
        event->type = LLMCALL_EVENT_USAGE;
        event->usage = &call->shown_record;
        return 1;
    }
    return 0;
}

int llmc_call_take_event(llmcall_call *call, llmcall_event *event, int *at_end) {
    *at_end = 0;
    for (uint32_t tried = 0; tried < call->n_choices; tried++) {
        uint32_t index = call->next_choice;
        llmc_choice *choice = &call->choices[index];
        if (choice->outgoing.text.size || choice->outgoing.n_tokens) {
            call->next_choice = (index + 1) % call->n_choices;
            return take_text(call, index, event);
        }
        if (choice->outgoing_finish) return take_finish(call, index, event);
        call->next_choice = (index + 1) % call->n_choices;
    }
    if (!call->outgoing_end) return 0;
    if (take_end(call, event)) return 1;
    *at_end = 1;
    return 0;
}
