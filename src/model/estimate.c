/* From header to plan: reads the vocabulary and the numbers, checks the tensors, sizes the KV store and adds up the memory. */
#include "model/estimate.h"

#include <stdio.h>
#include <string.h>

#include "core/thread.h"
#include "core/utf8.h"
#include "model/forward.h"
#include "model/head.h"
#include "model/quant.h"
#include "model/recurrent.h"
#include "model/vocab.h"

enum {
    MAX_STEP_TOKENS = 1 << 16,
    MAX_CONTEXT = 1 << 28,
    DEFAULT_CONTEXTS = 4,
    DEFAULT_KV_BYTES = 1 << 30,
    OWN_CONTEXT = 1 << 24, /* tokens: what a file may claim beyond this is served where it is asked for */
    DEFAULT_PAGES = OWN_CONTEXT / LLMC_PAGE_TOKENS,
    COUNTED_PAGES = 1 << 16, /* of a model whose pages take no memory, if its context needs no more */
    SMALLEST_CONTEXT = 512,  /* tokens: a machine that cannot hold this much of a context cannot serve the model */
    MAX_PAGES = 1 << 30,
    MAX_WHOLE_TEXT = 8192 /* tokens for which a model that is not causal makes room in a step by itself */
};

/* ---- Names -------------------------------------------------------------------------------------------------------------- */

/* Copies what fits of a text from the file: whole characters, up to a NUL. */
static void copy_text(char *field, size_t capacity, const char *text, size_t size) {
    size_t n = strnlen(text, size < capacity - 1 ? size : capacity - 1);
    n = llmc_utf8_valid_prefix(text, n);
    memcpy(field, text, n);
    field[n] = 0;
}

static llmcall_status set_name(llmc_model_plan *plan, const llmcall_model_options *options, llmcall_error *error) {
    llmc_model_shape *shape = &plan->shape;
    const char *text = NULL;
    size_t size = 0;
    int found = 0;
    if (options->name && options->name[0]) {
        size = strnlen(options->name, sizeof shape->name);
        if (size == sizeof shape->name || llmc_utf8_valid_prefix(options->name, size) != size) {
            return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "name", "name must be UTF-8 text of at most %zu bytes.",
                             sizeof shape->name - 1);
        }
        copy_text(shape->name, sizeof shape->name, options->name, size);
        return LLMCALL_OK;
    }
    llmcall_status status = llmc_gguf_get_string(plan->gguf, "general.name", &text, &size, &found, error);
    if (status != LLMCALL_OK) return status;
    if (found) copy_text(shape->name, sizeof shape->name, text, size);
    if (!shape->name[0]) memcpy(shape->name, shape->architecture, sizeof shape->architecture);
    return LLMCALL_OK;
}

/* ---- Vocabulary --------------------------------------------------------------------------------------------------------- */

static llmcall_status make_tokenizer(const llmc_env *env, llmc_model_plan *plan, llmcall_error *error) {
    llmc_vocab vocab;
    llmcall_status status = llmc_vocab_read(env, plan->gguf, &vocab, error);
    if (status == LLMCALL_OK && vocab.present) {
        plan->shape.n_vocab = vocab.source.n_tokens;
        status = llmc_tokenizer_create(env, &vocab.source, &plan->tokenizer, error);
    }
    if (status == LLMCALL_OK && plan->tokenizer) plan->memory.tokenizer_bytes = llmc_tokenizer_bytes(plan->tokenizer);
    llmc_vocab_free(env, &vocab);
    return status;
}

static llmcall_status read_header(const llmc_env *env, llmc_model_plan *plan, const llmcall_model_options *options,
                                  llmcall_error *error) {
    const char *architecture = NULL;
    size_t size = 0;
    llmcall_status status = llmc_gguf_open(env, options, &plan->gguf, error);
    if (status == LLMCALL_OK) status = llmc_arch_name(plan->gguf, &architecture, &size, error);
    if (status != LLMCALL_OK) return status;
    copy_text(plan->shape.architecture, sizeof plan->shape.architecture, architecture, size);
    status = set_name(plan, options, error);
    if (status == LLMCALL_OK && !options->vocab_only) status = llmc_hparams_read(plan->gguf, &plan->hparams, error);
    if (status == LLMCALL_OK && !options->vocab_only) status = llmc_head_read(plan->gguf, &plan->hparams, error);
    if (status == LLMCALL_OK) status = make_tokenizer(env, plan, error);
    if (status == LLMCALL_OK)
        status = llmc_vocab_template(env, plan->gguf, "tokenizer.chat_template", options->chat_template, &plan->chat_template,
                                     error);
    if (status == LLMCALL_OK)
        status = llmc_vocab_template(env, plan->gguf, "tokenizer.chat_template.rerank", NULL, &plan->rerank_template, error);
    return status;
}

/* A vocabulary without weights may be of any architecture, so only what any file may say is read. */
static llmcall_status finish_vocab_only(llmc_model_plan *plan) {
    char key[64];
    uint32_t value = 0;
    snprintf(key, sizeof key, "%s.context_length", plan->shape.architecture);
    if (llmc_gguf_get_u32(plan->gguf, key, &value, NULL, NULL) == LLMCALL_OK) plan->shape.context_length = value;
    plan->shape.max_context = plan->shape.context_length;
    plan->memory.total_bytes = plan->memory.tokenizer_bytes;
    return LLMCALL_OK;
}

/* ---- Shape -------------------------------------------------------------------------------------------------------------- */

static llmcall_status set_vocab_size(llmc_model_plan *plan, llmcall_error *error) {
    llmc_hparams *h = &plan->hparams;
    char key[64];
    if (plan->tokenizer) h->n_vocab = plan->shape.n_vocab;
    if (h->n_vocab) return LLMCALL_OK;
    snprintf(key, sizeof key, "%s.vocab_size", h->arch->name);
    return llmc_fail(error, LLMCALL_E_FORMAT, NULL, key, "The file has neither a vocabulary nor the key %s.", key);
}

/* A full-precision model is computed in full precision, and so are keys and values that live for one step only. */
static llmcall_status choose_kv_type(llmc_model_plan *plan, const llmcall_model_options *options, llmcall_error *error) {
    llmc_model_shape *s = &plan->shape;
    s->kv_type = options->kv_type;
    if (s->kv_type == LLMCALL_KV_AUTO) s->kv_type = plan->weights.all_f32 || !s->causal ? LLMC_KV_F32 : LLMC_KV_F16;
    uint32_t odd = plan->hparams.window_head_dim % LLMC_KV_Q8_DIMS ? plan->hparams.window_head_dim : plan->hparams.head_dim;
    if (s->kv_type != LLMC_KV_Q8_0 || odd % LLMC_KV_Q8_DIMS == 0) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_UNSUPPORTED, NULL, "kv_type",
                     "The model's heads have %u dimensions; a q8_0 KV cache needs a multiple of %d.", odd, LLMC_KV_Q8_DIMS);
}

static void fill_shape(llmc_model_plan *plan) {
    const llmc_hparams *h = &plan->hparams;
    const llmc_quant_type *type = llmc_quant_type_find(plan->weights.most_type);
    llmc_model_shape *s = &plan->shape;
    s->n_vocab = h->n_vocab;
    s->n_layers = h->n_layers;
    s->width = h->width;
    s->n_heads = h->n_heads;
    s->n_kv_heads = h->n_kv_heads;
    s->head_dim = llmc_largest_head_dim(h);
    s->n_ff = h->n_ff;
    s->context_length = h->context_length;
    s->parameters = plan->weights.parameters;
    s->causal = h->causal;
    s->pooling = h->pooling;
    s->ranks = h->ranks;
    s->rank_pooling = h->rank_pooling;
    s->n_token_types = h->n_token_types;
    s->pair_separator = h->pair_separator;
    snprintf(s->quantization, sizeof s->quantization, "%s", type ? type->name : "");
}

static llmcall_status check_limits(llmc_model_plan *plan, const llmcall_model_options *options, llmcall_error *error) {
    llmc_model_limits *limits = &plan->limits;
    if (limits->max_step_tokens < 1 || limits->max_step_tokens > MAX_STEP_TOKENS) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "max_step_tokens", "max_step_tokens is %u; expected 1 to %d.",
                         limits->max_step_tokens, MAX_STEP_TOKENS);
    }
    if (limits->max_outputs < 1) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "max_sequences", "max_sequences is 0; expected at least 1.");
    }
    if (limits->max_outputs > limits->max_step_tokens) limits->max_outputs = limits->max_step_tokens;
    if (options->context_length > MAX_CONTEXT) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "context_length", "context_length is %u; expected at most %d.",
                         options->context_length, MAX_CONTEXT);
    }
    if (plan->hparams.arch->positions && options->context_length > plan->hparams.context_length) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "context_length",
                         "context_length is %u; the model has learned %u positions.", options->context_length,
                         plan->hparams.context_length);
    }
    return LLMCALL_OK;
}

/* ---- Memory ------------------------------------------------------------------------------------------------------------- */

/* Activations, the backend's own scratch, and the list of operations. */
static uint64_t compute_bytes(llmc_model_plan *plan, const llmc_backend *backend) {
    const llmc_hparams *h = &plan->hparams;
    size_t sizes[LLMC_ACTIVATIONS];
    llmc_activations_sizes(h, plan->limits.max_step_tokens, plan->limits.max_outputs, sizes);
    plan->max_input_width = llmc_forward_max_width(h);
    uint64_t bytes = backend->call->scratch_bytes(backend, plan->limits.max_step_tokens, plan->max_input_width,
                                                  llmc_largest_head_dim(h), h->n_heads);
    for (int i = 0; i < LLMC_ACTIVATIONS; i++) bytes += sizes[i] * sizeof(float);
    return bytes + llmc_forward_max_ops(h->n_layers) * sizeof(llmc_op);
}

/* A text of a model that is not causal is computed in one step: steps are made as long as the context that was asked for, or
 * as the model's own as far as common models go. */
static void fit_whole_texts(llmc_model_plan *plan, const llmcall_model_options *options) {
    uint32_t tokens = options->context_length ? options->context_length : plan->shape.context_length;
    if (!options->context_length && tokens > MAX_WHOLE_TEXT) tokens = MAX_WHOLE_TEXT;
    if (tokens > MAX_STEP_TOKENS) tokens = MAX_STEP_TOKENS;
    if (!plan->shape.causal && tokens > plan->limits.max_step_tokens) plan->limits.max_step_tokens = tokens;
}

/* What one more page takes on this backend; 0 on overflow. */
static uint64_t page_bytes(llmc_kv_shape shape, const llmc_backend *backend) {
    llmc_kv_shape one = shape, two = shape;
    one.n_pages = 1;
    two.n_pages = 2;
    size_t bytes = backend->call->kv_bytes(backend, &two);
    return bytes ? bytes - backend->call->kv_bytes(backend, &one) : 0;
}

/* Four full contexts within a gigabyte, at least one. If the system cannot give that beside everything else: half of what is
 * left, so that a file that claims a context of millions does not take the whole machine. */
static uint64_t default_pages(const llmc_model_plan *plan, const llmcall_model_options *options, uint64_t page,
                              uint64_t context_pages) {
    const llmcall_memory *m = &plan->memory;
    uint64_t pages = DEFAULT_CONTEXTS * context_pages;
    if (pages > DEFAULT_KV_BYTES / page) pages = DEFAULT_KV_BYTES / page;
    if (pages > DEFAULT_PAGES) pages = DEFAULT_PAGES; /* however little each takes, it is counted */
    if (pages < context_pages) pages = context_pages;
    if (options->max_memory) return pages;

    uint64_t others = m->weights_bytes + m->kv_bytes + m->compute_bytes + m->tokenizer_bytes + m->available_bytes / 16;
    uint64_t left = m->available_bytes > others ? m->available_bytes - others : 0;
    uint64_t least = SMALLEST_CONTEXT / LLMC_PAGE_TOKENS;
    if (least > context_pages) least = context_pages;
    return left / page >= pages || left / 2 / page < least ? pages : left / 2 / page;
}

/* ---- States of recurrent layers ---- */

static llmcall_status fail_states(const llmc_model_plan *plan, llmcall_error *error) {
    return llmc_fail(error, LLMCALL_E_NO_MEMORY, NULL, "kv_bytes",
                     "%u states of %zu numbers are more than this machine can address.", plan->states.n_slots,
                     plan->states.slot_floats);
}

/* One for every sequence that runs, and as many for what is kept, within a gigabyte and a quarter of what the system can give;
 * two at least. */
static uint64_t default_states(const llmc_model_plan *plan, const llmcall_model_options *options, uint64_t one,
                               uint64_t wanted) {
    uint64_t most = DEFAULT_KV_BYTES;
    if (!options->max_memory && most > plan->memory.available_bytes / 4) most = plan->memory.available_bytes / 4;
    uint64_t n = most / one < wanted ? most / one : wanted;
    return n < 2 ? 2 : n;
}

static uint32_t sequences_at_once(const llmc_model_plan *plan) {
    return plan->limits.max_sequences ? plan->limits.max_sequences : plan->limits.max_outputs;
}

/* At most half of kv_bytes, if that was given. */
static llmcall_status size_states(llmc_model_plan *plan, const llmc_backend *backend, const llmcall_model_options *options,
                                  llmcall_error *error) {
    plan->states = (llmc_state_shape){.n_slots = 1, .slot_floats = llmc_state_floats(&plan->hparams)};
    if (plan->states.slot_floats == 0) {
        plan->states.n_slots = 0;
        return LLMCALL_OK;
    }
    uint64_t one = backend->call->state_bytes(backend, &plan->states);
    uint64_t wanted = 2 * (uint64_t)sequences_at_once(plan);
    if (one == 0) return fail_states(plan, error);
    uint64_t n = options->kv_bytes ? options->kv_bytes / 2 / one : default_states(plan, options, one, wanted);
    if (n == 0) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "kv_bytes",
                         "kv_bytes is %llu; half of it must hold a sequence's state, which takes %llu.",
                         (unsigned long long)options->kv_bytes, (unsigned long long)one);
    }
    plan->states.n_slots = (uint32_t)(n < wanted ? n : wanted);
    plan->memory.state_kib = (uint32_t)((one + 1023) / 1024);
    plan->memory.kv_bytes = backend->call->state_bytes(backend, &plan->states);
    return plan->memory.kv_bytes ? LLMCALL_OK : fail_states(plan, error);
}

/* ---- Pages ---- */

/* No layer has attention: pages are only counted, as a measure of prefixes, and so that all that run have theirs. */
static void count_pages(llmc_model_plan *plan, uint64_t context_pages) {
    uint64_t pages = (DEFAULT_CONTEXTS + (uint64_t)sequences_at_once(plan)) * context_pages;
    if (pages > COUNTED_PAGES) pages = COUNTED_PAGES;
    if (pages < context_pages) pages = context_pages;
    plan->kv.n_pages = (uint32_t)pages;
}

static llmcall_status fail_kv(const llmc_model_plan *plan, llmcall_error *error) {
    return llmc_fail(error, LLMCALL_E_NO_MEMORY, NULL, "kv_bytes",
                     "A KV cache of %u pages is more than this machine can address.", plan->kv.n_pages);
}

/* ---- Layers with a window: pages of their own, of which fewer are needed ---- */

/* What one sequence may need at a time: its window, from the beginning of a group on, and the longest step. */
static uint32_t pages_of_window(const llmc_model_plan *plan) {
    uint64_t tokens = (uint64_t)plan->hparams.window + plan->limits.max_step_tokens;
    return (uint32_t)(tokens / LLMC_PAGE_TOKENS + 2 + LLMC_GROUP_PAGES + 1);
}

static void set_kv_layers(llmc_model_plan *plan) {
    const llmc_hparams *h = &plan->hparams;
    plan->kv.layers = plan->kv_layers;
    for (uint32_t i = 0; i < h->n_layers; i++) {
        int apart = h->windows_apart && h->layer[i] & LLMC_LAYER_WINDOW;
        if (!llmc_stores_kv(h, i)) continue;
        llmc_kv_layer *layer = &plan->kv_layers[(apart ? h->n_kv_layers : 0u) + h->place[i]];
        *layer = (llmc_kv_layer){.n_kv_heads = h->sizes[i].n_kv_heads, .head_dim = (uint16_t)llmc_head_dim(h, i)};
    }
}

/* Worth it if a context is longer than what a window needs. */
static void set_windows_apart(llmc_model_plan *plan, uint64_t context_pages) {
    llmc_hparams *h = &plan->hparams;
    int apart = h->window > 0 && pages_of_window(plan) < context_pages;
    llmc_hparams_place_layers(h, apart);
    plan->kv.n_layers = h->n_kv_layers;
    if (h->arch->sizes_differ) set_kv_layers(plan);
    if (h->n_window_layers == 0) return;
    plan->window_kv = plan->kv;
    plan->window_kv.n_layers = h->n_window_layers;
    if (plan->kv.layers) plan->window_kv.layers = plan->kv_layers + h->n_kv_layers;
}

/* For n_pages pages in all: a quarter as many, for two sequences at least. */
static uint32_t window_pages_for(const llmc_model_plan *plan, uint64_t n_pages) {
    uint64_t n = n_pages / 4, least = 2 * (uint64_t)pages_of_window(plan);
    if (n < least) n = least;
    return (uint32_t)(n < n_pages ? n : n_pages);
}

/* Pages that fit the bytes beside their window pages. */
static uint64_t pages_within(const llmc_model_plan *plan, uint64_t bytes, uint64_t page, uint64_t window_page) {
    uint64_t n = bytes / (page + window_page);
    if (plan->window_kv.n_layers == 0 || n >= MAX_PAGES) return n;
    for (uint64_t step = MAX_PAGES; step > 0; step /= 2) { /* n grows as long as the sum still fits */
        uint64_t more = n + step;
        if (more <= MAX_PAGES && more * page + window_pages_for(plan, more) * window_page <= bytes) n = more;
    }
    return n;
}

static llmcall_status finish_kv(llmc_model_plan *plan, const llmc_backend *backend, uint64_t pages, llmcall_error *error) {
    llmcall_memory *m = &plan->memory;
    size_t window_bytes = 0, bytes = 0;
    plan->kv.n_pages = (uint32_t)pages;
    if (plan->window_kv.n_layers) {
        plan->window_kv.n_pages = window_pages_for(plan, pages);
        window_bytes = backend->call->kv_bytes(backend, &plan->window_kv);
        if (window_bytes == 0) return fail_kv(plan, error);
    }
    if (plan->kv.n_layers) {
        bytes = backend->call->kv_bytes(backend, &plan->kv);
        if (bytes == 0) return fail_kv(plan, error);
    }
    m->kv_bytes_per_token = (bytes + window_bytes) / (pages * LLMC_PAGE_TOKENS);
    m->kv_bytes += bytes + window_bytes;
    return LLMCALL_OK;
}

static llmcall_status size_kv(llmc_model_plan *plan, const llmc_backend *backend, const llmcall_model_options *options,
                              llmcall_error *error) {
    llmc_model_shape *s = &plan->shape;
    plan->kv = (llmc_kv_shape){.n_kv_heads = s->n_kv_heads, .head_dim = s->head_dim, .type = s->kv_type};
    s->max_context = options->context_length           ? options->context_length
                     : s->context_length < OWN_CONTEXT ? s->context_length
                                                       : OWN_CONTEXT;
    s->max_step_tokens = plan->limits.max_step_tokens;
    if (!s->causal && s->max_context > s->max_step_tokens) s->max_context = s->max_step_tokens;
    uint64_t context_pages = ((uint64_t)s->max_context + LLMC_PAGE_TOKENS - 1) / LLMC_PAGE_TOKENS;
    set_windows_apart(plan, context_pages);
    if (plan->kv.n_layers == 0 && plan->window_kv.n_layers == 0) {
        count_pages(plan, context_pages);
        return LLMCALL_OK;
    }
    uint64_t page = plan->kv.n_layers ? page_bytes(plan->kv, backend) : 0, states = plan->memory.kv_bytes;
    uint64_t window_page = plan->window_kv.n_layers ? page_bytes(plan->window_kv, backend) : 0;
    if (page == 0 && window_page == 0) return fail_kv(plan, error);
    uint64_t pages = options->kv_bytes ? pages_within(plan, options->kv_bytes - states, page, window_page)
                                       : default_pages(plan, options, page + (window_page + 3) / 4, context_pages);
    if (pages == 0) {
        return llmc_fail(error, LLMCALL_E_ARGUMENT, NULL, "kv_bytes", "kv_bytes is %llu; one page of this model's takes %llu.",
                         (unsigned long long)options->kv_bytes, (unsigned long long)(page + window_page));
    }
    if (pages > MAX_PAGES) pages = MAX_PAGES;
    if (pages < context_pages) s->max_context = (uint32_t)pages * LLMC_PAGE_TOKENS;
    plan->hparams.long_context = s->max_context > plan->hparams.rope.original_context;
    return finish_kv(plan, backend, pages, error);
}

static llmcall_status plan_weights_and_memory(llmc_model_plan *plan, const llmc_backend *backend,
                                              const llmcall_model_options *options, llmcall_error *error) {
    llmcall_memory *m = &plan->memory;
    llmcall_status status = set_vocab_size(plan, error);
    if (status == LLMCALL_OK) status = check_limits(plan, options, error);
    if (status == LLMCALL_OK) status = llmc_weights_check(plan->gguf, &plan->hparams, backend, &plan->weights, error);
    if (status != LLMCALL_OK) return status;
    fill_shape(plan);
    status = choose_kv_type(plan, options, error);
    if (status != LLMCALL_OK) return status;
    m->parameters = plan->shape.parameters;
    m->weights_bytes = plan->weights.device_bytes + llmc_head_bytes(plan->gguf);
    fit_whole_texts(plan, options);
    m->compute_bytes = compute_bytes(plan, backend);
    status = size_states(plan, backend, options, error);
    if (status == LLMCALL_OK) status = size_kv(plan, backend, options, error);
    m->total_bytes = m->weights_bytes + m->kv_bytes + m->compute_bytes + m->tokenizer_bytes;
    return status;
}

llmcall_status llmc_model_plan_make(const llmc_env *env, const llmc_backend *backend, const llmcall_model_options *options,
                                    const llmc_model_limits *limits, llmc_model_plan *plan, llmcall_error *error) {
    memset(plan, 0, sizeof *plan);
    plan->memory.struct_size = sizeof plan->memory;
    plan->memory.available_bytes = llmc_memory_available();
    if (limits) plan->limits = *limits;
    llmcall_status status = read_header(env, plan, options, error);
    if (status != LLMCALL_OK) return status;
    if (options->vocab_only) return finish_vocab_only(plan);
    if (!backend) return llmc_fail(error, LLMCALL_E_INTERNAL, NULL, NULL, "A model's weights need a backend.");
    return plan_weights_and_memory(plan, backend, options, error);
}

void llmc_model_plan_free(const llmc_env *env, llmc_model_plan *plan) {
    llmc_gguf_close(&plan->gguf);
    llmc_tokenizer_destroy(&plan->tokenizer);
    llmc_free(env, plan->chat_template);
    llmc_free(env, plan->rerank_template);
    memset(plan, 0, sizeof *plan);
}

llmcall_status llmc_model_plan_fits(const llmc_model_plan *plan, const llmcall_model_options *options, llmcall_error *error) {
    uint64_t have = options->max_memory ? options->max_memory : plan->memory.available_bytes;
    if (plan->memory.total_bytes <= have) return LLMCALL_OK;
    return llmc_fail(error, LLMCALL_E_NO_MEMORY, NULL, "max_memory", "The model needs %llu bytes and %s %llu.",
                     (unsigned long long)plan->memory.total_bytes,
                     options->max_memory ? "max_memory is" : "the system can give", (unsigned long long)have);
}

llmcall_status llmc_model_estimate(const llmc_env *env, const llmc_backend *backend, const llmcall_model_options *options,
                                   const llmc_model_limits *limits, llmcall_memory *memory, llmcall_error *error) {
    llmc_model_plan plan;
    llmcall_status status = llmc_model_plan_make(env, backend, options, limits, &plan, error);
    if (status == LLMCALL_OK) *memory = plan.memory;
    llmc_model_plan_free(env, &plan);
    return status;
}
