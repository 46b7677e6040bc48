/* A block of a type with a grid as plain numbers: for rows of a last tile, and for what becomes floats when it is loaded. */
#include <string.h>

#include "kernels/cpu/grids.h"

typedef uint32_t row_word;

static row_word look_up(const uint16_t *grid, row_word index) {
    return grid[index];
}

#include "kernels/cpu/grid_body.h"

enum { MOST_WORDS = 27 };

GRID_INLINE void read_grid_block(const int32_t type, const uint8_t *block, uint16_t *d, uint8_t *scale, uint8_t *field) {
    row_word w[MOST_WORDS];
    memcpy(w, block + (type == LLMC_PACK_IQ1_M ? 0 : 2), (size_t)grid_words(type) * 4);
    if (type == LLMC_PACK_IQ1_M) *d = (uint16_t)d_in_pieces(w);
    else memcpy(d, block, 2);
    for (int i = 0; i < grid_n_scales(type) / 4; i++) {
        row_word four = grid_scales(type, w, i);
        memcpy(scale + i * 4, &four, 4);
    }
    const int bits = grid_of_4(type) ? 4 : 2, sign_bit = grid_of_4(type) ? 3 : 2, cols = 16 / bits;
    for (int i = 0; i < 256; i += cols) {
        const row_word point = point_of(type, w, i / cols), signs = signs_of(type, w, i / 32) >> i % 32;
        for (int c = 0; c < cols; c++)
            field[i + c] = (uint8_t)((point >> c * bits & ((1u << bits) - 1)) | (signs >> c & 1) << sign_bit);
    }
}

void llmc_grid_block(int32_t type, const uint8_t *block, uint16_t *d, uint8_t scale[16], uint8_t field[256]) {
#define GRID(type)                                                                                                             \
    case type:                                                                                                                 \
        read_grid_block(type, block, d, scale, field);                                                                         \
        break;
    switch (type) {
        GRID(LLMC_PACK_IQ3_XXS)
        GRID(LLMC_PACK_IQ3_S)
        GRID(LLMC_PACK_IQ2_XXS)
        GRID(LLMC_PACK_IQ2_XS)
        GRID(LLMC_PACK_IQ2_S)
        GRID(LLMC_PACK_IQ1_S)
        GRID(LLMC_PACK_IQ1_M)
    default:
        break;
    }
#undef GRID
}
