/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callbacks at a task's end (asyncio's add_done_callback).
 *
 *     static intptr_t log_it(sinew_task *task, void *arg)
 *     {
 *         return printf("%s: %ld\n", (char *)arg, (long)sinew_result(task));
 *     }
 *
 *     sinew_on_done(task, log_it, "download");
 */
#ifndef SINEW_CALLBACK_H
#define SINEW_CALLBACK_H

#include <sinew/base.h>

SINEW_BEGIN_DECLS

/* `task` is borrowed and has ended. A result < 0 goes to the error handler (sinew_set_error_handler). */
typedef intptr_t (*sinew_done_fn)(sinew_task *task, void *arg);

/*
 * Has fn(task, arg) called once after the task has ended; also when it has ended already, but never inside this call or
 * inside the end itself: each callback is a task of its own in the caller's runtime, made ready in the order in which
 * they were registered, and may suspend. It sees the task-local values of the caller as they are now. Takes no
 * reference of the caller's. 0, -ENOMEM, -EINVAL (NULL), -EXDEV (a task of another runtime), -EPERM outside of a task.
 * Never suspends. What ends before the runtime does, also while that ends, has its callbacks run (they are cancelled
 * then like other tasks, at their first checkpoint); a callback of one that outlives the runtime (a future) is dropped
 * when the runtime ends. One that always registers itself again on a task that has ended keeps the runtime from ending.
 */
SINEW_API int sinew_on_done(sinew_task *task, sinew_done_fn fn, void *arg);

/* Takes back all registrations of `fn` with this task, whatever their arg, by this runtime, that have not been made
 * ready: when the task has ended, none any more. Returns how many, or -EINVAL, -EXDEV, -EPERM. Never suspends. */
SINEW_API int sinew_on_done_remove(sinew_task *task, sinew_done_fn fn);

SINEW_END_DECLS
#endif
