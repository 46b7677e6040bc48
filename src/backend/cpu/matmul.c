/* The matmul operation: its rows are transformed and quantized once, then the tiles of all parts are shared by the threads. */
#include "backend/cpu/backend.h"

/* Bytes of weights that a unit of work takes, so that they stay in a core's L2 while all rows pass; and of rows at a time,
 * so that these do too. A unit is at least two tiles, what a kernel takes at once. */
enum { UNIT_BYTES = 256 << 10, ROW_BLOCK_BYTES = 192 << 10, UNITS_PER_THREAD = 8 };

/* Rows at a time at least, although they do not stay in L2: kernels of bfloat16 prepare weights once for all of them, and float
 * weights, the largest, are read once for all. */
static const uint32_t least_rows[LLMC_ACT_FORMS] = {[LLMC_ACT_F32] = 48, [LLMC_ACT_BF16] = 128, [LLMC_ACT_BF16_X2] = 128};

/* One pass: rows [first, first + n) of the operation in every form that its parts multiply with. */
typedef struct pass {
    const llmc_op_matmul *op;
    uint32_t first, n;
    llmc_cpu_rows rows;
    uint32_t unit_tiles[LLMC_MATMUL_PARTS];
    uint32_t n_units[LLMC_MATMUL_PARTS];
    uint8_t by_blas[LLMC_MATMUL_PARTS];
} pass;

void llmc_cpu_rows_add(llmc_cpu_rows *rows, llmc_act_form form, uint32_t width) {
    rows->row_bytes[form] = llmc_act_row_bytes(form, width);
}

size_t llmc_cpu_rows_bytes(const llmc_cpu_rows *rows) {
    size_t sum = 0;
    for (int form = 0; form < LLMC_ACT_FORMS; form++) sum += rows->row_bytes[form];
    return sum;
}

void llmc_cpu_rows_place(llmc_cpu_rows *rows, uint8_t *memory, uint32_t n_rows) {
    for (int form = 0; form < LLMC_ACT_FORMS; form++) {
        if (!rows->row_bytes[form]) continue;
        rows->act[form] = memory;
        memory += rows->row_bytes[form] * n_rows;
    }
}

void llmc_cpu_rows_quantize(const llmc_cpu_thread *thread, const llmc_cpu_rows *rows, const float *x, uint32_t width,
                            uint32_t row) {
    for (int form = 0; form < LLMC_ACT_FORMS; form++) {
        if (!rows->act[form]) continue;
        thread->backend->matmul.quantize((llmc_act_form)form, x, width, rows->act[form] + row * rows->row_bytes[form]);
    }
}

void llmc_cpu_multiply(const llmc_cpu_thread *thread, const llmc_cpu_product *p) {
    const llmc_packed *packed = p->packed;
    llmc_matmul_function multiply_rows = llmc_matmul_of(&thread->backend->matmul, packed->type);
    llmc_act_form form = llmc_act_form_of(&thread->backend->matmul, packed->type);
    size_t row_bytes = p->rows->row_bytes[form], stride = p->dst_stride ? p->dst_stride : packed->rows;
    uint32_t block = (uint32_t)(ROW_BLOCK_BYTES / row_bytes) & ~15u;
    if (block == 0) block = 16;
    if (block < least_rows[form]) block = least_rows[form];
    for (uint32_t row = 0; row < p->n; row += block) {
        multiply_rows(packed, p->rows->act[form] + (p->first + row) * row_bytes, llmc_cpu_min(block, p->n - row), p->tile_begin,
                      p->tile_end, p->dst + row * stride, stride, p->bias, p->accumulate, thread->tile);
    }
}

/* Units of about equal bytes over all the parts. */
static uint32_t plan_units(const llmc_cpu_thread *thread, pass *p) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < p->op->n_parts; i++) {
        const llmc_packed *packed = &p->op->part[i].weight->packed;
        bytes += llmc_cpu_tiles(packed) * (uint64_t)packed->tile_bytes;
    }
    uint64_t target = bytes / ((uint64_t)thread->n_threads * UNITS_PER_THREAD);
    if (target > UNIT_BYTES) target = UNIT_BYTES;
    uint32_t total = 0;
    for (uint32_t i = 0; i < p->op->n_parts; i++) {
        const llmc_packed *packed = &p->op->part[i].weight->packed;
        p->unit_tiles[i] = llmc_cpu_blas_tiles(thread, packed, p->n);
        p->by_blas[i] = p->unit_tiles[i] != 0;
        if (!p->by_blas[i]) p->unit_tiles[i] = 2 * (uint32_t)(target / packed->tile_bytes / 2);
        if (p->unit_tiles[i] == 0) p->unit_tiles[i] = 2;
        p->n_units[i] = (llmc_cpu_tiles(packed) + p->unit_tiles[i] - 1) / p->unit_tiles[i];
        total += p->n_units[i];
    }
    return total;
}

static void plan_forms(const llmc_cpu_thread *thread, pass *p) {
    for (uint32_t i = 0; i < p->op->n_parts; i++) {
        int32_t type = p->op->part[i].weight->packed.type;
        llmc_cpu_rows_add(&p->rows, llmc_act_form_of(&thread->backend->matmul, type), p->op->width);
    }
}

void llmc_cpu_activate(const llmc_cpu_thread *thread, int activation, float limit, const float *gate, const float *up,
                       uint32_t n) {
    const llmc_activation_kernels *kernels = &thread->backend->activation;
    if (limit > 0) kernels->swiglu_limited(gate, up, limit, n, thread->row);
    else kernels->of[activation](gate, up, n, thread->row);
}

const float *llmc_cpu_transform(const llmc_cpu_thread *thread, const llmc_op_matmul *op, uint32_t row) {
    const llmc_norm_kernels *kernels = &thread->backend->norm;
    const float *src = op->src + (size_t)row * op->width;
    if (op->input == LLMC_INPUT_PLAIN) return src;
    if (op->input == LLMC_INPUT_RMS_NORM) {
        kernels->rms_norm(src, op->norm, op->width, op->eps, thread->row);
    } else if (op->input == LLMC_INPUT_LAYER_NORM) {
        kernels->layer_norm(src, op->norm, op->norm_bias, op->width, op->eps, thread->row);
    } else if (op->activation == LLMC_XIELU) {
        thread->backend->activation.xielu(src, op->xielu, op->width, thread->row);
    } else {
        const float *up = op->up ? op->up + (size_t)row * op->width : NULL;
        llmc_cpu_activate(thread, op->activation, op->limit, src, up, op->width);
    }
    if (op->input == LLMC_INPUT_ACTIVATION && op->norm)
        kernels->rms_norm(thread->row, op->norm, op->width, op->eps, thread->row);
    return thread->row;
}

static void prepare_rows(const llmc_cpu_thread *thread, const pass *p, uint32_t begin, uint32_t end) {
    for (uint32_t row = begin; row < end; row++) {
        llmc_cpu_rows_quantize(thread, &p->rows, llmc_cpu_transform(thread, p->op, p->first + row), p->op->width, row);
    }
}

static void prepare_shared(const llmc_cpu_thread *thread, const pass *p) {
    uint32_t chunk = p->n >= 16 * (uint32_t)thread->n_threads ? 4 : 1;
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, (p->n + chunk - 1) / chunk);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        prepare_rows(thread, p, unit * chunk, llmc_cpu_min(p->n, (unit + 1) * chunk));
    }
    llmc_pool_barrier(thread->backend->pool);
}

static void multiply_unit(const llmc_cpu_thread *thread, const pass *p, uint32_t part, uint32_t unit) {
    const llmc_packed *packed = &p->op->part[part].weight->packed;
    uint32_t begin = unit * p->unit_tiles[part];
    uint32_t end = llmc_cpu_min(llmc_cpu_tiles(packed), begin + p->unit_tiles[part]);
    float *dst = p->op->part[part].dst + (size_t)p->first * packed->rows;
    if (p->by_blas[part]) {
        llmc_cpu_blas_multiply(thread, packed, (const float *)(const void *)p->rows.act[LLMC_ACT_F32], p->n, begin, end, dst,
                               p->op->part[part].bias, p->op->accumulate);
        return;
    }
    llmc_cpu_product product = {
        .packed = packed, .rows = &p->rows, .n = p->n, .tile_begin = begin, .tile_end = end, .dst = dst};
    product.bias = p->op->part[part].bias;
    product.accumulate = p->op->accumulate;
    llmc_cpu_multiply(thread, &product);
}

static void multiply(const llmc_cpu_thread *thread, pass *p) {
    uint32_t n_units = plan_units(thread, p);
    llmc_pool_loop loop = llmc_pool_loop_begin(thread->backend->pool, thread->index, n_units);
    for (uint32_t unit; llmc_pool_loop_next(&loop, &unit);) {
        uint32_t part = 0;
        while (unit >= p->n_units[part]) unit -= p->n_units[part++];
        multiply_unit(thread, p, part, unit);
    }
}

void llmc_cpu_matmul(const llmc_cpu_thread *thread, const llmc_op_matmul *op) {
    const llmc_cpu_scratch *scratch = &thread->backend->scratch;
    pass p = {.op = op, .n = op->n_rows};
    plan_forms(thread, &p);
    if (op->n_rows == 1 || (op->n_rows <= LLMC_CPU_SMALL_ROWS && (uint64_t)op->n_rows * op->width <= LLMC_CPU_SMALL_ELEMENTS)) {
        llmc_cpu_rows_place(&p.rows, thread->act, p.n);
        prepare_rows(thread, &p, 0, p.n);
        multiply(thread, &p);
        return;
    }
    size_t fit = scratch->shared_act_bytes / llmc_cpu_rows_bytes(&p.rows);
    uint32_t step = fit < op->n_rows ? (uint32_t)fit : op->n_rows;
    for (p.first = 0; p.first < op->n_rows; p.first += step) {
        if (p.first) llmc_pool_barrier(thread->backend->pool); /* the rows of the pass before are still being read */
        p.n = llmc_cpu_min(step, op->n_rows - p.first);
        llmc_cpu_rows_place(&p.rows, scratch->shared_act, p.n);
        prepare_shared(thread, &p);
        multiply(thread, &p);
    }
}
