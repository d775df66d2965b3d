/* SPDX-License-Identifier: Apache-2.0 */
/* A fiber parked on a task's end. */
#ifndef SN_AWAIT_H
#define SN_AWAIT_H

#include "runtime/fair.h"
#include "runtime/task.h"

typedef struct sn_parked {
    sn_waiter waiter;
    sn_fiber *fiber;
    _Atomic uint32_t done; /* release by the finisher, acquire by the fiber */
} sn_parked;

/* False: the task has ended already. */
bool sn_parked_add(sn_parked *p, sn_fiber *f, sinew_task *t);

/* Waits for the end of an internal task, whatever the caller is asked meanwhile (that stays pending); uses the
 * reference up. */
void sn_await_uncancelled(sinew_task *t);

/* Tasks that wait for each other in a circle pass a cancel round it; asyncio ends that as a recursion error, at about
 * this depth. */
enum { SN_FORWARDS_MAX = 1000 };

#endif
