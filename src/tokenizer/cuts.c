/* Rules that cut out one kind of thing: what they find is a piece, and so is what lies between two of them. */
#include <string.h>

#include "tokenizer/rules.h"

/* ---- By class ---------------------------------------------------------------------------------------------------------- */

/* [wanted]{1,most} ; most 0: any number. */
static inline const uint8_t *cut_class(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end, uint32_t wanted,
                                       int most) {
    const uint8_t *next;
    if (!(llmc_class_at(t->classes, p, end, &next) & wanted)) {
        while (next < end && !(llmc_class_at(t->classes, next, end, &p) & wanted)) next = p;
        return next;
    }
    if (!most) return run_end(t->classes, next, end, wanted);
    for (; most > 1 && followed_by(t->classes, next, end, wanted); most--) llmc_class_at(t->classes, next, end, &next);
    return next;
}

/* [\r\n] */
const uint8_t *llmc_cut_breaks(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_class(t, p, end, BREAK, 1);
}
/* N */
const uint8_t *llmc_cut_number(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_class(t, p, end, NUMBER, 1);
}
/* N{1,3} */
const uint8_t *llmc_cut_3_numbers(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_class(t, p, end, NUMBER, 3);
}
/* N+ */
const uint8_t *llmc_cut_numbers(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_class(t, p, end, NUMBER, 0);
}

/* [^\n]+|\n+ */
const uint8_t *llmc_cut_lines(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    (void)t;
    const uint8_t *found = *p == '\n' ? p : memchr(p, '\n', (size_t)(end - p));
    if (*p == '\n')
        while (found < end && *found == '\n') found++;
    return found ? found : end;
}

/* \s+$ */
const uint8_t *llmc_cut_end_blanks(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *blanks = NULL, *from = p, *next;
    for (; p < end; p = next) {
        const int blank = (llmc_class_at(t->classes, p, end, &next) & SPACE) != 0;
        if (!blank) blanks = NULL;
        else if (!blanks) blanks = p;
    }
    return blanks && blanks > from ? blanks : end;
}

/* \s{512}(?!\S)|\s{256}(?!\S)|...|\s{4}(?!\S)|\s{1,2}(?!\S)|\s in place of Llama 3's \s+(?!\S)|\s+ : what that one cut, if it is
 * white space without a line break, falls into powers of two. */
const uint8_t *llmc_cut_wide_blanks(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    enum { MOST = 512 };
    const uint8_t *at = p, *next;
    int n = 0, power = MOST;
    if (end[-1] == '\n' || end[-1] == '\r') return end;
    for (; n < MOST && at < end; n++, at = next)
        if (!(llmc_class_at(t->classes, at, end, &next) & SPACE)) return end;
    while (power > n) power /= 2;
    for (; power; power--) llmc_class_at(t->classes, p, end, &p);
    return p;
}

/* ---- Numbers in threes from the right ------------------------------------------------------------------------------------ */

/* \d+\b , as \d{1,3}(?=(?:\d{3})*\b) finds nothing else */
static const uint8_t *whole_number(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *run = run_end(t->classes, p, end, DIGIT);
    return run > p && !followed_by(t->classes, run, end, LETTER | MARK | LLMC_CLASS_CONNECT) ? run : NULL;
}
const uint8_t *llmc_cut_whole_numbers(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *next = whole_number(t, p, end);
    if (next) return next;
    do {
        next = run_end(t->classes, p, end, DIGIT);
        if (next == p) llmc_class_at(t->classes, p, end, &next);
        p = next;
    } while (p < end && !whole_number(t, p, end));
    return p;
}

static size_t count_run(const uint16_t *classes, const uint8_t *p, const uint8_t *end, uint32_t wanted) {
    size_t n = 0;
    for (; followed_by(classes, p, end, wanted); n++) llmc_class_at(classes, p, end, &p);
    return n;
}

static const uint8_t *step(const uint16_t *classes, const uint8_t *p, const uint8_t *end, size_t n) {
    for (; n && p < end; n--) llmc_class_at(classes, p, end, &p);
    return p;
}

/* Of a piece that is all numbers, those before the first three that count from the right. */
static inline const uint8_t *cut_odd(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end, uint32_t wanted) {
    if (run_end(t->classes, p, end, wanted) != end) return end;
    const size_t odd = count_run(t->classes, p, end, wanted) % 3;
    return odd ? step(t->classes, p, end, odd) : end;
}
const uint8_t *llmc_cut_odd_number(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_odd(t, p, end, NUMBER);
}
const uint8_t *llmc_cut_odd_digit(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_odd(t, p, end, DIGIT);
}

/* The threes of a piece that is all numbers: one that begins and ends with a number, as pieces between numbers do not. */
static inline const uint8_t *cut_threes(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end, uint32_t wanted) {
    const uint8_t *last = end - 1;
    while (last > p && (*last & 0xc0) == 0x80) last--;
    if (!followed_by(t->classes, p, end, wanted) || !followed_by(t->classes, last, end, wanted)) return end;
    return step(t->classes, p, end, 3);
}
const uint8_t *llmc_cut_threes(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_threes(t, p, end, NUMBER);
}
const uint8_t *llmc_cut_digit_threes(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_threes(t, p, end, DIGIT);
}

static inline int ascii_digit(uint8_t byte) {
    return (uint8_t)(byte - '0') < 10;
}

static const uint8_t *ascii_digits_end(const uint8_t *p, const uint8_t *end) {
    while (p < end && ascii_digit(*p)) p++;
    return p;
}

/* (?=([0-9]{3})+(?![0-9])) : the cuts that are not in the middle of a row of threes */
const uint8_t *llmc_cut_before_threes(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    (void)t;
    const uint8_t *run = ascii_digits_end(p, end);
    if (run - p >= 3 && (run - p) % 3) return p + (run - p) % 3;
    while (run < end) {
        p = run;
        while (p < end && !ascii_digit(*p)) p++;
        run = ascii_digits_end(p, end);
        if (run - p >= 3) return p + (run - p) % 3;
    }
    return end;
}
/* Those in the middle of one: [0-9]{3}(?=[0-9]{3}) at the start of a piece */
const uint8_t *llmc_cut_between_threes(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    (void)t;
    for (int i = 0; i < 6; i++)
        if (end - p <= i || !ascii_digit(p[i])) return end;
    return p + 3;
}

/* [0-9][0-9][0-9] */
const uint8_t *llmc_cut_3_digits(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    (void)t;
    const uint8_t *from = p;
    for (; end - p >= 3; p++)
        if (ascii_digit(p[0]) && ascii_digit(p[1]) && ascii_digit(p[2])) return p > from ? p : p + 3;
    return end;
}

/* ---- By ranges of code points ------------------------------------------------------------------------------------------ */

/* [ranges]+|[ranges of the next group]+|... */
static const uint8_t *cut_ranges(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end, const llmc_range *ranges,
                                 size_t n) {
    const uint32_t group = llmc_range_group(ranges, n, llmc_code_point_at(p, end));
    do llmc_class_at(t->classes, p, end, &p);
    while (p < end && llmc_range_group(ranges, n, llmc_code_point_at(p, end)) == group);
    return p;
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

/* [U+4E00-9FA5 U+0800-4E00 U+AC00-D7FF]+ */
static const llmc_range ideographs[] = {{0x800, 0x9fa5, 1}, {0xac00, 0xd7ff, 1}};
const uint8_t *llmc_cut_ideographs(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_ranges(t, p, end, ideographs, COUNT(ideographs));
}

/* Han, Hiragana and Katakana as DeepSeek V3 has them */
static const llmc_range kana[] = {{0x3040, 0x30ff, 1}, {0x4e00, 0x9fa5, 1}};
const uint8_t *llmc_cut_kana(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_ranges(t, p, end, kana, COUNT(kana));
}

/* Scripts without spaces, as AFMoE has them */
static const llmc_range asian[] = {{0xe40, 0xeff, 1},   {0x1000, 0x109f, 1}, {0x1100, 0x11ff, 1},
                                   {0x1780, 0x17ff, 1}, {0x2f00, 0x2fdf, 1}, {0x3040, 0x30ff, 1},
                                   {0x3400, 0x4dbf, 1}, {0x4e00, 0xfaff, 1}, {0xff65, 0xff9f, 1}};
const uint8_t *llmc_cut_asian(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_ranges(t, p, end, asian, COUNT(asian));
}

/* Hangul | wide punctuation | Bopomofo | Han and kana, as Youtu has them */
static const llmc_range youtu[] = {{0x2014, 0x2014, 2}, {0x2018, 0x2019, 2}, {0x201c, 0x201d, 2}, {0x2026, 0x2026, 2},
                                   {0x3001, 0x303f, 2}, {0x3040, 0x30ff, 4}, {0x3105, 0x312f, 3}, {0x3131, 0x318e, 1},
                                   {0x4e00, 0x9fa5, 4}, {0xac00, 0xd7a3, 1}, {0xfe30, 0xfe4f, 2}, {0xff01, 0xff01, 2},
                                   {0xff0c, 0xff0c, 2}, {0xff1a, 0xff1b, 2}};
const uint8_t *llmc_cut_youtu(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_ranges(t, p, end, youtu, COUNT(youtu));
}

/* ---- With a space before ------------------------------------------------------------------------------------------------ */

/* \s?[wanted]+ , where wanted is one of the two */
typedef struct spaced {
    uint32_t classes;
    const llmc_range *ranges;
    size_t n_ranges;
} spaced;

static inline int is_wanted(const llmc_pretokenizer *t, const spaced *s, const uint8_t *p, const uint8_t *end) {
    if (p >= end) return 0;
    if (s->n_ranges) return llmc_range_group(s->ranges, s->n_ranges, llmc_code_point_at(p, end)) != 0;
    return followed_by(t->classes, p, end, s->classes);
}

static inline const uint8_t *spaced_match(const llmc_pretokenizer *t, const spaced *s, const uint8_t *p, const uint8_t *end) {
    const uint8_t *next = p;
    if (followed_by(t->classes, p, end, SPACE)) {
        llmc_class_at(t->classes, p, end, &next);
        if (is_wanted(t, s, next, end)) return next;
    }
    return is_wanted(t, s, p, end) ? p : NULL;
}

static inline const uint8_t *cut_spaced(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end, const spaced *s) {
    const uint8_t *run = spaced_match(t, s, p, end);
    if (!run) {
        do llmc_class_at(t->classes, p, end, &p);
        while (p < end && !spaced_match(t, s, p, end));
        return p;
    }
    while (is_wanted(t, s, run, end)) llmc_class_at(t->classes, run, end, &run);
    return run;
}

/* \s?\p{L}+ */
const uint8_t *llmc_cut_letters(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_spaced(t, p, end, &(spaced){LETTER, NULL, 0});
}
/* \s?\p{P}+ */
const uint8_t *llmc_cut_marks(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_spaced(t, p, end, &(spaced){PUNCT, NULL, 0});
}

/* DeepSeek LLM's letters: those with a case that the Unicode of its day had, less those of some scripts. */
static const llmc_range cased[] = {
    {0x41, 0x5a, 1},       {0x61, 0x7a, 1},       {0xb5, 0xb5, 1},       {0xc0, 0xd6, 1},       {0xd8, 0xf6, 1},
    {0xf8, 0x1ba, 1},      {0x1bc, 0x1bf, 1},     {0x1c4, 0x293, 1},     {0x295, 0x2af, 1},     {0x370, 0x373, 1},
    {0x376, 0x376, 1},     {0x377, 0x377, 1},     {0x37b, 0x37d, 1},     {0x37f, 0x37f, 1},     {0x386, 0x386, 1},
    {0x388, 0x38a, 1},     {0x38c, 0x38c, 1},     {0x38e, 0x3a1, 1},     {0x3a3, 0x3f5, 1},     {0x3f7, 0x481, 1},
    {0x48a, 0x52f, 1},     {0x531, 0x556, 1},     {0x10a0, 0x10c5, 1},   {0x13a0, 0x13f5, 1},   {0x13f8, 0x13fd, 1},
    {0x1c90, 0x1cba, 1},   {0x1cbd, 0x1cbf, 1},   {0x1d00, 0x1d2b, 1},   {0x1d6b, 0x1d77, 1},   {0x1d79, 0x1d9a, 1},
    {0x1e00, 0x1f15, 1},   {0x1f18, 0x1f1d, 1},   {0x1f20, 0x1f45, 1},   {0x1f48, 0x1f4d, 1},   {0x1f50, 0x1f57, 1},
    {0x1f59, 0x1f59, 1},   {0x1f5b, 0x1f5b, 1},   {0x1f5d, 0x1f5d, 1},   {0x1f5f, 0x1f7d, 1},   {0x1f80, 0x1fb4, 1},
    {0x1fb6, 0x1fbc, 1},   {0x1fbe, 0x1fbe, 1},   {0x1fc2, 0x1fc4, 1},   {0x1fc6, 0x1fcc, 1},   {0x1fd0, 0x1fd3, 1},
    {0x1fd6, 0x1fdb, 1},   {0x1fe0, 0x1fec, 1},   {0x1ff2, 0x1ff4, 1},   {0x1ff6, 0x1ffc, 1},   {0x2102, 0x2102, 1},
    {0x2107, 0x2107, 1},   {0x210a, 0x2113, 1},   {0x2115, 0x2115, 1},   {0x2119, 0x211d, 1},   {0x2124, 0x2124, 1},
    {0x2126, 0x2126, 1},   {0x2128, 0x2128, 1},   {0x212a, 0x212d, 1},   {0x212f, 0x2134, 1},   {0x2139, 0x2139, 1},
    {0x213c, 0x213f, 1},   {0x2145, 0x2149, 1},   {0x214e, 0x214e, 1},   {0x2183, 0x2183, 1},   {0x2184, 0x2184, 1},
    {0x2c00, 0x2c7b, 1},   {0x2c7e, 0x2ce4, 1},   {0x2ceb, 0x2cee, 1},   {0x2cf2, 0x2cf2, 1},   {0x2cf3, 0x2cf3, 1},
    {0xa640, 0xa66d, 1},   {0xa680, 0xa69b, 1},   {0xa722, 0xa76f, 1},   {0xa771, 0xa787, 1},   {0xa78b, 0xa78e, 1},
    {0xab70, 0xabbf, 1},   {0xfb00, 0xfb06, 1},   {0xfb13, 0xfb17, 1},   {0xff21, 0xff3a, 1},   {0xff41, 0xff5a, 1},
    {0x10400, 0x1044f, 1}, {0x104b0, 0x104d3, 1}, {0x104d8, 0x104fb, 1}, {0x10c80, 0x10cb2, 1}, {0x10cc0, 0x10cf2, 1},
    {0x118a0, 0x118df, 1}, {0x1e900, 0x1e943, 1}};
const uint8_t *llmc_cut_cased_letters(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_spaced(t, p, end, &(spaced){0, cased, COUNT(cased)});
}

/* \s?[!-/:-~ and their wide forms, quotation marks, U+3000-3002]+ */
static const llmc_range wide_marks[] = {{0x21, 0x2f, 1},     {0x3a, 0x7e, 1},     {0x2018, 0x201f, 1},
                                        {0x3000, 0x3002, 1}, {0xff01, 0xff0f, 1}, {0xff1a, 0xff5e, 1}};
const uint8_t *llmc_cut_wide_marks(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_spaced(t, p, end, &(spaced){0, wide_marks, COUNT(wide_marks)});
}

/* [\p{P}$+<=>^~|]+ , falcon's with ` too */
static inline const uint8_t *cut_mark_run(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end,
                                          const char *symbols) {
    const uint8_t *from = p, *next;
    int first = 0;
    for (; p < end; p = next) {
        const uint32_t class = llmc_class_at(t->classes, p, end, &next);
        const int wanted = class & PUNCT || (class & SYMBOL && *p < 0x80 && strchr(symbols, *p));
        if (p == from) first = wanted;
        else if (wanted != first) break;
    }
    return p;
}
const uint8_t *llmc_cut_falcon_marks(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_mark_run(t, p, end, "$+<=>^~|`");
}
const uint8_t *llmc_cut_default_marks(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cut_mark_run(t, p, end, "$+<=>^~|");
}

/*  ?[^(\s|.,!?...)]+ : what stands between the ends of sentences and clauses of several scripts */
static const llmc_range sentence_ends[] = {{'!', '!', 1},     {'(', ')', 1},       {',', ',', 1},       {'.', '.', 1},
                                           {'?', '?', 1},     {'|', '|', 1},       {0x60c, 0x60c, 1},   {0x6d4, 0x6d4, 1},
                                           {0x964, 0x964, 1}, {0x2026, 0x2026, 1}, {0x3001, 0x3002, 1}, {0xff0c, 0xff0c, 1}};
static int in_sentence(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return p < end && !followed_by(t->classes, p, end, SPACE) &&
           !llmc_range_group(sentence_ends, COUNT(sentence_ends), llmc_code_point_at(p, end));
}
const uint8_t *llmc_cut_sentences(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *run = *p == ' ' ? p + 1 : p;
    if (in_sentence(t, run, end)) {
        while (in_sentence(t, run, end)) llmc_class_at(t->classes, run, end, &run);
        return run;
    }
    do llmc_class_at(t->classes, p, end, &p);
    while (p < end && !in_sentence(t, *p == ' ' ? p + 1 : p, end));
    return p;
}

/* ---- Chameleon ----------------------------------------------------------------------------------------------------------- */

/* <sentinel:[0-9]+> , or NULL */
static const uint8_t *sentinel(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    static const char head[] = "<sentinel:";
    (void)t;
    if (end - p < (ptrdiff_t)sizeof head || memcmp(p, head, sizeof head - 1) != 0) return NULL;
    const uint8_t *digits = p + sizeof head - 1, *behind = ascii_digits_end(digits, end);
    return behind > digits && behind < end && *behind == '>' ? behind + 1 : NULL;
}
const uint8_t *llmc_cut_sentinels(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *match = sentinel(t, p, end);
    return match ? match : gap_end(sentinel, t, p, end);
}

/* IMGIMG[A-I]{1,4}Z , or NULL */
static const uint8_t *image(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    static const char head[] = "IMGIMG";
    (void)t;
    if (end - p < (ptrdiff_t)sizeof head || memcmp(p, head, sizeof head - 1) != 0) return NULL;
    const uint8_t *letters = p + sizeof head - 1, *behind = letters;
    while (behind < end && behind - letters < 4 && *behind >= 'A' && *behind <= 'I') behind++;
    return behind > letters && behind < end && *behind == 'Z' ? behind + 1 : NULL;
}
const uint8_t *llmc_cut_images(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *match = image(t, p, end);
    return match ? match : gap_end(image, t, p, end);
}

/* [\t\n]|    |  , or NULL */
static const uint8_t *tab(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    (void)t;
    if (*p == '\t' || *p == '\n') return p + 1;
    if (end - p >= 4 && memcmp(p, "    ", 4) == 0) return p + 4;
    return end - p >= 2 && p[0] == ' ' && p[1] == ' ' ? p + 2 : NULL;
}
const uint8_t *llmc_cut_tabs(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *match = tab(t, p, end);
    return match ? match : gap_end(tab, t, p, end);
}

/* [\p{P}!-/:-@\[-`{-~] , or NULL */
static const uint8_t *mark(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *next;
    const uint32_t class = llmc_class_at(t->classes, p, end, &next);
    return class & PUNCT || (class & SYMBOL && *p < 0x80) ? next : NULL;
}
const uint8_t *llmc_cut_mark(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *match = mark(t, p, end);
    return match ? match : gap_end(mark, t, p, end);
}
