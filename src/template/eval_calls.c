/* Calls: macros, with how arguments find their parameters, and what else can be called. */
#include "template/eval_parts.h"

#include <string.h>

#include "template/builtins.h"

static const llmc_value *named_argument(const llmc_args *args, const llmc_value *name, uint32_t *at) {
    for (uint32_t i = 0; i < args->n_named; i++) {
        if (llmc_eval_same_name(&args->names[i], name)) return *at = i, &args->values[args->n_positional + i];
    }
    return NULL;
}

/* What the call gives a parameter, by position or name; else it is undefined. */
static int bind_parameter(llmc_render *r, const llmc_node *parameter, const llmc_args *args, uint32_t i, uint32_t *n_used) {
    uint32_t at = 0;
    const llmc_value *given = named_argument(args, &parameter->value, &at);
    llmc_value value = llmc_eval_undefined(&parameter->value, NULL);
    if (given && i < args->n_positional) {
        return llmc_render_fail(r, "argument '%.*s' is given twice", llmc_width(&parameter->value), parameter->value.as.text);
    }
    *n_used += given != NULL;
    if (i < args->n_positional) given = &args->values[i];
    return llmc_eval_set(r, r->scope, &parameter->value, given ? given : &value);
}

/* Defaults see the other parameters, as far as they have a value by then. */
static int bind_defaults(llmc_render *r, const llmc_node *parameter, const llmc_args *args) {
    uint32_t at = 0;
    for (uint32_t i = 0; parameter; parameter = parameter->next, i++) {
        llmc_variable *variable = r->scope->variables;
        llmc_value value;
        if (!parameter->a || i < args->n_positional || named_argument(args, &parameter->value, &at)) continue;
        if (!llmc_eval(r, parameter->a, &value)) return 0;
        while (variable->name.as.text != parameter->value.as.text) variable = variable->next;
        variable->value = value;
    }
    return 1;
}

static int bind_caller(llmc_render *r, const llmc_macro *macro, const llmc_args *args, uint32_t *n_used) {
    llmc_value name = llmc_value_literal("caller");
    uint32_t at = 0;
    if (!(macro->node->op & LLMC_MACRO_CALLER)) return 1;
    const llmc_value *caller = named_argument(args, &name, &at);
    *n_used += caller != NULL;
    llmc_value value = llmc_eval_undefined(&name, NULL);
    return llmc_eval_set(r, r->scope, &name, caller ? caller : &value);
}

static int is_parameter(const llmc_macro *macro, const llmc_value *name) {
    for (const llmc_node *n = macro->node->a; n; n = n->next) {
        if (llmc_eval_same_name(&n->value, name)) return 1;
    }
    return (macro->node->op & LLMC_MACRO_CALLER) && llmc_value_is(name, "caller");
}

/* varargs and kwargs, for macros that speak of them; others refuse what is left over. */
static int bind_rest(llmc_render *r, const llmc_macro *macro, const llmc_args *args, uint32_t n_parameters, uint32_t n_used) {
    llmc_value list, dict, name = llmc_value_literal("varargs");
    uint32_t flags = macro->node->op;
    const llmc_value name_of_call = llmc_value_literal("caller");
    const llmc_value *self = macro->node->value.type == LLMC_NONE ? &name_of_call : &macro->node->value;
    if (args->n_positional > n_parameters && !(flags & LLMC_MACRO_VARARGS)) {
        return llmc_render_fail(r, "macro '%.*s' takes not more than %u argument(s)", llmc_width(self), self->as.text,
                                n_parameters);
    }
    if (args->n_named > n_used && !(flags & LLMC_MACRO_KWARGS)) {
        return llmc_render_fail(r, "macro '%.*s' is given an argument that it does not know", llmc_width(self), self->as.text);
    }
    if (flags & LLMC_MACRO_VARARGS) {
        if (!llmc_value_list(&r->arena, 0, LLMC_KIND_TUPLE, &list)) return llmc_render_memory(r);
        for (uint32_t i = n_parameters; i < args->n_positional; i++) {
            if (!llmc_render_step(r, 0)) return 0;
            if (!llmc_value_append(&r->arena, &list, args->values[i])) return llmc_render_memory(r);
        }
        if (!llmc_eval_set(r, r->scope, &name, &list)) return 0;
    }
    if (!(flags & LLMC_MACRO_KWARGS)) return 1;
    name = llmc_value_literal("kwargs");
    if (!llmc_value_dict(&r->arena, 0, &dict)) return llmc_render_memory(r);
    for (uint32_t i = 0; i < args->n_named; i++) {
        if (is_parameter(macro, &args->names[i])) continue;
        if (!llmc_value_put(&r->arena, &dict, args->names[i], args->values[args->n_positional + i]))
            return llmc_render_memory(r);
    }
    return llmc_eval_set(r, r->scope, &name, &dict);
}

static int call_macro(llmc_render *r, const llmc_macro *macro, const llmc_args *args, llmc_value *out) {
    llmc_scope *outer = r->scope;
    uint32_t n = 0, n_used = 0;
    int ok = llmc_eval_enter(r) && llmc_eval_open_scope(r, macro->scope);
    for (const llmc_node *p = macro->node->a; ok && p; p = p->next) ok = bind_parameter(r, p, args, n++, &n_used);
    ok = ok && bind_defaults(r, macro->node->a, args) && bind_caller(r, macro, args, &n_used) &&
         bind_rest(r, macro, args, n, n_used) && llmc_eval_capture(r, macro->node->c, out);
    r->scope = outer;
    r->frames--;
    return ok;
}

int llmc_eval_make_macro(llmc_render *r, const llmc_node *node, llmc_value *out) {
    llmc_macro *macro = llmc_arena_alloc(&r->arena, sizeof *macro);
    if (!macro) return llmc_render_memory(r);
    *macro = (llmc_macro){node, r->scope};
    *out = (llmc_value){.type = LLMC_MACRO, .as.macro = macro};
    return 1;
}

/* What the methods of markup give is markup, and what they put in is escaped. */
static int call_method(llmc_render *r, const llmc_method *method, const llmc_args *args, llmc_value *out) {
    llmc_value self = method->self, escaped;
    llmc_args given = *args;
    if (self.type != LLMC_STRING || !self.kind) return llmc_builtin_call(r, method->builtin, &method->self, args, out);
    given.values = llmc_arena_array(&r->arena, (size_t)args->n_positional + args->n_named + 1, sizeof *given.values);
    if (!given.values) return llmc_render_memory(r);
    const char *name = method->builtin->name;
    int all = strcmp(name, "format") == 0, second = strcmp(name, "replace") == 0;
    for (uint32_t i = 0; i < args->n_positional + args->n_named; i++) {
        escaped = args->values[i];
        if ((all || (second && i == 1)) && escaped.type == LLMC_STRING && !llmc_escape_html(r, &escaped, &escaped)) return 0;
        given.values[i] = escaped;
    }
    if (!llmc_builtin_call(r, method->builtin, &self, &given, out)) return 0;
    if (out->type == LLMC_STRING) out->kind = LLMC_KIND_MARKUP;
    for (uint32_t i = 0; out->type == LLMC_LIST && i < out->as.list->count; i++) out->as.list->items[i].kind = LLMC_KIND_MARKUP;
    return 1;
}

int llmc_call(llmc_render *r, const llmc_value *callee, const llmc_args *args, llmc_value *out) {
    llmc_value self = *callee;
    switch (self.type) {
    case LLMC_UNDEFINED:
        return llmc_undefined_error(r, &self);
    case LLMC_MACRO:
        return call_macro(r, self.as.macro, args, out);
    case LLMC_LOOP:
        return llmc_eval_call_loop(r, self.as.loop, args, out);
    case LLMC_FUNCTION:
        return llmc_builtin_call(r, self.as.function, &self, args, out);
    case LLMC_METHOD:
        return call_method(r, self.as.method, args, out);
    case LLMC_JOINER:
        *out = self.as.cycler->at ? self.as.cycler->items[0] : llmc_value_literal("");
        self.as.cycler->at = 1;
        return 1;
    default:
        return llmc_render_fail(r, "'%s' object is not callable", llmc_value_type_name(&self));
    }
}
