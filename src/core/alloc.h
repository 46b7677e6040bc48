/* The library's only way to memory. Blocks carry their size, so that the application's allocator is told it when they are
 * freed. Every function returns NULL on failure and leaves its input untouched. */
#ifndef LLMC_ALLOC_H
#define LLMC_ALLOC_H

#include "core/env.h"

void *llmc_alloc(const llmc_env *env, size_t size);                      /* uninitialised; size 0 gives a valid block */
void *llmc_zalloc(const llmc_env *env, size_t size);                     /* zeroed */
void *llmc_alloc_array(const llmc_env *env, size_t count, size_t size);  /* uninitialised; product checked */
void *llmc_zalloc_array(const llmc_env *env, size_t count, size_t size); /* zeroed; product checked */
void *llmc_realloc_array(const llmc_env *env, void *block, size_t count, size_t size); /* block may be NULL */
void llmc_free(const llmc_env *env, void *block);                                      /* NULL is fine */
char *llmc_strdup(const llmc_env *env, const char *text, size_t size);                 /* NUL-terminated copy of size bytes */

/* Blocks whose address is a multiple of alignment (a power of two up to 4096). Freed by llmc_free_aligned only. */
void *llmc_alloc_aligned(const llmc_env *env, size_t size, size_t alignment);
void llmc_free_aligned(const llmc_env *env, void *block);

/* Doubles *capacity until it holds need elements of the given size, at most max. Returns false (nothing changed) if memory or
 * max does not allow it. */
int llmc_grow(const llmc_env *env, void **block, size_t *capacity, size_t need, size_t size, size_t max);

#endif
