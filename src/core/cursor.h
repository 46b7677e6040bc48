/* A reading position in little-endian bytes with a sticky, positioned error: read on without looking, check once. Reads past
 * the end give zeros and set the error at that offset. */
#ifndef LLMC_CURSOR_H
#define LLMC_CURSOR_H

#include "core/error.h"

typedef struct llmc_cursor {
    const uint8_t *data;
    uint64_t size;
    uint64_t offset;
    int failed;
    uint64_t failed_offset;
    const char *failed_reason; /* static text: "unexpected end" */
} llmc_cursor;

void llmc_cursor_init(llmc_cursor *cursor, const void *data, uint64_t size);
uint8_t llmc_cursor_u8(llmc_cursor *cursor);
uint16_t llmc_cursor_u16(llmc_cursor *cursor);
uint32_t llmc_cursor_u32(llmc_cursor *cursor);
uint64_t llmc_cursor_u64(llmc_cursor *cursor);
const uint8_t *llmc_cursor_bytes(llmc_cursor *cursor, uint64_t size); /* NULL on failure */
void llmc_cursor_skip(llmc_cursor *cursor, uint64_t size);
uint64_t llmc_cursor_left(const llmc_cursor *cursor);
void llmc_cursor_fail(llmc_cursor *cursor, const char *reason); /* keeps the first failure */

/* Products and sums of sizes that came from outside: 1 and the result, or 0 on overflow. */
int llmc_mul_u64(uint64_t a, uint64_t b, uint64_t *result);
int llmc_add_u64(uint64_t a, uint64_t b, uint64_t *result);

#endif
