/* Rotary position embedding in 16 lanes, the last ones masked. */
#include "kernels/cpu/rope.h"

#include <immintrin.h>

static inline __mmask16 first_lanes(uint32_t n) {
    return (__mmask16)((1u << (n < 16 ? n : 16)) - 1u);
}

/* x c -+ (neighbour) s: fmaddsub subtracts in even lanes and adds in odd ones, as the definition says. */
static void interleaved(float *x, uint32_t n_rot, const float *table) {
    for (uint32_t i = 0; i < n_rot; i += 16) {
        __mmask16 mask = first_lanes(n_rot - i);
        __m512 pair = _mm512_maskz_loadu_ps(mask, x + i), angle = _mm512_maskz_loadu_ps(mask, table + i);
        __m512 product = _mm512_mul_ps(_mm512_permute_ps(pair, 0xb1), _mm512_movehdup_ps(angle));
        _mm512_mask_storeu_ps(x + i, mask, _mm512_fmaddsub_ps(pair, _mm512_moveldup_ps(angle), product));
    }
}

static void halves(float *x, uint32_t n_rot, const float *table) {
    const __m512i evens = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odds = _mm512_add_epi32(evens, _mm512_set1_epi32(1));
    uint32_t half = n_rot / 2;
    for (uint32_t i = 0; i < half; i += 16) {
        uint32_t left = half - i;
        __mmask16 mask = first_lanes(left);
        __m512 low = _mm512_maskz_loadu_ps(first_lanes(2 * left), table + 2 * i);
        __m512 high = left > 8 ? _mm512_maskz_loadu_ps(first_lanes(2 * left - 16), table + 2 * i + 16) : low;
        __m512 c = _mm512_permutex2var_ps(low, evens, high), s = _mm512_permutex2var_ps(low, odds, high);
        __m512 a = _mm512_maskz_loadu_ps(mask, x + i), b = _mm512_maskz_loadu_ps(mask, x + i + half);
        _mm512_mask_storeu_ps(x + i, mask, _mm512_fmsub_ps(a, c, _mm512_mul_ps(b, s)));
        _mm512_mask_storeu_ps(x + i + half, mask, _mm512_fmadd_ps(b, c, _mm512_mul_ps(a, s)));
    }
}

void llmc_rope_kernels_avx512(llmc_rope_kernels *kernels) {
    kernels->interleaved = interleaved;
    kernels->halves = halves;
}
