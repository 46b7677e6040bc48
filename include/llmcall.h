/* libllmcall: one LLM API call, whole, in one library.
 *
 * The objects. An engine owns models, their paged KV caches and one scheduler. A call is one request on its way through the
 * engine, from admission to the bill: it is started, yields events (text as it is decoded, then how it finished, then its
 * usage) and is closed. Both are opaque handles. A chat reply takes five functions: llmcall_engine_open, llmcall_engine_load,
 * llmcall_start, llmcall_next in a loop, llmcall_close.
 *
 * Conventions, for every function below unless it says otherwise:
 *  - Structs start with struct_size and only grow at their end. Fill them with LLMCALL_INIT(type) or a _defaults function
 *    before setting fields, so that old callers work with new libraries and the other way round. In an array of structs the
 *    distance between elements is the struct_size of the first one.
 *  - What can fail returns llmcall_status and fills the llmcall_error given; the error pointer may be NULL. On failure no
 *    output is owned by the caller and handles are set to NULL.
 *  - Text is UTF-8, given by pointer and size in bytes; a size of -1 means NUL-terminated. It is copied during the call.
 *  - A field that this version does not serve yet returns LLMCALL_E_UNSUPPORTED and names the field.
 *  - Engine functions may be called from any thread at any time. A call handle belongs to one thread at a time, but
 *    llmcall_cancel may come from any thread.
 *  - The library never ends the process, prints, installs signal handlers or touches the locale.
 */
#ifndef LLMCALL_H
#define LLMCALL_H

#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define LLMCALL_API __attribute__((visibility("default")))
#else
#define LLMCALL_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define LLMCALL_VERSION_MAJOR 0
#define LLMCALL_VERSION_MINOR 1
#define LLMCALL_VERSION_PATCH 0

/* Sets a struct to zeros with its struct_size: LLMCALL_INIT(llmcall_request, r). Zero means "the default" in every field
 * whose comment does not say otherwise. */
#define LLMCALL_INIT(type, variable)                                                                                           \
    type variable;                                                                                                             \
    llmcall_init(&(variable), sizeof(type))

/* ---- Status ------------------------------------------------------------------------------------------------------------ */

/* Numbers are pinned for ever; new ones are added at the end. */
typedef int32_t llmcall_status;
enum {
    LLMCALL_OK = 0,
    LLMCALL_E_ARGUMENT = 1,        /* a field is out of range or contradicts another; param names it */
    LLMCALL_E_UNSUPPORTED = 2,     /* well-formed, but this version, model or file type cannot do it */
    LLMCALL_E_NO_MEMORY = 3,       /* an allocation failed, or the model or cache does not fit */
    LLMCALL_E_IO = 4,              /* the file or reader failed */
    LLMCALL_E_FORMAT = 5,          /* malformed model file */
    LLMCALL_E_NOT_FOUND = 6,       /* no such file, or no such model */
    LLMCALL_E_CONTEXT_LENGTH = 7,  /* prompt longer than the context */
    LLMCALL_E_UTF8 = 8,            /* text is not UTF-8 */
    LLMCALL_E_TEMPLATE = 9,        /* the chat template failed; message has line and construct */
    LLMCALL_E_RATE_LIMIT = 10,     /* too many requests or tokens; see retry_after_ms */
    LLMCALL_E_QUEUE_FULL = 11,     /* see retry_after_ms */
    LLMCALL_E_UNAUTHENTICATED = 12,
    LLMCALL_E_FORBIDDEN = 13,
    LLMCALL_E_QUOTA = 14,
    LLMCALL_E_CANCELLED = 15,      /* stopped by llmcall_cancel, or by a progress callback */
    LLMCALL_E_DEADLINE = 16,       /* the request's deadline passed */
    LLMCALL_E_TIMEOUT = 17,        /* llmcall_next waited timeout_ms and nothing came; ask again */
    LLMCALL_E_END = 18,            /* llmcall_next: every event was read */
    LLMCALL_E_BUFFER = 19,         /* the caller's buffer is too small; the needed size is given */
    LLMCALL_E_BACKEND = 20,        /* the device failed */
    LLMCALL_E_CLOSED = 21,         /* the engine is being closed */
    LLMCALL_E_INTERNAL = 22        /* a bug in the library; please report it */
};

typedef struct llmcall_error {
    uint32_t struct_size;
    llmcall_status status;
    int32_t http_status;     /* the HTTP status that says the same; 0 for LLMCALL_OK */
    int32_t reserved;
    int64_t retry_after_ms;  /* 0 where waiting does not help */
    char code[48];           /* stable, for programs: "context_length_exceeded" */
    char param[112];         /* the field, tensor or metadata key at fault, or empty */
    char message[512];       /* one sentence for people, with the offending value */
} llmcall_error;

LLMCALL_API void llmcall_init(void *object, size_t size);          /* what LLMCALL_INIT calls; never fails */
LLMCALL_API const char *llmcall_version(void);                     /* "0.1.0"; static */
LLMCALL_API const char *llmcall_status_name(llmcall_status status); /* "LLMCALL_E_ARGUMENT"; static */

/* ---- Stages ------------------------------------------------------------------------------------------------------------ */

/* What a call goes through, in order. Every stage leaves one span on the call's timeline. */
enum {
    LLMCALL_STAGE_NETWORK = 1,   /* what distance alone costs, from the caller's region: a floor, not a measurement */
    LLMCALL_STAGE_HTTP = 2,      /* TLS and HTTP, reported by a server through llmcall_caller */
    LLMCALL_STAGE_AUTH = 3,
    LLMCALL_STAGE_LIMITS = 4,
    LLMCALL_STAGE_VALIDATE = 5,
    LLMCALL_STAGE_ROUTE = 6,
    LLMCALL_STAGE_TOKENIZE = 7,
    LLMCALL_STAGE_QUEUE = 8,
    LLMCALL_STAGE_CACHE = 9,
    LLMCALL_STAGE_PREFILL = 10,
    LLMCALL_STAGE_DECODE = 11,
    LLMCALL_STAGE_OUTPUT = 12,
    LLMCALL_STAGE_PACKAGE = 13,
    LLMCALL_STAGE_BILL = 14,
    LLMCALL_STAGE_COUNT = 14
};

/* Short English name ("prefill"), or "unknown"; static. */
LLMCALL_API const char *llmcall_stage_name(int32_t stage);

typedef struct llmcall_span {
    uint32_t struct_size;
    int32_t stage;
    int64_t start_ns;   /* since the call began, by the engine's clock */
    int64_t end_ns;
    int64_t busy_ns;    /* time spent in this stage itself; stages 11-13 interleave, so busy <= end - start */
    int64_t tokens;     /* tokens that the stage handled */
    int64_t cost_nano;  /* what the stage's tokens cost, in 1e-9 of the currency */
} llmcall_span;

/* ---- Callbacks given to an engine -------------------------------------------------------------------------------------- */

/* The one allocation function. new_size 0 frees; old NULL allocates; otherwise resizes. Returns NULL on failure, with the
 * old block untouched. Results are aligned for any C type. Called from any of the engine's threads at once. */
typedef void *(*llmcall_allocate_fn)(void *user, void *old, size_t old_size, size_t new_size);

enum { LLMCALL_LOG_ERROR = 1, LLMCALL_LOG_WARN = 2, LLMCALL_LOG_INFO = 3, LLMCALL_LOG_DEBUG = 4 };
typedef void (*llmcall_log_fn)(void *user, int32_t level, const char *message);

/* Nanoseconds, monotonic. */
typedef int64_t (*llmcall_clock_fn)(void *user);

/* Progress of long work: of loading in bytes, of embeddings and ranks in texts. Return 0 to go on, anything else to stop it with
 * LLMCALL_E_CANCELLED. Called on the thread that asked for the work. */
typedef int32_t (*llmcall_progress_fn)(void *user, uint64_t done, uint64_t total);

/* Random access to a model file that is not on a file system: fills dst with exactly size bytes from offset and returns 0,
 * or returns anything else on failure. Called on the loading thread, in any order. */
typedef struct llmcall_reader {
    uint32_t struct_size;
    uint32_t reserved;
    void *user;
    uint64_t size;
    int32_t (*read)(void *user, uint64_t offset, void *dst, size_t size);
} llmcall_reader;

/* ---- Hooks: gateway, routing, moderation, billing ---------------------------------------------------------------------- */

typedef struct llmcall_caller {
    uint32_t struct_size;
    uint32_t reserved;
    const char *credential;  /* API key as presented; never logged */
    int64_t credential_size;
    const char *region;      /* where the client is, a name that the route hook understands; NULL if unknown */
    int64_t region_size;
    const char *trace_id;    /* W3C trace id, 32 hex digits; NULL to have one made */
    int64_t trace_id_size;
    double distance_km;      /* client to data centre, for the network floor; 0 if in process */
    int64_t http_ns;         /* time a server spent on TLS and HTTP before llmcall_start */
} llmcall_caller;

typedef struct llmcall_admit_request {
    uint32_t struct_size;
    uint32_t reserved;
    const llmcall_caller *caller;  /* NULL when the request named none */
    const char *model;             /* as asked for; may be empty; NUL-terminated */
    int64_t now_ns;
    uint64_t running;              /* calls in the engine now */
} llmcall_admit_request;

typedef struct llmcall_admission {
    uint32_t struct_size;
    int32_t priority;         /* added to the request's own */
    char tenant[64];          /* NUL-terminated; goes to the usage record */
    uint64_t cache_salt;      /* calls share cached prefixes only with the same salt */
    int64_t max_tokens_limit; /* cap on completion tokens, 0 for none */
} llmcall_admission;

typedef struct llmcall_candidate {
    uint32_t struct_size;
    int32_t index;            /* what the route hook returns */
    const char *model;        /* NUL-terminated */
    uint64_t waiting;         /* calls queued */
    uint64_t running;         /* calls being computed */
    uint64_t kv_free_tokens;
    uint32_t context_length;
    uint32_t reserved;
    int64_t price_prompt;     /* as in llmcall_model_options */
    int64_t price_completion;
    int64_t network_ns;       /* network floor, both ways */
} llmcall_candidate;

typedef struct llmcall_route_request {
    uint32_t struct_size;
    uint32_t n_candidates;
    const llmcall_candidate *candidates;
    const char *model;             /* as asked for; may be empty */
    const llmcall_caller *caller;  /* may be NULL */
    int32_t priority;
    int32_t reserved;
} llmcall_route_request;

enum { LLMCALL_MODERATE_PASS = 0, LLMCALL_MODERATE_REPLACE = 1, LLMCALL_MODERATE_STOP = 2 };

typedef struct llmcall_moderation_request {
    uint32_t struct_size;
    int32_t choice;
    const char *call_id;
    const char *text;   /* the piece about to be sent; whole characters */
    size_t size;
    int32_t final;      /* 1 for the last piece of the choice, which may be empty */
    int32_t reserved;
} llmcall_moderation_request;

typedef struct llmcall_moderation {
    uint32_t struct_size;
    int32_t action;           /* LLMCALL_MODERATE_* */
    const char *replacement;  /* for REPLACE: UTF-8 owned by the hook, read before the hook is called again */
    size_t replacement_size;
} llmcall_moderation;

enum {
    LLMCALL_FINISH_NONE = 0,
    LLMCALL_FINISH_STOP = 1,            /* end-of-text token or stop string */
    LLMCALL_FINISH_LENGTH = 2,          /* max_tokens or context reached */
    LLMCALL_FINISH_CONTENT_FILTER = 3,  /* the moderate hook stopped it */
    LLMCALL_FINISH_TOOL_CALLS = 4,
    LLMCALL_FINISH_CANCELLED = 5,
    LLMCALL_FINISH_ERROR = 6            /* status in the usage record says which */
};
LLMCALL_API const char *llmcall_finish_name(int32_t finish_reason); /* "stop", "length", ...; static */

/* The bill: exactly one a call, whatever ended it, including refusal after admission. */
typedef struct llmcall_usage_record {
    uint32_t struct_size;
    llmcall_status status;       /* LLMCALL_OK, or what ended the call */
    char call_id[40];            /* never repeats: take it once in a ledger */
    char tenant[64];
    char model[64];
    char trace_id[40];
    uint64_t prompt_tokens;
    uint64_t cached_tokens;      /* of prompt_tokens, taken from the prefix cache */
    uint64_t completion_tokens;  /* over all choices */
    int64_t cost_prompt_nano;    /* for the prompt tokens that were not cached */
    int64_t cost_cached_nano;
    int64_t cost_completion_nano;
    int64_t cost_nano;           /* the sum */
    int64_t created_unix_ms;
    int64_t queue_ns;
    int64_t first_token_ns;      /* from the start of the call; 0 if none came */
    int64_t total_ns;
    int32_t finish_reason;       /* of choice 0 */
    int32_t attempt;             /* 1 the first time the hook is offered this record */
    uint64_t draft_tokens;       /* guessed by look-up in the prompt (speculate of llmcall_request), over all choices; free */
    uint64_t accepted_tokens;    /* of them, those that were sampled: completion_tokens that took no step of their own */
    char adapter[64];            /* the LoRA adapter that the request named; "": none */
} llmcall_usage_record;

/* Every hook may be NULL: the built-in default serves instead. A hook must not call back into the same engine, except for
 * the informational functions (llmcall_tokenize, llmcall_count_tokens, llmcall_metrics).
 *   admit, route  run on the thread that called llmcall_start.
 *   moderate, usage, span  run on the engine's delivery thread, and never stall a step; with threads = 0 they run inside
 *                 llmcall_engine_step. */
typedef struct llmcall_hooks {
    uint32_t struct_size;
    uint32_t reserved;
    void *user;
    /* Who is asking. Fill decision and return LLMCALL_OK, or refuse with another status and fill error. */
    llmcall_status (*admit)(void *user, const llmcall_admit_request *request, llmcall_admission *decision,
                            llmcall_error *error);
    /* Where to run. Set *index to a candidate's index. */
    llmcall_status (*route)(void *user, const llmcall_route_request *request, int32_t *index, llmcall_error *error);
    /* Sees text before the reader does. Any status but OK counts as STOP. */
    llmcall_status (*moderate)(void *user, const llmcall_moderation_request *request, llmcall_moderation *verdict);
    /* The bill. Any status but OK: kept, and offered again later with the same call_id. */
    llmcall_status (*usage)(void *user, const llmcall_usage_record *record);
    /* A stage of a call ended. */
    void (*span)(void *user, const char *call_id, const char *trace_id, const llmcall_span *span);
} llmcall_hooks;

/* The defaults, for hooks that wrap them. user is ignored. Open admission; the model asked for, or the only or least loaded
 * one; everything passes; every record accepted. */
LLMCALL_API llmcall_status llmcall_default_admit(void *user, const llmcall_admit_request *request, llmcall_admission *decision,
                                                 llmcall_error *error);
LLMCALL_API llmcall_status llmcall_default_route(void *user, const llmcall_route_request *request, int32_t *index,
                                                 llmcall_error *error);
LLMCALL_API llmcall_status llmcall_default_moderate(void *user, const llmcall_moderation_request *request,
                                                    llmcall_moderation *verdict);
LLMCALL_API llmcall_status llmcall_default_usage(void *user, const llmcall_usage_record *record);

/* ---- Engine ------------------------------------------------------------------------------------------------------------ */

typedef struct llmcall_engine llmcall_engine;
typedef struct llmcall_call llmcall_call;

enum { LLMCALL_DEVICE_CPU = 0, LLMCALL_DEVICE_CUDA = 1 };
enum { LLMCALL_THREADS_AUTO = -1 };

typedef struct llmcall_engine_options {
    uint32_t struct_size;
    int32_t device;             /* LLMCALL_DEVICE_* */
    int32_t threads;            /* compute threads; 0: none is made and llmcall_engine_step drives; LLMCALL_THREADS_AUTO (the
                                   default): one a core */
    uint32_t max_step_tokens;   /* tokens computed a step, prompt and decode together; 0: 512 */
    uint32_t max_sequences;     /* sequences decoded at once; 0: 64. Fewer in a model with recurrent layers, if kv_bytes does not
                                   hold a state for each */
    uint32_t max_queue;         /* calls waiting beyond that; 0: 256 */
    uint32_t max_choices;       /* cap on a request's n; 0: 16 */
    uint32_t disable_prefix_cache; /* 1: prompts share no pages between calls */
    uint64_t reserved;
    llmcall_allocate_fn allocate;  /* NULL: malloc and free */
    void *allocate_user;
    llmcall_log_fn log;            /* NULL: silent */
    void *log_user;
    llmcall_clock_fn clock;        /* NULL: CLOCK_MONOTONIC */
    void *clock_user;
    const llmcall_hooks *hooks;    /* copied; NULL: defaults */
    uint32_t inexact;           /* 1: large products (prompts of hundreds of tokens) of F32 weights go through OpenBLAS, where that
                                   is faster than the library's own kernels: on machines without AVX-512, else this changes
                                   nothing. Given up is that F32 models always give the same bits: their results then also depend,
                                   in the last ones, on what else is computed in the step and on the threads. Other weights keep
                                   theirs. libopenblas.so.0 is loaded when the engine opens and set to one thread for the whole
                                   process, for as long as it lasts; without it, or where it is a build without threads or with
                                   OpenMP's, LLMCALL_E_UNSUPPORTED. 0: not even loaded */
    uint32_t pin_threads;       /* 1: every compute thread that the engine makes stays on a core of its own, of those that the process
                                   may use when the engine opens: for machines that do little else. Beside other busy processes it
                                   is slower than 0, where the system places them. Threads of the caller's (threads = 0) are left
                                   as they are. LLMCALL_E_UNSUPPORTED where there are fewer cores than threads */
} llmcall_engine_options;

LLMCALL_API void llmcall_engine_options_defaults(llmcall_engine_options *options);

/* Makes an engine without models. Blocks for milliseconds. options may be NULL. */
LLMCALL_API llmcall_status llmcall_engine_open(const llmcall_engine_options *options, llmcall_engine **engine,
                                               llmcall_error *error);

/* Cancels what still runs, delivers what was metered, stops the threads and frees the engine. Blocks for up to a step and the
 * hooks in progress. Calls still open stay valid to read and must still be closed; they end with LLMCALL_E_CLOSED.
 * Sets *engine to NULL; NULL is fine. Not from a hook. */
LLMCALL_API void llmcall_engine_close(llmcall_engine **engine);

/* ---- Models ------------------------------------------------------------------------------------------------------------ */

/* What the KV cache holds a number in. */
enum {
    LLMCALL_KV_AUTO = 0, /* F16; F32 for a file whose matrices are all F32 */
    LLMCALL_KV_F16 = 1,  /* 2 bytes */
    LLMCALL_KV_Q8_0 = 2, /* 34 bytes for 32 numbers of a head, which share a scale: 0.53 of F16's memory, and as much less to
                            read where a long context is decoded, for a little accuracy. head_dim must be a multiple of 32 */
    LLMCALL_KV_F32 = 3   /* 4 bytes */
};

typedef struct llmcall_model_options {
    uint32_t struct_size;
    uint32_t vocab_only;        /* 1: tokenizer and template only, no weights; what computes is LLMCALL_E_UNSUPPORTED */
    const char *path;           /* GGUF; of a split file the first part. NUL-terminated */
    const llmcall_reader *readers; /* instead of path: one a part */
    size_t n_readers;
    const char *name;           /* what requests call it; NULL: general.name of the file. NUL-terminated */
    uint32_t context_length;    /* longest sequence; 0: the model's own, at most 2^24 */
    uint32_t reserved;
    uint64_t kv_bytes;          /* memory for the KV cache, up to half of it for states of recurrent layers; 0: four full
                                   contexts, at most 1 GiB, at least one context, and as much again for states */
    uint64_t max_memory;        /* refuse a model that needs more than this in all; 0: what the system has available */
    const char *chat_template;  /* instead of the file's own. NUL-terminated */
    int64_t price_prompt;       /* 1e-9 of the currency for a million prompt tokens */
    int64_t price_cached;       /* ... for a million prompt tokens found in the cache */
    int64_t price_completion;   /* ... for a million completion tokens */
    llmcall_progress_fn progress;
    void *progress_user;
    int32_t kv_type;            /* LLMCALL_KV_*; LLMCALL_E_UNSUPPORTED where the model's heads do not fit it */
    uint32_t reserved2;
} llmcall_model_options;

LLMCALL_API void llmcall_model_options_defaults(llmcall_model_options *options);

/* Reads a model and makes it ready. Blocks while it reads. On failure the engine is as before. */
LLMCALL_API llmcall_status llmcall_engine_load(llmcall_engine *engine, const llmcall_model_options *options,
                                               llmcall_error *error);

typedef struct llmcall_memory {
    uint32_t struct_size;
    uint32_t state_kib;        /* of a sequence's state in recurrent layers, whatever its length; 0: there are none */
    uint64_t weights_bytes;
    uint64_t kv_bytes;         /* pages and states */
    uint64_t compute_bytes;    /* activations and scratch */
    uint64_t tokenizer_bytes;
    uint64_t total_bytes;
    uint64_t available_bytes;  /* what the system can give now */
    uint64_t kv_bytes_per_token;
    uint64_t parameters;
} llmcall_memory;

/* What loading would take, from the file's header alone; engine_options may be NULL. Blocks for milliseconds. */
LLMCALL_API llmcall_status llmcall_estimate(const llmcall_engine_options *engine_options, const llmcall_model_options *options,
                                            llmcall_memory *memory, llmcall_error *error);

typedef struct llmcall_model_info_record {
    uint32_t struct_size;
    uint32_t vocab_size;
    uint32_t context_length;
    uint32_t n_layers;
    uint32_t width;
    uint32_t n_heads;
    uint32_t n_kv_heads;
    uint32_t head_dim;
    int32_t bos_token;   /* -1: none */
    int32_t eos_token;   /* -1: none */
    char name[64];
    char architecture[32];
    llmcall_memory memory;  /* as taken */
    char quantization[32];  /* the type of most weights, "Q4_1" */
    int32_t pooling;        /* LLMCALL_POOLING_* that the file names, AUTO if none: what its embeddings are made by */
    uint32_t causal;        /* 1: generates text; 0: an encoder, which gives embeddings only */
    uint32_t ranks;         /* 1: has a head for llmcall_rerank */
    uint32_t reserved2;
    uint64_t adapter_bytes; /* of its adapters, beside memory */
    uint32_t n_adapters;    /* in memory now */
    uint32_t reserved3;
} llmcall_model_info_record;

/* model NULL or "": the first one loaded. */
LLMCALL_API llmcall_status llmcall_model_info(llmcall_engine *engine, const char *model, llmcall_model_info_record *info,
                                              llmcall_error *error);

/* A LoRA adapter: a fine-tuned variant of a loaded model, in a file of its own that is some hundred times smaller. Requests choose
 * it by name (llmcall_request.adapter); requests with different adapters, and with none, are computed in the same steps. To every
 * product x . W^T that it has matrices for it adds scale * alpha / rank * (x . A^T) . B^T, in F32 and with the same bits alone or
 * in a batch, on every instruction set. Prefixes are shared only by requests with the same adapter and scale.
 *
 * The file is a GGUF with general.type "adapter", adapter.type "lora", adapter.lora.alpha (0 or left out: alpha / rank counts as
 * 1), the model's general.architecture, and tensors NAME.lora_a (rank, inputs) and NAME.lora_b (outputs, rank) for tensors NAME
 * of the model, as convert_lora_to_gguf.py of llama.cpp writes it: F32, F16 or BF16, held as they are; other types are held as
 * F32. Every matrix that is multiplied with may have one, also tensors that hold several (attn_qkv, ffn_up with the gate), and
 * of experts all together (n, rank, inputs) and (n, outputs, rank); and the token embeddings, whose lora_a is (tokens, rank). Not
 * the matrices of latent attention by head (attn_k_b, attn_v_b) and of Gemma 3n's streams (altup_proj, altup_unembd_proj). */
typedef struct llmcall_adapter_options {
    uint32_t struct_size;
    uint32_t reserved;
    const char *model;          /* whose adapter it is; NULL or "": the first one loaded. NUL-terminated */
    const char *name;           /* what requests call it, 1 to 63 bytes; NULL: general.name of the file. NUL-terminated */
    const char *path;           /* GGUF; NUL-terminated */
    const llmcall_reader *readers; /* instead of path */
    size_t n_readers;
    uint64_t max_memory;        /* refuse an adapter that needs more than this; 0: what the system has available */
} llmcall_adapter_options;

LLMCALL_API void llmcall_adapter_options_defaults(llmcall_adapter_options *options);

/* Reads an adapter and makes it ready; at most 256 a model. Any thread, while calls run: steps wait until it is read, which it
 * blocks for. LLMCALL_E_UNSUPPORTED and LLMCALL_E_FORMAT name the key or tensor that does not fit the model: another
 * architecture, a tensor that the model lacks or that adapters cannot change, a wrong shape, a half without the other, a rank
 * beyond 1024. On failure the engine is as before. */
LLMCALL_API llmcall_status llmcall_engine_load_adapter(llmcall_engine *engine, const llmcall_adapter_options *options,
                                                       llmcall_error *error);

/* Forgets an adapter. Calls that use it go on to their ends; others find it no more, and its name is free for another. Its memory
 * is given back now, or by the step after the last of these calls. Any thread; blocks for up to a step. LLMCALL_E_NOT_FOUND. */
LLMCALL_API llmcall_status llmcall_engine_unload_adapter(llmcall_engine *engine, const char *model, const char *name,
                                                         llmcall_error *error);

typedef struct llmcall_device_info_record {
    uint32_t struct_size;
    int32_t device;
    int32_t threads;      /* compute threads in use; with threads = 0: 1, the caller's */
    uint32_t reserved;
    char name[64];        /* "cpu" */
    char tier[16];        /* "c", "avx2", "avxvnni", "avx512", "avx512bf16", "amx" */
} llmcall_device_info_record;
LLMCALL_API llmcall_status llmcall_device_info(llmcall_engine *engine, llmcall_device_info_record *info, llmcall_error *error);

/* ---- Text and tokens --------------------------------------------------------------------------------------------------- */

enum {
    LLMCALL_TOKENIZE_SPECIAL = 1,  /* text like <|im_end|> becomes the control token; never set it for a user's text */
    LLMCALL_TOKENIZE_BOS_EOS = 2,  /* add what the vocabulary asks for at the ends */
    LLMCALL_DETOKENIZE_SPECIAL = 1 /* render control tokens by their names instead of dropping them */
};

/* Writes up to capacity ids and always sets *n to how many there are; LLMCALL_E_BUFFER if that is more than capacity.
 * tokens may be NULL when capacity is 0. model NULL or "": the first one loaded. */
LLMCALL_API llmcall_status llmcall_tokenize(llmcall_engine *engine, const char *model, const char *text, int64_t text_size,
                                            uint32_t flags, int32_t *tokens, size_t capacity, size_t *n, llmcall_error *error);

/* Raw bytes, which need not be whole characters; not NUL-terminated. Sizes as in llmcall_tokenize. */
LLMCALL_API llmcall_status llmcall_detokenize(llmcall_engine *engine, const char *model, const int32_t *tokens, size_t n_tokens,
                                              uint32_t flags, char *bytes, size_t capacity, size_t *size, llmcall_error *error);

/* role and content are text: where they name a control token, it stays text in the prompt of llmcall_start and
 * llmcall_count_tokens; only what the template itself writes becomes control tokens. */
typedef struct llmcall_message {
    uint32_t struct_size;
    uint32_t reserved;
    const char *role;     /* "system", "user", "assistant", "tool"; NUL-terminated */
    const char *content;
    int64_t content_size;
} llmcall_message;

/* The prompt that the model's chat template makes of messages. Sizes as in llmcall_detokenize. */
LLMCALL_API llmcall_status llmcall_apply_template(llmcall_engine *engine, const char *model, const llmcall_message *messages,
                                                  size_t n_messages, int32_t add_generation_prompt, char *text, size_t capacity,
                                                  size_t *size, llmcall_error *error);

/* The same of whole messages: variables is a JSON object of what the template sees. messages, an array of objects, must be
 * there and hold text alone (LLMCALL_E_UNSUPPORTED names another part); tools, tool_calls, reasoning_content, content lists,
 * documents, enable_thinking and whatever else a template speaks of go to it as they are. Where they are left out, tools and
 * documents are none, add_generation_prompt is true, and bos_token and eos_token are the model's. A model without a template,
 * or with one that does not compile, gives LLMCALL_E_TEMPLATE: no other template is put in its place. Limits and the rest as
 * in llmcall_render_template. */
LLMCALL_API llmcall_status llmcall_apply_template_json(llmcall_engine *engine, const char *model, const char *variables,
                                                       int64_t variables_size, char *text, size_t capacity, size_t *size,
                                                       llmcall_error *error);

/* What a chat template makes of variables, without an engine: source is Jinja as Hugging Face transformers runs it (trimmed
 * blocks, immutable sandbox, loop controls, generation tags, raise_exception, strftime_now in UTC, tojson that keeps
 * characters), variables a JSON object (messages, tools, add_generation_prompt, bos_token, ...); what it lacks is undefined.
 * The result is that of Python's jinja2; what this Jinja does not know fails, and nothing is skipped. Integers have 64 bits.
 * Sizes as in llmcall_detokenize. LLMCALL_E_TEMPLATE with param "chat_template" and a message that begins with the line
 * ("line 12: unknown filter 'foo'"), or, with code "template_raised", the message that the template itself raised;
 * LLMCALL_E_ARGUMENT with param "variables" where they are no JSON object.
 * Limits: 1 MiB of source; 16 MiB, 500,000 values and a depth of 64 of variables; a depth of 64 of blocks and brackets; 384
 * evaluations within each other, macros included; 2 million steps, which also count what text they touch; 64 MiB of values
 * and 16 MiB of result. Past a limit it is an error. Any thread; blocks while it renders. */
LLMCALL_API llmcall_status llmcall_render_template(const char *source, int64_t source_size, const char *variables,
                                                   int64_t variables_size, char *text, size_t capacity, size_t *size,
                                                   llmcall_error *error);

/* Prompt tokens that llmcall_start would bill for these messages. */
LLMCALL_API llmcall_status llmcall_count_tokens(llmcall_engine *engine, const char *model, const llmcall_message *messages,
                                                size_t n_messages, size_t *n, llmcall_error *error);

/* Logits after each of n_tokens tokens, row by row: logits[i * vocab_size + v]. capacity is in floats and must be at least
 * n_tokens * vocab_size. model NULL or "": the first one loaded. It is one call, with its stages and one usage record (prompt
 * tokens only; its caller is unknown to the admit hook). Runs beside other calls; blocks until done, any thread; with
 * threads = 0 it steps. An encoder has no logits: LLMCALL_E_UNSUPPORTED. */
LLMCALL_API llmcall_status llmcall_score(llmcall_engine *engine, const char *model, const int32_t *tokens, size_t n_tokens,
                                         float *logits, size_t capacity, llmcall_error *error);

/* A cached prefix as bytes, for another process or day. Not served yet: LLMCALL_E_UNSUPPORTED. */
LLMCALL_API llmcall_status llmcall_prefix_save(llmcall_engine *engine, const char *model, const int32_t *tokens,
                                               size_t n_tokens, uint8_t *bytes, size_t capacity, size_t *size,
                                               llmcall_error *error);
LLMCALL_API llmcall_status llmcall_prefix_restore(llmcall_engine *engine, const char *model, const uint8_t *bytes, size_t size,
                                                  llmcall_error *error);

/* ---- Embeddings and ranks ---------------------------------------------------------------------------------------------- */

/* How the vectors of a text's tokens, as the model's last layer and final norm leave them, become the text's. */
enum {
    LLMCALL_POOLING_AUTO = 0, /* as the file says; MEAN where it says nothing */
    LLMCALL_POOLING_MEAN = 1,
    LLMCALL_POOLING_CLS = 2,  /* the first token's */
    LLMCALL_POOLING_LAST = 3, /* the last token's */
    LLMCALL_POOLING_NONE = 4  /* none: a vector a token */
};

/* Either texts or tokens is set. */
typedef struct llmcall_embed_request {
    uint32_t struct_size;
    int32_t pooling;              /* LLMCALL_POOLING_* */
    const char *model;            /* NUL-terminated; NULL or "": the router chooses, among models made for embeddings if there
                                     are any */
    const char *const *texts;     /* (n_texts); control tokens named in them stay text */
    const int64_t *text_sizes;    /* (n_texts) bytes, -1: NUL-terminated; NULL: all are */
    const int32_t *const *tokens; /* (n_texts) arrays of ids, taken as they are */
    const size_t *token_counts;   /* (n_texts) */
    size_t n_texts;               /* 1 to 65536 */
    uint32_t no_normalize;        /* 1: vectors as they come; 0: scaled to length 1 */
    uint32_t truncate;            /* 1: of a text longer than the context the beginning, with the end token that the vocabulary
                                     adds; 0: LLMCALL_E_CONTEXT_LENGTH */
    uint32_t dimensions;          /* only the first so many numbers of each vector, before it is scaled, for models that were
                                     trained so; 0: all */
    int32_t priority;             /* as in llmcall_request */
    int64_t deadline_ms;
    const llmcall_caller *caller;
    uint32_t *rows;               /* NULL, or (n_texts): filled with the vectors of each text, 1, or with NONE its tokens */
    const char *adapter;          /* as in llmcall_request, for all texts */
    float adapter_scale;
    uint32_t reserved;
    llmcall_progress_fn progress; /* NULL, or called as texts are done, and every tenth of a second besides: a way to cancel */
    void *progress_user;
} llmcall_embed_request;

/* Vectors of texts, one behind the other; each has dimensions numbers, or the model's width. capacity is in floats; *n_vectors
 * is always set once the texts are tokens: LLMCALL_E_BUFFER, before anything is computed, if they do not fit.
 * It is one call, with its stages and one usage record (prompt tokens only), which goes to usage as well (NULL: not wanted).
 * Its texts are computed together, and beside other calls: a vector is the same bits however it was batched. Blocks until done;
 * any thread. With threads = 0 it steps. An encoder sees a text as a whole, in one step: it makes steps as long as its
 * context, whatever max_step_tokens says. A model that only ranks has no vectors of its own with AUTO:
 * LLMCALL_E_UNSUPPORTED. */
LLMCALL_API llmcall_status llmcall_embed_texts(llmcall_engine *engine, const llmcall_embed_request *request, float *vectors,
                                               size_t capacity, size_t *n_vectors, llmcall_usage_record *usage,
                                               llmcall_error *error);

/* The same for one text, with defaults: *n is the model's width. */
LLMCALL_API llmcall_status llmcall_embed(llmcall_engine *engine, const char *model, const char *text, int64_t text_size,
                                         float *vector, size_t capacity, size_t *n, llmcall_error *error);

typedef struct llmcall_rerank_request {
    uint32_t struct_size;
    uint32_t truncate;                /* 1: a document's end is cut off where it does not fit; 0: LLMCALL_E_CONTEXT_LENGTH */
    const char *model;                /* NUL-terminated; NULL or "": the router chooses among models that rank */
    const char *query;
    int64_t query_size;
    const char *const *documents;     /* (n_documents) */
    const int64_t *document_sizes;    /* (n_documents) bytes, -1: NUL-terminated; NULL: all are */
    size_t n_documents;               /* 1 to 65536 */
    int32_t priority;
    uint32_t reserved;
    int64_t deadline_ms;
    const llmcall_caller *caller;
    llmcall_progress_fn progress;     /* as in llmcall_embed_request */
    void *progress_user;
} llmcall_rerank_request;

/* How well each document answers the query, in the order given, as the model's own head says it: larger is better, the scale is
 * the model's (unbounded for BERT's, 0 to 1 for Qwen3's). scores has n_documents floats. Else as llmcall_embed_texts.
 * LLMCALL_E_UNSUPPORTED for a model without such a head. */
LLMCALL_API llmcall_status llmcall_rerank(llmcall_engine *engine, const llmcall_rerank_request *request, float *scores,
                                          llmcall_usage_record *usage, llmcall_error *error);

/* ---- Calls ------------------------------------------------------------------------------------------------------------- */

enum {
    LLMCALL_EVENT_TEXT = 1,       /* a piece of a choice: whole characters */
    LLMCALL_EVENT_REASONING = 2,  /* not produced yet */
    LLMCALL_EVENT_TOOL_CALL = 3,  /* not produced yet */
    LLMCALL_EVENT_FINISH = 4,     /* a choice ended: finish_reason */
    LLMCALL_EVENT_USAGE = 5,      /* once, after the last FINISH, also after cancel or error */
    LLMCALL_EVENT_ERROR = 6       /* before USAGE, if the call failed */
};

typedef struct llmcall_logprob {
    int32_t token;
    float logprob;          /* natural logarithm, of the model's own distribution (before temperature and filters) */
    const char *bytes;      /* the token's bytes, not necessarily whole characters; not NUL-terminated */
    size_t size;
} llmcall_logprob;

typedef struct llmcall_token_logprobs {
    llmcall_logprob chosen;
    const llmcall_logprob *top;  /* the n_top likeliest, falling */
    size_t n_top;
} llmcall_token_logprobs;

/* Everything a pointer in an event leads to lives until the next llmcall_next or llmcall_close of that call (or, in
 * on_event, until it returns). */
typedef struct llmcall_event {
    uint32_t struct_size;
    int32_t type;
    int32_t choice;
    int32_t finish_reason;
    const char *text;            /* NUL-terminated beyond text_size */
    size_t text_size;
    const int32_t *tokens;       /* sampled since this choice's last event; may be empty where text was held back */
    size_t n_tokens;
    const llmcall_token_logprobs *logprobs;  /* one for each of tokens, if asked for; else NULL */
    const llmcall_usage_record *usage;
    const llmcall_error *error;
} llmcall_event;

typedef void (*llmcall_event_fn)(void *user, const llmcall_event *event);

enum { LLMCALL_FORMAT_TEXT = 0, LLMCALL_FORMAT_JSON_OBJECT = 1, LLMCALL_FORMAT_JSON_SCHEMA = 2, LLMCALL_FORMAT_GRAMMAR = 3,
       LLMCALL_FORMAT_REGEX = 4 };

typedef struct llmcall_logit_bias {
    int32_t token;
    float bias;  /* added to the logit, -100 to 100 */
} llmcall_logit_bias;

/* Exactly one of messages, prompt and tokens is set. */
typedef struct llmcall_request {
    uint32_t struct_size;
    uint32_t n;                  /* choices; 0: 1 */
    const char *model;           /* NUL-terminated; NULL or "": the router chooses */
    const llmcall_message *messages;
    size_t n_messages;
    const char *prompt;          /* raw text: no template */
    int64_t prompt_size;
    const int32_t *tokens;       /* as they are */
    size_t n_tokens;
    uint32_t prompt_special;     /* 1: parse control tokens in prompt, which must then be trusted */
    uint32_t ignore_eos;
    int64_t max_tokens;          /* 0: up to the context's end */
    float temperature;           /* 0: greedy; defaults set 1 */
    float top_p;                 /* 0 < top_p <= 1; defaults set 1 */
    float min_p;                 /* 0 <= min_p <= 1 */
    int32_t top_k;               /* 0: all */
    float presence_penalty;      /* -2 to 2 */
    float frequency_penalty;     /* -2 to 2 */
    float repetition_penalty;    /* > 0, over prompt and answer; 1 does nothing; defaults set 1 */
    int32_t logprobs;            /* 1: report each token's log-probability */
    int32_t top_logprobs;        /* and the likeliest ones', 0 to 20 */
    int32_t has_seed;            /* 0: drawn from the system */
    uint64_t seed;
    const llmcall_logit_bias *logit_bias;
    size_t n_logit_bias;
    const char *const *stop;     /* NUL-terminated strings; the text ends before the first to appear */
    size_t n_stop;               /* at most 16 */
    int32_t response_format;     /* only LLMCALL_FORMAT_TEXT is served yet */
    int32_t priority;            /* higher first; default 0; -100 to 100 */
    const char *response_schema; /* for the other formats: not served yet */
    const char *tools_json;      /* not served yet */
    const char *tool_choice;     /* not served yet */
    int64_t deadline_ms;         /* from llmcall_start; 0: none */
    const llmcall_caller *caller;
    llmcall_event_fn on_event;   /* set: events are pushed on the delivery thread (threads = 0: inside llmcall_engine_step) and
                                    llmcall_next returns only LLMCALL_E_END */
    void *on_event_user;
    uint32_t speculate;          /* longest draft, 0 (none) to 15: tokens that followed the answer's last ones where those stood
                                    before, in prompt or answer, are computed together with the last and kept as far as they are
                                    what is sampled. The answer is the same bits; where it repeats its prompt (summaries,
                                    corrections, edits) it comes several times as fast. Drafts of all calls together make no
                                    step longer than 16 tokens: a busy engine computes none. 7 is a good value. Models with
                                    recurrent layers have no drafts: their state has no way back */
    uint32_t reserved;
    const char *adapter;         /* name of a LoRA adapter of the model that the call runs on; NULL or "": none. NUL-terminated */
    float adapter_scale;         /* how much of it, -100 to 100; 0: 1. Only with adapter */
    uint32_t reserved2;
} llmcall_request;

LLMCALL_API void llmcall_request_defaults(llmcall_request *request);

/* Starts a call: admission, checks, routing, template and tokens happen on this thread, in milliseconds; the rest in the
 * engine. On success *call must be closed. On failure there is no call; if admission had been given, a usage record is
 * delivered all the same. */
LLMCALL_API llmcall_status llmcall_start(llmcall_engine *engine, const llmcall_request *request, llmcall_call **call,
                                         llmcall_error *error);

/* The same from the JSON body of an OpenAI request. Not served yet: LLMCALL_E_UNSUPPORTED. */
enum { LLMCALL_API_CHAT_COMPLETIONS = 1, LLMCALL_API_COMPLETIONS = 2 };
LLMCALL_API llmcall_status llmcall_start_json(llmcall_engine *engine, int32_t api, const char *body, size_t size,
                                              const llmcall_caller *caller, llmcall_call **call, llmcall_error *error);

/* The next event. timeout_ms < 0 waits for as long as it takes, 0 does not wait: LLMCALL_E_TIMEOUT if there is none yet.
 * LLMCALL_E_END after the last. A call that fails says so by an ERROR event, not here. With threads = 0 it does not wait and
 * does not step: call llmcall_engine_step. */
LLMCALL_API llmcall_status llmcall_next(llmcall_call *call, llmcall_event *event, int32_t timeout_ms);

/* Asks the call to end; from any thread, at once, any number of times. Its pages are free after at most one step, and its
 * FINISH (cancelled) and USAGE events follow. NULL is fine. */
LLMCALL_API void llmcall_cancel(llmcall_call *call);

/* Usage so far; final once the USAGE event was read. */
LLMCALL_API llmcall_status llmcall_usage(llmcall_call *call, llmcall_usage_record *record, llmcall_error *error);

/* The spans so far, in stage order, at most LLMCALL_STAGE_COUNT of them: sizes as in llmcall_tokenize. */
LLMCALL_API llmcall_status llmcall_timeline(llmcall_call *call, llmcall_span *spans, size_t capacity, size_t *n,
                                            llmcall_error *error);

/* Cancels the call if it still runs, and frees the handle; its usage is still delivered. Sets *call to NULL; NULL is fine.
 * Does not block on the engine: an on_event that is running then may still be at its end, but no other follows. From on_event
 * of the same call it is an error that is ignored. */
LLMCALL_API void llmcall_close(llmcall_call **call);

/* One step of an engine opened with threads = 0, on this thread. *busy (may be NULL): 1 while a call still runs; 0 also while
 * only a refused usage record waits for its next offer, which any later step makes. Blocks for a step: at
 * most max_step_tokens tokens. One thread at a time. */
LLMCALL_API llmcall_status llmcall_engine_step(llmcall_engine *engine, int32_t *busy, llmcall_error *error);

typedef struct llmcall_metrics_snapshot {
    uint32_t struct_size;
    uint32_t reserved;
    uint64_t calls_started;      /* of llmcall_embed_texts and llmcall_rerank every text counts as one */
    uint64_t calls_finished;     /* whatever ended them */
    uint64_t calls_failed;
    uint64_t calls_cancelled;
    uint64_t running;            /* calls being computed */
    uint64_t waiting;            /* calls queued */
    uint64_t steps;
    uint64_t prompt_tokens;
    uint64_t cached_tokens;
    uint64_t completion_tokens;
    uint64_t kv_pages;
    uint64_t kv_pages_used;      /* held by running calls */
    uint64_t kv_pages_cached;    /* kept for reuse, free when needed */
    uint64_t usage_pending;      /* records that the usage hook has not accepted yet */
    uint64_t preemptions;        /* sequences that gave up their pages and are computed again later */
    int64_t busy_ns;             /* time in steps */
    uint64_t draft_tokens;       /* as in the usage records */
    uint64_t accepted_tokens;
    uint64_t states;             /* of sequences, in models with recurrent layers */
    uint64_t states_used;        /* held by running calls */
    uint64_t states_cached;      /* kept for reuse, at ends of pages; free when needed */
} llmcall_metrics_snapshot;
LLMCALL_API llmcall_status llmcall_metrics(llmcall_engine *engine, llmcall_metrics_snapshot *metrics, llmcall_error *error);

#ifdef __cplusplus
}
#endif
#endif
