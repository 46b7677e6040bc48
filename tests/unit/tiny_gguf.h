/* Builds a tiny model file in memory: deterministic weights as in tests/data/archs, a byte-level BPE vocabulary and a chat
 * template; also one that is broken in a chosen way. Load it as below.
 *
 *     tiny_gguf file;
 *     tiny_gguf_build(&file, &(tiny_gguf_spec){0});
 *     llmcall_model_options options;
 *     tiny_gguf_model_options(&file, &options);      // the file must outlive the loading
 *     ...
 *     tiny_gguf_free(&file);
 */
#ifndef TINY_GGUF_H
#define TINY_GGUF_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/half.h"
#include "llmcall.h"

enum { TINY_U32 = 4, TINY_I32 = 5, TINY_F32 = 6, TINY_BOOL = 7, TINY_STRING = 8, TINY_ARRAY = 9 };
enum { TINY_TYPE_F32 = 0, TINY_TYPE_F16 = 1, TINY_TYPE_Q8_0 = 8 };

/* The vocabulary: ids 0 to 255 are the bytes, then merges, then the three control tokens. */
enum { TINY_MERGES = 13, TINY_ENDOFTEXT = 256 + TINY_MERGES, TINY_IM_START, TINY_IM_END, TINY_VOCAB };

/* Zero means the default in brackets. */
typedef struct tiny_gguf_spec {
    const char *architecture; /* ["llama"]; qwen2 gets biases, qwen3 head norms; the last layer of granitehybrid is recurrent */
    uint64_t seed;            /* [1] */
    uint32_t n_layers;        /* [2] */
    uint32_t width;           /* [64] */
    uint32_t n_heads;         /* [2] */
    uint32_t n_kv_heads;      /* [n_heads] */
    uint32_t head_dim;        /* [width / n_heads] */
    uint32_t n_ff;            /* [96] */
    uint32_t context_length;  /* [256] */
    int no_vocab;             /* 1: no tokenizer, 128 ids: the models of tests/data/archs */
    int rope_freqs;           /* 1: with rope_freqs.weight */
    int tied;                 /* 1: without output.weight */
    int matrix_type;          /* [TINY_TYPE_F32], or TINY_TYPE_Q8_0 */
    int vector_type;          /* [TINY_TYPE_F32], or TINY_TYPE_F16 */
    const char *chat_template; /* [ChatML] "": none */
    /* One thing wrong each: */
    const char *drop_key;
    const char *drop_tensor;
    const char *widen_tensor; /* gets twice the columns */
    const char *extra_tensor; /* is there, of 32 elements */
    const char *set_key;      /* replaces this key, or adds it, by one of */
    int set_type;             /* TINY_* of the value; TINY_ARRAY: n_layers u32, of which the last is set_number */
    double set_number;
    const char *set_text;
} tiny_gguf_spec;

typedef struct tiny_bytes {
    uint8_t *data;
    size_t size, capacity;
} tiny_bytes;

typedef struct tiny_gguf {
    uint8_t *data;
    size_t size;
    llmcall_reader reader;
    /* While building: */
    tiny_gguf_spec spec;
    tiny_bytes keys, infos, tensors;
    uint64_t n_keys, n_tensors;
} tiny_gguf;

/* ---- Bytes -------------------------------------------------------------------------------------------------------------- */

static inline void tiny_put(tiny_bytes *b, const void *data, size_t size) {
    if (b->size + size > b->capacity) {
        b->capacity = (b->size + size) * 2;
        b->data = realloc(b->data, b->capacity);
        if (!b->data) abort();
    }
    if (size) memcpy(b->data + b->size, data, size);
    b->size += size;
}

static inline void tiny_put_u32(tiny_bytes *b, uint32_t value) {
    tiny_put(b, &value, sizeof value);
}
static inline void tiny_put_u64(tiny_bytes *b, uint64_t value) {
    tiny_put(b, &value, sizeof value);
}

static inline void tiny_put_text(tiny_bytes *b, const char *text) {
    tiny_put_u64(b, strlen(text));
    tiny_put(b, text, strlen(text));
}

static inline void tiny_pad(tiny_bytes *b, size_t alignment) {
    static const uint8_t zeros[64];
    if (b->size % alignment) tiny_put(b, zeros, alignment - b->size % alignment);
}

/* ---- Keys --------------------------------------------------------------------------------------------------------------- */

static inline void tiny_put_number(tiny_bytes *b, int type, double number) {
    int32_t i32 = (int32_t)number;
    float f32 = (float)number;
    uint8_t boolean = number != 0;
    if (type == TINY_U32) tiny_put_u32(b, (uint32_t)number);
    if (type == TINY_I32) tiny_put(b, &i32, sizeof i32);
    if (type == TINY_F32) tiny_put(b, &f32, sizeof f32);
    if (type == TINY_BOOL) tiny_put(b, &boolean, 1);
}

static inline void tiny_value(tiny_gguf *g, const char *key, int type, double number, const char *text) {
    g->n_keys++;
    tiny_put_text(&g->keys, key);
    tiny_put_u32(&g->keys, (uint32_t)type);
    if (type == TINY_STRING) tiny_put_text(&g->keys, text);
    else tiny_put_number(&g->keys, type, number);
}

static inline int tiny_is(const char *a, const char *b) {
    return a && b && strcmp(a, b) == 0;
}

/* A key of the good file, unless spec drops or replaces it. */
static inline int tiny_wanted(const tiny_gguf *g, const char *key) {
    return !tiny_is(g->spec.drop_key, key) && !tiny_is(g->spec.set_key, key);
}

static inline void tiny_key(tiny_gguf *g, const char *key, int type, double number, const char *text) {
    if (tiny_wanted(g, key)) tiny_value(g, key, type, number, text);
}

static inline void tiny_own_key(tiny_gguf *g, const char *name, int type, double number) {
    char key[128];
    snprintf(key, sizeof key, "%s.%s", g->spec.architecture, name);
    tiny_key(g, key, type, number, NULL);
}

static inline int tiny_array(tiny_gguf *g, const char *key, int element, uint64_t count) {
    if (!tiny_wanted(g, key)) return 0;
    g->n_keys++;
    tiny_put_text(&g->keys, key);
    tiny_put_u32(&g->keys, TINY_ARRAY);
    tiny_put_u32(&g->keys, (uint32_t)element);
    tiny_put_u64(&g->keys, count);
    return 1;
}

static inline void tiny_set_key(tiny_gguf *g) {
    const tiny_gguf_spec *s = &g->spec;
    const char *key = s->set_key;
    if (!key) return;
    if (s->set_type != TINY_ARRAY) {
        tiny_value(g, key, s->set_type, s->set_number, s->set_text);
        return;
    }
    g->spec.set_key = NULL;
    tiny_array(g, key, TINY_U32, s->n_layers);
    for (uint32_t i = 0; i < s->n_layers; i++) {
        tiny_put_u32(&g->keys, i + 1 < s->n_layers ? s->n_kv_heads : (uint32_t)s->set_number);
    }
}

/* ---- Vocabulary --------------------------------------------------------------------------------------------------------- */

static const char *const tiny_merges[TINY_MERGES] = {"h e", "Ġ t", "Ġt he", "i n", "r e",   "o n",   "Ġ a",
                                                     "e r", "a n", "l l",   "o r", "he ll", "hell o"};
static const char *const tiny_chat_template =
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/* The character by which byte-level BPE writes a byte: printable Latin-1 as itself, the rest from U+0100 on. */
static inline uint32_t tiny_byte_character(int byte) {
    uint32_t others = 0;
    for (int b = 0; b <= byte; b++) {
        int printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte && printable) return (uint32_t)b;
        if (!printable) others++;
    }
    return 0x100 + others - 1;
}

static inline void tiny_put_byte_token(tiny_bytes *b, int byte) {
    uint32_t c = tiny_byte_character(byte);
    char text[3] = {(char)c, 0, 0};
    if (c >= 0x80) {
        text[0] = (char)(0xc0 | c >> 6);
        text[1] = (char)(0x80 | (c & 0x3f));
    }
    tiny_put_text(b, text);
}

static inline void tiny_put_merged_token(tiny_bytes *b, const char *merge) {
    char text[32];
    size_t n = 0;
    for (const char *c = merge; *c; c++) {
        if (*c != ' ') text[n++] = *c;
    }
    text[n] = 0;
    tiny_put_text(b, text);
}

static inline void tiny_vocabulary(tiny_gguf *g) {
    tiny_key(g, "tokenizer.ggml.model", TINY_STRING, 0, "gpt2");
    tiny_key(g, "tokenizer.ggml.pre", TINY_STRING, 0, "gpt-2");
    if (tiny_array(g, "tokenizer.ggml.tokens", TINY_STRING, TINY_VOCAB)) {
        for (int byte = 0; byte < 256; byte++) tiny_put_byte_token(&g->keys, byte);
        for (int i = 0; i < TINY_MERGES; i++) tiny_put_merged_token(&g->keys, tiny_merges[i]);
        tiny_put_text(&g->keys, "<|endoftext|>");
        tiny_put_text(&g->keys, "<|im_start|>");
        tiny_put_text(&g->keys, "<|im_end|>");
    }
    if (tiny_array(g, "tokenizer.ggml.token_type", TINY_I32, TINY_VOCAB)) {
        for (int i = 0; i < TINY_VOCAB; i++) tiny_put_u32(&g->keys, i < TINY_ENDOFTEXT ? 1 : 3);
    }
    if (tiny_array(g, "tokenizer.ggml.merges", TINY_STRING, TINY_MERGES)) {
        for (int i = 0; i < TINY_MERGES; i++) tiny_put_text(&g->keys, tiny_merges[i]);
    }
    tiny_key(g, "tokenizer.ggml.bos_token_id", TINY_U32, TINY_ENDOFTEXT, NULL);
    tiny_key(g, "tokenizer.ggml.eos_token_id", TINY_U32, TINY_IM_END, NULL);
    tiny_key(g, "tokenizer.ggml.add_bos_token", TINY_BOOL, 0, NULL);
    if (g->spec.chat_template[0]) tiny_key(g, "tokenizer.chat_template", TINY_STRING, 0, g->spec.chat_template);
}

/* ---- Tensors ------------------------------------------------------------------------------------------------------------ */

/* Element i of a tensor is lo + (hi - lo) * u, u the top 24 bits of splitmix64 seeded by name and seed. */
static inline float tiny_weight(uint64_t *state, double low, double high) {
    uint64_t x = *state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    x ^= x >> 31;
    return (float)(low + (high - low) * ((double)(x >> 40) / 16777216.0));
}

static inline uint64_t tiny_weight_state(const char *name, uint64_t seed) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (const char *c = name; *c; c++) hash = (hash ^ (uint8_t)*c) * 0x100000001b3u;
    return hash ^ seed;
}

static inline void tiny_put_q8_block(tiny_bytes *b, const float *x) {
    float largest = 0;
    for (int i = 0; i < 32; i++) largest = fmaxf(largest, fabsf(x[i]));
    uint16_t scale = llmc_f32_to_f16(largest / 127);
    float inverse = scale ? 1 / llmc_f16_to_f32(scale) : 0;
    int8_t quants[32];
    for (int i = 0; i < 32; i++) quants[i] = (int8_t)fmaxf(-127, fminf(127, roundf(x[i] * inverse)));
    tiny_put(b, &scale, 2);
    tiny_put(b, quants, 32);
}

static inline void tiny_put_values(tiny_bytes *b, int type, const char *name, uint64_t seed, uint64_t n, double low,
                                   double high) {
    uint64_t state = tiny_weight_state(name, seed);
    float block[32];
    for (uint64_t i = 0; i < n; i++) {
        float value = block[i % 32] = tiny_weight(&state, low, high);
        uint16_t half = llmc_f32_to_f16(value);
        if (type == TINY_TYPE_F32) tiny_put(b, &value, 4);
        if (type == TINY_TYPE_F16) tiny_put(b, &half, 2);
        if (type == TINY_TYPE_Q8_0 && i % 32 == 31) tiny_put_q8_block(b, block);
    }
}

/* rows 0: a vector. */
static inline void tiny_tensor(tiny_gguf *g, const char *name, uint32_t rows, uint32_t cols, double low, double high) {
    int type = rows ? g->spec.matrix_type : g->spec.vector_type;
    if (tiny_is(g->spec.drop_tensor, name)) return;
    if (tiny_is(g->spec.widen_tensor, name)) cols *= 2;
    tiny_pad(&g->tensors, 32);
    tiny_put_text(&g->infos, name);
    tiny_put_u32(&g->infos, rows ? 2 : 1);
    tiny_put_u64(&g->infos, cols);
    if (rows) tiny_put_u64(&g->infos, rows);
    tiny_put_u32(&g->infos, (uint32_t)type);
    tiny_put_u64(&g->infos, g->tensors.size);
    tiny_put_values(&g->tensors, type, name, g->spec.seed, (uint64_t)(rows ? rows : 1) * cols, low, high);
    g->n_tensors++;
}

static inline void tiny_layer_tensor(tiny_gguf *g, uint32_t layer, const char *name, uint32_t rows, uint32_t cols, double low,
                                     double high) {
    char full[64];
    snprintf(full, sizeof full, "blk.%u.%s", layer, name);
    tiny_tensor(g, full, rows, cols, low, high);
}

/* Mamba-2 of 2 heads; what is no matrix is F32 whatever the spec says. */
enum { TINY_TAPS = 4, TINY_STATE = 16, TINY_SSM_HEADS = 2, TINY_SSM_GROUPS = 1 };

static inline int tiny_is_recurrent(const tiny_gguf *g, uint32_t layer) {
    return tiny_is(g->spec.architecture, "granitehybrid") && layer + 1 == g->spec.n_layers;
}

static inline void tiny_recurrent_layer(tiny_gguf *g, uint32_t layer) {
    const tiny_gguf_spec *s = &g->spec;
    uint32_t inner = 2 * s->width, channels = inner + 2 * TINY_SSM_GROUPS * TINY_STATE;
    int matrix_type = s->matrix_type;
    tiny_layer_tensor(g, layer, "ssm_in.weight", inner + channels + TINY_SSM_HEADS, s->width, -0.35, 0.35);
    tiny_layer_tensor(g, layer, "ssm_out.weight", s->width, inner, -0.35, 0.35);
    g->spec.matrix_type = TINY_TYPE_F32;
    tiny_layer_tensor(g, layer, "ssm_conv1d.weight", channels, TINY_TAPS, -0.35, 0.35);
    tiny_layer_tensor(g, layer, "ssm_conv1d.bias", 0, channels, -0.3, 0.3);
    tiny_layer_tensor(g, layer, "ssm_dt.bias", 0, TINY_SSM_HEADS, -1, 1);
    tiny_layer_tensor(g, layer, "ssm_a", TINY_SSM_HEADS, 1, -1.5, -0.25);
    tiny_layer_tensor(g, layer, "ssm_d", TINY_SSM_HEADS, 1, -1, 1);
    tiny_layer_tensor(g, layer, "ssm_norm.weight", TINY_SSM_GROUPS, inner, 0.5, 1.5);
    g->spec.matrix_type = matrix_type;
}

static inline void tiny_attention(tiny_gguf *g, uint32_t layer) {
    const tiny_gguf_spec *s = &g->spec;
    uint32_t q = s->n_heads * s->head_dim, kv = s->n_kv_heads * s->head_dim;
    tiny_layer_tensor(g, layer, "attn_q.weight", q, s->width, -0.35, 0.35);
    tiny_layer_tensor(g, layer, "attn_k.weight", kv, s->width, -0.35, 0.35);
    tiny_layer_tensor(g, layer, "attn_v.weight", kv, s->width, -0.35, 0.35);
    tiny_layer_tensor(g, layer, "attn_output.weight", s->width, q, -0.35, 0.35);
    if (tiny_is(s->architecture, "qwen2")) {
        tiny_layer_tensor(g, layer, "attn_q.bias", 0, q, -0.3, 0.3);
        tiny_layer_tensor(g, layer, "attn_k.bias", 0, kv, -0.3, 0.3);
        tiny_layer_tensor(g, layer, "attn_v.bias", 0, kv, -0.3, 0.3);
    }
    if (tiny_is(s->architecture, "qwen3")) {
        tiny_layer_tensor(g, layer, "attn_q_norm.weight", 0, s->head_dim, 0.5, 1.5);
        tiny_layer_tensor(g, layer, "attn_k_norm.weight", 0, s->head_dim, 0.5, 1.5);
    }
}

static inline void tiny_layer(tiny_gguf *g, uint32_t layer) {
    const tiny_gguf_spec *s = &g->spec;
    tiny_layer_tensor(g, layer, "attn_norm.weight", 0, s->width, 0.5, 1.5);
    if (tiny_is_recurrent(g, layer)) tiny_recurrent_layer(g, layer);
    else tiny_attention(g, layer);
    tiny_layer_tensor(g, layer, "ffn_norm.weight", 0, s->width, 0.5, 1.5);
    tiny_layer_tensor(g, layer, "ffn_gate.weight", s->n_ff, s->width, -0.35, 0.35);
    tiny_layer_tensor(g, layer, "ffn_down.weight", s->width, s->n_ff, -0.35, 0.35);
    tiny_layer_tensor(g, layer, "ffn_up.weight", s->n_ff, s->width, -0.35, 0.35);
}

/* ---- The file ----------------------------------------------------------------------------------------------------------- */

static inline void tiny_defaults(tiny_gguf_spec *s) {
    if (!s->architecture) s->architecture = "llama";
    if (!s->seed) s->seed = 1;
    if (!s->n_layers) s->n_layers = 2;
    if (!s->width) s->width = 64;
    if (!s->n_heads) s->n_heads = 2;
    if (!s->n_kv_heads) s->n_kv_heads = s->n_heads;
    if (!s->head_dim) s->head_dim = s->width / s->n_heads;
    if (!s->n_ff) s->n_ff = 96;
    if (!s->context_length) s->context_length = 256;
    if (!s->chat_template) s->chat_template = tiny_chat_template;
}

static inline void tiny_recurrent_keys(tiny_gguf *g) {
    const tiny_gguf_spec *s = &g->spec;
    if (!tiny_is(s->architecture, "granitehybrid")) return;
    if (tiny_array(g, "granitehybrid.attention.head_count_kv", TINY_U32, s->n_layers)) {
        for (uint32_t i = 0; i < s->n_layers; i++) tiny_put_u32(&g->keys, tiny_is_recurrent(g, i) ? 0 : s->n_kv_heads);
    }
    tiny_own_key(g, "ssm.conv_kernel", TINY_U32, TINY_TAPS);
    tiny_own_key(g, "ssm.inner_size", TINY_U32, 2 * s->width);
    tiny_own_key(g, "ssm.state_size", TINY_U32, TINY_STATE);
    tiny_own_key(g, "ssm.time_step_rank", TINY_U32, TINY_SSM_HEADS);
    tiny_own_key(g, "ssm.group_count", TINY_U32, TINY_SSM_GROUPS);
}

static inline void tiny_keys(tiny_gguf *g) {
    const tiny_gguf_spec *s = &g->spec;
    tiny_key(g, "general.architecture", TINY_STRING, 0, s->architecture);
    tiny_key(g, "general.name", TINY_STRING, 0, "tiny");
    tiny_own_key(g, "context_length", TINY_U32, s->context_length);
    tiny_own_key(g, "embedding_length", TINY_U32, s->width);
    tiny_own_key(g, "block_count", TINY_U32, s->n_layers);
    tiny_own_key(g, "feed_forward_length", TINY_U32, s->n_ff);
    tiny_own_key(g, "attention.head_count", TINY_U32, s->n_heads);
    tiny_recurrent_keys(g);
    if (!tiny_is(s->architecture, "granitehybrid")) tiny_own_key(g, "attention.head_count_kv", TINY_U32, s->n_kv_heads);
    tiny_own_key(g, "attention.key_length", TINY_U32, s->head_dim);
    tiny_own_key(g, "attention.value_length", TINY_U32, s->head_dim);
    tiny_own_key(g, "attention.layer_norm_rms_epsilon", TINY_F32, 9.999999747378752e-06);
    if (s->no_vocab) {
        tiny_own_key(g, "vocab_size", TINY_U32, 128);
        tiny_key(g, "tokenizer.ggml.model", TINY_STRING, 0, "no_vocab");
    } else {
        tiny_vocabulary(g);
    }
    tiny_set_key(g);
}

static inline void tiny_tensors(tiny_gguf *g) {
    const tiny_gguf_spec *s = &g->spec;
    uint32_t n_vocab = s->no_vocab ? 128 : TINY_VOCAB;
    tiny_tensor(g, "token_embd.weight", n_vocab, s->width, -0.35, 0.35);
    tiny_tensor(g, "output_norm.weight", 0, s->width, 0.5, 1.5);
    if (!s->tied) tiny_tensor(g, "output.weight", n_vocab, s->width, -0.35, 0.35);
    if (s->rope_freqs) tiny_tensor(g, "rope_freqs.weight", 0, s->head_dim / 2, 1, 8);
    for (uint32_t layer = 0; layer < s->n_layers; layer++) tiny_layer(g, layer);
    if (s->extra_tensor) tiny_tensor(g, s->extra_tensor, 0, 32, 0, 1);
}

static inline int32_t tiny_gguf_read(void *user, uint64_t offset, void *dst, size_t size) {
    const tiny_gguf *g = user;
    if (offset > g->size || size > g->size - offset) return -1;
    memcpy(dst, g->data + offset, size);
    return 0;
}

static inline void tiny_gguf_build(tiny_gguf *g, const tiny_gguf_spec *spec) {
    tiny_bytes file = {0};
    memset(g, 0, sizeof *g);
    g->spec = *spec;
    tiny_defaults(&g->spec);
    tiny_keys(g);
    tiny_tensors(g);
    tiny_put(&file, "GGUF", 4);
    tiny_put_u32(&file, 3);
    tiny_put_u64(&file, g->n_tensors);
    tiny_put_u64(&file, g->n_keys);
    tiny_put(&file, g->keys.data, g->keys.size);
    tiny_put(&file, g->infos.data, g->infos.size);
    tiny_pad(&file, 32);
    tiny_put(&file, g->tensors.data, g->tensors.size);
    free(g->keys.data);
    free(g->infos.data);
    free(g->tensors.data);
    g->data = file.data;
    g->size = file.size;
}

static inline void tiny_gguf_free(tiny_gguf *g) {
    free(g->data);
    memset(g, 0, sizeof *g);
}

/* Options that load the file from memory; g must stay where it is until loading ends. */
static inline void tiny_gguf_model_options(tiny_gguf *g, llmcall_model_options *options) {
    memset(&g->reader, 0, sizeof g->reader);
    g->reader.struct_size = sizeof g->reader;
    g->reader.user = g;
    g->reader.size = g->size;
    g->reader.read = tiny_gguf_read;
    memset(options, 0, sizeof *options);
    options->struct_size = sizeof *options;
    options->readers = &g->reader;
    options->n_readers = 1;
}

#endif
