/* The activations of feed-forward networks. */
#ifndef LLMC_ACTIVATION_KIND_H
#define LLMC_ACTIVATION_KIND_H

/* silu(x) = x / (1 + exp(-x)). gelu is its approximation by tanh, as models are trained with: x / (1 + exp(-2 u)) with
 * u = sqrt(2 / pi) (x + 0.044715 x^3). */
typedef enum llmc_activation {
    LLMC_SWIGLU = 0,         /* silu(gate) * up */
    LLMC_GEGLU = 1,          /* gelu(gate) * up */
    LLMC_SWIGLU_CLAMPED = 2, /* g / (1 + exp(-1.702 g)) * (u + 1), g = min(gate, 7), u = up clamped to -7 .. 7: gpt-oss */
    LLMC_GELU = 3,           /* gelu(gate); up is not read, nor in what follows */
    LLMC_RELU_SQUARED = 4,   /* max(gate, 0)^2 */
    LLMC_GELU_EXACT = 5,     /* gate * Phi(gate), the normal distribution's: BERT */
    LLMC_ACTIVATIONS_KNOWN = 6
} llmc_activation;

static inline int llmc_activation_is_gated(int activation) {
    return activation <= LLMC_SWIGLU_CLAMPED;
}

#endif
