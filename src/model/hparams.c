/* The numbers of a model: the GGUF keys that its architecture reads, with their defaults and limits. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "model/arch.h"

/* Far beyond any model there is, and small enough that products of two of them fit in 64 bits many times over. */
enum {
    MAX_LAYERS = LLMC_MAX_LAYERS,
    MAX_WIDTH = 1 << 18,
    MAX_HEADS = 1024,
    MAX_HEAD_DIM = 1024,
    MAX_FF = 1 << 20,
    MAX_VOCAB = 1 << 24,
    MAX_CONTEXT = 1 << 28,
    MAX_EXPERTS = 1024,
    MAX_STATE = 4096
};

enum { KEY_SIZE = 96 };

/* Reads keys "<architecture>.<name>"; after the first failure it does nothing, so a list of keys needs one check at its end. */
typedef struct key_reader {
    const llmc_gguf *gguf;
    const char *architecture;
    llmcall_error *error;
    llmcall_status status;
    char key[KEY_SIZE];
} key_reader;

llmcall_status llmc_arch_name(const llmc_gguf *gguf, const char **name, size_t *size, llmcall_error *error) {
    int found = 0;
    llmcall_status status = llmc_gguf_get_string(gguf, "general.architecture", name, size, &found, error);
    if (status != LLMCALL_OK) return status;
    if (!found) {
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, "general.architecture", "The file lacks the key general.architecture.");
    }
    return LLMCALL_OK;
}

static const char *key_of(key_reader *reader, const char *name) {
    snprintf(reader->key, sizeof reader->key, "%s.%s", reader->architecture, name);
    return reader->key;
}

static void fail_missing(key_reader *reader) {
    reader->status = llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key, "The file lacks the key %s.", reader->key);
}

static void fail_u32(key_reader *reader, uint32_t value, const char *expected) {
    reader->status =
        llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key, "%s is %u; expected %s.", reader->key, value, expected);
}

static void check_range(key_reader *reader, uint32_t value, uint32_t min, uint32_t max) {
    char expected[48];
    if (value >= min && value <= max) return;
    snprintf(expected, sizeof expected, "%u to %u", min, max);
    fail_u32(reader, value, expected);
}

/* An optional number from min to max; *value is the default. */
static void read_u32(key_reader *reader, const char *name, uint32_t *value, uint32_t min, uint32_t max) {
    int found = 0;
    if (reader->status != LLMCALL_OK) return;
    reader->status = llmc_gguf_get_u32(reader->gguf, key_of(reader, name), value, &found, reader->error);
    if (reader->status == LLMCALL_OK && found) check_range(reader, *value, min, max);
}

static void require_u32(key_reader *reader, const char *name, uint32_t *value, uint32_t min, uint32_t max) {
    *value = 0;
    read_u32(reader, name, value, min, max);
    if (reader->status == LLMCALL_OK && *value == 0) fail_missing(reader); /* min is at least 1: 0 means absent */
}

static void read_f32(key_reader *reader, const char *name, float *value, float min, float max, int *found) {
    if (reader->status != LLMCALL_OK) return;
    reader->status = llmc_gguf_get_f32(reader->gguf, key_of(reader, name), value, found, reader->error);
    if (reader->status != LLMCALL_OK || !*found) return;
    if (*value >= min && *value <= max) return; /* NaN is neither */
    reader->status = llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key, "%s is %g; expected %g to %g.", reader->key,
                               (double)*value, (double)min, (double)max);
}

static void read_bool(key_reader *reader, const char *name, int *value) {
    int found = 0;
    if (reader->status != LLMCALL_OK) return;
    reader->status = llmc_gguf_get_bool(reader->gguf, key_of(reader, name), value, &found, reader->error);
}

static void fail_differs(key_reader *reader, uint32_t value, uint32_t element, uint32_t layer) {
    reader->status = llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                               "%s differs between layers (%u, and %u in layer %u), which is not supported.", reader->key,
                               value, element, layer);
}

/* Some files give one number a layer. They are served if the layers agree. Where `none` is given, 0 is no number: those layers
 * are marked in it. */
static void read_u32_or_array(key_reader *reader, const char *name, uint32_t *value, uint32_t n_layers, uint32_t min,
                              uint32_t max, uint8_t *none) {
    llmc_gguf_array array;
    int found = 0;
    uint32_t element = 0, n_seen = 0;
    if (reader->status != LLMCALL_OK) return;
    if (llmc_gguf_get_array(reader->gguf, key_of(reader, name), &array, &found, NULL) != LLMCALL_OK || !found) {
        read_u32(reader, name, value, min, max);
        return;
    }
    if (array.count != n_layers) {
        reader->status =
            llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key,
                      "%s has %zu elements; expected one for each of %u layers.", reader->key, array.count, n_layers);
        return;
    }
    for (uint32_t i = 0; i < n_layers && reader->status == LLMCALL_OK; i++) {
        reader->status = llmc_gguf_array_u32(&array, i, &element, reader->error);
        if (reader->status != LLMCALL_OK) return;
        if (none && element == 0) {
            none[i] = 1;
            continue;
        }
        if (n_seen++ > 0 && element != *value) {
            fail_differs(reader, *value, element, i);
            return;
        }
        *value = element;
    }
    if (reader->status == LLMCALL_OK && n_seen > 0) check_range(reader, *value, min, max);
}

/* Layers without heads are recurrent, where the architecture has it so. */
static void read_head_counts(key_reader *reader, llmc_hparams *h) {
    uint8_t none[LLMC_MAX_LAYERS] = {0}, none_kv[LLMC_MAX_LAYERS] = {0};
    int may_be_none = h->arch->mixer != LLMC_MIXER_NONE && h->arch->recurrence == LLMC_RECURRENT_WITHOUT_HEADS;
    uint32_t n = h->n_layers + h->n_extra_layers, n_attending = 0;
    read_u32_or_array(reader, "attention.head_count", &h->n_heads, n, 1, MAX_HEADS, may_be_none ? none : NULL);
    h->n_kv_heads = h->n_heads;
    read_u32_or_array(reader, "attention.head_count_kv", &h->n_kv_heads, n, 1, MAX_HEADS, may_be_none ? none_kv : NULL);
    for (uint32_t i = 0; i < h->n_layers; i++) {
        if (none_kv[i]) h->layer[i] |= LLMC_LAYER_RECURRENT;
        else n_attending++;
    }
    if (n_attending == 0) h->n_heads = h->n_kv_heads = 0;
    if (reader->status != LLMCALL_OK || n_attending == 0 || h->n_heads > 0) return;
    key_of(reader, "attention.head_count");
    fail_missing(reader);
}

static void read_heads(key_reader *reader, llmc_hparams *h) {
    uint32_t value_length;
    if (h->arch->recurrence == LLMC_RECURRENT_ALL) return;
    read_head_counts(reader, h);
    if (reader->status == LLMCALL_OK && h->n_heads == 0) return;
    if (reader->status == LLMCALL_OK && h->n_heads % h->n_kv_heads != 0) {
        fail_u32(reader, h->n_kv_heads, "a divisor of attention.head_count");
    }
    if (reader->status != LLMCALL_OK) return;

    h->head_dim = 0;
    read_u32(reader, "attention.key_length", &h->head_dim, 1, MAX_HEAD_DIM);
    if (reader->status == LLMCALL_OK && h->head_dim == 0) {
        h->head_dim = h->width / h->n_heads;
        key_of(reader, "embedding_length");
        if (h->width % h->n_heads != 0) fail_u32(reader, h->width, "a multiple of attention.head_count");
        else check_range(reader, h->head_dim, 1, MAX_HEAD_DIM);
    }
    value_length = h->head_dim;
    read_u32(reader, "attention.value_length", &value_length, 1, MAX_HEAD_DIM);
    if (reader->status == LLMCALL_OK && value_length != h->head_dim && !h->arch->latent) {
        reader->status = llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                                   "%s is %u and the length of keys is %u; only equal ones are supported.", reader->key,
                                   value_length, h->head_dim);
    }
}

static void read_rope_scaling_type(key_reader *reader, llmc_rope_params *rope) {
    static const struct {
        const char *name;
        llmc_rope_scaling scaling;
    } types[] = {{"none", LLMC_ROPE_UNSCALED}, {"linear", LLMC_ROPE_LINEAR}, {"yarn", LLMC_ROPE_YARN}};
    const char *text = NULL;
    size_t size = 0;
    int found = 0;
    if (reader->status != LLMCALL_OK) return;
    rope->scaling = LLMC_ROPE_LINEAR;
    reader->status =
        llmc_gguf_get_string(reader->gguf, key_of(reader, "rope.scaling.type"), &text, &size, &found, reader->error);
    if (reader->status != LLMCALL_OK || !found) return;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strlen(types[i].name) != size || memcmp(types[i].name, text, size) != 0) continue;
        rope->scaling = types[i].scaling;
        return;
    }
    reader->status =
        llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                  "%s is \"%.*s\"; supported are none, linear and yarn.", reader->key, (int)(size < 64 ? size : 64), text);
}

static void read_rope_yarn(key_reader *reader, const llmc_hparams *h, llmc_rope_params *rope) {
    int found = 0;
    read_f32(reader, "rope.scaling.yarn_beta_fast", &rope->beta_fast, 1e-6f, 1e6f, &found);
    read_f32(reader, "rope.scaling.yarn_beta_slow", &rope->beta_slow, 1e-6f, 1e6f, &found);
    read_f32(reader, "rope.scaling.yarn_log_multiplier", &rope->log_multiplier, 0.0f, 1e6f, &found);
    if (h->arch->latent) rope->log_multiplier /= 0.1f; /* their converter wrote a tenth of it */
}

/* Hunyuan's way to longer contexts: a larger base. */
static void read_rope_alpha(key_reader *reader, llmc_rope_params *rope) {
    float alpha = 0;
    int found = 0;
    read_f32(reader, "rope.scaling.alpha", &alpha, 0.0f, 1e6f, &found);
    if (alpha > 0 && rope->n_rot > 2) rope->base *= powf(alpha, (float)rope->n_rot / (float)(rope->n_rot - 2));
}

static void read_rope_kind(key_reader *reader, llmc_hparams *h) {
    llmc_gguf_array sections;
    int found = 0, turns = 1;
    h->rope_kind = h->arch->rope;
    if (h->arch->has_sections &&
        llmc_gguf_get_array(reader->gguf, key_of(reader, "rope.dimension_sections"), &sections, &found, NULL) == LLMCALL_OK &&
        found) {
        h->rope_kind = h->arch->rope_of_sections;
    }
    if (h->arch->multipliers) read_bool(reader, "rope.scaling.finetuned", &turns);
    if (!turns) h->rope_kind = LLMC_ROPE_NONE;
}

static void read_rope(key_reader *reader, llmc_hparams *h) {
    llmc_rope_params *rope = &h->rope;
    int found = 0;
    *rope = (llmc_rope_params){.n_rot = h->head_dim,
                               .base = 10000,
                               .original_context = h->context_length,
                               .beta_fast = 32,
                               .beta_slow = 1,
                               .attention_factor = 1};
    read_rope_kind(reader, h);
    if (h->head_dim == 0) return; /* no attention */
    read_u32(reader, "rope.dimension_count", &rope->n_rot, 2, h->head_dim);
    if (reader->status == LLMCALL_OK && rope->n_rot % 2 != 0) {
        key_of(reader, "rope.dimension_count");
        fail_u32(reader, rope->n_rot, "an even number");
    }
    read_f32(reader, "rope.freq_base", &rope->base, 1.0f, 1e12f, &found);
    read_rope_scaling_type(reader, rope);
    read_f32(reader, "rope.scaling.factor", &rope->factor, 0.0f, 1e6f, &found);
    if (!found) read_f32(reader, "rope.scale_linear", &rope->factor, 0.0f, 1e6f, &found);
    if (rope->factor == 0) rope->factor = 1;
    read_f32(reader, "rope.scaling.attn_factor", &rope->attention_factor, 1e-6f, 1e6f, &found);
    read_u32(reader, "rope.scaling.original_context_length", &rope->original_context, 1, MAX_CONTEXT);
    read_rope_alpha(reader, rope);
    if (rope->scaling == LLMC_ROPE_YARN) read_rope_yarn(reader, h, rope);
    if (h->rope_kind == LLMC_ROPE_NONE) rope->n_rot = 0;
}

/* ---- Sliding windows ----------------------------------------------------------------------------------------------------- */

static void read_window_rope(key_reader *reader, llmc_hparams *h) {
    int found = 0;
    h->window_rope = h->rope;
    if (h->arch->window_rope == LLMC_WINDOW_ROPE_LOCAL) h->window_rope.base = 10000;
    if (h->arch->window_rope != LLMC_WINDOW_ROPE_SAME) {
        h->window_rope.scaling = LLMC_ROPE_UNSCALED;
        h->window_rope.attention_factor = 1;
    }
    read_f32(reader, "rope.freq_base_swa", &h->window_rope.base, 1.0f, 1e12f, &found);
}

static void mark_by_array(key_reader *reader, const llmc_gguf_array *array, llmc_hparams *h, uint8_t flag) {
    if (array->count < h->n_layers) {
        reader->status = llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key, "%s has %zu elements for %u layers.",
                                   reader->key, array->count, h->n_layers);
        return;
    }
    for (uint32_t i = 0; i < h->n_layers && reader->status == LLMCALL_OK; i++) {
        uint32_t set = 0;
        reader->status = llmc_gguf_array_u32(array, i, &set, reader->error);
        if (set) h->layer[i] |= flag;
    }
}

/* attention.sliding_window_pattern: a flag a layer, or n: of n layers the last has no window. */
static void mark_windows(key_reader *reader, llmc_hparams *h) {
    llmc_gguf_array array;
    uint32_t pattern = h->arch->window_pattern;
    int found = 0;
    const char *name = "attention.sliding_window_pattern";
    if (reader->status != LLMCALL_OK) return;
    if (llmc_gguf_get_array(reader->gguf, key_of(reader, name), &array, &found, NULL) == LLMCALL_OK && found) {
        mark_by_array(reader, &array, h, LLMC_LAYER_WINDOW);
        return;
    }
    read_u32(reader, name, &pattern, 0, MAX_LAYERS);
    for (uint32_t i = 0; i < h->n_layers; i++) {
        if (pattern == 0 || i % pattern != pattern - 1) h->layer[i] |= LLMC_LAYER_WINDOW;
    }
}

static void read_windows(key_reader *reader, llmc_hparams *h) {
    const llmc_arch *arch = h->arch;
    if (arch->window_pattern == 0 || (arch->window_layers && arch->window_layers != h->n_layers)) return;
    h->window = arch->window;
    read_u32(reader, "attention.sliding_window", &h->window, 0, MAX_CONTEXT);
    if (h->window == 0) return;
    mark_windows(reader, h);
    read_window_rope(reader, h);
}

static void mark_turning(llmc_hparams *h) {
    uint32_t step = h->arch->no_rope_step;
    for (uint32_t i = 0; i < h->n_layers; i++) {
        int turns = h->rope_kind != LLMC_ROPE_NONE && (step == 0 || (i + 1) % step != 0);
        if (h->arch->only_windows_turn && h->window && !(h->layer[i] & LLMC_LAYER_WINDOW)) turns = 0;
        if (turns) h->layer[i] |= LLMC_LAYER_TURNS;
    }
}

/* ---- Factors ------------------------------------------------------------------------------------------------------------- */

static void read_temperature(key_reader *reader, llmc_hparams *h) {
    int found = 0;
    if (!h->arch->temperature) return;
    read_f32(reader, "attention.temperature_scale", &h->temperature_scale, 0.0f, 1e6f, &found);
    if (h->temperature_scale == 0) return;
    h->temperature_floor = h->rope.original_context;
    read_u32(reader, "attention.temperature_length", &h->temperature_floor, 1, MAX_CONTEXT);
}

/* Granite's. Zero is the same as none. */
static void read_multipliers(key_reader *reader, llmc_hparams *h) {
    float scale = 0, root = 0, residual = 0, logits = 0;
    int found = 0;
    read_f32(reader, "embedding_scale", &root, 0.0f, 1e6f, &found);
    read_f32(reader, "residual_scale", &residual, 0.0f, 1e6f, &found);
    read_f32(reader, "attention.scale", &scale, 0.0f, 1e6f, &found);
    read_f32(reader, "logit_scale", &logits, 0.0f, 1e6f, &found);
    if (root != 0) h->embedding_scale = root;
    if (residual != 0) h->residual_scale = residual;
    if (scale != 0) h->score_scale = scale;
    if (logits != 0) h->logit_scale = 1 / logits;
}

static void read_factors(key_reader *reader, llmc_hparams *h) {
    const llmc_arch *arch = h->arch;
    int found = 0;
    h->embedding_scale = arch->embedding_times_root ? sqrtf((float)h->width) : 1;
    h->residual_scale = h->logit_scale = 1;
    h->score_scale = 1 / sqrtf((float)h->head_dim);
    if (arch->wide_scale_layers == h->n_layers) h->score_scale = 1 / sqrtf((float)(h->width / h->n_heads));
    if (arch->multipliers) read_multipliers(reader, h);
    if (arch->logit_scale) read_f32(reader, "logit_scale", &h->logit_scale, 0.0f, 1e6f, &found);
    if (h->logit_scale == 0) h->logit_scale = 1;
    h->score_cap = arch->score_cap;
    h->logit_cap = arch->logit_cap;
    if (arch->score_cap > 0) read_f32(reader, "attn_logit_softcapping", &h->score_cap, 0.0f, 1e6f, &found);
    read_f32(reader, "final_logit_softcapping", &h->logit_cap, 0.0f, 1e6f, &found);
    read_temperature(reader, h);
    int parallel = 1;
    if (arch->residual == LLMC_RESIDUAL_BY_KEY) read_bool(reader, "use_parallel_residual", &parallel);
    h->parallel = arch->residual != LLMC_RESIDUAL_SERIAL && parallel;
}

/* ---- Experts ------------------------------------------------------------------------------------------------------------- */

/* A layer has experts if it has a router: leading layers and every second one may have none. */
static void mark_experts(const llmc_gguf *gguf, llmc_hparams *h) {
    char name[KEY_SIZE];
    for (uint32_t i = 0; i < h->n_layers; i++) {
        snprintf(name, sizeof name, "blk.%u.ffn_gate_inp.weight", i);
        if (h->arch->experts == LLMC_REQUIRED || llmc_gguf_find_tensor(gguf, name)) h->layer[i] |= LLMC_LAYER_EXPERTS;
    }
}

static void read_gating(key_reader *reader, llmc_hparams *h) {
    llmc_expert_params *e = &h->experts;
    uint32_t gating = h->arch->experts_gating;
    int found = 0;
    read_u32(reader, "expert_gating_func", &gating, 0, 4);
    if (gating == 0) gating = h->arch->experts_gating;
    if (gating == 4 && reader->status == LLMCALL_OK) {
        reader->status = llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                                   "%s is 4 (sqrt of softplus), which is not supported.", reader->key);
    }
    e->gating = (int)gating;
    e->normalize = !h->arch->experts_unnormalized;
    read_bool(reader, "expert_weights_norm", &e->normalize);
    e->scale = 1;
    read_f32(reader, "expert_weights_scale", &e->scale, 0.0f, 1e6f, &found);
    if (e->scale == 0) e->scale = 1;
    e->n_groups = e->n_groups_used = 1;
    read_u32(reader, "expert_group_count", &e->n_groups, 0, e->n);
    read_u32(reader, "expert_group_used_count", &e->n_groups_used, 0, e->n_groups);
    if (reader->status == LLMCALL_OK && e->n_groups > 1 &&
        (e->n % e->n_groups || e->n / e->n_groups * e->n_groups_used < e->n_used)) {
        key_of(reader, "expert_group_count");
        fail_u32(reader, e->n_groups, "groups of equal size that hold enough experts");
    }
}

/* Architectures without experts ignore the count: a file that had some would have tensors that are refused. */
static void read_experts(key_reader *reader, llmc_hparams *h) {
    llmc_expert_params *e = &h->experts;
    uint32_t n_shared = 0;
    if (h->arch->experts == LLMC_ABSENT) return;
    if (h->arch->experts == LLMC_REQUIRED) require_u32(reader, "expert_count", &e->n, 1, MAX_EXPERTS);
    read_u32(reader, "expert_count", &e->n, 0, MAX_EXPERTS);
    if (reader->status != LLMCALL_OK || e->n == 0) return;
    require_u32(reader, "expert_used_count", &e->n_used, 1, e->n);
    e->n_ff = h->n_ff;
    read_u32_or_array(reader, "expert_feed_forward_length", &e->n_ff, h->n_layers + h->n_extra_layers, 1, MAX_FF, NULL);
    if (reader->status == LLMCALL_OK && e->n_ff == 0) fail_missing(reader);
    if (reader->status != LLMCALL_OK) return;
    read_u32(reader, "expert_shared_count", &n_shared, 0, MAX_EXPERTS);
    e->n_ff_shared = n_shared <= MAX_FF / e->n_ff ? n_shared * e->n_ff : MAX_FF;
    read_u32(reader, "expert_shared_feed_forward_length", &e->n_ff_shared, 0, MAX_FF);
    read_gating(reader, h);
    if (reader->status == LLMCALL_OK) mark_experts(reader->gguf, h);
}

/* ---- Latent attention ---------------------------------------------------------------------------------------------------- */

/* YaRN's temperature is in the scores, where other models have it in RoPE's factors. */
static void scale_latent(llmc_hparams *h) {
    llmc_rope_params *rope = &h->rope;
    float temperature = rope->attention_factor;
    if (rope->scaling == LLMC_ROPE_YARN && rope->factor > 1) {
        temperature *= 1 + 0.1f * (rope->log_multiplier > 0 ? rope->log_multiplier : 1) * logf(rope->factor);
        rope->log_multiplier = rope->log_multiplier > 0 ? 1 : 0;
    }
    h->score_scale = temperature * temperature / sqrtf((float)h->latent.key_length);
}

/* The cache holds the latent vector and the part of a key that turns, once for all heads. */
static void read_latent(key_reader *reader, llmc_hparams *h) {
    llmc_latent_params *l = &h->latent;
    if (!h->arch->latent) return;
    require_u32(reader, "attention.kv_lora_rank", &l->kv_rank, 1, MAX_HEAD_DIM);
    read_u32(reader, "attention.q_lora_rank", &l->q_rank, 0, MAX_WIDTH);
    require_u32(reader, "attention.key_length_mla", &l->key_length, 2, MAX_HEAD_DIM);
    require_u32(reader, "attention.value_length_mla", &l->value_length, 1, MAX_HEAD_DIM);
    if (reader->status != LLMCALL_OK) return;
    scale_latent(h);
    if (h->rope.n_rot >= l->key_length) {
        key_of(reader, "attention.key_length_mla");
        fail_u32(reader, l->key_length, "more than rope.dimension_count");
    } else if (h->n_kv_heads != 1 || h->head_dim != l->kv_rank + h->rope.n_rot || h->head_dim > MAX_HEAD_DIM) {
        key_of(reader, "attention.key_length");
        fail_u32(reader, h->head_dim, "one KV head of attention.kv_lora_rank and rope.dimension_count together");
    }
}

/* ---- Recurrent layers ---------------------------------------------------------------------------------------------------- */

static void mark_recurrent(key_reader *reader, llmc_hparams *h) {
    llmc_gguf_array array;
    uint32_t interval = h->arch->recurrence == LLMC_RECURRENT_BY_KEY ? 4 : h->n_layers + 1;
    int found = 0;
    if (h->arch->recurrence == LLMC_RECURRENT_WITHOUT_HEADS) return;
    if (h->arch->recurrence == LLMC_RECURRENT_BY_KEY) {
        const char *key = key_of(reader, "attention.recurrent_layers");
        if (llmc_gguf_get_array(reader->gguf, key, &array, &found, NULL) == LLMCALL_OK && found) {
            mark_by_array(reader, &array, h, LLMC_LAYER_RECURRENT);
            return;
        }
        read_u32(reader, "full_attention_interval", &interval, 1, MAX_LAYERS);
    }
    for (uint32_t i = 0; i < h->n_layers; i++) {
        if ((i + 1) % interval != 0) h->layer[i] |= LLMC_LAYER_RECURRENT;
    }
}

static uint16_t *count_of_kind(llmc_hparams *h, uint16_t counts[3], uint32_t layer) {
    if (h->layer[layer] & LLMC_LAYER_RECURRENT) return &counts[0];
    return &counts[h->windows_apart && h->layer[layer] & LLMC_LAYER_WINDOW ? 2 : 1];
}

void llmc_hparams_place_layers(llmc_hparams *h, int windows_apart) {
    uint16_t counts[3] = {0}; /* recurrent, in the first store, in that of layers with a window */
    h->windows_apart = windows_apart;
    for (uint32_t i = 0; i < h->n_layers; i++) h->place[i] = (*count_of_kind(h, counts, i))++;
    h->recurrent.n_layers = counts[0];
    h->n_kv_layers = counts[1];
    h->n_window_layers = counts[2];
}

/* What divides what in Mamba-2 and in the delta rule. */
static void check_recurrent_heads(key_reader *reader, const llmc_hparams *h) {
    const llmc_recurrent_params *r = &h->recurrent;
    int delta = r->mixer == LLMC_MIXER_DELTA;
    if (reader->status != LLMCALL_OK) return;
    key_of(reader, "ssm.time_step_rank");
    if (r->inner % r->n_heads) fail_u32(reader, r->n_heads, "a divisor of ssm.inner_size");
    else if (r->n_heads % r->n_groups) fail_u32(reader, r->n_heads, "a multiple of ssm.group_count");
    else if (delta && r->inner / r->n_heads != r->state_size) {
        key_of(reader, "ssm.state_size");
        fail_u32(reader, r->state_size, "ssm.inner_size / ssm.time_step_rank");
    }
}

/* Newer files may have one; it must not be computed as if it had none. */
static void refuse_windows(key_reader *reader) {
    uint32_t window = 0;
    read_u32(reader, "attention.sliding_window", &window, 0, UINT32_MAX);
    if (reader->status == LLMCALL_OK && window > 0) {
        reader->status = llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                                   "%s is %u; windows beside recurrent layers are not supported.", reader->key, window);
    }
}

static void read_recurrent(key_reader *reader, llmc_hparams *h) {
    llmc_recurrent_params *r = &h->recurrent;
    if (h->arch->mixer != LLMC_MIXER_NONE) mark_recurrent(reader, h);
    llmc_hparams_place_layers(h, 0);
    if (r->n_layers == 0) return;
    r->mixer = h->arch->mixer;
    const char *taps = r->mixer == LLMC_MIXER_CONV ? "shortconv.l_cache" : "ssm.conv_kernel";
    require_u32(reader, taps, &r->n_taps, LLMC_MIN_TAPS, LLMC_MAX_TAPS);
    refuse_windows(reader);
    if (r->mixer == LLMC_MIXER_CONV) return;
    require_u32(reader, "ssm.inner_size", &r->inner, 1, MAX_WIDTH);
    require_u32(reader, "ssm.state_size", &r->state_size, 1, r->mixer == LLMC_MIXER_DELTA ? LLMC_MAX_DELTA_KEY : MAX_STATE);
    require_u32(reader, "ssm.time_step_rank", &r->n_heads, 1, MAX_HEADS);
    require_u32(reader, "ssm.group_count", &r->n_groups, 1, MAX_HEADS);
    check_recurrent_heads(reader, h);
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

static void read_sizes(key_reader *reader, llmc_hparams *h) {
    const char *eps = h->arch->layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    int found = 0;
    require_u32(reader, "context_length", &h->context_length, 1, MAX_CONTEXT);
    require_u32(reader, "embedding_length", &h->width, 1, MAX_WIDTH);
    require_u32(reader, "block_count", &h->n_layers, 1, MAX_LAYERS);
    if (reader->status == LLMCALL_OK) read_u32(reader, "nextn_predict_layers", &h->n_extra_layers, 0, h->n_layers - 1);
    if (reader->status == LLMCALL_OK) {
        read_u32_or_array(reader, "feed_forward_length", &h->n_ff, h->n_layers, h->arch->no_ffn ? 0 : 1, MAX_FF, NULL);
        if (h->arch->no_ffn) h->n_ff = 0;
        else if (reader->status == LLMCALL_OK && h->n_ff == 0 && h->arch->experts != LLMC_REQUIRED) fail_missing(reader);
    }
    h->n_layers -= h->n_extra_layers;
    read_f32(reader, eps, &h->norm_eps, 0.0f, 1.0f, &found);
    if (reader->status == LLMCALL_OK && !found) fail_missing(reader);
}

llmcall_status llmc_hparams_read(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error) {
    llmc_hparams *h = hparams;
    memset(h, 0, sizeof *h);
    llmcall_status status = find_arch(gguf, h, error);
    if (status != LLMCALL_OK) return status;

    key_reader reader = {.gguf = gguf, .architecture = h->arch->name, .error = error, .status = LLMCALL_OK};
    read_sizes(&reader, h);
    if (reader.status == LLMCALL_OK) read_heads(&reader, h);
    if (reader.status == LLMCALL_OK) read_rope(&reader, h);
    if (reader.status == LLMCALL_OK) read_windows(&reader, h);
    if (reader.status == LLMCALL_OK) read_factors(&reader, h);
    if (reader.status == LLMCALL_OK) read_experts(&reader, h);
    if (reader.status == LLMCALL_OK) read_latent(&reader, h);
    if (reader.status == LLMCALL_OK) read_recurrent(&reader, h);
    if (reader.status == LLMCALL_OK) mark_turning(h);
    read_u32(&reader, "vocab_size", &h->n_vocab, 1, MAX_VOCAB);
    return reader.status;
}
