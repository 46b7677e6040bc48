/* A GGUF file's header: metadata and where the tensors lie. First step of loading a model; knows nothing of architectures.
 *
 * Versions 2 and 3, little-endian, whole or split into parts, from files or readers. Only the header is read and kept: the
 * tensors' bytes are fetched by llmc_gguf_read. Every count, size and offset of the file is checked at open, so that what the
 * functions below return may be used as it is. An error names the key or tensor at fault and the offset in its part.
 * Limits: a header of 256 MiB, 65536 keys, 65536 tensors, 2 Mi strings in arrays, 1024 parts; alignment <= 1 MiB, key < 64 KiB,
 * tensor name <= 255 bytes, 1 to 4 dimensions, no arrays of arrays. */
#ifndef LLMC_GGUF_H
#define LLMC_GGUF_H

#include "core/error.h"

typedef struct llmc_gguf llmc_gguf;

/* From options->path, or options->readers (copied; their user data must live until close). env must live until close.
 * LLMCALL_E_NOT_FOUND, _IO, _FORMAT, _UNSUPPORTED, _NO_MEMORY or _ARGUMENT; *gguf is NULL then. */
llmcall_status llmc_gguf_open(const llmc_env *env, const llmcall_model_options *options, llmc_gguf **gguf,
                              llmcall_error *error);
void llmc_gguf_close(llmc_gguf **gguf); /* sets *gguf to NULL; NULL is fine */

/* ---- Metadata: of the first part. All of it is read-only and may be used from any thread. ----
 * A key that is absent gives LLMCALL_OK with *found 0 and the value untouched (found may be NULL). A value that does not fit
 * the asked type gives LLMCALL_E_FORMAT naming key and value. Integers of any width convert if they are in range; f32 takes
 * f32, f64 and integers; bool takes bool only. */
llmcall_status llmc_gguf_get_u32(const llmc_gguf *gguf, const char *key, uint32_t *value, int *found, llmcall_error *error);
llmcall_status llmc_gguf_get_i32(const llmc_gguf *gguf, const char *key, int32_t *value, int *found, llmcall_error *error);
llmcall_status llmc_gguf_get_f32(const llmc_gguf *gguf, const char *key, float *value, int *found, llmcall_error *error);
llmcall_status llmc_gguf_get_bool(const llmc_gguf *gguf, const char *key, int *value, int *found, llmcall_error *error);
/* *text points into the gguf and is not NUL-terminated; any bytes are possible. */
llmcall_status llmc_gguf_get_string(const llmc_gguf *gguf, const char *key, const char **text, size_t *size, int *found,
                                    llmcall_error *error);

enum {
    LLMC_GGUF_U8 = 0,
    LLMC_GGUF_I8 = 1,
    LLMC_GGUF_U16 = 2,
    LLMC_GGUF_I16 = 3,
    LLMC_GGUF_U32 = 4,
    LLMC_GGUF_I32 = 5,
    LLMC_GGUF_F32 = 6,
    LLMC_GGUF_BOOL = 7,
    LLMC_GGUF_STRING = 8,
    LLMC_GGUF_ARRAY = 9,
    LLMC_GGUF_U64 = 10,
    LLMC_GGUF_I64 = 11,
    LLMC_GGUF_F64 = 12
};

/* A view of an array; lives as long as the gguf. */
typedef struct llmc_gguf_array {
    int32_t element_type; /* LLMC_GGUF_*, never LLMC_GGUF_ARRAY */
    size_t count;
    const char *key;
    const uint8_t *data;         /* the elements as they are in the file */
    const uint32_t *string_ends; /* strings only: where each one ends, counted from data */
} llmc_gguf_array;

llmcall_status llmc_gguf_get_array(const llmc_gguf *gguf, const char *key, llmc_gguf_array *array, int *found,
                                   llmcall_error *error);
/* One element, in constant time. Out of range or of another type: LLMCALL_E_FORMAT naming key and index. */
llmcall_status llmc_gguf_array_string(const llmc_gguf_array *array, size_t i, const char **text, size_t *size,
                                      llmcall_error *error);
llmcall_status llmc_gguf_array_u32(const llmc_gguf_array *array, size_t i, uint32_t *value, llmcall_error *error);
llmcall_status llmc_gguf_array_i32(const llmc_gguf_array *array, size_t i, int32_t *value, llmcall_error *error);
llmcall_status llmc_gguf_array_f32(const llmc_gguf_array *array, size_t i, float *value, llmcall_error *error);

/* ---- Tensors: of all parts, in file order ---- */

typedef struct llmc_gguf_tensor {
    const char *name; /* NUL-terminated, UTF-8 */
    int32_t type;     /* an id that llmc_quant_type_find knows */
    uint32_t n_dims;  /* 1 to 4 */
    uint64_t dims[4]; /* in elements, dims[0] contiguous and whole blocks; unused ones are 1 */
    uint64_t n_bytes;
    uint32_t part;
    uint64_t offset; /* in its part, from the part's first byte */
} llmc_gguf_tensor;

size_t llmc_gguf_n_tensors(const llmc_gguf *gguf);
const llmc_gguf_tensor *llmc_gguf_tensor_at(const llmc_gguf *gguf, size_t i);           /* NULL beyond the end */
const llmc_gguf_tensor *llmc_gguf_find_tensor(const llmc_gguf *gguf, const char *name); /* NULL if there is none */
uint64_t llmc_gguf_data_bytes(const llmc_gguf *gguf);                                   /* of all tensors */

/* 1: the tensors come from files, and any number of threads may read at once. */
int llmc_gguf_is_of_files(const llmc_gguf *gguf);

/* Bytes [offset, offset + size) of a tensor. Blocks while it reads. From files: any thread at any time; from readers: as the
 * reader allows. LLMCALL_E_IO also if the file shrank meanwhile. */
llmcall_status llmc_gguf_read(llmc_gguf *gguf, const llmc_gguf_tensor *tensor, uint64_t offset, void *dst, size_t size,
                              llmcall_error *error);

#endif
