/* Which passes this machine runs. */
#include "sampler/passes.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Processor and operating system have what the table was compiled for (meson.build). */
#if defined(__x86_64__)
static int has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static int has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni");
}
#endif

const llmc_sampler_passes *llmc_sampler_passes_at(uint32_t i) {
#if defined(__x86_64__)
    if (i == 2 && has_avx512()) return &llmc_sampler_passes_avx512;
    if (i == 1 && has_avx2()) return &llmc_sampler_passes_avx2;
#endif
    return i == 0 ? &llmc_sampler_passes_c : NULL;
}

/* LLMCALL_CPU names a tier of the kernels; those that are not here are of the best table. */
static uint32_t limit(void) {
    const char *name = getenv("LLMCALL_CPU");
    if (!name) return 2;
    if (strcmp(name, "c") == 0) return 0;
    return strcmp(name, "avx2") == 0 || strcmp(name, "avxvnni") == 0 ? 1 : 2;
}

const llmc_sampler_passes *llmc_sampler_passes_best(void) {
    static _Atomic(const llmc_sampler_passes *) chosen;
    const llmc_sampler_passes *passes = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (passes) return passes;
    for (uint32_t i = limit(); !passes; i--) passes = llmc_sampler_passes_at(i);
    atomic_store_explicit(&chosen, passes, memory_order_relaxed);
    return passes;
}
