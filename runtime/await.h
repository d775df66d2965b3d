/* SPDX-License-Identifier: Apache-2.0 */
/* A fiber parked on a task's end, and the fairness point of calls that may run others in place. */
#ifndef SN_AWAIT_H
#define SN_AWAIT_H

#include "runtime/task.h"

typedef struct sn_parked {
    sn_waiter waiter;
    sn_fiber *fiber;
    _Atomic uint32_t done; /* release by the finisher, acquire by the fiber */
} sn_parked;

/* False: the task has ended already. */
bool sn_parked_add(sn_parked *p, sn_fiber *f, sinew_task *t);

/* Waits for the end of an internal task, whatever the caller is asked meanwhile (that stays pending); uses the reference up. */
void sn_await_uncancelled(sinew_task *t);

/* The budget is used up: gives way to others if that is due. The caller must ask for its worker again. */
void sn_fair(sn_worker *w, sn_fiber *f);

#endif
