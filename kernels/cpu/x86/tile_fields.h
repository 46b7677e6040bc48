/* The fields and scales of packed tiles as vectors, with AVX-512. */
#ifndef LLMC_TILE_FIELDS_H
#define LLMC_TILE_FIELDS_H

#include "kernels/cpu/codes.h"
#include "kernels/cpu/pack.h"

#include <immintrin.h>
#include <stdint.h>

#define TILE_INLINE static inline __attribute__((always_inline))

/* How many bits a field has. */
TILE_INLINE int tile_field_bits(const int low, const int high, const int codes) {
    return codes ? llmc_code_forms[codes].bits : low + high;
}

/* What the bits stand for, with the offset that makes it a field. */
TILE_INLINE __m512i tile_code_table(const int codes) {
    const __m512i values = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)llmc_codes[codes]));
    return _mm512_add_epi8(values, _mm512_set1_epi8((char)llmc_code_forms[codes].offset));
}

/* Fields of group g (of 8) of a tile's 32 columns, as unsigned bytes. low, high, codes, g: constants. */
TILE_INLINE __m512i tile_group_fields(const int low, const int high, const int codes, const uint8_t *quants, const int g) {
    const int low_n = 8 / low, low_shift = g % low_n * low;
    __m512i fields = _mm512_load_si512(quants + g / low_n * 64);
    if (low == 8) return fields;
    if (low_shift) fields = _mm512_srli_epi16(fields, (unsigned)low_shift);
    fields = _mm512_and_si512(fields, _mm512_set1_epi8((char)((1 << low) - 1)));
    if (high) {
        const int high_n = 8 / (high ? high : 1), high_shift = g % high_n * high - low; /* to the right */
        __m512i top = _mm512_load_si512(quants + 64 * low + g / high_n * 64);
        if (high_shift > 0) top = _mm512_srli_epi16(top, (unsigned)high_shift);
        if (high_shift < 0) top = _mm512_slli_epi16(top, (unsigned)-high_shift);
        /* fields | (top & mask) */
        fields = _mm512_ternarylogic_epi32(fields, top, _mm512_set1_epi8((char)(((1 << high) - 1) << low)), 0xf8);
    }
    return codes ? _mm512_shuffle_epi8(tile_code_table(codes), fields) : fields;
}

TILE_INLINE __m512 tile_halves(const uint8_t *bytes) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)bytes));
}

/* d of a super-block, in the unit of its codes. */
TILE_INLINE __m512 tile_scales_256(const uint8_t *scales, const int codes) {
    const __m512 d = tile_halves(scales);
    const float unit = llmc_code_forms[codes].unit;
    return unit == 1.0f ? d : _mm512_mul_ps(d, _mm512_set1_ps(unit));
}

/* d of a block of 32. kind: a constant. */
TILE_INLINE __m512 tile_scales(const uint8_t *scales, const int kind) {
    if (kind != LLMC_SCALES_E8M0) return tile_halves(scales);
    const __m512i exponent = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)scales));
    const __m512i ones = _mm512_set1_epi32(1), normal = _mm512_slli_epi32(_mm512_sub_epi32(exponent, ones), 23);
    const __m512i subnormal = _mm512_sllv_epi32(_mm512_set1_epi32(0x00200000), _mm512_min_epi32(exponent, ones));
    return _mm512_castsi512_ps(_mm512_max_epi32(normal, subnormal));
}

#endif
