/* A LoRA adapter from its GGUF: for a tensor NAME of the model two matrices, NAME.lora_a (rank, inputs) and NAME.lora_b (outputs,
 * rank), whose product, times alpha / rank, is added to it. They stay two, beside the weight: x . a^T . b^T is cheap, and every
 * sequence of a step may have another adapter, or none. Of a tensor that holds several matrices each gets its rows of b; of a
 * stack of experts' matrices each has a pair of its own, the outermost dimension of both. Of the token embeddings lora_a is
 * (tokens, rank), a row for each. */
#include "model/adapter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/thread.h"
#include "core/utf8.h"
#include "model/gguf_internal.h"
#include "model/quant.h"
#include "model/tensor_table.h"

enum {
    NAME_SIZE = 256,
    MAX_SLICES = 4 /* matrices in one tensor, or stacks */,
    PIECE_BYTES = 1 << 20,
    FILL_ROWS = 32 /* weight_fill's granule */
};

static const char a_suffix[] = ".lora_a", b_suffix[] = ".lora_b";

struct llmc_adapter {
    const llmc_env *env;
    llmc_backend *backend;
    char name[64];
    float alpha; /* 0: the product counts as it is */
    uint64_t bytes;
    llmc_lora_pair *pairs;
    size_t n_pairs;
    llmc_lora_pair embedding;
    llmc_weight **matrices; /* all of them, to be destroyed */
    size_t n_matrices;
    llmc_lora lora;
};

typedef struct loader {
    const llmc_adapter_base *base;
    llmc_gguf *gguf;
    llmc_adapter *adapter;
    size_t n_pairs, n_matrices; /* that the file's tensors will make */
} loader;

/* ---- Header --------------------------------------------------------------------------------------------------------------- */

static llmcall_status get_text(const llmc_gguf *gguf, const char *key, char *text, size_t capacity, llmcall_error *error) {
    const char *bytes = NULL;
    size_t size = 0;
    int found = 0;
    text[0] = 0;
    llmcall_status status = llmc_gguf_get_string(gguf, key, &bytes, &size, &found, error);
    if (status != LLMCALL_OK || !found) return status;
    size_t n = strnlen(bytes, size < capacity - 1 ? size : capacity - 1);
    n = llmc_utf8_valid_prefix(bytes, n);
    memcpy(text, bytes, n);
    text[n] = 0;
    return LLMCALL_OK;
}

static llmcall_status check_text(const loader *l, const char *key, const char *expected, llmcall_status otherwise,
                                 llmcall_error *error) {
    char text[64];
    llmcall_status status = get_text(l->gguf, key, text, sizeof text, error);
    if (status != LLMCALL_OK || strcmp(text, expected) == 0) return status;
    if (!text[0]) return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "The file lacks the key %s, which adapters have.", key);
    return llmc_fail(error, otherwise, NULL, key, "The adapter's %s is \"%s\"; expected \"%s\".", key, text, expected);
}

static llmcall_status read_header(loader *l, llmcall_error *error) {
    static const char alpha[] = "adapter.lora.alpha", invocation[] = "adapter.alora.invocation_tokens";
    llmc_gguf_array tokens;
    int found = 0;
    llmcall_status status = check_text(l, "general.type", "adapter", LLMCALL_E_FORMAT, error);
    if (!status) status = check_text(l, "adapter.type", "lora", LLMCALL_E_UNSUPPORTED, error);
    if (!status) status = check_text(l, "general.architecture", l->base->architecture, LLMCALL_E_UNSUPPORTED, error);
    if (!status) status = get_text(l->gguf, "general.name", l->adapter->name, sizeof l->adapter->name, error);
    if (!status) status = llmc_gguf_get_f32(l->gguf, alpha, &l->adapter->alpha, NULL, error);
    if (!status) status = llmc_gguf_get_array(l->gguf, invocation, &tokens, &found, error);
    if (status) return status;
    if (found) {
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, invocation,
                         "The adapter is to begin at certain tokens (%s), which is not supported.", invocation);
    }
    if (isfinite(l->adapter->alpha)) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, alpha, "%s is %g; expected a number.", alpha, (double)l->adapter->alpha);
}

/* ---- Which weights a tensor is for ----------------------------------------------------------------------------------------- */

typedef struct target {
    const llmc_tensor_row *row;
    const llmc_layer_facts *facts;
    llmc_weight *const *weights; /* (count) */
    uint32_t count;              /* of a stack; else 1 */
    int embeds;                  /* it is looked up by token */
} target;

static int ends_with(const char *name, const char *suffix) {
    size_t n = strlen(name), m = strlen(suffix);
    return n > m && strcmp(name + n - m, suffix) == 0;
}

/* The name with its suffix, one of the two, replaced by another or by "". */
static void with_suffix(const char *name, const char *suffix, char out[NAME_SIZE]) {
    size_t n = strlen(name) - strlen(a_suffix);
    if (n > NAME_SIZE - sizeof a_suffix) n = NAME_SIZE - sizeof a_suffix;
    memcpy(out, name, n);
    memcpy(out + n, suffix, strlen(suffix) + 1);
}

/* The rows of the table that may have the name, and what follows in it: "blk.N." as the library itself writes it, or nothing. */
static llmc_tensor_list rows_for(const llmc_adapter_base *base, const char *name, const char **rest, uint32_t *layer) {
    char again[NAME_SIZE];
    int used = 0;
    *rest = name;
    *layer = 0;
    if (sscanf(name, "blk.%4u.%n", layer, &used) != 1 || used == 0) return llmc_global_tensors();
    *rest = name + used;
    snprintf(again, sizeof again, "blk.%u.", *layer);
    if (*layer >= base->weights->n_layers || strncmp(name, again, (size_t)used) != 0) return (llmc_tensor_list){0};
    return llmc_layer_tensors();
}

/* A plain product of the forward pass; what is looked up by token, or belongs to one of several heads, is none. */
static int is_product(const llmc_adapter_base *base, const llmc_weight *weight) {
    int multiplied = 0;
    for (uint32_t i = 0; i < base->n_ops; i++) {
        const llmc_op *op = &base->ops[i];
        if (op->kind == LLMC_OP_EMBED && op->u.embed.weight == weight) return 0;
        for (uint32_t part = 0; op->kind == LLMC_OP_MATMUL && part < op->u.matmul.n_parts; part++) {
            multiplied |= op->u.matmul.part[part].weight == weight;
        }
    }
    return multiplied;
}

static int is_embedding(const llmc_adapter_base *base, const llmc_weight *weight) {
    for (uint32_t i = 0; i < base->n_ops; i++) {
        const llmc_op *op = &base->ops[i];
        if (op->kind == LLMC_OP_EMBED && op->u.embed.by == LLMC_BY_TOKEN && op->u.embed.weight == weight) return 1;
    }
    return 0;
}

static int are_experts(const llmc_adapter_base *base, llmc_weight *const *weights) {
    for (uint32_t i = 0; i < base->n_ops; i++) {
        const llmc_op *op = &base->ops[i];
        for (uint32_t part = 0; op->kind == LLMC_OP_EXPERTS && part < op->u.experts.n_parts; part++) {
            if (op->u.experts.part[part].weights == weights) return 1;
        }
    }
    return 0;
}

static llmcall_status add_target(const loader *l, const llmc_layer_facts *facts, const llmc_tensor_row *row, const void *slots,
                                 const char *name, target targets[MAX_SLICES], size_t *n, llmcall_error *error) {
    const void *slot = (const char *)slots + row->slot;
    target t = {.row = row, .facts = facts};
    int known = row->slot != LLMC_SLOT_NONE, takes_part = 0;
    if (known && row->kind == LLMC_TENSOR_MATRIX) {
        t.weights = slot;
        t.count = 1;
        if (!t.weights[0]) return LLMCALL_OK; /* the model's file lacks it */
        t.embeds = is_embedding(l->base, t.weights[0]);
        takes_part = t.embeds || is_product(l->base, t.weights[0]);
    } else if (known && row->kind == LLMC_TENSOR_STACK) {
        memcpy(&t.weights, slot, sizeof t.weights);
        t.count = llmc_dim_size(facts, row->count);
        takes_part = t.weights && are_experts(l->base, t.weights);
    }
    if (!takes_part || *n == MAX_SLICES) {
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, name, "Adapters of the tensor %s are not supported.", name);
    }
    targets[(*n)++] = t;
    return LLMCALL_OK;
}

/* At least one, or it fails. */
static llmcall_status find_targets(const loader *l, const char *tensor_name, target targets[MAX_SLICES], size_t *n,
                                   llmcall_error *error) {
    const llmc_weights *weights = l->base->weights;
    char name[NAME_SIZE];
    const char *rest;
    uint32_t layer;
    with_suffix(tensor_name, "", name);
    llmc_tensor_list list = rows_for(l->base, name, &rest, &layer);
    *n = 0;
    for (size_t i = 0; i < list.n; i++) {
        if (strcmp(list.rows[i].name, rest) != 0) continue;
        if (llmc_tensor_presence(&weights->facts[layer], list.rows[i].needed) == LLMC_ABSENT) continue;
        const void *slots = rest == name ? (const void *)weights : (const void *)&weights->layers[layer];
        llmcall_status status = add_target(l, &weights->facts[layer], &list.rows[i], slots, name, targets, n, error);
        if (status != LLMCALL_OK) return status;
    }
    if (*n > 0) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, tensor_name,
                     "The adapter has the tensor %s, but the model, %s of %u layers, has no matrix %s.", tensor_name,
                     l->base->architecture, l->base->hparams->n_layers, name);
}

/* ---- Checks ---------------------------------------------------------------------------------------------------------------- */

/* What the backend holds a matrix in: floats as they are, anything else as F32. */
static int32_t held_type(int32_t type) {
    return type == LLMC_TYPE_F16 || type == LLMC_TYPE_BF16 ? type : LLMC_TYPE_F32;
}

static llmcall_status check_shape(const llmc_gguf_tensor *tensor, uint64_t cols, uint64_t rows, uint64_t count,
                                  llmcall_error *error) {
    const uint64_t *dims = tensor->dims;
    if (dims[0] == cols && dims[1] == rows && dims[2] == count && dims[3] == 1) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, tensor->name,
                     "The tensor %s has shape (%llu, %llu, %llu, %llu); expected (1, %llu, %llu, %llu).", tensor->name,
                     (unsigned long long)dims[3], (unsigned long long)dims[2], (unsigned long long)dims[1],
                     (unsigned long long)dims[0], (unsigned long long)count, (unsigned long long)rows,
                     (unsigned long long)cols);
}

static llmcall_status check_type(const llmc_gguf_tensor *tensor, llmcall_error *error) {
    const llmc_quant_type *type = llmc_quant_type_find(tensor->type);
    if (type && type->supported) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, tensor->name,
                     "The tensor %s has type %s, which is not supported here.", tensor->name, type ? type->name : "unknown");
}

static llmcall_status check_pair(const target *first, const llmc_gguf_tensor *a, const llmc_gguf_tensor *b,
                                 llmcall_error *error) {
    const llmc_layer_facts *facts = first->facts;
    uint64_t rank = a->dims[first->embeds ? 0 : 1], cols = llmc_dim_size(facts, first->row->cols);
    uint64_t rows = llmc_tensor_total(facts, first->row);
    if (rank < 1 || rank > LLMC_LORA_MAX_RANK) {
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, a->name, "The tensor %s has rank %llu; 1 to %d are supported.",
                         a->name, (unsigned long long)rank, LLMC_LORA_MAX_RANK);
    }
    llmcall_status status = check_type(a, error);
    if (!status) status = check_type(b, error);
    if (!status) status = check_shape(a, first->embeds ? rank : cols, first->embeds ? rows : rank, first->count, error);
    if (!status) status = check_shape(b, rank, first->embeds ? cols : rows, first->count, error);
    return status;
}

/* ---- Matrices -------------------------------------------------------------------------------------------------------------- */

static uint64_t bytes_of(const loader *l, const llmc_gguf_tensor *tensor, uint32_t rows) {
    const llmc_backend *backend = l->base->backend;
    return backend->call->weight_bytes(backend, held_type(tensor->type), rows, (uint32_t)tensor->dims[0]);
}

/* Rows from first_row on, some at a time. */
static llmcall_status fill(const loader *l, const llmc_gguf_tensor *tensor, uint32_t first_row, uint32_t rows,
                           llmc_weight *weight, llmcall_error *error) {
    llmc_backend *backend = l->base->backend;
    size_t row_bytes = (size_t)(tensor->n_bytes / (tensor->dims[1] * tensor->dims[2])), cols = (size_t)tensor->dims[0];
    size_t fit = PIECE_BYTES / row_bytes / FILL_ROWS * FILL_ROWS;
    uint32_t step = fit < FILL_ROWS ? FILL_ROWS : fit < rows ? (uint32_t)fit : rows;
    int as_is = held_type(tensor->type) == tensor->type;
    uint8_t *blocks = llmc_alloc_array(l->base->env, step, row_bytes);
    float *floats = as_is ? NULL : llmc_alloc_array(l->base->env, step, cols * sizeof *floats);
    llmcall_status status = LLMCALL_OK;
    if (!blocks || (!as_is && !floats)) status = llmc_fail_memory(error, tensor->name);
    for (uint32_t row = 0, n; row < rows && !status; row += n) {
        n = rows - row < step ? rows - row : step;
        status = llmc_gguf_read(l->gguf, tensor, ((uint64_t)first_row + row) * row_bytes, blocks, n * row_bytes, error);
        if (status) break;
        if (!as_is) llmc_dequantize(tensor->type, blocks, n * cols, floats);
        status = backend->call->weight_fill(backend, weight, row, n, as_is ? (const void *)blocks : floats, error);
    }
    llmc_free(l->base->env, blocks);
    llmc_free(l->base->env, floats);
    return status;
}

static llmcall_status load_matrix(const loader *l, const llmc_gguf_tensor *tensor, uint32_t first_row, uint32_t rows,
                                  const llmc_weight **out, llmcall_error *error) {
    llmc_backend *backend = l->base->backend;
    llmc_adapter *adapter = l->adapter;
    llmc_weight *weight = NULL;
    llmcall_status status =
        backend->call->weight_create(backend, held_type(tensor->type), rows, (uint32_t)tensor->dims[0], &weight, error);
    if (status != LLMCALL_OK) return status;
    adapter->matrices[adapter->n_matrices++] = weight;
    *out = weight;
    return fill(l, tensor, first_row, rows, weight, error);
}

static float scale_of(const llmc_adapter *adapter, uint32_t rank) {
    return adapter->alpha != 0 ? adapter->alpha / (float)rank : 1;
}

static llmcall_status load_embedding(const loader *l, const target *t, const llmc_gguf_tensor *a, const llmc_gguf_tensor *b,
                                     llmcall_error *error) {
    llmc_lora_pair *pair = &l->adapter->embedding;
    *pair = (llmc_lora_pair){.weight = t->weights[0], .scale = scale_of(l->adapter, (uint32_t)a->dims[0])};
    llmcall_status status = load_matrix(l, a, 0, (uint32_t)a->dims[1], &pair->a, error);
    return status ? status : load_matrix(l, b, 0, (uint32_t)b->dims[1], &pair->b, error);
}

/* Of a stack the pair of one of its matrices. */
static llmcall_status load_pair(const loader *l, const target *targets, size_t n, uint32_t which, const llmc_gguf_tensor *a,
                                const llmc_gguf_tensor *b, llmcall_error *error) {
    llmc_adapter *adapter = l->adapter;
    const llmc_weight *shared = NULL;
    uint32_t rank = (uint32_t)a->dims[1];
    llmcall_status status = load_matrix(l, a, which * rank, rank, &shared, error);
    for (size_t i = 0; i < n && !status; i++) {
        llmc_lora_pair *pair = &adapter->pairs[adapter->n_pairs];
        const llmc_tensor_row *row = targets[i].row;
        uint32_t first = which * (uint32_t)b->dims[1] + llmc_tensor_first(targets[i].facts, row);
        *pair = (llmc_lora_pair){.weight = targets[i].weights[which], .a = shared, .scale = scale_of(adapter, rank)};
        status = load_matrix(l, b, first, llmc_dim_size(targets[i].facts, row->rows), &pair->b, error);
        if (!status) adapter->n_pairs++;
    }
    return status;
}

/* ---- The file -------------------------------------------------------------------------------------------------------------- */

static void count_pair(loader *l, const target *targets, size_t n, const llmc_gguf_tensor *a, const llmc_gguf_tensor *b) {
    uint64_t bytes = bytes_of(l, a, (uint32_t)a->dims[1]);
    for (size_t i = 0; i < n; i++) {
        bytes +=
            bytes_of(l, b, targets[i].embeds ? (uint32_t)b->dims[1] : llmc_dim_size(targets[i].facts, targets[i].row->rows));
    }
    l->adapter->bytes += targets[0].count * bytes;
    l->n_pairs += targets[0].count * n;
    l->n_matrices += targets[0].count * (1 + n);
}

/* A tensor lora_a with its lora_b: first checked, which adds up the memory, then loaded. */
static llmcall_status take_pair(loader *l, const llmc_gguf_tensor *a, int load, llmcall_error *error) {
    char other[NAME_SIZE];
    target targets[MAX_SLICES];
    size_t n;
    llmcall_status status = find_targets(l, a->name, targets, &n, error);
    if (status != LLMCALL_OK) return status;
    with_suffix(a->name, b_suffix, other);
    const llmc_gguf_tensor *b = llmc_gguf_find_tensor(l->gguf, other);
    if (!b) {
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, other, "The adapter has the tensor %s, but not %s.", a->name, other);
    }
    if (!load) {
        status = check_pair(&targets[0], a, b, error);
        if (!status) count_pair(l, targets, n, a, b);
    }
    if (load && targets[0].embeds) return load_embedding(l, &targets[0], a, b, error);
    for (uint32_t i = 0; load && i < targets[0].count && !status; i++) status = load_pair(l, targets, n, i, a, b, error);
    return status;
}

static llmcall_status take_tensor(loader *l, const llmc_gguf_tensor *tensor, int load, llmcall_error *error) {
    char other[NAME_SIZE];
    if (ends_with(tensor->name, a_suffix)) return take_pair(l, tensor, load, error);
    if (!ends_with(tensor->name, b_suffix)) {
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, tensor->name,
                         "The adapter has the tensor %s; only those that end in %s or %s are supported.", tensor->name,
                         a_suffix, b_suffix);
    }
    with_suffix(tensor->name, a_suffix, other);
    if (llmc_gguf_find_tensor(l->gguf, other)) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, other, "The adapter has the tensor %s, but not %s.", tensor->name, other);
}

static llmcall_status take_tensors(loader *l, int load, llmcall_error *error) {
    size_t n = llmc_gguf_n_tensors(l->gguf);
    llmcall_status status = LLMCALL_OK;
    for (size_t i = 0; i < n && !status; i++) status = take_tensor(l, llmc_gguf_tensor_at(l->gguf, i), load, error);
    return status;
}

static llmcall_status check_memory(const llmc_adapter *adapter, uint64_t max_memory, llmcall_error *error) {
    uint64_t have = max_memory ? max_memory : llmc_memory_available();
    if (adapter->bytes <= have) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_NO_MEMORY, NULL, "max_memory", "The adapter needs %llu bytes and %s %llu.",
                     (unsigned long long)adapter->bytes, max_memory ? "max_memory is" : "the system can give",
                     (unsigned long long)have);
}

static int by_weight(const void *context, uint32_t a, uint32_t b) {
    const llmc_lora_pair *pairs = context;
    return (uintptr_t)pairs[a].weight < (uintptr_t)pairs[b].weight;
}

static llmcall_status sort_pairs(llmc_adapter *adapter, llmcall_error *error) {
    size_t n = adapter->n_pairs;
    adapter->lora = (llmc_lora){.pairs = adapter->pairs, .n_pairs = n};
    if (adapter->embedding.weight) adapter->lora.embedding = &adapter->embedding;
    if (n == 0) return LLMCALL_OK;
    uint32_t *order = llmc_alloc_array(adapter->env, n, sizeof *order);
    llmc_lora_pair *sorted = llmc_alloc_array(adapter->env, n, sizeof *sorted);
    int made = order && sorted;
    for (size_t i = 0; made && i < n; i++) order[i] = (uint32_t)i;
    if (made) llmc_gguf_sort(order, n, by_weight, adapter->pairs);
    for (size_t i = 0; made && i < n; i++) sorted[i] = adapter->pairs[order[i]];
    if (made) memcpy(adapter->pairs, sorted, n * sizeof *sorted);
    llmc_free(adapter->env, order);
    llmc_free(adapter->env, sorted);
    return made ? LLMCALL_OK : llmc_fail_memory(error, "the adapter");
}

static llmcall_status load_file(loader *l, const llmcall_adapter_options *options, llmcall_error *error) {
    llmc_adapter *adapter = l->adapter;
    llmcall_status status = read_header(l, error);
    if (!status) status = take_tensors(l, 0, error);
    if (!status) status = check_memory(adapter, options->max_memory, error);
    if (status) return status;
    if (l->n_pairs == 0) return llmc_fail(error, LLMCALL_E_FORMAT, NULL, "path", "The adapter has no tensors.");
    adapter->pairs = llmc_zalloc_array(adapter->env, l->n_pairs, sizeof *adapter->pairs);
    adapter->matrices = llmc_zalloc_array(adapter->env, l->n_matrices, sizeof *adapter->matrices);
    if (!adapter->pairs || !adapter->matrices) return llmc_fail_memory(error, "the adapter");
    status = take_tensors(l, 1, error);
    return status ? status : sort_pairs(adapter, error);
}

llmcall_status llmc_adapter_load(const llmc_adapter_base *base, const llmcall_adapter_options *options, llmc_adapter **out,
                                 llmcall_error *error) {
    LLMCALL_INIT(llmcall_model_options, file);
    file.path = options->path;
    file.readers = options->readers;
    file.n_readers = options->n_readers;
    *out = NULL;
    loader l = {.base = base, .adapter = llmc_zalloc(base->env, sizeof *l.adapter)};
    if (!l.adapter) return llmc_fail_memory(error, "the adapter");
    l.adapter->env = base->env;
    l.adapter->backend = base->backend;
    llmcall_status status = llmc_gguf_open(base->env, &file, &l.gguf, error);
    if (!status) status = load_file(&l, options, error);
    llmc_gguf_close(&l.gguf);
    if (status) llmc_adapter_destroy(&l.adapter);
    *out = l.adapter;
    return status;
}

void llmc_adapter_destroy(llmc_adapter **handle) {
    llmc_adapter *adapter = *handle;
    *handle = NULL;
    if (!adapter) return;
    for (size_t i = 0; i < adapter->n_matrices; i++) {
        adapter->backend->call->weight_destroy(adapter->backend, adapter->matrices[i]);
    }
    llmc_free(adapter->env, adapter->matrices);
    llmc_free(adapter->env, adapter->pairs);
    llmc_free(adapter->env, adapter);
}

const llmc_lora *llmc_adapter_lora(const llmc_adapter *adapter) {
    return &adapter->lora;
}
const char *llmc_adapter_name(const llmc_adapter *adapter) {
    return adapter->name;
}
uint64_t llmc_adapter_bytes(const llmc_adapter *adapter) {
    return adapter->bytes;
}

/* ---- Steps ----------------------------------------------------------------------------------------------------------------- */

/* Of experts the first stands for all. */
static int takes_part(const llmc_lora *lora, const llmc_op *op) {
    if (op->kind == LLMC_OP_EMBED) return op->u.embed.by == LLMC_BY_TOKEN && lora->embedding;
    uint32_t n = op->kind == LLMC_OP_MATMUL ? op->u.matmul.n_parts : op->kind == LLMC_OP_EXPERTS ? op->u.experts.n_parts : 0;
    for (uint32_t i = 0; i < n; i++) {
        const llmc_weight *weight = op->kind == LLMC_OP_MATMUL ? op->u.matmul.part[i].weight : op->u.experts.part[i].weights[0];
        if (llmc_lora_find(lora, weight)) return 1;
    }
    return 0;
}

static int some_take_part(const llmc_batch *batch, const llmc_op *op) {
    for (uint32_t i = 0; i < batch->n_segments; i++) {
        const llmc_lora *lora = batch->segments[i].lora;
        if (lora && (i == 0 || lora != batch->segments[i - 1].lora) && takes_part(lora, op)) return 1;
    }
    return 0;
}

void llmc_adapters_mark(const llmc_batch *batch, llmc_op *ops, uint32_t n_ops) {
    int rows = LLMC_LORA_TOKENS, any = 0;
    for (uint32_t i = 0; i < batch->n_segments; i++) any |= batch->segments[i].lora != NULL;
    for (uint32_t i = 0; any && i < n_ops; i++) {
        if (ops[i].kind == LLMC_OP_GATHER) rows = LLMC_LORA_OUTPUTS;
        if (!some_take_part(batch, &ops[i])) continue;
        if (ops[i].kind == LLMC_OP_EMBED) ops[i].u.embed.lora = rows;
        else if (ops[i].kind == LLMC_OP_MATMUL) ops[i].u.matmul.lora = rows;
        else ops[i].u.experts.lora = rows;
    }
}
