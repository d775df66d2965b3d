/* SPDX-License-Identifier: Apache-2.0 */
/* What the pool of task descriptors is made of; the idea stands in task_pool.c. */
#ifndef SN_TASK_POOL_H
#define SN_TASK_POOL_H

#include "runtime/task.h"

enum {
    SN_CHUNK_BYTES = 256 << 10,
    SN_FIRST_SLAB_BYTES = SN_CHUNK_BYTES,
    SN_SLAB_BYTES = 2 << 20,
    SN_BATCH_BYTES = SN_TASKS_BATCH * (int)sizeof(sinew_task),
    SN_QUARANTINE = 16384
};

_Static_assert(SN_CHUNK_BYTES % SN_BATCH_BYTES == 0, "a batch lies in one chunk");

typedef struct sn_chunk {
    sn_runtime *runtime;
    char line[SN_CACHE_LINE - sizeof(sn_runtime *)];
} sn_chunk;

_Static_assert(sizeof(sn_chunk) == sizeof(sinew_task), "a chunk's head takes the place of one descriptor");

typedef struct sn_task_slab {
    struct sn_task_slab *next;
    void *base;
    size_t bytes;
} sn_task_slab;

struct sn_task_pool {
    sn_runtime *runtime;
    ck_spinlock_t lock;
    sinew_task *free; /* a list */
    sn_task_slab *slabs;
    char *carve, *carve_end;
#if SN_DEBUG
    sinew_task *quarantine[SN_QUARANTINE];
    unsigned quarantine_at;
#endif
};

#endif
