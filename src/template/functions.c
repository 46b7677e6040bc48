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
    if (!llmc_value_list(&r->arena, 0, LLMC_KIND_RANGE, out)) return llmc_render_memory(r);
    for (int64_t at = parts[0], n = 0; parts[2] > 0 ? at < parts[1] : at > parts[1]; n++) {
        if (n == LLMC_TEMPLATE_MAX_RANGE) return llmc_render_fail(r, "range() of more than %d items", LLMC_TEMPLATE_MAX_RANGE);
        if (!llmc_value_append(&r->arena, out, llmc_value_int(at))) return llmc_render_memory(r);
        if (__builtin_add_overflow(at, parts[2], &at)) break;
    }
    return llmc_render_step(r, out->as.list->count * sizeof(llmc_value));
}

/* dict(), dict(other), dict(a=1): also what namespaces start with. */
static int fn_dict(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    (void)self;
    if (args->n_positional > 1) return llmc_render_fail(r, "dict() takes one argument by position");
    if (!llmc_value_dict(&r->arena, 0, out)) return llmc_render_memory(r);
    if (args->n_positional) {
        const llmc_value *from = &args->values[0];
        if (from->type != LLMC_DICT) return llmc_render_fail(r, "dict() takes a mapping");
        for (uint32_t i = 0; i < from->as.dict->count; i++) {
            const llmc_dict_entry *e = &from->as.dict->entries[i];
            if (!llmc_value_put(&r->arena, out, e->key, e->value)) return llmc_render_memory(r);
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

static int date_number(const calendar *c, char field, int *width, int64_t *number) {
    *width = field == 'j' ? 3 : field == 'Y' ? 4 : 2;
    switch (field) {
    case 'Y':
        *number = c->year;
        return 1;
    case 'y':
        *number = c->year % 100;
        return 1;
    case 'm':
        *number = c->month;
        return 1;
    case 'd':
        *number = c->day;
        return 1;
    case 'j':
        *number = c->year_day;
        return 1;
    case 'H':
        *number = c->hour;
        return 1;
    case 'I':
        *number = (c->hour + 11) % 12 + 1;
        return 1;
    case 'M':
        *number = c->minute;
        return 1;
    case 'S':
        *number = c->second;
        return 1;
    default:
        return 0;
    }
}

static int date_field(const calendar *c, char field, int bare, char out[40]) {
    int width = 0;
    int64_t number = 0;
    const char *name = NULL;
    if (date_number(c, field, &width, &number)) {
        snprintf(out, 40, "%0*lld", bare ? 1 : width, (long long)number);
        return 1;
    }
    if (field == 'B' || field == 'b' || field == 'h') name = MONTHS[c->month - 1];
    if (field == 'A' || field == 'a') name = DAYS[c->weekday];
    if (field == 'p') name = c->hour < 12 ? "AM" : "PM";
    if (field == '%') name = "%";
    if (name) snprintf(out, 40, "%.*s", field == 'B' || field == 'A' ? 10 : 3, name);
    else if (field == 'F') snprintf(out, 40, "%04lld-%02d-%02d", (long long)c->year, c->month, c->day);
    else if (field == 'T' || field == 'X') snprintf(out, 40, "%02d:%02d:%02d", c->hour, c->minute, c->second);
    else return 0;
    return 1;
}

static int fn_strftime_now(llmc_render *r, const llmc_value *self, const llmc_args *args, llmc_value *out) {
    const llmc_value *format = &args->values[0];
    calendar c = to_calendar(r->now_unix_s);
    llmc_text text;
    char field[40];
    (void)self;
    if (format->type != LLMC_STRING) return llmc_render_fail(r, "strftime_now() takes a text");
    llmc_text_init(&text, &r->arena);
    for (uint32_t i = 0; i < format->size; i++) {
        if (format->as.text[i] != '%') {
            llmc_text_add(&text, format->as.text + i, 1);
            continue;
        }
        int bare = i + 1 < format->size && format->as.text[i + 1] == '-';
        i += 1 + (uint32_t)bare;
        char kind = i < format->size ? format->as.text[i] : 0;
        if (!date_field(&c, kind, bare, field))
            return llmc_render_fail(r, "strftime_now() does not know '%%%c'", kind ? kind : ' ');
        llmc_text_add_literal(&text, field);
    }
    return llmc_finish_text(r, &text, NULL, out);
}

static const llmc_builtin FUNCTIONS[] = {
    {"raise_exception", fn_raise, "message", 1}, {"strftime_now", fn_strftime_now, "format", 1},
    {"namespace", fn_namespace, NULL, 0},        {"dict", fn_dict, NULL, 0},
    {"range", fn_range, "start stop step", 1},
};

const llmc_builtin *llmc_function_find(const llmc_value *name) {
    return llmc_builtin_search(FUNCTIONS, sizeof FUNCTIONS / sizeof *FUNCTIONS, name);
}
