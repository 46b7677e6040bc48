/* Embeddings and ranks through the public header: the same bits however texts are batched, cut into steps or threaded; one bill
 * a call; every refusal by name; memory that runs out. */
#include <math.h>

#include "core/thread.h"
#include "tests/unit/engine_setup.h"
#include "tests/unit/failing_alloc.h"

enum { WIDTH = 64, MAX_TEXTS = 8 };

static const char *const texts[MAX_TEXTS] = {
    "hello",
    "the hello on and then some more in the red",
    "a",
    "in the red",
    "there was once a hello that was longer than most",
    "on and on and on and on and on and on and on and on and on and on and on and on and on",
    "er",
    "the end"};

typedef struct setup {
    int32_t threads;
    uint32_t max_step_tokens;
    uint64_t kv_bytes;
    const llmcall_hooks *hooks;
    tiny_gguf_spec spec;
} setup;

static llmcall_engine *open_engine(const setup *s) {
    tiny_gguf file;
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.threads = s->threads;
    options.max_step_tokens = s->max_step_tokens;
    options.hooks = s->hooks;
    tiny_gguf_build(&file, &s->spec);
    LLMCALL_INIT(llmcall_model_options, model);
    model.kv_bytes = s->kv_bytes;
    model.price_prompt = 2000000;
    model.price_cached = 1000000;
    return setup_engine_with(&file, &options, &model);
}

static void fill_request(llmcall_embed_request *request, size_t n) {
    llmcall_init(request, sizeof *request);
    request->texts = texts;
    request->n_texts = n;
}

static void embed(llmcall_engine *engine, const llmcall_embed_request *request, float *vectors, size_t capacity) {
    size_t n;
    LLMCALL_INIT(llmcall_error, error);
    if (llmcall_embed_texts(engine, request, vectors, capacity, &n, NULL, &error))
        fail_msg("%s (%s)", error.message, error.param);
}

static double length_of(const float *vector, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)vector[i] * (double)vector[i];
    return sqrt(sum);
}

/* ---- Bits ---- */

static const tiny_gguf_spec causal = {.context_length = 256};
static const tiny_gguf_spec whole = {.set_key = "llama.attention.causal", .set_type = TINY_BOOL, .set_number = 0};

/* Alone, with threads = 0, whatever the pages. */
static void reference(const tiny_gguf_spec *spec, int32_t pooling, float *vectors) {
    llmcall_engine *engine = open_engine(&(setup){.spec = *spec});
    for (size_t i = 0; i < MAX_TEXTS; i++) {
        llmcall_embed_request request;
        fill_request(&request, 1);
        request.texts = &texts[i];
        request.pooling = pooling;
        embed(engine, &request, vectors + i * WIDTH, WIDTH);
    }
    llmcall_engine_close(&engine);
}

static void same_bits(void **state) {
    (void)state;
    static const setup ways[] = {{.threads = 0, .max_step_tokens = 512}, {.threads = 2, .max_step_tokens = 512},
                                 {.threads = 3, .max_step_tokens = 7},   {.threads = 0, .max_step_tokens = 1},
                                 {.threads = 1, .kv_bytes = 140000},     {.threads = 2, .max_step_tokens = 40}};
    for (int encoder = 0; encoder <= 1; encoder++) {
        for (int32_t pooling = LLMCALL_POOLING_MEAN; pooling <= LLMCALL_POOLING_LAST; pooling++) {
            float expected[MAX_TEXTS * WIDTH], got[MAX_TEXTS * WIDTH];
            reference(encoder ? &whole : &causal, pooling, expected);
            for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
                setup s = ways[i];
                s.spec = encoder ? whole : causal;
                llmcall_engine *engine = open_engine(&s);
                llmcall_embed_request request;
                fill_request(&request, MAX_TEXTS);
                request.pooling = pooling;
                for (int again = 0; again < 2; again++) { /* the second time with a warm prefix cache */
                    embed(engine, &request, got, MAX_TEXTS * WIDTH);
                    assert_memory_equal(got, expected, sizeof got);
                }
                llmcall_engine_close(&engine);
            }
        }
    }
}

/* Beside calls that decode, which keep their bits too. */
static void beside_calls(void **state) {
    (void)state;
    float expected[MAX_TEXTS * WIDTH], got[MAX_TEXTS * WIDTH];
    static setup_answer alone, answer;
    reference(&causal, LLMCALL_POOLING_MEAN, expected);
    llmcall_engine *engine = open_engine(&(setup){.threads = 2, .spec = causal});
    llmcall_request generate;
    setup_request(&generate, "hello there in the", 100);
    setup_run(engine, &generate, &alone);
    llmcall_call *call = setup_start(engine, &generate);
    llmcall_embed_request request;
    fill_request(&request, MAX_TEXTS);
    for (int i = 0; i < 3; i++) {
        embed(engine, &request, got, MAX_TEXTS * WIDTH);
        assert_memory_equal(got, expected, sizeof got);
    }
    setup_read(engine, call, &answer);
    llmcall_close(&call);
    assert_int_equal(answer.choice[0].size, alone.choice[0].size);
    assert_memory_equal(answer.choice[0].tokens, alone.choice[0].tokens, sizeof alone.choice[0].tokens);
    llmcall_engine_close(&engine);
}

/* A later word changes what an earlier one is only where tokens see those behind them. */
static void who_sees_whom(void **state) {
    (void)state;
    static const char *const two[] = {"the hello in the red", "the hello in the end"};
    for (int encoder = 0; encoder <= 1; encoder++) {
        llmcall_engine *engine = open_engine(&(setup){.spec = encoder ? whole : causal});
        float vectors[2 * WIDTH];
        llmcall_embed_request request;
        fill_request(&request, 2);
        request.texts = two;
        request.pooling = LLMCALL_POOLING_CLS;
        embed(engine, &request, vectors, 2 * WIDTH);
        assert_int_equal(memcmp(vectors, vectors + WIDTH, WIDTH * sizeof *vectors) != 0, encoder);
        llmcall_engine_close(&engine);
    }
}

static void poolings_agree(void **state) {
    (void)state;
    llmcall_engine *engine = open_engine(&(setup){.spec = causal});
    float rows[64 * WIDTH], mean[2 * WIDTH], first[2 * WIDTH], last[2 * WIDTH];
    uint32_t counts[2];
    llmcall_embed_request request;
    fill_request(&request, 2);
    request.no_normalize = 1;
    request.rows = counts;
    request.pooling = LLMCALL_POOLING_NONE;
    embed(engine, &request, rows, 64 * WIDTH);
    request.rows = NULL;
    request.pooling = LLMCALL_POOLING_MEAN;
    embed(engine, &request, mean, 2 * WIDTH);
    request.pooling = LLMCALL_POOLING_CLS;
    embed(engine, &request, first, 2 * WIDTH);
    request.pooling = LLMCALL_POOLING_LAST;
    embed(engine, &request, last, 2 * WIDTH);
    const float *row = rows;
    for (size_t t = 0; t < 2; t++) {
        assert_memory_equal(row, first + t * WIDTH, WIDTH * sizeof *row);
        assert_memory_equal(row + (counts[t] - 1) * WIDTH, last + t * WIDTH, WIDTH * sizeof *row);
        for (size_t i = 0; i < WIDTH; i++) {
            float sum = 0;
            for (uint32_t k = 0; k < counts[t]; k++) sum += row[k * WIDTH + i];
            assert_true(sum / (float)counts[t] == mean[t * WIDTH + i]);
        }
        row += counts[t] * WIDTH;
    }
    request.no_normalize = 0;
    request.dimensions = 10;
    embed(engine, &request, first, 20);
    for (size_t t = 0; t < 2; t++) {
        assert_true(fabs(length_of(first + t * 10, 10) - 1) < 1e-6);
        double scale = length_of(last + t * WIDTH, 10);
        for (size_t i = 0; i < 10; i++)
            assert_true(fabs((double)first[t * 10 + i] * scale - (double)last[t * WIDTH + i]) < 1e-5);
    }
    llmcall_engine_close(&engine);
}

/* ---- Bills ---- */

typedef struct ledger {
    int n, n_spans, n_backwards;
    llmcall_usage_record last;
} ledger;

static llmcall_status note_usage(void *user, const llmcall_usage_record *record) {
    ledger *l = user;
    l->n++;
    l->last = *record;
    return LLMCALL_OK;
}

static void note_span(void *user, const char *call_id, const char *trace_id, const llmcall_span *span) {
    (void)call_id, (void)trace_id;
    ((ledger *)user)->n_spans++;
    ((ledger *)user)->n_backwards += span->end_ns < span->start_ns;
}

static void one_bill_a_call(void **state) {
    (void)state;
    ledger l = {0};
    LLMCALL_INIT(llmcall_hooks, hooks);
    hooks.user = &l;
    hooks.usage = note_usage;
    hooks.span = note_span;
    llmcall_engine *engine = open_engine(&(setup){.hooks = &hooks, .spec = causal});
    float vectors[MAX_TEXTS * WIDTH];
    size_t n;
    LLMCALL_INIT(llmcall_usage_record, usage);
    llmcall_embed_request request;
    fill_request(&request, MAX_TEXTS);
    request.pooling = LLMCALL_POOLING_LAST;
    assert_int_equal(llmcall_embed_texts(engine, &request, vectors, MAX_TEXTS * WIDTH, &n, &usage, NULL), LLMCALL_OK);
    assert_int_equal(n, MAX_TEXTS);
    assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.n_spans, LLMCALL_STAGE_COUNT);
    assert_string_equal(l.last.call_id, usage.call_id);
    assert_string_equal(l.last.model, "tiny");
    assert_int_equal(l.last.finish_reason, LLMCALL_FINISH_STOP);
    size_t tokens = 0;
    for (size_t i = 0; i < MAX_TEXTS; i++) {
        size_t count;
        (void)llmcall_tokenize(engine, NULL, texts[i], -1, LLMCALL_TOKENIZE_BOS_EOS, NULL, 0, &count, NULL);
        tokens += count;
    }
    assert_int_equal(l.last.prompt_tokens, tokens);
    assert_int_equal(l.last.completion_tokens, 0);
    assert_int_equal(l.last.cached_tokens, 0);
    assert_int_equal(l.last.cost_nano, 2 * tokens);
    /* The last token's vector takes the prefix from the cache; the mean needs every row. */
    assert_int_equal(llmcall_embed_texts(engine, &request, vectors, MAX_TEXTS * WIDTH, &n, &usage, NULL), LLMCALL_OK);
    assert_true(usage.cached_tokens >= 32);
    assert_int_equal(usage.cost_nano, (int64_t)(2 * tokens - usage.cached_tokens));
    request.pooling = LLMCALL_POOLING_MEAN;
    assert_int_equal(llmcall_embed_texts(engine, &request, vectors, MAX_TEXTS * WIDTH, &n, &usage, NULL), LLMCALL_OK);
    assert_int_equal(usage.cached_tokens, 0);
    /* A refusal after admission is billed as well. */
    request.dimensions = 1000;
    assert_int_equal(llmcall_embed_texts(engine, &request, vectors, MAX_TEXTS * WIDTH, &n, &usage, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(usage.status, LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
    assert_int_equal(l.n, 4);
    assert_int_equal(l.last.status, LLMCALL_E_ARGUMENT);
    assert_int_equal(l.last.prompt_tokens, 0);
    assert_int_equal(l.n_spans, 4 * LLMCALL_STAGE_COUNT);
    request.dimensions = 0;
    request.pooling = 77; /* in VALIDATE, whose span ends there */
    assert_int_equal(llmcall_embed_texts(engine, &request, vectors, MAX_TEXTS * WIDTH, &n, &usage, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
    assert_int_equal(l.n_spans, 5 * LLMCALL_STAGE_COUNT);
    assert_int_equal(l.n_backwards, 0);
    llmcall_engine_close(&engine);
    assert_int_equal(l.n, 5);
}

static void scores_are_billed(void **state) {
    (void)state;
    enum { N = 5 };
    static const int32_t tokens[N] = {1, 2, 3, 4, TINY_VOCAB};
    static float logits[N * TINY_VOCAB];
    ledger l = {0};
    LLMCALL_INIT(llmcall_error, error);
    LLMCALL_INIT(llmcall_hooks, hooks);
    hooks.user = &l;
    hooks.usage = note_usage;
    hooks.span = note_span;
    llmcall_engine *engine = open_engine(&(setup){.hooks = &hooks, .spec = causal});
    assert_int_equal(llmcall_score(engine, NULL, tokens, N - 1, logits, N * TINY_VOCAB, &error), LLMCALL_OK);
    assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
    assert_int_equal(l.n, 1);
    assert_int_equal(l.n_spans, LLMCALL_STAGE_COUNT);
    assert_string_equal(l.last.model, "tiny");
    assert_int_equal(l.last.status, LLMCALL_OK);
    assert_int_equal(l.last.finish_reason, LLMCALL_FINISH_STOP);
    assert_int_equal(l.last.prompt_tokens, N - 1);
    assert_int_equal(l.last.completion_tokens, 0);
    assert_int_equal(l.last.cost_nano, 2 * (N - 1));
    /* And so is what is refused after admission. */
    assert_int_equal(llmcall_score(engine, NULL, tokens, N, logits, N * TINY_VOCAB, &error), LLMCALL_E_ARGUMENT);
    assert_non_null(strstr(error.message, "tokens[4]"));
    assert_int_equal(llmcall_score(engine, NULL, tokens, N, logits, 1, &error), LLMCALL_E_BUFFER);
    assert_int_equal(llmcall_score(engine, "other", tokens, N, logits, 1, &error), LLMCALL_E_NOT_FOUND);
    assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
    assert_int_equal(l.n, 4);
    assert_int_equal(l.n_spans, 4 * LLMCALL_STAGE_COUNT);
    assert_int_equal(l.last.status, LLMCALL_E_NOT_FOUND);
    assert_int_equal(l.n_backwards, 0);
    llmcall_engine_close(&engine);
    assert_int_equal(l.n, 4);
}

/* ---- Progress ---- */

typedef struct progress {
    uint64_t last, total;
    int n_calls, stop_at;
} progress;

static int32_t note_progress(void *user, uint64_t done, uint64_t total) {
    progress *p = user;
    assert_true(done >= p->last);
    p->last = done;
    p->total = total;
    return ++p->n_calls == p->stop_at;
}

/* Whenever it stops, the call ends as cancelled, once, and nothing is left behind. */
static void progress_stops(void **state) {
    (void)state;
    for (int32_t threads = 0; threads <= 2; threads += 2) {
        ledger l = {0};
        LLMCALL_INIT(llmcall_hooks, hooks);
        hooks.user = &l;
        hooks.usage = note_usage;
        llmcall_engine *engine =
            open_engine(&(setup){.threads = threads, .max_step_tokens = 16, .hooks = &hooks, .spec = causal});
        float vectors[MAX_TEXTS * WIDTH];
        size_t n;
        LLMCALL_INIT(llmcall_error, error);
        LLMCALL_INIT(llmcall_usage_record, usage);
        llmcall_embed_request request;
        progress all = {0};
        fill_request(&request, MAX_TEXTS);
        request.progress = note_progress;
        request.progress_user = &all;
        assert_int_equal(llmcall_embed_texts(engine, &request, vectors, MAX_TEXTS * WIDTH, &n, NULL, NULL), LLMCALL_OK);
        assert_int_equal(all.last, MAX_TEXTS);
        assert_int_equal(all.total, MAX_TEXTS);
        assert_true(all.n_calls >= MAX_TEXTS);
        for (int i = 1; i < MAX_TEXTS; i++) {
            progress p = {.stop_at = i};
            request.progress_user = &p;
            assert_int_equal(llmcall_embed_texts(engine, &request, vectors, MAX_TEXTS * WIDTH, &n, &usage, &error),
                             LLMCALL_E_CANCELLED);
            assert_int_equal(p.n_calls, i);
            assert_string_equal(error.param, "progress");
            assert_int_equal(usage.status, LLMCALL_E_CANCELLED);
            assert_int_equal(usage.finish_reason, LLMCALL_FINISH_CANCELLED);
        }
        llmcall_metrics_snapshot metrics;
        setup_metrics(engine, &metrics);
        assert_int_equal(metrics.running + metrics.waiting + metrics.kv_pages_used, 0);
        llmcall_engine_close(&engine);
        assert_int_equal(l.n, MAX_TEXTS);
    }
}

/* More texts than the queue takes: they wait for each other, and that is no error. */
static void a_short_queue(void **state) {
    (void)state;
    float expected[MAX_TEXTS * WIDTH], got[MAX_TEXTS * WIDTH];
    reference(&causal, LLMCALL_POOLING_MEAN, expected);
    for (int32_t threads = 0; threads <= 2; threads++) {
        tiny_gguf file = {0};
        llmcall_engine_options options;
        llmcall_engine_options_defaults(&options);
        options.threads = threads;
        options.max_queue = 1;
        llmcall_engine *engine = setup_engine_with(&file, &options, NULL);
        size_t n;
        LLMCALL_INIT(llmcall_error, error);
        llmcall_embed_request request;
        fill_request(&request, MAX_TEXTS);
        assert_int_equal(llmcall_embed_texts(engine, &request, got, MAX_TEXTS * WIDTH, &n, NULL, &error), LLMCALL_OK);
        assert_int_equal(error.status, LLMCALL_OK);
        assert_string_equal(error.message, "");
        assert_memory_equal(got, expected, sizeof got);
        llmcall_engine_close(&engine);
    }
}

/* ---- Refusals ---- */

static void expect(llmcall_engine *engine, const llmcall_embed_request *request, llmcall_status status, const char *param) {
    float vectors[2 * WIDTH];
    size_t n;
    LLMCALL_INIT(llmcall_error, error);
    assert_int_equal(llmcall_embed_texts(engine, request, vectors, 2 * WIDTH, &n, NULL, &error), status);
    if (strcmp(error.param, param) != 0) fail_msg("%s: %s", error.param, error.message);
}

static void embed_refusals(void **state) {
    (void)state;
    llmcall_engine *engine = open_engine(&(setup){.spec = causal});
    llmcall_embed_request good, r;
    static const int32_t ids[] = {1, 2, TINY_VOCAB};
    static const int32_t *const arrays[] = {ids};
    static const size_t count_bad[] = {3}, count_none[] = {0};
    fill_request(&good, 1);
    const struct {
        size_t offset;
        int64_t value;
        int wide;
        llmcall_status status;
        const char *param;
    } numbers[] = {{offsetof(llmcall_embed_request, pooling), 5, 0, LLMCALL_E_ARGUMENT, "pooling"},
                   {offsetof(llmcall_embed_request, pooling), -1, 0, LLMCALL_E_ARGUMENT, "pooling"},
                   {offsetof(llmcall_embed_request, no_normalize), 2, 0, LLMCALL_E_ARGUMENT, "no_normalize"},
                   {offsetof(llmcall_embed_request, truncate), 2, 0, LLMCALL_E_ARGUMENT, "truncate"},
                   {offsetof(llmcall_embed_request, dimensions), WIDTH + 1, 0, LLMCALL_E_ARGUMENT, "dimensions"},
                   {offsetof(llmcall_embed_request, priority), 101, 0, LLMCALL_E_ARGUMENT, "priority"},
                   {offsetof(llmcall_embed_request, deadline_ms), -1, 1, LLMCALL_E_ARGUMENT, "deadline_ms"},
                   {offsetof(llmcall_embed_request, n_texts), 0, 1, LLMCALL_E_ARGUMENT, "texts"},
                   {offsetof(llmcall_embed_request, n_texts), 65537, 1, LLMCALL_E_ARGUMENT, "texts"},
                   {offsetof(llmcall_embed_request, texts), 0, 1, LLMCALL_E_ARGUMENT, "texts"}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        r = good;
        int32_t narrow = (int32_t)numbers[i].value;
        if (numbers[i].wide) memcpy((char *)&r + numbers[i].offset, &numbers[i].value, sizeof numbers[i].value);
        else memcpy((char *)&r + numbers[i].offset, &narrow, sizeof narrow);
        expect(engine, &r, numbers[i].status, numbers[i].param);
    }
    r = good;
    r.model = "another";
    expect(engine, &r, LLMCALL_E_NOT_FOUND, "model");
    r = good;
    r.texts = (const char *const[]){"\xff"};
    expect(engine, &r, LLMCALL_E_UTF8, "texts");
    r.texts = (const char *const[]){""};
    expect(engine, &r, LLMCALL_E_ARGUMENT, "texts");
    r.texts = (const char *const[]){NULL};
    expect(engine, &r, LLMCALL_E_ARGUMENT, "texts");
    r = good;
    r.tokens = arrays;
    expect(engine, &r, LLMCALL_E_ARGUMENT, "texts");
    r.texts = NULL;
    expect(engine, &r, LLMCALL_E_ARGUMENT, "token_counts");
    r.token_counts = count_bad;
    expect(engine, &r, LLMCALL_E_ARGUMENT, "tokens");
    r.token_counts = count_none;
    expect(engine, &r, LLMCALL_E_ARGUMENT, "tokens");
    fill_request(&r, 3);
    expect(engine, &r, LLMCALL_E_BUFFER, "capacity");
    llmcall_engine_close(&engine);
}

static void nulls_and_sizes(void **state) {
    (void)state;
    llmcall_engine *engine = open_engine(&(setup){.spec = causal});
    float vector[WIDTH], scores[1];
    size_t n = 1;
    llmcall_embed_request request;
    LLMCALL_INIT(llmcall_rerank_request, rerank);
    fill_request(&request, 1);
    assert_int_equal(llmcall_embed_texts(NULL, &request, vector, WIDTH, &n, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_embed_texts(engine, NULL, vector, WIDTH, &n, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_embed_texts(engine, &request, vector, WIDTH, NULL, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_embed_texts(engine, &request, NULL, 0, &n, NULL, NULL), LLMCALL_E_BUFFER);
    assert_int_equal(n, 1);
    request.struct_size = 4;
    assert_int_equal(llmcall_embed_texts(engine, &request, vector, WIDTH, &n, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_embed(engine, NULL, "hello", -1, NULL, 0, &n, NULL), LLMCALL_E_BUFFER);
    assert_int_equal(n, WIDTH);
    assert_int_equal(llmcall_embed(engine, NULL, "hello", -1, vector, WIDTH, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_embed(NULL, NULL, "hello", -1, vector, WIDTH, &n, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_embed(engine, "other", "hello", -1, vector, WIDTH, &n, NULL), LLMCALL_E_NOT_FOUND);
    assert_int_equal(llmcall_embed(engine, "tiny", "hello, and no more", 5, vector, WIDTH, &n, NULL), LLMCALL_OK);
    float same[WIDTH];
    assert_int_equal(llmcall_embed(engine, NULL, "hello", -1, same, WIDTH, &n, NULL), LLMCALL_OK);
    assert_memory_equal(vector, same, sizeof same);
    assert_int_equal(n, WIDTH);
    assert_true(fabs(length_of(vector, WIDTH) - 1) < 1e-6);
    assert_int_equal(llmcall_rerank(NULL, &rerank, scores, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_rerank(engine, NULL, scores, NULL, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_rerank(engine, &rerank, scores, NULL, NULL), LLMCALL_E_ARGUMENT);
    llmcall_engine_close(&engine);
}

/* What does not fit is refused, or cut where that was asked for. */
static void long_texts(void **state) {
    (void)state;
    for (int encoder = 0; encoder <= 1; encoder++) {
        llmcall_engine *engine = open_engine(&(setup){.max_step_tokens = 16, .spec = encoder ? whole : causal});
        static int32_t ids[300];
        for (int i = 0; i < 300; i++) ids[i] = i % 250;
        const int32_t *arrays[] = {ids};
        size_t counts[] = {300}, n;
        float vector[WIDTH], cut[WIDTH];
        LLMCALL_INIT(llmcall_embed_request, request);
        LLMCALL_INIT(llmcall_error, error);
        LLMCALL_INIT(llmcall_usage_record, usage);
        request.tokens = arrays;
        request.token_counts = counts;
        request.n_texts = 1;
        assert_int_equal(llmcall_embed_texts(engine, &request, vector, WIDTH, &n, NULL, &error), LLMCALL_E_CONTEXT_LENGTH);
        assert_non_null(strstr(error.message, "tokens[0] has 300 tokens; the context holds 256"));
        request.truncate = 1;
        assert_int_equal(llmcall_embed_texts(engine, &request, cut, WIDTH, &n, &usage, NULL), LLMCALL_OK);
        assert_int_equal(usage.prompt_tokens, 256);
        counts[0] = 256;
        embed(engine, &request, vector, WIDTH);
        assert_memory_equal(vector, cut, sizeof cut);
        llmcall_engine_close(&engine);
    }
}

static void encoders_do_not_generate(void **state) {
    (void)state;
    llmcall_engine *engine = open_engine(&(setup){.spec = whole});
    static float logits[TINY_VOCAB];
    static const int32_t one[] = {1};
    llmcall_request request;
    llmcall_call *call;
    LLMCALL_INIT(llmcall_error, error);
    setup_request(&request, "hello", 5);
    for (int named = 0; named <= 1; named++) {
        request.model = named ? "tiny" : NULL;
        assert_int_equal(llmcall_start(engine, &request, &call, &error), LLMCALL_E_UNSUPPORTED);
        assert_string_equal(error.code, "no_text_model");
    }
    assert_int_equal(llmcall_score(engine, NULL, one, 1, logits, TINY_VOCAB, &error), LLMCALL_E_UNSUPPORTED);
    LLMCALL_INIT(llmcall_model_info_record, info);
    assert_int_equal(llmcall_model_info(engine, NULL, &info, NULL), LLMCALL_OK);
    assert_int_equal(info.causal, 0);
    llmcall_engine_close(&engine);
}

typedef struct background {
    llmcall_engine *engine;
    llmcall_status status;
} background;

static void embed_much(void *user) {
    background *b = user;
    enum { N = 512 };
    static const char *many[N];
    static float vectors[N * 256];
    size_t n;
    LLMCALL_INIT(llmcall_embed_request, request);
    for (int i = 0; i < N; i++) many[i] = texts[5];
    request.texts = many;
    request.n_texts = N;
    b->status = llmcall_embed_texts(b->engine, &request, vectors, N * 256, &n, NULL, NULL);
}

/* Somebody waits for vectors while the engine is closed: they get an error. */
static void closed_meanwhile(void **state) {
    (void)state;
    ledger l = {0};
    LLMCALL_INIT(llmcall_hooks, hooks);
    hooks.user = &l;
    hooks.usage = note_usage;
    background b = {.engine = open_engine(&(setup){.threads = 2, .hooks = &hooks, .spec = {.n_layers = 8, .width = 256}})};
    llmcall_engine *engine = b.engine;
    llmc_thread thread;
    assert_true(llmc_thread_start(&thread, embed_much, &b, "embed"));
    llmcall_metrics_snapshot metrics;
    do setup_metrics(engine, &metrics);
    while (metrics.steps == 0);
    llmcall_engine_close(&engine);
    llmc_thread_join(&thread);
    assert_int_equal(b.status, LLMCALL_E_CLOSED);
}

static void a_deadline_ends_it(void **state) {
    (void)state;
    llmcall_engine *engine = open_engine(&(setup){.threads = 1, .max_step_tokens = 1, .spec = {.n_layers = 24, .width = 256}});
    static float vectors[MAX_TEXTS * 256];
    size_t n;
    LLMCALL_INIT(llmcall_usage_record, usage);
    llmcall_embed_request request;
    fill_request(&request, MAX_TEXTS);
    request.deadline_ms = 1;
    assert_int_equal(llmcall_embed_texts(engine, &request, vectors, MAX_TEXTS * 256, &n, &usage, NULL), LLMCALL_E_DEADLINE);
    assert_int_equal(usage.status, LLMCALL_E_DEADLINE);
    assert_int_equal(usage.finish_reason, LLMCALL_FINISH_ERROR);
    llmcall_metrics_snapshot metrics;
    setup_metrics(engine, &metrics);
    assert_int_equal(metrics.running + metrics.waiting, 0);
    assert_int_equal(metrics.kv_pages_used, 0);
    llmcall_engine_close(&engine);
}

/* ---- Ranks ---- */

static const tiny_gguf_spec ranker = {.width = 32,
                                      .n_heads = 1,
                                      .extra_tensor = "cls.output.weight",
                                      .set_key = "llama.pooling_type",
                                      .set_type = TINY_U32,
                                      .set_number = 4};

static void ranks(void **state) {
    (void)state;
    llmcall_engine *engine = open_engine(&(setup){.threads = 2, .spec = ranker});
    float scores[MAX_TEXTS], vector[32];
    size_t n;
    LLMCALL_INIT(llmcall_rerank_request, request);
    LLMCALL_INIT(llmcall_error, error);
    LLMCALL_INIT(llmcall_usage_record, usage);
    request.query = "hello";
    request.query_size = -1;
    request.documents = texts;
    request.n_documents = MAX_TEXTS;
    assert_int_equal(llmcall_rerank(engine, &request, scores, &usage, &error), LLMCALL_OK);
    assert_true(usage.prompt_tokens > 0);
    for (size_t i = 0; i < MAX_TEXTS; i++) { /* alone the same, and what the head makes of the last token's vector */
        float alone;
        request.documents = &texts[i];
        request.n_documents = 1;
        assert_int_equal(llmcall_rerank(engine, &request, &alone, NULL, NULL), LLMCALL_OK);
        assert_true(alone == scores[i]);
        LLMCALL_INIT(llmcall_embed_request, embedding);
        int32_t ids[128];
        const int32_t *arrays[] = {ids};
        size_t counts[1], m;
        assert_int_equal(llmcall_tokenize(engine, NULL, "hello", -1, 0, ids, 128, &n, NULL), LLMCALL_OK);
        assert_int_equal(llmcall_tokenize(engine, NULL, texts[i], -1, 0, ids + n, 128 - n, &m, NULL), LLMCALL_OK);
        counts[0] = n + m;
        embedding.tokens = arrays;
        embedding.token_counts = counts;
        embedding.n_texts = 1;
        embedding.no_normalize = 1;
        embedding.pooling = LLMCALL_POOLING_LAST;
        embed(engine, &embedding, vector, 32);
        uint64_t weights = tiny_weight_state("cls.output.weight", 1);
        double sum = 0;
        for (int k = 0; k < 32; k++) sum += (double)tiny_weight(&weights, 0, 1) * (double)vector[k];
        assert_true(fabs(sum - (double)alone) < 1e-5);
    }
    assert_int_equal(llmcall_embed(engine, NULL, "hello", -1, vector, 32, &n, &error), LLMCALL_E_UNSUPPORTED);
    assert_string_equal(error.code, "ranks_only");
    llmcall_engine_close(&engine);
    engine = open_engine(&(setup){.spec = causal});
    assert_int_equal(llmcall_rerank(engine, &request, scores, NULL, &error), LLMCALL_E_UNSUPPORTED);
    assert_string_equal(error.code, "no_rank_head");
    llmcall_engine_close(&engine);
}

/* ---- Models that contradict themselves ---- */

static void expect_load(tiny_gguf_spec spec, llmcall_status status, const char *param) {
    tiny_gguf file;
    llmcall_engine *engine;
    llmcall_model_options model;
    llmcall_engine_options options;
    LLMCALL_INIT(llmcall_error, error);
    llmcall_engine_options_defaults(&options);
    options.threads = 0;
    assert_int_equal(llmcall_engine_open(&options, &engine, NULL), LLMCALL_OK);
    tiny_gguf_build(&file, &spec);
    tiny_gguf_model_options(&file, &model);
    assert_int_equal(llmcall_engine_load(engine, &model, &error), status);
    assert_string_equal(error.param, param);
    tiny_gguf_free(&file);
    llmcall_engine_close(&engine);
}

static void broken_heads(void **state) {
    (void)state;
    tiny_gguf_spec spec = ranker;
    spec.extra_tensor = NULL;
    expect_load(spec, LLMCALL_E_FORMAT, "cls.output.weight");
    spec = ranker;
    spec.set_number = 5;
    expect_load(spec, LLMCALL_E_UNSUPPORTED, "llama.pooling_type");
    spec = ranker;
    spec.width = 64; /* and the tensor has 32 */
    spec.n_heads = 2;
    expect_load(spec, LLMCALL_E_FORMAT, "cls.output.weight");
    spec = ranker;
    spec.extra_tensor = "cls.bias"; /* nothing that it belongs to */
    expect_load(spec, LLMCALL_E_FORMAT, "cls.bias");
    spec = whole;
    spec.set_type = TINY_U32;
    expect_load(spec, LLMCALL_E_FORMAT, "llama.attention.causal");
}

/* ---- Memory ---- */

static int ended(llmcall_status status) {
    if (status) assert_int_equal(status, LLMCALL_E_NO_MEMORY);
    return status != LLMCALL_OK;
}

static void use(llmcall_engine *engine) {
    float vectors[4 * 32];
    size_t n;
    llmcall_embed_request request;
    fill_request(&request, 4);
    request.pooling = LLMCALL_POOLING_LAST;
    request.dimensions = 8;
    (void)ended(llmcall_embed_texts(engine, &request, vectors, 32, &n, NULL, NULL));
    LLMCALL_INIT(llmcall_rerank_request, rerank);
    rerank.query = "<|im_end|>";
    rerank.query_size = -1;
    rerank.documents = texts;
    rerank.n_documents = 3;
    (void)ended(llmcall_rerank(engine, &rerank, vectors, NULL, NULL));
}

/* Counted from the load on: engines as such are engine_memory's. 1 if the failure came. */
static int life(tiny_gguf *file, long fail_at, int for_ever) {
    failing_alloc f;
    llmc_env env;
    failing_alloc_init(&f, &env);
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.threads = 0;
    options.allocate = failing_allocate;
    options.allocate_user = &f;
    llmcall_engine *engine;
    llmcall_model_options model;
    assert_int_equal(llmcall_engine_open(&options, &engine, NULL), LLMCALL_OK);
    tiny_gguf_model_options(file, &model);
    model.kv_bytes = 200000;
    f.count = 0;
    f.fail_at = fail_at;
    f.for_ever = for_ever;
    if (!ended(llmcall_engine_load(engine, &model, NULL))) {
        use(engine);
        llmcall_metrics_snapshot metrics;
        setup_metrics(engine, &metrics);
        assert_int_equal(metrics.kv_pages_used + metrics.running + metrics.waiting, 0);
    }
    llmcall_engine_close(&engine);
    assert_int_equal(f.live, 0);
    return fail_at && f.count >= fail_at;
}

/* The head alone makes it a ranker; with a template of its own the query's control token is shielded. */
static void every_allocation_fails(void **state) {
    (void)state;
    for (int templated = 0; templated <= 1; templated++) {
        tiny_gguf file;
        tiny_gguf_spec spec = ranker;
        spec.n_layers = 1;
        if (templated) {
            spec.set_key = "tokenizer.chat_template.rerank";
            spec.set_type = TINY_STRING;
            spec.set_text = "<|im_start|>{query} in {document}<|im_end|>";
        }
        tiny_gguf_build(&file, &spec);
        for (int for_ever = 0; for_ever <= 1; for_ever++) {
            long n = 1;
            while (life(&file, n, for_ever)) n++;
            assert_true(n > 50);
        }
        tiny_gguf_free(&file);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits),
        cmocka_unit_test(beside_calls),
        cmocka_unit_test(who_sees_whom),
        cmocka_unit_test(poolings_agree),
        cmocka_unit_test(one_bill_a_call),
        cmocka_unit_test(scores_are_billed),
        cmocka_unit_test(progress_stops),
        cmocka_unit_test(a_short_queue),
        cmocka_unit_test(embed_refusals),
        cmocka_unit_test(nulls_and_sizes),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(encoders_do_not_generate),
        cmocka_unit_test(closed_meanwhile),
        cmocka_unit_test(a_deadline_ends_it),
        cmocka_unit_test(ranks),
        cmocka_unit_test(broken_heads),
        cmocka_unit_test(every_allocation_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
