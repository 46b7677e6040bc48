/* Times of attention on this machine: bench_attention [head_dim] [heads a KV head] [context] [f16|q8_0|f32] [tier].
 * Prefill in GFLOP/s beside what fma alone reaches, decode in GB/s of pages read. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "guarded.h"
#include "kernels/cpu/attention.h"

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double best_of(const llmc_attention_kernels *kernels, const llmc_attention_job *job, void *scratch, int rounds) {
    double best = 1e30;
    for (int round = 0; round < rounds; round++) {
        double begin = seconds();
        kernels->attend(job, scratch);
        double took = seconds() - begin;
        best = took < best ? took : best;
    }
    return best;
}

static void time_tier(llmc_cpu_tier tier, uint32_t dim, uint32_t heads, uint32_t context, uint32_t n_queries, int type) {
    llmc_attention_kernels kernels;
    llmc_attention_kernels_init(&kernels, tier);
    uint64_t seed = 3;
    size_t block = llmc_kv_block_bytes(dim, type);
    uint32_t n_pages = (context + 15) / 16, *pages = malloc(n_pages * sizeof *pages);
    uint8_t *kv = aligned_alloc(64, block * n_pages);
    float *q = malloc((size_t)n_queries * dim * 4), *out = malloc((size_t)n_queries * dim * 4);
    void *scratch = aligned_alloc(64, (llmc_attention_scratch_bytes(dim) + 63) & ~(size_t)63);
    random_fill(&seed, q, (size_t)n_queries * dim, 1.0f);
    for (uint32_t p = 0; p < context; p++) {
        pages[p / 16] = p / 16;
        kernels.store(kv + p / 16 * block, type, dim, p % 16, q, q);
    }
    llmc_attention_job job = {.head_dim = dim, .type = type, .scale = 0.1f, .n_queries = n_queries, .pages = pages, .base = kv};
    job.page_bytes = block;
    double pairs = 0;
    for (uint32_t i = 0; i < n_queries; i++) {
        job.q[i] = q + (size_t)i * dim;
        job.out[i] = out + (size_t)i * dim;
        job.position[i] = context - 1 - (n_queries - 1 - i) / heads;
        pairs += job.position[i] + 1;
    }
    double took = best_of(&kernels, &job, scratch, tier == LLMC_TIER_C ? 2 : 40);
    printf("%-7s %2u queries, context %u: %7.1f us, %6.1f GFLOP/s, pages at %5.1f GB/s\n", llmc_cpu_tier_name(tier), n_queries,
           context, took * 1e6, pairs * dim * 4 / took * 1e-9, (double)block * n_pages / took * 1e-9);
    free(scratch), free(out), free(q), free(kv), free(pages);
}

static int type_of(const char *name) {
    if (strcmp(name, "q8_0") == 0) return LLMC_KV_Q8_0;
    return strcmp(name, "f32") == 0 ? LLMC_KV_F32 : LLMC_KV_F16;
}

int main(int argc, char **argv) {
    uint32_t dim = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 64,
             heads = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 3;
    uint32_t context = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 2048;
    int type = type_of(argc > 4 ? argv[4] : "f16");
    for (int tier = LLMC_TIERS - 1; tier >= 0; tier--) {
        if (!llmc_cpu_has_tier((llmc_cpu_tier)tier)) continue;
        if (argc > 5 && strcmp(argv[5], llmc_cpu_tier_name((llmc_cpu_tier)tier)) != 0) continue;
        time_tier((llmc_cpu_tier)tier, dim, heads, context, LLMC_ATTENTION_QUERIES / heads * heads, type);
        time_tier((llmc_cpu_tier)tier, dim, heads, context, heads, type);
    }
    return 0;
}
