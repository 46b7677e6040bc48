/* Routing: the least loaded candidate, and hooks that answer badly. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "route/route.h"

enum { N = 4 };

static llmcall_candidate candidates[N];
static llmcall_route_request request;
static int32_t answer;
static llmcall_status answer_status;

static int setup(void **unused) {
    (void)unused;
    static const char *const names[N] = {"a", "b", "c", "b"};
    for (int32_t i = 0; i < N; i++) {
        llmcall_init(&candidates[i], sizeof candidates[i]);
        candidates[i].index = 10 + i;
        candidates[i].model = names[i];
    }
    llmcall_init(&request, sizeof request);
    request.candidates = candidates;
    request.n_candidates = N;
    request.model = "";
    answer_status = LLMCALL_OK;
    return 0;
}

static int32_t chosen(const char *model) {
    int32_t index = 0;
    request.model = model;
    assert_int_equal(llmc_route_choose(NULL, NULL, &request, &index, NULL), LLMCALL_OK);
    return index;
}

static void the_named_model(void **unused) {
    (void)unused;
    assert_int_equal(chosen("c"), 12);
    assert_int_equal(chosen("b"), 11);
    candidates[1].waiting = 1;
    assert_int_equal(chosen("b"), 13);
    int32_t index = 5;
    LLMCALL_INIT(llmcall_error, error);
    request.model = "B";
    assert_int_equal(llmc_route_choose(NULL, NULL, &request, &index, &error), LLMCALL_E_NOT_FOUND);
    assert_int_equal(index, -1);
    assert_string_equal(error.code, "model_not_found");
    assert_string_equal(error.param, "model");
    assert_non_null(strstr(error.message, "'B'"));
    assert_int_equal(error.http_status, 404);
}

static void the_least_loaded_else(void **unused) {
    (void)unused;
    assert_int_equal(chosen(NULL), 10); /* all alike: the lowest index */
    candidates[0].price_prompt = 1;
    assert_int_equal(chosen(""), 11);
    candidates[1].network_ns = candidates[2].network_ns = candidates[3].network_ns = 5; /* network before price */
    assert_int_equal(chosen(""), 10);
    candidates[0].running = 1; /* load before network */
    candidates[1].waiting = 1;
    candidates[3].waiting = UINT64_MAX;
    candidates[3].running = 2;
    assert_int_equal(chosen(""), 12);
}

static void no_candidates(void **unused) {
    (void)unused;
    int32_t index = 5;
    request.n_candidates = 0;
    assert_int_equal(llmc_route_choose(NULL, NULL, &request, &index, NULL), LLMCALL_E_NOT_FOUND);
    request.n_candidates = 3;
    request.candidates = NULL;
    assert_int_equal(llmc_route_choose(NULL, NULL, &request, &index, NULL), LLMCALL_E_NOT_FOUND);
    assert_int_equal(llmcall_default_route(NULL, NULL, &index, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmcall_default_route(NULL, &request, NULL, NULL), LLMCALL_E_ARGUMENT);
}

/* Elements of a newer, longer struct. */
static void strides(void **unused) {
    (void)unused;
    struct longer {
        llmcall_candidate candidate;
        uint64_t more[3];
    } array[2];
    for (int i = 0; i < 2; i++) {
        memset(&array[i], 0xff, sizeof array[i]);
        array[i].candidate = candidates[i];
        array[i].candidate.struct_size = sizeof array[i];
    }
    request.candidates = &array[0].candidate;
    request.n_candidates = 2;
    assert_int_equal(chosen("b"), 11);
}

static llmcall_status hook(void *user, const llmcall_route_request *asked, int32_t *index, llmcall_error *error) {
    assert_null(user);
    assert_ptr_equal(asked, &request);
    *index = answer;
    if (answer_status == LLMCALL_E_QUOTA) strcpy(error->message, "no budget for this model");
    return answer_status;
}

static void hooks_are_checked(void **unused) {
    (void)unused;
    int32_t index = 0;
    LLMCALL_INIT(llmcall_hooks, hooks);
    LLMCALL_INIT(llmcall_error, error);
    hooks.route = hook;
    answer = 13;
    assert_int_equal(llmc_route_choose(NULL, &hooks, &request, &index, &error), LLMCALL_OK);
    assert_int_equal(index, 13);
    static const int32_t wrong[] = {0, -1, 14, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < 5; i++) {
        answer = wrong[i];
        assert_int_equal(llmc_route_choose(NULL, &hooks, &request, &index, &error), LLMCALL_E_INTERNAL);
        assert_int_equal(index, -1);
    }
    answer_status = LLMCALL_E_QUOTA;
    assert_int_equal(llmc_route_choose(NULL, &hooks, &request, &index, &error), LLMCALL_E_QUOTA);
    assert_string_equal(error.message, "no budget for this model");
    answer_status = LLMCALL_E_FORBIDDEN;
    assert_int_equal(llmc_route_choose(NULL, &hooks, &request, &index, &error), LLMCALL_E_FORBIDDEN);
    assert_int_equal(error.http_status, 403);
    assert_true(error.message[0] != 0);
    answer_status = 999;
    assert_int_equal(llmc_route_choose(NULL, &hooks, &request, &index, NULL), LLMCALL_E_INTERNAL);
}

static void network_floor(void **unused) {
    (void)unused;
    assert_int_equal(llmc_route_network_ns(0), 0);
    assert_int_equal(llmc_route_network_ns(-5), 0);
    assert_int_equal(llmc_route_network_ns((double)NAN), 0);
    assert_int_equal(llmc_route_network_ns(1), 15000);
    assert_int_equal(llmc_route_network_ns(6000), 90000000); /* across the Atlantic: 90 ms */
    assert_int_equal(llmc_route_network_ns((double)INFINITY), 15000000000);
    assert_int_equal(llmc_route_network_ns(1e300), 15000000000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_named_model, setup),   cmocka_unit_test_setup(the_least_loaded_else, setup),
        cmocka_unit_test_setup(no_candidates, setup),     cmocka_unit_test_setup(strides, setup),
        cmocka_unit_test_setup(hooks_are_checked, setup), cmocka_unit_test_setup(network_floor, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
