/* SPDX-License-Identifier: Apache-2.0 */
#include "log.h"

#include "journal.h"
#include "log_file.h"
#include "replay.h"
#include "settings.h"
#include "spin.h"

#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sinew/errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_PATIENCE SINEW_S(3)

/* Who waits for a position, on its own stack. */
typedef struct waiter {
    struct waiter *next, **link; /* `link` is NULL once it is off the list */
    uint64_t lsn;
    int result;
    sinew_sem done;
} waiter;

/* A file that is to take the place of this one; on the rewriter's stack. */
struct replacement {
    log_file *next;
    const char *path;
    int result;
    sinew_sem done;
};

static const char *path;
static log_file file = {.fd = -1}; /* the writer's; its fd also the ticker's, under `in_use` */
static sinew_mutex in_use;         /* held while the file is synced every second, and while it is replaced */
static chain batch;                /* the writer's: what it has taken and not yet written */
static uint64_t batch_end;
static atomic_bool sync_failed;
static sinew_time sync_time; /* the writer's: what the last one took */
static unsigned last_crowd;  /* the writer's: how many waited when it had ended */
static atomic_bool unsynced;
static atomic_llong size, base_size;
static atomic_ullong writes, syncs;

static sinew_sem work; /* the writer sleeps on it */
/* Under the journal's lock. */
static bool sleeps, stopping;
static waiter *waiters;
static unsigned waiting; /* their number */
static unsigned crowd;   /* the writer sleeps until so many wait */
static struct replacement *replacement;

struct rewriting rewriting;

const char *log_path(void)
{
    return path;
}

bool log_is_open(void)
{
    return path != NULL;
}

void log_complain(const char *what, int error)
{
    fprintf(stderr, "kv: %s: %s: %s\n", path, what, strerror(-error));
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* A file that appears or is renamed is there after a power cut only if its directory has been synced. */
static int sync_directory(void)
{
    char directory[PATH_MAX];
    const char *slash = strrchr(path, '/');
    snprintf(directory, sizeof directory, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    int fd = sinew_openat(AT_FDCWD, directory, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0)
        return fd;
    int error = sinew_fsync(fd);
    sinew_close(fd);
    return error == -EINVAL ? 0 : error; /* a file system without it */
}

/* The lock of a process that was killed stays until the kernel has ended the operations which that had under way: with
 * io_uring, some time after its end. They may still write to the file, so they are waited for. */
int log_open_file(const char *name, bool empty)
{
    int fd = sinew_openat(AT_FDCWD, name, O_RDWR | O_CREAT, 0644), error = fd < 0 ? fd : 0;
    sinew_time until = sinew_now() + LOCK_PATIENCE;
    while (error == 0 && flock(fd, LOCK_EX | LOCK_NB) < 0) {
        error = -errno;
        if (error == -EWOULDBLOCK && sinew_now() < until)
            error = sinew_sleep(SINEW_MS(10));
    }
    if (error == 0 && empty && ftruncate(fd, 0) < 0)
        error = -errno;
    if (error < 0 && fd >= 0)
        sinew_close(fd);
    return error < 0 ? error : fd;
}

/* Reads all of it. 0, 1: its last record is torn, or an error that has been described. */
static int read_file(replay *r)
{
    for (;;) {
        size_t room;
        char *at = replay_room(r, &room);
        ssize_t n = at ? sinew_read(file.fd, at, room) : 0;
        if (n == -EINTR)
            continue;
        if (n < 0) {
            log_complain("cannot be read", (int)n);
            return (int)n;
        }
        if (!at || !replay_received(r, (size_t)n)) {
            fprintf(stderr,
                    "kv: %s: damaged at offset %" PRIu64 ": %s; nothing behind it has been read. redis-check-aof shows "
                    "the place; cutting the file off there (truncate -s %" PRIu64 ") loses what follows\n",
                    path, replay_offset(r), r->error, replay_offset(r));
            return -EBADMSG;
        }
        if (n == 0)
            return (uint64_t)file.size > replay_offset(r);
        file.size += n;
    }
}

static int cut_torn_record(const replay *r)
{
    int64_t whole = (int64_t)replay_offset(r);
    fprintf(stderr, "kv: %s: the last record is torn: %" PRId64 " bytes cut off at offset %" PRId64 "\n", path,
            file.size - whole, whole);
    if (ftruncate(file.fd, whole) < 0) {
        int error = -errno;
        log_complain("the torn record cannot be cut off", error);
        return error;
    }
    file.size = whole;
    return sinew_fsync(file.fd);
}

static int open_and_read(void)
{
    bool is_new = access(path, F_OK) < 0;
    file.fd = log_open_file(path, false);
    if (file.fd < 0) {
        if (file.fd == -EWOULDBLOCK)
            fprintf(stderr, "kv: %s: in use by another process\n", path);
        else
            log_complain("cannot be opened", file.fd);
        return file.fd;
    }
    replay *r = malloc(sizeof *r);
    if (!r) {
        log_complain("cannot be read", -ENOMEM);
        return -ENOMEM;
    }
    replay_begin(r);
    int error = read_file(r);
    if (error > 0)
        error = cut_torn_record(r);
    else if (error == 0 && is_new)
        error = sync_directory();
    if (error == 0 && r->commands > 0)
        printf("kv: %s: %" PRIu64 " commands read\n", path, r->commands);
    replay_end(r);
    free(r);
    return error;
}

int log_open(const char *name)
{
    path = name;
    sinew_sem_init(&work, 0);
    sinew_mutex_init(&in_use);
    sinew_sem_init(&rewriting.wanted, 0);
    int error = open_and_read();
    if (error < 0) {
        if (file.fd >= 0)
            sinew_close(file.fd);
        return error;
    }
    atomic_store(&size, file.size);
    atomic_store(&base_size, file.size);
    journal_enable();
    return 0;
}

int log_close(void)
{
    int error = sync_failed || batch.first ? -EIO : sinew_fsync(file.fd);
    sinew_close(file.fd);
    chain_free(&batch);
    return error < 0 ? error : -journal_error();
}

/* --- who waits ---------------------------------------------------------------------------------------------------- */

/* With the journal locked: does the writer have to be woken, by a post after the unlock? */
static bool must_wake(void)
{
    bool wake = sleeps && waiting >= crowd;
    if (wake)
        sleeps = false;
    return wake;
}

static void unlink_waiter(waiter *w)
{
    *w->link = w->next;
    if (w->next)
        w->next->link = w->link;
    w->link = NULL;
    waiting--;
}

int log_wait(uint64_t lsn)
{
    waiter w = {.lsn = lsn};
    sinew_sem_init(&w.done, 0);
    spin_lock(&journal_lock);
    if (journal_safe() >= lsn || journal_error() != 0) {
        spin_unlock(&journal_lock);
        return journal_safe() >= lsn ? 0 : -EIO;
    }
    w.next = waiters;
    w.link = &waiters;
    if (waiters)
        waiters->link = &w.next;
    waiters = &w;
    waiting++;
    bool wake = must_wake();
    spin_unlock(&journal_lock);
    if (wake)
        sinew_sem_post(&work);

    int result = sinew_sem_wait(&w.done);
    if (result == 0)
        return w.result;
    spin_lock(&journal_lock);
    bool waits = w.link != NULL;
    if (waits)
        unlink_waiter(&w);
    spin_unlock(&journal_lock);
    while (!waits && sinew_sem_wait(&w.done) < 0)
        ; /* it has been taken off, so the post is under way to this stack */
    return result;
}

void log_wake(void)
{
    if (!path)
        return;
    spin_lock(&journal_lock);
    bool wake = journal_has_records() && must_wake();
    spin_unlock(&journal_lock);
    if (wake)
        sinew_sem_post(&work);
}

/* Lets those go who wait for a position up to `lsn`. Returns how many waited, for that or for more. */
static unsigned wake_waiters(uint64_t lsn, int result)
{
    waiter *woken = NULL;
    spin_lock(&journal_lock);
    unsigned all = waiting;
    for (waiter *w = waiters, *next; w; w = next) {
        next = w->next;
        if (w->lsn <= lsn) {
            unlink_waiter(w);
            w->result = result;
            w->next = woken;
            woken = w;
        }
    }
    spin_unlock(&journal_lock);
    while (woken) {
        waiter *w = woken;
        woken = w->next;
        sinew_sem_post(&w->done); /* it is gone after this */
    }
    return all;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

/* At a position of our own: io_uring may forget to move the file's when a write ends before all is written. */
int log_write_chain(log_file *f, chain *c)
{
    while (c->first) {
        chunk *k = c->first;
        while (k->written < k->used) {
            ssize_t n = sinew_pwrite(f->fd, chunk_data(k) + k->written, k->used - k->written, f->size);
            if (n == -EINTR)
                continue;
            if (n <= 0)
                return n < 0 ? (int)n : -EIO;
            k->written += (size_t)n;
            f->size += n;
        }
        chain_pop(c);
        atomic_fetch_add_explicit(&writes, 1, memory_order_relaxed);
    }
    return c->lost ? -ENOMEM : 0;
}

static int sync_file(int fd)
{
    int error = sinew_fsync(fd);
    atomic_fetch_add_explicit(&syncs, 1, memory_order_relaxed);
    return error;
}

/* Changes are refused from now on, and nobody waits any more for those that have been made. */
static void refuse_changes(const char *what, int error)
{
    if (journal_error() != -error) {
        log_complain(what, error);
        fputs("kv: changes are refused until that is over\n", stderr);
    }
    journal_set_error(-error);
    (void)wake_waiters(UINT64_MAX, -EIO);
}

static void accept_changes(void)
{
    if (journal_error() != 0) {
        journal_set_error(0);
        fprintf(stderr, "kv: %s: is written again\n", path);
    }
}

/* One round. 0, or the error for which there will be no progress for a while. */
static int write_batch(void)
{
    if (!batch.first)
        batch_end = journal_take(&batch);
    int error = log_write_chain(&file, &batch);
    atomic_store_explicit(&size, file.size, memory_order_relaxed);
    if (error < 0) {
        refuse_changes("cannot be written", error);
        return error;
    }
    if (settings.sync == LOG_SYNC_ALWAYS && !sync_failed) {
        sinew_time begin = sinew_now();
        error = sync_file(file.fd);
        sync_time = sinew_now() - begin;
        sync_failed = error < 0;
    } else {
        atomic_store_explicit(&unsynced, true, memory_order_relaxed);
    }
    if (sync_failed) {
        refuse_changes("cannot be synced: nothing but BGREWRITEAOF or a restart helps", error < 0 ? error : -EIO);
        return -EIO;
    }
    accept_changes();
    journal_set_safe(batch_end);
    last_crowd = wake_waiters(batch_end, 0);
    return 0;
}

/* Clients that were woken by a sync are about to send their next changes, while others have been waiting since it
 * began. Who begins the next sync at once has each of them only every other time. So it waits until as many are here as
 * there were before; not for long, if they do not come. */
static void gather(void)
{
    sinew_time patience = sync_time / 8 < SINEW_MS(1) ? sync_time / 8 : SINEW_MS(1);
    if (settings.sync != LOG_SYNC_ALWAYS || last_crowd < 2 || patience < SINEW_US(20))
        return;
    spin_lock(&journal_lock);
    bool wait = waiting < last_crowd && !stopping && !replacement;
    crowd = last_crowd;
    sleeps = wait;
    spin_unlock(&journal_lock);
    if (wait) {
        sinew_timeout limit;
        sinew_timeout_begin(&limit, patience);
        (void)sinew_sem_wait(&work);
        (void)sinew_timeout_end(&limit);
    }
    spin_lock(&journal_lock);
    crowd = 0;
    sleeps = false;
    spin_unlock(&journal_lock);
}

/* Waits for something to do. False: there will be nothing any more. */
static bool wait_for_work(void)
{
    for (;;) {
        spin_lock(&journal_lock);
        bool ready = batch.first || journal_has_records() || replacement, end = stopping;
        sleeps = !ready && !end;
        spin_unlock(&journal_lock);
        if (ready || end)
            return ready;
        (void)sinew_sem_wait(&work); /* a cancel changes nothing: the writer goes last */
    }
}

static bool is_stopping(void)
{
    spin_lock(&journal_lock);
    bool end = stopping;
    spin_unlock(&journal_lock);
    return end;
}

static int replace_file(struct replacement *r);

intptr_t log_writer(void *unused)
{
    (void)unused;
    while (wait_for_work()) {
        gather();
        int error = write_batch();
        spin_lock(&journal_lock);
        struct replacement *r = replacement;
        replacement = NULL;
        spin_unlock(&journal_lock);
        if (r) {
            r->result = replace_file(r);
            sinew_sem_post(&r->done);
        } else if (error < 0) {
            if (is_stopping())
                break;
            (void)sinew_sleep(SINEW_S(1));
        }
    }
    return 0;
}

void log_stop(void)
{
    spin_lock(&journal_lock);
    stopping = true;
    bool wake = must_wake();
    spin_unlock(&journal_lock);
    if (wake)
        sinew_sem_post(&work);
}

intptr_t log_ticker(void *unused)
{
    (void)unused;
    while (settings.sync == LOG_SYNC_EVERYSEC && sinew_sleep(SINEW_S(1)) == 0) {
        if (!atomic_exchange_explicit(&unsynced, false, memory_order_relaxed))
            continue;
        if (sinew_mutex_lock(&in_use) < 0)
            break;
        int error = sync_failed ? 0 : sync_file(file.fd);
        if (error == -ECANCELED)
            error = 0; /* log_close syncs once more */
        if (error < 0) {
            sync_failed = true;
            refuse_changes("cannot be synced: nothing but BGREWRITEAOF or a restart helps", error);
        }
        sinew_mutex_unlock(&in_use);
    }
    return 0;
}

/* --- replacing ---------------------------------------------------------------------------------------------------- */

static intptr_t rename_file(void *arg)
{
    const struct replacement *r = arg;
    return rename(r->path, path) < 0 ? -errno : 0;
}

/* The writer stands between two rounds. From one position on, everything goes to the new file alone; what was taken for
 * the former one at that position is in the new one, too. If that cannot be done, the former one goes on with it. */
static int replace_file(struct replacement *r)
{
    chain records, rest;
    uint64_t lsn = journal_end_copy(&records, &rest);
    int error = log_write_chain(r->next, &rest);
    chain_free(&rest);
    if (error == 0)
        error = sync_file(r->next->fd);
    if (error == 0)
        error = (int)sinew_blocking_wait(rename_file, r);
    if (error < 0) {
        *(batch.last ? &batch.last->next : &batch.first) = records.first;
        if (records.last)
            batch.last = records.last;
        batch.bytes += records.bytes;
        batch.lost |= records.lost;
        batch_end = lsn;
        return error;
    }
    /* It is in its place; should the directory's entry not reach the disk, the former file does its duty. */
    error = sync_directory();
    if (error < 0)
        log_complain("the directory cannot be synced", error);
    chain_free(&records);
    chain_free(&batch);
    batch.lost = false;
    while (sinew_mutex_lock(&in_use) < 0)
        ; /* the ticker's sync ends */
    sinew_close(file.fd);
    file = *r->next;
    sync_failed = false;
    sinew_mutex_unlock(&in_use);
    journal_forget_loss();
    accept_changes();
    atomic_store_explicit(&size, file.size, memory_order_relaxed);
    atomic_store_explicit(&base_size, file.size, memory_order_relaxed);
    batch_end = lsn;
    journal_set_safe(lsn);
    (void)wake_waiters(lsn, 0);
    return 0;
}

int log_replace(log_file *next, const char *next_path)
{
    struct replacement r = {.next = next, .path = next_path};
    sinew_sem_init(&r.done, 0);
    spin_lock(&journal_lock);
    replacement = &r;
    bool wake = must_wake();
    spin_unlock(&journal_lock);
    if (wake)
        sinew_sem_post(&work);
    while (sinew_sem_wait(&r.done) < 0)
        ; /* it lies on this stack */
    return r.result;
}

log_stats log_count(void)
{
    return (log_stats){
        .size = atomic_load_explicit(&size, memory_order_relaxed),
        .base_size = atomic_load_explicit(&base_size, memory_order_relaxed),
        .error = journal_error(),
        .rewriting = atomic_load_explicit(&rewriting.running, memory_order_relaxed),
        .rewrites = atomic_load_explicit(&rewriting.done, memory_order_relaxed),
        .writes = atomic_load_explicit(&writes, memory_order_relaxed),
        .syncs = atomic_load_explicit(&syncs, memory_order_relaxed),
    };
}
