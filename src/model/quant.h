/* The ggml tensor types as a table, and blocks to floats: what the loader needs to know of a weight's bytes. */
#ifndef LLMC_QUANT_H
#define LLMC_QUANT_H

#include <stddef.h>
#include <stdint.h>

enum {
    LLMC_TYPE_F32 = 0,
    LLMC_TYPE_F16 = 1,
    LLMC_TYPE_Q4_0 = 2,
    LLMC_TYPE_Q4_1 = 3,
    LLMC_TYPE_Q5_0 = 6,
    LLMC_TYPE_Q5_1 = 7,
    LLMC_TYPE_Q8_0 = 8,
    LLMC_TYPE_Q2_K = 10,
    LLMC_TYPE_Q3_K = 11,
    LLMC_TYPE_Q4_K = 12,
    LLMC_TYPE_Q5_K = 13,
    LLMC_TYPE_Q6_K = 14,
    LLMC_TYPE_IQ2_XXS = 16,
    LLMC_TYPE_IQ2_XS = 17,
    LLMC_TYPE_IQ3_XXS = 18,
    LLMC_TYPE_IQ1_S = 19,
    LLMC_TYPE_IQ4_NL = 20,
    LLMC_TYPE_IQ3_S = 21,
    LLMC_TYPE_IQ2_S = 22,
    LLMC_TYPE_IQ4_XS = 23,
    LLMC_TYPE_IQ1_M = 29,
    LLMC_TYPE_BF16 = 30,
    LLMC_TYPE_TQ1_0 = 34,
    LLMC_TYPE_TQ2_0 = 35,
    LLMC_TYPE_MXFP4 = 39
};

typedef struct llmc_quant_type {
    int32_t id;       /* ggml's */
    const char *name; /* "Q4_1" */
    uint32_t block_elements;
    uint32_t block_bytes;
    int supported; /* llmc_dequantize knows it; the others are named in errors */
} llmc_quant_type;

const llmc_quant_type *llmc_quant_type_find(int32_t id); /* NULL if there is no such id; static */

/* n_elements (whole blocks) of a supported type to floats: bit for bit what gguf.quants.dequantize of the Python package
 * gives. blocks need no alignment. Does nothing for other types. */
void llmc_dequantize(int32_t type, const void *blocks, size_t n_elements, float *out);

#endif
