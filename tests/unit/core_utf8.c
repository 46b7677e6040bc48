/* UTF-8 against its definition: every code point, every sequence of up to three bytes. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/utf8.h"

static void encodes_and_decodes_every_code_point(void **state) {
    (void)state;
    for (uint32_t c = 0; c <= 0x110000; c++) {
        char text[4];
        size_t size = llmc_utf8_encode(c, text);
        int scalar = c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
        if (!scalar) {
            assert_int_equal(size, 0);
            continue;
        }
        uint32_t back = 0;
        if (llmc_utf8_decode(text, size, &back) != size || back != c) fail_msg("U+%04X", c);
        for (size_t cut = 1; cut < size; cut++) {
            if (llmc_utf8_incomplete_tail(text, cut) != cut || llmc_utf8_decode(text, cut, &back)) fail_msg("U+%04X cut", c);
        }
        if (llmc_utf8_incomplete_tail(text, size)) fail_msg("U+%04X whole", c);
    }
}

/* Whether bytes begin some well-formed character, from those that exist. */
static void refuses_everything_else(void **state) {
    (void)state;
    static uint8_t begins[1 << 16]; /* two-byte prefixes of characters of three or four bytes, and whole two-byte characters */
    for (uint32_t c = 0x80; c <= 0x10ffff; c++) {
        char text[4];
        if (llmc_utf8_encode(c, text)) begins[(uint8_t)text[0] << 8 | (uint8_t)text[1]] = 1;
    }
    for (uint32_t pair = 0; pair < 65536; pair++) {
        const char text[2] = {(char)(pair >> 8), (char)pair};
        uint8_t lead = (uint8_t)(pair >> 8);
        uint32_t c;
        size_t decoded = llmc_utf8_decode(text, 2, &c);
        size_t expected = lead < 0x80 ? 1 : begins[pair] && lead < 0xe0 ? 2 : 0;
        if (decoded != expected) fail_msg("decode %04x", pair);
        size_t tail = llmc_utf8_incomplete_tail(text, 2);
        uint8_t last = (uint8_t)pair;
        size_t expected_tail = last >= 0xc2 && last <= 0xf4 ? 1 : begins[pair] && lead >= 0xe0 ? 2 : 0;
        if (tail != expected_tail) fail_msg("tail %04x: %zu", pair, tail);
    }
}

static void finds_the_first_broken_byte(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t size, valid, tail;
    } cases[] = {
        {"", 0, 0, 0},
        {"plain text, longer than eight bytes", 35, 35, 0},
        {"12345678\xff", 9, 8, 0},
        {"1234567\xc3\xa9"
         "89",
         11, 11, 0},
        {"a\xe2\x82", 3, 1, 2},
        {"\xf0\x9f\x98\x80", 4, 4, 0},
        {"\xf0\x9f\x98", 3, 0, 3},
        {"\xc0\x80", 2, 0, 0},
        {"\xed\xa0\x80", 3, 0, 0},
        {"\xf4\x90\x80\x80", 4, 0, 0},
        {"\xe0\x80", 2, 0, 0},
        {"\xf5", 1, 0, 0},
        {"\x80\x80\x80\x80", 4, 0, 0},
        {"a\0b", 3, 3, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(llmc_utf8_valid_prefix(cases[i].text, cases[i].size), cases[i].valid);
        assert_int_equal(llmc_utf8_incomplete_tail(cases[i].text, cases[i].size), cases[i].tail);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_and_decodes_every_code_point),
        cmocka_unit_test(refuses_everything_else),
        cmocka_unit_test(finds_the_first_broken_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
