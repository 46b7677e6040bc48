/* Making and asking a tokenizer: ties vocabulary, special tokens and pre-tokenizer together. */
#include <math.h>

#include "tokenizer/internal.h"

/* As llama.cpp has them. */
static const llmc_model_kind models[] = {
    /* name, pre, kind, bos, eos, unk, sep, pad, add_bos, add_eos, add_space_prefix, fixed_bos, line_tokens */
    {"gpt2", "gemma4", LLMC_KIND_SPACED_BPE, -1, -1, -1, -1, -1, 1, 0, 0, 1, 1},
    {"gpt2", "granite-embed-multi-311m", LLMC_KIND_SPACED_BPE, -1, -1, -1, -1, -1, 1, 0, 0, 1, 1},
    {"gpt2", "sarvam-moe", LLMC_KIND_SPACED_BPE, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0},
    {"gpt2", NULL, LLMC_KIND_BPE, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0},
    {"gemma4", NULL, LLMC_KIND_SPACED_BPE, -1, -1, -1, -1, -1, 1, 0, 0, 1, 1},
    {"llama", NULL, LLMC_KIND_SPM, 1, 2, 0, -1, -1, 1, 0, 1, 0, 0},
    {"bert", NULL, LLMC_KIND_WORDPIECE, 101, -1, 100, 102, 0, 1, 0, 0, 1, 0},
    {"t5", NULL, LLMC_KIND_UNIGRAM, -1, 1, 2, -1, 0, 0, 1, 0, 0, 0},
    {"rwkv", NULL, LLMC_KIND_RWKV, -1, -1, -1, -1, -1, 0, 0, 0, -1, 0},
    {"plamo2", NULL, LLMC_KIND_PLAMO2, 1, 2, 0, -1, 3, 0, 0, 0, -1, 0},
};

static const llmc_model_kind *find_kind(const char *model, const char *pre) {
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        if (strcmp(models[i].name, model) != 0) continue;
        if (!models[i].pre || strcmp(models[i].pre, pre) == 0) return &models[i];
    }
    return NULL;
}

/* *pre_kind stays NULL for the kinds that have no pre-tokenizer. */
static llmcall_status choose_kind(const llmc_vocab_source *source, const llmc_model_kind **kind, const llmc_pre_kind **pre_kind,
                                  llmcall_error *error) {
    const char *model = source->model ? source->model : "", *pre = source->pre ? source->pre : "default";
    *pre_kind = NULL;
    *kind = find_kind(model, pre);
    if (!*kind)
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, "unsupported_tokenizer", "tokenizer.ggml.model",
                         "the tokenizer model \"%.64s\" is not served; gpt2, gemma4, llama, bert, t5, rwkv and plamo2 are",
                         model);
    if ((*kind)->kind != LLMC_KIND_BPE) return LLMCALL_OK;
    *pre_kind = llmc_pre_find(pre);
    if (!*pre_kind)
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, "unsupported_tokenizer", "tokenizer.ggml.pre",
                         "the pre-tokenizer \"%.64s\" is not known", pre);
    return LLMCALL_OK;
}

/* -1 is the default. */
static int setting(int32_t given, int usual) {
    return given < 0 ? usual : given != 0;
}

/* What encloses a text: *id, or -1 if it is not to be added or, unless the file asks for it, there is none. */
static llmcall_status read_end(int32_t given, int usual, int32_t special, const char *key, int32_t *id, llmcall_error *error) {
    *id = setting(given, usual) ? special : -1;
    if (given > 0 && special < 0)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "the vocabulary asks for a%s token and has none",
                         strstr(key, "bos") ? " BOS" : "n EOS");
    return LLMCALL_OK;
}

static llmcall_status read_settings(llmc_tokenizer *t, const llmc_vocab_source *source, const llmc_model_kind *kind,
                                    const llmc_pre_kind *pre, llmcall_error *error) {
    const int32_t *ids = t->specials.ids;
    const int wordpiece = kind->kind == LLMC_KIND_WORDPIECE;
    t->add_space_prefix = setting(source->add_space_prefix, kind->add_space_prefix);
    t->line_tokens = kind->line_tokens;
    t->lowercase = setting(source->lowercase, 1);
    t->strip_accents = setting(source->strip_accents, t->lowercase);
    t->merge_spaces = source->remove_extra_whitespaces > 0;
    t->begin = t->end = -1;
    if (kind->fixed_bos < 0) return LLMCALL_OK;
    llmcall_status status = read_end(kind->fixed_bos ? -1 : source->add_bos, kind->add_bos || (pre && pre->add_bos),
                                     ids[LLMC_SPECIAL_BOS], "tokenizer.ggml.add_bos_token", &t->begin, error);
    if (!status && !wordpiece)
        status =
            read_end(source->add_eos, kind->add_eos, ids[LLMC_SPECIAL_EOS], "tokenizer.ggml.add_eos_token", &t->end, error);
    if (wordpiece) t->end = ids[LLMC_SPECIAL_SEP];
    return status;
}

/* ---- The trie ---------------------------------------------------------------------------------------------------------- */

/* Never control tokens, which a text must not forge; nor a score that is no number, nor byte tokens, which are a last resort. */
static int in_trie(const llmc_tokenizer *t, uint32_t id) {
    const int attributes = t->vocabulary.attributes[id];
    if (attributes & (LLMC_ATTR_CONTROL | LLMC_ATTR_UNKNOWN | LLMC_ATTR_BYTE)) return 0;
    return !t->vocabulary.scores || isfinite(t->vocabulary.scores[id]);
}

/* Unigram: a character without a token counts as ten less than the least likely token. */
static void read_unknown_score(llmc_tokenizer *t) {
    float least = INFINITY;
    for (uint32_t id = 0; id < t->vocabulary.n_tokens; id++)
        if (in_trie(t, id) && t->vocabulary.attributes[id] & LLMC_ATTR_NORMAL) least = fminf(least, t->vocabulary.scores[id]);
    t->unknown_score = (isfinite(least) ? least : 0) - 10;
}

static llmcall_status check_bytes(const llmc_tokenizer *t, llmcall_error *error) {
    for (int byte = 0; byte < 256; byte++)
        if (t->vocabulary.byte_ids[byte] < 0)
            return llmc_fail(error, LLMCALL_E_FORMAT, NULL, "tokenizer.ggml.tokens", "the vocabulary has no token <0x%02X>",
                             byte);
    return LLMCALL_OK;
}

/* What only some kinds have. */
static llmcall_status read_extras(llmc_tokenizer *t, const llmc_vocab_source *source, llmcall_error *error) {
    if (t->vocabulary.kind == LLMC_KIND_PLAMO2) return check_bytes(t, error);
    if (t->vocabulary.kind != LLMC_KIND_UNIGRAM) return LLMCALL_OK;
    read_unknown_score(t);
    return llmc_charsmap_init(&t->charsmap, t->env, source->charsmap, source->charsmap ? source->charsmap_size : 0, error);
}

/* Where there is one: the tokens that are found by walking a text. */
static llmcall_status build_trie(llmc_tokenizer *t, llmcall_error *error) {
    const llmc_vocabulary *v = &t->vocabulary;
    size_t n = 0;
    if (v->by_merges || v->kind == LLMC_KIND_SPM) return LLMCALL_OK;
    llmc_trie_key *keys = llmc_alloc_array(t->env, v->n_tokens, sizeof *keys);
    llmcall_status status = keys ? LLMCALL_OK : llmc_fail_memory(error, "the vocabulary");
    for (uint32_t id = 0; id < v->n_tokens && !status; id++) {
        llmc_trie_key *key = &keys[n];
        if (!in_trie(t, id)) continue;
        key->text =
            v->kind == LLMC_KIND_RWKV ? llmc_vocabulary_decoded(v, id, &key->size) : llmc_vocabulary_name(v, id, &key->size);
        key->id = (int32_t)id;
        n += key->size != 0;
        if (key->size > LLMC_TRIE_MAX_KEY)
            status = llmc_fail(error, LLMCALL_E_FORMAT, NULL, "tokenizer.ggml.tokens",
                               "token %u has a text of %u bytes; at most %d are served in this kind of vocabulary", id,
                               key->size, LLMC_TRIE_MAX_KEY);
    }
    if (!status && llmc_trie_init(&t->trie, t->env, keys, n)) status = llmc_fail_memory(error, "the vocabulary");
    llmc_free(t->env, keys);
    return status;
}

llmcall_status llmc_tokenizer_create(const llmc_env *env, const llmc_vocab_source *source, llmc_tokenizer **out,
                                     llmcall_error *error) {
    const llmc_model_kind *kind;
    const llmc_pre_kind *pre;
    *out = NULL;
    llmcall_status status = choose_kind(source, &kind, &pre, error);
    if (status) return status;
    llmc_tokenizer *t = llmc_zalloc(env, sizeof *t);
    if (!t) return llmc_fail_memory(error, "the tokenizer");
    t->env = env;
    status = llmc_vocabulary_init(&t->vocabulary, env, source, kind->kind, pre && pre->ignore_merges, error);
    if (!status) status = llmc_specials_init(&t->specials, &t->vocabulary, source, kind, error);
    if (!status) status = build_trie(t, error);
    if (!status) status = read_extras(t, source, error);
    if (!status && pre) status = llmc_pretokenizer_init(&t->pre, env, pre, error);
    if (!status) status = read_settings(t, source, kind, pre, error);
    if (status) llmc_tokenizer_destroy(&t);
    *out = t;
    return status;
}

void llmc_tokenizer_destroy(llmc_tokenizer **tokenizer) {
    llmc_tokenizer *t = tokenizer ? *tokenizer : NULL;
    if (!t) return;
    llmc_pretokenizer_free(&t->pre, t->env);
    llmc_trie_free(&t->trie, t->env);
    llmc_charsmap_free(&t->charsmap, t->env);
    llmc_specials_free(&t->specials, t->env);
    llmc_vocabulary_free(&t->vocabulary);
    llmc_free(t->env, t);
    *tokenizer = NULL;
}

static int known(const llmc_tokenizer *t, int32_t id) {
    return id >= 0 && (uint32_t)id < t->vocabulary.n_tokens;
}
static int has(const llmc_tokenizer *t, int32_t id, int attribute) {
    return known(t, id) && (t->vocabulary.attributes[id] & attribute) != 0;
}

const char *llmc_tokenizer_piece(const llmc_tokenizer *t, int32_t id, size_t *size) {
    const int attributes = known(t, id) ? t->vocabulary.attributes[id] : 0;
    uint32_t n = 0;
    const char *bytes = "";
    if (attributes & (LLMC_ATTR_CONTROL | LLMC_ATTR_UNKNOWN)) {
    } else if (attributes & LLMC_ATTR_USER_DEFINED) {
        bytes = llmc_vocabulary_name(&t->vocabulary, (uint32_t)id, &n);
    } else if (attributes & LLMC_ATTR_NORMAL) {
        bytes = llmc_vocabulary_decoded(&t->vocabulary, (uint32_t)id, &n);
    } else if (attributes & LLMC_ATTR_BYTE) {
        bytes = (const char *)&t->vocabulary.bytes[id];
        n = 1;
    }
    *size = n;
    return bytes;
}

const char *llmc_tokenizer_name(const llmc_tokenizer *t, int32_t id, size_t *size) {
    uint32_t n = 0;
    const char *name = known(t, id) ? llmc_vocabulary_name(&t->vocabulary, (uint32_t)id, &n) : "";
    *size = n;
    return name;
}

int llmc_tokenizer_is_control(const llmc_tokenizer *t, int32_t id) {
    return has(t, id, LLMC_ATTR_CONTROL);
}
int llmc_tokenizer_is_eog(const llmc_tokenizer *t, int32_t id) {
    return has(t, id, LLMC_ATTR_EOG);
}
uint32_t llmc_tokenizer_n_tokens(const llmc_tokenizer *t) {
    return t->vocabulary.n_tokens;
}
int llmc_tokenizer_add_bos(const llmc_tokenizer *t) {
    return t->begin >= 0;
}
int llmc_tokenizer_add_eos(const llmc_tokenizer *t) {
    return t->end >= 0;
}

int32_t llmc_tokenizer_special(const llmc_tokenizer *t, llmc_special kind) {
    return (unsigned)kind < LLMC_SPECIAL_COUNT ? t->specials.ids[kind] : -1;
}

size_t llmc_tokenizer_bytes(const llmc_tokenizer *t) {
    return sizeof *t + t->vocabulary.held + t->specials.node_capacity * sizeof *t->specials.nodes +
           llmc_pretokenizer_bytes(&t->pre) + llmc_trie_bytes(&t->trie) + 4 * t->charsmap.n_units + t->charsmap.texts_size;
}

void llmc_token_list_free(const llmc_env *env, llmc_token_list *list) {
    llmc_free(env, list->ids);
    memset(list, 0, sizeof *list);
}
