/* The recurrent kernels, portable, and the choice of a tier's. */
#include "kernels/cpu/recurrent_body.h"

void llmc_recurrent_kernels_init(llmc_recurrent_kernels *kernels, llmc_cpu_tier tier) {
    fill_kernels(kernels);
    if (tier < LLMC_TIER_AVX2) return;
#ifdef LLMC_X86
    llmc_recurrent_kernels_avx2(kernels);
#endif
}
