/* What a device must do so that a model can run on it: hold weights and KV pages, and run a step, which is a list of
 * operations over arrays of floats. The model writes the list once, for every device; a device runs it in order.
 *
 * A `float *` in here is a device address from `alloc`: the model may add offsets to it, but only the device looks behind it.
 * Arrays are row-major; a row belongs to a token of the step. Unless said otherwise sizes are in elements. */
#ifndef LLMC_BACKEND_H
#define LLMC_BACKEND_H

#include "core/alloc.h"
#include "core/error.h"
#include "kernels/activation_kind.h"
#include "kernels/kv_type.h"

typedef struct llmc_backend llmc_backend;
typedef struct llmc_weight llmc_weight;     /* a matrix in the device's own layout, (rows = outputs, cols = inputs) */
typedef struct llmc_kv_store llmc_kv_store; /* the KV rows of one model's layers, in pages of LLMC_PAGE_TOKENS positions */
typedef struct llmc_state_store llmc_state_store; /* the states of one model's recurrent layers, a slot for every sequence */

enum { LLMC_PAGE_TOKENS = 16, LLMC_GROUP_PAGES = 4 /* attention reads positions in groups of so many pages */ };
enum { LLMC_MIN_TAPS = 2, LLMC_MAX_TAPS = 8, LLMC_MAX_DELTA_KEY = 512, LLMC_MAX_CHANNEL_STATE = 256, LLMC_MAX_WKV = 128 };

/* The first page that is read for a token at this position by a layer that sees `window` positions; 0: all. */
static inline uint32_t llmc_window_first_page(uint32_t position, uint32_t window) {
    if (window == 0 || position < window) return 0;
    return (position + 1 - window) / (LLMC_GROUP_PAGES * LLMC_PAGE_TOKENS) * LLMC_GROUP_PAGES;
}
#define LLMC_STATE_ZERO UINT32_MAX /* as the source of a copy: the state before the first token */

/* What a LoRA adapter adds to the products with one weight: scale * b . a. */
typedef struct llmc_lora_pair {
    const llmc_weight *weight;
    const llmc_weight *a; /* (rank, weight's cols) */
    const llmc_weight *b; /* (weight's rows, rank) */
    float scale;
} llmc_lora_pair;

enum { LLMC_LORA_MAX_RANK = 1024 };

typedef struct llmc_lora {
    const llmc_lora_pair *pairs; /* by the weight's address, rising */
    size_t n_pairs;
    /* What it adds to a token's row of embeddings: scale * b . (a's row of the token), a (n_vocab, rank), b (width, rank); NULL:
     * nothing. The same weight may be a product's too, to which this adds nothing. */
    const llmc_lora_pair *embedding;
} llmc_lora;

/* What of the adapter belongs to the weight; NULL: nothing. */
static inline const llmc_lora_pair *llmc_lora_find(const llmc_lora *lora, const llmc_weight *weight) {
    size_t low = 0, high = lora ? lora->n_pairs : 0;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (lora->pairs[middle].weight == weight) return &lora->pairs[middle];
        if ((uintptr_t)lora->pairs[middle].weight < (uintptr_t)weight) low = middle + 1;
        else high = middle;
    }
    return NULL;
}

/* One sequence's share of a step: n_tokens tokens of the step's arrays from first_token on, at consecutive positions. Its pages
 * cover positions 0 .. start + n_tokens - 1. */
typedef struct llmc_segment {
    uint32_t first_token;
    uint32_t n_tokens;
    uint32_t start; /* position of the first of them */
    uint32_t n_pages;
    const uint32_t *pages; /* page of position p is pages[p / LLMC_PAGE_TOKENS] */
    const uint32_t
        *window_pages; /* the same in the store of layers with a window, from the first position on that is still seen
                                     there (its group of 64); NULL: there is none */
    /* Models with recurrent layers only. */
    uint32_t state;          /* slot of the state before the first of them; the step leaves there that after the last */
    uint32_t snapshot_after; /* after so many of them the state also goes to the slot `snapshot`; 0: never */
    uint32_t snapshot;
    const llmc_lora *lora; /* its adapter; NULL: none */
    float lora_scale;
} llmc_segment;

/* What a step computes; host memory, valid during `run`. */
typedef struct llmc_batch {
    uint32_t n_tokens;
    const int32_t *tokens;     /* (n_tokens) ids, each below the vocabulary's size */
    const uint32_t *positions; /* (n_tokens) */
    uint32_t n_segments;
    const llmc_segment *segments; /* in the order of their tokens, covering all of them */
    uint32_t n_outputs;
    const uint32_t *output_rows; /* (n_outputs) indices of tokens whose logits are wanted, rising */
    const uint8_t *types;        /* (n_tokens), which text of a pair a token belongs to; NULL: all 0 */
    int hidden;                  /* for the model: every token's row goes through the last layer and the final norm */
} llmc_batch;

enum {
    LLMC_ROPE_INTERLEAVED = 0 /* pairs (2i, 2i+1): llama */,
    LLMC_ROPE_HALVES = 1 /* pairs (i, i + n_rot/2): NeoX, qwen */,
    LLMC_ROPE_NONE = 2
};
enum { LLMC_NORM_NONE = 0, LLMC_NORM_RMS = 1, LLMC_NORM_LAYER = 2 };
enum {
    LLMC_INPUT_PLAIN = 0,
    LLMC_INPUT_RMS_NORM = LLMC_NORM_RMS,
    LLMC_INPUT_LAYER_NORM = LLMC_NORM_LAYER,
    LLMC_INPUT_ACTIVATION = 3
};
enum { LLMC_GATE_SOFTMAX = 1, LLMC_GATE_SIGMOID = 2, LLMC_GATE_SOFTMAX_OF_CHOSEN = 3 }; /* GGUF's expert_gating_func */
enum { LLMC_MATMUL_PARTS = 3 };
/* Whether adapters take part in a product, and what its rows are. */
enum { LLMC_LORA_NONE = 0, LLMC_LORA_TOKENS = 1, LLMC_LORA_OUTPUTS = 2 };

typedef enum llmc_op_kind {
    LLMC_OP_EMBED,        /* dst (n_tokens, width) = rows of a weight by token id */
    LLMC_OP_ROPE_TABLE,   /* dst (n_tokens, n_rot/2, 2) = scale * cos, scale * sin of position * inv_freq[i] */
    LLMC_OP_MATMUL,       /* dst[p] (rows, weight[p].rows) = or += transform(input) . weight[p]^T + bias[p] */
    LLMC_OP_ROPE_STORE,   /* q: norm, rotate in place; k: norm, rotate, then k and v go to their pages */
    LLMC_OP_ATTENTION,    /* dst (n_tokens, n_heads * head_dim) = softmax(scale * q . k^T) . v over positions <= own */
    LLMC_OP_GATHER,       /* dst (n_outputs, width) = rows output_rows of src */
    LLMC_OP_CONV,         /* dst (n_tokens, n_channels) = gate * act(short convolution of x * times over the sequence) */
    LLMC_OP_SCAN,         /* dst (n_tokens, n_heads * head_dim) = Mamba-2's scan, gated by z */
    LLMC_OP_CHANNEL_SCAN, /* dst (n_tokens, n_channels) = the first Mamba's scan, gated by z */
    LLMC_OP_DECAY,        /* x (rows, n_heads * dim) = exp(a * softplus(x + bias)) */
    LLMC_OP_UNIT,         /* blocks of x brought to length 1 */
    LLMC_OP_DELTA,        /* dst (n_tokens, n_heads * value_dim) = the gated delta rule */
    LLMC_OP_SHIFT,        /* dst (n_outputs, n_tokens, width) = x + (the row before - x) * weight */
    LLMC_OP_WKV,          /* dst (n_tokens, n_heads * dim) = RWKV-7's rule, normed and gated */
    LLMC_OP_GROUP_NORM,   /* dst = groups of src / rms(group) * weight, * silu(gate) */
    LLMC_OP_SIGMOID,      /* dst *= sigmoid(gate), or softplus */
    LLMC_OP_BLOCKS,       /* parts of rows to parts of rows */
    LLMC_OP_NORM,         /* dst (rows, width) = or += scale * norm(src) */
    LLMC_OP_SOFT_CAP,     /* x (rows, width) = cap * tanh(x / cap), or what of x lies from -cap to cap */
    LLMC_OP_ROUTE,        /* the experts of each row and their weights, and the rows of each expert */
    LLMC_OP_EXPERTS,      /* a matmul in which every row has its expert's weights; rows by expert */
    LLMC_OP_COMBINE,      /* dst (rows, width) = or += scale * sum of each row's experts' rows by weight, best expert first */
    LLMC_OP_SPLIT_LATENT, /* keys and values of latent attention, and of each query what turns */
    LLMC_OP_MIX,          /* residual streams out of each other, or corrected by what was made of the first */
    LLMC_OP_LENGTH,       /* x (rows, width) *= |like| / |x| */
    LLMC_OP_SPARSE,       /* x (rows, width) = max(0, x - (mean + factor * deviation)) of its row */
    LLMC_OP_HEADS         /* dst (rows, n_heads, weight rows) = each head's part of src . its own weight^T */
} llmc_op_kind;

enum { LLMC_BY_TOKEN = 0, LLMC_BY_POSITION = 1, LLMC_BY_TYPE = 2 };

typedef struct llmc_op_embed {
    const llmc_weight *weight;
    int by;   /* LLMC_BY_*: which row a token takes; what is not by token is added to dst */
    int lora; /* by token: adapters of segments add to it */
    float *dst;
} llmc_op_embed;

typedef struct llmc_op_rope_table {
    const double *inv_freq; /* host memory, (n_rot / 2) radians a position */
    uint32_t n_rot;
    float scale;
    float *dst;
} llmc_op_rope_table;

typedef struct llmc_op_matmul {
    uint32_t n_rows; /* tokens */
    uint32_t width;  /* input elements a row = every weight's cols */
    int input;       /* LLMC_INPUT_*: plain src; a norm of src; activation(src, up) */
    int activation;  /* LLMC_SWIGLU, ...: ACTIVATION */
    const float *src;
    const float *up;         /* of gated activations */
    const llmc_xielu *xielu; /* LLMC_XIELU: host memory */
    float limit;             /* 0, or of SWIGLU silu(gate) goes up to it, and up from -limit to it */
    const float *norm;       /* of norms: (width); ACTIVATION: NULL, or of an RMS norm behind it */
    const float *norm_bias;  /* LAYER_NORM: (width) or NULL */
    float eps;
    uint32_t n_parts;
    struct {
        const llmc_weight *weight;
        const float *bias; /* (weight rows) or NULL */
        float *dst;
    } part[LLMC_MATMUL_PARTS];
    int accumulate; /* dst += instead of dst = */
    /* LLMC_LORA_*: then, for the rows of segments with an adapter, dst += transform(input) . a^T * (lora_scale * scale) . b^T, in F32 and
     * with the same bits on every tier. */
    int lora;
} llmc_op_matmul;

typedef struct llmc_op_rope_store {
    llmc_kv_store *kv;
    int window_pages; /* pages are the segments' window_pages; and so in attention */
    uint32_t layer;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_dim;
    uint32_t n_rot;      /* leading dimensions of a head that turn; 0: none */
    int rope;            /* LLMC_ROPE_* */
    const float *table;  /* from LLMC_OP_ROPE_TABLE */
    float *q;            /* (n_tokens, n_heads * head_dim), in place */
    const float *k;      /* (n_tokens, n_kv_heads * head_dim); NULL: nothing is stored */
    const float *v;      /* (n_tokens, n_kv_heads * head_dim) */
    const float *q_norm; /* (head_dim), the weight of a norm of each head, or NULL */
    const float *k_norm;
    int head_norm;   /* LLMC_NORM_* of it */
    int norm_each;   /* q_norm is (n_heads, head_dim) and k_norm (n_kv_heads, head_dim) */
    int norm_turned; /* after the head turned, not before */
    float eps;
    float temperature_scale;    /* q *= log((position + offset) / floor + 1) * scale + 1, the quotient whole */
    uint32_t temperature_floor; /* 0: no such factor */
    uint32_t temperature_offset;
} llmc_op_rope_store;

typedef struct llmc_op_attention {
    const llmc_kv_store *kv;
    int window_pages;
    uint32_t layer;
    uint32_t n_heads;
    uint32_t n_kv_heads; /* head h reads KV head h / (n_heads / n_kv_heads) */
    uint32_t head_dim;
    float scale;
    float soft_cap; /* 0, or scores are soft_cap * tanh(score / soft_cap) */
    uint32_t
        window; /* 0, or so many positions are seen, the last: the own one among them; bidirectional: half of it to each side */
    int chunks; /* the window does not slide: positions from the last multiple of it are seen */
    /* 0, or a score falls by a slope a position of distance (ALiBi, Press et al. 2022). Of the first n heads, n the largest power
     * of 2 that there are, head h has the slope 2^(-max_alibi_bias / n * (h + 1)); the others stand between them. */
    float max_alibi_bias;
    const float *sinks; /* (n_heads) a score more for each head, without a value; or NULL */
    const float *q;
    float *dst;
    int bidirectional; /* a token sees all positions of its segment, also those behind it */
} llmc_op_attention;

typedef struct llmc_op_gather {
    uint32_t width;
    const float *src;
    float *dst;
} llmc_op_gather;

/* Where in every slot of a state store a layer's state lies. */
typedef struct llmc_state_place {
    llmc_state_store *store;
    size_t offset; /* floats */
} llmc_state_place;

typedef struct llmc_op_conv {
    llmc_state_place state; /* (n_taps - 1, n_channels): the last inputs, oldest first */
    uint32_t n_channels;
    uint32_t n_taps;
    uint32_t row;        /* floats from a token's x, times and gate to the next one's */
    const float *x;      /* (n_channels) */
    const float *times;  /* the input is x * times; NULL: x */
    const float *gate;   /* NULL: ones */
    const float *weight; /* (n_channels, n_taps), the last tap for the token itself */
    const float *bias;   /* (n_channels) or NULL */
    int silu;            /* silu of the sum, before the gate */
    float *dst;
    uint32_t dst_row; /* 0: n_channels */
} llmc_op_conv;

typedef struct llmc_op_scan {
    llmc_state_place state; /* (n_heads, state_size, head_dim) */
    uint32_t n_heads;
    uint32_t head_dim;
    uint32_t state_size;
    uint32_t n_groups;                     /* head h reads group h / (n_heads / n_groups) */
    const float *x, *z;                    /* (n_heads * head_dim) */
    const float *b, *c;                    /* (n_groups * state_size) */
    const float *dt;                       /* (n_heads) */
    uint32_t x_row, z_row, bc_row, dt_row; /* floats from a token's to the next one's */
    const float *dt_bias;                  /* (n_heads), and so are a and d */
    const float *a;                        /* negative */
    const float *d;
    float *dst;
} llmc_op_scan;

typedef struct llmc_op_channel_scan {
    llmc_state_place state; /* (state_size, n_channels) */
    uint32_t n_channels;
    uint32_t state_size;
    const float *x, *z, *dt; /* (n_channels) */
    const float *b, *c;      /* (state_size) */
    uint32_t x_row, z_row, bc_row, dt_row;
    const float *dt_bias; /* (n_channels), and so is d */
    const float *a;       /* (n_channels, state_size), negative */
    const float *d;
    float *dst;
} llmc_op_channel_scan;

typedef struct llmc_op_decay {
    uint32_t n_rows;
    uint32_t n_heads;
    uint32_t dim;
    const float *bias; /* (n_heads * dim) */
    const float *a;    /* (n_heads), negative */
    float *x;
} llmc_op_decay;

typedef struct llmc_op_unit {
    uint32_t n_rows;
    uint32_t n_blocks;
    uint32_t block;
    uint32_t row; /* floats from a row's first block to the next one's */
    float eps;    /* added to the squared length */
    float *x;
} llmc_op_unit;

typedef struct llmc_op_delta {
    llmc_state_place state; /* (n_heads, key_dim, value_dim) */
    uint32_t n_heads;       /* of values */
    uint32_t n_key_heads;
    uint32_t key_dim;
    uint32_t value_dim;
    int grouped;          /* head h reads key head h / (n_heads / n_key_heads); else h % n_key_heads */
    const float *qkv;     /* (n_tokens, 2 * n_key_heads * key_dim + n_heads * value_dim) */
    const float *beta;    /* (n_tokens, n_heads) */
    const float *decay;   /* (n_tokens, n_heads * key_dim), of LLMC_OP_DECAY; NULL: the next three give one for each head */
    const float *alpha;   /* (n_tokens, n_heads) */
    const float *dt_bias; /* (n_heads) */
    const float *a;       /* (n_heads), negative */
    float *dst;
} llmc_op_delta;

typedef struct llmc_op_shift {
    llmc_state_place state; /* (width): the last row */
    uint32_t width;
    uint32_t n_outputs;
    const float *x;      /* (n_tokens, width) */
    const float *weight; /* (n_outputs, width) */
    float *dst;
} llmc_op_shift;

/* A head's k is brought to length 1 times removal, and to k + (rate - 1) * k * replacement; decay and rate go through sigmoids
 * first: kernels/cpu/recurrent.h. */
typedef struct llmc_op_wkv {
    llmc_state_place state; /* (n_heads, dim, dim) */
    uint32_t n_heads;
    uint32_t dim;
    const float *r, *decay, *k, *v, *rate, *gate; /* (n_tokens, n_heads * dim), and so are the next */
    const float *first, *mix;                     /* v += (first - v) * sigmoid(mix); NULL: v as it is */
    const float *removal, *replacement, *bonus;   /* (n_heads * dim), and so are the next */
    const float *norm, *norm_bias;
    float *dst;
} llmc_op_wkv;

typedef struct llmc_op_group_norm {
    uint32_t n_rows; /* tokens */
    uint32_t n_groups;
    uint32_t width;   /* of a group */
    const float *src; /* (n_rows, n_groups * width), and so are gate and dst; dst may be src */
    const float *weight;
    int shared_weight; /* (width) for every group; else (n_groups * width) */
    const float *gate; /* NULL: none */
    float eps;
    float *dst;
} llmc_op_group_norm;

typedef struct llmc_op_sigmoid {
    uint32_t n_rows;
    uint32_t n_blocks;
    uint32_t block;
    const float *gate;
    int softplus;       /* dst *= log(1 + exp(gate)) */
    int one_gate;       /* of a block: gate is a number, not (block) */
    uint32_t gate_row;  /* floats from a row's gate to the next one's */
    uint32_t gate_step; /* and from a block's to the next one's */
    int set;            /* dst = sigmoid(gate), of which gate may be dst; not dst *= */
    float *dst;         /* (n_rows, n_blocks * block) */
} llmc_op_sigmoid;

typedef struct llmc_op_blocks {
    uint32_t n_rows;
    uint32_t n_blocks;
    uint32_t block;
    uint32_t src_row;  /* floats from a row to the next */
    uint32_t src_step; /* and from a block to the next */
    uint32_t dst_row;
    uint32_t dst_step;
    const float *src;
    float *dst;
} llmc_op_blocks;
typedef struct llmc_op_norm {
    uint32_t n_rows;
    uint32_t width;
    int norm;            /* LLMC_NORM_* */
    const float *weight; /* (width); NONE: NULL or what src is multiplied by */
    const float *bias;   /* LAYER: (width) or NULL */
    float eps;
    float scale;
    const float *factor; /* NULL, or a number on the device that multiplies too */
    int accumulate;
    const float *src;
    float *dst; /* may be src */
} llmc_op_norm;

typedef struct llmc_op_soft_cap {
    uint32_t n_rows;
    uint32_t width;
    float cap;
    int hard; /* x outside becomes -cap or cap, the rest stays */
    float *x;
} llmc_op_soft_cap;

/* What ROUTE makes of a step and EXPERTS and COMBINE read. A slot is a row with one of its experts; slots are in the order of
 * experts, and of rows for each. The device's own layout, in llmc_routes_floats(...) floats. */
typedef struct llmc_op_route {
    uint32_t n_rows;
    uint32_t n_experts;
    uint32_t n_used;
    int gating;        /* LLMC_GATE_* */
    int normalize;     /* weights of a row sum up to 1 */
    float scale;       /* of all weights */
    uint32_t n_groups; /* > 1: experts are chosen within the best n_groups_used groups of n_experts / n_groups */
    uint32_t n_groups_used;
    const float *logits;    /* (n_rows, n_experts) */
    const float *selection; /* (n_experts) added for the choice, not for the weights; or NULL */
    const float *factors;   /* (n_experts) of the weights, once these are made; or NULL */
    float *routes;
} llmc_op_route;

static inline size_t llmc_routes_floats(size_t n_rows, size_t n_experts, size_t n_used) {
    return 3 * n_rows * n_used + n_experts + 1;
}

typedef struct llmc_op_experts {
    uint32_t n_rows; /* of the step */
    uint32_t n_experts;
    uint32_t n_used;
    uint32_t width;
    int input; /* LLMC_INPUT_PLAIN: src (n_rows, width); _ACTIVATION: of src and up (slots, width) */
    int activation;
    float limit;  /* as in matmul */
    int weighted; /* PLAIN: a slot reads its row times its weight */
    const float *src;
    const float *up;
    const float *routes;
    uint32_t n_parts;
    struct {
        llmc_weight *const *weights; /* (n_experts), all of one type and shape; an adapter has a pair for all or for none */
        const float *bias;           /* (n_experts, weight rows) or NULL */
        float *dst;                  /* (slots, weight rows) */
    } part[LLMC_MATMUL_PARTS];
    int lora; /* as of a matmul; what the step's rows are */
} llmc_op_experts;

typedef struct llmc_op_combine {
    int set;   /* dst =, not dst += */
    int plain; /* every weight counts as 1 */
    uint32_t n_rows;
    uint32_t n_experts;
    uint32_t n_used;
    uint32_t width;
    float scale;
    const float *routes;
    const float *src; /* (slots, width) */
    float *dst;
} llmc_op_combine;

/* head_dim = n_rot + rank, in this order. */
typedef struct llmc_op_split_latent {
    uint32_t n_rows;
    uint32_t n_heads;
    uint32_t rank;
    uint32_t n_rot;
    uint32_t key_length; /* of a head in `heads`: its last n_rot turn */
    const float *norm;   /* (rank) RMS norm of the latent vector */
    float eps;
    const float *kv;    /* (n_rows, rank + n_rot): the latent vector, then what turns */
    const float *heads; /* (n_rows, n_heads, key_length) */
    float *q;           /* (n_rows, n_heads, head_dim): only what turns is written */
    float *k, *v;       /* (n_rows, head_dim); v ends in zeros */
} llmc_op_split_latent;

typedef struct llmc_op_heads {
    uint32_t n_rows;
    uint32_t n_heads;
    uint32_t width;      /* of a head's input */
    uint32_t src_stride; /* from head to head; rows are n_heads times that apart */
    uint32_t dst_stride;
    llmc_weight *const *weights; /* (n_heads), all of one type and shape */
    const float *src;
    float *dst;
} llmc_op_heads;

typedef struct llmc_op_mix {
    uint32_t n_rows;
    uint32_t width;
    uint32_t n;         /* streams */
    const float *src;   /* (n, n_rows, width) */
    const float *fresh; /* NULL: dst_i = src_i + sum_j coefs_ij src_j; (n_rows, width): src_i + (fresh - src_0) (1 + coefs_i) */
    const float *coefs; /* (n_rows, n, n); with fresh (n_rows, n) */
    float *dst;         /* as src, and not src */
} llmc_op_mix;

typedef struct llmc_op_length {
    uint32_t n_rows;
    uint32_t width;
    const float *like;
    float *x;
} llmc_op_length;

typedef struct llmc_op_sparse {
    uint32_t n_rows;
    uint32_t width;
    float factor;
    float *x;
} llmc_op_sparse;

typedef struct llmc_op {
    llmc_op_kind kind;
    union {
        llmc_op_embed embed;
        llmc_op_rope_table rope_table;
        llmc_op_matmul matmul;
        llmc_op_rope_store rope_store;
        llmc_op_attention attention;
        llmc_op_gather gather;
        llmc_op_conv conv;
        llmc_op_scan scan;
        llmc_op_channel_scan channel_scan;
        llmc_op_decay decay;
        llmc_op_unit unit;
        llmc_op_shift shift;
        llmc_op_wkv wkv;
        llmc_op_delta delta;
        llmc_op_group_norm group_norm;
        llmc_op_sigmoid sigmoid;
        llmc_op_blocks blocks;
        llmc_op_norm norm;
        llmc_op_soft_cap soft_cap;
        llmc_op_route route;
        llmc_op_experts experts;
        llmc_op_combine combine;
        llmc_op_split_latent split_latent;
        llmc_op_heads heads;
        llmc_op_mix mix;
        llmc_op_length length;
        llmc_op_sparse sparse;
    } u;
} llmc_op;

typedef struct llmc_kv_layer {
    uint16_t n_kv_heads, head_dim;
} llmc_kv_layer;

typedef struct llmc_kv_shape {
    uint32_t n_pages;
    uint32_t n_layers;
    uint32_t n_kv_heads;
    uint32_t head_dim;
    int type;                    /* LLMC_KV_* */
    const llmc_kv_layer *layers; /* (n_layers) where they differ, read during the call; NULL: all as above */
} llmc_kv_shape;

typedef struct llmc_state_shape {
    uint32_t n_slots;
    size_t slot_floats; /* of all layers, a multiple of 16 */
} llmc_state_shape;

/* A weight and the tensor that its rows come from. */
typedef struct llmc_weight_source {
    llmc_weight *weight;
    const void *tensor; /* for read */
    uint32_t first_row; /* of the tensor: the weight's row 0 */
} llmc_weight_source;

typedef struct llmc_weight_reader {
    /* Rows of a tensor, in the file's layout, to dst. Called on any thread, on several at once. */
    llmcall_status (*read)(void *user, const void *tensor, uint32_t first_row, uint32_t n_rows, void *dst,
                           llmcall_error *error);
    /* So many more bytes are done. Called on the calling thread; what is not LLMCALL_OK stops the reading. */
    llmcall_status (*progress)(void *user, uint64_t bytes, llmcall_error *error);
    void *user;
} llmc_weight_reader;

/* The functions of a device. Not thread safe: one thread (the engine's) uses a backend at a time, except that loading happens
 * before the model is used. Types are ids of ggml's enumeration (model/quant.h). */
typedef struct llmc_backend_functions {
    const char *name;
    void (*destroy)(llmc_backend *backend);

    float *(*alloc)(llmc_backend *backend, size_t n_floats); /* zeroed, 64-byte aligned; NULL without memory */
    void (*release)(llmc_backend *backend, float *array);    /* NULL is fine */
    llmcall_status (*upload)(llmc_backend *backend, float *dst, const float *src, size_t n_floats, llmcall_error *error);
    /* A host address of n_floats at src, valid until the next run; NULL on failure. */
    const float *(*view)(llmc_backend *backend, const float *src, size_t n_floats);

    size_t (*weight_bytes)(const llmc_backend *backend, int32_t type, uint32_t rows, uint32_t cols); /* 0: cannot hold it */
    /* Memory for the weights made next: their weight_bytes, together. What they leave is given back
     * by the next call; one of 0 bytes does no more than that. */
    llmcall_status (*weight_reserve)(llmc_backend *backend, size_t bytes, llmcall_error *error);
    llmcall_status (*weight_create)(llmc_backend *backend, int32_t type, uint32_t rows, uint32_t cols, llmc_weight **weight,
                                    llmcall_error *error);
    /* Rows in the file's layout into the device's. first_row is a multiple of 32, and so is n_rows but for the last. */
    llmcall_status (*weight_fill)(llmc_backend *backend, llmc_weight *weight, uint32_t first_row, uint32_t n_rows,
                                  const void *blocks, llmcall_error *error);
    /* All rows of these weights. On failure, the reader's status and error, some are not filled. */
    llmcall_status (*weight_read)(llmc_backend *backend, const llmc_weight_source *sources, size_t n_sources,
                                  const llmc_weight_reader *reader, llmcall_error *error);
    void (*weight_destroy)(llmc_backend *backend, llmc_weight *weight); /* NULL is fine */

    size_t (*kv_bytes)(const llmc_backend *backend, const llmc_kv_shape *shape); /* 0 on overflow */
    llmcall_status (*kv_create)(llmc_backend *backend, const llmc_kv_shape *shape, llmc_kv_store **kv, llmcall_error *error);
    void (*kv_zero)(llmc_backend *backend, llmc_kv_store *kv, uint32_t page);
    void (*kv_destroy)(llmc_backend *backend, llmc_kv_store *kv); /* NULL is fine */

    size_t (*state_bytes)(const llmc_backend *backend, const llmc_state_shape *shape); /* 0 on overflow */
    llmcall_status (*state_create)(llmc_backend *backend, const llmc_state_shape *shape, llmc_state_store **states,
                                   llmcall_error *error);
    /* All of a slot, or LLMC_STATE_ZERO. What a slot holds at first is not defined. */
    void (*state_copy)(llmc_backend *backend, llmc_state_store *states, uint32_t dst, uint32_t src);
    void (*state_destroy)(llmc_backend *backend, llmc_state_store *states); /* NULL is fine */

    /* Scratch for steps of up to max_tokens of ops that look like these; called once after loading, so that run never
     * allocates. max_width is the widest matmul input. */
    size_t (*scratch_bytes)(const llmc_backend *backend, uint32_t max_tokens, uint32_t max_width, uint32_t head_dim,
                            uint32_t n_heads);
    llmcall_status (*reserve)(llmc_backend *backend, uint32_t max_tokens, uint32_t max_width, uint32_t head_dim,
                              uint32_t n_heads, llmcall_error *error);

    llmcall_status (*run)(llmc_backend *backend, const llmc_batch *batch, const llmc_op *ops, uint32_t n_ops,
                          llmcall_error *error);
    int32_t (*threads)(const llmc_backend *backend);
    const char *(*tier)(const llmc_backend *backend);
} llmc_backend_functions;

/* Every backend's struct begins with this. */
struct llmc_backend {
    const llmc_backend_functions *call;
    const llmc_env *env;
};

/* The CPU. threads >= 1 counts the thread that calls run. tier: NULL (the best there is, or what LLMCALL_CPU names), "c",
 * "avx2", "avxvnni", "avx512", "avx512bf16", "amx"; a tier that the machine lacks is LLMCALL_E_UNSUPPORTED. */
llmcall_status llmc_cpu_backend_create(const llmc_env *env, int32_t threads, const char *tier, llmc_backend **backend,
                                       llmcall_error *error);

/* Before anything runs: every thread but the one that calls run stays on a core of its own; the first core is left for that one.
 * LLMCALL_E_UNSUPPORTED: there are fewer cores than threads. */
llmcall_status llmc_cpu_backend_pin(llmc_backend *backend, llmcall_error *error);

/* Before the first reserve: large products of F32 weights go through OpenBLAS where that is faster than the tier's kernels, and
 * no longer give the same bits however they are computed. library: the file to load, NULL for the usual one. */
llmcall_status llmc_cpu_backend_inexact(llmc_backend *backend, const char *library, llmcall_error *error);

#endif
