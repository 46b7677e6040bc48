/* The numbers of layers with experts. */
#include <stdio.h>

#include "backend/backend.h"
#include "model/hparams.h"

/* A layer has experts if it has a router: leading layers and every second one may have none. */
static void mark_experts(const llmc_gguf *gguf, llmc_hparams *h) {
    char name[LLMC_KEY_SIZE];
    for (uint32_t i = 0; i < h->n_layers; i++) {
        snprintf(name, sizeof name, "blk.%u.ffn_gate_inp.weight", i);
        if (h->arch->experts == LLMC_REQUIRED || llmc_gguf_find_tensor(gguf, name)) h->layer[i] |= LLMC_LAYER_EXPERTS;
    }
}

/* The first files of GLM-4.7 Flash do not say that their routers are sigmoids. */
static uint32_t default_gating(llmc_key_reader *reader, const llmc_hparams *h) {
    uint32_t n_vocab = 0;
    if (h->arch->latent && (h->n_layers == 47 || h->n_layers == 48)) {
        llmc_read_u32(reader, "vocab_size", &n_vocab, 1, LLMC_MAX_VOCAB);
    }
    return n_vocab == 154880 ? LLMC_GATE_SIGMOID : h->arch->experts_gating;
}

static void read_gating(llmc_key_reader *reader, llmc_hparams *h) {
    llmc_expert_params *e = &h->experts;
    uint32_t by_default = default_gating(reader, h), gating = by_default;
    int found = 0;
    llmc_read_u32(reader, "expert_gating_func", &gating, 0, 4);
    if (gating == 0) gating = by_default;
    if (gating == 4 && reader->status == LLMCALL_OK) {
        reader->status = llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                                   "%s is 4 (sqrt of softplus), which is not supported.", reader->key);
    }
    e->gating = (int)gating;
    e->normalize = !h->arch->experts_unnormalized;
    llmc_read_bool(reader, "expert_weights_norm", &e->normalize);
    e->scale = 1;
    llmc_read_f32(reader, "expert_weights_scale", &e->scale, 0.0f, 1e6f, &found);
    if (e->scale == 0) e->scale = 1;
    e->n_groups = e->n_groups_used = 1;
    llmc_read_u32(reader, "expert_group_count", &e->n_groups, 0, e->n);
    llmc_read_u32(reader, "expert_group_used_count", &e->n_groups_used, 0, e->n_groups);
    if (reader->status == LLMCALL_OK && e->n_groups > 1 &&
        (e->n % e->n_groups || e->n / e->n_groups * e->n_groups_used < e->n_used)) {
        llmc_key_of(reader, "expert_group_count");
        llmc_fail_u32(reader, e->n_groups, "groups of equal size that hold enough experts");
    }
}

static void read_shared(llmc_key_reader *reader, llmc_hparams *h) {
    llmc_expert_params *e = &h->experts;
    uint32_t count = h->arch->shared_expert, length = h->arch->ff_of_used && h->arch->shared_gate ? h->n_ff : 0;
    llmc_read_u32(reader, "expert_shared_count", &count, 0, LLMC_MAX_EXPERTS);
    llmc_read_u32(reader, "expert_shared_feed_forward_length", &length, 0, LLMC_MAX_FF);
    int whole = length > 0 && !h->arch->shared_length_each;
    uint64_t all = whole ? length : (uint64_t)count * (length ? length : e->n_ff);
    e->sum_scale = h->arch->shared_mean && all > 0 ? 0.5f : 1;
    if (reader->status == LLMCALL_OK) e->n_ff_shared = all < LLMC_MAX_FF ? (uint32_t)all : LLMC_MAX_FF;
}

/* Architectures without experts ignore the count: a file that had some would have tensors that are refused. */
void llmc_read_experts(llmc_key_reader *reader, llmc_hparams *h) {
    llmc_expert_params *e = &h->experts;
    if (h->arch->experts == LLMC_ABSENT) return;
    if (h->arch->experts == LLMC_REQUIRED) llmc_require_u32(reader, "expert_count", &e->n, 1, LLMC_MAX_EXPERTS);
    llmc_read_u32(reader, "expert_count", &e->n, 0, LLMC_MAX_EXPERTS);
    if (reader->status != LLMCALL_OK || e->n == 0) return;
    llmc_require_u32(reader, "expert_used_count", &e->n_used, 1, e->n);
    if (reader->status != LLMCALL_OK) return;
    e->n_ff = h->arch->ff_of_used ? h->n_ff / e->n_used : h->n_ff;
    e->width = h->width;
    if (h->arch->experts_narrow) llmc_read_u32(reader, "moe_latent_size", &e->width, 1, h->width);
    llmc_read_u32_or_array(reader, "expert_feed_forward_length", &e->n_ff, h->n_layers + h->n_extra_layers, 1, LLMC_MAX_FF,
                           NULL);
    if (reader->status == LLMCALL_OK && e->n_ff == 0) llmc_fail_missing(reader);
    if (reader->status != LLMCALL_OK) return;
    read_shared(reader, h);
    read_gating(reader, h);
    if (reader->status == LLMCALL_OK) mark_experts(reader->gguf, h);
}
