/* Where a kernel reads, and where, some blocks ahead, it asks for lines. Memory's own prefetching stops at every page and knows
 * nothing of the next tile; this keeps several rows at memory's speed. */
#ifndef LLMC_TILE_STREAM_H
#define LLMC_TILE_STREAM_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes ahead, rounded up to blocks; a file may choose its own. */
#ifndef TILE_STREAM_AHEAD
#define TILE_STREAM_AHEAD 8192
#endif

typedef struct tile_stream {
    const uint8_t *quants, *scales, *ahead_quants, *ahead_scales;
    size_t turn; /* the block at which what lies ahead is the next tile */
} tile_stream;

/* quant_bytes and scale_bytes are those of a block. */
static inline tile_stream tile_stream_begin(const uint8_t *tile, size_t n_blocks, size_t quant_bytes, size_t scale_bytes) {
    const size_t wanted = TILE_STREAM_AHEAD / quant_bytes + 1, ahead = wanted < n_blocks ? wanted : n_blocks;
    const uint8_t *scales = tile + n_blocks * quant_bytes;
    return (tile_stream){tile, scales, tile + ahead * quant_bytes, scales + ahead * scale_bytes, n_blocks - ahead};
}

/* To be called before each block. */
static inline void tile_stream_turn(tile_stream *at, const uint8_t *next, size_t block, size_t n_blocks, size_t quant_bytes) {
    if (block != at->turn) return;
    at->ahead_quants = next;
    at->ahead_scales = next + n_blocks * quant_bytes;
}

static inline __attribute__((always_inline)) void prefetch_lines(const uint8_t *lines, const size_t bytes) {
    _Pragma("GCC unroll 16") for (size_t i = 0; i < bytes; i += 64) _mm_prefetch((const char *)lines + i, _MM_HINT_T0);
}

/* Asks for what lies ahead of a block, and on to the next block. */
static inline __attribute__((always_inline)) void tile_stream_step(tile_stream *at, size_t quant_bytes, size_t scale_bytes) {
    prefetch_lines(at->ahead_quants, quant_bytes);
    prefetch_lines(at->ahead_scales, scale_bytes);
    at->quants += quant_bytes;
    at->ahead_quants += quant_bytes;
    at->scales += scale_bytes;
    at->ahead_scales += scale_bytes;
}

#endif
