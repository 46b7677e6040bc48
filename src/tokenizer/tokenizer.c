/* Making and asking a tokenizer: ties vocabulary, special tokens and pre-tokenizer together. */
#include "tokenizer/internal.h"

static llmcall_status choose_kind(const llmc_vocab_source *source, const llmc_pre_kind **kind, llmcall_error *error) {
    const char *model = source->model ? source->model : "";
    *kind = NULL;
    if (strcmp(model, "llama") == 0) return LLMCALL_OK;
    if (strcmp(model, "gpt2") != 0)
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, "unsupported_tokenizer", "tokenizer.ggml.model",
                         "the tokenizer model \"%.64s\" is not served; gpt2 and llama are", model);
    *kind = llmc_pre_find(source->pre);
    if (!*kind)
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, "unsupported_tokenizer", "tokenizer.ggml.pre",
                         "the pre-tokenizer \"%.64s\" is not known", source->pre ? source->pre : "");
    return LLMCALL_OK;
}

/* -1 is the default. */
static int setting(int32_t given, int usual) {
    return given < 0 ? usual : given != 0;
}

static llmcall_status read_settings(llmc_tokenizer *t, const llmc_vocab_source *source, const llmc_pre_kind *kind,
                                    llmcall_error *error) {
    const int sentencepiece = kind == NULL;
    t->add_bos = setting(source->add_bos, sentencepiece || kind->add_bos);
    t->add_eos = setting(source->add_eos, 0);
    t->add_space_prefix = setting(source->add_space_prefix, sentencepiece);
    if (t->specials.ids[LLMC_SPECIAL_BOS] < 0 && source->add_bos > 0)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, "tokenizer.ggml.add_bos_token",
                         "the vocabulary asks for a BOS token and has none");
    if (t->specials.ids[LLMC_SPECIAL_EOS] < 0 && source->add_eos > 0)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, "tokenizer.ggml.add_eos_token",
                         "the vocabulary asks for an EOS token and has none");
    t->add_bos = t->add_bos && t->specials.ids[LLMC_SPECIAL_BOS] >= 0;
    return LLMCALL_OK;
}

llmcall_status llmc_tokenizer_create(const llmc_env *env, const llmc_vocab_source *source, llmc_tokenizer **out,
                                     llmcall_error *error) {
    const llmc_pre_kind *kind;
    *out = NULL;
    llmcall_status status = choose_kind(source, &kind, error);
    if (status) return status;
    llmc_tokenizer *t = llmc_zalloc(env, sizeof *t);
    if (!t) return llmc_fail_memory(error, "the tokenizer");
    t->env = env;
    status = llmc_vocabulary_init(&t->vocabulary, env, source, kind && kind->ignore_merges, error);
    if (!status) status = llmc_specials_init(&t->specials, &t->vocabulary, source, error);
    if (!status && kind) status = llmc_pretokenizer_init(&t->pre, env, kind, error);
    if (!status) status = read_settings(t, source, kind, error);
    if (status) llmc_tokenizer_destroy(&t);
    *out = t;
    return status;
}

void llmc_tokenizer_destroy(llmc_tokenizer **tokenizer) {
    llmc_tokenizer *t = tokenizer ? *tokenizer : NULL;
    if (!t) return;
    llmc_pretokenizer_free(&t->pre, t->env);
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
    return t->add_bos;
}
int llmc_tokenizer_add_eos(const llmc_tokenizer *t) {
    return t->add_eos;
}

int32_t llmc_tokenizer_special(const llmc_tokenizer *t, llmc_special kind) {
    return (unsigned)kind < LLMC_SPECIAL_COUNT ? t->specials.ids[kind] : -1;
}

size_t llmc_tokenizer_bytes(const llmc_tokenizer *t) {
    return sizeof *t + t->vocabulary.held + t->specials.node_capacity * sizeof *t->specials.nodes +
           llmc_pretokenizer_bytes(&t->pre);
}

void llmc_token_list_free(const llmc_env *env, llmc_token_list *list) {
    llmc_free(env, list->ids);
    memset(list, 0, sizeof *list);
}
