/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Barrier: a crowd that is let go by the one who completes it.
 *
 * Those let go have their numbers before anybody else can come, so the next round begins at once: newcomers need not
 * wait until the last of the previous round has run, as they do in asyncio, and nobody can tell the difference.
 */
#include "runtime/crowd.h"

#include <sinew/sync.h>

typedef struct barrier {
    sn_crowd crowd;
    uint32_t parties;
    bool broken; /* under the lock */
} barrier;

_Static_assert(sizeof(barrier) <= sizeof(sinew_barrier), "sinew_barrier is too small");

enum { BROKEN = -ECONNABORTED };

static barrier *barrier_of(const sinew_barrier *b)
{
    return (barrier *)(uintptr_t)b;
}

int sinew_barrier_init(sinew_barrier *handle, int parties)
{
    if (!handle || parties < 1)
        return -EINVAL;
    *barrier_of(handle) = (barrier){.parties = (uint32_t)parties};
    return 0;
}

int sinew_barrier_wait(sinew_barrier *handle)
{
    if (!handle || barrier_of(handle)->parties == 0) /* not inited */
        return -EINVAL;
    if (!sn_worker_of_task())
        return -EPERM;
    barrier *b = barrier_of(handle);
    bool biased = sn_crowd_lock(&b->crowd);
    if (b->broken) {
        sn_crowd_unlock(&b->crowd, biased);
        return BROKEN;
    }
    sn_tsan_release(b);
    int number;
    if (b->crowd.count + 1 < b->parties) {
        sn_waiting self;
        int code = sn_crowd_wait(&b->crowd, biased, &self);
        if (code)
            return code;
        number = (int)(intptr_t)self.item;
        sn_tsan_acquire(b);
    } else {
        int last = (int)b->crowd.count;
        sn_tsan_acquire(b);
        sn_waiting *n = sn_crowd_let_go(&b->crowd);
        sn_crowd_unlock(&b->crowd, biased);
        for (number = 0; n; number++)
            n = sn_crowd_grant(n, number);
        SN_CHECK(number == last, "sinew_barrier: %d were let go instead of %d; was the barrier copied?", number, last);
    }
    return number;
}

/* Ends the round with what the others are told. */
static int end_round(sinew_barrier *handle, bool broken)
{
    if (!handle)
        return -EINVAL;
    barrier *b = barrier_of(handle);
    bool biased = sn_crowd_lock(&b->crowd);
    sn_tsan_release(b);
    b->broken = broken;
    sn_waiting *first = sn_crowd_let_go(&b->crowd);
    sn_crowd_unlock(&b->crowd, biased);
    sn_crowd_grant_all(first, BROKEN);
    return 0;
}

int sinew_barrier_reset(sinew_barrier *b)
{
    return end_round(b, false);
}

int sinew_barrier_abort(sinew_barrier *b)
{
    return end_round(b, true);
}

int sinew_barrier_parties(const sinew_barrier *b)
{
    return b ? (int)barrier_of(b)->parties : -EINVAL;
}

int sinew_barrier_n_waiting(const sinew_barrier *handle)
{
    if (!handle)
        return -EINVAL;
    barrier *b = barrier_of(handle);
    bool biased = sn_crowd_lock(&b->crowd);
    int n = (int)b->crowd.count;
    sn_crowd_unlock(&b->crowd, biased);
    return n;
}

bool sinew_barrier_broken(const sinew_barrier *handle)
{
    if (!handle)
        return false;
    barrier *b = barrier_of(handle);
    bool biased = sn_crowd_lock(&b->crowd);
    bool broken = b->broken;
    sn_crowd_unlock(&b->crowd, biased);
    return broken;
}
