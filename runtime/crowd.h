/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A crowd: those who wait for something that lets all of them go at once (event, latch, barrier, once), together with
 * the lock of it.
 *
 * They may be very many, and the lock is held for a few instructions only. So letting go takes the whole queue off in
 * one step and moves `round`; a node that was queued in an earlier round is thereby as good as popped (waitq.h). The
 * grants follow after the unlock, each with what the user hands over in `item`.
 *
 *     who lets go                              a waiter that is cancelled
 *     lock; ...; first = sn_crowd_let_go       lock; round as when it came, and not popped? leaves the queue; unlock
 *     unlock                                   otherwise: unlock; waits for the grant that is on its way
 *     for each: reads `next`, then grants
 *
 * A waiter is a task, or a thread that is no worker.
 */
#ifndef SN_CROWD_H
#define SN_CROWD_H

#include "runtime/waitq.h"

typedef struct sn_crowd {
    sn_lock lock;
    uint32_t round;
    sn_waitq waiters;
    uint32_t count; /* of waiters */
} sn_crowd;

SN_INLINE bool sn_crowd_lock(sn_crowd *c)
{
    return sn_lock_take(&c->lock, sn_worker_self());
}

SN_INLINE void sn_crowd_unlock(sn_crowd *c, bool biased)
{
    sn_lock_give(&c->lock, biased);
}

/*
 * Waits until granted. The lock is held (`biased`: how it was taken) and is given up. Returns 0 and what was handed
 * over in self->item; or what the calling task was asked: then self->popped says that the grant came all the same; or
 * -EPERM where nobody may wait.
 */
int sn_crowd_wait(sn_crowd *c, bool biased, sn_waiting *self);

/* Under the lock: lets all go. Returns the first of them, to be granted after the unlock; NULL: nobody was there. */
SN_INLINE sn_waiting *sn_crowd_let_go(sn_crowd *c)
{
    sn_waiting *first = c->waiters.first;
    c->waiters = (sn_waitq){NULL, NULL};
    c->count = 0;
    c->round++;
    return first;
}

/* Under the lock: the oldest alone. */
SN_INLINE sn_waiting *sn_crowd_pop(sn_crowd *c)
{
    sn_waiting *oldest = sn_waitq_pop(&c->waiters);
    c->count -= oldest != NULL;
    return oldest;
}

/* Grants one of those let go, and returns the next. What they waited for may be gone after the last. */
SN_INLINE sn_waiting *sn_crowd_grant(sn_waiting *n, intptr_t item)
{
    sn_waiting *next = n->next;
    n->item = (void *)item;
    sn_waiting_grant(n);
    return next;
}

SN_INLINE void sn_crowd_grant_all(sn_waiting *first, intptr_t item)
{
    while (first)
        first = sn_crowd_grant(first, item);
}

#endif
