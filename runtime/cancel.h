/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cancelling and timeouts as a task sees them.
 *
 * The word `cancel` of a task:
 *   bits 0..10   requests not yet taken back (sinew_cancelling)
 *   bit  11      the task has ended: too late for a request, whose bits would change nothing
 *   bit  12      a cancel is to be delivered at the next checkpoint
 *   bit  13      the same, by a group that failed or was cancelled (not counted)
 *   bit  14      cancelled by the shutdown already
 *   bit  15      the deadlock report wants to be delivered (-EDEADLK)
 *   bit  16      a timeout is to be delivered
 *   bit  17      a cancel is to be delivered, by the shutdown (counted)
 *   bit  18      what was delivered last was the shutdown's cancel and nothing else
 *   bits 19..23  scopes that have expired and have not ended
 *   bits 24..27  groups that have told their owner and have not been waited for
 *   bits 28..31  timeouts delivered so far, modulo 16: tells a scope whether its own expiry has been delivered
 *
 * A scope or a group that ends takes its own request back and must leave the others' where they are. There is one bit
 * for all of a kind, so they are also counted: who began with the count at n and ends with more than n others knows
 * that one around it has asked meanwhile (sn_cancel_more). Where a count is full, further ones are not counted; then
 * the bit may go too early.
 *
 * Who cancels sets bits and unparks the task's fiber; the task looks at every checkpoint, and again whenever it wakes.
 * Where tasks are nested in place, only the innermost can look: it asks each frame, outermost first, to pass on what
 * its task has been asked (sn_frame.poll), which ends in a cancel of the innermost.
 *
 *   canceller                                task
 *   c1 set bits (RMW, seq_cst)               k1 task->fiber = f; f->fresh = true (at start)
 *   c2 f = task->fiber                       k2 first park: full fence, then look at the bits
 *   c3 f: unpark; none: nothing              k3 later checkpoints look at f->wakes
 *
 *   impossible: c2 sees no fiber and k2 sees no bits: both are seq_cst fences between a store and a load.
 *
 * A request that was accepted is delivered, or makes a good result -ECANCELED: who finishes a task sets ENDED and
 * learns of all requests before it in one read-modify-write of the word (sn_cancel_end).
 */
#ifndef SN_CANCEL_H
#define SN_CANCEL_H

#include "runtime/task.h"

#define SN_CANCEL_COUNT     0x07ffu
#define SN_CANCEL_ENDED     0x0800u
#define SN_CANCEL_PENDING   0x1000u
#define SN_CANCEL_GROUP     0x2000u
#define SN_CANCEL_SHUTDOWN  0x4000u
#define SN_CANCEL_DEADLOCK  0x8000u
#define SN_CANCEL_TIMEOUT   0x10000u
#define SN_CANCEL_STOP      0x20000u
#define SN_CANCEL_STOPPED   0x40000u
#define SN_CANCEL_EXPIRED   0x80000u /* one */
#define SN_CANCEL_EXPIREDS  0xf80000u
#define SN_CANCEL_TELLER    0x1000000u /* one */
#define SN_CANCEL_TELLERS   0xf000000u
#define SN_CANCEL_DELIVERED 0x10000000u /* one */
#define SN_CANCEL_DELIVERY  0xf0000000u
#define SN_CANCEL_CANCELS   (SN_CANCEL_PENDING | SN_CANCEL_STOP) /* those of tasks, and of the runtime's end */
#define SN_CANCEL_ANY       (SN_CANCEL_CANCELS | SN_CANCEL_GROUP | SN_CANCEL_DEADLOCK | SN_CANCEL_TIMEOUT)

/* Does `now` count more of a kind than `then` did? One that was there then and not yet delivered is one more, too. */
SN_INLINE bool sn_cancel_more(uint32_t now, uint32_t then, uint32_t kind, uint32_t undelivered)
{
    uint32_t one = kind & -kind, before = then & kind;
    if (before && (then & undelivered))
        before -= one;
    return (now & kind) > before;
}

/* What a call returns that was asked several things while it waited: a deadlock before a cancel before a timeout. */
SN_INLINE int sn_cancel_merge(int earlier, int later)
{
    if (earlier == 0 || later == -EDEADLK || (earlier == -ETIMEDOUT && later != 0))
        return later;
    return earlier;
}

/* Requests a cancel; `bits` is SN_CANCEL_PENDING or _DEADLOCK. False: the task has ended. */
bool sn_cancel_request(sinew_task *t, uint32_t bits, bool count);

/* The end of a task: from here on requests come too late. Returns its result: a cancel that was never delivered makes a
 * good one -ECANCELED, an error wins over it. */
SN_INLINE intptr_t sn_cancel_end(sinew_task *t, intptr_t result)
{
    /* With the execution's reference as the only one, and no group, nobody can make requests. */
    bool alone = !(t->flags & SN_TASK_GROUP) && sn_load(&t->references, acquire) == 1;
    uint32_t word = alone ? sn_load(&t->cancel, relaxed) : sn_or(&t->cancel, SN_CANCEL_ENDED, acq_rel);
    return SN_UNLIKELY(word & SN_CANCEL_CANCELS) && result >= 0 ? -ECANCELED : result;
}

/* The shutdown's cancel, which a task gets once, from whoever comes first: itself when it looks, or one that waits for
 * it and then nudges it. False: its end is decided. */
bool sn_cancel_stop(sinew_task *t);

/* Wakes the task's fiber so that it looks. */
void sn_cancel_nudge(sinew_task *t);

/* Passes on to `t` what `from` was just asked: `code` is from sn_cancel_take. The shutdown's cancel stays one, or a
 * task that cleans up would be cancelled again. The deadlock report stays what it is: an await that sees it gives up at
 * once, where a cancel passed round a circle of awaits would never end. False: the end of that task is decided, so the
 * request is still to be answered by who was asked. */
SN_INLINE bool sn_cancel_forward(sinew_task *from, sinew_task *t, int code)
{
    if (SN_UNLIKELY(sn_load(&from->cancel, relaxed) & SN_CANCEL_STOPPED)) {
        bool told = sn_cancel_stop(t);
        sn_cancel_nudge(t);
        return told;
    }
    return sn_cancel_request(t, code == -EDEADLK ? SN_CANCEL_DEADLOCK : SN_CANCEL_PENDING, code != -EDEADLK);
}

/* Takes what is to be delivered to the task; its code is 0, -ECANCELED, -ETIMEDOUT or -EDEADLK. */
uint32_t sn_cancel_take_bits(sinew_task *t);
int sn_cancel_code(uint32_t bits);

SN_INLINE int sn_cancel_take(sinew_task *t)
{
    return sn_cancel_code(sn_cancel_take_bits(t));
}

/* Is something to be delivered? */
SN_INLINE bool sn_cancel_pending(sinew_task *t)
{
    return sn_load(&t->cancel, relaxed) & SN_CANCEL_ANY;
}

/* Passes on what outer tasks were asked; takes nothing from the innermost. */
void sn_interrupt_poll(sn_fiber *f);

/* At a checkpoint of the fiber's innermost task: passes on what outer tasks were asked, then takes. */
int sn_interrupt_slow(sn_fiber *f);

SN_INLINE int sn_interrupt(sn_fiber *f)
{
    if (SN_LIKELY(sn_load(&f->wakes, relaxed) == f->seen && !f->fresh))
        return 0;
    return sn_interrupt_slow(f);
}

/* The same after a park, which has seen the wakes. */
SN_INLINE int sn_interrupt_after_park(sn_fiber *f)
{
    if (SN_LIKELY(!f->frame && !(sn_load(&f->task->cancel, relaxed) & SN_CANCEL_ANY) &&
                  !sn_load(&f->runtime->stopping, relaxed)))
        return 0;
    return sn_interrupt_slow(f);
}

/*
 * The same two without taking, for calls whose work may be done by somebody else at any moment and is then not undone:
 * they look, withdraw, and take (sn_cancel_take) only when they have found that nothing was done. Otherwise what was
 * asked is left for the next checkpoint: sn_interrupt_later. What is pending is taken back by nobody but the task.
 */
bool sn_asked_slow(sn_fiber *f);

SN_INLINE bool sn_asked(sn_fiber *f)
{
    if (SN_LIKELY(sn_load(&f->wakes, relaxed) == f->seen && !f->fresh))
        return false;
    return sn_asked_slow(f);
}

SN_INLINE bool sn_asked_after_park(sn_fiber *f)
{
    if (SN_LIKELY(!f->frame && !(sn_load(&f->task->cancel, relaxed) & SN_CANCEL_ANY) &&
                  !sn_load(&f->runtime->stopping, relaxed)))
        return false;
    return sn_asked_slow(f);
}

/* After parks that have seen wakes and taken nothing: the next checkpoint finds what they were for. */
SN_INLINE void sn_interrupt_later(sn_fiber *f)
{
    if (SN_UNLIKELY(sn_asked_after_park(f)))
        f->fresh = true;
}

/* In the middle of a call that has done part of its work and will report that: what the task is asked ends the call and
 * stays for the next checkpoint. */
SN_INLINE int sn_leave_pending(sn_fiber *f)
{
    f->fresh = true;
    return -ECANCELED;
}

/* At the beginning of an operation: 0, or what the caller is to return. `keep`: in the middle of such a call. */
SN_INLINE int sn_asked_before(sn_fiber *f, bool keep)
{
    if (SN_LIKELY(!keep))
        return sn_interrupt(f);
    return sn_asked(f) ? sn_leave_pending(f) : 0;
}

#endif
