/* SPDX-License-Identifier: Apache-2.0 */
/* Task names, made when somebody asks for one. */
#ifndef SN_NAME_H
#define SN_NAME_H

#include "runtime/origin.h"

/* sinew_name without looking at the reference count. */
const char *sn_task_name(sinew_task *t);

/* Of a task that nobody else knows yet; takes the name over. */
void sn_task_set_name(sinew_task *t, char *name);
/* Its last reference has gone. */
void sn_task_forget_name(sinew_task *t);

/* What is said of a task by a thread that has no reference to it: the task may end at any moment, and its descriptor be
 * another's. `t` was seen running, since sn_names_watch(true); the caller looks afterwards whether it has run all the
 * time. */
typedef struct sn_task_sample {
    char name[64]; /* cut if longer; of a task that has nowhere to keep one, its address */
    sn_origin origin;
} sn_task_sample;
void sn_names_watch(bool on);
void sn_task_sample_take(sn_task_sample *out, const sinew_task *t);

/* Sorts what a listing has found by id, and says the names of those that have one. */
void sn_names_fill(struct sinew_task_info *infos, size_t n);

#endif
