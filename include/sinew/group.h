/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task groups: structured concurrency (asyncio.TaskGroup).
 *
 *     sinew_group g;
 *     sinew_group_init(&g);
 *     for (int i = 0; i < n; i++) sinew_group_spawn(&g, work, &jobs[i]);
 *     int r = sinew_group_wait(&g);       // 0, or the first failure; nothing of the group runs any more
 */
#ifndef SINEW_GROUP_H
#define SINEW_GROUP_H

#include <sinew/base.h>

SINEW_BEGIN_DECLS

/* Lives on its owner's stack; the task that inits it must wait for it before it returns. */
typedef struct sinew_group {
    uint64_t opaque_[14];
} sinew_group;

/* Begins a group owned by the calling task. Never suspends. */
SINEW_API void sinew_group_init(sinew_group *g);

/* Spawns a child. Callable by the owner and by children of the group. 0, or -ENOMEM, -EINVAL (fn or g NULL, not
 * inited), -ECANCELED (the group has failed or been cancelled; nothing was spawned), -EPERM. Never suspends. */
SINEW_API int sinew_group_spawn(sinew_group *g, sinew_fn fn, void *arg);

/* Cancels every unfinished child, and the owner where it is in the body: its current or next checkpoint before
 * sinew_group_wait returns -ECANCELED, once. Nothing more can be spawned. sinew_group_wait still waits for the children
 * and, if nothing failed, returns 0. May be called before any child and more than once, by the owner and by children of
 * the group. Never suspends. Follows TaskGroup.cancel. */
SINEW_API void sinew_group_cancel(sinew_group *g);

/*
 * Waits for all children, also those added meanwhile. The first child that fails (a result < 0 other than
 * -ECANCELED) cancels its siblings and the owner's current checkpoint inside the group, and is returned. Cancelling the
 * owner cancels all children, once; -ECANCELED or -ETIMEDOUT is returned after they have ended, whatever was asked in
 * between. If a child has failed, its error wins and the request stays pending for the next checkpoint. May suspend;
 * never returns before the last child has ended. -EINVAL when g is NULL or not inited, -EPERM when another task calls
 * it. A cancel that the owner met in the body is no longer the group's business: who wants to leave calls
 * sinew_group_cancel first.
 */
SINEW_API int sinew_group_wait(sinew_group *g);

SINEW_END_DECLS
#endif
