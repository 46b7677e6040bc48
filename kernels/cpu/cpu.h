/* Which instruction sets this machine has, as tiers. A tier is chosen once, at run time, from CPUID and XCR0. */
#ifndef LLMC_CPU_H
#define LLMC_CPU_H

typedef enum llmc_cpu_tier {
    LLMC_TIER_C = 0,     /* portable C, with fma() */
    LLMC_TIER_AVX2 = 1,  /* AVX2, FMA, F16C */
    LLMC_TIER_AVX512 = 2 /* and AVX-512 F, BW, DQ, VL, VNNI */
} llmc_cpu_tier;

llmc_cpu_tier llmc_cpu_best_tier(void);
const char *llmc_cpu_tier_name(llmc_cpu_tier tier);
int llmc_cpu_tier_find(const char *name, llmc_cpu_tier *tier); /* 1, or 0: no such name */

#endif
