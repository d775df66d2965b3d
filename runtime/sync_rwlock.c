/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reader-writer lock: who holds it, and one queue of readers and writers under a spinlock.
 *
 * Whoever changes who holds it, or takes a waiter out of the queue, admits from its head all who may enter. So whenever
 * the spinlock is free the head may not enter, and who finds nobody waiting overtakes nobody; with one exception: of a
 * long row of readers only ADMIT_MOST enter at once, since the spinlock is held meanwhile, and the last of them admits
 * further ones when it runs. It holds the lock until then, so the lock is not free and is still there.
 */
#include "runtime/waitq.h"

#include <sinew/sync.h>

enum { ADMIT_MOST = 32 };

enum kind { READER, WRITER }; /* in sn_waiting.index */

typedef struct rwlock {
    sn_lock lock;
    int32_t holders; /* so many readers, or -1: a writer */
    sn_waitq waiters;
} rwlock;

_Static_assert(sizeof(rwlock) <= sizeof(sinew_rwlock), "sinew_rwlock is too small");

/* Two addresses for ThreadSanitizer: readers are ordered with writers, not with each other. */
#define WRITTEN(l) (&(l)->lock)
#define READ(l)    (&(l)->waiters)

static rwlock *rwlock_of(sinew_rwlock *l)
{
    return (rwlock *)(void *)l;
}

void sinew_rwlock_init(sinew_rwlock *handle)
{
    if (handle)
        *rwlock_of(handle) = (rwlock){.holders = 0};
}

/* May one of this kind enter? */
static bool open_to(const rwlock *l, uint32_t kind)
{
    return kind == READER ? l->holders >= 0 : l->holders == 0;
}

static void enter(rwlock *l, uint32_t kind)
{
    l->holders = kind == READER ? l->holders + 1 : -1;
}

static void entered(const rwlock *l, uint32_t kind)
{
    sn_tsan_acquire(WRITTEN(l));
    if (kind == WRITER)
        sn_tsan_acquire(READ(l));
}

/* Lets in who may enter. The spinlock is held and is given up; the lock may be gone when this returns. */
static void admit(rwlock *l, bool biased)
{
    sn_waitq in = {NULL, NULL};
    for (unsigned n = 0; n < ADMIT_MOST && l->waiters.first && open_to(l, l->waiters.first->index); n++) {
        sn_waiting *next = sn_waitq_pop(&l->waiters);
        enter(l, next->index);
        next->item = NULL;
        sn_waitq_push(&in, next);
    }
    if (in.last && l->waiters.first && open_to(l, l->waiters.first->index))
        in.last->item = l; /* it goes on */
    sn_lock_give(&l->lock, biased);
    for (sn_waiting *n = in.first, *next; n; n = next) {
        next = n->next;
        sn_waiting_grant(n);
    }
}

static bool try_enter(rwlock *l, uint32_t kind)
{
    if (l->waiters.first || !open_to(l, kind))
        return false;
    enter(l, kind);
    return true;
}

static int try_lock(sinew_rwlock *handle, uint32_t kind)
{
    if (!handle)
        return -EINVAL;
    rwlock *l = rwlock_of(handle);
    bool biased = sn_lock_take(&l->lock, sn_worker_self());
    bool in = try_enter(l, kind);
    sn_lock_give(&l->lock, biased);
    if (!in)
        return -EBUSY;
    entered(l, kind);
    return 0;
}

static int unlock(sinew_rwlock *handle, uint32_t kind)
{
    if (!handle)
        return -EINVAL;
    rwlock *l = rwlock_of(handle);
    bool biased = sn_lock_take(&l->lock, sn_worker_self());
    if (kind == READER ? l->holders <= 0 : l->holders != -1) {
        sn_lock_give(&l->lock, biased);
        return -EPERM;
    }
    sn_tsan_release(kind == READER ? (void *)READ(l) : (void *)WRITTEN(l));
    l->holders = kind == READER ? l->holders - 1 : 0;
    admit(l, biased);
    return 0;
}

static int lock(sinew_rwlock *handle, uint32_t kind)
{
    if (!handle)
        return -EINVAL;
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    rwlock *l = rwlock_of(handle);
    bool biased = sn_lock_take(&l->lock, w);
    if (try_enter(l, kind)) {
        sn_lock_give(&l->lock, biased);
        entered(l, kind);
        return 0;
    }
    sn_waiting self;
    sn_waiting_init(&self, w->fiber);
    self.index = kind;
    sn_waitq_push(&l->waiters, &self);
    sn_lock_give(&l->lock, biased);
    int code = sn_waitq_wait(&l->waiters, &l->lock, &self, w);
    if (SN_UNLIKELY(code)) {
        if (self.popped)
            unlock(handle, kind);
        else /* who was kept waiting by this one perhaps is so no longer */
            admit(l, sn_lock_take(&l->lock, sn_worker_self()));
        return code;
    }
    if (self.item)
        admit(l, sn_lock_take(&l->lock, sn_worker_self()));
    entered(l, kind);
    return 0;
}

int sinew_rwlock_read_lock(sinew_rwlock *l)
{
    return lock(l, READER);
}

int sinew_rwlock_write_lock(sinew_rwlock *l)
{
    return lock(l, WRITER);
}

int sinew_rwlock_try_read_lock(sinew_rwlock *l)
{
    return try_lock(l, READER);
}

int sinew_rwlock_try_write_lock(sinew_rwlock *l)
{
    return try_lock(l, WRITER);
}

int sinew_rwlock_read_unlock(sinew_rwlock *l)
{
    return unlock(l, READER);
}

int sinew_rwlock_write_unlock(sinew_rwlock *l)
{
    return unlock(l, WRITER);
}
