/* Stop strings and broken UTF-8: whatever the stream and the stop strings, any cut of the stream gives the same whole
 * characters, and they end where a plain search says. Input: a byte of how the stream is cut, then up to four stop strings and
 * the stream, separated by the byte 0x01. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/utf8.h"
#include "output/output.h"

typedef struct text {
    char *bytes;
    size_t size;
    int stopped;
} text;

static void require(int condition) {
    if (!condition) __builtin_trap();
}

static void collect(llmc_output *output, text *to) {
    size_t size;
    const char *ready = llmc_output_ready(output, &size);
    require(llmc_utf8_valid_prefix(ready, size) == size);
    memcpy(to->bytes + to->size, ready, size);
    to->size += size;
    llmc_output_take(output);
}

static int run(const char *const *stops, const size_t *sizes, size_t n, const char *stream, size_t size, size_t piece,
               text *to) {
    llmc_env env;
    llmc_output *output;
    llmc_env_init(&env, NULL);
    llmcall_status status = llmc_output_create(&env, stops, sizes, n, &output, NULL);
    if (status != LLMCALL_OK) return 0;
    to->bytes = malloc(3 * size + 1);
    to->size = 0;
    for (size_t at = 0; to->bytes && at < size; at += piece) {
        size_t step = piece < size - at ? piece : size - at;
        require(llmc_output_push(output, stream + at, step, NULL) == LLMCALL_OK);
        collect(output, to);
        if (piece >= size) break;
    }
    require(llmc_output_finish(output) == LLMCALL_OK);
    if (to->bytes) collect(output, to);
    to->stopped = llmc_output_stopped(output);
    llmc_output_destroy(&output);
    return to->bytes != NULL;
}

static size_t first_stop(const text *plain, const char *const *stops, const size_t *sizes, size_t n) {
    for (size_t at = 0; at < plain->size; at++) {
        for (size_t i = 0; i < n; i++) {
            if (sizes[i] <= plain->size - at && memcmp(plain->bytes + at, stops[i], sizes[i]) == 0) return at;
        }
    }
    return plain->size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *stops[4];
    size_t sizes[4];
    size_t n = 0;
    if (size < 1 || size > 4096) return 0;
    const char *rest = (const char *)data + 1;
    size_t left = size - 1;
    for (const char *end; n < 4 && (end = memchr(rest, 1, left)); n++) {
        stops[n] = rest;
        sizes[n] = (size_t)(end - rest);
        left -= sizes[n] + 1;
        rest = end + 1;
    }
    text plain = {0}, whole = {0}, cut = {0};
    if (run(NULL, NULL, 0, rest, left, 1, &plain) && run(stops, sizes, n, rest, left, left ? left : 1, &whole)) {
        require(run(stops, sizes, n, rest, left, 1 + data[0] % 7u, &cut));
        require(whole.size == first_stop(&plain, stops, sizes, n) && memcmp(whole.bytes, plain.bytes, whole.size) == 0);
        require(cut.size == whole.size && memcmp(cut.bytes, whole.bytes, cut.size) == 0);
        require(whole.stopped == (whole.size < plain.size) && cut.stopped == whole.stopped);
    }
    free(plain.bytes);
    free(whole.bytes);
    free(cut.bytes);
    return 0;
}
