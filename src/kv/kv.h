/* Pages of the KV cache as numbers: who holds them, which prefix they store, which goes first when room is needed. The rows
 * themselves are the backend's; the scheduler asks here before every step. Pure bookkeeping under the engine's lock: no
 * threads, no clock, and no allocation after llmc_kv_create.
 *
 * A page is free, held (by one sequence or several) or cached (held by nobody, kept for its content). A page whose 16 rows
 * are written can be published: it then becomes the tree node of its 16 tokens below the node of the page before it, with one
 * tree a key, and is never written again. */
#ifndef LLMC_KV_H
#define LLMC_KV_H

#include "core/error.h"

enum { LLMC_KV_PAGE_TOKENS = 16, LLMC_KV_GROUP_PAGES = 4 /* attention reads positions in groups of so many pages */ };

typedef struct llmc_kv llmc_kv;

/* What a page's rows depend on besides tokens: prefixes are found, and pages shared, only under the same key. */
typedef struct llmc_kv_key {
    uint64_t salt;    /* the tenant's */
    uint64_t adapter; /* which computed the rows, and its scale; 0: none */
} llmc_kv_key;

/* n_pages at least 1, at most 2^31. With prefix_cache_enabled 0 nothing is ever found or kept. */
llmcall_status llmc_kv_create(const llmc_env *env, uint32_t n_pages, int prefix_cache_enabled, llmc_kv **out,
                              llmcall_error *error);
void llmc_kv_destroy(llmc_kv **kv); /* sets *kv to NULL; NULL is fine */

int llmc_kv_prefix_cache_enabled(const llmc_kv *kv);

/* The longest published prefix of (key, tokens) in whole pages, at most max_pages of them: their numbers in pages, each
 * retained for the caller. Tokens are compared, not only their hash. */
uint32_t llmc_kv_match(llmc_kv *kv, llmc_kv_key key, const int32_t *tokens, uint32_t n_tokens, uint32_t max_pages,
                       uint32_t *pages);

/* The same for a caller that has the first n_pages pages of the prefix already: adds what comes after them, to pages + n_pages,
 * and returns how many it added; max_pages counts all. 0 unless the caller's pages are the tree's own. */
uint32_t llmc_kv_extend(llmc_kv *kv, llmc_kv_key key, const int32_t *tokens, uint32_t n_tokens, uint32_t n_pages,
                        uint32_t max_pages, uint32_t *pages);

/* One page with reference count 1: a free one, else the least recently used cached one, leaves of the tree first. 0 if every
 * page is held. *needs_zero is 1 if it last held data of another salt: it must be zeroed before it is used. */
int llmc_kv_acquire(llmc_kv *kv, llmc_kv_key key, uint32_t *page, int *needs_zero);

void llmc_kv_retain(llmc_kv *kv, uint32_t page);  /* the page must be held */
void llmc_kv_release(llmc_kv *kv, uint32_t page); /* at zero references: cached if published, else free */

/* Makes the first n_tokens / 16 pages, all held by the caller and fully written, findable for (key, tokens). Where the tree
 * has those tokens already, the caller's page is given back and pages[i] replaced by the tree's, retained: the same rows, bit
 * for bit. So whoever holds a published page holds all those before it, and no second copy is kept alive. */
void llmc_kv_publish(llmc_kv *kv, llmc_kv_key key, const int32_t *tokens, uint32_t n_tokens, uint32_t *pages);

uint32_t llmc_kv_total(const llmc_kv *kv);
uint32_t llmc_kv_available(const llmc_kv *kv); /* pages that acquire can give now: free and cached */
uint32_t llmc_kv_references(const llmc_kv *kv, uint32_t page);
int llmc_kv_published(const llmc_kv *kv, uint32_t page);

/* Any may be NULL. total = used + cached + free. A page that nobody holds, but which lies above a held one in the tree (its
 * holder released them out of order), cannot be given away yet and counts as used. */
void llmc_kv_stats(const llmc_kv *kv, uint32_t *total, uint32_t *used, uint32_t *cached);

void llmc_kv_drop_cached(llmc_kv *kv); /* forgets every prefix; held pages stay held */

/* ---- States of recurrent layers (README.md). A state is as long as the model wants and stands for a sequence's tokens up to a
 * position; its slot is free, held by a running sequence, or kept with the page that ends at its position, for whoever begins
 * with the same pages. What is kept may go at any time, the least recently used first; what is held may not. ---- */

/* Once, right after llmc_kv_create: n_states slots, 1 to 2^31. */
llmcall_status llmc_kv_add_states(llmc_kv *kv, uint32_t n_states, llmcall_error *error);

/* A slot for the caller to hold: a free one, else, if kept ones may go for it, the least recently used of those. 0 without. */
int llmc_kv_state_acquire(llmc_kv *kv, int may_evict, uint32_t *state);
void llmc_kv_state_release(llmc_kv *kv, uint32_t state); /* held: free again */

/* The caller's slot has the state at the end of the page, which somebody holds or which is published: it stays with the page as
 * long as the page keeps its rows. Where the page has a state already, it is the same: the slot is free. */
void llmc_kv_state_keep(llmc_kv *kv, uint32_t page, uint32_t state);

/* Takes a page's state to be the caller's again. 0: it has none. */
int llmc_kv_state_take(llmc_kv *kv, uint32_t page, uint32_t *state);

/* Of n_pages consecutive pages of a prefix the last that has a state: how many pages the state covers, and its slot, which stays
 * where it is. 0: none has. */
uint32_t llmc_kv_state_find(llmc_kv *kv, const uint32_t *pages, uint32_t n_pages, uint32_t *state);

/* ---- Layers with a sliding window (README.md). Their rows of a page lie in a slot of their own, of which there are fewer than
 * pages: a page far behind everybody's position needs none. A slot is free or belongs to a page; it may go for another page, the
 * least recently used first, unless it is pinned. ---- */

/* Once, right after llmc_kv_create: n_slots, 1 to 2^31. */
llmcall_status llmc_kv_add_windows(llmc_kv *kv, uint32_t n_slots, llmcall_error *error);

/* A slot for a page that the caller just acquired, pinned once. *needs_zero: as for a page. 0: all are pinned. */
int llmc_kv_window_acquire(llmc_kv *kv, uint32_t page, uint32_t *slot, int *needs_zero);
int llmc_kv_window_of(const llmc_kv *kv, uint32_t page, uint32_t *slot); /* 0: the page has none */
void llmc_kv_window_pin(llmc_kv *kv, uint32_t page);                     /* one that has a slot */
void llmc_kv_window_unpin(llmc_kv *kv, uint32_t page);
uint32_t llmc_kv_windows_total(const llmc_kv *kv);     /* 0: no layer has a window */
uint32_t llmc_kv_windows_available(const llmc_kv *kv); /* free, or in nobody's window */

void llmc_kv_states_drop(llmc_kv *kv);            /* forgets every kept state */
uint32_t llmc_kv_states_total(const llmc_kv *kv); /* 0: the model has none */
uint32_t llmc_kv_states_free(const llmc_kv *kv);  /* neither held nor kept */
uint32_t llmc_kv_states_kept(const llmc_kv *kv);

#endif
