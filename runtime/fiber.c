/* SPDX-License-Identifier: Apache-2.0 */
/* Fibers: switching, parking, pooling, the main loop. States and orderings stand in fiber.h. */
#include "runtime/fiber.h"

#include "runtime/switch.h"
#include "runtime/task.h"

_Static_assert(offsetof(sn_fiber, escaped) == SN_CACHE_LINE, "what each switch touches is one line");
_Static_assert(SINEW_WORKERS_MAX <= INT16_MAX, "a worker's index fits where fibers keep it");

#if SN_ASAN
SN_NO_ASAN void sn_asan_leave(sn_fiber *from, sn_fiber *to, sn_after *after)
{
    /* A worker's own stack has no runtime and no struct at its top. */
    size_t bytes = to->runtime ? (size_t)((char *)to - to->stack_low) : to->stack_bytes;
    from->asan_fake_stack = NULL;
    /* A pooled fiber gives its fake stack back: nothing of it is used again. */
    __sanitizer_start_switch_fiber(after == sn_after_free ? NULL : &from->asan_fake_stack, to->stack_low, bytes);
}

SN_NO_ASAN sn_worker *sn_switch(sn_worker *w, sn_fiber *from, sn_fiber *to, sn_after *after)
{
    return sn_switch_inline(w, from, to, after);
}
#endif

/* On the stack of who arrives. The tools hear of it before anything is published about the fiber that was left: two
 * threads must never be in one context. A fiber between tasks has no TSan context of its own and uses the thread's. */
SN_INLINE sn_fiber *arrive(sn_transfer t)
{
    sn_worker *w = t.data;
#if SN_ASAN
    __sanitizer_finish_switch_fiber(w->fiber->asan_fake_stack, NULL, NULL);
#endif
#if SN_TSAN
    void *context = w->fiber->tsan_context;
    sn_tsan_switch(context ? context : w->sched.tsan_context);
    if (context)
        sn_tsan_acquire(&w->sched);
#endif
    w->switch_from->context = t.from;
    return w->switch_from;
}

SN_NO_ASAN sn_transfer sn_after_nothing(sn_transfer t)
{
    arrive(t);
    return t;
}

static SN_NOINLINE sn_transfer ready(sn_transfer t)
{
    sn_worker *w = t.data;
    sn_ready(w->switch_from);
    return t;
}

SN_NO_ASAN sn_transfer sn_after_park(sn_transfer t)
{
    sn_fiber *from = arrive(t);
    uint32_t seen = from->seen;
    if (SN_UNLIKELY(!sn_cas(&from->wakes, &seen, seen | SN_FIBER_PARKED, acq_rel))) /* P */
        return ready(t);                                                            /* a wake came first */
    return t;
}

static SN_NOINLINE sn_transfer wake_one(sn_transfer t)
{
    sn_worker *w = t.data;
    sn_wake_one(w->runtime);
    return t;
}

SN_NO_ASAN sn_transfer sn_after_yield(sn_transfer t)
{
    sn_worker *w = t.data;
    sn_runq_put(&w->runq, (sn_entry)arrive(t) | SN_ENTRY_FIBER);
    if (SN_UNLIKELY(sn_wants_notice(w)))
        return wake_one(t);
    return t;
}

SN_NO_ASAN sn_transfer sn_after_enqueue(sn_transfer t)
{
    arrive(t);
    return ready(t);
}

SN_NO_ASAN sn_transfer sn_after_free(sn_transfer t)
{
    sn_fiber_put(t.data, arrive(t));
    return t;
}

sn_fiber *sn_fiber_of_task(sn_worker *w, sn_entry e)
{
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

/* `f` has nested work to offer, or a side caller to return to. */
SN_NOINLINE sn_worker *sn_suspend_special(sn_worker *w, sn_fiber *f, sn_after *after)
{
    if (f->split && !f->split->offered)
        offer_splits(f);
    sn_fiber *to = f->side_caller;
    if (to) {
        f->side_caller = NULL;
        f->slice = false;
        to->escaped = true;
    } else {
        sn_entry e = sn_next(w);
        to = e ? sn_fiber_of_entry(w, e) : &w->sched;
    }
    return sn_switch(w, f, to, after);
}

/* `inside`: w is a worker of the fiber's runtime. */
SN_INLINE void unpark(sn_worker *w, bool inside, sn_fiber *f)
{
    sn_tsan_release(f);
    uint32_t old = sn_load(&f->wakes, relaxed);
    while (!sn_cas(&f->wakes, &old, (old & ~SN_FIBER_PARKED) + SN_FIBER_WAKE, acq_rel)) /* U */
        ;
    if (!(old & SN_FIBER_PARKED))
        return;
    if (SN_LIKELY(inside && f->pinned < 0 && !w->looking && !sn_runq_full(&w->runq))) {
        sn_runq_put(&w->runq, (sn_entry)f | SN_ENTRY_FIBER); /* what sn_ready does, in short */
        sn_notify(w);
    } else {
        sn_ready(f);
    }
}

void sn_unpark(sn_fiber *f)
{
    sn_worker *w = sn_worker_self();
    unpark(w, w && w->runtime == f->runtime, f);
}

static SN_NOINLINE void unpark_from_outside(sn_fiber *f, _Atomic uint32_t *done)
{
    sn_runtime *guest = sn_guest_enter(f->runtime);
    sn_store(done, 1, release);
    unpark(NULL, false, f);
    sn_guest_leave(guest);
}

void sn_unpark_done(sn_fiber *f, _Atomic uint32_t *done)
{
    sn_worker *w = sn_worker_self();
    if (SN_UNLIKELY(!w || w->runtime != f->runtime)) {
        unpark_from_outside(f, done);
        return;
    }
    sn_store(done, 1, release);
    unpark(w, true, f);
}

/* A fiber's whole life: tasks and side calls, one after the other, until nothing is left for it; then the pool. The
 * transfer is not looked at: the "after" function has settled it, and its return value need not get here. */
SN_NO_ASAN static void fiber_main(sn_transfer unused)
{
    (void)unused;
    sn_worker *w = sn_worker_self();
    sn_fiber *f = w->fiber;
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
        sn_switch(w, f, to, sn_after_free);
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
    sn_switch(w, caller, side, sn_after_nothing);
    return caller->escaped ? SN_SIDE_SUSPENDED : SN_SIDE_ENDED;
}
