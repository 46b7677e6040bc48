/* Pre-tokenizers: their rules against the regular expressions that define them, run by PCRE2, and every character's class. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <utf8proc.h>

#include "core/alloc.h"
#include "core/utf8.h"
#include "tokenizer/classes.h"
#include "tokenizer/pretokenize.h"

/* Character classes as patterns. PCRE2's \s has U+180E, which Unicode's White_Space has not. Characters that are younger than the
 * oldest PCRE2 in use (Unicode 14) stand beside the properties, up to Unicode 15.1. */
#define SPACE "\\p{White_Space}"
#define LETTER                                                                                                                 \
    "\\p{L}\\x{1123f}-\\x{11240}\\x{11f02}\\x{11f04}-\\x{11f10}\\x{11f12}-\\x{11f33}\\x{1342f}\\x{13441}-\\x{13446}"           \
    "\\x{1b132}\\x{1b155}\\x{1df25}-\\x{1df2a}\\x{1e030}-\\x{1e06d}\\x{1e4d0}-\\x{1e4eb}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}"       \
    "\\x{31350}-\\x{323af}"
#define NUMBER "\\p{N}\\x{11f50}-\\x{11f59}\\x{1d2c0}-\\x{1d2d3}\\x{1e4f0}-\\x{1e4f9}"
#define MARK                                                                                                                   \
    "\\p{M}\\x{cf3}\\x{ece}\\x{10efd}-\\x{10eff}\\x{11241}\\x{11f00}-\\x{11f01}\\x{11f03}\\x{11f34}-\\x{11f3a}"                \
    "\\x{11f3e}-\\x{11f42}\\x{13440}\\x{13447}-\\x{13455}\\x{1e08f}\\x{1e4ec}-\\x{1e4ef}"

#define ANY_CASE_SUFFIX "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define BLANKS          "|" SPACE "+(?![^" SPACE "])|" SPACE "+"
#define BLANK_LINES     "|" SPACE "*[\\r\\n]+"
#define OTHERS(letters) "| ?[^" SPACE letters NUMBER "]+"

#define GPT2_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?[" LETTER "]+| ?[" NUMBER "]+" OTHERS(LETTER) BLANKS
#define WORDS(letters, numbers)                                                                                                \
    ANY_CASE_SUFFIX "|[^\\r\\n" LETTER NUMBER "]?[" letters "]+|[" NUMBER "]" numbers OTHERS(                                  \
        letters) "[\\r\\n]*" BLANK_LINES BLANKS

static const char *const gpt2[] = {GPT2_PATTERN, NULL};
static const char *const digits_gpt2[] = {"[" NUMBER "]", GPT2_PATTERN, NULL};
static const char *const llama3[] = {WORDS(LETTER, "{1,3}"), NULL};
static const char *const qwen2[] = {WORDS(LETTER, ""), NULL};
static const char *const qwen35[] = {WORDS(LETTER MARK, ""), NULL};

/* One name of each rule. The second pattern is applied to the pieces that the first made. */
static const struct definition {
    const char *name;
    const char *const *patterns;
} definitions[] = {{"gpt-2", gpt2}, {"smollm", digits_gpt2}, {"llama-bpe", llama3}, {"qwen2", qwen2}, {"qwen35", qwen35}};
enum { N_DEFINITIONS = sizeof definitions / sizeof *definitions };

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static pcre2_code *compile(const char *pattern) {
    int code;
    PCRE2_SIZE offset;
    pcre2_code *compiled =
        pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP, &code, &offset, NULL);
    assert_non_null(compiled);
    return compiled;
}

/* ---- Ends of pieces, as a byte a position of the text: 1 where a piece ends ---- */

typedef struct oracle {
    pcre2_code *patterns[2];
    int n;
    pcre2_match_data *match;
} oracle;

static void oracle_init(oracle *o, const char *const *patterns) {
    memset(o, 0, sizeof *o);
    o->match = pcre2_match_data_create(1, NULL);
    for (; o->n < 2 && patterns[o->n]; o->n++) o->patterns[o->n] = compile(patterns[o->n]);
}

static void oracle_free(oracle *o) {
    for (int i = 0; i < o->n; i++) pcre2_code_free(o->patterns[i]);
    pcre2_match_data_free(o->match);
}

static void oracle_cut(const oracle *o, int level, const char *text, size_t size, uint8_t *ends) {
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(o->match);
    if (size == 0) return;
    if (level == 2 || level == o->n) {
        ends[size - 1] = 1;
        return;
    }
    for (size_t at = 0; at < size;) {
        const int found = pcre2_match(o->patterns[level], (PCRE2_SPTR)text, size, at, 0, o->match, NULL);
        const size_t start = found > 0 ? place[0] : size, end = found > 0 ? place[1] : size;
        assert_true(end > at);
        oracle_cut(o, level + 1, text + at, start - at, ends + at);
        oracle_cut(o, level + 1, text + start, end - start, ends + start);
        at = end;
    }
}

static void rule_cut(const llmc_pretokenizer *p, const char *text, size_t size, uint8_t *ends) {
    for (size_t at = 0, piece; at < size; at += piece) {
        piece = llmc_pretokenizer_piece(p, text + at, size - at);
        assert_true(piece > 0 && piece <= size - at);
        ends[at + piece - 1] = 1;
    }
}

static void pretokenizer_open(llmc_pretokenizer *p, llmc_env *env, const char *name) {
    llmc_env_init(env, NULL);
    assert_non_null(llmc_pre_find(name));
    assert_int_equal(llmc_pretokenizer_init(p, env, llmc_pre_find(name), NULL), LLMCALL_OK);
}

static void assert_cut(const char *pre, const char *text, const char *want) {
    llmc_env env;
    llmc_pretokenizer p;
    char got[1024] = "";
    size_t n = 0;
    pretokenizer_open(&p, &env, pre);
    for (size_t at = 0, piece; at < strlen(text); at += piece) {
        piece = llmc_pretokenizer_piece(&p, text + at, strlen(text) - at);
        n += (size_t)snprintf(got + n, sizeof got - n, "%s%.*s", at ? "|" : "", (int)piece, text + at);
    }
    assert_string_equal(got, want);
    llmc_pretokenizer_free(&p, &env);
}

static void pretokenizers_cut_as_they_should(void **state) {
    (void)state;
    assert_cut("gpt-2", "Hello  world's 123 !?\n\n x", "Hello| | world|'s| 123| !?|\n\n| x");
    assert_cut("gpt-2", "it'S 'll", "it|'|S| '|ll");
    assert_cut("smollm", "a1 23b", "a|1| |2|3|b");
    assert_cut("llama-bpe", "12345 it'S\r\n\n  x", "123|45| it|'S|\r\n\n| | x");
    assert_cut("qwen2", "12 ab!\n(x", "1|2| ab|!\n|(x");
    assert_cut("qwen2", "   \n  a  ", "   \n| | a|  ");
    assert_cut("qwen35", "e\xcc\x81t", "e\xcc\x81t");
    assert_cut("qwen2", "e\xcc\x81t", "e|\xcc\x81t");
    assert_cut("gpt-2", "a\xe1\xa0\x8e ", "a|\xe1\xa0\x8e| "); /* U+180E is no space */
    assert_cut("gpt-2",
               "a\xf0\x9e\x80\xb0"
               "b",
               "a\xf0\x9e\x80\xb0"
               "b"); /* U+1E030: a letter since Unicode 15 */
    assert_cut("gpt-2", "\xc2\xa0\xc2\xa0x", "\xc2\xa0|\xc2\xa0|x");
}

/* Characters where the rules differ, and those at the edges of UTF-8's lengths and of the table. */
static size_t random_text(uint32_t *seed, char *text, size_t max) {
    static const char *const parts[] = {" ", " ",  " ",  "  ",      "\t",  "\n",  "\r\n", "\r", "a",    "B",
                                        "z", "'s", "'S", "'re",     "'Ve", "'ll", "'lL",  "'",  "'d",   "'m",
                                        "t", "0",  "12", "3456789", "!",   "?!",  "_",    "..", "\x7f", "\x01"};
    static const uint32_t code_points[] = {0x80,    0x85,    0xa0,    0xaa,    0xb2,    0xe9,    0x17f,   0x301,   0x3b1,
                                           0x660,   0x7ff,   0x800,   0x94d,   0x915,   0xe01,   0xe33,   0x180e,  0x2003,
                                           0x2028,  0x2160,  0x3000,  0x3042,  0x4e2d,  0xac00,  0xe000,  0xfeff,  0xff11,
                                           0xffff,  0x10000, 0x1d7ce, 0x1e030, 0x1f600, 0x1f3fb, 0x2fa1d, 0x323af, 0x323b0,
                                           0x323ff, 0x32400, 0xe0001, 0xe00ff, 0xe0100, 0xe01ef, 0xe01f0, 0x10ffff};
    size_t size = 0;
    while (size + 8 <= max) {
        char character[4];
        if (next_random(seed) % 3) {
            const char *part = parts[next_random(seed) % (sizeof parts / sizeof *parts)];
            memcpy(text + size, part, strlen(part));
            size += strlen(part);
        } else {
            const uint32_t at = next_random(seed) % (sizeof code_points / sizeof *code_points);
            const size_t step = llmc_utf8_encode(code_points[at], character);
            memcpy(text + size, character, step);
            size += step;
        }
    }
    return size;
}

/* The texts end where their memory does, so that a sanitizer sees what reads beyond. */
static void rules_are_their_patterns(void **state) {
    (void)state;
    enum { TEXTS = 20000, MAX = 64 };
    for (int i = 0; i < N_DEFINITIONS; i++) {
        llmc_env env;
        llmc_pretokenizer p;
        oracle o;
        uint32_t seed = 1;
        pretokenizer_open(&p, &env, definitions[i].name);
        oracle_init(&o, definitions[i].patterns);
        for (int k = 0; k < TEXTS; k++) {
            char made[MAX];
            uint8_t want[MAX] = {0}, got[MAX] = {0};
            const size_t size = random_text(&seed, made, 8 + next_random(&seed) % (MAX - 7));
            char *text = malloc(size);
            assert_non_null(text);
            memcpy(text, made, size);
            oracle_cut(&o, 0, text, size, want);
            rule_cut(&p, text, size, got);
            if (memcmp(want, got, size) != 0)
                fail_msg("%s cuts otherwise: text %d, \"%.*s\"", definitions[i].name, k, (int)size, made);
            free(text);
        }
        oracle_free(&o);
        llmc_pretokenizer_free(&p, &env);
    }
}

/* A special token may end within a character, so that what follows it is no UTF-8. */
static void broken_text_is_cut_within_its_bounds(void **state) {
    (void)state;
    enum { TEXTS = 20000, MAX = 24 };
    uint32_t seed = 2;
    for (int i = 0; i < N_DEFINITIONS; i++) {
        llmc_env env;
        llmc_pretokenizer p;
        pretokenizer_open(&p, &env, definitions[i].name);
        for (int k = 0; k < TEXTS; k++) {
            uint8_t ends[MAX] = {0};
            const size_t size = 1 + next_random(&seed) % MAX;
            char *text = malloc(size);
            assert_non_null(text);
            for (size_t at = 0; at < size; at++) text[at] = (char)(next_random(&seed) % 4 ? next_random(&seed) : ' ');
            rule_cut(&p, text, size, ends);
            assert_int_equal(ends[size - 1], 1);
            free(text);
        }
        llmc_pretokenizer_free(&p, &env);
    }
}

static int in_class(const pcre2_code *class, pcre2_match_data *match, const char *character, size_t size) {
    return pcre2_match(class, (PCRE2_SPTR)character, size, 0, PCRE2_NO_UTF_CHECK, match, NULL) > 0;
}

static void every_character_has_its_class(void **state) {
    (void)state;
    static const struct {
        const char *pattern;
        uint32_t class;
    } wanted[] = {{"[" LETTER "]", LLMC_CLASS_LETTER},
                  {"[" NUMBER "]", LLMC_CLASS_NUMBER},
                  {"[" MARK "]", LLMC_CLASS_MARK},
                  {SPACE, LLMC_CLASS_SPACE},
                  {"[\\r\\n]", LLMC_CLASS_BREAK}};
    enum { N = sizeof wanted / sizeof *wanted };
    static uint8_t classes[LLMC_CLASSED];
    pcre2_code *patterns[N];
    char version[64];
    pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version);
    if (atoi(version) > 15 || atoi(utf8proc_unicode_version()) != 15) skip(); /* not the same characters */
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    for (int i = 0; i < N; i++) patterns[i] = compile(wanted[i].pattern);
    llmc_classes_fill(classes);
    for (uint32_t code_point = 0; code_point <= 0x10ffff; code_point++) {
        char character[4];
        const size_t size = llmc_utf8_encode(code_point, character);
        uint32_t class = 0;
        for (int i = 0; i < N && size; i++)
            if (in_class(patterns[i], match, character, size)) class |= wanted[i].class;
        if (size && llmc_class_of(classes, code_point) != (class ? class : LLMC_CLASS_OTHER))
            fail_msg("U+%04X has class %u, not %u", code_point, llmc_class_of(classes, code_point), class);
    }
    for (int i = 0; i < N; i++) pcre2_code_free(patterns[i]);
    pcre2_match_data_free(match);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pretokenizers_cut_as_they_should),
        cmocka_unit_test(rules_are_their_patterns),
        cmocka_unit_test(broken_text_is_cut_within_its_bounds),
        cmocka_unit_test(every_character_has_its_class),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
