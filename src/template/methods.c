/* Methods of Python's str and dict, of loops, and what the immutable sandbox refuses. */
#include "template/builtins.h"

#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "core/utf8.h"

#define METHOD(name) static int name(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out)
#define GIVEN(i)     (args->values[i].type != LLMC_MISSING && args->values[i].type != LLMC_NONE)

static int want_text(llmc_render *r, const llmc_value *value, const char *where) {
    return value->type == LLMC_STRING ? 1
                                      : llmc_render_fail(r, "%s takes a text, not '%s'", where, llmc_value_type_name(value));
}

/* ---- Case and white space ---------------------------------------------------------------------------------------------- */

int llmc_change_case(llmc_render *r, const llmc_value *self, int mode, llmc_value *out) {
    llmc_text text;
    uint32_t c = 0;
    int inside = 0; /* a word, for title; past the first character, for capitalize */
    char utf8[4];
    llmc_text_init(&text, &r->arena);
    for (size_t at = 0, bytes; at < self->size; at += bytes) {
        bytes = llmc_text_step(self->as.text + at, self->size - at, &c);
        int up = mode == 'u' || (mode != 'l' && !inside);
        utf8proc_int32_t changed = up ? utf8proc_toupper((utf8proc_int32_t)c) : utf8proc_tolower((utf8proc_int32_t)c);
        utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
        inside = mode == 'c' || (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT);
        if (up && c == 0xDF) llmc_text_add_literal(&text, mode == 'u' ? "SS" : "Ss");
        else llmc_text_add(&text, utf8, llmc_utf8_encode((uint32_t)changed, utf8));
    }
    return llmc_finish_text(r, &text, NULL, out);
}

static int holds(const llmc_value *set, const char *character, size_t bytes) {
    return llmc_text_find(set->as.text, set->size, character, bytes) != SIZE_MAX;
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
    } else {
        if (!want_text(r, chars, "strip()")) return 0;
        while ((sides & 1) && size && holds(chars, s, bytes = llmc_text_step(s, size, &c))) s += bytes, size -= bytes;
        while ((sides & 2) && size && holds(chars, s + size - last_bytes(s, size), last_bytes(s, size)))
            size -= last_bytes(s, size);
    }
    *out = llmc_value_text(s, size);
    return 1;
}

METHOD(str_upper) {
    return (void)args, llmc_change_case(r, self, 'u', out);
}
METHOD(str_lower) {
    return (void)args, llmc_change_case(r, self, 'l', out);
}
METHOD(str_title) {
    return (void)args, llmc_change_case(r, self, 't', out);
}
METHOD(str_capitalize) {
    return (void)args, llmc_change_case(r, self, 'c', out);
}
METHOD(str_strip) {
    return llmc_strip_text(r, self, &args->values[0], 3, out);
}
METHOD(str_lstrip) {
    return llmc_strip_text(r, self, &args->values[0], 1, out);
}
METHOD(str_rstrip) {
    return llmc_strip_text(r, self, &args->values[0], 2, out);
}

/* ---- Searching and splitting ------------------------------------------------------------------------------------------- */

static int starts(const llmc_value *self, const llmc_value *what, int at_end) {
    if (what->type != LLMC_STRING || what->size > self->size) return 0;
    return memcmp(self->as.text + (at_end ? self->size - what->size : 0), what->as.text, what->size) == 0;
}

static int starts_any(llmc_render *r, const llmc_value *self, const llmc_value *what, int at_end, llmc_value *out) {
    int found = starts(self, what, at_end);
    if (what->type == LLMC_LIST && what->kind == LLMC_KIND_TUPLE) {
        for (uint32_t i = 0; i < what->as.list->count; i++) found |= starts(self, &what->as.list->items[i], at_end);
    } else if (!want_text(r, what, at_end ? "endswith()" : "startswith()")) {
        return 0;
    }
    *out = llmc_value_bool(found);
    return 1;
}

METHOD(str_startswith) {
    return starts_any(r, self, &args->values[0], 0, out);
}
METHOD(str_endswith) {
    return starts_any(r, self, &args->values[0], 1, out);
}

static int find_text(llmc_render *r, const llmc_value *self, const llmc_value *what, int last, llmc_value *out) {
    if (!want_text(r, what, "find()")) return 0;
    if (!llmc_render_step(r, self->size / 16 * (what->size < 4096 ? what->size : 4096))) return 0;
    size_t at = last ? llmc_text_find_last(self->as.text, self->size, what->as.text, what->size)
                     : llmc_text_find(self->as.text, self->size, what->as.text, what->size);
    *out = llmc_value_int(at == SIZE_MAX ? -1 : (int64_t)llmc_text_length(self->as.text, at));
    return 1;
}

METHOD(str_find) {
    return find_text(r, self, &args->values[0], 0, out);
}
METHOD(str_rfind) {
    return find_text(r, self, &args->values[0], 1, out);
}

METHOD(str_index) {
    if (!find_text(r, self, &args->values[0], 0, out)) return 0;
    return out->as.integer >= 0 ? 1 : llmc_render_fail(r, "substring not found");
}

METHOD(str_count) {
    const llmc_value *what = &args->values[0];
    int64_t n = 0;
    size_t at = 0, hit = 0;
    if (!want_text(r, what, "count()")) return 0;
    if (what->size == 0) return *out = llmc_value_int((int64_t)llmc_text_length(self->as.text, self->size) + 1), 1;
    while ((hit = llmc_text_find(self->as.text + at, self->size - at, what->as.text, what->size)) != SIZE_MAX) {
        at += hit + what->size;
        n++;
    }
    *out = llmc_value_int(n);
    return 1;
}

int llmc_replace_text(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    const llmc_value *old = &args->values[0], *fresh = &args->values[1];
    int64_t left = GIVEN(2) ? args->values[2].as.integer : -1;
    llmc_text text;
    size_t at = 0, hit = 0;
    uint32_t c = 0;
    if (!want_text(r, old, "replace()") || !want_text(r, fresh, "replace()")) return 0;
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
        if (left-- == 0) return add_piece(r, out, s, size - llmc_text_space_suffix(s, size));
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

static int split_text(llmc_render *r, const llmc_value *self, const llmc_args *args, int last, llmc_value *out) {
    const llmc_value *by = &args->values[0];
    int64_t left = GIVEN(1) ? args->values[1].as.integer : -1;
    const char *s = self->as.text;
    size_t size = self->size, hit = 0;
    if (!llmc_value_list(&r->arena, 0, LLMC_KIND_LIST, out)) return llmc_render_memory(r);
    if (!GIVEN(0) && last && left >= 0) return llmc_render_fail(r, "rsplit() with a limit needs a separator");
    if (!GIVEN(0)) return split_spaces(r, self, left, out);
    if (!want_text(r, by, "split()")) return 0;
    if (by->size == 0) return llmc_render_fail(r, "empty separator");
    for (; left != 0; left--) {
        hit = (last ? llmc_text_find_last : llmc_text_find)(s, size, by->as.text, by->size);
        if (hit == SIZE_MAX) break;
        size_t after = hit + by->size;
        if (!add_piece(r, out, last ? s + after : s, last ? size - after : hit)) return 0;
        s += last ? 0 : after;
        size = last ? hit : size - after;
    }
    if (!add_piece(r, out, s, size)) return 0;
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
    int keep = args->values[0].type != LLMC_MISSING && llmc_value_truth(&args->values[0]);
    const char *s = self->as.text;
    if (!llmc_value_list(&r->arena, 0, LLMC_KIND_LIST, out)) return llmc_render_memory(r);
    for (size_t at = 0, from = 0; from < self->size; from = at) {
        uint32_t c = 0;
        size_t end = from, bytes = 0;
        for (; end < self->size; end += bytes) {
            bytes = llmc_text_step(s + end, self->size - end, &c);
            if ((c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029) break;
        }
        at = end < self->size ? end + bytes : end;
        if (end < self->size && c == '\r' && at < self->size && s[at] == '\n') at++;
        if (!add_piece(r, out, s + from, (keep ? at : end) - from)) return 0;
    }
    return 1;
}

METHOD(str_partition) {
    const llmc_value *by = &args->values[0];
    if (!want_text(r, by, "partition()") || by->size == 0) return llmc_render_fail(r, "empty separator");
    size_t hit = llmc_text_find(self->as.text, self->size, by->as.text, by->size);
    size_t end = hit == SIZE_MAX ? self->size : hit, after = hit == SIZE_MAX ? end : hit + by->size;
    if (!llmc_value_list(&r->arena, 3, LLMC_KIND_TUPLE, out)) return llmc_render_memory(r);
    return add_piece(r, out, self->as.text, end) && add_piece(r, out, self->as.text + end, after - end) &&
           add_piece(r, out, self->as.text + after, self->size - after);
}

METHOD(str_join) {
    const llmc_value *items = NULL;
    uint32_t count = 0;
    llmc_text text;
    if (!llmc_iterate(r, &args->values[0], &items, &count)) return 0;
    llmc_text_init(&text, &r->arena);
    for (uint32_t i = 0; i < count; i++) {
        if (!want_text(r, &items[i], "join()")) return 0;
        if (i) llmc_text_add(&text, self->as.text, self->size);
        llmc_text_add(&text, items[i].as.text, items[i].size);
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

METHOD(str_isdigit) {
    int all = self->size > 0;
    (void)r, (void)args;
    for (uint32_t i = 0; i < self->size; i++) all &= self->as.text[i] >= '0' && self->as.text[i] <= '9';
    *out = llmc_value_bool(all);
    return 1;
}

METHOD(str_isspace) {
    (void)r, (void)args;
    *out = llmc_value_bool(self->size > 0 && llmc_text_space_prefix(self->as.text, self->size) == self->size);
    return 1;
}

/* ---- Formatting -------------------------------------------------------------------------------------------------------- */

static const llmc_value *format_argument(const llmc_args *args, const llmc_value *name, uint32_t *automatic) {
    int64_t number = 0;
    if (name->size == 0) return *automatic < args->n_positional ? &args->values[(*automatic)++] : NULL;
    if (llmc_text_to_int(name->as.text, name->size, &number)) {
        return number >= 0 && number < args->n_positional ? &args->values[number] : NULL;
    }
    for (uint32_t i = 0; i < args->n_named; i++) {
        if (llmc_value_equal(&args->names[i], name)) return &args->values[args->n_positional + i];
    }
    return NULL;
}

/* "{}", "{0}", "{name}", "{{", "}}": no conversions or widths. */
METHOD(str_format) {
    llmc_text text;
    uint32_t automatic = 0;
    llmc_text_init(&text, &r->arena);
    for (uint32_t i = 0; i < self->size; i++) {
        char c = self->as.text[i];
        if ((c != '{' && c != '}') || (i + 1 < self->size && self->as.text[i + 1] == c)) {
            llmc_text_add(&text, &c, 1);
            i += c == '{' || c == '}';
            continue;
        }
        const char *end = c == '{' ? memchr(self->as.text + i, '}', self->size - i) : NULL;
        if (!end) return llmc_render_fail(r, "format() with a single '%c'", c);
        llmc_value name = llmc_value_text(self->as.text + i + 1, (size_t)(end - self->as.text) - i - 1);
        if (memchr(name.as.text, ':', name.size) || memchr(name.as.text, '!', name.size) ||
            memchr(name.as.text, '.', name.size) || memchr(name.as.text, '[', name.size)) {
            return llmc_render_fail(r, "format() does not support '{%.*s}'", (int)(name.size < 40 ? name.size : 40),
                                    name.as.text);
        }
        const llmc_value *value = format_argument(args, &name, &automatic);
        if (!value) return llmc_render_fail(r, "format() misses an argument");
        const char *failed = llmc_text_add_str(&text, value);
        if (failed) return llmc_render_fail(r, "%s", failed);
        i += name.size + 1;
    }
    return llmc_finish_text(r, &text, NULL, out);
}

static const char *add_percent(llmc_text *text, char kind, const llmc_value *value) {
    llmc_value whole = *value;
    if (kind == 's') return llmc_text_add_str(text, value);
    if (kind == 'r') return llmc_text_add_repr(text, value);
    if (kind != 'd' && kind != 'i') return "only %s, %r, %d and %% are supported";
    if (value->type == LLMC_FLOAT && value->as.real > -1e18 && value->as.real < 1e18)
        whole = llmc_value_int((int64_t)value->as.real);
    if (whole.type == LLMC_BOOL) whole.type = LLMC_INT;
    return whole.type == LLMC_INT ? llmc_text_add_str(text, &whole) : "%d takes a number";
}

int llmc_format_percent(llmc_render *r, const llmc_value *format, const llmc_args *args, llmc_value *out) {
    llmc_text text;
    uint32_t n = 0;
    llmc_text_init(&text, &r->arena);
    for (uint32_t i = 0; i < format->size; i++) {
        char c = format->as.text[i];
        char kind = i + 1 < format->size ? format->as.text[i + 1] : 0;
        if (c != '%') {
            llmc_text_add(&text, &c, 1);
            continue;
        }
        i++;
        if (kind == '%') {
            llmc_text_add(&text, "%", 1);
            continue;
        }
        if (n == args->n_positional) return llmc_render_fail(r, "not enough arguments for the format");
        const char *failed = add_percent(&text, kind, &args->values[n++]);
        if (failed) return llmc_render_fail(r, "%s", failed);
    }
    if (n < args->n_positional) return llmc_render_fail(r, "not all arguments are used by the format");
    return llmc_finish_text(r, &text, NULL, out);
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
    return (void)args, llmc_dict_items(r, self, LLMC_KIND_VIEW, out);
}

static int dict_side(llmc_render *r, const llmc_value *self, int values, llmc_value *out) {
    const llmc_dict *dict = self->as.dict;
    if (!llmc_value_list(&r->arena, dict->count, LLMC_KIND_VIEW, out)) return llmc_render_memory(r);
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
    const llmc_value *found = llmc_value_get(self, &args->values[0]);
    (void)r;
    *out = found ? *found : args->values[1].type == LLMC_MISSING ? llmc_value_none() : args->values[1];
    return 1;
}

METHOD(dict_copy) {
    return (void)r, (void)args, *out = *self, 1;
}

METHOD(list_index) {
    const llmc_list *list = self->as.list;
    for (uint32_t i = 0; i < list->count; i++) {
        if (llmc_value_equal(&list->items[i], &args->values[0])) return *out = llmc_value_int(i), llmc_render_step(r, i * 16u);
    }
    return llmc_render_fail(r, "the value is not in the list");
}

METHOD(list_count) {
    int64_t n = 0;
    for (uint32_t i = 0; i < self->as.list->count; i++) n += llmc_value_equal(&self->as.list->items[i], &args->values[0]);
    *out = llmc_value_int(n);
    return llmc_render_step(r, self->as.list->count * 16u);
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
    *out = llmc_value_bool(!loop->has_changed || !llmc_value_equal(&loop->changed, &now));
    loop->has_changed = 1;
    loop->changed = now;
    r->escapes++;
    return 1;
}

static const llmc_builtin STR_METHODS[] = {
    {"strip", str_strip, "chars", 0},
    {"lstrip", str_lstrip, "chars", 0},
    {"rstrip", str_rstrip, "chars", 0},
    {"split", str_split, "sep maxsplit", 0},
    {"rsplit", str_rsplit, "sep maxsplit", 0},
    {"splitlines", str_splitlines, "keepends", 0},
    {"partition", str_partition, "sep", 1},
    {"startswith", str_startswith, "prefix", 1},
    {"endswith", str_endswith, "suffix", 1},
    {"removeprefix", str_removeprefix, "prefix", 1},
    {"removesuffix", str_removesuffix, "suffix", 1},
    {"replace", llmc_replace_text, "old new count", 2},
    {"find", str_find, "sub", 1},
    {"rfind", str_rfind, "sub", 1},
    {"index", str_index, "sub", 1},
    {"count", str_count, "sub", 1},
    {"upper", str_upper, "", 0},
    {"lower", str_lower, "", 0},
    {"title", str_title, "", 0},
    {"capitalize", str_capitalize, "", 0},
    {"join", str_join, "iterable", 1},
    {"format", str_format, NULL, 0},
    {"isdigit", str_isdigit, "", 0},
    {"isspace", str_isspace, "", 0},
};
static const llmc_builtin DICT_METHODS[] = {
    {"items", dict_items, "", 0},        {"keys", dict_keys, "", 0}, {"values", dict_values, "", 0},
    {"get", dict_get, "key default", 1}, {"copy", dict_copy, "", 0},
};
static const llmc_builtin LIST_METHODS[] = {{"index", list_index, "value", 1}, {"count", list_count, "value", 1}};
static const llmc_builtin LOOP_METHODS[] = {{"cycle", loop_cycle, NULL, 0}, {"changed", loop_changed, NULL, 0}};

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
        return llmc_builtin_search(LIST_METHODS, sizeof LIST_METHODS / sizeof *LIST_METHODS, name);
    case LLMC_LOOP:
        return llmc_builtin_search(LOOP_METHODS, sizeof LOOP_METHODS / sizeof *LOOP_METHODS, name);
    default:
        return NULL;
    }
}
