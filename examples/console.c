/* Terminal habits of the example programs. */
#define _GNU_SOURCE
#include "console.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

console_style console_style_for(FILE *stream) {
    static const console_style plain = {"", "", "", "", ""};
    static const console_style colours = {"\033[2m", "\033[1m", "\033[36m", "\033[31m", "\033[0m"};
    const char *terminal = getenv("TERM");
    const char *no_colour = getenv("NO_COLOR");
    int wanted = isatty(fileno(stream)) && terminal && strcmp(terminal, "dumb") != 0 && !(no_colour && *no_colour);
    return wanted ? colours : plain;
}

int32_t console_progress(void *user, uint64_t done, uint64_t total) {
    enum { WIDTH = 40 };
    if (user && *(volatile int *)user) return 1;
    if (!isatty(STDERR_FILENO) || total == 0) return 0;
    int filled = (int)(done * WIDTH / total);
    char bar[WIDTH + 1];
    for (int i = 0; i < WIDTH; i++) bar[i] = i < filled ? '#' : '.';
    bar[WIDTH] = 0;
    fprintf(stderr, "\rLoading [%s] %3d%% of %.0f MB", bar, (int)(done * 100 / total), (double)total / 1e6);
    if (done >= total) fprintf(stderr, "\r%*s\r", WIDTH + 40, "");
    fflush(stderr);
    return 0;
}

void console_fail(const char *program, const llmcall_error *error) {
    console_style style = console_style_for(stderr);
    fprintf(stderr, "%s%s:%s %s\n", style.error, program, style.reset,
            error->message[0] ? error->message : llmcall_status_name(error->status));
}

static size_t read_spans(llmcall_call *call, llmcall_span spans[LLMCALL_STAGE_COUNT]) {
    for (int i = 0; i < LLMCALL_STAGE_COUNT; i++) llmcall_init(&spans[i], sizeof *spans);
    size_t n = 0;
    return llmcall_timeline(call, spans, LLMCALL_STAGE_COUNT, &n, NULL) == LLMCALL_OK ? n : 0;
}

static double total_ms(const llmcall_span *spans, size_t n) {
    double total = 0;
    for (size_t i = 0; i < n; i++) total += (double)spans[i].busy_ns / 1e6;
    return total;
}

void console_timeline(FILE *stream, llmcall_call *call) {
    console_style style = console_style_for(stream);
    llmcall_span spans[LLMCALL_STAGE_COUNT];
    size_t n = read_spans(call, spans);
    double total = total_ms(spans, n);
    int64_t cost = 0;
    fprintf(stream, "%s #  stage             ms   share  tokens        cost $%s\n", style.bold, style.reset);
    for (size_t i = 0; i < n; i++) {
        double ms = (double)spans[i].busy_ns / 1e6;
        char tokens[24] = "", money[32] = "";
        if (spans[i].tokens) snprintf(tokens, sizeof tokens, "%lld", (long long)spans[i].tokens);
        if (spans[i].cost_nano) snprintf(money, sizeof money, "%.9f", (double)spans[i].cost_nano / 1e9);
        cost += spans[i].cost_nano;
        fprintf(stream, "%2d  %-10s %9.3f  %5.1f%%  %6s  %12s\n", spans[i].stage, llmcall_stage_name(spans[i].stage), ms,
                total > 0 ? 100 * ms / total : 0.0, tokens, money);
    }
    fprintf(stream, "%s    %-10s %9.3f  100.0%%  %6s  %12.9f%s\n", style.bold, "all", total, "", (double)cost / 1e9,
            style.reset);
}

json_t *console_timeline_json(llmcall_call *call) {
    llmcall_span spans[LLMCALL_STAGE_COUNT];
    size_t n = read_spans(call, spans);
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(list,
                              json_pack("{s:i, s:s, s:f, s:f, s:f, s:I, s:I}", "stage", spans[i].stage, "name",
                                        llmcall_stage_name(spans[i].stage), "start_ms", (double)spans[i].start_ns / 1e6,
                                        "end_ms", (double)spans[i].end_ns / 1e6, "busy_ms", (double)spans[i].busy_ns / 1e6,
                                        "tokens", (json_int_t)spans[i].tokens, "cost_nano", (json_int_t)spans[i].cost_nano));
    }
    return list;
}

json_t *console_usage_json(const llmcall_usage_record *usage) {
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "call_id", usage->call_id, "model", usage->model,
                     "prompt_tokens", (json_int_t)usage->prompt_tokens, "cached_tokens", (json_int_t)usage->cached_tokens,
                     "completion_tokens", (json_int_t)usage->completion_tokens, "draft_tokens", (json_int_t)usage->draft_tokens,
                     "accepted_tokens", (json_int_t)usage->accepted_tokens, "cost_nano", (json_int_t)usage->cost_nano,
                     "first_token_ms", (double)usage->first_token_ns / 1e6, "total_ms", (double)usage->total_ns / 1e6);
}

int console_number(const char *program, const char *option, const char *text, double min, double max, double *value) {
    char *end;
    errno = 0;
    double number = strtod(text, &end);
    if (end == text || *end || errno || !(number >= min && number <= max)) {
        fprintf(stderr, "%s: %s is \"%s\"; it must be a number from %g to %g.\n", program, option, text, min, max);
        return 0;
    }
    *value = number;
    return 1;
}

int console_integer(const char *program, const char *option, const char *text, int64_t min, int64_t max, int64_t *value) {
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end || errno || number < min || number > max) {
        fprintf(stderr, "%s: %s is \"%s\"; it must be a whole number from %lld to %lld.\n", program, option, text,
                (long long)min, (long long)max);
        return 0;
    }
    *value = number;
    return 1;
}

int console_kv_type(const char *program, const char *text, int32_t *type) {
    static const struct {
        const char *name;
        int32_t type;
    } types[] = {{"f16", LLMCALL_KV_F16}, {"q8_0", LLMCALL_KV_Q8_0}, {"f32", LLMCALL_KV_F32}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (strcmp(text, types[i].name) == 0) return *type = types[i].type, 1;
    }
    fprintf(stderr, "%s: --kv is \"%s\"; it must be f16, q8_0 or f32.\n", program, text);
    return 0;
}
