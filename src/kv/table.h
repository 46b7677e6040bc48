/* The page table as this room sees it: kv.c has the pages and the prefix tree, states.c and windows.c what hangs on them. */
#ifndef LLMC_KV_TABLE_H
#define LLMC_KV_TABLE_H

#include "kv/kv.h"
#include "kv/slots.h"

typedef struct llmc_kv_page {
    llmc_kv_key key; /* of the rows it holds; valid if written */
    uint32_t references;
    uint32_t pins;   /* active children in the tree */
    uint32_t parent; /* node before it, NONE below the root; valid if published */
    uint32_t chain;  /* next node of the same hash bucket; valid if published */
    uint32_t state;  /* kept with it, NONE if there is none */
    uint32_t window; /* its slot for rows of layers with a window, NONE if there is none */
    uint8_t published;
    uint8_t written;                     /* was ever given out */
    int32_t tokens[LLMC_KV_PAGE_TOKENS]; /* valid if published */
} llmc_kv_page;

/* A slot is free, or belongs to a page; then sequences whose window covers the page pin it. */
typedef struct llmc_kv_window {
    uint64_t salt;   /* of the rows it holds; valid if written */
    uint32_t page;   /* NONE: free */
    uint32_t n_pins; /* 0: idle */
    uint8_t written; /* was ever given out */
} llmc_kv_window;

struct llmc_kv {
    const llmc_env *env;
    llmc_kv_page *pages;      // (page_slots.n)
    llmc_kv_slots page_slots; /* idle: inactive nodes of the tree */
    uint32_t *buckets;        // (n_buckets), a power of two; first node of each chain
    uint32_t n_buckets;
    int enabled;
    uint64_t seed; /* random, so that no prompt can be made to fill one bucket; results do not depend on it */

    uint32_t *state_page;      // (state_slots.n) with which a state is kept; NONE: it is free, or held by a sequence
    llmc_kv_slots state_slots; /* idle: kept */

    llmc_kv_window *windows;    // (window_slots.n)
    llmc_kv_slots window_slots; /* idle: in no sequence's window */
};

/* states.c: the page's rows are no longer those of its tokens, or its tokens now lie in the page `to`. */
void llmc_kv_forget_state(llmc_kv *kv, uint32_t page);
void llmc_kv_move_state(llmc_kv *kv, uint32_t from, uint32_t to);

/* windows.c: the same two. */
void llmc_kv_forget_window(llmc_kv *kv, uint32_t page);
void llmc_kv_move_window(llmc_kv *kv, uint32_t from, uint32_t to);

#endif
