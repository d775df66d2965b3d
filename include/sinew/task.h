/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks: spawn, await, gather, wait, shield, cancel.
 *
 *     sinew_task *t = sinew_spawn(work, &job);   // runs concurrently, on any worker
 *     ...
 *     intptr_t r = sinew_await(t);               // its result; the handle is used up
 *
 * Handles. sinew_spawn returns one reference. sinew_await, sinew_detach, sinew_wait_for, sinew_shield and the gathers
 * each use one up; sinew_ref makes another. The last reference gone, the task still runs to its end. Debug builds stop
 * with a message when a handle is used after its last reference.
 *
 * All calls here except sinew_done, sinew_result, sinew_name, sinew_task_created_at, sinew_cancel, sinew_ref and
 * sinew_detach are for tasks of the runtime that owns the handle: outside of a task they return -EPERM (or NULL,
 * false), in a task of another runtime -EXDEV (the reference is then not used up, but by the gathers). A plain thread
 * waits with sinew_task_join. Handles end with their runtime: once sinew_run has returned none may be used, in any
 * thread.
 *
 * Errors. A task that ended with an error (other than -ECANCELED) whose result nobody has had by the time its last
 * reference goes is reported to the error handler (sinew_set_error_handler), by default with a line on stderr; not if
 * somebody has cancelled it after its end.
 */
#ifndef SINEW_TASK_H
#define SINEW_TASK_H

#include <sinew/base.h>

SINEW_BEGIN_DECLS

/* Zero in a field means its default. */
typedef struct sinew_spawn_options {
    const char *name;   /* copied; default "Task-N" */
    size_t stack_bytes; /* this task finds at least so much stack; default: see sinew_options */
    bool pinned;        /* stays on the worker that spawns it, for libraries that keep thread-local state */
    bool eager;         /* runs inside the spawn call until its first suspension (Python's eager tasks) */
} sinew_spawn_options;

/*
 * Schedules fn(arg) as a new task and returns a reference to it. Never runs it inside the call; tasks spawned by one
 * task start in that order where one worker runs them. `arg` stays the caller's. Never suspends. Returns NULL when
 * memory is refused, fn is NULL, or outside of a task; passing that NULL on shows as -EINVAL at the await. Follows
 * asyncio.create_task.
 */
SINEW_API sinew_task *sinew_spawn(sinew_fn fn, void *arg);

/* The same with options; NULL also when stack_bytes is out of range. An eager task may suspend without suspending the
 * caller. */
SINEW_API sinew_task *sinew_spawn_with(const sinew_spawn_options *opt, sinew_fn fn, void *arg);

/*
 * Waits for the task to end and returns its result; uses the reference up. A task nobody has started yet runs right
 * here. A finished task's result is returned without giving up the processor. May suspend.
 *
 * Cancelling the caller cancels the awaited task and waits for its end: if that task answers with a value, the
 * value is returned and the request is used up; if it ends cancelled, -ECANCELED is returned (-ETIMEDOUT
 * when it was a timeout scope of the caller). A request that comes when the task has ended already, before the caller
 * goes on, is returned instead of the result.
 * Errors: -EINVAL for NULL, -EDEADLK when a task awaits itself (the reference is not used up) or a cancel has gone
 * round a circle of tasks that await each other (it is used up), and whatever the task returned.
 */
SINEW_API intptr_t sinew_await(sinew_task *task);

/* One more reference to the same task; each may be awaited once. NULL gives NULL. Any thread. Never suspends. */
SINEW_API sinew_task *sinew_ref(sinew_task *task);

/* Drops a reference without waiting; the task runs on. NULL is allowed. Any thread. Never suspends. */
SINEW_API void sinew_detach(sinew_task *task);

/*
 * Waits for `n` tasks and stores their results in argument order (results may be NULL). Uses up all references.
 * Returns 0, or the first error (a result < 0, by time) at once, while the other tasks continue; results[i] of a task
 * not finished then is -EINPROGRESS. A NULL task counts as one that failed with -EINVAL; with the caller among them
 * -EDEADLK is returned and no reference is used up. n == 0 gives 0. May suspend.
 * Cancelling the caller cancels every unfinished task, those not started never start. The first of them that ends
 * cancelled or with an error ends the wait (-ECANCELED or -ETIMEDOUT, or that error); if all of them answer with
 * values, -ECANCELED (or -ETIMEDOUT) is returned when they have. A request that comes when the result is decided
 * already, before the caller goes on, is returned instead of it. -ENOMEM: the references are dropped, the tasks run on.
 * Follows asyncio.gather.
 */
SINEW_API int sinew_gather(sinew_task **tasks, size_t n, intptr_t *results);

/* The same, but errors are results like others: waits for all tasks and returns 0, also when cancelled: then it returns
 * -ECANCELED or -ETIMEDOUT after all have ended. gather(..., return_exceptions=True). */
SINEW_API int sinew_gather_settled(sinew_task **tasks, size_t n, intptr_t *results);

/*
 * Runs fn(args + i * stride) for i in 0..n-1 as n concurrent tasks and waits for all of them: gather(f(x) for x in xs)
 * without handles. stride 0 gives each the same pointer. `args` and `results` (may be NULL) are lent until the call
 * returns, so it waits for all even when one fails; then it returns the first error by time.
 * May suspend; cancelling the caller cancels every unfinished one; a request that finds none is returned instead of the
 * error. -EINVAL for fn NULL, -ENOMEM.
 */
SINEW_API int sinew_map(sinew_fn fn, void *args, size_t stride, size_t n, intptr_t *results);

typedef enum sinew_wait_mode {
    SINEW_ALL_COMPLETED,
    SINEW_FIRST_COMPLETED,
    SINEW_FIRST_EXCEPTION, /* one failed (being cancelled does not count), or all ended */
} sinew_wait_mode;

/*
 * Waits until `mode` is satisfied or `timeout` has passed (SINEW_FOREVER: no limit). Uses up nothing and cancels
 * nothing. done[i] (done may be NULL) says whether tasks[i] has ended. Always suspends once. Returns how many have
 * ended, or -EINVAL (n == 0, a NULL task, unknown mode), -ENOMEM, -ECANCELED, -ETIMEDOUT (a scope of the caller, not
 * `timeout`). Follows asyncio.wait.
 */
SINEW_API int sinew_wait(sinew_task *const *tasks, size_t n, sinew_wait_mode mode, sinew_time timeout, bool *done);

/*
 * Tasks in the order in which they end:
 *
 *     sinew_as_completed it;
 *     int r = sinew_as_completed_begin(&it, tasks, n, SINEW_S(5));
 *     for (intptr_t i; r == 0 && (i = sinew_as_completed_next(&it)) != -ENOENT;)
 *         if (i >= 0)
 *             use(sinew_await(tasks[i]));
 *         else ...                             // -ETIMEDOUT, -ECANCELED
 *     sinew_as_completed_end(&it);
 *
 * On the stack of the task that begins it, and for that task only. Each begin that returned 0 wants an end, before the
 * struct goes. Follows asyncio.as_completed.
 */
typedef struct sinew_as_completed {
    uint64_t opaque_[16];
} sinew_as_completed;

/*
 * Begins to watch `n` tasks for at most `timeout` (SINEW_FOREVER: no limit; <= 0: only what has ended already). Uses up
 * no reference, and the caller may use up its own at any time; the array is not needed any longer when this returns.
 * n == 0 is allowed. 0, or -EINVAL (it or a task is NULL), -EDEADLK (the caller is among them), -EXDEV, -ENOMEM,
 * -EPERM. Never suspends.
 */
SINEW_API int sinew_as_completed_begin(sinew_as_completed *it, sinew_task *const *tasks, size_t n, sinew_time timeout);

/*
 * Waits for the next task to end and returns its index. Those that had ended when begin returned come first, in the
 * order of the array; of one that is in the array several times only the first index is returned. May suspend.
 *
 * When `timeout` has passed, what had ended before is still returned; then each call returns -ETIMEDOUT at once, one
 * for each task not returned before. After the last task or -ETIMEDOUT: -ENOENT, again and again.
 *
 * -ECANCELED, or -ETIMEDOUT for a timeout scope of the caller: nothing is lost, and the next call goes on where this
 * one stopped. -ETIMEDOUT is the iterator's own if sinew_as_completed_timed_out says so, otherwise a scope's. In no
 * case are the tasks cancelled. -EINVAL: not begun, or ended; -EPERM: another task has begun it.
 */
SINEW_API intptr_t sinew_as_completed_next(sinew_as_completed *it);

/* Has sinew_as_completed_next returned -ETIMEDOUT because the iterator's own timeout has passed? From then on it
 * returns no -ETIMEDOUT of a scope any more. Never suspends. */
SINEW_API bool sinew_as_completed_timed_out(const sinew_as_completed *it);

/* Ends it; the tasks go on. One whose begin failed, or that was ended, may be ended too. NULL is allowed. Never
 * suspends. */
SINEW_API void sinew_as_completed_end(sinew_as_completed *it);

/*
 * sinew_await with a limit: when `timeout` passes, cancels the task, waits for its real end and returns -ETIMEDOUT, or
 * the task's own answer if it ended otherwise. timeout <= 0: a finished task's result, or -ETIMEDOUT with the task
 * cancelled, never started if it had not. Uses the reference up. May suspend. Follows asyncio.wait_for.
 */
SINEW_API intptr_t sinew_wait_for(sinew_task *task, sinew_time timeout);

/* sinew_await that does not pass a cancel on: the caller returns -ECANCELED or -ETIMEDOUT at once and the task goes on.
 * Uses the reference up. May suspend. Follows asyncio.shield. */
SINEW_API intptr_t sinew_shield(sinew_task *task);

/*
 * Requests cancellation: counted, and delivered at the task's current or next checkpoint as -ECANCELED, once for all
 * requests made until then. A task that has not started never starts; one that ends without another checkpoint ends
 * with -ECANCELED instead of a result >= 0. Returns false when the task had already ended (or is NULL).
 * Never suspends. Any thread that holds a reference.
 */
SINEW_API bool sinew_cancel(sinew_task *task);

/* The calling task's cancel requests not yet taken back, counted up to 2047; -EPERM outside of a task. */
SINEW_API int sinew_cancelling(void);

/* Takes one request back and returns how many are left (never below 0); at zero a request not yet delivered is dropped.
 * -EPERM outside of a task. */
SINEW_API int sinew_uncancel(void);

/* The calling task, borrowed (no reference is counted); NULL outside of a task. */
SINEW_API sinew_task *sinew_self(void);

/* Has the task ended? Any thread. NULL gives true. */
SINEW_API bool sinew_done(const sinew_task *task);

/* The result of a task that has ended; -EINPROGRESS while it has not, -EINVAL for NULL. Uses nothing up. Any thread.
 * Never suspends. */
SINEW_API intptr_t sinew_result(sinew_task *task);

/* The task's name, valid while the caller holds its reference; "Task-N" unless one was given. NULL gives "(none)". */
SINEW_API const char *sinew_name(const sinew_task *task);

/*
 * Where a task was made, in debug mode (sinew_options): the return addresses of the calls that led to its spawn,
 * innermost first, from the caller of sinew_spawn on; ten at most. Of a future (sinew_future_task) those that led to
 * sinew_future_new, of an element of a map those to sinew_map. Writes up to `max` of them and returns how many there
 * are; 0 when none were kept, or for NULL. backtrace_symbols(3) and addr2line(1) give them names. Any thread. Never
 * suspends. Follows the source_traceback of asyncio.
 */
SINEW_API size_t sinew_task_created_at(const sinew_task *task, void **frames, size_t max);

SINEW_END_DECLS
#endif
