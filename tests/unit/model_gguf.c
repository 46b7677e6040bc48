/* The GGUF reader: what well-formed files give, and that no bytes, however made, get past it. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <time.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failing_alloc.h"
#include "gguf_bytes.h"
#include "core/alloc.h"
#include "core/thread.h"
#include "model/gguf.h"

/* An allocator that knows how many bytes are out, and so holds the library to the sizes that it tells. */
typedef struct counting_alloc {
    uint64_t now, peak;
} counting_alloc;

/* Nanoseconds that this process computed: what else the machine does is not the loader's fault. */
static int64_t cpu_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void *counting_allocate(void *user, void *old, size_t old_size, size_t new_size) {
    counting_alloc *c = user;
    c->now += new_size - old_size;
    if (c->now > c->peak) c->peak = c->now;
    if (new_size) return realloc(old, new_size);
    free(old);
    return NULL;
}

static llmc_env counting_env(counting_alloc *c) {
    llmc_env env;
    llmc_env_init(&env, NULL);
    *c = (counting_alloc){0};
    env.allocate = counting_allocate;
    env.allocate_user = c;
    return env;
}

static llmcall_status open_readers(const llmc_env *env, llmcall_reader *readers, size_t n, llmc_gguf **gguf,
                                   llmcall_error *error) {
    LLMCALL_INIT(llmcall_model_options, options);
    options.readers = readers;
    options.n_readers = n;
    return llmc_gguf_open(env, &options, gguf, error);
}

static llmcall_status open_bytes(const llmc_env *env, gguf_bytes *bytes, llmc_gguf **gguf, llmcall_error *error) {
    llmcall_reader reader = gguf_bytes_reader(bytes);
    return open_readers(env, &reader, 1, gguf, error);
}

static llmcall_status open_path(const llmc_env *env, const char *path, llmc_gguf **gguf, llmcall_error *error) {
    LLMCALL_INIT(llmcall_model_options, options);
    options.path = path;
    return llmc_gguf_open(env, &options, gguf, error);
}

/* ---- Well-formed ---- */

static void check_values(llmc_gguf *g) {
    LLMCALL_INIT(llmcall_error, error);
    uint32_t u = 99;
    int32_t i = 99;
    float f = 99;
    int b = 99, found = 99;
    const char *text = NULL;
    size_t size = 0;
    assert_int_equal(llmc_gguf_get_u32(g, "n", &u, &found, &error), LLMCALL_OK);
    assert_true(u == 7 && found == 1);
    assert_int_equal(llmc_gguf_get_u32(g, "none", &u, &found, &error), LLMCALL_OK);
    assert_true(u == 7 && found == 0);
    assert_int_equal(llmc_gguf_get_i32(g, "minus", &i, NULL, &error), LLMCALL_OK);
    assert_int_equal(i, -3);
    assert_int_equal(llmc_gguf_get_f32(g, "wide", &f, NULL, &error), LLMCALL_OK);
    assert_true(f == 0.5f);
    assert_int_equal(llmc_gguf_get_f32(g, "minus", &f, NULL, &error), LLMCALL_OK);
    assert_true(f == -3.0f);
    assert_int_equal(llmc_gguf_get_bool(g, "yes", &b, NULL, &error), LLMCALL_OK);
    assert_int_equal(b, 1);
    assert_int_equal(llmc_gguf_get_string(g, "general.architecture", &text, &size, NULL, &error), LLMCALL_OK);
    assert_true(size == 5 && memcmp(text, "llama", 5) == 0);
    assert_int_equal(llmc_gguf_get_u32(g, "minus", &u, NULL, &error), LLMCALL_E_FORMAT);
    assert_string_equal(error.param, "minus");
    assert_non_null(strstr(error.message, "i32 -3"));
    assert_int_equal(llmc_gguf_get_u32(g, "words", &u, NULL, &error), LLMCALL_E_FORMAT);
    assert_int_equal(llmc_gguf_get_bool(g, "n", &b, NULL, &error), LLMCALL_E_FORMAT);
    assert_int_equal(llmc_gguf_get_string(g, "n", &text, &size, NULL, &error), LLMCALL_E_FORMAT);
}

static void check_arrays(llmc_gguf *g) {
    LLMCALL_INIT(llmcall_error, error);
    static const char *const words[] = {"a", "", "\xe2\x96\x81the"};
    llmc_gguf_array array;
    int found;
    assert_int_equal(llmc_gguf_get_array(g, "words", &array, &found, &error), LLMCALL_OK);
    assert_true(found && array.count == 3 && array.element_type == LLMC_GGUF_STRING);
    const char *text;
    size_t size;
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(llmc_gguf_array_string(&array, i, &text, &size, &error), LLMCALL_OK);
        assert_int_equal(size, strlen(words[i]));
        assert_memory_equal(text, words[i], size);
    }
    assert_int_equal(llmc_gguf_array_string(&array, 3, &text, &size, &error), LLMCALL_E_FORMAT);
    uint32_t u;
    assert_int_equal(llmc_gguf_array_u32(&array, 0, &u, &error), LLMCALL_E_FORMAT);
    int32_t i;
    float f;
    assert_int_equal(llmc_gguf_get_array(g, "types", &array, NULL, &error), LLMCALL_OK);
    assert_int_equal(llmc_gguf_array_i32(&array, 1, &i, &error), LLMCALL_OK);
    assert_int_equal(i, -1);
    assert_int_equal(llmc_gguf_array_u32(&array, 1, &u, &error), LLMCALL_E_FORMAT);
    assert_int_equal(llmc_gguf_array_string(&array, 0, &text, &size, &error), LLMCALL_E_FORMAT);
    assert_int_equal(llmc_gguf_get_array(g, "scores", &array, NULL, &error), LLMCALL_OK);
    assert_int_equal(llmc_gguf_array_f32(&array, 0, &f, &error), LLMCALL_OK);
    assert_true(f == -0.25f);
    assert_int_equal(llmc_gguf_get_array(g, "n", &array, NULL, &error), LLMCALL_E_FORMAT);
}

static void check_tensors(llmc_gguf *g) {
    LLMCALL_INIT(llmcall_error, error);
    assert_int_equal(llmc_gguf_n_tensors(g), 3);
    assert_int_equal(llmc_gguf_data_bytes(g), 32 + 18 + 68);
    assert_null(llmc_gguf_tensor_at(g, 3));
    assert_null(llmc_gguf_find_tensor(g, "middle"));
    const llmc_gguf_tensor *last = llmc_gguf_find_tensor(g, "last");
    assert_non_null(last);
    assert_ptr_equal(last, llmc_gguf_tensor_at(g, 2));
    assert_true(last->type == 8 && last->n_dims == 2 && last->dims[0] == 32 && last->dims[1] == 2 && last->dims[3] == 1);
    uint8_t bytes[4];
    assert_int_equal(llmc_gguf_read(g, last, 64, bytes, 4, &error), LLMCALL_OK);
    for (int i = 0; i < 4; i++) assert_int_equal(bytes[i], 128 + i);
    assert_int_equal(llmc_gguf_read(g, last, 65, bytes, 4, &error), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmc_gguf_read(g, last, UINT64_MAX, bytes, 1, &error), LLMCALL_E_ARGUMENT);
}

static void reads_a_small_model(void **state) {
    (void)state;
    for (uint32_t version = 2; version <= 3; version++) {
        counting_alloc c;
        llmc_env env = counting_env(&c);
        LLMCALL_INIT(llmcall_error, error);
        gguf_bytes b = {0};
        put_small_model(&b, version);
        llmc_gguf *g;
        assert_int_equal(open_bytes(&env, &b, &g, &error), LLMCALL_OK);
        check_values(g);
        check_arrays(g);
        check_tensors(g);
        llmc_gguf_close(&g);
        assert_null(g);
        llmc_gguf_close(&g);
        assert_int_equal(c.now, 0);
        gguf_bytes_free(&b);
    }
}

static void reads_an_empty_model(void **state) {
    (void)state;
    static const uint32_t types[] = {LLMC_GGUF_STRING, LLMC_GGUF_U64};
    llmc_env env;
    llmc_env_init(&env, NULL);
    for (unsigned n_keys = 0; n_keys <= 2; n_keys++) {
        LLMCALL_INIT(llmcall_error, error);
        gguf_bytes b = {0};
        put_header(&b, 3, 0, n_keys);
        for (unsigned i = 0; i < n_keys; i++) put_array(&b, i ? "more" : "none", types[i], 0);
        llmc_gguf *g;
        assert_int_equal(open_bytes(&env, &b, &g, &error), LLMCALL_OK);
        llmc_gguf_array array = {.count = 9};
        int found;
        assert_int_equal(llmc_gguf_get_array(g, "none", &array, &found, &error), LLMCALL_OK);
        assert_true(n_keys ? found && array.count == 0 : !found && array.count == 9);
        assert_int_equal(llmc_gguf_n_tensors(g), 0);
        assert_null(llmc_gguf_tensor_at(g, 0));
        assert_null(llmc_gguf_find_tensor(g, "x"));
        llmc_gguf_close(&g);
        gguf_bytes_free(&b);
    }
}

/* A header of many pieces, read as far as it goes; the data behind it is left alone. */
static void reads_a_large_header(void **state) {
    (void)state;
    enum { WORDS = 60000, DATA = 8 << 20 };
    counting_alloc c;
    llmc_env env = counting_env(&c);
    LLMCALL_INIT(llmcall_error, error);
    gguf_bytes b = {0};
    put_header(&b, 3, 1, 1);
    put_array(&b, "words", 8, WORDS);
    char word[32];
    for (int i = 0; i < WORDS; i++) snprintf(word, sizeof word, "word number %d", i), put_string(&b, word);
    put_tensor(&b, "data", 0, DATA / 4, 1, 0);
    put_padding(&b, 32);
    size_t header = b.size;
    put(&b, NULL, DATA);
    llmc_gguf *g;
    assert_int_equal(open_bytes(&env, &b, &g, &error), LLMCALL_OK);
    assert_true(b.bytes_read <= 2 * header + 65536);
    assert_true(c.now < header + WORDS * 8 + 65536);
    llmc_gguf_array words;
    assert_int_equal(llmc_gguf_get_array(g, "words", &words, NULL, &error), LLMCALL_OK);
    for (size_t i = 0; i < WORDS; i += 997) {
        const char *text;
        size_t size;
        snprintf(word, sizeof word, "word number %zu", i);
        assert_int_equal(llmc_gguf_array_string(&words, i, &text, &size, &error), LLMCALL_OK);
        assert_true(size == strlen(word) && memcmp(text, word, size) == 0);
    }
    assert_string_equal(llmc_gguf_tensor_at(g, 0)->name, "data");
    llmc_gguf_close(&g);
    assert_int_equal(c.now, 0);
    gguf_bytes_free(&b);
}

/* Names and offsets in no order: found all the same. */
static void finds_tensors_in_any_order(void **state) {
    (void)state;
    enum { N = 1000 };
    llmc_env env;
    llmc_env_init(&env, NULL);
    LLMCALL_INIT(llmcall_error, error);
    gguf_bytes b = {0};
    put_header(&b, 3, N, 0);
    char name[32];
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof name, "blk.%u", i * 7 % N);
        put_tensor(&b, name, 0, 8, 1, i * 389 % N * 32);
    }
    put_padding(&b, 32);
    put(&b, NULL, N * 32);
    llmc_gguf *g;
    assert_int_equal(open_bytes(&env, &b, &g, &error), LLMCALL_OK);
    for (unsigned i = 0; i < N; i++) {
        snprintf(name, sizeof name, "blk.%u", i);
        assert_string_equal(llmc_gguf_find_tensor(g, name)->name, name);
    }
    llmc_gguf_close(&g);
    gguf_bytes_free(&b);
}

/* ---- Hostile: tables of files that must be refused, with the status and a word of the message ---- */

static void expect_refusal(const char *name, gguf_bytes *b, llmcall_status status, const char *word) {
    counting_alloc c;
    llmc_env env = counting_env(&c);
    LLMCALL_INIT(llmcall_error, error);
    llmc_gguf *g;
    int64_t begin = cpu_now();
    llmcall_status got = open_bytes(&env, b, &g, &error);
    int64_t took = cpu_now() - begin;
    if (got != status || !strstr(error.message, word))
        fail_msg("%s: status %d (expected %d), message '%s' (expected '%s')", name, got, status, error.message, word);
    if (took > 100000000) fail_msg("%s: took %lld ns", name, (long long)took);
    if (c.now || c.peak > b->size + (16 << 20))
        fail_msg("%s: %llu bytes left, %llu at most", name, (unsigned long long)c.now, (unsigned long long)c.peak);
    assert_null(g);
    assert_int_equal(error.status, status);
    gguf_bytes_free(b);
}

#define FORMAT      LLMCALL_E_FORMAT
#define UNSUPPORTED LLMCALL_E_UNSUPPORTED
#define TOP         ((uint64_t)1 << 63)

static const struct header_case {
    const char *name, *magic;
    uint32_t version;
    uint64_t n_tensors, n_keys;
    size_t cut; /* the file has this many bytes; 0: whole */
    llmcall_status status;
    const char *word;
} header_cases[] = {
    {"one byte", "GGUF", 3, 0, 0, 1, FORMAT, "not a GGUF file"},
    {"three bytes", "GGUF", 3, 0, 0, 3, FORMAT, "not a GGUF file"},
    {"only magic", "GGUF", 3, 0, 0, 4, FORMAT, "truncated"},
    {"half a version", "GGUF", 3, 0, 0, 6, FORMAT, "truncated"},
    {"no counts", "GGUF", 3, 0, 0, 8, FORMAT, "truncated"},
    {"one count", "GGUF", 3, 0, 0, 16, FORMAT, "truncated"},
    {"half a count", "GGUF", 3, 0, 0, 23, FORMAT, "truncated"},
    {"ggml file", "lmgg", 3, 0, 0, 0, FORMAT, "not a GGUF file"},
    {"turned magic", "FUGG", 3, 0, 0, 0, FORMAT, "not a GGUF file"},
    {"zip file", "PK\3\4", 3, 0, 0, 0, FORMAT, "not a GGUF file"},
    {"version 0", "GGUF", 0, 0, 0, 0, UNSUPPORTED, "version 0"},
    {"version 1", "GGUF", 1, 0, 0, 0, UNSUPPORTED, "version 1"},
    {"version 4", "GGUF", 4, 0, 0, 0, UNSUPPORTED, "version 4"},
    {"version -1", "GGUF", UINT32_MAX, 0, 0, 0, UNSUPPORTED, "version"},
    {"big-endian 3", "GGUF", 3u << 24, 0, 0, 0, UNSUPPORTED, "big-endian"},
    {"big-endian 2", "GGUF", 2u << 24, 0, 0, 0, UNSUPPORTED, "big-endian"},
    {"one tensor missing", "GGUF", 3, 1, 0, 0, FORMAT, "truncated"},
    {"2^32 tensors", "GGUF", 3, (uint64_t)1 << 32, 0, 0, FORMAT, "tensors"},
    {"2^63 tensors", "GGUF", 3, TOP, 0, 0, FORMAT, "tensors"},
    {"-1 tensors", "GGUF", 3, UINT64_MAX, 0, 0, FORMAT, "tensors"},
    {"one key missing", "GGUF", 3, 0, 1, 0, FORMAT, "truncated"},
    {"2^32 keys", "GGUF", 3, 0, (uint64_t)1 << 32, 0, FORMAT, "keys"},
    {"2^63 keys", "GGUF", 3, 0, TOP, 0, FORMAT, "keys"},
    {"-1 keys", "GGUF", 3, 0, UINT64_MAX, 0, FORMAT, "keys"},
    {"counts that wrap together", "GGUF", 3, TOP, TOP, 0, FORMAT, "tensors"},
};

static void refuses_hostile_headers(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof header_cases / sizeof *header_cases; i++) {
        const struct header_case *t = &header_cases[i];
        gguf_bytes b = {0};
        put_header(&b, t->version, t->n_tensors, t->n_keys);
        memcpy(b.data, t->magic, 4);
        if (t->cut) b.size = t->cut;
        expect_refusal(t->name, &b, t->status, t->word);
    }
}

/* Numbers after the key, each of so many bytes; then 64 bytes of zeros. */
static const struct value_case {
    const char *name;
    const char *key;
    uint64_t key_size; /* as claimed; 0: strlen + 0 */
    uint32_t type;
    struct {
        uint64_t value;
        int bytes;
    } numbers[6];
    llmcall_status status;
    const char *word;
} value_cases[] = {
    {"key of 2^63 bytes", "k", TOP, 4, {{0, 4}}, FORMAT, "name of"},
    {"key of -1 bytes", "k", UINT64_MAX, 4, {{0, 4}}, FORMAT, "name of"},
    {"key of 64 KiB", "k", 65536, 4, {{0, 4}}, FORMAT, "name of"},
    {"key longer than the file", "k", 60000, 4, {{0, 4}}, FORMAT, "truncated"},
    {"empty key", "", 0, 4, {{0, 4}}, FORMAT, "name of 0"},
    {"key not UTF-8", "k\xff", 0, 4, {{0, 4}}, FORMAT, "not text"},
    {"key with NUL", "k\0k", 3, 4, {{0, 4}}, FORMAT, "not text"},
    {"value type 13", "k", 0, 13, {{0, 4}}, FORMAT, "value type 13"},
    {"value type -1", "k", 0, UINT32_MAX, {{0, 4}}, FORMAT, "value type"},
    {"value type 2^31", "k", 0, 0x80000000u, {{0, 4}}, FORMAT, "value type"},
    {"string of 2^63 bytes", "k", 0, 8, {{TOP, 8}}, FORMAT, "truncated"},
    {"string of -1 bytes", "k", 0, 8, {{UINT64_MAX, 8}}, FORMAT, "truncated"},
    {"string one byte too long", "k", 0, 8, {{65, 8}}, FORMAT, "truncated"},
    {"string that wraps to the start", "k", 0, 8, {{UINT64_MAX - 44, 8}}, FORMAT, "truncated"},
    {"array of arrays", "k", 0, 9, {{9, 4}, {1, 8}, {4, 4}, {1, 8}}, UNSUPPORTED, "array of arrays"},
    {"array of 2^63 arrays", "k", 0, 9, {{9, 4}, {TOP, 8}}, UNSUPPORTED, "array of arrays"},
    {"array of type 13", "k", 0, 9, {{13, 4}, {1, 8}}, FORMAT, "type 13"},
    {"array of type -1", "k", 0, 9, {{UINT32_MAX, 4}, {1, 8}}, FORMAT, "unknown type"},
    {"2^63 bytes", "k", 0, 9, {{0, 4}, {TOP, 8}}, FORMAT, "elements"},
    {"-1 bytes", "k", 0, 9, {{0, 4}, {UINT64_MAX, 8}}, FORMAT, "elements"},
    {"2^63 bools", "k", 0, 9, {{7, 4}, {TOP, 8}}, FORMAT, "elements"},
    {"u16s that wrap to 0", "k", 0, 9, {{2, 4}, {TOP, 8}}, FORMAT, "elements"},
    {"i32s that wrap to 0", "k", 0, 9, {{5, 4}, {(uint64_t)1 << 62, 8}}, FORMAT, "elements"},
    {"i32s that wrap to 4", "k", 0, 9, {{5, 4}, {((uint64_t)1 << 62) + 1, 8}}, FORMAT, "elements"},
    {"u64s that wrap to 0", "k", 0, 9, {{10, 4}, {(uint64_t)1 << 61, 8}}, FORMAT, "elements"},
    {"f64s that wrap to 8", "k", 0, 9, {{12, 4}, {((uint64_t)1 << 61) + 1, 8}}, FORMAT, "elements"},
    {"one byte too many", "k", 0, 9, {{0, 4}, {65, 8}}, FORMAT, "elements"},
    {"one u64 too many", "k", 0, 9, {{10, 4}, {9, 8}}, FORMAT, "elements"},
    {"strings that wrap to 0", "k", 0, 9, {{8, 4}, {(uint64_t)1 << 61, 8}}, FORMAT, "elements"},
    {"2^63 strings", "k", 0, 9, {{8, 4}, {TOP, 8}}, FORMAT, "elements"},
    {"one string too many", "k", 0, 9, {{8, 4}, {9, 8}}, FORMAT, "elements"},
    {"element of 2^63 bytes", "k", 0, 9, {{8, 4}, {1, 8}, {TOP, 8}}, FORMAT, "truncated"},
    {"element of -1 bytes", "k", 0, 9, {{8, 4}, {2, 8}, {0, 8}, {UINT64_MAX, 8}}, FORMAT, "truncated"},
    {"element one byte too long", "k", 0, 9, {{8, 4}, {1, 8}, {65, 8}}, FORMAT, "truncated"},
    {"alignment 0", "general.alignment", 0, 4, {{0, 4}}, FORMAT, "power of two"},
    {"alignment 3", "general.alignment", 0, 4, {{3, 4}}, FORMAT, "power of two"},
    {"alignment 2^21", "general.alignment", 0, 4, {{1 << 21, 4}}, FORMAT, "power of two"},
    {"alignment 2^31", "general.alignment", 0, 4, {{0x80000000u, 4}}, FORMAT, "power of two"},
    {"alignment 2^40", "general.alignment", 0, 10, {{(uint64_t)1 << 40, 8}}, FORMAT, "general.alignment"},
    {"alignment -32", "general.alignment", 0, 5, {{(uint32_t)-32, 4}}, FORMAT, "i32 -32"},
    {"alignment as f32", "general.alignment", 0, 6, {{0x42000000u, 4}}, FORMAT, "f32 32"},
    {"alignment as string", "general.alignment", 0, 8, {{2, 8}}, FORMAT, "is string"},
    {"split count as string", "split.count", 0, 8, {{0, 8}}, FORMAT, "split.count"},
    {"2^16 parts", "split.count", 0, 4, {{65536, 4}}, UNSUPPORTED, "65536 parts"},
    {"parts not given", "split.count", 0, 2, {{2, 2}}, LLMCALL_E_ARGUMENT, "2 parts"},
    {"not the first part", "split.no", 0, 2, {{1, 2}}, FORMAT, "part 2"},
};

static void refuses_hostile_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof value_cases / sizeof *value_cases; i++) {
        const struct value_case *t = &value_cases[i];
        gguf_bytes b = {0};
        put_header(&b, 3, 0, 1);
        size_t key_size = t->key_size == 3 ? 3 : strlen(t->key);
        put_u64(&b, t->key_size ? t->key_size : key_size);
        put(&b, t->key, key_size);
        put_u32(&b, t->type);
        for (int n = 0; n < 6; n++) put(&b, &t->numbers[n].value, (size_t)t->numbers[n].bytes);
        put(&b, NULL, 64);
        if (t->key_size == 65536) put(&b, NULL, 100000);
        expect_refusal(t->name, &b, t->status, t->word);
    }
}

/* Up to two tensors, then data_bytes of data. */
static const struct tensor_case {
    const char *name;
    size_t data_bytes;
    struct {
        const char *name;
        uint64_t name_size;
        uint32_t n_dims;
        uint64_t dims[5];
        uint32_t type;
        uint64_t offset;
    } tensors[2];
    llmcall_status status;
    const char *word;
} tensor_cases[] = {
    {"empty name", 64, {{"", 0, 1, {4}, 0, 0}}, FORMAT, "name of 0"},
    {"name of 256 bytes", 512, {{"t", 256, 1, {4}, 0, 0}}, FORMAT, "name of 256"},
    {"name of 2^63 bytes", 64, {{"t", TOP, 1, {4}, 0, 0}}, FORMAT, "name of"},
    {"name of -1 bytes", 64, {{"t", UINT64_MAX, 1, {4}, 0, 0}}, FORMAT, "name of"},
    {"name not UTF-8", 64, {{"\xc0\x80", 0, 1, {4}, 0, 0}}, FORMAT, "not text"},
    {"no dimensions", 64, {{"t", 0, 0, {0}, 0, 0}}, FORMAT, "0 dimensions"},
    {"five dimensions", 64, {{"t", 0, 5, {1, 1, 1, 1, 1}, 0, 0}}, FORMAT, "5 dimensions"},
    {"-1 dimensions", 64, {{"t", 0, UINT32_MAX, {1}, 0, 0}}, FORMAT, "dimensions"},
    {"dimension 0", 64, {{"t", 0, 1, {0}, 0, 0}}, FORMAT, "dimension 0 of 0"},
    {"second dimension 0", 64, {{"t", 0, 2, {4, 0}, 0, 0}}, FORMAT, "dimension 1 of 0"},
    {"dimension 2^63", 64, {{"t", 0, 1, {TOP}, 0, 0}}, FORMAT, "impossible"},
    {"dimension -1", 64, {{"t", 0, 1, {UINT64_MAX}, 0, 0}}, FORMAT, "impossible"},
    {"elements wrap to 0", 64, {{"t", 0, 2, {(uint64_t)1 << 32, (uint64_t)1 << 32}, 0, 0}}, FORMAT, "impossible"},
    {"elements wrap to 2^32", 64, {{"t", 0, 2, {(uint64_t)1 << 32, ((uint64_t)1 << 32) + 1}, 0, 0}}, FORMAT, "impossible"},
    {"elements wrap in four steps", 64, {{"t", 0, 4, {65536, 65536, 65536, 65536}, 0, 0}}, FORMAT, "impossible"},
    {"elements reach 2^63", 64, {{"t", 0, 2, {(uint64_t)1 << 32, (uint64_t)1 << 31}, 0, 0}}, FORMAT, "impossible"},
    {"bytes wrap to 0", 64, {{"t", 0, 1, {(uint64_t)1 << 62}, 0, 0}}, FORMAT, "impossible"},
    {"bytes wrap to 4", 64, {{"t", 0, 1, {((uint64_t)1 << 62) + 1}, 0, 0}}, FORMAT, "impossible"},
    {"f64 bytes wrap to 0", 64, {{"t", 0, 2, {(uint64_t)1 << 31, (uint64_t)1 << 30}, 28, 0}}, FORMAT, "impossible"},
    {"2^61 f32", 64, {{"t", 0, 1, {(uint64_t)1 << 61}, 0, 0}}, FORMAT, "truncated"},
    {"Q4_0 row of 31", 64, {{"t", 0, 1, {31}, 2, 0}}, FORMAT, "whole Q4_0 blocks"},
    {"Q4_K row of 32", 512, {{"t", 0, 2, {32, 8}, 12, 0}}, FORMAT, "whole Q4_K blocks"},
    {"removed type 4", 64, {{"t", 0, 1, {32}, 4, 0}}, UNSUPPORTED, "tensor type 4"},
    {"removed type 31", 64, {{"t", 0, 1, {32}, 31, 0}}, UNSUPPORTED, "tensor type 31"},
    {"type 43", 64, {{"t", 0, 1, {32}, 43, 0}}, UNSUPPORTED, "tensor type 43"},
    {"type -1", 64, {{"t", 0, 1, {32}, UINT32_MAX, 0}}, UNSUPPORTED, "tensor type"},
    {"type 2^31", 64, {{"t", 0, 1, {32}, 0x80000000u, 0}}, UNSUPPORTED, "tensor type"},
    {"offset not aligned", 64, {{"t", 0, 1, {4}, 0, 16}}, FORMAT, "alignment"},
    {"offset that wraps", 64, {{"t", 0, 1, {8}, 0, UINT64_MAX - 31}}, FORMAT, "truncated"},
    {"offset that wraps to the header", 64, {{"t", 0, 1, {8}, 0, UINT64_MAX - 63}}, FORMAT, "truncated"},
    {"offset 2^63", 64, {{"t", 0, 1, {8}, 0, TOP}}, FORMAT, "truncated"},
    {"offset at the end", 64, {{"t", 0, 1, {8}, 0, 64}}, FORMAT, "truncated"},
    {"one byte cut", 63, {{"t", 0, 1, {16}, 0, 0}}, FORMAT, "truncated"},
    {"no data", 0, {{"t", 0, 1, {16}, 0, 0}}, FORMAT, "truncated"},
    {"same offset", 64, {{"t", 0, 1, {8}, 0, 0}, {"u", 0, 1, {8}, 0, 0}}, FORMAT, "overlaps"},
    {"overlap by a byte", 128, {{"t", 0, 1, {33}, 24, 0}, {"u", 0, 1, {8}, 0, 32}}, FORMAT, "overlaps"},
    {"overlap, the later first", 128, {{"t", 0, 1, {8}, 0, 32}, {"u", 0, 1, {16}, 0, 0}}, FORMAT, "overlaps"},
    {"one within the other", 128, {{"t", 0, 1, {32}, 0, 0}, {"u", 0, 1, {8}, 0, 64}}, FORMAT, "overlaps"},
    {"same name", 64, {{"t", 0, 1, {8}, 0, 0}, {"t", 0, 1, {8}, 0, 32}}, FORMAT, "twice"},
    {"sizes whose sum wraps",
     64,
     {{"t", 0, 1, {((uint64_t)1 << 62) - 32}, 0, 0}, {"u", 0, 1, {(uint64_t)1 << 61}, 0, 32}},
     FORMAT,
     "impossible"},
};

static void refuses_hostile_tensors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof tensor_cases / sizeof *tensor_cases; i++) {
        const struct tensor_case *t = &tensor_cases[i];
        gguf_bytes b = {0};
        uint64_t n = t->tensors[1].name ? 2 : 1;
        put_header(&b, 3, n, 0);
        for (uint64_t k = 0; k < n; k++) {
            put_u64(&b, t->tensors[k].name_size ? t->tensors[k].name_size : strlen(t->tensors[k].name));
            put(&b, t->tensors[k].name, strlen(t->tensors[k].name));
            put_u32(&b, t->tensors[k].n_dims);
            for (uint32_t d = 0; d < t->tensors[k].n_dims && d < 5; d++) put_u64(&b, t->tensors[k].dims[d]);
            put_u32(&b, t->tensors[k].type);
            put_u64(&b, t->tensors[k].offset);
        }
        put_padding(&b, 32);
        put(&b, NULL, t->data_bytes);
        expect_refusal(t->name, &b, t->status, t->word);
    }
}

static void refuses_more_than_the_limits(void **state) {
    (void)state;
    gguf_bytes b = {0};
    put_header(&b, 3, 0, 65537);
    put(&b, NULL, 65537 * 14);
    expect_refusal("65537 keys", &b, UNSUPPORTED, "65537 keys");
    put_header(&b, 3, 65537, 0);
    put(&b, NULL, 65537 * 33);
    expect_refusal("65537 tensors", &b, UNSUPPORTED, "65537 tensors");
    put_header(&b, 3, 0, 1);
    put_array(&b, "words", 8, (2 << 20) + 1);
    put(&b, NULL, 8 * ((2 << 20) + 1));
    expect_refusal("too many strings", &b, UNSUPPORTED, "strings in arrays");
    put_header(&b, 3, 0, 2);
    for (int i = 0; i < 2; i++) put_key(&b, "same", 4), put_u32(&b, 1);
    expect_refusal("same key", &b, FORMAT, "twice");
}

/* A reader of a vast file of zeros behind a small header costs no more than what the header says. */
static int32_t read_vast(void *user, uint64_t offset, void *dst, size_t size) {
    gguf_bytes *b = user;
    memset(dst, 0, size);
    if (offset < b->size) memcpy(dst, b->data + offset, size < b->size - offset ? size : b->size - offset);
    return 0;
}

static void refuses_a_vast_header(void **state) {
    (void)state;
    static const uint32_t types[] = {0, 8, 12};
    for (int i = 0; i < 3; i++) {
        counting_alloc c;
        llmc_env env = counting_env(&c);
        LLMCALL_INIT(llmcall_error, error);
        gguf_bytes b = {0};
        put_header(&b, 3, 0, 1);
        put_array(&b, "k", types[i], (uint64_t)1 << 40);
        llmcall_reader reader = gguf_bytes_reader(&b);
        reader.size = (uint64_t)1 << 62;
        reader.read = read_vast;
        llmc_gguf *g;
        assert_int_equal(open_readers(&env, &reader, 1, &g, &error), UNSUPPORTED);
        assert_non_null(strstr(error.message, "header is larger"));
        assert_true(c.peak < 1 << 20);
        assert_int_equal(c.now, 0);
        gguf_bytes_free(&b);
    }
}

/* ---- All mutations, all truncations, all failures ---- */

static void touch_everything(llmc_gguf *g) {
    static const char *const keys[] = {"general.architecture", "n", "minus", "eps", "wide", "yes", "words", "types", "scores"};
    uint32_t u;
    int32_t n;
    float f;
    int b;
    const char *text;
    size_t size;
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        llmc_gguf_get_u32(g, keys[k], &u, NULL, NULL);
        llmc_gguf_get_i32(g, keys[k], &n, NULL, NULL);
        llmc_gguf_get_f32(g, keys[k], &f, NULL, NULL);
        llmc_gguf_get_bool(g, keys[k], &b, NULL, NULL);
        llmc_gguf_get_string(g, keys[k], &text, &size, NULL, NULL);
        llmc_gguf_array array = {0};
        llmc_gguf_get_array(g, keys[k], &array, NULL, NULL);
        for (size_t i = 0; i < array.count; i++) {
            volatile char last;
            if (llmc_gguf_array_string(&array, i, &text, &size, NULL) == LLMCALL_OK && size) last = text[size - 1], (void)last;
            llmc_gguf_array_u32(&array, i, &u, NULL);
            llmc_gguf_array_f32(&array, i, &f, NULL);
        }
    }
    uint8_t bytes[256];
    for (size_t i = 0; i < llmc_gguf_n_tensors(g); i++) {
        const llmc_gguf_tensor *t = llmc_gguf_tensor_at(g, i);
        assert_ptr_equal(llmc_gguf_find_tensor(g, t->name), t);
        if (t->n_bytes <= sizeof bytes) assert_int_equal(llmc_gguf_read(g, t, 0, bytes, t->n_bytes, NULL), LLMCALL_OK);
    }
}

static void survives_all_mutations(void **state) {
    (void)state;
    counting_alloc c;
    llmc_env env = counting_env(&c);
    gguf_bytes b = {0};
    put_small_model(&b, 3);
    size_t header = b.size - 64 - 68;
    int64_t slowest = 0;
    for (size_t at = 0; at < header; at++) {
        uint8_t original = b.data[at];
        for (unsigned change = 1; change < 256; change++) {
            b.data[at] = (uint8_t)(original ^ change);
            llmc_gguf *g;
            int64_t begin = cpu_now();
            llmcall_status status = open_bytes(&env, &b, &g, NULL);
            int64_t took = cpu_now() - begin;
            if (took > slowest) slowest = took;
            if (status == LLMCALL_OK) touch_everything(g);
            else assert_null(g);
            llmc_gguf_close(&g);
        }
        b.data[at] = original;
    }
    assert_int_equal(c.now, 0);
    assert_true(c.peak < 16 << 20);
    assert_true(slowest < 100000000);
    gguf_bytes_free(&b);
}

static void refuses_all_truncations(void **state) {
    (void)state;
    gguf_bytes whole = {0};
    put_small_model(&whole, 3);
    for (size_t size = 0; size < whole.size; size++) {
        gguf_bytes b = {0};
        put(&b, whole.data, size);
        expect_refusal("truncation", &b, FORMAT, size < 4 ? "not a GGUF file" : "truncated");
    }
    gguf_bytes_free(&whole);
}

static void survives_failing_allocations(void **state) {
    (void)state;
    gguf_bytes b = {0};
    put_small_model(&b, 3);
    for (int for_ever = 0; for_ever <= 1; for_ever++) {
        llmcall_status status = LLMCALL_E_NO_MEMORY;
        long n;
        for (n = 1; status != LLMCALL_OK; n++) {
            failing_alloc f;
            llmc_env env;
            failing_alloc_init(&f, &env);
            f.fail_at = n;
            f.for_ever = for_ever;
            LLMCALL_INIT(llmcall_error, error);
            llmc_gguf *g;
            status = open_bytes(&env, &b, &g, &error);
            if (status != LLMCALL_OK) assert_int_equal(status, LLMCALL_E_NO_MEMORY);
            assert_int_equal(error.status, status);
            llmc_gguf_close(&g);
            assert_int_equal(f.live, 0);
            assert_true(n < 100);
        }
        assert_true(n > 6);
    }
    gguf_bytes_free(&b);
}

static void passes_on_a_failing_reader(void **state) {
    (void)state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    gguf_bytes b = {0};
    put_small_model(&b, 3);
    LLMCALL_INIT(llmcall_error, error);
    llmc_gguf *g;
    b.fail_read = 1;
    assert_int_equal(open_bytes(&env, &b, &g, &error), LLMCALL_E_IO);
    b.fail_read = 0;
    assert_int_equal(open_bytes(&env, &b, &g, &error), LLMCALL_OK);
    b.fail_read = b.reads + 1;
    uint8_t bytes[8];
    assert_int_equal(llmc_gguf_read(g, llmc_gguf_tensor_at(g, 0), 0, bytes, 8, &error), LLMCALL_E_IO);
    assert_string_equal(error.param, "first");
    llmc_gguf_close(&g);
    gguf_bytes_free(&b);
}

static void checks_its_options(void **state) {
    (void)state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    LLMCALL_INIT(llmcall_error, error);
    LLMCALL_INIT(llmcall_model_options, options);
    LLMCALL_INIT(llmcall_reader, reader);
    llmc_gguf *g;
    assert_int_equal(llmc_gguf_open(&env, &options, &g, &error), LLMCALL_E_ARGUMENT);
    options.readers = &reader;
    assert_int_equal(llmc_gguf_open(&env, &options, &g, &error), LLMCALL_E_ARGUMENT);
    assert_string_equal(error.param, "n_readers");
    options.n_readers = 1;
    assert_int_equal(llmc_gguf_open(&env, &options, &g, &error), LLMCALL_E_ARGUMENT);
    assert_string_equal(error.param, "readers.read");
    reader.struct_size = 8;
    assert_int_equal(llmc_gguf_open(&env, &options, &g, &error), LLMCALL_E_ARGUMENT);
    options.path = "x";
    assert_int_equal(llmc_gguf_open(&env, &options, &g, &error), LLMCALL_E_ARGUMENT);
    assert_null(g);
}

/* ---- Split models ---- */

static void put_part(gguf_bytes *b, uint16_t number, uint16_t count, uint32_t n_tensors, const char *tensor) {
    put_header(b, 3, 1, 3);
    put_key(b, "split.no", 2), put_u16(b, number);
    put_key(b, "split.count", 2), put_u16(b, count);
    put_key(b, "split.tensors.count", 5), put_u32(b, n_tensors);
    put_tensor(b, tensor, 0, 8, 1, 0);
    put_padding(b, 32);
    for (int i = 0; i < 32; i++) put_u8(b, (uint8_t)(number * 32 + i));
}

static const struct split_case {
    const char *name;
    struct {
        uint16_t number, count;
        uint32_t n_tensors;
        const char *tensor;
    } parts[2];
    size_t n_readers;
    llmcall_status status;
    const char *word;
} split_cases[] = {
    {"good", {{0, 2, 2, "a"}, {1, 2, 2, "b"}}, 2, LLMCALL_OK, ""},
    {"one reader", {{0, 2, 2, "a"}, {1, 2, 2, "b"}}, 1, LLMCALL_E_ARGUMENT, "2 parts"},
    {"two readers for one part", {{0, 1, 1, "a"}, {1, 2, 2, "b"}}, 2, LLMCALL_E_ARGUMENT, "1 parts"},
    {"wrong order", {{1, 2, 2, "a"}, {0, 2, 2, "b"}}, 2, FORMAT, "part 1 says that it is part 2"},
    {"first twice", {{0, 2, 2, "a"}, {0, 2, 2, "b"}}, 2, FORMAT, "part 2 says that it is part 1"},
    {"other count", {{0, 2, 2, "a"}, {1, 3, 2, "b"}}, 2, FORMAT, "3 parts, not 2"},
    {"tensor missing", {{0, 2, 3, "a"}, {1, 2, 3, "b"}}, 2, FORMAT, "2 tensors, but should have 3"},
    {"same name in both", {{0, 2, 2, "a"}, {1, 2, 2, "a"}}, 2, FORMAT, "twice"},
};

static void reads_split_models(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof split_cases / sizeof *split_cases; i++) {
        const struct split_case *t = &split_cases[i];
        counting_alloc c;
        llmc_env env = counting_env(&c);
        LLMCALL_INIT(llmcall_error, error);
        gguf_bytes parts[2] = {{0}, {0}};
        llmcall_reader readers[2];
        for (int k = 0; k < 2; k++) {
            put_part(&parts[k], t->parts[k].number, t->parts[k].count, t->parts[k].n_tensors, t->parts[k].tensor);
            readers[k] = gguf_bytes_reader(&parts[k]);
        }
        llmc_gguf *g;
        llmcall_status status = open_readers(&env, readers, t->n_readers, &g, &error);
        if (status != t->status || !strstr(error.message, t->word)) fail_msg("%s: %d '%s'", t->name, status, error.message);
        uint8_t byte = 0;
        if (g) assert_int_equal(llmc_gguf_read(g, llmc_gguf_find_tensor(g, "b"), 1, &byte, 1, &error), LLMCALL_OK);
        if (g) assert_int_equal(byte, 33);
        llmc_gguf_close(&g);
        assert_int_equal(c.now, 0);
        for (int k = 0; k < 2; k++) gguf_bytes_free(&parts[k]);
    }
}

/* ---- Files ---- */

typedef struct folder {
    char path[64];
} folder;

static int make_folder(void **state) {
    static folder f;
    strcpy(f.path, "/tmp/llmcall-gguf-XXXXXX");
    *state = &f;
    return mkdtemp(f.path) ? 0 : -1;
}

static int remove_folder(void **state) {
    folder *f = *state;
    return rmdir(f->path);
}

static void path_in(char *path, size_t size, const folder *f, const char *name) {
    snprintf(path, size, "%s/%s", f->path, name);
}

static void write_file(const char *path, const gguf_bytes *b) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(b->data, 1, b->size, file), b->size);
    fclose(file);
}

static void reads_files(void **state) {
    folder *f = *state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    LLMCALL_INIT(llmcall_error, error);
    char path[128];
    path_in(path, sizeof path, f, "small.gguf");
    llmc_gguf *g;
    assert_int_equal(open_path(&env, path, &g, &error), LLMCALL_E_NOT_FOUND);
    assert_int_equal(open_path(&env, f->path, &g, &error), LLMCALL_E_IO);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(open_path(&env, path, &g, &error), LLMCALL_E_IO);
    unlink(path);
    gguf_bytes b = {0};
    put_small_model(&b, 3);
    write_file(path, &b);
    assert_int_equal(open_path(&env, path, &g, &error), LLMCALL_OK);
    check_values(g);
    check_tensors(g);
    assert_int_equal(truncate(path, (off_t)b.size - 4), 0);
    uint8_t bytes[68];
    assert_int_equal(llmc_gguf_read(g, llmc_gguf_find_tensor(g, "last"), 0, bytes, 68, &error), LLMCALL_E_IO);
    assert_non_null(strstr(error.message, "shorter"));
    llmc_gguf_close(&g);
    unlink(path);
    gguf_bytes_free(&b);
}

static void reads_split_files(void **state) {
    folder *f = *state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    LLMCALL_INIT(llmcall_error, error);
    gguf_bytes parts[2] = {{0}, {0}};
    char paths[2][128], other[128];
    path_in(paths[0], sizeof paths[0], f, "m-00001-of-00002.gguf");
    path_in(paths[1], sizeof paths[1], f, "m-00002-of-00002.gguf");
    path_in(other, sizeof other, f, "m.gguf");
    put_part(&parts[0], 0, 2, 2, "a");
    put_part(&parts[1], 1, 2, 2, "b");
    write_file(paths[0], &parts[0]);
    llmc_gguf *g;
    assert_int_equal(open_path(&env, paths[0], &g, &error), LLMCALL_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "00002-of-00002"));
    write_file(paths[1], &parts[1]);
    assert_int_equal(open_path(&env, paths[0], &g, &error), LLMCALL_OK);
    uint8_t byte;
    assert_int_equal(llmc_gguf_read(g, llmc_gguf_find_tensor(g, "b"), 31, &byte, 1, &error), LLMCALL_OK);
    assert_int_equal(byte, 63);
    llmc_gguf_close(&g);
    assert_int_equal(open_path(&env, paths[1], &g, &error), LLMCALL_E_FORMAT);
    rename(paths[0], other);
    assert_int_equal(open_path(&env, other, &g, &error), LLMCALL_E_FORMAT);
    assert_string_equal(error.param, "split.count");
    unlink(other);
    unlink(paths[1]);
    for (int k = 0; k < 2; k++) gguf_bytes_free(&parts[k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_small_model),
        cmocka_unit_test(reads_an_empty_model),
        cmocka_unit_test(reads_a_large_header),
        cmocka_unit_test(finds_tensors_in_any_order),
        cmocka_unit_test(refuses_hostile_headers),
        cmocka_unit_test(refuses_hostile_values),
        cmocka_unit_test(refuses_hostile_tensors),
        cmocka_unit_test(refuses_more_than_the_limits),
        cmocka_unit_test(refuses_a_vast_header),
        cmocka_unit_test(survives_all_mutations),
        cmocka_unit_test(refuses_all_truncations),
        cmocka_unit_test(survives_failing_allocations),
        cmocka_unit_test(passes_on_a_failing_reader),
        cmocka_unit_test(checks_its_options),
        cmocka_unit_test(reads_split_models),
        cmocka_unit_test_setup_teardown(reads_files, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(reads_split_files, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
