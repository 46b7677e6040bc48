/* Activations in 8 lanes. */
#include "kernels/cpu/activation.h"

#include "kernels/cpu/vecmath.h"

enum { LANES = 8 };
typedef __m256 vector;
typedef __m256i lanes;
#define OP(name)     _mm256_##name##_ps
#define LANES_(name) llmc_##name##8

static inline lanes first_lanes(uint32_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)(n < 8 ? n : 8)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static inline vector load(const float *from, lanes there) {
    return _mm256_maskload_ps(from, there);
}

static inline void store(float *to, lanes there, vector x) {
    _mm256_maskstore_ps(to, there, x);
}

static inline vector if_above(vector x, vector a, vector b) {
    return _mm256_blendv_ps(b, a, _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ));
}

#include "kernels/cpu/x86/activation_lanes.h"

void llmc_activation_kernels_avx2(llmc_activation_kernels *kernels) {
    fill(kernels);
}
