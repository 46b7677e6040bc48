/* The global functions: what transformers and jinja2 put into every template's context. */
#include "template/builtins.h"

#include <stdio.h>
#include <string.h>

static int fn_raise(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    llmc_value message;
    (void)self, (void)out;
    return llmc_to_text(r, &args->values[0], &message) && llmc_render_raise(r, &message);
}

static int fn_range(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    int64_t parts[3] = {0, 0, 1};
    (void)self;
    for (uint32_t i = 0; i < args->n_positional && args->values[i].type != LLMC_MISSING; i++) {
        if (args->values[i].type != LLMC_INT && args->values[i].type != LLMC_BOOL)
            return llmc_render_fail(r, "range() takes integers");
        parts[i] = args->values[i].as.integer;
    }
    if (args->values[1].type == LLMC_MISSING) {
        parts[1] = parts[0];
        parts[0] = 0;
    }
    if (parts[2] == 0) return llmc_render_fail(r, "range() step must not be zero");
    return llmc_range(r, parts[0], parts[1], parts[2], out);
}

static int add_pairs(llmc_render *r, const llmc_value *from, llmc_value *dict) {
    const llmc_value *pairs = NULL, *pair = NULL;
    uint32_t count = 0, two = 0;
    if (!llmc_iterate(r, from, &pairs, &count)) return 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!llmc_render_step(r, 0) || !llmc_iterate(r, &pairs[i], &pair, &two)) return 0;
        if (two != 2) return llmc_render_fail(r, "dict() takes a mapping, or pairs");
        if (!llmc_value_hashable(&pair[0])) return llmc_render_fail(r, "unhashable type: '%s'", llmc_value_type_name(&pair[0]));
        if (!llmc_value_put(&r->arena, dict, pair[0], pair[1])) return llmc_render_memory(r);
    }
    return 1;
}

/* dict(), dict(other), dict(a=1): also what namespaces start with. */
static int fn_dict(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    (void)self;
    if (args->n_positional > 1) return llmc_render_fail(r, "dict() takes one argument by position");
    if (!llmc_value_dict(&r->arena, 0, out)) return llmc_render_memory(r);
    if (args->n_positional) {
        const llmc_value *from = &args->values[0];
        if (from->type == LLMC_UNDEFINED) return llmc_undefined_error(r, from);
        if (from->type != LLMC_DICT) {
            if (!add_pairs(r, from, out)) return 0;
        } else {
            for (uint32_t i = 0; i < from->as.dict->count; i++) {
                const llmc_dict_entry *e = &from->as.dict->entries[i];
                if (!llmc_value_put(&r->arena, out, e->key, e->value)) return llmc_render_memory(r);
            }
        }
    }
    for (uint32_t i = 0; i < args->n_named; i++) {
        if (!llmc_value_put(&r->arena, out, args->names[i], args->values[args->n_positional + i])) return llmc_render_memory(r);
    }
    return 1;
}

static int fn_namespace(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    if (!fn_dict(r, self, args, out)) return 0;
    out->type = LLMC_NAMESPACE;
    return 1;
}

static int new_cycler(llmc_render *r, uint8_t type, const llmc_value *items, uint32_t count, llmc_value *out) {
    llmc_cycler *cycler = llmc_arena_alloc(&r->arena, sizeof *cycler);
    llmc_value *copy = llmc_arena_array(&r->arena, count, sizeof *copy);
    if (!cycler || !copy) return llmc_render_memory(r);
    memcpy(copy, items, count * sizeof *copy);
    *cycler = (llmc_cycler){.items = copy, .count = count};
    *out = (llmc_value){.type = type, .as.cycler = cycler};
    return llmc_render_step(r, count * sizeof *copy);
}

static int fn_cycler(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    (void)self;
    if (args->n_positional == 0 || args->n_named) return llmc_render_fail(r, "cycler() takes the items to go through");
    return new_cycler(r, LLMC_CYCLER, args->values, args->n_positional, out);
}

static int fn_joiner(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    llmc_value separator = args->values[0].type == LLMC_MISSING ? llmc_value_literal(", ") : args->values[0];
    (void)self;
    return new_cycler(r, LLMC_JOINER, &separator, 1, out);
}

/* ---- strftime_now ------------------------------------------------------------------------------------------------------ */

typedef struct calendar {
    int64_t year;
    int month, day, weekday, year_day, hour, minute, second; /* month from 1, Sunday is 0, year_day from 1 */
} calendar;

/* Days to civil date after Howard Hinnant's "chrono-compatible low-level date algorithms". */
static calendar to_calendar(int64_t unix_s) {
    int64_t days = unix_s / 86400 - (unix_s % 86400 < 0), rest = unix_s - days * 86400;
    int64_t z = days + 719468, era = (z >= 0 ? z : z - 146096) / 146097;
    int64_t doe = z - era * 146097, yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
    calendar c = {.day = (int)(doy - (153 * mp + 2) / 5 + 1), .month = (int)(mp < 10 ? mp + 3 : mp - 9)};
    c.year = yoe + era * 400 + (c.month <= 2);
    int leap = (c.year % 4 == 0 && c.year % 100 != 0) || c.year % 400 == 0;
    c.year_day = (int)(c.month > 2 ? doy + 60 + leap : doy - 305);
    c.weekday = (int)(((days + 4) % 7 + 7) % 7);
    c.hour = (int)(rest / 3600);
    c.minute = (int)(rest / 60 % 60);
    c.second = (int)(rest % 60);
    return c;
}

static const char *const MONTHS[] = {"January", "February", "March",     "April",   "May",      "June",
                                     "July",    "August",   "September", "October", "November", "December"};
static const char *const DAYS[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};

/* Whether an ISO 8601 year has 53 weeks: it ends or begins on a Thursday. */
static int is_long_year(int64_t y) {
    int64_t before = y - 1;
    return (y + y / 4 - y / 100 + y / 400) % 7 == 4 || (before + before / 4 - before / 100 + before / 400) % 7 == 3;
}

/* ISO 8601's week and the year it belongs to. */
static int iso_week(const calendar *c, int64_t *year) {
    int week = (c->year_day - (c->weekday + 6) % 7 + 9) / 7;
    *year = c->year;
    if (week < 1) return *year -= 1, 52 + is_long_year(*year);
    if (week == 53 && !is_long_year(*year)) return *year += 1, 1;
    return week;
}

/* Numbers: field, digits, what pads them. */
static int date_number(const calendar *c, char field, int *width, char *pad, int64_t *number) {
    int64_t iso_year = 0;
    int week = iso_week(c, &iso_year);
    const struct {
        char field, pad;
        int width;
        int64_t number;
    } ROWS[] = {{'Y', '0', 1, c->year},
                {'C', '0', 2, c->year / 100},
                {'y', '0', 2, c->year % 100},
                {'G', '0', 4, iso_year},
                {'g', '0', 2, iso_year % 100},
                {'m', '0', 2, c->month},
                {'d', '0', 2, c->day},
                {'e', ' ', 2, c->day},
                {'j', '0', 3, c->year_day},
                {'H', '0', 2, c->hour},
                {'k', ' ', 2, c->hour},
                {'I', '0', 2, (c->hour + 11) % 12 + 1},
                {'l', ' ', 2, (c->hour + 11) % 12 + 1},
                {'M', '0', 2, c->minute},
                {'S', '0', 2, c->second},
                {'f', '0', 6, 0},
                {'w', '0', 1, c->weekday},
                {'u', '0', 1, (c->weekday + 6) % 7 + 1},
                {'U', '0', 2, (c->year_day + 6 - c->weekday) / 7},
                {'W', '0', 2, (c->year_day + 6 - (c->weekday + 6) % 7) / 7},
                {'V', '0', 2, week}};
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        if (ROWS[i].field != field) continue;
        *width = ROWS[i].width;
        *pad = ROWS[i].pad;
        *number = ROWS[i].number;
        return 1;
    }
    return 0;
}

static const char *date_name(const calendar *c, char field) {
    switch (field) {
    case 'B':
    case 'b':
    case 'h':
        return MONTHS[c->month - 1];
    case 'A':
    case 'a':
        return DAYS[c->weekday];
    case 'p':
        return c->hour < 12 ? "AM" : "PM";
    case 'Z':
        return "UTC";
    case 'z':
        return "+0000";
    case '%':
        return "%";
    case 'n':
        return "\n";
    case 't':
        return "\t";
    default:
        return NULL;
    }
}

/* What stands for several fields. */
static const char *date_composite(char field) {
    switch (field) {
    case 'D':
    case 'x':
        return "%m/%d/%y";
    case 'F':
        return "%Y-%m-%d";
    case 'R':
        return "%H:%M";
    case 'T':
    case 'X':
        return "%H:%M:%S";
    case 'r':
        return "%I:%M:%S %p";
    case 'c':
        return "%a %b %e %H:%M:%S %Y";
    default:
        return NULL;
    }
}

static void add_date_field(llmc_text *text, const calendar *c, char field, int bare) {
    int width = 0;
    int64_t number = 0;
    char pad = '0', out[40];
    const char *name = date_name(c, field);
    int shortened = field == 'b' || field == 'h' || field == 'a';
    if (name) {
        llmc_text_add(text, name, shortened ? 3 : strlen(name));
    } else if (date_number(c, field, &width, &pad, &number)) {
        snprintf(out, sizeof out, pad == '0' ? "%0*lld" : "%*lld", bare ? 1 : width, (long long)number);
        llmc_text_add_literal(text, out);
    } else { /* as the C library: what it does not know stays */
        const char raw[3] = {'%', bare ? '-' : field, bare ? field : 0};
        llmc_text_add_literal(text, raw);
    }
}

static void add_date(llmc_text *text, const calendar *c, const char *format, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (format[i] != '%' || i + 1 == size) {
            llmc_text_add(text, format + i, 1);
            continue;
        }
        int bare = format[i + 1] == '-' && i + 2 < size;
        i += 1 + (size_t)bare;
        const char *composite = date_composite(format[i]);
        if (composite) add_date(text, c, composite, strlen(composite));
        else add_date_field(text, c, format[i], bare);
    }
}

static int fn_strftime_now(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    const llmc_value *format = &args->values[0];
    calendar c = to_calendar(r->now_unix_s);
    llmc_text text;
    (void)self;
    if (format->type != LLMC_STRING) return llmc_render_fail(r, "strftime_now() takes a text");
    llmc_text_init(&text, &r->arena);
    add_date(&text, &c, format->as.text, format->size);
    return llmc_finish_text(r, &text, NULL, out);
}

static const llmc_builtin FUNCTIONS[] = {
    {"raise_exception", fn_raise, "message", 1},
    {"strftime_now", fn_strftime_now, "format", 1},
    {"namespace", fn_namespace, NULL, 0},
    {"dict", fn_dict, NULL, 0},
    {"range", fn_range, "/start stop step", 1},
    {"cycler", fn_cycler, NULL, 0},
    {"joiner", fn_joiner, "sep", 0},
};

const llmc_builtin *llmc_function_find(const llmc_value *name) {
    return llmc_builtin_search(FUNCTIONS, sizeof FUNCTIONS / sizeof *FUNCTIONS, name);
}
