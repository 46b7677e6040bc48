/* States kept with pages: found again with them, gone with them, replaced in order of use; and the count of slots under random
 * operations. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_alloc.h"
#include "kv/kv.h"

enum { T = LLMC_KV_PAGE_TOKENS };

static llmc_kv_key key(uint64_t salt) {
    return (llmc_kv_key){.salt = salt};
}

static llmc_kv *make(uint32_t n_pages, uint32_t n_states) {
    static llmc_env env;
    llmc_env_init(&env, NULL);
    llmc_kv *kv = NULL;
    assert_int_equal(llmc_kv_create(&env, n_pages, 1, &kv, NULL), LLMCALL_OK);
    assert_int_equal(llmc_kv_add_states(kv, n_states, NULL), LLMCALL_OK);
    return kv;
}

static void take_pages(llmc_kv *kv, uint32_t *pages, uint32_t n) {
    int needs_zero;
    for (uint32_t i = 0; i < n; i++) assert_int_equal(llmc_kv_acquire(kv, key(1), &pages[i], &needs_zero), 1);
}

static uint32_t take_state(llmc_kv *kv, int may_evict) {
    uint32_t state = UINT32_MAX;
    assert_int_equal(llmc_kv_state_acquire(kv, may_evict, &state), 1);
    assert_true(state < llmc_kv_states_total(kv));
    return state;
}

static void fill(int32_t *tokens, uint32_t n, int32_t first) {
    for (uint32_t i = 0; i < n; i++) tokens[i] = first + (int32_t)i;
}

static void test_found_with_pages(void **unused) {
    (void)unused;
    llmc_kv *kv = make(8, 3);
    uint32_t pages[4], found[4], state;
    int32_t tokens[4 * T];
    fill(tokens, 4 * T, 0);
    take_pages(kv, pages, 4);
    assert_int_equal(llmc_kv_state_find(kv, pages, 4, &state), 0);
    uint32_t a = take_state(kv, 0), b = take_state(kv, 0);
    llmc_kv_state_keep(kv, pages[0], a);
    llmc_kv_state_keep(kv, pages[2], b);
    assert_int_equal(llmc_kv_states_kept(kv), 2);
    llmc_kv_publish(kv, key(1), tokens, 4 * T, pages);
    for (uint32_t i = 4; i > 0; i--) llmc_kv_release(kv, pages[i - 1]);
    assert_int_equal(llmc_kv_match(kv, key(1), tokens, 4 * T, 4, found), 4);
    assert_int_equal(llmc_kv_state_find(kv, found, 4, &state), 3);
    assert_int_equal(state, b);
    assert_int_equal(llmc_kv_state_find(kv, found, 2, &state), 1);
    assert_int_equal(state, a);
    /* A second one for the same page is the same state. */
    llmc_kv_state_keep(kv, found[2], take_state(kv, 0));
    assert_int_equal(llmc_kv_states_kept(kv), 2);
    assert_int_equal(llmc_kv_states_free(kv), 1);
    assert_int_equal(llmc_kv_state_take(kv, found[2], &state), 1);
    assert_int_equal(state, b);
    assert_int_equal(llmc_kv_state_take(kv, found[2], &state), 0);
    llmc_kv_state_release(kv, b);
    llmc_kv_states_drop(kv);
    assert_int_equal(llmc_kv_states_free(kv), 3);
    llmc_kv_destroy(&kv);
}

static void test_goes_with_its_page(void **unused) {
    (void)unused;
    llmc_kv *kv = make(2, 2);
    uint32_t pages[2];
    int32_t tokens[2 * T];
    fill(tokens, 2 * T, 0);
    take_pages(kv, pages, 2);
    llmc_kv_state_keep(kv, pages[0], take_state(kv, 0));
    llmc_kv_state_keep(kv, pages[1], take_state(kv, 0));
    llmc_kv_release(kv, pages[1]); /* never published: free */
    assert_int_equal(llmc_kv_states_kept(kv), 1);
    llmc_kv_publish(kv, key(1), tokens, T, pages);
    llmc_kv_release(kv, pages[0]);
    assert_int_equal(llmc_kv_states_kept(kv), 1);
    take_pages(kv, pages, 2); /* the second evicts the cached one */
    assert_int_equal(llmc_kv_states_kept(kv), 0);
    llmc_kv_state_keep(kv, pages[0], take_state(kv, 0));
    llmc_kv_publish(kv, key(1), tokens, T, pages);
    llmc_kv_release(kv, pages[0]);
    llmc_kv_drop_cached(kv);
    assert_int_equal(llmc_kv_states_free(kv), 2);
    llmc_kv_destroy(&kv);
}

/* Two sequences computed the same page: the state of the one that is given back goes to the one that stays. */
static void test_moves_to_the_tree(void **unused) {
    (void)unused;
    llmc_kv *kv = make(4, 2);
    uint32_t first[1], second[1], second_page, state, b = 0;
    int32_t tokens[T];
    fill(tokens, T, 0);
    take_pages(kv, first, 1);
    take_pages(kv, second, 1);
    second_page = second[0];
    b = take_state(kv, 0);
    llmc_kv_state_keep(kv, second[0], b);
    llmc_kv_publish(kv, key(1), tokens, T, first);
    llmc_kv_publish(kv, key(1), tokens, T, second);
    assert_int_equal(second[0], first[0]);
    assert_int_not_equal(second[0], second_page);
    assert_int_equal(llmc_kv_state_find(kv, first, 1, &state), 1);
    assert_int_equal(state, b);
    llmc_kv_destroy(&kv);
}

static void test_order_of_use(void **unused) {
    (void)unused;
    llmc_kv *kv = make(4, 3);
    uint32_t pages[4], state, s[3];
    take_pages(kv, pages, 4);
    for (int i = 0; i < 3; i++) s[i] = take_state(kv, 0);
    assert_int_equal(llmc_kv_state_acquire(kv, 1, &state), 0); /* all are held */
    for (int i = 0; i < 3; i++) llmc_kv_state_keep(kv, pages[i], s[i]);
    assert_int_equal(llmc_kv_state_acquire(kv, 0, &state), 0);
    assert_int_equal(llmc_kv_state_find(kv, pages, 1, &state), 1); /* used again */
    assert_int_equal(take_state(kv, 1), s[1]);
    assert_int_equal(take_state(kv, 1), s[2]);
    assert_int_equal(take_state(kv, 1), s[0]);
    assert_int_equal(llmc_kv_states_kept(kv) + llmc_kv_states_free(kv), 0);
    llmc_kv_state_keep(kv, 99, s[0]); /* no such page */
    assert_int_equal(llmc_kv_states_free(kv), 1);
    llmc_kv_destroy(&kv);
}

static void test_limits(void **unused) {
    (void)unused;
    failing_alloc allocations;
    llmc_env env;
    llmc_kv *kv = NULL;
    failing_alloc_init(&allocations, &env);
    assert_int_equal(llmc_kv_create(&env, 4, 1, &kv, NULL), LLMCALL_OK);
    assert_int_equal(llmc_kv_states_total(kv), 0);
    assert_int_equal(llmc_kv_add_states(kv, 0, NULL), LLMCALL_E_ARGUMENT);
    allocations.fail_at = allocations.count + 1;
    assert_int_equal(llmc_kv_add_states(kv, 4, NULL), LLMCALL_E_NO_MEMORY);
    assert_int_equal(llmc_kv_states_total(kv), 0);
    allocations.fail_at = 0;
    assert_int_equal(llmc_kv_add_states(kv, 4, NULL), LLMCALL_OK);
    assert_int_equal(llmc_kv_add_states(kv, 4, NULL), LLMCALL_E_ARGUMENT);
    llmc_kv_destroy(&kv);
    assert_int_equal(allocations.live, 0);
}

static uint32_t random_below(uint64_t *seed, uint32_t n) {
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33) % n;
}

/* Each page's state is what was kept with it last, or nothing. */
static void test_random_operations(void **unused) {
    (void)unused;
    enum { PAGES = 12, STATES = 7 };
    llmc_kv *kv = make(PAGES, STATES);
    uint32_t pages[PAGES], held[STATES], n_held = 0, state;
    uint32_t of_page[PAGES];
    uint64_t seed = 5;
    take_pages(kv, pages, PAGES);
    for (uint32_t i = 0; i < PAGES; i++) of_page[i] = UINT32_MAX;
    for (int round = 0; round < 20000; round++) {
        uint32_t what = random_below(&seed, 4), page = random_below(&seed, PAGES);
        if (what == 0 && llmc_kv_state_acquire(kv, (int)random_below(&seed, 2), &state)) {
            for (uint32_t i = 0; i < PAGES; i++) of_page[i] = of_page[i] == state ? UINT32_MAX : of_page[i];
            for (uint32_t i = 0; i < n_held; i++) assert_int_not_equal(held[i], state);
            held[n_held++] = state;
        } else if (what == 1 && n_held > 0) {
            state = held[--n_held];
            if (random_below(&seed, 4) == 0) {
                llmc_kv_state_release(kv, state);
            } else {
                llmc_kv_state_keep(kv, page, state);
                if (of_page[page] == UINT32_MAX) of_page[page] = state;
            }
        } else if (what == 2) {
            assert_int_equal(llmc_kv_state_find(kv, &page, 1, &state), of_page[page] != UINT32_MAX);
            if (of_page[page] != UINT32_MAX) assert_int_equal(state, of_page[page]);
        } else if (what == 3 && llmc_kv_state_take(kv, page, &state)) {
            assert_int_equal(state, of_page[page]);
            of_page[page] = UINT32_MAX;
            held[n_held++] = state;
        }
        assert_int_equal(llmc_kv_states_free(kv) + llmc_kv_states_kept(kv) + n_held, STATES);
    }
    llmc_kv_destroy(&kv);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_found_with_pages),
        cmocka_unit_test(test_goes_with_its_page),
        cmocka_unit_test(test_moves_to_the_tree),
        cmocka_unit_test(test_order_of_use),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_random_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
