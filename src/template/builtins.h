/* The tables of filters, tests, global functions and methods, how they are called, and what they share. */
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
    const char *params; /* names separated by spaces, "/" before them: by position alone; NULL: takes args as they come */
    uint32_t required;
};

const llmc_builtin *llmc_filter_find(const llmc_value *name);
const llmc_builtin *llmc_test_find(const llmc_value *name);
const llmc_builtin *llmc_function_find(const llmc_value *name);
const llmc_builtin *llmc_method_find(const llmc_value *self, const llmc_value *name, int *unsafe);

int llmc_builtin_call(llmc_render *render, const llmc_builtin *builtin, const llmc_value *self, const llmc_args *args,
                      llmc_value *out);

/* The integer of an argument, or standard if it was not given; 0 after a failure that says what it was. */
int llmc_want_int(llmc_render *render, const llmc_value *value, int64_t standard, int64_t *integer);

/* Shared by filters and methods. */
int llmc_replace_text(llmc_render *render, const llmc_value *self, const llmc_args *args, llmc_value *out); /* old new count */
int llmc_dict_items(llmc_render *render, const llmc_value *dict, int kind, llmc_value *out);
int llmc_strip_text(llmc_render *render, const llmc_value *text, const llmc_value *chars, int sides, llmc_value *out);
int llmc_pad_text(llmc_render *render, const llmc_value *text, const llmc_value *width, const llmc_value *fill, int side,
                  llmc_value *out); /* side: 'l' puts the text left, 'r' right, 'c' in the middle; fill may be missing */
int llmc_compare_values(llmc_render *render, const llmc_value *a, const llmc_value *b, int *order);
int llmc_contains(llmc_render *render, const llmc_value *container, const llmc_value *item, int *truth);
/* "a.b.0", or an index. standby: what stands for a part that is missing; none or missing: nothing does. */
int llmc_path(llmc_render *render, const llmc_value *item, const llmc_value *path, const llmc_value *standby, llmc_value *out);
int llmc_escape_html(llmc_render *render, const llmc_value *text, llmc_value *out); /* &<>'" */

/* format.c. mapping: names for "%(name)s" and format_map, or NULL. */
int llmc_format_percent(llmc_render *render, const llmc_value *format, const llmc_args *args, const llmc_value *mapping,
                        llmc_value *out);
int llmc_format_braces(llmc_render *render, const llmc_value *format, const llmc_args *args, const llmc_value *mapping,
                       llmc_value *out);
int llmc_format_value(llmc_render *render, const llmc_value *value, const llmc_value *source,
                      llmc_text *text); /* "{:source}" */

/* case.c. mode: 'u'pper, 'l'ower, 't'itle, 'c'apitalize, 's'wapcase, case'f'old. */
int llmc_change_case(llmc_render *render, const llmc_value *text, int mode, llmc_value *out);
enum {
    LLMC_CLASS_ALPHA,
    LLMC_CLASS_DECIMAL,
    LLMC_CLASS_DIGIT,
    LLMC_CLASS_NUMERIC,
    LLMC_CLASS_ALNUM,
    LLMC_CLASS_ASCII,
    LLMC_CLASS_NAME,
    LLMC_CLASS_PRINTABLE
};
int llmc_text_all(const llmc_value *text, int class); /* whether every character belongs to it, as str.isalpha() and the like */
int llmc_text_digit(uint32_t code_point);             /* the value of a decimal digit of any script, or -1 */
int llmc_text_is_cased(const llmc_value *text, int how); /* 'l', 'u', 't': as str.islower() and the like */

/* filters_text.c */
extern const llmc_builtin llmc_text_filters[];
extern const size_t llmc_n_text_filters;

const llmc_builtin *llmc_builtin_search(const llmc_builtin *table, size_t count, const llmc_value *name);

#endif
