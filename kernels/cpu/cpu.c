/* Finds the machine's tiers. */
#define _GNU_SOURCE
#include "kernels/cpu/cpu.h"

#include <stdint.h>
#include <string.h>

static const char *const tier_names[LLMC_TIERS] = {"c", "avx2", "avxvnni", "avx512", "avx512bf16", "amx"};

const char *llmc_cpu_tier_name(llmc_cpu_tier tier) {
    return tier_names[tier];
}

int llmc_cpu_tier_find(const char *name, llmc_cpu_tier *tier) {
    for (unsigned i = 0; i < LLMC_TIERS; i++) {
        if (strcmp(name, tier_names[i]) == 0) {
            *tier = (llmc_cpu_tier)i;
            return 1;
        }
    }
    return 0;
}

#if defined(__x86_64__)
#include <cpuid.h>
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* What the processor lists: words of CPUID, and the register state that the operating system saves, without which the
 * instructions fault even where CPUID lists them. */
typedef struct features {
    uint32_t c1, b7, c7, d7, a7_1;
    uint64_t xcr0;
} features;

static uint64_t read_xcr0(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static features read_features(void) {
    features f = {0};
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &f.c1, &d) || !(f.c1 & bit_OSXSAVE)) return f;
    f.xcr0 = read_xcr0();
    if (!__get_cpuid_count(7, 0, &a, &f.b7, &f.c7, &f.d7) || a < 1) return f;
    __get_cpuid_count(7, 1, &f.a7_1, &b, &c, &d);
    return f;
}

/* Not all in cpuid.h of every compiler. CPUID 7.0 EDX and 7.1 EAX; XCR0. */
enum { AMX_BF16 = 1u << 22, AMX_TILE = 1u << 24, AMX_INT8 = 1u << 25, AVX_VNNI = 1u << 4, AVX512_BF16 = 1u << 5 };
enum { STATE_AVX = 0x06 /* XMM, YMM */, STATE_AVX512 = 0xe6 /* opmask, ZMM */, STATE_AMX = 0x60000 /* configuration, data */ };

static int has(uint64_t word, uint64_t bits) {
    return (word & bits) == bits;
}

/* Linux gives the large state only to who asks; ARCH_REQ_XCOMP_PERM of <asm/prctl.h>, which old headers lack. */
static int may_use_amx(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return 0;
#endif
}

int llmc_cpu_has_tier(llmc_cpu_tier tier) {
    if (tier == LLMC_TIER_C) return 1;
    features f = read_features();
    int avx2 = has(f.c1, bit_AVX | bit_FMA | bit_F16C) && has(f.b7, bit_AVX2) && has(f.xcr0, STATE_AVX);
    int avx512 = avx2 && has(f.b7, bit_AVX512F | bit_AVX512BW | bit_AVX512DQ | bit_AVX512VL) && has(f.c7, bit_AVX512VNNI) &&
                 has(f.xcr0, STATE_AVX512);
    switch (tier) {
    case LLMC_TIER_AVX2:
        return avx2;
    case LLMC_TIER_AVXVNNI:
        return avx2 && has(f.a7_1, AVX_VNNI);
    case LLMC_TIER_AVX512:
        return avx512;
    case LLMC_TIER_AVX512BF16:
        return avx512 && has(f.a7_1, AVX512_BF16);
    case LLMC_TIER_AMX:
        return avx512 && has(f.a7_1, AVX512_BF16) && has(f.d7, AMX_TILE | AMX_INT8 | AMX_BF16) && has(f.xcr0, STATE_AMX) &&
               may_use_amx();
    default:
        return 0;
    }
}

int llmc_cpu_masks_beside_dots(void) {
    uint32_t highest, b, c, d;
    if (!__get_cpuid(0, &highest, &b, &c, &d)) return 0;
    return b == signature_AMD_ebx && c == signature_AMD_ecx && d == signature_AMD_edx;
}
#else
int llmc_cpu_has_tier(llmc_cpu_tier tier) {
    return tier == LLMC_TIER_C;
}

int llmc_cpu_masks_beside_dots(void) {
    return 0;
}
#endif

llmc_cpu_tier llmc_cpu_best_tier(void) {
    int tier = LLMC_TIERS - 1;
    while (!llmc_cpu_has_tier((llmc_cpu_tier)tier)) tier--;
    return (llmc_cpu_tier)tier;
}
