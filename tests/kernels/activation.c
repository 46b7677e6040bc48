/* Activations and exp: every tier equals the portable one bit for bit, and that one equals doubles within its bound. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "guarded.h"
#include "kernels/cpu/activation.h"
#include "kernels/cpu/vecmath.h"

static const uint32_t sizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 33, 80, 255, 1536, 4099};

static void tiers_equal_portable(void **state) {
    (void)state;
    llmc_activation_kernels portable, other;
    llmc_activation_kernels_init(&portable, LLMC_TIER_C);
    uint64_t seed = 1;
    for (int i = 0; i < LLMC_TIERS * LLMC_ACTIVATIONS_KNOWN; i++) {
        int tier = i / LLMC_ACTIVATIONS_KNOWN, kind = i % LLMC_ACTIVATIONS_KNOWN;
        if (!llmc_cpu_has_tier((llmc_cpu_tier)tier)) continue;
        llmc_activation_kernels_init(&other, (llmc_cpu_tier)tier);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            uint32_t n = sizes[s];
            guarded x = guarded_make(n * 4), w = guarded_make(n * 4), a = guarded_make(n * 4), b = guarded_make(n * 4);
            random_fill(&seed, x.data, n, 20.0f);
            random_fill(&seed, w.data, n, 20.0f);
            portable.of[kind](x.data, w.data, n, a.data);
            other.of[kind](x.data, w.data, n, b.data);
            assert_memory_equal(a.data, b.data, n * 4);
            other.of[kind](x.data, w.data, n, w.data); /* in place */
            assert_memory_equal(a.data, w.data, n * 4);
            guarded_free(&x), guarded_free(&w), guarded_free(&a), guarded_free(&b);
        }
    }
}

static void soft_caps_are_equal(void **state) {
    (void)state;
    llmc_activation_kernels portable, other;
    llmc_activation_kernels_init(&portable, LLMC_TIER_C);
    uint64_t seed = 5;
    for (int tier = LLMC_TIER_C; tier < LLMC_TIERS; tier++) {
        if (!llmc_cpu_has_tier((llmc_cpu_tier)tier)) continue;
        llmc_activation_kernels_init(&other, (llmc_cpu_tier)tier);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            uint32_t n = sizes[s];
            guarded a = guarded_make(n * 4), b = guarded_make(n * 4);
            random_fill(&seed, a.data, n, 200.0f);
            memcpy(b.data, a.data, n * 4);
            portable.soft_cap(a.data, n, 30.0f);
            other.soft_cap(b.data, n, 30.0f);
            assert_memory_equal(a.data, b.data, n * 4);
            guarded_free(&a), guarded_free(&b);
        }
    }
}

static double exact(int kind, double gate, double up) {
    const double pi = 3.141592653589793;
    double gelu = 0.5 * gate * (1 + tanh(sqrt(2 / pi) * (gate + 0.044715 * gate * gate * gate)));
    double clamped = fmin(gate, 7);
    switch (kind) {
    case LLMC_SWIGLU:
        return gate / (1 + exp(-gate)) * up;
    case LLMC_GEGLU:
        return gelu * up;
    case LLMC_SWIGLU_CLAMPED:
        return clamped / (1 + exp(-1.702 * clamped)) * (fmax(-7, fmin(7, up)) + 1);
    case LLMC_GEGLU_EXACT:
        return 0.5 * gate * erfc(-gate / sqrt(2)) * up;
    case LLMC_REGLU:
        return fmax(gate, 0) * up;
    case LLMC_GELU:
        return gelu;
    case LLMC_GELU_EXACT:
        return 0.5 * gate * erfc(-gate / sqrt(2));
    default:
        return gate > 0 ? gate * gate : 0;
    }
}

static void activations_equal_doubles(void **state) {
    (void)state;
    llmc_activation_kernels kernels;
    llmc_activation_kernels_init(&kernels, LLMC_TIER_C);
    for (int kind = 0; kind < LLMC_ACTIVATIONS_KNOWN; kind++) {
        for (int i = -4000; i < 4000; i++) {
            float gate = (float)i * 0.005f, up = (float)(i % 37) * 0.5f, y;
            kernels.of[kind](&gate, &up, 1, &y);
            assert_true(fabs(y - exact(kind, gate, up)) <= 1e-5 * fabs(exact(kind, gate, up)) + 1e-6);
        }
    }
}

static const llmc_xielu curves[] = {{1.1f, 1.4f, 0.5f, -1e-6f}, {0.2f, 2.0f, 0.0f, 0.0f}, {0.7f, 0.6f, 1.0f, -0.5f}};
enum { CURVES = sizeof curves / sizeof *curves };

static void xielus_are_equal(void **state) {
    (void)state;
    llmc_activation_kernels portable, other;
    llmc_activation_kernels_init(&portable, LLMC_TIER_C);
    uint64_t seed = 9;
    for (int i = 0; i < LLMC_TIERS * CURVES; i++) {
        int tier = i / CURVES;
        if (!llmc_cpu_has_tier((llmc_cpu_tier)tier)) continue;
        llmc_activation_kernels_init(&other, (llmc_cpu_tier)tier);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            uint32_t n = sizes[s];
            guarded x = guarded_make(n * 4), a = guarded_make(n * 4);
            random_fill(&seed, x.data, n, s % 2 ? 20.0f : 0.5f);
            portable.xielu(x.data, &curves[i % CURVES], n, a.data);
            other.xielu(x.data, &curves[i % CURVES], n, x.data);
            assert_memory_equal(a.data, x.data, n * 4);
            guarded_free(&x), guarded_free(&a);
        }
    }
}

static void limits_equal_doubles(void **state) {
    (void)state;
    llmc_activation_kernels kernels;
    llmc_activation_kernels_init(&kernels, LLMC_TIER_C);
    for (int i = -400; i < 400; i++) {
        float gate = (float)i * 0.05f, up = (float)(i % 37) * 0.5f, y;
        kernels.swiglu_limited(&gate, &up, 7.0f, 1, &y);
        double expected = fmin(gate / (1 + exp(-gate)), 7) * fmax(-7, fmin(7, up));
        assert_true(fabs(y - expected) <= 1e-5 * fabs(expected) + 1e-6);
    }
}

static void xielu_equals_doubles(void **state) {
    (void)state;
    llmc_activation_kernels kernels;
    llmc_activation_kernels_init(&kernels, LLMC_TIER_C);
    for (int i = -40000; i < 40000; i++) {
        const llmc_xielu *c = &curves[(i + 40000) % CURVES];
        float x = (float)i * 0.0005f, y;
        double curve = (double)c->above * x * x;
        if (x <= 0) curve = (double)c->below * (expm1(fmin((double)x, (double)c->limit)) - (double)x);
        kernels.xielu(&x, c, 1, &y);
        assert_true(fabs(y - (curve + (double)c->slope * (double)x)) <= 2e-6 * (fabs(curve) + fabs((double)x)));
    }
}

static void tanh_is_accurate(void **state) {
    (void)state;
    for (int i = -20000; i < 20000; i++) {
        float x = (float)i * 1e-3f;
        assert_true(fabs(llmc_tanhf(x) - tanh((double)x)) <= 1.2e-7);
    }
    assert_true(llmc_tanhf(INFINITY) == 1.0f && llmc_tanhf(-INFINITY) == -1.0f && isnan(llmc_tanhf(NAN)));
}

/* Distance in units of the last place of the exact value. */
static double exp_error(float x) {
    double exact = exp((double)x);
    float near = (float)exact;
    double ulp = (double)nextafterf(near, INFINITY) - near;
    return fabs((double)llmc_expf(x) - exact) / ulp;
}

static void exp_is_accurate(void **state) {
    (void)state;
    double worst = 0;
    for (int i = 0; i < 2000000; i++) {
        float x = -87.0f + 175.0f * (float)i / 2000000.0f;
        double error = exp_error(x);
        worst = error > worst ? error : worst;
    }
    for (int i = -200000; i < 200000; i++) {
        double error = exp_error((float)i * 5e-6f);
        worst = error > worst ? error : worst;
    }
    assert_true(worst <= 1.5);
}

static void exp_at_the_edges(void **state) {
    (void)state;
    assert_true(llmc_expf(0.0f) == 1.0f && llmc_expf(-0.0f) == 1.0f);
    assert_true(llmc_expf(-INFINITY) == 0.0f && llmc_expf(-87.1f) == 0.0f && llmc_expf(-87.0f) > 0.0f);
    assert_true(llmc_expf(INFINITY) == INFINITY && llmc_expf(88.1f) == INFINITY && llmc_expf(88.0f) < INFINITY);
    assert_true(isnan(llmc_expf(NAN)));
    const float edges[] = {0.0f,  -0.0f,  -INFINITY, INFINITY, -87.0f, -87.00001f, 88.0f, 88.00001f, -200.0f,
                           1e30f, -1e30f, 1e-40f,    -1e-40f,  0.5f,   -0.3466f,   1.0f,  -1.0f,     NAN};
    uint32_t n = sizeof edges / sizeof *edges;
    float ones[18], a[18], b[18];
    for (uint32_t i = 0; i < n; i++) ones[i] = 1.0f;
    llmc_activation_kernels portable, other;
    llmc_activation_kernels_init(&portable, LLMC_TIER_C);
    for (int tier = LLMC_TIER_C; tier < LLMC_TIERS; tier++) {
        if (!llmc_cpu_has_tier((llmc_cpu_tier)tier)) continue;
        llmc_activation_kernels_init(&other, (llmc_cpu_tier)tier);
        for (int kind = 0; kind < LLMC_ACTIVATIONS_KNOWN; kind++) {
            portable.of[kind](edges, ones, n, a);
            other.of[kind](edges, ones, n, b);
            for (uint32_t i = 0; i < n; i++) assert_true(memcmp(&a[i], &b[i], 4) == 0 || (isnan(a[i]) && isnan(b[i])));
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiers_equal_portable),      cmocka_unit_test(soft_caps_are_equal),
        cmocka_unit_test(activations_equal_doubles), cmocka_unit_test(tanh_is_accurate),
        cmocka_unit_test(xielus_are_equal),          cmocka_unit_test(xielu_equals_doubles),
        cmocka_unit_test(limits_equal_doubles),      cmocka_unit_test(exp_is_accurate),
        cmocka_unit_test(exp_at_the_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
