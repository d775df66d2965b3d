/* SPDX-License-Identifier: Apache-2.0 */
/* The buffers of a ring: see buffers.h. */
#include "io/buffers.h"

#include <stdlib.h>
#include <sys/mman.h>

#define RING_BYTES   (SN_BUFFERS_COUNT * sizeof(struct io_uring_buf))
#define MEMORY_BYTES ((size_t)SN_BUFFERS_COUNT * SN_RECEIVE_BYTES)

static void *pages(size_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static bool make(sn_buffers *b, struct io_uring *ring)
{
    b->ring = pages(RING_BYTES);
    b->memory = pages(MEMORY_BYTES);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)b->ring, .ring_entries = SN_BUFFERS_COUNT, .bgid = SN_BUFFERS_GROUP};
    if (!b->ring || !b->memory || io_uring_register_buf_ring(ring, &registration, 0) != 0) {
        sn_buffers_free(b);
        return false;
    }
    io_uring_buf_ring_init(b->ring);
    for (unsigned i = 0; i < SN_BUFFERS_COUNT; i++)
        sn_buffers_put(b, sn_buffers_at(b, i));
    return true;
}

bool sn_buffers_ready(sn_buffers *b, struct io_uring *ring)
{
    if (!b->ring && !b->refused)
        b->refused = !make(b, ring);
    return b->ring != NULL;
}

void sn_buffers_free(sn_buffers *b)
{
    if (b->ring)
        munmap(b->ring, RING_BYTES);
    if (b->memory)
        munmap(b->memory, MEMORY_BYTES);
    b->ring = NULL;
    b->memory = NULL;
}

void sn_buffers_put(sn_buffers *b, char *buffer)
{
    unsigned short index = (unsigned short)((size_t)(buffer - b->memory) / SN_RECEIVE_BYTES);
    io_uring_buf_ring_add(b->ring, buffer, SN_RECEIVE_BYTES, index, SN_BUFFERS_COUNT - 1, 0);
    io_uring_buf_ring_advance(b->ring, 1);
}
