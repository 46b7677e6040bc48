/* UTF-8 as bytes: checking and stepping. Unicode properties are utf8proc's business. */
#ifndef LLMC_UTF8_H
#define LLMC_UTF8_H

#include <stddef.h>
#include <stdint.h>

/* Offset of the first byte that is not well-formed UTF-8 (overlong forms, surrogates and > U+10FFFF are not), or size. */
size_t llmc_utf8_valid_prefix(const char *text, size_t size);

/* Bytes at the end that begin a character that is cut off, 0 to 3; 0 if the text ends with a whole (or a broken) one. */
size_t llmc_utf8_incomplete_tail(const char *text, size_t size);

/* Decodes one character; returns its bytes (1 to 4), or 0 if broken or at the end. */
size_t llmc_utf8_decode(const char *text, size_t size, uint32_t *code_point);
size_t llmc_utf8_encode(uint32_t code_point, char out[4]); /* 0 if not a scalar value */

#endif
