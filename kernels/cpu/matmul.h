/* Matrix products of packed weights with rows of activations, for any number of rows: the heart of prefill and decode.
 *
 * A weight (rows = outputs, cols = inputs) is packed into tiles of LLMC_TILE_ROWS outputs, so that the lanes of a vector hold
 * different outputs and every lane adds its own sum over the columns in block order. How many rows, tiles or threads take part
 * therefore changes no bit of a tier's result. Quantized weights give the same bits on every tier (integer sums in a block, one
 * fma a block); so do F32, F16 and BF16 (one fma a column) on the tiers that multiply them with floats. */
#ifndef LLMC_MATMUL_H
#define LLMC_MATMUL_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu/cpu.h"

enum { LLMC_TILE_ROWS = 16 };

/* Types are ggml's ids, as pack.h lists them. */
typedef struct llmc_packed {
    int32_t type;
    uint32_t rows;
    uint32_t cols;
    size_t tile_bytes; /* of one tile: LLMC_TILE_ROWS outputs, all columns; a multiple of 64 */
    uint8_t *data;     /* 64-byte aligned, ceil(rows / LLMC_TILE_ROWS) tiles; missing rows of the last one are zeros */
} llmc_packed;

size_t llmc_packed_tile_bytes(int32_t type, uint32_t cols); /* 0: type not held, or cols not whole blocks */
size_t llmc_packed_bytes(int32_t type, uint32_t rows, uint32_t cols);

/* rows in GGUF layout into tiles; first_row is a multiple of LLMC_TILE_ROWS, and so is n_rows but for the matrix's last. */
void llmc_pack_rows(llmc_packed *packed, uint32_t first_row, uint32_t n_rows, const void *blocks);

/* One row as floats, equal to the dequantization of the original blocks. out has cols elements. */
void llmc_unpack_row(const llmc_packed *packed, uint32_t row, float *out);

/* Activations in the form that a weight's type multiplies with: int8 blocks of 32 or 256, as the type has them, with their
 * scales and sums, plain floats, bfloat16, or a sum of two bfloat16 (16 bits of a float's 24). */
typedef enum llmc_act_form {
    LLMC_ACT_F32 = 0,
    LLMC_ACT_Q8_32 = 1,
    LLMC_ACT_Q8_256 = 2,
    LLMC_ACT_BF16 = 3,
    LLMC_ACT_BF16_X2 = 4
} llmc_act_form;
enum { LLMC_ACT_FORMS = 5 };
size_t llmc_act_row_bytes(llmc_act_form form, uint32_t cols); /* a multiple of 64 */

/* Grows with cols. */
size_t llmc_matmul_scratch_bytes(llmc_cpu_tier tier, uint32_t cols);

typedef void (*llmc_matmul_function)(const llmc_packed *packed, const void *act, uint32_t n_rows, uint32_t tile_begin,
                                     uint32_t tile_end, float *dst, size_t dst_stride, const float *bias, int accumulate,
                                     void *scratch);

/* With the form that it takes on this tier. */
typedef struct llmc_float_product {
    llmc_matmul_function matmul;
    llmc_act_form form;
} llmc_float_product;

typedef struct llmc_matmul_kernels {
    /* One row of cols floats into its form at act (64-byte aligned). Equal on every tier. */
    void (*quantize)(llmc_act_form form, const float *x, uint32_t cols, void *act);
    /* dst[r * dst_stride + o] = or += sum over columns, for rows r < n_rows and outputs o of tiles [tile_begin, tile_end).
     * act rows are llmc_act_row_bytes apart. bias (packed->rows floats) or NULL: sum + bias, then stored or added. dst for
     * outputs beyond packed->rows is not touched. scratch: llmc_matmul_scratch_bytes of packed->cols, 64-byte aligned, of
     * this call alone. */
    llmc_matmul_function matmul;       /* of quantized weights */
    llmc_float_product f32, f16, bf16; /* of weights of these types */
} llmc_matmul_kernels;

/* The function and the form for a weight's type. */
llmc_matmul_function llmc_matmul_of(const llmc_matmul_kernels *kernels, int32_t weight_type);
llmc_act_form llmc_act_form_of(const llmc_matmul_kernels *kernels, int32_t weight_type);

/* Fills with the portable functions, then overrides those that the tier has better. */
void llmc_matmul_kernels_init(llmc_matmul_kernels *kernels, llmc_cpu_tier tier);

#endif
