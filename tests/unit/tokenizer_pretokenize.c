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
#define LOWER "\\p{Ll}\\x{1df25}-\\x{1df2a}"
#define UNCASED                                                                                                                \
    "\\p{Lm}\\p{Lo}\\x{1123f}-\\x{11240}\\x{11f02}\\x{11f04}-\\x{11f10}\\x{11f12}-\\x{11f33}\\x{1342f}\\x{13441}-\\x{13446}"   \
    "\\x{1b132}\\x{1b155}\\x{1e030}-\\x{1e06d}\\x{1e4d0}-\\x{1e4eb}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}"
#define LETTER "\\p{Lu}\\p{Lt}" LOWER UNCASED
#define DIGIT  "\\p{Nd}\\x{11f50}-\\x{11f59}\\x{1e4f0}-\\x{1e4f9}"
#define NUMBER "\\p{N}" DIGIT "\\x{1d2c0}-\\x{1d2d3}"
#define MARK                                                                                                                   \
    "\\p{M}\\x{cf3}\\x{ece}\\x{10efd}-\\x{10eff}\\x{11241}\\x{11f00}-\\x{11f01}\\x{11f03}\\x{11f34}-\\x{11f3a}"                \
    "\\x{11f3e}-\\x{11f42}\\x{13440}\\x{13447}-\\x{13455}\\x{1e08f}\\x{1e4ec}-\\x{1e4ef}"
#define PUNCT "\\p{P}\\x{11b00}-\\x{11b09}\\x{11f43}-\\x{11f4f}"
#define SYMBOL                                                                                                                 \
    "\\p{S}\\x{1f6dc}\\x{1f774}-\\x{1f776}\\x{1f77b}-\\x{1f77f}\\x{1f7d9}\\x{1fa75}-\\x{1fa77}"                                \
    "\\x{1fa87}-\\x{1fa88}\\x{1faad}-\\x{1faaf}\\x{1fabb}-\\x{1fabd}\\x{1fabf}\\x{1face}-\\x{1facf}\\x{1fada}-\\x{1fadb}"      \
    "\\x{1fae8}\\x{1faf7}-\\x{1faf8}"
#define HAN "\\p{sc:Han}\\x{2b739}\\x{2ebf0}-\\x{2ee5d}\\x{31350}-\\x{323af}"

#define ANY_CASE_SUFFIX "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define BLANKS          "|" SPACE "+(?![^" SPACE "])|" SPACE "+"
#define BLANK_LINES     "|" SPACE "*[\\r\\n]+"
#define OTHERS(letters) "| ?[^" SPACE letters NUMBER "]+"

#define GPT2_PATTERN "'s|'t|'re|'ve|'m|'ll|'d| ?[" LETTER "]+| ?[" NUMBER "]+" OTHERS(LETTER) BLANKS
#define WORDS_ONLY(letters, numbers)                                                                                           \
    "[^\\r\\n" LETTER NUMBER "]?[" letters "]+|[" NUMBER "]" numbers OTHERS(letters) "[\\r\\n]*" BLANK_LINES BLANKS
#define WORDS(letters, numbers) ANY_CASE_SUFFIX "|" WORDS_ONLY(letters, numbers)

#define U "\\p{Lu}\\p{Lt}" UNCASED MARK
#define L LOWER UNCASED MARK
#define CASED(not_han, suffix, numbers, tail)                                                                                  \
    "[^\\r\\n" LETTER NUMBER "]?(?:" not_han "[" U "])*(?:" not_han "[" L "])+" suffix "|[^\\r\\n" LETTER NUMBER               \
    "]?(?:" not_han "[" U "])+(?:" not_han "[" L "])*" suffix "|[" NUMBER "]" numbers                                          \
    OTHERS(LETTER)                                                                                                             \
    tail BLANK_LINES BLANKS

#define MARKED(tail) "[!-/:-@\\[-`{-~][A-Za-z]+|[^\\r\\n" LETTER PUNCT SYMBOL "]?[" LETTER MARK "]+| ?[" PUNCT SYMBOL "]+" tail

static const char *const gpt2[] = {GPT2_PATTERN, NULL};
static const char *const digits_gpt2[] = {"[" NUMBER "]", GPT2_PATTERN, NULL};
static const char *const llama3[] = {WORDS(LETTER, "{1,3}"), NULL};
static const char *const qwen2[] = {WORDS(LETTER, ""), NULL};
static const char *const qwen35[] = {WORDS(LETTER MARK, ""), NULL};
static const char *const falcon[] = {"[" PUNCT "$+<=>^~|`]+", GPT2_PATTERN, "[0-9][0-9][0-9]", NULL};
static const char *const no_name[] = {"[" PUNCT "$+<=>^~|]+", GPT2_PATTERN, "[" NUMBER "]+", "[0-9][0-9][0-9]", NULL};
static const char *const chameleon[] = {"<sentinel:[0-9]+>",
                                        "IMGIMG(?:A|B|C|D|E|F|G|H|I){1,4}Z",
                                        "[\\t\\n]|    |  ",
                                        "[" NUMBER "]",
                                        "[" PUNCT "!-/:-@\\[-`{-~]",
                                        GPT2_PATTERN,
                                        NULL};
#define WIDE(n) "|" SPACE "{" n "}(?![^" SPACE "])"
static const char *const jais2[] = {ANY_CASE_SUFFIX "|[^\\r\\n" LETTER NUMBER "]?[" LETTER "]+|[" NUMBER
                                                    "]{1,3}" OTHERS(LETTER) "[\\r\\n]*" BLANK_LINES WIDE("512") WIDE("256")
                                                        WIDE("128") WIDE("64") WIDE("32") WIDE("16") WIDE("8") WIDE("4")
                                                            WIDE("1,2") "|" SPACE,
                                    NULL};
static const char *const minicpm5[] = {"[" NUMBER "]{1,3}", WORDS(LETTER, "+"), NULL};
static const char *const laguna[] = {"[^\\n]+|[\\n]+", WORDS(LETTER, ""), NULL};
static const char *const ufakzeka[] = {WORDS_ONLY(LETTER, ""), NULL};
static const char *const bailingmoe[] = {"'(?i:[sdmt]|ll|ve|re)|[^\\r\\n" LETTER NUMBER "]?[" LETTER "]+|[" NUMBER
                                         "]" OTHERS(LETTER) "[\\r\\n]*|" SPACE "*[\\r\\n]" BLANKS,
                                         NULL};
static const char *const seed_coder[] = {ANY_CASE_SUFFIX "|[^\\r\\n" LETTER NUMBER "]?[" LETTER "]+|[" NUMBER
                                                         "]{1}| ?[^" SPACE LETTER NUMBER "\\r\\n]+" BLANK_LINES BLANKS,
                                         NULL};
static const char *const exaone_moe[] = {ANY_CASE_SUFFIX "|[^\\r\\n" LETTER NUMBER "]?(?:[" LETTER "][" MARK "]*(?: [" LETTER
                                                         "][" MARK "]*)*)+|[" NUMBER "]" OTHERS(LETTER) "[\\r\\n/]?|" SPACE
                                                                                                        "*[\\r\\n]" BLANKS,
                                         NULL};
static const char *const gpt4o[] = {CASED("", ANY_CASE_SUFFIX "?", "{1,3}", "[\\r\\n/]*"), NULL};
static const char *const tekken[] = {CASED("", "", "", "[\\r\\n/]*"), NULL};
static const char *const tiny_aya[] = {"[" DIGIT "]{1,3}(?=(?:[" DIGIT "]{3})*(?![" LETTER MARK DIGIT "\\p{Pc}]))",
                                       CASED("", ANY_CASE_SUFFIX "?", "{1,3}", "[\\r\\n/]*"), NULL};
static const char *const youtu[] = {"[\\x{ac00}-\\x{d7a3}\\x{3131}-\\x{318e}]+|[\\x{ff01}\\x{2026}\\x{201c}\\x{201d}\\x{2018}"
                                    "\\x{2019}\\x{2014}\\x{ff1a}\\x{ff1b}\\x{ff0c}\\x{3001}-\\x{303f}\\x{fe30}-\\x{fe4f}]+|"
                                    "[\\x{3105}-\\x{312f}]+|[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+",
                                    CASED("", ANY_CASE_SUFFIX "?", "", "[\\r\\n/]*"), NULL};
static const char *const kimi[] = {"[" HAN "]+|" CASED("(?![" HAN "])", ANY_CASE_SUFFIX "?", "{1,3}", "[\\r\\n]*"), NULL};
#define KANA "[\\x{4e00}-\\x{9fa5}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}]+"
static const char *const deepseek3[] = {"[" NUMBER "]{1,3}", KANA, MARKED("[\\r\\n]*") BLANK_LINES BLANKS, NULL};
static const char *const spark[] = {"[" NUMBER "]{1,3}", KANA, MARKED("") "|[\\r\\n]" BLANKS, "[" NUMBER "]", NULL};
static const char *const afmoe[] = {
    "[" NUMBER "]{1,3}(?=(?:[" NUMBER "]{3})*(?![" NUMBER "]))",
    "[\\x{4e00}-\\x{9fff}\\x{3400}-\\x{4dbf}\\x{8c48}-\\x{faff}\\x{3040}-\\x{309f}\\x{30a0}-\\x{30ff}\\x{ff65}-\\x{ff9f}"
    "\\x{2f00}-\\x{2fdf}\\x{e40}-\\x{e7f}\\x{e80}-\\x{eff}\\x{1780}-\\x{17ff}\\x{1000}-\\x{109f}\\x{aa60}-\\x{aa7f}"
    "\\x{a9e0}-\\x{a9ff}\\x{ac00}-\\x{d7af}\\x{1100}-\\x{11ff}]+",
    MARKED("[\\r\\n]*") BLANK_LINES BLANKS, NULL};
#define IDEOGRAPHS "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
static const char *const deepseek_llm[] = {
    "[\\r\\n]",
    SPACE "?["
          "\\x{41}-\\x{5a}\\x{61}-\\x{7a}\\x{b5}-\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}"
          "\\x{1c4}-\\x{293}\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}-\\x{376}\\x{377}-\\x{377}\\x{37b}-\\x{37d}"
          "\\x{37f}-\\x{37f}\\x{386}-\\x{386}\\x{388}-\\x{38a}\\x{38c}-\\x{38c}\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}"
          "\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}"
          "\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}"
          "\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}"
          "\\x{1f59}-\\x{1f59}\\x{1f5b}-\\x{1f5b}\\x{1f5d}-\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}"
          "\\x{1fb6}-\\x{1fbc}\\x{1fbe}-\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}"
          "\\x{1fd6}-\\x{1fdb}\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}-\\x{2102}"
          "\\x{2107}-\\x{2107}\\x{210a}-\\x{2113}\\x{2115}-\\x{2115}\\x{2119}-\\x{211d}\\x{2124}-\\x{2124}"
          "\\x{2126}-\\x{2126}\\x{2128}-\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}-\\x{2139}"
          "\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}-\\x{214e}\\x{2183}-\\x{2183}\\x{2184}-\\x{2184}"
          "\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}\\x{2ceb}-\\x{2cee}\\x{2cf2}-\\x{2cf2}\\x{2cf3}-\\x{2cf3}"
          "\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}"
          "\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}"
          "\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}"
          "\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"
          "]+",
    SPACE "?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+",
    SPACE "+$",
    IDEOGRAPHS,
    "[" NUMBER "]+",
    NULL};
static const char *const deepseek_coder[] = {"[\\r\\n]", SPACE "?[" LETTER "]+", SPACE "?[" PUNCT "]+",
                                             IDEOGRAPHS, "[" NUMBER "]",         NULL};
#define SENTENCES " ?[^(" SPACE "|.,!?\\x{2026}\\x{3002}\\x{ff0c}\\x{3001}\\x{964}\\x{6d4}\\x{60c})]+"
static const char *const bloom[] = {SENTENCES, NULL};
static const char *const viking[] = {SENTENCES, "[" NUMBER "]", NULL};
static const char *const superbpe[] = {"[" NUMBER "]+", "(?=(?:[0-9]{3})+(?![0-9]))", NULL};

/* One name of each rule. Each pattern is applied to the pieces that those before it made. */
static const struct definition {
    const char *name;
    const char *const *patterns;
} definitions[] = {{"gpt-2", gpt2},
                   {"smollm", digits_gpt2},
                   {"llama-bpe", llama3},
                   {"qwen2", qwen2},
                   {"qwen35", qwen35},
                   {"falcon", falcon},
                   {"default", no_name},
                   {"chameleon", chameleon},
                   {"jais-2", jais2},
                   {"minicpm5", minicpm5},
                   {"laguna", laguna},
                   {"ufakzeka", ufakzeka},
                   {"bailingmoe", bailingmoe},
                   {"seed-coder", seed_coder},
                   {"exaone-moe", exaone_moe},
                   {"gpt-4o", gpt4o},
                   {"tekken", tekken},
                   {"tiny_aya", tiny_aya},
                   {"youtu", youtu},
                   {"kimi-k2", kimi},
                   {"deepseek-v3", deepseek3},
                   {"spark2_5", spark},
                   {"afmoe", afmoe},
                   {"deepseek-llm", deepseek_llm},
                   {"deepseek-coder", deepseek_coder},
                   {"bloom", bloom},
                   {"viking", viking},
                   {"superbpe", superbpe}};
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
    pcre2_code *patterns[LLMC_PRE_RULES];
    int n;
    pcre2_match_data *match;
} oracle;

static void oracle_init(oracle *o, const char *const *patterns) {
    memset(o, 0, sizeof *o);
    o->match = pcre2_match_data_create(1, NULL);
    for (; o->n < LLMC_PRE_RULES && patterns[o->n]; o->n++) o->patterns[o->n] = compile(patterns[o->n]);
}

static void oracle_free(oracle *o) {
    for (int i = 0; i < o->n; i++) pcre2_code_free(o->patterns[i]);
    pcre2_match_data_free(o->match);
}

static void oracle_cut(const oracle *o, int level, const char *text, size_t size, uint8_t *ends) {
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(o->match);
    if (size == 0) return;
    if (level == o->n) {
        ends[size - 1] = 1;
        return;
    }
    for (size_t at = 0; at < size;) {
        const int found = pcre2_match(o->patterns[level], (PCRE2_SPTR)text, size, at, 0, o->match, NULL);
        const size_t start = found > 0 ? place[0] : size, end = found > 0 ? place[1] : size;
        if (end == at) { /* an empty match: the cut before it is made already */
            const PCRE2_SIZE next =
                pcre2_match(o->patterns[level], (PCRE2_SPTR)text, size, at, PCRE2_NOTEMPTY_ATSTART, o->match, NULL) > 0
                    ? place[0]
                    : size;
            oracle_cut(o, level + 1, text + at, next - at, ends + at);
            at = next;
            continue;
        }
        oracle_cut(o, level + 1, text + at, start - at, ends + at);
        oracle_cut(o, level + 1, text + start, end - start, ends + start);
        at = end;
    }
}

static void rule_cut(const llmc_pretokenizer *p, const char *text, size_t size, uint8_t *ends) {
    llmc_pieces pieces = llmc_pieces_of(text, size);
    for (size_t at = 0, piece; at < size; at += piece) {
        piece = llmc_pieces_next(&pieces, p, text + at);
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
    llmc_pieces pieces = llmc_pieces_of(text, strlen(text));
    for (size_t at = 0, piece; at < strlen(text); at += piece) {
        piece = llmc_pieces_next(&pieces, &p, text + at);
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
    assert_cut("llama4", "it'\xc5\xbf it'S", "it'\xc5\xbf| it'S");
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
    static const char *const parts[] = {
        " ",  " ",   " ",       "  ",  "\t",  "\n", "\r\n", "\r",   "a",         "B",          "A", "b",      "/",  "z", "'s",
        "'S", "'re", "'Ve",     "'ll", "'lL", "'",  "'d",   "'m",   "'\xc5\xbf", "$",          "|", "`",      "(",  ",", "t",
        "0",  "12",  "3456789", "!",   "?!",  "_",  "..",   "\x7f", "\x01",      "<sentinel:", ">", "IMGIMG", "CDZ"};
    static const uint32_t code_points[] = {
        0x80,    0x85,    0xa0,    0xaa,    0xb2,    0xe9,    0x17f,   0x301,   0x3b1,   0x391,   0x1c5,   0x2b0,   0xac,
        0xbf,    0x203f,  0x2018,  0x2026,  0x20ac,  0x660,   0x7ff,   0x800,   0x94d,   0x915,   0xe01,   0xe33,   0x180e,
        0x2003,  0x964,   0x60c,   0x2e80,  0x3001,  0x3007,  0x303f,  0x302a,  0x30a2,  0x30fb,  0x3105,  0x3131,  0x2028,
        0x2160,  0x3000,  0x3042,  0x4e2d,  0xac00,  0xe000,  0xfeff,  0xff11,  0x9fa5,  0x9fa6,  0xd7ff,  0xff0c,  0xff3a,
        0x10d0,  0x1c90,  0xa64a,  0xffff,  0x10000, 0x1d7ce, 0x1e030, 0x1f600, 0x1f3fb, 0x2fa1d, 0x323af, 0x323b0, 0x16ff0,
        0x10400, 0x1e943, 0x1e944, 0x323ff, 0x32400, 0xe0001, 0xe00ff, 0xe0100, 0xe01ef, 0xe01f0, 0x10ffff};
    size_t size = 0;
    while (size + 12 <= max) {
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
    enum { TEXTS = 6000, MAX = 64 };
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
            const size_t size = random_text(&seed, made, 12 + next_random(&seed) % (MAX - 11));
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
    enum { TEXTS = 6000, MAX = 24 };
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
    } wanted[] = {
        {"[\\p{Lu}\\p{Lt}]", LLMC_CLASS_UPPER}, {"[" LOWER "]", LLMC_CLASS_LOWER}, {"[" UNCASED "]", LLMC_CLASS_UNCASED},
        {"[" NUMBER "]", LLMC_CLASS_NUMBER},    {"[" DIGIT "]", LLMC_CLASS_DIGIT}, {"[" MARK "]", LLMC_CLASS_MARK},
        {"[" PUNCT "]", LLMC_CLASS_PUNCT},      {"\\p{Pc}", LLMC_CLASS_CONNECT},   {"[" SYMBOL "]", LLMC_CLASS_SYMBOL},
        {"[" HAN "]", LLMC_CLASS_HAN},          {SPACE, LLMC_CLASS_SPACE},         {"[\\r\\n]", LLMC_CLASS_BREAK}};
    enum { N = sizeof wanted / sizeof *wanted };
    static uint16_t classes[LLMC_CLASSED];
    pcre2_code *patterns[N];
    char version[64];
    pcre2_config(PCRE2_CONFIG_UNICODE_VERSION, version);
    if (atoi(version) > 15 || atoi(utf8proc_unicode_version()) != 15) skip(); /* not the same characters */
    pcre2_match_data *match = pcre2_match_data_create(1, NULL);
    for (int i = 0; i < N; i++) patterns[i] = compile(wanted[i].pattern);
    int wrong = 0;
    llmc_classes_fill(classes);
    for (uint32_t code_point = 0; code_point <= 0x10ffff; code_point++) {
        char character[4];
        const size_t size = llmc_utf8_encode(code_point, character);
        uint32_t class = 0;
        for (int i = 0; i < N && size; i++)
            if (in_class(patterns[i], match, character, size)) class |= wanted[i].class;
        if (size && llmc_class_of(classes, code_point) != (class ? class : LLMC_CLASS_REST))
            print_error("U+%04X has class %u, not %u\n", code_point, llmc_class_of(classes, code_point), class), wrong++;
    }
    for (int i = 0; i < N; i++) pcre2_code_free(patterns[i]);
    pcre2_match_data_free(match);
    assert_int_equal(wrong, 0);
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
