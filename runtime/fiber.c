/* SPDX-License-Identifier: Apache-2.0 */
/* Fibers: switching, parking, pooling, the main loop. States and orderings stand in fiber.h. */
#include "runtime/fiber.h"

#include "runtime/task.h"
#include "runtime/worker.h"

/* What the worker that runs now owes the fiber it came from. */
SN_INLINE void settle(sn_worker *w, sn_context from_context)
{
    sn_fiber *from = w->switch_from;
    sn_after after = w->switch_after;
    from->context = from_context;
    if (after == SN_AFTER_ENQUEUE && SN_LIKELY(from->pinned < 0)) {
        sn_push(w, from);
    } else if (after == SN_AFTER_PARK) {
        uint32_t seen = from->seen;
        if (!sn_cas(&from->wakes, &seen, seen | SN_FIBER_PARKED, acq_rel)) /* P */
            sn_ready(from);                                                /* a wake came first */
    } else if (after == SN_AFTER_FREE) {
        sn_fiber_put(w, from);
    } else if (after == SN_AFTER_ENQUEUE) {
        sn_ready(from);
    }
}

#if SN_ASAN
SN_INLINE void announce_leave(sn_fiber *from, sn_fiber *to, sn_after after)
{
    /* A worker's own stack has no runtime and no struct at its top. */
    size_t bytes = to->runtime ? (size_t)((char *)to - to->stack_low) : to->stack_bytes;
    /* A pooled fiber gives its fake stack back: nothing of it is used again. */
    __sanitizer_start_switch_fiber(after == SN_AFTER_FREE ? NULL : &from->asan_fake_stack, to->stack_low, bytes);
}
SN_INLINE void announce_arrive(sn_fiber *self, bool fresh)
{
    __sanitizer_finish_switch_fiber(fresh ? NULL : self->asan_fake_stack, NULL, NULL);
}
#else
#define announce_leave(from, to, after) ((void)0)
#define announce_arrive(self, fresh)    ((void)0)
#endif

/* Before anything is published about the fiber that was left: two threads must never be in one context. A fiber between
 * tasks has no context of its own and uses the thread's. */
SN_INLINE void tsan_enter(sn_worker *w, sn_fiber *self)
{
#if SN_TSAN
    __tsan_switch_to_fiber(self->tsan_context ? self->tsan_context : w->sched.tsan_context, 1);
    if (self->tsan_context)
        sn_tsan_acquire(&w->sched);
#else
    (void)w;
    (void)self;
#endif
}

static sn_transfer arrive(sn_transfer t)
{
    return t;
}

SN_NO_ASAN sn_worker *sn_switch(sn_worker *w, sn_fiber *from, sn_fiber *to, sn_after after)
{
    from->saved_errno = *w->errno_location;
    w->switch_from = from;
    w->switch_after = after;
    w->fiber = to;
    sn_bump(&w->counters.switches, 1);
    announce_leave(from, to, after);
    sn_transfer t = ontop_fcontext(to->context, w, arrive);
    announce_arrive(from, after == SN_AFTER_FREE);
    w = t.data;
    tsan_enter(w, from);
    settle(w, t.from);
    *w->errno_location = from->saved_errno;
    return w;
}

sn_fiber *sn_fiber_of_entry(sn_worker *w, sn_entry e)
{
    if (SN_LIKELY(e & SN_ENTRY_FIBER))
        return (sn_fiber *)(e & ~SN_ENTRY_FIBER);
    sn_fiber *f = sn_task_fiber(w, (sinew_task *)e);
    return f ? f : &w->sched; /* the task has ended without a stack */
}

static SN_COLD void offer_splits(sn_fiber *f)
{
    for (sn_split *s = f->split; s && !s->offered; s = s->outer) {
        s->offered = true;
        s->offer(s);
    }
}

sn_worker *sn_suspend(sn_worker *w, sn_fiber *f, sn_after after)
{
    if (SN_UNLIKELY(f->split && !f->split->offered))
        offer_splits(f);
    if (SN_UNLIKELY(f->side_caller != NULL)) {
        sn_fiber *caller = f->side_caller;
        f->side_caller = NULL;
        f->slice = false;
        caller->escaped = true;
        return sn_switch(w, f, caller, after);
    }
    sn_entry e = sn_next(w);
    return sn_switch(w, f, SN_LIKELY(e != 0) ? sn_fiber_of_entry(w, e) : &w->sched, after);
}

sn_worker *sn_park(sn_worker *w, sn_fiber *f)
{
    if (sn_load(&f->wakes, relaxed) == f->seen) /* otherwise there is one to be seen */
        w = sn_suspend(w, f, SN_AFTER_PARK);
    sn_fiber_see(f);
    return w;
}

void sn_unpark(sn_fiber *f)
{
    sn_tsan_release(f);
    uint32_t old = sn_load(&f->wakes, relaxed);
    while (!sn_cas(&f->wakes, &old, (old & ~SN_FIBER_PARKED) + SN_FIBER_WAKE, acq_rel)) /* U */
        ;
    if (old & SN_FIBER_PARKED)
        sn_ready(f);
}

/* A fiber's whole life: tasks and side calls, one after the other, until nothing is left for it; then the pool. */
SN_NO_ASAN static void fiber_main(sn_transfer t)
{
    sn_worker *w = t.data;
    sn_fiber *f = w->fiber;
    announce_arrive(f, true);
    tsan_enter(w, f);
    settle(w, t.from);
    for (;;) {
        if (f->entry) {
            f->entry(f->entry_arg);
            f->entry = NULL;
        } else {
            sn_task_run(f, f->start);
        }
        w = sn_worker_self();
        SN_DCHECK(f->frame == NULL, "a fiber ended with a task still nested on it");
        sn_fiber *to = &w->sched;
        if (f->side_caller) {
            to = f->side_caller;
            f->side_caller = NULL;
            f->slice = false;
        } else if (f->pinned < 0 && f->stack_bytes == w->runtime->stack_bytes) {
            sn_entry e = sn_next(w);
            if (e && !(e & SN_ENTRY_FIBER) && sn_task_fits(f, (sinew_task *)e)) {
                f->start = (sinew_task *)e;
                continue;
            }
            if (e)
                to = sn_fiber_of_entry(w, e);
        }
        sn_switch(w, f, to, SN_AFTER_FREE);
    }
}

void sn_fiber_make(sn_fiber *f)
{
    /* The struct's own lines lie above; the stack begins below it. */
    f->context = make_fcontext(f, (size_t)((char *)f - f->stack_low), fiber_main);
    f->pinned = -1;
#if SN_VALGRIND
    (void)VALGRIND_STACK_REGISTER(f->stack_low, f);
#endif
}

sn_fiber *sn_fiber_get(sn_worker *w, size_t stack_bytes)
{
    sn_fiber *f;
    if (SN_UNLIKELY(stack_bytes != 0 && stack_bytes != w->runtime->stack_bytes)) {
        f = sn_stacks_get_odd(w->runtime, stack_bytes);
        if (!f)
            return NULL;
    } else {
        if (SN_UNLIKELY(!w->fibers) && !sn_stacks_refill(w))
            return NULL;
        f = w->fibers;
        w->fibers = f->next;
        w->fibers_count--;
    }
    f->seen = sn_load(&f->wakes, relaxed); /* late wakes of an earlier task */
    sn_bump(&w->counters.fibers_live, 1);
    return f;
}

void sn_fiber_put(sn_worker *w, sn_fiber *f)
{
    sn_stack_check(f);
    f->task = NULL;
    f->frame = NULL;
    f->split = NULL;
    f->pinned = -1;
    f->entry = NULL;
    sn_bump(&w->counters.fibers_live, -1);
    if (SN_UNLIKELY(f->stack_bytes != w->runtime->stack_bytes)) {
        sn_stacks_put_odd(f);
        return;
    }
    f->next = w->fibers;
    w->fibers = f;
    if (SN_UNLIKELY(++w->fibers_count >= 2 * SN_FIBERS_KEEP))
        sn_stacks_overflow(w, SN_FIBERS_KEEP);
}

sn_side sn_side_call(sn_fiber *caller, size_t stack_bytes, void (*entry)(void *arg), void *arg)
{
    sn_worker *w = sn_worker_self();
    sn_fiber *side = sn_fiber_get(w, stack_bytes);
    if (!side)
        return SN_SIDE_NO_MEMORY;
    side->entry = entry;
    side->entry_arg = arg;
    side->side_caller = caller;
    caller->escaped = false;
    sn_switch(w, caller, side, SN_AFTER_NOTHING);
    return caller->escaped ? SN_SIDE_SUSPENDED : SN_SIDE_ENDED;
}
