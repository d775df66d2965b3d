/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Servers. One task accepts; each connection is a task of its own, which idle workers steal.
 *
 * References: of the handle, of the task that accepts, of each connection. Under the lock: the list of connections, the
 * states below, who waits.
 *
 *   NEW --begin--> ACCEPTING --close, a lasting error, the end of the accepting task--> CLOSED
 *    `--close------------------------------------------------------------------------^
 *
 * The listening descriptor is closed by the accepting task when it ends, or, if there never was one, by whoever closes
 * the server. Until the task gets there the socket is shut down already: new connections are refused.
 *
 * The tasks here begin also when the runtime ends (SN_TASK_CALLBACK), since they own descriptors and memory; they are
 * then cancelled like others.
 *
 * A connection is on the list from its accept to the end of its task, which comes when its stream is closed. Calls for
 * all connections take a reference to each one's stream and task, and do their work without the lock.
 *
 * What a handler has buffered goes out before its connection ends. One that was cancelled does not wait for that: it
 * may be the runtime that is ending, and the peer may never read.
 */
#include "io/stream.h"
#include "runtime/report.h"
#include "runtime/task_hot.h"

#include <sinew/errno.h>
#include <sinew/io.h>
#include <sinew/net.h>
#include <sinew/server.h>
#include <sinew/time.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define PAUSE SINEW_S(1) /* after accepting has failed for lack of something */

enum { BACKLOG = 4096 };

typedef struct connection {
    struct connection *next, *previous;
    sinew_server *server;
    sinew_stream *stream;
    sinew_task *task; /* NULL: not begun; a reference */
    bool cancelled;   /* before it had begun */
} connection;

enum { NEW, ACCEPTING, CLOSED };

struct sinew_server {
    int listener; /* of the accepting task, once there is one */
    int port;
    sinew_stream_handler handler;
    void *arg;
    sinew_stream_options stream;
    size_t connections_max; /* SIZE_MAX: any */
    _Atomic uint32_t references;

    sn_lock lock;
    int state;
    bool serving; /* a task is in sinew_server_serve */
    _Atomic uint32_t closing;
    int error;             /* that ended accepting */
    sinew_task *accepting; /* a reference */
    bool begun;            /* that task has: one that has not would never begin after a cancel */
    connection *first;
    _Atomic size_t open;
    _Atomic uint64_t accepted;
    sn_waitq room;    /* the accepting task waits for a connection to end */
    sn_waitq waiters; /* for CLOSED and no connection */
};

SN_INLINE bool lock(sinew_server *s)
{
    return sn_lock_take(&s->lock, sn_worker_self());
}

SN_INLINE void unlock(sinew_server *s, bool biased)
{
    sn_lock_give(&s->lock, biased);
}

static void unref(sinew_server *s)
{
    if (sn_sub(&s->references, 1, acq_rel) == 1)
        free(s);
}

/* All that wait in q, if it is time. The lock is held; they are granted after it. */
static sn_waiting *let_go(sn_waitq *q, bool now)
{
    sn_waiting *wake = NULL, **end = &wake;
    for (sn_waiting *n; now && (n = sn_waitq_pop(q)) != NULL; end = &n->next) {
        n->next = NULL;
        *end = n;
    }
    return wake;
}

static sn_waiting *let_waiters_go(sinew_server *s)
{
    sn_tsan_release(s);
    return let_go(&s->waiters, s->state == CLOSED && !s->accepting && sn_load(&s->open, relaxed) == 0);
}

/* Waits in q. The lock is held and given up. */
static int wait_in(sinew_server *s, sn_waitq *q, bool biased)
{
    sn_worker *w = sn_worker_self();
    sn_waiting self;
    sn_waiting_init(&self, w->fiber);
    sn_waitq_push(q, &self);
    unlock(s, biased);
    return sn_waitq_wait(q, &s->lock, &self, w);
}

/* A task that begins in any case. NULL: no memory. Its handle is to be detached. */
static sinew_task *task_new(sn_worker *w, sinew_fn fn, void *arg)
{
    sinew_task *t = sn_runq_reserve(&w->runq) ? sn_task_make(w, fn, arg) : NULL;
    if (t)
        t->flags |= SN_TASK_CALLBACK;
    return t;
}

static void report(const char *what, int error)
{
    sinew_task *self = sinew_self();
    sn_report_failed(sn_task_runtime(self), self, what, error);
}

/* --- one connection ----------------------------------------------------------------------------------------------- */

static void connection_end(connection *c)
{
    sinew_server *s = c->server;
    bool biased = lock(s); /* who finds it on the list takes a reference to its stream, so that goes after it */
    *(c->previous ? &c->previous->next : &s->first) = c->next;
    if (c->next)
        c->next->previous = c->previous;
    sn_store(&s->open, sn_load(&s->open, relaxed) - 1, relaxed);
    sinew_task *self = c->task;
    sn_waiting *room = let_go(&s->room, true), *wake = let_waiters_go(s);
    unlock(s, biased);
    sinew_stream_unref(c->stream);
    sn_stream_grant(room);
    sn_stream_grant(wake);
    sinew_detach(self);
    free(c);
    unref(s);
}

/* The handler has returned: what it has buffered goes out, then the stream is closed. */
static void finish(sinew_stream *stream, intptr_t result)
{
    if (result == -ECANCELED) {
        sn_stream_give_up(stream);
        return;
    }
    sinew_stream_close(stream);
    int r = sinew_stream_wait_closed(stream);
    if (r == -ECANCELED || r == -ETIMEDOUT || r == -EDEADLK)
        sn_stream_give_up(stream);
}

static intptr_t serve_connection(void *arg)
{
    connection *c = arg;
    sinew_server *s = c->server;
    bool biased = lock(s);
    c->task = sinew_ref(sinew_self());
    bool cancelled = c->cancelled;
    unlock(s, biased);
    intptr_t result = cancelled ? -ECANCELED : s->handler(c->stream, s->arg);
    if (result < 0 && result != -ECANCELED)
        report("the handler of a connection failed", (int)result);
    finish(c->stream, result);
    connection_end(c);
    return 0;
}

/* On the list, unless the server has been closed: who closes its connections has been by already. */
static bool enlist(sinew_server *s, connection *c)
{
    bool biased = lock(s);
    bool open = s->state != CLOSED;
    if (open) {
        sn_add(&s->references, 1, relaxed);
        c->next = s->first;
        if (c->next)
            c->next->previous = c;
        s->first = c;
        sn_store(&s->open, sn_load(&s->open, relaxed) + 1, relaxed);
        sn_store(&s->accepted, sn_load(&s->accepted, relaxed) + 1, relaxed);
    }
    unlock(s, biased);
    return open;
}

/* 0, or -ENOMEM: the descriptor stays the caller's; or another error: it is closed. */
static int connection_begin(sinew_server *s, int fd)
{
    connection *c = calloc(1, sizeof *c);
    if (!c)
        return -ENOMEM;
    int r = sinew_stream_open(fd, &s->stream, &c->stream);
    if (r != 0)
        goto no_stream;
    sn_worker *w = sn_worker_self();
    sinew_task *t = task_new(w, serve_connection, c);
    if (!t) {
        r = -ENOBUFS;
        goto no_task;
    }
    c->server = s;
    if (!enlist(s, c)) {
        sn_task_unmake(w, t);
        r = -ESHUTDOWN;
        goto no_task;
    }
    sn_task_push(w, t);
    sinew_detach(t);
    return 0;
no_task:
    sinew_stream_unref(c->stream); /* with the descriptor */
no_stream:
    free(c);
    return r;
}

/* --- accepting ---------------------------------------------------------------------------------------------------- */

typedef enum verdict { AGAIN, SHORTAGE, OVER } verdict;

static verdict judge(int error)
{
    switch (error) {
    case -EMFILE:
    case -ENFILE:
    case -ENOBUFS:
    case -ENOMEM:
    case -EAGAIN: /* no thread, for a driver that accepts in one */
        return SHORTAGE;
    case -EBADF:
    case -EINVAL:
    case -ENOTSOCK:
    case -EOPNOTSUPP:
    case -EFAULT:
    case -ECANCELED:
    case -ETIMEDOUT:
    case -EDEADLK:
        return OVER;
    default: /* the connection is gone already, or its network's trouble shows here: accept(2) says, try again */
        return AGAIN;
    }
}

/* Waits until one more connection may be open. */
static int wait_for_room(sinew_server *s)
{
    int r = 0;
    while (r == 0) {
        bool biased = lock(s);
        if (sn_load(&s->open, relaxed) < s->connections_max || s->state == CLOSED) {
            unlock(s, biased);
            return 0;
        }
        r = wait_in(s, &s->room, biased);
    }
    return r;
}

static bool is_closed(sinew_server *s)
{
    bool biased = lock(s);
    bool closed = s->state == CLOSED;
    unlock(s, biased);
    return closed;
}

/* 0, or the error that ends it. */
static int accept_all(sinew_server *s)
{
    for (;;) {
        int r = wait_for_room(s);
        if (r == 0 && is_closed(s))
            return 0;
        if (r == 0)
            r = sinew_accept(s->listener, NULL, NULL, 0);
        int fd = r;
        if (fd >= 0) {
            r = connection_begin(s, fd);
            if (r == -ENOMEM)
                close(fd);
        }
        if (r >= 0)
            continue;
        if (is_closed(s))
            return 0;
        switch (judge(r)) {
        case AGAIN:
            break;
        case SHORTAGE:
            report("accepting connections failed, and goes on in a second", r);
            r = sinew_sleep(PAUSE);
            if (r < 0)
                return is_closed(s) ? 0 : r;
            break;
        case OVER:
            return r;
        }
    }
}

static intptr_t accept_task(void *arg)
{
    sinew_server *s = arg;
    bool biased = lock(s);
    s->begun = true;
    unlock(s, biased);
    int error = accept_all(s);
    if (error < 0 && error != -ECANCELED)
        report("a server has stopped accepting connections", error);
    biased = lock(s);
    int listener = s->listener;
    s->listener = -1; /* from here on nobody shuts it down */
    unlock(s, biased);
    close(listener);
    biased = lock(s);
    s->state = CLOSED;
    s->error = error;
    sinew_task *self = s->accepting;
    s->accepting = NULL;
    sn_store(&s->closing, 1, relaxed);
    sn_waiting *wake = let_waiters_go(s);
    unlock(s, biased);
    sn_stream_grant(wake);
    sinew_detach(self);
    unref(s);
    return 0;
}

/* A listener that is bound and does not listen yet begins to. */
static int listen_if_not(int listener)
{
    int listening = 0;
    socklen_t length = sizeof listening;
    if (getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &listening, &length) != 0)
        return -errno;
    return listening || listen(listener, BACKLOG) == 0 ? 0 : -errno;
}

/* --- the public calls --------------------------------------------------------------------------------------------- */

static int check(const sinew_server *s)
{
    if (!s)
        return -EINVAL;
    return sn_worker_of_task() ? 0 : -EPERM;
}

int sinew_server_begin(sinew_server *s)
{
    int r = check(s);
    if (r != 0)
        return r;
    sn_worker *w = sn_worker_self();
    sinew_task *t = task_new(w, accept_task, s);
    if (!t)
        return -ENOMEM;
    bool biased = lock(s);
    bool begin = s->state == NEW;
    r = s->state == CLOSED ? -ESHUTDOWN : begin ? listen_if_not(s->listener) : 0;
    begin = begin && r == 0;
    if (begin) {
        s->state = ACCEPTING;
        s->accepting = t;
        sn_add(&s->references, 1, relaxed);
    }
    unlock(s, biased);
    if (begin)
        sn_task_push(w, t);
    else
        sn_task_unmake(w, t);
    return r;
}

int sinew_server_start(int listener, const sinew_server_options *opt, sinew_stream_handler handler, void *arg,
                       sinew_server **out)
{
    if (out)
        *out = NULL;
    if (!handler || !out || (opt && !sn_stream_options_valid(&opt->stream)))
        return -EINVAL;
    if (!sn_worker_of_task())
        return -EPERM;
    if (listener < -1) /* an error of sinew_listen */
        return listener;
    int type;
    socklen_t length = sizeof type;
    if (getsockopt(listener, SOL_SOCKET, SO_TYPE, &type, &length) != 0)
        return -errno;
    sinew_server *s = calloc(1, sizeof *s);
    if (!s)
        return -ENOMEM;
    s->listener = listener;
    int port = sinew_local_port(listener);
    s->port = port > 0 ? port : 0;
    s->handler = handler;
    s->arg = arg;
    if (opt)
        s->stream = opt->stream;
    s->connections_max = opt && opt->connections_max ? opt->connections_max : SIZE_MAX;
    sn_store(&s->references, 1, relaxed);
    int on = 1;
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* connections inherit it */
    int r = opt && opt->start_later ? 0 : sinew_server_begin(s);
    if (r != 0) {
        free(s);
        return r;
    }
    *out = s;
    return 0;
}

int sinew_server_close(sinew_server *s)
{
    int r = check(s);
    if (r != 0)
        return r;
    bool biased = lock(s);
    int listener = s->state == NEW ? s->listener : -1;
    if (listener >= 0)
        s->listener = -1;
    else if (s->listener >= 0)
        shutdown(s->listener,
                 SHUT_RDWR); /* a system call under the lock, or the descriptor might be another one by now */
    sinew_task *accepting = s->state == ACCEPTING && s->begun ? sinew_ref(s->accepting) : NULL;
    s->state = CLOSED;
    sn_store(&s->closing, 1, relaxed);
    sn_waiting *wake = let_waiters_go(s);
    unlock(s, biased);
    if (listener >= 0)
        close(listener);
    sn_stream_grant(wake);
    sinew_cancel(accepting);
    sinew_detach(accepting);
    return 0;
}

int sinew_server_wait_closed(sinew_server *s)
{
    int r = check(s);
    if (r != 0)
        return r;
    bool biased = lock(s);
    if (s->state == CLOSED && !s->accepting && sn_load(&s->open, relaxed) == 0) {
        sn_tsan_acquire(s);
        unlock(s, biased);
        return 0;
    }
    r = wait_in(s, &s->waiters, biased);
    if (r == 0)
        sn_tsan_acquire(s);
    return r;
}

typedef enum deed { END_IDLE, CLOSE, ABORT, CUT } deed;

typedef struct subject {
    sinew_stream *stream;
    sinew_task *task;
} subject;

/* To each connection that is open now. How many there were, or -ENOMEM. */
static int do_to_all(sinew_server *s, deed what)
{
    size_t room = 0, n;
    subject *subjects = NULL;
    bool biased;
    for (;;) {
        biased = lock(s);
        n = sn_load(&s->open, relaxed);
        if (n <= room)
            break;
        unlock(s, biased);
        free(subjects);
        room = n + n / 8;
        subjects = malloc(room * sizeof *subjects);
        if (!subjects)
            return -ENOMEM;
    }
    n = 0;
    for (connection *c = s->first; c; c = c->next) {
        subjects[n++] = (subject){sinew_stream_ref(c->stream), what == CUT ? sinew_ref(c->task) : NULL};
        c->cancelled |= what == CUT;
    }
    unlock(s, biased);
    for (size_t i = 0; i < n; i++) {
        sinew_stream *stream = subjects[i].stream;
        if (what == END_IDLE)
            sn_stream_end_idle(stream);
        else if (what == CLOSE)
            sinew_stream_close(stream);
        else
            sinew_stream_abort(stream);
        sinew_cancel(subjects[i].task);
        sinew_detach(subjects[i].task);
        sinew_stream_unref(stream);
    }
    free(subjects);
    return (int)n;
}

int sinew_server_close_clients(sinew_server *s)
{
    int r = check(s);
    if (r == 0)
        r = do_to_all(s, CLOSE);
    return r < 0 ? r : 0;
}

int sinew_server_abort_clients(sinew_server *s)
{
    int r = check(s);
    if (r == 0)
        r = do_to_all(s, ABORT);
    return r < 0 ? r : 0;
}

/* Waits for the last connection; what the caller is asked meanwhile is passed on to them. */
static void see_out(sinew_server *s)
{
    while (sinew_server_wait_closed(s) != 0)
        do_to_all(s, CUT);
}

int sinew_server_serve(sinew_server *s)
{
    int r = check(s);
    if (r != 0)
        return r;
    bool biased = lock(s);
    r = s->state == CLOSED ? -ESHUTDOWN : s->serving ? -EBUSY : 0;
    s->serving |= r == 0;
    unlock(s, biased);
    if (r != 0)
        return r;
    r = sinew_server_begin(s);
    if (r == 0)
        r = sinew_server_wait_closed(s);
    if (r == -ECANCELED || r == -ETIMEDOUT || r == -EDEADLK) {
        sinew_server_close(s);
        do_to_all(s, CLOSE);
        see_out(s);
    }
    biased = lock(s);
    s->serving = false;
    if (r == 0)
        r = s->error;
    unlock(s, biased);
    return r;
}

int sinew_serve(int listener, sinew_stream_handler handler, void *arg)
{
    sinew_server *s;
    int r = sinew_server_start(listener, NULL, handler, arg, &s);
    if (r != 0)
        return r;
    r = sinew_server_serve(s);
    sinew_server_free(s);
    return r;
}

int sinew_server_drain(sinew_server *s, sinew_time limit)
{
    int r = check(s);
    if (r != 0)
        return r;
    sinew_server_close(s);
    r = do_to_all(s, END_IDLE);
    if (r < 0)
        return r;
    sinew_timeout scope;
    sinew_timeout_begin(&scope, limit);
    r = sinew_server_wait_closed(s);
    bool expired = sinew_timeout_end(&scope) == -ETIMEDOUT;
    if (r == 0 || !expired)
        return r;
    int cut = do_to_all(s, CUT);
    r = sinew_server_wait_closed(s);
    return r < 0 ? r : cut;
}

bool sinew_server_is_closing(const sinew_server *s)
{
    return !s || sn_load(&((sinew_server *)(uintptr_t)s)->closing, relaxed);
}

int sinew_server_port(const sinew_server *s)
{
    return s ? s->port : -EINVAL;
}

size_t sinew_server_connections(const sinew_server *s)
{
    return s ? sn_load(&((sinew_server *)(uintptr_t)s)->open, relaxed) : 0;
}

uint64_t sinew_server_accepted(const sinew_server *s)
{
    return s ? sn_load(&((sinew_server *)(uintptr_t)s)->accepted, relaxed) : 0;
}

void sinew_server_free(sinew_server *s)
{
    if (!s)
        return;
    sinew_server_close(s);
    unref(s);
}
