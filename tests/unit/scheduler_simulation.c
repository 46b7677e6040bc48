/* The scheduler, driven for thousands of steps with a fake model whose KV rows are hashes of all tokens so far, and whose state,
 * if it has one, is the last of them: whatever the steps, every sequence must find exactly its own prefix in its pages and its
 * own state in its slot, and make the same tokens as if it ran alone. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_alloc.h"
#include "scheduler/scheduler.h"

enum { T = LLMC_KV_PAGE_TOKENS, MAX_PAGES = 512, MAX_CALLS = 64, MAX_CONTEXT = 400, MAX_CHOICES = 5, MAX_STATES = 64 };

typedef struct scenario {
    const char *name;
    uint64_t seed;
    uint32_t n_pages, max_step_tokens, max_sequences, max_queue;
    int cache, steps;
    uint32_t max_prompt, max_new, max_choices;
    uint32_t arrivals; /* of 100 steps, those in which a call comes */
    int cancels, deadlines, failures;
    uint32_t max_outputs;
    uint32_t wait_limit;        /* steps in which every call must end; 0: not checked */
    uint32_t max_draft;         /* of half of the calls */
    uint32_t n_states;          /* 0: a model without */
    uint32_t embeds;            /* of 10 calls, those that want hidden rows */
    int whole;                  /* every prompt in one step, then all of them are such */
    uint32_t window, n_windows; /* positions, and slots; 0: a model without */
} scenario;

typedef struct call {
    llmc_group *group; /* NULL: the slot is empty */
    uint32_t n_choices, max_new, n_prompt;
    int32_t prompt[2 * MAX_CONTEXT]; /* some are too long */
    uint8_t scored[MAX_CHOICES][MAX_CONTEXT];
    int first_step;
} call;

typedef struct world {
    const scenario *s;
    failing_alloc allocations;
    llmc_env env;
    llmc_kv *kv;
    llmc_sched *sched;
    call calls[MAX_CALLS];
    uint64_t rows[MAX_PAGES][T];  /* 0: zeroed */
    uint64_t row_salt[MAX_PAGES]; /* of the rows in the page; 0: zeroed */
    uint64_t slots[MAX_STATES];   /* 0: nobody knows what is in there */
    uint64_t window_rows[MAX_PAGES][T];
    uint64_t window_salt[MAX_PAGES];
    uint64_t random;
    int64_t now_ns;
    int step;
    uint64_t finished, computed, refused, shared, expired, drafted, right;
} world;

static world w;

static uint32_t random_below(uint32_t n) {
    w.random = w.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(w.random >> 33) % n;
}

/* ---- The fake model ----------------------------------------------------------------------------------------------------- */

/* Row of a token, from the row before it: depends on all tokens so far and on the adapter, and never is 0. */
static uint64_t next_row(const llmc_sequence *sequence, uint64_t row, int32_t token) {
    row = (row ^ (uint64_t)(uint32_t)token ^ sequence->group->key.adapter << 40) * UINT64_C(0x9E3779B97F4A7C15);
    return (row ^ (row >> 31)) | 1;
}

static int32_t sample(uint64_t row, uint32_t choice) {
    return (int32_t)((row >> 7) + choice * 3) % 5;
}

static uint64_t *row_at(const llmc_sequence *sequence, uint32_t position) {
    assert_true(position / T < sequence->n_pages);
    return &w.rows[sequence->pages[position / T]][position % T];
}

/* Every row before `end` is there and right; returns the last. */
static uint64_t check_rows(const llmc_sequence *sequence, uint32_t end) {
    uint64_t row = 1;
    for (uint32_t i = 0; i < end; i++) {
        row = next_row(sequence, row, sequence->tokens[i]);
        if (*row_at(sequence, i) != row) fail_msg("%s: step %d: wrong row at position %u", w.s->name, w.step, i);
    }
    return row;
}

static void write_row(const llmc_sequence *sequence, uint32_t position, uint64_t row) {
    uint32_t page = sequence->pages[position / T];
    uint64_t salt = sequence->group->key.salt;
    assert_int_equal(llmc_kv_references(w.kv, page), 1);
    assert_false(llmc_kv_published(w.kv, page));
    assert_true(w.row_salt[page] == 0 || w.row_salt[page] == salt);
    w.row_salt[page] = salt;
    *row_at(sequence, position) = row;
}

/* The rows that layers with a window see at a position: from the beginning of the group of 64 in which the window begins. */
static void check_window(const llmc_sequence *sequence, uint32_t position) {
    uint32_t begin = position < w.s->window ? 0 : (position + 1 - w.s->window) / 64 * 64;
    uint64_t row = 1;
    for (uint32_t i = 0; i < position; i++) {
        row = next_row(sequence, row, sequence->tokens[i]);
        uint32_t slot = sequence->window_slots[i / T];
        if (i >= begin && (slot >= w.s->n_windows || w.window_rows[slot][i % T] != row)) {
            fail_msg("%s: step %d: wrong row of a window at position %u of %u", w.s->name, w.step, i, position);
        }
    }
}

static void write_window_row(const llmc_sequence *sequence, uint32_t position, uint64_t row) {
    uint32_t slot = sequence->window_slots[position / T];
    uint64_t salt = sequence->group->key.salt;
    assert_true(slot < w.s->n_windows);
    assert_true(w.window_salt[slot] == 0 || w.window_salt[slot] == salt);
    w.window_salt[slot] = salt;
    w.window_rows[slot][position % T] = row;
}

/* From the state before the token to that after it. */
static void compute_state(const llmc_step_item *item, uint32_t position, uint64_t row) {
    if (w.s->n_states == 0) return;
    uint64_t *slot = &w.slots[item->sequence->state_slot];
    *slot = next_row(item->sequence, *slot, item->sequence->tokens[position]);
    if (*slot != row) fail_msg("%s: step %d: wrong state at position %u", w.s->name, w.step, position);
    if (item->snapshot_after == position + 1 - item->start) w.slots[item->snapshot] = *slot;
}

static void copy_states(const llmc_step *step) {
    for (uint32_t i = 0; i < step->n_state_copies; i++) {
        llmc_state_copy copy = step->state_copies[i];
        assert_true(copy.dst < w.s->n_states && copy.dst != copy.src);
        w.slots[copy.dst] = copy.src == LLMC_SCHED_STATE_ZERO ? 1 : w.slots[copy.src];
    }
}

static void compute(const llmc_step_item *item) {
    const llmc_sequence *sequence = item->sequence;
    call *c = sequence->group->user;
    uint64_t row = check_rows(sequence, item->start);
    if (w.s->n_windows > 0) check_window(sequence, item->start);
    for (uint32_t p = item->start; p < item->start + item->n_tokens; p++) {
        row = next_row(sequence, row, sequence->tokens[p]);
        write_row(sequence, p, row);
        if (w.s->n_windows > 0) write_window_row(sequence, p, row);
        compute_state(item, p, row);
        int last = p + 1 == sequence->n_tokens;
        if (item->wants_logits == 2 || item->wants_hidden == LLMC_HIDDEN_ALL || (item->wants_hidden && last))
            c->scored[sequence->choice][p] = 1;
    }
    w.computed += item->n_tokens;
    w.drafted += item->n_drafts;
}

/* ---- Checks ------------------------------------------------------------------------------------------------------------- */

static void check_item(const llmc_step_item *item) {
    const llmc_sequence *sequence = item->sequence;
    assert_int_equal(sequence->state, LLMC_SEQUENCE_RUNNING);
    assert_int_equal(item->start, sequence->n_computed);
    assert_true(item->n_tokens > 0);
    assert_true(item->start + item->n_tokens <= sequence->n_tokens + item->n_drafts);
    assert_true(sequence->group->admitted_ns >= sequence->group->arrival_ns);
    if (w.s->n_states > 0) assert_true(sequence->state_slot < w.s->n_states && item->n_drafts == 0);
    if (item->snapshot_after) {
        assert_true(item->snapshot < w.s->n_states && item->snapshot_after <= item->n_tokens);
        assert_int_equal((item->start + item->snapshot_after) % T, 0);
    }
    int complete = item->start + item->n_tokens == sequence->n_tokens + item->n_drafts;
    if (item->n_drafts > 0) {
        assert_int_equal(item->wants_logits, 1);
        assert_int_equal(item->n_tokens, 1 + item->n_drafts);
        assert_true(sequence->n_tokens + item->n_drafts < sequence->group->max_tokens);
        assert_true(item->n_drafts <= w.s->max_draft);
    }
    if (sequence->group->whole) assert_true(item->start == 0 && item->n_tokens == sequence->n_tokens);
    if (sequence->group->hidden) {
        assert_int_equal(item->wants_logits, 0);
        assert_int_equal(item->wants_hidden,
                         sequence->group->hidden == LLMC_HIDDEN_ALL || complete ? sequence->group->hidden : 0);
        return;
    }
    assert_int_equal(item->wants_hidden, LLMC_HIDDEN_NONE);
    assert_int_equal(item->wants_logits, sequence->group->all_logits && item->start < sequence->group->n_prompt ? 2 : complete);
}

static void check_step(const llmc_step *step) {
    uint32_t n = 0, n_outputs = 0, n_drafts = 0;
    for (uint32_t i = 0; i < step->n_items; i++) {
        check_item(&step->items[i]);
        n_outputs += step->items[i].wants_logits == 2 ? step->items[i].n_tokens : (uint32_t)step->items[i].wants_logits;
        n_outputs += step->items[i].n_drafts;
        n_drafts += step->items[i].n_drafts;
        n += step->items[i].n_tokens;
        for (uint32_t j = 0; j < i; j++) assert_ptr_not_equal(step->items[i].sequence, step->items[j].sequence);
    }
    assert_int_equal(n, step->n_tokens);
    assert_int_equal(n_outputs, step->n_outputs);
    assert_true(n <= w.s->max_step_tokens);
    assert_true(n_drafts == 0 || n <= LLMC_SCHED_DRAFT_ROWS);
    assert_true(w.s->max_outputs == 0 || n_outputs <= w.s->max_outputs);
    assert_true(step->n_items <= w.s->max_sequences);
    if (n == 0 && step->n_expired == 0) assert_true(llmc_sched_idle(w.sched));
}

static int decodes(const llmc_sequence *sequence) {
    return sequence->state == LLMC_SEQUENCE_RUNNING && sequence->n_tokens - sequence->n_computed == 1;
}

/* With pages for all, a running decode is in every step. */
static void check_decodes(const llmc_sequence *const *before, uint32_t n, const llmc_step *step) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < step->n_items; k++) found += step->items[k].sequence == before[i];
    }
    assert_int_equal(found, n);
}

static uint32_t collect_decodes(const llmc_sequence **out) {
    uint32_t n = 0;
    for (int i = 0; i < MAX_CALLS; i++) {
        const llmc_group *group = w.calls[i].group;
        for (uint32_t k = 0; group && k < group->n_sequences; k++) {
            if (decodes(&group->sequences[k])) out[n++] = &group->sequences[k];
        }
    }
    return n;
}

/* The references that the page tables add up to are those that the cache counts. */
static void check_references(void) {
    uint32_t references[MAX_PAGES] = {0}, used = 0, n_used, held = 0;
    uint8_t in_slot[MAX_STATES] = {0};
    for (int i = 0; i < MAX_CALLS; i++) {
        const llmc_group *group = w.calls[i].group;
        for (uint32_t k = 0; group && k < group->n_sequences; k++) {
            const llmc_sequence *sequence = &group->sequences[k];
            if (sequence->state != LLMC_SEQUENCE_RUNNING) assert_int_equal(sequence->n_pages, 0);
            else if (w.s->n_states > 0 && ++held) assert_int_equal(in_slot[sequence->state_slot]++, 0);
            for (uint32_t p = 0; p < sequence->n_pages; p++) references[sequence->pages[p]]++;
        }
    }
    for (uint32_t i = 0; i < w.s->n_pages; i++) {
        assert_int_equal(references[i], llmc_kv_references(w.kv, i));
        used += references[i] > 0;
    }
    llmc_kv_stats(w.kv, NULL, &n_used, NULL);
    assert_true(n_used >= used);
    assert_int_equal(llmc_kv_states_free(w.kv) + llmc_kv_states_kept(w.kv) + held, w.s->n_states);
}

/* What the call's choice makes when it runs alone. */
static void check_tokens(const call *c, uint32_t choice) {
    const llmc_sequence *sequence = &c->group->sequences[choice];
    uint64_t row = 1;
    for (uint32_t i = 0; i < sequence->n_tokens; i++) {
        int32_t expected = i < c->n_prompt ? c->prompt[i] : sample(row, choice);
        assert_int_equal(sequence->tokens[i], expected);
        row = next_row(sequence, row, expected);
    }
    if (sequence->group->hidden == LLMC_HIDDEN_LAST && !w.s->cancels && !w.s->deadlines)
        assert_true(c->scored[choice][c->n_prompt - 1]);
    if (sequence->group->hidden != LLMC_HIDDEN_LAST) assert_true(!sequence->group->hidden || sequence->n_cached == 0);
    if ((sequence->group->all_logits || sequence->group->hidden == LLMC_HIDDEN_ALL) && !w.s->cancels && !w.s->deadlines) {
        for (uint32_t i = 0; i < c->n_prompt; i++) assert_true(c->scored[choice][i]);
    }
}

/* ---- The engine's part -------------------------------------------------------------------------------------------------- */

static void end_call(call *c) {
    for (uint32_t i = 0; i < c->n_choices; i++) {
        check_tokens(c, i);
        w.shared += c->group->sequences[i].n_cached;
    }
    if (w.s->wait_limit > 0 && w.step - c->first_step > (int)w.s->wait_limit) {
        fail_msg("%s: a call took %d steps", w.s->name, w.step - c->first_step);
    }
    llmc_sched_remove(w.sched, &c->group);
    assert_null(c->group);
    w.finished++;
}

/* Some prompts begin as others do, some are copies, some are their own. */
static void make_prompt(call *c) {
    c->n_prompt = 1 + random_below(w.s->max_prompt);
    uint32_t family = random_below(4), common = random_below(c->n_prompt + 1);
    if (random_below(3) == 0) common = c->n_prompt;
    for (uint32_t i = 0; i < c->n_prompt; i++) {
        c->prompt[i] = i < common ? (int32_t)(family * 100 + i % 7) : (int32_t)random_below(5);
    }
}

static void arrive(void) {
    int i = 0;
    while (i < MAX_CALLS && w.calls[i].group) i++;
    if (i == MAX_CALLS) return;
    call *c = &w.calls[i];
    memset(c, 0, sizeof *c);
    make_prompt(c);
    int score = random_below(10) == 0, embed = w.s->whole || (w.s->embeds && random_below(10) < w.s->embeds);
    c->n_choices = random_below(3) || embed ? 1 : 1 + random_below(w.s->max_choices);
    c->max_new = score || embed ? 0 : 1 + random_below(w.s->max_new);
    c->first_step = w.step;
    llmc_sched_request request = {.user = c,
                                  .tokens = c->prompt,
                                  .n_tokens = c->n_prompt,
                                  .n_choices = c->n_choices,
                                  .max_new_tokens = c->max_new,
                                  .priority = (int32_t)random_below(5) - 2,
                                  .arrival_ns = w.now_ns,
                                  .salt = 1 + random_below(2),
                                  .adapter = random_below(2),
                                  .all_logits = score && !embed,
                                  .hidden = embed ? LLMC_HIDDEN_LAST + (int)random_below(2) : LLMC_HIDDEN_NONE,
                                  .whole = w.s->whole,
                                  .max_draft = w.s->max_draft * (c->n_prompt % 2)};
    if (w.s->deadlines && random_below(4) == 0) request.deadline_ns = w.now_ns + 1 + (int64_t)random_below(300) * 1000000;
    llmcall_error error;
    llmcall_init(&error, sizeof error);
    llmcall_status status = llmc_sched_submit(w.sched, &request, &c->group, &error);
    if (status == LLMCALL_OK) return;
    assert_null(c->group);
    w.refused++;
    if (status == LLMCALL_E_QUEUE_FULL) {
        assert_true(error.retry_after_ms > 0);
    } else {
        assert_true(c->n_prompt > w.s->n_pages * T || c->n_prompt >= MAX_CONTEXT ||
                    (w.s->whole && c->n_prompt > w.s->max_step_tokens));
    }
}

static void finish_expired(const llmc_step *step) {
    for (uint32_t i = 0; i < step->n_expired; i++) {
        call *c = step->expired[i]->user;
        assert_true(c->group->deadline_ns <= w.now_ns);
        for (uint32_t k = 0; k < c->n_choices; k++) assert_int_equal(c->group->sequences[k].n_pages, 0);
        end_call(c);
        w.expired++;
    }
}

static void zero_pages(const llmc_step *step) {
    for (uint32_t i = 0; i < step->n_zero_pages; i++) {
        uint32_t page = step->zero_pages[i];
        memset(w.rows[page], 0, sizeof w.rows[page]);
        w.row_salt[page] = 0;
    }
    for (uint32_t i = 0; i < step->n_zero_windows; i++) {
        memset(w.window_rows[step->zero_windows[i]], 0, sizeof w.window_rows[0]);
        w.window_salt[step->zero_windows[i]] = 0;
    }
}

/* One token from the row of the last known one, or of a draft that was right. */
static int append_sample(llmc_sequence *sequence, uint64_t row) {
    uint32_t n = sequence->n_tokens;
    int more = llmc_sched_append(w.sched, sequence, sample(row, sequence->choice));
    assert_int_equal(sequence->n_tokens, n + 1);
    assert_int_equal(sequence->n_computed, n);
    assert_int_equal(more, n + 1 < sequence->group->max_tokens);
    return more;
}

static void advance(const llmc_step_item *item) {
    llmc_sequence *sequence = item->sequence;
    call *c = sequence->group->user;
    if (sequence->n_computed < sequence->n_tokens) return;
    int more = 0;
    if (c->max_new > 0) {
        int32_t drafts[LLMC_DRAFT_MAX];
        memcpy(drafts, sequence->tokens + sequence->n_tokens, item->n_drafts * sizeof *drafts);
        uint64_t row = check_rows(sequence, sequence->n_computed);
        more = append_sample(sequence, row);
        for (uint32_t i = 0; i < item->n_drafts && sequence->tokens[sequence->n_tokens - 1] == drafts[i]; i++) {
            if (w.s->failures && random_below(10) == 0) break; /* rows that nobody reads */
            row = next_row(sequence, row, drafts[i]);
            assert_true(more);
            assert_true(*row_at(sequence, sequence->n_tokens - 1) == row);
            more = append_sample(sequence, row);
            w.right++;
        }
    } else {
        assert_int_equal(llmc_sched_append(w.sched, sequence, 0), 0);
    }
    if (!more) llmc_sched_finish_sequence(w.sched, sequence);
}

static void end_finished_calls(void) {
    for (int i = 0; i < MAX_CALLS; i++) {
        call *c = &w.calls[i];
        if (c->group && c->group->n_finished == c->n_choices) end_call(c);
    }
}

static void cancel_some(void) {
    call *c = &w.calls[random_below(MAX_CALLS)];
    if (!w.s->cancels || !c->group || random_below(8) > 0) return;
    if (random_below(2)) {
        end_call(c);
    } else {
        llmc_sequence *sequence = &c->group->sequences[random_below(c->n_choices)];
        llmc_sched_finish_sequence(w.sched, sequence);
        llmc_sched_finish_sequence(w.sched, sequence);
        assert_int_equal(llmc_sched_append(w.sched, sequence, 1), 0);
        end_finished_calls();
    }
}

/* One round; whether the device failed in it, before or after zeroing, is random. */
static void run_step(void) {
    llmc_step step;
    const llmc_sequence *running[MAX_CALLS * MAX_CHOICES];
    uint32_t n_running = collect_decodes(running);
    long allocations = w.allocations.count;
    w.now_ns += 10000000;
    llmc_sched_plan(w.sched, w.now_ns, &step);
    check_step(&step);
    if (w.s->wait_limit > 0) check_decodes(running, n_running, &step);
    finish_expired(&step);
    if (w.s->failures && random_below(20) == 0) {
        if (random_below(2)) zero_pages(&step), copy_states(&step);
        for (uint32_t i = 0; w.s->n_states > 0 && i < step.n_items; i++) w.slots[step.items[i].sequence->state_slot] = 0;
        return;
    }
    zero_pages(&step);
    copy_states(&step);
    for (uint32_t i = 0; i < step.n_items; i++) compute(&step.items[i]);
    llmc_sched_commit(w.sched, &step);
    llmc_sched_commit(w.sched, &step);
    for (uint32_t i = 0; i < step.n_items; i++) advance(&step.items[i]);
    check_references();
    end_finished_calls();
    cancel_some();
    assert_int_equal(w.allocations.count, allocations);
}

static void open_world(const scenario *s) {
    memset(&w, 0, sizeof w);
    w.s = s;
    w.random = s->seed;
    w.now_ns = 1000;
    failing_alloc_init(&w.allocations, &w.env);
    assert_int_equal(llmc_kv_create(&w.env, s->n_pages, s->cache, &w.kv, NULL), LLMCALL_OK);
    if (s->n_states > 0) assert_int_equal(llmc_kv_add_states(w.kv, s->n_states, NULL), LLMCALL_OK);
    if (s->n_windows > 0) assert_int_equal(llmc_kv_add_windows(w.kv, s->n_windows, NULL), LLMCALL_OK);
    llmc_sched_options options = {s->max_step_tokens, s->max_sequences, s->max_queue, MAX_CONTEXT, s->max_outputs, s->window};
    assert_int_equal(llmc_sched_create(&w.env, &options, w.kv, &w.sched, NULL), LLMCALL_OK);
}

static void close_world(void) {
    uint32_t used, waiting, running, sequences;
    llmc_kv_stats(w.kv, NULL, &used, NULL);
    llmc_sched_stats(w.sched, &waiting, &running, &sequences, NULL);
    assert_int_equal(used + waiting + running + sequences, 0);
    assert_int_equal(llmc_sched_next_deadline(w.sched), 0);
    llmc_sched_destroy(&w.sched);
    llmc_kv_destroy(&w.kv);
    assert_int_equal(w.allocations.live, 0);
}

/* What one sequence needs to get on. */
static uint32_t fewest_windows(uint32_t window, uint32_t n_pages) {
    uint32_t n = (window + 62) / T + 2;
    return n < n_pages ? n : n_pages;
}

static void run(const scenario *s) {
    uint64_t preemptions;
    open_world(s);
    for (w.step = 0; w.step < s->steps; w.step++) {
        if (random_below(100) < s->arrivals) arrive();
        run_step();
    }
    for (; !llmc_sched_idle(w.sched); w.step++) {
        assert_true(w.step < s->steps + 20000);
        run_step();
    }
    end_finished_calls();
    llmc_sched_stats(w.sched, NULL, NULL, NULL, &preemptions);
    print_message("%-18s %5llu calls %6llu tokens %6llu shared %4llu preempted %4llu refused %3llu expired %5llu/%llu drafts\n",
                  s->name, (unsigned long long)w.finished, (unsigned long long)w.computed, (unsigned long long)w.shared,
                  (unsigned long long)preemptions, (unsigned long long)w.refused, (unsigned long long)w.expired,
                  (unsigned long long)w.right, (unsigned long long)w.drafted);
    if (s->max_draft > 0 && s->n_states == 0 && s->max_step_tokens > 1 && s->wait_limit == 0 && s->steps > 1000)
        assert_true(w.right > 0);
    assert_true(w.finished > 10);
    close_world();
}

static const scenario scenarios[] = {
    {"ample", 1, 512, 64, 16, 32, 1, 3000, 150, 40, 4, 20, 0, 0, 0, 16, 400},
    {"few pages", 2, 26, 32, 12, 16, 1, 4000, 150, 100, 4, 15, 0, 0, 0, 0, 0},
    {"fewest pages", 3, 6, 16, 8, 8, 1, 4000, 96, 60, 3, 10, 0, 0, 0, 0, 0},
    {"one page", 4, 1, 8, 4, 8, 1, 1500, 16, 10, 3, 20, 0, 0, 0, 0, 0},
    {"cache off", 5, 30, 48, 12, 16, 0, 3000, 200, 60, 5, 15, 0, 0, 0, 0, 0},
    {"one token a step", 6, 40, 1, 4, 8, 1, 4000, 30, 10, 3, 10, 0, 0, 0, 0, 0},
    {"one sequence", 7, 40, 32, 1, 8, 1, 3000, 200, 20, 3, 10, 0, 0, 0, 0, 0},
    {"cancels", 8, 40, 32, 12, 16, 1, 4000, 150, 80, 5, 20, 1, 0, 0, 0, 0},
    {"deadlines", 9, 30, 32, 12, 16, 1, 4000, 150, 80, 5, 20, 1, 1, 0, 0, 0},
    {"failing device", 10, 24, 40, 12, 16, 1, 4000, 150, 60, 4, 20, 1, 1, 1, 0, 0},
    {"whole context", 11, 60, 128, 12, 16, 1, 3000, 420, 400, 2, 10, 0, 0, 0, 0, 0},
    {"slow prompts", 13, 14, 6, 5, 12, 1, 4000, 150, 100, 3, 10, 0, 0, 0, 0, 0},
    {"overload", 12, 40, 32, 8, 4, 1, 3000, 100, 40, 3, 100, 1, 1, 1, 0, 0},
    {"drafts", 21, 512, 64, 16, 32, 1, 3000, 150, 40, 4, 10, 0, 0, 0, 0, 400, 15},
    {"few pages drafts", 22, 26, 32, 12, 16, 1, 4000, 150, 100, 4, 15, 0, 0, 0, 0, 0, 15},
    {"one page drafts", 23, 1, 8, 4, 8, 1, 1500, 16, 10, 3, 20, 0, 0, 0, 0, 0, 4},
    {"one by one drafts", 24, 40, 32, 1, 8, 1, 3000, 200, 60, 3, 10, 0, 0, 0, 0, 0, 7},
    {"few rows drafts", 25, 40, 12, 4, 8, 1, 3000, 200, 60, 3, 10, 0, 0, 0, 6, 0, 15},
    {"failing drafts", 26, 24, 40, 12, 16, 1, 4000, 150, 60, 4, 20, 1, 1, 1, 0, 0, 15},
    {"embeds", 41, 512, 64, 16, 32, 1, 3000, 150, 40, 4, 20, 0, 0, 0, 16, 400, 0, 0, 5},
    {"few pages embeds", 42, 26, 32, 12, 16, 1, 4000, 150, 100, 4, 15, 1, 1, 1, 0, 0, 0, 0, 8},
    {"states embeds", 43, 26, 32, 12, 16, 1, 4000, 150, 100, 4, 15, 0, 0, 0, 0, 0, 0, 16, 5},
    {"whole", 44, 512, 128, 16, 32, 1, 3000, 128, 1, 1, 60, 0, 0, 0, 16, 100, 0, 0, 0, 1},
    {"few pages whole", 45, 9, 150, 16, 32, 1, 3000, 150, 1, 1, 50, 1, 1, 1, 0, 0, 0, 0, 0, 1},
    {"states", 31, 512, 64, 16, 32, 1, 3000, 150, 40, 4, 20, 0, 0, 0, 0, 400, 0, 64},
    {"few states", 32, 512, 64, 16, 32, 1, 3000, 150, 40, 4, 15, 0, 0, 0, 0, 0, 15, 5},
    {"one state", 33, 100, 64, 16, 32, 1, 3000, 150, 40, 4, 8, 0, 0, 0, 0, 0, 15, 1},
    {"few pages states", 34, 26, 32, 12, 16, 1, 4000, 150, 100, 4, 15, 1, 1, 0, 0, 0, 0, 20},
    {"cache off states", 35, 30, 48, 12, 16, 0, 3000, 200, 60, 5, 15, 1, 0, 0, 0, 0, 0, 16},
    {"token step states", 36, 40, 1, 4, 8, 1, 4000, 30, 10, 3, 10, 0, 0, 0, 0, 0, 0, 9},
    {"failing states", 37, 24, 40, 12, 16, 1, 4000, 150, 60, 4, 20, 1, 1, 1, 0, 0, 15, 17},
    {"context states", 38, 60, 128, 12, 16, 1, 3000, 420, 400, 2, 10, 0, 0, 0, 0, 0, 0, 13},
    {"windows", 41, 512, 64, 16, 32, 1, 3000, 150, 40, 4, 20, 0, 0, 0, 0, 400, 0, 0, 0, 0, 20, 512},
    {"few windows", 42, 512, 64, 16, 32, 1, 3000, 350, 40, 4, 10, 0, 0, 0, 0, 0, 15, 0, 0, 0, 20, 30},
    {"fewest windows", 43, 512, 64, 16, 32, 1, 3000, 350, 40, 4, 5, 0, 0, 0, 0, 0, 15, 0, 0, 0, 40, 8},
    {"one row window", 44, 60, 16, 12, 16, 1, 3000, 300, 80, 5, 10, 1, 0, 0, 0, 0, 4, 0, 0, 0, 1, 12},
    {"few pages windows", 45, 26, 32, 12, 16, 1, 4000, 250, 100, 4, 10, 1, 1, 0, 0, 0, 0, 0, 0, 0, 33, 14},
    {"cache off windows", 46, 30, 48, 12, 16, 0, 3000, 300, 60, 5, 10, 1, 0, 0, 0, 0, 0, 0, 0, 0, 64, 20},
    {"failing windows", 47, 40, 40, 12, 16, 1, 4000, 250, 60, 4, 20, 1, 1, 1, 0, 0, 15, 0, 0, 0, 17, 16},
    {"windows and states", 48, 80, 64, 12, 16, 1, 3000, 300, 60, 4, 10, 1, 0, 0, 0, 0, 0, 20, 0, 0, 30, 24},
};

static void test_scenarios(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) run(&scenarios[i]);
}

static void test_random_scenarios(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 60; i++) {
        w.random = 1000 + i;
        scenario s = {.name = "random", .seed = 100 + i, .steps = 600, .n_pages = 1 + random_below(60)};
        s.max_step_tokens = 1 + random_below(100);
        s.max_sequences = 1 + random_below(20);
        s.max_queue = 1 + random_below(20);
        s.cache = (int)random_below(4) > 0;
        s.max_prompt = 1 + random_below(200);
        s.max_new = 1 + random_below(100);
        s.max_choices = 1 + random_below(MAX_CHOICES);
        s.arrivals = 10 + random_below(90);
        s.cancels = 1;
        s.deadlines = (int)random_below(2);
        s.failures = (int)random_below(2);
        s.max_outputs = random_below(2) * (1 + random_below(20));
        s.max_draft = random_below(2) * (1 + random_below(LLMC_DRAFT_MAX));
        s.embeds = random_below(2) * random_below(11);
        if (i >= 20) s.n_states = 1 + random_below(MAX_STATES);
        if (i % 3 == 0) {
            s.window = 1 + random_below(150);
            s.n_windows = fewest_windows(s.window, s.n_pages) + random_below(30);
        }
        run(&s);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scenarios),
        cmocka_unit_test(test_random_scenarios),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
