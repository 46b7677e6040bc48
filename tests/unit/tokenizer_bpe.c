/* Byte-level BPE: merge order, special tokens, and both merge paths against a naive one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tokenizer_vocab.h"

typedef struct fixture {
    failing_alloc alloc;
    llmc_env env;
    vocab v;
    llmc_tokenizer *t;
} fixture;

static void fixture_init(fixture *f, const char *pre) {
    failing_alloc_init(&f->alloc, &f->env);
    vocab_init(&f->v, "gpt2", pre);
    vocab_add_bytes(&f->v);
    f->t = NULL;
}

static void fixture_open(fixture *f) {
    f->t = vocab_open(&f->v, &f->env);
}

static void fixture_end(fixture *f) {
    llmc_tokenizer_destroy(&f->t);
    assert_null(f->t);
    assert_int_equal(f->alloc.live, 0);
}

static void merges_go_by_rank_then_left(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, "gpt-2");
    vocab_merge(&f.v, "b", "c");
    vocab_merge(&f.v, "a", "b");
    vocab_merge(&f.v, "a", "a");
    vocab_merge(&f.v, "\xc4\xa0", "a"); /* a space */
    fixture_open(&f);
    assert_string_equal(pieces_of(f.t, &f.env, "abc", 0), "a|bc");
    assert_string_equal(pieces_of(f.t, &f.env, "aaaaa", 0), "aa|aa|a");
    assert_string_equal(pieces_of(f.t, &f.env, "ab aa", 0), "ab| |aa");
    assert_string_equal(pieces_of(f.t, &f.env, "ab ab", 0), "ab| |ab");
    assert_string_equal(pieces_of(f.t, &f.env, "", 0), "");
    fixture_end(&f);
}

static void a_token_without_merges_is_used_only_where_the_kind_says_so(void **state) {
    (void)state;
    const struct {
        const char *pre, *want;
    } cases[] = {{"gpt-2", "x|y|z"}, {"qwen2", "x|y|z"}, {"smaug-bpe", "x|y|z"}, {"llama-bpe", "xyz"}, {"glm4", "xyz"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        fixture f;
        fixture_init(&f, cases[i].pre);
        vocab_add(&f.v, "xyz", LLMC_TOKEN_NORMAL, 0);
        fixture_open(&f);
        assert_string_equal(pieces_of(f.t, &f.env, "xyz", 0), cases[i].want);
        fixture_end(&f);
    }
}

static void special_tokens_are_found_longest_first(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, "gpt-2");
    const int32_t start = vocab_add(&f.v, "<|a|>", LLMC_TOKEN_CONTROL, 0);
    vocab_add(&f.v, "<|a|><|b|>", LLMC_TOKEN_CONTROL, 0);
    vocab_add(&f.v, "|>--", LLMC_TOKEN_CONTROL, 0);
    vocab_add(&f.v, "##", LLMC_TOKEN_USER_DEFINED, 0);
    vocab_add(&f.v, "###", LLMC_TOKEN_USER_DEFINED, 0);
    vocab_add(&f.v, "<unk>", LLMC_TOKEN_UNKNOWN, 0);
    fixture_open(&f);
    assert_string_equal(pieces_of(f.t, &f.env, "x<|a|>y", LLMC_ENCODE_SPECIAL), "x|<|a|>|y");
    assert_string_equal(pieces_of(f.t, &f.env, "<|a|><|b|><|a|>", LLMC_ENCODE_SPECIAL), "<|a|><|b|>|<|a|>");
    assert_string_equal(pieces_of(f.t, &f.env, "<|a|>--", LLMC_ENCODE_SPECIAL), "<|a|>|-|-"); /* 5 bytes beat 4 */
    assert_string_equal(pieces_of(f.t, &f.env, "<|a", LLMC_ENCODE_SPECIAL), "<|||a");
    assert_string_equal(pieces_of(f.t, &f.env, "<|a|>", 0), "<|||a|||>");
    assert_string_equal(pieces_of(f.t, &f.env, "#####", 0), "###|##"); /* user-defined: always */
    assert_string_equal(pieces_of(f.t, &f.env, "#######", 0), "###|###|#");
    size_t size = 9;
    assert_string_equal(llmc_tokenizer_piece(f.t, start, &size), "");
    assert_int_equal(size, 0);
    assert_string_equal(llmc_tokenizer_name(f.t, start, &size), "<|a|>");
    assert_int_equal(size, 5);
    fixture_end(&f);
}

static void ends_of_generation_go_by_id_and_by_name(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, "gpt-2");
    const int32_t end = vocab_add(&f.v, "<|im_end|>", LLMC_TOKEN_NORMAL, 0),
                  pad = vocab_add(&f.v, "[PAD]", LLMC_TOKEN_NORMAL, 0);
    const int32_t channel = vocab_add(&f.v, "<|channel|>", LLMC_TOKEN_CONTROL, 0);
    const int32_t deepseek = vocab_add(&f.v,
                                       "<\xef\xbd\x9c"
                                       "end\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
                                       LLMC_TOKEN_NORMAL, 0);
    f.v.source.eos = 65;
    f.v.source.bos = 66;
    f.v.source.add_bos = 1;
    f.v.source.add_eos = 1;
    fixture_open(&f);
    assert_true(llmc_tokenizer_is_eog(f.t, end) && llmc_tokenizer_is_control(f.t, end));
    assert_true(llmc_tokenizer_is_eog(f.t, pad) && llmc_tokenizer_is_eog(f.t, deepseek));
    assert_true(llmc_tokenizer_is_eog(f.t, 65) && !llmc_tokenizer_is_control(f.t, 65));
    assert_false(llmc_tokenizer_is_eog(f.t, channel) || llmc_tokenizer_is_control(f.t, channel));
    assert_false(llmc_tokenizer_is_eog(f.t, 66));
    assert_false(llmc_tokenizer_is_eog(f.t, -1) || llmc_tokenizer_is_eog(f.t, 100000));
    assert_int_equal(llmc_tokenizer_special(f.t, LLMC_SPECIAL_EOT), end);
    assert_int_equal(llmc_tokenizer_special(f.t, LLMC_SPECIAL_UNK), -1);
    assert_string_equal(ids_of(f.t, &f.env, "x", LLMC_ENCODE_BOS_EOS), "66 120 65");
    assert_string_equal(ids_of(f.t, &f.env, "x", 0), "120");
    fixture_end(&f);
}

/* The definition: join the lowest-ranked, leftmost pair until there is none. */
static size_t naive_merge(const vocab *v, char words[][64], size_t n) {
    for (;;) {
        uint32_t best = UINT32_MAX;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            char pair[160];
            snprintf(pair, sizeof pair, "%.63s %.63s", words[i], words[i + 1]);
            for (uint32_t r = 0; r < v->source.n_merges && r < best; r++) {
                if (strcmp(v->merge[r], pair) != 0) continue;
                best = r;
                at = i;
            }
        }
        if (best == UINT32_MAX) return n;
        memmove(words[at] + strlen(words[at]), words[at + 1], strlen(words[at + 1]) + 1);
        memmove(words[at + 1], words[at + 2], (n - at - 2) * 64);
        n--;
    }
}

static void both_merge_paths_are_the_definition(void **state) {
    (void)state;
    static char words[200][64];
    fixture f;
    fixture_init(&f, "gpt-2");
    const char *pairs[][2] = {{"a", "b"},     {"b", "c"}, {"a", "a"},   {"ab", "c"}, {"c", "a"},   {"aa", "aa"},   {"bc", "a"},
                              {"abc", "abc"}, {"b", "b"}, {"aa", "ab"}, {"ca", "b"}, {"bb", "bb"}, {"aaaa", "aa"}, {"c", "c"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) vocab_merge(&f.v, pairs[i][0], pairs[i][1]);
    fixture_open(&f);
    uint32_t random = 1;
    for (size_t round = 0; round < 300; round++) {
        char text[201];
        const size_t n = 1 + round % 200;
        for (size_t i = 0; i < n; i++) {
            random = random * 1664525 + 1013904223;
            text[i] = (char)('a' + (random >> 24) % 3);
            snprintf(words[i], sizeof words[i], "%c", text[i]);
        }
        text[n] = 0;
        char want[4096] = "";
        const size_t left = naive_merge(&f.v, words, n);
        for (size_t i = 0, at = 0; i < left; i++)
            at += (size_t)snprintf(want + at, sizeof want - at, "%s%s", i ? "|" : "", words[i]);
        assert_string_equal(pieces_of(f.t, &f.env, text, 0), want);
    }
    fixture_end(&f);
}

static void decoding_gives_the_text_back(void **state) {
    (void)state;
    fixture f;
    fixture_init(&f, "smollm");
    vocab_merge(&f.v, "\xc4\xa0", "a");
    f.v.source.bos = vocab_add(&f.v, "<s>", LLMC_TOKEN_CONTROL, 0);
    f.v.source.add_bos = 1;
    fixture_open(&f);
    const char text[] = " a\n\x01\xc3\xa9\xf0\x9f\x98\x80 a '!?  \xe2\x80\xa8";
    llmc_token_list list = {0};
    llmc_buffer out;
    llmc_buffer_init(&out, &f.env, 1000);
    assert_int_equal(llmc_tokenizer_encode(f.t, text, sizeof text, LLMC_ENCODE_BOS_EOS, &list, NULL),
                     LLMCALL_OK); /* with its NUL */
    assert_int_equal(llmc_tokenizer_decode(f.t, list.ids, list.n, 0, &out, NULL), LLMCALL_OK);
    assert_int_equal(out.size, sizeof text);
    assert_memory_equal(out.data, text, sizeof text);
    llmc_buffer_clear(&out);
    assert_int_equal(llmc_tokenizer_decode(f.t, list.ids, 1, LLMC_DECODE_SPECIAL, &out, NULL), LLMCALL_OK);
    assert_string_equal(out.data, "<s>");
    const int32_t absent = 100000;
    assert_int_equal(llmc_tokenizer_decode(f.t, &absent, 1, 0, &out, NULL), LLMCALL_E_ARGUMENT);
    llmc_buffer_free(&out);
    llmc_token_list_free(&f.env, &list);
    fixture_end(&f);
}

static void a_byte_without_token_gives_nothing(void **state) {
    (void)state;
    llmc_env env;
    vocab v;
    llmc_env_init(&env, NULL);
    vocab_init(&v, "gpt2", "gpt-2");
    vocab_add(&v, "a", LLMC_TOKEN_NORMAL, 0);
    vocab_add(&v, "b", LLMC_TOKEN_NORMAL, 0);
    vocab_merge(&v, "a", "b");
    llmc_tokenizer *t = vocab_open(&v, &env);
    assert_string_equal(ids_of(t, &env, "abxa", 0), "2 0");
    llmc_tokenizer_destroy(&t);
}

static void a_megabyte_without_a_break_takes_no_time(void **state) {
    (void)state;
    enum { SIZE = 1 << 20 };
    fixture f;
    fixture_init(&f, "smollm");
    vocab_merge(&f.v, "a", "a");
    vocab_merge(&f.v, "aa", "aa");
    vocab_merge(&f.v, "aaaa", "aaaa");
    vocab_add(&f.v, "aaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa9", LLMC_TOKEN_USER_DEFINED, 0);
    fixture_open(&f);
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, 'a', SIZE);
    llmc_token_list list = {0};
    assert_int_equal(llmc_tokenizer_encode(f.t, text, SIZE, 0, &list, NULL), LLMCALL_OK);
    assert_int_equal(list.n, SIZE / 8);
    list.n = 0;
    memset(text, ' ', SIZE);
    assert_int_equal(llmc_tokenizer_encode(f.t, text, SIZE, LLMC_ENCODE_SPECIAL, &list, NULL), LLMCALL_OK);
    assert_int_equal(list.n, SIZE);
    llmc_token_list_free(&f.env, &list);
    free(text);
    fixture_end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merges_go_by_rank_then_left),
        cmocka_unit_test(a_token_without_merges_is_used_only_where_the_kind_says_so),
        cmocka_unit_test(special_tokens_are_found_longest_first),
        cmocka_unit_test(ends_of_generation_go_by_id_and_by_name),
        cmocka_unit_test(both_merge_paths_are_the_definition),
        cmocka_unit_test(decoding_gives_the_text_back),
        cmocka_unit_test(a_byte_without_token_gives_nothing),
        cmocka_unit_test(a_megabyte_without_a_break_takes_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
