/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A connection that waits for a request costs its socket and its waiting task; the buffers are taken when it comes.
 *
 * A request without a body is sent on, then the response is sent back, by one task. A body is sent by a second task at
 * the same time, for a target may answer before it has read all of it: because it refuses it, or because it transforms
 * it on the fly. When the response is complete and the body is not, both connections are closed after it.
 */
#include "http.h"

#include "exchange.h"
#include "settings.h"

#include <sinew.h>
#include <sinew/errno.h>

#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>

/* --- waiting for requests ----------------------------------------------------------------------------------------- */

/* The connections that wait, on their tasks' stacks. */
typedef struct waiting {
    int fd;
    struct waiting *next, *previous;
} waiting;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* held for short, and never across a call that suspends */
static waiting list = {.next = &list, .previous = &list};

/* False: the proxy stops, and there is nothing to wait for. */
static bool enter(waiting *w)
{
    pthread_mutex_lock(&lock);
    bool entered = !atomic_load(&draining);
    if (entered) {
        w->next = &list;
        w->previous = list.previous;
        w->previous->next = list.previous = w;
    }
    pthread_mutex_unlock(&lock);
    return entered;
}

static void leave(waiting *w)
{
    pthread_mutex_lock(&lock);
    w->previous->next = w->next;
    w->next->previous = w->previous;
    pthread_mutex_unlock(&lock);
}

void http_drain(void)
{
    pthread_mutex_lock(&lock);
    atomic_store(&draining, true);
    for (waiting *w = list.next; w != &list; w = w->next)
        shutdown(w->fd, SHUT_RD); /* it finds the end of its stream; a request that is there already is served */
    pthread_mutex_unlock(&lock);
}

/* 0: there is input, or the end of it. */
static int wait_for_request(int fd)
{
    waiting w = {.fd = fd};
    if (!enter(&w))
        return poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0) > 0 ? 0 : -ECONNABORTED;
    sinew_timeout limit;
    sinew_timeout_begin(&limit, settings.idle_timeout);
    int ready = sinew_poll(fd, POLLIN);
    (void)sinew_timeout_end(&limit); /* then `ready` says so */
    leave(&w);
    return ready < 0 ? ready : 0;
}

/* --- a connection ------------------------------------------------------------------------------------------------- */

int http_serve(int fd, const client *who)
{
    int next;
    do {
        if (wait_for_request(fd) < 0)
            return 0; /* nobody waits for an answer */
        exchange *x = exchange_new(fd, who);
        if (!x)
            return -ENOMEM;
        do
            next = exchange_run(x);
        while (next > 0 && exchange_has_input(x)); /* the client did not wait for the response */
        exchange_free(x);
    } while (next > 0);
    return next;
}
