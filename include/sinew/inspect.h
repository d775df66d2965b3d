/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call graphs: a task, where it stands, and who awaits it.
 *
 *     sinew_print_call_graph(stderr, NULL, 0, SINEW_ALL_FRAMES);
 *
 *     * Task "reader" (0x7f32c4000040), running
 *       + Call stack:
 *       |   ./server(read_line+0x5d) [0x55d0c9a011ad]
 *       |   ./server(reader+0x1f) [0x55d0c9a0125f]
 *       + Awaited by:
 *         * Task "Task-1" (0x7f32c4000080), waiting in sinew_gather
 *           + Call stack:
 *           ...
 *
 * From another process, `sinew ps` and `sinew pstree` show the same of all tasks.
 */
#ifndef SINEW_INSPECT_H
#define SINEW_INSPECT_H

#include <sinew/base.h>

#include <limits.h>
#include <stdio.h>

SINEW_BEGIN_DECLS

#define SINEW_ALL_FRAMES INT_MAX

typedef enum sinew_task_state {
    SINEW_TASK_READY,   /* not begun, or to go on, or running on another worker: such a task has no frames here */
    SINEW_TASK_RUNNING, /* the caller */
    SINEW_TASK_WAITING, /* suspended, or waiting for a task that runs in place on top of it */
    SINEW_TASK_DONE,
} sinew_task_state;

typedef struct sinew_call_graph sinew_call_graph;

typedef struct sinew_awaiter {
    const sinew_call_graph *graph;
    const char *call; /* what it waits in, such as "sinew_gather" */
} sinew_awaiter;

struct sinew_call_graph {
    const void *id; /* the address of its handle: to compare with, not to use */
    const char *name;
    bool future; /* a sinew_future */
    sinew_task_state state;
    void *const *frames; /* return addresses, innermost first, as of backtrace(3) */
    size_t frame_count;
    const sinew_awaiter *awaited_by; /* in the order in which they came */
    size_t awaiter_count;
};

/*
 * Takes the graph of `task` (NULL: the caller), and through `awaited_by` of all who wait for it and for those, each
 * task once: where tasks wait for each other in a circle, the graph has that circle. Awaiting are those in
 * sinew_await, sinew_shield, sinew_wait, sinew_wait_for, sinew_gather, sinew_select and an open as_completed
 * iteration, the owners of groups, and who maps.
 *
 * `depth` leaves out so many of the caller's own innermost frames, from the one that called this on. `limit` is how
 * many frames of each task to keep: that many innermost ones, or -limit outermost ones, or 0 for none;
 * SINEW_ALL_FRAMES for all (at most 256). Frames of suspended tasks are known on x86-64 only.
 *
 * *out is the caller's, to be freed by sinew_free_call_graph; it stays as it is while the tasks go on. 0; -EPERM when
 * task is NULL and the caller is a plain thread; -EINVAL when out is NULL; -ENOMEM. Where a worker runs no task (in an
 * error handler, perhaps), NULL gives 0 and *out NULL. Any thread that has a reference to the task. Never suspends;
 * others who are woken meanwhile may wait for a moment. Follows asyncio.capture_call_graph.
 */
SINEW_API int sinew_capture_call_graph(sinew_task *task, size_t depth, int limit, sinew_call_graph **out);

/* NULL is allowed. */
SINEW_API void sinew_free_call_graph(sinew_call_graph *graph);

/* The graph as text, in memory to be given to free(3); NULL: no memory, or one of the errors above. Follows
 * asyncio.format_call_graph. */
SINEW_API char *sinew_format_call_graph(sinew_task *task, size_t depth, int limit);

/* Writes that text to `file` (NULL: stderr). 0, the errors above, or -EIO when it could not be written. Follows
 * asyncio.print_call_graph. */
SINEW_API int sinew_print_call_graph(FILE *file, sinew_task *task, size_t depth, int limit);

SINEW_END_DECLS
#endif
