/* BERT's normalizer and pre-tokenizer in one pass over the characters, and the search for tokens. GGUF writes a token that begins
 * a word with U+2581 before it, and one that goes on without the "##" of the original. */
#include "tokenizer/wordpiece.h"

#include <utf8proc.h>

#include "core/utf8.h"

enum {
    MAX_WORD = 100,     /* characters; BERT takes a longer word for unknown */
    MAX_DECOMPOSED = 32 /* code points that one character can become */
};
#define SPACE_MARK "\xe2\x96\x81"
enum { DROPPED, BLANK, MARK, ALONE, PART };

typedef struct word {
    const llmc_tokenizer *tokenizer;
    llmc_merger *merger;
    uint32_t start; /* the trie's node of U+2581, or LLMC_TRIE_NONE */
    size_t n;       /* characters; those beyond MAX_WORD are only counted */
    size_t size;    /* bytes */
    char text[4 * MAX_WORD];
} word;

/* The end of the longest token that goes on from a node at a place, or that place. */
static size_t longest_token(const word *w, uint32_t node, size_t at, int32_t *id) {
    const llmc_trie *trie = &w->tokenizer->trie;
    size_t end = at;
    if (node == LLMC_TRIE_ROOT && w->size - at >= 3 && memcmp(w->text + at, SPACE_MARK, 3) == 0) return at; /* begins words */
    for (size_t i = at; i < w->size && node != LLMC_TRIE_NONE; i++) {
        node = llmc_trie_child(trie, node, (uint8_t)w->text[i]);
        if (node == LLMC_TRIE_NONE || trie->ids[node] < 0) continue;
        *id = trie->ids[node];
        end = i + 1;
    }
    return end;
}

static llmcall_status push_unknown(const word *w) {
    const int32_t unknown = w->tokenizer->specials.ids[LLMC_SPECIAL_UNK];
    return unknown < 0 ? LLMCALL_OK : llmc_merger_push(w->merger, unknown);
}

static llmcall_status end_word(word *w) {
    const size_t before = w->merger->list->n;
    llmcall_status status = LLMCALL_OK;
    int known = w->n <= MAX_WORD;
    for (size_t at = 0; at < w->size && known && !status;) {
        int32_t id = -1;
        const size_t end = longest_token(w, at ? LLMC_TRIE_ROOT : w->start, at, &id);
        known = end > at;
        if (known) status = llmc_merger_push(w->merger, id);
        at = end;
    }
    if (!known) {
        w->merger->list->n = before;
        status = push_unknown(w);
    }
    w->n = w->size = 0;
    return status;
}

static void add_character(word *w, uint32_t c) {
    if (w->n++ < MAX_WORD) w->size += llmc_utf8_encode(c, w->text + w->size);
}

static int is_ideograph(uint32_t c) {
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0x3400, 0x4dbf},   {0x4e00, 0x9fff},   {0xf900, 0xfaff},   {0x20000, 0x2a6df},
                  {0x2a700, 0x2b73f}, {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf}, /* so BERT's, not U+2B820 */
                  {0x2f800, 0x2fa1f}};
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (c >= ranges[i].first && c <= ranges[i].last) return 1;
    return 0;
}

static int kind_of_category(utf8proc_category_t category) {
    switch (category) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
        return DROPPED;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return BLANK;
    case UTF8PROC_CATEGORY_MN:
        return MARK;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return ALONE;
    default:
        return PART;
    }
}

static int kind_of(uint32_t c) {
    if (c == '\t' || c == '\n' || c == '\r' || c == ' ') return BLANK;
    if (c < 0x20 || c == 0x7f || c == 0xfffd) return DROPPED;
    if (c < 0x80) return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ? PART : ALONE;
    return is_ideograph(c) ? ALONE : kind_of_category(utf8proc_category((utf8proc_int32_t)c));
}

static llmcall_status put_character(word *w, uint32_t c, int alone) {
    llmcall_status status = alone ? end_word(w) : LLMCALL_OK;
    if (status) return status;
    add_character(w, c);
    return alone ? end_word(w) : LLMCALL_OK;
}

/* alone: the character was a word of its own before it was normalized. */
static llmcall_status put_normalized(word *w, uint32_t c, int alone) {
    const int strip = w->tokenizer->strip_accents, kind = kind_of(c);
    if (strip && kind == MARK) return LLMCALL_OK;
    if (kind == BLANK) return end_word(w);
    alone = alone || kind == ALONE;
    if (!w->tokenizer->lowercase) return put_character(w, c, alone);
    llmcall_status status = put_character(w, c == 0x130 ? 'i' : (uint32_t)utf8proc_tolower((utf8proc_int32_t)c), alone);
    return c == 0x130 && !status ? put_character(w, 0x307, alone) : status; /* the only letter whose small form is two */
}

static llmcall_status put(word *w, uint32_t c) {
    const int kind = kind_of(c);
    if (kind == DROPPED) return LLMCALL_OK;
    if (kind == BLANK) return end_word(w);
    if (c < 0x80 || !w->tokenizer->strip_accents) return put_normalized(w, c, kind == ALONE);
    utf8proc_int32_t parts[MAX_DECOMPOSED];
    int boundary = 0;
    const utf8proc_ssize_t n =
        utf8proc_decompose_char((utf8proc_int32_t)c, parts, MAX_DECOMPOSED, UTF8PROC_DECOMPOSE, &boundary);
    if (n < 1 || n > MAX_DECOMPOSED) return put_normalized(w, c, kind == ALONE);
    llmcall_status status = LLMCALL_OK;
    for (utf8proc_ssize_t i = 0; i < n && !status; i++) status = put_normalized(w, (uint32_t)parts[i], kind == ALONE);
    return status;
}

llmcall_status llmc_wordpiece_encode(const llmc_tokenizer *t, llmc_merger *m, const char *text, size_t size) {
    word w = {.tokenizer = t, .merger = m, .start = LLMC_TRIE_ROOT};
    llmcall_status status = LLMCALL_OK;
    for (const char *mark = SPACE_MARK; *mark && w.start != LLMC_TRIE_NONE; mark++)
        w.start = llmc_trie_child(&t->trie, w.start, (uint8_t)*mark);
    for (size_t at = 0; at < size && !status;) {
        uint32_t c = 0xfffd; /* for a part of a character, which a special token may leave */
        const size_t step = llmc_utf8_decode(text + at, size - at, &c);
        status = put(&w, step ? c : 0xfffd);
        at += step ? step : 1;
    }
    return status ? status : end_word(&w);
}
