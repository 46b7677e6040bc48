/* What the files of the evaluator share: scopes, postfixes, calls and captures. Nothing else includes this. Functions return
 * 1, or 0 with the failure noted, unless said otherwise. */
#ifndef LLMC_TEMPLATE_EVAL_PARTS_H
#define LLMC_TEMPLATE_EVAL_PARTS_H

#include "template/eval.h"

/* eval.c: budgets, scopes, output, loops. */
int llmc_eval_enter(llmc_render *render); /* counts a frame and a step; the caller takes the frame back even after a 0 */
llmc_value llmc_eval_undefined(const llmc_value *name, const llmc_value *owner); /* owner: NULL for a variable */
int llmc_eval_same_name(const llmc_value *a, const llmc_value *b);               /* 1 if equal */
int llmc_eval_set(llmc_render *render, llmc_scope *scope, const llmc_value *name, const llmc_value *value);
int llmc_eval_find(llmc_render *render, const llmc_value *name, llmc_value *out); /* undefined if there is none */
int llmc_eval_open_scope(llmc_render *render, llmc_scope *parent);                /* the caller restores render->scope */
int llmc_eval_capture(llmc_render *render, const llmc_node *body, llmc_value *out);
int llmc_eval_call_loop(llmc_render *render, const llmc_loop *loop, const llmc_args *args, llmc_value *out);

/* eval_values.c */
int llmc_eval_slice_value(llmc_render *render, const llmc_value *value, const llmc_value parts[3], llmc_value *out);
int llmc_eval_compare(llmc_render *render, int op, const llmc_value *a, const llmc_value *b, int *truth);

/* eval_expressions.c: what follows an operand replaces *value. */
int llmc_eval_postfix(llmc_render *render, const llmc_node *postfix, llmc_value *value);
int llmc_eval_postfixes(llmc_render *render, const llmc_node *postfix, llmc_value *value); /* the whole list */
int llmc_eval_call(llmc_render *render, const llmc_node *call, const llmc_value *caller, llmc_value *value);

/* eval_calls.c */
int llmc_eval_make_macro(llmc_render *render, const llmc_node *node, llmc_value *out); /* a macro of the scope now open */

#endif
