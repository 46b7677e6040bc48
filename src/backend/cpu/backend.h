/* What the files of the CPU backend share: the backend itself, its weights and its KV pages. */
#ifndef LLMC_CPU_BACKEND_H
#define LLMC_CPU_BACKEND_H

#include "backend/backend.h"
#include "backend/cpu/pool.h"
#include "kernels/cpu/activation.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/matmul.h"
#include "kernels/cpu/norm.h"
#include "kernels/cpu/recurrent.h"
#include "kernels/cpu/rope.h"

typedef struct llmc_cpu_weight_block llmc_cpu_weight_block;

struct llmc_weight {
    llmc_packed packed;
    llmc_cpu_weight_block *block; /* whose memory it has; NULL: its own */
};

/* A layer's part of a page. */
typedef struct llmc_cpu_kv_place {
    size_t offset;
    size_t block_bytes; /* of a KV head */
    llmc_kv_layer of;
} llmc_cpu_kv_place;

/* Page-major: a page holds every layer and KV head, each block as kernels/cpu/attention.h has it. */
struct llmc_kv_store {
    llmc_kv_shape shape;
    size_t page_bytes;
    uint8_t *base;
    llmc_cpu_kv_place *places; /* (n_layers) */
};

struct llmc_state_store {
    llmc_state_shape shape;
    float *base; // (n_slots, slot_floats)
};

/* Memory for steps, in one block: what all threads share, then a part for each. */
typedef struct llmc_cpu_scratch {
    uint32_t max_tokens, max_width, head_dim, n_heads;
    size_t shared_act_bytes; /* rows of a matmul in their forms */
    size_t partial_floats;   /* results of attention groups that wait to be folded */
    size_t row_floats;       /* a thread's row, transformed but not yet in its form */
    size_t
        private_act_bytes; /* a thread's own copy of a small matmul's rows; one row at least, with what an adapter makes of it */
    size_t attention_bytes;
    size_t tile_bytes;    /* for the matmul kernels */
    size_t private_bytes; /* the four above */
    uint8_t *shared_act;  /* the block */
    float *partial;
    uint8_t *private_base;
} llmc_cpu_scratch;

/* OpenBLAS, where an engine gave up exact results; sgemm NULL: not in use. */
typedef void (*llmc_sgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float *a,
                           int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef struct llmc_cpu_blas {
    void *library;
    llmc_sgemm sgemm;
} llmc_cpu_blas;

typedef struct llmc_cpu_backend {
    llmc_backend base;
    llmc_pool *pool;
    llmc_cpu_tier tier;
    llmc_matmul_kernels matmul;
    llmc_matmul_kernels
        exact; /* of the best tier that multiplies float weights with floats, and so with the same bits as all */
    llmc_norm_kernels norm;
    llmc_activation_kernels activation;
    llmc_rope_kernels rope;
    llmc_attention_kernels attention;
    llmc_recurrent_kernels recurrent;
    llmc_cpu_scratch scratch;
    llmc_cpu_blas blas;
    llmc_cpu_weight_block *weight_block; /* where the next weights come from; NULL: none is reserved */
} llmc_cpu_backend;

/* A thread in a step. */
typedef struct llmc_cpu_thread {
    llmc_cpu_backend *backend;
    const llmc_batch *batch;
    int32_t index;
    int32_t n_threads;
    float *row;
    uint8_t *act;
    void *attention;
    void *tile;
} llmc_cpu_thread;

/* A small matmul: every thread prepares all of its rows for itself, which is cheaper than a barrier. */
enum { LLMC_CPU_SMALL_ROWS = 4, LLMC_CPU_SMALL_ELEMENTS = 4096 };

enum { LLMC_CPU_MAX_EXPERTS = 1024 };

/* A row times a; of the shared rows of a matmul at least one for every part. */
enum { LLMC_CPU_LORA_ROW_BYTES = LLMC_LORA_MAX_RANK * 4 + 64 };

/* memory.c */
void *llmc_cpu_alloc_large(const llmc_env *env, size_t size); /* in huge pages where the system gives them */
float *llmc_cpu_alloc(llmc_backend *backend, size_t n_floats);
void llmc_cpu_release(llmc_backend *backend, float *array);
llmcall_status llmc_cpu_upload(llmc_backend *backend, float *dst, const float *src, size_t n_floats, llmcall_error *error);
const float *llmc_cpu_view(llmc_backend *backend, const float *src, size_t n_floats);
size_t llmc_cpu_kv_bytes(const llmc_backend *backend, const llmc_kv_shape *shape);
llmcall_status llmc_cpu_kv_create(llmc_backend *backend, const llmc_kv_shape *shape, llmc_kv_store **kv, llmcall_error *error);
void llmc_cpu_kv_zero(llmc_backend *backend, llmc_kv_store *kv, uint32_t page);
void llmc_cpu_kv_destroy(llmc_backend *backend, llmc_kv_store *kv);
size_t llmc_cpu_scratch_bytes(const llmc_backend *backend, uint32_t max_tokens, uint32_t max_width, uint32_t head_dim,
                              uint32_t n_heads);
llmcall_status llmc_cpu_reserve(llmc_backend *backend, uint32_t max_tokens, uint32_t max_width, uint32_t head_dim,
                                uint32_t n_heads, llmcall_error *error);

/* recurrent.c: the states, and the operations of the layers that have them */
size_t llmc_cpu_state_bytes(const llmc_backend *backend, const llmc_state_shape *shape);
llmcall_status llmc_cpu_state_create(llmc_backend *backend, const llmc_state_shape *shape, llmc_state_store **states,
                                     llmcall_error *error);
void llmc_cpu_state_copy(llmc_backend *backend, llmc_state_store *states, uint32_t dst, uint32_t src);
void llmc_cpu_state_destroy(llmc_backend *backend, llmc_state_store *states);
void llmc_cpu_conv(const llmc_cpu_thread *thread, const llmc_op_conv *op);
void llmc_cpu_scan(const llmc_cpu_thread *thread, const llmc_op_scan *op);
void llmc_cpu_channel_scan(const llmc_cpu_thread *thread, const llmc_op_channel_scan *op);
void llmc_cpu_decay(const llmc_cpu_thread *thread, const llmc_op_decay *op);
void llmc_cpu_shift(const llmc_cpu_thread *thread, const llmc_op_shift *op);
void llmc_cpu_wkv(const llmc_cpu_thread *thread, const llmc_op_wkv *op);
void llmc_cpu_unit(const llmc_cpu_thread *thread, const llmc_op_unit *op);
void llmc_cpu_delta(const llmc_cpu_thread *thread, const llmc_op_delta *op);
void llmc_cpu_group_norm(const llmc_cpu_thread *thread, const llmc_op_group_norm *op);
void llmc_cpu_sigmoid(const llmc_cpu_thread *thread, const llmc_op_sigmoid *op);
void llmc_cpu_blocks(const llmc_cpu_thread *thread, const llmc_op_blocks *op);
/* NULL, or what is wrong with the operation (of one of the kinds above); static text. */
const char *llmc_cpu_recurrent_fault(const llmc_batch *batch, const llmc_op *op);

/* weight.c */
size_t llmc_cpu_weight_bytes(const llmc_backend *backend, int32_t type, uint32_t rows, uint32_t cols);
llmcall_status llmc_cpu_weight_reserve(llmc_backend *backend, size_t bytes, llmcall_error *error);
llmcall_status llmc_cpu_weight_create(llmc_backend *backend, int32_t type, uint32_t rows, uint32_t cols, llmc_weight **weight,
                                      llmcall_error *error);
llmcall_status llmc_cpu_weight_fill(llmc_backend *backend, llmc_weight *weight, uint32_t first_row, uint32_t n_rows,
                                    const void *blocks, llmcall_error *error);
llmcall_status llmc_cpu_weight_read(llmc_backend *backend, const llmc_weight_source *sources, size_t n_sources,
                                    const llmc_weight_reader *reader, llmcall_error *error);
void llmc_cpu_weight_destroy(llmc_backend *backend, llmc_weight *weight);
void llmc_cpu_weight_block_drop(llmc_cpu_backend *backend); /* what is reserved; weights keep their memory */

/* lora.c: after a product; begins with a barrier, unless no row has an adapter. */
void llmc_cpu_lora(const llmc_cpu_thread *thread, const llmc_op_matmul *op);
/* What the pair adds to n rows of a product, by this thread alone: their inputs lie at thread->act as LLMC_ACT_F32, and are at most
 * llmc_cpu_lora_rows. dst rows are as far apart as the weight has rows. */
void llmc_cpu_lora_add(const llmc_cpu_thread *thread, const llmc_lora_pair *pair, float scale, uint32_t width, uint32_t n,
                       float *dst);
/* What the adapter of the token's segment adds to its row of embeddings. */
void llmc_cpu_lora_embed(const llmc_cpu_thread *thread, uint32_t token, float *dst);
uint32_t llmc_cpu_lora_rows(const llmc_cpu_thread *thread, const llmc_lora_pair *pair, uint32_t width);
const char *llmc_cpu_lora_fault(const llmc_batch *batch, const llmc_op *op); /* as llmc_cpu_recurrent_fault */

/* blas.c. Its own scratch is the thread's tile. */
void llmc_cpu_blas_close(llmc_cpu_blas *blas);
size_t llmc_cpu_blas_scratch_bytes(const llmc_cpu_backend *backend); /* 0: not in use */
/* Tiles of a unit of work, if this product is one for OpenBLAS; else 0. */
uint32_t llmc_cpu_blas_tiles(const llmc_cpu_thread *thread, const llmc_packed *packed, uint32_t n_rows);
/* At most that many tiles; act rows as LLMC_ACT_F32, dst rows packed->rows apart; the rest as llmc_matmul_kernels.matmul. */
void llmc_cpu_blas_multiply(const llmc_cpu_thread *thread, const llmc_packed *packed, const float *act, uint32_t n_rows,
                            uint32_t tile_begin, uint32_t tile_end, float *dst, const float *bias, int accumulate);

/* validate.c: LLMCALL_OK, or LLMCALL_E_INTERNAL with the operation's number and what is wrong with it. Nothing that passes can
 * make an operation read or write outside the arrays that its dimensions describe. */
llmcall_status llmc_cpu_validate(const llmc_cpu_backend *backend, const llmc_batch *batch, const llmc_op *ops, uint32_t n_ops,
                                 llmcall_error *error);

/* Rows in every form that the weights of an operation multiply with. Zeroed at first; then what is needed is added, then placed. */
typedef struct llmc_cpu_rows {
    uint8_t *act[LLMC_ACT_FORMS];     /* NULL: not needed */
    size_t row_bytes[LLMC_ACT_FORMS]; /* 0: not needed */
} llmc_cpu_rows;

void llmc_cpu_rows_add(llmc_cpu_rows *rows, llmc_act_form form, uint32_t width);
size_t llmc_cpu_rows_bytes(const llmc_cpu_rows *rows); /* of a row in all forms */
void llmc_cpu_rows_place(llmc_cpu_rows *rows, uint8_t *memory, uint32_t n_rows);
void llmc_cpu_rows_quantize(const llmc_cpu_thread *thread, const llmc_cpu_rows *rows, const float *x, uint32_t width,
                            uint32_t row);

/* Some tiles of a weight by rows [first, first + n), in blocks of rows that stay in a core's cache. */
typedef struct llmc_cpu_product {
    const llmc_packed *packed;
    const llmc_cpu_rows *rows;
    uint32_t first, n;
    uint32_t tile_begin, tile_end;
    float *dst;        /* of the first row */
    size_t dst_stride; /* between rows; 0: packed->rows */
    const float *bias;
    int accumulate;
} llmc_cpu_product;

void llmc_cpu_multiply(const llmc_cpu_thread *thread, const llmc_cpu_product *product);

/* Operations, each run by every thread of the pool; a barrier must follow each. */
void llmc_cpu_matmul(const llmc_cpu_thread *thread, const llmc_op_matmul *op);
void llmc_cpu_rope_store(const llmc_cpu_thread *thread, const llmc_op_rope_store *op);
void llmc_cpu_attention(const llmc_cpu_thread *thread, const llmc_op_attention *op);
void llmc_cpu_route(const llmc_cpu_thread *thread, const llmc_op_route *op);
void llmc_cpu_experts(const llmc_cpu_thread *thread, const llmc_op_experts *op);
void llmc_cpu_combine(const llmc_cpu_thread *thread, const llmc_op_combine *op);
void llmc_cpu_split_latent(const llmc_cpu_thread *thread, const llmc_op_split_latent *op);
void llmc_cpu_heads(const llmc_cpu_thread *thread, const llmc_op_heads *op);
void llmc_cpu_mix(const llmc_cpu_thread *thread, const llmc_op_mix *op);
void llmc_cpu_length(const llmc_cpu_thread *thread, const llmc_op_length *op);
void llmc_cpu_sparse(const llmc_cpu_thread *thread, const llmc_op_sparse *op);
const char *llmc_cpu_streams_fault(const llmc_cpu_backend *backend, const llmc_op *op); /* of these three */

/* Whether both may run as one loop without a barrier between: one token a segment, short contexts, the same heads. */
int llmc_cpu_attention_fuses(const llmc_cpu_thread *thread, const llmc_op_rope_store *store, const llmc_op_attention *op);
void llmc_cpu_store_and_attend(const llmc_cpu_thread *thread, const llmc_op_rope_store *store, const llmc_op_attention *op);

/* Token and KV head of a rope_store: its part of the operation. */
void llmc_cpu_store_head(const llmc_cpu_thread *thread, const llmc_op_rope_store *op, const llmc_segment *segment,
                         uint32_t token, uint32_t kv_head);
/* A row of the product's input as its weights read it: at thread->row, or where it is. */
/* A gated or plain activation of a row, into thread->row; limit as in llmc_op_matmul. */
void llmc_cpu_activate(const llmc_cpu_thread *thread, int activation, float limit, const float *gate, const float *up,
                       uint32_t n);
const float *llmc_cpu_transform(const llmc_cpu_thread *thread, const llmc_op_matmul *op, uint32_t row);
const llmc_segment *llmc_cpu_segment_of(const llmc_batch *batch, uint32_t token);

static inline uint8_t *llmc_cpu_kv_block(const llmc_kv_store *kv, uint32_t page, uint32_t layer, uint32_t kv_head) {
    return kv->base + page * kv->page_bytes + kv->places[layer].offset + kv_head * kv->places[layer].block_bytes;
}

/* A thread's even share of n. */
static inline void llmc_cpu_share(const llmc_cpu_thread *thread, uint32_t n, uint32_t *begin, uint32_t *end) {
    uint64_t index = (uint64_t)thread->index, n_threads = (uint64_t)thread->n_threads;
    *begin = (uint32_t)(n * index / n_threads);
    *end = (uint32_t)(n * (index + 1) / n_threads);
}

static inline uint32_t llmc_cpu_tiles(const llmc_packed *packed) {
    return (uint32_t)(((uint64_t)packed->rows + LLMC_TILE_ROWS - 1) / LLMC_TILE_ROWS);
}

static inline uint32_t llmc_cpu_min(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

#endif
