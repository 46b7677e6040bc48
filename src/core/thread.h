/* Threads, locks and one-time facts of the operating system, so that no other room includes its headers. */
#ifndef LLMC_THREAD_H
#define LLMC_THREAD_H

#include <pthread.h>
#include <stdint.h>

typedef struct llmc_mutex {
    pthread_mutex_t handle;
} llmc_mutex;
typedef struct llmc_cond {
    pthread_cond_t handle;
} llmc_cond; /* timed waits use the monotonic clock */
typedef struct llmc_thread {
    pthread_t handle;
} llmc_thread;

int llmc_mutex_init(llmc_mutex *mutex); /* 1, or 0 */
void llmc_mutex_destroy(llmc_mutex *mutex);
void llmc_mutex_lock(llmc_mutex *mutex);
void llmc_mutex_unlock(llmc_mutex *mutex);

int llmc_cond_init(llmc_cond *cond); /* 1, or 0 */
void llmc_cond_destroy(llmc_cond *cond);
void llmc_cond_signal(llmc_cond *cond);
void llmc_cond_broadcast(llmc_cond *cond);
/* Waits for at most timeout_ns; negative: without limit. 1 if woken (perhaps for nothing), 0 if the time passed. */
int llmc_cond_wait(llmc_cond *cond, llmc_mutex *mutex, int64_t timeout_ns);

/* All signals are blocked in the new thread: they are the application's. stack_size 0: the system's default. */
int llmc_thread_start(llmc_thread *thread, void (*run)(void *argument), void *argument, const char *name); /* 1, or 0 */
void llmc_thread_join(llmc_thread *thread);

int32_t llmc_cpu_count(void);                    /* cores this process may use, at least 1 */
int llmc_thread_pin(int32_t n);                  /* the calling thread, to the n-th of the cores that it may use; 1, or 0 */
uint64_t llmc_memory_available(void);            /* bytes the system (and the cgroup) can still give; UINT64_MAX if unknown */
int llmc_random_bytes(void *out, uint32_t size); /* from the system's generator; 1, or 0 */
int64_t llmc_unix_ms(void);

#endif
