/* One render: its state, its budgets, and the operations that builtins call back. */
#ifndef LLMC_TEMPLATE_EVAL_H
#define LLMC_TEMPLATE_EVAL_H

#include "template/text.h"
#include "template/tree.h"

typedef struct llmc_args llmc_args;

typedef struct llmc_variable {
    struct llmc_variable *next;
    llmc_value name;
    llmc_value value;
} llmc_variable;

typedef struct llmc_scope {
    struct llmc_scope *parent;
    llmc_variable *variables;
} llmc_scope;

struct llmc_loop {
    const llmc_node *node;
    llmc_scope *outside;
    const llmc_value *items;
    uint32_t count;
    uint32_t index;
    uint32_t depth;
    int has_changed; /* changed holds what loop.changed() saw last */
    llmc_value changed;
};

struct llmc_macro {
    const llmc_node *node;
    llmc_scope *scope;
};

struct llmc_method {
    const llmc_builtin *builtin;
    llmc_value self;
};

struct llmc_cycler {
    llmc_value *items; /* a joiner has one: what it puts between */
    uint32_t count;
    uint32_t at; /* of a joiner: 1 once it was called */
};

typedef struct llmc_render {
    const llmc_env *env;
    llmc_arena arena;
    llmc_buffer *out; /* where text goes now: the caller's buffer or a capture */
    uint32_t captures;
    uint32_t line;
    uint32_t frames;
    uint64_t escapes; /* counts what outlives a print statement */
    const llmc_value *globals;
    llmc_scope *scope;
    int64_t now_unix_s;
    llmcall_error *error;
    llmcall_status status;
} llmc_render;

int llmc_render_fail(llmc_render *render, const char *format, ...) LLMC_PRINTF(2, 3); /* always 0 */
int llmc_render_raise(llmc_render *render, const llmc_value *message);                /* always 0 */
int llmc_render_memory(llmc_render *render);             /* always 0: says what the arena ran out of */
int llmc_render_step(llmc_render *render, size_t bytes); /* one step and so many bytes copied; 0 when the budget is spent */

llmcall_status llmc_render_run(llmc_render *render, const llmc_node *body);

int llmc_eval(llmc_render *render, const llmc_node *node, llmc_value *out);

/* What both evaluator and builtins do with values. Each returns 1, or 0 with the failure noted. */
int llmc_attribute(llmc_render *render, const llmc_value *object, const llmc_value *name, llmc_value *out); /* object.name */
int llmc_item(llmc_render *render, const llmc_value *object, const llmc_value *index, llmc_value *out);     /* object[index] */
int llmc_call(llmc_render *render, const llmc_value *callee, const llmc_args *args, llmc_value *out);
int llmc_equal(llmc_render *render, const llmc_value *a, const llmc_value *b, int *truth); /* Python's == */
int llmc_iterate(llmc_render *render, const llmc_value *value, const llmc_value **items, uint32_t *count);
int llmc_range(llmc_render *render, int64_t start, int64_t stop, int64_t step, llmc_value *out); /* step not 0 */
int llmc_operate(llmc_render *render, int op, const llmc_value *a, const llmc_value *b, llmc_value *out);
int llmc_to_text(llmc_render *render, const llmc_value *value, llmc_value *out); /* str() */
int llmc_finish_text(llmc_render *render, const llmc_text *text, const char *failed, llmc_value *out);
int llmc_undefined_error(llmc_render *render, const llmc_value *value); /* "'x' is undefined"; always 0 */
int llmc_width(const llmc_value *text);                                 /* bytes of a name that fit a message, for "%.*s" */

#endif
