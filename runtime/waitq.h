/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who waits for a lock, an event, a channel: a queue of nodes that lie on the stacks of those who wait. The queue is
 * guarded by the lock of what it belongs to.
 *
 * A node is granted what it waits for by the one who has popped it, so nobody can come between:
 *
 *     waker                                    waiter
 *     lock                                     lock; nothing there? push; unlock
 *     n = sn_waitq_pop   (popped, under lock)  sn_waitq_wait: parks until granted
 *     unlock                                      asked to cancel? lock; popped? no: removes itself, leaves
 *     sn_waiting_grant(n)   release            granted  acquire                  yes: waits for the grant and must
 *                                                                                pass it on
 *
 * Popping and granting are two steps because the waiter may leave, and end what it waited for, as soon as it is
 * granted: the waker must have unlocked before. So it touches the node last of all, and that after its unlock.
 *
 * A waiter is a task, or a thread that is no worker: that one sleeps on a futex.
 *
 * One of several (select): its nodes share a `choice`, and who pops one of them must win the choice first. All nodes of
 * a choice that was lost stay where they are until their owner removes them; pop passes over them.
 */
#ifndef SN_WAITQ_H
#define SN_WAITQ_H

#include "runtime/cancel.h"
#include "runtime/lock.h"
#include "runtime/switch.h"

/* 0 until somebody has won; then 1 + the index of the node that was popped. */
typedef struct sn_choice {
    _Atomic uint32_t taken;
} sn_choice;

/* Where a plain thread sleeps: it leaves when `woken` is 1, and who wakes it touches nothing but the address after. */
typedef struct sn_thread_wait {
    _Atomic uint32_t woken;
} sn_thread_wait;

typedef struct sn_waiting {
    struct sn_waiting *next, *previous; /* both ways: a cancel of a million waiters takes each out of the middle */
    sn_fiber *fiber;
    sn_thread_wait *thread; /* when fiber is NULL */
    sn_choice *choice;      /* NULL: this is the only one */
    uint32_t index;         /* in the choice */
    bool popped;            /* under the lock: a grant is on its way */
    _Atomic uint32_t granted;
    void *item; /* what is handed over; the user's */
} sn_waiting;

typedef struct sn_waitq {
    sn_waiting *first, *last;
} sn_waitq;

void sn_thread_sleep(sn_thread_wait *t);
void sn_thread_wake(sn_thread_wait *t);

SN_INLINE void sn_waitq_push(sn_waitq *q, sn_waiting *n)
{
    n->next = NULL;
    n->previous = q->last;
    *(q->last ? &q->last->next : &q->first) = n;
    q->last = n;
}

SN_INLINE void sn_waitq_remove(sn_waitq *q, sn_waiting *n)
{
    *(n->previous ? &n->previous->next : &q->first) = n->next;
    *(n->next ? &n->next->previous : &q->last) = n->previous;
}

/* The oldest that still waits; NULL: none. */
SN_INLINE sn_waiting *sn_waitq_pop(sn_waitq *q)
{
    sn_waiting *n = q->first;
    for (; SN_UNLIKELY(n && n->choice); n = n->next) {
        uint32_t open = 0;
        if (sn_cas(&n->choice->taken, &open, n->index + 1, acq_rel))
            break;
    }
    if (n) {
        sn_waitq_remove(q, n);
        n->popped = true;
    }
    return n;
}

/* After the unlock. The node may be gone when this returns, and so may what it waited for. */
SN_INLINE void sn_waiting_grant(sn_waiting *n)
{
    sn_fiber *f = n->fiber;
    if (SN_LIKELY(f != NULL)) {
        sn_unpark_done(f, &n->granted);
    } else {
        sn_thread_wait *thread = n->thread;
        sn_store(&n->granted, 1, release);
        sn_thread_wake(thread);
    }
}

/* What `item`, `thread`, `index` are is for the caller to say. */
SN_INLINE void sn_waiting_init(sn_waiting *n, sn_fiber *f)
{
    n->fiber = f;
    n->choice = NULL;
    n->popped = false;
    sn_store(&n->granted, 0, relaxed); /* published by the lock */
}

/* The slow end of the next one: takes the node off, or waits for the grant that is on its way. */
void sn_waitq_leave(sn_waitq *q, sn_lock *lock, sn_waiting *self);

/*
 * Waits until `self`, which was pushed and belongs to the calling task on worker `w`, is granted: 0. Or returns what
 * the caller was asked; then self->popped says that the grant came all the same: it must be passed on. The lock is not
 * held.
 */
SN_INLINE int sn_waitq_wait(sn_waitq *q, sn_lock *lock, sn_waiting *self, sn_worker *w)
{
    sn_fiber *f = self->fiber;
    int code = sn_interrupt(f);
    while (!code && !sn_load(&self->granted, acquire)) {
        w = sn_park(w, f);
        code = sn_interrupt_after_park(f);
    }
    if (SN_UNLIKELY(code))
        sn_waitq_leave(q, lock, self);
    return code;
}

#endif
