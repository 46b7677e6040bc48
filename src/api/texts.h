/* Many texts as one call, for embeddings, ranks and scores. Stages 1 to 7 run on the caller's thread; then every text becomes a
 * part, a call of its own in the engine that fills a row or several of the result; the bill is the whole's. */
#ifndef LLMC_TEXTS_H
#define LLMC_TEXTS_H

#include "api/api.h"

/* One text as tokens. */
typedef struct llmc_text {
    llmc_token_list tokens;
    uint32_t second; /* position from which on tokens belong to a pair's second text; 0: no pair */
    uint32_t n_tail; /* tokens at the end that stay where a text is cut */
    uint32_t n_rows;
    size_t first_row;
} llmc_text;

/* What embed, rerank and score ask alike. */
typedef struct llmc_texts_request {
    llmc_use use;
    const char *model;
    const llmcall_caller *caller;
    const char *param; /* what the texts are called in errors */
    size_t n_texts;
    uint32_t truncate;
    int32_t priority;
    int64_t deadline_ms;
    const char *adapter;
    float adapter_scale;
    llmcall_progress_fn progress; /* NULL: none */
    void *progress_user;
} llmc_texts_request;

typedef struct llmc_texts {
    llmc_start start;
    llmc_texts_request request;
    int32_t priority; /* with the admission's */
    int32_t pooling;  /* LLMCALL_POOLING_*, not AUTO; NONE for scores: a row a token */
    llmc_text *texts; /* (request.n_texts) */
    uint32_t width;   /* of a row: the model's, or for scores its vocabulary's */
    size_t n_rows;
    float *rows; /* (n_rows, width), whoever's */
    /* Parts in the engine, a ring. */
    llmcall_call **parts;
    size_t n_slots, first, n_parts, n_done;
    llmcall_usage_record total; /* of the parts that ended */
} llmc_texts;

/* What one kind of call does, from VALIDATE on, with its own arguments: check, route, fill texts, run. */
typedef llmcall_status (*llmc_texts_body)(llmc_texts *texts, const void *arguments);

/* The whole call: the stages before VALIDATE, the body, and the bill, whatever its status. */
llmcall_status llmc_texts_call(llmcall_engine *engine, const llmc_texts_request *request, llmc_texts_body body,
                               const void *arguments, llmcall_usage_record *usage, llmcall_error *error);

/* Ranges of what is in llmc_texts_request. */
llmcall_status llmc_texts_check(const llmc_texts *texts);
/* ROUTE, the adapter, and room for the texts. */
llmcall_status llmc_texts_route(llmc_texts *texts);
/* E_UNSUPPORTED if the model has no vocabulary. */
llmcall_status llmc_texts_tokenizer(const llmc_texts *texts, const llmc_tokenizer **tokenizer);
/* Text i is filled: cuts it to the context, or fails. */
llmcall_status llmc_texts_fit(llmc_texts *texts, size_t i);
/* Around TOKENIZE; the end also says where each text's rows lie. */
void llmc_texts_begin_tokens(llmc_texts *texts);
void llmc_texts_end_tokens(llmc_texts *texts);
/* Computes texts->rows. */
llmcall_status llmc_texts_run(llmc_texts *texts);

#endif
