/* The queue of usage records that were not accepted yet. Calls reserve their place when they start; one delivery thread offers
 * records until the hook takes them. */
#include <inttypes.h>
#include <string.h>

#include "core/thread.h"
#include "meter/meter.h"

static const int64_t first_wait_ns = 100000000;     /* 100 ms */
static const int64_t longest_wait_ns = 30000000000; /* 30 s */
static const uint64_t default_slots = 65536;

struct llmc_ledger_slot {
    llmc_ledger_slot *previous;
    llmc_ledger_slot *next;
    int64_t due_ns;
    int64_t wait_ns; /* 0: not offered yet, due at once */
    llmcall_usage_record record;
};

typedef struct slot_list {
    llmc_ledger_slot *first;
    llmc_ledger_slot *last;
    uint64_t n;
} slot_list;

struct llmc_ledger {
    const llmc_env *env;
    llmc_usage_fn hook;
    void *user;
    uint64_t max_slots;
    llmc_mutex mutex; /* of everything below; never held while the hook runs */
    slot_list reserved;
    slot_list pending; /* in the order of put */
};

static void append(slot_list *list, llmc_ledger_slot *slot) {
    slot->previous = list->last;
    slot->next = NULL;
    if (list->last) list->last->next = slot;
    else list->first = slot;
    list->last = slot;
    list->n++;
}

static void take_out(slot_list *list, llmc_ledger_slot *slot) {
    if (slot->previous) slot->previous->next = slot->next;
    else list->first = slot->next;
    if (slot->next) slot->next->previous = slot->previous;
    else list->last = slot->previous;
    list->n--;
}

llmcall_status llmc_ledger_create(const llmc_env *env, llmc_usage_fn hook, void *user, uint64_t max_slots, llmc_ledger **out,
                                  llmcall_error *error) {
    *out = NULL;
    llmc_ledger *ledger = llmc_zalloc(env, sizeof *ledger);
    if (!ledger) return llmc_fail_memory(error, "usage ledger");
    if (!llmc_mutex_init(&ledger->mutex)) {
        llmc_free(env, ledger);
        return llmc_fail_memory(error, "lock of the usage ledger");
    }
    ledger->env = env;
    ledger->hook = hook ? hook : llmcall_default_usage;
    ledger->user = user;
    ledger->max_slots = max_slots ? max_slots : default_slots;
    *out = ledger;
    return LLMCALL_OK;
}

static void free_list(const llmc_env *env, slot_list *list) {
    for (llmc_ledger_slot *slot = list->first, *next; slot; slot = next) {
        next = slot->next;
        llmc_free(env, slot);
    }
}

void llmc_ledger_destroy(llmc_ledger **ledger_pointer) {
    if (!ledger_pointer || !*ledger_pointer) return;
    llmc_ledger *ledger = *ledger_pointer;
    const llmc_env *env = ledger->env;
    for (const llmc_ledger_slot *slot = ledger->pending.first; slot; slot = slot->next) {
        const llmcall_usage_record *record = &slot->record;
        llmc_log(env, LLMCALL_LOG_ERROR,
                 "usage never accepted: call %.39s tenant %.63s model %.63s adapter %.63s prompt %" PRIu64 " cached %" PRIu64
                 " completion %" PRIu64 " cost_nano %" PRId64,
                 record->call_id, record->tenant, record->model, record->adapter, record->prompt_tokens, record->cached_tokens,
                 record->completion_tokens, record->cost_nano);
    }
    free_list(env, &ledger->pending);
    free_list(env, &ledger->reserved);
    llmc_mutex_destroy(&ledger->mutex);
    llmc_free(env, ledger);
    *ledger_pointer = NULL;
}

llmcall_status llmc_ledger_reserve(llmc_ledger *ledger, llmc_ledger_slot **out, llmcall_error *error) {
    *out = NULL;
    llmc_ledger_slot *slot = llmc_zalloc(ledger->env, sizeof *slot);
    if (!slot) return llmc_fail_memory(error, "usage record");
    llmc_mutex_lock(&ledger->mutex);
    int full = ledger->reserved.n + ledger->pending.n >= ledger->max_slots;
    if (!full) append(&ledger->reserved, slot);
    uint64_t pending = ledger->pending.n;
    llmc_mutex_unlock(&ledger->mutex);
    if (!full) {
        *out = slot;
        return LLMCALL_OK;
    }
    llmc_free(ledger->env, slot);
    return llmc_fail(error, LLMCALL_E_QUEUE_FULL, "usage_backlog", NULL,
                     "%" PRIu64 " usage records wait to be accepted; no call is started that could not be billed", pending);
}

void llmc_ledger_release(llmc_ledger *ledger, llmc_ledger_slot *slot) {
    if (!slot) return;
    llmc_mutex_lock(&ledger->mutex);
    take_out(&ledger->reserved, slot);
    llmc_mutex_unlock(&ledger->mutex);
    llmc_free(ledger->env, slot);
}

void llmc_ledger_put(llmc_ledger *ledger, llmc_ledger_slot *slot, const llmcall_usage_record *record) {
    if (!slot) return;
    slot->record = *record;
    slot->record.attempt = 0;
    llmc_mutex_lock(&ledger->mutex);
    take_out(&ledger->reserved, slot);
    append(&ledger->pending, slot);
    llmc_mutex_unlock(&ledger->mutex);
}

/* ---- Delivery: a slot that is being offered stays in the list; only the delivery thread takes slots out of it ---- */

/* The first record from slot on that is due; all are if everything is set. */
static llmc_ledger_slot *next_due(llmc_ledger_slot *slot, int64_t now_ns, int everything) {
    while (slot && !everything && slot->wait_ns != 0 && slot->due_ns > now_ns) slot = slot->next;
    return slot;
}

static void postpone(llmc_ledger_slot *slot, int64_t now_ns) {
    slot->wait_ns = slot->wait_ns == 0 ? first_wait_ns : slot->wait_ns * 2;
    if (slot->wait_ns > longest_wait_ns) slot->wait_ns = longest_wait_ns;
    slot->due_ns = now_ns + slot->wait_ns;
}

/* Records that are put meanwhile come after the others and have their turn too. */
static void offer_all_due(llmc_ledger *ledger, int64_t now_ns, int everything) {
    llmc_mutex_lock(&ledger->mutex);
    llmc_ledger_slot *slot = next_due(ledger->pending.first, now_ns, everything);
    while (slot) {
        if (slot->record.attempt < INT32_MAX) slot->record.attempt++;
        llmc_mutex_unlock(&ledger->mutex);
        llmcall_status status = ledger->hook(ledger->user, &slot->record);
        llmc_mutex_lock(&ledger->mutex);
        llmc_ledger_slot *next = slot->next;
        if (status == LLMCALL_OK) {
            take_out(&ledger->pending, slot);
            llmc_free(ledger->env, slot);
        } else {
            postpone(slot, now_ns);
        }
        slot = next_due(next, now_ns, everything);
    }
    llmc_mutex_unlock(&ledger->mutex);
}

int64_t llmc_ledger_deliver(llmc_ledger *ledger, int64_t now_ns) {
    offer_all_due(ledger, now_ns, 0);
    int64_t wait_ns = -1;
    llmc_mutex_lock(&ledger->mutex);
    for (const llmc_ledger_slot *slot = ledger->pending.first; slot; slot = slot->next) {
        int64_t left = slot->wait_ns == 0 || slot->due_ns <= now_ns ? 0 : slot->due_ns - now_ns;
        if (wait_ns < 0 || left < wait_ns) wait_ns = left;
    }
    llmc_mutex_unlock(&ledger->mutex);
    return wait_ns;
}

uint64_t llmc_ledger_deliver_all(llmc_ledger *ledger, int64_t now_ns) {
    offer_all_due(ledger, now_ns, 1);
    return llmc_ledger_pending(ledger);
}

uint64_t llmc_ledger_pending(llmc_ledger *ledger) {
    llmc_mutex_lock(&ledger->mutex);
    uint64_t n = ledger->pending.n;
    llmc_mutex_unlock(&ledger->mutex);
    return n;
}
