/* The forward pass of a decoder, once for every device: a step as a list of operations over the activations below. */
#ifndef LLMC_FORWARD_H
#define LLMC_FORWARD_H

#include "model/weights.h"

enum { LLMC_ACTIVATIONS = 26 };

/* Device arrays, rows are tokens of the step (T at most) or rows whose logits are wanted (R at most). q = n_heads * head_dim,
 * kv = n_kv_heads * head_dim. Those that a model does not use have one element. */
typedef union llmc_activations {
    struct {
        float *x;             /* (T, width) the residual stream; of AltUp (4, T, width) what is predicted of each */
        float *angles;        /* (T, n_rot / 2, 2) cos and sin */
        float *window_angles; /* the same for layers with a window */
        float *q;             /* (T, q) */
        float *k, *v;         /* (T, kv) */
        float *attended;      /* (T, q) */
        float *recurred;      /* (T, mixer width) what a recurrent layer puts out */
        float *gate, *up;     /* (T, n_ff), or (T * n_used, n_ff of experts) by slot */
        float *normed;        /* (T, width) what router and experts read */
        float *branch;        /* (T, width) what is added to x, where it is normed or scaled first */
        float *sum;           /* (T, width) what is added up, or kept, beside x */
        float *streams;       /* of AltUp, see streams.c */
        float *layer_inputs;  /* (T, n_layers, layer_embedding) a token's embedding in each layer */
        float *layer_proj;    /* the same, of what is added to it */
        float *router;        /* (T, n_experts) */
        float *routes;        /* llmc_routes_floats */
        float *narrow;        /* (T, experts' width) where that is not x's */
        float *expert_rows;   /* (T * n_used, experts' width) by slot */
        float *latent;        /* (T, q_rank), (T, kv_rank + n_rot), (T, n_heads * key_length): see latent.c */
        float *mixed;         /* of recurrent layers, see mixer_*.c; queries and their gates (T, n_heads, 2, head_dim) */
        float *x_out;         /* (R, width) */
        float *attended_out;  /* (R, q) */
        float *recurred_out;  /* (R, mixer width) */
        float *logits;        /* (R, n_vocab) */
    };
    float *array[LLMC_ACTIVATIONS];
} llmc_activations;

/* How many floats each of them has, in their order. */
void llmc_activations_sizes(const llmc_hparams *hparams, uint32_t max_tokens, uint32_t max_rows,
                            size_t sizes[LLMC_ACTIVATIONS]);

size_t llmc_streams_floats(const llmc_hparams *hparams, size_t n_tokens);

typedef struct llmc_forward_parts {
    const llmc_hparams *hparams;
    const llmc_weights *weights;
    const llmc_activations *activations;
    llmc_kv_store *kv;
    llmc_kv_store *window_kv; /* of layers with a window, where those are apart */
    llmc_state_store *states;
} llmc_forward_parts;

uint32_t llmc_forward_max_ops(uint32_t n_layers);
uint32_t llmc_forward_max_width(const llmc_hparams *hparams); /* of any operation's input */

/* Writes the operations of a step of n_tokens tokens, of which n_outputs want logits; returns their count. With hidden, x holds
 * all tokens' rows behind the final norm afterwards. */
uint32_t llmc_forward(const llmc_forward_parts *parts, uint32_t n_tokens, uint32_t n_outputs, int hidden, llmc_op *ops);

#endif
