/* Prompt look-up: what it finds, what it prefers, that it stays within its bounds and its cost. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "scheduler/draft.h"

enum { MAX_TOKENS = 5000, GUARD = -77 };

typedef struct text {
    llmc_draft draft;
    int32_t *tokens;
    uint32_t n;
} text;

static text open_text(uint32_t max_tokens, uint32_t longest) {
    text t;
    memset(&t, 0, sizeof t);
    t.tokens = malloc((max_tokens + 1) * sizeof *t.tokens);
    t.tokens[max_tokens] = GUARD;
    llmc_draft_init(&t.draft, max_tokens, longest, calloc(llmc_draft_words(max_tokens), sizeof(uint32_t)));
    return t;
}

static void close_text(text *t) {
    free(t->draft.heads);
    free(t->tokens);
}

static void add(text *t, const char *letters) {
    for (; *letters; letters++) t->tokens[t->n++] = *letters;
}

static void expect_guess(text *t, uint32_t max, const char *letters) {
    uint32_t n = llmc_draft_guess(&t->draft, t->tokens, t->n, max);
    assert_int_equal(n, strlen(letters));
    for (uint32_t i = 0; i < n; i++) assert_int_equal(t->tokens[t->n + i], letters[i]);
}

static void finds_what_followed(void **state) {
    (void)state;
    text t = open_text(100, 15);
    expect_guess(&t, 5, "");
    add(&t, "ab");
    expect_guess(&t, 5, "");
    add(&t, "cdefghijkl-ab");
    expect_guess(&t, 5, "cdefg");
    expect_guess(&t, 0, "");
    expect_guess(&t, 100, "cdefghij"); /* 8 at first */
    add(&t, "x");
    expect_guess(&t, 5, "");
    add(&t, "ghi");
    expect_guess(&t, 3, "jkl");
    close_text(&t);
}

static void prefers_the_longest_match_then_the_latest(void **state) {
    (void)state;
    text t = open_text(100, 15);
    add(&t, "zabc1 yabc2 abc3 zabc");
    expect_guess(&t, 1, "1");
    t.n -= 4;
    add(&t, "dabc");
    expect_guess(&t, 1, "3");
    close_text(&t);
}

static void one_token_is_no_match(void **state) {
    (void)state;
    text t = open_text(100, 15);
    add(&t, "ab cb db");
    expect_guess(&t, 4, "");
    close_text(&t);
}

static void copies_what_it_writes(void **state) {
    (void)state;
    text t = open_text(100, 15);
    add(&t, "xyxy");
    expect_guess(&t, 8, "xyxyxyxy");
    add(&t, "aaa");
    expect_guess(&t, 5, "aaaaa");
    close_text(&t);
}

static void limit_follows_success(void **state) {
    (void)state;
    text t = open_text(100, 15);
    add(&t, "aaaa");
    assert_int_equal(llmc_draft_guess(&t.draft, t.tokens, t.n, 99), 8);
    llmc_draft_learn(&t.draft, 8, 8);
    assert_int_equal(llmc_draft_guess(&t.draft, t.tokens, t.n, 99), 15);
    llmc_draft_learn(&t.draft, 15, 15);
    llmc_draft_learn(&t.draft, 15, 9);
    assert_int_equal(llmc_draft_guess(&t.draft, t.tokens, t.n, 99), 9);
    llmc_draft_learn(&t.draft, 9, 0);
    assert_int_equal(llmc_draft_guess(&t.draft, t.tokens, t.n, 99), 4);
    llmc_draft_learn(&t.draft, 0, 0); /* nothing was guessed: nothing is learnt */
    for (int i = 0; i < 5; i++) llmc_draft_learn(&t.draft, 1, 0);
    assert_int_equal(llmc_draft_guess(&t.draft, t.tokens, t.n, 99), 1);
    llmc_draft_learn(&t.draft, 1, 1);
    assert_int_equal(llmc_draft_guess(&t.draft, t.tokens, t.n, 99), 2);
    close_text(&t);
    t = open_text(100, 1);
    add(&t, "aaaa");
    llmc_draft_learn(&t.draft, 1, 1);
    assert_int_equal(llmc_draft_guess(&t.draft, t.tokens, t.n, 99), 1);
    close_text(&t);
    t = open_text(100, UINT32_MAX);
    add(&t, "aaaa");
    for (int i = 0; i < 5; i++) llmc_draft_learn(&t.draft, 1, 1);
    assert_int_equal(llmc_draft_guess(&t.draft, t.tokens, t.n, 99), LLMC_DRAFT_MAX);
    close_text(&t);
}

/* The same by comparing with every earlier position; where a pair is rarer than the candidates, both agree. */
static uint32_t slow_match(const int32_t *tokens, uint32_t n) {
    uint32_t best = 0, longest = 1;
    for (uint32_t p = n - 2; p > 0; p--) {
        uint32_t length = 0;
        while (length < LLMC_DRAFT_MATCH && length <= p && tokens[p - length] == tokens[n - 1 - length]) length++;
        if (length > longest) longest = length, best = p;
    }
    return best;
}

static void agrees_with_a_search(void **state) {
    (void)state;
    uint64_t random = 5;
    text t = open_text(MAX_TOKENS, 15);
    uint32_t found = 0;
    for (uint32_t i = 0; i < 3; i++) t.tokens[t.n++] = (int32_t)i;
    while (t.n + 4 < MAX_TOKENS) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint32_t value = (uint32_t)(random >> 33);
        /* Copies of what came before, with errors; ids of both signs. */
        t.tokens[t.n] = value % 4 ? t.tokens[t.n - (t.n > 900 ? 890 : 3)] : (int32_t)(value % 2000) - 1000;
        t.n++;
        if (value % 3 == 0) continue;
        uint32_t expected = slow_match(t.tokens, t.n);
        uint32_t n = llmc_draft_guess(&t.draft, t.tokens, t.n, 4);
        assert_int_equal(n > 0, expected > 0);
        for (uint32_t i = 0; i < n; i++) assert_int_equal(t.tokens[t.n + i], t.tokens[expected + 1 + i]);
        found += n > 0;
    }
    assert_true(found > 500);
    assert_int_equal(t.tokens[MAX_TOKENS], GUARD);
    close_text(&t);
}

/* A text of one word has as many candidates as tokens. */
static void fills_to_the_end(void **state) {
    (void)state;
    text t = open_text(MAX_TOKENS, 15);
    for (t.n = 0; t.n < MAX_TOKENS;) {
        t.tokens[t.n++] = 3;
        uint32_t n = llmc_draft_guess(&t.draft, t.tokens, t.n, MAX_TOKENS - t.n);
        assert_true(n <= MAX_TOKENS - t.n);
        llmc_draft_learn(&t.draft, n, n);
    }
    assert_int_equal(t.tokens[MAX_TOKENS], GUARD);
    close_text(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_followed),   cmocka_unit_test(prefers_the_longest_match_then_the_latest),
        cmocka_unit_test(one_token_is_no_match), cmocka_unit_test(copies_what_it_writes),
        cmocka_unit_test(limit_follows_success), cmocka_unit_test(agrees_with_a_search),
        cmocka_unit_test(fills_to_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
