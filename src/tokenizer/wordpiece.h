/* WordPiece, as BERT has it: a text is cleaned and cut into words, and each word is spelled with the longest tokens, from left to
 * right, or is unknown as a whole. */
#ifndef LLMC_TOKENIZER_WORDPIECE_H
#define LLMC_TOKENIZER_WORDPIECE_H

#include "tokenizer/internal.h"
#include "tokenizer/merge.h"

/* Appends a fragment's ids to the merger's list. */
llmcall_status llmc_wordpiece_encode(const llmc_tokenizer *t, llmc_merger *m, const char *text, size_t size);

#endif
