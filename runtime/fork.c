/* SPDX-License-Identifier: Apache-2.0 */
/* A forked child: see fork.h. */
#include "runtime/fork.h"

#include "runtime/inspect.h"
#include "runtime/kick.h"

#include <signal.h>

/* Held while a driver is opened or closed, and during each fork. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static sn_worker *opened;
static sigset_t mask_before;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int refused;

static _Thread_local sn_fiber *forked_fiber;

sn_fiber *sn_fork_fiber(void)
{
    return forked_fiber;
}

static void before(void)
{
    pthread_mutex_lock(&lock);
    sigset_t interrupt;
    sigemptyset(&interrupt);
    sigaddset(&interrupt, SIGINT);
    pthread_sigmask(SIG_BLOCK, &interrupt, &mask_before);
}

static void after(void)
{
    sigset_t mask = mask_before;
    pthread_mutex_unlock(&lock);
    pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

static void in_child(void)
{
    sn_worker *w = sn_worker_self_slow();
    if (w) {
        forked_fiber = w->fiber;
        sn_tls_worker = NULL;
    }
    for (sn_worker *o = opened; o; o = o->opened_next)
        o->runtime->driver->forked(o->driver);
    opened = NULL;
    sn_interrupt_forked();
    sn_name_forked();
    sn_inspect_forked();
    after();
    if (w)
        sn_tsan_signals_forked();
}

static void install(void)
{
    refused = pthread_atfork(before, after, in_child);
}

int sn_fork_init(void)
{
    pthread_once(&once, install);
    return -refused;
}

int sn_fork_open_driver(sn_worker *w)
{
    pthread_mutex_lock(&lock);
    int r = w->runtime->driver->open(w, &w->driver);
    if (r == 0) {
        w->opened_next = opened;
        opened = w;
    }
    pthread_mutex_unlock(&lock);
    return r;
}

void sn_fork_close_driver(sn_worker *w)
{
    pthread_mutex_lock(&lock);
    for (sn_worker **at = &opened; *at; at = &(*at)->opened_next)
        if (*at == w) {
            *at = w->opened_next;
            break;
        }
    w->runtime->driver->close(w->driver);
    pthread_mutex_unlock(&lock);
}
