/* Cuts a text into the pieces inside which BPE merges: a list of patterns by the pre-tokenizer's name. */
#ifndef LLMC_TOKENIZER_PRETOKENIZE_H
#define LLMC_TOKENIZER_PRETOKENIZE_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "core/error.h"

enum { LLMC_PRE_MAX_PATTERNS = 4 };

/* Static facts of a name. */
typedef struct llmc_pre_kind {
    const char *name;
    const char *const *patterns; /* each is applied to the pieces that the one before made; ends with NULL */
    int ignore_merges;           /* a piece that is a token needs no merges */
    int add_bos;                 /* unless the file says otherwise */
} llmc_pre_kind;
const llmc_pre_kind *llmc_pre_find(const char *name); /* NULL: not known; name may be NULL */

/* Compiled patterns; immutable, for any number of threads. */
typedef struct llmc_pretokenizer {
    pcre2_general_context *memory;
    pcre2_code *patterns[LLMC_PRE_MAX_PATTERNS];
    int n;
    int jit; /* 1: all are compiled to machine code */
} llmc_pretokenizer;

/* use_jit 0 leaves the interpreter. Free it even after a failure. */
llmcall_status llmc_pretokenizer_init(llmc_pretokenizer *p, const llmc_env *env, const llmc_pre_kind *kind, int use_jit,
                                      llmcall_error *error);
void llmc_pretokenizer_free(llmc_pretokenizer *p);
size_t llmc_pretokenizer_bytes(const llmc_pretokenizer *p); /* of the patterns, without machine code */

typedef llmcall_status (*llmc_piece_fn)(void *user, const char *piece, size_t size);

/* One thread's state for matching. */
typedef struct llmc_cutter {
    const llmc_pretokenizer *pre;
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack; /* made only if a match needs more than PCRE2's own 32 KiB */
    llmc_piece_fn emit;
    void *user;
} llmc_cutter;

llmcall_status llmc_cutter_init(llmc_cutter *c, const llmc_pretokenizer *pre, llmc_piece_fn emit, void *user);
void llmc_cutter_free(llmc_cutter *c);

/* Hands all of text, which must be UTF-8, to emit, piece by piece; stops at the first status that is not OK. */
llmcall_status llmc_cutter_cut(llmc_cutter *c, const char *text, size_t size);

#endif
