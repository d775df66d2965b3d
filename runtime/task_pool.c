/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task descriptors: slabs of cache lines that live as long as the runtime. Each worker keeps a free list; refills and
 * overflows go through the runtime's list in batches under a lock. Debug builds keep freed descriptors out of use for a
 * while, so that a stale handle is recognised.
 *
 * Slabs consist of aligned chunks, whose first line says whose they are: so a descriptor's runtime is found from its
 * address alone.
 */
#include "runtime/task_pool.h"

#include "runtime/report.h"

#include <stdlib.h>
#include <sys/mman.h>

struct sn_task_pool *sn_task_pool_new(sn_runtime *rt)
{
    struct sn_task_pool *pool = calloc(1, sizeof *pool);
    if (pool) {
        pool->runtime = rt;
        ck_spinlock_init(&pool->lock);
    }
    return pool;
}

sn_runtime *sn_task_runtime(const sinew_task *t)
{
    if (t->flags & SN_TASK_FUTURE)
        return NULL;
    return ((const sn_chunk *)((uintptr_t)t & ~(uintptr_t)(SN_CHUNK_BYTES - 1)))->runtime;
}

/* A task whose handle was never given back: the handle ends with the runtime. So this is when nobody has asked for its
 * error; and what it has beside its descriptor goes, as a name is in a list of the whole process. */
static void end_handle(const sinew_task *left, void *unused)
{
    (void)unused;
    sinew_task *t = (sinew_task *)(uintptr_t)left;
    if (sn_load(&t->waiters, relaxed) == SN_WAITERS_DONE && t->result < 0)
        sn_report_unasked(t);
    if (t->ext)
        sn_task_free_ext(t);
}

void sn_task_pool_destroy(struct sn_task_pool *pool)
{
    if (!pool)
        return;
    sn_task_pool_visit(pool, end_handle, NULL);
    for (sn_task_slab *s = pool->slabs, *next; s; s = next) {
        next = s->next;
        munmap(s->base, s->bytes);
        free(s);
    }
    free(pool);
}

/* The lock is held. */
static bool add_slab(struct sn_task_pool *pool)
{
    size_t bytes = pool->slabs ? SN_SLAB_BYTES : SN_FIRST_SLAB_BYTES;
    sn_task_slab *s = malloc(sizeof *s);
    if (!s)
        return false;
    size_t mapped = 2 * bytes; /* the aligned half is kept: for the chunks, and for huge pages */
    char *p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        free(s);
        return false;
    }
    char *aligned = (char *)(((uintptr_t)p + bytes - 1) / bytes * bytes);
    if (aligned != p)
        munmap(p, (size_t)(aligned - p));
    if (aligned + bytes != p + mapped)
        munmap(aligned + bytes, (size_t)(p + mapped - (aligned + bytes)));
    p = aligned;
    if (bytes == SN_SLAB_BYTES)
        madvise(p, bytes, MADV_HUGEPAGE); /* a refusal costs page faults, nothing else */
#if SN_ASAN
    __lsan_register_root_region(p, bytes);
#endif
    *s = (sn_task_slab){pool->slabs, p, bytes};
    pool->slabs = s;
    pool->carve = p;
    pool->carve_end = p + bytes;
    return true;
}

/* The lock is held. A batch of descriptors never used before; NULL: no memory. */
static char *carve(struct sn_task_pool *pool)
{
    if (pool->carve == pool->carve_end && !add_slab(pool))
        return NULL;
    char *batch = pool->carve;
    pool->carve += SN_BATCH_BYTES;
    if ((uintptr_t)batch % SN_CHUNK_BYTES == 0)
        ((sn_chunk *)(void *)batch)->runtime = pool->runtime;
    return batch;
}

/* Makes a list of them. Highest first: the list hands out ascending addresses. */
static uint32_t list_batch(char *batch, sinew_task **list)
{
    uint32_t count = 0;
    size_t head = (uintptr_t)batch % SN_CHUNK_BYTES == 0 ? sizeof(sn_chunk) : 0;
    for (size_t at = SN_BATCH_BYTES; at > head; count++) {
        at -= sizeof(sinew_task);
        sinew_task *t = (sinew_task *)(void *)(batch + at);
        t->next = *list;
        *list = t;
    }
    return count;
}

bool sn_task_pool_refill(sn_worker *w)
{
    struct sn_task_pool *pool = w->runtime->task_pool;
    sinew_task *list = NULL;
    uint32_t count = 0;

    ck_spinlock_lock(&pool->lock);
    for (; pool->free && count < SN_TASKS_BATCH; count++) {
        sinew_task *t = pool->free;
        pool->free = t->next;
        t->next = list;
        list = t;
    }
    char *batch = count == 0 ? carve(pool) : NULL;
    ck_spinlock_unlock(&pool->lock);

    if (batch)
        count = list_batch(batch, &list);
    w->free_tasks = list;
    w->free_tasks_moved += count;
    return list != NULL;
}

sinew_task *sn_task_pool_get(struct sn_task_pool *pool)
{
    ck_spinlock_lock(&pool->lock);
    if (!pool->free) {
        char *batch = carve(pool);
        if (batch)
            list_batch(batch, &pool->free);
    }
    sinew_task *t = pool->free;
    if (t)
        pool->free = t->next;
    ck_spinlock_unlock(&pool->lock);
    return t;
}

static void overflow(sn_worker *w)
{
    struct sn_task_pool *pool = w->runtime->task_pool;
    sinew_task *first = w->free_tasks, *last = first;
    for (unsigned i = 1; i < SN_TASKS_BATCH; i++)
        last = last->next;
    w->free_tasks = last->next;
    w->free_tasks_moved -= SN_TASKS_BATCH;
    ck_spinlock_lock(&pool->lock);
    last->next = pool->free;
    pool->free = first;
    ck_spinlock_unlock(&pool->lock);
}

void sn_task_pool_balance(sn_worker *w)
{
    if (SN_DEBUG) /* there, freed descriptors go to the quarantine */
        return;
    /* Counted only here: came from the runtime, plus freed, less spawned. */
    sn_counters *c = &w->counters;
    for (;;) {
        uint64_t freed =
            sn_load(&c->freed, relaxed) + sn_load(&c->in_place[0], relaxed) + sn_load(&c->in_place[1], relaxed);
        uint64_t spawned = sn_load(&c->spawned[0], relaxed) + sn_load(&c->spawned[1], relaxed);
        int64_t have = w->free_tasks_moved + (int64_t)(freed - spawned);
        if (SN_LIKELY(have < 4 * SN_TASKS_BATCH))
            return;
        overflow(w);
    }
}

void sn_task_pool_visit(struct sn_task_pool *pool, void (*visit)(const sinew_task *t, void *arg), void *arg)
{
    ck_spinlock_lock(&pool->lock);
    const sn_task_slab *first = pool->slabs;
    const char *carved = pool->carve;
    ck_spinlock_unlock(&pool->lock);
    for (const sn_task_slab *s = first; s; s = s->next) { /* slabs stay */
        const char *end = s == first ? carved : (const char *)s->base + s->bytes;
        for (const char *at = s->base; at != end; at += sizeof(sinew_task))
            if ((uintptr_t)at % SN_CHUNK_BYTES != 0)
                visit((const sinew_task *)(const void *)at, arg);
    }
}

void sn_task_pool_put(struct sn_task_pool *pool, sinew_task *t)
{
    ck_spinlock_lock(&pool->lock);
#if SN_DEBUG
    sinew_task *oldest = pool->quarantine[pool->quarantine_at];
    pool->quarantine[pool->quarantine_at] = t;
    pool->quarantine_at = (pool->quarantine_at + 1) % SN_QUARANTINE;
    t = oldest;
#endif
    if (t) {
        t->next = pool->free;
        pool->free = t;
    }
    ck_spinlock_unlock(&pool->lock);
}
