/* One step of one model: plan under the lock, run and sample without it, then commit and end what is over. */
#include "engine/engine.h"

#include <string.h>

_Static_assert(LLMC_SCHED_STATE_ZERO == LLMC_STATE_ZERO, "the scheduler's copies are the backend's");
_Static_assert((int)LLMC_KV_GROUP_PAGES == (int)LLMC_GROUP_PAGES,
               "a window begins for the scheduler where the backend reads from");

/* ---- Ending; engine->lock held, no step out ---- */

/* A call that no step ever had costs nothing: its prompt was not computed. */
static void fill_record(llmcall_call *call, int64_t now_ns) {
    llmcall_usage_record *record = &call->record;
    const llmc_group *group = call->group;
    record->prompt_tokens = call->admitted ? group->n_prompt : 0;
    record->cached_tokens = call->admitted ? group->sequences[0].n_cached : 0;
    record->completion_tokens = call->n_sampled;
    llmc_meter_cost(&call->runtime->prices, record->prompt_tokens - record->cached_tokens, record->cached_tokens,
                    record->completion_tokens, record);
    record->total_ns = now_ns - call->timeline.origin_ns;
}

/* Decode is what is left of its wall time without the stages that interleave with it. */
static void subtract_interleaved(llmc_timeline *timeline) {
    llmcall_span *decode = &timeline->spans[LLMCALL_STAGE_DECODE - 1];
    decode->busy_ns -= timeline->spans[LLMCALL_STAGE_OUTPUT - 1].busy_ns + timeline->spans[LLMCALL_STAGE_PACKAGE - 1].busy_ns;
    if (decode->busy_ns < 0) decode->busy_ns = 0;
}

void llmc_call_close_timeline(llmcall_call *call, int64_t now_ns) {
    llmc_timeline *timeline = &call->timeline;
    const llmcall_usage_record *record = &call->record;
    llmc_timeline_end(timeline, LLMCALL_STAGE_QUEUE, now_ns);
    llmc_timeline_end(timeline, LLMCALL_STAGE_PREFILL, now_ns);
    llmc_timeline_end(timeline, LLMCALL_STAGE_DECODE, now_ns);
    /* Every stage leaves a span, also one that the call did not live to see. */
    for (int32_t stage = LLMCALL_STAGE_QUEUE; stage < LLMCALL_STAGE_BILL; stage++) {
        if (!llmc_timeline_span(timeline, stage)) llmc_timeline_add(timeline, stage, now_ns, now_ns, 0);
    }
    subtract_interleaved(timeline);
    llmc_timeline_tokens(timeline, LLMCALL_STAGE_CACHE, (int64_t)record->cached_tokens);
    llmc_timeline_tokens(timeline, LLMCALL_STAGE_PREFILL, (int64_t)(record->prompt_tokens - record->cached_tokens));
    llmc_timeline_tokens(timeline, LLMCALL_STAGE_DECODE, (int64_t)record->completion_tokens);
    llmc_timeline_cost(timeline, record);
    int64_t end_ns = llmc_now(&call->engine->env);
    llmc_timeline_add(timeline, LLMCALL_STAGE_BILL, now_ns, end_ns, end_ns - now_ns);
}

static void unlink_call(llmcall_engine *engine, llmcall_call *call) {
    if (call->previous) call->previous->next = call->next;
    else engine->calls = call->next;
    if (call->next) call->next->previous = call->previous;
    call->previous = call->next = NULL;
}

static void count_finished(llmcall_engine *engine, const llmcall_usage_record *record) {
    llmcall_metrics_snapshot *metrics = &engine->metrics;
    metrics->calls_finished++;
    metrics->calls_cancelled += record->status == LLMCALL_E_CANCELLED;
    metrics->calls_failed += record->status != LLMCALL_OK && record->status != LLMCALL_E_CANCELLED;
    metrics->prompt_tokens += record->prompt_tokens;
    metrics->cached_tokens += record->cached_tokens;
    metrics->completion_tokens += record->completion_tokens;
    metrics->draft_tokens += record->draft_tokens;
    metrics->accepted_tokens += record->accepted_tokens;
}

/* Everything is sampled: the bill, and the engine lets go of the call. */
static void complete_call(llmcall_call *call) {
    llmcall_engine *engine = call->engine;
    int64_t now_ns = llmc_now(&engine->env);
    llmc_mutex_lock(&call->lock);
    fill_record(call, now_ns);
    llmc_call_close_timeline(call, now_ns);
    call->record.queue_ns = call->timeline.spans[LLMCALL_STAGE_QUEUE - 1].busy_ns;
    llmcall_usage_record record = call->record;
    if (call->direct) call->outgoing_end = 1;
    else call->staged_end = 1;
    llmc_ledger_slot *slot = call->direct ? call->slot : NULL;
    if (call->direct) call->slot = NULL;
    llmc_cond_broadcast(&call->ready);
    llmc_mutex_unlock(&call->lock);

    llmc_sched_remove(call->runtime->sched, &call->group);
    llmc_adapter_drop(call);
    count_finished(engine, &record);
    if (slot) {
        llmc_ledger_put(engine->ledger, slot, &record);
        llmc_deliver_bills(engine);
    }
    if (!call->direct) llmc_deliver_queue(call);
    unlink_call(engine, call);
    llmc_call_release(call);
}

/* call->lock held. */
static void fail_text(llmcall_call *call, llmc_choice *choice) {
    if (!call->error.status) llmc_fail_memory(&call->error, "the call's text");
    choice->outcome = LLMCALL_FINISH_ERROR;
}

static void append_ready(llmcall_call *call, llmc_choice *choice, llmc_piece *to, const llmc_token_report *report) {
    size_t size;
    const char *text = llmc_output_ready(choice->output, &size);
    int kept = llmc_buffer_append(&to->text, text, size);
    if (report && kept) {
        kept = llmc_piece_reserve(&call->engine->env, to, to->n_tokens + 1, call->logprobs);
        if (kept) {
            to->tokens[to->n_tokens] = choice->sampled[choice->n_sampled - 1];
            if (call->logprobs) to->reports[to->n_tokens] = *report;
            to->n_tokens++;
        }
    }
    llmc_output_take(choice->output);
    if (!kept) fail_text(call, choice);
}

/* May complete the call, which then must not be touched any more. */
static void finish_choice(llmcall_call *call, llmc_choice *choice, int32_t reason) {
    if (choice->finished) return;
    choice->finished = 1;
    llmc_sched_finish_sequence(call->runtime->sched, choice->sequence);
    llmc_mutex_lock(&call->lock);
    if (choice->output) {
        if (llmc_output_finish(choice->output)) fail_text(call, choice);
        if (llmc_output_stopped(choice->output) && reason == LLMCALL_FINISH_LENGTH) reason = LLMCALL_FINISH_STOP;
        append_ready(call, choice, call->direct ? &choice->outgoing : &choice->staged, NULL);
    }
    if (choice->outcome == LLMCALL_FINISH_ERROR) {
        reason = LLMCALL_FINISH_ERROR;
        call->record.status = call->error.status;
    }
    if (call->direct) choice->outgoing_finish = reason;
    else choice->staged_finish = reason;
    if (choice == call->choices) call->record.finish_reason = reason;
    llmc_mutex_unlock(&call->lock);
    if (--call->n_unfinished == 0) complete_call(call);
}

/* Ends all that is left of a call. error: what to report, NULL for a cancel. */
static void end_call(llmcall_call *call, llmcall_status status, const llmcall_error *error) {
    llmc_mutex_lock(&call->lock);
    if (error && !call->error.status) llmc_error_copy(&call->error, error);
    call->record.status = call->error.status ? call->error.status : status;
    int32_t reason = call->record.status == LLMCALL_E_CANCELLED ? LLMCALL_FINISH_CANCELLED : LLMCALL_FINISH_ERROR;
    llmc_mutex_unlock(&call->lock);
    uint32_t n = call->n_choices;
    llmc_call_retain(call);
    for (uint32_t i = 0; i < n; i++) finish_choice(call, &call->choices[i], reason);
    llmc_call_release(call);
}

static void fail_call(llmcall_call *call, llmcall_status status, const char *sentence) {
    llmcall_error error;
    llmcall_init(&error, sizeof error);
    llmc_fail(&error, status, NULL, NULL, "%s", sentence);
    end_call(call, status, &error);
}

/* The choices that the moderate hook stopped. */
static void reap_filtered(llmcall_call *call) {
    for (uint32_t i = 0; i < call->n_choices; i++) {
        if (atomic_load_explicit(&call->choices[i].filtered, memory_order_relaxed))
            finish_choice(call, &call->choices[i], LLMCALL_FINISH_CONTENT_FILTER);
    }
}

static const char deadline_sentence[] = "The deadline passed before the answer was complete.";

static int is_late(const llmcall_call *call, int64_t now_ns) {
    return call->group->deadline_ns && call->group->deadline_ns <= now_ns;
}

void llmc_step_reap(llmcall_engine *engine) {
    int64_t now_ns = llmc_now(&engine->env);
    for (llmcall_call *call = engine->calls, *next; call; call = next) {
        next = call->next;
        llmc_call_retain(call);
        if (engine->closing) fail_call(call, LLMCALL_E_CLOSED, "The engine was closed before the call ended.");
        else if (atomic_load_explicit(&call->cancelled, memory_order_relaxed)) end_call(call, LLMCALL_E_CANCELLED, NULL);
        else if (is_late(call, now_ns)) fail_call(call, LLMCALL_E_DEADLINE, deadline_sentence);
        else reap_filtered(call);
        llmc_call_release(call);
    }
}

/* ---- Planning; engine->lock held ---- */

static llmcall_call *call_of(const llmc_step_item *item) {
    return item->sequence->group->user;
}

/* The first step that has a token of the call ends its wait and found its cached prefix. */
static void admit_call(llmcall_call *call, int64_t plan_ns, int64_t now_ns) {
    if (call->admitted) return;
    call->admitted = 1;
    llmc_mutex_lock(&call->lock);
    call->record.prompt_tokens = call->group->n_prompt;
    call->record.cached_tokens = call->group->sequences[0].n_cached;
    llmc_timeline_end(&call->timeline, LLMCALL_STAGE_QUEUE, plan_ns);
    call->record.queue_ns = call->timeline.spans[LLMCALL_STAGE_QUEUE - 1].busy_ns;
    llmc_timeline_add(&call->timeline, LLMCALL_STAGE_CACHE, plan_ns, now_ns, now_ns - plan_ns);
    llmc_timeline_begin(&call->timeline, LLMCALL_STAGE_PREFILL, now_ns);
    llmc_mutex_unlock(&call->lock);
}

static void add_item(llmc_runtime *runtime, llmc_batch *batch, llmc_segment *segment, const llmc_step_item *item) {
    const llmc_sequence *sequence = item->sequence;
    const llmcall_call *call = call_of(item);
    segment->first_token = batch->n_tokens;
    segment->n_tokens = item->n_tokens;
    segment->start = item->start;
    segment->pages = sequence->pages;
    segment->n_pages = sequence->n_pages;
    segment->window_pages = sequence->window_slots;
    segment->state = sequence->state_slot;
    segment->snapshot_after = item->snapshot_after;
    segment->snapshot = item->snapshot;
    segment->lora = call->adapter ? llmc_adapter_lora(call->adapter->adapter) : NULL;
    segment->lora_scale = call->adapter_scale;
    for (uint32_t i = 0; i < item->n_tokens; i++) {
        uint32_t row = batch->n_tokens + i;
        runtime->tokens[row] = sequence->tokens[item->start + i];
        runtime->positions[row] = item->start + i;
        runtime->types[row] = call->second > 0 && item->start + i >= call->second;
        int last = i + item->n_drafts + 1 >= item->n_tokens; /* the last that is known, or a draft behind it */
        if (item->wants_logits == 2 || (item->wants_logits == 1 && last)) runtime->output_rows[batch->n_outputs++] = row;
    }
    batch->n_tokens += item->n_tokens;
}

static void build_batch(llmc_runtime *runtime, const llmc_step *step, llmc_batch *batch) {
    memset(batch, 0, sizeof *batch);
    batch->tokens = runtime->tokens;
    batch->positions = runtime->positions;
    batch->types = runtime->types;
    batch->segments = runtime->segments;
    batch->output_rows = runtime->output_rows;
    for (uint32_t i = 0; i < step->n_items; i++) add_item(runtime, batch, &runtime->segments[i], &step->items[i]);
    batch->n_segments = step->n_items;
    batch->hidden = step->hidden;
}

static void plan(llmcall_engine *engine, llmc_runtime *runtime, llmc_step *step, llmc_batch *batch) {
    int64_t plan_ns = llmc_now(&engine->env);
    llmc_sched_plan(runtime->sched, plan_ns, step);
    for (uint32_t i = 0; i < step->n_expired; i++) fail_call(step->expired[i]->user, LLMCALL_E_DEADLINE, deadline_sentence);
    int64_t now_ns = llmc_now(&engine->env);
    for (uint32_t i = 0; i < step->n_items; i++) admit_call(call_of(&step->items[i]), plan_ns, now_ns);
    build_batch(runtime, step, batch);
}

/* ---- Sampling; no lock held ---- */

/* The sampled token as text, and to whoever reads it. */
static void emit_token(llmcall_call *call, llmc_choice *choice, const llmc_sample *sample) {
    const llmc_env *env = &call->engine->env;
    int64_t start_ns = llmc_now(env);
    size_t size = 0;
    const llmc_tokenizer *tokenizer = llmc_model_tokenizer(call->runtime->model);
    const char *bytes = tokenizer ? llmc_tokenizer_piece(tokenizer, sample->token, &size) : "";
    int stopped = 0;
    llmcall_status status = llmc_output_push(choice->output, bytes, size, &stopped);
    if (stopped) choice->outcome = LLMCALL_FINISH_STOP;
    int64_t text_ns = llmc_now(env);

    llmc_token_report report;
    report.logprob = sample->logprob;
    report.n_top = sample->n_top;
    for (uint32_t i = 0; i < sample->n_top; i++) {
        report.top_token[i] = sample->top[i].token;
        report.top_logprob[i] = sample->top[i].logprob;
    }
    llmc_mutex_lock(&call->lock);
    if (status) fail_text(call, choice);
    append_ready(call, choice, call->direct ? &choice->outgoing : &choice->staged, &report);
    call->record.completion_tokens++;
    llmc_timeline_add(&call->timeline, LLMCALL_STAGE_OUTPUT, start_ns, text_ns, text_ns - start_ns);
    llmc_cond_broadcast(&call->ready);
    int64_t end_ns = llmc_now(env);
    llmc_timeline_add(&call->timeline, LLMCALL_STAGE_PACKAGE, text_ns, end_ns, end_ns - text_ns);
    llmc_mutex_unlock(&call->lock);
    if (!call->direct) llmc_deliver_queue(call);
}

static void mark_first_token(llmcall_call *call) {
    if (call->decoding) return;
    call->decoding = 1;
    int64_t now_ns = llmc_now(&call->engine->env);
    llmc_mutex_lock(&call->lock);
    call->record.first_token_ns = now_ns - call->timeline.origin_ns;
    llmc_timeline_end(&call->timeline, LLMCALL_STAGE_PREFILL, now_ns);
    llmc_timeline_begin(&call->timeline, LLMCALL_STAGE_DECODE, now_ns);
    llmc_mutex_unlock(&call->lock);
}

static void count_drafts(llmcall_call *call, uint32_t n_drafts, uint32_t n_right) {
    llmc_mutex_lock(&call->lock);
    call->record.draft_tokens += n_drafts;
    call->record.accepted_tokens += n_right;
    llmc_mutex_unlock(&call->lock);
}

/* The next token, from the logits of the one before it, which are spent. */
static void sample_token(llmc_runtime *runtime, const llmc_sequence *sequence, float *row) {
    llmcall_call *call = sequence->group->user;
    llmc_choice *choice = sequence->user;
    llmc_sample sample;
    llmc_sampler_sample(choice->sampler, row, NULL, sequence->n_tokens + choice->n_sampled, &sample);
    llmc_sampler_accept(choice->sampler, sample.token);
    call->n_sampled++;
    mark_first_token(call);
    choice->sampled[choice->n_sampled++] = sample.token;
    const llmc_tokenizer *tokenizer = llmc_model_tokenizer(runtime->model);
    if (!call->ignore_eos && tokenizer && llmc_tokenizer_is_eog(tokenizer, sample.token)) {
        choice->outcome = LLMCALL_FINISH_STOP;
        return;
    }
    emit_token(call, choice, &sample);
}

/* Sampled as ever, token by token; the row after a draft serves only if the draft is what was sampled. rows: one, and one a
 * draft. */
static void sample_item(llmc_runtime *runtime, const llmc_step_item *item, float *rows) {
    const llmc_sequence *sequence = item->sequence;
    const int32_t *drafts = sequence->tokens + sequence->n_tokens;
    size_t n_vocab = llmc_model_shape_of(runtime->model)->n_vocab;
    llmc_choice *choice = sequence->user;
    choice->n_sampled = 0;
    choice->outcome = LLMCALL_FINISH_NONE;
    uint32_t n_right = 0;
    for (;;) {
        sample_token(runtime, sequence, rows + n_right * n_vocab);
        if (n_right == item->n_drafts || choice->sampled[n_right] != drafts[n_right]) break;
        n_right++;
        if (choice->outcome) break;
    }
    if (item->n_drafts > 0) count_drafts(call_of(item), item->n_drafts, n_right);
}

/* Rows of logits to the items that wanted them; the sampler changes them in place. */
static void use_logits(llmc_runtime *runtime, const llmc_step *step, float *logits) {
    size_t n_vocab = llmc_model_shape_of(runtime->model)->n_vocab;
    for (uint32_t i = 0; i < step->n_items; i++) {
        const llmc_step_item *item = &step->items[i];
        if (item->wants_logits == 2) {
            float *scores = call_of(item)->score_logits;
            memcpy(scores + item->start * n_vocab, logits, item->n_tokens * n_vocab * sizeof *logits);
            logits += item->n_tokens * n_vocab;
        } else if (item->wants_logits == 1) {
            sample_item(runtime, item, logits);
            logits += (1 + item->n_drafts) * n_vocab;
        }
    }
}

/* Rows of the last layer, one a token of the step, to the items that wanted them. */
static void use_hidden(llmc_runtime *runtime, const llmc_step *step) {
    if (!step->hidden) return;
    const float *rows = llmc_model_hidden(runtime->model);
    uint32_t width = llmc_model_shape_of(runtime->model)->width;
    for (uint32_t i = 0; i < step->n_items; i++) {
        const llmc_step_item *item = &step->items[i];
        if (item->wants_hidden)
            llmc_embed_rows(call_of(item), rows, width, item->start, item->n_tokens, item->sequence->n_tokens);
        rows += (size_t)item->n_tokens * width;
    }
}

/* ---- After the step; engine->lock held ---- */

static void advance_choice(llmcall_call *call, llmc_choice *choice) {
    llmc_sched *sched = call->runtime->sched;
    uint32_t n = choice->n_sampled - (choice->outcome != LLMCALL_FINISH_NONE); /* a token that ends the answer is no input */
    int goes_on = 1;
    for (uint32_t i = 0; i < n && goes_on; i++) goes_on = llmc_sched_append(sched, choice->sequence, choice->sampled[i]);
    if (choice->outcome == LLMCALL_FINISH_ERROR) end_call(call, LLMCALL_E_NO_MEMORY, NULL);
    else if (choice->outcome) finish_choice(call, choice, choice->outcome);
    else if (!goes_on) finish_choice(call, choice, LLMCALL_FINISH_LENGTH);
}

/* finish_choice and end_call may free a call, and with it sequences that later items point to: what is needed of the items is
 * noted first. */
static void note_items(llmc_runtime *runtime, const llmc_step *step) {
    for (uint32_t i = 0; i < step->n_items; i++) {
        const llmc_step_item *item = &step->items[i];
        llmc_advance *advance = &runtime->advances[i];
        advance->call = call_of(item);
        advance->choice = item->sequence->user;
        advance->sampled = item->wants_logits == 1;
        advance->scored =
            (item->wants_logits == 2 || item->wants_hidden) && item->start + item->n_tokens == item->sequence->n_tokens;
        llmc_call_retain(advance->call);
    }
}

static void advance_item(const llmc_advance *advance, llmcall_status status, const llmcall_error *error) {
    if (advance->choice->finished) return;
    if (status) end_call(advance->call, status, error);
    else if (advance->sampled) advance_choice(advance->call, advance->choice);
    else if (advance->scored) finish_choice(advance->call, advance->choice, LLMCALL_FINISH_STOP);
}

/* status: how the step ended; one that failed is not committed, and ends every call in it. */
static void advance_all(llmc_runtime *runtime, const llmc_step *step, llmcall_status status, const llmcall_error *error) {
    uint32_t n = step->n_items;
    note_items(runtime, step);
    if (!status) llmc_sched_commit(runtime->sched, step);
    for (uint32_t i = 0; i < n; i++) advance_item(&runtime->advances[i], status, error);
    for (uint32_t i = 0; i < n; i++) llmc_call_release(runtime->advances[i].call);
}

int llmc_step_runtime(llmcall_engine *engine, llmc_runtime *runtime) {
    llmc_step step;
    llmc_batch batch;
    llmc_mutex_lock(&engine->lock);
    plan(engine, runtime, &step, &batch);
    llmc_mutex_unlock(&engine->lock);
    if (!step.n_items) return 0;

    for (uint32_t i = 0; i < step.n_zero_pages; i++) llmc_model_kv_zero(runtime->model, step.zero_pages[i]);
    for (uint32_t i = 0; i < step.n_zero_windows; i++) llmc_model_window_zero(runtime->model, step.zero_windows[i]);
    for (uint32_t i = 0; i < step.n_state_copies; i++)
        llmc_model_state_copy(runtime->model, step.state_copies[i].dst, step.state_copies[i].src);
    llmcall_error error;
    llmcall_init(&error, sizeof error);
    const float *logits = NULL;
    llmcall_status status = llmc_model_run(runtime->model, &batch, &logits, &error);
    if (!status) use_logits(runtime, &step, (float *)logits); /* ours until the next run */
    if (!status) use_hidden(runtime, &step);

    llmc_mutex_lock(&engine->lock);
    advance_all(runtime, &step, status, &error);
    llmc_mutex_unlock(&engine->lock);
    return 1;
}
