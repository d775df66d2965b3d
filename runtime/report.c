/* SPDX-License-Identifier: Apache-2.0 */
/* Errors that nobody asked for; see report.h. */
#include "runtime/report.h"

#include "runtime/name.h"
#include "runtime/origin.h"
#include "runtime/slow.h"

static void print(const sinew_error_report *report)
{
    long long us = report->took / SINEW_US(1);
    if (report->took != 0)
        sn_complain("%s: %s (%lld.%03lld s)", report->name, report->what, us / 1000000, us / 1000 % 1000);
    else
        sn_complain("%s: %s: %s (%ld)", report->name, report->what, strerror((int)-report->error), (long)report->error);
    sn_origin_print("  its stack, innermost call first:", report->stack, report->stack_count);
    sn_origin_print("  created at:", report->created, report->created_count);
}

void sn_report(sn_runtime *rt, const sinew_error_report *report)
{
    sinew_error_handler handler = NULL;
    void *arg = NULL;
    if (rt) {
        ck_spinlock_lock(&rt->report_lock);
        handler = rt->report_handler;
        arg = rt->report_arg;
        ck_spinlock_unlock(&rt->report_lock);
    }
    if (handler) {
        sn_tsan_acquire(&rt->report_lock);
        handler(report, arg);
        sn_tsan_release(&rt->report_lock);
    } else {
        print(report);
    }
}

void sn_report_failed(sn_runtime *rt, sinew_task *t, const char *what, intptr_t error)
{
    const sn_origin *origin = sn_origin_of(t);
    sn_tsan_acquire(t); /* it may be its worker that reports what it has done */
    sn_report(rt, &(sinew_error_report){.what = what,
                                        .name = sn_task_name(t),
                                        .error = error,
                                        .created_count = origin ? origin->count : 0,
                                        .created = origin ? origin->frames : NULL});
}

void sn_report_unasked(sinew_task *t)
{
    uint8_t flags = __atomic_load_n(&t->flags, __ATOMIC_RELAXED);
    if (t->result == -ECANCELED || (flags & (SN_TASK_ASKED | SN_TASK_GROUP | SN_TASK_HELPER)))
        return;
    bool future = flags & SN_TASK_FUTURE;
    sn_worker *w = sn_worker_self();
    const char *what = future                     ? "a future failed and nobody asked for its result"
                       : flags & SN_TASK_CALLBACK ? "a done-callback failed"
                                                  : "a task failed and nobody asked for its result";
    sn_report_failed(future ? (w ? w->runtime : NULL) : sn_task_runtime(t), t, what, t->result);
}

int sinew_set_error_handler(sinew_error_handler handler, void *arg)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    sn_runtime *rt = w->runtime;
    sn_tsan_release(&rt->report_lock);
    ck_spinlock_lock(&rt->report_lock);
    rt->report_handler = handler;
    rt->report_arg = arg;
    ck_spinlock_unlock(&rt->report_lock);
    sn_slow_settle(rt);
    sn_tsan_acquire(&rt->report_lock); /* what the one before has done */
    return 0;
}
