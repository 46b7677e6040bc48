/* Chat templates: compiles the Jinja source that a model file carries, and renders a conversation with it into prompt text.
 * Semantics are those of Python's jinja2 as Hugging Face transformers sets it up (trim_blocks, lstrip_blocks, immutable
 * sandbox, loop controls, the generation tag, raise_exception, strftime_now, tojson without HTML escapes). What is not known
 * fails; nothing is skipped. Budgets below bound every template and every input. */
#ifndef LLMC_TEMPLATE_H
#define LLMC_TEMPLATE_H

#include "core/buffer.h"
#include "core/error.h"

#define LLMC_TEMPLATE_MAX_SOURCE   ((size_t)1 << 20)  /* bytes of template source */
#define LLMC_TEMPLATE_MAX_COMPILED ((size_t)32 << 20) /* bytes of the compiled tree */
#define LLMC_TEMPLATE_MAX_NESTING  64       /* blocks, brackets and prefix operators within each other; values in values */
#define LLMC_TEMPLATE_MAX_FRAMES   384      /* evaluations within each other, macros included */
#define LLMC_TEMPLATE_MAX_STEPS    2000000u /* nodes evaluated, items visited and 64-byte pieces of text copied */
#define LLMC_TEMPLATE_STEP         4        /* of work, see arena.h */
#define LLMC_TEMPLATE_MAX_WORK     ((uint64_t)LLMC_TEMPLATE_MAX_STEPS * LLMC_TEMPLATE_STEP)
#define LLMC_TEMPLATE_MAX_MEMORY   ((size_t)64 << 20) /* bytes of intermediate values a render */
#define LLMC_TEMPLATE_MAX_OUTPUT   ((size_t)16 << 20) /* bytes of a prompt */
#define LLMC_TEMPLATE_MAX_RANGE    100000             /* items of range(), as in jinja2's sandbox */

typedef struct llmc_template llmc_template;

/* Compiles UTF-8 source. On success *out is the caller's, to be destroyed; on failure it is NULL. LLMCALL_E_TEMPLATE with
 * param "chat_template" and a message that begins with the line ("line 12: unknown filter 'foo'"), LLMCALL_E_UTF8, or
 * LLMCALL_E_NO_MEMORY. An unknown filter or test inside an inline if, or an if block without a loop or the like between, fails
 * only when a render reaches it (with its line), as in jinja2; elsewhere it fails here. The env must outlive the template. */
llmcall_status llmc_template_compile(const llmc_env *env, const char *source, size_t size, llmc_template **out,
                                     llmcall_error *error);
void llmc_template_destroy(llmc_template **compiled); /* NULL and pointer to NULL are fine */

typedef struct llmc_template_message {
    const char *role;
    size_t role_size;
    const char *content;
    size_t content_size;
} llmc_template_message;

typedef struct llmc_template_input {
    const llmc_template_message *messages;
    size_t n_messages;
    int add_generation_prompt;
    const char *bos_token; /* NUL-terminated; NULL is "" */
    const char *eos_token; /* NUL-terminated; NULL is "" */
    int64_t now_unix_s;    /* what strftime_now says, in UTC */
} llmc_template_input;

/* Appends the prompt to out. Texts in input must be UTF-8 and stay in place during the call. Safe from many threads at once
 * on one compiled template. LLMCALL_E_TEMPLATE (code "template_raised" if the template called raise_exception, whose message
 * is then the error's message), or LLMCALL_E_NO_MEMORY. On failure out holds a part. */
llmcall_status llmc_template_render(const llmc_template *compiled, const llmc_template_input *input, llmc_buffer *out,
                                    llmcall_error *error);

#endif
