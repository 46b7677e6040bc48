/* Activations in 16 lanes. */
#include "kernels/cpu/activation.h"

#include "kernels/cpu/vecmath.h"

enum { LANES = 16 };
typedef __m512 vector;
typedef __mmask16 lanes;
#define OP(name)     _mm512_##name##_ps
#define LANES_(name) llmc_##name##16

static inline lanes first_lanes(uint32_t n) {
    return (lanes)((1u << (n < 16 ? n : 16)) - 1u);
}

static inline vector load(const float *from, lanes there) {
    return _mm512_maskz_loadu_ps(there, from);
}

static inline void store(float *to, lanes there, vector x) {
    _mm512_mask_storeu_ps(to, there, x);
}

static inline vector if_above(vector x, vector a, vector b) {
    return _mm512_mask_mov_ps(b, _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_GT_OQ), a);
}

#include "kernels/cpu/x86/activation_lanes.h"

void llmc_activation_kernels_avx512(llmc_activation_kernels *kernels) {
    fill(kernels);
}
