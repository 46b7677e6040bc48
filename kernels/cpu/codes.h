/* What the fields of types with a table stand for, and the exponents of MXFP4's blocks: one home for the loader and every tier. */
#ifndef LLMC_CODES_H
#define LLMC_CODES_H

#include "kernels/cpu/half.h"

/* A layout's table; 0: a field stands for itself. */
enum {
    LLMC_CODES_NONE,
    LLMC_CODES_IQ4,
    LLMC_CODES_E2M1,
    LLMC_CODES_IQ3_XXS,
    LLMC_CODES_IQ3_S,
    LLMC_CODES_IQ2,
    LLMC_CODES_IQ1,
    LLMC_CODES
};

/* IQ4: IQ4_NL and IQ4_XS, ggml's levels for weights that are normally distributed. E2M1: MXFP4, the values of the OCP Microscaling
 * Formats specification, doubled, so that they are integers. The others are the coordinates of grids (grids.h), the negative ones
 * behind the positive ones; IQ1: -1, 0 and 1, shifted up by an eighth and then down. */
static const int8_t llmc_codes[LLMC_CODES][16] = {
    [LLMC_CODES_IQ4] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113},
    [LLMC_CODES_E2M1] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12},
    [LLMC_CODES_IQ3_XXS] = {2, 6, 10, 14, 18, 22, 26, 31, -2, -6, -10, -14, -18, -22, -26, -31},
    [LLMC_CODES_IQ3_S] = {1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15},
    [LLMC_CODES_IQ2] = {8, 25, 43, 0, -8, -25, -43},
    [LLMC_CODES_IQ1] = {-7, 1, 9, 0, -9, -1, 7},
};

/* What makes a field of a table's entry: its offset, and the bits that it then has. unit: what d is multiplied by first, exactly,
 * as the entries are integers (E2M1's half is in the exponent). */
static const struct {
    uint8_t offset, bits;
    float unit;
} llmc_code_forms[LLMC_CODES] = {
    [LLMC_CODES_NONE] = {0, 0, 1.0f},     [LLMC_CODES_IQ4] = {128, 8, 1.0f},  [LLMC_CODES_E2M1] = {16, 5, 1.0f},
    [LLMC_CODES_IQ3_XXS] = {32, 6, 0.5f}, [LLMC_CODES_IQ3_S] = {16, 5, 1.0f}, [LLMC_CODES_IQ2] = {64, 7, 0.125f},
    [LLMC_CODES_IQ1] = {16, 5, 0.125f},
};

/* Half of an E8M0 scale, for doubled values: 2^(exponent - 128), of which the lowest two are subnormal. As ggml has it, 255 is a
 * number, too. */
static inline float llmc_e8m0_half(uint8_t exponent) {
    return llmc_f32_from_bits(exponent < 2 ? 0x00200000u << exponent : (exponent - 1u) << 23);
}

#endif
