/* A bounded bump allocator: the memory of one compiled template or of one render, freed all at once. It also counts the work
 * that a render may do, for what costs memory costs time, and what takes time has the arena at hand. */
#ifndef LLMC_TEMPLATE_ARENA_H
#define LLMC_TEMPLATE_ARENA_H

#include "core/alloc.h"

typedef struct llmc_arena_block llmc_arena_block;

typedef struct llmc_arena {
    const llmc_env *env;
    llmc_arena_block *block; /* the newest */
    size_t held;             /* bytes of all blocks, and what was charged */
    size_t max;
    uint64_t work, max_work; /* in units of about 5 ns: 16 bytes copied, a value appended */
    llmcall_status status;   /* LLMCALL_OK, _NO_MEMORY, _BUFFER when max was reached, or _DEADLINE when the work was */
} llmc_arena;

typedef struct llmc_arena_mark {
    llmc_arena_block *block;
    size_t used;
} llmc_arena_mark;

void llmc_arena_init(llmc_arena *arena, const llmc_env *env, size_t max, uint64_t max_work);
int llmc_arena_work(llmc_arena *arena, uint64_t units); /* 1, or 0 with status set when max_work is passed */
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
