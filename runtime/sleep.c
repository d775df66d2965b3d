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
 * A timeout scope. Its timer asks for a timeout in the task's cancel word, and remembers the word of that moment: if
 * the request is still there and no timeout has been delivered since, nobody has met this one, and it is taken back
 * when the scope ends.
 */
typedef struct scope {
    uint64_t magic;
    sn_timer timer;
    sinew_task *task;
    sinew_time deadline;
    uint32_t begun; /* the task's cancel word when the scope began */
    uint32_t asked; /* and when it expired */
    bool counted;   /* among the expired ones there, unless that count is full */
    _Atomic bool expired;
} scope;

_Static_assert(sizeof(scope) <= sizeof(sinew_timeout), "sinew_timeout is too small");

#define SCOPE_MAGIC UINT64_C(0x74696d656f757421)
#define ENDED_MAGIC UINT64_C(0x74696d656f757465)

static scope *scope_of(const sinew_timeout *t, bool ended_too)
{
    scope *s = (scope *)(uintptr_t)t;
    return s && (s->magic == SCOPE_MAGIC || (ended_too && s->magic == ENDED_MAGIC)) ? s : NULL;
}

static void expire(scope *s)
{
    uint32_t old = sn_load(&s->task->cancel, relaxed), changed;
    do {
        s->counted = (old & SN_CANCEL_EXPIREDS) != SN_CANCEL_EXPIREDS;
        changed = (old | SN_CANCEL_TIMEOUT) + (s->counted ? SN_CANCEL_EXPIRED : 0);
    } while (!sn_cas(&s->task->cancel, &old, changed, acq_rel));
    s->asked = old;
    sn_store(&s->expired, true, release); /* read without the lock by sinew_timeout_expired */
    sn_cancel_nudge(s->task);             /* the scope ends under the heap's lock, so the task is still there */
}

static void fire_scope(sn_timer *timer)
{
    expire(SN_CONTAINER(timer, scope, timer));
}

static void arm_scope(scope *s, sinew_time deadline, sinew_time now)
{
    s->timer.heap = NULL;
    s->deadline = deadline;
    if (deadline == SINEW_FOREVER)
        return;
    if (deadline <= now) {
        expire(s);
    } else if (sn_timer_arm(&sn_worker_self()->timers, &s->timer, deadline) != 0) {
        sn_complain("sinew_timeout: no memory for a timer; the scope expires at once");
        expire(s);
    }
}

static void begin(sinew_timeout *t, sinew_time deadline, sinew_time now)
{
    scope *s = (scope *)(void *)t;
    if (!s)
        return;
    sinew_task *self = sinew_self();
    *s = (scope){.magic = SCOPE_MAGIC, .timer.fire = fire_scope, .task = self, .deadline = deadline};
    if (self) {
        s->begun = sn_load(&self->cancel, relaxed);
        sn_count_open(sn_worker_self()->fiber, 1);
        arm_scope(s, deadline, now);
    }
}

void sinew_timeout_begin(sinew_timeout *t, sinew_time duration)
{
    sinew_time now = duration == SINEW_FOREVER ? 0 : sn_clock_now();
    begin(t, sn_deadline_after(now, duration), now);
}

void sinew_timeout_begin_at(sinew_timeout *t, sinew_time instant)
{
    begin(t, instant, sn_clock_now());
}

int sinew_timeout_reset(sinew_timeout *t, sinew_time duration)
{
    scope *s = scope_of(t, false);
    if (!s || !s->task || s->task != sinew_self())
        return -EINVAL;
    sn_timer_disarm(&s->timer);
    if (sn_load(&s->expired, relaxed)) /* decided: the heap's lock, if any, lies between */
        return -ETIMEDOUT;
    sinew_time now = sn_clock_now();
    arm_scope(s, sn_deadline_after(now, duration), now);
    return 0;
}

bool sinew_timeout_expired(const sinew_timeout *t)
{
    scope *s = scope_of(t, true);
    return s && sn_load(&s->expired, acquire);
}

sinew_time sinew_timeout_when(const sinew_timeout *t)
{
    scope *s = scope_of(t, true);
    return s ? s->deadline : SINEW_FOREVER;
}

/*
 * The end of an expired scope: takes its request back. True: the task has met it, and nobody else's request with it,
 * before it or after it, so that it is this scope that stopped what ran inside. What others have asked and the task has
 * not met yet does not count, since it will.
 */
static bool end_expired(scope *s)
{
    uint32_t old = sn_load(&s->task->cancel, relaxed), now;
    bool met, others;
    do {
        now = s->counted ? old - SN_CANCEL_EXPIRED : old;
        met = !(old & SN_CANCEL_TIMEOUT) || ((old ^ s->asked) & SN_CANCEL_DELIVERY);
        bool around = sn_cancel_more(now, s->begun, SN_CANCEL_EXPIREDS, SN_CANCEL_TIMEOUT);
        if (!around)
            now &= ~SN_CANCEL_TIMEOUT;
        others = (around && !(now & SN_CANCEL_TIMEOUT)) ||
                 (!(now & SN_CANCEL_CANCELS) && sn_cancel_more(now, s->begun, SN_CANCEL_COUNT, SN_CANCEL_CANCELS)) ||
                 (!(now & SN_CANCEL_GROUP) && sn_cancel_more(now, s->begun, SN_CANCEL_TELLERS, SN_CANCEL_GROUP));
    } while (!sn_cas(&s->task->cancel, &old, now, acq_rel));
    sn_store(&s->expired, met, relaxed);
    return met && !others;
}

int sinew_timeout_end(sinew_timeout *t)
{
    scope *s = scope_of(t, false);
    if (!s)
        return -EINVAL;
    if (s->task != sinew_self())
        return -EINVAL;
    s->magic = ENDED_MAGIC;
    if (s->task)
        sn_count_open(sn_worker_self()->fiber, -1);
    sn_timer_disarm(&s->timer);
    return s->task && sn_load(&s->expired, relaxed) && end_expired(s) ? -ETIMEDOUT : 0;
}
