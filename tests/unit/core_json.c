/* JSON from outside: what is refused before jansson sees it, how errors name the place, on a small stack and short of memory. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"

static llmcall_status load(const char *text, size_t size, llmcall_error *error) {
    json_t *json = NULL;
    llmcall_init(error, sizeof *error);
    llmcall_status status = llmc_json_load(text, size, "variables", &json, error);
    if ((status == LLMCALL_OK) != (json != NULL)) status = LLMCALL_E_INTERNAL;
    json_decref(json);
    return status;
}

static void test_values(void **state) {
    (void)state;
    static const char *const GOOD[] = {"{}",
                                       "[]",
                                       "1",
                                       "-0.5e3",
                                       "\"\\u0000\\ud83d\\ude00\"",
                                       "true",
                                       "null",
                                       " [1, {\"a\": [\"]}\\\"\"]}] ",
                                       "9223372036854775807",
                                       "{\"a\": 1, \"a\": 2}"};
    llmcall_error error;
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++)
        assert_int_equal(load(GOOD[i], strlen(GOOD[i]), &error), LLMCALL_OK);
    json_t *json = NULL;
    assert_int_equal(llmc_json_load("{\"b\": 1, \"a\": 2, \"b\": 3}", 24, "x", &json, NULL), LLMCALL_OK);
    assert_string_equal(json_object_iter_key(json_object_iter(json)), "b"); /* in the order of the text, the last value */
    assert_int_equal(json_integer_value(json_object_get(json, "b")), 3);
    json_decref(json);
}

static void test_errors(void **state) {
    (void)state;
    static const struct {
        const char *text, *says;
    } BAD[] = {{"", "line 1, column 0"},
               {"{\"a\":\n 1,}", "line 2"},
               {"[1 2]", "column 4"},
               {"\"abc", "line 1"},
               {"{1: 2}", "line 1"},
               {"[1] x", "end of file expected"},
               {"9223372036854775808", "too big integer"},
               {"1e999", "real number overflow"},
               {"NaN", "invalid token"},
               {"\"\\ud800\"", "invalid Unicode"},
               {"\"\xff\"", "unable to decode"},
               {"{\"a\\u0000b\": 1}", "NUL"},
               {"]", "line 1"},
               {"\"\\", "line 1"}};
    llmcall_error error;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        llmcall_status status = load(BAD[i].text, strlen(BAD[i].text), &error);
        if (status != LLMCALL_E_ARGUMENT) fail_msg("%s: %d %s", BAD[i].text, status, error.message);
        assert_string_equal(error.param, "variables");
        if (!strstr(error.message, BAD[i].says)) fail_msg("%s: %s", BAD[i].text, error.message);
    }
}

/* A text of n times open, then n times close. */
static char *repeated(const char *open, const char *close, size_t n) {
    size_t o = strlen(open), c = strlen(close);
    char *text = malloc((o + c) * n + 1);
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) memcpy(text + i * o, open, o);
    for (size_t i = 0; i < n; i++) memcpy(text + n * o + i * c, close, c);
    text[(o + c) * n] = 0;
    return text;
}

static void *load_nested(void *failed) {
    static const struct {
        const char *open, *close;
        size_t n;
        llmcall_status status;
    } ROWS[] = {{"[", "]", LLMC_JSON_MAX_DEPTH, LLMCALL_OK},
                {"[", "]", LLMC_JSON_MAX_DEPTH + 1, LLMCALL_E_ARGUMENT},
                {"[", "", 1000000, LLMCALL_E_ARGUMENT},
                {"{\"a\":", "", 100000, LLMCALL_E_ARGUMENT}};
    llmcall_error error;
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        char *text = repeated(ROWS[i].open, ROWS[i].close, ROWS[i].n);
        if (load(text, strlen(text), &error) != ROWS[i].status) *(size_t *)failed = i + 1;
        free(text);
    }
    return NULL;
}

static void test_depth_on_a_small_stack(void **state) {
    (void)state;
    pthread_t thread;
    pthread_attr_t attributes;
    size_t failed = 0;
    pthread_attr_init(&attributes);
    assert_int_equal(pthread_attr_setstacksize(&attributes, (size_t)256 << 10), 0);
    assert_int_equal(pthread_create(&thread, &attributes, load_nested, &failed), 0);
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attributes);
    assert_int_equal(failed, 0);
}

static void test_caps(void **state) {
    (void)state;
    llmcall_error error;
    char *text = repeated("0,", "", LLMC_JSON_MAX_VALUES); /* "[0,0,...,0]": the list, and one more than there are commas */
    for (size_t n = LLMC_JSON_MAX_VALUES - 1; n <= LLMC_JSON_MAX_VALUES; n++) {
        char *list = malloc(2 * n + 2);
        assert_non_null(list);
        list[0] = '[';
        memcpy(list + 1, text, 2 * n - 1);
        list[2 * n] = ']';
        int within = n == LLMC_JSON_MAX_VALUES - 1;
        assert_int_equal(load(list, 2 * n + 1, &error), within ? LLMCALL_OK : LLMCALL_E_ARGUMENT);
        if (!within) assert_non_null(strstr(error.message, "values"));
        free(list);
    }
    free(text);
    text = repeated(" ", "", LLMC_JSON_MAX_SIZE + 1);
    text[0] = '1';
    assert_int_equal(load(text, LLMC_JSON_MAX_SIZE, &error), LLMCALL_OK);
    assert_int_equal(load(text, LLMC_JSON_MAX_SIZE + 1, &error), LLMCALL_E_ARGUMENT);
    assert_non_null(strstr(error.message, "bytes"));
    free(text);
}

static long allocations, fail_at, live;

static void *failing_malloc(size_t size) {
    void *block = ++allocations == fail_at ? NULL : malloc(size);
    live += block != NULL;
    return block;
}

static void counting_free(void *block) {
    live -= block != NULL;
    free(block);
}

static void test_failing_allocations(void **state) {
    (void)state;
    static const char TEXT[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": [1.5, true, null, \"x\"]}], \"a\": {}, \"b\": -3}";
    llmcall_error error;
    llmcall_status status = LLMCALL_E_NO_MEMORY;
    json_set_alloc_funcs(failing_malloc, counting_free);
    for (fail_at = 1; status != LLMCALL_OK && fail_at < 1000; fail_at++) {
        allocations = 0;
        status = load(TEXT, sizeof TEXT - 1, &error);
        assert_int_equal(live, 0);
        /* jansson takes a token that it had no memory for as one that is wrong. */
        int known = status == LLMCALL_OK || status == LLMCALL_E_NO_MEMORY || status == LLMCALL_E_ARGUMENT;
        if (!known) fail_msg("%ld: %s", fail_at, error.message);
    }
    json_set_alloc_funcs(malloc, free);
    assert_int_equal(status, LLMCALL_OK);
    assert_true(fail_at > 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_depth_on_a_small_stack),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
