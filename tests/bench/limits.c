/* What this machine can do at most, as one JSON object: arithmetic of all threads together with everything in registers (8-bit
 * integer and bfloat16 dot products, in vectors and in AMX's tiles, single-precision multiply-adds) and reading of memory. For
 * the share of the ceiling in compare.py; built with -O2 alone, the instruction sets are chosen at run time.
 *
 * Usage: limits [THREADS]   (default 2) */
#define _GNU_SOURCE
#include <cpuid.h>
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    CHAINS = 12,
    MAX_THREADS = 256,
    TRIES = 5
}; /* 12 independent sums cover the latency of two units of four or five cycles */

static const size_t read_bytes = (size_t)1 << 30;
static const unsigned char *memory;
static int n_threads = 2;
static long rounds; /* of CHAINS instructions each */

typedef void *(*work_fn)(void *id);

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Makes the compiler keep a vector in a register and believe that it is used and changed. */
#define HOLD(v) __asm__ volatile("" : "+v"(v))

/* A worker with CHAINS accumulators of TYPE, each changed once a round by STEP(c). */
#define WORKER(name, features, TYPE, ZERO, OPERAND, STEP)                                                                      \
    __attribute__((target(features))) static void *name(void *id) {                                                            \
        OPERAND;                                                                                                               \
        TYPE c[CHAINS];                                                                                                        \
        _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) c[i] = ZERO;                                                 \
        for (long r = 0; r < rounds; r++) {                                                                                    \
            _Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) {                                                        \
                STEP(c[i]);                                                                                                    \
                HOLD(c[i]);                                                                                                    \
            }                                                                                                                  \
        }                                                                                                                      \
        return id;                                                                                                             \
    }

#define VNNI512_STEP(c) c = _mm512_dpbusd_epi32(c, x, x)
#define VNNI256_STEP(c) c = _mm256_dpbusd_avx_epi32(c, x, x)
#define MADD256_STEP(c)                                                                                                        \
    __m256i p = _mm256_maddubs_epi16(x, x);                                                                                    \
    HOLD(p);                                                                                                                   \
    c = _mm256_add_epi32(c, _mm256_madd_epi16(p, x))
#define BF16_STEP(c)   c = _mm512_dpbf16_ps(c, (__m512bh)x, (__m512bh)x)
#define FMA512_STEP(c) c = _mm512_fmadd_ps(x, x, c)
#define FMA256_STEP(c) c = _mm256_fmadd_ps(x, x, c)

WORKER(int8_vnni512, "avx512f,avx512vnni", __m512i, _mm512_setzero_si512(), __m512i x = _mm512_set1_epi8(1), VNNI512_STEP)
WORKER(int8_vnni256, "avx2,avxvnni", __m256i, _mm256_setzero_si256(), __m256i x = _mm256_set1_epi8(1), VNNI256_STEP)
WORKER(int8_madd256, "avx2", __m256i, _mm256_setzero_si256(), __m256i x = _mm256_set1_epi8(1), MADD256_STEP)
WORKER(bf16_dot512, "avx512f,avx512bf16", __m512, _mm512_setzero_ps(), __m512i x = _mm512_set1_epi16(0x3f80), BF16_STEP)
WORKER(fma512, "avx512f", __m512, _mm512_setzero_ps(), __m512 x = _mm512_set1_ps(1), FMA512_STEP)
WORKER(fma256, "avx2,fma", __m256, _mm256_setzero_ps(), __m256 x = _mm256_set1_ps(1), FMA256_STEP)

/* ---- AMX, as assembly: compilers learned it late, and gcc 12 drops stores to the configuration ---- */

typedef struct tile_config {
    uint8_t palette, start_row, unused[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

static void open_tiles(void) {
    tile_config config = {.palette = 1};
    for (int i = 0; i < 8; i++) config.row_bytes[i] = 64, config.rows[i] = 16;
    __asm__ volatile("ldtilecfg %0" : : "m"(config) : "memory");
    __asm__ volatile("tilezero %%tmm0\n tilezero %%tmm1\n tilezero %%tmm2\n tilezero %%tmm3\n tilezero %%tmm4\n"
                     "tilezero %%tmm5\n tilezero %%tmm6\n tilezero %%tmm7"
                     :
                     :
                     : "memory");
}

static void close_tiles(void) {
    __asm__ volatile("tilerelease" : : : "memory");
}

/* CHAINS products into six sums, which is one more than the latency asks for. */
#define SIX_PRODUCTS(op)                                                                                                       \
    op " %%tmm7, %%tmm6, %%tmm0\n" op " %%tmm7, %%tmm6, %%tmm1\n" op " %%tmm7, %%tmm6, %%tmm2\n" op                            \
       " %%tmm7, %%tmm6, %%tmm3\n" op " %%tmm7, %%tmm6, %%tmm4\n" op " %%tmm7, %%tmm6, %%tmm5\n"
#define TILE_WORKER(name, op)                                                                                                  \
    static void *name(void *id) {                                                                                              \
        open_tiles();                                                                                                          \
        for (long r = 0; r < rounds; r++) __asm__ volatile(SIX_PRODUCTS(op) SIX_PRODUCTS(op) : : : "memory");                  \
        close_tiles();                                                                                                         \
        return id;                                                                                                             \
    }

TILE_WORKER(int8_tiles, "tdpbusd")
TILE_WORKER(bf16_tiles, "tdpbf16ps")

/* CPUID leaf 7, EDX bits 22, 24 and 25, and what XCR0 and Linux (ARCH_REQ_XCOMP_PERM of <asm/prctl.h>) allow. */
static int has_amx(void) {
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };
    const unsigned all = 1u << 22 | 1u << 24 | 1u << 25;
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE)) return 0;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & all) != all) return 0;
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low >> 17 & 3) == 3 && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

/* Each thread reads its own part, four streams of a quarter each, so that the prefetchers have enough to follow. */
__attribute__((target("avx2"))) static void *read_part(void *id) {
    enum { STREAMS = 4 };
    size_t part = read_bytes / (size_t)n_threads / STREAMS / 64 * 64;
    const unsigned char *p = memory + (size_t)(intptr_t)id * part * STREAMS;
    __m256i sum[STREAMS] = {_mm256_setzero_si256()};
    for (size_t i = 0; i < part; i += 64) {
        _Pragma("GCC unroll 4") for (int s = 0; s < STREAMS; s++) {
            const __m256i *line = (const __m256i *)(p + (size_t)s * part + i);
            sum[s] = _mm256_or_si256(sum[s], _mm256_or_si256(_mm256_load_si256(line), _mm256_load_si256(line + 1)));
        }
    }
    _Pragma("GCC unroll 4") for (int s = 0; s < STREAMS; s++) HOLD(sum[s]);
    return id;
}

/* Seconds until the last of the threads is done. */
static double time_all(work_fn work) {
    pthread_t threads[MAX_THREADS];
    double begin = seconds();
    for (int i = 0; i < n_threads; i++)
        if (pthread_create(&threads[i], NULL, work, (void *)(intptr_t)i)) exit(1);
    for (int i = 0; i < n_threads; i++) pthread_join(threads[i], NULL);
    return seconds() - begin;
}

static double best_of_tries(work_fn work) {
    double best = 1e9;
    for (int i = 0; i < TRIES; i++) {
        double t = time_all(work);
        if (t < best) best = t;
    }
    return best;
}

/* Operations a second, in 1e9, where an instruction does so many. */
static double rate(work_fn work, double ops) {
    rounds = 1 << 20; /* long enough to be timed, then as many as take about a quarter of a second */
    double t = time_all(work);
    rounds = (long)((double)rounds * 0.25 / t) + 1;
    return (double)n_threads * (double)rounds * CHAINS * ops / best_of_tries(work) / 1e9;
}

/* CPUID leaf 7.1, EAX bit 4; compilers learned its name late. */
static int has_avxvnni(void) {
    unsigned a = 0, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
}

static int map_memory(void) {
    void *p = mmap(NULL, read_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return 0;
    (void)madvise(p, read_bytes, MADV_HUGEPAGE);
    memset(p, 1, read_bytes);
    memory = p;
    return 1;
}

int main(int argc, char **argv) {
    if (argc > 1) n_threads = (int)strtol(argv[1], NULL, 10);
    if (argc > 2 || n_threads < 1 || n_threads > MAX_THREADS) return fprintf(stderr, "Usage: limits [THREADS]\n"), 2;
    __builtin_cpu_init();
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return fprintf(stderr, "limits: no AVX2 here.\n"), 1;
    if (!map_memory()) return fprintf(stderr, "limits: no memory.\n"), 1;

    /* Two operations, a product and a sum, for each lane. */
    int wide = __builtin_cpu_supports("avx512f");
    double int8 = rate(int8_madd256, 64);
    const char *by = "avx2 maddubs";
    if (has_avxvnni()) int8 = rate(int8_vnni256, 64), by = "avx-vnni";
    if (wide && __builtin_cpu_supports("avx512vnni")) int8 = rate(int8_vnni512, 128), by = "avx512-vnni";
    printf("{\"threads\": %d, \"int8_gops\": %.1f, \"int8_by\": \"%s\", ", n_threads, int8, by);
    printf("\"fp32_gflops\": %.1f, ", wide ? rate(fma512, 32) : rate(fma256, 16));
    if (wide && __builtin_cpu_supports("avx512bf16")) printf("\"bf16_gflops\": %.1f, ", rate(bf16_dot512, 64));
    if (has_amx()) { /* a product of tiles: 16 by 16 sums, each of 64 bytes or 32 bfloat16 */
        printf("\"amx_int8_gops\": %.1f, ", rate(int8_tiles, 2 * 16 * 16 * 64));
        printf("\"amx_bf16_gflops\": %.1f, ", rate(bf16_tiles, 2 * 16 * 16 * 32));
    }
    printf("\"read_gbs\": %.1f}\n", (double)read_bytes / best_of_tries(read_part) / 1e9);
    return 0;
}
