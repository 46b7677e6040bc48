/* Activations in 16 lanes. */
#include "kernels/cpu/activation.h"

#include "kernels/cpu/x86/lanes_avx512.h"

#include "kernels/cpu/x86/activation_lanes.h"

void llmc_activation_kernels_avx512(llmc_activation_kernels *kernels) {
    fill(kernels);
}
