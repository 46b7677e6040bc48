/* Slots for the states of recurrent layers: which are free, and which are kept with a page, in order of use. Called by the
 * scheduler, and by kv.c when a page loses its rows. */
#include "core/alloc.h"
#include "kv/table.h"

#define NONE       LLMC_KV_NONE
#define MAX_STATES (UINT32_C(1) << 31)

static void free_push(llmc_kv *kv, uint32_t state) {
    kv->states[state] = (llmc_kv_state){.page = NONE, .previous = NONE, .next = kv->free_state};
    kv->free_state = state;
    kv->n_free_states++;
}

llmcall_status llmc_kv_add_states(llmc_kv *kv, uint32_t n_states, llmcall_error *error) {
    if (kv->states || n_states == 0 || n_states > MAX_STATES) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "kv_bytes", "The cache has %u states; 1 to %u are possible.",
                         n_states, MAX_STATES);
    }
    kv->states = llmc_zalloc_array(kv->env, n_states, sizeof *kv->states);
    if (!kv->states) return llmc_fail_memory(error, "the table of states");
    kv->n_states = n_states;
    kv->free_state = kv->oldest_state = kv->newest_state = NONE;
    for (uint32_t i = n_states; i > 0; i--) free_push(kv, i - 1);
    return LLMCALL_OK;
}

/* ---- The list of kept ones --------------------------------------------------------------------------------------------- */

static void kept_append(llmc_kv *kv, uint32_t state) {
    llmc_kv_state *s = &kv->states[state];
    s->previous = kv->newest_state;
    s->next = NONE;
    if (s->previous == NONE) kv->oldest_state = state;
    else kv->states[s->previous].next = state;
    kv->newest_state = state;
    kv->n_kept_states++;
}

static void kept_remove(llmc_kv *kv, uint32_t state) {
    const llmc_kv_state *s = &kv->states[state];
    if (s->previous == NONE) kv->oldest_state = s->next;
    else kv->states[s->previous].next = s->next;
    if (s->next == NONE) kv->newest_state = s->previous;
    else kv->states[s->next].previous = s->previous;
    kv->n_kept_states--;
}

int llmc_kv_state_take(llmc_kv *kv, uint32_t page, uint32_t *state) {
    if (page >= kv->n_pages || kv->pages[page].state == NONE) return 0;
    *state = kv->pages[page].state;
    kv->pages[page].state = NONE;
    kept_remove(kv, *state);
    kv->states[*state].page = NONE;
    return 1;
}

void llmc_kv_forget_state(llmc_kv *kv, uint32_t page) {
    uint32_t state;
    if (llmc_kv_state_take(kv, page, &state)) free_push(kv, state);
}

/* ---- Held and kept ----------------------------------------------------------------------------------------------------- */

int llmc_kv_state_acquire(llmc_kv *kv, int may_evict, uint32_t *state) {
    if (kv->n_free_states == 0) {
        if (!may_evict || kv->n_kept_states == 0) return 0;
        return llmc_kv_state_take(kv, kv->states[kv->oldest_state].page, state);
    }
    *state = kv->free_state;
    kv->free_state = kv->states[*state].next;
    kv->n_free_states--;
    return 1;
}

void llmc_kv_state_release(llmc_kv *kv, uint32_t state) {
    if (state < kv->n_states && kv->states[state].page == NONE) free_push(kv, state);
}

void llmc_kv_state_keep(llmc_kv *kv, uint32_t page, uint32_t state) {
    if (state >= kv->n_states || kv->states[state].page != NONE) return;
    if (page >= kv->n_pages || kv->pages[page].state != NONE) {
        free_push(kv, state);
        return;
    }
    kv->pages[page].state = state;
    kv->states[state].page = page;
    kept_append(kv, state);
}

void llmc_kv_move_state(llmc_kv *kv, uint32_t from, uint32_t to) {
    uint32_t state;
    if (kv->pages[to].state == NONE && llmc_kv_state_take(kv, from, &state)) llmc_kv_state_keep(kv, to, state);
}

uint32_t llmc_kv_state_find(llmc_kv *kv, const uint32_t *pages, uint32_t n_pages, uint32_t *state) {
    while (n_pages > 0 && kv->pages[pages[n_pages - 1]].state == NONE) n_pages--;
    if (n_pages == 0) return 0;
    *state = kv->pages[pages[n_pages - 1]].state;
    kept_remove(kv, *state);
    kept_append(kv, *state);
    return n_pages;
}

void llmc_kv_states_drop(llmc_kv *kv) {
    while (kv->n_kept_states > 0) llmc_kv_forget_state(kv, kv->states[kv->oldest_state].page);
}

/* ---- Figures ----------------------------------------------------------------------------------------------------------- */

uint32_t llmc_kv_states_total(const llmc_kv *kv) {
    return kv->n_states;
}

uint32_t llmc_kv_states_free(const llmc_kv *kv) {
    return kv->n_free_states;
}

uint32_t llmc_kv_states_kept(const llmc_kv *kv) {
    return kv->n_kept_states;
}
