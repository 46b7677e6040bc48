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
    LLMC_MIXER_KDA,          /* Kimi's delta attention */
    LLMC_MIXER_RWKV          /* RWKV-7; its feed-forward reads the token before, too */
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

typedef enum llmc_gated_output { LLMC_GATED_NOT = 0, LLMC_GATED_SIGMOID, LLMC_GATED_SOFTPLUS } llmc_gated_output;

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
    uint8_t bare_norms;          /* the norms of layers and the last one have no weights */
    uint8_t first_norm_optional; /* the first layer may be without the norm before attention */
    uint8_t embd_norm;           /* token_embd_norm: of the embeddings */
    uint8_t encoder;             /* BERT's block: no norm before, one behind each sum; one behind the embeddings, none before
                                    logits, which there are not; token_types.weight; tokens see those behind them */
    uint8_t both_sides;          /* tokens see those behind them, unless attention.causal says otherwise; windows reach half of
                                    their positions to each side */
    uint8_t post_norms;          /* post_attention_norm, post_ffw_norm: of what is added */
    uint8_t post_norms_bare;     /* whose names do not end in ".weight" */
    uint8_t ffn_norm_named_post; /* the feed-forward's norm is called post_attention_norm */
    uint8_t ffn_norm_named_out;  /* or attn_output_norm */
    llmc_residual residual;
    llmc_presence qkv_bias;    /* attn_{q,k,v}.bias or attn_qkv.bias */
    llmc_presence out_bias;    /* attn_output.bias */
    llmc_presence ffn_bias;    /* ffn_{gate,up,down}.bias */
    llmc_presence output_bias; /* output.bias */
    llmc_presence head_norm;   /* attn_{q,k}_norm.weight */
    llmc_head_norm head_norm_kind;
    uint32_t
        turned_norm_unless; /* heads that turned are divided by their RMS, without a weight; not in models of so many experts; 0: none */
    llmc_presence sinks; /* attn_sinks.weight */
    llmc_activation activation;
    uint8_t loops;             /* keys num_loops and skip_loop_final_norm */
    uint8_t ternary;           /* BitNet's: norms before attn_output and ffn_down, and scales of matrices */
    uint8_t sizes_differ;      /* heads, KV heads and n_ff may be one number a layer */
    uint8_t may_idle;          /* and 0: a layer without attention, with a matrix in its place, or without a feed-forward */
    uint8_t window_head_dims;  /* keys attention.key_length_swa, value_length_swa */
    uint8_t value_norm;        /* values are normed by head, without a weight; without attn_v they are the keys before theirs */
    uint8_t shared_kv;         /* key attention.shared_kv_layers: so many last layers read keys and values of earlier ones */
    uint8_t layer_embeddings;  /* key embedding_length_per_layer_input: per_layer_token_embd and the rest of it */
    uint8_t streams;           /* AltUp and LAuReL: streams.c */
    uint32_t sparse_layers;    /* of so many first layers the gate keeps what stands out of its row */
    llmc_presence layer_scale; /* layer_output_scale.weight: what a layer leaves is multiplied by it */
    uint8_t fused_gate_up;     /* ffn_up holds the gate's rows, then its own */
    uint8_t may_fuse_gate_up;  /* where there is no ffn_gate */
    uint8_t half_ff;           /* feed_forward_length counts both of them */
    uint8_t named_activation;  /* key hidden_activation; and a head that ranks has GELU and reads the mean: ModernBERT */
    uint8_t positions;         /* position_embd.weight, added to the embeddings */
    llmc_presence alibi;       /* scores fall with the distance; OPTIONAL: by the key attention.max_alibi_bias */
    uint32_t alibi_layers;     /* only in models of so many layers, which then do not turn; 0: all */
    uint8_t clamp;             /* key attention.clamp_kqv: of queries, keys and values */
    uint8_t output_embeds;     /* without token_embd.weight the embeddings are output.weight */
    uint8_t embedding_times_root; /* embeddings are multiplied by sqrt(width) */
    uint8_t multipliers;          /* keys embedding_scale, residual_scale, attention.scale; logits are divided by logit_scale */
    uint8_t scaled_depth;         /* and without these keys they are MiniCPM's */
    uint8_t logit_scale;          /* logits are multiplied by the key logit_scale */
    uint8_t scores_by_dim;        /* scores are scaled by 1 / head_dim */
    uint8_t scores_unscaled;      /* or not at all */
    float score_cap, logit_cap;   /* defaults of attn_logit_softcapping, final_logit_softcapping; 0: no such key */
    uint8_t window_pattern;       /* of so many layers the last sees all, the others a window; 0: no windows */
    uint8_t window_not_first;     /* of so many layers the first sees all */
    uint32_t window;              /* default of attention.sliding_window; 0: none without the key */
    uint32_t window_layers;       /* only models of so many layers have windows; 0: all */
    llmc_window_rope window_rope;
    uint8_t half_turns;            /* layers without a window turn half of rope.dimension_count dimensions */
    uint8_t rope_pattern;          /* key attention.rope_pattern: which layers turn */
    uint8_t window_chunks;         /* windows do not slide: llmc_op_attention.chunks */
    uint8_t only_windows_turn;     /* layers without a window have no RoPE, in models that have windows */
    uint8_t dense_turn;            /* but those before the first with experts have */
    uint32_t wide_scale_layers;    /* models of so many layers: scores are scaled by 1 / sqrt(width / n_heads) */
    uint8_t temperature;           /* keys attention.temperature_* */
    uint8_t temperature_unturned;  /* Llama 4: by fixed numbers, of layers without RoPE in models that have windows */
    llmc_presence experts;         /* ffn_*_exps */
    uint8_t experts_gating;        /* LLMC_GATE_*; default of expert_gating_func */
    uint8_t experts_unnormalized;  /* default of expert_weights_norm is false */
    uint8_t experts_beside;        /* a layer with experts has a feed-forward beside them, and norms for each */
    uint8_t experts_shared_fused;  /* ffn_up_shexp holds the gate's rows, then its own */
    uint8_t experts_narrow;        /* key moe_latent_size: they work in a narrower space */
    uint8_t limits;                /* keys swiglu_clamp_exp and swiglu_clamp_shexp */
    uint8_t experts_read_weighted; /* an expert's weight multiplies what it reads, not what it puts out */
    uint8_t router_reads_x;        /* the router reads the layer's input as it is, before attention */
    uint8_t experts_biased;        /* router and experts have biases */
    uint8_t ff_of_used;         /* without a key of their own, experts have feed_forward_length among those that a token uses */
    uint8_t selection_bare;     /* exp_probs_b has no ".bias" behind it */
    uint8_t shared_expert;      /* there is one for every row, of the others' length, unless keys say otherwise */
    uint8_t shared_mean;        /* what experts add is halved where there is a shared one: their mean with it */
    uint8_t shared_gate;        /* ffn_gate_inp_shexp: its sigmoid multiplies the shared expert */
    uint8_t shared_length_each; /* expert_shared_feed_forward_length is of one of expert_shared_count */
    uint8_t latent;             /* multi-head latent attention: attn_kv_a_mqa and the rest of it */
    llmc_mixer mixer;
    llmc_recurrence recurrence;
    llmc_feeding feeding;
    uint8_t ffn_norm_bare;          /* the feed-forward's norm is called ffn_norm, without ".weight" */
    uint8_t output_norm_named_embd; /* the last norm is called token_embd_norm */
    uint8_t output_norm_named_enc;  /* enc.output_norm */
    llmc_gated_output gated_output; /* attn_gate: what is attended is multiplied by a function of this product of attention's
                                       input, which has an element for each of it or for each head */
    uint8_t gate_optional;
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

enum { LLMC_RWKV_RANKS = 4 };

typedef struct llmc_recurrent_params {
    llmc_mixer mixer;
    uint32_t n_layers;               /* recurrent ones */
    uint32_t n_taps;                 /* of the convolution */
    uint32_t inner;                  /* all but CONV: n_heads * what a head puts out */
    uint32_t n_heads;                /* SELECT: inner */
    uint32_t n_groups;               /* of b and c; DELTA, KDA: heads of q and k */
    uint32_t state_size;             /* of b and c; DELTA, KDA: of q and k in a head */
    uint32_t dt_rank;                /* SELECT: what dt is made of; KDA: what decay and gate are */
    uint32_t ranks[LLMC_RWKV_RANKS]; /* RWKV: of what makes decay, rate, mix and gate */
    int bare_norms;                  /* SELECT: b, c and what dt is made of are normed without weights */
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
    float scale;     /* of the weights */
    float sum_scale; /* of all that experts add */
} llmc_expert_params;

/* Multi-head latent attention (DeepSeek-V2): keys and values of all heads come from one latent vector a token. */
typedef struct llmc_latent_params {
    uint32_t q_rank;                   /* 0: queries come from x at once */
    uint32_t kv_rank;                  /* 0: no latent attention */
    uint32_t key_length, value_length; /* of a head, before the latent took them in */
    int joined;                        /* the file has attn_kv_b, of keys and values, in place of attn_k_b and attn_v_b */
} llmc_latent_params;

enum { LLMC_MAX_LAYERS = 1024 };
enum { LLMC_STREAMS = 4, LLMC_LAUREL_RANK = 64 };
enum {
    LLMC_LAYER_WINDOW = 1,
    LLMC_LAYER_TURNS = 2,
    LLMC_LAYER_EXPERTS = 4,
    LLMC_LAYER_RECURRENT = 8,
    LLMC_LAYER_ATTENDS = 16,
    LLMC_LAYER_FEEDS = 32 /* has a feed-forward */
};

/* Of a layer. No KV heads: no attention, but with heads a matrix in its place. */
typedef struct llmc_layer_sizes {
    uint16_t n_heads, n_kv_heads;
    uint32_t n_ff;
    float limit, experts_limit; /* of what SwiGLU puts out: of feed-forward and shared expert, of the others; 0: none */
} llmc_layer_sizes;

typedef struct llmc_hparams {
    const llmc_arch *arch;
    uint32_t n_vocab; /* 0 until the caller sets it, where the file has a tokenizer; else <arch>.vocab_size */
    uint32_t n_layers;
    uint32_t n_file_layers;  /* as many, or fewer: all of them are passed several times */
    int loop_norm;           /* the last norm also stands between two of these times */
    uint32_t n_extra_layers; /* behind them in the file, for predicting several tokens; not read */
    uint32_t width;
    uint32_t n_heads; /* of the layer that has most, and so are the next and n_ff */
    uint32_t n_kv_heads;
    uint32_t head_dim;        /* of keys, and of values as the cache holds them */
    uint32_t window_head_dim; /* of layers with a window */
    uint32_t n_ff;
    uint32_t context_length;
    uint32_t n_own_kv;        /* layers from here on read keys and values of earlier ones */
    uint32_t layer_embedding; /* width of a token's embedding in each layer; 0: none */
    float norm_eps;
    int rope_kind; /* LLMC_ROPE_* */
    llmc_rope_params rope;
    llmc_rope_params window_rope; /* of layers with a window */
    int long_context;             /* longer sequences than rope.original_context are expected */
    uint32_t window;              /* positions; 0: no layer has one */
    int parallel;
    llmc_activation activation;
    float clamp, max_alibi_bias; /* 0: none */
    float embedding_scale, residual_scale, logit_scale, score_scale;
    float score_cap, logit_cap; /* 0: none */
    float temperature_scale;
    uint32_t temperature_floor; /* 0: none */
    uint32_t temperature_offset;
    llmc_expert_params experts;
    llmc_latent_params latent;
    llmc_recurrent_params recurrent;
    int causal;                     /* a token sees those before it; 0: those behind it too */
    int32_t pooling;                /* LLMCALL_POOLING_*; AUTO: the file names none */
    uint32_t n_token_types;         /* of an encoder: texts that it tells apart; else 0 */
    int pair_separator;             /* a pair of texts has one more separator between its texts: RoBERTa's family */
    int32_t rank_pooling;           /* of what that head reads */
    int ranks;                      /* the file has a head that ranks documents, see head.h */
    uint8_t layer[LLMC_MAX_LAYERS]; /* LLMC_LAYER_* */
    llmc_layer_sizes sizes[LLMC_MAX_LAYERS];
    /* Recurrent layers have a state. Those that attend keep rows: those with a window in a store of their own, if that is worth it
     * (estimate.c); the others in the first. */
    int windows_apart;
    uint32_t n_kv_layers, n_window_layers;
    uint16_t place[LLMC_MAX_LAYERS];       /* which one it is among the layers of its store */
    uint16_t state_place[LLMC_MAX_LAYERS]; /* and among the recurrent ones */
} llmc_hparams;

static inline uint32_t llmc_head_dim(const llmc_hparams *hparams, uint32_t layer) {
    return hparams->layer[layer] & LLMC_LAYER_WINDOW ? hparams->window_head_dim : hparams->head_dim;
}

static inline uint32_t llmc_largest_head_dim(const llmc_hparams *hparams) {
    return hparams->head_dim > hparams->window_head_dim ? hparams->head_dim : hparams->window_head_dim;
}

/* Rows of queries, and of keys and of values. */
static inline uint32_t llmc_q_rows(const llmc_hparams *hparams, uint32_t layer) {
    return hparams->sizes[layer].n_heads * llmc_head_dim(hparams, layer);
}

static inline uint32_t llmc_kv_rows(const llmc_hparams *hparams, uint32_t layer) {
    return hparams->sizes[layer].n_kv_heads * llmc_head_dim(hparams, layer);
}

/* The layer whose keys and values this one reads, where it has none of its own. */
static inline uint32_t llmc_kv_source(const llmc_hparams *hparams, uint32_t layer) {
    return hparams->n_own_kv - (hparams->layer[layer] & LLMC_LAYER_WINDOW ? 2 : 1); /* wraps round if there is none */
}

/* Whether the layer leaves keys and values behind. */
static inline int llmc_stores_kv(const llmc_hparams *hparams, uint32_t layer) {
    return hparams->layer[layer] & LLMC_LAYER_ATTENDS && layer < hparams->n_own_kv;
}

/* general.architecture, unchecked: not NUL-terminated, borrowed from gguf. E_FORMAT if it is missing. */
llmcall_status llmc_arch_name(const llmc_gguf *gguf, const char **name, size_t *size, llmcall_error *error);

/* Every key that the architecture needs, checked: E_UNSUPPORTED for an architecture or setting outside the table, E_FORMAT for
 * a key that is missing or absurd; both name key and value. */
llmcall_status llmc_hparams_read(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error);

/* A layer's numbers of LLMC_XIELU. */
llmcall_status llmc_xielu_read(const llmc_gguf *gguf, uint32_t layer, llmc_xielu *xielu, llmcall_error *error);

/* Fills in where layers keep their rows; after reading, all are in one store. */
void llmc_hparams_place_layers(llmc_hparams *hparams, int windows_apart);

#endif
