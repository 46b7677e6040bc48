/* Operations with a state on the CPU backend: a sequence alone in one step, in pieces, beside others, on other threads, and from a
 * snapshot, gives the same bits; wrong operations are refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "backend/backend.h"
#include "failing_alloc.h"

enum {
    MAX_TOKENS = 64,
    N = 40, /* tokens of the sequence under test */
    TAPS = 4,
    HEADS = 4,
    DIM = 16,
    SIZE = 16,
    GROUPS = 2,
    INNER = HEADS * DIM,               /* of scan and delta */
    MIXED = INNER + 2 * GROUPS * SIZE, /* a row of scan's input and of delta's */
    ROW = 200,                         /* of the raw inputs */
    WINDOW = (TAPS - 1) * MIXED,
    SLOT = WINDOW + 2 * HEADS * DIM * SIZE,
    SLOTS = 4,
    OUT = MIXED + 2 * INNER
};

typedef struct fixture {
    llmc_env env;
    llmc_backend *backend;
    llmc_state_store *states;
    float *rows, *mixed, *scanned, *delta, *weight, *heads; /* device arrays */
    llmc_op ops[3];
} fixture;

static float value(uint64_t i) {
    i = (i + 1) * UINT64_C(0x9E3779B97F4A7C15);
    i = (i ^ (i >> 29)) * UINT64_C(0xBF58476D1CE4E5B9);
    return (float)(int32_t)(i >> 32) * 0x1p-31f;
}

static void open_fixture(fixture *f, int32_t threads) {
    float host[MIXED * TAPS];
    llmc_env_init(&f->env, NULL);
    assert_int_equal(llmc_cpu_backend_create(&f->env, threads, NULL, &f->backend, NULL), LLMCALL_OK);
    const llmc_backend_functions *call = f->backend->call;
    assert_int_equal(call->reserve(f->backend, MAX_TOKENS, ROW, DIM, HEADS, NULL), LLMCALL_OK);
    const llmc_state_shape shape = {.n_slots = SLOTS, .slot_floats = SLOT};
    assert_int_equal(call->state_create(f->backend, &shape, &f->states, NULL), LLMCALL_OK);
    f->rows = call->alloc(f->backend, MAX_TOKENS * ROW);
    f->mixed = call->alloc(f->backend, MAX_TOKENS * MIXED);
    f->scanned = call->alloc(f->backend, MAX_TOKENS * INNER);
    f->delta = call->alloc(f->backend, MAX_TOKENS * INNER);
    f->weight = call->alloc(f->backend, MIXED * TAPS);
    f->heads = call->alloc(f->backend, HEADS);
    for (uint32_t i = 0; i < MIXED * TAPS; i++) host[i] = value(i + 7000);
    assert_int_equal(call->upload(f->backend, f->weight, host, MIXED * TAPS, NULL), LLMCALL_OK);
    for (uint32_t i = 0; i < HEADS; i++) host[i] = -0.25f - 0.1f * (float)i;
    assert_int_equal(call->upload(f->backend, f->heads, host, HEADS, NULL), LLMCALL_OK);
    f->ops[0] = (llmc_op){.kind = LLMC_OP_CONV, .u.conv = {.state = {f->states, 0}, .n_channels = MIXED, .n_taps = TAPS}};
    f->ops[0].u.conv.row = ROW, f->ops[0].u.conv.x = f->rows, f->ops[0].u.conv.weight = f->weight;
    f->ops[0].u.conv.silu = 1, f->ops[0].u.conv.dst = f->mixed;
    f->ops[1] = (llmc_op){.kind = LLMC_OP_SCAN, .u.scan = {.state = {f->states, WINDOW}, .n_heads = HEADS, .head_dim = DIM}};
    llmc_op_scan *scan = &f->ops[1].u.scan;
    scan->state_size = SIZE, scan->n_groups = GROUPS, scan->x = f->mixed, scan->b = f->mixed + INNER, scan->z = f->rows;
    scan->c = scan->b + GROUPS * SIZE, scan->x_row = scan->bc_row = MIXED, scan->z_row = scan->dt_row = ROW;
    scan->dt = f->rows + MIXED, scan->dt_bias = scan->a = scan->d = f->heads, scan->dst = f->scanned;
    f->ops[2] = (llmc_op){.kind = LLMC_OP_DELTA, .u.delta = {.state = {f->states, WINDOW + HEADS * DIM * SIZE}}};
    llmc_op_delta *delta = &f->ops[2].u.delta;
    delta->n_heads = HEADS, delta->n_key_heads = GROUPS, delta->key_dim = SIZE, delta->value_dim = DIM, delta->qkv = f->mixed;
    delta->alpha = f->rows, delta->beta = f->rows + MAX_TOKENS, delta->dt_bias = delta->a = f->heads;
    delta->dst = f->delta;
}

static void close_fixture(fixture *f) {
    const llmc_backend_functions *call = f->backend->call;
    float *arrays[] = {f->rows, f->mixed, f->scanned, f->delta, f->weight, f->heads};
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) call->release(f->backend, arrays[i]);
    call->state_destroy(f->backend, f->states);
    call->destroy(f->backend);
}

/* Inputs of position p of sequence s. alpha and beta overlap the rows; what they are does not matter, but that every step has
 * the same does: they are a function of the row. */
static void run(fixture *f, llmc_segment *segments, const uint32_t *sequences, uint32_t n_segments) {
    static float rows[MAX_TOKENS * ROW];
    static const int32_t tokens[MAX_TOKENS];
    static const uint32_t pages[MAX_TOKENS];
    uint32_t positions[MAX_TOKENS], n = 0;
    for (uint32_t s = 0; s < n_segments; s++) {
        segments[s].first_token = n;
        segments[s].pages = pages;
        segments[s].n_pages = MAX_TOKENS;
        for (uint32_t i = 0; i < segments[s].n_tokens; i++, n++) {
            positions[n] = segments[s].start + i;
            for (uint32_t c = 0; c < ROW; c++) rows[n * ROW + c] = value((sequences[s] * 1000 + positions[n]) * ROW + c);
        }
    }
    llmc_batch batch = {
        .n_tokens = n, .tokens = tokens, .positions = positions, .n_segments = n_segments, .segments = segments};
    assert_int_equal(f->backend->call->upload(f->backend, f->rows, rows, n * ROW, NULL), LLMCALL_OK);
    assert_int_equal(f->backend->call->run(f->backend, &batch, f->ops, 2, NULL), LLMCALL_OK);
    float ab[2 * MAX_TOKENS * HEADS]; /* (n, heads) each, for the delta rule */
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t h = 0; h < HEADS; h++) ab[i * HEADS + h] = ab[(n + i) * HEADS + h] = rows[i * ROW + h];
    }
    assert_int_equal(f->backend->call->upload(f->backend, f->rows, ab, 2 * n * HEADS, NULL), LLMCALL_OK);
    f->ops[2].u.delta.beta = f->rows + n * HEADS;
    assert_int_equal(f->backend->call->run(f->backend, &batch, &f->ops[2], 1, NULL), LLMCALL_OK);
}

/* Appends the results of n tokens from the step's row `first` on. */
static void take(const fixture *f, uint32_t first, uint32_t n, float *out) {
    for (uint32_t i = 0; i < n; i++, out += OUT) {
        memcpy(out, f->mixed + (first + i) * MIXED, MIXED * sizeof(float));
        memcpy(out + MIXED, f->scanned + (first + i) * INNER, INNER * sizeof(float));
        memcpy(out + MIXED + INNER, f->delta + (first + i) * INNER, INNER * sizeof(float));
    }
}

static float expected[N * OUT], found[N * OUT];

static void make_expected(void) {
    fixture f;
    open_fixture(&f, 1);
    llmc_segment segment = {.n_tokens = N, .state = 0};
    uint32_t sequence = 1;
    f.backend->call->state_copy(f.backend, f.states, 0, LLMC_STATE_ZERO);
    run(&f, &segment, &sequence, 1);
    take(&f, 0, N, expected);
    close_fixture(&f);
}

static void test_pieces(void **unused) {
    (void)unused;
    static const uint32_t pieces[] = {1, 2, 3, 7, 16, 39};
    make_expected();
    for (int32_t threads = 1; threads <= 3; threads++) {
        fixture f;
        open_fixture(&f, threads);
        for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
            f.backend->call->state_copy(f.backend, f.states, 2, LLMC_STATE_ZERO);
            for (uint32_t at = 0; at < N; at += pieces[p]) {
                uint32_t n = N - at < pieces[p] ? N - at : pieces[p], sequence = 1;
                llmc_segment segment = {.n_tokens = n, .start = at, .state = 2};
                run(&f, &segment, &sequence, 1);
                take(&f, 0, n, found + at * OUT);
            }
            assert_memory_equal(found, expected, sizeof found);
        }
        close_fixture(&f);
    }
}

static void test_beside_others(void **unused) {
    (void)unused;
    make_expected();
    fixture f;
    open_fixture(&f, 2);
    for (uint32_t slot = 0; slot < 3; slot++) f.backend->call->state_copy(f.backend, f.states, slot, LLMC_STATE_ZERO);
    for (uint32_t at = 0; at < N; at += 8) {
        llmc_segment segments[] = {{.n_tokens = 5, .start = at, .state = 0},
                                   {.n_tokens = 8, .start = at, .state = 1},
                                   {.n_tokens = 1, .start = at, .state = 2}};
        uint32_t sequences[] = {5, 1, 9};
        run(&f, segments, sequences, 3);
        take(&f, 5, 8, found + at * OUT);
    }
    assert_memory_equal(found, expected, sizeof found);
    close_fixture(&f);
}

/* A snapshot in the middle and at the end of a segment; then from its slot, or from a copy of it. */
static void test_snapshots(void **unused) {
    (void)unused;
    make_expected();
    fixture f;
    open_fixture(&f, 2);
    uint32_t sequence = 1;
    for (uint32_t after = 1; after <= 20; after++) {
        llmc_segment segment = {.n_tokens = 20, .state = 0, .snapshot_after = after, .snapshot = 3};
        f.backend->call->state_copy(f.backend, f.states, 0, LLMC_STATE_ZERO);
        run(&f, &segment, &sequence, 1);
        take(&f, 0, 20, found);
        f.backend->call->state_copy(f.backend, f.states, 1, 3);
        llmc_segment rest = {.n_tokens = N - after, .start = after, .state = after % 2 ? 1 : 3};
        run(&f, &rest, &sequence, 1);
        take(&f, 0, N - after, found + after * OUT);
        assert_memory_equal(found, expected, sizeof found);
        llmc_segment second = {.n_tokens = N - 20, .start = 20, .state = 0};
        run(&f, &second, &sequence, 1);
        take(&f, 0, N - 20, found + 20 * OUT);
        assert_memory_equal(found, expected, sizeof found);
    }
    close_fixture(&f);
}

static void expect_fault(fixture *f, const llmc_op *op, const llmc_segment *segment) {
    const int32_t token = 0;
    const uint32_t position = 0;
    llmc_batch batch = {.n_tokens = 1, .tokens = &token, .positions = &position, .n_segments = 1, .segments = segment};
    assert_int_equal(f->backend->call->run(f->backend, &batch, op, 1, NULL), LLMCALL_E_INTERNAL);
}

static void test_faults(void **unused) {
    (void)unused;
    fixture f;
    open_fixture(&f, 1);
    const uint32_t page = 0;
    llmc_segment good = {.n_tokens = 1, .n_pages = 1, .pages = &page}, bad = good;
    llmc_op op;
    bad.state = SLOTS;
    for (int i = 0; i < 3; i++) expect_fault(&f, &f.ops[i], &bad);
    bad.state = 0, bad.snapshot_after = 2;
    expect_fault(&f, &f.ops[0], &bad);
    bad.snapshot_after = 1, bad.snapshot = SLOTS;
    expect_fault(&f, &f.ops[0], &bad);
    op = f.ops[0], op.u.conv.n_taps = 1;
    expect_fault(&f, &op, &good);
    op.u.conv.n_taps = 9;
    expect_fault(&f, &op, &good);
    op = f.ops[0], op.u.conv.state.offset = SLOT - WINDOW + 1;
    expect_fault(&f, &op, &good);
    op = f.ops[0], op.u.conv.state.store = NULL;
    expect_fault(&f, &op, &good);
    op = f.ops[1], op.u.scan.n_groups = 3;
    expect_fault(&f, &op, &good);
    op = f.ops[1], op.u.scan.state_size = 1000;
    expect_fault(&f, &op, &good);
    op = f.ops[2], op.u.delta.key_dim = 513;
    expect_fault(&f, &op, &good);
    op = f.ops[2], op.u.delta.alpha = NULL;
    expect_fault(&f, &op, &good);
    op.u.delta.alpha = f.heads, op.u.delta.dt_bias = NULL;
    expect_fault(&f, &op, &good);
    op = (llmc_op){.kind = LLMC_OP_DECAY, .u.decay = {.n_heads = 1, .dim = 513, .bias = f.heads, .a = f.heads, .x = f.rows}};
    expect_fault(&f, &op, &good);
    op.u.decay.dim = 4, op.u.decay.a = NULL;
    expect_fault(&f, &op, &good);
    op = (llmc_op){.kind = LLMC_OP_CHANNEL_SCAN, .u.channel_scan = {.n_channels = 1, .state_size = 257}};
    expect_fault(&f, &op, &good);
    op.u.channel_scan.state_size = 1;
    expect_fault(&f, &op, &good);
    op = (llmc_op){.kind = LLMC_OP_SHIFT,
                   .u.shift = {.width = SLOT + 1, .n_outputs = 1, .x = f.rows, .weight = f.rows, .dst = f.rows}};
    expect_fault(&f, &op, &good);
    op.u.shift.state.store = f.states;
    expect_fault(&f, &op, &good);
    op = (llmc_op){.kind = LLMC_OP_WKV, .u.wkv = {.n_heads = 1, .dim = 129}};
    expect_fault(&f, &op, &good);
    op.u.wkv.dim = 1;
    expect_fault(&f, &op, &good);
    op = (llmc_op){.kind = LLMC_OP_UNIT};
    expect_fault(&f, &op, &good);
    op = (llmc_op){.kind = LLMC_OP_BLOCKS};
    expect_fault(&f, &op, &good);
    op = (llmc_op){.kind = LLMC_OP_SIGMOID};
    expect_fault(&f, &op, &good);
    op = (llmc_op){.kind = LLMC_OP_GROUP_NORM};
    expect_fault(&f, &op, &good);
    close_fixture(&f);
}

static void test_no_memory(void **unused) {
    (void)unused;
    failing_alloc allocations;
    llmc_env env;
    llmc_backend *backend = NULL;
    llmc_state_store *states = NULL;
    failing_alloc_init(&allocations, &env);
    assert_int_equal(llmc_cpu_backend_create(&env, 1, NULL, &backend, NULL), LLMCALL_OK);
    const llmc_state_shape shape = {.n_slots = 2, .slot_floats = 64},
                           huge = {.n_slots = UINT32_MAX, .slot_floats = SIZE_MAX / 8};
    assert_int_equal(backend->call->state_bytes(backend, &huge), 0);
    assert_int_equal(backend->call->state_create(backend, &huge, &states, NULL), LLMCALL_E_ARGUMENT);
    for (long n = 1; n <= 2; n++) {
        allocations.fail_at = allocations.count + n;
        assert_int_equal(backend->call->state_create(backend, &shape, &states, NULL), LLMCALL_E_NO_MEMORY);
        assert_null(states);
    }
    backend->call->destroy(backend);
    assert_int_equal(allocations.live, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pieces), cmocka_unit_test(test_beside_others), cmocka_unit_test(test_snapshots),
        cmocka_unit_test(test_faults), cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
