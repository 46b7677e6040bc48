/* Token bytes to text: broken UTF-8, stop strings, and the property that it does not matter how the stream was cut. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/utf8.h"
#include "failing_alloc.h"
#include "output/output.h"

#define R "\xEF\xBF\xBD" /* U+FFFD */

enum { TEXT_MAX = 4096 };

static llmc_env env;
static failing_alloc allocator;
static uint64_t state;

static uint32_t next_random(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static int setup(void **unused) {
    (void)unused;
    state = 777;
    failing_alloc_init(&allocator, &env);
    return 0;
}

static int teardown(void **unused) {
    (void)unused;
    return allocator.live == 0 ? 0 : -1;
}

static llmc_output *make(const char *const *stops, size_t n) {
    size_t sizes[LLMC_OUTPUT_MAX_STOPS] = {0};
    llmc_output *output;
    for (size_t i = 0; i < n; i++) sizes[i] = strlen(stops[i]);
    assert_int_equal(llmc_output_create(&env, stops, sizes, n, &output, NULL), LLMCALL_OK);
    return output;
}

typedef struct result {
    char text[TEXT_MAX];
    size_t size;
    int stopped;
} result;

static void collect(llmc_output *output, result *r) {
    size_t size;
    const char *text = llmc_output_ready(output, &size);
    assert_true(r->size + size <= TEXT_MAX);
    assert_int_equal(llmc_utf8_valid_prefix(text, size), size);
    memcpy(r->text + r->size, text, size);
    r->size += size;
    llmc_output_take(output);
    llmc_output_ready(output, &size);
    assert_int_equal(size, 0);
}

/* piece 0: random pieces, taken at random; otherwise of that size and always taken. */
static void run(const char *const *stops, size_t n_stops, const char *bytes, size_t size, size_t piece, result *r) {
    llmc_output *output = make(stops, n_stops);
    memset(r, 0, sizeof *r);
    int stopped = 0;
    for (size_t at = 0; at < size;) {
        size_t step = piece ? piece : next_random() % 6;
        if (step > size - at) step = size - at;
        assert_int_equal(llmc_output_push(output, bytes + at, step, &stopped), LLMCALL_OK);
        assert_int_equal(stopped, llmc_output_stopped(output));
        at += step;
        if (piece || next_random() % 3) collect(output, r);
    }
    assert_int_equal(llmc_output_finish(output), LLMCALL_OK);
    collect(output, r);
    assert_int_equal(llmc_output_finish(output), LLMCALL_OK);
    r->stopped = llmc_output_stopped(output);
    llmc_output_destroy(&output);
    assert_null(output);
}

/* What Python's bytes.decode("utf-8", errors="replace") gives. */
static void replaces_like_python(void **unused) {
    (void)unused;
    static const struct {
        const char *bytes, *text;
    } rows[] = {
        {"\x70\x6C\x61\x69\x6E", "\x70\x6C\x61\x69\x6E"},
        {"\xC3\xA9", "\xC3\xA9"},
        {"\xFF", "\xEF\xBF\xBD"},
        {"\xC3", "\xEF\xBF\xBD"},
        {"\xC3\x28", "\xEF\xBF\xBD\x28"},
        {"\xE2\x82", "\xEF\xBF\xBD"},
        {"\xE2\x82\xAC", "\xE2\x82\xAC"},
        {"\xE2\x28\xA1", "\xEF\xBF\xBD\x28\xEF\xBF\xBD"},
        {"\xE2\x82\x28", "\xEF\xBF\xBD\x28"},
        {"\xF0\x9F\x98\x80", "\xF0\x9F\x98\x80"},
        {"\xF0\x9F\x98", "\xEF\xBF\xBD"},
        {"\xF0\x9F\x98\x78", "\xEF\xBF\xBD\x78"},
        {"\xF0\x9F\x78\x98", "\xEF\xBF\xBD\x78\xEF\xBF\xBD"},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE0\x80\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE0\x9F\xBF", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xE0\xA0\x80", "\xE0\xA0\x80"},
        {"\xF0\x80\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF0\x8F\xBF\xBF", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF0\x90\x80\x80", "\xF0\x90\x80\x80"},
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xED\x9F\xBF", "\xED\x9F\xBF"},
        {"\xED\xA0\xBD\xED\xB8\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF4\x8F\xBF\xBF", "\xF4\x8F\xBF\xBF"},
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xF5\x80\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xFE\xFF", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD"},
        {"\xC3\xC3\xA9", "\xEF\xBF\xBD\xC3\xA9"},
        {"\xF0\x9F\xF0\x9F\x98\x80", "\xEF\xBF\xBD\xF0\x9F\x98\x80"},
        {"\xE2\x82\xE2\x82\xAC", "\xEF\xBF\xBD\xE2\x82\xAC"},
        {"\xEF\xBF\xBD", "\xEF\xBF\xBD"},
        {"\xEF\xBF\xBE", "\xEF\xBF\xBE"},
        {"\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64",
         "\x61\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\x62\xEF\xBF\xBD\x63\xEF\xBF\xBD\xEF\xBF\xBD\x64"},
        {"\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\x41"},
        {"\xC1\xBF\xDF\xBF", "\xEF\xBF\xBD\xEF\xBF\xBD\xDF\xBF"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t piece = 0; piece < 4; piece++) {
            result r;
            run(NULL, 0, rows[i].bytes, strlen(rows[i].bytes), piece, &r);
            assert_int_equal(r.size, strlen(rows[i].text));
            assert_memory_equal(r.text, rows[i].text, r.size);
            assert_false(r.stopped);
        }
    }
}

static void nul_is_a_character(void **unused) {
    (void)unused;
    result r;
    run(NULL, 0, "a\0b", 3, 1, &r);
    assert_int_equal(r.size, 3);
    assert_memory_equal(r.text, "a\0b", 3);
}

static void stops(void **unused) {
    (void)unused;
    static const struct {
        const char *stops[4];
        const char *bytes, *text;
        int stopped;
    } rows[] = {
        {{"\n"}, "one\ntwo", "one", 1},
        {{"aab"}, "aaab", "a", 1},
        {{"aaab"}, "aaaaab.", "aa", 1},
        {{"aab", "aaab"}, "xaaab", "x", 1},
        {{"aab", "aaab"}, "xaab", "x", 1},
        {{"abcd", "bc"}, "xabcd", "x", 1},  /* the one that begins first */
        {{"abcd", "bc"}, "xabce", "xa", 1}, /* which did not come */
        {{"abcd", "bc"}, "xabc", "xa", 1},  /* or never will */
        {{"abcde", "bcd", "c"}, "xabcd!", "xa", 1},
        {{"abcde", "bcdx", "c"}, "xabcd!", "xab", 1},
        {{"abcabd"}, "abcabcabd.", "abc", 1},
        {{"END"}, "EN", "EN", 0},
        {{"END"}, "the EEND", "the E", 1},
        {{"a"}, "a", "", 1},
        {{"\xF0\x9F\x98\x80"}, "hi \xF0\x9F\x98\x80 there", "hi ", 1},
        {{"\xF0\x9F\x98\x80"}, "hi \xF0\x9F\x98\x81 there", "hi \xF0\x9F\x98\x81 there", 0},
        {{"\xF0\x9F\x98\x80!"}, "\xF0\x9F\x98\x80\xF0\x9F\x98", "\xF0\x9F\x98\x80" R, 0},
        {{R},
         "ab\xFF"
         "cd",
         "ab",
         1}, /* the text is searched, not the bytes */
        {{R "c"},
         "ab\xE2\x82"
         "cd",
         "ab",
         1},
        {{R}, "ab\xE2\x82", "ab", 1},
        {{"<|im_end|>", "<|im_"}, "ok<|im_end|>", "ok", 1},
        {{"abc", "abc", "abc"}, "ababc", "ab", 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t n = 0;
        while (n < 4 && rows[i].stops[n]) n++;
        for (size_t piece = 0; piece < 6; piece++) {
            result r;
            run(rows[i].stops, n, rows[i].bytes, strlen(rows[i].bytes), piece, &r);
            assert_int_equal(r.size, strlen(rows[i].text));
            assert_memory_equal(r.text, rows[i].text, r.size);
            assert_int_equal(r.stopped, rows[i].stopped);
        }
    }
}

/* Only what may begin a stop string waits. */
static void holds_back_no_more_than_needed(void **unused) {
    (void)unused;
    const char *stop = "STOP";
    llmc_output *output = make(&stop, 1);
    static const struct {
        const char *push, *ready;
    } rows[] = {{"hello S", "hello "}, {"T", ""},       {"A", "STA"}, {"\xC3", ""},
                {"\xA9", "\xC3\xA9"},  {"SSSTO", "SS"}, {"x", "STOx"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t size;
        assert_int_equal(llmc_output_push(output, rows[i].push, strlen(rows[i].push), NULL), LLMCALL_OK);
        const char *text = llmc_output_ready(output, &size);
        assert_int_equal(size, strlen(rows[i].ready));
        assert_memory_equal(text, rows[i].ready, size);
        llmc_output_take(output);
    }
    int stopped = 0;
    size_t size;
    assert_int_equal(llmc_output_push(output, "STOPmore", 8, &stopped), LLMCALL_OK);
    assert_true(stopped);
    assert_int_equal(llmc_output_push(output, "more", 4, &stopped), LLMCALL_OK);
    assert_true(stopped);
    llmc_output_ready(output, &size);
    assert_int_equal(size, 0);
    llmc_output_destroy(&output);
}

/* ---- The property ---- */

static const char *const parts[] = {
    "a",        "a",    "b",        "ab",   "aab",      "c",        "\xC3\xA9", "\xF0\x9F\x98\x80",
    "\xF0\x9F", "\x98", "\xE2\x82", "\xFF", "\xED\xA0", "\xF4\x90", R,          "\n"};
static const char *const stop_pool[] = {
    "aab",   "aaab", "abab",  "ba",   "\xC3\xA9", "\xF0\x9F\x98\x80", "a\xF0\x9F\x98\x80", R, "aaaaaaab", "b\n", "ca\xC3\xA9",
    R R "b", "cc",   "abcab", "bcab", "cab"};

static const char *find(const char *text, size_t size, const char *stop) {
    size_t n = strlen(stop);
    for (size_t i = 0; i + n <= size; i++) {
        if (memcmp(text + i, stop, n) == 0) return text + i;
    }
    return NULL;
}

static void any_chunking_gives_the_same_text(void **unused) {
    (void)unused;
    for (int round = 0; round < 3000; round++) {
        char bytes[256];
        size_t size = 0;
        const char *chosen[LLMC_OUTPUT_MAX_STOPS];
        size_t n_stops = next_random() % 5;
        result whole, cut, plain;
        for (size_t i = 0; i < n_stops; i++) chosen[i] = stop_pool[next_random() % 16];
        for (uint32_t n = next_random() % 50; n > 0; n--) {
            const char *part = parts[next_random() % 16];
            memcpy(bytes + size, part, strlen(part));
            size += strlen(part);
        }
        run(NULL, 0, bytes, size, 1, &plain);
        const char *end = plain.text + plain.size;
        for (size_t i = 0; i < n_stops; i++) {
            const char *at = find(plain.text, plain.size, chosen[i]);
            if (at && at < end) end = at;
        }
        run(chosen, n_stops, bytes, size, size ? size : 1, &whole);
        assert_int_equal(whole.size, end - plain.text);
        assert_memory_equal(whole.text, plain.text, whole.size);
        assert_int_equal(whole.stopped, whole.size < plain.size);
        for (size_t piece = 0; piece < 4; piece++) {
            run(chosen, n_stops, bytes, size, piece, &cut);
            assert_int_equal(cut.size, whole.size);
            assert_memory_equal(cut.text, whole.text, whole.size);
            assert_int_equal(cut.stopped, whole.stopped);
        }
    }
}

/* ---- Cost, limits, failures ---- */

static void long_stops_are_linear(void **unused) {
    (void)unused;
    enum { STOP = 100000, TEXT = 300000 };
    char *stop = malloc(STOP + 1);
    char *text = malloc(TEXT);
    memset(stop, 'a', STOP);
    stop[STOP - 1] = 'b';
    stop[STOP] = 0;
    memset(text, 'a', TEXT);
    llmc_output *output = make((const char *const *)&stop, 1);
    size_t size;
    assert_int_equal(llmc_output_push(output, text, TEXT, NULL), LLMCALL_OK);
    llmc_output_ready(output, &size);
    assert_int_equal(size, TEXT - STOP + 1);
    llmc_output_destroy(&output);
    free(stop);
    free(text);
}

static void steady_decode_does_not_allocate(void **unused) {
    (void)unused;
    const char *stop = "never comes";
    llmc_output *output = make(&stop, 1);
    long before = allocator.count;
    for (int i = 0; i < 10000; i++) {
        assert_int_equal(llmc_output_push(output, " never come, \xF0\x9F\x98", 16, NULL), LLMCALL_OK);
        llmc_output_take(output);
    }
    assert_int_equal(allocator.count, before);
    llmc_output_destroy(&output);
}

static void create_refuses(void **unused) {
    (void)unused;
    const char *many[LLMC_OUTPUT_MAX_STOPS + 1];
    size_t sizes[LLMC_OUTPUT_MAX_STOPS + 1];
    llmc_output *output;
    LLMCALL_INIT(llmcall_error, error);
    for (size_t i = 0; i <= LLMC_OUTPUT_MAX_STOPS; i++) many[i] = "x", sizes[i] = 1;
    assert_int_equal(llmc_output_create(&env, many, sizes, LLMC_OUTPUT_MAX_STOPS + 1, &output, &error), LLMCALL_E_ARGUMENT);
    assert_string_equal(error.param, "stop");
    sizes[3] = 0;
    assert_int_equal(llmc_output_create(&env, many, sizes, 4, &output, NULL), LLMCALL_E_ARGUMENT);
    sizes[3] = (size_t)LLMC_OUTPUT_MAX_STOP_BYTES + 1;
    assert_int_equal(llmc_output_create(&env, many, sizes, 4, &output, NULL), LLMCALL_E_ARGUMENT);
    sizes[3] = SIZE_MAX;
    assert_int_equal(llmc_output_create(&env, many, sizes, 4, &output, NULL), LLMCALL_E_ARGUMENT);
    many[3] = "\x98", sizes[3] = 1;
    assert_int_equal(llmc_output_create(&env, many, sizes, 4, &output, NULL), LLMCALL_E_UTF8);
    assert_null(output);
    llmc_output_destroy(&output);
    llmc_output_destroy(NULL);
}

static void allocation_failures(void **unused) {
    (void)unused;
    const char *texts[] = {"abc", "bcd"};
    const size_t sizes[] = {3, 3};
    static char big[5000];
    llmcall_status status = LLMCALL_E_NO_MEMORY;
    long n = 0;
    memset(big, 'x', sizeof big);
    while (status != LLMCALL_OK) {
        llmc_output *output;
        size_t size;
        allocator.count = 0;
        allocator.fail_at = ++n;
        status = llmc_output_create(&env, texts, sizes, 2, &output, NULL);
        if (status == LLMCALL_OK) {
            assert_int_equal(llmc_output_push(output, "ab", 2, NULL), LLMCALL_OK);
            status = llmc_output_push(output, big, sizeof big, NULL);
            llmc_output_ready(output, &size); /* after a failure: as if it had not been pushed */
            assert_int_equal(size, status == LLMCALL_OK ? 2 + sizeof big : 0);
            llmc_output_destroy(&output);
        }
        assert_true(status == LLMCALL_OK || status == LLMCALL_E_NO_MEMORY);
        assert_int_equal(allocator.live, 0);
    }
    assert_true(n > 4);
}

/* ---- Moderation ---- */

static llmcall_moderation answer;
static llmcall_status answer_status;

static llmcall_status hook(void *user, const llmcall_moderation_request *request, llmcall_moderation *verdict) {
    (void)user;
    (void)request;
    *verdict = answer;
    return answer_status;
}

static void moderation(void **unused) {
    (void)unused;
    static const struct {
        llmcall_status status;
        int32_t action;
        const char *replacement;
        size_t size;
        int32_t want;
    } rows[] = {
        {LLMCALL_OK, LLMCALL_MODERATE_PASS, NULL, 0, LLMCALL_MODERATE_PASS},
        {LLMCALL_OK, LLMCALL_MODERATE_STOP, NULL, 0, LLMCALL_MODERATE_STOP},
        {LLMCALL_OK, LLMCALL_MODERATE_REPLACE, "***", 3, LLMCALL_MODERATE_REPLACE},
        {LLMCALL_OK, LLMCALL_MODERATE_REPLACE, NULL, 0, LLMCALL_MODERATE_REPLACE},
        {LLMCALL_OK, LLMCALL_MODERATE_REPLACE, NULL, 3, LLMCALL_MODERATE_STOP},
        {LLMCALL_OK, LLMCALL_MODERATE_REPLACE, "\xC3", 1, LLMCALL_MODERATE_STOP},
        {LLMCALL_OK, 17, NULL, 0, LLMCALL_MODERATE_STOP},
        {LLMCALL_E_IO, LLMCALL_MODERATE_PASS, NULL, 0, LLMCALL_MODERATE_STOP},
        {-5, LLMCALL_MODERATE_PASS, NULL, 0, LLMCALL_MODERATE_STOP},
    };
    LLMCALL_INIT(llmcall_hooks, hooks);
    LLMCALL_INIT(llmcall_moderation_request, request);
    llmcall_moderation verdict;
    assert_int_equal(llmc_output_moderate(NULL, &request, &verdict), LLMCALL_MODERATE_PASS);
    assert_int_equal(llmc_output_moderate(&hooks, &request, &verdict), LLMCALL_MODERATE_PASS);
    hooks.moderate = hook;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        answer = (llmcall_moderation){sizeof answer, rows[i].action, rows[i].replacement, rows[i].size};
        answer_status = rows[i].status;
        assert_int_equal(llmc_output_moderate(&hooks, &request, &verdict), rows[i].want);
        assert_int_equal(verdict.action, rows[i].want);
        assert_true(rows[i].want == LLMCALL_MODERATE_REPLACE || !verdict.replacement);
    }
    assert_int_equal(llmcall_default_moderate(NULL, &request, &verdict), LLMCALL_OK);
    assert_int_equal(llmcall_default_moderate(NULL, &request, NULL), LLMCALL_E_ARGUMENT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(replaces_like_python, setup, teardown),
        cmocka_unit_test_setup_teardown(nul_is_a_character, setup, teardown),
        cmocka_unit_test_setup_teardown(stops, setup, teardown),
        cmocka_unit_test_setup_teardown(holds_back_no_more_than_needed, setup, teardown),
        cmocka_unit_test_setup_teardown(any_chunking_gives_the_same_text, setup, teardown),
        cmocka_unit_test_setup_teardown(long_stops_are_linear, setup, teardown),
        cmocka_unit_test_setup_teardown(steady_decode_does_not_allocate, setup, teardown),
        cmocka_unit_test_setup_teardown(create_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(allocation_failures, setup, teardown),
        cmocka_unit_test_setup_teardown(moderation, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
