/* Arrays that end at a page that cannot be touched, so that a read or write past the end faults; and random floats. */
#ifndef TESTS_GUARDED_H
#define TESTS_GUARDED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

typedef struct guarded {
    void *data; /* size bytes, the last one right before the guard page */
    void *map;
    size_t map_bytes;
} guarded;

static inline guarded guarded_make(size_t size) {
    guarded g = {.map_bytes = (size + 4095) / 4096 * 4096 + 4096};
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (g.map == MAP_FAILED) return (guarded){0};
    uint8_t *end = (uint8_t *)g.map + g.map_bytes - 4096;
    if (mprotect(end, 4096, PROT_NONE) != 0) return (guarded){0};
    g.data = end - size;
    return g;
}

static inline void guarded_free(guarded *g) {
    if (g->map) munmap(g->map, g->map_bytes);
    *g = (guarded){0};
}

static inline uint32_t random_u32(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

static inline float random_unit(uint64_t *state) {
    return (float)(int32_t)random_u32(state) * 0x1p-31f;
} /* [-1, 1) */

static inline void random_fill(uint64_t *state, float *x, size_t n, float scale) {
    for (size_t i = 0; i < n; i++) x[i] = random_unit(state) * scale;
}

#endif
