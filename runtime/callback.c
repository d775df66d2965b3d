/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Callbacks at a task's end.
 *
 * A callback is a waiter on the task with a descriptor made in advance; when it fires, that descriptor is injected
 * (inject.h) as a task that calls the function. So nothing can be refused once it is registered, and the end of a task
 * runs nobody's code.
 *
 *   ENTERING --in the list--> WAITING --removed, or the runtime ends--> TAKEN --> gone
 *      `------------------------`-------fires--> FIRED --its task runs--------------^
 *
 * The runtime lists what waits and what has fired, under its lock. Whoever changes a callback to FIRED or TAKEN decides
 * what becomes of it. Locks: the task's list of waiters is locked while a callback fires, so nobody asks for
 * that one with the runtime's held.
 *
 * Who removes looks through the task's list, with its lock held. A task that has ended has none: all its callbacks are
 * made ready together, before the first of them can run, though their fires come one after the other. The end of the
 * runtime takes what it lists, and then waits, in sn_task_remove_waiter, until a fire that has come too late has
 * passed.
 *
 * A callback enters the task's list before the runtime's; in between it can be removed by nobody. It may
 * fire, run and be over before its registration returns, which therefore has a reference.
 */
#include "runtime/callback.h"

#include "runtime/inject.h"
#include "runtime/local.h"
#include "runtime/origin.h"
#include "runtime/report.h"

#include <sinew/callback.h>
#include <sinew/task.h>
#include <stdlib.h>

enum { ENTERING, WAITING, FIRED, TAKEN };

typedef struct sn_callback {
    sn_waiter waiter;
    struct sn_callback *next, *previous;
    sn_runtime *runtime;
    sinew_task *target; /* a reference */
    sinew_task *run;
    sinew_done_fn fn;
    void *arg;
    _Atomic uint32_t references; /* of the registration, and of what decides */
    uint8_t state;               /* under the lock */
    bool refused;                /* fired when the runtime took no more tasks */
} sn_callback;

/* The lock is held. */
static void link_to(sn_callback **list, sn_callback *c)
{
    c->next = *list;
    c->previous = NULL;
    if (*list)
        (*list)->previous = c;
    *list = c;
}

static void unlink_from(sn_callback **list, sn_callback *c)
{
    *(c->previous ? &c->previous->next : list) = c->next;
    if (c->next)
        c->next->previous = c->previous;
}

static void release(sn_callback *c)
{
    if (sn_sub(&c->references, 1, acq_rel) != 1)
        return;
    sn_task_unref(c->target);
    free(c);
}

static intptr_t run(void *arg)
{
    sn_callback *c = arg;
    sn_runtime *rt = c->runtime;
    ck_spinlock_lock(&rt->callbacks_lock);
    unlink_from(&rt->callbacks_fired, c);
    ck_spinlock_unlock(&rt->callbacks_lock);
    sn_tsan_acquire(c->target);
    intptr_t result = c->fn(c->target, c->arg);
    release(c);
    return result;
}

static void fire(sn_waiter *waiter, intptr_t result)
{
    (void)result;
    sn_callback *c = SN_CONTAINER(waiter, sn_callback, waiter);
    sn_runtime *rt = c->runtime;
    ck_spinlock_lock(&rt->callbacks_lock);
    bool ours = c->state != TAKEN;
    if (ours) {
        if (c->state == WAITING)
            unlink_from(&rt->callbacks_waiting, c);
        c->state = FIRED;
        link_to(&rt->callbacks_fired, c);
    }
    ck_spinlock_unlock(&rt->callbacks_lock);
    if (ours && !sn_inject(rt, c->run))
        c->refused = true; /* the runtime has ended, and drops what has fired once this call is over */
}

int sinew_on_done(sinew_task *task, sinew_done_fn fn, void *arg)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    if (!task || !fn)
        return -EINVAL;
    sn_task_check_handle("sinew_on_done", task, false);
    if (sn_task_is_foreign(w, task))
        return -EXDEV;
    sn_runtime *rt = w->runtime;
    sn_callback *c = calloc(1, sizeof *c);
    sinew_task *runner = c ? sn_inject_make(rt, run, c, 1) : NULL;
    if (!runner) {
        free(c);
        return -ENOMEM;
    }
    runner->flags = SN_TASK_CALLBACK;
    runner->ext->values = sn_context_ref(sn_context_current());
    if (rt->debug)
        sn_origin_note(runner, __builtin_return_address(0));
    *c = (sn_callback){.waiter.fire = fire,
                       .runtime = rt,
                       .target = sinew_ref(task),
                       .run = runner,
                       .fn = fn,
                       .arg = arg,
                       .references = 2,
                       .state = ENTERING};
    if (!sn_task_add_waiter(task, &c->waiter))
        fire(&c->waiter, 0);
    ck_spinlock_lock(&rt->callbacks_lock);
    if (c->state == ENTERING) {
        c->state = WAITING;
        link_to(&rt->callbacks_waiting, c);
    }
    ck_spinlock_unlock(&rt->callbacks_lock);
    release(c);
    return 0;
}

/* Is it one that waits? Then it is nobody else's any more. */
static bool take(sn_callback *c)
{
    ck_spinlock_lock(&c->runtime->callbacks_lock);
    bool waits = c->state == WAITING;
    if (waits) {
        unlink_from(&c->runtime->callbacks_waiting, c);
        c->state = TAKEN;
    }
    ck_spinlock_unlock(&c->runtime->callbacks_lock);
    return waits;
}

static void drop(sn_runtime *rt, sn_callback *c)
{
    sn_inject_drop(rt, c->run);
    release(c);
}

int sinew_on_done_remove(sinew_task *task, sinew_done_fn fn)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    if (!task || !fn)
        return -EINVAL;
    sn_task_check_handle("sinew_on_done_remove", task, false);
    if (sn_task_is_foreign(w, task))
        return -EXDEV;
    uintptr_t v = sn_task_lock_waiters(task);
    if (v == SN_WAITERS_DONE)
        return 0;
    sn_waiter *newest = (sn_waiter *)v;
    sn_callback *taken = NULL;
    for (sn_waiter *n = newest, *next; n; n = next) {
        next = n->next;
        sn_callback *c = SN_CONTAINER(n, sn_callback, waiter);
        if (n->fire != fire || c->fn != fn || c->runtime != w->runtime || !take(c))
            continue;
        sn_waiters_unlink(&newest, n);
        c->next = taken;
        taken = c;
    }
    sn_task_unlock_waiters(task, (uintptr_t)newest);
    int removed = 0;
    for (sn_callback *next; taken; taken = next, removed++) {
        next = taken->next;
        drop(w->runtime, taken);
    }
    return removed;
}

void sn_callbacks_end(sn_runtime *rt)
{
    for (;;) {
        ck_spinlock_lock(&rt->callbacks_lock);
        sn_callback *c = rt->callbacks_waiting;
        if (c) {
            unlink_from(&rt->callbacks_waiting, c);
            c->state = TAKEN;
        }
        ck_spinlock_unlock(&rt->callbacks_lock);
        if (!c)
            break;
        sn_task_remove_waiter(c->target, &c->waiter);
        drop(rt, c);
    }
    for (;;) { /* refused, as a thread completed a future when no task was left; or there was no memory for a stack */
        ck_spinlock_lock(&rt->callbacks_lock);
        sn_callback *c = rt->callbacks_fired;
        if (c)
            unlink_from(&rt->callbacks_fired, c);
        ck_spinlock_unlock(&rt->callbacks_lock);
        if (!c)
            return;
        sn_task_remove_waiter(c->target, &c->waiter); /* that thread has left the runtime when this returns */
        if (c->refused)
            sn_inject_drop(rt, c->run);
        release(c);
    }
}
