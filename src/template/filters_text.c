/* The filters that make text: case, padding, escaping, joining, wrapping, JSON. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/utf8.h"
#include "template/builtins.h"

#define FILTER(name) static int name(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out)
#define ARG(i)       (&args->values[i])
#define MISSING(i)   (args->values[i].type == LLMC_MISSING)
#define TRUTH(i)     (!MISSING(i) && llmc_value_truth(ARG(i)))

/* ---- Case, padding, white space ---------------------------------------------------------------------------------------- */

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

/* Bytes of the character at text if words end there: white space and -([{<, unlike str.title(). */
static size_t word_break(const char *text, size_t size) {
    uint32_t c = 0;
    size_t bytes = llmc_text_step(text, size, &c);
    return (c < 128 && c && strchr("-([{<", (int)c)) || llmc_text_space_prefix(text, bytes) == bytes ? bytes : 0;
}

static int add_word(llmc_render *r, const char *word, size_t size, llmc_text *result) {
    uint32_t c = 0;
    size_t first = llmc_text_step(word, size, &c);
    llmc_value head = llmc_value_text(word, first), tail = llmc_value_text(word + first, size - first);
    if (!llmc_change_case(r, &head, 'u', &head) || !llmc_change_case(r, &tail, 'l', &tail)) return 0;
    llmc_text_add(result, head.as.text, head.size);
    llmc_text_add(result, tail.as.text, tail.size);
    return 1;
}

FILTER(filter_title) {
    llmc_value text;
    llmc_text result;
    (void)args;
    if (!llmc_to_text(r, self, &text) || !llmc_render_step(r, text.size * (size_t)16)) return 0;
    llmc_text_init(&result, &r->arena);
    for (size_t at = 0, end; at < text.size && !result.failed; at = end) {
        uint32_t c = 0;
        size_t bytes = word_break(text.as.text + at, text.size - at);
        end = at + bytes;
        if (bytes) {
            llmc_text_add(&result, text.as.text + at, bytes);
            continue;
        }
        while (end < text.size && !word_break(text.as.text + end, text.size - end))
            end += llmc_text_step(text.as.text + end, text.size - end, &c);
        if (!add_word(r, text.as.text + at, end - at, &result)) return 0;
    }
    return llmc_finish_text(r, &result, NULL, out);
}

FILTER(filter_trim) {
    llmc_value text;
    return llmc_to_text(r, self, &text) && llmc_strip_text(r, &text, ARG(0), 3, out);
}

FILTER(filter_center) {
    llmc_value text, width = MISSING(0) ? llmc_value_int(80) : *ARG(0), fill = {.type = LLMC_MISSING};
    if (!llmc_to_text(r, self, &text) || !llmc_pad_text(r, &text, &width, &fill, 'c', out)) return 0;
    out->kind = text.kind;
    return 1;
}

FILTER(filter_string) {
    return (void)args, llmc_to_text(r, self, out);
}

FILTER(filter_indent) {
    llmc_value text, width = MISSING(0) ? llmc_value_int(4) : *ARG(0), space = llmc_value_literal(" ");
    int first = TRUTH(1), blank = TRUTH(2);
    llmc_text result;
    if (self->type == LLMC_UNDEFINED) return llmc_undefined_error(r, self);
    if (self->type != LLMC_STRING) return llmc_render_fail(r, "indent takes a text, not '%s'", llmc_value_type_name(self));
    if (!llmc_to_text(r, self, &text) || !llmc_render_step(r, text.size * (size_t)16)) return 0;
    if (width.type != LLMC_STRING && !llmc_operate(r, '*', &space, &width, &width)) return 0;
    llmc_text_init(&result, &r->arena);
    size_t at = 0, line = 0;
    for (int more = 1; more && !result.failed; line++) { /* a last line without an end, or the empty one behind it */
        size_t after = 0, size = llmc_text_line(text.as.text + at, text.size - at, &after);
        if (line) llmc_text_add(&result, "\n", 1);
        if (line ? size || blank : first) llmc_text_add(&result, width.as.text, width.size);
        llmc_text_add(&result, text.as.text + at, size);
        more = after > size && !(at + after == text.size && text.as.text[at + after - 1] == '\r');
        at += after;
    }
    if (!llmc_finish_text(r, &result, NULL, out)) return 0;
    out->kind = text.kind;
    return 1;
}

/* A collection that truncate gives back as it is. */
static int short_enough(const llmc_value *value, int64_t length, int64_t leeway) {
    int list = value->type == LLMC_LIST && value->kind != LLMC_KIND_GENERATOR;
    if (!list && value->type != LLMC_DICT) return 0;
    return (list ? value->as.list->count : value->as.dict->count) <= length + leeway;
}

/* A size to compare with, which need not be whole. */
static int want_size(llmc_render *r, const llmc_value *value, int64_t standard, int64_t *size) {
    const double real = value->type == LLMC_FLOAT ? value->as.real : 0;
    if (value->type != LLMC_FLOAT) return llmc_want_int(r, value, standard, size);
    return *size = real > 1e15 ? (int64_t)1e15 : real >= 0 ? (int64_t)real : -1, 1;
}

FILTER(filter_truncate) {
    llmc_value text, end = MISSING(2) ? llmc_value_literal("...") : *ARG(2);
    const int fraction = ARG(0)->type == LLMC_FLOAT, usual = ARG(3)->type == LLMC_NONE; /* fits only what need not be cut */
    int64_t length = 255, leeway = 5;
    llmc_text result;
    if (!want_size(r, ARG(0), 255, &length) || (!usual && !want_size(r, ARG(3), 5, &leeway))) return 0;
    if (self->type > LLMC_STRING && short_enough(self, length, leeway)) return *out = *self, 1;
    if (self->type != LLMC_STRING && self->type != LLMC_UNDEFINED)
        return llmc_render_fail(r, "truncate takes a text, not '%s'", llmc_value_type_name(self));
    if (!llmc_to_text(r, self, &text)) return 0;
    if (end.type != LLMC_STRING) return llmc_render_fail(r, "truncate takes a text as end");
    int64_t tail = (int64_t)llmc_text_length(end.as.text, end.size);
    if (length < tail || leeway < 0) return llmc_render_fail(r, "truncate takes a length of %lld or more", (long long)tail);
    if ((int64_t)llmc_text_length(text.as.text, text.size) - leeway <= length) return *out = text, 1;
    if (fraction) return llmc_render_fail(r, "truncate takes a whole number as length");
    size_t kept = llmc_text_offset(text.as.text, text.size, (size_t)(length - tail));
    if (!TRUTH(1)) {
        size_t space = kept;
        while (space > 0 && text.as.text[space - 1] != ' ') space--;
        if (space > 0) kept = space - 1;
    }
    llmc_text_init(&result, &r->arena);
    llmc_text_add(&result, text.as.text, kept);
    llmc_text_add(&result, end.as.text, end.size);
    return llmc_render_step(r, text.size * (size_t)8) && llmc_finish_text(r, &result, NULL, out);
}

FILTER(filter_wordcount) {
    llmc_value text;
    int64_t n = 0;
    int inside = 0;
    (void)args;
    if (!llmc_to_text(r, self, &text) || !llmc_render_step(r, text.size * (size_t)64)) return 0;
    for (size_t at = 0, bytes; at < text.size; at += bytes) {
        uint32_t c = 0;
        bytes = llmc_text_step(text.as.text + at, text.size - at, &c);
        llmc_value character = llmc_value_text(text.as.text + at, bytes);
        int word = c == '_' || llmc_text_all(&character, LLMC_CLASS_ALNUM);
        n += word && !inside;
        inside = word;
    }
    *out = llmc_value_int(n);
    return 1;
}

/* ---- Escaping ---------------------------------------------------------------------------------------------------------- */

FILTER(filter_safe) {
    (void)args;
    if (!llmc_to_text(r, self, out)) return 0;
    out->kind = LLMC_KIND_MARKUP;
    return 1;
}

int llmc_escape_html(llmc_render *r, const llmc_value *self, llmc_value *out) {
    static const char FROM[] = "&<>'\"";
    static const char *const TO[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    llmc_value source;
    llmc_text text;
    if (self->type == LLMC_STRING && self->kind == LLMC_KIND_MARKUP) return *out = *self, 1;
    if (!llmc_to_text(r, self, &source)) return 0;
    llmc_text_init(&text, &r->arena);
    for (uint32_t i = 0; i < source.size && !text.failed; i++) {
        const char *hit = memchr(FROM, source.as.text[i], 5);
        if (hit) llmc_text_add_literal(&text, TO[hit - FROM]);
        else llmc_text_add(&text, source.as.text + i, 1);
    }
    if (!llmc_finish_text(r, &text, NULL, out)) return 0;
    out->kind = LLMC_KIND_MARKUP;
    return 1;
}

FILTER(filter_escape) {
    return (void)args, llmc_escape_html(r, self, out);
}

FILTER(filter_forceescape) {
    llmc_value text;
    (void)args;
    if (!llmc_to_text(r, self, &text)) return 0;
    text.kind = LLMC_KIND_PLAIN;
    return llmc_escape_html(r, &text, out);
}

/* Percent signs for all but what URLs may hold; in a query spaces are "+" and "/" is escaped too. */
static int add_quoted_url(llmc_render *r, const llmc_value *value, int query, llmc_text *text) {
    static const char HEX[] = "0123456789ABCDEF";
    llmc_value plain;
    if (!llmc_to_text(r, value, &plain)) return 0;
    for (uint32_t i = 0; i < plain.size && !text->failed; i++) {
        unsigned char c = (unsigned char)plain.as.text[i];
        const char escaped[3] = {'%', HEX[c >> 4], HEX[c & 15]};
        int letter = (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z');
        if (query && c == ' ') llmc_text_add(text, "+", 1);
        else if (letter || (c && strchr(query ? "_.-~" : "_.-~/", c))) llmc_text_add(text, plain.as.text + i, 1);
        else llmc_text_add(text, escaped, 3);
    }
    return llmc_render_step(r, plain.size * (size_t)16);
}

FILTER(filter_urlencode) {
    llmc_text text;
    llmc_value pairs = *self;
    const llmc_value *items = NULL, *pair = NULL;
    uint32_t count = 0, two = 0;
    (void)args;
    llmc_text_init(&text, &r->arena);
    if (self->type != LLMC_DICT && self->type != LLMC_LIST)
        return add_quoted_url(r, self, 0, &text) && llmc_finish_text(r, &text, NULL, out);
    if (self->type == LLMC_DICT && !llmc_dict_items(r, self, LLMC_KIND_LIST, &pairs)) return 0;
    if (!llmc_iterate(r, &pairs, &items, &count)) return 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!llmc_iterate(r, &items[i], &pair, &two)) return 0;
        if (two != 2) return llmc_render_fail(r, "urlencode takes pairs");
        if (i) llmc_text_add(&text, "&", 1);
        if (!add_quoted_url(r, &pair[0], 1, &text)) return 0;
        llmc_text_add(&text, "=", 1);
        if (!add_quoted_url(r, &pair[1], 1, &text)) return 0;
    }
    return llmc_finish_text(r, &text, NULL, out);
}

static int add_attribute(llmc_render *r, const llmc_dict_entry *entry, llmc_text *text) {
    llmc_value key, value;
    if (entry->key.type != LLMC_STRING) return llmc_render_fail(r, "xmlattr takes texts as names");
    if (!llmc_escape_html(r, &entry->key, &key) || !llmc_escape_html(r, &entry->value, &value)) return 0;
    for (uint32_t i = 0; i < key.size; i++) {
        if (strchr("/>= ", key.as.text[i]) || llmc_text_space_prefix(key.as.text + i, key.size - i))
            return llmc_render_fail(r, "invalid character in attribute name");
    }
    if (text->size) llmc_text_add(text, " ", 1);
    llmc_text_add(text, key.as.text, key.size);
    llmc_text_add_literal(text, "=\"");
    llmc_text_add(text, value.as.text, value.size);
    llmc_text_add_literal(text, "\"");
    return 1;
}

FILTER(filter_xmlattr) {
    llmc_text text, spaced;
    if (self->type != LLMC_DICT) return llmc_render_fail(r, "xmlattr takes a mapping, not '%s'", llmc_value_type_name(self));
    llmc_text_init(&text, &r->arena);
    for (uint32_t i = 0; i < self->as.dict->count; i++) {
        const llmc_dict_entry *entry = &self->as.dict->entries[i];
        if (entry->value.type > LLMC_NONE && !add_attribute(r, entry, &text)) return 0;
    }
    if (text.size == 0 || (!MISSING(0) && !TRUTH(0))) return llmc_finish_text(r, &text, NULL, out);
    llmc_text_init(&spaced, &r->arena);
    llmc_text_add(&spaced, " ", 1);
    llmc_text_add(&spaced, text.data, text.size);
    return llmc_finish_text(r, &spaced, text.failed ? "" : NULL, out);
}

/* ---- Replacing, formatting, joining ------------------------------------------------------------------------------------ */

FILTER(filter_replace) {
    llmc_value text;
    llmc_value bound[3] = {*ARG(0), *ARG(1), *ARG(2)};
    if (bound[2].type == LLMC_NONE) bound[2].type = LLMC_MISSING;
    llmc_args inner = {.values = bound, .n_positional = 3};
    if (!llmc_to_text(r, self, &text) || !llmc_to_text(r, ARG(0), &bound[0]) || !llmc_to_text(r, ARG(1), &bound[1])) return 0;
    return llmc_replace_text(r, &text, &inner, out);
}

/* Arguments in order, or by name, not both. */
FILTER(filter_format) {
    llmc_value text, names;
    if (!llmc_to_text(r, self, &text)) return 0;
    if (args->n_named && args->n_positional) return llmc_render_fail(r, "format takes arguments in order or by name, not both");
    if (!args->n_named) return llmc_format_percent(r, &text, args, NULL, out);
    if (!llmc_value_dict(&r->arena, args->n_named, &names)) return llmc_render_memory(r);
    for (uint32_t i = 0; i < args->n_named; i++) {
        if (!llmc_value_put(&r->arena, &names, args->names[i], args->values[i])) return llmc_render_memory(r);
    }
    return llmc_format_percent(r, &text, &(llmc_args){0}, &names, out);
}

FILTER(filter_filesizeformat) {
    static const char *const UNITS[2][8] = {{"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"},
                                            {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"}};
    int binary = TRUTH(0), known;
    double bytes = 0, base = binary ? 1024 : 1000, unit = base * base;
    llmc_value amount, one = llmc_value_literal(".1f");
    llmc_text text;
    known = self->type == LLMC_STRING ? llmc_text_to_float(self->as.text, self->size, &bytes) : llmc_value_number(self, &bytes);
    if (!known || !isfinite(bytes)) return llmc_render_fail(r, "filesizeformat takes a number");
    llmc_text_init(&text, &r->arena);
    if (bytes < base) {
        amount = llmc_value_int((int64_t)bytes);
        if (!llmc_to_text(r, &amount, &amount)) return 0;
        llmc_text_add(&text, amount.as.text, amount.size);
        llmc_text_add_literal(&text, bytes >= 1 && bytes <= 1 ? " Byte" : " Bytes");
        return llmc_finish_text(r, &text, NULL, out);
    }
    int i = 0;
    for (; i < 7 && bytes >= unit; i++) unit *= base;
    amount = llmc_value_float(base * bytes / unit);
    if (!llmc_format_value(r, &amount, &one, &text)) return 0;
    llmc_text_add_literal(&text, " ");
    llmc_text_add_literal(&text, UNITS[binary][i]);
    return llmc_finish_text(r, &text, NULL, out);
}

FILTER(filter_join) {
    const llmc_value *items = NULL;
    uint32_t count = 0;
    llmc_value glue = llmc_value_literal(""), piece;
    llmc_text text;
    if (!llmc_iterate(r, self, &items, &count) || (!MISSING(0) && !llmc_to_text(r, ARG(0), &glue))) return 0;
    llmc_value *pieces = llmc_arena_array(&r->arena, count, sizeof *pieces);
    if (!pieces) return llmc_render_memory(r);
    for (uint32_t i = 0; i < count; i++) {
        piece = items[i];
        if (!llmc_render_step(r, 0)) return 0;
        if (!MISSING(1) && ARG(1)->type != LLMC_NONE && !llmc_path(r, &items[i], ARG(1), &(llmc_value){0}, &piece)) return 0;
        if (!llmc_to_text(r, &piece, &pieces[i])) return 0;
    }
    llmc_text_init(&text, &r->arena);
    for (uint32_t i = 0; i < count && !text.failed; i++) {
        if (i) llmc_text_add(&text, glue.as.text, glue.size);
        llmc_text_add(&text, pieces[i].as.text, pieces[i].size);
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
    if (!MISSING(1) && ARG(1)->type != LLMC_NONE && self->type != LLMC_STRING) { /* json.dumps() looks no further for a text */
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

const llmc_builtin llmc_text_filters[] = {
    {"capitalize", filter_capitalize, "", 0},
    {"center", filter_center, "width", 0},
    {"e", filter_escape, "", 0},
    {"escape", filter_escape, "", 0},
    {"filesizeformat", filter_filesizeformat, "binary", 0},
    {"forceescape", filter_forceescape, "", 0},
    {"format", filter_format, NULL, 0},
    {"indent", filter_indent, "width first blank", 0},
    {"join", filter_join, "d attribute", 0},
    {"lower", filter_lower, "", 0},
    {"replace", filter_replace, "old new count", 2},
    {"safe", filter_safe, "", 0},
    {"string", filter_string, "", 0},
    {"title", filter_title, "", 0},
    {"tojson", filter_tojson, "ensure_ascii indent separators sort_keys", 0},
    {"trim", filter_trim, "chars", 0},
    {"truncate", filter_truncate, "length killwords end leeway", 0},
    {"upper", filter_upper, "", 0},
    {"urlencode", filter_urlencode, "", 0},
    {"wordcount", filter_wordcount, "", 0},
    {"xmlattr", filter_xmlattr, "autospace", 0},
};
const size_t llmc_n_text_filters = sizeof llmc_text_filters / sizeof *llmc_text_filters;
