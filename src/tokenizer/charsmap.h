/* A precompiled character map, as SentencePiece writes it into its models: which strings of a text are replaced by which others
 * before the text is cut into tokens (NFKC and the like). */
#ifndef LLMC_TOKENIZER_CHARSMAP_H
#define LLMC_TOKENIZER_CHARSMAP_H

#include "core/alloc.h"
#include "core/error.h"

typedef struct llmc_charsmap {
    uint8_t *bytes;    /* a copy of the file's */
    size_t n_units;    /* of the double array, from byte 4 on; 4 bytes each */
    const char *texts; /* the replacements, each with a NUL behind it */
    size_t texts_size; /* 0: there is no map */
} llmc_charsmap;

/* size 0: no map. E_FORMAT for one whose sizes contradict each other, or that replaces something by more than
 * LLMC_CHARSMAP_MAX_TEXT bytes. Free it even after a failure. */
enum { LLMC_CHARSMAP_MAX_TEXT = 64, LLMC_CHARSMAP_MAX_KEY = 64 };
llmcall_status llmc_charsmap_init(llmc_charsmap *m, const llmc_env *env, const uint8_t *bytes, size_t size,
                                  llmcall_error *error);
void llmc_charsmap_free(llmc_charsmap *m, const llmc_env *env);

/* The longest string at the start of a text that is replaced: its size, and what by; 0 if there is none. */
size_t llmc_charsmap_find(const llmc_charsmap *m, const char *text, size_t size, const char **replacement,
                          size_t *replacement_size);

#endif
