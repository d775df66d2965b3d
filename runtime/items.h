/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in a queue: copies of elements in one array that doubles, as a ring (FIFO, LIFO) or as a binary heap
 * (PRIORITY).
 *
 * Each item has its order: the number of its put. It makes equal priorities come out as they were put, finds an item
 * that is to be taken out again, and gives one that comes back its old place. A ring is always sorted by it, oldest
 * first.
 *
 * The lock of the queue guards all of it, so nothing here allocates or frees: who wants room gets a block without the
 * lock and has it exchanged with the lock. That copies all items; the time is that of a memcpy, once for each doubling.
 * Rejected: blocks in a list, which never copy, but put a pointer chase and an allocation into the usual put.
 *
 * Elements lie as in an array of the program's own type, so that `compare` finds them aligned; orders lie behind them
 * in the same block.
 */
#ifndef SN_ITEMS_H
#define SN_ITEMS_H

#include "runtime/base.h"

#include <sinew/queue.h>

typedef struct sn_items {
    sinew_queue_kind kind;
    int (*compare)(const void *a, const void *b); /* NULL: a ring */
    size_t bytes;                                 /* of an element */
    char *elements;                               /* the block */
    uint64_t *orders;
    size_t first, count, capacity; /* first: 0 but for FIFO */
} sn_items;

/* A block for so many items; NULL: no memory. */
void *sn_items_block(const sn_items *items, size_t capacity);

/* Moves to a block with room for `capacity`, which is not less than it is; returns the old block, to be freed. */
void *sn_items_move(sn_items *items, void *block, size_t capacity);

/* Adds one, in its place; there is room. */
void sn_items_add(sn_items *items, const void *element, uint64_t order);

/* Takes out the one that is next; there is one. */
void sn_items_take(sn_items *items, void *element);

/* Removes the one of this order; false: it is not there. Linear, from the newest. */
bool sn_items_remove(sn_items *items, uint64_t order);

SN_INLINE void sn_items_copy(const sn_items *items, void *to, const void *from)
{
    if (SN_LIKELY(items->bytes == sizeof(void *)))
        memcpy(to, from, sizeof(void *)); /* most elements are a pointer or a number: no call */
    else
        memcpy(to, from, items->bytes);
}

#endif
