/* SPDX-License-Identifier: Apache-2.0 */
/* The deadlock report: see deadlock.h. */
#include "runtime/deadlock.h"

#include "runtime/cancel.h"

enum { LISTED_MAX = 20 };

typedef struct listing {
    unsigned count;
} listing;

static void list_task(listing *l, sinew_task *t)
{
    if (t && l->count++ < LISTED_MAX)
        sn_complain("  waiting: %s", sinew_name(t));
}

static void list_fiber(sn_fiber *f, void *arg)
{
    listing *l = arg;
    if (!(sn_load(&f->wakes, acquire) & SN_FIBER_PARKED)) /* every worker sleeps, so nothing moves */
        return;
    list_task(l, f->task);
    for (sn_frame *frame = f->frame; frame; frame = frame->outer)
        list_task(l, frame->task);
}

/* No I/O in flight, no timer, no message: acquire, so that what a completion or timer has queued is seen by who looks
 * after this. */
static bool nothing_outside(sn_runtime *rt)
{
    for (uint32_t i = 0; i < rt->workers_count; i++) {
        sn_worker *other = &rt->workers[i];
        if (sn_load(&other->timers.earliest, acquire) != SINEW_FOREVER || !CK_STACK_ISEMPTY(&other->inbox) ||
            sn_load(&other->counters.completed, acquire) != sn_load(&other->counters.submitted, acquire))
            return false;
    }
    return !sn_load(&rt->stop, acquire) && !sn_load(&rt->interrupted, acquire);
}

static bool check(sn_worker *w)
{
    sn_runtime *rt = w->runtime;
    if (rt->embedding) /* plain threads may bring something at any time */
        return false;
    /* A worker on the idle list may be about to leave it: it has completed an operation and queued what waited for it.
     * Completions count as such only after they have queued, and who leaves the list moves `departures` before it runs
     * anything. */
    uint64_t departures = sn_load(&rt->idle.departures, acquire);
    if (!nothing_outside(rt) || !sn_idle_all_quiet(rt) || sn_load(&rt->idle.departures, acquire) != departures)
        return false;
    bool again = rt->deadlock_reported || sn_load(&rt->stopping, acquire);
    rt->deadlock_reported = true;
    sn_complain("deadlock: every task waits for another one and no timer or I/O can wake any%s",
                again ? "" : "; main is cancelled with -EDEADLK");
    listing l = {0};
    sn_stacks_visit(&rt->stacks, list_fiber, &l);
    if (l.count > LISTED_MAX)
        sn_complain("  ... and %u more", l.count - LISTED_MAX);
    SN_CHECK(!again,
             "deadlock again after the tasks had been cancelled; a task goes on waiting after -ECANCELED or -EDEADLK");
    sn_cancel_request(rt->main_task, SN_CANCEL_DEADLOCK, false);
    return true;
}

bool sn_deadlock_check(sn_worker *w)
{
    /* One at a time, until what the report has woken is queued; who comes meanwhile looks around again. */
    ck_spinlock_t *lock = &w->runtime->deadlock_lock;
    if (!ck_spinlock_trylock(lock))
        return true;
    bool found = check(w);
    ck_spinlock_unlock(lock);
    return found;
}
