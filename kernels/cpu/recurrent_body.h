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

/* ---- Convolution ------------------------------------------------------------------------------------------------------- */

typedef float conv_taps[LLMC_CONV_MAX_TAPS][LLMC_CONV_CHANNELS];

INLINE void conv_token(const llmc_conv_job *job, uint32_t token, uint32_t n, conv_taps weight, conv_taps input, float *sum) {
    const uint32_t last = job->n_taps - 1;
    const float *x = job->x + token * job->row;
    memcpy(input[last], x, n * sizeof(float));
    if (job->times) {
        const float *times = job->times + token * job->row;
        for (uint32_t c = 0; c < n; c++) input[last][c] = x[c] * times[c];
    }
    for (uint32_t c = 0; c < n; c++) sum[c] = input[0][c] * weight[0][c];
    for (uint32_t j = 1; j <= last; j++) {
        for (uint32_t c = 0; c < n; c++) sum[c] += input[j][c] * weight[j][c];
    }
    for (uint32_t c = 0; job->bias && c < n; c++) sum[c] += job->bias[c];
    if (job->silu) silu_lanes(sum, n, sum);
    memmove(input[0], input[1], last * sizeof input[0]);
}

INLINE void conv_channels(const llmc_conv_job *job, uint32_t n) {
    conv_taps weight, input;
    float sum[LLMC_CONV_CHANNELS];
    for (uint32_t j = 0; j < job->n_taps; j++) {
        for (uint32_t c = 0; c < n; c++) weight[j][c] = job->weight[(size_t)c * job->n_taps + j];
    }
    for (uint32_t j = 0; j + 1 < job->n_taps; j++) memcpy(input[j], job->window + j * job->window_row, n * sizeof(float));
    for (uint32_t token = 0; token < job->n_tokens; token++) {
        conv_token(job, token, n, weight, input, sum);
        float *dst = job->dst + token * job->dst_row;
        const float *gate = job->gate ? job->gate + token * job->row : NULL;
        for (uint32_t c = 0; c < n; c++) dst[c] = gate ? sum[c] * gate[c] : sum[c];
    }
    for (uint32_t j = 0; j + 1 < job->n_taps; j++) memcpy(job->window + j * job->window_row, input[j], n * sizeof(float));
}

static void conv(const llmc_conv_job *job) {
    if (job->n_channels == LLMC_CONV_CHANNELS) conv_channels(job, LLMC_CONV_CHANNELS);
    else conv_channels(job, job->n_channels);
}

/* ---- Mamba-2 ----------------------------------------------------------------------------------------------------------- */

typedef struct scan_token {
    const float *x, *z, *b, *c;
    float dt, decay, d;
    float *dst;
} scan_token;

/* One token, lanes first .. first + 15 of the head: its state times c. */
static void scan_lanes(const llmc_scan_job *job, const scan_token *t, uint32_t first, float sum[LANES]) {
    const vector8 *x = (const vector8 *)(const void *)(t->x + first);
    vector8 input0 = x[0] * t->dt, input1 = x[1] * t->dt, sum0 = {0}, sum1 = {0};
    for (uint32_t i = 0; i < job->state_size; i++) {
        vector8 *state = (vector8 *)(void *)(job->state + (size_t)i * job->head_dim + first);
        vector8 value0 = state[0] * t->decay + input0 * t->b[i], value1 = state[1] * t->decay + input1 * t->b[i];
        state[0] = value0;
        state[1] = value1;
        sum0 += value0 * t->c[i];
        sum1 += value1 * t->c[i];
    }
    memcpy(sum, &sum0, sizeof sum0);
    memcpy(sum + 8, &sum1, sizeof sum1);
}

/* The last lanes, fewer than 16. */
static void scan_rest(const llmc_scan_job *job, const scan_token *t, uint32_t first, uint32_t n, float sum[LANES]) {
    memset(sum, 0, LANES * sizeof *sum);
    for (uint32_t i = 0; i < job->state_size; i++) {
        float *state = job->state + (size_t)i * job->head_dim + first;
        for (uint32_t p = 0; p < n; p++) {
            state[p] = state[p] * t->decay + t->x[first + p] * t->dt * t->b[i];
            sum[p] += state[p] * t->c[i];
        }
    }
}

static void scan_head(const llmc_scan_job *job, const scan_token *t) {
    float sum[LANES], z[LANES];
    for (uint32_t first = 0; first < job->head_dim; first += LANES) {
        uint32_t n = job->head_dim - first < LANES ? job->head_dim - first : LANES;
        if (n == LANES) scan_lanes(job, t, first, sum);
        else scan_rest(job, t, first, n, sum);
        silu_lanes(t->z + first, n, z);
        for (uint32_t p = 0; p < n; p++) t->dst[first + p] = z[p] * (sum[p] + t->d * t->x[first + p]);
    }
}

static void scan(const llmc_scan_job *job) {
    for (uint32_t token = 0; token < job->n_tokens; token++) {
        scan_token t = {.x = job->x + token * job->x_row, .b = job->b + token * job->bc_row, .c = job->c + token * job->bc_row};
        t.z = job->z + token * job->z_row;
        t.dt = softplus(job->dt[token * job->dt_row] + job->dt_bias);
        t.decay = llmc_expf(t.dt * job->a);
        t.d = job->d;
        t.dst = job->dst + token * job->dst_row;
        scan_head(job, &t);
    }
}

/* ---- Mamba ------------------------------------------------------------------------------------------------------------- */

typedef float channel_rows[LLMC_CHANNEL_STATE][LANES];

/* y = exp(x), y may be x. */
static inline void exp_lanes(const float *x, uint32_t n, float *y) {
    uint32_t i = 0;
#if defined(__AVX2__) && defined(__FMA__)
    for (; i + 8 <= n; i += 8) _mm256_storeu_ps(y + i, llmc_exp8(_mm256_loadu_ps(x + i)));
#endif
    for (; i < n; i++) y[i] = llmc_expf(x[i]);
}

INLINE void channel_scan_token(const llmc_channel_scan_job *job, uint32_t token, uint32_t n, channel_rows a) {
    const float *x = job->x + token * job->x_row, *dt = job->dt + token * job->dt_row;
    const float *b = job->b + token * job->bc_row, *c = job->c + token * job->bc_row;
    float step[LANES], input[LANES], decay[LANES], sum[LANES] = {0}, z[LANES];
    for (uint32_t p = 0; p < n; p++) {
        step[p] = softplus(dt[p] + job->dt_bias[p]);
        input[p] = x[p] * step[p];
    }
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

static void unit_length(const float *x, uint32_t n, float eps, float *y) {
    float lanes[LANES] = {0};
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (uint32_t l = 0; l < LANES; l++) lanes[l] += x[i + l] * x[i + l];
    }
    for (uint32_t l = 0; i + l < n; l++) lanes[l] += x[i + l] * x[i + l];
    float factor = 1.0f / sqrtf(llmc_sum16(lanes) + eps);
    for (i = 0; i < n; i++) y[i] = x[i] * factor;
}

typedef struct delta_token {
    float q[LLMC_DELTA_MAX_KEY], k[LLMC_DELTA_MAX_KEY];
    const float *v;
    float decay[LLMC_DELTA_MAX_KEY], beta, scale;
    float *dst;
} delta_token;

/* One token, columns first .. first + 15. */
static void delta_lanes(const llmc_delta_job *job, const delta_token *t, uint32_t first) {
    const vector8 *v = (const vector8 *)(const void *)(t->v + first);
    vector8 *dst = (vector8 *)(void *)(t->dst + first);
    vector8 along0 = {0}, along1 = {0}, sum0 = {0}, sum1 = {0};
    for (uint32_t i = 0; i < job->key_dim; i++) {
        vector8 *state = (vector8 *)(void *)(job->state + i * job->state_row + first);
        vector8 value0 = state[0] * t->decay[i], value1 = state[1] * t->decay[i];
        state[0] = value0;
        state[1] = value1;
        along0 += value0 * t->k[i];
        along1 += value1 * t->k[i];
    }
    vector8 change0 = (v[0] - along0) * t->beta, change1 = (v[1] - along1) * t->beta;
    for (uint32_t i = 0; i < job->key_dim; i++) {
        vector8 *state = (vector8 *)(void *)(job->state + i * job->state_row + first);
        vector8 value0 = state[0] + change0 * t->k[i], value1 = state[1] + change1 * t->k[i];
        state[0] = value0;
        state[1] = value1;
        sum0 += value0 * t->q[i];
        sum1 += value1 * t->q[i];
    }
    dst[0] = sum0 * t->scale;
    dst[1] = sum1 * t->scale;
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
    for (uint32_t i = 0; i < n; i++) x[i] = a * softplus(x[i] + bias[i]);
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
        unit_length(job->q + token * job->row, job->key_dim, job->eps, t.q);
        unit_length(job->k + token * job->row, job->key_dim, job->eps, t.k);
        t.v = job->v + token * job->row;
        t.dst = job->dst + token * job->dst_row;
        t.beta = sigmoid(job->beta[token * job->ab_row]);
        set_decay(job, token, t.decay);
        uint32_t first = 0;
        for (; first + LANES <= job->n_columns; first += LANES) delta_lanes(job, &t, first);
        if (first < job->n_columns) delta_rest(job, &t, first, job->n_columns - first);
    }
}

static void fill_kernels(llmc_recurrent_kernels *kernels) {
    *kernels = (llmc_recurrent_kernels){.conv = conv,
                                        .scan = scan,
                                        .channel_scan = channel_scan,
                                        .delta = delta,
                                        .decay = decay,
                                        .silu_gate = silu_gate,
                                        .sigmoid_gate = sigmoid_gate};
}
