/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Condition: a second queue beside the one of its mutex, both under the spinlock of the mutex.
 *
 *              wait (unlocks the mutex)         notify                   the mutex is handed over
 *     caller ---------------------------> WAITING -----> NOTIFIED ---------------------------------> caller
 *                                            |                                ^
 *                                            +-----------> GAVE_UP -----------+
 *                                             cancelled
 *
 * A notification moves the waiter into the queue of the mutex, where it is granted like anyone else: it wakes once, and
 * with the mutex in its hands. A waiter that is cancelled moves itself there. One that was NOTIFIED and is cancelled
 * notifies the next one when it has the mutex.
 *
 * Who notifies holds the mutex, so nobody can begin to wait meanwhile, and a long queue can be moved in portions.
 */
#include "runtime/sem.h"

enum { MOVED_AT_ONCE = 32 };

enum stage { WAITING, NOTIFIED, GAVE_UP }; /* in sn_waiting.index */

typedef struct cond {
    sn_sem *mutex;
    sn_waitq waiters; /* under the lock of the mutex */
} cond;

_Static_assert(sizeof(cond) <= sizeof(sinew_cond), "sinew_cond is too small");

static cond *cond_of(sinew_cond *c)
{
    return (cond *)(void *)c;
}

static bool is_condition_of(sinew_cond *c, sinew_mutex *m)
{
    return c && m && cond_of(c)->mutex == sn_sem_of(&m->sem_);
}

int sinew_cond_init(sinew_cond *handle, sinew_mutex *m)
{
    if (!handle)
        return -EINVAL;
    *cond_of(handle) = (cond){.mutex = m ? sn_sem_of(&m->sem_) : NULL};
    return m ? 0 : -EINVAL;
}

/* Stops waiting for a notification, if there was none yet; from now on it is only the mutex that is waited for. */
static void give_up(cond *c, sn_waiting *self)
{
    sn_sem *s = c->mutex;
    bool biased = sn_lock_take(&s->lock, sn_worker_self());
    if (self->index == WAITING) {
        sn_waitq_remove(&c->waiters, self);
        self->index = GAVE_UP;
        if (s->permits) {
            s->permits = 0;
            sn_store(&self->granted, 1, relaxed); /* read by the caller alone */
        } else {
            sn_waitq_push(&s->waiters, self);
        }
    }
    sn_lock_give(&s->lock, biased);
}

/* Waits until the mutex is handed over. Returns what the task was asked meanwhile. */
static int wait_for_mutex(cond *c, sn_waiting *self, sn_worker *w)
{
    sn_fiber *f = self->fiber;
    int code = sn_interrupt(f);
    if (code)
        give_up(c, self);
    while (!sn_load(&self->granted, acquire)) {
        w = sn_park(w, f);
        int asked = sn_interrupt_after_park(f);
        if (asked) {
            give_up(c, self);
            code = sn_cancel_merge(code, asked);
        }
    }
    sn_tsan_acquire(c->mutex);
    return code;
}

int sinew_cond_wait(sinew_cond *handle, sinew_mutex *m)
{
    if (!is_condition_of(handle, m))
        return -EINVAL;
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    cond *c = cond_of(handle);
    sn_sem *s = c->mutex;
    bool biased = sn_lock_take(&s->lock, w);
    if (s->permits != 0) {
        sn_lock_give(&s->lock, biased);
        return -EPERM;
    }
    sn_waiting self;
    sn_waiting_init(&self, w->fiber);
    self.index = WAITING;
    sn_waitq_push(&c->waiters, &self);
    sn_sem_pass_on(s, biased, false);
    int code = wait_for_mutex(c, &self, w);
    if (SN_UNLIKELY(code && self.index == NOTIFIED))
        sinew_cond_notify(handle, 1);
    return code;
}

int sinew_cond_wait_for(sinew_cond *handle, sinew_mutex *m, bool (*predicate)(void *arg), void *arg)
{
    if (!is_condition_of(handle, m) || !predicate)
        return -EINVAL;
    if (!sn_worker_of_task() || !sinew_mutex_locked(m))
        return -EPERM;
    int code = 0;
    while (code == 0 && !predicate(arg))
        code = sinew_cond_wait(handle, m);
    return code;
}

int sinew_cond_notify(sinew_cond *handle, size_t n)
{
    if (!handle || !cond_of(handle)->mutex)
        return -EINVAL;
    cond *c = cond_of(handle);
    sn_sem *s = c->mutex;
    bool more;
    do {
        bool biased = sn_lock_take(&s->lock, sn_worker_self());
        bool locked = s->permits == 0;
        for (unsigned i = 0; locked && n > 0 && i < MOVED_AT_ONCE && c->waiters.first; i++, n--) {
            sn_waiting *oldest = c->waiters.first;
            sn_waitq_remove(&c->waiters, oldest);
            oldest->index = NOTIFIED;
            sn_waitq_push(&s->waiters, oldest);
        }
        more = n > 0 && c->waiters.first;
        sn_lock_give(&s->lock, biased);
        if (!locked)
            return -EPERM;
    } while (more);
    return 0;
}

int sinew_cond_notify_all(sinew_cond *c)
{
    return sinew_cond_notify(c, SIZE_MAX);
}
