/* Operations on residual streams (AltUp), and on whole rows: their lengths, and what of them stands out. */
#include <math.h>

#include "backend/cpu/backend.h"

/* In a fixed order, in doubles. */
static double sum_of(const float *x, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += (double)x[i];
    return sum;
}

static double squares_of(const float *x, uint32_t n, double mean) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += ((double)x[i] - mean) * ((double)x[i] - mean);
    return sum;
}

static void mix_row(const llmc_op_mix *op, uint32_t row) {
    size_t one = (size_t)op->n_rows * op->width, at = (size_t)row * op->width;
    const float *src = op->src + at, *fresh = op->fresh ? op->fresh + at : NULL;
    for (uint32_t s = 0; s < op->n; s++) {
        float *dst = op->dst + s * one + at;
        const float *coefs = op->coefs + ((size_t)row * op->n + s) * (fresh ? 1 : op->n);
        for (uint32_t i = 0; i < op->width; i++) {
            float added = fresh ? (fresh[i] - src[i]) * (1.0f + coefs[0]) : 0.0f;
            for (uint32_t j = 0; !fresh && j < op->n; j++) added += coefs[j] * src[j * one + i];
            dst[i] = src[s * one + i] + added;
        }
    }
}

void llmc_cpu_mix(const llmc_cpu_thread *thread, const llmc_op_mix *op) {
    uint32_t begin, end;
    llmc_cpu_share(thread, op->n_rows, &begin, &end);
    for (uint32_t row = begin; row < end; row++) mix_row(op, row);
}

void llmc_cpu_length(const llmc_cpu_thread *thread, const llmc_op_length *op) {
    uint32_t begin, end;
    llmc_cpu_share(thread, op->n_rows, &begin, &end);
    for (uint32_t row = begin; row < end; row++) {
        float *x = op->x + (size_t)row * op->width;
        double own = squares_of(x, op->width, 0), wanted = squares_of(op->like + (size_t)row * op->width, op->width, 0);
        float factor = (float)sqrt(wanted / own);
        for (uint32_t i = 0; i < op->width; i++) x[i] *= factor;
    }
}

void llmc_cpu_sparse(const llmc_cpu_thread *thread, const llmc_op_sparse *op) {
    uint32_t begin, end;
    llmc_cpu_share(thread, op->n_rows, &begin, &end);
    for (uint32_t row = begin; row < end; row++) {
        float *x = op->x + (size_t)row * op->width;
        double mean = sum_of(x, op->width) / op->width;
        double deviation = sqrt(squares_of(x, op->width, mean) / (op->width - 1));
        float least = (float)(mean + (double)op->factor * deviation);
        for (uint32_t i = 0; i < op->width; i++) x[i] = x[i] - least > 0.0f ? x[i] - least : 0.0f;
    }
}

const char *llmc_cpu_streams_fault(const llmc_cpu_backend *backend, const llmc_op *op) {
    const llmc_op_mix *mix = &op->u.mix;
    switch (op->kind) {
    case LLMC_OP_MIX:
        if (mix->n_rows > backend->scratch.max_tokens) return "more rows than reserved";
        return !mix->src || !mix->coefs || !mix->dst || mix->n == 0 ? "an address is missing, or the streams" : NULL;
    case LLMC_OP_LENGTH:
        return !op->u.length.like || !op->u.length.x ? "an address is missing" : NULL;
    default:
        return !op->u.sparse.x || op->u.sparse.width < 2 ? "an address is missing, or the row" : NULL;
    }
}
