/* What the application gave the engine: allocator, logger, clock. Every room gets it by pointer and calls nothing else of the
 * system for these three. */
#ifndef LLMC_ENV_H
#define LLMC_ENV_H

#include "llmcall.h"

typedef struct llmc_env {
    llmcall_allocate_fn allocate;
    void *allocate_user;
    llmcall_log_fn log; /* may be NULL */
    void *log_user;
    llmcall_clock_fn clock;
    void *clock_user;
} llmc_env;

/* malloc, no log, CLOCK_MONOTONIC; then what options (may be NULL) say. */
void llmc_env_init(llmc_env *env, const llmcall_engine_options *options);

int64_t llmc_now(const llmc_env *env); /* nanoseconds, monotonic */

#if defined(__GNUC__)
#define LLMC_PRINTF(at, first) __attribute__((format(printf, at, first)))
#else
#define LLMC_PRINTF(at, first)
#endif
void llmc_log(const llmc_env *env, int32_t level, const char *format, ...) LLMC_PRINTF(3, 4);

#endif
