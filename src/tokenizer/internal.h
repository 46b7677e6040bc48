/* What a tokenizer is made of; for the files of this room only. */
#ifndef LLMC_TOKENIZER_INTERNAL_H
#define LLMC_TOKENIZER_INTERNAL_H

#include "tokenizer/pretokenize.h"
#include "tokenizer/special.h"
#include "tokenizer/vocabulary.h"

struct llmc_tokenizer {
    const llmc_env *env;
    llmc_vocabulary vocabulary;
    llmc_specials specials;
    llmc_pretokenizer pre; /* byte-level BPE only */
    int add_bos;
    int add_eos;
    int add_space_prefix;
};

#endif
