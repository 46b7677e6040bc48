/* Whole tiles against the rows' own way into them, byte by byte, for every type; neither touches a byte beyond its buffers. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/cpu/pack.h"
#include "tests/kernels/guarded.h"

/* Bytes of a lane that lie together: 4 in a vector of quants, floats or pairs of bfloat16, 2 in scales and in F16, an exponent. */
static size_t lane_at(int32_t type, uint32_t cols, size_t at) {
    const llmc_tile_layout *layout = llmc_tile_layout_of(type);
    size_t quants = (size_t)cols / 32 * 64 * (layout->low_bits + layout->high_bits);
    if (layout->scales == LLMC_SCALES_E8M0 && at >= quants) return at % LLMC_TILE_ROWS;
    int twos = layout->block_cols == 1 ? type == LLMC_PACK_F16 : at >= quants;
    return twos ? at % 32 / 2 : at % 64 / 4;
}

/* The same rows twice: 16, a tile at once, and 15, which go row by row. They must differ in lane 15 alone. */
static void check_type(uint64_t *seed, int32_t type, uint32_t cols) {
    enum { ROWS = LLMC_TILE_ROWS };
    const llmc_tile_layout *layout = llmc_tile_layout_of(type);
    size_t row_bytes = (size_t)cols / layout->block_cols * layout->block_bytes, bytes = llmc_packed_tile_bytes(type, cols);
    guarded blocks = guarded_make(ROWS * row_bytes), whole = guarded_make(bytes), rows = guarded_make(bytes);
    uint8_t *source = blocks.data, *a = whole.data, *b = rows.data;
    for (size_t i = 0; i < ROWS * row_bytes; i++) source[i] = (uint8_t)random_u32(seed);
    llmc_packed packed = {type, ROWS, cols, bytes, a};
    llmc_pack_rows(&packed, 0, ROWS, source);
    packed.data = b;
    llmc_pack_rows(&packed, 0, ROWS - 1, source);
    size_t differ = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (lane_at(type, cols, i) < ROWS - 1) assert_int_equal(a[i], b[i]);
        else differ += a[i] != b[i];
    }
    assert_true(differ > row_bytes / 2);
    guarded_free(&blocks);
    guarded_free(&whole);
    guarded_free(&rows);
}

static void tiles_are_as_rows(void **state) {
    (void)state;
    uint64_t seed = 5;
    for (int32_t type = 0; type < LLMC_PACK_TYPES; type++) {
        const llmc_tile_layout *layout = llmc_tile_layout_of(type);
        for (uint32_t n = 1; layout && n <= (layout->block_cols == 1 ? 70 : 9); n++)
            check_type(&seed, type, n * layout->block_cols);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(tiles_are_as_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
