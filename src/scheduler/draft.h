/* Prompt look-up: guesses the next tokens of one sequence from what followed its last tokens where they stood before, in the
 * prompt or the answer. A guess costs a row of a step if it is wrong, and never changes what is sampled.
 *
 * The index is of pairs of tokens: heads has the latest position of every pair, by hash, and previous leads from a position
 * to the one before it of the same hash. A position is that of the pair's second token. */
#ifndef LLMC_SCHEDULER_DRAFT_H
#define LLMC_SCHEDULER_DRAFT_H

#include <stddef.h>
#include <stdint.h>

enum {
    LLMC_DRAFT_MAX = 15,        /* tokens guessed at once: with the one that is known they are a tile of 16 rows */
    LLMC_DRAFT_MATCH = 16,      /* tokens compared at most; the longest match wins, of equal ones the latest */
    LLMC_DRAFT_CANDIDATES = 32, /* places looked at, so that a text of one word costs no more than another */
};

typedef struct llmc_draft {
    uint32_t *heads;    // (n_heads), a power of two; 0: none
    uint32_t *previous; // (max_tokens)
    uint32_t n_heads;
    uint32_t n_indexed; /* tokens whose pairs are in the index: those that another token follows */
    uint32_t longest;   /* the caller's limit, at most LLMC_DRAFT_MAX; 0: no index, nothing is guessed */
    uint32_t limit;     /* for the next guess: twice as many after one that was right as a whole, else half, at least 1 */
} llmc_draft;

/* Words of memory for the index of a sequence of max_tokens. */
size_t llmc_draft_words(uint32_t max_tokens);

/* words: llmc_draft_words(max_tokens) of them, zeroed, the caller's. longest: at least 1; cut to LLMC_DRAFT_MAX. */
void llmc_draft_init(llmc_draft *draft, uint32_t max_tokens, uint32_t longest, uint32_t *words);

/* Writes up to max guesses behind the n_tokens known, which must be those of the call before with more behind them; returns how
 * many. tokens holds max_tokens: max is at most max_tokens - n_tokens. Amortized, a token known costs a few nanoseconds. */
uint32_t llmc_draft_guess(llmc_draft *draft, int32_t *tokens, uint32_t n_tokens, uint32_t max);

/* What became of the last guess: of its n tokens the first n_right were sampled. */
void llmc_draft_learn(llmc_draft *draft, uint32_t n, uint32_t n_right);

#endif
