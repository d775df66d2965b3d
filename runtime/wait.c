/* SPDX-License-Identifier: Apache-2.0 */
/* sinew_wait: until some or all of several tasks have ended, touching none of them. */
#include "runtime/await.h"
#include "runtime/cancel.h"
#include "runtime/clock.h"
#include "runtime/inspect.h"
#include "runtime/switch.h"

#include <sinew/time.h>
#include <stdlib.h>

enum { NODES_ON_STACK = 16 };

typedef struct wait {
    sn_timer timer;
    sn_fiber *fiber;
    sinew_wait_mode mode;
    size_t n;
    _Atomic size_t ended, failed;
    _Atomic uint32_t expired;
} wait;

typedef struct node {
    sn_waiter waiter;
    wait *wait;
    bool listed;
} node;

static bool satisfied(wait *w)
{
    size_t ended = sn_load(&w->ended, acquire);
    return ended == w->n || (w->mode == SINEW_FIRST_COMPLETED && ended > 0) ||
           (w->mode == SINEW_FIRST_EXCEPTION && sn_load(&w->failed, acquire) > 0);
}

static bool is_failure(intptr_t result)
{
    return result < 0 && result != -ECANCELED;
}

static void count(wait *w, intptr_t result)
{
    if (is_failure(result))
        sn_add(&w->failed, 1, acq_rel);
    sn_add(&w->ended, 1, acq_rel);
}

static void fire(sn_waiter *waiter, intptr_t result)
{
    /* The waiter removes all its nodes, under this task's lock, before it leaves: `w` is there until this returns. */
    wait *w = SN_CONTAINER(waiter, node, waiter)->wait;
    sn_fiber *f = w->fiber;
    count(w, result);
    sn_unpark(f);
}

const sn_wait_kind sn_kind_wait = {
    fire, NULL, NULL, "sinew_wait", offsetof(node, wait), offsetof(wait, fiber), SN_AWAITER_FIBER};

static void expire(sn_timer *timer)
{
    wait *w = SN_CONTAINER(timer, wait, timer);
    sn_store(&w->expired, 1, release);
    sn_unpark(w->fiber); /* disarmed before the wait leaves, so it is there */
}

int sinew_wait(sinew_task *const *tasks, size_t n, sinew_wait_mode mode, sinew_time timeout, bool *done)
{
    sn_worker *worker = sn_worker_of_task();
    if (!worker)
        return -EPERM;
    if (n == 0 || n > INT32_MAX || !tasks || (unsigned)mode > SINEW_FIRST_EXCEPTION)
        return -EINVAL;
    for (size_t i = 0; i < n; i++) {
        if (!tasks[i])
            return -EINVAL;
        sn_task_check_handle("sinew_wait", tasks[i], false);
        if (sn_task_is_foreign(worker, tasks[i]))
            return -EXDEV;
    }
    sn_fiber *f = worker->fiber;
    int code = sn_interrupt(f);
    if (code)
        return code;
    node on_stack[NODES_ON_STACK];
    node *nodes = n <= NODES_ON_STACK ? on_stack : malloc(n * sizeof *nodes);
    if (!nodes)
        return -ENOMEM;
    wait w = {.fiber = f, .mode = mode, .n = n, .timer.fire = expire};
    for (size_t i = 0; i < n; i++) {
        nodes[i].waiter.fire = fire;
        nodes[i].wait = &w;
        nodes[i].listed = sn_task_add_waiter(tasks[i], &nodes[i].waiter);
        if (!nodes[i].listed)
            count(&w, tasks[i]->result);
    }
    if (timeout <= 0)
        sn_store(&w.expired, 1, relaxed);
    else if (timeout != SINEW_FOREVER)
        code = sn_timer_arm(&worker->timers, &w.timer, sn_deadline_after(sn_clock_now(), timeout));

    if (!code && (satisfied(&w) || sn_load(&w.expired, relaxed)))
        code = sinew_yield(); /* a wait always suspends once */
    while (!code && !satisfied(&w) && !sn_load(&w.expired, acquire)) {
        sn_park(sn_worker_self(), f);
        code = sn_interrupt_after_park(f);
    }
    sn_timer_disarm(&w.timer);
    int ended = 0;
    for (size_t i = 0; i < n; i++) {
        if (nodes[i].listed)
            sn_task_remove_waiter(tasks[i], &nodes[i].waiter);
        bool is_done = sn_task_done(tasks[i]);
        if (is_done)
            sn_tsan_acquire(tasks[i]);
        if (done)
            done[i] = is_done;
        ended += is_done;
    }
    if (nodes != on_stack)
        free(nodes);
    return code ? code : ended;
}
