/* What a tokenizer is made of; for the files of this room only. */
#ifndef LLMC_TOKENIZER_INTERNAL_H
#define LLMC_TOKENIZER_INTERNAL_H

#include "tokenizer/charsmap.h"
#include "tokenizer/pretokenize.h"
#include "tokenizer/special.h"
#include "tokenizer/trie.h"
#include "tokenizer/vocabulary.h"

struct llmc_tokenizer {
    const llmc_env *env;
    llmc_vocabulary vocabulary;
    llmc_specials specials;
    llmc_pretokenizer pre; /* BPE only */
    llmc_trie trie;        /* WORDPIECE, UNIGRAM, RWKV, PLAMO2 */
    int32_t begin, end;    /* what LLMC_ENCODE_BOS_EOS adds; -1: nothing */
    int add_space_prefix;
    int line_tokens;              /* SPACED_BPE: a row of line feeds that is a token is that token */
    int lowercase, strip_accents; /* WORDPIECE */
    llmc_charsmap charsmap;       /* UNIGRAM */
    int merge_spaces;             /* UNIGRAM: tokenizer.ggml.remove_extra_whitespaces */
    float unknown_score;          /* UNIGRAM */
};

#endif
