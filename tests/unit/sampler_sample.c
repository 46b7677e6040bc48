/* The sampler against a naive one that sorts everything, against the distribution it should draw from, and against bad input;
 * its passes on every instruction set against each other. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "failing_alloc.h"
#include "sampler/parts.h"
#include "sampler/sampler.h"

enum { VOCAB_MAX = 40000 };

static llmc_env env;
static failing_alloc allocator;
static uint64_t state = 1;

static uint32_t next_random(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static float uniform(float low, float high) {
    return low + (high - low) * ((float)(next_random() & 0xffff) / 65536.0f);
}

static int setup(void **unused) {
    (void)unused;
    state = 12345;
    failing_alloc_init(&allocator, &env);
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    return allocator.live == 0 ? 0 : -1;
}

static llmc_sampler *make(const llmc_sampler_params *params, uint32_t n_vocab, uint32_t choice) {
    llmc_sampler *sampler;
    assert_int_equal(llmc_sampler_create(&env, params, n_vocab, choice, &sampler, NULL), LLMCALL_OK);
    return sampler;
}

static llmc_sampler_params defaults(void) {
    llmc_sampler_params params;
    llmc_sampler_params_defaults(&params);
    return params;
}

static int32_t sample_once(const llmc_sampler_params *params, const float *logits, uint32_t n, const uint32_t *mask,
                           uint64_t position, llmc_sample *sample) {
    float copy[VOCAB_MAX];
    llmc_sample own;
    llmc_sampler *sampler = make(params, n, 0);
    memcpy(copy, logits, n * sizeof *copy);
    llmc_sampler_sample(sampler, copy, mask, position, sample ? sample : &own);
    llmc_sampler_destroy(&sampler);
    assert_null(sampler);
    return sample ? sample->token : own.token;
}

/* ---- Parts ---- */

static void philox_known_answers(void **unused) {
    (void)unused;
    /* From the kat_vectors file of Random123. */
    static const struct {
        uint32_t counter[4], key[2], out[4];
    } rows[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, {~0u, ~0u}, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < 3; i++) {
        uint32_t out[4];
        llmc_sampler_philox(rows[i].counter, rows[i].key, out);
        assert_memory_equal(out, rows[i].out, sizeof out);
    }
}

static void exp_and_log_are_accurate(void **unused) {
    (void)unused;
    const llmc_sampler_passes *c = &llmc_sampler_passes_c;
    for (int i = 0; i <= 27000; i++) {
        float x = -(float)i / 1000.0f, w;
        c->weigh(&x, 1, 0.0f, 1.0f, &w, NULL);
        double want = exp((double)x);
        assert_true(fabs((double)w - want) <= 2e-7 * want);
    }
    float zero = 0.0f, w = 0;
    assert_true(c->weigh(&zero, 1, 0.0f, 1.0f, &w, NULL) == (uint64_t)1 << 40);
    assert_true(w == 1.0f);
    for (int i = 1; i < 20000; i++) {
        double x = (double)i * (double)i / 777.0;
        assert_true(fabs(llmc_sampler_log(x) - log(x)) <= 1e-14 * (1 + fabs(log(x))));
    }
}

static void weigh_is_the_same_at_every_length(void **unused) {
    (void)unused;
    float values[100], all[100];
    for (int i = 0; i < 100; i++) values[i] = uniform(-30, 0);
    const llmc_sampler_passes *c = &llmc_sampler_passes_c;
    c->weigh(values, 100, 0.0f, 0.7f, all, NULL);
    for (size_t n = 1; n <= 100; n++) {
        float some[100];
        uint64_t sum = 0;
        uint64_t mass = c->weigh(values, n, 0.0f, 0.7f, some, NULL);
        assert_true(c->weigh(values, n, 0.0f, 0.7f, NULL, NULL) == mass);
        assert_memory_equal(some, all, n * sizeof *some);
        for (size_t i = 0; i < n; i++) sum += llmc_sampler_mass(some[i]);
        assert_true(sum == mass);
    }
}

/* ---- Every instruction set ---- */

static const llmc_sampler_passes *tables[3];
static uint32_t n_tables;

static int find_tables(void **unused) {
    (void)unused;
    for (uint32_t i = 0; i < 3; i++) {
        if (llmc_sampler_passes_at(i)) tables[n_tables++] = llmc_sampler_passes_at(i);
    }
    return 0;
}

static float some_float(uint32_t kind) {
    static const float odd[] = {NAN, INFINITY, -INFINITY, 3e38f, -3e38f, 1e30f, -1e30f, -0.0f, 0.0f, 1e-45f};
    if (kind == 1 || next_random() % 200 == 0) return odd[next_random() % 10];
    return kind == 2 ? (float)(next_random() % 5) : uniform(-40.0f, 8.0f);
}

static void same_bits_on_every_table(void **unused) {
    (void)unused;
    static float values[3][3000], out[2][3000 + LLMC_SAMPLER_BLOCK];
    static uint32_t ids[2][3000 + LLMC_SAMPLER_BLOCK];
    uint64_t chunks[2][LLMC_SAMPLER_CHUNKS];
    const llmc_sampler_passes *c = tables[0];
    for (uint32_t round = 0; round < 400; round++) {
        const llmc_sampler_passes *other = tables[round % n_tables];
        size_t n = 1 + next_random() % 3000;
        float scale = uniform(0.3f, 3.0f), least = uniform(0.0f, 0.3f);
        for (size_t i = 0; i < n; i++) values[0][i] = values[1][i] = some_float(round / 3 % 3);
        float max = c->tidy(values[0], n);
        assert_true(max == other->tidy(values[1], n));
        assert_memory_equal(values[0], values[1], n * sizeof(float));
        for (size_t i = round % n; i < n; i += 97) {
            assert_int_equal(llmc_sampler_find(c, values[0], n, max), llmc_sampler_find(other, values[0], n, max));
            assert_int_equal(c->reach(values[0], n, i, max - 1.0f), other->reach(values[0], n, i, max - 1.0f));
        }
        size_t capacity = round % 2 ? n : n / 4;
        size_t count = c->gather(values[0], n, -4.0f, 3.0f, out[0], ids[0], capacity);
        size_t count_other = other->gather(values[0], n, -4.0f, 3.0f, out[1], ids[1], capacity);
        assert_int_equal(count > capacity, count_other > capacity);
        if (count <= capacity) {
            assert_int_equal(count, count_other);
            assert_memory_equal(out[0], out[1], count * sizeof(float));
            assert_memory_equal(ids[0], ids[1], count * sizeof(uint32_t));
        }
        if (!(max > -INFINITY)) continue;
        uint64_t mass = c->weigh(values[0], n, max, scale, out[0], chunks[0]);
        assert_true(mass == other->weigh(values[0], n, max, scale, NULL, chunks[1]));
        assert_memory_equal(chunks[0], chunks[1], sizeof chunks[0]);
        assert_true(mass == other->weigh(values[1], n, max, scale, values[1], NULL));
        assert_memory_equal(out[0], values[1], n * sizeof(float));
        assert_true(c->mass_from(out[0], n, least, chunks[0]) == other->mass_from(out[0], n, least, chunks[1]));
        assert_memory_equal(chunks[0], chunks[1], sizeof chunks[0]);
    }
}

/* ---- The naive sampler ---- */

static llmc_sampler_entry sorted[VOCAB_MAX];

static int by_rank(const void *a, const void *b) {
    const llmc_sampler_entry *x = a, *y = b;
    if (x->value != y->value) return x->value > y->value ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static int by_id(const void *a, const void *b) {
    const llmc_sampler_entry *x = a, *y = b;
    return x->id < y->id ? -1 : 1;
}

static int32_t naive(const llmc_sampler_params *params, const float *logits, uint32_t n_vocab, uint64_t position) {
    size_t n = n_vocab;
    for (size_t i = 0; i < n; i++) sorted[i] = (llmc_sampler_entry){logits[i], (uint32_t)i};
    qsort(sorted, n, sizeof *sorted, by_rank);
    float max = sorted[0].value;
    if (params->temperature == 0.0f) return (int32_t)sorted[0].id;
    if (params->top_k > 0 && (size_t)params->top_k < n) n = (size_t)params->top_k;
    uint64_t total = 0;
    for (size_t i = 0; i < n; i++) {
        float x = sorted[i].value;
        total += llmc_sampler_passes_c.weigh(&x, 1, max, 1.0f / params->temperature, &sorted[i].value, NULL);
    }
    qsort(sorted, n, sizeof *sorted, by_rank); /* exp may round two neighbours to one */
    if (params->top_p < 1.0f) {
        uint64_t target = (uint64_t)((double)params->top_p * (double)total), sum = 0;
        size_t kept = 0;
        while (kept < n && (sum < target || kept == 0)) sum += llmc_sampler_mass(sorted[kept++].value);
        n = kept;
    }
    while (n > 1 && sorted[n - 1].value < params->min_p) n--;
    uint64_t left = 0;
    for (size_t i = 0; i < n; i++) left += llmc_sampler_mass(sorted[i].value);
    qsort(sorted, n, sizeof *sorted, by_id);
    uint64_t random = llmc_sampler_random(params->seed, 0, position);
    uint64_t at = (uint64_t)(((unsigned __int128)random * left) >> 64);
    for (size_t i = 0; i < n; i++) {
        uint64_t mass = llmc_sampler_mass(sorted[i].value);
        if (at < mass) return (int32_t)sorted[i].id;
        at -= mass;
    }
    fail_msg("the naive sampler found nothing");
    return -1;
}

static void fill_logits(float *logits, size_t n, uint32_t kind) {
    for (size_t i = 0; i < n; i++) {
        float x = uniform(-1, 1) + uniform(-1, 1) + uniform(-1, 1);
        if (kind == 1) x = (float)(next_random() % 8); /* many ties */
        if (kind == 2) x *= 20.0f;                     /* peaked */
        if (kind == 3) x *= 0.001f;                    /* flat */
        if (kind == 4) x = next_random() % 3 ? -INFINITY : x * 5.0f;
        if (kind == 5) x = x * 2.5f + (next_random() % 2000 ? 0.0f : uniform(5, 15)); /* as a model's */
        logits[i] = x;
    }
    if (kind == 4) logits[n / 2] = 1.0f;
}

static void same_as_a_full_sort(void **unused) {
    (void)unused;
    static const float temperatures[] = {0.0f, 0.2f, 0.7f, 1.0f, 1.9f};
    static const float top_ps[] = {1.0f, 0.99f, 0.9f, 0.5f, 0.01f, 0.999999f};
    static const float min_ps[] = {0.0f, 0.0f, 0.05f, 0.9f, 1.0f};
    static const int32_t top_ks[] = {0, 0, 0, 2, 40, 256, 257, 1000, 5999};
    static const uint32_t sizes[] = {1, 2, 15, 16, 17, 100, 1000, 5000, 3001, 40000};
    static float logits[VOCAB_MAX];
    for (uint32_t round = 0; round < 1200; round++) {
        llmc_sampler_params params = defaults();
        uint32_t n = sizes[round % 60 == 0 ? 9 : round % 9];
        params.temperature = temperatures[next_random() % 5];
        params.top_p = top_ps[next_random() % 6];
        params.min_p = min_ps[next_random() % 5];
        params.top_k = top_ks[round % 120 == 0 ? 8 : next_random() % 9];
        params.seed = next_random();
        fill_logits(logits, n, round % 6);
        assert_int_equal(sample_once(&params, logits, n, NULL, round, NULL), naive(&params, logits, n, round));
    }
}

/* Beyond the length from which the end of a nucleus is guessed, on every table; with spare room for all, some and none. */
static void nucleus_of_long_rows(void **unused) {
    (void)unused;
    static float logits[VOCAB_MAX], weights[VOCAB_MAX], spare[VOCAB_MAX + LLMC_SAMPLER_BLOCK];
    static const double top_ps[] = {0.0, 0.01, 0.5, 0.9, 0.95, 0.999, 0.9999999, 1.0};
    const size_t n = VOCAB_MAX;
    for (uint32_t round = 0; round < 64; round++) {
        const llmc_sampler_passes *passes = tables[round % n_tables];
        fill_logits(logits, n, round % 6);
        float max = passes->tidy(logits, n);
        uint64_t mass = passes->weigh(logits, n, max, 1.0f, weights, NULL), sum = 0;
        uint64_t target = (uint64_t)(top_ps[round / 8] * (double)mass);
        if (target == 0) target = 1;
        for (size_t i = 0; i < n; i++) sorted[i] = (llmc_sampler_entry){weights[i], (uint32_t)i};
        qsort(sorted, n, sizeof *sorted, by_rank);
        size_t kept = 0, take = 0;
        while (sum < target) sum += llmc_sampler_mass(sorted[kept++].value);
        for (size_t i = 0; i < kept; i++) take += sorted[i].value == sorted[kept - 1].value;
        static const size_t capacities[] = {VOCAB_MAX, VOCAB_MAX / 8, 10, 0};
        llmc_sampler_threshold got = llmc_sampler_nucleus(passes, weights, n, mass, target, spare, capacities[round % 4]);
        assert_true(got.value == sorted[kept - 1].value);
        assert_int_equal(got.take, take);
        assert_true(got.mass == sum);
    }
}

static void thresholds_same_as_a_full_sort(void **unused) {
    (void)unused;
    static float values[VOCAB_MAX], kept[VOCAB_MAX];
    static uint32_t ids[VOCAB_MAX];
    for (uint32_t round = 0; round < 300; round++) {
        size_t n = 1 + next_random() % 3000;
        size_t k = 1 + next_random() % n;
        fill_logits(values, n, round % 5);
        const llmc_sampler_passes *passes = tables[round % n_tables];
        assert_int_equal(llmc_sampler_keep(passes, values, n, llmc_sampler_top_k(passes, values, n, k), kept, ids), k);
        for (size_t i = 0; i < n; i++) sorted[i] = (llmc_sampler_entry){values[i], (uint32_t)i};
        qsort(sorted, n, sizeof *sorted, by_rank);
        qsort(sorted, k, sizeof *sorted, by_id);
        for (size_t i = 0; i < k; i++) {
            assert_int_equal(ids[i], sorted[i].id);
            assert_true(kept[i] == sorted[i].value);
        }
    }
}

/* ---- The distribution ---- */

/* Against exact probabilities; 99.99% of chi-square with 19 degrees of freedom lies below 52. */
static void draws_follow_the_distribution(void **unused) {
    (void)unused;
    enum { N = 20, DRAWS = 40000 };
    for (uint64_t seed = 0; seed < 4; seed++) {
        llmc_sampler_params params = defaults();
        float logits[N], copy[N];
        double p[N], sum = 0, chi = 0;
        int counts[N] = {0};
        params.temperature = seed == 0 ? 1.0f : 0.5f * (float)seed;
        params.seed = seed * 0x123456789;
        for (int i = 0; i < N; i++) logits[i] = uniform(-2, 1);
        for (int i = 0; i < N; i++) sum += p[i] = exp((double)logits[i] / (double)params.temperature);
        llmc_sampler *sampler = make(&params, N, (uint32_t)seed);
        for (uint64_t position = 0; position < DRAWS; position++) {
            llmc_sample sample;
            memcpy(copy, logits, sizeof copy);
            llmc_sampler_sample(sampler, copy, NULL, position, &sample);
            counts[sample.token]++;
        }
        llmc_sampler_destroy(&sampler);
        for (int i = 0; i < N; i++) {
            double want = DRAWS * p[i] / sum;
            chi += (counts[i] - want) * (counts[i] - want) / want;
        }
        assert_true(chi < 52);
    }
}

static void filters_keep_the_shape(void **unused) {
    (void)unused;
    enum { DRAWS = 40000 };
    /* Probabilities 0.4, 0.3, 0.2, 0.1 out of order; top_p 0.75 keeps 0.4, 0.3 and 0.2. */
    const float logits[4] = {logf(0.2f), logf(0.4f), logf(0.1f), logf(0.3f)};
    llmc_sampler_params params = defaults();
    int counts[4] = {0};
    params.top_p = 0.75f;
    llmc_sampler *sampler = make(&params, 4, 0);
    for (uint64_t position = 0; position < DRAWS; position++) {
        float copy[4];
        llmc_sample sample;
        memcpy(copy, logits, sizeof copy);
        llmc_sampler_sample(sampler, copy, NULL, position, &sample);
        counts[sample.token]++;
    }
    llmc_sampler_destroy(&sampler);
    assert_int_equal(counts[2], 0);
    assert_true(abs(counts[1] - DRAWS * 4 / 9) < 400);
    assert_true(abs(counts[3] - DRAWS * 3 / 9) < 400);
    assert_true(abs(counts[0] - DRAWS * 2 / 9) < 400);
}

/* ---- Keys, not order ---- */

static void depends_on_seed_choice_and_position_only(void **unused) {
    (void)unused;
    enum { N = 1000 };
    float logits[N], copy[N];
    int32_t first[2][64];
    llmc_sampler_params params = defaults();
    params.seed = 99;
    fill_logits(logits, N, 0);
    llmc_sampler *a = make(&params, N, 0);
    llmc_sampler *b = make(&params, N, 1);
    llmc_sample sample;
    int differ = 0;
    for (uint64_t position = 0; position < 64; position++) {
        memcpy(copy, logits, sizeof copy);
        llmc_sampler_sample(a, copy, NULL, position, &sample);
        first[0][position] = sample.token;
        memcpy(copy, logits, sizeof copy);
        llmc_sampler_sample(b, copy, NULL, position, &sample);
        first[1][position] = sample.token;
        differ += first[0][position] != first[1][position];
    }
    assert_true(differ > 55);
    for (uint64_t position = 64; position-- > 0;) {
        memcpy(copy, logits, sizeof copy);
        llmc_sampler_sample(b, copy, NULL, position, &sample);
        assert_int_equal(sample.token, first[1][position]);
        memcpy(copy, logits, sizeof copy);
        llmc_sampler_sample(a, copy, NULL, position, &sample);
        assert_int_equal(sample.token, first[0][position]);
    }
    llmc_sampler_destroy(&a);
    llmc_sampler_destroy(&b);
}

/* The same on every machine and compiler: a change here breaks the seeds of everyone. */
static void pinned_tokens(void **unused) {
    (void)unused;
    enum { N = 2000 };
    static float logits[N];
    uint64_t hash = 14695981039346656037u;
    for (uint64_t position = 0; position < 200; position++) {
        llmc_sampler_params params = defaults();
        params.temperature = 0.3f + (float)(position % 7) * 0.25f;
        params.top_p = position % 2 ? 0.9f : 1.0f;
        params.top_k = position % 3 ? 0 : 300;
        params.min_p = position % 5 ? 0.0f : 0.02f;
        params.seed = 42;
        fill_logits(logits, N, (uint32_t)position % 4);
        hash = (hash ^ (uint64_t)sample_once(&params, logits, N, NULL, position, NULL)) * 1099511628211u;
    }
    assert_true(hash == 0x78b773695d9ddab8);
}

/* ---- Penalties, bias, mask ---- */

static void penalties(void **unused) {
    (void)unused;
    float logits[4];
    llmc_sample sample;
    llmc_sampler_params params = defaults();
    params.temperature = 0.0f;
    params.presence_penalty = 0.5f;
    params.frequency_penalty = 0.25f;
    params.repetition_penalty = 2.0f;
    llmc_sampler *sampler = make(&params, 4, 0);
    const int32_t prompt[] = {0, 0, 3, -1, 4, INT32_MAX, INT32_MIN};
    llmc_sampler_prompt(sampler, prompt, 7);
    llmc_sampler_accept(sampler, 1);
    llmc_sampler_accept(sampler, 1);
    llmc_sampler_accept(sampler, -7);
    llmc_sampler_accept(sampler, 4);
    memcpy(logits, (float[]){8.0f, 8.0f, 3.5f, -1.0f}, sizeof logits);
    llmc_sampler_sample(sampler, logits, NULL, 0, &sample);
    assert_int_equal(sample.token, 0);
    assert_true(logits[0] == 4.0f); /* in the prompt: repetition only */
    assert_true(logits[1] == 3.0f); /* in the answer twice: 8 / 2 - 0.5 - 2 * 0.25 */
    assert_true(logits[2] == 3.5f);
    assert_true(logits[3] == -2.0f); /* negative: multiplied */
    llmc_sampler_destroy(&sampler);
}

static void presence_ignores_the_prompt(void **unused) {
    (void)unused;
    float logits[2] = {1.0f, 0.9f};
    llmc_sample sample;
    llmc_sampler_params params = defaults();
    params.temperature = 0.0f;
    params.presence_penalty = 1.0f;
    llmc_sampler *sampler = make(&params, 2, 0);
    llmc_sampler_prompt(sampler, (const int32_t[]){0}, 1);
    llmc_sampler_sample(sampler, logits, NULL, 0, &sample);
    assert_int_equal(sample.token, 0);
    llmc_sampler_accept(sampler, 0);
    llmc_sampler_sample(sampler, logits, NULL, 1, &sample);
    assert_int_equal(sample.token, 1);
    llmc_sampler_destroy(&sampler);
}

static void bias_and_mask(void **unused) {
    (void)unused;
    float logits[70];
    uint32_t mask[3] = {0, 0, 0};
    const llmcall_logit_bias bias[] = {{5, 3.0f}, {60, 9.0f}, {69, 1.0f}, {69, 4.0f}};
    llmc_sampler_params params = defaults();
    params.temperature = 0.0f;
    params.bias = bias;
    params.n_bias = 4;
    for (int i = 0; i < 70; i++) logits[i] = (float)(i % 3);
    assert_int_equal(sample_once(&params, logits, 70, NULL, 0, NULL), 60);
    memset(mask, 0xff, sizeof mask);
    mask[60 / 32] &= ~(1u << 60 % 32);
    assert_int_equal(sample_once(&params, logits, 70, mask, 0, NULL), 5);
    mask[0] = mask[1] = 0;
    assert_int_equal(sample_once(&params, logits, 70, mask, 0, NULL), 69);
    mask[2] = 1u << 4;
    for (uint64_t position = 0; position < 50; position++) {
        params.temperature = 1.0f;
        params.top_p = position % 2 ? 0.5f : 1.0f;
        assert_int_equal(sample_once(&params, logits, 70, mask, position, NULL), 68);
    }
    mask[2] = 0; /* nothing is allowed */
    assert_int_equal(sample_once(&params, logits, 70, mask, 0, NULL), 0);
}

/* ---- Log-probabilities ---- */

static void logprobs_are_the_models_own(void **unused) {
    (void)unused;
    enum { N = 500 };
    float logits[N];
    double sum = 0;
    llmc_sample sample;
    const llmcall_logit_bias bias = {7, 100.0f};
    llmc_sampler_params params = defaults();
    params.logprobs = 1;
    params.top_logprobs = 20;
    params.bias = &bias;
    params.n_bias = 1;
    params.temperature = 0.1f;
    fill_logits(logits, N, 0);
    for (int i = 0; i < N; i++) sum += exp((double)logits[i]);
    assert_int_equal(sample_once(&params, logits, N, NULL, 0, &sample), 7);
    assert_true(fabs((double)sample.logprob - ((double)logits[7] - log(sum))) < 1e-5);
    assert_int_equal(sample.n_top, 20);
    for (size_t i = 0; i < N; i++) sorted[i] = (llmc_sampler_entry){logits[i], (uint32_t)i};
    qsort(sorted, N, sizeof *sorted, by_rank);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(sample.top[i].token, sorted[i].id);
        assert_true(fabs((double)sample.top[i].logprob - ((double)sorted[i].value - log(sum))) < 1e-5);
    }
    params.top_logprobs = 99; /* cut to 20; to the vocabulary */
    sample_once(&params, logits, 8, NULL, 0, &sample);
    assert_int_equal(sample.n_top, 8);
}

/* ---- Bad input ---- */

static void broken_logits(void **unused) {
    (void)unused;
    enum { N = 40 };
    float logits[N];
    llmc_sample sample;
    for (int kind = 0; kind < 6; kind++) {
        for (int t = 0; t < 3; t++) {
            llmc_sampler_params params = defaults();
            params.temperature = (float)t * 0.8f;
            params.top_p = t == 2 ? 0.9f : 1.0f;
            params.logprobs = 1;
            params.top_logprobs = 5;
            for (int i = 0; i < N; i++) logits[i] = kind < 3 ? (kind == 0 ? NAN : -INFINITY) : 0.0f;
            if (kind == 2) logits[33] = -50.0f;
            if (kind == 3) logits[17] = INFINITY;
            if (kind == 4) logits[17] = 3.4e38f, logits[3] = -3.4e38f;
            if (kind == 5) {
                for (int i = 0; i < N; i++) logits[i] = NAN;
                logits[17] = -INFINITY, logits[38] = 2.0f;
            }
            static const int32_t want[] = {0, 0, 33, 17, 17, 38};
            assert_int_equal(sample_once(&params, logits, N, NULL, 3, &sample), want[kind]);
            assert_true(isfinite(sample.logprob));
            for (uint32_t i = 0; i < sample.n_top; i++) assert_true(isfinite(sample.top[i].logprob));
        }
    }
    for (int i = 0; i < N; i++) logits[i] = NAN;
    const uint32_t mask[2] = {1u << 9, 0};
    llmc_sampler_params params = defaults();
    assert_int_equal(sample_once(&params, logits, N, mask, 3, NULL), 9);
}

static void broken_parameters(void **unused) {
    (void)unused;
    static const float bad[] = {NAN, INFINITY, -INFINITY, -1.0f, 1e38f, 1e-45f, 0.0f};
    enum { N = 30 };
    float logits[N];
    fill_logits(logits, N, 0);
    for (size_t field = 0; field < 7; field++) {
        for (size_t i = 0; i < 7; i++) {
            llmc_sampler_params params = defaults();
            const llmcall_logit_bias bias = {3, bad[i]};
            float *fields[] = {
                &params.temperature,       &params.top_p, &params.min_p, &params.presence_penalty, &params.frequency_penalty,
                &params.repetition_penalty};
            if (field < 6) *fields[field] = bad[i];
            else params.bias = &bias, params.n_bias = 1;
            params.top_k = i % 2 ? INT32_MIN : INT32_MAX;
            params.top_logprobs = INT32_MIN;
            params.logprobs = 1;
            llmc_sampler *sampler = make(&params, N, 0);
            for (uint64_t position = 0; position < 20; position++) {
                llmc_sample sample;
                float copy[N];
                memcpy(copy, logits, sizeof copy);
                llmc_sampler_sample(sampler, copy, NULL, position, &sample);
                assert_in_range(sample.token, 0, N - 1);
                llmc_sampler_accept(sampler, sample.token);
            }
            llmc_sampler_destroy(&sampler);
        }
    }
    assert_int_equal(sample_once(&(llmc_sampler_params){.temperature = 1e-45f, .top_p = 1.0f}, logits, N, NULL, 0, NULL),
                     sample_once(&(llmc_sampler_params){.top_p = 1.0f}, logits, N, NULL, 0, NULL));
}

static void create_refuses(void **unused) {
    (void)unused;
    llmc_sampler *sampler;
    llmc_sampler_params params = defaults();
    for (int i = 0; i < 2; i++) {
        const llmcall_logit_bias bias = {i ? 10 : -1, 1.0f};
        LLMCALL_INIT(llmcall_error, error);
        params.bias = &bias;
        params.n_bias = 1;
        assert_int_equal(llmc_sampler_create(&env, &params, 10, 0, &sampler, &error), LLMCALL_E_ARGUMENT);
        assert_string_equal(error.param, "logit_bias");
        assert_null(sampler);
    }
    params.n_bias = 0;
    assert_int_equal(llmc_sampler_create(&env, &params, 0, 0, &sampler, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmc_sampler_create(&env, &params, UINT32_MAX, 0, &sampler, NULL), LLMCALL_E_ARGUMENT);
    llmc_sampler_destroy(&sampler);
    llmc_sampler_destroy(NULL);
}

static void allocation_failures(void **unused) {
    (void)unused;
    const llmcall_logit_bias bias = {1, 1.0f};
    llmc_sampler_params params = defaults();
    params.presence_penalty = 1.0f;
    params.top_p = 0.5f;
    params.logprobs = 1;
    params.bias = &bias;
    params.n_bias = 1;
    llmcall_status status = LLMCALL_E_NO_MEMORY;
    long n = 0;
    while (status != LLMCALL_OK) {
        llmc_sampler *sampler;
        allocator.count = 0;
        allocator.fail_at = ++n;
        status = llmc_sampler_create(&env, &params, 100, 0, &sampler, NULL);
        assert_true(status == LLMCALL_OK || (status == LLMCALL_E_NO_MEMORY && !sampler && allocator.live == 0));
        if (status != LLMCALL_OK) continue;
        float logits[100] = {0};
        llmc_sample sample;
        long before = allocator.count;
        llmc_sampler_sample(sampler, logits, NULL, 0, &sample);
        llmc_sampler_accept(sampler, sample.token);
        assert_int_equal(allocator.count, before);
        llmc_sampler_destroy(&sampler);
    }
    assert_true(n > 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(philox_known_answers, setup, teardown),
        cmocka_unit_test_setup_teardown(exp_and_log_are_accurate, setup, teardown),
        cmocka_unit_test_setup_teardown(weigh_is_the_same_at_every_length, setup, teardown),
        cmocka_unit_test_setup_teardown(same_bits_on_every_table, setup, teardown),
        cmocka_unit_test_setup_teardown(same_as_a_full_sort, setup, teardown),
        cmocka_unit_test_setup_teardown(nucleus_of_long_rows, setup, teardown),
        cmocka_unit_test_setup_teardown(thresholds_same_as_a_full_sort, setup, teardown),
        cmocka_unit_test_setup_teardown(draws_follow_the_distribution, setup, teardown),
        cmocka_unit_test_setup_teardown(filters_keep_the_shape, setup, teardown),
        cmocka_unit_test_setup_teardown(depends_on_seed_choice_and_position_only, setup, teardown),
        cmocka_unit_test_setup_teardown(pinned_tokens, setup, teardown),
        cmocka_unit_test_setup_teardown(penalties, setup, teardown),
        cmocka_unit_test_setup_teardown(presence_ignores_the_prompt, setup, teardown),
        cmocka_unit_test_setup_teardown(bias_and_mask, setup, teardown),
        cmocka_unit_test_setup_teardown(logprobs_are_the_models_own, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_logits, setup, teardown),
        cmocka_unit_test_setup_teardown(broken_parameters, setup, teardown),
        cmocka_unit_test_setup_teardown(create_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(allocation_failures, setup, teardown),
    };
    return cmocka_run_group_tests(tests, find_tables, NULL);
}
