/* The matrix product of BF16 weights with AVX-512's dot product of bfloat16 pairs. */
#include "kernels/cpu/pack.h"

void llmc_matmul_kernels_avx512bf16(llmc_matmul_kernels *kernels) {
    (void)kernels;
}
