/* The tables of filters, tests, global functions and methods, and how they are called. */
#ifndef LLMC_TEMPLATE_BUILTINS_H
#define LLMC_TEMPLATE_BUILTINS_H

#include "template/eval.h"

/* Positional arguments first, then those by name. */
struct llmc_args {
    llmc_value *values;
    const llmc_value *names; /* of values[n_positional + i] */
    uint32_t n_positional;
    uint32_t n_named;
};

/* self: the filtered or tested value, or the object of a method; unused for functions. With params, args holds one positional
 * value for each parameter (type LLMC_MISSING if not given). Returns 1, or 0 after llmc_render_fail. */
typedef int (*llmc_builtin_fn)(llmc_render *render, const llmc_value *self, const llmc_args *args, llmc_value *out);

#define LLMC_MAX_PARAMS 8

struct llmc_builtin {
    const char *name;
    llmc_builtin_fn call;
    const char *params; /* names separated by spaces; NULL: takes args as they come */
    uint32_t required;
};

const llmc_builtin *llmc_filter_find(const llmc_value *name);
const llmc_builtin *llmc_test_find(const llmc_value *name);
const llmc_builtin *llmc_function_find(const llmc_value *name);
const llmc_builtin *llmc_method_find(const llmc_value *self, const llmc_value *name, int *unsafe);

int llmc_builtin_call(llmc_render *render, const llmc_builtin *builtin, const llmc_value *self, const llmc_args *args,
                      llmc_value *out);

/* Shared by filters and methods. */
int llmc_replace_text(llmc_render *render, const llmc_value *self, const llmc_args *args, llmc_value *out); /* old new count */
int llmc_dict_items(llmc_render *render, const llmc_value *dict, int kind, llmc_value *out);
int llmc_format_percent(llmc_render *render, const llmc_value *format, const llmc_args *args, llmc_value *out);
int llmc_change_case(llmc_render *render, const llmc_value *text, int mode, llmc_value *out); /* 'u' 'l' 't' 'c' */
int llmc_strip_text(llmc_render *render, const llmc_value *text, const llmc_value *chars, int sides, llmc_value *out);
int llmc_compare_values(llmc_render *render, const llmc_value *a, const llmc_value *b, int *order);
int llmc_contains(llmc_render *render, const llmc_value *container, const llmc_value *item, int *truth);

const llmc_builtin *llmc_builtin_search(const llmc_builtin *table, size_t count, const llmc_value *name);

#endif
