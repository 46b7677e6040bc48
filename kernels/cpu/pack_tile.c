/* The fast way into a tile: 16 rows at once, a block of each at a time, so that the tile is written from its begin to its end
 * in whole lines. Gives the bytes that pack.c gives row by row.
 *
 * Bits move in *lanes*: 16 words of 4 bytes, one of each row. Words of the file's blocks are transposed into lanes once; what
 * is left, shifts and masks, is the same for all rows, and a vector of a tile is a lane vector. This is C over the
 * compiler's vectors: with the instructions that every x86-64 has it already runs about as fast as memory. */
#include <string.h>

#include "kernels/cpu/grids.h"
#include "kernels/cpu/pack.h"

/* Vectors wider than the machine's are passed only to functions that are always inlined. */
#pragma GCC diagnostic ignored "-Wpsabi"

typedef uint32_t lanes __attribute__((vector_size(4 * LLMC_TILE_ROWS)));
typedef uint32_t words4 __attribute__((vector_size(16)));
typedef uint16_t halves __attribute__((vector_size(2 * LLMC_TILE_ROWS)));

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* A point of a grid for each row. */
ALWAYS_INLINE lanes look_up(const uint16_t *grid, lanes index) {
    uint32_t at[LLMC_TILE_ROWS];
    memcpy(at, &index, sizeof at);
    halves points = {grid[at[0]],  grid[at[1]],  grid[at[2]],  grid[at[3]], grid[at[4]],  grid[at[5]],
                     grid[at[6]],  grid[at[7]],  grid[at[8]],  grid[at[9]], grid[at[10]], grid[at[11]],
                     grid[at[12]], grid[at[13]], grid[at[14]], grid[at[15]]};
    return __builtin_convertvector(points, lanes);
}

typedef lanes row_word;
#include "kernels/cpu/grid_body.h"

/* Each byte of a word to this. */
#define BYTES(x) (0x01010101u * (x))

enum { MOST_WORDS = 52 };

/* How many words of a type's block are read at once, and what is in them. */
ALWAYS_INLINE uint32_t words_of(int32_t type) {
    if (grid_words(type)) return (uint32_t)grid_words(type);
    switch (type) {
    case LLMC_PACK_Q4_0:
    case LLMC_PACK_IQ4_NL:
    case LLMC_PACK_MXFP4:
        return 4; /* quants, behind d */
    case LLMC_PACK_Q4_1:
    case LLMC_PACK_Q5_0:
        return 5; /* d m, quants; fifth bits, quants */
    case LLMC_PACK_Q5_1:
        return 6; /* d m, fifth bits, quants */
    case LLMC_PACK_Q8_0:
        return 8;
    case LLMC_PACK_Q2_K:
        return 21; /* 4 of scales and minima, quants, d dmin */
    case LLMC_PACK_Q3_K:
        return 27; /* 8 of third bits, quants, 3 of scales; then d */
    case LLMC_PACK_Q4_K:
        return 36; /* d dmin, 3 of scales and minima, quants */
    case LLMC_PACK_Q5_K:
        return 44; /* the same with 8 of fifth bits before the quants */
    case LLMC_PACK_IQ4_XS:
        return 34; /* d and high bits of scales, 1 of their low bits, quants */
    case LLMC_PACK_TQ1_0:
        return 13; /* 12 of 5 digits a byte, 1 of 4; then d */
    case LLMC_PACK_TQ2_0:
        return 16; /* then d */
    default:
        return MOST_WORDS; /* Q6_K: 32 of low bits, 16 of high ones, 4 of scales; then d */
    }
}

/* Where the words begin, and where d is in blocks that have it apart from them. */
ALWAYS_INLINE uint32_t words_base(int32_t type) {
    if (type == LLMC_PACK_MXFP4) return 1;
    if (grid_words(type)) return type == LLMC_PACK_IQ1_M ? 0 : 2;
    return type == LLMC_PACK_Q4_0 || type == LLMC_PACK_Q5_0 || type == LLMC_PACK_Q8_0 || type == LLMC_PACK_IQ4_NL ? 2 : 0;
}

ALWAYS_INLINE uint32_t lone_d_at(int32_t type) {
    if (type == LLMC_PACK_TQ1_0) return 52;
    if (type == LLMC_PACK_TQ2_0) return 64;
    return type == LLMC_PACK_Q3_K ? 108 : type == LLMC_PACK_Q6_K ? 208 : 0;
}

/* --- lanes from rows, and into the tile --- */

/* 4 words of 4 rows. */
ALWAYS_INLINE void transpose_4x4(const uint8_t *rows, size_t stride, uint32_t *to) {
    words4 a, b, c, d;
    memcpy(&a, rows, 16);
    memcpy(&b, rows + stride, 16);
    memcpy(&c, rows + 2 * stride, 16);
    memcpy(&d, rows + 3 * stride, 16);
    words4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    words4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    a = __builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5);
    b = __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7);
    c = __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5);
    d = __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7);
    memcpy(to, &a, 16);
    memcpy(to + LLMC_TILE_ROWS, &b, 16);
    memcpy(to + 2 * LLMC_TILE_ROWS, &c, 16);
    memcpy(to + 3 * LLMC_TILE_ROWS, &d, 16);
}

/* n words of each row from rows on into n lanes. */
ALWAYS_INLINE void read_words(const uint8_t *rows, size_t stride, uint32_t n, lanes *to) {
    uint32_t *out = (uint32_t *)to, w = 0;
    for (; w + 4 <= n; w += 4) {
        for (uint32_t r = 0; r < LLMC_TILE_ROWS; r += 4)
            transpose_4x4(rows + r * stride + w * 4, stride, out + w * LLMC_TILE_ROWS + r);
    }
    for (; w < n; w++) {
        for (uint32_t r = 0; r < LLMC_TILE_ROWS; r++) memcpy(out + w * LLMC_TILE_ROWS + r, rows + r * stride + w * 4, 4);
    }
}

/* A value of 2 bytes of each row. */
ALWAYS_INLINE halves read_halves(const uint8_t *rows, size_t stride) {
    uint16_t value[LLMC_TILE_ROWS];
    halves all;
    for (uint32_t r = 0; r < LLMC_TILE_ROWS; r++) memcpy(value + r, rows + r * stride, 2);
    memcpy(&all, value, sizeof all);
    return all;
}

ALWAYS_INLINE void put_lanes(uint8_t *to, lanes values) {
    memcpy(to, &values, sizeof values);
}

/* The low halves of 16 words, then the high ones: d and m, two pairs of scales, or two columns. */
ALWAYS_INLINE void put_halves(uint8_t *to, lanes words) {
    halves low = __builtin_convertvector(words, halves), high = __builtin_convertvector(words >> 16, halves);
    memcpy(to, &low, sizeof low);
    memcpy(to + sizeof low, &high, sizeof high);
}

/* --- fields: 8 groups of 4 columns --- */

ALWAYS_INLINE void nibbles(const lanes *qs, lanes field[8]) {
    for (int g = 0; g < 4; g++) {
        field[g] = qs[g] & BYTES(15);
        field[g + 4] = qs[g] >> 4 & BYTES(15);
    }
}

/* Bit i of a word is bit 4 of column i. */
ALWAYS_INLINE void or_fifth_bits(lanes bits, lanes field[8]) {
    for (int g = 0; g < 8; g++) {
        lanes four = bits >> 4 * g & 15;
        field[g] |= ((four | four << 7 | four << 14 | four << 21) & BYTES(1)) << 4;
    }
}

ALWAYS_INLINE void low_bits(const lanes *qs, int shift, uint32_t mask, lanes field[8]) {
    for (int g = 0; g < 8; g++) field[g] = qs[g] >> shift & BYTES(mask);
}

ALWAYS_INLINE void or_high_bits(const lanes *qh, int shift, uint32_t mask, int to, lanes field[8]) {
    for (int g = 0; g < 8; g++) field[g] |= (qh[g] >> shift & BYTES(mask)) << to;
}

/* The n-th digit to base 3, from the highest on, of each byte as a fraction of 256. */
ALWAYS_INLINE lanes ternary_digits(lanes bytes, uint32_t n) {
    const uint32_t power = n == 0 ? 1 : n == 1 ? 3 : n == 2 ? 9 : n == 3 ? 27 : 81;
    lanes even = (bytes & 0x00ff00ff) * power & 0x00ff00ff, odd = (bytes >> 8 & 0x00ff00ff) * power & 0x00ff00ff;
    return (even * 3 >> 8 & 0x00ff00ff) | (odd * 3 & 0xff00ff00);
}

/* Group g of 64 of TQ1_0: digits first, then words. */
ALWAYS_INLINE lanes ternary_group(const lanes *w, uint32_t g) {
    if (g < 40) return ternary_digits(w[g % 8], g / 8);
    return g < 60 ? ternary_digits(w[8 + g % 4], (g - 40) / 4) : ternary_digits(w[12], g - 60);
}

/* Columns 32 * chunk to 32 * chunk + 31 of a block, before table and offset. */
ALWAYS_INLINE void read_fields(int32_t type, const lanes *w, int chunk, lanes field[8]) {
    int half = chunk / 4, quarter = chunk % 4;
    switch (type) {
    case LLMC_PACK_Q4_0:
    case LLMC_PACK_IQ4_NL:
    case LLMC_PACK_MXFP4:
        nibbles(w, field);
        break;
    case LLMC_PACK_Q4_1:
        nibbles(w + 1, field);
        break;
    case LLMC_PACK_Q5_0:
        nibbles(w + 1, field);
        or_fifth_bits(w[0], field);
        break;
    case LLMC_PACK_Q5_1:
        nibbles(w + 2, field);
        or_fifth_bits(w[1], field);
        break;
    case LLMC_PACK_Q8_0:
        for (int g = 0; g < 8; g++) field[g] = w[g] ^ BYTES(0x80);
        break;
    case LLMC_PACK_Q2_K:
        low_bits(w + 4 + half * 8, quarter * 2, 3, field);
        break;
    case LLMC_PACK_Q3_K:
        low_bits(w + 8 + half * 8, quarter * 2, 3, field);
        or_high_bits(w, chunk, 1, 2, field);
        break;
    case LLMC_PACK_Q4_K:
        low_bits(w + 4 + chunk / 2 * 8, chunk % 2 * 4, 15, field);
        break;
    case LLMC_PACK_Q5_K:
        low_bits(w + 12 + chunk / 2 * 8, chunk % 2 * 4, 15, field);
        or_high_bits(w + 4, chunk, 1, 4, field);
        break;
    case LLMC_PACK_IQ4_XS:
        nibbles(w + 2 + chunk * 4, field);
        break;
    case LLMC_PACK_TQ1_0:
        for (uint32_t g = 0; g < 8; g++) field[g] = ternary_group(w, (uint32_t)chunk * 8 + g);
        break;
    case LLMC_PACK_TQ2_0:
        low_bits(w + half * 8, quarter * 2, 3, field);
        break;
    default:
        low_bits(w + half * 16 + quarter % 2 * 8, quarter / 2 * 4, 15, field);
        or_high_bits(w + 32 + half * 8, quarter * 2, 3, 4, field);
    }
}

/* Bits [shift, shift + bits) of the fields as a plane. */
ALWAYS_INLINE void put_plane(uint8_t *to, uint32_t bits, uint32_t shift, const lanes field[8]) {
    uint32_t mask = BYTES(0xffu >> (8 - bits)), per_vector = 8 / bits;
    for (uint32_t v = 0; v < bits; v++) {
        lanes vector = field[v * per_vector] >> shift & mask;
        for (uint32_t i = 1; i < per_vector; i++) vector |= (field[v * per_vector + i] >> shift & mask) << i * bits;
        put_lanes(to + v * sizeof vector, vector);
    }
}

/* Exchanges the bits under mask with those `distance` above them. */
ALWAYS_INLINE lanes swap_bits(lanes x, int distance, uint32_t mask) {
    const lanes differ = (x ^ x >> distance) & mask;
    return x ^ differ ^ differ << distance;
}

/* IQ3: two points and their signs are the 8 nibbles of a vector's word, which go from the order of columns to group beside group. */
ALWAYS_INLINE void put_grid_4(int32_t type, const lanes *w, int chunk, uint8_t *to) {
    const lanes signs = signs_of(type, w, chunk);
    for (int i = 0; i < 4; i++) {
        lanes sign = signs >> 8 * i & 255;
        sign = (sign | sign << 12) & 0x000f000f;
        sign = (sign | sign << 6) & 0x03030303;
        sign = (sign | sign << 3) & 0x11111111;
        lanes x = point_of(type, w, chunk * 8 + 2 * i) | point_of(type, w, chunk * 8 + 2 * i + 1) << 16 | sign << 3;
        x = swap_bits(x, 8, 0x0000ff00);
        put_lanes(to + i * sizeof x, swap_bits(x, 4, 0x00f000f0));
    }
}

/* IQ2, IQ1: two points are 16 pairs of bits, the signs of 32 columns a word; likewise. */
ALWAYS_INLINE void put_grid_8(int32_t type, const lanes *w, int chunk, uint8_t *to) {
    for (int i = 0; i < 2; i++) {
        lanes x = point_of(type, w, chunk * 4 + 2 * i) | point_of(type, w, chunk * 4 + 2 * i + 1) << 16;
        x = swap_bits(x, 6, 0x00cc00cc);
        put_lanes(to + i * sizeof x, swap_bits(x, 12, 0x0000f0f0));
    }
    lanes signs = swap_bits(signs_of(type, w, chunk), 14, 0x0000cccc);
    signs = swap_bits(signs, 7, 0x00aa00aa);
    signs = swap_bits(signs, 2, 0x0c0c0c0c);
    put_lanes(to + 2 * sizeof signs, swap_bits(signs, 1, 0x22222222));
}

/* --- scales --- */

/* 8 scales and 8 minima of 6 bits in 12 bytes, as Q4_K and Q5_K have them. */
ALWAYS_INLINE void put_scales_6x16(uint8_t *scales, const lanes *w) {
    put_halves(scales + 64, w[0] & BYTES(63));
    put_halves(scales + 128, (w[2] & BYTES(15)) | (w[0] >> 6 & BYTES(3)) << 4);
    put_halves(scales + 192, w[1] & BYTES(63));
    put_halves(scales + 256, (w[2] >> 4 & BYTES(15)) | (w[1] >> 6 & BYTES(3)) << 4);
}

/* 16 scales of 6 bits less 32: low halves in 8 bytes, high ones in 4. */
ALWAYS_INLINE void put_scales_q3_k(uint8_t *scales, const lanes *w) {
    for (int i = 0; i < 4; i++) {
        lanes scale = (w[i % 2] >> i / 2 * 4 & BYTES(15)) | (w[2] >> i * 2 & BYTES(3)) << 4;
        put_halves(scales + 32 + 64 * i, ((scale | BYTES(0x80)) - BYTES(32)) ^ BYTES(0x80)); /* no byte borrows */
    }
}

/* 8 scales of 6 bits less 32: pairs of high bits in the high half of a word, nibbles in the next one. */
ALWAYS_INLINE void put_scales_iq4_xs(uint8_t *scales, const lanes *w) {
    for (int i = 0; i < 4; i += 2) { /* two pairs, 2 sub-blocks in the low half of a word and 2 in the high one */
        lanes low = w[1] >> i / 2 * 16, high = w[0] >> (16 + 4 * i);
        lanes nibble = (low & 15) | (low >> 4 & 15) << 8 | (low >> 8 & 15) << 16 | (low >> 12 & 15) << 24;
        lanes top = (high & 3) | (high >> 2 & 3) << 8 | (high >> 4 & 3) << 16 | (high >> 6 & 3) << 24;
        lanes scale = nibble | top << 4;
        put_halves(scales + 32 + 32 * i, ((scale | BYTES(0x80)) - BYTES(32)) ^ BYTES(0x80)); /* no byte borrows */
    }
}

ALWAYS_INLINE void put_exponents(uint8_t *scales, const uint8_t *rows, size_t stride) {
    for (uint32_t r = 0; r < LLMC_TILE_ROWS; r++) scales[r] = rows[r * stride];
}

ALWAYS_INLINE void put_scales(int32_t type, uint8_t *scales, const lanes *w, const uint8_t *rows, size_t stride) {
    halves d;
    for (int i = 0; i < grid_n_scales(type) / 4; i++) put_halves(scales + 32 + 64 * i, grid_scales(type, w, i));
    if (type == LLMC_PACK_IQ1_M) {
        d = __builtin_convertvector(d_in_pieces(w), halves);
        memcpy(scales, &d, sizeof d);
        return;
    }
    switch (type) {
    case LLMC_PACK_Q4_1:
    case LLMC_PACK_Q5_1:
        put_halves(scales, w[0]);
        return;
    case LLMC_PACK_Q4_K:
    case LLMC_PACK_Q5_K:
        put_halves(scales, w[0]);
        put_scales_6x16(scales, w + 1);
        return;
    case LLMC_PACK_Q2_K:
        put_halves(scales, w[20]);
        for (int i = 0; i < 4; i++) put_halves(scales + 64 + 64 * i, w[i]);
        return;
    case LLMC_PACK_Q3_K:
        put_scales_q3_k(scales, w + 24);
        break;
    case LLMC_PACK_Q6_K:
        for (int i = 0; i < 4; i++) put_halves(scales + 32 + 64 * i, w[48 + i]);
        break;
    case LLMC_PACK_IQ4_XS:
        put_scales_iq4_xs(scales, w);
        break;
    case LLMC_PACK_MXFP4:
        put_exponents(scales, rows, stride);
        return;
    default:
        break;
    }
    d = read_halves(rows + lone_d_at(type), stride);
    memcpy(scales, &d, sizeof d);
}

/* --- tiles --- */

/* type, low and high are constants of each caller. */
ALWAYS_INLINE void pack_quantized_tile(int32_t type, uint32_t low, uint32_t high, const llmc_packed *packed, uint8_t *tile,
                                       const uint8_t *rows, size_t stride) {
    const llmc_tile_layout layout = *llmc_tile_layout_of(type);
    uint32_t n_blocks = packed->cols / layout.block_cols, n_chunks = llmc_act_form_inline(type) == LLMC_ACT_Q8_32 ? 1 : 8;
    uint8_t *quants = tile, *scales = tile + (size_t)n_blocks * n_chunks * 64 * (low + high);
    lanes words[MOST_WORDS], field[8];
    for (uint32_t b = 0; b < n_blocks; b++, rows += layout.block_bytes, scales += layout.scale_bytes) {
        read_words(rows + words_base(type), stride, words_of(type), words);
        put_scales(type, scales, words, rows, stride);
        for (uint32_t chunk = 0; chunk < n_chunks; chunk++, quants += 64 * (low + high)) {
            if (grid_words(type)) {
                if (grid_of_4(type)) put_grid_4(type, words, (int)chunk, quants);
                else put_grid_8(type, words, (int)chunk, quants);
                continue;
            }
            read_fields(type, words, (int)chunk, field);
            put_plane(quants, low, 0, field);
            if (high) put_plane(quants + low * 64, high, low, field);
        }
    }
    memset(scales, 0, (size_t)(tile + packed->tile_bytes - scales));
}

/* Columns of 4 bytes, or pairs of columns of 2. */
ALWAYS_INLINE void pack_float_tile(int32_t type, const llmc_packed *packed, uint8_t *tile, const uint8_t *rows, size_t stride) {
    enum { AT_ONCE = 16 };
    uint32_t n_words = type == LLMC_PACK_F32 ? packed->cols : packed->cols / 2;
    uint8_t *to = tile;
    lanes words[AT_ONCE];
    for (uint32_t done = 0, n; done < n_words; done += n, rows += n * 4) {
        n = n_words - done < AT_ONCE ? n_words - done : AT_ONCE;
        if (n == AT_ONCE) read_words(rows, stride, AT_ONCE, words);
        else read_words(rows, stride, n, words);
        for (uint32_t i = 0; i < n; i++, to += sizeof(lanes)) {
            if (type == LLMC_PACK_F16) put_halves(to, words[i]);
            else put_lanes(to, words[i]);
        }
    }
    if (type != LLMC_PACK_F32 && packed->cols % 2) {
        halves last = read_halves(rows, stride);
        if (type == LLMC_PACK_BF16) {
            put_lanes(to, __builtin_convertvector(last, lanes));
            to += sizeof(lanes);
        } else {
            memcpy(to, &last, sizeof last);
            to += sizeof last;
        }
    }
    memset(to, 0, (size_t)(tile + packed->tile_bytes - to));
}

void llmc_pack_tile(const llmc_packed *packed, uint8_t *tile, const uint8_t *rows, size_t stride) {
#define QUANTIZED(type, low, high)                                                                                             \
    case type:                                                                                                                 \
        pack_quantized_tile(type, low, high, packed, tile, rows, stride);                                                      \
        break;
    switch (packed->type) {
        QUANTIZED(LLMC_PACK_Q4_0, 4, 0)
        QUANTIZED(LLMC_PACK_Q4_1, 4, 0)
        QUANTIZED(LLMC_PACK_Q5_0, 4, 1)
        QUANTIZED(LLMC_PACK_Q5_1, 4, 1)
        QUANTIZED(LLMC_PACK_Q8_0, 8, 0)
        QUANTIZED(LLMC_PACK_Q2_K, 2, 0)
        QUANTIZED(LLMC_PACK_Q3_K, 2, 1)
        QUANTIZED(LLMC_PACK_Q4_K, 4, 0)
        QUANTIZED(LLMC_PACK_Q5_K, 4, 1)
        QUANTIZED(LLMC_PACK_Q6_K, 4, 2)
        QUANTIZED(LLMC_PACK_IQ4_NL, 4, 0)
        QUANTIZED(LLMC_PACK_IQ4_XS, 4, 0)
        QUANTIZED(LLMC_PACK_MXFP4, 4, 0)
        QUANTIZED(LLMC_PACK_IQ3_XXS, 4, 0)
        QUANTIZED(LLMC_PACK_IQ3_S, 4, 0)
        QUANTIZED(LLMC_PACK_IQ2_XXS, 2, 1)
        QUANTIZED(LLMC_PACK_IQ2_XS, 2, 1)
        QUANTIZED(LLMC_PACK_IQ2_S, 2, 1)
        QUANTIZED(LLMC_PACK_IQ1_S, 2, 1)
        QUANTIZED(LLMC_PACK_IQ1_M, 2, 1)
        QUANTIZED(LLMC_PACK_TQ1_0, 2, 0)
        QUANTIZED(LLMC_PACK_TQ2_0, 2, 0)
    case LLMC_PACK_F32:
        pack_float_tile(LLMC_PACK_F32, packed, tile, rows, stride);
        break;
    case LLMC_PACK_F16:
        pack_float_tile(LLMC_PACK_F16, packed, tile, rows, stride);
        break;
    case LLMC_PACK_BF16:
        pack_float_tile(LLMC_PACK_BF16, packed, tile, rows, stride);
        break;
    default:
        break;
    }
#undef QUANTIZED
}
