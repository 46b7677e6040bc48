/* The CPU backend: made for a tier and a number of threads, and the walk of a step's operations by all of them together. */
#include "backend/cpu/backend.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/thread.h"
#include "kernels/cpu/cpu.h"

/* --- a step --- */

static void embed(const llmc_cpu_thread *thread, const llmc_op_embed *op) {
    const llmc_packed *packed = &op->weight->packed;
    uint32_t begin, end, cols = packed->cols;
    llmc_cpu_share(thread, thread->batch->n_tokens, &begin, &end);
    for (uint32_t i = begin; i < end; i++) {
        float *dst = op->dst + (size_t)i * cols;
        if (op->by == LLMC_BY_TOKEN) {
            llmc_unpack_row(packed, (uint32_t)thread->batch->tokens[i], dst);
            if (op->lora) llmc_cpu_lora_embed(thread, i, dst);
            continue;
        }
        const uint8_t *types = thread->batch->types;
        uint32_t row = op->by == LLMC_BY_POSITION ? thread->batch->positions[i] : types ? types[i] : 0;
        llmc_unpack_row(packed, row, thread->row);
        for (uint32_t j = 0; j < cols; j++) dst[j] += thread->row[j];
    }
}

static void rope_table(const llmc_cpu_thread *thread, const llmc_op_rope_table *op) {
    uint32_t begin, end;
    llmc_cpu_share(thread, thread->batch->n_tokens, &begin, &end);
    for (uint32_t i = begin; i < end; i++) {
        llmc_rope_angles(thread->batch->positions[i], op->inv_freq, op->n_rot, op->scale, op->dst + (size_t)i * op->n_rot);
    }
}

static void gather(const llmc_cpu_thread *thread, const llmc_op_gather *op) {
    uint32_t begin, end;
    llmc_cpu_share(thread, thread->batch->n_outputs, &begin, &end);
    for (uint32_t i = begin; i < end; i++) {
        memcpy(op->dst + (size_t)i * op->width, op->src + (size_t)thread->batch->output_rows[i] * op->width,
               op->width * sizeof(float));
    }
}

static void norm_row(const llmc_cpu_thread *thread, const llmc_op_norm *op, uint32_t row) {
    const float *src = op->src + (size_t)row * op->width;
    float *dst = op->dst + (size_t)row * op->width;
    if (op->norm == LLMC_NORM_RMS) thread->backend->norm.rms_norm(src, op->weight, op->width, op->eps, thread->row);
    if (op->norm == LLMC_NORM_LAYER)
        thread->backend->norm.layer_norm(src, op->weight, op->bias, op->width, op->eps, thread->row);
    for (uint32_t i = 0; op->norm == LLMC_NORM_NONE && op->weight && i < op->width; i++)
        thread->row[i] = src[i] * op->weight[i];
    if (op->weight) src = thread->row;
    float scale = op->factor ? op->scale * *op->factor : op->scale;
    for (uint32_t i = 0; i < op->width; i++) dst[i] = op->accumulate ? dst[i] + src[i] * scale : src[i] * scale;
}

static void norm(const llmc_cpu_thread *thread, const llmc_op_norm *op) {
    uint32_t begin, end;
    llmc_cpu_share(thread, op->n_rows, &begin, &end);
    for (uint32_t i = begin; i < end; i++) norm_row(thread, op, i);
}

static void clamp(float *x, uint32_t n, float limit) {
    for (uint32_t i = 0; i < n; i++) x[i] = x[i] > limit ? limit : x[i] < -limit ? -limit : x[i];
}

static void soft_cap(const llmc_cpu_thread *thread, const llmc_op_soft_cap *op) {
    uint32_t begin, end;
    for (uint32_t row = 0; row < op->n_rows; row++) {
        float *x = op->x + (size_t)row * op->width;
        llmc_cpu_share(thread, op->width, &begin, &end);
        if (op->hard) clamp(x + begin, end - begin, op->cap);
        else thread->backend->activation.soft_cap(x + begin, end - begin, op->cap);
    }
}

typedef struct step {
    llmc_cpu_backend *backend;
    const llmc_batch *batch;
    const llmc_op *ops;
    uint32_t n_ops;
} step;

static void matmul(const llmc_cpu_thread *thread, const llmc_op_matmul *op) {
    llmc_cpu_matmul(thread, op);
    if (op->lora) llmc_cpu_lora(thread, op);
}

/* X(kind, what runs it, its member of the operation) */
#define OPERATIONS(X)                                                                                                          \
    X(EMBED, embed, embed)                                                                                                     \
    X(ROPE_TABLE, rope_table, rope_table)                                                                                      \
    X(MATMUL, matmul, matmul)                                                                                                  \
    X(ROPE_STORE, llmc_cpu_rope_store, rope_store)                                                                             \
    X(ATTENTION, llmc_cpu_attention, attention)                                                                                \
    X(GATHER, gather, gather)                                                                                                  \
    X(CONV, llmc_cpu_conv, conv)                                                                                               \
    X(SCAN, llmc_cpu_scan, scan)                                                                                               \
    X(CHANNEL_SCAN, llmc_cpu_channel_scan, channel_scan)                                                                       \
    X(DECAY, llmc_cpu_decay, decay)                                                                                            \
    X(SHIFT, llmc_cpu_shift, shift)                                                                                            \
    X(WKV, llmc_cpu_wkv, wkv)                                                                                                  \
    X(UNIT, llmc_cpu_unit, unit)                                                                                               \
    X(DELTA, llmc_cpu_delta, delta)                                                                                            \
    X(GROUP_NORM, llmc_cpu_group_norm, group_norm)                                                                             \
    X(SIGMOID, llmc_cpu_sigmoid, sigmoid)                                                                                      \
    X(BLOCKS, llmc_cpu_blocks, blocks)                                                                                         \
    X(NORM, norm, norm)                                                                                                        \
    X(SOFT_CAP, soft_cap, soft_cap)                                                                                            \
    X(ROUTE, llmc_cpu_route, route)                                                                                            \
    X(EXPERTS, llmc_cpu_experts, experts)                                                                                      \
    X(COMBINE, llmc_cpu_combine, combine)                                                                                      \
    X(SPLIT_LATENT, llmc_cpu_split_latent, split_latent)                                                                       \
    X(HEADS, llmc_cpu_heads, heads)                                                                                            \
    X(MIX, llmc_cpu_mix, mix)                                                                                                  \
    X(LENGTH, llmc_cpu_length, length)                                                                                         \
    X(SPARSE, llmc_cpu_sparse, sparse)
#define RUN(kind, function, member)                                                                                            \
    case LLMC_OP_##kind:                                                                                                       \
        function(thread, &op->u.member);                                                                                       \
        break;

static void run_op(const llmc_cpu_thread *thread, const llmc_op *op) {
    switch (op->kind) { OPERATIONS(RUN) }
}

/* Runs the operations at ops; returns how many that were. */
static uint32_t run_ops(const llmc_cpu_thread *thread, const llmc_op *ops, uint32_t n_ops) {
    if (n_ops > 1 && ops[0].kind == LLMC_OP_ROPE_STORE && ops[1].kind == LLMC_OP_ATTENTION &&
        llmc_cpu_attention_fuses(thread, &ops[0].u.rope_store, &ops[1].u.attention)) {
        llmc_cpu_store_and_attend(thread, &ops[0].u.rope_store, &ops[1].u.attention);
        return 2;
    }
    run_op(thread, ops);
    return 1;
}

/* Operations that read nothing of the step and share no loop need no barrier between them. */
static int stands_alone(const llmc_op *op) {
    return (op->kind == LLMC_OP_EMBED && op->u.embed.by == LLMC_BY_TOKEN) || op->kind == LLMC_OP_ROPE_TABLE;
}

static void run_thread(void *arg, int32_t index, int32_t n_threads) {
    const step *s = arg;
    llmc_cpu_scratch *scratch = &s->backend->scratch;
    uint8_t *memory = scratch->private_base + (size_t)index * scratch->private_bytes;
    llmc_cpu_thread thread = {.backend = s->backend, .batch = s->batch, .index = index, .n_threads = n_threads};
    thread.row = (float *)(void *)memory;
    thread.act = memory + scratch->row_floats * sizeof(float);
    thread.attention = thread.act + scratch->private_act_bytes;
    thread.tile = (uint8_t *)thread.attention + scratch->attention_bytes;
    for (uint32_t i = 0; i < s->n_ops;) {
        uint32_t last = i + run_ops(&thread, &s->ops[i], s->n_ops - i) - 1;
        i = last + 1;
        if (i < s->n_ops && !(stands_alone(&s->ops[last]) && stands_alone(&s->ops[i]))) llmc_pool_barrier(s->backend->pool);
    }
}

static llmcall_status run(llmc_backend *base, const llmc_batch *batch, const llmc_op *ops, uint32_t n_ops,
                          llmcall_error *error) {
    llmc_cpu_backend *backend = (llmc_cpu_backend *)base;
    if (!backend->scratch.shared_act) return llmc_fail(error, LLMCALL_E_INTERNAL, NULL, NULL, "A step ran before its reserve.");
    llmcall_status status = llmc_cpu_validate(backend, batch, ops, n_ops, error);
    if (status != LLMCALL_OK) return status;
    step s = {.backend = backend, .batch = batch, .ops = ops, .n_ops = n_ops};
    llmc_pool_run(backend->pool, run_thread, &s);
    return LLMCALL_OK;
}

/* --- the backend --- */

static int32_t threads(const llmc_backend *backend) {
    return llmc_pool_threads(((const llmc_cpu_backend *)backend)->pool);
}

static const char *tier_name(const llmc_backend *backend) {
    return llmc_cpu_tier_name(((const llmc_cpu_backend *)backend)->tier);
}

static void destroy(llmc_backend *base) {
    if (!base) return;
    llmc_cpu_backend *backend = (llmc_cpu_backend *)base;
    llmc_pool_destroy(backend->pool);
    llmc_cpu_blas_close(&backend->blas);
    llmc_cpu_weight_block_drop(backend);
    llmc_free_aligned(base->env, backend->scratch.shared_act);
    llmc_free(base->env, backend);
}

static const llmc_backend_functions functions = {
    .name = "cpu",
    .destroy = destroy,
    .alloc = llmc_cpu_alloc,
    .release = llmc_cpu_release,
    .upload = llmc_cpu_upload,
    .view = llmc_cpu_view,
    .weight_bytes = llmc_cpu_weight_bytes,
    .weight_reserve = llmc_cpu_weight_reserve,
    .weight_create = llmc_cpu_weight_create,
    .weight_fill = llmc_cpu_weight_fill,
    .weight_read = llmc_cpu_weight_read,
    .weight_destroy = llmc_cpu_weight_destroy,
    .kv_bytes = llmc_cpu_kv_bytes,
    .kv_create = llmc_cpu_kv_create,
    .kv_zero = llmc_cpu_kv_zero,
    .kv_destroy = llmc_cpu_kv_destroy,
    .state_bytes = llmc_cpu_state_bytes,
    .state_create = llmc_cpu_state_create,
    .state_copy = llmc_cpu_state_copy,
    .state_destroy = llmc_cpu_state_destroy,
    .scratch_bytes = llmc_cpu_scratch_bytes,
    .reserve = llmc_cpu_reserve,
    .run = run,
    .threads = threads,
    .tier = tier_name,
};

/* The tier asked for, by the caller or by LLMCALL_CPU; the best without either. */
static llmcall_status choose_tier(const char *name, llmc_cpu_tier *tier, llmcall_error *error) {
    const char *source = "tier";
    *tier = llmc_cpu_best_tier();
    if (!name) {
        source = "LLMCALL_CPU";
        name = getenv(source);
        if (!name || !*name) return LLMCALL_OK;
    }
    if (llmc_cpu_tier_find(name, tier) && llmc_cpu_has_tier(*tier)) return LLMCALL_OK;
    char have[64] = ""; /* holds all names */
    size_t used = 0;
    for (int i = 0; i < LLMC_TIERS; i++) {
        if (!llmc_cpu_has_tier((llmc_cpu_tier)i)) continue;
        used += (size_t)snprintf(have + used, sizeof have - used, "%s%s", i ? ", " : "", llmc_cpu_tier_name((llmc_cpu_tier)i));
    }
    return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, source, "There is no CPU tier \"%.64s\" on this machine; it has %s.",
                     name, have);
}

static void pin_thread(void *arg, int32_t index, int32_t n_threads) {
    atomic_int *failed = arg;
    (void)n_threads;
    if (index > 0 && !llmc_thread_pin(index)) atomic_store(failed, 1);
}

llmcall_status llmc_cpu_backend_pin(llmc_backend *base, llmcall_error *error) {
    llmc_cpu_backend *backend = (llmc_cpu_backend *)base;
    int32_t n_threads = llmc_pool_threads(backend->pool), n_cores = llmc_cpu_count();
    atomic_int failed = n_threads > n_cores;
    if (!failed) llmc_pool_run(backend->pool, pin_thread, &failed);
    if (!failed) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, "pin_threads",
                     "%d threads cannot each have a core of their own; the process may use %d.", (int)n_threads, (int)n_cores);
}

llmcall_status llmc_cpu_backend_create(const llmc_env *env, int32_t n_threads, const char *tier, llmc_backend **out,
                                       llmcall_error *error) {
    *out = NULL;
    llmc_cpu_tier chosen;
    llmcall_status status = choose_tier(tier, &chosen, error);
    if (status != LLMCALL_OK) return status;
    llmc_cpu_backend *backend = llmc_zalloc(env, sizeof *backend);
    if (!backend) return llmc_fail_memory(error, "the CPU backend");
    backend->base = (llmc_backend){.call = &functions, .env = env};
    backend->tier = chosen;
    llmc_matmul_kernels_init(&backend->matmul, chosen);
    llmc_matmul_kernels_init(&backend->exact, chosen < LLMC_TIER_AVX512 ? chosen : LLMC_TIER_AVX512);
    llmc_norm_kernels_init(&backend->norm, chosen);
    llmc_activation_kernels_init(&backend->activation, chosen);
    llmc_rope_kernels_init(&backend->rope, chosen);
    llmc_attention_kernels_init(&backend->attention, chosen);
    llmc_recurrent_kernels_init(&backend->recurrent, chosen);
    status = llmc_pool_create(env, n_threads, &backend->pool, error);
    if (status != LLMCALL_OK) {
        llmc_free(env, backend);
        return status;
    }
    *out = &backend->base;
    return LLMCALL_OK;
}
