/* The feed-forward of a layer with experts: a router gives every row a few of them, and their results are added by its weights;
 * a shared expert takes every row. Experts may work in a narrower space than x, with a matrix into it and one out of it
 * (Nemotron 3); the router and the shared expert do not. */
#include <math.h>

#include "model/op_writer.h"

static void add_route(llmc_op_writer *w, const llmc_layer *l, uint32_t rows) {
    const llmc_expert_params *e = &w->h->experts;
    llmc_write_op(w, LLMC_OP_ROUTE)->u.route = (llmc_op_route){.n_rows = rows,
                                                               .n_experts = e->n,
                                                               .n_used = e->n_used,
                                                               .gating = e->gating,
                                                               .normalize = e->normalize,
                                                               .scale = e->scale,
                                                               .n_groups = e->n_groups,
                                                               .n_groups_used = e->n_groups_used,
                                                               .logits = w->a->router,
                                                               .selection = l->router_selection,
                                                               .factors = l->experts_factors,
                                                               .routes = w->a->routes};
}

static llmc_op_experts *add_products(llmc_op_writer *w, uint32_t rows, uint32_t width, const float *src) {
    llmc_op_experts *op = &llmc_write_op(w, LLMC_OP_EXPERTS)->u.experts;
    *op = (llmc_op_experts){.n_rows = rows, .n_experts = w->h->experts.n, .n_used = w->h->experts.n_used, .width = width};
    op->src = src;
    op->routes = w->a->routes;
    return op;
}

static void add_part(llmc_op_experts *op, llmc_weight *const *weights, const float *bias, float *dst) {
    op->part[op->n_parts].weights = weights;
    op->part[op->n_parts].bias = bias;
    op->part[op->n_parts].dst = dst;
    op->n_parts++;
}

void llmc_write_router(llmc_op_writer *w, const llmc_layer *l, uint32_t rows, const float *x) {
    llmc_op_matmul *m = llmc_write_matmul(w, rows, w->h->width, x);
    llmc_add_part(m, l->router, l->router_bias, w->a->router);
    if (l->experts_in) llmc_add_part(m, l->experts_in, NULL, w->a->narrow);
}

static const llmc_layer_sizes *sizes_of(const llmc_op_writer *w, const llmc_layer *l) {
    return &w->h->sizes[l - w->parts->weights->layers];
}

static void add_experts(llmc_op_writer *w, const llmc_layer *l, uint32_t rows, const float *x) {
    llmc_op_experts *op = add_products(w, rows, w->h->experts.width, l->experts_in ? w->a->narrow : x);
    op->weighted = w->h->arch->experts_read_weighted;
    if (l->gate_experts) add_part(op, l->gate_experts, l->gate_experts_bias, w->a->gate);
    add_part(op, l->up_experts, l->up_experts_bias, l->gate_experts ? w->a->up : w->a->gate);
    op = add_products(w, rows, w->h->experts.n_ff, w->a->gate);
    op->input = LLMC_INPUT_ACTIVATION;
    op->activation = (int)w->h->activation;
    op->limit = sizes_of(w, l)->experts_limit;
    op->up = w->a->up;
    add_part(op, l->down_experts, l->down_experts_bias, w->a->expert_rows);
}

void llmc_write_experts(llmc_op_writer *w, const llmc_layer *l, uint32_t rows, const float *x) {
    if (!w->h->arch->router_reads_x) llmc_write_router(w, l, rows, x);
    add_route(w, l, rows);
    add_experts(w, l, rows, x);
}

static void add_shared(llmc_op_writer *w, const llmc_layer *l, uint32_t rows, float *sum) {
    llmc_op_matmul *m = llmc_write_matmul(w, rows, w->h->width, w->a->normed);
    if (l->gate_shared) llmc_add_part(m, l->gate_shared, NULL, w->a->gate);
    llmc_add_part(m, l->up_shared, NULL, l->gate_shared ? w->a->up : w->a->gate);
    if (l->shared_router) {
        llmc_add_part(m, l->shared_router, NULL, w->a->router);
        llmc_write_op(w, LLMC_OP_SIGMOID)->u.sigmoid = (llmc_op_sigmoid){.n_rows = rows,
                                                                         .n_blocks = 1,
                                                                         .block = w->h->experts.n_ff_shared,
                                                                         .gate = w->a->router,
                                                                         .one_gate = 1,
                                                                         .gate_row = 1,
                                                                         .dst = w->a->up};
    }
    m = llmc_write_matmul(w, rows, w->h->experts.n_ff_shared, w->a->gate);
    llmc_add_part(m, l->down_shared, NULL, sum);
    m->accumulate = 1;
    m->input = LLMC_INPUT_ACTIVATION;
    m->activation = (int)w->h->activation;
    m->limit = sizes_of(w, l)->limit;
    m->up = w->a->up;
}

static llmc_op_combine *add_combine(llmc_op_writer *w, uint32_t rows, float *dst) {
    const llmc_expert_params *e = &w->h->experts;
    llmc_op_combine *op = &llmc_write_op(w, LLMC_OP_COMBINE)->u.combine;
    *op = (llmc_op_combine){.n_rows = rows, .n_experts = e->n, .n_used = e->n_used, .width = e->width, .scale = 1};
    op->routes = w->a->routes;
    op->src = w->a->expert_rows;
    op->dst = dst;
    op->plain = w->h->arch->experts_read_weighted;
    return op;
}

void llmc_write_experts_beside(llmc_op_writer *w, const llmc_layer *l, uint32_t rows, const float *x, float *dst) {
    uint32_t width = w->h->width;
    llmc_write_norm(w, rows, width, l->router_norm, NULL, x, w->a->normed)->scale = 1 / sqrtf((float)width);
    llmc_write_router(w, l, rows, w->a->normed);
    add_route(w, l, rows);
    llmc_write_norm(w, rows, width, l->experts_norm, NULL, x, w->a->normed);
    add_experts(w, l, rows, w->a->normed);
    add_combine(w, rows, dst)->set = 1;
}

/* x += the sum, or what a norm and a factor make of it. */
void llmc_write_experts_sum(llmc_op_writer *w, const llmc_layer *l, uint32_t rows, float *x) {
    const llmc_expert_params *e = &w->h->experts;
    float scale = w->h->residual_scale * e->sum_scale;
    int direct = !l->ffn_post_norm && scale == 1;
    float *sum = direct ? x : w->a->branch;
    add_combine(w, rows, l->experts_out ? w->a->narrow : sum)->set = !direct || l->experts_out;
    if (l->experts_out) {
        llmc_op_matmul *m = llmc_write_matmul(w, rows, e->width, w->a->narrow);
        llmc_add_part(m, l->experts_out, NULL, sum);
        m->accumulate = direct;
    }
    if (e->n_ff_shared) add_shared(w, l, rows, sum);
    if (direct) return;
    llmc_op_norm *add = llmc_write_norm(w, rows, w->h->width, l->ffn_post_norm, NULL, sum, x);
    add->scale = scale;
    add->accumulate = 1;
}
