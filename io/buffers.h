/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Buffers that the kernel picks when data arrives (a provided-buffer ring), so that a connection that waits holds none.
 * One set for each ring, made when it is first wanted, in its owner's thread. The kernel takes buffers from the head;
 * whoever has used one puts it back at the tail, under the driver's lock.
 *
 * There are COUNT of them. Who holds many for long takes them from others, whose receives then fail with -ENOBUFS and
 * are made with memory of their own (receive.c).
 */
#ifndef SN_BUFFERS_H
#define SN_BUFFERS_H

#include "io/receive.h"

#include <liburing.h>

enum { SN_BUFFERS_COUNT = 128, SN_BUFFERS_GROUP = 0 };

typedef struct sn_buffers {
    struct io_uring_buf_ring *ring; /* NULL: none */
    char *memory;
    bool refused; /* once and for all: an old kernel, no memory */
} sn_buffers;

/* Are there buffers? Makes them at the first call. In the thread that owns the ring. */
bool sn_buffers_ready(sn_buffers *b, struct io_uring *ring);

/* After the ring has been closed. */
void sn_buffers_free(sn_buffers *b);

SN_INLINE char *sn_buffers_at(const sn_buffers *b, unsigned index)
{
    return b->memory + (size_t)index * SN_RECEIVE_BYTES;
}

/* Gives a buffer to the kernel again. Under the driver's lock. */
void sn_buffers_put(sn_buffers *b, char *buffer);

#endif
