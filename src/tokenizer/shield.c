/* Control tokens' texts in what a client wrote, kept from becoming those tokens: a shield character is put into each of them
 * before a trusted template is rendered around it, and taken out again, its places noted, before the prompt is encoded. */
#include "tokenizer/shield.h"

#include "core/utf8.h"
#include "tokenizer/internal.h"

/* Where the character that holds the byte at an offset ends. */
static size_t character_end(const char *text, size_t size, size_t at) {
    size_t end = at + 1;
    while (end < size && ((uint8_t)text[end] & 0xc0) == 0x80) end++;
    return end;
}

/* The next place at or after an offset where a control token's text stands, or size. */
static size_t next_control(const llmc_tokenizer *t, const char *text, size_t size, size_t at) {
    while (at < size && !llmc_specials_control_at(&t->specials, text + at, size - at)) at++;
    return at;
}

int llmc_tokenizer_names_control(const llmc_tokenizer *t, const char *text, size_t size) {
    return next_control(t, text, size, 0) < size;
}

int llmc_tokenizer_shield(const llmc_tokenizer *t, const char *text, size_t size, uint32_t shield, llmc_buffer *out) {
    char mark[4];
    const size_t mark_size = llmc_utf8_encode(shield, mark);
    size_t done = 0;
    for (size_t at = 0; (at = next_control(t, text, size, at)) < size;) {
        at = character_end(text, size, at);
        llmc_buffer_append(out, text + done, at - done);
        llmc_buffer_append(out, mark, mark_size);
        done = at;
    }
    return llmc_buffer_append(out, text + done, size - done);
}

/* Copies text without its marks; to may be NULL to learn the size only. at[i] becomes 1 where a mark stood before byte i. */
static size_t remove_marks(const char *text, size_t size, const char *mark, size_t mark_size, char *to, uint8_t *at) {
    size_t n = 0;
    for (size_t i = 0; i < size;) {
        if (text[i] == mark[0] && size - i >= mark_size && memcmp(text + i, mark, mark_size) == 0) {
            if (at) at[n] = 1;
            i += mark_size;
            continue;
        }
        if (to) to[n] = text[i];
        n++;
        i++;
    }
    return n;
}

llmcall_status llmc_unshield(llmc_unshielded *u, const llmc_env *env, const char *text, size_t size, uint32_t shield) {
    char mark[4];
    const size_t mark_size = shield ? llmc_utf8_encode(shield, mark) : 0;
    const size_t clean = mark_size ? remove_marks(text, size, mark, mark_size, NULL, NULL) : size;
    *u = (llmc_unshielded){.text = text, .size = size};
    if (clean == size) return LLMCALL_OK;
    u->size = clean;
    u->shields = llmc_zalloc(env, clean + 1);
    u->own = llmc_alloc(env, clean + 1);
    if (!u->shields || !u->own) return LLMCALL_E_NO_MEMORY;
    remove_marks(text, size, mark, mark_size, u->own, u->shields);
    u->text = u->own;
    return LLMCALL_OK;
}

void llmc_unshielded_free(llmc_unshielded *u, const llmc_env *env) {
    llmc_free(env, u->shields);
    llmc_free(env, u->own);
}
