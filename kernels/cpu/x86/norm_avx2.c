/* RMS norm and layer norm in 8 lanes. */
#include "kernels/cpu/norm.h"

#include "kernels/cpu/x86/lanes_avx2.h"

#include "kernels/cpu/x86/norm_lanes.h"

void llmc_norm_kernels_avx2(llmc_norm_kernels *kernels) {
    kernels->rms_norm = rms_norm;
    kernels->layer_norm = layer_norm;
}
