/* The recurrent kernels in 8 lanes; also for the tiers above, since memory is their limit. */
#include "kernels/cpu/recurrent_body.h"

void llmc_recurrent_kernels_avx2(llmc_recurrent_kernels *kernels) {
    fill_kernels(kernels);
}
