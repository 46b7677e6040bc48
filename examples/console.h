/* What the example programs share on a terminal: colours, a progress bar, tables, options, JSON. */
#ifndef EXAMPLES_CONSOLE_H
#define EXAMPLES_CONSOLE_H

#include <jansson.h>
#include <llmcall.h>
#include <stdio.h>

/* ANSI codes, or empty strings where stream is no terminal, TERM is dumb or NO_COLOR is set. */
typedef struct console_style {
    const char *dim, *bold, *accent, *error, *reset;
} console_style;
console_style console_style_for(FILE *stream);

/* A llmcall_progress_fn that draws a bar on stderr if that is a terminal. user: an int, set to 1 when asked to stop (or
 * NULL). */
int32_t console_progress(void *user, uint64_t done, uint64_t total);

/* "program: sentence" on stderr, with what the error knows. */
void console_fail(const char *program, const llmcall_error *error);

/* The spans of a call as a table for people: stage, milliseconds, share of the wait, tokens, cost. */
void console_timeline(FILE *stream, llmcall_call *call);

/* The same, and the usage, as JSON; NULL without memory. */
json_t *console_timeline_json(llmcall_call *call);
json_t *console_usage_json(const llmcall_usage_record *usage);

/* Numbers from the command line: 1, or 0 with a message on stderr. */
int console_number(const char *program, const char *option, const char *text, double min, double max, double *value);
int console_kv_type(const char *program, const char *text, int32_t *type); /* "f16", "q8_0", "f32" */
int console_integer(const char *program, const char *option, const char *text, int64_t min, int64_t max, int64_t *value);

#endif
