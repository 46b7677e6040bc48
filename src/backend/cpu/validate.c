/* A step is checked before it runs: its batch once, then every operation's dimensions. */
#include "backend/cpu/backend.h"

typedef struct check {
    const llmc_cpu_backend *backend;
    const llmc_batch *batch;
    uint64_t max_page; /* of all segments */
    int64_t max_token;
    uint32_t max_position, max_type;
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
        if (batch->positions[i] > c->max_position) c->max_position = batch->positions[i];
        if (batch->types && batch->types[i] > c->max_type) c->max_type = batch->types[i];
    }
    if (batch->n_outputs > batch->n_tokens || (batch->n_outputs && !batch->output_rows)) return "too many output rows";
    for (uint32_t i = 0; i < batch->n_outputs; i++) {
        if (batch->output_rows[i] >= batch->n_tokens) return "an output row is not a token";
    }
    return NULL;
}

static const char *embed_fault(const check *c, const llmc_op_embed *op) {
    if (!op->weight || !op->dst) return "an address is missing";
    if (op->by < LLMC_BY_TOKEN || op->by > LLMC_BY_TYPE) return "rows by what is not known";
    if (op->by == LLMC_BY_POSITION)
        return c->max_position >= op->weight->packed.rows ? "a position is beyond those learned" : NULL;
    if (op->by == LLMC_BY_TYPE) return c->max_type >= op->weight->packed.rows ? "a type is beyond those learned" : NULL;
    return c->max_token >= (int64_t)op->weight->packed.rows ? "a token id is beyond the vocabulary" : NULL;
}

static const char *rope_table_fault(const check *c, const llmc_op_rope_table *op) {
    (void)c;
    if (op->n_rot % 2) return "an odd number of dimensions turns";
    return op->n_rot && (!op->inv_freq || !op->dst) ? "an address is missing" : NULL;
}

static const char *activation_fault(int activation, const float *up) {
    if (activation < 0 || activation >= LLMC_ACTIVATIONS_KNOWN) return "unknown activation";
    return llmc_activation_is_gated(activation) && !up ? "an input address is missing" : NULL;
}

static const char *input_fault(const llmc_op_matmul *op) {
    if (op->input < LLMC_INPUT_PLAIN || op->input > LLMC_INPUT_ACTIVATION) return "unknown input transform";
    if (!op->src) return "an input address is missing";
    if (op->input == LLMC_INPUT_ACTIVATION && op->activation == LLMC_XIELU)
        return op->xielu ? NULL : "xIELU's numbers are missing";
    if (op->input == LLMC_INPUT_ACTIVATION) return activation_fault(op->activation, op->up);
    return op->input != LLMC_INPUT_PLAIN && !op->norm ? "the norm's weight is missing" : NULL;
}

static const char *matmul_fault(const check *c, const llmc_op_matmul *op) {
    if (op->n_rows > c->backend->scratch.max_tokens) return "more rows than reserved";
    if (op->width == 0 || op->width > c->backend->scratch.max_width) return "input wider than reserved, or empty";
    if (op->n_parts < 1 || op->n_parts > LLMC_MATMUL_PARTS) return "no parts, or too many";
    for (uint32_t i = 0; i < op->n_parts; i++) {
        if (!op->part[i].weight || !op->part[i].dst) return "an address of a part is missing";
        if (op->part[i].weight->packed.cols != op->width) return "a weight's columns are not the input's width";
    }
    return input_fault(op);
}

/* Pages [first, the last that the segment reaches) of its table for layers with a window. */
static int window_pages_fit(const llmc_segment *segment, uint32_t first, uint32_t n_pages) {
    uint32_t end = (segment->start + segment->n_tokens + LLMC_PAGE_TOKENS - 1) / LLMC_PAGE_TOKENS;
    for (uint32_t i = first; i < end; i++) {
        if (segment->window_pages[i] >= n_pages) return 0;
    }
    return 1;
}

static const char *window_fault(const check *c, const llmc_kv_store *kv, uint32_t window) {
    for (uint32_t i = 0; i < c->batch->n_segments; i++) {
        const llmc_segment *segment = &c->batch->segments[i];
        if (!segment->window_pages) return "a segment has no pages for layers with a window";
        uint32_t first = llmc_window_first_page(segment->start, window);
        if (!window_pages_fit(segment, first, kv->shape.n_pages)) return "a page is beyond the KV store";
    }
    return NULL;
}

static const char *kv_fault(const check *c, const llmc_kv_store *kv, uint32_t layer, uint32_t n_heads, uint32_t n_kv_heads,
                            uint32_t head_dim) {
    if (!kv) return "no KV store";
    if (layer >= kv->shape.n_layers) return "layer or heads contradict the KV store";
    const llmc_kv_layer *of = &kv->places[layer].of;
    if (n_kv_heads != of->n_kv_heads || head_dim != of->head_dim) return "layer or heads contradict the KV store";
    if (n_kv_heads == 0 || head_dim == 0 || n_heads == 0 || n_heads % n_kv_heads) return "heads are not a multiple of KV heads";
    if (n_heads > c->backend->scratch.n_heads || head_dim > c->backend->scratch.head_dim) return "more heads than reserved";
    return NULL;
}

static const char *pages_fault(const check *c, const llmc_kv_store *kv, int window_pages, uint32_t window) {
    if (window_pages) return window_fault(c, kv, window);
    return c->batch->n_segments && c->max_page >= kv->shape.n_pages ? "a page is beyond the KV store" : NULL;
}

static const char *rope_store_fault(const check *c, const llmc_op_rope_store *op) {
    if (!op->q || (op->k && !op->v) || (op->n_rot && !op->table)) return "an address is missing";
    if (op->n_rot % 2 || op->n_rot > op->head_dim) return "more dimensions turn than there are, or an odd number";
    if (op->rope != LLMC_ROPE_INTERLEAVED && op->rope != LLMC_ROPE_HALVES) return "unknown kind of rope";
    if (op->q_norm && op->head_norm != LLMC_NORM_RMS && op->head_norm != LLMC_NORM_LAYER) return "unknown kind of norm";
    const char *fault = kv_fault(c, op->kv, op->layer, op->n_heads, op->n_kv_heads, op->head_dim);
    return fault ? fault : pages_fault(c, op->kv, op->window_pages, 1);
}

static const char *attention_fault(const check *c, const llmc_op_attention *op) {
    if (!op->q || !op->dst) return "an address is missing";
    const char *fault = kv_fault(c, op->kv, op->layer, op->n_heads, op->n_kv_heads, op->head_dim);
    return fault ? fault : pages_fault(c, op->kv, op->window_pages, op->window);
}

static const char *gather_fault(const check *c, const llmc_op_gather *op) {
    (void)c;
    return !op->src || !op->dst ? "an address is missing" : NULL;
}

static const char *norm_fault(const check *c, const llmc_op_norm *op) {
    if (op->n_rows > c->backend->scratch.max_tokens) return "more rows than reserved";
    if ((op->norm || op->weight) && op->width > c->backend->scratch.max_width) return "input wider than reserved";
    if (op->norm < LLMC_NORM_NONE || op->norm > LLMC_NORM_LAYER) return "unknown kind of norm";
    return !op->src || !op->dst || (op->norm && !op->weight) ? "an address is missing" : NULL;
}

static const char *routing_fault(const check *c, uint32_t n_rows, uint32_t n_experts, uint32_t n_used) {
    if (n_rows > c->backend->scratch.max_tokens) return "more rows than reserved";
    if (n_experts == 0 || n_experts > LLMC_CPU_MAX_EXPERTS) return "no experts, or too many";
    return n_used == 0 || n_used > n_experts ? "a row uses no experts, or more than there are" : NULL;
}

static const char *route_fault(const check *c, const llmc_op_route *op) {
    if (!op->logits || !op->routes) return "an address is missing";
    if (op->gating < LLMC_GATE_SOFTMAX || op->gating > LLMC_GATE_SOFTMAX_OF_CHOSEN) return "unknown gating";
    if (op->n_groups > 1) {
        if (op->n_experts % op->n_groups || op->n_groups_used == 0 || op->n_groups_used > op->n_groups) return "wrong groups";
        if (op->n_experts / op->n_groups * op->n_groups_used < op->n_used) return "groups with too few experts";
    }
    return routing_fault(c, op->n_rows, op->n_experts, op->n_used);
}

static const char *stack_fault(llmc_weight *const *weights, uint32_t n, uint32_t width) {
    if (!weights) return "an address of weights is missing";
    for (uint32_t i = 0; i < n; i++) {
        if (!weights[i]) return "a weight of several is missing";
        if (weights[i]->packed.cols != width) return "a weight's columns are not the input's width";
        if (weights[i]->packed.rows != weights[0]->packed.rows || weights[i]->packed.type != weights[0]->packed.type) {
            return "weights of experts or heads differ";
        }
    }
    return NULL;
}

static const char *experts_fault(const check *c, const llmc_op_experts *op) {
    if (op->width == 0 || op->width > c->backend->scratch.max_width) return "input wider than reserved, or empty";
    if (op->n_parts < 1 || op->n_parts > LLMC_MATMUL_PARTS) return "no parts, or too many";
    if (!op->src || !op->routes) return "an input address is missing";
    if (op->input != LLMC_INPUT_PLAIN && op->input != LLMC_INPUT_ACTIVATION) return "unknown input transform";
    const char *fault = op->input == LLMC_INPUT_ACTIVATION ? activation_fault(op->activation, op->up) : NULL;
    if (!fault) fault = routing_fault(c, op->n_rows, op->n_experts, op->n_used);
    for (uint32_t i = 0; i < op->n_parts && !fault; i++) {
        fault =
            op->part[i].dst ? stack_fault(op->part[i].weights, op->n_experts, op->width) : "an address of a part is missing";
    }
    return fault;
}

static const char *combine_fault(const check *c, const llmc_op_combine *op) {
    if (!op->src || !op->dst || !op->routes) return "an address is missing";
    return routing_fault(c, op->n_rows, op->n_experts, op->n_used);
}

static const char *split_latent_fault(const check *c, const llmc_op_split_latent *op) {
    if (!op->norm || !op->kv || !op->heads || !op->q || !op->k || !op->v) return "an address is missing";
    if (op->n_rows > c->backend->scratch.max_tokens) return "more rows than reserved";
    return op->n_rot > op->key_length ? "more dimensions turn than there are" : NULL;
}

static const char *heads_fault(const check *c, const llmc_op_heads *op) {
    if (op->n_rows > c->backend->scratch.max_tokens) return "more rows than reserved";
    if (op->width == 0 || op->width > c->backend->scratch.max_width) return "input wider than reserved, or empty";
    if (!op->src || !op->dst || op->n_heads == 0) return "an address is missing, or the heads";
    const char *fault = stack_fault(op->weights, op->n_heads, op->width);
    return !fault && op->src_stride < op->width ? "heads overlap" : fault;
}

static const char *op_fault(const check *c, const llmc_op *op) {
    const char *fault;
    switch (op->kind) {
    case LLMC_OP_EMBED:
        fault = embed_fault(c, &op->u.embed);
        return fault ? fault : llmc_cpu_lora_fault(c->batch, op);
    case LLMC_OP_ROPE_TABLE:
        return rope_table_fault(c, &op->u.rope_table);
    case LLMC_OP_MATMUL:
        fault = matmul_fault(c, &op->u.matmul);
        return fault ? fault : llmc_cpu_lora_fault(c->batch, op);
    case LLMC_OP_ROPE_STORE:
        return rope_store_fault(c, &op->u.rope_store);
    case LLMC_OP_ATTENTION:
        return attention_fault(c, &op->u.attention);
    case LLMC_OP_GATHER:
        return gather_fault(c, &op->u.gather);
    case LLMC_OP_CONV:
    case LLMC_OP_SCAN:
    case LLMC_OP_CHANNEL_SCAN:
    case LLMC_OP_DECAY:
    case LLMC_OP_UNIT:
    case LLMC_OP_SHIFT:
    case LLMC_OP_WKV:
    case LLMC_OP_DELTA:
    case LLMC_OP_GROUP_NORM:
    case LLMC_OP_SIGMOID:
    case LLMC_OP_BLOCKS:
        return llmc_cpu_recurrent_fault(c->batch, op);
    case LLMC_OP_NORM:
        return norm_fault(c, &op->u.norm);
    case LLMC_OP_SOFT_CAP:
        return op->u.soft_cap.x && op->u.soft_cap.cap > 0 ? NULL : "an address is missing, or the cap";
    case LLMC_OP_ROUTE:
        return route_fault(c, &op->u.route);
    case LLMC_OP_EXPERTS:
        fault = experts_fault(c, &op->u.experts);
        return fault ? fault : llmc_cpu_lora_fault(c->batch, op);
    case LLMC_OP_COMBINE:
        return combine_fault(c, &op->u.combine);
    case LLMC_OP_SPLIT_LATENT:
        return split_latent_fault(c, &op->u.split_latent);
    case LLMC_OP_HEADS:
        return heads_fault(c, &op->u.heads);
    case LLMC_OP_MIX:
    case LLMC_OP_LENGTH:
    case LLMC_OP_SPARSE:
        return llmc_cpu_streams_fault(c->backend, op);
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
