/* SPDX-License-Identifier: Apache-2.0 */
/* What the end of a task does for map. */
#ifndef SN_MAP_H
#define SN_MAP_H

#include "runtime/task.h"

/* A task with SN_TASK_HELPER has ended, whether it has run or not. */
void sn_map_helper_ended(sinew_task *t);

#endif
