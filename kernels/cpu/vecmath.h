/* The library's own exp and what is made of it: the same operations in the same order for one float, 8 lanes and 16 lanes, so
 * that every tier makes the same bits. Each vector section exists where its instruction set is compiled in.
 *
 * exp(x) = 2^n * e^r with n = round(x / ln 2) and |r| <= ln 2 / 2, e^r a polynomial of degree 6 (relative error 3e-9 before
 * rounding; within 1 ulp after it). n comes from adding 1.5 * 2^23, which leaves it in the low bits of the sum. Below -87 the
 * result is 0 (also for -infinity), above 88 infinity; a NaN comes back as it is. */
#ifndef LLMC_VECMATH_H
#define LLMC_VECMATH_H

#include <math.h>

#include "kernels/cpu/half.h"

#define LLMC_EXP_MIN    -87.0f
#define LLMC_EXP_MAX    88.0f
#define LLMC_EXP_ROUND  0x1.8p23f
#define LLMC_EXP_LOG2E  0x1.715476p+0f
#define LLMC_EXP_LN2_HI 0x1.62e430p-1f
#define LLMC_EXP_LN2_LO -0x1.05c610p-29f
#define LLMC_EXP_C2     0x1.fffffcp-2f
#define LLMC_EXP_C3     0x1.555492p-3f
#define LLMC_EXP_C4     0x1.5558f2p-5f
#define LLMC_EXP_C5     0x1.1239f2p-7f
#define LLMC_EXP_C6     0x1.6a241ap-10f

static inline float llmc_expf(float x) {
    if (x != x) return x;
    if (x < LLMC_EXP_MIN) return 0.0f;
    if (x > LLMC_EXP_MAX) return INFINITY;
    float sum = fmaf(x, LLMC_EXP_LOG2E, LLMC_EXP_ROUND);
    float n = sum - LLMC_EXP_ROUND;
    float r = fmaf(-n, LLMC_EXP_LN2_HI, x);
    r = fmaf(-n, LLMC_EXP_LN2_LO, r);
    float p = fmaf(LLMC_EXP_C6, r, LLMC_EXP_C5);
    p = fmaf(p, r, LLMC_EXP_C4);
    p = fmaf(p, r, LLMC_EXP_C3);
    p = fmaf(p, r, LLMC_EXP_C2);
    p = fmaf(p, r, 1.0f);
    p = fmaf(p, r, 1.0f);
    return llmc_f32_from_bits(llmc_f32_bits(p) + (llmc_f32_bits(sum) << 23));
}

/* exp(x) - 1 of what is not above 0. Near 0, where that would cancel, the polynomial without its first 1. */
#define LLMC_EXPM1_NEAR -0.34f

static inline float llmc_expm1_down(float x) {
    float p = fmaf(LLMC_EXP_C6, x, LLMC_EXP_C5);
    p = fmaf(p, x, LLMC_EXP_C4);
    p = fmaf(p, x, LLMC_EXP_C3);
    p = fmaf(p, x, LLMC_EXP_C2);
    p = fmaf(p, x, 1.0f);
    return x > LLMC_EXPM1_NEAR ? p * x : llmc_expf(x) - 1.0f;
}

static inline float llmc_silu(float x) {
    return x / (1.0f + llmc_expf(-x));
}

/* -2 sqrt(2 / pi), and 0.044715 times it; what gpt-oss clamps at, and the slope of its sigmoid. */
#define LLMC_GELU_C1       -0x1.988454p+0f
#define LLMC_GELU_C3       -0x1.2444f2p-4f
#define LLMC_CLAMPED_LIMIT 7.0f
#define LLMC_CLAMPED_ALPHA 1.702f

static inline float llmc_gelu(float x) {
    return x / (1.0f + llmc_expf(x * fmaf(x * x, LLMC_GELU_C3, LLMC_GELU_C1)));
}

/* erfc(z) = t exp(P(t) - z^2), t = 1 / (1 + z / 2), to 1.2e-7 of it for z >= 0: Numerical Recipes, 6.2. */
#define LLMC_ERFC_C0   -1.26551223f
#define LLMC_ERFC_C1   1.00002368f
#define LLMC_ERFC_C2   0.37409196f
#define LLMC_ERFC_C3   0.09678418f
#define LLMC_ERFC_C4   -0.18628806f
#define LLMC_ERFC_C5   0.27886807f
#define LLMC_ERFC_C6   -1.13520398f
#define LLMC_ERFC_C7   1.48851587f
#define LLMC_ERFC_C8   -0.82215223f
#define LLMC_ERFC_C9   0.17087277f
#define LLMC_ERFC_ROOT 0x1.6a09e6p-1f /* 1 / sqrt(2) */

static inline float llmc_gelu_exact(float x) {
    float z = fabsf(x) * LLMC_ERFC_ROOT;
    float t = 1.0f / fmaf(z, 0.5f, 1.0f);
    float p = fmaf(LLMC_ERFC_C9, t, LLMC_ERFC_C8);
    p = fmaf(p, t, LLMC_ERFC_C7);
    p = fmaf(p, t, LLMC_ERFC_C6);
    p = fmaf(p, t, LLMC_ERFC_C5);
    p = fmaf(p, t, LLMC_ERFC_C4);
    p = fmaf(p, t, LLMC_ERFC_C3);
    p = fmaf(p, t, LLMC_ERFC_C2);
    p = fmaf(p, t, LLMC_ERFC_C1);
    p = fmaf(p, t, LLMC_ERFC_C0);
    float tail = 0.5f * t * llmc_expf(fmaf(-z, z, p));
    return x * (x < 0.0f ? tail : 1.0f - tail);
}

/* From exp(-2 |x|): its absolute error is an ulp of 1. */
static inline float llmc_tanhf(float x) {
    float e = llmc_expf(-2.0f * fabsf(x));
    return copysignf((1.0f - e) / (1.0f + e), x);
}

/* The tree of every sum over 16 partial sums: 8 + 8, 4 + 4, 2 + 2, 1 + 1. */
static inline float llmc_sum16(const float lanes[16]) {
    float sum[8];
    for (int i = 0; i < 8; i++) sum[i] = lanes[i] + lanes[i + 8];
    for (int i = 0; i < 4; i++) sum[i] += sum[i + 4];
    return (sum[0] + sum[2]) + (sum[1] + sum[3]);
}

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

static inline __m256 llmc_exp8(__m256 x) {
    const __m256 round = _mm256_set1_ps(LLMC_EXP_ROUND);
    const __m256 one = _mm256_set1_ps(1.0f);
    __m256 sum = _mm256_fmadd_ps(x, _mm256_set1_ps(LLMC_EXP_LOG2E), round);
    __m256 n = _mm256_sub_ps(sum, round);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LLMC_EXP_LN2_HI), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LLMC_EXP_LN2_LO), r);
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(LLMC_EXP_C6), r, _mm256_set1_ps(LLMC_EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LLMC_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LLMC_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LLMC_EXP_C2));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);
    __m256i power = _mm256_slli_epi32(_mm256_castps_si256(sum), 23);
    __m256 y = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), power));
    __m256 low = _mm256_cmp_ps(x, _mm256_set1_ps(LLMC_EXP_MIN), _CMP_LT_OQ);
    __m256 high = _mm256_cmp_ps(x, _mm256_set1_ps(LLMC_EXP_MAX), _CMP_GT_OQ);
    y = _mm256_andnot_ps(low, y);
    y = _mm256_blendv_ps(y, _mm256_set1_ps(INFINITY), high);
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

/* llmc_exp8 of what is not above 0: fewer cases are left. A NaN comes back as a NaN, since 2^n is multiplied, which is as
 * exact as adding to the exponent where the result is normal. */
static inline __m256 llmc_exp8_down(__m256 x) {
    const __m256 round = _mm256_set1_ps(LLMC_EXP_ROUND);
    const __m256 one = _mm256_set1_ps(1.0f);
    __m256 sum = _mm256_fmadd_ps(x, _mm256_set1_ps(LLMC_EXP_LOG2E), round);
    __m256 n = _mm256_sub_ps(sum, round);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LLMC_EXP_LN2_HI), x);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(LLMC_EXP_LN2_LO), r);
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(LLMC_EXP_C6), r, _mm256_set1_ps(LLMC_EXP_C5));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LLMC_EXP_C4));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LLMC_EXP_C3));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(LLMC_EXP_C2));
    p = _mm256_fmadd_ps(p, r, one);
    p = _mm256_fmadd_ps(p, r, one);
    __m256i power = _mm256_add_epi32(_mm256_slli_epi32(_mm256_castps_si256(sum), 23), _mm256_castps_si256(one));
    __m256 y = _mm256_mul_ps(p, _mm256_castsi256_ps(power));
    return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(LLMC_EXP_MIN), _CMP_LT_OQ), y);
}

static inline __m256 llmc_silu8(__m256 x) {
    __m256 minus = _mm256_xor_ps(x, _mm256_set1_ps(-0.0f));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), llmc_exp8(minus)));
}

static inline __m256 llmc_tanh8(__m256 x) {
    const __m256 sign = _mm256_set1_ps(-0.0f), one = _mm256_set1_ps(1.0f);
    __m256 e = llmc_exp8(_mm256_mul_ps(_mm256_set1_ps(-2.0f), _mm256_andnot_ps(sign, x)));
    __m256 y = _mm256_div_ps(_mm256_sub_ps(one, e), _mm256_add_ps(one, e));
    return _mm256_or_ps(_mm256_andnot_ps(sign, y), _mm256_and_ps(sign, x));
}

static inline __m256 llmc_gelu8(__m256 x) {
    __m256 slope = _mm256_fmadd_ps(_mm256_mul_ps(x, x), _mm256_set1_ps(LLMC_GELU_C3), _mm256_set1_ps(LLMC_GELU_C1));
    return _mm256_div_ps(x, _mm256_add_ps(_mm256_set1_ps(1.0f), llmc_exp8(_mm256_mul_ps(x, slope))));
}

static inline __m256 llmc_gelu_exact8(__m256 x) {
    const __m256 one = _mm256_set1_ps(1.0f), half = _mm256_set1_ps(0.5f);
    __m256 z = _mm256_mul_ps(_mm256_andnot_ps(_mm256_set1_ps(-0.0f), x), _mm256_set1_ps(LLMC_ERFC_ROOT));
    __m256 t = _mm256_div_ps(one, _mm256_fmadd_ps(z, half, one));
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(LLMC_ERFC_C9), t, _mm256_set1_ps(LLMC_ERFC_C8));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(LLMC_ERFC_C7));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(LLMC_ERFC_C6));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(LLMC_ERFC_C5));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(LLMC_ERFC_C4));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(LLMC_ERFC_C3));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(LLMC_ERFC_C2));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(LLMC_ERFC_C1));
    p = _mm256_fmadd_ps(p, t, _mm256_set1_ps(LLMC_ERFC_C0));
    __m256 tail = _mm256_mul_ps(_mm256_mul_ps(half, t), llmc_exp8(_mm256_fnmadd_ps(z, z, p)));
    __m256 below = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_LT_OQ);
    return _mm256_mul_ps(x, _mm256_blendv_ps(_mm256_sub_ps(one, tail), tail, below));
}

static inline __m256 llmc_expm1_down8(__m256 x) {
    __m256 p = _mm256_fmadd_ps(_mm256_set1_ps(LLMC_EXP_C6), x, _mm256_set1_ps(LLMC_EXP_C5));
    p = _mm256_fmadd_ps(p, x, _mm256_set1_ps(LLMC_EXP_C4));
    p = _mm256_fmadd_ps(p, x, _mm256_set1_ps(LLMC_EXP_C3));
    p = _mm256_fmadd_ps(p, x, _mm256_set1_ps(LLMC_EXP_C2));
    p = _mm256_fmadd_ps(p, x, _mm256_set1_ps(1.0f));
    __m256 near = _mm256_cmp_ps(x, _mm256_set1_ps(LLMC_EXPM1_NEAR), _CMP_GT_OQ);
    return _mm256_blendv_ps(_mm256_sub_ps(llmc_exp8(x), _mm256_set1_ps(1.0f)), _mm256_mul_ps(p, x), near);
}

/* llmc_sum16 from its second level on: the 8 sums of lanes i and i + 8. */
static inline float llmc_sum8(__m256 sum) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
#endif

#if defined(__AVX512F__) && defined(__AVX512DQ__)
static inline __m512 llmc_exp16(__m512 x) {
    const __m512 round = _mm512_set1_ps(LLMC_EXP_ROUND);
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 sum = _mm512_fmadd_ps(x, _mm512_set1_ps(LLMC_EXP_LOG2E), round);
    __m512 n = _mm512_sub_ps(sum, round);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(LLMC_EXP_LN2_HI), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(LLMC_EXP_LN2_LO), r);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(LLMC_EXP_C6), r, _mm512_set1_ps(LLMC_EXP_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(LLMC_EXP_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(LLMC_EXP_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(LLMC_EXP_C2));
    p = _mm512_fmadd_ps(p, r, one);
    p = _mm512_fmadd_ps(p, r, one);
    __m512i power = _mm512_slli_epi32(_mm512_castps_si512(sum), 23);
    __mmask16 stays = _mm512_cmp_ps_mask(x, _mm512_set1_ps(LLMC_EXP_MIN), _CMP_GE_OQ);
    __mmask16 high = _mm512_cmp_ps_mask(x, _mm512_set1_ps(LLMC_EXP_MAX), _CMP_GT_OQ);
    __mmask16 nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    __m512 y = _mm512_castsi512_ps(_mm512_maskz_add_epi32(stays, _mm512_castps_si512(p), power));
    y = _mm512_mask_mov_ps(y, high, _mm512_set1_ps(INFINITY));
    return _mm512_mask_mov_ps(y, nan, x);
}

/* llmc_exp16 of what is not above 0: fewer cases are left. A NaN comes back as a NaN. */
static inline __m512 llmc_exp16_down(__m512 x) {
    const __m512 round = _mm512_set1_ps(LLMC_EXP_ROUND);
    const __m512 one = _mm512_set1_ps(1.0f);
    __m512 n = _mm512_sub_ps(_mm512_fmadd_ps(x, _mm512_set1_ps(LLMC_EXP_LOG2E), round), round);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(LLMC_EXP_LN2_HI), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(LLMC_EXP_LN2_LO), r);
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(LLMC_EXP_C6), r, _mm512_set1_ps(LLMC_EXP_C5));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(LLMC_EXP_C4));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(LLMC_EXP_C3));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(LLMC_EXP_C2));
    p = _mm512_fmadd_ps(p, r, one);
    p = _mm512_fmadd_ps(p, r, one);
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(LLMC_EXP_MIN), _CMP_NLT_UQ), p, n);
}

static inline __m512 llmc_silu16(__m512 x) {
    __m512 minus = _mm512_xor_ps(x, _mm512_set1_ps(-0.0f));
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), llmc_exp16(minus)));
}

static inline __m512 llmc_tanh16(__m512 x) {
    const __m512 sign = _mm512_set1_ps(-0.0f), one = _mm512_set1_ps(1.0f);
    __m512 e = llmc_exp16(_mm512_mul_ps(_mm512_set1_ps(-2.0f), _mm512_andnot_ps(sign, x)));
    __m512 y = _mm512_div_ps(_mm512_sub_ps(one, e), _mm512_add_ps(one, e));
    return _mm512_or_ps(_mm512_andnot_ps(sign, y), _mm512_and_ps(sign, x));
}

static inline __m512 llmc_gelu16(__m512 x) {
    __m512 slope = _mm512_fmadd_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(LLMC_GELU_C3), _mm512_set1_ps(LLMC_GELU_C1));
    return _mm512_div_ps(x, _mm512_add_ps(_mm512_set1_ps(1.0f), llmc_exp16(_mm512_mul_ps(x, slope))));
}

static inline __m512 llmc_gelu_exact16(__m512 x) {
    const __m512 one = _mm512_set1_ps(1.0f), half = _mm512_set1_ps(0.5f);
    __m512 z = _mm512_mul_ps(_mm512_andnot_ps(_mm512_set1_ps(-0.0f), x), _mm512_set1_ps(LLMC_ERFC_ROOT));
    __m512 t = _mm512_div_ps(one, _mm512_fmadd_ps(z, half, one));
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(LLMC_ERFC_C9), t, _mm512_set1_ps(LLMC_ERFC_C8));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(LLMC_ERFC_C7));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(LLMC_ERFC_C6));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(LLMC_ERFC_C5));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(LLMC_ERFC_C4));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(LLMC_ERFC_C3));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(LLMC_ERFC_C2));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(LLMC_ERFC_C1));
    p = _mm512_fmadd_ps(p, t, _mm512_set1_ps(LLMC_ERFC_C0));
    __m512 tail = _mm512_mul_ps(_mm512_mul_ps(half, t), llmc_exp16(_mm512_fnmadd_ps(z, z, p)));
    __mmask16 below = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_LT_OQ);
    return _mm512_mul_ps(x, _mm512_mask_mov_ps(_mm512_sub_ps(one, tail), below, tail));
}

static inline __m512 llmc_expm1_down16(__m512 x) {
    __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(LLMC_EXP_C6), x, _mm512_set1_ps(LLMC_EXP_C5));
    p = _mm512_fmadd_ps(p, x, _mm512_set1_ps(LLMC_EXP_C4));
    p = _mm512_fmadd_ps(p, x, _mm512_set1_ps(LLMC_EXP_C3));
    p = _mm512_fmadd_ps(p, x, _mm512_set1_ps(LLMC_EXP_C2));
    p = _mm512_fmadd_ps(p, x, _mm512_set1_ps(1.0f));
    __mmask16 near = _mm512_cmp_ps_mask(x, _mm512_set1_ps(LLMC_EXPM1_NEAR), _CMP_GT_OQ);
    return _mm512_mask_mul_ps(_mm512_sub_ps(llmc_exp16(x), _mm512_set1_ps(1.0f)), near, p, x);
}

static inline float llmc_sum16_vector(__m512 lanes) {
    return llmc_sum8(_mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1)));
}
#endif

#endif
