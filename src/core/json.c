/* The guard in front of jansson. */
#include "core/json.h"

typedef struct scan {
    size_t depth, deepest, n_values;
} scan;

/* The offset behind a string that begins at `at`. */
static size_t skip_string(const char *text, size_t size, size_t at) {
    for (at++; at < size && text[at] != '"'; at++) at += text[at] == '\\';
    return at;
}

/* Brackets and separators outside strings: an upper bound of what jansson will build, whether the text is JSON or not. */
static scan scan_text(const char *text, size_t size) {
    scan s = {.n_values = 1};
    for (size_t at = 0; at < size; at++) {
        switch (text[at]) {
        case '"':
            at = skip_string(text, size, at);
            break;
        case '[':
        case '{':
            s.n_values++;
            if (++s.depth > s.deepest) s.deepest = s.depth;
            break;
        case ']':
        case '}':
            s.depth -= s.depth > 0;
            break;
        case ',':
            s.n_values++;
            break;
        default:
            break;
        }
    }
    return s;
}

static llmcall_status check(const char *text, size_t size, const char *param, llmcall_error *error) {
    if (size > LLMC_JSON_MAX_SIZE)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, param, "%s has %zu bytes of JSON; at most %zu.", param, size,
                         LLMC_JSON_MAX_SIZE);
    const scan s = scan_text(text, size);
    if (s.deepest > LLMC_JSON_MAX_DEPTH)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, param, "%s is JSON nested %zu deep; at most %d.", param, s.deepest,
                         LLMC_JSON_MAX_DEPTH);
    if (s.n_values > LLMC_JSON_MAX_VALUES)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, param, "%s is JSON of %zu values; at most %d.", param, s.n_values,
                         LLMC_JSON_MAX_VALUES);
    return LLMCALL_OK;
}

llmcall_status llmc_json_load(const char *text, size_t size, const char *param, json_t **out, llmcall_error *error) {
    json_error_t what;
    *out = NULL;
    llmcall_status status = check(text, size, param, error);
    if (status) return status;
    *out = json_loadb(text, size, JSON_DECODE_ANY | JSON_ALLOW_NUL, &what);
    if (*out) return LLMCALL_OK;
    /* Where memory fails, jansson often says nothing at all. */
    if (json_error_code(&what) == json_error_out_of_memory || !what.text[0]) return llmc_fail_memory(error, param);
    return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, param, "%s is not JSON: line %d, column %d: %s.", param, what.line,
                     what.column, what.text);
}
