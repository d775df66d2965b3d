/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fork(2) while a runtime runs. The child has one thread, the one that forked, and copies of the parent's memory; it is
 * no worker and no task there, and may start a runtime of its own. Handlers of pthread_atfork see to that; vfork, and
 * clone as a system call, do not call them.
 *
 * What a child must not have of its parent's runtime:
 *   being a worker     sn_tls_worker is cleared. The stack of a task that forked stays in use, and what it was called
 *                      by must not be returned to.
 *   SIGINT             the handler that cancels main is taken away. The signal is blocked from before the fork until
 *                      then, so that one in between is not lost on the parent's runtime.
 *   rings, eventfds    their mappings are not inherited (io_uring_ring_dontfork), and the descriptors are closed, or
 *                      the kernel would keep the rings for as long as the child lives. Drivers are listed for that.
 *   locks              those of the parent's runtime are unreachable with it; the one that belongs to the process, in
 *                      name.c, may be held by a thread that the child does not have, and begins anew.
 * The parent's memory stays, as nobody can tell what of it the child still uses.
 */
#ifndef SN_FORK_H
#define SN_FORK_H

#include "runtime/worker.h"

/* Installs the handlers, once a process. 0 or -errno. */
int sn_fork_init(void);

/* Opens and closes the worker's driver, listed for the handlers, in its thread. 0 or -errno. */
int sn_fork_open_driver(sn_worker *w);
void sn_fork_close_driver(sn_worker *w);

/* In a child that was forked by a task, in the thread that it began with: the fiber whose stack that thread is on. */
sn_fiber *sn_fork_fiber(void);

/* In the child; runtime.c and name.c. */
void sn_interrupt_forked(void);
void sn_name_forked(void);

/* Somebody has put the action of SIGINT back that was there before: if it is that of a run which has ended, the default
 * takes its place. runtime.c. */
void sn_interrupt_settle(void);

#endif
