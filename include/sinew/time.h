/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clock, sleeping, yielding, timeout scopes.
 *
 *     sinew_timeout t;
 *     sinew_timeout_begin(&t, SINEW_S(5));
 *     int r = read_request(fd);                    // calls inside return -ETIMEDOUT when 5 s have passed
 *     if (sinew_timeout_end(&t) == -ETIMEDOUT) ... // this scope: not one around it, and no cancel
 */
#ifndef SINEW_TIME_H
#define SINEW_TIME_H

#include <sinew/base.h>

SINEW_BEGIN_DECLS

/* CLOCK_MONOTONIC now. Any thread. */
SINEW_API sinew_time sinew_now(void);

/* Suspends for at least `duration`; <= 0 is sinew_yield. Returns 0, -ECANCELED, -ETIMEDOUT or -EPERM. */
SINEW_API int sinew_sleep(sinew_time duration);

/* Suspends until the instant; one already past is sinew_yield. Returns as sinew_sleep. */
SINEW_API int sinew_sleep_until(sinew_time instant);

/* Lets every task that is ready on this worker run before the caller goes on. Returns as sinew_sleep. */
SINEW_API int sinew_yield(void);

/*
 * A timeout scope, on the caller's stack; belongs to the task that began it. Scopes nest; end them in reverse order,
 * in the same task, and each one before its memory goes: also before an early return. (Debug builds stop a task that
 * returns with one open.) When the deadline passes, the task's current or next suspending call inside
 * returns -ETIMEDOUT, once; what the call was doing is undone as for a cancel. If the task was also cancelled,
 * -ECANCELED is delivered instead. Follows asyncio.timeout.
 */
typedef struct sinew_timeout {
    uint64_t opaque_[10];
} sinew_timeout;

/* Begins a scope of `duration` from now: SINEW_FOREVER for none yet; <= 0 expires at the next checkpoint. Never
 * suspends. */
SINEW_API void sinew_timeout_begin(sinew_timeout *t, sinew_time duration);

/* The same with the deadline itself, an instant of sinew_now: SINEW_FOREVER for none, one already past expires at the
 * next checkpoint. Never suspends. Follows asyncio.timeout_at. */
SINEW_API void sinew_timeout_begin_at(sinew_timeout *t, sinew_time instant);

/* Moves the deadline to `duration` from now; SINEW_FOREVER clears it. 0, -EINVAL when not inside the scope, -ETIMEDOUT
 * when it has already expired. Never suspends. */
SINEW_API int sinew_timeout_reset(sinew_timeout *t, sinew_time duration);

/* The deadline, also of a scope that has ended; SINEW_FOREVER when there is none. `t` was begun, or is zero, or NULL.
 * Never suspends. */
SINEW_API sinew_time sinew_timeout_when(const sinew_timeout *t);

/* Inside: has the deadline passed and asked the task to stop? After the end: did a call inside meet that? Other than
 * sinew_timeout_end it says so whatever else was asked. `t` as above. Never suspends. Follows Timeout.expired. */
SINEW_API bool sinew_timeout_expired(const sinew_timeout *t);

/*
 * Ends the scope and says whether this scope stopped what ran inside: -ETIMEDOUT if it has expired and some call has
 * met that; otherwise 0. An expiry that nobody has met (nothing suspended after it) is taken back and gives 0. So does
 * one that the task met along with, before or after somebody else's request: a cancel (unless taken back by
 * sinew_uncancel) or the expiry of a scope around this one. What the call inside returned is then theirs, and is to be
 * passed on. A request that no call has met yet does not count; it stays pending. Never suspends. -EINVAL when not
 * inside the scope.
 */
SINEW_API int sinew_timeout_end(sinew_timeout *t);

SINEW_END_DECLS
#endif
