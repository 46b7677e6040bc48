/* The tensor table: names and shapes as GGUF files have them. */
#include "model/tensor_table.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "model/recurrent.h"
#include "model/weights.h"

enum { NAME_SIZE = 96 };

#define GLOBAL(field) offsetof(llmc_weights, field)
#define LAYER(field)  offsetof(llmc_layer, field)
#define VECTOR(name, slot, n, need)                                                                                            \
    { name, slot, LLMC_TENSOR_VECTOR, LLMC_DIM_NONE, LLMC_DIM_NONE, n, need, LLMC_DIM_NONE, LLMC_DIM_NONE }
#define VECTORS(name, slot, rows, n, need)                                                                                     \
    { name, slot, LLMC_TENSOR_VECTOR, LLMC_DIM_NONE, rows, n, need, LLMC_DIM_NONE, LLMC_DIM_NONE }
#define VECTOR_OF(name, slot, n, need, first, total)                                                                           \
    { name, slot, LLMC_TENSOR_VECTOR, LLMC_DIM_NONE, LLMC_DIM_NONE, n, need, first, total }
#define MATRIX(name, slot, rows, cols, need)                                                                                   \
    { name, slot, LLMC_TENSOR_MATRIX, LLMC_DIM_NONE, rows, cols, need, LLMC_DIM_NONE, LLMC_DIM_NONE }
#define MATRIX_OF(name, slot, rows, cols, need, first, total)                                                                  \
    { name, slot, LLMC_TENSOR_MATRIX, LLMC_DIM_NONE, rows, cols, need, first, total }
#define STACK(name, slot, count, rows, cols, need)                                                                             \
    { name, slot, LLMC_TENSOR_STACK, count, rows, cols, need, LLMC_DIM_NONE, LLMC_DIM_NONE }
#define STACK_OF(name, slot, count, rows, cols, need, first, total)                                                            \
    { name, slot, LLMC_TENSOR_STACK, count, rows, cols, need, first, total }

#define STACKED(name, slot, count, rows, cols, need, first, total)                                                             \
    { name, slot, LLMC_TENSOR_STACKED, count, rows, cols, need, first, total }
#define TURNED(name, slot, count, rows, cols, need, first, total)                                                              \
    { name, slot, LLMC_TENSOR_TURNED, count, rows, cols, need, first, total }

static const llmc_tensor_row global_tensors[] = {
    MATRIX("token_embd.weight", GLOBAL(token_embd), LLMC_DIM_VOCAB, LLMC_DIM_WIDTH, LLMC_NEED_EMBEDDINGS),
    MATRIX("output.weight", GLOBAL(token_embd), LLMC_DIM_VOCAB, LLMC_DIM_WIDTH, LLMC_NEED_OUTPUT_EMBEDS),
    MATRIX("position_embd.weight", GLOBAL(positions), LLMC_DIM_CONTEXT, LLMC_DIM_WIDTH, LLMC_NEED_POSITIONS),
    MATRIX("token_types.weight", GLOBAL(token_types), LLMC_DIM_TOKEN_TYPES, LLMC_DIM_WIDTH, LLMC_NEED_ENCODER_OPTIONAL),
    VECTOR("token_embd_norm.weight", GLOBAL(embd_norm), LLMC_DIM_WIDTH, LLMC_NEED_EMBD_NORM),
    VECTOR("token_embd_norm.bias", GLOBAL(embd_norm_bias), LLMC_DIM_WIDTH, LLMC_NEED_EMBD_NORM_BIAS),
    MATRIX("per_layer_token_embd.weight", GLOBAL(layer_embeddings), LLMC_DIM_VOCAB, LLMC_DIM_LAYER_EMBEDDINGS,
           LLMC_NEED_LAYER_EMBEDDINGS),
    MATRIX("per_layer_model_proj.weight", GLOBAL(layer_proj), LLMC_DIM_LAYER_EMBEDDINGS, LLMC_DIM_WIDTH,
           LLMC_NEED_LAYER_EMBEDDINGS),
    STACK("altup_proj.weight", GLOBAL(streams_in), LLMC_DIM_OTHER_STREAMS, LLMC_DIM_WIDTH, LLMC_DIM_WIDTH, LLMC_NEED_STREAMS),
    STACK("altup_unembd_proj.weight", GLOBAL(streams_out), LLMC_DIM_OTHER_STREAMS, LLMC_DIM_WIDTH, LLMC_DIM_WIDTH,
          LLMC_NEED_STREAMS),
    VECTOR("per_layer_proj_norm.weight", GLOBAL(layer_proj_norm), LLMC_DIM_LAYER_EMBEDDING, LLMC_NEED_LAYER_EMBEDDINGS),
    VECTOR("output_norm.weight", GLOBAL(output_norm), LLMC_DIM_WIDTH, LLMC_NEED_OUTPUT_NORM),
    VECTOR("token_embd_norm.weight", GLOBAL(output_norm), LLMC_DIM_WIDTH, LLMC_NEED_OUTPUT_NORM_AS_EMBD),
    VECTOR("enc.output_norm.weight", GLOBAL(output_norm), LLMC_DIM_WIDTH, LLMC_NEED_OUTPUT_NORM_AS_ENC),
    VECTOR("output_norm.bias", GLOBAL(output_norm_bias), LLMC_DIM_WIDTH, LLMC_NEED_NORM_BIAS),
    MATRIX("output.weight", GLOBAL(output), LLMC_DIM_VOCAB, LLMC_DIM_WIDTH, LLMC_NEED_OUTPUT),
    VECTOR("output.bias", GLOBAL(output_bias), LLMC_DIM_VOCAB, LLMC_NEED_OUTPUT_BIAS),
};

static const llmc_tensor_row rope_factors[LLMC_N_ROPE_FACTORS] = {
    VECTOR("rope_freqs.weight", 0, LLMC_DIM_ROPE_PAIRS, LLMC_NEED_OPTIONAL),
    VECTOR("rope_factors_short.weight", 0, LLMC_DIM_ROPE_PAIRS, LLMC_NEED_OPTIONAL),
    VECTOR("rope_factors_long.weight", 0, LLMC_DIM_ROPE_PAIRS, LLMC_NEED_OPTIONAL),
};

static const llmc_tensor_row layer_tensors[] = {
    VECTOR("attn_norm.weight", LAYER(attn_norm), LLMC_DIM_WIDTH, LLMC_NEED_ATTN_NORM),
    VECTOR("attn_norm.bias", LAYER(attn_norm_bias), LLMC_DIM_WIDTH, LLMC_NEED_NORM_BIAS),
    VECTOR("attn_norm_2.weight", LAYER(attn_norm_2), LLMC_DIM_WIDTH, LLMC_NEED_ATTN_NORM_2),
    VECTOR("attn_norm_2.bias", LAYER(attn_norm_2_bias), LLMC_DIM_WIDTH, LLMC_NEED_ATTN_NORM_2),
    MATRIX("attn_q.weight", LAYER(wq), LLMC_DIM_Q, LLMC_DIM_WIDTH, LLMC_NEED_Q),
    MATRIX("attn_q.weight", LAYER(wq), LLMC_DIM_Q_GATED, LLMC_DIM_WIDTH, LLMC_NEED_Q_GATED),
    MATRIX("attn_k.weight", LAYER(wk), LLMC_DIM_KV, LLMC_DIM_WIDTH, LLMC_NEED_K),
    MATRIX("attn_v.weight", LAYER(wv), LLMC_DIM_KV, LLMC_DIM_WIDTH, LLMC_NEED_V),
    MATRIX("attn_k.weight", LLMC_SLOT_NONE, LLMC_DIM_KV, LLMC_DIM_WIDTH, LLMC_NEED_SPARE_KV),
    MATRIX("attn_v.weight", LLMC_SLOT_NONE, LLMC_DIM_KV, LLMC_DIM_WIDTH, LLMC_NEED_SPARE_KV),
    VECTOR("attn_k_norm.weight", LLMC_SLOT_NONE, LLMC_DIM_HEAD, LLMC_NEED_SPARE_KV),
    MATRIX_OF("attn_qkv.weight", LAYER(wq), LLMC_DIM_Q, LLMC_DIM_WIDTH, LLMC_NEED_QKV_FUSED, LLMC_DIM_NONE, LLMC_DIM_QKV),
    MATRIX_OF("attn_qkv.weight", LAYER(wk), LLMC_DIM_KV, LLMC_DIM_WIDTH, LLMC_NEED_QKV_FUSED, LLMC_DIM_Q, LLMC_DIM_QKV),
    MATRIX_OF("attn_qkv.weight", LAYER(wv), LLMC_DIM_KV, LLMC_DIM_WIDTH, LLMC_NEED_QKV_FUSED, LLMC_DIM_Q_KV, LLMC_DIM_QKV),
    VECTOR("attn_q.bias", LAYER(bq), LLMC_DIM_Q, LLMC_NEED_QKV_BIAS),
    VECTOR("attn_k.bias", LAYER(bk), LLMC_DIM_KV, LLMC_NEED_QKV_BIAS),
    VECTOR("attn_v.bias", LAYER(bv), LLMC_DIM_KV, LLMC_NEED_QKV_BIAS),
    VECTOR_OF("attn_qkv.bias", LAYER(bq), LLMC_DIM_Q, LLMC_NEED_QKV_FUSED_BIAS, LLMC_DIM_NONE, LLMC_DIM_QKV),
    VECTOR_OF("attn_qkv.bias", LAYER(bk), LLMC_DIM_KV, LLMC_NEED_QKV_FUSED_BIAS, LLMC_DIM_Q, LLMC_DIM_QKV),
    VECTOR_OF("attn_qkv.bias", LAYER(bv), LLMC_DIM_KV, LLMC_NEED_QKV_FUSED_BIAS, LLMC_DIM_Q_KV, LLMC_DIM_QKV),
    VECTOR("attn_q_norm.weight", LAYER(q_norm), LLMC_DIM_HEAD, LLMC_NEED_HEAD_NORM),
    VECTOR("attn_k_norm.weight", LAYER(k_norm), LLMC_DIM_HEAD, LLMC_NEED_KEY_NORM),
    VECTOR("attn_q_norm.weight", LAYER(q_norm), LLMC_DIM_Q, LLMC_NEED_ROW_NORM),
    VECTOR("attn_k_norm.weight", LAYER(k_norm), LLMC_DIM_KV, LLMC_NEED_ROW_NORM),
    VECTOR("attn_q_norm.bias", LAYER(q_norm_bias), LLMC_DIM_Q, LLMC_NEED_ROW_NORM_BIAS),
    VECTOR("attn_k_norm.bias", LAYER(k_norm_bias), LLMC_DIM_KV, LLMC_NEED_ROW_NORM_BIAS),
    VECTORS("attn_q_norm.weight", LAYER(q_norm), LLMC_DIM_HEADS, LLMC_DIM_HEAD, LLMC_NEED_EACH_NORM),
    VECTORS("attn_k_norm.weight", LAYER(k_norm), LLMC_DIM_KV_HEADS, LLMC_DIM_HEAD, LLMC_NEED_EACH_NORM),
    VECTOR("attn_sinks.weight", LAYER(sinks), LLMC_DIM_HEADS, LLMC_NEED_SINKS),
    MATRIX("attn_q_a.weight", LAYER(q_a), LLMC_DIM_Q_RANK, LLMC_DIM_WIDTH, LLMC_NEED_LATENT_Q_RANK),
    VECTOR("attn_q_a_norm.weight", LAYER(q_a_norm), LLMC_DIM_Q_RANK, LLMC_NEED_LATENT_Q_RANK),
    MATRIX("attn_q_b.weight", LAYER(q_b), LLMC_DIM_Q_LATENT, LLMC_DIM_Q_RANK, LLMC_NEED_LATENT_Q_RANK),
    MATRIX("attn_q.weight", LAYER(wq), LLMC_DIM_Q_LATENT, LLMC_DIM_WIDTH, LLMC_NEED_LATENT_Q),
    MATRIX("attn_kv_a_mqa.weight", LAYER(kv_a), LLMC_DIM_HEAD_DIM_LATENT, LLMC_DIM_WIDTH, LLMC_NEED_LATENT),
    VECTOR("attn_kv_a_norm.weight", LAYER(kv_a_norm), LLMC_DIM_KV_RANK, LLMC_NEED_LATENT),
    STACK("attn_k_b.weight", LAYER(k_b), LLMC_DIM_HEADS, LLMC_DIM_KV_RANK, LLMC_DIM_KEY_STILL, LLMC_NEED_LATENT_SPLIT),
    STACK("attn_v_b.weight", LAYER(v_b), LLMC_DIM_HEADS, LLMC_DIM_VALUE_LATENT, LLMC_DIM_KV_RANK, LLMC_NEED_LATENT_SPLIT),
    TURNED("attn_kv_b.weight", LAYER(k_b), LLMC_DIM_HEADS, LLMC_DIM_KV_RANK, LLMC_DIM_KEY_STILL, LLMC_NEED_LATENT_JOINED,
           LLMC_DIM_NONE, LLMC_DIM_KEY_VALUE_LATENT),
    STACKED("attn_kv_b.weight", LAYER(v_b), LLMC_DIM_HEADS, LLMC_DIM_VALUE_LATENT, LLMC_DIM_KV_RANK, LLMC_NEED_LATENT_JOINED,
            LLMC_DIM_KEY_STILL, LLMC_DIM_KEY_VALUE_LATENT),
    MATRIX("attn_k_b.weight", LLMC_SLOT_NONE, LLMC_DIM_NONE, LLMC_DIM_NONE, LLMC_NEED_LATENT_SPARE),
    MATRIX("attn_v_b.weight", LLMC_SLOT_NONE, LLMC_DIM_NONE, LLMC_DIM_NONE, LLMC_NEED_LATENT_SPARE),
    MATRIX("attn_kv_b.weight", LLMC_SLOT_NONE, LLMC_DIM_NONE, LLMC_DIM_NONE, LLMC_NEED_LATENT_SPARE),
    MATRIX("attn_gate.weight", LAYER(out_gate), LLMC_DIM_OUT_GATE, LLMC_DIM_WIDTH, LLMC_NEED_OUT_GATE),
    MATRIX("attn_output.weight", LAYER(wo), LLMC_DIM_WIDTH, LLMC_DIM_Q, LLMC_NEED_OUT),
    MATRIX("attn_output.weight", LAYER(wo), LLMC_DIM_WIDTH, LLMC_DIM_ATTENDED_LATENT, LLMC_NEED_LATENT),
    MATRIX("attn_output.weight", LAYER(wo), LLMC_DIM_WIDTH, LLMC_DIM_WIDTH, LLMC_NEED_INSTEAD),
    VECTOR("attn_output.bias", LAYER(bo), LLMC_DIM_WIDTH, LLMC_NEED_OUT_BIAS),
    VECTOR("attn_output_norm.weight", LAYER(attn_sum_norm), LLMC_DIM_WIDTH, LLMC_NEED_ENCODER),
    VECTOR("attn_output_norm.bias", LAYER(attn_sum_norm_bias), LLMC_DIM_WIDTH, LLMC_NEED_ENCODER),
    VECTOR("attn_norm_2.weight", LAYER(attn_sum_norm_2), LLMC_DIM_WIDTH, LLMC_NEED_SUM_NORM_2),
    VECTOR("attn_norm_2.bias", LAYER(attn_sum_norm_2_bias), LLMC_DIM_WIDTH, LLMC_NEED_SUM_NORM_2),
    VECTOR("layer_output_norm.weight", LAYER(ffn_sum_norm), LLMC_DIM_WIDTH, LLMC_NEED_ENCODER),
    VECTOR("layer_output_norm.bias", LAYER(ffn_sum_norm_bias), LLMC_DIM_WIDTH, LLMC_NEED_ENCODER),
    VECTOR("post_attention_norm.weight", LAYER(attn_post_norm), LLMC_DIM_WIDTH, LLMC_NEED_POST_NORMS),
    VECTOR("post_attention_norm", LAYER(attn_post_norm), LLMC_DIM_WIDTH, LLMC_NEED_POST_NORMS_BARE),
    VECTOR("post_ffw_norm", LAYER(ffn_post_norm), LLMC_DIM_WIDTH, LLMC_NEED_POST_NORMS_BARE),
    VECTOR("ffn_norm.weight", LAYER(ffn_norm), LLMC_DIM_WIDTH, LLMC_NEED_FFN_NORM),
    VECTOR("ffn_norm", LAYER(ffn_norm), LLMC_DIM_WIDTH, LLMC_NEED_FFN_NORM_BARE),
    VECTOR("ffn_norm.bias", LAYER(ffn_norm_bias), LLMC_DIM_WIDTH, LLMC_NEED_FFN_NORM_BIAS),
    VECTOR("attn_output_norm.weight", LAYER(ffn_norm), LLMC_DIM_WIDTH, LLMC_NEED_FFN_NORM_AS_OUT),
    VECTOR("post_attention_norm.weight", LAYER(ffn_norm), LLMC_DIM_WIDTH, LLMC_NEED_FFN_NORM_AS_POST),
    VECTOR("post_ffw_norm.weight", LAYER(ffn_post_norm), LLMC_DIM_WIDTH, LLMC_NEED_POST_NORMS),
    MATRIX("ffn_gate.weight", LAYER(w_gate), LLMC_DIM_FF, LLMC_DIM_WIDTH, LLMC_NEED_GATE),
    MATRIX("ffn_up.weight", LAYER(w_up), LLMC_DIM_FF, LLMC_DIM_WIDTH, LLMC_NEED_UP),
    MATRIX_OF("ffn_up.weight", LAYER(w_gate), LLMC_DIM_FF, LLMC_DIM_WIDTH, LLMC_NEED_GATE_UP_FUSED, LLMC_DIM_NONE,
              LLMC_DIM_FF_2),
    MATRIX_OF("ffn_up.weight", LAYER(w_up), LLMC_DIM_FF, LLMC_DIM_WIDTH, LLMC_NEED_GATE_UP_FUSED, LLMC_DIM_FF, LLMC_DIM_FF_2),
    MATRIX("ffn_down.weight", LAYER(w_down), LLMC_DIM_WIDTH, LLMC_DIM_FF, LLMC_NEED_DOWN),
    VECTOR("ffn_gate.bias", LAYER(b_gate), LLMC_DIM_FF, LLMC_NEED_GATE_BIAS),
    VECTOR("ffn_up.bias", LAYER(b_up), LLMC_DIM_FF, LLMC_NEED_UP_BIAS),
    VECTOR_OF("ffn_up.bias", LAYER(b_gate), LLMC_DIM_FF, LLMC_NEED_GATE_UP_FUSED_BIAS, LLMC_DIM_NONE, LLMC_DIM_FF_2),
    VECTOR_OF("ffn_up.bias", LAYER(b_up), LLMC_DIM_FF, LLMC_NEED_GATE_UP_FUSED_BIAS, LLMC_DIM_FF, LLMC_DIM_FF_2),
    VECTOR("ffn_down.bias", LAYER(b_down), LLMC_DIM_WIDTH, LLMC_NEED_DOWN_BIAS),
    VECTOR("altup_router_norm.weight", LAYER(stream_router_norm), LLMC_DIM_WIDTH, LLMC_NEED_STREAMS),
    MATRIX("altup_router.weight", LAYER(stream_router), LLMC_DIM_STREAMS, LLMC_DIM_WIDTH, LLMC_NEED_STREAMS),
    MATRIX("altup_predict_coef.weight", LAYER(stream_predict), LLMC_DIM_STREAMS_SQUARED, LLMC_DIM_STREAMS, LLMC_NEED_STREAMS),
    MATRIX("altup_correct_coef.weight", LAYER(stream_correct), LLMC_DIM_STREAMS, LLMC_DIM_STREAMS, LLMC_NEED_STREAMS),
    VECTOR("altup_correct_scale.weight", LAYER(stream_scale), LLMC_DIM_WIDTH, LLMC_NEED_STREAMS),
    MATRIX("laurel_l.weight", LAYER(laurel_l), LLMC_DIM_LAUREL, LLMC_DIM_WIDTH, LLMC_NEED_STREAMS),
    MATRIX("laurel_r.weight", LAYER(laurel_r), LLMC_DIM_WIDTH, LLMC_DIM_LAUREL, LLMC_NEED_STREAMS),
    VECTOR("laurel_post_norm.weight", LAYER(laurel_norm), LLMC_DIM_WIDTH, LLMC_NEED_STREAMS),
    MATRIX("inp_gate.weight", LAYER(embedding_gate), LLMC_DIM_LAYER_EMBEDDING, LLMC_DIM_WIDTH, LLMC_NEED_LAYER_EMBEDDINGS),
    MATRIX("proj.weight", LAYER(embedding_out), LLMC_DIM_WIDTH, LLMC_DIM_LAYER_EMBEDDING, LLMC_NEED_LAYER_EMBEDDINGS),
    VECTOR("post_norm.weight", LAYER(embedding_norm), LLMC_DIM_WIDTH, LLMC_NEED_LAYER_EMBEDDINGS),
    VECTOR("attn_sub_norm.weight", LAYER(attn_sub_norm), LLMC_DIM_Q, LLMC_NEED_SUB_NORMS),
    VECTOR("ffn_sub_norm.weight", LAYER(ffn_sub_norm), LLMC_DIM_FF, LLMC_NEED_SUB_NORMS),
    VECTOR("attn_q.scale", LAYER(wq_scale), LLMC_DIM_NONE, LLMC_NEED_SCALES),
    VECTOR("attn_k.scale", LAYER(wk_scale), LLMC_DIM_NONE, LLMC_NEED_SCALES),
    VECTOR("attn_v.scale", LAYER(wv_scale), LLMC_DIM_NONE, LLMC_NEED_SCALES),
    VECTOR("attn_output.scale", LAYER(wo_scale), LLMC_DIM_NONE, LLMC_NEED_SCALES),
    VECTOR("ffn_gate.scale", LAYER(gate_scale), LLMC_DIM_NONE, LLMC_NEED_SCALES),
    VECTOR("ffn_up.scale", LAYER(up_scale), LLMC_DIM_NONE, LLMC_NEED_SCALES),
    VECTOR("ffn_down.scale", LAYER(down_scale), LLMC_DIM_NONE, LLMC_NEED_SCALES),
    VECTOR("layer_output_scale.weight", LAYER(layer_scale), LLMC_DIM_NONE, LLMC_NEED_LAYER_SCALE),
    VECTOR("ffn_gate_inp.scale", LAYER(router_norm), LLMC_DIM_WIDTH, LLMC_NEED_EXPERTS_BESIDE),
    VECTOR("pre_ffw_norm_2.weight", LAYER(experts_norm), LLMC_DIM_WIDTH, LLMC_NEED_EXPERTS_BESIDE),
    VECTOR("post_ffw_norm_1.weight", LAYER(beside_post_norm), LLMC_DIM_WIDTH, LLMC_NEED_EXPERTS_BESIDE),
    VECTOR("post_ffw_norm_2.weight", LAYER(experts_post_norm), LLMC_DIM_WIDTH, LLMC_NEED_EXPERTS_BESIDE),
    VECTOR("ffn_down_exps.scale", LAYER(experts_factors), LLMC_DIM_EXPERTS, LLMC_NEED_EXPERTS_BESIDE_OPTIONAL),
    MATRIX("ffn_gate_inp.weight", LAYER(router), LLMC_DIM_EXPERTS, LLMC_DIM_WIDTH, LLMC_NEED_EXPERTS),
    VECTOR("ffn_gate_inp.bias", LAYER(router_bias), LLMC_DIM_EXPERTS, LLMC_NEED_EXPERTS_BIAS),
    VECTOR("exp_probs_b.bias", LAYER(router_selection), LLMC_DIM_EXPERTS, LLMC_NEED_EXPERTS_SELECTION),
    VECTOR("exp_probs_b", LAYER(router_selection), LLMC_DIM_EXPERTS, LLMC_NEED_EXPERTS_SELECTION_BARE),
    STACK("ffn_gate_exps.weight", LAYER(gate_experts), LLMC_DIM_EXPERTS, LLMC_DIM_EXPERT_FF, LLMC_DIM_EXPERT_WIDTH,
          LLMC_NEED_EXPERTS_GATE),
    STACK("ffn_up_exps.weight", LAYER(up_experts), LLMC_DIM_EXPERTS, LLMC_DIM_EXPERT_FF, LLMC_DIM_EXPERT_WIDTH,
          LLMC_NEED_EXPERTS_UP),
    STACK_OF("ffn_gate_up_exps.weight", LAYER(gate_experts), LLMC_DIM_EXPERTS, LLMC_DIM_EXPERT_FF, LLMC_DIM_EXPERT_WIDTH,
             LLMC_NEED_EXPERTS_GATE_UP_FUSED, LLMC_DIM_NONE, LLMC_DIM_EXPERT_FF_2),
    STACK_OF("ffn_gate_up_exps.weight", LAYER(up_experts), LLMC_DIM_EXPERTS, LLMC_DIM_EXPERT_FF, LLMC_DIM_EXPERT_WIDTH,
             LLMC_NEED_EXPERTS_GATE_UP_FUSED, LLMC_DIM_EXPERT_FF, LLMC_DIM_EXPERT_FF_2),
    STACK("ffn_down_exps.weight", LAYER(down_experts), LLMC_DIM_EXPERTS, LLMC_DIM_EXPERT_WIDTH, LLMC_DIM_EXPERT_FF,
          LLMC_NEED_EXPERTS),
    VECTORS("ffn_gate_exps.bias", LAYER(gate_experts_bias), LLMC_DIM_EXPERTS, LLMC_DIM_EXPERT_FF, LLMC_NEED_EXPERTS_BIAS),
    VECTORS("ffn_up_exps.bias", LAYER(up_experts_bias), LLMC_DIM_EXPERTS, LLMC_DIM_EXPERT_FF, LLMC_NEED_EXPERTS_BIAS),
    VECTORS("ffn_down_exps.bias", LAYER(down_experts_bias), LLMC_DIM_EXPERTS, LLMC_DIM_EXPERT_WIDTH, LLMC_NEED_EXPERTS_BIAS),
    MATRIX("ffn_latent_down.weight", LAYER(experts_in), LLMC_DIM_EXPERT_WIDTH, LLMC_DIM_WIDTH, LLMC_NEED_EXPERTS_NARROW),
    MATRIX("ffn_latent_up.weight", LAYER(experts_out), LLMC_DIM_WIDTH, LLMC_DIM_EXPERT_WIDTH, LLMC_NEED_EXPERTS_NARROW),
    MATRIX("ffn_gate_shexp.weight", LAYER(gate_shared), LLMC_DIM_SHARED_FF, LLMC_DIM_WIDTH, LLMC_NEED_SHARED_GATED),
    MATRIX("ffn_up_shexp.weight", LAYER(up_shared), LLMC_DIM_SHARED_FF, LLMC_DIM_WIDTH, LLMC_NEED_SHARED_UP),
    MATRIX_OF("ffn_up_shexp.weight", LAYER(gate_shared), LLMC_DIM_SHARED_FF, LLMC_DIM_WIDTH, LLMC_NEED_SHARED_GATE_UP_FUSED,
              LLMC_DIM_NONE, LLMC_DIM_SHARED_FF_2),
    MATRIX_OF("ffn_up_shexp.weight", LAYER(up_shared), LLMC_DIM_SHARED_FF, LLMC_DIM_WIDTH, LLMC_NEED_SHARED_GATE_UP_FUSED,
              LLMC_DIM_SHARED_FF, LLMC_DIM_SHARED_FF_2),
    MATRIX("ffn_down_shexp.weight", LAYER(down_shared), LLMC_DIM_WIDTH, LLMC_DIM_SHARED_FF, LLMC_NEED_SHARED),
    MATRIX("ffn_gate_inp_shexp.weight", LAYER(shared_router), LLMC_DIM_NONE, LLMC_DIM_WIDTH, LLMC_NEED_SHARED_GATE),
    MATRIX("shortconv.in_proj.weight", LAYER(mixer_in), LLMC_DIM_WIDTH_3, LLMC_DIM_WIDTH, LLMC_NEED_CONV),
    VECTORS("shortconv.conv.weight", LAYER(conv), LLMC_DIM_CONV, LLMC_DIM_TAPS, LLMC_NEED_CONV),
    MATRIX("shortconv.out_proj.weight", LAYER(mixer_out), LLMC_DIM_WIDTH, LLMC_DIM_WIDTH, LLMC_NEED_CONV),
    MATRIX("ssm_in.weight", LAYER(mixer_in), LLMC_DIM_SCAN_IN, LLMC_DIM_WIDTH, LLMC_NEED_SCAN),
    VECTORS("ssm_conv1d.weight", LAYER(conv), LLMC_DIM_CONV, LLMC_DIM_TAPS, LLMC_NEED_SCAN),
    VECTOR("ssm_conv1d.bias", LAYER(conv_bias), LLMC_DIM_CONV, LLMC_NEED_SCAN_OPTIONAL),
    VECTOR("ssm_dt.bias", LAYER(dt_bias), LLMC_DIM_MIXER_HEADS, LLMC_NEED_SCAN),
    VECTORS("ssm_a", LAYER(decay), LLMC_DIM_MIXER_HEADS, LLMC_DIM_NONE, LLMC_NEED_SCAN),
    VECTORS("ssm_d", LAYER(skip), LLMC_DIM_MIXER_HEADS, LLMC_DIM_NONE, LLMC_NEED_SCAN),
    VECTORS("ssm_norm.weight", LAYER(mixer_norm), LLMC_DIM_MIXER_GROUPS, LLMC_DIM_MIXER_GROUP, LLMC_NEED_SCAN_NORM),
    MATRIX("ssm_out.weight", LAYER(mixer_out), LLMC_DIM_WIDTH, LLMC_DIM_INNER, LLMC_NEED_SCAN),
    MATRIX("attn_qkv.weight", LAYER(mixer_in), LLMC_DIM_CONV, LLMC_DIM_WIDTH, LLMC_NEED_DELTA_SPLIT),
    MATRIX("attn_gate.weight", LAYER(mixer_gate), LLMC_DIM_INNER, LLMC_DIM_WIDTH, LLMC_NEED_DELTA_SPLIT),
    MATRIX("ssm_in.weight", LAYER(mixer_in), LLMC_DIM_DELTA_IN, LLMC_DIM_WIDTH, LLMC_NEED_DELTA_JOINED),
    MATRIX("ssm_in.weight", LLMC_SLOT_NONE, LLMC_DIM_DELTA_IN, LLMC_DIM_WIDTH, LLMC_NEED_DELTA_SPARE),
    VECTORS("ssm_conv1d.weight", LAYER(conv), LLMC_DIM_CONV, LLMC_DIM_TAPS, LLMC_NEED_DELTA),
    VECTOR("ssm_dt.bias", LAYER(dt_bias), LLMC_DIM_MIXER_HEADS, LLMC_NEED_DELTA),
    VECTOR("ssm_a", LAYER(decay), LLMC_DIM_MIXER_HEADS, LLMC_NEED_DELTA),
    MATRIX("ssm_alpha.weight", LAYER(alpha), LLMC_DIM_MIXER_HEADS, LLMC_DIM_WIDTH, LLMC_NEED_DELTA_AB),
    MATRIX("ssm_beta.weight", LAYER(beta), LLMC_DIM_MIXER_HEADS, LLMC_DIM_WIDTH, LLMC_NEED_DELTA_AB),
    MATRIX("ssm_ba.weight", LAYER(beta), LLMC_DIM_MIXER_HEADS_2, LLMC_DIM_WIDTH, LLMC_NEED_DELTA_BA),
    VECTOR("ssm_norm.weight", LAYER(mixer_norm), LLMC_DIM_MIXER_STATE, LLMC_NEED_DELTA),
    MATRIX("ssm_out.weight", LAYER(mixer_out), LLMC_DIM_WIDTH, LLMC_DIM_INNER, LLMC_NEED_DELTA),
    MATRIX("ssm_in.weight", LAYER(mixer_in), LLMC_DIM_INNER_2, LLMC_DIM_WIDTH, LLMC_NEED_SELECT),
    VECTORS("ssm_conv1d.weight", LAYER(conv), LLMC_DIM_CONV, LLMC_DIM_TAPS, LLMC_NEED_SELECT),
    VECTOR("ssm_conv1d.bias", LAYER(conv_bias), LLMC_DIM_CONV, LLMC_NEED_SELECT_CHANNELS),
    MATRIX_OF("ssm_x.weight", LAYER(select_dt), LLMC_DIM_DT_RANK, LLMC_DIM_INNER, LLMC_NEED_SELECT_CHANNELS, LLMC_DIM_NONE,
              LLMC_DIM_SELECT),
    MATRIX_OF("ssm_x.weight", LAYER(select_b), LLMC_DIM_MIXER_STATE, LLMC_DIM_INNER, LLMC_NEED_SELECT_CHANNELS,
              LLMC_DIM_DT_RANK, LLMC_DIM_SELECT),
    MATRIX_OF("ssm_x.weight", LAYER(select_c), LLMC_DIM_MIXER_STATE, LLMC_DIM_INNER, LLMC_NEED_SELECT_CHANNELS,
              LLMC_DIM_DT_STATE, LLMC_DIM_SELECT),
    MATRIX_OF("ssm_x.weight", LAYER(select_b), LLMC_DIM_MIXER_STATE, LLMC_DIM_INNER, LLMC_NEED_SELECT_HEADS, LLMC_DIM_NONE,
              LLMC_DIM_SELECT),
    MATRIX_OF("ssm_x.weight", LAYER(select_c), LLMC_DIM_MIXER_STATE, LLMC_DIM_INNER, LLMC_NEED_SELECT_HEADS,
              LLMC_DIM_MIXER_STATE, LLMC_DIM_SELECT),
    MATRIX_OF("ssm_x.weight", LAYER(select_dt), LLMC_DIM_DT_RANK, LLMC_DIM_INNER, LLMC_NEED_SELECT_HEADS, LLMC_DIM_STATE_2,
              LLMC_DIM_SELECT),
    VECTOR("ssm_dt_norm.weight", LAYER(dt_norm), LLMC_DIM_DT_RANK, LLMC_NEED_SELECT_NORMS),
    VECTOR("ssm_b_norm.weight", LAYER(b_norm), LLMC_DIM_MIXER_STATE, LLMC_NEED_SELECT_NORMS),
    VECTOR("ssm_c_norm.weight", LAYER(c_norm), LLMC_DIM_MIXER_STATE, LLMC_NEED_SELECT_NORMS),
    VECTOR("ssm_dt_norm", LAYER(dt_norm), LLMC_DIM_DT_RANK, LLMC_NEED_SELECT_HEADS),
    VECTOR("ssm_b_norm", LAYER(b_norm), LLMC_DIM_MIXER_STATE, LLMC_NEED_SELECT_HEADS),
    VECTOR("ssm_c_norm", LAYER(c_norm), LLMC_DIM_MIXER_STATE, LLMC_NEED_SELECT_HEADS),
    MATRIX("ssm_dt.weight", LAYER(dt_up), LLMC_DIM_MIXER_HEADS, LLMC_DIM_DT_RANK, LLMC_NEED_SELECT),
    VECTOR("ssm_dt.bias", LAYER(dt_bias), LLMC_DIM_MIXER_HEADS, LLMC_NEED_SELECT),
    VECTORS("ssm_a", LAYER(decay), LLMC_DIM_INNER, LLMC_DIM_MIXER_STATE, LLMC_NEED_SELECT_CHANNELS),
    VECTOR("ssm_a", LAYER(decay), LLMC_DIM_MIXER_HEADS, LLMC_NEED_SELECT_HEADS),
    VECTOR("ssm_d", LAYER(skip), LLMC_DIM_MIXER_HEADS, LLMC_NEED_SELECT),
    MATRIX("ssm_out.weight", LAYER(mixer_out), LLMC_DIM_WIDTH, LLMC_DIM_INNER, LLMC_NEED_SELECT),
    MATRIX("attn_q.weight", LAYER(wq), LLMC_DIM_INNER, LLMC_DIM_WIDTH, LLMC_NEED_KDA),
    MATRIX("attn_k.weight", LAYER(wk), LLMC_DIM_INNER, LLMC_DIM_WIDTH, LLMC_NEED_KDA),
    MATRIX("attn_v.weight", LAYER(wv), LLMC_DIM_INNER, LLMC_DIM_WIDTH, LLMC_NEED_KDA),
    VECTORS("ssm_conv1d_q.weight", LAYER(conv_q), LLMC_DIM_INNER, LLMC_DIM_TAPS, LLMC_NEED_KDA),
    VECTORS("ssm_conv1d_k.weight", LAYER(conv_k), LLMC_DIM_INNER, LLMC_DIM_TAPS, LLMC_NEED_KDA),
    VECTORS("ssm_conv1d_v.weight", LAYER(conv_v), LLMC_DIM_INNER, LLMC_DIM_TAPS, LLMC_NEED_KDA),
    MATRIX("ssm_f_a.weight", LAYER(decay_in), LLMC_DIM_DT_RANK, LLMC_DIM_WIDTH, LLMC_NEED_KDA),
    MATRIX("ssm_f_b.weight", LAYER(decay_out), LLMC_DIM_INNER, LLMC_DIM_DT_RANK, LLMC_NEED_KDA),
    MATRIX("ssm_g_a.weight", LAYER(gate_in), LLMC_DIM_DT_RANK, LLMC_DIM_WIDTH, LLMC_NEED_KDA),
    MATRIX("ssm_g_b.weight", LAYER(gate_out), LLMC_DIM_INNER, LLMC_DIM_DT_RANK, LLMC_NEED_KDA),
    MATRIX("ssm_beta.weight", LAYER(beta), LLMC_DIM_MIXER_HEADS, LLMC_DIM_WIDTH, LLMC_NEED_KDA),
    VECTORS("ssm_a", LAYER(decay), LLMC_DIM_MIXER_HEADS, LLMC_DIM_NONE, LLMC_NEED_KDA),
    VECTOR("ssm_dt.bias", LAYER(dt_bias), LLMC_DIM_INNER, LLMC_NEED_KDA),
    VECTOR("ssm_norm.weight", LAYER(mixer_norm), LLMC_DIM_MIXER_STATE, LLMC_NEED_KDA),
    MATRIX("attn_output.weight", LAYER(mixer_out), LLMC_DIM_WIDTH, LLMC_DIM_INNER, LLMC_NEED_KDA),
    VECTORS("time_mix_lerp_fused.weight", LAYER(shift), LLMC_DIM_SHIFTS, LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    MATRIX("time_mix_receptance.weight", LAYER(wq), LLMC_DIM_WIDTH, LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    MATRIX("time_mix_key.weight", LAYER(wk), LLMC_DIM_WIDTH, LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    MATRIX("time_mix_value.weight", LAYER(wv), LLMC_DIM_WIDTH, LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    VECTOR("time_mix_w0.weight", LAYER(decay_bias), LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    MATRIX("time_mix_w1.weight", LAYER(decay_in), LLMC_DIM_DECAY_RANK, LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    MATRIX("time_mix_w2.weight", LAYER(decay_out), LLMC_DIM_WIDTH, LLMC_DIM_DECAY_RANK, LLMC_NEED_RWKV),
    VECTOR("time_mix_a0.weight", LAYER(rate_bias), LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    MATRIX("time_mix_a1.weight", LAYER(rate_in), LLMC_DIM_RATE_RANK, LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    MATRIX("time_mix_a2.weight", LAYER(rate_out), LLMC_DIM_WIDTH, LLMC_DIM_RATE_RANK, LLMC_NEED_RWKV),
    VECTOR("time_mix_v0.weight", LAYER(mix_bias), LLMC_DIM_WIDTH, LLMC_NEED_RWKV_MIX),
    MATRIX("time_mix_v1.weight", LAYER(mix_in), LLMC_DIM_MIX_RANK, LLMC_DIM_WIDTH, LLMC_NEED_RWKV_MIX),
    MATRIX("time_mix_v2.weight", LAYER(mix_out), LLMC_DIM_WIDTH, LLMC_DIM_MIX_RANK, LLMC_NEED_RWKV_MIX),
    VECTOR("time_mix_v0.weight", LLMC_SLOT_NONE, LLMC_DIM_WIDTH, LLMC_NEED_RWKV_SPARE),
    MATRIX("time_mix_v1.weight", LLMC_SLOT_NONE, LLMC_DIM_RATE_RANK, LLMC_DIM_WIDTH, LLMC_NEED_RWKV_SPARE),
    MATRIX("time_mix_v2.weight", LLMC_SLOT_NONE, LLMC_DIM_WIDTH, LLMC_DIM_RATE_RANK, LLMC_NEED_RWKV_SPARE),
    MATRIX("time_mix_g1.weight", LAYER(gate_in), LLMC_DIM_GATE_RANK, LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    MATRIX("time_mix_g2.weight", LAYER(gate_out), LLMC_DIM_WIDTH, LLMC_DIM_GATE_RANK, LLMC_NEED_RWKV),
    VECTOR("time_mix_k_k.weight", LAYER(removal), LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    VECTOR("time_mix_k_a.weight", LAYER(replacement), LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    VECTOR("time_mix_r_k.weight", LAYER(bonus), LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    VECTOR("time_mix_ln.weight", LAYER(mixer_norm), LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    VECTOR("time_mix_ln.bias", LAYER(mixer_norm_bias), LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    MATRIX("time_mix_output.weight", LAYER(mixer_out), LLMC_DIM_WIDTH, LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    VECTOR("channel_mix_lerp_k.weight", LAYER(ffn_shift), LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    MATRIX("channel_mix_key.weight", LAYER(w_up), LLMC_DIM_FF, LLMC_DIM_WIDTH, LLMC_NEED_RWKV),
    MATRIX("channel_mix_value.weight", LAYER(w_down), LLMC_DIM_WIDTH, LLMC_DIM_FF, LLMC_NEED_RWKV),
};

/* Left behind by converters; nothing reads them. */
static const char *const ignored_layer_tensors[] = {"attn_rot_embd", "attn_rot_embd.weight", "attn.rotary_emb.inv_freq",
                                                    "rope_freqs.weight"};

enum {
    N_GLOBAL = sizeof global_tensors / sizeof global_tensors[0],
    N_LAYER = sizeof layer_tensors / sizeof layer_tensors[0],
    N_IGNORED = sizeof ignored_layer_tensors / sizeof ignored_layer_tensors[0]
};

llmc_tensor_list llmc_global_tensors(void) {
    return (llmc_tensor_list){.rows = global_tensors, .n = N_GLOBAL};
}

llmc_tensor_list llmc_layer_tensors(void) {
    return (llmc_tensor_list){.rows = layer_tensors, .n = N_LAYER};
}

const llmc_tensor_row *llmc_rope_factors(int which) {
    return &rope_factors[which];
}

int llmc_tensor_ignored(const char *name) {
    for (size_t i = 0; i < N_IGNORED; i++) {
        if (strcmp(ignored_layer_tensors[i], name) == 0) return 1;
    }
    return 0;
}

uint32_t llmc_dim_size(const llmc_layer_facts *f, llmc_dim d) {
    const llmc_hparams *h = f->hparams;
    const llmc_layer_sizes *s = &h->sizes[f->layer];
    const uint32_t q = llmc_q_rows(h, f->layer), kv = llmc_kv_rows(h, f->layer);
#define DIM_SIZE(name, size)                                                                                                   \
    case LLMC_DIM_##name:                                                                                                      \
        return size;
    switch (d) { LLMC_EACH_DIM(DIM_SIZE) }
#undef DIM_SIZE
    return 0;
}

uint32_t llmc_tensor_first(const llmc_layer_facts *f, const llmc_tensor_row *row) {
    return row->first == LLMC_DIM_NONE ? 0 : llmc_dim_size(f, row->first);
}

uint32_t llmc_tensor_total(const llmc_layer_facts *f, const llmc_tensor_row *row) {
    if (row->total != LLMC_DIM_NONE) return llmc_dim_size(f, row->total);
    return llmc_dim_size(f, row->kind == LLMC_TENSOR_VECTOR && row->rows == LLMC_DIM_NONE ? row->cols : row->rows);
}

static llmc_presence required_if(int condition) {
    return condition ? LLMC_REQUIRED : LLMC_ABSENT;
}

static llmc_presence if_there(int condition, llmc_presence then) {
    return condition ? then : LLMC_ABSENT;
}

static const llmc_gguf_tensor *find_tensor(const llmc_gguf *gguf, uint32_t layer, const char *rest) {
    char name[NAME_SIZE];
    snprintf(name, sizeof name, "blk.%u.%s", layer, rest);
    return llmc_gguf_find_tensor(gguf, name);
}

static int has_tensor(const llmc_gguf *gguf, uint32_t layer, const char *rest) {
    return find_tensor(gguf, layer, rest) != NULL;
}

llmc_layer_facts llmc_layer_facts_of(const llmc_gguf *gguf, const llmc_hparams *h, uint32_t layer) {
    llmc_layer_facts facts = {.hparams = h, .layer = layer};
    facts.output_embeds = h->arch->output_embeds && !llmc_gguf_find_tensor(gguf, "token_embd.weight");
    const llmc_gguf_tensor *gate = h->arch->gated_output ? find_tensor(gguf, layer, "attn_gate.weight") : NULL;
    facts.gate_by_head = gate && gate->dims[1] == h->sizes[layer].n_heads;
    facts.attends = (h->layer[layer] & LLMC_LAYER_ATTENDS) != 0;
    facts.recurrent = (h->layer[layer] & LLMC_LAYER_RECURRENT) != 0;
    facts.feeds = (h->layer[layer] & LLMC_LAYER_FEEDS) != 0;
    facts.experts = facts.feeds && (h->layer[layer] & LLMC_LAYER_EXPERTS) != 0;
    facts.fused_gate_up = h->arch->fused_gate_up || (h->arch->may_fuse_gate_up && !has_tensor(gguf, layer, "ffn_gate.weight"));
    facts.fused_qkv = has_tensor(gguf, layer, "attn_qkv.weight");
    facts.joined_beta_alpha = facts.recurrent && has_tensor(gguf, layer, "ssm_ba.weight");
    facts.fused_experts = facts.experts && has_tensor(gguf, layer, "ffn_gate_up_exps.weight");
    return facts;
}

static llmc_presence ffn_norm_presence(const llmc_layer_facts *f) {
    const llmc_arch *a = f->hparams->arch;
    if (!f->feeds || a->feeding == LLMC_FEEDING_ALONE || a->bare_norms) return LLMC_ABSENT;
    if (a->pre_norm == LLMC_PRE_NORM_OPTIONAL) return LLMC_OPTIONAL;
    return required_if(a->pre_norm == LLMC_PRE_NORM_BOTH);
}

llmc_presence llmc_tensor_presence(const llmc_layer_facts *f, llmc_need needed) {
    const llmc_arch *a = f->hparams->arch;
    const llmc_layer_sizes *s = &f->hparams->sizes[f->layer];
    const llmc_presence ffn_norm = ffn_norm_presence(f);
    const llmc_presence attn_norm = f->layer == 0 && a->first_norm_optional ? LLMC_OPTIONAL : LLMC_REQUIRED;
    const llmc_head_norm kind = a->head_norm_kind;
    const llmc_mixer mixer = f->recurrent ? a->mixer : LLMC_MIXER_NONE;
    const int attends = f->attends, latent = attends && a->latent, plain = attends && !a->latent;
    const int own_kv = plain && f->layer < f->hparams->n_own_kv;
    const int idle = a->may_idle && s->n_heads == 0, instead = a->may_idle && s->n_heads > 0 && s->n_kv_heads == 0;
    const int dense = f->feeds && a->mixer != LLMC_MIXER_RWKV && (!f->experts || a->experts_beside);
    const int gated = llmc_activation_is_gated((int)f->hparams->activation);
    const int shared = f->experts && f->hparams->experts.n_ff_shared > 0, delta = mixer == LLMC_MIXER_DELTA;
    const int select = mixer == LLMC_MIXER_SELECT, by_head = mixer == LLMC_MIXER_SELECT_HEADS;
    const int rwkv = mixer == LLMC_MIXER_RWKV;
#define NEED_PRESENCE(name, presence)                                                                                          \
    case LLMC_NEED_##name:                                                                                                     \
        return presence;
    switch (needed) { LLMC_EACH_NEED(NEED_PRESENCE) }
#undef NEED_PRESENCE
    return LLMC_ABSENT;
}
