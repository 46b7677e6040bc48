/* What the tests of the whole engine share: a tiny model in memory, an engine with it, and a call read to its end. Everything
 * goes through the public header. */
#ifndef ENGINE_SETUP_H
#define ENGINE_SETUP_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/unit/tiny_gguf.h"

static inline llmcall_engine *setup_engine_with(tiny_gguf *file, const llmcall_engine_options *options,
                                                const llmcall_model_options *model_options) {
    llmcall_engine *engine = NULL;
    LLMCALL_INIT(llmcall_error, error);
    if (llmcall_engine_open(options, &engine, &error)) fail_msg("open: %s", error.message);
    llmcall_model_options model;
    if (!file->data) tiny_gguf_build(file, &(tiny_gguf_spec){0});
    tiny_gguf_model_options(file, &model);
    if (model_options) {
        model.kv_bytes = model_options->kv_bytes;
        model.price_prompt = model_options->price_prompt;
        model.price_cached = model_options->price_cached;
        model.price_completion = model_options->price_completion;
    }
    if (llmcall_engine_load(engine, &model, &error)) fail_msg("load: %s", error.message);
    tiny_gguf_free(file);
    return engine;
}

static inline llmcall_engine *setup_engine(int32_t threads, const llmcall_hooks *hooks) {
    tiny_gguf file = {0};
    llmcall_engine_options options;
    llmcall_engine_options_defaults(&options);
    options.threads = threads;
    options.hooks = hooks;
    return setup_engine_with(&file, &options, NULL);
}

static inline void setup_request(llmcall_request *request, const char *prompt, int64_t max_tokens) {
    llmcall_request_defaults(request);
    request->prompt = prompt;
    request->prompt_size = -1;
    request->max_tokens = max_tokens;
    request->ignore_eos = 1;
    request->has_seed = 1;
    request->seed = 7;
}

static inline llmcall_call *setup_start(llmcall_engine *engine, const llmcall_request *request) {
    llmcall_call *call = NULL;
    LLMCALL_INIT(llmcall_error, error);
    if (llmcall_start(engine, request, &call, &error)) fail_msg("start: %s (%s)", error.message, error.param);
    return call;
}

enum { SETUP_CHOICES = 4, SETUP_TEXT = 8192, SETUP_TOKENS = 512 };

/* All that a call said, in one place. */
typedef struct setup_answer {
    struct {
        char text[SETUP_TEXT];
        size_t size;
        int32_t tokens[SETUP_TOKENS];
        float logprobs[SETUP_TOKENS];
        size_t n_tokens;
        int32_t finish;
    } choice[SETUP_CHOICES];
    int n_finish, n_usage, n_error;
    llmcall_status error_status;
    llmcall_usage_record usage;
} setup_answer;

static inline void setup_note(setup_answer *answer, const llmcall_event *event) {
    assert_in_range(event->choice, 0, SETUP_CHOICES - 1);
    assert_int_equal(answer->n_usage, 0);
    if (event->type == LLMCALL_EVENT_TEXT) {
        assert_int_equal(answer->choice[event->choice].finish, 0);
        assert_true(answer->choice[event->choice].size + event->text_size < SETUP_TEXT);
        memcpy(answer->choice[event->choice].text + answer->choice[event->choice].size, event->text, event->text_size);
        answer->choice[event->choice].size += event->text_size;
        assert_int_equal(event->text[event->text_size], 0);
        for (size_t i = 0; i < event->n_tokens; i++) {
            size_t at = answer->choice[event->choice].n_tokens++;
            assert_true(at < SETUP_TOKENS);
            answer->choice[event->choice].tokens[at] = event->tokens[i];
            if (event->logprobs) answer->choice[event->choice].logprobs[at] = event->logprobs[i].chosen.logprob;
        }
    }
    if (event->type == LLMCALL_EVENT_FINISH) {
        assert_int_equal(answer->choice[event->choice].finish, 0);
        answer->choice[event->choice].finish = event->finish_reason;
        answer->n_finish++;
    }
    if (event->type == LLMCALL_EVENT_ERROR) {
        answer->n_error++;
        answer->error_status = event->error->status;
    }
    if (event->type == LLMCALL_EVENT_USAGE) {
        answer->n_usage++;
        answer->usage = *event->usage;
    }
}

/* Reads to the end; steps an engine without threads. */
static inline void setup_read(llmcall_engine *engine, llmcall_call *call, setup_answer *answer) {
    memset(answer, 0, sizeof *answer);
    for (int rounds = 0;; rounds++) {
        LLMCALL_INIT(llmcall_event, event);
        llmcall_status status = llmcall_next(call, &event, 60000);
        if (status == LLMCALL_E_END) break;
        if (status == LLMCALL_E_TIMEOUT) {
            int32_t busy;
            assert_int_equal(llmcall_engine_step(engine, &busy, NULL), LLMCALL_OK);
            assert_true(rounds < 100000);
            continue;
        }
        assert_int_equal(status, LLMCALL_OK);
        setup_note(answer, &event);
    }
    assert_int_equal(answer->n_usage, 1);
}

/* Starts, reads, closes. */
static inline void setup_run(llmcall_engine *engine, const llmcall_request *request, setup_answer *answer) {
    llmcall_call *call = setup_start(engine, request);
    setup_read(engine, call, answer);
    llmcall_close(&call);
    assert_null(call);
}

static inline void setup_metrics(llmcall_engine *engine, llmcall_metrics_snapshot *metrics) {
    llmcall_init(metrics, sizeof *metrics);
    assert_int_equal(llmcall_metrics(engine, metrics, NULL), LLMCALL_OK);
}

#endif
