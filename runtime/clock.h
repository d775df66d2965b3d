/* SPDX-License-Identifier: Apache-2.0 */
/* The seam for time: every clock reading of the runtime is this one call. */
#ifndef SN_CLOCK_H
#define SN_CLOCK_H

#include "runtime/base.h"

/* CLOCK_MONOTONIC in nanoseconds. */
sinew_time sn_clock_now(void);

/* now + duration, without overflow; SINEW_FOREVER stays so. */
SN_INLINE sinew_time sn_deadline_after(sinew_time now, sinew_time duration)
{
    if (duration <= 0)
        return now;
    return duration > SINEW_FOREVER - now ? SINEW_FOREVER : now + duration;
}

#endif
