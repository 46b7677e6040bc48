/* The filters behind "|", and the ordering and membership that they share with operators. */
#include "template/builtins.h"

#include <math.h>
#include <string.h>

#define FILTER(name) static int name(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out)
#define ARG(i)       (&args->values[i])
#define MISSING(i)   (args->values[i].type == LLMC_MISSING)

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
    if (a->type != LLMC_LIST || b->type != LLMC_LIST || a->kind != b->kind || depth > LLMC_TEMPLATE_MAX_NESTING) {
        return llmc_render_fail(r, "'%s' and '%s' cannot be ordered", llmc_value_type_name(a), llmc_value_type_name(b));
    }
    const llmc_list *p = a->as.list, *q = b->as.list;
    for (uint32_t i = 0; i < p->count && i < q->count; i++) {
        if (llmc_value_equal(&p->items[i], &q->items[i])) continue;
        return compare_at(r, &p->items[i], &q->items[i], depth + 1, order);
    }
    *order = (p->count > q->count) - (p->count < q->count);
    return 1;
}

int llmc_compare_values(llmc_render *r, const llmc_value *a, const llmc_value *b, int *order) {
    return compare_at(r, a, b, 0, order);
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
        if (!llmc_render_step(r, container->size)) return 0;
        *truth = llmc_text_find(container->as.text, container->size, item->as.text, item->size) != SIZE_MAX;
        if (item->size > container->size) *truth = 0;
        return 1;
    case LLMC_DICT:
        *truth = llmc_value_get(container, item) != NULL;
        return 1;
    case LLMC_LIST:
        for (uint32_t i = 0; i < container->as.list->count && !*truth; i++)
            *truth = llmc_value_equal(&container->as.list->items[i], item);
        return llmc_render_step(r, container->as.list->count * 16u);
    default:
        return llmc_render_fail(r, "argument of type '%s' is not iterable", llmc_value_type_name(container));
    }
}

/* "a.b.0" on an item, or an index; a missing attribute gives undefined. */
static int get_path(llmc_render *r, const llmc_value *item, const llmc_value *path, llmc_value *out) {
    llmc_value value = *item;
    if (path->type != LLMC_STRING) return llmc_item(r, &value, path, out);
    for (uint32_t at = 0; at <= path->size;) {
        const char *from = path->as.text + at, *dot = memchr(from, '.', path->size - at);
        llmc_value key = llmc_value_text(from, dot ? (size_t)(dot - from) : path->size - at);
        int64_t index = 0;
        at += key.size + 1;
        if (key.size && llmc_text_to_int(key.as.text, key.size, &index)) key = llmc_value_int(index);
        if (!llmc_item(r, &value, &key, &value)) return 0;
    }
    *out = value;
    return 1;
}

typedef struct sorting {
    int attribute; /* 1: by path */
    llmc_value path;
    int case_sensitive;
    int descending;
} sorting;

static int sort_key(llmc_render *r, const sorting *s, const llmc_value *item, llmc_value *key) {
    *key = *item;
    if (s->attribute && !get_path(r, item, &s->path, key)) return 0;
    return s->case_sensitive || key->type != LLMC_STRING ? 1 : llmc_change_case(r, key, 'l', key);
}

/* Stable merge of two runs; keys travel with their items, two values each. */
static int merge(llmc_render *r, const sorting *s, const llmc_value *from, llmc_value *to, uint32_t lo, uint32_t mid,
                 uint32_t hi) {
    uint32_t i = lo, j = mid;
    for (uint32_t k = lo; k < hi; k++) {
        int order = 0, left = j == hi;
        if (i < mid && j < hi) {
            if (!llmc_compare_values(r, &from[j * 2], &from[i * 2], &order)) return 0;
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

FILTER(filter_sort) {
    items all;
    sorting s = {.descending = !MISSING(0) && llmc_value_truth(ARG(0)),
                 .case_sensitive = !MISSING(1) && llmc_value_truth(ARG(1)),
                 .attribute = !MISSING(2) && ARG(2)->type != LLMC_NONE,
                 .path = *ARG(2)};
    if (s.attribute && s.path.type == LLMC_STRING && memchr(s.path.as.text, ',', s.path.size)) {
        return llmc_render_fail(r, "sort by several attributes is not supported");
    }
    return get_items(r, self, &all) && sort_items(r, &s, &all, out);
}

FILTER(filter_dictsort) {
    sorting s = {.case_sensitive = !MISSING(0) && llmc_value_truth(ARG(0)),
                 .attribute = 1,
                 .path = llmc_value_int(0),
                 .descending = !MISSING(2) && llmc_value_truth(ARG(2))};
    if (!MISSING(1) && llmc_value_is(ARG(1), "value")) s.path = llmc_value_int(1);
    else if (!MISSING(1) && !llmc_value_is(ARG(1), "key")) return llmc_render_fail(r, "dictsort is by 'key' or 'value'");
    if (self->type != LLMC_DICT) return llmc_render_fail(r, "dictsort takes a mapping, not '%s'", llmc_value_type_name(self));
    if (!llmc_dict_items(r, self, LLMC_KIND_LIST, out)) return 0;
    items all = {out->as.list->items, out->as.list->count};
    return sort_items(r, &s, &all, out);
}

static int extreme(llmc_render *r, const llmc_value *self, const llmc_args *args, int wanted, llmc_value *out) {
    items all;
    llmc_value best, key;
    sorting s = {.case_sensitive = !MISSING(0) && llmc_value_truth(ARG(0)), .attribute = !MISSING(1), .path = *ARG(1)};
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

FILTER(filter_unique) {
    items all;
    llmc_value seen, key;
    sorting s = {.case_sensitive = !MISSING(0) && llmc_value_truth(ARG(0)), .attribute = !MISSING(1), .path = *ARG(1)};
    int known = 0;
    if (!get_items(r, self, &all) || !new_list(r, LLMC_KIND_LIST, &seen) || !new_list(r, LLMC_KIND_GENERATOR, out)) return 0;
    for (uint32_t i = 0; i < all.count; i++) {
        if (!sort_key(r, &s, &all.at[i], &key) || !llmc_contains(r, &seen, &key, &known)) return 0;
        if (!known && (!add(r, &seen, key) || !add(r, out, all.at[i]))) return 0;
    }
    return 1;
}

/* ---- Text -------------------------------------------------------------------------------------------------------------- */

static int change_case(llmc_render *r, const llmc_value *self, int mode, llmc_value *out) {
    llmc_value text;
    return llmc_to_text(r, self, &text) && llmc_change_case(r, &text, mode, out);
}

FILTER(filter_upper) {
    return (void)args, change_case(r, self, 'u', out);
}
FILTER(filter_lower) {
    return (void)args, change_case(r, self, 'l', out);
}
FILTER(filter_capitalize) {
    return (void)args, change_case(r, self, 'c', out);
}

/* Words begin after white space and -([{<, unlike str.title(). */
FILTER(filter_title) {
    llmc_value text, piece;
    llmc_text result;
    (void)args;
    if (!llmc_to_text(r, self, &text)) return 0;
    llmc_text_init(&result, &r->arena);
    for (size_t at = 0, end; at < text.size; at = end) {
        uint32_t c = 0;
        for (end = at; end < text.size;) {
            size_t bytes = llmc_text_step(text.as.text + end, text.size - end, &c);
            int stop = (c < 128 && c && strchr("-([{<", (int)c)) || llmc_text_space_prefix(text.as.text + end, bytes) == bytes;
            if (stop && end > at) break;
            end += bytes;
            if (stop) break;
        }
        piece = llmc_value_text(text.as.text + at, end - at);
        if (!llmc_change_case(r, &piece, 'c', &piece)) return 0;
        llmc_text_add(&result, piece.as.text, piece.size);
    }
    return llmc_finish_text(r, &result, NULL, out);
}

FILTER(filter_trim) {
    llmc_value text;
    return llmc_to_text(r, self, &text) && llmc_strip_text(r, &text, ARG(0), 3, out);
}

FILTER(filter_string) {
    return (void)args, llmc_to_text(r, self, out);
}

FILTER(filter_safe) {
    (void)args;
    if (!llmc_to_text(r, self, out)) return 0;
    out->kind = LLMC_KIND_MARKUP;
    return 1;
}

FILTER(filter_escape) {
    static const char FROM[] = "&<>'\"";
    static const char *const TO[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    llmc_value source;
    llmc_text text;
    (void)args;
    if (self->type == LLMC_STRING && self->kind == LLMC_KIND_MARKUP) return *out = *self, 1;
    if (!llmc_to_text(r, self, &source)) return 0;
    llmc_text_init(&text, &r->arena);
    for (uint32_t i = 0; i < source.size; i++) {
        const char *hit = memchr(FROM, source.as.text[i], 5);
        if (hit) llmc_text_add_literal(&text, TO[hit - FROM]);
        else llmc_text_add(&text, source.as.text + i, 1);
    }
    if (!llmc_finish_text(r, &text, NULL, out)) return 0;
    out->kind = LLMC_KIND_MARKUP;
    return 1;
}

FILTER(filter_replace) {
    llmc_value text;
    llmc_value bound[3] = {*ARG(0), *ARG(1), *ARG(2)};
    llmc_args inner = {.values = bound, .n_positional = 3};
    if (!llmc_to_text(r, self, &text) || !llmc_to_text(r, ARG(0), &bound[0]) || !llmc_to_text(r, ARG(1), &bound[1])) return 0;
    return llmc_replace_text(r, &text, &inner, out);
}

FILTER(filter_format) {
    llmc_value text;
    return llmc_to_text(r, self, &text) && llmc_format_percent(r, &text, args, out);
}

FILTER(filter_indent) {
    llmc_value text, width = MISSING(0) ? llmc_value_int(4) : *ARG(0);
    int first = !MISSING(1) && llmc_value_truth(ARG(1)), blank = !MISSING(2) && llmc_value_truth(ARG(2));
    llmc_value space = llmc_value_literal(" ");
    llmc_text result;
    if (!llmc_to_text(r, self, &text)) return 0;
    if (width.type != LLMC_STRING && !llmc_operate(r, '*', &space, &width, &width)) return 0;
    llmc_text_init(&result, &r->arena);
    for (size_t at = 0, line = 0; at <= text.size && !result.failed; line++) {
        const char *end = memchr(text.as.text + at, '\n', text.size - at);
        size_t size = end ? (size_t)(end - text.as.text) - at : text.size - at;
        if (line) llmc_text_add(&result, "\n", 1);
        if (line ? size || blank : first) llmc_text_add(&result, width.as.text, width.size);
        llmc_text_add(&result, text.as.text + at, size);
        at += size + 1;
    }
    return llmc_finish_text(r, &result, NULL, out);
}

FILTER(filter_join) {
    items all;
    llmc_value glue = llmc_value_literal(""), piece;
    llmc_text text;
    if (!get_items(r, self, &all) || (!MISSING(0) && !llmc_to_text(r, ARG(0), &glue))) return 0;
    llmc_value list;
    if (!new_list(r, LLMC_KIND_LIST, &list)) return 0;
    for (uint32_t i = 0; i < all.count; i++) {
        piece = all.at[i];
        if (!MISSING(1) && ARG(1)->type != LLMC_NONE && !get_path(r, &all.at[i], ARG(1), &piece)) return 0;
        if (!llmc_to_text(r, &piece, &piece) || !add(r, &list, piece)) return 0;
    }
    llmc_text_init(&text, &r->arena);
    for (uint32_t i = 0; i < all.count; i++) {
        if (i) llmc_text_add(&text, glue.as.text, glue.size);
        llmc_text_add(&text, list.as.list->items[i].as.text, list.as.list->items[i].size);
    }
    return llmc_finish_text(r, &text, NULL, out);
}

FILTER(filter_tojson) {
    llmc_json_style style = {
        .indent = llmc_value_none(), .item_separator = llmc_value_literal(", "), .key_separator = llmc_value_literal(": ")};
    llmc_value space = llmc_value_literal(" ");
    llmc_text text;
    style.ensure_ascii = !MISSING(0) && llmc_value_truth(ARG(0));
    style.sort_keys = !MISSING(3) && llmc_value_truth(ARG(3));
    if (!MISSING(1) && ARG(1)->type != LLMC_NONE) {
        style.indent = *ARG(1);
        if (style.indent.type != LLMC_STRING && !llmc_operate(r, '*', &space, ARG(1), &style.indent)) return 0;
        style.item_separator = llmc_value_literal(",");
    }
    if (!MISSING(2) && ARG(2)->type != LLMC_NONE) {
        const llmc_list *pair = ARG(2)->type == LLMC_LIST ? ARG(2)->as.list : NULL;
        if (!pair || pair->count != 2 || pair->items[0].type != LLMC_STRING || pair->items[1].type != LLMC_STRING) {
            return llmc_render_fail(r, "tojson separators must be two texts");
        }
        style.item_separator = pair->items[0];
        style.key_separator = pair->items[1];
    }
    llmc_text_init(&text, &r->arena);
    const char *failed = llmc_text_add_json(&text, self, &style);
    return llmc_finish_text(r, &text, failed, out);
}

/* ---- Numbers ----------------------------------------------------------------------------------------------------------- */

FILTER(filter_int) {
    int64_t integer = 0;
    double real = 0;
    *out = MISSING(0) ? llmc_value_int(0) : *ARG(0);
    if (!MISSING(1) && ARG(1)->as.integer != 10) return llmc_render_fail(r, "int with a base is not supported");
    if (self->type == LLMC_STRING && llmc_text_to_int(self->as.text, self->size, &integer))
        return *out = llmc_value_int(integer), 1;
    if (self->type == LLMC_INT || self->type == LLMC_BOOL) return *out = llmc_value_int(self->as.integer), 1;
    int known =
        self->type == LLMC_STRING ? llmc_text_to_float(self->as.text, self->size, &real) : llmc_value_number(self, &real);
    if (known && real > -9.2e18 && real < 9.2e18) *out = llmc_value_int((int64_t)real);
    return 1;
}

FILTER(filter_float) {
    double real = 0;
    (void)r;
    int known =
        self->type == LLMC_STRING ? llmc_text_to_float(self->as.text, self->size, &real) : llmc_value_number(self, &real);
    *out = known ? llmc_value_float(real) : MISSING(0) ? llmc_value_float(0) : *ARG(0);
    return 1;
}

FILTER(filter_abs) {
    llmc_value zero = llmc_value_int(0);
    int order = 0;
    (void)args;
    if (!llmc_compare_values(r, self, &zero, &order)) return 0;
    return order < 0 ? llmc_operate(r, '-', &zero, self, out) : (*out = *self, 1);
}

FILTER(filter_round) {
    double real = 0;
    int64_t precision = MISSING(0) ? 0 : ARG(0)->as.integer;
    if (!llmc_value_number(self, &real) || precision < -300 || precision > 300)
        return llmc_render_fail(r, "round takes a number");
    if (self->type != LLMC_FLOAT && precision >= 0 && MISSING(1)) return *out = llmc_value_int(self->as.integer), 1;
    double scale = pow(10, (double)precision);
    if (!MISSING(1) && llmc_value_is(ARG(1), "ceil")) *out = llmc_value_float(ceil(real * scale) / scale);
    else if (!MISSING(1) && llmc_value_is(ARG(1), "floor")) *out = llmc_value_float(floor(real * scale) / scale);
    else *out = llmc_value_float(rint(real * scale) / scale);
    if (self->type != LLMC_FLOAT && (MISSING(1) || llmc_value_is(ARG(1), "common")))
        *out = llmc_value_int((int64_t)out->as.real);
    return 1;
}

FILTER(filter_sum) {
    items all;
    llmc_value item;
    if (!get_items(r, self, &all)) return 0;
    llmc_value total = MISSING(1) ? llmc_value_int(0) : *ARG(1);
    for (uint32_t i = 0; i < all.count; i++) {
        item = all.at[i];
        if (!MISSING(0) && ARG(0)->type != LLMC_NONE && !get_path(r, &all.at[i], ARG(0), &item)) return 0;
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
    if (!get_items(r, self, &all)) return 0;
    *out = all.count ? all.at[0] : (llmc_value){.type = LLMC_UNDEFINED};
    return 1;
}

FILTER(filter_last) {
    items all;
    (void)args;
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
        return llmc_finish_text(r, &text, NULL, out);
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

FILTER(filter_batch) {
    items all;
    llmc_value row = {.type = LLMC_MISSING};
    if (ARG(0)->type != LLMC_INT || ARG(0)->as.integer < 1) return llmc_render_fail(r, "batch takes a positive count");
    if (!get_items(r, self, &all) || !new_list(r, LLMC_KIND_GENERATOR, out)) return 0;
    for (uint32_t i = 0; i < all.count; i++) {
        if (i % ARG(0)->as.integer == 0 && (!new_list(r, LLMC_KIND_LIST, &row) || !add(r, out, row))) return 0;
        if (!add(r, &row, all.at[i])) return 0;
    }
    if (MISSING(1) || ARG(1)->type == LLMC_NONE || row.type == LLMC_MISSING) return 1;
    while (row.as.list->count < ARG(0)->as.integer) {
        if (!llmc_render_step(r, 0) || !add(r, &row, *ARG(1))) return 0;
    }
    return 1;
}

static int map_attribute(llmc_render *r, const items *all, const llmc_args *args, llmc_value *out) {
    const llmc_value *path = NULL, *standby = NULL;
    for (uint32_t i = 0; i < args->n_named; i++) {
        const llmc_value *value = &args->values[args->n_positional + i];
        if (llmc_value_is(&args->names[i], "attribute")) path = value;
        else if (llmc_value_is(&args->names[i], "default")) standby = value;
        else return llmc_render_fail(r, "map() has no such argument");
    }
    if (!path) return llmc_render_fail(r, "map() takes a filter or an attribute");
    for (uint32_t i = 0; i < all->count; i++) {
        llmc_value value;
        if (!get_path(r, &all->at[i], path, &value)) return 0;
        if (!add(r, out, value.type == LLMC_UNDEFINED && standby ? *standby : value)) return 0;
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
        if (at && !get_path(r, &all.at[i], &args->values[0], &value)) return 0;
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

FILTER(filter_attr) {
    (void)r;
    return llmc_attribute(r, self, ARG(0), out);
}

static const llmc_builtin FILTERS[] = {
    {"abs", filter_abs, "", 0},
    {"attr", filter_attr, "name", 1},
    {"batch", filter_batch, "linecount fill_with", 1},
    {"capitalize", filter_capitalize, "", 0},
    {"count", filter_length, "", 0},
    {"d", filter_default, "default_value boolean", 0},
    {"default", filter_default, "default_value boolean", 0},
    {"dictsort", filter_dictsort, "case_sensitive by reverse", 0},
    {"e", filter_escape, "", 0},
    {"escape", filter_escape, "", 0},
    {"first", filter_first, "", 0},
    {"float", filter_float, "default", 0},
    {"format", filter_format, NULL, 0},
    {"indent", filter_indent, "width first blank", 0},
    {"int", filter_int, "default base", 0},
    {"items", filter_items, "", 0},
    {"join", filter_join, "d attribute", 0},
    {"last", filter_last, "", 0},
    {"length", filter_length, "", 0},
    {"list", filter_list, "", 0},
    {"lower", filter_lower, "", 0},
    {"map", filter_map, NULL, 0},
    {"max", filter_max, "case_sensitive attribute", 0},
    {"min", filter_min, "case_sensitive attribute", 0},
    {"reject", filter_reject, NULL, 0},
    {"rejectattr", filter_rejectattr, NULL, 0},
    {"replace", filter_replace, "old new count", 2},
    {"reverse", filter_reverse, "", 0},
    {"round", filter_round, "precision method", 0},
    {"safe", filter_safe, "", 0},
    {"select", filter_select, NULL, 0},
    {"selectattr", filter_selectattr, NULL, 0},
    {"sort", filter_sort, "reverse case_sensitive attribute", 0},
    {"string", filter_string, "", 0},
    {"sum", filter_sum, "attribute start", 0},
    {"title", filter_title, "", 0},
    {"tojson", filter_tojson, "ensure_ascii indent separators sort_keys", 0},
    {"trim", filter_trim, "chars", 0},
    {"unique", filter_unique, "case_sensitive attribute", 0},
    {"upper", filter_upper, "", 0},
};

const llmc_builtin *llmc_filter_find(const llmc_value *name) {
    return llmc_builtin_search(FILTERS, sizeof FILTERS / sizeof *FILTERS, name);
}
