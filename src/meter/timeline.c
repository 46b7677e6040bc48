/* The timeline of a call: one span a stage. */
#include <string.h>

#include "meter/meter.h"

enum { NEVER = 0, OPEN = 1, ENDED = 2 };

static int is_stage(int32_t stage) {
    return stage >= 1 && stage <= LLMCALL_STAGE_COUNT;
}

void llmc_timeline_init(llmc_timeline *timeline, int64_t now_ns) {
    memset(timeline, 0, sizeof *timeline);
    timeline->origin_ns = now_ns;
    for (int32_t i = 0; i < LLMCALL_STAGE_COUNT; i++) {
        timeline->spans[i].struct_size = sizeof timeline->spans[i];
        timeline->spans[i].stage = i + 1;
    }
}

void llmc_timeline_begin(llmc_timeline *timeline, int32_t stage, int64_t now_ns) {
    if (!is_stage(stage) || timeline->state[stage - 1] == OPEN) return;
    llmcall_span *span = &timeline->spans[stage - 1];
    int64_t start_ns = now_ns - timeline->origin_ns;
    if (timeline->state[stage - 1] == NEVER) span->start_ns = span->end_ns = start_ns;
    timeline->opened_ns[stage - 1] = now_ns;
    timeline->state[stage - 1] = OPEN;
}

void llmc_timeline_end(llmc_timeline *timeline, int32_t stage, int64_t now_ns) {
    if (!is_stage(stage) || timeline->state[stage - 1] != OPEN) return;
    int64_t opened_ns = timeline->opened_ns[stage - 1];
    timeline->state[stage - 1] = ENDED;
    llmc_timeline_add(timeline, stage, opened_ns, now_ns, now_ns - opened_ns);
}

void llmc_timeline_add(llmc_timeline *timeline, int32_t stage, int64_t start_ns, int64_t end_ns, int64_t busy_ns) {
    if (!is_stage(stage)) return;
    llmcall_span *span = &timeline->spans[stage - 1];
    int64_t start = start_ns - timeline->origin_ns;
    int64_t end = end_ns - timeline->origin_ns;
    int first = timeline->state[stage - 1] == NEVER;
    if (end < start) end = start;
    if (first || start < span->start_ns) span->start_ns = start;
    if (first || end > span->end_ns) span->end_ns = end;
    if (busy_ns > 0) span->busy_ns += busy_ns;
    if (first) timeline->state[stage - 1] = ENDED;
}

void llmc_timeline_tokens(llmc_timeline *timeline, int32_t stage, int64_t tokens) {
    if (is_stage(stage)) timeline->spans[stage - 1].tokens = tokens;
}

void llmc_timeline_cost(llmc_timeline *timeline, const llmcall_usage_record *record) {
    timeline->spans[LLMCALL_STAGE_PREFILL - 1].cost_nano = record->cost_prompt_nano;
    timeline->spans[LLMCALL_STAGE_CACHE - 1].cost_nano = record->cost_cached_nano;
    timeline->spans[LLMCALL_STAGE_DECODE - 1].cost_nano = record->cost_completion_nano;
}

const llmcall_span *llmc_timeline_span(const llmc_timeline *timeline, int32_t stage) {
    return is_stage(stage) && timeline->state[stage - 1] != NEVER ? &timeline->spans[stage - 1] : NULL;
}

size_t llmc_timeline_spans(const llmc_timeline *timeline, int64_t now_ns, llmcall_span out[LLMCALL_STAGE_COUNT]) {
    size_t n = 0;
    for (int i = 0; i < LLMCALL_STAGE_COUNT; i++) {
        if (timeline->state[i] == NEVER) continue;
        llmcall_span *span = &out[n++];
        *span = timeline->spans[i];
        if (timeline->state[i] != OPEN || now_ns <= timeline->opened_ns[i]) continue;
        if (now_ns - timeline->origin_ns > span->end_ns) span->end_ns = now_ns - timeline->origin_ns;
        span->busy_ns += now_ns - timeline->opened_ns[i];
    }
    return n;
}
