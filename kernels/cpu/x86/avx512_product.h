/* What a call of a matrix product is about, and how its sums are stored, for the AVX-512 tiers and those above. */
#ifndef LLMC_AVX512_PRODUCT_H
#define LLMC_AVX512_PRODUCT_H

#include "kernels/cpu/pack.h"

#include <immintrin.h>

typedef struct product {
    const llmc_packed *packed;
    const uint8_t *act;
    size_t act_stride;
    uint32_t n_rows;
    float *dst;
    size_t dst_stride;
    const float *bias;
    int accumulate;
} product;

static inline void store(const product *p, uint32_t row, uint32_t tile, __m512 value) {
    uint32_t output = tile * LLMC_TILE_ROWS, left = p->packed->rows - output;
    __mmask16 mask = _cvtu32_mask16(left < LLMC_TILE_ROWS ? (1u << left) - 1 : 0xffffu);
    float *dst = p->dst + row * p->dst_stride + output;
    if (p->bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, p->bias + output));
    if (p->accumulate) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, dst), value);
    _mm512_mask_storeu_ps(dst, mask, value);
}

#endif
