/* Activations in 16 lanes. */
#include "kernels/cpu/activation.h"

#include "kernels/cpu/x86/lanes_avx512.h"

static inline vector if_above(vector x, vector a, vector b) {
    return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), a);
}

#include "kernels/cpu/x86/activation_lanes.h"

void llmc_activation_kernels_avx512(llmc_activation_kernels *kernels) {
    fill(kernels);
}
