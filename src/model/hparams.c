/* The numbers of a model: the GGUF keys that its architecture reads, with their defaults and limits. */
#include <math.h>
#include <string.h>

#include "backend/backend.h"
#include "model/hparams.h"

llmcall_status llmc_arch_name(const llmc_gguf *gguf, const char **name, size_t *size, llmcall_error *error) {
    int found = 0;
    llmcall_status status = llmc_gguf_get_string(gguf, "general.architecture", name, size, &found, error);
    if (status != LLMCALL_OK) return status;
    if (!found) {
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, "general.architecture", "The file lacks the key general.architecture.");
    }
    return LLMCALL_OK;
}

static uint32_t larger(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}

/* Of architectures whose layers may differ. */
static void read_head_counts_of_layers(llmc_key_reader *reader, llmc_hparams *h) {
    uint32_t heads[LLMC_MAX_LAYERS], kv_heads[LLMC_MAX_LAYERS], min = h->arch->may_idle ? 0 : 1;
    const uint32_t n = h->n_layers + h->n_extra_layers;
    if (!llmc_read_u32_of_layers(reader, "attention.head_count", heads, n, min, LLMC_MAX_HEADS)) {
        if (reader->status == LLMCALL_OK) llmc_fail_missing(reader);
        return;
    }
    memcpy(kv_heads, heads, sizeof kv_heads);
    (void)llmc_read_u32_of_layers(reader, "attention.head_count_kv", kv_heads, n, min, LLMC_MAX_HEADS);
    for (uint32_t i = 0; i < h->n_layers && reader->status == LLMCALL_OK; i++) {
        h->sizes[i].n_heads = (uint16_t)heads[i];
        h->sizes[i].n_kv_heads = (uint16_t)(heads[i] ? kv_heads[i] : 0);
        h->n_heads = larger(h->n_heads, heads[i]);
        h->n_kv_heads = larger(h->n_kv_heads, h->sizes[i].n_kv_heads);
        if (kv_heads[i] && heads[i] % kv_heads[i]) llmc_fail_u32(reader, kv_heads[i], "a divisor of attention.head_count");
    }
    if (reader->status == LLMCALL_OK && h->n_kv_heads == 0) llmc_fail_u32(reader, 0, "a layer with heads");
}

static void set_head_counts(llmc_hparams *h) {
    for (uint32_t i = 0; i < h->n_layers; i++) {
        h->sizes[i].n_heads = (uint16_t)h->n_heads;
        h->sizes[i].n_kv_heads = (uint16_t)h->n_kv_heads;
    }
}

/* Layers without heads are recurrent, where the architecture has it so. */
static void read_head_counts(llmc_key_reader *reader, llmc_hparams *h) {
    uint8_t none[LLMC_MAX_LAYERS] = {0}, none_kv[LLMC_MAX_LAYERS] = {0};
    int may_be_none = h->arch->mixer != LLMC_MIXER_NONE && h->arch->recurrence == LLMC_RECURRENT_WITHOUT_HEADS;
    uint32_t n = h->n_layers + h->n_extra_layers, n_attending = 0;
    llmc_read_u32_or_array(reader, "attention.head_count", &h->n_heads, n, 1, LLMC_MAX_HEADS, may_be_none ? none : NULL);
    h->n_kv_heads = h->n_heads;
    llmc_read_u32_or_array(reader, "attention.head_count_kv", &h->n_kv_heads, n, 1, LLMC_MAX_HEADS,
                           may_be_none ? none_kv : NULL);
    for (uint32_t i = 0; i < h->n_layers; i++) {
        if (none_kv[i]) h->layer[i] |= LLMC_LAYER_RECURRENT;
        else n_attending++;
    }
    if (n_attending == 0) h->n_heads = h->n_kv_heads = 0;
    if (reader->status != LLMCALL_OK || n_attending == 0 || h->n_heads > 0) return;
    llmc_key_of(reader, "attention.head_count");
    llmc_fail_missing(reader);
}

static void read_value_length(llmc_key_reader *reader, const llmc_hparams *h, const char *name, uint32_t key_length) {
    uint32_t value_length = key_length;
    llmc_read_u32(reader, name, &value_length, 1, LLMC_MAX_HEAD_DIM);
    if (reader->status != LLMCALL_OK || value_length == key_length || h->arch->latent) return;
    reader->status = llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                               "%s is %u and the length of keys is %u; only equal ones are supported.", reader->key,
                               value_length, key_length);
}

static void read_head_dims(llmc_key_reader *reader, llmc_hparams *h) {
    uint32_t n_heads = h->sizes[0].n_heads ? h->sizes[0].n_heads : h->n_heads;
    h->head_dim = 0;
    llmc_read_u32(reader, "attention.key_length", &h->head_dim, 1, LLMC_MAX_HEAD_DIM);
    if (reader->status == LLMCALL_OK && h->head_dim == 0) {
        h->head_dim = h->width / n_heads;
        llmc_key_of(reader, "embedding_length");
        if (h->width % n_heads != 0) llmc_fail_u32(reader, h->width, "a multiple of attention.head_count");
        else llmc_check_range(reader, h->head_dim, 1, LLMC_MAX_HEAD_DIM);
    }
    read_value_length(reader, h, "attention.value_length", h->head_dim);
    h->window_head_dim = h->head_dim;
    if (!h->arch->window_head_dims) return;
    llmc_read_u32(reader, "attention.key_length_swa", &h->window_head_dim, 1, LLMC_MAX_HEAD_DIM);
    read_value_length(reader, h, "attention.value_length_swa", h->window_head_dim);
}

/* Layers that are passed several times count each time: each has keys and values of its own. */
static void read_loops(llmc_key_reader *reader, llmc_hparams *h) {
    uint32_t n = 1;
    int skip = 0;
    h->n_file_layers = h->n_layers;
    if (!h->arch->loops) return;
    llmc_read_u32(reader, "num_loops", &n, 1, LLMC_MAX_LAYERS / h->n_layers);
    llmc_read_bool(reader, "skip_loop_final_norm", &skip);
    if (reader->status != LLMCALL_OK) return;
    h->loop_norm = n > 1 && !skip;
    h->n_layers *= n;
    h->n_own_kv = h->n_layers;
    for (uint32_t i = h->n_file_layers; i < h->n_layers; i++) {
        h->sizes[i] = h->sizes[i - h->n_file_layers];
        h->layer[i] = h->layer[i - h->n_file_layers];
    }
}

static void read_layer_embeddings(llmc_key_reader *reader, llmc_hparams *h) {
    uint32_t streams = LLMC_STREAMS, active = 0;
    if (!h->arch->layer_embeddings) return;
    llmc_read_u32(reader, "embedding_length_per_layer_input", &h->layer_embedding, 0, LLMC_MAX_LAYER_EMBEDDING);
    if (!h->arch->streams || reader->status != LLMCALL_OK) return;
    if (h->layer_embedding == 0) llmc_fail_missing(reader);
    llmc_read_u32(reader, "altup.num_inputs", &streams, LLMC_STREAMS, LLMC_STREAMS);
    llmc_read_u32(reader, "altup.active_idx", &active, 0, 0);
}

static void read_heads(llmc_key_reader *reader, llmc_hparams *h) {
    if (h->arch->recurrence == LLMC_RECURRENT_ALL) return;
    if (h->arch->sizes_differ) read_head_counts_of_layers(reader, h);
    else read_head_counts(reader, h);
    if (reader->status == LLMCALL_OK && h->n_heads == 0) return;
    if (reader->status == LLMCALL_OK && !h->arch->sizes_differ) {
        if (h->n_heads % h->n_kv_heads != 0) llmc_fail_u32(reader, h->n_kv_heads, "a divisor of attention.head_count");
        set_head_counts(h);
    }
    if (reader->status == LLMCALL_OK) read_head_dims(reader, h);
}

/* Gemma 3n's and 4's last layers read the keys and values of the last ones of their kind that have their own. */
static void read_shared_kv(llmc_key_reader *reader, llmc_hparams *h) {
    uint32_t n = 0;
    h->n_own_kv = h->n_layers;
    if (!h->arch->shared_kv) return;
    llmc_read_u32(reader, "attention.shared_kv_layers", &n, 0, h->n_layers - 1);
    if (reader->status != LLMCALL_OK || n == 0) return;
    h->n_own_kv -= n;
    for (uint32_t i = h->n_own_kv; i < h->n_layers; i++) {
        uint32_t source = llmc_kv_source(h, i);
        int same = source < h->n_own_kv && !((h->layer[i] ^ h->layer[source]) & LLMC_LAYER_WINDOW) &&
                   h->sizes[i].n_kv_heads == h->sizes[source].n_kv_heads;
        if (same) continue;
        llmc_fail_u32(reader, n, "so many layers that an earlier one of the same kind precedes each");
        return;
    }
}

/* ---- Factors ------------------------------------------------------------------------------------------------------------- */

static void read_temperature(llmc_key_reader *reader, llmc_hparams *h) {
    int found = 0;
    if (h->arch->temperature_unturned && h->window) {
        h->temperature_scale = 0.1f;
        h->temperature_floor = 8192;
        h->temperature_offset = 1;
    }
    if (!h->arch->temperature) return;
    llmc_read_f32(reader, "attention.temperature_scale", &h->temperature_scale, 0.0f, 1e6f, &found);
    if (h->temperature_scale == 0) return;
    h->temperature_floor = h->rope.original_context;
    llmc_read_u32(reader, "attention.temperature_length", &h->temperature_floor, 1, LLMC_MAX_CONTEXT);
}

/* Granite's. Zero is the same as none, and then MiniCPM's are those of its paper, for a width of 256 in its smallest model. */
static void read_multipliers(llmc_key_reader *reader, llmc_hparams *h) {
    float scale = 0, root = 0, residual = 0, logits = 0;
    int found = 0;
    if (h->arch->scaled_depth) {
        root = 12;
        residual = 1.4f / sqrtf((float)h->n_layers);
        logits = (float)h->width / 256;
    }
    llmc_read_f32(reader, "embedding_scale", &root, 0.0f, 1e6f, &found);
    llmc_read_f32(reader, "residual_scale", &residual, 0.0f, 1e6f, &found);
    llmc_read_f32(reader, "attention.scale", &scale, 0.0f, 1e6f, &found);
    llmc_read_f32(reader, "logit_scale", &logits, 0.0f, 1e6f, &found);
    if (root != 0) h->embedding_scale = root;
    if (residual != 0) h->residual_scale = residual;
    if (scale != 0) h->score_scale = scale;
    if (logits != 0) h->logit_scale = 1 / logits;
}

static void read_alibi(llmc_key_reader *reader, llmc_hparams *h) {
    int found = 0;
    if (h->arch->alibi == LLMC_OPTIONAL) {
        llmc_read_f32(reader, "attention.max_alibi_bias", &h->max_alibi_bias, 0.0f, 1e3f, &found);
    } else if (llmc_has_alibi(h)) {
        h->max_alibi_bias = 8;
    }
}

/* ---- Activations --------------------------------------------------------------------------------------------------------- */

/* Encoders of ModernBERT's family may name another than theirs. */
static void read_activation(llmc_key_reader *reader, llmc_hparams *h) {
    const char *text = NULL;
    size_t size = 0;
    int found = 0;
    h->activation = h->arch->activation;
    if (!h->arch->named_activation || reader->status != LLMCALL_OK) return;
    reader->status =
        llmc_gguf_get_string(reader->gguf, llmc_key_of(reader, "hidden_activation"), &text, &size, &found, reader->error);
    if (reader->status != LLMCALL_OK || !found || (size == 4 && memcmp(text, "gelu", 4) == 0)) return;
    if (size == 4 && memcmp(text, "silu", 4) == 0) {
        h->activation = LLMC_SWIGLU;
        return;
    }
    reader->status = llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                               "%s is \"%.*s\"; supported are gelu and silu.", reader->key, (int)(size < 64 ? size : 64), text);
}

/* An element of an array, or the same number for all layers. */
static llmcall_status read_of_layer(const llmc_gguf *gguf, const char *key, uint32_t layer, float *value,
                                    llmcall_error *error) {
    llmc_gguf_array array;
    int found = 0;
    llmcall_status status = LLMCALL_OK;
    if (llmc_gguf_get_array(gguf, key, &array, &found, NULL) != LLMCALL_OK || !found) {
        status = llmc_gguf_get_f32(gguf, key, value, &found, error);
    } else if (layer < array.count) {
        status = llmc_gguf_array_f32(&array, layer, value, error);
    } else {
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "%s has %zu elements; layer %u has none.", key, array.count,
                         layer);
    }
    if (status != LLMCALL_OK) return status;
    if (!found) return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "The file lacks the key %s.", key);
    if (*value >= -1e6f && *value <= 1e6f) return LLMCALL_OK; /* NaN is neither */
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "%s is %g for layer %u; expected -1e+06 to 1e+06.", key,
                     (double)*value, layer);
}

static float softplus(float x) {
    return x > 20 ? x : log1pf(expf(x));
}

llmcall_status llmc_xielu_read(const llmc_gguf *gguf, uint32_t layer, llmc_xielu *xielu, llmcall_error *error) {
    float above = 0, below = 0, beta = 0, eps = 0;
    llmcall_status status = read_of_layer(gguf, "xielu.alpha_p", layer, &above, error);
    if (status == LLMCALL_OK) status = read_of_layer(gguf, "xielu.alpha_n", layer, &below, error);
    if (status == LLMCALL_OK) status = read_of_layer(gguf, "xielu.beta", layer, &beta, error);
    if (status == LLMCALL_OK) status = read_of_layer(gguf, "xielu.eps", layer, &eps, error);
    *xielu = (llmc_xielu){.above = softplus(above), .below = beta + softplus(below), .slope = beta, .limit = fminf(eps, 0)};
    return status;
}

static void check_xielu(llmc_key_reader *reader, const llmc_hparams *h) {
    llmc_xielu xielu;
    for (uint32_t i = 0; i < h->n_layers && reader->status == LLMCALL_OK && h->activation == LLMC_XIELU; i++) {
        reader->status = llmc_xielu_read(reader->gguf, i, &xielu, reader->error);
    }
}

/* An array of numbers, or none. */
static float read_limit(llmc_key_reader *reader, const char *name, uint32_t layer) {
    llmc_gguf_array array;
    int found = 0;
    float limit = 0;
    if (reader->status != LLMCALL_OK) return 0;
    reader->status = llmc_gguf_get_array(reader->gguf, llmc_key_of(reader, name), &array, &found, reader->error);
    if (reader->status == LLMCALL_OK && found && layer < array.count) {
        reader->status = llmc_gguf_array_f32(&array, layer, &limit, reader->error);
    }
    if (reader->status != LLMCALL_OK || (limit >= 0 && limit <= 1e6f)) return limit;
    reader->status = llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key, "%s of layer %u is %g; expected 0 to 1e6.",
                               reader->key, layer, (double)limit);
    return 0;
}

static void read_limits(llmc_key_reader *reader, llmc_hparams *h) {
    for (uint32_t i = 0; i < h->n_layers && h->arch->limits; i++) {
        h->sizes[i].limit = read_limit(reader, "swiglu_clamp_shexp", i);
        h->sizes[i].experts_limit = read_limit(reader, "swiglu_clamp_exp", i);
    }
}

static void read_factors(llmc_key_reader *reader, llmc_hparams *h) {
    const llmc_arch *arch = h->arch;
    int found = 0;
    h->embedding_scale = arch->embedding_times_root ? sqrtf((float)h->width) : 1;
    h->residual_scale = h->logit_scale = h->experts.sum_scale = 1;
    h->score_scale = arch->scores_unscaled ? 1 : arch->scores_by_dim ? 1 / (float)h->head_dim : 1 / sqrtf((float)h->head_dim);
    if (arch->wide_scale_layers == h->n_layers) h->score_scale = 1 / sqrtf((float)(h->width / h->n_heads));
    if (arch->multipliers) read_multipliers(reader, h);
    if (arch->logit_scale) llmc_read_f32(reader, "logit_scale", &h->logit_scale, 0.0f, 1e6f, &found);
    if (h->logit_scale == 0) h->logit_scale = 1;
    h->score_cap = arch->score_cap;
    h->logit_cap = arch->logit_cap;
    if (arch->score_cap > 0) llmc_read_f32(reader, "attn_logit_softcapping", &h->score_cap, 0.0f, 1e6f, &found);
    llmc_read_f32(reader, "final_logit_softcapping", &h->logit_cap, 0.0f, 1e6f, &found);
    if (arch->clamp) llmc_read_f32(reader, "attention.clamp_kqv", &h->clamp, 0.0f, 1e6f, &found);
    read_alibi(reader, h);
    read_limits(reader, h);
    read_temperature(reader, h);
    int parallel = 1;
    if (arch->residual == LLMC_RESIDUAL_BY_KEY) llmc_read_bool(reader, "use_parallel_residual", &parallel);
    h->parallel = arch->residual != LLMC_RESIDUAL_SERIAL && parallel;
}

static llmcall_status find_arch(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error) {
    const char *name = NULL;
    size_t size = 0;
    llmcall_status status = llmc_arch_name(gguf, &name, &size, error);
    if (status != LLMCALL_OK) return status;
    hparams->arch = llmc_arch_find(name, size);
    if (!hparams->arch) {
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, "general.architecture",
                         "general.architecture is \"%.*s\", which is not supported.", (int)(size < 64 ? size : 64), name);
    }
    return LLMCALL_OK;
}

/* Of architectures whose layers may differ. */
static void read_ff_of_layers(llmc_key_reader *reader, llmc_hparams *h) {
    uint32_t n_ff[LLMC_MAX_LAYERS], min = h->arch->may_idle ? 0 : 1;
    if (!llmc_read_u32_of_layers(reader, "feed_forward_length", n_ff, h->n_layers, min, LLMC_MAX_FF)) {
        if (reader->status == LLMCALL_OK) llmc_fail_missing(reader);
        return;
    }
    for (uint32_t i = 0; i < h->n_layers && reader->status == LLMCALL_OK; i++) {
        h->sizes[i].n_ff = n_ff[i];
        h->n_ff = larger(h->n_ff, n_ff[i]);
        if (n_ff[i] > 0) h->layer[i] |= LLMC_LAYER_FEEDS;
    }
}

static void read_ff(llmc_key_reader *reader, llmc_hparams *h) {
    uint8_t none[LLMC_MAX_LAYERS] = {0};
    llmc_feeding feeding = h->arch->feeding;
    llmc_read_u32_or_array(reader, "feed_forward_length", &h->n_ff, h->n_layers, feeding == LLMC_FEEDING_NONE ? 0 : 1,
                           LLMC_MAX_FF, feeding == LLMC_FEEDING_ALONE ? none : NULL);
    if (feeding == LLMC_FEEDING_NONE) {
        h->n_ff = 0;
        return;
    }
    if (h->arch->half_ff) h->n_ff /= 2;
    if (reader->status == LLMCALL_OK && h->n_ff == 0 && h->arch->experts != LLMC_REQUIRED) llmc_fail_missing(reader);
    for (uint32_t i = 0; i < h->n_layers; i++) {
        h->layer[i] |= none[i] ? 0 : LLMC_LAYER_FEEDS;
        h->sizes[i].n_ff = none[i] ? 0 : h->n_ff;
    }
}

static void read_sizes(llmc_key_reader *reader, llmc_hparams *h) {
    const char *eps = h->arch->layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    int found = 0;
    llmc_require_u32(reader, "context_length", &h->context_length, 1, LLMC_MAX_CONTEXT);
    llmc_require_u32(reader, "embedding_length", &h->width, 1, LLMC_MAX_WIDTH);
    llmc_require_u32(reader, "block_count", &h->n_layers, 1, LLMC_MAX_LAYERS);
    if (reader->status == LLMCALL_OK) llmc_read_u32(reader, "nextn_predict_layers", &h->n_extra_layers, 0, h->n_layers - 1);
    if (reader->status == LLMCALL_OK && h->arch->sizes_differ) read_ff_of_layers(reader, h);
    else if (reader->status == LLMCALL_OK) read_ff(reader, h);
    if (reader->status != LLMCALL_OK) return;
    h->n_layers -= h->n_extra_layers;
    h->n_own_kv = h->n_layers;
    llmc_read_f32(reader, eps, &h->norm_eps, 0.0f, 1.0f, &found);
    if (!found && h->arch->feeding == LLMC_FEEDING_ALONE) { /* Nemotron-H's first files */
        llmc_read_f32(reader, "attention.layer_norm_epsilon", &h->norm_eps, 0.0f, 1.0f, &found);
    }
    if (reader->status == LLMCALL_OK && !found) llmc_fail_missing(reader);
}

llmcall_status llmc_hparams_read(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error) {
    llmc_hparams *h = hparams;
    memset(h, 0, sizeof *h);
    llmcall_status status = find_arch(gguf, h, error);
    if (status != LLMCALL_OK) return status;

    llmc_key_reader reader = {.gguf = gguf, .architecture = h->arch->name, .error = error, .status = LLMCALL_OK};
    read_sizes(&reader, h);
    if (reader.status == LLMCALL_OK) read_heads(&reader, h);
    if (reader.status == LLMCALL_OK) read_loops(&reader, h);
    if (reader.status == LLMCALL_OK) llmc_read_rope(&reader, h);
    if (reader.status == LLMCALL_OK) llmc_read_windows(&reader, h);
    if (reader.status == LLMCALL_OK) read_shared_kv(&reader, h);
    if (reader.status == LLMCALL_OK) read_layer_embeddings(&reader, h);
    if (reader.status == LLMCALL_OK) read_factors(&reader, h);
    if (reader.status == LLMCALL_OK) llmc_read_experts(&reader, h);
    if (reader.status == LLMCALL_OK) llmc_read_latent(&reader, h);
    if (reader.status == LLMCALL_OK) llmc_read_recurrent(&reader, h);
    if (reader.status == LLMCALL_OK) read_activation(&reader, h);
    if (reader.status == LLMCALL_OK) check_xielu(&reader, h);
    if (reader.status == LLMCALL_OK) llmc_mark_turning(&reader, h);
    llmc_read_u32(&reader, "vocab_size", &h->n_vocab, 1, LLMC_MAX_VOCAB);
    return reader.status;
}
