/* A shielded text as the encoder needs it: without its shield characters, and where they stood. */
#ifndef LLMC_TOKENIZER_SHIELD_H
#define LLMC_TOKENIZER_SHIELD_H

#include "tokenizer/tokenizer.h"

typedef struct llmc_unshielded {
    const char *text; /* the caller's where nothing had to be removed */
    size_t size;
    uint8_t *shields; /* size + 1: 1 where a shield stood before that byte; NULL: there was none */
    char *own;
} llmc_unshielded;

/* shield 0: text as it is. LLMCALL_E_NO_MEMORY is the only failure; free it also then. */
llmcall_status llmc_unshield(llmc_unshielded *u, const llmc_env *env, const char *text, size_t size, uint32_t shield);
void llmc_unshielded_free(llmc_unshielded *u, const llmc_env *env);

#endif
