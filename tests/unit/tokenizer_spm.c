/* SentencePiece: spaces, prefixes, byte fallback, and both merge paths against a naive one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tokenizer_vocab.h"

#define MARK "\xe2\x96\x81"

static void base(vocab *v) {
    vocab_init(v, "llama", NULL);
    vocab_add(v, "<unk>", LLMC_TOKEN_UNKNOWN, 0);
    vocab_add(v, "<s>", LLMC_TOKEN_CONTROL, 0);
    vocab_add(v, "</s>", LLMC_TOKEN_CONTROL, 0);
}

static void spaces_prefixes_and_bytes(void **state) {
    (void)state;
    llmc_env env;
    vocab v;
    llmc_env_init(&env, NULL);
    base(&v);
    vocab_add(&v, "<0x41>", LLMC_TOKEN_BYTE, 0); /* 3: A */
    vocab_add(&v, MARK, LLMC_TOKEN_NORMAL, -10); /* 4 */
    vocab_add(&v, "a", LLMC_TOKEN_NORMAL, -11);
    vocab_add(&v, MARK "a", LLMC_TOKEN_NORMAL, -1); /* 6 */
    vocab_add(&v, MARK MARK, LLMC_TOKEN_NORMAL, -2);
    llmc_tokenizer *t = vocab_open(&v, &env);
    assert_string_equal(ids_of(t, &env, "a", 0), "6");
    assert_string_equal(ids_of(t, &env, "a", LLMC_ENCODE_BOS_EOS), "1 6");
    assert_string_equal(ids_of(t, &env, "", LLMC_ENCODE_BOS_EOS), "1");
    assert_string_equal(ids_of(t, &env, " a a", 0), "4 6 6"); /* the pair on the right scores more */
    assert_string_equal(ids_of(t, &env, "<s>a</s>a", LLMC_ENCODE_SPECIAL), "1 6 2 6");
    assert_string_equal(ids_of(t, &env, "A!", 0), "4 3 0"); /* a byte token, then no token at all */
    assert_string_equal(ids_of(t, &env, "a   ", 0), "6 7 4");
    assert_true(llmc_tokenizer_is_eog(t, 2));
    assert_int_equal(llmc_tokenizer_special(t, LLMC_SPECIAL_BOS), 1);
    size_t size;
    const char *piece = llmc_tokenizer_piece(t, 6, &size);
    assert_int_equal(size, 2);
    assert_memory_equal(piece, " a", 2);
    assert_memory_equal(llmc_tokenizer_piece(t, 3, &size), "A", 1);
    assert_int_equal(size, 1);
    llmc_tokenizer_destroy(&t);
}

static void decoding_drops_the_first_space(void **state) {
    (void)state;
    llmc_env env;
    vocab v;
    llmc_buffer out;
    llmc_env_init(&env, NULL);
    base(&v);
    const int32_t a = vocab_add(&v, MARK "a", LLMC_TOKEN_NORMAL, 0);
    const int32_t ids[] = {1, a, a, 2}, twice[] = {a, a};
    llmc_tokenizer *t = vocab_open(&v, &env);
    llmc_buffer_init(&out, &env, 100);
    assert_int_equal(llmc_tokenizer_decode(t, twice, 2, 0, &out, NULL), LLMCALL_OK);
    assert_string_equal(out.data, "a a");
    llmc_buffer_clear(&out);
    assert_int_equal(llmc_tokenizer_decode(t, ids, 4, LLMC_DECODE_SPECIAL, &out, NULL), LLMCALL_OK);
    assert_string_equal(out.data, "<s> a a</s>");
    llmc_buffer_clear(&out);
    assert_int_equal(llmc_tokenizer_decode(t, ids, 4, LLMC_DECODE_BOS_EOS, &out, NULL), LLMCALL_OK);
    assert_string_equal(out.data, " a a");
    llmc_buffer_free(&out);
    llmc_tokenizer_destroy(&t);

    v.source.add_space_prefix = 0;
    t = vocab_open(&v, &env);
    assert_int_equal(llmc_tokenizer_decode(t, twice, 2, 0, &out, NULL), LLMCALL_OK);
    assert_string_equal(out.data, " a a");
    assert_string_equal(pieces_of(t, &env, " a", 0), " a");
    llmc_buffer_free(&out);
    llmc_tokenizer_destroy(&t);
}

/* The definition: join the pair whose token scores most, leftmost first. */
static size_t naive_merge(const vocab *v, char words[][64], size_t n) {
    for (;;) {
        int32_t best = -1;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            char both[160];
            snprintf(both, sizeof both, "%.63s%.63s", words[i], words[i + 1]);
            for (uint32_t id = 0; id < v->source.n_tokens; id++) {
                if (strcmp(v->text[id], both) != 0 || (best >= 0 && v->scores[id] <= v->scores[best])) continue;
                best = (int32_t)id;
                at = i;
            }
        }
        if (best < 0) return n;
        memmove(words[at] + strlen(words[at]), words[at + 1], strlen(words[at + 1]) + 1);
        memmove(words[at + 1], words[at + 2], (n - at - 2) * 64);
        n--;
    }
}

static void both_merge_paths_are_the_definition(void **state) {
    (void)state;
    static const char *const texts[] = {"a",  "b",    "\xc3\xa9",        "ab", "ba", "aa", "a\xc3\xa9", "aba", "aab", "aaa",
                                        "bb", "abab", "\xc3\xa9\xc3\xa9"};
    static const float scores[] = {-1, -2, -3, -5, -5, -7, -4.5f, 0.5f, -6, -0.0f, 0.0f, 2, -30};
    static char words[200][64];
    llmc_env env;
    vocab v;
    llmc_env_init(&env, NULL);
    base(&v);
    v.source.add_space_prefix = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) vocab_add(&v, texts[i], LLMC_TOKEN_NORMAL, scores[i]);
    llmc_tokenizer *t = vocab_open(&v, &env);
    uint32_t random = 1;
    for (size_t round = 0; round < 300; round++) {
        char text[500] = "", want[4096] = "";
        const size_t n = 1 + round % 200;
        for (size_t i = 0; i < n; i++) {
            random = random * 1664525 + 1013904223;
            snprintf(words[i], sizeof words[i], "%s", texts[(random >> 24) % 8 / 3]);
            strcat(text, words[i]);
        }
        const size_t left = naive_merge(&v, words, n);
        for (size_t i = 0, at = 0; i < left; i++)
            at += (size_t)snprintf(want + at, sizeof want - at, "%s%s", i ? "|" : "", words[i]);
        assert_string_equal(pieces_of(t, &env, text, 0), want);
    }
    llmc_tokenizer_destroy(&t);
}

static void a_megabyte_without_a_break_takes_no_time(void **state) {
    (void)state;
    enum { SIZE = 1 << 20 };
    llmc_env env;
    vocab v;
    llmc_env_init(&env, NULL);
    base(&v);
    v.source.add_space_prefix = 0;
    vocab_add(&v, "a", LLMC_TOKEN_NORMAL, -9);
    vocab_add(&v, "aa", LLMC_TOKEN_NORMAL, -2);
    vocab_add(&v, "aaaa", LLMC_TOKEN_NORMAL, -1);
    llmc_tokenizer *t = vocab_open(&v, &env);
    char *text = malloc(SIZE);
    assert_non_null(text);
    memset(text, 'a', SIZE);
    llmc_token_list list = {0};
    assert_int_equal(llmc_tokenizer_encode(t, text, SIZE, 0, &list, NULL), LLMCALL_OK);
    assert_int_equal(list.n, SIZE / 4);
    llmc_token_list_free(&env, &list);
    free(text);
    llmc_tokenizer_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spaces_prefixes_and_bytes),
        cmocka_unit_test(decoding_drops_the_first_space),
        cmocka_unit_test(both_merge_paths_are_the_definition),
        cmocka_unit_test(a_megabyte_without_a_break_takes_no_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
