/* The matrix product with AVX2 and the VEX form of VNNI. Makes the bits of matmul.c. */
#include "kernels/cpu/pack.h"

void llmc_matmul_kernels_avxvnni(llmc_matmul_kernels *kernels) {
    (void)kernels;
}
