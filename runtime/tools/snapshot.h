/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was seen in the target: runtimes, tasks that have not ended, the fibers they are on, and who awaits whom.
 *
 * The target goes on while it is read, so this is of no one instant. What is promised: each task that lived all the
 * while is there once; nothing is believed of a descriptor that another one does not confirm (a task is on a fiber if
 * that fiber says so); and all of it ends, whatever the memory holds.
 */
#ifndef TOOLS_SNAPSHOT_H
#define TOOLS_SNAPSHOT_H

#include "address_map.h"
#include "target.h"

typedef enum seen_state { SEEN_NEW, SEEN_READY, SEEN_RUNNING, SEEN_WAITING } seen_state;

extern const char *const seen_state_names[];

typedef struct seen_runtime {
    uint64_t at, hidden; /* hidden: the task an embedded runtime has for itself */
    uint32_t workers;
} seen_runtime;

typedef struct seen_worker {
    uint64_t at, fiber;
    pid_t thread;
} seen_worker;

/* One of the tasks nested on a fiber. */
typedef struct nested {
    uint64_t task;
    uint64_t frame; /* what it lies on top of: the frame of the call by which the next one runs it; 0: the last one */
    uint64_t poll;  /* that frame's */
} nested;

typedef struct seen_fiber {
    uint64_t at, context, task, frame, side_caller, entry;
    uint32_t wakes;
    bool slice, parked;
    bool calls; /* waits in a side call for another fiber */
    uint32_t worker;
    uint32_t depth, nest; /* how many tasks are on it, and where they begin in the snapshot's nested, innermost first */
} seen_fiber;

typedef struct seen_link {
    uint32_t task, awaiter;
    const char *call;
    bool loose; /* of a group whose owner does not wait yet */
} seen_link;

typedef struct seen_task {
    uint64_t id, fiber_at, ext, arg, waiters;
    uint32_t runtime;
    uint32_t fiber; /* NONE: it has not begun */
    uint32_t place; /* on the fiber */
    uint32_t first_link, links;
    uint32_t first_child, children; /* in `awaited` */
    char *name;                     /* NULL: it has none */
    pid_t thread;                   /* that runs it, or 0 */
    uint8_t state, flags;
} seen_task;

typedef struct snapshot {
    const target *target;
    seen_runtime *runtimes;
    seen_worker *workers; /* of all runtimes */
    seen_fiber *fibers;
    nested *nested;
    seen_task *tasks;  /* by runtime, and by address within */
    seen_link *links;  /* of a task together: who awaits it */
    uint32_t *awaited; /* links, those of one awaiter together: what it awaits */
    uint32_t runtimes_count, workers_count, fibers_count, nested_count, tasks_count;
    size_t links_count;
    char calls[32][32]; /* their names */
    unsigned calls_count;
    size_t runtimes_room, workers_room, fibers_room, nested_room, tasks_room, links_room;
    address_map by_address, fiber_by_address;
    address_map helpers;   /* of maps: they are links between tasks, and not shown themselves */
    uint64_t *helper_args; /* of each of them */
    size_t helpers_count, helpers_room;
} snapshot;

void snapshot_take(snapshot *s, const target *t);
void snapshot_free(snapshot *s);

/* Does the fiber still stand where it stood, with no worker running it? */
bool snapshot_fiber_stands(const snapshot *s, uint32_t fiber);

/* What a task is called where it is shown; valid until the next call. */
const char *snapshot_name(const snapshot *s, uint32_t task);

#endif
