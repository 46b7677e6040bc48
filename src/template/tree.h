/* The tree of a compiled template: one node type with up to five children, what they mean said here for each kind. Lists are
 * nodes linked by next. Chains of operators and of postfixes are flat lists, so that depth is that of the source's nesting. */
#ifndef LLMC_TEMPLATE_TREE_H
#define LLMC_TEMPLATE_TREE_H

#include "template/value.h"

typedef enum llmc_node_type {
    /* Expressions */
    LLMC_NODE_CONST,   /* value */
    LLMC_NODE_NAME,    /* value: the name, unique by its text's address */
    LLMC_NODE_LIST,    /* a: items; op: LLMC_KIND_LIST or LLMC_KIND_TUPLE */
    LLMC_NODE_DICT,    /* a: list of PAIR */
    LLMC_NODE_PAIR,    /* a: key, or target of WITH; b: value */
    LLMC_NODE_POSTFIX, /* a: base; b: list of ATTRIBUTE, ITEM, SLICE, CALL, FILTER, TEST, applied in order */
    LLMC_NODE_CHAIN,   /* a: first operand; b: list of OPERAND, from left to right */
    LLMC_NODE_CONCAT,  /* a: list of operands of ~ */
    LLMC_NODE_COMPARE, /* a: first operand; b: list of OPERAND, chained as in Python */
    LLMC_NODE_OPERAND, /* op: LLMC_OP(...); a */
    LLMC_NODE_AND,     /* a: list */
    LLMC_NODE_OR,      /* a: list */
    LLMC_NODE_NOT,     /* a */
    LLMC_NODE_NEGATE,  /* a */
    LLMC_NODE_PLUS,    /* a */
    LLMC_NODE_TERNARY, /* a: condition; b; c: else, may be NULL */
    /* Postfixes */
    LLMC_NODE_ATTRIBUTE, /* value: name */
    LLMC_NODE_ITEM,      /* a: index */
    LLMC_NODE_SLICE,     /* a, b, c: start, stop, step, each may be NULL */
    LLMC_NODE_CALL,      /* a: arguments */
    LLMC_NODE_FILTER,    /* builtin, NULL if unknown (an error when reached); value: name; a: arguments */
    LLMC_NODE_TEST,      /* builtin, as FILTER; value: name; a: arguments; op: 1 if negated */
    LLMC_NODE_KEYWORD,   /* an argument given by name. value: name; a */
    LLMC_NODE_SPREAD,    /* a: list of arguments, *a; op: 1 for **a, a dict of them */
    /* Statements */
    LLMC_NODE_TEXT,   /* value */
    LLMC_NODE_PRINT,  /* a */
    LLMC_NODE_IF,     /* a: list of BRANCH */
    LLMC_NODE_BRANCH, /* a: condition, NULL for else; b: body */
    LLMC_NODE_FOR,    /* a: target; b: what to go through; c: body; d: else body; e: condition on items; op: 1 if recursive */
    LLMC_NODE_SET,    /* a: target; b: value */
    LLMC_NODE_SET_BLOCK,    /* a: target; b: filters, a list as in POSTFIX; c: body */
    LLMC_NODE_MACRO,        /* value: name; a: list of PARAMETER; c: body; op: LLMC_MACRO_* */
    LLMC_NODE_PARAMETER,    /* value: name; a: default, may be NULL */
    LLMC_NODE_CALL_BLOCK,   /* a: the call, a POSTFIX; b: MACRO that becomes caller */
    LLMC_NODE_FILTER_BLOCK, /* b: filters; c: body */
    LLMC_NODE_SCOPE,        /* c: body, what it sets does not leave it: generation tags */
    LLMC_NODE_WITH,         /* a: list of PAIR; c: body */
    LLMC_NODE_BREAK,
    LLMC_NODE_CONTINUE,
    LLMC_NODE_NAMESPACE_ATTRIBUTE /* only as target. a: NAME; value: attribute */
} llmc_node_type;

/* Which of the special names a macro's body speaks of. */
enum { LLMC_MACRO_VARARGS = 1, LLMC_MACRO_KWARGS = 2, LLMC_MACRO_CALLER = 4 };

typedef struct llmc_node llmc_node;
struct llmc_node {
    uint8_t type;
    uint8_t reserved;
    uint16_t op;
    uint32_t line;
    llmc_node *next;
    llmc_node *a, *b, *c, *d, *e;
    const llmc_builtin *builtin;
    llmc_value value;
};

struct llmc_template {
    const llmc_env *env;
    llmc_arena arena; /* holds the tree */
    llmc_node *body;
};

#endif
