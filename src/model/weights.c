/* The tensor table of a decoder block, checked against the file and streamed to the backend a few rows at a time. */
#include "model/weights.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "model/quant.h"
#include "model/rope.h"

enum { STAGING_BYTES = 1 << 20, FILL_ROWS = 32 /* weight_fill's granule */, NAME_SIZE = 96 };

typedef enum dim { DIM_NONE, DIM_WIDTH, DIM_Q, DIM_KV, DIM_HEAD, DIM_FF, DIM_VOCAB, DIM_ROPE_PAIRS } dim;

/* Which field of llmc_arch says whether the tensor is there. */
typedef enum need { NEED_ALWAYS, NEED_OPTIONAL, NEED_QKV_BIAS, NEED_MORE_BIAS, NEED_HEAD_NORM } need;

typedef struct tensor_row {
    const char *name; /* in a layer: what follows "blk.N." */
    size_t slot;      /* offset of the pointer in llmc_layer or llmc_weights */
    dim rows;         /* outputs; DIM_NONE: a vector */
    dim cols;
    need needed;
} tensor_row;

#define GLOBAL(field) offsetof(llmc_weights, field)
#define LAYER(field)  offsetof(llmc_layer, field)

static const tensor_row global_tensors[] = {
    {"token_embd.weight", GLOBAL(token_embd), DIM_VOCAB, DIM_WIDTH, NEED_ALWAYS},
    {"output_norm.weight", GLOBAL(output_norm), DIM_NONE, DIM_WIDTH, NEED_ALWAYS},
    {"output.weight", GLOBAL(output), DIM_VOCAB, DIM_WIDTH, NEED_OPTIONAL},
};

/* Does not go to the device: it is folded into the frequencies. */
static const tensor_row rope_factors = {"rope_freqs.weight", 0, DIM_NONE, DIM_ROPE_PAIRS, NEED_OPTIONAL};

static const tensor_row layer_tensors[] = {
    {"attn_norm.weight", LAYER(attn_norm), DIM_NONE, DIM_WIDTH, NEED_ALWAYS},
    {"attn_q.weight", LAYER(wq), DIM_Q, DIM_WIDTH, NEED_ALWAYS},
    {"attn_k.weight", LAYER(wk), DIM_KV, DIM_WIDTH, NEED_ALWAYS},
    {"attn_v.weight", LAYER(wv), DIM_KV, DIM_WIDTH, NEED_ALWAYS},
    {"attn_q.bias", LAYER(bq), DIM_NONE, DIM_Q, NEED_QKV_BIAS},
    {"attn_k.bias", LAYER(bk), DIM_NONE, DIM_KV, NEED_QKV_BIAS},
    {"attn_v.bias", LAYER(bv), DIM_NONE, DIM_KV, NEED_QKV_BIAS},
    {"attn_q_norm.weight", LAYER(q_norm), DIM_NONE, DIM_HEAD, NEED_HEAD_NORM},
    {"attn_k_norm.weight", LAYER(k_norm), DIM_NONE, DIM_HEAD, NEED_HEAD_NORM},
    {"attn_output.weight", LAYER(wo), DIM_WIDTH, DIM_Q, NEED_ALWAYS},
    {"attn_output.bias", LAYER(bo), DIM_NONE, DIM_WIDTH, NEED_MORE_BIAS},
    {"ffn_norm.weight", LAYER(ffn_norm), DIM_NONE, DIM_WIDTH, NEED_ALWAYS},
    {"ffn_gate.weight", LAYER(w_gate), DIM_FF, DIM_WIDTH, NEED_ALWAYS},
    {"ffn_up.weight", LAYER(w_up), DIM_FF, DIM_WIDTH, NEED_ALWAYS},
    {"ffn_down.weight", LAYER(w_down), DIM_WIDTH, DIM_FF, NEED_ALWAYS},
    {"ffn_gate.bias", LAYER(b_gate), DIM_NONE, DIM_FF, NEED_MORE_BIAS},
    {"ffn_up.bias", LAYER(b_up), DIM_NONE, DIM_FF, NEED_MORE_BIAS},
    {"ffn_down.bias", LAYER(b_down), DIM_NONE, DIM_WIDTH, NEED_MORE_BIAS},
};

/* Left behind by converters; nothing reads them. */
static const char *const ignored_layer_tensors[] = {"attn_rot_embd", "attn_rot_embd.weight", "attn.rotary_emb.inv_freq"};

enum {
    N_GLOBAL = sizeof global_tensors / sizeof global_tensors[0],
    N_LAYER = sizeof layer_tensors / sizeof layer_tensors[0],
    N_IGNORED = sizeof ignored_layer_tensors / sizeof ignored_layer_tensors[0]
};

static uint32_t dim_size(const llmc_hparams *h, dim d) {
    switch (d) {
    case DIM_NONE:
        return 1;
    case DIM_WIDTH:
        return h->width;
    case DIM_Q:
        return h->n_heads * h->head_dim;
    case DIM_KV:
        return h->n_kv_heads * h->head_dim;
    case DIM_HEAD:
        return h->head_dim;
    case DIM_FF:
        return h->n_ff;
    case DIM_VOCAB:
        return h->n_vocab;
    case DIM_ROPE_PAIRS:
        return h->rope.n_rot / 2;
    }
    return 0;
}

static llmc_presence presence(const llmc_arch *arch, need needed) {
    switch (needed) {
    case NEED_ALWAYS:
        return LLMC_REQUIRED;
    case NEED_OPTIONAL:
        return LLMC_OPTIONAL;
    case NEED_QKV_BIAS:
        return arch->qkv_bias;
    case NEED_MORE_BIAS:
        return arch->more_bias;
    case NEED_HEAD_NORM:
        return arch->head_norm;
    }
    return LLMC_ABSENT;
}

/* ---- Walking the table -------------------------------------------------------------------------------------------------- */

/* Called for every tensor that the model has and the file holds. slot is where its pointer belongs: llmc_weight ** for a
 * matrix, float ** for a vector; NULL while there is no llmc_weights yet. */
typedef llmcall_status (*visit_fn)(void *user, const tensor_row *row, const llmc_gguf_tensor *tensor, void *slot,
                                   llmcall_error *error);

typedef struct walk {
    const llmc_gguf *gguf;
    const llmc_hparams *hparams;
    llmc_weights *weights; /* NULL: only look */
    visit_fn visit;
    void *user;
} walk;

static llmcall_status walk_row(const walk *w, const tensor_row *row, const char *name, void *base, llmcall_error *error) {
    llmc_presence expected = presence(w->hparams->arch, row->needed);
    if (expected == LLMC_ABSENT) return LLMCALL_OK;
    const llmc_gguf_tensor *tensor = llmc_gguf_find_tensor(w->gguf, name);
    if (tensor) return w->visit(w->user, row, tensor, base ? (char *)base + row->slot : NULL, error);
    if (expected == LLMC_OPTIONAL) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, name, "The file lacks the tensor %s, which %s models have.", name,
                     w->hparams->arch->name);
}

static llmcall_status walk_layer(const walk *w, uint32_t layer, llmcall_error *error) {
    char name[NAME_SIZE];
    llmcall_status status = LLMCALL_OK;
    for (size_t i = 0; i < N_LAYER && status == LLMCALL_OK; i++) {
        snprintf(name, sizeof name, "blk.%u.%s", layer, layer_tensors[i].name);
        status = walk_row(w, &layer_tensors[i], name, w->weights ? &w->weights->layers[layer] : NULL, error);
    }
    return status;
}

static llmcall_status walk_all(const walk *w, llmcall_error *error) {
    llmcall_status status = LLMCALL_OK;
    for (size_t i = 0; i < N_GLOBAL && status == LLMCALL_OK; i++) {
        status = walk_row(w, &global_tensors[i], global_tensors[i].name, w->weights, error);
    }
    for (uint32_t layer = 0; layer < w->hparams->n_layers && status == LLMCALL_OK; layer++) {
        status = walk_layer(w, layer, error);
    }
    return status;
}

/* ---- Checking ----------------------------------------------------------------------------------------------------------- */

enum { MAX_TYPE_ID = 64 };

typedef struct check {
    const llmc_hparams *hparams;
    const llmc_backend *backend;
    llmc_weights_plan *plan;
    uint64_t elements_of_type[MAX_TYPE_ID]; /* of matrices */
} check;

static llmcall_status fail_shape(const llmc_hparams *h, const tensor_row *row, const llmc_gguf_tensor *tensor,
                                 llmcall_error *error) {
    char found[96];
    size_t used = 0;
    for (uint32_t i = tensor->n_dims; i-- > 0;) { /* outputs first, as everywhere here */
        int n = snprintf(found + used, sizeof found - used, "%s%llu", used ? ", " : "", (unsigned long long)tensor->dims[i]);
        used += (size_t)n;
    }
    if (row->rows == DIM_NONE) {
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, tensor->name, "The tensor %s has shape (%s); expected (%u).",
                         tensor->name, found, dim_size(h, row->cols));
    }
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, tensor->name, "The tensor %s has shape (%s); expected (%u, %u).",
                     tensor->name, found, dim_size(h, row->rows), dim_size(h, row->cols));
}

static int shape_matches(const llmc_hparams *h, const tensor_row *row, const llmc_gguf_tensor *tensor) {
    return tensor->dims[0] == dim_size(h, row->cols) && tensor->dims[1] == dim_size(h, row->rows) && tensor->dims[2] == 1 &&
           tensor->dims[3] == 1;
}

static llmcall_status fail_type(const llmc_gguf_tensor *tensor, llmcall_error *error) {
    const llmc_quant_type *type = llmc_quant_type_find(tensor->type);
    return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, tensor->name,
                     "The tensor %s has type %s, which is not supported here.", tensor->name, type ? type->name : "unknown");
}

static void plan_staging(llmc_weights_plan *plan, uint64_t bytes) {
    if (bytes > plan->staging_bytes) plan->staging_bytes = (size_t)bytes;
}

static llmcall_status check_vector(llmc_weights_plan *plan, const llmc_gguf_tensor *tensor, llmcall_error *error) {
    if (tensor->type != LLMC_TYPE_F32 && tensor->type != LLMC_TYPE_F16 && tensor->type != LLMC_TYPE_BF16) {
        return fail_type(tensor, error);
    }
    plan_staging(plan, tensor->dims[0] * 2 * sizeof(float)); /* as in the file, and as floats */
    return LLMCALL_OK;
}

static llmcall_status check_matrix(check *c, const llmc_gguf_tensor *tensor, llmcall_error *error) {
    const llmc_quant_type *type = llmc_quant_type_find(tensor->type);
    uint32_t rows = (uint32_t)tensor->dims[1], cols = (uint32_t)tensor->dims[0];
    size_t bytes = c->backend->call->weight_bytes(c->backend, tensor->type, rows, cols);
    if (!type || !type->supported || tensor->type >= MAX_TYPE_ID || bytes == 0) return fail_type(tensor, error);
    c->plan->device_bytes += bytes;
    c->plan->matrix_bytes += bytes;
    c->elements_of_type[tensor->type] += (uint64_t)rows * cols;
    if (tensor->type != LLMC_TYPE_F32) c->plan->all_f32 = 0;
    plan_staging(c->plan, tensor->n_bytes < STAGING_BYTES ? tensor->n_bytes : STAGING_BYTES);
    plan_staging(c->plan, tensor->n_bytes / rows * (rows < FILL_ROWS ? rows : FILL_ROWS));
    return LLMCALL_OK;
}

static llmcall_status check_tensor(void *user, const tensor_row *row, const llmc_gguf_tensor *tensor, void *slot,
                                   llmcall_error *error) {
    check *c = user;
    (void)slot;
    if (!shape_matches(c->hparams, row, tensor)) return fail_shape(c->hparams, row, tensor, error);
    c->plan->file_bytes += tensor->n_bytes;
    if (row->rows != DIM_NONE) return check_matrix(c, tensor, error);
    if (row != &rope_factors) c->plan->device_bytes += tensor->dims[0] * sizeof(float);
    return check_vector(c->plan, tensor, error);
}

static int known_in_layer(const llmc_arch *arch, const char *name) {
    for (size_t i = 0; i < N_LAYER; i++) {
        if (strcmp(layer_tensors[i].name, name) == 0) return presence(arch, layer_tensors[i].needed) != LLMC_ABSENT;
    }
    for (size_t i = 0; i < N_IGNORED; i++) {
        if (strcmp(ignored_layer_tensors[i], name) == 0) return 1;
    }
    return 0;
}

static int known_tensor(const llmc_hparams *h, const char *name) {
    uint32_t layer = 0;
    int used = 0;
    if (sscanf(name, "blk.%4u.%n", &layer, &used) == 1 && used > 0) {
        return layer < h->n_layers && known_in_layer(h->arch, name + used);
    }
    for (size_t i = 0; i < N_GLOBAL; i++) {
        if (strcmp(global_tensors[i].name, name) == 0) return 1;
    }
    return strcmp(rope_factors.name, name) == 0;
}

/* A tensor that the forward pass would not read means that the file is another model than we would compute. */
static llmcall_status check_no_others(const llmc_gguf *gguf, check *c, llmcall_error *error) {
    for (size_t i = 0; i < llmc_gguf_n_tensors(gguf); i++) {
        const llmc_gguf_tensor *tensor = llmc_gguf_tensor_at(gguf, i);
        if (!known_tensor(c->hparams, tensor->name)) {
            return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, tensor->name,
                             "The file has the tensor %s, which is not supported in %s models of %u layers.", tensor->name,
                             c->hparams->arch->name, c->hparams->n_layers);
        }
        c->plan->parameters += tensor->dims[0] * tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
    }
    return LLMCALL_OK;
}

llmcall_status llmc_weights_check(const llmc_gguf *gguf, const llmc_hparams *hparams, const llmc_backend *backend,
                                  llmc_weights_plan *plan, llmcall_error *error) {
    check c = {.hparams = hparams, .backend = backend, .plan = plan};
    walk w = {.gguf = gguf, .hparams = hparams, .visit = check_tensor, .user = &c};
    *plan = (llmc_weights_plan){.all_f32 = 1};
    llmcall_status status = walk_all(&w, error);
    if (status == LLMCALL_OK) status = walk_row(&w, &rope_factors, rope_factors.name, NULL, error);
    if (status == LLMCALL_OK) status = check_no_others(gguf, &c, error);
    for (int32_t type = 1; type < MAX_TYPE_ID; type++) {
        if (c.elements_of_type[type] > c.elements_of_type[plan->most_type]) plan->most_type = type;
    }
    return status;
}

/* ---- Loading ------------------------------------------------------------------------------------------------------------ */

typedef struct loader {
    llmc_gguf *gguf;
    llmc_backend *backend;
    const llmcall_model_options *options;
    uint8_t *staging;
    size_t staging_bytes;
    uint64_t done, total;
    llmc_weight_source *sources; /* of files: matrices that are still to be read; NULL: each is read at once */
    size_t n_sources;
} loader;

static llmcall_status report(loader *l, uint64_t bytes, llmcall_error *error) {
    l->done += bytes;
    if (!l->options->progress || l->options->progress(l->options->progress_user, l->done, l->total) == 0) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_CANCELLED, NULL, NULL,
                     "Loading was stopped by the progress callback at %llu of %llu bytes.", (unsigned long long)l->done,
                     (unsigned long long)l->total);
}

/* Piece by piece on this thread, as an application's reader wants it. */
static llmcall_status fill_matrix(loader *l, const llmc_gguf_tensor *tensor, llmc_weight *weight, llmcall_error *error) {
    uint32_t rows = (uint32_t)tensor->dims[1];
    size_t row_bytes = (size_t)(tensor->n_bytes / rows);
    size_t fit = l->staging_bytes / row_bytes;
    uint32_t step = fit >= rows ? rows : (uint32_t)(fit / FILL_ROWS * FILL_ROWS);
    llmcall_status status = LLMCALL_OK;
    for (uint32_t row = 0; row < rows && status == LLMCALL_OK; row += step) {
        uint32_t n = rows - row < step ? rows - row : step;
        status = llmc_gguf_read(l->gguf, tensor, (uint64_t)row * row_bytes, l->staging, n * row_bytes, error);
        if (status == LLMCALL_OK) status = l->backend->call->weight_fill(l->backend, weight, row, n, l->staging, error);
        if (status == LLMCALL_OK) status = report(l, (uint64_t)n * row_bytes, error);
    }
    return status;
}

static llmcall_status load_matrix(loader *l, const llmc_gguf_tensor *tensor, llmc_weight **weight, llmcall_error *error) {
    uint32_t rows = (uint32_t)tensor->dims[1], cols = (uint32_t)tensor->dims[0];
    llmcall_status status = l->backend->call->weight_create(l->backend, tensor->type, rows, cols, weight, error);
    if (status != LLMCALL_OK) return status;
    if (!l->sources) return fill_matrix(l, tensor, *weight, error);
    l->sources[l->n_sources++] = (llmc_weight_source){.weight = *weight, .tensor = tensor};
    return LLMCALL_OK;
}

static llmcall_status read_rows(void *user, const void *source, uint32_t first_row, uint32_t n_rows, void *dst,
                                llmcall_error *error) {
    const loader *l = user;
    const llmc_gguf_tensor *tensor = source;
    uint64_t row_bytes = tensor->n_bytes / tensor->dims[1];
    return llmc_gguf_read(l->gguf, tensor, first_row * row_bytes, dst, (size_t)(n_rows * row_bytes), error);
}

static llmcall_status report_rows(void *user, uint64_t bytes, llmcall_error *error) {
    return report(user, bytes, error);
}

static llmcall_status read_matrices(loader *l, llmcall_error *error) {
    const llmc_weight_reader reader = {.read = read_rows, .progress = report_rows, .user = l};
    if (l->n_sources == 0) return LLMCALL_OK;
    return l->backend->call->weight_read(l->backend, l->sources, l->n_sources, &reader, error);
}

/* A vector as floats at the second half of the staging memory. */
static llmcall_status read_vector(loader *l, const llmc_gguf_tensor *tensor, float **values, llmcall_error *error) {
    size_t n = (size_t)tensor->dims[0];
    *values = (float *)(void *)(l->staging + n * sizeof(float));
    llmcall_status status = llmc_gguf_read(l->gguf, tensor, 0, l->staging, (size_t)tensor->n_bytes, error);
    if (status != LLMCALL_OK) return status;
    llmc_dequantize(tensor->type, l->staging, n, *values);
    return report(l, tensor->n_bytes, error);
}

static llmcall_status load_vector(loader *l, const llmc_gguf_tensor *tensor, float **vector, llmcall_error *error) {
    float *values = NULL;
    llmcall_status status = read_vector(l, tensor, &values, error);
    if (status != LLMCALL_OK) return status;
    *vector = l->backend->call->alloc(l->backend, (size_t)tensor->dims[0]);
    if (!*vector) return llmc_fail_memory(error, tensor->name);
    return l->backend->call->upload(l->backend, *vector, values, (size_t)tensor->dims[0], error);
}

static llmcall_status load_tensor(void *user, const tensor_row *row, const llmc_gguf_tensor *tensor, void *slot,
                                  llmcall_error *error) {
    if (row->rows != DIM_NONE) return load_matrix(user, tensor, slot, error);
    return load_vector(user, tensor, slot, error);
}

static llmcall_status load_rope(loader *l, const llmc_hparams *h, llmc_weights *weights, llmcall_error *error) {
    const llmc_gguf_tensor *tensor = llmc_gguf_find_tensor(l->gguf, rope_factors.name);
    float *factors = NULL;
    if (tensor) {
        llmcall_status status = read_vector(l, tensor, &factors, error);
        if (status != LLMCALL_OK) return status;
    }
    for (uint32_t i = 0; factors && i < h->rope.n_rot / 2; i++) {
        if (isfinite(factors[i]) && factors[i] > 0) continue;
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, tensor->name, "Element %u of %s is %g; expected a positive number.", i,
                         tensor->name, (double)factors[i]);
    }
    weights->rope_scale = llmc_rope_frequencies(&h->rope, factors, weights->inv_freq);
    return LLMCALL_OK;
}

llmcall_status llmc_weights_load(const llmc_env *env, llmc_gguf *gguf, const llmc_hparams *hparams,
                                 const llmc_weights_plan *plan, llmc_backend *backend, const llmcall_model_options *options,
                                 llmc_weights *weights, llmcall_error *error) {
    loader l = {
        .gguf = gguf, .backend = backend, .options = options, .staging_bytes = plan->staging_bytes, .total = plan->file_bytes};
    walk w = {.gguf = gguf, .hparams = hparams, .weights = weights, .visit = load_tensor, .user = &l};
    llmcall_status status;
    weights->n_layers = hparams->n_layers;
    weights->layers = llmc_zalloc_array(env, hparams->n_layers, sizeof *weights->layers);
    weights->inv_freq = llmc_zalloc_array(env, hparams->rope.n_rot / 2, sizeof *weights->inv_freq);
    l.staging = llmc_alloc(env, l.staging_bytes);
    int at_once = llmc_gguf_is_of_files(gguf); /* the matrices, by all threads; vectors come first */
    if (at_once) l.sources = llmc_alloc_array(env, llmc_gguf_n_tensors(gguf), sizeof *l.sources);
    if (!weights->layers || !weights->inv_freq || !l.staging || (at_once && !l.sources)) {
        status = llmc_fail_memory(error, "the model's weights");
    } else {
        status = backend->call->weight_reserve(backend, (size_t)plan->matrix_bytes, error);
        if (status == LLMCALL_OK) status = report(&l, 0, error);
        if (status == LLMCALL_OK) status = walk_all(&w, error);
        if (status == LLMCALL_OK) status = load_rope(&l, hparams, weights, error);
        if (status == LLMCALL_OK) status = read_matrices(&l, error);
    }
    (void)backend->call->weight_reserve(backend, 0, NULL);
    llmc_free(env, l.sources);
    llmc_free(env, l.staging);
    return status;
}

static void destroy_row(llmc_backend *backend, const tensor_row *row, void *base) {
    void *slot = (char *)base + row->slot;
    if (row->rows != DIM_NONE) {
        llmc_weight **weight = slot;
        backend->call->weight_destroy(backend, *weight);
    } else {
        float **vector = slot;
        backend->call->release(backend, *vector);
    }
}

void llmc_weights_destroy(const llmc_env *env, llmc_backend *backend, llmc_weights *weights) {
    for (uint32_t layer = 0; weights->layers && layer < weights->n_layers; layer++) {
        for (size_t i = 0; i < N_LAYER; i++) destroy_row(backend, &layer_tensors[i], &weights->layers[layer]);
    }
    for (size_t i = 0; backend && i < N_GLOBAL; i++) destroy_row(backend, &global_tensors[i], weights);
    llmc_free(env, weights->layers);
    llmc_free(env, weights->inv_freq);
    memset(weights, 0, sizeof *weights);
}
