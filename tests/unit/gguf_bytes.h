/* Builds GGUF files in memory, well-formed or not, and serves them through a reader. */
#ifndef GGUF_BYTES_H
#define GGUF_BYTES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "llmcall.h"

typedef struct gguf_bytes {
    uint8_t *data;
    size_t size, capacity;
    uint64_t bytes_read; /* by the reader */
    long fail_read;      /* the number of the read that fails, from 1; 0: none */
    long reads;
} gguf_bytes;

static inline void put(gguf_bytes *b, const void *data, size_t size) {
    if (b->size + size > b->capacity) {
        b->capacity = 2 * (b->size + size) + 256;
        b->data = realloc(b->data, b->capacity);
        if (!b->data) exit(1);
    }
    if (size && data) memcpy(b->data + b->size, data, size);
    else if (size) memset(b->data + b->size, 0, size);
    b->size += size;
}

static inline void put_u8(gguf_bytes *b, uint8_t value) {
    put(b, &value, 1);
}
static inline void put_u16(gguf_bytes *b, uint16_t value) {
    put(b, &value, 2);
}
static inline void put_u32(gguf_bytes *b, uint32_t value) {
    put(b, &value, 4);
}
static inline void put_u64(gguf_bytes *b, uint64_t value) {
    put(b, &value, 8);
}
static inline void put_f32(gguf_bytes *b, float value) {
    put(b, &value, 4);
}
static inline void put_f64(gguf_bytes *b, double value) {
    put(b, &value, 8);
}

static inline void put_string(gguf_bytes *b, const char *text) {
    put_u64(b, strlen(text));
    put(b, text, strlen(text));
}

static inline void put_header(gguf_bytes *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys) {
    put(b, "GGUF", 4);
    put_u32(b, version);
    put_u64(b, n_tensors);
    put_u64(b, n_keys);
}

static inline void put_key(gguf_bytes *b, const char *key, uint32_t type) {
    put_string(b, key);
    put_u32(b, type);
}

static inline void put_array(gguf_bytes *b, const char *key, uint32_t type, uint64_t count) {
    put_key(b, key, 9);
    put_u32(b, type);
    put_u64(b, count);
}

static inline void put_tensor(gguf_bytes *b, const char *name, uint32_t type, uint64_t cols, uint64_t rows, uint64_t offset) {
    put_string(b, name);
    put_u32(b, 2);
    put_u64(b, cols);
    put_u64(b, rows);
    put_u32(b, type);
    put_u64(b, offset);
}

static inline void put_padding(gguf_bytes *b, size_t alignment) {
    while (b->size % alignment) put_u8(b, 0);
}

static inline int32_t gguf_bytes_read(void *user, uint64_t offset, void *dst, size_t size) {
    gguf_bytes *b = user;
    if (++b->reads == b->fail_read || offset > b->size || size > b->size - offset) return -1;
    memcpy(dst, b->data + offset, size);
    b->bytes_read += size;
    return 0;
}

static inline llmcall_reader gguf_bytes_reader(gguf_bytes *b) {
    return (llmcall_reader){.struct_size = sizeof(llmcall_reader), .user = b, .size = b->size, .read = gguf_bytes_read};
}

static inline void gguf_bytes_free(gguf_bytes *b) {
    free(b->data);
    *b = (gguf_bytes){0};
}

/* A small well-formed file: every kind of value, and three tensors of 32, 18 and 68 bytes. */
static inline void put_small_model(gguf_bytes *b, uint32_t version) {
    put_header(b, version, 3, 9);
    put_key(b, "general.architecture", 8), put_string(b, "llama");
    put_key(b, "n", 4), put_u32(b, 7);
    put_key(b, "minus", 5), put_u32(b, (uint32_t)-3);
    put_key(b, "eps", 6), put_f32(b, 1e-5f);
    put_key(b, "wide", 12), put_f64(b, 0.5);
    put_key(b, "yes", 7), put_u8(b, 1);
    put_array(b, "words", 8, 3), put_string(b, "a"), put_string(b, ""), put_string(b, "\xe2\x96\x81the");
    put_array(b, "types", 5, 2), put_u32(b, 1), put_u32(b, (uint32_t)-1);
    put_array(b, "scores", 6, 2), put_f32(b, -0.25f), put_f32(b, 2.0f);
    put_tensor(b, "first", 0, 4, 2, 0);
    put_tensor(b, "blocks", 2, 32, 1, 32);
    put_tensor(b, "last", 8, 32, 2, 64);
    put_padding(b, 32);
    for (int i = 0; i < 64 + 68; i++) put_u8(b, (uint8_t)i);
}

#endif
