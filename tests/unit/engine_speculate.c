/* Speculation changes no bit of an answer: greedy and sampled, with stop strings, choices, log-probabilities, penalties, little
 * memory, company, hooks, cancel. A bias towards a few tokens makes the tiny model repeat itself, so that drafts are accepted. */
#include "tests/unit/engine_setup.h"

static const char prompt[] = "the hello on and then in the red, the hello on and then in the blue, the hello on and";
enum { N_TOKENS = 120 };

typedef struct world {
    const char *name;
    int32_t threads;
    uint32_t max_step_tokens, max_sequences;
    uint32_t others; /* calls beside it, some with drafts of their own */
    uint64_t kv_tokens;
    int hooked;
} world;

typedef struct question {
    const char *name;
    float temperature, repetition_penalty, frequency_penalty;
    uint32_t n;
    int64_t max_tokens;
    const char *stop;
    int eos;         /* an end-of-text token ends it */
    uint32_t n_bias; /* the answer is made of so many tokens; 0: of all */
} question;

static const world worlds[] = {
    {.name = "alone", .max_step_tokens = 512},
    {.name = "one token a step", .max_step_tokens = 1},
    {.name = "five tokens a step", .max_step_tokens = 5},
    {.name = "one sequence", .max_step_tokens = 64, .max_sequences = 1},
    {.name = "company", .max_step_tokens = 64, .others = 3},
    {.name = "much company", .max_step_tokens = 64, .others = 12},
    {.name = "threads", .max_step_tokens = 64, .others = 3, .threads = 2},
    {.name = "little memory", .max_step_tokens = 64, .others = 6, .kv_tokens = 256},
    {.name = "hooked", .max_step_tokens = 64, .hooked = 1},
    {.name = "hooked threads", .max_step_tokens = 64, .others = 2, .threads = 2, .hooked = 1},
};

static const question questions[] = {
    {.name = "greedy", .max_tokens = N_TOKENS, .n_bias = 2},
    {.name = "greedy, free", .max_tokens = N_TOKENS},
    {.name = "one word", .max_tokens = N_TOKENS, .n_bias = 1},
    {.name = "cold", .temperature = 0.2f, .max_tokens = N_TOKENS, .n_bias = 2},
    {.name = "sampled", .temperature = 1, .max_tokens = N_TOKENS, .n_bias = 3},
    {.name = "sampled, free", .temperature = 1, .max_tokens = N_TOKENS},
    {.name = "choices", .temperature = 0.3f, .n = 3, .max_tokens = N_TOKENS, .n_bias = 2},
    {.name = "penalties",
     .temperature = 0.5f,
     .repetition_penalty = 1.1f,
     .frequency_penalty = 0.2f,
     .max_tokens = N_TOKENS,
     .n_bias = 4},
    {.name = "one token", .max_tokens = 1, .n_bias = 1},
    {.name = "two tokens", .max_tokens = 2, .n_bias = 1},
    {.name = "three tokens", .max_tokens = 3, .n_bias = 1},
    {.name = "whole context", .n_bias = 1},
    {.name = "stop string", .max_tokens = N_TOKENS, .stop = "?", .n_bias = 2}, /* what the answer has is put in */
    {.name = "end of text", .temperature = 1.5f, .max_tokens = 400, .eos = 1},
};

static llmcall_status pass_moderate(void *user, const llmcall_moderation_request *request, llmcall_moderation *verdict) {
    return llmcall_default_moderate(user, request, verdict);
}

static uint64_t bytes_per_token(void) {
    LLMCALL_INIT(llmcall_memory, memory);
    tiny_gguf file;
    tiny_gguf_build(&file, &(tiny_gguf_spec){0});
    llmcall_model_options options;
    tiny_gguf_model_options(&file, &options);
    assert_int_equal(llmcall_estimate(NULL, &options, &memory, NULL), LLMCALL_OK);
    tiny_gguf_free(&file);
    return memory.kv_bytes_per_token;
}

static llmcall_engine *open_world(const world *w) {
    LLMCALL_INIT(llmcall_hooks, hooks);
    hooks.moderate = w->hooked ? pass_moderate : NULL;
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.threads = w->threads;
    options.max_step_tokens = w->max_step_tokens;
    options.max_sequences = w->max_sequences;
    options.hooks = &hooks;
    LLMCALL_INIT(llmcall_model_options, model);
    model.kv_bytes = w->kv_tokens ? w->kv_tokens * bytes_per_token() : 0;
    tiny_gguf file = {0};
    return setup_engine_with(&file, &options, &model);
}

/* Towards the first tokens of a text. */
static void set_bias(llmcall_engine *engine, llmcall_request *request, llmcall_logit_bias *bias, uint32_t n) {
    int32_t tokens[64];
    size_t n_tokens;
    assert_int_equal(llmcall_tokenize(engine, NULL, "xyzw", -1, 0, tokens, 64, &n_tokens, NULL), LLMCALL_OK);
    assert_true(n <= n_tokens);
    for (uint32_t i = 0; i < n; i++) bias[i] = (llmcall_logit_bias){tokens[i], 100};
    request->logit_bias = bias;
    request->n_logit_bias = n;
}

static llmcall_call *start_other(llmcall_engine *engine, uint32_t i) {
    static const char *const prompts[] = {"a", "hello hello hello hello hello", "the on", "in the red an"};
    llmcall_request request;
    setup_request(&request, prompts[i % 4], 60 + 5 * (int64_t)i);
    request.temperature = i % 3 ? 0 : 1;
    request.priority = i % 2 ? 1 : -1;
    request.speculate = i % 2 ? 7 : 0;
    return setup_start(engine, &request);
}

static void ask(const world *w, const question *q, uint32_t speculate, setup_answer *answer) {
    llmcall_engine *engine = open_world(w);
    llmcall_request request;
    setup_request(&request, prompt, q->max_tokens);
    request.n = q->n;
    request.temperature = q->temperature;
    request.repetition_penalty = q->repetition_penalty;
    request.frequency_penalty = q->frequency_penalty;
    request.logprobs = 1;
    request.top_logprobs = 3;
    request.ignore_eos = !q->eos;
    request.stop = &q->stop;
    request.n_stop = q->stop != NULL;
    request.speculate = speculate;
    llmcall_logit_bias bias[4];
    set_bias(engine, &request, bias, q->n_bias);
    llmcall_call *others[16];
    for (uint32_t i = 0; i < w->others; i++) others[i] = start_other(engine, i);
    setup_run(engine, &request, answer);
    for (uint32_t i = 0; i < w->others; i++) llmcall_close(&others[i]);
    llmcall_engine_close(&engine);
}

static void expect_same(const setup_answer *a, const setup_answer *b, uint32_t n) {
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(a->choice[i].n_tokens, b->choice[i].n_tokens);
        assert_memory_equal(a->choice[i].tokens, b->choice[i].tokens, a->choice[i].n_tokens * sizeof(int32_t));
        assert_memory_equal(a->choice[i].logprobs, b->choice[i].logprobs, a->choice[i].n_tokens * sizeof(float));
        assert_string_equal(a->choice[i].text, b->choice[i].text);
        assert_int_equal(a->choice[i].finish, b->choice[i].finish);
    }
    assert_int_equal(a->usage.completion_tokens, b->usage.completion_tokens);
    assert_int_equal(a->usage.cost_nano, b->usage.cost_nano);
    assert_true(b->usage.accepted_tokens <= b->usage.draft_tokens);
    assert_true(b->usage.accepted_tokens <= b->usage.completion_tokens);
}

/* Four bytes from the middle of the greedy answer. */
static void find_stop(char stop[5]) {
    setup_answer *answer = calloc(1, sizeof *answer);
    ask(&worlds[0], &questions[0], 0, answer);
    assert_true(answer->choice[0].size > 40);
    memcpy(stop, answer->choice[0].text + 30, 4);
    stop[4] = 0;
    free(answer);
}

static void answers_are_the_same_bits(void **state) {
    (void)state;
    char stop[5];
    find_stop(stop);
    setup_answer *plain = calloc(2, sizeof *plain), *answer = plain + 1;
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        question q = questions[i];
        if (q.stop) q.stop = stop;
        ask(&worlds[0], &q, 0, plain);
        assert_int_equal(plain->usage.draft_tokens, 0);
        uint64_t accepted = 0, drafts = 0;
        for (size_t k = 0; k < sizeof worlds / sizeof *worlds; k++) {
            if (worlds[k].kv_tokens && q.max_tokens == 0) continue; /* fewer pages than the context are another limit */
            for (uint32_t speculate = 1; speculate <= 15; speculate += 7) {
                ask(&worlds[k], &q, speculate, answer);
                expect_same(plain, answer, q.n ? q.n : 1);
                accepted += answer->usage.accepted_tokens;
                drafts += answer->usage.draft_tokens;
            }
        }
        print_message("%-14s %4llu of %5llu drafts\n", q.name, (unsigned long long)accepted, (unsigned long long)drafts);
        if (i == 0) assert_true(accepted > N_TOKENS);
        if (q.max_tokens == 1) assert_int_equal(drafts, 0);
    }
    free(plain);
}

/* Fewer steps than tokens, by as many as were accepted. */
static void accepted_tokens_take_no_step(void **state) {
    (void)state;
    uint64_t steps[2];
    setup_answer *answer = calloc(1, sizeof *answer);
    for (uint32_t on = 0; on <= 1; on++) {
        llmcall_engine *engine = open_world(&worlds[0]);
        llmcall_request request;
        setup_request(&request, prompt, N_TOKENS);
        request.temperature = 0;
        request.speculate = on * 15;
        llmcall_logit_bias bias[2];
        set_bias(engine, &request, bias, 2);
        setup_run(engine, &request, answer);
        llmcall_metrics_snapshot metrics;
        setup_metrics(engine, &metrics);
        steps[on] = metrics.steps;
        assert_int_equal(metrics.draft_tokens, answer->usage.draft_tokens);
        assert_int_equal(metrics.accepted_tokens, answer->usage.accepted_tokens);
        assert_int_equal(metrics.kv_pages_used, 0);
        llmcall_engine_close(&engine);
    }
    assert_true(answer->usage.accepted_tokens > 20);
    assert_int_equal(steps[1] + answer->usage.accepted_tokens, steps[0]);
    free(answer);
}

/* What a call with drafts leaves in the prefix cache serves another one with the right bits. */
static void cached_pages_hold_no_draft(void **state) {
    (void)state;
    setup_answer *plain = calloc(2, sizeof *plain), *answer = plain + 1;
    int32_t tokens[400];
    size_t n;
    for (uint32_t on = 0; on <= 1; on++) {
        llmcall_engine *engine = open_world(&worlds[0]);
        llmcall_request request;
        setup_request(&request, prompt, N_TOKENS);
        request.temperature = 0.4f;
        request.speculate = on * 15;
        llmcall_logit_bias bias[2];
        set_bias(engine, &request, bias, 2);
        setup_run(engine, &request, answer);
        assert_int_equal(llmcall_tokenize(engine, NULL, prompt, -1, LLMCALL_TOKENIZE_BOS_EOS, tokens, 200, &n, NULL),
                         LLMCALL_OK);
        memcpy(tokens + n, answer->choice[0].tokens, N_TOKENS * sizeof *tokens);
        setup_request(&request, NULL, 40);
        request.prompt_size = 0;
        request.tokens = tokens;
        request.n_tokens = n + N_TOKENS;
        request.logprobs = 1;
        setup_run(engine, &request, on ? answer : plain);
        assert_true((on ? answer : plain)->usage.cached_tokens > n);
        llmcall_engine_close(&engine);
    }
    expect_same(plain, answer, 1);
    free(plain);
}

static void cancel_ends_it(void **state) {
    (void)state;
    setup_answer *answer = calloc(1, sizeof *answer);
    for (int steps = 1; steps < 12; steps++) {
        llmcall_engine *engine = open_world(&worlds[0]);
        llmcall_request request;
        setup_request(&request, prompt, 300);
        request.temperature = 0;
        request.speculate = 15;
        llmcall_logit_bias bias[1];
        set_bias(engine, &request, bias, 1);
        llmcall_call *call = setup_start(engine, &request);
        for (int i = 0; i < steps; i++) assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
        llmcall_cancel(call);
        setup_read(engine, call, answer);
        assert_int_equal(answer->choice[0].finish, LLMCALL_FINISH_CANCELLED);
        llmcall_metrics_snapshot metrics;
        setup_metrics(engine, &metrics);
        assert_int_equal(metrics.kv_pages_used, 0);
        llmcall_close(&call);
        llmcall_engine_close(&engine);
    }
    free(answer);
}

static void out_of_range_is_refused(void **state) {
    (void)state;
    llmcall_engine *engine = open_world(&worlds[0]);
    llmcall_request request;
    setup_request(&request, prompt, 5);
    request.speculate = 16;
    llmcall_call *call = NULL;
    LLMCALL_INIT(llmcall_error, error);
    assert_int_equal(llmcall_start(engine, &request, &call, &error), LLMCALL_E_ARGUMENT);
    assert_string_equal(error.param, "speculate");
    llmcall_engine_close(&engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same_bits),  cmocka_unit_test(accepted_tokens_take_no_step),
        cmocka_unit_test(cached_pages_hold_no_draft), cmocka_unit_test(cancel_ends_it),
        cmocka_unit_test(out_of_range_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
