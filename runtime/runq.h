/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker's run queue: everything that is ready on it, first come first served. An entry is a task that has not
 * started, or a fiber to resume.
 *
 *   owner   push (tail), pop (head), take (a given task, anywhere: an await runs it in place)
 *   thieves steal the older half, one thief at a time
 *
 * FIFO for the scheduler gives asyncio's order and fairness; take gives fork-join its depth-first order: a task awaited
 * by its spawner is nearly always the newest entry, and taking that is a decrement.
 *
 * Synchronisation: a lock biased to the owner. The owner announces itself and looks for a thief; a thief announces
 * itself, runs the rare fence, and looks for the owner. While nobody steals, the owner's side is a store, a compiler
 * barrier and a load.
 *
 *   owner (pop, take, grow)                  thief
 *   a  owner_in = 1                          x  thief_in: 0 -> 1
 *      sn_fence_hot()                           sn_fence_rare()
 *   b  if (thief_in != 0) step back, wait    y  wait until owner_in == 0
 *      ... head, slots, tail ...                ... head, slots ...
 *   c  owner_in = 0                          z  thief_in = 0
 *
 *   impossible: b reads 0 and y reads 0 while the owner is inside. The two fences order a before b and x before y, so
 * one of the two loads sees the other side's store.
 *
 * Orderings
 *   a  store relaxed   ordered before b by the fence pair
 *   b  load acquire    partner z: what the last thief moved is seen
 *   c  store release   partner y: what the owner did inside is seen
 *   x  cas acq_rel     partner z of the thief before
 *   y  load acquire    partner c
 *   z  store release   partners b, x
 *   t  tail store release in push, load acquire by thieves: the slot is written before the tail says so. push does not
 *      enter the lock: it writes the slot at the tail, which no thief reads before the tail moves; full is judged by a
 * head that can only be too small. h  head: written inside the lock by whoever holds it; read elsewhere (empty? full?)
 * relaxed as a hint. A steal that found the lock taken is BUSY, not EMPTY: who wants to sleep must not take it for
 * empty.
 *
 * Rejected: Chase-Lev (needs a second arbiter for tasks taken from the middle, and a fence or CAS on each pop);
 * an idempotent deque with the task's state as arbiter (one CAS a task, measured 2.3 ns, more than all of this lock).
 */
#ifndef SN_RUNQ_H
#define SN_RUNQ_H

#include "runtime/atomic.h"
#include "runtime/fiber.h"

typedef uintptr_t sn_entry; /* a task, or a fiber with the lowest bit set; 0 is a hole or nothing */

#define SN_ENTRY_FIBER ((sn_entry)1)

typedef struct sn_runq {
    /* owner's line */
    _Atomic(sn_entry) *slots;
    uint32_t mask;
    _Atomic uint32_t owner_in;
    _Atomic uint64_t tail;
    _Atomic uint64_t head;
    _Atomic uint32_t thief_in __attribute__((aligned(SN_CACHE_LINE)));
} sn_runq;

int sn_runq_init(sn_runq *q); /* 0 or -ENOMEM */
void sn_runq_destroy(sn_runq *q);

/* Makes room; owner only. False: memory is refused. */
bool sn_runq_grow(sn_runq *q);
/* Doubles the ring even if there is room. */
bool sn_runq_widen(sn_runq *q);
void sn_runq_enter_contended(sn_runq *q);

SN_INLINE void sn_runq_enter(sn_runq *q)
{
    sn_store(&q->owner_in, 1, relaxed); /* a */
    sn_fence_hot();
    if (SN_UNLIKELY(sn_load(&q->thief_in, acquire) != 0)) /* b */
        sn_runq_enter_contended(q);
}

SN_INLINE void sn_runq_leave(sn_runq *q)
{
    sn_store(&q->owner_in, 0, release); /* c */
}

/* Entries, holes included. Exact for the owner while no thief is inside; a hint for others. */
SN_INLINE uint64_t sn_runq_length(sn_runq *q)
{
    uint64_t head = sn_load(&q->head, acquire);
    uint64_t tail = sn_load(&q->tail, acquire);
    return tail > head ? tail - head : 0;
}

/* Owner only; may be wrong about what thieves have just taken. */
SN_INLINE bool sn_runq_full(sn_runq *q)
{
    return sn_load(&q->tail, relaxed) - sn_load(&q->head, relaxed) > q->mask;
}

/* Owner only. Is there, or can there be made, room for one more? */
SN_INLINE bool sn_runq_reserve(sn_runq *q)
{
    return SN_LIKELY(!sn_runq_full(q)) || sn_runq_grow(q);
}

/* Owner only, and not when full. */
SN_INLINE void sn_runq_put(sn_runq *q, sn_entry e)
{
    uint64_t tail = sn_load(&q->tail, relaxed);
    sn_store(&q->slots[tail & q->mask], e, relaxed);
    sn_store(&q->tail, tail + 1, release); /* t */
}

/* Owner only. The entry's position, which `take` wants back, is the tail before. False: no memory for a bigger ring. */
SN_INLINE bool sn_runq_push(sn_runq *q, sn_entry e)
{
    if (SN_UNLIKELY(!sn_runq_reserve(q)))
        return false;
    sn_runq_put(q, e);
    return true;
}

/* Owner only. 0 when empty. */
SN_INLINE sn_entry sn_runq_pop(sn_runq *q)
{
    sn_runq_enter(q);
    sn_entry e = 0;
    uint64_t head = sn_load(&q->head, relaxed);
    uint64_t tail = sn_load(&q->tail, relaxed);
    if (SN_LIKELY(head != tail)) {
        do
            e = sn_load(&q->slots[head++ & q->mask], relaxed);
        while (SN_UNLIKELY(e == 0) && head != tail);
        sn_store(&q->head, head, relaxed);
    }
    sn_runq_leave(q);
    return e;
}

/* Owner only. Takes the entry out if it still lies at `position`. */
SN_INLINE bool sn_runq_take(sn_runq *q, sn_entry e, uint32_t position)
{
    bool found = false;
    sn_runq_enter(q);
    uint64_t head = sn_load(&q->head, relaxed);
    uint64_t tail = sn_load(&q->tail, relaxed);
    uint32_t back = (uint32_t)tail - position; /* 1: the newest */
    if (back - 1 < tail - head && sn_load(&q->slots[position & q->mask], relaxed) == e) {
        found = true;
        if (back == 1) {
            do
                tail--;
            while (tail != head && sn_load(&q->slots[(tail - 1) & q->mask], relaxed) == 0);
            sn_store(&q->tail, tail, relaxed); /* nothing new is published */
        } else if (back == tail - head) {
            sn_store(&q->head, head + 1, relaxed);
        } else {
            sn_store(&q->slots[position & q->mask], 0, relaxed);
        }
    }
    sn_runq_leave(q);
    return found;
}

typedef enum sn_steal { SN_STEAL_EMPTY, SN_STEAL_BUSY, SN_STEAL_GOT } sn_steal;

/* Moves the older half of the victim's entries (at most `most`) through `give`, oldest first. Any thread but the owner.
 */
sn_steal sn_runq_steal(sn_runq *victim, uint32_t most, void (*give)(void *arg, sn_entry e), void *arg);

#endif
