/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks that come from outside of the workers, or from no task: spawned by a plain thread, or the run of a callback.
 *
 * They are counted as spawned under a lock, with which the shutdown closes the gate before it decides that nothing is
 * left: a task is either counted before, and then waited for, or refused.
 */
#ifndef SN_INJECT_H
#define SN_INJECT_H

#include "runtime/task.h"

/* A descriptor for one, with `references` references; NULL: no memory. Any thread. */
sinew_task *sn_inject_make(sn_runtime *rt, sinew_fn fn, void *arg, uint32_t references);
/* One that was made and shall not run. */
void sn_inject_drop(sn_runtime *rt, sinew_task *t);

/* Counts it and queues it on some worker. False: the runtime has ended. Any thread. */
bool sn_inject(sn_runtime *rt, sinew_task *t);

/* sinew_spawn_on for who is no task of `rt`, which is not NULL, as `fn` is not: 0 and the task in *out, -ENOMEM, or
 * -ESHUTDOWN: the runtime is ending. `caller`: the return address of the public call, for its origin. */
int sn_inject_spawn(sn_runtime *rt, sinew_fn fn, void *arg, const void *caller, sinew_task **out);

/* A worker has taken it out of the inbox. */
void sn_inject_arrived(sn_worker *w, sinew_task *t);

#endif
