/* Weights that the CPU backend reads itself, on all of its threads: the same bytes as those handed to it, whatever the threads;
 * failures, a stop and the lack of memory come back as a status. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "failing_alloc.h"
#include "backend/cpu/backend.h"
#include "kernels/cpu/pack.h"
#include "tests/kernels/random_weights.h"

enum { N_MATRICES = 2 * N_WEIGHT_TYPES };

typedef struct matrix {
    const weight_type *type;
    uint32_t rows, cols;
    size_t row_bytes;
    uint8_t *blocks;
    llmc_weight *read, *filled;
} matrix;

typedef struct fixture {
    failing_alloc memory;
    llmc_env env;
    llmc_backend *backend;
    matrix matrix[N_MATRICES];
    llmc_weight_source sources[N_MATRICES];
    uint64_t bytes, done;
    uint64_t stop_at; /* of progress; 0: never */
    const matrix *broken;
} fixture;

static llmcall_status read_rows(void *user, const void *tensor, uint32_t first_row, uint32_t n_rows, void *dst,
                                llmcall_error *error) {
    const fixture *f = user;
    const matrix *m = tensor;
    if (m == f->broken && first_row + n_rows == m->rows) {
        return llmc_fail(error, LLMCALL_E_IO, NULL, m->type->name, "broken at row %u", m->rows);
    }
    memcpy(dst, m->blocks + first_row * m->row_bytes, n_rows * m->row_bytes);
    return LLMCALL_OK;
}

static llmcall_status progress(void *user, uint64_t bytes, llmcall_error *error) {
    fixture *f = user;
    assert_true(bytes > 0);
    f->done += bytes;
    assert_true(f->done <= f->bytes);
    if (!f->stop_at || f->done < f->stop_at) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_CANCELLED, NULL, NULL, "stopped");
}

static llmcall_status create(fixture *f, int in_a_block, llmcall_error *error) {
    const llmc_backend_functions *call = f->backend->call;
    size_t bytes = 0;
    llmcall_status status = LLMCALL_OK;
    for (int i = 0; i < N_MATRICES; i++) {
        const matrix *m = &f->matrix[i];
        bytes += call->weight_bytes(f->backend, m->type->id, m->rows, m->cols);
    }
    if (in_a_block) status = call->weight_reserve(f->backend, bytes, error);
    for (int i = 0; i < N_MATRICES && status == LLMCALL_OK; i++) {
        matrix *m = &f->matrix[i];
        status = call->weight_create(f->backend, m->type->id, m->rows, m->cols, &m->read, error);
        f->sources[i] = (llmc_weight_source){m->read, m};
    }
    return status;
}

static llmcall_status read_all(fixture *f, llmcall_error *error) {
    const llmc_weight_reader reader = {read_rows, progress, f};
    f->done = 0;
    return f->backend->call->weight_read(f->backend, f->sources, N_MATRICES, &reader, error);
}

static void make_matrices(fixture *f) {
    uint64_t seed = 3;
    memset(f, 0, sizeof *f);
    failing_alloc_init(&f->memory, &f->env);
    for (int i = 0; i < N_MATRICES; i++) {
        matrix *m = &f->matrix[i];
        m->type = &weight_types[i / 2];
        m->rows = i % 2 ? 700 + (uint32_t)i : 1 + (uint32_t)i;
        m->cols = 256 * (uint32_t)(1 + i % 5);
        m->row_bytes = (size_t)m->cols / m->type->cols * m->type->bytes;
        m->blocks = malloc(m->rows * m->row_bytes);
        random_weights(&seed, m->type, m->blocks, (size_t)m->rows * m->cols);
        f->bytes += m->rows * m->row_bytes;
    }
}

static void destroy_weights(fixture *f) {
    for (int i = 0; i < N_MATRICES; i++) {
        f->backend->call->weight_destroy(f->backend, f->matrix[i].read);
        f->backend->call->weight_destroy(f->backend, f->matrix[i].filled);
        f->matrix[i].read = f->matrix[i].filled = NULL;
    }
}

static void free_matrices(fixture *f) {
    for (int i = 0; i < N_MATRICES; i++) free(f->matrix[i].blocks);
    assert_int_equal(f->memory.live, 0);
}

static void read_is_fill(void **state) {
    (void)state;
    fixture f;
    make_matrices(&f);
    for (int32_t threads = 1; threads <= 5; threads += 2) {
        assert_int_equal(llmc_cpu_backend_create(&f.env, threads, NULL, &f.backend, NULL), LLMCALL_OK);
        assert_int_equal(create(&f, threads > 1, NULL), LLMCALL_OK);
        assert_int_equal(read_all(&f, NULL), LLMCALL_OK);
        assert_int_equal(f.done, f.bytes);
        for (int i = 0; i < N_MATRICES; i++) {
            matrix *m = &f.matrix[i];
            const llmc_backend_functions *call = f.backend->call;
            assert_int_equal(call->weight_create(f.backend, m->type->id, m->rows, m->cols, &m->filled, NULL), LLMCALL_OK);
            assert_int_equal(call->weight_fill(f.backend, m->filled, 0, m->rows, m->blocks, NULL), LLMCALL_OK);
            assert_memory_equal(m->read->packed.data, m->filled->packed.data, llmc_packed_bytes(m->type->id, m->rows, m->cols));
        }
        destroy_weights(&f);
        f.backend->call->destroy(f.backend);
    }
    free_matrices(&f);
}

static void failures_come_back(void **state) {
    (void)state;
    fixture f;
    LLMCALL_INIT(llmcall_error, error);
    make_matrices(&f);
    assert_int_equal(llmc_cpu_backend_create(&f.env, 3, NULL, &f.backend, NULL), LLMCALL_OK);
    assert_int_equal(create(&f, 1, NULL), LLMCALL_OK);
    for (int i = 0; i < N_MATRICES; i++) {
        f.broken = &f.matrix[i];
        assert_int_equal(read_all(&f, &error), LLMCALL_E_IO);
        assert_string_equal(error.param, f.matrix[i].type->name);
        assert_int_equal(read_all(&f, NULL), LLMCALL_E_IO);
    }
    f.broken = NULL;
    f.stop_at = 1;
    assert_int_equal(read_all(&f, &error), LLMCALL_E_CANCELLED);
    f.stop_at = f.bytes;
    assert_int_equal(read_all(&f, &error), LLMCALL_E_CANCELLED);
    f.stop_at = 0;
    assert_int_equal(read_all(&f, &error), LLMCALL_OK);
    destroy_weights(&f);
    f.backend->call->destroy(f.backend);
    free_matrices(&f);
}

/* What is reserved and not taken goes with the next call or with the backend; weights outlive it. */
static void every_allocation_may_fail(void **state) {
    (void)state;
    fixture f;
    make_matrices(&f);
    assert_int_equal(llmc_cpu_backend_create(&f.env, 2, NULL, &f.backend, NULL), LLMCALL_OK);
    long before = f.memory.live;
    llmcall_status status = LLMCALL_E_NO_MEMORY;
    for (long n = 1; status != LLMCALL_OK; n++) {
        assert_true(n < 1000);
        f.memory.count = 0;
        f.memory.fail_at = n;
        status = create(&f, 1, NULL);
        if (status == LLMCALL_OK) status = read_all(&f, NULL);
        assert_true(status == LLMCALL_OK || status == LLMCALL_E_NO_MEMORY);
        assert_int_equal(f.backend->call->weight_reserve(f.backend, 0, NULL), LLMCALL_OK);
        destroy_weights(&f);
        assert_int_equal(f.memory.live, before);
    }
    f.memory.fail_at = 0;
    assert_int_equal(f.backend->call->weight_reserve(f.backend, 100, NULL), LLMCALL_OK);
    f.backend->call->destroy(f.backend);
    free_matrices(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_is_fill),
        cmocka_unit_test(failures_come_back),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
