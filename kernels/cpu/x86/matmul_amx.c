/* The matrix product of quantized weights with AMX: tiles of up to 16 rows and 16 outputs. Makes the bits of matmul.c. */
#include "kernels/cpu/x86/matmul_amx.h"

#include <immintrin.h>
#include <string.h>

/* Rows from which weights, which are unpacked first, are multiplied faster here than by AVX-512, read from memory; 0: never. */
static const uint8_t least_rows[LLMC_PACK_TYPES] = {
    [LLMC_PACK_Q4_0] = 17,   [LLMC_PACK_Q4_1] = 17,   [LLMC_PACK_Q5_0] = 17,  [LLMC_PACK_Q5_1] = 17, [LLMC_PACK_Q8_0] = 17,
    [LLMC_PACK_Q2_K] = 8,    [LLMC_PACK_Q3_K] = 12,   [LLMC_PACK_Q4_K] = 17,  [LLMC_PACK_Q5_K] = 17, [LLMC_PACK_Q6_K] = 17,
    [LLMC_PACK_IQ4_NL] = 17, [LLMC_PACK_IQ4_XS] = 17, [LLMC_PACK_MXFP4] = 17,
};

typedef struct amx_scratch {
    float sums[AMX_MAX_ROWS][AMX_PAIR][LLMC_TILE_ROWS];
    uint8_t work[AMX_WORK_BYTES];
} amx_scratch;

_Static_assert(sizeof(amx_scratch) <= LLMC_AMX_SCRATCH_BYTES, "llmc_matmul_scratch_bytes is too small");

/* Where results go. */
typedef struct amx_result {
    const llmc_packed *packed;
    float *dst;
    size_t dst_stride;
    const float *bias;
    int accumulate;
} amx_result;

static void store(const amx_result *to, uint32_t row, uint32_t tile, const float *sums) {
    uint32_t output = tile * LLMC_TILE_ROWS, left = to->packed->rows - output;
    __mmask16 mask = _cvtu32_mask16(left < LLMC_TILE_ROWS ? (1u << left) - 1 : 0xffffu);
    float *dst = to->dst + row * to->dst_stride + output;
    __m512 value = _mm512_load_ps(sums);
    if (to->bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, to->bias + output));
    if (to->accumulate) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, dst), value);
    _mm512_mask_storeu_ps(dst, mask, value);
}

/* Row r of a product is in the first group that has it. */
static void store_pair(const amx_product *p, const amx_result *to, uint32_t first_row, uint32_t tile, uint32_t n_tiles) {
    for (uint32_t r = 0; r < p->n_rows; r++) {
        uint32_t group = r / p->group_rows, begin = group * p->group_rows, last = p->n_rows - p->group_rows;
        uint32_t at = group * AMX_GROUP_ROWS + r - (begin < last ? begin : last);
        for (uint32_t t = 0; t < n_tiles; t++) store(to, first_row + r, tile + t, p->sums[at][t]);
    }
}

static void multiply_rows(amx_product *p, const amx_result *to, uint32_t first_row, uint32_t tile_begin, uint32_t tile_end) {
    const int is_32 = llmc_act_form_inline(p->type) == LLMC_ACT_Q8_32;
    const llmc_packed *packed = to->packed;
    p->n_groups = (p->n_rows + AMX_GROUP_ROWS - 1) / AMX_GROUP_ROWS;
    p->group_rows = (p->n_rows + p->n_groups - 1) / p->n_groups;
    amx_config config = is_32 ? llmc_amx_config_32(p->group_rows) : llmc_amx_config_256(p->group_rows);
    amx_configure(&config);
    for (uint32_t tile = tile_begin; tile < tile_end; tile += AMX_PAIR) {
        uint32_t n_tiles = tile_end - tile < AMX_PAIR ? 1 : AMX_PAIR;
        /* A last tile alone is its own partner. */
        for (uint32_t t = 0; t < AMX_PAIR; t++) p->tile[t] = packed->data + (tile + (t < n_tiles ? t : 0)) * packed->tile_bytes;
        memset(p->sums, 0, p->n_groups * AMX_GROUP_ROWS * sizeof p->sums[0]);
        if (is_32) llmc_amx_product_32(p);
        else llmc_amx_product_256(p);
        store_pair(p, to, first_row, tile, n_tiles);
    }
}

/* Few rows, and types that are not multiplied here. */
static void matmul_without_tiles(const llmc_packed *packed, const void *act, uint32_t n_rows, uint32_t tile_begin,
                                 uint32_t tile_end, float *dst, size_t dst_stride, const float *bias, int accumulate,
                                 void *scratch) {
    llmc_matmul_kernels avx512;
    llmc_matmul_kernels_avx512(&avx512, 1);
    avx512.matmul(packed, act, n_rows, tile_begin, tile_end, dst, dst_stride, bias, accumulate, scratch);
}

static void matmul_amx(const llmc_packed *packed, const void *act, uint32_t n_rows, uint32_t tile_begin, uint32_t tile_end,
                       float *dst, size_t dst_stride, const float *bias, int accumulate, void *scratch) {
    const int held = packed->type >= 0 && packed->type < LLMC_PACK_TYPES && least_rows[packed->type];
    if (!held || n_rows < least_rows[packed->type] || packed->cols == 0) {
        matmul_without_tiles(packed, act, n_rows, tile_begin, tile_end, dst, dst_stride, bias, accumulate, scratch);
        return;
    }
    amx_scratch *memory = scratch;
    amx_result to = {packed, dst, dst_stride, bias, accumulate};
    size_t act_stride = llmc_act_bytes(llmc_act_form_inline(packed->type), packed->cols);
    uint32_t n_blocks = (n_rows + AMX_MAX_ROWS - 1) / AMX_MAX_ROWS, block = (n_rows + n_blocks - 1) / n_blocks;
    for (uint32_t row = 0; row < n_rows; row += block) {
        amx_product p = {.type = packed->type, .cols = packed->cols, .sums = memory->sums, .work = memory->work};
        p.act = (const uint8_t *)act + row * act_stride;
        p.act_stride = act_stride;
        p.n_rows = n_rows - row < block ? n_rows - row : block;
        multiply_rows(&p, &to, row, tile_begin, tile_end);
    }
    amx_release();
}

void llmc_matmul_kernels_amx(llmc_matmul_kernels *kernels) {
    kernels->matmul = matmul_amx;
}
