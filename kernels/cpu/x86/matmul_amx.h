/* What the parts of the AMX matrix product share: matmul_amx.c divides a product into pairs of tiles, matmul_amx_32.c and
 * matmul_amx_256.c compute one. */
#ifndef LLMC_MATMUL_AMX_H
#define LLMC_MATMUL_AMX_H

#include "kernels/cpu/pack.h"
#include "kernels/cpu/x86/amx_tiles.h"

enum {
    AMX_PAIR = 2,        /* tiles at a time */
    AMX_GROUP_ROWS = 16, /* what a tile register holds */
    AMX_MAX_ROWS = 256   /* whose running sums stay in the caches */
};

/* A pair of tiles times rows. Rows are divided into groups of the same size; the last one overlaps the one before. */
typedef struct amx_product {
    int32_t type;
    uint32_t cols;
    const uint8_t *tile[AMX_PAIR];
    const uint8_t *act;
    size_t act_stride;
    uint32_t n_rows, group_rows, n_groups;
    float (*sums)[AMX_PAIR][LLMC_TILE_ROWS]; /* of row r of group g: AMX_GROUP_ROWS * g + r */
    void *work;                              /* llmc_amx_work_bytes */
} amx_product;

static inline const uint8_t *amx_group_act(const amx_product *p, uint32_t group) {
    uint32_t row = group * p->group_rows, last = p->n_rows - p->group_rows;
    return p->act + (row < last ? row : last) * p->act_stride;
}

/* The shapes of tile registers that a part uses. */
amx_config llmc_amx_config_32(uint32_t group_rows);
amx_config llmc_amx_config_256(uint32_t group_rows);

/* Sums of products over all columns, into p->sums. */
void llmc_amx_product_32(const amx_product *p);
void llmc_amx_product_256(const amx_product *p);

/* At least what a part needs in p->work. */
enum { AMX_WORK_BYTES = 64 << 10 };

#endif
