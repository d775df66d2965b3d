/* SPDX-License-Identifier: Apache-2.0 */
/* The record for readers outside of the process; see inspect.h. */
#include "runtime/inspect.h"

#include "runtime/group.h"
#include "runtime/task_pool.h"

const sn_wait_kind *const sn_wait_kinds[] = {&sn_kind_await,        &sn_kind_gather, &sn_kind_wait, &sn_kind_select,
                                             &sn_kind_as_completed, &sn_kind_group,  &sn_kind_map,  NULL};

__attribute__((section(SN_INSPECT_SECTION), used)) static sn_inspection inspection = {
    .magic = SN_INSPECT_MAGIC,
    .bytes = sizeof(sn_inspection),
    .layout_bytes = sizeof(sn_layout),
    .layout =
        {
            .runtime_next = offsetof(sn_runtime, next),
            .runtime_workers = offsetof(sn_runtime, workers),
            .runtime_workers_count = offsetof(sn_runtime, workers_count),
            .runtime_pool = offsetof(sn_runtime, task_pool),
            .runtime_main_task = offsetof(sn_runtime, main_task),
            .runtime_embedding = offsetof(sn_runtime, embedding),
            .worker_bytes = sizeof(sn_worker),
            .worker_fiber = offsetof(sn_worker, fiber),
            .worker_index = offsetof(sn_worker, index),
            .worker_thread_id = offsetof(sn_worker, thread_id),
            .pool_slabs = offsetof(struct sn_task_pool, slabs),
            .pool_carve = offsetof(struct sn_task_pool, carve),
            .slab_next = offsetof(sn_task_slab, next),
            .slab_base = offsetof(sn_task_slab, base),
            .slab_bytes = offsetof(sn_task_slab, bytes),
            .chunk_bytes = SN_CHUNK_BYTES,
            .task_bytes = sizeof(sinew_task),
            .task_waiters = offsetof(sinew_task, waiters),
            .task_arg = offsetof(sinew_task, arg),
            .task_fiber = offsetof(sinew_task, fiber),
            .task_ext = offsetof(sinew_task, ext),
            .task_state = offsetof(sinew_task, state),
            .task_flags = offsetof(sinew_task, flags),
            .task_cancel = offsetof(sinew_task, cancel),
            .task_queue_worker = offsetof(sinew_task, queue_worker),
            .ext_name = offsetof(sn_task_ext, name),
            .ext_group = offsetof(sn_task_ext, group),
            .group_owner = offsetof(struct sn_group, owner),
            .group_waiting = offsetof(struct sn_group, waiting),
            .fiber_context = offsetof(sn_fiber, context),
            .fiber_task = offsetof(sn_fiber, task),
            .fiber_frame = offsetof(sn_fiber, frame),
            .fiber_side_caller = offsetof(sn_fiber, side_caller),
            .fiber_slice = offsetof(sn_fiber, slice),
            .fiber_wakes = offsetof(sn_fiber, wakes),
            .fiber_entry = offsetof(sn_fiber, entry),
            .fiber_stack_low = offsetof(sn_fiber, stack_low),
            .frame_outer = offsetof(sn_frame, outer),
            .frame_task = offsetof(sn_frame, task),
            .frame_poll = offsetof(sn_frame, poll),
            .waiter_next = offsetof(sn_waiter, next),
            .waiter_fire = offsetof(sn_waiter, fire),
            .kind_fire = offsetof(sn_wait_kind, fire),
            .kind_poll = offsetof(sn_wait_kind, poll),
            .kind_entry = offsetof(sn_wait_kind, entry),
            .kind_call = offsetof(sn_wait_kind, call),
            .kind_record = offsetof(sn_wait_kind, record),
            .kind_awaiter = offsetof(sn_wait_kind, awaiter),
            .kind_awaiter_is = offsetof(sn_wait_kind, awaiter_is),
            .state_new = SN_TASK_NEW,
            .state_started = SN_TASK_STARTED,
            .flag_group = SN_TASK_GROUP,
            .flag_helper = SN_TASK_HELPER,
            .fiber_parked = SN_FIBER_PARKED,
            .waiters_tags = SN_WAITERS_LOCK | SN_WAITERS_DONE,
            .waiters_done = SN_WAITERS_DONE,
        },
    .kinds = sn_wait_kinds,
    .map_kind = &sn_kind_map,
};

static ck_spinlock_t lock = CK_SPINLOCK_INITIALIZER; /* of the list */

void sn_inspect_add(sn_runtime *rt)
{
    ck_spinlock_lock(&lock);
    rt->next = inspection.runtimes;
    inspection.runtimes = rt;
    ck_spinlock_unlock(&lock);
}

void sn_inspect_remove(sn_runtime *rt)
{
    ck_spinlock_lock(&lock);
    for (sn_runtime **at = &inspection.runtimes; *at; at = &(*at)->next)
        if (*at == rt) {
            *at = rt->next;
            break;
        }
    ck_spinlock_unlock(&lock);
}

/* Another thread may have held the lock. */
void sn_inspect_forked(void)
{
    ck_spinlock_init(&lock);
    inspection.runtimes = NULL;
}
