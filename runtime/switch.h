/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Switching, suspending and parking, inlined where they are used.
 *
 * What the worker owes the fiber it has left (queue it, publish it as parked, pool it) is done by an "after" function.
 * The switch runs it on the stack it goes to, once the registers of the fiber left are saved and before anything else,
 * so no thread can resume a fiber that is still running. They end in a plain return or a call in its place: they stand
 * in the shortest path of every yield.
 */
#ifndef SN_SWITCH_H
#define SN_SWITCH_H

#include "runtime/worker.h"

typedef sn_transfer sn_after(sn_transfer t);

sn_after sn_after_nothing;
sn_after sn_after_park;    /* publishes it as parked */
sn_after sn_after_yield;   /* to the tail of the run queue, which has room, since an entry was just taken from it */
sn_after sn_after_enqueue; /* the same without that; also of a pinned fiber */
sn_after sn_after_free;    /* to the pool */

/*
 * Leaves `from` (the running fiber or the worker's scheduler) for `to`. Returns when somebody switches back, maybe in
 * another thread: the worker that runs now is returned.
 */
#if SN_ASAN
sn_worker *sn_switch(sn_worker *w, sn_fiber *from, sn_fiber *to, sn_after *after);
void sn_asan_leave(sn_fiber *from, sn_fiber *to, sn_after *after);
#else
#define sn_switch                      sn_switch_inline
#define sn_asan_leave(from, to, after) ((void)0)
#endif

SN_INLINE sn_worker *sn_switch_inline(sn_worker *w, sn_fiber *from, sn_fiber *to, sn_after *after)
{
    from->saved_errno = *w->errno_location;
    w->switch_from = from;
    w->fiber = to;
    sn_bump(&w->counters.switches, 1);
    sn_asan_leave(from, to, after);
    w = ontop_fcontext(to->context, w, after).data;
    *w->errno_location = from->saved_errno;
    return w;
}

sn_worker *sn_suspend_special(sn_worker *w, sn_fiber *f, sn_after *after);

/* Suspends the running fiber in favour of whatever is next. Returns the worker that runs it when it resumes. */
SN_INLINE sn_worker *sn_suspend(sn_worker *w, sn_fiber *f, sn_after *after)
{
    if (SN_UNLIKELY(f->side_caller || f->split))
        return sn_suspend_special(w, f, after);
    sn_entry e = sn_next(w);
    return sn_switch(w, f, SN_LIKELY(e != 0) ? sn_fiber_of_entry(w, e) : &w->sched, after);
}

/* Waits for a wake (or returns at once if one is recorded). May return spuriously. */
SN_INLINE sn_worker *sn_park(sn_worker *w, sn_fiber *f)
{
    if (sn_load(&f->wakes, relaxed) == f->seen) /* otherwise there is one to be seen */
        w = sn_suspend(w, f, sn_after_park);
    sn_fiber_see(f);
    return w;
}

#endif
