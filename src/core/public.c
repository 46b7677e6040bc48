/* The public functions that need no engine: struct initialisation, and the names of statuses, stages and finish reasons. */
#include <string.h>

#include "core/status.h"

#define TEXT_OF(x)                        #x
#define VERSION_TEXT(major, minor, patch) TEXT_OF(major) "." TEXT_OF(minor) "." TEXT_OF(patch)

void llmcall_init(void *object, size_t size) {
    if (!object) return;
    memset(object, 0, size);
    uint32_t struct_size = (uint32_t)size;
    if (size >= sizeof struct_size) memcpy(object, &struct_size, sizeof struct_size);
}

const char *llmcall_version(void) {
    return VERSION_TEXT(LLMCALL_VERSION_MAJOR, LLMCALL_VERSION_MINOR, LLMCALL_VERSION_PATCH);
}

const char *llmcall_status_name(llmcall_status status) {
    const llmc_status_row *row = llmc_status_find(status);
    return row ? row->name : "unknown";
}

static const char *const stage_names[LLMCALL_STAGE_COUNT + 1] = {
    [LLMCALL_STAGE_NETWORK] = "network",   [LLMCALL_STAGE_HTTP] = "http",         [LLMCALL_STAGE_AUTH] = "auth",
    [LLMCALL_STAGE_LIMITS] = "limits",     [LLMCALL_STAGE_VALIDATE] = "validate", [LLMCALL_STAGE_ROUTE] = "route",
    [LLMCALL_STAGE_TOKENIZE] = "tokenize", [LLMCALL_STAGE_QUEUE] = "queue",       [LLMCALL_STAGE_CACHE] = "cache",
    [LLMCALL_STAGE_PREFILL] = "prefill",   [LLMCALL_STAGE_DECODE] = "decode",     [LLMCALL_STAGE_OUTPUT] = "output",
    [LLMCALL_STAGE_PACKAGE] = "package",   [LLMCALL_STAGE_BILL] = "bill",
};

const char *llmcall_stage_name(int32_t stage) {
    return stage >= 1 && stage <= LLMCALL_STAGE_COUNT ? stage_names[stage] : "unknown";
}

static const char *const finish_names[] = {
    [LLMCALL_FINISH_NONE] = "none",
    [LLMCALL_FINISH_STOP] = "stop",
    [LLMCALL_FINISH_LENGTH] = "length",
    [LLMCALL_FINISH_CONTENT_FILTER] = "content_filter",
    [LLMCALL_FINISH_TOOL_CALLS] = "tool_calls",
    [LLMCALL_FINISH_CANCELLED] = "cancelled",
    [LLMCALL_FINISH_ERROR] = "error",
};

const char *llmcall_finish_name(int32_t finish_reason) {
    const int32_t count = (int32_t)(sizeof finish_names / sizeof *finish_names);
    return finish_reason >= 0 && finish_reason < count ? finish_names[finish_reason] : "unknown";
}
