/* The activations of feed-forward networks. */
#ifndef LLMC_ACTIVATION_KIND_H
#define LLMC_ACTIVATION_KIND_H

/* silu(x) = x / (1 + exp(-x)); Phi is the normal distribution's. gelu is its approximation by tanh, as models are trained with:
 * x / (1 + exp(-2 u)) with u = sqrt(2 / pi) (x + 0.044715 x^3). */
typedef enum llmc_activation {
    LLMC_SWIGLU = 0,         /* silu(gate) * up */
    LLMC_GEGLU = 1,          /* gelu(gate) * up */
    LLMC_SWIGLU_CLAMPED = 2, /* g / (1 + exp(-1.702 g)) * (u + 1), g = min(gate, 7), u = up clamped to -7 .. 7: gpt-oss */
    LLMC_GEGLU_EXACT = 3,    /* gate * Phi(gate) * up */
    LLMC_REGLU = 4,          /* max(gate, 0) * up */
    LLMC_GELU = 5,           /* gelu(gate); up is not read, nor in what follows */
    LLMC_RELU_SQUARED = 6,   /* max(gate, 0)^2 */
    LLMC_GELU_EXACT = 7,     /* gate * Phi(gate): BERT */
    LLMC_ACTIVATIONS_KNOWN = 8,
    LLMC_XIELU = 8 /* Apertus, by numbers of its own: llmc_xielu */
} llmc_activation;

static inline int llmc_activation_is_gated(int activation) {
    return activation <= LLMC_REGLU;
}

/* above * x^2 + slope * x of an x above 0, else below * (expm1(min(x, limit)) - x) + slope * x. */
typedef struct llmc_xielu {
    float above, below, slope, limit;
} llmc_xielu;

#endif
