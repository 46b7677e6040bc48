/* The architecture table, and the GGUF keys of a model's numbers with their defaults and limits. */
#include "model/arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"

static const llmc_arch arch_table[] = {
    /* name    rope                   qkv_bias       more_bias      head_norm */
    {"llama", LLMC_ROPE_INTERLEAVED, LLMC_OPTIONAL, LLMC_OPTIONAL, LLMC_ABSENT},
    {"qwen2", LLMC_ROPE_HALVES, LLMC_REQUIRED, LLMC_ABSENT, LLMC_ABSENT},
    {"qwen3", LLMC_ROPE_HALVES, LLMC_OPTIONAL, LLMC_ABSENT, LLMC_REQUIRED},
};

/* Far beyond any model there is, and small enough that products of two of them fit in 64 bits many times over. */
enum {
    MAX_LAYERS = 1024,
    MAX_WIDTH = 1 << 18,
    MAX_HEADS = 1024,
    MAX_HEAD_DIM = 1024,
    MAX_FF = 1 << 20,
    MAX_VOCAB = 1 << 24,
    MAX_CONTEXT = 1 << 28
};

enum { KEY_SIZE = 96 };

/* Reads keys "<architecture>.<name>"; after the first failure it does nothing, so a list of keys needs one check at its end. */
typedef struct key_reader {
    const llmc_gguf *gguf;
    const char *architecture;
    llmcall_error *error;
    llmcall_status status;
    char key[KEY_SIZE];
} key_reader;

const llmc_arch *llmc_arch_find(const char *name, size_t size) {
    for (size_t i = 0; i < sizeof arch_table / sizeof arch_table[0]; i++) {
        const llmc_arch *arch = &arch_table[i];
        if (strlen(arch->name) == size && memcmp(arch->name, name, size) == 0) return arch;
    }
    return NULL;
}

llmcall_status llmc_arch_name(const llmc_gguf *gguf, const char **name, size_t *size, llmcall_error *error) {
    int found = 0;
    llmcall_status status = llmc_gguf_get_string(gguf, "general.architecture", name, size, &found, error);
    if (status != LLMCALL_OK) return status;
    if (!found) {
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, "general.architecture", "The file lacks the key general.architecture.");
    }
    return LLMCALL_OK;
}

static const char *key_of(key_reader *reader, const char *name) {
    snprintf(reader->key, sizeof reader->key, "%s.%s", reader->architecture, name);
    return reader->key;
}

static void fail_missing(key_reader *reader) {
    reader->status = llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key, "The file lacks the key %s.", reader->key);
}

static void fail_u32(key_reader *reader, uint32_t value, const char *expected) {
    reader->status =
        llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key, "%s is %u; expected %s.", reader->key, value, expected);
}

static void check_range(key_reader *reader, uint32_t value, uint32_t min, uint32_t max) {
    char expected[48];
    if (value >= min && value <= max) return;
    snprintf(expected, sizeof expected, "%u to %u", min, max);
    fail_u32(reader, value, expected);
}

/* An optional number from min to max; *value is the default. */
static void read_u32(key_reader *reader, const char *name, uint32_t *value, uint32_t min, uint32_t max) {
    int found = 0;
    if (reader->status != LLMCALL_OK) return;
    reader->status = llmc_gguf_get_u32(reader->gguf, key_of(reader, name), value, &found, reader->error);
    if (reader->status == LLMCALL_OK && found) check_range(reader, *value, min, max);
}

static void require_u32(key_reader *reader, const char *name, uint32_t *value, uint32_t min, uint32_t max) {
    *value = 0;
    read_u32(reader, name, value, min, max);
    if (reader->status == LLMCALL_OK && *value == 0) fail_missing(reader); /* min is at least 1: 0 means absent */
}

static void read_f32(key_reader *reader, const char *name, float *value, float min, float max, int *found) {
    if (reader->status != LLMCALL_OK) return;
    reader->status = llmc_gguf_get_f32(reader->gguf, key_of(reader, name), value, found, reader->error);
    if (reader->status != LLMCALL_OK || !*found) return;
    if (*value >= min && *value <= max) return; /* NaN fails both */
    reader->status = llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key, "%s is %g; expected %g to %g.", reader->key,
                               (double)*value, (double)min, (double)max);
}

/* Some files give one number a layer. They are served if the layers agree. */
static void read_u32_or_array(key_reader *reader, const char *name, uint32_t *value, uint32_t n_layers, uint32_t min,
                              uint32_t max) {
    llmc_gguf_array array;
    int found = 0;
    uint32_t element = 0;
    if (reader->status != LLMCALL_OK) return;
    if (llmc_gguf_get_array(reader->gguf, key_of(reader, name), &array, &found, NULL) != LLMCALL_OK || !found) {
        read_u32(reader, name, value, min, max);
        return;
    }
    if (array.count != n_layers) {
        reader->status =
            llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key,
                      "%s has %zu elements; expected one for each of %u layers.", reader->key, array.count, n_layers);
        return;
    }
    for (uint32_t i = 0; i < n_layers && reader->status == LLMCALL_OK; i++) {
        reader->status = llmc_gguf_array_u32(&array, i, &element, reader->error);
        if (reader->status != LLMCALL_OK) return;
        if (i > 0 && element != *value) {
            reader->status = llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                                       "%s differs between layers (%u, and %u in layer %u), which is not supported.",
                                       reader->key, *value, element, i);
            return;
        }
        *value = element;
    }
    if (reader->status == LLMCALL_OK) check_range(reader, *value, min, max);
}

static void read_heads(key_reader *reader, llmc_hparams *h) {
    uint32_t value_length;
    h->n_heads = 0;
    read_u32_or_array(reader, "attention.head_count", &h->n_heads, h->n_layers, 1, MAX_HEADS);
    if (reader->status == LLMCALL_OK && h->n_heads == 0) fail_missing(reader);
    h->n_kv_heads = h->n_heads;
    read_u32_or_array(reader, "attention.head_count_kv", &h->n_kv_heads, h->n_layers, 1, MAX_HEADS);
    if (reader->status == LLMCALL_OK && h->n_heads % h->n_kv_heads != 0) {
        fail_u32(reader, h->n_kv_heads, "a divisor of attention.head_count");
    }
    if (reader->status != LLMCALL_OK) return;

    h->head_dim = 0;
    read_u32(reader, "attention.key_length", &h->head_dim, 1, MAX_HEAD_DIM);
    if (reader->status == LLMCALL_OK && h->head_dim == 0) {
        h->head_dim = h->width / h->n_heads;
        key_of(reader, "embedding_length");
        if (h->width % h->n_heads != 0) fail_u32(reader, h->width, "a multiple of attention.head_count");
        else check_range(reader, h->head_dim, 1, MAX_HEAD_DIM);
    }
    value_length = h->head_dim;
    read_u32(reader, "attention.value_length", &value_length, 1, MAX_HEAD_DIM);
    if (reader->status == LLMCALL_OK && value_length != h->head_dim) {
        reader->status = llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                                   "%s is %u and the length of keys is %u; only equal ones are supported.", reader->key,
                                   value_length, h->head_dim);
    }
}

static void read_rope_scaling_type(key_reader *reader, llmc_rope_params *rope) {
    static const struct {
        const char *name;
        llmc_rope_scaling scaling;
    } types[] = {{"none", LLMC_ROPE_UNSCALED}, {"linear", LLMC_ROPE_LINEAR}, {"yarn", LLMC_ROPE_YARN}};
    const char *text = NULL;
    size_t size = 0;
    int found = 0;
    if (reader->status != LLMCALL_OK) return;
    rope->scaling = LLMC_ROPE_LINEAR;
    reader->status =
        llmc_gguf_get_string(reader->gguf, key_of(reader, "rope.scaling.type"), &text, &size, &found, reader->error);
    if (reader->status != LLMCALL_OK || !found) return;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (strlen(types[i].name) != size || memcmp(types[i].name, text, size) != 0) continue;
        rope->scaling = types[i].scaling;
        return;
    }
    reader->status =
        llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                  "%s is \"%.*s\"; supported are none, linear and yarn.", reader->key, (int)(size < 64 ? size : 64), text);
}

static void read_rope(key_reader *reader, llmc_hparams *h) {
    llmc_rope_params *rope = &h->rope;
    int found = 0;
    *rope = (llmc_rope_params){.n_rot = h->head_dim,
                               .base = 10000,
                               .original_context = h->context_length,
                               .beta_fast = 32,
                               .beta_slow = 1,
                               .attention_factor = 1};
    read_u32(reader, "rope.dimension_count", &rope->n_rot, 2, h->head_dim);
    if (reader->status == LLMCALL_OK && rope->n_rot % 2 != 0) {
        key_of(reader, "rope.dimension_count");
        fail_u32(reader, rope->n_rot, "an even number");
    }
    read_f32(reader, "rope.freq_base", &rope->base, 1.0f, 1e12f, &found);
    read_rope_scaling_type(reader, rope);
    read_f32(reader, "rope.scaling.factor", &rope->factor, 0.0f, 1e6f, &found);
    if (!found) read_f32(reader, "rope.scale_linear", &rope->factor, 0.0f, 1e6f, &found);
    if (rope->factor == 0) rope->factor = 1;
    read_f32(reader, "rope.scaling.attn_factor", &rope->attention_factor, 1e-6f, 1e6f, &found);
    if (rope->scaling != LLMC_ROPE_YARN) return;
    read_u32(reader, "rope.scaling.original_context_length", &rope->original_context, 1, MAX_CONTEXT);
    read_f32(reader, "rope.scaling.yarn_beta_fast", &rope->beta_fast, 1e-6f, 1e6f, &found);
    read_f32(reader, "rope.scaling.yarn_beta_slow", &rope->beta_slow, 1e-6f, 1e6f, &found);
}

/* No row of the table has experts; a file that has them must not be computed as if it had none. */
static void refuse_experts(key_reader *reader) {
    uint32_t n_experts = 0;
    read_u32(reader, "expert_count", &n_experts, 0, UINT32_MAX);
    if (reader->status == LLMCALL_OK && n_experts > 0) {
        reader->status = llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                                   "%s is %u; models with experts are not supported.", reader->key, n_experts);
    }
}

static llmcall_status find_arch(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error) {
    const char *name = NULL;
    size_t size = 0;
    llmcall_status status = llmc_arch_name(gguf, &name, &size, error);
    if (status != LLMCALL_OK) return status;
    hparams->arch = llmc_arch_find(name, size);
    if (!hparams->arch) {
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, "general.architecture",
                         "general.architecture is \"%.*s\", which is not supported.", (int)(size < 64 ? size : 64), name);
    }
    return LLMCALL_OK;
}

llmcall_status llmc_hparams_read(const llmc_gguf *gguf, llmc_hparams *hparams, llmcall_error *error) {
    llmc_hparams *h = hparams;
    int found = 0;
    memset(h, 0, sizeof *h);
    llmcall_status status = find_arch(gguf, h, error);
    if (status != LLMCALL_OK) return status;

    key_reader reader = {.gguf = gguf, .architecture = h->arch->name, .error = error, .status = LLMCALL_OK};
    refuse_experts(&reader);
    require_u32(&reader, "context_length", &h->context_length, 1, MAX_CONTEXT);
    require_u32(&reader, "embedding_length", &h->width, 1, MAX_WIDTH);
    require_u32(&reader, "block_count", &h->n_layers, 1, MAX_LAYERS);
    if (reader.status == LLMCALL_OK) {
        read_u32_or_array(&reader, "feed_forward_length", &h->n_ff, h->n_layers, 1, MAX_FF);
        if (reader.status == LLMCALL_OK && h->n_ff == 0) fail_missing(&reader);
    }
    if (reader.status == LLMCALL_OK) read_heads(&reader, h);
    if (reader.status == LLMCALL_OK) read_rope(&reader, h);
    read_f32(&reader, "attention.layer_norm_rms_epsilon", &h->norm_eps, 0.0f, 1.0f, &found);
    if (reader.status == LLMCALL_OK && !found) fail_missing(&reader);
    read_u32(&reader, "vocab_size", &h->n_vocab, 1, MAX_VOCAB);
    return reader.status;
}
