/* Prints the architecture table, the tensor types and the pre-tokenizers for models_readme.py, a line each, fields parted by tabs. */
#include <stdio.h>

#include "backend/backend.h"
#include "model/arch.h"
#include "model/quant.h"
#include "tokenizer/pretokenize.h"

static const char *first;

static void say(int condition, const char *text) {
    if (!condition) return;
    printf("%s%s", first, text);
    first = ", ";
}

static void say_positions(const llmc_arch *a) {
    say(a->rope == LLMC_ROPE_INTERLEAVED && !a->has_sections && a->no_rope_step != 1, "RoPE on neighbours");
    say(a->rope == LLMC_ROPE_HALVES, "RoPE on halves");
    say(a->has_sections, "RoPE on neighbours, or on halves with sections");
    say(a->positions, "learned positions");
    say(a->encoder, "token types");
    say(a->both_sides, "attention to both sides");
    say(a->alibi == LLMC_REQUIRED, a->alibi_layers ? "or ALiBi" : "ALiBi");
    say(a->alibi == LLMC_OPTIONAL, "ALiBi if the file says so");
    say(a->no_rope_step > 1, "some layers without RoPE");
    say(a->temperature || a->temperature_unturned, "temperature by position");
}

static void say_attention(const llmc_arch *a) {
    say(a->qkv_bias == LLMC_REQUIRED || a->out_bias == LLMC_REQUIRED, "biases");
    say(a->qkv_bias == LLMC_OPTIONAL && a->out_bias != LLMC_REQUIRED, "biases if there");
    say(a->head_norm != LLMC_ABSENT && a->head_norm_kind == LLMC_HEAD_NORM_RMS, "norm of heads");
    say(a->head_norm != LLMC_ABSENT && a->head_norm_kind == LLMC_HEAD_NORM_TURNED, "norm of heads after RoPE");
    say(a->head_norm != LLMC_ABSENT && a->head_norm_kind == LLMC_HEAD_NORM_ROW, "norm over all heads");
    say(a->head_norm != LLMC_ABSENT && a->head_norm_kind == LLMC_HEAD_NORM_EACH, "layer norm of each head");
    say(a->head_norm != LLMC_ABSENT && a->head_norm_kind == LLMC_HEAD_NORM_EACH_RMS, "norm of each head");
    say(a->turned_norm_unless > 0, "heads divided by their RMS after RoPE");
    say(a->window_pattern > 0, a->window_chunks ? "windows that begin anew" : "sliding windows");
    say(a->only_windows_turn, "RoPE only there");
    say(a->score_cap > 0, "soft caps");
    say(a->clamp, "clamped heads");
    say(a->sinks != LLMC_ABSENT, "sinks");
    say(a->latent, "latent attention");
    say(a->gated_query || a->gated_output, "gated output");
    say(a->shared_kv, "layers that share keys and values");
    say(a->may_idle, "layers without attention or feed-forward");
    say(a->loops, "layers passed several times");
    say(a->layer_embeddings, "embeddings of each layer");
    say(a->streams, "AltUp");
}

static void say_mixer(const llmc_arch *a) {
    say(a->mixer == LLMC_MIXER_CONV, "short convolutions");
    say(a->mixer == LLMC_MIXER_SCAN, "Mamba-2");
    say(a->mixer == LLMC_MIXER_DELTA, "gated delta rule");
    say(a->mixer == LLMC_MIXER_SELECT, "Mamba");
    say(a->mixer == LLMC_MIXER_SELECT_HEADS, "Mamba-2 with its own matrices for b, c and dt");
    say(a->mixer == LLMC_MIXER_RWKV, "RWKV");
    say(a->mixer == LLMC_MIXER_KDA, "Kimi delta attention");
    say(a->recurrence == LLMC_RECURRENT_BESIDE, "beside attention in every layer");
    say(a->feeding == LLMC_FEEDING_ALONE, "layers that are one of these or a feed-forward");
}

static void say_norms(const llmc_arch *a) {
    say(a->layer_norm && !a->bare_norms, "layer norm");
    say(a->bare_norms, "layer norm without weights");
    say(a->pre_norm == LLMC_PRE_NORM_NONE, "norms only after");
    say(a->post_norms && a->pre_norm != LLMC_PRE_NORM_NONE, "norms before and after");
    say(a->ternary, "norms inside branches");
    say(a->residual == LLMC_RESIDUAL_PARALLEL, "parallel branches");
    say(a->residual == LLMC_RESIDUAL_BY_KEY, "parallel branches if the file says so");
    say(a->multipliers || a->logit_scale || a->embedding_times_root, "multipliers");
}

static void say_feed_forward(const llmc_arch *a) {
    static const char *const names[LLMC_ACTIVATIONS_KNOWN + 1] = {
        "SwiGLU", "GeGLU", "clamped SwiGLU", "exact GeGLU", "ReGLU", "GELU", "squared ReLU", "exact GELU", "xIELU"};
    if (a->feeding == LLMC_FEEDING_NONE) return;
    say(1, names[a->activation]);
    say(a->experts == LLMC_OPTIONAL, "or experts");
    say(a->experts == LLMC_REQUIRED, "experts");
}

int main(void) {
    const llmc_arch *a;
    for (size_t i = 0; (a = llmc_arch_at(i)); i++) {
        first = "";
        printf("arch\t%s\t%s\t", a->name, a->models);
        say_positions(a), say_attention(a), say_mixer(a), say_norms(a), say_feed_forward(a);
        printf("\n");
    }
    for (int32_t id = 0; id < 256; id++) {
        const llmc_quant_type *type = llmc_quant_type_find(id);
        if (type) printf("type\t%s\t%d\n", type->name, type->supported);
    }
    const llmc_pre_kind *kind;
    for (size_t i = 0; (kind = llmc_pre_at(i)); i++) printf("pre\t%s\n", kind->name);
    return 0;
}
