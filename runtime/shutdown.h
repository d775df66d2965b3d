/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orderly shutdown: when main has ended, everything it left behind is cancelled once and waited for; what that spawns
 * in turn is cancelled in the next wave, until nothing is left.
 *
 *   RUNNING --main ends--> STOPPING, wave 1 --old tasks all ended--> wave 2 ... --no task left--> STOPPED
 *
 * A task carries the parity of the wave it was spawned in; workers count spawned and finished tasks by parity. A task
 * whose parity is not the current one is old: cancelled when it next looks, or never started. A wave ends when the old
 * parity's counts are equal.
 */
#ifndef SN_SHUTDOWN_H
#define SN_SHUTDOWN_H

#include "runtime/worker.h"

/* Main has ended. */
void sn_shutdown_begin(sn_runtime *rt, intptr_t result);

/* Some task has ended while stopping. */
void sn_shutdown_step(sn_runtime *rt);

#endif
