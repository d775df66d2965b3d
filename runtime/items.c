/* SPDX-License-Identifier: Apache-2.0 */
/* Items of a queue, as ring or heap: see items.h. */
#include "runtime/items.h"

#include <stdlib.h>

static size_t orders_offset(const sn_items *items, size_t capacity)
{
    return (capacity * items->bytes + sizeof(uint64_t) - 1) / sizeof(uint64_t) * sizeof(uint64_t);
}

void *sn_items_block(const sn_items *items, size_t capacity)
{
    if (capacity > SIZE_MAX / 2 / (items->bytes + sizeof(uint64_t)))
        return NULL;
    return malloc(orders_offset(items, capacity) + capacity * sizeof(uint64_t));
}

/* The i-th of the ring, oldest first, or of the heap. */
SN_INLINE size_t at(const sn_items *items, size_t i)
{
    size_t room = items->capacity - items->first;
    return i < room ? items->first + i : i - room;
}

SN_INLINE char *element_at(const sn_items *items, size_t i)
{
    return items->elements + at(items, i) * items->bytes;
}

SN_INLINE uint64_t *order_at(const sn_items *items, size_t i)
{
    return &items->orders[at(items, i)];
}

SN_INLINE void set(sn_items *items, size_t i, const void *element, uint64_t order)
{
    sn_items_copy(items, element_at(items, i), element);
    *order_at(items, i) = order;
}

SN_INLINE void copy(sn_items *items, size_t to, size_t from)
{
    set(items, to, element_at(items, from), *order_at(items, from));
}

void *sn_items_move(sn_items *items, void *block, size_t capacity)
{
    void *old = items->elements;
    char *elements = block;
    uint64_t *orders = (uint64_t *)(void *)(elements + orders_offset(items, capacity));
    if (items->count) {
        size_t upper = items->capacity - items->first; /* up to the end of the old block; the rest wraps round */
        if (upper > items->count)
            upper = items->count;
        size_t rest = items->count - upper, bytes = items->bytes;
        memcpy(elements, items->elements + items->first * bytes, upper * bytes);
        memcpy(elements + upper * bytes, items->elements, rest * bytes);
        memcpy(orders, items->orders + items->first, upper * sizeof *orders);
        memcpy(orders + upper, items->orders, rest * sizeof *orders);
    }
    items->elements = elements;
    items->orders = orders;
    items->first = 0;
    items->capacity = capacity;
    return old;
}

/* --- the heap --------------------------------------------------------------------------------------------------- */

static bool before(const sn_items *items, const void *a, uint64_t order_a, size_t b)
{
    int c = items->compare(a, element_at(items, b));
    return c < 0 || (c == 0 && order_a < *order_at(items, b));
}

/* The place `hole` is free: moves it towards the root until the element may stand there. */
static void sift_up(sn_items *items, size_t hole, const void *element, uint64_t order)
{
    while (hole > 0) {
        size_t parent = (hole - 1) / 2;
        if (!before(items, element, order, parent))
            break;
        copy(items, hole, parent);
        hole = parent;
    }
    set(items, hole, element, order);
}

/* The same towards the leaves. The element may stand just behind the last item. */
static void sift_down(sn_items *items, size_t hole, const void *element, uint64_t order)
{
    for (size_t child; (child = 2 * hole + 1) < items->count; hole = child) {
        if (child + 1 < items->count && before(items, element_at(items, child + 1), *order_at(items, child + 1), child))
            child++;
        if (before(items, element, order, child))
            break;
        copy(items, hole, child);
    }
    set(items, hole, element, order);
}

static void remove_from_heap(sn_items *items, size_t hole)
{
    size_t last = --items->count; /* fills the hole, from where it still stands */
    if (hole == last)
        return;
    const void *element = element_at(items, last);
    uint64_t order = *order_at(items, last);
    if (hole > 0 && before(items, element, order, (hole - 1) / 2))
        sift_up(items, hole, element, order);
    else
        sift_down(items, hole, element, order);
}

/* --- both ------------------------------------------------------------------------------------------------------- */

void sn_items_add(sn_items *items, const void *element, uint64_t order)
{
    SN_DCHECK(items->count < items->capacity, "a queue's item was added without room having been made for it");
    size_t i = items->count++;
    if (items->compare) {
        sift_up(items, i, element, order);
    } else if (items->kind == SINEW_QUEUE_FIFO && i > 0 && order < *order_at(items, i - 1)) {
        /* One that comes back: among the oldest. */
        items->first = items->first ? items->first - 1 : items->capacity - 1;
        for (i = 0; i + 1 < items->count && *order_at(items, i + 1) < order; i++)
            copy(items, i, i + 1);
        set(items, i, element, order);
    } else {
        for (; i > 0 && order < *order_at(items, i - 1); i--)
            copy(items, i, i - 1);
        set(items, i, element, order);
    }
}

void sn_items_take(sn_items *items, void *element)
{
    size_t i = items->kind == SINEW_QUEUE_LIFO ? items->count - 1 : 0;
    sn_items_copy(items, element, element_at(items, i));
    if (items->compare) {
        remove_from_heap(items, 0);
        return;
    }
    items->count--;
    if (items->kind == SINEW_QUEUE_FIFO)
        items->first = items->first + 1 < items->capacity ? items->first + 1 : 0;
}

bool sn_items_remove(sn_items *items, uint64_t order)
{
    size_t i = items->count;
    do {
        if (i-- == 0 || (!items->compare && *order_at(items, i) < order))
            return false;
    } while (*order_at(items, i) != order);
    if (items->compare) {
        remove_from_heap(items, i);
    } else {
        items->count--;
        for (; i < items->count; i++)
            copy(items, i, i + 1);
    }
    return true;
}
