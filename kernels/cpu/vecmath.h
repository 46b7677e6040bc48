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

/* The vector sections: what a comparison and an exponent are in one width, then the one text for both. */
#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

/* a < b ? yes : no; a NaN is less than nothing. */
static inline __m256 llmc_where_less8(__m256 a, __m256 b, __m256 yes, __m256 no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}

static inline __m256 llmc_where_nan8(__m256 x, __m256 yes, __m256 no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
}

/* The low bits of sum, which are n, added to the exponent of p. */
static inline __m256 llmc_scale8(__m256 p, __m256 sum) {
    __m256i power = _mm256_slli_epi32(_mm256_castps_si256(sum), 23);
    return _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), power));
}

#define VECTOR       __m256
#define OP(name)     _mm256_##name##_ps
#define LANES_(name) llmc_##name##8
#include "kernels/cpu/x86/vecmath_lanes.h"

/* llmc_exp8 of what is not above 0: fewer cases are left. A NaN comes back as a NaN, since 2^n is multiplied, which is as
 * exact as adding to the exponent where the result is normal. */
static inline __m256 llmc_exp8_down(__m256 x) {
    __m256 sum = llmc_exp_sum8(x);
    __m256 y = _mm256_mul_ps(llmc_exp_rest8(x, sum), llmc_scale8(_mm256_set1_ps(1.0f), sum));
    return _mm256_andnot_ps(_mm256_cmp_ps(x, _mm256_set1_ps(LLMC_EXP_MIN), _CMP_LT_OQ), y);
}

/* llmc_sum16 from its second level on: the 8 sums of lanes i and i + 8. */
static inline float llmc_sum8(__m256 sum) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
#endif

#if defined(__AVX512F__) && defined(__AVX512DQ__)
static inline __m512 llmc_where_less16(__m512 a, __m512 b, __m512 yes, __m512 no) {
    return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), yes);
}

static inline __m512 llmc_where_nan16(__m512 x, __m512 yes, __m512 no) {
    return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), yes);
}

static inline __m512 llmc_scale16(__m512 p, __m512 sum) {
    __m512i power = _mm512_slli_epi32(_mm512_castps_si512(sum), 23);
    return _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(p), power));
}

#define VECTOR       __m512
#define OP(name)     _mm512_##name##_ps
#define LANES_(name) llmc_##name##16
#include "kernels/cpu/x86/vecmath_lanes.h"

/* llmc_exp16 of what is not above 0: fewer cases are left. A NaN comes back as a NaN. */
static inline __m512 llmc_exp16_down(__m512 x) {
    __m512 sum = llmc_exp_sum16(x), n = _mm512_sub_ps(sum, _mm512_set1_ps(LLMC_EXP_ROUND));
    __mmask16 stays = _mm512_cmp_ps_mask(x, _mm512_set1_ps(LLMC_EXP_MIN), _CMP_NLT_UQ);
    return _mm512_maskz_scalef_ps(stays, llmc_exp_rest16(x, sum), n);
}

static inline float llmc_sum16_vector(__m512 lanes) {
    return llmc_sum8(_mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1)));
}
#endif

#endif
