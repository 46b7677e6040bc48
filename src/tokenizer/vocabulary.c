/* Builds the vocabulary from what the file says, and refuses what contradicts itself. Runs once a model. */
#include "tokenizer/vocabulary.h"

#include <stdio.h>

#include "core/thread.h"
#include "core/utf8.h"
#include "tokenizer/merge.h"

static const char KEY_TOKENS[] = "tokenizer.ggml.tokens";
static const char KEY_TYPES[] = "tokenizer.ggml.token_type";
static const char KEY_MERGES[] = "tokenizer.ggml.merges";

#define SPACE_MARK      "\xe2\x96\x81" /* U+2581, SentencePiece's space */
#define SPACE_MARK_SIZE 3
#define MAX_TEXT_TOTAL  (1u << 30) /* bytes of all texts together, so that offsets fit in 32 bits */

enum { ALPHABET_SIZE = 256 + 68 }; /* code points of the byte alphabet: 188 printable ones as they are, 68 from U+0100 */

/* GPT-2's byte alphabet: bytes that print stand for themselves, the others for U+0100, U+0101, ... in order. */
typedef struct alphabet {
    int16_t byte_of[ALPHABET_SIZE]; /* -1: no byte */
} alphabet;

static int prints(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || (byte >= 0xae && byte <= 0xff);
}

static void alphabet_init(alphabet *a) {
    uint32_t next = 256;
    for (uint32_t i = 0; i < ALPHABET_SIZE; i++) a->byte_of[i] = -1;
    for (uint32_t byte = 0; byte < 256; byte++) a->byte_of[prints(byte) ? byte : next++] = (int16_t)byte;
}

/* Undoes the alphabet. out holds size bytes. Returns 0 if some character is not in it. */
static int alphabet_decode(const alphabet *a, const char *text, size_t size, char *out, size_t *out_size) {
    size_t n = 0;
    for (size_t at = 0; at < size;) {
        uint32_t code_point;
        size_t step = llmc_utf8_decode(text + at, size - at, &code_point);
        if (step == 0 || code_point >= ALPHABET_SIZE || a->byte_of[code_point] < 0) return 0;
        out[n++] = (char)a->byte_of[code_point];
        at += step;
    }
    *out_size = n;
    return 1;
}

static size_t unescape_spaces(const char *text, size_t size, char *out) {
    size_t n = 0;
    for (size_t at = 0; at < size;) {
        if (size - at >= SPACE_MARK_SIZE && memcmp(text + at, SPACE_MARK, SPACE_MARK_SIZE) == 0) {
            out[n++] = ' ';
            at += SPACE_MARK_SIZE;
        } else {
            out[n++] = text[at++];
        }
    }
    return n;
}

static void *hold(llmc_vocabulary *v, size_t count, size_t size) {
    void *block = llmc_zalloc_array(v->env, count, size);
    if (block) v->held += count * size;
    return block;
}

/* ---- Texts ------------------------------------------------------------------------------------------------------------- */

static size_t empty_name(uint32_t id, char out[32]) {
    return (size_t)snprintf(out, 32, "[EMPTY_%u]", id);
}

static llmcall_status check_texts(const llmc_vocab_source *source, size_t *total, llmcall_error *error) {
    if (source->n_tokens == 0) return llmc_fail(error, LLMCALL_E_FORMAT, NULL, KEY_TOKENS, "the vocabulary has no tokens");
    if (source->n_tokens > LLMC_VOCAB_MAX_TOKENS || !source->texts || !source->text_sizes)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, KEY_TOKENS, "the vocabulary has %u tokens; at most %d are served",
                         source->n_tokens, LLMC_VOCAB_MAX_TOKENS);
    *total = 0;
    for (uint32_t id = 0; id < source->n_tokens; id++) {
        char name[32];
        size_t size = source->text_sizes[id];
        if (size > LLMC_VOCAB_MAX_TEXT)
            return llmc_fail(error, LLMCALL_E_FORMAT, NULL, KEY_TOKENS,
                             "token %u has a text of %zu bytes; at most %d are served", id, size, LLMC_VOCAB_MAX_TEXT);
        *total += (size ? size : empty_name(id, name)) + 1;
    }
    if (*total > MAX_TEXT_TOTAL)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, KEY_TOKENS,
                         "the vocabulary's texts take %zu bytes; at most %u are served", *total, MAX_TEXT_TOTAL);
    return LLMCALL_OK;
}

static llmcall_status read_attribute(llmc_vocabulary *v, const llmc_vocab_source *source, uint32_t id, llmcall_error *error) {
    static const uint8_t attribute_of[] = {
        0, LLMC_ATTR_NORMAL, LLMC_ATTR_UNKNOWN, LLMC_ATTR_CONTROL, LLMC_ATTR_USER_DEFINED, LLMC_ATTR_UNUSED, LLMC_ATTR_BYTE};
    const int32_t type = source->types ? source->types[id] : LLMC_TOKEN_NORMAL;
    if (type < LLMC_TOKEN_UNDEFINED || type > LLMC_TOKEN_BYTE)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, KEY_TYPES, "token %u has type %d, which does not exist", id, type);
    v->attributes[id] = attribute_of[type];
    return LLMCALL_OK;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static llmcall_status read_byte_token(llmc_vocabulary *v, uint32_t id, llmcall_error *error) {
    uint32_t size;
    const char *name = llmc_vocabulary_name(v, id, &size); /* "<0x0A>" */
    const int high = size == 6 ? hex_digit(name[3]) : -1, low = size == 6 ? hex_digit(name[4]) : -1;
    if (high < 0 || low < 0 || memcmp(name, "<0x", 3) != 0 || name[5] != '>')
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, KEY_TOKENS,
                         "token %u is a byte token with the text \"%.64s\", not <0xHH>", id, name);
    v->bytes[id] = (uint8_t)(high << 4 | low);
    return LLMCALL_OK;
}

static void put_name(llmc_vocabulary *v, const llmc_vocab_source *source, uint32_t id, uint32_t *at) {
    char empty[32];
    size_t size = source->text_sizes[id];
    const char *text = source->texts[id];
    if (size == 0) {
        size = empty_name(id, empty);
        text = empty;
    }
    v->name_at[id] = *at;
    memcpy(v->names + *at, text, size); /* the NUL is there */
    *at += (uint32_t)size + 1;
    v->name_at[id + 1] = *at;
}

/* RWKV writes tokens as Python writes bytes: \t \n \r \xHH, and a backslash before what else it escapes. */
static size_t unescape_bytes(const char *text, size_t size, char *out) {
    static const char escaped[] = "tnr", meant[] = "\t\n\r";
    size_t n = 0;
    for (size_t at = 0; at < size; at++) {
        if (text[at] != '\\' || at + 1 == size) {
            out[n++] = text[at];
            continue;
        }
        at++;
        const char *known = memchr(escaped, text[at], sizeof escaped - 1);
        const int high = text[at] == 'x' && size - at > 2 ? hex_digit(text[at + 1]) : -1;
        const int low = high < 0 ? -1 : hex_digit(text[at + 2]);
        out[n] = known ? meant[known - escaped] : text[at];
        if (low < 0) n++;
        else out[n++] = (char)(high << 4 | low), at += 2;
    }
    return n;
}

/* Returns the slot bits: LLMC_SLOT_RAW for a BPE text out of the alphabet, which is decoded as it is. */
static uint32_t put_decoded(llmc_vocabulary *v, const alphabet *a, uint32_t id, uint32_t *at) {
    uint32_t name_size, raw = 0;
    const char *name = llmc_vocabulary_name(v, id, &name_size);
    char *out = v->decoded + *at;
    size_t size = 0;
    if (v->kind == LLMC_KIND_RWKV) {
        size = unescape_bytes(name, name_size, out);
    } else if (v->kind == LLMC_KIND_PLAMO2) {
        size = name_size;
        memcpy(out, name, size);
    } else if (!v->byte_level) {
        size = unescape_spaces(name, name_size, out);
    } else if (!alphabet_decode(a, name, name_size, out, &size)) {
        raw = LLMC_SLOT_RAW;
        size = name_size;
        memcpy(out, name, size);
    }
    v->decoded_at[id] = *at;
    *at += (uint32_t)size;
    v->decoded_at[id + 1] = *at;
    return raw;
}

/* ---- The hash from bytes to token --------------------------------------------------------------------------------------- */

/* At most two thirds full. */
static uint32_t table_size(uint32_t count) {
    uint32_t size = 16;
    while (size < count + count / 2) size *= 2;
    return size;
}

static llmcall_status insert_token(llmc_vocabulary *v, uint32_t id, uint32_t raw, llmcall_error *error) {
    uint32_t size;
    const char *key = llmc_vocabulary_key(v, id, &size);
    if (size > v->longest) v->longest = size;
    const llmc_token_slot *twin = llmc_vocabulary_find(v, key, size, raw);
    if (twin)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, KEY_TOKENS, "tokens %d and %u have the same text \"%.64s\"", twin->id,
                         id, v->names + v->name_at[id]);
    const uint64_t head = llmc_key_head(key, size);
    uint64_t i = llmc_key_hash(v->seed, head, key, size);
    while (v->slots[i & v->slot_mask].id >= 0) i++;
    v->slots[i & v->slot_mask] = (llmc_token_slot){head, size | raw, (int32_t)id};
    return LLMCALL_OK;
}

static llmcall_status reserve_texts(llmc_vocabulary *v, size_t total, llmcall_error *error) {
    const uint32_t n_slots = table_size(v->n_tokens);
    v->names = hold(v, total, 1);
    v->decoded = hold(v, total, 1);
    v->name_at = hold(v, (size_t)v->n_tokens + 1, sizeof *v->name_at);
    v->decoded_at = hold(v, (size_t)v->n_tokens + 1, sizeof *v->decoded_at);
    v->attributes = hold(v, v->n_tokens, sizeof *v->attributes);
    v->bytes = hold(v, v->n_tokens, sizeof *v->bytes);
    v->slots = hold(v, n_slots, sizeof *v->slots);
    if (!v->names || !v->decoded || !v->name_at || !v->decoded_at || !v->attributes || !v->bytes || !v->slots)
        return llmc_fail_memory(error, "the vocabulary");
    for (uint32_t i = 0; i < n_slots; i++) v->slots[i].id = -1;
    v->slot_mask = n_slots - 1;
    return LLMCALL_OK;
}

static llmcall_status read_tokens(llmc_vocabulary *v, const llmc_vocab_source *source, const alphabet *a,
                                  llmcall_error *error) {
    uint32_t name_at = 0, decoded_at = 0;
    for (uint32_t id = 0; id < v->n_tokens; id++) {
        llmcall_status status = read_attribute(v, source, id, error);
        if (status) return status;
        put_name(v, source, id, &name_at);
        const uint32_t raw = put_decoded(v, a, id, &decoded_at);
        status = insert_token(v, id, raw, error);
        if (!status && v->attributes[id] & LLMC_ATTR_BYTE) status = read_byte_token(v, id, error);
        if (status) return status;
    }
    return LLMCALL_OK;
}

int32_t llmc_vocabulary_find_name(const llmc_vocabulary *v, const char *name, size_t size) {
    char decoded[LLMC_VOCAB_MAX_SPECIAL];
    size_t decoded_size = 0;
    const llmc_token_slot *slot = NULL;
    if (!v->byte_level) {
        slot = llmc_vocabulary_find(v, name, size, 0);
    } else if (size <= sizeof decoded) {
        alphabet a;
        alphabet_init(&a);
        if (alphabet_decode(&a, name, size, decoded, &decoded_size)) slot = llmc_vocabulary_find(v, decoded, decoded_size, 0);
        else slot = llmc_vocabulary_find(v, name, size, LLMC_SLOT_RAW);
    }
    return slot ? slot->id : -1;
}

static void find_bytes(llmc_vocabulary *v) {
    static const char hex[] = "0123456789ABCDEF";
    for (int byte = 0; byte < 256; byte++) {
        const char name[6] = {'<', '0', 'x', hex[byte >> 4], hex[byte & 15], '>'};
        const char self = (char)byte;
        const llmc_token_slot *slot = v->byte_level ? NULL : llmc_vocabulary_find(v, name, sizeof name, 0);
        if (!slot) slot = llmc_vocabulary_find(v, &self, 1, 0);
        v->byte_ids[byte] = slot ? slot->id : -1;
    }
}

/* ---- Merges ------------------------------------------------------------------------------------------------------ */

typedef struct merge_reader {
    const alphabet *alphabet;
    char *decoded; /* room for the longest merge */
} merge_reader;

/* The place of the space between left and right: not the first byte, as a token may begin with one. 0: none. */
static size_t merge_split(const char *text, size_t size) {
    for (size_t at = 1; at < size; at++)
        if (text[at] == ' ') return at;
    return 0;
}

/* The key of one side of a merge. Returns 0 if it can have none. */
static int merge_key(const llmc_vocabulary *v, const merge_reader *r, const char *text, size_t size, char *out,
                     size_t *out_size) {
    if (v->byte_level) return alphabet_decode(r->alphabet, text, size, out, out_size);
    memcpy(out, text, size);
    *out_size = size;
    return 1;
}

static void insert_merge(llmc_vocabulary *v, int32_t left, int32_t right, uint32_t rank, int32_t id) {
    if (llmc_vocabulary_find_merge(v, left, right)) return; /* the first counts */
    const uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const uint64_t hash = llmc_pair_hash(v, pair);
    uint64_t i = hash;
    while (v->merges[i & v->merge_mask].pair != UINT64_MAX) i++;
    v->merge_filter[hash & v->filter_mask] |= llmc_filter_bits(hash);
    v->merges[i & v->merge_mask] = (llmc_merge_slot){pair, rank, id};
}

static llmcall_status read_merge(llmc_vocabulary *v, const merge_reader *r, const llmc_vocab_source *source, uint32_t rank,
                                 llmcall_error *error) {
    const char *text = source->merges[rank];
    const size_t size = source->merge_sizes[rank], split = merge_split(text, size);
    size_t left_size = 0, right_size = 0;
    const llmc_token_slot *left = NULL, *right = NULL, *both = NULL;
    if (split && merge_key(v, r, text, split, r->decoded, &left_size) &&
        merge_key(v, r, text + split + 1, size - split - 1, r->decoded + left_size, &right_size)) {
        left = llmc_vocabulary_find(v, r->decoded, left_size, 0);
        right = llmc_vocabulary_find(v, r->decoded + left_size, right_size, 0);
        both = llmc_vocabulary_find(v, r->decoded, left_size + right_size, 0);
    }
    if (!left || !right || !both)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, KEY_MERGES, "merge %u, \"%.*s\", does not join two tokens into a third",
                         rank, (int)(size < 64 ? size : 64), text);
    insert_merge(v, left->id, right->id, rank, both->id);
    return LLMCALL_OK;
}

static llmcall_status check_merges(const llmc_vocab_source *source, size_t *longest, llmcall_error *error) {
    if (source->n_merges > LLMC_VOCAB_MAX_MERGES || (source->n_merges && (!source->merges || !source->merge_sizes)))
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, KEY_MERGES, "the vocabulary has %u merges; at most %d are served",
                         source->n_merges, LLMC_VOCAB_MAX_MERGES);
    *longest = 1;
    for (uint32_t i = 0; i < source->n_merges; i++) {
        if (source->merge_sizes[i] > 2 * LLMC_VOCAB_MAX_TEXT)
            return llmc_fail(error, LLMCALL_E_FORMAT, NULL, KEY_MERGES,
                             "merge %u has a text of %u bytes; at most %d are served", i, source->merge_sizes[i],
                             2 * LLMC_VOCAB_MAX_TEXT);
        if (source->merge_sizes[i] > *longest) *longest = source->merge_sizes[i];
    }
    return LLMCALL_OK;
}

static llmcall_status read_merges(llmc_vocabulary *v, const llmc_vocab_source *source, const alphabet *a,
                                  llmcall_error *error) {
    size_t longest = 1;
    llmcall_status status = check_merges(source, &longest, error);
    if (status) return status;
    const uint32_t n_slots = table_size(source->n_merges);
    merge_reader reader = {a, llmc_alloc(v->env, longest)};
    v->merges = hold(v, n_slots, sizeof *v->merges);
    v->merge_filter = hold(v, n_slots / 8, sizeof *v->merge_filter);
    if (v->merges && v->merge_filter && reader.decoded) {
        memset(v->merges, 0xff, n_slots * sizeof *v->merges);
        v->merge_mask = n_slots - 1;
        v->filter_mask = n_slots / 8 - 1;
        for (uint32_t i = 0; i < source->n_merges && !status; i++) status = read_merge(v, &reader, source, i, error);
    } else {
        status = llmc_fail_memory(error, "the merges");
    }
    llmc_free(v->env, reader.decoded);
    return status;
}

/* ---- Scores ------------------------------------------------------------------------------------------------------------ */

/* Floats in descending order as ascending integers, one below the highest at most. */
static uint32_t score_rank(float score) {
    uint32_t bits;
    score += 0.0f; /* -0 is 0 */
    memcpy(&bits, &score, sizeof bits);
    const uint32_t rank = bits & 0x80000000u ? bits : ~(bits | 0x80000000u);
    return rank == UINT32_MAX ? UINT32_MAX - 1 : rank;
}

static void note_joins(llmc_vocabulary *v, uint32_t id) {
    uint32_t size, left = 0, right;
    const char *name = llmc_vocabulary_name(v, id, &size);
    if (llmc_utf8_valid_prefix(name, size) != size) return; /* no text can become it */
    for (size_t at = 0; at < size;) {
        size_t step = llmc_utf8_decode(name + at, size - at, &right);
        if (at) {
            const uint32_t bit = llmc_join_bit(left, right);
            v->joins[bit / 64] |= (uint64_t)1 << (bit % 64);
        }
        left = right;
        at += step;
    }
}

static llmcall_status read_ranks(llmc_vocabulary *v, const llmc_vocab_source *source, llmcall_error *error) {
    v->ranks = hold(v, v->n_tokens, sizeof *v->ranks);
    if (!v->ranks) return llmc_fail_memory(error, "the scores");
    for (uint32_t id = 0; id < v->n_tokens; id++) v->ranks[id] = score_rank(source->scores ? source->scores[id] : 0.0f);
    return LLMCALL_OK;
}

static llmcall_status read_joins(llmc_vocabulary *v, llmcall_error *error) {
    v->joins = hold(v, (size_t)1 << (LLMC_JOIN_BITS - 6), sizeof *v->joins);
    if (!v->joins) return llmc_fail_memory(error, "the vocabulary");
    for (uint32_t id = 0; id < v->n_tokens; id++) note_joins(v, id);
    return LLMCALL_OK;
}

static llmcall_status read_scores(llmc_vocabulary *v, const llmc_vocab_source *source, llmcall_error *error) {
    v->scores = hold(v, v->n_tokens, sizeof *v->scores);
    if (!v->scores) return llmc_fail_memory(error, "the scores");
    for (uint32_t id = 0; id < v->n_tokens; id++) v->scores[id] = source->scores ? source->scores[id] : 0.0f;
    return LLMCALL_OK;
}

static llmcall_status read_order(llmc_vocabulary *v, const llmc_vocab_source *source, const alphabet *a, llmcall_error *error) {
    llmcall_status status = LLMCALL_OK;
    if (v->by_merges) status = read_merges(v, source, a, error);
    if (!status && v->kind == LLMC_KIND_SPM) status = read_ranks(v, source, error);
    if (!status && (v->kind == LLMC_KIND_SPM || v->kind == LLMC_KIND_SPACED_BPE)) status = read_joins(v, error);
    if (!status && (v->kind == LLMC_KIND_UNIGRAM || v->kind == LLMC_KIND_PLAMO2)) status = read_scores(v, source, error);
    return status;
}

/* ---- The whole --------------------------------------------------------------------------------------------------------- */

/* Finds the tokens that their own text becomes, so that a piece equal to one needs no merging. */
static void mark_direct(llmc_vocabulary *v) {
    for (uint32_t i = 0; i <= v->slot_mask; i++) {
        llmc_token_slot *slot = &v->slots[i];
        if (slot->id < 0 || slot->size & LLMC_SLOT_RAW) continue;
        uint32_t size;
        const char *key = llmc_vocabulary_key(v, (uint32_t)slot->id, &size);
        if (v->ignore_merges || llmc_merge_gives(v, key, size, slot->id)) slot->size |= LLMC_SLOT_DIRECT;
    }
}

llmcall_status llmc_vocabulary_init(llmc_vocabulary *v, const llmc_env *env, const llmc_vocab_source *source,
                                    llmc_vocab_kind kind, int ignore_merges, llmcall_error *error) {
    alphabet a;
    size_t total = 0;
    memset(v, 0, sizeof *v);
    v->env = env;
    v->n_tokens = source->n_tokens;
    v->kind = kind;
    v->byte_level = kind == LLMC_KIND_BPE;
    v->by_merges = kind == LLMC_KIND_BPE || kind == LLMC_KIND_SPACED_BPE;
    v->ignore_merges = ignore_merges;
    llmc_random_bytes(&v->seed, sizeof v->seed); /* if the system has none: 0 will do */
    alphabet_init(&a);
    llmcall_status status = check_texts(source, &total, error);
    if (!status) status = reserve_texts(v, total, error);
    if (!status) status = read_tokens(v, source, &a, error);
    if (!status) status = read_order(v, source, &a, error);
    if (status) return status;
    find_bytes(v);
    if (v->by_merges || v->kind == LLMC_KIND_SPM) mark_direct(v);
    return LLMCALL_OK;
}

void llmc_vocabulary_free(llmc_vocabulary *v) {
    void *blocks[] = {v->names, v->name_at, v->decoded,      v->decoded_at, v->attributes, v->bytes,
                      v->slots, v->merges,  v->merge_filter, v->ranks,      v->joins,      v->scores};
    if (!v->env) return;
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) llmc_free(v->env, blocks[i]);
    memset(v, 0, sizeof *v);
}
