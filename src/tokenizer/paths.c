/* The best way to cut a text: for every place, the best token that ends there (Unigram, from the left) or begins there (PLaMo-2,
 * from the right). Time is O(n) times the longest token, which LLMC_TRIE_MAX_KEY bounds. */
#include "tokenizer/paths.h"

#include <math.h>

#include "core/utf8.h"

#define SPACE_MARK "\xe2\x96\x81" /* U+2581 */

/* The bytes of the character at a place, by its first byte alone: a fragment may hold parts of characters. */
static size_t character_size(const char *text, size_t size) {
    const uint8_t lead = (uint8_t)text[0];
    const size_t step = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    return step < size ? step : size;
}

/* ---- Unigram: normalization -------------------------------------------------------------------------------------------- */

/* A text as it is being normalized: spaces become U+2581; where the vocabulary asks for it, one is put before the text, and rows
 * of them become one, or none at the ends. */
typedef struct normalizer {
    const llmc_tokenizer *tokenizer;
    llmc_buffer out;
    int in_word, begun;
} normalizer;

static void put_text(normalizer *n, const char *text, size_t size) {
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ') {
            n->in_word = 0;
            if (!n->tokenizer->merge_spaces) llmc_buffer_append(&n->out, SPACE_MARK, 3);
            continue;
        }
        if (!n->in_word) {
            if (n->tokenizer->merge_spaces && (n->begun || n->tokenizer->add_space_prefix))
                llmc_buffer_append(&n->out, SPACE_MARK, 3);
            n->in_word = n->begun = 1;
        }
        llmc_buffer_append(&n->out, &text[i], 1);
    }
}

static void normalize(normalizer *n, const char *text, size_t size) {
    if (n->tokenizer->add_space_prefix && !n->tokenizer->merge_spaces) put_text(n, " ", 1);
    for (size_t at = 0; at < size;) {
        const char *replacement = NULL;
        size_t replacement_size = 0;
        uint32_t c;
        size_t step = llmc_charsmap_find(&n->tokenizer->charsmap, text + at, size - at, &replacement, &replacement_size);
        if (step) {
            put_text(n, replacement, replacement_size);
        } else if ((step = llmc_utf8_decode(text + at, size - at, &c)) != 0) {
            put_text(n, text + at, step);
        } else {
            put_text(n, "\xef\xbf\xbd", 3);
            step = 1;
        }
        at += step;
    }
    llmc_buffer *out = &n->out; /* a U+2581 of the text's own is a space here too */
    while (n->tokenizer->merge_spaces && out->size >= 3 && memcmp(out->data + out->size - 3, SPACE_MARK, 3) == 0)
        out->size -= 3;
}

/* ---- Unigram: the best path -------------------------------------------------------------------------------------------- */

/* The best way to a place. */
typedef struct arrival {
    double score; /* sum of the tokens' log probabilities; -HUGE_VAL: there is no way */
    int32_t id;   /* the last token; -1: unknown */
    uint32_t size;
} arrival;

static void offer(arrival *to, double score, int32_t id, size_t size) {
    if (score > to->score) *to = (arrival){score, id, (uint32_t)size};
}

/* The ways on from a place; characters that are no token of their own are unknown. */
static void leave(const llmc_tokenizer *t, arrival *places, const char *text, size_t size, size_t at) {
    const size_t character = character_size(text + at, size - at);
    const double here = places[at].score;
    uint32_t node = LLMC_TRIE_ROOT;
    int known = 0;
    for (size_t i = at; i < size; i++) {
        node = llmc_trie_child(&t->trie, node, (uint8_t)text[i]);
        if (node == LLMC_TRIE_NONE) break;
        const int32_t id = t->trie.ids[node];
        if (id < 0) continue;
        if (i + 1 - at == character) known = 1;
        const int user = t->vocabulary.attributes[id] & LLMC_ATTR_USER_DEFINED;
        offer(&places[i + 1], here + (user ? 0.0 : (double)t->vocabulary.scores[id]), id, i + 1 - at);
    }
    if (!known) offer(&places[at + character], here + t->unknown_score, -1, character);
}

static void reverse(int32_t *ids, size_t n) {
    for (size_t i = 0; i < n / 2; i++) {
        const int32_t id = ids[i];
        ids[i] = ids[n - 1 - i];
        ids[n - 1 - i] = id;
    }
}

/* Backwards; a row of unknown characters is one unknown token. */
static llmcall_status collect(const llmc_tokenizer *t, llmc_merger *m, const arrival *places, size_t size) {
    const size_t first = m->list->n;
    llmcall_status status = LLMCALL_OK;
    int unknown = 0;
    for (size_t at = size; at && !status; at -= places[at].size) {
        const int32_t id = places[at].id < 0 ? t->specials.ids[LLMC_SPECIAL_UNK] : places[at].id;
        if (id >= 0 && !(unknown && places[at].id < 0)) status = llmc_merger_push(m, id);
        unknown = places[at].id < 0;
    }
    if (!status) reverse(m->list->ids + first, m->list->n - first);
    return status;
}

static llmcall_status encode_normalized(const llmc_tokenizer *t, llmc_merger *m, const char *text, size_t size) {
    arrival *places = llmc_alloc_array(t->env, size + 1, sizeof *places);
    if (!places) return LLMCALL_E_NO_MEMORY;
    for (size_t i = 0; i <= size; i++) places[i] = (arrival){-HUGE_VAL, -1, 0};
    places[0].score = 0;
    for (size_t at = 0; at < size; at += character_size(text + at, size - at)) leave(t, places, text, size, at);
    llmcall_status status = collect(t, m, places, size);
    llmc_free(t->env, places);
    return status;
}

llmcall_status llmc_unigram_encode(const llmc_tokenizer *t, llmc_merger *m, const char *text, size_t size) {
    normalizer n = {.tokenizer = t};
    llmc_buffer_init(&n.out, t->env, PTRDIFF_MAX / sizeof(arrival) - 1);
    normalize(&n, text, size);
    llmcall_status status = n.out.status;
    if (!status && n.out.size) status = encode_normalized(t, m, n.out.data, n.out.size);
    llmc_buffer_free(&n.out);
    return status ? LLMCALL_E_NO_MEMORY : LLMCALL_OK;
}

/* ---- PLaMo-2 ----------------------------------------------------------------------------------------------------------- */

enum { UNKNOWN_COST = 10000000, UNUSABLE_COST = 20000000 };

/* The cheapest way from a place to the end. */
typedef struct departure {
    int64_t cost;
    int32_t id; /* -1: the bytes of a character */
    uint32_t size;
} departure;

static int64_t cost_of(float score) {
    const double cost = -(double)score * 1e4;
    return cost < UNUSABLE_COST ? (int64_t)(cost < -UNUSABLE_COST ? -UNUSABLE_COST : round(cost)) : UNUSABLE_COST;
}

/* Of equal ways, the one that begins with the longest token. */
static departure depart(const llmc_tokenizer *t, const departure *places, const char *text, size_t size, size_t at) {
    const size_t character = character_size(text + at, size - at);
    departure best = {INT64_MAX, -1, (uint32_t)character};
    uint32_t node = LLMC_TRIE_ROOT;
    for (size_t i = at; i < size; i++) {
        node = llmc_trie_child(&t->trie, node, (uint8_t)text[i]);
        if (node == LLMC_TRIE_NONE) break;
        const int32_t id = t->trie.ids[node];
        const int64_t cost = id < 0 ? UNUSABLE_COST : cost_of(t->vocabulary.scores[id]);
        if (cost == UNUSABLE_COST || places[i + 1].size == 0) continue;
        if (cost + places[i + 1].cost <= best.cost) best = (departure){cost + places[i + 1].cost, id, (uint32_t)(i + 1 - at)};
    }
    const int64_t unknown = UNKNOWN_COST + places[at + character].cost;
    return unknown < best.cost ? (departure){unknown, -1, (uint32_t)character} : best;
}

static llmcall_status follow(const llmc_tokenizer *t, llmc_merger *m, const departure *places, const char *text, size_t size) {
    llmcall_status status = LLMCALL_OK;
    for (size_t at = 0; at < size && !status; at += places[at].size) {
        if (places[at].id >= 0) status = llmc_merger_push(m, places[at].id);
        for (size_t i = 0; places[at].id < 0 && i < places[at].size && !status; i++)
            status = llmc_merger_push(m, t->vocabulary.byte_ids[(uint8_t)text[at + i]]);
    }
    return status;
}

llmcall_status llmc_plamo2_encode(const llmc_tokenizer *t, llmc_merger *m, const char *text, size_t size) {
    const size_t mark = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0; /* a byte order mark is dropped */
    text += mark;
    size -= mark;
    departure *places = llmc_zalloc_array(t->env, size + 1, sizeof *places);
    if (!places) return LLMCALL_E_NO_MEMORY;
    for (size_t at = 0; at < size; at += character_size(text + at, size - at)) places[at].size = 1;
    places[size].size = 1; /* where a character begins, size is not 0 */
    for (size_t at = size; at-- > 0;)
        if (places[at].size) places[at] = depart(t, places, text, size, at);
    llmcall_status status = follow(t, m, places, text, size);
    llmc_free(t->env, places);
    return status;
}

/* ---- RWKV -------------------------------------------------------------------------------------------------------------- */

/* The longest token each time; a byte that begins none is unknown. */
llmcall_status llmc_rwkv_encode(const llmc_tokenizer *t, llmc_merger *m, const char *text, size_t size) {
    llmcall_status status = LLMCALL_OK;
    for (size_t at = 0; at < size && !status;) {
        int32_t id = t->specials.ids[LLMC_SPECIAL_UNK];
        size_t end = at + 1;
        uint32_t node = LLMC_TRIE_ROOT;
        for (size_t i = at; i < size; i++) {
            node = llmc_trie_child(&t->trie, node, (uint8_t)text[i]);
            if (node == LLMC_TRIE_NONE) break;
            if (t->trie.ids[node] < 0) continue;
            id = t->trie.ids[node];
            end = i + 1;
        }
        if (id >= 0) status = llmc_merger_push(m, id);
        at = end;
    }
    return status;
}
