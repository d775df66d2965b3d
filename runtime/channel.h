/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels, as send, receive and select use them: a ring of elements and two queues of waiters (waitq.h) under one
 * lock. Nobody waits in vain: with the lock free, no receiver waits while there is an element or a sender, and no
 * sender while there is room or a receiver; but for the cases of one select, which do not meet each other, and for
 * cases of selects that have lost their choice and are about to be removed.
 *
 * All copies are made under the lock: into and out of the ring, and straight between the two when one was waiting. A
 * slot that is reserved but not yet filled would be one more state, which each receiver, select and close had to wait
 * for; so elements are limited in size, and who has large ones sends pointers.
 */
#ifndef SN_CHANNEL_H
#define SN_CHANNEL_H

#include "runtime/waitq.h"

#include <sinew/channel.h>

struct sinew_channel {
    sn_lock lock;
    _Atomic uint32_t closed; /* this and `length`: written under the lock; read without, too, as a hint */
    size_t element_bytes, capacity;
    size_t first; /* slot of the oldest element */
    _Atomic size_t length;
    _Atomic size_t references;
    sn_waitq receivers, senders;
    char ring[] __attribute__((aligned(SN_CACHE_LINE)));
};

/* One who waits in either queue. waiting.item is the element: its to read from or to write to. */
typedef struct sn_channel_wait {
    sn_waiting waiting;
    int result; /* -EPIPE when it was granted by a close; before the grant */
} sn_channel_wait;

SN_INLINE sn_channel_wait *sn_channel_wait_of(sn_waiting *waiting)
{
    return SN_CONTAINER(waiting, sn_channel_wait, waiting);
}

/* Most elements are a pointer or a number: one move instead of a call. */
SN_INLINE void sn_channel_copy(const sinew_channel *c, void *to, const void *from)
{
    if (SN_LIKELY(c->element_bytes == sizeof(uint64_t)))
        memcpy(to, from, sizeof(uint64_t));
    else if (c->element_bytes != 0)
        memcpy(to, from, c->element_bytes);
}

/* The slot of the element that is `ahead` behind the oldest one; ahead <= capacity. */
SN_INLINE char *sn_channel_slot(sinew_channel *c, size_t ahead)
{
    size_t slot = c->first + ahead;
    if (slot >= c->capacity)
        slot -= c->capacity;
    return c->ring + slot * c->element_bytes;
}

/*
 * Sends with the lock held, without waiting: 0, -EPIPE, or -EAGAIN. *served: a receiver that has got the element and
 * must be granted after the unlock; or NULL.
 */
SN_INLINE int sn_channel_put(sinew_channel *c, const void *element, sn_waiting **served)
{
    *served = NULL;
    if (SN_UNLIKELY(sn_load(&c->closed, relaxed)))
        return -EPIPE;
    sn_waiting *receiver = sn_waitq_pop(&c->receivers);
    size_t length = sn_load(&c->length, relaxed);
    if (!receiver && length == c->capacity)
        return -EAGAIN;
    sn_tsan_release(&c->senders);
    if (receiver) {
        sn_channel_copy(c, receiver->item, element);
        *served = receiver;
        return 0;
    }
    sn_channel_copy(c, sn_channel_slot(c, length), element);
    sn_store(&c->length, length + 1, relaxed);
    return 0;
}

/* Receives in the same way. *served: a sender whose element has been taken, or has gone into the room made. */
SN_INLINE int sn_channel_take(sinew_channel *c, void *element, sn_waiting **served)
{
    sn_waiting *sender = *served = sn_waitq_pop(&c->senders);
    size_t length = sn_load(&c->length, relaxed);
    if (!sender && length == 0)
        return sn_load(&c->closed, relaxed) ? -EPIPE : -EAGAIN;
    sn_tsan_release(&c->receivers);
    if (length != 0) {
        sn_channel_copy(c, element, sn_channel_slot(c, 0));
        if (SN_UNLIKELY(++c->first == c->capacity))
            c->first = 0;
        if (sender) /* it was full: the slot that is free now is the last one */
            sn_channel_copy(c, sn_channel_slot(c, length - 1), sender->item);
        else
            sn_store(&c->length, length - 1, relaxed);
        return 0;
    }
    sn_channel_copy(c, element, sender->item);
    return 0;
}

/* Pushes one who waits, with the lock held. */
SN_INLINE void sn_channel_push(sn_waitq *q, sn_channel_wait *wait, void *element)
{
    wait->waiting.item = element;
    wait->result = 0;
    sn_tsan_release(q); /* whoever serves us sees what we did before */
    sn_waitq_push(q, &wait->waiting);
}

/* At the end of a send or receive with this result: sees what the other side did before. */
SN_INLINE void sn_channel_see(sn_waitq *other_side, int result)
{
    if (result == 0 || result == -EPIPE)
        sn_tsan_acquire(other_side);
    (void)other_side;
}

#endif
