/* What the public entry points share: structs of any version in, structs of any version out, and the checks of a request. */
#ifndef LLMC_API_H
#define LLMC_API_H

#include "engine/engine.h"

enum { LLMC_MAX_MESSAGES = 65536 };

/* Copies a caller's struct into one of ours: what an older, smaller struct lacks is zero; what a newer, larger one has beyond
 * ours must be zero, else LLMCALL_E_UNSUPPORTED. what names the struct in errors. */
llmcall_status llmc_import(void *to, size_t size, const void *from, const char *what, llmcall_error *error);

/* Copies our struct out to a caller's, as far as its struct_size goes, which stays. */
void llmc_export(void *to, const void *from, size_t size);

/* Size of a text given with a size of -1 for NUL-terminated; checks that it is UTF-8 and there at all. */
llmcall_status llmc_check_text(const char *text, int64_t given, const char *param, size_t *size, llmcall_error *error);

/* Ranges and combinations of everything in a request (already imported) that needs no model. */
llmcall_status llmc_check_request(const llmcall_engine *engine, const llmcall_request *request, llmcall_error *error);

/* What a server says of its client (already imported); checked before admission, which reads it. */
llmcall_status llmc_check_caller(const llmcall_caller *caller, llmcall_error *error);

/* An element of a caller's array of structs: they lie struct_size of the first apart. */
const void *llmc_element(const void *array, size_t index);

/* Prompt of messages as the model's template makes it, appended to text. */
llmcall_status llmc_render_messages(llmcall_engine *engine, const llmc_runtime *runtime, const llmcall_message *messages,
                                    size_t n_messages, int add_generation_prompt, llmc_buffer *text, llmcall_error *error);
/* And its token ids, as llmcall_start takes them: control tokens only where the template wrote them. */
llmcall_status llmc_encode_messages(llmcall_engine *engine, const llmc_runtime *runtime, const llmcall_message *messages,
                                    size_t n_messages, llmc_token_list *tokens, llmcall_error *error);

#endif
