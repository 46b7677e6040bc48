/* Admission: the default, and hooks that answer badly. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "gateway/gateway.h"

static llmcall_admission answer;
static llmcall_status answer_status;
static llmcall_error answer_error;

static llmcall_status hook(void *user, const llmcall_admit_request *request, llmcall_admission *decision,
                           llmcall_error *error) {
    assert_ptr_equal(user, &answer);
    assert_string_equal(request->model, "m");
    assert_int_equal(decision->struct_size, sizeof *decision);
    assert_int_equal(error->struct_size, sizeof *error);
    *decision = answer;
    *error = answer_error;
    return answer_status;
}

static llmcall_status admit(llmcall_admission *decision, llmcall_error *error) {
    LLMCALL_INIT(llmcall_hooks, hooks);
    LLMCALL_INIT(llmcall_admit_request, request);
    request.model = "m";
    hooks.user = &answer;
    hooks.admit = hook;
    if (error) llmcall_init(error, sizeof *error);
    return llmc_gateway_admit(NULL, &hooks, &request, decision, error);
}

static int reset(void **unused) {
    (void)unused;
    llmcall_init(&answer, sizeof answer);
    llmcall_init(&answer_error, sizeof answer_error);
    answer_status = LLMCALL_OK;
    return 0;
}

static void open_by_default(void **unused) {
    (void)unused;
    LLMCALL_INIT(llmcall_hooks, hooks);
    LLMCALL_INIT(llmcall_admit_request, request);
    llmcall_admission decision;
    for (int i = 0; i < 2; i++) {
        memset(&decision, 0xff, sizeof decision);
        assert_int_equal(llmc_gateway_admit(NULL, i ? &hooks : NULL, &request, &decision, NULL), LLMCALL_OK);
        assert_string_equal(decision.tenant, "default");
        assert_int_equal(decision.cache_salt, 0);
        assert_int_equal(decision.priority, 0);
        assert_int_equal(decision.max_tokens_limit, 0);
        assert_int_equal(decision.struct_size, sizeof decision);
    }
    assert_int_equal(llmcall_default_admit(NULL, NULL, NULL, NULL), LLMCALL_E_ARGUMENT);
}

static void decisions_are_checked(void **unused) {
    (void)unused;
    llmcall_admission decision;
    llmcall_error error;
    strcpy(answer.tenant, "acme");
    answer.tenant[10] = 'x'; /* behind the NUL: not carried on */
    answer.cache_salt = 9;
    answer.priority = INT32_MAX;
    answer.max_tokens_limit = 50;
    assert_int_equal(admit(&decision, NULL), LLMCALL_OK);
    assert_string_equal(decision.tenant, "acme");
    assert_int_equal(decision.tenant[10], 0);
    assert_int_equal(decision.cache_salt, 9);
    assert_int_equal(decision.priority, 100);
    assert_int_equal(decision.max_tokens_limit, 50);
    answer.priority = INT32_MIN;
    answer.tenant[0] = 0;
    assert_int_equal(admit(&decision, NULL), LLMCALL_OK);
    assert_int_equal(decision.priority, -100);
    assert_string_equal(decision.tenant, "default");

    strcpy(answer.tenant, "a\xC3");
    assert_int_equal(admit(&decision, &error), LLMCALL_E_INTERNAL);
    assert_string_equal(error.param, "tenant");
    memset(answer.tenant, 'a', sizeof answer.tenant);
    assert_int_equal(admit(&decision, &error), LLMCALL_E_INTERNAL);
    assert_string_equal(error.param, "tenant");
    strcpy(answer.tenant, "a");
    answer.max_tokens_limit = -1;
    assert_int_equal(admit(&decision, &error), LLMCALL_E_INTERNAL);
    assert_string_equal(error.param, "max_tokens_limit");
}

static void refusals_have_an_error(void **unused) {
    (void)unused;
    llmcall_admission decision;
    llmcall_error error;
    answer_status = LLMCALL_E_RATE_LIMIT;
    assert_int_equal(admit(&decision, &error), LLMCALL_E_RATE_LIMIT);
    assert_int_equal(error.status, LLMCALL_E_RATE_LIMIT);
    assert_int_equal(error.http_status, 429);
    assert_string_equal(error.code, "rate_limit_exceeded");
    assert_true(error.message[0] != 0);
    assert_int_equal(admit(&decision, NULL), LLMCALL_E_RATE_LIMIT);

    answer_error.status = LLMCALL_E_FORBIDDEN; /* says one thing, returns another: what it returns counts */
    answer_error.retry_after_ms = 1500;
    answer_error.http_status = 418;
    strcpy(answer_error.code, "slow_down");
    strcpy(answer_error.message, "60 requests a minute");
    assert_int_equal(admit(&decision, &error), LLMCALL_E_RATE_LIMIT);
    assert_int_equal(error.status, LLMCALL_E_RATE_LIMIT);
    assert_int_equal(error.http_status, 418);
    assert_int_equal(error.retry_after_ms, 1500);
    assert_string_equal(error.code, "slow_down");
    assert_string_equal(error.message, "60 requests a minute");

    memset(&answer_error, 0xff, sizeof answer_error); /* rubbish, no NUL anywhere */
    assert_int_equal(admit(&decision, &error), LLMCALL_E_RATE_LIMIT);
    assert_int_equal(error.http_status, 429);
    assert_int_equal(error.retry_after_ms, 0);
    assert_int_equal(error.message[sizeof error.message - 1], 0);
}

static void statuses_out_of_range(void **unused) {
    (void)unused;
    llmcall_admission decision;
    llmcall_error error;
    static const llmcall_status bad[] = {-1, LLMCALL_E_INTERNAL + 1, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < 4; i++) {
        answer_status = bad[i];
        assert_int_equal(admit(&decision, &error), LLMCALL_E_INTERNAL);
        assert_string_equal(error.code, "invalid_admission");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(open_by_default, reset),
        cmocka_unit_test_setup(decisions_are_checked, reset),
        cmocka_unit_test_setup(refusals_have_an_error, reset),
        cmocka_unit_test_setup(statuses_out_of_range, reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
