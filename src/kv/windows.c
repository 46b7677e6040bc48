/* Slots for the rows of layers with a sliding window, which a page has beside those of the other layers: which are free, which
 * are in some running sequence's window, and which may go, in order of use. Called by the scheduler, and by kv.c when a page
 * loses its rows. */
#include "core/alloc.h"
#include "kv/table.h"

#define NONE      LLMC_KV_NONE
#define MAX_SLOTS (UINT32_C(1) << 31)

llmcall_status llmc_kv_add_windows(llmc_kv *kv, uint32_t n_slots, llmcall_error *error) {
    if (kv->windows || n_slots == 0 || n_slots > MAX_SLOTS) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "kv_bytes", "The cache has %u window slots; 1 to %u are possible.",
                         n_slots, MAX_SLOTS);
    }
    kv->windows = llmc_zalloc_array(kv->env, n_slots, sizeof *kv->windows);
    if (!kv->windows || !llmc_kv_slots_create(kv->env, n_slots, &kv->window_slots))
        return llmc_fail_memory(error, "the table of window slots");
    for (uint32_t i = 0; i < n_slots; i++) kv->windows[i].page = NONE;
    return LLMCALL_OK;
}

/* ---- Pages and their slots ---------------------------------------------------------------------------------------------- */

static void attach(llmc_kv *kv, uint32_t page, uint32_t slot, uint32_t n_pins) {
    kv->pages[page].window = slot;
    kv->windows[slot].page = page;
    kv->windows[slot].n_pins = n_pins;
    if (n_pins == 0) llmc_kv_slot_rest(&kv->window_slots, slot);
}

/* The page is without one afterwards; the slot is in no list. */
static uint32_t detach(llmc_kv *kv, uint32_t page) {
    uint32_t slot = kv->pages[page].window;
    kv->pages[page].window = NONE;
    if (kv->windows[slot].n_pins == 0) llmc_kv_slot_wake(&kv->window_slots, slot);
    return slot;
}

static void give_back(llmc_kv *kv, uint32_t slot) {
    kv->windows[slot].page = NONE;
    llmc_kv_slot_push(&kv->window_slots, slot);
}

void llmc_kv_forget_window(llmc_kv *kv, uint32_t page) {
    if (kv->windows && kv->pages[page].window != NONE) give_back(kv, detach(kv, page));
}

/* Both hold the same rows. */
void llmc_kv_move_window(llmc_kv *kv, uint32_t from, uint32_t to) {
    if (!kv->windows || kv->pages[from].window == NONE) return;
    uint32_t slot = kv->pages[from].window, n_pins = kv->windows[slot].n_pins, other = kv->pages[to].window;
    slot = detach(kv, from);
    if (other == NONE) {
        attach(kv, to, slot, n_pins);
        return;
    }
    give_back(kv, slot);
    if (n_pins > 0 && kv->windows[other].n_pins == 0) llmc_kv_slot_wake(&kv->window_slots, other);
    kv->windows[other].n_pins += n_pins;
}

int llmc_kv_window_acquire(llmc_kv *kv, uint32_t page, uint32_t *out, int *needs_zero) {
    if (llmc_kv_windows_available(kv) == 0 || kv->pages[page].window != NONE) return 0;
    uint32_t slot = kv->window_slots.n_free > 0 ? llmc_kv_slot_pop(&kv->window_slots)
                                                : detach(kv, kv->windows[kv->window_slots.oldest].page);
    llmc_kv_window *w = &kv->windows[slot];
    *needs_zero = w->written && w->salt != kv->pages[page].key.salt;
    w->written = 1;
    w->salt = kv->pages[page].key.salt;
    attach(kv, page, slot, 1);
    *out = slot;
    return 1;
}

int llmc_kv_window_of(const llmc_kv *kv, uint32_t page, uint32_t *slot) {
    if (!kv->windows || page >= kv->page_slots.n || kv->pages[page].window == NONE) return 0;
    *slot = kv->pages[page].window;
    return 1;
}

void llmc_kv_window_pin(llmc_kv *kv, uint32_t page) {
    uint32_t slot;
    if (!llmc_kv_window_of(kv, page, &slot)) return;
    if (kv->windows[slot].n_pins++ == 0) llmc_kv_slot_wake(&kv->window_slots, slot);
}

void llmc_kv_window_unpin(llmc_kv *kv, uint32_t page) {
    uint32_t slot;
    if (!llmc_kv_window_of(kv, page, &slot) || kv->windows[slot].n_pins == 0) return;
    if (--kv->windows[slot].n_pins == 0) llmc_kv_slot_rest(&kv->window_slots, slot);
}

/* ---- Figures ------------------------------------------------------------------------------------------------------------ */

uint32_t llmc_kv_windows_total(const llmc_kv *kv) {
    return kv->window_slots.n;
}

uint32_t llmc_kv_windows_available(const llmc_kv *kv) {
    return kv->window_slots.n_free + kv->window_slots.n_idle;
}
