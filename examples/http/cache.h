/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small files in memory, each with its response header prepared.
 *
 * Every worker has a cache of its own, so that workers do not contend: a file that all of them serve is in memory once
 * for each. A lock guards each cache all the same. It is uncontended, and makes it harmless that a task may have moved
 * to another worker since it asked for its index: it then uses a cache that is a little farther away.
 *
 * An entry is believed for CACHE_TRUST. Then the file is looked up again, and the entry goes on if it is still the same
 * file, of the same size and with the same times of change; so a change is visible within a second, at the cost of
 * three system calls a second for a busy file.
 */
#ifndef HTTP_CACHE_H
#define HTTP_CACHE_H

#include "settings.h"

#include <stdatomic.h>
#include <sys/stat.h>

#define CACHE_TRUST    SINEW_S(1)
#define CACHE_FILE_MAX ((size_t)128 << 10) /* larger ones are read from the disk each time */

/* Immutable once it is in a cache, but for its first line. Shared by reference. */
typedef struct file {
    sinew_time checked; /* guarded by the cache's lock */
    atomic_uint references;
    uint32_t hash;
    struct stat st;
    size_t key_len, head_len, body_len;
    char *path; /* below the root, '\0' at the end; its first key_len bytes are the key */
    char *head; /* status line and header without those fields that differ from response to response */
    char *body;
} file;

/* Makes the caches, `bytes` altogether. 0 or -ENOMEM. */
int cache_init(unsigned workers, size_t bytes);
void cache_destroy(void);

/* A reference to the entry of that key, or NULL. `now` is any clock that file_new's caller uses too. Never suspends. */
file *cache_find(const char *key, size_t len, sinew_time now);

/* Puts a file in, if it is small enough; the caller keeps its reference. Never suspends. */
void cache_add(file *f);

/* A file with room for `body_bytes`, and one reference. NULL when memory is refused. Never suspends. */
file *file_new(const char *path, size_t key_len, const struct stat *st, size_t body_bytes, sinew_time now);
void file_release(file *f);

#endif
