/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rewriting the append-only file: a new one with a record for each key that there is, instead of all that ever
 * happened, made while the server works.
 *
 * 1. From some position on, all records go into a second chain as well (journal_begin_copy).
 * 2. A walk over the store adds the whole state of each entry to the second chain, under the lock of its shard. The
 *    rewriter writes the chain to the new file whenever some has come together.
 * 3. The rest is the writer's, between two of its rounds: it takes both chains at one position, writes the second one,
 *    syncs the new file, renames it, and goes on with it (log_replace).
 *
 * Why the new file gives the right state. Take one key. The new file has all of its changes since (1), and maybe its
 * state once or several times, all in the order in which they took effect, because all is appended under the lock of
 * its shard. Look at the last of them that says everything: a SET, a DEL, a FLUSHALL or the state. It made the key what
 * it was at that moment, whatever stood before it, and what follows (APPEND, PEXPIREAT) was applied to that. If there
 * is none, then the key was not there at (1), or the walk would have met it (store_walk), and the changes were applied
 * to nothing, as they are when they are read.
 */
#include "log.h"
#include "log_file.h"
#include "settings.h"
#include "store.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

enum {
    ENTRIES_AT_ONCE = 32,    /* copied under one lock */
    WRITE_BYTES = 512 << 10, /* so much makes a write worth while */
};

#define PAUSE SINEW_S(60) /* after a rewriting that failed, none is begun by itself */

bool log_wants_rewrite(void)
{
    log_stats now = log_count();
    return log_is_open() && settings.rewrite_percent > 0 && now.size >= settings.rewrite_min_bytes &&
           now.size >= now.base_size + now.base_size / 100 * settings.rewrite_percent &&
           sinew_now() >= atomic_load_explicit(&rewriting.not_before, memory_order_relaxed);
}

int log_rewrite(void)
{
    if (!log_is_open())
        return -ENOENT;
    if (atomic_exchange(&rewriting.running, true))
        return -EALREADY;
    sinew_sem_post(&rewriting.wanted);
    return 0;
}

static bool copy_entry(shard *s, entry *e, void *arg)
{
    (void)s;
    (void)arg;
    journal_copy_entry(e);
    return true;
}

static int write_copies(log_file *f)
{
    chain c;
    journal_take_copy(&c);
    int error = log_write_chain(f, &c);
    chain_free(&c);
    return error;
}

static int copy_store(log_file *f)
{
    walk at = 0;
    int error = 0;
    do {
        at = store_walk(at, ENTRIES_AT_ONCE, copy_entry, NULL);
        if (journal_copy_bytes() > WRITE_BYTES)
            error = write_copies(f);
        else if (at % 64 == 0)
            error = sinew_yield();
    } while (error == 0 && at != 0);
    return error == 0 ? write_copies(f) : error;
}

static int rewrite(const char *next_path)
{
    log_file next = {.fd = log_open_file(next_path, true)};
    if (next.fd < 0)
        return next.fd;
    journal_begin_copy();
    int error = copy_store(&next);
    if (error == 0)
        error = sinew_fsync(next.fd); /* most of it, while the writer goes on */
    if (error == 0)
        error = write_copies(&next); /* what has come meanwhile */
    if (error == 0)
        error = log_replace(&next, next_path);
    else
        journal_abandon_copy();
    if (error < 0) {
        (void)unlink(next_path);
        sinew_close(next.fd);
    }
    return error;
}

intptr_t log_rewriter(void *unused)
{
    (void)unused;
    char next_path[PATH_MAX];
    snprintf(next_path, sizeof next_path, "%s.rewrite", log_path());
    while (sinew_sem_wait(&rewriting.wanted) == 0) {
        int64_t before = log_count().size;
        int error = rewrite(next_path);
        if (error < 0)
            atomic_store_explicit(&rewriting.not_before, sinew_now() + PAUSE, memory_order_relaxed);
        if (error < 0 && error != -ECANCELED)
            log_complain("cannot be rewritten", error);
        else if (error == 0)
            printf("kv: %s: rewritten: %" PRId64 " bytes, before %" PRId64 "\n", log_path(), log_count().size, before);
        fflush(stdout);
        atomic_fetch_add(&rewriting.done, error == 0);
        atomic_store(&rewriting.running, false);
    }
    return 0;
}
