/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Clock, sleeping, yielding, timeout scopes.
 *
 *     sinew_timeout t;
 *     sinew_timeout_begin(&t, SINEW_S(5));
 *     int r = read_request(fd);                    // calls inside return -ETIMEDOUT when 5 s have passed
 *     if (sinew_timeout_end(&t) == -ETIMEDOUT) ... // this scope, not one around it
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
 * in the same task. When the deadline passes, the task's current or next suspending call inside
 * returns -ETIMEDOUT, once; what the call was doing is undone as for a cancel. If the task was also cancelled,
 * -ECANCELED is delivered instead. Follows asyncio.timeout.
 */
typedef struct sinew_timeout {
    uint64_t opaque_[10];
} sinew_timeout;

/* Begins a scope of `duration` from now: SINEW_FOREVER for none yet; <= 0 expires at the next checkpoint. Never
 * suspends. */
SINEW_API void sinew_timeout_begin(sinew_timeout *t, sinew_time duration);

/* Moves the deadline to `duration` from now. 0, -EINVAL when not inside the scope, -ETIMEDOUT when it has already
 * expired. */
SINEW_API int sinew_timeout_reset(sinew_timeout *t, sinew_time duration);

/* Ends the scope: 0, or -ETIMEDOUT if it expired. An expiry nobody has seen yet is taken back. Never suspends. */
SINEW_API int sinew_timeout_end(sinew_timeout *t);

SINEW_END_DECLS
#endif
