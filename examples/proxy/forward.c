/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One task for each direction. A connection on which nothing moves costs its two sockets and two waiting tasks; the
 * pipe (or, where there is none, the buffer) is taken when there is something to forward.
 *
 * The end. A direction that reads the end of its stream passes that on (a half-close) and is done; the other one goes
 * on. One that fails ends both: they are a group.
 */
#include "forward.h"

#include "pipes.h"
#include "settings.h"
#include "sockets.h"

#include <sinew.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    PIECE = 64 << 10,      /* moved at once: as much as a pipe holds */
    COPY_PIECE = 16 << 10, /* and without one */
};

typedef struct flow {
    int from, to;
    unsigned long long bytes;
    _Atomic(sinew_time) *moved; /* when something last moved, in either direction */
    atomic_bool ended;          /* `to` has been told that no more will come */
    struct flow *other;
} flow;

/* Waits until the socket is ready. -ETIMEDOUT if meanwhile nothing moves in the other direction either. */
static int wait_for(const flow *f, int fd, short events)
{
    for (;;) {
        sinew_time moved = atomic_load_explicit(f->moved, memory_order_relaxed);
        sinew_timeout limit;
        sinew_timeout_begin_at(&limit, moved + settings.idle_timeout);
        int ready = sinew_poll(fd, events);
        if (sinew_timeout_end(&limit) == 0)
            return ready;
        if (moved == atomic_load_explicit(f->moved, memory_order_relaxed))
            return -ETIMEDOUT;
    }
}

static void note_moved(flow *f, size_t bytes)
{
    f->bytes += bytes;
    atomic_store_explicit(f->moved, sinew_now(), memory_order_relaxed); /* one of two times close together will do */
}

/* Both of these move what there is, and do not wait for more: -EAGAIN. 0: the stream has ended. */

static ssize_t move_through(flow *f, conduit pipe, size_t *content)
{
    for (;;) {
        ssize_t n = sinew_splice(f->from, NULL, pipe.in, NULL, PIECE, SPLICE_F_NONBLOCK);
        if (n <= 0)
            return n;
        for (*content = (size_t)n; *content > 0;) {
            n = sinew_splice(pipe.out, NULL, f->to, NULL, *content, SPLICE_F_NONBLOCK);
            if (n > 0) {
                *content -= (size_t)n;
                note_moved(f, (size_t)n);
            } else if (n != -EAGAIN || (n = wait_for(f, f->to, POLLOUT)) < 0) {
                return n;
            }
        }
    }
}

static ssize_t copy(flow *f, char *buffer)
{
    for (;;) {
        ssize_t len = sinew_recv(f->from, buffer, COPY_PIECE, MSG_DONTWAIT);
        if (len <= 0)
            return len;
        for (ssize_t sent = 0; sent < len;) {
            ssize_t n = sinew_send(f->to, buffer + sent, (size_t)(len - sent), MSG_DONTWAIT);
            if (n > 0) {
                sent += n;
                note_moved(f, (size_t)n);
            } else if (n != -EAGAIN || (n = wait_for(f, f->to, POLLOUT)) < 0) {
                return n;
            }
        }
    }
}

static ssize_t move(flow *f)
{
    conduit pipe;
    if (pipe_take(&pipe)) {
        size_t content = 0;
        ssize_t n = move_through(f, pipe, &content);
        if (content == 0)
            pipe_give_back(pipe);
        else
            pipe_drop(pipe);
        if (n != -EINVAL) /* sockets of a kind that cannot be spliced: nothing has been moved */
            return n;
    }
    char *buffer = malloc(COPY_PIECE);
    if (!buffer)
        return -ENOMEM;
    ssize_t n = copy(f, buffer);
    free(buffer);
    return n;
}

static intptr_t pass_on(void *arg)
{
    flow *f = arg;
    ssize_t n;
    do {
        n = wait_for(f, f->from, POLLIN);
        if (n >= 0)
            n = move(f);
    } while (n == -EAGAIN);
    if (n < 0)
        return n;
    /* In this order: once it has been shut down for writing, too, its state says nothing. */
    if (socket_was_reset(f->from) && !atomic_load(&f->other->ended))
        return -ECONNRESET;
    atomic_store(&f->ended, true);
    int error = sinew_shutdown(f->to, SHUT_WR);
    return error == -ENOTCONN ? -ECONNRESET : error; /* it is gone, and the other direction will see that, too */
}

int forward(int client, int target)
{
    _Atomic(sinew_time) moved = sinew_now();
    flow up = {.from = client, .to = target, .moved = &moved};
    flow down = {.from = target, .to = client, .moved = &moved, .other = &up};
    up.other = &down;

    sinew_group both;
    sinew_group_init(&both);
    int error = sinew_group_spawn(&both, pass_on, &up);
    if (error == 0)
        error = (int)pass_on(&down); /* no need for a third task that only waits for two */
    if (error < 0)
        sinew_group_cancel(&both);
    int failed = sinew_group_wait(&both); /* the other direction's error, if that was first: ours is -ECANCELED then */

    atomic_fetch_add_explicit(&counters.to_targets, up.bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&counters.to_clients, down.bytes, memory_order_relaxed);
    return failed < 0 ? failed : error;
}
