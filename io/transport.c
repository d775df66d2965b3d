/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two plain transports.
 *
 * A socket. Waiting is the driver's; sending without waiting is the system call itself, which saves the task a switch
 * where there is room, as there is for nearly every answer. Waits of others are ended by shutdown(2).
 *
 * A pair: pipes, terminals, files. There is no shutdown(2) for those, so each wait is a task of its own, which runs in
 * place on its caller's stack. Whoever stops the transport sends it a timeout: unlike a cancel that does no harm when
 * it comes too late, and no timeout can come from elsewhere, as what the caller is asked arrives there as a cancel.
 * Writing without waiting is not tried: O_NONBLOCK would be seen by everybody else who has the same file open.
 */
#include "io/transport.h"

#include "runtime/driver.h"
#include "runtime/task_hot.h"

#include <sinew/io.h>
#include <sinew/net.h>

#include <ck_spinlock.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- sockets ------------------------------------------------------------------------------------------------------ */

/* The system's own -ETIMEDOUT (a peer that no longer answers) must not be taken for a timeout scope's. After it the
 * socket is closed. */
static ssize_t told_apart(int fd, ssize_t r)
{
    if (SN_LIKELY(r != -ETIMEDOUT))
        return r;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLHUP) ? -ECONNRESET : r;
}

/* Of a descriptor with O_NONBLOCK the driver does not wait by itself: does it here, and says whether to try again. */
static bool try_again(int fd, short events, intptr_t *r)
{
    if (SN_LIKELY(*r != -EAGAIN))
        return false;
    int ready = sinew_poll(fd, events);
    if (ready < 0)
        *r = ready;
    return ready >= 0;
}

static int socket_receive(sn_transport *t, sn_received *r)
{
    intptr_t n;
    do
        n = sn_receive(t->read_fd, r);
    while (try_again(t->read_fd, POLLIN, &n));
    return (int)told_apart(t->read_fd, n);
}

static ssize_t socket_receive_into(sn_transport *t, void *buffer, size_t n)
{
    intptr_t r;
    do
        r = sinew_recv(t->read_fd, buffer, n, 0);
    while (try_again(t->read_fd, POLLIN, &r));
    return told_apart(t->read_fd, r);
}

static ssize_t socket_send(sn_transport *t, const struct iovec *pieces, int count, bool wait)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)pieces, .msg_iovlen = (size_t)count};
    if (wait) {
        intptr_t r;
        do
            r = sn_op_run(SN_OP_SENDMSG, t->write_fd, &message, 0, 0, 0);
        while (try_again(t->write_fd, POLLOUT, &r));
        return told_apart(t->write_fd, r);
    }
    ssize_t n = count == 1 ? send(t->write_fd, pieces->iov_base, pieces->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
                           : sendmsg(t->write_fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n >= 0)
        return n;
    return errno == ETIMEDOUT ? -ECONNRESET : -errno;
}

static int socket_shutdown(sn_transport *t, bool wait)
{
    (void)wait;
    return shutdown(t->write_fd, SHUT_WR) == 0 ? 0 : -errno;
}

/* A TCP connection is broken off by connecting it to nowhere: the peer is sent a reset, and no end before that, which
 * it would take for ours; whoever waits here is told, too. A unix socket knows no such thing. */
static void socket_stop(sn_transport *t, sn_stop how)
{
    const struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
    if (how != SN_STOP_HARD || connect(t->read_fd, &nowhere, sizeof nowhere) != 0)
        shutdown(t->read_fd, how == SN_STOP_RECEIVING ? SHUT_RD : SHUT_RDWR);
}

static void socket_close(sn_transport *t)
{
    close(t->read_fd); /* without a linger time it never waits */
}

static const sn_transport_ops socket_ops = {
    .receive = socket_receive,
    .receive_into = socket_receive_into,
    .send = socket_send,
    .shutdown = socket_shutdown,
    .stop = socket_stop,
    .close = socket_close,
};

void sn_transport_socket(sn_transport *t, int fd)
{
    *t = (sn_transport){.ops = &socket_ops, .read_fd = fd, .write_fd = fd};
}

/* --- pairs -------------------------------------------------------------------------------------------------------- */

enum { READING, WRITING, SIDES };

typedef struct pair {
    sn_transport transport;
    ck_spinlock_t lock;
    bool stopped[SIDES];
    sinew_task *waiting[SIDES]; /* a reference */
} pair;

/* An operation of one side. */
typedef struct transfer {
    pair *pair;
    int side;
    sn_received *received; /* of receive: the buffer is taken once there is data */
    void *buffer;          /* memory, or the pieces */
    uint64_t length;       /* bytes, or how many pieces */
    intptr_t result;
} transfer;

/* What an operation finds whose side has been stopped. */
static int stopped_result(int side)
{
    return side == READING ? 0 : -EPIPE;
}

static intptr_t receive_some(const transfer *x)
{
    int fd = x->pair->transport.read_fd;
    intptr_t n = sinew_poll(fd, POLLIN);
    if (n < 0)
        return n;
    if (!x->received) {
        do
            n = sn_op_run(SN_OP_READ, fd, x->buffer, x->length, -1, 0);
        while (try_again(fd, POLLIN, &n));
        return n;
    }
    x->received->owner = NULL;
    x->received->data = malloc(SN_RECEIVE_BYTES);
    if (!x->received->data)
        return -ENOMEM;
    do
        n = sn_op_run(SN_OP_READ, fd, x->received->data, SN_RECEIVE_BYTES, -1, 0);
    while (try_again(fd, POLLIN, &n));
    if (n <= 0)
        free(x->received->data);
    return n;
}

static intptr_t send_some(const transfer *x)
{
    int fd = x->pair->transport.write_fd;
    intptr_t n;
    do
        n = sn_op_run(SN_OP_WRITEV, fd, x->buffer, x->length, -1, 0);
    while (try_again(fd, POLLOUT, &n));
    return n;
}

/* A task's body. It makes itself known, so that nobody can stop it before it has begun. */
static intptr_t run_transfer(void *arg)
{
    transfer *x = arg;
    pair *p = x->pair;
    int side = x->side;
    x->result = stopped_result(side);
    ck_spinlock_lock(&p->lock);
    bool stopped = p->stopped[side];
    if (!stopped)
        p->waiting[side] = sinew_ref(sinew_self());
    ck_spinlock_unlock(&p->lock);
    if (stopped)
        return 0;
    x->result = side == READING ? receive_some(x) : send_some(x);
    if (x->result == -ETIMEDOUT)
        x->result = stopped_result(side);
    ck_spinlock_lock(&p->lock);
    sinew_task *self = p->waiting[side]; /* NULL: who stopped it has taken the reference */
    p->waiting[side] = NULL;
    ck_spinlock_unlock(&p->lock);
    sinew_detach(self);
    return 0;
}

typedef struct in_place {
    sn_frame frame;
    sinew_task *task;
    uint32_t asked; /* bits of the caller's cancel word */
} in_place;

static void forward(sn_frame *frame)
{
    in_place *p = SN_CONTAINER(frame, in_place, frame);
    uint32_t asked = sn_cancel_take_bits(frame->task);
    if (asked) {
        p->asked |= asked;
        sn_cancel_forward(frame->task, p->task, sn_cancel_code(asked));
    }
}

static intptr_t run_stoppable(transfer *x)
{
    sn_worker *w = sn_worker_self();
    sn_fiber *f = w->fiber;
    in_place p = {.frame.poll = forward, .task = sn_task_make(w, run_transfer, x)};
    if (!p.task)
        return -ENOMEM;
    x->result = -ECANCELED; /* should it not begin */
    intptr_t ignored = sn_task_call(w, f, p.task, &p.frame);
    sn_task_end_in_place(sn_worker_self(), p.task, ignored);
    if (!p.asked)
        return x->result;
    if (x->result == -ECANCELED)
        return sn_cancel_code(p.asked);
    sn_or(&f->task->cancel, p.asked, acq_rel); /* it had completed: what was asked is for the next checkpoint */
    f->fresh = true;
    return x->result;
}

static int pair_receive(sn_transport *t, sn_received *r)
{
    pair *p = (pair *)(void *)t;
    if (t->read_fd < 0)
        return 0;
    transfer x = {.pair = p, .side = READING, .received = r};
    return (int)run_stoppable(&x);
}

static ssize_t pair_receive_into(sn_transport *t, void *buffer, size_t n)
{
    pair *p = (pair *)(void *)t;
    if (t->read_fd < 0)
        return 0;
    transfer x = {.pair = p, .side = READING, .buffer = buffer, .length = n};
    return run_stoppable(&x);
}

static ssize_t pair_send(sn_transport *t, const struct iovec *pieces, int count, bool wait)
{
    pair *p = (pair *)(void *)t;
    if (t->write_fd < 0)
        return -EPIPE;
    if (!wait)
        return -EAGAIN;
    transfer x = {.pair = p, .side = WRITING, .buffer = (void *)(uintptr_t)pieces, .length = (uint64_t)count};
    return run_stoppable(&x);
}

/* The end of a pipe is its close; of a terminal there is none. */
static int pair_shutdown(sn_transport *t, bool wait)
{
    (void)wait;
    if (t->write_fd >= 0 && t->write_fd != t->read_fd) {
        if (shutdown(t->write_fd, SHUT_WR) == 0)
            return 0;
        close(t->write_fd);
        t->write_fd = -1;
    }
    return 0;
}

static void stop_side(pair *p, int side)
{
    ck_spinlock_lock(&p->lock);
    p->stopped[side] = true;
    sinew_task *t = p->waiting[side];
    p->waiting[side] = NULL;
    ck_spinlock_unlock(&p->lock);
    if (t)
        sn_cancel_request(t, SN_CANCEL_TIMEOUT, false);
    sinew_detach(t);
}

static void pair_stop(sn_transport *t, sn_stop how)
{
    stop_side((pair *)(void *)t, READING);
    if (how != SN_STOP_RECEIVING)
        stop_side((pair *)(void *)t, WRITING);
}

static void pair_close(sn_transport *t)
{
    if (t->read_fd >= 0)
        close(t->read_fd);
    if (t->write_fd >= 0 && t->write_fd != t->read_fd)
        close(t->write_fd);
    free(t);
}

static const sn_transport_ops pair_ops = {
    .receive = pair_receive,
    .receive_into = pair_receive_into,
    .send = pair_send,
    .shutdown = pair_shutdown,
    .stop = pair_stop,
    .close = pair_close,
};

sn_transport *sn_transport_pair(int read_fd, int write_fd)
{
    pair *p = malloc(sizeof *p);
    if (!p)
        return NULL;
    *p = (pair){.transport = {.ops = &pair_ops, .read_fd = read_fd, .write_fd = write_fd}};
    ck_spinlock_init(&p->lock);
    return &p->transport;
}
