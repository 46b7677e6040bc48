/* Cuts template source into tokens, on demand, with jinja2's whitespace control. Newlines are expected to be "\n" already. */
#ifndef LLMC_TEMPLATE_LEXER_H
#define LLMC_TEMPLATE_LEXER_H

#include <stddef.h>
#include <stdint.h>

typedef enum llmc_token_type {
    LLMC_TOKEN_END,
    LLMC_TOKEN_DATA, /* text to print as it is */
    LLMC_TOKEN_BLOCK_BEGIN,
    LLMC_TOKEN_BLOCK_END,
    LLMC_TOKEN_PRINT_BEGIN,
    LLMC_TOKEN_PRINT_END,
    LLMC_TOKEN_NAME,
    LLMC_TOKEN_STRING, /* text: between the quotes, escapes not yet read */
    LLMC_TOKEN_INT,
    LLMC_TOKEN_FLOAT,
    LLMC_TOKEN_OPERATOR,
    LLMC_TOKEN_ERROR /* text: what is wrong */
} llmc_token_type;

typedef struct llmc_token {
    llmc_token_type type;
    uint32_t line;
    int op; /* LLMC_OP(...) of an operator */
    const char *text;
    size_t size;
} llmc_token;

#define LLMC_OP(first, second) ((first) | (second) << 8)

/* Plain data: copy it to look ahead. */
typedef struct llmc_lexer {
    const char *source;
    size_t size;
    size_t at;
    uint32_t line;
    uint8_t mode;
    uint8_t starts_line; /* nothing but a newline (or nothing) precedes at */
    uint8_t n_brackets;
    char brackets[64]; /* closing brackets awaited */
} llmc_lexer;

void llmc_lexer_init(llmc_lexer *lexer, const char *source, size_t size);
void llmc_lexer_next(llmc_lexer *lexer, llmc_token *token);

#endif
