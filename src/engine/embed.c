/* Hidden rows to an embedding: what a step leaves of a text, pooled as its call asked. */
#include <string.h>

#include "engine/engine.h"

int llmc_embed_hidden(int32_t pooling) {
    return pooling == LLMCALL_POOLING_LAST ? LLMC_HIDDEN_LAST : LLMC_HIDDEN_ALL;
}

static void add_row(float *sum, const float *row, uint32_t width) {
    for (uint32_t i = 0; i < width; i++) sum[i] += row[i];
}

/* The mean so far is a sum; the last row makes it a mean. */
static void pool_mean(float *sum, const float *rows, uint32_t width, uint32_t start, uint32_t n_rows, uint32_t n_prompt) {
    if (start == 0) memset(sum, 0, width * sizeof *sum);
    for (uint32_t i = 0; i < n_rows; i++) add_row(sum, rows + (size_t)i * width, width);
    if (start + n_rows < n_prompt) return;
    for (uint32_t i = 0; i < width; i++) sum[i] /= (float)n_prompt;
}

void llmc_embed_rows(llmcall_call *call, const float *rows, uint32_t width, uint32_t start, uint32_t n_rows,
                     uint32_t n_prompt) {
    float *out = call->embedding;
    const float *last = rows + (size_t)(n_rows - 1) * width;
    switch (call->pooling) {
    case LLMCALL_POOLING_NONE:
        memcpy(out + (size_t)start * width, rows, (size_t)n_rows * width * sizeof *out);
        return;
    case LLMCALL_POOLING_MEAN:
        pool_mean(out, rows, width, start, n_rows, n_prompt);
        return;
    case LLMCALL_POOLING_CLS:
        if (start == 0) memcpy(out, rows, width * sizeof *out);
        return;
    default: /* LAST */
        if (start + n_rows == n_prompt) memcpy(out, last, width * sizeof *out);
    }
}
