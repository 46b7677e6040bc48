/* How a failure travels: a status goes up, the detail into the llmcall_error that the caller gave. */
#ifndef LLMC_ERROR_H
#define LLMC_ERROR_H

#include "core/env.h"

/* Fills error (may be NULL) and returns status, so that a function can end with `return llmc_fail(...)`. code NULL: the
 * status's own ("context_length_exceeded"); param NULL: none; the sentence is cut to its field, never inside a character. */
llmcall_status llmc_fail(llmcall_error *error, llmcall_status status, const char *code, const char *param, const char *format,
                         ...) LLMC_PRINTF(5, 6);

llmcall_status llmc_fail_memory(llmcall_error *error, const char *what); /* LLMCALL_E_NO_MEMORY */

void llmc_error_clear(llmcall_error *error);                        /* to LLMCALL_OK, within its struct_size */
void llmc_error_copy(llmcall_error *to, const llmcall_error *from); /* within the smaller struct_size */

/* The two facts that a status alone decides. */
int32_t llmc_status_http(llmcall_status status);
const char *llmc_status_code(llmcall_status status);

#endif
