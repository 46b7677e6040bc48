/* One part's header: magic, counts, metadata, tensor descriptions. It is read piece by piece as the parser gets there, because
 * its size is nowhere written; no count is believed before the bytes that it needs are known to be in the file. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/cursor.h"
#include "core/utf8.h"
#include "model/gguf_internal.h"
#include "model/quant.h"

typedef struct parser {
    llmc_gguf *gguf;
    llmc_gguf_part *part;
    size_t index;       /* of the part */
    llmc_cursor cursor; /* over what was read of the header */
    const char *kind;   /* "key" or "tensor", or "" before them */
    char name[128];     /* of the key or tensor being read, cut */
    llmcall_status status;
    llmcall_error *error;
} parser;

static int refuse(parser *p, llmcall_status status, const char *format, ...) LLMC_PRINTF(3, 4);
static int refuse(parser *p, llmcall_status status, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    const char *space = *p->kind ? " " : "", *quote = *p->name ? "'" : "";
    p->status = llmc_fail(p->error, status, NULL, *p->name ? p->name : NULL, "%s%s%s%s%s%s%s (part %zu, offset %" PRIu64 ")",
                          p->kind, space, quote, p->name, quote, *p->kind ? ": " : "", text, p->index + 1, p->cursor.offset);
    return 0;
}

static int refuse_memory(parser *p) {
    p->status = llmc_fail_memory(p->error, "the model file's header");
    return 0;
}

/* ---- Progressive reading ---- */

static uint64_t bytes_left(const parser *p) {
    return p->part->source.size - p->cursor.offset;
}

/* Reads on until end; somewhat more at once, so that a header takes few reads. */
static int read_until(parser *p, uint64_t end) {
    enum { FIRST = 64 << 10, STEP = 4 << 20 };
    llmc_gguf_part *part = p->part;
    uint64_t have = p->cursor.size, more = have < FIRST ? FIRST : have < STEP ? have : STEP;
    uint64_t target = have + more > end ? have + more : end;
    if (target > LLMC_GGUF_MAX_HEADER) target = LLMC_GGUF_MAX_HEADER;
    if (target > part->source.size) target = part->source.size;
    uint8_t *header = llmc_realloc_array(p->gguf->env, part->header, (size_t)target, 1);
    if (!header) return refuse_memory(p);
    part->header = header;
    p->cursor.data = header;
    p->status = llmc_gguf_source_read(&part->source, have, header + have, (size_t)(target - have), NULL, p->error);
    if (p->status != LLMCALL_OK) return 0;
    p->cursor.size = target;
    return 1;
}

/* Makes size bytes from here on readable. */
static int need(parser *p, uint64_t size) {
    if (size <= p->cursor.size - p->cursor.offset) return 1;
    if (size > bytes_left(p))
        return refuse(p, LLMCALL_E_FORMAT, "truncated: %" PRIu64 " bytes needed, %" PRIu64 " left in the file", size,
                      bytes_left(p));
    uint64_t end = p->cursor.offset + size;
    if (end > LLMC_GGUF_MAX_HEADER)
        return refuse(p, LLMCALL_E_UNSUPPORTED, "the header is larger than %d bytes", LLMC_GGUF_MAX_HEADER);
    return read_until(p, end);
}

static int read_u32(parser *p, uint32_t *value) {
    if (!need(p, 4)) return 0;
    *value = llmc_cursor_u32(&p->cursor);
    return 1;
}

static int read_u64(parser *p, uint64_t *value) {
    if (!need(p, 8)) return 0;
    *value = llmc_cursor_u64(&p->cursor);
    return 1;
}

/* Steps over a string; *data is where its bytes lie. */
static int read_string(parser *p, uint32_t *data, uint32_t *size) {
    uint64_t length;
    if (!read_u64(p, &length) || !need(p, length)) return 0;
    *data = (uint32_t)p->cursor.offset;
    *size = (uint32_t)length;
    llmc_cursor_skip(&p->cursor, length);
    return 1;
}

/* A key or tensor name: short, not empty, UTF-8 without NUL. From here on errors name it. */
static int read_name(parser *p, const char *kind, uint32_t max, uint32_t *data, uint32_t *size) {
    p->kind = kind;
    p->name[0] = 0;
    uint64_t length;
    if (!read_u64(p, &length)) return 0;
    if (length == 0 || length > max)
        return refuse(p, LLMCALL_E_FORMAT, "a name of %" PRIu64 " bytes (1 to %" PRIu32 " are possible)", length, max);
    if (!need(p, length)) return 0;
    *data = (uint32_t)p->cursor.offset;
    *size = (uint32_t)length;
    const char *name = (const char *)llmc_cursor_bytes(&p->cursor, length);
    snprintf(p->name, sizeof p->name, "%.*s", (int)length, name);
    if (memchr(name, 0, length) || llmc_utf8_valid_prefix(name, length) != length)
        return refuse(p, LLMCALL_E_FORMAT, "the name is not text");
    return 1;
}

/* ---- Metadata ---- */

static int read_string_array(parser *p, llmc_gguf_entry *entry) {
    llmc_gguf_part *part = p->part;
    size_t total = part->n_strings + entry->count;
    if (total > LLMC_GGUF_MAX_STRINGS)
        return refuse(p, LLMCALL_E_UNSUPPORTED, "more than %d strings in arrays", LLMC_GGUF_MAX_STRINGS);
    void *ends = part->string_ends;
    if (!llmc_grow(p->gguf->env, &ends, &part->string_ends_capacity, total, sizeof *part->string_ends, LLMC_GGUF_MAX_STRINGS))
        return refuse_memory(p);
    part->string_ends = ends;
    entry->first_string = (uint32_t)part->n_strings;
    for (uint32_t i = 0; i < entry->count; i++) {
        uint32_t data, size;
        if (!read_string(p, &data, &size)) return 0;
        part->string_ends[part->n_strings++] = data + size - entry->data;
    }
    return 1;
}

static int read_array(parser *p, llmc_gguf_entry *entry) {
    uint32_t type = 0;
    uint64_t count = 0, bytes = 0;
    if (!read_u32(p, &type) || !read_u64(p, &count)) return 0;
    if (type == LLMC_GGUF_ARRAY) return refuse(p, LLMCALL_E_UNSUPPORTED, "an array of arrays");
    if (type > LLMC_GGUF_F64) return refuse(p, LLMCALL_E_FORMAT, "an array of unknown type %" PRIu32, type);
    uint64_t least = type == LLMC_GGUF_STRING ? 8 : llmc_gguf_type_size[type]; /* a string has at least its length */
    if (!llmc_mul_u64(count, least, &bytes) || bytes > bytes_left(p))
        return refuse(p, LLMCALL_E_FORMAT,
                      "an array of %" PRIu64 " elements, with %" PRIu64 " bytes left in the file (truncated)", count,
                      bytes_left(p));
    entry->element_type = (int32_t)type;
    entry->data = (uint32_t)p->cursor.offset;
    if (!need(p, bytes)) return 0;
    entry->count = (uint32_t)count; /* fits: the header has a limit */
    if (type == LLMC_GGUF_STRING) return read_string_array(p, entry);
    llmc_cursor_skip(&p->cursor, bytes);
    return 1;
}

static int read_value(parser *p, llmc_gguf_entry *entry) {
    if (entry->type == LLMC_GGUF_ARRAY) return read_array(p, entry);
    if (entry->type == LLMC_GGUF_STRING) return read_string(p, &entry->data, &entry->count);
    uint32_t size = llmc_gguf_type_size[entry->type];
    if (!need(p, size)) return 0;
    entry->data = (uint32_t)p->cursor.offset;
    llmc_cursor_skip(&p->cursor, size);
    return 1;
}

static int read_entry(parser *p) {
    uint32_t key_size = 0, type = 0;
    llmc_gguf_entry entry = {.count = 1};
    if (!read_name(p, "key", LLMC_GGUF_MAX_KEY - 1, &entry.key, &key_size) || !read_u32(p, &type)) return 0;
    if (type > LLMC_GGUF_F64) return refuse(p, LLMCALL_E_FORMAT, "unknown value type %" PRIu32, type);
    p->part->header[entry.key + key_size] = 0; /* the type's first byte, which has been read */
    entry.type = entry.element_type = (int32_t)type;
    if (!read_value(p, &entry)) return 0;
    p->part->entries[p->part->n_entries++] = entry;
    return 1;
}

static const char *key_at(const llmc_gguf_part *part, uint32_t i) {
    return (const char *)part->header + part->entries[i].key;
}

static int key_less(const void *context, uint32_t a, uint32_t b) {
    const llmc_gguf_part *part = context;
    return strcmp(key_at(part, a), key_at(part, b)) < 0;
}

static int read_metadata(parser *p, size_t count) {
    llmc_gguf_part *part = p->part;
    part->entries = llmc_alloc_array(p->gguf->env, count, sizeof *part->entries);
    part->by_key = llmc_alloc_array(p->gguf->env, count, sizeof *part->by_key);
    if (!part->entries || !part->by_key) return refuse_memory(p);
    for (size_t i = 0; i < count; i++) {
        if (!read_entry(p)) return 0;
        part->by_key[i] = (uint32_t)i;
    }
    llmc_gguf_sort(part->by_key, count, key_less, part);
    for (size_t i = 1; i < count; i++) {
        const char *key = key_at(part, part->by_key[i]);
        if (strcmp(key_at(part, part->by_key[i - 1]), key) != 0) continue;
        p->kind = "key";
        snprintf(p->name, sizeof p->name, "%s", key);
        return refuse(p, LLMCALL_E_FORMAT, "it stands twice in the file");
    }
    return 1;
}

static int read_alignment(parser *p) {
    p->part->alignment = 32;
    int found;
    p->status = llmc_gguf_part_u32(p->part, "general.alignment", &p->part->alignment, &found, p->error);
    if (p->status != LLMCALL_OK) return 0;
    uint32_t alignment = p->part->alignment;
    if (alignment && alignment <= LLMC_GGUF_MAX_ALIGNMENT && !(alignment & (alignment - 1))) return 1;
    p->kind = "key";
    snprintf(p->name, sizeof p->name, "general.alignment");
    return refuse(p, LLMCALL_E_FORMAT, "%" PRIu32 " is not a power of two up to %d", alignment, LLMC_GGUF_MAX_ALIGNMENT);
}

/* ---- Tensors ---- */

static int read_dims(parser *p, llmc_gguf_tensor *tensor, uint64_t *elements) {
    if (!read_u32(p, &tensor->n_dims)) return 0;
    if (tensor->n_dims < 1 || tensor->n_dims > 4)
        return refuse(p, LLMCALL_E_FORMAT, "%" PRIu32 " dimensions (1 to 4 are possible)", tensor->n_dims);
    *elements = 1;
    for (uint32_t i = 0; i < 4; i++) {
        tensor->dims[i] = 1;
        if (i < tensor->n_dims && !read_u64(p, &tensor->dims[i])) return 0;
        if (tensor->dims[i] == 0 || !llmc_mul_u64(*elements, tensor->dims[i], elements) || *elements > INT64_MAX)
            return refuse(p, LLMCALL_E_FORMAT, "dimension %" PRIu32 " of %" PRIu64 " is impossible", i, tensor->dims[i]);
    }
    return 1;
}

static int read_type(parser *p, llmc_gguf_tensor *tensor, uint64_t elements) {
    uint32_t id;
    if (!read_u32(p, &id)) return 0;
    tensor->type = (int32_t)id;
    const llmc_quant_type *type = llmc_quant_type_find(tensor->type);
    if (!type) return refuse(p, LLMCALL_E_UNSUPPORTED, "unknown tensor type %" PRIu32, id);
    if (tensor->dims[0] % type->block_elements)
        return refuse(p, LLMCALL_E_FORMAT, "rows of %" PRIu64 " elements are not whole %s blocks of %" PRIu32, tensor->dims[0],
                      type->name, type->block_elements);
    if (!llmc_mul_u64(elements / type->block_elements, type->block_bytes, &tensor->n_bytes))
        return refuse(p, LLMCALL_E_FORMAT, "its size of %" PRIu64 " elements is impossible", elements);
    return 1;
}

/* The name's place in the header stays in name_at until the header has stopped moving. */
static int read_tensor(parser *p, llmc_gguf_tensor *tensor, uint32_t *name_at) {
    uint32_t name_size = 0;
    uint64_t elements = 0;
    *tensor = (llmc_gguf_tensor){.part = (uint32_t)p->index};
    if (!read_name(p, "tensor", LLMC_GGUF_MAX_NAME, name_at, &name_size)) return 0;
    if (!read_dims(p, tensor, &elements) || !read_type(p, tensor, elements) || !read_u64(p, &tensor->offset)) return 0;
    p->part->header[*name_at + name_size] = 0; /* the first byte of n_dims, which has been read */
    if (tensor->offset % p->part->alignment)
        return refuse(p, LLMCALL_E_FORMAT, "offset %" PRIu64 " is not a multiple of the alignment %" PRIu32, tensor->offset,
                      p->part->alignment);
    if (!llmc_add_u64(p->gguf->data_bytes, tensor->n_bytes, &p->gguf->data_bytes))
        return refuse(p, LLMCALL_E_FORMAT, "its size of %" PRIu64 " bytes is impossible", tensor->n_bytes);
    return 1;
}

/* What was read beyond the header; where the allocator cannot shrink the block, it stays. */
static void give_back_rest(parser *p) {
    uint8_t *header = llmc_realloc_array(p->gguf->env, p->part->header, (size_t)p->cursor.offset, 1);
    if (!header) return;
    p->part->header = header;
    p->cursor.data = header;
    p->cursor.size = p->cursor.offset;
}

static int read_tensors(parser *p, uint32_t *names) {
    llmc_gguf *gguf = p->gguf;
    llmc_gguf_part *part = p->part;
    for (size_t i = 0; i < part->n_tensors; i++)
        if (!read_tensor(p, &gguf->tensors[part->first_tensor + i], &names[i])) return 0;
    give_back_rest(p);
    for (size_t i = 0; i < part->n_tensors; i++)
        gguf->tensors[part->first_tensor + i].name = (const char *)part->header + names[i];
    gguf->n_tensors += part->n_tensors;
    return 1;
}

static int reserve_tensors(parser *p, size_t count) {
    llmc_gguf *gguf = p->gguf;
    p->part->first_tensor = gguf->n_tensors;
    p->part->n_tensors = count;
    if (gguf->n_tensors + count > LLMC_GGUF_MAX_TENSORS)
        return refuse(p, LLMCALL_E_UNSUPPORTED, "more than %d tensors", LLMC_GGUF_MAX_TENSORS);
    void *tensors = gguf->tensors;
    if (!llmc_grow(gguf->env, &tensors, &gguf->tensors_capacity, gguf->n_tensors + count, sizeof *gguf->tensors,
                   LLMC_GGUF_MAX_TENSORS))
        return refuse_memory(p);
    gguf->tensors = tensors;
    return 1;
}

/* ---- Where the tensors lie ---- */

static void name_tensor(parser *p, const llmc_gguf_tensor *tensor) {
    p->kind = "tensor";
    snprintf(p->name, sizeof p->name, "%s", tensor->name);
}

/* Offsets become absolute; every tensor must end within the file. */
static int place_tensors(parser *p) {
    llmc_gguf_part *part = p->part;
    uint64_t mask = part->alignment - 1u;
    part->data_offset = (p->cursor.offset + mask) & ~mask; /* both are small: the header has a limit */
    for (size_t i = 0; i < part->n_tensors; i++) {
        llmc_gguf_tensor *tensor = &p->gguf->tensors[part->first_tensor + i];
        uint64_t begin, end;
        int fits = llmc_add_u64(part->data_offset, tensor->offset, &begin) && llmc_add_u64(begin, tensor->n_bytes, &end) &&
                   end <= part->source.size;
        if (!fits) {
            name_tensor(p, tensor);
            return refuse(p, LLMCALL_E_FORMAT,
                          "truncated: %" PRIu64 " bytes at data offset %" PRIu64 ", but the file has %" PRIu64 " bytes in all",
                          tensor->n_bytes, tensor->offset, part->source.size);
        }
        tensor->offset = begin;
    }
    return 1;
}

static int offset_less(const void *context, uint32_t a, uint32_t b) {
    const llmc_gguf_tensor *tensors = context;
    return tensors[a].offset < tensors[b].offset;
}

static int check_overlap(parser *p, uint32_t *order) {
    if (p->part->n_tensors == 0) return 1;
    const llmc_gguf_tensor *tensors = p->gguf->tensors + p->part->first_tensor;
    for (size_t i = 0; i < p->part->n_tensors; i++) order[i] = (uint32_t)i;
    llmc_gguf_sort(order, p->part->n_tensors, offset_less, tensors);
    for (size_t i = 1; i < p->part->n_tensors; i++) {
        const llmc_gguf_tensor *before = &tensors[order[i - 1]], *tensor = &tensors[order[i]];
        if (before->offset + before->n_bytes <= tensor->offset) continue;
        name_tensor(p, tensor);
        return refuse(p, LLMCALL_E_FORMAT, "it overlaps tensor '%.100s'", before->name);
    }
    return 1;
}

/* scratch: one number a tensor, first where its name is, then the order by offset. */
static int read_and_place_tensors(parser *p, size_t count) {
    if (!reserve_tensors(p, count)) return 0;
    uint32_t *scratch = llmc_alloc_array(p->gguf->env, count, sizeof *scratch);
    if (!scratch) return refuse_memory(p);
    int good = read_tensors(p, scratch) && place_tensors(p) && check_overlap(p, scratch);
    llmc_free(p->gguf->env, scratch);
    return good;
}

/* ---- The whole header ---- */

static int read_version(parser *p) {
    uint32_t version;
    if (p->part->source.size < 4)
        return refuse(p, LLMCALL_E_FORMAT, "not a GGUF file: it has %" PRIu64 " bytes", p->part->source.size);
    if (!need(p, 4)) return 0;
    if (memcmp(llmc_cursor_bytes(&p->cursor, 4), "GGUF", 4) != 0) return refuse(p, LLMCALL_E_FORMAT, "not a GGUF file");
    if (!read_u32(p, &version)) return 0;
    if (version && !(version & 0xffffu))
        return refuse(p, LLMCALL_E_UNSUPPORTED, "a big-endian GGUF file; only little-endian ones are read");
    if (version != 2 && version != 3)
        return refuse(p, LLMCALL_E_UNSUPPORTED, "GGUF version %" PRIu32 "; versions 2 and 3 are read", version);
    return 1;
}

static int check_count(parser *p, uint64_t count, uint64_t least_bytes, uint64_t max, const char *what) {
    if (count > bytes_left(p) / least_bytes)
        return refuse(p, LLMCALL_E_FORMAT, "%" PRIu64 " %s in a file of %" PRIu64 " bytes (truncated)", count, what,
                      p->part->source.size);
    if (count > max) return refuse(p, LLMCALL_E_UNSUPPORTED, "%" PRIu64 " %s; at most %" PRIu64 " are read", count, what, max);
    return 1;
}

static int parse(parser *p) {
    uint64_t n_tensors, n_entries;
    if (!read_version(p) || !read_u64(p, &n_tensors) || !read_u64(p, &n_entries)) return 0;
    /* The least that one takes: a length, a byte of name, n_dims, one dimension, a type and an offset; or a length, a byte of
     * name, a type and a byte of value. */
    if (!check_count(p, n_tensors, 8 + 1 + 4 + 8 + 4 + 8, LLMC_GGUF_MAX_TENSORS, "tensors")) return 0;
    if (!check_count(p, n_entries, 8 + 1 + 4 + 1, LLMC_GGUF_MAX_KEYS, "keys")) return 0;
    if (!read_metadata(p, (size_t)n_entries) || !read_alignment(p)) return 0;
    if (!read_and_place_tensors(p, (size_t)n_tensors)) return 0;
    p->part->header_size = p->cursor.offset;
    return 1;
}

llmcall_status llmc_gguf_parse_part(llmc_gguf *gguf, size_t index, llmcall_error *error) {
    parser p = {.gguf = gguf, .part = &gguf->parts[index], .index = index, .kind = "", .error = error};
    llmc_cursor_init(&p.cursor, NULL, 0);
    return parse(&p) ? LLMCALL_OK : p.status;
}
