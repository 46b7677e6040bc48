/* Entry points of a running call: its events, usage, timeline, cancel and close. */
#include "api/api.h"

#include <string.h>

llmcall_status llmcall_next(llmcall_call *call, llmcall_event *out, int32_t timeout_ms) {
    if (!call || !out) return LLMCALL_E_ARGUMENT;
    if (call->on_event) return LLMCALL_E_END;
    const llmc_env *env = &call->engine->env;
    int64_t until_ns = timeout_ms < 0 ? INT64_MAX : llmc_now(env) + (int64_t)timeout_ms * 1000000;
    int may_wait = call->engine->options.threads != 0 && timeout_ms != 0;
    llmcall_event event;
    llmcall_init(&event, sizeof event);
    llmcall_status status = LLMCALL_OK;
    int at_end;
    llmc_mutex_lock(&call->lock);
    while (!llmc_call_take_event(call, &event, &at_end)) {
        int64_t left_ns = timeout_ms < 0 ? -1 : until_ns == INT64_MIN ? 0 : until_ns - llmc_now(env);
        if (at_end) status = LLMCALL_E_END;
        else if (!may_wait || (timeout_ms > 0 && left_ns <= 0)) status = LLMCALL_E_TIMEOUT;
        if (status) break;
        /* The wait itself decides that the time passed, whatever the application's clock says. */
        if (!llmc_cond_wait(&call->ready, &call->lock, left_ns) && timeout_ms > 0) until_ns = INT64_MIN;
    }
    llmc_mutex_unlock(&call->lock);
    if (!status) llmc_export(out, &event, sizeof event);
    return status;
}

void llmcall_cancel(llmcall_call *call) {
    if (!call) return;
    atomic_store_explicit(&call->cancelled, 1, memory_order_relaxed);
    llmc_engine_wake(call->engine);
}

llmcall_status llmcall_usage(llmcall_call *call, llmcall_usage_record *record, llmcall_error *error) {
    llmc_error_clear(error);
    if (!call || !record) return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, call ? "record" : "call", "NULL was given.");
    llmc_mutex_lock(&call->lock);
    llmc_export(record, &call->record, sizeof call->record);
    llmc_mutex_unlock(&call->lock);
    return LLMCALL_OK;
}

llmcall_status llmcall_timeline(llmcall_call *call, llmcall_span *spans, size_t capacity, size_t *n, llmcall_error *error) {
    llmc_error_clear(error);
    if (n) *n = 0;
    if (!call || !n || (capacity && !spans))
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, !call ? "call" : !n ? "n" : "spans", "NULL was given.");
    if (capacity && spans->struct_size < sizeof spans->struct_size)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, "bad_struct_size", "spans",
                         "spans has struct_size %u; fill it with LLMCALL_INIT.", spans->struct_size);
    llmcall_span found[LLMCALL_STAGE_COUNT];
    llmc_mutex_lock(&call->lock);
    *n = llmc_timeline_spans(&call->timeline, llmc_now(&call->engine->env), found);
    llmc_mutex_unlock(&call->lock);
    uint32_t stride = capacity ? spans->struct_size : 0;
    for (size_t i = 0; i < *n && i < capacity; i++) {
        char *to = (char *)spans + i * stride;
        memcpy(to, &stride, sizeof stride);
        llmc_export(to, &found[i], sizeof found[i]);
    }
    return *n > capacity
               ? llmc_fail(error, LLMCALL_E_BUFFER, NULL, "capacity", "There are %zu spans; capacity is %zu.", *n, capacity)
               : LLMCALL_OK;
}

void llmcall_close(llmcall_call **handle) {
    if (!handle || !*handle) return;
    llmcall_call *call = *handle;
    llmc_mutex_lock(&call->lock);
    int inside = llmc_call_in_event(call);
    int ended = call->outgoing_end || call->staged_end;
    if (!inside) call->closed = 1;
    llmc_mutex_unlock(&call->lock);
    if (inside) return;
    *handle = NULL;
    if (!ended) llmcall_cancel(call);
    llmc_call_release(call);
}
