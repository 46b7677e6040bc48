/* Methods of Python's str, float, list and dict, of loops and cyclers, and what the immutable sandbox refuses. */
#include "template/builtins.h"

#include <math.h>
#include <string.h>

#define METHOD(name) static int name(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out)
#define ARG(i)       (&args->values[i])
#define GIVEN(i)     (args->values[i].type != LLMC_MISSING && args->values[i].type != LLMC_NONE)

static int want_text(llmc_render *r, const llmc_value *value, const char *where) {
    return value->type == LLMC_STRING ? 1
                                      : llmc_render_fail(r, "%s takes a text, not '%s'", where, llmc_value_type_name(value));
}

/* Searching so many bytes for a text; long ones take longer to prepare and to compare. */
static int scan_step(llmc_render *r, size_t bytes, size_t needle) {
    return llmc_render_step(r, needle < 16 ? bytes * 4 : bytes * 12 + needle * 24);
}

/* ---- Case and white space ---------------------------------------------------------------------------------------------- */

static int holds(llmc_render *r, const llmc_value *set, const char *character, size_t bytes) {
    return llmc_render_step(r, set->size) && llmc_text_find(set->as.text, set->size, character, bytes) != SIZE_MAX;
}

static size_t last_bytes(const char *s, size_t size) {
    size_t bytes = 1;
    while (bytes < size && bytes < 4 && ((unsigned char)s[size - bytes] & 0xC0) == 0x80) bytes++;
    return bytes;
}

/* sides: 1 left, 2 right, 3 both. chars: what to strip, or none or missing for white space. */
int llmc_strip_text(llmc_render *r, const llmc_value *self, const llmc_value *chars, int sides, llmc_value *out) {
    const char *s = self->as.text;
    size_t size = self->size, bytes = 0;
    uint32_t c = 0;
    if (chars->type == LLMC_MISSING || chars->type == LLMC_NONE) {
        bytes = sides & 1 ? llmc_text_space_prefix(s, size) : 0;
        s += bytes;
        size -= bytes;
        if (sides & 2) size -= llmc_text_space_suffix(s, size);
        if (!llmc_render_step(r, (size_t)(self->size - size) * 8)) return 0;
    } else {
        if (!want_text(r, chars, "strip()")) return 0;
        while ((sides & 1) && size && holds(r, chars, s, bytes = llmc_text_step(s, size, &c))) s += bytes, size -= bytes;
        while ((sides & 2) && size && holds(r, chars, s + size - last_bytes(s, size), last_bytes(s, size)))
            size -= last_bytes(s, size);
        if (r->status != LLMCALL_OK) return 0;
    }
    *out = llmc_value_text(s, size);
    out->kind = self->kind;
    return 1;
}

#define CASE_METHOD(name, mode)                                                                                                \
    METHOD(name) {                                                                                                             \
        return (void)args, llmc_change_case(r, self, mode, out);                                                               \
    }
CASE_METHOD(str_upper, 'u')
CASE_METHOD(str_lower, 'l')
CASE_METHOD(str_title, 't')
CASE_METHOD(str_capitalize, 'c')
CASE_METHOD(str_swapcase, 's')
CASE_METHOD(str_casefold, 'f')

METHOD(str_strip) {
    return llmc_strip_text(r, self, ARG(0), 3, out);
}
METHOD(str_lstrip) {
    return llmc_strip_text(r, self, ARG(0), 1, out);
}
METHOD(str_rstrip) {
    return llmc_strip_text(r, self, ARG(0), 2, out);
}

int llmc_pad_text(llmc_render *r, const llmc_value *self, const llmc_value *width, const llmc_value *fill, int side,
                  llmc_value *out) {
    int64_t wanted = 0, length = (int64_t)llmc_text_length(self->as.text, self->size);
    llmc_value space = llmc_value_literal(" "), with = fill->type == LLMC_MISSING ? space : *fill;
    llmc_text text;
    if (!llmc_want_int(r, width, 0, &wanted) || !want_text(r, &with, "padding")) return 0;
    if (llmc_text_length(with.as.text, with.size) != 1) return llmc_render_fail(r, "padding takes one character");
    size_t padding = wanted > length ? (size_t)(wanted - length) : 0;
    size_t left = side == 'l' ? 0 : side == 'r' ? padding : padding / 2 + (padding & (size_t)wanted & 1);
    llmc_text_init(&text, &r->arena);
    llmc_text_add_repeated(&text, with.as.text, with.size, left);
    llmc_text_add(&text, self->as.text, self->size);
    llmc_text_add_repeated(&text, with.as.text, with.size, padding - left);
    return llmc_finish_text(r, &text, NULL, out);
}

METHOD(str_center) {
    return llmc_pad_text(r, self, ARG(0), ARG(1), 'c', out);
}
METHOD(str_ljust) {
    return llmc_pad_text(r, self, ARG(0), ARG(1), 'l', out);
}
METHOD(str_rjust) {
    return llmc_pad_text(r, self, ARG(0), ARG(1), 'r', out);
}

METHOD(str_zfill) {
    uint32_t sign = self->size && (self->as.text[0] == '+' || self->as.text[0] == '-');
    llmc_value digits = llmc_value_text(self->as.text + sign, self->size - sign), zero = llmc_value_literal("0"), padded;
    llmc_text text;
    int64_t width = 0;
    if (!llmc_want_int(r, ARG(0), 0, &width)) return 0;
    llmc_value rest = llmc_value_int(width > 0 ? width - sign : 0);
    if (!llmc_pad_text(r, &digits, &rest, &zero, 'r', &padded)) return 0;
    llmc_text_init(&text, &r->arena);
    llmc_text_add(&text, self->as.text, sign);
    llmc_text_add(&text, padded.as.text, padded.size);
    return llmc_finish_text(r, &text, NULL, out);
}

METHOD(str_expandtabs) {
    int64_t size = 8, column = 0;
    llmc_text text;
    if (!llmc_want_int(r, ARG(0), 8, &size) || !llmc_render_step(r, (size_t)self->size * 4)) return 0;
    llmc_text_init(&text, &r->arena);
    for (uint32_t i = 0; i < self->size && !text.failed; i++) {
        char c = self->as.text[i];
        int64_t spaces = c == '\t' && size > 0 ? size - column % size : 0;
        if (c == '\t') llmc_text_add_repeated(&text, " ", 1, (size_t)spaces);
        else llmc_text_add(&text, &c, 1);
        column += c == '\t' ? spaces : ((unsigned char)c & 0xC0) != 0x80;
        if (c == '\n' || c == '\r') column = 0;
    }
    return llmc_finish_text(r, &text, NULL, out);
}

/* ---- Searching --------------------------------------------------------------------------------------------------------- */

/* The part of self that start and end (arguments 1 and 2, in characters) leave; 0 characters before it in *skipped. *fits is 0
 * where start lies behind end. */
static int part_of(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *part, int64_t *skipped,
                   int *fits) {
    int64_t length = (int64_t)llmc_text_length(self->as.text, self->size), ends[2] = {0, length};
    *part = *self;
    *skipped = 0;
    *fits = 1;
    if (!GIVEN(1) && !GIVEN(2)) return 1;
    for (uint32_t i = 0; i < 2; i++) {
        if (GIVEN(i + 1) && !llmc_want_int(r, ARG(i + 1), 0, &ends[i])) return 0;
        if (ends[i] < 0) ends[i] = ends[i] < -length ? 0 : ends[i] + length;
    }
    if (ends[1] > length) ends[1] = length;
    *fits = ends[0] <= ends[1];
    if (!*fits) return 1;
    size_t from = llmc_text_offset(self->as.text, self->size, (size_t)ends[0]);
    size_t size = llmc_text_offset(self->as.text + from, self->size - from, (size_t)(ends[1] - ends[0]));
    *part = llmc_value_text(self->as.text + from, size);
    *skipped = ends[0];
    return llmc_render_step(r, (size_t)self->size * 16);
}

static int starts(const llmc_value *self, const llmc_value *what, int at_end) {
    if (what->type != LLMC_STRING || what->size > self->size) return 0;
    return memcmp(self->as.text + (at_end ? self->size - what->size : 0), what->as.text, what->size) == 0;
}

static int starts_any(llmc_render *r, const llmc_value *self, const llmc_args *args, int at_end, llmc_value *out) {
    const llmc_value *what = ARG(0), *each = what;
    const char *where = at_end ? "endswith()" : "startswith()";
    llmc_value part;
    int64_t skipped = 0;
    int fits = 0, found = 0;
    uint32_t count = 1;
    if (!part_of(r, self, args, &part, &skipped, &fits)) return 0;
    if (what->type == LLMC_LIST && what->kind == LLMC_KIND_TUPLE) each = what->as.list->items, count = what->as.list->count;
    for (uint32_t i = 0; i < count && !found; i++) {
        if (!want_text(r, &each[i], where) || !llmc_render_step(r, each[i].size)) return 0;
        found = fits && starts(&part, &each[i], at_end);
    }
    *out = llmc_value_bool(found);
    return 1;
}

METHOD(str_startswith) {
    return starts_any(r, self, args, 0, out);
}
METHOD(str_endswith) {
    return starts_any(r, self, args, 1, out);
}

/* The offset of the first or last occurrence in *at, or SIZE_MAX. */
static int locate(llmc_render *r, const llmc_value *self, const llmc_value *what, int last, size_t *at) {
    if (!scan_step(r, self->size, what->size)) return 0;
    if (!last) return *at = llmc_text_find(self->as.text, self->size, what->as.text, what->size), 1;
    const char *text = llmc_text_backwards(&r->arena, self->as.text, self->size);
    const char *needle = llmc_text_backwards(&r->arena, what->as.text, what->size);
    if (!text || !needle) return llmc_render_memory(r);
    *at = llmc_text_find(text, self->size, needle, what->size);
    if (*at != SIZE_MAX) *at = self->size - *at - what->size;
    return 1;
}

static int find_text(llmc_render *r, const llmc_value *self, const llmc_args *args, int last, llmc_value *out) {
    llmc_value part;
    int64_t skipped = 0;
    int fits = 0;
    size_t at = SIZE_MAX;
    if (!want_text(r, ARG(0), "find()") || !part_of(r, self, args, &part, &skipped, &fits)) return 0;
    if (fits && !locate(r, &part, ARG(0), last, &at)) return 0;
    *out = llmc_value_int(at == SIZE_MAX ? -1 : skipped + (int64_t)llmc_text_length(part.as.text, at));
    return 1;
}

METHOD(str_find) {
    return find_text(r, self, args, 0, out);
}
METHOD(str_rfind) {
    return find_text(r, self, args, 1, out);
}

static int index_text(llmc_render *r, const llmc_value *self, const llmc_args *args, int last, llmc_value *out) {
    if (!find_text(r, self, args, last, out)) return 0;
    return out->as.integer >= 0 ? 1 : llmc_render_fail(r, "substring not found");
}

METHOD(str_index) {
    return index_text(r, self, args, 0, out);
}
METHOD(str_rindex) {
    return index_text(r, self, args, 1, out);
}

METHOD(str_count) {
    const llmc_value *what = ARG(0);
    llmc_value part;
    int64_t n = 0, skipped = 0;
    int fits = 0;
    size_t at = 0, hit = 0;
    if (!want_text(r, what, "count()") || !part_of(r, self, args, &part, &skipped, &fits)) return 0;
    if (!scan_step(r, part.size, what->size)) return 0;
    if (what->size == 0) n = fits ? (int64_t)llmc_text_length(part.as.text, part.size) + 1 : 0;
    while (what->size && fits &&
           (hit = llmc_text_find(part.as.text + at, part.size - at, what->as.text, what->size)) != SIZE_MAX) {
        at += hit + what->size;
        n++;
    }
    *out = llmc_value_int(n);
    return llmc_render_step(r, (size_t)n * 64);
}

/* ---- Replacing and splitting ------------------------------------------------------------------------------------------- */

int llmc_replace_text(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    const llmc_value *old = &args->values[0], *fresh = &args->values[1];
    int64_t left = -1;
    llmc_text text;
    size_t at = 0, hit = 0;
    uint32_t c = 0;
    if (!want_text(r, old, "replace()") || !want_text(r, fresh, "replace()") || !llmc_want_int(r, ARG(2), -1, &left)) return 0;
    if (!scan_step(r, self->size, old->size)) return 0;
    llmc_text_init(&text, &r->arena);
    for (; left != 0; left--) {
        if (old->size == 0) {
            if (at > self->size) break;
            llmc_text_add(&text, fresh->as.text, fresh->size);
            if (at == self->size) break;
            hit = llmc_text_step(self->as.text + at, self->size - at, &c);
        } else {
            hit = llmc_text_find(self->as.text + at, self->size - at, old->as.text, old->size);
            if (hit == SIZE_MAX) break;
        }
        llmc_text_add(&text, self->as.text + at, hit);
        if (old->size) llmc_text_add(&text, fresh->as.text, fresh->size);
        if (!llmc_render_step(r, 32)) return 0;
        at += hit + old->size;
        if (text.failed) break;
    }
    llmc_text_add(&text, self->as.text + at, self->size - at);
    return llmc_finish_text(r, &text, NULL, out);
}

static int add_piece(llmc_render *r, llmc_value *list, const char *text, size_t size) {
    if (!llmc_value_append(&r->arena, list, llmc_value_text(text, size))) return llmc_render_memory(r);
    return llmc_render_step(r, 16);
}

static int split_spaces(llmc_render *r, const llmc_value *self, int64_t left, llmc_value *out) {
    const char *s = self->as.text;
    size_t size = self->size;
    for (;;) {
        size_t skip = llmc_text_space_prefix(s, size), word = 0;
        uint32_t c = 0;
        s += skip;
        size -= skip;
        if (size == 0) return 1;
        if (left-- == 0) return add_piece(r, out, s, size);
        while (word < size && llmc_text_space_prefix(s + word, size - word < 4 ? size - word : 4) == 0) {
            word += llmc_text_step(s + word, size - word, &c);
        }
        if (!add_piece(r, out, s, word)) return 0;
        s += word;
        size -= word;
    }
}

static void reverse(llmc_value *list) {
    uint32_t n = list->as.list->count;
    for (uint32_t i = 0; i < n / 2; i++) {
        llmc_value item = list->as.list->items[i];
        list->as.list->items[i] = list->as.list->items[n - 1 - i];
        list->as.list->items[n - 1 - i] = item;
    }
}

/* From the end, so that what is left over is in front. */
static int rsplit_spaces(llmc_render *r, const llmc_value *self, int64_t left, llmc_value *out) {
    const char *s = self->as.text;
    size_t size = self->size;
    for (;;) {
        size -= llmc_text_space_suffix(s, size);
        if (size == 0) break;
        size_t from = size;
        while (left != 0 && from > 0 && llmc_text_space_suffix(s, from) == 0) from -= last_bytes(s, from);
        if (left-- == 0) from = 0;
        if (!add_piece(r, out, s + from, size - from)) return 0;
        size = from;
    }
    reverse(out);
    return 1;
}

static int split_text(llmc_render *r, const llmc_value *self, const llmc_args *args, int last, llmc_value *out) {
    const llmc_value *by = &args->values[0];
    const char *s = self->as.text, *text = s, *needle = by->as.text;
    size_t size = self->size, hit = 0;
    int64_t left = -1;
    if (!llmc_want_int(r, ARG(1), -1, &left) || !scan_step(r, size, by->type == LLMC_STRING ? by->size : 0)) return 0;
    if (!llmc_value_list(&r->arena, 0, LLMC_KIND_LIST, out)) return llmc_render_memory(r);
    if (!GIVEN(0)) return last && left >= 0 ? rsplit_spaces(r, self, left, out) : split_spaces(r, self, left, out);
    if (!want_text(r, by, "split()")) return 0;
    if (by->size == 0) return llmc_render_fail(r, "empty separator");
    if (last) {
        text = llmc_text_backwards(&r->arena, s, size);
        needle = llmc_text_backwards(&r->arena, needle, by->size);
        if (!text || !needle) return llmc_render_memory(r);
    }
    size_t at = 0; /* in text */
    for (; left != 0; left--) {
        hit = llmc_text_find(text + at, size - at, needle, by->size);
        if (hit == SIZE_MAX) break;
        if (!add_piece(r, out, last ? s + size - at - hit : s + at, hit)) return 0;
        at += hit + by->size;
    }
    if (!add_piece(r, out, last ? s : s + at, size - at)) return 0;
    if (last) reverse(out);
    return 1;
}

METHOD(str_split) {
    return split_text(r, self, args, 0, out);
}
METHOD(str_rsplit) {
    return split_text(r, self, args, 1, out);
}

METHOD(str_splitlines) {
    int64_t keep = 0;
    const char *s = self->as.text;
    if (!llmc_want_int(r, ARG(0), 0, &keep) || !llmc_render_step(r, (size_t)self->size * 16)) return 0;
    if (!llmc_value_list(&r->arena, 0, LLMC_KIND_LIST, out)) return llmc_render_memory(r);
    for (size_t at = 0, after = 0; at < self->size; at += after) {
        size_t size = llmc_text_line(s + at, self->size - at, &after);
        if (!add_piece(r, out, s + at, keep ? after : size)) return 0;
    }
    return 1;
}

static int partition(llmc_render *r, const llmc_value *self, const llmc_args *args, int last, llmc_value *out) {
    const llmc_value *by = ARG(0);
    size_t hit = 0;
    if (!want_text(r, by, "partition()")) return 0;
    if (by->size == 0) return llmc_render_fail(r, "empty separator");
    if (!locate(r, self, by, last, &hit)) return 0;
    size_t end = hit != SIZE_MAX ? hit : last ? 0 : self->size, after = hit != SIZE_MAX ? hit + by->size : end;
    if (!llmc_value_list(&r->arena, 3, LLMC_KIND_TUPLE, out)) return llmc_render_memory(r);
    return add_piece(r, out, self->as.text, end) && add_piece(r, out, self->as.text + end, after - end) &&
           add_piece(r, out, self->as.text + after, self->size - after);
}

METHOD(str_partition) {
    return partition(r, self, args, 0, out);
}
METHOD(str_rpartition) {
    return partition(r, self, args, 1, out);
}

METHOD(str_join) {
    const llmc_value *items = NULL;
    uint32_t count = 0;
    llmc_text text;
    if (!llmc_iterate(r, &args->values[0], &items, &count)) return 0;
    llmc_text_init(&text, &r->arena);
    for (uint32_t i = 0; i < count; i++) {
        llmc_value item = items[i];
        if (!llmc_render_step(r, 0)) return 0;
        if (!(self->kind ? llmc_escape_html(r, &item, &item) : want_text(r, &item, "join()"))) return 0;
        if (i) llmc_text_add(&text, self->as.text, self->size);
        llmc_text_add(&text, item.as.text, item.size);
    }
    return llmc_finish_text(r, &text, NULL, out);
}

static int remove_affix(const llmc_value *self, const llmc_value *what, int at_end, llmc_value *out) {
    size_t cut = starts(self, what, at_end) ? what->size : 0;
    *out = llmc_value_text(self->as.text + (at_end ? 0 : cut), self->size - cut);
    return 1;
}

METHOD(str_removeprefix) {
    return want_text(r, &args->values[0], "removeprefix()") && remove_affix(self, &args->values[0], 0, out);
}
METHOD(str_removesuffix) {
    return want_text(r, &args->values[0], "removesuffix()") && remove_affix(self, &args->values[0], 1, out);
}

/* ---- What a text consists of ------------------------------------------------------------------------------------------- */

#define CLASS_METHOD(name, expression)                                                                                         \
    METHOD(name) {                                                                                                             \
        (void)args;                                                                                                            \
        *out = llmc_value_bool(expression);                                                                                    \
        return llmc_render_step(r, (size_t)self->size * 64);                                                                   \
    }
CLASS_METHOD(str_isalpha, llmc_text_all(self, LLMC_CLASS_ALPHA))
CLASS_METHOD(str_isalnum, llmc_text_all(self, LLMC_CLASS_ALNUM))
CLASS_METHOD(str_isdecimal, llmc_text_all(self, LLMC_CLASS_DECIMAL))
CLASS_METHOD(str_isdigit, llmc_text_all(self, LLMC_CLASS_DIGIT))
CLASS_METHOD(str_isnumeric, llmc_text_all(self, LLMC_CLASS_NUMERIC))
CLASS_METHOD(str_isascii, llmc_text_all(self, LLMC_CLASS_ASCII))
CLASS_METHOD(str_isidentifier, llmc_text_all(self, LLMC_CLASS_NAME))
CLASS_METHOD(str_isprintable, llmc_text_all(self, LLMC_CLASS_PRINTABLE))
CLASS_METHOD(str_islower, llmc_text_is_cased(self, 'l'))
CLASS_METHOD(str_isupper, llmc_text_is_cased(self, 'u'))
CLASS_METHOD(str_istitle, llmc_text_is_cased(self, 't'))
CLASS_METHOD(str_isspace, self->size > 0 && llmc_text_space_prefix(self->as.text, self->size) == self->size)

METHOD(str_format) {
    return llmc_format_braces(r, self, args, NULL, out);
}

METHOD(str_format_map) {
    llmc_args none = {0};
    if (ARG(0)->type != LLMC_DICT) return llmc_render_fail(r, "format_map() takes a mapping");
    return llmc_format_braces(r, self, &none, ARG(0), out);
}

METHOD(float_is_integer) {
    (void)r, (void)args;
    *out = llmc_value_bool(floor(self->as.real) >= self->as.real && isfinite(self->as.real));
    return 1;
}

/* ---- Dicts, lists, loops ----------------------------------------------------------------------------------------------- */

int llmc_dict_items(llmc_render *r, const llmc_value *self, int kind, llmc_value *out) {
    llmc_value pair, items;
    const llmc_dict *dict = self->as.dict;
    if (!llmc_value_list(&r->arena, dict->count, kind, &items)) return llmc_render_memory(r);
    for (uint32_t i = 0; i < dict->count; i++) {
        if (!llmc_value_list(&r->arena, 2, LLMC_KIND_TUPLE, &pair)) return llmc_render_memory(r);
        llmc_value_append(&r->arena, &pair, dict->entries[i].key);
        llmc_value_append(&r->arena, &pair, dict->entries[i].value);
        llmc_value_append(&r->arena, &items, pair);
    }
    *out = items;
    return llmc_render_step(r, dict->count * sizeof pair);
}

METHOD(dict_items) {
    return (void)args, llmc_dict_items(r, self, LLMC_KIND_ITEMS, out);
}

static int dict_side(llmc_render *r, const llmc_value *self, int values, llmc_value *out) {
    const llmc_dict *dict = self->as.dict;
    if (!llmc_value_list(&r->arena, dict->count, values ? LLMC_KIND_VALUES : LLMC_KIND_KEYS, out)) return llmc_render_memory(r);
    for (uint32_t i = 0; i < dict->count; i++) {
        llmc_value_append(&r->arena, out, values ? dict->entries[i].value : dict->entries[i].key);
    }
    return llmc_render_step(r, dict->count * sizeof *out);
}

METHOD(dict_keys) {
    return (void)args, dict_side(r, self, 0, out);
}
METHOD(dict_values) {
    return (void)args, dict_side(r, self, 1, out);
}

METHOD(dict_get) {
    if (!llmc_value_hashable(ARG(0))) return llmc_render_fail(r, "unhashable type: '%s'", llmc_value_type_name(ARG(0)));
    if (!llmc_render_step(r, ARG(0)->type == LLMC_STRING ? ARG(0)->size : 0)) return 0;
    const llmc_value *found = llmc_value_get(self, ARG(0));
    *out = found ? *found : args->values[1].type == LLMC_MISSING ? llmc_value_none() : args->values[1];
    return 1;
}

METHOD(dict_copy) {
    return (void)r, (void)args, *out = *self, 1;
}

METHOD(list_copy) {
    (void)args;
    if (!llmc_value_list(&r->arena, self->as.list->count, LLMC_KIND_LIST, out)) return llmc_render_memory(r);
    for (uint32_t i = 0; i < self->as.list->count; i++) llmc_value_append(&r->arena, out, self->as.list->items[i]);
    return llmc_render_step(r, self->as.list->count * 16u);
}

METHOD(list_index) {
    const llmc_list *list = self->as.list;
    int same = 0;
    for (uint32_t i = 0; i < list->count; i++) {
        if (!llmc_equal(r, &list->items[i], ARG(0), &same)) return 0;
        if (same) return *out = llmc_value_int(i), 1;
    }
    return llmc_render_fail(r, "the value is not in the list");
}

METHOD(list_count) {
    int64_t n = 0;
    int same = 0;
    for (uint32_t i = 0; i < self->as.list->count; i++, n += same) {
        if (!llmc_equal(r, &self->as.list->items[i], ARG(0), &same)) return 0;
    }
    *out = llmc_value_int(n);
    return 1;
}

METHOD(loop_cycle) {
    if (args->n_positional == 0) return llmc_render_fail(r, "no items for cycling given");
    *out = args->values[self->as.loop->index % args->n_positional];
    return 1;
}

METHOD(loop_changed) {
    llmc_loop *loop = self->as.loop;
    llmc_value now;
    if (!llmc_value_list(&r->arena, args->n_positional, LLMC_KIND_TUPLE, &now)) return llmc_render_memory(r);
    for (uint32_t i = 0; i < args->n_positional; i++) llmc_value_append(&r->arena, &now, args->values[i]);
    int same = 0;
    if (loop->has_changed && !llmc_equal(r, &loop->changed, &now, &same)) return 0;
    *out = llmc_value_bool(!same);
    loop->has_changed = 1;
    loop->changed = now;
    r->escapes++;
    return 1;
}

METHOD(cycler_next) {
    llmc_cycler *cycler = self->as.cycler;
    (void)r, (void)args;
    *out = cycler->items[cycler->at];
    cycler->at = (cycler->at + 1) % cycler->count;
    return 1;
}

METHOD(cycler_reset) {
    (void)r, (void)args;
    self->as.cycler->at = 0;
    *out = llmc_value_none();
    return 1;
}

static const llmc_builtin STR_METHODS[] = {
    {"strip", str_strip, "/chars", 0},
    {"lstrip", str_lstrip, "/chars", 0},
    {"rstrip", str_rstrip, "/chars", 0},
    {"split", str_split, "sep maxsplit", 0},
    {"rsplit", str_rsplit, "sep maxsplit", 0},
    {"splitlines", str_splitlines, "keepends", 0},
    {"partition", str_partition, "/sep", 1},
    {"rpartition", str_rpartition, "/sep", 1},
    {"startswith", str_startswith, "/prefix start end", 1},
    {"endswith", str_endswith, "/suffix start end", 1},
    {"removeprefix", str_removeprefix, "/prefix", 1},
    {"removesuffix", str_removesuffix, "/suffix", 1},
    {"replace", llmc_replace_text, "/old new count", 2},
    {"find", str_find, "/sub start end", 1},
    {"rfind", str_rfind, "/sub start end", 1},
    {"index", str_index, "/sub start end", 1},
    {"rindex", str_rindex, "/sub start end", 1},
    {"count", str_count, "/sub start end", 1},
    {"upper", str_upper, "", 0},
    {"lower", str_lower, "", 0},
    {"title", str_title, "", 0},
    {"capitalize", str_capitalize, "", 0},
    {"swapcase", str_swapcase, "", 0},
    {"casefold", str_casefold, "", 0},
    {"center", str_center, "/width fillchar", 1},
    {"ljust", str_ljust, "/width fillchar", 1},
    {"rjust", str_rjust, "/width fillchar", 1},
    {"zfill", str_zfill, "/width", 1},
    {"expandtabs", str_expandtabs, "tabsize", 0},
    {"join", str_join, "/iterable", 1},
    {"format", str_format, NULL, 0},
    {"format_map", str_format_map, "/mapping", 1},
    {"isalpha", str_isalpha, "", 0},
    {"isalnum", str_isalnum, "", 0},
    {"isdecimal", str_isdecimal, "", 0},
    {"isdigit", str_isdigit, "", 0},
    {"isnumeric", str_isnumeric, "", 0},
    {"isascii", str_isascii, "", 0},
    {"isidentifier", str_isidentifier, "", 0},
    {"isprintable", str_isprintable, "", 0},
    {"islower", str_islower, "", 0},
    {"isupper", str_isupper, "", 0},
    {"istitle", str_istitle, "", 0},
    {"isspace", str_isspace, "", 0},
};
static const llmc_builtin DICT_METHODS[] = {
    {"items", dict_items, "", 0},         {"keys", dict_keys, "", 0}, {"values", dict_values, "", 0},
    {"get", dict_get, "/key default", 1}, {"copy", dict_copy, "", 0},
};
static const llmc_builtin LIST_METHODS[] = {
    {"index", list_index, "/value", 1}, {"count", list_count, "/value", 1}, {"copy", list_copy, "", 0}};
static const llmc_builtin FLOAT_METHODS[] = {{"is_integer", float_is_integer, "", 0}};
static const llmc_builtin LOOP_METHODS[] = {{"cycle", loop_cycle, NULL, 0}, {"changed", loop_changed, NULL, 0}};
static const llmc_builtin CYCLER_METHODS[] = {{"next", cycler_next, "", 0}, {"reset", cycler_reset, "", 0}};

/* What jinja2's immutable sandbox keeps templates from. */
static const char *const UNSAFE_LIST[] = {"append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove", NULL};
static const char *const UNSAFE_DICT[] = {"clear", "pop", "popitem", "setdefault", "update", NULL};

static int is_unsafe(const llmc_value *name, const char *const *names) {
    for (; *names; names++) {
        if (llmc_value_is(name, *names)) return 1;
    }
    return name->size > 2 && name->as.text[0] == '_' && name->as.text[1] == '_';
}

const llmc_builtin *llmc_method_find(const llmc_value *self, const llmc_value *name, int *unsafe) {
    switch (self->type) {
    case LLMC_STRING:
        return llmc_builtin_search(STR_METHODS, sizeof STR_METHODS / sizeof *STR_METHODS, name);
    case LLMC_DICT:
        *unsafe = is_unsafe(name, UNSAFE_DICT);
        return llmc_builtin_search(DICT_METHODS, sizeof DICT_METHODS / sizeof *DICT_METHODS, name);
    case LLMC_LIST:
        *unsafe = is_unsafe(name, UNSAFE_LIST);
        if (self->kind > LLMC_KIND_RANGE) return NULL;
        return llmc_builtin_search(LIST_METHODS, sizeof LIST_METHODS / sizeof *LIST_METHODS - (self->kind != LLMC_KIND_LIST),
                                   name);
    case LLMC_FLOAT:
        return llmc_builtin_search(FLOAT_METHODS, sizeof FLOAT_METHODS / sizeof *FLOAT_METHODS, name);
    case LLMC_CYCLER:
        return llmc_builtin_search(CYCLER_METHODS, sizeof CYCLER_METHODS / sizeof *CYCLER_METHODS, name);
    case LLMC_LOOP:
        return llmc_builtin_search(LOOP_METHODS, sizeof LOOP_METHODS / sizeof *LOOP_METHODS, name);
    default:
        return NULL;
    }
}
