/* Numbers from 0 on, for pages, states and windows alike: each is free, in use, or idle, which is to say that it still holds
 * something but may be taken away for something else, the least recently used first. */
#ifndef LLMC_KV_SLOTS_H
#define LLMC_KV_SLOTS_H

#include "core/env.h"

#define LLMC_KV_NONE UINT32_MAX /* no number */

typedef struct llmc_kv_link {
    uint32_t previous; /* idle: neighbours in order of use; next also links the free ones */
    uint32_t next;
} llmc_kv_link;

typedef struct llmc_kv_slots {
    llmc_kv_link *links; // (n)
    uint32_t n;
    uint32_t first_free;
    uint32_t n_free;
    uint32_t oldest; /* ends of the idle ones */
    uint32_t newest;
    uint32_t n_idle;
} llmc_kv_slots;

/* All n are free, the lowest first. 0 without memory; then slots is as llmc_kv_slots_free leaves it. */
int llmc_kv_slots_create(const llmc_env *env, uint32_t n, llmc_kv_slots *slots);
void llmc_kv_slots_free(const llmc_env *env, llmc_kv_slots *slots); /* one of zeros is fine */

/* From free to in use; there must be a free one. */
uint32_t llmc_kv_slot_pop(llmc_kv_slots *slots);
/* From in use to free. */
void llmc_kv_slot_push(llmc_kv_slots *slots, uint32_t number);
/* From in use to idle, as the most recently used, and back. */
void llmc_kv_slot_rest(llmc_kv_slots *slots, uint32_t number);
void llmc_kv_slot_wake(llmc_kv_slots *slots, uint32_t number);
/* Idle ones are in use again, all of them. */
void llmc_kv_slots_wake_all(llmc_kv_slots *slots);

#endif
