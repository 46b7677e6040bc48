/* Cuts a text into the pieces inside which BPE merges, by the rules that the pre-tokenizer's name stands for. */
#ifndef LLMC_TOKENIZER_PRETOKENIZE_H
#define LLMC_TOKENIZER_PRETOKENIZE_H

#include "core/error.h"

typedef struct llmc_pretokenizer llmc_pretokenizer;

/* The end of the piece that begins at p, behind p; p lies before end. A cut depends on what follows, never on what came before. */
typedef const uint8_t *llmc_piece_rule_fn(const llmc_pretokenizer *t, const uint8_t *p, const uint8_t *end);
typedef llmc_piece_rule_fn *llmc_piece_rule;

enum { LLMC_PRE_RULES = 6 };

/* Static facts of a name. Each rule cuts the pieces that the one before it made. */
typedef struct llmc_pre_kind {
    const char *name;
    llmc_piece_rule rules[LLMC_PRE_RULES]; /* NULL after the last */
    int ignore_merges;                     /* a piece that is a token needs no merges */
    int add_bos;                           /* unless the file says otherwise */
} llmc_pre_kind;
const llmc_pre_kind *llmc_pre_at(size_t index);       /* NULL: behind the last */
const llmc_pre_kind *llmc_pre_find(const char *name); /* NULL: not known; name may be NULL */

/* Immutable, for any number of threads. */
struct llmc_pretokenizer {
    uint16_t *classes; /* see classes.h */
    const llmc_pre_kind *kind;
    size_t n_rules;
};

llmcall_status llmc_pretokenizer_init(llmc_pretokenizer *p, const llmc_env *env, const llmc_pre_kind *kind,
                                      llmcall_error *error);
void llmc_pretokenizer_free(llmc_pretokenizer *p, const llmc_env *env);
size_t llmc_pretokenizer_bytes(const llmc_pretokenizer *p);

/* A walk over the pieces of a text: where the piece at hand ends, rule by rule. */
typedef struct llmc_pieces {
    const uint8_t *end; /* of the text */
    const uint8_t *ends[LLMC_PRE_RULES];
} llmc_pieces;

static inline llmc_pieces llmc_pieces_of(const char *text, size_t size) {
    const uint8_t *p = (const uint8_t *)text;
    return (llmc_pieces){p + size, {p, p, p, p, p, p}};
}

/* The size of the piece at a place before the text's end, not 0; the next call is for the place behind it. */
static inline size_t llmc_pieces_next(llmc_pieces *s, const llmc_pretokenizer *t, const char *at) {
    const uint8_t *from = (const uint8_t *)at, *end = s->end;
    for (size_t i = 0; i < t->n_rules; i++) {
        if (s->ends[i] == from) s->ends[i] = t->kind->rules[i](t, from, end);
        end = s->ends[i];
    }
    return (size_t)(end - from);
}

#endif
