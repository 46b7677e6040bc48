/* 8 lanes: what kernels that are one text for both widths (activation_lanes.h, norm_lanes.h) are written in.
 *   vector, lanes  a register of floats, and which of its lanes are there
 *   LANES          8 or 16; LANES_(name) is llmc_<name>8 or llmc_<name>16 of vecmath.h
 *   OP(name)       the instruction set's function: _mm256_<name>_ps or _mm512_<name>_ps
 *   first_lanes    lanes 0 .. n - 1, all of them from n = LANES on
 *   load, store    of those lanes; the others load as 0
 *   keep           x in those lanes, 0 in the others
 *   total          the tree over 16 partial sums, which lie in 16 / LANES vectors */
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

static inline vector keep(lanes there, vector x) {
    return _mm256_and_ps(x, _mm256_castsi256_ps(there));
}

static inline float total(const vector sums[2]) {
    return llmc_sum8(_mm256_add_ps(sums[0], sums[1]));
}
