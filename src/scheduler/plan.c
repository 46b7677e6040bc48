/* Chooses a step: expired groups out, decodes, admissions, prompt chunks. Called by the engine before every step.
 *
 * Why it always gets on: the first running sequence in rank may take the pages of every other one that is not in the step yet,
 * and submit made sure that it fits alone; and nothing is admitted while the pages that running prompts still need, and one
 * more for each running sequence, are not there. */
#include "scheduler/state.h"

enum { PAGE_TOKENS = LLMC_KV_PAGE_TOKENS };

static uint32_t min_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}
static uint32_t max_u32(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

/* Tokens that are known and not computed; 0 also at the token limit, where the engine is to finish the sequence. */
static uint32_t pending(const llmc_sequence *sequence) {
    const llmc_group *group = sequence->group;
    if (sequence->n_tokens > group->n_prompt && sequence->n_tokens >= group->max_tokens) return 0;
    return sequence->n_tokens - sequence->n_computed;
}

static int in_step(const llmc_sched *sched, const llmc_sequence *sequence) {
    return sequence->stamp == sched->stamp;
}

/* ---- Deadlines --------------------------------------------------------------------------------------------------------- */

static void expire_group(llmc_sched *sched, llmc_group *group) {
    group->expired = 1;
    for (uint32_t i = 0; group->n_running > 0 && i < group->n_sequences; i++) {
        llmc_sequence *sequence = &group->sequences[i];
        if (sequence->state == LLMC_SEQUENCE_RUNNING) llmc_sched_stop_running(sched, sequence);
    }
}

static void collect_expired(llmc_sched *sched) {
    sched->n_expired = 0;
    for (llmc_group *group = sched->first; group; group = group->next) {
        if (group->deadline_ns == 0 || group->deadline_ns > sched->now_ns) continue;
        if (group->n_finished == group->n_sequences) continue;
        if (!group->expired) expire_group(sched, group);
        sched->expired[sched->n_expired++] = group;
    }
}

/* ---- Pages ------------------------------------------------------------------------------------------------------------- */

/* A list that the engine never got to zero (its step was not committed) stays due. */
static void begin_zero_pages(llmc_sched *sched) {
    if (!sched->committed) return;
    for (uint32_t i = 0; i < sched->n_zero_pages; i++) sched->zero_listed[sched->zero_pages[i]] = 0;
    sched->n_zero_pages = 0;
    for (uint32_t i = 0; i < sched->n_zero_windows; i++) sched->zero_window_listed[sched->zero_windows[i]] = 0;
    sched->n_zero_windows = 0;
}

static int acquire_page(llmc_sched *sched, llmc_sequence *sequence) {
    uint32_t page;
    int needs_zero;
    if (llmc_sched_has_windows(sched) && llmc_kv_windows_available(sched->kv) == 0) return 0;
    if (!llmc_kv_acquire(sched->kv, sequence->group->key, &page, &needs_zero)) return 0;
    if (llmc_sched_has_windows(sched)) llmc_sched_window_acquire(sched, sequence, page);
    if (needs_zero && !sched->zero_listed[page]) {
        sched->zero_listed[page] = 1;
        sched->zero_pages[sched->n_zero_pages++] = page;
    }
    sequence->pages[sequence->n_pages++] = page;
    return 1;
}

/* Takes the pages of the last in rank that is after this sequence and not in the step. */
static int preempt_for(llmc_sched *sched, const llmc_sequence *sequence) {
    for (uint32_t i = sched->n_running; i > 0; i--) {
        llmc_sequence *victim = sched->running[i - 1];
        if (victim == sequence) return 0;
        if (in_step(sched, victim) || victim->n_pages == 0) continue;
        llmc_sched_stop_running(sched, victim);
        victim->n_preempted++;
        sched->preemptions++;
        return 1;
    }
    return 0;
}

/* Pages for the next n tokens, or for as many as there is room for; others are preempted only to get the first of them, or all
 * of a whole prompt. Returns the tokens that fit. */
static uint32_t make_room(llmc_sched *sched, llmc_sequence *sequence, uint32_t n) {
    uint32_t need = llmc_sched_pages_for(sequence->n_computed + n);
    int whole = sequence->group->whole;
    while (sequence->n_pages < need) {
        if (acquire_page(sched, sequence)) continue;
        if (!whole && sequence->n_pages * PAGE_TOKENS > sequence->n_computed) break;
        if (!preempt_for(sched, sequence)) break;
    }
    uint32_t room = min_u32(n, sequence->n_pages * PAGE_TOKENS - sequence->n_computed);
    return whole && room < n ? 0 : room;
}

/* ---- Items ------------------------------------------------------------------------------------------------------------- */

/* The next tokens are a prompt's whose every position is scored. */
static int is_scored(const llmc_sequence *sequence) {
    return sequence->group->all_logits && sequence->n_computed < sequence->group->n_prompt;
}

static int logits_wanted(const llmc_sequence *sequence, uint32_t n) {
    if (is_scored(sequence)) return 2;
    if (sequence->group->hidden) return 0;
    return sequence->n_computed + n == sequence->n_tokens;
}

static int hidden_wanted(const llmc_sequence *sequence, uint32_t n) {
    int hidden = sequence->group->hidden;
    if (hidden == LLMC_HIDDEN_LAST && sequence->n_computed + n < sequence->n_tokens) return LLMC_HIDDEN_NONE;
    return hidden;
}

/* Puts up to n tokens of the sequence into the step; returns how many. */
static uint32_t place(llmc_sched *sched, llmc_sequence *sequence, uint32_t n) {
    n = make_room(sched, sequence, n);
    if (n == 0) return 0;
    llmc_step_item *item = &sched->items[sched->n_items++];
    item->sequence = sequence;
    item->start = sequence->n_computed;
    item->n_tokens = n;
    item->n_drafts = 0;
    item->wants_logits = logits_wanted(sequence, n);
    item->wants_hidden = hidden_wanted(sequence, n);
    sequence->stamp = sched->stamp;
    llmc_sched_state_snapshot(sched, item);
    sched->n_tokens += n;
    sched->n_outputs += item->wants_logits == 2 ? n : (uint32_t)item->wants_logits;
    if (item->wants_hidden) sched->hidden = 1;
    if (sequence->group->admitted_ns < 0) sequence->group->admitted_ns = sched->now_ns;
    return n;
}

static void place_decodes(llmc_sched *sched) {
    for (uint32_t i = 0; i < sched->n_running; i++) {
        llmc_sequence *sequence = sched->running[i];
        if (pending(sequence) != 1 || sequence->group->whole) continue; /* of whole prompts the first in rank goes first */
        sequence->considered = sched->stamp;
        place(sched, sequence, 1);
    }
}

/* ---- Prefix cache ------------------------------------------------------------------------------------------------------ */

/* Every row of the prompt is wanted, not only what follows from it, or the rows depend on those behind them. */
static int wants_every_row(const llmc_group *group) {
    return group->all_logits || group->hidden == LLMC_HIDDEN_ALL || group->whole;
}

/* Pages that may come from elsewhere: all but the one of the last token, which is computed for its logits. */
static uint32_t shareable_pages(const llmc_sequence *sequence) {
    return wants_every_row(sequence->group) ? 0 : (sequence->n_tokens - 1) / PAGE_TOKENS;
}

static const char *reason_of(const llmc_sched *sched, const llmc_sequence *sequence) {
    uint32_t cached_pages = sequence->n_cached / PAGE_TOKENS;
    if (wants_every_row(sequence->group)) return "every row is computed afresh";
    if ((sequence->group->n_prompt - 1) / PAGE_TOKENS == 0) return "prompt shorter than a page";
    if (cached_pages == (sequence->group->n_prompt - 1) / PAGE_TOKENS) return NULL;
    if (sequence->branch > sequence->n_cached) return "no state was kept where earlier prompts end to be the same";
    if (cached_pages > 0) return "earlier prompts share only the beginning";
    if (!llmc_kv_prefix_cache_enabled(sched->kv)) return "cache disabled";
    return "no earlier prompt shares the first page";
}

/* n more pages, already in the table, came from elsewhere. What is found again after a preemption is no saving. */
static void count_shared(const llmc_sched *sched, llmc_sequence *sequence, uint32_t n) {
    sequence->n_pages += n;
    sequence->n_computed += n * PAGE_TOKENS;
    if (sequence->n_preempted > 0) return;
    sequence->n_cached += n * PAGE_TOKENS;
    sequence->cache_reason = reason_of(sched, sequence);
}

/* Pages [begin, end) of its table, which it took and does not use. */
static void give_back(llmc_sched *sched, const llmc_sequence *sequence, uint32_t begin, uint32_t end) {
    while (end > begin) llmc_kv_release(sched->kv, sequence->pages[--end]);
}

/* Of n_pages found pages those with which it can begin: they have a state and the rows of its window, as far as the model has
 * such. The others are given back. */
static uint32_t cut_prefix(llmc_sched *sched, llmc_sequence *sequence, uint32_t n_known, uint32_t n_pages) {
    for (uint32_t before = n_pages + 1; n_pages < before;) {
        before = n_pages;
        uint32_t n = llmc_sched_window_cut(sched, sequence, n_known, n_pages);
        give_back(sched, sequence, n, n_pages);
        n_pages = llmc_sched_state_cut(sched, sequence, n_known, n);
    }
    return n_pages;
}

static void take_shared(const llmc_sched *sched, llmc_sequence *sequence, uint32_t have, uint32_t n) {
    llmc_sched_window_extend(sched, sequence, have, have + n);
    count_shared(sched, sequence, n);
}

/* Fills the page table from the tree, then from another choice of the call. Returns the pages, which are retained. */
static uint32_t find_prefix(llmc_sched *sched, llmc_sequence *sequence, const llmc_sequence *donor) {
    uint32_t limit = shareable_pages(sequence);
    uint32_t n = llmc_kv_match(sched->kv, sequence->group->key, sequence->tokens, sequence->n_tokens, limit, sequence->pages);
    limit = donor ? min_u32(limit, min_u32(donor->n_computed, sequence->group->n_prompt) / PAGE_TOKENS) : 0;
    for (; n < limit; n++) {
        llmc_kv_retain(sched->kv, donor->pages[n]);
        sequence->pages[n] = donor->pages[n];
    }
    return cut_prefix(sched, sequence, 0, n);
}

/* Looks again before a chunk: another call may have published the same prompt since. */
static void extend_prefix(llmc_sched *sched, llmc_sequence *sequence) {
    uint32_t have = sequence->n_pages;
    if (sequence->n_computed != have * PAGE_TOKENS || shareable_pages(sequence) <= have) return;
    uint32_t n = llmc_kv_extend(sched->kv, sequence->group->key, sequence->tokens, sequence->n_tokens, have,
                                shareable_pages(sequence), sequence->pages);
    n = cut_prefix(sched, sequence, have, have + n) - have;
    if (n > 0 && !llmc_sched_state_extend(sched, sequence, have + n)) give_back(sched, sequence, have, have + n);
    else if (n > 0) take_shared(sched, sequence, have, n);
}

/* ---- Admission --------------------------------------------------------------------------------------------------------- */

/* Pages that the running sequences will still take for the tokens they have. */
static uint64_t pages_promised(const llmc_sched *sched) {
    uint64_t promised = 0;
    for (uint32_t i = 0; i < sched->n_running; i++) {
        const llmc_sequence *sequence = sched->running[i];
        uint32_t need = llmc_sched_pages_for(sequence->n_tokens);
        if (need > sequence->n_pages) promised += need - sequence->n_pages;
    }
    return promised;
}

/* One page more for each running sequence is left free: it will want it within 16 tokens. */
static int try_admit(llmc_sched *sched, llmc_sequence *sequence, const llmc_sequence *donor, uint64_t *promised) {
    uint64_t windows = llmc_sched_has_windows(sched) ? llmc_sched_windows_promised(sched) : 0;
    uint32_t n = find_prefix(sched, sequence, donor);
    uint32_t need = llmc_sched_pages_for(sequence->n_tokens) - n;
    int fits = sched->n_running == 0 || llmc_kv_available(sched->kv) >= *promised + need + sched->n_running;
    fits = fits && llmc_sched_window_fits(sched, sequence, n, windows);
    if (!fits || !llmc_sched_state_begin(sched, sequence, n)) {
        give_back(sched, sequence, 0, n);
        return 0;
    }
    llmc_sched_window_begin(sched, sequence, n);
    count_shared(sched, sequence, n);
    *promised += need;
    llmc_sched_start_running(sched, sequence);
    return 1;
}

/* The running choice that has computed most. */
static const llmc_sequence *find_donor(const llmc_group *group) {
    const llmc_sequence *donor = NULL;
    for (uint32_t i = 0; group->n_running > 0 && i < group->n_sequences; i++) {
        const llmc_sequence *sequence = &group->sequences[i];
        if (sequence->state != LLMC_SEQUENCE_RUNNING) continue;
        if (!donor || sequence->n_computed > donor->n_computed) donor = sequence;
    }
    return donor;
}

/* While one choice computes the prompt the others wait, to share its pages. */
static int must_wait(const llmc_sequence *donor) {
    return donor && !donor->group->all_logits && donor->n_computed < (donor->group->n_prompt - 1) / PAGE_TOKENS * PAGE_TOKENS;
}

/* Admits what it can of one group. Returns 0 if pages ran out, and nobody behind may pass. */
static int admit_group(llmc_sched *sched, llmc_group *group, int preempted, uint64_t *promised) {
    const llmc_sequence *donor = find_donor(group);
    for (uint32_t i = 0; i < group->n_sequences && sched->n_running < sched->options.max_sequences; i++) {
        llmc_sequence *sequence = &group->sequences[i];
        if (sequence->state != LLMC_SEQUENCE_WAITING || (sequence->n_preempted > 0) != preempted) continue;
        if (pending(sequence) == 0) continue;
        if (must_wait(donor)) return 1;
        if (!try_admit(sched, sequence, donor, promised)) return 0;
        if (!donor || sequence->n_computed > donor->n_computed) donor = sequence;
    }
    return 1;
}

/* Those that gave up their pages come first, then by rank. */
static void admit(llmc_sched *sched) {
    uint64_t promised = pages_promised(sched);
    for (int preempted = 1; preempted >= 0; preempted--) {
        for (llmc_group *group = sched->first; group; group = group->next) {
            if (sched->n_running == sched->options.max_sequences) return;
            if (group->n_waiting == 0 || group->expired) continue;
            if (!admit_group(sched, group, preempted, &promised)) return;
        }
    }
}

/* ---- Prompts ----------------------------------------------------------------------------------------------------------- */

static int wants_chunk(const llmc_sched *sched, const llmc_sequence *sequence) {
    return sequence->considered != sched->stamp && pending(sequence) > 0;
}

/* Rows of logits that a score may take: one is kept for each sequence that is still to come. */
static uint32_t outputs_left(const llmc_sched *sched) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < sched->n_running; i++) kept += wants_chunk(sched, sched->running[i]) != 0;
    return sched->options.max_outputs - sched->n_outputs - kept;
}

/* A whole prompt waits for a step that has room for it. Another chunk that does not complete the sequence ends with a page, if that does not cost half of it: pages become findable as
 * early as possible. */
static uint32_t chunk_size(const llmc_sched *sched, const llmc_sequence *sequence, uint32_t budget) {
    if (is_scored(sequence)) budget = min_u32(budget, outputs_left(sched));
    uint32_t left = pending(sequence);
    if (left <= budget) return left;
    if (sequence->group->whole) return 0;
    uint32_t over = (sequence->n_computed + budget) % PAGE_TOKENS;
    return over <= budget / 2 ? budget - over : budget;
}

static void place_chunk(llmc_sched *sched, llmc_sequence *sequence, uint32_t budget) {
    sequence->considered = sched->stamp;
    place(sched, sequence, llmc_sched_state_chunk(sched, sequence, chunk_size(sched, sequence, budget)));
}

static llmc_sequence *shortest_prompt(const llmc_sched *sched) {
    llmc_sequence *shortest = NULL;
    for (uint32_t i = 0; i < sched->n_running; i++) {
        llmc_sequence *sequence = sched->running[i];
        if (!wants_chunk(sched, sequence)) continue;
        if (!shortest || pending(sequence) < pending(shortest)) shortest = sequence;
    }
    return shortest;
}

static uint32_t budget_left(const llmc_sched *sched) {
    return sched->options.max_step_tokens - sched->n_tokens;
}

/* The first in rank gets half of the budget, or all that the others cannot use, so that no stream of short prompts can starve
 * a long one; the shortest get the rest, so that no long prompt makes them wait. */
static void place_prompts(llmc_sched *sched) {
    llmc_sequence *first = NULL;
    uint64_t others = 0;
    for (uint32_t i = 0; i < sched->n_running; i++) {
        llmc_sequence *sequence = sched->running[i];
        if (!wants_chunk(sched, sequence)) continue;
        extend_prefix(sched, sequence);
        if (first) {
            others += pending(sequence);
        } else {
            first = sequence;
        }
    }
    if (!first) return;
    uint32_t budget = budget_left(sched);
    uint32_t unused = others < budget ? budget - (uint32_t)others : 0;
    place_chunk(sched, first, first->group->whole ? budget : max_u32(budget - budget / 2, unused));
    while (budget_left(sched) > 0) {
        llmc_sequence *next = shortest_prompt(sched);
        if (!next) return;
        place_chunk(sched, next, budget_left(sched));
    }
}

/* ---- Drafts ------------------------------------------------------------------------------------------------------------ */

/* A decode, and not of the last but one token that the answer may have: nothing is computed after the last. */
static int may_draft(const llmc_step_item *item) {
    const llmc_sequence *sequence = item->sequence;
    return sequence->draft.longest > 0 && item->wants_logits == 1 && item->n_tokens == 1 &&
           sequence->n_tokens + 1 < sequence->group->max_tokens;
}

/* Rows behind the last known token for which there are pages; one more is taken only while every running sequence could have
 * its next, and nobody is preempted. */
static uint32_t draft_room(llmc_sched *sched, llmc_sequence *sequence, uint32_t n) {
    uint32_t need = llmc_sched_pages_for(sequence->n_tokens + n);
    int windows = llmc_sched_has_windows(sched);
    while (sequence->n_pages < need && llmc_kv_available(sched->kv) > sched->n_running &&
           (!windows || llmc_kv_windows_available(sched->kv) > sched->n_running)) {
        if (!acquire_page(sched, sequence)) break;
    }
    return min_u32(n, sequence->n_pages * PAGE_TOKENS - sequence->n_tokens);
}

/* Up to n drafts for an item that may have some; returns how many. */
static uint32_t place_draft(llmc_sched *sched, llmc_step_item *item, uint32_t n) {
    llmc_sequence *sequence = item->sequence;
    llmc_draft_learn(&sequence->draft, sequence->n_guessed, sequence->n_right);
    sequence->n_guessed = 0;
    n = min_u32(n, sequence->group->max_tokens - sequence->n_tokens - 1);
    n = llmc_draft_guess(&sequence->draft, sequence->tokens, sequence->n_tokens, n);
    if (n > 0) n = draft_room(sched, sequence, n);
    item->n_drafts = n;
    item->n_tokens += n;
    sched->n_tokens += n;
    sched->n_outputs += n;
    return n;
}

static uint32_t rows_for_drafts(const llmc_sched *sched) {
    uint32_t most = min_u32(LLMC_SCHED_DRAFT_ROWS, sched->options.max_step_tokens);
    if (sched->n_tokens >= most) return 0;
    return min_u32(most - sched->n_tokens, sched->options.max_outputs - sched->n_outputs);
}

static void place_drafts(llmc_sched *sched) {
    uint32_t rows = rows_for_drafts(sched);
    uint32_t n = 0;
    for (uint32_t i = 0; rows > 0 && i < sched->n_items; i++) n += may_draft(&sched->items[i]) != 0;
    for (uint32_t i = 0; n > 0 && i < sched->n_items; i++) {
        if (!may_draft(&sched->items[i])) continue;
        rows -= place_draft(sched, &sched->items[i], (rows + n - 1) / n);
        n--;
    }
}

/* ---- The step ---------------------------------------------------------------------------------------------------------- */

void llmc_sched_plan(llmc_sched *sched, int64_t now_ns, llmc_step *step) {
    if (now_ns > sched->now_ns) sched->now_ns = now_ns;
    llmc_sched_state_recover(sched);
    begin_zero_pages(sched);
    sched->stamp++;
    sched->n_items = 0;
    sched->n_tokens = 0;
    sched->n_outputs = 0;
    sched->hidden = 0;
    collect_expired(sched);
    place_decodes(sched);
    if (budget_left(sched) > 0) {
        admit(sched);
        place_prompts(sched);
    }
    place_drafts(sched);
    sched->committed = 0;
    *step = (llmc_step){.items = sched->items,
                        .n_items = sched->n_items,
                        .n_tokens = sched->n_tokens,
                        .n_outputs = sched->n_outputs,
                        .hidden = sched->hidden,
                        .zero_pages = sched->zero_pages,
                        .n_zero_pages = sched->n_zero_pages,
                        .zero_windows = sched->zero_windows,
                        .n_zero_windows = sched->n_zero_windows,
                        .state_copies = sched->state_copies,
                        .n_state_copies = sched->n_state_copies,
                        .expired = sched->expired,
                        .n_expired = sched->n_expired};
}
