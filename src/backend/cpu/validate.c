/* A step is checked before it runs: its batch once, then every operation's dimensions. */
#include "backend/cpu/backend.h"

typedef struct check {
    const llmc_cpu_backend *backend;
    const llmc_batch *batch;
    uint64_t max_page; /* of all segments */
    int64_t max_token;
} check;

/* Each test answers NULL or what is wrong; static text. */
static const char *segment_fault(const llmc_batch *batch, const llmc_segment *segment, uint64_t expected) {
    if (segment->first_token != expected) return "segments do not follow each other";
    if (segment->n_tokens == 0 || segment->n_tokens > batch->n_tokens - expected)
        return "a segment has too many tokens, or none";
    uint64_t end = (uint64_t)segment->start + segment->n_tokens;
    if (end > UINT32_MAX || (uint64_t)segment->n_pages * LLMC_PAGE_TOKENS < end) return "a segment has too few pages";
    if (!segment->pages) return "a segment has no pages";
    for (uint32_t i = 0; i < segment->n_tokens; i++) {
        if (batch->positions[expected + i] != segment->start + i) return "positions contradict a segment";
    }
    return NULL;
}

static void look_at_pages(check *c, const llmc_segment *segment) {
    uint32_t used = (uint32_t)(((uint64_t)segment->start + segment->n_tokens + LLMC_PAGE_TOKENS - 1) / LLMC_PAGE_TOKENS);
    for (uint32_t i = 0; i < used; i++) {
        if (segment->pages[i] > c->max_page) c->max_page = segment->pages[i];
    }
}

static const char *batch_fault(check *c) {
    const llmc_batch *batch = c->batch;
    uint64_t covered = 0;
    if (batch->n_tokens > c->backend->scratch.max_tokens) return "more tokens than reserved";
    if (batch->n_tokens && (!batch->tokens || !batch->positions || !batch->segments)) return "an array is missing";
    for (uint32_t i = 0; i < batch->n_segments; i++) {
        const char *fault = segment_fault(batch, &batch->segments[i], covered);
        if (fault) return fault;
        look_at_pages(c, &batch->segments[i]);
        covered += batch->segments[i].n_tokens;
    }
    if (covered != batch->n_tokens) return "segments do not cover all tokens";
    for (uint32_t i = 0; i < batch->n_tokens; i++) {
        if (batch->tokens[i] < 0) return "a token id is negative";
        if (batch->tokens[i] > c->max_token) c->max_token = batch->tokens[i];
    }
    if (batch->n_outputs > batch->n_tokens || (batch->n_outputs && !batch->output_rows)) return "too many output rows";
    for (uint32_t i = 0; i < batch->n_outputs; i++) {
        if (batch->output_rows[i] >= batch->n_tokens) return "an output row is not a token";
    }
    return NULL;
}

static const char *embed_fault(const check *c, const llmc_op_embed *op) {
    if (!op->weight || !op->dst) return "an address is missing";
    return c->max_token >= (int64_t)op->weight->packed.rows ? "a token id is beyond the vocabulary" : NULL;
}

static const char *rope_table_fault(const check *c, const llmc_op_rope_table *op) {
    (void)c;
    if (op->n_rot % 2) return "an odd number of dimensions turns";
    return op->n_rot && (!op->inv_freq || !op->dst) ? "an address is missing" : NULL;
}

static const char *matmul_fault(const check *c, const llmc_op_matmul *op) {
    if (op->n_rows > c->backend->scratch.max_tokens) return "more rows than reserved";
    if (op->width == 0 || op->width > c->backend->scratch.max_width) return "input wider than reserved, or empty";
    if (op->input < LLMC_INPUT_PLAIN || op->input > LLMC_INPUT_SWIGLU) return "unknown input transform";
    if (op->n_parts < 1 || op->n_parts > LLMC_MATMUL_PARTS) return "no parts, or too many";
    if (!op->src || (op->input == LLMC_INPUT_SWIGLU && !op->up)) return "an input address is missing";
    if (op->input == LLMC_INPUT_RMS_NORM && !op->norm) return "the norm's weight is missing";
    for (uint32_t i = 0; i < op->n_parts; i++) {
        if (!op->part[i].weight || !op->part[i].dst) return "an address of a part is missing";
        if (op->part[i].weight->packed.cols != op->width) return "a weight's columns are not the input's width";
    }
    return NULL;
}

static const char *kv_fault(const check *c, const llmc_kv_store *kv, uint32_t layer, uint32_t n_heads, uint32_t n_kv_heads,
                            uint32_t head_dim) {
    if (!kv) return "no KV store";
    if (layer >= kv->shape.n_layers || n_kv_heads != kv->shape.n_kv_heads || head_dim != kv->shape.head_dim) {
        return "layer or heads contradict the KV store";
    }
    if (n_kv_heads == 0 || head_dim == 0 || n_heads == 0 || n_heads % n_kv_heads) return "heads are not a multiple of KV heads";
    if (n_heads > c->backend->scratch.n_heads || head_dim > c->backend->scratch.head_dim) return "more heads than reserved";
    return c->batch->n_segments && c->max_page >= kv->shape.n_pages ? "a page is beyond the KV store" : NULL;
}

static const char *rope_store_fault(const check *c, const llmc_op_rope_store *op) {
    if (!op->q || !op->k || !op->v || (op->n_rot && !op->table)) return "an address is missing";
    if (op->n_rot % 2 || op->n_rot > op->head_dim) return "more dimensions turn than there are, or an odd number";
    if (op->rope != LLMC_ROPE_INTERLEAVED && op->rope != LLMC_ROPE_HALVES) return "unknown kind of rope";
    return kv_fault(c, op->kv, op->layer, op->n_heads, op->n_kv_heads, op->head_dim);
}

static const char *attention_fault(const check *c, const llmc_op_attention *op) {
    if (!op->q || !op->dst) return "an address is missing";
    return kv_fault(c, op->kv, op->layer, op->n_heads, op->n_kv_heads, op->head_dim);
}

static const char *gather_fault(const check *c, const llmc_op_gather *op) {
    (void)c;
    return !op->src || !op->dst ? "an address is missing" : NULL;
}

static const char *op_fault(const check *c, const llmc_op *op) {
    switch (op->kind) {
    case LLMC_OP_EMBED:
        return embed_fault(c, &op->u.embed);
    case LLMC_OP_ROPE_TABLE:
        return rope_table_fault(c, &op->u.rope_table);
    case LLMC_OP_MATMUL:
        return matmul_fault(c, &op->u.matmul);
    case LLMC_OP_ROPE_STORE:
        return rope_store_fault(c, &op->u.rope_store);
    case LLMC_OP_ATTENTION:
        return attention_fault(c, &op->u.attention);
    case LLMC_OP_GATHER:
        return gather_fault(c, &op->u.gather);
    case LLMC_OP_CONV:
    case LLMC_OP_SCAN:
    case LLMC_OP_DELTA:
    case LLMC_OP_GROUP_NORM:
    case LLMC_OP_SIGMOID:
    case LLMC_OP_BLOCKS:
        return llmc_cpu_recurrent_fault(c->batch, op);
    }
    return "unknown kind";
}

llmcall_status llmc_cpu_validate(const llmc_cpu_backend *backend, const llmc_batch *batch, const llmc_op *ops, uint32_t n_ops,
                                 llmcall_error *error) {
    check c = {.backend = backend, .batch = batch, .max_token = -1};
    const char *fault = batch_fault(&c);
    if (fault) return llmc_fail(error, LLMCALL_E_INTERNAL, NULL, NULL, "A step's batch is wrong: %s.", fault);
    for (uint32_t i = 0; i < n_ops; i++) {
        fault = op_fault(&c, &ops[i]);
        if (fault) {
            return llmc_fail(error, LLMCALL_E_INTERNAL, NULL, NULL, "Operation %u (kind %d) of a step is wrong: %s.", i,
                             (int)ops[i].kind, fault);
        }
    }
    return LLMCALL_OK;
}
