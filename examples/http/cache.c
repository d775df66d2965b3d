/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set-associative table: the hash of the key gives a set of a few places, and a new entry takes an empty one or the
 * next one in turn. No lists, no rehashing, and a bounded search; what a server sends most is soon back if it is hit.
 */
#include "cache.h"

#include "path.h"
#include "response.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 512, WAYS = 4, PLACES = SETS * WAYS };

typedef struct cache {
    _Alignas(64) pthread_mutex_t lock; /* held for short, and never across a call that suspends */
    size_t bytes;
    unsigned turn; /* which way of a full set is given away next */
    unsigned hand; /* which place is emptied next when there is too much */
    file *places[PLACES];
} cache;

static cache *caches;
static unsigned caches_count;
static size_t cache_bytes_max; /* of each */

int cache_init(unsigned workers, size_t bytes)
{
    caches = aligned_alloc(_Alignof(cache), workers * sizeof *caches);
    if (!caches)
        return -ENOMEM;
    memset(caches, 0, workers * sizeof *caches);
    for (unsigned i = 0; i < workers; i++)
        pthread_mutex_init(&caches[i].lock, NULL); /* cannot fail without attributes */
    caches_count = workers;
    cache_bytes_max = bytes / workers;
    return 0;
}

void cache_destroy(void)
{
    for (unsigned i = 0; i < caches_count; i++) {
        for (unsigned place = 0; place < PLACES; place++)
            file_release(caches[i].places[place]);
        pthread_mutex_destroy(&caches[i].lock);
    }
    free(caches);
    caches = NULL;
    caches_count = 0;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

static uint32_t hash_of(const char *key, size_t len)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)key[i]) * 16777619u;
    return hash ^ hash >> 16;
}

file *file_new(const char *path, size_t key_len, const struct stat *st, size_t body_bytes, sinew_time now)
{
    size_t path_bytes = strlen(path) + 1;
    file *f = malloc(sizeof *f + path_bytes + RESPONSE_HEAD_MAX + body_bytes);
    if (!f)
        return NULL;
    *f = (file){.checked = now, .hash = hash_of(path, key_len), .st = *st, .key_len = key_len};
    atomic_init(&f->references, 1);
    f->path = (char *)(f + 1);
    memcpy(f->path, path, path_bytes);
    f->head = f->path + path_bytes;
    f->body = f->head + RESPONSE_HEAD_MAX;
    return f;
}

static size_t file_bytes(const file *f)
{
    return (size_t)(f->body - (const char *)f) + f->body_len;
}

void file_release(file *f)
{
    /* Release so that our reads of the file are over, acquire so that everybody's are, before it is freed. */
    if (f && atomic_fetch_sub_explicit(&f->references, 1, memory_order_acq_rel) == 1)
        free(f);
}

static void file_share(file *f)
{
    /* Relaxed: whoever shares has a reference already, or holds the lock of the cache that has one. */
    atomic_fetch_add_explicit(&f->references, 1, memory_order_relaxed);
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec &&
           a->st_mode == b->st_mode;
}

/* --- the table ---------------------------------------------------------------------------------------------------- */

static cache *own_cache(void)
{
    return &caches[sinew_worker_index()];
}

static void empty_place(cache *c, file **place)
{
    if (*place) {
        c->bytes -= file_bytes(*place);
        file_release(*place);
        *place = NULL;
    }
}

static file **find_place(cache *c, uint32_t hash, const char *key, size_t len)
{
    file **set = &c->places[hash % SETS * WAYS];
    for (unsigned way = 0; way < WAYS; way++) {
        const file *f = set[way];
        if (f && f->hash == hash && f->key_len == len && memcmp(f->path, key, len) == 0)
            return &set[way];
    }
    return NULL;
}

file *cache_find(const char *key, size_t len, sinew_time now)
{
    uint32_t hash = hash_of(key, len);
    cache *c = own_cache();
    file *found = NULL;
    pthread_mutex_lock(&c->lock);
    file **place = find_place(c, hash, key, len);
    if (place) {
        struct stat st;
        if (now - (*place)->checked < CACHE_TRUST ||
            (path_stat((*place)->path, &st) == 0 && is_same_file(&st, &(*place)->st))) {
            found = *place;
            if (now - found->checked >= CACHE_TRUST)
                found->checked = now;
            file_share(found);
        } else {
            empty_place(c, place);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

void cache_add(file *f)
{
    cache *c = own_cache();
    size_t bytes = file_bytes(f);
    if (f->body_len > CACHE_FILE_MAX || bytes > cache_bytes_max)
        return;
    pthread_mutex_lock(&c->lock);
    /* Several requests for it may have missed at the same time: the last one wins. */
    file **place = find_place(c, f->hash, f->path, f->key_len);
    file **set = &c->places[f->hash % SETS * WAYS];
    for (unsigned way = 0; way < WAYS && !place; way++)
        if (!set[way])
            place = &set[way];
    if (!place)
        place = &set[c->turn++ % WAYS];
    empty_place(c, place);
    while (c->bytes + bytes > cache_bytes_max)
        empty_place(c, &c->places[c->hand++ % PLACES]); /* ends at the latest when nothing is left */
    file_share(f);
    *place = f;
    c->bytes += bytes;
    pthread_mutex_unlock(&c->lock);
}
