/* Little-endian reading with a sticky, positioned error, and checked arithmetic on sizes that came from outside. */
#include "core/cursor.h"

void llmc_cursor_init(llmc_cursor *cursor, const void *data, uint64_t size) {
    *cursor = (llmc_cursor){.data = data, .size = size};
}

uint64_t llmc_cursor_left(const llmc_cursor *cursor) {
    return cursor->failed ? 0 : cursor->size - cursor->offset;
}

void llmc_cursor_fail(llmc_cursor *cursor, const char *reason) {
    if (cursor->failed) return;
    cursor->failed = 1;
    cursor->failed_offset = cursor->offset;
    cursor->failed_reason = reason;
}

const uint8_t *llmc_cursor_bytes(llmc_cursor *cursor, uint64_t size) {
    if (size > llmc_cursor_left(cursor)) llmc_cursor_fail(cursor, "unexpected end");
    if (cursor->failed) return NULL;
    const uint8_t *bytes = cursor->data + cursor->offset;
    cursor->offset += size;
    return bytes;
}

void llmc_cursor_skip(llmc_cursor *cursor, uint64_t size) {
    (void)llmc_cursor_bytes(cursor, size);
}

static uint64_t unsigned_of(llmc_cursor *cursor, unsigned size) {
    const uint8_t *bytes = llmc_cursor_bytes(cursor, size);
    uint64_t value = 0;
    for (unsigned i = 0; bytes && i < size; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

uint8_t llmc_cursor_u8(llmc_cursor *cursor) {
    return (uint8_t)unsigned_of(cursor, 1);
}
uint16_t llmc_cursor_u16(llmc_cursor *cursor) {
    return (uint16_t)unsigned_of(cursor, 2);
}
uint32_t llmc_cursor_u32(llmc_cursor *cursor) {
    return (uint32_t)unsigned_of(cursor, 4);
}
uint64_t llmc_cursor_u64(llmc_cursor *cursor) {
    return unsigned_of(cursor, 8);
}

int llmc_mul_u64(uint64_t a, uint64_t b, uint64_t *result) {
    return !__builtin_mul_overflow(a, b, result);
}
int llmc_add_u64(uint64_t a, uint64_t b, uint64_t *result) {
    return !__builtin_add_overflow(a, b, result);
}
