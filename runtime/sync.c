/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Semaphore and mutex: a count and a queue of waiters under a spinlock held for a few instructions.
 *
 * A permit is handed over directly (waitq.h), so nobody can come between. A waiter that is cancelled takes itself off,
 * or, if it was granted meanwhile, passes the permit on.
 */
#include "runtime/sem.h"

static void init(sinew_sem *handle, unsigned permits, unsigned permits_max)
{
    sn_sem *s = sn_sem_of(handle);
    *s = (sn_sem){.permits = permits, .permits_max = permits_max};
}

void sinew_sem_init(sinew_sem *handle, unsigned permits)
{
    if (handle)
        init(handle, permits, UINT32_MAX);
}

int sinew_sem_init_bounded(sinew_sem *handle, unsigned permits)
{
    if (!handle)
        return -EINVAL;
    init(handle, permits, permits);
    return 0;
}

SN_INLINE bool take(sn_sem *s)
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
    sn_sem *s = sn_sem_of(handle);
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
    sn_sem *s = sn_sem_of(handle);
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

int sinew_sem_post(sinew_sem *handle)
{
    if (!handle)
        return -EINVAL;
    sn_sem *s = sn_sem_of(handle);
    /* Two copies: with the way it was taken known, giving the lock up costs one instruction instead of four. */
    if (SN_LIKELY(sn_lock_take(&s->lock, sn_worker_self())))
        return sn_sem_pass_on(s, true, true);
    return sn_sem_pass_on(s, false, true);
}

bool sinew_sem_locked(sinew_sem *handle)
{
    if (!handle)
        return false;
    sn_sem *s = sn_sem_of(handle);
    bool biased = sn_lock_take(&s->lock, sn_worker_self());
    bool locked = s->permits == 0;
    sn_lock_give(&s->lock, biased);
    return locked;
}

void sinew_mutex_init(sinew_mutex *m)
{
    if (m)
        init(&m->sem_, 1, 1);
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

bool sinew_mutex_locked(const sinew_mutex *m)
{
    /* The lock inside is taken and given back, which its user does not see. */
    return m && sinew_sem_locked(&((sinew_mutex *)(uintptr_t)m)->sem_);
}

SN_INLINE int unlock(sn_sem *s, bool biased)
{
    if (SN_LIKELY(s->permits == 0))
        return sn_sem_pass_on(s, biased, false);
    sn_lock_give(&s->lock, biased);
    return -EPERM;
}

int sinew_mutex_unlock(sinew_mutex *m)
{
    if (!m)
        return -EINVAL;
    sn_sem *s = sn_sem_of(&m->sem_);
    if (SN_LIKELY(sn_lock_take(&s->lock, sn_worker_self()))) /* two copies, as in sinew_sem_post */
        return unlock(s, true);
    return unlock(s, false);
}
