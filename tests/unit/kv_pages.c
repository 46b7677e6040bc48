/* The KV page table: prefixes, reference counts, order of eviction, separation of salts; and thousands of random operations
 * against a naive model. */
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

static llmc_kv *make(uint32_t n_pages, int enabled) {
    static llmc_env env;
    llmc_env_init(&env, NULL);
    llmc_kv *kv = NULL;
    assert_int_equal(llmc_kv_create(&env, n_pages, enabled, &kv, NULL), LLMCALL_OK);
    return kv;
}

static uint32_t acquire(llmc_kv *kv, uint64_t salt, int zero) {
    uint32_t page = UINT32_MAX;
    int needs_zero = -1;
    assert_int_equal(llmc_kv_acquire(kv, key(salt), &page, &needs_zero), 1);
    assert_int_equal(needs_zero, zero);
    return page;
}

static void expect_stats(const llmc_kv *kv, uint32_t used, uint32_t cached) {
    uint32_t total, u, c;
    llmc_kv_stats(kv, &total, &u, &c);
    assert_int_equal(u, used);
    assert_int_equal(c, cached);
    assert_int_equal(llmc_kv_available(kv), total - used);
}

static void fill(int32_t *tokens, uint32_t n, int32_t first) {
    for (uint32_t i = 0; i < n; i++) tokens[i] = first + (int32_t)i;
}

static void test_match_and_publish(void **state) {
    (void)state;
    llmc_kv *kv = make(8, 1);
    int32_t tokens[4 * T];
    uint32_t pages[4], found[4];
    fill(tokens, 4 * T, 100);
    for (int i = 0; i < 3; i++) pages[i] = acquire(kv, 7, 0);
    assert_int_equal(llmc_kv_match(kv, key(7), tokens, 4 * T, 4, found), 0);
    llmc_kv_publish(kv, key(7), tokens, 2 * T + 5, pages);
    assert_int_equal(llmc_kv_match(kv, key(7), tokens, 4 * T, 4, found), 2);
    assert_memory_equal(found, pages, 2 * sizeof *pages);
    assert_int_equal(llmc_kv_references(kv, pages[1]), 2);
    assert_int_equal(llmc_kv_match(kv, key(7), tokens, 4 * T, 1, found), 1);
    assert_int_equal(llmc_kv_match(kv, key(7), tokens, 2 * T - 1, 4, found), 1);
    assert_int_equal(llmc_kv_references(kv, pages[0]), 4);
    assert_int_equal(llmc_kv_match(kv, key(8), tokens, 4 * T, 4, found), 0);
    found[0] = pages[0];
    assert_int_equal(llmc_kv_extend(kv, key(7), tokens, 4 * T, 1, 4, found), 1);
    assert_int_equal(found[1], pages[1]);
    found[0] = pages[2];
    assert_int_equal(llmc_kv_extend(kv, key(7), tokens, 4 * T, 1, 4, found), 0);
    tokens[2 * T - 1]++;
    assert_int_equal(llmc_kv_match(kv, key(7), tokens, 4 * T, 4, found), 1);
    assert_int_equal(llmc_kv_match(kv, key(7), tokens + T, 3 * T, 3, found), 0);
    llmc_kv_destroy(&kv);
    assert_null(kv);
    llmc_kv_destroy(&kv);
}

static void test_duplicate_is_given_back(void **state) {
    (void)state;
    llmc_kv *kv = make(4, 1);
    int32_t tokens[2 * T];
    fill(tokens, 2 * T, 0);
    uint32_t a = acquire(kv, 1, 0);
    uint32_t b[2] = {acquire(kv, 1, 0), acquire(kv, 1, 0)}, own = b[0];
    llmc_kv_publish(kv, key(1), tokens, T, &a);
    llmc_kv_publish(kv, key(1), tokens, 2 * T, b);
    assert_int_equal(b[0], a);
    assert_int_equal(llmc_kv_references(kv, own), 0);
    assert_int_equal(llmc_kv_references(kv, a), 2);
    expect_stats(kv, 2, 0);
    /* Out of order: nobody holds a any more, but b[1] below it is held, so it cannot be given away. */
    llmc_kv_release(kv, a);
    llmc_kv_release(kv, b[0]);
    expect_stats(kv, 2, 0);
    llmc_kv_release(kv, b[1]);
    expect_stats(kv, 0, 2);
    llmc_kv_destroy(&kv);
}

static void test_eviction_order(void **state) {
    (void)state;
    llmc_kv *kv = make(4, 1);
    int32_t x[2 * T], y[2 * T];
    uint32_t px[2], py[2], found[2];
    fill(x, 2 * T, 0);
    fill(y, 2 * T, 1000);
    for (int i = 0; i < 2; i++) px[i] = acquire(kv, 1, 0);
    for (int i = 0; i < 2; i++) py[i] = acquire(kv, 1, 0);
    llmc_kv_publish(kv, key(1), x, 2 * T, px);
    llmc_kv_publish(kv, key(1), y, 2 * T, py);
    for (int i = 0; i < 2; i++) llmc_kv_release(kv, px[i]);
    for (int i = 0; i < 2; i++) llmc_kv_release(kv, py[i]);
    expect_stats(kv, 0, 4);
    /* x is used again, so y goes first, its leaf before its root. */
    assert_int_equal(llmc_kv_match(kv, key(1), x, 2 * T, 2, found), 2);
    for (int i = 0; i < 2; i++) llmc_kv_release(kv, found[i]);
    assert_int_equal(acquire(kv, 1, 0), py[1]);
    assert_int_equal(acquire(kv, 2, 1), py[0]);
    assert_int_equal(llmc_kv_match(kv, key(1), y, 2 * T, 2, found), 0);
    assert_int_equal(acquire(kv, 1, 0), px[1]);
    assert_int_equal(acquire(kv, 1, 0), px[0]);
    uint32_t page;
    int needs_zero;
    assert_int_equal(llmc_kv_acquire(kv, key(1), &page, &needs_zero), 0);
    llmc_kv_destroy(&kv);
}

/* One page has one hash bucket: only the comparison keeps these apart. */
static void test_colliding_keys(void **state) {
    (void)state;
    llmc_kv *kv = make(1, 1);
    int32_t tokens[2 * T];
    uint32_t found[2], a = acquire(kv, 1, 0);
    memset(tokens, 0, sizeof tokens);
    llmc_kv_publish(kv, key(1), tokens, T, &a);
    assert_int_equal(llmc_kv_match(kv, key(2), tokens, 2 * T, 2, found), 0);
    assert_int_equal(llmc_kv_match(kv, key(1), tokens, 2 * T, 2, found), 1);
    for (int i = 0; i < T; i++) {
        tokens[i] = 1;
        assert_int_equal(llmc_kv_match(kv, key(1), tokens, 2 * T, 2, found), 0);
        tokens[i] = 0;
    }
    llmc_kv_destroy(&kv);
}

static void test_needs_zero(void **state) {
    (void)state;
    llmc_kv *kv = make(1, 0);
    llmc_kv_release(kv, acquire(kv, 5, 0));
    llmc_kv_release(kv, acquire(kv, 5, 0));
    llmc_kv_release(kv, acquire(kv, 6, 1));
    llmc_kv_release(kv, acquire(kv, 6, 0));
    llmc_kv_release(kv, acquire(kv, 0, 1));
    llmc_kv_destroy(&kv);
}

static void test_disabled_and_dropped(void **state) {
    (void)state;
    int32_t tokens[T];
    uint32_t found;
    fill(tokens, T, 0);
    llmc_kv *kv = make(2, 0);
    uint32_t a = acquire(kv, 1, 0);
    llmc_kv_publish(kv, key(1), tokens, T, &a);
    assert_int_equal(llmc_kv_match(kv, key(1), tokens, T, 1, &found), 0);
    llmc_kv_release(kv, a);
    expect_stats(kv, 0, 0);
    llmc_kv_destroy(&kv);
    kv = make(2, 1);
    a = acquire(kv, 1, 0);
    llmc_kv_publish(kv, key(1), tokens, T, &a);
    llmc_kv_drop_cached(kv);
    assert_int_equal(llmc_kv_match(kv, key(1), tokens, T, 1, &found), 0);
    expect_stats(kv, 1, 0);
    llmc_kv_publish(kv, key(1), tokens, T, &a);
    llmc_kv_release(kv, a);
    expect_stats(kv, 0, 1);
    llmc_kv_drop_cached(kv);
    expect_stats(kv, 0, 0);
    llmc_kv_destroy(&kv);
}

static void test_bad_calls_are_harmless(void **state) {
    (void)state;
    llmc_env env;
    llmc_env_init(&env, NULL);
    llmc_kv *kv = (llmc_kv *)&env;
    assert_int_equal(llmc_kv_create(&env, 0, 1, &kv, NULL), LLMCALL_E_ARGUMENT);
    assert_null(kv);
    kv = make(2, 1);
    llmc_kv_release(kv, 0);
    llmc_kv_release(kv, 99);
    llmc_kv_retain(kv, 1);
    llmc_kv_retain(kv, 99);
    expect_stats(kv, 0, 0);
    llmc_kv_destroy(&kv);
}

static void test_allocation_failures(void **state) {
    (void)state;
    for (long n = 1;; n++) {
        llmc_env env;
        failing_alloc f;
        failing_alloc_init(&f, &env);
        f.fail_at = n;
        llmc_kv *kv = NULL;
        llmcall_status status = llmc_kv_create(&env, 100, 1, &kv, NULL);
        if (status != LLMCALL_OK) {
            assert_int_equal(status, LLMCALL_E_NO_MEMORY);
            assert_null(kv);
        }
        llmc_kv_destroy(&kv);
        assert_int_equal(f.live, 0);
        if (status == LLMCALL_OK) return;
    }
}

/* ---- Random operations against a naive model ---------------------------------------------------------------------------- */

/* A prefix is up to DEPTH pages, each of CODES possible contents, which differ in one token only. */
enum { PAGES = 24, SLOTS = 7, DEPTH = 6, CODES = 3, OPERATIONS = 20000 };

typedef struct model_page {
    uint32_t references;
    int written, published, was_active;
    uint64_t space;
    uint32_t depth; /* pages of the prefix that ends here */
    uint8_t path[DEPTH];
    long inactive_since;
} model_page;

typedef struct slot {
    uint32_t n;
    uint64_t space;
    uint8_t path[DEPTH];
    uint32_t pages[DEPTH];
    int32_t tokens[(DEPTH + 1) * T];
} slot;

static model_page model[PAGES];
static slot slots[SLOTS];
static uint64_t random_state;

static uint32_t random_below(uint32_t n) {
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % n;
}

/* Two salts, each with an adapter and without. */
static llmc_kv_key key_of(uint64_t space) {
    return (llmc_kv_key){.salt = space % 2, .adapter = space / 2};
}

static int model_find(uint64_t space, const uint8_t *path, uint32_t depth) {
    for (int i = 0; i < PAGES; i++) {
        const model_page *p = &model[i];
        if (p->published && p->space == space && p->depth == depth && memcmp(p->path, path, depth) == 0) return i;
    }
    return -1;
}

static int model_active(int page) {
    const model_page *p = &model[page];
    if (p->references > 0) return 1;
    for (int i = 0; p->published && i < PAGES; i++) {
        const model_page *q = &model[i];
        if (q->published && q->references > 0 && q->space == p->space && q->depth > p->depth &&
            memcmp(q->path, p->path, p->depth) == 0) {
            return 1;
        }
    }
    return 0;
}

static void model_note_activity(long now) {
    for (int i = 0; i < PAGES; i++) {
        int active = model_active(i);
        if (!active && model[i].was_active) model[i].inactive_since = now;
        model[i].was_active = active;
    }
}

/* The page to be evicted: inactive for longest, and the deepest of those that turned inactive together. */
static int model_victim(void) {
    int victim = -1;
    for (int i = 0; i < PAGES; i++) {
        const model_page *p = &model[i], *v = victim < 0 ? NULL : &model[victim];
        if (!p->published || model_active(i)) continue;
        if (!v || p->inactive_since < v->inactive_since || (p->inactive_since == v->inactive_since && p->depth > v->depth)) {
            victim = i;
        }
    }
    return victim;
}

static void check_model(const llmc_kv *kv) {
    uint32_t used = 0, cached = 0;
    for (int i = 0; i < PAGES; i++) {
        assert_int_equal(llmc_kv_references(kv, (uint32_t)i), model[i].references);
        assert_int_equal(llmc_kv_published(kv, (uint32_t)i), model[i].published);
        if (model_active(i)) {
            used++;
        } else if (model[i].published) {
            cached++;
        }
    }
    expect_stats(kv, used, cached);
}

static void random_prefix(slot *s) {
    s->space = random_below(4);
    s->n = 1 + random_below(DEPTH);
    for (uint32_t i = 0; i < DEPTH; i++) {
        s->path[i] = (uint8_t)random_below(CODES);
        for (uint32_t j = 0; j < T; j++) s->tokens[i * T + j] = j == 5 ? (int32_t)s->path[i] : -1;
    }
}

static void release_one(llmc_kv *kv, uint32_t page, long now) {
    llmc_kv_release(kv, page);
    model[page].references--;
    model_note_activity(now);
}

static int acquire_one(llmc_kv *kv, slot *s, uint32_t i) {
    int n_free = 0, victim = model_victim(), needs_zero = -1;
    for (int p = 0; p < PAGES; p++) n_free += !model_active(p) && !model[p].published;
    uint32_t page;
    if (!llmc_kv_acquire(kv, key_of(s->space), &page, &needs_zero)) {
        assert_true(n_free == 0 && victim < 0);
        return 0;
    }
    model_page *m = &model[page];
    if (n_free == 0) assert_int_equal(page, victim);
    if (n_free > 0) assert_false(m->published);
    assert_int_equal(m->references, 0);
    assert_int_equal(needs_zero, m->written && m->space % 2 != s->space % 2);
    *m = (model_page){.references = 1, .written = 1, .was_active = 1, .space = s->space};
    s->pages[i] = page;
    return 1;
}

static void operate_start(llmc_kv *kv, slot *s, long *now) {
    random_prefix(s);
    uint32_t max = random_below(DEPTH + 1), expected = 0;
    while (expected < s->n && expected < max && model_find(s->space, s->path, expected + 1) >= 0) expected++;
    uint32_t n = llmc_kv_match(kv, key_of(s->space), s->tokens, s->n * T + random_below(T), max, s->pages);
    assert_int_equal(n, expected);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(s->pages[i], model_find(s->space, s->path, i + 1));
        model[s->pages[i]].references++;
    }
    model_note_activity(++*now);
    for (uint32_t i = n; i < s->n; i++) {
        if (acquire_one(kv, s, i)) continue;
        s->n = i;
    }
}

static void operate_publish(llmc_kv *kv, slot *s, long now) {
    uint32_t n = random_below(s->n + 1), own[DEPTH];
    memcpy(own, s->pages, sizeof own);
    llmc_kv_publish(kv, key_of(s->space), s->tokens, n * T + random_below(T), s->pages);
    for (uint32_t i = 0; i < n; i++) {
        int known = model_find(s->space, s->path, i + 1);
        if (known >= 0) {
            model[known].references++;
            model[own[i]].references--;
            assert_int_equal(s->pages[i], known);
            continue;
        }
        assert_int_equal(s->pages[i], own[i]);
        model_page *m = &model[own[i]];
        m->published = 1;
        m->depth = i + 1;
        memcpy(m->path, s->path, DEPTH);
    }
    model_note_activity(now);
}

static void operate_release(llmc_kv *kv, slot *s, long *now) {
    int from_front = (int)random_below(2);
    for (uint32_t i = 0; i < s->n; i++) release_one(kv, s->pages[from_front ? i : s->n - 1 - i], ++*now);
    s->n = 0;
}

static void test_random_operations(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        llmc_env env;
        failing_alloc f;
        failing_alloc_init(&f, &env);
        llmc_kv *kv = NULL;
        assert_int_equal(llmc_kv_create(&env, PAGES, 1, &kv, NULL), LLMCALL_OK);
        long allocations = f.count, now = 0;
        memset(model, 0, sizeof model);
        memset(slots, 0, sizeof slots);
        random_state = seed;
        for (int i = 0; i < OPERATIONS; i++) {
            slot *s = &slots[random_below(SLOTS)];
            now++;
            if (s->n == 0) {
                operate_start(kv, s, &now);
            } else if (random_below(3) > 0) {
                operate_publish(kv, s, now);
            } else {
                operate_release(kv, s, &now);
            }
            if (random_below(1000) == 0) {
                llmc_kv_drop_cached(kv);
                for (int p = 0; p < PAGES; p++) model[p].published = 0;
                model_note_activity(now);
            }
            check_model(kv);
        }
        assert_int_equal(f.count, allocations);
        llmc_kv_destroy(&kv);
        assert_int_equal(f.live, 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match_and_publish),      cmocka_unit_test(test_duplicate_is_given_back),
        cmocka_unit_test(test_eviction_order),         cmocka_unit_test(test_needs_zero),
        cmocka_unit_test(test_colliding_keys),         cmocka_unit_test(test_disabled_and_dropped),
        cmocka_unit_test(test_bad_calls_are_harmless), cmocka_unit_test(test_allocation_failures),
        cmocka_unit_test(test_random_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
