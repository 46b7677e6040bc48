/* Template source to tree. */
#ifndef LLMC_TEMPLATE_PARSER_H
#define LLMC_TEMPLATE_PARSER_H

#include "template/tree.h"

/* Parses into compiled->arena and sets compiled->body. The source must have "\n" newlines and live as long as the tree. */
llmcall_status llmc_template_parse(llmc_template *compiled, const char *source, size_t size, llmcall_error *error);

#endif
