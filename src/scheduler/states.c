/* States of recurrent layers: which slot a sequence has, from which kept state it begins, and at which positions one is kept.
 * Called by plan.c and scheduler.c.
 *
 * A sequence that runs holds one slot, with the state after n_computed tokens. States are kept at page boundaries: where a prompt
 * ends (its last whole page but the one of its last token), where it leaves a prefix that others share, at the last boundary of
 * an answer, and, as long as slots are free, where a chunk ends. */
#include "scheduler/state.h"

enum { PAGE_TOKENS = LLMC_KV_PAGE_TOKENS };

static int has_states(const llmc_sched *sched) {
    return sched->max_state_copies > 0;
}

/* ---- Copies ------------------------------------------------------------------------------------------------------------ */

/* Those of one plan are carried out in order, so a slot may be a source first and then be overwritten. */
static void add_copy(llmc_sched *sched, uint32_t dst, uint32_t src) {
    if (dst != src) sched->state_copies[sched->n_state_copies++] = (llmc_state_copy){.dst = dst, .src = src};
}

static int copies_full(const llmc_sched *sched) {
    return sched->n_state_copies == sched->max_state_copies;
}

/* ---- Begin, extend, end ------------------------------------------------------------------------------------------------ */

int llmc_sched_state_begin(llmc_sched *sched, llmc_sequence *sequence, uint32_t n_pages) {
    uint32_t source = LLMC_SCHED_STATE_ZERO;
    if (!has_states(sched)) return 1;
    if (copies_full(sched)) return 0;
    (void)llmc_kv_state_find(sched->kv, sequence->pages, n_pages, &source);
    if (!llmc_kv_state_acquire(sched->kv, 1, &sequence->state_slot)) return 0;
    sequence->kept_page = LLMC_SCHED_NO_PAGE;
    add_copy(sched, sequence->state_slot, source);
    return 1;
}

int llmc_sched_state_extend(llmc_sched *sched, llmc_sequence *sequence, uint32_t n_pages) {
    uint32_t source;
    if (!has_states(sched)) return 1;
    if (copies_full(sched) || !llmc_kv_state_find(sched->kv, sequence->pages, n_pages, &source)) return 0;
    add_copy(sched, sequence->state_slot, source);
    return 1;
}

void llmc_sched_state_end(llmc_sched *sched, llmc_sequence *sequence) {
    if (!has_states(sched)) return;
    uint32_t n = sequence->n_computed;
    if (sched->committed && n > 0 && n % PAGE_TOKENS == 0) {
        llmc_kv_state_keep(sched->kv, sequence->pages[n / PAGE_TOKENS - 1], sequence->state_slot);
    } else {
        llmc_kv_state_release(sched->kv, sequence->state_slot);
    }
}

uint32_t llmc_sched_state_cut(llmc_sched *sched, llmc_sequence *sequence, uint32_t n_known, uint32_t n_pages) {
    uint32_t state;
    if (!has_states(sched)) return n_pages;
    uint32_t n = n_known + llmc_kv_state_find(sched->kv, sequence->pages + n_known, n_pages - n_known, &state);
    if (n < n_pages) sequence->branch = n_pages * PAGE_TOKENS;
    while (n_pages > n) llmc_kv_release(sched->kv, sequence->pages[--n_pages]);
    return n;
}

/* ---- What is kept ------------------------------------------------------------------------------------------------------ */

/* The last boundary at which a state of this prompt serves the same prompt again: its last token is always computed. */
static uint32_t prompt_end(const llmc_sequence *sequence) {
    return (sequence->group->n_prompt - 1) / PAGE_TOKENS * PAGE_TOKENS;
}

uint32_t llmc_sched_state_chunk(const llmc_sched *sched, const llmc_sequence *sequence, uint32_t n) {
    uint32_t branch = sequence->branch, start = sequence->n_computed;
    return has_states(sched) && branch > start && branch - start < n ? branch - start : n;
}

/* The boundary in the item at which its state is to be kept; 0: none. */
static uint32_t boundary_of(const llmc_step_item *item) {
    uint32_t end = item->start + item->n_tokens, at = end / PAGE_TOKENS * PAGE_TOKENS;
    if (end == item->sequence->n_tokens && at == end && end - item->start > PAGE_TOKENS) at -= PAGE_TOKENS;
    return at > item->start ? at : 0;
}

/* Others may go for it: it is where somebody is likely to come again. An answer's saves the least, only the answer, so those of
 * all that run leave as many for prompts. */
static int is_worth_others(const llmc_sched *sched, const llmc_sequence *sequence, uint32_t at) {
    if (at > sequence->group->n_prompt) return llmc_kv_states_kept(sched->kv) >= 2 * sched->n_running;
    return at == prompt_end(sequence) || at == sequence->branch;
}

void llmc_sched_state_snapshot(llmc_sched *sched, llmc_step_item *item) {
    llmc_sequence *sequence = item->sequence;
    const llmc_group *group = sequence->group;
    item->snapshot_after = 0;
    if (!has_states(sched) || group->all_logits || group->whole) return;
    if (!llmc_kv_prefix_cache_enabled(sched->kv) && group->n_sequences == 1) return; /* nobody could find it */
    uint32_t at = boundary_of(item);
    if (at == 0) return;
    int answer = at > group->n_prompt && llmc_kv_state_take(sched->kv, sequence->kept_page, &item->snapshot);
    sequence->kept_page = LLMC_SCHED_NO_PAGE;
    if (answer || llmc_kv_state_acquire(sched->kv, is_worth_others(sched, sequence, at), &item->snapshot)) {
        item->snapshot_after = at - item->start;
    }
}

void llmc_sched_state_commit(llmc_sched *sched, const llmc_step_item *item, int valid) {
    llmc_sequence *sequence = item->sequence;
    if (item->snapshot_after == 0) return;
    if (!valid) {
        llmc_kv_state_release(sched->kv, item->snapshot);
        return;
    }
    uint32_t at = item->start + item->snapshot_after, page = sequence->pages[at / PAGE_TOKENS - 1];
    llmc_kv_state_keep(sched->kv, page, item->snapshot);
    if (at > sequence->group->n_prompt) sequence->kept_page = page;
}

/* ---- After a failure --------------------------------------------------------------------------------------------------- */

/* Nobody knows what the slots hold after a step that was begun and not committed: all that run begin again. A plan without items
 * is not carried out, and its copies stay due. */
void llmc_sched_state_recover(llmc_sched *sched) {
    int begun = !sched->committed && sched->n_items > 0;
    if (!has_states(sched)) return;
    if (sched->committed || begun) sched->n_state_copies = 0;
    if (!begun) return;
    for (uint32_t i = 0; i < sched->n_items; i++) {
        if (sched->items[i].snapshot_after) llmc_kv_state_release(sched->kv, sched->items[i].snapshot);
    }
    while (sched->n_running > 0) {
        llmc_sequence *sequence = sched->running[sched->n_running - 1];
        llmc_sched_stop_running(sched, sequence);
        sequence->n_preempted++;
    }
    llmc_kv_states_drop(sched->kv);
    sched->n_items = 0;
}
