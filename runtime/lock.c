/* SPDX-License-Identifier: Apache-2.0 */
/* The slow sides of the biased lock: see lock.h. */
#include "runtime/lock.h"

#include <sched.h>

enum { SPINS_BEFORE_YIELD = 1000 };

SN_COLD void sn_lock_revoke(sn_lock *l, uint32_t owner)
{
    sn_store(&l->bias, owner | SN_BIAS_REVOKED, relaxed); /* r1 */
    sn_fence_rare();
    for (unsigned spins = 0; sn_load(&l->inside, acquire) != 0; spins++) { /* r2 */
        if (spins < SPINS_BEFORE_YIELD)
            sn_pause();
        else
            sched_yield();
    }
}

SN_NOINLINE void sn_lock_contended(sn_lock *l)
{
    for (unsigned spins = 0;; spins++) {
        if (sn_load(&l->held, relaxed) == 0 && sn_exchange(&l->held, 1, acquire) == 0)
            return;
        if (spins < SPINS_BEFORE_YIELD)
            sn_pause();
        else
            sched_yield(); /* the holder lost its CPU */
    }
}
