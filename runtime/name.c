/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task names. A name nobody gave is made when somebody asks for it, and then kept.
 *
 * Tasks with a name are listed, so that a listing of all tasks finds their names without touching what only they and
 * those who hold a reference may touch.
 *
 * While slow tasks are watched for (slow.h), every ext is taken off its task under the lock of names before it is
 * freed. So one that is found on a descriptor under that lock stays there while the lock is held, whosever the
 * descriptor may be by then.
 */
#include "runtime/name.h"

#include "runtime/fork.h"

#include <sinew/runtime.h>

#include <stdio.h>
#include <stdlib.h>

static ck_spinlock_t naming = CK_SPINLOCK_INITIALIZER;
static _Atomic uint64_t names;
static sinew_task *named; /* under the lock */
static _Atomic uint32_t watchers;

/* The lock is held. */
static void enlist(sinew_task *t, char *name)
{
    sn_task_ext *ext = t->ext;
    ext->name = name;
    ext->named_previous = NULL;
    ext->named_next = named;
    if (named)
        named->ext->named_previous = t;
    named = t;
}

static char *next_name(const sinew_task *t)
{
    char text[32];
    snprintf(text, sizeof text, "%s-%llu", t->flags & SN_TASK_FUTURE ? "Future" : "Task",
             (unsigned long long)sn_add(&names, 1, relaxed) + 1);
    return strdup(text);
}

const char *sn_task_name(sinew_task *t)
{
    sn_task_ext *ext = sn_task_extend(t);
    if (!ext)
        return "(no memory for a name)";
    ck_spinlock_lock(&naming);
    const char *name = ext->name;
    ck_spinlock_unlock(&naming);
    if (name)
        return name;
    char *made = next_name(t);
    if (!made)
        return "(no memory for a name)";
    ck_spinlock_lock(&naming);
    if (!ext->name) {
        enlist(t, made);
        made = NULL;
    }
    ck_spinlock_unlock(&naming);
    free(made); /* somebody else was first */
    return ext->name;
}

void sn_task_set_name(sinew_task *t, char *name)
{
    ck_spinlock_lock(&naming);
    char *old = t->ext->name; /* a sample of who had the descriptor before may have come too late */
    if (old)
        t->ext->name = name;
    else
        enlist(t, name);
    ck_spinlock_unlock(&naming);
    free(old);
}

void sn_task_forget_name(sinew_task *t)
{
    sn_task_ext *ext = t->ext;
    if (!ext->name && SN_LIKELY(sn_load(&watchers, relaxed) == 0)) /* there is one before its runtime has tasks */
        return;
    ck_spinlock_lock(&naming);
    if (ext->name) {
        *(ext->named_previous ? &ext->named_previous->ext->named_next : &named) = ext->named_next;
        if (ext->named_next)
            ext->named_next->ext->named_previous = ext->named_previous;
    }
    __atomic_store_n(&t->ext, NULL, __ATOMIC_RELAXED);
    ck_spinlock_unlock(&naming);
    free(ext->name);
}

void sn_names_watch(bool on)
{
    sn_add(&watchers, on ? 1 : -1u, relaxed);
}

void sn_task_sample_take(sn_task_sample *out, const sinew_task *task)
{
    sinew_task *t = (sinew_task *)(uintptr_t)task;
    char *made = NULL;
    bool again;
    snprintf(out->name, sizeof out->name, "task %p", (const void *)t);
    do {
        out->origin.count = 0;
        ck_spinlock_lock(&naming);
        sn_task_ext *ext = __atomic_load_n(&t->ext, __ATOMIC_ACQUIRE);
        if (ext && !ext->name && made) {
            enlist(t, made);
            made = NULL;
        }
        again = ext && !ext->name;
        if (ext && ext->name)
            snprintf(out->name, sizeof out->name, "%s", ext->name);
        const sn_origin *origin = sn_origin_of(t);
        if (origin)
            out->origin = *origin;
        ck_spinlock_unlock(&naming);
    } while (again && !made && (made = next_name(t)) != NULL);
    free(made); /* it has ended, or somebody else was first */
}

static int by_id(const void *a, const void *b)
{
    uintptr_t left = (uintptr_t)((const sinew_task_info *)a)->id, right = (uintptr_t)((const sinew_task_info *)b)->id;
    return (left > right) - (left < right);
}

void sn_names_fill(sinew_task_info *infos, size_t n)
{
    qsort(infos, n, sizeof *infos, by_id);
    ck_spinlock_lock(&naming);
    for (const sinew_task *t = named; t; t = t->ext->named_next) {
        sinew_task_info wanted = {.id = t};
        sinew_task_info *info = bsearch(&wanted, infos, n, sizeof *infos, by_id);
        if (info)
            snprintf(info->name, sizeof info->name, "%s", t->ext->name);
    }
    ck_spinlock_unlock(&naming);
}

/* Another thread may have held it: what it was doing then was for a task of the parent. */
void sn_name_forked(void)
{
    ck_spinlock_init(&naming);
    named = NULL;
    sn_store(&watchers, 0, relaxed);
}

const char *sinew_name(const sinew_task *task)
{
    if (!task)
        return "(none)";
    sinew_task *t = (sinew_task *)(uintptr_t)task;
    sn_task_check_handle("sinew_name", t, false);
    return sn_task_name(t);
}
