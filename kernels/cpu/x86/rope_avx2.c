/* Rotary position embedding in 8 lanes. */
#include "kernels/cpu/rope.h"

#include <immintrin.h>
#include <math.h>

static void turn(float *a, float *b, float c, float s) {
    float x = *a, y = *b;
    *a = fmaf(x, c, -(y * s));
    *b = fmaf(y, c, x * s);
}

/* x c -+ (neighbour) s: fmaddsub subtracts in even lanes and adds in odd ones, as the definition says. */
static void interleaved(float *x, uint32_t n_rot, const float *table) {
    uint32_t i = 0;
    for (; i + 8 <= n_rot; i += 8) {
        __m256 pair = _mm256_loadu_ps(x + i), angle = _mm256_loadu_ps(table + i);
        __m256 swapped = _mm256_permute_ps(pair, 0xb1);
        __m256 product = _mm256_mul_ps(swapped, _mm256_movehdup_ps(angle));
        _mm256_storeu_ps(x + i, _mm256_fmaddsub_ps(pair, _mm256_moveldup_ps(angle), product));
    }
    for (; i < n_rot; i += 2) turn(x + i, x + i + 1, table[i], table[i + 1]);
}

static void halves(float *x, uint32_t n_rot, const float *table) {
    uint32_t half = n_rot / 2, i = 0;
    const __m256i order = _mm256_setr_epi32(0, 1, 4, 5, 2, 3, 6, 7); /* shuffle_ps works within 128-bit halves */
    for (; i + 8 <= half; i += 8) {
        __m256 low = _mm256_loadu_ps(table + 2 * i), high = _mm256_loadu_ps(table + 2 * i + 8);
        __m256 even = _mm256_shuffle_ps(low, high, 0x88);
        __m256 odd = _mm256_shuffle_ps(low, high, 0xdd);
        __m256 c = _mm256_permutevar8x32_ps(even, order);
        __m256 s = _mm256_permutevar8x32_ps(odd, order);
        __m256 a = _mm256_loadu_ps(x + i), b = _mm256_loadu_ps(x + i + half);
        _mm256_storeu_ps(x + i, _mm256_fmsub_ps(a, c, _mm256_mul_ps(b, s)));
        _mm256_storeu_ps(x + i + half, _mm256_fmadd_ps(b, c, _mm256_mul_ps(a, s)));
    }
    for (; i < half; i++) turn(x + i, x + i + half, table[2 * i], table[2 * i + 1]);
}

void llmc_rope_kernels_avx2(llmc_rope_kernels *kernels) {
    kernels->interleaved = interleaved;
    kernels->halves = halves;
}
