/* Which layers are recurrent, their numbers, and where layers keep what later tokens read. */
#include "backend/backend.h"
#include "model/hparams.h"

static void mark_recurrent(llmc_key_reader *reader, llmc_hparams *h) {
    uint32_t interval = h->n_layers + 1;
    if (h->arch->recurrence == LLMC_RECURRENT_WITHOUT_HEADS) return;
    if (h->arch->recurrence == LLMC_RECURRENT_BY_KEY) {
        if (llmc_mark_by_array(reader, "attention.recurrent_layers", h, LLMC_LAYER_RECURRENT)) return;
        interval = 4;
        llmc_read_u32(reader, "full_attention_interval", &interval, 1, LLMC_MAX_LAYERS);
    }
    for (uint32_t i = 0; i < h->n_layers; i++) {
        if ((i + 1) % interval != 0) h->layer[i] |= LLMC_LAYER_RECURRENT;
    }
}

/* What is neither recurrent nor a feed-forward alone attends. */
static void mark_attending(llmc_hparams *h) {
    for (uint32_t i = 0; i < h->n_layers; i++) {
        int alone = h->arch->feeding == LLMC_FEEDING_ALONE && h->layer[i] & LLMC_LAYER_FEEDS;
        int beside = h->arch->recurrence == LLMC_RECURRENT_BESIDE;
        int idle = h->arch->may_idle && h->sizes[i].n_kv_heads == 0;
        if (alone) h->layer[i] &= (uint8_t)~LLMC_LAYER_RECURRENT;
        else if (!idle && (beside || !(h->layer[i] & LLMC_LAYER_RECURRENT))) h->layer[i] |= LLMC_LAYER_ATTENDS;
    }
}

void llmc_hparams_place_layers(llmc_hparams *h, int windows_apart) {
    uint16_t n_recurrent = 0, n_rows[2] = {0}; /* those in the first store, and in that of layers with a window */
    h->windows_apart = windows_apart;
    for (uint32_t i = 0; i < h->n_layers; i++) {
        int apart = windows_apart && h->layer[i] & LLMC_LAYER_WINDOW, attends = h->layer[i] & LLMC_LAYER_ATTENDS;
        if (h->layer[i] & LLMC_LAYER_RECURRENT) h->state_place[i] = n_recurrent++;
        if (attends) h->place[i] = llmc_stores_kv(h, i) ? n_rows[apart]++ : h->place[llmc_kv_source(h, i)];
    }
    h->recurrent.n_layers = n_recurrent;
    h->n_kv_layers = n_rows[0];
    h->n_window_layers = n_rows[1];
}

/* What divides what where a state has heads. */
static void check_recurrent_heads(llmc_key_reader *reader, const llmc_hparams *h) {
    const llmc_recurrent_params *r = &h->recurrent;
    int delta = r->mixer == LLMC_MIXER_DELTA;
    if (reader->status != LLMCALL_OK) return;
    llmc_key_of(reader, "ssm.time_step_rank");
    if (r->inner % r->n_heads) llmc_fail_u32(reader, r->n_heads, "a divisor of ssm.inner_size");
    else if (r->n_heads % r->n_groups) llmc_fail_u32(reader, r->n_heads, "a multiple of ssm.group_count");
    else if (delta && r->inner / r->n_heads != r->state_size) {
        llmc_key_of(reader, "ssm.state_size");
        llmc_fail_u32(reader, r->state_size, "ssm.inner_size / ssm.time_step_rank");
    }
}

static void read_heads(llmc_key_reader *reader, llmc_hparams *h) {
    llmc_recurrent_params *r = &h->recurrent;
    uint32_t max_state = r->mixer == LLMC_MIXER_DELTA ? LLMC_MAX_DELTA_KEY : LLMC_MAX_STATE;
    llmc_require_u32(reader, "ssm.inner_size", &r->inner, 1, LLMC_MAX_WIDTH);
    llmc_require_u32(reader, "ssm.state_size", &r->state_size, 1, max_state);
    llmc_require_u32(reader, "ssm.time_step_rank", &r->n_heads, 1, LLMC_MAX_HEADS);
    if (r->mixer == LLMC_MIXER_SELECT_HEADS) { /* the files have 0 groups */
        r->n_groups = 1;
        r->dt_rank = h->width / 16 > 64 ? h->width / 16 : 64;
    } else {
        llmc_require_u32(reader, "ssm.group_count", &r->n_groups, 1, LLMC_MAX_HEADS);
    }
    check_recurrent_heads(reader, h);
}

static void read_channels(llmc_key_reader *reader, llmc_hparams *h) {
    llmc_recurrent_params *r = &h->recurrent;
    llmc_require_u32(reader, "ssm.inner_size", &r->inner, 1, LLMC_MAX_WIDTH);
    llmc_require_u32(reader, "ssm.state_size", &r->state_size, 1, LLMC_MAX_CHANNEL_STATE);
    llmc_require_u32(reader, "ssm.time_step_rank", &r->dt_rank, 1, LLMC_MAX_WIDTH);
    llmc_read_bool(reader, "ssm.dt_b_c_rms", &r->bare_norms);
    r->n_heads = r->inner;
    r->n_groups = 1;
}

static void read_kda(llmc_key_reader *reader, llmc_hparams *h) {
    llmc_recurrent_params *r = &h->recurrent;
    llmc_require_u32(reader, "kda.head_dim", &r->state_size, 1, LLMC_MAX_DELTA_KEY);
    r->n_heads = r->n_groups = h->n_heads;
    r->inner = r->n_heads * r->state_size;
    r->dt_rank = r->state_size;
    if (reader->status == LLMCALL_OK && (r->inner == 0 || r->inner > LLMC_MAX_WIDTH)) {
        llmc_fail_u32(reader, r->state_size, "a size with which all heads together are not too wide");
    }
}

static void read_rwkv(llmc_key_reader *reader, llmc_hparams *h) {
    static const char *const names[LLMC_RWKV_RANKS] = {"attention.decay_lora_rank", "attention.iclr_lora_rank",
                                                       "attention.value_residual_mix_lora_rank", "attention.gate_lora_rank"};
    llmc_recurrent_params *r = &h->recurrent;
    llmc_require_u32(reader, "wkv.head_size", &r->state_size, 1, LLMC_MAX_WKV);
    if (reader->status == LLMCALL_OK && h->width % r->state_size)
        llmc_fail_u32(reader, r->state_size, "a divisor of embedding_length");
    for (int i = 0; i < LLMC_RWKV_RANKS; i++) llmc_require_u32(reader, names[i], &r->ranks[i], 1, h->width);
    if (reader->status != LLMCALL_OK) return;
    r->inner = h->width;
    r->n_heads = r->n_groups = h->width / r->state_size;
}

/* Newer files may have one; it must not be computed as if it had none. */
static void refuse_windows(llmc_key_reader *reader) {
    uint32_t window = 0;
    llmc_read_u32(reader, "attention.sliding_window", &window, 0, UINT32_MAX);
    if (reader->status == LLMCALL_OK && window > 0) {
        reader->status = llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                                   "%s is %u; windows beside recurrent layers are not supported.", reader->key, window);
    }
}

void llmc_read_recurrent(llmc_key_reader *reader, llmc_hparams *h) {
    llmc_recurrent_params *r = &h->recurrent;
    if (h->arch->mixer != LLMC_MIXER_NONE) mark_recurrent(reader, h);
    mark_attending(h);
    llmc_hparams_place_layers(h, 0);
    if (r->n_layers == 0) return;
    r->mixer = h->arch->mixer;
    const char *taps = r->mixer == LLMC_MIXER_CONV ? "shortconv.l_cache" : "ssm.conv_kernel";
    if (r->mixer != LLMC_MIXER_RWKV) llmc_require_u32(reader, taps, &r->n_taps, LLMC_MIN_TAPS, LLMC_MAX_TAPS);
    refuse_windows(reader);
    switch (r->mixer) {
    case LLMC_MIXER_NONE:
    case LLMC_MIXER_CONV:
        break;
    case LLMC_MIXER_SCAN:
    case LLMC_MIXER_DELTA:
    case LLMC_MIXER_SELECT_HEADS:
        read_heads(reader, h);
        break;
    case LLMC_MIXER_SELECT:
        read_channels(reader, h);
        break;
    case LLMC_MIXER_RWKV:
        read_rwkv(reader, h);
        break;
    case LLMC_MIXER_KDA:
        read_kda(reader, h);
        break;
    }
}
