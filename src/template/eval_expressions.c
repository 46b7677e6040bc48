/* Expressions: from a node of the tree to its value, with the postfixes that follow an operand. Frames are kept small, for this
 * recurses as deep as templates nest and macros call each other. */
#include "template/eval_parts.h"

#include "template/builtins.h"

/* ---- Arguments --------------------------------------------------------------------------------------------------------- */

typedef struct argument_lists {
    llmc_value values, names, named; /* lists; named: values of those given by name */
} argument_lists;

static int add_argument(llmc_render *r, argument_lists *lists, const llmc_value *name, const llmc_value *value) {
    int ok = name ? llmc_value_append(&r->arena, &lists->names, *name) && llmc_value_append(&r->arena, &lists->named, *value)
                  : llmc_value_append(&r->arena, &lists->values, *value);
    return ok ? 1 : llmc_render_memory(r);
}

static int spread(llmc_render *r, argument_lists *lists, const llmc_value *value, int named) {
    const llmc_value *items = NULL;
    uint32_t count = 0;
    if (named && value->type != LLMC_DICT) return llmc_render_fail(r, "argument after ** must be a mapping");
    if (!llmc_iterate(r, value, &items, &count)) return 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!llmc_render_step(r, 0)) return 0;
        if (named && items[i].type != LLMC_STRING) return llmc_render_fail(r, "keywords must be strings");
        if (!add_argument(r, lists, named ? &items[i] : NULL, named ? llmc_value_get(value, &items[i]) : &items[i])) return 0;
    }
    return 1;
}

static int eval_argument(llmc_render *r, const llmc_node *n, argument_lists *lists) {
    llmc_value value;
    if (n->type == LLMC_NODE_KEYWORD) return llmc_eval(r, n->a, &value) && add_argument(r, lists, &n->value, &value);
    if (n->type == LLMC_NODE_SPREAD) return llmc_eval(r, n->a, &value) && spread(r, lists, &value, n->op);
    return llmc_eval(r, n, &value) && add_argument(r, lists, NULL, &value);
}

/* caller: given by a call block, or NULL. */
static int eval_arguments(llmc_render *r, const llmc_node *node, const llmc_value *caller, llmc_args *args) {
    argument_lists lists;
    llmc_value name = llmc_value_literal("caller");
    *args = (llmc_args){0};
    if (!node && !caller) return 1;
    if (!llmc_value_list(&r->arena, 0, 0, &lists.values) || !llmc_value_list(&r->arena, 0, 0, &lists.names) ||
        !llmc_value_list(&r->arena, 0, 0, &lists.named)) {
        return llmc_render_memory(r);
    }
    for (; node; node = node->next) {
        if (!eval_argument(r, node, &lists)) return 0;
    }
    if (caller && !add_argument(r, &lists, &name, caller)) return 0;
    args->n_positional = lists.values.as.list->count;
    args->n_named = lists.names.as.list->count;
    for (uint32_t i = 0; i < args->n_named; i++) {
        if (!add_argument(r, &lists, NULL, &lists.named.as.list->items[i])) return 0;
    }
    args->values = lists.values.as.list->items;
    args->names = lists.names.as.list->items;
    return 1;
}

static int unknown_builtin(llmc_render *r, const llmc_node *node) {
    const char *what = node->type == LLMC_NODE_TEST ? "test" : "filter";
    return llmc_render_fail(r, "unknown %s '%.*s'", what, llmc_width(&node->value), node->value.as.text);
}

static int apply_builtin(llmc_render *r, const llmc_node *node, llmc_value *value) {
    llmc_args args;
    llmc_value self = *value;
    if (!node->builtin) return unknown_builtin(r, node);
    if (!eval_arguments(r, node->a, NULL, &args)) return 0;
    r->line = node->line;
    if (!llmc_builtin_call(r, node->builtin, &self, &args, value)) return 0;
    if (node->type == LLMC_NODE_TEST && node->op) *value = llmc_value_bool(!value->as.integer);
    return 1;
}

int llmc_eval_call(llmc_render *r, const llmc_node *node, const llmc_value *caller, llmc_value *value) {
    llmc_args args;
    if (!eval_arguments(r, node->a, caller, &args)) return 0;
    r->line = node->line;
    return llmc_call(r, value, &args, value);
}

static int apply_item(llmc_render *r, const llmc_node *node, llmc_value *value) {
    llmc_value index;
    if (!llmc_eval(r, node->a, &index)) return 0;
    r->line = node->line;
    return llmc_item(r, value, &index, value);
}

/* ---- Postfixes --------------------------------------------------------------------------------------------------------- */

static int eval_slice(llmc_render *r, const llmc_node *node, llmc_value *value) {
    llmc_value parts[3];
    const llmc_node *const nodes[3] = {node->a, node->b, node->c};
    for (int i = 0; i < 3; i++) {
        parts[i] = llmc_value_none();
        if (nodes[i] && !llmc_eval(r, nodes[i], &parts[i])) return 0;
    }
    return llmc_eval_slice_value(r, value, parts, value);
}

int llmc_eval_postfix(llmc_render *r, const llmc_node *node, llmc_value *value) {
    r->line = node->line;
    switch (node->type) {
    case LLMC_NODE_ATTRIBUTE:
        return llmc_attribute(r, value, &node->value, value);
    case LLMC_NODE_ITEM:
        return apply_item(r, node, value);
    case LLMC_NODE_SLICE:
        return eval_slice(r, node, value);
    case LLMC_NODE_CALL:
        return llmc_eval_call(r, node, NULL, value);
    default:
        return apply_builtin(r, node, value);
    }
}

int llmc_eval_postfixes(llmc_render *r, const llmc_node *postfix, llmc_value *value) {
    for (; postfix; postfix = postfix->next) {
        if (!llmc_render_step(r, 0) || !llmc_eval_postfix(r, postfix, value)) return 0;
    }
    return 1;
}

/* ---- Expressions ------------------------------------------------------------------------------------------------------- */

static int eval_list(llmc_render *r, const llmc_node *node, llmc_value *out) {
    llmc_value list, item;
    if (!llmc_value_list(&r->arena, 0, node->op, &list)) return llmc_render_memory(r);
    for (const llmc_node *n = node->a; n; n = n->next) {
        if (!llmc_eval(r, n, &item)) return 0;
        if (!llmc_value_append(&r->arena, &list, item)) return llmc_render_memory(r);
    }
    *out = list;
    return 1;
}

static int check_key(llmc_render *r, const llmc_value *key) {
    if (llmc_value_hashable(key)) return 1;
    return llmc_render_fail(r, "unhashable type: '%s'", llmc_value_type_name(key));
}

static int eval_dict(llmc_render *r, const llmc_node *node, llmc_value *out) {
    llmc_value dict, key, item;
    if (!llmc_value_dict(&r->arena, 0, &dict)) return llmc_render_memory(r);
    for (const llmc_node *n = node->a; n; n = n->next) {
        if (!llmc_eval(r, n->a, &key) || !llmc_eval(r, n->b, &item) || !check_key(r, &key)) return 0;
        if (!llmc_value_put(&r->arena, &dict, key, item)) return llmc_render_memory(r);
    }
    *out = dict;
    return 1;
}

static int eval_chain(llmc_render *r, const llmc_node *node, llmc_value *out) {
    llmc_value right;
    if (!llmc_eval(r, node->a, out)) return 0;
    for (const llmc_node *n = node->b; n; n = n->next) {
        if (!llmc_eval(r, n->a, &right)) return 0;
        r->line = node->line;
        if (!llmc_operate(r, n->op, out, &right, out)) return 0;
    }
    return 1;
}

static int eval_concat(llmc_render *r, const llmc_node *node, llmc_value *out) {
    llmc_value list, item = llmc_value_none();
    llmc_text text;
    if (!eval_list(r, &(llmc_node){.a = node->a}, &list)) return 0;
    llmc_text_init(&text, &r->arena);
    for (uint32_t i = 0; i < list.as.list->count; i++) {
        if (!llmc_to_text(r, &list.as.list->items[i], &item)) return 0;
        llmc_text_add(&text, item.as.text, item.size);
    }
    return llmc_finish_text(r, &text, NULL, out);
}

static int eval_compare(llmc_render *r, const llmc_node *node, llmc_value *out) {
    llmc_value left, right;
    int truth = 1;
    if (!llmc_eval(r, node->a, &left)) return 0;
    for (const llmc_node *n = node->b; n && truth; n = n->next) {
        if (!llmc_eval(r, n->a, &right)) return 0;
        r->line = node->line;
        if (!llmc_eval_compare(r, n->op, &left, &right, &truth)) return 0;
        left = right;
    }
    *out = llmc_value_bool(truth);
    return 1;
}

/* Python's and, or: the value that decided. */
static int eval_junction(llmc_render *r, const llmc_node *node, llmc_value *out) {
    for (const llmc_node *n = node->a; n; n = n->next) {
        if (!llmc_eval(r, n, out)) return 0;
        if (llmc_value_truth(out) == (node->type == LLMC_NODE_OR)) return 1;
    }
    return 1;
}

static int eval_sign(llmc_render *r, const llmc_node *node, llmc_value *out) {
    if (!llmc_eval(r, node->a, out)) return 0;
    if (out->type == LLMC_UNDEFINED) return llmc_undefined_error(r, out);
    if (out->type == LLMC_FLOAT) {
        if (node->type == LLMC_NODE_NEGATE) out->as.real = -out->as.real;
        return 1;
    }
    if (out->type != LLMC_INT && out->type != LLMC_BOOL) {
        return llmc_render_fail(r, "bad operand type for a sign: '%s'", llmc_value_type_name(out));
    }
    llmc_value zero = llmc_value_int(0), value = *out;
    return llmc_operate(r, node->type == LLMC_NODE_NEGATE ? '-' : '+', &zero, &value, out);
}

static int eval_ternary(llmc_render *r, const llmc_node *node, llmc_value *out) {
    if (!llmc_eval(r, node->a, out)) return 0;
    if (llmc_value_truth(out)) return llmc_eval(r, node->b, out);
    if (node->c) return llmc_eval(r, node->c, out);
    llmc_value name = llmc_value_literal("the inline if without else");
    *out = llmc_eval_undefined(&name, NULL);
    return 1;
}

static int eval_postfix(llmc_render *r, const llmc_node *node, llmc_value *out) {
    return llmc_eval(r, node->a, out) && llmc_eval_postfixes(r, node->b, out);
}

static int eval_not(llmc_render *r, const llmc_node *node, llmc_value *out) {
    if (!llmc_eval(r, node->a, out)) return 0;
    *out = llmc_value_bool(!llmc_value_truth(out));
    return 1;
}

static int eval_inside(llmc_render *r, const llmc_node *node, llmc_value *out) {
    switch (node->type) {
    case LLMC_NODE_LIST:
        return eval_list(r, node, out);
    case LLMC_NODE_DICT:
        return eval_dict(r, node, out);
    case LLMC_NODE_POSTFIX:
        return eval_postfix(r, node, out);
    case LLMC_NODE_CHAIN:
        return eval_chain(r, node, out);
    case LLMC_NODE_CONCAT:
        return eval_concat(r, node, out);
    case LLMC_NODE_COMPARE:
        return eval_compare(r, node, out);
    case LLMC_NODE_AND:
    case LLMC_NODE_OR:
        return eval_junction(r, node, out);
    case LLMC_NODE_NOT:
        return eval_not(r, node, out);
    case LLMC_NODE_NEGATE:
    case LLMC_NODE_PLUS:
        return eval_sign(r, node, out);
    case LLMC_NODE_TERNARY:
        return eval_ternary(r, node, out);
    default:
        return llmc_render_fail(r, "unknown expression");
    }
}

int llmc_eval(llmc_render *r, const llmc_node *node, llmc_value *out) {
    r->line = node->line;
    if (node->type == LLMC_NODE_CONST) return *out = node->value, llmc_render_step(r, 0);
    if (node->type == LLMC_NODE_NAME) return llmc_eval_find(r, &node->value, out);
    int ok = llmc_eval_enter(r) && eval_inside(r, node, out);
    r->frames--;
    return ok;
}
