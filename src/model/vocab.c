/* GGUF's tokenizer keys turned into the plain arrays of llmc_vocab_source. */
#include "model/vocab.h"

#include <string.h>

#include "core/utf8.h"

static const struct {
    const char *key;
    size_t slot; /* of the id in llmc_vocab_source */
} special_ids[] = {
    {"tokenizer.ggml.bos_token_id", offsetof(llmc_vocab_source, bos)},
    {"tokenizer.ggml.eos_token_id", offsetof(llmc_vocab_source, eos)},
    {"tokenizer.ggml.eot_token_id", offsetof(llmc_vocab_source, eot)},
    {"tokenizer.ggml.eom_token_id", offsetof(llmc_vocab_source, eom)},
    {"tokenizer.ggml.unknown_token_id", offsetof(llmc_vocab_source, unk)},
    {"tokenizer.ggml.padding_token_id", offsetof(llmc_vocab_source, pad)},
    {"tokenizer.ggml.seperator_token_id", offsetof(llmc_vocab_source, sep)}, /* the key's own spelling */
    {"tokenizer.ggml.cls_token_id", offsetof(llmc_vocab_source, cls)},
};

static const struct {
    const char *key;
    size_t slot;
} switches[] = {
    {"tokenizer.ggml.add_bos_token", offsetof(llmc_vocab_source, add_bos)},
    {"tokenizer.ggml.add_eos_token", offsetof(llmc_vocab_source, add_eos)},
    {"tokenizer.ggml.add_space_prefix", offsetof(llmc_vocab_source, add_space_prefix)},
    {"tokenizer.ggml.remove_extra_whitespaces", offsetof(llmc_vocab_source, remove_extra_whitespaces)},
    {"tokenizer.ggml.normalizer.lowercase", offsetof(llmc_vocab_source, lowercase)},
    {"tokenizer.ggml.normalizer.strip_accents", offsetof(llmc_vocab_source, strip_accents)},
};

static int32_t *slot_of(llmc_vocab_source *source, size_t offset) {
    return (int32_t *)(void *)((char *)source + offset);
}

static llmcall_status fail_key(llmcall_error *error, const char *key, const char *what) {
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "%s %s.", key, what);
}

/* Every array that goes into source is owned by vocab from its birth on. */
static void *own_array(const llmc_env *env, llmc_vocab *vocab, size_t count, size_t size) {
    for (size_t i = 0; i < sizeof vocab->owned / sizeof vocab->owned[0]; i++) {
        if (vocab->owned[i]) continue;
        return vocab->owned[i] = llmc_zalloc_array(env, count, size);
    }
    return NULL;
}

/* A short name into a fixed field; *found 0 if the key is absent. */
static llmcall_status read_name(const llmc_gguf *gguf, const char *key, char *name, size_t capacity, int *found,
                                llmcall_error *error) {
    const char *text = NULL;
    size_t size = 0;
    *found = 0;
    llmcall_status status = llmc_gguf_get_string(gguf, key, &text, &size, found, error);
    if (status != LLMCALL_OK || !*found) return status;
    if (size >= capacity || memchr(text, 0, size)) return fail_key(error, key, "is not a short name");
    memcpy(name, text, size);
    name[size] = 0;
    return LLMCALL_OK;
}

static llmcall_status read_strings(const llmc_env *env, const llmc_gguf_array *array, llmc_vocab *vocab,
                                   const char *const **texts, const uint32_t **sizes, llmcall_error *error) {
    const char **text = own_array(env, vocab, array->count, sizeof *text);
    uint32_t *size = own_array(env, vocab, array->count, sizeof *size);
    if (!text || !size) return llmc_fail_memory(error, array->key);
    for (size_t i = 0; i < array->count; i++) {
        size_t bytes = 0;
        llmcall_status status = llmc_gguf_array_string(array, i, &text[i], &bytes, error);
        if (status != LLMCALL_OK) return status;
        if (bytes > 2 * LLMC_VOCAB_MAX_TEXT) {
            return llmc_fail(error, LLMCALL_E_FORMAT, NULL, array->key, "Element %zu of %s has %zu bytes.", i, array->key,
                             bytes);
        }
        size[i] = (uint32_t)bytes;
    }
    *texts = text;
    *sizes = size;
    return LLMCALL_OK;
}

static llmcall_status read_tokens(const llmc_env *env, const llmc_gguf *gguf, llmc_vocab *vocab, llmcall_error *error) {
    const char *key = "tokenizer.ggml.tokens";
    llmc_gguf_array array;
    int found = 0;
    llmcall_status status = llmc_gguf_get_array(gguf, key, &array, &found, error);
    if (status != LLMCALL_OK) return status;
    if (!found) return fail_key(error, key, "is missing");
    if (array.count == 0 || array.count > LLMC_VOCAB_MAX_TOKENS) {
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "%s has %zu elements; expected 1 to %d.", key, array.count,
                         LLMC_VOCAB_MAX_TOKENS);
    }
    vocab->source.n_tokens = (uint32_t)array.count;
    return read_strings(env, &array, vocab, &vocab->source.texts, &vocab->source.text_sizes, error);
}

static llmcall_status read_merges(const llmc_env *env, const llmc_gguf *gguf, llmc_vocab *vocab, llmcall_error *error) {
    const char *key = "tokenizer.ggml.merges";
    llmc_gguf_array array;
    int found = 0;
    if (strcmp(vocab->model, "gpt2") != 0 && strcmp(vocab->model, "gemma4") != 0) return LLMCALL_OK;
    llmcall_status status = llmc_gguf_get_array(gguf, key, &array, &found, error);
    if (status != LLMCALL_OK) return status;
    if (!found) return fail_key(error, key, "is missing");
    if (array.count > LLMC_VOCAB_MAX_MERGES) return fail_key(error, key, "has too many elements");
    vocab->source.n_merges = (uint32_t)array.count;
    return read_strings(env, &array, vocab, &vocab->source.merges, &vocab->source.merge_sizes, error);
}

/* One number a token, which may be absent altogether. */
static llmcall_status find_token_array(const llmc_gguf *gguf, const char *key, uint32_t n_tokens, llmc_gguf_array *array,
                                       int *found, llmcall_error *error) {
    *found = 0;
    llmcall_status status = llmc_gguf_get_array(gguf, key, array, found, error);
    if (status != LLMCALL_OK || !*found || array->count == n_tokens) return status;
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "%s has %zu elements; expected one for each of %u tokens.", key,
                     array->count, n_tokens);
}

/* Some converters write whole numbers. */
static llmcall_status read_score(const llmc_gguf_array *array, size_t i, float *score, llmcall_error *error) {
    int32_t whole = 0;
    if (array->element_type != LLMC_GGUF_I32) return llmc_gguf_array_f32(array, i, score, error);
    llmcall_status status = llmc_gguf_array_i32(array, i, &whole, error);
    *score = (float)whole;
    return status;
}

static llmcall_status read_scores(const llmc_env *env, const llmc_gguf *gguf, llmc_vocab *vocab, llmcall_error *error) {
    llmc_gguf_array array;
    int found = 0;
    llmcall_status status = find_token_array(gguf, "tokenizer.ggml.scores", vocab->source.n_tokens, &array, &found, error);
    if (status != LLMCALL_OK || !found) return status;
    float *scores = own_array(env, vocab, array.count, sizeof *scores);
    if (!scores) return llmc_fail_memory(error, array.key);
    for (size_t i = 0; i < array.count && status == LLMCALL_OK; i++) status = read_score(&array, i, &scores[i], error);
    vocab->source.scores = scores;
    return status;
}

static llmcall_status read_types(const llmc_env *env, const llmc_gguf *gguf, llmc_vocab *vocab, llmcall_error *error) {
    llmc_gguf_array array;
    int found = 0;
    llmcall_status status = find_token_array(gguf, "tokenizer.ggml.token_type", vocab->source.n_tokens, &array, &found, error);
    if (status != LLMCALL_OK || !found) return status;
    int32_t *types = own_array(env, vocab, array.count, sizeof *types);
    if (!types) return llmc_fail_memory(error, array.key);
    for (size_t i = 0; i < array.count && status == LLMCALL_OK; i++) status = llmc_gguf_array_i32(&array, i, &types[i], error);
    vocab->source.types = types;
    return status;
}

/* The character map of Unigram vocabularies, whose bytes some converters write as signed ones. */
static llmcall_status read_charsmap(const llmc_gguf *gguf, llmc_vocab_source *source, llmcall_error *error) {
    const char *key = "tokenizer.ggml.precompiled_charsmap";
    llmc_gguf_array array;
    int found = 0;
    llmcall_status status = llmc_gguf_get_array(gguf, key, &array, &found, error);
    if (status != LLMCALL_OK || !found) return status;
    if (array.element_type != LLMC_GGUF_U8 && array.element_type != LLMC_GGUF_I8)
        return fail_key(error, key, "is no array of bytes");
    source->charsmap = array.data;
    source->charsmap_size = array.count;
    return LLMCALL_OK;
}

/* Converters write 0xffffffff for "none". */
static llmcall_status read_special_ids(const llmc_gguf *gguf, llmc_vocab *vocab, llmcall_error *error) {
    llmc_vocab_source *source = &vocab->source;
    for (size_t i = 0; i < sizeof special_ids / sizeof special_ids[0]; i++) {
        const char *key = special_ids[i].key;
        uint32_t id = 0;
        int found = 0;
        llmcall_status status = llmc_gguf_get_u32(gguf, key, &id, &found, error);
        if (status != LLMCALL_OK) return status;
        if (!found) continue;
        if (id != UINT32_MAX && id >= source->n_tokens) {
            return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "%s is %u; the vocabulary has %u tokens.", key, id,
                             source->n_tokens);
        }
        *slot_of(source, special_ids[i].slot) = id == UINT32_MAX ? -1 : (int32_t)id;
    }
    return LLMCALL_OK;
}

static llmcall_status read_switches(const llmc_gguf *gguf, llmc_vocab_source *source, llmcall_error *error) {
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) {
        int value = 0, found = 0;
        llmcall_status status = llmc_gguf_get_bool(gguf, switches[i].key, &value, &found, error);
        if (status != LLMCALL_OK) return status;
        if (found) *slot_of(source, switches[i].slot) = value;
    }
    return LLMCALL_OK;
}

/* llama.cpp knows the vocabularies whose special tokens swallow white space by these names. */
static const struct {
    const char *key, *part; /* of its value, in lower case */
    llmc_swallow swallow;
} swallowing[] = {{"tokenizer.ggml.pre", "jina-v2-de", LLMC_SWALLOW_BEFORE_MASK},
                  {"tokenizer.ggml.pre", "jina-v2-es", LLMC_SWALLOW_BEFORE_MASK},
                  {"tokenizer.ggml.pre", "jina-v2-code", LLMC_SWALLOW_BEFORE_MASK},
                  {"general.architecture", "nomic-bert-moe", LLMC_SWALLOW_BEFORE_MASK},
                  {"general.architecture", "jina-bert-v3", LLMC_SWALLOW_BEFORE_MASK},
                  {"general.name", "phi-3", LLMC_SWALLOW_AFTER_PHI3},
                  {"general.name", "phi3", LLMC_SWALLOW_AFTER_PHI3},
                  {"general.name", "modern-bert", LLMC_SWALLOW_BEFORE_MASK}};

static int has_part(const char *text, size_t size, const char *part) {
    const size_t length = strlen(part);
    for (size_t at = 0; at + length <= size; at++) {
        size_t n = 0;
        while (n < length && (text[at + n] >= 'A' && text[at + n] <= 'Z' ? text[at + n] + 0x20 : text[at + n]) == part[n]) n++;
        if (n == length) return 1;
    }
    return 0;
}

static void read_swallow(const llmc_gguf *gguf, llmc_vocab_source *source) {
    for (size_t i = 0; i < sizeof swallowing / sizeof swallowing[0] && !source->swallow; i++) {
        const char *text = NULL;
        size_t size = 0;
        int found = 0;
        if (llmc_gguf_get_string(gguf, swallowing[i].key, &text, &size, &found, NULL) == LLMCALL_OK && found &&
            has_part(text, size, swallowing[i].part))
            source->swallow = swallowing[i].swallow;
    }
}

static void set_absent(llmc_vocab_source *source) {
    for (size_t i = 0; i < sizeof special_ids / sizeof special_ids[0]; i++) *slot_of(source, special_ids[i].slot) = -1;
    for (size_t i = 0; i < sizeof switches / sizeof switches[0]; i++) *slot_of(source, switches[i].slot) = -1;
}

llmcall_status llmc_vocab_read(const llmc_env *env, const llmc_gguf *gguf, llmc_vocab *vocab, llmcall_error *error) {
    const char *model_key = "tokenizer.ggml.model";
    int found = 0;
    memset(vocab, 0, sizeof *vocab);
    set_absent(&vocab->source);
    llmcall_status status = read_name(gguf, model_key, vocab->model, sizeof vocab->model, &found, error);
    if (status != LLMCALL_OK) return status;
    if (!found) return fail_key(error, model_key, "is missing");
    if (strcmp(vocab->model, "no_vocab") == 0 || strcmp(vocab->model, "none") == 0) return LLMCALL_OK;

    vocab->present = 1;
    vocab->source.model = vocab->model;
    status = read_name(gguf, "tokenizer.ggml.pre", vocab->pre, sizeof vocab->pre, &found, error);
    if (status == LLMCALL_OK && found) vocab->source.pre = vocab->pre;
    if (status == LLMCALL_OK) status = read_tokens(env, gguf, vocab, error);
    if (status == LLMCALL_OK) status = read_merges(env, gguf, vocab, error);
    if (status == LLMCALL_OK) status = read_scores(env, gguf, vocab, error);
    if (status == LLMCALL_OK) status = read_types(env, gguf, vocab, error);
    if (status == LLMCALL_OK) status = read_charsmap(gguf, &vocab->source, error);
    if (status == LLMCALL_OK) status = read_special_ids(gguf, vocab, error);
    if (status == LLMCALL_OK) status = read_switches(gguf, &vocab->source, error);
    if (status == LLMCALL_OK) read_swallow(gguf, &vocab->source);
    return status;
}

void llmc_vocab_free(const llmc_env *env, llmc_vocab *vocab) {
    for (size_t i = 0; i < sizeof vocab->owned / sizeof vocab->owned[0]; i++) {
        llmc_free(env, vocab->owned[i]);
        vocab->owned[i] = NULL;
    }
}

llmcall_status llmc_vocab_template(const llmc_env *env, const llmc_gguf *gguf, const char *key, const char *replacement,
                                   char **text, llmcall_error *error) {
    if (replacement) key = "chat_template";
    llmcall_status wrong = replacement ? LLMCALL_E_UTF8 : LLMCALL_E_FORMAT;
    const char *source = replacement;
    size_t size = replacement ? strlen(replacement) : 0;
    int found = replacement != NULL;
    *text = NULL;
    if (!replacement) {
        llmcall_status status = llmc_gguf_get_string(gguf, key, &source, &size, &found, error);
        if (status != LLMCALL_OK) return status;
    }
    if (!found) return LLMCALL_OK;
    if (size > LLMC_TEMPLATE_MAX_BYTES) {
        return llmc_fail(error, replacement ? LLMCALL_E_ARGUMENT : LLMCALL_E_FORMAT, NULL, key, "%s has %zu bytes; at most %d.",
                         key, size, LLMC_TEMPLATE_MAX_BYTES);
    }
    size_t valid = llmc_utf8_valid_prefix(source, size);
    if (valid < size || (size && memchr(source, 0, size))) {
        return llmc_fail(error, wrong, NULL, key, "%s is not UTF-8 text (at byte %zu).", key, valid);
    }
    *text = llmc_strdup(env, source, size);
    return *text ? LLMCALL_OK : llmc_fail_memory(error, "the chat template");
}
