/* Python's two ways to format: str.format with its specifications, and the % operator. Both end in one description of how a
 * value is to be written, and one writer for it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "template/builtins.h"

#define MAX_PRECISION 5000 /* digits of a number */

typedef struct spec {
    const char *fill; /* one character */
    uint32_t fill_size;
    char align; /* '<' '>' '^' '=', or 0 for the type's own */
    char sign;  /* '-' '+' ' ' */
    char signs; /* 1: it was given */
    char group; /* ',' '_', or 0 */
    char type;  /* or 0 */
    int alternate;
    int zeros;         /* numbers without an align are padded with zeros behind their sign */
    int64_t width;     /* in characters */
    int64_t precision; /* -1: none */
} spec;

static int holds(const char *set, char c) {
    return c && strchr(set, c) != NULL;
}

static spec plain_spec(void) {
    return (spec){.fill = " ", .fill_size = 1, .sign = '-', .precision = -1};
}

/* ---- Writing ----------------------------------------------------------------------------------------------------------- */

/* head is what stands before padding that goes inside ('='): a sign, 0x. */
static void add_padded(llmc_text *text, const spec *s, char standard, const llmc_value *head, const llmc_value *body) {
    int64_t size = (int64_t)(llmc_text_length(head->as.text, head->size) + llmc_text_length(body->as.text, body->size));
    size_t padding = s->width > size ? (size_t)(s->width - size) : 0;
    char align = s->align ? s->align : standard;
    size_t left = align == '>' ? padding : align == '^' ? padding / 2 : 0, inside = align == '=' ? padding : 0;
    llmc_text_add_repeated(text, s->fill, s->fill_size, left);
    llmc_text_add(text, head->as.text, head->size);
    llmc_text_add_repeated(text, s->fill, s->fill_size, inside);
    llmc_text_add(text, body->as.text, body->size);
    llmc_text_add_repeated(text, s->fill, s->fill_size, padding - left - inside);
}

static int write_text(llmc_render *r, llmc_text *text, const spec *s, const llmc_value *value) {
    llmc_value body = *value, none = llmc_value_literal("");
    if (s->precision >= 0) body.size = (uint32_t)llmc_text_offset(body.as.text, body.size, (size_t)s->precision);
    add_padded(text, s, '<', &none, &body);
    return llmc_render_step(r, value->size * 8u);
}

/* Digits with a separator every n of them before the first character that is none, and zeros in front up to a width. */
static int group_digits(llmc_render *r, const spec *s, int64_t width, llmc_value *digits) {
    llmc_text grouped;
    int64_t whole = 0, every = holds("bxXo", s->type) ? 4 : 3;
    while (whole < digits->size && (every == 4 || (digits->as.text[whole] >= '0' && digits->as.text[whole] <= '9'))) whole++;
    if (whole == 0) return 1; /* inf, nan */
    width -= (int64_t)digits->size - whole;
    int64_t n = width - width / (every + 1) - 1; /* not too many digits for that width; the last few one by one */
    if (n < whole) n = whole;
    while (n + (n - 1) / every < width) n++;
    llmc_text_init(&grouped, &r->arena);
    for (int64_t i = n; i > 0 && !grouped.failed; i--) {
        llmc_text_add(&grouped, i > whole ? "0" : digits->as.text + (whole - i), 1);
        if (i > 1 && (i - 1) % every == 0) llmc_text_add(&grouped, &s->group, 1);
    }
    llmc_text_add(&grouped, digits->as.text + whole, (size_t)(digits->size - whole));
    return llmc_finish_text(r, &grouped, NULL, digits);
}

static int write_number(llmc_render *r, llmc_text *text, const spec *s, int negative, const char *prefix, llmc_value digits) {
    char head[8];
    snprintf(head, sizeof head, "%s%s", negative ? "-" : s->sign == '-' ? "" : s->sign == '+' ? "+" : " ", prefix);
    llmc_value before = llmc_value_literal(head);
    const int inside = s->align == '=' || (s->zeros && !s->align), zeros = inside && s->fill[0] == '0' && s->fill_size == 1;
    if (s->group && !group_digits(r, s, zeros ? s->width - before.size : 0, &digits)) return 0;
    add_padded(text, s, inside ? '=' : '>', &before, &digits);
    return 1;
}

static int write_int(llmc_render *r, llmc_text *text, const spec *s, int64_t integer) {
    char digits[72];
    size_t at = sizeof digits;
    uint64_t rest = integer < 0 ? 0 - (uint64_t)integer : (uint64_t)integer;
    char type = s->type ? s->type : 'd', utf8[4];
    unsigned base = type == 'b' ? 2 : type == 'o' ? 8 : type == 'x' || type == 'X' ? 16 : 10;
    if (type == 'c') {
        size_t size = rest <= 0x10FFFF && integer >= 0 ? llmc_utf8_encode((uint32_t)rest, utf8) : 0;
        if (!size) return llmc_render_fail(r, "%%c takes the number of a character");
        llmc_value character = llmc_value_text(utf8, size), none = llmc_value_literal("");
        return add_padded(text, s, '>', &none, &character), 1;
    }
    do digits[--at] = (type == 'X' ? "0123456789ABCDEF" : "0123456789abcdef")[rest % base];
    while (rest /= base);
    while (s->precision > (int64_t)(sizeof digits - at) && at > 0) digits[--at] = '0'; /* only % gives one */
    const char *prefix = !s->alternate || base == 10 ? "" : base == 2 ? "0b" : base == 8 ? "0o" : type == 'X' ? "0X" : "0x";
    return write_number(r, text, s, integer < 0, prefix, llmc_value_text(digits + at, sizeof digits - at));
}

/* C's digits, whatever the locale's decimal point. */
static size_t plain_point(char *text, size_t size) {
    size_t n = 0;
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        int ordinary = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '-';
        if (ordinary) text[n++] = c;
        else if (n == 0 || text[n - 1] != '.') text[n++] = '.';
    }
    return n;
}

/* Without a type, a number is written as by g, but the ".0" of a whole one must fit too: with an exponent where it just does
 * not. Returns the size, or 0 if g will do. */
static size_t with_exponent(const spec *s, double real, int precision, char *digits, size_t room) {
    const int behind = precision > 0 ? precision - 1 : 0;
    const int size = snprintf(digits, room, s->alternate ? "%#.*e" : "%.*e", behind, real);
    const char *e = size > 0 && (size_t)size < room ? strchr(digits, 'e') : NULL;
    if (s->type || !e || strtol(e + 1, NULL, 10) != behind) return 0;
    const size_t tail = (size_t)size - (size_t)(e - digits), n = plain_point(digits, (size_t)size);
    size_t kept = n - tail;
    while (!s->alternate && behind && digits[kept - 1] == '0') kept--;
    kept -= digits[kept - 1] == '.' && !s->alternate;
    memmove(digits + kept, digits + n - tail, tail);
    return kept + tail;
}

static int float_digits(llmc_render *r, const spec *s, double real, llmc_value *out) {
    char form[8] = "%.*", type = s->type ? s->type : 'g';
    int precision = s->precision < 0 ? 6 : (int)s->precision, at = 3, percent = type == '%';
    if (s->precision > MAX_PRECISION) return llmc_render_fail(r, "precision of more than %d digits", MAX_PRECISION);
    if (s->alternate) memcpy(form, "%#.*", 4), at = 4;
    form[at] = percent ? 'f' : type == 'n' ? 'g' : type;
    size_t room = (size_t)precision + 330;
    char *digits = llmc_arena_text(&r->arena, room + 4);
    if (!digits) return llmc_render_memory(r);
    size_t n = with_exponent(s, real, precision, digits, room);
    const int size = n ? 0 : snprintf(digits, room, form, precision, percent ? real * 100 : real);
    if (!n) n = plain_point(digits, size > 0 && (size_t)size < room ? (size_t)size : 0);
    if (!s->type && n && strspn(digits, "0123456789") == n) memcpy(digits + n, ".0", 2), n += 2;
    if (percent) digits[n++] = '%';
    *out = llmc_value_text(digits, n);
    return llmc_render_step(r, n * 16);
}

static int write_float(llmc_render *r, llmc_text *text, const spec *s, double real) {
    llmc_value digits, absolute = llmc_value_float(fabs(real));
    if (s->type || s->precision >= 0) {
        if (!float_digits(r, s, fabs(real), &digits)) return 0;
    } else if (!llmc_to_text(r, &absolute, &digits)) {
        return 0;
    }
    return write_number(r, text, s, signbit(real) && real == real, "", digits);
}

/* ---- str.format -------------------------------------------------------------------------------------------------------- */

static int64_t read_count(const char **at, const char *end) {
    int64_t n = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at) n = n < 1000000000 ? n * 10 + (**at - '0') : n;
    return n;
}

/* [[fill]align][sign][#][0][width][group][.precision][type] */
static int parse_spec(const llmc_value *source, spec *s) {
    const char *at = source->as.text, *end = at + source->size;
    uint32_t c = 0;
    *s = plain_spec();
    const size_t first = at < end ? llmc_text_step(at, (size_t)(end - at), &c) : 0;
    const int filled = first && at + first < end && holds("<>^=", at[first]);
    if (filled) s->fill = at, s->fill_size = (uint32_t)first, at += first;
    if (at < end && holds("<>^=", *at)) s->align = *at++;
    if (at < end && holds("-+ ", *at)) s->sign = *at, s->signs = 1, at++;
    if (at < end && *at == '#') s->alternate = 1, at++;
    if (at < end && *at == '0' && !filled) s->fill = "0", s->zeros = 1;
    s->width = read_count(&at, end);
    if (at < end && (*at == ',' || *at == '_')) s->group = *at++;
    if (at < end && *at == '.') {
        const char *digits = ++at;
        s->precision = read_count(&at, end);
        if (at == digits) return 0;
    }
    if (at < end) s->type = *at++;
    return at == end;
}

/* What a specification may ask of each type of value. */
static int fits_text(const spec *s) {
    return (!s->type || s->type == 's') && s->align != '=' && !s->signs && !s->group && !s->alternate;
}

static int fits_group(const spec *s) {
    return !s->group || !s->type || holds("deEfFgG%", s->type) || (s->group == '_' && holds("boxX", s->type));
}

static int fits_int(const spec *s) {
    const int character = s->type == 'c' && (s->signs || s->alternate);
    return s->precision < 0 && (!s->type || holds("dbcoxXn", s->type)) && fits_group(s) && !character;
}

static int fits_float(const spec *s) {
    return holds("eEfFgGn%", s->type) && fits_group(s);
}

int llmc_format_value(llmc_render *r, const llmc_value *value, const llmc_value *source, llmc_text *text) {
    spec s;
    llmc_value plain;
    if (source->size == 0) {
        if (!llmc_to_text(r, value, &plain)) return 0;
        llmc_text_add(text, plain.as.text, plain.size);
        return 1;
    }
    const int known = parse_spec(source, &s);
    if (known && value->type == LLMC_STRING && fits_text(&s)) return write_text(r, text, &s, value);
    if (known && (value->type == LLMC_INT || value->type == LLMC_BOOL)) {
        if (fits_int(&s)) return write_int(r, text, &s, value->as.integer);
        if (fits_float(&s)) return write_float(r, text, &s, (double)value->as.integer);
    } else if (known && value->type == LLMC_FLOAT) {
        if (fits_float(&s) || (!s.type && fits_group(&s))) return write_float(r, text, &s, value->as.real);
    }
    return llmc_render_fail(r, "format '%.*s' does not fit '%s'", llmc_width(source), source->as.text,
                            llmc_value_type_name(value));
}

typedef struct formatter {
    llmc_render *r;
    const llmc_args *args;
    const llmc_value *mapping; /* of format_map, or NULL */
    int64_t automatic;         /* the next number of "{}", or -1 once fields have their own */
    int manual;
} formatter;

static const llmc_value *named_argument(const llmc_args *args, const llmc_value *name) {
    for (uint32_t i = 0; i < args->n_named; i++) {
        if (args->names[i].size == name->size && memcmp(args->names[i].as.text, name->as.text, name->size) == 0)
            return &args->values[args->n_positional + i];
    }
    return NULL;
}

/* whole: nothing follows the name. Only such names count in what numbers the fields, as in string.Formatter. */
static int first_value(formatter *f, const llmc_value *name, int whole, llmc_value *out) {
    int64_t number = f->automatic;
    const llmc_value *found = NULL;
    int digits = name->size && name->as.text[0] >= '0' && name->as.text[0] <= '9' &&
                 llmc_text_to_int(name->as.text, name->size, &number);
    if (f->mapping) {
        found = llmc_value_get(f->mapping, name);
    } else if (digits || (name->size == 0 && whole)) {
        if (whole && ((digits && f->automatic > 0) || (!digits && f->manual)))
            return llmc_render_fail(f->r, "format() with numbered and unnumbered fields");
        if (!digits) f->automatic++;
        else if (whole) f->manual = 1;
        found = number >= 0 && number < f->args->n_positional ? &f->args->values[number] : NULL;
    } else {
        found = named_argument(f->args, name);
    }
    if (!found) return llmc_render_fail(f->r, "format() has no value for '%.*s'", llmc_width(name), name->as.text);
    *out = *found;
    return 1;
}

/* "name.attribute[item]..." */
static int field_value(formatter *f, const llmc_value *field, llmc_value *out) {
    const char *s = field->as.text;
    uint32_t at = 0;
    while (at < field->size && s[at] != '.' && s[at] != '[') at++;
    llmc_value part = llmc_value_text(s, at);
    if (!first_value(f, &part, at == field->size, out)) return 0;
    while (at < field->size) {
        int item = s[at] == '[';
        uint32_t from = ++at;
        while (at < field->size && (item ? s[at] != ']' : s[at] != '.' && s[at] != '[')) at++;
        part = llmc_value_text(s + from, at - from);
        int64_t number = 0;
        if (part.size == 0 || (item && at == field->size)) return llmc_render_fail(f->r, "format() with an empty name");
        if (item) at++;
        if (item && llmc_text_to_int(part.as.text, part.size, &number)) part = llmc_value_int(number);
        if (!(item ? llmc_item : llmc_attribute)(f->r, out, &part, out)) return 0;
    }
    return 1;
}

static int convert(llmc_render *r, char how, llmc_value *value) {
    llmc_text text;
    if (how == 's') return llmc_to_text(r, value, value);
    if (how != 'r' && how != 'a') return llmc_render_fail(r, "format() with the conversion '%c'", how ? how : ' ');
    llmc_text_init(&text, &r->arena);
    const char *failed = llmc_text_add_repr(&text, value, how == 'a');
    return llmc_finish_text(r, &text, failed, value);
}

static int format_fields(formatter *f, const llmc_value *format, int depth, llmc_text *text);

/* "name!r:spec" between braces. */
static int format_field(formatter *f, const llmc_value *field, int depth, llmc_text *text) {
    uint32_t at = 0, bracket = 0;
    const char *s = field->as.text;
    for (; at < field->size && (bracket || (s[at] != '!' && s[at] != ':')); at++) {
        bracket = s[at] == '[' ? 1 : s[at] == ']' ? 0 : bracket;
    }
    llmc_value name = llmc_value_text(s, at), value, source = llmc_value_literal("");
    llmc_text inner;
    if (!field_value(f, &name, &value)) return 0;
    if (at < field->size && s[at] == '!') {
        if (!convert(f->r, at + 1 < field->size ? s[at + 1] : 0, &value)) return 0;
        at += 2;
        if (at < field->size && s[at] != ':') return llmc_render_fail(f->r, "format() expects ':' after a conversion");
    }
    if (at < field->size) {
        source = llmc_value_text(s + at + 1, field->size - at - 1);
        llmc_text_init(&inner, &f->r->arena);
        if (!format_fields(f, &source, depth + 1, &inner) || !llmc_finish_text(f->r, &inner, NULL, &source)) return 0;
    }
    return llmc_format_value(f->r, &value, &source, text);
}

/* Where the field that opens before `at` closes, or 0. */
static uint32_t field_end(const llmc_value *format, uint32_t at) {
    int open = 1;
    for (; at < format->size; at++) {
        open += format->as.text[at] == '{' ? 1 : format->as.text[at] == '}' ? -1 : 0;
        if (!open) return at;
    }
    return 0;
}

static int format_fields(formatter *f, const llmc_value *format, int depth, llmc_text *text) {
    if (depth > 1) return llmc_render_fail(f->r, "format() is nested too deep");
    for (uint32_t i = 0; i < format->size; i++) {
        char c = format->as.text[i], next = i + 1 < format->size ? format->as.text[i + 1] : 0;
        if ((c != '{' && c != '}') || (next == c && depth == 0)) {
            llmc_text_add(text, &c, 1);
            i += c == '{' || c == '}';
            continue;
        }
        uint32_t end = c == '{' ? field_end(format, i + 1) : 0;
        if (!end) return llmc_render_fail(f->r, "format() with a single '%c'", c);
        llmc_value field = llmc_value_text(format->as.text + i + 1, end - i - 1);
        if (!llmc_render_step(f->r, field.size * 16u) || !format_field(f, &field, depth, text)) return 0;
        i = end;
    }
    return 1;
}

int llmc_format_braces(llmc_render *r, const llmc_value *format, const llmc_args *args, const llmc_value *mapping,
                       llmc_value *out) {
    formatter f = {.r = r, .args = args, .mapping = mapping};
    llmc_text text;
    llmc_text_init(&text, &r->arena);
    return format_fields(&f, format, 0, &text) && llmc_finish_text(r, &text, NULL, out);
}

/* ---- The % operator ---------------------------------------------------------------------------------------------------- */

typedef struct percent {
    llmc_render *r;
    const char *at, *end;
    const llmc_value *mapping; /* NULL: args are taken in order */
    const llmc_args *args;
    uint32_t n_used;
} percent;

static const llmc_value *next_argument(percent *p) {
    if (p->n_used < p->args->n_positional) return &p->args->values[p->n_used++];
    llmc_render_fail(p->r, "not enough arguments for the format");
    return NULL;
}

/* A width or precision: digits, or "*" for an argument. */
static int percent_count(percent *p, int64_t *count) {
    if (p->at == p->end || *p->at != '*') return *count = read_count(&p->at, p->end), 1;
    const llmc_value *value = next_argument(p);
    p->at++;
    if (!value) return 0;
    if (value->type != LLMC_INT || value->as.integer > 1000000000 || value->as.integer < -1000000000)
        return llmc_render_fail(p->r, "* wants an int");
    *count = value->as.integer;
    return 1;
}

static int percent_spec(percent *p, spec *s) {
    *s = plain_spec();
    int zero = 0, left = 0;
    for (; p->at < p->end && holds("-+ 0#", *p->at); p->at++) {
        left |= *p->at == '-';
        zero |= *p->at == '0';
        s->alternate |= *p->at == '#';
        if (*p->at == '+' || (*p->at == ' ' && s->sign == '-')) s->sign = *p->at;
    }
    if (!percent_count(p, &s->width)) return 0;
    if (s->width < 0) left = 1, s->width = -s->width;
    if (p->at < p->end && *p->at == '.') {
        p->at++;
        if (!percent_count(p, &s->precision)) return 0;
        if (s->precision < 0) s->precision = 0;
    }
    if (p->at < p->end && holds("hlL", *p->at)) p->at++;
    if (p->at == p->end) return llmc_render_fail(p->r, "incomplete format");
    s->type = *p->at++;
    s->align = left ? '<' : '>';
    if (zero && !left && holds("diuoxXeEfFgG", s->type)) s->fill = "0", s->align = '=';
    return 1;
}

static int percent_int(percent *p, spec *s, const llmc_value *value, llmc_text *text) {
    double real = 0;
    int decimal = holds("diu", s->type);
    if (decimal) s->type = 'd';
    if (value->type == LLMC_INT || value->type == LLMC_BOOL) return write_int(p->r, text, s, value->as.integer);
    if (!decimal || !llmc_value_number(value, &real) || !(real > -9.2e18 && real < 9.2e18))
        return llmc_render_fail(p->r, "%%%c takes a number, not '%s'", s->type, llmc_value_type_name(value));
    return write_int(p->r, text, s, (int64_t)real);
}

static int percent_value(percent *p, spec *s, const llmc_value *given, llmc_text *text) {
    llmc_value value = *given;
    double real = 0;
    if (holds("sra", s->type)) return convert(p->r, s->type, &value) && write_text(p->r, text, s, &value);
    if (s->type == 'c' && value.type == LLMC_STRING) {
        if (llmc_text_length(value.as.text, value.size) != 1) return llmc_render_fail(p->r, "%%c takes one character");
        return write_text(p->r, text, s, &value);
    }
    if (holds("diuoxXc", s->type)) return percent_int(p, s, &value, text);
    if (!holds("eEfFgG", s->type)) return llmc_render_fail(p->r, "unknown format character '%c'", s->type);
    if (!llmc_value_number(&value, &real))
        return llmc_render_fail(p->r, "%%%c takes a number, not '%s'", s->type, llmc_value_type_name(&value));
    return write_float(p->r, text, s, real);
}

/* At the character behind a '%'. */
static int percent_field(percent *p, llmc_text *text) {
    spec s;
    const llmc_value *value = NULL;
    if (p->at < p->end && *p->at == '(') {
        const char *close = memchr(p->at, ')', (size_t)(p->end - p->at));
        llmc_value key = llmc_value_text(p->at + 1, close ? (size_t)(close - p->at) - 1 : 0);
        value = close && p->mapping && p->mapping->type == LLMC_DICT ? llmc_value_get(p->mapping, &key) : NULL;
        if (!value) return llmc_render_fail(p->r, "the format has no value for '%.*s'", llmc_width(&key), key.as.text);
        p->at = close + 1;
    }
    if (!percent_spec(p, &s)) return 0;
    if (s.type == '%') return llmc_text_add(text, "%", 1), 1;
    if (!value && !(value = next_argument(p))) return 0;
    return llmc_render_step(p->r, 0) && percent_value(p, &s, value, text);
}

int llmc_format_percent(llmc_render *r, const llmc_value *format, const llmc_args *args, const llmc_value *mapping,
                        llmc_value *out) {
    percent p = {.r = r, .at = format->as.text, .end = format->as.text + format->size, .mapping = mapping, .args = args};
    llmc_text text;
    llmc_text_init(&text, &r->arena);
    while (p.at < p.end) {
        const char *sign = memchr(p.at, '%', (size_t)(p.end - p.at)), *stop = sign ? sign : p.end;
        llmc_text_add(&text, p.at, (size_t)(stop - p.at));
        p.at = sign ? sign + 1 : p.end;
        if (sign && !percent_field(&p, &text)) return 0;
    }
    if (p.n_used < args->n_positional && !mapping) return llmc_render_fail(r, "not all arguments are used by the format");
    return llmc_finish_text(r, &text, NULL, out);
}
