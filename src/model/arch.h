/* What sets one architecture apart from another, as a table, and a model's numbers as its GGUF keys give them. Read right after
 * the header; everything later in this room works from an llmc_hparams. */
#ifndef LLMC_ARCH_H
#define LLMC_ARCH_H

#include "kernels/activation_kind.h"
#include "model/gguf.h"

typedef enum llmc_presence { LLMC_ABSENT = 0, LLMC_OPTIONAL, LLMC_REQUIRED } llmc_presence;

/* Where the norms before attention and before the feed-forward stand. */
typedef enum llmc_pre_norm {
    LLMC_PRE_NORM_BOTH = 0,
    LLMC_PRE_NORM_SHARED,   /* the feed-forward reads what attention reads */
    LLMC_PRE_NORM_OPTIONAL, /* the feed-forward's may be missing; then shared */
    LLMC_PRE_NORM_NONE      /* neither: only norms after */
} llmc_pre_norm;

/* What a layer adds to the residual stream. */
typedef enum llmc_residual {
    LLMC_RESIDUAL_SERIAL = 0, /* attention first; the feed-forward reads its result */
    LLMC_RESIDUAL_PARALLEL,   /* both read the layer's input */
    LLMC_RESIDUAL_BY_KEY      /* <arch>.use_parallel_residual says which */
} llmc_residual;

/* The norm over queries and keys. */
typedef enum llmc_head_norm {
    LLMC_HEAD_NORM_RMS = 0, /* of each head, by one weight, before it turns */
    LLMC_HEAD_NORM_TURNED,  /* the same after it turned */
    LLMC_HEAD_NORM_ROW,     /* of all heads together */
    LLMC_HEAD_NORM_EACH,    /* layer norm of each head, by its own weight */
    LLMC_HEAD_NORM_EACH_RMS /* and as an RMS norm */
} llmc_head_norm;

/* What the recurrent layers of a model are: recurrent.h. */
typedef enum llmc_mixer {
    LLMC_MIXER_NONE = 0,
    LLMC_MIXER_CONV,         /* a short convolution: LFM2 */
    LLMC_MIXER_SCAN,         /* Mamba-2 */
    LLMC_MIXER_DELTA,        /* the gated delta rule: Qwen3-Next, Qwen3.5 */
    LLMC_MIXER_SELECT,       /* Mamba, Jamba */
    LLMC_MIXER_SELECT_HEADS, /* PLaMo-2 */
    LLMC_MIXER_KDA           /* Kimi's delta attention */
} llmc_mixer;

/* Which layers are recurrent. */
typedef enum llmc_recurrence {
    LLMC_RECURRENT_WITHOUT_HEADS = 0, /* those for which attention.head_count_kv has 0 */
    LLMC_RECURRENT_ALL,               /* and there is no attention */
    LLMC_RECURRENT_BESIDE,            /* all, and all attend too: both read the layer's input */
    LLMC_RECURRENT_BY_KEY             /* attention.recurrent_layers, else all but every full_attention_interval-th */
} llmc_recurrence;

/* Which layers have a feed-forward. */
typedef enum llmc_feeding {
    LLMC_FEEDING_EVERY = 0,
    LLMC_FEEDING_NONE,
    LLMC_FEEDING_ALONE /* those for which feed_forward_length has a number, and they are nothing else; their norm is attn_norm */
} llmc_feeding;

/* How layers with a sliding window turn. */
typedef enum llmc_window_rope {
    LLMC_WINDOW_ROPE_SAME = 0, /* as the others, or with the base <arch>.rope.freq_base_swa */
    LLMC_WINDOW_ROPE_UNSCALED, /* the others' base without scaling */
    LLMC_WINDOW_ROPE_LOCAL     /* base 10,000, or that key, without scaling */
} llmc_window_rope;

/* One architecture: a decoder block of attention and a feed-forward, and where it departs from llama's, whose settings are the
 * zeros. Each field is something that arch.c, weights.c or forward.c looks at. */
typedef struct llmc_arch {
    const char *name;     /* general.architecture, and the prefix of the file's keys */
    const char *models;   /* some that are of it, for the README */
    int rope;             /* LLMC_ROPE_* of backend.h */
    int rope_of_sections; /* LLMC_ROPE_* where the file has rope.dimension_sections; only if has_sections */
    uint8_t has_sections;
    uint8_t no_rope_step;    /* every so manieth layer does not turn; 0: all turn */
    uint8_t layer_norm;      /* norms are layer norms, not RMS norms */
    llmc_presence norm_bias; /* *_norm.bias */
    llmc_pre_norm pre_norm;
    uint8_t encoder;             /* BERT's block: no norm before, one behind each sum; one behind the embeddings, none before
                                    logits, which there are not; token_types.weight; tokens see those behind them */
    uint8_t post_norms;          /* post_attention_norm, post_ffw_norm: of what is added */
    uint8_t post_norms_bare;     /* whose names do not end in ".weight" */
    uint8_t ffn_norm_named_post; /* the feed-forward's norm is called post_attention_norm */
    llmc_residual residual;
    llmc_presence qkv_bias;    /* attn_{q,k,v}.bias or attn_qkv.bias */
    llmc_presence out_bias;    /* attn_output.bias */
    llmc_presence ffn_bias;    /* ffn_{gate,up,down}.bias */
    llmc_presence output_bias; /* output.bias */
    llmc_presence head_norm;   /* attn_{q,k}_norm.weight */
    llmc_head_norm head_norm_kind;
    llmc_presence sinks; /* attn_sinks.weight */
    llmc_activation activation;
    uint8_t fused_gate_up;        /* ffn_up holds the gate's rows, then its own */
    uint8_t positions;            /* position_embd.weight, added to the embeddings */
    uint8_t embedding_times_root; /* embeddings are multiplied by sqrt(width) */
    uint8_t multipliers;          /* keys embedding_scale, residual_scale, attention.scale; logits are divided by logit_scale */
    uint8_t logit_scale;          /* logits are multiplied by the key logit_scale */
    float score_cap, logit_cap;   /* defaults of attn_logit_softcapping, final_logit_softcapping; 0: no such key */
    uint8_t window_pattern;       /* of so many layers the last sees all, the others a window; 0: no windows */
    uint32_t window;              /* default of attention.sliding_window; 0: none without the key */
    uint32_t window_layers;       /* only models of so many layers have windows; 0: all */
    llmc_window_rope window_rope;
    uint8_t only_windows_turn;    /* layers without a window have no RoPE, in models that have windows */
    uint32_t wide_scale_layers;   /* models of so many layers: scores are scaled by 1 / sqrt(width / n_heads) */
    uint8_t temperature;          /* keys attention.temperature_* */
    llmc_presence experts;        /* ffn_*_exps */
    uint8_t experts_gating;       /* LLMC_GATE_*; default of expert_gating_func */
    uint8_t experts_unnormalized; /* default of expert_weights_norm is false */
    uint8_t experts_biased;       /* router and experts have biases */
    uint8_t experts_narrow;       /* key moe_latent_size: they work in a narrower space */
    uint8_t latent;               /* multi-head latent attention: attn_kv_a_mqa and the rest of it */
    llmc_mixer mixer;
    llmc_recurrence recurrence;
    llmc_feeding feeding;
    uint8_t ffn_norm_bare;          /* the feed-forward's norm is called ffn_norm, without ".weight" */
    uint8_t output_norm_named_embd; /* the last norm is called token_embd_norm */
    uint8_t gated_query;  /* attn_q has a gate behind each head's query; what is attended is multiplied by its sigmoid */
    uint8_t grouped_keys; /* DELTA: heads that share a key follow each other; else a key serves every n-th head */
} llmc_arch;

const llmc_arch *llmc_arch_find(const char *name, size_t size); /* NULL: not in the table */
const llmc_arch *llmc_arch_at(size_t index);                    /* NULL: behind the last */

typedef enum llmc_rope_scaling { LLMC_ROPE_UNSCALED, LLMC_ROPE_LINEAR, LLMC_ROPE_YARN } llmc_rope_scaling;

typedef struct llmc_rope_params {
    uint32_t n_rot; /* leading dimensions of a head that turn, even */
    float base;
    llmc_rope_scaling scaling;
    float factor;              /* positions are divided by it */
    uint32_t original_context; /* positions seen before scaling: YaRN, and which of two lists of factors is taken */
    float beta_fast;           /* YaRN: turns over the original context above which a pair is left as it is */
    float beta_slow;           /* YaRN: and below which it is fully scaled */
    float log_multiplier;      /* YaRN: of the temperature's logarithm in its divisor; 0: none */
    float attention_factor;    /* multiplies cos and sin */
} llmc_rope_params;

typedef struct llmc_recurrent_params {
    llmc_mixer mixer;
    uint32_t n_layers;   /* recurrent ones */
    uint32_t n_taps;     /* of the convolution */
    uint32_t inner;      /* all but CONV: n_heads * what a head puts out */
    uint32_t n_heads;    /* SELECT: inner */
    uint32_t n_groups;   /* of b and c; DELTA, KDA: heads of q and k */
    uint32_t state_size; /* of b and c; DELTA, KDA: of q and k in a head */
    uint32_t dt_rank;    /* SELECT: what dt is made of; KDA: what decay and gate are */
} llmc_recurrent_params;

typedef struct llmc_expert_params {
    uint32_t n; /* 0: none */
    uint32_t n_used;
    uint32_t n_ff;
    uint32_t n_ff_shared; /* 0: no shared expert */
    uint32_t width;       /* of what they read and put out: the model's, or less */
    uint32_t n_groups, n_groups_used;
    int gating; /* LLMC_GATE_* */
    int normalize;
    float scale;
} llmc_expert_params;

/* Multi-head latent attention (DeepSeek-V2): keys and values of all heads come from one latent vector a token. */
typedef struct llmc_latent_params {
    uint32_t q_rank;                   /* 0: queries come from x at once */
    uint32_t kv_rank;                  /* 0: no latent attention */
    uint32_t key_length, value_length; /* of a head, before the latent took them in */
} llmc_latent_params;

enum { LLMC_MAX_LAYERS = 1024 };
enum {
    LLMC_LAYER_WINDOW = 1,
    LLMC_LAYER_TURNS = 2,
    LLMC_LAYER_EXPERTS = 4,
    LLMC_LAYER_RECURRENT = 8,
    LLMC_LAYER_ATTENDS = 16,
    LLMC_LAYER_FEEDS = 32 /* has a feed-forward */
};

typedef struct llmc_hparams {
    const llmc_arch *arch;
    uint32_t n_vocab; /* 0 until the caller sets it, where the file has a tokenizer; else <arch>.vocab_size */
    uint32_t n_layers;
    uint32_t n_extra_layers; /* behind them in the file, for predicting several tokens; not read */
    uint32_t width;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_dim; /* of keys, and of values as the cache holds them */
    uint32_t n_ff;
    uint32_t context_length;
    float norm_eps;
    int rope_kind; /* LLMC_ROPE_* */
    llmc_rope_params rope;
    llmc_rope_params window_rope; /* of layers with a window */
    int long_context;             /* longer sequences than rope.original_context are expected */
    uint32_t window;              /* positions; 0: no layer has one */
    int parallel;
    float embedding_scale, residual_scale, logit_scale, score_scale;
    float score_cap, logit_cap; /* 0: none */
    float temperature_scale;
    uint32_t temperature_floor; /* 0: none */
    llmc_expert_params experts;
    llmc_latent_params latent;
    llmc_recurrent_params recurrent;
    int causal;                     /* a token sees those before it; 0: those behind it too */
    int32_t pooling;                /* LLMCALL_POOLING_*; AUTO: the file names none */
    uint32_t n_token_types;         /* of an encoder: texts that it tells apart; else 0 */
    int pair_separator;             /* a pair of texts has one more separator between its texts: RoBERTa's family */
    int ranks;                      /* the file has a head that ranks documents, see head.h */
    uint8_t layer[LLMC_MAX_LAYERS]; /* LLMC_LAYER_* */
    /* Recurrent layers have a state. Those that attend keep rows: those with a window in a store of their own, if that is worth it
     * (estimate.c); the others in the first. */
    int windows_apart;
    uint32_t n_kv_layers, n_window_layers;
    uint16_t place[LLMC_MAX_LAYERS];       /* which one it is among the layers of its store */
    uint16_t state_place[LLMC_MAX_LAYERS]; /* and among the recurrent ones */
} llmc_hparams;

/* general.architecture, unchecked: not NUL-terminated, borrowed from gguf. E_FORMAT if it is missing. */
llmcall_status llmc_arch_name(const llmc_gguf *gguf, const char **name, size_t *size, llmcall_error *error);

/* Every key that the architecture needs, checked: E_UNSUPPORTED for an architecture or setting outside the table, E_FORMAT for
 * a key that is missing or absurd; both name key and value. */
llmcall_status llmc_hparams_read(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error);

/* Fills in where layers keep their rows; after reading, all are in one store. */
void llmc_hparams_place_layers(llmc_hparams *hparams, int windows_apart);

#endif
