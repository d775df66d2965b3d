/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task-local values: what a task sets, it and the tasks it spawns later see, and nobody else.
 *
 *     static sinew_local request_id;                     // its address is the key; zero-initialised
 *
 *     sinew_local_set(&request_id, id);
 *     sinew_spawn(handle, connection);                   // sees id: sinew_local_get(&request_id)
 *
 * A task gets a copy of its spawner's values when it is spawned; what either sets later the other does not see. Values
 * are pointers that stay the caller's; they must live as long as tasks that may ask for them.
 */
#ifndef SINEW_LOCAL_H
#define SINEW_LOCAL_H

#include <sinew/base.h>

SINEW_BEGIN_DECLS

typedef struct sinew_local {
    void *initial; /* what a task sees in which, and above which, it was never set */
} sinew_local;

/* Sets the calling task's value. 0, -ENOMEM (unchanged), -EINVAL for NULL, -EPERM outside of a task. Never suspends.
 * Follows contextvars.ContextVar.set. */
SINEW_API int sinew_local_set(const sinew_local *key, void *value);

/* The calling task's value, or key->initial; that also outside of a task, and NULL for NULL. Never suspends. */
SINEW_API void *sinew_local_get(const sinew_local *key);

SINEW_END_DECLS
#endif
