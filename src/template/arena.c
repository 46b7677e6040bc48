/* The bump allocator behind compiled templates and renders: blocks in a list, newest first. */
#include "template/arena.h"

#include <stdint.h>
#include <string.h>

#define BLOCK_SIZE ((size_t)32 << 10)
#define ALIGNMENT  ((size_t)16)

struct llmc_arena_block {
    llmc_arena_block *older;
    size_t size; /* of data */
    size_t used;
    size_t padding;
    char data[];
};

void llmc_arena_init(llmc_arena *arena, const llmc_env *env, size_t max, uint64_t max_work) {
    *arena = (llmc_arena){.env = env, .max = max, .max_work = max_work};
}

static void drop_newest(llmc_arena *arena) {
    llmc_arena_block *block = arena->block;
    arena->block = block->older;
    arena->held -= sizeof *block + block->size;
    llmc_free(arena->env, block);
}

void llmc_arena_free(llmc_arena *arena) {
    while (arena->block) drop_newest(arena);
}

int llmc_arena_work(llmc_arena *arena, uint64_t units) {
    if (arena->status != LLMCALL_OK) return 0;
    if (units > arena->max_work - arena->work) {
        arena->status = LLMCALL_E_DEADLINE;
        return 0;
    }
    arena->work += units;
    return 1;
}

int llmc_arena_charge(llmc_arena *arena, size_t size) {
    if (arena->status != LLMCALL_OK) return 0;
    if (size > arena->max - arena->held) {
        arena->status = LLMCALL_E_BUFFER;
        return 0;
    }
    arena->held += size;
    return 1;
}

void llmc_arena_discharge(llmc_arena *arena, size_t size) {
    arena->held -= size;
}

/* Big texts get half as much again, so that appending to them can go on in place. Fresh memory is work: the system zeroes it. */
static int add_block(llmc_arena *arena, size_t need) {
    size_t wanted = need > BLOCK_SIZE / 4 ? need + need / 2 + BLOCK_SIZE / 4 : BLOCK_SIZE;
    size_t left = arena->max - arena->held;
    if (wanted + sizeof(llmc_arena_block) > left && need + sizeof(llmc_arena_block) <= left) wanted = need;
    if (!llmc_arena_work(arena, wanted / 32) || !llmc_arena_charge(arena, wanted + sizeof(llmc_arena_block))) return 0;
    llmc_arena_block *block = llmc_alloc(arena->env, wanted + sizeof *block);
    if (!block) {
        arena->held -= wanted + sizeof *block;
        arena->status = LLMCALL_E_NO_MEMORY;
        return 0;
    }
    *block = (llmc_arena_block){.older = arena->block, .size = wanted};
    arena->block = block;
    return 1;
}

static char *take(llmc_arena *arena, size_t size, size_t alignment) {
    if (arena->status != LLMCALL_OK) return NULL;
    if (size > arena->max) {
        arena->status = LLMCALL_E_BUFFER;
        return NULL;
    }
    llmc_arena_block *block = arena->block;
    size_t start = block ? (block->used + alignment - 1) / alignment * alignment : 0;
    if (!block || start > block->size || size > block->size - start) {
        if (!add_block(arena, size)) return NULL;
        block = arena->block;
        start = 0;
    }
    block->used = start + size;
    return block->data + start;
}

void *llmc_arena_alloc(llmc_arena *arena, size_t size) {
    return take(arena, size, ALIGNMENT);
}

void *llmc_arena_array(llmc_arena *arena, size_t count, size_t size) {
    if (count > arena->max / size) {
        if (arena->status == LLMCALL_OK) arena->status = LLMCALL_E_BUFFER;
        return NULL;
    }
    return take(arena, count * size, ALIGNMENT);
}

char *llmc_arena_text(llmc_arena *arena, size_t size) {
    return take(arena, size, 1);
}

int llmc_arena_extend(llmc_arena *arena, const char *end, size_t extra) {
    llmc_arena_block *block = arena->block;
    if (!block || end != block->data + block->used || extra > block->size - block->used) return 0;
    block->used += extra;
    return 1;
}

llmc_arena_mark llmc_arena_get_mark(const llmc_arena *arena) {
    return (llmc_arena_mark){arena->block, arena->block ? arena->block->used : 0};
}

void llmc_arena_release(llmc_arena *arena, llmc_arena_mark mark) {
    while (arena->block != mark.block) drop_newest(arena);
    if (arena->block) arena->block->used = mark.used;
}
