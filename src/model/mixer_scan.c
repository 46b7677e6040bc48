/* Mamba-2: a state of (state_size, head_dim) a head, which decays at a rate that each token sets.
 *
 *     z, xbc, dt = norm(x) . in                   (T, inner), (T, channels), (T, heads)
 *     x', b, c = silu(conv(xbc))                  (T, inner), (T, groups * state_size) twice
 *     mixed = norm of groups(silu(z) * scan)      (T, inner)
 */
#include "model/op_writer.h"
#include "model/recurrent.h"

static void add_scan(llmc_op_writer *w, uint32_t layer, const float *projected, const float *convolved) {
    const llmc_layer *l = &w->parts->weights->layers[layer];
    const llmc_recurrent_params *r = &w->h->recurrent;
    llmc_state_place state = llmc_state_of(w, layer);
    state.offset += llmc_window_floats(w->h);
    llmc_write_op(w, LLMC_OP_SCAN)->u.scan = (llmc_op_scan){.state = state,
                                                            .n_heads = r->n_heads,
                                                            .head_dim = r->inner / r->n_heads,
                                                            .state_size = r->state_size,
                                                            .n_groups = r->n_groups,
                                                            .x = convolved,
                                                            .b = convolved + r->inner,
                                                            .c = convolved + r->inner + r->n_groups * r->state_size,
                                                            .z = projected,
                                                            .dt = projected + r->inner + llmc_conv_channels(w->h),
                                                            .x_row = llmc_conv_channels(w->h),
                                                            .z_row = llmc_scan_row(w->h),
                                                            .bc_row = llmc_conv_channels(w->h),
                                                            .dt_row = llmc_scan_row(w->h),
                                                            .dt_bias = l->dt_bias,
                                                            .a = l->decay,
                                                            .d = l->skip,
                                                            .dst = w->a->recurred};
}

void llmc_write_scan(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens) {
    const llmc_layer *l = &w->parts->weights->layers[layer];
    const llmc_recurrent_params *r = &w->h->recurrent;
    uint32_t row = llmc_scan_row(w->h);
    float *projected = w->a->mixed, *convolved = projected + (size_t)n_tokens * row;
    llmc_op_matmul *m = llmc_write_matmul(w, n_tokens, w->h->width, w->a->x);
    llmc_norm_input(w, m, l->attn_norm, NULL);
    llmc_add_part(m, l->mixer_in, NULL, projected);
    llmc_write_op(w, LLMC_OP_CONV)->u.conv = (llmc_op_conv){.state = llmc_state_of(w, layer),
                                                            .n_channels = llmc_conv_channels(w->h),
                                                            .n_taps = r->n_taps,
                                                            .row = row,
                                                            .x = projected + r->inner,
                                                            .weight = l->conv,
                                                            .bias = l->conv_bias,
                                                            .silu = 1,
                                                            .dst = convolved};
    add_scan(w, layer, projected, convolved);
    if (!l->mixer_norm) return;
    llmc_write_op(w, LLMC_OP_GROUP_NORM)->u.group_norm = (llmc_op_group_norm){.n_rows = n_tokens,
                                                                              .n_groups = r->n_groups,
                                                                              .width = r->inner / r->n_groups,
                                                                              .src = w->a->recurred,
                                                                              .weight = l->mixer_norm,
                                                                              .eps = w->h->norm_eps,
                                                                              .dst = w->a->recurred};
}
