/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queues: items (items.h) and three lines of waiters (waitq.h) under one spinlock.
 *
 * Who makes the condition true that somebody waits for completes that call, under the lock: a put copies its element
 * into the oldest getter's, a get moves the oldest putter's element into the place that has become free. So, whenever
 * the lock is free,
 *
 *     getters wait  => there are no items
 *     putters wait  => there are `max` items, and the queue is not shut down
 *     joiners wait  => unfinished > 0
 *
 * (the waiters of a call that lets very many go, in batches, aside: it has decided already how their calls end), and
 * who comes later finds nothing to overtake with.
 *
 * A task that is asked to cancel meanwhile looks under the lock before it takes the request. Nothing given yet: it
 * leaves. Otherwise it undoes what was done for it (put_back, take_back). If that cannot be, the call has succeeded and
 * the request is left where it is, for the next checkpoint. This is why the wait is not sn_waitq_wait, which takes
 * first.
 *
 * Rejected: granting only the right to a place or an item, as asyncio does, which is then taken by the one who wakes. A
 * cancel then has nothing to undo, but the lock is taken twice, and of two that wake on different workers the later
 * one may be the first.
 *
 * The queue may be gone as soon as a waiter was granted (that one may have dropped the last reference), so the grant is
 * the last thing a call does; who grants in batches holds a reference.
 *
 * ThreadSanitizer: put releases and get acquires the queue, task_done and join likewise, and a putter that had to wait
 * acquires what the getter released. With a compare function every call does both, as the function reads what others
 * have put.
 */
#include "runtime/items.h"
#include "runtime/waitq.h"

#include <sinew/queue.h>
#include <stdlib.h>

enum {
    FIRST_BYTES = 1024, /* a queue begins with room for so much, or for FIRST_ITEMS */
    FIRST_ITEMS = 4,
    BATCH = 64, /* waiters let go without giving the lock up */
};

struct sinew_queue {
    sn_lock lock;
    sn_items items;
    size_t max;        /* SIZE_MAX: no limit */
    size_t unfinished; /* put, and task_done was not called */
    uint64_t puts;     /* so far: the order of the next item */
    uint64_t rounds;   /* how often `unfinished` became zero while somebody joined */
    bool shut, immediate;
    sn_waitq getters, putters, joiners;
    _Atomic size_t references;
};

/* A call that waits. */
typedef struct call {
    sn_waiting waiting;
    sn_thread_wait thread; /* of a plain thread */
    void *element;         /* the caller's */
    uint64_t order;        /* once granted: of the item; of a joiner: the round it waits for */
    int result;            /* written by who grants, under the lock */
} call;

/* What is to be done once the lock is given up. */
typedef struct after {
    sn_waiting *grant;
    uint64_t joined; /* 0, or: everything is finished, joiners of earlier rounds than this are to be let go */
} after;

static call *call_of(sn_waiting *waiting)
{
    return SN_CONTAINER(waiting, call, waiting);
}

/* --- making and ending ------------------------------------------------------------------------------------------ */

static const char *complaint_about(const sinew_queue_options *opt)
{
    if (!opt)
        return "the options are NULL";
    if ((unsigned)opt->kind > SINEW_QUEUE_PRIORITY)
        return "unknown kind; use SINEW_QUEUE_FIFO, SINEW_QUEUE_LIFO or SINEW_QUEUE_PRIORITY";
    if (opt->element_bytes == 0)
        return "element_bytes is 0; use the size of an element";
    if (opt->kind == SINEW_QUEUE_PRIORITY && !opt->compare)
        return "a priority queue needs a compare function";
    return NULL;
}

sinew_queue *sinew_queue_new(const sinew_queue_options *opt)
{
    const char *complaint = complaint_about(opt);
    if (complaint) {
        sn_complain("sinew_queue_new: %s", complaint);
        return NULL;
    }
    sinew_queue *q = calloc(1, sizeof *q);
    if (!q)
        return NULL;
    q->max = opt->max ? opt->max : SIZE_MAX;
    q->items.kind = opt->kind;
    q->items.bytes = opt->element_bytes;
    q->items.compare = opt->kind == SINEW_QUEUE_PRIORITY ? opt->compare : NULL;
    size_t first = FIRST_BYTES / opt->element_bytes;
    if (first < FIRST_ITEMS)
        first = FIRST_ITEMS;
    if (first > q->max)
        first = q->max;
    void *block = sn_items_block(&q->items, first);
    if (!block) {
        free(q);
        return NULL;
    }
    sn_items_move(&q->items, block, first);
    sn_store(&q->references, 1, relaxed); /* published by whatever passes the handle on */
    return q;
}

sinew_queue *sinew_queue_ref(sinew_queue *q)
{
    if (q)
        sn_add(&q->references, 1, relaxed); /* the caller's own keeps it alive */
    return q;
}

void sinew_queue_unref(sinew_queue *q)
{
    if (!q || sn_sub(&q->references, 1, acq_rel) != 1)
        return;
    SN_CHECK(!q->getters.first && !q->putters.first && !q->joiners.first,
             "sinew_queue_unref: the last reference was dropped while somebody waits in put, get or join");
    free(q->items.elements);
    free(q);
}

/* --- under the lock --------------------------------------------------------------------------------------------- */

static bool enter(sinew_queue *q, const sn_worker *w)
{
    bool biased = sn_lock_take(&q->lock, w);
    if (q->items.compare)
        sn_tsan_acquire(q);
    return biased;
}

static void leave(sinew_queue *q, bool biased)
{
    if (q->items.compare)
        sn_tsan_release(q);
    sn_lock_give(&q->lock, biased);
}

/* Gives the lock up and takes it again, to make room for more than `capacity` items. 0 or -ENOMEM. */
static SN_NOINLINE int grow(sinew_queue *q, bool *biased)
{
    size_t now = q->items.capacity, more = now < q->max / 2 ? 2 * now : q->max;
    leave(q, *biased);
    void *block = sn_items_block(&q->items, more);
    *biased = enter(q, sn_worker_self());
    if (!block)
        return -ENOMEM;
    if (q->items.capacity == now)
        block = sn_items_move(&q->items, block, more);
    leave(q, *biased); /* free may take a while */
    free(block);
    *biased = enter(q, sn_worker_self());
    return 0;
}

/* Gives the item to the oldest getter, who is to be granted; NULL: nobody waits. */
static sn_waiting *hand_over(sinew_queue *q, const void *element, uint64_t order)
{
    sn_waiting *getter = sn_waitq_pop(&q->getters);
    if (getter) {
        call *c = call_of(getter);
        sn_items_copy(&q->items, c->element, element);
        c->order = order;
        c->result = 0;
    }
    return getter;
}

/* A place is free: the oldest putter's element comes in, and it is to be granted; NULL: nobody waits. */
static sn_waiting *admit(sinew_queue *q)
{
    sn_waiting *putter = q->shut ? NULL : sn_waitq_pop(&q->putters);
    if (putter) {
        call *c = call_of(putter);
        c->order = q->puts++;
        c->result = 0;
        sn_items_add(&q->items, c->element, c->order);
        q->unfinished++;
        sn_tsan_release(q); /* from the getter to this putter */
    }
    return putter;
}

/* So many are done: see after.joined. Nobody keeps a program from saying so of an item before it is got. */
static uint64_t finish(sinew_queue *q, size_t n)
{
    q->unfinished -= n < q->unfinished ? n : q->unfinished;
    if (q->unfinished > 0 || !q->joiners.first)
        return 0;
    sinew_queue_ref(q); /* for release_joiners */
    return ++q->rounds;
}

/* --- letting go ------------------------------------------------------------------------------------------------- */

/* Grants everybody in the line whose order is less than `until`. The lock is not held; the caller has a reference. */
static void release_line(sinew_queue *q, sn_waitq *line, uint64_t until, int result)
{
    sn_waiting *batch[BATCH];
    unsigned n;
    do {
        bool biased = enter(q, sn_worker_self());
        for (n = 0; n < BATCH && line->first && call_of(line->first)->order < until; n++) {
            batch[n] = sn_waitq_pop(line);
            call_of(batch[n])->result = result;
        }
        leave(q, biased);
        for (unsigned i = 0; i < n; i++)
            sn_waiting_grant(batch[i]);
    } while (n == BATCH);
}

/* Who joins while they are let go waits for the next round. */
static void release_joiners(sinew_queue *q, uint64_t rounds)
{
    release_line(q, &q->joiners, rounds, 0);
    sinew_queue_unref(q);
}

static void leave_and_do(sinew_queue *q, bool biased, after then)
{
    leave(q, biased);
    if (then.grant)
        sn_waiting_grant(then.grant);
    if (then.joined)
        release_joiners(q, then.joined);
}

/* --- waiting ---------------------------------------------------------------------------------------------------- */

/* A getter was given an item and is asked to cancel: the item goes to the next, or back to its place. False: it cannot.
 * The lock may be given up in between. */
static bool put_back(sinew_queue *q, const call *self, bool *biased, after *then)
{
    for (;;) {
        if (q->immediate) { /* it would have been dropped with the others */
            then->joined = finish(q, 1);
            return true;
        }
        then->grant = hand_over(q, self->element, self->order);
        if (then->grant)
            return true;
        if (q->items.count == q->max)
            return false;
        if (q->items.count < q->items.capacity) {
            sn_items_add(&q->items, self->element, self->order);
            return true;
        }
        if (grow(q, biased) != 0)
            return false;
    }
}

/* A putter's element was put and it is asked to cancel: takes it out again, if it is still there. */
static bool take_back(sinew_queue *q, const call *self, bool *biased, after *then)
{
    (void)biased;
    if (!sn_items_remove(&q->items, self->order))
        return false;
    then->grant = admit(q);
    then->joined = finish(q, 1);
    return true;
}

typedef bool undo_fn(sinew_queue *q, const call *self, bool *biased, after *then);

/* A task that waits is asked something: what its call returns. 0: what it waited for has been done. */
static SN_NOINLINE int withdraw(sinew_queue *q, sn_waitq *line, call *self, undo_fn *undo)
{
    sn_fiber *f = self->waiting.fiber;
    after then = {0};
    bool undone = true;
    bool biased = enter(q, sn_worker_self());
    if (!self->waiting.popped)
        sn_waitq_remove(line, &self->waiting);
    else if (self->result == 0 && undo)
        undone = undo(q, self, &biased, &then);
    bool granted = self->waiting.popped;
    leave_and_do(q, biased, then);
    while (granted && !sn_load(&self->waiting.granted, acquire))
        sn_park(sn_worker_self(), f); /* the one who gave it is between unlock and grant */
    f->fresh = true; /* what is left to be delivered, or came during these parks, is seen at the next checkpoint */
    return undone ? sn_cancel_take(f->task) : 0;
}

static void call_init(call *self, const sn_worker *w, void *element, uint64_t order)
{
    sn_waiting_init(&self->waiting, w ? w->fiber : NULL);
    sn_store(&self->thread.woken, 0, relaxed); /* published by the lock */
    self->waiting.thread = &self->thread;
    self->element = element;
    self->order = order;
}

/* Is there something to be delivered to the calling task? Takes nothing. */
static bool asked(sn_fiber *f)
{
    sn_interrupt_poll(f);
    return sn_cancel_pending(f->task);
}

/* Until the call, which is in the line, was granted: its result, or what the caller was asked. */
static int wait_in(sn_waitq *line, call *self, sinew_queue *q, sn_worker *w, undo_fn *undo)
{
    sn_fiber *f = self->waiting.fiber;
    if (!f) {
        sn_thread_sleep(&self->thread);
        sn_tsan_acquire(q);
        return self->result;
    }
    for (;;) {
        if (SN_UNLIKELY(asked(f))) {
            int code = withdraw(q, line, self, undo);
            if (code)
                return code;
            break;
        }
        if (sn_load(&self->waiting.granted, acquire))
            break;
        w = sn_park(w, f);
    }
    sn_tsan_acquire(q);
    return self->result;
}

/* --- calls ------------------------------------------------------------------------------------------------------ */

/* The lock is held. 0, with the getter to be granted if one waited; -EPIPE; -EAGAIN: full; -ENOMEM: `capacity` is
 * used up. */
static int put_now(sinew_queue *q, const void *element, sn_waiting **getter)
{
    if (q->shut)
        return -EPIPE;
    *getter = hand_over(q, element, q->puts);
    if (!*getter) {
        if (q->items.count == q->max)
            return -EAGAIN;
        if (q->items.count == q->items.capacity)
            return -ENOMEM;
        sn_items_add(&q->items, element, q->puts);
    }
    q->puts++;
    q->unfinished++;
    return 0;
}

static int put(sinew_queue *q, const void *element, bool may_wait)
{
    if (!q || !element)
        return -EINVAL;
    sn_worker *w = sn_worker_of_task();
    bool biased = enter(q, w);
    sn_tsan_release(q);
    sn_waiting *getter = NULL;
    int code = put_now(q, element, &getter);
    while (SN_UNLIKELY(code == -ENOMEM) && grow(q, &biased) == 0)
        code = put_now(q, element, &getter);
    if (code == -EAGAIN && may_wait) {
        if (sn_must_not_wait()) {
            leave(q, biased);
            return -EPERM;
        }
        call self;
        call_init(&self, w, (void *)(uintptr_t)element, 0); /* a putter's is only read */
        sn_waitq_push(&q->putters, &self.waiting);
        leave(q, biased);
        return wait_in(&q->putters, &self, q, w, take_back);
    }
    leave(q, biased);
    if (getter)
        sn_waiting_grant(getter);
    return code;
}

int sinew_queue_put(sinew_queue *q, const void *element)
{
    return put(q, element, true);
}

int sinew_queue_try_put(sinew_queue *q, const void *element)
{
    return put(q, element, false);
}

static int get(sinew_queue *q, void *element, bool may_wait)
{
    if (!q || !element)
        return -EINVAL;
    sn_worker *w = sn_worker_of_task();
    bool biased = enter(q, w);
    sn_waiting *putter = NULL;
    int code = 0;
    if (q->items.count > 0) {
        sn_tsan_acquire(q);
        sn_items_take(&q->items, element);
        putter = admit(q);
    } else if (q->shut) {
        sn_tsan_acquire(q);
        code = -EPIPE;
    } else if (may_wait && sn_must_not_wait()) {
        code = -EPERM;
    } else if (may_wait) {
        call self;
        call_init(&self, w, element, 0);
        sn_waitq_push(&q->getters, &self.waiting);
        leave(q, biased);
        return wait_in(&q->getters, &self, q, w, put_back);
    } else {
        code = -EAGAIN;
    }
    leave(q, biased);
    if (putter)
        sn_waiting_grant(putter);
    return code;
}

int sinew_queue_get(sinew_queue *q, void *element)
{
    return get(q, element, true);
}

int sinew_queue_try_get(sinew_queue *q, void *element)
{
    return get(q, element, false);
}

int sinew_queue_task_done(sinew_queue *q)
{
    if (!q)
        return -EINVAL;
    after then = {0};
    bool biased = enter(q, sn_worker_self());
    int code = q->unfinished > 0 ? 0 : -EINVAL;
    if (code == 0) {
        sn_tsan_release(q);
        then.joined = finish(q, 1);
    }
    leave_and_do(q, biased, then);
    return code;
}

int sinew_queue_join(sinew_queue *q)
{
    if (!q)
        return -EINVAL;
    sn_worker *w = sn_worker_of_task();
    bool biased = enter(q, w);
    if (q->unfinished == 0) {
        sn_tsan_acquire(q);
        leave(q, biased);
        return 0;
    }
    if (sn_must_not_wait()) {
        leave(q, biased);
        return -EPERM;
    }
    call self;
    call_init(&self, w, NULL, q->rounds);
    sn_waitq_push(&q->joiners, &self.waiting);
    leave(q, biased);
    return wait_in(&q->joiners, &self, q, w, NULL);
}

int sinew_queue_shutdown(sinew_queue *q, bool immediate)
{
    if (!q)
        return -EINVAL;
    after then = {0};
    bool biased = enter(q, sn_worker_self());
    sinew_queue_ref(q); /* whom this lets go may drop the caller's */
    sn_tsan_release(q);
    q->shut = true;
    if (immediate) {
        q->immediate = true;
        size_t dropped = q->items.count;
        q->items.count = q->items.first = 0;
        then.joined = finish(q, dropped);
    }
    leave_and_do(q, biased, then);
    release_line(q, &q->putters, UINT64_MAX, -EPIPE);
    release_line(q, &q->getters, UINT64_MAX, -EPIPE);
    sinew_queue_unref(q);
    return 0;
}

/* --- what can be asked ------------------------------------------------------------------------------------------ */

typedef struct state {
    size_t length, unfinished;
    bool full;
} state;

static state state_of(sinew_queue *q)
{
    if (!q)
        return (state){0};
    bool biased = enter(q, sn_worker_self());
    state s = {q->items.count, q->unfinished, q->max != SIZE_MAX && q->items.count == q->max};
    leave(q, biased);
    return s;
}

size_t sinew_queue_length(sinew_queue *q)
{
    return state_of(q).length;
}

bool sinew_queue_empty(sinew_queue *q)
{
    return state_of(q).length == 0;
}

bool sinew_queue_full(sinew_queue *q)
{
    return state_of(q).full;
}

size_t sinew_queue_unfinished(sinew_queue *q)
{
    return state_of(q).unfinished;
}
