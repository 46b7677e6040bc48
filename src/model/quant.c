/* The table of ggml tensor types, and for each supported one how a block becomes floats. The order of the float operations is
 * that of the Python gguf package, so that results can be compared for equality. */
#include "model/quant.h"

#include <string.h>

#include "kernels/cpu/codes.h"
#include "kernels/cpu/grids.h"

#define COUNT(table) (sizeof(table) / sizeof *(table))

static const llmc_quant_type types[] = {
    {0, "F32", 1, 4, 1},         {1, "F16", 1, 2, 1},         {2, "Q4_0", 32, 18, 1},      {3, "Q4_1", 32, 20, 1},
    {6, "Q5_0", 32, 22, 1},      {7, "Q5_1", 32, 24, 1},      {8, "Q8_0", 32, 34, 1},      {9, "Q8_1", 32, 40, 0},
    {10, "Q2_K", 256, 84, 1},    {11, "Q3_K", 256, 110, 1},   {12, "Q4_K", 256, 144, 1},   {13, "Q5_K", 256, 176, 1},
    {14, "Q6_K", 256, 210, 1},   {15, "Q8_K", 256, 292, 0},   {16, "IQ2_XXS", 256, 66, 1}, {17, "IQ2_XS", 256, 74, 1},
    {18, "IQ3_XXS", 256, 98, 1}, {19, "IQ1_S", 256, 50, 1},   {20, "IQ4_NL", 32, 18, 1},   {21, "IQ3_S", 256, 110, 1},
    {22, "IQ2_S", 256, 82, 1},   {23, "IQ4_XS", 256, 136, 1}, {24, "I8", 1, 1, 0},         {25, "I16", 1, 2, 0},
    {26, "I32", 1, 4, 0},        {27, "I64", 1, 8, 0},        {28, "F64", 1, 8, 0},        {29, "IQ1_M", 256, 56, 1},
    {30, "BF16", 1, 2, 1},       {34, "TQ1_0", 256, 54, 1},   {35, "TQ2_0", 256, 66, 1},   {39, "MXFP4", 32, 17, 1},
    {40, "NVFP4", 64, 36, 0},    {41, "Q1_0", 128, 18, 0},    {42, "Q2_0", 64, 18, 0},
};

const llmc_quant_type *llmc_quant_type_find(int32_t id) {
    for (size_t i = 0; i < COUNT(types); i++)
        if (types[i].id == id) return &types[i];
    return NULL;
}

static uint16_t u16_at(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}
static uint32_t u32_at(const uint8_t *bytes) {
    return (uint32_t)u16_at(bytes) | (uint32_t)u16_at(bytes + 2) << 16;
}
static float half_at(const uint8_t *bytes) {
    return llmc_f16_to_f32(u16_at(bytes));
}

/* ---- One block each: out has block_elements floats ---- */

static void f32_block(const uint8_t *block, float *out) {
    *out = llmc_f32_from_bits(u32_at(block));
}
static void f16_block(const uint8_t *block, float *out) {
    *out = half_at(block);
}
static void bf16_block(const uint8_t *block, float *out) {
    *out = llmc_bf16_to_f32(u16_at(block));
}

/* Blocks of 32: low nibbles are elements 0 to 15, high nibbles 16 to 31. */
static int nibble(const uint8_t *quants, int i) {
    return i < 16 ? quants[i] & 15 : quants[i - 16] >> 4;
}
static int fifth_bit(uint32_t high, int i) {
    return (int)(high >> i & 1u) << 4;
}

/* { half d; u8 quants[16]; } */
static void q4_0_block(const uint8_t *block, float *out) {
    float d = half_at(block);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(nibble(block + 2, i) - 8);
}

/* { half d, m; u8 quants[16]; } */
static void q4_1_block(const uint8_t *block, float *out) {
    float d = half_at(block), m = half_at(block + 2);
    for (int i = 0; i < 32; i++) out[i] = d * (float)nibble(block + 4, i) + m;
}

/* { half d; u32 high; u8 quants[16]; } */
static void q5_0_block(const uint8_t *block, float *out) {
    float d = half_at(block);
    uint32_t high = u32_at(block + 2);
    for (int i = 0; i < 32; i++) out[i] = d * (float)((nibble(block + 6, i) | fifth_bit(high, i)) - 16);
}

/* { half d, m; u32 high; u8 quants[16]; } */
static void q5_1_block(const uint8_t *block, float *out) {
    float d = half_at(block), m = half_at(block + 2);
    uint32_t high = u32_at(block + 4);
    for (int i = 0; i < 32; i++) out[i] = d * (float)(nibble(block + 8, i) | fifth_bit(high, i)) + m;
}

/* { half d; i8 quants[32]; } */
static void q8_0_block(const uint8_t *block, float *out) {
    float d = half_at(block);
    for (int i = 0; i < 32; i++) out[i] = (float)(int8_t)block[2 + i] * d;
}

/* Blocks of 256, two bits an element: each 32 bytes hold 128 elements, 32 at each of four shifts. */
static int two_bits(const uint8_t *quants, int i) {
    return quants[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}
/* Four bits an element: each 32 bytes hold 64 elements, 32 at each of two shifts. */
static int four_bits(const uint8_t *quants, int i) {
    return quants[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
}
/* One bit an element: 32 bytes, 32 elements at each of eight shifts. */
static int one_bit(const uint8_t *mask, int i) {
    return mask[i % 32] >> (i / 32) & 1;
}

/* { u8 scales[16]: low nibble scale, high nibble min; u8 quants[64]; half d, dmin; } */
static void q2_k_block(const uint8_t *block, float *out) {
    const uint8_t *quants = block + 16;
    float d = half_at(block + 80), dmin = half_at(block + 82);
    for (int i = 0; i < 256; i++) {
        float scale = d * (float)(block[i / 16] & 15), min = dmin * (float)(block[i / 16] >> 4);
        out[i] = scale * (float)two_bits(quants, i) - min;
    }
}

/* Sixteen 6-bit scales in 12 bytes: eight bytes of low nibbles, then four of top pairs. */
static int q3_k_scale(const uint8_t *scales, int j) {
    int low = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4;
    int high = scales[8 + j % 4] >> (j / 4 * 2) & 3;
    return (low | high << 4) - 32;
}

/* { u8 mask[32]; u8 quants[64]; u8 scales[12]; half d; } A mask bit of 0 takes 4 away. */
static void q3_k_block(const uint8_t *block, float *out) {
    const uint8_t *quants = block + 32, *scales = block + 96;
    float d = half_at(block + 108);
    for (int i = 0; i < 256; i++) {
        float scale = d * (float)q3_k_scale(scales, i / 16);
        out[i] = scale * (float)(two_bits(quants, i) - (one_bit(block, i) ? 0 : 4));
    }
}

/* Eight 6-bit scales and eight 6-bit mins in 12 bytes. The first four of each are the low bits of bytes 0 to 3 and 4 to 7; the
 * top pairs of those bytes complete the nibbles in bytes 8 to 11 to the last four. */
static void q45_k_scale_min(const uint8_t *scales, int j, float *scale, float *min) {
    int s = j < 4 ? scales[j] & 63 : (scales[j + 4] & 15) | (scales[j - 4] >> 6) << 4;
    int m = j < 4 ? scales[j + 4] & 63 : scales[j + 4] >> 4 | (scales[j] >> 6) << 4;
    *scale = (float)s;
    *min = (float)m;
}

/* { half d, dmin; u8 scales[12]; u8 quants[128]; } and, for Q5_K, u8 high[32] before the quants. */
static void q45_k_block(const uint8_t *block, const uint8_t *high, const uint8_t *quants, float *out) {
    float d = half_at(block), dmin = half_at(block + 2);
    for (int j = 0; j < 8; j++) {
        float scale, min;
        q45_k_scale_min(block + 4, j, &scale, &min);
        scale = d * scale;
        min = dmin * min;
        for (int i = 32 * j; i < 32 * j + 32; i++) {
            int quant = four_bits(quants, i) | (high ? one_bit(high, i) << 4 : 0);
            out[i] = scale * (float)quant - min;
        }
    }
}

static void q4_k_block(const uint8_t *block, float *out) {
    q45_k_block(block, NULL, block + 16, out);
}
static void q5_k_block(const uint8_t *block, float *out) {
    q45_k_block(block, block + 16, block + 48, out);
}

/* { u8 low[128]: each 64 bytes 128 elements; u8 high[64]; i8 scales[16]; half d; } */
static void q6_k_block(const uint8_t *block, float *out) {
    const uint8_t *high = block + 128, *scales = block + 192;
    float d = half_at(block + 208);
    for (int i = 0; i < 256; i++) {
        int low = block[i / 128 * 64 + i % 64] >> (i / 64 % 2 * 4) & 15;
        float scale = d * (float)(int8_t)scales[i / 16];
        out[i] = scale * (float)((low | two_bits(high, i) << 4) - 32);
    }
}

/* { half d; u8 quants[16]; } */
static void iq4_nl_block(const uint8_t *block, float *out) {
    float d = half_at(block);
    for (int i = 0; i < 32; i++) out[i] = d * (float)llmc_codes[LLMC_CODES_IQ4][nibble(block + 2, i)];
}

/* { half d; u16 high; u8 low[4]; u8 quants[128]; } The scale of each 32 elements: a nibble of low, a pair of high, less 32. */
static void iq4_xs_block(const uint8_t *block, float *out) {
    float d = half_at(block);
    uint32_t high = u16_at(block + 2);
    for (int j = 0; j < 8; j++) {
        int low = block[4 + j / 2] >> (j % 2 * 4) & 15;
        float scale = d * (float)((low | (int)(high >> 2 * j & 3) << 4) - 32);
        for (int i = 0; i < 32; i++) out[32 * j + i] = scale * (float)llmc_codes[LLMC_CODES_IQ4][nibble(block + 8 + 16 * j, i)];
    }
}

/* { u8 exponent; u8 quants[16]; } */
static void mxfp4_block(const uint8_t *block, float *out) {
    float d = llmc_e8m0_half(block[0]);
    for (int i = 0; i < 32; i++) out[i] = d * (float)llmc_codes[LLMC_CODES_E2M1][nibble(block + 1, i)];
}

/* { u8 quants[64]; half d; } */
static void tq2_0_block(const uint8_t *block, float *out) {
    float d = half_at(block + 64);
    for (int i = 0; i < 256; i++) out[i] = d * (float)(two_bits(block, i) - 1);
}

/* A byte is a fraction of 256 whose digits to base 3, from the highest on, are fields: this is digit n. */
static int ternary_digit(uint8_t byte, int n) {
    static const uint8_t powers[5] = {1, 3, 9, 27, 81};
    return (uint8_t)(byte * powers[n]) * 3 >> 8;
}

/* { u8 quants[48], high[4]; half d; } 32 bytes have 5 digits each, 16 have 5, 4 have 4; elements go by digits first. */
static void tq1_0_block(const uint8_t *block, float *out) {
    float d = half_at(block + 52);
    for (int i = 0; i < 256; i++) {
        int digit = i < 160   ? ternary_digit(block[i % 32], i / 32)
                    : i < 240 ? ternary_digit(block[32 + i % 16], (i - 160) / 16)
                              : ternary_digit(block[48 + i % 4], (i - 240) / 4);
        out[i] = d * (float)(digit - 1);
    }
}

/* IQ3, IQ2 and IQ1: 8 scales or 16. All products are exact. */
static void grid_block(int32_t type, int codes, int n_scales, const uint8_t *block, float *out) {
    uint16_t half;
    uint8_t scale[16], field[256];
    llmc_grid_block(type, block, &half, scale, field);
    float d = llmc_f16_to_f32(half) * llmc_code_forms[codes].unit;
    for (int i = 0; i < 256; i++) out[i] = d * (float)scale[i * n_scales / 256] * (float)llmc_codes[codes][field[i]];
}

#define GRID_BLOCK(name, type, codes, n_scales)                                                                                \
    static void name(const uint8_t *block, float *out) {                                                                       \
        grid_block(type, codes, n_scales, block, out);                                                                         \
    }
GRID_BLOCK(iq3_xxs_block, LLMC_TYPE_IQ3_XXS, LLMC_CODES_IQ3_XXS, 8)
GRID_BLOCK(iq3_s_block, LLMC_TYPE_IQ3_S, LLMC_CODES_IQ3_S, 8)
GRID_BLOCK(iq2_xxs_block, LLMC_TYPE_IQ2_XXS, LLMC_CODES_IQ2, 8)
GRID_BLOCK(iq2_xs_block, LLMC_TYPE_IQ2_XS, LLMC_CODES_IQ2, 16)
GRID_BLOCK(iq2_s_block, LLMC_TYPE_IQ2_S, LLMC_CODES_IQ2, 16)
GRID_BLOCK(iq1_s_block, LLMC_TYPE_IQ1_S, LLMC_CODES_IQ1, 8)
GRID_BLOCK(iq1_m_block, LLMC_TYPE_IQ1_M, LLMC_CODES_IQ1, 16)

/* Indexed by ggml's id. */
static void (*const block_functions[])(const uint8_t *block, float *out) = {
    [LLMC_TYPE_F32] = f32_block,         [LLMC_TYPE_F16] = f16_block,       [LLMC_TYPE_Q4_0] = q4_0_block,
    [LLMC_TYPE_Q4_1] = q4_1_block,       [LLMC_TYPE_Q5_0] = q5_0_block,     [LLMC_TYPE_Q5_1] = q5_1_block,
    [LLMC_TYPE_Q8_0] = q8_0_block,       [LLMC_TYPE_Q2_K] = q2_k_block,     [LLMC_TYPE_Q3_K] = q3_k_block,
    [LLMC_TYPE_Q4_K] = q4_k_block,       [LLMC_TYPE_Q5_K] = q5_k_block,     [LLMC_TYPE_Q6_K] = q6_k_block,
    [LLMC_TYPE_BF16] = bf16_block,       [LLMC_TYPE_IQ4_NL] = iq4_nl_block, [LLMC_TYPE_IQ4_XS] = iq4_xs_block,
    [LLMC_TYPE_TQ1_0] = tq1_0_block,     [LLMC_TYPE_TQ2_0] = tq2_0_block,   [LLMC_TYPE_MXFP4] = mxfp4_block,
    [LLMC_TYPE_IQ3_XXS] = iq3_xxs_block, [LLMC_TYPE_IQ3_S] = iq3_s_block,   [LLMC_TYPE_IQ2_XXS] = iq2_xxs_block,
    [LLMC_TYPE_IQ2_XS] = iq2_xs_block,   [LLMC_TYPE_IQ2_S] = iq2_s_block,   [LLMC_TYPE_IQ1_S] = iq1_s_block,
    [LLMC_TYPE_IQ1_M] = iq1_m_block,
};

void llmc_dequantize(int32_t type, const void *blocks, size_t n_elements, float *out) {
    const llmc_quant_type *info = llmc_quant_type_find(type);
    if (!info || !info->supported) return;
    const uint8_t *block = blocks;
    for (size_t i = 0; i + info->block_elements <= n_elements; i += info->block_elements, block += info->block_bytes)
        block_functions[type](block, out + i);
}
