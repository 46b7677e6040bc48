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

static void read_heads(llmc_key_reader *reader, llmc_hparams *h) {
    uint32_t value_length;
    if (h->arch->recurrence == LLMC_RECURRENT_ALL) return;
    read_head_counts(reader, h);
    if (reader->status == LLMCALL_OK && h->n_heads == 0) return;
    if (reader->status == LLMCALL_OK && h->n_heads % h->n_kv_heads != 0) {
        llmc_fail_u32(reader, h->n_kv_heads, "a divisor of attention.head_count");
    }
    if (reader->status != LLMCALL_OK) return;

    h->head_dim = 0;
    llmc_read_u32(reader, "attention.key_length", &h->head_dim, 1, LLMC_MAX_HEAD_DIM);
    if (reader->status == LLMCALL_OK && h->head_dim == 0) {
        h->head_dim = h->width / h->n_heads;
        llmc_key_of(reader, "embedding_length");
        if (h->width % h->n_heads != 0) llmc_fail_u32(reader, h->width, "a multiple of attention.head_count");
        else llmc_check_range(reader, h->head_dim, 1, LLMC_MAX_HEAD_DIM);
    }
    value_length = h->head_dim;
    llmc_read_u32(reader, "attention.value_length", &value_length, 1, LLMC_MAX_HEAD_DIM);
    if (reader->status == LLMCALL_OK && value_length != h->head_dim && !h->arch->latent) {
        reader->status = llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                                   "%s is %u and the length of keys is %u; only equal ones are supported.", reader->key,
                                   value_length, h->head_dim);
    }
}

/* ---- Factors ------------------------------------------------------------------------------------------------------------- */

static void read_temperature(llmc_key_reader *reader, llmc_hparams *h) {
    int found = 0;
    if (!h->arch->temperature) return;
    llmc_read_f32(reader, "attention.temperature_scale", &h->temperature_scale, 0.0f, 1e6f, &found);
    if (h->temperature_scale == 0) return;
    h->temperature_floor = h->rope.original_context;
    llmc_read_u32(reader, "attention.temperature_length", &h->temperature_floor, 1, LLMC_MAX_CONTEXT);
}

/* Granite's. Zero is the same as none. */
static void read_multipliers(llmc_key_reader *reader, llmc_hparams *h) {
    float scale = 0, root = 0, residual = 0, logits = 0;
    int found = 0;
    llmc_read_f32(reader, "embedding_scale", &root, 0.0f, 1e6f, &found);
    llmc_read_f32(reader, "residual_scale", &residual, 0.0f, 1e6f, &found);
    llmc_read_f32(reader, "attention.scale", &scale, 0.0f, 1e6f, &found);
    llmc_read_f32(reader, "logit_scale", &logits, 0.0f, 1e6f, &found);
    if (root != 0) h->embedding_scale = root;
    if (residual != 0) h->residual_scale = residual;
    if (scale != 0) h->score_scale = scale;
    if (logits != 0) h->logit_scale = 1 / logits;
}

static void read_factors(llmc_key_reader *reader, llmc_hparams *h) {
    const llmc_arch *arch = h->arch;
    int found = 0;
    h->embedding_scale = arch->embedding_times_root ? sqrtf((float)h->width) : 1;
    h->residual_scale = h->logit_scale = 1;
    h->score_scale = 1 / sqrtf((float)h->head_dim);
    if (arch->wide_scale_layers == h->n_layers) h->score_scale = 1 / sqrtf((float)(h->width / h->n_heads));
    if (arch->multipliers) read_multipliers(reader, h);
    if (arch->logit_scale) llmc_read_f32(reader, "logit_scale", &h->logit_scale, 0.0f, 1e6f, &found);
    if (h->logit_scale == 0) h->logit_scale = 1;
    h->score_cap = arch->score_cap;
    h->logit_cap = arch->logit_cap;
    if (arch->score_cap > 0) llmc_read_f32(reader, "attn_logit_softcapping", &h->score_cap, 0.0f, 1e6f, &found);
    llmc_read_f32(reader, "final_logit_softcapping", &h->logit_cap, 0.0f, 1e6f, &found);
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

static void read_ff(llmc_key_reader *reader, llmc_hparams *h) {
    uint8_t none[LLMC_MAX_LAYERS] = {0};
    llmc_feeding feeding = h->arch->feeding;
    llmc_read_u32_or_array(reader, "feed_forward_length", &h->n_ff, h->n_layers, feeding == LLMC_FEEDING_NONE ? 0 : 1,
                           LLMC_MAX_FF, feeding == LLMC_FEEDING_ALONE ? none : NULL);
    if (feeding == LLMC_FEEDING_NONE) {
        h->n_ff = 0;
        return;
    }
    if (reader->status == LLMCALL_OK && h->n_ff == 0 && h->arch->experts != LLMC_REQUIRED) llmc_fail_missing(reader);
    for (uint32_t i = 0; i < h->n_layers; i++) h->layer[i] |= none[i] ? 0 : LLMC_LAYER_FEEDS;
}

static void read_sizes(llmc_key_reader *reader, llmc_hparams *h) {
    const char *eps = h->arch->layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    int found = 0;
    llmc_require_u32(reader, "context_length", &h->context_length, 1, LLMC_MAX_CONTEXT);
    llmc_require_u32(reader, "embedding_length", &h->width, 1, LLMC_MAX_WIDTH);
    llmc_require_u32(reader, "block_count", &h->n_layers, 1, LLMC_MAX_LAYERS);
    if (reader->status == LLMCALL_OK) llmc_read_u32(reader, "nextn_predict_layers", &h->n_extra_layers, 0, h->n_layers - 1);
    if (reader->status == LLMCALL_OK) read_ff(reader, h);
    h->n_layers -= h->n_extra_layers;
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
    if (reader.status == LLMCALL_OK) llmc_read_rope(&reader, h);
    if (reader.status == LLMCALL_OK) llmc_read_windows(&reader, h);
    if (reader.status == LLMCALL_OK) read_factors(&reader, h);
    if (reader.status == LLMCALL_OK) llmc_read_experts(&reader, h);
    if (reader.status == LLMCALL_OK) llmc_read_latent(&reader, h);
    if (reader.status == LLMCALL_OK) llmc_read_recurrent(&reader, h);
    if (reader.status == LLMCALL_OK) llmc_mark_turning(h);
    llmc_read_u32(&reader, "vocab_size", &h->n_vocab, 1, LLMC_MAX_VOCAB);
    return reader.status;
}
