/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting and stopping the runtime.
 *
 *     static intptr_t hello(void *arg) {
 *         (void)arg;
 *         puts("hello");
 *         sinew_sleep(SINEW_S(1));
 *         puts("... world");
 *         return 0;
 *     }
 *     int main(void) { return (int)sinew_run(hello, NULL); }
 */
#ifndef SINEW_RUNTIME_H
#define SINEW_RUNTIME_H

#include <sinew/base.h>

SINEW_BEGIN_DECLS

#define SINEW_WORKERS_MAX         1024u
#define SINEW_STACK_BYTES_MIN     ((size_t)16 << 10)
#define SINEW_STACK_BYTES_MAX     ((size_t)1 << 30)
#define SINEW_STACK_BYTES_DEFAULT ((size_t)64 << 10)

/* Zero in a field means its default; start from `sinew_options opt = {0}`. */
typedef struct sinew_options {
    /* Worker threads, the caller of sinew_run included; at most SINEW_WORKERS_MAX. Default: the environment
     * variable SINEW_WORKERS if set, otherwise the CPUs this process may use (affinity and cgroup quota). */
    unsigned workers;
    /* Address space of one task's stack, in bytes, SINEW_STACK_BYTES_MIN to _MAX, rounded up to a power of two;
     * memory is committed as it is touched. Default 64 KiB. A task finds at least half of it free when it
     * starts; one spawned with its own stack_bytes finds all of it. */
    size_t stack_bytes;
    /* Seed of the steal order and of every other random choice. Default: from the kernel. */
    uint64_t seed;
    /* Leave SIGINT alone. By default, when sinew_run is called from the main thread while SIGINT has its default
     * action, the first SIGINT cancels the main task and the second ends the process. */
    bool keep_sigint;
} sinew_options;

/*
 * Runs `fn(arg)` as the main task, on worker threads made for it (the calling thread is one of them), until it
 * and every task it left behind have ended; what main leaves behind is cancelled when main returns, and waited for.
 * Blocks the calling thread. Call it from any thread that is not a task.
 *
 * Returns main's result, or:
 *   -EINTR    main ended cancelled because of SIGINT
 *   -EDEADLK  called inside a task; or every task waited for another one and nothing could wake them (the
 *             tasks are listed on stderr and main is cancelled once with this code)
 *   -EINVAL   fn is NULL
 *   -ENOMEM, -EAGAIN, -EMFILE   threads, memory or descriptors are refused
 *   -ENOSYS   io_uring is missing or forbidden here; stderr says in one sentence what to do
 * Errors of starting are also described on stderr in one line.
 * Follows asyncio.run.
 */
SINEW_API intptr_t sinew_run(sinew_fn fn, void *arg);

/* The same with options; `opt` is read before the call returns and may be NULL. Also -EINVAL for a field out of range.
 */
SINEW_API intptr_t sinew_run_with(const sinew_options *opt, sinew_fn fn, void *arg);

/* How many workers the caller's runtime has; 0 outside of a task. Never suspends. */
SINEW_API unsigned sinew_workers(void);

/* Index (0 ...) of the worker that runs the caller now; UINT_MAX outside of a task. Stale after any checkpoint. */
SINEW_API unsigned sinew_worker_index(void);

/* Counters since the runtime began, summed over workers; read without stopping anyone, so only roughly of one instant.
 */
typedef struct sinew_stats {
    uint64_t tasks_spawned, tasks_finished;
    uint64_t tasks_in_place; /* run as a plain call on the awaiter's stack */
    uint64_t switches;       /* fiber to fiber */
    uint64_t steals, steals_failed, tasks_stolen;
    uint64_t parks, wakes; /* workers going to sleep, and being woken by another thread */
    uint64_t polls;        /* visits to the I/O driver */
    uint64_t ops_submitted, ops_completed;
    uint64_t stacks_live, stacks_pooled; /* fibers in use, and kept for reuse */
} sinew_stats;

/* Fills *out. Returns 0, or -EPERM outside of a task, -EINVAL for NULL. Never suspends. */
SINEW_API int sinew_get_stats(sinew_stats *out);

SINEW_END_DECLS
#endif
