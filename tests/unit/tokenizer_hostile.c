/* Vocabularies and texts that contradict themselves, and memory that runs out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tokenizer_vocab.h"

static void base(vocab *v) {
    vocab_init(v, "gpt2", "smollm");
    vocab_add_bytes(v);
    vocab_merge(v, "a", "b");
    v->source.eos = vocab_add(v, "<|im_end|>", LLMC_TOKEN_CONTROL, 0);
}

static void assert_refused(const vocab *v, llmcall_status want, const char *param, const char *part) {
    failing_alloc alloc;
    llmc_env env;
    LLMCALL_INIT(llmcall_error, error);
    llmc_tokenizer *t = (llmc_tokenizer *)&alloc;
    failing_alloc_init(&alloc, &env);
    assert_int_equal(llmc_tokenizer_create(&env, &v->source, &t, &error), want);
    assert_null(t);
    assert_string_equal(error.param, param);
    if (!strstr(error.message, part)) fail_msg("\"%s\" does not say %s", error.message, part);
    assert_int_equal(alloc.live, 0);
}

static void unknown_kinds_are_named(void **state) {
    (void)state;
    vocab v;
    base(&v);
    v.source.model = "hybriddna";
    assert_refused(&v, LLMCALL_E_UNSUPPORTED, "tokenizer.ggml.model", "\"hybriddna\"");
    v.source.model = NULL;
    assert_refused(&v, LLMCALL_E_UNSUPPORTED, "tokenizer.ggml.model", "\"\"");
    base(&v);
    v.source.pre = "whitespace";
    assert_refused(&v, LLMCALL_E_UNSUPPORTED, "tokenizer.ggml.pre", "\"whitespace\"");
    v.source.pre = "";
    assert_refused(&v, LLMCALL_E_UNSUPPORTED, "tokenizer.ggml.pre", "\"\"");
}

static void bad_tokens_are_refused(void **state) {
    (void)state;
    vocab v;
    base(&v);
    v.source.n_tokens = 0;
    assert_refused(&v, LLMCALL_E_FORMAT, "tokenizer.ggml.tokens", "no tokens");
    v.source.n_tokens = LLMC_VOCAB_MAX_TOKENS + 1;
    assert_refused(&v, LLMCALL_E_FORMAT, "tokenizer.ggml.tokens", "16777217");
    base(&v);
    v.types[7] = 9;
    assert_refused(&v, LLMCALL_E_FORMAT, "tokenizer.ggml.token_type", "token 7 has type 9");
    v.types[7] = -1;
    assert_refused(&v, LLMCALL_E_FORMAT, "tokenizer.ggml.token_type", "token 7 has type -1");
    base(&v);
    vocab_add(&v, "ab", LLMC_TOKEN_NORMAL, 0);
    assert_refused(&v, LLMCALL_E_FORMAT, "tokenizer.ggml.tokens", "tokens 256 and 258");
    base(&v);
    v.sizes[3] = LLMC_VOCAB_MAX_TEXT + 1;
    assert_refused(&v, LLMCALL_E_FORMAT, "tokenizer.ggml.tokens", "token 3");
    base(&v);
    vocab_add(&v, "<0xg1>", LLMC_TOKEN_BYTE, 0);
    assert_refused(&v, LLMCALL_E_FORMAT, "tokenizer.ggml.tokens", "<0xg1>");
    base(&v);
    static char text[600];
    memset(text, 'x', sizeof text);
    base(&v);
    v.source.model = "bert";
    v.texts[5] = text;
    v.sizes[5] = 513;
    assert_refused(&v, LLMCALL_E_FORMAT, "tokenizer.ggml.tokens", "token 5");
    base(&v);
    const int32_t id = vocab_add(&v, "", LLMC_TOKEN_CONTROL, 0);
    v.texts[id] = text;
    v.sizes[id] = LLMC_VOCAB_MAX_SPECIAL + 1;
    assert_refused(&v, LLMCALL_E_FORMAT, "tokenizer.ggml.tokens", "special token");
}

static void bad_merges_are_refused(void **state) {
    (void)state;
    static const char *const merges[] = {"a", "", " ", "a  ", "ab xyz", "x y", "\xff \xfe", "a \xe6\xbc\xa2"};
    for (size_t i = 0; i < sizeof merges / sizeof *merges; i++) {
        vocab v;
        base(&v);
        v.source.n_merges = 2;
        v.merges[1] = merges[i];
        v.merge_sizes[1] = (uint32_t)strlen(merges[i]);
        assert_refused(&v, LLMCALL_E_FORMAT, "tokenizer.ggml.merges", "merge 1");
    }
}

static void bad_special_ids_are_refused(void **state) {
    (void)state;
    vocab v;
    base(&v);
    v.source.bos = 258;
    assert_refused(&v, LLMCALL_E_FORMAT, "tokenizer.ggml.bos_token_id", "258");
    base(&v);
    v.source.eot = INT32_MIN;
    assert_refused(&v, LLMCALL_E_FORMAT, "tokenizer.ggml.eot_token_id", "-2147483648");
    base(&v);
    v.source.add_bos = 1;
    assert_refused(&v, LLMCALL_E_FORMAT, "tokenizer.ggml.add_bos_token", "BOS");
}

static void odd_vocabularies_are_served(void **state) {
    (void)state;
    llmc_env env;
    vocab v;
    size_t size;
    llmc_env_init(&env, NULL);
    base(&v);
    vocab_add(&v, "", LLMC_TOKEN_NORMAL, 0); /* 258 */
    vocab_add(&v, "\xff\xfe", LLMC_TOKEN_NORMAL, 0);
    vocab_add(&v, "a b", LLMC_TOKEN_NORMAL, 0); /* a space is not in the byte alphabet */
    vocab_add(&v, "unused", LLMC_TOKEN_UNUSED, 0);
    llmc_tokenizer *t = vocab_open(&v, &env);
    assert_string_equal(llmc_tokenizer_name(t, 258, &size), "[EMPTY_258]");
    assert_memory_equal(llmc_tokenizer_piece(t, 259, &size), "\xff\xfe", 2);
    assert_memory_equal(llmc_tokenizer_piece(t, 260, &size), "a b", 3);
    assert_string_equal(llmc_tokenizer_piece(t, 261, &size), "");
    assert_string_equal(llmc_tokenizer_piece(t, -1, &size), "");
    assert_string_equal(llmc_tokenizer_name(t, INT32_MAX, &size), "");
    assert_int_equal(size, 0);
    assert_string_equal(ids_of(t, &env, "a b", 0), "97 32 98");
    llmc_tokenizer_destroy(&t);
    llmc_tokenizer_destroy(&t);
    llmc_tokenizer_destroy(NULL);
}

static void scores_that_are_no_numbers_do_no_harm(void **state) {
    (void)state;
    const uint32_t bits[] = {0x7fc00000u, 0xffffffffu, 0x7f800000u, 0xff800000u, 0x7fffffffu};
    llmc_env env;
    vocab v;
    llmc_env_init(&env, NULL);
    vocab_init(&v, "llama", NULL);
    const char *texts[] = {"a", "aa", "aaa", "b", "ab"};
    for (size_t i = 0; i < 5; i++) {
        float score;
        memcpy(&score, &bits[i], sizeof score);
        vocab_add(&v, texts[i], LLMC_TOKEN_NORMAL, score);
    }
    llmc_tokenizer *t = vocab_open(&v, &env);
    assert_true(strlen(ids_of(t, &env, "aaaaaaaabaaaaaabaaaaaaaaaaaaaaaabaaaaaaaaaaaaaaaabbbbbaaaaaaaaaabab", 0)) > 0);
    llmc_tokenizer_destroy(&t);
}

static void broken_utf8_is_named_by_offset(void **state) {
    (void)state;
    llmc_env env;
    vocab v;
    LLMCALL_INIT(llmcall_error, error);
    llmc_env_init(&env, NULL);
    base(&v);
    llmc_tokenizer *t = vocab_open(&v, &env);
    llmc_token_list list = {0};
    assert_int_equal(llmc_tokenizer_encode(t, "ab", 2, 0, &list, NULL), LLMCALL_OK);
    assert_int_equal(llmc_tokenizer_encode(t, "ab\xed\xa0\x80", 5, 0, &list, &error), LLMCALL_E_UTF8);
    assert_non_null(strstr(error.message, "offset 2 is 0xed"));
    assert_int_equal(list.n, 1);
    assert_int_equal(llmc_tokenizer_encode(t, NULL, 0, 0, &list, &error), LLMCALL_OK);
    assert_int_equal(llmc_tokenizer_encode(t, "x", (size_t)LLMC_ENCODE_MAX_BYTES + 1, 0, &list, &error), LLMCALL_E_ARGUMENT);
    assert_int_equal(list.n, 1);
    llmc_token_list_free(&env, &list);
    llmc_tokenizer_destroy(&t);
}

static llmcall_status create_and_encode(const vocab *v, const llmc_env *env) {
    static char text[1200];
    LLMCALL_INIT(llmcall_error, error);
    llmc_tokenizer *t = NULL;
    llmc_token_list list = {0};
    memset(text, 'a', sizeof text);
    memcpy(text + 600, " <|im_end|>ab ", 14);
    llmcall_status status = llmc_tokenizer_create(env, &v->source, &t, &error);
    if (!status) status = llmc_tokenizer_encode(t, text, sizeof text, LLMC_ENCODE_SPECIAL | LLMC_ENCODE_BOS_EOS, &list, &error);
    assert_int_equal(error.status, status);
    if (status) assert_int_equal(list.n, 0);
    llmc_token_list_free(env, &list);
    llmc_tokenizer_destroy(&t);
    return status;
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    static const char *const models[] = {"gpt2", "llama", "gemma4", "bert", "t5", "rwkv"};
    for (size_t kind = 0; kind < sizeof models / sizeof *models; kind++) {
        vocab v;
        base(&v);
        v.source.model = models[kind];
        v.source.bos = 1;
        static const uint8_t charsmap[] = {4, 0, 0, 0, 0, 0, 0, 0, 'a', 0};
        v.source.charsmap = charsmap;
        v.source.charsmap_size = sizeof charsmap;
        for (long n = 1;; n++) {
            failing_alloc alloc;
            llmc_env env;
            failing_alloc_init(&alloc, &env);
            alloc.fail_at = n;
            llmcall_status status = create_and_encode(&v, &env);
            assert_int_equal(alloc.live, 0);
            if (status == LLMCALL_OK && alloc.count < n) break;
            if (status != LLMCALL_OK) assert_int_equal(status, LLMCALL_E_NO_MEMORY);
            assert_true(n < 1000);
        }
    }
}

/* Every token that a row of one letter can hold, and one that it cannot: each place is looked at as far as keys go, and no
 * further. */
static void long_keys_cost_a_bounded_time(void **state) {
    (void)state;
    static const char *const models[] = {"t5", "rwkv", "bert"};
    static char key[513];
    enum { SIZE = 1 << 16 };
    llmc_env env;
    llmc_env_init(&env, NULL);
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, 'a', SIZE);
    memset(key, 'a', 511);
    key[511] = 'b';
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        vocab v;
        llmc_token_list list = {0};
        vocab_init(&v, models[i], NULL);
        for (int k = 0; k < 300; k++) vocab_add(&v, "", LLMC_TOKEN_NORMAL, -1);
        for (int k = 0; k < 300; k++) {
            v.texts[k] = key + (k ? 511 - k : 0);
            v.sizes[k] = k ? (uint32_t)k : 512;
        }
        llmc_tokenizer *t = vocab_open(&v, &env);
        assert_int_equal(llmc_tokenizer_encode(t, text, SIZE, 0, &list, NULL), LLMCALL_OK);
        assert_true(list.n <= SIZE);
        llmc_token_list_free(&env, &list);
        llmc_tokenizer_destroy(&t);
    }
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_kinds_are_named),        cmocka_unit_test(bad_tokens_are_refused),
        cmocka_unit_test(bad_merges_are_refused),         cmocka_unit_test(bad_special_ids_are_refused),
        cmocka_unit_test(odd_vocabularies_are_served),    cmocka_unit_test(scores_that_are_no_numbers_do_no_harm),
        cmocka_unit_test(broken_utf8_is_named_by_offset), cmocka_unit_test(memory_may_run_out_anywhere),
        cmocka_unit_test(long_keys_cost_a_bounded_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
