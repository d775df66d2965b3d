/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the end of a task does for an iterator that watches it, in two steps. First, before anybody can see that the
 * task has ended, it is noted; so a task that ends because it has seen another one's end is always noted after it.
 * Then, among the other waiters, the iterator's owner is woken.
 */
#ifndef SN_AS_COMPLETED_H
#define SN_AS_COMPLETED_H

#include "runtime/task.h"

/* Both with the waiters lock of the task held. */
void sn_as_completed_note(sn_waiter *waiter);
void sn_as_completed_fire(sn_waiter *waiter, intptr_t result);

#endif
