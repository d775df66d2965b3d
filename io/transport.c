/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport of a plain socket. Waiting is the driver's; sending without waiting is the system call itself, which
 * saves the task a switch where there is room, as there is for nearly every answer. Waits of others are ended by
 * shutdown(2).
 */
#include "io/transport.h"
#include "io/sigpipe.h"
#include "runtime/driver.h"

#include <sinew/errno.h>
#include <sinew/io.h>
#include <sinew/net.h>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* The system's own -ETIMEDOUT (a peer that no longer answers) must not be taken for a timeout scope's. After it the
 * socket is closed. */
static ssize_t told_apart(int fd, ssize_t r)
{
    if (SN_LIKELY(r != -ETIMEDOUT))
        return r;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) ? -ECONNRESET : r;
}

bool sn_transport_try_again(int fd, short events, intptr_t *r)
{
    if (SN_LIKELY(*r != -EAGAIN))
        return false;
    int ready = sinew_poll(fd, events);
    if (ready < 0)
        *r = ready;
    return ready >= 0;
}

static int socket_receive(sinew_transport *t, sn_received *r)
{
    intptr_t n;
    do
        n = sn_receive(t->read_fd, r);
    while (sn_transport_try_again(t->read_fd, POLLIN, &n));
    return (int)told_apart(t->read_fd, n);
}

static ssize_t socket_receive_into(sinew_transport *t, void *buffer, size_t n)
{
    intptr_t r;
    do
        r = sinew_recv(t->read_fd, buffer, n, 0);
    while (sn_transport_try_again(t->read_fd, POLLIN, &r));
    return told_apart(t->read_fd, r);
}

static ssize_t socket_send(sinew_transport *t, const struct iovec *pieces, int count, bool wait)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
    if (wait) {
        intptr_t r;
        do
            r = sn_op_run(SN_OP_SENDMSG, t->write_fd, &message, 0, 0, 0);
        while (sn_transport_try_again(t->write_fd, POLLOUT, &r));
        return told_apart(t->write_fd, r);
    }
    ssize_t n = count == 1 ? send(t->write_fd, pieces->iov_base, pieces->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
                           : sendmsg(t->write_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    return errno == ETIMEDOUT ? -ECONNRESET : -errno;
}

/* SPLICE_F_NONBLOCK is about the pipe; that the socket must not wait only O_NONBLOCK can say, and for as short as it is
 * set here nobody minds. */
static intptr_t splice_now(int pipe, int fd, size_t n)
{
    int flags = fcntl(fd, F_GETFL);
    sn_sigpipe_held held;
    sn_sigpipe_hold(&held);
    if (!(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    intptr_t r = splice(pipe, NULL, fd, NULL, n, SPLICE_F_NONBLOCK);
    r = r < 0 ? -errno : r;
    if (!(flags & O_NONBLOCK))
        fcntl(fd, F_SETFL, flags);
    sn_sigpipe_let_go(&held);
    return r;
}

static ssize_t socket_send_pipe(sinew_transport *t, int pipe, size_t n)
{
    intptr_t r;
    do
        r = splice_now(pipe, t->write_fd, n);
    while (sn_transport_try_again(t->write_fd, POLLOUT, &r));
    return told_apart(t->write_fd, r);
}

static int socket_shutdown(sinew_transport *t, bool wait, bool last)
{
    (void)wait;
    (void)last;
    return shutdown(t->write_fd, SHUT_WR) == 0 ? 0 : -errno;
}

/* A TCP connection is broken off by connecting it to nowhere: the peer is sent a reset, and no end before that, which
 * it would take for ours; whoever waits here is told, too. A unix socket knows no such thing. */
static void socket_stop(sinew_transport *t, sinew_stop how)
{
    const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    if (how != SINEW_STOP_HARD || connect(t->read_fd, &nowhere, sizeof nowhere) != 0)
        shutdown(t->read_fd, how == SINEW_STOP_RECEIVING ? SHUT_RD : SHUT_RDWR);
}

static void socket_close(sinew_transport *t)
{
    close(t->read_fd); /* without a linger time it never waits */
}

static const sinew_transport_ops socket_ops = {
    .receive = socket_receive,
    .receive_into = socket_receive_into,
    .send = socket_send,
    .send_pipe = socket_send_pipe,
    .shutdown = socket_shutdown,
    .stop = socket_stop,
    .close = socket_close,
};

void sn_transport_socket(sinew_transport *t, int fd)
{
    *t = (sinew_transport){.ops = &socket_ops, .read_fd = fd, .write_fd = fd};
}
