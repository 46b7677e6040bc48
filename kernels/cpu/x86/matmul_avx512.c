/* The matrix product with AVX-512 and VNNI: the lanes of a register are the 16 outputs of a tile, and a kernel holds up to 8
 * rows times 2 tiles of running sums. Makes the bits of matmul.c. */
#include "kernels/cpu/pack.h"
#include "kernels/cpu/x86/tile_stream.h"

#include <immintrin.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

enum { MAX_ROWS = 8, MAX_TILES = 2 };

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

INLINE __m512 halves(const uint8_t *bytes) {
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)bytes));
}

/* Fields of group g (of 8) of a tile's 32 columns, as unsigned bytes. */
INLINE __m512i group_fields(const int low, const int high, const uint8_t *quants, const int g) {
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

/* Adds to the dots of each row and tile the groups [begin, end) of 32 columns. */
INLINE void add_groups(const int rows, const int tiles, const int low, const int high, const int begin, const int end,
                       const uint8_t *quants, size_t tile_bytes, const int8_t *const *q, __m512i dot[MAX_ROWS][MAX_TILES]) {
    UNROLL for (int g = begin; g < end; g++) {
        __m512i w[MAX_TILES];
        UNROLL for (int t = 0; t < tiles; t++) w[t] = group_fields(low, high, quants + (size_t)t * tile_bytes, g);
        UNROLL for (int r = 0; r < rows; r++) {
            __m512i x = broadcast_4(q[r] + 4 * g);
            UNROLL for (int t = 0; t < tiles; t++) dot[r][t] = _mm512_dpbusd_epi32(dot[r][t], w[t], x);
        }
    }
}

/* --- blocks of 32 --- */

INLINE void q8_32_kernel(const tile_job *job, const int rows, const int tiles, const int low, const int high,
                         const int offset_shift, const int has_min) {
    const size_t quant_bytes = 64u * (unsigned)(low + high), scale_bytes = has_min ? 64 : 32, n_blocks = job->cols / 32;
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
            if (offset_shift) start = _mm512_slli_epi32(broadcast_4(&x[r][b].neg_sum), (unsigned)offset_shift);
            UNROLL for (int t = 0; t < tiles; t++) dot[r][t] = start;
            q[r] = x[r][b].q;
        }
        add_groups(rows, tiles, low, high, 0, 8, at.quants, tile_bytes, q, dot);
        UNROLL for (int t = 0; t < tiles; t++) {
            const uint8_t *scales = at.scales + (size_t)t * tile_bytes;
            __m512 d = halves(scales), m = _mm512_setzero_ps();
            if (has_min) m = halves(scales + 32);
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
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)pairs);
    if (kind == LLMC_SCALES_K16) return _mm512_cvtepi8_epi16(bytes);
    if (kind == LLMC_SCALES_K16_MIN) bytes = _mm256_and_si256(bytes, _mm256_set1_epi8(15));
    return _mm512_cvtepu8_epi16(bytes);
}

INLINE __m512i min_pair(const uint8_t *pairs, const int kind) {
    if (kind == LLMC_SCALES_K16) return scale_pair(pairs, kind);
    __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)pairs);
    if (kind == LLMC_SCALES_K16_MIN) bytes = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), _mm256_set1_epi8(15));
    return _mm512_cvtepu8_epi16(bytes);
}

/* A block of each row. */
typedef struct rows_256 {
    const llmc_act_256 *x[MAX_ROWS];
    const int8_t *q[MAX_ROWS];
} rows_256;

/* The sums of scale * dot of a super-block, by sub-blocks of 4 or 8 groups, two a turn. Moves `at` past its quants. */
INLINE void scaled_dots(const int rows, const int tiles, const int low, const int high, const int kind, size_t tile_bytes,
                        const uint8_t *pairs, tile_stream *at, rows_256 act, __m512i isum[MAX_ROWS][MAX_TILES]) {
    const int sub_groups = kind == LLMC_SCALES_K32_MIN ? 8 : 4, n_pairs = 32 / sub_groups;
    const size_t quant_bytes = 64u * (unsigned)(low + high);
    for (int p = 0; p < n_pairs; p++) {
        UNROLL for (int j = 0; j < 2; j++) {
            __m512i dot[MAX_ROWS][MAX_TILES];
            const int begin = sub_groups == 4 ? 4 * j : 0;
            UNROLL for (int i = 0; i < rows * tiles; i++) dot[i / tiles][i % tiles] = _mm512_setzero_si512();
            add_groups(rows, tiles, low, high, begin, begin + sub_groups, at->quants, tile_bytes, act.q, dot);
            UNROLL for (int t = 0; t < tiles; t++) {
                __m512i scale = scale_pair(pairs + (size_t)t * tile_bytes + p * 32, kind);
                scale = _mm512_srai_epi32(j ? scale : _mm512_slli_epi32(scale, 16), 16);
                UNROLL for (int r = 0; r < rows; r++) isum[r][t] =
                    _mm512_add_epi32(isum[r][t], _mm512_mullo_epi32(dot[r][t], scale));
            }
            if (sub_groups == 4 && !j) continue;
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
    const int n_pairs = kind == LLMC_SCALES_K32_MIN ? 4 : 8;
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

INLINE void q8_256_kernel(const tile_job *job, const int rows, const int tiles, const int low, const int high,
                          const int offset_shift, const int kind) {
    const int has_min = kind != LLMC_SCALES_K16, scales_at = has_min ? 64 : 32;
    const int mins_at = kind == LLMC_SCALES_K32_MIN ? 192 : scales_at;
    const size_t quant_bytes = 8 * 64u * (unsigned)(low + high), scale_bytes = (size_t)scales_at + 256;
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
        scaled_dots(rows, tiles, low, high, kind, tile_bytes, at.scales + scales_at, &at, act, isum);
        scaled_sums(rows, tiles, kind, tile_bytes, at.scales + mins_at, &act, msum);
        UNROLL for (int t = 0; t < tiles; t++) {
            const uint8_t *scales = at.scales + (size_t)t * tile_bytes;
            __m512 d = halves(scales), dmin = _mm512_setzero_ps();
            if (has_min) dmin = halves(scales + 32);
            UNROLL for (int r = 0; r < rows; r++) {
                __m512 x_d = _mm512_set1_ps(act.x[r]->d), total = sum[r * tiles + t];
                if (offset_shift)
                    isum[r][t] = _mm512_sub_epi32(isum[r][t], _mm512_slli_epi32(msum[r][t], (unsigned)offset_shift));
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

/* --- floats --- */

INLINE __m512 column(const int type, const uint8_t *tile, size_t col) {
    if (type == LLMC_PACK_F32) return _mm512_load_ps((const float *)(const void *)tile + col * LLMC_TILE_ROWS);
    __m256i words = _mm256_load_si256((const __m256i *)(const void *)tile + col);
    if (type == LLMC_PACK_F16) return _mm512_cvtph_ps(words);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(words), 16));
}

INLINE void f32_kernel(const tile_job *job, const int rows, const int tiles, const int type) {
    __m512 sum[MAX_ROWS][MAX_TILES];
    const float *x[MAX_ROWS];
    UNROLL for (int r = 0; r < rows; r++) {
        x[r] = (const float *)(const void *)job->act[r];
        UNROLL for (int t = 0; t < tiles; t++) sum[r][t] = _mm512_setzero_ps();
    }
    const size_t col_bytes = type == LLMC_PACK_F32 ? 64 : 32;
    tile_stream at = tile_stream_begin(job->tile, job->cols, col_bytes, 0);
    for (size_t col = 0; col < job->cols; col++, at.ahead_quants += col_bytes) {
        __m512 w[MAX_TILES];
        tile_stream_turn(&at, job->next, col, job->cols, col_bytes);
        UNROLL for (int t = 0; t < tiles; t++) {
            w[t] = column(type, job->tile + (size_t)t * job->tile_bytes, col);
            prefetch_lines(at.ahead_quants + (size_t)t * job->tile_bytes, 1);
        }
        UNROLL for (int r = 0; r < rows; r++) {
            UNROLL for (int t = 0; t < tiles; t++) sum[r][t] = _mm512_fmadd_ps(w[t], _mm512_set1_ps(x[r][col]), sum[r][t]);
        }
    }
    UNROLL for (int r = 0; r < rows; r++) {
        UNROLL for (int t = 0; t < tiles; t++) job->sums[r * tiles + t] = sum[r][t];
    }
}

/* --- the kernels of each type, by rows and tiles --- */

typedef void (*tile_kernel)(const tile_job *job);

#define KERNEL(name, rows, tiles, call, ...)                                                                                   \
    static void name##_##rows##x##tiles(const tile_job *job) {                                                                 \
        call(job, rows, tiles, __VA_ARGS__);                                                                                   \
    }
#define KERNELS(name, ...)                                                                                                     \
    KERNEL(name, 1, 1, __VA_ARGS__)                                                                                            \
    KERNEL(name, 1, 2, __VA_ARGS__)                                                                                            \
    KERNEL(name, 2, 1, __VA_ARGS__)                                                                                            \
    KERNEL(name, 2, 2, __VA_ARGS__)                                                                                            \
    KERNEL(name, 4, 1, __VA_ARGS__)                                                                                            \
    KERNEL(name, 4, 2, __VA_ARGS__)                                                                                            \
    KERNEL(name, 6, 1, __VA_ARGS__)                                                                                            \
    KERNEL(name, 6, 2, __VA_ARGS__)                                                                                            \
    KERNEL(name, 8, 1, __VA_ARGS__)                                                                                            \
    KERNEL(name, 8, 2, __VA_ARGS__)
#define ENTRIES(name)                                                                                                          \
    {                                                                                                                          \
        {name##_1x1, name##_1x2}, {name##_2x1, name##_2x2}, {name##_4x1, name##_4x2}, {name##_6x1, name##_6x2}, {              \
            name##_8x1, name##_8x2                                                                                             \
        }                                                                                                                      \
    }

KERNELS(f32, f32_kernel, LLMC_PACK_F32)
KERNELS(f16, f32_kernel, LLMC_PACK_F16)
KERNELS(bf16, f32_kernel, LLMC_PACK_BF16)
KERNELS(q4_0, q8_32_kernel, 4, 0, 3, 0)
KERNELS(q4_1, q8_32_kernel, 4, 0, 0, 1)
KERNELS(q5_0, q8_32_kernel, 4, 1, 4, 0)
KERNELS(q5_1, q8_32_kernel, 4, 1, 0, 1)
KERNELS(q8_0, q8_32_kernel, 8, 0, 7, 0)
KERNELS(q2_k, q8_256_kernel, 2, 0, 0, LLMC_SCALES_K16_MIN)
KERNELS(q3_k, q8_256_kernel, 2, 1, 2, LLMC_SCALES_K16)
KERNELS(q4_k, q8_256_kernel, 4, 0, 0, LLMC_SCALES_K32_MIN)
KERNELS(q5_k, q8_256_kernel, 4, 1, 0, LLMC_SCALES_K32_MIN)
KERNELS(q6_k, q8_256_kernel, 4, 2, 5, LLMC_SCALES_K16)

enum { N_HEIGHTS = 5 };

static const tile_kernel kernel_table[LLMC_PACK_TYPES][N_HEIGHTS][MAX_TILES] = {
    [LLMC_PACK_F32] = ENTRIES(f32),   [LLMC_PACK_F16] = ENTRIES(f16),   [LLMC_PACK_BF16] = ENTRIES(bf16),
    [LLMC_PACK_Q4_0] = ENTRIES(q4_0), [LLMC_PACK_Q4_1] = ENTRIES(q4_1), [LLMC_PACK_Q5_0] = ENTRIES(q5_0),
    [LLMC_PACK_Q5_1] = ENTRIES(q5_1), [LLMC_PACK_Q8_0] = ENTRIES(q8_0), [LLMC_PACK_Q2_K] = ENTRIES(q2_k),
    [LLMC_PACK_Q3_K] = ENTRIES(q3_k), [LLMC_PACK_Q4_K] = ENTRIES(q4_k), [LLMC_PACK_Q5_K] = ENTRIES(q5_k),
    [LLMC_PACK_Q6_K] = ENTRIES(q6_k),
};

/* What one call of matmul is about. */
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

static void store(const product *p, uint32_t row, uint32_t tile, __m512 value) {
    uint32_t output = tile * LLMC_TILE_ROWS, left = p->packed->rows - output;
    __mmask16 mask = left < LLMC_TILE_ROWS ? (__mmask16)((1u << left) - 1) : (__mmask16)0xffff;
    float *dst = p->dst + row * p->dst_stride + output;
    if (p->bias) value = _mm512_add_ps(value, _mm512_maskz_loadu_ps(mask, p->bias + output));
    if (p->accumulate) value = _mm512_add_ps(_mm512_maskz_loadu_ps(mask, dst), value);
    _mm512_mask_storeu_ps(dst, mask, value);
}

static const uint32_t heights[N_HEIGHTS] = {1, 2, 4, 6, 8};

/* Rows of the next kernel, as an index into heights. 6 rows fill the registers and are the fastest a row; 8, which spill, are
 * better than 6 and 2; else the least that holds what is left. */
static int height_for(uint32_t rows_left) {
    if (rows_left == 7 || rows_left == 8) return 4;
    int h = 0;
    while (h < 3 && heights[h] < rows_left) h++;
    return h;
}

static void run_kernel(const product *p, uint32_t row, int height, uint32_t tile, uint32_t n_tiles, uint32_t next) {
    __m512 sums[MAX_ROWS * MAX_TILES];
    uint32_t rows = heights[height], left = p->n_rows - row;
    tile_job job = {.cols = p->packed->cols, .sums = sums, .tile_bytes = p->packed->tile_bytes};
    job.tile = p->packed->data + tile * p->packed->tile_bytes;
    job.next = p->packed->data + next * p->packed->tile_bytes;
    for (uint32_t r = 0; r < rows; r++) job.act[r] = p->act + (row + (r < left ? r : left - 1)) * p->act_stride;
    kernel_table[p->packed->type][height][n_tiles - 1](&job);
    for (uint32_t r = 0; r < rows && r < left; r++) {
        for (uint32_t t = 0; t < n_tiles; t++) store(p, row + r, tile + t, sums[r * n_tiles + t]);
    }
}

/* Tiles that stay in the second-level cache while all rows pass over them. */
enum { GROUP_BYTES = 256 * 1024 };

static void matmul_avx512(const llmc_packed *packed, const void *act, uint32_t n_rows, uint32_t tile_begin, uint32_t tile_end,
                          float *dst, size_t dst_stride, const float *bias, int accumulate, void *scratch) {
    (void)scratch;
    if (packed->type < 0 || packed->type >= LLMC_PACK_TYPES || !kernel_table[packed->type][0][0]) return;
    size_t act_stride = llmc_act_bytes(llmc_act_form_inline(packed->type), packed->cols);
    product p = {packed, act, act_stride, n_rows, dst, dst_stride, bias, accumulate};
    uint32_t group = packed->tile_bytes ? (uint32_t)(GROUP_BYTES / packed->tile_bytes) / MAX_TILES * MAX_TILES : 0;
    if (group < MAX_TILES) group = MAX_TILES;
    for (uint32_t first = tile_begin; first < tile_end; first += group) {
        uint32_t end = tile_end - first < group ? tile_end : first + group;
        for (uint32_t row = 0, row_end; row < n_rows; row = row_end) {
            int height = height_for(n_rows - row);
            row_end = row + heights[height];
            for (uint32_t tile = first; tile < end; tile += MAX_TILES) {
                uint32_t n_tiles = end - tile < MAX_TILES ? 1 : MAX_TILES, next = tile + n_tiles;
                if (next == end && row_end < n_rows) next = first;
                if (next + n_tiles > tile_end) next = tile; /* nothing to fetch: what is here already */
                run_kernel(&p, row, height, tile, n_tiles, next);
            }
        }
    }
}

void llmc_matmul_kernels_avx512(llmc_matmul_kernels *kernels) {
    kernels->matmul = matmul_avx512;
}
