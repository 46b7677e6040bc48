/* WordPiece: how a text is cleaned and cut into words, and how words are spelled. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tokenizer_vocab.h"

#define MARK "\xe2\x96\x81"

enum { PAD, UNK, CLS, SEP };

static void base(vocab *v) {
    static const char *const words[] = {"un", "aff", "hello", "a", "i", "!", "$", "\xe4\xb8\xad", "\xc3\xa9", "\xe1\x84\x92"};
    static const char *const parts[] = {"aff", "able", "a", "b", "\xe1\x85\xa1"};
    char text[64];
    vocab_init(v, "bert", "bert-bge");
    vocab_add(v, "[PAD]", LLMC_TOKEN_CONTROL, 0);
    v->source.unk = vocab_add(v, "[UNK]", LLMC_TOKEN_UNKNOWN, 0);
    v->source.cls = vocab_add(v, "[CLS]", LLMC_TOKEN_CONTROL, 0);
    v->source.sep = vocab_add(v, "[SEP]", LLMC_TOKEN_CONTROL, 0);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        snprintf(text, sizeof text, MARK "%s", words[i]);
        vocab_add(v, text, LLMC_TOKEN_NORMAL, 0);
    }
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) vocab_add(v, parts[i], LLMC_TOKEN_NORMAL, 0);
}

static void assert_pieces(const vocab *v, const char *text, const char *want) {
    llmc_env env;
    llmc_env_init(&env, NULL);
    llmc_tokenizer *t = vocab_open(v, &env);
    assert_string_equal(pieces_of(t, &env, text, 0), want);
    llmc_tokenizer_destroy(&t);
}

static void words_are_spelled_with_the_longest_tokens(void **state) {
    (void)state;
    vocab v;
    base(&v);
    assert_pieces(&v, "unaffable", " un|aff|able");
    assert_pieces(&v, "aff affb", " aff| aff|b");
    assert_pieces(&v, "unx un", "[UNK]| un"); /* as a whole */
    assert_pieces(&v, "xyz", "[UNK]");
    assert_pieces(&v, "un" MARK "un", "[UNK]"); /* which begins a word in GGUF alone */
    assert_pieces(&v, "", "");
}

static void texts_are_cleaned_and_cut(void **state) {
    (void)state;
    vocab v;
    base(&v);
    assert_pieces(&v, " Hello\t\n HELLO\xe3\x80\x80", " hello| hello");
    assert_pieces(&v, "a!!$a", " a| !| !| $| a");
    assert_pieces(&v,
                  "a\xe4\xb8\xad\xe4\xb8\xad"
                  "a",
                  " a| \xe4\xb8\xad| \xe4\xb8\xad| a");
    assert_pieces(&v,
                  "a\x01\xe2\x80\x8b\xef\xbf\xbd"
                  "a",
                  " a|a"); /* control, format, U+FFFD: dropped */
    assert_pieces(&v, "\xc3\xa1 \xc3\x81 a\xcc\x81 \xc4\xb0", " a| a| a| i");
    assert_pieces(&v, "\xed\x95\x98", " \xe1\x84\x92|\xe1\x85\xa1"); /* a syllable becomes its letters */
    v.source.strip_accents = 0;
    assert_pieces(&v, "\xc3\x89", " \xc3\xa9");
    v.source.lowercase = 0;
    assert_pieces(&v, "Hello hello", "[UNK]| hello");
}

static void a_word_has_at_most_100_characters(void **state) {
    (void)state;
    char text[128];
    vocab v;
    llmc_env env;
    llmc_env_init(&env, NULL);
    base(&v);
    llmc_tokenizer *t = vocab_open(&v, &env);
    memset(text, 'a', sizeof text);
    text[100] = 0;
    assert_int_equal(strlen(pieces_of(t, &env, text, 0)), 2 + 99 * 2);
    text[100] = 'a', text[101] = 0;
    assert_string_equal(pieces_of(t, &env, text, 0), "[UNK]");
    llmc_tokenizer_destroy(&t);
}

static void texts_are_enclosed(void **state) {
    (void)state;
    vocab v;
    llmc_env env;
    llmc_env_init(&env, NULL);
    base(&v);
    v.source.add_bos = 0; /* as llama.cpp, which does not ask */
    llmc_tokenizer *t = vocab_open(&v, &env);
    assert_string_equal(ids_of(t, &env, "", LLMC_ENCODE_BOS_EOS), "2 3");
    assert_string_equal(pieces_of(t, &env, "a[SEP]a", LLMC_ENCODE_BOS_EOS | LLMC_ENCODE_SPECIAL), "[CLS]| a|[SEP]| a|[SEP]");
    assert_int_equal(llmc_tokenizer_special(t, LLMC_SPECIAL_BOS), CLS);
    llmc_tokenizer_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_are_spelled_with_the_longest_tokens),
        cmocka_unit_test(texts_are_cleaned_and_cut),
        cmocka_unit_test(a_word_has_at_most_100_characters),
        cmocka_unit_test(texts_are_enclosed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
