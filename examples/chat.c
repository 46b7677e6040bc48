/* llmcall-chat: talk to a model on a terminal, or ask it one question. Everything goes through the public header. */
#define _GNU_SOURCE
#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "console.h"

static const char program[] = "llmcall-chat";

static const char help[] =
    "Usage: llmcall-chat -m MODEL.gguf [options]\n"
    "\n"
    "Without -p: an interactive chat. Ctrl-C stops the answer, Ctrl-D or /quit leaves, /clear starts over.\n"
    "\n"
    "  -m, --model FILE      the model, a GGUF file (required)\n"
    "  -p, --prompt TEXT     one question; prints the answer and ends. - reads it from standard input\n"
    "      --system TEXT     system prompt (default: the model's own)\n"
    "      --max-tokens N    longest answer (default: what the context allows)\n"
    "      --temp T          temperature, 0 is greedy (default 0.7)\n"
    "      --top-p P         nucleus (default 0.95)\n"
    "      --top-k K         only the K likeliest (default: all)\n"
    "      --min-p P         at least P times the likeliest (default 0)\n"
    "      --seed N          makes the answer repeatable\n"
    "      --speculate N     drafts of up to N tokens by look-up in the conversation, 0 to 15 (default 0): the same answer, "
    "faster\n"
    "                        where it repeats what was said\n"
    "  -t, --threads N       compute threads (default: one a core)\n"
    "      --context N       longest conversation in tokens (default: the model's)\n"
    "      --kv TYPE         what the KV cache holds: f16, q8_0 (half the memory) or f32 (default: f16)\n"
    "      --prices I,C,O    $ a million input, cached and output tokens (default 0.15,0.015,0.60)\n"
    "      --timeline        where the time and the cost went, stage by stage\n"
    "      --json            one JSON object an answer, for programs\n"
    "  -h, --help            this text\n"
    "      --version         the library's version\n"
    "\n"
    "Exit status: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C.\n";

typedef struct settings {
    const char *model, *prompt, *system;
    int64_t max_tokens, top_k, threads, context, seed, speculate;
    double temperature, top_p, min_p;
    int32_t kv_type;
    double prices[3];
    int has_seed, timeline, json;
} settings;

/* A conversation: the messages so far, with texts that it owns. */
typedef struct conversation {
    llmcall_message *messages;
    size_t n;
} conversation;

static volatile sig_atomic_t interrupted;
static volatile int stop_loading;

static void on_interrupt(int number) {
    (void)number;
    interrupted = 1;
    stop_loading = 1;
}

static int add_message(conversation *talk, const char *role, const char *text, size_t size) {
    llmcall_message *grown = realloc(talk->messages, (talk->n + 1) * sizeof *grown);
    char *copy = malloc(size + 1);
    if (grown) talk->messages = grown;
    if (!grown || !copy) return free(copy), 0;
    memcpy(copy, text, size);
    copy[size] = 0;
    llmcall_message *message = &talk->messages[talk->n++];
    llmcall_init(message, sizeof *message);
    message->role = role;
    message->content = copy;
    message->content_size = (int64_t)size;
    return 1;
}

static void drop_messages(conversation *talk, size_t keep) {
    while (talk->n > keep) free((void *)talk->messages[--talk->n].content);
}

static void forget(conversation *talk) {
    drop_messages(talk, 0);
    free(talk->messages);
}

/* ---- One answer ---- */

typedef struct answer {
    char *text;
    size_t size;
    int32_t finish_reason;
    llmcall_usage_record usage;
} answer;

static void collect(answer *a, const llmcall_event *event) {
    char *grown = realloc(a->text, a->size + event->text_size + 1);
    if (!grown) return;
    memcpy(grown + a->size, event->text, event->text_size);
    a->text = grown;
    a->size += event->text_size;
    a->text[a->size] = 0;
}

/* Reads the call to its end. Ctrl-C cancels it; what was said until then stays. */
static llmcall_status read_answer(llmcall_call *call, const settings *set, answer *a, llmcall_error *error) {
    llmcall_status status, failed = LLMCALL_OK;
    LLMCALL_INIT(llmcall_event, event);
    while ((status = llmcall_next(call, &event, 50)) != LLMCALL_E_END) {
        if (interrupted) llmcall_cancel(call);
        if (status) continue;
        if (event.type == LLMCALL_EVENT_TEXT) {
            collect(a, &event);
            if (!set->json) fwrite(event.text, 1, event.text_size, stdout), fflush(stdout);
        } else if (event.type == LLMCALL_EVENT_FINISH) {
            a->finish_reason = event.finish_reason;
        } else if (event.type == LLMCALL_EVENT_ERROR) {
            *error = *event.error;
            failed = error->status;
        } else if (event.type == LLMCALL_EVENT_USAGE) {
            a->usage = *event.usage;
        }
    }
    return failed;
}

static void print_json(llmcall_call *call, const answer *a) {
    json_t *object = json_pack("{s:s%, s:s, s:o, s:o}", "text", a->text ? a->text : "", a->size, "finish_reason",
                               llmcall_finish_name(a->finish_reason), "usage", console_usage_json(&a->usage), "timeline",
                               console_timeline_json(call));
    if (object) json_dumpf(object, stdout, JSON_REAL_PRECISION(9));
    putchar('\n');
    fflush(stdout);
    json_decref(object);
}

static llmcall_status ask(llmcall_engine *engine, const settings *set, conversation *talk, answer *a, llmcall_error *error) {
    llmcall_request request;
    llmcall_request_defaults(&request);
    request.messages = talk->messages;
    request.n_messages = talk->n;
    request.max_tokens = set->max_tokens;
    request.temperature = (float)set->temperature;
    request.top_p = (float)set->top_p;
    request.min_p = (float)set->min_p;
    request.top_k = (int32_t)set->top_k;
    request.has_seed = set->has_seed;
    request.seed = (uint64_t)set->seed;
    request.speculate = (uint32_t)set->speculate;
    llmcall_call *call = NULL;
    llmcall_status status = llmcall_start(engine, &request, &call, error);
    if (status) return status;
    status = read_answer(call, set, a, error);
    if (set->json) print_json(call, a);
    else putchar('\n');
    if (!set->json && a->finish_reason == LLMCALL_FINISH_CANCELLED) fprintf(stderr, "[stopped]\n");
    if (set->timeline && !set->json) console_timeline(stdout, call);
    fflush(stdout);
    llmcall_close(&call);
    return status;
}

/* ---- The two ways to use it ---- */

static int ask_once(llmcall_engine *engine, const settings *set, conversation *talk) {
    LLMCALL_INIT(llmcall_error, error);
    answer a = {0};
    llmcall_status status = LLMCALL_E_NO_MEMORY;
    if (add_message(talk, "user", set->prompt, strlen(set->prompt))) status = ask(engine, set, talk, &a, &error);
    free(a.text);
    if (status) return console_fail(program, &error), 1;
    return a.finish_reason == LLMCALL_FINISH_CANCELLED ? 130 : 0;
}

/* A line from the user, without its end; NULL at the end of input. An interrupt gives an empty line. */
static char *read_line(char **line, size_t *capacity) {
    console_style style = console_style_for(stdout);
    if (isatty(STDIN_FILENO)) printf("%s> %s", style.accent, style.reset), fflush(stdout);
    interrupted = 0;
    ssize_t size = getline(line, capacity, stdin);
    if (size < 0 && interrupted) {
        clearerr(stdin);
        printf("\n(Ctrl-D or /quit leaves)\n");
        if (*line) **line = 0;
        return *line ? *line : (*line = calloc(1, 1));
    }
    if (size < 0) return NULL;
    while (size > 0 && ((*line)[size - 1] == '\n' || (*line)[size - 1] == '\r')) (*line)[--size] = 0;
    return *line;
}

static int converse(llmcall_engine *engine, const settings *set, conversation *talk) {
    size_t first = talk->n, capacity = 0;
    char *line = NULL;
    int failed = 0;
    while (read_line(&line, &capacity)) {
        if (strcmp(line, "/quit") == 0 || strcmp(line, "/exit") == 0) break;
        if (strcmp(line, "/clear") == 0) drop_messages(talk, first);
        if (!*line || strcmp(line, "/clear") == 0) continue;
        LLMCALL_INIT(llmcall_error, error);
        answer a = {0};
        llmcall_status status = LLMCALL_E_NO_MEMORY;
        if (add_message(talk, "user", line, strlen(line))) status = ask(engine, set, talk, &a, &error);
        if (status) {
            console_fail(program, &error);
            drop_messages(talk, talk->n - 1);
            failed = 1;
        } else if (!add_message(talk, "assistant", a.text ? a.text : "", a.size)) {
            failed = 1;
        }
        free(a.text);
    }
    free(line);
    if (isatty(STDIN_FILENO)) putchar('\n');
    return isatty(STDIN_FILENO) ? 0 : failed;
}

static char *read_all(FILE *stream) {
    char *text = NULL;
    size_t capacity = 0;
    ssize_t size = getdelim(&text, &capacity, 0, stream);
    return size < 0 ? free(text), NULL : text;
}

/* ---- Options ---- */

enum {
    OPT_SYSTEM = 256,
    OPT_MAX_TOKENS,
    OPT_TEMP,
    OPT_TOP_P,
    OPT_TOP_K,
    OPT_MIN_P,
    OPT_SEED,
    OPT_SPECULATE,
    OPT_CONTEXT,
    OPT_KV,
    OPT_PRICES,
    OPT_TIMELINE,
    OPT_JSON,
    OPT_VERSION
};

static const struct option options[] = {{"model", 1, NULL, 'm'},
                                        {"prompt", 1, NULL, 'p'},
                                        {"system", 1, NULL, OPT_SYSTEM},
                                        {"max-tokens", 1, NULL, OPT_MAX_TOKENS},
                                        {"temp", 1, NULL, OPT_TEMP},
                                        {"top-p", 1, NULL, OPT_TOP_P},
                                        {"top-k", 1, NULL, OPT_TOP_K},
                                        {"min-p", 1, NULL, OPT_MIN_P},
                                        {"seed", 1, NULL, OPT_SEED},
                                        {"speculate", 1, NULL, OPT_SPECULATE},
                                        {"threads", 1, NULL, 't'},
                                        {"context", 1, NULL, OPT_CONTEXT},
                                        {"kv", 1, NULL, OPT_KV},
                                        {"prices", 1, NULL, OPT_PRICES},
                                        {"timeline", 0, NULL, OPT_TIMELINE},
                                        {"json", 0, NULL, OPT_JSON},
                                        {"help", 0, NULL, 'h'},
                                        {"version", 0, NULL, OPT_VERSION},
                                        {NULL, 0, NULL, 0}};

static int parse_prices(const char *text, double prices[3]) {
    char extra;
    if (sscanf(text, "%lf,%lf,%lf%c", &prices[0], &prices[1], &prices[2], &extra) == 3 && prices[0] >= 0 && prices[1] >= 0 &&
        prices[2] >= 0)
        return 1;
    fprintf(stderr, "%s: --prices is \"%s\"; it must be three numbers like 0.15,0.015,0.60.\n", program, text);
    return 0;
}

static int parse_option(settings *set, int option, const char *value) {
    switch (option) {
    case 'm':
        return set->model = value, 1;
    case 'p':
        return set->prompt = value, 1;
    case 't':
        return console_integer(program, "--threads", value, 1, 1024, &set->threads);
    case OPT_SYSTEM:
        return set->system = value, 1;
    case OPT_MAX_TOKENS:
        return console_integer(program, "--max-tokens", value, 1, INT32_MAX, &set->max_tokens);
    case OPT_TEMP:
        return console_number(program, "--temp", value, 0, 100, &set->temperature);
    case OPT_TOP_P:
        return console_number(program, "--top-p", value, 0.000001, 1, &set->top_p);
    case OPT_TOP_K:
        return console_integer(program, "--top-k", value, 0, INT32_MAX, &set->top_k);
    case OPT_MIN_P:
        return console_number(program, "--min-p", value, 0, 1, &set->min_p);
    case OPT_SEED:
        return set->has_seed = 1, console_integer(program, "--seed", value, 0, INT64_MAX, &set->seed);
    case OPT_SPECULATE:
        return console_integer(program, "--speculate", value, 0, 15, &set->speculate);
    case OPT_CONTEXT:
        return console_integer(program, "--context", value, 1, INT32_MAX, &set->context);
    case OPT_KV:
        return console_kv_type(program, value, &set->kv_type);
    case OPT_PRICES:
        return parse_prices(value, set->prices);
    case OPT_TIMELINE:
        return set->timeline = 1;
    case OPT_JSON:
        return set->json = 1;
    default:
        return fprintf(stderr, "Try: %s --help\n", program), 0;
    }
}

/* -1: go on; else the exit status. */
static int parse_options(int argc, char **argv, settings *set) {
    int option;
    while ((option = getopt_long(argc, argv, "m:p:t:h", options, NULL)) != -1) {
        if (option == 'h') return fputs(help, stdout), 0;
        if (option == OPT_VERSION) return printf("%s %s\n", program, llmcall_version()), 0;
        if (!parse_option(set, option, optarg)) return 2;
    }
    if (optind < argc) return fprintf(stderr, "%s: unexpected \"%s\"; a prompt goes to -p.\n", program, argv[optind]), 2;
    if (!set->model) return fprintf(stderr, "%s: no model; give one with -m FILE.gguf (see --help).\n", program), 2;
    return -1;
}

static llmcall_status open_engine(const settings *set, llmcall_engine **engine, llmcall_error *error) {
    llmcall_engine_options options_engine;
    llmcall_engine_options_defaults(&options_engine);
    if (set->threads) options_engine.threads = (int32_t)set->threads;
    llmcall_model_options model;
    llmcall_model_options_defaults(&model);
    model.path = set->model;
    model.context_length = (uint32_t)set->context;
    model.kv_type = set->kv_type;
    model.price_prompt = (int64_t)(set->prices[0] * 1e9 + 0.5);
    model.price_cached = (int64_t)(set->prices[1] * 1e9 + 0.5);
    model.price_completion = (int64_t)(set->prices[2] * 1e9 + 0.5);
    model.progress = console_progress;
    model.progress_user = (void *)&stop_loading;
    llmcall_status status = llmcall_engine_open(&options_engine, engine, error);
    return status ? status : llmcall_engine_load(*engine, &model, error);
}

int main(int argc, char **argv) {
    settings set = {.temperature = 0.7, .top_p = 0.95, .prices = {0.15, 0.015, 0.60}};
    int exit_status = parse_options(argc, argv, &set);
    if (exit_status >= 0) return exit_status;
    struct sigaction action = {.sa_handler = on_interrupt}; /* without SA_RESTART: it also interrupts getline */
    sigaction(SIGINT, &action, NULL);

    char *piped = NULL;
    if (set.prompt && strcmp(set.prompt, "-") == 0) set.prompt = piped = read_all(stdin);
    llmcall_engine *engine = NULL;
    conversation talk = {0};
    LLMCALL_INIT(llmcall_error, error);
    llmcall_status status = open_engine(&set, &engine, &error);
    if (!status && set.system && !add_message(&talk, "system", set.system, strlen(set.system))) status = LLMCALL_E_NO_MEMORY;
    if (status) console_fail(program, &error), exit_status = status == LLMCALL_E_CANCELLED ? 130 : 1;
    else exit_status = set.prompt ? ask_once(engine, &set, &talk) : converse(engine, &set, &talk);
    forget(&talk);
    free(piped);
    llmcall_engine_close(&engine);
    return exit_status;
}
