/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sleeping and waking: who sleeps, who searches, and why no wake is lost. The argument with both columns stands in
 * runtime/README.md, "Park and wake".
 *
 * word: two counts in one atomic, so that both change at once.
 *   sleeping   workers on the idle list: asleep, or about to be and re-checking
 *   searching  workers that were woken to look for work and have neither found any nor gone back to the list. A push
 * with a searcher about wakes nobody: the searcher will see the push, or re-check after it has left `searching`.
 *
 *   push                                     sleep
 *   p1 entry into the run queue              s1 word: sleeping + 1 (searching - 1)
 *      sn_fence_hot()                           sn_fence_rare()
 *   p2 read word: a sleeper, no searcher?    s2 look at every queue again
 *      -> wake one                              work? -> leave the list, search
 *
 *   impossible: p2 sees nobody to wake and s2 sees no work. The fences order p1 before p2 and s1 before s2.
 *
 *   push (the same)                          a searcher that has found work
 *   p1 entry into the run queue              f1 word: searching - 1
 *      sn_fence_hot()                           sn_fence_rare()
 *   p2 read word: a searcher                 f2 look at every queue
 *      -> wake nobody                           work? -> wake one
 *
 *   impossible: p2 sees the searcher and f2 sees no work. (Without the rare fence the push could still lie in the store
 * buffer of its CPU at f2: the stress test lost a wake in some 50,000 rounds.) A fence is not needed where f2 finds
 * something at once, nor where nobody sleeps.
 *
 * What foreign threads make ready lies in the runtime's inbox (worker.h), which is one of the queues: p1 is then a push
 * to it, with an ordinary seq_cst fence after it, and s2 and f2 look at it, too.
 *
 * Messages to one worker (inbox) use the same pattern on that worker's `asleep`, with ordinary seq_cst fences on both
 * sides, since threads outside the runtime push them too.
 */
#ifndef SN_IDLE_H
#define SN_IDLE_H

#include "runtime/atomic.h"
#include "runtime/fiber.h"

#include <ck_spinlock.h>

typedef struct sn_idle {
    _Atomic uint64_t word;
    ck_spinlock_t lock;
    sn_worker *list;             /* under the lock */
    _Atomic uint64_t departures; /* how often a worker has left the list: see deadlock.c */
    _Atomic uint32_t monitor;    /* the sleeper that looks after computing workers: index + 1, or 0 */
} sn_idle;

#define SN_IDLE_SLEEPING  (UINT64_C(1) << 32)
#define SN_IDLE_SEARCHING UINT64_C(1)

SN_INLINE bool sn_idle_wants_wake(uint64_t word)
{
    return word >= SN_IDLE_SLEEPING && (uint32_t)word == 0;
}

void sn_idle_init(sn_idle *idle);

/* Wakes one sleeper to search, if there is one and nobody searches. */
void sn_wake_one(sn_runtime *rt);
/* Wakes everybody: the runtime stops. */
void sn_wake_all(sn_runtime *rt);

/* Called by a worker that found nothing: spins for a moment if that is likely to pay. Returns whether it should look
 * again. */
bool sn_idle_spin(sn_worker *w);

/* Sleeps in its driver until there may be something. */
void sn_idle_sleep(sn_worker *w);

/* Are all workers on the list and all run queues empty? */
bool sn_idle_all_quiet(sn_runtime *rt);

/* A searching worker found work: lets the next sleeper search if there is more to do. */
void sn_idle_found(sn_worker *w);

#endif
