/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Handlers of signals: each is a listener and a task of its runtime that waits for it, and runs the function as a task
 * of its own at each arrival.
 *
 *   LISTED --removed, or its task is cancelled--> off the list, listener shut --its task ends--> freed
 *
 * The function may be another one from one arrival to the next (a handler that is replaced keeps its listener, so none
 * is missed), and is looked up, under the lock, when it is to run. The waiting task frees the handler. It is started
 * inside of sinew_signal_handle: one that had not begun when the runtime ends never would.
 */
#include "io/signal.h"

#include "runtime/inject.h"
#include "runtime/local.h"
#include "runtime/origin.h"
#include "runtime/report.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct call {
    sinew_signal_fn fn;
    void *arg;
    sn_context_values *values; /* a reference */
    int signal;
} call;

typedef struct handler {
    struct handler *next;
    sn_runtime *runtime;
    sinew_signals *listener; /* a reference */
    call call;               /* under the lock; fn is NULL when it is off the list */
} handler;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static handler *handlers;

void sn_handlers_lock(void)
{
    pthread_mutex_lock(&lock);
}

void sn_handlers_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

void sn_handlers_forked(void)
{
    handlers = NULL; /* their tasks are not there */
}

/* --- the list; the lock is held ---------------------------------------------------------------------------------- */

static handler *find(const sn_runtime *rt, int signal)
{
    handler *h = handlers;
    while (h && (h->runtime != rt || h->call.signal != signal))
        h = h->next;
    return h;
}

/* False: it was not there any more. */
static bool unlist(handler *h)
{
    handler **at = &handlers;
    while (*at && *at != h)
        at = &(*at)->next;
    if (!*at)
        return false;
    *at = h->next;
    h->call.fn = NULL;
    return true;
}

/* --- the task that waits ----------------------------------------------------------------------------------------- */

static intptr_t run_call(void *arg)
{
    const call *c = arg;
    return c->fn(c->signal, c->arg);
}

/* As a task that sees the values of who has added the handler. Its result, or -ENOMEM. */
static intptr_t run(sn_runtime *rt, call *c)
{
    sinew_task *t = sn_inject_make(rt, run_call, c, 2);
    if (!t)
        return -ENOMEM;
    t->ext->values = sn_context_ref(c->values);
    if (rt->debug)
        sn_origin_note(t, __builtin_return_address(0));
    if (!sn_inject(rt, t)) {
        sn_inject_drop(rt, t);
        return -ECANCELED;
    }
    return sinew_await(t);
}

static void report(sn_runtime *rt, int signal, intptr_t error)
{
    char name[32];
    snprintf(name, sizeof name, "signal %d", signal);
    sn_report(rt, &(sinew_error_report){.what = "a signal handler failed", .name = name, .error = error});
}

static void end(handler *h)
{
    pthread_mutex_lock(&lock);
    unlist(h);
    pthread_mutex_unlock(&lock);
    sn_signals_shut(h->listener);
    sn_signals_unref(h->listener);
    sn_context_unref(h->call.values);
    free(h);
}

/* The runtime's cancel may have been answered by a run that was under way: the count tells. */
static intptr_t wait_and_run(void *arg)
{
    handler *h = arg;
    while (sinew_cancelling() == 0 && sinew_signal_next(h->listener) > 0) {
        pthread_mutex_lock(&lock);
        call c = h->call;
        sn_context_ref(c.values);
        pthread_mutex_unlock(&lock);
        sn_tsan_acquire(h);
        intptr_t result = c.fn ? run(h->runtime, &c) : 0;
        sn_context_unref(c.values);
        if (result < 0 && result != -ECANCELED)
            report(h->runtime, c.signal, result);
    }
    end(h);
    return 0;
}

/* --- adding and removing ----------------------------------------------------------------------------------------- */

/* True: there was one for that signal, and it has the new call. */
static bool replace(const sn_runtime *rt, call *c)
{
    handler *h = find(rt, c->signal);
    if (!h)
        return false;
    sn_tsan_release(h);
    call before = h->call;
    h->call = *c;
    *c = before;
    return true;
}

static int add(sn_worker *w, call *c)
{
    handler *h = calloc(1, sizeof *h);
    if (!h)
        return -ENOMEM;
    int r = sinew_signal_open(&c->signal, 1, &h->listener);
    if (r != 0) {
        free(h);
        return r;
    }
    h->runtime = w->runtime;
    pthread_mutex_lock(&lock);
    bool replaced = replace(w->runtime, c); /* another task has been faster */
    if (!replaced) {
        h->call = *c;
        c->values = NULL;
        h->next = handlers;
        handlers = h;
    }
    pthread_mutex_unlock(&lock);
    if (replaced) {
        sinew_signal_close(h->listener);
        free(h);
        return 0;
    }
    char name[32];
    snprintf(name, sizeof name, "signal %d", c->signal);
    sinew_spawn_options opt = {.name = name, .eager = true};
    sinew_task *t = sinew_spawn_with(&opt, wait_and_run, h);
    if (!t || sinew_result(t) == -ENOMEM) { /* nobody has begun to */
        end(h);
        r = -ENOMEM;
    }
    sinew_detach(t);
    return r;
}

int sinew_signal_handle(int signal, sinew_signal_fn fn, void *arg)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    if (!fn)
        return -EINVAL;
    call c = {.fn = fn, .arg = arg, .values = sn_context_ref(sn_context_current()), .signal = signal};
    pthread_mutex_lock(&lock);
    bool replaced = replace(w->runtime, &c);
    pthread_mutex_unlock(&lock);
    int r = replaced ? 0 : add(w, &c);
    sn_context_unref(c.values);
    return r;
}

int sinew_signal_remove(int signal)
{
    sn_worker *w = sn_worker_of_task();
    if (!w)
        return -EPERM;
    if (signal < 1 || signal >= NSIG)
        return -EINVAL;
    pthread_mutex_lock(&lock);
    handler *h = find(w->runtime, signal);
    sinew_signals *listener = h ? h->listener : NULL;
    if (h) {
        sn_signals_ref(listener); /* the handler may go when it is off the list */
        unlist(h);
    }
    pthread_mutex_unlock(&lock);
    if (!h)
        return 0;
    sinew_signal_close(listener);
    return 1;
}
