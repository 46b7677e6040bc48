/* The matrix products against OpenBLAS: weights unpacked and activations taken back from their form, both as doubles, must give
 * the kernel's result but for the roundings that its arithmetic has. Nothing of the kernels takes part in the answer, so this
 * also finds what the portable kernel and the others would have wrong together. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cpu/pack.h"
#include "tests/kernels/random_weights.h"

enum { N_RANDOM_SHAPES = 12, MOST_ROWS = 40, MOST_OUTPUTS = 150, SUB_BLOCK = 16 };

/* What a tier is to multiply; matrices are row-major. */
typedef struct problem {
    const weight_type *type;
    uint32_t n_outputs, cols, n_rows;
    llmc_packed packed;
    double *weights;    /* (n_outputs, cols) */
    double *magnitudes; /* (n_outputs, cols): the largest |weight| of each sub-block, which terms that cancel do not hide */
    float *x;           /* (n_rows, cols) */
    float *bias, *before;
} problem;

/* The same for one tier. */
typedef struct answer {
    llmc_act_form form;
    uint8_t *act;
    float *got;
    double *x, *x_magnitudes, *expected, *bound; /* as the form has them; (n_rows, n_outputs) */
} answer;

static void *array(size_t n, size_t size) {
    void *memory = NULL;
    assert_int_equal(posix_memalign(&memory, 64, n * size + 64), 0);
    memset(memory, 0, n * size + 64);
    return memory;
}

/* --- the problem --- */

static void unpack_weights(problem *p) {
    float *row = array(p->cols, sizeof *row);
    for (uint32_t o = 0; o < p->n_outputs; o++) {
        double *weights = p->weights + (size_t)o * p->cols, *magnitudes = p->magnitudes + (size_t)o * p->cols;
        uint32_t block = p->type->cols == 1 ? 1 : SUB_BLOCK;
        llmc_unpack_row(&p->packed, o, row);
        for (uint32_t c = 0; c < p->cols; c += block) {
            double largest = 0;
            for (uint32_t i = c; i < c + block; i++) largest = fmax(largest, fabs(weights[i] = (double)row[i]));
            for (uint32_t i = c; i < c + block; i++) magnitudes[i] = largest;
        }
    }
    free(row);
}

static void problem_init(problem *p, uint64_t *seed, const weight_type *type, uint32_t n_outputs, uint32_t cols,
                         uint32_t n_rows) {
    size_t n_weights = (size_t)n_outputs * cols;
    *p = (problem){.type = type, .n_outputs = n_outputs, .cols = cols, .n_rows = n_rows};
    uint8_t *blocks = array(n_weights / type->cols, type->bytes);
    random_weights(seed, type, blocks, n_weights);
    uint8_t *data = array(llmc_packed_bytes(type->id, n_outputs, cols), 1);
    p->packed = (llmc_packed){type->id, n_outputs, cols, llmc_packed_tile_bytes(type->id, cols), data};
    llmc_pack_rows(&p->packed, 0, n_outputs, blocks);
    free(blocks);
    p->weights = array(n_weights, sizeof(double));
    p->magnitudes = array(n_weights, sizeof(double));
    unpack_weights(p);
    p->x = array((size_t)n_rows * cols, sizeof(float));
    for (size_t i = 0; i < (size_t)n_rows * cols; i++) p->x[i] = random_float(seed);
    p->bias = array(n_outputs, sizeof(float));
    for (uint32_t o = 0; o < n_outputs; o++) p->bias[o] = random_float(seed);
    p->before = array((size_t)n_rows * n_outputs, sizeof(float));
    for (size_t i = 0; i < (size_t)n_rows * n_outputs; i++) p->before[i] = random_float(seed);
}

static void problem_free(problem *p) {
    free(p->packed.data);
    free(p->weights);
    free(p->magnitudes);
    free(p->x);
    free(p->bias);
    free(p->before);
}

/* --- activations as a form has them --- */

static double form_value(llmc_act_form form, const uint8_t *act, uint32_t cols, uint32_t c) {
    const llmc_act_32 *block_32 = (const llmc_act_32 *)(const void *)act + c / 32;
    const llmc_act_256 *block_256 = (const llmc_act_256 *)(const void *)act + c / 256;
    const uint16_t *halves = (const uint16_t *)(const void *)act;
    switch (form) {
    case LLMC_ACT_Q8_32:
        return (double)block_32->d * block_32->q[c % 32];
    case LLMC_ACT_Q8_256:
        return (double)block_256->d * block_256->q[c % 256];
    case LLMC_ACT_BF16:
        return (double)llmc_bf16_to_f32(halves[c]);
    case LLMC_ACT_BF16_X2:
        return (double)llmc_bf16_to_f32(halves[c]) + (double)llmc_bf16_to_f32(halves[llmc_bf16_row_bytes(cols) / 2 + c]);
    case LLMC_ACT_F32:
        break;
    }
    return (double)((const float *)(const void *)act)[c];
}

static void make_activations(const problem *p, const llmc_matmul_kernels *kernels, answer *a) {
    size_t row_bytes = llmc_act_row_bytes(a->form, p->cols);
    a->act = array(p->n_rows * row_bytes, 1);
    for (uint32_t r = 0; r < p->n_rows; r++) {
        uint8_t *act = a->act + r * row_bytes;
        kernels->quantize(a->form, p->x + (size_t)r * p->cols, p->cols, act);
        for (uint32_t c = 0; c < p->cols; c++) {
            size_t at = (size_t)r * p->cols + c;
            a->x[at] = form_value(a->form, act, p->cols, c);
            a->x_magnitudes[at] = fabs(a->x[at]);
        }
    }
}

/* --- the comparison --- */

/* Each of n sums rounds to 2^-24 of what it has so far, at most the sum of magnitudes; they add up as errors at random do. */
static double tolerance(const problem *p, llmc_act_form form) {
    double n_sums = p->type->cols == 1 ? p->cols : 2.0 * p->cols / p->type->cols;
    double error = (4 * sqrt(n_sums) + 8) * 0x1p-24;
    return form == LLMC_ACT_BF16_X2 ? error + 0x1p-17 : error; /* without the product of the low parts */
}

static void reference(const problem *p, answer *a) {
    int rows = (int)p->n_rows, outputs = (int)p->n_outputs, cols = (int)p->cols;
    for (uint32_t r = 0; r < p->n_rows; r++) {
        for (uint32_t o = 0; o < p->n_outputs; o++) {
            size_t at = (size_t)r * p->n_outputs + o;
            a->expected[at] = (double)p->before[at] + (double)p->bias[o];
            a->bound[at] = fabs((double)p->before[at]) + fabs((double)p->bias[o]);
        }
    }
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, outputs, cols, 1, a->x, cols, p->weights, cols, 1, a->expected,
                outputs);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, outputs, cols, 1, a->x_magnitudes, cols, p->magnitudes, cols, 1,
                a->bound, outputs);
}

static void compare(const problem *p, const answer *a, llmc_cpu_tier tier) {
    double allowed = tolerance(p, a->form);
    for (size_t i = 0; i < (size_t)p->n_rows * p->n_outputs; i++) {
        double error = fabs((double)a->got[i] - a->expected[i]);
        if (!(error <= allowed * a->bound[i]))
            fail_msg("%s %s: %u rows, %u outputs, %u columns: row %zu output %zu is %.9g, not %.9g: %.3g of the sum of "
                     "magnitudes, more than %.3g",
                     p->type->name, llmc_cpu_tier_name(tier), p->n_rows, p->n_outputs, p->cols, i / p->n_outputs,
                     i % p->n_outputs, (double)a->got[i], a->expected[i], error / a->bound[i], allowed);
    }
}

static void check_tier(const problem *p, llmc_cpu_tier tier) {
    llmc_matmul_kernels kernels;
    size_t n_x = (size_t)p->n_rows * p->cols, n_dst = (size_t)p->n_rows * p->n_outputs;
    answer a = {.got = array(n_dst, sizeof(float))};
    llmc_matmul_kernels_init(&kernels, tier);
    a.form = llmc_act_form_of(&kernels, p->type->id);
    a.x = array(n_x, sizeof(double));
    a.x_magnitudes = array(n_x, sizeof(double));
    a.expected = array(n_dst, sizeof(double));
    a.bound = array(n_dst, sizeof(double));
    make_activations(p, &kernels, &a);
    memcpy(a.got, p->before, n_dst * sizeof(float));
    void *scratch = array(llmc_matmul_scratch_bytes(tier, p->cols), 1);
    llmc_matmul_of(&kernels, p->type->id)(&p->packed, a.act, p->n_rows, 0, (p->n_outputs + LLMC_TILE_ROWS - 1) / LLMC_TILE_ROWS,
                                          a.got, p->n_outputs, p->bias, 1, scratch);
    reference(p, &a);
    compare(p, &a, tier);
    void *arrays[] = {a.got, a.act, a.x, a.x_magnitudes, a.expected, a.bound, scratch};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) free(arrays[i]);
}

static void check_shape(uint64_t *seed, const weight_type *type, uint32_t n_outputs, uint32_t cols, uint32_t n_rows) {
    problem p;
    problem_init(&p, seed, type, n_outputs, cols, n_rows);
    for (llmc_cpu_tier tier = LLMC_TIER_C; tier < LLMC_TIERS; tier++) {
        if (llmc_cpu_has_tier(tier)) check_tier(&p, tier);
    }
    problem_free(&p);
}

/* --- tests --- */

static void test_random_shapes(void **state) {
    uint64_t seed = 40;
    (void)state;
    for (int i = 0; i < N_WEIGHT_TYPES; i++) {
        const weight_type *type = &weight_types[i];
        uint32_t unit = type->cols == 1 ? 1 : type->cols, most = type->cols == 256 ? 5 : 1300 / unit;
        for (int n = 0; n < N_RANDOM_SHAPES; n++) {
            uint32_t n_outputs = (uint32_t)(random_next(&seed) % MOST_OUTPUTS) + 1;
            uint32_t cols = ((uint32_t)(random_next(&seed) % most) + 1) * unit;
            check_shape(&seed, type, n_outputs, cols, (uint32_t)(random_next(&seed) % MOST_ROWS) + 1);
        }
    }
}

/* One row, whole tiles, more rows than any kernel takes at once, and long sums. */
static void test_edge_shapes(void **state) {
    static const uint32_t shapes[][3] = {{1, 256, 1}, {16, 256, 16}, {33, 512, 65}, {64, 768, 100}, {17, 4096, 7}};
    uint64_t seed = 41;
    (void)state;
    for (int i = 0; i < N_WEIGHT_TYPES; i++) {
        for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
            check_shape(&seed, &weight_types[i], shapes[s][0], shapes[s][1], shapes[s][2]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_edge_shapes),
    };
    openblas_set_num_threads(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
