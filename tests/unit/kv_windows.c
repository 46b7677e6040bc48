/* Window slots of the KV page table: pinned and left ones, order of use, what happens to a page's slot with the page. */
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

static llmc_kv *make(uint32_t n_pages, uint32_t n_slots) {
    static llmc_env env;
    llmc_env_init(&env, NULL);
    llmc_kv *kv = NULL;
    assert_int_equal(llmc_kv_create(&env, n_pages, 1, &kv, NULL), LLMCALL_OK);
    assert_int_equal(llmc_kv_add_windows(kv, n_slots, NULL), LLMCALL_OK);
    return kv;
}

/* A page with a slot. */
static uint32_t acquire(llmc_kv *kv, uint64_t salt, uint32_t *slot, int zero) {
    uint32_t page = UINT32_MAX;
    int needs_zero = -1, slot_needs_zero = -1;
    assert_int_equal(llmc_kv_acquire(kv, key(salt), &page, &needs_zero), 1);
    assert_int_equal(llmc_kv_window_acquire(kv, page, slot, &slot_needs_zero), 1);
    assert_int_equal(slot_needs_zero, zero);
    return page;
}

static void test_pinned_slots_stay(void **state) {
    (void)state;
    llmc_kv *kv = make(8, 2);
    uint32_t slots[3], pages[3], found;
    pages[0] = acquire(kv, 1, &slots[0], 0);
    pages[1] = acquire(kv, 1, &slots[1], 0);
    assert_int_not_equal(slots[0], slots[1]);
    int needs_zero;
    assert_int_equal(llmc_kv_acquire(kv, key(1), &pages[2], &needs_zero), 1);
    assert_int_equal(llmc_kv_windows_available(kv), 0);
    assert_int_equal(llmc_kv_window_acquire(kv, pages[2], &slots[2], &needs_zero), 0);
    llmc_kv_window_pin(kv, pages[0]);
    llmc_kv_window_unpin(kv, pages[0]);
    assert_int_equal(llmc_kv_windows_available(kv), 0);
    llmc_kv_window_unpin(kv, pages[0]);
    assert_int_equal(llmc_kv_windows_available(kv), 1);
    assert_int_equal(llmc_kv_window_of(kv, pages[0], &found), 1); /* it stays until another needs it */
    assert_int_equal(llmc_kv_window_acquire(kv, pages[2], &slots[2], &needs_zero), 1);
    assert_int_equal(slots[2], slots[0]);
    assert_int_equal(needs_zero, 0);
    assert_int_equal(llmc_kv_window_of(kv, pages[0], &found), 0);
    llmc_kv_destroy(&kv);
}

static void test_another_salt_zeroes(void **state) {
    (void)state;
    llmc_kv *kv = make(4, 1);
    uint32_t slot, page = acquire(kv, 1, &slot, 0);
    llmc_kv_release(kv, page); /* not published: page and slot are free at once */
    assert_int_equal(llmc_kv_windows_available(kv), 1);
    page = acquire(kv, 1, &slot, 0);
    llmc_kv_release(kv, page);
    (void)acquire(kv, 2, &slot, 1);
    llmc_kv_destroy(&kv);
}

/* The least recently left goes first. */
static void test_order_of_use(void **state) {
    (void)state;
    llmc_kv *kv = make(8, 3);
    uint32_t slots[3], pages[4], slot, found;
    int needs_zero;
    for (int i = 0; i < 3; i++) pages[i] = acquire(kv, 1, &slots[i], 0);
    llmc_kv_window_unpin(kv, pages[1]);
    llmc_kv_window_unpin(kv, pages[0]);
    llmc_kv_window_unpin(kv, pages[2]);
    llmc_kv_window_pin(kv, pages[1]);
    llmc_kv_window_unpin(kv, pages[1]);
    assert_int_equal(llmc_kv_acquire(kv, key(1), &pages[3], &needs_zero), 1);
    assert_int_equal(llmc_kv_window_acquire(kv, pages[3], &slot, &needs_zero), 1);
    assert_int_equal(slot, slots[0]);
    assert_int_equal(llmc_kv_window_of(kv, pages[1], &found) && llmc_kv_window_of(kv, pages[2], &found), 1);
    llmc_kv_destroy(&kv);
}

/* Two sequences compute the same page: one copy of the rows is left, pinned by both. */
static void test_publish_joins_pins(void **state) {
    (void)state;
    llmc_kv *kv = make(8, 4);
    int32_t tokens[T] = {5};
    uint32_t slots[2], first, second, found;
    first = acquire(kv, 1, &slots[0], 0);
    second = acquire(kv, 1, &slots[1], 0);
    llmc_kv_publish(kv, key(1), tokens, T, &first);
    uint32_t table = second;
    llmc_kv_publish(kv, key(1), tokens, T, &table);
    assert_int_equal(table, first);
    assert_int_equal(llmc_kv_window_of(kv, table, &found), 1);
    assert_int_equal(found, slots[0]);
    assert_int_equal(llmc_kv_windows_available(kv), 3);
    llmc_kv_window_unpin(kv, first);
    assert_int_equal(llmc_kv_windows_available(kv), 3);
    llmc_kv_window_unpin(kv, first);
    assert_int_equal(llmc_kv_windows_available(kv), 4);
    llmc_kv_destroy(&kv);
}

/* The published page has lost its slot, the copy has one: it moves. */
static void test_publish_moves_slot(void **state) {
    (void)state;
    llmc_kv *kv = make(8, 1);
    int32_t tokens[T] = {5};
    uint32_t slot, first, second, found;
    first = acquire(kv, 1, &slot, 0);
    llmc_kv_publish(kv, key(1), tokens, T, &first);
    llmc_kv_window_unpin(kv, first);
    second = acquire(kv, 1, &slot, 0); /* takes the only slot */
    assert_int_equal(llmc_kv_window_of(kv, first, &found), 0);
    llmc_kv_publish(kv, key(1), tokens, T, &second);
    assert_int_equal(second, first);
    assert_int_equal(llmc_kv_window_of(kv, first, &found), 1);
    assert_int_equal(llmc_kv_windows_available(kv), 0);
    llmc_kv_window_unpin(kv, first);
    llmc_kv_drop_cached(kv);
    llmc_kv_destroy(&kv);
}

static void test_refusals(void **state) {
    (void)state;
    llmc_kv *kv = make(2, 1);
    uint32_t slot;
    assert_int_equal(llmc_kv_add_windows(kv, 1, NULL), LLMCALL_E_ARGUMENT);
    assert_int_equal(llmc_kv_window_of(kv, 77, &slot), 0);
    llmc_kv_window_pin(kv, 0); /* has none */
    llmc_kv_window_unpin(kv, 0);
    assert_int_equal(llmc_kv_windows_available(kv), 1);
    assert_int_equal(llmc_kv_windows_total(kv), 1);
    llmc_kv_destroy(&kv);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pinned_slots_stay),  cmocka_unit_test(test_another_salt_zeroes),
        cmocka_unit_test(test_order_of_use),       cmocka_unit_test(test_publish_joins_pins),
        cmocka_unit_test(test_publish_moves_slot), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
