/* Any bytes as a model file: opened, every value and tensor looked at, closed. A first byte of 1 splits them into two parts. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "core/env.h"
#include "model/gguf.h"

typedef struct bytes {
    const uint8_t *data;
    size_t size;
} bytes;

static int32_t read_bytes(void *user, uint64_t offset, void *dst, size_t size) {
    const bytes *b = user;
    if (offset > b->size || size > b->size - offset) return -1;
    memcpy(dst, b->data + offset, size);
    return 0;
}

static void read_values(const llmc_gguf *gguf) {
    static const char *const keys[] = {"general.architecture", "words", "types", "scores", "n", "eps", "yes"};
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        float number;
        int truth;
        const char *text;
        size_t size;
        llmc_gguf_array array = {0};
        llmc_gguf_get_f32(gguf, keys[k], &number, NULL, NULL);
        llmc_gguf_get_bool(gguf, keys[k], &truth, NULL, NULL);
        llmc_gguf_get_string(gguf, keys[k], &text, &size, NULL, NULL);
        llmc_gguf_get_array(gguf, keys[k], &array, NULL, NULL);
        for (size_t i = 0; i < array.count; i++) {
            volatile char last = 0;
            llmc_gguf_array_f32(&array, i, &number, NULL);
            if (llmc_gguf_array_string(&array, i, &text, &size, NULL) == LLMCALL_OK && size) last = text[size - 1];
            (void)last;
        }
    }
}

static void read_tensors(llmc_gguf *gguf) {
    uint8_t buffer[4096];
    for (size_t i = 0; i < llmc_gguf_n_tensors(gguf); i++) {
        const llmc_gguf_tensor *tensor = llmc_gguf_tensor_at(gguf, i);
        size_t size = tensor->n_bytes < sizeof buffer ? (size_t)tensor->n_bytes : sizeof buffer;
        if (llmc_gguf_find_tensor(gguf, tensor->name) != tensor) __builtin_trap();
        if (llmc_gguf_read(gguf, tensor, tensor->n_bytes - size, buffer, size, NULL) != LLMCALL_OK) __builtin_trap();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int split = size > 3 && data[0] == 1;
    size_t first = split ? ((size_t)data[1] | (size_t)data[2] << 8) : size;
    if (split) data += 3, size -= 3;
    if (first > size) first = size;
    bytes parts[2] = {{data, first}, {data + first, size - first}};
    llmcall_reader readers[2];
    for (int i = 0; i < 2; i++)
        readers[i] =
            (llmcall_reader){.struct_size = sizeof *readers, .user = &parts[i], .size = parts[i].size, .read = read_bytes};
    LLMCALL_INIT(llmcall_model_options, options);
    options.readers = readers;
    options.n_readers = split ? 2 : 1;
    LLMCALL_INIT(llmcall_error, error);
    llmc_env env;
    llmc_env_init(&env, NULL);
    llmc_gguf *gguf;
    if (llmc_gguf_open(&env, &options, &gguf, &error) != LLMCALL_OK) return 0;
    read_values(gguf);
    read_tensors(gguf);
    llmc_gguf_close(&gguf);
    return 0;
}
