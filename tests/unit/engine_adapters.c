/* LoRA adapters in the engine: batched with each other to the same bits, loaded and unloaded while calls run, malformed ones, and
 * memory that runs out. */
#include <stdatomic.h>

#include "core/thread.h"
#include "tests/unit/adapter_bytes.h"
#include "tests/unit/engine_setup.h"
#include "tests/unit/failing_alloc.h"

_Static_assert(TINY_VOCAB == 272, "tensors of adapter_bytes.h have a row for every token");

static llmcall_status load(llmcall_engine *engine, const char *name, uint32_t seed, llmcall_error *error) {
    gguf_bytes file = {0};
    put_adapter(&file, tiny_adapter, TINY_ADAPTER_MATRICES, seed);
    llmcall_reader reader = gguf_bytes_reader(&file);
    llmcall_adapter_options options = adapter_options(&reader, name);
    llmcall_status status = llmcall_engine_load_adapter(engine, &options, error);
    gguf_bytes_free(&file);
    return status;
}

static void load_good(llmcall_engine *engine, const char *name, uint32_t seed) {
    LLMCALL_INIT(llmcall_error, error);
    if (load(engine, name, seed, &error)) fail_msg("%s: %s", name, error.message);
}

static void ask(llmcall_request *request, const char *adapter, float scale) {
    setup_request(request, "hello there, on and on and then some more", 24);
    request->logprobs = 1;
    request->adapter = adapter;
    request->adapter_scale = scale;
}

static void assert_same(const setup_answer *a, const setup_answer *b) {
    assert_int_equal(a->choice[0].n_tokens, b->choice[0].n_tokens);
    assert_memory_equal(a->choice[0].tokens, b->choice[0].tokens, a->choice[0].n_tokens * sizeof(int32_t));
    assert_memory_equal(a->choice[0].logprobs, b->choice[0].logprobs, a->choice[0].n_tokens * sizeof(float));
}

static const struct {
    const char *adapter;
    float scale;
} kinds[] = {{"one", 0}, {NULL, 0}, {"two", 0}, {"one", 0.5f}, {"three", 0}, {"two", 0}};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

static void run_alone(setup_answer *alone) {
    llmcall_engine *engine = setup_engine(1, NULL);
    load_good(engine, "one", 1), load_good(engine, "two", 2), load_good(engine, "three", 3);
    for (int i = 0; i < N_KINDS; i++) {
        llmcall_request request;
        ask(&request, kinds[i].adapter, kinds[i].scale);
        setup_run(engine, &request, &alone[i]);
        assert_int_equal(alone[i].usage.cached_tokens, i < N_KINDS - 1 ? 0 : 16);
        assert_string_equal(alone[i].usage.adapter, kinds[i].adapter ? kinds[i].adapter : "");
        for (int j = 0; j < i && i < N_KINDS - 1; j++)
            assert_memory_not_equal(alone[i].choice[0].logprobs, alone[j].choice[0].logprobs, sizeof(float[4]));
    }
    assert_same(&alone[2], &alone[N_KINDS - 1]);
    llmcall_engine_close(&engine);
}

/* All at once, in steps of few tokens and of many. */
static void test_batched(void **state) {
    (void)state;
    static setup_answer alone[N_KINDS], answer;
    run_alone(alone);
    for (uint32_t step = 5; step <= 400; step *= 80) {
        tiny_gguf file = {0};
        llmcall_engine_options options;
        llmcall_engine_options_defaults(&options);
        options.threads = 2;
        options.max_step_tokens = step;
        llmcall_engine *engine = setup_engine_with(&file, &options, NULL);
        load_good(engine, "three", 3), load_good(engine, "one", 1), load_good(engine, "two", 2);
        llmcall_call *calls[N_KINDS];
        for (int i = 0; i < N_KINDS; i++) {
            llmcall_request request;
            ask(&request, kinds[i].adapter, kinds[i].scale);
            calls[i] = setup_start(engine, &request);
        }
        for (int i = 0; i < N_KINDS; i++) {
            setup_read(engine, calls[i], &answer);
            llmcall_close(&calls[i]);
            assert_same(&answer, &alone[i]);
        }
        llmcall_engine_close(&engine);
    }
}

static llmcall_status start_status(llmcall_engine *engine, const char *adapter, float scale, llmcall_error *error) {
    llmcall_request request;
    llmcall_call *call = NULL;
    ask(&request, adapter, scale);
    llmcall_status status = llmcall_start(engine, &request, &call, error);
    llmcall_close(&call);
    return status;
}

static uint64_t adapter_bytes(llmcall_engine *engine, uint32_t *n) {
    LLMCALL_INIT(llmcall_model_info_record, info);
    assert_int_equal(llmcall_model_info(engine, NULL, &info, NULL), LLMCALL_OK);
    *n = info.n_adapters;
    return info.adapter_bytes;
}

static void test_unload(void **state) {
    (void)state;
    static setup_answer first, again, other;
    uint32_t n;
    LLMCALL_INIT(llmcall_error, error);
    llmcall_engine *engine = setup_engine(0, NULL);
    assert_int_equal(start_status(engine, "one", 0, &error), LLMCALL_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "\"one\""));
    assert_string_equal(error.param, "adapter");
    assert_int_equal(llmcall_engine_unload_adapter(engine, NULL, "one", &error), LLMCALL_E_NOT_FOUND);
    load_good(engine, "one", 1);
    uint64_t bytes = adapter_bytes(engine, &n);
    assert_true(n == 1 && bytes >= 4 * (8 * 128 + 3 * 160) + 2 * 20 * (64 + 272) && bytes < 200000);
    assert_int_equal(load(engine, "one", 1, &error), LLMCALL_E_ARGUMENT);
    assert_string_equal(error.code, "duplicate_adapter");
    assert_int_equal(start_status(engine, NULL, 0.5f, &error), LLMCALL_E_ARGUMENT);
    assert_int_equal(start_status(engine, "one", 101, &error), LLMCALL_E_ARGUMENT);
    assert_int_equal(start_status(engine, "one", NAN, &error), LLMCALL_E_ARGUMENT);
    assert_string_equal(error.param, "adapter_scale");

    llmcall_request request;
    ask(&request, "one", 0);
    setup_run(engine, &request, &first);
    llmcall_call *call = setup_start(engine, &request);
    for (int i = 0; i < 3; i++) assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
    assert_int_equal(llmcall_engine_unload_adapter(engine, NULL, "one", &error), LLMCALL_OK);
    assert_int_equal(start_status(engine, "one", 0, &error), LLMCALL_E_NOT_FOUND);
    load_good(engine, "one", 2); /* another by the same name */
    (void)adapter_bytes(engine, &n);
    assert_int_equal(n, 2);
    setup_run(engine, &request, &other);
    assert_int_equal(other.usage.cached_tokens, 0);
    assert_memory_not_equal(first.choice[0].logprobs, other.choice[0].logprobs, sizeof(float[4]));
    setup_read(engine, call, &again);
    llmcall_close(&call);
    assert_same(&first, &again);
    assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
    assert_int_equal(adapter_bytes(engine, &n), bytes);
    assert_int_equal(n, 1);
    assert_int_equal(llmcall_engine_unload_adapter(engine, NULL, "one", &error), LLMCALL_OK);
    assert_int_equal(adapter_bytes(engine, &n), 0);
    llmcall_engine_close(&engine);
}

/* Calls on every adapter while others come and go. */
typedef struct traffic {
    llmcall_engine *engine;
    atomic_int done;
    int n_answers, n_refused;
} traffic;

static void call_on(void *argument) {
    traffic *t = argument;
    static const char *const names[] = {"one", "two", NULL, "three"};
    for (int i = 0; i < 40; i++) {
        llmcall_request request;
        llmcall_call *call = NULL;
        ask(&request, names[i % 4], 0);
        llmcall_status status = llmcall_start(t->engine, &request, &call, NULL);
        if (status) {
            assert_int_equal(status, LLMCALL_E_NOT_FOUND);
            t->n_refused++;
            continue;
        }
        if (i % 3 == 0) llmcall_cancel(call);
        setup_answer *answer = calloc(1, sizeof *answer);
        setup_read(t->engine, call, answer);
        free(answer);
        llmcall_close(&call);
        t->n_answers++;
    }
    atomic_store(&t->done, 1);
}

static void test_loads_beside_calls(void **state) {
    (void)state;
    traffic t = {.engine = setup_engine(2, NULL)};
    llmc_thread thread;
    uint32_t n;
    load_good(t.engine, "one", 1);
    assert_true(llmc_thread_start(&thread, call_on, &t, "calls"));
    for (uint32_t round = 0; !atomic_load(&t.done); round++) {
        const char *name = round % 2 ? "two" : "three";
        load_good(t.engine, name, round);
        assert_int_equal(llmcall_engine_unload_adapter(t.engine, NULL, name, NULL), LLMCALL_OK);
    }
    llmc_thread_join(&thread);
    assert_true(t.n_answers >= 20);
    assert_int_equal(t.n_answers + t.n_refused, 40);
    load_good(t.engine, "last", 4); /* whose place is that of those that are gone */
    (void)adapter_bytes(t.engine, &n);
    assert_int_equal(n, 2);
    llmcall_engine_close(&t.engine);
}

/* ---- Bad files and no memory ---- */

static llmcall_status load_bytes(llmcall_engine *engine, gguf_bytes *file) {
    LLMCALL_INIT(llmcall_error, error);
    llmcall_reader reader = gguf_bytes_reader(file);
    llmcall_adapter_options options = adapter_options(&reader, "changed");
    llmcall_status status = llmcall_engine_load_adapter(engine, &options, &error);
    assert_int_equal(error.status, status);
    if (status) assert_true(error.message[0] != 0);
    else assert_int_equal(llmcall_engine_unload_adapter(engine, NULL, "changed", NULL), LLMCALL_OK);
    return status;
}

static void test_malformed(void **state) {
    (void)state;
    static const adapter_matrix small[] = {{"blk.1.ffn_down.weight.lora_b", 64, 3, 0},
                                           {"blk.1.ffn_down.weight.lora_a", 3, 96, 0}};
    uint32_t n;
    llmcall_engine *engine = setup_engine(1, NULL);
    gguf_bytes good = {0};
    put_adapter(&good, small, 2, 1);
    assert_int_equal(load_bytes(engine, &good), LLMCALL_OK);
    size_t header = good.size - 4 * 3 * (64 + 96), n_loaded = 0;
    for (size_t size = 0; size < good.size; size += size < header ? 1 : 97) {
        gguf_bytes cut = {.data = good.data, .size = size};
        assert_int_not_equal(load_bytes(engine, &cut), LLMCALL_OK);
    }
    for (size_t at = 0; at < header; at++) {
        for (int bit = 0; bit < 8; bit++) {
            good.data[at] ^= (uint8_t)(1 << bit);
            n_loaded += load_bytes(engine, &good) == LLMCALL_OK;
            good.data[at] ^= (uint8_t)(1 << bit);
        }
    }
    assert_in_range(n_loaded, 1, header * 8 / 2); /* a change of alpha, say */
    for (long read = 1; good.fail_read == 0 || good.reads >= good.fail_read; read++) {
        good.reads = 0;
        good.fail_read = read;
        assert_true(load_bytes(engine, &good) == LLMCALL_E_IO || good.reads < read);
    }
    assert_int_equal(adapter_bytes(engine, &n), 0);
    gguf_bytes_free(&good);
    llmcall_engine_close(&engine);
}

/* 1 if the failure came. */
static int life_with_failure(tiny_gguf *model_file, long fail_at, int for_ever) {
    failing_alloc f;
    llmc_env env;
    failing_alloc_init(&f, &env);
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.threads = 0;
    options.allocate = failing_allocate;
    options.allocate_user = &f;
    llmcall_engine *engine = NULL;
    llmcall_model_options model;
    tiny_gguf_model_options(model_file, &model);
    assert_int_equal(llmcall_engine_open(&options, &engine, NULL), LLMCALL_OK);
    assert_int_equal(llmcall_engine_load(engine, &model, NULL), LLMCALL_OK);
    long live = f.live, before = f.count;
    f.fail_at = before + fail_at;
    f.for_ever = for_ever;
    llmcall_status status = load(engine, "one", 1, NULL);
    if (status) {
        assert_int_equal(status, LLMCALL_E_NO_MEMORY);
        assert_int_equal(f.live, live);
    } else {
        status = start_status(engine, "one", 0, NULL);
        if (status) assert_int_equal(status, LLMCALL_E_NO_MEMORY);
        assert_int_equal(llmcall_engine_step(engine, NULL, NULL), LLMCALL_OK);
        assert_int_equal(llmcall_engine_unload_adapter(engine, NULL, "one", NULL), LLMCALL_OK);
    }
    int came = f.count >= f.fail_at;
    llmcall_engine_close(&engine);
    assert_int_equal(f.live, 0);
    return came;
}

static void test_no_memory(void **state) {
    (void)state;
    tiny_gguf file = {0};
    tiny_gguf_build(&file, &(tiny_gguf_spec){0});
    for (int for_ever = 0; for_ever <= 1; for_ever++) {
        long n = 1;
        while (life_with_failure(&file, n, for_ever)) n++;
        assert_true(n > 30);
    }
    tiny_gguf_free(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batched),   cmocka_unit_test(test_unload),    cmocka_unit_test(test_loads_beside_calls),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
