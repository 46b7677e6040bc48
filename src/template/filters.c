/* The filters behind "|" on numbers and collections, and the ordering and membership that they share with operators. */
#include "template/builtins.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILTER(name) static int name(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out)
#define ARG(i)       (&args->values[i])
#define MISSING(i)   (args->values[i].type == LLMC_MISSING)

static const llmc_value MISSING_VALUE = {.type = LLMC_MISSING};

typedef struct items {
    const llmc_value *at;
    uint32_t count;
} items;

static int get_items(llmc_render *r, const llmc_value *value, items *all) {
    all->at = NULL;
    return llmc_iterate(r, value, &all->at, &all->count) && llmc_render_step(r, all->count * 16u);
}

static int add(llmc_render *r, llmc_value *list, llmc_value item) {
    return llmc_value_append(&r->arena, list, item) ? 1 : llmc_render_memory(r);
}

static int new_list(llmc_render *r, int kind, llmc_value *out) {
    return llmc_value_list(&r->arena, 0, kind, out) ? 1 : llmc_render_memory(r);
}

/* ---- Order and membership ---------------------------------------------------------------------------------------------- */

static int compare_texts(const llmc_value *a, const llmc_value *b) {
    int order = memcmp(a->as.text, b->as.text, a->size < b->size ? a->size : b->size);
    if (order == 0) return (a->size > b->size) - (a->size < b->size);
    return order < 0 ? -1 : 1;
}

static int compare_at(llmc_render *r, const llmc_value *a, const llmc_value *b, int depth, int *order) {
    double x = 0, y = 0;
    if (!llmc_render_step(r, a->type == LLMC_STRING ? a->size : 0)) return 0;
    if (a->type == LLMC_UNDEFINED) return llmc_undefined_error(r, a);
    if (b->type == LLMC_UNDEFINED) return llmc_undefined_error(r, b);
    if (a->type == LLMC_STRING && b->type == LLMC_STRING) return *order = compare_texts(a, b), 1;
    if (a->type == LLMC_INT && b->type == LLMC_INT) {
        *order = (a->as.integer > b->as.integer) - (a->as.integer < b->as.integer);
        return 1;
    }
    if (llmc_value_number(a, &x) && llmc_value_number(b, &y)) {
        *order = x < y ? -1 : x > y ? 1 : x >= y ? 0 : 2; /* 2: not a number */
        return 1;
    }
    int lists = a->type == LLMC_LIST && b->type == LLMC_LIST && a->kind == b->kind && a->kind <= LLMC_KIND_TUPLE;
    if (!lists || depth > LLMC_TEMPLATE_MAX_NESTING) {
        return llmc_render_fail(r, "'%s' and '%s' cannot be ordered", llmc_value_type_name(a), llmc_value_type_name(b));
    }
    const llmc_list *p = a->as.list, *q = b->as.list;
    for (uint32_t i = 0; i < p->count && i < q->count; i++) {
        int same = 0;
        if (!llmc_equal(r, &p->items[i], &q->items[i], &same)) return 0;
        if (same) continue;
        return compare_at(r, &p->items[i], &q->items[i], depth + 1, order);
    }
    *order = (p->count > q->count) - (p->count < q->count);
    return 1;
}

int llmc_compare_values(llmc_render *r, const llmc_value *a, const llmc_value *b, int *order) {
    return compare_at(r, a, b, 0, order);
}

/* Ranges, generators and values() can be looked up, though no key here is one. */
static int is_sound_key(llmc_render *r, const llmc_value *item) {
    int never_found = item->type == LLMC_LIST && (item->kind == LLMC_KIND_RANGE || item->kind >= LLMC_KIND_VALUES);
    if (never_found || llmc_value_hashable(item)) return 1;
    return llmc_render_fail(r, "unhashable type: '%s'", llmc_value_type_name(item));
}

/* Of a generator what was looked at is used up. */
static int list_contains(llmc_render *r, const llmc_value *container, const llmc_value *item, int *truth) {
    llmc_list *list = container->as.list;
    uint32_t i = 0;
    if (container->kind == LLMC_KIND_KEYS && !is_sound_key(r, item)) return 0;
    for (; i < list->count && !*truth; i++) {
        if (!llmc_equal(r, &list->items[i], item, truth)) return 0;
    }
    if (container->kind == LLMC_KIND_GENERATOR && i) list->items += i, list->count -= i;
    return 1;
}

int llmc_contains(llmc_render *r, const llmc_value *container, const llmc_value *item, int *truth) {
    *truth = 0;
    switch (container->type) {
    case LLMC_UNDEFINED:
        return 1;
    case LLMC_STRING:
        if (item->type != LLMC_STRING) {
            return llmc_render_fail(r, "'in <string>' requires string as left operand, not %s", llmc_value_type_name(item));
        }
        if (!llmc_render_step(r, item->size < 16 ? container->size * (size_t)4
                                                 : container->size * (size_t)12 + item->size * (size_t)24))
            return 0;
        *truth = llmc_text_find(container->as.text, container->size, item->as.text, item->size) != SIZE_MAX;
        if (item->size > container->size) *truth = 0;
        return 1;
    case LLMC_DICT:
        if (!is_sound_key(r, item)) return 0;
        *truth = llmc_value_hashable(item) && llmc_value_get(container, item) != NULL;
        return llmc_render_step(r, item->type == LLMC_STRING ? item->size : 0);
    case LLMC_LIST:
        return list_contains(r, container, item, truth);
    default:
        return llmc_render_fail(r, "argument of type '%s' is not iterable", llmc_value_type_name(container));
    }
}

static int item_or(llmc_render *r, const llmc_value *object, const llmc_value *key, const llmc_value *standby,
                   llmc_value *out) {
    if (!llmc_item(r, object, key, out)) return 0;
    if (out->type == LLMC_UNDEFINED && standby->type != LLMC_NONE && standby->type != LLMC_MISSING) *out = *standby;
    return 1;
}

int llmc_path(llmc_render *r, const llmc_value *item, const llmc_value *path, const llmc_value *standby, llmc_value *out) {
    llmc_value value = *item;
    if (path->type != LLMC_STRING) return item_or(r, &value, path, standby, out);
    for (uint32_t at = 0; at <= path->size;) {
        const char *from = path->as.text + at, *dot = memchr(from, '.', path->size - at);
        llmc_value key = llmc_value_text(from, dot ? (size_t)(dot - from) : path->size - at);
        int64_t index = 0;
        at += key.size + 1;
        if (key.size && llmc_text_to_int(key.as.text, key.size, &index)) key = llmc_value_int(index);
        if (!item_or(r, &value, &key, standby, &value)) return 0;
    }
    *out = value;
    return 1;
}

/* "age,name": a tuple of them. */
static int get_paths(llmc_render *r, const llmc_value *item, const llmc_value *paths, llmc_value *out) {
    llmc_value tuple, part;
    if (!new_list(r, LLMC_KIND_TUPLE, &tuple)) return 0;
    for (uint32_t at = 0; at <= paths->size; at += part.size + 1) {
        const char *from = paths->as.text + at, *comma = memchr(from, ',', paths->size - at);
        llmc_value value;
        part = llmc_value_text(from, comma ? (size_t)(comma - from) : paths->size - at);
        if (!llmc_path(r, item, &part, &MISSING_VALUE, &value) || !add(r, &tuple, value)) return 0;
    }
    *out = tuple;
    return 1;
}

typedef struct sorting {
    int attribute; /* 1: by path */
    llmc_value path;
    llmc_value standby; /* for items without the attribute, or LLMC_MISSING */
    int case_sensitive;
    int descending;
    int in_tuples; /* as Python compares a tuple of keys, which the path may name with commas between them */
} sorting;

static int lower_each(llmc_render *r, llmc_value *tuple) {
    for (uint32_t i = 0; i < tuple->as.list->count; i++) {
        llmc_value *part = &tuple->as.list->items[i];
        if (part->type == LLMC_STRING && !llmc_change_case(r, part, 'l', part)) return 0;
    }
    return 1;
}

static int sort_key(llmc_render *r, const sorting *s, const llmc_value *item, llmc_value *key) {
    *key = *item;
    int several = s->in_tuples && s->attribute && s->path.type == LLMC_STRING && memchr(s->path.as.text, ',', s->path.size);
    if (several && !get_paths(r, item, &s->path, key)) return 0;
    if (s->attribute && !several && !llmc_path(r, item, &s->path, &s->standby, key)) return 0;
    if (several && !s->case_sensitive) return lower_each(r, key);
    return s->case_sensitive || key->type != LLMC_STRING ? 1 : llmc_change_case(r, key, 'l', key);
}

/* Keys in tuples are ordered only where they are not equal, so that what cannot be ordered may still be equal. */
static int compare_keys(llmc_render *r, const sorting *s, const llmc_value *a, const llmc_value *b, int *order) {
    int same = 0;
    *order = 0;
    if (!s->in_tuples || (a->type == LLMC_STRING && b->type == LLMC_STRING)) return llmc_compare_values(r, a, b, order);
    return llmc_equal(r, a, b, &same) && (same || llmc_compare_values(r, a, b, order));
}

/* Stable merge of two runs; keys travel with their items, two values each. */
static int merge(llmc_render *r, const sorting *s, const llmc_value *from, llmc_value *to, uint32_t lo, uint32_t mid,
                 uint32_t hi) {
    uint32_t i = lo, j = mid;
    for (uint32_t k = lo; k < hi; k++) {
        int order = 0, left = j == hi;
        if (i < mid && j < hi) {
            if (!compare_keys(r, s, &from[j * 2], &from[i * 2], &order)) return 0;
            left = s->descending ? order != 1 : order != -1;
        }
        uint32_t pick = left ? i++ : j++;
        to[k * 2] = from[pick * 2];
        to[k * 2 + 1] = from[pick * 2 + 1];
    }
    return 1;
}

static int sort_items(llmc_render *r, const sorting *s, const items *all, llmc_value *out) {
    uint32_t n = all->count;
    llmc_value *a = llmc_arena_array(&r->arena, (size_t)n * 2 + 1, sizeof *a),
               *b = llmc_arena_array(&r->arena, (size_t)n * 2 + 1, sizeof *b);
    if (!a || !b || !llmc_value_list(&r->arena, n, LLMC_KIND_LIST, out)) return llmc_render_memory(r);
    for (uint32_t i = 0; i < n; i++) {
        if (!sort_key(r, s, &all->at[i], &a[i * 2])) return 0;
        a[i * 2 + 1] = all->at[i];
    }
    for (uint64_t width = 1; width < n; width *= 2) {
        for (uint64_t lo = 0; lo < n; lo += 2 * width) {
            uint64_t mid = lo + width < n ? lo + width : n, hi = mid + width < n ? mid + width : n;
            if (!merge(r, s, a, b, (uint32_t)lo, (uint32_t)mid, (uint32_t)hi)) return 0;
        }
        llmc_value *swap = a;
        a = b;
        b = swap;
    }
    for (uint32_t i = 0; i < n; i++) llmc_value_append(&r->arena, out, a[i * 2 + 1]);
    return 1;
}

/* sorted() takes a whole number for what says whether to reverse. */
static int want_truth(llmc_render *r, const llmc_value *value, int *truth) {
    int64_t integer = 0;
    return llmc_want_int(r, value, 0, &integer) && (*truth = integer != 0, 1);
}

FILTER(filter_sort) {
    items all;
    sorting s = {.standby = {.type = LLMC_MISSING},
                 .in_tuples = 1,
                 .case_sensitive = !MISSING(1) && llmc_value_truth(ARG(1)),
                 .attribute = !MISSING(2) && ARG(2)->type != LLMC_NONE,
                 .path = *ARG(2)};
    return want_truth(r, ARG(0), &s.descending) && get_items(r, self, &all) && sort_items(r, &s, &all, out);
}

FILTER(filter_dictsort) {
    sorting s = {.standby = {.type = LLMC_MISSING},
                 .case_sensitive = !MISSING(0) && llmc_value_truth(ARG(0)),
                 .attribute = 1,
                 .path = llmc_value_int(0)};
    if (!MISSING(1) && llmc_value_is(ARG(1), "value")) s.path = llmc_value_int(1);
    else if (!MISSING(1) && !llmc_value_is(ARG(1), "key")) return llmc_render_fail(r, "dictsort is by 'key' or 'value'");
    if (self->type != LLMC_DICT) return llmc_render_fail(r, "dictsort takes a mapping, not '%s'", llmc_value_type_name(self));
    if (!llmc_dict_items(r, self, LLMC_KIND_LIST, out)) return 0;
    items all = {out->as.list->items, out->as.list->count};
    return want_truth(r, ARG(2), &s.descending) && sort_items(r, &s, &all, out);
}

static int extreme(llmc_render *r, const llmc_value *self, const llmc_args *args, int wanted, llmc_value *out) {
    items all;
    llmc_value best, key;
    sorting s = {.standby = {.type = LLMC_MISSING},
                 .case_sensitive = !MISSING(0) && llmc_value_truth(ARG(0)),
                 .attribute = !MISSING(1),
                 .path = *ARG(1)};
    if (!get_items(r, self, &all)) return 0;
    *out = (llmc_value){.type = LLMC_UNDEFINED};
    for (uint32_t i = 0; i < all.count; i++) {
        int order = wanted;
        if (!sort_key(r, &s, &all.at[i], &key) || (i && !llmc_compare_values(r, &key, &best, &order))) return 0;
        if (order != wanted) continue;
        best = key;
        *out = all.at[i];
    }
    return 1;
}

FILTER(filter_min) {
    return extreme(r, self, args, -1, out);
}
FILTER(filter_max) {
    return extreme(r, self, args, 1, out);
}

/* A tuple of key and items, which "grouper" and "list" name too: a dict would print otherwise, so attributes are looked up by
 * the evaluator in tuples of this kind. */
static int add_group(llmc_render *r, llmc_value *groups, const llmc_value *key, llmc_value *members) {
    llmc_value group;
    if (!new_list(r, LLMC_KIND_LIST, members) || !new_list(r, LLMC_KIND_TUPLE, &group)) return 0;
    group.reserved = LLMC_GROUP;
    return add(r, &group, *key) && add(r, &group, *members) && add(r, groups, group);
}

FILTER(filter_groupby) {
    items all;
    llmc_value sorted, key, last = {.type = LLMC_MISSING}, members = {.type = LLMC_MISSING};
    sorting s = {
        .attribute = 1, .path = *ARG(0), .standby = *ARG(1), .case_sensitive = !MISSING(2) && llmc_value_truth(ARG(2))};
    int same = 0;
    if (!get_items(r, self, &all) || !sort_items(r, &s, &all, &sorted) || !new_list(r, LLMC_KIND_LIST, out)) return 0;
    for (uint32_t i = 0; i < sorted.as.list->count; i++) {
        const llmc_value *item = &sorted.as.list->items[i];
        if (!sort_key(r, &s, item, &key)) return 0;
        same = 0;
        if (i && !llmc_equal(r, &key, &last, &same)) return 0;
        last = key;
        if (!same) { /* the key is shown as its first item has it, not lowered */
            s.case_sensitive = 1;
            if (!sort_key(r, &s, item, &key) || !add_group(r, out, &key, &members)) return 0;
            s.case_sensitive = !MISSING(2) && llmc_value_truth(ARG(2));
        }
        if (!add(r, &members, *item)) return 0;
    }
    return 1;
}

FILTER(filter_unique) {
    items all;
    llmc_value seen, key;
    sorting s = {.standby = {.type = LLMC_MISSING},
                 .case_sensitive = !MISSING(0) && llmc_value_truth(ARG(0)),
                 .attribute = !MISSING(1),
                 .path = *ARG(1)};
    int known = 0;
    if (!get_items(r, self, &all) || !new_list(r, LLMC_KIND_LIST, &seen) || !new_list(r, LLMC_KIND_GENERATOR, out)) return 0;
    for (uint32_t i = 0; i < all.count; i++) {
        if (!sort_key(r, &s, &all.at[i], &key)) return 0;
        if (!llmc_value_hashable(&key)) return llmc_render_fail(r, "unhashable type: '%s'", llmc_value_type_name(&key));
        if (!llmc_contains(r, &seen, &key, &known)) return 0;
        if (!known && (!add(r, &seen, key) || !add(r, out, all.at[i]))) return 0;
    }
    return 1;
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------------- */

/* A text as int() and float() read it: with 0 to 9 for the digits and a space for the white space of other scripts. What is
 * undefined they refuse with an error that jinja2 does not catch. */
static int plain_digits(llmc_render *r, const llmc_value *value, llmc_value *out) {
    llmc_text text;
    uint32_t c = 0;
    if (value->type == LLMC_UNDEFINED) return llmc_undefined_error(r, value);
    *out = *value;
    if (value->type != LLMC_STRING) return 1;
    llmc_text_init(&text, &r->arena);
    for (size_t at = 0, bytes; at < value->size && !text.failed; at += bytes) {
        bytes = llmc_text_step(value->as.text + at, value->size - at, &c);
        const int digit = c < 128 ? -1 : llmc_text_digit(c);
        if (c >= 128 && llmc_text_space_prefix(value->as.text + at, bytes)) llmc_text_add_literal(&text, " ");
        else if (digit < 0) llmc_text_add(&text, value->as.text + at, bytes);
        else llmc_text_add(&text, &"0123456789"[digit], 1);
    }
    return llmc_finish_text(r, &text, NULL, out) && llmc_render_step(r, value->size * (size_t)16);
}

/* As jinja2: what int() does not take goes through float(), whatever base is asked for. */
FILTER(filter_int) {
    const int64_t base = MISSING(1) ? 10 : ARG(1)->type == LLMC_INT ? ARG(1)->as.integer : -1;
    int64_t integer = 0;
    double real = 0;
    llmc_value given;
    *out = MISSING(0) ? llmc_value_int(0) : *ARG(0);
    if (!plain_digits(r, self, &given)) return 0;
    const int text = given.type == LLMC_STRING, based = base == 0 || (base >= 2 && base <= 36);
    if (text && based && llmc_text_to_int_of(given.as.text, given.size, (int)base, &integer))
        return *out = llmc_value_int(integer), 1;
    if (given.type == LLMC_INT || given.type == LLMC_BOOL) return *out = llmc_value_int(given.as.integer), 1;
    if (!(text ? llmc_text_to_float(given.as.text, given.size, &real) : llmc_value_number(&given, &real))) return 1;
    if (real > -9.2e18 && real < 9.2e18) return *out = llmc_value_int((int64_t)real), 1;
    return real != real || (text && isinf(real)) ? 1 : llmc_render_fail(r, "integer overflow");
}

FILTER(filter_float) {
    double real = 0;
    llmc_value given;
    if (!plain_digits(r, self, &given)) return 0;
    int known =
        given.type == LLMC_STRING ? llmc_text_to_float(given.as.text, given.size, &real) : llmc_value_number(&given, &real);
    *out = known ? llmc_value_float(real) : MISSING(0) ? llmc_value_float(0) : *ARG(0);
    return 1;
}

FILTER(filter_abs) {
    llmc_value zero = llmc_value_int(0);
    double real = 0;
    (void)args;
    if (self->type == LLMC_UNDEFINED) return llmc_undefined_error(r, self);
    if (!llmc_value_number(self, &real)) return llmc_render_fail(r, "abs takes a number, not '%s'", llmc_value_type_name(self));
    if (self->type == LLMC_FLOAT) return *out = llmc_value_float(fabs(real)), 1;
    return llmc_operate(r, real < 0 ? '-' : '+', &zero, self, out);
}

/* Python's round(): decimal digits as the number is written out exactly, ties to even. */
static double round_decimal(double real, int64_t precision) {
    char digits[700];
    if (precision < -308) return copysign(0, real);
    if (precision < 0) {
        double scale = pow(10, (double)-precision);
        return rint(real / scale) * scale;
    }
    if (!isfinite(real) || precision > 320) return real;
    snprintf(digits, sizeof digits, "%.*f", (int)precision, real);
    return strtod(digits, NULL);
}

static int round_int(llmc_render *r, int64_t integer, int64_t precision, llmc_value *out) {
    int64_t scale = 1, half, rest;
    if (precision >= 0) return *out = llmc_value_int(integer), 1;
    if (precision < -18) return *out = llmc_value_int(0), 1;
    for (int64_t i = precision; i < 0; i++) scale *= 10;
    half = scale / 2;
    rest = integer % scale;
    if (rest < 0) rest += scale;
    integer -= rest;
    int up = rest > half || (rest == half && (integer / scale) % 2 != 0);
    if (up && __builtin_add_overflow(integer, scale, &integer)) return llmc_render_fail(r, "integer overflow");
    *out = llmc_value_int(integer);
    return 1;
}

static int round_common(llmc_render *r, const llmc_value *self, const llmc_value *digits, llmc_value *out) {
    int64_t precision = 0;
    if (!llmc_want_int(r, digits, 0, &precision)) return 0;
    if (self->type != LLMC_FLOAT) return round_int(r, self->as.integer, precision, out);
    *out = llmc_value_float(round_decimal(self->as.real, precision));
    return 1;
}

FILTER(filter_round) {
    double real = 0, precision = 0;
    const int up = !MISSING(1) && llmc_value_is(ARG(1), "ceil");
    if (self->type == LLMC_UNDEFINED) return llmc_undefined_error(r, self);
    if (!llmc_value_number(self, &real))
        return llmc_render_fail(r, "round takes a number, not '%s'", llmc_value_type_name(self));
    if (MISSING(1) || llmc_value_is(ARG(1), "common")) return round_common(r, self, ARG(0), out);
    if (!up && !llmc_value_is(ARG(1), "floor")) return llmc_render_fail(r, "round is 'common', 'ceil' or 'floor'");
    if (!MISSING(0) && !llmc_value_number(ARG(0), &precision))
        return llmc_render_fail(r, "'%s' where a number is wanted", llmc_value_type_name(ARG(0)));
    if (!(precision >= -300 && precision <= 300)) return llmc_render_fail(r, "round to that many digits is not supported");
    const double scale = pow(10, precision);
    *out = llmc_value_float(((up ? ceil(real * scale) : floor(real * scale)) + 0.0) / scale); /* an int in Python: no -0.0 */
    return 1;
}

FILTER(filter_sum) {
    items all;
    llmc_value item;
    if (!get_items(r, self, &all)) return 0;
    llmc_value total = MISSING(1) ? llmc_value_int(0) : *ARG(1);
    for (uint32_t i = 0; i < all.count; i++) {
        item = all.at[i];
        if (!MISSING(0) && ARG(0)->type != LLMC_NONE && !llmc_path(r, &all.at[i], ARG(0), &MISSING_VALUE, &item)) return 0;
        if (!llmc_operate(r, '+', &total, &item, &total)) return 0;
    }
    *out = total;
    return 1;
}

/* ---- Collections ------------------------------------------------------------------------------------------------------- */

FILTER(filter_length) {
    (void)args;
    if (self->type == LLMC_UNDEFINED) *out = llmc_value_int(0);
    else if (self->type == LLMC_STRING) *out = llmc_value_int((int64_t)llmc_text_length(self->as.text, self->size));
    else if (self->type == LLMC_LIST && self->kind != LLMC_KIND_GENERATOR) *out = llmc_value_int(self->as.list->count);
    else if (self->type == LLMC_DICT) *out = llmc_value_int(self->as.dict->count);
    else if (self->type == LLMC_LOOP) *out = llmc_value_int(self->as.loop->count);
    else return llmc_render_fail(r, "object of type '%s' has no len()", llmc_value_type_name(self));
    return 1;
}

FILTER(filter_default) {
    int replace = self->type == LLMC_UNDEFINED || (!MISSING(1) && llmc_value_truth(ARG(1)) && !llmc_value_truth(self));
    (void)r;
    *out = !replace ? *self : MISSING(0) ? llmc_value_literal("") : *ARG(0);
    return 1;
}

FILTER(filter_first) {
    items all;
    (void)args;
    if (self->type == LLMC_LIST) { /* of a generator only this one is used up */
        llmc_list *list = self->as.list;
        *out = list->count ? list->items[0] : (llmc_value){.type = LLMC_UNDEFINED};
        if (self->kind == LLMC_KIND_GENERATOR && list->count) list->items++, list->count--;
        return 1;
    }
    if (!get_items(r, self, &all)) return 0;
    *out = all.count ? all.at[0] : (llmc_value){.type = LLMC_UNDEFINED};
    return 1;
}

FILTER(filter_last) {
    items all;
    (void)args;
    if (self->type == LLMC_LIST && self->kind == LLMC_KIND_GENERATOR)
        return llmc_render_fail(r, "a generator is not reversible");
    if (!get_items(r, self, &all)) return 0;
    *out = all.count ? all.at[all.count - 1] : (llmc_value){.type = LLMC_UNDEFINED};
    return 1;
}

FILTER(filter_list) {
    items all;
    (void)args;
    if (!get_items(r, self, &all) || !new_list(r, LLMC_KIND_LIST, out)) return 0;
    for (uint32_t i = 0; i < all.count; i++) {
        if (!add(r, out, all.at[i])) return 0;
    }
    return 1;
}

FILTER(filter_reverse) {
    items all;
    llmc_text text;
    (void)args;
    if (!get_items(r, self, &all)) return 0;
    if (self->type == LLMC_STRING) {
        llmc_text_init(&text, &r->arena);
        for (uint32_t i = all.count; i-- > 0;) llmc_text_add(&text, all.at[i].as.text, all.at[i].size);
        if (!llmc_finish_text(r, &text, NULL, out)) return 0;
        out->kind = self->kind;
        return 1;
    }
    if (!new_list(r, LLMC_KIND_GENERATOR, out)) return 0;
    for (uint32_t i = all.count; i-- > 0;) {
        if (!add(r, out, all.at[i])) return 0;
    }
    return 1;
}

FILTER(filter_items) {
    (void)args;
    if (self->type == LLMC_UNDEFINED) return new_list(r, LLMC_KIND_GENERATOR, out);
    if (self->type != LLMC_DICT) return llmc_render_fail(r, "items takes a mapping, not '%s'", llmc_value_type_name(self));
    return llmc_dict_items(r, self, LLMC_KIND_GENERATOR, out);
}

/* As jinja2: of a count below zero, which no row ever has, all in one. */
FILTER(filter_batch) {
    items all;
    llmc_value row = {.type = LLMC_MISSING};
    double count = 0;
    if (!llmc_value_number(ARG(0), &count)) return llmc_render_fail(r, "batch takes a count");
    if (!get_items(r, self, &all) || !new_list(r, LLMC_KIND_GENERATOR, out)) return 0;
    const int empty_first = !(count < 0) && !(count > 0) && count == count;
    if (empty_first && all.count && (!new_list(r, LLMC_KIND_LIST, &row) || !add(r, out, row))) return 0;
    for (uint32_t i = 0; i < all.count; i++) {
        const int full = i == 0 || (!empty_first && row.as.list->count >= count && row.as.list->count <= count);
        if (full && (!new_list(r, LLMC_KIND_LIST, &row) || !add(r, out, row))) return 0;
        if (!add(r, &row, all.at[i])) return 0;
    }
    if (MISSING(1) || ARG(1)->type == LLMC_NONE || row.type == LLMC_MISSING) return 1;
    if (row.as.list->count < count && ARG(0)->type == LLMC_FLOAT)
        return llmc_render_fail(r, "batch fills up to a whole number");
    while (row.as.list->count < count) {
        if (!llmc_render_step(r, 0) || !add(r, &row, *ARG(1))) return 0;
    }
    return 1;
}

FILTER(filter_slice) {
    items all;
    int64_t n = 0;
    if (!llmc_want_int(r, ARG(0), 0, &n) || !get_items(r, self, &all) || !new_list(r, LLMC_KIND_GENERATOR, out)) return 0;
    if (n < 0) return 1; /* as jinja2: no rows */
    if (n == 0 || n > LLMC_TEMPLATE_MAX_RANGE) return llmc_render_fail(r, "slice takes a count");
    uint32_t each = all.count / (uint32_t)n, longer = all.count % (uint32_t)n, at = 0;
    for (uint32_t i = 0; i < n; i++) {
        llmc_value row;
        uint32_t size = each + (i < longer);
        if (!llmc_render_step(r, 0) || !new_list(r, LLMC_KIND_LIST, &row)) return 0;
        for (uint32_t j = 0; j < size; j++) {
            if (!add(r, &row, all.at[at++])) return 0;
        }
        if (!MISSING(1) && ARG(1)->type != LLMC_NONE && i >= longer && !add(r, &row, *ARG(1))) return 0;
        if (!add(r, out, row)) return 0;
    }
    return 1;
}

static int map_attribute(llmc_render *r, const items *all, const llmc_args *args, llmc_value *out) {
    const llmc_value *path = NULL, *standby = &MISSING_VALUE;
    for (uint32_t i = 0; i < args->n_named; i++) {
        const llmc_value *value = &args->values[args->n_positional + i];
        if (llmc_value_is(&args->names[i], "attribute")) path = value;
        else if (llmc_value_is(&args->names[i], "default")) standby = value;
        else return llmc_render_fail(r, "map() has no such argument");
    }
    if (!path) return llmc_render_fail(r, "map() takes a filter or an attribute");
    for (uint32_t i = 0; i < all->count; i++) {
        llmc_value value;
        if (!llmc_path(r, &all->at[i], path, standby, &value) || !add(r, out, value)) return 0;
    }
    return 1;
}

/* The filter or test that args name first, and the arguments behind it. */
static int named_builtin(llmc_render *r, const llmc_args *args, uint32_t at, int test, const llmc_builtin **b,
                         llmc_args *rest) {
    const llmc_value *name = &args->values[at];
    *b = name->type != LLMC_STRING ? NULL : test ? llmc_test_find(name) : llmc_filter_find(name);
    if (!*b)
        return llmc_render_fail(r, "unknown %s '%.*s'", test ? "test" : "filter",
                                name->type == LLMC_STRING && name->size < 80 ? (int)name->size : 0,
                                name->type == LLMC_STRING ? name->as.text : "");
    *rest = *args;
    rest->values += at + 1;
    rest->n_positional -= at + 1;
    return 1;
}

FILTER(filter_map) {
    items all;
    const llmc_builtin *b = NULL;
    llmc_args rest;
    if (!new_list(r, LLMC_KIND_GENERATOR, out)) return 0;
    if (!llmc_value_truth(self)) return 1; /* as jinja2: even none */
    if (!get_items(r, self, &all)) return 0;
    if (args->n_positional == 0) return map_attribute(r, &all, args, out);
    if (!named_builtin(r, args, 0, 0, &b, &rest)) return 0;
    if (++r->frames > LLMC_TEMPLATE_MAX_FRAMES) return llmc_render_fail(r, "map() within itself too often");
    for (uint32_t i = 0; i < all.count; i++) {
        llmc_value value;
        if (!llmc_builtin_call(r, b, &all.at[i], &rest, &value) || !add(r, out, value)) return 0;
    }
    r->frames--;
    return 1;
}

static int select_items(llmc_render *r, const llmc_value *self, const llmc_args *args, uint32_t at, int wanted,
                        llmc_value *out) {
    items all;
    const llmc_builtin *b = NULL;
    llmc_args rest;
    llmc_value value, verdict;
    if (args->n_positional < at) return llmc_render_fail(r, "the attribute to select by is missing");
    if (!new_list(r, LLMC_KIND_GENERATOR, out)) return 0;
    if (!llmc_value_truth(self)) return 1; /* as jinja2: even none */
    if (!get_items(r, self, &all)) return 0;
    if (args->n_positional > at && !named_builtin(r, args, at, 1, &b, &rest)) return 0;
    for (uint32_t i = 0; i < all.count; i++) {
        value = all.at[i];
        if (at && !llmc_path(r, &all.at[i], &args->values[0], &MISSING_VALUE, &value)) return 0;
        verdict = value;
        if (b && !llmc_builtin_call(r, b, &value, &rest, &verdict)) return 0;
        if (llmc_value_truth(&verdict) == wanted && !add(r, out, all.at[i])) return 0;
    }
    return 1;
}

FILTER(filter_select) {
    return select_items(r, self, args, 0, 1, out);
}
FILTER(filter_reject) {
    return select_items(r, self, args, 0, 0, out);
}
FILTER(filter_selectattr) {
    return select_items(r, self, args, 1, 1, out);
}
FILTER(filter_rejectattr) {
    return select_items(r, self, args, 1, 0, out);
}

/* As a.name, but never an item. */
FILTER(filter_attr) {
    int unsafe = 0;
    if (ARG(0)->type != LLMC_STRING) return llmc_render_fail(r, "attr takes a name");
    if (self->type != LLMC_DICT || llmc_method_find(self, ARG(0), &unsafe)) return llmc_attribute(r, self, ARG(0), out);
    *out = (llmc_value){.type = LLMC_UNDEFINED, .kind = LLMC_DICT + 1, .size = ARG(0)->size, .as.text = ARG(0)->as.text};
    return 1;
}

static const llmc_builtin FILTERS[] = {
    {"abs", filter_abs, "", 0},
    {"attr", filter_attr, "name", 1},
    {"batch", filter_batch, "linecount fill_with", 1},
    {"count", filter_length, "", 0},
    {"d", filter_default, "default_value boolean", 0},
    {"default", filter_default, "default_value boolean", 0},
    {"dictsort", filter_dictsort, "case_sensitive by reverse", 0},
    {"first", filter_first, "", 0},
    {"float", filter_float, "default", 0},
    {"groupby", filter_groupby, "attribute default case_sensitive", 1},
    {"int", filter_int, "default base", 0},
    {"items", filter_items, "", 0},
    {"last", filter_last, "", 0},
    {"length", filter_length, "", 0},
    {"list", filter_list, "", 0},
    {"map", filter_map, NULL, 0},
    {"max", filter_max, "case_sensitive attribute", 0},
    {"min", filter_min, "case_sensitive attribute", 0},
    {"reject", filter_reject, NULL, 0},
    {"rejectattr", filter_rejectattr, NULL, 0},
    {"reverse", filter_reverse, "", 0},
    {"round", filter_round, "precision method", 0},
    {"select", filter_select, NULL, 0},
    {"selectattr", filter_selectattr, NULL, 0},
    {"slice", filter_slice, "slices fill_with", 1},
    {"sort", filter_sort, "reverse case_sensitive attribute", 0},
    {"sum", filter_sum, "attribute start", 0},
    {"unique", filter_unique, "case_sensitive attribute", 0},
};

const llmc_builtin *llmc_filter_find(const llmc_value *name) {
    const llmc_builtin *found = llmc_builtin_search(FILTERS, sizeof FILTERS / sizeof *FILTERS, name);
    return found ? found : llmc_builtin_search(llmc_text_filters, llmc_n_text_filters, name);
}
