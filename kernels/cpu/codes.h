/* What the 4-bit fields of types with a table stand for, and the exponents of MXFP4's blocks: one home for the loader and every
 * tier. */
#ifndef LLMC_CODES_H
#define LLMC_CODES_H

#include "kernels/cpu/half.h"

/* A layout's table; 0: a field stands for itself. */
enum { LLMC_CODES_NONE, LLMC_CODES_IQ4, LLMC_CODES_E2M1, LLMC_CODES };

/* IQ4: IQ4_NL and IQ4_XS, ggml's levels for weights that are normally distributed. E2M1: MXFP4, the values of the OCP Microscaling
 * Formats specification, doubled, so that they are integers. */
static const int8_t llmc_codes[LLMC_CODES][16] = {
    [LLMC_CODES_IQ4] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113},
    [LLMC_CODES_E2M1] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12},
};

/* Half of an E8M0 scale, for doubled values: 2^(exponent - 128), of which the lowest two are subnormal. As ggml has it, 255 is a
 * number, too. */
static inline float llmc_e8m0_half(uint8_t exponent) {
    return llmc_f32_from_bits(exponent < 2 ? 0x00200000u << exponent : (exponent - 1u) << 23);
}

#endif
