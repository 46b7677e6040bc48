/* Memory and what is built on it: the allocator wrapper, bounded buffers, and the byte cursor. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_alloc.h"
#include "core/alloc.h"
#include "core/buffer.h"
#include "core/cursor.h"

typedef struct size_check {
    size_t out;
} size_check;

static void *size_checking(void *user, void *old, size_t old_size, size_t new_size) {
    size_check *c = user;
    assert_true(old ? old_size > 0 && old_size <= c->out : old_size == 0);
    c->out += new_size - old_size;
    if (new_size) return realloc(old, new_size);
    free(old);
    return NULL;
}

static void tells_the_allocator_sizes(void **state) {
    (void)state;
    size_check c = {0};
    llmc_env env;
    llmc_env_init(&env, NULL);
    env.allocate = size_checking;
    env.allocate_user = &c;
    char *block = llmc_alloc(&env, 10);
    assert_true((uintptr_t)block % _Alignof(max_align_t) == 0);
    memcpy(block, "123456789", 10);
    block = llmc_realloc_array(&env, block, 1000, 3);
    assert_string_equal(block, "123456789");
    void *empty = llmc_alloc(&env, 0);
    assert_non_null(empty);
    int *zeros = llmc_zalloc_array(&env, 5, sizeof *zeros);
    for (int i = 0; i < 5; i++) assert_int_equal(zeros[i], 0);
    char *copy = llmc_strdup(&env, "abcdef", 3);
    assert_string_equal(copy, "abc");
    llmc_free(&env, copy);
    llmc_free(&env, zeros);
    llmc_free(&env, empty);
    llmc_free(&env, block);
    llmc_free(&env, NULL);
    assert_int_equal(c.out, 0);
}

static void refuses_impossible_sizes(void **state) {
    (void)state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    const size_t half = (size_t)1 << 63;
    char *block = llmc_alloc(&env, 8);
    assert_null(llmc_alloc(&env, SIZE_MAX));
    assert_null(llmc_alloc(&env, SIZE_MAX - 15));
    assert_null(llmc_alloc(&env, half));
    assert_null(llmc_alloc_array(&env, half, 2));
    assert_null(llmc_zalloc_array(&env, SIZE_MAX / 2, 3));
    assert_null(llmc_realloc_array(&env, block, half, 4));
    assert_null(llmc_strdup(&env, "", SIZE_MAX));
    assert_null(llmc_alloc_aligned(&env, SIZE_MAX - 64, 64));
    assert_null(llmc_alloc_aligned(&env, 1, 8192));
    assert_null(llmc_alloc_aligned(&env, 1, 48));
    llmc_free(&env, block);
}

static void aligns(void **state) {
    (void)state;
    failing_alloc f;
    llmc_env env;
    failing_alloc_init(&f, &env);
    for (size_t alignment = 1; alignment <= 4096; alignment *= 2) {
        for (size_t size = 0; size < 200; size += 33) {
            char *block = llmc_alloc_aligned(&env, size, alignment);
            assert_true((uintptr_t)block % alignment == 0);
            memset(block, 1, size);
            llmc_free_aligned(&env, block);
        }
    }
    llmc_free_aligned(&env, NULL);
    assert_int_equal(f.live, 0);
}

static void grows_up_to_a_cap(void **state) {
    (void)state;
    failing_alloc f;
    llmc_env env;
    failing_alloc_init(&f, &env);
    void *block = NULL;
    size_t capacity = 0;
    assert_true(llmc_grow(&env, &block, &capacity, 0, 4, 100) && !block);
    assert_true(llmc_grow(&env, &block, &capacity, 1, 4, 100) && capacity == 8);
    assert_true(llmc_grow(&env, &block, &capacity, 9, 4, 100) && capacity == 16);
    assert_true(llmc_grow(&env, &block, &capacity, 70, 4, 100) && capacity == 100);
    assert_false(llmc_grow(&env, &block, &capacity, 101, 4, 100));
    f.fail_at = f.count + 1;
    void *before = block;
    assert_false(llmc_grow(&env, &block, &capacity, 101, 4, 1000));
    assert_true(block == before && capacity == 100);
    llmc_free(&env, block);
    block = NULL;
    capacity = 0;
    assert_true(llmc_grow(&env, &block, &capacity, 3, 4, 3) && capacity == 3);
    assert_false(llmc_grow(&env, &block, &capacity, SIZE_MAX, 4, SIZE_MAX));
    llmc_free(&env, block);
    assert_int_equal(f.live, 0);
}

static void buffers_text(void **state) {
    (void)state;
    failing_alloc f;
    llmc_env env;
    failing_alloc_init(&f, &env);
    llmc_buffer b;
    llmc_buffer_init(&b, &env, 20);
    assert_null(b.data);
    assert_true(llmc_buffer_append_text(&b, "hello") && llmc_buffer_append_char(&b, ' ') && llmc_buffer_printf(&b, "%d", 42));
    assert_string_equal(b.data, "hello 42");
    llmc_buffer_drop_front(&b, 6);
    assert_string_equal(b.data, "42");
    assert_false(llmc_buffer_append_text(&b, "1234567890123456789"));
    assert_int_equal(b.status, LLMCALL_E_BUFFER);
    assert_false(llmc_buffer_append_char(&b, 'x')); /* sticky */
    assert_string_equal(b.data, "42");
    llmc_buffer_clear(&b);
    assert_true(llmc_buffer_append_text(&b, "12345678901234567890") && b.size == 20);
    llmc_buffer_drop_front(&b, 100);
    assert_int_equal(b.size, 0);
    llmc_buffer_free(&b);
    f.fail_at = f.count + 1;
    assert_false(llmc_buffer_append_char(&b, 'x'));
    assert_int_equal(b.status, LLMCALL_E_NO_MEMORY);
    llmc_buffer_free(&b);
    assert_int_equal(b.status, LLMCALL_OK);
    llmc_buffer_init(&b, &env, SIZE_MAX);
    assert_false(llmc_buffer_append(&b, "", SIZE_MAX));
    assert_int_equal(b.status, LLMCALL_E_BUFFER);
    llmc_buffer_clear(&b);
    assert_false(llmc_buffer_printf(&b, "%600d", 1));
    assert_int_equal(b.status, LLMCALL_E_BUFFER);
    llmc_buffer_free(&b);
    assert_int_equal(f.live, 0);
}

static void reads_little_endian(void **state) {
    (void)state;
    const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17};
    llmc_cursor c;
    llmc_cursor_init(&c, bytes, sizeof bytes);
    assert_int_equal(llmc_cursor_u8(&c), 1);
    assert_int_equal(llmc_cursor_u16(&c), 0x0302);
    assert_int_equal(llmc_cursor_u32(&c), 0x07060504);
    assert_true(llmc_cursor_u64(&c) == 0x0f0e0d0c0b0a0908u);
    assert_int_equal(llmc_cursor_left(&c), 2);
    assert_int_equal(llmc_cursor_u32(&c), 0);
    assert_true(c.failed && c.failed_offset == 15);
    assert_int_equal(llmc_cursor_u8(&c), 0); /* sticky */
    assert_int_equal(llmc_cursor_left(&c), 0);
    llmc_cursor_fail(&c, "other");
    assert_string_equal(c.failed_reason, "unexpected end");
    llmc_cursor_init(&c, bytes, sizeof bytes);
    llmc_cursor_skip(&c, 17);
    assert_non_null(llmc_cursor_bytes(&c, 0));
    assert_null(llmc_cursor_bytes(&c, UINT64_MAX));
    llmc_cursor_init(&c, NULL, 0);
    assert_int_equal(llmc_cursor_u8(&c), 0);
    assert_true(c.failed);
}

static void checks_products_and_sums(void **state) {
    (void)state;
    uint64_t r = 0;
    assert_true(llmc_mul_u64(UINT32_MAX, UINT32_MAX, &r) && r == 0xfffffffe00000001u);
    assert_false(llmc_mul_u64((uint64_t)1 << 32, (uint64_t)1 << 32, &r));
    assert_true(llmc_mul_u64(UINT64_MAX, 0, &r) && r == 0);
    assert_true(llmc_add_u64(UINT64_MAX - 1, 1, &r) && r == UINT64_MAX);
    assert_false(llmc_add_u64(UINT64_MAX, 1, &r));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_the_allocator_sizes),
        cmocka_unit_test(refuses_impossible_sizes),
        cmocka_unit_test(aligns),
        cmocka_unit_test(grows_up_to_a_cap),
        cmocka_unit_test(buffers_text),
        cmocka_unit_test(reads_little_endian),
        cmocka_unit_test(checks_products_and_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
