/* SPDX-License-Identifier: Apache-2.0 */
/* The timer heap; its idea stands in timer.h. */
#include "runtime/timer.h"

#include <stdlib.h>

enum { ARITY = 4, FIRST_CAPACITY = 64, BATCH = 256, BATCHES_MAX = 4 };

#define NO_SLOT UINT32_MAX

void sn_timers_init(sn_timers *h)
{
    memset(h, 0, sizeof *h);
    ck_spinlock_init(&h->lock);
    h->first_free = NO_SLOT;
    sn_store(&h->earliest, SINEW_FOREVER, relaxed);
}

void sn_timers_destroy(sn_timers *h)
{
    free(h->entries);
    free(h->slots);
}

static void put(sn_timers *h, uint32_t index, sn_timer_entry e)
{
    h->entries[index] = e;
    h->slots[e.slot].used.index = index;
}

static void sift_up(sn_timers *h, uint32_t index, sn_timer_entry e)
{
    while (index > 0) {
        uint32_t parent = (index - 1) / ARITY;
        if (h->entries[parent].deadline <= e.deadline)
            break;
        put(h, index, h->entries[parent]);
        index = parent;
    }
    put(h, index, e);
}

static void sift_down(sn_timers *h, uint32_t index, sn_timer_entry e)
{
    for (;;) {
        uint64_t child = (uint64_t)index * ARITY + 1;
        if (child >= h->length)
            break;
        uint32_t end = (uint32_t)(child + ARITY < h->length ? child + ARITY : h->length);
        uint32_t least = (uint32_t)child;
        for (uint32_t i = least + 1; i < end; i++)
            if (h->entries[i].deadline < h->entries[least].deadline)
                least = i;
        if (h->entries[least].deadline >= e.deadline)
            break;
        put(h, index, h->entries[least]);
        index = least;
    }
    put(h, index, e);
}

static void publish_earliest(sn_timers *h)
{
    sinew_time earliest = h->length ? h->entries[0].deadline : SINEW_FOREVER;
    if (earliest != sn_load(&h->earliest, relaxed))
        sn_store(&h->earliest, earliest, release); /* a hint; after firing, for deadlock.c */
}

static int reserve(sn_timers *h)
{
    if (h->length < h->capacity)
        return 0;
    if (h->capacity > NO_SLOT / 2)
        return -ENOMEM;
    uint32_t capacity = h->capacity ? h->capacity * 2 : FIRST_CAPACITY;
    sn_timer_entry *entries = realloc(h->entries, capacity * sizeof *entries);
    if (!entries)
        return -ENOMEM;
    h->entries = entries;
    sn_timer_slot *slots = realloc(h->slots, capacity * sizeof *slots);
    if (!slots)
        return -ENOMEM;
    h->slots = slots;
    /* Free slots are linked downwards, so that they are handed out in ascending order. */
    for (uint32_t i = capacity; i-- > h->capacity;) {
        slots[i].next_free = h->first_free;
        h->first_free = i;
    }
    h->capacity = capacity;
    return 0;
}

/* Takes entry `index` out of the heap and frees its slot. */
static void remove_entry(sn_timers *h, uint32_t index)
{
    uint32_t slot = h->entries[index].slot;
    sn_timer_entry last = h->entries[--h->length];
    if (index != h->length) {
        if (index > 0 && last.deadline < h->entries[(index - 1) / ARITY].deadline)
            sift_up(h, index, last);
        else
            sift_down(h, index, last);
    }
    h->slots[slot].next_free = h->first_free;
    h->first_free = slot;
}

int sn_timer_arm(sn_timers *h, sn_timer *t, sinew_time deadline)
{
    ck_spinlock_lock(&h->lock);
    int r = reserve(h);
    if (r == 0) {
        uint32_t slot = h->first_free;
        h->first_free = h->slots[slot].next_free;
        h->slots[slot].used.timer = t;
        t->heap = h;
        t->slot = slot;
        t->armed = true;
        sift_up(h, h->length++, (sn_timer_entry){deadline, slot});
        publish_earliest(h);
    }
    ck_spinlock_unlock(&h->lock);
    return r;
}

bool sn_timer_disarm(sn_timer *t)
{
    sn_timers *h = t->heap;
    if (!h)
        return false;
    ck_spinlock_lock(&h->lock); /* also when it has fired: `fire` may still be running */
    bool armed = t->armed;
    if (armed) {
        remove_entry(h, h->slots[t->slot].used.index);
        publish_earliest(h);
        t->armed = false;
    }
    ck_spinlock_unlock(&h->lock);
    return armed;
}

unsigned sn_timers_expire(sn_timers *h, sinew_time now, bool try_only)
{
    unsigned fired = 0;
    for (unsigned batch = 0; batch < BATCHES_MAX && sn_timers_earliest(h) <= now; batch++) {
        if (try_only) {
            if (!ck_spinlock_trylock(&h->lock))
                break;
        } else {
            ck_spinlock_lock(&h->lock);
        }
        /* A batch at a time, so that an arm or disarm elsewhere does not wait for a million timers. */
        for (unsigned n = 0; n < BATCH && h->length > 0 && h->entries[0].deadline <= now; n++, fired++) {
            sn_timer *t = h->slots[h->entries[0].slot].used.timer;
            remove_entry(h, 0);
            t->armed = false;
            t->fire(t); /* the node may be gone after this */
        }
        publish_earliest(h);
        ck_spinlock_unlock(&h->lock);
    }
    return fired;
}
