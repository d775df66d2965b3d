/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gather: first the children that nobody has started, in order, on a fiber beside the caller's; then a wait for the
 * rest.
 *
 * Why beside: gather must return at the first error while the other children go on, so no child may stand on the
 * caller's stack. A side call (fiber.h) runs child after child as plain calls and comes back when one suspends, which
 * then keeps that fiber. So n children that do not suspend cost two switches together.
 *
 * In the second phase each unfinished child has a node on its list of waiters; `remaining` counts the nodes not yet
 * fired. The decrement is the last thing a firing node does to the gather (it reads the fiber before).
 */
#include "runtime/await.h"
#include "runtime/cancel.h"
#include "runtime/inspect.h"
#include "runtime/report.h"
#include "runtime/switch.h"
#include "runtime/task_hot.h"

#include <stdlib.h>

enum { NODES_ON_STACK = 16 };

typedef struct gather {
    sinew_task **tasks; /* consumed ones become NULL */
    intptr_t *results;
    size_t n, next, left; /* tasks not yet consumed */
    sinew_task *taken;    /* for the side fiber to run first: tasks[next - 1] */
    sn_fiber *fiber;
    bool settled;   /* errors do not end it */
    bool give_way;  /* the side fiber came back because the budget was used up */
    bool overtaken; /* a cancel came when it was decided already, before the caller went on */
    _Atomic intptr_t first_error;
    _Atomic size_t remaining;
} gather;

typedef struct node {
    sn_waiter waiter;
    gather *gather;
} node;

static void note_error(gather *g, intptr_t result)
{
    intptr_t none = 0;
    sn_cas(&g->first_error, &none, result, acq_rel);
}

static void fire(sn_waiter *waiter, intptr_t result)
{
    gather *g = SN_CONTAINER(waiter, node, waiter)->gather;
    sn_fiber *f = g->fiber;
    bool wake = result < 0 && !g->settled;
    if (result < 0)
        note_error(g, result);
    if (sn_sub(&g->remaining, 1, acq_rel) == 1 || wake) /* the gather may be gone after this */
        sn_unpark(f);
}

static void record(gather *g, size_t i, intptr_t result)
{
    if (g->results)
        g->results[i] = result;
    g->tasks[i] = NULL;
    g->left--;
    if (SN_UNLIKELY(result < 0))
        note_error(g, result);
}

static bool over(gather *g)
{
    return !g->settled && sn_load(&g->first_error, acquire) != 0;
}

/* Was the caller asked something? Then children that have not begun are left in the queue, to be told first. */
SN_INLINE bool asked_already(gather *g)
{
    return SN_UNLIKELY(sn_cancel_pending(g->fiber->task));
}

/* On the side fiber. The gather's fields are read once: nobody else looks at them until this fiber comes back. */
static void run_children(void *arg)
{
    gather *g = arg;
    sn_worker *w = sn_worker_self();
    sn_fiber *f = w->fiber;
    sinew_task **tasks = g->tasks, *t = g->taken, *caller = g->fiber->task;
    intptr_t *results = g->results;
    size_t i = g->next - 1, n = g->n, left = g->left;
    for (;;) {
        intptr_t result = sn_task_call_alone(w, f, t);
        if (sn_side_left(f)) { /* the child suspended: the gather went on without us and may be gone */
            sn_task_finish(t, result);
            return;
        }
        w = sn_worker_self();
        result = sn_task_end_in_place(w, t, result);
        if (results)
            results[i] = result;
        tasks[i++] = NULL;
        left--;
        if (SN_UNLIKELY(result < 0)) {
            note_error(g, result);
            if (!g->settled)
                break;
        }
        if (i == n || !tasks[i] || SN_UNLIKELY(sn_cancel_pending(caller))) /* asked_already */
            break;
        if (SN_UNLIKELY(--w->budget <= 0)) {
            g->give_way = true;
            break;
        }
        t = tasks[i];
        if (!sn_task_take(w, t))
            break;
        g->next = i + 1; /* for the case that this one suspends */
        g->left = left;
    }
    g->next = i;
    g->left = left;
}

const sn_wait_kind sn_kind_gather = {
    fire, NULL, run_children, "sinew_gather", offsetof(node, gather), offsetof(gather, fiber), SN_AWAITER_FIBER};

static void run_unstarted(gather *g)
{
    while (g->next < g->n && !over(g)) {
        size_t i = g->next++;
        sinew_task *t = g->tasks[i];
        if (!t) {
            record(g, i, -EINVAL);
            continue;
        }
        sn_worker *w = sn_worker_self();
        if (asked_already(g) || !sn_task_take(w, t)) {
            if (sn_task_is_foreign(w, t)) {
                sn_task_unref(t);
                record(g, i, -EXDEV);
            }
            continue;
        }
        g->taken = t;
        g->give_way = false;
        if (SN_UNLIKELY(sn_side_call(g->fiber, 0, run_children, g) == SN_SIDE_NO_MEMORY)) {
            sn_task_finish(t, -ENOMEM);
            continue;
        }
        sn_tsan_acquire(g->fiber);
        if (g->give_way)
            sn_fair(sn_worker_self(), g->fiber);
    }
}

/* Waits for the tasks that are still there. Returns what the caller was asked meanwhile and the tasks were told, or 0;
 * *late: what it was asked when the gather was over already and nobody was told. */
static int wait_rest(gather *g, node *nodes, int *late)
{
    sn_store(&g->remaining, g->left + 1, relaxed); /* one for ourselves, so that nobody wakes us while we count */
    size_t k = 0;
    for (size_t i = 0; i < g->n; i++) {
        if (!g->tasks[i])
            continue;
        node *child = &nodes[k++];
        child->waiter.fire = fire;
        child->gather = g;
        if (!sn_task_add_waiter(g->tasks[i], &child->waiter)) {
            if (g->tasks[i]->result < 0)
                note_error(g, g->tasks[i]->result);
            sn_sub(&g->remaining, 1, relaxed);
        }
    }
    sn_sub(&g->remaining, 1, acq_rel);
    int asked = 0, forwards = 0, code = sn_interrupt(g->fiber);
    while (sn_load(&g->remaining, acquire) != 0 && !over(g)) {
        if (code && forwards++ == SN_FORWARDS_MAX) {
            asked = -EDEADLK;
            break;
        }
        if (code) {
            g->overtaken = true;
            asked = sn_cancel_merge(asked, code);
            for (size_t i = 0; i < g->n; i++)
                if (g->tasks[i] && !sn_task_done(g->tasks[i]) && sn_cancel_forward(g->fiber->task, g->tasks[i], code))
                    g->overtaken = false;
        }
        sn_park(sn_worker_self(), g->fiber);
        code = sn_interrupt_after_park(g->fiber);
    }
    *late = code;
    k = 0;
    for (size_t i = 0; i < g->n; i++)
        if (g->tasks[i])
            sn_task_remove_waiter(g->tasks[i], &nodes[k++].waiter);
    return asked;
}

/* Takes the results of what has ended and drops every reference. */
static void collect(gather *g)
{
    for (size_t i = 0; g->left && i < g->n; i++) {
        sinew_task *t = g->tasks[i];
        if (!t)
            continue;
        bool done = sn_task_done(t);
        if (done)
            sn_tsan_acquire(t);
        record(g, i, done ? t->result : -EINPROGRESS);
        if (!done || t->result < 0)
            sn_task_asked(t); /* also the error that one still to end may bring */
        sn_task_unref(t);
    }
}

static int gather_all(const char *call, sinew_task **tasks, size_t n, intptr_t *results, bool settled)
{
    if (n == 0)
        return 0;
    if (!tasks)
        return -EINVAL;
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    gather g = {.tasks = tasks, .results = results, .n = n, .left = n, .fiber = w->fiber, .settled = settled};
    for (size_t i = 0; i < n; i++) {
        if (tasks[i]) {
            sn_task_check_handle(call, tasks[i], true);
            if (tasks[i] == w->fiber->task)
                return -EDEADLK;
        }
    }
    run_unstarted(&g);

    int asked = 0, late = 0;
    for (size_t i = 0; g.left && i < n && !over(&g); i++)
        if (tasks[i] && sn_task_done(tasks[i]) && tasks[i]->result < 0)
            note_error(&g, tasks[i]->result);
    if (g.left && !over(&g)) {
        node on_stack[NODES_ON_STACK];
        node *nodes = g.left <= NODES_ON_STACK ? on_stack : malloc(g.left * sizeof *nodes);
        if (nodes)
            asked = wait_rest(&g, nodes, &late);
        else
            asked = -ENOMEM;
        if (nodes != on_stack)
            free(nodes);
    } else if (g.taken && asked_already(&g)) { /* by a child that ran here */
        late = sn_interrupt_slow(g.fiber);
    }
    intptr_t error = sn_load(&g.first_error, acquire); /* before collect notes those who did not fire */
    if (g.left)
        collect(&g);
    if (late) /* the request wins over what was not seen yet */
        return sn_cancel_merge(asked, late);
    if (asked && (settled || g.overtaken || error == 0 || error == -ECANCELED))
        return asked;
    return settled ? 0 : (int)error;
}

int sinew_gather(sinew_task **tasks, size_t n, intptr_t *results)
{
    return gather_all("sinew_gather", tasks, n, results, false);
}

int sinew_gather_settled(sinew_task **tasks, size_t n, intptr_t *results)
{
    return gather_all("sinew_gather_settled", tasks, n, results, true);
}
