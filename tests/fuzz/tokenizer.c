/* Fuzzes the tokenizer from both sides: the first bytes choose a kind and shape a small vocabulary, hostile or not; the rest is
 * text to encode and decode. What must hold: no crash, where every byte has a token, decoding gives the text back, and a shielded
 * text that is searched for control tokens has the ids of one that is not. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "tokenizer/tokenizer.h"

enum { N_BYTES = 256, MAX_EXTRA = 32, MAX_TOKENS = 3 + N_BYTES + MAX_EXTRA, MAX_MERGES = 32, MAX_CHARSMAP = 4 + 4 * 255 + 256 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct bytes {
    const uint8_t *data;
    size_t size;
} bytes;

static uint8_t take(bytes *b) {
    if (!b->size) return 0;
    b->size--;
    return *b->data++;
}

static const char *take_text(bytes *b, size_t want, uint32_t *size) {
    const char *text = (const char *)b->data;
    if (want > b->size) want = b->size;
    b->data += want;
    b->size -= want;
    *size = (uint32_t)want;
    return text;
}

typedef struct vocab {
    char byte_text[N_BYTES][8];
    const char *texts[MAX_TOKENS];
    uint32_t sizes[MAX_TOKENS];
    float scores[MAX_TOKENS];
    int32_t types[MAX_TOKENS];
    const char *merges[MAX_MERGES];
    uint32_t merge_sizes[MAX_MERGES];
    uint8_t charsmap[MAX_CHARSMAP];
    llmc_vocab_source source;
} vocab;

static void add(vocab *v, const char *text, uint32_t size, int32_t type, float score) {
    const uint32_t id = v->source.n_tokens++;
    v->texts[id] = text;
    v->sizes[id] = size;
    v->types[id] = type;
    v->scores[id] = score;
}

static void add_byte_level(vocab *v) {
    uint32_t next = 256;
    for (uint32_t byte = 0; byte < N_BYTES; byte++) {
        const int prints = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        const uint32_t size = (uint32_t)llmc_utf8_encode(prints ? byte : next++, v->byte_text[byte]);
        add(v, v->byte_text[byte], size, LLMC_TOKEN_NORMAL, 0);
    }
}

static void add_byte_tokens(vocab *v) {
    static const char hex[] = "0123456789ABCDEF";
    add(v, "<unk>", 5, LLMC_TOKEN_UNKNOWN, 0);
    add(v, "<s>", 3, LLMC_TOKEN_CONTROL, 0);
    add(v, "</s>", 4, LLMC_TOKEN_CONTROL, 0);
    for (uint32_t byte = 0; byte < N_BYTES; byte++) {
        const char text[] = {'<', '0', 'x', hex[byte >> 4], hex[byte & 15], '>'};
        memcpy(v->byte_text[byte], text, sizeof text);
        add(v, v->byte_text[byte], sizeof text, LLMC_TOKEN_BYTE, 0);
    }
}

/* A character map of the right shape; its units and replacements are the input's. */
static void take_charsmap(vocab *v, bytes *in) {
    uint32_t units, texts;
    const size_t n = take(in);
    if (n == 0) return;
    const char *from = take_text(in, 4 * n, &units);
    units &= ~3u;
    v->charsmap[0] = (uint8_t)units, v->charsmap[1] = (uint8_t)(units >> 8);
    memcpy(v->charsmap + 4, from, units);
    from = take_text(in, take(in), &texts);
    memcpy(v->charsmap + 4 + units, from, texts);
    v->source.charsmap = v->charsmap;
    v->source.charsmap_size = 4 + units + texts + 1;
}

/* The first byte: three bits for the model, four for the pre-tokenizer, and one between the first two models. */
static void build(vocab *v, bytes *in) {
    static const char *const models[] = {"gpt2", "gemma4", "bert", "t5", "rwkv", "plamo2", "unheard-of", "gpt2"};
    static const char *const pres[] = {"gpt-2",       "smollm",       "llama-bpe", "qwen2",   "qwen35",   "unheard-of",
                                       "deepseek-v3", "deepseek-llm", "gpt-4o",    "kimi-k2", "tiny_aya", "afmoe",
                                       "chameleon",   "superbpe",     "falcon",    "bloom"};
    const uint8_t kind = take(in);
    const int byte_level = !(kind & 1) && (kind >> 5 == 0 || kind >> 5 == 7);
    memset(v, 0, sizeof *v);
    v->source = (llmc_vocab_source){.model = kind & 1 ? "llama" : models[kind >> 5],
                                    .pre = pres[(kind >> 1) % 16],
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
                                    .add_space_prefix = 0,
                                    .remove_extra_whitespaces = -1};
    if (byte_level) add_byte_level(v);
    else add_byte_tokens(v);
    if (kind >> 5 == 2) v->source.cls = 1, v->source.sep = 2;
    if (kind >> 5 == 3) take_charsmap(v, in);
    for (uint32_t i = take(in) % MAX_EXTRA; i > 0 && in->size; i--) {
        uint32_t length;
        const uint8_t shape = take(in);
        const char *text = take_text(in, shape >> 3, &length);
        add(v, text, length, shape & 7, (float)(int8_t)take(in));
    }
    for (uint32_t i = take(in) % MAX_MERGES; i > 0 && in->size; i--) {
        const uint32_t at = v->source.n_merges++;
        v->merges[at] = take_text(in, take(in) % 16, &v->merge_sizes[at]);
    }
    v->source.eos = (int8_t)take(in);
}

/* Ordinary tokens only: then what comes out is what went in. */
static int faithful(const vocab *v) {
    if (strcmp(v->source.model, "gpt2") != 0 && strcmp(v->source.model, "llama") != 0) return 0;
    for (uint32_t id = 0; id < v->source.n_tokens; id++) {
        const int32_t type = v->types[id];
        if (type != LLMC_TOKEN_NORMAL && !(type == LLMC_TOKEN_BYTE && id < 3 + N_BYTES) && id >= 3) return 0;
    }
    return 1;
}

/* Text without what byte tokens and known names are spelled with, and without what SentencePiece takes for a space: a
 * vocabulary that lacks U+2581 falls back to its bytes, and those do not decode to a space. */
static int plain(bytes text, int byte_level) {
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '<' || text.data[i] == '[' || (text.data[i] == ' ' && !byte_level)) return 0;
        if (i + 3 <= text.size && memcmp(text.data + i, "\xe2\x96\x81", 3) == 0) return 0;
    }
    return 1;
}

static void round_trip(const llmc_tokenizer *t, const llmc_env *env, const vocab *v, bytes text, uint32_t flags) {
    llmc_token_list list = {0};
    llmc_buffer out;
    llmc_buffer_init(&out, env, 1 << 24);
    if (llmc_tokenizer_encode(t, (const char *)text.data, text.size, flags, &list, NULL) == LLMCALL_OK) {
        if (llmc_tokenizer_decode(t, list.ids, list.n, 0, &out, NULL)) abort();
        const int same = out.size == text.size && (text.size == 0 || memcmp(out.data, text.data, text.size) == 0);
        if (!flags && faithful(v) && plain(text, strcmp(v->source.model, "gpt2") == 0) && !same) abort();
    }
    llmc_buffer_free(&out);
    llmc_token_list_free(env, &list);
}

static void shield(const llmc_tokenizer *t, const llmc_env *env, bytes text) {
    static const char mark[] = "\xef\xb7\x90"; /* U+FDD0 */
    llmc_token_list plain_ids = {0}, ids = {0};
    llmc_buffer out;
    for (size_t i = 0; i + 3 <= text.size; i++)
        if (memcmp(text.data + i, mark, 3) == 0) return;
    if (llmc_tokenizer_encode(t, (const char *)text.data, text.size, 0, &plain_ids, NULL)) return;
    llmc_buffer_init(&out, env, 1 << 24);
    if (!llmc_tokenizer_shield(t, (const char *)text.data, text.size, 0xfdd0, &out)) abort();
    if (llmc_tokenizer_encode_shielded(t, out.data, out.size, 0xfdd0, LLMC_ENCODE_SPECIAL, &ids, NULL)) abort();
    if (ids.n != plain_ids.n || (ids.n && memcmp(ids.ids, plain_ids.ids, ids.n * sizeof *ids.ids) != 0)) abort();
    llmc_buffer_free(&out);
    llmc_token_list_free(env, &plain_ids);
    llmc_token_list_free(env, &ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static vocab v;
    llmc_env env;
    llmc_tokenizer *t = NULL;
    bytes in = {data, size};
    llmc_env_init(&env, NULL);
    build(&v, &in);
    if (llmc_tokenizer_create(&env, &v.source, &t, NULL)) return 0;
    for (uint32_t flags = 0; flags < 4; flags++) round_trip(t, &env, &v, in, flags);
    shield(t, &env, in);
    llmc_tokenizer_destroy(&t);
    return 0;
}
