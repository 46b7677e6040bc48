/* The tile instructions of AMX, as assembly that says what it touches: compilers' intrinsics differ in whether they say that
 * memory is read and written. Tile registers belong to the whole call that configured them; compilers hold nothing in them. */
#ifndef LLMC_AMX_TILES_H
#define LLMC_AMX_TILES_H

#include <stddef.h>
#include <stdint.h>

enum { AMX_TILES = 8, AMX_ROW_BYTES = 64 };

typedef struct amx_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} amx_config;

static inline void amx_configure(const amx_config *config) {
    __asm__ volatile("ldtilecfg %0" ::"m"(*config));
}

/* Without it a thread would carry 8 KiB more through every switch. */
static inline void amx_release(void) {
    __asm__ volatile("tilerelease" ::: "memory");
}

/* A tile of rows `stride` bytes apart. t: a literal number. */
#define AMX_LOAD(t, from, stride)                                                                                              \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t ::"r"((const void *)(from)), "r"((size_t)(stride)) : "memory")
#define AMX_STORE(t, to, stride)                                                                                               \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)" ::"r"((void *)(to)), "r"((size_t)(stride)) : "memory")
#define AMX_ZERO(t) __asm__ volatile("tilezero %%tmm" #t :::)

/* c += a * b: signed bytes of a with signed or unsigned ones of b. */
#define AMX_DOT_SS(c, a, b) __asm__ volatile("tdpbssd %%tmm" #b ", %%tmm" #a ", %%tmm" #c :::)
#define AMX_DOT_SU(c, a, b) __asm__ volatile("tdpbsud %%tmm" #b ", %%tmm" #a ", %%tmm" #c :::)

#endif
