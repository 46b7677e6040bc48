/* The loop that ties the rooms together: plan -> run -> sample -> emit, and what it keeps for every model and every call.
 *
 * Threads. The engine thread runs steps; the delivery thread runs the application's hooks; callers submit, read and cancel.
 * With threads = 0 whoever calls llmc_engine_step is the engine thread and the delivery thread; the flags stepping and
 * delivering keep two such threads (one of them perhaps inside llmcall_score) apart.
 *   engine->lock    schedulers, the list of calls, the models' list; never held while a model runs or a hook runs
 *   call->lock      what readers see of a call; taken after engine->lock, never the other way round
 *   delivery.lock   the delivery queue; nothing is taken while it is held */
#ifndef LLMC_ENGINE_H
#define LLMC_ENGINE_H

#include <stdatomic.h>

#include "backend/backend.h"
#include "core/buffer.h"
#include "core/thread.h"
#include "kv/kv.h"
#include "meter/meter.h"
#include "model/model.h"
#include "output/output.h"
#include "sampler/sampler.h"
#include "scheduler/scheduler.h"
#include "template/template.h"
#include "tokenizer/tokenizer.h"

enum { LLMC_MAX_MODELS = 16, LLMC_MAX_ADAPTERS = 256, LLMC_MAX_TOP_LOGPROBS = 20 };

/* An adapter of a model. Under engine->lock, but for what it is made of. */
typedef struct llmc_runtime_adapter {
    char name[64];
    uint32_t id;      /* from 1, no other adapter of the engine ever has it */
    uint32_t n_calls; /* that use it */
    int unloaded;     /* nobody finds it any more; it goes when no call uses it */
    llmc_adapter *adapter;
} llmc_runtime_adapter;

/* One loaded model with its cache and its queue. */
typedef struct llmc_runtime {
    char name[64];
    llmc_model *model;
    llmc_kv *kv; /* NULL, with sched, if only the vocabulary was loaded */
    llmc_sched *sched;
    llmc_template *chat_template; /* NULL: none, or it did not compile, and then template_error says why */
    llmcall_error template_error;
    llmc_prices prices;
    uint32_t context_length;
    const char *bos_text, *eos_text; /* for the template; "" if there is none */
    llmc_runtime_adapter *adapters[LLMC_MAX_ADAPTERS];
    uint32_t n_adapters;
    /* The step being computed, engine thread only. */
    uint32_t max_step_tokens, max_outputs;
    int32_t *tokens;               /* (max_step_tokens) */
    uint32_t *positions;           /* (max_step_tokens) */
    uint8_t *types;                /* (max_step_tokens) 1: of the second text of a pair */
    llmc_segment *segments;        /* (max_step_tokens) */
    uint32_t *output_rows;         /* (max_outputs) */
    struct llmc_advance *advances; /* (max_step_tokens) the step's items, once its sequences may be gone */
} llmc_runtime;

/* What was sampled for a choice and not passed on yet. */
typedef struct llmc_token_report { /* of one token, when log-probabilities were asked for */
    float logprob;
    uint32_t n_top;
    int32_t top_token[LLMC_MAX_TOP_LOGPROBS];
    float top_logprob[LLMC_MAX_TOP_LOGPROBS];
} llmc_token_report;

typedef struct llmc_piece {
    llmc_buffer text;
    int32_t *tokens;
    llmc_token_report *reports; /* as many as tokens, or NULL */
    size_t n_tokens, capacity;
} llmc_piece;

typedef struct llmc_choice {
    llmc_sampler *sampler;
    llmc_output *output;
    llmc_sequence *sequence;
    int finished;                        /* engine thread: nothing more is sampled */
    int32_t sampled[1 + LLMC_DRAFT_MAX]; /* engine thread: what this step sampled; several only after right drafts */
    uint32_t n_sampled;
    int32_t outcome;     /* engine thread: LLMCALL_FINISH_* that the last of them means, NONE to go on */
    atomic_int filtered; /* the moderate hook stopped it */
    /* Under call->lock. staged waits for the delivery thread, outgoing for the reader. */
    llmc_piece staged, outgoing;
    int32_t staged_finish, outgoing_finish;
    int32_t finish_reason; /* final, once the reader was told */
} llmc_choice;

struct llmcall_call {
    llmcall_engine *engine;
    llmc_runtime *runtime;
    atomic_uint references; /* the user's handle, the engine while it runs, the delivery queue while it waits there */
    atomic_int cancelled;
    uint32_t n_choices;
    uint32_t max_new_tokens;
    int logprobs;
    int ignore_eos;
    int direct; /* no hook sees its text: the engine thread hands it to the reader itself */
    llmcall_event_fn on_event;
    void *on_event_user;
    llmc_runtime_adapter *adapter; /* NULL: none; under engine->lock */
    float adapter_scale;
    float *score_logits; /* llmcall_score: (n_prompt, n_vocab), the caller's; NULL for ordinary calls */
    float *embedding;    /* an embedded text: (width), or (n_prompt, width) for LLMCALL_POOLING_NONE, the caller's; else NULL */
    int32_t pooling;     /* LLMCALL_POOLING_*, not AUTO */
    uint32_t second;     /* position from which on tokens belong to a pair's second text; 0: no pair */
    llmc_ledger_slot *slot;
    llmc_choice *choices;
    /* Engine thread, under engine->lock. */
    llmc_group *group;
    uint32_t n_unfinished;
    uint64_t n_sampled;                   /* engine thread */
    int admitted;                         /* QUEUE ended */
    int decoding;                         /* a first token was sampled */
    struct llmcall_call *previous, *next; /* the engine's list */
    /* Delivery thread. */
    llmc_piece delivering;
    uint32_t spans_sent; /* bit a stage */
    /* Under delivery.lock. */
    int queued;
    struct llmcall_call *queue_next;
    /* Under lock. */
    llmc_mutex lock;
    llmc_cond ready;
    llmc_timeline timeline;
    llmcall_usage_record record;
    llmcall_error error;
    int closed;   /* the user gave the handle back: on_event is not called any more */
    int in_event; /* on_event runs, on event_thread */
    llmc_thread event_thread;
    int staged_end, outgoing_end; /* everything was sampled: ERROR and USAGE follow the last FINISH */
    int error_read, usage_read;
    /* Reader. */
    uint32_t next_choice;
    llmc_piece reading;
    llmcall_token_logprobs *shown; /* (shown_capacity) */
    llmcall_logprob *shown_top;    /* (shown_capacity * LLMC_MAX_TOP_LOGPROBS) */
    size_t shown_capacity;
    llmcall_usage_record shown_record;
};

struct llmcall_engine {
    llmc_env env;
    llmcall_engine_options options; /* defaults filled in */
    llmcall_hooks hooks;
    atomic_uint references; /* the user's handle, and one for each call */
    llmc_backend *backend;
    llmc_ledger *ledger;

    llmc_mutex lock;
    llmc_cond work;
    int closing;
    llmc_runtime *runtimes[LLMC_MAX_MODELS];
    uint32_t n_runtimes;
    uint32_t last_adapter_id;
    llmcall_call *calls; /* those the engine holds */
    llmcall_metrics_snapshot metrics;
    /* Also under lock: whose turn it is. The backend serves one thread at a time, a step or a load; a load that waits goes
     * first, else the steps of a busy engine would never let it in. */
    llmc_cond turn;
    int stepping, loading, delivering;
    uint32_t loads_waiting;
    int woken; /* something changed since the last round began: the engine thread must not sleep */

    struct {
        llmc_mutex lock;
        llmc_cond work;
        llmcall_call *first, *last;
        int closing;
        int bills; /* the ledger has something new */
    } delivery;
    llmc_thread engine_thread, delivery_thread;
    int engine_thread_runs, delivery_thread_runs;
    int n_locks; /* how many of the mutexes and conditions above exist, for a half-built engine */
};

/* What to do for one item after its step. The call is retained. */
typedef struct llmc_advance {
    llmcall_call *call;
    llmc_choice *choice;
    int sampled; /* choice->sampled and choice->outcome are new */
    int scored;  /* its last row was scored, or embedded */
} llmc_advance;

/* ---- engine.c ---- */
llmcall_status llmc_engine_create(const llmcall_engine_options *options, llmcall_engine **engine, llmcall_error *error);
void llmc_engine_shut(llmcall_engine **engine);
void llmc_engine_release(llmcall_engine *engine); /* drops a reference */
void llmc_engine_wake(llmcall_engine *engine);    /* any thread: a call was cancelled or filtered, look again */
/* Around a load: no step and no other load runs between them. */
void llmc_engine_begin_load(llmcall_engine *engine);
void llmc_engine_end_load(llmcall_engine *engine);
/* One round over all models, and with threads = 0 the deliveries too. *busy: more to do. */
llmcall_status llmc_engine_step(llmcall_engine *engine, int32_t *busy, llmcall_error *error);

/* ---- runtime.c ---- */
llmcall_status llmc_runtime_create(llmcall_engine *engine, const llmcall_model_options *options, llmc_runtime **runtime,
                                   llmcall_error *error);
void llmc_runtime_destroy(llmcall_engine *engine, llmc_runtime **runtime);
/* Rows of logits that a step may have: one a sequence, and those of one sequence's drafts. */
uint32_t llmc_runtime_max_outputs(const llmcall_engine_options *options);
/* By name; NULL or "": the first. NULL with error filled if there is none. Takes engine->lock. */
llmc_runtime *llmc_runtime_find(llmcall_engine *engine, const char *name, llmcall_error *error);

/* ---- adapter.c ---- */
/* Between begin_load and end_load. */
llmcall_status llmc_adapter_add(llmcall_engine *engine, const llmcall_adapter_options *options, llmcall_error *error);
llmcall_status llmc_adapter_unload(llmcall_engine *engine, const char *model, const char *name, llmcall_error *error);
/* The call, whose runtime is known, will use the adapter; takes engine->lock. */
llmcall_status llmc_adapter_use(llmcall_call *call, const char *name, float scale, llmcall_error *error);
/* So will a call that is part of another. */
void llmc_adapter_share(llmcall_call *call, const llmcall_call *whole);
void llmc_adapter_drop(llmcall_call *call);          /* it will no more, if it did; engine->lock held */
uint64_t llmc_adapter_key(const llmcall_call *call); /* for llmc_kv_key; 0: none */
/* Frees what was unloaded and is not used any more; engine->lock held, and the backend is the caller's. */
void llmc_adapters_sweep(llmcall_engine *engine);
void llmc_adapters_count(const llmc_runtime *runtime, uint32_t *n, uint64_t *bytes); /* engine->lock held */

/* ---- call.c ---- */
typedef struct llmc_call_options {
    uint32_t n_choices;
    int logprobs;
    int ignore_eos;
    llmcall_event_fn on_event;
    void *on_event_user;
    const llmc_sampler_params *sampling; /* NULL: nothing is sampled (score, embed) */
    const char *const *stops;
    const size_t *stop_sizes;
    size_t n_stops;
    float *score_logits;
    float *embedding;
    int32_t pooling;
    uint32_t second;
} llmc_call_options;

/* A call with its own lock, ids and timeline, known to nobody yet. */
llmcall_status llmc_call_create(llmcall_engine *engine, llmcall_call **call, llmcall_error *error);
/* Everything it needs to run on runtime, so that steps do not allocate. */
llmcall_status llmc_call_prepare(llmcall_call *call, llmc_runtime *runtime, const llmc_call_options *options,
                                 llmcall_error *error);
/* Hands it to the scheduler: from now on the engine holds it too. */
llmcall_status llmc_call_submit(llmcall_call *call, const llmc_sched_request *request, llmcall_error *error);
void llmc_call_retain(llmcall_call *call);
void llmc_call_release(llmcall_call *call);

int llmc_piece_reserve(const llmc_env *env, llmc_piece *piece, size_t n_tokens, int reports); /* 1, or 0 */
int llmc_piece_append(const llmc_env *env, llmc_piece *piece, const llmc_piece *from);        /* 1, or 0; from may be partial */
void llmc_piece_clear(llmc_piece *piece);
void llmc_piece_free(const llmc_env *env, llmc_piece *piece);

/* 1 on the thread that runs the call's on_event right now; call->lock held. */
int llmc_call_in_event(const llmcall_call *call);
/* The next event for the reader; call->lock held. 1, or 0 if there is none now. *at_end: there will be none. */
int llmc_call_take_event(llmcall_call *call, llmcall_event *event, int *at_end);

/* ---- step.c: engine thread ---- */
/* Every stage has a span afterwards, with its tokens and costs. call->lock held, or nobody else has the call. */
void llmc_call_close_timeline(llmcall_call *call, int64_t now_ns);
int llmc_step_runtime(llmcall_engine *engine, llmc_runtime *runtime); /* 1 if it computed something */
/* Ends calls that were cancelled or filtered, or whose deadline passed; when closing, all. engine->lock held, no step out. */
void llmc_step_reap(llmcall_engine *engine);

/* ---- embed.c ---- */
/* Takes n_rows hidden rows of the call's text, of positions from start on, into its embedding. A text that begins again (after a
 * preemption) does so at position 0. Sums run in the order of positions, so that chunks change no bit. Engine thread, no lock. */
void llmc_embed_rows(llmcall_call *call, const float *rows, uint32_t width, uint32_t start, uint32_t n_rows, uint32_t n_prompt);
/* LLMC_HIDDEN_* that a pooling needs. */
int llmc_embed_hidden(int32_t pooling);

/* ---- deliver.c ---- */
void llmc_deliver_queue(llmcall_call *call);     /* any thread: the call has something for the delivery thread */
void llmc_deliver_bills(llmcall_engine *engine); /* any thread: the ledger has */
void llmc_deliver_all(llmcall_engine *engine, int64_t *wait_ns); /* delivery thread: everything there is; until when then */
void llmc_deliver_thread(void *engine);

#endif
