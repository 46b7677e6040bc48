/* Which tensors a model has: a table for every architecture, and what decides whether a layer has each of them. */
#ifndef LLMC_TENSOR_TABLE_H
#define LLMC_TENSOR_TABLE_H

#include "model/arch.h"

/* Dimensions of tensors: DIM(name, size), of the numbers `h` and the layer's `s`, with q and kv the rows of queries and of keys. */
#define LLMC_EACH_DIM(DIM)                                                                                                     \
    DIM(NONE, 1)                                                                                                               \
    DIM(WIDTH, h->width)                                                                                                       \
    DIM(Q, q)                                                                                                                  \
    DIM(KV, kv)                                                                                                                \
    DIM(Q_KV, q + kv) /* where v begins in a fused tensor */                                                                   \
    DIM(QKV, q + 2 * kv)                                                                                                       \
    DIM(Q_GATED, 2 * q) /* queries and their gates */                                                                          \
    DIM(OUT_GATE, f->gate_by_head ? s->n_heads : q)                                                                            \
    DIM(HEADS, s->n_heads)                                                                                                     \
    DIM(KV_HEADS, s->n_kv_heads)                                                                                               \
    DIM(HEAD, llmc_head_dim(h, f->layer))                                                                                      \
    DIM(FF, s->n_ff)                                                                                                           \
    DIM(FF_2, 2 * s->n_ff)                                                                                                     \
    DIM(LAYER_EMBEDDING, h->layer_embedding)                                                                                   \
    DIM(LAYER_EMBEDDINGS, h->layer_embedding * h->n_layers)                                                                    \
    DIM(STREAMS, LLMC_STREAMS)                                                                                                 \
    DIM(STREAMS_SQUARED, LLMC_STREAMS *LLMC_STREAMS)                                                                           \
    DIM(OTHER_STREAMS, LLMC_STREAMS - 1)                                                                                       \
    DIM(LAUREL, LLMC_LAUREL_RANK)                                                                                              \
    DIM(VOCAB, h->n_vocab)                                                                                                     \
    DIM(TOKEN_TYPES, h->n_token_types)                                                                                         \
    DIM(CONTEXT, h->context_length)                                                                                            \
    DIM(ROPE_PAIRS, (h->arch->half_turns ? h->window_rope.n_rot : h->rope.n_rot) / 2)                                          \
    DIM(EXPERTS, h->experts.n)                                                                                                 \
    DIM(EXPERT_FF, h->experts.n_ff)                                                                                            \
    DIM(EXPERT_FF_2, 2 * h->experts.n_ff)                                                                                      \
    DIM(EXPERT_WIDTH, h->experts.width)                                                                                        \
    DIM(SHARED_FF, h->experts.n_ff_shared)                                                                                     \
    DIM(SHARED_FF_2, 2 * h->experts.n_ff_shared)                                                                               \
    DIM(Q_RANK, h->latent.q_rank)                                                                                              \
    DIM(Q_LATENT, h->n_heads * h->latent.key_length)                                                                           \
    DIM(ATTENDED_LATENT, h->n_heads * h->latent.value_length)                                                                  \
    DIM(KV_RANK, h->latent.kv_rank)                                                                                            \
    DIM(HEAD_DIM_LATENT, h->latent.kv_rank + h->rope.n_rot)                                                                    \
    DIM(KEY_STILL, h->latent.key_length - h->rope.n_rot) /* of a latent key, what does not turn */                             \
    DIM(KEY_VALUE_LATENT, h->latent.key_length - h->rope.n_rot + h->latent.value_length)                                       \
    DIM(VALUE_LATENT, h->latent.value_length)                                                                                  \
    DIM(TAPS, h->recurrent.n_taps)                                                                                             \
    DIM(CONV, llmc_conv_channels(h))                                                                                           \
    DIM(WIDTH_3, 3 * h->width)                                                                                                 \
    DIM(INNER, h->recurrent.inner)                            /* what a recurrent layer's heads put out together */            \
    DIM(SCAN_IN, llmc_scan_row(h))                            /* z, x, b, c and dt */                                          \
    DIM(DELTA_IN, llmc_conv_channels(h) + h->recurrent.inner) /* q, k, v and z */                                              \
    DIM(MIXER_HEADS, h->recurrent.n_heads)                                                                                     \
    DIM(MIXER_HEADS_2, 2 * h->recurrent.n_heads)                                                                               \
    DIM(MIXER_GROUPS, h->recurrent.n_groups)                                                                                   \
    DIM(MIXER_GROUP, h->recurrent.n_groups ? h->recurrent.inner / h->recurrent.n_groups : 0) /* outputs of its heads */        \
    DIM(DT_RANK, h->recurrent.dt_rank)                                                                                         \
    DIM(STATE_2, 2 * h->recurrent.state_size)                                                                                  \
    DIM(DT_STATE, h->recurrent.dt_rank + h->recurrent.state_size) /* where c begins behind dt and b */                         \
    DIM(SELECT, h->recurrent.dt_rank + 2 * h->recurrent.state_size)                                                            \
    DIM(INNER_2, 2 * h->recurrent.inner)                                                                                       \
    DIM(SHIFTS, 6)                                                                                                             \
    DIM(DECAY_RANK, h->recurrent.ranks[0])                                                                                     \
    DIM(RATE_RANK, h->recurrent.ranks[1])                                                                                      \
    DIM(MIX_RANK, h->recurrent.ranks[2])                                                                                       \
    DIM(GATE_RANK, h->recurrent.ranks[3])                                                                                      \
    DIM(MIXER_STATE, h->recurrent.state_size)

#define LLMC_DIM_NAME(name, size) LLMC_DIM_##name,
typedef enum llmc_dim { LLMC_EACH_DIM(LLMC_DIM_NAME) } llmc_dim;

/* What decides whether a layer has a tensor: NEED(name, presence), of the layer's facts `f`, its architecture `a` and what
 * llmc_tensor_presence derives from them. */
/* clang-format off */
#define LLMC_EACH_NEED(NEED)                                                                                                   \
    NEED(ALWAYS, LLMC_REQUIRED)                                                                                                \
    NEED(OPTIONAL, LLMC_OPTIONAL)                                                                                              \
    NEED(EMBEDDINGS, required_if(!f->output_embeds))                                                                           \
    NEED(OUTPUT, if_there(!f->output_embeds, LLMC_OPTIONAL))                                                                   \
    NEED(OUTPUT_EMBEDS, required_if(f->output_embeds))                                                                         \
    NEED(EMBD_NORM, required_if(a->encoder || a->embd_norm))                                                                   \
    NEED(EMBD_NORM_BIAS, required_if(a->encoder || (a->embd_norm && a->norm_bias == LLMC_REQUIRED)))                           \
    NEED(POSITIONS, required_if(a->positions))                                                                                 \
    NEED(ENCODER, required_if(a->encoder))                                                                                     \
    NEED(ENCODER_OPTIONAL, if_there(a->encoder, LLMC_OPTIONAL))                                                                \
    NEED(OUTPUT_NORM, required_if(!a->output_norm_named_embd && !a->output_norm_named_enc && !a->encoder && !a->bare_norms))   \
    NEED(OUTPUT_NORM_AS_ENC, required_if(a->output_norm_named_enc))                                                            \
    NEED(OUTPUT_NORM_AS_EMBD, required_if(a->output_norm_named_embd))                                                          \
    NEED(OUTPUT_BIAS, a->output_bias)                                                                                          \
    NEED(ATTN_NORM, if_there(a->pre_norm != LLMC_PRE_NORM_NONE && !a->bare_norms && !idle, attn_norm))                         \
    NEED(ATTN_NORM_2, if_there(a->pre_norm == LLMC_PRE_NORM_SHARED, rwkv ? LLMC_REQUIRED : LLMC_OPTIONAL))                     \
    NEED(SUM_NORM_2, if_there(a->encoder && a->alibi != LLMC_ABSENT, LLMC_OPTIONAL))                                           \
    NEED(NORM_BIAS, a->norm_bias)                                                                                              \
    NEED(FFN_NORM, if_there(!a->ffn_norm_named_post && !a->ffn_norm_named_out && !a->ffn_norm_bare, ffn_norm))                 \
    NEED(FFN_NORM_AS_OUT, if_there(a->ffn_norm_named_out, ffn_norm))                                                           \
    NEED(FFN_NORM_BARE, if_there(a->ffn_norm_bare, ffn_norm))                                                                  \
    NEED(FFN_NORM_BIAS, ffn_norm == LLMC_REQUIRED ? a->norm_bias : if_there(a->norm_bias != LLMC_ABSENT, ffn_norm))            \
    NEED(FFN_NORM_AS_POST, if_there(a->ffn_norm_named_post, ffn_norm))                                                         \
    NEED(POST_NORMS, required_if(a->post_norms && !a->post_norms_bare))                                                        \
    NEED(POST_NORMS_BARE, required_if(a->post_norms && a->post_norms_bare))                                                    \
    NEED(Q, required_if(plain && !a->gated_query && !f->fused_qkv))                                                            \
    NEED(Q_GATED, required_if(plain && a->gated_query))                                                                        \
    NEED(K, required_if(own_kv && !f->fused_qkv))                                                                              \
    NEED(V, if_there(own_kv && !f->fused_qkv, a->value_norm ? LLMC_OPTIONAL : LLMC_REQUIRED))                                  \
    NEED(SPARE_KV, if_there(plain && !own_kv, LLMC_OPTIONAL))                                                                  \
    NEED(QKV_FUSED, required_if(plain && f->fused_qkv))                                                                        \
    NEED(QKV_BIAS, if_there(attends && !f->fused_qkv, a->qkv_bias))                                                            \
    NEED(QKV_FUSED_BIAS, if_there(attends && f->fused_qkv, a->qkv_bias))                                                       \
    NEED(OUT, required_if(plain))                                                                                              \
    NEED(INSTEAD, required_if(instead))                                                                                        \
    NEED(OUT_BIAS, if_there(attends, a->out_bias))                                                                             \
    NEED(HEAD_NORM, if_there(attends && kind <= LLMC_HEAD_NORM_TURNED, a->head_norm))                                          \
    NEED(KEY_NORM, if_there(attends && kind <= LLMC_HEAD_NORM_TURNED && own_kv, a->head_norm))                                 \
    NEED(ROW_NORM_BIAS, if_there(attends &&kind == LLMC_HEAD_NORM_ROW && a->layer_norm, LLMC_OPTIONAL))                        \
    NEED(ROW_NORM, if_there(attends && kind == LLMC_HEAD_NORM_ROW, a->head_norm))                                              \
    NEED(EACH_NORM, if_there(attends && kind >= LLMC_HEAD_NORM_EACH, a->head_norm))                                            \
    NEED(OUT_GATE, if_there(attends && a->gated_output, a->gate_optional ? LLMC_OPTIONAL : LLMC_REQUIRED))                                                                    \
    NEED(SINKS, if_there(attends, a->sinks))                                                                                   \
    NEED(LATENT, required_if(latent))                                                                                          \
    NEED(LATENT_SPLIT, required_if(latent && !f->hparams->latent.joined))                                                      \
    NEED(LATENT_JOINED, required_if(latent && f->hparams->latent.joined))                                                      \
    NEED(LATENT_SPARE, if_there(latent, LLMC_OPTIONAL))                                                                        \
    NEED(LATENT_Q, required_if(latent && f->hparams->latent.q_rank == 0))                                                      \
    NEED(LATENT_Q_RANK, required_if(latent && f->hparams->latent.q_rank > 0))                                                  \
    NEED(GATE, required_if(dense && gated && !f->fused_gate_up))                                                               \
    NEED(UP, required_if(dense && !f->fused_gate_up))                                                                          \
    NEED(GATE_UP_FUSED, required_if(dense && f->fused_gate_up))                                                                \
    NEED(DOWN, required_if(dense))                                                                                             \
    NEED(GATE_BIAS, if_there(dense && gated && !f->fused_gate_up, a->ffn_bias))                                                \
    NEED(UP_BIAS, if_there(dense && !f->fused_gate_up, a->ffn_bias))                                                           \
    NEED(GATE_UP_FUSED_BIAS, if_there(dense && f->fused_gate_up, a->ffn_bias))                                                 \
    NEED(DOWN_BIAS, if_there(dense, a->ffn_bias))                                                                              \
    NEED(LAYER_EMBEDDINGS, required_if(f->hparams->layer_embedding > 0))                                                       \
    NEED(SUB_NORMS, required_if(a->ternary))                                                                                   \
    NEED(SCALES, if_there(a->ternary, LLMC_OPTIONAL))                                                                          \
    NEED(STREAMS, required_if(a->streams))                                                                                     \
    NEED(LAYER_SCALE, a->layer_scale)                                                                                          \
    NEED(EXPERTS_BESIDE, required_if(f->experts && a->experts_beside))                                                         \
    NEED(EXPERTS_BESIDE_OPTIONAL, if_there(f->experts && a->experts_beside, LLMC_OPTIONAL))                                    \
    NEED(EXPERTS, required_if(f->experts))                                                                                     \
    NEED(EXPERTS_GATE, required_if(f->experts && gated && !f->fused_experts))                                                  \
    NEED(EXPERTS_UP, required_if(f->experts && !f->fused_experts))                                                             \
    NEED(EXPERTS_NARROW, required_if(f->experts && f->hparams->experts.width != f->hparams->width))                            \
    NEED(EXPERTS_GATE_UP_FUSED, required_if(f->fused_experts))                                                                 \
    NEED(EXPERTS_BIAS, required_if(f->experts && a->experts_biased))                                                           \
    NEED(EXPERTS_SELECTION, if_there(f->experts && !a->selection_bare, LLMC_OPTIONAL))                                         \
    NEED(EXPERTS_SELECTION_BARE, if_there(f->experts && a->selection_bare, LLMC_OPTIONAL))                                     \
    NEED(SHARED, required_if(shared))                                                                                          \
    NEED(SHARED_GATED, required_if(shared && gated && !a->experts_shared_fused))                                               \
    NEED(SHARED_UP, required_if(shared && !a->experts_shared_fused))                                                           \
    NEED(SHARED_GATE_UP_FUSED, required_if(shared && a->experts_shared_fused))                                                 \
    NEED(SHARED_GATE, required_if(shared && a->shared_gate))                                                                   \
    NEED(CONV, required_if(mixer == LLMC_MIXER_CONV))                                                                          \
    NEED(SCAN, required_if(mixer == LLMC_MIXER_SCAN))                                                                          \
    NEED(SCAN_OPTIONAL, if_there(mixer == LLMC_MIXER_SCAN, LLMC_OPTIONAL))                                                     \
    NEED(SCAN_NORM,                                                                                                            \
         if_there(mixer == LLMC_MIXER_SCAN, a->recurrence == LLMC_RECURRENT_BESIDE ? LLMC_OPTIONAL : LLMC_REQUIRED))           \
    NEED(SELECT, required_if(select || by_head))                                                                               \
    NEED(SELECT_CHANNELS, required_if(select))                                                                                 \
    NEED(SELECT_NORMS, if_there(select, LLMC_OPTIONAL))                                                                        \
    NEED(SELECT_HEADS, required_if(by_head))                                                                                   \
    NEED(KDA, required_if(mixer == LLMC_MIXER_KDA))                                                                            \
    NEED(RWKV, required_if(rwkv))                                                                                              \
    NEED(RWKV_MIX, required_if(rwkv && f->layer > 0))                                                                          \
    NEED(RWKV_SPARE, if_there(rwkv && f->layer == 0, LLMC_OPTIONAL))                                                           \
    NEED(DELTA, required_if(delta))                                                                                            \
    NEED(DELTA_SPLIT, required_if(delta && f->fused_qkv))                                                                      \
    NEED(DELTA_JOINED, required_if(delta && !f->fused_qkv))                                                                    \
    NEED(DELTA_SPARE, if_there(delta && f->fused_qkv, LLMC_OPTIONAL))                                                          \
    NEED(DELTA_AB, required_if(delta && !f->joined_beta_alpha))                                                                \
    NEED(DELTA_BA, required_if(delta && f->joined_beta_alpha))

/* clang-format on */
#define LLMC_NEED_NAME(name, presence) LLMC_NEED_##name,
typedef enum llmc_need { LLMC_EACH_NEED(LLMC_NEED_NAME) } llmc_need;

typedef enum llmc_tensor_kind {
    LLMC_TENSOR_VECTOR,  /* floats on the device */
    LLMC_TENSOR_MATRIX,  /* a weight */
    LLMC_TENSOR_STACK,   /* an array of weights, one for each of the outermost dimension */
    LLMC_TENSOR_STACKED, /* the same, of a tensor of two dimensions: so many times `total` rows */
    LLMC_TENSOR_TURNED /* as STACKED, but the tensor holds the matrices transposed: `cols` rows of `rows` columns; floats on the device */
} llmc_tensor_kind;

#define LLMC_SLOT_NONE SIZE_MAX

typedef struct llmc_tensor_row {
    const char *name; /* in a layer: what follows "blk.N." */
    size_t slot;      /* offset of the pointer in llmc_layer or llmc_weights; LLMC_SLOT_NONE: known, but not read */
    llmc_tensor_kind kind;
    llmc_dim count; /* stacks: how many */
    llmc_dim rows;  /* outputs; LLMC_DIM_NONE: 1 */
    llmc_dim cols;
    llmc_need needed;
    /* A tensor that holds several: this one's rows (of a vector: elements) begin after `first`, of `total`. LLMC_DIM_NONE: at 0, and
     * all of them. */
    llmc_dim first, total;
} llmc_tensor_row;

typedef struct llmc_tensor_list {
    const llmc_tensor_row *rows;
    size_t n;
} llmc_tensor_list;

llmc_tensor_list llmc_global_tensors(void); /* slots in llmc_weights */
llmc_tensor_list llmc_layer_tensors(void);  /* slots in llmc_layer */

/* Divisors of the frequencies of RoPE, which do not go to the device; the last two for short and for long contexts. */
enum { LLMC_ROPE_FACTORS, LLMC_ROPE_FACTORS_SHORT, LLMC_ROPE_FACTORS_LONG, LLMC_N_ROPE_FACTORS };
const llmc_tensor_row *llmc_rope_factors(int which);

int llmc_tensor_ignored(const char *name_in_layer); /* left behind by converters; nothing reads it */

/* What a layer is made of, as its architecture and the file have it; any layer serves for global tensors. */
typedef struct llmc_layer_facts {
    const llmc_hparams *hparams;
    uint32_t layer;
    int gate_by_head; /* attn_gate has a row a head */
    int attends, recurrent, feeds, experts, output_embeds, fused_gate_up, fused_qkv, fused_experts, joined_beta_alpha;
} llmc_layer_facts;

llmc_layer_facts llmc_layer_facts_of(const llmc_gguf *gguf, const llmc_hparams *hparams, uint32_t layer);
uint32_t llmc_dim_size(const llmc_layer_facts *facts, llmc_dim dim);
uint32_t llmc_tensor_first(const llmc_layer_facts *facts, const llmc_tensor_row *row);
/* Rows (of a vector that is part of another: elements) of the whole tensor, of one matrix of a stack. */
uint32_t llmc_tensor_total(const llmc_layer_facts *facts, const llmc_tensor_row *row);
llmc_presence llmc_tensor_presence(const llmc_layer_facts *facts, llmc_need need);

#endif
