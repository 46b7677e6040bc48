/* Weights for the kernel tests and benchmark: random bytes for the quants, scales that a model could have. */
#ifndef TESTS_RANDOM_WEIGHTS_H
#define TESTS_RANDOM_WEIGHTS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/cpu/half.h"

/* Where the f16 fields of a block are; for plain types every element is one. MXFP4's scale is an exponent, its first byte; IQ1_M's
 * lies in the highest bits of its last four halves. */
enum { NONE = -1, IN_EXPONENT = -2, IN_PIECES = -3 };

typedef struct weight_type {
    int32_t id;
    const char *name;
    uint32_t cols, bytes; /* of a block */
    int d_at, m_at;
} weight_type;

static const weight_type weight_types[] = {
    {0, "F32", 1, 4, NONE, NONE},
    {1, "F16", 1, 2, NONE, NONE},
    {30, "BF16", 1, 2, NONE, NONE},
    {2, "Q4_0", 32, 18, 0, NONE},
    {3, "Q4_1", 32, 20, 0, 2},
    {6, "Q5_0", 32, 22, 0, NONE},
    {7, "Q5_1", 32, 24, 0, 2},
    {8, "Q8_0", 32, 34, 0, NONE},
    {10, "Q2_K", 256, 84, 80, 82},
    {11, "Q3_K", 256, 110, 108, NONE},
    {12, "Q4_K", 256, 144, 0, 2},
    {13, "Q5_K", 256, 176, 0, 2},
    {14, "Q6_K", 256, 210, 208, NONE},
    {20, "IQ4_NL", 32, 18, 0, NONE},
    {23, "IQ4_XS", 256, 136, 0, NONE},
    {39, "MXFP4", 32, 17, IN_EXPONENT, NONE},
    {34, "TQ1_0", 256, 54, 52, NONE},
    {35, "TQ2_0", 256, 66, 64, NONE},
    {18, "IQ3_XXS", 256, 98, 0, NONE},
    {21, "IQ3_S", 256, 110, 0, NONE},
    {16, "IQ2_XXS", 256, 66, 0, NONE},
    {17, "IQ2_XS", 256, 74, 0, NONE},
    {22, "IQ2_S", 256, 82, 0, NONE},
    {19, "IQ1_S", 256, 50, 0, NONE},
    {29, "IQ1_M", 256, 56, IN_PIECES, NONE},
};
enum { N_WEIGHT_TYPES = sizeof weight_types / sizeof weight_types[0] };

static inline uint64_t random_next(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static inline float random_float(uint64_t *state) {
    return (float)(int32_t)(random_next(state) >> 32) * 0x1p-31f;
}

/* Of a type that has a half for it. */
static inline void set_d(const weight_type *type, uint8_t *block, uint16_t half) {
    if (type->d_at >= 0) memcpy(block + type->d_at, &half, 2);
    for (uint32_t i = 0; type->d_at == IN_PIECES && i < 4; i++) {
        uint8_t *high = block + type->bytes - 7 + 2 * i;
        *high = (uint8_t)((*high & 15) | (half >> 4 * i & 15) << 4);
    }
}

static inline void random_half(uint64_t *state, uint8_t *at, float scale) {
    uint16_t half = llmc_f32_to_f16(random_float(state) * scale);
    memcpy(at, &half, 2);
}

static inline void random_elements(uint64_t *state, const weight_type *type, uint8_t *out, size_t n) {
    for (size_t i = 0; i < n; i++, out += type->bytes) {
        float value = random_float(state);
        uint16_t half = type->id == 1 ? llmc_f32_to_f16(value) : llmc_f32_to_bf16(value);
        if (type->id == 0) memcpy(out, &value, 4);
        else memcpy(out, &half, 2);
    }
}

static inline void random_weights(uint64_t *state, const weight_type *type, uint8_t *out, size_t n_elements) {
    size_t n_blocks = n_elements / type->cols;
    if (type->cols == 1) {
        random_elements(state, type, out, n_elements);
        return;
    }
    for (size_t b = 0; b < n_blocks; b++, out += type->bytes) {
        for (uint32_t i = 0; i < type->bytes; i++) out[i] = (uint8_t)(random_next(state) >> 24);
        if (type->d_at == IN_EXPONENT) out[0] = (uint8_t)(116 + out[0] % 8);
        else set_d(type, out, llmc_f32_to_f16(random_float(state) * 0.01f));
        if (type->m_at >= 0) random_half(state, out + type->m_at, 0.05f);
    }
}

#endif
