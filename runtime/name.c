/* SPDX-License-Identifier: Apache-2.0 */
/* Task names. A name nobody gave is made when somebody asks for it, and then kept. */
#include "runtime/task.h"

#include <stdio.h>
#include <stdlib.h>

static ck_spinlock_t naming = CK_SPINLOCK_INITIALIZER;
static _Atomic uint64_t names;

const char *sinew_name(const sinew_task *task)
{
    if (!task)
        return "(none)";
    sinew_task *t = (sinew_task *)(uintptr_t)task;
    sn_task_check_handle("sinew_name", t, false);
    ck_spinlock_lock(&naming);
    const char *name = "(no memory for a name)";
    sn_task_ext *ext = sn_task_extend(t);
    if (ext && !ext->name) {
        char text[32];
        snprintf(text, sizeof text, "Task-%llu", (unsigned long long)sn_add(&names, 1, relaxed) + 1);
        ext->name = strdup(text);
    }
    if (ext && ext->name)
        name = ext->name;
    ck_spinlock_unlock(&naming);
    return name;
}
