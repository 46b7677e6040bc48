/* Activations in 8 lanes. */
#include "kernels/cpu/activation.h"

#include "kernels/cpu/x86/lanes_avx2.h"

static inline vector if_above(vector x, vector a, vector b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ));
}

#include "kernels/cpu/x86/activation_lanes.h"

void llmc_activation_kernels_avx2(llmc_activation_kernels *kernels) {
    fill(kernels);
}
