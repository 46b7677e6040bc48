/* A model's tensors: which ones an architecture has, whether the file's are the right ones, and their way onto a backend. */
#ifndef LLMC_WEIGHTS_H
#define LLMC_WEIGHTS_H

#include "backend/backend.h"
#include "model/arch.h"
#include "model/tensor_table.h"

/* Matrices are (outputs, inputs). Vectors are device arrays. NULL: this model has none. q = n_heads * head_dim,
 * kv = n_kv_heads * head_dim. */
typedef struct llmc_layer {
    float *attn_norm;      /* (width); NULL: attention reads x as it is */
    float *attn_norm_bias; /* (width), as every norm's */
    float *attn_norm_2;    /* (width) Falcon's: what attention reads, where the feed-forward reads attn_norm */
    float *attn_norm_2_bias;
    float *attn_post_norm;            /* (width) of what attention adds */
    llmc_weight *wq, *wk, *wv;        /* (q, width), (kv, width), (kv, width) */
    float *bq, *bk, *bv;              /* (q), (kv), (kv) */
    float *q_norm, *k_norm;           /* (head_dim), (q) and (kv), or (heads, head_dim): llmc_head_norm */
    float *q_norm_bias, *k_norm_bias; /* (q), (kv) of layer norms of all heads; NULL: none */
    float *sinks;                     /* (n_heads) */
    llmc_weight *out_gate;            /* (q or n_heads, width) */
    llmc_weight *wo;                  /* (width, q) */
    float *bo;                        /* (width) */
    float *attn_sum_norm;             /* (width) of x once attention was added; NULL: none */
    float *attn_sum_norm_bias;
    float *attn_sum_norm_2; /* (width) of that and the layer's input together; NULL: none */
    float *attn_sum_norm_2_bias;
    float *ffn_sum_norm; /* (width) and once the feed-forward was */
    float *ffn_sum_norm_bias;
    float *ffn_norm; /* (width) */
    float *ffn_norm_bias;
    float *ffn_post_norm;       /* (width) of what the feed-forward adds */
    llmc_weight *w_gate, *w_up; /* (n_ff, width) */
    float *b_gate, *b_up;       /* (n_ff) */
    llmc_weight *w_down;        /* (width, n_ff) */
    float *b_down;              /* (width) */
    llmc_xielu xielu;           /* of XIELU */
    /* BitNet's: (width) of what was attended, (n_ff) of the activation, and one number of each matrix's products. */
    float *attn_sub_norm, *ffn_sub_norm;
    float *wq_scale, *wk_scale, *wv_scale, *wo_scale, *gate_scale, *up_scale, *down_scale;
    llmc_weight *embedding_gate, *embedding_out; /* (layer_embedding, width), (width, layer_embedding) */
    float *embedding_norm;                       /* (width) of what they add */
    float *layer_scale;                          /* (1) */
    /* AltUp: of what the router reads; (4, width), (16, 4), (4, 4); (width) of what the layer's embedding reads. */
    float *stream_router_norm;
    llmc_weight *stream_router, *stream_predict, *stream_correct;
    float *stream_scale;
    llmc_weight *laurel_l, *laurel_r; /* (rank, width), (width, rank) */
    float *laurel_norm;               /* (width) of what they make */
    /* Of a feed-forward with experts beside it: of what the router and the experts read, of what each of the two puts out. */
    float *router_norm, *experts_norm;           /* (width) */
    float *beside_post_norm, *experts_post_norm; /* (width) */
    float *experts_factors;                      /* (n_experts) of what an expert puts out; NULL: ones */

    llmc_weight *router;                   /* (n_experts, width) */
    float *router_bias, *router_selection; /* (n_experts) added to logits; added to probabilities for the choice alone */
    llmc_weight **gate_experts, **up_experts, **down_experts; /* (n_experts) each, as w_gate, w_up, w_down */
    float *gate_experts_bias, *up_experts_bias;               /* (n_experts, n_ff) */
    float *down_experts_bias;                                 /* (n_experts, width) */
    llmc_weight *gate_shared, *up_shared, *down_shared;       /* the expert of every row */
    llmc_weight *experts_in, *experts_out;                    /* (experts' width, width) and back; NULL: it is the same */

    llmc_weight *q_a, *q_b;   /* (q_rank, width), (n_heads * key_length, q_rank); q_a NULL: wq (the same, width) */
    float *q_a_norm;          /* (q_rank) */
    llmc_weight *kv_a;        /* (kv_rank + n_rot, width): the latent vector, then the part of the key that turns */
    float *kv_a_norm;         /* (kv_rank) */
    llmc_weight **k_b, **v_b; /* (n_heads) each: (kv_rank, key_length - n_rot), (value_length, kv_rank) */

    llmc_weight *shared_router; /* (1, width): its sigmoid multiplies the expert of every row */

    /* Recurrent layers. */
    llmc_weight *mixer_in;   /* (what the mixer reads, width) */
    llmc_weight *mixer_gate; /* DELTA: (inner, width); NULL: in mixer_in */
    llmc_weight *alpha;      /* DELTA: (heads, width); NULL: in beta, which then has 2 * heads rows */
    llmc_weight *beta;
    llmc_weight *mixer_out;                       /* (width, what the mixer puts out) */
    llmc_weight *select_dt, *select_b, *select_c; /* SELECT: (dt_rank, inner), (state_size, inner) twice */
    llmc_weight *dt_up;                           /* SELECT: (heads, dt_rank) */
    float *dt_norm, *b_norm, *c_norm;             /* SELECT: (dt_rank), (state_size) twice; NULL: not normed */
    llmc_weight *decay_in, *decay_out;            /* KDA: (dt_rank, width), (inner, dt_rank); and so are the gate's */
    llmc_weight *gate_in, *gate_out;
    llmc_weight *rate_in, *rate_out;          /* RWKV: (rank, width), (width, rank); and so are mix and those above */
    llmc_weight *mix_in, *mix_out;            /* RWKV: none in the first layer */
    float *decay_bias, *rate_bias, *mix_bias; /* RWKV: (width) */
    float *removal, *replacement, *bonus;     /* RWKV: (width) of keys; the published k_k, k_a and r_k */
    float *shift, *ffn_shift;                 /* RWKV: (6, width), (width) how much of the row before */
    float *mixer_norm_bias;                   /* RWKV: (width), as mixer_norm there */
    float *conv;                              /* (channels, taps) */
    float *conv_q, *conv_k, *conv_v;          /* KDA: (inner, taps) */
    float *conv_bias;                         /* (channels) */
    float *dt_bias;                           /* (heads), and so are decay and skip; KDA: (inner) */
    float *decay;                             /* SELECT: (inner, state_size) */
    float *skip;
    float *mixer_norm; /* SCAN: (groups, inner / groups), or none; DELTA, KDA: (inner / heads) for each head */
} llmc_layer;

typedef struct llmc_weights {
    llmc_weight *token_embd;  /* (n_vocab, width) */
    llmc_weight *token_types; /* (n_token_types, width) */
    float *embd_norm;         /* (width) of the embeddings' sum; NULL: none */
    float *embd_norm_bias;
    llmc_weight *positions;                  /* (context_length, width) learned embeddings of positions */
    llmc_weight **streams_in, **streams_out; /* (3) each: (width, width) */
    llmc_weight *layer_embeddings;           /* (n_vocab, n_layers * layer_embedding) */
    llmc_weight *layer_proj;                 /* (n_layers * layer_embedding, width) of the token's embedding, added to them */
    float *layer_proj_norm;                  /* (layer_embedding) of that, each layer's part */
    float *output_norm;                      /* (width) */
    float *output_norm_bias;
    llmc_weight *output; /* (n_vocab, width); NULL: token_embd serves again */
    float *output_bias;  /* (n_vocab) */
    float *ones;         /* (width and head_dim at least) what stands for the weight of a norm that has none */
    double *inv_freq;    /* host, (n_rot / 2), see rope.h */
    float rope_scale;
    double *window_inv_freq; /* of layers with a window */
    float window_rope_scale;
    uint32_t n_layers;
    uint32_t n_experts, n_heads; /* lengths of the arrays of weights */
    llmc_layer *layers;
    llmc_layer_facts *facts; /* (n_layers) what each is made of */
} llmc_weights;

/* What checking the tensors found. */
typedef struct llmc_weights_plan {
    uint64_t file_bytes;   /* to be read */
    uint64_t device_bytes; /* weights as the backend holds them */
    uint64_t matrix_bytes; /* of them, matrices */
    uint64_t parameters;   /* elements of all tensors */
    size_t staging_bytes;  /* the largest piece that is read at once */
    size_t n_matrices;
    int32_t most_type; /* the type of most matrix elements */
    int all_f32;       /* every matrix is F32 */
} llmc_weights_plan;

/* Every tensor of the file against what the architecture has: E_FORMAT for a missing one or a wrong shape, E_UNSUPPORTED for a
 * type that the backend cannot hold or a tensor that the architecture does not know; both name it. */
llmcall_status llmc_weights_check(const llmc_gguf *gguf, const llmc_hparams *hparams, const llmc_backend *backend,
                                  llmc_weights_plan *plan, llmcall_error *error);

/* Reads what was checked. weights may be half filled on failure: destroy it in any case. */
llmcall_status llmc_weights_load(const llmc_env *env, llmc_gguf *gguf, const llmc_hparams *hparams,
                                 const llmc_weights_plan *plan, llmc_backend *backend, const llmcall_model_options *options,
                                 llmc_weights *weights, llmcall_error *error);
void llmc_weights_destroy(const llmc_env *env, llmc_backend *backend, llmc_weights *weights); /* zeroed ones are fine */

#endif
