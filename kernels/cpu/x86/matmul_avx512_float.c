/* The matrix product of F32, F16 and BF16 weights with AVX-512. Makes the bits of matmul.c. */
#include "kernels/cpu/x86/avx512_rows.h"

ROWS_KERNELS(f32, LLMC_PACK_F32)
ROWS_KERNELS(f16, LLMC_PACK_F16)
ROWS_KERNELS(bf16, LLMC_PACK_BF16)

static void matmul_avx512_float(const llmc_packed *packed, const void *act, uint32_t n_rows, uint32_t tile_begin,
                                uint32_t tile_end, float *dst, size_t dst_stride, const float *bias, int accumulate,
                                void *scratch) {
    size_t act_stride = llmc_act_bytes(LLMC_ACT_F32, packed->cols);
    product p = {packed, act, act_stride, n_rows, dst, dst_stride, bias, accumulate};
    (void)scratch;
    if (packed->type == LLMC_PACK_F32) walk_rows(&p, f32_kernels, tile_begin, tile_end);
    else if (packed->type == LLMC_PACK_F16) walk_rows(&p, f16_kernels, tile_begin, tile_end);
    else if (packed->type == LLMC_PACK_BF16) walk_rows(&p, bf16_kernels, tile_begin, tile_end);
}

void llmc_matmul_kernels_avx512_float(llmc_matmul_kernels *kernels) {
    kernels->f32 = kernels->f16 = kernels->bf16 = (llmc_float_product){matmul_avx512_float, LLMC_ACT_F32};
}
