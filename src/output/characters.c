/* Bytes to whole characters, a byte at a time, so that it does not matter how the stream was cut. */
#include <string.h>

#include "output/internal.h"

/* First bytes: how many bytes, and the range of the second (narrower where overlong forms, surrogates and what is above
 * U+10FFFF begin). */
static const struct {
    unsigned char first, last, need, low, high;
} leads[] = {
    {0xC2, 0xDF, 2, 0x80, 0xBF}, {0xE0, 0xE0, 3, 0xA0, 0xBF}, {0xE1, 0xEC, 3, 0x80, 0xBF}, {0xED, 0xED, 3, 0x80, 0x9F},
    {0xEE, 0xEF, 3, 0x80, 0xBF}, {0xF0, 0xF0, 4, 0x90, 0xBF}, {0xF1, 0xF3, 4, 0x80, 0xBF}, {0xF4, 0xF4, 4, 0x80, 0x8F},
};

static size_t replacement(char *out) {
    memcpy(out, "\xEF\xBF\xBD", 3);
    return 3;
}

static size_t begin(llmc_characters *characters, unsigned char byte, char *out) {
    if (byte < 0x80) {
        out[0] = (char)byte;
        return 1;
    }
    for (size_t i = 0; i < sizeof leads / sizeof leads[0]; i++) {
        if (byte < leads[i].first || byte > leads[i].last) continue;
        characters->bytes[0] = byte;
        characters->have = 1;
        characters->need = leads[i].need;
        characters->low = leads[i].low;
        characters->high = leads[i].high;
        return 0;
    }
    return replacement(out);
}

size_t llmc_characters_push(llmc_characters *characters, unsigned char byte, char out[LLMC_CHARACTERS_MAX]) {
    if (characters->need == 0) return begin(characters, byte, out);
    if (byte < characters->low || byte > characters->high) {
        characters->need = 0;
        size_t size = replacement(out);
        return size + begin(characters, byte, out + size);
    }
    characters->bytes[characters->have++] = byte;
    characters->low = 0x80;
    characters->high = 0xBF;
    if (characters->have < characters->need) return 0;
    memcpy(out, characters->bytes, characters->need);
    characters->need = 0;
    return characters->have;
}

size_t llmc_characters_finish(llmc_characters *characters, char out[LLMC_CHARACTERS_MAX]) {
    if (characters->need == 0) return 0;
    characters->need = 0;
    return replacement(out);
}
