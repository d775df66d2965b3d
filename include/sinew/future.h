/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Futures: a result that somebody will set, from any task of any runtime or from a plain thread.
 *
 *     sinew_future *f = sinew_future_new();
 *     start_something(callback, f);                 // callback, in whatever thread: sinew_future_set(f, 42)
 *     intptr_t r = sinew_future_await(f);           // 42
 *     sinew_future_unref(f);
 *
 * A future is completed once. Handles are counted references; they belong to no runtime and may outlive all. Where a
 * task is wanted (gather, wait, wait_for, shield, select, callbacks), sinew_future_task makes a handle that is one.
 */
#ifndef SINEW_FUTURE_H
#define SINEW_FUTURE_H

#include <sinew/base.h>

SINEW_BEGIN_DECLS

typedef struct sinew_future sinew_future;

/* A new, incomplete future with one reference, or NULL: no memory. Any thread. Never suspends. */
SINEW_API sinew_future *sinew_future_new(void);

/* One more reference, and one less; the last one frees it, complete or not. NULL is allowed. Any thread. Never suspend.
 */
SINEW_API sinew_future *sinew_future_ref(sinew_future *f);
SINEW_API void sinew_future_unref(sinew_future *f);

/* Completes it: `result` is >= 0, or a negative errno. Who waits is made ready, in the order in which they came, and
 * runs later. 0; -EALREADY when it was completed or cancelled before; -EINVAL for NULL. Any thread. Never suspends. */
SINEW_API int sinew_future_set(sinew_future *f, intptr_t result);

/* Completes it with -ECANCELED: false when it was complete already. Any thread. Never suspends. */
SINEW_API bool sinew_future_cancel(sinew_future *f);

/* Is it complete? NULL gives true. Any thread. */
SINEW_API bool sinew_future_done(const sinew_future *f);

/* What it was completed with; -EINPROGRESS while it is not, -EINVAL for NULL. Any thread. Never suspends. */
SINEW_API intptr_t sinew_future_result(sinew_future *f);

/*
 * Waits until it is complete and returns the result; uses no reference up. A task suspends, unless it is complete
 * already; a plain thread is blocked. Any number may wait, and each gets the same. Cancelling one that waits cancels
 * the future, and so reaches all others: wait for it through sinew_shield where that is not meant. -EINVAL for NULL,
 * -EPERM in an error handler. Follows asyncio.Future.
 */
SINEW_API intptr_t sinew_future_await(sinew_future *f);

/* The future as a task: a new reference, to be used up by an await, a gather, sinew_detach ...; cancelling it completes
 * the future with -ECANCELED. NULL gives NULL. Any thread. Never suspends. */
SINEW_API sinew_task *sinew_future_task(sinew_future *f);

SINEW_END_DECLS
#endif
