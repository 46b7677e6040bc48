/* A growing byte buffer with a cap that is declared when it is made, and a sticky failure: append as often as needed, look
 * once at the end. */
#ifndef LLMC_BUFFER_H
#define LLMC_BUFFER_H

#include "core/alloc.h"

typedef struct llmc_buffer {
    const llmc_env *env;
    char *data; /* NUL-terminated after size bytes once anything was appended; NULL before */
    size_t size;
    size_t capacity;
    size_t max; /* bytes it may ever hold */
    llmcall_status
        status; /* LLMCALL_OK, LLMCALL_E_NO_MEMORY, or LLMCALL_E_BUFFER when max was reached; then appends do nothing */
} llmc_buffer;

void llmc_buffer_init(llmc_buffer *buffer, const llmc_env *env, size_t max);
void llmc_buffer_free(llmc_buffer *buffer);                                  /* back to the state after init */
void llmc_buffer_clear(llmc_buffer *buffer);                                 /* keeps the memory; resets size and status */
int llmc_buffer_append(llmc_buffer *buffer, const void *bytes, size_t size); /* 1, or 0 with status set */
int llmc_buffer_append_text(llmc_buffer *buffer, const char *text);          /* NUL-terminated */
int llmc_buffer_append_char(llmc_buffer *buffer, char c);
int llmc_buffer_printf(llmc_buffer *buffer, const char *format, ...) LLMC_PRINTF(2, 3); /* output up to 511 bytes a call */
void llmc_buffer_drop_front(llmc_buffer *buffer, size_t size);                          /* removes the first size bytes */

#endif
