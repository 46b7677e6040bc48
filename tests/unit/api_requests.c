/* What llmcall_start takes and refuses, field by field, and what a call gives: limits, bills, timeline. threads = 0. */
#include "tests/unit/engine_setup.h"

static const char prompt[] = "the hello on and then in the red, an answer that goes over more than one page of the cache";

typedef struct bills {
    int n;
    llmcall_usage_record last;
} bills;

static llmcall_status take_bill(void *user, const llmcall_usage_record *record) {
    bills *b = user;
    b->n++;
    b->last = *record;
    return LLMCALL_OK;
}

static llmcall_engine *open_engine(bills *b, const llmcall_engine_options *more, const llmcall_model_options *model) {
    LLMCALL_INIT(llmcall_hooks, hooks);
    hooks.user = b;
    hooks.usage = take_bill;
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    if (more) options = *more;
    options.threads = 0;
    options.hooks = b ? &hooks : NULL;
    tiny_gguf file = {0};
    return setup_engine_with(&file, &options, model);
}

static void refuse(llmcall_engine *engine, const llmcall_request *request, llmcall_status expected, const char *param) {
    llmcall_call *call = (llmcall_call *)(void *)&call;
    LLMCALL_INIT(llmcall_error, error);
    llmcall_status status = llmcall_start(engine, request, &call, &error);
    if (status != expected) fail_msg("%s: %d, not %d: %s", param ? param : "", status, expected, error.message);
    assert_null(call);
    assert_int_equal(error.status, expected);
    if (param) assert_string_equal(error.param, param);
    assert_true(error.message[0] && error.code[0]);
    assert_int_equal(llmcall_start(engine, request, &call, NULL), expected);
}

enum { F32, I32, U32, I64 };
static const struct {
    const char *name;
    size_t offset;
    int type;
    double low, high; /* what is accepted */
} fields[] = {
#define FIELD(field) #field, offsetof(llmcall_request, field)
    {FIELD(n), U32, 0, 16},
    {FIELD(prompt_special), U32, 0, 1},
    {FIELD(ignore_eos), U32, 0, 1},
    {FIELD(max_tokens), I64, 0, 1e12},
    {FIELD(temperature), F32, 0, 100},
    {FIELD(top_p), F32, 0, 1},
    {FIELD(min_p), F32, 0, 1},
    {FIELD(top_k), I32, 0, 2147483647},
    {FIELD(presence_penalty), F32, -2, 2},
    {FIELD(frequency_penalty), F32, -2, 2},
    {FIELD(repetition_penalty), F32, 0, 100},
    {FIELD(logprobs), I32, 0, 1},
    {FIELD(top_logprobs), I32, 0, 20},
    {FIELD(has_seed), I32, 0, 1},
    {FIELD(response_format), I32, 0, 0},
    {FIELD(priority), I32, -100, 100},
    {FIELD(deadline_ms), I64, 0, 1e12},
};
static const double hostile[] = {0,        -1,        1,          -0.0,          1e-40,        0.5,    2.0001,
                                 -2.0001,  101,       -101,       1e9,           1e38,         -1e38,  NAN,
                                 INFINITY, -INFINITY, 2147483647, -2147483648.0, 4294967295.0, 9.2e18, -9.2e18};

/* Sets the field if its type has the value; 0 if not. */
static int set_field(llmcall_request *request, size_t i, double value) {
    char *at = (char *)request + fields[i].offset;
    float f32 = (float)value;
    if (fields[i].type == F32) return memcpy(at, &f32, sizeof f32), 1;
    if (!isfinite(value) || value != floor(value)) return 0;
    double low = fields[i].type == I32 ? INT32_MIN : fields[i].type == U32 ? 0 : -9.21e18;
    double high = fields[i].type == I32 ? INT32_MAX : fields[i].type == U32 ? UINT32_MAX : 9.21e18;
    if (value < low || value > high) return 0;
    int32_t i32 = fields[i].type == I32 ? (int32_t)value : 0;
    uint32_t u32 = fields[i].type == U32 ? (uint32_t)value : 0;
    int64_t i64 = (int64_t)value;
    if (fields[i].type == I32) memcpy(at, &i32, sizeof i32);
    if (fields[i].type == U32) memcpy(at, &u32, sizeof u32);
    if (fields[i].type == I64) memcpy(at, &i64, sizeof i64);
    return 1;
}

static void every_number_is_checked(void **state) {
    (void)state;
    bills b = {0};
    llmcall_engine *engine = open_engine(&b, NULL, NULL);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        for (size_t v = 0; v < sizeof hostile / sizeof *hostile; v++) {
            llmcall_request request;
            setup_request(&request, "a", 1);
            request.logprobs = fields[i].offset == offsetof(llmcall_request, top_logprobs);
            if (!set_field(&request, i, hostile[v])) continue;
            if (hostile[v] >= fields[i].low && hostile[v] <= fields[i].high) {
                llmcall_call *call = setup_start(engine, &request);
                llmcall_close(&call);
            } else {
                llmcall_status expected = fields[i].offset == offsetof(llmcall_request, response_format) && hostile[v] == 1
                                              ? LLMCALL_E_UNSUPPORTED
                                              : LLMCALL_E_ARGUMENT;
                refuse(engine, &request, expected, fields[i].name);
            }
            for (int32_t busy = 1; busy;) assert_int_equal(llmcall_engine_step(engine, &busy, NULL), LLMCALL_OK);
        }
    }
    llmcall_metrics_snapshot metrics;
    setup_metrics(engine, &metrics);
    assert_int_equal(metrics.calls_started, metrics.calls_finished);
    assert_int_equal(metrics.kv_pages_used, 0);
    llmcall_engine_close(&engine);
}

static void callers_are_checked(void **state) {
    (void)state;
    bills b = {0};
    llmcall_engine *engine = open_engine(&b, NULL, NULL);
    LLMCALL_INIT(llmcall_caller, good);
    good.trace_id = "0123456789ABCDEF0123456789abcdef";
    good.trace_id_size = -1;
    llmcall_request request;
    setup_request(&request, "a", 1);
    llmcall_caller caller = good;
    request.caller = &caller;
    const double distances[] = {NAN, INFINITY, -INFINITY, -1, -1e-9};
    for (size_t i = 0; i < sizeof distances / sizeof *distances; i++) {
        caller.distance_km = distances[i];
        refuse(engine, &request, LLMCALL_E_ARGUMENT, "caller.distance_km");
    }
    caller = good;
    caller.http_ns = -1;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "caller.http_ns");
    caller.http_ns = INT64_MAX;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "caller.http_ns");
    caller = good;
    caller.credential_size = INT64_MIN;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "caller.credential_size");
    assert_int_equal(b.n, 0);
    caller = good;
    caller.distance_km = 1000;
    caller.http_ns = 5000;
    setup_answer *answer = calloc(1, sizeof *answer);
    llmcall_call *call = setup_start(engine, &request);
    setup_read(engine, call, answer);
    assert_string_equal(answer->usage.trace_id, "0123456789abcdef0123456789abcdef");
    llmcall_span spans[LLMCALL_STAGE_COUNT];
    llmcall_init(spans, sizeof *spans);
    size_t n;
    assert_int_equal(llmcall_timeline(call, spans, LLMCALL_STAGE_COUNT, &n, NULL), LLMCALL_OK);
    assert_int_equal(spans[1].start_ns, -5000);
    assert_int_equal(spans[1].busy_ns, 5000);
    assert_int_equal(spans[0].end_ns, -5000);
    assert_true(spans[0].busy_ns >= 10000000);
    llmcall_close(&call);
    free(answer);
    llmcall_engine_close(&engine);
}

static void exactly_one_input(void **state) {
    (void)state;
    bills b = {0};
    llmcall_engine *engine = open_engine(&b, NULL, NULL);
    LLMCALL_INIT(llmcall_message, message);
    message.role = "user";
    message.content = "hello";
    message.content_size = -1;
    static const int32_t tokens[] = {1, 2, 3}, outside[] = {1, TINY_VOCAB}, negative[] = {-1};
    for (int set = 0; set < 8; set++) {
        llmcall_request request;
        setup_request(&request, set & 1 ? "a" : NULL, 1);
        if (set & 2) request.tokens = tokens, request.n_tokens = 3;
        if (set & 4) request.messages = &message, request.n_messages = 1;
        if (set == 1 || set == 2 || set == 4) {
            llmcall_call *call = setup_start(engine, &request);
            llmcall_close(&call);
        } else {
            refuse(engine, &request, LLMCALL_E_ARGUMENT, "messages");
        }
    }
    llmcall_request request;
    setup_request(&request, "", 1);
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "prompt");
    request.prompt = "a\xff";
    refuse(engine, &request, LLMCALL_E_UTF8, "prompt");
    request.prompt_size = -2;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "prompt");
    setup_request(&request, NULL, 1);
    request.tokens = tokens;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "tokens");
    request.n_tokens = SIZE_MAX;
    refuse(engine, &request, LLMCALL_E_CONTEXT_LENGTH, "tokens");
    request.tokens = outside;
    request.n_tokens = 2;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "tokens");
    request.tokens = negative;
    request.n_tokens = 1;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "tokens");
    setup_request(&request, NULL, 1);
    request.messages = &message;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "messages");
    request.n_messages = SIZE_MAX;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "messages");
    request.n_messages = 1;
    message.content = NULL;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "messages.content");
    message.content = "hello";
    message.role = NULL;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "messages.role");
    message.struct_size = 3;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, NULL);
    llmcall_engine_close(&engine);
}

static void what_is_not_served_is_named(void **state) {
    (void)state;
    llmcall_engine *engine = open_engine(NULL, NULL, NULL);
    llmcall_request request;
    setup_request(&request, "a", 1);
    request.tools_json = "[]";
    refuse(engine, &request, LLMCALL_E_UNSUPPORTED, "tools_json");
    setup_request(&request, "a", 1);
    request.tool_choice = "auto";
    refuse(engine, &request, LLMCALL_E_UNSUPPORTED, "tool_choice");
    setup_request(&request, "a", 1);
    request.response_schema = "{}";
    refuse(engine, &request, LLMCALL_E_UNSUPPORTED, "response_schema");
    setup_request(&request, "a", 1);
    request.top_logprobs = 2;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "top_logprobs");
    const char *stops[17];
    for (int i = 0; i < 17; i++) stops[i] = "x";
    setup_request(&request, "a", 1);
    request.n_stop = 1;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "stop");
    request.stop = stops;
    request.n_stop = 17;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "stop");
    request.n_stop = 2;
    stops[1] = "";
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "stop");
    stops[1] = NULL;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "stop");
    stops[1] = "\xc3";
    refuse(engine, &request, LLMCALL_E_UTF8, "stop");
    llmcall_logit_bias bias = {TINY_VOCAB, 1};
    setup_request(&request, "a", 1);
    request.n_logit_bias = 1;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "logit_bias");
    request.logit_bias = &bias;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "logit_bias");
    bias.token = -1;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "logit_bias");
    bias = (llmcall_logit_bias){1, NAN};
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "logit_bias");
    llmcall_engine_close(&engine);
}

/* A bias of 100 decides what is said; what it says can be stopped, also when the string is spread over tokens. */
static void bias_forces_and_stop_stops(void **state) {
    (void)state;
    llmcall_engine *engine = open_engine(NULL, NULL, NULL);
    llmcall_logit_bias bias = {'b', 100};
    llmcall_request request;
    setup_answer *answer = calloc(1, sizeof *answer);
    setup_request(&request, prompt, 6);
    request.logit_bias = &bias;
    request.n_logit_bias = 1;
    setup_run(engine, &request, answer);
    assert_string_equal(answer->choice[0].text, "bbbbbb");
    assert_int_equal(answer->choice[0].finish, LLMCALL_FINISH_LENGTH);
    static const char *const stops[] = {"xx", "bbb"};
    request.stop = stops;
    request.n_stop = 2;
    setup_run(engine, &request, answer);
    assert_string_equal(answer->choice[0].text, "");
    assert_int_equal(answer->choice[0].finish, LLMCALL_FINISH_STOP);
    assert_int_equal(answer->usage.completion_tokens, 3);
    /* Two of three: held back until the end shows that it was no stop. */
    request.max_tokens = 2;
    setup_run(engine, &request, answer);
    assert_string_equal(answer->choice[0].text, "bb");
    assert_int_equal(answer->choice[0].finish, LLMCALL_FINISH_LENGTH);
    bias.token = TINY_IM_END;
    request.max_tokens = 5;
    request.ignore_eos = 0;
    setup_run(engine, &request, answer);
    assert_int_equal(answer->choice[0].finish, LLMCALL_FINISH_STOP);
    assert_int_equal(answer->choice[0].size, 0);
    request.ignore_eos = 1;
    setup_run(engine, &request, answer);
    assert_int_equal(answer->choice[0].finish, LLMCALL_FINISH_LENGTH);
    assert_int_equal(answer->choice[0].n_tokens, 5);
    free(answer);
    llmcall_engine_close(&engine);
}

/* Refused after admission: billed, with nothing but the status. Refused before: not. */
static void refusals_are_billed(void **state) {
    (void)state;
    bills b = {0};
    llmcall_engine *engine = open_engine(&b, NULL, NULL);
    llmcall_request request;
    setup_request(&request, "a", 1);
    request.temperature = -1;
    llmcall_call *call;
    assert_int_equal(llmcall_start(engine, &request, &call, NULL), LLMCALL_E_ARGUMENT);
    int32_t busy;
    assert_int_equal(llmcall_engine_step(engine, &busy, NULL), LLMCALL_OK);
    assert_int_equal(b.n, 1);
    assert_int_equal(b.last.status, LLMCALL_E_ARGUMENT);
    assert_int_equal(b.last.finish_reason, LLMCALL_FINISH_ERROR);
    assert_string_equal(b.last.tenant, "default");
    assert_int_equal(b.last.prompt_tokens + b.last.completion_tokens, 0);
    setup_request(&request, "a", 1);
    request.model = "nobody";
    assert_int_equal(llmcall_start(engine, &request, &call, NULL), LLMCALL_E_NOT_FOUND);
    request.struct_size = 1;
    assert_int_equal(llmcall_start(engine, &request, &call, NULL), LLMCALL_E_ARGUMENT);
    llmcall_engine_close(&engine);
    assert_int_equal(b.n, 2);
    assert_int_equal(b.last.status, LLMCALL_E_NOT_FOUND);
}

static void a_full_queue_says_when(void **state) {
    (void)state;
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.max_queue = 2;
    options.max_sequences = 1;
    options.max_choices = 3;
    bills b = {0};
    llmcall_engine *engine = open_engine(&b, &options, NULL);
    llmcall_request request;
    setup_request(&request, "a", 3);
    llmcall_call *calls[2] = {setup_start(engine, &request), setup_start(engine, &request)}, *more;
    LLMCALL_INIT(llmcall_error, error);
    assert_int_equal(llmcall_start(engine, &request, &more, &error), LLMCALL_E_QUEUE_FULL);
    assert_true(error.retry_after_ms > 0);
    assert_int_equal(error.http_status, 503);
    char small[offsetof(llmcall_error, retry_after_ms)]; /* an error of an older version */
    uint32_t size = sizeof small;
    memcpy(small, &size, sizeof size);
    assert_int_equal(llmcall_start(engine, &request, &more, (llmcall_error *)(void *)small), LLMCALL_E_QUEUE_FULL);
    request.n = 4;
    refuse(engine, &request, LLMCALL_E_ARGUMENT, "n");
    llmcall_metrics_snapshot metrics;
    setup_metrics(engine, &metrics);
    assert_int_equal(metrics.waiting, 2);
    setup_answer *answer = calloc(1, sizeof *answer);
    for (int i = 0; i < 2; i++) {
        setup_read(engine, calls[i], answer);
        assert_int_equal(answer->usage.status, LLMCALL_OK);
        llmcall_close(&calls[i]);
    }
    free(answer);
    llmcall_engine_close(&engine);
    assert_int_equal(b.n, 6);
}

static int64_t now_ns = 1000000;
static int64_t test_clock(void *user) {
    (void)user;
    return now_ns += 10;
}

static void deadlines_end_calls(void **state) {
    (void)state;
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.clock = test_clock;
    bills b = {0};
    llmcall_engine *engine = open_engine(&b, &options, NULL);
    llmcall_request request;
    setup_request(&request, prompt, 0);
    request.deadline_ms = 50;
    llmcall_call *running = setup_start(engine, &request), *waiting;
    for (int i = 0; i < 4; i++) assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
    waiting = setup_start(engine, &request);
    now_ns += 60 * INT64_C(1000000);
    int32_t busy;
    assert_int_equal(llmcall_engine_step(engine, &busy, NULL), LLMCALL_OK);
    assert_int_equal(busy, 0);
    setup_answer *answer = calloc(1, sizeof *answer);
    for (int i = 0; i < 2; i++) {
        setup_read(engine, i ? waiting : running, answer);
        assert_int_equal(answer->usage.status, LLMCALL_E_DEADLINE);
        assert_int_equal(answer->error_status, LLMCALL_E_DEADLINE);
        assert_int_equal(answer->n_error, 1);
        assert_int_equal(answer->choice[0].finish, LLMCALL_FINISH_ERROR);
        assert_int_equal(answer->usage.prompt_tokens > 0, !i); /* the second was never computed */
        assert_int_equal(answer->choice[0].n_tokens, i ? 0 : 4);
    }
    llmcall_metrics_snapshot metrics;
    setup_metrics(engine, &metrics);
    assert_int_equal(metrics.kv_pages_used, 0);
    assert_int_equal(metrics.calls_failed, 2);
    llmcall_close(&running);
    llmcall_close(&waiting);
    free(answer);
    llmcall_engine_close(&engine);
    assert_int_equal(b.n, 2);
}

/* In the queue, in a chunked prefill and in decode: one step later the pages are free and the end can be read. */
static void cancel_takes_one_step(void **state) {
    (void)state;
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.max_step_tokens = 16;
    llmcall_engine *engine = open_engine(NULL, &options, NULL);
    setup_answer *answer = calloc(1, sizeof *answer);
    for (int steps = 0; steps < 8; steps++) {
        llmcall_request request;
        setup_request(&request, prompt, 0);
        request.n = 2;
        llmcall_call *call = setup_start(engine, &request);
        llmcall_metrics_snapshot metrics;
        for (int i = 0; i < steps; i++) assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
        setup_metrics(engine, &metrics);
        assert_int_equal(metrics.kv_pages_used > 0, steps > 0);
        llmcall_cancel(call);
        llmcall_cancel(call);
        int32_t busy;
        assert_int_equal(llmcall_engine_step(engine, &busy, NULL), LLMCALL_OK);
        assert_int_equal(busy, 0);
        setup_metrics(engine, &metrics);
        assert_int_equal(metrics.kv_pages_used, 0);
        assert_int_equal(metrics.calls_cancelled, (uint64_t)steps + 1);
        setup_read(NULL, call, answer);
        assert_int_equal(answer->n_finish, 2);
        assert_int_equal(answer->choice[1].finish, LLMCALL_FINISH_CANCELLED);
        assert_int_equal(answer->usage.status, LLMCALL_E_CANCELLED);
        assert_int_equal(answer->usage.finish_reason, LLMCALL_FINISH_CANCELLED);
        assert_int_equal(answer->n_error, 0);
        assert_int_equal(answer->usage.completion_tokens, answer->choice[0].n_tokens + answer->choice[1].n_tokens);
        llmcall_close(&call);
    }
    free(answer);
    llmcall_engine_close(&engine);
}

static void the_context_is_the_limit(void **state) {
    (void)state;
    llmcall_engine *engine = open_engine(NULL, NULL, NULL);
    int32_t *tokens = calloc(300, sizeof *tokens);
    llmcall_request request;
    setup_request(&request, NULL, 0);
    request.tokens = tokens;
    request.n_tokens = 256;
    refuse(engine, &request, LLMCALL_E_CONTEXT_LENGTH, "tokens");
    setup_answer *answer = calloc(1, sizeof *answer);
    request.n_tokens = 255;
    setup_run(engine, &request, answer);
    assert_int_equal(answer->choice[0].n_tokens, 1);
    assert_int_equal(answer->choice[0].finish, LLMCALL_FINISH_LENGTH);
    request.n_tokens = 200;
    setup_run(engine, &request, answer);
    assert_int_equal(answer->choice[0].n_tokens, 56);
    char *words = malloc(1001);
    memset(words, 'z', 1000);
    words[1000] = 0;
    setup_request(&request, words, 0);
    refuse(engine, &request, LLMCALL_E_CONTEXT_LENGTH, "prompt");
    float logits[1];
    assert_int_equal(llmcall_score(engine, NULL, tokens, 300, logits, 1, NULL), LLMCALL_E_CONTEXT_LENGTH);
    tokens[1] = -5;
    float *room = malloc(2 * TINY_VOCAB * sizeof *room);
    assert_int_equal(llmcall_score(engine, NULL, tokens, 2, room, 2 * TINY_VOCAB, NULL), LLMCALL_E_ARGUMENT);
    free(room);
    free(words);
    free(tokens);
    free(answer);
    llmcall_engine_close(&engine);
}

static void check_spans(const llmcall_span *spans, size_t n, const llmcall_usage_record *record) {
    int64_t cost = 0;
    assert_int_equal(n, LLMCALL_STAGE_COUNT);
    for (int32_t i = 0; i < LLMCALL_STAGE_COUNT; i++) {
        assert_int_equal(spans[i].stage, i + 1);
        assert_true(spans[i].start_ns <= spans[i].end_ns);
        assert_true(spans[i].busy_ns >= 0 && spans[i].busy_ns <= spans[i].end_ns - spans[i].start_ns);
        if (i && i != LLMCALL_STAGE_BILL - 1) assert_true(spans[i].start_ns >= spans[i - 1].start_ns);
        cost += spans[i].cost_nano;
    }
    assert_int_equal(cost, record->cost_nano);
    assert_int_equal(spans[LLMCALL_STAGE_CACHE - 1].tokens, record->cached_tokens);
    assert_int_equal(spans[LLMCALL_STAGE_PREFILL - 1].tokens, record->prompt_tokens - record->cached_tokens);
    assert_int_equal(spans[LLMCALL_STAGE_DECODE - 1].tokens, record->completion_tokens);
    assert_int_equal(spans[LLMCALL_STAGE_QUEUE - 1].busy_ns, record->queue_ns);
    assert_true(spans[LLMCALL_STAGE_BILL - 1].start_ns >= record->first_token_ns);
}

static void the_bill_and_the_timeline_agree(void **state) {
    (void)state;
    LLMCALL_INIT(llmcall_model_options, model);
    model.price_prompt = 3000000;
    model.price_cached = 1000001;
    model.price_completion = 15000000;
    llmcall_engine *engine = open_engine(NULL, NULL, &model);
    setup_answer *answer = calloc(1, sizeof *answer);
    for (int round = 0; round < 3; round++) {
        llmcall_request request;
        setup_request(&request, prompt, 10);
        request.n = 2;
        llmcall_logit_bias bias = {TINY_IM_END, 100};
        request.logit_bias = &bias;
        request.n_logit_bias = round == 2; /* ends at once: no text, all stages */
        request.ignore_eos = round != 2;
        llmcall_call *call = setup_start(engine, &request);
        setup_read(engine, call, answer);
        const llmcall_usage_record *u = &answer->usage;
        assert_int_equal(u->cached_tokens, round ? 48 : 0);
        assert_int_equal(u->completion_tokens, round == 2 ? 2 : 20);
        assert_int_equal(u->cost_prompt_nano, 3 * (u->prompt_tokens - u->cached_tokens));
        assert_int_equal(u->cost_cached_nano, u->cached_tokens);
        assert_int_equal(u->cost_completion_nano, 15 * u->completion_tokens);
        assert_int_equal(u->cost_nano, u->cost_prompt_nano + u->cost_cached_nano + u->cost_completion_nano);
        assert_true(u->first_token_ns > 0 && u->total_ns >= u->first_token_ns && u->queue_ns >= 0);
        assert_int_equal(strncmp(u->call_id, "call_", 5), 0);
        assert_string_equal(u->model, "tiny");
        llmcall_span spans[LLMCALL_STAGE_COUNT];
        llmcall_init(spans, sizeof *spans);
        size_t n;
        assert_int_equal(llmcall_timeline(call, spans, LLMCALL_STAGE_COUNT, &n, NULL), LLMCALL_OK);
        check_spans(spans, n, u);
        LLMCALL_INIT(llmcall_usage_record, record);
        assert_int_equal(llmcall_usage(call, &record, NULL), LLMCALL_OK);
        assert_memory_equal(&record, u, sizeof record);
        llmcall_close(&call);
    }
    free(answer);
    llmcall_engine_close(&engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_number_is_checked),
        cmocka_unit_test(callers_are_checked),
        cmocka_unit_test(exactly_one_input),
        cmocka_unit_test(what_is_not_served_is_named),
        cmocka_unit_test(bias_forces_and_stop_stops),
        cmocka_unit_test(refusals_are_billed),
        cmocka_unit_test(a_full_queue_says_when),
        cmocka_unit_test(deadlines_end_calls),
        cmocka_unit_test(cancel_takes_one_step),
        cmocka_unit_test(the_context_is_the_limit),
        cmocka_unit_test(the_bill_and_the_timeline_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
