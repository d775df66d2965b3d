/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams: opening, closing, who owns what. stream_read.c reads, stream_write.c writes.
 *
 * Two halves. The reading half belongs to whoever has set `reading`, one task at a time, and needs no lock. The rest is
 * under the lock, which is held for a few instructions (and the copy of a small write).
 *
 * Reading. A stream that waits has no buffer: the transport hands one over when data is there (receive.h), and calls
 * return pointers into it. Only what spans more than one such buffer is copied into a block of the stream's own, which
 * goes when it is empty. Nothing is read ahead, so there is nothing to pause: flow control is the kernel's.
 *
 * Writing. Pieces in a list; small writes go into the last one. A piece's end may move while its beginning is being
 * sent, so writers need not wait for the sender. The sender is whoever has set `busy`:
 *
 *   the flusher   a task that the first write into an empty buffer queues on its worker, without waking another
 *                 worker for it: it runs when the writer suspends. It waits for room as long as it takes.
 *   send_now      a task that is about to wait, in a read or a drain, or that closes, or that has written a lot:
 *                 sends what goes without waiting. If that is all, it takes the flusher out of the queue again. So a
 *                 server that answers and then reads pays for a spawn and for taking it back, and for no switch.
 *
 *   Invariant (A): the lock is free, something is unsent, the connection not lost  =>  `busy`, or there is a flusher.
 *   A reader that finds the peer's window full goes on reading and leaves the rest to the flusher: were it to wait, two
 *   sides that both send first would wait for ever.
 *
 * The end. What is wanted (`ending`, `draining`, `closing`, `aborted`, `unowned`) and what was done (`end_said`, ...)
 * are flags. Whoever changes one, or leaves the transport, asks sn_stream_next under the lock what follows; that claims
 * it (`busy`, `stopping`) for the caller, who does it outside of the lock and asks again. So each call of the transport
 * is made once, by whoever came last, and `close` only with nobody inside:
 *
 *   aborted                                                 -> stop, hard     at any time
 *   ending, or closing with a goodbye; nothing unsent       -> shutdown
 *   closing; nothing unsent; a task receives                -> stop           that task finds the end and comes by
 *   closing; nothing unsent; nobody inside                  -> close
 *   closed, unowned, no flusher                             -> free
 *
 * The flusher has no counted reference: a stream is not freed while there is one, or while it is busy.
 *
 * When the runtime ends. A flusher begins also then (as callbacks do) and is cancelled where it waits: it sends what
 * goes without waiting and drops the rest.
 *
 * Rejected: waking another worker for the flusher (a system call for each answer, and the answer's data in another
 * CPU's cache); sending inside of each write, as asyncio does (a system call for each, where three writes make one
 * answer); one buffer that grows (it cannot move while the kernel reads it).
 *
 * ThreadSanitizer: who reads after another acquires `reading` from it; drain, flush and wait_closed acquire the stream
 * from whoever let them go on; the last reference acquires from the others. Transports may be made of code that is
 * looked at, so who is inside acquires `receiving` or `busy` from who was before.
 */
#include "io/stream.h"

#include <sinew/net.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { LIMIT = 65536, WRITE_HIGH = 65536 };

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* NULL: no memory. */
static sinew_stream *stream_new(const sinew_stream_options *opt)
{
    sinew_stream *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->limit = opt && opt->limit ? opt->limit : LIMIT;
    s->high = opt && opt->write_high ? opt->write_high : WRITE_HIGH;
    s->low = opt && opt->write_low ? opt->write_low : s->high / 4;
    sn_store(&s->references, 1, relaxed); /* published by whatever passes the handle on */
    return s;
}

bool sn_stream_options_valid(const sinew_stream_options *opt)
{
    return !opt || opt->write_low <= (opt->write_high ? opt->write_high : WRITE_HIGH);
}

static int check(const sinew_stream_options *opt, sinew_stream **out)
{
    if (!out)
        return -EINVAL;
    *out = NULL;
    return sn_stream_options_valid(opt) ? 0 : -EINVAL;
}

/* `transport` NULL: it is to be the stream's own. */
static int open_over(sinew_transport *transport, const sinew_stream_options *opt, sinew_stream **out)
{
    int r = check(opt, out);
    if (r != 0)
        return r;
    sinew_stream *s = stream_new(opt);
    if (!s)
        return -ENOMEM;
    s->transport = transport ? transport : &s->socket;
    *out = s;
    return 0;
}

int sinew_stream_over(sinew_transport *transport, const sinew_stream_options *opt, sinew_stream **out)
{
    if (out)
        *out = NULL;
    return transport && transport->ops ? open_over(transport, opt, out) : -EINVAL;
}

static bool is_stream_socket(int fd)
{
    int type = 0;
    socklen_t length = sizeof type;
    return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0 && (type == SOCK_STREAM || type == SOCK_SEQPACKET);
}

int sinew_stream_open(int fd, const sinew_stream_options *opt, sinew_stream **out)
{
    if (!is_stream_socket(fd))
        return fd < 0 ? -EBADF : sinew_stream_open_pair(fd, fd, opt, out);
    int r = open_over(NULL, opt, out);
    if (r == 0)
        sn_transport_socket(&(*out)->socket, fd);
    return r;
}

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

int sinew_stream_open_pair(int read_fd, int write_fd, const sinew_stream_options *opt, sinew_stream **out)
{
    int r = check(opt, out);
    if (r != 0)
        return r;
    if (read_fd < -1 || write_fd < -1 || (read_fd >= 0 && !is_open(read_fd)) || (write_fd >= 0 && !is_open(write_fd)))
        return -EBADF;
    if (read_fd == write_fd && is_stream_socket(read_fd))
        return sinew_stream_open(read_fd, opt, out);
    sinew_transport *t = sn_transport_pair(read_fd, write_fd);
    if (!t)
        return -ENOMEM;
    r = open_over(t, opt, out);
    if (r != 0)
        free(t);
    return r;
}

int sinew_stream_dial(const char *address, const sinew_stream_options *opt, sinew_stream **out)
{
    int r = check(opt, out);
    if (r != 0)
        return r;
    int fd = sinew_dial(address);
    if (fd < 0)
        return fd;
    r = sinew_stream_open(fd, opt, out);
    if (r != 0)
        close(fd);
    return r;
}

/* --- what follows ------------------------------------------------------------------------------------------------- */

sn_stream_todo sn_stream_next(sinew_stream *s)
{
    if (!s->stopping && !s->fd_closed) {
        if (s->aborted && !s->stopped_hard) {
            s->stopping = s->stopped_hard = s->stopped = true;
            return SN_STREAM_STOP_HARD;
        }
        if (s->draining && s->idle && !s->receiving_stopped) {
            s->stopping = s->receiving_stopped = true;
            return SN_STREAM_STOP_RECEIVING;
        }
    }
    if (s->busy || s->stopping || s->first)
        return SN_STREAM_NOTHING;
    if (s->fd_closed) /* and the transport is gone */
        return s->unowned && !sn_load(&s->flusher, relaxed) ? SN_STREAM_FREE : SN_STREAM_NOTHING;
    bool end = s->ending || (s->closing && s->transport->ops->says_goodbye);
    if (end && !s->end_said && !s->lost && !s->aborted) {
        s->busy = true;
        sn_tsan_acquire(&s->busy);
        return s->closing ? SN_STREAM_SAY_GOODBYE : SN_STREAM_SAY_END;
    }
    if (!s->closing)
        return SN_STREAM_NOTHING;
    if (!s->receiving) {
        s->busy = s->fd_closed = true;
        sn_tsan_acquire(&s->busy);
        sn_tsan_acquire(&s->receiving);
        return SN_STREAM_CLOSE;
    }
    if (s->stopped)
        return SN_STREAM_NOTHING; /* who receives comes by */
    s->stopping = s->stopped = true;
    return SN_STREAM_STOP;
}

static void stream_free(sinew_stream *s)
{
    SN_CHECK(!s->receiving && !s->drainers.first && !s->closers.first,
             "sinew_stream_unref: the last reference was dropped while somebody is in a call of the stream");
    if (s->received.data)
        sn_received_release(&s->received);
    for (sinew_transport *t = s->transport, *below; t; t = below) {
        below = t->below;
        if (t->ops->free)
            t->ops->free(t);
    }
    free(s->block);
    free(s);
}

/* One step of sn_stream_act: what follows it. */
static sn_stream_todo act_once(sinew_stream *s, sn_stream_todo todo, bool wait)
{
    sinew_transport *t = s->transport;
    bool end = todo == SN_STREAM_SAY_END || todo == SN_STREAM_SAY_GOODBYE, later = false;
    switch (todo) {
    case SN_STREAM_STOP_RECEIVING:
        t->ops->stop(t, SINEW_STOP_RECEIVING);
        break;
    case SN_STREAM_STOP:
        t->ops->stop(t, SINEW_STOP);
        break;
    case SN_STREAM_STOP_HARD:
        t->ops->stop(t, SINEW_STOP_HARD);
        break;
    case SN_STREAM_SAY_END:
    case SN_STREAM_SAY_GOODBYE:
        later = t->ops->shutdown(t, wait, todo == SN_STREAM_SAY_GOODBYE) == -EAGAIN && !wait;
        break;
    case SN_STREAM_CLOSE:
        t->ops->close(t);
        break;
    case SN_STREAM_NOTHING:
    case SN_STREAM_FREE:
        break;
    }
    sn_waiting *wake = NULL;
    bool biased = sn_stream_lock(s);
    while (later && !sn_load(&s->flusher, relaxed)) { /* or one came while this was busy, and is gone */
        sn_stream_unlock(s, biased);
        later = sn_stream_send_later(s);
        biased = sn_stream_lock(s);
    }
    sn_tsan_release(&s->busy);
    if (end || todo == SN_STREAM_CLOSE)
        s->busy = false;
    else
        s->stopping = false;
    if (end)
        s->end_said = !later;
    if (todo == SN_STREAM_CLOSE) {
        s->closed = true;
        wake = sn_stream_wake_closers(s);
    }
    sn_stream_todo next = later ? SN_STREAM_NOTHING : sn_stream_next(s);
    sn_stream_unlock(s, biased); /* with nothing more to do the stream may be gone after this */
    sn_stream_grant(wake);
    return next;
}

void sn_stream_act(sinew_stream *s, sn_stream_todo todo, bool wait)
{
    while (todo != SN_STREAM_NOTHING && todo != SN_STREAM_FREE)
        todo = act_once(s, todo, wait);
    if (todo == SN_STREAM_FREE) {
        sn_tsan_acquire(s); /* all who had references */
        stream_free(s);
    }
}

/* --- closing ------------------------------------------------------------------------------------------------------ */

sinew_stream *sinew_stream_ref(sinew_stream *s)
{
    if (s)
        sn_add(&s->references, 1, relaxed); /* the caller's own keeps it alive */
    return s;
}

void sinew_stream_unref(sinew_stream *s)
{
    if (!s)
        return;
    sn_tsan_release(s);
    if (sn_sub(&s->references, 1, acq_rel) != 1)
        return;
    sn_tsan_acquire(s);
    if (sn_worker_of_task())
        sn_stream_send_now(s);
    bool biased = sn_stream_lock(s);
    s->closing = s->unowned = true;
    sn_stream_todo todo = sn_stream_next(s);
    sn_stream_unlock(s, biased);
    sn_stream_act(s, todo, false);
}

int sinew_stream_close(sinew_stream *s)
{
    if (!s)
        return -EINVAL;
    if (!sn_worker_of_task())
        return -EPERM;
    sn_stream_send_now(s);
    bool biased = sn_stream_lock(s);
    s->closing = true;
    sn_stream_todo todo = sn_stream_next(s);
    sn_stream_unlock(s, biased);
    sn_stream_act(s, todo, false);
    return 0;
}

int sinew_stream_abort(sinew_stream *s)
{
    if (!s)
        return -EINVAL;
    if (!sn_worker_of_task())
        return -EPERM;
    bool biased = sn_stream_lock(s);
    s->closing = s->aborted = true;
    sn_piece *dropped = s->busy ? NULL : sn_stream_drop(s); /* who is sending drops it */
    sn_waiting *wake = sn_stream_wake_drainers(s);
    sn_stream_todo todo = sn_stream_next(s);
    sn_stream_unlock(s, biased);
    sn_stream_free_pieces(dropped);
    sn_stream_act(s, todo, false);
    sn_stream_grant(wake);
    return 0;
}

void sn_stream_give_up(sinew_stream *s)
{
    sn_stream_send_now(s);
    if (sinew_stream_unsent(s))
        sinew_stream_abort(s);
    else
        sinew_stream_close(s);
}

void sn_stream_end_idle(sinew_stream *s)
{
    bool biased = sn_stream_lock(s);
    s->draining = true;
    sn_stream_todo todo = sn_stream_next(s);
    sn_stream_unlock(s, biased);
    sn_stream_act(s, todo, false);
}

int sinew_stream_wait_closed(sinew_stream *s)
{
    sn_worker *w = sn_worker_of_task();
    if (!s)
        return -EINVAL;
    if (!w)
        return -EPERM;
    sn_stream_wait self = {.result = 0};
    bool biased = sn_lock_take(&s->lock, w);
    if (s->closed) {
        self.result = s->lost;
        sn_tsan_acquire(s);
        sn_lock_give(&s->lock, biased);
        return self.result;
    }
    sn_waiting_init(&self.waiting, w->fiber);
    sn_waitq_push(&s->closers, &self.waiting);
    sn_lock_give(&s->lock, biased);
    int code = sn_waitq_wait(&s->closers, &s->lock, &self.waiting, w);
    if (code)
        return code;
    sn_tsan_acquire(s);
    return self.result;
}

sn_waiting *sn_stream_wake_closers(sinew_stream *s)
{
    sn_waiting *wake = NULL, **end = &wake;
    sn_tsan_release(s);
    for (sn_waiting *n; (n = sn_waitq_pop(&s->closers)) != NULL; end = &n->next) {
        SN_CONTAINER(n, sn_stream_wait, waiting)->result = s->lost;
        n->next = NULL;
        *end = n;
    }
    return wake;
}

void sn_stream_grant(sn_waiting *wake)
{
    while (wake) {
        sn_waiting *next = wake->next;
        sn_waiting_grant(wake);
        wake = next;
    }
}

/* --- asking ------------------------------------------------------------------------------------------------------- */

bool sinew_stream_is_closing(sinew_stream *s)
{
    if (!s)
        return true;
    bool biased = sn_stream_lock(s);
    bool closing = s->closing || s->lost;
    sn_stream_unlock(s, biased);
    return closing;
}

int sinew_stream_fd(sinew_stream *s)
{
    if (!s)
        return -EINVAL;
    bool biased = sn_stream_lock(s);
    int fd = s->fd_closed ? -1 : s->transport->read_fd;
    sn_stream_unlock(s, biased);
    return fd;
}

typedef union any_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
} any_address;

static int print_address(const any_address *a, socklen_t length, char *text, size_t size)
{
    char host[INET6_ADDRSTRLEN];
    switch (a->any.sa_family) {
    case AF_INET:
        inet_ntop(AF_INET, &a->v4.sin_addr, host, sizeof host);
        return snprintf(text, size, "%s:%d", host, ntohs(a->v4.sin_port));
    case AF_INET6:
        inet_ntop(AF_INET6, &a->v6.sin6_addr, host, sizeof host);
        return snprintf(text, size, "[%s]:%d", host, ntohs(a->v6.sin6_port));
    case AF_UNIX: {
        size_t path =
            length > offsetof(struct sockaddr_un, sun_path) ? length - offsetof(struct sockaddr_un, sun_path) : 0;
        if (path > 0 && a->local.sun_path[0] == '\0')
            return snprintf(text, size, "unix:@%.*s", (int)path - 1, a->local.sun_path + 1);
        return snprintf(text, size, "unix:%.*s", (int)path, a->local.sun_path);
    }
    default:
        return -EAFNOSUPPORT;
    }
}

int sinew_stream_peer(sinew_stream *s, char *text, size_t size)
{
    if (!s || (!text && size > 0))
        return -EINVAL;
    any_address a;
    socklen_t length = sizeof a;
    memset(&a, 0, sizeof a);
    bool biased = sn_stream_lock(s); /* or the descriptor might be closed, and another one by now */
    bool none = s->fd_closed || s->transport->read_fd < 0;
    int r = none ? -ENOTCONN : getpeername(s->transport->read_fd, &a.any, &length) == 0 ? 0 : -errno;
    sn_stream_unlock(s, biased);
    if (r < 0)
        return r;
    r = print_address(&a, length, text, size);
    return r >= 0 && (size_t)r >= size ? -ENOSPC : r;
}
