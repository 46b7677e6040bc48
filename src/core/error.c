/* The status table, and how a failure is written into the caller's llmcall_error, which may be of an older version. */
#include "core/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/status.h"
#include "core/utf8.h"

#define ROW(status, code, http)                                                                                                \
    { LLMCALL_##status, "LLMCALL_" #status, code, http }
static const llmc_status_row status_table[] = {
    ROW(OK, "ok", 0),
    ROW(E_ARGUMENT, "invalid_argument", 400),
    ROW(E_UNSUPPORTED, "unsupported", 400),
    ROW(E_NO_MEMORY, "no_memory", 503),
    ROW(E_IO, "io_error", 500),
    ROW(E_FORMAT, "malformed_file", 500),
    ROW(E_NOT_FOUND, "not_found", 404),
    ROW(E_CONTEXT_LENGTH, "context_length_exceeded", 400),
    ROW(E_UTF8, "invalid_utf8", 400),
    ROW(E_TEMPLATE, "template_error", 400),
    ROW(E_RATE_LIMIT, "rate_limit_exceeded", 429),
    ROW(E_QUEUE_FULL, "queue_full", 503),
    ROW(E_UNAUTHENTICATED, "invalid_api_key", 401),
    ROW(E_FORBIDDEN, "forbidden", 403),
    ROW(E_QUOTA, "insufficient_quota", 429),
    ROW(E_CANCELLED, "cancelled", 499),
    ROW(E_DEADLINE, "deadline_exceeded", 504),
    ROW(E_TIMEOUT, "timeout", 504),
    ROW(E_END, "end", 500),
    ROW(E_BUFFER, "buffer_too_small", 400),
    ROW(E_BACKEND, "backend_error", 500),
    ROW(E_CLOSED, "engine_closed", 503),
    ROW(E_INTERNAL, "internal_error", 500),
};
#undef ROW

const llmc_status_row *llmc_status_find(llmcall_status status) {
    const size_t count = sizeof status_table / sizeof *status_table;
    return status >= 0 && (size_t)status < count ? &status_table[status] : NULL;
}

int32_t llmc_status_http(llmcall_status status) {
    const llmc_status_row *row = llmc_status_find(status);
    return row ? row->http : 500;
}

const char *llmc_status_code(llmcall_status status) {
    const llmc_status_row *row = llmc_status_find(status);
    return row ? row->code : "internal_error";
}

/* Names out of hostile files end up in messages: what is not UTF-8, and control characters, become '?'. */
static void make_printable(char *text, size_t size) {
    for (size_t at = 0; at < size;) {
        uint32_t code_point = 0;
        size_t length = llmc_utf8_decode(text + at, size - at, &code_point);
        if (!length || code_point < 0x20 || code_point == 0x7f) text[at] = '?';
        at += length ? length : 1;
    }
}

static void finish_field(char *field, size_t capacity, int cut) {
    size_t size = strnlen(field, capacity - 1);
    if (cut) size -= llmc_utf8_incomplete_tail(field, size);
    make_printable(field, size);
    memset(field + size, 0, capacity - size);
}

static void set_field(char *field, size_t capacity, const char *text) {
    if (!text) return;
    size_t size = strnlen(text, capacity);
    memcpy(field, text, size < capacity ? size : capacity - 1);
    finish_field(field, capacity, size >= capacity);
}

/* Writes only what the caller's version of the struct has; a struct_size of 0 (no LLMCALL_INIT) has nothing. */
static void write_error(llmcall_error *to, llmcall_error *full) {
    size_t size = to->struct_size;
    if (size > sizeof *full) size = sizeof *full;
    full->struct_size = to->struct_size;
    memcpy(to, full, size < sizeof full->struct_size ? 0 : size);
}

llmcall_status llmc_fail(llmcall_error *error, llmcall_status status, const char *code, const char *param, const char *format,
                         ...) {
    if (!error) return status;
    llmcall_error full = {.status = status, .http_status = llmc_status_http(status)};
    set_field(full.code, sizeof full.code, code ? code : llmc_status_code(status));
    set_field(full.param, sizeof full.param, param);
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(full.message, sizeof full.message, format, arguments);
    va_end(arguments);
    finish_field(full.message, sizeof full.message, written >= (int)sizeof full.message);
    write_error(error, &full);
    return status;
}

llmcall_status llmc_fail_memory(llmcall_error *error, const char *what) {
    return llmc_fail(error, LLMCALL_E_NO_MEMORY, NULL, NULL, "not enough memory for %s", what ? what : "this");
}

void llmc_error_clear(llmcall_error *error) {
    if (!error) return;
    llmcall_error full = {0};
    write_error(error, &full);
}

void llmc_error_copy(llmcall_error *to, const llmcall_error *from) {
    if (!to || !from || to == from) return;
    llmcall_error full = {0};
    size_t size = from->struct_size < sizeof full ? from->struct_size : sizeof full;
    memcpy(&full, from, size);
    write_error(to, &full); /* what from does not have becomes zero */
}
