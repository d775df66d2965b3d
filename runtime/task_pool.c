/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Task descriptors: slabs of cache lines that live as long as the runtime. Each worker keeps a free list; refills and
 * overflows go through the runtime's list in batches under a lock. Debug builds keep freed descriptors out of use for a
 * while, so that a stale handle is recognised.
 *
 * Slabs consist of aligned chunks, whose first line says whose they are: so a descriptor's runtime is found from its
 * address alone.
 */
#include "runtime/task.h"

#include <stdlib.h>
#include <sys/mman.h>

enum {
    CHUNK_BYTES = 256 << 10,
    FIRST_SLAB_BYTES = CHUNK_BYTES,
    SLAB_BYTES = 2 << 20,
    BATCH_BYTES = SN_TASKS_BATCH * (int)sizeof(sinew_task),
    QUARANTINE = 16384
};

_Static_assert(CHUNK_BYTES % BATCH_BYTES == 0, "a batch lies in one chunk");

typedef struct chunk {
    sn_runtime *runtime;
    char line[SN_CACHE_LINE - sizeof(sn_runtime *)];
} chunk;

_Static_assert(sizeof(chunk) == sizeof(sinew_task), "a chunk's head takes the place of one descriptor");

typedef struct slab {
    struct slab *next;
    void *base;
    size_t bytes;
} slab;

struct sn_task_pool {
    sn_runtime *runtime;
    ck_spinlock_t lock;
    sinew_task *free; /* a list */
    slab *slabs;
    char *carve, *carve_end;
#if SN_DEBUG
    sinew_task *quarantine[QUARANTINE];
    unsigned quarantine_at;
#endif
};

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
    return ((const chunk *)((uintptr_t)t & ~(uintptr_t)(CHUNK_BYTES - 1)))->runtime;
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
    if (bytes == SLAB_BYTES)
        madvise(p, bytes, MADV_HUGEPAGE); /* a refusal costs page faults, nothing else */
#if SN_ASAN
    __lsan_register_root_region(p, bytes);
#endif
    *s = (slab){pool->slabs, p, bytes};
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
    pool->carve += BATCH_BYTES;
    if ((uintptr_t)batch % CHUNK_BYTES == 0)
        ((chunk *)(void *)batch)->runtime = pool->runtime;
    return batch;
}

/* Makes a list of them. Highest first: the list hands out ascending addresses. */
static uint32_t list_batch(char *batch, sinew_task **list)
{
    uint32_t count = 0;
    size_t head = (uintptr_t)batch % CHUNK_BYTES == 0 ? sizeof(chunk) : 0;
    for (size_t at = BATCH_BYTES; at > head; count++) {
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
    const slab *first = pool->slabs;
    const char *carved = pool->carve;
    ck_spinlock_unlock(&pool->lock);
    for (const slab *s = first; s; s = s->next) { /* slabs stay */
        const char *end = s == first ? carved : (const char *)s->base + s->bytes;
        for (const char *at = s->base; at != end; at += sizeof(sinew_task))
            if ((uintptr_t)at % CHUNK_BYTES != 0)
                visit((const sinew_task *)(const void *)at, arg);
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
