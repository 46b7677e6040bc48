/* The matrix product and the quantization of activations with AVX2 and FMA. Makes the bits of matmul.c. */
#include "kernels/cpu/x86/avx2_tiles.h"

/* --- activations --- */

INLINE __m256i magnitude_bits(const float *x) {
    return _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(x)), _mm256_set1_epi32(0x7fffffff));
}

static float largest_magnitude(const float *x, int n) {
    __m256i largest = magnitude_bits(x);
    for (int i = 8; i < n; i += 8) largest = _mm256_max_epi32(largest, magnitude_bits(x + i));
    __m128i half = _mm_max_epi32(_mm256_castsi256_si128(largest), _mm256_extracti128_si256(largest, 1));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0x4e));
    half = _mm_max_epi32(half, _mm_shuffle_epi32(half, 0xb1));
    return _mm_cvtss_f32(_mm_castsi128_ps(half));
}

/* 8 values to integers in -127..127; what is not a number to 0. */
INLINE __m256i quantize_8(const float *x, __m256 inverse) {
    __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x), inverse);
    __m256 number = _mm256_cmp_ps(scaled, scaled, _CMP_ORD_Q);
    scaled = _mm256_min_ps(_mm256_max_ps(scaled, _mm256_set1_ps(-127.0f)), _mm256_set1_ps(127.0f));
    return _mm256_cvtps_epi32(_mm256_and_ps(scaled, number));
}

/* 32 values. Returns their sums as 8 lanes, 4 columns each. */
INLINE __m256i quantize_32(const float *x, __m256 inverse, int8_t *q) {
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i a = _mm256_packs_epi32(quantize_8(x, inverse), quantize_8(x + 8, inverse));
    __m256i b = _mm256_packs_epi32(quantize_8(x + 16, inverse), quantize_8(x + 24, inverse));
    __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(a, b), order);
    _mm256_storeu_si256((__m256i *)(void *)q, bytes);
    return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), bytes), _mm256_set1_epi16(1));
}

INLINE int32_t sum_4(__m128i lanes) {
    lanes = _mm_add_epi32(lanes, _mm_shuffle_epi32(lanes, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(lanes, _mm_shuffle_epi32(lanes, 0xb1)));
}

static void quantize_block_32(const float *x, llmc_act_32 *block) {
    float largest = largest_magnitude(x, 32);
    float inverse = largest != 0.0f ? 127.0f / largest : 0.0f;
    __m256i sums = quantize_32(x, _mm256_set1_ps(inverse), block->q);
    int32_t sum = sum_4(_mm_add_epi32(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1)));
    block->d = largest / 127.0f;
    block->s = block->d * (float)sum;
    block->neg_sum = -sum;
}

static void quantize_block_256(const float *x, llmc_act_256 *block) {
    float largest = largest_magnitude(x, 256);
    float inverse = largest != 0.0f ? 127.0f / largest : 0.0f;
    block->d = largest / 127.0f;
    for (int i = 0; i < 8; i++) {
        __m256i sums = quantize_32(x + i * 32, _mm256_set1_ps(inverse), block->q + i * 32);
        block->sum_16[2 * i] = (int16_t)sum_4(_mm256_castsi256_si128(sums));
        block->sum_16[2 * i + 1] = (int16_t)sum_4(_mm256_extracti128_si256(sums, 1));
        block->sum_32[i] = (int16_t)(block->sum_16[2 * i] + block->sum_16[2 * i + 1]);
    }
}

/* llmc_f32_to_bf16 of 8 lanes, each in the low half of 32 bits. */
INLINE __m256i to_bf16(__m256 x) {
    __m256i bits = _mm256_castps_si256(x), even = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), even);
    __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, is_nan), 16);
}

INLINE void store_words(uint16_t *to, __m256i a, __m256i b) {
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_permute4x64_epi64(_mm256_packus_epi32(a, b), 0xd8));
}

/* 16 columns: the high part to nearest; of what that leaves, the low part. */
INLINE void split_16(const float *x, uint16_t *high, uint16_t *low) {
    __m256 a = _mm256_loadu_ps(x), b = _mm256_loadu_ps(x + 8);
    __m256i high_a = to_bf16(a), high_b = to_bf16(b);
    store_words(high, high_a, high_b);
    if (!low) return;
    a = _mm256_sub_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(high_a, 16)));
    b = _mm256_sub_ps(b, _mm256_castsi256_ps(_mm256_slli_epi32(high_b, 16)));
    store_words(low, to_bf16(a), to_bf16(b));
}

/* Zeros up to whole lines of 32. */
static void split_bf16(const float *x, uint32_t cols, uint16_t *high, uint16_t *low) {
    uint32_t whole = (cols + 31) / 32 * 32, c = 0;
    for (; c + 16 <= cols; c += 16) split_16(x + c, high + c, low ? low + c : NULL);
    for (; c < whole; c += 16) {
        float rest[16] = {0};
        if (c < cols) memcpy(rest, x + c, (cols - c) * sizeof *x);
        split_16(rest, high + c, low ? low + c : NULL);
    }
}

static void quantize_avx2(llmc_act_form form, const float *x, uint32_t cols, void *act) {
    if (form == LLMC_ACT_F32) {
        memcpy(act, x, (size_t)cols * sizeof *x);
    } else if (form == LLMC_ACT_BF16) {
        split_bf16(x, cols, act, NULL);
    } else if (form == LLMC_ACT_BF16_X2) {
        split_bf16(x, cols, act, (uint16_t *)act + llmc_bf16_row_bytes(cols) / 2);
    } else if (form == LLMC_ACT_Q8_32) {
        llmc_act_32 *block = act;
        for (uint32_t c = 0; c < cols; c += 32) quantize_block_32(x + c, block++);
    } else {
        llmc_act_256 *block = act;
        for (uint32_t c = 0; c < cols; c += 256) quantize_block_256(x + c, block++);
    }
}

void llmc_matmul_kernels_avx2(llmc_matmul_kernels *kernels) {
    kernels->quantize = quantize_avx2;
    kernels->matmul = matmul_tiles;
    kernels->f32 = kernels->f16 = kernels->bf16 = (llmc_float_product){matmul_tiles, LLMC_ACT_F32};
}
