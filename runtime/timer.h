/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers: one 4-ary heap per worker, ordered by deadline; the earliest deadline is what the worker's wait gets as its
 * timeout.
 *
 * A timer is a node on somebody's stack. It belongs to the heap from arm until disarm returns or `fire` has been
 * called. `fire` runs with the heap's lock held, on the worker that expires it, which need not be the heap's: an idle
 * worker expires the timers of one that computes. So after sn_timer_disarm nobody touches the node any more; without
 * it, `fire` must say when it has touched it last.
 *
 * The heap holds (deadline, slot) pairs in one array; slots map back to heap index and node in a second dense array.
 * Moving an entry then writes into that array and not into the nodes, which lie on a million different cold stacks.
 * Rejected: an IORING_OP_TIMEOUT each (2 us to arm, linear cancel); back pointers in the nodes (a cache miss per
 * level).
 */
#ifndef SN_TIMER_H
#define SN_TIMER_H

#include "runtime/atomic.h"

#include <ck_spinlock.h>

typedef struct sn_timer sn_timer;
typedef struct sn_timers sn_timers;

struct sn_timer {
    void (*fire)(sn_timer *timer);
    sn_timers *heap; /* where it was armed last; NULL: never */
    uint32_t slot;
    bool armed; /* under the heap's lock */
};

typedef struct sn_timer_entry {
    sinew_time deadline;
    uint32_t slot;
} sn_timer_entry;

typedef union sn_timer_slot {
    struct {
        sn_timer *timer;
        uint32_t index; /* in the heap */
    } used;
    uint32_t next_free;
} sn_timer_slot;

struct sn_timers {
    ck_spinlock_t lock;
    sn_timer_entry *entries;
    sn_timer_slot *slots;
    uint32_t length, capacity, first_free;
    _Atomic sinew_time earliest; /* SINEW_FOREVER when empty; written under the lock, read without as a hint */
};

void sn_timers_init(sn_timers *h);
void sn_timers_destroy(sn_timers *h);

/* Arms; 0 or -ENOMEM. */
int sn_timer_arm(sn_timers *h, sn_timer *t, sinew_time deadline);

/* True: it was armed and is no longer. False: it has fired (completely) or was never armed. Any worker. */
bool sn_timer_disarm(sn_timer *t);

/* Fires what is due at `now`, up to a thousand; returns how many. Any worker; `try_only` gives up when somebody else
 * holds the heap. */
unsigned sn_timers_expire(sn_timers *h, sinew_time now, bool try_only);

SN_INLINE sinew_time sn_timers_earliest(sn_timers *h)
{
    return sn_load(&h->earliest, relaxed);
}

#endif
