/* SPDX-License-Identifier: Apache-2.0 */
/* Task-local values; see local.h. */
#include "runtime/local.h"

#include <stdlib.h>

typedef struct entry {
    const sinew_local *key;
    void *value;
} entry;

struct sn_context_values {
    _Atomic size_t references;
    size_t n;
    entry entries[];
};

/* Of a thread that is no worker. */
static _Thread_local sn_context_values *thread_values;

sn_context_values *sn_context_ref(sn_context_values *c)
{
    if (c)
        sn_add(&c->references, 1, relaxed); /* the caller's own keeps it */
    return c;
}

void sn_context_unref(sn_context_values *c)
{
    if (c && sn_sub(&c->references, 1, acq_rel) == 1)
        free(c);
}

sn_context_values *sn_context_current(void)
{
    sn_worker *w = sn_worker_self();
    if (!w)
        return thread_values;
    const sinew_task *t = w->fiber->task;
    return t && t->ext ? t->ext->values : NULL;
}

void sn_context_enter(sn_context_values *c)
{
    thread_values = c;
}

bool sn_context_inherit(sinew_task *child, const sinew_task *spawner)
{
    if (!sn_task_extend(child))
        return false;
    child->ext->values = sn_context_ref(spawner->ext->values);
    return true;
}

static const entry *find(const sn_context_values *c, const sinew_local *key)
{
    for (size_t i = 0; c && i < c->n; i++)
        if (c->entries[i].key == key)
            return &c->entries[i];
    return NULL;
}

int sinew_local_set(const sinew_local *key, void *value)
{
    if (!key)
        return -EINVAL;
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    sinew_task *t = w->fiber->task;
    sn_task_ext *ext = sn_task_extend(t);
    if (!ext)
        return -ENOMEM;
    sn_context_values *old = ext->values;
    size_t n = old ? old->n : 0;
    const entry *there = find(old, key);
    sn_context_values *c = malloc(sizeof *c + (n + !there) * sizeof(entry));
    if (!c)
        return -ENOMEM;
    sn_store(&c->references, 1, relaxed);
    c->n = n + !there;
    if (n)
        memcpy(c->entries, old->entries, n * sizeof(entry));
    c->entries[there ? (size_t)(there - old->entries) : n] = (entry){key, value};
    ext->values = c;
    sn_context_unref(old);
    return 0;
}

void *sinew_local_get(const sinew_local *key)
{
    if (!key)
        return NULL;
    const entry *e = find(sn_context_current(), key);
    return e ? e->value : key->initial;
}
