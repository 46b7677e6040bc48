/* What the two halves of the scheduler share: the state, and the moves of a sequence between waiting, running and finished. */
#ifndef LLMC_SCHEDULER_STATE_H
#define LLMC_SCHEDULER_STATE_H

#include "scheduler/scheduler.h"

struct llmc_sched {
    const llmc_env *env;
    llmc_sched_options options;
    llmc_kv *kv;

    llmc_group *first; /* every group that was not removed, by rank */
    llmc_group *last;
    uint64_t n_submitted;
    uint32_t n_unfinished; /* groups; at most max_queue + max_sequences */
    uint32_t n_running_groups;
    llmc_sequence **running; // (max_sequences), by rank of the group, then choice
    uint32_t n_running;
    uint64_t preemptions;

    /* The step that plan hands out. */
    uint64_t stamp; /* its number; a sequence with the same stamp has an item in it */
    int committed;
    llmc_step_item *items; // (max_sequences)
    uint32_t n_items;
    uint32_t n_tokens;
    uint32_t n_outputs;   /* at most max_outputs less the running sequences that were not considered yet */
    int hidden;           /* some item wants hidden rows */
    uint32_t *zero_pages; // (pages of the cache), each at most once
    uint8_t *zero_listed; // (pages of the cache)
    uint32_t n_zero_pages;
    uint32_t *zero_windows; // (window slots), the same
    uint8_t *zero_window_listed;
    uint32_t n_zero_windows;
    llmc_state_copy *state_copies; // (max_state_copies)
    uint32_t n_state_copies;
    uint32_t max_state_copies; /* 0: the model has no states */
    llmc_group **expired;      // (max_queue + max_sequences)
    uint32_t n_expired;

    /* How fast places in the queue open, for retry_after_ms. */
    int64_t now_ns;             /* latest time seen */
    int64_t last_finish_ns;     /* or when work last began after a pause */
    int64_t finish_interval_ns; /* moving average between two groups' ends; 0: none measured yet */
};

/* Pages that hold n rows. */
static inline uint32_t llmc_sched_pages_for(uint32_t n_rows) {
    return n_rows / LLMC_KV_PAGE_TOKENS + (n_rows % LLMC_KV_PAGE_TOKENS != 0);
}

void llmc_sched_start_running(llmc_sched *sched, llmc_sequence *sequence); /* from WAITING; pages as they are */
/* From RUNNING, to the front of the queue: publishes and gives back its pages, to be computed again. */
void llmc_sched_stop_running(llmc_sched *sched, llmc_sequence *sequence);

/* ---- windows.c; all do nothing for models without windows ---- */

int llmc_sched_has_windows(const llmc_sched *sched);
uint64_t llmc_sched_windows_promised(
    const llmc_sched *sched); /* slots that the running ones will still take for their tokens */
/* Whether a sequence that would begin with n_pages pages finds slots beside those promised. */
int llmc_sched_window_fits(const llmc_sched *sched, const llmc_sequence *sequence, uint32_t n_pages, uint64_t promised);
/* Of the first n_pages pages of its table, the most that it can begin with (n_known is where it stands): those which the next
 * token sees have their slots. */
uint32_t llmc_sched_window_cut(const llmc_sched *sched, const llmc_sequence *sequence, uint32_t n_known, uint32_t n_pages);
void llmc_sched_window_begin(const llmc_sched *sched, llmc_sequence *sequence, uint32_t n_pages);
void llmc_sched_window_extend(const llmc_sched *sched, llmc_sequence *sequence, uint32_t n_known, uint32_t n_pages);
/* For the page that comes next in its table; one is available. */
void llmc_sched_window_acquire(llmc_sched *sched, llmc_sequence *sequence, uint32_t page);
void llmc_sched_window_advance(const llmc_sched *sched, llmc_sequence *sequence);       /* n_computed grew */
void llmc_sched_window_refresh(const llmc_sched *sched, const llmc_sequence *sequence); /* its pages were published */
void llmc_sched_window_end(const llmc_sched *sched, llmc_sequence *sequence);           /* it still has its pages */

/* ---- states.c; all do nothing for models without states ---- */

/* The sequence is about to run from the first n_pages pages of its table on, which have a state, or from 0. 1, or 0: no slot. */
int llmc_sched_state_begin(llmc_sched *sched, llmc_sequence *sequence, uint32_t n_pages);
/* It runs, and goes on with the state of the last of n_pages pages. 1, or 0 (nothing was changed): it must compute on. */
int llmc_sched_state_extend(llmc_sched *sched, llmc_sequence *sequence, uint32_t n_pages);
/* It stops running and still has its pages: its state is kept where it can serve again. */
void llmc_sched_state_end(llmc_sched *sched, llmc_sequence *sequence);
/* Of pages [n_known, n_pages) of its table gives back those behind the last with a state; returns how many pages are left. */
uint32_t llmc_sched_state_cut(llmc_sched *sched, llmc_sequence *sequence, uint32_t n_known, uint32_t n_pages);
/* n tokens of a prompt, or fewer, so that they end where a state should be kept. */
uint32_t llmc_sched_state_chunk(const llmc_sched *sched, const llmc_sequence *sequence, uint32_t n);
void llmc_sched_state_snapshot(llmc_sched *sched, llmc_step_item *item);                /* whether, and where to */
void llmc_sched_state_commit(llmc_sched *sched, const llmc_step_item *item, int valid); /* the item's snapshot, if it has one */
/* Before a plan: what the step before left if it was not committed. */
void llmc_sched_state_recover(llmc_sched *sched);

#endif
