/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The report that every task waits and nothing can wake one.
 *
 * What could still wake one is of two sorts. A timer, an operation in flight, a message wake a worker when they come,
 * so when that worker sleeps again somebody looks again. Threads that are no workers (those of blocking calls, and
 * the program's own, which may set an event or send on a channel) may also end without waking anybody. So who sees such
 * a standstill looks again by itself, after SN_STANDSTILL_NS and then after ever longer pauses: an idle process wakes
 * some twenty times in a day, and the report comes at the latest when the standstill has lasted twice as long as those
 * threads.
 *
 * The first pause also keeps the look at the process's threads, which opens files in /proc, out of short waits.
 */
#ifndef SN_DEADLOCK_H
#define SN_DEADLOCK_H

#include "runtime/worker.h"

/* The first pause; each next one is twice as long. */
#define SN_STANDSTILL_NS SINEW_MS(10)

typedef enum sn_standstill {
    SN_STANDSTILL_NONE,     /* something will wake a worker */
    SN_STANDSTILL_LATER,    /* only a thread that is no worker could end it: look again */
    SN_STANDSTILL_REPORTED, /* main has been cancelled: leave the list and run it */
} sn_standstill;

/* For the last worker that goes to sleep: may this be a standstill, so that sn_deadlock_check is to be called if it
 * lasts? A few loads. */
bool sn_deadlock_possible(sn_runtime *rt);

/* Called by a worker on the idle list. When nothing can wake the runtime any more, lists the tasks and cancels main
 * with -EDEADLK; a second time it stops the process. */
sn_standstill sn_deadlock_check(sn_worker *w);

#endif
