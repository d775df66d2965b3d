/* SPDX-License-Identifier: Apache-2.0 */
/* The deadlock report: see deadlock.h. */
#include "runtime/deadlock.h"

#include "runtime/cancel.h"
#include "runtime/origin.h"
#include "runtime/slow.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { LISTED_MAX = 20 };

#define PF_EXITING 0x4u /* in the flags of /proc/<pid>/stat: has begun to end, runs nothing of the program any more */

typedef struct listing {
    unsigned count;
} listing;

static void list_task(listing *l, sinew_task *t)
{
    if (!t || l->count++ >= LISTED_MAX)
        return;
    sn_complain("  waiting: %s", sinew_name(t));
    const sn_origin *origin = sn_origin_of(t);
    if (origin)
        sn_origin_print("  created at:", origin->frames, origin->count);
}

static void list_fiber(sn_fiber *f, void *arg)
{
    listing *l = arg;
    if (!(sn_load(&f->wakes, acquire) & SN_FIBER_PARKED)) /* every worker sleeps, so nothing moves */
        return;
    list_task(l, f->task);
    for (sn_frame *frame = f->frame; frame; frame = frame->outer)
        list_task(l, frame->task);
}

/* No I/O in flight, no timer, no message: acquire, so that what a completion or timer has queued is seen by who looks
 * after this. */
static bool nothing_outside(sn_runtime *rt)
{
    for (uint32_t i = 0; i < rt->workers_count; i++) {
        sn_worker *other = &rt->workers[i];
        if (sn_load(&other->timers.earliest, acquire) != SINEW_FOREVER || !CK_STACK_ISEMPTY(&other->inbox) ||
            sn_load(&other->counters.completed, acquire) != sn_load(&other->counters.submitted, acquire))
            return false;
    }
    return !sn_load(&rt->stop, acquire) && !sn_load(&rt->interrupted, acquire);
}

bool sn_deadlock_possible(sn_runtime *rt)
{
    if (rt->embedding) /* plain threads may bring something at any time */
        return false;
    /* A worker on the idle list may be about to leave it: it has completed an operation and queued what waited for it.
     * Completions count as such only after they have queued, and who leaves the list moves `departures` before it runs
     * anything. One that left and is back again before the second line has done so before we look around. */
    uint64_t departures = sn_load(&rt->idle.departures, seq_cst);
    return sn_idle_all_quiet(rt) && nothing_outside(rt) && sn_idle_all_quiet(rt) &&
           sn_load(&rt->idle.departures, seq_cst) == departures;
}

/* Does this line of /proc/self/task/<tid>/stat, "tid (name) state ppid pgrp session tty tpgid flags ...", describe a
 * thread that may still do something of its own accord? Not io_uring's kernel workers. The name may hold anything. */
static bool may_act(const char *line)
{
    const char *name = strchr(line, '('), *end = strrchr(line, ')');
    unsigned flags = 0;
    if (!name || !end || sscanf(end + 1, " %*c %*d %*d %*d %*d %*d %u", &flags) != 1)
        return true;
    return strncmp(name + 1, "iou-", 4) != 0 && !(flags & PF_EXITING);
}

static bool thread_may_act(int directory, const char *id)
{
    char path[64], line[256];
    snprintf(path, sizeof path, "%s/stat", id);
    int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno != ENOENT; /* that one has ended meanwhile */
    ssize_t n = read(fd, line, sizeof line - 1);
    int error = errno;
    close(fd);
    if (n <= 0)
        return n == 0 || error != ESRCH;
    line[n] = '\0';
    return may_act(line);
}

/*
 * Has the process threads that this runtime knows nothing of, and that may therefore set an event or post a semaphore?
 * When it cannot be seen (no /proc), there may be. The runtime's own threads are there all the time, so numbers are
 * enough.
 */
static bool has_foreign_threads(sn_runtime *rt)
{
    DIR *threads = opendir("/proc/self/task");
    if (!threads)
        return true;
    uint32_t count = 0;
    for (struct dirent *e; (e = readdir(threads)) != NULL;)
        count += e->d_name[0] != '.' && thread_may_act(dirfd(threads), e->d_name);
    closedir(threads);
    /* After the count: threads of the pool only end in a standstill, so those that have ended since count as foreign,
     * and the next look puts that right. ThreadSanitizer has a thread in the background. */
    uint32_t own = rt->workers_count + sn_load(&rt->blocking.threads, acquire) +
                   sn_load(&rt->lookups.threads, acquire) + (rt->slow != NULL) + (SN_TSAN ? 1 : 0);
    return count > own;
}

static void report(sn_runtime *rt)
{
    bool again = rt->deadlock_reported || sn_load(&rt->stopping, acquire);
    rt->deadlock_reported = true;
    sn_complain("deadlock: every task waits for another one and no timer, I/O or thread can wake any%s",
                again ? "" : "; main is cancelled with -EDEADLK");
    listing l = {0};
    sn_stacks_visit(&rt->stacks, list_fiber, &l);
    if (l.count > LISTED_MAX)
        sn_complain("  ... and %u more", l.count - LISTED_MAX);
    SN_CHECK(!again,
             "deadlock again after the tasks had been cancelled; a task goes on waiting after -ECANCELED or -EDEADLK");
    sn_cancel_request(rt->main_task, SN_CANCEL_DEADLOCK, false);
}

static sn_standstill check(sn_runtime *rt)
{
    if (!sn_deadlock_possible(rt))
        return SN_STANDSTILL_NONE;
    /* The counts of calls and threads go down after what they have woken is queued, and are read before we look; the
     * same with the watcher of slow tasks. */
    if (sn_load(&rt->blocking.pending, acquire) != 0 || sn_load(&rt->lookups.pending, acquire) != 0 ||
        sn_slow_busy(rt) || has_foreign_threads(rt))
        return SN_STANDSTILL_LATER;
    /* Nobody but the workers is there any more; what a thread did before it ended is seen now. */
    if (!sn_deadlock_possible(rt))
        return SN_STANDSTILL_NONE;
    report(rt);
    return SN_STANDSTILL_REPORTED;
}

sn_standstill sn_deadlock_check(sn_worker *w)
{
    /* One at a time, until what the report has woken is queued; who comes meanwhile looks again. */
    ck_spinlock_t *lock = &w->runtime->deadlock_lock;
    if (!ck_spinlock_trylock(lock))
        return SN_STANDSTILL_LATER;
    sn_standstill found = check(w->runtime);
    ck_spinlock_unlock(lock);
    return found;
}
