/* SPDX-License-Identifier: Apache-2.0 */
/* Errors that nobody asked for; see report.h. */
#include "runtime/report.h"

#include "runtime/name.h"

void sn_report(sn_runtime *rt, const char *what, const char *name, intptr_t error)
{
    sinew_error_handler handler = NULL;
    void *arg = NULL;
    if (rt) {
        ck_spinlock_lock(&rt->report_lock);
        handler = rt->report_handler;
        arg = rt->report_arg;
        ck_spinlock_unlock(&rt->report_lock);
    }
    sinew_error_report report = {.what = what, .name = name, .error = error};
    if (handler) {
        sn_tsan_acquire(&rt->report_lock);
        handler(&report, arg);
        sn_tsan_release(&rt->report_lock);
    } else {
        sn_complain("%s: %s: %s (%ld)", name, what, strerror((int)-error), (long)error);
    }
}

void sn_report_unasked(sinew_task *t)
{
    uint8_t flags = __atomic_load_n(&t->flags, __ATOMIC_RELAXED);
    if (t->result == -ECANCELED || (flags & (SN_TASK_ASKED | SN_TASK_GROUP | SN_TASK_HELPER)))
        return;
    bool future = flags & SN_TASK_FUTURE;
    sn_worker *w = sn_worker_self();
    sn_report(future ? (w ? w->runtime : NULL) : sn_task_runtime(t),
              future ? "a future failed and nobody asked for its result"
                     : "a task failed and nobody asked for its result",
              sn_task_name(t), t->result);
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
    return 0;
}
