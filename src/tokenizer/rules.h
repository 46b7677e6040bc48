/* The rules that cut a text into pieces, and what they are made of. Each rule is what the regular expressions above it match
 * first, alternative by alternative; L, N, M, P and S are Unicode's letters, numbers, marks, punctuation and symbols, \s its
 * white space. What no alternative matches stays together up to the next match. Time is O(n): a rule looks no further than
 * a run of characters that it need not look over again. */
#ifndef LLMC_TOKENIZER_RULES_H
#define LLMC_TOKENIZER_RULES_H

#include "tokenizer/classes.h"
#include "tokenizer/pretokenize.h"

enum {
    UPPER = LLMC_CLASS_UPPER,
    LOWER = LLMC_CLASS_LOWER,
    UNCASED = LLMC_CLASS_UNCASED,
    LETTER = LLMC_CLASS_LETTER,
    NUMBER = LLMC_CLASS_NUMBER,
    DIGIT = LLMC_CLASS_DIGIT,
    MARK = LLMC_CLASS_MARK,
    SPACE = LLMC_CLASS_SPACE,
    BREAK = LLMC_CLASS_BREAK,
    PUNCT = LLMC_CLASS_PUNCT,
    SYMBOL = LLMC_CLASS_SYMBOL,
    OTHER = LLMC_CLASS_OTHER,
    HAN = LLMC_CLASS_HAN
};

/* Rules that see the whole text; words.c */
llmc_piece_rule_fn llmc_rule_gpt2, llmc_rule_digits_gpt2;
llmc_piece_rule_fn llmc_rule_llama3, llmc_rule_qwen2, llmc_rule_qwen35, llmc_rule_seed_coder, llmc_rule_no_suffixes,
    llmc_rule_long_numbers;
llmc_piece_rule_fn llmc_rule_gpt4o, llmc_rule_tekken, llmc_rule_youtu, llmc_rule_kimi, llmc_rule_exaone_moe;
llmc_piece_rule_fn llmc_rule_deepseek3, llmc_rule_spark;

/* Rules that cut something out, for others to cut what lies between; cuts.c */
llmc_piece_rule_fn llmc_cut_breaks, llmc_cut_lines, llmc_cut_end_blanks, llmc_cut_wide_blanks;
llmc_piece_rule_fn llmc_cut_number, llmc_cut_3_numbers, llmc_cut_numbers, llmc_cut_3_digits;
llmc_piece_rule_fn llmc_cut_whole_numbers, llmc_cut_odd_number, llmc_cut_odd_digit, llmc_cut_threes, llmc_cut_digit_threes,
    llmc_cut_before_threes, llmc_cut_between_threes;
llmc_piece_rule_fn llmc_cut_letters, llmc_cut_cased_letters, llmc_cut_marks, llmc_cut_wide_marks, llmc_cut_falcon_marks,
    llmc_cut_default_marks, llmc_cut_ideographs, llmc_cut_kana, llmc_cut_asian, llmc_cut_youtu, llmc_cut_sentences;
llmc_piece_rule_fn llmc_cut_sentinels, llmc_cut_images, llmc_cut_tabs, llmc_cut_mark;

/* Where the run of characters of some classes that begins at p ends. */
static inline const uint8_t *run_end(const uint16_t *classes, const uint8_t *p, const uint8_t *end, uint32_t wanted) {
    const uint8_t *next;
    while (p < end && llmc_class_at(classes, p, end, &next) & wanted) p = next;
    return p;
}

static inline int followed_by(const uint16_t *classes, const uint8_t *p, const uint8_t *end, uint32_t wanted) {
    const uint8_t *next;
    return p < end && (llmc_class_at(classes, p, end, &next) & wanted) != 0;
}

/* \s+(?!\S)|\s+ : white space, less the last character if something other follows that the run can spare. takes_all: classes
 * for which it need not. */
static inline const uint8_t *blanks_end(const uint16_t *classes, const uint8_t *p, const uint8_t *end, uint32_t takes_all) {
    const uint8_t *from = p, *last = p, *next;
    while (p < end) {
        const uint32_t class = llmc_class_at(classes, p, end, &next);
        if (class & takes_all) return p;
        if (!(class & SPACE)) return last > from ? last : p;
        last = p;
        p = next;
    }
    return p;
}

/* What no alternative matches: from p, which has no match, to the next place that has one. */
static inline const uint8_t *gap_end(llmc_piece_rule match, const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end) {
    do llmc_class_at(t->classes, p, end, &p);
    while (p < end && !match(t, p, end));
    return p;
}

#endif
