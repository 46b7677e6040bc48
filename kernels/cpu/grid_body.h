/* Where the blocks of types with a grid keep what: one text for a row alone and for the 16 rows of a tile. What includes this has
 * said what `row_word` is, 4 bytes of a row's block or a vector of those of 16 rows, and has the points of a grid at such indexes:
 *     row_word look_up(const uint16_t *grid, row_word index)
 * Words are counted from behind d; of IQ1_M, whose d is in pieces, from the block's begin:
 *   IQ2_XXS  8 * {4 indexes of 8 bits; 4 signs of 7, scale of 4}
 *   IQ3_XXS  64 indexes of 8 bits; 8 * {4 signs of 7, scale of 4}
 *   IQ2_XS   32 * {index of 9 bits, signs of 7}; 16 scales of 4
 *   IQ2_S    32 low bytes of indexes; 32 signs of 8 bits; 32 high pairs of bits; 16 scales of 4
 *   IQ3_S    64 low bytes of indexes; 64 high bits; 32 signs of 8 bits; 8 scales of 4
 *   IQ1_S    32 low bytes of indexes; 8 * {4 * 3 high bits, scale of 3, shift of 1}
 *   IQ1_M    32 low bytes of indexes; 32 * {3 high bits, shift of 1}; 4 * {4 scales of 3, 4 bits of d}
 * The lowest bits come first. A scale n stands for 2 * n + 1. */
#ifndef LLMC_GRID_BODY_H
#define LLMC_GRID_BODY_H

#include "kernels/cpu/grids.h"
#include "kernels/cpu/pack.h"

#define GRID_INLINE static inline __attribute__((always_inline))

/* Words of a block; 0: the type has no grid. */
GRID_INLINE int grid_words(const int32_t type) {
    switch (type) {
    case LLMC_PACK_IQ2_XXS:
        return 16;
    case LLMC_PACK_IQ2_XS:
        return 18;
    case LLMC_PACK_IQ2_S:
        return 20;
    case LLMC_PACK_IQ3_XXS:
        return 24;
    case LLMC_PACK_IQ3_S:
        return 27;
    case LLMC_PACK_IQ1_S:
        return 12;
    default:
        return type == LLMC_PACK_IQ1_M ? 14 : 0;
    }
}

/* Of 16 columns each or of 32. */
GRID_INLINE int grid_n_scales(const int32_t type) {
    if (type == LLMC_PACK_IQ2_XS || type == LLMC_PACK_IQ2_S || type == LLMC_PACK_IQ1_M) return 16;
    return grid_words(type) ? 8 : 0;
}

/* The i-th number of n bits, which divide 32. */
GRID_INLINE row_word bits_of(const row_word *w, int n, int i) {
    return w[i * n / 32] >> i * n % 32 & ((1u << n) - 1);
}

/* 4 fields of 1, 2 or 4 bits to bytes. */
GRID_INLINE row_word spread_1(row_word bits) {
    return (bits | bits << 7 | bits << 14 | bits << 21) & 0x01010101;
}
GRID_INLINE row_word spread_2(row_word bits) {
    bits = (bits | bits << 12) & 0x000f000f;
    return (bits | bits << 6) & 0x03030303;
}
GRID_INLINE row_word spread_4(row_word bits) {
    bits = (bits | bits << 8) & 0x00ff00ff;
    return (bits | bits << 4) & 0x0f0f0f0f;
}

/* 8 signs of which the last one makes the number of minuses even. */
GRID_INLINE row_word even_signs(row_word seven) {
    row_word odd = seven ^ seven >> 4;
    odd ^= odd >> 2;
    odd ^= odd >> 1;
    return seven | (odd & 1) << 7;
}

/* Of 8 columns, a bit each. */
GRID_INLINE row_word signs_of(const int32_t type, const row_word *w, int octet) {
    switch (type) {
    case LLMC_PACK_IQ2_XXS:
        return even_signs(w[octet / 4 * 2 + 1] >> octet % 4 * 7 & 127);
    case LLMC_PACK_IQ3_XXS:
        return even_signs(w[16 + octet / 4] >> octet % 4 * 7 & 127);
    case LLMC_PACK_IQ2_XS:
        return even_signs(bits_of(w, 16, octet) >> 9);
    case LLMC_PACK_IQ2_S:
        return bits_of(w + 8, 8, octet);
    case LLMC_PACK_IQ3_S:
        return bits_of(w + 18, 8, octet);
    case LLMC_PACK_IQ1_S:
        return -(bits_of(w + 8, 16, octet / 4) >> 15) & 255;
    default: /* IQ1_M */
        return -(bits_of(w + 8, 4, octet) >> 3) & 255;
    }
}

/* Point i of a block. */
GRID_INLINE row_word point_of(const int32_t type, const row_word *w, int i) {
    switch (type) {
    case LLMC_PACK_IQ3_XXS:
        return look_up(llmc_grid_iq3_xxs, bits_of(w, 8, i));
    case LLMC_PACK_IQ3_S:
        return look_up(llmc_grid_iq3_s, bits_of(w, 8, i) | bits_of(w + 16, 1, i) << 8);
    case LLMC_PACK_IQ2_XXS:
        return look_up(llmc_grid_iq2_xxs, bits_of(w + i / 4 * 2, 8, i % 4));
    case LLMC_PACK_IQ2_XS:
        return look_up(llmc_grid_iq2_xs, bits_of(w, 16, i) & 511);
    case LLMC_PACK_IQ2_S:
        return look_up(llmc_grid_iq2_s, bits_of(w, 8, i) | bits_of(w + 16, 2, i) << 8);
    case LLMC_PACK_IQ1_S:
        return look_up(llmc_grid_iq1, bits_of(w, 8, i) | (bits_of(w + 8, 16, i / 4) >> i % 4 * 3 & 7) << 8);
    default: /* IQ1_M */
        return look_up(llmc_grid_iq1, bits_of(w, 8, i) | (bits_of(w + 8, 4, i) & 7) << 8);
    }
}

/* 8 columns as two groups of 4: the sign is the highest bit of a field. */
GRID_INLINE void grid_fields(const int32_t type, const row_word *w, int octet, row_word field[2]) {
    const row_word signs = signs_of(type, w, octet);
    if (type == LLMC_PACK_IQ3_XXS || type == LLMC_PACK_IQ3_S) {
        for (int g = 0; g < 2; g++) field[g] = spread_4(point_of(type, w, octet * 2 + g)) | spread_1(signs >> 4 * g & 15) << 3;
    } else {
        const row_word point = point_of(type, w, octet);
        for (int g = 0; g < 2; g++) field[g] = spread_2(point >> 8 * g & 255) | spread_1(signs >> 4 * g & 15) << 2;
    }
}

GRID_INLINE row_word scale_of(const int32_t type, const row_word *w, int i) {
    switch (type) {
    case LLMC_PACK_IQ2_XXS:
        return w[2 * i + 1] >> 28;
    case LLMC_PACK_IQ3_XXS:
        return w[16 + i] >> 28;
    case LLMC_PACK_IQ2_XS:
        return bits_of(w + 16, 4, i);
    case LLMC_PACK_IQ2_S:
        return bits_of(w + 18, 4, i);
    case LLMC_PACK_IQ3_S:
        return bits_of(w + 26, 4, i);
    case LLMC_PACK_IQ1_S:
        return bits_of(w + 8, 16, i) >> 12 & 7;
    default: /* IQ1_M */
        return bits_of(w + 12, 16, i / 4) >> i % 4 * 3 & 7;
    }
}

/* Scales 4 * i to 4 * i + 3, a byte each. */
GRID_INLINE row_word grid_scales(const int32_t type, const row_word *w, int i) {
    row_word n = scale_of(type, w, 4 * i);
    for (int j = 1; j < 4; j++) n |= scale_of(type, w, 4 * i + j) << 8 * j;
    return n << 1 | 0x01010101;
}

/* IQ1_M's d. */
GRID_INLINE row_word d_in_pieces(const row_word *w) {
    return (w[12] >> 12 & 15) | w[12] >> 28 << 4 | (w[13] >> 12 & 15) << 8 | w[13] >> 28 << 12;
}

#endif
