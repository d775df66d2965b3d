/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A future is a task descriptor without a body: STARTED from the beginning, DONE when somebody completes it. So
 * whatever waits for tasks waits for futures. It lies in memory of its own and belongs to no runtime.
 *
 * Who sets ENDED in the cancel word completes it; everybody after that is too late.
 */
#ifndef SN_FUTURE_H
#define SN_FUTURE_H

#include "runtime/task.h"

#include <sinew/future.h>

/* False: it was complete. Any thread. */
bool sn_future_complete(sinew_task *t, intptr_t result);

#endif
