/* Steps on the CPU backend: a small model's list of operations gives the same bits on every tier and number of threads, in one
 * piece, in pieces of any size and beside other sequences; wrong steps are refused; failing memory is reported and nothing leaks. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/random_weights.h"
#include "backend/backend.h"
#include "failing_alloc.h"
#include "kernels/cpu/cpu.h"

enum { VOCAB = 72, WIDTH = 256, HIDDEN = 512, HEADS = 6, KV_HEADS = 2, HEAD_DIM = 64, N_ROT = 32, LAYERS = 2 };
enum { Q_ROWS = HEADS * HEAD_DIM, KV_ROWS = KV_HEADS * HEAD_DIM, MAX_TOKENS = 64, MAX_POSITIONS = 800, MAX_OPS = 32 };
enum { TOKENS, QW, KW, VW, OW, GATE, UP, DOWN, HEAD, N_WEIGHTS };

/* One matmul has three activation forms (QW, KW, VW), another two (GATE, UP). */
static const struct {
    int32_t type;
    uint32_t rows, cols;
} shapes[N_WEIGHTS] = {
    {8, VOCAB, WIDTH},   {2, Q_ROWS, WIDTH}, {14, KV_ROWS, WIDTH}, {0, KV_ROWS, WIDTH}, {6, WIDTH, Q_ROWS},
    {12, HIDDEN, WIDTH}, {3, HIDDEN, WIDTH}, {13, WIDTH, HIDDEN},  {8, VOCAB, WIDTH},
};

typedef struct model {
    llmc_backend *backend;
    llmc_weight *weight[N_WEIGHTS];
    llmc_kv_store *kv;
    float *x, *norm, *bias, *q, *k, *v, *attention, *gate, *up, *table, *last, *logits;
    double inv_freq[N_ROT / 2];
} model;

typedef struct sequence {
    uint32_t n_tokens, done, n_pages;
    int32_t tokens[MAX_POSITIONS];
    uint32_t pages[MAX_POSITIONS / LLMC_PAGE_TOKENS];
    float *logits; /* (n_tokens, VOCAB) */
} sequence;

static const weight_type *type_of(int32_t id) {
    for (int i = 0; i < N_WEIGHT_TYPES; i++) {
        if (weight_types[i].id == id) return &weight_types[i];
    }
    return NULL;
}

static llmcall_status make_weights(model *m) {
    uint64_t seed = 11;
    for (int i = 0; i < N_WEIGHTS; i++) {
        int32_t id = shapes[i].type;
        const weight_type *type = type_of(id);
        size_t n = (size_t)shapes[i].rows * shapes[i].cols;
        llmcall_status status =
            m->backend->call->weight_create(m->backend, id, shapes[i].rows, shapes[i].cols, &m->weight[i], NULL);
        if (status != LLMCALL_OK) return status;
        uint8_t *blocks = malloc(n / type->cols * type->bytes);
        random_weights(&seed, type, blocks, n);
        uint32_t first = shapes[i].rows / 2 / 32 * 32;
        size_t offset = (size_t)first * (shapes[i].cols / type->cols) * type->bytes;
        status = m->backend->call->weight_fill(m->backend, m->weight[i], 0, first, blocks, NULL);
        if (status == LLMCALL_OK) {
            status =
                m->backend->call->weight_fill(m->backend, m->weight[i], first, shapes[i].rows - first, blocks + offset, NULL);
        }
        free(blocks);
        if (status != LLMCALL_OK) return status;
    }
    return LLMCALL_OK;
}

static void free_model(model *m) {
    if (!m->backend) return;
    const llmc_backend_functions *call = m->backend->call;
    for (int i = 0; i < N_WEIGHTS; i++) call->weight_destroy(m->backend, m->weight[i]);
    call->kv_destroy(m->backend, m->kv);
    float *arrays[] = {m->x, m->norm, m->bias, m->q, m->k, m->v, m->attention, m->gate, m->up, m->table, m->last, m->logits};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) call->release(m->backend, arrays[i]);
    call->destroy(m->backend);
    *m = (model){0};
}

static llmcall_status make_arrays(model *m) {
    struct {
        float **array;
        size_t n;
    } arrays[] = {
        {&m->x, MAX_TOKENS * WIDTH},
        {&m->norm, HIDDEN},
        {&m->bias, HIDDEN},
        {&m->q, MAX_TOKENS * Q_ROWS},
        {&m->k, MAX_TOKENS * KV_ROWS},
        {&m->v, MAX_TOKENS * KV_ROWS},
        {&m->attention, MAX_TOKENS * Q_ROWS},
        {&m->gate, MAX_TOKENS * HIDDEN},
        {&m->up, MAX_TOKENS * HIDDEN},
        {&m->table, MAX_TOKENS * N_ROT},
        {&m->last, MAX_TOKENS * WIDTH},
        {&m->logits, MAX_TOKENS * VOCAB},
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) {
        *arrays[i].array = m->backend->call->alloc(m->backend, arrays[i].n);
        if (!*arrays[i].array) return LLMCALL_E_NO_MEMORY;
    }
    float host[HIDDEN];
    for (int i = 0; i < HIDDEN; i++) host[i] = 1.0f + 0.1f * sinf((float)i);
    m->backend->call->upload(m->backend, m->norm, host, HIDDEN, NULL);
    m->backend->call->upload(m->backend, m->bias, host, HIDDEN, NULL);
    for (int i = 0; i < N_ROT / 2; i++) m->inv_freq[i] = pow(10000.0, -2.0 * i / N_ROT);
    return LLMCALL_OK;
}

static llmcall_status make_model(model *m, const llmc_env *env, int32_t n_threads, int tier, int kv_type,
                                 llmcall_error *error) {
    *m = (model){0};
    llmcall_status status =
        llmc_cpu_backend_create(env, n_threads, llmc_cpu_tier_name((llmc_cpu_tier)tier), &m->backend, error);
    if (status == LLMCALL_OK) status = make_weights(m);
    if (status == LLMCALL_OK) status = make_arrays(m);
    const llmc_kv_shape shape = {2 * MAX_POSITIONS / LLMC_PAGE_TOKENS, LAYERS, KV_HEADS, HEAD_DIM, kv_type};
    if (status == LLMCALL_OK) status = m->backend->call->kv_create(m->backend, &shape, &m->kv, error);
    if (status == LLMCALL_OK) status = m->backend->call->reserve(m->backend, MAX_TOKENS, HIDDEN, HEAD_DIM, HEADS, error);
    if (status != LLMCALL_OK) free_model(m);
    return status;
}

static llmc_op matmul(const model *m, uint32_t n_rows, uint32_t width, int input, const float *src, uint32_t n_parts) {
    llmc_op op = {.kind = LLMC_OP_MATMUL};
    op.u.matmul = (llmc_op_matmul){.n_rows = n_rows, .width = width, .input = input, .src = src, .n_parts = n_parts};
    op.u.matmul.norm = m->norm;
    op.u.matmul.eps = 1e-5f;
    return op;
}

static void set_part(llmc_op *op, int part, const model *m, int weight, float *dst, const float *bias) {
    op->u.matmul.part[part].weight = m->weight[weight];
    op->u.matmul.part[part].dst = dst;
    op->u.matmul.part[part].bias = bias;
}

static uint32_t add_layer(const model *m, uint32_t n, uint32_t layer, llmc_op *ops) {
    llmc_op *op = ops;
    *op = matmul(m, n, WIDTH, LLMC_INPUT_RMS_NORM, m->x, 3);
    set_part(op, 0, m, QW, m->q, m->bias);
    set_part(op, 1, m, KW, m->k, NULL);
    set_part(op++, 2, m, VW, m->v, NULL);
    op->kind = LLMC_OP_ROPE_STORE;
    op++->u.rope_store = (llmc_op_rope_store){.kv = m->kv,
                                              .layer = layer,
                                              .n_heads = HEADS,
                                              .n_kv_heads = KV_HEADS,
                                              .head_dim = HEAD_DIM,
                                              .n_rot = N_ROT,
                                              .rope = layer ? LLMC_ROPE_HALVES : LLMC_ROPE_INTERLEAVED,
                                              .table = m->table,
                                              .q = m->q,
                                              .k = m->k,
                                              .v = m->v,
                                              .q_norm = m->norm,
                                              .k_norm = layer ? m->norm : NULL,
                                              .head_norm = LLMC_NORM_RMS,
                                              .eps = 1e-6f};
    op->kind = LLMC_OP_ATTENTION;
    op++->u.attention = (llmc_op_attention){.kv = m->kv,
                                            .layer = layer,
                                            .n_heads = HEADS,
                                            .n_kv_heads = KV_HEADS,
                                            .head_dim = HEAD_DIM,
                                            .scale = 0.14f,
                                            .q = m->q,
                                            .dst = m->attention};
    *op = matmul(m, n, Q_ROWS, LLMC_INPUT_PLAIN, m->attention, 1);
    op->u.matmul.accumulate = 1;
    set_part(op++, 0, m, OW, m->x, m->bias);
    *op = matmul(m, n, WIDTH, LLMC_INPUT_RMS_NORM, m->x, 2);
    set_part(op, 0, m, GATE, m->gate, NULL);
    set_part(op++, 1, m, UP, m->up, NULL);
    *op = matmul(m, n, HIDDEN, LLMC_INPUT_ACTIVATION, m->gate, 1);
    op->u.matmul.up = m->up;
    op->u.matmul.accumulate = 1;
    set_part(op++, 0, m, DOWN, m->x, NULL);
    return (uint32_t)(op - ops);
}

static uint32_t build_ops(const model *m, const llmc_batch *batch, llmc_op *ops) {
    uint32_t n = 0;
    ops[n].kind = LLMC_OP_EMBED;
    ops[n++].u.embed = (llmc_op_embed){.weight = m->weight[TOKENS], .dst = m->x};
    ops[n].kind = LLMC_OP_ROPE_TABLE;
    ops[n++].u.rope_table = (llmc_op_rope_table){m->inv_freq, N_ROT, 1.0f, m->table};
    for (uint32_t layer = 0; layer < LAYERS; layer++) n += add_layer(m, batch->n_tokens, layer, ops + n);
    ops[n].kind = LLMC_OP_GATHER;
    ops[n++].u.gather = (llmc_op_gather){WIDTH, m->x, m->last};
    ops[n] = matmul(m, batch->n_outputs, WIDTH, LLMC_INPUT_RMS_NORM, m->last, 1);
    set_part(&ops[n++], 0, m, HEAD, m->logits, NULL);
    return n;
}

static void make_sequence(sequence *s, uint32_t n_tokens, uint32_t first_page) {
    *s = (sequence){.n_tokens = n_tokens, .n_pages = (n_tokens + LLMC_PAGE_TOKENS - 1) / LLMC_PAGE_TOKENS};
    for (uint32_t i = 0; i < n_tokens; i++) s->tokens[i] = (int32_t)((i * i + 7 * i + first_page) % VOCAB);
    for (uint32_t i = 0; i < s->n_pages; i++) s->pages[i] = first_page + (s->n_pages - 1 - i);
    s->logits = calloc((size_t)n_tokens * VOCAB, sizeof(float));
}

/* One step: the next counts[i] tokens of each sequence, all their logits kept. */
static void run_step(model *m, sequence **sequences, const uint32_t *counts, uint32_t n_sequences) {
    int32_t tokens[MAX_TOKENS];
    uint32_t positions[MAX_TOKENS], rows[MAX_TOKENS];
    llmc_segment segments[4];
    llmc_op ops[MAX_OPS];
    llmc_batch batch = {.tokens = tokens, .positions = positions, .segments = segments, .output_rows = rows};
    for (uint32_t i = 0; i < n_sequences; i++) {
        sequence *s = sequences[i];
        if (counts[i] == 0) continue;
        segments[batch.n_segments++] = (llmc_segment){batch.n_tokens, counts[i], s->done, s->n_pages, s->pages};
        for (uint32_t j = 0; j < counts[i]; j++, batch.n_tokens++) {
            tokens[batch.n_tokens] = s->tokens[s->done + j];
            positions[batch.n_tokens] = s->done + j;
            rows[batch.n_tokens] = batch.n_tokens;
        }
    }
    batch.n_outputs = batch.n_tokens;
    uint32_t n_ops = build_ops(m, &batch, ops);
    LLMCALL_INIT(llmcall_error, error);
    if (m->backend->call->run(m->backend, &batch, ops, n_ops, &error) != LLMCALL_OK) fail_msg("%s", error.message);
    const float *logits = m->backend->call->view(m->backend, m->logits, (size_t)batch.n_tokens * VOCAB);
    for (uint32_t i = 0; i < n_sequences; i++) {
        memcpy(sequences[i]->logits + (size_t)sequences[i]->done * VOCAB, logits, counts[i] * VOCAB * sizeof(float));
        logits += (size_t)counts[i] * VOCAB;
        sequences[i]->done += counts[i];
    }
}

/* All of it in the largest pieces that a step takes. */
static void run_alone(model *m, sequence *s) {
    while (s->done < s->n_tokens) {
        uint32_t left = s->n_tokens - s->done, count = left < MAX_TOKENS ? left : MAX_TOKENS;
        run_step(m, &s, &count, 1);
    }
}

/* Pieces of random size of both, many of them single tokens. */
static void run_mixed(model *m, sequence *a, sequence *b, uint64_t seed) {
    sequence *both[2] = {a, b};
    while (a->done < a->n_tokens || b->done < b->n_tokens) {
        uint32_t counts[2];
        for (int i = 0; i < 2; i++) {
            uint32_t left = both[i]->n_tokens - both[i]->done, most = random_next(&seed) % 2 ? 1 : MAX_TOKENS / 2;
            counts[i] = (uint32_t)(random_next(&seed) % (most + 1));
            if (counts[i] > left) counts[i] = left;
        }
        if (counts[0] + counts[1]) run_step(m, both, counts, 2);
    }
}

static void assert_same(const sequence *a, const sequence *b) {
    double sum = 0;
    for (size_t i = 0; i < (size_t)a->n_tokens * VOCAB; i++) sum += fabs((double)a->logits[i]);
    assert_true(isfinite(sum) && sum > 0);
    assert_memory_equal(a->logits, b->logits, (size_t)a->n_tokens * VOCAB * sizeof(float));
}

static void check_invariance(int kv_type, uint32_t n_a, uint32_t n_b, int first_tier) {
    llmc_env env;
    llmc_env_init(&env, NULL);
    model m;
    sequence reference[2], again[2];
    make_sequence(&reference[0], n_a, 3);
    make_sequence(&reference[1], n_b, MAX_POSITIONS / LLMC_PAGE_TOKENS);
    assert_int_equal(make_model(&m, &env, 1, first_tier, kv_type, NULL), LLMCALL_OK);
    for (int i = 0; i < 2; i++) run_alone(&m, &reference[i]);
    free_model(&m);
    for (int tier = first_tier; tier < LLMC_TIERS; tier++) {
        if (!llmc_cpu_has_tier((llmc_cpu_tier)tier)) continue;
        for (int32_t n_threads = 1; n_threads <= 3; n_threads++) {
            assert_int_equal(make_model(&m, &env, n_threads, tier, kv_type, NULL), LLMCALL_OK);
            for (int mixed = 0; mixed < 2; mixed++) {
                make_sequence(&again[0], n_a, 3);
                make_sequence(&again[1], n_b, MAX_POSITIONS / LLMC_PAGE_TOKENS);
                if (mixed) run_mixed(&m, &again[0], &again[1], (uint64_t)(tier * 10 + n_threads));
                for (int i = 0; i < 2; i++) {
                    if (!mixed) run_alone(&m, &again[i]);
                    assert_same(&reference[i], &again[i]);
                    free(again[i].logits);
                }
            }
            free_model(&m);
        }
    }
    for (int i = 0; i < 2; i++) free(reference[i].logits);
}

static void same_bits_however_computed(void **state) {
    (void)state;
    check_invariance(LLMC_KV_F16, 70, 35, LLMC_TIER_C);
    check_invariance(LLMC_KV_F32, 35, 20, LLMC_TIER_C);
    check_invariance(LLMC_KV_Q8_0, 35, 20, LLMC_TIER_C);
}

/* A single token whose context is long enough that the threads share it. */
static void check_long_context(int kv_type) {
    llmc_env env;
    llmc_env_init(&env, NULL);
    model m;
    sequence a, b;
    make_sequence(&a, 700, 1);
    make_sequence(&b, 700, 1);
    int tier = (int)llmc_cpu_best_tier();
    assert_int_equal(make_model(&m, &env, 1, tier, kv_type, NULL), LLMCALL_OK);
    run_alone(&m, &a);
    free_model(&m);
    assert_int_equal(make_model(&m, &env, 3, tier, kv_type, NULL), LLMCALL_OK);
    while (b.done < b.n_tokens) {
        sequence *s = &b;
        uint32_t count = b.done < 500 ? 50 : b.done < 570 ? 1 : b.done < 630 ? 30 : 1;
        run_step(&m, &s, &count, 1);
    }
    assert_same(&a, &b);
    free_model(&m);
    free(a.logits);
    free(b.logits);
}

static void same_bits_in_long_contexts(void **state) {
    (void)state;
    check_long_context(LLMC_KV_F16);
    check_long_context(LLMC_KV_Q8_0);
}

static void failing_memory(void **state) {
    (void)state;
    llmc_env env;
    failing_alloc memory;
    model m;
    for (long n = 1;; n++) {
        failing_alloc_init(&memory, &env);
        memory.fail_at = n;
        llmcall_status status = make_model(&m, &env, 2, (int)llmc_cpu_best_tier(), LLMC_KV_F16, NULL);
        free_model(&m);
        assert_int_equal(memory.live, 0);
        if (status == LLMCALL_OK) break;
        assert_int_equal(status, LLMCALL_E_NO_MEMORY);
        assert_true(n < 100);
    }
}

static void running_allocates_nothing(void **state) {
    (void)state;
    llmc_env env;
    failing_alloc memory;
    failing_alloc_init(&memory, &env);
    model m;
    sequence a;
    make_sequence(&a, 40, 0);
    assert_int_equal(make_model(&m, &env, 2, (int)llmc_cpu_best_tier(), LLMC_KV_F32, NULL), LLMCALL_OK);
    long before = memory.count;
    run_alone(&m, &a);
    m.backend->call->kv_zero(m.backend, m.kv, 0);
    assert_int_equal(memory.count, before);
    assert_true(m.backend->call->scratch_bytes(m.backend, MAX_TOKENS, HIDDEN, HEAD_DIM, HEADS) > 0);
    assert_int_equal(m.backend->call->scratch_bytes(m.backend, UINT32_MAX, UINT32_MAX, 1, 1), 0);
    assert_int_equal(m.backend->call->reserve(m.backend, 1, UINT32_MAX, 1, 1, NULL), LLMCALL_E_UNSUPPORTED);
    assert_int_equal(m.backend->call->threads(m.backend), 2);
    free(a.logits);
    free_model(&m);
    assert_int_equal(memory.live, 0);
}

/* --- refusals --- */

enum { N_FAULTS = 26 };

static void break_step(int fault, llmc_batch *batch, llmc_segment *segment, uint32_t *positions, int32_t *tokens,
                       uint32_t *pages, uint32_t *rows, llmc_op *ops) {
    switch (fault) {
    case 0:
        tokens[1] = VOCAB;
        break;
    case 1:
        tokens[1] = -1;
        break;
    case 2:
        positions[1] = 5;
        break;
    case 3:
        pages[0] = 2 * MAX_POSITIONS / LLMC_PAGE_TOKENS;
        break;
    case 4:
        segment->n_pages = 0;
        break;
    case 5:
        segment->n_tokens = 3;
        break;
    case 6:
        segment->first_token = 1;
        break;
    case 7:
        segment->start = UINT32_MAX;
        break;
    case 8:
        rows[0] = 2;
        break;
    case 9:
        batch->n_tokens = MAX_TOKENS + 1;
        break;
    case 10:
        ops[2].u.matmul.n_rows = MAX_TOKENS + 1;
        break;
    case 11:
        ops[2].u.matmul.width = WIDTH / 2;
        break;
    case 12:
        ops[2].u.matmul.n_parts = LLMC_MATMUL_PARTS + 1;
        break;
    case 13:
        ops[2].u.matmul.part[1].weight = NULL;
        break;
    case 14:
        ops[2].u.matmul.norm = NULL;
        break;
    case 15:
        ops[3].u.rope_store.layer = LAYERS;
        break;
    case 16:
        ops[3].u.rope_store.n_rot = HEAD_DIM + 2;
        break;
    case 17:
        ops[4].u.attention.n_heads = HEADS + 1;
        break;
    case 18:
        ops[4].u.attention.head_dim = HEAD_DIM * 2;
        break;
    case 19:
        ops[4].kind = (llmc_op_kind)77;
        break;
    case 20:
        ops[4].u.attention.kv = NULL;
        break;
    case 21:
        ops[3].u.rope_store.v = NULL;
        break;
    case 22:
        ops[2].u.matmul.input = LLMC_INPUT_ACTIVATION;
        ops[2].u.matmul.activation = LLMC_XIELU;
        break;
    case 23:
        ops[4] = (llmc_op){.kind = LLMC_OP_MIX, .u.mix = {.n_rows = 2, .width = WIDTH, .n = 4}};
        break;
    case 24:
        ops[4] = (llmc_op){.kind = LLMC_OP_LENGTH, .u.length = {.n_rows = 2, .width = WIDTH}};
        break;
    case 25:
        ops[4] = (llmc_op){.kind = LLMC_OP_SPARSE, .u.sparse = {.n_rows = 2, .width = 1}};
        break;
    default:
        break;
    }
}

static void wrong_steps_are_refused(void **state) {
    (void)state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    model m;
    assert_int_equal(make_model(&m, &env, 2, (int)llmc_cpu_best_tier(), LLMC_KV_F16, NULL), LLMCALL_OK);
    for (int fault = 0; fault <= N_FAULTS; fault++) { /* the last one is none */
        uint32_t pages[1] = {0}, positions[2] = {0, 1}, rows[1] = {1};
        int32_t tokens[2] = {1, 2};
        llmc_segment segment = {0, 2, 0, 1, pages};
        llmc_batch batch = {2, tokens, positions, 1, &segment, 1, rows};
        llmc_op ops[MAX_OPS];
        uint32_t n_ops = build_ops(&m, &batch, ops);
        break_step(fault, &batch, &segment, positions, tokens, pages, rows, ops);
        LLMCALL_INIT(llmcall_error, error);
        llmcall_status status = m.backend->call->run(m.backend, &batch, ops, n_ops, &error);
        assert_int_equal(status, fault < N_FAULTS ? LLMCALL_E_INTERNAL : LLMCALL_OK);
    }
    llmc_batch nothing = {0};
    llmc_op ops[MAX_OPS];
    uint32_t n_ops = build_ops(&m, &nothing, ops);
    assert_int_equal(m.backend->call->run(m.backend, &nothing, ops, n_ops, NULL), LLMCALL_OK);
    free_model(&m);
}

static void pages_of_layers_that_differ(void **state) {
    (void)state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    llmc_backend *backend;
    llmc_kv_store *kv;
    assert_int_equal(llmc_cpu_backend_create(&env, 1, NULL, &backend, NULL), LLMCALL_OK);
    const llmc_kv_layer layers[] = {{2, 32}, {1, 80}, {4, 64}};
    llmc_kv_shape shape = {.n_pages = 3, .n_layers = 3, .type = LLMC_KV_F16, .layers = layers};
    assert_int_equal(backend->call->kv_bytes(backend, &shape), 3 * 2 * LLMC_PAGE_TOKENS * (2 * 32 + 80 + 4 * 64) * 2);
    assert_int_equal(backend->call->kv_create(backend, &shape, &kv, NULL), LLMCALL_OK);
    backend->call->kv_zero(backend, kv, 2);
    backend->call->kv_destroy(backend, kv);
    shape.type = LLMC_KV_Q8_0; /* 80 is no multiple of its blocks */
    assert_int_equal(backend->call->kv_bytes(backend, &shape), 0);
    backend->call->destroy(backend);
}

static void tiers_are_chosen(void **state) {
    (void)state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    llmc_backend *backend;
    LLMCALL_INIT(llmcall_error, error);
    unsetenv("LLMCALL_CPU");
    assert_int_equal(llmc_cpu_backend_create(&env, 1, NULL, &backend, &error), LLMCALL_OK);
    assert_string_equal(backend->call->tier(backend), llmc_cpu_tier_name(llmc_cpu_best_tier()));
    llmc_weight *weight;
    assert_int_equal(backend->call->weight_create(backend, 999, 32, 32, &weight, &error), LLMCALL_E_UNSUPPORTED);
    assert_int_equal(backend->call->weight_bytes(backend, 2, 32, 33), 0);
    llmc_kv_shape shape = {UINT32_MAX, UINT32_MAX, UINT32_MAX, 128, LLMC_KV_F16};
    llmc_kv_store *kv;
    assert_int_equal(backend->call->kv_bytes(backend, &shape), 0);
    assert_int_equal(backend->call->kv_create(backend, &shape, &kv, &error), LLMCALL_E_ARGUMENT);
    backend->call->destroy(backend);
    setenv("LLMCALL_CPU", "c", 1);
    assert_int_equal(llmc_cpu_backend_create(&env, 1, NULL, &backend, &error), LLMCALL_OK);
    assert_string_equal(backend->call->tier(backend), "c");
    backend->call->destroy(backend);
    setenv("LLMCALL_CPU", "sse9", 1);
    assert_int_equal(llmc_cpu_backend_create(&env, 1, NULL, &backend, &error), LLMCALL_E_UNSUPPORTED);
    assert_string_equal(error.param, "LLMCALL_CPU");
    assert_null(backend);
    unsetenv("LLMCALL_CPU");
    assert_int_equal(llmc_cpu_backend_create(&env, 1, "sse9", &backend, &error), LLMCALL_E_UNSUPPORTED);
    assert_int_equal(llmc_cpu_backend_create(&env, 0, NULL, &backend, &error), LLMCALL_E_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_however_computed),
        cmocka_unit_test(same_bits_in_long_contexts),
        cmocka_unit_test(failing_memory),
        cmocka_unit_test(running_allocates_nothing),
        cmocka_unit_test(wrong_steps_are_refused),
        cmocka_unit_test(tiers_are_chosen),
        cmocka_unit_test(pages_of_layers_that_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
