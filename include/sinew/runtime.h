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

#define SINEW_WORKERS_MAX              1024u
#define SINEW_BLOCKING_THREADS_MAX     1024u
#define SINEW_BLOCKING_THREADS_DEFAULT 64u
#define SINEW_STACK_BYTES_MIN          ((size_t)16 << 10)
#define SINEW_STACK_BYTES_MAX          ((size_t)1 << 30)
#define SINEW_STACK_BYTES_DEFAULT      ((size_t)64 << 10)

/* How a runtime does its I/O: `driver` in sinew_options. */
typedef enum sinew_driver {
    SINEW_DRIVER_DEFAULT,
    SINEW_DRIVER_IO_URING,
    SINEW_DRIVER_EPOLL,
} sinew_driver;

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
     * action, the first SIGINT cancels the main task and the second ends the process; not while somebody handles it or
     * listens to it (sinew/signal.h). */
    bool keep_sigint;
    /* Threads for sinew_blocking at most, started when needed; at most SINEW_BLOCKING_THREADS_MAX. Default 64. */
    unsigned blocking_threads;
    /* Debug mode: every task and future keeps where it was made (sinew_task_created_at), which is shown with its
     * errors, in the report of a deadlock and in those of slow tasks; and slow_step has a default. Spawning then takes
     * some microseconds. The environment variable SINEW_DEBUG=1 switches it on for all runtimes of the process. (Not
     * to be taken for a debug build of sinew, -DSINEW_DEBUG=ON for CMake, which checks sinew's own insides and the use
     * of handles; either goes without the other.) Follows asyncio's debug mode. */
    bool debug;
    /* A task that runs for at least so long without suspending is reported to the error handler
     * (sinew_error_report.took); SINEW_FOREVER: none is. Default: the environment variable SINEW_SLOW_MS (milliseconds)
     * if set, otherwise 100 ms in debug mode and SINEW_FOREVER without. A thread looks at the workers four times in
     * that time, though at most every millisecond; tasks do not notice. Follows loop.slow_callback_duration. */
    sinew_time slow_step;
    /* What I/O goes through. Default: the environment variable SINEW_DRIVER ("io_uring" or "epoll") if set, otherwise
     * io_uring, and epoll where the kernel, a seccomp profile or a memory limit refuses that, be it only to one of the
     * workers: all use the same. Calls mean the same with either; what differs stands in sinew/io.h. */
    sinew_driver driver;
} sinew_options;

/*
 * Runs `fn(arg)` as the main task, on worker threads made for it (the calling thread is one of them), until it
 * and every task it left behind have ended; what main leaves behind is cancelled when main returns, and waited for.
 * Blocks the calling thread. Call it from any thread that is not a task.
 *
 * Returns main's result, or:
 *   -EINTR    main ended cancelled because of SIGINT
 *   -EDEADLK  called inside a task; or every task waited for another one and nothing could wake them, no thread of
 *             the process either (sinew/sync.h); the tasks are listed on stderr and main is cancelled once with this
 *             code
 *   -EINVAL   fn is NULL
 *   -ENOMEM, -EAGAIN, -EMFILE   threads, memory or descriptors are refused
 *   -ENOSYS   io_uring was demanded (`driver`), and is missing or forbidden here; stderr says what to do
 *
 * Errors of starting are also described on stderr in one line. Follows asyncio.run.
 *
 * fork(2) is allowed at any time, in tasks too. The child is outside of every runtime: tasks, handles, locks and
 * descriptors of the parent's are not for it, calls for tasks return -EPERM, and SIGINT has its default action again
 * if sinew_run had taken it. It may call sinew_run itself. A child that a task forked goes on on that task's stack (so
 * a sinew_run there has only what is left of it), and must never return from the task's function: it ends by exec or
 * _exit. exit() would run the parent's atexit functions and write out its buffered output again.
 */
SINEW_API intptr_t sinew_run(sinew_fn fn, void *arg);

/* The same with options; `opt` is read before the call returns and may be NULL. Also -EINVAL for a field out of range.
 */
SINEW_API intptr_t sinew_run_with(const sinew_options *opt, sinew_fn fn, void *arg);

/* A runtime, for threads that are not its tasks. */
typedef struct sinew_runtime sinew_runtime;

/*
 * Starts a runtime beside the calling thread, for programs whose main thread is not a task. *out is valid until
 * sinew_runtime_stop. 0, or a negative errno as of sinew_run_with (and then *out is NULL), -EINVAL when out is NULL,
 * -EDEADLK inside a task. SIGINT is left alone; deadlocks are not reported, since any thread may bring work. Blocks
 * until it runs. Any thread but a task's.
 */
SINEW_API int sinew_runtime_start(const sinew_options *opt, sinew_runtime **out);

/*
 * Cancels what is left in it, waits for all of it, and ends it; handles of its tasks end with it. When this has
 * returned nobody may use `rt` or such a handle, so tell threads that might before. 0, -EINVAL (NULL, or the runtime of
 * a sinew_run), -EDEADLK inside a task or a sinew_blocking function of it, -EALREADY when another thread is stopping
 * it. Blocks the calling thread.
 */
SINEW_API int sinew_runtime_stop(sinew_runtime *rt);

/* Runs fn(arg) as a task of the runtime and waits for it: sinew_run in a runtime that goes on (asyncio.Runner.run). Its
 * result; -EINVAL, -ENOMEM, -ESHUTDOWN when the runtime is stopping, -EDEADLK inside a task. Blocks the calling thread.
 */
SINEW_API intptr_t sinew_runtime_run(sinew_runtime *rt, sinew_fn fn, void *arg);

/* The caller's runtime, also that of a sinew_run, valid until that returns; NULL outside of a task. Never suspends. */
SINEW_API sinew_runtime *sinew_runtime_self(void);

/*
 * Spawns a task in the runtime, from any thread or any task, and returns a reference to it: for sinew_task_join,
 * sinew_cancel, sinew_done, sinew_result, sinew_name and sinew_detach in a plain thread, for everything in a task of
 * that runtime. NULL: no memory, rt or fn is NULL, or the runtime is ending. Never suspends. Follows
 * asyncio.run_coroutine_threadsafe.
 */
SINEW_API sinew_task *sinew_spawn_on(sinew_runtime *rt, sinew_fn fn, void *arg);

/* Waits, in a thread that runs no tasks, for a task's end; uses the reference up and returns the result. -EINVAL for
 * NULL, -EDEADLK inside a task (the reference is not used up). Blocks the calling thread; it cannot be cancelled, the
 * task can. */
SINEW_API intptr_t sinew_task_join(sinew_task *task);

/*
 * What is said of an error that nobody asked for, or of a slow task (took != 0). All that it points to is valid during
 * the call.
 *
 * A slow task ran for `took` without suspending, or a little longer. It is reported when it has suspended or ended; one
 * that goes on is also reported meanwhile, at ten times the limit (sinew_options.slow_step), a hundred times, and so
 * on. Tasks that run in place on the stack of one that awaits them have times of their own, as in asyncio; a yield that
 * finds nobody to yield to ends a time, too. Work in sinew_blocking's threads is not looked at. What is longer than the
 * limit by less than a quarter may be missed.
 */
typedef struct sinew_error_report {
    const char *what;     /* a sentence */
    const char *name;     /* of the task */
    intptr_t error;       /* a negative errno; 0: a slow task */
    sinew_time took;      /* a slow task's; otherwise 0 */
    size_t created_count; /* in debug mode, where the task was made: see sinew_task_created_at */
    void *const *created;
    size_t stack_count; /* of a slow task, where it stood when the limit was passed, innermost call first; */
    void *const *stack; /* 0: unknown, as when its thread was inside of a system call */
} sinew_error_report;

/* Called in whatever thread the last reference went, which may be inside of another call of sinew, and for handles that
 * were left, when their runtime ends: so `arg` is to live until then. It must not suspend. Several
 * threads may be in it at once.
 * Slow tasks are reported by a thread that is none of the workers, while they may still run. */
typedef void (*sinew_error_handler)(const sinew_error_report *report, void *arg);

/* Sets the handler of the caller's runtime; NULL: a line on stderr, the default, and below it, in
 * debug mode, where the task was made. 0, or -EPERM outside of a task. Waits for a report of a slow task that is being
 * made; after that the handler from before is called for none any more. Never suspends. Follows
 * loop.set_exception_handler. */
SINEW_API int sinew_set_error_handler(sinew_error_handler handler, void *arg);

/* One task of a listing. */
typedef struct sinew_task_info {
    const void *id; /* the address of its handle: to compare with, not to use */
    char name[48];  /* cut if longer; empty when none was given and nobody has asked for it */
} sinew_task_info;

/*
 * Lists the tasks of a runtime (NULL: the caller's) that have not ended, the caller included, sorted by id: writes up
 * to `max` of them to `out` and returns how many there are. Tasks go on meanwhile: one that lives through the whole
 * call is listed, one that had ended before is not. 0 outside of a task for NULL. Any thread. Never suspends. Follows
 * asyncio.all_tasks.
 */
SINEW_API size_t sinew_tasks(sinew_runtime *rt, sinew_task_info *out, size_t max);

/* How many workers the caller's runtime has; 0 outside of a task. Never suspends. */
SINEW_API unsigned sinew_workers(void);

/* What the caller's runtime does its I/O through, "io_uring" or "epoll"; NULL outside of a task. Never suspends. */
SINEW_API const char *sinew_driver_name(void);

/* Index (0 ...) of the worker that runs the caller now; UINT_MAX outside of a task. Stale after any checkpoint. */
SINEW_API unsigned sinew_worker_index(void);

/*
 * Gives the memory of the calling task's stack below the caller's frame back to the kernel. A stack keeps each page
 * that was ever touched, also by tasks that used it before, so one of many tasks that is about to wait for long calls
 * this first: it then holds the pages that its open calls are on, mostly one. A system call, half a microsecond and
 * more if there is something; going that deep again costs a page fault a page, one or two microseconds each. So it is
 * nothing for each request of a busy connection, but for one that has been idle for a while. 0, or -EPERM outside of a
 * task. Never suspends.
 */
SINEW_API int sinew_stack_trim(void);

/* Counters since the runtime began, summed over workers; read without stopping anyone, so only roughly of one instant.
 */
typedef struct sinew_stats {
    uint64_t tasks_spawned, tasks_finished;
    uint64_t tasks_in_place; /* run as a plain call on the awaiter's stack */
    uint64_t switches;       /* fiber to fiber */
    uint64_t steals, steals_failed, tasks_stolen;
    uint64_t parks, wakes; /* workers going to sleep, and being woken by another thread */
    uint64_t polls;        /* visits to the I/O driver */
    uint64_t kicks;        /* computing workers interrupted, so that others could take their finished I/O */
    uint64_t ops_submitted, ops_completed;
    uint64_t stacks_live, stacks_pooled; /* fibers in use, and kept for reuse */
    uint64_t blocking_threads;           /* threads for blocking calls, now */
    uint64_t blocking_queued;            /* blocking calls that wait for one of them, now */
} sinew_stats;

/* Fills *out. Returns 0, or -EPERM outside of a task, -EINVAL for NULL. Never suspends. */
SINEW_API int sinew_get_stats(sinew_stats *out);

SINEW_END_DECLS
#endif
