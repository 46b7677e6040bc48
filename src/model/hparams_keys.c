/* Keys of a GGUF file, read one after another. */
#include "model/hparams.h"

#include <stdio.h>

const char *llmc_key_of(llmc_key_reader *reader, const char *name) {
    snprintf(reader->key, sizeof reader->key, "%s.%s", reader->architecture, name);
    return reader->key;
}

void llmc_fail_missing(llmc_key_reader *reader) {
    reader->status = llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key, "The file lacks the key %s.", reader->key);
}

void llmc_fail_u32(llmc_key_reader *reader, uint32_t value, const char *expected) {
    reader->status =
        llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key, "%s is %u; expected %s.", reader->key, value, expected);
}

void llmc_check_range(llmc_key_reader *reader, uint32_t value, uint32_t min, uint32_t max) {
    char expected[48];
    if (value >= min && value <= max) return;
    snprintf(expected, sizeof expected, "%u to %u", min, max);
    llmc_fail_u32(reader, value, expected);
}

void llmc_read_u32(llmc_key_reader *reader, const char *name, uint32_t *value, uint32_t min, uint32_t max) {
    int found = 0;
    if (reader->status != LLMCALL_OK) return;
    reader->status = llmc_gguf_get_u32(reader->gguf, llmc_key_of(reader, name), value, &found, reader->error);
    if (reader->status == LLMCALL_OK && found) llmc_check_range(reader, *value, min, max);
}

void llmc_require_u32(llmc_key_reader *reader, const char *name, uint32_t *value, uint32_t min, uint32_t max) {
    *value = 0;
    llmc_read_u32(reader, name, value, min, max);
    if (reader->status == LLMCALL_OK && *value == 0) llmc_fail_missing(reader); /* min is at least 1: 0 means absent */
}

void llmc_read_f32(llmc_key_reader *reader, const char *name, float *value, float min, float max, int *found) {
    if (reader->status != LLMCALL_OK) return;
    reader->status = llmc_gguf_get_f32(reader->gguf, llmc_key_of(reader, name), value, found, reader->error);
    if (reader->status != LLMCALL_OK || !*found) return;
    if (*value >= min && *value <= max) return; /* NaN is neither */
    reader->status = llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key, "%s is %g; expected %g to %g.", reader->key,
                               (double)*value, (double)min, (double)max);
}

void llmc_read_bool(llmc_key_reader *reader, const char *name, int *value) {
    int found = 0;
    if (reader->status != LLMCALL_OK) return;
    reader->status = llmc_gguf_get_bool(reader->gguf, llmc_key_of(reader, name), value, &found, reader->error);
}

static void fail_differs(llmc_key_reader *reader, uint32_t value, uint32_t element, uint32_t layer) {
    reader->status = llmc_fail(reader->error, LLMCALL_E_UNSUPPORTED, NULL, reader->key,
                               "%s differs between layers (%u, and %u in layer %u), which is not supported.", reader->key,
                               value, element, layer);
}

void llmc_read_u32_or_array(llmc_key_reader *reader, const char *name, uint32_t *value, uint32_t n_layers, uint32_t min,
                            uint32_t max, uint8_t *none) {
    llmc_gguf_array array;
    int found = 0;
    uint32_t element = 0, n_seen = 0;
    if (reader->status != LLMCALL_OK) return;
    if (llmc_gguf_get_array(reader->gguf, llmc_key_of(reader, name), &array, &found, NULL) != LLMCALL_OK || !found) {
        llmc_read_u32(reader, name, value, min, max);
        return;
    }
    if (array.count != n_layers) {
        reader->status =
            llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key,
                      "%s has %zu elements; expected one for each of %u layers.", reader->key, array.count, n_layers);
        return;
    }
    for (uint32_t i = 0; i < n_layers && reader->status == LLMCALL_OK; i++) {
        reader->status = llmc_gguf_array_u32(&array, i, &element, reader->error);
        if (reader->status != LLMCALL_OK) return;
        if (none && element == 0) {
            none[i] = 1;
            continue;
        }
        if (n_seen++ > 0 && element != *value) {
            fail_differs(reader, *value, element, i);
            return;
        }
        *value = element;
    }
    if (reader->status == LLMCALL_OK && n_seen > 0) llmc_check_range(reader, *value, min, max);
}

int llmc_read_u32_of_layers(llmc_key_reader *reader, const char *name, uint32_t *values, uint32_t n_layers, uint32_t min,
                            uint32_t max) {
    llmc_gguf_array array;
    int found = 0;
    if (reader->status != LLMCALL_OK) return 0;
    if (llmc_gguf_get_array(reader->gguf, llmc_key_of(reader, name), &array, &found, NULL) != LLMCALL_OK || !found) {
        reader->status = llmc_gguf_get_u32(reader->gguf, reader->key, &values[0], &found, reader->error);
        if (reader->status == LLMCALL_OK && found) llmc_check_range(reader, values[0], min, max);
        for (uint32_t i = 1; i < n_layers && found; i++) values[i] = values[0];
        return found;
    }
    if (array.count != n_layers) {
        reader->status =
            llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key,
                      "%s has %zu elements; expected one for each of %u layers.", reader->key, array.count, n_layers);
    }
    for (uint32_t i = 0; i < n_layers && reader->status == LLMCALL_OK; i++) {
        reader->status = llmc_gguf_array_u32(&array, i, &values[i], reader->error);
        if (reader->status == LLMCALL_OK) llmc_check_range(reader, values[i], min, max);
    }
    return 1;
}

int llmc_mark_by_array(llmc_key_reader *reader, const char *name, llmc_hparams *h, uint8_t flag) {
    llmc_gguf_array array;
    int found = 0;
    if (llmc_gguf_get_array(reader->gguf, llmc_key_of(reader, name), &array, &found, NULL) != LLMCALL_OK || !found) return 0;
    if (array.count < h->n_layers) {
        reader->status = llmc_fail(reader->error, LLMCALL_E_FORMAT, NULL, reader->key, "%s has %zu elements for %u layers.",
                                   reader->key, array.count, h->n_layers);
    }
    for (uint32_t i = 0; i < h->n_layers && reader->status == LLMCALL_OK; i++) {
        uint32_t set = 0;
        if (array.element_type == LLMC_GGUF_BOOL) set = array.data[i];
        else reader->status = llmc_gguf_array_u32(&array, i, &set, reader->error);
        if (set) h->layer[i] |= flag;
    }
    return 1;
}
