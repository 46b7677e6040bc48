/* Loading: what a good file gives, and what each way of being wrong is called. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_alloc.h"
#include "model/model.h"
#include "tiny_gguf.h"

static const llmc_model_limits limits = {.max_step_tokens = 32, .max_outputs = 8};

typedef struct fixture {
    failing_alloc memory;
    llmc_env env;
    llmc_backend *backend;
    tiny_gguf file;
    llmcall_model_options options;
    llmcall_error error;
    llmc_model *model;
} fixture;

static void open_fixture(fixture *f, const tiny_gguf_spec *spec) {
    memset(f, 0, sizeof *f);
    f->error.struct_size = sizeof f->error;
    failing_alloc_init(&f->memory, &f->env);
    assert_int_equal(llmc_cpu_backend_create(&f->env, 1, "c", &f->backend, &f->error), LLMCALL_OK);
    tiny_gguf_build(&f->file, spec);
    tiny_gguf_model_options(&f->file, &f->options);
}

static llmcall_status load(fixture *f) {
    return llmc_model_load(&f->env, f->backend, &f->options, &limits, &f->model, &f->error);
}

static void close_fixture(fixture *f) {
    llmc_model_destroy(&f->model);
    f->backend->call->destroy(f->backend);
    tiny_gguf_free(&f->file);
    assert_int_equal(f->memory.live, 0);
}

/* Loads the file of spec, which must be refused with the status, naming param. */
static void expect_refused(const tiny_gguf_spec *spec, llmcall_status status, const char *param) {
    fixture f;
    open_fixture(&f, spec);
    llmcall_status got = load(&f);
    if (got != status || strcmp(f.error.param, param) != 0) {
        fail_msg("%s: status %d, param \"%s\", message \"%s\"", param, got, f.error.param, f.error.message);
    }
    if (!strstr(f.error.message, strcmp(param, "tokenizer.ggml.model") == 0 ? "tokenizer" : param)) {
        fail_msg("%s is not named in \"%s\"", param, f.error.message);
    }
    assert_null(f.model);
    close_fixture(&f);
}

static void test_shape(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, &(tiny_gguf_spec){.architecture = "qwen3", .n_heads = 4, .n_kv_heads = 2, .head_dim = 32});
    assert_int_equal(load(&f), LLMCALL_OK);
    const llmc_model_shape *s = llmc_model_shape_of(f.model);
    assert_int_equal(s->n_vocab, TINY_VOCAB);
    assert_int_equal(s->n_layers, 2);
    assert_int_equal(s->width, 64);
    assert_int_equal(s->n_heads, 4);
    assert_int_equal(s->n_kv_heads, 2);
    assert_int_equal(s->head_dim, 32); /* not width / n_heads */
    assert_int_equal(s->n_ff, 96);
    assert_int_equal(s->context_length, 256);
    assert_int_equal(s->max_context, 256);
    assert_int_equal(s->kv_type, LLMC_KV_F32);
    assert_int_equal(s->parameters,
                     2 * TINY_VOCAB * 64 + 64 + 2 * (2 * 64 + 2 * 32 + 2 * 128 * 64 + 2 * 64 * 64 + 3 * 96 * 64));
    assert_string_equal(s->architecture, "qwen3");
    assert_string_equal(s->name, "tiny");
    assert_string_equal(s->quantization, "F32");
    assert_int_equal(llmc_model_kv_pages(f.model), 4 * 256 / LLMC_PAGE_TOKENS);
    assert_non_null(llmc_model_tokenizer(f.model));
    assert_int_equal(llmc_tokenizer_n_tokens(llmc_model_tokenizer(f.model)), TINY_VOCAB);
    assert_string_equal(llmc_model_chat_template(f.model), tiny_chat_template);
    close_fixture(&f);
}

static void test_optional_parts(void **state) {
    (void)state;
    fixture f;
    open_fixture(
        &f,
        &(tiny_gguf_spec){
            .no_vocab = 1, .tied = 1, .vector_type = TINY_TYPE_F16, .matrix_type = TINY_TYPE_Q8_0, .drop_key = "general.name"});
    f.options.context_length = 100;
    assert_int_equal(load(&f), LLMCALL_OK);
    const llmc_model_shape *s = llmc_model_shape_of(f.model);
    assert_null(llmc_model_tokenizer(f.model));
    assert_null(llmc_model_chat_template(f.model));
    assert_int_equal(s->n_vocab, 128);
    assert_int_equal(s->max_context, 100);
    assert_int_equal(s->kv_type, LLMC_KV_F16);
    assert_string_equal(s->name, "llama");
    assert_string_equal(s->quantization, "Q8_0");
    close_fixture(&f);
}

static void test_options_override(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, &(tiny_gguf_spec){0});
    f.options.name = "mine";
    f.options.chat_template = "{{ messages }}";
    assert_int_equal(load(&f), LLMCALL_OK);
    assert_string_equal(llmc_model_shape_of(f.model)->name, "mine");
    assert_string_equal(llmc_model_chat_template(f.model), "{{ messages }}");
    llmc_model_destroy(&f.model);

    f.options.name = "a name of sixty-four bytes or more does not fit into the model's record";
    assert_int_equal(load(&f), LLMCALL_E_ARGUMENT);
    assert_string_equal(f.error.param, "name");
    f.options.name = NULL;
    f.options.chat_template = "\xff";
    assert_int_equal(load(&f), LLMCALL_E_UTF8);
    close_fixture(&f);
}

/* A few bytes must not make a cache of gigabytes, nor one whose count alone takes seconds. */
static void test_a_context_beyond_reason(void **state) {
    (void)state;
    for (int recurrent = 0; recurrent <= 1; recurrent++) {
        fixture f;
        tiny_gguf_spec spec = {.width = 32, .n_heads = 1, .n_layers = 1, .set_type = TINY_U32, .set_number = 1 << 28};
        spec.architecture = recurrent ? "granitehybrid" : "llama";
        spec.set_key = recurrent ? "granitehybrid.context_length" : "llama.context_length";
        open_fixture(&f, &spec);
        assert_int_equal(load(&f), LLMCALL_OK);
        assert_int_equal(llmc_model_shape_of(f.model)->context_length, 1 << 28);
        assert_in_range(llmc_model_shape_of(f.model)->max_context, 1 << 20, 1 << 24);
        assert_in_range(llmc_model_kv_pages(f.model), 1 << 16, 1 << 20);
        close_fixture(&f);
    }
}

static void test_vocab_only(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, &(tiny_gguf_spec){.architecture = "unheard-of"});
    f.options.vocab_only = 1;
    assert_int_equal(llmc_model_load(&f.env, NULL, &f.options, &limits, &f.model, &f.error), LLMCALL_OK);
    assert_non_null(llmc_model_tokenizer(f.model));
    assert_int_equal(llmc_model_shape_of(f.model)->n_vocab, TINY_VOCAB);
    assert_int_equal(llmc_model_kv_pages(f.model), 0);
    const float *logits = NULL;
    llmc_batch batch = {0};
    assert_int_equal(llmc_model_run(f.model, &batch, &logits, &f.error), LLMCALL_E_UNSUPPORTED);
    close_fixture(&f);
}

/* ---- Keys --------------------------------------------------------------------------------------------------------------- */

static void test_missing_keys(void **state) {
    (void)state;
    static const char *const keys[] = {
        "general.architecture",      "llama.context_length",
        "llama.embedding_length",    "llama.block_count",
        "llama.feed_forward_length", "llama.attention.head_count",
        "tokenizer.ggml.model",      "tokenizer.ggml.tokens",
        "tokenizer.ggml.merges",     "llama.attention.layer_norm_rms_epsilon",
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        expect_refused(&(tiny_gguf_spec){.drop_key = keys[i]}, LLMCALL_E_FORMAT, keys[i]);
    }
    expect_refused(&(tiny_gguf_spec){.no_vocab = 1, .drop_key = "llama.vocab_size"}, LLMCALL_E_FORMAT, "llama.vocab_size");
}

static void test_absurd_keys(void **state) {
    (void)state;
    static const struct {
        const char *key;
        int type;
        double number;
        llmcall_status status;
    } cases[] = {
        {"llama.block_count", TINY_U32, 2147483648.0, LLMCALL_E_FORMAT},
        {"llama.block_count", TINY_U32, 0, LLMCALL_E_FORMAT},
        {"llama.block_count", TINY_I32, -1, LLMCALL_E_FORMAT},
        {"llama.block_count", TINY_F32, 2, LLMCALL_E_FORMAT},
        {"llama.context_length", TINY_U32, 0, LLMCALL_E_FORMAT},
        {"llama.context_length", TINY_U32, 4294967295.0, LLMCALL_E_FORMAT},
        {"llama.embedding_length", TINY_U32, 0, LLMCALL_E_FORMAT},
        {"llama.embedding_length", TINY_U32, 4294967295.0, LLMCALL_E_FORMAT},
        {"llama.feed_forward_length", TINY_U32, 0, LLMCALL_E_FORMAT},
        {"llama.feed_forward_length", TINY_U32, 4294967295.0, LLMCALL_E_FORMAT},
        {"llama.feed_forward_length", TINY_STRING, 0, LLMCALL_E_FORMAT},
        {"llama.attention.head_count", TINY_U32, 0, LLMCALL_E_FORMAT},
        {"llama.attention.head_count", TINY_U32, 4294967295.0, LLMCALL_E_FORMAT},
        {"llama.attention.head_count_kv", TINY_U32, 0, LLMCALL_E_FORMAT},
        {"llama.attention.head_count_kv", TINY_U32, 3, LLMCALL_E_FORMAT},        /* does not divide 2 */
        {"llama.attention.head_count_kv", TINY_ARRAY, 1, LLMCALL_E_UNSUPPORTED}, /* 2 heads, then 1 */
        {"llama.attention.key_length", TINY_U32, 0, LLMCALL_E_FORMAT},
        {"llama.attention.key_length", TINY_U32, 4294967295.0, LLMCALL_E_FORMAT},
        {"llama.attention.value_length", TINY_U32, 16, LLMCALL_E_UNSUPPORTED},
        {"llama.rope.dimension_count", TINY_U32, 34, LLMCALL_E_FORMAT}, /* of a head of 32 */
        {"llama.rope.dimension_count", TINY_U32, 31, LLMCALL_E_FORMAT},
        {"llama.rope.dimension_count", TINY_U32, 0, LLMCALL_E_FORMAT},
        {"llama.rope.freq_base", TINY_F32, 0, LLMCALL_E_FORMAT},
        {"llama.rope.freq_base", TINY_F32, NAN, LLMCALL_E_FORMAT},
        {"llama.rope.scaling.factor", TINY_F32, -2, LLMCALL_E_FORMAT},
        {"llama.rope.scaling.type", TINY_STRING, 0, LLMCALL_E_UNSUPPORTED},
        {"llama.attention.layer_norm_rms_epsilon", TINY_F32, NAN, LLMCALL_E_FORMAT},
        {"llama.attention.layer_norm_rms_epsilon", TINY_F32, -1, LLMCALL_E_FORMAT},
        {"llama.attention.layer_norm_rms_epsilon", TINY_F32, INFINITY, LLMCALL_E_FORMAT},
        {"llama.expert_count", TINY_U32, 4294967295.0, LLMCALL_E_FORMAT},
        {"general.architecture", TINY_STRING, 0, LLMCALL_E_UNSUPPORTED},
        {"general.architecture", TINY_U32, 1, LLMCALL_E_FORMAT},
        {"tokenizer.ggml.eos_token_id", TINY_U32, TINY_VOCAB, LLMCALL_E_FORMAT},
        {"tokenizer.ggml.add_bos_token", TINY_U32, 1, LLMCALL_E_FORMAT},
        {"tokenizer.ggml.token_type", TINY_ARRAY, 1, LLMCALL_E_FORMAT}, /* one a layer, not one a token */
        {"tokenizer.ggml.scores", TINY_ARRAY, 1, LLMCALL_E_FORMAT},
        {"tokenizer.ggml.model", TINY_STRING, 0, LLMCALL_E_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tiny_gguf_spec spec = {
            .set_key = cases[i].key, .set_type = cases[i].type, .set_number = cases[i].number, .set_text = "nonsense"};
        expect_refused(&spec, cases[i].status, cases[i].key);
    }
}

static void test_absurd_recurrent_values(void **state) {
    (void)state;
    static const struct {
        const char *key;
        int type;
        double number;
    } cases[] = {
        {"granitehybrid.ssm.conv_kernel", TINY_U32, 1},    {"granitehybrid.ssm.conv_kernel", TINY_U32, 9},
        {"granitehybrid.ssm.inner_size", TINY_U32, 0},     {"granitehybrid.ssm.inner_size", TINY_U32, 4294967295.0},
        {"granitehybrid.ssm.state_size", TINY_U32, 0},     {"granitehybrid.ssm.state_size", TINY_U32, 2147483648.0},
        {"granitehybrid.ssm.time_step_rank", TINY_U32, 3}, /* does not divide 128 */
        {"granitehybrid.ssm.time_step_rank", TINY_U32, 0}, {"granitehybrid.ssm.time_step_rank", TINY_U32, 4294967295.0},
        {"granitehybrid.ssm.group_count", TINY_U32, 0},    {"granitehybrid.ssm.group_count", TINY_STRING, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tiny_gguf_spec spec = {.architecture = "granitehybrid", .set_key = cases[i].key, .set_type = cases[i].type};
        spec.set_number = cases[i].number;
        spec.set_text = "nonsense";
        expect_refused(&spec, LLMCALL_E_FORMAT, cases[i].key);
        spec.set_key = NULL;
        spec.drop_key = cases[i].key;
        expect_refused(&spec, LLMCALL_E_FORMAT, cases[i].key);
    }
    /* 2 heads cannot share 4 groups: the heads are what is named. */
    tiny_gguf_spec groups = {.architecture = "granitehybrid", .set_key = "granitehybrid.ssm.group_count", .set_type = TINY_U32};
    groups.set_number = 4;
    expect_refused(&groups, LLMCALL_E_FORMAT, "granitehybrid.ssm.time_step_rank");
    static const char *const names[] = {"blk.1.ssm_in.weight", "blk.1.ssm_a", "blk.1.ssm_conv1d.weight", "blk.1.ssm_out.weight",
                                        "blk.0.attn_q.weight"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        expect_refused(&(tiny_gguf_spec){.architecture = "granitehybrid", .drop_tensor = names[i]}, LLMCALL_E_FORMAT, names[i]);
        expect_refused(&(tiny_gguf_spec){.architecture = "granitehybrid", .widen_tensor = names[i]}, LLMCALL_E_FORMAT,
                       names[i]);
    }
    expect_refused(&(tiny_gguf_spec){.architecture = "granitehybrid", .extra_tensor = "blk.1.attn_q.weight"},
                   LLMCALL_E_UNSUPPORTED, "blk.1.attn_q.weight");
    expect_refused(&(tiny_gguf_spec){.extra_tensor = "blk.1.ssm_a"}, LLMCALL_E_UNSUPPORTED, "blk.1.ssm_a");
}

static void test_recurrent_memory(void **state) {
    (void)state;
    const uint64_t window = 3 * (128 + 32), heads = 128 * TINY_STATE, slot = (window + heads) * sizeof(float);
    const uint64_t page = 2 * 64 * sizeof(float) * LLMC_PAGE_TOKENS; /* of the one layer with attention */
    fixture f;
    llmcall_memory estimate = {0};
    open_fixture(&f, &(tiny_gguf_spec){.architecture = "granitehybrid"});
    f.options.kv_bytes = 6 * slot + 5; /* three states, and pages for the rest */
    assert_int_equal(llmc_model_estimate(&f.env, f.backend, &f.options, &limits, &estimate, &f.error), LLMCALL_OK);
    assert_int_equal(load(&f), LLMCALL_OK);
    assert_int_equal(llmc_model_states(f.model), 3);
    assert_int_equal(llmc_model_kv_pages(f.model), 3 * slot / page);
    assert_int_equal(estimate.kv_bytes, 3 * slot + 3 * slot / page * page);
    assert_int_equal(estimate.state_kib, (slot + 1023) / 1024);
    assert_int_equal(estimate.total_bytes, llmc_model_memory(f.model)->total_bytes);
    llmc_model_destroy(&f.model);
    f.options.kv_bytes = 2 * slot - 1;
    assert_int_equal(load(&f), LLMCALL_E_ARGUMENT);
    assert_string_equal(f.error.param, "kv_bytes");
    f.options.kv_bytes = UINT64_MAX; /* two states for each of 8 outputs, and then too many pages */
    assert_int_equal(load(&f), LLMCALL_E_NO_MEMORY);
    f.options.kv_bytes = 0;
    assert_int_equal(load(&f), LLMCALL_OK);
    assert_int_equal(llmc_model_states(f.model), 16);
    close_fixture(&f);
}

static void test_experts_without_use(void **state) {
    (void)state;
    expect_refused(&(tiny_gguf_spec){.set_key = "llama.expert_count", .set_type = TINY_U32, .set_number = 8}, LLMCALL_E_FORMAT,
                   "llama.expert_used_count");
}

static void test_head_count_array(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, &(tiny_gguf_spec){.set_key = "llama.attention.head_count_kv", .set_type = TINY_ARRAY, .set_number = 2});
    assert_int_equal(load(&f), LLMCALL_OK);
    assert_int_equal(llmc_model_shape_of(f.model)->n_kv_heads, 2);
    close_fixture(&f);
}

/* ---- Tensors ------------------------------------------------------------------------------------------------------------ */

static void test_tensors(void **state) {
    (void)state;
    static const char *const names[] = {"token_embd.weight",        "output_norm.weight",    "blk.0.attn_norm.weight",
                                        "blk.1.attn_q.weight",      "blk.0.attn_k.weight",   "blk.0.attn_v.weight",
                                        "blk.1.attn_output.weight", "blk.0.ffn_norm.weight", "blk.0.ffn_gate.weight",
                                        "blk.0.ffn_up.weight",      "blk.1.ffn_down.weight"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        expect_refused(&(tiny_gguf_spec){.drop_tensor = names[i]}, LLMCALL_E_FORMAT, names[i]);
        expect_refused(&(tiny_gguf_spec){.widen_tensor = names[i]}, LLMCALL_E_FORMAT, names[i]);
    }
    expect_refused(&(tiny_gguf_spec){.rope_freqs = 1, .widen_tensor = "rope_freqs.weight"}, LLMCALL_E_FORMAT,
                   "rope_freqs.weight");
    expect_refused(&(tiny_gguf_spec){.architecture = "qwen2", .drop_tensor = "blk.0.attn_k.bias"}, LLMCALL_E_FORMAT,
                   "blk.0.attn_k.bias");
    expect_refused(&(tiny_gguf_spec){.architecture = "qwen3", .drop_tensor = "blk.1.attn_q_norm.weight"}, LLMCALL_E_FORMAT,
                   "blk.1.attn_q_norm.weight");
}

/* What would be left out of the computation is refused, not ignored. */
static void test_unknown_tensors(void **state) {
    (void)state;
    static const char *const names[] = {"blk.0.attn_q_norm.weight", "blk.2.attn_norm.weight", "blk.0.ffn_gate_exps.weight",
                                        "position_embd.weight", "blk.0."};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        expect_refused(&(tiny_gguf_spec){.extra_tensor = names[i]}, LLMCALL_E_UNSUPPORTED, names[i]);
    }
}

static void test_truncated(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, &(tiny_gguf_spec){0});
    for (size_t cut = 1; cut < f.file.size; cut = cut * 3 / 2 + 1) {
        f.file.reader.size = f.file.size - cut;
        llmcall_status status = load(&f);
        assert_true(status == LLMCALL_E_FORMAT || status == LLMCALL_E_IO);
    }
    close_fixture(&f);
}

/* ---- Memory and progress ------------------------------------------------------------------------------------------------ */

static void test_memory(void **state) {
    (void)state;
    fixture f;
    llmcall_memory estimate = {0};
    open_fixture(&f, &(tiny_gguf_spec){0});
    assert_int_equal(llmc_model_estimate(&f.env, f.backend, &f.options, &limits, &estimate, &f.error), LLMCALL_OK);
    assert_int_equal(load(&f), LLMCALL_OK);
    const llmcall_memory *taken = llmc_model_memory(f.model);
    assert_int_equal(estimate.total_bytes, taken->total_bytes);
    assert_int_equal(taken->total_bytes,
                     taken->weights_bytes + taken->kv_bytes + taken->compute_bytes + taken->tokenizer_bytes);
    assert_int_equal(taken->kv_bytes_per_token, 2 * 2 * 64 * sizeof(float));
    assert_true(taken->kv_bytes >= taken->kv_bytes_per_token * 4 * 256);
    assert_true(taken->weights_bytes >= 4 * taken->parameters);
    llmc_model_destroy(&f.model);

    f.options.max_memory = estimate.total_bytes;
    assert_int_equal(load(&f), LLMCALL_OK);
    llmc_model_destroy(&f.model);
    f.options.max_memory--;
    assert_int_equal(load(&f), LLMCALL_E_NO_MEMORY);
    assert_string_equal(f.error.param, "max_memory");
    close_fixture(&f);
}

static void test_kv_bytes(void **state) {
    (void)state;
    const uint64_t page = 2 * 2 * 64 * sizeof(float) * LLMC_PAGE_TOKENS;
    fixture f;
    open_fixture(&f, &(tiny_gguf_spec){0});
    f.options.kv_bytes = 3 * page + 1;
    assert_int_equal(load(&f), LLMCALL_OK);
    assert_int_equal(llmc_model_kv_pages(f.model), 3);
    assert_int_equal(llmc_model_shape_of(f.model)->max_context, 3 * LLMC_PAGE_TOKENS);
    assert_int_equal(llmc_model_shape_of(f.model)->context_length, 256);
    llmc_model_destroy(&f.model);
    f.options.kv_bytes = page - 1;
    assert_int_equal(load(&f), LLMCALL_E_ARGUMENT);
    assert_string_equal(f.error.param, "kv_bytes");
    f.options.kv_bytes = UINT64_MAX;
    assert_int_equal(load(&f), LLMCALL_E_NO_MEMORY);
    close_fixture(&f);
}

static void test_kv_types(void **state) {
    (void)state;
    const struct {
        int32_t asked;
        int held;
        uint64_t bytes_of_32;
    } types[] = {{LLMCALL_KV_AUTO, LLMC_KV_F32, 128},
                 {LLMCALL_KV_F16, LLMC_KV_F16, 64},
                 {LLMCALL_KV_Q8_0, LLMC_KV_Q8_0, 34},
                 {LLMCALL_KV_F32, LLMC_KV_F32, 128}};
    fixture f;
    open_fixture(&f, &(tiny_gguf_spec){.n_heads = 4, .n_kv_heads = 2, .head_dim = 32});
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        llmcall_memory estimate = {0};
        f.options.kv_type = types[i].asked;
        assert_int_equal(llmc_model_estimate(&f.env, f.backend, &f.options, &limits, &estimate, &f.error), LLMCALL_OK);
        assert_int_equal(load(&f), LLMCALL_OK);
        assert_int_equal(llmc_model_shape_of(f.model)->kv_type, types[i].held);
        assert_int_equal(estimate.kv_bytes_per_token, 2 * 2 * 2 * types[i].bytes_of_32);
        assert_int_equal(estimate.total_bytes, llmc_model_memory(f.model)->total_bytes);
        llmc_model_destroy(&f.model);
    }
    close_fixture(&f);
}

static void test_heads_that_no_block_fits(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, &(tiny_gguf_spec){.n_heads = 4, .n_kv_heads = 2, .head_dim = 16});
    f.options.kv_type = LLMCALL_KV_Q8_0;
    assert_int_equal(load(&f), LLMCALL_E_UNSUPPORTED);
    assert_string_equal(f.error.param, "kv_type");
    close_fixture(&f);
}

typedef struct progress_log {
    uint64_t done, total;
    uint32_t calls, stop_at;
} progress_log;

static int32_t log_progress(void *user, uint64_t done, uint64_t total) {
    progress_log *log = user;
    assert_true(done >= log->done && done <= total);
    log->done = done;
    log->total = total;
    return ++log->calls == log->stop_at;
}

static void test_progress(void **state) {
    (void)state;
    fixture f;
    progress_log log = {0};
    open_fixture(&f, &(tiny_gguf_spec){0});
    f.options.progress = log_progress;
    f.options.progress_user = &log;
    assert_int_equal(load(&f), LLMCALL_OK);
    assert_true(log.calls > 2);
    assert_int_equal(log.done, log.total);
    assert_int_equal(log.total, 4 * llmc_model_shape_of(f.model)->parameters);
    llmc_model_destroy(&f.model);

    for (uint32_t stop_at = 1; stop_at <= log.calls; stop_at++) {
        progress_log stopped = {.stop_at = stop_at};
        f.options.progress_user = &stopped;
        assert_int_equal(load(&f), LLMCALL_E_CANCELLED);
        assert_int_equal(stopped.calls, stop_at);
        assert_null(f.model);
    }
    close_fixture(&f);
}

/* Backend and model together: the backend may keep scratch memory that a failed load had it reserve. */
static llmcall_status load_failing_at(fixture *f, long n, int for_ever) {
    f->memory.count = 0;
    f->memory.fail_at = n;
    f->memory.for_ever = for_ever;
    llmcall_status status = llmc_cpu_backend_create(&f->env, 1, "c", &f->backend, &f->error);
    if (status == LLMCALL_OK) status = load(f);
    if (status != LLMCALL_OK) assert_null(f->model);
    llmc_model_destroy(&f->model);
    if (f->backend) f->backend->call->destroy(f->backend);
    assert_int_equal(f->memory.live, 0);
    return status;
}

static void test_every_allocation_fails(void **state) {
    (void)state;
    fixture f;
    open_fixture(&f, &(tiny_gguf_spec){.n_layers = 1, .context_length = 32, .rope_freqs = 1, .no_vocab = 1});
    f.backend->call->destroy(f.backend);
    for (int for_ever = 0; for_ever <= 1; for_ever++) {
        llmcall_status status = LLMCALL_E_NO_MEMORY;
        for (long n = 1; status != LLMCALL_OK; n++) {
            assert_true(n < 100000);
            status = load_failing_at(&f, n, for_ever);
            assert_true(status == LLMCALL_OK || status == LLMCALL_E_NO_MEMORY);
        }
    }
    tiny_gguf_free(&f.file);
}

/* The same for the vocabulary, whose many allocations are the tokenizer's. */
static void test_vocabulary_allocations_fail(void **state) {
    (void)state;
    fixture f;
    llmcall_status status = LLMCALL_E_NO_MEMORY;
    open_fixture(&f, &(tiny_gguf_spec){.n_layers = 1});
    f.options.vocab_only = 1;
    long before = f.memory.live;
    for (long n = 1; status != LLMCALL_OK; n++) {
        f.memory.count = 0;
        f.memory.fail_at = n;
        status = load(&f);
        assert_true(status == LLMCALL_OK || status == LLMCALL_E_NO_MEMORY);
        if (status != LLMCALL_OK) assert_int_equal(f.memory.live, before);
    }
    f.memory.fail_at = 0;
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_optional_parts),
        cmocka_unit_test(test_options_override),
        cmocka_unit_test(test_a_context_beyond_reason),
        cmocka_unit_test(test_vocab_only),
        cmocka_unit_test(test_missing_keys),
        cmocka_unit_test(test_absurd_keys),
        cmocka_unit_test(test_absurd_recurrent_values),
        cmocka_unit_test(test_recurrent_memory),
        cmocka_unit_test(test_experts_without_use),
        cmocka_unit_test(test_head_count_array),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_unknown_tensors),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_kv_bytes),
        cmocka_unit_test(test_kv_types),
        cmocka_unit_test(test_heads_that_no_block_fits),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_every_allocation_fails),
        cmocka_unit_test(test_vocabulary_allocations_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
