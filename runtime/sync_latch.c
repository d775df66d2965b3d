/* SPDX-License-Identifier: Apache-2.0 */
/* Latch: a count that goes down to zero, and a crowd that waits for that. */
#include "runtime/crowd.h"

#include <sinew/sync.h>

typedef struct latch {
    sn_crowd crowd;
    _Atomic uint32_t left; /* written under the lock */
} latch;

_Static_assert(sizeof(latch) <= sizeof(sinew_latch), "sinew_latch is too small");

static latch *latch_of(sinew_latch *l)
{
    return (latch *)(void *)l;
}

void sinew_latch_init(sinew_latch *handle, unsigned count)
{
    if (handle)
        *latch_of(handle) = (latch){.left = count};
}

int sinew_latch_count_down(sinew_latch *handle, unsigned n)
{
    if (!handle)
        return -EINVAL;
    latch *l = latch_of(handle);
    bool biased = sn_crowd_lock(&l->crowd);
    uint32_t left = sn_load(&l->left, relaxed); /* under the lock */
    if (n > left) {
        sn_crowd_unlock(&l->crowd, biased);
        return -ERANGE;
    }
    sn_tsan_release(l);
    sn_store(&l->left, left - n, release);
    sn_waiting *first = left == n ? sn_crowd_let_go(&l->crowd) : NULL;
    sn_crowd_unlock(&l->crowd, biased); /* the latch may be gone after this */
    sn_crowd_grant_all(first, 0);
    return 0;
}

int sinew_latch_try_wait(sinew_latch *handle)
{
    if (!handle)
        return -EINVAL;
    latch *l = latch_of(handle);
    if (sn_load(&l->left, acquire) != 0)
        return -EAGAIN;
    if (!sn_lock_left(&l->crowd.lock)) /* who counted the last one may be inside, and the caller may end the latch */
        sn_crowd_unlock(&l->crowd, sn_crowd_lock(&l->crowd));
    sn_tsan_acquire(l);
    return 0;
}

int sinew_latch_wait(sinew_latch *handle)
{
    int code = sinew_latch_try_wait(handle);
    if (code != -EAGAIN)
        return code;
    latch *l = latch_of(handle);
    bool biased = sn_crowd_lock(&l->crowd);
    code = 0;
    if (sn_load(&l->left, relaxed) == 0) { /* under the lock */
        sn_crowd_unlock(&l->crowd, biased);
    } else {
        sn_waiting self;
        code = sn_crowd_wait(&l->crowd, biased, &self);
    }
    if (code == 0)
        sn_tsan_acquire(l);
    return code;
}
