/* Builds the trie: keys are sorted, so that the keys below a node are a range of the list, and nodes are made level by level. */
#include "tokenizer/trie.h"

#include <string.h>

static int key_order(const llmc_trie_key *a, const llmc_trie_key *b) {
    const int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
    if (order) return order;
    if (a->size != b->size) return a->size < b->size ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

static void sift_down(llmc_trie_key *keys, size_t n, size_t at, llmc_trie_key item) {
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && key_order(&keys[child + 1], &keys[child]) > 0) child++;
        if (key_order(&item, &keys[child]) >= 0) break;
        keys[at] = keys[child];
    }
    keys[at] = item;
}

/* A heap sort: qsort may take memory of its own. */
static void sort_keys(llmc_trie_key *keys, size_t n) {
    for (size_t i = n / 2; i-- > 0;) sift_down(keys, n, i, keys[i]);
    while (n > 1) {
        const llmc_trie_key last = keys[--n];
        keys[n] = keys[0];
        sift_down(keys, n, 0, last);
    }
}

static size_t common_size(const llmc_trie_key *a, const llmc_trie_key *b) {
    const size_t most = a->size < b->size ? a->size : b->size;
    size_t n = 0;
    while (n < most && a->text[n] == b->text[n]) n++;
    return n;
}

static size_t count_nodes(const llmc_trie_key *keys, size_t n) {
    size_t nodes = 1;
    for (size_t i = 0; i < n; i++) nodes += keys[i].size - (i ? common_size(&keys[i - 1], &keys[i]) : 0);
    return nodes;
}

/* The keys below a node: those from first to last, which have depth bytes in common. */
typedef struct key_range {
    uint32_t first, last, depth;
} key_range;

/* The id of the keys that end here, and the children. Returns how many nodes there are by now. */
static uint32_t expand(llmc_trie *t, uint32_t node, const llmc_trie_key *keys, key_range *ranges, uint32_t n_nodes) {
    const key_range here = ranges[node];
    uint32_t at = here.first;
    t->ids[node] = -1;
    for (; at < here.last && keys[at].size == here.depth; at++) t->ids[node] = keys[at].id;
    t->children[node] = n_nodes;
    while (at < here.last) {
        const char byte = keys[at].text[here.depth];
        uint32_t last = at + 1;
        while (last < here.last && keys[last].text[here.depth] == byte) last++;
        t->bytes[n_nodes] = (uint8_t)byte;
        ranges[n_nodes++] = (key_range){at, last, here.depth + 1};
        at = last;
    }
    t->counts[node] = (uint16_t)(n_nodes - t->children[node]);
    return n_nodes;
}

llmcall_status llmc_trie_init(llmc_trie *t, const llmc_env *env, llmc_trie_key *keys, size_t n) {
    memset(t, 0, sizeof *t);
    sort_keys(keys, n);
    const size_t n_nodes = count_nodes(keys, n);
    if (n_nodes >= UINT32_MAX) return LLMCALL_E_NO_MEMORY;
    t->children = llmc_alloc_array(env, n_nodes, sizeof *t->children);
    t->ids = llmc_alloc_array(env, n_nodes, sizeof *t->ids);
    t->counts = llmc_alloc_array(env, n_nodes, sizeof *t->counts);
    t->bytes = llmc_zalloc(env, n_nodes);
    key_range *ranges = llmc_alloc_array(env, n_nodes, sizeof *ranges);
    if (t->children && t->ids && t->counts && t->bytes && ranges) {
        ranges[0] = (key_range){0, (uint32_t)n, 0};
        t->n_nodes = 1;
        for (uint32_t node = 0; node < t->n_nodes; node++) t->n_nodes = expand(t, node, keys, ranges, t->n_nodes);
        for (size_t i = 0; i < 256; i++) t->root[i] = LLMC_TRIE_NONE;
        for (uint32_t i = 0; i < t->counts[0]; i++) t->root[t->bytes[t->children[0] + i]] = t->children[0] + i;
    }
    llmc_free(env, ranges);
    return t->n_nodes ? LLMCALL_OK : LLMCALL_E_NO_MEMORY;
}

void llmc_trie_free(llmc_trie *t, const llmc_env *env) {
    llmc_free(env, t->children);
    llmc_free(env, t->ids);
    llmc_free(env, t->counts);
    llmc_free(env, t->bytes);
    memset(t, 0, sizeof *t);
}

size_t llmc_trie_bytes(const llmc_trie *t) {
    return (size_t)t->n_nodes * (sizeof *t->children + sizeof *t->ids + sizeof *t->counts + sizeof *t->bytes);
}
