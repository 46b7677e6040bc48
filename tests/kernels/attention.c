/* Attention: every tier equals the portable one bit for bit; a query's bits do not depend on the other queries of its job, nor on
 * whether groups were folded at once or later; and the result is that of doubles. Pages lie in random order, and what no query
 * may see is NaN. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "guarded.h"
#include "kernels/cpu/attention.h"
#include "kernels/cpu/half.h"

typedef struct scene {
    uint32_t head_dim, n_positions, n_pages;
    int type;
    guarded kv;
    float *keys, *values; /* as stored */
    uint32_t pages[64];
    uint64_t seed;
    uint32_t window, ahead; /* 0, or so many positions are seen, so many of them behind the query's own */
    float cap;              /* 0: none */
    float slope;            /* 0, or of the first query that shares a position, and its multiples of the others */
} scene;

/* What a store of n numbers keeps of them, by its definition; x must be finite. */
static void round_row(float *x, uint32_t n, int type) {
    for (uint32_t i = 0; i < n && type == LLMC_KV_F16; i++) x[i] = llmc_f16_to_f32(llmc_f32_to_f16(x[i]));
    for (uint32_t i = 0; i < n && type == LLMC_KV_Q8_0; i += 32) {
        float largest = 0;
        for (uint32_t j = i; j < i + 32; j++) largest = fmaxf(largest, fabsf(x[j]));
        float d = llmc_f16_to_f32(llmc_f32_to_f16(largest / 127.0f));
        float inverse = d != 0.0f ? 1.0f / d : 0.0f;
        for (uint32_t j = i; j < i + 32; j++) x[j] = d * rintf(fminf(fmaxf(x[j] * inverse, -127.0f), 127.0f));
    }
}

static void make_scene(scene *s, const llmc_attention_kernels *kernels, uint32_t head_dim, uint32_t n_positions, int type) {
    *s = (scene){.head_dim = head_dim, .n_positions = n_positions, .type = type, .seed = head_dim * 7919 + n_positions};
    s->n_pages = (n_positions + 15) / 16;
    size_t block = llmc_kv_block_bytes(head_dim, type), n = (size_t)n_positions * head_dim;
    s->kv = guarded_make(block * s->n_pages);
    assert_non_null(s->kv.data);
    memset(s->kv.data, 0xff, block * s->n_pages); /* NaN in every type */
    s->keys = malloc(n * sizeof(float));
    s->values = malloc(n * sizeof(float));
    random_fill(&s->seed, s->keys, n, 4.0f);
    random_fill(&s->seed, s->values, n, 2.0f);
    for (uint32_t i = 0; i < s->n_pages; i++) s->pages[i] = s->n_pages - 1 - i;
    for (uint32_t p = 0; p < n_positions; p++) {
        kernels->store((uint8_t *)s->kv.data + s->pages[p / 16] * block, type, head_dim, p % 16, s->keys + (size_t)p * head_dim,
                       s->values + (size_t)p * head_dim);
    }
    for (uint32_t p = 0; p < n_positions; p++) {
        round_row(s->keys + (size_t)p * head_dim, head_dim, type);
        round_row(s->values + (size_t)p * head_dim, head_dim, type);
    }
}

static void free_scene(scene *s) {
    guarded_free(&s->kv);
    free(s->keys);
    free(s->values);
}

static llmc_attention_job job_of(const scene *s) {
    llmc_attention_job job = {.head_dim = s->head_dim, .type = s->type, .pages = s->pages, .base = s->kv.data};
    job.scale = 1.0f / sqrtf((float)s->head_dim);
    job.page_bytes = llmc_kv_block_bytes(s->head_dim, s->type);
    return job;
}

/* Queries i of n sit at rising positions, the last at the end; several share a position, as the heads of a group do. */
static void add_queries(llmc_attention_job *job, const scene *s, float *q, float *out, uint32_t n, uint32_t share) {
    job->n_queries = n;
    uint32_t tokens = (n + share - 1) / share;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t back = tokens - 1 - i / share;
        job->q[i] = q + (size_t)i * s->head_dim;
        job->out[i] = out + (size_t)i * s->head_dim;
        job->position[i] = s->n_positions - 1 > back ? s->n_positions - 1 - back : 0;
        job->first[i] = job->position[i] >= s->window ? job->position[i] + 1 - s->window : 0;
        job->own[i] = job->position[i] > s->ahead ? job->position[i] - s->ahead : 0;
        job->slope[i] = s->slope * (float)(1 + i % share);
    }
    job->windowed = s->window > 0;
    job->has_slopes = s->slope > 0;
    job->soft_cap = s->cap;
}

static void reference(const scene *s, const llmc_attention_job *job, uint32_t query, double *out) {
    double sum = 0, maximum = -INFINITY, *p = malloc((job->position[query] + 1) * sizeof *p);
    uint32_t first = job->windowed ? job->first[query] : 0;
    for (uint32_t j = first; j <= job->position[query]; j++) {
        p[j] = 0;
        for (uint32_t d = 0; d < s->head_dim; d++) p[j] += (double)job->q[query][d] * s->keys[(size_t)j * s->head_dim + d];
        p[j] *= job->scale;
        if (job->soft_cap > 0) p[j] = job->soft_cap * tanh(p[j] / job->soft_cap);
        if (job->has_slopes) p[j] -= (double)job->slope[query] * fabs((double)job->own[query] - j);
        maximum = p[j] > maximum ? p[j] : maximum;
    }
    for (uint32_t d = 0; d < s->head_dim; d++) out[d] = 0;
    for (uint32_t j = first; j <= job->position[query]; j++) {
        double e = exp(p[j] - maximum);
        sum += e;
        for (uint32_t d = 0; d < s->head_dim; d++) out[d] += e * s->values[(size_t)j * s->head_dim + d];
    }
    for (uint32_t d = 0; d < s->head_dim; d++) out[d] /= sum;
    free(p);
}

static void check_against_doubles(const scene *s, const llmc_attention_job *job) {
    double error = 0, power = 0, *expected = malloc(s->head_dim * sizeof *expected);
    for (uint32_t i = 0; i < job->n_queries; i++) {
        reference(s, job, i, expected);
        for (uint32_t d = 0; d < s->head_dim; d++) {
            error += (job->out[i][d] - expected[d]) * (job->out[i][d] - expected[d]);
            power += expected[d] * expected[d];
        }
    }
    assert_true(error <= 1e-10 * power);
    free(expected);
}

/* Each query alone, and its groups folded later, against the job's results. */
static void check_alone(const llmc_attention_kernels *kernels, const scene *s, const llmc_attention_job *job, void *scratch) {
    float *out = malloc(s->head_dim * sizeof(float));
    size_t row = llmc_attention_partial_floats(s->head_dim);
    float *partial = aligned_alloc(64, row * sizeof(float) * 64);
    for (uint32_t i = 0; i < job->n_queries; i += 1 + job->n_queries / 5) {
        llmc_attention_job one = *job;
        one.n_queries = 1;
        one.q[0] = job->q[i];
        one.out[0] = out;
        one.position[0] = job->position[i];
        one.first[0] = job->first[i], one.own[0] = job->own[i], one.slope[0] = job->slope[i];
        kernels->attend(&one, scratch);
        assert_memory_equal(out, job->out[i], s->head_dim * sizeof(float));
        uint32_t first = job->windowed ? job->first[i] / LLMC_KV_GROUP : 0;
        uint32_t n_groups = job->position[i] / LLMC_KV_GROUP + 1 - first, half = n_groups / 2;
        kernels->groups(&one, first + half, first + n_groups, partial + half * row, scratch);
        kernels->groups(&one, first, first + half, partial, scratch);
        memset(out, 0, s->head_dim * sizeof(float));
        kernels->fold(partial, row, n_groups, s->head_dim, NULL, out);
        assert_memory_equal(out, job->out[i], s->head_dim * sizeof(float));
    }
    free(partial);
    free(out);
}

static void check_scene(scene s, uint32_t head_dim, uint32_t n_positions, int type, uint32_t n, uint32_t share) {
    llmc_attention_kernels kernels[LLMC_TIERS];
    int n_tiers = 0;
    for (int tier = 0; tier < LLMC_TIERS; tier++) {
        if (llmc_cpu_has_tier((llmc_cpu_tier)tier)) llmc_attention_kernels_init(&kernels[n_tiers++], (llmc_cpu_tier)tier);
    }
    const scene wanted = s;
    make_scene(&s, &kernels[0], head_dim, n_positions, type);
    s.window = wanted.window, s.ahead = wanted.ahead, s.slope = wanted.slope, s.cap = wanted.cap;
    size_t bytes = (size_t)n * head_dim * sizeof(float);
    guarded q = guarded_make(bytes), out[LLMC_TIERS];
    random_fill(&s.seed, q.data, (size_t)n * head_dim, 3.0f);
    void *scratch = aligned_alloc(64, (llmc_attention_scratch_bytes(head_dim) + 63) & ~(size_t)63);
    for (int tier = 0; tier < n_tiers; tier++) {
        out[tier] = guarded_make(bytes);
        llmc_attention_job job = job_of(&s);
        add_queries(&job, &s, q.data, out[tier].data, n, share);
        memset(scratch, 0xff, llmc_attention_scratch_bytes(head_dim));
        kernels[tier].attend(&job, scratch);
        assert_memory_equal(out[0].data, out[tier].data, bytes);
        if (tier == 0) check_against_doubles(&s, &job);
        check_alone(&kernels[tier], &s, &job, scratch);
    }
    for (int tier = 0; tier < n_tiers; tier++) guarded_free(&out[tier]);
    guarded_free(&q);
    free(scratch);
    free_scene(&s);
}

static void check_shape(uint32_t head_dim, uint32_t n_positions, int type, uint32_t n, uint32_t share) {
    check_scene((scene){0}, head_dim, n_positions, type, n, share);
}

/* Every type that can hold heads of head_dim. */
static void check_types(uint32_t head_dim, uint32_t n_positions, uint32_t n, uint32_t share) {
    check_shape(head_dim, n_positions, LLMC_KV_F16, n, share);
    check_shape(head_dim, n_positions, LLMC_KV_F32, n, share);
    if (head_dim % LLMC_KV_Q8_DIMS == 0) check_shape(head_dim, n_positions, LLMC_KV_Q8_0, n, share);
}

static void lengths_around_pages_and_groups(void **state) {
    (void)state;
    const uint32_t lengths[] = {1, 2, 15, 16, 17, 31, 33, 63, 64, 65, 79, 127, 128, 129, 200, 257};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        check_types(16, lengths[i], 1, 1);
        check_types(32, lengths[i], 1, 1);
        check_types(32, lengths[i], 3, 3);
        check_types(16, lengths[i], 14, 2);
        check_types(32, lengths[i], 14, 2);
    }
}

static void head_dimensions(void **state) {
    (void)state;
    const uint32_t dims[] = {1, 8, 16, 20, 40, 64, 80, 96, 100, 112, 128, 256};
    for (size_t i = 0; i < sizeof dims / sizeof *dims; i++) {
        check_types(dims[i], 75, 4, 4);
        check_types(dims[i], 75, 20, 3);
    }
}

static void job_sizes(void **state) {
    (void)state;
    const int types[] = {LLMC_KV_F32, LLMC_KV_F16, LLMC_KV_Q8_0};
    for (uint32_t n = 1; n <= LLMC_ATTENTION_QUERIES; n += n < 14 ? 1 : 7) check_shape(32, 140, types[n % 3], n, 1 + n % 4);
    for (int i = 0; i < 3; i++) {
        check_shape(32, 90 + LLMC_ATTENTION_QUERIES, types[i], LLMC_ATTENTION_QUERIES, 1);
        check_shape(32, 48, types[i], LLMC_ATTENTION_QUERIES, 1);
    }
}

static void windows_slopes_and_caps(void **state) {
    (void)state;
    const scene scenes[] = {{.window = 1},
                            {.window = 40},
                            {.window = 129, .ahead = 64},
                            {.cap = 2.5f},
                            {.window = 70, .cap = 50},
                            {.slope = 0.25f},
                            {.slope = 0.0625f, .ahead = 30},
                            {.window = 70, .slope = 0.5f}};
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        for (uint32_t length = 1; length <= 257; length += length < 60 ? 29 : 33) {
            check_scene(scenes[i], 32, length, LLMC_KV_F32, 1, 1);
            check_scene(scenes[i], 20, length, LLMC_KV_F16, 5, 2);
            check_scene(scenes[i], 32, length, LLMC_KV_Q8_0, 40, 3);
            check_scene(scenes[i], 16, length, LLMC_KV_F32, LLMC_ATTENTION_QUERIES, 1);
        }
    }
}

/* The store of every tier writes the same bytes, and only its slot. */
static void check_store(uint32_t dim, int type, const float *k, const float *v) {
    size_t bytes = llmc_kv_block_bytes(dim, type);
    guarded a = guarded_make(bytes), b = guarded_make(bytes);
    memset(a.data, 0x55, bytes);
    llmc_attention_kernels kernels;
    llmc_attention_kernels_init(&kernels, LLMC_TIER_C);
    kernels.store(a.data, type, dim, dim % 16, k, v);
    for (int tier = 1; tier < LLMC_TIERS; tier++) {
        if (!llmc_cpu_has_tier((llmc_cpu_tier)tier)) continue;
        memset(b.data, 0x55, bytes);
        llmc_attention_kernels_init(&kernels, (llmc_cpu_tier)tier);
        kernels.store(b.data, type, dim, dim % 16, k, v);
        assert_memory_equal(a.data, b.data, bytes);
    }
    guarded_free(&a), guarded_free(&b);
}

static void stores_are_equal(void **state) {
    (void)state;
    uint64_t seed = 9;
    for (uint32_t dim = 1; dim <= 160; dim += dim < 18 ? 1 : dim < 32 ? 32 - dim : 16) {
        guarded k = guarded_make(dim * 4), v = guarded_make(dim * 4);
        random_fill(&seed, k.data, dim, 1e-4f);
        random_fill(&seed, v.data, dim, 7e4f);
        check_store(dim, LLMC_KV_F16, k.data, v.data);
        check_store(dim, LLMC_KV_F32, k.data, v.data);
        if (dim % LLMC_KV_Q8_DIMS == 0) check_store(dim, LLMC_KV_Q8_0, k.data, v.data);
        guarded_free(&k), guarded_free(&v);
    }
}

/* Zeros, numbers too small for a scale, and what is not finite: of q8_0, the same bytes on every tier; a scale that is not
 * finite for the block where a number is not, and nothing of it in the others. */
static void stores_of_extremes(void **state) {
    (void)state;
    const float odd[] = {0.0f, -0.0f, 1e-45f, 1e-30f, 1e-7f, 127.0f, -127.5f, 8.4e6f, 3e38f, INFINITY, -INFINITY, NAN};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        for (uint32_t at = 0; at < 64; at += 21) {
            float k[64] = {0}, v[64];
            for (uint32_t d = 0; d < 64; d++) v[d] = odd[0] + 0.5f * (float)d;
            k[at] = v[at] = odd[i];
            check_store(64, LLMC_KV_Q8_0, k, v);
            uint8_t block[2 * 16 * 64 + 2 * 2 * 16 * 2] = {0};
            llmc_attention_kernels kernels;
            llmc_attention_kernels_init(&kernels, llmc_cpu_best_tier());
            kernels.store(block, LLMC_KV_Q8_0, 64, 3, k, v);
            for (uint32_t half = 0; half < 2; half++) {
                uint16_t scale;
                memcpy(&scale, block + 2 * 16 * 64 + 2 * (half * 16 + 3), 2);
                int finite = fabsf(odd[i]) / 127.0f < 65520.0f; /* what rounds to infinity in an f16 */
                assert_int_equal(isfinite(llmc_f16_to_f32(scale)) != 0, half != at / 32 || finite);
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_around_pages_and_groups),
        cmocka_unit_test(head_dimensions),
        cmocka_unit_test(job_sizes),
        cmocka_unit_test(windows_slopes_and_caps),
        cmocka_unit_test(stores_are_equal),
        cmocka_unit_test(stores_of_extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
