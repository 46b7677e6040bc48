/* How packed tiles and quantized activations lie in memory: shared by the packer and by every tier's kernels.
 *
 * A tile of a quantized weight is two sections. First the quants, 32 columns at a time: planes of `low_bits` and then
 * `high_bits` bits, each plane whole 64-byte vectors. A *group* is 4 neighbouring columns; byte 4 * output + j of a vector has
 * field(s) of column j of a group, 8 / bits groups to a vector, the first in the lowest bits. So a vector, shifted and masked,
 * is an operand of vpdpbusd for 16 outputs. Second the scales, block after block (32 columns or 256), each 16 outputs wide:
 *   Q4_0 Q5_0 Q8_0   d            f16
 *   Q4_1 Q5_1        d m          f16
 *   Q4_K Q5_K        d dmin       f16, 4 pairs of scales, 4 pairs of minima
 *   Q6_K Q3_K        d            f16, 8 pairs of scales (signed)
 *   IQ4_NL TQ1_0 TQ2_0  d         f16
 *   IQ4_XS, and IQ3_XXS IQ3_S IQ2_XXS IQ1_S
 *                    d            f16, 4 pairs of scales (signed)
 *   IQ2_XS IQ2_S IQ1_M  d         f16, 8 pairs of scales (signed)
 *   MXFP4            exponent     a byte, E8M0
 *   Q2_K             d dmin       f16, 8 pairs of scale | minimum << 4
 * where a pair is 32 bytes, byte 2 * output + j for sub-block 2 * pair + j.
 *
 * Tiles of F32 and F16 have 16 values a column, one after the other. Those of BF16 have columns in pairs: value 2 * output + j
 * of a 64-byte vector is column 2 * pair + j, an operand of vdpbf16ps and a row of an operand of tdpbf16ps. A last column
 * without a partner has zeros for one. */
#ifndef LLMC_PACK_H
#define LLMC_PACK_H

#include "kernels/cpu/matmul.h"

/* ggml's ids, again: kernels include nothing of src. */
enum {
    LLMC_PACK_F32 = 0,
    LLMC_PACK_F16 = 1,
    LLMC_PACK_Q4_0 = 2,
    LLMC_PACK_Q4_1 = 3,
    LLMC_PACK_Q5_0 = 6,
    LLMC_PACK_Q5_1 = 7,
    LLMC_PACK_Q8_0 = 8,
    LLMC_PACK_Q2_K = 10,
    LLMC_PACK_Q3_K = 11,
    LLMC_PACK_Q4_K = 12,
    LLMC_PACK_Q5_K = 13,
    LLMC_PACK_Q6_K = 14,
    LLMC_PACK_IQ2_XXS = 16,
    LLMC_PACK_IQ2_XS = 17,
    LLMC_PACK_IQ3_XXS = 18,
    LLMC_PACK_IQ1_S = 19,
    LLMC_PACK_IQ4_NL = 20,
    LLMC_PACK_IQ3_S = 21,
    LLMC_PACK_IQ2_S = 22,
    LLMC_PACK_IQ4_XS = 23,
    LLMC_PACK_IQ1_M = 29,
    LLMC_PACK_BF16 = 30,
    LLMC_PACK_TQ1_0 = 34,
    LLMC_PACK_TQ2_0 = 35,
    LLMC_PACK_MXFP4 = 39,
    LLMC_PACK_TYPES = 40
};

/* scales: what a block has beside d, or in its place. */
enum {
    LLMC_SCALES_D,
    LLMC_SCALES_D_MIN,
    LLMC_SCALES_E8M0, /* half of it is d */
    LLMC_SCALES_K32,
    LLMC_SCALES_K32_MIN,
    LLMC_SCALES_K16,
    LLMC_SCALES_K16_MIN
};

/* What follows from it. Of 256 columns: pairs of sub-blocks, which have 32 columns each or 16. */
static inline int llmc_has_minima(int scales) {
    return scales == LLMC_SCALES_D_MIN || scales == LLMC_SCALES_K32_MIN || scales == LLMC_SCALES_K16_MIN;
}
static inline int llmc_sub_pairs(int scales) {
    return scales == LLMC_SCALES_K16 || scales == LLMC_SCALES_K16_MIN ? 8 : 4;
}
static inline size_t llmc_scale_bytes_32(int scales) {
    return scales == LLMC_SCALES_E8M0 ? 16 : scales == LLMC_SCALES_D_MIN ? 64 : 32;
}
static inline size_t llmc_scale_bytes_256(int scales) {
    return scales == LLMC_SCALES_D ? 32 : scales == LLMC_SCALES_K32 ? 160 : llmc_has_minima(scales) ? 320 : 288;
}

typedef struct llmc_tile_layout {
    uint16_t block_cols;  /* columns of a block in the file; 0: type not held */
    uint16_t block_bytes; /* of one row's block in the file */
    uint8_t low_bits, high_bits;
    uint8_t codes;  /* of codes.h: what the bits stand for; the field is that plus the offset */
    uint8_t offset; /* weight = field - offset */
    uint8_t scales;
    uint16_t scale_bytes; /* of a tile's block */
} llmc_tile_layout;

const llmc_tile_layout *llmc_tile_layout_of(int32_t type); /* NULL: type not held */

/* A block of activations: x is about d * q. Blocks of a row follow each other without gaps. */
typedef struct llmc_act_32 {
    float d;
    float s;         /* d * sum of q */
    int32_t neg_sum; /* -sum of q: times an offset, where accumulators of offset weights start */
    int8_t q[32];
} llmc_act_32;

typedef struct llmc_act_256 {
    int8_t q[256]; /* whole lines */
    float d;
    int16_t sum_32[8]; /* sums of q over 32 and over 16 */
    int16_t sum_16[16];
    uint8_t unused[12]; /* up to a line; not written */
} llmc_act_256;

static inline size_t llmc_round_up_64(size_t size) {
    return (size + 63) & ~(size_t)63;
}

/* Of one row of bfloat16 activations, with zeros after the last. An odd number of lines, as of floats, so that 16 rows lie in as
 * many sets of the caches. */
static inline size_t llmc_bf16_row_bytes(uint32_t cols) {
    return llmc_round_up_64((size_t)cols * 2) | 64;
}

static inline size_t llmc_act_bytes(llmc_act_form form, uint32_t cols) {
    if (form == LLMC_ACT_Q8_32) return llmc_round_up_64((size_t)cols / 32 * sizeof(llmc_act_32));
    if (form == LLMC_ACT_Q8_256) return llmc_round_up_64((size_t)cols / 256 * sizeof(llmc_act_256));
    if (form == LLMC_ACT_BF16) return llmc_bf16_row_bytes(cols);
    if (form == LLMC_ACT_BF16_X2) return 2 * llmc_bf16_row_bytes(cols);
    return llmc_round_up_64((size_t)cols * sizeof(float)) | 64;
}

/* The form of quantized weights; of floats, that of the tiers without products of bfloat16. */
static inline llmc_act_form llmc_act_form_inline(int32_t type) {
    switch (type) {
    case LLMC_PACK_F32:
    case LLMC_PACK_F16:
    case LLMC_PACK_BF16:
        return LLMC_ACT_F32;
    case LLMC_PACK_Q4_0:
    case LLMC_PACK_Q4_1:
    case LLMC_PACK_Q5_0:
    case LLMC_PACK_Q5_1:
    case LLMC_PACK_Q8_0:
    case LLMC_PACK_IQ4_NL:
    case LLMC_PACK_MXFP4:
        return LLMC_ACT_Q8_32;
    default:
        return LLMC_ACT_Q8_256;
    }
}

/* One column block of a packed tile as plain integers, for portable code: columns of one output. */
void llmc_tile_fields(const llmc_tile_layout *layout, const uint8_t *quants, uint32_t lane, uint8_t fields[32]);

/* 16 rows in the file's layout, stride bytes apart, as a whole tile. */
void llmc_pack_tile(const llmc_packed *packed, uint8_t *tile, const uint8_t *rows, size_t stride);

/* A value of a tile of F32, F16 or BF16. */
float llmc_tile_float(int32_t type, const uint8_t *tile, size_t col, uint32_t lane);

/* Bytes of scratch that products of quantized weights take, with AVX2 and with AVX-512. */
enum { LLMC_AVX2_SCRATCH = 20 << 10, LLMC_AVX512_SCRATCH = 160 << 10 };

/* Bytes of scratch that AMX's products of floats and of quantized weights take. */
enum { LLMC_AMX_FLOAT_SCRATCH = 49152, LLMC_AMX_SCRATCH_BYTES = 98304 };

#ifdef LLMC_X86
void llmc_matmul_kernels_avx2(llmc_matmul_kernels *kernels);
void llmc_matmul_kernels_avxvnni(llmc_matmul_kernels *kernels);
/* through_memory: more than 8 rows share weights that are unpacked once. Pays where masks and shifts take turns with the dot
 * products (llmc_cpu_masks_beside_dots). */
void llmc_matmul_kernels_avx512(llmc_matmul_kernels *kernels, int through_memory);
void llmc_matmul_kernels_avx512_float(llmc_matmul_kernels *kernels);
void llmc_matmul_kernels_avx512bf16(llmc_matmul_kernels *kernels);
void llmc_matmul_kernels_amx(llmc_matmul_kernels *kernels);
void llmc_matmul_kernels_amx_float(llmc_matmul_kernels *kernels);
#endif

#endif
