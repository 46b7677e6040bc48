/* Cuts a text into the pieces inside which BPE merges, by the rule that the pre-tokenizer's name stands for. */
#ifndef LLMC_TOKENIZER_PRETOKENIZE_H
#define LLMC_TOKENIZER_PRETOKENIZE_H

#include "core/error.h"

typedef struct llmc_pretokenizer llmc_pretokenizer;

/* The end of the piece that begins at p, behind p; p lies before end. */
typedef const uint8_t *(*llmc_piece_rule)(const llmc_pretokenizer *p, const uint8_t *from, const uint8_t *end);

/* Static facts of a name. */
typedef struct llmc_pre_kind {
    const char *name;
    llmc_piece_rule rule;
    int ignore_merges; /* a piece that is a token needs no merges */
    int add_bos;       /* unless the file says otherwise */
} llmc_pre_kind;
const llmc_pre_kind *llmc_pre_find(const char *name); /* NULL: not known; name may be NULL */

/* Immutable, for any number of threads. */
struct llmc_pretokenizer {
    uint8_t *classes; /* see classes.h */
    llmc_piece_rule rule;
};

llmcall_status llmc_pretokenizer_init(llmc_pretokenizer *p, const llmc_env *env, const llmc_pre_kind *kind,
                                      llmcall_error *error);
void llmc_pretokenizer_free(llmc_pretokenizer *p, const llmc_env *env);
size_t llmc_pretokenizer_bytes(const llmc_pretokenizer *p);

/* The size of the first piece of a text, which must be UTF-8; size is not 0, nor is the result. Pieces follow each other without
 * gaps; a cut depends on what follows in the text, never on what came before. */
static inline size_t llmc_pretokenizer_piece(const llmc_pretokenizer *p, const char *text, size_t size) {
    const uint8_t *from = (const uint8_t *)text;
    return (size_t)(p->rule(p, from, from + size) - from);
}

#endif
