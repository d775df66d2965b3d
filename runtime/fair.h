/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fairness of calls that run tasks in place or beside: they never suspend by themselves, so they must give way now and
 * then.
 *
 * A nest is a fiber with everything that stands on it and, through side calls, the fibers that wait for it. About every
 * SN_FAIR_NS a nest gives way: it looks after timers, I/O and messages, and lets what is ready run, each for one slice:
 * until it suspends, ends, or comes to a fairness point itself. Then it is queued as a whole (its links stay), and the
 * next one has its turn.
 *
 * At most one task that has not started is begun each time. Beginning all of them would turn a depth-first fork-join
 * program into a breadth-first one; so the number of nests grows with the square root of the running time, and nothing
 * starves.
 */
#ifndef SN_FAIR_H
#define SN_FAIR_H

#include "runtime/worker.h"

/* The budget is used up: gives way if that is due. The caller must ask for its worker again. */
void sn_fair(sn_worker *w, sn_fiber *f);

#endif
