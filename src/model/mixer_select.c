/* Mixers whose b, c and dt come from what was convolved, by matrices of their own: the first Mamba, with a decay for every number
 * of the state and a dt for every channel (Mamba, Jamba), and PLaMo-2's, whose state is Mamba-2's.
 *
 *     x, z = norm(x) . in                         (T, inner) each; PLaMo-2: by head, z first
 *     x = silu(conv(x))
 *     dt, b, c = x . select                       (T, dt_rank), (T, state_size) twice; each normed, if there are weights for it
 *     mixed = silu(z) * scan of x, b, c and dt . up
 */
#include "model/op_writer.h"
#include "model/recurrent.h"

typedef struct select_arrays {
    float *joined; /* (T, 2 * inner) */
    float *x, *z;  /* (inner), row floats from token to token */
    uint32_t row;
    float *convolved; /* (T, inner) */
    float *low;       /* (T, dt_rank) */
    float *b, *c;     /* (T, state_size) */
    float *dt;        /* (T, heads) */
} select_arrays;

static int by_head(const llmc_op_writer *w) {
    return w->h->recurrent.mixer == LLMC_MIXER_SELECT_HEADS;
}

static select_arrays arrays_of(const llmc_op_writer *w, uint32_t n_tokens) {
    const llmc_recurrent_params *r = &w->h->recurrent;
    size_t t = n_tokens, inner = r->inner;
    select_arrays a = {.joined = w->a->mixed, .x = w->a->mixed, .z = w->a->mixed + inner, .row = 2 * r->inner};
    a.convolved = a.joined + 2 * t * inner;
    a.low = a.convolved + t * inner;
    a.b = a.low + t * r->dt_rank;
    a.c = a.b + t * r->state_size;
    a.dt = a.c + t * r->state_size;
    if (!by_head(w)) return a;
    a.x = a.dt + t * r->n_heads;
    a.z = a.x + t * inner;
    a.row = r->inner;
    return a;
}

static void take_heads(llmc_op_writer *w, uint32_t n_tokens, const float *src, float *dst) {
    const llmc_recurrent_params *r = &w->h->recurrent;
    uint32_t dim = r->inner / r->n_heads;
    llmc_write_op(w, LLMC_OP_BLOCKS)->u.blocks = (llmc_op_blocks){.n_rows = n_tokens,
                                                                  .n_blocks = r->n_heads,
                                                                  .block = dim,
                                                                  .src = src,
                                                                  .src_row = 2 * r->inner,
                                                                  .src_step = 2 * dim,
                                                                  .dst = dst,
                                                                  .dst_row = r->inner,
                                                                  .dst_step = dim};
}

static void add_conv(llmc_op_writer *w, uint32_t layer, const select_arrays *a, uint32_t n_tokens) {
    const llmc_layer *l = &w->parts->weights->layers[layer];
    const llmc_recurrent_params *r = &w->h->recurrent;
    llmc_op_matmul *m = llmc_write_matmul(w, n_tokens, w->h->width, w->a->x);
    llmc_norm_input(w, m, l->attn_norm, NULL);
    llmc_add_part(m, l->mixer_in, NULL, a->joined);
    if (by_head(w)) {
        take_heads(w, n_tokens, a->joined + r->inner / r->n_heads, a->x);
        take_heads(w, n_tokens, a->joined, a->z);
    }
    llmc_write_op(w, LLMC_OP_CONV)->u.conv = (llmc_op_conv){.state = llmc_state_of(w, layer),
                                                            .n_channels = r->inner,
                                                            .n_taps = r->n_taps,
                                                            .row = a->row,
                                                            .x = a->x,
                                                            .weight = l->conv,
                                                            .bias = l->conv_bias,
                                                            .silu = 1,
                                                            .dst = a->convolved};
}

static void add_select(llmc_op_writer *w, const llmc_layer *l, const select_arrays *a, uint32_t n_tokens) {
    const llmc_recurrent_params *r = &w->h->recurrent;
    const float *ones = r->bare_norms ? w->parts->weights->ones : NULL;
    const float *b_norm = l->b_norm ? l->b_norm : ones, *c_norm = l->c_norm ? l->c_norm : ones;
    llmc_op_matmul *m = llmc_write_matmul(w, n_tokens, r->inner, a->convolved);
    llmc_add_part(m, l->select_dt, NULL, a->low);
    llmc_add_part(m, l->select_b, NULL, a->b);
    llmc_add_part(m, l->select_c, NULL, a->c);
    if (b_norm) (void)llmc_write_norm(w, n_tokens, r->state_size, b_norm, NULL, a->b, a->b);
    if (c_norm) (void)llmc_write_norm(w, n_tokens, r->state_size, c_norm, NULL, a->c, a->c);
    m = llmc_write_matmul(w, n_tokens, r->dt_rank, a->low);
    llmc_norm_input(w, m, l->dt_norm ? l->dt_norm : ones, NULL);
    llmc_add_part(m, l->dt_up, NULL, a->dt);
}

static void add_scan(llmc_op_writer *w, const llmc_layer *l, llmc_state_place state, const select_arrays *a) {
    const llmc_recurrent_params *r = &w->h->recurrent;
    llmc_write_op(w, LLMC_OP_SCAN)->u.scan = (llmc_op_scan){.state = state,
                                                            .n_heads = r->n_heads,
                                                            .head_dim = r->inner / r->n_heads,
                                                            .state_size = r->state_size,
                                                            .n_groups = 1,
                                                            .x = a->convolved,
                                                            .b = a->b,
                                                            .c = a->c,
                                                            .z = a->z,
                                                            .dt = a->dt,
                                                            .x_row = r->inner,
                                                            .z_row = a->row,
                                                            .bc_row = r->state_size,
                                                            .dt_row = r->n_heads,
                                                            .dt_bias = l->dt_bias,
                                                            .a = l->decay,
                                                            .d = l->skip,
                                                            .dst = w->a->recurred};
}

static void add_channel_scan(llmc_op_writer *w, const llmc_layer *l, llmc_state_place state, const select_arrays *a) {
    const llmc_recurrent_params *r = &w->h->recurrent;
    llmc_write_op(w, LLMC_OP_CHANNEL_SCAN)->u.channel_scan = (llmc_op_channel_scan){.state = state,
                                                                                    .n_channels = r->inner,
                                                                                    .state_size = r->state_size,
                                                                                    .x = a->convolved,
                                                                                    .b = a->b,
                                                                                    .c = a->c,
                                                                                    .z = a->z,
                                                                                    .dt = a->dt,
                                                                                    .x_row = r->inner,
                                                                                    .z_row = a->row,
                                                                                    .bc_row = r->state_size,
                                                                                    .dt_row = r->inner,
                                                                                    .dt_bias = l->dt_bias,
                                                                                    .a = l->decay,
                                                                                    .d = l->skip,
                                                                                    .dst = w->a->recurred};
}

void llmc_write_select(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens) {
    const llmc_layer *l = &w->parts->weights->layers[layer];
    select_arrays a = arrays_of(w, n_tokens);
    llmc_state_place state = llmc_state_of(w, layer);
    state.offset += llmc_window_floats(w->h);
    add_conv(w, layer, &a, n_tokens);
    add_select(w, l, &a, n_tokens);
    if (by_head(w)) add_scan(w, l, state, &a);
    else add_channel_scan(w, l, state, &a);
}
