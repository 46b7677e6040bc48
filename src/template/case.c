/* Letter case and character classes as Python's str has them. utf8proc knows single characters; what becomes several of them
 * (Unicode's SpecialCasing) is listed here. */
#include <string.h>
#include <utf8proc.h>

#include "core/utf8.h"
#include "template/builtins.h"

/* title NULL: one character, which utf8proc knows. */
static const struct special {
    uint32_t code_point;
    const char *upper, *title;
} SPECIAL[] = {
    {0x00DF, "SS", "Ss"},
    {0x0149, "\u02BCN", "\u02BCN"},
    {0x01F0, "J\u030C", "J\u030C"},
    {0x0390, "\u0399\u0308\u0301", "\u0399\u0308\u0301"},
    {0x03B0, "\u03A5\u0308\u0301", "\u03A5\u0308\u0301"},
    {0x0587, "\u0535\u0552", "\u0535\u0582"},
    {0x1E96, "H\u0331", "H\u0331"},
    {0x1E97, "T\u0308", "T\u0308"},
    {0x1E98, "W\u030A", "W\u030A"},
    {0x1E99, "Y\u030A", "Y\u030A"},
    {0x1E9A, "A\u02BE", "A\u02BE"},
    {0x1F50, "\u03A5\u0313", "\u03A5\u0313"},
    {0x1F52, "\u03A5\u0313\u0300", "\u03A5\u0313\u0300"},
    {0x1F54, "\u03A5\u0313\u0301", "\u03A5\u0313\u0301"},
    {0x1F56, "\u03A5\u0313\u0342", "\u03A5\u0313\u0342"},
    {0x1F80, "\u1F08\u0399", NULL},
    {0x1F81, "\u1F09\u0399", NULL},
    {0x1F82, "\u1F0A\u0399", NULL},
    {0x1F83, "\u1F0B\u0399", NULL},
    {0x1F84, "\u1F0C\u0399", NULL},
    {0x1F85, "\u1F0D\u0399", NULL},
    {0x1F86, "\u1F0E\u0399", NULL},
    {0x1F87, "\u1F0F\u0399", NULL},
    {0x1F88, "\u1F08\u0399", NULL},
    {0x1F89, "\u1F09\u0399", NULL},
    {0x1F8A, "\u1F0A\u0399", NULL},
    {0x1F8B, "\u1F0B\u0399", NULL},
    {0x1F8C, "\u1F0C\u0399", NULL},
    {0x1F8D, "\u1F0D\u0399", NULL},
    {0x1F8E, "\u1F0E\u0399", NULL},
    {0x1F8F, "\u1F0F\u0399", NULL},
    {0x1F90, "\u1F28\u0399", NULL},
    {0x1F91, "\u1F29\u0399", NULL},
    {0x1F92, "\u1F2A\u0399", NULL},
    {0x1F93, "\u1F2B\u0399", NULL},
    {0x1F94, "\u1F2C\u0399", NULL},
    {0x1F95, "\u1F2D\u0399", NULL},
    {0x1F96, "\u1F2E\u0399", NULL},
    {0x1F97, "\u1F2F\u0399", NULL},
    {0x1F98, "\u1F28\u0399", NULL},
    {0x1F99, "\u1F29\u0399", NULL},
    {0x1F9A, "\u1F2A\u0399", NULL},
    {0x1F9B, "\u1F2B\u0399", NULL},
    {0x1F9C, "\u1F2C\u0399", NULL},
    {0x1F9D, "\u1F2D\u0399", NULL},
    {0x1F9E, "\u1F2E\u0399", NULL},
    {0x1F9F, "\u1F2F\u0399", NULL},
    {0x1FA0, "\u1F68\u0399", NULL},
    {0x1FA1, "\u1F69\u0399", NULL},
    {0x1FA2, "\u1F6A\u0399", NULL},
    {0x1FA3, "\u1F6B\u0399", NULL},
    {0x1FA4, "\u1F6C\u0399", NULL},
    {0x1FA5, "\u1F6D\u0399", NULL},
    {0x1FA6, "\u1F6E\u0399", NULL},
    {0x1FA7, "\u1F6F\u0399", NULL},
    {0x1FA8, "\u1F68\u0399", NULL},
    {0x1FA9, "\u1F69\u0399", NULL},
    {0x1FAA, "\u1F6A\u0399", NULL},
    {0x1FAB, "\u1F6B\u0399", NULL},
    {0x1FAC, "\u1F6C\u0399", NULL},
    {0x1FAD, "\u1F6D\u0399", NULL},
    {0x1FAE, "\u1F6E\u0399", NULL},
    {0x1FAF, "\u1F6F\u0399", NULL},
    {0x1FB2, "\u1FBA\u0399", "\u1FBA\u0345"},
    {0x1FB3, "\u0391\u0399", NULL},
    {0x1FB4, "\u0386\u0399", "\u0386\u0345"},
    {0x1FB6, "\u0391\u0342", "\u0391\u0342"},
    {0x1FB7, "\u0391\u0342\u0399", "\u0391\u0342\u0345"},
    {0x1FBC, "\u0391\u0399", NULL},
    {0x1FC2, "\u1FCA\u0399", "\u1FCA\u0345"},
    {0x1FC3, "\u0397\u0399", NULL},
    {0x1FC4, "\u0389\u0399", "\u0389\u0345"},
    {0x1FC6, "\u0397\u0342", "\u0397\u0342"},
    {0x1FC7, "\u0397\u0342\u0399", "\u0397\u0342\u0345"},
    {0x1FCC, "\u0397\u0399", NULL},
    {0x1FD2, "\u0399\u0308\u0300", "\u0399\u0308\u0300"},
    {0x1FD3, "\u0399\u0308\u0301", "\u0399\u0308\u0301"},
    {0x1FD6, "\u0399\u0342", "\u0399\u0342"},
    {0x1FD7, "\u0399\u0308\u0342", "\u0399\u0308\u0342"},
    {0x1FE2, "\u03A5\u0308\u0300", "\u03A5\u0308\u0300"},
    {0x1FE3, "\u03A5\u0308\u0301", "\u03A5\u0308\u0301"},
    {0x1FE4, "\u03A1\u0313", "\u03A1\u0313"},
    {0x1FE6, "\u03A5\u0342", "\u03A5\u0342"},
    {0x1FE7, "\u03A5\u0308\u0342", "\u03A5\u0308\u0342"},
    {0x1FF2, "\u1FFA\u0399", "\u1FFA\u0345"},
    {0x1FF3, "\u03A9\u0399", NULL},
    {0x1FF4, "\u038F\u0399", "\u038F\u0345"},
    {0x1FF6, "\u03A9\u0342", "\u03A9\u0342"},
    {0x1FF7, "\u03A9\u0342\u0399", "\u03A9\u0342\u0345"},
    {0x1FFC, "\u03A9\u0399", NULL},
    {0xFB00, "FF", "Ff"},
    {0xFB01, "FI", "Fi"},
    {0xFB02, "FL", "Fl"},
    {0xFB03, "FFI", "Ffi"},
    {0xFB04, "FFL", "Ffl"},
    {0xFB05, "ST", "St"},
    {0xFB06, "ST", "St"},
    {0xFB13, "\u0544\u0546", "\u0544\u0576"},
    {0xFB14, "\u0544\u0535", "\u0544\u0565"},
    {0xFB15, "\u0544\u053B", "\u0544\u056B"},
    {0xFB16, "\u054E\u0546", "\u054E\u0576"},
    {0xFB17, "\u0544\u053D", "\u0544\u056D"},
};

static const struct special *find_special(uint32_t c) {
    size_t low = 0, high = sizeof SPECIAL / sizeof *SPECIAL;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (SPECIAL[middle].code_point == c) return &SPECIAL[middle];
        if (SPECIAL[middle].code_point < c) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

static utf8proc_category_t category_of(uint32_t c) {
    return utf8proc_category((utf8proc_int32_t)c);
}

static int is_letter(uint32_t c) {
    utf8proc_category_t category = category_of(c);
    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

static int is_cased(uint32_t c) {
    utf8proc_category_t category = category_of(c);
    if (c < 128) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT) || c == 0xAA || c == 0xBA;
}

/* What final sigma looks through: marks, format characters, modifiers, and word-internal punctuation. */
static int is_case_ignorable(uint32_t c) {
    utf8proc_category_t category = category_of(c);
    return category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_ME || category == UTF8PROC_CATEGORY_CF ||
           category == UTF8PROC_CATEGORY_LM || category == UTF8PROC_CATEGORY_SK || c == '\'' || c == '.' || c == ':' ||
           c == 0xB7 || c == 0x2019 || c == 0x2018 || c == 0x2024 || c == 0x2027;
}

/* Whether the sigma at `at` ends a word: a cased letter before it, none behind. */
static int is_final_sigma(const char *text, size_t size, size_t at) {
    uint32_t c = 0;
    int before = 0;
    for (size_t back = at; back > 0;) {
        do back--;
        while (back > 0 && ((unsigned char)text[back] & 0xC0) == 0x80);
        llmc_text_step(text + back, size - back, &c);
        if (is_case_ignorable(c)) continue;
        before = is_cased(c);
        break;
    }
    for (size_t ahead = at + 2; before && ahead < size;) {
        ahead += llmc_text_step(text + ahead, size - ahead, &c);
        if (!is_case_ignorable(c)) return !is_cased(c);
    }
    return before;
}

static void add_character(llmc_text *text, utf8proc_int32_t c) {
    char utf8[4];
    llmc_text_add(text, utf8, llmc_utf8_encode((uint32_t)c, utf8));
}

static void add_folded(llmc_text *text, uint32_t c) {
    utf8proc_int32_t folded[8];
    int boundary = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, folded, 8, UTF8PROC_CASEFOLD, &boundary);
    for (utf8proc_ssize_t i = 0; i < n && i < 8; i++) add_character(text, folded[i]);
}

/* how: 'u' upper, 't' title, 'l' lower, 'f' folded. */
static void add_changed(llmc_text *text, const llmc_value *self, size_t at, uint32_t c, char how) {
    const struct special *special = how == 'u' || how == 't' ? find_special(c) : NULL;
    if (special && (how == 'u' || special->title)) llmc_text_add_literal(text, how == 'u' ? special->upper : special->title);
    else if (how == 'f') add_folded(text, c);
    else if (how == 'l' && c == 0x130) llmc_text_add_literal(text, "i\u0307");
    else if (how == 'l' && c == 0x3A3 && is_final_sigma(self->as.text, self->size, at)) llmc_text_add_literal(text, "\u03C2");
    else if (how == 'u') add_character(text, utf8proc_toupper((utf8proc_int32_t)c));
    else if (how == 't') add_character(text, utf8proc_totitle((utf8proc_int32_t)c));
    else add_character(text, utf8proc_tolower((utf8proc_int32_t)c));
}

static char ascii_changed(char c, char how) {
    if (how == 'u' || how == 't') return c >= 'a' && c <= 'z' ? (char)(c - 32) : c;
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static int is_ascii(const llmc_value *text) {
    unsigned char all = 0;
    for (uint32_t i = 0; i < text->size; i++) all |= (unsigned char)text->as.text[i];
    return all < 128;
}

/* The usual case, in one go. */
static int change_ascii(llmc_render *r, const llmc_value *self, char how, llmc_value *out) {
    uint8_t kind = self->kind;
    char *text = llmc_arena_text(&r->arena, self->size);
    if (!text) return llmc_render_memory(r);
    for (uint32_t i = 0; i < self->size; i++) text[i] = ascii_changed(self->as.text[i], how);
    *out = llmc_value_text(text, self->size);
    out->kind = kind;
    return llmc_render_step(r, self->size * (size_t)4);
}

int llmc_change_case(llmc_render *r, const llmc_value *self, int mode, llmc_value *out) {
    llmc_text text;
    uint32_t c = 0;
    int inside = 0; /* a word, for title; past the first character, for capitalize */
    if (strchr("ulf", mode) && is_ascii(self)) return change_ascii(r, self, (char)mode, out);
    if (!llmc_render_step(r, self->size * (size_t)32)) return 0;
    llmc_text_init(&text, &r->arena);
    for (size_t at = 0, bytes; at < self->size && !text.failed; at += bytes) {
        bytes = llmc_text_step(self->as.text + at, self->size - at, &c);
        char how = (char)mode;
        if (mode == 't' || mode == 'c') how = inside ? 'l' : 't';
        else if (mode == 's') how = category_of(c) == UTF8PROC_CATEGORY_LU ? 'l' : is_cased(c) ? 'u' : 0;
        if (how && c < 128) llmc_text_add(&text, &(char){ascii_changed((char)c, how)}, 1);
        else if (how) add_changed(&text, self, at, c, how);
        else llmc_text_add(&text, self->as.text + at, bytes);
        inside = mode == 'c' || is_cased(c);
    }
    uint8_t kind = self->kind; /* out may be self */
    if (!llmc_finish_text(r, &text, NULL, out)) return 0;
    out->kind = kind;
    return 1;
}

/* ---- Classes ----------------------------------------------------------------------------------------------------------- */

/* Digits that are no decimal digits: raised, lowered, in circles. */
static const uint32_t DIGITS[][2] = {
    {0xB2, 0xB3},     {0xB9, 0xB9},       {0x1369, 0x1371},   {0x19DA, 0x19DA},   {0x2070, 0x2070},
    {0x2074, 0x2079}, {0x2080, 0x2089},   {0x2460, 0x2468},   {0x2474, 0x247C},   {0x2488, 0x2490},
    {0x24EA, 0x24EA}, {0x24F5, 0x24FD},   {0x24FF, 0x24FF},   {0x2776, 0x277E},   {0x2780, 0x2788},
    {0x278A, 0x2792}, {0x10A40, 0x10A43}, {0x10E60, 0x10E68}, {0x11052, 0x1105A}, {0x1F100, 0x1F10A},
};

static int is_digit(uint32_t c) {
    for (size_t i = 0; i < sizeof DIGITS / sizeof *DIGITS; i++) {
        if (c >= DIGITS[i][0] && c <= DIGITS[i][1]) return 1;
    }
    return category_of(c) == UTF8PROC_CATEGORY_ND;
}

/* Ideographs that are numbers (Unihan's kPrimaryNumeric, kAccountingNumeric and kOtherNumeric). */
static const uint32_t NUMERALS[] = {
    0x3405,  0x3483,  0x382A,  0x3B4D,  0x4E00,  0x4E03,  0x4E07,  0x4E09,  0x4E5D,  0x4E8C,  0x4E94,  0x4E96,
    0x4EBF,  0x4EC0,  0x4EDF,  0x4EE8,  0x4F0D,  0x4F70,  0x5104,  0x5146,  0x5169,  0x516B,  0x516D,  0x5341,
    0x5343,  0x5344,  0x5345,  0x534C,  0x53C1,  0x53C2,  0x53C3,  0x53C4,  0x56DB,  0x58F1,  0x58F9,  0x5E7A,
    0x5EFE,  0x5EFF,  0x5F0C,  0x5F0D,  0x5F0E,  0x5F10,  0x62FE,  0x634C,  0x67D2,  0x6F06,  0x7396,  0x767E,
    0x8086,  0x842C,  0x8CAE,  0x8CB3,  0x8D30,  0x9621,  0x9646,  0x964C,  0x9678,  0x96F6,  0xF96B,  0xF973,
    0xF978,  0xF9B2,  0xF9D1,  0xF9D3,  0xF9FD,  0x20001, 0x20064, 0x200E2, 0x20121, 0x2092A, 0x20983, 0x2098C,
    0x2099C, 0x20AEA, 0x20AFD, 0x20B19, 0x22390, 0x22998, 0x23B1B, 0x2626D, 0x2F890,
};

static int is_numeric(uint32_t c) {
    utf8proc_category_t category = category_of(c);
    if (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO) return 1;
    for (size_t i = 0; category == UTF8PROC_CATEGORY_LO && i < sizeof NUMERALS / sizeof *NUMERALS; i++) {
        if (c == NUMERALS[i]) return 1;
    }
    return 0;
}

/* Decimal digits stand in rows of ten, zero first. */
int llmc_text_digit(uint32_t c) {
    uint32_t zero = c;
    if (category_of(c) != UTF8PROC_CATEGORY_ND) return -1;
    while (category_of(zero - 1) == UTF8PROC_CATEGORY_ND) zero--;
    return (int)((c - zero) % 10);
}

static int is_name_part(uint32_t c, int first) {
    utf8proc_category_t category = category_of(c);
    if (is_letter(c) || category == UTF8PROC_CATEGORY_NL || c == '_') return 1;
    return !first && (category == UTF8PROC_CATEGORY_MN || category == UTF8PROC_CATEGORY_MC ||
                      category == UTF8PROC_CATEGORY_ND || category == UTF8PROC_CATEGORY_PC);
}

static int belongs(uint32_t c, int class, int first) {
    switch (class) {
    case LLMC_CLASS_ALPHA:
        return is_letter(c);
    case LLMC_CLASS_DECIMAL:
        return category_of(c) == UTF8PROC_CATEGORY_ND;
    case LLMC_CLASS_DIGIT:
        return is_digit(c);
    case LLMC_CLASS_NUMERIC:
        return is_numeric(c);
    case LLMC_CLASS_ALNUM:
        return is_letter(c) || is_numeric(c);
    case LLMC_CLASS_ASCII:
        return c < 128;
    case LLMC_CLASS_NAME:
        return is_name_part(c, first);
    default:
        return llmc_text_is_printable(c);
    }
}

int llmc_text_all(const llmc_value *text, int class) {
    uint32_t c = 0;
    if (text->size == 0) return class == LLMC_CLASS_ASCII || class == LLMC_CLASS_PRINTABLE;
    for (size_t at = 0; at < text->size;) {
        int first = at == 0;
        at += llmc_text_step(text->as.text + at, text->size - at, &c);
        if (!belongs(c, class, first)) return 0;
    }
    return 1;
}

/* Whether a text has letters, all of this case ('l', 'u'), or each word in title case ('t'). */
int llmc_text_is_cased(const llmc_value *text, int how) {
    int found = 0, inside = 0;
    uint32_t c = 0;
    for (size_t at = 0; at < text->size;) {
        at += llmc_text_step(text->as.text + at, text->size - at, &c);
        utf8proc_category_t category = category_of(c);
        int upper = category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT;
        if (is_cased(c)) {
            if (how == 't' ? upper == inside : upper != (how == 'u') || category == UTF8PROC_CATEGORY_LT) return 0;
            found = 1;
        }
        inside = is_cased(c);
    }
    return found;
}
