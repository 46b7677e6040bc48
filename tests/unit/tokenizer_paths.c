/* Unigram, PLaMo-2 and RWKV: the best paths, normalization and character maps, honest and hostile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tokenizer/charsmap.h"
#include "tokenizer_vocab.h"

#define SPACE "\xe2\x96\x81"

static void add_all(vocab *v, const char *const *texts, const float *scores, size_t n) {
    for (size_t i = 0; i < n; i++) vocab_add(v, texts[i], LLMC_TOKEN_NORMAL, scores ? scores[i] : 0);
}

static void assert_ids(const vocab *v, const char *text, uint32_t flags, const char *want) {
    llmc_env env;
    llmc_env_init(&env, NULL);
    llmc_tokenizer *t = vocab_open(v, &env);
    assert_string_equal(ids_of(t, &env, text, flags), want);
    llmc_tokenizer_destroy(&t);
}

/* 0 <pad>, 1 </s>, 2 <unk>, 3 the space, 4 ab, 5 a, 6 b, 7 bc, 8 <mask>, 9 space a */
static void unigram(vocab *v) {
    static const char *const texts[] = {SPACE, "ab", "a", "b", "bc"};
    static const float scores[] = {-2, -3, -2, -2.5f, -2};
    vocab_init(v, "t5", NULL);
    vocab_add(v, "<pad>", LLMC_TOKEN_CONTROL, 0);
    vocab_add(v, "</s>", LLMC_TOKEN_CONTROL, 0);
    vocab_add(v, "<unk>", LLMC_TOKEN_UNKNOWN, 0);
    add_all(v, texts, scores, 5);
    vocab_add(v, "<mask>", LLMC_TOKEN_USER_DEFINED, 0);
    vocab_add(v, SPACE "a", LLMC_TOKEN_NORMAL, -3.5f);
}

static void unigram_takes_the_likeliest_path(void **state) {
    (void)state;
    vocab v;
    unigram(&v);
    assert_ids(&v, "ab", 0, "4");
    assert_ids(&v, "abc", 0, "5 7"); /* -4, not -3 and an unknown c */
    assert_ids(&v, "abb", 0, "4 6");
    assert_ids(&v, "xyab", 0, "2 4"); /* a row of unknown characters is one */
    assert_ids(&v, "axbx", 0, "5 2 6 2");
    assert_ids(&v, "a", LLMC_ENCODE_BOS_EOS, "5 1");
    assert_ids(&v, "", LLMC_ENCODE_BOS_EOS, "1");
    assert_ids(&v, "</s>", 0, "2"); /* text */
    assert_ids(&v, "b</s>", LLMC_ENCODE_SPECIAL, "6 1");
    v.source.unk = 2;
    v.types[2] = LLMC_TOKEN_NORMAL;
    assert_ids(&v, "x", 0, "2");
}

static void unigram_spaces_are_as_the_vocabulary_asks(void **state) {
    (void)state;
    vocab v;
    unigram(&v);
    assert_ids(&v, " a  b ", 0, "9 3 3 6 3");
    v.source.add_space_prefix = 1;
    assert_ids(&v, "a", 0, "9");
    assert_ids(&v, " a", 0, "3 9");
    v.source.remove_extra_whitespaces = 1;
    assert_ids(&v, "  a   b  ", 0, "9 3 6");
    assert_ids(&v, "   ", 0, "");
    assert_ids(&v, "b <mask>b", 0, "3 6 8 3 6");
    v.source.swallow = LLMC_SWALLOW_BEFORE_MASK;
    v.source.remove_extra_whitespaces = 0;
    assert_ids(&v, "b \n<mask> b", 0, "3 6 8 3 3 6");
}

/* A double array by hand: "A" becomes "a", "AB" becomes "b c". The root's children are at 0x100, those of A at 0x200. */
enum { UNITS = 0x400, HEAD = 4 };
static size_t charsmap(uint8_t *bytes) {
    static const char texts[] = "a\0b c";
    const struct {
        uint32_t at, unit;
    } units[] = {{0, 0x100u << 10},
                 {0x100 ^ 'A', (0x100u ^ 'A' ^ 0x200) << 10 | 1u << 8 | 'A'}, /* a key ends here */
                 {0x200, 0x80000000u | 0},                                    /* its value: the place of "a" */
                 {0x200 ^ 'B', (0x200u ^ 'B' ^ 0x300) << 10 | 1u << 8 | 'B'},
                 {0x300, 0x80000000u | 2}};
    memset(bytes, 0, HEAD + UNITS * 4);
    bytes[1] = UNITS * 4 >> 8;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        for (size_t k = 0; k < 4; k++) bytes[HEAD + units[i].at * 4 + k] = (uint8_t)(units[i].unit >> 8 * k);
    memcpy(bytes + HEAD + UNITS * 4, texts, sizeof texts);
    return HEAD + UNITS * 4 + sizeof texts;
}

static void unigram_replaces_by_the_character_map(void **state) {
    (void)state;
    static uint8_t bytes[HEAD + UNITS * 4 + 16];
    vocab v;
    unigram(&v);
    v.source.charsmap = bytes;
    v.source.charsmap_size = charsmap(bytes);
    assert_ids(&v, "Ab", 0, "4");
    assert_ids(&v, "ABAb", 0, "6 3 2 4"); /* "b cab" */
    assert_ids(&v, "xA", 0, "2 5");
}

static void bad_character_maps_are_refused(void **state) {
    (void)state;
    static uint8_t bytes[HEAD + UNITS * 4 + 200];
    llmc_env env;
    llmc_env_init(&env, NULL);
    const size_t size = charsmap(bytes);
    for (int i = 0; i < 6; i++) {
        LLMCALL_INIT(llmcall_error, error);
        llmc_charsmap m;
        charsmap(bytes);
        size_t given = size;
        if (i == 0) given = 3;
        if (i == 1) given = HEAD + UNITS * 4;
        if (i == 2) given = size - 1; /* not terminated */
        if (i == 3) bytes[0] = 2;
        if (i == 4) bytes[3] = 0xff;
        if (i == 5) memset(bytes + size, 'x', 100), given = size + 101, bytes[given - 1] = 0;
        if (i == 5) bytes[size - 1] = 'x';
        assert_int_equal(llmc_charsmap_init(&m, &env, bytes, given, &error), LLMCALL_E_FORMAT);
        assert_string_equal(error.param, "tokenizer.ggml.precompiled_charsmap");
        llmc_charsmap_free(&m, &env);
    }
}

/* Units that point anywhere: no answer is right, but none may read outside. The copy ends where its memory does. */
static void hostile_character_maps_do_no_harm(void **state) {
    (void)state;
    static uint8_t bytes[HEAD + UNITS * 4 + 16];
    uint32_t seed = 7;
    llmc_env env;
    llmc_env_init(&env, NULL);
    for (int round = 0; round < 200; round++) {
        llmc_charsmap m;
        const char *replacement;
        size_t replacement_size;
        const size_t size = charsmap(bytes);
        for (size_t i = HEAD; i < HEAD + UNITS * 4; i++) {
            seed = seed * 1664525u + 1013904223u;
            if (seed >> 28 < 8) bytes[i] = (uint8_t)(seed >> 16);
        }
        assert_int_equal(llmc_charsmap_init(&m, &env, bytes, size, NULL), LLMCALL_OK);
        for (int k = 0; k < 100; k++) {
            char text[80];
            for (size_t i = 0; i < sizeof text; i++) text[i] = (char)((seed = seed * 1664525u + 1013904223u) >> 20);
            const size_t found = llmc_charsmap_find(&m, text, sizeof text, &replacement, &replacement_size);
            assert_true(found <= LLMC_CHARSMAP_MAX_KEY);
            if (found) assert_true(replacement_size <= LLMC_CHARSMAP_MAX_TEXT);
        }
        llmc_charsmap_free(&m, &env);
    }
}

static void add_byte_tokens(vocab *v) {
    for (int byte = 0; byte < 256; byte++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", byte);
        vocab_add(v, text, LLMC_TOKEN_BYTE, 0);
    }
}

static void plamo2_takes_the_best_path_and_then_bytes(void **state) {
    (void)state;
    static const char *const texts[] = {"a", "ab", "b", "bb", "\xe3\x81\x82"};
    static const float scores[] = {-1, -1.5f, -1, -1.5f, -1};
    vocab v;
    vocab_init(&v, "plamo2", NULL);
    vocab_add(&v, "<unk>", LLMC_TOKEN_UNKNOWN, 0);
    vocab_add(&v, "<|plamo:bos|>", LLMC_TOKEN_CONTROL, 0);
    vocab_add(&v, "<|plamo:eos|>", LLMC_TOKEN_CONTROL, 0);
    add_byte_tokens(&v); /* 3 to 258 */
    add_all(&v, texts, scores, 5);
    assert_ids(&v, "ab", 0, "260");
    assert_ids(&v, "abb", 0, "260 261"); /* as good as "a bb": the longer first token */
    assert_ids(&v, "abbb", 0, "260 262");
    assert_ids(&v, "a\n", LLMC_ENCODE_BOS_EOS, "259 13");
    assert_ids(&v, "\xe3\x81\x84\xe3\x81\x82", 0, "230 132 135 263");
    assert_ids(&v,
               "\xef\xbb\xbf"
               "a",
               0, "259");
    v.types[10] = LLMC_TOKEN_NORMAL; /* then "<0x07>" is text, and still the byte's token */
    assert_ids(&v, "\x07", 0, "10");
    snprintf(v.text[10], sizeof v.text[10], "<0x7>");
    v.sizes[10] = 5;
    llmc_env env;
    LLMCALL_INIT(llmcall_error, error);
    llmc_tokenizer *t;
    llmc_env_init(&env, NULL);
    assert_int_equal(llmc_tokenizer_create(&env, &v.source, &t, &error), LLMCALL_E_FORMAT);
    assert_non_null(strstr(error.message, "<0x07>"));
}

static void rwkv_takes_the_longest_token(void **state) {
    (void)state;
    static const char *const texts[] = {"a", "ab", "abcd", "\\n", "\\xe3\\x81", "\\\\x", "\\'", "c"};
    vocab v;
    llmc_env env;
    size_t size;
    llmc_env_init(&env, NULL);
    vocab_init(&v, "rwkv", NULL);
    vocab_add(&v, "<s>", LLMC_TOKEN_CONTROL, 0);
    add_all(&v, texts, NULL, 8);
    assert_ids(&v, "abcabcd\n", LLMC_ENCODE_BOS_EOS, "2 8 3 4");
    assert_ids(&v,
               "\xe3\x81\x82"
               "a",
               0, "5 1"); /* what begins no token is left out */
    assert_ids(&v, "\\x'", 0, "6 7");
    assert_ids(&v, "<s>a", 0, "1");
    llmc_tokenizer *t = vocab_open(&v, &env);
    assert_memory_equal(llmc_tokenizer_piece(t, 5, &size), "\xe3\x81", 2);
    assert_int_equal(size, 2);
    llmc_tokenizer_destroy(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unigram_takes_the_likeliest_path),      cmocka_unit_test(unigram_spaces_are_as_the_vocabulary_asks),
        cmocka_unit_test(unigram_replaces_by_the_character_map), cmocka_unit_test(bad_character_maps_are_refused),
        cmocka_unit_test(hostile_character_maps_do_no_harm),     cmocka_unit_test(plamo2_takes_the_best_path_and_then_bytes),
        cmocka_unit_test(rwkv_takes_the_longest_token),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
