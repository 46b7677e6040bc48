/* Python's view of text and its ways to write values: str, repr and json.dumps. No locale takes part. */
#define _GNU_SOURCE /* memmem */
#include "template/text.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "core/utf8.h"
#include "template/eval.h"

static const char TOO_DEEP[] = "value is nested too deep to be written";

void llmc_text_init(llmc_text *text, llmc_arena *arena) {
    *text = (llmc_text){.arena = arena};
}

/* Room for extra bytes after the text, which moves if the arena has something behind it. */
static char *reserve(llmc_text *text, size_t extra) {
    if (text->failed) return NULL;
    if (!llmc_arena_work(text->arena, 1 + extra / 16)) return text->failed = 1, NULL;
    if (!text->data || !llmc_arena_extend(text->arena, text->data + text->size, extra)) {
        char *data = llmc_arena_text(text->arena, text->size + extra);
        if (!llmc_arena_work(text->arena, text->size / 16)) data = NULL;
        text->failed = !data;
        if (!data) return NULL;
        if (text->size) memcpy(data, text->data, text->size);
        text->data = data;
    }
    text->size += extra;
    return text->data + text->size - extra;
}

void llmc_text_add(llmc_text *text, const char *bytes, size_t size) {
    char *to = reserve(text, size);
    if (to && size) memcpy(to, bytes, size);
}

void llmc_text_add_literal(llmc_text *text, const char *literal) {
    llmc_text_add(text, literal, strlen(literal));
}

void llmc_text_add_repeated(llmc_text *text, const char *bytes, size_t size, size_t times) {
    if (size == 0 || times == 0) return;
    if (times > text->arena->max / size) times = text->arena->max / size + 1;
    char *to = reserve(text, size * times);
    if (!to) return;
    memcpy(to, bytes, size);
    for (size_t done = size, more; done < size * times; done += more) {
        more = done < size * times - done ? done : size * times - done;
        memcpy(to + done, to, more);
    }
}

size_t llmc_text_step(const char *text, size_t size, uint32_t *code_point) {
    size_t bytes = llmc_utf8_decode(text, size, code_point);
    if (bytes) return bytes;
    *code_point = 0xFFFD;
    return 1;
}

static int is_space(uint32_t c) {
    if (c < 128) return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
    return c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

size_t llmc_text_space_prefix(const char *text, size_t size) {
    size_t at = 0;
    uint32_t c = 0;
    while (at < size) {
        size_t bytes =
            (unsigned char)text[at] < 128 ? (c = (unsigned char)text[at], 1u) : llmc_text_step(text + at, size - at, &c);
        if (!is_space(c)) break;
        at += bytes;
    }
    return at;
}

size_t llmc_text_space_suffix(const char *text, size_t size) {
    size_t end = size;
    uint32_t c = 0;
    while (end > 0) {
        size_t at = end - 1;
        while (at > 0 && end - at < 4 && ((unsigned char)text[at] & 0xC0) == 0x80) at--;
        llmc_text_step(text + at, end - at, &c);
        if (!is_space(c)) break;
        end = at;
    }
    return size - end;
}

size_t llmc_text_line(const char *text, size_t size, size_t *after) {
    uint32_t c = 0;
    size_t end = 0, bytes = 0;
    for (; end < size; end += bytes) {
        bytes = llmc_text_step(text + end, size - end, &c);
        if ((c >= 10 && c <= 13) || (c >= 28 && c <= 30) || c == 0x85 || c == 0x2028 || c == 0x2029) break;
    }
    *after = end < size ? end + bytes : end;
    if (end < size && c == '\r' && *after < size && text[*after] == '\n') ++*after;
    return end;
}

size_t llmc_text_length(const char *text, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) n += ((unsigned char)text[i] & 0xC0) != 0x80;
    return n;
}

size_t llmc_text_offset(const char *text, size_t size, size_t code_points) {
    size_t at = 0;
    for (; at < size; at++) {
        if (((unsigned char)text[at] & 0xC0) != 0x80 && code_points-- == 0) break;
    }
    return at;
}

size_t llmc_text_find(const char *text, size_t size, const char *needle, size_t needle_size) {
    if (needle_size == 0) return 0;
    const char *hit = needle_size <= size ? memmem(text, size, needle, needle_size) : NULL; /* linear: libc's is two-way */
    return hit ? (size_t)(hit - text) : SIZE_MAX;
}

const char *llmc_text_backwards(llmc_arena *arena, const char *text, size_t size) {
    char *copy = llmc_arena_text(arena, size);
    for (size_t i = 0; copy && i < size; i++) copy[i] = text[size - 1 - i];
    return copy;
}

/* White space around numbers is C's. Returns the end of what is left. */
static size_t trim_number(const char *text, size_t size, size_t *from) {
    for (*from = 0; *from < size && (text[*from] == ' ' || (text[*from] >= '\t' && text[*from] <= '\r'));) ++*from;
    while (size > *from && (text[size - 1] == ' ' || (text[size - 1] >= '\t' && text[size - 1] <= '\r'))) size--;
    return size;
}

static int digit_of(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'z' ? c - 'a' + 10 : 99;
}

/* The base that 0x, 0o or 0b at the start means, or 0. */
static int prefix_base(const char *text, size_t size) {
    char kind = size > 2 && text[0] == '0' ? (char)(text[1] | 32) : 0;
    return kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;
}

int llmc_text_to_int_of(const char *text, size_t size, int base, int64_t *integer) {
    size_t from, end = trim_number(text, size, &from);
    int negative = from < end && text[from] == '-';
    if (from < end && (text[from] == '-' || text[from] == '+')) from++;
    int prefix = prefix_base(text + from, end - from);
    if (prefix && (base == 0 || base == prefix)) from += 2 + (text[from + 2] == '_'), base = prefix;
    int any_zeros = base == 0; /* "0" and "00" are numbers of base 0, "07" is none */
    if (base == 0) base = 10;
    int64_t value = 0;
    if (from == end || text[end - 1] == '_') return 0;
    for (size_t at = from; at < end; at++) {
        if (text[at] == '_' && at > from && text[at - 1] != '_') continue;
        int digit = digit_of(text[at]);
        if (digit >= base) return 0;
        if (__builtin_mul_overflow(value, base, &value) || __builtin_add_overflow(value, digit, &value)) return 0;
    }
    if (any_zeros && text[from] == '0' && value != 0) return 0;
    *integer = negative ? -value : value;
    return 1;
}

int llmc_text_to_int(const char *text, size_t size, int64_t *integer) {
    return llmc_text_to_int_of(text, size, 10, integer);
}

/* "inf", "infinity" and "nan", in any case. */
static int named_float(const char *text, size_t size, double *real) {
    char name[9] = "";
    for (size_t i = 0; i < size && size < sizeof name; i++) name[i] = (char)(text[i] | 32);
    if (strcmp(name, "nan") == 0) *real = (double)NAN;
    else if (strcmp(name, "inf") == 0 || strcmp(name, "infinity") == 0) *real = (double)INFINITY;
    else return 0;
    return 1;
}

/* A number's digits without point or underscores, and the power of ten that they lack: what strtod() rounds right in any
 * locale. No double needs more than 767 digits to be told from its neighbours; of those beyond, one stands for all. */
enum { MAX_DIGITS = 780 };
typedef struct decimal {
    char text[MAX_DIGITS + 24];
    size_t n;
    long scale;
} decimal;

static void add_digit(decimal *d, char digit, int behind_point) {
    if (d->n < MAX_DIGITS) {
        if (d->n || digit != '0') d->text[d->n++] = digit;
        d->scale -= behind_point;
        return;
    }
    if (digit != '0') d->text[MAX_DIGITS - 1] = '1'; /* what is dropped is not nothing */
    d->scale += !behind_point;
}

/* Digits from an offset on, with single underscores between them; the offset behind them, or SIZE_MAX where an underscore stands
 * elsewhere. */
static size_t read_digits(const char *text, size_t at, size_t end, decimal *d, int behind_point) {
    for (size_t from = at; at < end && ((text[at] >= '0' && text[at] <= '9') || text[at] == '_'); at++) {
        if (text[at] != '_') add_digit(d, text[at], behind_point);
        else if (at == from || text[at - 1] == '_' || at + 1 == end || text[at + 1] < '0' || text[at + 1] > '9')
            return SIZE_MAX;
    }
    return at;
}

static size_t read_exponent(const char *text, size_t at, size_t end, long *exponent) {
    decimal d = {.n = 0};
    const int down = at < end && text[at] == '-';
    at += at < end && (text[at] == '-' || text[at] == '+');
    if (at == end || text[at] < '0' || text[at] > '9') return SIZE_MAX;
    at = read_digits(text, at, end, &d, 0);
    for (size_t i = 0; i < d.n && *exponent < 100000; i++) *exponent = *exponent * 10 + d.text[i] - '0';
    if (down) *exponent = -*exponent;
    return at;
}

int llmc_text_to_float(const char *text, size_t size, double *real) {
    decimal d = {.n = 0};
    size_t at;
    const size_t end = trim_number(text, size, &at);
    const int negative = at < end && text[at] == '-';
    long exponent = 0;
    at += at < end && (text[at] == '-' || text[at] == '+');
    if (named_float(text + at, end - at, real)) return *real = negative ? -*real : *real, 1;
    const size_t whole = read_digits(text, at, end, &d, 0), point = whole < end && text[whole] == '.';
    const size_t rest = point ? read_digits(text, whole + 1, end, &d, 1) : whole;
    if (whole == SIZE_MAX || rest == SIZE_MAX || rest - at == point) return 0;
    at = rest;
    if (at < end && (text[at] == 'e' || text[at] == 'E')) at = read_exponent(text, at + 1, end, &exponent);
    if (at != end) return 0;
    if (d.n == 0) d.text[d.n++] = '0';
    snprintf(d.text + d.n, sizeof d.text - d.n, "e%ld", d.scale + exponent);
    *real = strtod(d.text, NULL);
    if (negative) *real = -*real;
    return 1;
}

/* repr(float): the fewest digits that read back the same. */
static void add_float(llmc_text *text, double real, int json) {
    char digits[40], out[64];
    if (isnan(real) || isinf(real)) {
        const char *name = isnan(real) ? (json ? "NaN" : "nan") : json ? "Infinity" : "inf";
        if (!isnan(real) && real < 0) llmc_text_add_literal(text, "-");
        llmc_text_add_literal(text, name);
        return;
    }
    int precision = 0;
    if (!llmc_arena_work(text->arena, 400)) text->failed = 1; /* up to 17 tries */
    do snprintf(digits, sizeof digits, "%.*e", precision, real);
    while (strtod(digits, NULL) != real && ++precision < 17);
    const char *e = strchr(digits, 'e');
    int exponent = (int)strtol(e + 1, NULL, 10), n = 0, size = 0;
    const char *at = digits;
    if (*at == '-') out[size++] = *at++;
    char d[24] = "0";
    for (; at < e; at++) {
        if (*at >= '0' && *at <= '9') d[n++] = *at;
    }
    if (exponent < -4 || exponent >= 16) {
        out[size++] = d[0];
        if (n > 1) out[size++] = '.';
        for (int i = 1; i < n; i++) out[size++] = d[i];
        size += snprintf(out + size, sizeof out - (size_t)size, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    } else {
        for (int i = exponent < 0 ? exponent : 0; i <= exponent + 1 || i < n; i++) {
            if (i == (exponent < 0 ? exponent : 0) + (exponent < 0 ? 1 : exponent + 1)) out[size++] = '.';
            out[size++] = i >= 0 && i < n ? d[i] : '0';
        }
    }
    llmc_text_add(text, out, (size_t)size);
}

int llmc_text_is_printable(uint32_t c) {
    if (c < 128) return c >= 32 && c < 127;
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)c);
    return category != UTF8PROC_CATEGORY_CN && category < UTF8PROC_CATEGORY_ZS;
}

static void add_escaped(llmc_text *text, uint32_t c, int json) {
    char out[24];
    const char *format = json || c > 0xFF ? "\\u%04x" : "\\x%02x";
    if (json && c > 0xFFFF) snprintf(out, sizeof out, "\\u%04x\\u%04x", 0xD7C0 + (c >> 10), 0xDC00 + (c & 0x3FF));
    else snprintf(out, sizeof out, c > 0xFFFF ? "\\U%08x" : format, c);
    llmc_text_add_literal(text, out);
}

static const char *short_escape(uint32_t c, uint32_t quote, int json) {
    if (c == '\n') return "\\n";
    if (c == '\r') return "\\r";
    if (c == '\t') return "\\t";
    if (c == '\\') return "\\\\";
    if (c == quote) return quote == '"' ? "\\\"" : "\\'";
    if (json && c == '\b') return "\\b";
    return json && c == '\f' ? "\\f" : NULL;
}

static void add_quoted(llmc_text *text, const llmc_value *value, int json, int ascii) {
    const char *s = value->as.text;
    uint32_t quote = json || (memchr(s, '\'', value->size) && !memchr(s, '"', value->size)) ? '"' : '\'', c = 0;
    char mark = (char)quote;
    llmc_text_add(text, &mark, 1);
    size_t plain = 0; /* where the characters begin that are still to be copied as they are */
    for (size_t at = 0, bytes; at < value->size && !text->failed; at += bytes) {
        bytes = llmc_text_step(s + at, value->size - at, &c);
        const char *escape = short_escape(c, quote, json);
        if (!escape && !(c < 32 || (ascii && c > 126) || (!json && !llmc_text_is_printable(c)))) continue;
        llmc_text_add(text, s + plain, at - plain);
        if (escape) llmc_text_add_literal(text, escape);
        else add_escaped(text, c, json);
        plain = at + bytes;
    }
    llmc_text_add(text, s + plain, value->size - plain);
    if (!llmc_arena_work(text->arena, value->size / 2)) text->failed = 1;
    llmc_text_add(text, &mark, 1);
}

static void add_int(llmc_text *text, int64_t integer) {
    char out[24];
    snprintf(out, sizeof out, "%lld", (long long)integer);
    llmc_text_add_literal(text, out);
    if (!llmc_arena_work(text->arena, 20)) text->failed = 1;
}

static const char *add_repr(llmc_text *text, const llmc_value *value, int depth, int ascii);

/* Behind a range's items lie its bounds. */
static const char *add_range(llmc_text *text, const llmc_list *list) {
    const llmc_value *bounds = list->items + list->count;
    llmc_text_add_literal(text, "range(");
    add_int(text, bounds[0].as.integer);
    llmc_text_add_literal(text, ", ");
    add_int(text, bounds[1].as.integer);
    if (bounds[2].as.integer != 1) {
        llmc_text_add_literal(text, ", ");
        add_int(text, bounds[2].as.integer);
    }
    llmc_text_add_literal(text, ")");
    return NULL;
}

static const char *add_list(llmc_text *text, const llmc_value *value, int depth, int ascii) {
    int tuple = value->kind == LLMC_KIND_TUPLE, view = value->kind >= LLMC_KIND_ITEMS;
    const char *failed = NULL;
    const llmc_list *list = value->as.list;
    if (value->kind == LLMC_KIND_GENERATOR) return "a generator cannot be printed; use the list filter";
    if (value->kind == LLMC_KIND_RANGE) return add_range(text, list);
    if (view) llmc_text_add_literal(text, llmc_value_type_name(value));
    llmc_text_add_literal(text, tuple ? "(" : view ? "([" : "[");
    for (uint32_t i = 0; i < list->count && !failed && !text->failed; i++) {
        if (i) llmc_text_add_literal(text, ", ");
        failed = add_repr(text, &list->items[i], depth + 1, ascii);
    }
    if (tuple && list->count == 1) llmc_text_add_literal(text, ",");
    llmc_text_add_literal(text, tuple ? ")" : view ? "])" : "]");
    return failed;
}

static const char *add_dict(llmc_text *text, const llmc_value *value, int depth, int ascii) {
    const llmc_dict *dict = value->as.dict;
    const char *failed = NULL;
    llmc_text_add_literal(text, "{");
    for (uint32_t i = 0; i < dict->count && !failed && !text->failed; i++) {
        if (i) llmc_text_add_literal(text, ", ");
        failed = add_repr(text, &dict->entries[i].key, depth + 1, ascii);
        llmc_text_add_literal(text, ": ");
        if (!failed) failed = add_repr(text, &dict->entries[i].value, depth + 1, ascii);
    }
    llmc_text_add_literal(text, "}");
    return failed;
}

static const char *add_object(llmc_text *text, const llmc_value *value, int depth, int ascii) {
    char out[80];
    const char *failed = NULL;
    if (value->type == LLMC_NAMESPACE) {
        llmc_text_add_literal(text, "<Namespace ");
        failed = add_dict(text, value, depth, ascii);
        llmc_text_add_literal(text, ">");
    } else if (value->type == LLMC_LOOP) {
        snprintf(out, sizeof out, "<LoopContext %u/%u>", value->as.loop->index + 1, value->as.loop->count);
        llmc_text_add_literal(text, out);
    } else if (value->type == LLMC_MACRO) {
        const llmc_value *name = &value->as.macro->node->value;
        llmc_text_add_literal(text, "<Macro ");
        if (name->type == LLMC_STRING) add_quoted(text, name, 0, ascii);
        else llmc_text_add_literal(text, "anonymous");
        llmc_text_add_literal(text, ">");
    } else {
        failed = "a function cannot be printed";
    }
    return failed;
}

static const char *add_repr(llmc_text *text, const llmc_value *value, int depth, int ascii) {
    if (depth > LLMC_TEMPLATE_MAX_NESTING) return TOO_DEEP;
    if (!llmc_arena_work(text->arena, 4)) return text->failed = 1, NULL;
    switch (value->type) {
    case LLMC_UNDEFINED:
        llmc_text_add_literal(text, "Undefined");
        return NULL;
    case LLMC_NONE:
        llmc_text_add_literal(text, "None");
        return NULL;
    case LLMC_BOOL:
        llmc_text_add_literal(text, value->as.integer ? "True" : "False");
        return NULL;
    case LLMC_INT:
        add_int(text, value->as.integer);
        return NULL;
    case LLMC_FLOAT:
        add_float(text, value->as.real, 0);
        return NULL;
    case LLMC_STRING:
        if (value->kind) llmc_text_add_literal(text, "Markup(");
        add_quoted(text, value, 0, ascii);
        if (value->kind) llmc_text_add_literal(text, ")");
        return NULL;
    case LLMC_LIST:
        return add_list(text, value, depth, ascii);
    case LLMC_DICT:
        return add_dict(text, value, depth, ascii);
    default:
        return add_object(text, value, depth, ascii);
    }
}

const char *llmc_text_add_repr(llmc_text *text, const llmc_value *value, int ascii) {
    return add_repr(text, value, 0, ascii);
}

const char *llmc_text_add_str(llmc_text *text, const llmc_value *value) {
    if (value->type == LLMC_UNDEFINED) return NULL;
    if (value->type != LLMC_STRING) return add_repr(text, value, 0, 0);
    llmc_text_add(text, value->as.text, value->size);
    return NULL;
}

/* ---- JSON -------------------------------------------------------------------------------------------------------------- */

typedef struct json_writer {
    llmc_text *text;
    const llmc_json_style *style;
} json_writer;

static const char *add_json(const json_writer *w, const llmc_value *value, int depth);

static void json_break(const json_writer *w, int depth) {
    const llmc_value *indent = &w->style->indent;
    if (indent->type != LLMC_STRING) return;
    llmc_text_add_literal(w->text, "\n");
    llmc_text_add_repeated(w->text, indent->as.text, indent->size, (size_t)depth);
}

static void json_separator(const json_writer *w, uint32_t i, int depth) {
    const llmc_value *separator = &w->style->item_separator;
    if (i) llmc_text_add(w->text, separator->as.text, separator->size);
    json_break(w, depth);
}

static const char *json_list(const json_writer *w, const llmc_list *list, int depth) {
    const char *failed = NULL;
    if (list->count == 0) return llmc_text_add_literal(w->text, "[]"), NULL;
    llmc_text_add_literal(w->text, "[");
    for (uint32_t i = 0; i < list->count && !failed && !w->text->failed; i++) {
        json_separator(w, i, depth + 1);
        failed = add_json(w, &list->items[i], depth + 1);
    }
    json_break(w, depth);
    llmc_text_add_literal(w->text, "]");
    return failed;
}

static const char *json_key(const json_writer *w, const llmc_value *key) {
    if (key->type == LLMC_STRING) add_quoted(w->text, key, 1, w->style->ensure_ascii);
    else if (key->type > LLMC_FLOAT || key->type < LLMC_NONE) return "keys of a dict must be plain values to become JSON";
    else {
        llmc_text_add_literal(w->text, "\"");
        add_json(w, key, 0);
        llmc_text_add_literal(w->text, "\"");
    }
    return NULL;
}

static int compare_keys(const void *a, const void *b) {
    const llmc_value *x = &((const llmc_dict_entry *)a)->key, *y = &((const llmc_dict_entry *)b)->key;
    int order = memcmp(x->as.text, y->as.text, x->size < y->size ? x->size : y->size);
    return order ? order : (x->size > y->size) - (x->size < y->size);
}

/* The entries in the order to write them; NULL with *failed set if they cannot be sorted. */
static const llmc_dict_entry *json_entries(const json_writer *w, const llmc_dict *dict, const char **failed) {
    if (!w->style->sort_keys || dict->count == 0) return dict->entries;
    llmc_dict_entry *sorted = llmc_arena_array(w->text->arena, dict->count, sizeof *sorted);
    if (!sorted) return w->text->failed = 1, NULL;
    memcpy(sorted, dict->entries, dict->count * sizeof *sorted);
    for (uint32_t i = 0; i < dict->count; i++) {
        if (sorted[i].key.type != LLMC_STRING) return *failed = "only texts can be sorted as keys", NULL;
    }
    qsort(sorted, dict->count, sizeof *sorted, compare_keys);
    return sorted;
}

static const char *json_dict(const json_writer *w, const llmc_dict *dict, int depth) {
    const char *failed = NULL;
    const llmc_dict_entry *entries = json_entries(w, dict, &failed);
    if (dict->count == 0) return llmc_text_add_literal(w->text, "{}"), NULL;
    if (!entries) return failed;
    llmc_text_add_literal(w->text, "{");
    for (uint32_t i = 0; i < dict->count && !failed && !w->text->failed; i++) {
        json_separator(w, i, depth + 1);
        failed = json_key(w, &entries[i].key);
        llmc_text_add(w->text, w->style->key_separator.as.text, w->style->key_separator.size);
        if (!failed) failed = add_json(w, &entries[i].value, depth + 1);
    }
    json_break(w, depth);
    llmc_text_add_literal(w->text, "}");
    return failed;
}

static const char *add_json(const json_writer *w, const llmc_value *value, int depth) {
    if (depth > LLMC_TEMPLATE_MAX_NESTING) return TOO_DEEP;
    if (!llmc_arena_work(w->text->arena, 4)) return w->text->failed = 1, NULL;
    switch (value->type) {
    case LLMC_NONE:
        llmc_text_add_literal(w->text, "null");
        return NULL;
    case LLMC_BOOL:
        llmc_text_add_literal(w->text, value->as.integer ? "true" : "false");
        return NULL;
    case LLMC_INT:
        add_int(w->text, value->as.integer);
        return NULL;
    case LLMC_FLOAT:
        add_float(w->text, value->as.real, 1);
        return NULL;
    case LLMC_STRING:
        add_quoted(w->text, value, 1, w->style->ensure_ascii);
        return NULL;
    case LLMC_LIST:
        if (value->kind <= LLMC_KIND_TUPLE) return json_list(w, value->as.list, depth);
        return "an iterator is not JSON serializable";
    case LLMC_DICT:
        return json_dict(w, value->as.dict, depth);
    case LLMC_UNDEFINED:
        return "an undefined value is not JSON serializable";
    default:
        return "a function, namespace or loop is not JSON serializable";
    }
}

const char *llmc_text_add_json(llmc_text *text, const llmc_value *value, const llmc_json_style *style) {
    return add_json(&(json_writer){text, style}, value, 0);
}
