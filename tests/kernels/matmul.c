/* The matrix product of every type and tier: the same bits as the portable one whatever the rows, tiles and split (where a tier
 * multiplies floats as bfloat16, as that of one row), close to the product in double precision, and never a byte beyond its
 * buffers (each ends at a page that faults). */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__x86_64__)
#define LLMC_X86 /* a tier's kernels by name */
#endif
#include "kernels/cpu/pack.h"
#include "model/quant.h"
#include "tests/kernels/random_weights.h"

enum { MAX_ROWS = 40, PAD = 5 /* floats between rows of dst */ };

/* --- memory that ends at a guard page --- */

typedef struct guarded {
    uint8_t *map, *data;
    size_t map_bytes;
} guarded;

static guarded guarded_alloc(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = (bytes + page - 1) / page * page;
    guarded g = {NULL, NULL, whole + page};
    g.map = mmap(NULL, g.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(g.map != MAP_FAILED);
    assert_int_equal(mprotect(g.map + whole, page, PROT_NONE), 0);
    g.data = g.map + whole - bytes;
    memset(g.data, 0xa5, bytes);
    return g;
}

static void guarded_free(guarded *g) {
    munmap(g->map, g->map_bytes);
}

/* --- a weight, activations and the answer of the portable kernel, one row at a time --- */

typedef struct problem {
    const weight_type *type;
    uint32_t rows, cols, n_rows;
    guarded blocks, packed_data, x, act, dst;
    llmc_packed packed;
    llmc_act_form form;
    size_t act_bytes, dst_stride;
    float *bias, *expected; /* (n_rows, rows): sums before bias */
} problem;

static void problem_free(problem *p) {
    guarded_free(&p->blocks);
    guarded_free(&p->packed_data);
    guarded_free(&p->x);
    guarded_free(&p->act);
    guarded_free(&p->dst);
    free(p->bias);
    free(p->expected);
}

static void expect_by_rows(problem *p, const llmc_matmul_kernels *kernels, llmc_cpu_tier tier) {
    uint32_t n_tiles = (p->rows + LLMC_TILE_ROWS - 1) / LLMC_TILE_ROWS;
    llmc_matmul_function matmul = llmc_matmul_of(kernels, p->type->id);
    guarded scratch = guarded_alloc(llmc_matmul_scratch_bytes(tier, p->cols));
    for (uint32_t r = 0; r < p->n_rows; r++) {
        uint8_t *act = p->act.data + r * p->act_bytes;
        kernels->quantize(p->form, (const float *)(void *)p->x.data + (size_t)r * p->cols, p->cols, act);
        matmul(&p->packed, act, 1, 0, n_tiles, p->expected + (size_t)r * p->rows, p->rows, NULL, 0, scratch.data);
    }
    guarded_free(&scratch);
}

static void expect_by_portable_rows(problem *p) {
    llmc_matmul_kernels c;
    llmc_matmul_kernels_init(&c, LLMC_TIER_C);
    expect_by_rows(p, &c, LLMC_TIER_C);
}

/* In pieces, as a loader's threads do. */
static void pack_all(problem *p, uint64_t *seed) {
    size_t row_bytes = (size_t)p->cols / p->type->cols * p->type->bytes;
    for (uint32_t row = 0; row < p->rows;) {
        uint32_t n = (uint32_t)(random_next(seed) % 3 + 1) * LLMC_TILE_ROWS;
        n = p->rows - row < n ? p->rows - row : n;
        llmc_pack_rows(&p->packed, row, n, p->blocks.data + row * row_bytes);
        row += n;
    }
}

static void problem_alloc(problem *p, const weight_type *type, uint32_t rows, uint32_t cols, uint32_t n_rows) {
    llmc_matmul_kernels c;
    llmc_matmul_kernels_init(&c, LLMC_TIER_C);
    memset(p, 0, sizeof *p);
    p->type = type;
    p->rows = rows;
    p->cols = cols;
    p->n_rows = n_rows;
    p->form = llmc_act_form_of(&c, type->id);
    p->act_bytes = llmc_act_row_bytes(p->form, cols);
    p->dst_stride = rows + PAD;
    p->blocks = guarded_alloc((size_t)rows * cols / type->cols * type->bytes);
    p->packed_data = guarded_alloc(llmc_packed_bytes(type->id, rows, cols));
    p->x = guarded_alloc((size_t)n_rows * cols * sizeof(float));
    p->act = guarded_alloc(n_rows * p->act_bytes);
    p->dst = guarded_alloc((n_rows * p->dst_stride - PAD) * sizeof(float));
    p->packed = (llmc_packed){type->id, rows, cols, llmc_packed_tile_bytes(type->id, cols), p->packed_data.data};
    p->bias = malloc(rows * sizeof(float));
    p->expected = malloc((size_t)rows * n_rows * sizeof(float));
}

static void problem_init(problem *p, uint64_t *seed, const weight_type *type, uint32_t rows, uint32_t cols, uint32_t n_rows) {
    problem_alloc(p, type, rows, cols, n_rows);
    random_weights(seed, type, p->blocks.data, (size_t)rows * cols);
    for (size_t i = 0; i < (size_t)n_rows * cols; i++) ((float *)(void *)p->x.data)[i] = random_float(seed);
    for (uint32_t i = 0; i < rows; i++) p->bias[i] = random_float(seed);
    pack_all(p, seed);
    expect_by_portable_rows(p);
}

static void random_problem(problem *p, uint64_t *seed, const weight_type *type, uint32_t n_rows) {
    uint32_t unit = type->cols == 1 ? 7 : type->cols, most = type->cols == 256 ? 4 : 20;
    uint32_t rows = (uint32_t)(random_next(seed) % 100 + 1), cols = (uint32_t)(random_next(seed) % most + 1) * unit;
    problem_init(p, seed, type, rows, cols, n_rows);
}

/* --- comparisons --- */

/* Equal bits; any NaN equals any other, whose payloads the order of fma's operands decides. */
static int same(float a, float b) {
    return llmc_f32_bits(a) == llmc_f32_bits(b) || (a != a && b != b);
}

static const float UNTOUCHED = -12345.678f;

static void check_dst(const problem *p, llmc_cpu_tier tier, uint32_t begin, uint32_t end, int with_bias, int accumulate) {
    const float *dst = (const float *)(const void *)p->dst.data;
    size_t n = p->n_rows * p->dst_stride - PAD;
    for (size_t i = 0; i < n; i++) {
        size_t r = i / p->dst_stride, o = i % p->dst_stride;
        float expected = UNTOUCHED;
        if (o < p->rows && o >= (size_t)begin * LLMC_TILE_ROWS && o < (size_t)end * LLMC_TILE_ROWS) {
            float value = p->expected[r * p->rows + o];
            if (with_bias) value = value + p->bias[o];
            expected = accumulate ? UNTOUCHED + value : value;
        }
        if (!same(dst[i], expected))
            fail_msg("%s %s: %u rows, %u outputs, %u columns, tiles %u..%u: row %zu output %zu is %a, not %a", p->type->name,
                     llmc_cpu_tier_name(tier), p->n_rows, p->rows, p->cols, begin, end, r, o, (double)dst[i], (double)expected);
    }
}

static void check_product(const problem *p, const llmc_matmul_kernels *kernels, llmc_cpu_tier tier, uint64_t *seed,
                          int variant) {
    uint32_t n_tiles = (p->rows + LLMC_TILE_ROWS - 1) / LLMC_TILE_ROWS, begin = 0, end = n_tiles;
    float *dst = (float *)(void *)p->dst.data;
    if (variant >= 2) {
        begin = (uint32_t)(random_next(seed) % n_tiles);
        end = begin + (uint32_t)(random_next(seed) % (n_tiles - begin)) + 1;
    }
    for (size_t i = 0; i < p->n_rows * p->dst_stride - PAD; i++) dst[i] = UNTOUCHED;
    guarded scratch = guarded_alloc(llmc_matmul_scratch_bytes(tier, p->cols));
    llmc_matmul_of(kernels, p->type->id)(&p->packed, p->act.data, p->n_rows, begin, end, dst, p->dst_stride,
                                         variant & 1 ? p->bias : NULL, variant == 3, scratch.data);
    guarded_free(&scratch);
    check_dst(p, tier, begin, end, variant & 1, variant == 3);
}

static void check_same_bf16(uint32_t n, const uint16_t *a, const uint16_t *b) {
    for (uint32_t i = 0; i < n; i++) assert_true(same(llmc_bf16_to_f32(a[i]), llmc_bf16_to_f32(b[i])));
}

/* The parts of a row of activations that quantize writes. */
static void check_same_act(llmc_act_form form, uint32_t cols, const void *a, const void *b) {
    size_t low = llmc_bf16_row_bytes(cols) / 2;
    uint32_t whole = (cols + 31) / 32 * 32;
    if (form == LLMC_ACT_BF16 || form == LLMC_ACT_BF16_X2) check_same_bf16(whole, a, b);
    if (form == LLMC_ACT_BF16_X2) check_same_bf16(whole, (const uint16_t *)a + low, (const uint16_t *)b + low);
    if (form == LLMC_ACT_F32) {
        assert_memory_equal(a, b, cols * sizeof(float));
        return;
    }
    for (uint32_t i = 0; form == LLMC_ACT_Q8_32 && i < cols / 32; i++) {
        const llmc_act_32 *x = (const llmc_act_32 *)a + i, *y = (const llmc_act_32 *)b + i;
        assert_true(same(x->d, y->d) && same(x->s, y->s));
        assert_int_equal(x->neg_sum, y->neg_sum);
        assert_memory_equal(x->q, y->q, sizeof x->q);
    }
    for (uint32_t i = 0; form == LLMC_ACT_Q8_256 && i < cols / 256; i++) {
        const llmc_act_256 *x = (const llmc_act_256 *)a + i, *y = (const llmc_act_256 *)b + i;
        assert_true(same(x->d, y->d));
        assert_memory_equal(x->q, y->q, sizeof x->q);
        assert_memory_equal(x->sum_32, y->sum_32, sizeof x->sum_32);
        assert_memory_equal(x->sum_16, y->sum_16, sizeof x->sum_16);
    }
}

static void check_quantize(const problem *p, const llmc_matmul_kernels *kernels) {
    guarded act = guarded_alloc(p->act_bytes), x = guarded_alloc(p->cols * sizeof(float));
    for (uint32_t r = 0; r < p->n_rows; r++) {
        memcpy(x.data, p->x.data + (size_t)r * p->cols * sizeof(float), p->cols * sizeof(float));
        kernels->quantize(p->form, (const float *)(void *)x.data, p->cols, act.data);
        check_same_act(p->form, p->cols, act.data, p->act.data + r * p->act_bytes);
    }
    guarded_free(&act);
    guarded_free(&x);
}

/* How far products of bfloat16 may be off, of the sum of magnitudes: what rounding an activation loses (and, of two parts each,
 * the product of the low ones), a rounding a column, and subnormals taken for zeros. */
static void check_accuracy(const problem *p, llmc_cpu_tier tier) {
    double loss = (p->form == LLMC_ACT_BF16 ? 0x1p-8 : 0x1.8p-15) + p->cols * 0x1p-24, tiny = p->cols * 0x1p-124;
    float *w = malloc(p->cols * sizeof *w);
    for (uint32_t o = 0; o < p->rows; o++) {
        llmc_unpack_row(&p->packed, o, w);
        for (uint32_t r = 0; r < p->n_rows; r++) {
            const float *x = (const float *)(const void *)p->x.data + (size_t)r * p->cols;
            double sum = 0, size = 0, got = (double)p->expected[r * p->rows + o];
            int in_range = 1;
            for (uint32_t c = 0; c < p->cols; c++) {
                in_range &= fabsf(x[c]) < 1e37f;
                sum += (double)w[c] * (double)x[c];
                size += fabs((double)w[c] * (double)x[c]);
            }
            if (in_range && !(fabs(got - sum) <= size * loss + tiny))
                fail_msg("%s %s: %u columns: %a, not %a", p->type->name, llmc_cpu_tier_name(tier), p->cols, got, sum);
        }
    }
    free(w);
}

/* A type that the tier multiplies in a form of its own: rows alone are accurate, and any others are the same bits. */
static void check_own_form(const problem *portable, const llmc_matmul_kernels *kernels, llmc_cpu_tier tier, uint64_t *seed) {
    problem p = *portable;
    llmc_matmul_kernels c;
    llmc_matmul_kernels_init(&c, LLMC_TIER_C);
    p.form = llmc_act_form_of(kernels, p.type->id);
    p.act_bytes = llmc_act_row_bytes(p.form, p.cols);
    p.act = guarded_alloc(p.n_rows * p.act_bytes);
    p.expected = malloc((size_t)p.rows * p.n_rows * sizeof(float));
    expect_by_rows(&p, kernels, tier);
    check_quantize(&p, &c);
    check_accuracy(&p, tier);
    for (int variant = 0; variant < 4; variant++) check_product(&p, kernels, tier, seed, variant);
    guarded_free(&p.act);
    free(p.expected);
}

static void for_each_tier(const problem *p, uint64_t *seed) {
    for (llmc_cpu_tier tier = LLMC_TIER_C; tier < LLMC_TIERS; tier++) {
        llmc_matmul_kernels kernels;
        if (!llmc_cpu_has_tier(tier)) continue;
        llmc_matmul_kernels_init(&kernels, tier);
        check_quantize(p, &kernels);
        if (llmc_act_form_of(&kernels, p->type->id) != p->form) {
            check_own_form(p, &kernels, tier, seed);
            continue;
        }
        for (int variant = 0; variant < 4; variant++) check_product(p, &kernels, tier, seed, variant);
#ifdef LLMC_X86
        if (tier != LLMC_TIER_AVX512 || p->form == LLMC_ACT_F32) continue;
        /* The walk that this machine would not choose. */
        llmc_matmul_kernels_avx512(&kernels, llmc_cpu_masks_beside_dots());
        for (int variant = 0; variant < 4; variant++) check_product(p, &kernels, tier, seed, variant);
#endif
    }
}

/* --- tests --- */

static void test_tiers_are_there(void **state) {
    (void)state;
    for (llmc_cpu_tier tier = LLMC_TIER_C; tier < LLMC_TIERS; tier++) {
        if (!llmc_cpu_has_tier(tier)) print_message("SKIPPED: this machine has no tier %s\n", llmc_cpu_tier_name(tier));
    }
}

static void test_same_bits(void **state) {
    uint64_t seed = 20;
    (void)state;
    for (int i = 0; i < N_WEIGHT_TYPES; i++) {
        for (uint32_t n_rows = 1; n_rows <= MAX_ROWS; n_rows++) {
            problem p;
            random_problem(&p, &seed, &weight_types[i], n_rows);
            for_each_tier(&p, &seed);
            problem_free(&p);
        }
    }
}

/* More tiles than stay in the cache at once, and the smallest shapes. */
static void test_edge_shapes(void **state) {
    static const uint32_t shapes[][3] = {{1, 256, 1},    {16, 256, 9},   {17, 512, 2},  {16 * 40 + 3, 1024, 3},
                                         {33, 4096, 17}, {48, 768, 165}, {18, 512, 300}};
    uint64_t seed = 21;
    (void)state;
    for (int i = 0; i < N_WEIGHT_TYPES; i++) {
        for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
            problem p;
            problem_init(&p, &seed, &weight_types[i], shapes[s][0], shapes[s][1], shapes[s][2]);
            for_each_tier(&p, &seed);
            problem_free(&p);
        }
    }
}

static void test_unpack_is_dequantize(void **state) {
    uint64_t seed = 22;
    (void)state;
    for (int i = 0; i < N_WEIGHT_TYPES; i++) {
        problem p;
        random_problem(&p, &seed, &weight_types[i], 1);
        size_t row_bytes = (size_t)p.cols / p.type->cols * p.type->bytes;
        guarded got = guarded_alloc(p.cols * sizeof(float)), expected = guarded_alloc(p.cols * sizeof(float));
        for (uint32_t row = 0; row < p.rows; row++) {
            llmc_unpack_row(&p.packed, row, (float *)(void *)got.data);
            llmc_dequantize(p.type->id, p.blocks.data + row * row_bytes, p.cols, (float *)(void *)expected.data);
            if (memcmp(got.data, expected.data, p.cols * sizeof(float))) fail_msg("%s: row %u differs", p.type->name, row);
        }
        guarded_free(&got);
        guarded_free(&expected);
        problem_free(&p);
    }
}

/* Missing rows of the last tile are zero bytes whatever was there before. */
static void test_missing_rows_are_zeros(void **state) {
    uint64_t seed = 23;
    (void)state;
    for (int i = 0; i < N_WEIGHT_TYPES; i++) {
        problem p;
        float *row = calloc(512, sizeof *row);
        problem_init(&p, &seed, &weight_types[i], 19, 512, 1);
        p.packed.rows = 32;
        for (uint32_t r = 19; r < 32; r++) {
            llmc_unpack_row(&p.packed, r, row);
            for (int c = 0; c < 512; c++) assert_true(row[c] == 0.0f);
        }
        free(row);
        problem_free(&p);
    }
}

static void test_close_to_double_precision(void **state) {
    uint64_t seed = 24;
    (void)state;
    for (int i = 0; i < N_WEIGHT_TYPES; i++) {
        problem p;
        problem_init(&p, &seed, &weight_types[i], 48, 1024, 3);
        double error = 0, power = 0;
        float *w = malloc(p.cols * sizeof *w);
        for (uint32_t o = 0; o < p.rows; o++) {
            llmc_unpack_row(&p.packed, o, w);
            for (uint32_t r = 0; r < p.n_rows; r++) {
                const float *x = (const float *)(void *)p.x.data + (size_t)r * p.cols;
                double sum = 0, got = (double)p.expected[r * p.rows + o];
                for (uint32_t c = 0; c < p.cols; c++) sum += (double)w[c] * (double)x[c];
                error += (got - sum) * (got - sum);
                power += sum * sum;
            }
        }
        if (!(error / power <= (p.form == LLMC_ACT_F32 ? 1e-12 : 1e-4))) fail_msg("%s: NMSE %g", p.type->name, error / power);
        free(w);
        problem_free(&p);
    }
}

static void test_quantize_is_nearest(void **state) {
    llmc_matmul_kernels c;
    uint64_t seed = 25;
    float x[256];
    llmc_act_256 block;
    (void)state;
    llmc_matmul_kernels_init(&c, LLMC_TIER_C);
    for (int i = 0; i < 256; i++) x[i] = random_float(&seed) * 3.0f;
    x[77] = -4.0f;
    c.quantize(LLMC_ACT_Q8_256, x, 256, &block);
    assert_true(block.d == 4.0f / 127.0f);
    assert_int_equal(block.q[77], -127);
    int sum = 0;
    for (int i = 0; i < 256; i++) {
        assert_true(fabsf(x[i] - block.d * (float)block.q[i]) <= block.d * 0.50001f);
        sum += block.q[i];
        if (i % 32 == 31) {
            assert_int_equal(block.sum_32[i / 32], sum);
            assert_int_equal(block.sum_16[i / 16 - 1] + block.sum_16[i / 16], sum);
            sum = 0;
        }
    }
}

/* Scales and activations at the edges of their formats: nothing faults, and every tier still makes the same bits. */
static void test_extremes(void **state) {
    static const uint16_t halves[] = {0x0000, 0x8000, 0x0001, 0x83ff, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e00, 0x7d01};
    static const uint8_t exponents[] = {0, 1, 2, 3, 120, 128, 254, 255};
    static const float values[] = {0.0f, -0.0f, 1e-45f, -1e-38f, 3.3e-37f, 1.0f, -3.4e38f, INFINITY, -INFINITY, NAN};
    uint64_t seed = 26;
    (void)state;
    for (int i = 0; i < N_WEIGHT_TYPES; i++) {
        const weight_type *type = &weight_types[i];
        problem p;
        problem_init(&p, &seed, type, 37, 512, 20);
        for (size_t b = 0; type->cols > 1 && b < (size_t)37 * 512 / type->cols; b++) {
            uint8_t *block = p.blocks.data + b * type->bytes;
            if (type->d_at == IN_EXPONENT) *block = exponents[random_next(&seed) % 8];
            else if (random_next(&seed) % 3 == 0) set_d(type, block, halves[random_next(&seed) % 10]);
            if (type->m_at >= 0 && random_next(&seed) % 3 == 0) memcpy(block + type->m_at, &halves[random_next(&seed) % 10], 2);
        }
        for (uint32_t r = 0; r < p.n_rows; r++) {
            /* Row r is all of one kind, but rows 9 and 19 mix them and row 8 stays as it was. */
            float *x = (float *)(void *)p.x.data + r * 512;
            for (int c = 0; r != 8 && c < 512; c++)
                x[c] = r % 10 == 9 ? values[random_next(&seed) % 10] : c % 3 ? values[r % 10] : x[c] * values[r % 10];
        }
        pack_all(&p, &seed);
        expect_by_portable_rows(&p);
        for_each_tier(&p, &seed);
        problem_free(&p);
    }
}

/* The largest integer sums of either sign: every byte of fields and sub-block scales alike, activations of -127 and 127. */
static void test_extreme_fields(void **state) {
    static const uint8_t bytes[] = {0x00, 0x7f, 0x80, 0xff};
    uint64_t seed = 27;
    (void)state;
    for (int i = 0; i < 4 * N_WEIGHT_TYPES; i++) {
        const weight_type *type = &weight_types[i / 4];
        problem p;
        if (type->cols == 1) continue;
        problem_init(&p, &seed, type, 32, 512, 18);
        for (size_t b = 0; b < (size_t)32 * 512 / type->cols; b++) {
            uint8_t *block = p.blocks.data + b * type->bytes;
            memset(block, bytes[i % 4], type->bytes);
            if (type->d_at != IN_EXPONENT) set_d(type, block, llmc_f32_to_f16(random_float(&seed) * 0.01f));
            if (type->m_at >= 0) random_half(&seed, block + type->m_at, 0.05f);
        }
        for (size_t at = 0; at < (size_t)p.n_rows * 512; at++) {
            size_t r = at / 512, c = at % 512;
            ((float *)(void *)p.x.data)[at] = r % 3 == 0 ? 1.0f : r % 3 == 1 ? -1.0f : (c / 16) % 2 ? 1.0f : -1.0f;
        }
        pack_all(&p, &seed);
        expect_by_portable_rows(&p);
        for_each_tier(&p, &seed);
        problem_free(&p);
    }
}

/* Of a tile against the file. Numbers to base 3 become pairs of bits; what a grid's index stood for has bits of its own. */
static double most_growth(int32_t type) {
    switch (type) {
    case LLMC_PACK_TQ1_0:
        return 1.23;
    case LLMC_PACK_IQ3_XXS:
        return 1.41;
    case LLMC_PACK_IQ3_S:
        return 1.26;
    case LLMC_PACK_IQ2_XXS:
        return 1.61;
    case LLMC_PACK_IQ2_XS:
        return 1.55;
    case LLMC_PACK_IQ2_S:
        return 1.40;
    case LLMC_PACK_IQ1_S:
        return 2.12;
    case LLMC_PACK_IQ1_M:
        return 2.04;
    default:
        return 1.05;
    }
}

static void test_sizes(void **state) {
    (void)state;
    assert_int_equal(llmc_packed_tile_bytes(4, 256), 0);
    assert_int_equal(llmc_packed_tile_bytes(-1, 256), 0);
    assert_int_equal(llmc_packed_tile_bytes(31, 256), 0);
    assert_int_equal(llmc_packed_tile_bytes(40, 256), 0);
    assert_int_equal(llmc_packed_tile_bytes(3, 33), 0);
    assert_int_equal(llmc_packed_tile_bytes(12, 288), 0);
    for (int i = 0; i < N_WEIGHT_TYPES; i++) {
        const weight_type *type = &weight_types[i];
        size_t file = (size_t)4096 * 4096 / type->cols * type->bytes, packed = llmc_packed_bytes(type->id, 4096, 4096);
        assert_int_equal(llmc_packed_tile_bytes(type->id, 512) % 64, 0);
        assert_true(packed >= file && (double)packed <= most_growth(type->id) * (double)file);
        assert_int_equal(llmc_packed_bytes(type->id, 17, 512), 2 * llmc_packed_tile_bytes(type->id, 512));
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiers_are_there),
        cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_edge_shapes),
        cmocka_unit_test(test_unpack_is_dequantize),
        cmocka_unit_test(test_missing_rows_are_zeros),
        cmocka_unit_test(test_close_to_double_precision),
        cmocka_unit_test(test_quantize_is_nearest),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_extreme_fields),
        cmocka_unit_test(test_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
