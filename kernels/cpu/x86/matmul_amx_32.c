/* AMX products of weights in blocks of 32 columns. A block has a scale of its own, so tile registers hold the sums of one block:
 * they are stored, and the vector units scale and add them while the next ones are multiplied. */
#include "kernels/cpu/x86/matmul_amx.h"
#include "kernels/cpu/x86/tile_fields.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { CHUNK = 4 /* blocks at a time */, HALF = 8 /* rows whose sums the registers hold */, B_BYTES = 512 };

/* A chunk of both tiles: signed weights as operands of tdpbssd, scales and minima as floats. */
typedef struct chunk_32 {
    int8_t w[CHUNK][AMX_PAIR][B_BYTES];
    float d[CHUNK][AMX_PAIR][LLMC_TILE_ROWS];
    float m[CHUNK][AMX_PAIR][LLMC_TILE_ROWS];
} chunk_32;

typedef struct work_32 {
    chunk_32 chunk[2];
    int32_t isum[2][CHUNK][AMX_PAIR][AMX_GROUP_ROWS][LLMC_TILE_ROWS];
} work_32;

_Static_assert(sizeof(work_32) <= AMX_WORK_BYTES, "the work area is too small");

/* Tile registers: 0, 1 and 6, 7 sums, of every second block; 2, 3 activations; 4, 5 weights. */
amx_config llmc_amx_config_32(uint32_t group_rows) {
    amx_config config = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        config.rows[t] = t == 4 || t == 5 ? 8 : (uint8_t)group_rows;
        config.row_bytes[t] = t == 2 || t == 3 ? 32 : AMX_ROW_BYTES;
    }
    return config;
}

INLINE void prepare(const amx_product *p, const int low, const int high, const int codes, const int offset, const int kind,
                    size_t first, size_t n, chunk_32 *chunk) {
    const size_t quant_bytes = 64u * (unsigned)(low + high), scale_bytes = llmc_scale_bytes_32(kind), n_blocks = p->cols / 32;
    for (size_t b = 0; b < n; b++) {
        for (int t = 0; t < AMX_PAIR; t++) {
            const uint8_t *quants = p->tile[t] + (first + b) * quant_bytes;
            const uint8_t *scales = p->tile[t] + n_blocks * quant_bytes + (first + b) * scale_bytes;
            UNROLL for (int g = 0; g < 8; g++) {
                __m512i fields = tile_group_fields(low, high, codes, quants, g);
                if (offset) fields = _mm512_sub_epi8(fields, _mm512_set1_epi8((char)offset));
                _mm512_store_si512(chunk->w[b][t] + 64 * g, fields);
            }
            _mm512_store_ps(chunk->d[b][t], tile_scales(scales, kind));
            if (kind == LLMC_SCALES_D_MIN) _mm512_store_ps(chunk->m[b][t], tile_halves(scales + 32));
        }
    }
}

/* The tile instructions of a chunk of a group, given out step by step: step 2 * block + tile. A block's sums are stored while
 * the next block is multiplied, since a store waits for its sums and holds up what comes behind. */
typedef struct tile_steps {
    const uint8_t *act; /* q of the first row and block */
    size_t act_stride;
    const int8_t *w;
    int32_t *isum;
    uint32_t at, end;
    int is_odd;       /* which registers are next */
    int32_t *pending; /* where the sums of the other ones go; NULL: they have none */
} tile_steps;

enum { ISUM = AMX_GROUP_ROWS * LLMC_TILE_ROWS };

INLINE void tile_step(tile_steps *s) {
    if (s->at == s->end) return;
    const int8_t *w = s->w + (size_t)s->at * B_BYTES;
    if (s->at & 1) {
        AMX_LOAD(5, w, 64);
        if (s->is_odd) {
            AMX_ZERO(7);
            AMX_DOT_SS(7, 3, 5);
            if (s->pending) AMX_STORE(1, s->pending + ISUM, 64);
        } else {
            AMX_ZERO(1);
            AMX_DOT_SS(1, 2, 5);
            if (s->pending) AMX_STORE(7, s->pending + ISUM, 64);
        }
        s->pending = s->isum + (size_t)(s->at - 1) * ISUM;
        s->is_odd ^= 1;
    } else {
        AMX_LOAD(4, w, 64);
        if (s->is_odd) {
            AMX_LOAD(3, s->act, s->act_stride);
            AMX_ZERO(6);
            AMX_DOT_SS(6, 3, 4);
            if (s->pending) AMX_STORE(0, s->pending, 64);
        } else {
            AMX_LOAD(2, s->act, s->act_stride);
            AMX_ZERO(0);
            AMX_DOT_SS(0, 2, 4);
            if (s->pending) AMX_STORE(6, s->pending, 64);
        }
        s->act += sizeof(llmc_act_32);
    }
    s->at++;
}

/* Between blocks. */
static void store_pending(tile_steps *s) {
    if (!s->pending) return;
    if (s->is_odd) {
        AMX_STORE(0, s->pending, 64);
        AMX_STORE(1, s->pending + ISUM, 64);
    } else {
        AMX_STORE(6, s->pending, 64);
        AMX_STORE(7, s->pending + ISUM, 64);
    }
    s->pending = NULL;
}

/* Sets out for a chunk of a group. */
static void steps_begin(tile_steps *s, const amx_product *p, uint32_t group, size_t first, size_t n, work_32 *work, int turn) {
    const llmc_act_32 *x = (const llmc_act_32 *)(const void *)amx_group_act(p, group) + first;
    s->act = (const uint8_t *)x->q;
    s->act_stride = p->act_stride;
    s->w = work->chunk[first / CHUNK & 1].w[0][0];
    s->isum = work->isum[turn][0][0][0];
    s->at = 0;
    s->end = 2 * (uint32_t)n;
}

/* Adds a chunk's n blocks to the sums of 8 rows, giving out tile steps of what comes next. */
INLINE void add_half(const amx_product *p, const int has_min, const uint8_t *act, uint32_t n_rows, size_t first, size_t n,
                     const chunk_32 *chunk, const int32_t *isum, float *sums, tile_steps *next, const int steps_a_block) {
    const llmc_act_32 *x[HALF];
    __m512 sum[HALF][AMX_PAIR];
    UNROLL for (uint32_t r = 0; r < HALF; r++) {
        x[r] = (const llmc_act_32 *)(const void *)(act + (r < n_rows ? r : n_rows - 1) * p->act_stride) + first;
        UNROLL for (int t = 0; t < AMX_PAIR; t++) sum[r][t] = _mm512_load_ps(sums + (r * AMX_PAIR + t) * LLMC_TILE_ROWS);
    }
    for (size_t b = 0; b < n; b++, isum += AMX_PAIR * AMX_GROUP_ROWS * LLMC_TILE_ROWS) {
        __m512 d[AMX_PAIR], m[AMX_PAIR];
        UNROLL for (int i = 0; i < steps_a_block; i++) tile_step(next);
        UNROLL for (int t = 0; t < AMX_PAIR; t++) {
            d[t] = _mm512_load_ps(chunk->d[b][t]);
            m[t] = has_min ? _mm512_load_ps(chunk->m[b][t]) : _mm512_setzero_ps();
        }
        UNROLL for (uint32_t r = 0; r < HALF; r++) {
            __m512 x_d = _mm512_set1_ps(x[r][b].d), x_s = has_min ? _mm512_set1_ps(x[r][b].s) : _mm512_setzero_ps();
            UNROLL for (int t = 0; t < AMX_PAIR; t++) {
                const int32_t *dot = isum + ((size_t)t * AMX_GROUP_ROWS + r) * LLMC_TILE_ROWS;
                __m512 part = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_load_si512(dot)), d[t]);
                sum[r][t] = _mm512_fmadd_ps(part, x_d, sum[r][t]);
                if (has_min) sum[r][t] = _mm512_fmadd_ps(m[t], x_s, sum[r][t]);
            }
        }
    }
    UNROLL for (uint32_t r = 0; r < HALF; r++) {
        UNROLL for (int t = 0; t < AMX_PAIR; t++) _mm512_store_ps(sums + (r * AMX_PAIR + t) * LLMC_TILE_ROWS, sum[r][t]);
    }
}

INLINE void add_group(const amx_product *p, const int has_min, uint32_t group, size_t first, size_t n, const work_32 *work,
                      int turn, tile_steps *next) {
    const uint8_t *act = amx_group_act(p, group);
    const chunk_32 *chunk = &work->chunk[first / CHUNK & 1];
    const int32_t *isum = work->isum[turn][0][0][0];
    float *sums = p->sums[group * AMX_GROUP_ROWS][0];
    /* Pending sums are the last block's: the steps of the first two blocks or rows below store them in time. */
    if (n < 3 || next->end == 0) store_pending(next);
    if (p->group_rows <= HALF) {
        add_half(p, has_min, act, p->group_rows, first, n, chunk, isum, sums, next, 2);
    } else {
        for (uint32_t row = 0; row < AMX_GROUP_ROWS; row += HALF)
            add_half(p, has_min, act + row * p->act_stride, p->group_rows - row, first, n, chunk, isum + row * LLMC_TILE_ROWS,
                     sums + row * AMX_PAIR * LLMC_TILE_ROWS, next, 1);
    }
    while (next->at != next->end) tile_step(next);
}

INLINE void product_32(const amx_product *p, const int low, const int high, const int codes, const int offset, const int kind) {
    const int has_min = kind == LLMC_SCALES_D_MIN;
    const size_t n_blocks = p->cols / 32;
    work_32 *work = p->work;
    size_t n = n_blocks < CHUNK ? n_blocks : CHUNK;
    int turn = 0;
    prepare(p, low, high, codes, offset, kind, 0, n, &work->chunk[0]);
    tile_steps next = {0};
    steps_begin(&next, p, 0, 0, n, work, 0);
    while (next.at != next.end) tile_step(&next);
    for (size_t first = 0; first < n_blocks; first += CHUNK, n = n_blocks - first < CHUNK ? n_blocks - first : CHUNK) {
        for (uint32_t group = 0; group < p->n_groups; group++, turn ^= 1) {
            size_t ahead = first + CHUNK;
            next.at = next.end = 0;
            if (group + 1 < p->n_groups) {
                steps_begin(&next, p, group + 1, first, n, work, !turn);
            } else if (ahead < n_blocks) {
                size_t n_ahead = n_blocks - ahead < CHUNK ? n_blocks - ahead : CHUNK;
                prepare(p, low, high, codes, offset, kind, ahead, n_ahead, &work->chunk[ahead / CHUNK & 1]);
                steps_begin(&next, p, 0, ahead, n_ahead, work, !turn);
            }
            add_group(p, has_min, group, first, n, work, turn, &next);
        }
    }
}

#define PRODUCT(name, ...)                                                                                                     \
    static void name(const amx_product *p) {                                                                                   \
        product_32(p, __VA_ARGS__);                                                                                            \
    }

/* Bits and what they stand for, offset, what belongs to a block beside d. */
PRODUCT(q4_0, 4, 0, 0, 8, LLMC_SCALES_D)
PRODUCT(q4_1, 4, 0, 0, 0, LLMC_SCALES_D_MIN)
PRODUCT(q5_0, 4, 1, 0, 16, LLMC_SCALES_D)
PRODUCT(q5_1, 4, 1, 0, 0, LLMC_SCALES_D_MIN)
PRODUCT(q8_0, 8, 0, 0, 128, LLMC_SCALES_D)
PRODUCT(iq4_nl, 4, 0, LLMC_CODES_IQ4, 128, LLMC_SCALES_D)
PRODUCT(mxfp4, 4, 0, LLMC_CODES_E2M1, 16, LLMC_SCALES_E8M0)

void llmc_amx_product_32(const amx_product *p) {
    switch (p->type) {
    case LLMC_PACK_Q4_0:
        q4_0(p);
        return;
    case LLMC_PACK_Q4_1:
        q4_1(p);
        return;
    case LLMC_PACK_Q5_0:
        q5_0(p);
        return;
    case LLMC_PACK_Q5_1:
        q5_1(p);
        return;
    case LLMC_PACK_IQ4_NL:
        iq4_nl(p);
        return;
    case LLMC_PACK_MXFP4:
        mxfp4(p);
        return;
    default:
        q8_0(p);
    }
}
