/* Short pieces are merged by looking over all pairs again after each merge, which beats any data structure at that size;
 * long ones with a heap, so that time stays O(n log n) whatever the text. Both merge in the same order: lowest rank, then
 * leftmost. A short piece that a call met before is copied from the ids that it gave then. */
#include "tokenizer/merge.h"

#include "core/utf8.h"

enum { SHORT_SYMBOLS = 48 };
#define NO_RANK UINT32_MAX
#define NOWHERE UINT32_MAX

void llmc_merger_init(llmc_merger *m, const llmc_vocabulary *vocabulary, int32_t unk, const char *text, size_t size,
                      llmc_token_list *list) {
    memset(m, 0, sizeof *m);
    m->vocabulary = vocabulary;
    m->unk = unk;
    m->text = text;
    m->text_size = size;
    m->list = list;
    m->first_id = list->n;
}

void llmc_merger_free(llmc_merger *m) {
    llmc_free(m->vocabulary->env, m->symbols);
    llmc_free(m->vocabulary->env, m->heap);
    llmc_free(m->vocabulary->env, m->memo);
}

static int reserve_ids(llmc_merger *m, size_t count) {
    llmc_token_list *list = m->list;
    if (list->capacity - list->n >= count) return 1;
    void *ids = list->ids;
    const size_t max = PTRDIFF_MAX / sizeof *list->ids;
    if (count > max - list->n) return 0;
    size_t need = list->n + count;
    if (need < 64) need = 64;
    if (!llmc_grow(m->vocabulary->env, &ids, &list->capacity, need, sizeof *list->ids, max)) return 0;
    list->ids = ids;
    return 1;
}

llmcall_status llmc_merger_push(llmc_merger *m, int32_t id) {
    if (!reserve_ids(m, 1)) return LLMCALL_E_NO_MEMORY;
    m->list->ids[m->list->n++] = id;
    return LLMCALL_OK;
}

/* SentencePiece has one unknown token for all characters in a row that no token covers. */
static void put_unknown(llmc_merger *m) {
    llmc_token_list *list = m->list;
    const int again = list->n > m->first_id && list->ids[list->n - 1] == m->unk;
    if (m->unk >= 0 && !again) list->ids[list->n++] = m->unk;
}

/* Room for one id a byte was reserved. */
static void put_symbol(llmc_merger *m, const char *text, size_t size, int32_t id) {
    llmc_token_list *list = m->list;
    if (id >= 0) {
        list->ids[list->n++] = id;
    } else if (!m->vocabulary->byte_level) {
        for (size_t i = 0; i < size; i++) {
            const int32_t byte = m->vocabulary->byte_ids[(uint8_t)text[i]];
            if (byte >= 0) list->ids[list->n++] = byte;
            else put_unknown(m);
        }
    }
}

/* The first symbols: bytes for BPE, characters for SentencePiece. */
static size_t first_symbol(const llmc_vocabulary *v, const char *text, size_t size, int32_t *id) {
    if (v->byte_level) {
        *id = v->byte_ids[(uint8_t)text[0]];
        return 1;
    }
    const uint8_t lead = (uint8_t)text[0];
    size_t step = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (step > size) step = size;
    const llmc_token_slot *slot = llmc_vocabulary_find(v, text, step, 0);
    *id = slot ? slot->id : -1;
    return step;
}

/* What two neighbours become: its id, with *rank, which is NO_RANK if nothing. text and size are those of both. */
static int32_t join_of(const llmc_vocabulary *v, const char *text, size_t size, int32_t left, int32_t right, uint32_t *rank) {
    *rank = NO_RANK;
    if (v->by_merges) {
        const llmc_merge_slot *merge = left >= 0 && right >= 0 ? llmc_vocabulary_find_merge(v, left, right) : NULL;
        if (!merge) return -1;
        *rank = merge->rank;
        return merge->id;
    }
    const llmc_token_slot *slot = llmc_vocabulary_find(v, text, size, 0);
    if (!slot) return -1;
    *rank = v->ranks[slot->id];
    return slot->id;
}

/* ---- Short pieces ------------------------------------------------------------------------------------------------------ */

/* Symbols keep the index that they began with; a symbol that is joined to the one before it drops out of the chain. */
typedef struct short_piece {
    const char *text;
    uint32_t n;                          /* symbols at the start */
    uint32_t at[SHORT_SYMBOLS + 1];      /* offset of each symbol, and the end */
    uint64_t order[SHORT_SYMBOLS];       /* of joining it with the next one: rank << 32 | index; UINT64_MAX: they do not join */
    int32_t id[SHORT_SYMBOLS];           /* -1: no token */
    int32_t joined[SHORT_SYMBOLS];       /* what the two make */
    uint8_t next[SHORT_SYMBOLS + 1];     /* n: none */
    uint8_t previous[SHORT_SYMBOLS + 1]; /* of the first: 0 */
} short_piece;

static inline void rate(const llmc_vocabulary *v, short_piece *p, uint32_t i) {
    const uint32_t next = p->next[i];
    uint32_t rank = NO_RANK;
    p->order[i] = UINT64_MAX;
    if (next == p->n) return;
    p->joined[i] = join_of(v, p->text + p->at[i], p->at[p->next[next]] - p->at[i], p->id[i], p->id[next], &rank);
    if (rank != NO_RANK) p->order[i] = (uint64_t)rank << 32 | i;
}

/* Returns 0 if the piece has too many symbols. */
static int short_start(const llmc_vocabulary *v, short_piece *p, const char *text, size_t size) {
    uint32_t n = 0;
    size_t at = 0;
    if (v->byte_level && size > SHORT_SYMBOLS) return 0;
    for (; at < size; n++) {
        if (n == SHORT_SYMBOLS) return 0;
        p->at[n] = (uint32_t)at;
        p->next[n] = (uint8_t)(n + 1);
        p->previous[n + 1] = (uint8_t)n;
        at += first_symbol(v, text + at, size - at, &p->id[n]);
    }
    p->text = text;
    p->n = n;
    p->at[n] = (uint32_t)at;
    p->next[n] = (uint8_t)n;
    p->previous[0] = 0;
    for (uint32_t i = 0; i < n; i++) rate(v, p, i);
    return 1;
}

static void join_at(const llmc_vocabulary *v, short_piece *p, uint32_t i) {
    const uint32_t taken = p->next[i];
    p->id[i] = p->joined[i];
    p->order[taken] = UINT64_MAX;
    p->next[i] = p->next[taken];
    p->previous[p->next[i]] = (uint8_t)i;
    rate(v, p, i);
    if (i) rate(v, p, p->previous[i]);
}

static void short_merge(const llmc_vocabulary *v, short_piece *p) {
    for (;;) {
        uint64_t best = UINT64_MAX;
        for (uint32_t i = 0; i < p->n; i++) best = p->order[i] < best ? p->order[i] : best;
        if (best == UINT64_MAX) return;
        join_at(v, p, (uint32_t)best);
    }
}

int llmc_merge_gives(const llmc_vocabulary *v, const char *key, size_t size, int32_t id) {
    short_piece p;
    if (size > 4 * (size_t)SHORT_SYMBOLS || !short_start(v, &p, key, size)) return 0;
    short_merge(v, &p);
    return p.n && p.next[0] == p.n && p.id[0] == id;
}

/* ---- Long pieces ------------------------------------------------------------------------------------------------------- */

static void sift_down(llmc_join *heap, size_t n, size_t at, llmc_join item) {
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1].order < heap[child].order) child++;
        if (item.order <= heap[child].order) break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

static llmc_join heap_pop(llmc_merger *m) {
    const llmc_join top = m->heap[0];
    m->n_heap--;
    if (m->n_heap) sift_down(m->heap, m->n_heap, 0, m->heap[m->n_heap]);
    return top;
}

static int heap_reserve(llmc_merger *m, size_t need) {
    void *block = m->heap;
    if (need <= m->heap_capacity) return 1;
    const size_t max = PTRDIFF_MAX / sizeof *m->heap;
    if (!llmc_grow(m->vocabulary->env, &block, &m->heap_capacity, need, sizeof *m->heap, max)) return 0;
    m->heap = block;
    return 1;
}

static void heap_push(llmc_merger *m, llmc_join item) {
    size_t at = m->n_heap++;
    for (size_t parent; at && item.order < m->heap[parent = (at - 1) / 2].order; at = parent) m->heap[at] = m->heap[parent];
    m->heap[at] = item;
}

/* Returns 0 if the two do not join. */
static int make_join(const llmc_merger *m, const char *text, uint32_t left, uint32_t right, llmc_join *join) {
    const llmc_symbol *a = &m->symbols[left], *b = &m->symbols[right];
    uint32_t rank;
    join->size = a->size + b->size;
    join->id = join_of(m->vocabulary, text + left, join->size, a->id, b->id, &rank);
    join->right = right;
    join->order = (uint64_t)rank << 32 | left;
    return rank != NO_RANK;
}

static int push_join(llmc_merger *m, const char *text, uint32_t left, uint32_t right) {
    llmc_join join;
    if (!make_join(m, text, left, right, &join)) return 1;
    if (!heap_reserve(m, m->n_heap + 1)) return 0;
    heap_push(m, join);
    return 1;
}

static int long_start(llmc_merger *m, const char *text, size_t size) {
    void *block = m->symbols;
    if (!llmc_grow(m->vocabulary->env, &block, &m->symbol_capacity, size, sizeof *m->symbols, PTRDIFF_MAX / sizeof *m->symbols))
        return 0;
    m->symbols = block;
    if (!heap_reserve(m, size)) return 0;
    uint32_t previous = NOWHERE;
    m->n_heap = 0;
    for (size_t at = 0; at < size; at += m->symbols[at].size) {
        llmc_symbol *symbol = &m->symbols[at];
        symbol->size = (uint32_t)first_symbol(m->vocabulary, text + at, size - at, &symbol->id);
        symbol->previous = previous;
        if (previous != NOWHERE) m->n_heap += (size_t)make_join(m, text, previous, (uint32_t)at, &m->heap[m->n_heap]);
        previous = (uint32_t)at;
    }
    for (size_t i = m->n_heap / 2; i-- > 0;) sift_down(m->heap, m->n_heap, i, m->heap[i]);
    return 1;
}

static int long_join(llmc_merger *m, const char *text, size_t size, const llmc_join *join) {
    const uint32_t left = (uint32_t)join->order;
    llmc_symbol *a = &m->symbols[left], *b = &m->symbols[join->right];
    if (a->size == 0 || b->size == 0 || a->size + b->size != join->size) return 1; /* void */
    a->size = join->size;
    a->id = join->id;
    b->size = 0;
    const size_t next = (size_t)left + a->size;
    if (next < size) m->symbols[next].previous = left;
    if (a->previous != NOWHERE && !push_join(m, text, a->previous, left)) return 0;
    return next >= size || push_join(m, text, left, (uint32_t)next);
}

static llmcall_status long_piece(llmc_merger *m, const char *text, size_t size) {
    if (size >= UINT32_MAX || !long_start(m, text, size)) return LLMCALL_E_NO_MEMORY;
    while (m->n_heap) {
        const llmc_join join = heap_pop(m);
        if (!long_join(m, text, size, &join)) return LLMCALL_E_NO_MEMORY;
    }
    for (size_t at = 0; at < size; at += m->symbols[at].size) put_symbol(m, text + at, m->symbols[at].size, m->symbols[at].id);
    return LLMCALL_OK;
}

/* ---- Pieces that come again -------------------------------------------------------------------------------------------- */

/* A piece that was merged: where it stands in the call's text, and its ids in the list. The latest one, so that both are
 * likely in the cache. */
struct llmc_memo {
    uint64_t head; /* of the piece */
    uint32_t size; /* 0: empty */
    uint32_t at;
    uint32_t first_id; /* from the call's first one */
    uint32_t n_ids;
};

/* One place a few bytes of text, so that short texts do not pay for clearing it. */
static int memo_start(llmc_merger *m) {
    enum { MIN = 64, MAX = 4096, BYTES_A_PLACE = 32 };
    size_t n = MIN;
    while (n < MAX && n < m->text_size / BYTES_A_PLACE) n *= 2;
    m->memo = llmc_zalloc_array(m->vocabulary->env, n, sizeof *m->memo);
    m->memo_mask = n - 1;
    return m->memo != NULL;
}

static int is_memo_of(const llmc_merger *m, const llmc_memo *memo, const char *piece, size_t size, uint64_t head) {
    return memo->head == head && memo->size == size && (size <= 8 || memcmp(m->text + memo->at, piece, size) == 0);
}

static void copy_ids(llmc_merger *m, const llmc_memo *memo) {
    const int32_t *from = m->list->ids + m->first_id + memo->first_id;
    int32_t *to = m->list->ids + m->list->n;
    for (uint32_t i = 0; i < memo->n_ids; i++) to[i] = from[i];
    m->list->n += memo->n_ids;
}

/* ---- A piece ----------------------------------------------------------------------------------------------------------- */

static llmcall_status merge(llmc_merger *m, const char *piece, size_t size) {
    short_piece p;
    if (!short_start(m->vocabulary, &p, piece, size)) return long_piece(m, piece, size);
    short_merge(m->vocabulary, &p);
    for (uint32_t i = 0; i < p.n; i = p.next[i]) put_symbol(m, p.text + p.at[i], p.at[p.next[i]] - p.at[i], p.id[i]);
    return LLMCALL_OK;
}

static llmcall_status merge_once(llmc_merger *m, const char *piece, size_t size, uint64_t head, uint64_t hash) {
    if (!m->memo && !memo_start(m)) return LLMCALL_E_NO_MEMORY;
    llmc_memo *memo = &m->memo[hash & m->memo_mask];
    const size_t first = m->list->n;
    llmcall_status status = LLMCALL_OK;
    if (is_memo_of(m, memo, piece, size, head)) copy_ids(m, memo);
    else status = merge(m, piece, size);
    *memo = (llmc_memo){head, (uint32_t)size, (uint32_t)(piece - m->text), (uint32_t)(first - m->first_id),
                        (uint32_t)(m->list->n - first)};
    return status;
}

llmcall_status llmc_merger_piece(llmc_merger *m, const char *piece, size_t size) {
    const llmc_vocabulary *v = m->vocabulary;
    if (!reserve_ids(m, size)) return LLMCALL_E_NO_MEMORY;
    if (size > v->longest && size > SHORT_SYMBOLS) return merge(m, piece, size);
    const uint64_t head = llmc_key_head(piece, size), hash = llmc_key_hash(v->seed, head, piece, size);
    const llmc_token_slot *slot = llmc_vocabulary_find_hashed(v, piece, size, 0, head, hash);
    if (slot && slot->size & LLMC_SLOT_DIRECT) {
        m->list->ids[m->list->n++] = slot->id;
        return LLMCALL_OK;
    }
    if (m->text && size <= SHORT_SYMBOLS) return merge_once(m, piece, size, head, hash);
    return merge(m, piece, size);
}
