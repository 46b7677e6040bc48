/* The matrix product in 256-bit registers, for the files of its tiers: two of 8 lanes hold the 16 outputs of a tile. Products
 * of bytes are summed in 16 bits as far as they cannot saturate (AVX2), or, in a file compiled with the VEX form of VNNI, in
 * 32. Few rows unpack weights in registers as they go; many share what is unpacked once into the first-level cache. */
#ifndef LLMC_AVX2_TILES_H
#define LLMC_AVX2_TILES_H

#include "kernels/cpu/codes.h"
#include "kernels/cpu/pack.h"
#include "kernels/cpu/x86/tile_stream.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

/* A sum of int16 that stays in its register: compilers like to add integers as a tree, which needs more of them than there
 * are. */
#define ADD_IN_PLACE(sum, more) __asm__("vpaddw %1, %0, %0" : "+x"(sum) : "x"(more))

/* Rows at a time: integers need more registers than their sums. HALVES of a tile: 8 outputs, 32 bytes of each vector. */
enum { INTEGER_ROWS = 4, FLOAT_ROWS = 6, MAX_ROWS = 6, HALVES = 2 };

typedef struct tile_job {
    tile_stream at;      /* quants, in the tile or unpacked, scales, and what is asked for ahead */
    const uint8_t *next; /* the tile that will be read next */
    size_t n_blocks;     /* of 32 columns or 256; floats: columns */
    const uint8_t *act[MAX_ROWS];
    __m256 *sums; /* (rows, HALVES), added to */
} tile_job;

/* 8-bit weights without their offset: vpmaddubsw takes them apart into size and sign, and vpdpbusd needs neither. */
#ifdef __AVXVNNI__
enum { BYTES_ARE_SIGNED = 0 };
#else
enum { BYTES_ARE_SIGNED = 1 };
#endif

/* How quants lie: as in the tile, or as one byte a field, 512 of 32 columns. */
enum { PACKED, PLAIN };
#define QUANT_BYTES(low, high, how) ((how) == PLAIN ? 512u : 64u * (unsigned)((low) + (high)))

INLINE __m256i broadcast_4(const void *bytes) {
    int32_t word;
    memcpy(&word, bytes, 4);
    return _mm256_set1_epi32(word);
}

INLINE __m256 halves_at(const uint8_t *bytes) {
    return _mm256_cvtph_ps(_mm_load_si128((const __m128i *)(const void *)bytes));
}

INLINE __m256i load(const uint8_t *bytes) {
    return _mm256_load_si256((const __m256i *)(const void *)bytes);
}

/* Is a field a signed byte, to be taken apart? */
INLINE int is_signed(const int low, const int codes) {
    return BYTES_ARE_SIGNED && (low == 8 || codes == LLMC_CODES_IQ4);
}

/* What the bits stand for, with the offset that makes it a field: none of signed bytes. */
INLINE __m256i code_table(const int codes) {
    const __m256i values = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)llmc_codes[codes]));
    if (is_signed(0, codes)) return values;
    return _mm256_add_epi8(values, _mm256_set1_epi8((char)llmc_code_forms[codes].offset));
}

/* Fields of group g (of 8) of 32 columns of half a tile, as unsigned bytes or signed ones. */
INLINE __m256i group_fields(const int low, const int high, const int codes, const int how, const uint8_t *quants, const int g) {
    if (how == PLAIN) return load(quants + 64 * g);
    const int low_n = 8 / low, low_shift = g % low_n * low;
    __m256i fields = load(quants + g / low_n * 64);
    if (low == 8) return BYTES_ARE_SIGNED ? _mm256_xor_si256(fields, _mm256_set1_epi8((char)0x80)) : fields;
    if (low_shift) fields = _mm256_srli_epi16(fields, low_shift);
    fields = _mm256_and_si256(fields, _mm256_set1_epi8((char)((1 << low) - 1)));
    if (high) {
        const int high_n = 8 / (high ? high : 1), high_shift = g % high_n * high - low; /* to the right */
        __m256i top = load(quants + 64 * low + g / high_n * 64);
        if (high_shift > 0) top = _mm256_srli_epi16(top, high_shift);
        if (high_shift < 0) top = _mm256_slli_epi16(top, -high_shift);
        fields = _mm256_or_si256(fields, _mm256_and_si256(top, _mm256_set1_epi8((char)(((1 << high) - 1) << low))));
    }
    return codes ? _mm256_shuffle_epi8(code_table(codes), fields) : fields;
}

/* Adds to the dots of each row the groups [begin, end) of 32 columns, times the int16 pairs of `scale`, if there is one. */
#ifdef __AVXVNNI__
INLINE void add_groups(const int rows, const int low, const int high, const int codes, const int how, const int begin,
                       const int end, const uint8_t *quants, const int8_t *const *q, const __m256i *scale,
                       __m256i dot[MAX_ROWS][HALVES]) {
    __m256i part[MAX_ROWS][HALVES];
    UNROLL for (int i = 0; i < rows * HALVES; i++) part[i / HALVES][i % HALVES] =
        scale ? _mm256_setzero_si256() : dot[i / HALVES][i % HALVES];
    UNROLL for (int g = begin; g < end; g++) {
        __m256i w[HALVES];
        UNROLL for (int h = 0; h < HALVES; h++) w[h] = group_fields(low, high, codes, how, quants + h * 32, g);
        UNROLL for (int r = 0; r < rows; r++) {
            __m256i x = broadcast_4(q[r] + 4 * g);
            UNROLL for (int h = 0; h < HALVES; h++) part[r][h] = _mm256_dpbusd_avx_epi32(part[r][h], w[h], x);
        }
    }
    UNROLL for (int h = 0; h < HALVES; h++) {
        UNROLL for (int r = 0; r < rows; r++) {
            if (scale) part[r][h] = _mm256_mullo_epi32(part[r][h], _mm256_srai_epi32(scale[h], 16));
            dot[r][h] = scale ? _mm256_add_epi32(dot[r][h], part[r][h]) : part[r][h];
        }
    }
}
#else
/* How many groups' products of a pair of columns fit in 16 bits: 2 * 127 * the largest field each. 8 bits: one group, as |weight|
 * times the activation with the weight's sign, at most 2 * 128 * 127. */
INLINE int groups_in_16_bits(const int low, const int high, const int codes) {
    const int bits = codes ? llmc_code_forms[codes].bits : low + high;
    return bits <= 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
}

INLINE void add_groups(const int rows, const int low, const int high, const int codes, const int how, const int begin,
                       const int end, const uint8_t *quants, const int8_t *const *q, const __m256i *scale,
                       __m256i dot[MAX_ROWS][HALVES]) {
    const __m256i ones = _mm256_set1_epi16(1);
    const int fit = groups_in_16_bits(low, high, codes), step = fit < end - begin ? fit : end - begin;
    UNROLL for (int first = begin; first < end; first += step) {
        __m256i part[MAX_ROWS][HALVES];
        UNROLL for (int g = first; g < first + step; g++) {
            __m256i w[HALVES], size[HALVES];
            UNROLL for (int h = 0; h < HALVES; h++) {
                w[h] = group_fields(low, high, codes, how, quants + h * 32, g);
                size[h] = is_signed(low, codes) ? _mm256_abs_epi8(w[h]) : w[h];
            }
            UNROLL for (int r = 0; r < rows; r++) {
                __m256i x = broadcast_4(q[r] + 4 * g);
                UNROLL for (int h = 0; h < HALVES; h++) {
                    __m256i pairs = _mm256_maddubs_epi16(size[h], is_signed(low, codes) ? _mm256_sign_epi8(x, w[h]) : x);
                    if (g == first) part[r][h] = pairs;
                    else ADD_IN_PLACE(part[r][h], pairs);
                }
            }
        }
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int h = 0; h < HALVES; h++) dot[r][h] =
                _mm256_add_epi32(dot[r][h], _mm256_madd_epi16(part[r][h], scale ? scale[h] : ones));
        }
    }
}
#endif

INLINE void load_sums(const tile_job *job, const int rows, __m256 sum[MAX_ROWS][HALVES]) {
    UNROLL for (int i = 0; i < rows * HALVES; i++) sum[i / HALVES][i % HALVES] = job->sums[i];
}

INLINE void store_sums(const tile_job *job, const int rows, __m256 sum[MAX_ROWS][HALVES]) {
    UNROLL for (int i = 0; i < rows * HALVES; i++) job->sums[i] = sum[i / HALVES][i % HALVES];
}

/* Of what a kernel has ahead, in a block. What was unpacked has at least two kernels' time to fetch the next chunk. */
#define AHEAD_BYTES(low, high, how) ((how) == PLAIN ? ((low) + (high) + 1) / 2 * 64u : QUANT_BYTES(low, high, PACKED))

/* Asks for the quants that lie ahead of 32 columns, and on to the next ones. */
INLINE void step_quants(tile_stream *at, const int low, const int high, const int how) {
    prefetch_lines(at->ahead_quants, AHEAD_BYTES(low, high, how));
    at->quants += QUANT_BYTES(low, high, how);
    at->ahead_quants += AHEAD_BYTES(low, high, how);
}

INLINE void step_scales(tile_stream *at, const size_t scale_bytes) {
    prefetch_lines(at->ahead_scales, scale_bytes);
    at->scales += scale_bytes;
    at->ahead_scales += scale_bytes;
}

/* --- blocks of 32 --- */

/* d of 8 outputs. */
INLINE __m256 scales_at(const uint8_t *scales, const int h, const int kind) {
    if (kind != LLMC_SCALES_E8M0) return halves_at(scales + h * 16);
    const __m256i exponent = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)(scales + h * 8)));
    const __m256i ones = _mm256_set1_epi32(1), normal = _mm256_slli_epi32(_mm256_sub_epi32(exponent, ones), 23);
    const __m256i subnormal = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), _mm256_min_epi32(exponent, ones));
    return _mm256_castsi256_ps(_mm256_max_epi32(normal, subnormal));
}

INLINE void q8_32_kernel(const tile_job *job, const int rows, const int how, const int low, const int high, const int codes,
                         const int offset, const int kind) {
    const int has_min = kind == LLMC_SCALES_D_MIN;
    const size_t scale_bytes = llmc_scale_bytes_32(kind), n_blocks = job->n_blocks;
    tile_stream at = job->at;
    __m256 sum[MAX_ROWS][HALVES];
    load_sums(job, rows, sum);
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *quants = at.quants, *scales = at.scales;
        __m256i dot[MAX_ROWS][HALVES];
        const llmc_act_32 *x[MAX_ROWS];
        const int8_t *q[MAX_ROWS];
        UNROLL for (int r = 0; r < rows; r++) {
            __m256i start = _mm256_setzero_si256();
            x[r] = (const llmc_act_32 *)(const void *)job->act[r] + b;
            q[r] = x[r]->q;
            if (offset) start = _mm256_slli_epi32(broadcast_4(&x[r]->neg_sum), __builtin_ctz((unsigned)offset));
            UNROLL for (int h = 0; h < HALVES; h++) dot[r][h] = start;
        }
        tile_stream_turn(&at, job->next, b, n_blocks, QUANT_BYTES(low, high, PACKED));
        add_groups(rows, low, high, codes, how, 0, 8, quants, q, NULL, dot);
        step_quants(&at, low, high, how);
        step_scales(&at, scale_bytes);
        UNROLL for (int h = 0; h < HALVES; h++) {
            __m256 d = scales_at(scales, h, kind), m = _mm256_setzero_ps();
            if (has_min) m = halves_at(scales + 32 + h * 16);
            UNROLL for (int r = 0; r < rows; r++) {
                __m256 part = _mm256_mul_ps(_mm256_cvtepi32_ps(dot[r][h]), d);
                sum[r][h] = _mm256_fmadd_ps(part, _mm256_set1_ps(x[r]->d), sum[r][h]);
                if (has_min) sum[r][h] = _mm256_fmadd_ps(m, _mm256_set1_ps(x[r]->s), sum[r][h]);
            }
        }
    }
    store_sums(job, rows, sum);
}

/* --- super-blocks of 256 --- */

/* A pair of sub-blocks' scales or minima of 8 outputs as int16 lanes 2 * output + j. */
INLINE __m256i scale_pair(const uint8_t *pairs, const int kind) {
    if (kind == LLMC_SCALES_D) return _mm256_set1_epi16(1);
    __m128i bytes = _mm_load_si128((const __m128i *)(const void *)pairs);
    if (kind == LLMC_SCALES_K16 || kind == LLMC_SCALES_K32) return _mm256_cvtepi8_epi16(bytes);
    if (kind == LLMC_SCALES_K16_MIN) bytes = _mm_and_si128(bytes, _mm_set1_epi8(15));
    return _mm256_cvtepu8_epi16(bytes);
}

INLINE __m256i min_pair(const uint8_t *pairs, const int kind) {
    if (!llmc_has_minima(kind)) return scale_pair(pairs, kind);
    __m128i bytes = _mm_load_si128((const __m128i *)(const void *)pairs);
    if (kind == LLMC_SCALES_K16_MIN) bytes = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(15));
    return _mm256_cvtepu8_epi16(bytes);
}

/* Lane j of each pair, twice. */
INLINE __m256i both_lanes(__m256i pair, const int j) {
    __m256i other = j ? _mm256_srli_epi32(pair, 16) : _mm256_slli_epi32(pair, 16);
    return j ? _mm256_blend_epi16(pair, other, 0x55) : _mm256_blend_epi16(pair, other, 0xaa);
}

/* d of 8 outputs, in the unit of their codes. */
INLINE __m256 scales_256_at(const uint8_t *scales, const int h, const int codes) {
    const float unit = llmc_code_forms[codes].unit;
    const __m256 d = halves_at(scales + h * 16);
    return unit == 1.0f ? d : _mm256_mul_ps(d, _mm256_set1_ps(unit));
}

/* The sums of scale * dot of a super-block. Moves `at` past its quants. */
INLINE void scaled_dots(const int rows, const int how, const int low, const int high, const int codes, const int kind,
                        tile_stream *at, const uint8_t *pairs, const int8_t *const *q_of, __m256i isum[MAX_ROWS][HALVES]) {
    const int n_pairs = llmc_sub_pairs(kind), sub_groups = 32 / n_pairs;
    const int8_t *q[MAX_ROWS];
    UNROLL for (int r = 0; r < rows; r++) q[r] = q_of[r];
    for (int p = 0; p < n_pairs; p++) {
        UNROLL for (int j = 0; j < 2; j++) {
            const int begin = sub_groups == 4 ? 4 * j : 0;
            __m256i scale[HALVES];
            UNROLL for (int h = 0; h < HALVES; h++) scale[h] = both_lanes(scale_pair(pairs + p * 32 + h * 16, kind), j);
            add_groups(rows, low, high, codes, how, begin, begin + sub_groups, at->quants, q, scale, isum);
            if (sub_groups == 4 && !j) continue;
            step_quants(at, low, high, how);
            UNROLL for (int r = 0; r < rows; r++) q[r] += 32;
        }
    }
}

INLINE void q8_256_kernel(const tile_job *job, const int rows, const int how, const int low, const int high, const int codes,
                          const int offset, const int kind) {
    const int n_pairs = llmc_sub_pairs(kind), has_min = llmc_has_minima(kind);
    const int pairs_at = has_min ? 64 : 32, mins_at = kind == LLMC_SCALES_K32_MIN ? 192 : pairs_at;
    const size_t scale_bytes = llmc_scale_bytes_256(kind), n_blocks = job->n_blocks;
    tile_stream at = job->at;
    __m256 *sum = job->sums;
    for (size_t b = 0; b < n_blocks; b++) {
        const uint8_t *scales = at.scales;
        __m256i isum[MAX_ROWS][HALVES], msum[MAX_ROWS][HALVES];
        const llmc_act_256 *x[MAX_ROWS];
        const int8_t *q[MAX_ROWS];
        UNROLL for (int r = 0; r < rows; r++) {
            x[r] = (const llmc_act_256 *)(const void *)job->act[r] + b;
            q[r] = x[r]->q;
            UNROLL for (int h = 0; h < HALVES; h++) isum[r][h] = msum[r][h] = _mm256_setzero_si256();
        }
        tile_stream_turn(&at, job->next, b, n_blocks, 8 * QUANT_BYTES(low, high, PACKED));
        scaled_dots(rows, how, low, high, codes, kind, &at, scales + pairs_at, q, isum);
        step_scales(&at, scale_bytes);
        for (int p = 0; p < n_pairs && (has_min || offset); p++) {
            UNROLL for (int h = 0; h < HALVES; h++) {
                __m256i min = min_pair(scales + mins_at + p * 32 + h * 16, kind);
                UNROLL for (int r = 0; r < rows; r++) {
                    const int16_t *x_sums = n_pairs == 4 ? x[r]->sum_32 : x[r]->sum_16;
                    msum[r][h] = _mm256_add_epi32(msum[r][h], _mm256_madd_epi16(min, broadcast_4(x_sums + 2 * p)));
                }
            }
        }
        UNROLL for (int h = 0; h < HALVES; h++) {
            __m256 d = scales_256_at(scales, h, codes), dmin = _mm256_setzero_ps();
            if (has_min) dmin = halves_at(scales + 32 + h * 16);
            UNROLL for (int r = 0; r < rows; r++) {
                __m256 x_d = _mm256_set1_ps(x[r]->d), total = sum[r * HALVES + h];
                if (offset)
                    isum[r][h] = _mm256_sub_epi32(isum[r][h], _mm256_slli_epi32(msum[r][h], __builtin_ctz((unsigned)offset)));
                total = _mm256_fmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(isum[r][h]), d), x_d, total);
                if (has_min) total = _mm256_fnmadd_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(msum[r][h]), dmin), x_d, total);
                sum[r * HALVES + h] = total;
            }
        }
    }
}

/* --- floats --- */

/* Outputs 8 * h ... of column j of a pair of columns, which is two lines for F32 and one for others. */
INLINE __m256 column(const int type, const uint8_t *pair, const int j, const int h) {
    if (type == LLMC_PACK_F32) return _mm256_load_ps((const float *)(const void *)pair + j * LLMC_TILE_ROWS + h * 8);
    if (type == LLMC_PACK_F16) return halves_at(pair + j * 32 + h * 16);
    __m256i words = load(pair + h * 32);
    return _mm256_castsi256_ps(j ? _mm256_and_si256(words, _mm256_set1_epi32((int)0xffff0000)) : _mm256_slli_epi32(words, 16));
}

INLINE void add_column(const tile_job *job, const int rows, const int type, const uint8_t *pair, size_t col, const int j,
                       __m256 sum[MAX_ROWS][HALVES]) {
    __m256 w[HALVES];
    UNROLL for (int h = 0; h < HALVES; h++) w[h] = column(type, pair, j, h);
    UNROLL for (int r = 0; r < rows; r++) {
        __m256 x = _mm256_broadcast_ss((const float *)(const void *)job->act[r] + col);
        UNROLL for (int h = 0; h < HALVES; h++) sum[r][h] = _mm256_fmadd_ps(w[h], x, sum[r][h]);
    }
}

INLINE void f32_kernel(const tile_job *job, const int rows, const int type) {
    const size_t pair_bytes = type == LLMC_PACK_F32 ? 128 : 64, n_pairs = job->n_blocks / 2;
    tile_stream at = job->at;
    __m256 sum[MAX_ROWS][HALVES];
    load_sums(job, rows, sum);
    for (size_t p = 0; p < n_pairs; p++) {
        tile_stream_turn(&at, job->next, p, n_pairs, pair_bytes);
        UNROLL for (int j = 0; j < 2; j++) add_column(job, rows, type, at.quants, 2 * p + (size_t)j, j, sum);
        tile_stream_step(&at, pair_bytes, 0);
    }
    if (job->n_blocks % 2) add_column(job, rows, type, at.quants, job->n_blocks - 1, 0, sum);
    store_sums(job, rows, sum);
}

/* --- unpacking --- */

/* Columns of a tile that are unpacked at once: with their activations they stay in the first-level cache. */
enum { CHUNK_COLS = 1024, PASS_ROWS = 64 };

INLINE void unpack(const int low, const int high, const int codes, const uint8_t *quants, size_t blocks_of_32,
                   uint8_t *fields) {
    for (size_t b = 0; b < blocks_of_32; b++, quants += QUANT_BYTES(low, high, PACKED)) {
        UNROLL for (int i = 0; i < 8 * HALVES; i++, fields += 32) {
            const __m256i vector = group_fields(low, high, codes, PACKED, quants + i % HALVES * 32, i / HALVES);
            _mm256_store_si256((__m256i *)(void *)fields, vector);
        }
    }
}

/* --- the kernels of each type, by rows --- */

typedef void (*tile_kernel)(const tile_job *job);

enum { N_HEIGHTS = 4 };

static const uint32_t heights[N_HEIGHTS] = {1, 2, INTEGER_ROWS, FLOAT_ROWS};

typedef struct kernels_of_type {
    tile_kernel few[N_HEIGHTS], many[N_HEIGHTS]; /* of heights[i] rows, from the tile and from what is unpacked; or NULL */
    void (*unpack)(const uint8_t *quants, size_t blocks_of_32, uint8_t *fields); /* NULL: there is nothing to unpack */
    uint16_t block_cols, quant_bytes, scale_bytes, ahead_bytes;                  /* of a block of 32, 256, or one column */
} kernels_of_type;

#define KERNEL(name, suffix, kernel, ...)                                                                                      \
    static void name##_##suffix(const tile_job *job) {                                                                         \
        kernel(job, __VA_ARGS__);                                                                                              \
    }
#define HEIGHTS(name, how, kernel, ...)                                                                                        \
    KERNEL(name, how##_1, kernel, 1, __VA_ARGS__)                                                                              \
    KERNEL(name, how##_2, kernel, 2, __VA_ARGS__)                                                                              \
    KERNEL(name, how##_4, kernel, 4, __VA_ARGS__)
#define ENTRIES(name, how)                                                                                                     \
    { name##_##how##_1, name##_##how##_2, name##_##how##_4 }
#define FLOAT_KERNELS(name, type, column_bytes, few_6)                                                                         \
    HEIGHTS(name, few, f32_kernel, type)                                                                                       \
    static const kernels_of_type name##_kernels = {                                                                            \
        {name##_few_1, name##_few_2, name##_few_4, few_6}, {0}, NULL, 1, column_bytes, 0, 0};
#define BYTE_KERNELS(name, form, offset, kind, scale_bytes)                                                                    \
    HEIGHTS(name, few, q8_##form##_kernel, PACKED, 8, 0, LLMC_CODES_NONE, offset, kind)                                        \
    static const kernels_of_type name##_kernels = {ENTRIES(name, few), {0}, NULL, form, (form) / 32 * 512, scale_bytes, 0};
#define KERNELS(name, form, low, high, codes, offset, kind, scale_bytes)                                                       \
    HEIGHTS(name, few, q8_##form##_kernel, PACKED, low, high, codes, offset, kind)                                             \
    HEIGHTS(name, many, q8_##form##_kernel, PLAIN, low, high, codes, offset, kind)                                             \
    static void name##_unpack(const uint8_t *quants, size_t blocks_of_32, uint8_t *fields) {                                   \
        unpack(low, high, codes, quants, blocks_of_32, fields);                                                                \
    }                                                                                                                          \
    static const kernels_of_type name##_kernels = {ENTRIES(name, few),                                                         \
                                                   ENTRIES(name, many),                                                        \
                                                   name##_unpack,                                                              \
                                                   form,                                                                       \
                                                   (form) / 32 * QUANT_BYTES(low, high, PACKED),                               \
                                                   scale_bytes,                                                                \
                                                   (form) / 32 * AHEAD_BYTES(low, high, PLAIN)};

KERNEL(f32, few_6, f32_kernel, FLOAT_ROWS, LLMC_PACK_F32)
KERNEL(f16, few_6, f32_kernel, FLOAT_ROWS, LLMC_PACK_F16)
FLOAT_KERNELS(f32, LLMC_PACK_F32, 64, f32_few_6)
FLOAT_KERNELS(f16, LLMC_PACK_F16, 32, f16_few_6)
FLOAT_KERNELS(bf16, LLMC_PACK_BF16, 32, NULL) /* both columns of a pair of 6 rows take a register too many */
/* Bits and what they stand for, offset (a power of two), what belongs to a block beside d, bytes of scales. */
KERNELS(q4_0, 32, 4, 0, 0, 8, LLMC_SCALES_D, 32)
KERNELS(q4_1, 32, 4, 0, 0, 0, LLMC_SCALES_D_MIN, 64)
KERNELS(q5_0, 32, 4, 1, 0, 16, LLMC_SCALES_D, 32)
KERNELS(q5_1, 32, 4, 1, 0, 0, LLMC_SCALES_D_MIN, 64)
BYTE_KERNELS(q8_0, 32, BYTES_ARE_SIGNED ? 0 : 128, LLMC_SCALES_D, 32)
KERNELS(q2_k, 256, 2, 0, 0, 0, LLMC_SCALES_K16_MIN, 320)
KERNELS(q3_k, 256, 2, 1, 0, 4, LLMC_SCALES_K16, 288)
KERNELS(q4_k, 256, 4, 0, 0, 0, LLMC_SCALES_K32_MIN, 320)
KERNELS(q5_k, 256, 4, 1, 0, 0, LLMC_SCALES_K32_MIN, 320)
KERNELS(q6_k, 256, 4, 2, 0, 32, LLMC_SCALES_K16, 288)
KERNELS(iq4_nl, 32, 4, 0, LLMC_CODES_IQ4, BYTES_ARE_SIGNED ? 0 : 128, LLMC_SCALES_D, 32)
KERNELS(iq4_xs, 256, 4, 0, LLMC_CODES_IQ4, BYTES_ARE_SIGNED ? 0 : 128, LLMC_SCALES_K32, 160)
KERNELS(mxfp4, 32, 4, 0, LLMC_CODES_E2M1, 16, LLMC_SCALES_E8M0, 16)
KERNELS(iq3_xxs, 256, 4, 0, LLMC_CODES_IQ3_XXS, 32, LLMC_SCALES_K32, 160)
KERNELS(iq3_s, 256, 4, 0, LLMC_CODES_IQ3_S, 16, LLMC_SCALES_K32, 160)
KERNELS(iq2_xxs, 256, 2, 1, LLMC_CODES_IQ2, 64, LLMC_SCALES_K32, 160)
KERNELS(iq2_s, 256, 2, 1, LLMC_CODES_IQ2, 64, LLMC_SCALES_K16, 288)
KERNELS(iq1_s, 256, 2, 1, LLMC_CODES_IQ1, 16, LLMC_SCALES_K32, 160)
KERNELS(iq1_m, 256, 2, 1, LLMC_CODES_IQ1, 16, LLMC_SCALES_K16, 288)
KERNELS(tq, 256, 2, 0, 0, 1, LLMC_SCALES_D, 32)

static const kernels_of_type *const kernel_table[LLMC_PACK_TYPES] = {
    [LLMC_PACK_F32] = &f32_kernels,         [LLMC_PACK_F16] = &f16_kernels,       [LLMC_PACK_BF16] = &bf16_kernels,
    [LLMC_PACK_Q4_0] = &q4_0_kernels,       [LLMC_PACK_Q4_1] = &q4_1_kernels,     [LLMC_PACK_Q5_0] = &q5_0_kernels,
    [LLMC_PACK_Q5_1] = &q5_1_kernels,       [LLMC_PACK_Q8_0] = &q8_0_kernels,     [LLMC_PACK_Q2_K] = &q2_k_kernels,
    [LLMC_PACK_Q3_K] = &q3_k_kernels,       [LLMC_PACK_Q4_K] = &q4_k_kernels,     [LLMC_PACK_Q5_K] = &q5_k_kernels,
    [LLMC_PACK_Q6_K] = &q6_k_kernels,       [LLMC_PACK_IQ4_NL] = &iq4_nl_kernels, [LLMC_PACK_IQ4_XS] = &iq4_xs_kernels,
    [LLMC_PACK_MXFP4] = &mxfp4_kernels,     [LLMC_PACK_TQ1_0] = &tq_kernels,      [LLMC_PACK_TQ2_0] = &tq_kernels,
    [LLMC_PACK_IQ3_XXS] = &iq3_xxs_kernels, [LLMC_PACK_IQ3_S] = &iq3_s_kernels,   [LLMC_PACK_IQ2_XXS] = &iq2_xxs_kernels,
    [LLMC_PACK_IQ2_XS] = &iq2_s_kernels,    [LLMC_PACK_IQ2_S] = &iq2_s_kernels,   [LLMC_PACK_IQ1_S] = &iq1_s_kernels,
    [LLMC_PACK_IQ1_M] = &iq1_m_kernels,
};

/* What one call of matmul is about. */
typedef struct product {
    const llmc_packed *packed;
    const kernels_of_type *kernels;
    const uint8_t *act;
    size_t act_stride;
    uint32_t n_rows;
    float *dst;
    size_t dst_stride;
    const float *bias;
    int accumulate;
} product;

/* 8 outputs, or those of them that are there: stores with a mask are slow on some processors. */
static void store(const product *p, uint32_t row, uint32_t output, __m256 value) {
    const uint32_t left = p->packed->rows > output ? p->packed->rows - output : 0;
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i mask = _mm256_cmpgt_epi32(_mm256_set1_epi32((int)left), lanes);
    float *dst = p->dst + row * p->dst_stride + output;
    if (!left) return;
    if (left >= 8) {
        if (p->bias) value = _mm256_add_ps(value, _mm256_loadu_ps(p->bias + output));
        if (p->accumulate) value = _mm256_add_ps(_mm256_loadu_ps(dst), value);
        _mm256_storeu_ps(dst, value);
        return;
    }
    if (p->bias) value = _mm256_add_ps(value, _mm256_maskload_ps(p->bias + output, mask));
    if (p->accumulate) value = _mm256_add_ps(_mm256_maskload_ps(dst, mask), value);
    _mm256_maskstore_ps(dst, mask, value);
}

static void store_rows(const product *p, uint32_t row, uint32_t n, uint32_t tile, const __m256 *sums) {
    for (uint32_t r = 0; r < n; r++) {
        for (uint32_t h = 0; h < HALVES; h++) store(p, row + r, tile * LLMC_TILE_ROWS + h * 8, sums[r * HALVES + h]);
    }
}

/* Index of the lowest that has all the rows that are left, or of the highest. Floats: two times 4 for the last 7 or 8. */
static int height_for(const product *p, uint32_t left) {
    int height = 0, highest = p->kernels->few[N_HEIGHTS - 1] && left != 7 && left != 8 ? N_HEIGHTS - 1 : N_HEIGHTS - 2;
    while (height < highest && heights[height] < left) height++;
    return height;
}

/* --- few rows, floats and bytes: from the tile --- */

static void run_kernel(const product *p, uint32_t row, int height, uint32_t tile, uint32_t next) {
    __m256 sums[MAX_ROWS * HALVES];
    const kernels_of_type *kernels = p->kernels;
    uint32_t rows = heights[height], left = p->n_rows - row;
    /* Floats go by pairs of columns. */
    const size_t n_blocks = p->packed->cols / kernels->block_cols, n_steps = kernels->block_cols == 1 ? n_blocks / 2 : n_blocks;
    const size_t step_bytes = kernels->block_cols == 1 ? 2u * kernels->quant_bytes : kernels->quant_bytes;
    tile_job job = {.n_blocks = n_blocks, .sums = sums, .next = p->packed->data + next * p->packed->tile_bytes};
    job.at = tile_stream_begin(p->packed->data + tile * p->packed->tile_bytes, n_steps, step_bytes, kernels->scale_bytes);
    for (uint32_t r = 0; r < rows; r++) job.act[r] = p->act + (row + (r < left ? r : left - 1)) * p->act_stride;
    for (uint32_t i = 0; i < rows * HALVES; i++) sums[i] = _mm256_setzero_ps();
    kernels->few[height](&job);
    store_rows(p, row, rows < left ? rows : left, tile, sums);
}

/* Tiles that stay in the second-level cache while all rows pass over them. */
enum { GROUP_BYTES = 128 * 1024 };

static void few_by_few(const product *p, uint32_t tile_begin, uint32_t tile_end) {
    const uint32_t n_tiles = (p->packed->rows + LLMC_TILE_ROWS - 1) / LLMC_TILE_ROWS;
    uint32_t group = p->packed->tile_bytes ? (uint32_t)(GROUP_BYTES / p->packed->tile_bytes) : 0;
    if (!group) group = 1;
    for (uint32_t first = tile_begin; first < tile_end; first += group) {
        uint32_t end = tile_end - first < group ? tile_end : first + group;
        for (uint32_t row = 0, row_end; row < p->n_rows; row = row_end) {
            const int height = height_for(p, p->n_rows - row);
            row_end = row + heights[height];
            for (uint32_t tile = first; tile < end; tile++) {
                uint32_t next = tile + 1 == end && row_end < p->n_rows ? first : tile + 1;
                run_kernel(p, row, height, tile, next < n_tiles ? next : tile); /* the caller likely goes on behind tile_end */
            }
        }
    }
}

/* --- many rows: from what is unpacked --- */

typedef struct pass_memory {
    __m256 sums[PASS_ROWS * HALVES];
    uint8_t fields[CHUNK_COLS * LLMC_TILE_ROWS];
} pass_memory;
_Static_assert(sizeof(pass_memory) <= LLMC_AVX2_SCRATCH, "what callers reserve");

/* n rows with a chunk. While the first of them are multiplied, what lies ahead is fetched, half of it by each of two kernels. */
static void multiply_chunk(const product *p, uint32_t row, uint32_t n, size_t block, tile_job *job, __m256 *sums) {
    const size_t act_block = p->kernels->block_cols == 32 ? sizeof(llmc_act_32) : sizeof(llmc_act_256);
    for (uint32_t r = 0; r < n; r += INTEGER_ROWS) {
        const int height = height_for(p, n - r);
        for (uint32_t i = 0; i < heights[height]; i++) {
            const uint32_t at = row + (r + i < n ? r + i : n - 1);
            job->act[i] = p->act + at * p->act_stride + block * act_block;
        }
        job->sums = sums + r * HALVES;
        p->kernels->many[height](job);
        job->at.ahead_quants = r ? job->at.quants : job->at.ahead_quants + job->n_blocks * p->kernels->ahead_bytes;
        job->at.ahead_scales = job->at.scales; /* in the cache, as quants are then: nothing to fetch */
    }
}

static void multiply_tile(const product *p, uint32_t row, uint32_t n, uint32_t tile, pass_memory *memory) {
    const kernels_of_type *kernels = p->kernels;
    const uint8_t *quants = p->packed->data + tile * p->packed->tile_bytes;
    const size_t n_blocks = p->packed->cols / kernels->block_cols, at_once = CHUNK_COLS / kernels->block_cols;
    const uint8_t *scales = quants + n_blocks * kernels->quant_bytes;
    for (uint32_t i = 0; i < n * HALVES; i++) memory->sums[i] = _mm256_setzero_ps();
    for (uint32_t r = 0; r < n; r++) __builtin_prefetch(p->dst + (row + r) * p->dst_stride + tile * LLMC_TILE_ROWS, 1);
    for (size_t block = 0, blocks; block < n_blocks; block += blocks) {
        blocks = n_blocks - block < at_once ? n_blocks - block : at_once;
        tile_job job = {.n_blocks = blocks};
        const uint8_t *after = quants + blocks * kernels->quant_bytes, *after_scales = scales + blocks * kernels->scale_bytes;
        job.at = (tile_stream){memory->fields, scales, after, after_scales, SIZE_MAX};
        if (block + blocks == n_blocks) { /* the next tile follows */
            job.at.ahead_quants = after_scales;
            job.at.ahead_scales = after_scales + n_blocks * kernels->quant_bytes;
        }
        kernels->unpack(quants, blocks * kernels->block_cols / 32, memory->fields);
        multiply_chunk(p, row, n, block, &job, memory->sums);
        quants = after;
        scales = after_scales;
    }
    store_rows(p, row, n, tile, memory->sums);
}

static void many_rows(const product *p, uint32_t tile_begin, uint32_t tile_end, pass_memory *memory) {
    for (uint32_t row = 0, n; row < p->n_rows; row += n) {
        n = p->n_rows - row < PASS_ROWS ? p->n_rows - row : PASS_ROWS;
        for (uint32_t tile = tile_begin; tile < tile_end; tile++) multiply_tile(p, row, n, tile, memory);
    }
}

static void matmul_tiles(const llmc_packed *packed, const void *act, uint32_t n_rows, uint32_t tile_begin, uint32_t tile_end,
                         float *dst, size_t dst_stride, const float *bias, int accumulate, void *scratch) {
    if (packed->type < 0 || packed->type >= LLMC_PACK_TYPES || !kernel_table[packed->type]) return;
    size_t act_stride = llmc_act_bytes(llmc_act_form_inline(packed->type), packed->cols);
    product p = {packed, kernel_table[packed->type], act, act_stride, n_rows, dst, dst_stride, bias, accumulate};
    if (n_rows <= INTEGER_ROWS || !p.kernels->unpack) few_by_few(&p, tile_begin, tile_end);
    else many_rows(&p, tile_begin, tile_end, scratch);
}

#endif
