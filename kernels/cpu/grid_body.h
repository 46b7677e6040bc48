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

/* Does a point have 4 columns of 4 bits, not 8 of 2? */
GRID_INLINE int grid_of_4(const int32_t type) {
    return type == LLMC_PACK_IQ3_XXS || type == LLMC_PACK_IQ3_S;
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

/* 4 numbers of 4 bits as bytes. */
GRID_INLINE row_word as_bytes(row_word bits) {
    bits = (bits | bits << 8) & 0x00ff00ff;
    return (bits | bits << 4) & 0x0f0f0f0f;
}

/* Bytes of 7 signs, with the eighth that makes the number of minuses even. */
GRID_INLINE row_word even_signs(row_word sevens) {
    row_word odd = sevens ^ (sevens >> 4 & 0x07070707);
    odd ^= odd >> 2 & 0x03030303;
    odd ^= odd >> 1;
    return sevens | (odd & 0x01010101) << 7;
}

/* Of 32 columns, a bit each. */
GRID_INLINE row_word signs_of(const int32_t type, const row_word *w, int chunk) {
    row_word x;
    switch (type) {
    case LLMC_PACK_IQ2_XXS:
    case LLMC_PACK_IQ3_XXS:
        x = type == LLMC_PACK_IQ2_XXS ? w[2 * chunk + 1] : w[16 + chunk];
        return even_signs((x & 0x7f) | (x << 1 & 0x7f00) | (x << 2 & 0x7f0000) | (x << 3 & 0x7f000000));
    case LLMC_PACK_IQ2_XS:
        x = (w[2 * chunk] >> 9 & 0x7f) | (w[2 * chunk] >> 17 & 0x7f00);
        return even_signs(x | (w[2 * chunk + 1] << 7 & 0x7f0000) | (w[2 * chunk + 1] >> 1 & 0x7f000000));
    case LLMC_PACK_IQ2_S:
        return w[8 + chunk];
    case LLMC_PACK_IQ3_S:
        return w[18 + chunk];
    case LLMC_PACK_IQ1_S:
        return -(bits_of(w + 8, 16, chunk) >> 15);
    default: /* IQ1_M */
        x = as_bytes(bits_of(w + 8, 16, chunk)) >> 3 & 0x01010101;
        return (x << 8) - x;
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
