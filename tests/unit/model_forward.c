/* The forward pass: llama.cpp's logits of the models in tests/data/archs, and the same bits however the work is cut up. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_alloc.h"
#include "model/model.h"
#include "tiny_gguf.h"

enum { N_TOKENS = 32, N_VOCAB = 128, N_PAGES = 2 };

static const llmc_model_limits limits = {.max_step_tokens = 64, .max_outputs = 64};

/* The ids of every description in tests/data/archs. */
static const int32_t tokens[N_TOKENS] = {94,  63,  49, 17, 105, 3,  104, 20, 91, 118, 3,  51, 64, 112, 93,  34,
                                         125, 115, 44, 31, 88,  33, 54,  50, 93, 112, 88, 89, 69, 112, 104, 29};

typedef struct fixture {
    failing_alloc memory;
    llmc_env env;
    llmc_backend *backend;
    llmc_model *model;
    llmcall_error error;
} fixture;

static void open_fixture(fixture *f, const tiny_gguf_spec *spec) {
    tiny_gguf file;
    llmcall_model_options options;
    memset(f, 0, sizeof *f);
    f->error.struct_size = sizeof f->error;
    failing_alloc_init(&f->memory, &f->env);
    assert_int_equal(llmc_cpu_backend_create(&f->env, 1, NULL, &f->backend, &f->error), LLMCALL_OK);
    tiny_gguf_build(&file, spec);
    tiny_gguf_model_options(&file, &options);
    llmcall_status status = llmc_model_load(&f->env, f->backend, &options, &limits, &f->model, &f->error);
    if (status != LLMCALL_OK) fail_msg("%s", f->error.message);
    tiny_gguf_free(&file);
}

static void close_fixture(fixture *f) {
    llmc_model_destroy(&f->model);
    f->backend->call->destroy(f->backend);
    assert_int_equal(f->memory.live, 0);
}

/* tokens[start .. start + n) of one sequence on the given pages, logits of all into out (n, N_VOCAB). out NULL: none wanted. */
static void run_piece(fixture *f, uint32_t start, uint32_t n, const uint32_t *pages, float *out) {
    uint32_t positions[N_TOKENS], rows[N_TOKENS];
    const float *logits = NULL;
    for (uint32_t i = 0; i < n; i++) positions[i] = start + i, rows[i] = i;
    llmc_segment segment = {.n_tokens = n, .start = start, .n_pages = N_PAGES, .pages = pages};
    llmc_batch batch = {.n_tokens = n,
                        .tokens = tokens + start,
                        .positions = positions,
                        .n_segments = 1,
                        .segments = &segment,
                        .n_outputs = out ? n : 0,
                        .output_rows = rows};
    long allocations = f->memory.count;
    llmcall_status status = llmc_model_run(f->model, &batch, &logits, &f->error);
    if (status != LLMCALL_OK) fail_msg("%s", f->error.message);
    assert_int_equal(f->memory.count, allocations);
    if (out) memcpy(out, logits, (size_t)n * N_VOCAB * sizeof(float));
    else assert_null(logits);
}

static double nmse(const float *got, const float *expected, size_t n) {
    double error = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        error += ((double)got[i] - expected[i]) * ((double)got[i] - expected[i]);
        size += (double)expected[i] * expected[i];
    }
    return error / size;
}

/* tests/data/archs, found from where this file was compiled from. */
static void read_reference(const char *name, float *logits) {
    char path[1024];
    const char *slash = strrchr(__FILE__, '/');
    snprintf(path, sizeof path, "%.*s/../data/archs/%s.f32", slash ? (int)(slash - __FILE__) : 1, slash ? __FILE__ : ".", name);
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("cannot open %s", path);
    assert_int_equal(fread(logits, sizeof(float), N_TOKENS * N_VOCAB, file), N_TOKENS * N_VOCAB);
    fclose(file);
}

static void check_reference(const char *name, const tiny_gguf_spec *spec) {
    static float expected[N_TOKENS * N_VOCAB], got[N_TOKENS * N_VOCAB];
    const uint32_t pages[N_PAGES] = {5, 2};
    fixture f;
    open_fixture(&f, spec);
    read_reference(name, expected);
    run_piece(&f, 0, N_TOKENS, pages, got);
    double error = nmse(got, expected, N_TOKENS * N_VOCAB);
    if (!(error <= 1e-8)) fail_msg("%s: NMSE %g", name, error);
    close_fixture(&f);
}

static void test_llama(void **state) {
    (void)state;
    check_reference("llama-dense", &(tiny_gguf_spec){.no_vocab = 1, .rope_freqs = 1});
}

static void test_qwen2(void **state) {
    (void)state;
    check_reference("qwen2-dense", &(tiny_gguf_spec){.no_vocab = 1, .architecture = "qwen2"});
}

static void test_qwen3(void **state) {
    (void)state;
    check_reference("qwen3-dense", &(tiny_gguf_spec){.no_vocab = 1, .architecture = "qwen3", .n_heads = 4, .n_kv_heads = 1});
}

/* One prompt in one piece, token by token, and in uneven pieces of which the first wants no logits: the same bits. */
static void check_pieces(const tiny_gguf_spec *spec) {
    static float whole[N_TOKENS * N_VOCAB], parts[N_TOKENS * N_VOCAB];
    const uint32_t first[N_PAGES] = {0, 1}, second[N_PAGES] = {7, 3}, third[N_PAGES] = {4, 6};
    fixture f;
    open_fixture(&f, spec);
    run_piece(&f, 0, N_TOKENS, first, whole);
    for (uint32_t i = 0; i < N_TOKENS; i++) run_piece(&f, i, 1, second, parts + i * N_VOCAB);
    assert_memory_equal(whole, parts, sizeof whole);

    memset(parts, 0, sizeof parts);
    run_piece(&f, 0, 13, third, NULL);
    run_piece(&f, 13, 8, third, parts + 13 * N_VOCAB);
    run_piece(&f, 21, 11, third, parts + 21 * N_VOCAB);
    assert_memory_equal(whole + 13 * N_VOCAB, parts + 13 * N_VOCAB, (N_TOKENS - 13) * N_VOCAB * sizeof(float));
    close_fixture(&f);
}

static void test_pieces(void **state) {
    (void)state;
    check_pieces(&(tiny_gguf_spec){.no_vocab = 1, .n_kv_heads = 1});
    check_pieces(&(tiny_gguf_spec){.no_vocab = 1, .architecture = "qwen3", .head_dim = 64, .matrix_type = TINY_TYPE_Q8_0});
    check_pieces(&(tiny_gguf_spec){.no_vocab = 1, .architecture = "qwen2", .n_layers = 1, .tied = 1});
}

/* A prompt and a decode of another sequence in one step, the last row of each wanted. */
static void test_batch(void **state) {
    (void)state;
    static float alone[N_TOKENS * N_VOCAB];
    const uint32_t first[N_PAGES] = {0, 1}, second[N_PAGES] = {2, 3}, third[N_PAGES] = {4, 5};
    fixture f;
    open_fixture(&f, &(tiny_gguf_spec){.no_vocab = 1});
    run_piece(&f, 0, N_TOKENS, first, alone);
    run_piece(&f, 0, 20, second, NULL);

    int32_t mixed[21];
    uint32_t positions[21], rows[2] = {9, 10};
    const float *logits = NULL;
    for (uint32_t i = 0; i < 10; i++) mixed[i] = tokens[i], positions[i] = i;
    mixed[10] = tokens[20];
    positions[10] = 20;
    llmc_segment segments[2] = {{.first_token = 0, .n_tokens = 10, .start = 0, .n_pages = 1, .pages = third},
                                {.first_token = 10, .n_tokens = 1, .start = 20, .n_pages = 2, .pages = second}};
    llmc_batch batch = {.n_tokens = 11,
                        .tokens = mixed,
                        .positions = positions,
                        .n_segments = 2,
                        .segments = segments,
                        .n_outputs = 2,
                        .output_rows = rows};
    assert_int_equal(llmc_model_run(f.model, &batch, &logits, &f.error), LLMCALL_OK);
    assert_memory_equal(logits, alone + 9 * N_VOCAB, N_VOCAB * sizeof(float));
    assert_memory_equal(logits + N_VOCAB, alone + 20 * N_VOCAB, N_VOCAB * sizeof(float));
    close_fixture(&f);
}

static void test_quantized(void **state) {
    (void)state;
    static float full[N_TOKENS * N_VOCAB], quantized[N_TOKENS * N_VOCAB];
    const uint32_t pages[N_PAGES] = {0, 1};
    fixture f;
    open_fixture(&f, &(tiny_gguf_spec){.no_vocab = 1});
    run_piece(&f, 0, N_TOKENS, pages, full);
    close_fixture(&f);
    open_fixture(&f, &(tiny_gguf_spec){.no_vocab = 1, .matrix_type = TINY_TYPE_Q8_0, .vector_type = TINY_TYPE_F16});
    run_piece(&f, 0, N_TOKENS, pages, quantized);
    close_fixture(&f);
    double error = nmse(quantized, full, N_TOKENS * N_VOCAB);
    if (!(error > 0 && error < 5e-3)) fail_msg("NMSE %g", error);
}

/* The kernels trust a batch, so a wrong one must not reach them. */
static void test_bad_batches(void **state) {
    (void)state;
    const uint32_t pages[N_PAGES] = {0, 1}, far_page[N_PAGES] = {0, 1u << 30}, positions[4] = {0, 1, 2, 3};
    const uint32_t wrong_positions[4] = {0, 1, 2, 4}, rows[2] = {1, 3}, twice[2] = {3, 3}, beyond[2] = {3, 4};
    const int32_t good[4] = {1, 2, 3, 4}, high[4] = {1, 2, 3, N_VOCAB}, negative[4] = {1, -1, 3, 4};
    const llmc_segment segment = {.n_tokens = 4, .n_pages = 1, .pages = pages};
    const llmc_segment wrong[] = {
        {.n_tokens = 3, .n_pages = 1, .pages = pages}, /* does not cover the tokens */
        {.n_tokens = 5, .n_pages = 1, .pages = pages}, /* more than there are */
        {.first_token = 1, .n_tokens = 3, .n_pages = 1, .pages = pages},
        {.n_tokens = 4, .n_pages = 0, .pages = pages},             /* no page for them */
        {.n_tokens = 4, .n_pages = 2, .pages = far_page},          /* a page that is not there */
        {.n_tokens = 4, .start = 1, .n_pages = 1, .pages = pages}, /* not these positions */
        {.n_tokens = 4, .start = UINT32_MAX, .n_pages = 1, .pages = pages},
    };
    const llmc_batch base = {.n_tokens = 4,
                             .tokens = good,
                             .positions = positions,
                             .n_segments = 1,
                             .segments = &segment,
                             .n_outputs = 2,
                             .output_rows = rows};
    llmc_batch bad[16];
    size_t n = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) bad[n] = base, bad[n++].segments = &wrong[i];
    bad[n] = base, bad[n++].tokens = high;
    bad[n] = base, bad[n++].tokens = negative;
    bad[n] = base, bad[n++].positions = wrong_positions;
    bad[n] = base, bad[n++].output_rows = twice;
    bad[n] = base, bad[n++].output_rows = beyond;
    bad[n] = base, bad[n++].n_tokens = 0;
    bad[n] = base, bad[n++].n_tokens = limits.max_step_tokens + 1;
    bad[n] = base, bad[n++].n_segments = 0;

    fixture f;
    const float *logits = NULL;
    open_fixture(&f, &(tiny_gguf_spec){.no_vocab = 1});
    assert_int_equal(llmc_model_run(f.model, &base, &logits, &f.error), LLMCALL_OK);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(llmc_model_run(f.model, &bad[i], &logits, &f.error), LLMCALL_E_ARGUMENT);
        assert_null(logits);
    }
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),       cmocka_unit_test(test_qwen2), cmocka_unit_test(test_qwen3),
        cmocka_unit_test(test_pieces),      cmocka_unit_test(test_batch), cmocka_unit_test(test_quantized),
        cmocka_unit_test(test_bad_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
