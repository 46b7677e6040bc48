/* LFM2's short convolution: a layer whose state is its last few inputs.
 *
 *     b, c, v = norm(x) . in                      (T, width) each
 *     mixed = c * conv(b * v)                     (T, width)
 */
#include "model/op_writer.h"

void llmc_write_conv(llmc_op_writer *w, uint32_t layer, uint32_t n_tokens) {
    const llmc_layer *l = &w->parts->weights->layers[layer];
    uint32_t width = w->h->width;
    llmc_op_matmul *m = llmc_write_matmul(w, n_tokens, width, w->a->x);
    llmc_norm_input(w, m, l->attn_norm, NULL);
    llmc_add_part(m, l->mixer_in, NULL, w->a->mixed);
    llmc_write_op(w, LLMC_OP_CONV)->u.conv = (llmc_op_conv){.state = llmc_state_of(w, layer),
                                                            .n_channels = width,
                                                            .n_taps = w->h->recurrent.n_taps,
                                                            .row = 3 * width,
                                                            .x = w->a->mixed + 2 * (size_t)width,
                                                            .times = w->a->mixed,
                                                            .gate = w->a->mixed + width,
                                                            .weight = l->conv,
                                                            .dst = w->a->recurred};
}
