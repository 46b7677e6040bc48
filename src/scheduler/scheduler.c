/* The life of groups and sequences: submit, append, commit, finish, remove, and the figures. plan.c chooses the steps. */
#include "scheduler/scheduler.h"

#include <string.h>

#include "core/alloc.h"
#include "scheduler/state.h"

enum { PAGE_TOKENS = LLMC_KV_PAGE_TOKENS };

#define PRIORITY_NS    INT64_C(1000000000) /* waiting time that one point of priority outweighs */
#define MAX_PRIORITY   1000000
#define MAX_CONTEXT    (UINT32_C(1) << 30)
#define FIRST_RETRY_MS 1000 /* before anything was measured */
#define MAX_RETRY_MS   60000

/* ---- Life -------------------------------------------------------------------------------------------------------------- */

static llmcall_status check_options(const llmc_sched_options *options, llmcall_error *error) {
    if (options->max_step_tokens == 0) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "max_step_tokens", "max_step_tokens is 0; a step needs a token.");
    }
    if (options->max_sequences == 0) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "max_sequences", "max_sequences is 0; one must be able to run.");
    }
    if (options->max_queue == 0) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "max_queue", "max_queue is 0; every call passes through the queue.");
    }
    if (options->context_length == 0 || options->context_length > MAX_CONTEXT) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "context_length", "context_length is %u; 1 to %u are possible.",
                         options->context_length, MAX_CONTEXT);
    }
    return LLMCALL_OK;
}

static void cut_options(llmc_sched_options *options, uint32_t n_states) {
    if (options->max_outputs == 0 || options->max_outputs > options->max_step_tokens) {
        options->max_outputs = options->max_step_tokens;
    }
    if (options->max_sequences > options->max_outputs) options->max_sequences = options->max_outputs;
    if (n_states > 0 && options->max_sequences > n_states) options->max_sequences = n_states;
}

static int allocate_tables(llmc_sched *sched) {
    size_t n_sequences = sched->options.max_sequences;
    size_t n_pages = llmc_kv_total(sched->kv);
    sched->running = llmc_alloc_array(sched->env, n_sequences, sizeof *sched->running);
    sched->items = llmc_alloc_array(sched->env, n_sequences, sizeof *sched->items);
    sched->zero_pages = llmc_alloc_array(sched->env, n_pages, sizeof *sched->zero_pages);
    sched->zero_listed = llmc_zalloc_array(sched->env, n_pages, sizeof *sched->zero_listed);
    sched->expired = llmc_alloc_array(sched->env, n_sequences + sched->options.max_queue, sizeof(llmc_group *));
    if (llmc_sched_has_windows(sched)) {
        size_t n_slots = llmc_kv_windows_total(sched->kv);
        sched->zero_windows = llmc_alloc_array(sched->env, n_slots, sizeof *sched->zero_windows);
        sched->zero_window_listed = llmc_zalloc_array(sched->env, n_slots, sizeof *sched->zero_window_listed);
        if (!sched->zero_windows || !sched->zero_window_listed) return 0;
    }
    if (llmc_kv_states_total(sched->kv) > 0) {
        sched->max_state_copies = 2 * sched->options.max_sequences; /* each may begin, and then be extended */
        sched->state_copies = llmc_alloc_array(sched->env, sched->max_state_copies, sizeof *sched->state_copies);
        if (!sched->state_copies) return 0;
    }
    return sched->running && sched->items && sched->zero_pages && sched->zero_listed && sched->expired;
}

llmcall_status llmc_sched_create(const llmc_env *env, const llmc_sched_options *options, llmc_kv *kv, llmc_sched **out,
                                 llmcall_error *error) {
    *out = NULL;
    llmcall_status status = check_options(options, error);
    if (status != LLMCALL_OK) return status;
    llmc_sched *sched = llmc_zalloc(env, sizeof *sched);
    if (!sched) return llmc_fail_memory(error, "the scheduler");
    sched->env = env;
    sched->options = *options;
    cut_options(&sched->options, llmc_kv_states_total(kv));
    if (llmc_kv_windows_total(kv) == 0) sched->options.window = 0;
    sched->kv = kv;
    sched->committed = 1;
    if (!allocate_tables(sched)) {
        llmc_sched_destroy(&sched);
        return llmc_fail_memory(error, "the scheduler");
    }
    *out = sched;
    return LLMCALL_OK;
}

void llmc_sched_destroy(llmc_sched **out) {
    if (!out || !*out) return;
    llmc_sched *sched = *out;
    while (sched->first) {
        llmc_group *group = sched->first;
        llmc_sched_remove(sched, &group);
    }
    llmc_free(sched->env, sched->running);
    llmc_free(sched->env, sched->items);
    llmc_free(sched->env, sched->zero_pages);
    llmc_free(sched->env, sched->zero_listed);
    llmc_free(sched->env, sched->zero_windows);
    llmc_free(sched->env, sched->zero_window_listed);
    llmc_free(sched->env, sched->state_copies);
    llmc_free(sched->env, sched->expired);
    llmc_free(sched->env, sched);
    *out = NULL;
}

/* ---- Submit ------------------------------------------------------------------------------------------------------------ */

static int64_t retry_after_ms(const llmc_sched *sched) {
    if (sched->finish_interval_ns == 0) return FIRST_RETRY_MS;
    int64_t ms = sched->finish_interval_ns / 1000000 + 1;
    return ms < MAX_RETRY_MS ? ms : MAX_RETRY_MS;
}

static llmcall_status refuse_full_queue(const llmc_sched *sched, llmcall_error *error) {
    llmcall_status status =
        llmc_fail(error, LLMCALL_E_QUEUE_FULL, NULL, NULL, "%u calls are waiting already, which is the limit (max_queue).",
                  sched->options.max_queue);
    if (error) error->retry_after_ms = retry_after_ms(sched);
    return status;
}

static llmcall_status check_request(const llmc_sched *sched, const llmc_sched_request *request, llmcall_error *error) {
    uint32_t context = sched->options.context_length;
    if (request->n_tokens == 0 || !request->tokens) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "tokens", "The prompt has no tokens.");
    }
    if (request->n_choices == 0) return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "n", "n is 0; ask for at least one choice.");
    if (request->n_tokens > context) {
        return llmc_fail(error, LLMCALL_E_CONTEXT_LENGTH, NULL, "messages", "The prompt has %u tokens; the context holds %u.",
                         request->n_tokens, context);
    }
    if (request->n_tokens == context && request->max_new_tokens > 0) {
        return llmc_fail(error, LLMCALL_E_CONTEXT_LENGTH, NULL, "messages",
                         "The prompt has %u tokens and fills the context of %u; there is no room for an answer.",
                         request->n_tokens, context);
    }
    if (request->whole && request->n_tokens > sched->options.max_step_tokens) {
        return llmc_fail(error, LLMCALL_E_CONTEXT_LENGTH, NULL, "max_step_tokens",
                         "The text has %u tokens, which must be computed in one step; max_step_tokens is %u.",
                         request->n_tokens, sched->options.max_step_tokens);
    }
    uint32_t need = llmc_sched_pages_for(request->n_tokens);
    if (need > llmc_kv_total(sched->kv)) {
        return llmc_fail(error, LLMCALL_E_NO_MEMORY, NULL, "messages",
                         "The prompt has %u tokens and needs %u KV pages; the cache has %u.", request->n_tokens, need,
                         llmc_kv_total(sched->kv));
    }
    uint32_t waiting = sched->n_unfinished - sched->n_running_groups;
    return waiting >= sched->options.max_queue ? refuse_full_queue(sched, error) : LLMCALL_OK;
}

/* The index of all sequences lies in one block. 1, or 0: no memory. */
static int allocate_drafts(const llmc_sched *sched, llmc_group *group, uint32_t max_draft) {
    if (max_draft == 0 || sched->max_state_copies > 0) return 1; /* a state has no way back from a wrong draft */
    size_t n_words = llmc_draft_words(group->max_tokens);
    uint32_t *words = llmc_zalloc_array(sched->env, group->n_sequences, n_words * sizeof *words);
    if (!words) return 0;
    for (uint32_t i = 0; i < group->n_sequences; i++) {
        llmc_draft_init(&group->sequences[i].draft, group->max_tokens, max_draft, words + i * n_words);
    }
    return 1;
}

/* Tokens a sequence may reach. The last one sampled needs no KV row, hence one more than the rows that exist. */
static uint32_t token_limit(const llmc_sched *sched, const llmc_sched_request *request) {
    uint64_t limit = (uint64_t)request->n_tokens + request->max_new_tokens;
    uint64_t rows = (uint64_t)llmc_kv_total(sched->kv) * PAGE_TOKENS;
    if (limit > sched->options.context_length) limit = sched->options.context_length;
    if (limit > rows + 1) limit = rows + 1;
    return (uint32_t)limit;
}

static void free_group(const llmc_sched *sched, llmc_group *group) {
    if (group->sequences) {
        llmc_free(sched->env, group->sequences[0].tokens);
        llmc_free(sched->env, group->sequences[0].pages);
        llmc_free(sched->env, group->sequences[0].draft.heads);
    }
    llmc_free(sched->env, group->sequences);
    llmc_free(sched->env, group);
}

/* The group with its sequences; the token arrays of all lie in one block, and so do their page tables. NULL: no memory. */
static llmc_group *allocate_group(const llmc_sched *sched, uint32_t n_sequences, uint32_t max_tokens) {
    llmc_group *group = llmc_zalloc(sched->env, sizeof *group);
    if (!group) return NULL;
    uint32_t max_pages = llmc_sched_pages_for(max_tokens);
    group->n_sequences = n_sequences;
    group->max_tokens = max_tokens;
    group->sequences = llmc_zalloc_array(sched->env, n_sequences, sizeof *group->sequences);
    if (!group->sequences) goto no_memory;
    int32_t *tokens = llmc_alloc_array(sched->env, n_sequences, (size_t)max_tokens * sizeof *tokens);
    group->sequences[0].tokens = tokens;
    uint32_t tables = llmc_sched_has_windows(sched) ? 2 : 1;
    uint32_t *pages = llmc_alloc_array(sched->env, n_sequences, (size_t)max_pages * tables * sizeof *pages);
    group->sequences[0].pages = pages;
    if (!tokens || !pages) goto no_memory;
    for (uint32_t i = 0; i < n_sequences; i++) {
        llmc_sequence *sequence = &group->sequences[i];
        sequence->group = group;
        sequence->choice = i;
        sequence->tokens = tokens + (size_t)i * max_tokens;
        sequence->pages = pages + (size_t)i * max_pages * tables;
        if (tables == 2) sequence->window_slots = sequence->pages + max_pages;
    }
    return group;
no_memory:
    free_group(sched, group);
    return NULL;
}

static int64_t rank_of(const llmc_sched_request *request) {
    int64_t priority = request->priority;
    if (priority > MAX_PRIORITY) priority = MAX_PRIORITY;
    if (priority < -MAX_PRIORITY) priority = -MAX_PRIORITY;
    int64_t rank;
    if (__builtin_sub_overflow(request->arrival_ns, priority * PRIORITY_NS, &rank)) rank = request->arrival_ns;
    return rank;
}

static void link_by_rank(llmc_sched *sched, llmc_group *group) {
    llmc_group *before = sched->last;
    while (before && before->rank > group->rank) before = before->previous;
    group->previous = before;
    group->next = before ? before->next : sched->first;
    if (group->next) {
        group->next->previous = group;
    } else {
        sched->last = group;
    }
    if (before) {
        before->next = group;
    } else {
        sched->first = group;
    }
}

static void unlink_group(llmc_sched *sched, llmc_group *group) {
    if (group->previous) {
        group->previous->next = group->next;
    } else {
        sched->first = group->next;
    }
    if (group->next) {
        group->next->previous = group->previous;
    } else {
        sched->last = group->previous;
    }
}

static void fill_group(llmc_sched *sched, llmc_group *group, const llmc_sched_request *request) {
    group->user = request->user;
    group->n_prompt = request->n_tokens;
    group->priority = request->priority;
    group->arrival_ns = request->arrival_ns;
    group->admitted_ns = -1;
    group->deadline_ns = request->deadline_ns;
    group->key = (llmc_kv_key){.salt = request->salt, .adapter = request->adapter};
    group->all_logits = request->all_logits != 0;
    group->hidden = request->hidden;
    group->whole = request->whole != 0;
    group->rank = rank_of(request);
    group->order = sched->n_submitted++;
    group->n_waiting = group->n_sequences;
    for (uint32_t i = 0; i < group->n_sequences; i++) {
        group->sequences[i].n_tokens = request->n_tokens;
        memcpy(group->sequences[i].tokens, request->tokens, (size_t)request->n_tokens * sizeof *request->tokens);
    }
}

llmcall_status llmc_sched_submit(llmc_sched *sched, const llmc_sched_request *request, llmc_group **out, llmcall_error *error) {
    *out = NULL;
    llmcall_status status = check_request(sched, request, error);
    if (status != LLMCALL_OK) return status;
    llmc_group *group = allocate_group(sched, request->n_choices, token_limit(sched, request));
    if (!group) return llmc_fail_memory(error, "the call's tokens and page tables");
    if (!allocate_drafts(sched, group, request->max_draft)) {
        free_group(sched, group);
        return llmc_fail_memory(error, "the call's index for drafts");
    }
    fill_group(sched, group, request);
    link_by_rank(sched, group);
    if (request->arrival_ns > sched->now_ns) sched->now_ns = request->arrival_ns;
    if (sched->n_unfinished++ == 0) sched->last_finish_ns = sched->now_ns;
    *out = group;
    return LLMCALL_OK;
}

/* ---- Waiting, running, finished ---------------------------------------------------------------------------------------- */

static int runs_before(const llmc_sequence *a, const llmc_sequence *b) {
    if (a->group->rank != b->group->rank) return a->group->rank < b->group->rank;
    if (a->group->order != b->group->order) return a->group->order < b->group->order;
    return a->choice < b->choice;
}

void llmc_sched_start_running(llmc_sched *sched, llmc_sequence *sequence) {
    uint32_t i = sched->n_running++;
    for (; i > 0 && runs_before(sequence, sched->running[i - 1]); i--) sched->running[i] = sched->running[i - 1];
    sched->running[i] = sequence;
    sequence->state = LLMC_SEQUENCE_RUNNING;
    sequence->group->n_waiting--;
    if (sequence->group->n_running++ == 0) sched->n_running_groups++;
}

static void leave_running(llmc_sched *sched, llmc_sequence *sequence) {
    uint32_t i = 0;
    while (sched->running[i] != sequence) i++;
    sched->n_running--;
    memmove(&sched->running[i], &sched->running[i + 1], (sched->n_running - i) * sizeof(llmc_sequence *));
    if (--sequence->group->n_running == 0) sched->n_running_groups--;
}

/* Rows of a whole prompt are those of no other prompt that begins alike. */
static void publish(llmc_sched *sched, const llmc_sequence *sequence, uint32_t n_tokens) {
    if (sequence->group->whole) return;
    llmc_kv_publish(sched->kv, sequence->group->key, sequence->tokens, n_tokens, sequence->pages);
    llmc_sched_window_refresh(sched, sequence);
}

static void give_back_pages(llmc_sched *sched, llmc_sequence *sequence) {
    publish(sched, sequence, sequence->n_computed);
    llmc_sched_state_end(sched, sequence);
    llmc_sched_window_end(sched, sequence);
    while (sequence->n_pages > 0) llmc_kv_release(sched->kv, sequence->pages[--sequence->n_pages]);
}

void llmc_sched_stop_running(llmc_sched *sched, llmc_sequence *sequence) {
    give_back_pages(sched, sequence);
    leave_running(sched, sequence);
    sequence->n_computed = 0;
    sequence->state = LLMC_SEQUENCE_WAITING;
    sequence->group->n_waiting++;
}

static void note_finished_group(llmc_sched *sched) {
    int64_t interval = sched->now_ns - sched->last_finish_ns;
    int64_t average = sched->finish_interval_ns;
    sched->last_finish_ns = sched->now_ns;
    sched->finish_interval_ns = average == 0 ? interval : average + (interval - average) / 8;
    if (sched->finish_interval_ns <= 0) sched->finish_interval_ns = 1;
    sched->n_unfinished--;
}

void llmc_sched_finish_sequence(llmc_sched *sched, llmc_sequence *sequence) {
    llmc_group *group = sequence->group;
    if (sequence->state == LLMC_SEQUENCE_FINISHED) return;
    if (sequence->state == LLMC_SEQUENCE_RUNNING) {
        give_back_pages(sched, sequence);
        leave_running(sched, sequence);
    } else {
        group->n_waiting--;
    }
    sequence->state = LLMC_SEQUENCE_FINISHED;
    if (++group->n_finished == group->n_sequences) note_finished_group(sched);
}

void llmc_sched_remove(llmc_sched *sched, llmc_group **out) {
    if (!out || !*out) return;
    llmc_group *group = *out;
    for (uint32_t i = 0; i < group->n_sequences; i++) llmc_sched_finish_sequence(sched, &group->sequences[i]);
    unlink_group(sched, group);
    free_group(sched, group);
    *out = NULL;
}

/* ---- After a step ------------------------------------------------------------------------------------------------------ */

static void commit_item(llmc_sched *sched, const llmc_step_item *item) {
    llmc_sequence *sequence = item->sequence;
    uint32_t n_prompt = sequence->group->n_prompt;
    if (sequence->state != LLMC_SEQUENCE_RUNNING || sequence->n_computed != item->start) {
        llmc_sched_state_commit(sched, item, 0);
        return;
    }
    sequence->n_computed += item->n_tokens - item->n_drafts;
    sequence->n_drafted = sequence->n_guessed = item->n_drafts;
    sequence->n_right = 0;
    uint32_t n_rows = sequence->n_computed < n_prompt ? sequence->n_computed : n_prompt;
    if (item->start < n_prompt && n_rows / PAGE_TOKENS > item->start / PAGE_TOKENS) publish(sched, sequence, n_rows);
    llmc_sched_state_commit(sched, item, 1);
    llmc_sched_window_advance(sched, sequence);
}

void llmc_sched_commit(llmc_sched *sched, const llmc_step *step) {
    if (sched->committed) return;
    for (uint32_t i = 0; i < step->n_items; i++) commit_item(sched, &step->items[i]);
    sched->committed = 1;
}

/* A draft's row counts as computed once a token behind it is known: as always while decoding, one token is then to be computed.
 * Whatever the token, it is stored where the draft stood. */
static void judge_draft(llmc_sequence *sequence, int32_t token) {
    if (sequence->n_drafted > 0 && sequence->n_computed < sequence->n_tokens) {
        sequence->n_computed++;
        sequence->n_drafted--;
    }
    if (sequence->n_drafted == 0) return;
    if (sequence->tokens[sequence->n_tokens] == token) {
        sequence->n_right++;
    } else {
        sequence->n_drafted = 0;
    }
}

int llmc_sched_append(llmc_sched *sched, llmc_sequence *sequence, int32_t token) {
    (void)sched;
    uint32_t limit = sequence->group->max_tokens;
    if (sequence->state == LLMC_SEQUENCE_FINISHED || sequence->n_tokens >= limit) return 0;
    judge_draft(sequence, token);
    sequence->tokens[sequence->n_tokens++] = token;
    return sequence->n_tokens < limit;
}

/* ---- Figures ----------------------------------------------------------------------------------------------------------- */

int llmc_sched_idle(const llmc_sched *sched) {
    return sched->n_unfinished == 0;
}

int64_t llmc_sched_next_deadline(const llmc_sched *sched) {
    int64_t earliest = 0;
    for (const llmc_group *group = sched->first; group; group = group->next) {
        if (group->deadline_ns == 0 || group->expired || group->n_finished == group->n_sequences) continue;
        if (earliest == 0 || group->deadline_ns < earliest) earliest = group->deadline_ns;
    }
    return earliest;
}

void llmc_sched_stats(const llmc_sched *sched, uint32_t *waiting_groups, uint32_t *running_groups, uint32_t *running_sequences,
                      uint64_t *preemptions) {
    if (waiting_groups) *waiting_groups = sched->n_unfinished - sched->n_running_groups;
    if (running_groups) *running_groups = sched->n_running_groups;
    if (running_sequences) *running_sequences = sched->n_running;
    if (preemptions) *preemptions = sched->preemptions;
}
