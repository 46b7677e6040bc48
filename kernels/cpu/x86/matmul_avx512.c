/* The product of quantized weights with AVX-512 and VNNI: the lanes of a register are the 16 outputs of a tile, and a kernel
 * holds up to 8 rows times 2 tiles of running sums. Few rows unpack weights in registers as they go; many do so too, or share what
 * is unpacked once into the first-level cache. Makes the bits of matmul.c. */
#define TILE_STREAM_AHEAD 1536
#include "kernels/cpu/pack.h"
#include "kernels/cpu/x86/avx512_product.h"
#include "kernels/cpu/x86/tile_fields.h"
#include "kernels/cpu/x86/tile_stream.h"

#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

/* PASS_ROWS rows or fewer share an unpacked chunk; GROUP_BYTES of tiles stay in the second-level cache. */
enum { MAX_ROWS = 8, MAX_TILES = 2, PASS_ROWS = 64, START_BYTES = 128 << 10, GROUP_BYTES = 256 << 10 };

/* Up to MAX_ROWS rows times MAX_TILES neighbouring tiles. Rows beyond the count that is stored repeat an earlier one. */
typedef struct tile_job {
    uint32_t cols;
    size_t tile_bytes;
    const uint8_t *tile; /* and the next one, tile_bytes later */
    const uint8_t *next; /* what the next kernel will read, to be fetched ahead */
    const uint8_t *act[MAX_ROWS];
    __m512 *sums; /* (rows, tiles) */
} tile_job;

INLINE __m512i broadcast_4(const void *bytes) {
    int32_t word;
    memcpy(&word, bytes, 4);
    return _mm512_set1_epi32(word);
}

/* Adds to the dots of each row and tile the groups [begin, end) of 32 columns. */
INLINE void add_groups(const int rows, const int tiles, const int low, const int high, const int codes, const int begin,
                       const int end, const uint8_t *quants, size_t tile_bytes, const int8_t *const *q,
                       __m512i dot[MAX_ROWS][MAX_TILES]) {
    UNROLL for (int g = begin; g < end; g++) {
        __m512i w[MAX_TILES];
        UNROLL for (int t = 0; t < tiles; t++) w[t] = tile_group_fields(low, high, codes, quants + (size_t)t * tile_bytes, g);
        UNROLL for (int r = 0; r < rows; r++) {
            __m512i x = broadcast_4(q[r] + 4 * g);
            UNROLL for (int t = 0; t < tiles; t++) dot[r][t] = _mm512_dpbusd_epi32(dot[r][t], w[t], x);
        }
    }
}

/* offset: a power of two. */
INLINE __m512i times_offset(__m512i sums, const int offset) {
    return _mm512_slli_epi32(sums, (unsigned)__builtin_ctz((unsigned)offset));
}

/* --- blocks of 32 --- */

INLINE void q8_32_kernel(const tile_job *job, const int rows, const int tiles, const int low, const int high, const int codes,
                         const int offset, const int kind) {
    const int has_min = kind == LLMC_SCALES_D_MIN;
    const size_t quant_bytes = 64u * (unsigned)(low + high), scale_bytes = llmc_scale_bytes_32(kind);
    const size_t n_blocks = job->cols / 32;
    __m512 sum[MAX_ROWS][MAX_TILES];
    const size_t tile_bytes = job->tile_bytes;
    const llmc_act_32 *x[MAX_ROWS];
    tile_stream at = tile_stream_begin(job->tile, n_blocks, quant_bytes, scale_bytes);
    UNROLL for (int r = 0; r < rows; r++) {
        x[r] = (const llmc_act_32 *)(const void *)job->act[r];
        UNROLL for (int t = 0; t < tiles; t++) sum[r][t] = _mm512_setzero_ps();
    }
    for (size_t b = 0; b < n_blocks; b++) {
        __m512i dot[MAX_ROWS][MAX_TILES];
        const int8_t *q[MAX_ROWS];
        tile_stream_turn(&at, job->next, b, n_blocks, quant_bytes);
        UNROLL for (int r = 0; r < rows; r++) {
            __m512i start = _mm512_setzero_si512();
            if (offset) start = times_offset(broadcast_4(&x[r][b].neg_sum), offset);
            UNROLL for (int t = 0; t < tiles; t++) dot[r][t] = start;
            q[r] = x[r][b].q;
        }
        add_groups(rows, tiles, low, high, codes, 0, 8, at.quants, tile_bytes, q, dot);
        UNROLL for (int t = 0; t < tiles; t++) {
            const uint8_t *scales = at.scales + (size_t)t * tile_bytes;
            __m512 d = tile_scales(scales, kind), m = _mm512_setzero_ps();
            if (has_min) m = tile_halves(scales + 32);
            UNROLL for (int r = 0; r < rows; r++) {
                __m512 part = _mm512_mul_ps(_mm512_cvtepi32_ps(dot[r][t]), d);
                sum[r][t] = _mm512_fmadd_ps(part, _mm512_set1_ps(x[r][b].d), sum[r][t]);
                if (has_min) sum[r][t] = _mm512_fmadd_ps(m, _mm512_set1_ps(x[r][b].s), sum[r][t]);
            }
            prefetch_lines(at.ahead_quants + (size_t)t * tile_bytes, quant_bytes);
            prefetch_lines(at.ahead_scales + (size_t)t * tile_bytes, scale_bytes);
        }
        at.quants += quant_bytes;
        at.ahead_quants += quant_bytes;
        at.scales += scale_bytes;
        at.ahead_scales += scale_bytes;
    }
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int t = 0; t < tiles; t++) job->sums[r * tiles + t] = sum[r][t];
    }
}

/* --- super-blocks of 256 --- */

/* A pair of sub-blocks' scales (or minima) as int16 lanes 2 * output + j. */
INLINE __m512i scale_pair(const uint8_t *pairs, const int kind) {
    if (kind == LLMC_SCALES_D) return _mm512_set1_epi16(1);
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)pairs);
    if (kind == LLMC_SCALES_K16 || kind == LLMC_SCALES_K32) return _mm512_cvtepi8_epi16(bytes);
    if (kind == LLMC_SCALES_K16_MIN) bytes = _mm256_and_si256(bytes, _mm256_set1_epi8(15));
    return _mm512_cvtepu8_epi16(bytes);
}

INLINE __m512i min_pair(const uint8_t *pairs, const int kind) {
    if (!llmc_has_minima(kind)) return scale_pair(pairs, kind);
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)pairs);
    if (kind == LLMC_SCALES_K16_MIN) bytes = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
    return _mm512_cvtepu8_epi16(bytes);
}

/* A block of each row. */
typedef struct rows_256 {
    const llmc_act_256 *x[MAX_ROWS];
    const int8_t *q[MAX_ROWS];
} rows_256;

/* Sub-block j of a pair: its scale in each lane. As int16 under a zero for vpdpwssd, or as int32. */
INLINE __m512i sub_scale(const __m512i pair, const int j, const int narrow) {
    if (narrow) return j ? _mm512_srli_epi32(pair, 16) : _mm512_and_si512(pair, _mm512_set1_epi32(0xffff));
    return _mm512_srai_epi32(j ? pair : _mm512_slli_epi32(pair, 16), 16);
}

/* The sums of scale * dot of a super-block, by sub-blocks of 4 or 8 groups, two a turn. Moves `at` past its quants. A dot of 16
 * columns with fields of up to 4 bits is an int16, so that one vpdpwssd, whose other product is with 0, multiplies and adds. */
INLINE void scaled_dots(const int rows, const int tiles, const int low, const int high, const int codes, const int kind,
                        size_t tile_bytes, const uint8_t *pairs, tile_stream *at, rows_256 act,
                        __m512i isum[MAX_ROWS][MAX_TILES]) {
    const int n_pairs = llmc_sub_pairs(kind), sub_groups = 32 / n_pairs;
    const int narrow = tile_field_bits(low, high, codes) <= 4, dot_groups = narrow ? 4 : sub_groups;
    const size_t quant_bytes = 64u * (unsigned)(low + high);
    for (int p = 0; p < n_pairs; p++) {
        UNROLL for (int part = 0; part < 2 * sub_groups / dot_groups; part++) {
            const int j = part * dot_groups / sub_groups, begin = part * dot_groups % 8;
            __m512i dot[MAX_ROWS][MAX_TILES];
            UNROLL for (int i = 0; i < rows * tiles; i++) dot[i / tiles][i % tiles] = _mm512_setzero_si512();
            add_groups(rows, tiles, low, high, codes, begin, begin + dot_groups, at->quants, tile_bytes, act.q, dot);
            UNROLL for (int t = 0; t < tiles; t++) {
                const __m512i scale = sub_scale(scale_pair(pairs + (size_t)t * tile_bytes + p * 32, kind), j, narrow);
                UNROLL for (int r = 0; r < rows; r++) isum[r][t] =
                    narrow ? _mm512_dpwssd_epi32(isum[r][t], dot[r][t], scale)
                           : _mm512_add_epi32(isum[r][t], _mm512_mullo_epi32(dot[r][t], scale));
            }
            if (begin + dot_groups < 8) continue;
            UNROLL for (int t = 0; t < tiles; t++) prefetch_lines(at->ahead_quants + (size_t)t * tile_bytes, quant_bytes);
            at->quants += quant_bytes;
            at->ahead_quants += quant_bytes;
            UNROLL for (int r = 0; r < rows; r++) act.q[r] += 32;
        }
    }
}

/* The sums of minimum (or, for offsets, scale) * sum of activations of a super-block. */
INLINE void scaled_sums(const int rows, const int tiles, const int kind, size_t tile_bytes, const uint8_t *pairs,
                        const rows_256 *act, __m512i msum[MAX_ROWS][MAX_TILES]) {
    const int n_pairs = llmc_sub_pairs(kind);
    UNROLL for (int p = 0; p < n_pairs; p++) {
        UNROLL for (int t = 0; t < tiles; t++) {
            __m512i min = min_pair(pairs + (size_t)t * tile_bytes + p * 32, kind);
            UNROLL for (int r = 0; r < rows; r++) {
                const int16_t *sums = n_pairs == 4 ? act->x[r]->sum_32 : act->x[r]->sum_16;
                msum[r][t] = _mm512_dpwssd_epi32(msum[r][t], min, broadcast_4(sums + 2 * p));
            }
        }
    }
}

INLINE void q8_256_kernel(const tile_job *job, const int rows, const int tiles, const int low, const int high, const int codes,
                          const int offset, const int kind) {
    const int has_min = llmc_has_minima(kind), scales_at = has_min ? 64 : 32;
    const int mins_at = kind == LLMC_SCALES_K32_MIN ? 192 : scales_at;
    const size_t quant_bytes = 8 * 64u * (unsigned)(low + high), scale_bytes = llmc_scale_bytes_256(kind);
    const size_t n_blocks = job->cols / 256, tile_bytes = job->tile_bytes;
    __m512 *sum = job->sums;
    tile_stream at = tile_stream_begin(job->tile, n_blocks, quant_bytes, scale_bytes);
    UNROLL for (int i = 0; i < rows * tiles; i++) sum[i] = _mm512_setzero_ps();
    for (size_t b = 0; b < n_blocks; b++) {
        __m512i isum[MAX_ROWS][MAX_TILES], msum[MAX_ROWS][MAX_TILES];
        rows_256 act;
        UNROLL for (int r = 0; r < rows; r++) {
            act.x[r] = (const llmc_act_256 *)(const void *)job->act[r] + b;
            act.q[r] = act.x[r]->q;
            UNROLL for (int t = 0; t < tiles; t++) isum[r][t] = msum[r][t] = _mm512_setzero_si512();
        }
        tile_stream_turn(&at, job->next, b, n_blocks, quant_bytes);
        scaled_dots(rows, tiles, low, high, codes, kind, tile_bytes, at.scales + scales_at, &at, act, isum);
        scaled_sums(rows, tiles, kind, tile_bytes, at.scales + mins_at, &act, msum);
        UNROLL for (int t = 0; t < tiles; t++) {
            const uint8_t *scales = at.scales + (size_t)t * tile_bytes;
            __m512 d = tile_scales_256(scales, codes), dmin = _mm512_setzero_ps();
            if (has_min) dmin = tile_halves(scales + 32);
            UNROLL for (int r = 0; r < rows; r++) {
                __m512 x_d = _mm512_set1_ps(act.x[r]->d), total = sum[r * tiles + t];
                if (offset) isum[r][t] = _mm512_sub_epi32(isum[r][t], times_offset(msum[r][t], offset));
                total = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(isum[r][t]), d), x_d, total);
                if (has_min) total = _mm512_fnmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(msum[r][t]), dmin), x_d, total);
                sum[r * tiles + t] = total;
            }
            prefetch_lines(at.ahead_scales + (size_t)t * tile_bytes, scale_bytes);
        }
        at.scales += scale_bytes;
        at.ahead_scales += scale_bytes;
    }
}

/* --- many rows --- */

/* Up to 256 columns of neighbouring tiles as plain bytes, their scales as they are multiplied: unpacked once for all rows of a
 * pass, in the first-level cache. */
enum { CHUNK_COLS = 256, CHUNK_GROUPS = CHUNK_COLS / 4, CHUNK_BLOCKS = CHUNK_COLS / 32 };

typedef struct chunk {
    __m512i fields[MAX_TILES][CHUNK_GROUPS];
    __m512i scale[MAX_TILES][16], min[MAX_TILES][8];
    __m512 d[MAX_TILES][CHUNK_BLOCKS], m[MAX_TILES][CHUNK_BLOCKS];
} chunk;

/* A few rows of a chunk. */
typedef struct chunk_job {
    const chunk *w;
    const uint8_t *act; /* the first row's blocks of the chunk */
    size_t act_stride;
    const int32_t *start; /* minus 32 times the sums of 8 activations, each twice; of the first row */
    size_t start_stride;
    __m512 *sums; /* (rows, MAX_TILES) */
    uint32_t n_blocks;
    const uint8_t *ahead; /* quants to be asked for, and those of the second tile, ahead_tile later */
    size_t ahead_tile;
} chunk_job;

typedef struct pass_memory {
    chunk w;
    __m512 sums[PASS_ROWS][MAX_TILES];
    uint8_t starts[START_BYTES];
} pass_memory;
_Static_assert(sizeof(pass_memory) <= LLMC_AVX512_SCRATCH, "what callers reserve");

/* Asks for line i of n, of `lines` for each of the tiles. */
INLINE void ask_ahead(const chunk_job *job, const uint8_t *ahead, const int tiles, const int lines, const int i, const int n) {
    UNROLL for (int k = i * lines * tiles / n; k < (i + 1) * lines * tiles / n; k++)
        _mm_prefetch((const char *)ahead + (size_t)(k / lines) * job->ahead_tile + k % lines * 64, _MM_HINT_T0);
}

/* Adds `groups` groups of a chunk from group g on to the dots; q are the rows' activations there. Asks for the lines that
 * belong to a turn. */
INLINE void add_fields(const chunk_job *job, const int rows, const int tiles, const int groups, size_t g, const int8_t *q,
                       size_t stride, const uint8_t *ahead, const int lines, const int turn, const int turns,
                       __m512i dot[MAX_ROWS][MAX_TILES]) {
    UNROLL for (int i = 0; i < groups; i++) {
        __m512i w[MAX_TILES];
        UNROLL for (int t = 0; t < tiles; t++) w[t] = job->w->fields[t][g + (size_t)i];
        UNROLL for (int r = 0; r < rows; r++) {
            __m512i x = broadcast_4(q + (size_t)r * stride + 4 * i);
            UNROLL for (int t = 0; t < tiles; t++) dot[r][t] = _mm512_dpbusd_epi32(dot[r][t], w[t], x);
        }
        ask_ahead(job, ahead, tiles, lines, turn * groups + i, turns * groups);
    }
}

INLINE void chunk_32(const chunk_job *job, const int rows, const int tiles, const int low, const int high, const int codes,
                     const int offset, const int kind) {
    (void)codes; /* looked up when the chunk was unpacked */
    const int has_min = kind == LLMC_SCALES_D_MIN;
    const size_t stride = job->act_stride;
    const uint8_t *act = job->act, *ahead = job->ahead;
    __m512 sum[MAX_ROWS][MAX_TILES];
    UNROLL for (int i = 0; i < rows * tiles; i++) sum[i / tiles][i % tiles] = job->sums[i / tiles * MAX_TILES + i % tiles];
    for (size_t b = 0; b < job->n_blocks; b++, act += sizeof(llmc_act_32), ahead += 64 * (low + high)) {
        __m512i dot[MAX_ROWS][MAX_TILES];
        UNROLL for (int r = 0; r < rows; r++) {
            const llmc_act_32 *x = (const llmc_act_32 *)(const void *)(act + (size_t)r * stride);
            __m512i start = _mm512_setzero_si512();
            if (offset) start = times_offset(broadcast_4(&x->neg_sum), offset);
            UNROLL for (int t = 0; t < tiles; t++) dot[r][t] = start;
        }
        add_fields(job, rows, tiles, 8, b * 8, (const int8_t *)act + offsetof(llmc_act_32, q), stride, ahead, low + high, 0, 1,
                   dot);
        UNROLL for (int r = 0; r < rows; r++) {
            const llmc_act_32 *x = (const llmc_act_32 *)(const void *)(act + (size_t)r * stride);
            UNROLL for (int t = 0; t < tiles; t++) {
                __m512 part = _mm512_mul_ps(_mm512_cvtepi32_ps(dot[r][t]), job->w->d[t][b]);
                sum[r][t] = _mm512_fmadd_ps(part, _mm512_set1_ps(x->d), sum[r][t]);
                if (has_min) sum[r][t] = _mm512_fmadd_ps(job->w->m[t][b], _mm512_set1_ps(x->s), sum[r][t]);
            }
        }
    }
    UNROLL for (int i = 0; i < rows * tiles; i++) job->sums[i / tiles * MAX_TILES + i % tiles] = sum[i / tiles][i % tiles];
}

/* Columns that a dot has in many rows, in groups: as many as fit an int16, if those are 4, or with centered fields 2; else a
 * whole sub-block. Of 32 columns that is no more work than two of centered fields. */
#define CENTERED(bits, kind)   ((bits) == 6 && llmc_sub_pairs(kind) == 8)
#define FITS_INT16(bits, kind) ((bits) <= 4 || CENTERED(bits, kind))
#define DOT_GROUPS(bits, kind) ((bits) <= 4 ? 4 : CENTERED(bits, kind) ? 2 : 32 / llmc_sub_pairs(kind))

INLINE void chunk_256(const chunk_job *job, const int rows, const int tiles, const int low, const int high, const int codes,
                      const int offset, const int kind) {
    const int bits = tile_field_bits(low, high, codes), dot_groups = DOT_GROUPS(bits, kind);
    const int sub_groups = 32 / llmc_sub_pairs(kind);
    const int narrow = FITS_INT16(bits, kind), centered = CENTERED(bits, kind), has_min = llmc_has_minima(kind);
    const int n_pairs = CHUNK_GROUPS / dot_groups / 2, lines = 8 * (low + high) / n_pairs;
    const size_t stride = job->act_stride, start_stride = job->start_stride;
    const int8_t *q = (const int8_t *)job->act + offsetof(llmc_act_256, q);
    const int32_t *start = job->start;
    const uint8_t *ahead = job->ahead;
    __m512i isum[MAX_ROWS][MAX_TILES], msum[MAX_ROWS][MAX_TILES];
    UNROLL for (int i = 0; i < rows * tiles; i++) isum[i / tiles][i % tiles] = msum[i / tiles][i % tiles] =
        _mm512_setzero_si512();
    for (size_t p = 0; p < (size_t)n_pairs; p++) {
        UNROLL for (int j = 0; j < 2; j++) {
            __m512i dot[MAX_ROWS][MAX_TILES];
            UNROLL for (int r = 0; r < rows; r++) {
                __m512i begin = _mm512_setzero_si512();
                if (centered) begin = broadcast_4(start + (size_t)r * start_stride + 2 * j);
                UNROLL for (int t = 0; t < tiles; t++) dot[r][t] = begin;
            }
            add_fields(job, rows, tiles, dot_groups, (p * 2 + (size_t)j) * (size_t)dot_groups, q, stride, ahead, lines, j, 2,
                       dot);
            UNROLL for (int t = 0; t < tiles; t++) {
                const __m512i scale = job->w->scale[t][dot_groups == sub_groups ? p * 2 + (size_t)j : p];
                UNROLL for (int r = 0; r < rows; r++) isum[r][t] =
                    narrow ? _mm512_dpwssd_epi32(isum[r][t], dot[r][t], scale)
                           : _mm512_add_epi32(isum[r][t], _mm512_mullo_epi32(dot[r][t], scale));
            }
            q += 4 * dot_groups;
        }
        start += 4;
        ahead += 64 * lines;
    }
    UNROLL for (int r = 0; r < rows; r++) {
        const llmc_act_256 *x = (const llmc_act_256 *)(const void *)(job->act + (size_t)r * stride);
        const int16_t *x_sums = sub_groups == 8 ? x->sum_32 : x->sum_16;
        const __m512 x_d = _mm512_set1_ps(x->d);
        for (int i = 0; i < 32 / sub_groups && !centered; i++) {
            UNROLL for (int t = 0; t < tiles; t++) msum[r][t] =
                _mm512_dpwssd_epi32(msum[r][t], job->w->min[t][i], broadcast_4(x_sums + 2 * i));
        }
        UNROLL for (int t = 0; t < tiles; t++) {
            __m512 *sum = &job->sums[r * MAX_TILES + t], total = *sum;
            if (offset && !centered) isum[r][t] = _mm512_sub_epi32(isum[r][t], times_offset(msum[r][t], offset));
            total = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(isum[r][t]), job->w->d[t][0]), x_d, total);
            if (has_min) total = _mm512_fnmadd_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(msum[r][t]), job->w->m[t][0]), x_d, total);
            *sum = total;
        }
    }
}

/* --- unpacking a chunk --- */

INLINE void unpack_fields(__m512i *fields, const int low, const int high, const int codes, const uint8_t *quants,
                          uint32_t n_blocks) {
    for (uint32_t b = 0; b < n_blocks; b++, quants += 64 * (low + high), fields += 8) {
        UNROLL for (int g = 0; g < 8; g++) fields[g] = tile_group_fields(low, high, codes, quants, g);
    }
}

INLINE void unpack_32(chunk *w, const int t, const int low, const int high, const int codes, const int kind,
                      const uint8_t *quants, const uint8_t *scales, uint32_t n_blocks) {
    unpack_fields(w->fields[t], low, high, codes, quants, n_blocks);
    const int has_min = kind == LLMC_SCALES_D_MIN;
    const size_t scale_bytes = llmc_scale_bytes_32(kind);
    for (uint32_t b = 0; b < n_blocks; b++, scales += scale_bytes) {
        w->d[t][b] = tile_scales(scales, kind);
        if (has_min) w->m[t][b] = tile_halves(scales + 32);
        prefetch_lines(scales + CHUNK_BLOCKS * scale_bytes, 32);
    }
}

INLINE void unpack_256(chunk *w, const int t, const int low, const int high, const int codes, const int kind,
                       const uint8_t *quants, const uint8_t *scales, uint32_t n_blocks) {
    const int has_min = llmc_has_minima(kind), scales_at = has_min ? 64 : 32;
    const int mins_at = kind == LLMC_SCALES_K32_MIN ? 192 : scales_at;
    unpack_fields(w->fields[t], low, high, codes, quants, n_blocks);
    w->d[t][0] = tile_scales_256(scales, codes);
    if (has_min) w->m[t][0] = tile_halves(scales + 32);
    const int n_pairs = llmc_sub_pairs(kind);
    UNROLL for (int p = 0; p < n_pairs; p++) {
        const __m512i pair = scale_pair(scales + scales_at + p * 32, kind);
        UNROLL for (int j = 0; j < 2; j++) w->scale[t][p * 2 + j] =
            sub_scale(pair, j, FITS_INT16(tile_field_bits(low, high, codes), kind));
        w->min[t][p] = min_pair(scales + mins_at + p * 32, kind);
    }
    prefetch_lines(scales + llmc_scale_bytes_256(kind), llmc_scale_bytes_256(kind));
}

/* Minus 32 times the sums of 8 activations, each twice. */
static void start_rows(const product *p, uint32_t row, uint32_t n, uint8_t *starts) {
    const __m512i weight = _mm512_set1_epi8(32);
    for (uint32_t r = 0; r < n; r++) {
        const llmc_act_256 *x = (const llmc_act_256 *)(const void *)(p->act + (row + r) * p->act_stride);
        __m512i *out = (__m512i *)(void *)(starts + (size_t)r * p->packed->cols);
        for (uint32_t b = 0; b < p->packed->cols / 256; b++) {
            UNROLL for (int i = 0; i < 4; i++) {
                __m512i fours = _mm512_dpbusd_epi32(_mm512_setzero_si512(), weight, _mm512_loadu_si512(x[b].q + i * 64));
                __m512i eights = _mm512_add_epi32(fours, _mm512_ror_epi64(fours, 32));
                *out++ = _mm512_sub_epi32(_mm512_setzero_si512(), eights);
            }
        }
    }
}

/* --- the kernels of each type, by rows and tiles --- */

typedef void (*tile_kernel)(const tile_job *job);
typedef void (*chunk_kernel)(const chunk_job *job);
typedef void (*chunk_unpack)(chunk *w, int tile, const uint8_t *quants, const uint8_t *scales, uint32_t n_blocks);

enum { N_HEIGHTS = 6 };

static const uint32_t heights[N_HEIGHTS] = {1, 2, 3, 4, 6, 8};

typedef struct kernels_of_type {
    tile_kernel few[N_HEIGHTS][MAX_TILES];
    chunk_kernel many[N_HEIGHTS][MAX_TILES];
    chunk_unpack unpack;
    uint16_t chunk_quant_bytes, chunk_scale_bytes; /* of 256 columns */
} kernels_of_type;

#define KERNEL(name, rows, form, ...)                                                                                          \
    static void name##_few_##rows##x1(const tile_job *job) {                                                                   \
        q8_##form##_kernel(job, rows, 1, __VA_ARGS__);                                                                         \
    }                                                                                                                          \
    static void name##_few_##rows##x2(const tile_job *job) {                                                                   \
        q8_##form##_kernel(job, rows, 2, __VA_ARGS__);                                                                         \
    }                                                                                                                          \
    static void name##_many_##rows##x1(const chunk_job *job) {                                                                 \
        chunk_##form(job, rows, 1, __VA_ARGS__);                                                                               \
    }                                                                                                                          \
    static void name##_many_##rows##x2(const chunk_job *job) {                                                                 \
        chunk_##form(job, rows, 2, __VA_ARGS__);                                                                               \
    }
#define ENTRIES(name, use)                                                                                                     \
    {                                                                                                                          \
        {name##_##use##_1x1, name##_##use##_1x2}, {name##_##use##_2x1, name##_##use##_2x2},                                    \
            {name##_##use##_3x1, name##_##use##_3x2}, {name##_##use##_4x1, name##_##use##_4x2},                                \
            {name##_##use##_6x1, name##_##use##_6x2}, {                                                                        \
            name##_##use##_8x1, name##_##use##_8x2                                                                             \
        }                                                                                                                      \
    }
#define KERNELS(name, form, low, high, codes, offset, kind, scale_bytes)                                                       \
    KERNEL(name, 1, form, low, high, codes, offset, kind)                                                                      \
    KERNEL(name, 2, form, low, high, codes, offset, kind)                                                                      \
    KERNEL(name, 3, form, low, high, codes, offset, kind)                                                                      \
    KERNEL(name, 4, form, low, high, codes, offset, kind)                                                                      \
    KERNEL(name, 6, form, low, high, codes, offset, kind)                                                                      \
    KERNEL(name, 8, form, low, high, codes, offset, kind)                                                                      \
    static void name##_unpack(chunk *w, int t, const uint8_t *quants, const uint8_t *scales, uint32_t n_blocks) {              \
        unpack_##form(w, t, low, high, codes, kind, quants, scales, n_blocks);                                                 \
    }                                                                                                                          \
    static const kernels_of_type name##_kernels = {ENTRIES(name, few), ENTRIES(name, many), name##_unpack, 512 * (low + high), \
                                                   scale_bytes};

/* Bits and what they stand for, offset (a power of two), what belongs to a block beside d, bytes of scales. */
KERNELS(q4_0, 32, 4, 0, 0, 8, LLMC_SCALES_D, 256)
KERNELS(q4_1, 32, 4, 0, 0, 0, LLMC_SCALES_D_MIN, 512)
KERNELS(q5_0, 32, 4, 1, 0, 16, LLMC_SCALES_D, 256)
KERNELS(q5_1, 32, 4, 1, 0, 0, LLMC_SCALES_D_MIN, 512)
KERNELS(q8_0, 32, 8, 0, 0, 128, LLMC_SCALES_D, 256)
KERNELS(q2_k, 256, 2, 0, 0, 0, LLMC_SCALES_K16_MIN, 320)
KERNELS(q3_k, 256, 2, 1, 0, 4, LLMC_SCALES_K16, 288)
KERNELS(q4_k, 256, 4, 0, 0, 0, LLMC_SCALES_K32_MIN, 320)
KERNELS(q5_k, 256, 4, 1, 0, 0, LLMC_SCALES_K32_MIN, 320)
KERNELS(q6_k, 256, 4, 2, 0, 32, LLMC_SCALES_K16, 288)
KERNELS(iq4_nl, 32, 4, 0, LLMC_CODES_IQ4, 128, LLMC_SCALES_D, 256)
KERNELS(iq4_xs, 256, 4, 0, LLMC_CODES_IQ4, 128, LLMC_SCALES_K32, 160)
KERNELS(mxfp4, 32, 4, 0, LLMC_CODES_E2M1, 16, LLMC_SCALES_E8M0, 128)
KERNELS(iq3_xxs, 256, 4, 0, LLMC_CODES_IQ3_XXS, 32, LLMC_SCALES_K32, 160)
KERNELS(iq3_s, 256, 4, 0, LLMC_CODES_IQ3_S, 16, LLMC_SCALES_K32, 160)
KERNELS(iq2_xxs, 256, 2, 1, LLMC_CODES_IQ2, 64, LLMC_SCALES_K32, 160)
KERNELS(iq2_s, 256, 2, 1, LLMC_CODES_IQ2, 64, LLMC_SCALES_K16, 288)
KERNELS(iq1_s, 256, 2, 1, LLMC_CODES_IQ1, 16, LLMC_SCALES_K32, 160)
KERNELS(iq1_m, 256, 2, 1, LLMC_CODES_IQ1, 16, LLMC_SCALES_K16, 288)
KERNELS(tq, 256, 2, 0, 0, 1, LLMC_SCALES_D, 32)

static const kernels_of_type *const kernel_table[LLMC_PACK_TYPES] = {
    [LLMC_PACK_Q4_0] = &q4_0_kernels,       [LLMC_PACK_Q4_1] = &q4_1_kernels,     [LLMC_PACK_Q5_0] = &q5_0_kernels,
    [LLMC_PACK_Q5_1] = &q5_1_kernels,       [LLMC_PACK_Q8_0] = &q8_0_kernels,     [LLMC_PACK_Q2_K] = &q2_k_kernels,
    [LLMC_PACK_Q3_K] = &q3_k_kernels,       [LLMC_PACK_Q4_K] = &q4_k_kernels,     [LLMC_PACK_Q5_K] = &q5_k_kernels,
    [LLMC_PACK_Q6_K] = &q6_k_kernels,       [LLMC_PACK_IQ4_NL] = &iq4_nl_kernels, [LLMC_PACK_IQ4_XS] = &iq4_xs_kernels,
    [LLMC_PACK_MXFP4] = &mxfp4_kernels,     [LLMC_PACK_TQ1_0] = &tq_kernels,      [LLMC_PACK_TQ2_0] = &tq_kernels,
    [LLMC_PACK_IQ3_XXS] = &iq3_xxs_kernels, [LLMC_PACK_IQ3_S] = &iq3_s_kernels,   [LLMC_PACK_IQ2_XXS] = &iq2_xxs_kernels,
    [LLMC_PACK_IQ2_XS] = &iq2_s_kernels,    [LLMC_PACK_IQ2_S] = &iq2_s_kernels,   [LLMC_PACK_IQ1_S] = &iq1_s_kernels,
    [LLMC_PACK_IQ1_M] = &iq1_m_kernels,
};

/* --- few rows: unpacking in registers --- */

/* Asks for the lines of the result that these tiles of all rows go to. */
static void prefetch_results(const product *p, uint32_t tile, uint32_t n_tiles) {
    for (uint32_t r = 0; r < p->n_rows; r++) {
        const float *dst = p->dst + r * p->dst_stride + (size_t)tile * LLMC_TILE_ROWS;
        for (uint32_t t = 0; t < n_tiles; t++) __builtin_prefetch(dst + t * LLMC_TILE_ROWS, 1);
    }
}

/* Up to MAX_ROWS rows. */
static void few_rows(const product *p, const kernels_of_type *kernels, uint32_t tile_begin, uint32_t tile_end) {
    __m512 sums[MAX_ROWS * MAX_TILES];
    int height = 0;
    while (heights[height] < p->n_rows) height++;
    tile_job job = {.cols = p->packed->cols, .sums = sums, .tile_bytes = p->packed->tile_bytes};
    for (uint32_t r = 0; r < heights[height]; r++) job.act[r] = p->act + (r < p->n_rows ? r : p->n_rows - 1) * p->act_stride;
    for (uint32_t tile = tile_begin; tile < tile_end; tile += MAX_TILES) {
        uint32_t n_tiles = tile_end - tile < MAX_TILES ? 1 : MAX_TILES;
        job.tile = p->packed->data + tile * p->packed->tile_bytes;
        job.next = job.tile + n_tiles * p->packed->tile_bytes;
        prefetch_results(p, tile, n_tiles);
        kernels->few[height][n_tiles - 1](&job);
        for (uint32_t r = 0; r < p->n_rows; r++) {
            for (uint32_t t = 0; t < n_tiles; t++) store(p, r, tile + t, sums[r * n_tiles + t]);
        }
    }
}

/* How many rows to take next. The K types' sums and dots of more than 4 rows leave no register free, but the first of a group of
 * tiles wait for memory: those are 6. */
static uint32_t rows_at_once(const product *p, uint32_t row) {
    const uint32_t left = p->n_rows - row;
    const int of_256 = llmc_act_form_inline(p->packed->type) == LLMC_ACT_Q8_256;
    const uint32_t most = !of_256 ? MAX_ROWS : row ? 4 : 6;
    return left < most ? left : most;
}

/* Any number of them, a few at a time over tiles that stay in the second-level cache. */
static void few_by_few(const product *p, const kernels_of_type *kernels, uint32_t tile_begin, uint32_t tile_end) {
    uint32_t group = p->packed->tile_bytes ? (uint32_t)(GROUP_BYTES / p->packed->tile_bytes) / MAX_TILES * MAX_TILES : 0;
    if (group < MAX_TILES) group = MAX_TILES;
    for (uint32_t tile = tile_begin; tile < tile_end; tile += group) {
        product part = *p;
        for (uint32_t row = 0; row < p->n_rows; row += part.n_rows) {
            part.n_rows = rows_at_once(p, row);
            part.act = p->act + row * p->act_stride;
            part.dst = p->dst + row * p->dst_stride;
            few_rows(&part, kernels, tile, tile_end - tile < group ? tile_end : tile + group);
        }
    }
}

/* --- many rows --- */

/* Index of the next kernel's height. With super-blocks 6 rows fill the registers; blocks of 32 have room for 8. */
static int height_for(uint32_t left, int of_256) {
    if (!of_256 && (left == 7 || (left >= 8 && left != 9 && left != 10 && left != 12))) return left == 7 ? 3 : 5;
    if (left >= 12 || left == 6 || left == 9 || left == 10) return 4;
    return left == 5 ? 2 : left > 4 ? 3 : (int)left - 1;
}

typedef struct row_pass {
    const product *p;
    const kernels_of_type *kernels;
    pass_memory *memory;
    uint32_t row, n;
} row_pass;

/* All rows of the pass with a chunk that is unpacked. While the first of them are multiplied, the quants at `ahead` are
 * fetched; for the others that is the chunk itself. */
static void multiply_chunk(const row_pass *pass, uint32_t n_tiles, uint32_t col, uint32_t n_blocks, const uint8_t *ahead) {
    const product *p = pass->p;
    const int of_256 = llmc_act_form_inline(p->packed->type) == LLMC_ACT_Q8_256;
    const size_t act_at = of_256 ? col / 256 * sizeof(llmc_act_256) : col / 32 * sizeof(llmc_act_32);
    chunk_job job = {.w = &pass->memory->w, .act_stride = p->act_stride, .start_stride = p->packed->cols / 4};
    job.n_blocks = n_blocks;
    job.ahead = ahead;
    job.ahead_tile = p->packed->tile_bytes;
    for (uint32_t row = 0; row < pass->n;) {
        int height = height_for(pass->n - row, of_256);
        job.act = p->act + (pass->row + row) * p->act_stride + act_at;
        job.start = (const int32_t *)(const void *)(pass->memory->starts + (size_t)row * p->packed->cols + col);
        job.sums = pass->memory->sums[row];
        pass->kernels->many[height][n_tiles - 1](&job);
        row += heights[height];
        job.ahead = (const uint8_t *)&pass->memory->w;
        job.ahead_tile = sizeof pass->memory->w.fields[0];
    }
}

static void multiply_tiles(const row_pass *pass, uint32_t tile, uint32_t n_tiles) {
    const llmc_packed *packed = pass->p->packed;
    const kernels_of_type *kernels = pass->kernels;
    const uint8_t *first = packed->data + tile * packed->tile_bytes;
    const size_t scales_at = (size_t)packed->cols / 32 * (kernels->chunk_quant_bytes / CHUNK_BLOCKS);
    for (uint32_t r = 0; r < pass->n; r++) {
        for (uint32_t t = 0; t < MAX_TILES; t++) pass->memory->sums[r][t] = _mm512_setzero_ps();
    }
    for (uint32_t col = 0, i = 0; col < packed->cols; col += CHUNK_COLS, i++) {
        uint32_t n_blocks = packed->cols - col < CHUNK_COLS ? (packed->cols - col) / 32 : CHUNK_BLOCKS;
        const uint8_t *quants = first + (size_t)i * kernels->chunk_quant_bytes;
        const uint8_t *scales = first + scales_at + (size_t)i * kernels->chunk_scale_bytes;
        int is_last = col + n_blocks * 32 >= packed->cols;
        for (uint32_t t = 0; t < n_tiles; t++) {
            kernels->unpack(&pass->memory->w, (int)t, quants + t * packed->tile_bytes, scales + t * packed->tile_bytes,
                            n_blocks);
        }
        multiply_chunk(pass, n_tiles, col, n_blocks,
                       is_last ? first + n_tiles * packed->tile_bytes : quants + kernels->chunk_quant_bytes);
    }
    for (uint32_t r = 0; r < pass->n; r++) {
        for (uint32_t t = 0; t < n_tiles; t++) store(pass->p, pass->row + r, tile + t, pass->memory->sums[r][t]);
    }
}

/* Rows at a time: their sums, and for Q6_K what their dots start from, have a place in the scratch. */
static uint32_t rows_of_pass(const llmc_packed *packed) {
    uint32_t rows = PASS_ROWS;
    if (packed->type == LLMC_PACK_Q6_K && (uint64_t)packed->cols * rows > START_BYTES) rows = START_BYTES / packed->cols;
    return rows;
}

static void many_rows(const product *p, const kernels_of_type *kernels, uint32_t tile_begin, uint32_t tile_end,
                      pass_memory *memory, uint32_t step) {
    row_pass pass = {p, kernels, memory, 0, 0};
    for (; pass.row < p->n_rows; pass.row += pass.n) {
        pass.n = p->n_rows - pass.row < step ? p->n_rows - pass.row : step;
        if (p->packed->type == LLMC_PACK_Q6_K) start_rows(p, pass.row, pass.n, memory->starts);
        for (uint32_t tile = tile_begin; tile < tile_end; tile += MAX_TILES) {
            multiply_tiles(&pass, tile, tile_end - tile < MAX_TILES ? 1 : MAX_TILES);
        }
    }
}

static void matmul_in_registers(const llmc_packed *packed, const void *act, uint32_t n_rows, uint32_t tile_begin,
                                uint32_t tile_end, float *dst, size_t dst_stride, const float *bias, int accumulate,
                                void *scratch) {
    (void)scratch;
    if (packed->type < 0 || packed->type >= LLMC_PACK_TYPES || !kernel_table[packed->type]) return;
    const size_t act_stride = llmc_act_bytes(llmc_act_form_inline(packed->type), packed->cols);
    product p = {packed, act, act_stride, n_rows, dst, dst_stride, bias, accumulate};
    few_by_few(&p, kernel_table[packed->type], tile_begin, tile_end);
}

static void matmul_through_memory(const llmc_packed *packed, const void *act, uint32_t n_rows, uint32_t tile_begin,
                                  uint32_t tile_end, float *dst, size_t dst_stride, const float *bias, int accumulate,
                                  void *scratch) {
    const uint32_t step = rows_of_pass(packed);
    /* Bytes need no unpacking, and a few rows are not worth its detour through memory. */
    if (n_rows <= MAX_ROWS || step <= MAX_ROWS || packed->type == LLMC_PACK_Q8_0 || packed->type < 0 ||
        packed->type >= LLMC_PACK_TYPES || !kernel_table[packed->type]) {
        matmul_in_registers(packed, act, n_rows, tile_begin, tile_end, dst, dst_stride, bias, accumulate, scratch);
        return;
    }
    const size_t act_stride = llmc_act_bytes(llmc_act_form_inline(packed->type), packed->cols);
    product p = {packed, act, act_stride, n_rows, dst, dst_stride, bias, accumulate};
    many_rows(&p, kernel_table[packed->type], tile_begin, tile_end, scratch, step);
}

void llmc_matmul_kernels_avx512(llmc_matmul_kernels *kernels, int through_memory) {
    kernels->matmul = through_memory ? matmul_through_memory : matmul_in_registers;
}
