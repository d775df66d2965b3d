/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The epoll driver, for where io_uring is refused: one epoll instance and one eventfd per worker.
 *
 * An operation is attempted at once (attempt.h). One that would block waits in the list of its descriptor until epoll
 * reports that ready, and is attempted again, by the owner in poll, or by another worker while the owner computes.
 *
 *              submit                       events                attempt succeeds, cancel
 *     NOWHERE ---------> WAITING (a list per descriptor) ----------------------------------> done
 *        |     ^            |  ready, and yet the attempt fails
 *        |     |            v
 *        |     +--------- LATER   (a list with pauses)     ------------------------------->
 *        +--------------> SOON    (a list for the next poll) ----------------------------->
 *
 * The lock guards all of it: lists, table, events that were fetched. Attempts of operations that are in a list are made
 * under it; they do not block. The first attempt, in submit, is made without: nobody else knows the operation yet.
 *
 * Registration. A descriptor is registered with EPOLLONESHOT, and each operation that begins to wait sets its events
 * again: that costs a system call and asks nothing of what the table believes. The descriptor may have been closed and
 * its number given to another file, which the kernel then does not know (ENOENT). It is added as another generation of
 * that number; operations that waited for the last one, although that should not be, end with -EBADF before they touch
 * a file that is not theirs. While a duplicate of the old one lives, here or in a child, the kernel may still report
 * it, once: that is of an older generation, or nobody waits for it, and is passed over.
 *
 * Fairness. A descriptor's operations are attempted in the order in which they came. A task whose operations never wait
 * must not keep the worker to itself: after ALLOWANCE of them between two polls an operation goes to SOON, its task is
 * suspended, and the scheduler comes round.
 *
 * False readiness. A descriptor may be reported ready while the attempt cannot succeed (a datagram to a full receiver,
 * a pending error that belongs to nobody who waits). Registered again it would be reported again at once, for ever; so
 * after FRUITLESS attempts that failed, one that still looks ready goes to LATER, which is also where those are for
 * which there is no readiness at all.
 *
 * A helper may come when its look at the worker is out of date, and the owner sleeps until events come, or until the
 * earliest of LATER. Both would be wrong if the helper took the events and put operations into LATER. So it goes away
 * if it finds, under the lock, that the owner has looked at the lists for the last time before it sleeps (`sleeps`).
 *
 * Wake. The eventfd stays ready until the owner reads it, so a helper that fetches the event takes nothing away. The
 * owner reads first and clears `wake_posted` then: whoever comes in between writes nothing, and what it has queued is
 * seen, because clearing is an exchange that reads that one's.
 */
#include "io/attempt.h"
#include "runtime/clock.h"
#include "runtime/worker.h"

#include <ck_spinlock.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS = 64,
    ALLOWANCE = 128,
    FRUITLESS = 3,
    CHUNK = 256, /* descriptors */
};

#define PAUSE_FIRST_NS SINEW_US(250)
#define PAUSE_MOST_NS  SINEW_MS(4)
#define KEY_WAKE       UINT64_MAX
#define KEY_SHIFT      32 /* the generation stands above the number */

/* Where an operation is. */
enum { NOWHERE, WAITING, SOON, LATER };

typedef TAILQ_HEAD(op_list, sn_op) op_list;

typedef struct descriptor {
    op_list waiting;
    uint32_t events;     /* of all that wait, or have waited since it was last reported */
    uint32_t generation; /* how many files have had this number */
} descriptor;

struct sn_driver {
    int epoll, wake_fd;
    uint32_t allowance; /* owner: operations that may still complete inside submit */
    _Atomic uint32_t wake_posted;
    _Atomic bool sleeps; /* the owner, or it is about to; set under the lock, cleared without */
    ck_spinlock_t lock;
    /* under the lock */
    descriptor **chunks; /* the table, by descriptor */
    size_t chunks_count;
    size_t waiting; /* operations in it */
    op_list soon, later;
    sinew_time later_at; /* the earliest */
    int fetched;         /* events that wait has brought and nobody has looked at */
    /* the owner's while `fetched` is 0, otherwise under the lock */
    struct epoll_event events[EVENTS];
};

/* --- the table -------------------------------------------------------------------------------------------------- */

static descriptor *descriptor_of(const sn_driver *d, int fd)
{
    size_t chunk = (size_t)fd / CHUNK;
    return chunk < d->chunks_count && d->chunks[chunk] ? &d->chunks[chunk][fd % CHUNK] : NULL;
}

/* NULL: no memory. */
static descriptor *make_descriptor(sn_driver *d, int fd)
{
    size_t chunk = (size_t)fd / CHUNK, count = d->chunks_count ? d->chunks_count : 4;
    while (count <= chunk)
        count *= 2;
    if (count > d->chunks_count) {
        descriptor **wider = realloc(d->chunks, count * sizeof(descriptor *));
        if (!wider)
            return NULL;
        memset(wider + d->chunks_count, 0, (count - d->chunks_count) * sizeof(descriptor *));
        d->chunks = wider;
        d->chunks_count = count;
    }
    if (!d->chunks[chunk]) {
        d->chunks[chunk] = calloc(CHUNK, sizeof(descriptor));
        for (int i = 0; d->chunks[chunk] && i < CHUNK; i++)
            TAILQ_INIT(&d->chunks[chunk][i].waiting);
    }
    return descriptor_of(d, fd);
}

/* Ends those that waited for a file that has lost its number to another one. */
static unsigned end_waiting(sn_driver *d, descriptor *t)
{
    unsigned completed = 0;
    for (sn_op *op; (op = TAILQ_FIRST(&t->waiting)) != NULL; completed++) {
        TAILQ_REMOVE(&t->waiting, op, link);
        d->waiting--;
        sn_op_complete(op, sn_attempt_so_far(op, -EBADF));
    }
    return completed;
}

/* Has the descriptor reported once, if one of the events is there or comes. 0 or -errno. */
static int arm(sn_driver *d, descriptor *t, int fd, uint32_t events, unsigned *completed)
{
    struct epoll_event e = {.events = events | EPOLLONESHOT};
    e.data.u64 = (uint64_t)t->generation << KEY_SHIFT | (uint32_t)fd;
    if (epoll_ctl(d->epoll, EPOLL_CTL_MOD, fd, &e) == 0)
        return 0;
    if (errno != ENOENT)
        return -errno;
    *completed += end_waiting(d, t);
    e.data.u64 = (uint64_t)++t->generation << KEY_SHIFT | (uint32_t)fd;
    return epoll_ctl(d->epoll, EPOLL_CTL_ADD, fd, &e) == 0 ? 0 : -errno;
}

/* --- where operations go ---------------------------------------------------------------------------------------- */

static void leave_place(sn_driver *d, sn_op *op)
{
    if (op->place == WAITING) {
        TAILQ_REMOVE(&descriptor_of(d, op->wait_fd)->waiting, op, link);
        d->waiting--;
    } else if (op->place == SOON) {
        TAILQ_REMOVE(&d->soon, op, link);
    } else if (op->place == LATER) {
        TAILQ_REMOVE(&d->later, op, link);
    }
    op->place = NOWHERE;
}

static void go_later(sn_driver *d, sn_op *op)
{
    op->pause = op->pause ? op->pause * 2 : PAUSE_FIRST_NS;
    if (op->pause > PAUSE_MOST_NS)
        op->pause = PAUSE_MOST_NS;
    op->again_at = sn_clock_now() + op->pause;
    if (TAILQ_EMPTY(&d->later) || op->again_at < d->later_at)
        d->later_at = op->again_at;
    op->place = LATER;
    TAILQ_INSERT_TAIL(&d->later, op, link);
}

/* Into the list of the descriptor it waits for. 0, or why not. */
static int go_waiting(sn_driver *d, sn_op *op, unsigned *completed)
{
    descriptor *t = make_descriptor(d, op->wait_fd);
    if (!t)
        return -ENOMEM;
    if (TAILQ_EMPTY(&t->waiting))
        t->events = 0;
    int r = arm(d, t, op->wait_fd, t->events | op->wait_events, completed);
    if (r != 0)
        return r;
    t->events |= op->wait_events;
    op->pause = 0;
    op->place = WAITING;
    TAILQ_INSERT_TAIL(&t->waiting, op, link);
    d->waiting++;
    return 0;
}

/* Of an operation in a list, by whoever holds the lock. Its task has gone to sleep, or is about to; what it did before
 * comes before what is done here with its descriptor and memory. */
static int attempt(sn_op *op)
{
    sn_tsan_acquire(op);
    int r = sn_attempt(op);
    sn_tsan_release(op);
    return r;
}

/* What becomes of an operation, which is nowhere, after an attempt that said `r`. Returns how many operations that
 * completes. */
static unsigned settle(sn_driver *d, sn_op *op, int r)
{
    unsigned completed = 0;
    if (r == SN_OP_WAIT) {
        int refused = go_waiting(d, op, &completed);
        if (refused == 0)
            return completed;
        /* EPERM: a file, of which there is no readiness. What else epoll refuses (its own limits, or itself) it may
         * take another time. */
        if (refused == -EPERM && op->opcode != SN_OP_POLL)
            r = SN_OP_ELSEWHERE;
        else
            r = refused == -EBADF ? refused : SN_OP_LATER;
    }
    if (r == SN_OP_LATER) {
        go_later(d, op);
        return completed;
    }
    sn_op_complete(op, r);
    return completed + 1;
}

/* --- events ----------------------------------------------------------------------------------------------------- */

/* Whoever only wants to take what has arrived fails after one that did. */
static bool takes(const sn_op *op)
{
    return op->wait_events == EPOLLIN && op->opcode != SN_OP_POLL;
}

/* After a report of its descriptor. Returns whether it still waits for that. */
static bool attempt_again(sn_driver *d, descriptor *t, sn_op *op, unsigned *completed)
{
    int fd = op->wait_fd, r = attempt(op);
    if (r == SN_OP_WAIT && op->wait_fd == fd) {
        if (++op->fruitless < FRUITLESS)
            return true;
        op->fruitless = 0;
        if (!sn_attempt_looks_ready(op))
            return true;
        r = SN_OP_LATER;
    }
    TAILQ_REMOVE(&t->waiting, op, link);
    d->waiting--;
    op->place = NOWHERE;
    *completed += settle(d, op, r);
    return false;
}

static unsigned reported(sn_driver *d, uint64_t key, uint32_t events)
{
    int fd = (int)(uint32_t)key;
    descriptor *t = descriptor_of(d, fd);
    if (!t || TAILQ_EMPTY(&t->waiting) || t->generation != (uint32_t)(key >> KEY_SHIFT))
        return 0;
    unsigned completed = 0;
    uint32_t still = 0;
    bool taken = false;
    for (sn_op *op = TAILQ_FIRST(&t->waiting), *next; op; op = next) {
        next = TAILQ_NEXT(op, link);
        bool concerned = events & (op->wait_events | EPOLLERR | EPOLLHUP);
        if (concerned && !(taken && takes(op))) {
            bool took = takes(op);
            if (!attempt_again(d, t, op, &completed))
                continue;
            taken |= took;
        }
        still |= op->wait_events;
    }
    t->events = still;
    if (TAILQ_EMPTY(&t->waiting) || arm(d, t, fd, still, &completed) == 0)
        return completed;
    /* It has been closed meanwhile: they find out by themselves. */
    while (!TAILQ_EMPTY(&t->waiting)) {
        sn_op *op = TAILQ_FIRST(&t->waiting);
        leave_place(d, op);
        go_later(d, op);
    }
    return completed;
}

/* Under the lock. `owner`: in the driver's own thread. */
static unsigned take_events(sn_driver *d, const struct epoll_event *events, int count, bool owner)
{
    unsigned completed = 0;
    for (int i = 0; i < count; i++) {
        if (events[i].data.u64 != KEY_WAKE) {
            completed += reported(d, events[i].data.u64, events[i].events);
        } else if (owner) {
            uint64_t value;
            ssize_t n = read(d->wake_fd, &value, sizeof value);
            (void)n; /* nothing there: it was read before */
            sn_exchange(&d->wake_posted, 0, seq_cst);
        }
    }
    return completed;
}

static unsigned attempt_soon(sn_driver *d)
{
    unsigned completed = 0;
    op_list now;
    TAILQ_INIT(&now);
    TAILQ_CONCAT(&now, &d->soon, link);
    for (sn_op *op; (op = TAILQ_FIRST(&now)) != NULL;) {
        TAILQ_REMOVE(&now, op, link);
        op->place = NOWHERE;
        completed += settle(d, op, attempt(op));
    }
    return completed;
}

/* One that is still false is not registered again: it would be reported at once. */
static unsigned attempt_later(sn_driver *d)
{
    unsigned completed = 0;
    sinew_time now = sn_clock_now();
    if (now < d->later_at)
        return 0;
    op_list before;
    TAILQ_INIT(&before);
    TAILQ_CONCAT(&before, &d->later, link);
    d->later_at = SINEW_FOREVER;
    for (sn_op *op; (op = TAILQ_FIRST(&before)) != NULL;) {
        TAILQ_REMOVE(&before, op, link);
        if (op->again_at > now) {
            d->later_at = op->again_at < d->later_at ? op->again_at : d->later_at;
            TAILQ_INSERT_TAIL(&d->later, op, link);
            continue;
        }
        op->place = NOWHERE;
        int r = attempt(op);
        completed += settle(d, op, r == SN_OP_WAIT && sn_attempt_looks_ready(op) ? SN_OP_LATER : r);
    }
    return completed;
}

/* What there is to do without asking the kernel for events. Under the lock. */
static unsigned attempt_lists(sn_driver *d, bool owner)
{
    unsigned completed = 0;
    if (d->fetched) {
        completed += take_events(d, d->events, d->fetched, owner);
        d->fetched = 0;
    }
    if (!TAILQ_EMPTY(&d->soon))
        completed += attempt_soon(d);
    if (!TAILQ_EMPTY(&d->later))
        completed += attempt_later(d);
    return completed;
}

/* --- the driver ------------------------------------------------------------------------------------------------- */

static int refused(const char *what)
{
    int code = -errno;
    sn_complain("%s is refused: %s%s", what, strerror(-code),
                code == -EMFILE || code == -ENFILE
                    ? "; raise the limit of file descriptors (ulimit -n) or use fewer workers"
                    : "");
    return code == -ENFILE ? -EMFILE : code;
}

static int epoll_driver_open(sn_worker *w, sn_driver **out)
{
    (void)w;
    sn_driver *d = calloc(1, sizeof *d);
    if (!d)
        return -ENOMEM;
    int r;
    ck_spinlock_init(&d->lock);
    TAILQ_INIT(&d->soon);
    TAILQ_INIT(&d->later);
    d->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (d->epoll < 0) {
        r = refused("an epoll descriptor");
        goto no_epoll;
    }
    d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (d->wake_fd < 0) {
        r = refused("an eventfd");
        goto no_eventfd;
    }
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = KEY_WAKE};
    if (epoll_ctl(d->epoll, EPOLL_CTL_ADD, d->wake_fd, &e) != 0) {
        r = refused("a place in epoll");
        goto not_added;
    }
    *out = d;
    return 0;
not_added:
    close(d->wake_fd);
no_eventfd:
    close(d->epoll);
no_epoll:
    free(d);
    return r;
}

static void epoll_driver_close(sn_driver *d)
{
    close(d->epoll);
    close(d->wake_fd);
    for (size_t i = 0; i < d->chunks_count; i++)
        free(d->chunks[i]);
    free(d->chunks);
    free(d);
}

/* Only that: to take a descriptor out of the instance would take it out of the parent's. */
static void epoll_driver_forked(sn_driver *d)
{
    close(d->epoll);
    close(d->wake_fd);
    sn_attempt_forked();
}

static void epoll_submit(sn_driver *d, sn_op *op)
{
    op->place = NOWHERE;
    op->fruitless = 0;
    op->pause = 0;
    sn_attempt_begin(op);
    if (SN_UNLIKELY(d->allowance == 0)) {
        ck_spinlock_lock(&d->lock);
        sn_tsan_release(op);
        op->place = SOON;
        TAILQ_INSERT_TAIL(&d->soon, op, link);
        ck_spinlock_unlock(&d->lock);
        return;
    }
    int r = sn_attempt(op);
    ck_spinlock_lock(&d->lock);
    sn_tsan_release(op);
    if (settle(d, op, r))
        d->allowance--;
    ck_spinlock_unlock(&d->lock);
}

static void epoll_cancel(sn_driver *d, sn_op *op)
{
    ck_spinlock_lock(&d->lock);
    if (!sn_load(&op->done, relaxed)) {
        leave_place(d, op);
        sn_op_complete(op, sn_attempt_so_far(op, -ECANCELED));
    }
    ck_spinlock_unlock(&d->lock);
}

static unsigned epoll_poll(sn_driver *d, bool light)
{
    d->allowance = ALLOWANCE;
    ck_spinlock_lock(&d->lock);
    /* What comes from these lists may keep the worker from ever waiting, and so from seeing events there. */
    bool listed = !TAILQ_EMPTY(&d->soon) || !TAILQ_EMPTY(&d->later);
    unsigned completed = attempt_lists(d, true);
    if ((!light || listed) && d->waiting) {
        int n = epoll_wait(d->epoll, d->events, EVENTS, 0);
        completed += take_events(d, d->events, n, true);
    }
    ck_spinlock_unlock(&d->lock);
    return completed;
}

static int wait_for_events(sn_driver *d, sinew_time span)
{
#if SN_TSAN
    /* A signal that arrives just before the call is held back until it returns. */
    if (span > SINEW_MS(50))
        span = SINEW_MS(50);
#elif defined(SYS_epoll_pwait2)
    static _Atomic bool missing; /* before Linux 5.11 */
    struct timespec timeout = {.tv_sec = span / SINEW_S(1), .tv_nsec = span % SINEW_S(1)};
    if (!sn_load(&missing, relaxed)) {
        long n = syscall(SYS_epoll_pwait2, d->epoll, d->events, EVENTS, span == SINEW_FOREVER ? NULL : &timeout, NULL,
                         (size_t)0);
        if (n >= 0 || (errno != ENOSYS && errno != EPERM))
            return (int)n;
        sn_store(&missing, true, relaxed);
    }
#endif
    sinew_time ms = span == SINEW_FOREVER ? -1 : span / SINEW_MS(1) + (span % SINEW_MS(1) != 0);
    return epoll_wait(d->epoll, d->events, EVENTS, ms > INT_MAX ? INT_MAX : (int)ms);
}

static bool epoll_driver_wait(sn_driver *d, sinew_time deadline)
{
    ck_spinlock_lock(&d->lock);
    bool ready = d->fetched || !TAILQ_EMPTY(&d->soon);
    sinew_time later_at = TAILQ_EMPTY(&d->later) ? SINEW_FOREVER : d->later_at;
    sn_store(&d->sleeps, !ready, relaxed); /* read under the lock */
    ck_spinlock_unlock(&d->lock);
    if (ready)
        return true;
    sinew_time end = later_at < deadline ? later_at : deadline;
    sinew_time span = end == SINEW_FOREVER ? SINEW_FOREVER : end - sn_clock_now();
    int n = span > 0 ? wait_for_events(d, span) : 0; /* -1, EINTR: the caller looks around */
    if (n > 0) {
        ck_spinlock_lock(&d->lock);
        d->fetched = n;
        ck_spinlock_unlock(&d->lock);
    }
    sn_store(&d->sleeps, false, relaxed); /* all else that a helper looks at is under the lock */
    return n > 0 || span <= 0 || (later_at != SINEW_FOREVER && sn_clock_now() >= later_at);
}

static void epoll_wake(sn_driver *d)
{
    if (sn_exchange(&d->wake_posted, 1, seq_cst) != 0)
        return; /* one is under way and not yet seen */
    uint64_t one = 1;
    ssize_t written = write(d->wake_fd, &one, sizeof one);
    (void)written; /* cannot fail before 2^64 - 2 wakes */
}

static unsigned epoll_help(sn_driver *d, bool *kick)
{
    struct epoll_event events[EVENTS];
    (void)kick; /* nothing here is for the owner's thread alone */
    if (!ck_spinlock_trylock(&d->lock))
        return 0;
    unsigned completed = 0;
    if (!sn_load(&d->sleeps, relaxed)) { /* set under the lock */
        completed = attempt_lists(d, false);
        if (d->waiting)
            completed += take_events(d, events, epoll_wait(d->epoll, events, EVENTS, 0), false);
    }
    ck_spinlock_unlock(&d->lock);
    return completed;
}

const sn_driver_ops sn_driver_epoll = {
    .name = "epoll",
    .nonblocking_listeners = true,
    .plain = sn_attempt_plain,
    .open = epoll_driver_open,
    .close = epoll_driver_close,
    .forked = epoll_driver_forked,
    .submit = epoll_submit,
    .cancel = epoll_cancel,
    .poll = epoll_poll,
    .wait = epoll_driver_wait,
    .wake = epoll_wake,
    .help = epoll_help,
};
