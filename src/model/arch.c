/* The architecture table: a row is what sets one architecture apart from llama. Sources: the models' papers and published
 * configurations; llama.cpp's loader for what its files say. */
#include "model/arch.h"

#include <string.h>

#include "backend/backend.h"

/* What several rows share. */
#define OPTIONAL_BIASES .qkv_bias = LLMC_OPTIONAL, .out_bias = LLMC_OPTIONAL, .ffn_bias = LLMC_OPTIONAL
#define ALL_BIASES      .qkv_bias = LLMC_REQUIRED, .out_bias = LLMC_REQUIRED, .ffn_bias = LLMC_REQUIRED
#define LAYER_NORM      .layer_norm = 1, .norm_bias = LLMC_REQUIRED
#define HALVES          .rope = LLMC_ROPE_HALVES
#define EXPERTS         .experts = LLMC_OPTIONAL, .experts_gating = LLMC_GATE_SOFTMAX
#define POST_NORMS_ONLY .pre_norm = LLMC_PRE_NORM_NONE, .post_norms = 1
#define ONE_NORM        .pre_norm = LLMC_PRE_NORM_SHARED, .residual = LLMC_RESIDUAL_PARALLEL

static const llmc_arch arch_table[] = {
    {"llama", OPTIONAL_BIASES, EXPERTS},
    {"mistral3", OPTIONAL_BIASES, EXPERTS, .temperature = 1},
    {"qwen2", HALVES, .qkv_bias = LLMC_REQUIRED},
    {"qwen3", HALVES, .qkv_bias = LLMC_OPTIONAL, .head_norm = LLMC_REQUIRED},
    {"qwen3moe", HALVES, .qkv_bias = LLMC_OPTIONAL, .head_norm = LLMC_REQUIRED, EXPERTS},
    {"gemma", HALVES, .activation = LLMC_GEGLU, .embedding_times_root = 1},
    {"gemma2", HALVES, .activation = LLMC_GEGLU, .embedding_times_root = 1, .post_norms = 1, .score_cap = 50, .logit_cap = 30,
     .window = 4096, .window_pattern = 2, .wide_scale_layers = 46},
    {"gemma3", HALVES, .activation = LLMC_GEGLU, .embedding_times_root = 1, .post_norms = 1, .head_norm = LLMC_REQUIRED,
     .window_pattern = 6, .window_rope = LLMC_WINDOW_ROPE_LOCAL, .wide_scale_layers = 62},
    {"phi2", HALVES, LAYER_NORM, ONE_NORM, ALL_BIASES, .output_bias = LLMC_REQUIRED, .activation = LLMC_GELU},
    {"phi3", HALVES, .qkv_bias = LLMC_OPTIONAL, .fused_gate_up = 1},
    {"olmo2", HALVES, POST_NORMS_ONLY, .head_norm = LLMC_REQUIRED, .head_norm_kind = LLMC_HEAD_NORM_ROW, .window_pattern = 4,
     .window_rope = LLMC_WINDOW_ROPE_UNSCALED},
    {"olmoe", HALVES, .head_norm = LLMC_REQUIRED, .head_norm_kind = LLMC_HEAD_NORM_ROW, EXPERTS, .experts_unnormalized = 1},
    {"granite", OPTIONAL_BIASES, EXPERTS, .multipliers = 1},
    {"granitemoe", OPTIONAL_BIASES, EXPERTS, .multipliers = 1},
    {"smollm3", OPTIONAL_BIASES, .no_rope_step = 4},
    {"gpt2", .rope = LLMC_ROPE_NONE, LAYER_NORM, ALL_BIASES, .positions = 1, .activation = LLMC_GELU},
    {"gptneox", HALVES, LAYER_NORM, ALL_BIASES, .residual = LLMC_RESIDUAL_BY_KEY, .activation = LLMC_GELU},
    {"falcon", HALVES, LAYER_NORM, ONE_NORM, .activation = LLMC_GELU},
    {"stablelm", HALVES, LAYER_NORM, .pre_norm = LLMC_PRE_NORM_OPTIONAL, .qkv_bias = LLMC_OPTIONAL, .head_norm = LLMC_OPTIONAL,
     .head_norm_kind = LLMC_HEAD_NORM_EACH},
    {"starcoder2", HALVES, LAYER_NORM, ALL_BIASES, .activation = LLMC_GELU},
    {"internlm2", .qkv_bias = LLMC_OPTIONAL},
    {"glm4", .has_sections = 1, .rope_of_sections = LLMC_ROPE_HALVES, .qkv_bias = LLMC_OPTIONAL, .post_norms = 1,
     .fused_gate_up = 1},
    {"command-r", .layer_norm = 1, ONE_NORM, .qkv_bias = LLMC_OPTIONAL, .head_norm = LLMC_OPTIONAL,
     .head_norm_kind = LLMC_HEAD_NORM_EACH, .logit_scale = 1},
    {"cohere2", .layer_norm = 1, ONE_NORM, .qkv_bias = LLMC_OPTIONAL, .logit_scale = 1, .window_pattern = 4,
     .only_windows_turn = 1},
    {"exaone4", HALVES, POST_NORMS_ONLY, .qkv_bias = LLMC_OPTIONAL, .head_norm = LLMC_REQUIRED, .window = 4096,
     .window_pattern = 4, .window_layers = 64, .only_windows_turn = 1},
    {"nemotron", HALVES, LAYER_NORM, OPTIONAL_BIASES, .activation = LLMC_RELU_SQUARED},
    {"hunyuan-dense", HALVES, .qkv_bias = LLMC_OPTIONAL, .head_norm = LLMC_REQUIRED, .head_norm_kind = LLMC_HEAD_NORM_TURNED},
    {"ernie4_5", OPTIONAL_BIASES},
    {"ernie4_5-moe", OPTIONAL_BIASES, EXPERTS},
    {"seed_oss", HALVES, .qkv_bias = LLMC_OPTIONAL, .ffn_norm_named_post = 1},
    {"gpt-oss", HALVES, .qkv_bias = LLMC_REQUIRED, .out_bias = LLMC_REQUIRED, .sinks = LLMC_REQUIRED, .ffn_norm_named_post = 1,
     .activation = LLMC_SWIGLU_CLAMPED, .window_pattern = 2, .experts = LLMC_REQUIRED,
     .experts_gating = LLMC_GATE_SOFTMAX_OF_CHOSEN, .experts_unnormalized = 1, .experts_biased = 1},
    {"lfm2", HALVES, .head_norm = LLMC_REQUIRED, .mixer = LLMC_MIXER_CONV, .output_norm_named_embd = 1},
    {"mamba2", .rope = LLMC_ROPE_NONE, .mixer = LLMC_MIXER_SCAN, .recurrence = LLMC_RECURRENT_ALL, .no_ffn = 1},
    {"granitehybrid", OPTIONAL_BIASES, EXPERTS, .multipliers = 1, .mixer = LLMC_MIXER_SCAN},
    {"qwen35", HALVES, .head_norm = LLMC_REQUIRED, .ffn_norm_named_post = 1, .gated_query = 1, .mixer = LLMC_MIXER_DELTA,
     .recurrence = LLMC_RECURRENT_BY_KEY},
    {"qwen3next", HALVES, .head_norm = LLMC_REQUIRED, .ffn_norm_named_post = 1, .gated_query = 1, .mixer = LLMC_MIXER_DELTA,
     .recurrence = LLMC_RECURRENT_BY_KEY, .grouped_keys = 1, .experts = LLMC_REQUIRED, .experts_gating = LLMC_GATE_SOFTMAX},
    {"deepseek2", .latent = 1, EXPERTS, .experts_unnormalized = 1, .temperature = 1},
};

const llmc_arch *llmc_arch_at(size_t index) {
    return index < sizeof arch_table / sizeof arch_table[0] ? &arch_table[index] : NULL;
}

const llmc_arch *llmc_arch_find(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof arch_table / sizeof arch_table[0]; i++) {
        const llmc_arch *arch = &arch_table[i];
        if (strlen(arch->name) == size && memcmp(arch->name, name, size) == 0) return arch;
    }
    return NULL;
}
