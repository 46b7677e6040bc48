/* The matrix product of quantized weights with AVX2 and the VEX form of VNNI. Makes the bits of matmul.c. */
#include "kernels/cpu/x86/avx2_tiles.h"

void llmc_matmul_kernels_avxvnni(llmc_matmul_kernels *kernels) {
    kernels->matmul = matmul_tiles;
}
