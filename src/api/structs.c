/* Structs across the boundary: versions of any size in and out. */
#include "api/api.h"

#include <string.h>

#include "core/utf8.h"

llmcall_status llmc_import(void *to, size_t size, const void *from, const char *what, llmcall_error *error) {
    memset(to, 0, size);
    uint32_t given;
    memcpy(&given, from, sizeof given);
    if (given < 8 || given > 65536)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, "bad_struct_size", what,
                         "%s has struct_size %u; fill it with LLMCALL_INIT.", what, given);
    memcpy(to, from, given < size ? given : size);
    for (size_t i = size; i < given; i++) {
        if (((const unsigned char *)from)[i])
            return llmc_fail(error, LLMCALL_E_UNSUPPORTED, "newer_struct", what,
                             "%s sets a field at offset %zu that this version of the library does not know.", what, i);
    }
    uint32_t own = (uint32_t)size;
    memcpy(to, &own, sizeof own);
    return LLMCALL_OK;
}

void llmc_export(void *to, const void *from, size_t size) {
    uint32_t given;
    memcpy(&given, to, sizeof given);
    if (given < sizeof given) return;
    size_t n = given < size ? given : size;
    memcpy((char *)to + sizeof given, (const char *)from + sizeof given, n - sizeof given);
}

llmcall_status llmc_check_text(const char *text, int64_t given, const char *param, size_t *size, llmcall_error *error) {
    *size = 0;
    if (!text) return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, param, "%s is missing (a NULL pointer).", param);
    if (given < -1)
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, param, "%s has size %lld; give its bytes, or -1 if it ends with NUL.",
                         param, (long long)given);
    *size = given == -1 ? strlen(text) : (size_t)given;
    size_t valid = llmc_utf8_valid_prefix(text, *size);
    if (valid < *size)
        return llmc_fail(error, LLMCALL_E_UTF8, NULL, param, "%s is not UTF-8: byte 0x%02x at offset %zu.", param,
                         (unsigned)(unsigned char)text[valid], valid);
    return LLMCALL_OK;
}

const void *llmc_element(const void *array, size_t index) {
    uint32_t stride;
    memcpy(&stride, array, sizeof stride);
    return (const char *)array + index * stride;
}
