/* AMX products of weights in super-blocks of 256 columns. Sub-block scales are multiplied into the weights, as integers in one
 * or two planes of bytes (weight = low + (high << shift)), so that tile registers add up a whole super-block; what is left for
 * the vector units is done once in 256 columns, while the next super-block is multiplied. */
#include "kernels/cpu/x86/matmul_amx.h"
#include "kernels/cpu/x86/tile_fields.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { PLANES = 2, QUARTERS = 4, QUARTER_BYTES = 1024, PLANE_BYTES = QUARTERS * QUARTER_BYTES, MIN_PAIRS = 8 };

/* A super-block of both tiles. */
typedef struct block_256 {
    uint8_t plane[AMX_PAIR][PLANES][PLANE_BYTES]; /* rows of operands, 4 columns each */
    int16_t mins[AMX_PAIR][MIN_PAIRS][2 * LLMC_TILE_ROWS];
    float d[AMX_PAIR][LLMC_TILE_ROWS];
    float dmin[AMX_PAIR][LLMC_TILE_ROWS];
} block_256;

typedef struct work_256 {
    block_256 block[2];
    int32_t isum[2][AMX_PAIR][PLANES][AMX_GROUP_ROWS][LLMC_TILE_ROWS];
} work_256;

_Static_assert(sizeof(work_256) <= AMX_WORK_BYTES, "the work area is too small");

/* Tile registers: 0 to 3 sums of (tile, plane); 4 activations; 5, 6 weights. */
amx_config llmc_amx_config_256(uint32_t group_rows) {
    amx_config config = {.palette = 1};
    for (int t = 0; t < 7; t++) {
        config.rows[t] = t >= 5 ? 16 : (uint8_t)group_rows;
        config.row_bytes[t] = AMX_ROW_BYTES;
    }
    return config;
}

/* --- weights --- */

/* What distinguishes the types. */
typedef struct type_256 {
    int low, high, codes; /* bits of the fields and what they stand for */
    int scales;
    int planes, shift;
} type_256;

static const type_256 q2_k = {2, 0, 0, LLMC_SCALES_K16_MIN, 1, 0}; /* scale * field, up to 45 */
static const type_256 q3_k = {2, 1, 0, LLMC_SCALES_K16, 1, 0};     /* scale * (4 - field), -128 to 124: the sum's negative */
static const type_256 q4_k = {4, 0, 0, LLMC_SCALES_K32_MIN, 2, 3}; /* scale % 8 * field, scale / 8 * field */
static const type_256 q5_k = {4, 1, 0, LLMC_SCALES_K32_MIN, 2, 3}; /* as Q4_K, up to 217 */
static const type_256 q6_k = {4, 2, 0, LLMC_SCALES_K16, 2, 8}; /* scale * (field - 32): low byte unsigned, high byte signed */
static const type_256 iq4_xs = {4, 0, LLMC_CODES_IQ4, LLMC_SCALES_K32, 2, 8}; /* scale * (field - 128): likewise */

/* The 16-bit lane 2 * output + j of a pair of sub-blocks, in both 16-bit lanes of each output. */
INLINE __m512i both_lanes(__m512i pair, const int j) {
    const __m128i lanes = _mm_setr_epi32(0x01000100, 0x05040504, 0x09080908, 0x0d0c0d0c);
    return _mm512_shuffle_epi8(pair, _mm512_broadcast_i32x4(_mm_add_epi8(lanes, _mm_set1_epi8((char)(2 * j)))));
}

/* Its low byte, in all four bytes of each output. */
INLINE __m512i four_bytes(__m512i pair, const int j) {
    const __m128i lanes = _mm_setr_epi32(0x00000000, 0x04040404, 0x08080808, 0x0c0c0c0c);
    return _mm512_shuffle_epi8(pair, _mm512_broadcast_i32x4(_mm_add_epi8(lanes, _mm_set1_epi8((char)(2 * j)))));
}

INLINE __m256i pair_bytes(const uint8_t *pairs, int i) {
    return _mm256_loadu_si256((const __m256i *)(const void *)(pairs + i * 32));
}

/* One vector of fields a call; scale: the pair of the sub-block, which is its j-th. */

INLINE void q2_k_group(__m512i fields, __m512i scale, uint8_t *low) {
    _mm512_store_si512(low, _mm512_mullo_epi16(fields, scale)); /* two bytes at once: neither product reaches 256 */
}

INLINE void q45_k_group(__m512i fields, __m512i scale_low, __m512i scale_high, uint8_t *low) {
    _mm512_store_si512(low, _mm512_mullo_epi16(fields, scale_low));
    _mm512_store_si512(low + PLANE_BYTES, _mm512_mullo_epi16(fields, scale_high));
}

INLINE void signed_group(__m512i fields, __m512i scale_even, __m512i scale_odd, __m512i scale_offset, uint8_t *low) {
    const __m512i swap = _mm512_broadcast_i32x4(_mm_setr_epi32(0x02030001, 0x06070405, 0x0a0b0809, 0x0e0f0c0d));
    __m512i even = _mm512_sub_epi16(_mm512_maddubs_epi16(fields, scale_even), scale_offset);
    __m512i odd = _mm512_sub_epi16(_mm512_maddubs_epi16(fields, scale_odd), scale_offset);
    _mm512_store_si512(low, _mm512_mask_shuffle_epi8(even, 0xaaaaaaaaaaaaaaaau, odd, swap));
    _mm512_store_si512(low + PLANE_BYTES, _mm512_mask_shuffle_epi8(odd, 0x5555555555555555u, even, swap));
}

/* Q4_K and Q5_K: columns [32 * i, 32 * i + 32), a sub-block. */
INLINE void prepare_k32(const type_256 *type, const uint8_t *quants, const uint8_t *pairs, int i, const int j, uint8_t *low) {
    __m512i pair = _mm512_cvtepu8_epi16(pair_bytes(pairs, i / 2));
    __m512i scale_low = both_lanes(_mm512_and_si512(pair, _mm512_set1_epi16(7)), j);
    __m512i scale_high = both_lanes(_mm512_srli_epi16(pair, 3), j);
    UNROLL for (int g = 0; g < 8; g++)
        q45_k_group(tile_group_fields(type->low, type->high, type->codes, quants, g), scale_low, scale_high, low + 64 * g);
}

/* IQ4_XS: likewise. */
INLINE void prepare_signed_k32(const type_256 *type, const uint8_t *quants, const uint8_t *pairs, int i, const int j,
                               uint8_t *low) {
    __m512i pair = _mm512_cvtepi8_epi16(pair_bytes(pairs, i / 2));
    __m512i even = _mm512_and_si512(four_bytes(pair, j), _mm512_set1_epi16(0x00ff)), odd = _mm512_slli_epi16(even, 8);
    __m512i scale_128 = _mm512_slli_epi16(both_lanes(pair, j), 7);
    UNROLL for (int g = 0; g < 8; g++)
        signed_group(tile_group_fields(type->low, type->high, type->codes, quants, g), even, odd, scale_128, low + 64 * g);
}

/* Q2_K, Q3_K, Q6_K: two sub-blocks of 16. */
INLINE void prepare_k16(const type_256 *type, const uint8_t *quants, const uint8_t *pairs, int i, uint8_t *low) {
    __m256i bytes = pair_bytes(pairs, i);
    if (type->scales == LLMC_SCALES_K16_MIN) bytes = _mm256_and_si256(bytes, _mm256_set1_epi8(15));
    __m512i pair = _mm512_cvtepi8_epi16(bytes);
    UNROLL for (int j = 0; j < 2; j++) {
        __m512i scale = both_lanes(pair, j), scale_bytes = four_bytes(pair, j);
        __m512i even = _mm512_and_si512(scale_bytes, _mm512_set1_epi16(0x00ff)), odd = _mm512_slli_epi16(even, 8);
        __m512i size = _mm512_abs_epi16(scale), size_4 = _mm512_slli_epi16(_mm512_abs_epi8(scale_bytes), 2);
        size_4 = _mm512_and_si512(size_4, _mm512_set1_epi8((char)0xfc));
        __mmask64 positive = _mm512_cmpgt_epi8_mask(scale_bytes, _mm512_setzero_si512());
        __m512i flip = _mm512_movm_epi8(positive);
        /* where positive: 4 * size - x = ~x + (4 * size + 1); else x - 4 * size */
        __m512i add = _mm512_mask_sub_epi8(_mm512_sub_epi8(_mm512_setzero_si512(), size_4), positive, size_4, flip);
        UNROLL for (int g = 4 * j; g < 4 * j + 4; g++) {
            __m512i fields = tile_group_fields(type->low, type->high, type->codes, quants, g);
            if (type->planes == 2) {
                signed_group(fields, even, odd, _mm512_slli_epi16(scale, 5), low + 64 * g);
            } else if (type->scales == LLMC_SCALES_K16_MIN) {
                q2_k_group(fields, scale, low + 64 * g);
            } else {
                __m512i x = _mm512_xor_si512(_mm512_mullo_epi16(fields, size), flip);
                _mm512_store_si512(low + 64 * g, _mm512_add_epi8(x, add));
            }
        }
    }
}

INLINE void prepare(const amx_product *p, const type_256 *type, size_t b, block_256 *block) {
    const int has_min = llmc_has_minima(type->scales), scales_at = has_min ? 64 : 32;
    const size_t part_bytes = 64u * (unsigned)(type->low + type->high), scale_bytes = llmc_scale_bytes_256(type->scales);
    const size_t n_blocks = p->cols / 256;
    for (int t = 0; t < AMX_PAIR; t++) {
        const uint8_t *quants = p->tile[t] + b * 8 * part_bytes;
        const uint8_t *scales = p->tile[t] + n_blocks * 8 * part_bytes + b * scale_bytes;
        uint8_t *low = block->plane[t][0];
        for (int i = 0; i < 8; i += 2, quants += 2 * part_bytes, low += 1024) {
            if (type->scales == LLMC_SCALES_K32_MIN) {
                prepare_k32(type, quants, scales + 64, i, 0, low);
                prepare_k32(type, quants + part_bytes, scales + 64, i, 1, low + 512);
            } else if (type->scales == LLMC_SCALES_K32) {
                prepare_signed_k32(type, quants, scales + 32, i, 0, low);
                prepare_signed_k32(type, quants + part_bytes, scales + 32, i, 1, low + 512);
            } else {
                prepare_k16(type, quants, scales + scales_at, i, low);
                prepare_k16(type, quants + part_bytes, scales + scales_at, i + 1, low + 512);
            }
        }
        _mm512_store_ps(block->d[t], tile_halves(scales));
        if (!has_min) continue;
        _mm512_store_ps(block->dmin[t], tile_halves(scales + 32));
        for (int i = 0; i < (type->scales == LLMC_SCALES_K32_MIN ? 4 : 8); i++) {
            __m256i bytes = pair_bytes(scales + (type->scales == LLMC_SCALES_K32_MIN ? 192 : 64), i);
            if (type->scales == LLMC_SCALES_K16_MIN)
                bytes = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
            _mm512_store_si512(block->mins[t][i], _mm512_cvtepu8_epi16(bytes));
        }
    }
}

/* --- tile registers --- */

/* Which group and super-block the tile instructions are about. act NULL: none. */
typedef struct tile_job {
    const uint8_t *act; /* q of the first row */
    size_t act_stride;
    const block_256 *block;
    int32_t *isum;
} tile_job;

static tile_job job_of(const amx_product *p, uint32_t group, size_t b, work_256 *work, int turn) {
    const llmc_act_256 *x = (const llmc_act_256 *)(const void *)amx_group_act(p, group) + b;
    return (tile_job){(const uint8_t *)x->q, p->act_stride, &work->block[b & 1], work->isum[turn][0][0][0]};
}

/* Sums of tile t and plane; b: the tile register of the weights. Signed: Q3_K's plane, and the high one of Q6_K and IQ4_XS. */
#define TILE_STEP(sums, b, is_signed, job, t, plane_, quarter)                                                                 \
    do {                                                                                                                       \
        AMX_LOAD(b, (job)->block->plane[t][plane_] + (quarter)*QUARTER_BYTES, 64);                                             \
        if ((quarter) == 0) AMX_ZERO(sums);                                                                                    \
        if (is_signed) AMX_DOT_SS(sums, 4, b);                                                                                 \
        else AMX_DOT_SU(sums, 4, b);                                                                                           \
        if ((quarter) == QUARTERS - 1)                                                                                         \
            AMX_STORE(sums, (job)->isum + ((t)*PLANES + (plane_)) * AMX_GROUP_ROWS * LLMC_TILE_ROWS, 64);                      \
    } while (0)

/* Step 0 .. 3 of a quarter: (tile, plane). With one plane, steps 1 and 3 do nothing. */
INLINE void tile_step(const type_256 *type, const tile_job *job, int quarter, const int step) {
    const int low_signed = type == &q3_k, high_signed = type == &q6_k || type == &iq4_xs;
    if (!job->act) return;
    if (step == 0) {
        AMX_LOAD(4, job->act + quarter * AMX_ROW_BYTES, job->act_stride);
        TILE_STEP(0, 5, low_signed, job, 0, 0, quarter);
    }
    if (step == 1 && type->planes == 2) TILE_STEP(1, 6, high_signed, job, 0, 1, quarter);
    if (step == 2) TILE_STEP(2, 5, low_signed, job, 1, 0, quarter);
    if (step == 3 && type->planes == 2) TILE_STEP(3, 6, high_signed, job, 1, 1, quarter);
}

/* --- floats --- */

INLINE __m512i broadcast_4(const void *bytes) {
    int32_t word;
    memcpy(&word, bytes, 4);
    return _mm512_set1_epi32(word);
}

/* Adds a super-block to the sums of one row. isum: of its row, the other tiles and planes behind. */
INLINE void add_row(const type_256 *type, const block_256 *block, const llmc_act_256 *x, const int32_t *isum, float *sums) {
    const int n_pairs = type->scales == LLMC_SCALES_K32_MIN ? 4 : type->scales == LLMC_SCALES_K16_MIN ? 8 : 0;
    const int16_t *x_sums = n_pairs == 4 ? x->sum_32 : x->sum_16;
    const __m512 x_d = _mm512_set1_ps(x->d);
    __m512i msum[AMX_PAIR];
    UNROLL for (int t = 0; t < AMX_PAIR; t++) msum[t] = _mm512_setzero_si512();
    UNROLL for (int i = 0; i < n_pairs; i++) {
        __m512i pair = broadcast_4(x_sums + 2 * i);
        UNROLL for (int t = 0; t < AMX_PAIR; t++) msum[t] =
            _mm512_dpwssd_epi32(msum[t], _mm512_load_si512(block->mins[t][i]), pair);
    }
    UNROLL for (int t = 0; t < AMX_PAIR; t++) {
        const int32_t *low = isum + t * PLANES * AMX_GROUP_ROWS * LLMC_TILE_ROWS;
        __m512i dot = _mm512_load_si512(low);
        if (type->planes == 2) {
            __m512i high = _mm512_load_si512(low + AMX_GROUP_ROWS * LLMC_TILE_ROWS);
            dot = _mm512_add_epi32(dot, _mm512_slli_epi32(high, (unsigned)type->shift));
        }
        if (type == &q3_k) dot = _mm512_sub_epi32(_mm512_setzero_si512(), dot);
        __m512 part = _mm512_mul_ps(_mm512_cvtepi32_ps(dot), _mm512_load_ps(block->d[t]));
        __m512 sum = _mm512_fmadd_ps(part, x_d, _mm512_load_ps(sums + t * LLMC_TILE_ROWS));
        if (n_pairs) {
            part = _mm512_mul_ps(_mm512_cvtepi32_ps(msum[t]), _mm512_load_ps(block->dmin[t]));
            sum = _mm512_fnmadd_ps(part, x_d, sum);
        }
        _mm512_store_ps(sums + t * LLMC_TILE_ROWS, sum);
    }
}

/* Adds super-block b of a group, giving out the tile steps of what comes next. */
INLINE void add_group(const amx_product *p, const type_256 *type, uint32_t group, size_t b, const work_256 *work, int turn,
                      const tile_job *next) {
    const llmc_act_256 *x = (const llmc_act_256 *)(const void *)amx_group_act(p, group) + b;
    const int32_t *isum = work->isum[turn][0][0][0];
    float *sums = p->sums[group * AMX_GROUP_ROWS][0];
    uint32_t row = 0;
    for (int quarter = 0; quarter < QUARTERS; quarter++) {
        UNROLL for (int step = 0; step < 4; step++) {
            tile_step(type, next, quarter, step);
            for (uint32_t end = ((uint32_t)quarter * 4 + (uint32_t)step + 1) * p->group_rows / 16; row < end; row++) {
                add_row(type, &work->block[b & 1], x, isum, sums);
                x = (const llmc_act_256 *)(const void *)((const uint8_t *)x + p->act_stride);
                isum += LLMC_TILE_ROWS;
                sums += AMX_PAIR * LLMC_TILE_ROWS;
            }
        }
    }
}

INLINE void product_256(const amx_product *p, const type_256 *type) {
    const size_t n_blocks = p->cols / 256;
    work_256 *work = p->work;
    int turn = 0;
    prepare(p, type, 0, &work->block[0]);
    tile_job next = job_of(p, 0, 0, work, 0);
    for (int quarter = 0; quarter < QUARTERS; quarter++) {
        UNROLL for (int step = 0; step < 4; step++) tile_step(type, &next, quarter, step);
    }
    for (size_t b = 0; b < n_blocks; b++) {
        for (uint32_t group = 0; group < p->n_groups; group++, turn ^= 1) {
            next.act = NULL;
            if (group + 1 < p->n_groups) {
                next = job_of(p, group + 1, b, work, !turn);
            } else if (b + 1 < n_blocks) {
                prepare(p, type, b + 1, &work->block[(b + 1) & 1]);
                next = job_of(p, 0, b + 1, work, !turn);
            }
            add_group(p, type, group, b, work, turn, &next);
        }
    }
}

#define PRODUCT(type)                                                                                                          \
    static void product_##type(const amx_product *p) {                                                                         \
        product_256(p, &type);                                                                                                 \
    }

PRODUCT(q2_k)
PRODUCT(q3_k)
PRODUCT(q4_k)
PRODUCT(q5_k)
PRODUCT(q6_k)
PRODUCT(iq4_xs)

void llmc_amx_product_256(const amx_product *p) {
    switch (p->type) {
    case LLMC_PACK_Q2_K:
        product_q2_k(p);
        return;
    case LLMC_PACK_Q3_K:
        product_q3_k(p);
        return;
    case LLMC_PACK_Q4_K:
        product_q4_k(p);
        return;
    case LLMC_PACK_Q5_K:
        product_q5_k(p);
        return;
    case LLMC_PACK_IQ4_XS:
        product_iq4_xs(p);
        return;
    default:
        product_q6_k(p);
    }
}
