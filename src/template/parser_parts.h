/* What the two halves of the parser share: its state, and the helpers for tokens and nodes. Nothing else includes this.
 * Functions that return a node or an int return NULL or 0 once the parse has failed. */
#ifndef LLMC_TEMPLATE_PARSER_PARTS_H
#define LLMC_TEMPLATE_PARSER_PARTS_H

#include "template/lexer.h"
#include "template/text.h"
#include "template/tree.h"

#define LLMC_NAME_SLOTS 1024u

typedef struct llmc_interned {
    struct llmc_interned *next;
    llmc_value name;
} llmc_interned;

typedef struct llmc_parser {
    llmc_arena *arena;
    llmcall_error *error;
    llmcall_status status;
    llmc_lexer lexer;
    llmc_token token; /* the one to look at */
    uint32_t depth;
    uint32_t loops;           /* for blocks open around, inside the nearest macro */
    uint32_t conditional;     /* if blocks and inline ifs open around: unknown filters there fail when reached, as in jinja2 */
    uint32_t expressions;     /* open around */
    const llmc_node *unknown; /* a filter or test that fails here unless an "if" is still to follow its expression */
    int in_for_target;
    uint16_t macro_flags;  /* special names seen since the nearest macro began */
    llmc_interned **names; /* LLMC_NAME_SLOTS chains */
} llmc_parser;

typedef struct llmc_node_list {
    llmc_node *first, **end;
} llmc_node_list;

/* parser.c: failures, of which the first counts. These always return NULL. */
void *llmc_parse_fail(llmc_parser *p, uint32_t line, const char *format, ...) LLMC_PRINTF(3, 4);
void *llmc_parse_memory(llmc_parser *p);
void *llmc_parse_unexpected(llmc_parser *p, const char *wanted);

/* Tokens. */
int llmc_parse_next(llmc_parser *p);
int llmc_parse_is_op(const llmc_parser *p, const char *op);
int llmc_parse_is_name(const llmc_parser *p, const char *name);
int llmc_parse_skip_op(llmc_parser *p, const char *op); /* 1 if it was there */
int llmc_parse_skip_name(llmc_parser *p, const char *name);
int llmc_parse_expect_op(llmc_parser *p, const char *op);

/* Nesting: each enter, also one that returned 0, is followed by a leave, which passes node through. */
int llmc_parse_enter(llmc_parser *p);
llmc_node *llmc_parse_leave(llmc_parser *p, llmc_node *node);

/* Nodes. */
llmc_node *llmc_parse_node(llmc_parser *p, llmc_node_type type, uint32_t line);
llmc_node *llmc_parse_node_around(llmc_parser *p, llmc_node_type type, uint32_t line, llmc_node *a); /* NULL if a is */
llmc_node *llmc_parse_named_node(llmc_parser *p, llmc_node_type type, const char *wanted);
int llmc_parse_intern(llmc_parser *p, llmc_value *out); /* the name token's text, one address for each name */
void llmc_node_list_init(llmc_node_list *list);
int llmc_node_list_add(llmc_node_list *list, llmc_node *node); /* 0 if node is NULL */

/* parser_expressions.c */
llmc_node *llmc_parse_expression(llmc_parser *p, int ternary);
llmc_node *llmc_parse_tuple(llmc_parser *p, int ternary, int parenthesised); /* one expression, or several with commas */
llmc_node *llmc_parse_filter(llmc_parser *p);                                /* the token is at the filter's name */

#endif
