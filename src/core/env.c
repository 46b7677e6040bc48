/* The defaults behind llmc_env, and the log: the only places where the library reaches malloc and the monotonic clock. */
#include "core/env.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void *default_allocate(void *user, void *old, size_t old_size, size_t new_size) {
    (void)user;
    (void)old_size;
    if (new_size == 0) {
        free(old);
        return NULL;
    }
    return realloc(old, new_size);
}

static int64_t default_clock(void *user) {
    (void)user;
    struct timespec now;
    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) return 0;
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

void llmc_env_init(llmc_env *env, const llmcall_engine_options *options) {
    /* Only what the caller's version of the struct has is read. */
    llmcall_engine_options known = {0};
    if (options) memcpy(&known, options, options->struct_size < sizeof known ? options->struct_size : sizeof known);
    env->allocate = known.allocate ? known.allocate : default_allocate;
    env->allocate_user = known.allocate ? known.allocate_user : NULL;
    env->log = known.log;
    env->log_user = known.log_user;
    env->clock = known.clock ? known.clock : default_clock;
    env->clock_user = known.clock ? known.clock_user : NULL;
}

int64_t llmc_now(const llmc_env *env) {
    return env->clock(env->clock_user);
}

void llmc_log(const llmc_env *env, int32_t level, const char *format, ...) {
    if (!env || !env->log) return;
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    if (written >= 0) env->log(env->log_user, level, message);
}
