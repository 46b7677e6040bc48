/* Decides the next step: which sequences are computed, and how many tokens of each. Stands between the queue of calls and the
 * model. Pure bookkeeping under the engine's lock: no threads, no clock (now_ns comes in), no tensors; only submit allocates.
 *
 * One round: plan -> the engine zeroes zero_pages, copies state_copies and computes the items -> commit -> for every item that wanted logits:
 * sample, then append or finish. Submit, stats and the getters are safe at any time; append, finish and remove only while no
 * step is out, that is not between plan and commit (but the groups in step->expired may be finished and removed there). A step
 * that failed in the backend is simply not committed: finish what it touched, or plan again. */
#ifndef LLMC_SCHEDULER_H
#define LLMC_SCHEDULER_H

#include "kv/kv.h"
#include "scheduler/draft.h"

enum { LLMC_SCHED_DRAFT_ROWS = 16 }; /* drafts never make a step longer than this */
#define LLMC_SCHED_STATE_ZERO UINT32_MAX
#define LLMC_SCHED_NO_PAGE    UINT32_MAX

typedef struct llmc_sched llmc_sched;

typedef struct llmc_sched_options {
    uint32_t max_step_tokens; /* at least 1: tokens computed in one step, all sequences together */
    uint32_t max_sequences; /* at least 1: running at once; cut to max_step_tokens and max_outputs: each decode has its token */
    uint32_t max_queue;     /* at least 1: unfinished groups of which no sequence runs */
    uint32_t context_length; /* tokens of one sequence, prompt and answer; at most 2^30 */
    uint32_t max_outputs;    /* rows of logits in one step; 0: max_step_tokens */
    uint32_t window;         /* positions that layers with a window see, if the cache has slots for them; 0: none */
} llmc_sched_options;

typedef struct llmc_sched_request {
    void *user;
    const int32_t *tokens; /* the prompt, copied; at least one token */
    uint32_t n_tokens;
    uint32_t n_choices;      /* at least 1 */
    uint32_t max_new_tokens; /* for each choice; 0: the prompt is only scored */
    int32_t priority;        /* higher first; one point counts as much as one second of waiting, so that nothing starves */
    int64_t deadline_ns;     /* 0: none */
    int64_t arrival_ns;      /* now */
    uint64_t salt;           /* prefixes are shared only under the same salt */
    uint64_t adapter;        /* and adapter: see llmc_kv_key */
    int all_logits;          /* score: no prefix reuse, logits wanted at every prompt position */
    int hidden;         /* embed: LLMC_HIDDEN_* rows of the prompt instead of logits; with max_new_tokens 0 and one choice */
    int whole;          /* the prompt is computed in one step, because its tokens see those behind them */
    uint32_t max_draft; /* speculation: longest draft of a choice, cut to LLMC_DRAFT_MAX; 0: none */
} llmc_sched_request;

/* Which rows of a prompt's last layer are wanted. ALL: no prefix reuse. */
enum { LLMC_HIDDEN_NONE = 0, LLMC_HIDDEN_LAST = 1, LLMC_HIDDEN_ALL = 2 };

enum { LLMC_SEQUENCE_WAITING = 0, LLMC_SEQUENCE_RUNNING = 1, LLMC_SEQUENCE_FINISHED = 2 };

typedef struct llmc_group llmc_group;

/* One choice of a call. The engine reads everything and writes only user. */
typedef struct llmc_sequence {
    llmc_group *group;
    uint32_t choice;
    int32_t *tokens;          /* prompt, then what was sampled */
    uint32_t n_tokens;        /* known so far */
    uint32_t n_computed;      /* of them, those whose KV rows are in pages; n_tokens - 1 while decoding */
    uint32_t n_cached;        /* prompt tokens not computed but taken from the prefix cache (choices after the first: also from
                                 another choice); what is recomputed after a preemption does not change it */
    const char *cache_reason; /* static text: why not the whole prompt came from the cache; NULL before admission, or if all
                                 that can be cached was */
    uint32_t *pages;          /* page of position p: pages[p / LLMC_KV_PAGE_TOKENS] */
    uint32_t n_pages;
    uint32_t *window_slots; /* of pages window_begin .. n_pages - 1: where their rows of layers with a window are */
    uint32_t window_begin;
    int state;            /* LLMC_SEQUENCE_* */
    uint32_t n_preempted; /* times it gave up its pages */
    /* Models with recurrent layers (kv/README.md); the first is for the engine to read. */
    uint32_t state_slot; /* while running: of the state after n_computed tokens */
    uint32_t branch;     /* position up to which others have the same tokens, but where no state is kept: one will be */
    uint32_t kept_page;  /* page with which its last state while decoding was kept, LLMC_SCHED_NO_PAGE: none */
    uint64_t stamp;      /* the last step that has it, and the last that looked at it; the scheduler's own */
    uint64_t considered;
    void *user; /* NULL at first; the engine's */
    /* Drafts, the scheduler's own. */
    llmc_draft draft;
    uint32_t n_drafted; /* rows of the last step's drafts behind n_computed which no sampled token contradicts yet */
    uint32_t n_guessed; /* drafts in the last step that had some, */
    uint32_t n_right;   /* and those of them that were sampled */
} llmc_sequence;

/* One call: its choices over one prompt. */
struct llmc_group {
    void *user;
    llmc_sequence *sequences;
    uint32_t n_sequences;
    uint32_t n_prompt;
    uint32_t max_tokens; /* tokens a sequence may reach: prompt and answer, within context and pages */
    int32_t priority;
    int64_t arrival_ns;
    int64_t admitted_ns; /* when a step first had one of its tokens; -1 before */
    int64_t deadline_ns; /* 0: none */
    llmc_kv_key key;
    int all_logits;
    int hidden;
    int whole;
    int expired; /* its deadline passed and it was reported */
    /* The scheduler's own. */
    int64_t rank; /* lower runs first; equal ranks by order */
    uint64_t order;
    uint32_t n_running; /* sequences; n_sequences = n_running + n_waiting + n_finished */
    uint32_t n_waiting;
    uint32_t n_finished;
    llmc_group *previous; /* neighbours among all groups, by rank */
    llmc_group *next;
};

typedef struct llmc_step_item {
    llmc_sequence *sequence;
    uint32_t start;    /* first position computed, = sequence->n_computed */
    uint32_t n_tokens; /* at least 1; their pages are in sequence->pages already */
    int wants_logits;  /* 1: of its last known token, which is the sequence's last, and of the drafts behind it: tokens are to
                          be sampled. 2: of all its tokens (a group with all_logits; positions come again, with the same bits,
                          after a preemption). 0: none */
    int wants_hidden;  /* LLMC_HIDDEN_*: of its last token, which is the sequence's last, or of all its tokens */
    uint32_t n_drafts; /* of n_tokens: guesses at what will be sampled, in sequence->tokens behind its n_tokens known ones */
    uint32_t snapshot_after; /* after so many of n_tokens the state also goes to the slot `snapshot`; 0: never */
    uint32_t snapshot;
} llmc_step_item;

/* A whole slot of state, or LLMC_SCHED_STATE_ZERO, what is before the first token. */
typedef struct llmc_state_copy {
    uint32_t dst, src;
} llmc_state_copy;

/* Owned by the scheduler, valid until the next plan. */
typedef struct llmc_step {
    llmc_step_item *items; /* decodes first */
    uint32_t n_items;
    uint32_t n_tokens;          /* sum over the items */
    uint32_t n_outputs;         /* rows of logits that the items want together */
    int hidden;                 /* some item wants hidden rows */
    const uint32_t *zero_pages; /* must be zeroed before the step: they last held another tenant's rows */
    uint32_t n_zero_pages;
    const uint32_t *zero_windows; /* the same for window slots */
    uint32_t n_zero_windows;
    const llmc_state_copy *state_copies; /* to be done before the step, in order */
    uint32_t n_state_copies;
    llmc_group *const *expired; /* deadline passed, waiting or running: hold no pages and have no items any more. Reported in
                                    every plan until all their sequences are finished */
    uint32_t n_expired;
} llmc_step;

/* kv is borrowed and must outlive the scheduler. If it has states, no more sequences run than there are, none has drafts, and a
 * step that was not committed costs all that run their states: they begin again. */
llmcall_status llmc_sched_create(const llmc_env *env, const llmc_sched_options *options, llmc_kv *kv, llmc_sched **out,
                                 llmcall_error *error);
void llmc_sched_destroy(llmc_sched **sched); /* removes the groups that are left; sets *sched to NULL; NULL is fine */

/* Queues a call. The group is the scheduler's until llmc_sched_remove; all memory it will ever need is allocated here.
 * LLMCALL_E_QUEUE_FULL with retry_after_ms; LLMCALL_E_CONTEXT_LENGTH if the prompt does not fit the context (with
 * max_new_tokens > 0: leaves no room for a token; with whole: is longer than a step); LLMCALL_E_NO_MEMORY if it needs more pages than exist;
 * LLMCALL_E_ARGUMENT for an empty prompt or no choices. */
llmcall_status llmc_sched_submit(llmc_sched *sched, const llmc_sched_request *request, llmc_group **group,
                                 llmcall_error *error);

/* The next step. Every running decode first, one token each; then prompts in chunks within what is left of max_step_tokens: the
 * first in line at least half, the rest to the shortest. Groups are admitted by rank while sequences and pages allow. When
 * pages run out the last in rank gives up its own and waits again, before those never admitted. Last come drafts, in even
 * shares, only as far as the step has fewer than LLMC_SCHED_DRAFT_ROWS tokens: up to there memory is the limit and rows cost
 * little. */
void llmc_sched_plan(llmc_sched *sched, int64_t now_ns, llmc_step *step);

/* The step was computed: its rows are in the pages. Whole prompt pages become findable for others. */
void llmc_sched_commit(llmc_sched *sched, const llmc_step *step);

/* Stores a sampled token, which is the sequence's next input. 1: it goes on. 0: that was its last (max_new_tokens or the
 * context is reached): finish it with "length". At the limit already, or finished: 0, and nothing is stored. After an item with
 * drafts: once for the token of the first row, and once more for each draft in turn that is the token appended before; rows of
 * other drafts are void and will be overwritten. */
int llmc_sched_append(llmc_sched *sched, llmc_sequence *sequence, int32_t token);

/* Ends one sequence, whatever its state: its whole pages become findable and are given back. Idempotent. */
void llmc_sched_finish_sequence(llmc_sched *sched, llmc_sequence *sequence);

/* Finishes what is left of the group and frees it; sets *group to NULL; NULL is fine. */
void llmc_sched_remove(llmc_sched *sched, llmc_group **group);

int llmc_sched_idle(const llmc_sched *sched);              /* 1: no sequence is waiting or running */
int64_t llmc_sched_next_deadline(const llmc_sched *sched); /* earliest that was not reported as expired yet; 0: none */

/* Any may be NULL. An unfinished group is running if one of its sequences is, else waiting. */
void llmc_sched_stats(const llmc_sched *sched, uint32_t *waiting_groups, uint32_t *running_groups, uint32_t *running_sequences,
                      uint64_t *preemptions);

#endif
