/* The operations on the KV cache: turning and storing the step's keys and values, and attention over the pages. */
#include <math.h>

#include "backend/cpu/backend.h"

_Static_assert(LLMC_KV_GROUP == LLMC_GROUP_PAGES * LLMC_PAGE_TOKENS, "the kernels' groups are those of a window's pages");

/* Groups that a unit takes when the threads share one context, and the context from which on they do. */
enum { SPLIT_GROUPS = 2, SPLIT_POSITIONS = 512 };

/* The first segment that ends behind the token; segments follow each other. */
const llmc_segment *llmc_cpu_segment_of(const llmc_batch *batch, uint32_t token) {
    uint32_t low = 0, high = batch->n_segments - 1;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const llmc_segment *segment = &batch->segments[middle];
        if (token < segment->first_token + segment->n_tokens) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return &batch->segments[low];
}

/* --- storing --- */

static void norm_head(const llmc_cpu_thread *thread, const llmc_op_rope_store *op, const float *norm, float *x) {
    const llmc_norm_kernels *kernels = &thread->backend->norm;
    if (op->head_norm == LLMC_NORM_LAYER) kernels->layer_norm(x, norm, NULL, op->head_dim, op->eps, x);
    else kernels->rms_norm(x, norm, op->head_dim, op->eps, x);
}

static void turn_head(const llmc_cpu_thread *thread, const llmc_op_rope_store *op, const float *norm, const float *table,
                      float *x) {
    const llmc_rope_kernels *rope = &thread->backend->rope;
    if (norm && !op->norm_turned) norm_head(thread, op, norm, x);
    (op->rope == LLMC_ROPE_HALVES ? rope->halves : rope->interleaved)(x, op->n_rot, table);
    if (norm && op->norm_turned) norm_head(thread, op, norm, x);
}

static const float *norm_of(const llmc_op_rope_store *op, const float *norms, uint32_t head) {
    return norms && op->norm_each ? norms + (size_t)head * op->head_dim : norms;
}

/* Llama 4's scaling of queries far from the start: log(floor(position / floor) + 1) * scale + 1. */
static void temper(const llmc_op_rope_store *op, uint32_t position, float *q) {
    if (op->temperature_floor == 0) return;
    uint32_t quotient = (position + op->temperature_offset) / op->temperature_floor;
    float factor = (float)(log((double)quotient + 1) * (double)op->temperature_scale + 1);
    for (uint32_t d = 0; d < op->head_dim; d++) q[d] *= factor;
}

void llmc_cpu_store_head(const llmc_cpu_thread *thread, const llmc_op_rope_store *op, const llmc_segment *segment,
                         uint32_t token, uint32_t kv_head) {
    uint32_t position = segment->start + (token - segment->first_token), group = op->n_heads / op->n_kv_heads;
    const float *table = op->n_rot ? op->table + (size_t)token * op->n_rot : NULL;
    for (uint32_t head = kv_head * group; head < (kv_head + 1) * group; head++) {
        float *q = op->q + ((size_t)token * op->n_heads + head) * op->head_dim;
        turn_head(thread, op, norm_of(op, op->q_norm, head), table, q);
        temper(op, position, q);
    }
    if (!op->k) return;
    size_t offset = ((size_t)token * op->n_kv_heads + kv_head) * op->head_dim;
    for (uint32_t d = 0; d < op->head_dim; d++) thread->row[d] = op->k[offset + d];
    turn_head(thread, op, norm_of(op, op->k_norm, kv_head), table, thread->row);
    const uint32_t *pages = op->window_pages ? segment->window_pages : segment->pages;
    uint8_t *block = llmc_cpu_kv_block(op->kv, pages[position / LLMC_PAGE_TOKENS], op->layer, kv_head);
    thread->backend->attention.store(block, op->kv->shape.type, op->head_dim, position % LLMC_PAGE_TOKENS, thread->row,
                                     op->v + offset);
}

void llmc_cpu_rope_store(const llmc_cpu_thread *thread, const llmc_op_rope_store *op) {
    const llmc_batch *batch = thread->batch;
    if (batch->n_tokens == 0) return;
    uint32_t chunk = batch->n_tokens >= 16 * (uint32_t)thread->n_threads ? 8 : 1;
    uint32_t n_chunks = (batch->n_tokens + chunk - 1) / chunk;
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, n_chunks * op->n_kv_heads);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        uint32_t begin = unit / op->n_kv_heads * chunk, end = llmc_cpu_min(batch->n_tokens, begin + chunk);
        for (uint32_t token = begin; token < end; token++) {
            llmc_cpu_store_head(thread, op, llmc_cpu_segment_of(batch, token), token, unit % op->n_kv_heads);
        }
    }
}

/* --- attention --- */

/* How queries are cut: `heads` of a KV head's group by `tokens` make a job. Few tokens are cut finer, down to some 48 queries,
 * so that the threads get about the same. */
enum { FINE_QUERIES = 48, UNITS_A_THREAD = 8 };
typedef struct cut {
    uint32_t heads, head_cuts, tokens;
} cut;

static cut cut_of(const llmc_cpu_thread *thread, const llmc_op_attention *op) {
    uint32_t group = op->n_heads / op->n_kv_heads;
    cut c = {.heads = llmc_cpu_min(group, LLMC_ATTENTION_QUERIES)};
    c.head_cuts = (group + c.heads - 1) / c.heads;
    c.tokens = LLMC_ATTENTION_QUERIES / c.heads;
    uint64_t units_of_one = (uint64_t)thread->batch->n_tokens * op->n_kv_heads * c.head_cuts;
    if (units_of_one / c.tokens < UNITS_A_THREAD * (uint64_t)thread->n_threads && thread->n_threads > 1) {
        c.tokens = c.heads < FINE_QUERIES ? FINE_QUERIES / c.heads : 1;
    }
    return c;
}

static float alibi_slope(const llmc_op_attention *op, uint32_t head) {
    uint32_t n = 1;
    while (2 * n <= op->n_heads) n *= 2;
    double step = (double)op->max_alibi_bias / n;
    return (float)exp2(head < n ? -step * (head + 1) : -step / 2 * (2 * (head - n) + 1));
}

static llmc_attention_job job_of(const llmc_op_attention *op, const llmc_segment *segment, uint32_t kv_head) {
    llmc_attention_job job = {.head_dim = op->head_dim, .type = op->kv->shape.type, .scale = op->scale};
    job.windowed = op->window > 0;
    job.soft_cap = op->soft_cap;
    job.has_slopes = op->max_alibi_bias > 0;
    job.has_sinks = op->sinks != NULL;
    job.pages = op->window_pages ? segment->window_pages : segment->pages;
    job.base = llmc_cpu_kv_block(op->kv, 0, op->layer, kv_head);
    job.page_bytes = op->kv->page_bytes;
    return job;
}

/* A window of a model that sees both sides reaches half as far to each. */
static uint32_t first_seen(const llmc_op_attention *op, uint32_t own) {
    if (op->window == 0) return 0;
    if (op->chunks) return own - own % op->window;
    uint32_t back = op->bidirectional ? op->window / 2 : op->window - 1;
    return own > back ? own - back : 0;
}

/* What a token of the segment sees. */
static void add_sight(llmc_attention_job *job, const llmc_op_attention *op, const llmc_segment *segment, uint32_t token) {
    uint32_t own = segment->start + token, last = op->bidirectional ? segment->start + segment->n_tokens - 1 : own;
    uint32_t i = job->n_queries;
    if (op->window && op->bidirectional) last = llmc_cpu_min(last, own + op->window / 2);
    job->own[i] = own;
    job->first[i] = first_seen(op, own);
    job->position[i] = last;
}

/* Queries of tokens [begin, end) of the segment by heads [first_head, end_head) of the whole model. */
static void add_queries(llmc_attention_job *job, const llmc_op_attention *op, const llmc_segment *segment, uint32_t begin,
                        uint32_t end, uint32_t first_head, uint32_t end_head) {
    for (uint32_t token = begin; token < end; token++) {
        for (uint32_t head = first_head; head < end_head; head++) {
            size_t offset = ((size_t)(segment->first_token + token) * op->n_heads + head) * op->head_dim;
            job->q[job->n_queries] = op->q + offset;
            job->out[job->n_queries] = op->dst + offset;
            if (op->sinks) job->sink[job->n_queries] = op->sinks[head];
            if (job->has_slopes) job->slope[job->n_queries] = alibi_slope(op, head);
            add_sight(job, op, segment, token);
            job->n_queries++;
        }
    }
}

static void attend_chunk(const llmc_cpu_thread *thread, const llmc_op_attention *op, cut c, const llmc_segment *segment,
                         uint32_t chunk, uint32_t kv_head, uint32_t head_cut) {
    llmc_attention_job job = job_of(op, segment, kv_head);
    uint32_t group = op->n_heads / op->n_kv_heads, first = kv_head * group + head_cut * c.heads;
    add_queries(&job, op, segment, chunk * c.tokens, llmc_cpu_min(segment->n_tokens, (chunk + 1) * c.tokens), first,
                llmc_cpu_min(first + c.heads, (kv_head + 1) * group));
    thread->backend->attention.attend(&job, thread->attention);
}

static uint32_t chunks_of(cut c, const llmc_segment *segment) {
    return (segment->n_tokens + c.tokens - 1) / c.tokens;
}

/* A unit is a segment, a chunk of its tokens (the last, which costs most, first), a KV head and a cut of its heads. */
static void attend_whole(const llmc_cpu_thread *thread, const llmc_op_attention *op) {
    const llmc_batch *batch = thread->batch;
    cut c = cut_of(thread, op);
    uint32_t per_chunk = op->n_kv_heads * c.head_cuts, n_chunks = 0, passed = 0, at = 0;
    for (uint32_t i = 0; i < batch->n_segments; i++) n_chunks += chunks_of(c, &batch->segments[i]);
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, n_chunks * per_chunk);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        uint32_t chunk = unit / per_chunk;
        if (chunk < passed) passed = at = 0;
        while (chunk - passed >= chunks_of(c, &batch->segments[at])) passed += chunks_of(c, &batch->segments[at++]);
        const llmc_segment *segment = &batch->segments[at];
        attend_chunk(thread, op, c, segment, chunks_of(c, segment) - 1 - (chunk - passed), unit % per_chunk / c.head_cuts,
                     unit % c.head_cuts);
    }
}

/* --- one long context, several threads: groups first, then the fold --- */

static uint32_t first_group_of(const llmc_op_attention *op, const llmc_segment *segment) {
    return first_seen(op, segment->start) / LLMC_KV_GROUP;
}

/* Groups that the segment's one token sees. */
static uint32_t groups_of(const llmc_op_attention *op, const llmc_segment *segment) {
    return segment->start / LLMC_KV_GROUP + 1 - first_group_of(op, segment);
}

/* Worth it for a few single tokens with long contexts, and possible while their groups fit the scratch. */
static int splits(const llmc_cpu_thread *thread, const llmc_op_attention *op) {
    const llmc_batch *batch = thread->batch;
    uint32_t longest = 0; /* groups */
    uint64_t groups = 0;
    if (thread->n_threads == 1 || op->n_heads / op->n_kv_heads > LLMC_ATTENTION_QUERIES) return 0;
    if (batch->n_segments != batch->n_tokens) return 0;
    if ((uint64_t)batch->n_segments * op->n_kv_heads >= 4 * (uint64_t)thread->n_threads) return 0;
    for (uint32_t i = 0; i < batch->n_segments; i++) {
        uint32_t n = groups_of(op, &batch->segments[i]);
        groups += n;
        longest = n > longest ? n : longest;
    }
    size_t floats = llmc_attention_partial_floats(op->head_dim);
    return longest > SPLIT_POSITIONS / LLMC_KV_GROUP &&
           groups * op->n_heads * floats <= thread->backend->scratch.partial_floats;
}

/* Partial results lie by segment, KV head, group, head of the group. */
static float *partial_of(const llmc_cpu_thread *thread, const llmc_op_attention *op, uint32_t groups_before, uint32_t n_groups,
                         uint32_t kv_head) {
    size_t row = (size_t)groups_before * op->n_heads + (size_t)kv_head * n_groups * (op->n_heads / op->n_kv_heads);
    return thread->backend->scratch.partial + row * llmc_attention_partial_floats(op->head_dim);
}

static void attend_some_groups(const llmc_cpu_thread *thread, const llmc_op_attention *op, const llmc_segment *segment,
                               uint32_t groups_before, uint32_t kv_head, uint32_t first) {
    uint32_t heads = op->n_heads / op->n_kv_heads, n_groups = groups_of(op, segment);
    uint32_t absolute = first_group_of(op, segment);
    llmc_attention_job job = job_of(op, segment, kv_head);
    add_queries(&job, op, segment, 0, 1, kv_head * heads, (kv_head + 1) * heads);
    float *partial = partial_of(thread, op, groups_before, n_groups, kv_head);
    partial += (size_t)first * heads * llmc_attention_partial_floats(op->head_dim);
    thread->backend->attention.groups(&job, absolute + first, absolute + llmc_cpu_min(n_groups, first + SPLIT_GROUPS), partial,
                                      thread->attention);
}

static void attend_groups(const llmc_cpu_thread *thread, const llmc_op_attention *op) {
    const llmc_batch *batch = thread->batch;
    uint32_t n_units = 0;
    for (uint32_t i = 0; i < batch->n_segments; i++) {
        n_units += (groups_of(op, &batch->segments[i]) + SPLIT_GROUPS - 1) / SPLIT_GROUPS * op->n_kv_heads;
    }
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, n_units);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        uint32_t groups_before = 0, at = 0, spans;
        for (;; at++) {
            spans = (groups_of(op, &batch->segments[at]) + SPLIT_GROUPS - 1) / SPLIT_GROUPS;
            if (unit < spans * op->n_kv_heads) break;
            unit -= spans * op->n_kv_heads;
            groups_before += groups_of(op, &batch->segments[at]);
        }
        attend_some_groups(thread, op, &batch->segments[at], groups_before, unit / spans, unit % spans * SPLIT_GROUPS);
    }
}

static void fold_groups(const llmc_cpu_thread *thread, const llmc_op_attention *op) {
    const llmc_batch *batch = thread->batch;
    uint32_t heads = op->n_heads / op->n_kv_heads, groups_before = 0;
    size_t floats = llmc_attention_partial_floats(op->head_dim);
    uint64_t turn = 0; /* rows go round the threads */
    for (uint32_t i = 0; i < batch->n_segments; i++) {
        uint32_t n_groups = groups_of(op, &batch->segments[i]);
        for (uint32_t head = 0; head < op->n_heads; head++, turn++) {
            if (turn % (uint64_t)thread->n_threads != (uint64_t)thread->index) continue;
            float *partial = partial_of(thread, op, groups_before, n_groups, head / heads) + head % heads * floats;
            size_t offset = ((size_t)batch->segments[i].first_token * op->n_heads + head) * op->head_dim;
            thread->backend->attention.fold(partial, heads * floats, n_groups, op->head_dim,
                                            op->sinks ? &op->sinks[head] : NULL, op->dst + offset);
        }
        groups_before += n_groups;
    }
}

void llmc_cpu_attention(const llmc_cpu_thread *thread, const llmc_op_attention *op) {
    if (thread->batch->n_tokens == 0) return;
    if (!splits(thread, op)) {
        attend_whole(thread, op);
        return;
    }
    attend_groups(thread, op);
    llmc_pool_barrier(thread->backend->pool);
    fold_groups(thread, op);
}

/* --- both at once --- */

int llmc_cpu_attention_fuses(const llmc_cpu_thread *thread, const llmc_op_rope_store *store, const llmc_op_attention *op) {
    const llmc_batch *batch = thread->batch;
    if (batch->n_segments != batch->n_tokens || splits(thread, op)) return 0;
    if (store->kv != op->kv || store->layer != op->layer || store->q != op->q || store->n_heads != op->n_heads) return 0;
    return op->n_heads / op->n_kv_heads <= LLMC_ATTENTION_QUERIES;
}

void llmc_cpu_store_and_attend(const llmc_cpu_thread *thread, const llmc_op_rope_store *store, const llmc_op_attention *op) {
    const llmc_batch *batch = thread->batch;
    cut c = cut_of(thread, op);
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, batch->n_tokens * op->n_kv_heads);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        const llmc_segment *segment = &batch->segments[unit / op->n_kv_heads];
        llmc_cpu_store_head(thread, store, segment, segment->first_token, unit % op->n_kv_heads);
        attend_chunk(thread, op, c, segment, 0, unit % op->n_kv_heads, 0);
    }
}
