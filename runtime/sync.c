/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Semaphore and mutex: a count and a queue of waiters under a spinlock held for a few instructions.
 *
 * A permit is handed over directly (waitq.h), so nobody can come between. A waiter that is cancelled takes itself off,
 * or, if it was granted meanwhile, passes the permit on.
 */
#include "runtime/waitq.h"

#include <sinew/sync.h>

typedef struct sem {
    sn_lock lock;
    uint32_t permits;
    sn_waitq waiters;
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

int sinew_sem_wait(sinew_sem *handle)
{
    if (!handle)
        return -EINVAL;
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    sem *s = sem_of(handle);
    bool biased = sn_lock_take(&s->lock, w);
    if (take(s)) {
        sn_lock_give(&s->lock, biased);
        return 0;
    }
    sn_waiting self;
    sn_waiting_init(&self, w->fiber);
    sn_waitq_push(&s->waiters, &self);
    sn_lock_give(&s->lock, biased);
    int code = sn_waitq_wait(&s->waiters, &s->lock, &self, w);
    if (SN_UNLIKELY(code)) {
        if (self.popped)
            sinew_sem_post(handle);
        return code;
    }
    sn_tsan_acquire(s);
    return 0;
}

/* Hands a permit to the oldest waiter, or keeps it. The lock is held and is given up. */
SN_INLINE void post(sem *s, bool biased)
{
    sn_tsan_release(s);
    sn_waiting *oldest = sn_waitq_pop(&s->waiters);
    if (!oldest)
        s->permits++;
    sn_lock_give(&s->lock, biased); /* the semaphore may be gone once the permit is granted */
    if (SN_LIKELY(oldest != NULL))
        sn_waiting_grant(oldest);
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
