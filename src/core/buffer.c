/* The bounded byte buffer. Failures stick, so that text is put together without a check at every piece. */
#include "core/buffer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void llmc_buffer_init(llmc_buffer *buffer, const llmc_env *env, size_t max) {
    *buffer = (llmc_buffer){.env = env, .max = max < (size_t)PTRDIFF_MAX ? max : (size_t)PTRDIFF_MAX};
}

void llmc_buffer_free(llmc_buffer *buffer) {
    llmc_free(buffer->env, buffer->data);
    llmc_buffer_init(buffer, buffer->env, buffer->max);
}

void llmc_buffer_clear(llmc_buffer *buffer) {
    buffer->size = 0;
    buffer->status = LLMCALL_OK;
    if (buffer->data) buffer->data[0] = 0;
}

static int fail(llmc_buffer *buffer, llmcall_status status) {
    buffer->status = status;
    return 0;
}

/* Room for size more bytes and the NUL. */
static int reserve(llmc_buffer *buffer, size_t size) {
    if (buffer->status != LLMCALL_OK) return 0;
    if (size > buffer->max - buffer->size) return fail(buffer, LLMCALL_E_BUFFER);
    void *data = buffer->data;
    size_t need = buffer->size + size + 1;
    if (need > buffer->capacity && need < 64) need = buffer->max < 63 ? buffer->max + 1 : 64;
    if (!llmc_grow(buffer->env, &data, &buffer->capacity, need, 1, buffer->max + 1)) return fail(buffer, LLMCALL_E_NO_MEMORY);
    buffer->data = data;
    return 1;
}

int llmc_buffer_append(llmc_buffer *buffer, const void *bytes, size_t size) {
    if (!reserve(buffer, size)) return 0;
    if (size) memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
    buffer->data[buffer->size] = 0;
    return 1;
}

int llmc_buffer_append_text(llmc_buffer *buffer, const char *text) {
    return llmc_buffer_append(buffer, text, strlen(text));
}

int llmc_buffer_append_char(llmc_buffer *buffer, char c) {
    return llmc_buffer_append(buffer, &c, 1);
}

int llmc_buffer_printf(llmc_buffer *buffer, const char *format, ...) {
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (written < 0 || written >= (int)sizeof text) return buffer->status == LLMCALL_OK ? fail(buffer, LLMCALL_E_BUFFER) : 0;
    return llmc_buffer_append(buffer, text, (size_t)written);
}

void llmc_buffer_drop_front(llmc_buffer *buffer, size_t size) {
    if (!buffer->data) return;
    if (size > buffer->size) size = buffer->size;
    buffer->size -= size;
    memmove(buffer->data, buffer->data + size, buffer->size);
    buffer->data[buffer->size] = 0;
}
