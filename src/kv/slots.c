/* Free numbers as a stack, idle ones as a list in order of use; both in one array of links. */
#include "kv/slots.h"

#include "core/alloc.h"

int llmc_kv_slots_create(const llmc_env *env, uint32_t n, llmc_kv_slots *slots) {
    *slots = (llmc_kv_slots){.links = llmc_zalloc_array(env, n, sizeof *slots->links), .first_free = LLMC_KV_NONE};
    if (!slots->links) return 0;
    slots->n = n;
    llmc_kv_slots_wake_all(slots);
    for (uint32_t i = n; i > 0; i--) llmc_kv_slot_push(slots, i - 1);
    return 1;
}

void llmc_kv_slots_free(const llmc_env *env, llmc_kv_slots *slots) {
    llmc_free(env, slots->links);
    *slots = (llmc_kv_slots){0};
}

uint32_t llmc_kv_slot_pop(llmc_kv_slots *slots) {
    uint32_t number = slots->first_free;
    slots->first_free = slots->links[number].next;
    slots->n_free--;
    return number;
}

void llmc_kv_slot_push(llmc_kv_slots *slots, uint32_t number) {
    slots->links[number].next = slots->first_free;
    slots->first_free = number;
    slots->n_free++;
}

void llmc_kv_slot_rest(llmc_kv_slots *slots, uint32_t number) {
    llmc_kv_link *link = &slots->links[number];
    *link = (llmc_kv_link){.previous = slots->newest, .next = LLMC_KV_NONE};
    if (link->previous == LLMC_KV_NONE) slots->oldest = number;
    else slots->links[link->previous].next = number;
    slots->newest = number;
    slots->n_idle++;
}

void llmc_kv_slot_wake(llmc_kv_slots *slots, uint32_t number) {
    const llmc_kv_link *link = &slots->links[number];
    if (link->previous == LLMC_KV_NONE) slots->oldest = link->next;
    else slots->links[link->previous].next = link->next;
    if (link->next == LLMC_KV_NONE) slots->newest = link->previous;
    else slots->links[link->next].previous = link->previous;
    slots->n_idle--;
}

void llmc_kv_slots_wake_all(llmc_kv_slots *slots) {
    slots->oldest = slots->newest = LLMC_KV_NONE;
    slots->n_idle = 0;
}
