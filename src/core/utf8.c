/* UTF-8 as the Unicode standard's table 3-7 defines it: which second byte may follow a lead byte decides everything. */
#include "core/utf8.h"

#include <string.h>

typedef struct lead_class {
    uint8_t length; /* bytes of the character; 0: not a lead byte */
    uint8_t second_low, second_high;
} lead_class;

static lead_class class_of(uint8_t lead) {
    if (lead < 0x80) return (lead_class){1, 0, 0};
    if (lead < 0xc2) return (lead_class){0, 0, 0};
    if (lead < 0xe0) return (lead_class){2, 0x80, 0xbf};
    if (lead < 0xf0) return (lead_class){3, lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf};
    if (lead < 0xf5) return (lead_class){4, lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf};
    return (lead_class){0, 0, 0};
}

/* How many of the first size bytes fit the lead's class; class.length if the character is whole. */
static size_t fitting(const uint8_t *bytes, size_t size, lead_class class) {
    size_t n = 1;
    if (class.length < 2) return class.length;
    if (size < 2 || bytes[1] < class.second_low || bytes[1] > class.second_high) return n;
    for (n = 2; n < class.length && n < size && (bytes[n] & 0xc0) == 0x80; n++) {}
    return n;
}

size_t llmc_utf8_decode(const char *text, size_t size, uint32_t *code_point) {
    static const uint8_t lead_mask[5] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    const uint8_t *bytes = (const uint8_t *)text;
    if (size == 0) return 0;
    lead_class class = class_of(bytes[0]);
    if (!class.length || fitting(bytes, size, class) != class.length) return 0;
    uint32_t value = bytes[0] & lead_mask[class.length];
    for (size_t i = 1; i < class.length; i++) value = value << 6 | (bytes[i] & 0x3f);
    *code_point = value;
    return class.length;
}

size_t llmc_utf8_valid_prefix(const char *text, size_t size) {
    size_t at = 0;
    while (at < size) {
        uint64_t eight;
        if (size - at >= 8 && (memcpy(&eight, text + at, 8), (eight & 0x8080808080808080u) == 0)) {
            at += 8; /* ASCII, the common case */
            continue;
        }
        uint32_t code_point;
        size_t length = llmc_utf8_decode(text + at, size - at, &code_point);
        if (!length) return at;
        at += length;
    }
    return size;
}

size_t llmc_utf8_incomplete_tail(const char *text, size_t size) {
    const uint8_t *bytes = (const uint8_t *)text;
    for (size_t tail = 1; tail <= 3 && tail <= size; tail++) {
        const uint8_t *lead = bytes + size - tail;
        if ((*lead & 0xc0) == 0x80) continue;
        lead_class class = class_of(*lead);
        return class.length > tail && fitting(lead, tail, class) == tail ? tail : 0;
    }
    return 0;
}

size_t llmc_utf8_encode(uint32_t code_point, char out[4]) {
    static const uint8_t lead_bits[5] = {0, 0, 0xc0, 0xe0, 0xf0};
    if (code_point > 0x10ffff || (code_point >= 0xd800 && code_point <= 0xdfff)) return 0;
    size_t length = code_point < 0x80 ? 1 : code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--, code_point >>= 6) out[i] = (char)(0x80 | (code_point & 0x3f));
    out[0] = (char)(lead_bits[length] | code_point);
    return length;
}
