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

static uint16_t *count_of_kind(llmc_hparams *h, uint16_t counts[3], uint32_t layer) {
    if (h->layer[layer] & LLMC_LAYER_RECURRENT) return &counts[0];
    return &counts[h->windows_apart && h->layer[layer] & LLMC_LAYER_WINDOW ? 2 : 1];
}

void llmc_hparams_place_layers(llmc_hparams *h, int windows_apart) {
    uint16_t counts[3] = {0}; /* recurrent, in the first store, in that of layers with a window */
    h->windows_apart = windows_apart;
    for (uint32_t i = 0; i < h->n_layers; i++) h->place[i] = (*count_of_kind(h, counts, i))++;
    h->recurrent.n_layers = counts[0];
    h->n_kv_layers = counts[1];
    h->n_window_layers = counts[2];
}

/* What divides what in Mamba-2 and in the delta rule. */
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
    llmc_hparams_place_layers(h, 0);
    if (r->n_layers == 0) return;
    r->mixer = h->arch->mixer;
    const char *taps = r->mixer == LLMC_MIXER_CONV ? "shortconv.l_cache" : "ssm.conv_kernel";
    llmc_require_u32(reader, taps, &r->n_taps, LLMC_MIN_TAPS, LLMC_MAX_TAPS);
    refuse_windows(reader);
    if (r->mixer == LLMC_MIXER_CONV) return;
    llmc_require_u32(reader, "ssm.inner_size", &r->inner, 1, LLMC_MAX_WIDTH);
    llmc_require_u32(reader, "ssm.state_size", &r->state_size, 1,
                     r->mixer == LLMC_MIXER_DELTA ? LLMC_MAX_DELTA_KEY : LLMC_MAX_STATE);
    llmc_require_u32(reader, "ssm.time_step_rank", &r->n_heads, 1, LLMC_MAX_HEADS);
    llmc_require_u32(reader, "ssm.group_count", &r->n_groups, 1, LLMC_MAX_HEADS);
    check_recurrent_heads(reader, h);
}
