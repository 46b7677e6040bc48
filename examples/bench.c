/* llmcall-bench: prefill and decode speed of a model, counted as llama-bench counts them, through the public header. */
#define _GNU_SOURCE
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "console.h"

static const char program[] = "llmcall-bench";

static const char help[] =
    "Usage: llmcall-bench -m MODEL.gguf [options]\n"
    "\n"
    "  -m, --model FILE   the model, a GGUF file (required)\n"
    "  -t, --threads N    compute threads (default: one a core)\n"
    "  -p N               prompt tokens for the prefill test, 0 to skip it (default 512)\n"
    "  -n N               tokens for the decode tests, 0 to skip them (default 64)\n"
    "  -b LIST            sequences decoded at once, e.g. 1,8; more than one: each after a prompt of 128 tokens (default 1)\n"
    "  -r N               repetitions (default 3)\n"
    "      --cpu TIER     c, avx2 or avx512 (default: the best there is)\n"
    "      --json         one JSON object a line, for programs\n"
    "  -h, --help         this text\n"
    "\n"
    "ppN: N prompt tokens a second. tgN: tokens decoded a second. tgN@B: of B sequences together.\n";

enum { MAX_BATCHES = 16, MAX_SEQUENCES = 256, BATCH_PROMPT = 128 };

typedef struct settings {
    const char *model, *tier;
    int64_t threads, prompt, decode, repetitions;
    int64_t batches[MAX_BATCHES];
    int n_batches, json;
} settings;

typedef struct bench {
    llmcall_engine *engine;
    uint32_t vocab_size;
    uint64_t random;
} bench;

static int32_t random_token(bench *b) {
    b->random = b->random * 6364136223846793005ULL + 1442695040888963407ULL;
    return (int32_t)((b->random >> 33) % b->vocab_size);
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static llmcall_call *start(bench *b, size_t n_prompt, int64_t n_decode, llmcall_error *error) {
    int32_t *tokens = malloc(n_prompt * sizeof *tokens);
    if (!tokens) return NULL;
    for (size_t i = 0; i < n_prompt; i++) tokens[i] = random_token(b);
    llmcall_request request;
    llmcall_request_defaults(&request);
    request.tokens = tokens;
    request.n_tokens = n_prompt;
    request.max_tokens = n_decode;
    request.temperature = 0;
    request.ignore_eos = 1;
    llmcall_call *call = NULL;
    (void)llmcall_start(b->engine, &request, &call, error);
    free(tokens);
    return call;
}

/* Reads a call to its end; 1 if it went well. */
static int finish(llmcall_call *call, llmcall_error *error) {
    LLMCALL_INIT(llmcall_event, event);
    llmcall_status status;
    while ((status = llmcall_next(call, &event, -1)) == LLMCALL_OK) {
        if (event.type == LLMCALL_EVENT_ERROR) *error = *event.error;
    }
    return status == LLMCALL_E_END && !error->status;
}

static double prefill_seconds(llmcall_call *call) {
    llmcall_span spans[LLMCALL_STAGE_COUNT];
    for (int i = 0; i < LLMCALL_STAGE_COUNT; i++) llmcall_init(&spans[i], sizeof *spans);
    size_t n = 0;
    (void)llmcall_timeline(call, spans, LLMCALL_STAGE_COUNT, &n, NULL);
    for (size_t i = 0; i < n; i++)
        if (spans[i].stage == LLMCALL_STAGE_PREFILL) return (double)spans[i].busy_ns / 1e9;
    return 0;
}

/* Prompt tokens a second; negative on failure. */
static double measure_prefill(bench *b, const settings *set, llmcall_error *error) {
    llmcall_call *call = start(b, (size_t)set->prompt, 1, error);
    double tps = -1;
    if (call && finish(call, error)) tps = (double)set->prompt / prefill_seconds(call);
    llmcall_close(&call);
    return tps;
}

/* Tokens decoded so far by all calls, the fewest and the most by one of them. */
static uint64_t count_tokens(llmcall_call **calls, int64_t n, uint64_t *fewest, uint64_t *most) {
    uint64_t sum = 0;
    *fewest = UINT64_MAX, *most = 0;
    for (int64_t i = 0; i < n; i++) {
        LLMCALL_INIT(llmcall_usage_record, usage);
        (void)llmcall_usage(calls[i], &usage, NULL);
        sum += usage.completion_tokens;
        if (usage.completion_tokens < *fewest) *fewest = usage.completion_tokens;
        if (usage.completion_tokens > *most) *most = usage.completion_tokens;
    }
    return sum;
}

/* From when every sequence has its first token until the first one has n_decode more. */
static double watch_decode(llmcall_call **calls, int64_t n, int64_t n_decode) {
    uint64_t fewest, most, first = 0, last = 0;
    double begin = 0, end = 0;
    const struct timespec pause = {0, 100000};
    for (;;) {
        uint64_t sum = count_tokens(calls, n, &fewest, &most);
        double now = seconds();
        if (!first && fewest > 0) first = sum, begin = now;
        if (first && most >= (uint64_t)n_decode + 1) {
            last = sum, end = now;
            break;
        }
        nanosleep(&pause, NULL);
    }
    return (double)(last - first) / (end - begin);
}

/* Tokens a second over all sequences; negative on failure. */
static double measure_decode(bench *b, const settings *set, int64_t n, llmcall_error *error) {
    llmcall_call *calls[MAX_SEQUENCES] = {NULL};
    int64_t started = 0;
    /* Room for those that start first to wait for the last without ending. */
    int64_t n_tokens = set->decode + 1 + (n > 1 ? n + 8 : 0);
    while (started < n && (calls[started] = start(b, n > 1 ? BATCH_PROMPT : 1, n_tokens, error))) started++;
    double tps = started == n ? watch_decode(calls, n, set->decode) : -1;
    for (int64_t i = 0; i < started; i++) {
        llmcall_cancel(calls[i]);
        if (!finish(calls[i], error)) tps = -1;
        llmcall_close(&calls[i]);
    }
    return tps;
}

static void report(const settings *set, const char *test, const double *values, int64_t n) {
    double mean = 0, square = 0;
    for (int64_t i = 0; i < n; i++) mean += values[i] / (double)n;
    for (int64_t i = 0; i < n; i++) square += (values[i] - mean) * (values[i] - mean);
    double deviation = n > 1 ? sqrt(square / (double)(n - 1)) : 0;
    if (set->json) printf("{\"test\":\"%s\",\"tps\":%.3f,\"tps_sd\":%.3f}\n", test, mean, deviation);
    else printf("%-12s %12.2f  +- %.2f\n", test, mean, deviation);
    fflush(stdout);
}

/* One line of the result: -1 in batch for prefill. 1, or 0 on failure. */
static int run_test(bench *b, const settings *set, int64_t batch, llmcall_error *error) {
    char test[32];
    if (batch < 0) snprintf(test, sizeof test, "pp%lld", (long long)set->prompt);
    else if (batch == 1) snprintf(test, sizeof test, "tg%lld", (long long)set->decode);
    else snprintf(test, sizeof test, "tg%lld@%lld", (long long)set->decode, (long long)batch);
    double *values = calloc((size_t)set->repetitions, sizeof *values);
    if (!values) return 0;
    int ok = 1;
    for (int64_t i = -1; ok && i < set->repetitions; i++) { /* the first is to warm up */
        double tps = batch < 0 ? measure_prefill(b, set, error) : measure_decode(b, set, batch, error);
        if (i >= 0) values[i] = tps;
        ok = tps >= 0;
    }
    if (ok) report(set, test, values, set->repetitions);
    free(values);
    return ok;
}

static int parse_batches(const char *text, settings *set) {
    char *copy = strdup(text), *rest = copy;
    int ok = copy != NULL;
    for (char *part; ok && (part = strsep(&rest, ","));) {
        ok = set->n_batches < MAX_BATCHES && console_integer(program, "-b", part, 1, MAX_SEQUENCES, &set->batches[set->n_batches]);
        set->n_batches++;
    }
    free(copy);
    return ok;
}

static int parse_option(settings *set, int option, const char *value) {
    switch (option) {
    case 'm': return set->model = value, 1;
    case 't': return console_integer(program, "-t", value, 1, 1024, &set->threads);
    case 'p': return console_integer(program, "-p", value, 0, 1 << 20, &set->prompt);
    case 'n': return console_integer(program, "-n", value, 0, 1 << 20, &set->decode);
    case 'b': return parse_batches(value, set);
    case 'r': return console_integer(program, "-r", value, 1, 1000, &set->repetitions);
    case 'c': return set->tier = value, 1;
    case 'j': return set->json = 1;
    default: return fprintf(stderr, "Try: %s --help\n", program), 0;
    }
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, settings *set) {
    static const struct option options[] = {{"model", 1, NULL, 'm'}, {"threads", 1, NULL, 't'}, {"cpu", 1, NULL, 'c'},
                                            {"json", 0, NULL, 'j'},  {"help", 0, NULL, 'h'},    {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "m:t:p:n:b:r:h", options, NULL)) != -1) {
        if (option == 'h') return fputs(help, stdout), 0;
        if (!parse_option(set, option, optarg)) return 2;
    }
    if (optind < argc) return fprintf(stderr, "%s: unexpected \"%s\".\n", program, argv[optind]), 2;
    if (!set->model) return fprintf(stderr, "%s: no model; give one with -m FILE.gguf (see --help).\n", program), 2;
    if (set->n_batches == 0) set->batches[set->n_batches++] = 1;
    return -1;
}

static llmcall_status open_bench(bench *b, const settings *set, llmcall_error *error) {
    if (set->tier) setenv("LLMCALL_CPU", set->tier, 1);
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    if (set->threads) options.threads = (int32_t)set->threads;
    options.disable_prefix_cache = 1;
    options.max_sequences = MAX_SEQUENCES;
    options.max_step_tokens = 1024;
    llmcall_model_options model;
    llmcall_model_options_defaults(&model);
    model.path = set->model;
    model.progress = console_progress;
    llmcall_status status = llmcall_engine_open(&options, &b->engine, error);
    if (!status) status = llmcall_engine_load(b->engine, &model, error);
    LLMCALL_INIT(llmcall_model_info_record, info);
    if (!status) status = llmcall_model_info(b->engine, NULL, &info, error);
    b->vocab_size = info.vocab_size;
    LLMCALL_INIT(llmcall_device_info_record, device);
    if (!status) status = llmcall_device_info(b->engine, &device, error);
    if (!status && !set->json) {
        printf("%s  %s  %.0f MB  %s/%s  %d threads\n", info.name, info.quantization, (double)info.memory.weights_bytes / 1e6, device.name,
               device.tier, device.threads);
        printf("%-12s %12s\n", "test", "tokens/s");
    }
    return status;
}

int main(int argc, char **argv) {
    settings set = {.prompt = 512, .decode = 64, .repetitions = 3};
    int exit_status = parse_options(argc, argv, &set);
    if (exit_status >= 0) return exit_status;
    LLMCALL_INIT(llmcall_error, error);
    bench b = {.random = 1};
    int ok = open_bench(&b, &set, &error) == LLMCALL_OK;
    if (ok && set.prompt) ok = run_test(&b, &set, -1, &error);
    for (int i = 0; ok && set.decode && i < set.n_batches; i++) ok = run_test(&b, &set, set.batches[i], &error);
    if (!ok) console_fail(program, &error);
    llmcall_engine_close(&b.engine);
    return ok ? 0 : 1;
}
