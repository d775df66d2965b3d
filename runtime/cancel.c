/* SPDX-License-Identifier: Apache-2.0 */
/* Cancelling; the word, the columns and the rules stand in cancel.h. */
#include "runtime/cancel.h"

#include "runtime/future.h"
#include "runtime/report.h"

#include <sched.h>

void sn_cancel_nudge(sinew_task *t)
{
    atomic_thread_fence(memory_order_seq_cst); /* c1 before c2; partner: the fence of k2 */
    sn_fiber *f = sn_load(&t->fiber, relaxed);
    if (f)
        sn_unpark(f);
}

bool sn_cancel_request(sinew_task *t, uint32_t bits, bool count)
{
    if (t->flags & SN_TASK_FUTURE)
        return sn_future_complete(t, sn_cancel_code(bits));
    uint32_t old = sn_load(&t->cancel, relaxed), changed;
    do {
        if (old & SN_CANCEL_ENDED)
            return false;
        changed = old | bits;
        if (count && (old & SN_CANCEL_COUNT) != SN_CANCEL_COUNT)
            changed++;
    } while (!sn_cas(&t->cancel, &old, changed, acq_rel)); /* c1 */
    sn_cancel_nudge(t);
    return true;
}

uint32_t sn_cancel_take_bits(sinew_task *t)
{
    uint32_t old = sn_load(&t->cancel, relaxed), changed;
    do {
        if (!(old & SN_CANCEL_ANY))
            return 0;
        changed = old & ~(SN_CANCEL_ANY | SN_CANCEL_STOPPED);
        if ((old & SN_CANCEL_ANY) == SN_CANCEL_STOP)
            changed |= SN_CANCEL_STOPPED;
        if (old & SN_CANCEL_TIMEOUT)
            changed += SN_CANCEL_DELIVERED; /* overflows out of the word's top, as meant */
    } while (!sn_cas(&t->cancel, &old, changed, acq_rel));
    return old & SN_CANCEL_ANY;
}

int sn_cancel_code(uint32_t bits)
{
    if (!bits)
        return 0;
    if (bits & SN_CANCEL_DEADLOCK)
        return -EDEADLK;
    return bits & (SN_CANCEL_CANCELS | SN_CANCEL_GROUP) ? -ECANCELED : -ETIMEDOUT;
}

bool sn_cancel_stop(sinew_task *t)
{
    if (t->flags & SN_TASK_FUTURE)
        return sn_future_complete(t, -ECANCELED);
    uint32_t old = sn_load(&t->cancel, relaxed), changed;
    do {
        if (old & SN_CANCEL_ENDED)
            return false;
        if (old & SN_CANCEL_SHUTDOWN)
            return true;
        changed = old | SN_CANCEL_SHUTDOWN | SN_CANCEL_STOP;
        if ((old & SN_CANCEL_COUNT) != SN_CANCEL_COUNT)
            changed++;
    } while (!sn_cas(&t->cancel, &old, changed, acq_rel)); /* c1 */
    return true;
}

/* A task of an earlier wave is cancelled once when it first looks after the shutdown began. */
static void look_at_shutdown(sn_runtime *rt, sinew_task *t)
{
    uint32_t parity = sn_load(&rt->wave, relaxed) & 1 ? SN_TASK_WAVE : 0;
    if ((t->flags & SN_TASK_WAVE) != parity && !(sn_load(&t->cancel, relaxed) & SN_CANCEL_SHUTDOWN))
        sn_cancel_stop(t);
}

/* Outermost first, so that one pass carries a request all the way in. */
static void poll_frames(sn_runtime *rt, sn_frame *frame, bool stopping)
{
    if (frame->outer)
        poll_frames(rt, frame->outer, stopping);
    if (stopping)
        look_at_shutdown(rt, frame->task);
    frame->poll(frame);
}

void sn_interrupt_poll(sn_fiber *f)
{
    if (f->fresh) {
        f->fresh = false;
        atomic_thread_fence(memory_order_seq_cst); /* k2 */
    }
    sn_fiber_see(
        f); /* k3: acquires what came with the wakes; whatever else they were for is looked at before any park */
    bool stopping = sn_load(&f->runtime->stopping, acquire) != 0;
    if (f->frame)
        poll_frames(f->runtime, f->frame, stopping);
    if (SN_UNLIKELY(stopping))
        look_at_shutdown(f->runtime, f->task);
}

int sn_interrupt_slow(sn_fiber *f)
{
    sn_interrupt_poll(f);
    return sn_cancel_take(f->task);
}

/* The caller runs in place on top of the task it has cancelled: what is awaited is told at once, as that is the caller
 * itself, which may end without another checkpoint. */
static void pass_on_here(sinew_task *t)
{
    sn_worker *w = sn_worker_self();
    sn_fiber *f = w ? w->fiber : NULL;
    if (!f || !f->frame || f->task == t || sn_load(&t->fiber, relaxed) != f)
        return;
    sn_interrupt_poll(f);
    f->fresh = true; /* the wakes are seen, what came with them is not delivered */
}

bool sn_asked_slow(sn_fiber *f)
{
    sn_interrupt_poll(f);
    return sn_cancel_pending(f->task);
}

bool sinew_cancel(sinew_task *t)
{
    if (!t)
        return false;
    sn_task_check_handle("sinew_cancel", t, false);
    if (sn_task_done(t)) {
        sn_task_asked(t); /* who cancels it does not care for its error */
        return false;
    }
    sn_runtime *rt = sn_task_runtime(t), *guest = rt ? sn_guest_enter(rt) : NULL;
    bool told = sn_cancel_request(t, SN_CANCEL_PENDING, true);
    sn_guest_leave(guest);
    if (told) {
        pass_on_here(t);
        return true;
    }
    /* Its end is decided and about to be published: who is told that it has ended must find it so. */
    for (unsigned spins = 0; !sn_task_done(t); spins++)
        if (spins % 256 == 255)
            sched_yield();
        else
            sn_pause();
    sn_task_asked(t);
    return false;
}

int sinew_cancelling(void)
{
    sinew_task *self = sinew_self();
    return self ? (int)(sn_load(&self->cancel, relaxed) & SN_CANCEL_COUNT) : -EPERM;
}

int sinew_uncancel(void)
{
    sinew_task *self = sinew_self();
    if (!self)
        return -EPERM;
    uint32_t old = sn_load(&self->cancel, relaxed), changed;
    do {
        if (!(old & SN_CANCEL_COUNT))
            return 0;
        changed = old - 1;
        if (!(changed & SN_CANCEL_COUNT))
            changed &= ~SN_CANCEL_CANCELS;
    } while (!sn_cas(&self->cancel, &old, changed, acq_rel));
    return (int)(changed & SN_CANCEL_COUNT);
}
