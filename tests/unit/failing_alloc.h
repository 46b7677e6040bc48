/* A checking allocator for tests: fails allocation number fail_at (and, if for_ever, all after it), and counts live blocks. */
#ifndef FAILING_ALLOC_H
#define FAILING_ALLOC_H

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/env.h"

typedef struct failing_alloc {
    long fail_at;      /* 1-based; 0: never */
    int for_ever;      /* 1: everything after it fails too */
    atomic_long count; /* allocations (and growths) asked for */
    atomic_long live;  /* blocks not freed yet */
} failing_alloc;

static inline void *failing_allocate(void *user, void *old, size_t old_size, size_t new_size) {
    failing_alloc *f = user;
    (void)old_size;
    if (new_size == 0) {
        if (old) atomic_fetch_sub(&f->live, 1);
        free(old);
        return NULL;
    }
    long n = atomic_fetch_add(&f->count, 1) + 1;
    if (f->fail_at && (n == f->fail_at || (f->for_ever && n > f->fail_at))) return NULL;
    void *block = realloc(old, new_size);
    if (block && !old) atomic_fetch_add(&f->live, 1);
    return block;
}

static inline void failing_alloc_init(failing_alloc *f, llmc_env *env) {
    memset(f, 0, sizeof *f);
    llmc_env_init(env, NULL);
    env->allocate = failing_allocate;
    env->allocate_user = f;
}

#endif
