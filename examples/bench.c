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
    "  -r N               repetitions, after one to warm up (default 3)\n"
    "      --no-warmup    without the one to warm up\n"
    "      --start        instead of these tests: load, answer a short prompt with one token, end; for timing from outside\n"
    "      --context N    longest sequence (default: what the tests need)\n"
    "      --kv-bytes N   memory for the KV cache (default: what the tests need)\n"
    "      --speculate N  tests of one sequence: drafts of up to N tokens, 0 to 15 (default 0); the answers to these random\n"
    "                     prompts repeat themselves, so that this shows the most that drafts can give\n"
    "      --kv TYPE      what the KV cache holds: f16, q8_0 or f32 (default: f16; f32 for a file of F32 matrices)\n"
    "      --cpu TIER     c, avx2, avxvnni, avx512, avx512bf16 or amx (default: the best there is)\n"
    "      --inexact      large F32 products through OpenBLAS, where that is faster\n"
    "      --pin          every compute thread on a core of its own\n"
    "      --json         one JSON object a line, for programs\n"
    "  -h, --help         this text\n"
    "\n"
    "ppN: N prompt tokens a second, from the start of the call to its first token. tgN: tokens decoded a second after the "
    "first.\n"
    "tgN@B: of B sequences together, while all of them decode.\n";

enum { MAX_BATCHES = 16, MAX_SEQUENCES = 256, BATCH_PROMPT = 128 };

typedef struct settings {
    const char *model, *tier;
    int64_t threads, prompt, decode, repetitions, context, kv_bytes, speculate;
    int64_t batches[MAX_BATCHES];
    int32_t kv_type;
    int n_batches, json, no_warmup, start_only, inexact, pin;
} settings;

typedef struct bench {
    llmcall_engine *engine;
    uint32_t vocab_size;
    uint64_t random;
    uint32_t speculate; /* of the calls started next */
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
    request.speculate = b->speculate;
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

/* Prompt tokens a second, by the clock on the wall; negative on failure. */
static double measure_prefill(bench *b, const settings *set, llmcall_error *error) {
    double begin = seconds(), tps = -1;
    llmcall_call *call = start(b, (size_t)set->prompt, 1, error);
    if (call && finish(call, error)) tps = (double)set->prompt / (seconds() - begin);
    llmcall_close(&call);
    return tps;
}

/* One sequence: its own usage record says when the first token came and when the last. */
static double measure_one(bench *b, const settings *set, llmcall_error *error) {
    double tps = -1;
    LLMCALL_INIT(llmcall_usage_record, usage);
    b->speculate = (uint32_t)set->speculate;
    llmcall_call *call = start(b, 1, set->decode + 1, error);
    b->speculate = 0;
    if (call && finish(call, error) && !llmcall_usage(call, &usage, error))
        tps = (double)(usage.completion_tokens - 1) * 1e9 / (double)(usage.total_ns - usage.first_token_ns);
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
    const struct timespec pause = {0, 1000000}; /* short beside 64 steps, long enough not to take a core from them */
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

/* How long an answer each of n sequences asks for: room for those that start first to wait for the last without ending. */
static int64_t answer_tokens(const settings *set, int64_t n) {
    return set->decode + 1 + (n > 1 ? n + 8 : 0);
}

/* Tokens a second over n sequences; negative on failure. */
static double measure_batch(bench *b, const settings *set, int64_t n, llmcall_error *error) {
    llmcall_call *calls[MAX_SEQUENCES] = {NULL};
    int64_t started = 0;
    while (started < n && (calls[started] = start(b, BATCH_PROMPT, answer_tokens(set, n), error))) started++;
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

/* -1 in batch for prefill. */
static double measure(bench *b, const settings *set, int64_t batch, llmcall_error *error) {
    if (batch < 0) return measure_prefill(b, set, error);
    return batch == 1 ? measure_one(b, set, error) : measure_batch(b, set, batch, error);
}

/* One line of the result: 1, or 0 on failure. */
static int run_test(bench *b, const settings *set, int64_t batch, llmcall_error *error) {
    char test[32];
    if (batch < 0) snprintf(test, sizeof test, "pp%lld", (long long)set->prompt);
    else if (batch == 1) snprintf(test, sizeof test, "tg%lld", (long long)set->decode);
    else snprintf(test, sizeof test, "tg%lld@%lld", (long long)set->decode, (long long)batch);
    double *values = calloc((size_t)set->repetitions, sizeof *values);
    if (!values) return 0;
    int ok = 1;
    for (int64_t i = set->no_warmup ? 0 : -1; ok && i < set->repetitions; i++) {
        double tps = measure(b, set, batch, error);
        if (i >= 0) values[i] = tps;
        ok = tps >= 0;
    }
    if (ok) report(set, test, values, set->repetitions);
    free(values);
    return ok;
}

/* What a program that answers one short question does, all in all. */
static int run_start(bench *b, const settings *set, llmcall_error *error) {
    double begin = seconds();
    llmcall_call *call = start(b, 1, 1, error);
    int ok = call && finish(call, error);
    if (ok && set->json) printf("{\"test\":\"first\",\"seconds\":%.6f}\n", seconds() - begin);
    llmcall_close(&call);
    return ok;
}

static int parse_batches(const char *text, settings *set) {
    char *copy = strdup(text), *rest = copy;
    int ok = copy != NULL;
    for (char *part; ok && (part = strsep(&rest, ","));) {
        ok = set->n_batches < MAX_BATCHES &&
             console_integer(program, "-b", part, 1, MAX_SEQUENCES, &set->batches[set->n_batches]);
        set->n_batches++;
    }
    free(copy);
    return ok;
}

static int parse_option(settings *set, int option, const char *value) {
    switch (option) {
    case 'm':
        return set->model = value, 1;
    case 't':
        return console_integer(program, "-t", value, 1, 1024, &set->threads);
    case 'p':
        return console_integer(program, "-p", value, 0, 1 << 20, &set->prompt);
    case 'n':
        return console_integer(program, "-n", value, 0, 1 << 20, &set->decode);
    case 'b':
        return parse_batches(value, set);
    case 'r':
        return console_integer(program, "-r", value, 1, 1000, &set->repetitions);
    case 'c':
        return set->tier = value, 1;
    case 'j':
        return set->json = 1;
    case 'w':
        return set->no_warmup = 1;
    case 's':
        return set->start_only = 1;
    case 'i':
        return set->inexact = 1;
    case 'y':
        return set->pin = 1;
    case 'x':
        return console_integer(program, "--context", value, 1, INT32_MAX, &set->context);
    case 'd':
        return console_integer(program, "--speculate", value, 0, 15, &set->speculate);
    case 'v':
        return console_kv_type(program, value, &set->kv_type);
    case 'k':
        return console_integer(program, "--kv-bytes", value, 1, INT64_MAX, &set->kv_bytes);
    default:
        return fprintf(stderr, "Try: %s --help\n", program), 0;
    }
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, settings *set) {
    static const struct option options[] = {{"model", 1, NULL, 'm'},   {"threads", 1, NULL, 't'},   {"cpu", 1, NULL, 'c'},
                                            {"json", 0, NULL, 'j'},    {"no-warmup", 0, NULL, 'w'}, {"start", 0, NULL, 's'},
                                            {"context", 1, NULL, 'x'}, {"kv-bytes", 1, NULL, 'k'},  {"kv", 1, NULL, 'v'},
                                            {"inexact", 0, NULL, 'i'}, {"pin", 0, NULL, 'y'},       {"speculate", 1, NULL, 'd'},
                                            {"help", 0, NULL, 'h'},    {NULL, 0, NULL, 0}};
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

/* The longest sequence of the tests, and the tokens of all that run at once. */
static void needed_tokens(const settings *set, int64_t *longest, int64_t *together) {
    *longest = *together = set->prompt + 1;
    for (int i = 0; i < set->n_batches; i++) {
        int64_t n = set->batches[i], one = (n > 1 ? BATCH_PROMPT : 1) + answer_tokens(set, n);
        if (one > *longest) *longest = one;
        if (one * n > *together) *together = one * n;
    }
}

/* A context and a KV cache that just hold the tests, as llama-bench makes them; else a long context's memory would decide. */
static llmcall_status size_cache(const llmcall_engine_options *options, llmcall_model_options *model, const settings *set,
                                 llmcall_error *error) {
    enum { PAGE_SLACK = 128 }; /* a sequence's last page is not full */
    int64_t longest, together;
    needed_tokens(set, &longest, &together);
    if (set->context > longest) longest = set->context;
    model->context_length = (uint32_t)longest;
    model->kv_bytes = (uint64_t)set->kv_bytes;
    if (set->kv_bytes) return LLMCALL_OK;
    LLMCALL_INIT(llmcall_memory, memory);
    llmcall_status status = llmcall_estimate(options, model, &memory, error);
    int64_t tokens = (together > longest ? together : longest) + (int64_t)options->max_sequences * PAGE_SLACK;
    uint64_t pages = (uint64_t)tokens * memory.kv_bytes_per_token;
    uint64_t states = memory.state_kib * UINT64_C(2048) * options->max_sequences;  /* and as many to be kept */
    model->kv_bytes = states == 0 ? pages : 2 * (pages > states ? pages : states); /* half of it is for states */
    return status;
}

static llmcall_status open_bench(bench *b, const settings *set, llmcall_error *error) {
    if (set->tier) setenv("LLMCALL_CPU", set->tier, 1);
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    if (set->threads) options.threads = (int32_t)set->threads;
    options.disable_prefix_cache = 1;
    options.inexact = (uint32_t)set->inexact;
    options.pin_threads = (uint32_t)set->pin;
    options.max_sequences = 1;
    for (int i = 0; i < set->n_batches; i++)
        if (set->batches[i] > options.max_sequences) options.max_sequences = (uint32_t)set->batches[i];
    llmcall_model_options model;
    llmcall_model_options_defaults(&model);
    model.path = set->model;
    model.kv_type = set->kv_type;
    model.progress = console_progress;
    llmcall_status status = size_cache(&options, &model, set, error);
    if (!status) status = llmcall_engine_open(&options, &b->engine, error);
    if (!status) status = llmcall_engine_load(b->engine, &model, error);
    LLMCALL_INIT(llmcall_model_info_record, info);
    if (!status) status = llmcall_model_info(b->engine, NULL, &info, error);
    b->vocab_size = info.vocab_size;
    LLMCALL_INIT(llmcall_device_info_record, device);
    if (!status) status = llmcall_device_info(b->engine, &device, error);
    if (!status && !set->json) {
        printf("%s  %s  %.0f MB  %s/%s  %d threads\n", info.name, info.quantization, (double)info.memory.weights_bytes / 1e6,
               device.name, device.tier, device.threads);
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
    if (ok && set.start_only) ok = run_start(&b, &set, &error);
    if (ok && !set.start_only && set.prompt) ok = run_test(&b, &set, -1, &error);
    for (int i = 0; ok && !set.start_only && set.decode && i < set.n_batches; i++)
        ok = run_test(&b, &set, set.batches[i], &error);
    if (!ok) console_fail(program, &error);
    llmcall_engine_close(&b.engine);
    return ok ? 0 : 1;
}
