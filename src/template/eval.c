/* The evaluator's state and statements: failures, budgets, scopes and variables, output, loops and blocks. Frames are kept
 * small, for it recurses as deep as templates nest and macros call each other. */
#include "template/eval_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "template/builtins.h"

typedef enum { RUN_FAILED, RUN_ON, RUN_BREAK, RUN_CONTINUE } run;

static run run_body(llmc_render *r, const llmc_node *node);

/* ---- Failures and budgets ---------------------------------------------------------------------------------------------- */

int llmc_render_fail(llmc_render *r, const char *format, ...) {
    char what[400];
    va_list list;
    if (r->status != LLMCALL_OK) return 0;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    r->status = llmc_fail(r->error, LLMCALL_E_TEMPLATE, NULL, "chat_template", "line %u: %s", r->line, what);
    return 0;
}

int llmc_render_raise(llmc_render *r, const llmc_value *message) {
    int size = message->size < 500 ? (int)message->size : 500;
    if (r->status != LLMCALL_OK) return 0;
    r->status = llmc_fail(r->error, LLMCALL_E_TEMPLATE, "template_raised", "chat_template", "%.*s", size, message->as.text);
    return 0;
}

int llmc_render_memory(llmc_render *r) {
    if (r->status != LLMCALL_OK) return 0;
    if (r->arena.status == LLMCALL_E_DEADLINE)
        return llmc_render_fail(r, "the template takes more than %u steps", LLMC_TEMPLATE_MAX_STEPS);
    if (r->arena.status != LLMCALL_E_NO_MEMORY) {
        return llmc_render_fail(r, "the template needs more than %zu bytes of values", LLMC_TEMPLATE_MAX_MEMORY);
    }
    r->status = llmc_fail_memory(r->error, "chat_template");
    return 0;
}

int llmc_render_step(llmc_render *r, size_t bytes) {
    if (r->status != LLMCALL_OK) return 0;
    return llmc_arena_work(&r->arena, LLMC_TEMPLATE_STEP + bytes / 16) ? 1 : llmc_render_memory(r);
}

int llmc_eval_enter(llmc_render *r) {
    if (++r->frames > LLMC_TEMPLATE_MAX_FRAMES) {
        return llmc_render_fail(r, "evaluation is nested deeper than %d", LLMC_TEMPLATE_MAX_FRAMES);
    }
    return llmc_render_step(r, 0);
}

int llmc_width(const llmc_value *name) {
    return name->size < 80 ? (int)name->size : 80;
}

int llmc_undefined_error(llmc_render *r, const llmc_value *value) {
    llmc_value owner = {.type = (uint8_t)(value->kind ? value->kind - 1 : 0)};
    if (value->kind == LLMC_KIND_UNSAFE)
        return llmc_render_fail(r, "access to attribute '%.*s' of '%s' object is unsafe", llmc_width(value), value->as.text,
                                llmc_value_type_name(&(llmc_value){.type = (uint8_t)value->reserved}));
    if (!value->kind)
        return llmc_render_fail(r, "'%.*s' is undefined", llmc_width(value), value->as.text ? value->as.text : "");
    return llmc_render_fail(r, "'%s object' has no attribute '%.*s'", llmc_value_type_name(&owner), llmc_width(value),
                            value->as.text);
}

llmc_value llmc_eval_undefined(const llmc_value *name, const llmc_value *owner) {
    llmc_value value = {.type = LLMC_UNDEFINED, .kind = (uint8_t)(owner ? owner->type + 1 : 0)};
    value.as.text = name->type == LLMC_STRING ? name->as.text : "element";
    value.size = name->type == LLMC_STRING ? name->size : 7;
    return value;
}

int llmc_equal(llmc_render *r, const llmc_value *a, const llmc_value *b, int *truth) {
    *truth = llmc_value_equal(&r->arena, a, b);
    return r->arena.status == LLMCALL_OK ? 1 : llmc_render_memory(r);
}

int llmc_finish_text(llmc_render *r, const llmc_text *text, const char *failed, llmc_value *out) {
    if (failed) return llmc_render_fail(r, "%s", failed);
    if (text->failed) return llmc_render_memory(r);
    *out = llmc_value_text(text->data, text->size);
    return 1;
}

int llmc_to_text(llmc_render *r, const llmc_value *value, llmc_value *out) {
    llmc_text text;
    if (value->type == LLMC_STRING) return *out = *value, 1;
    llmc_text_init(&text, &r->arena);
    const char *failed = llmc_text_add_str(&text, value);
    return llmc_finish_text(r, &text, failed, out);
}

/* ---- Variables --------------------------------------------------------------------------------------------------------- */

int llmc_eval_set(llmc_render *r, llmc_scope *scope, const llmc_value *name, const llmc_value *value) {
    for (llmc_variable *v = scope->variables; v; v = v->next) {
        if (v->name.as.text != name->as.text) continue;
        v->value = *value;
        r->escapes++;
        return 1;
    }
    llmc_variable *fresh = llmc_arena_alloc(&r->arena, sizeof *fresh);
    if (!fresh) return llmc_render_memory(r);
    *fresh = (llmc_variable){scope->variables, *name, *value};
    scope->variables = fresh;
    return 1;
}

/* "loop" and "caller" come from the evaluator, so their names are not those of the tree. */
int llmc_eval_same_name(const llmc_value *a, const llmc_value *b) {
    return a->as.text == b->as.text || (a->size == b->size && memcmp(a->as.text, b->as.text, a->size) == 0);
}

int llmc_eval_find(llmc_render *r, const llmc_value *name, llmc_value *out) {
    uint32_t seen = 0;
    for (const llmc_scope *scope = r->scope; scope; scope = scope->parent) {
        for (const llmc_variable *v = scope->variables; v; v = v->next, seen++) {
            if (llmc_eval_same_name(&v->name, name)) return *out = v->value, llmc_render_step(r, seen * 16u);
        }
    }
    const llmc_value *global = llmc_value_get(r->globals, name);
    const llmc_builtin *function = global ? NULL : llmc_function_find(name);
    if (global) *out = *global;
    else if (function) *out = (llmc_value){.type = LLMC_FUNCTION, .as.function = function};
    else *out = llmc_eval_undefined(name, NULL);
    return llmc_render_step(r, seen * 16u);
}

int llmc_eval_open_scope(llmc_render *r, llmc_scope *parent) {
    llmc_scope *scope = llmc_arena_alloc(&r->arena, sizeof *scope);
    if (!scope) return llmc_render_memory(r);
    *scope = (llmc_scope){parent, NULL};
    r->scope = scope;
    return 1;
}

static int assign(llmc_render *r, const llmc_node *target, const llmc_value *value);

static int assign_each(llmc_render *r, const llmc_node *target, const llmc_value *value) {
    const llmc_value *items = NULL;
    uint32_t count = 0, i = 0;
    if (!llmc_iterate(r, value, &items, &count)) return 0;
    for (const llmc_node *part = target->a; part; part = part->next, i++) {
        if (i == count) return llmc_render_fail(r, "not enough values to unpack: %u", count);
        if (!assign(r, part, &items[i])) return 0;
    }
    return i == count ? 1 : llmc_render_fail(r, "too many values to unpack: %u", count);
}

static int assign(llmc_render *r, const llmc_node *target, const llmc_value *value) {
    if (target->type == LLMC_NODE_LIST) return assign_each(r, target, value);
    if (target->type == LLMC_NODE_NAME) return llmc_eval_set(r, r->scope, &target->value, value);
    llmc_value space;
    if (!llmc_eval_find(r, &target->a->value, &space)) return 0;
    if (space.type != LLMC_NAMESPACE) return llmc_render_fail(r, "cannot assign attribute on non-namespace object");
    r->escapes++;
    return llmc_value_put(&r->arena, &space, target->value, *value) ? 1 : llmc_render_memory(r);
}

/* ---- Output and captures ----------------------------------------------------------------------------------------------- */

static int write_text(llmc_render *r, const char *text, size_t size) {
    if (r->captures && !llmc_arena_charge(&r->arena, size)) return llmc_render_memory(r);
    if (llmc_buffer_append(r->out, text, size)) return llmc_render_step(r, size);
    if (r->status != LLMCALL_OK) return 0;
    if (r->out->status == LLMCALL_E_NO_MEMORY) r->status = llmc_fail_memory(r->error, "chat_template");
    else llmc_render_fail(r, "the prompt exceeds %zu bytes", r->out->max);
    return 0;
}

/* Runs a body with its text going to *out instead. A jump out of it cannot happen: the parser allows none. */
int llmc_eval_capture(llmc_render *r, const llmc_node *body, llmc_value *out) {
    llmc_buffer buffer, *outer = r->out;
    llmc_buffer_init(&buffer, r->env, LLMC_TEMPLATE_MAX_MEMORY);
    r->out = &buffer;
    r->captures++;
    int ok = run_body(r, body) != RUN_FAILED;
    r->captures--;
    r->out = outer;
    llmc_arena_discharge(&r->arena, buffer.size);
    if (ok && !llmc_value_copy_text(&r->arena, buffer.data, buffer.size, out)) ok = llmc_render_memory(r);
    llmc_buffer_free(&buffer);
    return ok;
}

static run run_print(llmc_render *r, const llmc_node *node) {
    llmc_arena_mark mark = llmc_arena_get_mark(&r->arena);
    uint64_t escapes = r->escapes;
    llmc_value value;
    if (!llmc_eval(r, node->a, &value) || !llmc_to_text(r, &value, &value)) return RUN_FAILED;
    if (!write_text(r, value.as.text, value.size)) return RUN_FAILED;
    if (r->escapes == escapes) llmc_arena_release(&r->arena, mark);
    return RUN_ON;
}

/* ---- Loops ------------------------------------------------------------------------------------------------------------- */

/* Items for which the loop's condition holds. */
static int filter_items(llmc_render *r, const llmc_node *node, const llmc_value **items, uint32_t *count) {
    llmc_scope *outer = r->scope;
    llmc_value kept, condition;
    if (!llmc_value_list(&r->arena, 0, 0, &kept)) return llmc_render_memory(r);
    for (uint32_t i = 0; i < *count; i++) {
        if (!llmc_eval_open_scope(r, outer) || !assign(r, node->a, &(*items)[i]) || !llmc_eval(r, node->e, &condition))
            return 0;
        if (llmc_value_truth(&condition) && !llmc_value_append(&r->arena, &kept, (*items)[i])) return llmc_render_memory(r);
    }
    r->scope = outer;
    *items = kept.as.list->items;
    *count = kept.as.list->count;
    return 1;
}

static run run_iteration(llmc_render *r, llmc_loop *loop) {
    llmc_value self = {.type = LLMC_LOOP, .as.loop = loop}, name = llmc_value_literal("loop");
    if (!llmc_render_step(r, 0) || !llmc_eval_open_scope(r, loop->outside)) return RUN_FAILED;
    if (!assign(r, loop->node->a, &loop->items[loop->index]) || !llmc_eval_set(r, r->scope, &name, &self)) return RUN_FAILED;
    return run_body(r, loop->node->c);
}

static run run_loop(llmc_render *r, const llmc_node *node, const llmc_value *over, uint32_t depth) {
    llmc_scope *outer = r->scope;
    run state = RUN_ON;
    int finished = 0; /* an iteration to its end: as jinja2, whose else looks at that and not at the items */
    llmc_loop *loop = llmc_arena_alloc(&r->arena, sizeof *loop);
    if (!loop) return llmc_render_memory(r), RUN_FAILED;
    *loop = (llmc_loop){.node = node, .outside = outer, .depth = depth};
    if (!llmc_iterate(r, over, &loop->items, &loop->count)) return RUN_FAILED;
    if (node->e && !filter_items(r, node, &loop->items, &loop->count)) return RUN_FAILED;
    for (; loop->index < loop->count && (state == RUN_ON || state == RUN_CONTINUE); loop->index++) {
        llmc_arena_mark mark = llmc_arena_get_mark(&r->arena);
        uint64_t escapes = r->escapes;
        state = run_iteration(r, loop);
        r->scope = outer;
        finished |= state == RUN_ON;
        if (state != RUN_FAILED && r->escapes == escapes) llmc_arena_release(&r->arena, mark);
    }
    if (state == RUN_FAILED) return RUN_FAILED;
    if (!finished && node->d) {
        if (!llmc_eval_open_scope(r, outer)) return RUN_FAILED;
        state = run_body(r, node->d);
        r->scope = outer;
        return state;
    }
    return RUN_ON;
}

/* loop(items) of a recursive loop: the text of the same loop over other items. */
int llmc_eval_call_loop(llmc_render *r, const llmc_loop *loop, const llmc_args *args, llmc_value *out) {
    llmc_scope *outer = r->scope;
    llmc_buffer buffer, *sink = r->out;
    if (!loop->node->op) return llmc_render_fail(r, "the loop must have the 'recursive' marker to be called");
    if (args->n_positional != 1 || args->n_named) return llmc_render_fail(r, "loop() takes one argument");
    llmc_buffer_init(&buffer, r->env, LLMC_TEMPLATE_MAX_MEMORY);
    r->out = &buffer;
    r->captures++;
    r->scope = loop->outside;
    int ok = llmc_eval_enter(r) && run_loop(r, loop->node, &args->values[0], loop->depth + 1) != RUN_FAILED;
    r->frames--;
    r->scope = outer;
    r->captures--;
    r->out = sink;
    llmc_arena_discharge(&r->arena, buffer.size);
    if (ok && !llmc_value_copy_text(&r->arena, buffer.data, buffer.size, out)) ok = llmc_render_memory(r);
    llmc_buffer_free(&buffer);
    return ok;
}

/* ---- Statements -------------------------------------------------------------------------------------------------------- */

static run done(int ok) {
    return ok ? RUN_ON : RUN_FAILED;
}

static run run_if(llmc_render *r, const llmc_node *node) {
    llmc_value condition;
    for (const llmc_node *branch = node->a; branch; branch = branch->next) {
        if (branch->a && !llmc_eval(r, branch->a, &condition)) return RUN_FAILED;
        if (!branch->a || llmc_value_truth(&condition)) return run_body(r, branch->b);
    }
    return RUN_ON;
}

static run run_for(llmc_render *r, const llmc_node *node) {
    llmc_value over;
    if (!llmc_eval(r, node->b, &over)) return RUN_FAILED;
    r->line = node->line;
    return run_loop(r, node, &over, 0);
}

static run run_set(llmc_render *r, const llmc_node *node) {
    llmc_value value;
    if (!llmc_eval(r, node->b, &value)) return RUN_FAILED;
    r->line = node->line;
    return done(assign(r, node->a, &value));
}

/* The text of a body in its own scope, through the filters of node->b. */
static int capture_scoped(llmc_render *r, const llmc_node *node, llmc_value *out) {
    llmc_scope *outer = r->scope;
    int ok = llmc_eval_open_scope(r, outer) && llmc_eval_capture(r, node->c, out);
    r->scope = outer;
    return ok && llmc_eval_postfixes(r, node->b, out);
}

static run run_set_block(llmc_render *r, const llmc_node *node) {
    llmc_value value;
    return done(capture_scoped(r, node, &value) && assign(r, node->a, &value));
}

static run run_filter_block(llmc_render *r, const llmc_node *node) {
    llmc_value value;
    if (!capture_scoped(r, node, &value) || !llmc_to_text(r, &value, &value)) return RUN_FAILED;
    return done(write_text(r, value.as.text, value.size));
}

static run run_call_block(llmc_render *r, const llmc_node *node) {
    llmc_value value, caller;
    const llmc_node *call = node->a->b;
    if (!llmc_eval_make_macro(r, node->b, &caller) || !llmc_eval(r, node->a->a, &value)) return RUN_FAILED;
    for (; call->next; call = call->next) {
        if (!llmc_eval_postfix(r, call, &value)) return RUN_FAILED;
    }
    if (!llmc_eval_call(r, call, &caller, &value) || !llmc_to_text(r, &value, &value)) return RUN_FAILED;
    return done(write_text(r, value.as.text, value.size));
}

static run run_macro(llmc_render *r, const llmc_node *node) {
    llmc_value macro;
    return done(llmc_eval_make_macro(r, node, &macro) && llmc_eval_set(r, r->scope, &node->value, &macro));
}

static run run_scope(llmc_render *r, const llmc_node *node) {
    llmc_scope *outer = r->scope;
    if (!llmc_eval_open_scope(r, outer)) return RUN_FAILED;
    run state = run_body(r, node->c);
    r->scope = outer;
    return state;
}

static run run_with(llmc_render *r, const llmc_node *node) {
    llmc_scope *outer = r->scope;
    llmc_value values;
    if (!llmc_value_list(&r->arena, 0, 0, &values)) return llmc_render_memory(r), RUN_FAILED;
    for (const llmc_node *pair = node->a; pair; pair = pair->next) {
        llmc_value value;
        if (!llmc_eval(r, pair->b, &value)) return RUN_FAILED;
        if (!llmc_value_append(&r->arena, &values, value)) return llmc_render_memory(r), RUN_FAILED;
    }
    if (!llmc_eval_open_scope(r, outer)) return RUN_FAILED;
    uint32_t i = 0;
    for (const llmc_node *pair = node->a; pair; pair = pair->next) {
        if (!assign(r, pair->a, &values.as.list->items[i++])) return RUN_FAILED;
    }
    run state = run_body(r, node->c);
    r->scope = outer;
    return state;
}

static run run_statement(llmc_render *r, const llmc_node *node) {
    r->line = node->line;
    switch (node->type) {
    case LLMC_NODE_TEXT:
        return done(write_text(r, node->value.as.text, node->value.size));
    case LLMC_NODE_PRINT:
        return run_print(r, node);
    case LLMC_NODE_IF:
        return run_if(r, node);
    case LLMC_NODE_FOR:
        return run_for(r, node);
    case LLMC_NODE_SET:
        return run_set(r, node);
    case LLMC_NODE_SET_BLOCK:
        return run_set_block(r, node);
    case LLMC_NODE_MACRO:
        return run_macro(r, node);
    case LLMC_NODE_CALL_BLOCK:
        return run_call_block(r, node);
    case LLMC_NODE_FILTER_BLOCK:
        return run_filter_block(r, node);
    case LLMC_NODE_SCOPE:
        return run_scope(r, node);
    case LLMC_NODE_WITH:
        return run_with(r, node);
    case LLMC_NODE_BREAK:
        return RUN_BREAK;
    default:
        return RUN_CONTINUE;
    }
}

static run run_body(llmc_render *r, const llmc_node *node) {
    run state = llmc_eval_enter(r) ? RUN_ON : RUN_FAILED;
    for (; node && state == RUN_ON; node = node->next) state = llmc_render_step(r, 0) ? run_statement(r, node) : RUN_FAILED;
    r->frames--;
    return state;
}

llmcall_status llmc_render_run(llmc_render *r, const llmc_node *body) {
    if (llmc_eval_open_scope(r, NULL)) run_body(r, body);
    return r->status;
}
