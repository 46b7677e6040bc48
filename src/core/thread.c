/* Threads, locks and facts of the system for Linux with glibc. */
#define _GNU_SOURCE
#include "core/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

int llmc_mutex_init(llmc_mutex *mutex) {
    return pthread_mutex_init(&mutex->handle, NULL) == 0;
}
void llmc_mutex_destroy(llmc_mutex *mutex) {
    pthread_mutex_destroy(&mutex->handle);
}
void llmc_mutex_lock(llmc_mutex *mutex) {
    pthread_mutex_lock(&mutex->handle);
}
void llmc_mutex_unlock(llmc_mutex *mutex) {
    pthread_mutex_unlock(&mutex->handle);
}

int llmc_cond_init(llmc_cond *cond) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0) return 0;
    int made =
        pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0 && pthread_cond_init(&cond->handle, &attributes) == 0;
    pthread_condattr_destroy(&attributes);
    return made;
}

void llmc_cond_destroy(llmc_cond *cond) {
    pthread_cond_destroy(&cond->handle);
}
void llmc_cond_signal(llmc_cond *cond) {
    pthread_cond_signal(&cond->handle);
}
void llmc_cond_broadcast(llmc_cond *cond) {
    pthread_cond_broadcast(&cond->handle);
}

int llmc_cond_wait(llmc_cond *cond, llmc_mutex *mutex, int64_t timeout_ns) {
    if (timeout_ns < 0) return pthread_cond_wait(&cond->handle, &mutex->handle) == 0;
    const int64_t second = 1000000000, century = 3153600000 * second; /* the cap keeps the sum below in range */
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    int64_t nanoseconds = until.tv_nsec + (timeout_ns < century ? timeout_ns : century);
    until.tv_sec += nanoseconds / second;
    until.tv_nsec = nanoseconds % second;
    return pthread_cond_timedwait(&cond->handle, &mutex->handle, &until) == 0;
}

/* What a new thread copies before the starter's stack frame may go. */
typedef struct start_record {
    void (*run)(void *argument);
    void *argument;
    const char *name;
    sem_t copied;
} start_record;

static void *thread_main(void *start_argument) {
    start_record *start = start_argument;
    void (*run)(void *) = start->run;
    void *argument = start->argument;
    char name[16]; /* the kernel's limit, NUL included */
    snprintf(name, sizeof name, "%s", start->name ? start->name : "llmcall");
    sem_post(&start->copied);
    pthread_setname_np(pthread_self(), name);
    run(argument);
    return NULL;
}

int llmc_thread_start(llmc_thread *thread, void (*run)(void *argument), void *argument, const char *name) {
    start_record start = {.run = run, .argument = argument, .name = name};
    if (sem_init(&start.copied, 0, 0) != 0) return 0;
    sigset_t all, before;
    sigfillset(&all);
    int made = pthread_sigmask(SIG_SETMASK, &all, &before) == 0;
    if (made) {
        made = pthread_create(&thread->handle, NULL, thread_main, &start) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    while (made && sem_wait(&start.copied) != 0) {}
    sem_destroy(&start.copied);
    return made;
}

void llmc_thread_join(llmc_thread *thread) {
    pthread_join(thread->handle, NULL);
}

int32_t llmc_cpu_count(void) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
    long online = sysconf(_SC_NPROCESSORS_ONLN); /* more cores than cpu_set_t holds */
    return online > 0 && online < 65536 ? (int32_t)online : 1;
}

int llmc_thread_pin(int32_t n) {
    cpu_set_t may, one;
    if (n < 0 || sched_getaffinity(0, sizeof may, &may) != 0) return 0;
    int cpu = 0;
    for (; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &may) && n-- == 0) break;
    }
    if (cpu == CPU_SETSIZE) return 0;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    return pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0;
}

int llmc_random_bytes(void *out, uint32_t size) {
    uint8_t *at = out;
    while (size > 0) {
        ssize_t n = getrandom(at, size, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return 0;
        at += n;
        size -= (uint32_t)n;
    }
    return 1;
}

int64_t llmc_unix_ms(void) {
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return 0;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- Memory that the system can still give ---- */

/* The beginning of a small text file, NUL-terminated; 0 if it cannot be read. */
static int read_text(const char *path, char *text, size_t capacity) {
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    size_t size = 0;
    ssize_t n;
    do {
        n = read(file, text + size, capacity - 1 - size);
        if (n > 0) size += (size_t)n;
    } while ((n > 0 && size < capacity - 1) || (n < 0 && errno == EINTR));
    close(file);
    text[size] = 0;
    return n >= 0;
}

/* The number after key at the start of a line; 0 if there is none. */
static int number_after(const char *text, const char *key, uint64_t *number) {
    size_t length = strlen(key);
    for (const char *line = text; line; line = strchr(line, '\n')) {
        if (*line == '\n') line++;
        if (strncmp(line, key, length) != 0) continue;
        char *end;
        errno = 0;
        unsigned long long value = strtoull(line + length, &end, 10);
        if (end == line + length || errno) return 0;
        *number = value;
        return 1;
    }
    return 0;
}

typedef struct cgroup_kind {
    const char *line; /* how its line in /proc/self/cgroup is recognised */
    const char *mount;
    const char *limit, *used, *reclaimable; /* file names, and the key in memory.stat */
} cgroup_kind;

static const cgroup_kind cgroup_kinds[] = {
    {"0::", "/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "},
    {":memory:", "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "},
};

static int cgroup_number(const char *folder, const char *file, const char *key, uint64_t *number) {
    char path[1200], text[8192];
    int written = snprintf(path, sizeof path, "%s/%s", folder, file);
    return written > 0 && written < (int)sizeof path && read_text(path, text, sizeof text) && number_after(text, key, number);
}

/* What one group leaves: the limit less what is used, where file cache that nobody reads any more does not count as used. */
static uint64_t cgroup_left(const cgroup_kind *kind, const char *folder) {
    uint64_t limit, used, cache = 0;
    if (!cgroup_number(folder, kind->limit, "", &limit) || !cgroup_number(folder, kind->used, "", &used)) return UINT64_MAX;
    if (cgroup_number(folder, "memory.stat", kind->reclaimable, &cache)) used -= cache < used ? cache : used;
    return limit > used ? limit - used : 0;
}

/* The least over the process's group and all above it. In a container the path may be the host's; then only the last step, the
 * mount itself, exists. */
static uint64_t cgroup_available(const cgroup_kind *kind, const char *groups) {
    const char *line = strstr(groups, kind->line);
    if (!line) return UINT64_MAX;
    line += strlen(kind->line);
    char folder[1024];
    int written = snprintf(folder, sizeof folder, "%s%.*s", kind->mount, (int)strcspn(line, "\n"), line);
    if (written <= 0 || written >= (int)sizeof folder) return UINT64_MAX;
    uint64_t least = UINT64_MAX;
    for (char *slash = folder; slash && strlen(folder) >= strlen(kind->mount); slash = strrchr(folder, '/')) {
        if (slash != folder) *slash = 0;
        if (strlen(folder) < strlen(kind->mount)) break;
        uint64_t left = cgroup_left(kind, folder);
        if (left < least) least = left;
    }
    return least;
}

uint64_t llmc_memory_available(void) {
    char text[8192];
    uint64_t least = UINT64_MAX, kib;
    if (read_text("/proc/meminfo", text, sizeof text) && number_after(text, "MemAvailable:", &kib) && kib < UINT64_MAX / 1024)
        least = kib * 1024;
    if (!read_text("/proc/self/cgroup", text, sizeof text)) return least;
    for (size_t i = 0; i < sizeof cgroup_kinds / sizeof *cgroup_kinds; i++) {
        uint64_t left = cgroup_available(&cgroup_kinds[i], text);
        if (left < least) least = left;
    }
    return least;
}
