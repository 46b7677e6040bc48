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
#define ENCODER         .layer_norm = 1, .encoder = 1, .both_sides = 1, .pre_norm = LLMC_PRE_NORM_NONE
#define ONE_NORM        .pre_norm = LLMC_PRE_NORM_SHARED, .residual = LLMC_RESIDUAL_PARALLEL

static const llmc_arch arch_table[] = {
    {"llama", "Llama 1 to 3, Mistral, Mixtral, SmolLM, SmolLM2, Yi, TinyLlama", OPTIONAL_BIASES, EXPERTS},
    {"mistral3", "Ministral 3, Mistral Small 3", OPTIONAL_BIASES, EXPERTS, .temperature = 1},
    {"qwen2", "Qwen 1.5 to 2.5, Qwen2.5-Coder, DeepSeek-R1 distills", HALVES, .qkv_bias = LLMC_REQUIRED},
    {"qwen3", "Qwen3 0.6B to 32B", HALVES, .qkv_bias = LLMC_OPTIONAL, .head_norm = LLMC_REQUIRED},
    {"qwen3moe", "Qwen3 30B-A3B, 235B-A22B, Coder", HALVES, .qkv_bias = LLMC_OPTIONAL, .head_norm = LLMC_REQUIRED, EXPERTS},
    {"gemma", "Gemma 2B, 7B, CodeGemma", HALVES, .activation = LLMC_GEGLU, .embedding_times_root = 1},
    {"gemma2", "Gemma 2", HALVES, .activation = LLMC_GEGLU, .embedding_times_root = 1, .post_norms = 1, .score_cap = 50,
     .logit_cap = 30, .window = 4096, .window_pattern = 2, .wide_scale_layers = 46},
    {"gemma3", "Gemma 3 (text)", HALVES, .activation = LLMC_GEGLU, .embedding_times_root = 1, .post_norms = 1,
     .head_norm = LLMC_REQUIRED, .window_pattern = 6, .window_rope = LLMC_WINDOW_ROPE_LOCAL, .wide_scale_layers = 62},
    {"gemma4", "Gemma 4 (text)", HALVES, .activation = LLMC_GEGLU, .embedding_times_root = 1, .post_norms = 1,
     .head_norm = LLMC_REQUIRED, .value_norm = 1, .scores_unscaled = 1, .window_pattern = 1,
     .window_rope = LLMC_WINDOW_ROPE_LOCAL, .window_head_dims = 1, .sizes_differ = 1, .shared_kv = 1, .layer_embeddings = 1,
     .layer_scale = LLMC_OPTIONAL, EXPERTS, .experts_beside = 1},
    {"phi2", "Phi-1, 1.5, 2", HALVES, LAYER_NORM, ONE_NORM, ALL_BIASES, .output_bias = LLMC_REQUIRED, .activation = LLMC_GELU},
    {"phi3", "Phi-3, Phi-3.5 mini, Phi-4", HALVES, .qkv_bias = LLMC_OPTIONAL, .fused_gate_up = 1},
    {"olmo2", "OLMo 2, OLMo 3", HALVES, POST_NORMS_ONLY, .head_norm = LLMC_REQUIRED, .head_norm_kind = LLMC_HEAD_NORM_ROW,
     .window_pattern = 4, .window_rope = LLMC_WINDOW_ROPE_UNSCALED},
    {"olmoe", "OLMoE", HALVES, .head_norm = LLMC_REQUIRED, .head_norm_kind = LLMC_HEAD_NORM_ROW, EXPERTS,
     .experts_unnormalized = 1},
    {"granite", "Granite 3 dense", OPTIONAL_BIASES, EXPERTS, .multipliers = 1},
    {"granitemoe", "Granite 3 MoE", OPTIONAL_BIASES, EXPERTS, .multipliers = 1},
    {"smollm3", "SmolLM3", OPTIONAL_BIASES, .no_rope_step = 4},
    {"gpt2", "GPT-2", .rope = LLMC_ROPE_NONE, LAYER_NORM, ALL_BIASES, .positions = 1, .activation = LLMC_GELU},
    {"gptneox", "GPT-NeoX, Pythia", HALVES, LAYER_NORM, ALL_BIASES, .residual = LLMC_RESIDUAL_BY_KEY, .activation = LLMC_GELU},
    {"falcon", "Falcon 7B, 40B", HALVES, LAYER_NORM, ONE_NORM, .activation = LLMC_GELU},
    {"stablelm", "StableLM 2, 3B", HALVES, LAYER_NORM, .pre_norm = LLMC_PRE_NORM_OPTIONAL, .qkv_bias = LLMC_OPTIONAL,
     .head_norm = LLMC_OPTIONAL, .head_norm_kind = LLMC_HEAD_NORM_EACH},
    {"starcoder2", "StarCoder2", HALVES, LAYER_NORM, ALL_BIASES, .activation = LLMC_GELU},
    {"internlm2", "InternLM2", .qkv_bias = LLMC_OPTIONAL},
    {"glm4", "GLM-4 0414", .has_sections = 1, .rope_of_sections = LLMC_ROPE_HALVES, .qkv_bias = LLMC_OPTIONAL, .post_norms = 1,
     .fused_gate_up = 1},
    {"command-r", "Command R, R+", .layer_norm = 1, ONE_NORM, .qkv_bias = LLMC_OPTIONAL, .head_norm = LLMC_OPTIONAL,
     .head_norm_kind = LLMC_HEAD_NORM_EACH, .logit_scale = 1},
    {"cohere2", "Command R7B, Aya", .layer_norm = 1, ONE_NORM, .qkv_bias = LLMC_OPTIONAL, .logit_scale = 1, .window_pattern = 4,
     .only_windows_turn = 1},
    {"exaone4", "EXAONE 4.0", HALVES, POST_NORMS_ONLY, .qkv_bias = LLMC_OPTIONAL, .head_norm = LLMC_REQUIRED, .window = 4096,
     .window_pattern = 4, .window_layers = 64, .only_windows_turn = 1},
    {"nemotron", "Nemotron 4, Minitron", HALVES, LAYER_NORM, OPTIONAL_BIASES, .activation = LLMC_RELU_SQUARED},
    {"hunyuan-dense", "Hunyuan 0.5B to 7B", HALVES, .qkv_bias = LLMC_OPTIONAL, .head_norm = LLMC_REQUIRED,
     .head_norm_kind = LLMC_HEAD_NORM_TURNED},
    {"ernie4_5", "ERNIE 4.5 0.3B", OPTIONAL_BIASES},
    {"ernie4_5-moe", "ERNIE 4.5 21B-A3B", OPTIONAL_BIASES, EXPERTS},
    {"seed_oss", "Seed-OSS", HALVES, .qkv_bias = LLMC_OPTIONAL, .ffn_norm_named_post = 1},
    {"gpt-oss", "gpt-oss 20B, 120B", HALVES, .qkv_bias = LLMC_REQUIRED, .out_bias = LLMC_REQUIRED, .sinks = LLMC_REQUIRED,
     .ffn_norm_named_post = 1, .activation = LLMC_SWIGLU_CLAMPED, .window_pattern = 2, .experts = LLMC_REQUIRED,
     .experts_gating = LLMC_GATE_SOFTMAX_OF_CHOSEN, .experts_unnormalized = 1, .experts_biased = 1},
    {"lfm2", "LFM2", HALVES, .head_norm = LLMC_REQUIRED, .mixer = LLMC_MIXER_CONV, .output_norm_named_embd = 1},
    {"lfm2moe", "LFM2 8B-A1B", HALVES, .head_norm = LLMC_REQUIRED, .mixer = LLMC_MIXER_CONV, .output_norm_named_embd = 1,
     .experts = LLMC_OPTIONAL, .experts_gating = LLMC_GATE_SIGMOID},
    {"mamba2", "Mamba-2, Codestral Mamba", .rope = LLMC_ROPE_NONE, .mixer = LLMC_MIXER_SCAN, .recurrence = LLMC_RECURRENT_ALL,
     .feeding = LLMC_FEEDING_NONE},
    {"mamba", "Mamba", .rope = LLMC_ROPE_NONE, .mixer = LLMC_MIXER_SELECT, .recurrence = LLMC_RECURRENT_ALL,
     .feeding = LLMC_FEEDING_NONE},
    {"jamba", "Jamba 1.5, Mini, Large, Reasoning 3B", .rope = LLMC_ROPE_NONE, .mixer = LLMC_MIXER_SELECT, EXPERTS,
     .experts_unnormalized = 1},
    {"nemotron_h", "Nemotron-H, Nemotron Nano 2", .rope = LLMC_ROPE_NONE, .qkv_bias = LLMC_OPTIONAL, .out_bias = LLMC_OPTIONAL,
     .ffn_bias = LLMC_OPTIONAL, .activation = LLMC_RELU_SQUARED, .mixer = LLMC_MIXER_SCAN, .feeding = LLMC_FEEDING_ALONE},
    {"nemotron_h_moe", "Nemotron 3 Nano, Super", .rope = LLMC_ROPE_NONE, .qkv_bias = LLMC_OPTIONAL, .out_bias = LLMC_OPTIONAL,
     .activation = LLMC_RELU_SQUARED, .mixer = LLMC_MIXER_SCAN, .feeding = LLMC_FEEDING_ALONE, .experts = LLMC_REQUIRED,
     .experts_gating = LLMC_GATE_SIGMOID, .experts_unnormalized = 1, .experts_narrow = 1},
    {"falcon-h1", "Falcon-H1 0.5B to 34B", HALVES, .qkv_bias = LLMC_OPTIONAL, .ffn_bias = LLMC_OPTIONAL, .ffn_norm_bare = 1,
     .mixer = LLMC_MIXER_SCAN, .recurrence = LLMC_RECURRENT_BESIDE},
    {"plamo2", "PLaMo 2 1B, 8B, Translate", HALVES, .head_norm = LLMC_REQUIRED, .head_norm_kind = LLMC_HEAD_NORM_EACH_RMS,
     .post_norms = 1, .post_norms_bare = 1, .fused_gate_up = 1, .mixer = LLMC_MIXER_SELECT_HEADS},
    {"kimi-linear", "Kimi Linear 48B-A3B", .no_rope_step = 1, .latent = 1, EXPERTS, .mixer = LLMC_MIXER_KDA},
    {"granitehybrid", "Granite 4 H", OPTIONAL_BIASES, EXPERTS, .multipliers = 1, .mixer = LLMC_MIXER_SCAN},
    {"qwen35", "Qwen3.5 dense", HALVES, .head_norm = LLMC_REQUIRED, .ffn_norm_named_post = 1, .gated_query = 1,
     .mixer = LLMC_MIXER_DELTA, .recurrence = LLMC_RECURRENT_BY_KEY},
    {"qwen35moe", "Qwen3.5 35B-A3B, 122B-A10B", HALVES, .head_norm = LLMC_REQUIRED, .ffn_norm_named_post = 1, .gated_query = 1,
     .mixer = LLMC_MIXER_DELTA, .recurrence = LLMC_RECURRENT_BY_KEY, .experts = LLMC_REQUIRED,
     .experts_gating = LLMC_GATE_SOFTMAX},
    {"qwen3next", "Qwen3-Next 80B-A3B", HALVES, .head_norm = LLMC_REQUIRED, .ffn_norm_named_post = 1, .gated_query = 1,
     .mixer = LLMC_MIXER_DELTA, .recurrence = LLMC_RECURRENT_BY_KEY, .grouped_keys = 1, .experts = LLMC_REQUIRED,
     .experts_gating = LLMC_GATE_SOFTMAX},
    {"bert", "all-MiniLM, BGE, E5, GTE, Arctic Embed, cross-encoders", .rope = LLMC_ROPE_NONE, ENCODER, OPTIONAL_BIASES,
     .positions = 1, .activation = LLMC_GELU_EXACT},
    {"nomic-bert", "Nomic Embed 1, 1.5", HALVES, ENCODER, OPTIONAL_BIASES},
    {"eurobert", "EuroBERT", HALVES},
    {"exaone", "EXAONE 3, 3.5", HALVES},
    {"olmo", "OLMo 1, 1.7", .layer_norm = 1, .bare_norms = 1, .clamp = 1},
    {"minicpm", "MiniCPM 1B, 2B", OPTIONAL_BIASES, .multipliers = 1, .scaled_depth = 1},
    {"chatglm", "ChatGLM3, GLM-4 9B", .qkv_bias = LLMC_OPTIONAL, .fused_gate_up = 1},
    {"baichuan", "Baichuan 7B, 13B", .alibi = LLMC_REQUIRED, .alibi_layers = 40},
    {"orion", "Orion 14B", HALVES, LAYER_NORM},
    {"xverse", "XVERSE 7B to 65B", .rope = LLMC_ROPE_INTERLEAVED},
    {"arcee", "AFM 4.5B", .activation = LLMC_RELU_SQUARED},
    {"apertus", "Apertus 8B, 70B", HALVES, .out_bias = LLMC_OPTIONAL, .head_norm = LLMC_REQUIRED, .activation = LLMC_XIELU},
    {"starcoder", "StarCoder, SantaCoder", .rope = LLMC_ROPE_NONE, LAYER_NORM, ALL_BIASES, .positions = 1,
     .activation = LLMC_GELU},
    {"codeshell", "CodeShell 7B", HALVES, LAYER_NORM, ALL_BIASES, .activation = LLMC_GELU, .output_embeds = 1},
    {"qwen", "Qwen 1", HALVES, .qkv_bias = LLMC_REQUIRED, .half_ff = 1},
    {"mpt", "MPT 7B, 30B", .rope = LLMC_ROPE_NONE, .layer_norm = 1, .norm_bias = LLMC_OPTIONAL, OPTIONAL_BIASES,
     .alibi = LLMC_OPTIONAL, .clamp = 1, .activation = LLMC_GELU},
    {"bloom", "BLOOM, BLOOMZ", .rope = LLMC_ROPE_NONE, LAYER_NORM, .embd_norm = 1, ALL_BIASES, .alibi = LLMC_REQUIRED,
     .activation = LLMC_GELU},
    {"refact", "Refact 1.6B", .rope = LLMC_ROPE_NONE, .alibi = LLMC_REQUIRED},
    {"jais", "Jais 13B, 30B", .rope = LLMC_ROPE_NONE, LAYER_NORM, ALL_BIASES, .alibi = LLMC_OPTIONAL, .scores_by_dim = 1},
    {"jais2", "Jais 2 8B, 70B", HALVES, LAYER_NORM, ALL_BIASES, .activation = LLMC_RELU_SQUARED},
    {"plamo", "PLaMo 13B", HALVES, ONE_NORM},
    {"plamo3", "PLaMo 3", HALVES, .head_norm = LLMC_REQUIRED, .post_norms = 1, .post_norms_bare = 1, .fused_gate_up = 1,
     .window_pattern = 8, .window_rope = LLMC_WINDOW_ROPE_LOCAL},
    {"maincoder", "Maincoder 1B", .head_norm = LLMC_REQUIRED, .head_norm_kind = LLMC_HEAD_NORM_TURNED},
    {"pangu-embedded", "openPangu Embedded 1B, 7B", HALVES, OPTIONAL_BIASES, .output_bias = LLMC_OPTIONAL},
    {"mellum", "Mellum 2", HALVES, .head_norm = LLMC_REQUIRED, .window_pattern = 4, .window_rope = LLMC_WINDOW_ROPE_UNSCALED,
     .experts = LLMC_REQUIRED, .experts_gating = LLMC_GATE_SOFTMAX},
    {"granite_swa", "Granite with sliding windows", OPTIONAL_BIASES, EXPERTS, .experts_shared_fused = 1, .multipliers = 1,
     .sinks = LLMC_REQUIRED, .window_pattern = 1, .rope_pattern = 1},
    {"nanbeige", "Nanbeige 4.2", .loops = 1},
    {"bitnet", "BitNet b1.58 3B", HALVES, .ternary = 1},
    {"openelm", "OpenELM", HALVES, .head_norm = LLMC_REQUIRED, .sizes_differ = 1},
    {"deci", "Llama Nemotron 49B to 253B, DeciLM", OPTIONAL_BIASES, .sizes_differ = 1, .may_idle = 1},
    {"llama-embed", "Llama Embed Nemotron", OPTIONAL_BIASES},
    {"gemma-embedding", "EmbeddingGemma", HALVES, .activation = LLMC_GEGLU, .embedding_times_root = 1, .post_norms = 1,
     .head_norm = LLMC_REQUIRED, .both_sides = 1, .window_pattern = 6, .window_rope = LLMC_WINDOW_ROPE_LOCAL},
    {"modern-bert", "ModernBERT, GTE ModernBERT, Granite Embedding R2", HALVES, .layer_norm = 1, .embd_norm = 1,
     .first_norm_optional = 1, .both_sides = 1, .fused_gate_up = 1, .activation = LLMC_GEGLU_EXACT, .named_activation = 1,
     .window_pattern = 3, .window_not_first = 1, .window_rope = LLMC_WINDOW_ROPE_LOCAL},
    {"nomic-bert-moe", "Nomic Embed 2", HALVES, ENCODER, OPTIONAL_BIASES, EXPERTS, .experts_unnormalized = 1,
     .activation = LLMC_GELU_EXACT},
    {"jina-bert-v2", "Jina Embeddings 2", .rope = LLMC_ROPE_NONE, ENCODER, OPTIONAL_BIASES, .alibi = LLMC_REQUIRED,
     .activation = LLMC_GEGLU_EXACT, .may_fuse_gate_up = 1},
    {"jina-bert-v3", "Jina Embeddings 3", HALVES, ENCODER, OPTIONAL_BIASES, .activation = LLMC_GELU_EXACT},
    {"neo-bert", "NeoBERT", .both_sides = 1, .fused_gate_up = 1, .output_norm_named_enc = 1},
    {"deepseek2", "DeepSeek-V2, V3, R1, Kimi K2", .latent = 1, EXPERTS, .experts_unnormalized = 1, .temperature = 1},
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
