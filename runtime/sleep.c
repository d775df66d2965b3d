/* SPDX-License-Identifier: Apache-2.0 */
/* Sleeping, yielding, timeout scopes. */
#include "runtime/cancel.h"
#include "runtime/clock.h"
#include "runtime/switch.h"
#include "runtime/task.h"

#include <sinew/time.h>

int sinew_yield(void)
{
    sn_worker *w = sn_worker_self();
    if (SN_UNLIKELY(!w || !w->fiber->task))
        return -EPERM;
    sn_fiber *f = w->fiber;
    int code = sn_interrupt(f);
    if (SN_UNLIKELY(code))
        return code;
    if (SN_LIKELY(!w->pinned_first && !f->side_caller && !f->split && f->pinned < 0 && w->budget > 1)) {
        sn_entry e = sn_runq_pop(&w->runq);
        w->budget--;
        if (!e)
            return 0; /* nobody to yield to, and not yet time to look around */
        sn_switch(w, f, sn_fiber_of_entry(w, e), sn_after_yield);
    } else {
        sn_suspend(w, f, sn_after_enqueue);
    }
    return sn_interrupt(f);
}

typedef struct sleeper {
    sn_timer timer;
    sn_fiber *fiber;
    _Atomic uint32_t fired;
} sleeper;

static void wake_sleeper(sn_timer *timer)
{
    sleeper *s = SN_CONTAINER(timer, sleeper, timer);
    sn_fiber *f = s->fiber;
    sn_store(&s->fired, 1, release); /* the node may be gone after this */
    sn_unpark(f);
}

/* To an instant that has not come yet. */
static int sleep_until(sn_worker *w, sinew_time instant)
{
    sn_fiber *f = w->fiber;
    int code = sn_interrupt(f);
    if (code)
        return code;
    sleeper s;
    s.timer.fire = wake_sleeper;
    s.fiber = f;
    sn_store(&s.fired, 0, relaxed);
    /* For ever is a timer too, though one that never fires: who sleeps on purpose is not deadlocked. */
    int r = sn_timer_arm(&w->timers, &s.timer, instant == SINEW_FOREVER ? SINEW_FOREVER - 1 : instant);
    if (r != 0)
        return r;
    while (!code && !sn_load(&s.fired, acquire)) {
        w = sn_park(w, f);
        code = sn_interrupt_after_park(f);
    }
    if (code)
        sn_timer_disarm(&s.timer);
    return code;
}

int sinew_sleep_until(sinew_time instant)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    return instant <= sn_clock_now() ? sinew_yield() : sleep_until(w, instant);
}

int sinew_sleep(sinew_time duration)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    return duration <= 0 ? sinew_yield() : sleep_until(w, sn_deadline_after(sn_clock_now(), duration));
}

/*
 * A timeout scope. Its timer sets one more expiry in the task's cancel word and remembers how many timeouts had been
 * delivered by then: if that count has not moved when the scope ends, its own expiry is still there and is taken back.
 */
typedef struct scope {
    uint64_t magic;
    sn_timer timer;
    sinew_task *task;
    uint32_t delivered_before;
    bool expired; /* written under the heap's lock or by the task itself */
    bool counted; /* in the cancel word, unless that count is full */
} scope;

_Static_assert(sizeof(scope) <= sizeof(sinew_timeout), "sinew_timeout is too small");

#define SCOPE_MAGIC UINT64_C(0x74696d656f757421)

static void expire(scope *s)
{
    s->expired = true;
    uint32_t old = sn_load(&s->task->cancel, relaxed);
    do {
        s->delivered_before = old & (0xffu * SN_CANCEL_DELIVERED);
        s->counted = (old & SN_CANCEL_EXPIREDS) != SN_CANCEL_EXPIREDS;
    } while (!sn_cas(&s->task->cancel, &old, s->counted ? old + SN_CANCEL_EXPIRED : old, acq_rel));
    sn_cancel_nudge(s->task); /* the scope ends under the heap's lock, so the task is still there */
}

static void fire_scope(sn_timer *timer)
{
    expire(SN_CONTAINER(timer, scope, timer));
}

static void arm_scope(scope *s, sinew_time duration)
{
    s->timer.heap = NULL;
    if (duration == SINEW_FOREVER)
        return;
    sn_worker *w = sn_worker_self();
    if (duration <= 0) {
        expire(s);
        return;
    }
    if (sn_timer_arm(&w->timers, &s->timer, sn_deadline_after(sn_clock_now(), duration)) != 0) {
        sn_complain("sinew_timeout: no memory for a timer; the scope expires at once");
        expire(s);
    }
}

void sinew_timeout_begin(sinew_timeout *t, sinew_time duration)
{
    scope *s = (scope *)(void *)t;
    if (!s)
        return;
    *s = (scope){.magic = SCOPE_MAGIC, .timer.fire = fire_scope, .task = sinew_self()};
    if (s->task)
        arm_scope(s, duration);
}

int sinew_timeout_reset(sinew_timeout *t, sinew_time duration)
{
    scope *s = (scope *)(void *)t;
    if (!s || s->magic != SCOPE_MAGIC || !s->task || s->task != sinew_self())
        return -EINVAL;
    sn_timer_disarm(&s->timer);
    if (s->expired)
        return -ETIMEDOUT;
    arm_scope(s, duration);
    return 0;
}

int sinew_timeout_end(sinew_timeout *t)
{
    scope *s = (scope *)(void *)t;
    if (!s || s->magic != SCOPE_MAGIC)
        return -EINVAL;
    SN_CHECK(s->task == sinew_self(), "sinew_timeout_end: the scope was begun by another task; end it in the same one");
    s->magic = 0;
    sn_timer_disarm(&s->timer);
    if (!s->task || !s->expired)
        return 0;
    if (!s->counted)
        return -ETIMEDOUT;
    uint32_t old = sn_load(&s->task->cancel, relaxed);
    do {
        if ((old & (0xffu * SN_CANCEL_DELIVERED)) != s->delivered_before || !(old & SN_CANCEL_EXPIREDS))
            break; /* delivered */
    } while (!sn_cas(&s->task->cancel, &old, old - SN_CANCEL_EXPIRED, acq_rel));
    return -ETIMEDOUT;
}
