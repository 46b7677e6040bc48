/* What an open GGUF consists of; shared by gguf.c (opening, tensors), gguf_parse.c (one part's header) and gguf_values.c
 * (metadata). */
#ifndef LLMC_GGUF_INTERNAL_H
#define LLMC_GGUF_INTERNAL_H

#include "core/alloc.h"
#include "model/gguf.h"
#include "model/gguf_source.h"

enum {
    LLMC_GGUF_MAX_HEADER = 256 << 20, /* bytes; so that offsets in it fit uint32_t */
    LLMC_GGUF_MAX_KEYS = 65536,
    LLMC_GGUF_MAX_TENSORS = 65536,
    LLMC_GGUF_MAX_STRINGS = 2 << 20, /* in arrays, all together */
    LLMC_GGUF_MAX_PARTS = 1024,
    LLMC_GGUF_MAX_KEY = 65536,
    LLMC_GGUF_MAX_NAME = 255,
    LLMC_GGUF_MAX_ALIGNMENT = 1 << 20
};

/* One metadata entry; offsets are in the header. */
typedef struct llmc_gguf_entry {
    uint32_t key;          /* NUL-terminated there */
    int32_t type;          /* LLMC_GGUF_*, also LLMC_GGUF_ARRAY */
    int32_t element_type;  /* of an array; otherwise type */
    uint32_t data;         /* a string's: behind its length */
    uint32_t count;        /* elements; 1 for a scalar; a string's bytes */
    uint32_t first_string; /* an array of strings: its first place in string_ends */
} llmc_gguf_entry;

typedef struct llmc_gguf_part {
    llmc_gguf_source source;
    uint8_t *header; /* the file's first bytes; NULs are put behind keys and tensor names */
    uint64_t header_size;
    uint64_t data_offset; /* of the tensors' data, in the part */
    uint32_t alignment;
    llmc_gguf_entry *entries;
    size_t n_entries;
    uint32_t *by_key; /* the entries in order of their keys */
    uint32_t *string_ends;
    size_t string_ends_capacity;
    size_t n_strings;
    size_t first_tensor, n_tensors;
} llmc_gguf_part;

struct llmc_gguf {
    const llmc_env *env;
    llmc_gguf_part *parts;
    size_t n_parts;
    llmc_gguf_tensor *tensors;
    size_t tensors_capacity, n_tensors;
    uint32_t *by_name;
    uint64_t data_bytes;
};

/* Reads and checks the header of part number index, whose source is open; appends its tensors. */
llmcall_status llmc_gguf_parse_part(llmc_gguf *gguf, size_t index, llmcall_error *error);

const llmc_gguf_entry *llmc_gguf_find_entry(const llmc_gguf_part *part, const char *key);
/* An integer of any width as u32; as llmc_gguf_get_u32, for any part. */
llmcall_status llmc_gguf_part_u32(const llmc_gguf_part *part, const char *key, uint32_t *value, int *found,
                                  llmcall_error *error);

extern const uint8_t llmc_gguf_type_size[13]; /* bytes in the file; 0 for strings and arrays */
const char *llmc_gguf_type_name(int32_t type);

/* Indices sorted by a strict order, in place, without memory and in n log n steps whatever the input. */
typedef int (*llmc_gguf_less)(const void *context, uint32_t a, uint32_t b);
void llmc_gguf_sort(uint32_t *index, size_t n, llmc_gguf_less less, const void *context);

#endif
