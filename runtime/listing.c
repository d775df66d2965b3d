/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which tasks are there: a walk over all descriptors of a runtime, while they go on. What the walk says of each was
 * true at some moment of the call; a task that lives through all of it is listed.
 */
#include "runtime/name.h"
#include "runtime/task.h"

#include <sinew/runtime.h>

typedef struct listing {
    const sinew_task *hidden; /* the task that an embedded runtime has for itself */
    sinew_task_info *out;
    size_t max, found;
} listing;

static void note(const sinew_task *t, void *arg)
{
    listing *l = arg;
    uint8_t state = __atomic_load_n(&t->state, __ATOMIC_RELAXED);
    if ((state != SN_TASK_NEW && state != SN_TASK_STARTED) ||
        (__atomic_load_n(&t->flags, __ATOMIC_RELAXED) & SN_TASK_HELPER) || t == l->hidden || sn_task_done(t))
        return;
    if (l->found < l->max)
        l->out[l->found] = (sinew_task_info){.id = t};
    l->found++;
}

size_t sinew_tasks(sinew_runtime *runtime, sinew_task_info *out, size_t max)
{
    sn_worker *w = sn_worker_self();
    sn_runtime *rt = runtime ? (sn_runtime *)(void *)runtime : w ? w->runtime : NULL;
    if (!rt)
        return 0;
    listing l = {.hidden = rt->embedding ? rt->main_task : NULL, .out = out, .max = out ? max : 0};
    sn_task_pool_visit(rt->task_pool, note, &l);
    if (l.max)
        sn_names_fill(out, l.found < max ? l.found : max);
    return l.found;
}
