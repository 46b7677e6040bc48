/* Slots for the states of recurrent layers: which are free, and which are kept with a page, in order of use. Called by the
 * scheduler, and by kv.c when a page loses its rows. */
#include "core/alloc.h"
#include "kv/table.h"

#define NONE       LLMC_KV_NONE
#define MAX_STATES (UINT32_C(1) << 31)

llmcall_status llmc_kv_add_states(llmc_kv *kv, uint32_t n_states, llmcall_error *error) {
    if (kv->state_page || n_states == 0 || n_states > MAX_STATES) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "kv_bytes", "The cache has %u states; 1 to %u are possible.",
                         n_states, MAX_STATES);
    }
    kv->state_page = llmc_alloc_array(kv->env, n_states, sizeof *kv->state_page);
    if (!kv->state_page || !llmc_kv_slots_create(kv->env, n_states, &kv->state_slots))
        return llmc_fail_memory(error, "the table of states");
    for (uint32_t i = 0; i < n_states; i++) kv->state_page[i] = NONE;
    return LLMCALL_OK;
}

int llmc_kv_state_take(llmc_kv *kv, uint32_t page, uint32_t *state) {
    if (page >= kv->page_slots.n || kv->pages[page].state == NONE) return 0;
    *state = kv->pages[page].state;
    kv->pages[page].state = NONE;
    llmc_kv_slot_wake(&kv->state_slots, *state);
    kv->state_page[*state] = NONE;
    return 1;
}

void llmc_kv_forget_state(llmc_kv *kv, uint32_t page) {
    uint32_t state;
    if (llmc_kv_state_take(kv, page, &state)) llmc_kv_slot_push(&kv->state_slots, state);
}

/* ---- Held and kept ----------------------------------------------------------------------------------------------------- */

int llmc_kv_state_acquire(llmc_kv *kv, int may_evict, uint32_t *state) {
    if (kv->state_slots.n_free == 0) {
        if (!may_evict || kv->state_slots.n_idle == 0) return 0;
        return llmc_kv_state_take(kv, kv->state_page[kv->state_slots.oldest], state);
    }
    *state = llmc_kv_slot_pop(&kv->state_slots);
    return 1;
}

void llmc_kv_state_release(llmc_kv *kv, uint32_t state) {
    if (state < kv->state_slots.n && kv->state_page[state] == NONE) llmc_kv_slot_push(&kv->state_slots, state);
}

void llmc_kv_state_keep(llmc_kv *kv, uint32_t page, uint32_t state) {
    if (state >= kv->state_slots.n || kv->state_page[state] != NONE) return;
    if (page >= kv->page_slots.n || kv->pages[page].state != NONE) {
        llmc_kv_slot_push(&kv->state_slots, state);
        return;
    }
    kv->pages[page].state = state;
    kv->state_page[state] = page;
    llmc_kv_slot_rest(&kv->state_slots, state);
}

void llmc_kv_move_state(llmc_kv *kv, uint32_t from, uint32_t to) {
    uint32_t state;
    if (kv->pages[to].state == NONE && llmc_kv_state_take(kv, from, &state)) llmc_kv_state_keep(kv, to, state);
}

uint32_t llmc_kv_state_find(llmc_kv *kv, const uint32_t *pages, uint32_t n_pages, uint32_t *state) {
    while (n_pages > 0 && kv->pages[pages[n_pages - 1]].state == NONE) n_pages--;
    if (n_pages == 0) return 0;
    *state = kv->pages[pages[n_pages - 1]].state;
    llmc_kv_slot_wake(&kv->state_slots, *state);
    llmc_kv_slot_rest(&kv->state_slots, *state);
    return n_pages;
}

void llmc_kv_states_drop(llmc_kv *kv) {
    while (kv->state_slots.n_idle > 0) llmc_kv_forget_state(kv, kv->state_page[kv->state_slots.oldest]);
}

/* ---- Figures ----------------------------------------------------------------------------------------------------------- */

uint32_t llmc_kv_states_total(const llmc_kv *kv) {
    return kv->state_slots.n;
}

uint32_t llmc_kv_states_free(const llmc_kv *kv) {
    return kv->state_slots.n_free;
}

uint32_t llmc_kv_states_kept(const llmc_kv *kv) {
    return kv->state_slots.n_idle;
}
