/* Layout: 4 bytes, little-endian: size of the double array; the double array (Yata et al., Darts-clone: a unit holds the label of
 * its edge, whether a key ends at its node, and the offset of its children); the replacements. A key's value is the place of its
 * replacement. */
#include "tokenizer/charsmap.h"

#include <string.h>

static const char KEY[] = "tokenizer.ggml.precompiled_charsmap";

static uint32_t load32(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static size_t longest_text(const char *texts, size_t size) {
    size_t longest = 0, n = 0;
    for (size_t i = 0; i < size; i++) {
        n = texts[i] ? n + 1 : 0;
        if (n > longest) longest = n;
    }
    return longest;
}

llmcall_status llmc_charsmap_init(llmc_charsmap *m, const llmc_env *env, const uint8_t *bytes, size_t size,
                                  llmcall_error *error) {
    memset(m, 0, sizeof *m);
    if (size == 0) return LLMCALL_OK;
    const size_t array = size > 4 ? load32(bytes) : 0;
    if (array == 0 || array % 4 || array >= size - 4 || bytes[size - 1] != 0)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, KEY, "%s of %zu bytes does not hold what it says it holds", KEY, size);
    if (longest_text((const char *)bytes + 4 + array, size - 4 - array) > LLMC_CHARSMAP_MAX_TEXT)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, KEY, "%s has a replacement of more than %d bytes", KEY,
                         LLMC_CHARSMAP_MAX_TEXT);
    m->bytes = llmc_alloc(env, size);
    if (!m->bytes) return llmc_fail_memory(error, "the character map");
    memcpy(m->bytes, bytes, size);
    m->n_units = array / 4;
    m->texts = (const char *)m->bytes + 4 + array;
    m->texts_size = size - 4 - array;
    return LLMCALL_OK;
}

void llmc_charsmap_free(llmc_charsmap *m, const llmc_env *env) {
    llmc_free(env, m->bytes);
    memset(m, 0, sizeof *m);
}

/* A unit outside the array is 0: it has no label that a text could hold, and no children. */
static uint32_t unit_at(const llmc_charsmap *m, uint32_t i) {
    return i < m->n_units ? load32(m->bytes + 4 + 4 * (size_t)i) : 0;
}
static uint32_t offset_of(uint32_t unit) {
    return (unit >> 10) << ((unit & 1u << 9) >> 6);
}
static uint32_t label_of(uint32_t unit) {
    return unit & (1u << 31 | 0xff);
}
static int key_ends(uint32_t unit) {
    return (unit >> 8 & 1) != 0;
}

size_t llmc_charsmap_find(const llmc_charsmap *m, const char *text, size_t size, const char **replacement,
                          size_t *replacement_size) {
    size_t found = 0;
    uint32_t node = offset_of(unit_at(m, 0));
    if (m->texts_size == 0) return 0;
    for (size_t i = 0; i < size && i < LLMC_CHARSMAP_MAX_KEY; i++) {
        const uint8_t byte = (uint8_t)text[i];
        node ^= byte;
        const uint32_t unit = unit_at(m, node);
        if (byte == 0 || label_of(unit) != byte) break;
        node ^= offset_of(unit);
        const uint32_t place = unit_at(m, node) & ~(1u << 31);
        if (!key_ends(unit) || place >= m->texts_size) continue;
        found = i + 1;
        *replacement = m->texts + place;
    }
    if (found) *replacement_size = strlen(*replacement);
    return found;
}
