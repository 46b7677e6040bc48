/* The types whose blocks name points of a grid: IQ3, IQ2 and IQ1. An index stands for 8 columns (IQ3: 4) that have a sign each
 * (IQ1: a shift in common); 16 or 32 columns share a scale. In a tile every column has a field of its own, 4 bits or 3. */
#ifndef LLMC_GRIDS_H
#define LLMC_GRIDS_H

#include <stdint.h>

enum {
    LLMC_GRID_IQ3_XXS = 256,
    LLMC_GRID_IQ3_S = 512,
    LLMC_GRID_IQ2_XXS = 256,
    LLMC_GRID_IQ2_XS = 512,
    LLMC_GRID_IQ2_S = 1024,
    LLMC_GRID_IQ1 = 2048
};

/* Points, the first column in the lowest bits: 4 columns of 4 bits (IQ3) or 8 of 2, places in the tables of codes.h. */
extern const uint16_t llmc_grid_iq3_xxs[LLMC_GRID_IQ3_XXS];
extern const uint16_t llmc_grid_iq3_s[LLMC_GRID_IQ3_S];
extern const uint16_t llmc_grid_iq2_xxs[LLMC_GRID_IQ2_XXS];
extern const uint16_t llmc_grid_iq2_xs[LLMC_GRID_IQ2_XS];
extern const uint16_t llmc_grid_iq2_s[LLMC_GRID_IQ2_S];
extern const uint16_t llmc_grid_iq1[LLMC_GRID_IQ1]; /* IQ1_S and IQ1_M */

/* A block of 256 columns: d in half precision, 8 scales or 16, fields before their table. */
void llmc_grid_block(int32_t type, const uint8_t *block, uint16_t *d, uint8_t scale[16], uint8_t field[256]);

#endif
