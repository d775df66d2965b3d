/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task groups. The struct lies on the owner's stack; children are listed in it (through their ext) and report their end
 * to it.
 *
 *   OPEN --a child fails, or the owner is cancelled, or group_cancel--> CANCELLED --all ended, wait returns--> (magic
 * cleared)
 *     `-----------------------all ended, wait returns-----------------------^
 *
 * Everything is under the group's lock. A child's last touch is its unlock; the owner leaves only after it has seen
 * zero children with the lock held, hence after that unlock.
 */
#ifndef SN_GROUP_H
#define SN_GROUP_H

#include "runtime/task.h"

#include <ck_spinlock.h>
#include <sinew/group.h>

struct sn_group {
    uint64_t magic;
    ck_spinlock_t lock;
    bool cancelled;
    bool told_owner; /* that a child failed, or that the group was cancelled: its checkpoint is cancelled */
    bool counted;    /* as a teller in the owner's word, unless that count is full */
    bool waiting;    /* the owner is in group_wait */
    int error;       /* of the first child that failed */
    uint32_t begun;  /* the owner's word when the group began */
    uint64_t children;
    sinew_task *first, *last;
    sinew_task *owner;
    sn_fiber *owner_fiber;
#if SN_DEBUG
    struct sn_group *outer_open; /* on the owner's fiber: a task that returns with an open group is stopped */
#endif
};

void sn_group_child_done(struct sn_group *g, sinew_task *t, intptr_t result);

#endif
