/* A file's vocabulary and chat template, as the tokenizer takes them. */
#ifndef LLMC_VOCAB_H
#define LLMC_VOCAB_H

#include "model/gguf.h"
#include "tokenizer/tokenizer.h"

/* source points into the gguf and into arrays that are owned here; free it when the tokenizer is made. */
typedef struct llmc_vocab {
    llmc_vocab_source source;
    int present; /* 0: tokenizer.ggml.model is "no_vocab" or "none", and source is empty */
    char model[32];
    char pre[64];
    void *owned[6];
} llmc_vocab;

/* From the keys tokenizer.ggml.*; E_FORMAT names the key that is missing or wrong. Free vocab in any case. */
llmcall_status llmc_vocab_read(const llmc_env *env, const llmc_gguf *gguf, llmc_vocab *vocab, llmcall_error *error);
void llmc_vocab_free(const llmc_env *env, llmc_vocab *vocab);

/* The text of key (tokenizer.chat_template), or replacement if that is not NULL: a NUL-terminated copy for the caller to free, or NULL if there
 * is none. E_FORMAT / E_UTF8 if it is not UTF-8, or has a NUL or more than LLMC_TEMPLATE_MAX_BYTES. */
enum { LLMC_TEMPLATE_MAX_BYTES = 1 << 20 };
llmcall_status llmc_vocab_template(const llmc_env *env, const llmc_gguf *gguf, const char *key, const char *replacement,
                                   char **text, llmcall_error *error);

#endif
