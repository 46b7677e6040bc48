/* RMS norm, SwiGLU and exp: every tier equals the portable one bit for bit, and that one equals doubles within its bound. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "guarded.h"
#include "kernels/cpu/norm.h"
#include "kernels/cpu/vecmath.h"

static const uint32_t sizes[] = {1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 33, 64, 80, 96, 128, 255, 576, 1536, 4099};

static void tiers_equal_portable(void **state) {
    (void)state;
    llmc_norm_kernels portable, other;
    llmc_norm_kernels_init(&portable, LLMC_TIER_C);
    uint64_t seed = 1;
    for (int tier = LLMC_TIER_C; tier < LLMC_TIERS; tier++) {
        if (!llmc_cpu_has_tier((llmc_cpu_tier)tier)) continue;
        llmc_norm_kernels_init(&other, (llmc_cpu_tier)tier);
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            uint32_t n = sizes[s];
            guarded x = guarded_make(n * 4), w = guarded_make(n * 4), a = guarded_make(n * 4), b = guarded_make(n * 4);
            random_fill(&seed, x.data, n, 20.0f);
            random_fill(&seed, w.data, n, 2.0f);
            portable.rms_norm(x.data, w.data, n, 1e-5f, a.data);
            other.rms_norm(x.data, w.data, n, 1e-5f, b.data);
            assert_memory_equal(a.data, b.data, n * 4);
            portable.swiglu(x.data, w.data, n, a.data);
            other.swiglu(x.data, w.data, n, b.data);
            assert_memory_equal(a.data, b.data, n * 4);
            other.rms_norm(x.data, w.data, n, 1e-5f, x.data); /* in place */
            portable.swiglu(x.data, w.data, n, a.data);
            other.swiglu(x.data, w.data, n, w.data);
            assert_memory_equal(a.data, w.data, n * 4);
            guarded_free(&x), guarded_free(&w), guarded_free(&a), guarded_free(&b);
        }
    }
}

static void norm_equals_doubles(void **state) {
    (void)state;
    float x[1000], w[1000], y[1000];
    uint64_t seed = 2;
    random_fill(&seed, x, 1000, 3.0f);
    random_fill(&seed, w, 1000, 1.0f);
    llmc_norm_kernels kernels;
    llmc_norm_kernels_init(&kernels, LLMC_TIER_C);
    kernels.rms_norm(x, w, 1000, 1e-5f, y);
    double sum = 0;
    for (int i = 0; i < 1000; i++) sum += (double)x[i] * x[i];
    for (int i = 0; i < 1000; i++) {
        double expected = x[i] / sqrt(sum / 1000 + 1e-5f) * w[i];
        assert_true(fabs(y[i] - expected) <= 1e-6 * fabs(expected) + 1e-12);
    }
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
    llmc_norm_kernels portable, other;
    llmc_norm_kernels_init(&portable, LLMC_TIER_C);
    portable.swiglu(edges, ones, n, a);
    for (int tier = LLMC_TIER_C; tier < LLMC_TIERS; tier++) {
        if (!llmc_cpu_has_tier((llmc_cpu_tier)tier)) continue;
        llmc_norm_kernels_init(&other, (llmc_cpu_tier)tier);
        other.swiglu(edges, ones, n, b);
        for (uint32_t i = 0; i < n; i++) assert_true(memcmp(&a[i], &b[i], 4) == 0 || (isnan(a[i]) && isnan(b[i])));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiers_equal_portable),
        cmocka_unit_test(norm_equals_doubles),
        cmocka_unit_test(exp_is_accurate),
        cmocka_unit_test(exp_at_the_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
