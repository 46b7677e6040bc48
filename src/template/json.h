/* JSON to template values: the one place where requests from outside become what templates see. */
#ifndef LLMC_TEMPLATE_JSON_H
#define LLMC_TEMPLATE_JSON_H

#include <jansson.h>

#include "template/value.h"

/* Texts stay jansson's: the tree must outlive the value. 0 when the arena is out of memory. Depth as llmc_json_load allows. */
int llmc_value_from_json(llmc_arena *arena, const json_t *json, llmc_value *out);

/* Renders with the members of an object as variables; what it lacks is undefined. For the rest as llmc_template_render. */
llmcall_status llmc_template_render_json(const llmc_template *compiled, json_t *variables, int64_t now_unix_s, llmc_buffer *out,
                                         llmcall_error *error);

#endif
