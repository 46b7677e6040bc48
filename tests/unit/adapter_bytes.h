/* Adapters for the tiny model, in memory. */
#ifndef ADAPTER_BYTES_H
#define ADAPTER_BYTES_H

#include "tests/unit/gguf_bytes.h"

typedef struct adapter_matrix {
    const char *name;
    uint32_t rows, cols;
    uint32_t type; /* F32 0, F16 1 */
} adapter_matrix;

/* With tensors of numbers that follow from the seed, some hundredths each. */
static inline void put_adapter(gguf_bytes *b, const adapter_matrix *matrices, uint32_t n, uint32_t seed) {
    static const char *const texts[][2] = {
        {"general.architecture", "llama"}, {"general.type", "adapter"}, {"adapter.type", "lora"}};
    uint64_t offset = 0;
    put_header(b, 3, n, 4);
    for (int i = 0; i < 3; i++) put_key(b, texts[i][0], 8), put_string(b, texts[i][1]);
    put_key(b, "adapter.lora.alpha", 6), put_f32(b, 4);
    for (uint32_t i = 0; i < n; i++) {
        put_tensor(b, matrices[i].name, matrices[i].type, matrices[i].cols, matrices[i].rows, offset);
        offset += (uint64_t)matrices[i].rows * matrices[i].cols * (matrices[i].type ? 2 : 4);
        offset = (offset + 31) / 32 * 32;
    }
    for (uint32_t i = 0; i < n; i++) {
        put_padding(b, 32);
        for (uint32_t e = 0; e < matrices[i].rows * matrices[i].cols; e++) {
            seed = seed * 1664525u + 1013904223u;
            if (matrices[i].type) put_u16(b, (uint16_t)(0x2000 | (seed >> 22) | (seed >> 16 & 0x8000)));
            else put_f32(b, (float)(int32_t)seed / 2147483648.0f * 0.2f);
        }
    }
    put_padding(b, 32);
}

/* For a tiny model of width 64: a rank of its own for each of three matrices and for the embeddings, one of them in F16. */
static const adapter_matrix tiny_adapter[] = {
    {"blk.0.attn_q.weight.lora_a", 8, 64, 0},   {"blk.0.attn_q.weight.lora_b", 64, 8, 0},
    {"blk.1.ffn_down.weight.lora_b", 64, 3, 0}, {"blk.1.ffn_down.weight.lora_a", 3, 96, 0},
    {"output.weight.lora_a", 20, 64, 1},        {"output.weight.lora_b", 272, 20, 1},
    {"token_embd.weight.lora_a", 272, 5, 0},    {"token_embd.weight.lora_b", 64, 5, 0}};
enum { TINY_ADAPTER_MATRICES = sizeof tiny_adapter / sizeof tiny_adapter[0] };

static inline llmcall_adapter_options adapter_options(const llmcall_reader *reader, const char *name) {
    llmcall_adapter_options options;
    llmcall_adapter_options_defaults(&options);
    options.readers = reader;
    options.n_readers = 1;
    options.name = name;
    return options;
}

#endif
