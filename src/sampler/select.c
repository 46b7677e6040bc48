/* Selection without sorting: the value from which on something is kept, found by a heap (small k) or by radix buckets (large k,
 * nucleus), in linear time whatever the values. Ties are always for the lower index. */
#include "sampler/parts.h"

#include <math.h>
#include <string.h>

enum { BLOCK = LLMC_SAMPLER_BLOCK, HEAP_MAX = 256, BUCKETS = 2048 };

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

static size_t block_end(size_t i, size_t n) {
    size_t end = (i / BLOCK + 1) * BLOCK;
    return end < n ? end : n;
}

size_t llmc_sampler_largest(const llmc_sampler_passes *passes, const float *values, size_t n, size_t k,
                            llmc_sampler_entry *entries) {
    if (k > n) k = n;
    if (k == 0) return 0;
    for (size_t i = 0; i < k; i++) entries[i] = (llmc_sampler_entry){values[i], (uint32_t)i};
    for (size_t i = k / 2; i-- > 0;) sift_down(entries, k, i);
    for (size_t i = k; i < n; i = passes->reach(values, n, i, entries[0].value)) {
        for (size_t end = block_end(i, n); i < end; i++) {
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
    uint64_t left = target;
    for (int level = 0; level < 3; level++) {
        memset(buckets, 0, sizeof buckets);
        for (size_t i = 0; i < n; i++) {
            uint32_t key = key_of(values[i]);
            if ((key & levels[level].above) != prefix) continue;
            buckets[key >> levels[level].shift & levels[level].mask] += by_mass ? llmc_sampler_mass(values[i]) : 1;
        }
        uint32_t bucket = levels[level].mask;
        for (; bucket > 0 && buckets[bucket] < left; bucket--) left -= buckets[bucket];
        prefix |= bucket << levels[level].shift;
    }
    float value = value_of(prefix);
    uint64_t amount = by_mass ? llmc_sampler_mass(value) : 1;
    if (amount == 0) amount = 1;
    uint64_t take = (left + amount - 1) / amount;
    return (llmc_sampler_threshold){value, (size_t)take, by_mass ? target - left + take * amount : 0};
}

llmc_sampler_threshold llmc_sampler_top_k(const llmc_sampler_passes *passes, const float *values, size_t n, size_t k) {
    if (k > HEAP_MAX) return radix_select(values, n, k, 0);
    llmc_sampler_entry heap[HEAP_MAX];
    heap[0].value = -INFINITY;
    k = llmc_sampler_largest(passes, values, n, k, heap);
    llmc_sampler_threshold threshold = {heap[0].value, 0, 0};
    for (size_t i = 0; i < k; i++) threshold.take += heap[i].value == threshold.value;
    return threshold;
}

/* ---- The nucleus of a row: a sample says about where it ends, exact sums say whether that is so ---- */

enum { SAMPLED_BLOCKS = 256, ROUNDS = 4, SMALL = 2048, LEVELS = LLMC_SAMPLER_LEVELS };

/* Positive floats order like their bits. least is known to lie below the nucleus's end and most above it; the true bounds of
 * what can be said lie between them and the second of each pair. */
typedef struct bracket {
    uint32_t least, least_end;
    uint32_t most, most_end;
} bracket;

static float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Of terms of at most level each that add up to sum, the square of the standard deviation is at most level * sum; five of them
 * are safe. A few terms more cover a sum that no sampled term is in. */
static int surely_less(float sum, float level, float want) {
    float gap = want - sum - 12.0f * level;
    return gap > 0.0f && gap * gap >= 25.0f * level * sum;
}

static int surely_more(float sum, float level, float want) {
    float gap = sum - want;
    return gap > 0.0f && gap * gap >= 25.0f * level * sum;
}

static void refine(bracket *b, const float at[LEVELS], const uint32_t bits[LEVELS], const float sums[LEVELS], float want) {
    for (int i = 0; i < LEVELS; i++) {
        if (bits[i] > b->least && bits[i] < b->least_end) {
            if (surely_less(sums[i], at[i], want)) b->least = bits[i];
            else b->least_end = bits[i];
        }
    }
    for (int i = 0; i < LEVELS; i++) { /* from below: far above the end, large terms make every sum uncertain */
        if (bits[i] > b->most_end && bits[i] < b->most) {
            if (surely_more(sums[i], at[i], want)) b->most = bits[i];
            else b->most_end = bits[i];
        }
    }
}

/* What lies below the nucleus has a mass of slack, or a little less. */
static bracket guess(const llmc_sampler_passes *passes, const float *weights, size_t n, uint64_t slack) {
    size_t n_blocks = n / BLOCK;
    size_t stride = (n_blocks + SAMPLED_BLOCKS - 1) / SAMPLED_BLOCKS;
    size_t sampled = (n_blocks + stride - 1) / stride;
    float want = (float)((double)slack * 0x1p-40 * (double)sampled * BLOCK / (double)n);
    const uint32_t lowest = 0x2b000000 /* 2^-41 */, highest = 0x3f800001 /* above 1 */;
    bracket b = {lowest, highest, highest, lowest};
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t bits[LEVELS];
        float at[LEVELS], sums[LEVELS];
        int half = round == 0 ? LEVELS : LEVELS / 2; /* the first round asks about both ends at once */
        for (int i = 0; i < LEVELS; i++) {
            uint32_t from = i < half ? b.least : b.most_end, to = i < half ? b.least_end : b.most;
            uint32_t step = (uint32_t)(i < half ? i : i - half) + 1;
            bits[i] = from + (uint32_t)((uint64_t)(to - from) * step / (uint32_t)(half + 1));
            at[i] = float_of(bits[i]);
        }
        passes->sums_below(weights, n, stride, at, sums);
        refine(&b, at, bits, sums, want);
    }
    return b;
}

llmc_sampler_threshold llmc_sampler_nucleus(const llmc_sampler_passes *passes, const float *weights, size_t n, uint64_t mass,
                                            uint64_t target, float *spare, size_t capacity) {
    if (n <= SMALL || !spare) return radix_select(weights, n, target, 1);
    bracket b = guess(passes, weights, n, mass - target);
    float least = float_of(b.least), most = float_of(b.most);
    uint64_t above = passes->mass_from(weights, n, most, NULL);
    size_t count = passes->gather(weights, n, least, most, spare, NULL, capacity);
    if (above >= target || count > capacity || passes->mass_from(spare, count, 0.0f, NULL) < target - above)
        return radix_select(weights, n, target, 1);
    llmc_sampler_threshold threshold = radix_select(spare, count, target - above, 1);
    threshold.mass += above;
    return threshold;
}

/* ---- Keeping ---- */

static int is_kept(float value, llmc_sampler_threshold *threshold) {
    if (!(value >= threshold->value)) return 0;
    if (value > threshold->value) return 1;
    if (threshold->take == 0) return 0;
    threshold->take--;
    return 1;
}

size_t llmc_sampler_keep(const llmc_sampler_passes *passes, const float *values, size_t n, llmc_sampler_threshold threshold,
                         float *out, uint32_t *ids) {
    size_t kept = 0;
    for (size_t i = passes->reach(values, n, 0, threshold.value); i < n; i = passes->reach(values, n, i, threshold.value)) {
        for (size_t end = block_end(i, n); i < end; i++) {
            if (!is_kept(values[i], &threshold)) continue;
            ids[kept] = (uint32_t)i;
            out[kept++] = values[i];
        }
    }
    return kept;
}

size_t llmc_sampler_compact(float *values, uint32_t *ids, size_t n, llmc_sampler_threshold threshold) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        if (!is_kept(values[i], &threshold)) continue;
        ids[kept] = ids[i];
        values[kept++] = values[i];
    }
    return kept;
}

size_t llmc_sampler_find(const llmc_sampler_passes *passes, const float *values, size_t n, float max) {
    for (size_t i = passes->reach(values, n, 0, max); i < n; i++) {
        if (values[i] == max) return i;
    }
    return 0;
}
