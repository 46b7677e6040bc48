/* F32 products through OpenBLAS: about what the exact ones are, only where they were asked for; and what is said without it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/backend.h"

enum { WIDTH = 300, OUTPUTS = 16 * 70 + 5, FEW_OUTPUTS = 21, ROWS = 530, N_VALUES = ROWS * OUTPUTS };

static float value_at(uint32_t i) {
    return (float)(int32_t)(i * 2654435761u) * 0x1p-31f;
}

typedef struct machine {
    llmc_env env;
    llmc_backend *backend;
    llmc_weight *wide, *narrow;
    float *src, *bias, *dst, *dst_narrow;
} machine;

static llmc_weight *make_weight(llmc_backend *backend, uint32_t n_outputs) {
    llmc_weight *weight;
    float *values = malloc(sizeof(float) * WIDTH * n_outputs);
    for (uint32_t i = 0; i < WIDTH * n_outputs; i++) values[i] = value_at(i + 7);
    assert_int_equal(backend->call->weight_create(backend, 0, n_outputs, WIDTH, &weight, NULL), LLMCALL_OK);
    assert_int_equal(backend->call->weight_fill(backend, weight, 0, n_outputs, values, NULL), LLMCALL_OK);
    free(values);
    return weight;
}

static void machine_init(machine *m, llmc_cpu_tier tier, int32_t n_threads, int inexact) {
    llmc_env_init(&m->env, NULL);
    LLMCALL_INIT(llmcall_error, error);
    assert_int_equal(llmc_cpu_backend_create(&m->env, n_threads, llmc_cpu_tier_name(tier), &m->backend, &error), LLMCALL_OK);
    if (inexact && llmc_cpu_backend_inexact(m->backend, NULL, &error) != LLMCALL_OK) fail_msg("%s", error.message);
    const llmc_backend_functions *call = m->backend->call;
    m->wide = make_weight(m->backend, OUTPUTS);
    m->narrow = make_weight(m->backend, FEW_OUTPUTS);
    m->src = call->alloc(m->backend, ROWS * WIDTH);
    m->bias = call->alloc(m->backend, OUTPUTS);
    m->dst = call->alloc(m->backend, N_VALUES);
    m->dst_narrow = call->alloc(m->backend, ROWS * FEW_OUTPUTS);
    for (uint32_t i = 0; i < ROWS * WIDTH; i++) m->src[i] = value_at(i);
    for (uint32_t i = 0; i < OUTPUTS; i++) m->bias[i] = value_at(i + 3);
    for (uint32_t i = 0; i < N_VALUES; i++) m->dst[i] = value_at(i + 5);
    assert_int_equal(call->reserve(m->backend, ROWS, WIDTH, 64, 4, NULL), LLMCALL_OK);
}

static void machine_free(machine *m) {
    const llmc_backend_functions *call = m->backend->call;
    call->weight_destroy(m->backend, m->wide);
    call->weight_destroy(m->backend, m->narrow);
    float *arrays[] = {m->src, m->bias, m->dst, m->dst_narrow};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) call->release(m->backend, arrays[i]);
    call->destroy(m->backend);
}

static void run(machine *m, uint32_t n_rows, int accumulate) {
    llmc_op op = {.kind = LLMC_OP_MATMUL};
    op.u.matmul = (llmc_op_matmul){.n_rows = n_rows, .width = WIDTH, .src = m->src, .n_parts = 2, .accumulate = accumulate};
    op.u.matmul.part[0].weight = m->narrow;
    op.u.matmul.part[0].dst = m->dst_narrow;
    op.u.matmul.part[1].weight = m->wide;
    op.u.matmul.part[1].bias = m->bias;
    op.u.matmul.part[1].dst = m->dst;
    llmc_batch batch = {0};
    assert_int_equal(m->backend->call->run(m->backend, &batch, &op, 1, NULL), LLMCALL_OK);
}

/* Sums of WIDTH products of numbers below 1, in another order. */
static void check_close(const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (!(fabsf(a[i] - b[i]) <= 1e-4f)) fail_msg("value %zu is %g, not %g", i, (double)a[i], (double)b[i]);
    }
}

static int have_openblas(void) {
    llmc_env env;
    llmc_env_init(&env, NULL);
    llmc_backend *backend;
    assert_int_equal(llmc_cpu_backend_create(&env, 1, "c", &backend, NULL), LLMCALL_OK);
    int have = llmc_cpu_backend_inexact(backend, NULL, NULL) == LLMCALL_OK;
    backend->call->destroy(backend);
    if (!have) print_message("SKIPPED: no OpenBLAS here\n");
    return have;
}

static void about_the_same(void **state) {
    (void)state;
    if (!have_openblas()) return;
    for (llmc_cpu_tier tier = LLMC_TIER_C; tier < LLMC_TIERS; tier++) {
        if (!llmc_cpu_has_tier(tier)) continue;
        for (int accumulate = 0; accumulate < 2; accumulate++) {
            uint32_t n_rows = tier == LLMC_TIER_C ? 30 : ROWS; /* portable C is slow, and does with fewer rows */
            machine exact, inexact;
            machine_init(&exact, tier, 2, 0);
            machine_init(&inexact, tier, 2, 1);
            run(&exact, n_rows, accumulate);
            run(&inexact, n_rows, accumulate);
            check_close(inexact.dst, exact.dst, N_VALUES); /* rows beyond n_rows: as they were */
            check_close(inexact.dst_narrow, exact.dst_narrow, ROWS * FEW_OUTPUTS);
            int by_blas = ((llmc_cpu_backend *)inexact.backend)->blas.sgemm != NULL;
            assert_int_equal(by_blas, tier < LLMC_TIER_AVX512);
            if (by_blas) assert_true(memcmp(inexact.dst, exact.dst, sizeof(float) * N_VALUES) != 0);
            machine_free(&exact);
            machine_free(&inexact);
        }
    }
}

static void few_rows_stay_exact(void **state) {
    (void)state;
    if (!have_openblas()) return;
    machine exact, inexact;
    machine_init(&exact, LLMC_TIER_C, 1, 0);
    machine_init(&inexact, LLMC_TIER_C, 1, 1);
    run(&exact, 5, 0);
    run(&inexact, 5, 0);
    assert_memory_equal(inexact.dst, exact.dst, sizeof(float) * N_VALUES);
    machine_free(&exact);
    machine_free(&inexact);
}

static void without_openblas(void **state) {
    (void)state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    llmc_backend *backend;
    LLMCALL_INIT(llmcall_error, error);
    assert_int_equal(llmc_cpu_backend_create(&env, 1, "c", &backend, &error), LLMCALL_OK);
    static const char *const libraries[] = {"libno-such-blas.so.0", "libm.so.6"};
    for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        assert_int_equal(llmc_cpu_backend_inexact(backend, libraries[i], &error), LLMCALL_E_UNSUPPORTED);
        assert_string_equal(error.param, "inexact");
        assert_non_null(strstr(error.message, libraries[i]));
        assert_non_null(strstr(error.message, "libopenblas0-pthread"));
    }
    backend->call->destroy(backend);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(about_the_same),
        cmocka_unit_test(few_rows_stay_exact),
        cmocka_unit_test(without_openblas),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
