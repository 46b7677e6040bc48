/* What a call used: its cost, its ids, its timeline (one span a stage), and the queue that delivers usage records until they
 * are accepted. */
#ifndef LLMC_METER_H
#define LLMC_METER_H

#include "core/alloc.h"
#include "core/error.h"

/* ---- Prices ---- */

typedef struct llmc_prices { /* 1e-9 of the currency per million tokens; negative counts as 0 */
    int64_t prompt;
    int64_t cached;
    int64_t completion;
} llmc_prices;

/* Fills the four cost fields. Each part is rounded half up on its own and their sum is cost_nano, exactly: where the sum
 * would pass INT64_MAX the later parts are cut. */
void llmc_meter_cost(const llmc_prices *prices, uint64_t prompt_uncached, uint64_t cached, uint64_t completion,
                     llmcall_usage_record *record);

/* ---- Ids; the strings are NUL-terminated ---- */

/* "call_" and 32 hex digits. 1, or 0 if the system's generator failed and time alone made it. */
int llmc_meter_call_id(char out[40]);
/* 32 lower-case hex digits, not all zero. The same result. */
int llmc_meter_trace_id(char out[40]);
/* Takes a given trace id over, in lower case: 1, or 0 (out is "") if it is not 32 hex digits or all zero. */
int llmc_meter_trace_id_parse(const char *text, size_t size, char out[40]);

/* ---- Timeline: a plain struct; its holder locks. Times given are the engine's clock; spans are relative to origin_ns ---- */

typedef struct llmc_timeline {
    int64_t origin_ns;
    int64_t opened_ns[LLMCALL_STAGE_COUNT];   /* of the stages that are open, by the engine's clock */
    unsigned char state[LLMCALL_STAGE_COUNT]; /* 0: never begun, 1: open, 2: ended */
    llmcall_span spans[LLMCALL_STAGE_COUNT];  /* of stage s: [s - 1] */
} llmc_timeline;

/* A stage out of range is ignored by all of these. A stage may be begun again: its span then reaches from the first begin to
 * the last end, and busy_ns counts only what lay between. */
void llmc_timeline_init(llmc_timeline *timeline, int64_t now_ns);
void llmc_timeline_begin(llmc_timeline *timeline, int32_t stage, int64_t now_ns);
void llmc_timeline_end(llmc_timeline *timeline, int32_t stage, int64_t now_ns); /* without begin: does nothing */
void llmc_timeline_add(llmc_timeline *timeline, int32_t stage, int64_t start_ns, int64_t end_ns, int64_t busy_ns);
void llmc_timeline_tokens(llmc_timeline *timeline, int32_t stage, int64_t tokens); /* sets */
/* The record's costs to their stages: prompt to prefill, cached to cache, completion to decode. */
void llmc_timeline_cost(llmc_timeline *timeline, const llmcall_usage_record *record);
/* NULL if the stage was never begun. */
const llmcall_span *llmc_timeline_span(const llmc_timeline *timeline, int32_t stage);
/* The spans there are, in stage order; an open one ends at now_ns. Returns how many, at most LLMCALL_STAGE_COUNT. */
size_t llmc_timeline_spans(const llmc_timeline *timeline, int64_t now_ns, llmcall_span out[LLMCALL_STAGE_COUNT]);

/* ---- Delivery of usage records ---- */

typedef llmcall_status (*llmc_usage_fn)(void *user, const llmcall_usage_record *record);
typedef struct llmc_ledger llmc_ledger;
typedef struct llmc_ledger_slot llmc_ledger_slot;

/* hook NULL: every record is accepted. max_slots: calls reserved or pending at once, 0: 65536. */
llmcall_status llmc_ledger_create(const llmc_env *env, llmc_usage_fn hook, void *user, uint64_t max_slots, llmc_ledger **out,
                                  llmcall_error *error);
/* Frees it with its pending records (each is written to the log: a bill is never lost without a trace). No other thread may
 * be in it; slots not put or released by then must not be used any more, and are freed too. */
void llmc_ledger_destroy(llmc_ledger **ledger);

/* Any thread: a place for the record of a call that starts, so that its delivery cannot fail for memory. E_NO_MEMORY, or
 * E_QUEUE_FULL when max_slots are out (the hook does not accept, and calls go on). */
llmcall_status llmc_ledger_reserve(llmc_ledger *ledger, llmc_ledger_slot **slot, llmcall_error *error);
void llmc_ledger_release(llmc_ledger *ledger, llmc_ledger_slot *slot); /* any thread: no record after all; NULL is fine */
/* Any thread: copies the record into its place and gives the slot up. It is due at once. NULL slot: does nothing. */
void llmc_ledger_put(llmc_ledger *ledger, llmc_ledger_slot *slot, const llmcall_usage_record *record);

/* One thread at a time: offers what is due, oldest first, with no lock held during the hook. A record that is not accepted
 * is due again after 100 ms, then twice as long each time up to 30 s; its attempt says how often. Returns the nanoseconds
 * until the next one is due, or -1 if none is pending. */
int64_t llmc_ledger_deliver(llmc_ledger *ledger, int64_t now_ns);
/* The same thread: offers everything pending once, due or not. Returns how many are still pending. */
uint64_t llmc_ledger_deliver_all(llmc_ledger *ledger, int64_t now_ns);
uint64_t llmc_ledger_pending(llmc_ledger *ledger); /* any thread */

#endif
