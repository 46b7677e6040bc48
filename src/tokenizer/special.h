/* Tokens with a meaning: which end a generation, which are control tokens, and where they stand in a text. */
#ifndef LLMC_TOKENIZER_SPECIAL_H
#define LLMC_TOKENIZER_SPECIAL_H

#include "tokenizer/vocabulary.h"

typedef struct llmc_trie_node {
    uint32_t child, sibling; /* 0: none */
    int32_t any;             /* the token that ends here, or -1 */
    int32_t user;            /* the same if it is found even where control tokens are not */
    uint8_t byte;
} llmc_trie_node;

typedef struct llmc_specials {
    int32_t ids[LLMC_SPECIAL_COUNT];
    llmc_trie_node *nodes; /* node 0 is the root */
    size_t n_nodes, node_capacity;
    uint8_t starts[256]; /* 1: some token begins with this byte; 3: a user-defined one does */
    int any_user;
    llmc_swallow swallow; /* the side of tokens that have LLMC_ATTR_SWALLOWS */
} llmc_specials;

/* Static facts of a tokenizer.ggml.model. */
typedef struct llmc_model_kind {
    const char *name;
    const char *pre; /* the pre-tokenizers that make it this kind; NULL: all that no other row names */
    llmc_vocab_kind kind;
    int32_t bos, eos, unk, sep, pad;        /* where the file names none; -1: none */
    int add_bos, add_eos, add_space_prefix; /* unless the file says otherwise */
    int fixed_bos;                          /* whatever the file says: 1 always, -1 never, nor EOS */
    int line_tokens;
} llmc_model_kind;

/* Reads the ids, marks tokens by their well-known names (in v's attributes), and builds the search. Free it even after a
 * failure. */
llmcall_status llmc_specials_init(llmc_specials *s, llmc_vocabulary *v, const llmc_vocab_source *source,
                                  const llmc_model_kind *kind, llmcall_error *error);
void llmc_specials_free(llmc_specials *s, const llmc_env *env);

/* A special token found in a text. */
typedef struct llmc_occurrence {
    uint32_t at, size;
    int32_t id;
} llmc_occurrence;

/* Finds them, from left to right, without overlaps: longer tokens first, then leftmost. shields: NULL, or size + 1 bytes, not
 * 0 where a shield stood before that byte; no control token is found across one, nor one that lies within the character
 * before it. *found is the caller's to free. */
llmcall_status llmc_specials_find(const llmc_specials *s, const llmc_env *env, const char *text, size_t size,
                                  const uint8_t *shields, int parse_control, llmc_occurrence **found, size_t *n);

/* Whether text begins with the text of a control or unknown token. */
int llmc_specials_control_at(const llmc_specials *s, const char *text, size_t size);

#endif
