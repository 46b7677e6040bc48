/* Calling builtins: arguments are bound to parameters here, once for every filter, test, function and method. */
#include "template/builtins.h"

#include <string.h>

/* The number of the parameter called name in "one two three", or -1. */
static int find_param(const char *params, const llmc_value *name) {
    if (*params == '/') return -1;
    for (int i = 0; *params; i++) {
        size_t size = strcspn(params, " ");
        if (size == name->size && memcmp(params, name->as.text, size) == 0) return i;
        params += size + (params[size] == ' ');
    }
    return -1;
}

static uint32_t count_params(const char *params) {
    uint32_t n = *params != 0;
    for (; *params; params++) n += *params == ' ';
    return n;
}

static int bind(llmc_render *r, const llmc_builtin *b, const llmc_args *args, llmc_value bound[LLMC_MAX_PARAMS], uint32_t *n) {
    *n = count_params(b->params);
    if (args->n_positional > *n) {
        return llmc_render_fail(r, "%s() takes %u argument(s) but %u were given", b->name, *n, args->n_positional);
    }
    for (uint32_t i = 0; i < *n; i++) {
        bound[i] = i < args->n_positional ? args->values[i] : (llmc_value){.type = LLMC_MISSING};
    }
    for (uint32_t i = 0; i < args->n_named; i++) {
        int at = find_param(b->params, &args->names[i]);
        int width = args->names[i].size < 80 ? (int)args->names[i].size : 80;
        if (at < 0) return llmc_render_fail(r, "%s() has no argument '%.*s'", b->name, width, args->names[i].as.text);
        bound[at] = args->values[args->n_positional + i];
    }
    for (uint32_t i = 0; i < b->required; i++) {
        if (bound[i].type == LLMC_MISSING) return llmc_render_fail(r, "%s() misses argument %u", b->name, i + 1);
    }
    return 1;
}

int llmc_builtin_call(llmc_render *r, const llmc_builtin *b, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    llmc_value bound[LLMC_MAX_PARAMS];
    llmc_args whole = {.values = bound};
    if (!llmc_render_step(r, self->type == LLMC_STRING ? self->size : 0)) return 0;
    if (!b->params) return b->call(r, self, args, out);
    return bind(r, b, args, bound, &whole.n_positional) && b->call(r, self, &whole, out);
}

int llmc_want_int(llmc_render *r, const llmc_value *value, int64_t standard, int64_t *integer) {
    *integer = standard;
    if (value->type == LLMC_MISSING) return 1;
    if (value->type == LLMC_UNDEFINED) return llmc_undefined_error(r, value);
    if (value->type != LLMC_INT && value->type != LLMC_BOOL)
        return llmc_render_fail(r, "'%s' where an integer is wanted", llmc_value_type_name(value));
    *integer = value->as.integer;
    return 1;
}

const llmc_builtin *llmc_builtin_search(const llmc_builtin *table, size_t count, const llmc_value *name) {
    for (size_t i = 0; i < count; i++) {
        if (llmc_value_is(name, table[i].name)) return &table[i];
    }
    return NULL;
}
