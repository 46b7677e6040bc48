/* What adapters add to a product: of every row whose sequence has one, input . a^T, times the scale, and that . b^T. The kernels
 * are those of F32 products that make the same bits on every tier, and a row's sums do not depend on who else is there.
 * Threads share the rows and then the tiles of a product; of experts each is done by one thread (experts.c). */
#include "backend/cpu/backend.h"
#include "kernels/cpu/pack.h"

enum { BLOCK_ROWS = 16 /* of the input, that a thread prepares at a time */ };

/* Consecutive rows of a product with the same adapter. */
typedef struct run {
    uint32_t first, n;
    const llmc_lora *lora;
    float scale;
    const llmc_lora_pair *pair[LLMC_MATMUL_PARTS]; /* NULL: nothing for this part */
} run;

typedef struct cursor {
    uint32_t segment, row; /* row: of the product, the segment's first */
} cursor;

/* Rows of all runs that fit into the shared memory: numbers [begin, end) among them. What is made of each part's input lies in
 * a block of its own, a run's rows as far apart as products of its rank want them. */
typedef struct pass {
    const llmc_op_matmul *op;
    uint32_t begin, end;
    size_t slot_bytes; /* of a row, of the largest rank */
    uint8_t *memory;
} pass;

static uint32_t rows_of(const llmc_batch *batch, const llmc_op_matmul *op, const llmc_segment *segment, uint32_t row) {
    uint32_t n = 0;
    if (op->lora == LLMC_LORA_TOKENS) return segment->n_tokens;
    while (row + n < batch->n_outputs && batch->output_rows[row + n] < segment->first_token + segment->n_tokens) n++;
    return n;
}

static int find_pairs(const llmc_op_matmul *op, const llmc_lora *lora, run *r) {
    int found = 0;
    for (uint32_t i = 0; lora && i < op->n_parts; i++) {
        r->pair[i] = llmc_lora_find(lora, op->part[i].weight);
        found |= r->pair[i] != NULL;
    }
    return found;
}

static int next_run(const llmc_batch *batch, const llmc_op_matmul *op, cursor *at, run *r) {
    *r = (run){0};
    for (; at->segment < batch->n_segments; at->segment++) {
        const llmc_segment *segment = &batch->segments[at->segment];
        if (r->n > 0 && (segment->lora != r->lora || segment->lora_scale != r->scale)) return 1;
        uint32_t n = rows_of(batch, op, segment, at->row);
        if (n > 0 && r->n == 0 && find_pairs(op, segment->lora, r)) {
            r->first = at->row;
            r->lora = segment->lora;
            r->scale = segment->lora_scale;
        }
        if (r->lora) r->n += n;
        at->row += n;
    }
    return r->n > 0;
}

static size_t row_bytes(const llmc_lora_pair *pair) {
    return llmc_act_row_bytes(LLMC_ACT_F32, pair->a->packed.rows);
}

/* How many rows the runs have, and the bytes of a row of the largest rank. */
static uint32_t measure(const llmc_batch *batch, const llmc_op_matmul *op, size_t *slot_bytes) {
    cursor at = {0};
    run r;
    uint32_t n = 0;
    *slot_bytes = 0;
    while (next_run(batch, op, &at, &r)) {
        n += r.n;
        for (uint32_t i = 0; i < op->n_parts; i++) {
            if (r.pair[i] && row_bytes(r.pair[i]) > *slot_bytes) *slot_bytes = row_bytes(r.pair[i]);
        }
    }
    return n;
}

/* Of a run whose first row has the given number, those within [begin, end). */
static run part_of_run(run r, uint32_t number, uint32_t begin, uint32_t end, uint32_t *first_number) {
    uint32_t skip = number < begin ? llmc_cpu_min(begin - number, r.n) : 0;
    uint32_t left = end > number + skip ? end - number - skip : 0;
    r.first += skip;
    r.n = llmc_cpu_min(r.n - skip, left);
    *first_number = number + skip;
    return r;
}

/* Parts that are rows of one tensor have one a, whose product serves them all: the first part's with the same. */
static uint32_t first_with_same_a(const run *r, uint32_t part) {
    uint32_t i = 0;
    while (!r->pair[i] || r->pair[i]->a != r->pair[part]->a) i++;
    return i;
}

/* The product of a row by its number, in the block of a part; of the run that begins at first_number. */
static uint8_t *reduced_at(const pass *p, const run *r, uint32_t part, uint32_t first_number, uint32_t number) {
    size_t block = (size_t)(p->end - p->begin) * p->slot_bytes;
    return p->memory + part * block + (first_number - p->begin) * p->slot_bytes +
           (number - first_number) * row_bytes(r->pair[part]);
}

/* ---- input . a^T * scale ---- */

static void reduce_part(const llmc_cpu_thread *thread, const llmc_lora_pair *pair, uint32_t n, float scale, uint8_t *to) {
    const llmc_packed *a = &pair->a->packed;
    size_t stride = row_bytes(pair) / sizeof(float);
    float *dst = (float *)(void *)to;
    scale *= pair->scale;
    llmc_matmul_of(&thread->backend->exact, a->type)(a, thread->act, n, 0, llmc_cpu_tiles(a), dst, stride, NULL, 0,
                                                     thread->tile);
    for (uint32_t row = 0; row < n; row++) {
        for (uint32_t i = 0; i < a->rows; i++) dst[row * stride + i] *= scale;
    }
}

static void reduce_run(const llmc_cpu_thread *thread, const pass *p, const run *whole, uint32_t first_number, const run *mine,
                       uint32_t number) {
    const llmc_op_matmul *op = p->op;
    size_t bytes = llmc_act_row_bytes(LLMC_ACT_F32, op->width), fit = thread->backend->scratch.private_act_bytes / bytes;
    uint32_t step = fit < BLOCK_ROWS ? (uint32_t)fit : BLOCK_ROWS;
    for (uint32_t done = 0; done < mine->n; done += step) {
        uint32_t n = llmc_cpu_min(step, mine->n - done);
        for (uint32_t i = 0; i < n; i++) {
            const float *x = llmc_cpu_transform(thread, op, mine->first + done + i);
            thread->backend->exact.quantize(LLMC_ACT_F32, x, op->width, thread->act + i * bytes);
        }
        for (uint32_t i = 0; i < op->n_parts; i++) {
            if (!whole->pair[i] || first_with_same_a(whole, i) != i) continue;
            reduce_part(thread, whole->pair[i], n, mine->scale, reduced_at(p, whole, i, first_number, number + done));
        }
    }
}

static void reduce(const llmc_cpu_thread *thread, const pass *p) {
    uint32_t begin, end, number = 0, first_number, my_number;
    llmc_cpu_share(thread, p->end - p->begin, &begin, &end);
    cursor at = {0};
    for (run r; next_run(thread->batch, p->op, &at, &r); number += r.n) {
        run whole = part_of_run(r, number, p->begin, p->end, &first_number);
        run mine = part_of_run(whole, first_number, p->begin + begin, p->begin + end, &my_number);
        if (mine.n > 0) reduce_run(thread, p, &whole, first_number, &mine, my_number);
    }
}

/* ---- and that . b^T ---- */

static void expand_part(const llmc_cpu_thread *thread, const pass *p, const run *r, uint32_t part, uint32_t first_number) {
    const llmc_packed *b = &r->pair[part]->b->packed;
    const uint8_t *rows = reduced_at(p, r, first_with_same_a(r, part), first_number, first_number);
    uint32_t begin, end;
    llmc_cpu_share(thread, llmc_cpu_tiles(b), &begin, &end);
    if (begin == end) return;
    llmc_matmul_of(&thread->backend->exact, b->type)(
        b, rows, r->n, begin, end, p->op->part[part].dst + (size_t)r->first * b->rows, b->rows, NULL, 1, thread->tile);
}

static void expand(const llmc_cpu_thread *thread, const pass *p) {
    uint32_t number = 0, first_number;
    cursor at = {0};
    for (run r; next_run(thread->batch, p->op, &at, &r); number += r.n) {
        run here = part_of_run(r, number, p->begin, p->end, &first_number);
        for (uint32_t i = 0; here.n > 0 && i < p->op->n_parts; i++) {
            if (here.pair[i]) expand_part(thread, p, &here, i, first_number);
        }
    }
}

void llmc_cpu_lora(const llmc_cpu_thread *thread, const llmc_op_matmul *op) {
    const llmc_cpu_scratch *scratch = &thread->backend->scratch;
    pass p = {.op = op, .memory = scratch->shared_act};
    uint32_t n = measure(thread->batch, op, &p.slot_bytes);
    if (n == 0) return;
    size_t fit = scratch->shared_act_bytes / (op->n_parts * p.slot_bytes);
    uint32_t step = fit < n ? (uint32_t)fit : n;
    for (p.begin = 0; p.begin < n; p.begin = p.end) {
        p.end = p.begin + llmc_cpu_min(step, n - p.begin);
        llmc_pool_barrier(thread->backend->pool); /* the product is done, and its rows in the shared memory are read no more */
        reduce(thread, &p);
        llmc_pool_barrier(thread->backend->pool);
        expand(thread, &p);
    }
}

/* ---- Both, by one thread ---- */

uint32_t llmc_cpu_lora_rows(const llmc_cpu_thread *thread, const llmc_lora_pair *pair, uint32_t width) {
    size_t fit = thread->backend->scratch.private_act_bytes / (llmc_act_row_bytes(LLMC_ACT_F32, width) + row_bytes(pair));
    return fit < BLOCK_ROWS ? (uint32_t)fit : BLOCK_ROWS;
}

void llmc_cpu_lora_add(const llmc_cpu_thread *thread, const llmc_lora_pair *pair, float scale, uint32_t width, uint32_t n,
                       float *dst) {
    const llmc_packed *b = &pair->b->packed;
    uint8_t *reduced = thread->act + n * llmc_act_row_bytes(LLMC_ACT_F32, width);
    reduce_part(thread, pair, n, scale, reduced);
    llmc_matmul_of(&thread->backend->exact, b->type)(b, reduced, n, 0, llmc_cpu_tiles(b), dst, b->rows, NULL, 1, thread->tile);
}

/* ---- Embeddings ---- */

void llmc_cpu_lora_embed(const llmc_cpu_thread *thread, uint32_t token, float *dst) {
    const llmc_segment *segment = llmc_cpu_segment_of(thread->batch, token);
    const llmc_lora_pair *pair = segment->lora ? segment->lora->embedding : NULL;
    if (!pair) return;
    const llmc_packed *b = &pair->b->packed;
    float *row = (float *)(void *)thread->act;
    llmc_unpack_row(&pair->a->packed, (uint32_t)thread->batch->tokens[token], row);
    for (uint32_t i = 0; i < b->cols; i++) row[i] *= segment->lora_scale * pair->scale;
    llmc_matmul_of(&thread->backend->exact, b->type)(b, row, 1, 0, llmc_cpu_tiles(b), dst, b->rows, NULL, 1, thread->tile);
}

/* ---- Checks ---- */

static int is_float(const llmc_packed *packed) {
    return packed->type == LLMC_PACK_F32 || packed->type == LLMC_PACK_F16 || packed->type == LLMC_PACK_BF16;
}

static const char *pair_fault(const llmc_lora_pair *pair, uint32_t a_rows, uint32_t a_cols, uint32_t b_rows) {
    const llmc_packed *a = &pair->a->packed, *b = &pair->b->packed;
    if (a->rows != a_rows || a->cols != a_cols || b->rows != b_rows) return "an adapter does not fit its weight";
    if (b->cols == 0 || b->cols > LLMC_LORA_MAX_RANK) return "an adapter's rank is 0 or too large";
    return is_float(a) && is_float(b) ? NULL : "an adapter's matrix is of another type than floats";
}

static const char *product_fault(const llmc_lora_pair *pair, const llmc_packed *weight) {
    if (!pair) return NULL;
    if (!pair->a || !pair->b) return "a matrix of an adapter is missing";
    return pair_fault(pair, pair->b->packed.cols, weight->cols, weight->rows);
}

static const char *embedding_fault(const llmc_lora_pair *pair, const llmc_packed *weight) {
    if (!pair) return NULL;
    if (!pair->a || !pair->b) return "a matrix of an adapter is missing";
    return pair_fault(pair, weight->rows, pair->b->packed.cols, weight->cols);
}

static const char *rows_fault(const llmc_batch *batch, int lora, uint32_t n_rows) {
    if (lora != LLMC_LORA_TOKENS && lora != LLMC_LORA_OUTPUTS) return "unknown kind of rows for adapters";
    return n_rows == (lora == LLMC_LORA_TOKENS ? batch->n_tokens : batch->n_outputs) ? NULL : "rows are not the adapters'";
}

/* Of every adapter of the step. */
static const char *weight_fault(const llmc_batch *batch, const llmc_weight *weight, int embeds) {
    const char *fault = NULL;
    for (uint32_t i = 0; i < batch->n_segments && !fault; i++) {
        const llmc_lora *lora = batch->segments[i].lora;
        if (!lora || (i > 0 && lora == batch->segments[i - 1].lora)) continue;
        fault = embeds ? embedding_fault(lora->embedding, &weight->packed)
                       : product_fault(llmc_lora_find(lora, weight), &weight->packed);
    }
    return fault;
}

static const char *matmul_fault(const llmc_batch *batch, const llmc_op_matmul *op) {
    const char *fault = rows_fault(batch, op->lora, op->n_rows);
    for (uint32_t i = 0; i < op->n_parts && !fault; i++) fault = weight_fault(batch, op->part[i].weight, 0);
    return fault;
}

static const char *experts_fault(const llmc_batch *batch, const llmc_op_experts *op) {
    const char *fault = rows_fault(batch, op->lora, op->n_rows);
    for (uint32_t i = 0; i < op->n_parts * op->n_experts && !fault; i++) {
        fault = weight_fault(batch, op->part[i / op->n_experts].weights[i % op->n_experts], 0);
    }
    return fault;
}

const char *llmc_cpu_lora_fault(const llmc_batch *batch, const llmc_op *op) {
    if (op->kind == LLMC_OP_EMBED && op->u.embed.lora) return weight_fault(batch, op->u.embed.weight, 1);
    if (op->kind == LLMC_OP_MATMUL && op->u.matmul.lora) return matmul_fault(batch, &op->u.matmul);
    return op->kind == LLMC_OP_EXPERTS && op->u.experts.lora ? experts_fault(batch, &op->u.experts) : NULL;
}
