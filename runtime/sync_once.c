/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Once: who comes first runs the function, a crowd waits for its end.
 *
 *            run              result >= 0
 *     NEW ---------> RUNNING -------------> DONE   the crowd is let go with the result
 *      ^               |  |
 *      +---------------+  +--- failed: the oldest of the crowd runs its own function; still RUNNING
 *      failed, nobody waits
 *
 * DONE is read without the lock; lock.h says when that answer may be acted on.
 */
#include "runtime/crowd.h"

#include <sinew/sync.h>

enum { NEW, RUNNING, DONE };

/* What a waiter is granted instead of a result, which is >= 0: it is its turn. */
enum { YOUR_TURN = -1 };

typedef struct once {
    sn_crowd crowd;
    _Atomic uint32_t state;       /* written under the lock */
    _Atomic(sinew_task *) runner; /* while RUNNING; NULL until a waiter whose turn it is begins */
    intptr_t result;              /* when DONE; written before that */
} once;

_Static_assert(sizeof(once) <= sizeof(sinew_once), "sinew_once is too small");

/* After a failure, with the lock held: to the next one. The lock is given up. */
static void hand_on(once *o, bool biased)
{
    sn_tsan_release(o);
    sn_store(&o->runner, NULL, relaxed); /* each task only compares it with itself */
    sn_waiting *next = sn_crowd_pop(&o->crowd);
    if (!next)
        sn_store(&o->state, NEW, relaxed); /* under the lock; readers without it look for DONE */
    sn_crowd_unlock(&o->crowd, biased);
    if (next)
        sn_crowd_grant(next, YOUR_TURN);
}

static void finish(once *o, bool biased, intptr_t result)
{
    sn_tsan_release(o);
    o->result = result;
    sn_store(&o->state, DONE, release);
    sn_waiting *first = sn_crowd_let_go(&o->crowd);
    sn_crowd_unlock(&o->crowd, biased); /* it may be gone after this */
    sn_crowd_grant_all(first, result);
}

/* In the task whose turn it is. */
static intptr_t run(once *o, sinew_fn fn, void *arg)
{
    sn_tsan_acquire(o);
    sn_store(&o->runner, sinew_self(), relaxed);
    intptr_t result = fn(arg);
    bool biased = sn_crowd_lock(&o->crowd);
    if (result >= 0)
        finish(o, biased, result);
    else
        hand_on(o, biased);
    return result;
}

static intptr_t wait_for_runner(once *o, bool biased, sinew_fn fn, void *arg)
{
    sn_waiting self;
    int code = sn_crowd_wait(&o->crowd, biased, &self);
    if (code == 0 && (intptr_t)self.item == YOUR_TURN)
        return run(o, fn, arg);
    if (code == 0) {
        sn_tsan_acquire(o);
        return (intptr_t)self.item;
    }
    if (self.popped && (intptr_t)self.item == YOUR_TURN)
        hand_on(o, sn_crowd_lock(&o->crowd));
    return code;
}

intptr_t sinew_once_run(sinew_once *handle, sinew_fn fn, void *arg)
{
    if (!handle || !fn)
        return -EINVAL;
    once *o = (once *)(void *)handle;
    if (SN_LIKELY(sn_load(&o->state, acquire) == DONE && sn_lock_left(&o->crowd.lock))) {
        sn_tsan_acquire(o);
        return o->result;
    }
    sinew_task *self = sinew_self();
    bool biased = sn_crowd_lock(&o->crowd);
    uint32_t state = sn_load(&o->state, relaxed); /* under the lock */
    if (state == DONE) {
        intptr_t result = o->result;
        sn_crowd_unlock(&o->crowd, biased);
        sn_tsan_acquire(o);
        return result;
    }
    bool recursive = state == RUNNING && sn_load(&o->runner, relaxed) == self; /* only the caller could make it so */
    if (!self || recursive) {
        sn_crowd_unlock(&o->crowd, biased);
        return self ? -EDEADLK : -EPERM;
    }
    if (state == RUNNING)
        return wait_for_runner(o, biased, fn, arg);
    sn_store(&o->state, RUNNING, relaxed); /* as in hand_on */
    sn_crowd_unlock(&o->crowd, biased);
    return run(o, fn, arg);
}
