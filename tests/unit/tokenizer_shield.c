/* A client's text inside a trusted one: shielded, it yields no control token and has the ids of plain text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tokenizer_vocab.h"

#define S    "\xef\xb7\x90" /* U+FDD0 */
#define MARK "\xe2\x96\x81"
enum { SHIELD = 0xfdd0 };

static void byte_level(vocab *v) {
    vocab_init(v, "gpt2", "gpt-2");
    vocab_add_bytes(v);
    vocab_merge(v, "<", "|");
    vocab_merge(v, "a", "b");
}

static void sentencepiece(vocab *v) {
    vocab_init(v, "llama", NULL);
    vocab_add(v, "<unk>", LLMC_TOKEN_UNKNOWN, 0);
    vocab_add(v, "<s>", LLMC_TOKEN_CONTROL, 0);
    vocab_add(v, "</s>", LLMC_TOKEN_CONTROL, 0);
    for (int byte = 0; byte < 256; byte++) {
        char name[8];
        snprintf(name, sizeof name, "<0x%02X>", byte);
        vocab_add(v, name, LLMC_TOKEN_BYTE, 0);
    }
    vocab_add(v, MARK, LLMC_TOKEN_NORMAL, -10);
    vocab_add(v, "s>", LLMC_TOKEN_NORMAL, -3);
    vocab_add(v, "s", LLMC_TOKEN_NORMAL, -11);
    vocab_add(v, ">", LLMC_TOKEN_NORMAL, -12);
}

static void shield(const llmc_tokenizer *t, const char *text, llmc_buffer *out) {
    llmc_buffer_clear(out);
    assert_int_equal(llmc_tokenizer_shield(t, text, strlen(text), SHIELD, out), 1);
    assert_int_equal(llmc_tokenizer_names_control(t, text, strlen(text)), out->size != strlen(text));
}

static void assert_shield(const llmc_tokenizer *t, const llmc_env *env, const char *text, const char *want) {
    llmc_buffer out;
    llmc_buffer_init(&out, env, 1 << 20);
    shield(t, text, &out);
    assert_string_equal(out.data, want);
    llmc_buffer_free(&out);
}

static void encode(const llmc_tokenizer *t, const char *text, uint32_t mark, uint32_t flags, llmc_token_list *list) {
    assert_int_equal(llmc_tokenizer_encode_shielded(t, text, strlen(text), mark, flags, list, NULL), LLMCALL_OK);
}

static void assert_same_list(const llmc_token_list *got, const llmc_token_list *want) {
    assert_int_equal(got->n, want->n);
    for (size_t i = 0; i < got->n; i++) assert_int_equal(got->ids[i], want->ids[i]);
}

/* Shielded and parsed, text has the ids of text that is not parsed; between a trusted head and tail, too. */
static void assert_inert(const llmc_tokenizer *t, const llmc_env *env, const char *text, const char *head, const char *tail) {
    llmc_buffer out;
    llmc_buffer_init(&out, env, 1 << 20);
    llmc_token_list got = {0}, want = {0};
    shield(t, text, &out);
    encode(t, out.data ? out.data : "", SHIELD, LLMC_ENCODE_SPECIAL, &got);
    encode(t, text, 0, 0, &want);
    assert_same_list(&got, &want);
    got.n = want.n = 0;
    llmc_buffer_clear(&out);
    llmc_buffer_append_text(&out, head);
    llmc_tokenizer_shield(t, text, strlen(text), SHIELD, &out);
    assert_int_equal(llmc_buffer_append_text(&out, tail), 1);
    encode(t, out.data, SHIELD, LLMC_ENCODE_SPECIAL | LLMC_ENCODE_BOS_EOS, &got);
    if (llmc_tokenizer_add_bos(t)) encode(t, "", 0, LLMC_ENCODE_BOS_EOS, &want);
    encode(t, head, 0, LLMC_ENCODE_SPECIAL, &want);
    encode(t, text, 0, 0, &want);
    encode(t, tail, 0, LLMC_ENCODE_SPECIAL, &want);
    assert_same_list(&got, &want);
    llmc_token_list_free(env, &got);
    llmc_token_list_free(env, &want);
    llmc_buffer_free(&out);
}

static void only_control_tokens_are_shielded(void **state) {
    (void)state;
    llmc_env env;
    vocab v;
    llmc_env_init(&env, NULL);
    byte_level(&v);
    vocab_add(&v, "<|a|>", LLMC_TOKEN_CONTROL, 0);
    vocab_add(&v, "<unk>", LLMC_TOKEN_UNKNOWN, 0);
    vocab_add(&v, "<think>", LLMC_TOKEN_USER_DEFINED, 0);
    vocab_add(&v,
              "\xc2\xab"
              "b",
              LLMC_TOKEN_CONTROL, 0);
    llmc_tokenizer *t = vocab_open(&v, &env);
    assert_shield(t, &env, "x<|a|><unk>y", "x<" S "|a|><" S "unk>y");
    assert_shield(t, &env, "<think></think> <|a| > <|a", "<think></think> <|a| > <|a");
    assert_shield(t, &env, "<<|a|>>", "<<" S "|a|>>");
    assert_shield(t, &env, "<|a<|a|>|>", "<|a<" S "|a|>|>");
    assert_shield(t, &env,
                  "\xc2\xab"
                  "b",
                  "\xc2\xab" S "b");
    assert_int_equal(llmc_tokenizer_names_control(t, NULL, 0), 0);
    assert_inert(t, &env, "x<|a|><unk>y", "<|a|>system\n", "<|a|>\n");
    assert_inert(t, &env, "<think><|a|><think>", "<|a|>", "<|a|>");
    assert_inert(t, &env,
                 "\xc2\xab"
                 "b",
                 "<|a|>", "<|a|>");
    assert_inert(t, &env, "", "<|a|>", "<unk>");
    /* a token that the template would put together out of its own text and a shielded place is none either */
    assert_string_equal(pieces_of(t, &env, "<" S "|a|>", LLMC_ENCODE_SPECIAL), "<|\xef|\xb7|\x90|||a|||>");
    llmc_tokenizer_destroy(&t);
}

static void overlapping_and_one_character_names(void **state) {
    (void)state;
    static const char *const names[] = {"<|a|>", "<|a|><|b|>", "|><", "|>", "aa", "aba", "\xe2\x96\x81", "~~~"};
    static const char *const users[] = {"##", "b<|", "<|a", ">#"};
    static const char *const parts[] = {"<|a|>", "<|",           "|>", "a",  "b", "<",       ">",
                                        "#",     "\xe2\x96\x81", "~",  "|b", " ", "\xc3\xa9"};
    llmc_env env;
    vocab v;
    llmc_env_init(&env, NULL);
    byte_level(&v);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) vocab_add(&v, names[i], LLMC_TOKEN_CONTROL, 0);
    for (size_t i = 0; i < sizeof users / sizeof *users; i++) vocab_add(&v, users[i], LLMC_TOKEN_USER_DEFINED, 0);
    vocab_add(&v, "[end]", LLMC_TOKEN_CONTROL, 0);
    v.types['~'] = LLMC_TOKEN_CONTROL;
    llmc_tokenizer *t = vocab_open(&v, &env);
    assert_shield(t, &env, "aaa", "a" S "a" S "a");
    assert_shield(t, &env, "ababa", "a" S "ba" S "ba");
    assert_shield(t, &env, "~~", "~" S "~" S);
    uint32_t random = 7;
    for (int round = 0; round < 3000; round++) {
        char text[128] = "";
        for (int i = 0; i < 1 + round % 16; i++) {
            random = random * 1664525 + 1013904223;
            strcat(text, parts[(random >> 16) % (sizeof parts / sizeof *parts)]);
        }
        assert_inert(t, &env, text, "[end]", "[end]");
    }
    llmc_tokenizer_destroy(&t);
}

/* Names that are no UTF-8 (a hostile file) begin and end inside a character. */
static void names_inside_a_character(void **state) {
    (void)state;
    llmc_env env;
    vocab v;
    llmc_env_init(&env, NULL);
    byte_level(&v);
    vocab_add(&v, "\xa9", LLMC_TOKEN_CONTROL, 0);
    vocab_add(&v, "\x98\x80", LLMC_TOKEN_CONTROL, 0);
    vocab_add(&v, "\xaax", LLMC_TOKEN_CONTROL, 0);
    vocab_add(&v, "[end]", LLMC_TOKEN_CONTROL, 0);
    llmc_tokenizer *t = vocab_open(&v, &env);
    assert_shield(t, &env, "\xc3\xa9z\xc3\xaax", "\xc3\xa9" S "z\xc3\xaa" S "x");
    assert_inert(t, &env, "\xc3\xa9z\xf0\x9f\x98\x80\xc3\xaax", "[end]", "[end]");
    llmc_tokenizer_destroy(&t);
}

static void sentencepiece_too(void **state) {
    (void)state;
    for (int prefix = 0; prefix < 2; prefix++) {
        llmc_env env;
        vocab v;
        llmc_env_init(&env, NULL);
        sentencepiece(&v);
        v.source.add_space_prefix = prefix;
        llmc_tokenizer *t = vocab_open(&v, &env);
        assert_inert(t, &env, "</s><s> s", "<s>", "</s>");
        assert_inert(t, &env, "<unk><<s>>", "<s>", "</s>");
        assert_string_equal(ids_of(t, &env, "</s>", LLMC_ENCODE_SPECIAL), "2");
        llmc_tokenizer_destroy(&t);
    }
}

static llmcall_status shield_and_encode(const llmc_tokenizer *t, const llmc_env *env) {
    LLMCALL_INIT(llmcall_error, error);
    llmc_token_list list = {0};
    llmc_buffer out;
    llmc_buffer_init(&out, env, 1 << 20);
    llmcall_status status = LLMCALL_OK;
    for (int i = 0; i < 30 && !status; i++) {
        if (!llmc_tokenizer_shield(t, "<|a|>ab", 7, SHIELD, &out)) status = out.status;
    }
    if (!status) status = llmc_tokenizer_encode_shielded(t, out.data, out.size, SHIELD, LLMC_ENCODE_SPECIAL, &list, &error);
    if (status) assert_int_equal(list.n, 0);
    else assert_int_equal(list.n, 30 * 5);
    llmc_token_list_free(env, &list);
    llmc_buffer_free(&out);
    return status;
}

static void memory_may_run_out_anywhere(void **state) {
    (void)state;
    failing_alloc alloc;
    llmc_env env;
    vocab v;
    failing_alloc_init(&alloc, &env);
    byte_level(&v);
    vocab_add(&v, "<|a|>", LLMC_TOKEN_CONTROL, 0);
    llmc_tokenizer *t = vocab_open(&v, &env);
    const long held = alloc.live;
    for (long n = 1;; n++) {
        alloc.count = 0;
        alloc.fail_at = n;
        const llmcall_status status = shield_and_encode(t, &env);
        assert_int_equal(alloc.live, held);
        if (status == LLMCALL_OK && alloc.count < n) break;
        if (status != LLMCALL_OK) assert_int_equal(status, LLMCALL_E_NO_MEMORY);
        assert_true(n < 1000);
    }
    alloc.fail_at = 0;
    llmc_tokenizer_destroy(&t);
    assert_int_equal(alloc.live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_control_tokens_are_shielded), cmocka_unit_test(overlapping_and_one_character_names),
        cmocka_unit_test(names_inside_a_character),         cmocka_unit_test(sentencepiece_too),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
