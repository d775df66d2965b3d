/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What others may learn of tasks that go on: call graphs from inside of the process (inspect.c), and lists and trees
 * from outside of it (tools/).
 *
 * A reader outside has nothing but the memory of the process, and may be of another build than the library in it. So
 * the library keeps one record in a section of its own, which is found in the file that is mapped, and which says where
 * everything lies: `layout` has the offset of each field that such a reader follows.
 *
 * Who awaits whom is in the lists of waiters. A node there belongs to the call that waits; which call that is, and
 * where it says who made it, is looked up by the node's function in a table of kinds, so that no waiting call pays for
 * being looked at.
 */
#ifndef SN_INSPECT_H
#define SN_INSPECT_H

#include "runtime/inspect_record.h"
#include "runtime/task.h"

extern const sn_wait_kind sn_kind_await, sn_kind_gather, sn_kind_wait, sn_kind_select, sn_kind_as_completed,
    sn_kind_group;
/* The record is the argument of the helper task. */
extern const sn_wait_kind sn_kind_map;

/* All of them, NULL at the end. */
extern const sn_wait_kind *const sn_wait_kinds[];

/* A runtime begins and ends. */
void sn_inspect_add(sn_runtime *rt);
void sn_inspect_remove(sn_runtime *rt);
/* In a forked child, which has none of them. */
void sn_inspect_forked(void);

#endif
