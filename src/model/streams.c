/* AltUp (Baykal et al. 2023), as Gemma 3n has it: four residual streams, of which each layer computes one. Before it every stream is
 * predicted from all of them; what the layer made of the first then corrects them all. LAuReL (Menghani et al. 2024) is a second way
 * past attention, through a matrix of low rank.
 *
 *     m = tanh(norm(s_0) / width . router^T)                                (T, 4)
 *     x_i = s_i + sum_j (m . predict^T)_ij s_j                              (T, width) each
 *     y = (x_0 + attention(x_0) + laurel(x_0)) / sqrt(2);  y += ffn(y)      laurel(x) = n + norm(n . l^T . r^T), n = norm(x)
 *     m = tanh(norm(y) / width . router^T)
 *     s_i = x_i + (y - x_0) (1 + (m . correct^T)_i)
 *     s_1, s_2, s_3 += norm((gelu(gate . (s_0 * scale)) * the layer's input) . out^T)
 */
#include <math.h>

#include "model/op_writer.h"

enum { N = LLMC_STREAMS, OTHERS = LLMC_STREAMS - 1 };

typedef struct stream_arrays {
    float *streams; /* (N, T, width) */
    float *laurel;  /* (T, width) */
    float *modes;   /* (T, N) */
    float *coefs;   /* (T, N, N) or (T, N) */
} stream_arrays;

size_t llmc_streams_floats(const llmc_hparams *h, size_t n_tokens) {
    return n_tokens * ((size_t)(N + 1) * h->width + N + N * N);
}

static stream_arrays arrays_of(const llmc_op_writer *w, uint32_t n_tokens) {
    size_t rows = n_tokens, one = rows * w->h->width;
    stream_arrays a = {.streams = w->a->streams, .laurel = w->a->streams + N * one};
    a.modes = a.laurel + one;
    a.coefs = a.modes + rows * N;
    return a;
}

static void add_copy(llmc_op_writer *w, uint32_t rows, const float *src, float *dst) {
    (void)llmc_write_norm(w, rows, w->h->width, NULL, NULL, src, dst);
}

static void add_length(llmc_op_writer *w, uint32_t rows, const float *like, float *x) {
    llmc_write_op(w, LLMC_OP_LENGTH)->u.length = (llmc_op_length){.n_rows = rows, .width = w->h->width, .like = like, .x = x};
}

/* The other streams begin, and end, as products that are as long as the first stream. */
static void add_products(llmc_op_writer *w, uint32_t rows, const float *src, size_t src_step, llmc_weight *const *weights,
                         float *dst) {
    size_t one = (size_t)rows * w->h->width;
    for (uint32_t i = 0; i < OTHERS; i++) {
        llmc_add_part(llmc_write_matmul(w, rows, w->h->width, src + i * src_step), weights[i], NULL, dst + i * one);
    }
}

void llmc_write_streams(llmc_op_writer *w, uint32_t rows) {
    stream_arrays a = arrays_of(w, rows);
    size_t one = (size_t)rows * w->h->width;
    add_copy(w, rows, w->a->x, a.streams);
    add_products(w, rows, w->a->x, 0, w->parts->weights->streams_in, a.streams + one);
    for (uint32_t i = 1; i < N; i++) add_length(w, rows, w->a->x, a.streams + i * one);
}

/* The mean of the streams, into x. */
void llmc_write_streams_end(llmc_op_writer *w, uint32_t rows) {
    stream_arrays a = arrays_of(w, rows);
    size_t one = (size_t)rows * w->h->width;
    add_products(w, rows, a.streams + one, one, w->parts->weights->streams_out, w->a->x + one);
    for (uint32_t i = 1; i < N; i++) add_length(w, rows, a.streams, w->a->x + i * one);
    llmc_write_norm(w, rows, w->h->width, NULL, NULL, a.streams, w->a->x)->scale = 1.0f / N;
    for (uint32_t i = 1; i < N; i++) {
        llmc_op_norm *add = llmc_write_norm(w, rows, w->h->width, NULL, NULL, w->a->x + i * one, w->a->x);
        add->scale = 1.0f / N;
        add->accumulate = 1;
    }
}

static void add_modes(llmc_op_writer *w, const llmc_layer *l, uint32_t rows, const float *x, const llmc_weight *coefs) {
    stream_arrays a = arrays_of(w, rows);
    llmc_write_norm(w, rows, w->h->width, l->stream_router_norm, NULL, x, w->a->normed)->scale = 1.0f / (float)w->h->width;
    llmc_add_part(llmc_write_matmul(w, rows, w->h->width, w->a->normed), l->stream_router, NULL, a.modes);
    llmc_write_op(w, LLMC_OP_SOFT_CAP)->u.soft_cap = (llmc_op_soft_cap){.n_rows = rows, .width = N, .cap = 1, .x = a.modes};
    llmc_add_part(llmc_write_matmul(w, rows, N, a.modes), coefs, NULL, a.coefs);
}

static void add_mix(llmc_op_writer *w, uint32_t rows, const float *src, const float *fresh, float *dst) {
    llmc_op_mix *op = &llmc_write_op(w, LLMC_OP_MIX)->u.mix;
    *op = (llmc_op_mix){.n_rows = rows, .width = w->h->width, .n = N, .src = src, .fresh = fresh, .dst = dst};
    op->coefs = arrays_of(w, rows).coefs;
}

static void add_laurel(llmc_op_writer *w, const llmc_layer *l, uint32_t rows, float *laurel) {
    llmc_op_matmul *m = llmc_write_matmul(w, rows, w->h->width, w->a->x);
    llmc_norm_input(w, m, l->attn_norm, NULL);
    llmc_add_part(m, l->laurel_l, NULL, w->a->gate);
    llmc_add_part(llmc_write_matmul(w, rows, LLMC_LAUREL_RANK, w->a->gate), l->laurel_r, NULL, w->a->branch);
    (void)llmc_write_norm(w, rows, w->h->width, l->laurel_norm, NULL, w->a->branch, laurel);
    llmc_write_norm(w, rows, w->h->width, l->attn_norm, NULL, w->a->x, laurel)->accumulate = 1;
}

void llmc_write_predict(llmc_op_writer *w, const llmc_layer *l, uint32_t rows) {
    stream_arrays a = arrays_of(w, rows);
    add_modes(w, l, rows, a.streams, l->stream_predict);
    add_mix(w, rows, a.streams, NULL, w->a->x);
    add_laurel(w, l, rows, a.laurel);
    add_copy(w, rows, w->a->x, w->a->sum);
}

void llmc_write_laurel_sum(llmc_op_writer *w, uint32_t rows) {
    llmc_write_norm(w, rows, w->h->width, NULL, NULL, arrays_of(w, rows).laurel, w->a->sum)->accumulate = 1;
    llmc_write_norm(w, rows, w->h->width, NULL, NULL, w->a->sum, w->a->sum)->scale = 1 / sqrtf(2);
}

void llmc_write_sparse(llmc_op_writer *w, uint32_t rows, uint32_t width, float *x) {
    const float factor = 1.6448533535003662f; /* of a normal distribution 5% are above it */
    llmc_write_op(w, LLMC_OP_SPARSE)->u.sparse = (llmc_op_sparse){.n_rows = rows, .width = width, .factor = factor, .x = x};
}

void llmc_write_correct(llmc_op_writer *w, const llmc_layer *l, uint32_t layer, uint32_t rows) {
    stream_arrays a = arrays_of(w, rows);
    uint32_t width = w->h->width;
    add_modes(w, l, rows, w->a->sum, l->stream_correct);
    add_mix(w, rows, w->a->x, w->a->sum, a.streams);
    llmc_write_norm(w, rows, width, NULL, NULL, a.streams, w->a->normed)->weight = l->stream_scale;
    llmc_write_layer_input(w, l, layer, rows, w->a->normed);
    for (uint32_t i = 1; i < N; i++) {
        float *stream = a.streams + (size_t)i * rows * width;
        llmc_write_norm(w, rows, width, l->embedding_norm, NULL, w->a->branch, stream)->accumulate = 1;
    }
}
