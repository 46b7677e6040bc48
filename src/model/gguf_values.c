/* Metadata by key: numbers of any width in the file, as the types that the loader works with. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/gguf_internal.h"

const uint8_t llmc_gguf_type_size[13] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};

static const char *const type_names[13] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                           "bool", "string", "array", "u64", "i64", "f64"};

const char *llmc_gguf_type_name(int32_t type) {
    return type >= 0 && type < 13 ? type_names[type] : "unknown";
}

/* A number of the file. Integers are kept by sign and magnitude range: negative ones in i, all others in u. */
typedef struct number {
    enum { NUMBER_NONE, NUMBER_UNSIGNED, NUMBER_NEGATIVE, NUMBER_FLOAT, NUMBER_BOOL } kind;
    uint64_t u;
    int64_t i;
    double f;
} number;

static uint64_t little_endian(const uint8_t *bytes, unsigned size) {
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

static number signed_number(uint64_t bits, unsigned size) {
    uint64_t sign = (uint64_t)1 << (8 * size - 1);
    int64_t value = (int64_t)((bits ^ sign) - sign);
    if (value < 0) return (number){.kind = NUMBER_NEGATIVE, .i = value};
    return (number){.kind = NUMBER_UNSIGNED, .u = bits};
}

static number float_number(uint64_t bits, unsigned size) {
    number n = {.kind = NUMBER_FLOAT};
    uint32_t low = (uint32_t)bits;
    float single;
    memcpy(&single, &low, sizeof single);
    if (size == 8) memcpy(&n.f, &bits, sizeof n.f);
    else n.f = (double)single;
    return n;
}

static number number_at(int32_t type, const uint8_t *bytes) {
    unsigned size = llmc_gguf_type_size[type];
    uint64_t bits = little_endian(bytes, size);
    switch (type) {
    case LLMC_GGUF_I8:
    case LLMC_GGUF_I16:
    case LLMC_GGUF_I32:
    case LLMC_GGUF_I64:
        return signed_number(bits, size);
    case LLMC_GGUF_F32:
    case LLMC_GGUF_F64:
        return float_number(bits, size);
    case LLMC_GGUF_BOOL:
        return (number){.kind = NUMBER_BOOL, .u = bits};
    case LLMC_GGUF_STRING:
    case LLMC_GGUF_ARRAY:
        return (number){.kind = NUMBER_NONE};
    default:
        return (number){.kind = NUMBER_UNSIGNED, .u = bits};
    }
}

static int as_u32(number n, void *value) {
    if (n.kind != NUMBER_UNSIGNED || n.u > UINT32_MAX) return 0;
    *(uint32_t *)value = (uint32_t)n.u;
    return 1;
}

static int as_i32(number n, void *value) {
    if (n.kind == NUMBER_NEGATIVE && n.i >= INT32_MIN) *(int32_t *)value = (int32_t)n.i;
    else if (n.kind == NUMBER_UNSIGNED && n.u <= INT32_MAX) *(int32_t *)value = (int32_t)n.u;
    else return 0;
    return 1;
}

static int as_f32(number n, void *value) {
    float *out = value;
    switch (n.kind) {
    case NUMBER_UNSIGNED:
        *out = (float)n.u;
        return 1;
    case NUMBER_NEGATIVE:
        *out = (float)n.i;
        return 1;
    case NUMBER_FLOAT:
        *out = (float)n.f;
        return 1;
    default:
        return 0;
    }
}

/* A scalar setting that is not finite has no use; elements of arrays (scores) may be anything. */
static int as_finite_f32(number n, void *value) {
    float single;
    if (!as_f32(n, &single) || !isfinite(single)) return 0;
    *(float *)value = single;
    return 1;
}

static int as_bool(number n, void *value) {
    if (n.kind != NUMBER_BOOL || n.u > 1) return 0;
    *(int *)value = (int)n.u;
    return 1;
}

/* "i32 -5" */
static void describe(int32_t type, number n, char *text, size_t size) {
    const char *name = llmc_gguf_type_name(type);
    switch (n.kind) {
    case NUMBER_NEGATIVE:
        snprintf(text, size, "%s %" PRId64, name, n.i);
        break;
    case NUMBER_FLOAT:
        snprintf(text, size, "%s %g", name, n.f);
        break;
    case NUMBER_NONE:
        snprintf(text, size, "%s", name);
        break;
    default:
        snprintf(text, size, "%s %" PRIu64, name, n.u);
    }
}

/* ---- By key ---- */

const llmc_gguf_entry *llmc_gguf_find_entry(const llmc_gguf_part *part, const char *key) {
    size_t low = 0, high = part->n_entries;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const llmc_gguf_entry *entry = &part->entries[part->by_key[middle]];
        int order = strcmp((const char *)part->header + entry->key, key);
        if (order == 0) return entry;
        if (order < 0) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

/* The entry, with *found set if the caller wants to know. */
static const llmc_gguf_entry *look_up(const llmc_gguf_part *part, const char *key, int *found) {
    const llmc_gguf_entry *entry = llmc_gguf_find_entry(part, key);
    if (found) *found = entry != NULL;
    return entry;
}

typedef int (*conversion)(number n, void *value);

static llmcall_status get_number(const llmc_gguf_part *part, const char *key, conversion convert, const char *wanted,
                                 void *value, int *found, llmcall_error *error) {
    const llmc_gguf_entry *entry = look_up(part, key, found);
    if (!entry) return LLMCALL_OK;
    number n = number_at(entry->type, part->header + entry->data);
    if (convert(n, value)) return LLMCALL_OK;
    char text[64];
    describe(entry->type, n, text, sizeof text);
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "key '%s' is %s, but must be %s", key, text, wanted);
}

llmcall_status llmc_gguf_part_u32(const llmc_gguf_part *part, const char *key, uint32_t *value, int *found,
                                  llmcall_error *error) {
    return get_number(part, key, as_u32, "an integer from 0 to 4294967295", value, found, error);
}

llmcall_status llmc_gguf_get_u32(const llmc_gguf *gguf, const char *key, uint32_t *value, int *found, llmcall_error *error) {
    return llmc_gguf_part_u32(&gguf->parts[0], key, value, found, error);
}

llmcall_status llmc_gguf_get_i32(const llmc_gguf *gguf, const char *key, int32_t *value, int *found, llmcall_error *error) {
    return get_number(&gguf->parts[0], key, as_i32, "an integer of 32 bits with sign", value, found, error);
}

llmcall_status llmc_gguf_get_f32(const llmc_gguf *gguf, const char *key, float *value, int *found, llmcall_error *error) {
    return get_number(&gguf->parts[0], key, as_finite_f32, "a finite number", value, found, error);
}

llmcall_status llmc_gguf_get_bool(const llmc_gguf *gguf, const char *key, int *value, int *found, llmcall_error *error) {
    return get_number(&gguf->parts[0], key, as_bool, "a bool of 0 or 1", value, found, error);
}

llmcall_status llmc_gguf_get_string(const llmc_gguf *gguf, const char *key, const char **text, size_t *size, int *found,
                                    llmcall_error *error) {
    const llmc_gguf_part *part = &gguf->parts[0];
    const llmc_gguf_entry *entry = look_up(part, key, found);
    if (!entry) return LLMCALL_OK;
    if (entry->type != LLMC_GGUF_STRING)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "key '%s' is of type %s, but must be a string", key,
                         llmc_gguf_type_name(entry->type));
    *text = (const char *)part->header + entry->data;
    *size = entry->count;
    return LLMCALL_OK;
}

llmcall_status llmc_gguf_get_array(const llmc_gguf *gguf, const char *key, llmc_gguf_array *array, int *found,
                                   llmcall_error *error) {
    const llmc_gguf_part *part = &gguf->parts[0];
    const llmc_gguf_entry *entry = look_up(part, key, found);
    if (!entry) return LLMCALL_OK;
    if (entry->type != LLMC_GGUF_ARRAY)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "key '%s' is of type %s, but must be an array", key,
                         llmc_gguf_type_name(entry->type));
    *array = (llmc_gguf_array){.element_type = entry->element_type,
                               .count = entry->count,
                               .key = (const char *)part->header + entry->key,
                               .data = part->header + entry->data};
    if (entry->element_type == LLMC_GGUF_STRING && entry->count) array->string_ends = part->string_ends + entry->first_string;
    return LLMCALL_OK;
}

/* ---- Elements ---- */

static llmcall_status check_index(const llmc_gguf_array *array, size_t i, llmcall_error *error) {
    if (i < array->count) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, array->key, "key '%s' has %zu elements, but element %zu is needed",
                     array->key, array->count, i);
}

llmcall_status llmc_gguf_array_string(const llmc_gguf_array *array, size_t i, const char **text, size_t *size,
                                      llmcall_error *error) {
    llmcall_status status = check_index(array, i, error);
    if (status != LLMCALL_OK) return status;
    if (array->element_type != LLMC_GGUF_STRING)
        return llmc_fail(error, LLMCALL_E_FORMAT, NULL, array->key, "key '%s' is an array of %s, but must be one of strings",
                         array->key, llmc_gguf_type_name(array->element_type));
    size_t begin = (i ? array->string_ends[i - 1] : 0) + sizeof(uint64_t); /* behind the string's length */
    *text = (const char *)array->data + begin;
    *size = array->string_ends[i] - begin;
    return LLMCALL_OK;
}

static llmcall_status element(const llmc_gguf_array *array, size_t i, conversion convert, const char *wanted, void *value,
                              llmcall_error *error) {
    llmcall_status status = check_index(array, i, error);
    if (status != LLMCALL_OK) return status;
    number n = number_at(array->element_type, array->data + i * llmc_gguf_type_size[array->element_type]);
    if (convert(n, value)) return LLMCALL_OK;
    char text[64];
    describe(array->element_type, n, text, sizeof text);
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, array->key, "key '%s': element %zu is %s, but must be %s", array->key, i,
                     text, wanted);
}

llmcall_status llmc_gguf_array_u32(const llmc_gguf_array *array, size_t i, uint32_t *value, llmcall_error *error) {
    return element(array, i, as_u32, "an integer from 0 to 4294967295", value, error);
}

llmcall_status llmc_gguf_array_i32(const llmc_gguf_array *array, size_t i, int32_t *value, llmcall_error *error) {
    return element(array, i, as_i32, "an integer of 32 bits with sign", value, error);
}

llmcall_status llmc_gguf_array_f32(const llmc_gguf_array *array, size_t i, float *value, llmcall_error *error) {
    return element(array, i, as_f32, "a number", value, error);
}
