/* Classes of characters for the pre-tokenizers, looked up by code point in a table that is filled once for a tokenizer. */
#ifndef LLMC_TOKENIZER_CLASSES_H
#define LLMC_TOKENIZER_CLASSES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    LLMC_CLASS_LETTER = 1,
    LLMC_CLASS_NUMBER = 2,
    LLMC_CLASS_MARK = 4,
    LLMC_CLASS_SPACE = 8,
    LLMC_CLASS_BREAK = 16, /* besides SPACE: carriage return and line feed */
    LLMC_CLASS_OTHER = 32
};

enum {
    LLMC_CLASSED = 0x32400, /* code points in the table */
    LLMC_VARIATION_SELECTOR_17 = 0xe0100,
    LLMC_VARIATION_SELECTOR_256 = 0xe01ef /* the marks beyond it; all else is OTHER */
};

void llmc_classes_fill(uint8_t classes[LLMC_CLASSED]);

static inline uint32_t llmc_class_of(const uint8_t *classes, uint32_t code_point) {
    if (code_point < LLMC_CLASSED) return classes[code_point];
    const int mark = code_point >= LLMC_VARIATION_SELECTOR_17 && code_point <= LLMC_VARIATION_SELECTOR_256;
    return mark ? LLMC_CLASS_MARK : LLMC_CLASS_OTHER;
}

/* The class of the character at p, which lies before end, and where the next begins. Reads nothing at or beyond end, even where
 * the text is not UTF-8: bytes that begin no whole character are OTHER. */
static inline uint32_t llmc_class_at(const uint8_t *classes, const uint8_t *p, const uint8_t *end, const uint8_t **next) {
    const uint32_t lead = *p;
    const size_t size = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead < 0x80 || (size_t)(end - p) < size || size == 1) {
        *next = p + 1;
        return lead < 0x80 ? classes[lead] : LLMC_CLASS_OTHER;
    }
    *next = p + size;
    if (size == 2) return classes[(lead & 0x1f) << 6 | (p[1] & 0x3fu)];
    if (size == 3) return classes[(lead & 0x0f) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu)];
    return llmc_class_of(classes, (lead & 0x07) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu));
}

#endif
