/* A model ready to run: its weights on a backend, its tokenizer, its KV store, and the memory of a step. The scheduler's
 * plan comes in as an llmc_batch, logits go out.
 *
 * Threads: load on any thread; then run, kv_zero, state_copy, load_adapter and destroy on one thread at a time; everything else is immutable and may be
 * read from any thread. */
#ifndef LLMC_MODEL_H
#define LLMC_MODEL_H

#include "backend/backend.h"
#include "tokenizer/tokenizer.h"

typedef struct llmc_model llmc_model;
typedef struct llmc_adapter llmc_adapter; /* LoRA */

typedef struct llmc_model_shape {
    uint32_t n_vocab;
    uint32_t n_layers;
    uint32_t width;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_dim;
    uint32_t n_ff;
    uint32_t context_length; /* what the model was trained for */
    uint32_t max_context; /* longest sequence served: options->context_length or the above, at most what the KV store holds */
    uint64_t parameters;  /* elements of all tensors of the file */
    char architecture[32];
    char name[64];            /* options->name, else general.name, else the architecture; UTF-8 */
    char quantization[32];    /* the type of most weights, "Q4_1" */
    int kv_type;              /* LLMC_KV_* */
    int causal;               /* 0: every token of a text sees every other, so that a text is computed in one step */
    int32_t pooling;          /* LLMCALL_POOLING_* that the file names, AUTO if none */
    uint32_t n_token_types;   /* of an encoder: values that batch->types may have; else 0 */
    int pair_separator;       /* one more separator stands between the texts of a pair */
    int32_t rank_pooling;     /* of what that head reads */
    int ranks;                /* has a head for llmc_model_rank */
    uint32_t max_step_tokens; /* limits->max_step_tokens; of a model that is not causal at least max_context */
} llmc_model_shape;

/* What the engine will ask of a step. Logits are kept for max_outputs rows only (a row of 128k floats is half a megabyte), so
 * whoever wants logits of a whole prompt asks for them in steps of max_outputs tokens. */
typedef struct llmc_model_limits {
    uint32_t max_step_tokens; /* 1 to 65536 */
    uint32_t max_outputs;     /* 1 to max_step_tokens; larger is taken as max_step_tokens */
    uint32_t max_sequences;   /* that will run at once, each with a state of its own; 0: max_outputs */
} llmc_model_limits;

/* Opens options->path or its readers, checks every key and tensor that the architecture needs, builds the tokenizer, and moves
 * the weights onto backend (borrowed: it must outlive the model), with progress in bytes. options is read during the call only.
 * With options->vocab_only there are no weights: backend may be NULL and llmc_model_run fails.
 * LLMCALL_E_FORMAT and _UNSUPPORTED name the key or tensor in param; _ARGUMENT the option; _NO_MEMORY says need and have;
 * _CANCELLED: progress stopped it. *model is NULL on failure. */
llmcall_status llmc_model_load(const llmc_env *env, llmc_backend *backend, const llmcall_model_options *options,
                               const llmc_model_limits *limits, llmc_model **model, llmcall_error *error);
void llmc_model_destroy(llmc_model **model); /* before its backend; sets *model to NULL; NULL is fine */

const llmc_model_shape *llmc_model_shape_of(const llmc_model *model);
const llmc_tokenizer *llmc_model_tokenizer(const llmc_model *model); /* NULL: the file has no vocabulary ("no_vocab") */
const char *llmc_model_chat_template(const llmc_model *model);    /* options' or the file's, NUL-terminated UTF-8; NULL: none */
const char *llmc_model_rerank_template(const llmc_model *model);  /* with {query} and {document} in it; NULL: none */
const llmcall_memory *llmc_model_memory(const llmc_model *model); /* as taken; available_bytes as of loading */

/* One step: runs batch through all layers, stores its K and V rows, and leaves the logits of batch->output_rows at *logits:
 * host memory, (n_outputs, n_vocab), valid until the next run (NULL if n_outputs is 0). Allocates nothing.
 * LLMCALL_E_ARGUMENT for a batch beyond the limits, with a token id outside the vocabulary, or with segments that do not fit
 * its tokens, the pages or max_context; _BACKEND if the device failed. */
llmcall_status llmc_model_run(llmc_model *model, const llmc_batch *batch, const float **logits, llmcall_error *error);

/* After a run with batch->hidden: the rows of all its tokens behind the last layer and the final norm, (n_tokens, width), host
 * memory, valid until the next run. */
const float *llmc_model_hidden(const llmc_model *model);

/* n pooled rows (n, width) to the vectors that the model was trained to give, in place; as they are without matrices for that. Any
 * thread. */
llmcall_status llmc_model_project(const llmc_model *model, float *rows, size_t n, llmcall_error *error);

/* Scores of n rows (n, width), each of one document's pooled row, by the model's head. Any thread. LLMCALL_E_UNSUPPORTED without
 * a head. */
llmcall_status llmc_model_rank(const llmc_model *model, const float *rows, size_t n, float *scores, llmcall_error *error);

/* An adapter for segments of this model's steps, on its backend: destroy it before the model, and on the thread that runs. Of the
 * options path, readers and max_memory are read. LLMCALL_E_FORMAT and _UNSUPPORTED name the key or tensor; *adapter is NULL on
 * failure. */
llmcall_status llmc_model_load_adapter(llmc_model *model, const llmcall_adapter_options *options, llmc_adapter **adapter,
                                       llmcall_error *error);
void llmc_adapter_destroy(llmc_adapter **adapter);               /* sets *adapter to NULL; NULL is fine */
const llmc_lora *llmc_adapter_lora(const llmc_adapter *adapter); /* for segments */
const char *llmc_adapter_name(const llmc_adapter *adapter);      /* general.name, as far as it fits 63 bytes; may be "" */
uint64_t llmc_adapter_bytes(const llmc_adapter *adapter);        /* its matrices, as the backend holds them */

uint32_t llmc_model_kv_pages(const llmc_model *model); /* pages of LLMC_PAGE_TOKENS positions; 0 with vocab_only */
void llmc_model_kv_zero(llmc_model *model, uint32_t page);

/* Layers with a sliding window, where their rows are kept apart: positions that they see, and slots of a page each. 0: none. */
uint32_t llmc_model_window(const llmc_model *model);
uint32_t llmc_model_window_pages(const llmc_model *model);
void llmc_model_window_zero(llmc_model *model, uint32_t slot);

uint32_t llmc_model_states(const llmc_model *model); /* slots for states of recurrent layers; 0: it has no such layers */
void llmc_model_state_copy(llmc_model *model, uint32_t dst, uint32_t src); /* src: a slot, or LLMC_STATE_ZERO */

/* What llmc_model_load would take, from the header alone, whether or not it would fit. backend is asked for sizes only. */
llmcall_status llmc_model_estimate(const llmc_env *env, const llmc_backend *backend, const llmcall_model_options *options,
                                   const llmc_model_limits *limits, llmcall_memory *memory, llmcall_error *error);

#endif
