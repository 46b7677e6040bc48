/* exp and log of the sampler, from multiplications and additions only, so that a seed gives the same token on every machine;
 * and the pass over raw logits that makes them safe to compute with. */
#include "sampler/parts.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 16, LANES = 4 };

/* Lanes are independent: the compiler's vectors give the same bits as one number at a time. */
typedef float lanes_f32 __attribute__((vector_size(16)));
typedef int32_t lanes_i32 __attribute__((vector_size(16)));

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
    return (lanes_f32){x, x, x, x};
}

static inline lanes_f32 choose(lanes_i32 condition, lanes_f32 yes, lanes_f32 no) {
    return (lanes_f32)((condition & (lanes_i32)yes) | (~condition & (lanes_i32)no));
}

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
    return choose(has_mass, p * (lanes_f32)power, all_of(0.0f));
}

static uint64_t block_mass(const float *weights) {
    uint64_t sum = 0;
    for (int i = 0; i < BLOCK; i++) sum += llmc_sampler_mass(weights[i]);
    return sum;
}

/* Most blocks of a peaked distribution have no mass at all. */
static inline uint64_t weigh_block(const float *values, float max, float scale, float *weights) {
    lanes_f32 x[BLOCK / LANES];
    lanes_i32 any = {0, 0, 0, 0};
    for (int i = 0; i < BLOCK / LANES; i++) {
        x[i] = (load(values + i * LANES) - max) * scale;
        any |= x[i] >= all_of(no_mass);
    }
    if (!(any[0] | any[1] | any[2] | any[3])) {
        memset(weights, 0, BLOCK * sizeof *weights);
        return 0;
    }
    for (int i = 0; i < BLOCK / LANES; i++) store(weights + i * LANES, exp_lanes(x[i]));
    return block_mass(weights);
}

uint64_t llmc_sampler_weigh(const float *values, size_t n, float max, float scale, float *out) {
    float block[BLOCK];
    float weights[BLOCK];
    uint64_t sum = 0;
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        sum += weigh_block(values + i, max, scale, weights);
        if (out) memcpy(out + i, weights, sizeof weights);
    }
    if (i == n) return sum;
    for (size_t j = 0; j < BLOCK; j++) block[j] = i + j < n ? values[i + j] : -INFINITY;
    sum += weigh_block(block, max, scale, weights);
    if (out) memcpy(out + i, weights, (n - i) * sizeof *weights);
    return sum;
}

/* x = m * 2^e with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172: nine terms of the series
 * are enough for 1e-15. */
double llmc_sampler_log(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int64_t e = (int64_t)(bits >> 52 & 2047) - 1023;
    bits = (bits & 0xfffffffffffff) | 0x3ff0000000000000;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e++;
    }
    double s = (m - 1.0) / (m + 1.0);
    double square = s * s;
    double p = 0.0;
    for (int k = 19; k >= 1; k -= 2) p = p * square + 1.0 / k;
    return 2.0 * s * p + (double)e * 0.69314718055994531;
}

static inline lanes_f32 tidy_lanes(lanes_f32 x) {
    x = choose(x > all_of(largest_logit), all_of(largest_logit), x);
    x = choose(x >= all_of(-largest_logit), x, all_of(-INFINITY)); /* NaN compares false */
    return x + 0.0f;
}

float llmc_sampler_tidy(float *values, size_t n) {
    lanes_f32 max = all_of(-INFINITY);
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        lanes_f32 x = tidy_lanes(load(values + i));
        store(values + i, x);
        max = choose(x > max, x, max);
    }
    for (; i < n; i++) {
        values[i] = tidy_lanes(all_of(values[i]))[0];
        max[0] = values[i] > max[0] ? values[i] : max[0];
    }
    float largest = max[0];
    for (int j = 1; j < LANES; j++) largest = max[j] > largest ? max[j] : largest;
    return largest;
}

size_t llmc_sampler_find(const float *values, size_t n, float x) {
    size_t i = 0;
    for (; i + BLOCK <= n; i += BLOCK) {
        int any = 0;
        for (int j = 0; j < BLOCK; j++) any |= values[i + j] == x;
        if (any) break;
    }
    for (; i < n; i++) {
        if (values[i] == x) return i;
    }
    return 0;
}
