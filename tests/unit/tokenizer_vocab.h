/* Small vocabularies for the tokenizer's tests: tokens and merges are added one by one, then a tokenizer is made of them. */
#ifndef TOKENIZER_VOCAB_H
#define TOKENIZER_VOCAB_H

#include <stdio.h>
#include <string.h>

#include "failing_alloc.h"
#include "tokenizer/tokenizer.h"

enum { VOCAB_MAX = 512 };

typedef struct vocab {
    char text[VOCAB_MAX][64];
    const char *texts[VOCAB_MAX];
    uint32_t sizes[VOCAB_MAX];
    int32_t types[VOCAB_MAX];
    float scores[VOCAB_MAX];
    char merge[VOCAB_MAX][64];
    const char *merges[VOCAB_MAX];
    uint32_t merge_sizes[VOCAB_MAX];
    llmc_vocab_source source;
} vocab;

static inline void vocab_init(vocab *v, const char *model, const char *pre) {
    memset(v, 0, sizeof *v);
    v->source = (llmc_vocab_source){.model = model,
                                    .pre = pre,
                                    .texts = v->texts,
                                    .text_sizes = v->sizes,
                                    .scores = v->scores,
                                    .types = v->types,
                                    .merges = v->merges,
                                    .merge_sizes = v->merge_sizes,
                                    .bos = -1,
                                    .eos = -1,
                                    .eot = -1,
                                    .eom = -1,
                                    .unk = -1,
                                    .pad = -1,
                                    .sep = -1,
                                    .cls = -1,
                                    .lowercase = -1,
                                    .strip_accents = -1,
                                    .add_bos = -1,
                                    .add_eos = -1,
                                    .add_space_prefix = -1,
                                    .remove_extra_whitespaces = -1};
}

static inline int32_t vocab_add(vocab *v, const char *text, int32_t type, float score) {
    const uint32_t id = v->source.n_tokens++;
    snprintf(v->text[id], sizeof v->text[id], "%s", text);
    v->texts[id] = v->text[id];
    v->sizes[id] = (uint32_t)strlen(v->text[id]);
    v->types[id] = type;
    v->scores[id] = score;
    return (int32_t)id;
}

/* GPT-2's alphabet, the token of byte b being b. */
static inline void vocab_add_bytes(vocab *v) {
    uint32_t next = 256;
    for (uint32_t byte = 0; byte < 256; byte++) {
        const int prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        const uint32_t c = prints ? byte : next++;
        const char text[3] = {c < 0x80 ? (char)c : (char)(0xc0 | c >> 6), c < 0x80 ? 0 : (char)(0x80 | (c & 0x3f)), 0};
        vocab_add(v, text, LLMC_TOKEN_NORMAL, 0);
    }
}

/* The merge, and the token it makes if it is new. */
static inline int32_t vocab_merge(vocab *v, const char *left, const char *right) {
    char both[64];
    const uint32_t rank = v->source.n_merges++;
    snprintf(v->merge[rank], sizeof v->merge[rank], "%s %s", left, right);
    v->merges[rank] = v->merge[rank];
    v->merge_sizes[rank] = (uint32_t)strlen(v->merge[rank]);
    snprintf(both, sizeof both, "%s%s", left, right);
    for (uint32_t id = 0; id < v->source.n_tokens; id++)
        if (strcmp(v->text[id], both) == 0) return (int32_t)id;
    return vocab_add(v, both, LLMC_TOKEN_NORMAL, 0);
}

static inline llmc_tokenizer *vocab_open(const vocab *v, const llmc_env *env) {
    LLMCALL_INIT(llmcall_error, error);
    llmc_tokenizer *t = NULL;
    if (llmc_tokenizer_create(env, &v->source, &t, &error)) print_error("%s\n", error.message);
    assert_non_null(t);
    return t;
}

/* The ids as text: "1 2 3". */
static inline const char *ids_of(const llmc_tokenizer *t, const llmc_env *env, const char *text, uint32_t flags) {
    static char out[4096];
    llmc_token_list list = {0};
    size_t n = 0;
    assert_int_equal(llmc_tokenizer_encode(t, text, strlen(text), flags, &list, NULL), LLMCALL_OK);
    out[0] = 0;
    for (size_t i = 0; i < list.n; i++) n += (size_t)snprintf(out + n, sizeof out - n, "%s%d", i ? " " : "", list.ids[i]);
    llmc_token_list_free(env, &list);
    return out;
}

/* The tokens' pieces with | between them. */
static inline const char *pieces_of(const llmc_tokenizer *t, const llmc_env *env, const char *text, uint32_t flags) {
    static char out[4096];
    llmc_token_list list = {0};
    size_t n = 0;
    assert_int_equal(llmc_tokenizer_encode(t, text, strlen(text), flags, &list, NULL), LLMCALL_OK);
    out[0] = 0;
    for (size_t i = 0; i < list.n; i++) {
        size_t size;
        const char *piece = llmc_tokenizer_piece(t, list.ids[i], &size);
        if (size == 0) piece = llmc_tokenizer_name(t, list.ids[i], &size);
        n += (size_t)snprintf(out + n, sizeof out - n, "%s%.*s", i ? "|" : "", (int)size, piece);
    }
    llmc_token_list_free(env, &list);
    return out;
}

#endif
