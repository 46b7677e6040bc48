/* The template lexer: text outside tags, tags with their whitespace control, and the tokens inside them. */
#include "template/lexer.h"

#include <string.h>

#include "template/builtins.h"

enum { MODE_DATA, MODE_TAG, MODE_BLOCK, MODE_PRINT, MODE_DONE };

static const char *const OPERATORS[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[",
                                        "]",  "(",  ")",  "{",  "}",  ">",  "<", "=", ".", ":", "|", ",", ";"};

void llmc_lexer_init(llmc_lexer *lexer, const char *source, size_t size) {
    memset(lexer, 0, sizeof *lexer);
    lexer->source = source;
    lexer->size = size;
    lexer->line = 1;
    lexer->starts_line = 1;
}

static int at_text(const llmc_lexer *lexer, size_t at, const char *text) {
    size_t size = strlen(text);
    return at <= lexer->size && size <= lexer->size - at && memcmp(lexer->source + at, text, size) == 0;
}

static void advance(llmc_lexer *lexer, size_t to) {
    for (; lexer->at < to; lexer->at++) lexer->line += lexer->source[lexer->at] == '\n';
}

static size_t skip_space(const llmc_lexer *lexer, size_t at) {
    return at + llmc_text_space_prefix(lexer->source + at, lexer->size - at);
}

static size_t find(const llmc_lexer *lexer, size_t at, const char *text) {
    while (at < lexer->size && !at_text(lexer, at, text)) at++;
    return at;
}

static void set(llmc_token *token, llmc_token_type type, uint32_t line, const char *text, size_t size) {
    *token = (llmc_token){.type = type, .line = line, .text = text, .size = size};
}

static void fail(llmc_lexer *lexer, llmc_token *token, const char *what) {
    set(token, LLMC_TOKEN_ERROR, lexer->line, what, strlen(what));
    lexer->mode = MODE_DONE;
}

/* The end of a tag at `at`: "%}", "-%}" or "+%}". Returns the offset after it and after what it swallows, or 0. */
static size_t tag_end(const llmc_lexer *lexer, size_t at, const char *close, int trims_newline) {
    if (at_text(lexer, at, close)) {
        at += 2;
        return trims_newline && at_text(lexer, at, "\n") ? at + 1 : at;
    }
    if (at >= lexer->size || !at_text(lexer, at + 1, close)) return 0;
    if (lexer->source[at] == '-') return skip_space(lexer, at + 3);
    return lexer->source[at] == '+' && trims_newline ? at + 3 : 0;
}

static void leave_tag(llmc_lexer *lexer, size_t to) {
    advance(lexer, to);
    lexer->mode = MODE_DATA;
    lexer->starts_line = lexer->source[to - 1] == '\n';
}

/* How much of the text before a tag stays: "-" strips all space, and a block or comment alone on its line its indentation. */
static size_t kept_before(const llmc_lexer *lexer, size_t from, size_t tag) {
    const char *text = lexer->source + from;
    size_t size = tag - from;
    char sign = tag + 2 < lexer->size ? lexer->source[tag + 2] : 0;
    if (sign == '-') return size - llmc_text_space_suffix(text, size);
    if (sign == '+' || lexer->source[tag + 1] == '{') return size;
    size_t line_at = size;
    while (line_at > 0 && text[line_at - 1] != '\n') line_at--;
    if (line_at == 0 && !lexer->starts_line) return size;
    return llmc_text_space_prefix(text + line_at, size - line_at) == size - line_at ? line_at : size;
}

static size_t find_tag(const llmc_lexer *lexer) {
    for (size_t at = lexer->at; at + 1 < lexer->size; at++) {
        char next = lexer->source[at + 1];
        if (lexer->source[at] == '{' && (next == '%' || next == '{' || next == '#')) return at;
    }
    return lexer->size;
}

/* Text up to the next tag; 0 if there is none to print. */
static int read_data(llmc_lexer *lexer, llmc_token *token) {
    size_t from = lexer->at, tag = find_tag(lexer);
    size_t size = tag < lexer->size ? kept_before(lexer, from, tag) : tag - from;
    set(token, LLMC_TOKEN_DATA, lexer->line, lexer->source + from, size);
    advance(lexer, tag);
    lexer->mode = tag < lexer->size ? MODE_TAG : MODE_DONE;
    return size > 0;
}

static int skip_comment(llmc_lexer *lexer, llmc_token *token) {
    size_t body = lexer->at + 2;
    if (body < lexer->size && (lexer->source[body] == '-' || lexer->source[body] == '+')) body++;
    size_t close = find(lexer, body, "#}");
    if (close == lexer->size) return fail(lexer, token, "comment without an end"), 1;
    if (close > body && (lexer->source[close - 1] == '-' || lexer->source[close - 1] == '+')) close--;
    leave_tag(lexer, tag_end(lexer, close, "#}", 1));
    return 0;
}

/* "{%- raw" or "{%- endraw" at `at`: the offset after the word and the spaces behind it, or 0. */
static size_t raw_word(const llmc_lexer *lexer, size_t at, const char *word) {
    if (!at_text(lexer, at, "{%")) return 0;
    at += 2;
    if (at < lexer->size && (lexer->source[at] == '-' || lexer->source[at] == '+')) at++;
    at = skip_space(lexer, at);
    return at_text(lexer, at, word) ? skip_space(lexer, at + strlen(word)) : 0;
}

/* A raw block, whole: 1 and a token, or 0 if there is nothing to print in it. */
static int read_raw(llmc_lexer *lexer, llmc_token *token, size_t body) {
    for (size_t at = body; at < lexer->size; at++) {
        size_t word = raw_word(lexer, at, "endraw");
        size_t after = word ? tag_end(lexer, word, "%}", 1) : 0;
        if (!after) continue;
        lexer->starts_line = lexer->source[body - 1] == '\n';
        size_t size = kept_before(lexer, body, at);
        set(token, LLMC_TOKEN_DATA, lexer->line, lexer->source + body, size);
        leave_tag(lexer, after);
        return size > 0;
    }
    fail(lexer, token, "raw block without endraw");
    return 1;
}

static int open_tag(llmc_lexer *lexer, llmc_token *token) {
    char second = lexer->source[lexer->at + 1];
    if (second == '#') return skip_comment(lexer, token);
    size_t raw = raw_word(lexer, lexer->at, "raw");
    raw = raw && !at_text(lexer, raw, "+") ? tag_end(lexer, raw, "%}", 0) : 0;
    if (raw) return read_raw(lexer, token, raw);
    size_t to = lexer->at + 2;
    if (to < lexer->size && (lexer->source[to] == '-' || lexer->source[to] == '+')) to++;
    set(token, second == '%' ? LLMC_TOKEN_BLOCK_BEGIN : LLMC_TOKEN_PRINT_BEGIN, lexer->line, lexer->source + lexer->at, 2);
    lexer->mode = second == '%' ? MODE_BLOCK : MODE_PRINT;
    lexer->n_brackets = 0;
    advance(lexer, to);
    return 1;
}

static int is_digit(char c) {
    return c >= '0' && c <= '9';
}

static int is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 128;
}

static size_t skip_digits(const llmc_lexer *lexer, size_t at) {
    const char *s = lexer->source;
    while (at < lexer->size && (is_digit(s[at]) || (s[at] == '_' && at + 1 < lexer->size && is_digit(s[at + 1])))) at++;
    return at;
}

static int has_digit(const llmc_lexer *lexer, size_t at) {
    return at < lexer->size && is_digit(lexer->source[at]);
}

static void read_number(llmc_lexer *lexer, llmc_token *token) {
    const char *s = lexer->source;
    size_t from = lexer->at, at = skip_digits(lexer, from);
    llmc_token_type type = LLMC_TOKEN_INT;
    if (at == from + 1 && s[from] == '0' && at < lexer->size && strchr("xXoObB", s[at])) {
        for (at++; at < lexer->size && (is_digit(s[at]) || (is_word(s[at]) && (unsigned char)s[at] < 128)); at++) {}
    } else if (from == 0 || s[from - 1] != '.') { /* "a.0.1": items, no fraction */
        if (at < lexer->size && s[at] == '.' && has_digit(lexer, at + 1)) {
            at = skip_digits(lexer, at + 1);
            type = LLMC_TOKEN_FLOAT;
        }
        if (at < lexer->size && (s[at] == 'e' || s[at] == 'E')) {
            size_t exponent = at + 1;
            if (exponent < lexer->size && (s[exponent] == '+' || s[exponent] == '-')) exponent++;
            if (has_digit(lexer, exponent)) {
                at = skip_digits(lexer, exponent);
                type = LLMC_TOKEN_FLOAT;
            }
        }
    }
    if (type == LLMC_TOKEN_INT && s[from] == '0' && at > from + 1 &&
        is_digit(s[from + 1])) { /* "00" is a number, "08" is two */
        for (at = from; at < lexer->size && s[at] == '0';) at++;
    }
    set(token, type, lexer->line, s + from, at - from);
    advance(lexer, at);
}

static void read_string(llmc_lexer *lexer, llmc_token *token) {
    char quote = lexer->source[lexer->at];
    size_t from = lexer->at + 1, at = from;
    while (at < lexer->size && lexer->source[at] != quote) at += lexer->source[at] == '\\' ? 2 : 1;
    if (at >= lexer->size) {
        fail(lexer, token, "string without an end");
        return;
    }
    set(token, LLMC_TOKEN_STRING, lexer->line, lexer->source + from, at - from);
    advance(lexer, at + 1);
}

/* Bytes of the letter, number or underscore at an offset, or 0. */
static size_t word_character(const llmc_lexer *lexer, size_t at) {
    uint32_t c = 0;
    if (at == lexer->size) return 0;
    if ((unsigned char)lexer->source[at] < 128) return is_word(lexer->source[at]) || is_digit(lexer->source[at]);
    llmc_value one = llmc_value_text(lexer->source + at, llmc_text_step(lexer->source + at, lexer->size - at, &c));
    return llmc_text_all(&one, LLMC_CLASS_ALNUM) ? one.size : 0;
}

static void read_name(llmc_lexer *lexer, llmc_token *token) {
    size_t at = lexer->at, bytes = 0;
    while ((bytes = word_character(lexer, at)) != 0) at += bytes;
    llmc_value name = llmc_value_text(lexer->source + lexer->at, at - lexer->at);
    if (!llmc_text_all(&name, LLMC_CLASS_NAME)) {
        fail(lexer, token, "unexpected character");
        return;
    }
    set(token, LLMC_TOKEN_NAME, lexer->line, name.as.text, name.size);
    advance(lexer, at);
}

/* Brackets are balanced here, so that the "}}" of a dict does not end a tag. */
static void balance(llmc_lexer *lexer, llmc_token *token) {
    char c = token->text[0];
    if (c == '(' || c == '[' || c == '{') {
        if (lexer->n_brackets == sizeof lexer->brackets) {
            fail(lexer, token, "brackets are nested deeper than 64");
            return;
        }
        lexer->brackets[lexer->n_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
    } else if (c == ')' || c == ']' || c == '}') {
        if (!lexer->n_brackets || lexer->brackets[lexer->n_brackets - 1] != c) {
            fail(lexer, token, "closing bracket without its opening one");
            return;
        }
        lexer->n_brackets--;
    }
}

static void read_operator(llmc_lexer *lexer, llmc_token *token) {
    for (size_t i = 0; i < sizeof OPERATORS / sizeof *OPERATORS; i++) {
        const char *op = OPERATORS[i];
        if (!at_text(lexer, lexer->at, op)) continue;
        set(token, LLMC_TOKEN_OPERATOR, lexer->line, lexer->source + lexer->at, strlen(op));
        token->op = LLMC_OP(op[0], op[1]);
        advance(lexer, lexer->at + strlen(op));
        balance(lexer, token);
        return;
    }
    fail(lexer, token, "unexpected character");
}

static void read_inside(llmc_lexer *lexer, llmc_token *token) {
    int block = lexer->mode == MODE_BLOCK;
    advance(lexer, skip_space(lexer, lexer->at));
    if (lexer->at == lexer->size) {
        fail(lexer, token, "tag without an end");
        return;
    }
    size_t after = lexer->n_brackets ? 0 : tag_end(lexer, lexer->at, block ? "%}" : "}}", block);
    if (after) {
        set(token, block ? LLMC_TOKEN_BLOCK_END : LLMC_TOKEN_PRINT_END, lexer->line, lexer->source + lexer->at, 2);
        leave_tag(lexer, after);
        return;
    }
    char c = lexer->source[lexer->at];
    if (is_digit(c)) read_number(lexer, token);
    else if (c == '\'' || c == '"') read_string(lexer, token);
    else if (is_word(c)) read_name(lexer, token);
    else read_operator(lexer, token);
}

void llmc_lexer_next(llmc_lexer *lexer, llmc_token *token) {
    for (;;) {
        switch (lexer->mode) {
        case MODE_DATA:
            if (read_data(lexer, token)) return;
            break;
        case MODE_TAG:
            if (open_tag(lexer, token)) return;
            break;
        case MODE_DONE:
            set(token, LLMC_TOKEN_END, lexer->line, "", 0);
            return;
        default:
            read_inside(lexer, token);
            return;
        }
    }
}
