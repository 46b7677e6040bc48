/* The walk of attention over groups, tiles of queries and pages: one text for every tier. A tier defines, before including it,
 *   TILE              queries a tile, at most 16
 *   product           c (m, 16 n) = or += a (m, k) . b (k, 16 n): every element is one chain of fma over k, from 0 or from c.
 *                     Column block v of b begins at b[v] and its rows are b_stride elements apart, f16 if half.
 *   softmax_rows      s (n, 64) -> p in place: scale, maximum m, exp, sum l over the first n_valid[i] of 16 n_vectors scores;
 *                     n_valid never falls
 *   fold_factors      of n <= TILE queries: M' = max(M, m) in M's place, exp(M - M'), exp(m - M'); m and both results have 16
 *                     places
 *   fold_output       O (dim) = fma(O, a, o * b); dim is a multiple of 16
 *   widen             n floats from f16 or f32
 *   narrow            n f16 from floats
 *   dequantize_keys   q8_0 (32, 16) with the scales of 16 positions -> (32, 64) floats, the first 16 columns
 *   dequantize_values q8_0 (n <= 16, 32) with the scale of each row -> floats; rows are from_stride and to_stride elements apart
 * and afterwards fills its table from attend, groups, fold, store. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/attention.h"
#include "kernels/cpu/vecmath.h"

/* Everything of a call that the inner functions share; the arrays are in the caller's scratch. */
typedef struct walk {
    const llmc_attention_job *job;
    uint32_t dim;   /* head_dim rounded up to 16: the stride of v, o and output */
    float *q;       /* (n_queries, head_dim), contiguous */
    float *k;       /* (head_dim, 64) of a group as floats */
    float *v;       /* (64, dim) */
    float *p;       /* (TILE, 64) scores, then probabilities */
    float *o;       /* (TILE, dim) of a group */
    float *output;  /* (n_queries, dim), running */
    float *maximum; /* (n_queries), running */
    float *sum;     /* (n_queries), running */
} walk;

/* Below any score, and finite: a difference of two is a number. */
#define HIDDEN_SCORE -1e30f

/* How the tiles of a group read it. */
typedef enum reading {
    IN_PLACE, /* from the pages */
    IN_TURN,  /* one tile: keys as floats in walk.k, and then values in their place */
    WIDENED,  /* several tiles: keys as floats in walk.k, values in walk.v */
} reading;

/* One group of one tile of queries. */
typedef struct tile_place {
    uint32_t group;
    uint32_t first; /* query */
    uint32_t n;     /* queries */
    reading how;
    float *v; /* values as floats, where they are */
    float *o; /* (n, o_stride) */
    size_t o_stride;
    float m[16];
    float l[16];
} tile_place;

static inline uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

static inline uint32_t round16(uint32_t n) {
    return (n + 15) & ~15u;
}

static const uint8_t *block_of(const llmc_attention_job *job, uint32_t page_index) {
    return job->base + job->pages[page_index] * job->page_bytes;
}

static walk walk_begin(const llmc_attention_job *job, void *scratch) {
    walk w = {.job = job, .dim = round16(job->head_dim)};
    w.k = scratch;
    w.v = w.k + (size_t)w.dim * LLMC_KV_GROUP;
    w.p = w.v + (size_t)w.dim * LLMC_KV_GROUP;
    w.o = w.p + 16 * LLMC_KV_GROUP;
    w.q = w.o + 16 * (size_t)w.dim;
    w.output = w.q + (size_t)LLMC_ATTENTION_QUERIES * w.dim;
    w.maximum = w.output + (size_t)LLMC_ATTENTION_QUERIES * w.dim;
    w.sum = w.maximum + LLMC_ATTENTION_QUERIES;
    for (uint32_t i = 0; i < job->n_queries; i++) {
        memcpy(w.q + (size_t)i * job->head_dim, job->q[i], job->head_dim * sizeof(float));
    }
    return w;
}

/* Positions of a group that a query sees. */
static inline uint32_t visible(const walk *w, uint32_t query, uint32_t group) {
    return least(LLMC_KV_GROUP, w->job->position[query] + 1 - group * LLMC_KV_GROUP);
}

/* Of them, those before its window. */
static inline uint32_t hidden(const walk *w, uint32_t query, uint32_t group) {
    uint32_t first = w->job->first[query], begin = group * LLMC_KV_GROUP;
    return first <= begin ? 0 : least(LLMC_KV_GROUP, first - begin);
}

/* The scales of a q8_0 block: K's, then V's. */
static inline const uint16_t *key_scales(const uint8_t *block, uint32_t head_dim) {
    return (const uint16_t *)(const void *)(block + (size_t)2 * LLMC_KV_PAGE * head_dim);
}

static inline const uint16_t *value_scales(const uint8_t *block, uint32_t head_dim) {
    return key_scales(block, head_dim) + head_dim / LLMC_KV_Q8_DIMS * LLMC_KV_PAGE;
}

static inline void widen_page_keys(float *to, const uint8_t *block, uint32_t dim, int type) {
    if (type == LLMC_KV_Q8_0) {
        for (uint32_t d = 0; d < dim; d += LLMC_KV_Q8_DIMS) {
            dequantize_keys(to + (size_t)d * LLMC_KV_GROUP, (const int8_t *)block + (size_t)d * LLMC_KV_PAGE,
                            key_scales(block, dim) + d / LLMC_KV_Q8_DIMS * LLMC_KV_PAGE);
        }
        return;
    }
    int half = type == LLMC_KV_F16;
    size_t bytes = LLMC_KV_PAGE * (half ? 2u : 4u);
    for (uint32_t d = 0; d < dim; d++) widen(to + (size_t)d * LLMC_KV_GROUP, block + d * bytes, LLMC_KV_PAGE, half);
}

/* Keys of the pages in which the group's first n_positions lie. */
static void widen_keys(const walk *w, uint32_t group, uint32_t n_positions) {
    const llmc_attention_job *job = w->job;
    for (uint32_t page = 0; page * LLMC_KV_PAGE < n_positions; page++) {
        widen_page_keys(w->k + page * LLMC_KV_PAGE, block_of(job, group * 4 + page), job->head_dim, job->type);
    }
}

/* The first `rows` values of a page; rows of `to` are to_stride apart. */
static inline void widen_page_values(float *to, uint32_t to_stride, const uint8_t *block, uint32_t rows, uint32_t dim,
                                     int type) {
    if (type == LLMC_KV_Q8_0) {
        const int8_t *from = (const int8_t *)block + (size_t)LLMC_KV_PAGE * dim;
        for (uint32_t d = 0; d < dim; d += LLMC_KV_Q8_DIMS) {
            const uint16_t *scales = value_scales(block, dim) + d / LLMC_KV_Q8_DIMS * LLMC_KV_PAGE;
            dequantize_values(to + d, to_stride, from + d, dim, rows, scales);
        }
        return;
    }
    int half = type == LLMC_KV_F16;
    const uint8_t *from = block + (size_t)LLMC_KV_PAGE * dim * (half ? 2 : 4);
    for (uint32_t row = 0; row < rows; row++, to += to_stride, from += (size_t)dim * (half ? 2 : 4)) {
        widen(to, from, dim, half);
        for (uint32_t d = dim; d < to_stride; d++) to[d] = 0.0f;
    }
}

/* Values of exactly the group's first n_positions. */
static void widen_values(const walk *w, uint32_t group, uint32_t n_positions, float *to) {
    const llmc_attention_job *job = w->job;
    for (uint32_t begin = 0; begin < n_positions; begin += LLMC_KV_PAGE) {
        widen_page_values(to + (size_t)begin * w->dim, w->dim, block_of(job, group * 4 + begin / LLMC_KV_PAGE),
                          least(LLMC_KV_PAGE, n_positions - begin), job->head_dim, job->type);
    }
}

static void tile_scores(const walk *w, const tile_place *at, uint32_t n_vectors) {
    const llmc_attention_job *job = w->job;
    int in_place = at->how == IN_PLACE;
    const void *columns[4];
    for (uint32_t i = 0; i < n_vectors; i++) {
        columns[i] = in_place ? (const void *)block_of(job, at->group * 4 + i) : (const void *)(w->k + i * LLMC_KV_PAGE);
    }
    product(w->q + (size_t)at->first * job->head_dim, job->head_dim, at->n, columns, in_place ? LLMC_KV_PAGE : LLMC_KV_GROUP,
            in_place && job->type == LLMC_KV_F16, job->head_dim, w->p, LLMC_KV_GROUP, n_vectors, 0);
}

/* o (n - row, dim) = or += p (n - row, n_positions) . v, from position `begin` of the group on; at most to the end of a page
 * where pages are read in place. */
static void tile_values(const walk *w, const tile_place *at, uint32_t row, uint32_t begin, uint32_t n_positions) {
    const llmc_attention_job *job = w->job;
    int in_place = at->how == IN_PLACE, half = in_place && job->type == LLMC_KV_F16;
    size_t size = half ? 2 : 4;
    const uint8_t *v = (const uint8_t *)(at->v + (size_t)begin * w->dim);
    if (in_place) {
        const uint8_t *block = block_of(job, at->group * 4 + begin / LLMC_KV_PAGE);
        v = block + (size_t)(LLMC_KV_PAGE + begin % LLMC_KV_PAGE) * job->head_dim * size;
    }
    const float *p = w->p + (size_t)row * LLMC_KV_GROUP + begin;
    float *o = at->o + row * at->o_stride;
    for (uint32_t d = 0; d < w->dim; d += 64) {
        const void *columns[4];
        uint32_t n_vectors = least(4, (w->dim - d) / 16);
        for (uint32_t i = 0; i < n_vectors; i++) columns[i] = v + (d + 16 * (size_t)i) * size;
        product(p, LLMC_KV_GROUP, at->n - row, columns, w->dim, half, n_positions, o + d, at->o_stride, n_vectors, begin > 0);
    }
}

/* The values of positions [begin, end) of the group for the tile's queries from `row` on. */
static void tile_value_range(const walk *w, const tile_place *at, uint32_t row, uint32_t begin, uint32_t end) {
    while (begin < end) {
        uint32_t stop = at->how == IN_PLACE ? least(end, (begin / LLMC_KV_PAGE + 1) * LLMC_KV_PAGE) : end;
        tile_values(w, at, row, begin, stop - begin);
        begin = stop;
    }
}

static void cap_scores(const walk *w, const tile_place *at, uint32_t n_scores) {
    float cap = w->job->soft_cap, factor = w->job->scale / cap;
    for (uint32_t i = 0; i < at->n; i++) {
        float *s = w->p + (size_t)i * LLMC_KV_GROUP;
        for (uint32_t j = 0; j < n_scores; j++) s[j] = cap * llmc_tanhf(s[j] * factor);
    }
}

/* ALiBi: what is far counts less. */
static void bias_scores(const walk *w, const tile_place *at, uint32_t n_scores) {
    for (uint32_t i = 0; i < at->n; i++) {
        float *s = w->p + (size_t)i * LLMC_KV_GROUP, slope = w->job->slope[at->first + i];
        int32_t distance = (int32_t)(w->job->own[at->first + i] - at->group * LLMC_KV_GROUP);
        for (uint32_t j = 0; j < n_scores; j++) { s[j] = s[j] * w->job->scale - slope * fabsf((float)(distance - (int32_t)j)); }
    }
}

/* What a window hides gets a score whose exp is 0 beside any other. */
static void hide_scores(const walk *w, const tile_place *at) {
    for (uint32_t i = 0; i < at->n; i++) {
        uint32_t n = hidden(w, at->first + i, at->group);
        for (uint32_t j = 0; j < n; j++) w->p[(size_t)i * LLMC_KV_GROUP + j] = HIDDEN_SCORE;
    }
}

/* m, l and o of one group for one tile. Values are read up to each query's own position only: what lies behind it may be
 * another call's, or not a number. So later positions are for ever fewer rows. */
static void tile_group(const walk *w, tile_place *at) {
    uint32_t n_valid[TILE];
    for (uint32_t i = 0; i < at->n; i++) n_valid[i] = visible(w, at->first + i, at->group);
    uint32_t all = n_valid[at->n - 1], n_vectors = (all + LLMC_KV_PAGE - 1) / LLMC_KV_PAGE;
    tile_scores(w, at, n_vectors);
    int capped = w->job->soft_cap > 0, scaled = capped || w->job->has_slopes;
    if (capped) cap_scores(w, at, n_vectors * LLMC_KV_PAGE);
    if (w->job->has_slopes) bias_scores(w, at, n_vectors * LLMC_KV_PAGE);
    if (w->job->windowed) hide_scores(w, at);
    softmax_rows(w->p, at->n, n_valid, n_vectors, scaled ? 1.0f : w->job->scale, at->m, at->l);
    if (at->how == IN_TURN) widen_values(w, at->group, all, at->v);
    for (uint32_t row = 0, begin = 0; row < at->n;) {
        uint32_t end = n_valid[row];
        tile_value_range(w, at, row, begin, end);
        begin = end;
        while (row < at->n && n_valid[row] == end) row++;
    }
}

/* (M, L, O) and (m, l, o) into (M, L, O): both scaled to the larger maximum. factor: exp(M - M'), then exp(m - M'). */
static void fold_row(float *sum, float *output, float l, const float *o, const float factor[2], uint32_t dim) {
    *sum = fmaf(*sum, factor[0], l * factor[1]);
    fold_output(output, factor[0], o, factor[1], dim);
}

static void fold_tile(const walk *w, const tile_place *at) {
    float old[16], added[16];
    fold_factors(w->maximum + at->first, at->m, at->n, old, added);
    for (uint32_t i = 0; i < at->n; i++) {
        const float factor[2] = {old[i], added[i]};
        fold_row(w->sum + at->first + i, w->output + (size_t)(at->first + i) * w->dim, at->l[i], at->o + i * at->o_stride,
                 factor, w->dim);
    }
}

/* The first group's result is the state: it goes to its place at once. With a window queries begin in different groups, and from
 * the empty state. */
static void attend_tile(const walk *w, tile_place *at) {
    int begins = at->group == 0 && !w->job->windowed;
    at->o = begins ? w->output + (size_t)at->first * w->dim : w->o;
    at->o_stride = w->dim;
    tile_group(w, at);
    if (!begins) {
        fold_tile(w, at);
        return;
    }
    memcpy(w->maximum + at->first, at->m, at->n * sizeof(float));
    memcpy(w->sum + at->first, at->l, at->n * sizeof(float));
}

/* sink: NULL, or a score that adds to the sum alone. */
static void finish_row(const float *output, float maximum, float sum, const float *sink, uint32_t head_dim, float *out) {
    float factor = 1.0f / sum;
    if (sink) {
        float larger = maximum > *sink ? maximum : *sink, old = llmc_expf(maximum - larger);
        factor = old / fmaf(sum, old, llmc_expf(*sink - larger));
    }
    for (uint32_t d = 0; d < head_dim; d++) out[d] = output[d] * factor;
}

/* Asks for the blocks of a page ahead of their use: pages lie far apart, where no hardware prefetcher follows. */
static void prefetch_group(const llmc_attention_job *job, uint32_t group, uint32_t n_positions) {
    size_t bytes = llmc_kv_block_bytes(job->head_dim, job->type);
    for (uint32_t page = group * 4; page < group * 4 + 4 && page * LLMC_KV_PAGE < n_positions; page++) {
        const uint8_t *block = block_of(job, page);
        for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(block + i, 0, 2);
    }
}

static reading reading_of(const llmc_attention_job *job, uint32_t n_queries) {
    if (n_queries > TILE) return WIDENED;
    return job->head_dim % 16 != 0 || job->type == LLMC_KV_Q8_0 ? IN_TURN : IN_PLACE;
}

/* Brings a group into the form in which the tiles of queries first_query .. n - 1 read it: a place for them. */
static tile_place group_begin(const walk *w, uint32_t group, uint32_t first_query, uint32_t n) {
    tile_place at = {.group = group, .how = reading_of(w->job, n - first_query)};
    at.v = at.how == WIDENED ? w->v : w->k;
    if (at.how != IN_PLACE) widen_keys(w, group, visible(w, n - 1, group));
    if (at.how == WIDENED) widen_values(w, group, visible(w, n - 1, group), at.v);
    return at;
}

/* Queries first_query .. end - 1 are those that see something of the group. */
static void attend_group(const walk *w, uint32_t group, uint32_t first_query, uint32_t n) {
    const llmc_attention_job *job = w->job;
    prefetch_group(job, group + 1, job->position[n - 1] + 1);
    tile_place at = group_begin(w, group, first_query, n);
    for (at.first = first_query; at.first < n; at.first += TILE) {
        at.n = least(TILE, n - at.first);
        attend_tile(w, &at);
    }
}

/* M = -infinity, L = 0, O = 0: folding a group into it gives the group's own m, l and o. */
static void empty_states(const walk *w) {
    uint32_t n = w->job->n_queries;
    for (uint32_t i = 0; i < n; i++) w->maximum[i] = -INFINITY, w->sum[i] = 0.0f;
    memset(w->output, 0, (size_t)n * w->dim * sizeof(float));
}

static void attend(const llmc_attention_job *job, void *scratch) {
    if (job->n_queries == 0) return;
    walk w = walk_begin(job, scratch);
    uint32_t n = job->n_queries, first_query = 0, end = job->windowed ? 0 : n;
    if (job->windowed) empty_states(&w);
    uint32_t group = job->windowed ? job->first[0] / LLMC_KV_GROUP : 0;
    for (; group <= job->position[n - 1] / LLMC_KV_GROUP; group++) {
        while (job->position[first_query] < group * LLMC_KV_GROUP) first_query++;
        while (end < n && job->first[end] / LLMC_KV_GROUP <= group) end++;
        if (first_query < end) attend_group(&w, group, first_query, end);
    }
    for (uint32_t i = 0; i < n; i++) {
        finish_row(w.output + (size_t)i * w.dim, w.maximum[i], w.sum[i], job->has_sinks ? &job->sink[i] : NULL, job->head_dim,
                   job->out[i]);
    }
}

static void partial_group(const walk *w, uint32_t group, float *rows) {
    const llmc_attention_job *job = w->job;
    size_t stride = llmc_attention_partial_floats(job->head_dim);
    tile_place at = group_begin(w, group, 0, job->n_queries);
    for (at.first = 0; at.first < job->n_queries; at.first += TILE) {
        at.n = least(TILE, job->n_queries - at.first);
        at.o = rows + at.first * stride;
        at.o_stride = stride;
        tile_group(w, &at);
        for (uint32_t j = 0; j < at.n; j++) {
            at.o[j * stride + w->dim] = at.m[j];
            at.o[j * stride + w->dim + 1] = at.l[j];
        }
    }
}

static void groups(const llmc_attention_job *job, uint32_t first, uint32_t end, float *partial, void *scratch) {
    walk w = walk_begin(job, scratch);
    for (uint32_t group = first; group < end; group++) {
        if (group + 1 < end) prefetch_group(job, group + 1, job->position[job->n_queries - 1] + 1);
        partial_group(&w, group, partial + (group - first) * job->n_queries * llmc_attention_partial_floats(job->head_dim));
    }
}

static void fold(float *partial, size_t stride, uint32_t n_groups, uint32_t head_dim, const float *sink, float *out) {
    uint32_t dim = round16(head_dim);
    float maximum = partial[dim], sum = partial[dim + 1];
    for (uint32_t group = 1; group < n_groups; group++) {
        const float *row = partial + group * stride;
        float m = row[dim], larger = maximum > m ? maximum : m;
        const float factor[2] = {llmc_expf(maximum - larger), llmc_expf(m - larger)};
        fold_row(&sum, partial, row[dim + 1], row, factor, dim);
        maximum = larger;
    }
    finish_row(partial, maximum, sum, sink, head_dim, out);
}

/* --- storing --- */

/* Quants of 32 numbers; their scale, an f16, comes back. What is not finite leaves a scale that is not, and quants of 0. */
static uint16_t quantize(const float *x, int8_t *q) {
    uint32_t largest = 0;
    for (int i = 0; i < LLMC_KV_Q8_DIMS; i++) {
        uint32_t bits = llmc_f32_bits(x[i]) & 0x7fffffffu;
        largest = bits > largest ? bits : largest;
    }
    uint16_t scale = llmc_f32_to_f16(llmc_f32_from_bits(largest) / 127.0f);
    float d = llmc_f16_to_f32(scale), inverse = d != 0.0f ? 1.0f / d : 0.0f;
    for (int i = 0; i < LLMC_KV_Q8_DIMS; i++) {
        float y = x[i] * inverse;
        y = y > 127.0f ? 127.0f : y;
        y = y < -127.0f ? -127.0f : y;
        q[i] = (int8_t)rintf(y == y ? y : 0.0f);
    }
    return scale;
}

static void store_q8_0(uint8_t *block, uint32_t head_dim, uint32_t slot, const float *k, const float *v) {
    uint32_t n_scales = head_dim / LLMC_KV_Q8_DIMS;
    uint16_t *scales = (uint16_t *)(void *)(block + (size_t)2 * LLMC_KV_PAGE * head_dim);
    for (uint32_t i = 0; i < n_scales; i++) {
        int8_t keys[LLMC_KV_Q8_DIMS];
        scales[i * LLMC_KV_PAGE + slot] = quantize(k + i * LLMC_KV_Q8_DIMS, keys);
        uint8_t *to = block + (size_t)i * LLMC_KV_Q8_DIMS * LLMC_KV_PAGE + slot;
        for (int d = 0; d < LLMC_KV_Q8_DIMS; d++) to[d * LLMC_KV_PAGE] = (uint8_t)keys[d];
    }
    int8_t *to = (int8_t *)block + (size_t)(LLMC_KV_PAGE + slot) * head_dim;
    scales += n_scales * LLMC_KV_PAGE;
    for (uint32_t i = 0; i < n_scales; i++) {
        scales[i * LLMC_KV_PAGE + slot] = quantize(v + i * LLMC_KV_Q8_DIMS, to + i * LLMC_KV_Q8_DIMS);
    }
}

static void store_f32(uint8_t *block, uint32_t head_dim, uint32_t slot, const float *k, const float *v) {
    float *to = (float *)(void *)block;
    for (uint32_t d = 0; d < head_dim; d++) to[d * LLMC_KV_PAGE + slot] = k[d];
    memcpy(to + (size_t)(LLMC_KV_PAGE + slot) * head_dim, v, head_dim * sizeof(float));
}

static void store_f16(uint8_t *block, uint32_t head_dim, uint32_t slot, const float *k, const float *v) {
    uint16_t *to = (uint16_t *)(void *)block;
    for (uint32_t begin = 0; begin < head_dim; begin += 64) {
        uint16_t keys[64];
        uint32_t n = least(64, head_dim - begin);
        narrow(keys, k + begin, n);
        for (uint32_t d = 0; d < n; d++) to[(begin + d) * LLMC_KV_PAGE + slot] = keys[d];
    }
    narrow(to + (size_t)(LLMC_KV_PAGE + slot) * head_dim, v, head_dim);
}

static void store(uint8_t *block, int type, uint32_t head_dim, uint32_t slot, const float *k, const float *v) {
    if (type == LLMC_KV_Q8_0) store_q8_0(block, head_dim, slot, k, v);
    else if (type == LLMC_KV_F16) store_f16(block, head_dim, slot, k, v);
    else store_f32(block, head_dim, slot, k, v);
}
