/* Call ids and trace ids: 128 bits from the system's generator, mixed with the time, so that a generator that was copied with
 * its machine or process does not repeat an id. */
#include <string.h>

#include "core/thread.h"
#include "meter/meter.h"

/* The finaliser of splitmix64 (Steele and others, 2014): a bijection, so mixing by it loses no randomness. */
static uint64_t scramble(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    return x ^ x >> 31;
}

static int random_128(uint64_t words[2]) {
    llmc_env env;
    llmc_env_init(&env, NULL);
    int random = llmc_random_bytes(words, 2 * sizeof *words);
    if (!random) words[0] = words[1] = (uint64_t)(uintptr_t)words;
    words[0] ^= scramble((uint64_t)llmc_now(&env));
    words[1] ^= scramble((uint64_t)llmc_unix_ms() + words[0]);
    return random;
}

static void write_hex(const uint64_t words[2], char *out) {
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 32; i++) out[i] = digits[words[i / 16] >> (60 - 4 * (i % 16)) & 15];
    out[32] = 0;
}

int llmc_meter_call_id(char out[40]) {
    uint64_t words[2] = {0, 0};
    int random = random_128(words);
    memcpy(out, "call_", 5);
    write_hex(words, out + 5);
    return random;
}

int llmc_meter_trace_id(char out[40]) {
    uint64_t words[2] = {0, 0};
    int random = random_128(words);
    if ((words[0] | words[1]) == 0) words[1] = 1; /* all zero means "none" */
    write_hex(words, out);
    return random;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

int llmc_meter_trace_id_parse(const char *text, size_t size, char out[40]) {
    uint64_t words[2] = {0, 0};
    out[0] = 0;
    if (!text || size != 32) return 0;
    for (size_t i = 0; i < 32; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0) return 0;
        words[i / 16] = words[i / 16] << 4 | (uint64_t)digit;
    }
    if ((words[0] | words[1]) == 0) return 0;
    write_hex(words, out);
    return 1;
}
