/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The record itself; what it is for stands in inspect.h. It needs nothing of the runtime's headers, so that a reader
 * can be built without them.
 */
#ifndef SN_INSPECT_RECORD_H
#define SN_INSPECT_RECORD_H

#include <stdint.h>

struct sn_waiter;
struct sn_frame;

/* A call that waits for tasks. By the first three it is known; NULL: it has none. */
typedef struct sn_wait_kind {
    void (*fire)(struct sn_waiter *waiter, intptr_t result); /* of its nodes in lists of waiters */
    void (*poll)(struct sn_frame *frame);                    /* of its frames around tasks that run in place */
    void (*entry)(void *arg);                                /* of its side calls */
    const char *call;
    int32_t record;      /* where in the node the pointer to the call's record is; -1: the node is the record */
    int32_t awaiter;     /* where in the record who waits is */
    uint32_t awaiter_is; /* SN_AWAITER_* */
} sn_wait_kind;

enum { SN_AWAITER_FIBER, SN_AWAITER_TASK };

#define SN_INSPECT_MAGIC   "sinew inspect 1" /* 16 bytes with its end */
#define SN_INSPECT_SECTION ".sinew.inspect"

/* Offsets and sizes in bytes, in the process that is looked at. */
typedef struct sn_layout {
    uint32_t runtime_next, runtime_workers, runtime_workers_count, runtime_pool, runtime_main_task, runtime_embedding;
    uint32_t worker_bytes, worker_fiber, worker_index, worker_thread_id;
    uint32_t pool_slabs, pool_carve;
    uint32_t slab_next, slab_base, slab_bytes;
    uint32_t chunk_bytes, task_bytes; /* the first descriptor's place of each chunk is its head */
    uint32_t task_waiters, task_arg, task_fiber, task_ext, task_state, task_flags, task_cancel, task_queue_worker;
    uint32_t ext_name, ext_group;
    uint32_t group_owner, group_waiting;
    uint32_t fiber_context, fiber_task, fiber_frame, fiber_side_caller, fiber_slice, fiber_wakes, fiber_entry,
        fiber_stack_low;
    uint32_t frame_outer, frame_task, frame_poll;
    uint32_t waiter_next, waiter_fire;
    uint32_t kind_fire, kind_poll, kind_entry, kind_call, kind_record, kind_awaiter, kind_awaiter_is;
    uint32_t state_new, state_started;
    uint32_t flag_group, flag_helper;
    uint32_t fiber_parked; /* a bit of fiber_wakes */
    uint32_t waiters_tags; /* bits of task_waiters that are no address */
    uint32_t waiters_done; /* one of them */
} sn_layout;

typedef struct sn_inspection {
    char magic[sizeof SN_INSPECT_MAGIC];
    uint32_t bytes;        /* of this struct */
    uint32_t layout_bytes; /* both together tell whether the reader knows all of it */
    sn_layout layout;
    const sn_wait_kind *const *kinds; /* sn_wait_kinds */
    const sn_wait_kind *map_kind;
    struct sn_runtime *runtimes; /* by runtime_next */
} sn_inspection;

#endif
