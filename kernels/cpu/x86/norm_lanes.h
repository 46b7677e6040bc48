/* RMS norm and layer norm in LANES lanes: one text for both widths. A tier includes its lanes before it. */

/* A vector of which `left` numbers are there, or more; whole ones without a mask, which is slow to store by on some machines. */
static inline vector read(const float *from, uint32_t left) {
    return left >= LANES ? OP(loadu)(from) : load(from, first_lanes(left));
}

static inline void write(float *to, uint32_t left, vector x) {
    if (left >= LANES) OP(storeu)(to, x);
    else store(to, first_lanes(left), x);
}

/* The 16 partial sums of x - mean, or of their squares, by the tree. Lanes that are not there add +0, which changes nothing. */
static inline __attribute__((always_inline)) float sum_of(const float *x, uint32_t n, float mean, const int squared) {
    const vector subtracted = OP(set1)(mean);
    vector sums[16 / LANES];
    for (uint32_t v = 0; v < 16 / LANES; v++) sums[v] = OP(set1)(0.0f);
    for (uint32_t i = 0; i < n; i += 16) {
#pragma GCC unroll 2
        for (uint32_t v = 0; v < 16 / LANES; v++) {
            uint32_t at = i + v * LANES;
            if (at >= n) break;
            uint32_t left = n - at;
            vector d = OP(sub)(read(x + at, left), subtracted);
            if (left < LANES) d = keep(first_lanes(left), d);
            sums[v] = squared ? OP(fmadd)(d, d, sums[v]) : OP(add)(sums[v], d);
        }
    }
    return total(sums);
}

static void rms_norm(const float *x, const float *weight, uint32_t n, float eps, float *y) {
    const vector factor = OP(set1)(1.0f / sqrtf(sum_of(x, n, 0.0f, 1) / (float)n + eps));
    for (uint32_t i = 0; i < n; i += LANES) {
        vector scaled = OP(mul)(read(x + i, n - i), factor);
        write(y + i, n - i, OP(mul)(scaled, read(weight + i, n - i)));
    }
}

static void layer_norm(const float *x, const float *weight, const float *bias, uint32_t n, float eps, float *y) {
    float mean = sum_of(x, n, 0.0f, 0) / (float)n;
    const vector factor = OP(set1)(1.0f / sqrtf(sum_of(x, n, mean, 1) / (float)n + eps)), subtracted = OP(set1)(mean);
    for (uint32_t i = 0; i < n; i += LANES) {
        vector scaled = OP(mul)(OP(sub)(read(x + i, n - i), subtracted), factor);
        scaled = OP(mul)(scaled, read(weight + i, n - i));
        if (bias) scaled = OP(add)(scaled, read(bias + i, n - i));
        write(y + i, n - i, scaled);
    }
}
