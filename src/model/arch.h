/* What sets one architecture apart from another, as a table, and a model's numbers as its GGUF keys give them. Read right after
 * the header; everything later in this room works from an llmc_hparams. */
#ifndef LLMC_ARCH_H
#define LLMC_ARCH_H

#include "model/gguf.h"

typedef enum llmc_presence { LLMC_ABSENT = 0, LLMC_OPTIONAL, LLMC_REQUIRED } llmc_presence;

/* One architecture: a pre-norm decoder block of RMS norm, grouped-query attention with RoPE, and SwiGLU. Each field is
 * something that forward.c or weights.c looks at. An architecture that needs another setting brings the field with it: norm
 * kind and place, soft caps, sliding windows, multipliers, expert gating, parallel residual, other activations. */
typedef struct llmc_arch {
    const char *name;        /* general.architecture, and the prefix of the file's keys */
    int rope;                /* LLMC_ROPE_* of backend.h */
    llmc_presence qkv_bias;  /* blk.N.attn_{q,k,v}.bias */
    llmc_presence more_bias; /* blk.N.attn_output.bias, ffn_{gate,up,down}.bias */
    llmc_presence head_norm; /* blk.N.attn_{q,k}_norm.weight, over each head before it turns */
} llmc_arch;

const llmc_arch *llmc_arch_find(const char *name, size_t size); /* NULL: not in the table */

typedef enum llmc_rope_scaling { LLMC_ROPE_UNSCALED, LLMC_ROPE_LINEAR, LLMC_ROPE_YARN } llmc_rope_scaling;

typedef struct llmc_rope_params {
    uint32_t n_rot; /* leading dimensions of a head that turn, even */
    float base;
    llmc_rope_scaling scaling;
    float factor;              /* positions are divided by it */
    uint32_t original_context; /* YaRN: positions seen before scaling */
    float beta_fast;           /* YaRN: turns over the original context above which a pair is left as it is */
    float beta_slow;           /* YaRN: and below which it is fully scaled */
    float attention_factor;    /* multiplies cos and sin */
} llmc_rope_params;

/* What the recurrent layers of a model are (recurrent.h). */
typedef enum llmc_mixer {
    LLMC_MIXER_NONE = 0,
    LLMC_MIXER_CONV, /* a short convolution: LFM2 */
    LLMC_MIXER_SCAN, /* Mamba-2 */
    LLMC_MIXER_DELTA /* the gated delta rule: Qwen3-Next, Qwen3.5 */
} llmc_mixer;

typedef struct llmc_recurrent_params {
    llmc_mixer mixer;
    uint32_t n_layers; /* recurrent ones */
    uint32_t n_taps;   /* of the convolution */
    uint32_t inner;    /* SCAN, DELTA: n_heads * what a head puts out */
    uint32_t n_heads;
    uint32_t n_groups;   /* SCAN: of b and c; DELTA: heads of q and k */
    uint32_t state_size; /* SCAN: of b and c; DELTA: of q and k in a head */
} llmc_recurrent_params;

typedef struct llmc_hparams {
    const llmc_arch *arch;
    uint32_t n_vocab; /* 0 until the caller sets it, where the file has a tokenizer; else <arch>.vocab_size */
    uint32_t n_layers;
    uint32_t width;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_dim;
    uint32_t n_ff;
    uint32_t context_length;
    float norm_eps;
    llmc_rope_params rope;
    llmc_recurrent_params recurrent;
} llmc_hparams;

/* general.architecture, unchecked: not NUL-terminated, borrowed from gguf. E_FORMAT if it is missing. */
llmcall_status llmc_arch_name(const llmc_gguf *gguf, const char **name, size_t *size, llmcall_error *error);

/* Every key that the architecture needs, checked: E_UNSUPPORTED for an architecture or setting outside the table, E_FORMAT for
 * a key that is missing or absurd; both name key and value. */
llmcall_status llmc_hparams_read(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error);

#endif
