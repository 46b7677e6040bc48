/* The CPU backend's memory: arrays, KV pages and scratch, all from the application's allocator. */
#include <string.h>
#include <sys/mman.h>

#include "backend/cpu/backend.h"
#include "core/cursor.h"

enum { HUGE_PAGE = 2 << 20 };

/* Groups of 64 positions that attention may keep unfolded for one token of all heads: 16,384 positions. */
enum { PARTIAL_GROUPS = 256 };

/* Dimensions beyond any model, below which no product here overflows. */
enum { MAX_TOKENS = 1 << 22, MAX_WIDTH = 1 << 24, MAX_HEAD_DIM = 1 << 14, MAX_HEADS = 1 << 16 };

float *llmc_cpu_alloc(llmc_backend *backend, size_t n_floats) {
    if (n_floats > SIZE_MAX / 2 / sizeof(float)) return NULL;
    float *array = llmc_alloc_aligned(backend->env, n_floats * sizeof(float), 64);
    if (array) memset(array, 0, n_floats * sizeof(float));
    return array;
}

void llmc_cpu_release(llmc_backend *backend, float *array) {
    llmc_free_aligned(backend->env, array);
}

llmcall_status llmc_cpu_upload(llmc_backend *backend, float *dst, const float *src, size_t n_floats, llmcall_error *error) {
    (void)backend;
    (void)error;
    if (n_floats) memcpy(dst, src, n_floats * sizeof(float));
    return LLMCALL_OK;
}

const float *llmc_cpu_view(llmc_backend *backend, const float *src, size_t n_floats) {
    (void)backend;
    (void)n_floats;
    return src;
}

/* Only advice, on the whole huge pages inside the block; it may fail. */
static void advise_huge(void *block, size_t size) {
#ifdef MADV_HUGEPAGE
    uintptr_t begin = ((uintptr_t)block + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
    uintptr_t end = ((uintptr_t)block + size) & ~(uintptr_t)(HUGE_PAGE - 1);
    if (begin < end) (void)madvise((void *)begin, end - begin, MADV_HUGEPAGE);
#else
    (void)block;
    (void)size;
#endif
}

void *llmc_cpu_alloc_large(const llmc_env *env, size_t size) {
    void *block = llmc_alloc_aligned(env, size, size >= HUGE_PAGE ? 4096 : 64);
    if (block) advise_huge(block, size);
    return block;
}

/* --- KV pages --- */

static int layer_bytes_of(int type, uint64_t n_heads, uint32_t head_dim, uint64_t *bytes) {
    if (type < LLMC_KV_F16 || type > LLMC_KV_F32 || head_dim > MAX_HEAD_DIM) return 0;
    if (type == LLMC_KV_Q8_0 && head_dim % LLMC_KV_Q8_DIMS) return 0;
    return llmc_mul_u64(n_heads, llmc_kv_block_bytes(head_dim, type), bytes);
}

static int page_bytes_of(const llmc_kv_shape *shape, uint64_t *page_bytes) {
    uint64_t layer = 0;
    *page_bytes = 0;
    if (!shape->layers) {
        return layer_bytes_of(shape->type, shape->n_kv_heads, shape->head_dim, &layer) &&
               llmc_mul_u64(shape->n_layers, layer, page_bytes);
    }
    for (uint32_t i = 0; i < shape->n_layers; i++) {
        if (!layer_bytes_of(shape->type, shape->layers[i].n_kv_heads, shape->layers[i].head_dim, &layer)) return 0;
        *page_bytes += layer; /* 16 bits each: far from overflow */
    }
    return 1;
}

/* Of a shape whose bytes are known to fit. */
static void place_layers(const llmc_kv_shape *shape, llmc_cpu_kv_place *places) {
    const llmc_kv_layer same = {.n_kv_heads = (uint16_t)shape->n_kv_heads, .head_dim = (uint16_t)shape->head_dim};
    size_t offset = 0;
    for (uint32_t i = 0; i < shape->n_layers; i++) {
        llmc_kv_layer of = shape->layers ? shape->layers[i] : same;
        places[i] = (llmc_cpu_kv_place){offset, llmc_kv_block_bytes(of.head_dim, shape->type), of};
        offset += of.n_kv_heads * places[i].block_bytes;
    }
}

size_t llmc_cpu_kv_bytes(const llmc_backend *backend, const llmc_kv_shape *shape) {
    (void)backend;
    uint64_t page_bytes, bytes;
    if (!page_bytes_of(shape, &page_bytes) || !llmc_mul_u64(page_bytes, shape->n_pages, &bytes)) return 0;
    return bytes > SIZE_MAX / 2 ? 0 : (size_t)bytes;
}

/* The pages are not touched: the system gives their memory when they are first written. */
llmcall_status llmc_cpu_kv_create(llmc_backend *backend, const llmc_kv_shape *shape, llmc_kv_store **out,
                                  llmcall_error *error) {
    *out = NULL;
    size_t bytes = llmc_cpu_kv_bytes(backend, shape);
    uint64_t page_bytes;
    if (bytes == 0 || !page_bytes_of(shape, &page_bytes)) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "kv_bytes", "A KV cache of %u pages of %u layers cannot be made.",
                         shape->n_pages, shape->n_layers);
    }
    llmc_kv_store *kv = llmc_zalloc(backend->env, sizeof *kv);
    if (!kv) return llmc_fail_memory(error, "the KV cache");
    *kv = (llmc_kv_store){.shape = *shape, .page_bytes = (size_t)page_bytes};
    kv->shape.layers = NULL;
    kv->places = llmc_alloc_array(backend->env, shape->n_layers, sizeof *kv->places);
    kv->base = llmc_cpu_alloc_large(backend->env, bytes);
    if (!kv->base || !kv->places) {
        llmc_cpu_kv_destroy(backend, kv);
        return llmc_fail_memory(error, "the KV cache");
    }
    place_layers(shape, kv->places);
    *out = kv;
    return LLMCALL_OK;
}

void llmc_cpu_kv_zero(llmc_backend *backend, llmc_kv_store *kv, uint32_t page) {
    (void)backend;
    if (page < kv->shape.n_pages) memset(kv->base + page * kv->page_bytes, 0, kv->page_bytes);
}

void llmc_cpu_kv_destroy(llmc_backend *backend, llmc_kv_store *kv) {
    if (!kv) return;
    llmc_free_aligned(backend->env, kv->base);
    llmc_free(backend->env, kv->places);
    llmc_free(backend->env, kv);
}

/* --- scratch --- */

static size_t round64(size_t bytes) {
    return (bytes + 63) & ~(size_t)63;
}

/* Bytes of a row in all forms together, an upper bound for every narrower one. */
static size_t all_forms_bytes(uint32_t width) {
    uint32_t whole = (width + 255) / 256 * 256;
    size_t bytes = 0;
    for (int form = 0; form < LLMC_ACT_FORMS; form++) bytes += llmc_act_row_bytes((llmc_act_form)form, whole);
    return bytes;
}

/* The shared rows are sized for a quantized form; a matmul that needs more, for F32 weights, goes in passes, unless they go
 * through OpenBLAS, which is fast with many rows only. */
static llmc_cpu_scratch plan_scratch(const llmc_cpu_backend *backend, uint32_t max_tokens, uint32_t max_width,
                                     uint32_t head_dim, uint32_t n_heads) {
    llmc_cpu_scratch plan = {.max_tokens = max_tokens, .max_width = max_width, .head_dim = head_dim, .n_heads = n_heads};
    uint32_t whole = (max_width + 255) / 256 * 256;
    size_t blas = llmc_cpu_blas_scratch_bytes(backend), tile = llmc_matmul_scratch_bytes(backend->tier, whole);
    size_t all = all_forms_bytes(max_width), small = LLMC_CPU_SMALL_ROWS * all_forms_bytes(LLMC_CPU_SMALL_ELEMENTS / 2);
    size_t rows = (size_t)max_tokens * llmc_act_row_bytes(blas ? LLMC_ACT_F32 : LLMC_ACT_Q8_32, whole);
    plan.shared_act_bytes = rows > all ? rows : all;
    if (plan.shared_act_bytes < LLMC_MATMUL_PARTS * LLMC_CPU_LORA_ROW_BYTES)
        plan.shared_act_bytes = LLMC_MATMUL_PARTS * LLMC_CPU_LORA_ROW_BYTES;
    plan.partial_floats = PARTIAL_GROUPS * (size_t)n_heads * llmc_attention_partial_floats(head_dim);
    plan.row_floats = round64(sizeof(float) * (max_width > head_dim ? max_width : head_dim)) / sizeof(float);
    plan.private_act_bytes = (small > all ? small : all) + LLMC_CPU_LORA_ROW_BYTES;
    plan.attention_bytes = round64(llmc_attention_scratch_bytes(head_dim));
    plan.tile_bytes = round64(tile > blas ? tile : blas);
    plan.private_bytes = plan.row_floats * sizeof(float) + plan.private_act_bytes + plan.attention_bytes + plan.tile_bytes;
    return plan;
}

static size_t plan_bytes(const llmc_cpu_backend *backend, const llmc_cpu_scratch *plan) {
    return plan->shared_act_bytes + plan->partial_floats * sizeof(float) +
           plan->private_bytes * (size_t)llmc_pool_threads(backend->pool);
}

static int in_limits(uint32_t max_tokens, uint32_t max_width, uint32_t head_dim, uint32_t n_heads) {
    return max_tokens <= MAX_TOKENS && max_width <= MAX_WIDTH && head_dim <= MAX_HEAD_DIM && n_heads <= MAX_HEADS;
}

size_t llmc_cpu_scratch_bytes(const llmc_backend *backend, uint32_t max_tokens, uint32_t max_width, uint32_t head_dim,
                              uint32_t n_heads) {
    if (!in_limits(max_tokens, max_width, head_dim, n_heads)) return 0;
    const llmc_cpu_backend *cpu = (const llmc_cpu_backend *)backend;
    llmc_cpu_scratch plan = plan_scratch(cpu, max_tokens, max_width, head_dim, n_heads);
    return plan_bytes(cpu, &plan);
}

/* Keeps the largest of what was asked for, so that several models share a backend. */
llmcall_status llmc_cpu_reserve(llmc_backend *base, uint32_t max_tokens, uint32_t max_width, uint32_t head_dim,
                                uint32_t n_heads, llmcall_error *error) {
    llmc_cpu_backend *backend = (llmc_cpu_backend *)base;
    const llmc_cpu_scratch *old = &backend->scratch;
    if (!in_limits(max_tokens, max_width, head_dim, n_heads)) {
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, NULL,
                         "A step of %u tokens, width %u, %u heads of %u is beyond what the CPU backend takes.", max_tokens,
                         max_width, n_heads, head_dim);
    }
    llmc_cpu_scratch plan =
        plan_scratch(backend, max_tokens > old->max_tokens ? max_tokens : old->max_tokens,
                     max_width > old->max_width ? max_width : old->max_width,
                     head_dim > old->head_dim ? head_dim : old->head_dim, n_heads > old->n_heads ? n_heads : old->n_heads);
    plan.shared_act = llmc_cpu_alloc_large(base->env, plan_bytes(backend, &plan));
    if (!plan.shared_act) return llmc_fail_memory(error, "a step's scratch");
    plan.partial = (float *)(void *)(plan.shared_act + plan.shared_act_bytes);
    plan.private_base = (uint8_t *)(plan.partial + plan.partial_floats);
    llmc_free_aligned(base->env, backend->scratch.shared_act);
    backend->scratch = plan;
    return LLMCALL_OK;
}
