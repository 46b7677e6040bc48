/* Text to ids: special tokens are cut out first, and what lies between becomes tokens as the vocabulary's kind has it: pieces of
 * the pre-tokenizer (BPE) or the text with its spaces marked (SentencePiece) are merged, the other kinds walk a trie. And back. */
#include "core/utf8.h"
#include "tokenizer/internal.h"
#include "tokenizer/merge.h"
#include "tokenizer/paths.h"
#include "tokenizer/shield.h"
#include "tokenizer/wordpiece.h"

#define SPACE_MARK "\xe2\x96\x81" /* U+2581 */
enum { SPACE_MARK_SIZE = 3 };

/* One call's working memory. */
typedef struct encoder {
    const llmc_tokenizer *tokenizer;
    llmc_merger merger;
    char *marked; /* SPM, SPACED_BPE: a fragment with its spaces as U+2581 */
    size_t marked_capacity;
} encoder;

/* The pieces of SentencePiece are not the text's own, but those of its fragments with their spaces marked. */
static void encoder_init(encoder *e, const llmc_tokenizer *t, const llmc_unshielded *u, llmc_token_list *list) {
    const int32_t unknown = t->vocabulary.kind == LLMC_KIND_SPACED_BPE ? -1 : t->specials.ids[LLMC_SPECIAL_UNK];
    memset(e, 0, sizeof *e);
    e->tokenizer = t;
    llmc_merger_init(&e->merger, &t->vocabulary, unknown, t->vocabulary.byte_level ? u->text : NULL, u->size, list);
}

static void encoder_free(encoder *e) {
    llmc_merger_free(&e->merger);
    llmc_free(e->tokenizer->env, e->marked);
}

/* ---- SentencePiece ----------------------------------------------------------------------------------------------------- */

static llmcall_status mark_spaces(encoder *e, const char *text, size_t size, int prefix, size_t *marked_size) {
    size_t need = size + (prefix ? SPACE_MARK_SIZE : 0), n = 0;
    void *block = e->marked;
    for (size_t i = 0; i < size; i++) need += text[i] == ' ' ? SPACE_MARK_SIZE - 1 : 0;
    if (!llmc_grow(e->tokenizer->env, &block, &e->marked_capacity, need, 1, PTRDIFF_MAX)) return LLMCALL_E_NO_MEMORY;
    e->marked = block;
    if (prefix) {
        memcpy(e->marked, SPACE_MARK, SPACE_MARK_SIZE);
        n = SPACE_MARK_SIZE;
    }
    for (size_t i = 0; i < size; i++) {
        if (text[i] == ' ') {
            memcpy(e->marked + n, SPACE_MARK, SPACE_MARK_SIZE);
            n += SPACE_MARK_SIZE;
        } else {
            e->marked[n++] = text[i];
        }
    }
    *marked_size = n;
    return LLMCALL_OK;
}

/* Cuts where no token of the vocabulary could join the characters on both sides: no merge crosses, so the ids are the same. */
static llmcall_status merge_marked(encoder *e, const char *text, size_t size) {
    const llmc_vocabulary *v = &e->tokenizer->vocabulary;
    uint32_t left = 0, right = 0;
    size_t start = 0;
    for (size_t at = 0; at < size;) {
        const size_t step = llmc_utf8_decode(text + at, size - at, &right);
        if (step == 0) return LLMCALL_E_INTERNAL;
        if (at > start && !llmc_vocabulary_may_join(v, left, right)) {
            llmcall_status status = llmc_merger_piece(&e->merger, text + start, at - start);
            if (status) return status;
            start = at;
        }
        left = right;
        at += step;
    }
    return llmc_merger_piece(&e->merger, text + start, size - start);
}

/* ---- Text between special tokens --------------------------------------------------------------------------------------- */

static llmcall_status encode_spm(encoder *e, const char *text, size_t size) {
    size_t marked_size = 0;
    llmcall_status status = mark_spaces(e, text, size, e->tokenizer->add_space_prefix, &marked_size);
    return status ? status : merge_marked(e, e->marked, marked_size);
}

/* A line, or a row of line feeds. */
static llmcall_status encode_line(encoder *e, const char *line, size_t size) {
    const llmc_token_slot *slot = NULL;
    if (*line == '\n' && e->tokenizer->line_tokens) slot = llmc_vocabulary_find(&e->tokenizer->vocabulary, line, size, 0);
    return slot ? llmc_merger_push(&e->merger, slot->id) : merge_marked(e, line, size);
}

static llmcall_status encode_lines(encoder *e, const char *text, size_t size) {
    size_t marked_size = 0;
    llmcall_status status = mark_spaces(e, text, size, 0, &marked_size);
    for (size_t at = 0, end; at < marked_size && !status; at = end) {
        const int feeds = e->marked[at] == '\n';
        for (end = at + 1; end < marked_size && (e->marked[end] == '\n') == feeds;) end++;
        status = encode_line(e, e->marked + at, end - at);
    }
    return status;
}

static llmcall_status encode_pieces(encoder *e, const char *text, size_t size) {
    const llmc_tokenizer *t = e->tokenizer;
    llmcall_status status = LLMCALL_OK;
    llmc_pieces pieces = llmc_pieces_of(text, size);
    for (size_t at = 0, piece; at < size && !status; at += piece) {
        piece = llmc_pieces_next(&pieces, &t->pre, text + at);
        status = llmc_merger_piece(&e->merger, text + at, piece);
    }
    return status;
}

static llmcall_status encode_fragment(encoder *e, const char *text, size_t size) {
    const llmc_tokenizer *t = e->tokenizer;
    if (size == 0) return LLMCALL_OK;
    switch (t->vocabulary.kind) {
    case LLMC_KIND_BPE:
        return encode_pieces(e, text, size);
    case LLMC_KIND_SPACED_BPE:
        return encode_lines(e, text, size);
    case LLMC_KIND_SPM:
        return encode_spm(e, text, size);
    case LLMC_KIND_WORDPIECE:
        return llmc_wordpiece_encode(t, &e->merger, text, size);
    case LLMC_KIND_UNIGRAM:
        return llmc_unigram_encode(t, &e->merger, text, size);
    case LLMC_KIND_RWKV:
        return llmc_rwkv_encode(t, &e->merger, text, size);
    case LLMC_KIND_PLAMO2:
        return llmc_plamo2_encode(t, &e->merger, text, size);
    }
    return LLMCALL_E_INTERNAL;
}

static int is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static int swallows(const llmc_tokenizer *t, const llmc_occurrence *found, llmc_swallow side) {
    return t->specials.swallow == side && t->vocabulary.attributes[found->id] & LLMC_ATTR_SWALLOWS;
}

/* Fragments and special tokens in turn. A fragment begins the text or follows a special token, so that each
 * gets SentencePiece's space prefix. */
static llmcall_status encode_parts(encoder *e, const char *text, size_t size, const llmc_occurrence *found, size_t n) {
    size_t at = 0;
    for (size_t i = 0; i <= n; i++) {
        const size_t end = i < n ? found[i].at : size;
        size_t last = end;
        if (i && swallows(e->tokenizer, &found[i - 1], LLMC_SWALLOW_AFTER_PHI3))
            while (at < last && is_blank(text[at])) at++;
        if (i < n && swallows(e->tokenizer, &found[i], LLMC_SWALLOW_BEFORE_MASK))
            while (at < last && is_blank(text[last - 1])) last--;
        llmcall_status status = encode_fragment(e, text + at, last - at);
        if (!status && i < n) status = llmc_merger_push(&e->merger, found[i].id);
        if (status) return status;
        if (i < n) at = end + found[i].size;
    }
    return LLMCALL_OK;
}

static llmcall_status encode_text(encoder *e, const llmc_unshielded *u, uint32_t flags) {
    const llmc_tokenizer *t = e->tokenizer;
    const int ends = (flags & LLMC_ENCODE_BOS_EOS) != 0;
    llmc_occurrence *found = NULL;
    size_t n = 0;
    llmcall_status status =
        llmc_specials_find(&t->specials, t->env, u->text, u->size, u->shields, (flags & LLMC_ENCODE_SPECIAL) != 0, &found, &n);
    if (!status && ends && t->begin >= 0) status = llmc_merger_push(&e->merger, t->begin);
    if (!status) status = encode_parts(e, u->text, u->size, found, n);
    if (!status && ends && t->end >= 0) status = llmc_merger_push(&e->merger, t->end);
    llmc_free(t->env, found);
    return status;
}

llmcall_status llmc_tokenizer_encode(const llmc_tokenizer *t, const char *text, size_t size, uint32_t flags,
                                     llmc_token_list *list, llmcall_error *error) {
    return llmc_tokenizer_encode_shielded(t, text, size, 0, flags, list, error);
}

llmcall_status llmc_tokenizer_encode_shielded(const llmc_tokenizer *t, const char *text, size_t size, uint32_t shield,
                                              uint32_t flags, llmc_token_list *list, llmcall_error *error) {
    const size_t before = list->n;
    llmc_unshielded u;
    encoder e;
    if (size > LLMC_ENCODE_MAX_BYTES)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "text", "the text has %zu bytes; at most %d are served", size,
                         LLMC_ENCODE_MAX_BYTES);
    const size_t valid = size ? llmc_utf8_valid_prefix(text, size) : 0;
    if (valid != size)
        return llmc_fail(error, LLMCALL_E_UTF8, NULL, "text", "the text is not UTF-8: the byte at offset %zu is 0x%02x", valid,
                         (unsigned)(uint8_t)text[valid]);
    llmcall_status status = llmc_unshield(&u, t->env, text, size, shield);
    encoder_init(&e, t, &u, list);
    if (!status) status = encode_text(&e, &u, flags);
    encoder_free(&e);
    llmc_unshielded_free(&u, t->env);
    if (!status) return LLMCALL_OK;
    list->n = before;
    if (status == LLMCALL_E_NO_MEMORY) return llmc_fail_memory(error, "the tokens");
    return llmc_fail(error, status, NULL, NULL, "the pre-tokenizer failed on a text of %zu bytes", size);
}

/* ---- Decoding ---------------------------------------------------------------------------------------------------------- */

static const char *piece_or_name(const llmc_tokenizer *t, int32_t id, uint32_t flags, size_t *size) {
    const int special = t->vocabulary.attributes[id] & (LLMC_ATTR_CONTROL | LLMC_ATTR_UNKNOWN);
    if (special && flags & LLMC_DECODE_SPECIAL) return llmc_tokenizer_name(t, id, size);
    return llmc_tokenizer_piece(t, id, size);
}

llmcall_status llmc_tokenizer_decode(const llmc_tokenizer *t, const int32_t *ids, size_t n, uint32_t flags, llmc_buffer *out,
                                     llmcall_error *error) {
    int drop_space = t->add_space_prefix;
    size_t first = 0;
    if (flags & LLMC_DECODE_BOS_EOS && t->begin >= 0 && n && ids[0] == t->begin) {
        drop_space = 0; /* so llama.cpp: after its BOS, the space stays */
        first = 1;
    }
    if (flags & LLMC_DECODE_BOS_EOS && t->end >= 0 && n > first && ids[n - 1] == t->end) n--;
    for (size_t i = first; i < n; i++) {
        if (ids[i] < 0 || (uint32_t)ids[i] >= t->vocabulary.n_tokens)
            return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "tokens", "token %d is not among the %u of the vocabulary",
                             ids[i], t->vocabulary.n_tokens);
        size_t size;
        const char *piece = piece_or_name(t, ids[i], flags, &size);
        const size_t skip = drop_space && size && piece[0] == ' ';
        drop_space = 0;
        if (!llmc_buffer_append(out, piece + skip, size - skip))
            return llmc_fail(error, out->status, NULL, NULL, "the decoded text exceeds %zu bytes or the memory", out->max);
    }
    return LLMCALL_OK;
}
