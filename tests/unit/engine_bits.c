/* The same bits: logits and sampled text do not depend on the company, the chunking, the cache, the threads or preemption. */
#include "tests/unit/engine_setup.h"

static const char prompt[] = "the hello on and then in the red, an answer that goes over more than one page of the cache";
enum { N_TOKENS = 40, N_SCORED = 70 };

typedef struct world {
    int32_t threads;
    uint32_t max_step_tokens;
    uint32_t others; /* calls beside it */
    uint32_t n;      /* choices */
    int warm;        /* the prompt was there before */
    uint64_t kv_bytes;
    int matrix_type;
    const char *architecture;
} world;

static llmcall_engine *open_world(const world *w) {
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.threads = w->threads;
    options.max_step_tokens = w->max_step_tokens;
    LLMCALL_INIT(llmcall_model_options, model);
    model.kv_bytes = w->kv_bytes;
    tiny_gguf file;
    tiny_gguf_build(&file, &(tiny_gguf_spec){.matrix_type = w->matrix_type, .architecture = w->architecture});
    return setup_engine_with(&file, &options, &model);
}

static llmcall_call *start_other(llmcall_engine *engine, uint32_t i) {
    static const char *const prompts[] = {"a", "hello hello hello hello hello hello hello hello", "the on", "in the red an"};
    llmcall_request request;
    setup_request(&request, prompts[i % 4], 30 + 5 * (int64_t)i);
    request.seed = i;
    request.priority = i % 2 ? 1 : -1;
    return setup_start(engine, &request);
}

static void ask(const world *w, setup_answer *answer, llmcall_metrics_snapshot *metrics) {
    llmcall_engine *engine = open_world(w);
    llmcall_request request;
    setup_request(&request, prompt, N_TOKENS);
    request.logprobs = 1;
    request.n = w->n ? w->n : 1;
    if (w->warm) setup_run(engine, &request, answer);
    llmcall_call *others[16];
    for (uint32_t i = 0; i < w->others; i++) others[i] = start_other(engine, i);
    setup_run(engine, &request, answer);
    assert_int_equal(answer->usage.cached_tokens > 0, w->warm);
    setup_metrics(engine, metrics);
    setup_answer *other = calloc(1, sizeof *other);
    for (uint32_t i = 0; i < w->others; i++) {
        setup_read(engine, others[i], other);
        assert_int_equal(other->usage.status, LLMCALL_OK);
        llmcall_close(&others[i]);
    }
    free(other);
    llmcall_engine_close(&engine);
}

static const world worlds[] = {
    {.max_step_tokens = 512},
    {.max_step_tokens = 1},
    {.max_step_tokens = 5},
    {.max_step_tokens = 16},
    {.max_step_tokens = 512, .others = 7},
    {.max_step_tokens = 5, .others = 7},
    {.max_step_tokens = 16, .others = 7, .threads = 3},
    {.max_step_tokens = 512, .warm = 1},
    {.max_step_tokens = 16, .warm = 1, .others = 7},
    {.max_step_tokens = 512, .threads = 1},
    {.max_step_tokens = 512, .threads = 2},
    {.max_step_tokens = 512, .threads = 3, .others = 7},
    {.max_step_tokens = 512, .n = 3},
    {.max_step_tokens = 5, .n = 3, .others = 7, .threads = 2},
};

static void same_text(int matrix_type, const char *architecture) {
    setup_answer *first = calloc(2, sizeof *first), *answer = first + 1;
    llmcall_metrics_snapshot metrics;
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
        world w = worlds[i];
        w.matrix_type = matrix_type;
        w.architecture = architecture;
        ask(&w, i ? answer : first, &metrics);
        if (!i) continue;
        assert_int_equal(answer->choice[0].n_tokens, N_TOKENS);
        assert_memory_equal(answer->choice[0].tokens, first->choice[0].tokens, N_TOKENS * sizeof(int32_t));
        assert_memory_equal(answer->choice[0].logprobs, first->choice[0].logprobs, N_TOKENS * sizeof(float));
        assert_string_equal(answer->choice[0].text, first->choice[0].text);
        if (w.n == 3) assert_memory_not_equal(answer->choice[1].tokens, first->choice[0].tokens, N_TOKENS * sizeof(int32_t));
    }
    free(first);
}

static void sampled_text_has_the_same_bits(void **state) {
    (void)state;
    same_text(TINY_TYPE_F32, NULL);
}

static void also_with_quantized_weights(void **state) {
    (void)state;
    same_text(TINY_TYPE_Q8_0, NULL);
}

static void also_with_recurrent_layers(void **state) {
    (void)state;
    same_text(TINY_TYPE_F32, "granitehybrid");
    same_text(TINY_TYPE_Q8_0, "granitehybrid");
}

/* One context of pages for all: they take them from each other. */
static void preempted_text(const char *architecture) {
    setup_answer *first = calloc(2, sizeof *first), *answer = first + 1;
    llmcall_metrics_snapshot metrics;
    ask(&(world){.max_step_tokens = 512, .architecture = architecture}, first, &metrics);
    LLMCALL_INIT(llmcall_memory, memory);
    tiny_gguf file;
    tiny_gguf_build(&file, &(tiny_gguf_spec){.architecture = architecture});
    llmcall_model_options options;
    tiny_gguf_model_options(&file, &options);
    assert_int_equal(llmcall_estimate(NULL, &options, &memory, NULL), LLMCALL_OK);
    tiny_gguf_free(&file);
    uint64_t preemptions = 0;
    for (uint32_t others = 2; others <= 10; others += 4) {
        world w = {.max_step_tokens = 64, .others = others, .architecture = architecture};
        w.kv_bytes = memory.kv_bytes_per_token * 256 * (memory.state_kib ? 2 : 1);
        ask(&w, answer, &metrics);
        preemptions += metrics.preemptions;
        assert_memory_equal(answer->choice[0].tokens, first->choice[0].tokens, N_TOKENS * sizeof(int32_t));
        assert_memory_equal(answer->choice[0].logprobs, first->choice[0].logprobs, N_TOKENS * sizeof(float));
    }
    assert_true(preemptions > 0);
    free(first);
}

static void also_after_preemption(void **state) {
    (void)state;
    preempted_text(NULL);
    preempted_text("granitehybrid");
}

static void score(const world *w, float *logits) {
    int32_t tokens[N_SCORED];
    for (int i = 0; i < N_SCORED; i++) tokens[i] = (i * 31 + 7) % 256;
    llmcall_engine *engine = open_world(w);
    llmcall_call *others[16];
    for (uint32_t i = 0; i < w->others; i++) others[i] = start_other(engine, i);
    if (w->warm) assert_int_equal(llmcall_score(engine, "", tokens, N_SCORED, logits, N_SCORED * TINY_VOCAB, NULL), LLMCALL_OK);
    assert_int_equal(llmcall_score(engine, NULL, tokens, N_SCORED, logits, N_SCORED * TINY_VOCAB, NULL), LLMCALL_OK);
    for (uint32_t i = 0; i < w->others; i++) llmcall_close(&others[i]);
    llmcall_engine_close(&engine);
}

static void scores_have_the_same_bits(void **state) {
    (void)state;
    size_t bytes = N_SCORED * TINY_VOCAB * sizeof(float);
    float *first = malloc(bytes), *logits = malloc(bytes);
    for (size_t i = 0; i < sizeof worlds / sizeof *worlds; i++) {
        memset(logits, 0xff, bytes);
        score(&worlds[i], i ? logits : first);
        if (i) assert_memory_equal(first, logits, bytes);
    }
    free(first);
    free(logits);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sampled_text_has_the_same_bits), cmocka_unit_test(also_with_quantized_weights),
        cmocka_unit_test(also_with_recurrent_layers),     cmocka_unit_test(also_after_preemption),
        cmocka_unit_test(scores_have_the_same_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
