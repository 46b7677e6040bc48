/* Selection without sorting: the value from which on something is kept, found by a heap (small k) or by radix buckets (large k,
 * nucleus), in linear time whatever the values. Ties are always for the lower index. */
#include "sampler/parts.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 16, HEAP_MAX = 256, BUCKETS = 2048 };

static int block_reaches(const float *values, float least) {
    int any = 0;
    for (int i = 0; i < BLOCK; i++) any |= values[i] >= least;
    return any;
}

/* ---- Heap: the least entry in front ---- */

static int is_less(llmc_sampler_entry a, llmc_sampler_entry b) {
    return a.value < b.value || (a.value == b.value && a.id > b.id);
}

static void sift_down(llmc_sampler_entry *heap, size_t n, size_t i) {
    llmc_sampler_entry entry = heap[i];
    for (size_t child = 2 * i + 1; child < n; child = 2 * i + 1) {
        if (child + 1 < n && is_less(heap[child + 1], heap[child])) child++;
        if (!is_less(heap[child], entry)) break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = entry;
}

size_t llmc_sampler_largest(const float *values, size_t n, size_t k, llmc_sampler_entry *entries) {
    if (k > n) k = n;
    if (k == 0) return 0;
    for (size_t i = 0; i < k; i++) entries[i] = (llmc_sampler_entry){values[i], (uint32_t)i};
    for (size_t i = k / 2; i-- > 0;) sift_down(entries, k, i);
    size_t i = k;
    while (i < n) {
        if (i + BLOCK <= n && !block_reaches(values + i, entries[0].value)) {
            i += BLOCK;
            continue;
        }
        size_t end = i + BLOCK < n ? i + BLOCK : n;
        for (; i < end; i++) {
            if (!(values[i] > entries[0].value)) continue; /* an equal one has the higher index */
            entries[0] = (llmc_sampler_entry){values[i], (uint32_t)i};
            sift_down(entries, k, 0);
        }
    }
    return k;
}

/* ---- Radix: three levels of 11, 11 and 10 bits of a key that orders like the float ---- */

static uint32_t key_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits & 0x80000000 ? ~bits : bits | 0x80000000;
}

static float value_of(uint32_t key) {
    uint32_t bits = key & 0x80000000 ? key & 0x7fffffff : ~key;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static const struct {
    int shift;
    uint32_t mask;
    uint32_t above; /* key bits that the levels before decided */
} levels[3] = {{21, 2047, 0}, {10, 2047, 0xffe00000}, {0, 1023, 0xfffffc00}};

/* The largest values whose amounts (1 each, or their masses) reach target, which their sum must. */
static llmc_sampler_threshold radix_select(const float *values, size_t n, uint64_t target, int by_mass) {
    uint64_t buckets[BUCKETS];
    uint32_t prefix = 0;
    for (int level = 0; level < 3; level++) {
        memset(buckets, 0, sizeof buckets);
        for (size_t i = 0; i < n; i++) {
            uint32_t key = key_of(values[i]);
            if ((key & levels[level].above) != prefix) continue;
            buckets[key >> levels[level].shift & levels[level].mask] += by_mass ? llmc_sampler_mass(values[i]) : 1;
        }
        uint32_t bucket = levels[level].mask;
        for (; bucket > 0 && buckets[bucket] < target; bucket--) target -= buckets[bucket];
        prefix |= bucket << levels[level].shift;
    }
    float value = value_of(prefix);
    uint64_t amount = by_mass ? llmc_sampler_mass(value) : 1;
    if (amount == 0) amount = 1;
    return (llmc_sampler_threshold){value, (size_t)((target + amount - 1) / amount)};
}

llmc_sampler_threshold llmc_sampler_top_k(const float *values, size_t n, size_t k) {
    if (k > HEAP_MAX) return radix_select(values, n, k, 0);
    llmc_sampler_entry heap[HEAP_MAX];
    heap[0].value = -INFINITY;
    k = llmc_sampler_largest(values, n, k, heap);
    llmc_sampler_threshold threshold = {heap[0].value, 0};
    for (size_t i = 0; i < k; i++) threshold.take += heap[i].value == threshold.value;
    return threshold;
}

llmc_sampler_threshold llmc_sampler_nucleus(const float *weights, size_t n, uint64_t target) {
    return radix_select(weights, n, target, 1);
}

size_t llmc_sampler_keep(float *values, uint32_t *ids, size_t n, int identity, llmc_sampler_threshold threshold) {
    size_t kept = 0;
    size_t i = 0;
    while (i < n) {
        if (i + BLOCK <= n && !block_reaches(values + i, threshold.value)) {
            i += BLOCK;
            continue;
        }
        size_t end = i + BLOCK < n ? i + BLOCK : n;
        for (; i < end; i++) {
            float value = values[i];
            if (!(value >= threshold.value)) continue;
            if (value == threshold.value && threshold.take-- == 0) {
                threshold.take = 0;
                continue;
            }
            ids[kept] = identity ? (uint32_t)i : ids[i];
            values[kept++] = value;
        }
    }
    return kept;
}
