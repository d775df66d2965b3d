/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Joining: a node on the task's list of waiters that wakes a thread instead of a fiber.
 *
 * The task's runtime may end as soon as the task has; `guests` keeps its memory until the thread has read the result
 * and given its reference back.
 */
#include "runtime/join.h"

#include "runtime/report.h"
#include "runtime/waitq.h"

#include <sinew/runtime.h>

typedef struct joiner {
    sn_waiter waiter;
    sn_thread_wait thread;
} joiner;

static void fire(sn_waiter *waiter, intptr_t result)
{
    (void)result;
    sn_thread_wake(&SN_CONTAINER(waiter, joiner, waiter)->thread); /* the node may be gone after this */
}

intptr_t sn_task_join(sinew_task *t)
{
    sn_runtime *rt = sn_task_runtime(t);
    if (rt)
        sn_add(&rt->guests, 1, relaxed); /* the caller's reference keeps the runtime until here */
    joiner j = {.waiter.fire = fire};
    if (sn_task_add_waiter(t, &j.waiter))
        sn_thread_sleep(&j.thread);
    sn_tsan_acquire(t);
    intptr_t result = sn_task_ask(t);
    sn_task_unref(t);
    if (rt)
        sn_sub(&rt->guests, 1, release); /* the runtime may be gone after this; partner: see_guests_off */
    return result;
}

intptr_t sinew_task_join(sinew_task *t)
{
    if (!t)
        return -EINVAL;
    if (sn_worker_self()) {
        sn_complain("sinew_task_join: called inside a task; use sinew_await there");
        return -EDEADLK;
    }
    sn_task_check_handle("sinew_task_join", t, true);
    return sn_task_join(t);
}
