/* A model's tensors, as the table has them, checked against the file and streamed to the backend a few rows at a time. */
#include "model/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/head.h"
#include "model/quant.h"
#include "model/rope.h"
#include "model/tensor_table.h"

enum { STAGING_BYTES = 1 << 20, FILL_ROWS = 32 /* weight_fill's granule */, NAME_SIZE = 96 };

/* ---- Walking the table -------------------------------------------------------------------------------------------------- */

/* Called for every tensor that the model has and the file holds; for a tensor of several parts, for each. slot is where its
 * pointer belongs: llmc_weight ** for a matrix, llmc_weight *** for a stack, float ** for a vector; NULL while there is no
 * llmc_weights yet. */
typedef llmcall_status (*visit_fn)(void *user, const llmc_layer_facts *facts, const llmc_tensor_row *row,
                                   const llmc_gguf_tensor *tensor, void *slot, llmcall_error *error);

typedef struct walk {
    const llmc_gguf *gguf;
    const llmc_hparams *hparams;
    llmc_weights *weights; /* NULL: only look */
    visit_fn visit;
    void *user;
} walk;

static llmcall_status walk_row(const walk *w, const llmc_layer_facts *facts, const llmc_tensor_row *row, const char *name,
                               void *base, llmcall_error *error) {
    llmc_presence expected = llmc_tensor_presence(facts, row->needed);
    if (expected == LLMC_ABSENT || row->slot == LLMC_SLOT_NONE) return LLMCALL_OK;
    const llmc_gguf_tensor *tensor = llmc_gguf_find_tensor(w->gguf, name);
    if (tensor) return w->visit(w->user, facts, row, tensor, base ? (char *)base + row->slot : NULL, error);
    if (expected == LLMC_OPTIONAL) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, name, "The file lacks the tensor %s, which %s models have.", name,
                     w->hparams->arch->name);
}

static llmcall_status walk_layer(const walk *w, uint32_t layer, llmcall_error *error) {
    char name[NAME_SIZE];
    llmcall_status status = LLMCALL_OK;
    llmc_tensor_list list = llmc_layer_tensors();
    llmc_layer_facts facts = llmc_layer_facts_of(w->gguf, w->hparams, layer);
    if (w->weights) w->weights->facts[layer] = facts;
    for (size_t i = 0; i < list.n && status == LLMCALL_OK; i++) {
        snprintf(name, sizeof name, "blk.%u.%s", layer, list.rows[i].name);
        status = walk_row(w, &facts, &list.rows[i], name, w->weights ? &w->weights->layers[layer] : NULL, error);
    }
    return status;
}

static llmcall_status walk_globals(const walk *w, llmcall_error *error) {
    llmcall_status status = LLMCALL_OK;
    llmc_tensor_list list = llmc_global_tensors();
    llmc_layer_facts facts = llmc_layer_facts_of(w->gguf, w->hparams, 0);
    for (size_t i = 0; i < list.n && status == LLMCALL_OK; i++) {
        status = walk_row(w, &facts, &list.rows[i], list.rows[i].name, w->weights, error);
    }
    return status;
}

static llmcall_status walk_all(const walk *w, llmcall_error *error) {
    llmcall_status status = walk_globals(w, error);
    for (uint32_t layer = 0; layer < w->hparams->n_file_layers && status == LLMCALL_OK; layer++) {
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

/* Of the whole tensor: cols, rows, and how many of those; 1 beyond. */
static void expected_shape(const llmc_layer_facts *f, const llmc_tensor_row *row, uint32_t dims[3]) {
    dims[0] = llmc_dim_size(f, row->kind == LLMC_TENSOR_TURNED ? row->rows : row->cols);
    dims[1] = llmc_tensor_total(f, row);
    dims[2] = row->kind == LLMC_TENSOR_STACK ? llmc_dim_size(f, row->count) : 1;
    if (row->kind > LLMC_TENSOR_STACK) dims[1] *= llmc_dim_size(f, row->count);
    if (row->kind != LLMC_TENSOR_VECTOR || row->rows != LLMC_DIM_NONE) return;
    dims[0] = dims[1];
    dims[1] = 1;
}

static uint64_t elements_of(const llmc_gguf_tensor *tensor) {
    return tensor->dims[0] * tensor->dims[1] * tensor->dims[2] * tensor->dims[3];
}

static llmcall_status fail_shape(const llmc_layer_facts *f, const llmc_tensor_row *row, const llmc_gguf_tensor *tensor,
                                 llmcall_error *error) {
    char found[96], wanted[64];
    size_t used = 0;
    uint32_t dims[3];
    expected_shape(f, row, dims);
    for (uint32_t i = tensor->n_dims; i-- > 0;) { /* outputs first, as everywhere here */
        int n = snprintf(found + used, sizeof found - used, "%s%llu", used ? ", " : "", (unsigned long long)tensor->dims[i]);
        used += (size_t)n;
    }
    if (dims[2] > 1) snprintf(wanted, sizeof wanted, "%u, %u, %u", dims[2], dims[1], dims[0]);
    else if (dims[1] > 1) snprintf(wanted, sizeof wanted, "%u, %u", dims[1], dims[0]);
    else snprintf(wanted, sizeof wanted, "%u", dims[0]);
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, tensor->name, "The tensor %s has shape (%s); expected (%s).", tensor->name,
                     found, wanted);
}

/* A vector's rows may lie in more dimensions than one. */
static int shape_matches(const llmc_layer_facts *f, const llmc_tensor_row *row, const llmc_gguf_tensor *tensor) {
    uint32_t dims[3];
    expected_shape(f, row, dims);
    if (row->kind == LLMC_TENSOR_VECTOR) return tensor->dims[0] == dims[0] && elements_of(tensor) / dims[0] == dims[1];
    return tensor->dims[0] == dims[0] && tensor->dims[1] == dims[1] && tensor->dims[2] == dims[2] && tensor->dims[3] == 1;
}

/* instead: a type that would do. */
static llmcall_status fail_type(const llmc_gguf_tensor *tensor, const char *instead, llmcall_error *error) {
    const llmc_quant_type *type = llmc_quant_type_find(tensor->type);
    return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, tensor->name,
                     "The tensor %s has type %s, which is not supported here; use a file that has %s, for one.", tensor->name,
                     type ? type->name : "unknown", instead);
}

static void plan_staging(llmc_weights_plan *plan, uint64_t bytes) {
    if (bytes > plan->staging_bytes) plan->staging_bytes = (size_t)bytes;
}

/* Elements of a vector, or of the part of it that the row names. */
static uint32_t vector_length(const llmc_layer_facts *f, const llmc_tensor_row *row) {
    return llmc_dim_size(f, row->rows) * llmc_dim_size(f, row->cols);
}

static uint64_t row_bytes_of(const llmc_gguf_tensor *tensor) {
    return tensor->n_bytes / (tensor->dims[1] * tensor->dims[2]);
}

/* A transposed matrix, and a row of it as the file has them. */
static size_t turned_floats(uint32_t rows, uint32_t cols) {
    return (size_t)rows * cols + rows;
}

static llmcall_status check_vector(llmc_weights_plan *plan, const llmc_gguf_tensor *tensor, llmcall_error *error) {
    if (tensor->type != LLMC_TYPE_F32 && tensor->type != LLMC_TYPE_F16 && tensor->type != LLMC_TYPE_BF16) {
        return fail_type(tensor, "F32", error);
    }
    plan_staging(plan, elements_of(tensor) * 2 * sizeof(float)); /* as in the file, and as floats */
    return LLMCALL_OK;
}

static llmcall_status check_matrix(check *c, const llmc_layer_facts *f, const llmc_tensor_row *row,
                                   const llmc_gguf_tensor *tensor, llmcall_error *error) {
    const llmc_quant_type *type = llmc_quant_type_find(tensor->type);
    int turned = row->kind == LLMC_TENSOR_TURNED;
    uint32_t rows = llmc_dim_size(f, row->rows), cols = llmc_dim_size(f, row->cols);
    uint32_t count = llmc_dim_size(f, row->count), file_rows = turned ? cols : rows;
    size_t bytes = c->backend->call->weight_bytes(c->backend, turned ? LLMC_TYPE_F32 : tensor->type, rows, cols);
    if (!type || !type->supported || tensor->type >= MAX_TYPE_ID || bytes == 0) return fail_type(tensor, "Q4_K", error);
    c->plan->device_bytes += (uint64_t)count * bytes;
    c->plan->matrix_bytes += (uint64_t)count * bytes;
    c->plan->n_matrices += count;
    c->elements_of_type[tensor->type] += (uint64_t)count * rows * cols;
    if (tensor->type != LLMC_TYPE_F32) c->plan->all_f32 = 0;
    uint64_t whole = row_bytes_of(tensor) * file_rows;
    c->plan->file_bytes += whole * count;
    plan_staging(c->plan, whole < STAGING_BYTES ? whole : STAGING_BYTES);
    plan_staging(c->plan, row_bytes_of(tensor) * (file_rows < FILL_ROWS ? file_rows : FILL_ROWS));
    if (turned) plan_staging(c->plan, turned_floats(rows, cols) * sizeof(float) + whole);
    return LLMCALL_OK;
}

static llmcall_status check_tensor(void *user, const llmc_layer_facts *facts, const llmc_tensor_row *row,
                                   const llmc_gguf_tensor *tensor, void *slot, llmcall_error *error) {
    check *c = user;
    (void)slot;
    if (!shape_matches(facts, row, tensor)) return fail_shape(facts, row, tensor, error);
    if (row->kind != LLMC_TENSOR_VECTOR) return check_matrix(c, facts, row, tensor, error);
    c->plan->file_bytes += tensor->n_bytes;
    c->plan->device_bytes += vector_length(facts, row) * sizeof(float);
    return check_vector(c->plan, tensor, error);
}

static llmcall_status check_rope_factors(check *c, const llmc_gguf *gguf, llmcall_error *error) {
    const llmc_layer_facts facts = {.hparams = c->hparams};
    for (int i = 0; i < LLMC_N_ROPE_FACTORS; i++) {
        const llmc_tensor_row *row = llmc_rope_factors(i);
        const llmc_gguf_tensor *tensor = llmc_gguf_find_tensor(gguf, row->name);
        if (!tensor) continue;
        if (!shape_matches(&facts, row, tensor)) return fail_shape(&facts, row, tensor, error);
        llmcall_status status = check_vector(c->plan, tensor, error);
        if (status != LLMCALL_OK) return status;
    }
    return LLMCALL_OK;
}

static int known_in(const llmc_layer_facts *facts, llmc_tensor_list list, const char *name) {
    for (size_t i = 0; i < list.n; i++) {
        if (strcmp(list.rows[i].name, name) == 0 && llmc_tensor_presence(facts, list.rows[i].needed) != LLMC_ABSENT) return 1;
    }
    return 0;
}

static int known_tensor(const llmc_gguf *gguf, const llmc_hparams *h, const char *name) {
    uint32_t layer = 0;
    int used = 0;
    if (sscanf(name, "blk.%4u.%n", &layer, &used) == 1 && used > 0) {
        if (layer >= h->n_file_layers) return layer < h->n_file_layers + h->n_extra_layers;
        llmc_layer_facts facts = llmc_layer_facts_of(gguf, h, layer);
        return known_in(&facts, llmc_layer_tensors(), name + used) || llmc_tensor_ignored(name + used);
    }
    for (int i = 0; i < LLMC_N_ROPE_FACTORS; i++) {
        if (strcmp(llmc_rope_factors(i)->name, name) == 0) return 1;
    }
    llmc_layer_facts facts = llmc_layer_facts_of(gguf, h, 0);
    return known_in(&facts, llmc_global_tensors(), name) || llmc_head_knows(name);
}

/* A tensor that the forward pass would not read means that the file is another model than we would compute. */
static llmcall_status check_no_others(const llmc_gguf *gguf, check *c, llmcall_error *error) {
    for (size_t i = 0; i < llmc_gguf_n_tensors(gguf); i++) {
        const llmc_gguf_tensor *tensor = llmc_gguf_tensor_at(gguf, i);
        if (!known_tensor(gguf, c->hparams, tensor->name)) {
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
    if (status == LLMCALL_OK) status = check_rope_factors(&c, gguf, error);
    if (status == LLMCALL_OK) status = check_no_others(gguf, &c, error);
    for (int32_t type = 1; type < MAX_TYPE_ID; type++) {
        if (c.elements_of_type[type] > c.elements_of_type[plan->most_type]) plan->most_type = type;
    }
    return status;
}

/* ---- Loading ------------------------------------------------------------------------------------------------------------ */

typedef struct loader {
    const llmc_env *env;
    llmc_gguf *gguf;
    const llmc_hparams *hparams;
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
static llmcall_status fill_matrix(loader *l, const llmc_gguf_tensor *tensor, uint32_t first_row, uint32_t rows,
                                  llmc_weight *weight, llmcall_error *error) {
    size_t row_bytes = (size_t)row_bytes_of(tensor);
    size_t fit = l->staging_bytes / row_bytes;
    uint32_t step = fit >= rows ? rows : (uint32_t)(fit / FILL_ROWS * FILL_ROWS);
    llmcall_status status = LLMCALL_OK;
    for (uint32_t row = 0; row < rows && status == LLMCALL_OK; row += step) {
        uint32_t n = rows - row < step ? rows - row : step;
        status = llmc_gguf_read(l->gguf, tensor, ((uint64_t)first_row + row) * row_bytes, l->staging, n * row_bytes, error);
        if (status == LLMCALL_OK) status = l->backend->call->weight_fill(l->backend, weight, row, n, l->staging, error);
        if (status == LLMCALL_OK) status = report(l, (uint64_t)n * row_bytes, error);
    }
    return status;
}

/* The weight of rows [first_row, first_row + rows) of a tensor, all matrices of a stack counted. */
static llmcall_status load_matrix(loader *l, const llmc_gguf_tensor *tensor, uint32_t first_row, uint32_t rows,
                                  llmc_weight **weight, llmcall_error *error) {
    llmcall_status status =
        l->backend->call->weight_create(l->backend, tensor->type, rows, (uint32_t)tensor->dims[0], weight, error);
    if (status != LLMCALL_OK) return status;
    if (!l->sources) return fill_matrix(l, tensor, first_row, rows, *weight, error);
    l->sources[l->n_sources++] = (llmc_weight_source){.weight = *weight, .tensor = tensor, .first_row = first_row};
    return LLMCALL_OK;
}

/* A matrix whose transpose is the tensor's rows from first_row on. Its file's form lies behind the floats in the staging memory. */
static llmcall_status load_turned(loader *l, const llmc_gguf_tensor *tensor, uint32_t first_row, uint32_t rows, uint32_t cols,
                                  llmc_weight **weight, llmcall_error *error) {
    float *matrix = (float *)(void *)l->staging, *row = matrix + (size_t)rows * cols;
    uint8_t *source = (uint8_t *)(row + rows);
    uint64_t row_bytes = row_bytes_of(tensor);
    llmcall_status status = l->backend->call->weight_create(l->backend, LLMC_TYPE_F32, rows, cols, weight, error);
    if (status != LLMCALL_OK) return status;
    status = llmc_gguf_read(l->gguf, tensor, first_row * row_bytes, source, (size_t)(cols * row_bytes), error);
    if (status != LLMCALL_OK) return status;
    for (uint32_t j = 0; j < cols; j++) {
        llmc_dequantize(tensor->type, source + j * row_bytes, rows, row);
        for (uint32_t i = 0; i < rows; i++) matrix[(size_t)i * cols + j] = row[i];
    }
    status = l->backend->call->weight_fill(l->backend, *weight, 0, rows, l->staging, error);
    return status == LLMCALL_OK ? report(l, cols * row_bytes, error) : status;
}

static llmcall_status load_stack(loader *l, const llmc_layer_facts *f, const llmc_tensor_row *row,
                                 const llmc_gguf_tensor *tensor, llmc_weight ***stack, llmcall_error *error) {
    uint32_t count = llmc_dim_size(f, row->count), total = llmc_tensor_total(f, row), first = llmc_tensor_first(f, row);
    uint32_t rows = llmc_dim_size(f, row->rows), cols = llmc_dim_size(f, row->cols);
    llmcall_status status = LLMCALL_OK;
    *stack = llmc_zalloc_array(l->env, count, sizeof **stack);
    if (!*stack) return llmc_fail_memory(error, tensor->name);
    for (uint32_t i = 0; i < count && status == LLMCALL_OK; i++, first += total) {
        if (row->kind == LLMC_TENSOR_TURNED) status = load_turned(l, tensor, first, rows, cols, &(*stack)[i], error);
        else status = load_matrix(l, tensor, first, rows, &(*stack)[i], error);
    }
    return status;
}

static llmcall_status read_rows(void *user, const void *source, uint32_t first_row, uint32_t n_rows, void *dst,
                                llmcall_error *error) {
    const loader *l = user;
    const llmc_gguf_tensor *tensor = source;
    uint64_t row_bytes = row_bytes_of(tensor);
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
    size_t n = (size_t)elements_of(tensor);
    *values = (float *)(void *)(l->staging + n * sizeof(float));
    llmcall_status status = llmc_gguf_read(l->gguf, tensor, 0, l->staging, (size_t)tensor->n_bytes, error);
    if (status != LLMCALL_OK) return status;
    llmc_dequantize(tensor->type, l->staging, n, *values);
    return report(l, tensor->n_bytes, error);
}

static llmcall_status load_vector(loader *l, const llmc_layer_facts *f, const llmc_tensor_row *row,
                                  const llmc_gguf_tensor *tensor, float **vector, llmcall_error *error) {
    float *values = NULL;
    size_t n = vector_length(f, row);
    llmcall_status status = read_vector(l, tensor, &values, error);
    if (status != LLMCALL_OK) return status;
    *vector = l->backend->call->alloc(l->backend, n);
    if (!*vector) return llmc_fail_memory(error, tensor->name);
    return l->backend->call->upload(l->backend, *vector, values + llmc_tensor_first(f, row), n, error);
}

static llmcall_status load_tensor(void *user, const llmc_layer_facts *facts, const llmc_tensor_row *row,
                                  const llmc_gguf_tensor *tensor, void *slot, llmcall_error *error) {
    loader *l = user;
    void *before;
    memcpy(&before, slot, sizeof before);
    if (before) /* the table's fault: what is there would be lost */
        return llmc_fail(error, LLMCALL_E_INTERNAL, NULL, tensor->name, "The tensor %s is read twice.", tensor->name);
    if (row->kind == LLMC_TENSOR_VECTOR) return load_vector(l, facts, row, tensor, slot, error);
    if (row->kind != LLMC_TENSOR_MATRIX) return load_stack(l, facts, row, tensor, slot, error);
    return load_matrix(l, tensor, llmc_tensor_first(facts, row), llmc_dim_size(facts, row->rows), slot, error);
}

/* The list of divisors that the file and the length of context ask for; NULL: none. */
static const llmc_gguf_tensor *find_rope_factors(const loader *l) {
    const llmc_gguf_tensor *tensor = llmc_gguf_find_tensor(l->gguf, llmc_rope_factors(LLMC_ROPE_FACTORS)->name);
    int which = l->hparams->long_context ? LLMC_ROPE_FACTORS_LONG : LLMC_ROPE_FACTORS_SHORT;
    return tensor ? tensor : llmc_gguf_find_tensor(l->gguf, llmc_rope_factors(which)->name);
}

static llmcall_status load_xielus(loader *l, llmc_weights *weights, llmcall_error *error) {
    llmcall_status status = LLMCALL_OK;
    for (uint32_t i = 0; i < weights->n_layers && status == LLMCALL_OK && l->hparams->activation == LLMC_XIELU; i++) {
        status = llmc_xielu_read(l->gguf, i, &weights->layers[i].xielu, error);
    }
    return status;
}

static llmcall_status make_ones(loader *l, llmc_weights *weights, llmcall_error *error) {
    const llmc_hparams *h = l->hparams;
    const uint32_t rows[] = {llmc_largest_head_dim(h), h->width, h->recurrent.dt_rank, h->recurrent.state_size};
    const int wanted = h->arch->bare_norms || h->arch->value_norm || h->arch->turned_norm_unless || h->recurrent.bare_norms;
    uint32_t n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) n = rows[i] > n ? rows[i] : n;
    if (!wanted) return LLMCALL_OK;
    weights->ones = l->backend->call->alloc(l->backend, n);
    if (!weights->ones) return llmc_fail_memory(error, "the weights of norms");
    llmcall_status status = LLMCALL_OK;
    const float one = 1;
    for (uint32_t i = 0; i < n && status == LLMCALL_OK; i++) {
        status = l->backend->call->upload(l->backend, weights->ones + i, &one, 1, error);
    }
    return status;
}

static llmcall_status load_rope(loader *l, llmc_weights *weights, llmcall_error *error) {
    const llmc_hparams *h = l->hparams;
    const llmc_gguf_tensor *tensor = find_rope_factors(l);
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
    if (h->arch->window_rope == LLMC_WINDOW_ROPE_LOCAL) factors = NULL; /* they are the others' */
    if (h->window) weights->window_rope_scale = llmc_rope_frequencies(&h->window_rope, factors, weights->window_inv_freq);
    return LLMCALL_OK;
}

/* Arrays that are there before any tensor is. */
static int make_arrays(const llmc_env *env, const llmc_hparams *h, llmc_weights *weights) {
    weights->n_layers = h->n_file_layers;
    weights->n_experts = h->experts.n;
    weights->n_heads = h->n_heads;
    weights->layers = llmc_zalloc_array(env, h->n_file_layers, sizeof *weights->layers);
    weights->facts = llmc_zalloc_array(env, h->n_file_layers, sizeof *weights->facts);
    size_t pairs = h->rope.n_rot / 2 + 1;
    weights->inv_freq = llmc_zalloc_array(env, pairs + h->window_rope.n_rot / 2, sizeof *weights->inv_freq);
    if (!weights->layers || !weights->facts || !weights->inv_freq) return 0;
    weights->window_inv_freq = weights->inv_freq + pairs;
    return 1;
}

llmcall_status llmc_weights_load(const llmc_env *env, llmc_gguf *gguf, const llmc_hparams *hparams,
                                 const llmc_weights_plan *plan, llmc_backend *backend, const llmcall_model_options *options,
                                 llmc_weights *weights, llmcall_error *error) {
    loader l = {.env = env, .gguf = gguf, .hparams = hparams, .backend = backend, .options = options};
    l.staging_bytes = plan->staging_bytes;
    l.total = plan->file_bytes;
    walk w = {.gguf = gguf, .hparams = hparams, .weights = weights, .visit = load_tensor, .user = &l};
    llmcall_status status;
    int made = make_arrays(env, hparams, weights);
    l.staging = llmc_alloc(env, l.staging_bytes);
    int at_once = llmc_gguf_is_of_files(gguf); /* the matrices, by all threads; vectors come first */
    if (at_once) l.sources = llmc_alloc_array(env, plan->n_matrices, sizeof *l.sources);
    if (!made || !l.staging || (at_once && !l.sources)) {
        status = llmc_fail_memory(error, "the model's weights");
    } else {
        status = backend->call->weight_reserve(backend, (size_t)plan->matrix_bytes, error);
        if (status == LLMCALL_OK) status = report(&l, 0, error);
        if (status == LLMCALL_OK) status = walk_all(&w, error);
        if (status == LLMCALL_OK) status = load_rope(&l, weights, error);
        if (status == LLMCALL_OK) status = load_xielus(&l, weights, error);
        if (status == LLMCALL_OK) status = make_ones(&l, weights, error);
        if (status == LLMCALL_OK) status = read_matrices(&l, error);
    }
    (void)backend->call->weight_reserve(backend, 0, NULL);
    llmc_free(env, l.sources);
    llmc_free(env, l.staging);
    return status;
}

static void destroy_stack(const llmc_env *env, llmc_backend *backend, llmc_weight **stack, uint32_t count) {
    for (uint32_t i = 0; stack && i < count; i++) backend->call->weight_destroy(backend, stack[i]);
    llmc_free(env, stack);
}

static void destroy_row(const llmc_env *env, llmc_backend *backend, const llmc_weights *weights, const llmc_tensor_row *row,
                        void *base) {
    void *slot = (char *)base + row->slot;
    if (row->slot == LLMC_SLOT_NONE) return;
    if (row->kind == LLMC_TENSOR_VECTOR) {
        float **vector = slot;
        backend->call->release(backend, *vector);
        *vector = NULL; /* another row may name the same slot */
    } else if (row->kind == LLMC_TENSOR_MATRIX) {
        llmc_weight **weight = slot;
        backend->call->weight_destroy(backend, *weight);
        *weight = NULL;
    } else {
        llmc_weight ***stack = slot;
        uint32_t count = row->count == LLMC_DIM_HEADS ? weights->n_heads : weights->n_experts;
        if (row->count == LLMC_DIM_OTHER_STREAMS) count = LLMC_STREAMS - 1;
        destroy_stack(env, backend, *stack, count);
        *stack = NULL;
    }
}

void llmc_weights_destroy(const llmc_env *env, llmc_backend *backend, llmc_weights *weights) {
    llmc_tensor_list globals = llmc_global_tensors(), layers = llmc_layer_tensors();
    for (uint32_t layer = 0; weights->layers && layer < weights->n_layers; layer++) {
        for (size_t i = 0; i < layers.n; i++) destroy_row(env, backend, weights, &layers.rows[i], &weights->layers[layer]);
    }
    for (size_t i = 0; backend && i < globals.n; i++) destroy_row(env, backend, weights, &globals.rows[i], weights);
    if (backend) backend->call->release(backend, weights->ones);
    llmc_free(env, weights->layers);
    llmc_free(env, weights->facts);
    llmc_free(env, weights->inv_freq);
    memset(weights, 0, sizeof *weights);
}
