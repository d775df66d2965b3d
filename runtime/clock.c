/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/clock.h"

#include <sinew/time.h>
#include <time.h>

sinew_time sn_clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail for this clock */
    return SINEW_S(t.tv_sec) + t.tv_nsec;
}

sinew_time sinew_now(void)
{
    return sn_clock_now();
}
