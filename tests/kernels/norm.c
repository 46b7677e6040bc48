/* RMS norm and layer norm: every tier equals the portable one bit for bit, and that one equals doubles within its bound. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "guarded.h"
#include "kernels/cpu/norm.h"

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
            portable.layer_norm(x.data, w.data, NULL, n, 1e-5f, a.data);
            other.layer_norm(x.data, w.data, NULL, n, 1e-5f, b.data);
            assert_memory_equal(a.data, b.data, n * 4);
            portable.layer_norm(x.data, w.data, x.data, n, 1e-5f, a.data);
            other.layer_norm(x.data, w.data, x.data, n, 1e-5f, b.data);
            assert_memory_equal(a.data, b.data, n * 4);
            portable.rms_norm(x.data, w.data, n, 1e-5f, a.data);
            other.rms_norm(x.data, w.data, n, 1e-5f, x.data); /* in place */
            assert_memory_equal(a.data, x.data, n * 4);
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

static void layer_norm_equals_doubles(void **state) {
    (void)state;
    float x[1000], w[1000], bias[1000], y[1000];
    uint64_t seed = 3;
    random_fill(&seed, x, 1000, 3.0f);
    random_fill(&seed, w, 1000, 1.0f);
    random_fill(&seed, bias, 1000, 1.0f);
    llmc_norm_kernels kernels;
    llmc_norm_kernels_init(&kernels, LLMC_TIER_C);
    kernels.layer_norm(x, w, bias, 1000, 1e-5f, y);
    double mean = 0, variance = 0;
    for (int i = 0; i < 1000; i++) mean += x[i] / 1000.0;
    for (int i = 0; i < 1000; i++) variance += (x[i] - mean) * (x[i] - mean) / 1000.0;
    for (int i = 0; i < 1000; i++) {
        double expected = (x[i] - mean) / sqrt(variance + 1e-5f) * w[i] + bias[i];
        assert_true(fabs(y[i] - expected) <= 2e-6);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiers_equal_portable),
        cmocka_unit_test(norm_equals_doubles),
        cmocka_unit_test(layer_norm_equals_doubles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
