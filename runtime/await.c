/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Awaiting one task: in place when it has not started, otherwise parked on its list of waiters.
 *
 * A cancel of the awaiter goes to the awaited task (asyncio's rule): parked, the awaiter does that itself when it
 * wakes; in place, the innermost task does it through the frame.
 */
#include "runtime/await.h"

#include "runtime/cancel.h"
#include "runtime/clock.h"
#include "runtime/inspect.h"
#include "runtime/report.h"
#include "runtime/switch.h"
#include "runtime/task_hot.h"

#include <sinew/time.h>

typedef struct in_place {
    sn_frame frame;
    sinew_task *task;
    int forwarded; /* what the awaiter was asked and the awaited was told */
} in_place;

static void forward(sn_frame *frame)
{
    in_place *p = SN_CONTAINER(frame, in_place, frame);
    int code = sn_cancel_take(frame->task);
    if (code) {
        p->forwarded = sn_cancel_merge(p->forwarded, code);
        sn_cancel_forward(frame->task, p->task, code);
    }
}

static void fire(sn_waiter *waiter, intptr_t result)
{
    (void)result;
    sn_parked *p = SN_CONTAINER(waiter, sn_parked, waiter);
    sn_unpark_done(p->fiber, &p->done);
}

const sn_wait_kind sn_kind_await = {
    fire, forward, NULL, "sinew_await", -1, offsetof(sn_parked, fiber), SN_AWAITER_FIBER};

bool sn_parked_add(sn_parked *p, sn_fiber *f, sinew_task *t)
{
    p->waiter.fire = fire;
    p->fiber = f;
    sn_store(&p->done, 0, relaxed);
    return sn_task_add_waiter(t, &p->waiter);
}

/* *forwarded: what the caller was asked and the awaited task was told. */
static SN_NOINLINE intptr_t await_parked(sn_fiber *f, sinew_task *t, int *forwarded)
{
    int forwards = 0, code = 0, late = 0;
    *forwarded = 0;
    sn_parked parked;
    if (sn_parked_add(&parked, f, t)) {
        sn_worker *w = sn_worker_self();
        code = sn_interrupt(f);
        while (!sn_load(&parked.done, acquire)) {
            if (code == -EDEADLK || (code && forwards == SN_FORWARDS_MAX)) {
                sn_task_remove_waiter(t, &parked.waiter);
                sn_task_unref(t);
                return -EDEADLK;
            }
            if (code) {
                int *answers = sn_cancel_forward(f->task, t, code) ? forwarded : &late;
                *answers = sn_cancel_merge(*answers, code);
                forwards++;
            }
            w = sn_park(w, f);
            code = sn_interrupt_after_park(f);
        }
    }
    code = sn_cancel_merge(late, code);
    sn_tsan_acquire(t);
    intptr_t result = code ? t->result : sn_task_ask(t);
    sn_task_unref(t);
    if (code) { /* asked after the task had ended and before the awaiter went on: the request wins */
        *forwarded = result == -ECANCELED ? sn_cancel_merge(*forwarded, code) : code;
        return *forwarded;
    }
    return *forwarded && result == -ECANCELED ? *forwarded : result;
}

void sn_await_uncancelled(sinew_task *t)
{
    sn_worker *w = sn_worker_self();
    sn_fiber *f = w->fiber;
    sn_parked parked;
    if (sn_parked_add(&parked, f, t))
        while (!sn_load(&parked.done, acquire))
            sn_park(sn_worker_self(), f);
    f->fresh = true;
    sn_task_unref(t);
}

intptr_t sinew_await(sinew_task *t)
{
    if (SN_UNLIKELY(!t))
        return -EINVAL;
    sn_worker *w = sn_worker_self();
    if (SN_UNLIKELY(!w || !w->fiber->task))
        return -EPERM;
    sn_fiber *f = w->fiber;
    sn_task_check_handle("sinew_await", t, true);
    if (SN_UNLIKELY(t == f->task))
        return -EDEADLK;
    if (SN_UNLIKELY(--w->budget <= 0) && !sn_task_done(t)) {
        sn_fair(w, f);
        w = sn_worker_self();
    }
    /* A caller that was asked something passes it on before the task begins. */
    if (SN_LIKELY(sn_task_has_room(w, f) && !sn_cancel_pending(f->task) && sn_task_take(w, t))) {
        in_place p;
        p.frame.poll = forward;
        p.task = t;
        p.forwarded = 0;
        intptr_t result = sn_task_call(w, f, t, &p.frame);
        result = sn_task_end_in_place(sn_worker_self(), t, result);
        return SN_UNLIKELY(p.forwarded && result == -ECANCELED) ? p.forwarded : result;
    }
    if (sn_task_is_foreign(w, t))
        return -EXDEV;
    int forwarded;
    return await_parked(f, t, &forwarded);
}

intptr_t sinew_shield(sinew_task *t)
{
    if (!t)
        return -EINVAL;
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    sn_fiber *f = w->fiber;
    sn_task_check_handle("sinew_shield", t, true);
    if (t == f->task)
        return -EDEADLK;
    if (sn_task_is_foreign(w, t))
        return -EXDEV;
    sn_parked parked;
    int code = 0;
    if (sn_parked_add(&parked, f, t)) {
        code = sn_interrupt(f);
        while (!code && !sn_load(&parked.done, acquire)) {
            w = sn_park(w, f);
            code = sn_interrupt_after_park(f);
        }
        if (code)
            sn_task_remove_waiter(t, &parked.waiter);
    }
    sn_tsan_acquire(t);
    intptr_t result = code ? code : sn_task_ask(t);
    sn_task_unref(t);
    return result;
}

intptr_t sinew_wait_for(sinew_task *t, sinew_time timeout)
{
    if (!t)
        return -EINVAL;
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    sn_task_check_handle("sinew_wait_for", t, true);
    if (sn_task_is_foreign(w, t))
        return -EXDEV;
    if (timeout == SINEW_FOREVER || sn_task_done(t))
        return sinew_await(t);
    if (timeout <= 0) {
        sn_fiber *f = w->fiber;
        if (t == f->task)
            return -EDEADLK;
        sinew_cancel(t);
        int forwarded;
        intptr_t result = await_parked(f, t, &forwarded);
        return result == -ECANCELED && forwarded != -ECANCELED ? -ETIMEDOUT : result;
    }
    sinew_timeout scope;
    sinew_timeout_begin(&scope, timeout);
    intptr_t result = sinew_await(t);
    sinew_timeout_end(&scope);
    return result;
}
