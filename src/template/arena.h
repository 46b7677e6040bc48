/* A bounded bump allocator: the memory of one compiled template or of one render, freed all at once. */
#ifndef LLMC_TEMPLATE_ARENA_H
#define LLMC_TEMPLATE_ARENA_H

#include "core/alloc.h"

typedef struct llmc_arena_block llmc_arena_block;

typedef struct llmc_arena {
    const llmc_env *env;
    llmc_arena_block *block; /* the newest */
    size_t held;             /* bytes of all blocks, and what was charged */
    size_t max;
    llmcall_status status; /* LLMCALL_OK, LLMCALL_E_NO_MEMORY, or LLMCALL_E_BUFFER when max was reached */
} llmc_arena;

typedef struct llmc_arena_mark {
    llmc_arena_block *block;
    size_t used;
} llmc_arena_mark;

void llmc_arena_init(llmc_arena *arena, const llmc_env *env, size_t max);
void llmc_arena_free(llmc_arena *arena);
void *llmc_arena_alloc(llmc_arena *arena, size_t size);               /* aligned to 16; NULL with status set */
void *llmc_arena_array(llmc_arena *arena, size_t count, size_t size); /* product checked */
char *llmc_arena_text(llmc_arena *arena, size_t size);                /* not aligned, so that it can be extended */
int llmc_arena_extend(llmc_arena *arena, const char *end,
                      size_t extra);                   /* 1 if the newest text ended there and grew in place */
int llmc_arena_charge(llmc_arena *arena, size_t size); /* counts memory held elsewhere; 0 with status set */
void llmc_arena_discharge(llmc_arena *arena, size_t size);
llmc_arena_mark llmc_arena_get_mark(const llmc_arena *arena);
void llmc_arena_release(llmc_arena *arena, llmc_arena_mark mark); /* frees everything allocated since */

#endif
