/* Finds the machine's tier. */
#include "kernels/cpu/cpu.h"

#include <stdint.h>
#include <string.h>

static const char *const tier_names[] = {"c", "avx2", "avx512"};

const char *llmc_cpu_tier_name(llmc_cpu_tier tier) {
    return tier_names[tier];
}

int llmc_cpu_tier_find(const char *name, llmc_cpu_tier *tier) {
    for (unsigned i = 0; i < sizeof tier_names / sizeof *tier_names; i++) {
        if (strcmp(name, tier_names[i]) == 0) {
            *tier = (llmc_cpu_tier)i;
            return 1;
        }
    }
    return 0;
}

#if defined(__x86_64__)
#include <cpuid.h>

/* Register state that the operating system saves: without it the instructions fault even where CPUID lists them. */
static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static int has(uint32_t word, uint32_t bits) {
    return (word & bits) == bits;
}

llmc_cpu_tier llmc_cpu_best_tier(void) {
    uint32_t a, b, c, d, b7, c7;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has(c, bit_OSXSAVE | bit_AVX | bit_FMA | bit_F16C)) return LLMC_TIER_C;
    if (!__get_cpuid_count(7, 0, &a, &b7, &c7, &d) || !has(b7, bit_AVX2)) return LLMC_TIER_C;
    uint64_t xcr0 = read_xcr0();
    if ((xcr0 & 0x06) != 0x06) return LLMC_TIER_C;    /* XMM, YMM */
    if ((xcr0 & 0xe0) != 0xe0) return LLMC_TIER_AVX2; /* opmask, ZMM */
    if (!has(b7, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL) || !has(c7, bit_AVX512VNNI)) return LLMC_TIER_AVX2;
    return LLMC_TIER_AVX512;
}
#else
llmc_cpu_tier llmc_cpu_best_tier(void) {
    return LLMC_TIER_C;
}
#endif
