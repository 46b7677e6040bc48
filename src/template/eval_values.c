/* What values do: attributes, items and slices, iteration, arithmetic and comparison, as in Python. Nothing here walks the
 * tree. */
#include "template/eval_parts.h"

#include <math.h>

#include "template/builtins.h"
#include "template/lexer.h"

/* ---- Attributes and items ---------------------------------------------------------------------------------------------- */

static int bind_method(llmc_render *r, const llmc_value *self, const llmc_builtin *builtin, llmc_value *out) {
    llmc_method *method = llmc_arena_alloc(&r->arena, sizeof *method);
    if (!method) return llmc_render_memory(r);
    *method = (llmc_method){builtin, *self};
    *out = (llmc_value){.type = LLMC_METHOD, .as.method = method};
    return 1;
}

static int loop_number(const llmc_loop *loop, const llmc_value *name, int64_t *number) {
    const struct {
        const char *name;
        int64_t number;
    } ROWS[] = {{"index", (int64_t)loop->index + 1},
                {"index0", loop->index},
                {"length", loop->count},
                {"revindex", (int64_t)loop->count - loop->index},
                {"revindex0", (int64_t)loop->count - loop->index - 1},
                {"depth", (int64_t)loop->depth + 1},
                {"depth0", loop->depth}};
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        if (llmc_value_is(name, ROWS[i].name)) return *number = ROWS[i].number, 1;
    }
    return 0;
}

static int loop_attribute(const llmc_loop *loop, const llmc_value *name, llmc_value *out) {
    int64_t number = 0;
    llmc_value owner = {.type = LLMC_LOOP};
    *out = llmc_eval_undefined(name, &owner);
    if (loop_number(loop, name, &number)) *out = llmc_value_int(number);
    else if (llmc_value_is(name, "first")) *out = llmc_value_bool(loop->index == 0);
    else if (llmc_value_is(name, "last")) *out = llmc_value_bool(loop->index + 1 == loop->count);
    else if (llmc_value_is(name, "previtem") && loop->index > 0) *out = loop->items[loop->index - 1];
    else if (llmc_value_is(name, "nextitem") && loop->index + 1 < loop->count) *out = loop->items[loop->index + 1];
    return 1;
}

static int macro_attribute(llmc_render *r, const llmc_macro *macro, const llmc_value *name, llmc_value *out) {
    uint32_t flags = macro->node->op;
    llmc_value owner = {.type = LLMC_MACRO};
    *out = llmc_eval_undefined(name, &owner);
    if (llmc_value_is(name, "name")) *out = macro->node->value;
    else if (llmc_value_is(name, "catch_varargs")) *out = llmc_value_bool((flags & LLMC_MACRO_VARARGS) != 0);
    else if (llmc_value_is(name, "catch_kwargs")) *out = llmc_value_bool((flags & LLMC_MACRO_KWARGS) != 0);
    else if (llmc_value_is(name, "caller")) *out = llmc_value_bool((flags & LLMC_MACRO_CALLER) != 0);
    if (!llmc_value_is(name, "arguments")) return 1;
    if (!llmc_value_list(&r->arena, 0, LLMC_KIND_TUPLE, out)) return llmc_render_memory(r);
    for (const llmc_node *p = macro->node->a; p; p = p->next) {
        if (!llmc_value_append(&r->arena, out, p->value)) return llmc_render_memory(r);
    }
    return 1;
}

int llmc_attribute(llmc_render *r, const llmc_value *object, const llmc_value *name, llmc_value *out) {
    int unsafe = 0;
    llmc_value self = *object;
    if (self.type == LLMC_UNDEFINED) return llmc_undefined_error(r, &self);
    const llmc_builtin *method = llmc_method_find(&self, name, &unsafe);
    if (unsafe) {
        *out = llmc_eval_undefined(name, &self);
        out->kind = LLMC_KIND_UNSAFE;
        out->reserved = self.type;
        return 1;
    }
    if (method) return bind_method(r, &self, method, out);
    if (self.type == LLMC_LOOP) return loop_attribute(self.as.loop, name, out);
    if (self.type == LLMC_LIST && self.reserved == LLMC_GROUP &&
        (llmc_value_is(name, "grouper") || llmc_value_is(name, "list")))
        return *out = self.as.list->items[llmc_value_is(name, "list")], 1;
    if (self.type == LLMC_MACRO) return macro_attribute(r, self.as.macro, name, out);
    if (self.type == LLMC_CYCLER && llmc_value_is(name, "current")) return *out = self.as.cycler->items[self.as.cycler->at], 1;
    if (!llmc_render_step(r, name->size)) return 0;
    const llmc_value *found = self.type == LLMC_DICT || self.type == LLMC_NAMESPACE ? llmc_value_get(&self, name) : NULL;
    *out = found ? *found : llmc_eval_undefined(name, &self);
    return 1;
}

static int text_item(llmc_render *r, const llmc_value *text, int64_t index, llmc_value *out) {
    size_t length = llmc_text_length(text->as.text, text->size);
    if (index < 0) index += (int64_t)length;
    if (index < 0 || (uint64_t)index >= length) return *out = llmc_eval_undefined(&(llmc_value){0}, text), 1;
    size_t from = llmc_text_offset(text->as.text, text->size, (size_t)index);
    size_t to = from + llmc_text_offset(text->as.text + from, text->size - from, 1);
    *out = llmc_value_text(text->as.text + from, to - from);
    out->kind = text->kind;
    return llmc_render_step(r, text->size + to * 8);
}

int llmc_item(llmc_render *r, const llmc_value *object, const llmc_value *index, llmc_value *out) {
    llmc_value self = *object;
    if (self.type == LLMC_UNDEFINED) return llmc_undefined_error(r, &self);
    if (index->type == LLMC_STRING && !llmc_render_step(r, index->size)) return 0;
    if (self.type == LLMC_DICT && llmc_value_hashable(index)) {
        const llmc_value *found = llmc_value_get(&self, index);
        if (found) return *out = *found, 1;
    }
    if ((index->type == LLMC_INT || index->type == LLMC_BOOL) && self.type == LLMC_STRING) {
        return text_item(r, &self, index->as.integer, out);
    }
    if ((index->type == LLMC_INT || index->type == LLMC_BOOL) && self.type == LLMC_LIST && self.kind <= LLMC_KIND_RANGE) {
        int64_t at = index->as.integer < 0 ? index->as.integer + self.as.list->count : index->as.integer;
        *out = at >= 0 && at < self.as.list->count ? self.as.list->items[at] : llmc_eval_undefined(index, &self);
        return 1;
    }
    if (index->type == LLMC_STRING) return llmc_attribute(r, &self, index, out);
    *out = llmc_eval_undefined(index, &self);
    return 1;
}

/* Python's slice.indices(): *from, *step and how many. */
static int slice_range(llmc_render *r, const llmc_value parts[3], int64_t length, int64_t *from, int64_t *step,
                       int64_t *count) {
    for (int i = 0; i < 3; i++) {
        if (parts[i].type > LLMC_INT || parts[i].type == LLMC_UNDEFINED)
            return llmc_render_fail(r, "slice indices must be integers");
    }
    *step = parts[2].type == LLMC_NONE ? 1 : parts[2].as.integer;
    if (*step == 0) return llmc_render_fail(r, "slice step cannot be zero");
    if (*step < -length - 1) *step = -length - 1;
    if (*step > length + 1) *step = length + 1;
    int64_t low = *step < 0 ? -1 : 0, high = *step < 0 ? length - 1 : length, ends[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        int64_t at = parts[i].as.integer;
        if (parts[i].type == LLMC_NONE) at = (i == 0) == (*step > 0) ? low : high;
        else if (at < 0) at = at < -length ? low : at + length < low ? low : at + length;
        else if (at > high) at = high;
        ends[i] = at;
    }
    *from = ends[0];
    int64_t span = *step > 0 ? ends[1] - ends[0] : ends[0] - ends[1], stride = *step > 0 ? *step : -*step;
    *count = span > 0 ? (span + stride - 1) / stride : 0;
    return 1;
}

static int slice_text(llmc_render *r, const llmc_value *text, int64_t from, int64_t step, int64_t count, llmc_value *out) {
    const char *s = text->as.text;
    if (step == 1 || count == 0) {
        size_t start = llmc_text_offset(s, text->size, (size_t)(count ? from : 0));
        size_t size = llmc_text_offset(s + start, text->size - start, (size_t)count);
        *out = llmc_value_text(s + start, size);
        out->kind = text->kind;
        return llmc_render_step(r, text->size + (start + size) * 8);
    }
    size_t length = llmc_text_length(s, text->size), n = 0;
    uint32_t *offsets = llmc_arena_array(&r->arena, length + 1, sizeof *offsets);
    if (!offsets) return llmc_render_memory(r);
    for (uint32_t i = 0; i < text->size; i++) {
        if (((unsigned char)s[i] & 0xC0) != 0x80) offsets[n++] = i;
    }
    offsets[n] = text->size;
    llmc_text result;
    llmc_text_init(&result, &r->arena);
    for (int64_t i = 0, at = from; i < count; i++, at += step) {
        llmc_text_add(&result, s + offsets[at], offsets[at + 1] - offsets[at]);
    }
    if (!llmc_render_step(r, text->size * 8u) || !llmc_finish_text(r, &result, NULL, out)) return 0;
    out->kind = text->kind;
    return 1;
}

int llmc_range(llmc_render *r, int64_t start, int64_t stop, int64_t step, llmc_value *out) {
    uint64_t span = step > 0 ? (stop > start ? (uint64_t)stop - (uint64_t)start : 0)
                             : (start > stop ? (uint64_t)start - (uint64_t)stop : 0);
    uint64_t stride = step > 0 ? (uint64_t)step : 0 - (uint64_t)step, count = span / stride + (span % stride != 0);
    if (count > LLMC_TEMPLATE_MAX_RANGE) return llmc_render_fail(r, "range() of more than %d items", LLMC_TEMPLATE_MAX_RANGE);
    if (!llmc_value_list(&r->arena, (uint32_t)count + 3, LLMC_KIND_RANGE, out)) return llmc_render_memory(r);
    llmc_list *list = out->as.list;
    for (; list->count < count; list->count++) {
        list->items[list->count] = llmc_value_int((int64_t)((uint64_t)start + list->count * (uint64_t)step));
    }
    list->items[count] = llmc_value_int(start);
    list->items[count + 1] = llmc_value_int(stop);
    list->items[count + 2] = llmc_value_int(step);
    return llmc_render_step(r, count * sizeof(llmc_value));
}

static int slice_of_range(llmc_render *r, const llmc_list *list, int64_t from, int64_t step, int64_t count, llmc_value *out) {
    const llmc_value *bounds = list->items + list->count;
    int64_t start = bounds[0].as.integer, stride = bounds[2].as.integer; /* of at most MAX_RANGE items: no overflow below */
    return llmc_range(r, start + from * stride, start + (from + count * step) * stride, stride * step, out);
}

int llmc_eval_slice_value(llmc_render *r, const llmc_value *value, const llmc_value parts[3], llmc_value *out) {
    int64_t from = 0, step = 1, count = 0;
    llmc_value self = *value;
    if (self.type == LLMC_UNDEFINED) return llmc_undefined_error(r, &self);
    if (self.type == LLMC_STRING) {
        int64_t length = (int64_t)llmc_text_length(self.as.text, self.size);
        return slice_range(r, parts, length, &from, &step, &count) && slice_text(r, &self, from, step, count, out);
    }
    if (self.type != LLMC_LIST || self.kind > LLMC_KIND_RANGE)
        return llmc_render_fail(r, "'%s' object cannot be sliced", llmc_value_type_name(&self));
    if (!slice_range(r, parts, self.as.list->count, &from, &step, &count)) return 0;
    if (self.kind == LLMC_KIND_RANGE) return slice_of_range(r, self.as.list, from, step, count, out);
    if (!llmc_value_list(&r->arena, (uint32_t)count, self.kind, out)) return llmc_render_memory(r);
    for (int64_t i = 0; i < count; i++) llmc_value_append(&r->arena, out, self.as.list->items[from + i * step]);
    return llmc_render_step(r, (size_t)count * 16);
}

static int iterate_text(llmc_render *r, const llmc_value *value, const llmc_value **items, uint32_t *count) {
    size_t length = llmc_text_length(value->as.text, value->size), n = 0;
    llmc_value *characters = llmc_arena_array(&r->arena, length, sizeof *characters);
    if (!characters) return llmc_render_memory(r);
    for (size_t at = 0, bytes; at < value->size && n < length; at += bytes, n++) {
        bytes = llmc_text_offset(value->as.text + at, value->size - at, 1);
        if (bytes == 0) bytes = 1;
        characters[n] = llmc_value_text(value->as.text + at, bytes);
    }
    *items = characters;
    *count = (uint32_t)n;
    return llmc_render_step(r, value->size * (size_t)16);
}

int llmc_iterate(llmc_render *r, const llmc_value *value, const llmc_value **items, uint32_t *count) {
    *count = 0;
    if (value->type == LLMC_UNDEFINED) return 1;
    if (value->type == LLMC_STRING) return iterate_text(r, value, items, count);
    if (value->type == LLMC_LIST) {
        llmc_list *list = value->as.list;
        *items = list->items;
        *count = list->count;
        if (value->kind == LLMC_KIND_GENERATOR && list->count) list->items += list->count, list->count = 0;
        return 1;
    }
    if (value->type != LLMC_DICT) return llmc_render_fail(r, "'%s' object is not iterable", llmc_value_type_name(value));
    const llmc_dict *dict = value->as.dict;
    llmc_value *keys = llmc_arena_array(&r->arena, dict->count, sizeof *keys);
    if (!keys) return llmc_render_memory(r);
    for (uint32_t i = 0; i < dict->count; i++) keys[i] = dict->entries[i].key;
    *items = keys;
    *count = dict->count;
    return llmc_render_step(r, dict->count * sizeof *keys);
}

/* ---- Arithmetic and comparison ----------------------------------------------------------------------------------------- */

static int add_texts(llmc_render *r, const llmc_value *a, const llmc_value *b, llmc_value *out) {
    llmc_text text = {.arena = &r->arena};
    llmc_value left = *a, right = *b;
    if (a->kind != b->kind) {
        if (!llmc_escape_html(r, a->kind ? b : a, a->kind ? &right : &left)) return 0;
    }
    text.data = (char *)(uintptr_t)left.as.text;
    text.size = left.size;
    if (left.size == 0) text.data = NULL;
    llmc_text_add(&text, right.as.text, right.size);
    if (!llmc_finish_text(r, &text, NULL, out)) return 0;
    out->kind = left.kind;
    return 1;
}

static int add_lists(llmc_render *r, const llmc_value *a, const llmc_value *b, llmc_value *out) {
    const llmc_list *x = a->as.list, *y = b->as.list;
    llmc_value sum;
    if (!llmc_value_list(&r->arena, x->count + y->count, a->kind, &sum)) return llmc_render_memory(r);
    for (uint32_t i = 0; i < x->count; i++) llmc_value_append(&r->arena, &sum, x->items[i]);
    for (uint32_t i = 0; i < y->count; i++) llmc_value_append(&r->arena, &sum, y->items[i]);
    *out = sum;
    return llmc_render_step(r, ((size_t)x->count + y->count) * 16);
}

static int repeat(llmc_render *r, const llmc_value *what, int64_t times, llmc_value *out) {
    if (times < 0) times = 0;
    if (what->type == LLMC_STRING) {
        llmc_text text;
        uint8_t kind = what->kind; /* out may be what */
        llmc_text_init(&text, &r->arena);
        llmc_text_add_repeated(&text, what->as.text, what->size, (size_t)times);
        if (!llmc_finish_text(r, &text, NULL, out)) return 0;
        out->kind = kind;
        return 1;
    }
    llmc_list *list = what->as.list;
    size_t total = list->count ? LLMC_TEMPLATE_MAX_MEMORY / sizeof(llmc_value) / list->count : 0;
    if (list->count && (uint64_t)times > total) return llmc_render_fail(r, "a list is repeated too often");
    llmc_value product;
    if (!llmc_value_list(&r->arena, list->count * (uint32_t)(list->count ? times : 0), what->kind, &product)) {
        return llmc_render_memory(r);
    }
    for (int64_t i = 0; list->count && i < times; i++) {
        for (uint32_t j = 0; j < list->count; j++) llmc_value_append(&r->arena, &product, list->items[j]);
    }
    *out = product;
    return llmc_render_step(r, (size_t)product.as.list->count * 32);
}

static int power(llmc_render *r, int64_t base, int64_t exponent, llmc_value *out) {
    int64_t result = 1;
    if (exponent < 0) {
        if (base == 0) return llmc_render_fail(r, "0 cannot be raised to a negative power");
        return *out = llmc_value_float(pow((double)base, (double)exponent)), 1;
    }
    for (; exponent; exponent >>= 1) {
        if ((exponent & 1) && __builtin_mul_overflow(result, base, &result)) return llmc_render_fail(r, "integer overflow");
        if (exponent > 1 && __builtin_mul_overflow(base, base, &base)) return llmc_render_fail(r, "integer overflow");
    }
    *out = llmc_value_int(result);
    return 1;
}

static int operate_ints(llmc_render *r, int op, int64_t a, int64_t b, llmc_value *out) {
    int64_t result = 0;
    int overflow = 0;
    if ((op == '/' || op == LLMC_OP('/', '/') || op == '%') && b == 0) return llmc_render_fail(r, "division by zero");
    if (op == '/') return *out = llmc_value_float((double)a / (double)b), 1;
    if (op == LLMC_OP('*', '*')) return power(r, a, b, out);
    if (op == '+') overflow = __builtin_add_overflow(a, b, &result);
    else if (op == '-') overflow = __builtin_sub_overflow(a, b, &result);
    else if (op == '*') overflow = __builtin_mul_overflow(a, b, &result);
    else if (b == -1) overflow = op == '%' ? 0 : __builtin_sub_overflow((int64_t)0, a, &result);
    else if (op == '%') result = a % b + (a % b != 0 && (a % b < 0) != (b < 0) ? b : 0);
    else result = a / b - (a % b != 0 && (a % b < 0) != (b < 0));
    if (overflow) return llmc_render_fail(r, "integer overflow");
    *out = llmc_value_int(result);
    return 1;
}

/* Python's divmod(), signs of zeros included. */
static void divide(double a, double b, double *whole, double *rest) {
    double quotient;
    *rest = fmod(a, b);
    quotient = (a - *rest) / b;
    if ((*rest < 0 && b > 0) || (*rest > 0 && b < 0)) *rest += b, quotient -= 1;
    else if (!(*rest < 0) && !(*rest > 0)) *rest = copysign(*rest, b);
    *whole = floor(quotient) + (quotient - floor(quotient) > 0.5);
    if (!(quotient < 0) && !(quotient > 0)) *whole = copysign(0, a / b);
}

/* Where Python raises or becomes complex. */
static int power_exists(double a, double b) {
    double result = pow(a, b);
    return result == result ? !isinf(result) || isinf(a) || isinf(b) : a != a || b != b;
}

static int operate_floats(llmc_render *r, int op, double a, double b, llmc_value *out) {
    int zero = !(b < 0) && !(b > 0) && b == b;
    if ((op == '/' || op == LLMC_OP('/', '/') || op == '%') && zero) return llmc_render_fail(r, "division by zero");
    double rest, whole;
    divide(a, b, &whole, &rest);
    if (op == LLMC_OP('*', '*') && !power_exists(a, b)) return llmc_render_fail(r, "%g ** %g has no real value", a, b);
    double result = op == '+'                 ? a + b
                    : op == '-'               ? a - b
                    : op == '*'               ? a * b
                    : op == '/'               ? a / b
                    : op == '%'               ? rest
                    : op == LLMC_OP('/', '/') ? whole
                                              : pow(a, b);
    *out = llmc_value_float(result);
    return 1;
}

/* "%" of markup escapes what it fills in. */
static int format_markup(llmc_render *r, const llmc_value *format, const llmc_args *args, const llmc_value *mapping,
                         llmc_value *out) {
    llmc_args escaped = *args;
    if (!format->kind) return llmc_format_percent(r, format, args, mapping, out);
    escaped.values = llmc_arena_array(&r->arena, (size_t)args->n_positional + 1, sizeof *escaped.values);
    if (!escaped.values) return llmc_render_memory(r);
    for (uint32_t i = 0; i < args->n_positional; i++) {
        escaped.values[i] = args->values[i];
        if (args->values[i].type == LLMC_STRING && !llmc_escape_html(r, &args->values[i], &escaped.values[i])) return 0;
    }
    if (!llmc_format_percent(r, format, &escaped, mapping, out)) return 0;
    out->kind = LLMC_KIND_MARKUP;
    return 1;
}

static const char *op_name(int op, char buffer[3]) {
    buffer[0] = (char)(op & 255);
    buffer[1] = (char)(op >> 8);
    buffer[2] = 0;
    return buffer;
}

int llmc_operate(llmc_render *r, int op, const llmc_value *a, const llmc_value *b, llmc_value *out) {
    double x = 0, y = 0;
    char name[3];
    if (a->type == LLMC_UNDEFINED) return llmc_undefined_error(r, a);
    if (op == '%' && a->type == LLMC_STRING) {
        llmc_args args = {.values = (llmc_value *)(uintptr_t)b, .n_positional = 1};
        int tuple = b->type == LLMC_LIST && b->kind == LLMC_KIND_TUPLE;
        int mapping =
            b->type == LLMC_DICT || b->type == LLMC_UNDEFINED || (b->type == LLMC_LIST && b->kind <= LLMC_KIND_RANGE && !tuple);
        if (tuple) args = (llmc_args){.values = b->as.list->items, .n_positional = b->as.list->count};
        return format_markup(r, a, &args, mapping ? b : NULL, out);
    }
    if (b->type == LLMC_UNDEFINED) return llmc_undefined_error(r, b);
    int a_int = a->type == LLMC_INT || a->type == LLMC_BOOL, b_int = b->type == LLMC_INT || b->type == LLMC_BOOL;
    if (a_int && b_int) return operate_ints(r, op, a->as.integer, b->as.integer, out);
    if (llmc_value_number(a, &x) && llmc_value_number(b, &y)) return operate_floats(r, op, x, y, out);
    if (op == '+' && a->type == LLMC_STRING && b->type == LLMC_STRING) return add_texts(r, a, b, out);
    int a_list = a->type == LLMC_LIST && a->kind <= LLMC_KIND_TUPLE,
        b_list = b->type == LLMC_LIST && b->kind <= LLMC_KIND_TUPLE;
    if (op == '+' && a_list && b_list && a->kind == b->kind) return add_lists(r, a, b, out);
    if (op == '*' && b_int && (a->type == LLMC_STRING || a_list)) return repeat(r, a, b->as.integer, out);
    if (op == '*' && a_int && (b->type == LLMC_STRING || b_list)) return repeat(r, b, a->as.integer, out);
    return llmc_render_fail(r, "unsupported operand type(s) for %s: '%s' and '%s'", op_name(op, name), llmc_value_type_name(a),
                            llmc_value_type_name(b));
}

int llmc_eval_compare(llmc_render *r, int op, const llmc_value *a, const llmc_value *b, int *truth) {
    int order = 0;
    if (op == LLMC_OP('i', 'n') || op == LLMC_OP('n', 'i')) {
        if (!llmc_contains(r, b, a, truth)) return 0;
        *truth ^= op == LLMC_OP('n', 'i');
        return 1;
    }
    if (op == LLMC_OP('=', '=') || op == LLMC_OP('!', '=')) {
        if (!llmc_equal(r, a, b, truth)) return 0;
        *truth ^= op == LLMC_OP('!', '=');
        return 1;
    }
    if (!llmc_compare_values(r, a, b, &order)) return 0;
    *truth = op == '<'                 ? order == -1
             : op == '>'               ? order == 1
             : op == LLMC_OP('<', '=') ? order == -1 || order == 0
                                       : order == 1 || order == 0;
    return 1;
}
