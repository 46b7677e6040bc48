/* A vocabulary as the tokenizer uses it: every token's name and bytes, a hash from bytes to id, and the merges. Built once by
 * vocabulary.c, then only read. */
#ifndef LLMC_TOKENIZER_VOCABULARY_H
#define LLMC_TOKENIZER_VOCABULARY_H

#include <string.h>

#include "tokenizer/tokenizer.h"

/* What a token is, as bits: special.c may add some to what the file says. */
enum {
    LLMC_ATTR_NORMAL = 1,
    LLMC_ATTR_UNKNOWN = 2,
    LLMC_ATTR_CONTROL = 4,
    LLMC_ATTR_USER_DEFINED = 8,
    LLMC_ATTR_UNUSED = 16,
    LLMC_ATTR_BYTE = 32,
    LLMC_ATTR_EOG = 64,
    LLMC_ATTR_SWALLOWS = 128 /* white space on one side, see llmc_swallow */
};

/* How a text becomes tokens. */
typedef enum llmc_vocab_kind {
    LLMC_KIND_BPE,        /* merges over bytes */
    LLMC_KIND_SPACED_BPE, /* merges over characters, U+2581 for a space */
    LLMC_KIND_SPM,        /* SentencePiece BPE: joins by score */
    LLMC_KIND_WORDPIECE,
    LLMC_KIND_UNIGRAM,
    LLMC_KIND_RWKV,
    LLMC_KIND_PLAMO2
} llmc_vocab_kind;

/* One place of the hash from bytes to token. Keys of up to 8 bytes are compared by head alone. */
typedef struct llmc_token_slot {
    uint64_t head;
    uint32_t size; /* of the key, with LLMC_SLOT_* bits */
    int32_t id;    /* -1: empty */
} llmc_token_slot;
#define LLMC_SLOT_DIRECT 0x80000000u /* a whole piece equal to the key is this token: no merging needed */
#define LLMC_SLOT_RAW    0x40000000u /* a BPE token not written in the byte alphabet: found by name only */

typedef struct llmc_merge_slot {
    uint64_t pair; /* left id << 32 | right id; UINT64_MAX: empty */
    uint32_t rank; /* lower merges first */
    int32_t id;    /* what the pair becomes */
} llmc_merge_slot;

typedef struct llmc_vocabulary {
    const llmc_env *env;
    uint32_t n_tokens;
    llmc_vocab_kind kind;
    int byte_level;    /* text finds tokens by their bytes (BPE), not by their names */
    int by_merges;     /* else by score */
    int ignore_merges; /* BPE: a piece that is a token is that token, whatever the merges say */
    uint64_t seed;     /* of the hashes, so that no file can be made to collide */
    char *names;       /* NUL-terminated each */
    uint32_t *name_at; /* n_tokens + 1 */
    char *decoded;     /* BPE: the byte alphabet undone; RWKV: escapes undone; else U+2581 as space */
    uint32_t *decoded_at;
    uint8_t *attributes;
    uint8_t *bytes; /* the byte that a BYTE token stands for; 0 for others */
    llmc_token_slot *slots;
    uint32_t slot_mask;
    llmc_merge_slot *merges; /* BPE and SPACED_BPE */
    uint32_t merge_mask;
    uint64_t *merge_filter; /* small enough for the cache, it answers for most pairs that do not merge; see find_merge */
    uint32_t filter_mask;
    uint32_t *ranks;       /* SPM: scores turned so that lower merges first */
    float *scores;         /* UNIGRAM and PLAMO2 */
    uint64_t *joins;       /* SPM and SPACED_BPE: see llmc_vocabulary_may_join */
    uint32_t longest;      /* key, in bytes */
    int32_t byte_ids[256]; /* BPE: the token of each byte; else the byte fallback; -1: none */
    size_t held;           /* bytes of memory */
} llmc_vocabulary;

llmcall_status llmc_vocabulary_init(llmc_vocabulary *v, const llmc_env *env, const llmc_vocab_source *source,
                                    llmc_vocab_kind kind, int ignore_merges,
                                    llmcall_error *error); /* free it even after a failure */
void llmc_vocabulary_free(llmc_vocabulary *v);
int32_t llmc_vocabulary_find_name(const llmc_vocabulary *v, const char *name, size_t size); /* -1: none */

static inline const char *llmc_vocabulary_name(const llmc_vocabulary *v, uint32_t id, uint32_t *size) {
    *size = v->name_at[id + 1] - v->name_at[id] - 1;
    return v->names + v->name_at[id];
}

static inline const char *llmc_vocabulary_decoded(const llmc_vocabulary *v, uint32_t id, uint32_t *size) {
    *size = v->decoded_at[id + 1] - v->decoded_at[id];
    return v->decoded + v->decoded_at[id];
}

/* The bytes by which text finds the token. */
static inline const char *llmc_vocabulary_key(const llmc_vocabulary *v, uint32_t id, uint32_t *size) {
    return v->byte_level ? llmc_vocabulary_decoded(v, id, size) : llmc_vocabulary_name(v, id, size);
}

#define LLMC_HASH_FACTOR 0x9e3779b97f4a7c15u

static inline uint64_t llmc_load64(const char *p) {
    uint64_t value;
    memcpy(&value, p, 8);
    return value;
}

static inline uint32_t llmc_load32(const char *p) {
    uint32_t value;
    memcpy(&value, p, 4);
    return value;
}

/* Eight bytes that, with the size, stand for all of a key of up to 8 bytes, and for the first 8 of a longer one. */
static inline uint64_t llmc_key_head(const char *key, size_t size) {
    if (size >= 8) return llmc_load64(key);
    if (size >= 4) return llmc_load32(key) | (uint64_t)llmc_load32(key + size - 4) << 32;
    if (size == 0) return 0;
    return (uint64_t)(uint8_t)key[0] | (uint64_t)(uint8_t)key[size / 2] << 8 | (uint64_t)(uint8_t)key[size - 1] << 16;
}

static inline uint64_t llmc_hash_step(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * LLMC_HASH_FACTOR;
    return hash ^ hash >> 29;
}

static inline uint64_t llmc_key_hash(uint64_t seed, uint64_t head, const char *key, size_t size) {
    uint64_t hash = llmc_hash_step(seed + size, head);
    if (size > 8) {
        for (size_t at = 8; at + 8 < size; at += 8) hash = llmc_hash_step(hash, llmc_load64(key + at));
        hash = llmc_hash_step(hash, llmc_load64(key + size - 8));
    }
    return hash ^ hash >> 32;
}

/* The slot of a key whose head and hash are known, or NULL. raw: 0 or LLMC_SLOT_RAW. */
static inline const llmc_token_slot *llmc_vocabulary_find_hashed(const llmc_vocabulary *v, const char *key, size_t size,
                                                                 uint32_t raw, uint64_t head, uint64_t hash) {
    const uint32_t wanted = (uint32_t)size | raw;
    for (uint64_t i = hash;; i++) {
        const llmc_token_slot *slot = &v->slots[i & v->slot_mask];
        if (slot->id < 0) return NULL;
        if (slot->head != head || (slot->size & ~LLMC_SLOT_DIRECT) != wanted) continue;
        uint32_t ignored;
        if (size <= 8 || memcmp(llmc_vocabulary_key(v, (uint32_t)slot->id, &ignored) + 8, key + 8, size - 8) == 0) return slot;
    }
}

/* The slot of a key, or NULL. raw: 0 or LLMC_SLOT_RAW. */
static inline const llmc_token_slot *llmc_vocabulary_find(const llmc_vocabulary *v, const char *key, size_t size,
                                                          uint32_t raw) {
    if (size > v->longest) return NULL;
    const uint64_t head = llmc_key_head(key, size);
    return llmc_vocabulary_find_hashed(v, key, size, raw, head, llmc_key_hash(v->seed, head, key, size));
}

static inline uint64_t llmc_pair_hash(const llmc_vocabulary *v, uint64_t pair) {
    const uint64_t hash = llmc_hash_step(v->seed, pair);
    return hash ^ hash >> 32;
}

/* A merge sets two bits of one word of the filter: a pair that lacks one of them does not merge. */
static inline uint64_t llmc_filter_bits(uint64_t hash) {
    return (uint64_t)1 << (hash >> 52 & 63) | (uint64_t)1 << (hash >> 58);
}

static inline const llmc_merge_slot *llmc_vocabulary_find_merge(const llmc_vocabulary *v, int32_t left, int32_t right) {
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const uint64_t hash = llmc_pair_hash(v, pair), bits = llmc_filter_bits(hash);
    if ((v->merge_filter[hash & v->filter_mask] & bits) != bits) return NULL;
    for (uint64_t i = hash;; i++) {
        const llmc_merge_slot *slot = &v->merges[i & v->merge_mask];
        if (slot->pair == pair) return slot;
        if (slot->pair == UINT64_MAX) return NULL;
    }
}

#define LLMC_JOIN_BITS 20
static inline uint32_t llmc_join_bit(uint32_t left, uint32_t right) {
    return (uint32_t)((((uint64_t)left << 32 | right) * LLMC_HASH_FACTOR) >> (64 - LLMC_JOIN_BITS));
}

/* Whether some token may hold these two characters side by side. Where none does, no merge crosses. */
static inline int llmc_vocabulary_may_join(const llmc_vocabulary *v, uint32_t left, uint32_t right) {
    const uint32_t bit = llmc_join_bit(left, right);
    return (int)(v->joins[bit / 64] >> (bit % 64) & 1);
}

#endif
