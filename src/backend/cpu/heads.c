/* Latent attention's own operations: a matrix for every head, and keys and values out of the latent vector. */
#include <string.h>

#include "backend/cpu/backend.h"

/* Rows of one head, prepared and multiplied by one thread in its own memory. */
static void multiply_rows(const llmc_cpu_thread *thread, const llmc_op_heads *op, llmc_cpu_rows *rows, uint32_t head,
                          uint32_t begin, uint32_t end) {
    const llmc_packed *packed = &op->weights[head]->packed;
    llmc_cpu_rows_place(rows, thread->act, end - begin);
    for (uint32_t row = begin; row < end; row++) {
        const float *x = op->src + ((size_t)row * op->n_heads + head) * op->src_stride;
        llmc_cpu_rows_quantize(thread, rows, x, op->width, row - begin);
    }
    llmc_cpu_product product = {.packed = packed, .rows = rows, .n = end - begin, .tile_end = llmc_cpu_tiles(packed)};
    product.dst = op->dst + ((size_t)begin * op->n_heads + head) * op->dst_stride;
    product.dst_stride = (size_t)op->n_heads * op->dst_stride;
    llmc_cpu_multiply(thread, &product);
}

void llmc_cpu_heads(const llmc_cpu_thread *thread, const llmc_op_heads *op) {
    llmc_cpu_rows rows = {0};
    llmc_cpu_rows_add(&rows, llmc_act_form_of(&thread->backend->matmul, op->weights[0]->packed.type), op->width);
    uint32_t fit = (uint32_t)(thread->backend->scratch.private_act_bytes / llmc_cpu_rows_bytes(&rows));
    uint32_t step = llmc_cpu_min(fit, 64), n_chunks = (op->n_rows + step - 1) / step;
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, op->n_heads * n_chunks);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        uint32_t begin = unit % n_chunks * step;
        multiply_rows(thread, op, &rows, unit / n_chunks, begin, llmc_cpu_min(op->n_rows, begin + step));
    }
}

static void split_row(const llmc_cpu_thread *thread, const llmc_op_split_latent *op, uint32_t row) {
    uint32_t dim = op->rank + op->n_rot;
    const float *kv = op->kv + (size_t)row * dim;
    float *k = op->k + (size_t)row * dim, *v = op->v + (size_t)row * dim;
    thread->backend->norm.rms_norm(kv, op->norm, op->rank, op->eps, v);
    memset(v + op->rank, 0, op->n_rot * sizeof *v);
    memcpy(k, kv + op->rank, op->n_rot * sizeof *k);
    memcpy(k + op->n_rot, v, op->rank * sizeof *k);
    for (uint32_t head = 0; head < op->n_heads; head++) {
        const float *from = op->heads + ((size_t)row * op->n_heads + head + 1) * op->key_length - op->n_rot;
        memcpy(op->q + ((size_t)row * op->n_heads + head) * dim, from, op->n_rot * sizeof *from);
    }
}

void llmc_cpu_split_latent(const llmc_cpu_thread *thread, const llmc_op_split_latent *op) {
    uint32_t begin, end;
    llmc_cpu_share(thread, op->n_rows, &begin, &end);
    for (uint32_t row = begin; row < end; row++) split_row(thread, op, row);
}
