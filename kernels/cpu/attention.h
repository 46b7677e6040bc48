/* Attention over paged keys and values, and the layout of a page. Exact definition: kernels/README.md.
 *
 * A page holds 16 positions. Its block for one layer and KV head is K as (head_dim, 16), so that the lanes of a vector are keys
 * and q . k needs no sum across lanes, then V as (16, head_dim); f16, f32 or q8_0. A query walks its positions in groups of 64 (4
 * pages) that begin at absolute positions 0, 64, 128, ...; each group has its own maximum m, sum l and output o, and the groups
 * are folded in rising order into a running (M, L, O). A group's result depends on the query and the group alone.
 *
 * q8_0: K and V as bytes in the same order, then the f16 scales of K as (head_dim / 32, 16), then those of V likewise; head_dim
 * is a multiple of 32. */
#ifndef LLMC_ATTENTION_H
#define LLMC_ATTENTION_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cpu/cpu.h"
#include "kernels/kv_type.h"

enum { LLMC_KV_PAGE = 16, LLMC_KV_GROUP = 64, LLMC_ATTENTION_QUERIES = 96 };

/* Bytes of one layer and KV head in a page: K, then V, then the scales of q8_0. */
static inline size_t llmc_kv_block_bytes(uint32_t head_dim, int type) {
    size_t elements = (size_t)2 * LLMC_KV_PAGE * head_dim;
    if (type == LLMC_KV_Q8_0) return elements + elements / LLMC_KV_Q8_DIMS * 2;
    return elements * (type == LLMC_KV_F16 ? 2 : 4);
}

/* Up to LLMC_ATTENTION_QUERIES rows that read the same KV head of the same sequence. */
typedef struct llmc_attention_job {
    uint32_t head_dim;
    int type; /* LLMC_KV_* */
    float scale;
    uint32_t n_queries;
    const float *q[LLMC_ATTENTION_QUERIES];    /* (head_dim) each */
    float *out[LLMC_ATTENTION_QUERIES];        /* (head_dim) each */
    uint32_t position[LLMC_ATTENTION_QUERIES]; /* never falling; query i sees positions 0 .. position[i] */
    int windowed;
    uint32_t first[LLMC_ATTENTION_QUERIES]; /* windowed: of them only first[i] .. position[i]; never falling */
    float soft_cap;                         /* 0, or scores become soft_cap * tanh(scale * q . k / soft_cap) */
    int has_slopes;
    float slope[LLMC_ATTENTION_QUERIES]; /* has_slopes: scores become scale * q . k - slope * |own - j| (ALiBi) */
    uint32_t own[LLMC_ATTENTION_QUERIES];
    int has_sinks;
    float sink[LLMC_ATTENTION_QUERIES]; /* with has_sinks: one more score, of no value, under the softmax */
    const uint32_t *pages;              /* page of position p is pages[p / 16] */
    const uint8_t *base;                /* block of page n: base + n * page_bytes */
    size_t page_bytes;
} llmc_attention_job;

typedef struct llmc_attention_kernels {
    /* out = softmax(scale * q . k) . v of every query. scratch: llmc_attention_scratch_bytes, 64-byte aligned. */
    void (*attend)(const llmc_attention_job *job, void *scratch);
    /* The results of groups [first, end) alone, not folded: partial[(g - first) * n_queries + i] is a row of
     * llmc_attention_partial_floats: o (head_dim, padded), m, l. Every query must reach into group end - 1. */
    void (*groups)(const llmc_attention_job *job, uint32_t first, uint32_t end, float *partial, void *scratch);
    /* Folds rows made by `groups`, for all groups that one query sees; row i of them is at partial + i * stride floats. sink:
     * the query's, or NULL. The same bits as attend. The rows are used up. */
    void (*fold)(float *partial, size_t stride, uint32_t n_groups, uint32_t head_dim, const float *sink, float *out);
    /* K and V (head_dim) of one position into slot (0 .. 15) of a block. */
    void (*store)(uint8_t *block, int type, uint32_t head_dim, uint32_t slot, const float *k, const float *v);
} llmc_attention_kernels;

size_t llmc_attention_scratch_bytes(uint32_t head_dim);

static inline size_t llmc_attention_partial_floats(uint32_t head_dim) { /* a multiple of 16 */
    return (((size_t)head_dim + 15) & ~(size_t)15) + 16;
}

/* Equal bits on every tier. */
void llmc_attention_kernels_init(llmc_attention_kernels *kernels, llmc_cpu_tier tier);

void llmc_attention_kernels_avx2(llmc_attention_kernels *kernels);
void llmc_attention_kernels_avx512(llmc_attention_kernels *kernels);

#endif
