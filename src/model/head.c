/* Pooling keys, and the rank head: its tensors, and its few products on the host. */
#include "model/head.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "core/alloc.h"
#include "model/quant.h"

enum { MAX_OUTPUTS = 1 << 16 };

static const struct {
    const char *name;
    size_t slot; /* in llmc_head */
} tensors[] = {{"cls.weight", offsetof(llmc_head, inner)},          {"cls.bias", offsetof(llmc_head, inner_bias)},
               {"cls.output.weight", offsetof(llmc_head, out)},     {"cls.output.bias", offsetof(llmc_head, out_bias)},
               {"dense_2.weight", offsetof(llmc_head, dense_2)},    {"dense_3.weight", offsetof(llmc_head, dense_3)},
               {"cls.norm.weight", offsetof(llmc_head, inner_norm)}};
enum { INNER = 0, INNER_BIAS, OUT, OUT_BIAS, DENSE_2, DENSE_3, INNER_NORM, N_TENSORS };

int llmc_head_knows(const char *tensor) {
    for (int i = 0; i < N_TENSORS; i++) {
        if (strcmp(tensors[i].name, tensor) == 0) return 1;
    }
    return 0;
}

/* ---- Keys --------------------------------------------------------------------------------------------------------------- */

/* By number, as llama.cpp's llama_pooling_type counts. A file that names none leaves the choice to the caller. */
static const int32_t pooling_of_number[] = {LLMCALL_POOLING_AUTO, LLMCALL_POOLING_MEAN, LLMCALL_POOLING_CLS,
                                            LLMCALL_POOLING_LAST, LLMCALL_POOLING_AUTO};
enum { NUMBER_MEAN = 1, NUMBER_RANK = 4 };

static llmcall_status read_pooling(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error) {
    char key[96];
    uint32_t number = 0;
    snprintf(key, sizeof key, "%s.pooling_type", hparams->arch->name);
    llmcall_status status = llmc_gguf_get_u32(gguf, key, &number, NULL, error);
    if (status != LLMCALL_OK) return status;
    if (number >= sizeof pooling_of_number / sizeof *pooling_of_number)
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, key, "%s is %u; known are 0 to %d.", key, number, NUMBER_RANK);
    hparams->pooling = pooling_of_number[number];
    hparams->ranks = number == NUMBER_RANK;
    return LLMCALL_OK;
}

/* Of what the head reads. */
static llmcall_status read_rank_pooling(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error) {
    char key[96];
    uint32_t number = hparams->arch->named_activation ? NUMBER_MEAN : 0;
    snprintf(key, sizeof key, "%s.classifier.pooling_type", hparams->arch->name);
    llmcall_status status = llmc_gguf_get_u32(gguf, key, &number, NULL, error);
    hparams->rank_pooling = hparams->causal ? LLMCALL_POOLING_LAST : LLMCALL_POOLING_CLS;
    if (number == NUMBER_MEAN) hparams->rank_pooling = LLMCALL_POOLING_MEAN;
    return status;
}

enum { MAX_TOKEN_TYPES = 256 };

static llmcall_status read_token_types(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error) {
    static const char key[] = "tokenizer.ggml.token_type_count";
    if (!hparams->arch->encoder) return LLMCALL_OK;
    hparams->n_token_types = 1;
    llmcall_status status = llmc_gguf_get_u32(gguf, key, &hparams->n_token_types, NULL, error);
    if (status != LLMCALL_OK || (hparams->n_token_types >= 1 && hparams->n_token_types <= MAX_TOKEN_TYPES)) return status;
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "%s is %u; expected 1 to %d.", key, hparams->n_token_types,
                     MAX_TOKEN_TYPES);
}

/* BERT marks the second text of a pair by type; models of one type by two separators. */
static llmcall_status read_pair_separator(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error) {
    if (hparams->n_token_types > 1) return LLMCALL_OK;
    return llmc_gguf_get_bool(gguf, "tokenizer.ggml.add_sep_token", &hparams->pair_separator, NULL, error);
}

static llmcall_status read_causal(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error) {
    char key[96];
    const llmc_arch *arch = hparams->arch;
    hparams->causal = !arch->both_sides;
    snprintf(key, sizeof key, "%s.attention.causal", hparams->arch->name);
    llmcall_status status = llmc_gguf_get_bool(gguf, key, &hparams->causal, NULL, error);
    int fits = hparams->window == 0 || hparams->causal != (int)arch->both_sides;
    if (hparams->recurrent.mixer != LLMC_MIXER_NONE) fits = hparams->causal;
    if (status != LLMCALL_OK || fits) return status;
    return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, key,
                     "%s is %s in a model with sliding windows or recurrent layers, which is not supported.", key,
                     hparams->causal ? "true" : "false");
}

/* ---- Tensors ------------------------------------------------------------------------------------------------------------ */

static uint64_t rows_of(const llmc_gguf *gguf, int i) {
    const llmc_gguf_tensor *tensor = llmc_gguf_find_tensor(gguf, tensors[i].name);
    return tensor ? tensor->dims[1] : 0;
}

static llmcall_status check_tensor(const llmc_gguf *gguf, int i, uint64_t rows, uint64_t cols, llmcall_error *error) {
    const llmc_gguf_tensor *tensor = llmc_gguf_find_tensor(gguf, tensors[i].name);
    if (!tensor) return LLMCALL_OK;
    if (cols == 0)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, tensor->name, "The file has the tensor %s, but not %s.", tensor->name,
                         tensors[i - 1].name);
    if (tensor->dims[0] != cols || tensor->dims[1] != rows || tensor->dims[2] != 1 || tensor->dims[3] != 1 || rows == 0 ||
        rows > MAX_OUTPUTS)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, tensor->name,
                         "The tensor %s has shape (%llu, %llu); expected (%llu, %llu).", tensor->name,
                         (unsigned long long)tensor->dims[1], (unsigned long long)tensor->dims[0], (unsigned long long)rows,
                         (unsigned long long)cols);
    const llmc_quant_type *type = llmc_quant_type_find(tensor->type);
    if (type && type->supported) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, tensor->name,
                     "The tensor %s has type %s, which is not supported here.", tensor->name, type ? type->name : "unknown");
}

/* A file with a head ranks, whether or not its pooling type says so. A bias alone is none: nothing would read it. */
static llmcall_status check_tensors(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error) {
    int named = hparams->ranks;
    uint64_t n_inner = rows_of(gguf, INNER), n_out = rows_of(gguf, OUT), width = hparams->width;
    uint64_t n_dense = rows_of(gguf, DENSE_2), last = rows_of(gguf, DENSE_3);
    llmcall_status status = check_tensor(gguf, INNER, n_inner, hparams->width, error);
    if (status == LLMCALL_OK) status = check_tensor(gguf, INNER_BIAS, 1, n_inner, error);
    if (status == LLMCALL_OK) status = check_tensor(gguf, OUT, n_out, n_inner ? n_inner : hparams->width, error);
    if (status == LLMCALL_OK) status = check_tensor(gguf, OUT_BIAS, 1, n_out, error);
    if (status == LLMCALL_OK) status = check_tensor(gguf, INNER_NORM, 1, n_inner, error);
    if (status == LLMCALL_OK) status = check_tensor(gguf, DENSE_2, last ? n_dense : width, width, error);
    if (status == LLMCALL_OK) status = check_tensor(gguf, DENSE_3, width, n_dense ? n_dense : width, error);
    hparams->ranks = n_inner || n_out;
    if (status != LLMCALL_OK || !named || hparams->ranks) return status;
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, tensors[OUT].name,
                     "The file's pooling type says that it ranks documents, but it lacks the tensor %s.", tensors[OUT].name);
}

llmcall_status llmc_head_read(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error) {
    llmcall_status status = read_pooling(gguf, hparams, error);
    if (status == LLMCALL_OK) status = read_causal(gguf, hparams, error);
    if (status == LLMCALL_OK) status = read_rank_pooling(gguf, hparams, error);
    if (status == LLMCALL_OK) status = read_token_types(gguf, hparams, error);
    if (status == LLMCALL_OK) status = read_pair_separator(gguf, hparams, error);
    if (status == LLMCALL_OK) status = check_tensors(gguf, hparams, error);
    return status;
}

uint64_t llmc_head_bytes(const llmc_gguf *gguf) {
    uint64_t bytes = 0;
    for (int i = 0; i < N_TENSORS; i++) {
        const llmc_gguf_tensor *tensor = llmc_gguf_find_tensor(gguf, tensors[i].name);
        if (tensor) bytes += tensor->dims[0] * tensor->dims[1] * sizeof(float);
    }
    return bytes;
}

static llmcall_status load_tensor(const llmc_env *env, llmc_gguf *gguf, int i, llmc_head *head, llmcall_error *error) {
    const llmc_gguf_tensor *tensor = llmc_gguf_find_tensor(gguf, tensors[i].name);
    if (!tensor) return LLMCALL_OK;
    size_t n = (size_t)(tensor->dims[0] * tensor->dims[1]);
    void *blocks = llmc_alloc(env, (size_t)tensor->n_bytes);
    float *values = llmc_alloc_array(env, n, sizeof *values);
    memcpy((char *)head + tensors[i].slot, &values, sizeof values);
    llmcall_status status = LLMCALL_OK;
    if (!blocks || !values) status = llmc_fail_memory(error, tensor->name);
    if (status == LLMCALL_OK) status = llmc_gguf_read(gguf, tensor, 0, blocks, (size_t)tensor->n_bytes, error);
    if (status == LLMCALL_OK) llmc_dequantize(tensor->type, blocks, n, values);
    llmc_free(env, blocks);
    return status;
}

llmcall_status llmc_head_load(const llmc_env *env, llmc_gguf *gguf, const llmc_hparams *hparams, llmc_head *head,
                              llmcall_error *error) {
    llmcall_status status = LLMCALL_OK;
    head->width = hparams->width;
    head->n_inner = (uint32_t)rows_of(gguf, INNER);
    head->n_out = (uint32_t)rows_of(gguf, OUT);
    head->n_dense = (uint32_t)rows_of(gguf, DENSE_2);
    head->gelu = hparams->arch->named_activation;
    head->eps = hparams->norm_eps;
    head->softmax = hparams->causal && head->n_out > 1;
    for (int i = 0; i < N_TENSORS && status == LLMCALL_OK; i++) status = load_tensor(env, gguf, i, head, error);
    return status;
}

void llmc_head_free(const llmc_env *env, llmc_head *head) {
    llmc_free(env, head->inner);
    llmc_free(env, head->inner_bias);
    llmc_free(env, head->inner_norm);
    llmc_free(env, head->out);
    llmc_free(env, head->out_bias);
    llmc_free(env, head->dense_2);
    llmc_free(env, head->dense_3);
    memset(head, 0, sizeof *head);
}

/* ---- A row -------------------------------------------------------------------------------------------------------------- */

/* y (rows) = w (rows, cols) . x (cols) + bias */
static void product(const float *w, const float *bias, const float *x, uint32_t rows, uint32_t cols, float *y) {
    for (uint32_t r = 0; r < rows; r++) {
        double sum = bias ? (double)bias[r] : 0;
        for (uint32_t c = 0; c < cols; c++) sum += (double)w[(size_t)r * cols + c] * (double)x[c];
        y[r] = (float)sum;
    }
}

void llmc_head_project(const llmc_head *head, float *row, float *scratch) {
    uint32_t width = head->width;
    float *last = scratch + head->n_dense;
    if (head->dense_2) product(head->dense_2, NULL, row, head->n_dense, width, scratch);
    if (head->dense_3)
        product(head->dense_3, NULL, head->dense_2 ? scratch : row, width, head->dense_2 ? head->n_dense : width, last);
    else last = scratch;
    if (head->dense_2 || head->dense_3) memcpy(row, last, width * sizeof *row);
}

/* Of the first. */
static float softmax(const float *x, uint32_t n) {
    double largest = (double)x[0], sum = 0;
    for (uint32_t i = 1; i < n; i++) largest = fmax(largest, (double)x[i]);
    for (uint32_t i = 0; i < n; i++) sum += exp((double)x[i] - largest);
    return (float)(exp((double)x[0] - largest) / sum);
}

static void layer_norm(float *x, const float *weight, uint32_t n, float eps) {
    double mean = 0, square = 0;
    for (uint32_t i = 0; i < n; i++) mean += (double)x[i] / n;
    for (uint32_t i = 0; i < n; i++) square += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
    double scale = 1 / sqrt(square + (double)eps);
    for (uint32_t i = 0; i < n; i++) x[i] = (float)(((double)x[i] - mean) * scale * (double)weight[i]);
}

static void activate(const llmc_head *head, float *x) {
    for (uint32_t i = 0; i < head->n_inner; i++) {
        double value = (double)x[i];
        x[i] = (float)(head->gelu ? 0.5 * value * erfc(-value / sqrt(2)) : tanh(value));
    }
    if (head->inner_norm) layer_norm(x, head->inner_norm, head->n_inner, head->eps);
}

float llmc_head_score(const llmc_head *head, const float *row, float *scratch) {
    uint32_t cols = head->width;
    if (head->n_inner) {
        product(head->inner, head->inner_bias, row, head->n_inner, cols, scratch);
        activate(head, scratch);
        row = scratch;
        cols = head->n_inner;
    }
    if (head->n_out == 0) return row[0];
    float *out = scratch + head->n_inner;
    product(head->out, head->out_bias, row, head->n_out, cols, out);
    return head->softmax ? softmax(out, head->n_out) : out[0];
}
