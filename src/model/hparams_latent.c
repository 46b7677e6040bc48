/* The numbers of latent attention. */
#include <math.h>

#include "model/hparams.h"

/* YaRN's temperature is in the scores, where other models have it in RoPE's factors. */
static void scale_latent(llmc_hparams *h) {
    llmc_rope_params *rope = &h->rope;
    float temperature = rope->attention_factor;
    if (rope->scaling == LLMC_ROPE_YARN && rope->factor > 1) {
        temperature *= 1 + 0.1f * (rope->log_multiplier > 0 ? rope->log_multiplier : 1) * logf(rope->factor);
        rope->log_multiplier = rope->log_multiplier > 0 ? 1 : 0;
    }
    h->score_scale = temperature * temperature / sqrtf((float)h->latent.key_length);
}

/* Files before 2025-04 give the lengths of heads as if they had keys and values of their own. */
static void read_lengths(llmc_key_reader *reader, llmc_hparams *h) {
    llmc_latent_params *l = &h->latent;
    llmc_read_u32(reader, "attention.key_length_mla", &l->key_length, 2, LLMC_MAX_HEAD_DIM);
    llmc_read_u32(reader, "attention.value_length_mla", &l->value_length, 1, LLMC_MAX_HEAD_DIM);
    l->joined = l->key_length == 0 && l->value_length == 0;
    if (!l->joined) {
        llmc_require_u32(reader, "attention.key_length_mla", &l->key_length, 2, LLMC_MAX_HEAD_DIM);
        llmc_require_u32(reader, "attention.value_length_mla", &l->value_length, 1, LLMC_MAX_HEAD_DIM);
        return;
    }
    l->key_length = h->head_dim;
    l->value_length = h->width / h->n_heads;
    llmc_read_u32(reader, "attention.value_length", &l->value_length, 1, LLMC_MAX_HEAD_DIM);
    h->head_dim = l->kv_rank + h->rope.n_rot;
    h->n_kv_heads = 1;
    for (uint32_t i = 0; i < h->n_layers; i++) h->sizes[i].n_kv_heads = 1;
}

/* The cache holds the latent vector and the part of a key that turns, once for all heads. */
void llmc_read_latent(llmc_key_reader *reader, llmc_hparams *h) {
    llmc_latent_params *l = &h->latent;
    if (!h->arch->latent) return;
    llmc_require_u32(reader, "attention.kv_lora_rank", &l->kv_rank, 1, LLMC_MAX_HEAD_DIM);
    llmc_read_u32(reader, "attention.q_lora_rank", &l->q_rank, 0, LLMC_MAX_WIDTH);
    read_lengths(reader, h);
    if (reader->status != LLMCALL_OK) return;
    scale_latent(h);
    if (h->rope.n_rot >= l->key_length) {
        llmc_key_of(reader, l->joined ? "attention.key_length" : "attention.key_length_mla");
        llmc_fail_u32(reader, l->key_length, "more than rope.dimension_count");
    } else if (h->n_kv_heads != 1 || h->head_dim != l->kv_rank + h->rope.n_rot || h->head_dim > LLMC_MAX_HEAD_DIM) {
        llmc_key_of(reader, "attention.key_length");
        llmc_fail_u32(reader, h->head_dim, "one KV head of attention.kv_lora_rank and rope.dimension_count together");
    } else if (l->value_length > h->head_dim) { /* values take the place of queries */
        llmc_key_of(reader, "attention.value_length_mla");
        llmc_fail_u32(reader, l->value_length, "at most attention.key_length");
    }
}
