/* Which characters are letters, numbers, marks and white space: the general categories and the property White_Space, as utf8proc
 * has them, and the script Han. */
#include "tokenizer/classes.h"

#include <utf8proc.h>

/* Letters of Unicode 15.1, which older releases of utf8proc do not know. */
enum { CJK_EXTENSION_I = 0x2ebf0, CJK_EXTENSION_I_END = 0x2ee5e };

/* Unicode 15.1, Scripts.txt: Han. */
static const llmc_range han[] = {{0x2e80, 0x2e99, 1},   {0x2e9b, 0x2ef3, 1},   {0x2f00, 0x2fd5, 1},   {0x3005, 0x3005, 1},
                                 {0x3007, 0x3007, 1},   {0x3021, 0x3029, 1},   {0x3038, 0x303b, 1},   {0x3400, 0x4dbf, 1},
                                 {0x4e00, 0x9fff, 1},   {0xf900, 0xfa6d, 1},   {0xfa70, 0xfad9, 1},   {0x16fe2, 0x16fe3, 1},
                                 {0x16ff0, 0x16ff1, 1}, {0x20000, 0x2a6df, 1}, {0x2a700, 0x2b739, 1}, {0x2b740, 0x2b81d, 1},
                                 {0x2b820, 0x2cea1, 1}, {0x2ceb0, 0x2ebe0, 1}, {0x2ebf0, 0x2ee5d, 1}, {0x2f800, 0x2fa1d, 1},
                                 {0x30000, 0x3134a, 1}, {0x31350, 0x323af, 1}};

static const uint16_t class_of_category[] = {
    [UTF8PROC_CATEGORY_LU] = LLMC_CLASS_UPPER,
    [UTF8PROC_CATEGORY_LL] = LLMC_CLASS_LOWER,
    [UTF8PROC_CATEGORY_LT] = LLMC_CLASS_UPPER,
    [UTF8PROC_CATEGORY_LM] = LLMC_CLASS_UNCASED,
    [UTF8PROC_CATEGORY_LO] = LLMC_CLASS_UNCASED,
    [UTF8PROC_CATEGORY_ND] = LLMC_CLASS_NUMBER | LLMC_CLASS_DIGIT,
    [UTF8PROC_CATEGORY_NL] = LLMC_CLASS_NUMBER,
    [UTF8PROC_CATEGORY_NO] = LLMC_CLASS_NUMBER,
    [UTF8PROC_CATEGORY_MN] = LLMC_CLASS_MARK,
    [UTF8PROC_CATEGORY_MC] = LLMC_CLASS_MARK,
    [UTF8PROC_CATEGORY_ME] = LLMC_CLASS_MARK,
    [UTF8PROC_CATEGORY_ZS] = LLMC_CLASS_SPACE,
    [UTF8PROC_CATEGORY_ZL] = LLMC_CLASS_SPACE,
    [UTF8PROC_CATEGORY_ZP] = LLMC_CLASS_SPACE,
    [UTF8PROC_CATEGORY_PC] = LLMC_CLASS_PUNCT | LLMC_CLASS_CONNECT,
    [UTF8PROC_CATEGORY_PD] = LLMC_CLASS_PUNCT,
    [UTF8PROC_CATEGORY_PS] = LLMC_CLASS_PUNCT,
    [UTF8PROC_CATEGORY_PE] = LLMC_CLASS_PUNCT,
    [UTF8PROC_CATEGORY_PI] = LLMC_CLASS_PUNCT,
    [UTF8PROC_CATEGORY_PF] = LLMC_CLASS_PUNCT,
    [UTF8PROC_CATEGORY_PO] = LLMC_CLASS_PUNCT,
    [UTF8PROC_CATEGORY_SM] = LLMC_CLASS_SYMBOL,
    [UTF8PROC_CATEGORY_SC] = LLMC_CLASS_SYMBOL,
    [UTF8PROC_CATEGORY_SK] = LLMC_CLASS_SYMBOL,
    [UTF8PROC_CATEGORY_SO] = LLMC_CLASS_SYMBOL,
};

static uint32_t category_class(uint32_t code_point) {
    const utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code_point);
    if (code_point >= CJK_EXTENSION_I && code_point < CJK_EXTENSION_I_END) return LLMC_CLASS_UNCASED;
    const uint32_t class = category < sizeof class_of_category / sizeof *class_of_category ? class_of_category[category] : 0;
    return class ? class : LLMC_CLASS_REST;
}

void llmc_classes_fill(uint16_t classes[LLMC_CLASSED]) {
    for (uint32_t i = 0; i < LLMC_CLASSED; i++) classes[i] = (uint16_t)category_class(i);
    for (uint32_t i = '\t'; i <= '\r'; i++) classes[i] = LLMC_CLASS_SPACE; /* controls, and white space all the same */
    classes[0x85] = LLMC_CLASS_SPACE;
    classes['\r'] = classes['\n'] = LLMC_CLASS_SPACE | LLMC_CLASS_BREAK;
    for (size_t k = 0; k < sizeof han / sizeof *han; k++)
        for (uint32_t i = han[k].first; i <= han[k].last; i++) classes[i] |= LLMC_CLASS_HAN;
}
