/* JSON from outside as jansson's tree. Size, depth and number of values are checked before jansson sees the text: it recurses,
 * and its own caps cannot be set. */
#ifndef LLMC_JSON_H
#define LLMC_JSON_H

#include <jansson.h>

#include "core/error.h"

#define LLMC_JSON_MAX_SIZE   ((size_t)16 << 20) /* bytes of text */
#define LLMC_JSON_MAX_DEPTH  64                 /* arrays and objects within each other */
#define LLMC_JSON_MAX_VALUES 500000             /* about 80 bytes each in jansson's tree */

/* UTF-8 text to a tree; *out is the caller's, for json_decref, and NULL on failure. LLMCALL_E_ARGUMENT naming param, with the
 * line and column, or LLMCALL_E_NO_MEMORY (where jansson notices). Integers have 64 bits; of a repeated key the last value
 * counts; object keys keep their order. jansson's memory comes from malloc, not from an env's allocator: json_set_alloc_funcs
 * is the whole process's, which is not ours, and what it takes knows neither an engine nor the size of what it frees. */
llmcall_status llmc_json_load(const char *text, size_t size, const char *param, json_t **out, llmcall_error *error);

#endif
