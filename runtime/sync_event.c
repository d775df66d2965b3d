/* SPDX-License-Identifier: Apache-2.0 */
/* Event: a flag, and a crowd that waits for it. Setting it lets go who waits, whatever becomes of the flag after. */
#include "runtime/crowd.h"

#include <sinew/sync.h>

typedef struct event {
    sn_crowd crowd;
    _Atomic uint32_t set; /* written under the lock */
} event;

_Static_assert(sizeof(event) <= sizeof(sinew_event), "sinew_event is too small");

static event *event_of(sinew_event *e)
{
    return (event *)(void *)e;
}

void sinew_event_init(sinew_event *handle)
{
    if (handle)
        *event_of(handle) = (event){.set = 0};
}

int sinew_event_set(sinew_event *handle)
{
    if (!handle)
        return -EINVAL;
    event *e = event_of(handle);
    bool biased = sn_crowd_lock(&e->crowd);
    sn_tsan_release(e);
    sn_store(&e->set, 1, release);
    sn_waiting *first = sn_crowd_let_go(&e->crowd);
    sn_crowd_unlock(&e->crowd, biased); /* the event may be gone after this */
    sn_crowd_grant_all(first, 0);
    return 0;
}

int sinew_event_clear(sinew_event *handle)
{
    if (!handle)
        return -EINVAL;
    event *e = event_of(handle);
    bool biased = sn_crowd_lock(&e->crowd);
    sn_store(&e->set, 0, release);
    sn_crowd_unlock(&e->crowd, biased);
    return 0;
}

/* Is it set, and has who set it left? Who is told so may end the event. False also when only the lock can tell. */
static bool is_set_and_left(event *e)
{
    if (!sn_load(&e->set, acquire) || !sn_lock_left(&e->crowd.lock))
        return false;
    sn_tsan_acquire(e);
    return true;
}

bool sinew_event_is_set(const sinew_event *handle)
{
    if (!handle)
        return false;
    event *e = event_of((sinew_event *)(uintptr_t)handle);
    if (is_set_and_left(e))
        return true;
    if (!sn_load(&e->set, relaxed)) /* nothing is taken from a false answer */
        return false;
    bool biased = sn_crowd_lock(&e->crowd);
    bool set = sn_load(&e->set, relaxed); /* under the lock */
    sn_crowd_unlock(&e->crowd, biased);
    if (set)
        sn_tsan_acquire(e);
    return set;
}

int sinew_event_wait(sinew_event *handle)
{
    if (!handle)
        return -EINVAL;
    event *e = event_of(handle);
    if (is_set_and_left(e))
        return 0;
    bool biased = sn_crowd_lock(&e->crowd);
    int code = 0;
    if (sn_load(&e->set, relaxed)) { /* under the lock */
        sn_crowd_unlock(&e->crowd, biased);
    } else {
        sn_waiting self;
        code = sn_crowd_wait(&e->crowd, biased, &self);
    }
    if (code == 0)
        sn_tsan_acquire(e);
    return code;
}
