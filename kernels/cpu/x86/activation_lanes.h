/* Activations in LANES lanes: one text for both widths. A tier includes its lanes before it, and afterwards fills its table by
 * fill. */
#define INLINE static inline __attribute__((always_inline))

INLINE vector clamped(vector gate, vector up) {
    const vector limit = OP(set1)(LLMC_CLAMPED_LIMIT), one = OP(set1)(1.0f);
    vector g = OP(min)(limit, gate), u = OP(max)(OP(set1)(-LLMC_CLAMPED_LIMIT), OP(min)(limit, up));
    vector e = LANES_(exp)(OP(mul)(g, OP(set1)(-LLMC_CLAMPED_ALPHA)));
    return OP(mul)(OP(div)(g, OP(add)(one, e)), OP(add)(u, one));
}

INLINE vector apply(const llmc_activation activation, vector gate, vector up) {
    switch (activation) {
    case LLMC_SWIGLU:
        return OP(mul)(LANES_(silu)(gate), up);
    case LLMC_GEGLU:
        return OP(mul)(LANES_(gelu)(gate), up);
    case LLMC_SWIGLU_CLAMPED:
        return clamped(gate, up);
    case LLMC_GEGLU_EXACT:
        return OP(mul)(LANES_(gelu_exact)(gate), up);
    case LLMC_REGLU:
        return LANES_(where_less)(gate, OP(set1)(0.0f), OP(set1)(0.0f), OP(mul)(gate, up));
    case LLMC_RELU_SQUARED:
        return LANES_(where_less)(gate, OP(set1)(0.0f), OP(set1)(0.0f), OP(mul)(gate, gate));
    case LLMC_GELU_EXACT:
        return LANES_(gelu_exact)(gate);
    default:
        return LANES_(gelu)(gate);
    }
}

/* Whole vectors without a mask, which is slow to store by on some machines. */
INLINE void every(const llmc_activation activation, const float *gate, const float *up, uint32_t n, float *y) {
    const int gated = llmc_activation_is_gated(activation);
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vector second = gated ? OP(loadu)(up + i) : OP(set1)(0.0f);
        OP(storeu)(y + i, apply(activation, OP(loadu)(gate + i), second));
    }
    if (i == n) return;
    lanes there = first_lanes(n - i);
    vector second = gated ? load(up + i, there) : OP(set1)(0.0f);
    store(y + i, there, apply(activation, load(gate + i, there), second));
}

#define EVERY(name, activation)                                                                                                \
    static void name(const float *gate, const float *up, uint32_t n, float *y) {                                               \
        every(activation, gate, up, n, y);                                                                                     \
    }
EVERY(swiglu, LLMC_SWIGLU)
EVERY(geglu, LLMC_GEGLU)
EVERY(geglu_exact, LLMC_GEGLU_EXACT)
EVERY(swiglu_clamped, LLMC_SWIGLU_CLAMPED)
EVERY(gelu, LLMC_GELU)
EVERY(reglu, LLMC_REGLU)
EVERY(relu_squared, LLMC_RELU_SQUARED)
EVERY(gelu_exact, LLMC_GELU_EXACT)

static void xielu(const float *from, const llmc_xielu *numbers, uint32_t n, float *y) {
    const vector above = OP(set1)(numbers->above), below = OP(set1)(numbers->below);
    const vector slope = OP(set1)(numbers->slope), limit = OP(set1)(numbers->limit);
    for (uint32_t i = 0; i < n; i += LANES) {
        lanes there = first_lanes(n - i);
        vector x = load(from + i, there);
        vector right = OP(mul)(OP(mul)(above, x), x);
        vector left = OP(mul)(OP(sub)(LANES_(expm1_down)(OP(min)(x, limit)), x), below);
        store(y + i, there, OP(add)(LANES_(where_less)(OP(set1)(0.0f), x, right, left), OP(mul)(slope, x)));
    }
}

static void soft_cap(float *x, uint32_t n, float cap) {
    const vector factor = OP(set1)(cap);
    for (uint32_t i = 0; i < n; i += LANES) {
        lanes there = first_lanes(n - i);
        store(x + i, there, OP(mul)(factor, LANES_(tanh)(OP(div)(load(x + i, there), factor))));
    }
}

static void fill(llmc_activation_kernels *kernels) {
    kernels->of[LLMC_SWIGLU] = swiglu;
    kernels->of[LLMC_GEGLU] = geglu;
    kernels->of[LLMC_SWIGLU_CLAMPED] = swiglu_clamped;
    kernels->of[LLMC_GEGLU_EXACT] = geglu_exact;
    kernels->of[LLMC_REGLU] = reglu;
    kernels->of[LLMC_GELU] = gelu;
    kernels->of[LLMC_RELU_SQUARED] = relu_squared;
    kernels->of[LLMC_GELU_EXACT] = gelu_exact;
    kernels->xielu = xielu;
    kernels->soft_cap = soft_cap;
}
