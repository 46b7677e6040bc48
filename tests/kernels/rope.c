/* Rotary embedding: every tier equals the portable one bit for bit, and that one turns as the definition says. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "guarded.h"
#include "kernels/cpu/rope.h"

static void tiers_equal_portable(void **state) {
    (void)state;
    llmc_rope_kernels portable, other;
    llmc_rope_kernels_init(&portable, LLMC_TIER_C);
    uint64_t seed = 1;
    for (int tier = LLMC_TIER_C; tier < LLMC_TIERS; tier++) {
        if (!llmc_cpu_has_tier((llmc_cpu_tier)tier)) continue;
        llmc_rope_kernels_init(&other, (llmc_cpu_tier)tier);
        for (uint32_t n = 0; n <= 272; n += 2) {
            for (int kind = 0; kind < 2; kind++) {
                guarded a = guarded_make(n * 4), b = guarded_make(n * 4), table = guarded_make(n * 4);
                random_fill(&seed, table.data, n, 1.0f);
                random_fill(&seed, a.data, n, 5.0f);
                memcpy(b.data, a.data, n * 4);
                (kind ? portable.halves : portable.interleaved)(a.data, n, table.data);
                (kind ? other.halves : other.interleaved)(b.data, n, table.data);
                assert_memory_equal(a.data, b.data, n * 4);
                guarded_free(&a), guarded_free(&b), guarded_free(&table);
            }
        }
    }
}

/* Turning by an angle and looking where the pair went. */
static void turns_by_the_angle(void **state) {
    (void)state;
    double inv_freq[4] = {1.0, 0.1, 0.01, 0.001};
    float table[8], x[8] = {1, 0, 1, 0, 1, 0, 1, 0}, y[8] = {1, 1, 1, 1, 0, 0, 0, 0};
    llmc_rope_kernels kernels;
    llmc_rope_kernels_init(&kernels, LLMC_TIER_C);
    llmc_rope_angles(1000000, inv_freq, 8, 2.0f, table);
    kernels.interleaved(x, 8, table);
    kernels.halves(y, 8, table);
    for (int i = 0; i < 4; i++) {
        double angle = 1e6 * inv_freq[i];
        assert_true(fabs(x[2 * i] - 2 * cos(angle)) < 1e-6 && fabs(x[2 * i + 1] - 2 * sin(angle)) < 1e-6);
        assert_true(y[i] == x[2 * i] && y[i + 4] == x[2 * i + 1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiers_equal_portable),
        cmocka_unit_test(turns_by_the_angle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
