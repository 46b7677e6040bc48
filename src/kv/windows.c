/* Slots for the rows of layers with a sliding window, which a page has beside those of the other layers: which are free, which
 * are in some running sequence's window, and which may go, in order of use. Called by the scheduler, and by kv.c when a page
 * loses its rows. */
#include "core/alloc.h"
#include "kv/table.h"

#define NONE      LLMC_KV_NONE
#define MAX_SLOTS (UINT32_C(1) << 31)

static void free_push(llmc_kv *kv, uint32_t slot) {
    kv->windows[slot].page = NONE;
    kv->windows[slot].next = kv->free_window;
    kv->free_window = slot;
    kv->n_free_windows++;
}

llmcall_status llmc_kv_add_windows(llmc_kv *kv, uint32_t n_slots, llmcall_error *error) {
    if (kv->windows || n_slots == 0 || n_slots > MAX_SLOTS) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "kv_bytes", "The cache has %u window slots; 1 to %u are possible.",
                         n_slots, MAX_SLOTS);
    }
    kv->windows = llmc_zalloc_array(kv->env, n_slots, sizeof *kv->windows);
    if (!kv->windows) return llmc_fail_memory(error, "the table of window slots");
    kv->n_windows = n_slots;
    kv->free_window = kv->oldest_window = kv->newest_window = NONE;
    for (uint32_t i = n_slots; i > 0; i--) free_push(kv, i - 1);
    return LLMCALL_OK;
}

/* ---- The list of those in no window ------------------------------------------------------------------------------------- */

static void left_append(llmc_kv *kv, uint32_t slot) {
    llmc_kv_window *w = &kv->windows[slot];
    w->previous = kv->newest_window;
    w->next = NONE;
    if (w->previous == NONE) kv->oldest_window = slot;
    else kv->windows[w->previous].next = slot;
    kv->newest_window = slot;
    kv->n_left_windows++;
}

static void left_remove(llmc_kv *kv, uint32_t slot) {
    const llmc_kv_window *w = &kv->windows[slot];
    if (w->previous == NONE) kv->oldest_window = w->next;
    else kv->windows[w->previous].next = w->next;
    if (w->next == NONE) kv->newest_window = w->previous;
    else kv->windows[w->next].previous = w->previous;
    kv->n_left_windows--;
}

/* ---- Pages and their slots ---------------------------------------------------------------------------------------------- */

static void attach(llmc_kv *kv, uint32_t page, uint32_t slot, uint32_t n_pins) {
    kv->pages[page].window = slot;
    kv->windows[slot].page = page;
    kv->windows[slot].n_pins = n_pins;
    if (n_pins == 0) left_append(kv, slot);
}

/* The page is without one afterwards; the slot is in no list. */
static uint32_t detach(llmc_kv *kv, uint32_t page) {
    uint32_t slot = kv->pages[page].window;
    kv->pages[page].window = NONE;
    if (kv->windows[slot].n_pins == 0) left_remove(kv, slot);
    return slot;
}

void llmc_kv_forget_window(llmc_kv *kv, uint32_t page) {
    if (kv->windows && kv->pages[page].window != NONE) free_push(kv, detach(kv, page));
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
    free_push(kv, slot);
    if (n_pins > 0 && kv->windows[other].n_pins == 0) left_remove(kv, other);
    kv->windows[other].n_pins += n_pins;
}

int llmc_kv_window_acquire(llmc_kv *kv, uint32_t page, uint32_t *out, int *needs_zero) {
    if (llmc_kv_windows_available(kv) == 0 || kv->pages[page].window != NONE) return 0;
    uint32_t slot = kv->free_window;
    if (kv->n_free_windows > 0) {
        kv->free_window = kv->windows[slot].next;
        kv->n_free_windows--;
    } else {
        slot = detach(kv, kv->windows[kv->oldest_window].page);
    }
    llmc_kv_window *w = &kv->windows[slot];
    *needs_zero = w->written && w->salt != kv->pages[page].key.salt;
    w->written = 1;
    w->salt = kv->pages[page].key.salt;
    attach(kv, page, slot, 1);
    *out = slot;
    return 1;
}

int llmc_kv_window_of(const llmc_kv *kv, uint32_t page, uint32_t *slot) {
    if (!kv->windows || page >= kv->n_pages || kv->pages[page].window == NONE) return 0;
    *slot = kv->pages[page].window;
    return 1;
}

void llmc_kv_window_pin(llmc_kv *kv, uint32_t page) {
    uint32_t slot;
    if (!llmc_kv_window_of(kv, page, &slot)) return;
    if (kv->windows[slot].n_pins++ == 0) left_remove(kv, slot);
}

void llmc_kv_window_unpin(llmc_kv *kv, uint32_t page) {
    uint32_t slot;
    if (!llmc_kv_window_of(kv, page, &slot) || kv->windows[slot].n_pins == 0) return;
    if (--kv->windows[slot].n_pins == 0) left_append(kv, slot);
}

/* ---- Figures ------------------------------------------------------------------------------------------------------------ */

uint32_t llmc_kv_windows_total(const llmc_kv *kv) {
    return kv->n_windows;
}

uint32_t llmc_kv_windows_available(const llmc_kv *kv) {
    return kv->n_free_windows + kv->n_left_windows;
}
