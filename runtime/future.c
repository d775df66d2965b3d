/* SPDX-License-Identifier: Apache-2.0 */
/* Futures; the idea stands in future.h. */
#include "runtime/future.h"

#include "runtime/await.h"
#include "runtime/cancel.h"
#include "runtime/join.h"
#include "runtime/origin.h"
#include "runtime/report.h"

#include <sinew/task.h>
#include <stdlib.h>

static sinew_task *task_of(const sinew_future *f)
{
    return (sinew_task *)(uintptr_t)f;
}

sinew_future *sinew_future_new(void)
{
    sinew_task *t = malloc(sizeof *t); /* on a cache line of its own it would take glibc three times as long */
    if (!t)
        return NULL;
    *t = (sinew_task){0};
    sn_store(&t->references, 1, relaxed);
    sn_store(&t->queue_worker, UINT16_MAX, relaxed); /* in nobody's queue */
    t->state = SN_TASK_STARTED;
    t->flags = SN_TASK_FUTURE;
    if (SN_UNLIKELY(sn_origin_wanted()))
        sn_origin_note(t, __builtin_return_address(0));
    return (sinew_future *)t;
}

bool sn_future_complete(sinew_task *t, intptr_t result)
{
    if (sn_or(&t->cancel, SN_CANCEL_ENDED, acq_rel) & SN_CANCEL_ENDED)
        return false;
    sn_tsan_release(t);
    sn_add(&t->references, 1, relaxed); /* who is woken may drop the last one before all have been */
    sn_task_publish(t, result);
    sn_task_unref(t);
    return true;
}

sinew_future *sinew_future_ref(sinew_future *f)
{
    return (sinew_future *)sinew_ref(task_of(f));
}

void sinew_future_unref(sinew_future *f)
{
    if (f)
        sn_task_unref(task_of(f));
}

int sinew_future_set(sinew_future *f, intptr_t result)
{
    if (!f)
        return -EINVAL;
    return sn_future_complete(task_of(f), result) ? 0 : -EALREADY;
}

bool sinew_future_cancel(sinew_future *f)
{
    if (!f)
        return false;
    if (sn_future_complete(task_of(f), -ECANCELED))
        return true;
    sn_task_asked(task_of(f)); /* who cancels it does not care for its error */
    return false;
}

bool sinew_future_done(const sinew_future *f)
{
    return sinew_done(task_of(f));
}

intptr_t sinew_future_result(sinew_future *f)
{
    return sinew_result(task_of(f));
}

intptr_t sinew_future_await(sinew_future *f)
{
    if (!f)
        return -EINVAL;
    sn_worker *w = sn_worker_self();
    if (w && !w->fiber->task) /* an error handler, on a worker's own stack: to wait there would stop the worker */
        return -EPERM;
    sinew_task *t = sinew_ref(task_of(f));
    return w ? sinew_await(t) : sn_task_join(t);
}

sinew_task *sinew_future_task(sinew_future *f)
{
    return sinew_ref(task_of(f));
}
