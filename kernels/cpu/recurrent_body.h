/* The recurrent kernels, one text for every tier: vectors that the compiler makes of what the tier has. Every lane does the same
 * operations in each, and products and sums are rounded apart, so the bits are the same.
 * Whoever includes it fills its table by fill_kernels. */
#include <string.h>

#include "kernels/cpu/recurrent.h"
#include "kernels/cpu/vecmath.h"

enum { LANES = 16 };

/* Two of them are LANES; they may lie anywhere among floats. */
typedef float vector8 __attribute__((vector_size(32), aligned(4), may_alias));

/* For loops whose count must be known to the compiler. */
#define INLINE static inline __attribute__((always_inline))

/* y = silu(x), y may be x. */
static inline void silu_lanes(const float *x, uint32_t n, float *y) {
    uint32_t i = 0;
#if defined(__AVX2__) && defined(__FMA__)
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, llmc_silu8(_mm256_loadu_ps(x + i)));
#endif
    for (; i < n; i++) y[i] = llmc_silu(x[i]);
}

/* y = exp(x), y may be x. */
static inline void exp_lanes(const float *x, uint32_t n, float *y) {
    uint32_t i = 0;
#if defined(__AVX2__) && defined(__FMA__)
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, llmc_exp8(_mm256_loadu_ps(x + i)));
#endif
    for (; i < n; i++) y[i] = llmc_expf(x[i]);
}

static void silu_gate(const float *gate, uint32_t n, float *y) {
    uint32_t i = 0;
#if defined(__AVX2__) && defined(__FMA__)
    for (; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(y + i, _mm256_mul_ps(llmc_silu8(_mm256_loadu_ps(gate + i)), _mm256_loadu_ps(y + i)));
    }
#endif
    for (; i < n; i++) y[i] = llmc_silu(gate[i]) * y[i];
}

static inline float sigmoid(float x) {
    return 1.0f / (1.0f + llmc_expf(-x));
}

static void sigmoid_gate(const float *gate, uint32_t n, float *y) {
    uint32_t i = 0;
#if defined(__AVX2__) && defined(__FMA__)
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    for (; i + 8 <= n; i += 8) {
        __m256 e = llmc_exp8(_mm256_xor_ps(_mm256_loadu_ps(gate + i), sign));
        __m256 factor = _mm256_div_ps(one, _mm256_add_ps(one, e));
        _mm256_storeu_ps(y + i, _mm256_mul_ps(_mm256_loadu_ps(y + i), factor));
    }
#endif
    for (; i < n; i++) y[i] = y[i] * sigmoid(gate[i]);
}

/* log(1 + e^x) = 2 atanh(s) + n ln 2, in doubles: 1 + e^x = 2^n (1 + s) / (1 - s) with |s| < 0.172. */
static float softplus(float x) {
    if (!(x <= 20.0f)) return x;
    double t = (double)llmc_expf(x), s = t / (2.0 + t);
    int n = 0;
    if (t > 0.4) {
        double mantissa = frexp(1.0 + t, &n);
        if (mantissa < 0.70710678118654752) mantissa *= 2.0, n--;
        s = (mantissa - 1.0) / (mantissa + 1.0);
    }
    double square = s * s, sum = 1.0 / 17.0;
    for (int i = 15; i > 0; i -= 2) sum = sum * square + 1.0 / i;
    return (float)(2.0 * s * sum + n * 0.69314718055994531);
}

#if defined(__AVX2__) && defined(__FMA__)
/* softplus of 4 numbers from their exponentials: the same operations, in both cases. */
static inline __m128 softplus4(__m128 e) {
    const __m256d one = _mm256_set1_pd(1.0), two = _mm256_set1_pd(2.0), whole = _mm256_set1_pd(0x1p52);
    __m256d t = _mm256_cvtps_pd(e), sum = _mm256_add_pd(one, t);
    __m256i bits = _mm256_castpd_si256(sum), half = _mm256_set1_epi64x(0x3FE0000000000000);
    __m256i low = _mm256_and_si256(bits, _mm256_set1_epi64x(0x000FFFFFFFFFFFFF));
    __m256d mantissa = _mm256_castsi256_pd(_mm256_or_si256(low, half)); /* of frexp */
    __m256i exponent = _mm256_sub_epi64(_mm256_srli_epi64(bits, 52), _mm256_set1_epi64x(1022));
    __m256d n = _mm256_sub_pd(_mm256_or_pd(_mm256_castsi256_pd(exponent), whole), whole);
    __m256d small = _mm256_cmp_pd(mantissa, _mm256_set1_pd(0.70710678118654752), _CMP_LT_OQ);
    mantissa = _mm256_blendv_pd(mantissa, _mm256_mul_pd(mantissa, two), small);
    n = _mm256_sub_pd(n, _mm256_and_pd(small, one));
    __m256d large = _mm256_cmp_pd(t, _mm256_set1_pd(0.4), _CMP_GT_OQ);
    __m256d over = _mm256_blendv_pd(t, _mm256_sub_pd(mantissa, one), large);
    __m256d under = _mm256_blendv_pd(_mm256_add_pd(two, t), _mm256_add_pd(mantissa, one), large);
    __m256d s = _mm256_div_pd(over, under), square = _mm256_mul_pd(s, s), series = _mm256_set1_pd(1.0 / 17.0);
    for (int i = 15; i > 0; i -= 2) series = _mm256_add_pd(_mm256_mul_pd(series, square), _mm256_set1_pd(1.0 / i));
    __m256d logarithm = _mm256_mul_pd(_mm256_and_pd(large, n), _mm256_set1_pd(0.69314718055994531));
    return _mm256_cvtpd_ps(_mm256_add_pd(_mm256_mul_pd(_mm256_mul_pd(two, s), series), logarithm));
}
#endif

/* y = softplus(x), y may be x. */
static inline void softplus_lanes(const float *x, uint32_t n, float *y) {
    uint32_t i = 0;
#if defined(__AVX2__) && defined(__FMA__)
    for (; i + 8 <= n; i += 8) {
        __m256 v = _mm256_loadu_ps(x + i), e = llmc_exp8(v);
        __m256 sum = _mm256_set_m128(softplus4(_mm256_extractf128_ps(e, 1)), softplus4(_mm256_castps256_ps128(e)));
        _mm256_storeu_ps(y + i, _mm256_blendv_ps(v, sum, _mm256_cmp_ps(v, _mm256_set1_ps(20.0f), _CMP_LE_OQ)));
    }
#endif
    for (; i < n; i++) y[i] = softplus(x[i]);
}

/* ---- Convolution ------------------------------------------------------------------------------------------------------- */

typedef float conv_taps[LLMC_CONV_MAX_TAPS][LLMC_CONV_CHANNELS];

/* input[j]: what the tap j reads. */
INLINE void conv_token(const llmc_conv_job *job, const float *const *input, conv_taps weight, uint32_t n, float *y) {
    uint32_t c = 0;
    for (; c + 8 <= n; c += 8) {
        vector8 sum = *(const vector8 *)(const void *)(input[0] + c) * *(const vector8 *)(void *)(weight[0] + c);
        for (uint32_t j = 1; j < job->n_taps; j++) {
            sum += *(const vector8 *)(const void *)(input[j] + c) * *(const vector8 *)(void *)(weight[j] + c);
        }
        if (job->bias) sum += *(const vector8 *)(const void *)(job->bias + c);
        *(vector8 *)(void *)(y + c) = sum;
    }
    for (; c < n; c++) {
        y[c] = input[0][c] * weight[0][c];
        for (uint32_t j = 1; j < job->n_taps; j++) y[c] += input[j][c] * weight[j][c];
        if (job->bias) y[c] += job->bias[c];
    }
    if (job->silu) silu_lanes(y, n, y);
}

INLINE void conv_channels(const llmc_conv_job *job, uint32_t n) {
    conv_taps weight, before, products; /* before: what is in the window; products: x * times of the last tokens */
    const float *input[LLMC_CONV_MAX_TAPS];
    const uint32_t n_taps = job->n_taps, last = n_taps - 1;
    for (uint32_t j = 0; j < n_taps; j++) {
        for (uint32_t c = 0; c < n; c++) weight[j][c] = job->weight[(size_t)c * n_taps + j];
    }
    for (uint32_t j = 0; j < last; j++) input[j] = memcpy(before[j], job->window + j * job->window_row, n * sizeof(float));
    for (uint32_t token = 0; token < job->n_tokens; token++) {
        const float *x = job->x + token * job->row, *times = job->times ? job->times + token * job->row : NULL;
        const float *gate = job->gate ? job->gate + token * job->row : NULL;
        float *dst = job->dst + token * job->dst_row, *product = products[token % n_taps];
        for (uint32_t c = 0; times && c < n; c++) product[c] = x[c] * times[c];
        input[last] = times ? product : x;
        conv_token(job, input, weight, n, dst);
        for (uint32_t c = 0; gate && c < n; c++) dst[c] = dst[c] * gate[c];
        for (uint32_t j = 0; j < last; j++) input[j] = input[j + 1];
    }
    for (uint32_t j = 0; j < last; j++) memcpy(job->window + j * job->window_row, input[j], n * sizeof(float));
}

static void conv(const llmc_conv_job *job) {
    if (job->n_channels == LLMC_CONV_CHANNELS) conv_channels(job, LLMC_CONV_CHANNELS);
    else conv_channels(job, job->n_channels);
}

/* ---- Mamba-2 ----------------------------------------------------------------------------------------------------------- */

enum { SCAN_TOKENS = 64, SCAN_NEAR = 256, SCAN_BLOCK = 2, WIDE = 64 };

typedef struct scan_token {
    const float *x, *z, *b, *c;
    float dt, decay;
    float *dst;
} scan_token;

/* y = silu(z) * (sum + d * x) of n lanes. */
INLINE void scan_finish(const llmc_scan_job *job, const scan_token *t, uint32_t first, uint32_t n, const float *sum) {
    float z[WIDE];
    silu_lanes(t->z + first, n, z);
    for (uint32_t p = 0; p < n; p++) t->dst[first + p] = z[p] * (sum[p] + job->d * t->x[first + p]);
}

/* n_tokens tokens, n lanes of the head from first on, whose state is at `state`, rows row floats apart; both numbers are known to
 * the compiler, and n_tokens * n is at most WIDE. */
INLINE void scan_lanes(const llmc_scan_job *job, const scan_token *tokens, const uint32_t n_tokens, uint32_t first,
                       const uint32_t n, float *state, size_t row) {
    vector8 input[WIDE / 8], sum[WIDE / 8];
    const float *b[SCAN_BLOCK], *c[SCAN_BLOCK];
    float decay[SCAN_BLOCK];
    const uint32_t size = job->state_size, lanes = n / 8;
    for (uint32_t t = 0; t < n_tokens; t++) {
        const vector8 *x = (const vector8 *)(const void *)(tokens[t].x + first);
        b[t] = tokens[t].b, c[t] = tokens[t].c, decay[t] = tokens[t].decay;
        for (uint32_t v = 0; v < lanes; v++) input[t * lanes + v] = x[v] * tokens[t].dt, sum[t * lanes + v] = (vector8){0};
    }
    for (uint32_t i = 0; i < size; i++, state += row) {
        vector8 *values = (vector8 *)(void *)state;
        for (uint32_t v = 0; v < lanes; v++) {
            vector8 value = values[v];
            for (uint32_t t = 0; t < n_tokens; t++) {
                value = value * decay[t] + input[t * lanes + v] * b[t][i];
                sum[t * lanes + v] += value * c[t][i];
            }
            values[v] = value;
        }
    }
    for (uint32_t t = 0; t < n_tokens; t++) scan_finish(job, &tokens[t], first, n, (const float *)&sum[t * lanes]);
}

/* Lanes of a head whose tokens are many: their state is brought together first, since rows of it lie in few sets of the cache. */
static void scan_together(const llmc_scan_job *job, const scan_token *tokens, uint32_t n, uint32_t first) {
    float near[SCAN_NEAR][LANES], *state = job->state + first;
    uint32_t size = job->state_size, row = job->head_dim;
    int together = size <= SCAN_NEAR && n >= 4;
    for (uint32_t r = 0; together && r < size; r++) memcpy(near[r], state + (size_t)r * row, sizeof near[r]);
    float *at = together ? near[0] : state;
    size_t step = together ? LANES : row;
    uint32_t i = 0;
    for (; i + SCAN_BLOCK <= n; i += SCAN_BLOCK) scan_lanes(job, &tokens[i], SCAN_BLOCK, first, LANES, at, step);
    for (; i < n; i++) scan_lanes(job, &tokens[i], 1, first, LANES, at, step);
    for (uint32_t r = 0; together && r < size; r++) memcpy(state + (size_t)r * row, near[r], sizeof near[r]);
}

/* The last lanes, fewer than 16. */
static void scan_rest(const llmc_scan_job *job, const scan_token *t, uint32_t first, uint32_t n) {
    float sum[LANES] = {0};
    for (uint32_t i = 0; i < job->state_size; i++) {
        float *state = job->state + (size_t)i * job->head_dim + first;
        for (uint32_t p = 0; p < n; p++) {
            state[p] = state[p] * t->decay + t->x[first + p] * t->dt * t->b[i];
            sum[p] += state[p] * t->c[i];
        }
    }
    scan_finish(job, t, first, n, sum);
}

/* Of up to SCAN_TOKENS tokens what is the same for all lanes. */
static void scan_tokens(const llmc_scan_job *job, uint32_t first, uint32_t n, scan_token *tokens) {
    float dt[SCAN_TOKENS], decay[SCAN_TOKENS];
    for (uint32_t i = 0; i < n; i++) dt[i] = job->dt[(first + i) * job->dt_row] + job->dt_bias;
    softplus_lanes(dt, n, dt);
    for (uint32_t i = 0; i < n; i++) decay[i] = dt[i] * job->a;
    exp_lanes(decay, n, decay);
    for (uint32_t i = 0; i < n; i++) {
        size_t token = first + i;
        tokens[i] = (scan_token){.x = job->x + token * job->x_row, .z = job->z + token * job->z_row, .dt = dt[i]};
        tokens[i].b = job->b + token * job->bc_row;
        tokens[i].c = job->c + token * job->bc_row;
        tokens[i].decay = decay[i];
        tokens[i].dst = job->dst + token * job->dst_row;
    }
}

/* Few lanes at a time, so that their state stays in the first-level cache while all tokens pass; a token alone reads the state as
 * it lies. */
static void scan(const llmc_scan_job *job) {
    scan_token tokens[SCAN_TOKENS];
    for (uint32_t at = 0; at < job->n_tokens; at += SCAN_TOKENS) {
        uint32_t n = job->n_tokens - at < SCAN_TOKENS ? job->n_tokens - at : SCAN_TOKENS, first = 0;
        scan_tokens(job, at, n, tokens);
        for (; n == 1 && first + WIDE <= job->head_dim; first += WIDE) {
            scan_lanes(job, tokens, 1, first, WIDE, job->state + first, job->head_dim);
        }
        for (; first + LANES <= job->head_dim; first += LANES) scan_together(job, tokens, n, first);
        for (uint32_t i = 0; first < job->head_dim && i < n; i++) scan_rest(job, &tokens[i], first, job->head_dim - first);
    }
}

/* ---- Mamba ------------------------------------------------------------------------------------------------------------- */

typedef float channel_rows[LLMC_CHANNEL_STATE][LANES];

INLINE void channel_scan_token(const llmc_channel_scan_job *job, uint32_t token, uint32_t n, channel_rows a) {
    const float *x = job->x + token * job->x_row, *dt = job->dt + token * job->dt_row;
    const float *b = job->b + token * job->bc_row, *c = job->c + token * job->bc_row;
    float step[LANES], input[LANES], decay[LANES], sum[LANES] = {0}, z[LANES];
    for (uint32_t p = 0; p < n; p++) step[p] = dt[p] + job->dt_bias[p];
    softplus_lanes(step, n, step);
    for (uint32_t p = 0; p < n; p++) input[p] = x[p] * step[p];
    for (uint32_t i = 0; i < job->state_size; i++) {
        float *state = job->state + i * job->state_row;
        for (uint32_t p = 0; p < n; p++) decay[p] = step[p] * a[i][p];
        exp_lanes(decay, n, decay);
        for (uint32_t p = 0; p < n; p++) {
            state[p] = state[p] * decay[p] + input[p] * b[i];
            sum[p] += state[p] * c[i];
        }
    }
    silu_lanes(job->z + token * job->z_row, n, z);
    for (uint32_t p = 0; p < n; p++) job->dst[token * job->dst_row + p] = z[p] * (sum[p] + job->d[p] * x[p]);
}

INLINE void channel_scan_of(const llmc_channel_scan_job *job, uint32_t n) {
    channel_rows a;
    for (uint32_t i = 0; i < job->state_size; i++) {
        for (uint32_t p = 0; p < n; p++) a[i][p] = job->a[(size_t)p * job->state_size + i];
    }
    for (uint32_t token = 0; token < job->n_tokens; token++) channel_scan_token(job, token, n, a);
}

static void channel_scan(const llmc_channel_scan_job *job) {
    if (job->n_channels == LANES) channel_scan_of(job, LANES);
    else channel_scan_of(job, job->n_channels);
}

/* ---- Gated delta rule -------------------------------------------------------------------------------------------------- */

static void unit_length(uint32_t n, float eps, float *x) {
    float lanes[LANES] = {0};
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (uint32_t l = 0; l < LANES; l++) lanes[l] += x[i + l] * x[i + l];
    }
    for (uint32_t l = 0; i + l < n; l++) lanes[l] += x[i + l] * x[i + l];
    float factor = 1.0f / sqrtf(llmc_sum16(lanes) + eps);
    for (i = 0; i < n; i++) x[i] = x[i] * factor;
}

typedef struct delta_token {
    const float *q, *k, *v;
    float decay[LLMC_DELTA_MAX_KEY], beta, scale;
    float *dst;
} delta_token;

/* One token, n columns from first on; n is known to the compiler. */
INLINE void delta_lanes(const llmc_delta_job *job, const delta_token *t, uint32_t first, const uint32_t n) {
    const uint32_t lanes = n / 8, size = job->key_dim;
    const size_t row = job->state_row;
    const float *k = t->k, *q = t->q, *decay = t->decay;
    const vector8 *v = (const vector8 *)(const void *)(t->v + first);
    vector8 *dst = (vector8 *)(void *)(t->dst + first), change[LLMC_DELTA_COLUMNS / 8], sum[LLMC_DELTA_COLUMNS / 8];
    for (uint32_t l = 0; l < lanes; l++) change[l] = sum[l] = (vector8){0};
    const float *before = job->state + first;
    for (uint32_t i = 0; i < size; i++, before += row) {
        const vector8 *values = (const vector8 *)(const void *)before;
        for (uint32_t l = 0; l < lanes; l++) change[l] += values[l] * decay[i] * k[i];
    }
    for (uint32_t l = 0; l < lanes; l++) change[l] = (v[l] - change[l]) * t->beta;
    float *state = job->state + first;
    for (uint32_t i = 0; i < size; i++, state += row) {
        vector8 *values = (vector8 *)(void *)state;
        for (uint32_t l = 0; l < lanes; l++) {
            vector8 value = values[l] * decay[i] + change[l] * k[i];
            values[l] = value;
            sum[l] += value * q[i];
        }
    }
    for (uint32_t l = 0; l < lanes; l++) dst[l] = sum[l] * t->scale;
}

/* The last columns, fewer than 16. */
static void delta_rest(const llmc_delta_job *job, const delta_token *t, uint32_t first, uint32_t n) {
    float change[LANES] = {0}, sum[LANES] = {0};
    for (uint32_t i = 0; i < job->key_dim; i++) {
        float *state = job->state + i * job->state_row + first;
        for (uint32_t j = 0; j < n; j++) {
            state[j] = state[j] * t->decay[i];
            change[j] += state[j] * t->k[i];
        }
    }
    for (uint32_t j = 0; j < n; j++) change[j] = (t->v[first + j] - change[j]) * t->beta;
    for (uint32_t i = 0; i < job->key_dim; i++) {
        float *state = job->state + i * job->state_row + first;
        for (uint32_t j = 0; j < n; j++) {
            state[j] = state[j] + change[j] * t->k[i];
            sum[j] += state[j] * t->q[i];
        }
    }
    for (uint32_t j = 0; j < n; j++) t->dst[first + j] = sum[j] * t->scale;
}

static void decay(const float *bias, float a, uint32_t n, float *x) {
    for (uint32_t i = 0; i < n; i++) x[i] = x[i] + bias[i];
    softplus_lanes(x, n, x);
    for (uint32_t i = 0; i < n; i++) x[i] = a * x[i];
    exp_lanes(x, n, x);
}

static void set_decay(const llmc_delta_job *job, uint32_t token, float *rows) {
    if (job->decay) {
        memcpy(rows, job->decay + token * job->decay_row, job->key_dim * sizeof *rows);
        return;
    }
    float all = llmc_expf(job->a * softplus(job->alpha[token * job->ab_row] + job->dt_bias));
    for (uint32_t i = 0; i < job->key_dim; i++) rows[i] = all;
}

static void delta(const llmc_delta_job *job) {
    delta_token t = {.scale = 1.0f / sqrtf((float)job->key_dim)};
    for (uint32_t token = 0; token < job->n_tokens; token++) {
        t.q = job->q + token * job->row;
        t.k = job->k + token * job->row;
        t.v = job->v + token * job->row;
        t.dst = job->dst + token * job->dst_row;
        t.beta = sigmoid(job->beta[token * job->ab_row]);
        set_decay(job, token, t.decay);
        uint32_t first = 0;
        for (; first + LLMC_DELTA_COLUMNS <= job->n_columns; first += LLMC_DELTA_COLUMNS) {
            delta_lanes(job, &t, first, LLMC_DELTA_COLUMNS);
        }
        for (; first + LANES <= job->n_columns; first += LANES) delta_lanes(job, &t, first, LANES);
        if (first < job->n_columns) delta_rest(job, &t, first, job->n_columns - first);
    }
}

/* ---- RWKV-7 ------------------------------------------------------------------------------------------------------------ */

typedef struct wkv_token {
    float decay[LLMC_WKV_SIZE], rate[LLMC_WKV_SIZE], away[LLMC_WKV_SIZE]; /* what is taken away, along u */
    float u[LLMC_WKV_SIZE], k[LLMC_WKV_SIZE], v[LLMC_WKV_SIZE];
    float y[LLMC_WKV_SIZE];
} wkv_token;

static void sigmoid_lanes(const float *x, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = 1.0f;
    sigmoid_gate(x, n, y);
}

static float sum_of(const float *x, uint32_t n) {
    float lanes[LANES] = {0};
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (uint32_t l = 0; l < LANES; l++) lanes[l] += x[i + l];
    }
    for (uint32_t l = 0; i + l < n; l++) lanes[l] += x[i + l];
    return llmc_sum16(lanes);
}

static void wkv_inputs(const llmc_wkv_job *job, size_t at, wkv_token *t) {
    const uint32_t n = job->dim;
    const float *k = job->k + at, *v = job->v + at;
    sigmoid_lanes(job->decay + at, n, t->decay);
    for (uint32_t i = 0; i < n; i++) t->decay[i] *= -0.606531f; /* e^-0.5, as models were trained */
    exp_lanes(t->decay, n, t->decay);
    sigmoid_lanes(job->rate + at, n, t->rate);
    for (uint32_t i = 0; i < n; i++) {
        float part = k[i] * job->replacement[i];
        t->u[i] = k[i] * job->removal[i];
        t->k[i] = k[i] + (t->rate[i] * part - part);
        t->v[i] = v[i];
        t->y[i] = t->u[i] * t->u[i];
    }
    float length = sqrtf(sum_of(t->y, n)), factor = 1.0f / (length > 1e-12f ? length : 1e-12f);
    for (uint32_t i = 0; i < n; i++) t->u[i] *= factor;
    if (!job->first) return;
    sigmoid_lanes(job->mix + at, n, t->y);
    for (uint32_t i = 0; i < n; i++) t->v[i] = v[i] + (job->first[at + i] - v[i]) * t->y[i];
}

INLINE void wkv_state(const llmc_wkv_job *job, const float *r, const uint32_t n, wkv_token *t) {
    memset(t->away, 0, sizeof t->away);
    memset(t->y, 0, sizeof t->y);
    for (uint32_t j = 0; j < n; j++) {
        const float *state = job->state + (size_t)j * n;
        for (uint32_t i = 0; i < n; i++) t->away[i] += state[i] * t->u[j];
    }
    for (uint32_t j = 0; j < n; j++) {
        float *state = job->state + (size_t)j * n, back = t->u[j] * t->rate[j];
        for (uint32_t i = 0; i < n; i++) {
            float value = state[i] * t->decay[j] + t->v[i] * t->k[j] - t->away[i] * back;
            state[i] = value;
            t->y[i] += value * r[j];
        }
    }
}

static void wkv_output(const llmc_wkv_job *job, size_t at, wkv_token *t) {
    const uint32_t n = job->dim;
    for (uint32_t i = 0; i < n; i++) t->away[i] = t->k[i] * job->r[at + i] * job->bonus[i];
    float bonus = sum_of(t->away, n), mean = sum_of(t->y, n) / (float)n;
    for (uint32_t i = 0; i < n; i++) t->away[i] = (t->y[i] - mean) * (t->y[i] - mean);
    float factor = 1.0f / sqrtf(sum_of(t->away, n) / (float)n + 64e-5f);
    for (uint32_t i = 0; i < n; i++) {
        float y = (t->y[i] - mean) * factor * job->norm[i] + job->norm_bias[i];
        job->dst[at + i] = (y + t->v[i] * bonus) * job->gate[at + i];
    }
}

static void wkv(const llmc_wkv_job *job) {
    wkv_token t;
    for (uint32_t token = 0; token < job->n_tokens; token++) {
        size_t at = token * job->row;
        wkv_inputs(job, at, &t);
        if (job->dim == 64) wkv_state(job, job->r + at, 64, &t);
        else wkv_state(job, job->r + at, job->dim, &t);
        wkv_output(job, at, &t);
    }
}

static void softplus_gate(const float *gate, uint32_t n, float *y) {
    for (uint32_t i = 0; i < n; i++) y[i] = y[i] * softplus(gate[i]);
}

static void fill_kernels(llmc_recurrent_kernels *kernels) {
    *kernels = (llmc_recurrent_kernels){.conv = conv,
                                        .scan = scan,
                                        .channel_scan = channel_scan,
                                        .delta = delta,
                                        .wkv = wkv,
                                        .decay = decay,
                                        .unit_length = unit_length,
                                        .silu_gate = silu_gate,
                                        .sigmoid_gate = sigmoid_gate,
                                        .softplus_gate = softplus_gate};
}
