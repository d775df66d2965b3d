/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task-local values. A context is an immutable list of (key, value) with counted references: copying one to a child is
 * one reference, setting a value makes a new list. So tasks that never set anything carry a NULL.
 */
#ifndef SN_LOCAL_H
#define SN_LOCAL_H

#include "runtime/task.h"

#include <sinew/local.h>

typedef struct sn_context_values sn_context_values;

sn_context_values *sn_context_ref(sn_context_values *c); /* NULL gives NULL */
void sn_context_unref(sn_context_values *c);

/* The values of the calling task, or of the caller of the blocking work that runs in this thread; borrowed. */
sn_context_values *sn_context_current(void);
/* In a thread that is no worker: what its caller's values are from now on; borrowed. */
void sn_context_enter(sn_context_values *c);

/* Has the task values that its children must get? */
SN_INLINE bool sn_task_has_values(const sinew_task *t)
{
    return SN_UNLIKELY(t->ext != NULL) && t->ext->values != NULL;
}

/* Gives the child the values of the spawning task. False: no memory. */
bool sn_context_inherit(sinew_task *child, const sinew_task *spawner);

#endif
