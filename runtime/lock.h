/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A spinlock that becomes biased: after many uses in a row by one worker, that worker takes it without an atomic
 * read-modify-write, until anybody else wants it. Held for a few instructions only, never across a switch.
 *
 * A locked instruction costs 8 to 11 ns here when the store buffer has something in it, as it always has around a
 * switch; two tasks that pass a baton on one worker would spend most of their time in four of them.
 *
 *   biased worker                            anybody else (holds `held`)
 *   b1 inside = 1                            r1 bias = self, revoked
 *      sn_fence_hot()                           sn_fence_rare()
 *   b2 if (bias != self) step back           r2 wait until inside == 0
 *      ... the guarded data ...                 ... the guarded data ...
 *   b3 inside = 0
 *
 *   impossible: b2 reads self and r2 reads 0 while the biased worker is inside: the fences order b1 before b2 and r1
 * before r2.
 *
 * A former owner may be stopped between its look at `bias` and b1, for as long as the kernel likes, and then writes to
 * `inside`, 1 and 0. If another worker were inside by then through a bias of its own, that 0 would hide it. So the
 * number of the owner stays in `bias` after r1, marked as revoked, until that worker has taken `held`: then it has
 * nothing old under way. Until then nobody gets the bias.
 *
 *   former owner                             who wants the bias
 *   f1 inside = 1, 0 (late)                  holds `held`: bias is 0? -> bias = self
 *   f2 takes `held`; bias: revoked -> 0      b1 inside = 1
 *
 *   impossible: f1 comes after b1. f1 is before f2 in its worker, and f2 before the other's look, by `held`.
 *
 * Orderings: b2 acquire with the release of who set the bias (itself); b3 release, r2 acquire; `held` xchg acquire,
 * store release. Who takes `held` always looks at `bias` after it, so a bias set under `held` is never missed.
 *
 * Taking a bias back costs a rare fence (10 us), so a lock must have earned it by BIAS_AFTER uses.
 */
#ifndef SN_LOCK_H
#define SN_LOCK_H

#include "runtime/worker.h"

enum { SN_BIAS_AFTER = 4096 };

#define SN_BIAS_REVOKED 0x80000000u

typedef struct sn_lock {
    _Atomic uint32_t held;
    _Atomic uint32_t bias; /* a worker's number, with REVOKED or without; or 0 */
    _Atomic uint32_t inside;
    uint32_t last;  /* under the lock: the worker number that had it last */
    uint32_t times; /* how many times in a row */
} sn_lock;

void sn_lock_revoke(sn_lock *l, uint32_t owner);
void sn_lock_contended(sn_lock *l);

/* Returns whether it was taken through the bias; unlock wants that back. `w` may be NULL (no worker). */
SN_INLINE bool sn_lock_take(sn_lock *l, const sn_worker *w)
{
    uint32_t self = w ? w->number : 0;
    if (SN_LIKELY(self && sn_load(&l->bias, relaxed) == self)) {
        sn_store(&l->inside, 1, relaxed); /* b1 */
        sn_fence_hot();
        if (SN_LIKELY(sn_load(&l->bias, acquire) == self)) /* b2 */
            return true;
        sn_store(&l->inside, 0, release);
    }
    if (SN_UNLIKELY(sn_exchange(&l->held, 1, acquire) != 0))
        sn_lock_contended(l);
    uint32_t bias = sn_load(&l->bias, relaxed);
    if (SN_UNLIKELY(bias != 0)) {
        if (!(bias & SN_BIAS_REVOKED))
            sn_lock_revoke(l, bias);
        else if (bias == (self | SN_BIAS_REVOKED))
            sn_store(&l->bias, 0, relaxed); /* f2 */
    }
    if (l->last != self) {
        l->last = self;
        l->times = 0;
    } else if (SN_UNLIKELY(++l->times == SN_BIAS_AFTER)) {
        l->times = 0;
        if (self && sn_fence_asymmetric && sn_load(&l->bias, relaxed) == 0)
            sn_store(&l->bias, self, relaxed); /* seen by the next holder of `held` through its release */
    }
    return false;
}

SN_INLINE void sn_lock_give(sn_lock *l, bool biased)
{
    sn_store(biased ? &l->inside : &l->held, 0, release); /* b3 */
}

/*
 * Who has seen, by an acquire load, what was stored under the lock, and finds it free, knows that whoever stored it
 * will not touch the lock again: what the lock lies in may end. (The load also saw the lock taken, so that a free one
 * is a later state.) That lets a fast path read a flag without taking the lock.
 */
SN_INLINE bool sn_lock_left(const sn_lock *l)
{
    return sn_load(&((sn_lock *)(uintptr_t)l)->held, acquire) == 0 &&
           sn_load(&((sn_lock *)(uintptr_t)l)->inside, acquire) == 0;
}

#endif
