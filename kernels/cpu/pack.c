/* Rows of GGUF blocks into tiles, once when a model is loaded, and rows of tiles back into floats (embeddings, tests). */
#include "kernels/cpu/pack.h"

#include <string.h>

#include "kernels/cpu/codes.h"
#include "kernels/cpu/grids.h"

#define LEGACY(bytes, low, high, off, sc, sbytes)                                                                              \
    { 32, bytes, low, high, LLMC_CODES_NONE, off, sc, sbytes }
#define K_TYPE(bytes, low, high, off, sc, sbytes)                                                                              \
    { 256, bytes, low, high, LLMC_CODES_NONE, off, sc, sbytes }

static const llmc_tile_layout layouts[LLMC_PACK_TYPES] = {
    [LLMC_PACK_F32] = {1, 4, 0, 0, 0, 0, 0, 0},
    [LLMC_PACK_F16] = {1, 2, 0, 0, 0, 0, 0, 0},
    [LLMC_PACK_BF16] = {1, 2, 0, 0, 0, 0, 0, 0},
    [LLMC_PACK_Q4_0] = LEGACY(18, 4, 0, 8, LLMC_SCALES_D, 32),
    [LLMC_PACK_Q4_1] = LEGACY(20, 4, 0, 0, LLMC_SCALES_D_MIN, 64),
    [LLMC_PACK_Q5_0] = LEGACY(22, 4, 1, 16, LLMC_SCALES_D, 32),
    [LLMC_PACK_Q5_1] = LEGACY(24, 4, 1, 0, LLMC_SCALES_D_MIN, 64),
    [LLMC_PACK_Q8_0] = LEGACY(34, 8, 0, 128, LLMC_SCALES_D, 32),
    [LLMC_PACK_Q2_K] = K_TYPE(84, 2, 0, 0, LLMC_SCALES_K16_MIN, 320),
    [LLMC_PACK_Q3_K] = K_TYPE(110, 2, 1, 4, LLMC_SCALES_K16, 288),
    [LLMC_PACK_Q4_K] = K_TYPE(144, 4, 0, 0, LLMC_SCALES_K32_MIN, 320),
    [LLMC_PACK_Q5_K] = K_TYPE(176, 4, 1, 0, LLMC_SCALES_K32_MIN, 320),
    [LLMC_PACK_Q6_K] = K_TYPE(210, 4, 2, 32, LLMC_SCALES_K16, 288),
    [LLMC_PACK_IQ4_NL] = {32, 18, 4, 0, LLMC_CODES_IQ4, 128, LLMC_SCALES_D, 32},
    [LLMC_PACK_IQ4_XS] = {256, 136, 4, 0, LLMC_CODES_IQ4, 128, LLMC_SCALES_K32, 160},
    [LLMC_PACK_MXFP4] = {32, 17, 4, 0, LLMC_CODES_E2M1, 16, LLMC_SCALES_E8M0, 16},
    [LLMC_PACK_IQ3_XXS] = {256, 98, 4, 0, LLMC_CODES_IQ3_XXS, 32, LLMC_SCALES_K32, 160},
    [LLMC_PACK_IQ3_S] = {256, 110, 4, 0, LLMC_CODES_IQ3_S, 16, LLMC_SCALES_K32, 160},
    [LLMC_PACK_IQ2_XXS] = {256, 66, 2, 1, LLMC_CODES_IQ2, 64, LLMC_SCALES_K32, 160},
    [LLMC_PACK_IQ2_XS] = {256, 74, 2, 1, LLMC_CODES_IQ2, 64, LLMC_SCALES_K16, 288},
    [LLMC_PACK_IQ2_S] = {256, 82, 2, 1, LLMC_CODES_IQ2, 64, LLMC_SCALES_K16, 288},
    [LLMC_PACK_IQ1_S] = {256, 50, 2, 1, LLMC_CODES_IQ1, 16, LLMC_SCALES_K32, 160},
    [LLMC_PACK_IQ1_M] = {256, 56, 2, 1, LLMC_CODES_IQ1, 16, LLMC_SCALES_K16, 288},
    [LLMC_PACK_TQ1_0] = K_TYPE(54, 2, 0, 1, LLMC_SCALES_D, 32),
    [LLMC_PACK_TQ2_0] = K_TYPE(66, 2, 0, 1, LLMC_SCALES_D, 32),
};

const llmc_tile_layout *llmc_tile_layout_of(int32_t type) {
    if (type < 0 || type >= LLMC_PACK_TYPES || !layouts[type].block_cols) return NULL;
    return &layouts[type];
}

/* Of the quants section of a tile; of the whole tile for types without scales. */
static size_t quants_bytes(const llmc_tile_layout *layout, uint32_t cols) {
    if (layout->block_cols == 1) return (size_t)cols * LLMC_TILE_ROWS * layout->block_bytes;
    return (size_t)cols / 32 * 64 * (layout->low_bits + layout->high_bits);
}

size_t llmc_packed_tile_bytes(int32_t type, uint32_t cols) {
    const llmc_tile_layout *layout = llmc_tile_layout_of(type);
    if (!layout || cols % layout->block_cols) return 0;
    return llmc_round_up_64(quants_bytes(layout, cols) + (size_t)cols / layout->block_cols * layout->scale_bytes);
}

size_t llmc_packed_bytes(int32_t type, uint32_t rows, uint32_t cols) {
    size_t tiles = (size_t)rows / LLMC_TILE_ROWS + (rows % LLMC_TILE_ROWS != 0);
    return tiles * llmc_packed_tile_bytes(type, cols);
}

static const llmc_float_product *float_product(const llmc_matmul_kernels *kernels, int32_t weight_type) {
    if (weight_type == LLMC_PACK_F32) return &kernels->f32;
    if (weight_type == LLMC_PACK_F16) return &kernels->f16;
    return weight_type == LLMC_PACK_BF16 ? &kernels->bf16 : NULL;
}

llmc_matmul_function llmc_matmul_of(const llmc_matmul_kernels *kernels, int32_t weight_type) {
    const llmc_float_product *product = float_product(kernels, weight_type);
    return product ? product->matmul : kernels->matmul;
}

llmc_act_form llmc_act_form_of(const llmc_matmul_kernels *kernels, int32_t weight_type) {
    const llmc_float_product *product = float_product(kernels, weight_type);
    return product ? product->form : llmc_act_form_inline(weight_type);
}

size_t llmc_act_row_bytes(llmc_act_form form, uint32_t cols) {
    return llmc_act_bytes(form, cols);
}

/* --- a block of the file as plain numbers --- */

typedef struct plain_block {
    uint16_t d, m;      /* f16; m is the minimum, or a K type's dmin; d is E8M0 in MXFP4 */
    uint8_t scale[16];  /* of sub-blocks; signed for K16 */
    uint8_t min[16];    /* of sub-blocks */
    uint8_t field[256]; /* columns in order, before table and offset */
} plain_block;

static uint16_t read_u16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static uint32_t read_u32(const uint8_t *bytes) {
    return read_u16(bytes) | (uint32_t)read_u16(bytes + 2) << 16;
}

/* 32 fields from the bits of 32 bytes. */
static void copy_bits_32(const uint8_t *bytes, int shift, int mask, uint8_t *field) {
    for (int i = 0; i < 32; i++) field[i] = (uint8_t)(bytes[i] >> shift & mask);
}

static void or_bits_32(const uint8_t *bytes, int shift, int mask, int to, uint8_t *field) {
    for (int i = 0; i < 32; i++) field[i] = (uint8_t)(field[i] | (bytes[i] >> shift & mask) << to);
}

static void read_nibbles_32(const uint8_t *qs, uint8_t *field) {
    for (int i = 0; i < 16; i++) {
        field[i] = qs[i] & 15;
        field[i + 16] = qs[i] >> 4;
    }
}

static void read_fifth_bits_32(const uint8_t *bytes, uint8_t *field) {
    uint32_t bits = read_u32(bytes);
    for (int i = 0; i < 32; i++) field[i] = (uint8_t)(field[i] | (bits >> i & 1) << 4);
}

static void read_legacy(int32_t type, const uint8_t *block, plain_block *plain) {
    int has_min = type == LLMC_PACK_Q4_1 || type == LLMC_PACK_Q5_1;
    int has_high = type == LLMC_PACK_Q5_0 || type == LLMC_PACK_Q5_1;
    const uint8_t *rest = block + (has_min ? 4 : 2);
    plain->d = read_u16(block);
    plain->m = has_min ? read_u16(block + 2) : 0;
    if (type == LLMC_PACK_Q8_0) {
        for (int i = 0; i < 32; i++) plain->field[i] = rest[i] ^ 0x80;
        return;
    }
    read_nibbles_32(rest + (has_high ? 4 : 0), plain->field);
    if (has_high) read_fifth_bits_32(rest, plain->field);
}

/* 8 scales and 8 minima of 6 bits in 12 bytes, as Q4_K and Q5_K have them. */
static void read_scales_6x16(const uint8_t *bytes, uint8_t scale[16], uint8_t min[16]) {
    for (int i = 0; i < 4; i++) {
        scale[i] = bytes[i] & 63;
        min[i] = bytes[i + 4] & 63;
        scale[i + 4] = (uint8_t)((bytes[i + 8] & 15) | (bytes[i] >> 6) << 4);
        min[i + 4] = (uint8_t)((bytes[i + 8] >> 4) | (bytes[i + 4] >> 6) << 4);
    }
}

static void read_q4_k_q5_k(int32_t type, const uint8_t *block, plain_block *plain) {
    const uint8_t *high = type == LLMC_PACK_Q5_K ? block + 16 : NULL;
    const uint8_t *qs = block + (high ? 48 : 16);
    plain->d = read_u16(block);
    plain->m = read_u16(block + 2);
    read_scales_6x16(block + 4, plain->scale, plain->min);
    for (int sub = 0; sub < 8; sub++) {
        copy_bits_32(qs + sub / 2 * 32, (sub & 1) * 4, 15, plain->field + sub * 32);
        if (high) or_bits_32(high, sub, 1, 4, plain->field + sub * 32);
    }
}

static void read_q2_k(const uint8_t *block, plain_block *plain) {
    for (int sub = 0; sub < 16; sub++) {
        plain->scale[sub] = block[sub] & 15;
        plain->min[sub] = block[sub] >> 4;
    }
    for (int i = 0; i < 8; i++) copy_bits_32(block + 16 + i / 4 * 32, i % 4 * 2, 3, plain->field + i * 32);
    plain->d = read_u16(block + 80);
    plain->m = read_u16(block + 82);
}

static void read_q3_k(const uint8_t *block, plain_block *plain) {
    const uint8_t *high = block, *qs = block + 32, *scales = block + 96;
    for (int i = 0; i < 8; i++) {
        copy_bits_32(qs + i / 4 * 32, i % 4 * 2, 3, plain->field + i * 32);
        or_bits_32(high, i, 1, 2, plain->field + i * 32);
    }
    for (int sub = 0; sub < 16; sub++) {
        int low = scales[sub % 8] >> sub / 8 * 4 & 15;
        int top = scales[8 + sub % 4] >> sub / 4 * 2 & 3;
        plain->scale[sub] = (uint8_t)((low | top << 4) - 32);
    }
    plain->d = read_u16(block + 108);
    plain->m = 0;
}

static void read_q6_k(const uint8_t *block, plain_block *plain) {
    for (int i = 0; i < 8; i++) {
        int half = i / 4, quarter = i % 4;
        copy_bits_32(block + half * 64 + (quarter & 1) * 32, quarter / 2 * 4, 15, plain->field + i * 32);
        or_bits_32(block + 128 + half * 32, quarter * 2, 3, 4, plain->field + i * 32);
    }
    memcpy(plain->scale, block + 192, 16);
    plain->d = read_u16(block + 208);
    plain->m = 0;
}

/* 8 scales of 6 bits less 32: low nibbles in 4 bytes behind the pairs of high bits. */
static void read_iq4_xs(const uint8_t *block, plain_block *plain) {
    uint32_t high = read_u16(block + 2);
    plain->d = read_u16(block);
    plain->m = 0;
    for (int sub = 0; sub < 8; sub++) {
        int low = block[4 + sub / 2] >> sub % 2 * 4 & 15;
        plain->scale[sub] = (uint8_t)((low | (int)(high >> 2 * sub & 3) << 4) - 32);
        read_nibbles_32(block + 8 + 16 * sub, plain->field + 32 * sub);
    }
}

static void read_mxfp4(const uint8_t *block, plain_block *plain) {
    plain->d = block[0];
    plain->m = 0;
    read_nibbles_32(block + 1, plain->field);
}

static void read_tq2_0(const uint8_t *block, plain_block *plain) {
    for (int i = 0; i < 8; i++) copy_bits_32(block + i / 4 * 32, i % 4 * 2, 3, plain->field + i * 32);
    plain->d = read_u16(block + 64);
    plain->m = 0;
}

/* 32 bytes of 5 fields, 16 of 5, 4 of 4; a byte is a fraction of 256 with its fields for digits to base 3. */
static void read_tq1_0(const uint8_t *block, plain_block *plain) {
    static const struct { uint8_t at, n, digits; } parts[3] = {{0, 32, 5}, {32, 16, 5}, {48, 4, 4}};
    uint8_t *field = plain->field;
    for (int p = 0; p < 3; p++) {
        for (int digit = 0, power = 1; digit < parts[p].digits; digit++, power *= 3) {
            for (int i = 0; i < parts[p].n; i++) *field++ = (uint8_t)((uint8_t)(block[parts[p].at + i] * power) * 3 >> 8);
        }
    }
    plain->d = read_u16(block + 52);
    plain->m = 0;
}

static void read_block(int32_t type, const uint8_t *block, plain_block *plain) {
    switch (type) {
    case LLMC_PACK_Q2_K:
        read_q2_k(block, plain);
        break;
    case LLMC_PACK_Q3_K:
        read_q3_k(block, plain);
        break;
    case LLMC_PACK_Q4_K:
    case LLMC_PACK_Q5_K:
        read_q4_k_q5_k(type, block, plain);
        break;
    case LLMC_PACK_Q6_K:
        read_q6_k(block, plain);
        break;
    case LLMC_PACK_IQ4_XS:
        read_iq4_xs(block, plain);
        break;
    case LLMC_PACK_MXFP4:
        read_mxfp4(block, plain);
        break;
    case LLMC_PACK_TQ1_0:
        read_tq1_0(block, plain);
        break;
    case LLMC_PACK_TQ2_0:
        read_tq2_0(block, plain);
        break;
    case LLMC_PACK_IQ3_XXS:
    case LLMC_PACK_IQ3_S:
    case LLMC_PACK_IQ2_XXS:
    case LLMC_PACK_IQ2_XS:
    case LLMC_PACK_IQ2_S:
    case LLMC_PACK_IQ1_S:
    case LLMC_PACK_IQ1_M:
        llmc_grid_block(type, block, &plain->d, plain->scale, plain->field);
        plain->m = 0;
        break;
    default:
        read_legacy(type, block, plain);
    }
}

/* --- planes of a tile --- */

/* Fields' bits [shift, shift + bits) of 8 groups into the plane at base, for one lane. */
static void put_plane(uint8_t *base, uint32_t lane, uint32_t bits, uint32_t shift, const uint32_t groups[8]) {
    uint32_t mask = (0xffu >> (8 - bits)) * 0x01010101u, per_vector = 8 / bits;
    for (uint32_t g = 0; g < 8; g += per_vector) {
        uint32_t word = 0;
        for (uint32_t i = 0; i < per_vector; i++) word |= (groups[g + i] >> shift & mask) << i * bits;
        memcpy(base + g / per_vector * 64 + lane * 4, &word, 4);
    }
}

static void get_plane(const uint8_t *base, uint32_t lane, uint32_t bits, uint32_t shift, uint32_t groups[8]) {
    uint32_t mask = (0xffu >> (8 - bits)) * 0x01010101u, per_vector = 8 / bits;
    for (uint32_t g = 0; g < 8; g++) {
        uint32_t word;
        memcpy(&word, base + g / per_vector * 64 + lane * 4, 4);
        groups[g] |= (word >> g % per_vector * bits & mask) << shift;
    }
}

static void put_fields(const llmc_tile_layout *layout, uint8_t *quants, uint32_t lane, const uint8_t fields[32]) {
    uint32_t groups[8];
    memcpy(groups, fields, 32);
    put_plane(quants, lane, layout->low_bits, 0, groups);
    if (layout->high_bits) put_plane(quants + layout->low_bits * 64, lane, layout->high_bits, layout->low_bits, groups);
}

void llmc_tile_fields(const llmc_tile_layout *layout, const uint8_t *quants, uint32_t lane, uint8_t fields[32]) {
    uint32_t groups[8] = {0};
    get_plane(quants, lane, layout->low_bits, 0, groups);
    if (layout->high_bits) get_plane(quants + layout->low_bits * 64, lane, layout->high_bits, layout->low_bits, groups);
    memcpy(fields, groups, 32);
    for (int i = 0; layout->codes && i < 32; i++) fields[i] = (uint8_t)(llmc_codes[layout->codes][fields[i]] + layout->offset);
}

static void put_pairs(uint8_t *pairs, uint32_t lane, const uint8_t *values, uint32_t n_pairs) {
    for (uint32_t i = 0; i < n_pairs * 2; i++) pairs[i / 2 * 32 + lane * 2 + i % 2] = values[i];
}

static void get_pairs(const uint8_t *pairs, uint32_t lane, uint8_t *values, uint32_t n_pairs) {
    for (uint32_t i = 0; i < n_pairs * 2; i++) values[i] = pairs[i / 2 * 32 + lane * 2 + i % 2];
}

static void put_scales(const llmc_tile_layout *layout, uint8_t *scales, uint32_t lane, const plain_block *plain) {
    uint8_t both[16];
    if (layout->scales == LLMC_SCALES_E8M0) {
        scales[lane] = (uint8_t)plain->d;
        return;
    }
    memcpy(scales + lane * 2, &plain->d, 2);
    if (llmc_has_minima(layout->scales)) memcpy(scales + 32 + lane * 2, &plain->m, 2);
    switch (layout->scales) {
    case LLMC_SCALES_K32:
        put_pairs(scales + 32, lane, plain->scale, 4);
        break;
    case LLMC_SCALES_K32_MIN:
        put_pairs(scales + 64, lane, plain->scale, 4);
        put_pairs(scales + 192, lane, plain->min, 4);
        break;
    case LLMC_SCALES_K16:
        put_pairs(scales + 32, lane, plain->scale, 8);
        break;
    case LLMC_SCALES_K16_MIN:
        for (int i = 0; i < 16; i++) both[i] = (uint8_t)(plain->scale[i] | plain->min[i] << 4);
        put_pairs(scales + 64, lane, both, 8);
        break;
    default:
        break;
    }
}

static void get_scales(const llmc_tile_layout *layout, const uint8_t *scales, uint32_t lane, plain_block *plain) {
    plain->m = 0;
    if (layout->scales == LLMC_SCALES_E8M0) {
        plain->d = scales[lane];
        return;
    }
    memcpy(&plain->d, scales + lane * 2, 2);
    if (llmc_has_minima(layout->scales)) memcpy(&plain->m, scales + 32 + lane * 2, 2);
    switch (layout->scales) {
    case LLMC_SCALES_K32:
        get_pairs(scales + 32, lane, plain->scale, 4);
        break;
    case LLMC_SCALES_K32_MIN:
        get_pairs(scales + 64, lane, plain->scale, 4);
        get_pairs(scales + 192, lane, plain->min, 4);
        break;
    case LLMC_SCALES_K16:
        get_pairs(scales + 32, lane, plain->scale, 8);
        break;
    case LLMC_SCALES_K16_MIN:
        get_pairs(scales + 64, lane, plain->scale, 8);
        for (int i = 0; i < 16; i++) {
            plain->min[i] = plain->scale[i] >> 4;
            plain->scale[i] &= 15;
        }
        break;
    default:
        break;
    }
}

/* --- rows: those of a last tile that has fewer than 16 --- */

static void pack_quantized_row(const llmc_packed *packed, const llmc_tile_layout *layout, uint8_t *tile, uint32_t lane,
                               const uint8_t *blocks) {
    uint32_t quant_bytes = 64u * (layout->low_bits + layout->high_bits), n_blocks = packed->cols / layout->block_cols;
    uint8_t *quants = tile, *scales = tile + quants_bytes(layout, packed->cols);
    for (uint32_t b = 0; b < n_blocks; b++) {
        plain_block plain;
        read_block(packed->type, blocks + (size_t)b * layout->block_bytes, &plain);
        put_scales(layout, scales, lane, &plain);
        scales += layout->scale_bytes;
        for (uint32_t c = 0; c < layout->block_cols; c += 32, quants += quant_bytes)
            put_fields(layout, quants, lane, plain.field + c);
    }
}

/* In elements from a tile's begin. */
static size_t tile_float_at(int32_t type, size_t col, uint32_t lane) {
    if (type == LLMC_PACK_BF16) return (col / 2 * LLMC_TILE_ROWS + lane) * 2 + col % 2;
    return col * LLMC_TILE_ROWS + lane;
}

float llmc_tile_float(int32_t type, const uint8_t *tile, size_t col, uint32_t lane) {
    size_t at = tile_float_at(type, col, lane);
    float value;
    uint16_t half;
    if (type == LLMC_PACK_F32) {
        memcpy(&value, tile + at * 4, 4);
        return value;
    }
    memcpy(&half, tile + at * 2, 2);
    return type == LLMC_PACK_F16 ? llmc_f16_to_f32(half) : llmc_bf16_to_f32(half);
}

static void pack_float_row(const llmc_packed *packed, const llmc_tile_layout *layout, uint8_t *tile, uint32_t lane,
                           const uint8_t *row) {
    size_t size = layout->block_bytes;
    for (size_t c = 0; c < packed->cols; c++) {
        size_t at = tile_float_at(packed->type, c, lane);
        if (size == 4) memcpy(tile + at * 4, row + c * 4, 4);
        else memcpy(tile + at * 2, row + c * 2, 2);
    }
}

void llmc_pack_rows(llmc_packed *packed, uint32_t first_row, uint32_t n_rows, const void *blocks) {
    const llmc_tile_layout *layout = llmc_tile_layout_of(packed->type);
    if (!layout) return;
    size_t row_bytes = (size_t)packed->cols / layout->block_cols * layout->block_bytes;
    uint8_t *tile = packed->data + (size_t)(first_row / LLMC_TILE_ROWS) * packed->tile_bytes;
    const uint8_t *rows = blocks;
    for (; n_rows >= LLMC_TILE_ROWS; n_rows -= LLMC_TILE_ROWS, tile += packed->tile_bytes, rows += LLMC_TILE_ROWS * row_bytes)
        llmc_pack_tile(packed, tile, rows, row_bytes);
    if (n_rows) memset(tile, 0, packed->tile_bytes);
    for (uint32_t lane = 0; lane < n_rows; lane++, rows += row_bytes) {
        if (layout->block_cols == 1) pack_float_row(packed, layout, tile, lane, rows);
        else pack_quantized_row(packed, layout, tile, lane, rows);
    }
}

static void unpack_float_row(const llmc_packed *packed, const uint8_t *tile, uint32_t lane, float *out) {
    for (size_t c = 0; c < packed->cols; c++) out[c] = llmc_tile_float(packed->type, tile, c, lane);
}

/* The values of 32 columns from column c of a block on, with the roundings of the file format's definition. */
static void field_values(const llmc_tile_layout *layout, const plain_block *plain, uint32_t c, const uint8_t fields[32],
                         float *out) {
    int is_e8m0 = layout->scales == LLMC_SCALES_E8M0;
    float d = is_e8m0 ? llmc_e8m0_half((uint8_t)plain->d) : llmc_f16_to_f32(plain->d), m = llmc_f16_to_f32(plain->m);
    uint32_t sub_cols = 128 / (uint32_t)llmc_sub_pairs(layout->scales);
    d *= llmc_code_forms[layout->codes].unit;
    for (uint32_t i = 0; i < 32; i++) {
        uint32_t sub = (c + i) / sub_cols;
        float q = (float)(fields[i] - layout->offset);
        switch (layout->scales) {
        case LLMC_SCALES_D:
        case LLMC_SCALES_E8M0:
            out[i] = d * q;
            break;
        case LLMC_SCALES_D_MIN:
            out[i] = d * q + m;
            break;
        case LLMC_SCALES_K32:
        case LLMC_SCALES_K16:
            out[i] = d * (float)(int8_t)plain->scale[sub] * q;
            break;
        default:
            out[i] = d * (float)plain->scale[sub] * q - m * (float)plain->min[sub];
        }
    }
}

void llmc_unpack_row(const llmc_packed *packed, uint32_t row, float *out) {
    const llmc_tile_layout *layout = llmc_tile_layout_of(packed->type);
    if (!layout) return;
    uint32_t lane = row % LLMC_TILE_ROWS, quant_bytes = 64u * (layout->low_bits + layout->high_bits);
    const uint8_t *quants = packed->data + (size_t)(row / LLMC_TILE_ROWS) * packed->tile_bytes;
    const uint8_t *scales = quants + quants_bytes(layout, packed->cols);
    if (layout->block_cols == 1) {
        unpack_float_row(packed, quants, lane, out);
        return;
    }
    for (uint32_t col = 0; col < packed->cols; col += 32, quants += quant_bytes) {
        plain_block plain;
        uint8_t fields[32];
        get_scales(layout, scales + (size_t)(col / layout->block_cols) * layout->scale_bytes, lane, &plain);
        llmc_tile_fields(layout, quants, lane, fields);
        field_values(layout, &plain, col % layout->block_cols, fields, out + col);
    }
}
