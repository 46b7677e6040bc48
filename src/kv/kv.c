/* The page table of the KV cache: reference counts, the prefix tree and the order of eviction. Called by the scheduler.
 *
 * Every page is its own tree node, so the tree needs no memory of its own. A node is found by (parent, key, 16 tokens) through
 * one hash table. A published page is *active* while it is held or lies above an active one; the others wait in one list,
 * least recently used first. A node turns inactive no later than its parent does, hence stands before it in the list, hence
 * the head of the list is always a leaf: eviction takes the head and is O(1). */
#include "kv/kv.h"

#include <string.h>

#include "core/alloc.h"
#include "core/thread.h"
#include "kv/table.h"

enum { PAGE_TOKENS = LLMC_KV_PAGE_TOKENS };
#define NO_PAGE   LLMC_KV_NONE
#define MAX_PAGES (UINT32_C(1) << 31)

typedef llmc_kv_page page;

/* ---- Hash table of published pages ------------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t value) {
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ (hash >> 29);
}

static int same_key(llmc_kv_key a, llmc_kv_key b) {
    return a.salt == b.salt && a.adapter == b.adapter;
}

static uint32_t bucket_of(const llmc_kv *kv, uint32_t parent, llmc_kv_key key, const int32_t *tokens) {
    uint64_t hash = mix(mix(mix(kv->seed, key.salt), key.adapter), parent);
    for (uint32_t i = 0; i < PAGE_TOKENS; i += 2) {
        hash = mix(hash, (uint64_t)(uint32_t)tokens[i] << 32 | (uint32_t)tokens[i + 1]);
    }
    return (uint32_t)(hash ^ (hash >> 32)) & (kv->n_buckets - 1);
}

static uint32_t find_node(const llmc_kv *kv, uint32_t parent, llmc_kv_key key, const int32_t *tokens) {
    uint32_t node = kv->buckets[bucket_of(kv, parent, key, tokens)];
    while (node != NO_PAGE) {
        const page *p = &kv->pages[node];
        if (p->parent == parent && same_key(p->key, key) && memcmp(p->tokens, tokens, sizeof p->tokens) == 0) break;
        node = p->chain;
    }
    return node;
}

static void hash_insert(llmc_kv *kv, uint32_t node) {
    page *p = &kv->pages[node];
    uint32_t *head = &kv->buckets[bucket_of(kv, p->parent, p->key, p->tokens)];
    p->chain = *head;
    *head = node;
}

static void hash_remove(llmc_kv *kv, uint32_t node) {
    const page *p = &kv->pages[node];
    uint32_t *link = &kv->buckets[bucket_of(kv, p->parent, p->key, p->tokens)];
    while (*link != node) link = &kv->pages[*link].chain;
    *link = p->chain;
}

/* ---- Active and inactive nodes ----------------------------------------------------------------------------------------- */

static int is_active(const page *p) {
    return p->references > 0 || p->pins > 0;
}

/* The node just turned active: it pins its parent, which may turn active by that, and so on to the root. */
static void pin_ancestors(llmc_kv *kv, uint32_t node) {
    uint32_t parent = kv->pages[node].parent;
    while (parent != NO_PAGE) {
        page *p = &kv->pages[parent];
        int was_active = is_active(p);
        p->pins++;
        if (was_active) return;
        llmc_kv_slot_wake(&kv->page_slots, parent);
        parent = p->parent;
    }
}

/* The node just turned inactive: it and every ancestor that only it kept active join the list, children first. */
static void unpin_ancestors(llmc_kv *kv, uint32_t node) {
    for (;;) {
        llmc_kv_slot_rest(&kv->page_slots, node);
        uint32_t parent = kv->pages[node].parent;
        if (parent == NO_PAGE) return;
        page *p = &kv->pages[parent];
        p->pins--;
        if (is_active(p)) return;
        node = parent;
    }
}

static void hold(llmc_kv *kv, uint32_t number) {
    page *p = &kv->pages[number];
    if (p->published && !is_active(p)) {
        llmc_kv_slot_wake(&kv->page_slots, number);
        pin_ancestors(kv, number);
    }
    p->references++;
}

/* The page no longer holds the rows of its tokens. */
static void forget_rows(llmc_kv *kv, uint32_t number) {
    llmc_kv_forget_state(kv, number);
    llmc_kv_forget_window(kv, number);
}

/* ---- Life -------------------------------------------------------------------------------------------------------------- */

static void clear_tree(llmc_kv *kv) {
    memset(kv->buckets, 0xFF, (size_t)kv->n_buckets * sizeof *kv->buckets);
    llmc_kv_slots_wake_all(&kv->page_slots);
}

llmcall_status llmc_kv_create(const llmc_env *env, uint32_t n_pages, int prefix_cache_enabled, llmc_kv **out,
                              llmcall_error *error) {
    *out = NULL;
    if (n_pages == 0 || n_pages > MAX_PAGES) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "kv_pages", "The KV cache has %u pages; 1 to %u are possible.",
                         n_pages, MAX_PAGES);
    }
    llmc_kv *kv = llmc_zalloc(env, sizeof *kv);
    if (!kv) return llmc_fail_memory(error, "the KV page table");
    kv->env = env;
    kv->enabled = prefix_cache_enabled != 0;
    kv->n_buckets = 1;
    while (kv->n_buckets < n_pages) kv->n_buckets *= 2;
    if (!llmc_random_bytes(&kv->seed, (uint32_t)sizeof kv->seed)) kv->seed = UINT64_C(0x243F6A8885A308D3);
    kv->pages = llmc_zalloc_array(env, n_pages, sizeof *kv->pages);
    kv->buckets = llmc_alloc_array(env, kv->n_buckets, sizeof *kv->buckets);
    if (!llmc_kv_slots_create(env, n_pages, &kv->page_slots) || !kv->pages || !kv->buckets) {
        llmc_kv_destroy(&kv);
        return llmc_fail_memory(error, "the KV page table");
    }
    for (uint32_t i = 0; i < n_pages; i++) kv->pages[i].state = kv->pages[i].window = LLMC_KV_NONE;
    clear_tree(kv);
    *out = kv;
    return LLMCALL_OK;
}

void llmc_kv_destroy(llmc_kv **kv) {
    if (!kv || !*kv) return;
    llmc_free((*kv)->env, (*kv)->pages);
    llmc_free((*kv)->env, (*kv)->buckets);
    llmc_free((*kv)->env, (*kv)->state_page);
    llmc_free((*kv)->env, (*kv)->windows);
    llmc_kv_slots_free((*kv)->env, &(*kv)->page_slots);
    llmc_kv_slots_free((*kv)->env, &(*kv)->state_slots);
    llmc_kv_slots_free((*kv)->env, &(*kv)->window_slots);
    llmc_free((*kv)->env, *kv);
    *kv = NULL;
}

int llmc_kv_prefix_cache_enabled(const llmc_kv *kv) {
    return kv->enabled;
}

/* ---- Prefixes ---------------------------------------------------------------------------------------------------------- */

uint32_t llmc_kv_extend(llmc_kv *kv, llmc_kv_key key, const int32_t *tokens, uint32_t n_tokens, uint32_t n_pages,
                        uint32_t max_pages, uint32_t *pages) {
    if (!kv->enabled) return 0;
    uint32_t limit = n_tokens / PAGE_TOKENS;
    if (limit > max_pages) limit = max_pages;
    uint32_t node = NO_PAGE;
    uint32_t n = 0;
    for (uint32_t i = 0; i < limit; i++) {
        node = find_node(kv, node, key, tokens + (size_t)i * PAGE_TOKENS);
        if (node == NO_PAGE || (i < n_pages && pages[i] != node)) break;
        if (i < n_pages) continue;
        hold(kv, node);
        pages[i] = node;
        n++;
    }
    return n;
}

uint32_t llmc_kv_match(llmc_kv *kv, llmc_kv_key key, const int32_t *tokens, uint32_t n_tokens, uint32_t max_pages,
                       uint32_t *pages) {
    return llmc_kv_extend(kv, key, tokens, n_tokens, 0, max_pages, pages);
}

static void insert_node(llmc_kv *kv, uint32_t number, uint32_t parent, const int32_t *tokens) {
    page *p = &kv->pages[number];
    p->parent = parent;
    p->pins = 0;
    p->published = 1;
    memcpy(p->tokens, tokens, sizeof p->tokens);
    hash_insert(kv, number);
    pin_ancestors(kv, number);
}

void llmc_kv_publish(llmc_kv *kv, llmc_kv_key key, const int32_t *tokens, uint32_t n_tokens, uint32_t *pages) {
    if (!kv->enabled) return;
    uint32_t parent = NO_PAGE;
    for (uint32_t i = 0; i < n_tokens / PAGE_TOKENS; i++) {
        const int32_t *page_tokens = tokens + (size_t)i * PAGE_TOKENS;
        uint32_t node = find_node(kv, parent, key, page_tokens);
        if (node == NO_PAGE) {
            node = pages[i];
            const page *p = &kv->pages[node];
            /* Only a caller that breaks the contract gets here with such a page; the tree stays sound. */
            if (p->published || p->references == 0 || !same_key(p->key, key)) return;
            insert_node(kv, node, parent, page_tokens);
        } else if (node != pages[i]) {
            hold(kv, node);
            llmc_kv_move_state(kv, pages[i], node);
            llmc_kv_move_window(kv, pages[i], node);
            llmc_kv_release(kv, pages[i]);
            pages[i] = node;
        }
        parent = node;
    }
}

void llmc_kv_drop_cached(llmc_kv *kv) {
    clear_tree(kv);
    for (uint32_t i = 0; i < kv->page_slots.n; i++) {
        page *p = &kv->pages[i];
        if (!p->published) continue;
        p->published = 0;
        p->pins = 0;
        if (p->references > 0) continue;
        forget_rows(kv, i);
        llmc_kv_slot_push(&kv->page_slots, i);
    }
}

/* ---- Pages ------------------------------------------------------------------------------------------------------------- */

static uint32_t evict(llmc_kv *kv) {
    uint32_t number = kv->page_slots.oldest;
    llmc_kv_slot_wake(&kv->page_slots, number);
    hash_remove(kv, number);
    kv->pages[number].published = 0;
    forget_rows(kv, number);
    return number;
}

int llmc_kv_acquire(llmc_kv *kv, llmc_kv_key key, uint32_t *out, int *needs_zero) {
    if (kv->page_slots.n_free == 0 && kv->page_slots.n_idle == 0) return 0;
    uint32_t number = kv->page_slots.n_free > 0 ? llmc_kv_slot_pop(&kv->page_slots) : evict(kv);
    page *p = &kv->pages[number];
    *needs_zero = p->written && p->key.salt != key.salt;
    p->written = 1;
    p->key = key;
    p->references = 1;
    *out = number;
    return 1;
}

void llmc_kv_retain(llmc_kv *kv, uint32_t number) {
    if (number < kv->page_slots.n && kv->pages[number].references > 0) kv->pages[number].references++;
}

void llmc_kv_release(llmc_kv *kv, uint32_t number) {
    if (number >= kv->page_slots.n || kv->pages[number].references == 0) return;
    page *p = &kv->pages[number];
    p->references--;
    if (!p->published) {
        if (p->references > 0) return;
        forget_rows(kv, number);
        llmc_kv_slot_push(&kv->page_slots, number);
    } else if (!is_active(p)) {
        unpin_ancestors(kv, number);
    }
}

/* ---- Figures ----------------------------------------------------------------------------------------------------------- */

uint32_t llmc_kv_total(const llmc_kv *kv) {
    return kv->page_slots.n;
}

uint32_t llmc_kv_available(const llmc_kv *kv) {
    return kv->page_slots.n_free + kv->page_slots.n_idle;
}

uint32_t llmc_kv_references(const llmc_kv *kv, uint32_t number) {
    return number < kv->page_slots.n ? kv->pages[number].references : 0;
}

int llmc_kv_published(const llmc_kv *kv, uint32_t number) {
    return number < kv->page_slots.n && kv->pages[number].published;
}

void llmc_kv_stats(const llmc_kv *kv, uint32_t *total, uint32_t *used, uint32_t *cached) {
    if (total) *total = kv->page_slots.n;
    if (used) *used = kv->page_slots.n - llmc_kv_available(kv);
    if (cached) *cached = kv->page_slots.n_idle;
}
