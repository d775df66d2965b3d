/* SPDX-License-Identifier: Apache-2.0 */
/* Task names, made when somebody asks for one. */
#ifndef SN_NAME_H
#define SN_NAME_H

#include "runtime/task.h"

/* sinew_name without looking at the reference count. */
const char *sn_task_name(sinew_task *t);

/* Of a task that nobody else knows yet; takes the name over. */
void sn_task_set_name(sinew_task *t, char *name);
/* Its last reference has gone. */
void sn_task_forget_name(sinew_task *t);

/* Sorts what a listing has found by id, and says the names of those that have one. */
void sn_names_fill(struct sinew_task_info *infos, size_t n);

#endif
