/* Microseconds that the sampler takes for one token, by settings, kind of row and size of vocabulary. Not a test.
 * Arguments: sizes of vocabularies (default 49152 128256 262144). LLMCALL_CPU limits the instruction set. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sampler/sampler.h"

enum { ROWS = 16, REPETITIONS = 40, SEEN = 500 };

static const struct {
    const char *name;
    llmc_sampler_params params;
} settings[] = {
    {"greedy", {.top_p = 1}},
    {"greedy, penalties", {.top_p = 1, .repetition_penalty = 1.1f, .frequency_penalty = 0.5f}},
    {"greedy, logprobs", {.top_p = 1, .logprobs = 1, .top_logprobs = 5}},
    {"temperature 1", {.temperature = 1, .top_p = 1}},
    {"temperature 0.7", {.temperature = 0.7f, .top_p = 1}},
    {"top_p 0.9", {.temperature = 1, .top_p = 0.9f}},
    {"top_p 0.95", {.temperature = 0.7f, .top_p = 0.95f}},
    {"top_k 40", {.temperature = 1, .top_p = 1, .top_k = 40}},
    {"top_k 40, top_p 0.9", {.temperature = 1, .top_p = 0.9f, .top_k = 40}},
    {"min_p 0.05", {.temperature = 1, .top_p = 1, .min_p = 0.05f}},
    {"penalties", {.temperature = 1, .top_p = 1, .repetition_penalty = 1.1f, .presence_penalty = 0.5f}},
    {"logprobs", {.temperature = 1, .top_p = 1, .logprobs = 1, .top_logprobs = 5}},
    {"top_p 0.9, logprobs", {.temperature = 1, .top_p = 0.9f, .logprobs = 1, .top_logprobs = 5}},
};

/* usual: as a model's, most tokens 10 to 20 below the best. unsure: no token stands out. flat: all nearly equal. */
static const char *const kinds[] = {"usual", "unsure", "flat"};

static uint64_t state = 1;

static float uniform(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)(state >> 40) * 0x1p-24f;
}

static float normal(void) {
    return sqrtf(-2.0f * logf(uniform() + 1e-9f)) * cosf(6.2831853f * uniform());
}

static void fill(float *row, size_t n, int kind) {
    static const float spread[] = {2.5f, 2.5f, 0.01f};
    for (size_t i = 0; i < n; i++) row[i] = spread[kind] * normal();
    for (int i = 0; kind == 0 && i < 30; i++) row[(size_t)(uniform() * (float)n)] = 19.0f - (float)i * 0.35f;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The mean over the rows of the best of a few. */
static double microseconds(const llmc_sampler_params *params, const float *rows, float *row, uint32_t n) {
    llmc_env env;
    llmc_env_init(&env, NULL);
    llmc_sampler *sampler;
    double total = 0;
    if (llmc_sampler_create(&env, params, n, 0, &sampler, NULL)) exit(1);
    for (int i = 0; i < SEEN; i++) llmc_sampler_accept(sampler, (int32_t)(uniform() * (float)n));
    for (int r = 0; r < ROWS; r++) {
        double best = 1;
        for (int i = 0; i < REPETITIONS; i++) {
            llmc_sample sample;
            memcpy(row, rows + (size_t)r * n, n * sizeof *row);
            double t = now();
            llmc_sampler_sample(sampler, row, NULL, (uint64_t)(r * REPETITIONS + i), &sample);
            t = now() - t;
            if (t < best) best = t;
        }
        total += best;
    }
    llmc_sampler_destroy(&sampler);
    return total / ROWS * 1e6;
}

static void measure(uint32_t n) {
    enum { KINDS = sizeof kinds / sizeof kinds[0], SETTINGS = sizeof settings / sizeof settings[0] };
    float *rows[KINDS];
    float *row = malloc(n * sizeof *row);
    printf("%-22s", "");
    for (int kind = 0; kind < KINDS; kind++) {
        rows[kind] = malloc((size_t)ROWS * n * sizeof *row);
        if (!rows[kind] || !row) exit(1);
        for (size_t r = 0; r < ROWS; r++) fill(rows[kind] + r * n, n, kind);
        printf(" %8s", kinds[kind]);
    }
    printf("   us, %u tokens\n", n);
    for (int s = 0; s < SETTINGS; s++) {
        printf("%-22s", settings[s].name);
        for (int kind = 0; kind < KINDS; kind++) printf(" %8.1f", microseconds(&settings[s].params, rows[kind], row, n));
        printf("\n");
    }
    for (int kind = 0; kind < KINDS; kind++) free(rows[kind]);
    free(row);
}

int main(int argc, char **argv) {
    static const uint32_t sizes[] = {49152, 128256, 262144};
    for (int i = 1; i < argc; i++) measure((uint32_t)strtoul(argv[i], NULL, 10));
    for (size_t i = 0; argc == 1 && i < 3; i++) measure(sizes[i]);
    return 0;
}
