/* Which characters are letters, numbers, marks and white space: the general categories L, N and M and the property White_Space,
 * as utf8proc has them. */
#include "tokenizer/classes.h"

#include <utf8proc.h>

/* Letters of Unicode 15.1, which older releases of utf8proc do not know. */
enum { CJK_EXTENSION_I = 0x2ebf0, CJK_EXTENSION_I_END = 0x2ee5e };

static const uint8_t class_of_category[] = {
    [UTF8PROC_CATEGORY_LU] = LLMC_CLASS_LETTER, [UTF8PROC_CATEGORY_LL] = LLMC_CLASS_LETTER,
    [UTF8PROC_CATEGORY_LT] = LLMC_CLASS_LETTER, [UTF8PROC_CATEGORY_LM] = LLMC_CLASS_LETTER,
    [UTF8PROC_CATEGORY_LO] = LLMC_CLASS_LETTER, [UTF8PROC_CATEGORY_ND] = LLMC_CLASS_NUMBER,
    [UTF8PROC_CATEGORY_NL] = LLMC_CLASS_NUMBER, [UTF8PROC_CATEGORY_NO] = LLMC_CLASS_NUMBER,
    [UTF8PROC_CATEGORY_MN] = LLMC_CLASS_MARK,   [UTF8PROC_CATEGORY_MC] = LLMC_CLASS_MARK,
    [UTF8PROC_CATEGORY_ME] = LLMC_CLASS_MARK,   [UTF8PROC_CATEGORY_ZS] = LLMC_CLASS_SPACE,
    [UTF8PROC_CATEGORY_ZL] = LLMC_CLASS_SPACE,  [UTF8PROC_CATEGORY_ZP] = LLMC_CLASS_SPACE,
};

static uint8_t class_of(uint32_t code_point) {
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code_point);
    if (code_point >= CJK_EXTENSION_I && code_point < CJK_EXTENSION_I_END) return LLMC_CLASS_LETTER;
    const uint8_t class = category < sizeof class_of_category ? class_of_category[category] : 0;
    return class ? class : LLMC_CLASS_OTHER;
}

void llmc_classes_fill(uint8_t classes[LLMC_CLASSED]) {
    for (uint32_t i = 0; i < LLMC_CLASSED; i++) classes[i] = class_of(i);
    for (uint32_t i = '\t'; i <= '\r'; i++) classes[i] = LLMC_CLASS_SPACE; /* controls, and white space all the same */
    classes[0x85] = LLMC_CLASS_SPACE;
    classes['\r'] = classes['\n'] = LLMC_CLASS_SPACE | LLMC_CLASS_BREAK;
}
