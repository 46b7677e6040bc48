/* Classes of characters for the pre-tokenizers, looked up by code point in a table that is filled once for a tokenizer. */
#ifndef LLMC_TOKENIZER_CLASSES_H
#define LLMC_TOKENIZER_CLASSES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum {
    LLMC_CLASS_UPPER = 1,     /* Lu, Lt */
    LLMC_CLASS_LOWER = 2,     /* Ll */
    LLMC_CLASS_UNCASED = 4,   /* Lm, Lo */
    LLMC_CLASS_NUMBER = 8,    /* N */
    LLMC_CLASS_DIGIT = 16,    /* besides NUMBER: Nd */
    LLMC_CLASS_MARK = 32,     /* M */
    LLMC_CLASS_SPACE = 64,    /* White_Space */
    LLMC_CLASS_BREAK = 128,   /* besides SPACE: carriage return and line feed */
    LLMC_CLASS_PUNCT = 256,   /* P */
    LLMC_CLASS_CONNECT = 512, /* besides PUNCT: Pc */
    LLMC_CLASS_SYMBOL = 1024, /* S */
    LLMC_CLASS_REST = 2048,   /* C, but for what is a space */
    LLMC_CLASS_HAN = 4096,    /* besides another: the script Han */
    LLMC_CLASS_LETTER = LLMC_CLASS_UPPER | LLMC_CLASS_LOWER | LLMC_CLASS_UNCASED,
    LLMC_CLASS_OTHER = LLMC_CLASS_PUNCT | LLMC_CLASS_SYMBOL | LLMC_CLASS_REST
};

enum {
    LLMC_CLASSED = 0x32400, /* code points in the table */
    LLMC_VARIATION_SELECTOR_17 = 0xe0100,
    LLMC_VARIATION_SELECTOR_256 = 0xe01ef /* the marks beyond it; all else is REST */
};

void llmc_classes_fill(uint16_t classes[LLMC_CLASSED]);

static inline uint32_t llmc_class_of(const uint16_t *classes, uint32_t code_point) {
    if (code_point < LLMC_CLASSED) return classes[code_point];
    const int mark = code_point >= LLMC_VARIATION_SELECTOR_17 && code_point <= LLMC_VARIATION_SELECTOR_256;
    return mark ? LLMC_CLASS_MARK : LLMC_CLASS_REST;
}

/* The class of the character at p, which lies before end, and where the next begins. Reads nothing at or beyond end, even where
 * the text is not UTF-8: bytes that begin no whole character are REST. */
static inline uint32_t llmc_class_at(const uint16_t *classes, const uint8_t *p, const uint8_t *end, const uint8_t **next) {
    const uint32_t lead = *p;
    const size_t size = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead < 0x80 || (size_t)(end - p) < size || size == 1) {
        *next = p + 1;
        return lead < 0x80 ? classes[lead] : LLMC_CLASS_REST;
    }
    *next = p + size;
    if (size == 2) return classes[(lead & 0x1f) << 6 | (p[1] & 0x3fu)];
    if (size == 3) return classes[(lead & 0x0f) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu)];
    return llmc_class_of(classes, (lead & 0x07) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu));
}

/* Inclusive ranges of code points in ascending order, in numbered groups. */
typedef struct llmc_range {
    uint32_t first, last;
    uint32_t group; /* not 0 */
} llmc_range;

/* The group of a code point, or 0. */
static inline uint32_t llmc_range_group(const llmc_range *ranges, size_t n, uint32_t code_point) {
    size_t low = 0, high = n;
    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        if (ranges[middle].last < code_point) low = middle + 1;
        else high = middle;
    }
    return low < n && ranges[low].first <= code_point ? ranges[low].group : 0;
}

/* The code point of the character at p, as llmc_class_at steps; a byte that begins none stands for itself above Unicode. */
static inline uint32_t llmc_code_point_at(const uint8_t *p, const uint8_t *end) {
    const uint32_t lead = *p;
    const size_t size = lead < 0xc0 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (lead < 0x80) return lead;
    if ((size_t)(end - p) < size || size == 1) return 0x110000 + lead;
    if (size == 2) return (lead & 0x1f) << 6 | (p[1] & 0x3fu);
    if (size == 3) return (lead & 0x0f) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
    return (lead & 0x07) << 18 | (p[1] & 0x3fu) << 12 | (p[2] & 0x3fu) << 6 | (p[3] & 0x3fu);
}

#endif
