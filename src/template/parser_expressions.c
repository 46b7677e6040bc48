/* The expressions of the template language: literals, postfixes, and operators from the loosest to the tightest. */
#include "template/parser_parts.h"

#include <string.h>

#include "core/utf8.h"
#include "template/builtins.h"

static llmc_node *parse_unary(llmc_parser *p, int with_filter);

/* ---- Literals ---------------------------------------------------------------------------------------------------------- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    c = (char)(c | 32);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* \xhh, \uhhhh, \Uhhhhhhhh or octal at s: the code point and the bytes read, or 0. */
static size_t numeric_escape(const char *s, size_t size, uint32_t *c) {
    size_t digits = s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : s[0] == 'U' ? 8 : 0, n = 0;
    *c = 0;
    if (!digits) {
        while (n < 3 && n < size && s[n] >= '0' && s[n] <= '7') *c = *c * 8 + (uint32_t)(s[n++] - '0');
        return n;
    }
    for (n = 1; n <= digits; n++) {
        int digit = n < size ? hex_digit(s[n]) : -1;
        if (digit < 0) return 0;
        *c = *c * 16 + (uint32_t)digit;
    }
    return digits + 1;
}

/* Writes what the escape at s (after its backslash) means; returns the bytes of s it took, or 0 if it means nothing. */
static size_t unescape(const char *s, size_t size, char *out, size_t *written) {
    static const char FROM[] = "ntr\\'\"abfv", TO[] = "\n\t\r\\'\"\a\b\f\v";
    const char *known = size && s[0] ? strchr(FROM, s[0]) : NULL;
    uint32_t c = 0;
    *written = 0;
    if (size && s[0] == '\n') return 1;
    if (known) {
        out[(*written)++] = TO[known - FROM];
        return 1;
    }
    size_t n = size ? numeric_escape(s, size, &c) : 0;
    char utf8[4];
    if (n) {
        *written = llmc_utf8_encode(c, utf8);
        if (!*written) return SIZE_MAX;
        memcpy(out, utf8, *written);
    }
    return n;
}

static size_t read_string(llmc_parser *p, char *out) {
    const char *s = p->token.text;
    size_t size = p->token.size, n = 0, written = 0;
    for (size_t at = 0; at < size; at++) {
        out[n] = s[at];
        if (s[at] != '\\') {
            n++;
            continue;
        }
        size_t taken = unescape(s + at + 1, size - at - 1, out + n, &written);
        if (taken == SIZE_MAX || (!taken && at + 1 < size && memchr("xuUN", s[at + 1], 4))) {
            llmc_parse_fail(p, p->token.line, "escape '\\%c' that names no character", s[at + 1]);
            return 0;
        }
        n += taken ? written : 1;
        at += taken;
    }
    return n;
}

/* Strings that follow each other are one. */
static llmc_node *parse_string(llmc_parser *p) {
    llmc_node *node = llmc_parse_node(p, LLMC_NODE_CONST, p->token.line);
    llmc_text text;
    llmc_text_init(&text, p->arena);
    while (node && p->status == LLMCALL_OK && p->token.type == LLMC_TOKEN_STRING) {
        char *piece = llmc_arena_text(p->arena, p->token.size + 1);
        if (!piece) return llmc_parse_memory(p);
        size_t size = read_string(p, piece);
        if (text.data) llmc_text_add(&text, piece, size);
        else text.data = piece, text.size = size;
        if (text.failed) return llmc_parse_memory(p);
        llmc_parse_next(p);
    }
    if (!node) return NULL;
    node->value = llmc_value_text(text.data, text.size);
    return node;
}

static int based_int(const llmc_token *t, int64_t *value) {
    char kind = (char)(t->text[1] | 32);
    int base = kind == 'x' ? 16 : kind == 'o' ? 8 : 2;
    *value = 0;
    for (size_t i = 2; i < t->size; i++) {
        if (t->text[i] == '_') continue;
        int digit = hex_digit(t->text[i]);
        if (digit < 0 || digit >= base || *value > (INT64_MAX - digit) / base) return 0;
        *value = *value * base + digit;
    }
    return t->size > 2;
}

static llmc_node *parse_number(llmc_parser *p) {
    llmc_node *node = llmc_parse_node(p, LLMC_NODE_CONST, p->token.line);
    const llmc_token *t = &p->token;
    int64_t integer = 0;
    double real = 0;
    if (!node) return NULL;
    if (t->type == LLMC_TOKEN_FLOAT) {
        if (!llmc_text_to_float(t->text, t->size, &real)) return llmc_parse_unexpected(p, "a number");
        node->value = llmc_value_float(real);
    } else {
        int based = t->size > 1 && ((t->text[1] | 32) == 'x' || (t->text[1] | 32) == 'o' || (t->text[1] | 32) == 'b');
        if (!(based ? based_int(t, &integer) : llmc_text_to_int(t->text, t->size, &integer))) {
            return llmc_parse_unexpected(p, "an integer of 64 bits");
        }
        node->value = llmc_value_int(integer);
    }
    return llmc_parse_next(p) ? node : NULL;
}

static llmc_node *parse_list(llmc_parser *p) {
    llmc_node *node = llmc_parse_node(p, LLMC_NODE_LIST, p->token.line);
    llmc_node_list items;
    llmc_node_list_init(&items);
    if (!node || !llmc_parse_next(p)) return NULL;
    while (!llmc_parse_is_op(p, "]")) {
        if (items.first && !llmc_parse_expect_op(p, ",")) return NULL;
        if (llmc_parse_is_op(p, "]")) break;
        if (!llmc_node_list_add(&items, llmc_parse_expression(p, 1))) return NULL;
    }
    node->a = items.first;
    return llmc_parse_next(p) ? node : NULL;
}

static llmc_node *parse_dict(llmc_parser *p) {
    llmc_node *node = llmc_parse_node(p, LLMC_NODE_DICT, p->token.line);
    llmc_node_list items;
    llmc_node_list_init(&items);
    if (!node || !llmc_parse_next(p)) return NULL;
    while (!llmc_parse_is_op(p, "}")) {
        if (items.first && !llmc_parse_expect_op(p, ",")) return NULL;
        if (llmc_parse_is_op(p, "}")) break;
        llmc_node *pair = llmc_parse_node_around(p, LLMC_NODE_PAIR, p->token.line, llmc_parse_expression(p, 1));
        if (!pair || !llmc_parse_expect_op(p, ":")) return NULL;
        pair->b = llmc_parse_expression(p, 1);
        if (!pair->b || !llmc_node_list_add(&items, pair)) return NULL;
    }
    node->a = items.first;
    return llmc_parse_next(p) ? node : NULL;
}

static llmc_node *parse_name(llmc_parser *p) {
    static const struct {
        const char *name;
        uint8_t type, truth;
    } CONSTANTS[] = {{"true", LLMC_BOOL, 1}, {"false", LLMC_BOOL, 0}, {"none", LLMC_NONE, 0},
                     {"True", LLMC_BOOL, 1}, {"False", LLMC_BOOL, 0}, {"None", LLMC_NONE, 0}};
    static const char *const SPECIAL[] = {"varargs", "kwargs", "caller"};
    for (size_t i = 0; i < 3; i++) {
        if (llmc_parse_is_name(p, SPECIAL[i])) p->macro_flags = (uint16_t)(p->macro_flags | 1u << i);
    }
    for (size_t i = 0; i < sizeof CONSTANTS / sizeof *CONSTANTS; i++) {
        if (!llmc_parse_is_name(p, CONSTANTS[i].name)) continue;
        llmc_node *node = llmc_parse_node(p, LLMC_NODE_CONST, p->token.line);
        if (!node) return NULL;
        node->value = (llmc_value){.type = CONSTANTS[i].type, .as.integer = CONSTANTS[i].truth};
        return llmc_parse_next(p) ? node : NULL;
    }
    return llmc_parse_named_node(p, LLMC_NODE_NAME, "a name");
}

static llmc_node *parse_parenthesised(llmc_parser *p) {
    if (!llmc_parse_next(p)) return NULL;
    llmc_node *node = llmc_parse_tuple(p, 1, 1);
    return node && llmc_parse_expect_op(p, ")") ? node : NULL;
}

static llmc_node *parse_primary(llmc_parser *p) {
    switch (p->token.type) {
    case LLMC_TOKEN_NAME:
        return parse_name(p);
    case LLMC_TOKEN_STRING:
        return parse_string(p);
    case LLMC_TOKEN_INT:
    case LLMC_TOKEN_FLOAT:
        return parse_number(p);
    default:
        break;
    }
    if (llmc_parse_is_op(p, "(")) return parse_parenthesised(p);
    if (llmc_parse_is_op(p, "[")) return parse_list(p);
    if (llmc_parse_is_op(p, "{")) return parse_dict(p);
    return llmc_parse_unexpected(p, "an expression");
}

/* ---- Postfixes --------------------------------------------------------------------------------------------------------- */

/* An argument: value, name=value, *list or **dict. */
static llmc_node *parse_argument(llmc_parser *p) {
    uint32_t line = p->token.line;
    if (llmc_parse_is_op(p, "*") || llmc_parse_is_op(p, "**")) {
        int named = llmc_parse_is_op(p, "**");
        llmc_node *spread =
            llmc_parse_next(p) ? llmc_parse_node_around(p, LLMC_NODE_SPREAD, line, llmc_parse_expression(p, 1)) : NULL;
        if (spread) spread->op = (uint16_t)named;
        return spread;
    }
    llmc_lexer ahead = p->lexer;
    llmc_token after = {.type = LLMC_TOKEN_END};
    if (p->token.type == LLMC_TOKEN_NAME) llmc_lexer_next(&ahead, &after);
    if (after.type != LLMC_TOKEN_OPERATOR || after.op != LLMC_OP('=', 0)) return llmc_parse_expression(p, 1);
    llmc_node *keyword = llmc_parse_named_node(p, LLMC_NODE_KEYWORD, "a name");
    if (!keyword || !llmc_parse_next(p)) return NULL;
    keyword->a = llmc_parse_expression(p, 1);
    return keyword->a ? keyword : NULL;
}

/* Positional ones, then those by name, with one *list and one **dict, in jinja2's order. */
static int follows(const llmc_node *argument, int *seen) {
    enum { NAMED = 1, LIST = 2, DICT = 4 };
    const int spread = argument->type == LLMC_NODE_SPREAD, named = argument->type == LLMC_NODE_KEYWORD;
    const int kind = named ? NAMED : !spread ? 0 : argument->op ? DICT : LIST;
    const int after = *seen & (kind == 0 ? NAMED | LIST | DICT : kind == LIST ? LIST | DICT : DICT);
    *seen |= kind;
    return !after;
}

/* "(...)" with the token at its bracket. *arguments: the list, perhaps NULL. */
static int parse_arguments(llmc_parser *p, llmc_node **arguments) {
    llmc_node_list list;
    int seen = 0;
    llmc_node_list_init(&list);
    if (!llmc_parse_expect_op(p, "(")) return 0;
    while (!llmc_parse_is_op(p, ")")) {
        if (list.first && !llmc_parse_expect_op(p, ",")) return 0;
        if (llmc_parse_is_op(p, ")")) break;
        llmc_node *argument = parse_argument(p);
        if (!argument) return 0;
        if (!follows(argument, &seen)) return llmc_parse_fail(p, argument->line, "an argument that must come earlier"), 0;
        llmc_node_list_add(&list, argument);
    }
    *arguments = list.first;
    return llmc_parse_next(p);
}

static llmc_node *parse_subscript_part(llmc_parser *p) {
    llmc_node *parts[3] = {NULL, NULL, NULL};
    uint32_t line = p->token.line;
    int colons = 0;
    while (!llmc_parse_is_op(p, "]") && !llmc_parse_is_op(p, ",")) {
        if (llmc_parse_is_op(p, ":") && colons < 2) {
            colons++;
            if (!llmc_parse_next(p)) return NULL;
            continue;
        }
        if (parts[colons]) return llmc_parse_unexpected(p, "']'");
        parts[colons] = llmc_parse_expression(p, 1);
        if (!parts[colons]) return NULL;
    }
    if (colons == 0) {
        if (!parts[0]) return llmc_parse_unexpected(p, "an index");
        return llmc_parse_node_around(p, LLMC_NODE_ITEM, line, parts[0]);
    }
    llmc_node *slice = llmc_parse_node(p, LLMC_NODE_SLICE, line);
    if (!slice) return NULL;
    slice->a = parts[0];
    slice->b = parts[1];
    slice->c = parts[2];
    return slice;
}

/* "[a, b]" and "[]": a tuple as index. */
static llmc_node *parse_subscript_tuple(llmc_parser *p, llmc_node *first) {
    llmc_node_list list;
    llmc_node *tuple = llmc_parse_node(p, LLMC_NODE_LIST, p->token.line);
    llmc_node_list_init(&list);
    if (first) llmc_node_list_add(&list, first->a);
    while (tuple && llmc_parse_skip_op(p, ",")) {
        llmc_node *part = parse_subscript_part(p);
        if (part && part->type != LLMC_NODE_ITEM) return llmc_parse_fail(p, part->line, "a slice among several indices");
        if (!part || !llmc_node_list_add(&list, part->a)) return NULL;
    }
    if (!tuple) return NULL;
    tuple->op = LLMC_KIND_TUPLE;
    tuple->a = list.first;
    return llmc_parse_node_around(p, LLMC_NODE_ITEM, tuple->line, tuple);
}

static llmc_node *parse_subscript(llmc_parser *p) {
    if (!llmc_parse_next(p)) return NULL;
    llmc_node *node = llmc_parse_is_op(p, "]") ? NULL : parse_subscript_part(p);
    if (p->status != LLMCALL_OK) return NULL;
    if (node && llmc_parse_is_op(p, ",") && node->type != LLMC_NODE_ITEM)
        return llmc_parse_fail(p, node->line, "a slice among several indices");
    if (!node || llmc_parse_is_op(p, ",")) node = parse_subscript_tuple(p, node);
    return node && llmc_parse_expect_op(p, "]") ? node : NULL;
}

static llmc_node *parse_dot(llmc_parser *p) {
    if (!llmc_parse_next(p)) return NULL;
    if (p->token.type == LLMC_TOKEN_INT) return llmc_parse_node_around(p, LLMC_NODE_ITEM, p->token.line, parse_number(p));
    return llmc_parse_named_node(p, LLMC_NODE_ATTRIBUTE, "an attribute");
}

static llmc_node *parse_call(llmc_parser *p) {
    llmc_node *call = llmc_parse_node(p, LLMC_NODE_CALL, p->token.line);
    return call && parse_arguments(p, &call->a) ? call : NULL;
}

/* 0 where an unknown filter or test is an error. */
static int may_be_unknown(llmc_parser *p, const llmc_node *node) {
    if (node->builtin || p->conditional) return 1;
    const char *what = node->type == LLMC_NODE_TEST ? "test" : "filter";
    if (p->expressions) p->unknown = node;
    else llmc_parse_fail(p, node->line, "unknown %s '%.*s'", what, llmc_width(&node->value), node->value.as.text);
    return p->status == LLMCALL_OK;
}

/* "a.b" names a filter or test too, though none that exists. */
static int skip_dotted(llmc_parser *p, llmc_node *node) {
    while (llmc_parse_skip_op(p, ".")) {
        if (!llmc_parse_named_node(p, node->type, "a name")) return 0;
        node->builtin = NULL;
    }
    return p->status == LLMCALL_OK;
}

/* The token is at the filter's name. */
llmc_node *llmc_parse_filter(llmc_parser *p) {
    llmc_node *node = llmc_parse_named_node(p, LLMC_NODE_FILTER, "a filter's name");
    if (!node) return NULL;
    node->builtin = llmc_filter_find(&node->value);
    if (!skip_dotted(p, node)) return NULL;
    if (!may_be_unknown(p, node)) return NULL;
    if (llmc_parse_is_op(p, "(") && !parse_arguments(p, &node->a)) return NULL;
    return node;
}

static int starts_test_argument(const llmc_parser *p) {
    if (p->token.type == LLMC_TOKEN_NAME)
        return !llmc_parse_is_name(p, "else") && !llmc_parse_is_name(p, "or") && !llmc_parse_is_name(p, "and");
    return p->token.type == LLMC_TOKEN_STRING || p->token.type == LLMC_TOKEN_INT || p->token.type == LLMC_TOKEN_FLOAT ||
           llmc_parse_is_op(p, "[") || llmc_parse_is_op(p, "{");
}

static llmc_node *with_postfixes(llmc_parser *p, llmc_node *node, int with_filter);

static llmc_node *parse_test(llmc_parser *p) {
    if (!llmc_parse_next(p)) return NULL;
    uint16_t negated = (uint16_t)(llmc_parse_skip_name(p, "not") ? 1 : 0);
    llmc_node *node = llmc_parse_named_node(p, LLMC_NODE_TEST, "a test's name");
    if (!node) return NULL;
    node->op = negated;
    node->builtin = llmc_test_find(&node->value);
    if (!skip_dotted(p, node)) return NULL;
    if (!may_be_unknown(p, node)) return NULL;
    if (llmc_parse_is_op(p, "(")) return parse_arguments(p, &node->a) ? node : NULL;
    if (!starts_test_argument(p)) return node;
    if (llmc_parse_is_name(p, "is")) return llmc_parse_fail(p, node->line, "tests cannot be chained with 'is'");
    if (!llmc_parse_enter(p)) return llmc_parse_leave(p, NULL);
    node->a = with_postfixes(p, parse_primary(p), 0);
    return llmc_parse_leave(p, node->a ? node : NULL);
}

/* One postfix, or NULL: *more says whether there was one. */
static llmc_node *parse_postfix(llmc_parser *p, int with_filter, int filtered, int *more) {
    *more = 1;
    if (!filtered && llmc_parse_is_op(p, ".")) return parse_dot(p);
    if (!filtered && llmc_parse_is_op(p, "[")) return parse_subscript(p);
    if (llmc_parse_is_op(p, "(")) return parse_call(p);
    if (with_filter && llmc_parse_is_op(p, "|")) return llmc_parse_next(p) ? llmc_parse_filter(p) : NULL;
    if (with_filter && llmc_parse_is_name(p, "is")) return parse_test(p);
    *more = 0;
    return NULL;
}

static llmc_node *with_postfixes(llmc_parser *p, llmc_node *node, int with_filter) {
    llmc_node_list list;
    int more = 1, filtered = 0;
    llmc_node_list_init(&list);
    while (node) {
        llmc_node *postfix = parse_postfix(p, with_filter, filtered, &more);
        if (!more) break;
        if (!llmc_node_list_add(&list, postfix)) return NULL;
        filtered |= postfix->type == LLMC_NODE_FILTER || postfix->type == LLMC_NODE_TEST;
    }
    if (!node || !list.first) return node;
    node = llmc_parse_node_around(p, LLMC_NODE_POSTFIX, node->line, node);
    if (node) node->b = list.first;
    return node;
}

static llmc_node *parse_unary(llmc_parser *p, int with_filter) {
    uint32_t line = p->token.line;
    if (!llmc_parse_is_op(p, "-") && !llmc_parse_is_op(p, "+")) return with_postfixes(p, parse_primary(p), with_filter);
    llmc_node_type type = llmc_parse_is_op(p, "-") ? LLMC_NODE_NEGATE : LLMC_NODE_PLUS;
    if (!llmc_parse_enter(p) || !llmc_parse_next(p)) return llmc_parse_leave(p, NULL);
    llmc_node *node = llmc_parse_leave(p, llmc_parse_node_around(p, type, line, parse_unary(p, 0)));
    return with_postfixes(p, node, with_filter);
}

/* ---- Operators --------------------------------------------------------------------------------------------------------- */

/* From the loosest to the tightest. Comparison words are handled beside the table. */
enum { LEVEL_OR, LEVEL_AND, LEVEL_NOT, LEVEL_COMPARE, LEVEL_SUM, LEVEL_CONCAT, LEVEL_PRODUCT, LEVEL_POWER, LEVEL_UNARY };

static const char *const LEVEL_OPERATORS[LEVEL_UNARY][7] = {
    [LEVEL_COMPARE] = {"==", "!=", "<", "<=", ">", ">="},
    [LEVEL_SUM] = {"+", "-"},
    [LEVEL_CONCAT] = {"~"},
    [LEVEL_PRODUCT] = {"*", "/", "//", "%"},
    [LEVEL_POWER] = {"**"},
};
static const uint8_t LEVEL_NODES[LEVEL_UNARY] = {
    [LEVEL_OR] = LLMC_NODE_OR,       [LEVEL_AND] = LLMC_NODE_AND,       [LEVEL_COMPARE] = LLMC_NODE_COMPARE,
    [LEVEL_SUM] = LLMC_NODE_CHAIN,   [LEVEL_CONCAT] = LLMC_NODE_CONCAT, [LEVEL_PRODUCT] = LLMC_NODE_CHAIN,
    [LEVEL_POWER] = LLMC_NODE_CHAIN,
};

static int not_in_follows(const llmc_parser *p) {
    llmc_lexer ahead = p->lexer;
    llmc_token after;
    if (!llmc_parse_is_name(p, "not")) return 0;
    llmc_lexer_next(&ahead, &after);
    return after.type == LLMC_TOKEN_NAME && after.size == 2 && memcmp(after.text, "in", 2) == 0;
}

/* The operator of this level at the token, skipped; 0 if there is none. */
static int take_operator(llmc_parser *p, int level) {
    if (level == LEVEL_OR) return llmc_parse_skip_name(p, "or");
    if (level == LEVEL_AND) return llmc_parse_skip_name(p, "and");
    if (level == LEVEL_COMPARE && llmc_parse_is_name(p, "in")) return llmc_parse_next(p) ? LLMC_OP('i', 'n') : 0;
    if (level == LEVEL_COMPARE && not_in_follows(p)) return llmc_parse_next(p) && llmc_parse_next(p) ? LLMC_OP('n', 'i') : 0;
    for (int i = 0; i < 7 && LEVEL_OPERATORS[level][i]; i++) {
        int op = p->token.op;
        if (llmc_parse_is_op(p, LEVEL_OPERATORS[level][i])) return llmc_parse_next(p) ? op : 0;
    }
    return 0;
}

static llmc_node *parse_level(llmc_parser *p, int level);

static llmc_node *parse_not(llmc_parser *p) {
    uint32_t line = p->token.line;
    if (!llmc_parse_is_name(p, "not")) return parse_level(p, LEVEL_COMPARE);
    if (!llmc_parse_enter(p) || !llmc_parse_next(p)) return llmc_parse_leave(p, NULL);
    return llmc_parse_leave(p, llmc_parse_node_around(p, LLMC_NODE_NOT, line, parse_not(p)));
}

/* Two shapes: or, and, ~ keep a plain list of operands; the others a first operand and a list of OPERAND nodes. */
static llmc_node *parse_level(llmc_parser *p, int level) {
    if (level == LEVEL_NOT) return parse_not(p);
    if (level == LEVEL_UNARY) return parse_unary(p, 1);
    uint32_t line = p->token.line;
    llmc_node *first = parse_level(p, level + 1), *chain = NULL;
    llmc_node_list list;
    llmc_node_list_init(&list);
    int op = 0;
    while (first && p->status == LLMCALL_OK && (op = take_operator(p, level)) != 0) {
        int plain = level <= LEVEL_AND || level == LEVEL_CONCAT;
        if (!chain) {
            chain = llmc_parse_node_around(p, LEVEL_NODES[level], line, first);
            if (!chain) return NULL;
            if (plain) llmc_node_list_add(&list, first);
        }
        llmc_node *operand = parse_level(p, level + 1);
        if (!plain) operand = llmc_parse_node_around(p, LLMC_NODE_OPERAND, line, operand);
        if (!llmc_node_list_add(&list, operand)) return NULL;
        if (!plain) {
            operand->op = (uint16_t)op;
            chain->b = list.first;
        }
    }
    if (p->status != LLMCALL_OK) return NULL;
    return chain ? chain : first;
}

static llmc_node *parse_ternary(llmc_parser *p, llmc_node *value) {
    uint32_t line = p->token.line;
    llmc_node *node = llmc_parse_next(p) ? llmc_parse_node_around(p, LLMC_NODE_TERNARY, line, parse_level(p, LEVEL_OR)) : NULL;
    if (!node) return NULL;
    node->b = value;
    if (llmc_parse_skip_name(p, "else")) {
        node->c = llmc_parse_expression(p, 1);
        if (!node->c) return NULL;
    }
    return node;
}

llmc_node *llmc_parse_expression(llmc_parser *p, int ternary) {
    const llmc_node *unknown = p->unknown;
    if (!llmc_parse_enter(p)) return llmc_parse_leave(p, NULL);
    p->expressions++;
    llmc_node *node = parse_level(p, LEVEL_OR);
    while (ternary && node && llmc_parse_is_name(p, "if")) {
        p->unknown = unknown;
        p->conditional++;
        node = parse_ternary(p, node);
        p->conditional--;
    }
    if (--p->expressions == 0 && p->unknown && !may_be_unknown(p, p->unknown)) return llmc_parse_leave(p, NULL);
    return llmc_parse_leave(p, node);
}

static int ends_tuple(const llmc_parser *p) {
    return p->token.type == LLMC_TOKEN_PRINT_END || p->token.type == LLMC_TOKEN_BLOCK_END || llmc_parse_is_op(p, ")") ||
           llmc_parse_is_op(p, "=") || llmc_parse_is_name(p, "in") || llmc_parse_is_name(p, "recursive");
}

/* One expression, or several with commas, which make a tuple. */
llmc_node *llmc_parse_tuple(llmc_parser *p, int ternary, int parenthesised) {
    uint32_t line = p->token.line;
    llmc_node_list list;
    int comma = 0;
    llmc_node_list_init(&list);
    while (!ends_tuple(p) && p->status == LLMCALL_OK) {
        if (!llmc_node_list_add(&list, llmc_parse_expression(p, ternary))) return NULL;
        if (!llmc_parse_is_op(p, ",")) break;
        comma = 1;
        if (!llmc_parse_next(p)) return NULL;
    }
    if (!comma && list.first) return list.first;
    if (!comma && !parenthesised) return llmc_parse_unexpected(p, "an expression");
    llmc_node *tuple = llmc_parse_node(p, LLMC_NODE_LIST, line);
    if (!tuple) return NULL;
    tuple->op = LLMC_KIND_TUPLE;
    tuple->a = list.first;
    return tuple;
}
