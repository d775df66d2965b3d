/* SPDX-License-Identifier: Apache-2.0 */
/* The deadlock report: see deadlock.h. */
#include "runtime/deadlock.h"

#include "runtime/cancel.h"

enum { LISTED_MAX = 20 };

typedef struct listing {
    unsigned count;
} listing;

static void list_fiber(sn_fiber *f, void *arg)
{
    listing *l = arg;
    sinew_task *t = f->task; /* every worker sleeps, so nothing moves */
    if (!(sn_load(&f->wakes, acquire) & SN_FIBER_PARKED) || !t)
        return;
    if (l->count++ < LISTED_MAX)
        sn_complain("  waiting: %s", sinew_name(t));
}

bool sn_deadlock_check(sn_worker *w)
{
    sn_runtime *rt = w->runtime;
    for (uint32_t i = 0; i < rt->workers_count; i++) {
        sn_worker *other = &rt->workers[i];
        if (sn_timers_earliest(&other->timers) != SINEW_FOREVER || !CK_STACK_ISEMPTY(&other->inbox) ||
            sn_load(&other->counters.submitted, relaxed) != sn_load(&other->counters.completed, relaxed))
            return false;
    }
    if (sn_load(&rt->stop, acquire))
        return false;
    bool again = rt->deadlock_reported || sn_load(&rt->stopping, acquire);
    rt->deadlock_reported = true;
    sn_complain("deadlock: every task waits for another one and no timer or I/O can wake any%s",
                again ? "" : "; main is cancelled with -EDEADLK");
    listing l = {0};
    sn_stacks_visit(&rt->stacks, list_fiber, &l);
    if (l.count > LISTED_MAX)
        sn_complain("  ... and %u more", l.count - LISTED_MAX);
    SN_CHECK(!again, "deadlock again after the tasks had been cancelled; a task goes on waiting after -ECANCELED or -EDEADLK");
    sn_cancel_request(rt->main_task, SN_CANCEL_DEADLOCK, false);
    return true;
}
