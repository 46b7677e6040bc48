/* Which instruction sets this machine has, as tiers. A tier is chosen once, at run time, from CPUID and XCR0. */
#ifndef LLMC_CPU_H
#define LLMC_CPU_H

/* In rising order of preference. A machine need not have every tier below its best. */
typedef enum llmc_cpu_tier {
    LLMC_TIER_C = 0,          /* portable C, with fma() */
    LLMC_TIER_AVX2 = 1,       /* AVX2, FMA, F16C */
    LLMC_TIER_AVXVNNI = 2,    /* and the VEX form of vpdpbusd */
    LLMC_TIER_AVX512 = 3,     /* AVX2's, and AVX-512 F, BW, DQ, VL, VNNI */
    LLMC_TIER_AVX512BF16 = 4, /* and vdpbf16ps */
    LLMC_TIER_AMX = 5,        /* and tiles of 8-bit and bfloat16 products */
    LLMC_TIERS = 6
} llmc_cpu_tier;

/* The first call asks the system for the use of AMX's registers, which it grants to a process and all of its threads. */
int llmc_cpu_has_tier(llmc_cpu_tier tier);
llmc_cpu_tier llmc_cpu_best_tier(void);
const char *llmc_cpu_tier_name(llmc_cpu_tier tier);
int llmc_cpu_tier_find(const char *name, llmc_cpu_tier *tier); /* 1, or 0: no such name */
/* Whether registers of 512 bits are masked and shifted by other units than those of vpdpbusd, as AMD's are and Intel's are not. It
 * decides how a product is walked, never its bits. */
int llmc_cpu_masks_beside_dots(void);

#endif
