/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that block, off the workers: what computes for long, what has no asynchronous form (getaddrinfo, a database
 * library, file systems), what waits for a lock of another library.
 *
 *     static intptr_t look_up(void *arg) { return getaddrinfo(...); }
 *     ...
 *     intptr_t r = sinew_blocking_wait(look_up, &query);    // other tasks run meanwhile on this worker
 *
 * Each runtime has a pool of threads for them. Threads are started when there is something to run, up to
 * sinew_options.blocking_threads, and end when they have had nothing to do for ten seconds. What finds no free thread
 * waits in line, first come, first served: a pool full of calls that wait for one further back never gets there.
 *
 * The function runs in a plain thread, not in a task: sinew_self() is NULL there, and calls that need a task return
 * -EPERM. It may set and post what wakes tasks, and it may call sinew_run. Asynchronous signals are blocked in these
 * threads. It must return, and not end its thread.
 *
 * sinew_run returns when all of it has ended, also what nobody waits for any more: a function that blocks for ever
 * keeps it from returning. (SIGINT has its former action again by then.)
 */
#ifndef SINEW_BLOCKING_H
#define SINEW_BLOCKING_H

#include <sinew/base.h>

SINEW_BEGIN_DECLS

/*
 * Runs fn(arg) on a thread of the pool and returns its result; suspends the caller meanwhile.
 *
 * Cancelled (or timed out) while fn waits in line: it never runs, and -ECANCELED (-ETIMEDOUT) is returned.
 * Cancelled WHILE FN RUNS: THE CALL RETURNS AT ONCE AND FN GOES ON TO ITS END. What `arg` points to must live until
 * then, so it must not lie on the caller's stack; fn's result, and what it has opened or allocated, is lost to the
 * caller. sinew_blocking_wait has neither trouble.
 * When fn has ended before the cancel is seen, its result is returned and the request stays pending.
 *
 * -EINVAL: fn is NULL; -ENOMEM; -EAGAIN: the system refuses a thread and the pool has none (fn does not run); -EPERM.
 * Follows asyncio.to_thread.
 */
SINEW_API intptr_t sinew_blocking(sinew_fn fn, void *arg);

/*
 * The same, but once fn has begun the call waits for its end and returns its result, so `arg` may point to the caller's
 * stack. A cancel or timeout meanwhile stays pending for the next checkpoint. fn that still waits in line is removed by
 * a cancel, as above. Never -ENOMEM.
 */
SINEW_API intptr_t sinew_blocking_wait(sinew_fn fn, void *arg);

SINEW_END_DECLS
#endif
