/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reports of slow tasks: a thread of its own, the watcher, looks at all workers every now and then and sees which of
 * them are still where they were the last time. Workers know nothing of it and pay nothing for it.
 *
 * A step is what a task runs from one point at which it could have suspended to the next one. The watcher takes two
 * looks for one step when none of these has changed between them:
 *
 *   fiber, task   what runs; `task` also tells that one has begun in place on top of another
 *   ends          switches, and tasks that have ended: goes up only. So a descriptor or fiber that is used again is
 *                 not taken for what it was before.
 *   budget        goes down with each yield that finds nobody to yield to, with each await and each element of a map,
 *                 and up again only in the scheduler (a switch) or after 64 of those
 *
 * All are read one by one and without an order while the worker writes them. A look that mixes two steps is harmless:
 * its `ends` is read first, so that it is the older step's and the next look differs.
 *
 *   look            look                look               look
 *    |  step begins  |-- since -- ... --| took >= limit ... |  not there any more
 *                   (first seen)       (name, origin)         report, with the time from the first look to the last one
 *
 * So a report says at least how long it was, never too much, and a step is missed only if it is longer than the limit
 * by less than the pause between two looks. A step that goes on is reported while it runs at ten times the limit, at
 * a hundred times, and so on. Name and origin are taken when the limit is passed, while it is sure that the task is
 * there (name.c), and are the watcher's from then on.
 *
 * Then it is also asked where it stands: its thread is interrupted (kick.h) and walks its own stack in the handler.
 *
 * Deadlocks. The handler of a report may wake a task. So a standstill is none as long as the watcher has a report to
 * make or may find one:
 *
 *   watcher                                  deadlock.c
 *   b1 busy = 1 (seq_cst)                    the worker's last step ends: `ends` + 1
 *      fence                                 all workers sleep; fence
 *   b2 looks                                 busy == 0?
 *   b3 busy = is a report due? (release)
 *
 *   impossible: the right side sees 0 from before b1, and b2 sees the step still there. After b3 what a handler has
 *   woken is queued, and is seen by the look that follows.
 */
#ifndef SN_SLOW_H
#define SN_SLOW_H

#include "runtime/worker.h"

/* asyncio's slow_callback_duration. */
#define SN_SLOW_DEFAULT SINEW_MS(100)

/* Starts the watcher, before any task runs; tasks that run for `limit` are reported. 0 or -errno. */
int sn_slow_begin(sn_runtime *rt, sinew_time limit);

/* When no task is left, and drivers may still be woken: makes the last reports and ends the thread. */
void sn_slow_end(sn_runtime *rt);
/* When no worker is left. */
void sn_slow_free(sn_runtime *rt);

/* Waits until no handler is being called that was set before this call. */
void sn_slow_settle(const sn_runtime *rt);

/* May the watcher call a handler before any task has run again? */
bool sn_slow_busy(const sn_runtime *rt);

#endif
