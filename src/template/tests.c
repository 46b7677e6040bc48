/* The tests behind "is". */
#include "template/builtins.h"

#define TEST(name, expression)                                                                                                 \
    static int name(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {                          \
        (void)r, (void)args;                                                                                                   \
        *out = llmc_value_bool(expression);                                                                                    \
        return 1;                                                                                                              \
    }

static int is_iterable(const llmc_value *v) {
    return v->type == LLMC_UNDEFINED || v->type == LLMC_STRING || v->type == LLMC_LIST || v->type == LLMC_DICT ||
           v->type == LLMC_LOOP;
}

static int is_sequence(const llmc_value *v) {
    return v->type == LLMC_UNDEFINED || v->type == LLMC_STRING || v->type == LLMC_DICT ||
           (v->type == LLMC_LIST && v->kind <= LLMC_KIND_RANGE);
}

TEST(test_defined, self->type != LLMC_UNDEFINED)
TEST(test_undefined, self->type == LLMC_UNDEFINED)
TEST(test_none, self->type == LLMC_NONE)
TEST(test_string, self->type == LLMC_STRING)
TEST(test_number, self->type == LLMC_INT || self->type == LLMC_FLOAT || self->type == LLMC_BOOL)
TEST(test_integer, self->type == LLMC_INT)
TEST(test_float, self->type == LLMC_FLOAT)
TEST(test_boolean, self->type == LLMC_BOOL)
TEST(test_true, self->type == LLMC_BOOL && self->as.integer)
TEST(test_false, self->type == LLMC_BOOL && !self->as.integer)
TEST(test_mapping, self->type == LLMC_DICT)
TEST(test_iterable, is_iterable(self))
TEST(test_sequence, is_sequence(self))
TEST(test_callable, (self->type >= LLMC_LOOP && self->type != LLMC_CYCLER) || self->type == LLMC_UNDEFINED)
TEST(test_escaped, self->type == LLMC_STRING && self->kind == LLMC_KIND_MARKUP)

/* A name looked up among filters or tests, as a key is. */
static int known_test(llmc_render *r, const llmc_value *self, const llmc_builtin *(*find)(const llmc_value *name),
                      llmc_value *out) {
    int list = self->type == LLMC_LIST && self->kind != LLMC_KIND_RANGE && self->kind != LLMC_KIND_GENERATOR;
    if (list && !llmc_value_hashable(self)) return llmc_render_fail(r, "unhashable type: '%s'", llmc_value_type_name(self));
    if (self->type == LLMC_DICT) return llmc_render_fail(r, "unhashable type: 'dict'");
    *out = llmc_value_bool(find(self) != NULL);
    return 1;
}

static int test_filter(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    return (void)args, known_test(r, self, llmc_filter_find, out);
}

static int test_test(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    return (void)args, known_test(r, self, llmc_test_find, out);
}

static int cased_test(llmc_render *r, const llmc_value *self, int how, llmc_value *out) {
    llmc_value text;
    if (!llmc_to_text(r, self, &text)) return 0;
    *out = llmc_value_bool(llmc_text_is_cased(&text, how));
    return llmc_render_step(r, text.size * (size_t)64);
}

static int test_lower(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    return (void)args, cased_test(r, self, 'l', out);
}

static int test_upper(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    return (void)args, cased_test(r, self, 'u', out);
}

static int compare_test(llmc_render *r, const llmc_value *self, const llmc_args *args, int wanted, llmc_value *out) {
    int same = 0;
    if (!llmc_equal(r, self, &args->values[0], &same)) return 0;
    *out = llmc_value_bool(same == wanted);
    return 1;
}

static int test_equal(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    return compare_test(r, self, args, 1, out);
}

static int test_not_equal(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    return compare_test(r, self, args, 0, out);
}

/* Undefined names are a new object each time. */
static int test_same(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    const llmc_value *other = &args->values[0];
    int scalar = self->type <= LLMC_STRING, same = self->type == other->type && self->as.text == other->as.text;
    if (scalar && self->type == other->type && !llmc_equal(r, self, other, &same)) return 0;
    *out = llmc_value_bool(same && self->type != LLMC_UNDEFINED);
    return 1;
}

static int order_test(llmc_render *r, const llmc_value *self, const llmc_args *args, int below, int same, llmc_value *out) {
    int order = 0;
    if (!llmc_compare_values(r, self, &args->values[0], &order)) return 0;
    *out = llmc_value_bool(order == 0 ? same : order == (below ? -1 : 1));
    return 1;
}

static int test_lt(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    return order_test(r, self, args, 1, 0, out);
}

static int test_le(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    return order_test(r, self, args, 1, 1, out);
}

static int test_gt(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    return order_test(r, self, args, 0, 0, out);
}

static int test_ge(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    return order_test(r, self, args, 0, 1, out);
}

static int test_in(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    int truth = 0;
    if (!llmc_contains(r, &args->values[0], self, &truth)) return 0;
    *out = llmc_value_bool(truth);
    return 1;
}

static int remainder_is(llmc_render *r, const llmc_value *self, llmc_value by, int64_t rest, llmc_value *out) {
    llmc_value left, wanted = llmc_value_int(rest);
    if (!llmc_operate(r, '%', self, &by, &left)) return 0;
    int same = 0;
    if (!llmc_equal(r, &left, &wanted, &same)) return 0;
    *out = llmc_value_bool(same);
    return 1;
}

static int test_odd(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    (void)args;
    return remainder_is(r, self, llmc_value_int(2), 1, out);
}

static int test_even(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    (void)args;
    return remainder_is(r, self, llmc_value_int(2), 0, out);
}

static int test_divisible(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    return remainder_is(r, self, args->values[0], 0, out);
}

static const llmc_builtin TESTS[] = {
    {"defined", test_defined, "", 0},   {"undefined", test_undefined, "", 0}, {"none", test_none, "", 0},
    {"string", test_string, "", 0},     {"number", test_number, "", 0},       {"integer", test_integer, "", 0},
    {"float", test_float, "", 0},       {"boolean", test_boolean, "", 0},     {"true", test_true, "", 0},
    {"false", test_false, "", 0},       {"mapping", test_mapping, "", 0},     {"iterable", test_iterable, "", 0},
    {"sequence", test_sequence, "", 0}, {"callable", test_callable, "", 0},   {"escaped", test_escaped, "", 0},
    {"lower", test_lower, "", 0},       {"upper", test_upper, "", 0},         {"filter", test_filter, "", 0},
    {"test", test_test, "", 0},         {"sameas", test_same, "other", 1},    {"in", test_in, "seq", 1},
    {"odd", test_odd, "", 0},           {"even", test_even, "", 0},           {"divisibleby", test_divisible, "num", 1},
    {"eq", test_equal, "other", 1},     {"equalto", test_equal, "other", 1},  {"==", test_equal, "other", 1},
    {"ne", test_not_equal, "other", 1}, {"!=", test_not_equal, "other", 1},   {"lt", test_lt, "other", 1},
    {"lessthan", test_lt, "other", 1},  {"<", test_lt, "other", 1},           {"le", test_le, "other", 1},
    {"<=", test_le, "other", 1},        {"gt", test_gt, "other", 1},          {"greaterthan", test_gt, "other", 1},
    {">", test_gt, "other", 1},         {"ge", test_ge, "other", 1},          {">=", test_ge, "other", 1},
};

const llmc_builtin *llmc_test_find(const llmc_value *name) {
    return llmc_builtin_search(TESTS, sizeof TESTS / sizeof *TESTS, name);
}
