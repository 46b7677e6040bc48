/* How positions enter: RoPE and its scaling, and which layers have a sliding window. */
#include <math.h>
#include <string.h>

#include "backend/backend.h"
#include "model/hparams.h"

static void read_rope_scaling_type(llmc_key_reader *reader, llmc_rope_params *rope) {
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
        llmc_gguf_get_string(reader->gguf, llmc_key_of(reader, "rope.scaling.type"), &text, &size, &found, reader->error);
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

static void read_rope_yarn(llmc_key_reader *reader, const llmc_hparams *h, llmc_rope_params *rope) {
    int found = 0;
    llmc_read_f32(reader, "rope.scaling.yarn_beta_fast", &rope->beta_fast, 1e-6f, 1e6f, &found);
    llmc_read_f32(reader, "rope.scaling.yarn_beta_slow", &rope->beta_slow, 1e-6f, 1e6f, &found);
    llmc_read_f32(reader, "rope.scaling.yarn_log_multiplier", &rope->log_multiplier, 0.0f, 1e6f, &found);
    if (h->arch->latent) rope->log_multiplier /= 0.1f; /* their converter wrote a tenth of it */
}

/* Hunyuan's way to longer contexts: a larger base. */
static void read_rope_alpha(llmc_key_reader *reader, llmc_rope_params *rope) {
    float alpha = 0;
    int found = 0;
    llmc_read_f32(reader, "rope.scaling.alpha", &alpha, 0.0f, 1e6f, &found);
    if (alpha > 0 && rope->n_rot > 2) rope->base *= powf(alpha, (float)rope->n_rot / (float)(rope->n_rot - 2));
}

int llmc_has_alibi(const llmc_hparams *h) {
    uint32_t layers = h->arch->alibi_layers;
    return h->arch->alibi == LLMC_REQUIRED && (layers == 0 || layers == h->n_layers);
}

static void read_rope_kind(llmc_key_reader *reader, llmc_hparams *h) {
    llmc_gguf_array sections;
    int found = 0, turns = 1;
    h->rope_kind = h->arch->rope;
    if (h->arch->has_sections &&
        llmc_gguf_get_array(reader->gguf, llmc_key_of(reader, "rope.dimension_sections"), &sections, &found, NULL) ==
            LLMCALL_OK &&
        found) {
        h->rope_kind = h->arch->rope_of_sections;
    }
    if (h->arch->multipliers && !h->arch->scaled_depth && !h->arch->rope_pattern)
        llmc_read_bool(reader, "rope.scaling.finetuned", &turns);
    if (!turns || llmc_has_alibi(h)) h->rope_kind = LLMC_ROPE_NONE;
}

void llmc_read_rope(llmc_key_reader *reader, llmc_hparams *h) {
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
    llmc_read_u32(reader, "rope.dimension_count", &rope->n_rot, 2, h->head_dim);
    if (reader->status == LLMCALL_OK && rope->n_rot % 2 != 0) {
        llmc_key_of(reader, "rope.dimension_count");
        llmc_fail_u32(reader, rope->n_rot, "an even number");
    }
    llmc_read_f32(reader, "rope.freq_base", &rope->base, 1.0f, 1e12f, &found);
    read_rope_scaling_type(reader, rope);
    llmc_read_f32(reader, "rope.scaling.factor", &rope->factor, 0.0f, 1e6f, &found);
    if (!found) llmc_read_f32(reader, "rope.scale_linear", &rope->factor, 0.0f, 1e6f, &found);
    if (rope->factor == 0) rope->factor = 1;
    llmc_read_f32(reader, "rope.scaling.attn_factor", &rope->attention_factor, 1e-6f, 1e6f, &found);
    llmc_read_u32(reader, "rope.scaling.original_context_length", &rope->original_context, 1, LLMC_MAX_CONTEXT);
    read_rope_alpha(reader, rope);
    if (rope->scaling == LLMC_ROPE_YARN) read_rope_yarn(reader, h, rope);
    if (h->rope_kind == LLMC_ROPE_NONE) rope->n_rot = 0;
}

/* ---- Sliding windows ----------------------------------------------------------------------------------------------------- */

static void read_window_rope(llmc_key_reader *reader, llmc_hparams *h) {
    int found = 0;
    h->window_rope = h->rope;
    if (h->arch->window_rope == LLMC_WINDOW_ROPE_LOCAL) h->window_rope.base = 10000;
    if (h->arch->window_rope != LLMC_WINDOW_ROPE_SAME) {
        h->window_rope.scaling = LLMC_ROPE_UNSCALED;
        h->window_rope.attention_factor = 1;
    }
    llmc_read_f32(reader, "rope.freq_base_swa", &h->window_rope.base, 1.0f, 1e12f, &found);
    if (!h->arch->window_head_dims || h->rope.n_rot == 0) return;
    llmc_read_u32(reader, "rope.dimension_count_swa", &h->window_rope.n_rot, 2, LLMC_MAX_HEAD_DIM);
    llmc_key_of(reader, "rope.dimension_count_swa");
    if (reader->status == LLMCALL_OK && (h->window_rope.n_rot % 2 || h->window_rope.n_rot > h->window_head_dim)) {
        llmc_fail_u32(reader, h->window_rope.n_rot, "an even number up to the length of keys");
    }
}

/* attention.sliding_window_pattern: a flag a layer, or n: of n layers the last, or the first, has no window. */
static void mark_windows(llmc_key_reader *reader, llmc_hparams *h) {
    uint32_t pattern = h->arch->window_pattern;
    const char *name = "attention.sliding_window_pattern";
    if (reader->status != LLMCALL_OK || llmc_mark_by_array(reader, name, h, LLMC_LAYER_WINDOW)) return;
    llmc_read_u32(reader, name, &pattern, 0, LLMC_MAX_LAYERS);
    for (uint32_t i = 0; i < h->n_layers; i++) {
        if (pattern == 0 || i % pattern != (h->arch->window_not_first ? 0 : pattern - 1)) h->layer[i] |= LLMC_LAYER_WINDOW;
    }
}

/* Where only layers with a window turn as many dimensions as the key says. */
static void halve_turning(llmc_key_reader *reader, llmc_hparams *h) {
    h->rope.n_rot /= 2;
    llmc_key_of(reader, "rope.dimension_count");
    if (reader->status == LLMCALL_OK && h->rope.n_rot % 2) llmc_fail_u32(reader, 2 * h->rope.n_rot, "a multiple of 4");
}

void llmc_read_windows(llmc_key_reader *reader, llmc_hparams *h) {
    const llmc_arch *arch = h->arch;
    if (arch->window_pattern == 0 || (arch->window_layers && arch->window_layers != h->n_layers)) return;
    h->window = arch->window;
    llmc_read_u32(reader, "attention.sliding_window", &h->window, 0, LLMC_MAX_CONTEXT);
    if (h->window == 0) return;
    mark_windows(reader, h);
    read_window_rope(reader, h);
    if (arch->half_turns) halve_turning(reader, h);
}

void llmc_mark_turning(llmc_key_reader *reader, llmc_hparams *h) {
    uint32_t step = h->arch->no_rope_step;
    int dense = h->arch->dense_turn;
    if (h->arch->rope_pattern && llmc_mark_by_array(reader, "attention.rope_pattern", h, LLMC_LAYER_TURNS)) return;
    for (uint32_t i = 0; i < h->n_layers; i++) {
        int turns = h->rope_kind != LLMC_ROPE_NONE && (step == 0 || (i + 1) % step != 0);
        if (h->layer[i] & LLMC_LAYER_EXPERTS) dense = 0;
        if (h->arch->only_windows_turn && h->window && !(h->layer[i] & LLMC_LAYER_WINDOW)) turns &= dense;
        if (turns) h->layer[i] |= LLMC_LAYER_TURNS;
    }
}
