/* What the public entry points share: structs of any version in, structs of any version out, and the checks of a request. */
#ifndef LLMC_API_H
#define LLMC_API_H

#include "engine/engine.h"

enum { LLMC_MAX_MESSAGES = 65536 };

/* What a request wants of a model, and so which models it may be sent to. */
typedef enum llmc_use { LLMC_USE_GENERATE, LLMC_USE_SCORE, LLMC_USE_EMBED, LLMC_USE_RANK } llmc_use;

/* One request on its way through the stages before the queue. */
typedef struct llmc_start {
    llmcall_engine *engine;
    llmc_use use;
    llmcall_request request; /* imported */
    llmcall_caller caller_copy;
    llmcall_caller *caller; /* NULL: none given */
    llmcall_admission admission;
    int admitted;
    llmcall_call *call;
    llmc_runtime *runtime;
    llmc_token_list tokens;
    llmcall_error *error; /* of this version's size, whatever the caller's has */
} llmc_start;

/* The request with its defaults; its caller is checked. */
llmcall_status llmc_start_import(llmc_start *start, const llmcall_request *given);
/* Stages 1 to 4, once start->call is made: arrival, a place for the bill, admission, limits. */
llmcall_status llmc_start_admit(llmc_start *start);
/* Stage 6. */
llmcall_status llmc_start_route(llmc_start *start);
llmcall_status llmc_start_adapter(llmc_start *start, const char *name, float scale); /* after it; name NULL or "": none */
/* Ids taken as they are, checked, into an empty list; what names them in errors. */
llmcall_status llmc_start_copy_ids(const llmc_start *start, const char *what, const int32_t *ids, size_t n,
                                   llmc_token_list *list);
void llmc_start_drop_adapter(llmc_start *start); /* of a call that was not submitted */
/* A call that was admitted and then failed on this thread is billed too: with nothing but its status. */
void llmc_start_bill(llmc_start *start, llmcall_status status);
/* 0: none. The application's clock may stand anywhere: a sum beyond its end is its end. */
int64_t llmc_deadline_of(int64_t deadline_ms, int64_t start_ns);

/* Copies a caller's struct into one of ours: what an older, smaller struct lacks is zero; what a newer, larger one has beyond
 * ours must be zero, else LLMCALL_E_UNSUPPORTED. what names the struct in errors. */
llmcall_status llmc_import(void *to, size_t size, const void *from, const char *what, llmcall_error *error);

/* Copies our struct out to a caller's, as far as its struct_size goes, which stays. */
void llmc_export(void *to, const void *from, size_t size);

/* Size of a text given with a size of -1 for NUL-terminated; checks that it is UTF-8 and there at all. */
llmcall_status llmc_check_text(const char *text, int64_t given, const char *param, size_t *size, llmcall_error *error);

/* Ranges and combinations of everything in a request (already imported) that needs no model. */
llmcall_status llmc_check_request(const llmcall_engine *engine, const llmcall_request *request, llmcall_error *error);

/* Range of an adapter's scale, and that it does not stand alone. */
llmcall_status llmc_check_adapter(const char *adapter, float scale, llmcall_error *error);

/* What a server says of its client (already imported); checked before admission, which reads it. */
llmcall_status llmc_check_caller(const llmcall_caller *caller, llmcall_error *error);

/* An element of a caller's array of structs: they lie struct_size of the first apart. */
const void *llmc_element(const void *array, size_t index);

/* The 32 shield characters (see llmc_tokenizer_shield) that stand in a text, as bits, and one that is not taken; 0: all are. */
uint32_t llmc_shields_in(const char *text, size_t size);
uint32_t llmc_free_shield(uint32_t taken);

/* Prompt of messages as the model's template makes it, appended to text. */
llmcall_status llmc_render_messages(llmcall_engine *engine, const llmc_runtime *runtime, const llmcall_message *messages,
                                    size_t n_messages, int add_generation_prompt, llmc_buffer *text, llmcall_error *error);
/* And its token ids, as llmcall_start takes them: control tokens only where the template wrote them. */
llmcall_status llmc_encode_messages(llmcall_engine *engine, const llmc_runtime *runtime, const llmcall_message *messages,
                                    size_t n_messages, llmc_token_list *tokens, llmcall_error *error);

#endif
