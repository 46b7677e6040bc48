/* The delivery thread: shows text to the moderate hook, pushes events to on_event, reports spans, and offers usage records.
 * Whatever a hook does here, no step waits for it. */
#include "engine/engine.h"

#include <string.h>

enum { BILL_EVERY = 256 }; /* deliveries of text between two looks at the ledger */

void llmc_deliver_queue(llmcall_call *call) {
    llmcall_engine *engine = call->engine;
    llmc_mutex_lock(&engine->delivery.lock);
    if (!call->queued) {
        call->queued = 1;
        call->queue_next = NULL;
        llmc_call_retain(call);
        if (engine->delivery.last) engine->delivery.last->queue_next = call;
        else engine->delivery.first = call;
        engine->delivery.last = call;
        llmc_cond_signal(&engine->delivery.work);
    }
    llmc_mutex_unlock(&engine->delivery.lock);
}

void llmc_deliver_bills(llmcall_engine *engine) {
    llmc_mutex_lock(&engine->delivery.lock);
    engine->delivery.bills = 1;
    llmc_cond_signal(&engine->delivery.work);
    llmc_mutex_unlock(&engine->delivery.lock);
}

static llmcall_call *dequeue(llmcall_engine *engine) {
    llmc_mutex_lock(&engine->delivery.lock);
    llmcall_call *call = engine->delivery.first;
    if (call) {
        engine->delivery.first = call->queue_next;
        if (!engine->delivery.first) engine->delivery.last = NULL;
        call->queued = 0;
    }
    llmc_mutex_unlock(&engine->delivery.lock);
    return call;
}

/* What may still change until the call's end: figures are filled in then, and stages 10 to 13 interleave. */
static int span_is_final(const llmcall_call *call, int32_t stage) {
    if (!llmc_timeline_span(&call->timeline, stage)) return 0;
    return stage < LLMCALL_STAGE_QUEUE || call->outgoing_end;
}

static void send_spans(llmcall_call *call) {
    const llmcall_hooks *hooks = &call->engine->hooks;
    if (!hooks->span) return;
    for (int32_t stage = 1; stage <= LLMCALL_STAGE_COUNT; stage++) {
        if (call->spans_sent >> stage & 1u) continue;
        llmc_mutex_lock(&call->lock);
        int send = span_is_final(call, stage);
        llmcall_span span = call->timeline.spans[stage - 1];
        llmc_mutex_unlock(&call->lock);
        if (!send) continue;
        call->spans_sent |= 1u << stage;
        hooks->span(hooks->user, call->record.call_id, call->record.trace_id, &span);
    }
}

/* Replaces or drops the text being delivered, as the hook says. */
static int32_t moderate(llmcall_call *call, uint32_t index, int final) {
    llmcall_moderation_request request;
    llmcall_init(&request, sizeof request);
    request.choice = (int32_t)index;
    request.call_id = call->record.call_id;
    request.text = call->delivering.text.data ? call->delivering.text.data : "";
    request.size = call->delivering.text.size;
    request.final = final;
    llmcall_moderation verdict;
    int32_t action = llmc_output_moderate(&call->engine->hooks, &request, &verdict);
    if (action == LLMCALL_MODERATE_REPLACE) {
        llmc_piece_clear(&call->delivering); /* the tokens go too: they would tell what was replaced */
        if (!llmc_buffer_append(&call->delivering.text, verdict.replacement, verdict.replacement_size))
            action = LLMCALL_MODERATE_STOP;
    }
    if (action == LLMCALL_MODERATE_STOP) llmc_piece_clear(&call->delivering);
    return action;
}

/* Takes what is staged into call->delivering. Returns the choice's finish reason, or NONE; *something: there is something. */
static int32_t take_staged(llmcall_call *call, llmc_choice *choice, int *something) {
    llmc_mutex_lock(&call->lock);
    int32_t finish = choice->staged_finish;
    *something = choice->staged.text.size > 0 || finish;
    /* Tokens whose text is held back wait for it, so that the moderate hook sees it before the reader sees them. */
    if (!call->engine->hooks.moderate) *something |= choice->staged.n_tokens > 0;
    if (*something) {
        llmc_piece staged = choice->staged;
        choice->staged = call->delivering;
        call->delivering = staged;
        llmc_piece_clear(&choice->staged);
        choice->staged_finish = LLMCALL_FINISH_NONE;
    }
    llmc_mutex_unlock(&call->lock);
    return finish;
}

static void set_filtered(llmcall_call *call, llmc_choice *choice) {
    atomic_store_explicit(&choice->filtered, 1, memory_order_relaxed);
    llmc_engine_wake(call->engine);
}

/* call->lock held. The engine ends the call with this error, or has ended it: then the record says so here. */
static void fail_delivery(llmcall_call *call) {
    if (!call->error.status) llmc_fail_memory(&call->error, "the call's text");
    if (call->staged_end && !call->record.status) call->record.status = call->error.status;
    atomic_store_explicit(&call->cancelled, 1, memory_order_relaxed);
}

/* The choice's staged text to its reader. */
static void deliver_choice(llmcall_call *call, uint32_t index) {
    llmc_choice *choice = &call->choices[index];
    int something;
    int32_t finish = take_staged(call, choice, &something);
    if (!something) return;
    int filtered = atomic_load_explicit(&choice->filtered, memory_order_relaxed);
    if (!filtered && moderate(call, index, finish != LLMCALL_FINISH_NONE) == LLMCALL_MODERATE_STOP) {
        filtered = 1;
        set_filtered(call, choice);
    }
    int failed = 0;
    llmc_mutex_lock(&call->lock);
    if (!filtered) failed = !llmc_piece_append(&call->engine->env, &choice->outgoing, &call->delivering);
    if (failed) fail_delivery(call);
    if (filtered && finish) finish = LLMCALL_FINISH_CONTENT_FILTER;
    else if (failed && finish) finish = LLMCALL_FINISH_ERROR;
    if (finish) choice->outgoing_finish = finish;
    if (finish && index == 0) call->record.finish_reason = finish;
    llmc_cond_broadcast(&call->ready);
    llmc_mutex_unlock(&call->lock);
    if (failed) llmc_engine_wake(call->engine);
}

int llmc_call_in_event(const llmcall_call *call) {
    return call->in_event && pthread_equal(call->event_thread.handle, pthread_self());
}

/* The next event for on_event, unless its handle was closed meanwhile. */
static int begin_event(llmcall_call *call, llmcall_event *event) {
    int at_end;
    llmcall_init(event, sizeof *event);
    llmc_mutex_lock(&call->lock);
    int got = !call->closed && llmc_call_take_event(call, event, &at_end);
    call->in_event = got;
    call->event_thread.handle = pthread_self();
    llmc_mutex_unlock(&call->lock);
    return got;
}

static void push_events(llmcall_call *call) {
    llmcall_event event;
    while (begin_event(call, &event)) call->on_event(call->on_event_user, &event);
}

static void deliver_call(llmcall_call *call) {
    /* The end is looked at first: what was staged before it is then certain to be seen below. */
    llmc_mutex_lock(&call->lock);
    int ended = call->staged_end && !call->outgoing_end;
    llmc_mutex_unlock(&call->lock);
    for (uint32_t i = 0; i < call->n_choices; i++) deliver_choice(call, i);
    if (ended) {
        llmc_mutex_lock(&call->lock);
        call->outgoing_end = 1;
        llmc_cond_broadcast(&call->ready);
        llmcall_usage_record record = call->record;
        llmc_ledger_slot *slot = call->slot;
        call->slot = NULL;
        llmc_mutex_unlock(&call->lock);
        if (slot) llmc_ledger_put(call->engine->ledger, slot, &record);
    }
    send_spans(call);
    if (call->on_event) push_events(call);
}

void llmc_deliver_all(llmcall_engine *engine, int64_t *wait_ns) {
    uint32_t n = 0;
    for (llmcall_call *call; (call = dequeue(engine)) != NULL;) {
        deliver_call(call);
        llmc_call_release(call);
        /* A stream of text that never ends must not keep the bills waiting. */
        if (++n % BILL_EVERY == 0) (void)llmc_ledger_deliver(engine->ledger, llmc_now(&engine->env));
    }
    *wait_ns = llmc_ledger_deliver(engine->ledger, llmc_now(&engine->env));
}

void llmc_deliver_thread(void *argument) {
    llmcall_engine *engine = argument;
    int64_t wait_ns = -1;
    for (;;) {
        llmc_mutex_lock(&engine->delivery.lock);
        if (!engine->delivery.first && !engine->delivery.bills && !engine->delivery.closing)
            (void)llmc_cond_wait(&engine->delivery.work, &engine->delivery.lock, wait_ns);
        engine->delivery.bills = 0;
        int closing = engine->delivery.closing;
        llmc_mutex_unlock(&engine->delivery.lock);
        if (closing) return;
        llmc_deliver_all(engine, &wait_ns);
    }
}
