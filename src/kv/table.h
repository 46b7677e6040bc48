/* The page table as both halves of this room see it: kv.c has the pages and the prefix tree, states.c the states that hang on
 * them. */
#ifndef LLMC_KV_TABLE_H
#define LLMC_KV_TABLE_H

#include "kv/kv.h"

#define LLMC_KV_NONE UINT32_MAX /* no page, no state */

typedef struct llmc_kv_page {
    llmc_kv_key key; /* of the rows it holds; valid if written */
    uint32_t references;
    uint32_t pins;     /* active children in the tree */
    uint32_t parent;   /* node before it, NONE below the root; valid if published */
    uint32_t chain;    /* next node of the same hash bucket; valid if published */
    uint32_t previous; /* neighbours in the inactive list; next also links the free list */
    uint32_t next;
    uint32_t state;  /* kept with it, NONE if there is none */
    uint32_t window; /* its slot for rows of layers with a window, NONE if there is none */
    uint8_t published;
    uint8_t written;                     /* was ever given out */
    int32_t tokens[LLMC_KV_PAGE_TOKENS]; /* valid if published */
} llmc_kv_page;

/* A slot is free, held by a sequence, or kept with a page. */
typedef struct llmc_kv_state {
    uint32_t page;     /* kept: which; else NONE */
    uint32_t previous; /* kept: neighbours in order of use; next also links the free ones */
    uint32_t next;
} llmc_kv_state;

/* A slot is free, or belongs to a page; then sequences whose window covers the page pin it. */
typedef struct llmc_kv_window {
    uint64_t salt;     /* of the rows it holds; valid if written */
    uint32_t page;     /* NONE: free */
    uint32_t n_pins;   /* 0: in the list of those that may go */
    uint32_t previous; /* neighbours in order of use; next also links the free ones */
    uint32_t next;
    uint8_t written; /* was ever given out */
} llmc_kv_window;

struct llmc_kv {
    const llmc_env *env;
    llmc_kv_page *pages; // (n_pages)
    uint32_t *buckets;   // (n_buckets), a power of two; first node of each chain
    uint32_t n_pages;
    uint32_t n_buckets;
    uint32_t free_head; /* linked by next */
    uint32_t n_free;
    uint32_t oldest; /* ends of the inactive list */
    uint32_t newest;
    uint32_t n_inactive;
    int enabled;
    uint64_t seed; /* random, so that no prompt can be made to fill one bucket; results do not depend on it */

    llmc_kv_state *states; // (n_states)
    uint32_t n_states;
    uint32_t free_state; /* linked by next */
    uint32_t n_free_states;
    uint32_t oldest_state; /* ends of the list of kept ones */
    uint32_t newest_state;
    uint32_t n_kept_states;

    llmc_kv_window *windows; // (n_windows)
    uint32_t n_windows;
    uint32_t free_window; /* linked by next */
    uint32_t n_free_windows;
    uint32_t oldest_window; /* ends of the list of those in no window */
    uint32_t newest_window;
    uint32_t n_left_windows;
};

/* states.c: the page's rows are no longer those of its tokens, or its tokens now lie in the page `to`. */
void llmc_kv_forget_state(llmc_kv *kv, uint32_t page);
void llmc_kv_move_state(llmc_kv *kv, uint32_t from, uint32_t to);

/* windows.c: the same two. */
void llmc_kv_forget_window(llmc_kv *kv, uint32_t page);
void llmc_kv_move_window(llmc_kv *kv, uint32_t from, uint32_t to);

#endif
