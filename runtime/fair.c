/* SPDX-License-Identifier: Apache-2.0 */
/* Giving way; the idea stands in fair.h. */
#include "runtime/fair.h"

#include "runtime/clock.h"
#include "runtime/switch.h"
#include "runtime/task.h"

enum { TURNS_MAX = 64 };

/* Our slice is over: the nest is queued, `top`, its outermost fiber, no longer has anybody waiting for it. */
static void end_slice(sn_worker *w, sn_fiber *f, sn_fiber *top)
{
    sn_fiber *giver = top->side_caller;
    top->side_caller = NULL;
    top->slice = false;
    sn_switch(w, f, giver, sn_after_enqueue);
}

static void give_turns(sn_worker *w, sn_fiber *f)
{
    bool begun = false;
    uint64_t turns = sn_runq_length(&w->runq);
    for (turns = turns < TURNS_MAX ? turns : TURNS_MAX; turns > 0; turns--) {
        w->budget = SN_BUDGET;
        sn_entry e = sn_next(w);
        if (!e)
            break;
        sn_fiber *to = (sn_fiber *)(e & ~SN_ENTRY_FIBER);
        if (!(e & SN_ENTRY_FIBER)) {
            sinew_task *t = (sinew_task *)e;
            if (begun) {
                sn_task_push(w, t);
                continue;
            }
            begun = true;
            to = sn_task_fiber(w, t);
            if (!to)
                continue;
        }
        sn_fiber *top = to; /* a queued nest is entered at its innermost fiber and left at its outermost */
        while (top->side_caller)
            top = top->side_caller;
        top->side_caller = f;
        top->slice = true;
        w->fair_at = sn_clock_now();
        w = sn_switch(w, f, to, sn_after_nothing);
    }
    w->budget = SN_BUDGET;
    w->fair_at = sn_clock_now();
}

SN_NOINLINE void sn_fair(sn_worker *w, sn_fiber *f)
{
    w->budget = SN_BUDGET;
    if (sn_clock_now() - w->fair_at < SN_FAIR_NS)
        return;
    sn_fiber *top = f;
    bool pinned = f->pinned >= 0;
    while (!top->slice && top->side_caller) {
        top = top->side_caller;
        pinned = pinned || top->pinned >= 0;
    }
    if (!top->slice) {
        sn_look_around(w);
        give_turns(w, f);
    } else if (!pinned) { /* a nest that is queued may go on in another thread */
        end_slice(w, f, top);
    }
}
