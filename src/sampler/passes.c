/* The passes of the sampler, for any instruction set: compiled once with each one's flags, LLMC_SAMPLER_TABLE naming the table.
 * exp is made from multiplications and additions only, each rounded by itself, so that a seed gives the same token on every
 * machine. */
#include "sampler/passes.h"

#include <math.h>
#include <string.h>

#include "sampler/parts.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#ifndef LLMC_SAMPLER_TABLE
#define LLMC_SAMPLER_TABLE llmc_sampler_passes_c
#endif

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define LANES 16
#elif defined(__AVX2__)
#define LANES 8
#else
#define LANES 4
#endif

enum { BLOCK = LLMC_SAMPLER_BLOCK, PARTS = BLOCK / LANES };

typedef float lanes_f32 __attribute__((vector_size(LANES * 4)));
typedef int32_t lanes_i32 __attribute__((vector_size(LANES * 4)));
typedef uint64_t lanes_u64 __attribute__((vector_size(LANES * 4)));

static const float largest_logit = 1e30f; /* differences of two still are finite, also divided by the least temperature */
static const float no_mass = -28.0f;      /* exp(-28) < 2^-40 */

static inline lanes_f32 load(const float *from) {
    lanes_f32 x;
    memcpy(&x, from, sizeof x);
    return x;
}

static inline void store(float *to, lanes_f32 x) {
    memcpy(to, &x, sizeof x);
}

static inline lanes_f32 all_of(float x) {
    return x - (lanes_f32){0};
}

static inline lanes_f32 only(lanes_i32 condition, lanes_f32 x) {
    return (lanes_f32)(condition & (lanes_i32)x);
}

static inline lanes_f32 choose(lanes_i32 condition, lanes_f32 yes, lanes_f32 no) {
    return (lanes_f32)((condition & (lanes_i32)yes) | (~condition & (lanes_i32)no));
}

/* ---- What C has no words for ---- */

/* Whether any lane's condition holds. */
static inline int any(lanes_i32 condition) {
#if LANES == 16
    return _mm512_movepi32_mask((__m512i)condition) != 0;
#elif LANES == 8
    return _mm256_movemask_ps((__m256)condition) != 0;
#elif defined(__x86_64__)
    return _mm_movemask_ps((__m128)condition) != 0;
#else
    return (condition[0] | condition[1] | condition[2] | condition[3]) != 0;
#endif
}

/* The masses of the weights, the upper half of them added to the lower. */
static inline lanes_u64 masses(lanes_f32 weights) {
#if LANES == 16
    __m512 scaled = (__m512)(weights * LLMC_SAMPLER_MASS_ONE);
    return (lanes_u64)_mm512_cvtps_epi64(_mm512_castps512_ps256(scaled)) +
           (lanes_u64)_mm512_cvtps_epi64(_mm512_extractf32x8_ps(scaled, 1));
#elif LANES == 8
    __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128((__m256)weights));
    __m256d high = _mm256_cvtps_pd(_mm256_extractf128_ps((__m256)weights, 1));
    lanes_u64 sum = (lanes_u64)(low * 0x1p40 + 0x1p52) + (lanes_u64)(high * 0x1p40 + 0x1p52);
    return sum - 2 * LLMC_SAMPLER_MASS_BIAS;
#elif defined(__x86_64__)
    __m128d low = _mm_cvtps_pd((__m128)weights);
    __m128d high = _mm_cvtps_pd(_mm_movehl_ps((__m128)weights, (__m128)weights));
    lanes_u64 sum = (lanes_u64)(low * 0x1p40 + 0x1p52) + (lanes_u64)(high * 0x1p40 + 0x1p52);
    return sum - 2 * LLMC_SAMPLER_MASS_BIAS;
#else
    return (lanes_u64){llmc_sampler_mass(weights[0]) + llmc_sampler_mass(weights[2]),
                       llmc_sampler_mass(weights[1]) + llmc_sampler_mass(weights[3])};
#endif
}

static inline uint64_t sum_of(lanes_u64 x) {
    uint64_t sum = 0;
    for (int i = 0; i < LANES / 2; i++) sum += x[i];
    return sum;
}

/* ---- Tidy ---- */

static inline lanes_f32 tidy_lanes(lanes_f32 x) {
    x = choose(x > all_of(largest_logit), all_of(largest_logit), x);
    x = choose(x >= all_of(-largest_logit), x, all_of(-INFINITY)); /* NaN compares false */
    return x + 0.0f;
}

/* By bits: also NaN and infinities lie above the largest. -inf is looked at again, which changes nothing. */
static inline lanes_i32 is_untidy(lanes_f32 x) {
    lanes_i32 bits = (lanes_i32)x;
    return ((bits & 0x7fffffff) > (lanes_i32)all_of(largest_logit)) | (bits == INT32_MIN);
}

static float tidy(float *values, size_t n) {
    lanes_f32 max[PARTS * 2];
    for (int j = 0; j < PARTS * 2; j++) max[j] = all_of(-INFINITY);
    size_t i = 0;
    for (; i + 2 * BLOCK <= n; i += 2 * BLOCK) {
        lanes_f32 x[PARTS * 2];
        lanes_i32 untidy = {0};
        for (int j = 0; j < PARTS * 2; j++) {
            x[j] = load(values + i + j * LANES);
            untidy |= is_untidy(x[j]);
        }
        if (__builtin_expect(any(untidy), 0)) {
            for (int j = 0; j < PARTS * 2; j++) {
                x[j] = tidy_lanes(x[j]);
                store(values + i + j * LANES, x[j]);
            }
        }
        for (int j = 0; j < PARTS * 2; j++) max[j] = choose(x[j] > max[j], x[j], max[j]);
    }
    float largest = -INFINITY;
    for (; i < n; i++) {
        values[i] = tidy_lanes(all_of(values[i]))[0];
        largest = values[i] > largest ? values[i] : largest;
    }
    for (int j = 1; j < PARTS * 2; j++) max[0] = choose(max[j] > max[0], max[j], max[0]);
    for (int j = 0; j < LANES; j++) largest = max[0][j] > largest ? max[0][j] : largest;
    return largest;
}

/* ---- Weights ---- */

/* exp(x) for x in [-28, 0], 0 below. Cephes' reduction (x = n ln 2 + r, ln 2 in two parts) and polynomial. Adding and taking
 * away 1.5 * 2^23 rounds to an integer. */
static inline lanes_f32 exp_lanes(lanes_f32 x) {
    lanes_i32 has_mass = x >= all_of(no_mass);
    lanes_f32 y = choose(has_mass, x, all_of(no_mass));
    lanes_f32 n = (y * 1.44269504f + 12582912.0f) - 12582912.0f;
    lanes_f32 r = (y - n * 0.693359375f) - n * -2.12194440e-4f;
    lanes_f32 p = all_of(1.9875691500e-4f);
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    lanes_i32 power = (__builtin_convertvector(n, lanes_i32) + 127) << 23;
    return only(has_mass, p * (lanes_f32)power);
}

/* Most blocks of a peaked distribution have no mass at all. */
static inline lanes_u64 weigh_block(const float *values, float max, float scale, float *weights, lanes_u64 sum) {
    lanes_f32 x[PARTS];
    lanes_i32 some = {0};
    for (int i = 0; i < PARTS; i++) {
        x[i] = (load(values + i * LANES) - max) * scale;
        some |= x[i] >= all_of(no_mass);
    }
    if (!any(some)) {
        if (weights) memset(weights, 0, BLOCK * sizeof *weights);
        return sum;
    }
    for (int i = 0; i < PARTS; i++) {
        lanes_f32 w = exp_lanes(x[i]);
        if (weights) store(weights + i * LANES, w);
        sum += masses(w);
    }
    return sum;
}

static uint64_t weigh_short(const float *values, size_t n, float max, float scale, float *out) {
    float block[BLOCK], weights[BLOCK];
    for (size_t j = 0; j < BLOCK; j++) block[j] = j < n ? values[j] : -INFINITY;
    lanes_u64 sum = weigh_block(block, max, scale, weights, (lanes_u64){0});
    if (out) memcpy(out, weights, n * sizeof *weights);
    return sum_of(sum);
}

static uint64_t weigh(const float *values, size_t n, float max, float scale, float *out, uint64_t *chunks) {
    size_t chunk = llmc_sampler_chunk(n);
    uint64_t total = 0;
    for (size_t c = 0; c < LLMC_SAMPLER_CHUNKS; c++) {
        size_t i = c * chunk < n ? c * chunk : n;
        size_t end = n - i < chunk ? n : i + chunk;
        lanes_u64 sum = {0};
        if (out) {
            for (; i + BLOCK <= end; i += BLOCK) sum = weigh_block(values + i, max, scale, out + i, sum);
        } else {
            for (; i + BLOCK <= end; i += BLOCK) sum = weigh_block(values + i, max, scale, NULL, sum);
        }
        uint64_t mass = sum_of(sum);
        if (i < end) mass += weigh_short(values + i, end - i, max, scale, out ? out + i : NULL);
        if (chunks) chunks[c] = mass;
        total += mass;
    }
    return total;
}

static uint64_t mass_from(const float *weights, size_t n, float least, uint64_t *chunks) {
    size_t chunk = llmc_sampler_chunk(n);
    uint64_t total = 0;
    for (size_t c = 0; c < LLMC_SAMPLER_CHUNKS; c++) {
        size_t i = c * chunk < n ? c * chunk : n;
        size_t end = n - i < chunk ? n : i + chunk;
        lanes_u64 sum = {0};
        for (; i + BLOCK <= end; i += BLOCK) {
            lanes_f32 w[PARTS];
            lanes_i32 kept[PARTS], some = {0};
            for (int j = 0; j < PARTS; j++) {
                w[j] = load(weights + i + j * LANES);
                kept[j] = w[j] >= all_of(least);
                some |= kept[j];
            }
            if (!any(some)) continue;
            for (int j = 0; j < PARTS; j++) sum += masses(only(kept[j], w[j]));
        }
        uint64_t mass = sum_of(sum);
        for (; i < end; i++) mass += weights[i] >= least ? llmc_sampler_mass(weights[i]) : 0;
        if (chunks) chunks[c] = mass;
        total += mass;
    }
    return total;
}

static void sums_below(const float *weights, size_t n, size_t stride, const float levels[LLMC_SAMPLER_LEVELS],
                       float sums[LLMC_SAMPLER_LEVELS]) {
    lanes_f32 sum[LLMC_SAMPLER_LEVELS] = {{0}};
    for (size_t i = 0; i + BLOCK <= n; i += stride * BLOCK) {
        for (int j = 0; j < PARTS; j++) {
            lanes_f32 w = load(weights + i + j * LANES);
            for (int k = 0; k < LLMC_SAMPLER_LEVELS; k++) sum[k] += only(w < all_of(levels[k]), w);
        }
    }
    for (int k = 0; k < LLMC_SAMPLER_LEVELS; k++) {
        sums[k] = 0.0f;
        for (int j = 0; j < LANES; j++) sums[k] += sum[k][j];
    }
}

/* ---- Finding ---- */

static size_t reach(const float *values, size_t n, size_t i, float least) {
    for (; i + BLOCK <= n; i += BLOCK) {
        lanes_i32 some = {0};
        for (int j = 0; j < PARTS; j++) some |= load(values + i + j * LANES) >= all_of(least);
        if (any(some)) return i;
    }
    return i < n ? i : n;
}

static inline size_t gather_block(const float *values, size_t i, float least, float below, float *out, uint32_t *ids,
                                  size_t count) {
#if LANES == 16
    __m512 x = _mm512_loadu_ps(values + i);
    __mmask16 kept =
        _mm512_cmp_ps_mask(x, _mm512_set1_ps(least), _CMP_GE_OQ) & _mm512_cmp_ps_mask(x, _mm512_set1_ps(below), _CMP_LT_OQ);
    _mm512_storeu_ps(out + count, _mm512_maskz_compress_ps(kept, x));
    if (ids) {
        __m512i first = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
        _mm512_storeu_si512(ids + count, _mm512_maskz_compress_epi32(kept, _mm512_add_epi32(first, _mm512_set1_epi32((int)i))));
    }
    return count + (size_t)__builtin_popcount(kept);
#else
    for (size_t j = i; j < i + BLOCK; j++) {
        out[count] = values[j];
        if (ids) ids[count] = (uint32_t)j;
        count += (size_t)((values[j] >= least) & (values[j] < below));
    }
    return count;
#endif
}

static size_t gather(const float *values, size_t n, float least, float below, float *out, uint32_t *ids, size_t capacity) {
    size_t count = 0;
    size_t i = 0;
    for (; i + BLOCK <= n && count <= capacity; i += BLOCK) {
        lanes_i32 some = {0};
        for (int j = 0; j < PARTS; j++) {
            lanes_f32 x = load(values + i + j * LANES);
            some |= (x >= all_of(least)) & (x < all_of(below));
        }
        if (any(some)) count = gather_block(values, i, least, below, out, ids, count);
    }
    for (; i < n && count <= capacity; i++) {
        if (!(values[i] >= least && values[i] < below)) continue;
        out[count] = values[i];
        if (ids) ids[count] = (uint32_t)i;
        count++;
    }
    return count;
}

const llmc_sampler_passes LLMC_SAMPLER_TABLE = {
    .tidy = tidy,
    .weigh = weigh,
    .mass_from = mass_from,
    .sums_below = sums_below,
    .gather = gather,
    .reach = reach,
};
