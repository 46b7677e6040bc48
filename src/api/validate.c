/* Stage 5: every field of a request checked, by a table; the error names the field and the value. */
#include "api/api.h"

#include <math.h>
#include <string.h>

#include "core/utf8.h"

enum { MAX_BIAS = 1024, MAX_STOPS = 16, MAX_STOP_BYTES = 4096, MAX_TOP = 20 };

typedef struct number_rule {
    const char *name;
    size_t offset;
    enum { FIELD_FLOAT, FIELD_I32, FIELD_U32, FIELD_I64 } type;
    double min, max;
} number_rule;

#define FIELD(field) #field, offsetof(llmcall_request, field)
static const number_rule number_rules[] = {
    {FIELD(temperature), FIELD_FLOAT, 0, 100},
    {FIELD(top_p), FIELD_FLOAT, 0, 1},
    {FIELD(min_p), FIELD_FLOAT, 0, 1},
    {FIELD(top_k), FIELD_I32, 0, INT32_MAX},
    {FIELD(presence_penalty), FIELD_FLOAT, -2, 2},
    {FIELD(frequency_penalty), FIELD_FLOAT, -2, 2},
    {FIELD(repetition_penalty), FIELD_FLOAT, 0, 100},
    {FIELD(max_tokens), FIELD_I64, 0, (double)(1LL << 40)},
    {FIELD(logprobs), FIELD_I32, 0, 1},
    {FIELD(top_logprobs), FIELD_I32, 0, MAX_TOP},
    {FIELD(has_seed), FIELD_I32, 0, 1},
    {FIELD(prompt_special), FIELD_U32, 0, 1},
    {FIELD(ignore_eos), FIELD_U32, 0, 1},
    {FIELD(priority), FIELD_I32, -100, 100},
    {FIELD(deadline_ms), FIELD_I64, 0, (double)(1LL << 40)},
    {FIELD(speculate), FIELD_U32, 0, LLMC_DRAFT_MAX},
};

/* Fields whose feature this version does not have: any other value than zero is refused, never ignored. */
static const struct {
    const char *name;
    size_t offset;
} unserved_pointers[] = {{FIELD(response_schema)}, {FIELD(tools_json)}, {FIELD(tool_choice)}};

static double read_number(const llmcall_request *request, const number_rule *rule) {
    const char *at = (const char *)request + rule->offset;
    float f;
    int32_t i32;
    uint32_t u32;
    int64_t i64;
    switch (rule->type) {
    case FIELD_FLOAT:
        return memcpy(&f, at, sizeof f), (double)f;
    case FIELD_I32:
        return memcpy(&i32, at, sizeof i32), (double)i32;
    case FIELD_U32:
        return memcpy(&u32, at, sizeof u32), (double)u32;
    default:
        return memcpy(&i64, at, sizeof i64), (double)i64;
    }
}

llmcall_status llmc_check_adapter(const char *adapter, float scale, llmcall_error *error) {
    if (!(scale >= -100 && scale <= 100))
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "adapter_scale",
                         "adapter_scale is %g; it must lie between -100 and 100.", (double)scale);
    if (scale != 0 && (!adapter || !*adapter))
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "adapter_scale", "adapter_scale is %g, but adapter is not set.",
                         (double)scale);
    return LLMCALL_OK;
}

static llmcall_status check_numbers(const llmcall_request *request, llmcall_error *error) {
    for (size_t i = 0; i < sizeof number_rules / sizeof *number_rules; i++) {
        const number_rule *rule = &number_rules[i];
        double value = read_number(request, rule);
        if (!(value >= rule->min && value <= rule->max))
            return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, rule->name, "%s is %g; it must lie between %g and %g.",
                             rule->name, value, rule->min, rule->max);
    }
    if (request->top_logprobs && !request->logprobs)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "top_logprobs", "top_logprobs is %d, but logprobs is not set.",
                         request->top_logprobs);
    return llmc_check_adapter(request->adapter, request->adapter_scale, error);
}

static llmcall_status check_served(const llmcall_request *request, llmcall_error *error) {
    for (size_t i = 0; i < sizeof unserved_pointers / sizeof *unserved_pointers; i++) {
        const char *value;
        memcpy(&value, (const char *)request + unserved_pointers[i].offset, sizeof value);
        if (value)
            return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, unserved_pointers[i].name, "%s is not served by this version.",
                             unserved_pointers[i].name);
    }
    if (request->response_format < LLMCALL_FORMAT_TEXT || request->response_format > LLMCALL_FORMAT_REGEX)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "response_format",
                         "response_format is %d, which is none of LLMCALL_FORMAT_*.", request->response_format);
    if (request->response_format != LLMCALL_FORMAT_TEXT)
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, "response_format",
                         "response_format %d is not served by this version.", request->response_format);
    return LLMCALL_OK;
}

static llmcall_status check_stops(const llmcall_request *request, llmcall_error *error) {
    if (request->n_stop > MAX_STOPS || (request->n_stop && !request->stop))
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "stop", "stop has %zu strings; at most %d.", request->n_stop,
                         MAX_STOPS);
    for (size_t i = 0; i < request->n_stop; i++) {
        size_t size;
        llmcall_status status = llmc_check_text(request->stop[i], -1, "stop", &size, error);
        if (status) return status;
        if (size == 0 || size > MAX_STOP_BYTES)
            return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "stop", "stop[%zu] has %zu bytes; it must have 1 to %d.", i, size,
                             MAX_STOP_BYTES);
    }
    return LLMCALL_OK;
}

static llmcall_status check_bias(const llmcall_request *request, llmcall_error *error) {
    if (request->n_logit_bias > MAX_BIAS || (request->n_logit_bias && !request->logit_bias))
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "logit_bias", "logit_bias has %zu entries; at most %d.",
                         request->n_logit_bias, MAX_BIAS);
    for (size_t i = 0; i < request->n_logit_bias; i++) {
        float bias = request->logit_bias[i].bias;
        if (!(bias >= -100 && bias <= 100))
            return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "logit_bias",
                             "logit_bias of token %d is %g; it must lie between -100 and 100.", request->logit_bias[i].token,
                             (double)bias);
    }
    return LLMCALL_OK;
}

static llmcall_status check_messages(const llmcall_request *request, llmcall_error *error) {
    if (request->n_messages == 0 || request->n_messages > LLMC_MAX_MESSAGES)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "messages", "messages has %zu entries; 1 to %d.", request->n_messages,
                         LLMC_MAX_MESSAGES);
    return LLMCALL_OK;
}

static llmcall_status check_input(const llmcall_request *request, llmcall_error *error) {
    int given = (request->messages != NULL) + (request->prompt != NULL) + (request->tokens != NULL);
    if (given != 1)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "messages",
                         "Exactly one of messages, prompt and tokens must be set, not %d.", given);
    size_t size;
    if (request->messages) return check_messages(request, error);
    if (request->prompt) return llmc_check_text(request->prompt, request->prompt_size, "prompt", &size, error);
    if (request->n_tokens == 0) return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "tokens", "tokens is empty.");
    return LLMCALL_OK;
}

static const int64_t longest_http_ns = INT64_C(86400) * 1000000000; /* a day */

llmcall_status llmc_check_caller(const llmcall_caller *caller, llmcall_error *error) {
    const struct {
        const char *name;
        int64_t size;
    } sizes[] = {{"caller.credential_size", caller->credential_size},
                 {"caller.region_size", caller->region_size},
                 {"caller.trace_id_size", caller->trace_id_size}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        if (sizes[i].size < -1)
            return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, sizes[i].name,
                             "%s is %lld; give the bytes, or -1 if it ends with NUL.", sizes[i].name, (long long)sizes[i].size);
    }
    if (!(caller->distance_km >= 0 && isfinite(caller->distance_km)))
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "caller.distance_km",
                         "caller.distance_km is %g; it must be 0 or more.", caller->distance_km);
    if (caller->http_ns < 0 || caller->http_ns > longest_http_ns)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "caller.http_ns",
                         "caller.http_ns is %lld; it must lie between 0 and %lld.", (long long)caller->http_ns,
                         (long long)longest_http_ns);
    return LLMCALL_OK;
}

llmcall_status llmc_check_request(const llmcall_engine *engine, const llmcall_request *request, llmcall_error *error) {
    if (request->n < 1 || request->n > engine->options.max_choices)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "n", "n is %u; it must lie between 1 and %u.", request->n,
                         engine->options.max_choices);
    llmcall_status status = check_numbers(request, error);
    if (!status) status = check_served(request, error);
    if (!status) status = check_stops(request, error);
    if (!status) status = check_bias(request, error);
    if (!status) status = check_input(request, error);
    return status;
}
