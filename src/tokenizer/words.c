/* Rules that cut words, numbers, punctuation and white space in one pass: the families of GPT-2, Llama 3, GPT-4o and
 * DeepSeek V3. */
#include "tokenizer/rules.h"

/* The size of 's 't 're 've 'm 'll 'd at p, or 0. fold: 0x20 where capitals count too, and U+017F, the long s; else 0. */
static inline size_t suffix_size(const uint8_t *p, const uint8_t *end, uint8_t fold) {
    if (*p != '\'' || end - p < 2) return 0;
    const uint8_t a = p[1] | fold;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if (end - p < 3) return 0;
    if (fold && p[1] == 0xc5 && p[2] == 0xbf) return 3;
    const uint8_t b = p[2] | fold;
    return ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l') ? 3 : 0;
}

/* ---- GPT-2 ------------------------------------------------------------------------------------------------------------- */

/* 's|'t|'re|'ve|'m|'ll|'d| ?L+| ?N+| ?[^\sLN]+|\s+(?!\S)|\s+
 * single_digits: before that, each N is cut out and the rule sees only what lies between. */
static inline const uint8_t *gpt2_end(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end, int single_digits) {
    const uint16_t *classes = t->classes;
    const uint8_t *next;
    const size_t suffix = suffix_size(p, end, 0);
    if (suffix) return p + suffix;
    uint32_t class = llmc_class_at(classes, p, end, &next);
    if (*p == ' ' && next < end) {
        const uint32_t second = llmc_class_at(classes, next, end, &p);
        if (!(second & (single_digits ? SPACE | NUMBER : SPACE))) {
            next = p;
            class = second;
        } else {
            p = next - 1;
        }
    }
    if (class & SPACE) return blanks_end(classes, p, end, single_digits ? NUMBER : 0);
    if (class & LETTER) return run_end(classes, next, end, LETTER);
    if (class & NUMBER) return single_digits ? next : run_end(classes, next, end, NUMBER);
    return run_end(classes, next, end, MARK | OTHER);
}

const uint8_t *llmc_rule_gpt2(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return gpt2_end(t, p, end, 0);
}
const uint8_t *llmc_rule_digits_gpt2(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return gpt2_end(t, p, end, 1);
}

/* ---- Llama 3 ----------------------------------------------------------------------------------------------------------- */

/* What may follow punctuation in the same piece. */
enum { NO_TAIL, BREAKS_TAIL /* [\r\n]* */, SLASHES_TAIL /* [\r\n/]* */, SLASH_TAIL /* [\r\n/]? */ };

static inline const uint8_t *tail_end(const uint8_t *p, const uint8_t *end, int tail) {
    while (tail && p < end && (*p == '\n' || *p == '\r' || (*p == '/' && tail >= SLASHES_TAIL))) {
        p++;
        if (tail == SLASH_TAIL) break;
    }
    return p;
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ : white space up to its last line break, if it has one. */
static const uint8_t *lines_end(const uint16_t *classes, const uint8_t *p, const uint8_t *end) {
    const uint8_t *from = p, *last = p, *after_break = NULL, *next;
    for (; p < end; p = next) {
        const uint32_t class = llmc_class_at(classes, p, end, &next);
        if (!(class & SPACE)) break;
        if (class & BREAK) after_break = next;
        last = p;
    }
    if (after_break) return after_break;
    return p < end && last > from ? last : p;
}

/* N{1,most} behind a first number. most 0: any number of them. */
static inline const uint8_t *numbers_end(const uint16_t *classes, const uint8_t *next, const uint8_t *end, int most) {
    if (!most) return run_end(classes, next, end, NUMBER);
    for (; most > 1 && followed_by(classes, next, end, NUMBER); most--) llmc_class_at(classes, next, end, &next);
    return next;
}

/*  ?[others]+[tail]|\s*[\r\n]+|\s+(?!\S)|\s+ , where p's class is among others or SPACE */
static inline const uint8_t *rest_end(const uint16_t *classes, const uint8_t *p, const uint8_t *end, uint32_t class,
                                      const uint8_t *next, uint32_t others, int tail) {
    if (class & SPACE) {
        if (*p != ' ' || !followed_by(classes, next, end, others)) return lines_end(classes, p, end);
    }
    return tail_end(run_end(classes, next, end, others), end, tail);
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nLN]?L+|N{1,numbers}| ?[^\sLN]+[tail]|\s*[\r\n]+|\s+(?!\S)|\s+
 * letters: the classes in place of L, but for the [^\r\nLN]; suffixes 0: without the first alternative. */
static inline const uint8_t *words_end(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end, uint32_t letters,
                                       int numbers, int suffixes, int tail) {
    const uint16_t *classes = t->classes;
    const uint8_t *next;
    const size_t suffix = suffixes ? suffix_size(p, end, 0x20) : 0;
    if (suffix) return p + suffix;
    const uint32_t class = llmc_class_at(classes, p, end, &next);
    if (class & LETTER) return run_end(classes, next, end, letters);
    if (class & NUMBER) return numbers_end(classes, next, end, numbers);
    if (!(class & BREAK) && followed_by(classes, next, end, letters)) return run_end(classes, next, end, letters);
    if (class & letters) return next;
    return rest_end(classes, p, end, class, next, (MARK | OTHER) & ~letters, tail);
}

const uint8_t *llmc_rule_llama3(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return words_end(t, p, end, LETTER, 3, 1, BREAKS_TAIL);
}
const uint8_t *llmc_rule_qwen2(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return words_end(t, p, end, LETTER, 1, 1, BREAKS_TAIL);
}
const uint8_t *llmc_rule_qwen35(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return words_end(t, p, end, LETTER | MARK, 1, 1, BREAKS_TAIL);
}
const uint8_t *llmc_rule_seed_coder(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return words_end(t, p, end, LETTER, 1, 1, NO_TAIL);
}
const uint8_t *llmc_rule_no_suffixes(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return words_end(t, p, end, LETTER, 1, 0, BREAKS_TAIL);
}
const uint8_t *llmc_rule_long_numbers(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return words_end(t, p, end, LETTER, 0, 1, BREAKS_TAIL);
}

/* LM*(?: ?LM*)* behind a first letter: words with a single space between them make one piece. */
static const uint8_t *phrase_end(const uint16_t *classes, const uint8_t *p, const uint8_t *end) {
    for (;;) {
        p = run_end(classes, p, end, MARK);
        const uint8_t *letter = p < end && *p == ' ' ? p + 1 : p;
        if (!followed_by(classes, letter, end, LETTER)) return p;
        llmc_class_at(classes, letter, end, &p);
    }
}

/* (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\nLN]?(?:LM*(?: LM*)*)+|N| ?[^\sLN]+[\r\n/]?|\s*[\r\n]|\s+(?!\S)|\s+ */
const uint8_t *llmc_rule_exaone_moe(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint16_t *classes = t->classes;
    const uint8_t *next;
    const size_t suffix = suffix_size(p, end, 0x20);
    if (suffix) return p + suffix;
    const uint32_t class = llmc_class_at(classes, p, end, &next);
    if (class & LETTER) return phrase_end(classes, next, end);
    if (class & NUMBER) return next;
    if (!(class & BREAK) && followed_by(classes, next, end, LETTER)) return phrase_end(classes, next, end);
    return rest_end(classes, p, end, class, next, MARK | OTHER, SLASH_TAIL);
}

/* ---- GPT-4o ------------------------------------------------------------------------------------------------------------ */

enum { U = UPPER | UNCASED | MARK, L = LOWER | UNCASED | MARK };

/* U*L+|U+L* , or NULL. first: whether it was the first alternative. without: classes that belong to neither. */
static inline const uint8_t *capitals_end(const uint16_t *classes, const uint8_t *p, const uint8_t *end, uint32_t without,
                                          int *first) {
    const uint8_t *from = p, *both = NULL, *next = p;
    uint32_t class = 0;
    for (; p < end; p = next) {
        class = llmc_class_at(classes, p, end, &next);
        if (!(class & U) || class & without) break;
        if (class & L) both = next;
    }
    *first = 1;
    if (p < end && class & L && !(class & without)) {
        for (p = next; p < end; p = next) {
            class = llmc_class_at(classes, p, end, &next);
            if (!(class & L) || class & without) break;
        }
        return p;
    }
    if (both) return both; /* U* gives back what L+ needs */
    *first = 0;
    return p > from ? p : NULL;
}

/* [^\r\n\p{L}N]?U*L+|[^\r\n\p{L}N]?U+L* , or NULL */
static inline const uint8_t *word_end(const uint16_t *classes, const uint8_t *p, const uint8_t *end, uint32_t without) {
    const uint8_t *next;
    int first = 0;
    const uint32_t class = llmc_class_at(classes, p, end, &next);
    if (class & (BREAK | NUMBER)) return NULL;
    if (class & LETTER) return capitals_end(classes, p, end, without, &first);
    const uint8_t *word = capitals_end(classes, next, end, without, &first);
    if (class & MARK && !(word && first)) return capitals_end(classes, p, end, without, &first);
    return word;
}

/* [^\r\n\p{L}N]?U*L+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}N]?U+L*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|N{1,numbers}
 * | ?[^\s\p{L}N]+[tail]|\s*[\r\n]+|\s+(?!\S)|\s+ , where U is [\p{Lu}\p{Lt}\p{Lm}\p{Lo}M] and L is [\p{Ll}\p{Lm}\p{Lo}M] */
static inline const uint8_t *cased_end(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end, int numbers,
                                       int suffixes, int tail, uint32_t without) {
    const uint8_t *next, *word = word_end(t->classes, p, end, without);
    if (word) return suffixes && word < end ? word + suffix_size(word, end, 0x20) : word;
    const uint32_t class = llmc_class_at(t->classes, p, end, &next);
    if (class & NUMBER) return numbers_end(t->classes, next, end, numbers);
    return rest_end(t->classes, p, end, class, next, MARK | OTHER, tail);
}

const uint8_t *llmc_rule_gpt4o(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cased_end(t, p, end, 3, 1, SLASHES_TAIL, 0);
}
const uint8_t *llmc_rule_youtu(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cased_end(t, p, end, 1, 1, SLASHES_TAIL, 0);
}
const uint8_t *llmc_rule_tekken(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    return cased_end(t, p, end, 1, 0, SLASHES_TAIL, 0);
}

/* \p{Han}+ , then as above with no \p{Han} in U and L */
const uint8_t *llmc_rule_kimi(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *han = run_end(t->classes, p, end, HAN);
    return han > p ? han : cased_end(t, p, end, 3, 1, BREAKS_TAIL, HAN);
}

/* ---- DeepSeek V3 ------------------------------------------------------------------------------------------------------- */

static inline int ascii_letter(uint8_t byte) {
    return (uint8_t)((byte | 0x20) - 'a') < 26;
}

/* [!-/:-@\[-`{-~][A-Za-z]+|[^\r\nLPS]?[LM]+| ?[PS]+ , or NULL */
static inline const uint8_t *marked_word_end(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end, int tail) {
    const uint8_t *next;
    const uint32_t class = llmc_class_at(t->classes, p, end, &next);
    if (*p < 0x80 && class & (PUNCT | SYMBOL) && next < end && ascii_letter(*next)) {
        do next++;
        while (next < end && ascii_letter(*next));
        return next;
    }
    if (class & (LETTER | MARK)) return run_end(t->classes, next, end, LETTER | MARK);
    if (!(class & (BREAK | PUNCT | SYMBOL)) && followed_by(t->classes, next, end, LETTER | MARK))
        return run_end(t->classes, next, end, LETTER | MARK);
    if (class & (PUNCT | SYMBOL) || (*p == ' ' && followed_by(t->classes, next, end, PUNCT | SYMBOL)))
        return tail_end(run_end(t->classes, next, end, PUNCT | SYMBOL), end, tail);
    return NULL;
}

/* [!-/:-@\[-`{-~][A-Za-z]+|[^\r\nLPS]?[LM]+| ?[PS]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+ */
static const uint8_t *deepseek3_match(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *word = marked_word_end(t, p, end, BREAKS_TAIL);
    if (word) return word;
    return followed_by(t->classes, p, end, SPACE) ? lines_end(t->classes, p, end) : NULL;
}
const uint8_t *llmc_rule_deepseek3(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *match = deepseek3_match(t, p, end);
    return match ? match : gap_end(deepseek3_match, t, p, end);
}

/* [!-/:-@\[-`{-~][A-Za-z]+|[^\r\nLPS]?[LM]+| ?[PS]+|[\r\n]|\s+(?!\S)|\s+ */
static const uint8_t *spark_match(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *word = marked_word_end(t, p, end, NO_TAIL);
    if (word) return word;
    if (*p == '\r' || *p == '\n') return p + 1;
    return followed_by(t->classes, p, end, SPACE) ? blanks_end(t->classes, p, end, 0) : NULL;
}
const uint8_t *llmc_rule_spark(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    const uint8_t *match = spark_match(t, p, end);
    return match ? match : gap_end(spark_match, t, p, end);
}
