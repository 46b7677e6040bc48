/* Memory from the application's allocator. A header before each block keeps its size, because the allocator is told it when
 * the block is resized or freed. */
#include "core/alloc.h"

#include <stdalign.h>
#include <stddef.h>
#include <string.h>

typedef struct block_header {
    alignas(max_align_t) size_t size; /* of the whole block, header included */
} block_header;

static void *user_part(block_header *header) {
    return header ? header + 1 : NULL;
}

static int product(size_t count, size_t size, size_t *result) {
    return !__builtin_mul_overflow(count, size, result);
}

static void *resize(const llmc_env *env, void *block, size_t size) {
    if (size > (size_t)PTRDIFF_MAX - sizeof(block_header)) return NULL;
    block_header *old = block ? (block_header *)block - 1 : NULL;
    size_t total = sizeof(block_header) + size;
    block_header *header = env->allocate(env->allocate_user, old, old ? old->size : 0, total);
    if (header) header->size = total;
    return user_part(header);
}

void *llmc_alloc(const llmc_env *env, size_t size) {
    return resize(env, NULL, size);
}

void *llmc_zalloc(const llmc_env *env, size_t size) {
    void *block = llmc_alloc(env, size);
    if (block) memset(block, 0, size);
    return block;
}

void *llmc_alloc_array(const llmc_env *env, size_t count, size_t size) {
    size_t total;
    return product(count, size, &total) ? llmc_alloc(env, total) : NULL;
}

void *llmc_zalloc_array(const llmc_env *env, size_t count, size_t size) {
    size_t total;
    return product(count, size, &total) ? llmc_zalloc(env, total) : NULL;
}

void *llmc_realloc_array(const llmc_env *env, void *block, size_t count, size_t size) {
    size_t total;
    return product(count, size, &total) ? resize(env, block, total) : NULL;
}

void llmc_free(const llmc_env *env, void *block) {
    if (!block) return;
    block_header *header = (block_header *)block - 1;
    env->allocate(env->allocate_user, header, header->size, 0);
}

char *llmc_strdup(const llmc_env *env, const char *text, size_t size) {
    if (size == SIZE_MAX) return NULL;
    char *copy = llmc_alloc(env, size + 1);
    if (!copy) return NULL;
    if (size) memcpy(copy, text, size);
    copy[size] = 0;
    return copy;
}

/* The address of the plain block stands just before the aligned one. */
void *llmc_alloc_aligned(const llmc_env *env, size_t size, size_t alignment) {
    if (alignment < alignof(max_align_t)) alignment = alignof(max_align_t);
    if (alignment > 4096 || (alignment & (alignment - 1)) || size > (size_t)PTRDIFF_MAX - 2 * 4096) return NULL;
    char *plain = llmc_alloc(env, size + alignment + sizeof(void *));
    if (!plain) return NULL;
    size_t lead = sizeof(void *);
    lead += (alignment - ((uintptr_t)plain + lead) % alignment) % alignment;
    memcpy(plain + lead - sizeof(void *), &plain, sizeof plain);
    return plain + lead;
}

void llmc_free_aligned(const llmc_env *env, void *block) {
    if (!block) return;
    char *plain;
    memcpy(&plain, (char *)block - sizeof(void *), sizeof plain);
    llmc_free(env, plain);
}

int llmc_grow(const llmc_env *env, void **block, size_t *capacity, size_t need, size_t size, size_t max) {
    if (need <= *capacity) return 1;
    if (need > max) return 0;
    size_t wanted = *capacity ? *capacity : 8;
    while (wanted < need) wanted = wanted > max / 2 ? max : wanted * 2;
    if (wanted > max) wanted = max;
    void *grown = llmc_realloc_array(env, *block, wanted, size);
    if (!grown) return 0;
    *block = grown;
    *capacity = wanted;
    return 1;
}
