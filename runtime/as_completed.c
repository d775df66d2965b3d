/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks in the order in which they end. Each watched task has a node in its list of waiters. The nodes of those that
 * have ended pass through a stack, to which any worker pushes, into a line that only the owner uses; the timeout is one
 * node more, so that its place among the ends is known.
 *
 * The iterator holds a reference to each task until it delivers it: without one, the owner could await a watched task
 * with the only handle, and the in-place fast path (task.h) ends such tasks without looking at their waiters.
 *
 * `ended` is 0, WAITS, or the newest node.
 *
 *   finisher                                 owner
 *   f1 ended: -> node (RMW, release)         o1 ended: -> 0 (RMW, acquire); nodes? take them
 *   f2 was WAITS? unpark                     o2 ended: 0 -> WAITS (RMW); failed? o1
 *                                            o3 park
 *   Impossible: the owner parks for good with a node in `ended`; all are read-modify-writes of one word.
 *
 * A node is its finisher's until that has let the waiters lock of the task go: sn_task_remove_waiter waits for this.
 */
#include "runtime/as_completed.h"

#include "runtime/cancel.h"
#include "runtime/clock.h"
#include "runtime/inspect.h"
#include "runtime/switch.h"

#include <stdlib.h>

#define MAGIC UINT64_C(0x6173636f6d706c21)
#define WAITS ((uintptr_t)1)

typedef struct iterator iterator;

typedef struct node {
    sn_waiter waiter;
    iterator *it;
    struct node *next; /* in `ended`, then in the line */
    sinew_task *task;  /* NULL: delivered, or the timeout */
    size_t index;      /* in the caller's array */
    bool listed;       /* among the task's waiters, or fired */
    bool wake;         /* the finisher's: the owner waits */
    bool ended;        /* begin's */
} node;

struct iterator {
    uint64_t magic;
    sinew_task *owner;
    sn_fiber *fiber; /* the owner's: a task never changes it */
    node *nodes;     /* `n`, and the one of the timeout */
    size_t n, left;  /* left: not delivered */
    _Atomic uintptr_t ended;
    node *first, *last; /* the line */
    sn_timer timer;
    bool timed_out;
};

_Static_assert(sizeof(iterator) <= sizeof(sinew_as_completed), "sinew_as_completed is too small");

static iterator *iterator_of(const sinew_as_completed *it)
{
    iterator *i = (iterator *)(uintptr_t)it;
    return i && i->magic == MAGIC ? i : NULL;
}

/* --- ends ------------------------------------------------------------------------------------------------------- */

static void note(node *n)
{
    uintptr_t old = sn_load(&n->it->ended, relaxed);
    do
        n->next = old == WAITS ? NULL : (node *)old;
    while (!sn_cas(&n->it->ended, &old, (uintptr_t)n, acq_rel)); /* f1 */
    n->wake = old == WAITS;
}

static void wake(node *n)
{
    if (n->wake)
        sn_unpark(n->it->fiber); /* f2 */
}

void sn_as_completed_note(sn_waiter *waiter)
{
    note(SN_CONTAINER(waiter, node, waiter));
}

void sn_as_completed_fire(sn_waiter *waiter, intptr_t result)
{
    (void)result;
    wake(SN_CONTAINER(waiter, node, waiter));
}

/* Not the fiber: that may run another task in place between two calls. */
const sn_wait_kind sn_kind_as_completed = {
    sn_as_completed_fire,      NULL,           NULL, "sinew_as_completed", offsetof(node, it),
    offsetof(iterator, owner), SN_AWAITER_TASK};

static void expire(sn_timer *timer)
{
    iterator *it = SN_CONTAINER(timer, iterator, timer); /* there until the timer is disarmed */
    note(&it->nodes[it->n]);
    wake(&it->nodes[it->n]);
}

/* --- the line --------------------------------------------------------------------------------------------------- */

static void append(iterator *it, node *n)
{
    n->next = NULL;
    *(it->first ? &it->last->next : &it->first) = n;
    it->last = n;
}

/* What has ended since the last time, oldest first. */
static node *take_ended(iterator *it)
{
    uintptr_t head = sn_exchange(&it->ended, 0, acquire); /* o1 */
    node *newest = head == WAITS ? NULL : (node *)head, *oldest = NULL;
    while (newest) {
        node *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

/* --- begin and end ---------------------------------------------------------------------------------------------- */

static int by_task(const void *a, const void *b)
{
    const node *x = a, *y = b;
    if (x->task != y->task)
        return (uintptr_t)x->task < (uintptr_t)y->task ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

static int by_index(const void *a, const void *b)
{
    const node *x = a, *y = b;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* Leaves the first node of each task, in the order of the array; returns how many. */
static size_t leave_out_duplicates(node *nodes, size_t n)
{
    if (n < 2)
        return n;
    qsort(nodes, n, sizeof *nodes, by_task);
    size_t kept = 1;
    for (size_t i = 1; i < n; i++)
        if (nodes[i].task != nodes[kept - 1].task)
            nodes[kept++] = nodes[i];
    qsort(nodes, kept, sizeof *nodes, by_index);
    return kept;
}

/* Watches all tasks; those that have ended by now are put in line. Returns how many have not. */
static size_t watch(iterator *it)
{
    for (size_t i = 0; i < it->n; i++) {
        node *n = &it->nodes[i];
        n->it = it;
        n->waiter.fire = sn_as_completed_fire;
        sn_add(&n->task->references, 1, relaxed); /* the caller's own keeps it alive */
        n->listed = sn_task_add_waiter(n->task, &n->waiter);
        n->ended = !n->listed;
    }
    /* Whoever is not among these ends after all of them. */
    for (node *n = take_ended(it); n; n = n->next)
        n->ended = true;
    size_t running = 0;
    for (size_t i = 0; i < it->n; i++)
        if (it->nodes[i].ended)
            append(it, &it->nodes[i]);
        else
            running++;
    return running;
}

/* No finisher uses the node any more, nor its reference. */
static void release_node(node *n)
{
    if (n->listed)
        sn_task_remove_waiter(n->task, &n->waiter);
    sn_task_unref(n->task);
    n->task = NULL;
}

static void end(iterator *it)
{
    it->magic = 0;
    sn_count_open(it->fiber, -1);
    sn_timer_disarm(&it->timer);
    for (size_t i = 0; i < it->n; i++)
        if (it->nodes[i].task)
            release_node(&it->nodes[i]);
    free(it->nodes);
}

int sinew_as_completed_begin(sinew_as_completed *handle, sinew_task *const *tasks, size_t n, sinew_time timeout)
{
    if (!handle)
        return -EINVAL;
    iterator *it = (iterator *)(void *)handle;
    it->magic = 0;
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    if (n > INT32_MAX || (n > 0 && !tasks))
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (!tasks[i])
            return -EINVAL;
        sn_task_check_handle("sinew_as_completed_begin", tasks[i], false);
        if (tasks[i] == w->fiber->task)
            return -EDEADLK;
        if (sn_task_is_foreign(w, tasks[i]))
            return -EXDEV;
    }
    node *nodes = calloc(n + 1, sizeof *nodes);
    if (!nodes)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        nodes[i].task = tasks[i];
        nodes[i].index = i;
    }
    n = leave_out_duplicates(nodes, n);
    *it = (iterator){.magic = MAGIC,
                     .owner = w->fiber->task,
                     .fiber = w->fiber,
                     .nodes = nodes,
                     .n = n,
                     .left = n,
                     .timer.fire = expire};
    nodes[n] = (node){.it = it};
    sn_count_open(it->fiber, 1);
    size_t running = watch(it);
    if (running == 0 || timeout == SINEW_FOREVER)
        return 0;
    if (timeout <= 0) {
        append(it, &nodes[n]);
        return 0;
    }
    int code = sn_timer_arm(&w->timers, &it->timer, sn_deadline_after(sn_clock_now(), timeout));
    if (code)
        end(it);
    return code;
}

void sinew_as_completed_end(sinew_as_completed *handle)
{
    iterator *it = iterator_of(handle);
    if (it)
        end(it);
}

/* --- next ------------------------------------------------------------------------------------------------------- */

static intptr_t deliver(iterator *it, node *n)
{
    it->left--;
    if (!n->task) {
        it->timed_out = true;
        return -ETIMEDOUT;
    }
    sn_tsan_acquire(n->task);
    release_node(n);
    return (intptr_t)n->index;
}

intptr_t sinew_as_completed_next(sinew_as_completed *handle)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    iterator *it = iterator_of(handle);
    if (!it)
        return -EINVAL;
    sn_fiber *f = w->fiber;
    if (it->owner != f->task)
        return -EPERM;
    if (it->left == 0)
        return -ENOENT;
    if (it->timed_out) {
        it->left--;
        return -ETIMEDOUT;
    }
    int code = sn_interrupt(f);
    while (!code && !it->first) {
        for (node *n = take_ended(it), *next; n; n = next) {
            next = n->next;
            append(it, n);
        }
        uintptr_t none = 0;
        if (!it->first && sn_cas(&it->ended, &none, WAITS, acq_rel)) { /* o2 */
            w = sn_park(w, f);
            code = sn_interrupt_after_park(f);
        }
    }
    if (code)
        return code;
    node *n = it->first;
    it->first = n->next;
    return deliver(it, n);
}

bool sinew_as_completed_timed_out(const sinew_as_completed *handle)
{
    const iterator *it = iterator_of(handle);
    return it && it->timed_out;
}
