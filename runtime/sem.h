/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inside of a semaphore, which the mutex is too, and in whose second queue a condition's waiters stand.
 *
 * Permits are only left over when nobody waits, so who finds one overtakes nobody. A mutex is locked while it has no
 * permit.
 */
#ifndef SN_SEM_H
#define SN_SEM_H

#include "runtime/waitq.h"

#include <sinew/sync.h>

typedef struct sn_sem {
    sn_lock lock;
    uint32_t permits;
    sn_waitq waiters;
    uint32_t permits_max;
} sn_sem;

_Static_assert(sizeof(sn_sem) <= sizeof(sinew_sem), "sinew_sem is too small");

SN_INLINE sn_sem *sn_sem_of(sinew_sem *s)
{
    SN_DCHECK(s != NULL, "sinew_sem: the semaphore is NULL");
    return (sn_sem *)(void *)s;
}

/*
 * Hands a permit to the oldest waiter, or keeps it; -EOVERFLOW when that would be one too many, which a caller that has
 * found permits == 0 and permits_max > 0 need not have looked for. The lock is held and is given up. The semaphore may
 * be gone once the permit is granted.
 */
SN_INLINE int sn_sem_pass_on(sn_sem *s, bool biased, bool may_overflow)
{
    sn_tsan_release(s);
    if (may_overflow && SN_UNLIKELY(s->permits == s->permits_max)) { /* with waiters only when both are 0 */
        sn_lock_give(&s->lock, biased);
        return -EOVERFLOW;
    }
    sn_waiting *oldest = sn_waitq_pop(&s->waiters);
    if (!oldest)
        s->permits++;
    sn_lock_give(&s->lock, biased);
    if (oldest)
        sn_waiting_grant(oldest);
    return 0;
}

#endif
