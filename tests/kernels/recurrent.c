/* Convolution, scans, the delta rule and RWKV-7: every tier equals the portable one bit for bit, however the tokens are cut into jobs; and the
 * portable one equals doubles within its bound. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "guarded.h"
#include "kernels/cpu/recurrent.h"

enum { TOKENS = 7, ROW = 700, MAX_STATE = 80 * 80 };

/* Rows of inputs, weights and a state, at random. */
typedef struct material {
    float x[TOKENS * ROW], keys[TOKENS * ROW], gates[TOKENS * ROW], weight[64 * 8], bias[64];
    float state[MAX_STATE], decays[16 * 80]; /* the latter negative */
} material;

static material *make_material(uint64_t seed) {
    material *m = malloc(sizeof *m);
    random_fill(&seed, m->x, TOKENS * ROW, 2.0f);
    random_fill(&seed, m->keys, TOKENS * ROW, 0.15f);
    random_fill(&seed, m->gates, TOKENS * ROW, 4.0f);
    random_fill(&seed, m->weight, 64 * 8, 1.0f);
    random_fill(&seed, m->bias, 64, 1.0f);
    random_fill(&seed, m->state, MAX_STATE, 1.0f);
    random_fill(&seed, m->decays, 16 * 80, 1.0f);
    for (int i = 0; i < 16 * 80; i++) m->decays[i] = -fabsf(m->decays[i]);
    return m;
}

static llmc_conv_job conv_job(const material *m, uint32_t channels, uint32_t taps, int variant, float *state, float *dst) {
    return (llmc_conv_job){.n_tokens = TOKENS,
                           .n_channels = channels,
                           .n_taps = taps,
                           .x = m->x,
                           .times = variant & 1 ? m->x + 100 : NULL,
                           .gate = variant & 1 ? m->x + 200 : NULL,
                           .row = ROW,
                           .weight = m->weight,
                           .bias = variant & 2 ? m->bias : NULL,
                           .silu = variant >> 1 & 1,
                           .window = state,
                           .window_row = channels,
                           .dst = dst,
                           .dst_row = channels};
}

static llmc_scan_job scan_job(const material *m, uint32_t dim, uint32_t size, float *state, float *dst) {
    return (llmc_scan_job){.n_tokens = TOKENS,
                           .head_dim = dim,
                           .state_size = size,
                           .x = m->x,
                           .b = m->x + 100,
                           .c = m->x + 300,
                           .x_row = ROW,
                           .bc_row = ROW,
                           .z = m->gates,
                           .dt = m->gates + 500,
                           .z_row = ROW,
                           .dt_row = ROW,
                           .dt_bias = 0.25f,
                           .a = -0.5f,
                           .d = 0.75f,
                           .state = state,
                           .dst = dst,
                           .dst_row = dim};
}

static llmc_delta_job delta_job(const material *m, uint32_t keys, uint32_t columns, float *state, float *dst) {
    return (llmc_delta_job){.n_tokens = TOKENS,
                            .key_dim = keys,
                            .n_columns = columns,
                            .q = m->keys,
                            .k = m->keys + 100,
                            .v = m->keys + 300,
                            .row = ROW,
                            .alpha = m->gates,
                            .beta = m->gates + 1,
                            .ab_row = ROW,
                            .dt_bias = 0.5f,
                            .a = -0.3f,
                            .state = state,
                            .state_row = columns,
                            .dst = dst,
                            .dst_row = columns};
}

static llmc_channel_scan_job channel_job(const material *m, uint32_t channels, uint32_t size, float *state, float *dst) {
    return (llmc_channel_scan_job){.n_tokens = TOKENS,
                                   .n_channels = channels,
                                   .state_size = size,
                                   .x = m->x,
                                   .b = m->x + 100,
                                   .c = m->x + 300,
                                   .z = m->gates,
                                   .dt = m->gates + 500,
                                   .x_row = ROW,
                                   .bc_row = ROW,
                                   .z_row = ROW,
                                   .dt_row = ROW,
                                   .dt_bias = m->bias,
                                   .d = m->bias + 20,
                                   .a = m->decays,
                                   .state = state,
                                   .state_row = channels,
                                   .dst = dst,
                                   .dst_row = channels};
}

static llmc_wkv_job wkv_job(const material *m, uint32_t dim, int mixed, float *state, float *dst) {
    return (llmc_wkv_job){.n_tokens = TOKENS,
                          .dim = dim,
                          .r = m->keys,
                          .decay = m->gates,
                          .k = m->keys + 100,
                          .v = m->x,
                          .rate = m->gates + 100,
                          .gate = m->gates + 200,
                          .first = mixed ? m->x + 300 : NULL,
                          .mix = mixed ? m->gates + 300 : NULL,
                          .row = ROW,
                          .removal = m->weight,
                          .replacement = m->weight + 100,
                          .bonus = m->weight + 200,
                          .norm = m->weight + 300,
                          .norm_bias = m->weight + 400,
                          .state = state,
                          .dst = dst};
}

typedef enum kind { CONV, SCAN, CHANNEL_SCAN, DELTA } kind;

/* The job's tokens from first on, n of them. */
static void run_part(const llmc_recurrent_kernels *kernels, const material *m, kind what, uint32_t a, uint32_t b, int variant,
                     float *state, float *dst, uint32_t first, uint32_t n) {
    if (what == CONV) {
        llmc_conv_job job = conv_job(m, a, b, variant, state, dst + first * a);
        job.n_tokens = n, job.x += first * ROW;
        if (job.times) job.times += first * ROW, job.gate += first * ROW;
        kernels->conv(&job);
    } else if (what == SCAN) {
        llmc_scan_job job = scan_job(m, a, b, state, dst + first * a);
        job.n_tokens = n, job.x += first * ROW, job.b += first * ROW, job.c += first * ROW;
        job.z += first * ROW, job.dt += first * ROW;
        kernels->scan(&job);
    } else if (what == CHANNEL_SCAN) {
        llmc_channel_scan_job job = channel_job(m, a, b, state, dst + first * a);
        job.n_tokens = n, job.x += first * ROW, job.b += first * ROW, job.c += first * ROW;
        job.z += first * ROW, job.dt += first * ROW;
        kernels->channel_scan(&job);
    } else {
        llmc_delta_job job = delta_job(m, b, a, state, dst + first * a);
        if (variant) job.decay = m->gates + 200 + first * ROW, job.decay_row = ROW;
        job.n_tokens = n, job.q += first * ROW, job.k += first * ROW, job.v += first * ROW;
        job.alpha += first * ROW, job.beta += first * ROW;
        kernels->delta(&job);
    }
}

static size_t state_floats(kind what, uint32_t a, uint32_t b) {
    return (size_t)a * (what == CONV ? b - 1 : b);
}

static void compare(const llmc_recurrent_kernels *kernels, const material *m, kind what, uint32_t a, uint32_t b, int variant,
                    uint32_t cut) {
    llmc_recurrent_kernels portable;
    llmc_recurrent_kernels_init(&portable, LLMC_TIER_C);
    size_t n_state = state_floats(what, a, b), n = (size_t)TOKENS * a;
    guarded s1 = guarded_make(n_state * 4 + 4), s2 = guarded_make(n_state * 4 + 4), y1 = guarded_make(n * 4),
            y2 = guarded_make(n * 4);
    memcpy(s1.data, m->state, n_state * 4 + 4);
    memcpy(s2.data, m->state, n_state * 4 + 4);
    run_part(&portable, m, what, a, b, variant, s1.data, y1.data, 0, TOKENS);
    run_part(kernels, m, what, a, b, variant, s2.data, y2.data, 0, cut);
    if (cut < TOKENS) run_part(kernels, m, what, a, b, variant, s2.data, y2.data, cut, TOKENS - cut);
    assert_memory_equal(y1.data, y2.data, n * 4);
    assert_memory_equal(s1.data, s2.data, n_state * 4 + 4);
    guarded_free(&s1), guarded_free(&s2), guarded_free(&y1), guarded_free(&y2);
}

/* Results lie ROW floats apart, as the inputs do. */
static void compare_wkv(const llmc_recurrent_kernels *kernels, const material *m, uint32_t dim, int mixed, uint32_t cut) {
    llmc_recurrent_kernels portable;
    llmc_recurrent_kernels_init(&portable, LLMC_TIER_C);
    size_t n = (size_t)dim * dim;
    float s1[64 * 64], s2[64 * 64], y1[TOKENS * ROW] = {0}, y2[TOKENS * ROW] = {0};
    memcpy(s1, m->state, n * 4), memcpy(s2, m->state, n * 4);
    llmc_wkv_job job = wkv_job(m, dim, mixed, s1, y1);
    portable.wkv(&job);
    job = wkv_job(m, dim, mixed, s2, y2);
    job.n_tokens = cut;
    kernels->wkv(&job);
    size_t at = (size_t)cut * ROW;
    job.n_tokens = TOKENS - cut;
    job.r += at, job.decay += at, job.k += at, job.v += at, job.rate += at, job.gate += at, job.dst += at;
    if (mixed) job.first += at, job.mix += at;
    kernels->wkv(&job);
    assert_memory_equal(s1, s2, n * 4);
    assert_memory_equal(y1, y2, sizeof y1);
}

static void tiers_and_cuts_equal_portable(void **state) {
    (void)state;
    static const uint32_t sizes[] = {1, 8, 15, 16, 17, 31, 32, 64}, others[] = {2, 4, 33, 64};
    material *m = make_material(1);
    for (int tier = LLMC_TIER_C; tier < LLMC_TIERS; tier++) {
        if (!llmc_cpu_has_tier((llmc_cpu_tier)tier)) continue;
        llmc_recurrent_kernels kernels;
        llmc_recurrent_kernels_init(&kernels, (llmc_cpu_tier)tier);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            for (uint32_t cut = 1; cut <= TOKENS; cut += 2) {
                for (uint32_t taps = 2; taps <= 8; taps++)
                    compare(&kernels, m, CONV, sizes[i], taps, (int)(taps + cut / 2) % 4, cut);
                compare_wkv(&kernels, m, sizes[i], (int)i % 2, cut);
                for (int j = 0; j < 4; j++) compare(&kernels, m, SCAN, sizes[i], others[j], 0, cut);
                for (int j = 0; j < 4; j++) compare(&kernels, m, DELTA, sizes[i], others[j], j % 2, cut);
                for (int j = 0; j < 4 && sizes[i] <= 16; j++) compare(&kernels, m, CHANNEL_SCAN, sizes[i], others[j], 0, cut);
            }
        }
        float a[19], b[19];
        memcpy(a, m->x, sizeof a), memcpy(b, m->x, sizeof b);
        llmc_recurrent_kernels portable;
        llmc_recurrent_kernels_init(&portable, LLMC_TIER_C);
        portable.sigmoid_gate(m->gates, 19, a);
        kernels.sigmoid_gate(m->gates, 19, b);
        assert_memory_equal(a, b, sizeof a);
        portable.silu_gate(m->gates, 19, a);
        kernels.silu_gate(m->gates, 19, b);
        assert_memory_equal(a, b, sizeof a);
        memcpy(a, m->x, sizeof a), memcpy(b, m->x, sizeof b);
        portable.unit_length(19, 1e-6f, a);
        kernels.unit_length(19, 1e-6f, b);
        assert_memory_equal(a, b, sizeof a);
        double square = 0;
        for (int i = 0; i < 19; i++) square += (double)a[i] * a[i];
        assert_true(fabs(square - 1) < 1e-5 && a[3] * m->x[3] > 0);
        memcpy(a, m->x, sizeof a), memcpy(b, m->x, sizeof b);
        portable.decay(m->bias, -0.5f, 19, a);
        kernels.decay(m->bias, -0.5f, 19, b);
        assert_memory_equal(a, b, sizeof a);
        for (int i = 0; i < 19; i++) assert_true(fabs(a[i] - exp(-0.5 * log1p(exp(m->x[i] + m->bias[i])))) < 1e-6);
        memcpy(a, m->x, sizeof a);
        portable.sigmoid_gate(m->gates, 19, a);
        for (int i = 0; i < 19; i++) assert_true(fabs(a[i] - m->x[i] / (1 + exp(-m->gates[i]))) < 1e-6);
        memcpy(a, m->x, sizeof a), memcpy(b, m->x, sizeof b);
        portable.softplus_gate(m->gates, 19, a);
        kernels.softplus_gate(m->gates, 19, b);
        assert_memory_equal(a, b, sizeof a);
        for (int i = 0; i < 19; i++) assert_true(fabs(a[i] - m->x[i] * log1p(exp(m->gates[i]))) < 1e-6);
    }
    free(m);
}

static void close_to(float value, double expected) {
    assert_true(fabs(value - expected) <= 2e-5 * (1 + fabs(expected)));
}

static void conv_equals_doubles(void **state) {
    (void)state;
    enum { C = 20, K = 4 };
    material *m = make_material(2);
    llmc_recurrent_kernels kernels;
    llmc_recurrent_kernels_init(&kernels, LLMC_TIER_C);
    for (int variant = 0; variant < 4; variant++) {
        float window[(K - 1) * C], y[TOKENS * C];
        memcpy(window, m->state, sizeof window);
        llmc_conv_job job = conv_job(m, C, K, variant, window, y);
        kernels.conv(&job);
        for (int t = 0; t < TOKENS; t++) {
            for (int c = 0; c < C; c++) {
                double sum = variant & 2 ? m->bias[c] : 0;
                for (int j = 0; j < K; j++) {
                    int at = t - K + 1 + j;
                    double in = at < 0 ? m->state[(at + K - 1) * C + c] : m->x[at * ROW + c];
                    if (at >= 0 && variant & 1) in *= m->x[at * ROW + 100 + c];
                    sum += in * m->weight[c * K + j];
                }
                if (variant & 2) sum /= 1 + exp(-sum);
                if (variant & 1) sum *= m->x[t * ROW + 200 + c];
                close_to(y[t * C + c], sum);
            }
        }
    }
    free(m);
}

static void scan_equals_doubles(void **state) {
    (void)state;
    enum { P = 18, N = 40 };
    material *m = make_material(3);
    llmc_recurrent_kernels kernels;
    llmc_recurrent_kernels_init(&kernels, LLMC_TIER_C);
    float s[N * P], y[TOKENS * P];
    double exact[N * P];
    memcpy(s, m->state, sizeof s);
    for (int i = 0; i < N * P; i++) exact[i] = s[i];
    llmc_scan_job job = scan_job(m, P, N, s, y);
    kernels.scan(&job);
    for (int t = 0; t < TOKENS; t++) {
        const float *x = m->x + t * ROW, *z = m->gates + t * ROW;
        double dt = log1p(exp(z[500] + 0.25)), decay = exp(-0.5 * dt);
        for (int p = 0; p < P; p++) {
            double sum = 0.75 * x[p];
            for (int n = 0; n < N; n++) {
                exact[n * P + p] = exact[n * P + p] * decay + dt * x[100 + n] * x[p];
                sum += exact[n * P + p] * x[300 + n];
            }
            close_to(y[t * P + p], sum * z[p] / (1 + exp(-z[p])));
        }
    }
    for (int i = 0; i < N * P; i++) close_to(s[i], exact[i]);
    free(m);
}

static void channel_scan_equals_doubles(void **state) {
    (void)state;
    enum { P = 13, N = 20 };
    material *m = make_material(5);
    llmc_recurrent_kernels kernels;
    llmc_recurrent_kernels_init(&kernels, LLMC_TIER_C);
    float s[N * P], y[TOKENS * P];
    double exact[N * P];
    memcpy(s, m->state, sizeof s);
    for (int i = 0; i < N * P; i++) exact[i] = s[i];
    llmc_channel_scan_job job = channel_job(m, P, N, s, y);
    kernels.channel_scan(&job);
    for (int t = 0; t < TOKENS; t++) {
        const float *x = m->x + t * ROW, *z = m->gates + t * ROW;
        for (int p = 0; p < P; p++) {
            double dt = log1p(exp(z[500 + p] + m->bias[p])), sum = m->bias[20 + p] * x[p];
            for (int n = 0; n < N; n++) {
                exact[n * P + p] = exact[n * P + p] * exp(dt * m->decays[p * N + n]) + dt * x[100 + n] * x[p];
                sum += exact[n * P + p] * x[300 + n];
            }
            close_to(y[t * P + p], sum * z[p] / (1 + exp(-z[p])));
        }
    }
    for (int i = 0; i < N * P; i++) close_to(s[i], exact[i]);
    free(m);
}

static void delta_equals_doubles(void **state) {
    (void)state;
    enum { K = 40, V = 18 };
    material *m = make_material(4);
    llmc_recurrent_kernels kernels;
    llmc_recurrent_kernels_init(&kernels, LLMC_TIER_C);
    float s[K * V], y[TOKENS * V];
    double exact[K * V];
    memcpy(s, m->state, sizeof s);
    for (int i = 0; i < K * V; i++) exact[i] = s[i];
    llmc_delta_job job = delta_job(m, K, V, s, y);
    kernels.delta(&job);
    for (int t = 0; t < TOKENS; t++) {
        const float *q = m->keys + t * ROW, *k = q + 100, *v = q + 300, *ab = m->gates + t * ROW;
        double decay = exp(-0.3 * log1p(exp(ab[0] + 0.5))), beta = 1 / (1 + exp(-ab[1]));
        for (int j = 0; j < V; j++) {
            double along = 0, sum = 0;
            for (int i = 0; i < K; i++) along += (exact[i * V + j] *= decay) * k[i];
            for (int i = 0; i < K; i++) {
                exact[i * V + j] += k[i] * beta * (v[j] - along);
                sum += exact[i * V + j] * q[i];
            }
            close_to(y[t * V + j], sum / sqrt(K));
        }
    }
    for (int i = 0; i < K * V; i++) close_to(s[i], exact[i]);
    free(m);
}

static double logistic(double x) {
    return 1 / (1 + exp(-x));
}

static void wkv_equals_doubles(void **state) {
    (void)state;
    enum { N = 20 };
    material *m = make_material(6);
    llmc_recurrent_kernels kernels;
    llmc_recurrent_kernels_init(&kernels, LLMC_TIER_C);
    float s[N * N], dst[TOKENS * ROW];
    double exact[N * N], u[N], k[N], v[N], y[N];
    memcpy(s, m->state, sizeof s);
    for (int i = 0; i < N * N; i++) exact[i] = s[i];
    llmc_wkv_job job = wkv_job(m, N, 1, s, dst);
    kernels.wkv(&job);
    for (size_t t = 0; t < TOKENS; t++) {
        size_t at = t * ROW;
        double square = 0, bonus = 0, mean = 0, variance = 0;
        for (int j = 0; j < N; j++) {
            u[j] = (double)job.k[at + j] * job.removal[j];
            square += u[j] * u[j];
            k[j] = job.k[at + j] * (1 + (logistic(job.rate[at + j]) - 1) * job.replacement[j]);
            v[j] = job.v[at + j] + (job.first[at + j] - job.v[at + j]) * logistic(job.mix[at + j]);
            bonus += job.r[at + j] * k[j] * job.bonus[j];
        }
        for (int i = 0; i < N; i++) {
            double away = 0;
            for (int j = 0; j < N; j++) away += exact[j * N + i] * u[j] / sqrt(square);
            y[i] = 0;
            for (int j = 0; j < N; j++) {
                double decay = exp(-exp(-0.5) * logistic(job.decay[at + j])),
                       back = u[j] / sqrt(square) * logistic(job.rate[at + j]);
                exact[j * N + i] = exact[j * N + i] * decay + v[i] * k[j] - away * back;
                y[i] += exact[j * N + i] * job.r[at + j];
            }
            mean += y[i] / N;
        }
        for (int i = 0; i < N; i++) variance += (y[i] - mean) * (y[i] - mean) / N;
        for (int i = 0; i < N; i++) {
            double normed = (y[i] - mean) / sqrt(variance + 64e-5) * job.norm[i] + job.norm_bias[i];
            close_to(dst[at + i], (normed + v[i] * bonus) * job.gate[at + i]);
        }
    }
    free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiers_and_cuts_equal_portable), cmocka_unit_test(conv_equals_doubles),
        cmocka_unit_test(scan_equals_doubles),           cmocka_unit_test(channel_scan_equals_doubles),
        cmocka_unit_test(delta_equals_doubles),          cmocka_unit_test(wkv_equals_doubles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
