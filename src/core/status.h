/* The status table: what each llmcall_status is called, by whom, and which HTTP status says the same. */
#ifndef LLMC_STATUS_H
#define LLMC_STATUS_H

#include "llmcall.h"

typedef struct llmc_status_row {
    llmcall_status status;
    const char *name; /* "LLMCALL_E_ARGUMENT" */
    const char *code; /* "invalid_argument", what llmcall_error.code says unless a failure is more exact */
    int32_t http;     /* 0 for LLMCALL_OK */
} llmc_status_row;

const llmc_status_row *llmc_status_find(llmcall_status status); /* NULL if there is no such status; static */

#endif
