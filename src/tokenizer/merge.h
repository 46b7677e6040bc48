/* One piece of text to ids: the merges of BPE, or the score-ordered joins of SentencePiece, lowest rank and then leftmost
 * first. */
#ifndef LLMC_TOKENIZER_MERGE_H
#define LLMC_TOKENIZER_MERGE_H

#include "tokenizer/vocabulary.h"

/* A symbol of a long piece, kept at the offset of its first byte: the next one is at that offset + size. */
typedef struct llmc_symbol {
    uint32_t size;     /* 0: taken up by a symbol on the left */
    uint32_t previous; /* offset; UINT32_MAX: none */
    int32_t id;        /* -1: no token */
} llmc_symbol;

typedef struct llmc_join {
    uint64_t order; /* rank << 32 | offset of the left symbol */
    uint32_t right; /* offset of the right one */
    uint32_t size;  /* of both; if they have another by now, the join is void */
    int32_t id;
} llmc_join;

typedef struct llmc_memo llmc_memo; /* the ids of a piece that was merged before */

/* One call's working memory and where the ids go. */
typedef struct llmc_merger {
    const llmc_vocabulary *vocabulary;
    int32_t unk;      /* for SentencePiece bytes that have no token; -1: drop them */
    const char *text; /* that holds every piece, at most LLMC_ENCODE_MAX_BYTES; NULL: nothing is remembered */
    size_t text_size;
    llmc_token_list *list;
    size_t first_id; /* the list's first one of this call */
    llmc_memo *memo; /* by the piece's hash; a piece takes the place of another */
    size_t memo_mask;
    llmc_symbol *symbols;
    size_t symbol_capacity;
    llmc_join *heap; /* lowest order first */
    size_t n_heap, heap_capacity;
} llmc_merger;

/* text: see above; size is its size. */
void llmc_merger_init(llmc_merger *m, const llmc_vocabulary *vocabulary, int32_t unk, const char *text, size_t size,
                      llmc_token_list *list);
void llmc_merger_free(llmc_merger *m); /* not the list */

/* Appends the ids of a piece of whole characters, smaller than 4 GiB. E_NO_MEMORY or OK. */
llmcall_status llmc_merger_piece(llmc_merger *m, const char *piece, size_t size);
llmcall_status llmc_merger_push(llmc_merger *m, int32_t id);

/* Whether merging makes exactly this token of key. 0 also where key is too long to be worth the time. */
int llmc_merge_gives(const llmc_vocabulary *v, const char *key, size_t size, int32_t id);

#endif
