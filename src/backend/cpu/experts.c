/* Mixture of experts: which experts a row goes to, products of rows with their experts' weights, and the weighted sum. */
#include <math.h>
#include <string.h>

#include "backend/cpu/backend.h"
#include "kernels/cpu/vecmath.h"

/* Weights of a unit of work, as in matmul.c. */
enum { UNIT_BYTES = 256 << 10 };

/* What lies behind llmc_op_route.routes. */
typedef struct routes {
    uint32_t *row_of;  /* (slots) */
    uint32_t *slot_of; /* (n_rows, n_used), best expert first; while they are chosen, the expert */
    float *weight;     /* (n_rows, n_used) */
    uint32_t *begin;   /* (n_experts + 1) an expert's first slot */
} routes;

static routes routes_at(float *memory, uint32_t n_rows, uint32_t n_used) {
    size_t n_slots = (size_t)n_rows * n_used;
    routes r = {.row_of = (uint32_t *)(void *)memory, .weight = memory + 2 * n_slots};
    r.slot_of = r.row_of + n_slots;
    r.begin = (uint32_t *)(void *)(memory + 3 * n_slots);
    return r;
}

static routes routes_of(const float *memory, uint32_t n_rows, uint32_t n_used) {
    return routes_at((float *)(uintptr_t)memory, n_rows, n_used);
}

/* --- choosing --- */

static void softmax(const float *x, uint32_t n, float *p) {
    float maximum = -INFINITY, sum = 0;
    for (uint32_t i = 0; i < n; i++) maximum = x[i] > maximum ? x[i] : maximum;
    for (uint32_t i = 0; i < n; i++) sum += p[i] = llmc_expf(x[i] - maximum);
    for (uint32_t i = 0; i < n; i++) p[i] /= sum;
}

static void probabilities(const llmc_op_route *op, const float *logits, float *p) {
    if (op->gating == LLMC_GATE_SOFTMAX) softmax(logits, op->n_experts, p);
    for (uint32_t i = 0; op->gating == LLMC_GATE_SIGMOID && i < op->n_experts; i++)
        p[i] = 1.0f / (1.0f + llmc_expf(-logits[i]));
    for (uint32_t i = 0; op->gating == LLMC_GATE_SOFTMAX_OF_CHOSEN && i < op->n_experts; i++) p[i] = logits[i];
}

/* The index of the largest that is not taken, the first of equal ones; taken entries are -infinity. If only those are left, or
 * numbers that are none, the first that is not marked in `used`. */
static uint32_t take_largest(float *x, uint32_t n, uint8_t *used) {
    uint32_t best = n;
    for (uint32_t i = 0; i < n; i++) {
        if (!used[i] && (best == n || x[i] > x[best])) best = i;
    }
    used[best] = 1;
    return best;
}

/* DeepSeek-V3: a group counts as much as its best two experts together; experts of the groups not taken are marked used. */
static void keep_best_groups(const llmc_op_route *op, const float *chosen_by, uint8_t *used) {
    float score[LLMC_CPU_MAX_EXPERTS];
    uint8_t taken[LLMC_CPU_MAX_EXPERTS] = {0};
    uint32_t size = op->n_experts / op->n_groups;
    for (uint32_t g = 0; g < op->n_groups; g++) {
        float best = -INFINITY, second = -INFINITY;
        for (uint32_t i = g * size; i < (g + 1) * size; i++) {
            if (chosen_by[i] > best) second = best, best = chosen_by[i];
            else if (chosen_by[i] > second) second = chosen_by[i];
        }
        score[g] = size > 1 ? best + second : best;
    }
    for (uint32_t i = 0; i < op->n_groups_used; i++) (void)take_largest(score, op->n_groups, taken);
    for (uint32_t i = 0; i < op->n_experts; i++) used[i] = !taken[i / size];
}

static void weigh(const llmc_op_route *op, const float *p, const uint32_t *experts, float *weight) {
    float sum = 0;
    for (uint32_t i = 0; i < op->n_used; i++) weight[i] = p[experts[i]];
    if (op->gating == LLMC_GATE_SOFTMAX_OF_CHOSEN) softmax(weight, op->n_used, weight);
    for (uint32_t i = 0; i < op->n_used; i++) sum += weight[i];
    float factor = op->scale;
    if (op->normalize) factor /= sum > 0x1p-14f ? sum : 0x1p-14f; /* the smallest normal f16, as models were trained */
    for (uint32_t i = 0; i < op->n_used; i++) weight[i] *= op->factors ? factor * op->factors[experts[i]] : factor;
}

static void choose(const llmc_op_route *op, const float *logits, uint32_t *experts, float *weight) {
    float p[LLMC_CPU_MAX_EXPERTS], chosen_by[LLMC_CPU_MAX_EXPERTS];
    uint8_t used[LLMC_CPU_MAX_EXPERTS] = {0};
    probabilities(op, logits, p);
    for (uint32_t i = 0; i < op->n_experts; i++) chosen_by[i] = op->selection ? p[i] + op->selection[i] : p[i];
    if (op->n_groups > 1) keep_best_groups(op, chosen_by, used);
    for (uint32_t i = 0; i < op->n_used; i++) experts[i] = take_largest(chosen_by, op->n_experts, used);
    weigh(op, p, experts, weight);
}

/* Slots by expert, and in the order of rows for each. */
static void order_slots(const llmc_op_route *op, const routes *r) {
    uint32_t next[LLMC_CPU_MAX_EXPERTS], n_slots = op->n_rows * op->n_used;
    for (uint32_t e = 0; e <= op->n_experts; e++) r->begin[e] = 0;
    for (uint32_t i = 0; i < n_slots; i++) r->begin[r->slot_of[i] + 1]++;
    for (uint32_t e = 0; e < op->n_experts; e++) {
        r->begin[e + 1] += r->begin[e];
        next[e] = r->begin[e];
    }
    for (uint32_t i = 0; i < n_slots; i++) {
        uint32_t slot = next[r->slot_of[i]]++;
        r->slot_of[i] = slot;
        r->row_of[slot] = i / op->n_used;
    }
}

void llmc_cpu_route(const llmc_cpu_thread *thread, const llmc_op_route *op) {
    routes r = routes_at(op->routes, op->n_rows, op->n_used);
    uint32_t begin, end;
    llmc_cpu_share(thread, op->n_rows, &begin, &end);
    for (uint32_t row = begin; row < end; row++) {
        choose(op, op->logits + (size_t)row * op->n_experts, r.slot_of + (size_t)row * op->n_used,
               r.weight + (size_t)row * op->n_used);
    }
    llmc_pool_barrier(thread->backend->pool);
    if (thread->index == 0) order_slots(op, &r);
}

/* --- products --- */

/* Slots [first, first + n) in the forms that the weights multiply with. */
typedef struct pass {
    const llmc_op_experts *op;
    routes routes;
    uint32_t first, n;
    llmc_cpu_rows rows;
    uint32_t unit_tiles[LLMC_MATMUL_PARTS];
    uint32_t n_units[LLMC_MATMUL_PARTS]; /* of an expert */
    uint32_t units_each;
} pass;

static void plan(const llmc_cpu_thread *thread, pass *p) {
    for (uint32_t i = 0; i < p->op->n_parts; i++) {
        const llmc_packed *packed = &p->op->part[i].weights[0]->packed;
        llmc_cpu_rows_add(&p->rows, llmc_act_form_of(&thread->backend->matmul, packed->type), p->op->width);
        uint32_t fair = llmc_cpu_tiles(packed) / (2 * (uint32_t)thread->n_threads),
                 fit = (uint32_t)(UNIT_BYTES / packed->tile_bytes);
        p->unit_tiles[i] = llmc_cpu_min(fair, fit) & ~1u;
        if (p->unit_tiles[i] == 0) p->unit_tiles[i] = 2;
        p->n_units[i] = (llmc_cpu_tiles(packed) + p->unit_tiles[i] - 1) / p->unit_tiles[i];
        p->units_each += p->n_units[i];
    }
}

static float weight_of_slot(const routes *r, uint32_t slot, uint32_t n_used) {
    size_t first = (size_t)r->row_of[slot] * n_used, i = 0;
    while (r->slot_of[first + i] != slot) i++;
    return r->weight[first + i];
}

/* What a slot's expert multiplies with: at thread->row, or where it is. */
static const float *input_of(const llmc_cpu_thread *thread, const llmc_op_experts *op, const routes *r, uint32_t slot) {
    if (op->input == LLMC_INPUT_ACTIVATION) {
        const float *up = op->up ? op->up + (size_t)slot * op->width : NULL;
        llmc_cpu_activate(thread, op->activation, op->limit, op->src + (size_t)slot * op->width, up, op->width);
        return thread->row;
    }
    const float *x = op->src + (size_t)r->row_of[slot] * op->width;
    if (!op->weighted) return x;
    float weight = weight_of_slot(r, slot, op->n_used);
    for (uint32_t j = 0; j < op->width; j++) thread->row[j] = x[j] * weight;
    return thread->row;
}

static void prepare(const llmc_cpu_thread *thread, const pass *p) {
    const llmc_op_experts *op = p->op;
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, p->n);
    for (uint32_t i; llmc_pool_loop_next(&loop, &i);) {
        llmc_cpu_rows_quantize(thread, &p->rows, input_of(thread, op, &p->routes, p->first + i), op->width, i);
    }
    llmc_pool_barrier(thread->backend->pool);
}

/* An expert's slots within the pass. */
static uint32_t slots_in(const pass *p, uint32_t expert, uint32_t *begin) {
    uint32_t end = llmc_cpu_min(p->routes.begin[expert + 1], p->first + p->n);
    *begin = p->routes.begin[expert] > p->first ? p->routes.begin[expert] : p->first;
    return end > *begin ? end - *begin : 0;
}

static void multiply_unit(const llmc_cpu_thread *thread, const pass *p, uint32_t expert, uint32_t unit) {
    uint32_t part = 0, slot;
    while (unit >= p->n_units[part]) unit -= p->n_units[part++];
    const llmc_packed *packed = &p->op->part[part].weights[expert]->packed;
    const float *bias = p->op->part[part].bias;
    uint32_t n = slots_in(p, expert, &slot), tile = unit * p->unit_tiles[part];
    llmc_cpu_product product = {.packed = packed, .rows = &p->rows, .first = slot - p->first, .n = n};
    product.tile_begin = tile;
    product.tile_end = llmc_cpu_min(llmc_cpu_tiles(packed), tile + p->unit_tiles[part]);
    product.dst = p->op->part[part].dst + (size_t)slot * packed->rows;
    product.bias = bias ? bias + (size_t)expert * packed->rows : NULL;
    llmc_cpu_multiply(thread, &product);
}

static void multiply(const llmc_cpu_thread *thread, const pass *p) {
    uint32_t n_active = 0, at = 0, passed = 0, slot;
    for (uint32_t e = 0; e < p->op->n_experts; e++) n_active += slots_in(p, e, &slot) > 0;
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, n_active * p->units_each);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        uint32_t active = unit / p->units_each;
        if (active < passed) at = passed = 0;
        while (slots_in(p, at, &slot) == 0 || passed < active) passed += slots_in(p, at++, &slot) > 0;
        multiply_unit(thread, p, at, unit % p->units_each);
    }
}

/* --- adapters --- */

static const llmc_segment *segment_of(const llmc_cpu_thread *thread, const llmc_op_experts *op, uint32_t row) {
    const llmc_batch *batch = thread->batch;
    return llmc_cpu_segment_of(batch, op->lora == LLMC_LORA_TOKENS ? row : batch->output_rows[row]);
}

/* Slots of one expert whose rows have the same adapter. */
static void adapt_slots(const llmc_cpu_thread *thread, const llmc_op_experts *op, const routes *r, const llmc_lora_pair *pair,
                        float scale, uint32_t first, uint32_t n_slots, float *dst) {
    size_t row_bytes = llmc_act_row_bytes(LLMC_ACT_F32, op->width), dst_stride = pair->b->packed.rows;
    uint32_t step = llmc_cpu_lora_rows(thread, pair, op->width);
    for (uint32_t done = 0, n; done < n_slots; done += n) {
        n = llmc_cpu_min(step, n_slots - done);
        for (uint32_t i = 0; i < n; i++) {
            const float *x = input_of(thread, op, r, first + done + i);
            thread->backend->exact.quantize(LLMC_ACT_F32, x, op->width, thread->act + i * row_bytes);
        }
        llmc_cpu_lora_add(thread, pair, scale, op->width, n, dst + (first + done) * dst_stride);
    }
}

static void adapt_expert(const llmc_cpu_thread *thread, const llmc_op_experts *op, const routes *r, uint32_t part,
                         uint32_t expert) {
    for (uint32_t slot = r->begin[expert], end = r->begin[expert + 1], n; slot < end; slot += n) {
        const llmc_segment *segment = segment_of(thread, op, r->row_of[slot]);
        for (n = 1; slot + n < end; n++) {
            const llmc_segment *next = segment_of(thread, op, r->row_of[slot + n]);
            if (next->lora != segment->lora || next->lora_scale != segment->lora_scale) break;
        }
        const llmc_lora_pair *pair = llmc_lora_find(segment->lora, op->part[part].weights[expert]);
        if (pair) adapt_slots(thread, op, r, pair, segment->lora_scale, slot, n, op->part[part].dst);
    }
}

/* An expert's part is one thread's: few slots have an adapter, and its ranks are small. */
static void adapt(const llmc_cpu_thread *thread, const llmc_op_experts *op, const routes *r) {
    llmc_pool_barrier(thread->backend->pool); /* the products are done */
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, op->n_experts * op->n_parts);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        adapt_expert(thread, op, r, unit / op->n_experts, unit % op->n_experts);
    }
}

void llmc_cpu_experts(const llmc_cpu_thread *thread, const llmc_op_experts *op) {
    const llmc_cpu_scratch *scratch = &thread->backend->scratch;
    pass p = {.op = op, .routes = routes_of(op->routes, op->n_rows, op->n_used)};
    plan(thread, &p);
    uint32_t n_slots = op->n_rows * op->n_used;
    size_t fit = scratch->shared_act_bytes / llmc_cpu_rows_bytes(&p.rows);
    uint32_t step = fit < n_slots ? (uint32_t)fit : n_slots;
    for (p.first = 0; p.first < n_slots; p.first += step) {
        if (p.first) llmc_pool_barrier(thread->backend->pool); /* the rows of the pass before are still being read */
        p.n = llmc_cpu_min(step, n_slots - p.first);
        llmc_cpu_rows_place(&p.rows, scratch->shared_act, p.n);
        prepare(thread, &p);
        multiply(thread, &p);
    }
    if (op->lora) adapt(thread, op, &p.routes);
}

/* --- the sum --- */

void llmc_cpu_combine(const llmc_cpu_thread *thread, const llmc_op_combine *op) {
    routes r = routes_of(op->routes, op->n_rows, op->n_used);
    uint32_t begin, end;
    llmc_cpu_share(thread, op->n_rows, &begin, &end);
    for (uint32_t row = begin; row < end; row++) {
        const uint32_t *slots = r.slot_of + (size_t)row * op->n_used;
        const float *weight = r.weight + (size_t)row * op->n_used;
        float *dst = op->dst + (size_t)row * op->width;
        if (op->set) memset(dst, 0, op->width * sizeof *dst);
        for (uint32_t i = 0; i < op->n_used; i++) {
            const float *src = op->src + (size_t)slots[i] * op->width;
            float factor = (op->plain ? 1 : weight[i]) * op->scale;
            for (uint32_t j = 0; j < op->width; j++) dst[j] = dst[j] + src[j] * factor;
        }
    }
}
