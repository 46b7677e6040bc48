/* The CPU backend's weights: one block of memory for all of a model's, filled by every thread of the pool. A thread reads what
 * it packs, some 128 KiB at a time, so that rows go from the file to their tile without leaving its cache, and it writes the
 * part of a matrix that it will multiply with, so that the system gives that memory near it. */
#include <stdatomic.h>
#include <string.h>

#include "backend/cpu/backend.h"
#include "kernels/cpu/pack.h"

enum { FILL_ROWS = 32, PARALLEL_FILL_ELEMENTS = 1 << 19, UNIT_BYTES = 128 << 10, UNITS_A_THREAD = 4 };

/* Memory of several weights; the last to go frees it. */
struct llmc_cpu_weight_block {
    size_t n_users; /* weights, and the backend while it takes from here */
    size_t left;
    uint8_t *next, *data;
};

size_t llmc_cpu_weight_bytes(const llmc_backend *backend, int32_t type, uint32_t rows, uint32_t cols) {
    (void)backend;
    return llmc_packed_bytes(type, rows, cols);
}

/* --- life --- */

static void release_block(const llmc_env *env, llmc_cpu_weight_block *block) {
    if (!block || --block->n_users > 0) return;
    llmc_free_aligned(env, block->data);
    llmc_free(env, block);
}

void llmc_cpu_weight_block_drop(llmc_cpu_backend *backend) {
    release_block(backend->base.env, backend->weight_block);
    backend->weight_block = NULL;
}

llmcall_status llmc_cpu_weight_reserve(llmc_backend *base, size_t bytes, llmcall_error *error) {
    llmc_cpu_backend *backend = (llmc_cpu_backend *)base;
    llmc_cpu_weight_block_drop(backend);
    if (bytes == 0) return LLMCALL_OK;
    llmc_cpu_weight_block *block = llmc_zalloc(base->env, sizeof *block);
    if (!block) return llmc_fail_memory(error, "the model's weights");
    block->data = llmc_cpu_alloc_large(base->env, bytes);
    if (!block->data) {
        llmc_free(base->env, block);
        return llmc_fail_memory(error, "the model's weights");
    }
    block->n_users = 1;
    block->left = bytes;
    block->next = block->data;
    backend->weight_block = block;
    return LLMCALL_OK;
}

/* From the backend's block if it has so much; or else the weight's own. */
static uint8_t *take_memory(llmc_cpu_backend *backend, llmc_weight *weight, size_t bytes) {
    llmc_cpu_weight_block *block = backend->weight_block;
    if (!block || bytes > block->left) return llmc_cpu_alloc_large(backend->base.env, bytes);
    uint8_t *data = block->next;
    weight->block = block;
    block->n_users++;
    block->next += bytes;
    block->left -= bytes;
    return data;
}

llmcall_status llmc_cpu_weight_create(llmc_backend *backend, int32_t type, uint32_t rows, uint32_t cols, llmc_weight **out,
                                      llmcall_error *error) {
    *out = NULL;
    size_t bytes = llmc_packed_bytes(type, rows, cols);
    if (bytes == 0) {
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, NULL, "A matrix of type %d, %u by %u, cannot be held.", (int)type,
                         rows, cols);
    }
    llmc_weight *weight = llmc_zalloc(backend->env, sizeof *weight);
    if (!weight) return llmc_fail_memory(error, "a weight");
    weight->packed = (llmc_packed){.type = type, .rows = rows, .cols = cols, .tile_bytes = llmc_packed_tile_bytes(type, cols)};
    weight->packed.data = take_memory((llmc_cpu_backend *)backend, weight, bytes);
    if (!weight->packed.data) {
        llmc_free(backend->env, weight);
        return llmc_fail_memory(error, "a weight");
    }
    *out = weight;
    return LLMCALL_OK;
}

void llmc_cpu_weight_destroy(llmc_backend *backend, llmc_weight *weight) {
    if (!weight) return;
    if (weight->block) release_block(backend->env, weight->block);
    else llmc_free_aligned(backend->env, weight->packed.data);
    llmc_free(backend->env, weight);
}

/* --- from memory --- */

static size_t row_bytes_of(const llmc_packed *packed) {
    const llmc_tile_layout *layout = llmc_tile_layout_of(packed->type);
    return (size_t)packed->cols / layout->block_cols * layout->block_bytes;
}

typedef struct fill_job {
    llmc_pool *pool;
    llmc_packed *packed;
    const uint8_t *blocks;
    size_t row_bytes;
    uint32_t first_row, n_rows;
} fill_job;

static void fill_some(void *arg, int32_t index, int32_t n_threads) {
    const fill_job *job = arg;
    (void)n_threads;
    llmc_pool_loop loop = llmc_pool_loop_begin(job->pool, index, (job->n_rows + FILL_ROWS - 1) / FILL_ROWS);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        uint32_t row = unit * FILL_ROWS;
        llmc_pack_rows(job->packed, job->first_row + row, llmc_cpu_min(FILL_ROWS, job->n_rows - row),
                       job->blocks + row * job->row_bytes);
    }
}

llmcall_status llmc_cpu_weight_fill(llmc_backend *backend, llmc_weight *weight, uint32_t first_row, uint32_t n_rows,
                                    const void *blocks, llmcall_error *error) {
    llmc_packed *packed = &weight->packed;
    if (first_row > packed->rows || n_rows > packed->rows - first_row || first_row % FILL_ROWS != 0 ||
        (n_rows % FILL_ROWS != 0 && first_row + n_rows != packed->rows)) {
        return llmc_fail(error, LLMCALL_E_INTERNAL, NULL, NULL, "Rows %u to %u of a matrix of %u rows cannot be filled alone.",
                         first_row, first_row + n_rows, packed->rows);
    }
    if (n_rows == 0) return LLMCALL_OK;
    fill_job job = {.pool = ((llmc_cpu_backend *)backend)->pool, .packed = packed, .blocks = blocks};
    job.row_bytes = row_bytes_of(packed);
    job.first_row = first_row;
    job.n_rows = n_rows;
    if ((uint64_t)n_rows * packed->cols >= PARALLEL_FILL_ELEMENTS) {
        llmc_pool_run(job.pool, fill_some, &job);
    } else {
        llmc_pack_rows(packed, first_row, n_rows, blocks);
    }
    return LLMCALL_OK;
}

/* --- from a file --- */

typedef struct read_job {
    llmc_pool *pool;
    const llmc_weight_source *sources;
    size_t n_sources;
    const llmc_weight_reader *reader;
    uint8_t *staging; /* (n_threads, staging_bytes) */
    size_t staging_bytes;
    atomic_ullong done;    /* bytes */
    uint64_t reported;     /* of them; thread 0's */
    atomic_int stop;       /* whoever sets it may write what follows */
    llmcall_status status; /* LLMCALL_OK until stopped */
    llmcall_error error;
} read_job;

/* Whole tiles that fit a thread's staging, and fewer where a matrix would not give every thread some. */
static uint32_t unit_rows(const llmc_packed *packed, int32_t n_threads) {
    uint32_t tiles = (packed->rows + LLMC_TILE_ROWS - 1) / LLMC_TILE_ROWS;
    uint32_t fair = tiles / ((uint32_t)n_threads * UNITS_A_THREAD);
    size_t fit = UNIT_BYTES / (row_bytes_of(packed) * LLMC_TILE_ROWS);
    uint32_t n = fit < fair ? (uint32_t)fit : fair;
    return (n ? n : 1) * LLMC_TILE_ROWS;
}

static void fail_job(read_job *job, llmcall_status status, const llmcall_error *error) {
    if (atomic_exchange(&job->stop, 1)) return;
    job->status = status;
    llmc_error_copy(&job->error, error);
}

static void read_unit(read_job *job, const llmc_weight_source *source, uint32_t row, uint32_t n_rows, uint8_t *staging) {
    LLMCALL_INIT(llmcall_error, error);
    llmcall_status status =
        job->reader->read(job->reader->user, source->tensor, source->first_row + row, n_rows, staging, &error);
    if (status != LLMCALL_OK) {
        fail_job(job, status, &error);
        return;
    }
    llmc_pack_rows(&source->weight->packed, row, n_rows, staging);
    atomic_fetch_add_explicit(&job->done, n_rows * row_bytes_of(&source->weight->packed), memory_order_relaxed);
}

static void report(read_job *job, uint64_t least) {
    uint64_t done = atomic_load_explicit(&job->done, memory_order_relaxed);
    if (done - job->reported < least) return;
    LLMCALL_INIT(llmcall_error, error);
    llmcall_status status = job->reader->progress(job->reader->user, done - job->reported, &error);
    job->reported = done;
    if (status != LLMCALL_OK) fail_job(job, status, &error);
}

static void read_some(void *arg, int32_t index, int32_t n_threads) {
    enum { REPORT_BYTES = 1 << 20 };
    read_job *job = arg;
    uint8_t *staging = job->staging + (size_t)index * job->staging_bytes;
    for (size_t i = 0; i < job->n_sources; i++) { /* also when stopped: every thread must pass every barrier */
        const llmc_weight_source *source = &job->sources[i];
        uint32_t rows = source->weight->packed.rows, step = unit_rows(&source->weight->packed, n_threads);
        llmc_pool_loop loop = llmc_pool_loop_begin(job->pool, index, (rows + step - 1) / step);
        for (uint32_t unit; !atomic_load_explicit(&job->stop, memory_order_relaxed) && llmc_pool_loop_next(&loop, &unit);) {
            read_unit(job, source, unit * step, llmc_cpu_min(step, rows - unit * step), staging);
            if (index == 0) report(job, REPORT_BYTES);
        }
        llmc_pool_barrier(job->pool);
    }
}

llmcall_status llmc_cpu_weight_read(llmc_backend *backend, const llmc_weight_source *sources, size_t n_sources,
                                    const llmc_weight_reader *reader, llmcall_error *error) {
    read_job job = {.pool = ((llmc_cpu_backend *)backend)->pool, .sources = sources, .n_sources = n_sources, .reader = reader};
    int32_t n_threads = llmc_pool_threads(job.pool);
    llmcall_init(&job.error, sizeof job.error);
    for (size_t i = 0; i < n_sources; i++) {
        size_t bytes = unit_rows(&sources[i].weight->packed, 1) * row_bytes_of(&sources[i].weight->packed);
        if (bytes > job.staging_bytes) job.staging_bytes = bytes;
    }
    job.staging_bytes = llmc_round_up_64(job.staging_bytes);
    job.staging = llmc_alloc_aligned(backend->env, job.staging_bytes * (size_t)n_threads, 4096);
    if (!job.staging) return llmc_fail_memory(error, "the memory to read weights through");
    llmc_pool_run(job.pool, read_some, &job);
    if (job.status == LLMCALL_OK) report(&job, 1);
    llmc_free_aligned(backend->env, job.staging);
    if (job.status != LLMCALL_OK && error) llmc_error_copy(error, &job.error);
    return job.status;
}
