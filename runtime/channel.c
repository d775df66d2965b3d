/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels: send, receive, close. The state and what is done under the lock stand in channel.h, select in select.c.
 *
 * A hand-over is never undone. Who waits is popped and given its element (or relieved of it) in one go under the lock,
 * so a request to cancel finds one of two things:
 *
 *     partner                                  waiter
 *     lock                                     asked? (looks, takes nothing)
 *     pop; copy; unlock                           lock; popped? no: removes itself; unlock; takes the request
 *     grant                                                     yes: unlock; waits for the grant, returns 0;
 *                                                                    the request stays for the next checkpoint
 *
 *   impossible: the element is copied and the waiter takes the request. Pop and removal are under one lock.
 *
 * asyncio lets the cancel win in that moment, and its queue wakes the next one in the waiter's place. Here the element
 * may be in the waiter's hands already; putting it back could overtake others or find the channel full again.
 */
#include "runtime/channel.h"

#include <stdlib.h>

enum { CLOSE_BATCH = 64 }; /* waiters popped under one hold of the lock */

sinew_channel *sinew_channel_new(size_t element_bytes, size_t capacity)
{
    size_t head = sizeof(sinew_channel);
    if (element_bytes > SINEW_CHANNEL_ELEMENT_MAX || capacity > PTRDIFF_MAX ||
        (element_bytes != 0 && capacity > (PTRDIFF_MAX - head - SN_CACHE_LINE) / element_bytes))
        return NULL;
    size_t bytes = (head + element_bytes * capacity + SN_CACHE_LINE - 1) / SN_CACHE_LINE * SN_CACHE_LINE;
    sinew_channel *c = aligned_alloc(SN_CACHE_LINE, bytes);
    if (!c)
        return NULL;
    memset(c, 0, head);
    c->element_bytes = element_bytes;
    c->capacity = capacity;
    sn_store(&c->references, 1, relaxed);
    return c;
}

sinew_channel *sinew_channel_ref(sinew_channel *c)
{
    if (c)
        sn_add(&c->references, 1, relaxed); /* the caller's own reference keeps it alive */
    return c;
}

void sinew_channel_unref(sinew_channel *c)
{
    if (!c || sn_sub(&c->references, 1, acq_rel) != 1)
        return;
    SN_CHECK(!c->receivers.first && !c->senders.first,
             "sinew_channel_unref: the last reference was dropped while somebody waits at the channel; whoever uses a "
             "channel must hold a reference for as long");
    free(c);
}

static SN_NOINLINE int block_thread(sinew_channel *c, sn_waitq *q, void *element)
{
    sn_thread_wait thread = {0};
    sn_channel_wait self;
    sn_waiting_init(&self.waiting, NULL);
    self.waiting.thread = &thread;
    sn_channel_push(q, &self, element);
    sn_lock_give(&c->lock, false); /* only workers have a bias */
    sn_thread_sleep(&thread);
    return self.result;
}

/* Waits to be served. The lock is held and is given up. `w` is NULL in a plain thread. */
SN_INLINE int wait_at(sinew_channel *c, sn_waitq *q, void *element, sn_worker *w, bool biased)
{
    if (SN_UNLIKELY(!w))
        return block_thread(c, q, element);
    sn_fiber *f = w->fiber;
    if (SN_UNLIKELY(!f->task)) { /* an error handler on a worker's own stack */
        sn_lock_give(&c->lock, biased);
        return -EPERM;
    }
    sn_channel_wait self;
    sn_waiting_init(&self.waiting, f);
    sn_channel_push(q, &self, element);
    sn_lock_give(&c->lock, biased);
    bool asked = sn_asked(f);
    while (!sn_load(&self.waiting.granted, acquire)) {
        if (SN_UNLIKELY(asked)) {
            sn_waitq_leave(q, &c->lock, &self.waiting);
            if (!self.waiting.popped)
                return sn_cancel_take(f->task);
            break;
        }
        w = sn_park(w, f);
        asked = sn_asked_after_park(f);
    }
    if (SN_UNLIKELY(asked))
        f->fresh = true; /* for the next checkpoint */
    return self.result;
}

SN_INLINE bool is_wrong(const sinew_channel *c, const void *element)
{
    return SN_UNLIKELY(!c || (!element && c->element_bytes != 0));
}

SN_INLINE void give_and_grant(sinew_channel *c, bool biased, sn_waiting *served)
{
    sn_lock_give(&c->lock, biased);
    if (served)
        sn_waiting_grant(served);
}

int sinew_channel_send(sinew_channel *c, const void *element)
{
    if (is_wrong(c, element))
        return -EINVAL;
    sn_worker *w = sn_worker_self();
    bool biased = sn_lock_take(&c->lock, w);
    sn_waiting *served;
    int r = sn_channel_put(c, element, &served);
    if (r == -EAGAIN)
        r = wait_at(c, &c->senders, (void *)(uintptr_t)element, w, biased);
    else
        give_and_grant(c, biased, served);
    sn_channel_see(&c->receivers, r);
    return r;
}

int sinew_channel_recv(sinew_channel *c, void *element)
{
    if (is_wrong(c, element))
        return -EINVAL;
    sn_worker *w = sn_worker_self();
    bool biased = sn_lock_take(&c->lock, w);
    sn_waiting *served;
    int r = sn_channel_take(c, element, &served);
    if (r == -EAGAIN)
        r = wait_at(c, &c->receivers, element, w, biased);
    else
        give_and_grant(c, biased, served);
    sn_channel_see(&c->senders, r);
    return r;
}

int sinew_channel_try_send(sinew_channel *c, const void *element)
{
    if (is_wrong(c, element))
        return -EINVAL;
    bool biased = sn_lock_take(&c->lock, sn_worker_self());
    sn_waiting *served;
    int r = sn_channel_put(c, element, &served);
    give_and_grant(c, biased, served);
    sn_channel_see(&c->receivers, r);
    return r;
}

int sinew_channel_try_recv(sinew_channel *c, void *element)
{
    if (is_wrong(c, element))
        return -EINVAL;
    bool biased = sn_lock_take(&c->lock, sn_worker_self());
    sn_waiting *served;
    int r = sn_channel_take(c, element, &served);
    give_and_grant(c, biased, served);
    sn_channel_see(&c->senders, r);
    return r;
}

int sinew_channel_close(sinew_channel *c)
{
    if (!c)
        return -EINVAL;
    unsigned popped;
    do {
        sn_waiting *first = NULL, **end = &first, *n;
        bool biased = sn_lock_take(&c->lock, sn_worker_self());
        sn_tsan_release(&c->senders);
        sn_tsan_release(&c->receivers);
        sn_store(&c->closed, 1, release); /* from here on nobody begins to wait */
        for (popped = 0; popped < CLOSE_BATCH; popped++) {
            if (!(n = sn_waitq_pop(&c->receivers)) && !(n = sn_waitq_pop(&c->senders)))
                break;
            sn_channel_wait_of(n)->result = -EPIPE;
            *end = n; /* popped: the link is ours until the grant */
            end = &n->next;
        }
        *end = NULL;
        sn_lock_give(&c->lock, biased);
        while ((n = first)) {
            first = n->next;
            sn_waiting_grant(n);
        }
    } while (popped == CLOSE_BATCH);
    return 0;
}

size_t sinew_channel_length(const sinew_channel *c)
{
    return c ? sn_load(&((sinew_channel *)(uintptr_t)c)->length, relaxed) : 0;
}

size_t sinew_channel_capacity(const sinew_channel *c)
{
    return c ? c->capacity : 0;
}

bool sinew_channel_closed(const sinew_channel *c)
{
    return !c || sn_load(&((sinew_channel *)(uintptr_t)c)->closed, acquire) != 0;
}
