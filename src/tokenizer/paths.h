/* The kinds of vocabulary whose tokens are found by walking a trie along the text: Unigram and PLaMo-2, which take the best of all
 * ways to cut it, and RWKV, which takes the longest token each time. */
#ifndef LLMC_TOKENIZER_PATHS_H
#define LLMC_TOKENIZER_PATHS_H

#include "tokenizer/internal.h"
#include "tokenizer/merge.h"

/* Each appends a fragment's ids to the merger's list. E_NO_MEMORY or OK. */
llmcall_status llmc_unigram_encode(const llmc_tokenizer *t, llmc_merger *m, const char *text, size_t size);
llmcall_status llmc_plamo2_encode(const llmc_tokenizer *t, llmc_merger *m, const char *text, size_t size);
llmcall_status llmc_rwkv_encode(const llmc_tokenizer *t, llmc_merger *m, const char *text, size_t size);

#endif
