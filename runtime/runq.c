/* SPDX-License-Identifier: Apache-2.0 */
/* The slow sides of the run queue; the idea, the columns and the orderings stand in runq.h. */
#include "runtime/runq.h"

#include <sched.h>
#include <stdlib.h>

#define SLOTS_MAX (UINT64_C(1) << 31)

enum { FIRST_SLOTS = 256, SPINS_BEFORE_YIELD = 200, THIEF_SPINS = 2000 };

int sn_runq_init(sn_runq *q)
{
    memset(q, 0, sizeof *q);
    q->slots = calloc(FIRST_SLOTS, sizeof *q->slots);
    q->mask = FIRST_SLOTS - 1;
    return q->slots ? 0 : -ENOMEM;
}

void sn_runq_destroy(sn_runq *q)
{
    free(q->slots);
    q->slots = NULL;
}

void sn_runq_enter_contended(sn_runq *q)
{
    for (;;) {
        sn_store(&q->owner_in, 0, release);
        for (unsigned spins = 0; sn_load(&q->thief_in, acquire) != 0; spins++) {
            if (spins < SPINS_BEFORE_YIELD)
                sn_pause();
            else
                sched_yield(); /* the thief lost its CPU while inside */
        }
        sn_store(&q->owner_in, 1, relaxed);
        sn_fence_hot();
        if (sn_load(&q->thief_in, acquire) == 0)
            return;
    }
}

static bool grow(sn_runq *q, bool room_is_enough)
{
    sn_runq_enter(q); /* no thief reads the old ring while it is replaced */
    uint64_t head = sn_load(&q->head, relaxed);
    uint64_t tail = sn_load(&q->tail, relaxed);
    bool room = room_is_enough && tail - head <= q->mask; /* thieves may have made some */
    uint64_t size = ((uint64_t)q->mask + 1) * 2;
    _Atomic(sn_entry) *slots = room || size > SLOTS_MAX ? NULL : malloc((size_t)size * sizeof *slots);
    if (slots) {
        for (uint64_t i = head; i != tail; i++)
            sn_store(&slots[i & (size - 1)], sn_load(&q->slots[i & q->mask], relaxed), relaxed);
        free(q->slots);
        q->slots = slots;
        q->mask = (uint32_t)(size - 1);
        room = true;
    }
    sn_runq_leave(q);
    return room;
}

bool sn_runq_grow(sn_runq *q)
{
    return grow(q, true);
}

bool sn_runq_widen(sn_runq *q)
{
    return grow(q, false);
}

sn_steal sn_runq_steal(sn_runq *victim, uint32_t most, void (*give)(void *arg, sn_entry e), void *arg)
{
    if (sn_runq_length(victim) == 0)
        return SN_STEAL_EMPTY;
    uint32_t nobody = 0;
    if (sn_load(&victim->thief_in, relaxed) != 0 || !sn_cas(&victim->thief_in, &nobody, 1, acq_rel)) /* x */
        return SN_STEAL_BUSY;
    sn_fence_rare();
    for (unsigned spins = 0; sn_load(&victim->owner_in, acquire) != 0; spins++) { /* y */
        if (spins == THIEF_SPINS) { /* the owner lost its CPU while inside; do not wait for it */
            sn_store(&victim->thief_in, 0, release);
            return SN_STEAL_BUSY;
        }
        sn_pause();
    }
    sn_steal result = SN_STEAL_EMPTY;
    uint64_t head = sn_load(&victim->head, relaxed);
    uint64_t tail = sn_load(&victim->tail, acquire); /* t; the owner may push meanwhile, that is fine */
    uint64_t want = (tail - head + 1) / 2;
    if (want > most)
        want = most;
    for (uint64_t got = 0; head != tail && got < want; head++) {
        sn_entry e = sn_load(&victim->slots[head & victim->mask], relaxed);
        if (e == 0)
            continue;
        give(arg, e);
        got++;
        result = SN_STEAL_GOT;
    }
    sn_store(&victim->head, head, relaxed);  /* z releases it */
    sn_store(&victim->thief_in, 0, release); /* z */
    return result;
}
