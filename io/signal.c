/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals that are listened to.
 *
 * What runs in signal context is `arrived`: it counts the arrival for each listener and adds a token to that one's
 * eventfd. A task that waits polls this descriptor through the driver like any other; who reads a token has an arrival
 * to take. So the wait is an operation in flight, which the deadlock report knows as something from outside, and a
 * cancel loses nothing.
 *
 *   signal handler                           listener
 *   a1 pending + 1   release                 t1 reads a token (the eventfd counts: one for each arrival)
 *   a2 token + 1                             t2 finds a pending > 0, takes one     acquire
 *
 *   There are never more tokens than pending arrivals, counted together with those who stand between t1 and t2. So who
 *   has a token finds one, if need be in a second round: another one may have taken what it passed by.
 *
 * The signal handler walks lists that others change, and can take no lock. Who takes a listener off waits until nobody
 * is in the handler before it is freed:
 *
 *   signal handler                           who closes
 *   h1 inside + 1                            c1 takes the watches off the lists
 *   h2 reads the list                        c2 waits until inside == 0
 *   h3 inside - 1   release                  c3 frees
 *
 *   impossible: h2 finds a watch, and c2 reads 0 before h1. h1, h2, c1, c2 are seq_cst: h2 before c1 in their one order
 *   puts h1 before c2, which then acquires h3.
 *
 * Rejected: signalfd. It takes only signals that are blocked in every thread; a library cannot promise that for threads
 * that are not its own, and children would inherit the mask.
 */
#include "io/signal.h"

#include "runtime/atomic.h"
#include "runtime/fork.h"

#include <sinew/io.h>

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* One signal of a listener. */
typedef struct watch {
    _Atomic(struct watch *) next; /* of those who watch the same signal */
    sinew_signals *owner;
    int signal;
    _Atomic uint32_t pending;
} watch;

struct sinew_signals {
    sinew_signals *next, *previous; /* all that are open; under the lock */
    int fd;
    _Atomic uint32_t references; /* the handle's, and those of calls under way */
    _Atomic uint32_t closed;
    size_t count;
    watch watches[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sinew_signals *opened;
static struct {
    _Atomic(watch *) first;
    struct sigaction before; /* while there is a first one: what the program had */
} actions[NSIG];
static _Atomic uint32_t inside; /* signal handlers that run */

/* Allowed in signal context. Cannot fail before 2^64 - 2 arrivals. Not through the C library: ThreadSanitizer forgets
 * the thread's mask when a signal handler calls a function which it intercepts while more signals come. */
static void add_token(const sinew_signals *s)
{
    uint64_t one = 1;
    syscall(SYS_write, s->fd, &one, sizeof one);
}

/* --- in signal context ------------------------------------------------------------------------------------------- */

static void arrived(int signal)
{
    int saved = errno;
    sn_add(&inside, 1, seq_cst);                                                                   /* h1 */
    for (watch *n = sn_load(&actions[signal].first, seq_cst); n; n = sn_load(&n->next, seq_cst)) { /* h2 */
        sn_tsan_release(n->owner);
        sn_add(&n->pending, 1, release); /* a1 */
        add_token(n->owner);             /* a2 */
    }
    sn_sub(&inside, 1, release); /* h3 */
    errno = saved;
}

/* --- actions; the lock is held ----------------------------------------------------------------------------------- */

static bool is_ours(const struct sigaction *action)
{
    return !(action->sa_flags & SA_SIGINFO) && action->sa_handler == arrived;
}

/* The stack of a task has little room for a handler, so that runs on the one that the worker has for this. */
static int take_action(int signal)
{
    struct sigaction now, action = {.sa_handler = arrived, .sa_flags = (int)(SA_RESTART | SA_ONSTACK)};
    sigemptyset(&action.sa_mask);
    if (sigaction(signal, NULL, &now) != 0)
        return -errno;
    if (is_ours(&now))
        return 0;
    actions[signal].before = now;
    return sigaction(signal, &action, NULL) != 0 ? -errno : 0;
}

/* Unless the program has set another one meanwhile. */
static void give_action_back(int signal)
{
    struct sigaction now;
    if (sigaction(signal, NULL, &now) == 0 && is_ours(&now)) {
        sigaction(signal, &actions[signal].before, NULL);
        if (signal == SIGINT)
            sn_interrupt_settle();
    }
}

static void take_off(watch *n)
{
    _Atomic(watch *) *at = &actions[n->signal].first;
    while (sn_load(at, relaxed) != n) /* only we change it */
        at = &sn_load(at, relaxed)->next;
    sn_store(at, sn_load(&n->next, relaxed), seq_cst); /* c1 */
    if (!sn_load(&actions[n->signal].first, relaxed))
        give_action_back(n->signal);
}

static int put_on(watch *n)
{
    watch *first = sn_load(&actions[n->signal].first, relaxed);
    sn_store(&n->next, first, relaxed);
    sn_store(&actions[n->signal].first, n, seq_cst);
    int r = take_action(n->signal);
    if (r != 0)
        sn_store(&actions[n->signal].first, first, seq_cst);
    return r;
}

/* --- fork -------------------------------------------------------------------------------------------------------- */

static sigset_t mask_before;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int refused;

/* Signals are blocked until the child has its own actions: one that it gets before would be the parent's. */
static void before_fork(void)
{
    sigset_t all;
    sigfillset(&all);
    sn_handlers_lock();
    pthread_mutex_lock(&lock);
    pthread_sigmask(SIG_BLOCK, &all, &mask_before);
}

static void after_fork(void)
{
    sigset_t mask = mask_before;
    pthread_mutex_unlock(&lock);
    sn_handlers_unlock();
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static void in_child(void)
{
    for (int signal = 1; signal < NSIG; signal++)
        if (sn_load(&actions[signal].first, relaxed)) {
            give_action_back(signal);
            sn_store(&actions[signal].first, NULL, relaxed);
        }
    for (sinew_signals *s = opened; s; s = s->next) {
        close(s->fd);
        s->fd = -1;
        sn_store(&s->closed, 1, relaxed);
    }
    opened = NULL;
    sn_store(&inside, 0, relaxed); /* in threads that the child does not have */
    sn_handlers_forked();
    after_fork();
}

static void install(void)
{
    refused = pthread_atfork(before_fork, after_fork, in_child);
}

/* --- listeners --------------------------------------------------------------------------------------------------- */

static int check_signal(int signal)
{
    switch (signal) {
    case SIGKILL:
    case SIGSTOP:
        sn_complain("signal %d (%s) cannot be caught", signal, strsignal(signal));
        return -EINVAL;
    case SIGURG: /* runtime/kick.h */
        sn_complain("signal %d (%s) is the runtime's own, which interrupts its workers with it", signal,
                    strsignal(signal));
        return -EINVAL;
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL:
        sn_complain("signal %d (%s) cannot be left for a task: what has caused it would be tried again at once", signal,
                    strsignal(signal));
        return -EINVAL;
    default: {
        struct sigaction now; /* refused also for two that the C library has for itself */
        if (signal >= 1 && signal < NSIG && sigaction(signal, NULL, &now) == 0)
            return 0;
        sn_complain("there is no signal %d", signal);
        return -EINVAL;
    }
    }
}

/* The next of them, or none, by their order in the list. */
static int take(sinew_signals *s)
{
    for (size_t i = 0; i < s->count; i++) {
        uint32_t pending = sn_load(&s->watches[i].pending, relaxed);
        while (pending)
            if (sn_cas(&s->watches[i].pending, &pending, pending - 1, acquire)) /* t2 */
                return s->watches[i].signal;
    }
    return 0;
}

static sinew_signals *new_listener(const int *signals, size_t count)
{
    sinew_signals *s = calloc(1, sizeof *s + count * sizeof s->watches[0]);
    if (!s)
        return NULL;
    sn_store(&s->references, 1, relaxed);
    for (size_t i = 0; i < count; i++) {
        bool twice = false;
        for (size_t k = 0; k < s->count; k++)
            twice |= s->watches[k].signal == signals[i];
        if (twice)
            continue;
        s->watches[s->count].owner = s;
        s->watches[s->count++].signal = signals[i];
    }
    return s;
}

/* The lock is held. */
static int begin(sinew_signals *s)
{
    for (size_t i = 0; i < s->count; i++) {
        int r = put_on(&s->watches[i]);
        if (r != 0) {
            while (i-- > 0)
                take_off(&s->watches[i]);
            return r;
        }
    }
    s->next = opened;
    if (opened)
        opened->previous = s;
    opened = s;
    return 0;
}

static void wait_for_handlers(void)
{
    while (sn_load(&inside, seq_cst) != 0) /* c2; in other threads, which hold nothing and are out of it soon */
        sched_yield();
}

void sn_signals_unref(sinew_signals *s)
{
    if (sn_sub(&s->references, 1, acq_rel) != 1)
        return;
    if (s->fd >= 0)
        close(s->fd);
    free(s); /* c3 */
}

void sn_signals_ref(sinew_signals *s)
{
    sn_add(&s->references, 1, relaxed); /* by somebody who has one */
}

void sn_signals_shut(sinew_signals *s)
{
    pthread_mutex_lock(&lock);
    if (sn_exchange(&s->closed, 1, acq_rel)) {
        pthread_mutex_unlock(&lock);
        return;
    }
    for (size_t i = 0; i < s->count; i++)
        take_off(&s->watches[i]);
    *(s->previous ? &s->previous->next : &opened) = s->next;
    if (s->next)
        s->next->previous = s->previous;
    pthread_mutex_unlock(&lock);
    wait_for_handlers();
    add_token(s); /* nobody keeps this one, so all who wait see it */
}

int sinew_signal_open(const int *signals, size_t count, sinew_signals **out)
{
    if (!out)
        return -EINVAL;
    *out = NULL;
    if (!signals || count == 0 || count > NSIG)
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        int r = check_signal(signals[i]);
        if (r != 0)
            return r;
    }
    pthread_once(&once, install);
    sinew_signals *s = refused ? NULL : new_listener(signals, count);
    if (!s)
        return -ENOMEM;
    pthread_mutex_lock(&lock); /* also for the descriptor: a child by fork closes those that are listed */
    s->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    int r = s->fd < 0 ? -errno : begin(s);
    pthread_mutex_unlock(&lock);
    if (r == 0) {
        *out = s;
    } else {
        wait_for_handlers();
        sn_signals_unref(s);
    }
    return r;
}

/* The descriptor was readable. 0: somebody else has the token. */
static int take_token(sinew_signals *s)
{
    uint64_t token;
    if (read(s->fd, &token, sizeof token) != sizeof token) /* t1 */
        return 0;
    int signal;
    while ((signal = take(s)) == 0)
        if (sn_load(&s->closed, acquire)) { /* it was the one for all who wait */
            add_token(s);
            return -EPIPE;
        }
    return signal;
}

int sinew_signal_next(sinew_signals *s)
{
    if (!s)
        return -EINVAL;
    sn_signals_ref(s);
    int r = 0;
    while (r == 0) {
        r = sn_load(&s->closed, acquire) ? -EPIPE : sinew_poll(s->fd, POLLIN);
        if (r > 0)
            r = take_token(s);
    }
    sn_tsan_acquire(s);
    sn_signals_unref(s);
    return r;
}

int sinew_signal_close(sinew_signals *s)
{
    if (!s)
        return -EINVAL;
    sn_signals_shut(s);
    sn_signals_unref(s);
    return 0;
}

int sinew_signal_wait(const int *signals, size_t count)
{
    sinew_signals *s;
    int r = sinew_signal_open(signals, count, &s);
    if (r != 0)
        return r;
    r = sinew_signal_next(s);
    sinew_signal_close(s);
    return r;
}
