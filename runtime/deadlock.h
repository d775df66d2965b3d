/* SPDX-License-Identifier: Apache-2.0 */
/* When every task waits and nothing outside can wake one. */
#ifndef SN_DEADLOCK_H
#define SN_DEADLOCK_H

#include "runtime/worker.h"

/* Called by the last worker that goes to sleep, with all queues seen empty. If nothing can wake the runtime any more,
 * lists the tasks, cancels main with -EDEADLK and returns true; a second time it stops the process. */
bool sn_deadlock_check(sn_worker *w);

#endif
