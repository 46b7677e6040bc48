/* RoPE frequencies: none, linear and YaRN scaling, and per-pair factors. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "model/rope.h"

enum { N_ROT = 64, PAIRS = N_ROT / 2 };

static llmc_rope_params params(llmc_rope_scaling scaling, float factor) {
    return (llmc_rope_params){.n_rot = N_ROT,
                              .base = 10000,
                              .scaling = scaling,
                              .factor = factor,
                              .original_context = 2048,
                              .beta_fast = 32,
                              .beta_slow = 1,
                              .attention_factor = 1};
}

static void assert_close(double got, double expected) {
    if (fabs(got - expected) > 1e-9 * fabs(expected)) fail_msg("%.12g instead of %.12g", got, expected);
}

static void test_unscaled(void **state) {
    (void)state;
    double f[PAIRS];
    llmc_rope_params p = params(LLMC_ROPE_UNSCALED, 4); /* the factor is not looked at */
    assert_true(llmc_rope_frequencies(&p, NULL, f) == 1.0f);
    assert_close(f[0], 1);
    assert_close(f[8], 0.1);
    assert_close(f[16], 0.01);
}

static void test_linear_and_factors(void **state) {
    (void)state;
    double f[PAIRS];
    float factors[PAIRS];
    for (int i = 0; i < PAIRS; i++) factors[i] = i < 16 ? 1 : 8;
    llmc_rope_params p = params(LLMC_ROPE_LINEAR, 4);
    p.attention_factor = 0.5f;
    assert_true(llmc_rope_frequencies(&p, factors, f) == 0.5f);
    assert_close(f[8], 0.1 / 4);
    assert_close(f[16], 0.01 / 4 / 8);
}

/* The paper's numbers: pairs that turn more than beta_fast times over the original context stay, those that turn less than
 * beta_slow times are scaled, a ramp between; the temperature is 0.1 ln(factor) + 1. */
static void test_yarn(void **state) {
    (void)state;
    double f[PAIRS], own[PAIRS];
    llmc_rope_params plain = params(LLMC_ROPE_UNSCALED, 1), p = params(LLMC_ROPE_YARN, 4);
    llmc_rope_frequencies(&plain, NULL, own);
    float scale = llmc_rope_frequencies(&p, NULL, f);
    assert_true(fabs(scale - (1 + 0.1 * log(4))) < 1e-6);
    /* 2048 / (32 * 2 pi) turns: pair 8.06, down to 8; 2048 / (2 pi): pair 20.1, up to 21. */
    for (int i = 0; i <= 8; i++) assert_close(f[i], own[i]);
    for (int i = 21; i < PAIRS; i++) assert_close(f[i], own[i] / 4);
    double kept = 1 - (14 - 8) / 13.0;
    assert_close(f[14], own[14] * kept + own[14] / 4 * (1 - kept));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_unscaled), cmocka_unit_test(test_linear_and_factors),
                                       cmocka_unit_test(test_yarn)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
