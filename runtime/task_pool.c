/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task descriptors: slabs of cache lines that live as long as the runtime. Each worker keeps a free list; refills and
 * overflows go through the runtime's list in batches under a lock. Debug builds keep freed descriptors out of use for a
 * while, so that a stale handle is recognised.
 */
#include "runtime/task.h"

#include <stdlib.h>
#include <sys/mman.h>

enum { FIRST_SLAB_BYTES = 256 << 10, SLAB_BYTES = 2 << 20, QUARANTINE = 16384 };

typedef struct slab {
    struct slab *next;
    void *base;
    size_t bytes;
} slab;

struct sn_task_pool {
    ck_spinlock_t lock;
    sinew_task *free; /* a list */
    slab *slabs;
    char *carve, *carve_end;
#if SN_DEBUG
    sinew_task *quarantine[QUARANTINE];
    unsigned quarantine_at;
#endif
};

struct sn_task_pool *sn_task_pool_new(void)
{
    struct sn_task_pool *pool = calloc(1, sizeof *pool);
    if (pool)
        ck_spinlock_init(&pool->lock);
    return pool;
}

void sn_task_pool_destroy(struct sn_task_pool *pool)
{
    if (!pool)
        return;
    for (slab *s = pool->slabs, *next; s; s = next) {
        next = s->next;
        munmap(s->base, s->bytes);
        free(s);
    }
    free(pool);
}

/* The lock is held. */
static bool add_slab(struct sn_task_pool *pool)
{
    size_t bytes = pool->slabs ? SLAB_BYTES : FIRST_SLAB_BYTES;
    slab *s = malloc(sizeof *s);
    if (!s)
        return false;
    /* Huge pages want alignment: twice the size, the aligned half kept. */
    size_t mapped = bytes == SLAB_BYTES ? 2 * bytes : bytes;
    char *p = mmap(NULL, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        free(s);
        return false;
    }
    if (mapped != bytes) {
        char *aligned = (char *)(((uintptr_t)p + bytes - 1) / bytes * bytes);
        if (aligned != p)
            munmap(p, (size_t)(aligned - p));
        if (aligned + bytes != p + mapped)
            munmap(aligned + bytes, (size_t)(p + mapped - (aligned + bytes)));
        p = aligned;
        madvise(p, bytes, MADV_HUGEPAGE); /* a refusal costs page faults, nothing else */
    }
#if SN_ASAN
    __lsan_register_root_region(p, bytes);
#endif
    *s = (slab){pool->slabs, p, bytes};
    pool->slabs = s;
    pool->carve = p;
    pool->carve_end = p + bytes;
    return true;
}

bool sn_task_pool_refill(sn_worker *w)
{
    struct sn_task_pool *pool = w->runtime->task_pool;
    sinew_task *list = NULL;
    uint32_t count = 0;
    char *carved = NULL;
    size_t carved_bytes = 0;

    ck_spinlock_lock(&pool->lock);
    for (; pool->free && count < SN_TASKS_BATCH; count++) {
        sinew_task *t = pool->free;
        pool->free = t->next;
        t->next = list;
        list = t;
    }
    if (count == 0 && (pool->carve != pool->carve_end || add_slab(pool))) {
        carved = pool->carve;
        carved_bytes = SN_TASKS_BATCH * sizeof(sinew_task);
        pool->carve += carved_bytes;
    }
    ck_spinlock_unlock(&pool->lock);

    for (size_t at = carved_bytes; at > 0; count++) { /* highest first: the list hands out ascending addresses */
        at -= sizeof(sinew_task);
        sinew_task *t = (sinew_task *)(void *)(carved + at);
        t->next = list;
        list = t;
    }
    w->free_tasks = list;
    w->free_tasks_moved += count;
    return list != NULL;
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

void sn_task_pool_put(struct sn_task_pool *pool, sinew_task *t)
{
    ck_spinlock_lock(&pool->lock);
#if SN_DEBUG
    sinew_task *oldest = pool->quarantine[pool->quarantine_at];
    pool->quarantine[pool->quarantine_at] = t;
    pool->quarantine_at = (pool->quarantine_at + 1) % QUARANTINE;
    t = oldest;
#endif
    if (t) {
        t->next = pool->free;
        pool->free = t;
    }
    ck_spinlock_unlock(&pool->lock);
}
