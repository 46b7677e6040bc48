/* 16 lanes: what lanes_avx2.h says of 8. */
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

static inline vector keep(lanes there, vector x) {
    return _mm512_maskz_mov_ps(there, x);
}

static inline float total(const vector sums[1]) {
    return llmc_sum16_vector(sums[0]);
}
