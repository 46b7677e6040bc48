/* The template parser: recursive descent over the lexer's tokens, in jinja2's grammar, with one counter that bounds nesting.
 * Here are the statements and the helpers of both halves. */
#include "template/parser.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "template/eval.h"
#include "template/parser_parts.h"

static llmc_node *parse_body(llmc_parser *p, const char *const *ends);

/* ---- Tokens, nodes, failures ------------------------------------------------------------------------------------------- */

void *llmc_parse_fail(llmc_parser *p, uint32_t line, const char *format, ...) {
    char what[400];
    va_list list;
    va_start(list, format);
    vsnprintf(what, sizeof what, format, list);
    va_end(list);
    if (p->status == LLMCALL_OK) {
        p->status = llmc_fail(p->error, LLMCALL_E_TEMPLATE, NULL, "chat_template", "line %u: %s", line, what);
    }
    return NULL;
}

void *llmc_parse_memory(llmc_parser *p) {
    if (p->status != LLMCALL_OK) return NULL;
    if (p->arena->status != LLMCALL_E_NO_MEMORY) return llmc_parse_fail(p, p->token.line, "the compiled template is too large");
    p->status = llmc_fail_memory(p->error, "chat_template");
    return NULL;
}

void *llmc_parse_unexpected(llmc_parser *p, const char *wanted) {
    int size = p->token.size < 80 ? (int)p->token.size : 80;
    if (p->token.type == LLMC_TOKEN_END)
        return llmc_parse_fail(p, p->token.line, "expected %s, found the end of the template", wanted);
    return llmc_parse_fail(p, p->token.line, "expected %s, found '%.*s'", wanted, size, p->token.text);
}

int llmc_parse_next(llmc_parser *p) {
    if (p->status != LLMCALL_OK) return 0;
    llmc_lexer_next(&p->lexer, &p->token);
    if (p->token.type == LLMC_TOKEN_ERROR) llmc_parse_fail(p, p->token.line, "%s", p->token.text);
    return p->status == LLMCALL_OK;
}

int llmc_parse_is_op(const llmc_parser *p, const char *op) {
    return p->token.type == LLMC_TOKEN_OPERATOR && p->token.op == LLMC_OP(op[0], op[1]);
}

int llmc_parse_is_name(const llmc_parser *p, const char *name) {
    return p->token.type == LLMC_TOKEN_NAME && p->token.size == strlen(name) && memcmp(p->token.text, name, p->token.size) == 0;
}

int llmc_parse_skip_op(llmc_parser *p, const char *op) {
    return llmc_parse_is_op(p, op) && llmc_parse_next(p);
}

int llmc_parse_skip_name(llmc_parser *p, const char *name) {
    return llmc_parse_is_name(p, name) && llmc_parse_next(p);
}

int llmc_parse_expect_op(llmc_parser *p, const char *op) {
    char wanted[8];
    if (llmc_parse_skip_op(p, op)) return 1;
    snprintf(wanted, sizeof wanted, "'%s'", op);
    llmc_parse_unexpected(p, wanted);
    return 0;
}

int llmc_parse_enter(llmc_parser *p) {
    if (++p->depth <= LLMC_TEMPLATE_MAX_NESTING) return p->status == LLMCALL_OK;
    llmc_parse_fail(p, p->token.line, "nested deeper than %d", LLMC_TEMPLATE_MAX_NESTING);
    return 0;
}

/* Leaves what enter entered; passes the result through unless the parse failed. */
llmc_node *llmc_parse_leave(llmc_parser *p, llmc_node *node) {
    p->depth--;
    return p->status == LLMCALL_OK ? node : NULL;
}

llmc_node *llmc_parse_node(llmc_parser *p, llmc_node_type type, uint32_t line) {
    if (p->status != LLMCALL_OK) return NULL;
    llmc_node *node = llmc_arena_alloc(p->arena, sizeof *node);
    if (!node) return llmc_parse_memory(p);
    memset(node, 0, sizeof *node);
    node->type = (uint8_t)type;
    node->line = line;
    return node;
}

llmc_node *llmc_parse_node_around(llmc_parser *p, llmc_node_type type, uint32_t line, llmc_node *a) {
    llmc_node *node = a ? llmc_parse_node(p, type, line) : NULL;
    if (node) node->a = a;
    return node;
}

void llmc_node_list_init(llmc_node_list *list) {
    list->first = NULL;
    list->end = &list->first;
}

int llmc_node_list_add(llmc_node_list *list, llmc_node *node) {
    if (!node) return 0;
    *list->end = node;
    list->end = &node->next;
    return 1;
}

/* One address for each name, so that variables are compared by it. */
int llmc_parse_intern(llmc_parser *p, llmc_value *out) {
    const llmc_token *t = &p->token;
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < t->size; i++) hash = (hash ^ (uint8_t)t->text[i]) * 16777619u;
    llmc_interned **at = &p->names[(hash ^ hash >> 16) % LLMC_NAME_SLOTS];
    for (llmc_interned *known = *at; known; known = known->next) {
        if (known->name.size == t->size && memcmp(known->name.as.text, t->text, t->size) == 0) return *out = known->name, 1;
    }
    llmc_interned *fresh = llmc_arena_alloc(p->arena, sizeof *fresh);
    if (!fresh) return llmc_parse_memory(p), 0;
    *fresh = (llmc_interned){*at, llmc_value_text(t->text, t->size)};
    *at = fresh;
    *out = fresh->name;
    return 1;
}

/* Reads a name token into a new node's value. */
llmc_node *llmc_parse_named_node(llmc_parser *p, llmc_node_type type, const char *wanted) {
    if (p->token.type != LLMC_TOKEN_NAME) return llmc_parse_unexpected(p, wanted);
    llmc_node *node = llmc_parse_node(p, type, p->token.line);
    return node && llmc_parse_intern(p, &node->value) && llmc_parse_next(p) ? node : NULL;
}

/* ---- Statements -------------------------------------------------------------------------------------------------------- */

static int expect_block_end(llmc_parser *p) {
    if (p->token.type == LLMC_TOKEN_BLOCK_END) return llmc_parse_next(p);
    llmc_parse_unexpected(p, "the end of the tag");
    return 0;
}

/* Refuses names that mean something else, and in a for block the loop variable. */
static int check_target(llmc_parser *p, int in_for) {
    static const char *const CONSTANTS[] = {"true", "false", "none", "True", "False", "None"};
    for (size_t i = 0; i < sizeof CONSTANTS / sizeof *CONSTANTS; i++) {
        if (llmc_parse_is_name(p, CONSTANTS[i]))
            return llmc_parse_fail(p, p->token.line, "cannot assign to '%s'", CONSTANTS[i]), 0;
    }
    if (in_for && llmc_parse_is_name(p, "loop")) return llmc_parse_fail(p, p->token.line, "cannot assign to 'loop'"), 0;
    return 1;
}

static llmc_node *parse_target_part(llmc_parser *p, int namespaces) {
    if (!check_target(p, p->in_for_target)) return NULL;
    llmc_node *name = llmc_parse_named_node(p, LLMC_NODE_NAME, "a name to assign to");
    if (!name || !namespaces || !llmc_parse_is_op(p, ".")) return name;
    if (!llmc_parse_next(p)) return NULL;
    llmc_node *target = llmc_parse_named_node(p, LLMC_NODE_NAMESPACE_ATTRIBUTE, "an attribute");
    if (target) target->a = name;
    return target;
}

/* a, b and (a, b), nested as one likes. */
static llmc_node *parse_target(llmc_parser *p, int namespaces) {
    uint32_t line = p->token.line;
    llmc_node_list list;
    int comma = 0;
    llmc_node_list_init(&list);
    if (!llmc_parse_enter(p)) return llmc_parse_leave(p, NULL);
    do {
        if (list.first && (llmc_parse_is_name(p, "in") || llmc_parse_is_op(p, "=") || llmc_parse_is_op(p, ")"))) break;
        int nested = llmc_parse_skip_op(p, "(");
        llmc_node *part = nested ? parse_target(p, 0) : parse_target_part(p, namespaces);
        if (!llmc_node_list_add(&list, part) || (nested && !llmc_parse_expect_op(p, ")"))) return llmc_parse_leave(p, NULL);
        if (llmc_parse_is_op(p, ",")) comma = 1;
    } while (llmc_parse_skip_op(p, ","));
    if (!comma) return llmc_parse_leave(p, list.first);
    llmc_node *tuple = llmc_parse_node(p, LLMC_NODE_LIST, line);
    if (tuple) tuple->a = list.first;
    return llmc_parse_leave(p, tuple);
}

/* Parses up to a tag that begins with one of ends, and stops at that word. */
static int parse_block(llmc_parser *p, const char *const *ends, llmc_node **body) {
    llmc_parse_skip_op(p, ":"); /* as jinja2, for those who think in Python */
    if (!expect_block_end(p)) return 0;
    *body = parse_body(p, ends);
    return p->status == LLMCALL_OK;
}

/* The same for a body with variables of its own: whether an if block is open around it counts no more in it. */
static int parse_scoped_block(llmc_parser *p, const char *const *ends, llmc_node **body) {
    const uint32_t conditional = p->conditional;
    p->conditional = 0;
    const int ok = parse_block(p, ends, body);
    p->conditional = conditional;
    return ok;
}

static llmc_node *parse_if(llmc_parser *p, llmc_node *node) {
    static const char *const ENDS[] = {"elif", "else", "endif", NULL};
    llmc_node_list branches;
    llmc_node_list_init(&branches);
    p->conditional++;
    for (;;) {
        int last = llmc_parse_is_name(p, "else");
        llmc_node *branch = llmc_parse_node(p, LLMC_NODE_BRANCH, p->token.line);
        if (!branch || !llmc_parse_next(p)) return NULL;
        if (!last && !(branch->a = llmc_parse_tuple(p, 0, 0))) return NULL;
        if (!parse_block(p, ENDS, &branch->b) || !llmc_node_list_add(&branches, branch)) return NULL;
        if (llmc_parse_is_name(p, "endif")) break;
        if (last) return llmc_parse_unexpected(p, "'endif'");
    }
    p->conditional--;
    node->a = branches.first;
    return llmc_parse_next(p) ? node : NULL;
}

static llmc_node *parse_for(llmc_parser *p, llmc_node *node) {
    static const char *const ENDS[] = {"endfor", "else", NULL}, *const END[] = {"endfor", NULL};
    if (!llmc_parse_next(p)) return NULL;
    p->in_for_target = 1;
    node->a = parse_target(p, 0);
    p->in_for_target = 0;
    if (!node->a) return NULL;
    if (!llmc_parse_skip_name(p, "in")) return llmc_parse_unexpected(p, "'in'");
    if (!(node->b = llmc_parse_tuple(p, 0, 0))) return NULL;
    const uint32_t conditional = p->conditional;
    p->conditional = 0;
    if (llmc_parse_skip_name(p, "if") && !(node->e = llmc_parse_expression(p, 1))) return NULL;
    p->conditional = conditional;
    node->op = (uint16_t)llmc_parse_skip_name(p, "recursive");
    p->loops++;
    int ok = parse_scoped_block(p, ENDS, &node->c);
    p->loops--;
    if (!ok) return NULL;
    if (llmc_parse_is_name(p, "else") && (!llmc_parse_next(p) || !parse_scoped_block(p, END, &node->d))) return NULL;
    return llmc_parse_next(p) ? node : NULL;
}

/* Filters of a block: "trim|upper" without the first bar. */
static int parse_filters(llmc_parser *p, llmc_node **filters) {
    const uint32_t conditional = p->conditional;
    llmc_node_list list;
    llmc_node_list_init(&list);
    p->conditional = 0;
    do {
        if (!llmc_node_list_add(&list, llmc_parse_filter(p))) return 0;
    } while (llmc_parse_skip_op(p, "|"));
    p->conditional = conditional;
    *filters = list.first;
    return p->status == LLMCALL_OK;
}

static llmc_node *parse_set(llmc_parser *p, llmc_node *node) {
    static const char *const END[] = {"endset", NULL};
    if (!llmc_parse_next(p) || !(node->a = parse_target(p, 1))) return NULL;
    if (llmc_parse_skip_op(p, "=")) {
        node->b = llmc_parse_tuple(p, 1, 0);
        return node->b ? node : NULL;
    }
    node->type = LLMC_NODE_SET_BLOCK;
    if (llmc_parse_skip_op(p, "|") && !parse_filters(p, &node->b)) return NULL;
    return parse_scoped_block(p, END, &node->c) && llmc_parse_next(p) ? node : NULL;
}

static int has_parameter(const llmc_node *list, const llmc_node *parameter) {
    while (list && list->value.as.text != parameter->value.as.text) list = list->next;
    return list != NULL;
}

static int parse_parameters(llmc_parser *p, llmc_node **parameters) {
    llmc_node_list list;
    int defaults = 0;
    llmc_node_list_init(&list);
    if (!llmc_parse_expect_op(p, "(")) return 0;
    while (!llmc_parse_is_op(p, ")")) {
        if (list.first && !llmc_parse_expect_op(p, ",")) return 0;
        if (llmc_parse_is_op(p, ")")) break;
        if (!check_target(p, 0)) return 0;
        llmc_node *parameter = llmc_parse_named_node(p, LLMC_NODE_PARAMETER, "a parameter");
        if (parameter && has_parameter(list.first, parameter))
            return llmc_parse_fail(p, parameter->line, "duplicate parameter '%.*s'", llmc_width(&parameter->value),
                                   parameter->value.as.text),
                   0;
        if (!llmc_node_list_add(&list, parameter)) return 0;
        if (llmc_parse_skip_op(p, "=")) {
            defaults = 1;
            if (!(parameter->a = llmc_parse_expression(p, 1))) return 0;
        } else if (defaults) {
            return llmc_parse_fail(p, parameter->line, "parameter without a default after one with it"), 0;
        }
    }
    *parameters = list.first;
    return llmc_parse_next(p);
}

/* Body of a macro or call block up to `end`, noting the special names it uses. */
static int parse_macro_body(llmc_parser *p, llmc_node *macro, const char *end) {
    const char *const ends[] = {end, NULL};
    uint16_t outer = p->macro_flags;
    uint32_t loops = p->loops, conditional = p->conditional;
    p->macro_flags = 0;
    p->loops = p->conditional = 0;
    int ok = parse_block(p, ends, &macro->c) && llmc_parse_next(p);
    macro->op = p->macro_flags;
    p->macro_flags = (uint16_t)(outer | macro->op); /* what it speaks of counts for the macros around it too, as in jinja2 */
    p->loops = loops;
    p->conditional = conditional;
    return ok;
}

static llmc_node *parse_macro(llmc_parser *p, llmc_node *node) {
    if (!llmc_parse_next(p)) return NULL;
    if (p->token.type != LLMC_TOKEN_NAME) return llmc_parse_unexpected(p, "the macro's name");
    if (!llmc_parse_intern(p, &node->value) || !llmc_parse_next(p)) return NULL;
    return parse_parameters(p, &node->a) && parse_macro_body(p, node, "endmacro") ? node : NULL;
}

static llmc_node *parse_call_block(llmc_parser *p, llmc_node *node) {
    llmc_node *macro = llmc_parse_node(p, LLMC_NODE_MACRO, node->line);
    if (!macro || !llmc_parse_next(p)) return NULL;
    if (llmc_parse_is_op(p, "(") && !parse_parameters(p, &macro->a)) return NULL;
    llmc_node *call = node->a = llmc_parse_expression(p, 1);
    llmc_node *last = call && call->type == LLMC_NODE_POSTFIX ? call->b : NULL;
    while (last && last->next) last = last->next;
    if (p->status == LLMCALL_OK && (!last || last->type != LLMC_NODE_CALL))
        return llmc_parse_fail(p, node->line, "expected a call");
    macro->value = llmc_value_none();
    node->b = macro;
    return call && parse_macro_body(p, macro, "endcall") ? node : NULL;
}

static llmc_node *parse_filter_block(llmc_parser *p, llmc_node *node) {
    static const char *const END[] = {"endfilter", NULL};
    return llmc_parse_next(p) && parse_filters(p, &node->b) && parse_scoped_block(p, END, &node->c) && llmc_parse_next(p)
               ? node
               : NULL;
}

static llmc_node *parse_generation(llmc_parser *p, llmc_node *node) {
    static const char *const END[] = {"endgeneration", NULL};
    uint32_t loops = p->loops;
    p->loops = 0;
    int ok = llmc_parse_next(p) && parse_scoped_block(p, END, &node->c) && llmc_parse_next(p);
    p->loops = loops;
    return ok ? node : NULL;
}

static llmc_node *parse_with(llmc_parser *p, llmc_node *node) {
    static const char *const END[] = {"endwith", NULL};
    llmc_node_list list;
    llmc_node_list_init(&list);
    if (!llmc_parse_next(p)) return NULL;
    while (p->token.type != LLMC_TOKEN_BLOCK_END) {
        if (list.first && !llmc_parse_expect_op(p, ",")) return NULL;
        llmc_node *pair =
            llmc_parse_node_around(p, LLMC_NODE_PAIR, p->token.line, llmc_parse_named_node(p, LLMC_NODE_NAME, "a name"));
        if (!llmc_node_list_add(&list, pair) || !llmc_parse_expect_op(p, "=") || !(pair->b = llmc_parse_expression(p, 1)))
            return NULL;
    }
    node->a = list.first;
    return parse_scoped_block(p, END, &node->c) && llmc_parse_next(p) ? node : NULL;
}

/* What {{ }} prints, several values one behind the other. */
static llmc_node *parse_print_tag(llmc_parser *p, llmc_node *node) {
    llmc_node_list list;
    llmc_node_list_init(&list);
    node->a = llmc_parse_node(p, LLMC_NODE_CONCAT, node->line);
    if (!node->a || !llmc_parse_next(p)) return NULL;
    while (p->token.type != LLMC_TOKEN_BLOCK_END) {
        if (list.first && !llmc_parse_expect_op(p, ",")) return NULL;
        if (!llmc_node_list_add(&list, llmc_parse_expression(p, 1))) return NULL;
    }
    node->a->a = list.first;
    return node;
}

static llmc_node *parse_jump(llmc_parser *p, llmc_node *node) {
    if (!p->loops)
        return llmc_parse_fail(p, node->line, "'%s' outside a for block", node->type == LLMC_NODE_BREAK ? "break" : "continue");
    return llmc_parse_next(p) ? node : NULL;
}

static const struct {
    const char *name;
    uint8_t type;
    llmc_node *(*parse)(llmc_parser *p, llmc_node *node); /* the token is at the name */
} STATEMENTS[] = {
    {"if", LLMC_NODE_IF, parse_if},
    {"for", LLMC_NODE_FOR, parse_for},
    {"set", LLMC_NODE_SET, parse_set},
    {"print", LLMC_NODE_PRINT, parse_print_tag},
    {"macro", LLMC_NODE_MACRO, parse_macro},
    {"call", LLMC_NODE_CALL_BLOCK, parse_call_block},
    {"filter", LLMC_NODE_FILTER_BLOCK, parse_filter_block},
    {"generation", LLMC_NODE_SCOPE, parse_generation},
    {"with", LLMC_NODE_WITH, parse_with},
    {"break", LLMC_NODE_BREAK, parse_jump},
    {"continue", LLMC_NODE_CONTINUE, parse_jump},
};

static llmc_node *parse_statement(llmc_parser *p) {
    for (size_t i = 0; i < sizeof STATEMENTS / sizeof *STATEMENTS; i++) {
        if (!llmc_parse_is_name(p, STATEMENTS[i].name)) continue;
        llmc_node *node = llmc_parse_node(p, STATEMENTS[i].type, p->token.line);
        node = node ? STATEMENTS[i].parse(p, node) : NULL;
        return node && expect_block_end(p) ? node : NULL;
    }
    int size = p->token.size < 80 ? (int)p->token.size : 80;
    return llmc_parse_fail(p, p->token.line, "unknown tag '%.*s'", size, p->token.text);
}

static llmc_node *parse_print(llmc_parser *p) {
    uint32_t line = p->token.line;
    if (!llmc_parse_next(p)) return NULL;
    llmc_node *node = llmc_parse_node_around(p, LLMC_NODE_PRINT, line, llmc_parse_tuple(p, 1, 0));
    if (!node) return NULL;
    if (p->token.type != LLMC_TOKEN_PRINT_END) return llmc_parse_unexpected(p, "'}}'");
    return llmc_parse_next(p) ? node : NULL;
}

static llmc_node *parse_data(llmc_parser *p) {
    llmc_node *node = llmc_parse_node(p, LLMC_NODE_TEXT, p->token.line);
    if (!node) return NULL;
    node->value = llmc_value_text(p->token.text, p->token.size);
    return llmc_parse_next(p) ? node : NULL;
}

static int at_end_tag(const llmc_parser *p, const char *const *ends) {
    for (; ends && *ends; ends++) {
        if (llmc_parse_is_name(p, *ends)) return 1;
    }
    return 0;
}

/* Statements up to one of ends (the token is then at its name), or to the end of the source if ends is NULL. */
static llmc_node *parse_body(llmc_parser *p, const char *const *ends) {
    llmc_node_list list;
    llmc_node_list_init(&list);
    if (!llmc_parse_enter(p)) return llmc_parse_leave(p, NULL);
    while (p->status == LLMCALL_OK) {
        llmc_node *node = NULL;
        if (p->token.type == LLMC_TOKEN_END) {
            if (ends) llmc_parse_fail(p, p->token.line, "the template ends before '%s'", ends[0]);
            break;
        }
        if (p->token.type == LLMC_TOKEN_DATA) node = parse_data(p);
        else if (p->token.type == LLMC_TOKEN_PRINT_BEGIN) node = parse_print(p);
        else {
            if (!llmc_parse_next(p) || at_end_tag(p, ends)) break;
            node = parse_statement(p);
        }
        if (node) llmc_node_list_add(&list, node);
    }
    return llmc_parse_leave(p, list.first);
}

llmcall_status llmc_template_parse(llmc_template *compiled, const char *source, size_t size, llmcall_error *error) {
    llmc_interned *names[LLMC_NAME_SLOTS];
    memset(names, 0, sizeof names);
    llmc_parser p = {.arena = &compiled->arena, .error = error, .names = names};
    llmc_lexer_init(&p.lexer, source, size);
    if (llmc_parse_next(&p)) compiled->body = parse_body(&p, NULL);
    return p.status;
}
