/* SPDX-License-Identifier: Apache-2.0 */
/* A plain thread that waits for a task's end. */
#ifndef SN_JOIN_H
#define SN_JOIN_H

#include "runtime/task.h"

/* Blocks the calling thread, which is no worker; uses the reference up. */
intptr_t sn_task_join(sinew_task *t);

#endif
