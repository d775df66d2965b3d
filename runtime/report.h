/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors that nobody asked for. A task that failed is reported when its last reference goes, unless somebody has had
 * its result: each call that hands a result out marks the task ASKED. -ECANCELED is no error in this sense.
 */
#ifndef SN_REPORT_H
#define SN_REPORT_H

#include "runtime/task.h"

#include <sinew/runtime.h>

/* To the runtime's handler; NULL, or none set: a line on stderr. */
void sn_report(sn_runtime *rt, const sinew_error_report *report);

/* Of a task that has failed; the caller has a reference. */
void sn_report_failed(sn_runtime *rt, sinew_task *t, const char *what, intptr_t error);

/* The last reference of a task that failed goes. */
void sn_report_unasked(sinew_task *t);

/* Somebody has had the result, or has said that it does not matter. */
SN_INLINE void sn_task_asked(sinew_task *t)
{
    __atomic_fetch_or(&t->flags, (uint8_t)SN_TASK_ASKED, __ATOMIC_RELAXED);
}

/* The result of a task that is done, for somebody who wants it. */
SN_INLINE intptr_t sn_task_ask(sinew_task *t)
{
    if (SN_UNLIKELY(t->result < 0))
        sn_task_asked(t);
    return t->result;
}

#endif
