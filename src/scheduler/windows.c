/* Rows of layers with a sliding window: of a running sequence only those are kept that its next tokens still see. Called by
 * plan.c and scheduler.c.
 *
 * Attention walks positions in groups of 64 from 0 on, and a group is read as a whole: so the window begins where a group does. A
 * sequence pins the slots of the pages from there on; what it leaves behind stays with its page as long as there is room, for
 * whoever begins with the same tokens. */
#include "scheduler/state.h"

enum { PAGE_TOKENS = LLMC_KV_PAGE_TOKENS, GROUP_PAGES = LLMC_KV_GROUP_PAGES };

int llmc_sched_has_windows(const llmc_sched *sched) {
    return sched->options.window > 0;
}

/* The first page that a token at this position sees. */
static uint32_t begin_of(const llmc_sched *sched, uint32_t position) {
    uint32_t window = sched->options.window;
    if (position < window) return 0;
    return (position + 1 - window) / (GROUP_PAGES * PAGE_TOKENS) * GROUP_PAGES;
}

/* Slots that a sequence holds at most while it computes steps of the longest kind. */
static uint32_t most_slots(const llmc_sched *sched) {
    return llmc_sched_pages_for(sched->options.window) + llmc_sched_pages_for(sched->options.max_step_tokens) + GROUP_PAGES + 1;
}

/* Slots that it will hold for the tokens that it has, computed up to the given one. */
static uint32_t slots_for(const llmc_sched *sched, const llmc_sequence *sequence, uint32_t n_computed) {
    uint32_t n = llmc_sched_pages_for(sequence->n_tokens) - begin_of(sched, n_computed), most = most_slots(sched);
    return n < most ? n : most;
}

uint64_t llmc_sched_windows_promised(const llmc_sched *sched) {
    uint64_t promised = 0;
    for (uint32_t i = 0; i < sched->n_running; i++) {
        const llmc_sequence *sequence = sched->running[i];
        uint32_t need = slots_for(sched, sequence, sequence->n_computed), held = sequence->n_pages - sequence->window_begin;
        if (need > held) promised += need - held;
    }
    return promised;
}

int llmc_sched_window_fits(const llmc_sched *sched, const llmc_sequence *sequence, uint32_t n_pages, uint64_t promised) {
    if (!llmc_sched_has_windows(sched) || sched->n_running == 0) return 1;
    uint32_t need = slots_for(sched, sequence, n_pages * PAGE_TOKENS);
    return llmc_kv_windows_available(sched->kv) >= promised + need + sched->n_running;
}

uint32_t llmc_sched_window_cut(const llmc_sched *sched, const llmc_sequence *sequence, uint32_t n_known, uint32_t n_pages) {
    uint32_t best = n_known, run = 0, slot;
    if (!llmc_sched_has_windows(sched)) return n_pages;
    for (uint32_t n = 1; n <= n_pages; n++) {
        run = llmc_kv_window_of(sched->kv, sequence->pages[n - 1], &slot) ? run + 1 : 0;
        if (n > n_known && run >= n - begin_of(sched, n * PAGE_TOKENS)) best = n;
    }
    return best;
}

/* Pages [begin, end) of its table. */
static void pin(const llmc_sched *sched, llmc_sequence *sequence, uint32_t begin, uint32_t end) {
    for (uint32_t i = begin; i < end; i++) {
        llmc_kv_window_pin(sched->kv, sequence->pages[i]);
        (void)llmc_kv_window_of(sched->kv, sequence->pages[i], &sequence->window_slots[i]);
    }
}

static void unpin_before(const llmc_sched *sched, llmc_sequence *sequence, uint32_t end) {
    for (; sequence->window_begin < end; sequence->window_begin++) {
        llmc_kv_window_unpin(sched->kv, sequence->pages[sequence->window_begin]);
    }
}

void llmc_sched_window_begin(const llmc_sched *sched, llmc_sequence *sequence, uint32_t n_pages) {
    if (!llmc_sched_has_windows(sched)) return;
    sequence->window_begin = begin_of(sched, n_pages * PAGE_TOKENS);
    pin(sched, sequence, sequence->window_begin, n_pages);
}

void llmc_sched_window_extend(const llmc_sched *sched, llmc_sequence *sequence, uint32_t n_known, uint32_t n_pages) {
    if (!llmc_sched_has_windows(sched)) return;
    uint32_t begin = begin_of(sched, n_pages * PAGE_TOKENS);
    pin(sched, sequence, begin > n_known ? begin : n_known, n_pages);
    unpin_before(sched, sequence, begin < n_known ? begin : n_known);
    if (begin > n_known) sequence->window_begin = begin;
}

void llmc_sched_window_acquire(llmc_sched *sched, llmc_sequence *sequence, uint32_t page) {
    uint32_t *slot = &sequence->window_slots[sequence->n_pages];
    int needs_zero = 0;
    (void)llmc_kv_window_acquire(sched->kv, page, slot, &needs_zero);
    if (!needs_zero || sched->zero_window_listed[*slot]) return;
    sched->zero_window_listed[*slot] = 1;
    sched->zero_windows[sched->n_zero_windows++] = *slot;
}

void llmc_sched_window_advance(const llmc_sched *sched, llmc_sequence *sequence) {
    if (llmc_sched_has_windows(sched)) unpin_before(sched, sequence, begin_of(sched, sequence->n_computed));
}

void llmc_sched_window_refresh(const llmc_sched *sched, const llmc_sequence *sequence) {
    if (!llmc_sched_has_windows(sched)) return;
    for (uint32_t i = sequence->window_begin; i < sequence->n_pages; i++) {
        (void)llmc_kv_window_of(sched->kv, sequence->pages[i], &sequence->window_slots[i]);
    }
}

void llmc_sched_window_end(const llmc_sched *sched, llmc_sequence *sequence) {
    if (llmc_sched_has_windows(sched)) unpin_before(sched, sequence, sequence->n_pages);
    sequence->window_begin = 0;
}
