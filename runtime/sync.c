/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Semaphore and mutex: a count and a queue of waiters under a spinlock held for a few instructions.
 *
 * A permit is handed over directly: post takes the oldest waiter off the queue and marks it granted, so nobody can come
 * between. A waiter that is cancelled takes itself off, or, if it was granted meanwhile, passes the permit on.
 */
#include "runtime/cancel.h"
#include "runtime/lock.h"
#include "runtime/switch.h"
#include "runtime/worker.h"

#include <sinew/sync.h>

typedef struct waiter {
    struct waiter *next, *previous; /* both ways: a cancel of a million waiters takes each out of the middle */
    sn_fiber *fiber;
    bool popped; /* under the lock: a permit is on its way */
    _Atomic uint32_t
        granted; /* release by post after its unlock, acquire by the waiter, which may then end the semaphore */
} waiter;

typedef struct sem {
    sn_lock lock;
    uint32_t permits;
    waiter *first, *last;
} sem;

_Static_assert(sizeof(sem) <= sizeof(sinew_sem), "sinew_sem is too small");

static sem *sem_of(sinew_sem *s)
{
    SN_DCHECK(s != NULL, "sinew_sem: the semaphore is NULL");
    return (sem *)(void *)s;
}

void sinew_sem_init(sinew_sem *handle, unsigned permits)
{
    if (!handle)
        return;
    sem *s = sem_of(handle);
    *s = (sem){.permits = permits};
}

/* Permits are only left over when nobody waits, so who finds one overtakes nobody. */
SN_INLINE bool take(sem *s)
{
    if (s->permits == 0)
        return false;
    s->permits--;
    sn_tsan_acquire(s);
    return true;
}

int sinew_sem_trywait(sinew_sem *handle)
{
    if (!handle)
        return -EINVAL;
    sem *s = sem_of(handle);
    bool biased = sn_lock_take(&s->lock, sn_worker_self());
    bool got = take(s);
    sn_lock_give(&s->lock, biased);
    return got ? 0 : -EAGAIN;
}

static void leave_queue(sem *s, waiter *self)
{
    *(self->previous ? &self->previous->next : &s->first) = self->next;
    *(self->next ? &self->next->previous : &s->last) = self->previous;
}

int sinew_sem_wait(sinew_sem *handle)
{
    if (!handle)
        return -EINVAL;
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    sem *s = sem_of(handle);
    sn_fiber *f = w->fiber;
    bool biased = sn_lock_take(&s->lock, w);
    if (take(s)) {
        sn_lock_give(&s->lock, biased);
        return 0;
    }
    waiter self = {.fiber = f, .previous = s->last};
    *(s->last ? &s->last->next : &s->first) = &self;
    s->last = &self;
    sn_lock_give(&s->lock, biased);

    int code = sn_interrupt(f);
    while (!code && !sn_load(&self.granted, acquire)) {
        w = sn_park(w, f);
        code = sn_interrupt_after_park(f);
    }
    if (SN_UNLIKELY(code)) {
        biased = sn_lock_take(&s->lock, w);
        bool popped = self.popped;
        if (!popped)
            leave_queue(s, &self);
        sn_lock_give(&s->lock, biased);
        if (popped) {
            while (!sn_load(&self.granted, acquire))
                w = sn_park(w, f); /* the poster is between its unlock and its wake */
            sinew_sem_post(handle);
        }
        return code;
    }
    sn_tsan_acquire(s);
    return 0;
}

/* Hands a permit to the oldest waiter, or keeps it. The lock is held and is given up. */
SN_INLINE void post(sem *s, bool biased)
{
    sn_tsan_release(s);
    waiter *oldest = s->first;
    if (oldest) {
        s->first = oldest->next;
        *(s->first ? &s->first->previous : &s->last) = NULL;
        oldest->popped = true;
    } else {
        s->permits++;
    }
    sn_lock_give(&s->lock, biased); /* the semaphore may be gone once the permit is granted */
    if (SN_LIKELY(oldest != NULL)) {
        sn_fiber *f = oldest->fiber;
        sn_store(&oldest->granted, 1, release); /* and so may the waiter */
        sn_unpark(f);
    }
}

void sinew_sem_post(sinew_sem *handle)
{
    if (!handle)
        return;
    sem *s = sem_of(handle);
    post(s, sn_lock_take(&s->lock, sn_worker_self()));
}

void sinew_mutex_init(sinew_mutex *m)
{
    if (m)
        sinew_sem_init(&m->sem_, 1);
}

int sinew_mutex_lock(sinew_mutex *m)
{
    return m ? sinew_sem_wait(&m->sem_) : -EINVAL;
}

int sinew_mutex_trylock(sinew_mutex *m)
{
    if (!m)
        return -EINVAL;
    return sinew_sem_trywait(&m->sem_) == 0 ? 0 : -EBUSY;
}

int sinew_mutex_unlock(sinew_mutex *m)
{
    if (!m)
        return -EINVAL;
    sem *s = sem_of(&m->sem_);
    bool biased = sn_lock_take(&s->lock, sn_worker_self());
    if (s->permits != 0) {
        sn_lock_give(&s->lock, biased);
        return -EPERM;
    }
    post(s, biased);
    return 0;
}
