/* A trie over byte strings, for the kinds of tokens that are found by walking a text: WordPiece, Unigram, RWKV, PLaMo-2. Built
 * once from a list of keys, then only read. */
#ifndef LLMC_TOKENIZER_TRIE_H
#define LLMC_TOKENIZER_TRIE_H

#include "core/alloc.h"
#include "core/error.h"

enum { LLMC_TRIE_MAX_KEY = 512, LLMC_TRIE_ROOT = 0, LLMC_TRIE_NONE = UINT32_MAX };

typedef struct llmc_trie_key {
    const char *text;
    uint32_t size; /* 1 to LLMC_TRIE_MAX_KEY */
    int32_t id;    /* not negative; of two equal keys, the one with the higher id counts */
} llmc_trie_key;

typedef struct llmc_trie {
    uint32_t *children; /* the first child; a node's children follow each other in the order of their bytes */
    int32_t *ids;       /* of the key that ends here, or -1 */
    uint16_t *counts;   /* children */
    uint8_t *bytes;     /* on the way to the node */
    uint32_t root[256]; /* the root's children by byte */
    uint32_t n_nodes;
} llmc_trie;

/* Sorts keys. Free the trie even after a failure, which is E_NO_MEMORY. */
llmcall_status llmc_trie_init(llmc_trie *t, const llmc_env *env, llmc_trie_key *keys, size_t n);
void llmc_trie_free(llmc_trie *t, const llmc_env *env);
size_t llmc_trie_bytes(const llmc_trie *t);

/* The child of a node for a byte, or LLMC_TRIE_NONE. */
static inline uint32_t llmc_trie_child(const llmc_trie *t, uint32_t node, uint8_t byte) {
    if (node == LLMC_TRIE_ROOT) return t->root[byte];
    uint32_t low = t->children[node], high = low + t->counts[node];
    const uint32_t end = high;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        if (t->bytes[middle] < byte) low = middle + 1;
        else high = middle;
    }
    return low < end && t->bytes[low] == byte ? low : LLMC_TRIE_NONE;
}

#endif
