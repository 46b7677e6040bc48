/* Statuses and errors, also of callers with older structs; the environment's defaults; the public names. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/error.h"
#include "core/utf8.h"

static void every_status_has_its_facts(void **state) {
    (void)state;
    for (llmcall_status s = 0; s <= LLMCALL_E_INTERNAL; s++) {
        assert_int_equal(strncmp(llmcall_status_name(s), s ? "LLMCALL_E_" : "LLMCALL_OK", 10), 0);
        assert_true(strlen(llmc_status_code(s)) < 48);
        assert_true(s == 0 ? llmc_status_http(s) == 0 : llmc_status_http(s) >= 400);
    }
    assert_string_equal(llmcall_status_name(LLMCALL_E_CONTEXT_LENGTH), "LLMCALL_E_CONTEXT_LENGTH");
    assert_string_equal(llmc_status_code(LLMCALL_E_RATE_LIMIT), "rate_limit_exceeded");
    assert_int_equal(llmc_status_http(LLMCALL_E_INTERNAL), 500);
    assert_string_equal(llmcall_status_name(-1), "unknown");
    assert_string_equal(llmcall_status_name(1000), "unknown");
    assert_int_equal(llmc_status_http(-1), 500);
}

static void fills_an_error(void **state) {
    (void)state;
    LLMCALL_INIT(llmcall_error, e);
    assert_int_equal(llmc_fail(&e, LLMCALL_E_ARGUMENT, NULL, "top_p", "top_p is %g", 2.0), LLMCALL_E_ARGUMENT);
    assert_int_equal(e.struct_size, sizeof e);
    assert_int_equal(e.http_status, 400);
    assert_string_equal(e.code, "invalid_argument");
    assert_string_equal(e.param, "top_p");
    assert_string_equal(e.message, "top_p is 2");
    llmc_fail(&e, LLMCALL_E_FORMAT, "own_code", NULL, "x");
    assert_string_equal(e.code, "own_code");
    assert_string_equal(e.param, "");
    LLMCALL_INIT(llmcall_error, copy);
    llmc_error_copy(&copy, &e);
    assert_memory_equal(&copy, &e, sizeof e);
    llmc_error_clear(&e);
    assert_int_equal(e.status, LLMCALL_OK);
    assert_string_equal(e.message, "");
    assert_int_equal(e.struct_size, sizeof e);
    assert_int_equal(llmc_fail(NULL, LLMCALL_E_IO, NULL, NULL, "x"), LLMCALL_E_IO);
    assert_int_equal(llmc_fail_memory(&e, "the cache"), LLMCALL_E_NO_MEMORY);
    llmc_error_clear(NULL);
}

/* Not a byte beyond the struct that the caller knows, whatever its size. */
static void respects_older_structs(void **state) {
    (void)state;
    for (uint32_t size = 0; size <= sizeof(llmcall_error); size++) {
        llmcall_error from = {.struct_size = sizeof from, .status = 7};
        union {
            llmcall_error error;
            unsigned char bytes[sizeof(llmcall_error)];
        } u;
        for (int way = 0; way < 3; way++) {
            memset(&u, 0xa5, sizeof u);
            u.error.struct_size = size;
            if (way == 0) llmc_fail(&u.error, LLMCALL_E_IO, NULL, "p", "m");
            if (way == 1) llmc_error_clear(&u.error);
            if (way == 2) llmc_error_copy(&u.error, &from);
            assert_int_equal(u.error.struct_size, size);
            for (size_t i = size > 4 ? size : 4; i < sizeof u; i++) assert_int_equal(u.bytes[i], 0xa5);
        }
    }
    struct {
        llmcall_error error;
        char later[64];
    } newer;
    memset(&newer, 0x5a, sizeof newer);
    newer.error.struct_size = sizeof newer;
    llmc_fail(&newer.error, LLMCALL_E_IO, NULL, NULL, "m");
    assert_int_equal(newer.error.status, LLMCALL_E_IO);
    assert_int_equal(newer.later[0], 0x5a);
}

static void cuts_between_characters(void **state) {
    (void)state;
    char text[700];
    for (size_t lead = 0; lead < 4; lead++) {
        memset(text, 'a', lead);
        for (size_t i = lead; i + 3 <= 690; i += 3) memcpy(text + i, "\xe2\x82\xac", 4);
        LLMCALL_INIT(llmcall_error, e);
        llmc_fail(&e, LLMCALL_E_IO, NULL, text, "%s", text);
        size_t size = strlen(e.message);
        assert_true(size >= 509 && size <= 511);
        assert_int_equal(llmc_utf8_valid_prefix(e.message, size), size);
        assert_null(strchr(e.message, '?'));
        assert_int_equal(llmc_utf8_valid_prefix(e.param, sizeof e.param), sizeof e.param);
        assert_int_equal(e.param[111], 0);
    }
    LLMCALL_INIT(llmcall_error, e);
    llmc_fail(&e, LLMCALL_E_IO, NULL, "\xff\n", "bad \x80 name");
    assert_string_equal(e.message, "bad ? name");
    assert_string_equal(e.param, "??");
}

static int64_t fixed_clock(void *user) {
    return *(int64_t *)user;
}

static void keep_log(void *user, int32_t level, const char *message) {
    strcpy(user, message);
    assert_int_equal(level, LLMCALL_LOG_WARN);
}

static void takes_what_the_application_gives(void **state) {
    (void)state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    int64_t now = llmc_now(&env);
    assert_true(now > 0 && llmc_now(&env) >= now);
    llmc_log(&env, LLMCALL_LOG_ERROR, "nobody listens");
    LLMCALL_INIT(llmcall_engine_options, options);
    char line[2000] = "";
    now = 12;
    options.clock = fixed_clock;
    options.clock_user = &now;
    options.log = keep_log;
    options.log_user = line;
    llmc_env_init(&env, &options);
    assert_int_equal(llmc_now(&env), 12);
    llmc_log(&env, LLMCALL_LOG_WARN, "%s %d", "text", 5);
    assert_string_equal(line, "text 5");
    llmc_log(&env, LLMCALL_LOG_WARN, "%5000d", 5);
    assert_int_equal(strlen(line), 1023);
    options.struct_size = offsetof(llmcall_engine_options, clock); /* an older caller's struct ends before the clock */
    llmc_env_init(&env, &options);
    assert_int_not_equal(llmc_now(&env), 12);
}

static void names_things(void **state) {
    (void)state;
    assert_string_equal(llmcall_version(), "0.1.0");
    for (int32_t s = 1; s <= LLMCALL_STAGE_COUNT; s++) assert_string_not_equal(llmcall_stage_name(s), "unknown");
    assert_string_equal(llmcall_stage_name(LLMCALL_STAGE_PREFILL), "prefill");
    assert_string_equal(llmcall_stage_name(0), "unknown");
    assert_string_equal(llmcall_stage_name(LLMCALL_STAGE_COUNT + 1), "unknown");
    assert_string_equal(llmcall_stage_name(INT32_MIN), "unknown");
    assert_string_equal(llmcall_finish_name(LLMCALL_FINISH_CONTENT_FILTER), "content_filter");
    assert_string_equal(llmcall_finish_name(-1), "unknown");
    assert_string_equal(llmcall_finish_name(7), "unknown");
    unsigned char bytes[3] = {1, 1, 1};
    llmcall_init(bytes, 2);
    assert_true(bytes[0] == 0 && bytes[1] == 0 && bytes[2] == 1);
    llmcall_init(NULL, 8);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_facts),       cmocka_unit_test(fills_an_error),
        cmocka_unit_test(respects_older_structs),           cmocka_unit_test(cuts_between_characters),
        cmocka_unit_test(takes_what_the_application_gives), cmocka_unit_test(names_things),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
