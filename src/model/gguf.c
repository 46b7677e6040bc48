/* Opening a GGUF, whole or split, and finding and reading its tensors. */
#include "model/gguf.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "model/gguf_internal.h"

/* ---- Sorting ---- */

static void sift_down(uint32_t *heap, size_t root, size_t n, llmc_gguf_less less, const void *context) {
    for (size_t child; (child = 2 * root + 1) < n; root = child) {
        if (child + 1 < n && less(context, heap[child], heap[child + 1])) child++;
        if (!less(context, heap[root], heap[child])) return;
        uint32_t swap = heap[root];
        heap[root] = heap[child];
        heap[child] = swap;
    }
}

void llmc_gguf_sort(uint32_t *index, size_t n, llmc_gguf_less less, const void *context) {
    size_t sorted = 1;
    while (sorted < n && !less(context, index[sorted], index[sorted - 1])) sorted++;
    if (sorted >= n) return; /* tensors usually lie in the order of their offsets */
    for (size_t root = n / 2; root-- > 0;) sift_down(index, root, n, less, context);
    for (size_t last = n - 1; last > 0; last--) {
        uint32_t largest = index[0];
        index[0] = index[last];
        index[last] = largest;
        sift_down(index, 0, last, less, context);
    }
}

/* ---- Parts ---- */

static llmcall_status reader_at(const llmcall_model_options *options, size_t i, llmc_gguf_source *source,
                                llmcall_error *error) {
    llmcall_reader reader;
    size_t stride = options->readers->struct_size; /* the array is of the caller's version of the struct */
    memcpy(&reader, (const char *)options->readers + i * stride, sizeof reader);
    return llmc_gguf_source_of_reader(source, &reader, error);
}

#define SPLIT_SUFFIX_FORMAT "-%05zu-of-%05zu.gguf"

/* NAME-00001-of-00003.gguf gives the path of part i as NAME-0000{i+1}-of-00003.gguf. */
static llmcall_status open_split_file(const llmc_env *env, const char *path, size_t i, size_t n_parts, llmc_gguf_source *source,
                                      llmcall_error *error) {
    char suffix[64];
    size_t length = strlen(path),
           suffix_length = (size_t)snprintf(suffix, sizeof suffix, SPLIT_SUFFIX_FORMAT, (size_t)1, n_parts);
    if (length < suffix_length || strcmp(path + length - suffix_length, suffix) != 0)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, "split.count",
                         "the file is the first of %zu parts, but its name '%s' does not end in '%s'", n_parts, path, suffix);
    char *other = llmc_strdup(env, path, length);
    if (!other) return llmc_fail_memory(error, "a path");
    snprintf(suffix, sizeof suffix, SPLIT_SUFFIX_FORMAT, i + 1, n_parts);
    memcpy(other + length - suffix_length, suffix, suffix_length);
    llmcall_status status = llmc_gguf_source_open(source, other, error);
    llmc_free(env, other);
    return status;
}

static llmcall_status open_source(llmc_gguf *gguf, const llmcall_model_options *options, size_t i, size_t n_parts,
                                  llmcall_error *error) {
    llmc_gguf_source *source = &gguf->parts[i].source;
    if (options->readers) return reader_at(options, i, source, error);
    if (i == 0) return llmc_gguf_source_open(source, options->path, error);
    return open_split_file(gguf->env, options->path, i, n_parts, source, error);
}

static llmcall_status add_part(llmc_gguf *gguf, const llmcall_model_options *options, size_t n_parts, llmcall_error *error) {
    size_t i = gguf->n_parts;
    gguf->parts[i] = (llmc_gguf_part){.source.file = -1};
    gguf->n_parts = i + 1;
    llmcall_status status = open_source(gguf, options, i, n_parts, error);
    return status == LLMCALL_OK ? llmc_gguf_parse_part(gguf, i, error) : status;
}

static void free_metadata(const llmc_env *env, llmc_gguf_part *part) {
    llmc_free(env, part->entries);
    llmc_free(env, part->by_key);
    llmc_free(env, part->string_ends);
    part->entries = NULL;
    part->by_key = part->string_ends = NULL;
    part->n_entries = part->n_strings = part->string_ends_capacity = 0;
}

/* ---- Splits ---- */

typedef struct split_facts {
    uint32_t count;     /* 1: not split */
    uint32_t number;    /* from 0 */
    uint32_t n_tensors; /* in all parts */
    int has_n_tensors;
} split_facts;

static llmcall_status read_split(const llmc_gguf_part *part, split_facts *split, llmcall_error *error) {
    *split = (split_facts){.count = 1};
    llmcall_status status = llmc_gguf_part_u32(part, "split.count", &split->count, NULL, error);
    if (status == LLMCALL_OK) status = llmc_gguf_part_u32(part, "split.no", &split->number, NULL, error);
    if (status == LLMCALL_OK)
        status = llmc_gguf_part_u32(part, "split.tensors.count", &split->n_tensors, &split->has_n_tensors, error);
    if (status != LLMCALL_OK) return status;
    if (split->count == 0) split->count = 1;
    if (split->count > LLMC_GGUF_MAX_PARTS)
        return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, "split.count", "a model of %" PRIu32 " parts; at most %d are read",
                         split->count, LLMC_GGUF_MAX_PARTS);
    return LLMCALL_OK;
}

static llmcall_status check_split(const llmc_gguf_part *part, size_t i, const split_facts *first, llmcall_error *error) {
    split_facts split;
    llmcall_status status = read_split(part, &split, error);
    if (status != LLMCALL_OK) return status;
    if (split.number != i)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, "split.no", "part %zu says that it is part %" PRIu64 " of the model",
                         i + 1, (uint64_t)split.number + 1);
    if (split.count != first->count)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, "split.count",
                         "part %zu is of a model of %" PRIu32 " parts, not %" PRIu32, i + 1, split.count, first->count);
    return LLMCALL_OK;
}

static llmcall_status add_other_parts(llmc_gguf *gguf, const llmcall_model_options *options, const split_facts *split,
                                      llmcall_error *error) {
    llmc_gguf_part *parts = llmc_realloc_array(gguf->env, gguf->parts, split->count, sizeof *parts);
    if (!parts) return llmc_fail_memory(error, "the model file's parts");
    gguf->parts = parts;
    for (size_t i = 1; i < split->count; i++) {
        llmcall_status status = add_part(gguf, options, split->count, error);
        if (status == LLMCALL_OK) status = check_split(&gguf->parts[i], i, split, error);
        if (status != LLMCALL_OK) return status;
        free_metadata(gguf->env, &gguf->parts[i]); /* the first part's counts */
    }
    return LLMCALL_OK;
}

static llmcall_status add_parts(llmc_gguf *gguf, const llmcall_model_options *options, llmcall_error *error) {
    split_facts split;
    gguf->parts = llmc_zalloc_array(gguf->env, 1, sizeof *gguf->parts);
    if (!gguf->parts) return llmc_fail_memory(error, "the model file's parts");
    llmcall_status status = add_part(gguf, options, 1, error);
    if (status == LLMCALL_OK) status = read_split(&gguf->parts[0], &split, error);
    if (status == LLMCALL_OK) status = check_split(&gguf->parts[0], 0, &split, error);
    if (status != LLMCALL_OK) return status;
    if (options->readers && options->n_readers != split.count)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "n_readers",
                         "the model has %" PRIu32 " parts, but %zu readers were given", split.count, options->n_readers);
    if (split.count > 1) status = add_other_parts(gguf, options, &split, error);
    if (status != LLMCALL_OK) return status;
    if (split.count > 1 && split.has_n_tensors && split.n_tensors != gguf->n_tensors)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, "split.tensors.count",
                         "the parts have %zu tensors, but should have %" PRIu32, gguf->n_tensors, split.n_tensors);
    return LLMCALL_OK;
}

/* ---- Tensors by name ---- */

static int name_less(const void *context, uint32_t a, uint32_t b) {
    const llmc_gguf_tensor *tensors = context;
    return strcmp(tensors[a].name, tensors[b].name) < 0;
}

static llmcall_status index_names(llmc_gguf *gguf, llmcall_error *error) {
    gguf->by_name = llmc_alloc_array(gguf->env, gguf->n_tensors, sizeof *gguf->by_name);
    if (!gguf->by_name) return llmc_fail_memory(error, "the tensors' names");
    for (size_t i = 0; i < gguf->n_tensors; i++) gguf->by_name[i] = (uint32_t)i;
    llmc_gguf_sort(gguf->by_name, gguf->n_tensors, name_less, gguf->tensors);
    for (size_t i = 1; i < gguf->n_tensors; i++) {
        const llmc_gguf_tensor *a = &gguf->tensors[gguf->by_name[i - 1]], *b = &gguf->tensors[gguf->by_name[i]];
        if (strcmp(a->name, b->name) == 0)
            return llmc_fail(error, LLMCALL_E_FORMAT, NULL, a->name,
                             "tensor '%s' stands twice in the file (offsets %" PRIu64 " and %" PRIu64 ")", a->name, a->offset,
                             b->offset);
    }
    return LLMCALL_OK;
}

const llmc_gguf_tensor *llmc_gguf_find_tensor(const llmc_gguf *gguf, const char *name) {
    size_t low = 0, high = gguf->n_tensors;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const llmc_gguf_tensor *tensor = &gguf->tensors[gguf->by_name[middle]];
        int order = strcmp(tensor->name, name);
        if (order == 0) return tensor;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

size_t llmc_gguf_n_tensors(const llmc_gguf *gguf) {
    return gguf->n_tensors;
}

const llmc_gguf_tensor *llmc_gguf_tensor_at(const llmc_gguf *gguf, size_t i) {
    return i < gguf->n_tensors ? &gguf->tensors[i] : NULL;
}

uint64_t llmc_gguf_data_bytes(const llmc_gguf *gguf) {
    return gguf->data_bytes;
}

/* ---- Open, read, close ---- */

static llmcall_status check_options(const llmcall_model_options *options, llmcall_error *error) {
    if (!options || !options->path == !options->readers)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "path", "exactly one of path and readers must be given");
    if (options->readers && (options->n_readers == 0 || options->n_readers > LLMC_GGUF_MAX_PARTS))
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "n_readers", "%zu readers were given (1 to %d are possible)",
                         options->n_readers, LLMC_GGUF_MAX_PARTS);
    if (options->readers && options->readers->struct_size < sizeof(llmcall_reader))
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "readers", "a reader's struct_size of %" PRIu32 " is too small",
                         options->readers->struct_size);
    return LLMCALL_OK;
}

llmcall_status llmc_gguf_open(const llmc_env *env, const llmcall_model_options *options, llmc_gguf **gguf,
                              llmcall_error *error) {
    *gguf = NULL;
    llmcall_status status = check_options(options, error);
    if (status != LLMCALL_OK) return status;
    llmc_gguf *opened = llmc_zalloc(env, sizeof *opened);
    if (!opened) return llmc_fail_memory(error, "the model file");
    opened->env = env;
    status = add_parts(opened, options, error);
    if (status == LLMCALL_OK) status = index_names(opened, error);
    if (status != LLMCALL_OK) llmc_gguf_close(&opened);
    *gguf = opened;
    return status;
}

void llmc_gguf_close(llmc_gguf **gguf) {
    llmc_gguf *closed = *gguf;
    if (!closed) return;
    *gguf = NULL;
    for (size_t i = 0; i < closed->n_parts; i++) {
        llmc_gguf_source_close(&closed->parts[i].source);
        free_metadata(closed->env, &closed->parts[i]);
        llmc_free(closed->env, closed->parts[i].header);
    }
    llmc_free(closed->env, closed->parts);
    llmc_free(closed->env, closed->tensors);
    llmc_free(closed->env, closed->by_name);
    llmc_free(closed->env, closed);
}

int llmc_gguf_is_of_files(const llmc_gguf *gguf) {
    for (size_t i = 0; i < gguf->n_parts; i++) {
        if (gguf->parts[i].source.file < 0) return 0;
    }
    return 1;
}

llmcall_status llmc_gguf_read(llmc_gguf *gguf, const llmc_gguf_tensor *tensor, uint64_t offset, void *dst, size_t size,
                              llmcall_error *error) {
    if (size > tensor->n_bytes || offset > tensor->n_bytes - size)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, tensor->name,
                         "%zu bytes at %" PRIu64 " of tensor '%s', which has %" PRIu64, size, offset, tensor->name,
                         tensor->n_bytes);
    return llmc_gguf_source_read(&gguf->parts[tensor->part].source, tensor->offset + offset, dst, size, tensor->name, error);
}
