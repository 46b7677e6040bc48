/* States of recurrent layers, and the operations that read and write them. A unit of work is a sequence's tokens of the step and
 * some channels of a layer: it goes through the tokens in order, with that part of the state to itself. */
#include <string.h>

#include "backend/cpu/backend.h"
#include "core/cursor.h"

enum { MAX_DIM = 1 << 24, MAX_HEADS = 1 << 16 };

_Static_assert((int)LLMC_MAX_TAPS <= (int)LLMC_CONV_MAX_TAPS && (int)LLMC_MAX_DELTA_KEY <= (int)LLMC_DELTA_MAX_KEY &&
                   (int)LLMC_MAX_CHANNEL_STATE <= (int)LLMC_CHANNEL_STATE && (int)LLMC_MAX_WKV <= (int)LLMC_WKV_SIZE,
               "the kernels hold them");

/* ---- States ------------------------------------------------------------------------------------------------------------ */

size_t llmc_cpu_state_bytes(const llmc_backend *backend, const llmc_state_shape *shape) {
    (void)backend;
    uint64_t floats, bytes;
    if (!llmc_mul_u64(shape->n_slots, shape->slot_floats, &floats) || !llmc_mul_u64(floats, sizeof(float), &bytes)) return 0;
    return bytes > SIZE_MAX / 2 ? 0 : (size_t)bytes;
}

/* The slots are not touched: the system gives their memory when they are first written. */
llmcall_status llmc_cpu_state_create(llmc_backend *backend, const llmc_state_shape *shape, llmc_state_store **out,
                                     llmcall_error *error) {
    *out = NULL;
    size_t bytes = llmc_cpu_state_bytes(backend, shape);
    if (bytes == 0) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "kv_bytes", "%u states of %zu floats cannot be made.", shape->n_slots,
                         shape->slot_floats);
    }
    llmc_state_store *states = llmc_zalloc(backend->env, sizeof *states);
    if (!states) return llmc_fail_memory(error, "the states of sequences");
    states->shape = *shape;
    states->base = llmc_cpu_alloc_large(backend->env, bytes);
    if (!states->base) {
        llmc_free(backend->env, states);
        return llmc_fail_memory(error, "the states of sequences");
    }
    *out = states;
    return LLMCALL_OK;
}

static float *slot_of(const llmc_state_store *states, uint32_t slot) {
    return states->base + slot * states->shape.slot_floats;
}

void llmc_cpu_state_copy(llmc_backend *backend, llmc_state_store *states, uint32_t dst, uint32_t src) {
    (void)backend;
    size_t bytes = states->shape.slot_floats * sizeof(float);
    if (dst >= states->shape.n_slots || dst == src) return;
    if (src < states->shape.n_slots) memcpy(slot_of(states, dst), slot_of(states, src), bytes);
    else if (src == LLMC_STATE_ZERO) memset(slot_of(states, dst), 0, bytes);
}

void llmc_cpu_state_destroy(llmc_backend *backend, llmc_state_store *states) {
    if (!states) return;
    llmc_free_aligned(backend->env, states->base);
    llmc_free(backend->env, states);
}

/* ---- A unit's tokens --------------------------------------------------------------------------------------------------- */

/* A segment is run up to its snapshot, and then from there. */
typedef struct run {
    uint32_t first_token; /* in the step's arrays */
    uint32_t n_tokens;
} run;

static uint32_t runs_of(const llmc_segment *segment, run runs[2]) {
    uint32_t first = segment->first_token, n = segment->n_tokens, cut = segment->snapshot_after;
    if (cut == 0 || cut >= n) {
        runs[0] = (run){first, n};
        return 1;
    }
    runs[0] = (run){first, cut};
    runs[1] = (run){first + cut, n - cut};
    return 2;
}

static float *state_at(const llmc_state_place *place, uint32_t slot, size_t more) {
    return slot_of(place->store, slot) + place->offset + more;
}

/* After the first run: n_rows of n floats, row floats apart, from more floats into the layer's state. */
static void take_snapshot(const llmc_state_place *place, const llmc_segment *segment, size_t more, uint32_t n_rows,
                          uint32_t row, uint32_t n) {
    if (segment->snapshot_after == 0) return;
    const float *from = state_at(place, segment->state, more);
    float *to = state_at(place, segment->snapshot, more);
    for (uint32_t i = 0; i < n_rows; i++) memcpy(to + (size_t)i * row, from + (size_t)i * row, n * sizeof(float));
}

/* ---- Operations -------------------------------------------------------------------------------------------------------- */

static void conv_unit(const llmc_cpu_thread *thread, const llmc_op_conv *op, const llmc_segment *segment, uint32_t first) {
    uint32_t n = llmc_cpu_min(LLMC_CONV_CHANNELS, op->n_channels - first);
    llmc_conv_job job = {.n_channels = n,
                         .n_taps = op->n_taps,
                         .row = op->row,
                         .weight = op->weight + (size_t)first * op->n_taps,
                         .bias = op->bias ? op->bias + first : NULL,
                         .silu = op->silu,
                         .window = state_at(&op->state, segment->state, first),
                         .window_row = op->n_channels,
                         .dst_row = op->dst_row ? op->dst_row : op->n_channels};
    run runs[2];
    uint32_t n_runs = runs_of(segment, runs);
    for (uint32_t i = 0; i < n_runs; i++) {
        size_t at = (size_t)runs[i].first_token * op->row + first;
        job.n_tokens = runs[i].n_tokens;
        job.x = op->x + at;
        job.times = op->times ? op->times + at : NULL;
        job.gate = op->gate ? op->gate + at : NULL;
        job.dst = op->dst + runs[i].first_token * job.dst_row + first;
        thread->backend->recurrent.conv(&job);
        if (i == 0) take_snapshot(&op->state, segment, first, op->n_taps - 1, op->n_channels, n);
    }
}

void llmc_cpu_conv(const llmc_cpu_thread *thread, const llmc_op_conv *op) {
    uint32_t parts = (op->n_channels + LLMC_CONV_CHANNELS - 1) / LLMC_CONV_CHANNELS;
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, thread->batch->n_segments * parts);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        conv_unit(thread, op, &thread->batch->segments[unit / parts], unit % parts * LLMC_CONV_CHANNELS);
    }
}

static void scan_unit(const llmc_cpu_thread *thread, const llmc_op_scan *op, const llmc_segment *segment, uint32_t head) {
    uint32_t inner = op->n_heads * op->head_dim, group = head / (op->n_heads / op->n_groups);
    uint32_t n = op->state_size * op->head_dim;
    size_t at = (size_t)head * n;
    llmc_scan_job job = {.head_dim = op->head_dim,
                         .state_size = op->state_size,
                         .x_row = op->x_row,
                         .bc_row = op->bc_row,
                         .z_row = op->z_row,
                         .dt_row = op->dt_row,
                         .dt_bias = op->dt_bias[head],
                         .a = op->a[head],
                         .d = op->d[head],
                         .state = state_at(&op->state, segment->state, at),
                         .dst_row = inner};
    run runs[2];
    uint32_t n_runs = runs_of(segment, runs);
    for (uint32_t i = 0; i < n_runs; i++) {
        size_t token = runs[i].first_token;
        job.n_tokens = runs[i].n_tokens;
        job.x = op->x + token * op->x_row + head * op->head_dim;
        job.b = op->b + token * op->bc_row + group * op->state_size;
        job.c = op->c + token * op->bc_row + group * op->state_size;
        job.z = op->z + token * op->z_row + head * op->head_dim;
        job.dt = op->dt + token * op->dt_row + head;
        job.dst = op->dst + token * inner + head * op->head_dim;
        thread->backend->recurrent.scan(&job);
        if (i == 0) take_snapshot(&op->state, segment, at, 1, n, n);
    }
}

void llmc_cpu_scan(const llmc_cpu_thread *thread, const llmc_op_scan *op) {
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, thread->batch->n_segments * op->n_heads);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        scan_unit(thread, op, &thread->batch->segments[unit / op->n_heads], unit % op->n_heads);
    }
}

static void channel_scan_unit(const llmc_cpu_thread *thread, const llmc_op_channel_scan *op, const llmc_segment *segment,
                              uint32_t first) {
    uint32_t n = llmc_cpu_min(LLMC_CHANNEL_SCAN, op->n_channels - first);
    llmc_channel_scan_job job = {.n_channels = n,
                                 .state_size = op->state_size,
                                 .x_row = op->x_row,
                                 .bc_row = op->bc_row,
                                 .z_row = op->z_row,
                                 .dt_row = op->dt_row,
                                 .dt_bias = op->dt_bias + first,
                                 .d = op->d + first,
                                 .a = op->a + (size_t)first * op->state_size,
                                 .state = state_at(&op->state, segment->state, first),
                                 .state_row = op->n_channels,
                                 .dst_row = op->n_channels};
    run runs[2];
    uint32_t n_runs = runs_of(segment, runs);
    for (uint32_t i = 0; i < n_runs; i++) {
        size_t token = runs[i].first_token;
        job.n_tokens = runs[i].n_tokens;
        job.x = op->x + token * op->x_row + first;
        job.z = op->z + token * op->z_row + first;
        job.dt = op->dt + token * op->dt_row + first;
        job.b = op->b + token * op->bc_row;
        job.c = op->c + token * op->bc_row;
        job.dst = op->dst + token * op->n_channels + first;
        thread->backend->recurrent.channel_scan(&job);
        if (i == 0) take_snapshot(&op->state, segment, first, op->state_size, op->n_channels, n);
    }
}

void llmc_cpu_channel_scan(const llmc_cpu_thread *thread, const llmc_op_channel_scan *op) {
    uint32_t parts = (op->n_channels + LLMC_CHANNEL_SCAN - 1) / LLMC_CHANNEL_SCAN;
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, thread->batch->n_segments * parts);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        channel_scan_unit(thread, op, &thread->batch->segments[unit / parts], unit % parts * LLMC_CHANNEL_SCAN);
    }
}

void llmc_cpu_decay(const llmc_cpu_thread *thread, const llmc_op_decay *op) {
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, op->n_rows * op->n_heads);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        uint32_t head = unit % op->n_heads;
        thread->backend->recurrent.decay(op->bias + head * op->dim, op->a[head], op->dim, op->x + (size_t)unit * op->dim);
    }
}

void llmc_cpu_unit(const llmc_cpu_thread *thread, const llmc_op_unit *op) {
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, op->n_rows);
    for (uint32_t row; llmc_pool_loop_next(&loop, &row);) {
        float *x = op->x + (size_t)row * op->row;
        for (uint32_t i = 0; i < op->n_blocks; i++) {
            thread->backend->recurrent.unit_length(op->block, op->eps, x + (size_t)i * op->block);
        }
    }
}

static void delta_unit(const llmc_cpu_thread *thread, const llmc_op_delta *op, const llmc_segment *segment, uint32_t head,
                       uint32_t first) {
    uint32_t keys = op->n_key_heads * op->key_dim, values = op->n_heads * op->value_dim, row = 2 * keys + values;
    uint32_t key_head = op->grouped ? head / (op->n_heads / op->n_key_heads) : head % op->n_key_heads;
    uint32_t n = llmc_cpu_min(LLMC_DELTA_COLUMNS, op->value_dim - first);
    size_t at = (size_t)head * op->key_dim * op->value_dim + first;
    llmc_delta_job job = {.key_dim = op->key_dim,
                          .n_columns = n,
                          .row = row,
                          .ab_row = op->n_heads,
                          .decay_row = (size_t)op->n_heads * op->key_dim,
                          .dt_bias = op->decay ? 0 : op->dt_bias[head],
                          .a = op->decay ? 0 : op->a[head],
                          .state = state_at(&op->state, segment->state, at),
                          .state_row = op->value_dim,
                          .dst_row = values};
    run runs[2];
    uint32_t n_runs = runs_of(segment, runs);
    for (uint32_t i = 0; i < n_runs; i++) {
        size_t token = runs[i].first_token;
        job.n_tokens = runs[i].n_tokens;
        job.q = op->qkv + token * row + key_head * op->key_dim;
        job.k = job.q + keys;
        job.v = op->qkv + token * row + 2 * keys + head * op->value_dim + first;
        job.alpha = op->decay ? NULL : op->alpha + token * op->n_heads + head;
        job.decay = op->decay ? op->decay + (token * op->n_heads + head) * op->key_dim : NULL;
        job.beta = op->beta + token * op->n_heads + head;
        job.dst = op->dst + token * values + head * op->value_dim + first;
        thread->backend->recurrent.delta(&job);
        if (i == 0) take_snapshot(&op->state, segment, at, op->key_dim, op->value_dim, n);
    }
}

void llmc_cpu_delta(const llmc_cpu_thread *thread, const llmc_op_delta *op) {
    uint32_t parts = (op->value_dim + LLMC_DELTA_COLUMNS - 1) / LLMC_DELTA_COLUMNS, units = op->n_heads * parts;
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, thread->batch->n_segments * units);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        uint32_t part = unit % units;
        delta_unit(thread, op, &thread->batch->segments[unit / units], part / parts, part % parts * LLMC_DELTA_COLUMNS);
    }
}

static void shift_unit(const llmc_cpu_thread *thread, const llmc_op_shift *op, const llmc_segment *segment, uint32_t first) {
    uint32_t n = llmc_cpu_min(LLMC_CONV_CHANNELS, op->width - first);
    float *last = state_at(&op->state, segment->state, first);
    size_t rows = (size_t)thread->batch->n_tokens * op->width;
    run runs[2];
    uint32_t n_runs = runs_of(segment, runs);
    for (uint32_t i = 0; i < n_runs; i++) {
        const float *before = last, *x = op->x + (size_t)runs[i].first_token * op->width + first;
        for (uint32_t t = 0; t < runs[i].n_tokens; t++, before = x, x += op->width) {
            float *dst = op->dst + (x - op->x);
            for (uint32_t o = 0; o < op->n_outputs; o++) {
                const float *weight = op->weight + (size_t)o * op->width + first;
                for (uint32_t c = 0; c < n; c++) dst[o * rows + c] = (before[c] - x[c]) * weight[c] + x[c];
            }
        }
        memcpy(last, before, n * sizeof *last);
        if (i == 0) take_snapshot(&op->state, segment, first, 1, n, n);
    }
}

void llmc_cpu_shift(const llmc_cpu_thread *thread, const llmc_op_shift *op) {
    uint32_t parts = (op->width + LLMC_CONV_CHANNELS - 1) / LLMC_CONV_CHANNELS;
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, thread->batch->n_segments * parts);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        shift_unit(thread, op, &thread->batch->segments[unit / parts], unit % parts * LLMC_CONV_CHANNELS);
    }
}

static void wkv_unit(const llmc_cpu_thread *thread, const llmc_op_wkv *op, const llmc_segment *segment, uint32_t head) {
    uint32_t row = op->n_heads * op->dim, first = head * op->dim, n = op->dim * op->dim;
    size_t in_state = (size_t)head * n;
    llmc_wkv_job job = {.dim = op->dim,
                        .row = row,
                        .removal = op->removal + first,
                        .replacement = op->replacement + first,
                        .bonus = op->bonus + first,
                        .norm = op->norm + first,
                        .norm_bias = op->norm_bias + first,
                        .state = state_at(&op->state, segment->state, in_state)};
    run runs[2];
    uint32_t n_runs = runs_of(segment, runs);
    for (uint32_t i = 0; i < n_runs; i++) {
        size_t at = (size_t)runs[i].first_token * row + first;
        job.n_tokens = runs[i].n_tokens;
        job.r = op->r + at, job.decay = op->decay + at, job.k = op->k + at, job.v = op->v + at;
        job.rate = op->rate + at, job.gate = op->gate + at;
        job.first = op->first ? op->first + at : NULL;
        job.mix = op->first ? op->mix + at : NULL;
        job.dst = op->dst + at;
        thread->backend->recurrent.wkv(&job);
        if (i == 0) take_snapshot(&op->state, segment, in_state, 1, n, n);
    }
}

void llmc_cpu_wkv(const llmc_cpu_thread *thread, const llmc_op_wkv *op) {
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, thread->batch->n_segments * op->n_heads);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        wkv_unit(thread, op, &thread->batch->segments[unit / op->n_heads], unit % op->n_heads);
    }
}

void llmc_cpu_group_norm(const llmc_cpu_thread *thread, const llmc_op_group_norm *op) {
    const llmc_norm_kernels *kernels = &thread->backend->norm;
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, op->n_rows);
    for (uint32_t row; llmc_pool_loop_next(&loop, &row);) {
        for (uint32_t group = 0; group < op->n_groups; group++) {
            size_t at = ((size_t)row * op->n_groups + group) * op->width;
            const float *weight = op->weight + (op->shared_weight ? 0 : (size_t)group * op->width);
            kernels->rms_norm(op->src + at, weight, op->width, op->eps, op->dst + at);
            if (op->gate) thread->backend->recurrent.silu_gate(op->gate + at, op->width, op->dst + at);
        }
    }
}

static void apply_gate(const llmc_cpu_thread *thread, const llmc_op_sigmoid *op, const float *gate, uint32_t n, float *y) {
    const llmc_recurrent_kernels *kernels = &thread->backend->recurrent;
    (op->softplus ? kernels->softplus_gate : kernels->sigmoid_gate)(gate, n, y);
}

static void apply_one_gate(const llmc_cpu_thread *thread, const llmc_op_sigmoid *op, const float *gate, float *y) {
    float factor = 1.0f;
    apply_gate(thread, op, gate, 1, &factor);
    for (uint32_t i = 0; i < op->block; i++) y[i] = y[i] * factor;
}

static void set_sigmoid(const llmc_cpu_thread *thread, const float *gate, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i += LLMC_CONV_CHANNELS) {
        float part[LLMC_CONV_CHANNELS];
        uint32_t m = llmc_cpu_min(LLMC_CONV_CHANNELS, n - i);
        for (uint32_t j = 0; j < m; j++) part[j] = 1.0f;
        thread->backend->recurrent.sigmoid_gate(gate + i, m, part);
        memcpy(y + i, part, m * sizeof *y);
    }
}

void llmc_cpu_sigmoid(const llmc_cpu_thread *thread, const llmc_op_sigmoid *op) {
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, op->n_rows);
    for (uint32_t row; llmc_pool_loop_next(&loop, &row);) {
        for (uint32_t i = 0; i < op->n_blocks; i++) {
            const float *gate = op->gate + (size_t)row * op->gate_row + (size_t)i * op->gate_step;
            float *dst = op->dst + ((size_t)row * op->n_blocks + i) * op->block;
            if (op->set) set_sigmoid(thread, gate, op->block, dst);
            else if (op->one_gate) apply_one_gate(thread, op, gate, dst);
            else apply_gate(thread, op, gate, op->block, dst);
        }
    }
}

void llmc_cpu_blocks(const llmc_cpu_thread *thread, const llmc_op_blocks *op) {
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, op->n_rows);
    for (uint32_t row; llmc_pool_loop_next(&loop, &row);) {
        const float *src = op->src + (size_t)row * op->src_row;
        float *dst = op->dst + (size_t)row * op->dst_row;
        for (uint32_t i = 0; i < op->n_blocks; i++) {
            memcpy(dst + (size_t)i * op->dst_step, src + (size_t)i * op->src_step, op->block * sizeof(float));
        }
    }
}

/* ---- Checks ------------------------------------------------------------------------------------------------------------ */

static const char *state_fault(const llmc_batch *batch, const llmc_state_place *place, uint64_t floats) {
    if (!place->store) return "no states";
    const llmc_state_shape *shape = &place->store->shape;
    if (place->offset > shape->slot_floats || floats > shape->slot_floats - place->offset) return "its state is beyond a slot";
    for (uint32_t i = 0; i < batch->n_segments; i++) {
        const llmc_segment *segment = &batch->segments[i];
        if (segment->state >= shape->n_slots) return "a segment's state is not a slot";
        if (segment->snapshot_after > segment->n_tokens) return "a snapshot is behind its segment";
        if (segment->snapshot_after && segment->snapshot >= shape->n_slots) return "a snapshot is not a slot";
    }
    return NULL;
}

static const char *conv_fault(const llmc_batch *batch, const llmc_op_conv *op) {
    if (op->n_taps < LLMC_MIN_TAPS || op->n_taps > LLMC_MAX_TAPS) return "too many taps, or too few";
    if (op->n_channels == 0 || op->n_channels > MAX_DIM) return "no channels, or too many";
    if (!op->x || !op->weight || !op->dst) return "an address is missing";
    return state_fault(batch, &op->state, (uint64_t)(op->n_taps - 1) * op->n_channels);
}

static int heads_fit(uint32_t n_heads, uint32_t n_groups) {
    return n_heads > 0 && n_heads <= MAX_HEADS && n_groups > 0 && n_heads % n_groups == 0;
}

static const char *scan_fault(const llmc_batch *batch, const llmc_op_scan *op) {
    if (!heads_fit(op->n_heads, op->n_groups)) return "heads are not a multiple of groups";
    if (!op->head_dim || !op->state_size || op->head_dim > 1 << 14 || op->state_size > 1 << 14) return "a dimension is absurd";
    if (!op->x || !op->b || !op->c || !op->z) return "an address is missing";
    if (!op->dt || !op->dt_bias || !op->a || !op->d || !op->dst) return "an address is missing";
    return state_fault(batch, &op->state, (uint64_t)op->n_heads * op->state_size * op->head_dim);
}

static const char *channel_scan_fault(const llmc_batch *batch, const llmc_op_channel_scan *op) {
    if (op->n_channels == 0 || op->n_channels > MAX_DIM) return "no channels, or too many";
    if (op->state_size == 0 || op->state_size > LLMC_MAX_CHANNEL_STATE) return "a dimension is absurd";
    if (!op->x || !op->b || !op->c || !op->z) return "an address is missing";
    if (!op->dt || !op->dt_bias || !op->a || !op->d || !op->dst) return "an address is missing";
    return state_fault(batch, &op->state, (uint64_t)op->state_size * op->n_channels);
}

static const char *decay_fault(const llmc_op_decay *op) {
    if (!op->n_heads || op->n_heads > MAX_HEADS || !op->dim || op->dim > LLMC_MAX_DELTA_KEY) return "a dimension is absurd";
    return !op->bias || !op->a || !op->x ? "an address is missing" : NULL;
}

static const char *shift_fault(const llmc_batch *batch, const llmc_op_shift *op) {
    if (op->width == 0 || op->width > MAX_DIM || op->n_outputs == 0) return "no channels, or too many";
    if (!op->x || !op->weight || !op->dst) return "an address is missing";
    return state_fault(batch, &op->state, op->width);
}

static const char *wkv_fault(const llmc_batch *batch, const llmc_op_wkv *op) {
    if (!op->n_heads || op->n_heads > MAX_HEADS || !op->dim || op->dim > LLMC_MAX_WKV) return "a dimension is absurd";
    if (!op->r || !op->decay || !op->k || !op->v || !op->rate || !op->gate || !op->dst) return "an address is missing";
    if (!op->removal || !op->replacement || !op->bonus || !op->norm || !op->norm_bias) return "an address is missing";
    if (op->first && !op->mix) return "an address is missing";
    return state_fault(batch, &op->state, (uint64_t)op->n_heads * op->dim * op->dim);
}

static const char *delta_fault(const llmc_batch *batch, const llmc_op_delta *op) {
    if (!heads_fit(op->n_heads, op->n_key_heads)) return "heads are not a multiple of key heads";
    if (!op->key_dim || op->key_dim > LLMC_MAX_DELTA_KEY || !op->value_dim || op->value_dim > 1 << 14)
        return "a dimension is absurd";
    if (!op->qkv || !op->beta || !op->dst) return "an address is missing";
    if (!op->decay && (!op->alpha || !op->dt_bias || !op->a)) return "an address is missing";
    return state_fault(batch, &op->state, (uint64_t)op->n_heads * op->key_dim * op->value_dim);
}

const char *llmc_cpu_recurrent_fault(const llmc_batch *batch, const llmc_op *op) {
    switch (op->kind) {
    case LLMC_OP_CONV:
        return conv_fault(batch, &op->u.conv);
    case LLMC_OP_SCAN:
        return scan_fault(batch, &op->u.scan);
    case LLMC_OP_CHANNEL_SCAN:
        return channel_scan_fault(batch, &op->u.channel_scan);
    case LLMC_OP_DECAY:
        return decay_fault(&op->u.decay);
    case LLMC_OP_SHIFT:
        return shift_fault(batch, &op->u.shift);
    case LLMC_OP_WKV:
        return wkv_fault(batch, &op->u.wkv);
    case LLMC_OP_UNIT:
        return op->u.unit.x ? NULL : "an address is missing";
    case LLMC_OP_DELTA:
        return delta_fault(batch, &op->u.delta);
    case LLMC_OP_GROUP_NORM:
        return !op->u.group_norm.src || !op->u.group_norm.weight || !op->u.group_norm.dst ? "an address is missing" : NULL;
    case LLMC_OP_SIGMOID:
        return !op->u.sigmoid.gate || !op->u.sigmoid.dst ? "an address is missing" : NULL;
    case LLMC_OP_BLOCKS:
        return !op->u.blocks.src || !op->u.blocks.dst ? "an address is missing" : NULL;
    default:
        return "unknown kind";
    }
}
