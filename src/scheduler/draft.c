/* The index of one sequence's pairs of tokens, and the guesses it gives. Called by the plan of a step. */
#include "scheduler/draft.h"

enum { FIRST_LIMIT = 8 };

static uint32_t min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static uint32_t heads_for(uint32_t max_tokens) {
    uint32_t n = 64;
    while (n < max_tokens) n *= 2;
    return n;
}

size_t llmc_draft_words(uint32_t max_tokens) {
    return (size_t)heads_for(max_tokens) + max_tokens;
}

void llmc_draft_init(llmc_draft *draft, uint32_t max_tokens, uint32_t longest, uint32_t *words) {
    draft->n_heads = heads_for(max_tokens);
    draft->heads = words;
    draft->previous = words + draft->n_heads;
    draft->n_indexed = 1;
    draft->longest = min_u32(longest, LLMC_DRAFT_MAX);
    draft->limit = min_u32(FIRST_LIMIT, draft->longest);
}

/* Of the pair that ends at position. */
static uint32_t *head_of(const llmc_draft *draft, const int32_t *tokens, uint32_t position) {
    uint64_t pair = (uint64_t)(uint32_t)tokens[position - 1] << 32 | (uint32_t)tokens[position];
    pair = (pair ^ pair >> 29) * UINT64_C(0x9E3779B97F4A7C15);
    return &draft->heads[(uint32_t)(pair >> 32) & (draft->n_heads - 1)];
}

static void index_tokens(llmc_draft *draft, const int32_t *tokens, uint32_t n_tokens) {
    for (; draft->n_indexed + 1 < n_tokens; draft->n_indexed++) {
        uint32_t *head = head_of(draft, tokens, draft->n_indexed);
        draft->previous[draft->n_indexed] = *head;
        *head = draft->n_indexed;
    }
}

/* How many tokens before and at position are those at the end, at most LLMC_DRAFT_MATCH. position < last */
static uint32_t match_length(const int32_t *tokens, uint32_t position, uint32_t last) {
    uint32_t most = min_u32(position + 1, LLMC_DRAFT_MATCH);
    uint32_t n = 0;
    while (n < most && tokens[position - n] == tokens[last - n]) n++;
    return n;
}

/* The position that the end resembles most; 0: none. */
static uint32_t find_match(const llmc_draft *draft, const int32_t *tokens, uint32_t last) {
    uint32_t best = 0, longest = 1;
    uint32_t position = *head_of(draft, tokens, last);
    for (uint32_t i = 0; position > 0 && i < LLMC_DRAFT_CANDIDATES; i++) {
        uint32_t length = match_length(tokens, position, last);
        if (length > longest) {
            longest = length;
            best = position;
        }
        if (length == LLMC_DRAFT_MATCH) break;
        position = draft->previous[position];
    }
    return best;
}

uint32_t llmc_draft_guess(llmc_draft *draft, int32_t *tokens, uint32_t n_tokens, uint32_t max) {
    uint32_t n = min_u32(max, draft->limit);
    if (n == 0 || n_tokens < 3) return 0;
    index_tokens(draft, tokens, n_tokens);
    uint32_t match = find_match(draft, tokens, n_tokens - 1);
    if (match == 0) return 0;
    /* Where the text repeats itself at once, the copy reads what it has just written. */
    for (uint32_t i = 0; i < n; i++) tokens[n_tokens + i] = tokens[match + 1 + i];
    return n;
}

void llmc_draft_learn(llmc_draft *draft, uint32_t n, uint32_t n_right) {
    if (n == 0) return;
    uint32_t half = draft->limit / 2;
    uint32_t limit = n_right == n ? draft->limit * 2 : n_right > half ? n_right : half;
    draft->limit = limit == 0 ? 1 : min_u32(limit, draft->longest);
}
