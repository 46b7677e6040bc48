/* The fields of packed tiles as vectors of bytes, with AVX-512. */
#ifndef LLMC_TILE_FIELDS_H
#define LLMC_TILE_FIELDS_H

#include <immintrin.h>
#include <stdint.h>

/* Fields of group g (of 8) of a tile's 32 columns, as unsigned bytes. low, high, g: constants. */
static inline __attribute__((always_inline)) __m512i tile_group_fields(const int low, const int high, const uint8_t *quants,
                                                                       const int g) {
    const int low_n = 8 / low, low_shift = g % low_n * low;
    __m512i fields = _mm512_load_si512(quants + g / low_n * 64);
    if (low == 8) return fields;
    if (low_shift) fields = _mm512_srli_epi16(fields, (unsigned)low_shift);
    fields = _mm512_and_si512(fields, _mm512_set1_epi8((char)((1 << low) - 1)));
    if (!high) return fields;
    const int high_n = 8 / (high ? high : 1), high_shift = g % high_n * high - low; /* to the right */
    __m512i top = _mm512_load_si512(quants + 64 * low + g / high_n * 64);
    if (high_shift > 0) top = _mm512_srli_epi16(top, (unsigned)high_shift);
    if (high_shift < 0) top = _mm512_slli_epi16(top, (unsigned)-high_shift);
    /* fields | (top & mask) */
    return _mm512_ternarylogic_epi32(fields, top, _mm512_set1_epi8((char)(((1 << high) - 1) << low)), 0xf8);
}

static inline __m512 tile_halves(const uint8_t *bytes) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)bytes));
}

#endif
