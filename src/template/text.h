/* Text as Python sees it: code points, white space, str(), repr() and json.dumps() of values. */
#ifndef LLMC_TEMPLATE_TEXT_H
#define LLMC_TEMPLATE_TEXT_H

#include "template/value.h"

/* A text that grows in an arena; look at failed once at the end. */
typedef struct llmc_text {
    llmc_arena *arena;
    char *data;
    size_t size;
    int failed;
} llmc_text;

void llmc_text_init(llmc_text *text, llmc_arena *arena);
void llmc_text_add(llmc_text *text, const char *bytes, size_t size);
void llmc_text_add_literal(llmc_text *text, const char *literal);
void llmc_text_add_repeated(llmc_text *text, const char *bytes, size_t size, size_t times);

/* What these return is why the value cannot be written, static, or NULL if it was. */
const char *llmc_text_add_str(llmc_text *text, const llmc_value *value);
const char *llmc_text_add_repr(llmc_text *text, const llmc_value *value, int ascii); /* ascii: escapes the rest */

typedef struct llmc_json_style {
    llmc_value indent; /* text of one level; LLMC_NONE: on one line */
    llmc_value item_separator;
    llmc_value key_separator;
    int sort_keys;
    int ensure_ascii;
} llmc_json_style;
const char *llmc_text_add_json(llmc_text *text, const llmc_value *value, const llmc_json_style *style);

int llmc_text_is_printable(uint32_t code_point);              /* as Python: shown as it is by repr() */
size_t llmc_text_space_prefix(const char *text, size_t size); /* bytes of white space (Unicode) at the start */
size_t llmc_text_space_suffix(const char *text, size_t size);
/* Bytes of the line that text begins with, as str.splitlines() sees lines; *after: those and its end's. */
size_t llmc_text_line(const char *text, size_t size, size_t *after);
size_t llmc_text_length(const char *text, size_t size);                     /* code points */
size_t llmc_text_offset(const char *text, size_t size, size_t code_points); /* bytes of the first code_points */
size_t llmc_text_find(const char *text, size_t size, const char *needle, size_t needle_size); /* offset, or SIZE_MAX */
/* A copy with its bytes in reverse order, to find last things first; NULL when the arena is out of memory. */
const char *llmc_text_backwards(llmc_arena *arena, const char *text, size_t size);
size_t llmc_text_step(const char *text, size_t size, uint32_t *code_point); /* bytes of the first character, 1 if broken */

int llmc_text_to_int(const char *text, size_t size,
                     int64_t *integer); /* base 10, underscores and spaces as Python; 0: not one */
int llmc_text_to_int_of(const char *text, size_t size, int base, int64_t *integer); /* base 0: as the prefix says */
int llmc_text_to_float(const char *text, size_t size, double *real);

#endif
