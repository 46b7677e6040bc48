/* 16-bit floats, exact: what F16C hardware gives, subnormals, infinities and NaNs included. In portable C without tables, so
 * that every tier and the loader share one definition. */
#ifndef LLMC_HALF_H
#define LLMC_HALF_H

#include <stdint.h>
#include <string.h>

static inline float llmc_f32_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t llmc_f32_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* IEEE binary16 to binary32. A signalling NaN comes out quiet, as vcvtph2ps makes it. */
static inline float llmc_f16_to_f32(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    uint32_t magnitude = half & 0x7fffu;
    if (magnitude > 0x7c00u) return llmc_f32_from_bits(sign | 0x7fc00000u | magnitude << 13);
    if (magnitude == 0x7c00u) return llmc_f32_from_bits(sign | 0x7f800000u);
    if (magnitude >= 0x0400u) return llmc_f32_from_bits(sign | (magnitude + (112u << 10)) << 13);
    /* Zero or subnormal: magnitude * 2^-24, which binary32 holds exactly as a normal number. */
    return llmc_f32_from_bits(sign | llmc_f32_bits((float)magnitude * 0x1p-24f));
}

/* binary32 to IEEE binary16, to nearest, ties to even. NaNs stay NaNs with the top of their payload, quiet. */
static inline uint16_t llmc_f32_to_f16(float value) {
    uint32_t bits = llmc_f32_bits(value);
    uint32_t sign = bits >> 16 & 0x8000u;
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return (uint16_t)(sign | 0x7e00u | (magnitude >> 13 & 0x3ffu));
    if (magnitude >= 0x477ff000u) return (uint16_t)(sign | 0x7c00u); /* 65520 and up round to infinity */
    if (magnitude >= 0x38800000u) {                                  /* 2^-14 and up: a normal half */
        uint32_t even = magnitude >> 13 & 1u;
        return (uint16_t)(sign | (magnitude - (112u << 23) + 0xfffu + even) >> 13);
    }
    /* Subnormal: adding 0.5 leaves steps of 2^-24 in the sum's mantissa, so the addition itself rounds to even. */
    uint32_t sum = llmc_f32_bits(llmc_f32_from_bits(magnitude) + 0.5f);
    return (uint16_t)(sign | (sum - 0x3f000000u));
}

static inline float llmc_bf16_to_f32(uint16_t half) {
    return llmc_f32_from_bits((uint32_t)half << 16);
}

/* To nearest, ties to even; NaNs stay NaNs, quiet. */
static inline uint16_t llmc_f32_to_bf16(float value) {
    uint32_t bits = llmc_f32_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

#endif
