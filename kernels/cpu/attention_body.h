/* The walk of attention over groups, tiles of queries and pages: one text for every tier. A tier defines, before including it,
 *   TILE           queries a tile, at most 16
 *   product        c (m, 16 n) = or += a (m, k) . b (k, 16 n): every element is one chain of fma over k, from 0 or from c.
 *                  Column block v of b begins at b[v] and its rows are b_stride elements apart, f16 if half.
 *   softmax_row    s (64) -> p in place: scale, maximum, exp, sum over the first n_valid of 16 n_vectors scores
 *   exp_row        exp of n <= 16 floats
 *   widen          n floats from f16
 *   narrow         n f16 from floats
 * and afterwards fills its table from attend, groups, fold, store. */
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

/* One group of one tile of queries. */
typedef struct tile_place {
    uint32_t group;
    uint32_t first; /* query */
    uint32_t n;     /* queries */
    int widened;    /* the group is in walk.k and walk.v */
    float *o;       /* (n, o_stride) */
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

/* Brings a group's n_positions into floats: worth it when several tiles read them, and where head_dim is not whole vectors. */
static void widen_group(const walk *w, uint32_t group, uint32_t n_positions) {
    const llmc_attention_job *job = w->job;
    uint32_t dim = job->head_dim;
    size_t size = job->half ? 2 : 4;
    for (uint32_t page = 0; page * LLMC_KV_PAGE < n_positions; page++) {
        const uint8_t *k = block_of(job, group * 4 + page);
        const uint8_t *v = k + LLMC_KV_PAGE * dim * size;
        uint32_t rows = least(LLMC_KV_PAGE, n_positions - page * LLMC_KV_PAGE);
        for (uint32_t d = 0; d < dim; d++) {
            widen(w->k + (size_t)d * LLMC_KV_GROUP + page * LLMC_KV_PAGE, k + d * LLMC_KV_PAGE * size, LLMC_KV_PAGE, job->half);
        }
        for (uint32_t row = 0; row < rows; row++) {
            float *to = w->v + ((size_t)page * LLMC_KV_PAGE + row) * w->dim;
            widen(to, v + (size_t)row * dim * size, dim, job->half);
            for (uint32_t d = dim; d < w->dim; d++) to[d] = 0.0f;
        }
    }
}

static void tile_scores(const walk *w, const tile_place *at, uint32_t n_vectors) {
    const llmc_attention_job *job = w->job;
    const void *columns[4];
    for (uint32_t i = 0; i < n_vectors; i++) {
        columns[i] = at->widened ? (const void *)(w->k + i * LLMC_KV_PAGE) : (const void *)block_of(job, at->group * 4 + i);
    }
    product(w->q + (size_t)at->first * job->head_dim, job->head_dim, at->n, columns, at->widened ? LLMC_KV_GROUP : LLMC_KV_PAGE,
            !at->widened && job->half, job->head_dim, w->p, LLMC_KV_GROUP, n_vectors, 0);
}

/* o (n, dim) = or += p (n, n_positions) . v, from position `begin` of the group on; at most to the end of a page if the group
 * was not widened. */
static void tile_values(const walk *w, const tile_place *at, const float *p, uint32_t n, uint32_t begin, uint32_t n_positions,
                        float *o, int add) {
    const llmc_attention_job *job = w->job;
    int half = !at->widened && job->half;
    size_t size = half ? 2 : 4;
    const uint8_t *v = (const uint8_t *)(w->v + (size_t)begin * w->dim);
    if (!at->widened) {
        const uint8_t *block = block_of(job, at->group * 4 + begin / LLMC_KV_PAGE);
        v = block + ((size_t)LLMC_KV_PAGE * job->head_dim + (size_t)(begin % LLMC_KV_PAGE) * job->head_dim) * size;
    }
    for (uint32_t d = 0; d < w->dim; d += 64) {
        const void *columns[4];
        uint32_t n_vectors = least(4, (w->dim - d) / 16);
        for (uint32_t i = 0; i < n_vectors; i++) columns[i] = v + (d + 16 * (size_t)i) * size;
        product(p + begin, LLMC_KV_GROUP, n, columns, w->dim, half, n_positions, o + d, at->o_stride, n_vectors, add);
    }
}

/* The values of positions [begin, end) of the group; a page at a time where pages are read in place. */
static void tile_value_range(const walk *w, const tile_place *at, const float *p, uint32_t n, uint32_t begin, uint32_t end,
                             float *o) {
    while (begin < end) {
        uint32_t stop = at->widened ? end : least(end, (begin / LLMC_KV_PAGE + 1) * LLMC_KV_PAGE);
        tile_values(w, at, p, n, begin, stop - begin, o, begin > 0);
        begin = stop;
    }
}

/* m, l and o of one group for one tile. Values are read up to each query's own position only: what lies behind it may be
 * another call's, or not a number. */
static void tile_group(const walk *w, tile_place *at) {
    uint32_t common = visible(w, at->first, at->group);
    uint32_t all = visible(w, at->first + at->n - 1, at->group);
    uint32_t n_vectors = (all + LLMC_KV_PAGE - 1) / LLMC_KV_PAGE;
    tile_scores(w, at, n_vectors);
    for (uint32_t i = 0; i < at->n; i++) {
        uint32_t n_valid = visible(w, at->first + i, at->group);
        softmax_row(w->p + (size_t)i * LLMC_KV_GROUP, n_valid, n_vectors, w->job->scale, &at->m[i], &at->l[i]);
    }
    tile_value_range(w, at, w->p, at->n, 0, common, at->o);
    for (uint32_t i = 0; i < at->n && common < all; i++) {
        tile_value_range(w, at, w->p + (size_t)i * LLMC_KV_GROUP, 1, common, visible(w, at->first + i, at->group),
                         at->o + i * at->o_stride);
    }
}

/* (M, L, O) and (m, l, o) into (M, L, O): both scaled to the larger maximum. factor: exp(M - M'), then exp(m - M'). */
static void fold_row(float *sum, float *output, float l, const float *o, const float factor[2], uint32_t dim) {
    float a = factor[0], b = factor[1];
    *sum = fmaf(*sum, a, l * b);
    for (uint32_t d = 0; d < dim; d++) output[d] = fmaf(output[d], a, o[d] * b);
}

static void fold_tile(const walk *w, const tile_place *at) {
    float old_gap[16], new_gap[16];
    float *maximum = w->maximum + at->first;
    for (uint32_t i = 0; i < at->n; i++) {
        float larger = maximum[i] > at->m[i] ? maximum[i] : at->m[i];
        old_gap[i] = maximum[i] - larger;
        new_gap[i] = at->m[i] - larger;
        maximum[i] = larger;
    }
    exp_row(old_gap, at->n);
    exp_row(new_gap, at->n);
    for (uint32_t i = 0; i < at->n; i++) {
        const float factor[2] = {old_gap[i], new_gap[i]};
        fold_row(w->sum + at->first + i, w->output + (size_t)(at->first + i) * w->dim, at->l[i], at->o + i * at->o_stride,
                 factor, w->dim);
    }
}

/* The first group's result is the state: it goes to its place at once. */
static void attend_tile(const walk *w, tile_place *at) {
    int begins = at->group == 0;
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

static void finish_row(const float *output, float sum, uint32_t head_dim, float *out) {
    float factor = 1.0f / sum;
    for (uint32_t d = 0; d < head_dim; d++) out[d] = output[d] * factor;
}

/* Asks for the blocks of a page ahead of their use: pages lie far apart, where no hardware prefetcher follows. */
static void prefetch_group(const llmc_attention_job *job, uint32_t group, uint32_t n_positions) {
    size_t bytes = llmc_kv_block_bytes(job->head_dim, job->half);
    for (uint32_t page = group * 4; page < group * 4 + 4 && page * LLMC_KV_PAGE < n_positions; page++) {
        const uint8_t *block = block_of(job, page);
        for (size_t i = 0; i < bytes; i += 64) __builtin_prefetch(block + i, 0, 2);
    }
}

static void attend_group(walk *w, uint32_t group, uint32_t first_query) {
    const llmc_attention_job *job = w->job;
    uint32_t n = job->n_queries;
    int widened = n - first_query > TILE || job->head_dim % 16 != 0;
    prefetch_group(job, group + 1, job->position[n - 1] + 1);
    if (widened) widen_group(w, group, visible(w, n - 1, group));
    for (uint32_t i = first_query; i < n; i += TILE) {
        tile_place at = {.group = group, .first = i, .n = least(TILE, n - i), .widened = widened};
        attend_tile(w, &at);
    }
}

static void attend(const llmc_attention_job *job, void *scratch) {
    if (job->n_queries == 0) return;
    walk w = walk_begin(job, scratch);
    uint32_t first_query = 0;
    for (uint32_t group = 0; group <= job->position[job->n_queries - 1] / LLMC_KV_GROUP; group++) {
        while (job->position[first_query] < group * LLMC_KV_GROUP) first_query++;
        attend_group(&w, group, first_query);
    }
    for (uint32_t i = 0; i < job->n_queries; i++) {
        finish_row(w.output + (size_t)i * w.dim, w.sum[i], job->head_dim, job->out[i]);
    }
}

static void partial_group(const walk *w, uint32_t group, float *rows) {
    const llmc_attention_job *job = w->job;
    size_t stride = llmc_attention_partial_floats(job->head_dim);
    int widened = job->n_queries > TILE || job->head_dim % 16 != 0;
    if (widened) widen_group(w, group, visible(w, job->n_queries - 1, group));
    for (uint32_t i = 0; i < job->n_queries; i += TILE) {
        tile_place at = {.group = group, .first = i, .n = least(TILE, job->n_queries - i), .widened = widened};
        at.o = rows + i * stride;
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

static void fold(float *partial, size_t stride, uint32_t n_groups, uint32_t head_dim, float *out) {
    uint32_t dim = round16(head_dim);
    float maximum = partial[dim], sum = partial[dim + 1];
    for (uint32_t group = 1; group < n_groups; group++) {
        const float *row = partial + group * stride;
        float m = row[dim], larger = maximum > m ? maximum : m;
        const float factor[2] = {llmc_expf(maximum - larger), llmc_expf(m - larger)};
        fold_row(&sum, partial, row[dim + 1], row, factor, dim);
        maximum = larger;
    }
    finish_row(partial, sum, head_dim, out);
}

static void store(uint8_t *block, int half, uint32_t head_dim, uint32_t slot, const float *k, const float *v) {
    if (!half) {
        float *to = (float *)(void *)block;
        for (uint32_t d = 0; d < head_dim; d++) to[d * LLMC_KV_PAGE + slot] = k[d];
        memcpy(to + (size_t)(LLMC_KV_PAGE + slot) * head_dim, v, head_dim * sizeof(float));
        return;
    }
    uint16_t *to = (uint16_t *)(void *)block;
    for (uint32_t begin = 0; begin < head_dim; begin += 64) {
        uint16_t keys[64];
        uint32_t n = least(64, head_dim - begin);
        narrow(keys, k + begin, n);
        for (uint32_t d = 0; d < n; d++) to[(begin + d) * LLMC_KV_PAGE + slot] = keys[d];
    }
    narrow(to + (size_t)(LLMC_KV_PAGE + slot) * head_dim, v, head_dim);
}
