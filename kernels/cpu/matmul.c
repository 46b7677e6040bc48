/* The portable matrix product, and the definition that the other tiers reproduce bit for bit (kernels/README.md). */
#include "kernels/cpu/pack.h"

#include <math.h>
#include <string.h>

#include "kernels/cpu/codes.h"

/* --- activations --- */

/* The largest magnitude. Compared as bits, so that infinities and NaNs win and end in d, where the result shows them. */
static float largest_magnitude(const float *x, int n) {
    uint32_t largest = 0;
    for (int i = 0; i < n; i++) {
        uint32_t bits = llmc_f32_bits(x[i]) & 0x7fffffffu;
        largest = bits > largest ? bits : largest;
    }
    return llmc_f32_from_bits(largest);
}

/* q = x / d to nearest, ties to even, in -127..127; 0 where that is not a number. Returns d. */
static float quantize_block(const float *x, int n, int8_t *q) {
    float largest = largest_magnitude(x, n);
    float inverse = largest != 0.0f ? 127.0f / largest : 0.0f;
    for (int i = 0; i < n; i++) {
        float scaled = x[i] * inverse;
        scaled = scaled > 127.0f ? 127.0f : scaled < -127.0f ? -127.0f : scaled;
        q[i] = scaled == scaled ? (int8_t)rintf(scaled) : 0;
    }
    return largest / 127.0f;
}

static int32_t sum_of(const int8_t *q, int n) {
    int32_t sum = 0;
    for (int i = 0; i < n; i++) sum += q[i];
    return sum;
}

/* The high part to nearest; of what that leaves, the low part. Zeros up to whole lines of 32. */
static void split_bf16(const float *x, uint32_t cols, uint16_t *high, uint16_t *low) {
    size_t whole = llmc_round_up_64((size_t)cols * 2) / 2;
    for (uint32_t c = 0; c < cols; c++) {
        high[c] = llmc_f32_to_bf16(x[c]);
        if (low) low[c] = llmc_f32_to_bf16(x[c] - llmc_bf16_to_f32(high[c]));
    }
    memset(high + cols, 0, (whole - cols) * 2);
    if (low) memset(low + cols, 0, (whole - cols) * 2);
}

static void quantize_c(llmc_act_form form, const float *x, uint32_t cols, void *act) {
    if (form == LLMC_ACT_F32) {
        memcpy(act, x, (size_t)cols * sizeof *x);
        return;
    }
    if (form == LLMC_ACT_BF16 || form == LLMC_ACT_BF16_X2) {
        uint16_t *low = (uint16_t *)act + llmc_bf16_row_bytes(cols) / 2;
        split_bf16(x, cols, act, form == LLMC_ACT_BF16_X2 ? low : NULL);
        return;
    }
    if (form == LLMC_ACT_Q8_32) {
        llmc_act_32 *block = act;
        for (uint32_t c = 0; c < cols; c += 32, block++) {
            block->d = quantize_block(x + c, 32, block->q);
            block->neg_sum = -sum_of(block->q, 32);
            block->s = block->d * (float)-block->neg_sum;
        }
        return;
    }
    llmc_act_256 *block = act;
    for (uint32_t c = 0; c < cols; c += 256, block++) {
        block->d = quantize_block(x + c, 256, block->q);
        for (int i = 0; i < 16; i++) block->sum_16[i] = (int16_t)sum_of(block->q + i * 16, 16);
        for (int i = 0; i < 8; i++) block->sum_32[i] = (int16_t)(block->sum_16[2 * i] + block->sum_16[2 * i + 1]);
    }
}

/* --- products: 16 outputs of a tile with a few rows --- */

enum { ROWS = 8 }; /* rows at a time */

typedef struct tile_job {
    const llmc_packed *packed;
    const llmc_tile_layout *layout;
    const uint8_t *tile;
    const uint8_t *act; /* of the first row */
    size_t act_stride;
    uint32_t n_rows; /* up to ROWS */
} tile_job;

static int32_t dot(const uint8_t *fields, const int8_t *q, int n) {
    int32_t sum = 0;
    for (int i = 0; i < n; i++) sum += fields[i] * q[i];
    return sum;
}

static float half_at(const uint8_t *halves, int lane) {
    uint16_t half;
    memcpy(&half, halves + lane * 2, 2);
    return llmc_f16_to_f32(half);
}

static void tile_q8_32(const tile_job *job, float sums[ROWS][LLMC_TILE_ROWS]) {
    const llmc_tile_layout *layout = job->layout;
    uint32_t n_blocks = job->packed->cols / 32, quant_bytes = 64u * (layout->low_bits + layout->high_bits);
    const uint8_t *quants = job->tile, *scales = job->tile + (size_t)n_blocks * quant_bytes;
    int has_min = layout->scales == LLMC_SCALES_D_MIN;
    for (uint32_t b = 0; b < n_blocks; b++, quants += quant_bytes, scales += layout->scale_bytes) {
        for (int lane = 0; lane < LLMC_TILE_ROWS; lane++) {
            uint8_t fields[32];
            float m = has_min ? half_at(scales + 32, lane) : 0.0f;
            float d = layout->scales == LLMC_SCALES_E8M0 ? llmc_e8m0_half(scales[lane]) : half_at(scales, lane);
            llmc_tile_fields(layout, quants, (uint32_t)lane, fields);
            for (uint32_t r = 0; r < job->n_rows; r++) {
                const llmc_act_32 *x = (const llmc_act_32 *)(job->act + r * job->act_stride) + b;
                int32_t isum = dot(fields, x->q, 32) + layout->offset * x->neg_sum;
                sums[r][lane] = fmaf((float)isum * d, x->d, sums[r][lane]);
                if (has_min) sums[r][lane] = fmaf(m, x->s, sums[r][lane]);
            }
        }
    }
}

/* Scales and minima of a super-block's sub-blocks, one output. Without minima the offset plays their part. */
typedef struct sub_scales {
    int n; /* 8 of 32 columns or 16 of 16 */
    int32_t scale[16], min[16];
} sub_scales;

static void read_sub_scales(const llmc_tile_layout *layout, const uint8_t *scales, int lane, sub_scales *sub) {
    sub->n = 2 * llmc_sub_pairs(layout->scales);
    for (int i = 0; i < sub->n; i++) {
        int at = i / 2 * 32 + lane * 2 + i % 2;
        switch (layout->scales) {
        case LLMC_SCALES_D:
            sub->scale[i] = sub->min[i] = 1;
            break;
        case LLMC_SCALES_K32_MIN:
            sub->scale[i] = scales[64 + at];
            sub->min[i] = scales[192 + at];
            break;
        case LLMC_SCALES_K16_MIN:
            sub->scale[i] = scales[64 + at] & 15;
            sub->min[i] = scales[64 + at] >> 4;
            break;
        default:
            sub->scale[i] = sub->min[i] = (int8_t)scales[32 + at];
        }
    }
}

static float add_super_block(const llmc_tile_layout *layout, const sub_scales *sub, const uint8_t fields[256], float d,
                             float dmin, const llmc_act_256 *x, float sum) {
    const int16_t *x_sums = sub->n == 8 ? x->sum_32 : x->sum_16;
    int cols = 256 / sub->n;
    int32_t isum = 0, msum = 0;
    for (int i = 0; i < sub->n; i++) {
        isum += sub->scale[i] * dot(fields + i * cols, x->q + i * cols, cols);
        msum += sub->min[i] * x_sums[i];
    }
    if (!llmc_has_minima(layout->scales)) return fmaf((float)(isum - layout->offset * msum) * d, x->d, sum);
    sum = fmaf((float)isum * d, x->d, sum);
    return fmaf(-((float)msum * dmin), x->d, sum);
}

static void tile_q8_256(const tile_job *job, float sums[ROWS][LLMC_TILE_ROWS]) {
    const llmc_tile_layout *layout = job->layout;
    uint32_t n_blocks = job->packed->cols / 256, quant_bytes = 64u * (layout->low_bits + layout->high_bits);
    const uint8_t *quants = job->tile, *scales = job->tile + (size_t)n_blocks * 8 * quant_bytes;
    for (uint32_t b = 0; b < n_blocks; b++, quants += (size_t)8 * quant_bytes, scales += layout->scale_bytes) {
        for (int lane = 0; lane < LLMC_TILE_ROWS; lane++) {
            uint8_t fields[256];
            sub_scales sub;
            for (uint32_t i = 0; i < 8; i++)
                llmc_tile_fields(layout, quants + i * quant_bytes, (uint32_t)lane, fields + i * 32);
            read_sub_scales(layout, scales, lane, &sub);
            float d = half_at(scales, lane) * llmc_code_forms[layout->codes].unit;
            float dmin = llmc_has_minima(layout->scales) ? half_at(scales + 32, lane) : 0.0f;
            for (uint32_t r = 0; r < job->n_rows; r++) {
                const llmc_act_256 *x = (const llmc_act_256 *)(job->act + r * job->act_stride) + b;
                sums[r][lane] = add_super_block(layout, &sub, fields, d, dmin, x, sums[r][lane]);
            }
        }
    }
}

static void column_of(const tile_job *job, uint32_t col, float w[LLMC_TILE_ROWS]) {
    for (uint32_t lane = 0; lane < LLMC_TILE_ROWS; lane++) {
        w[lane] = llmc_tile_float(job->packed->type, job->tile, col, lane);
    }
}

static void tile_f32(const tile_job *job, float sums[ROWS][LLMC_TILE_ROWS]) {
    for (uint32_t col = 0; col < job->packed->cols; col++) {
        float w[LLMC_TILE_ROWS];
        column_of(job, col, w);
        for (uint32_t r = 0; r < job->n_rows; r++) {
            float x = ((const float *)(job->act + r * job->act_stride))[col];
            for (int lane = 0; lane < LLMC_TILE_ROWS; lane++) sums[r][lane] = fmaf(w[lane], x, sums[r][lane]);
        }
    }
}

static void store_row(const float *sums, uint32_t n, float *dst, const float *bias, int accumulate) {
    for (uint32_t lane = 0; lane < n; lane++) {
        float value = bias ? sums[lane] + bias[lane] : sums[lane];
        dst[lane] = accumulate ? dst[lane] + value : value;
    }
}

static void matmul_c(const llmc_packed *packed, const void *act, uint32_t n_rows, uint32_t tile_begin, uint32_t tile_end,
                     float *dst, size_t dst_stride, const float *bias, int accumulate, void *scratch) {
    (void)scratch;
    tile_job job = {packed, llmc_tile_layout_of(packed->type), NULL, NULL, 0, 0};
    if (!job.layout) return;
    llmc_act_form form = llmc_act_form_inline(packed->type);
    job.act_stride = llmc_act_bytes(form, packed->cols);
    for (uint32_t tile = tile_begin; tile < tile_end; tile++) {
        uint32_t output = tile * LLMC_TILE_ROWS, left = packed->rows - output;
        job.tile = packed->data + (size_t)tile * packed->tile_bytes;
        for (uint32_t row = 0; row < n_rows; row += job.n_rows) {
            float sums[ROWS][LLMC_TILE_ROWS] = {{0}};
            job.n_rows = n_rows - row < ROWS ? n_rows - row : ROWS;
            job.act = (const uint8_t *)act + row * job.act_stride;
            if (form == LLMC_ACT_F32) tile_f32(&job, sums);
            else if (form == LLMC_ACT_Q8_32) tile_q8_32(&job, sums);
            else tile_q8_256(&job, sums);
            for (uint32_t r = 0; r < job.n_rows; r++)
                store_row(sums[r], left < LLMC_TILE_ROWS ? left : LLMC_TILE_ROWS, dst + (row + r) * dst_stride + output,
                          bias ? bias + output : NULL, accumulate);
        }
    }
}

size_t llmc_matmul_scratch_bytes(llmc_cpu_tier tier, uint32_t cols) {
    (void)cols;
    size_t bytes = tier >= LLMC_TIER_AVX512 ? LLMC_AVX512_SCRATCH : tier >= LLMC_TIER_AVX2 ? LLMC_AVX2_SCRATCH : 64;
    return tier >= LLMC_TIER_AMX && bytes < LLMC_AMX_SCRATCH_BYTES ? LLMC_AMX_SCRATCH_BYTES : bytes;
}

void llmc_matmul_kernels_init(llmc_matmul_kernels *kernels, llmc_cpu_tier tier) {
    kernels->quantize = quantize_c;
    kernels->matmul = matmul_c;
    kernels->f32 = kernels->f16 = kernels->bf16 = (llmc_float_product){matmul_c, LLMC_ACT_F32};
#ifdef LLMC_X86
    if (tier < LLMC_TIER_AVX2) return;
    llmc_matmul_kernels_avx2(kernels);
    if (tier == LLMC_TIER_AVXVNNI) llmc_matmul_kernels_avxvnni(kernels);
    if (tier < LLMC_TIER_AVX512) return;
    llmc_matmul_kernels_avx512(kernels, !llmc_cpu_masks_beside_dots());
    llmc_matmul_kernels_avx512_float(kernels);
    if (tier >= LLMC_TIER_AVX512BF16) llmc_matmul_kernels_avx512bf16(kernels);
    if (tier < LLMC_TIER_AMX) return;
    llmc_matmul_kernels_amx(kernels);
    llmc_matmul_kernels_amx_float(kernels);
#else
    (void)tier;
#endif
}
