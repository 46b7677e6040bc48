/* The matrix product of BF16 weights with AVX-512's dot product of bfloat16 pairs: activations are rounded to bfloat16 too. */
#include "kernels/cpu/x86/avx512_rows.h"

ROWS_KERNELS(bf16, LLMC_PACK_BF16)

static void matmul_avx512bf16(const llmc_packed *packed, const void *act, uint32_t n_rows, uint32_t tile_begin,
                              uint32_t tile_end, float *dst, size_t dst_stride, const float *bias, int accumulate,
                              void *scratch) {
    (void)scratch;
    product p = {packed, act, llmc_act_bytes(LLMC_ACT_BF16, packed->cols), n_rows, dst, dst_stride, bias, accumulate};
    walk_rows(&p, bf16_kernels, tile_begin, tile_end);
}

void llmc_matmul_kernels_avx512bf16(llmc_matmul_kernels *kernels) {
    kernels->bf16 = (llmc_float_product){matmul_avx512bf16, LLMC_ACT_BF16};
}
