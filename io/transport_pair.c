/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The transport of two descriptors: pipes, terminals, files, or sockets that are used for one direction each.
 *
 * There is no shutdown(2) for most of those. So each wait is a task of its own, which runs in place on its caller's
 * stack, and whoever stops the transport sends it a timeout: unlike a cancel that does no harm when it comes too late,
 * and no timeout can come from elsewhere, as what the caller is asked arrives there as a cancel.
 *
 * Pipes are written with plain system calls, which do not wait: a pipe that is ready takes PIPE_BUF bytes. (O_NONBLOCK
 * would be seen by everybody else who has the same end open; and the SIGPIPE of a write that a driver makes could not
 * be held back.) Other files, which raise no such signal, are the driver's to write.
 */
#include "io/sigpipe.h"
#include "io/transport.h"
#include "runtime/driver.h"
#include "runtime/task_hot.h"

#include <sinew/errno.h>
#include <sinew/io.h>

#include <ck_spinlock.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READING, WRITING, SIDES };

typedef enum kind { PIPE, SOCKET, OTHER } kind;

enum { PIPE_AT_ONCE = 65536 }; /* a pipe that is emptied as fast as it is filled must not keep the worker */

typedef struct pair {
    sinew_transport transport;
    kind written; /* what write_fd is */
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
        while (sn_transport_try_again(fd, POLLIN, &n));
        return n;
    }
    x->received->owner = NULL;
    x->received->data = malloc(SN_RECEIVE_BYTES);
    if (!x->received->data)
        return -ENOMEM;
    do
        n = sn_op_run(SN_OP_READ, fd, x->received->data, SN_RECEIVE_BYTES, -1, 0);
    while (sn_transport_try_again(fd, POLLIN, &n));
    if (n <= 0)
        free(x->received->data);
    return n;
}

/* What a pipe takes without waiting; -EAGAIN: nothing. */
static ssize_t fill_pipe(int fd, const struct iovec *pieces, int count)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    sn_sigpipe_held held;
    ssize_t done = 0, n = 0;
    size_t at = 0;
    sn_sigpipe_hold(&held);
    while (count > 0 && done < PIPE_AT_ONCE && poll(&p, 1, 0) == 1) {
        size_t left = pieces->iov_len - at;
        n = write(fd, (char *)pieces->iov_base + at, left < PIPE_BUF ? left : PIPE_BUF);
        if (n < 0)
            break;
        done += n;
        at += (size_t)n;
        if (at == pieces->iov_len) {
            pieces++;
            count--;
            at = 0;
        }
    }
    n = n < 0 ? -errno : -EAGAIN;
    sn_sigpipe_let_go(&held);
    return done > 0 ? done : n;
}

static intptr_t send_some(const transfer *x)
{
    pair *p = x->pair;
    int fd = p->transport.write_fd;
    struct msghdr message = {.msg_iov = x->buffer, .msg_iovlen = x->length};
    intptr_t n;
    do
        n = p->written == PIPE     ? fill_pipe(fd, x->buffer, (int)x->length)
            : p->written == SOCKET ? sn_op_run(SN_OP_SENDMSG, fd, &message, 0, 0, 0)
                                   : sn_op_run(SN_OP_WRITEV, fd, x->buffer, x->length, -1, 0);
    while (sn_transport_try_again(fd, POLLOUT, &n));
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

static int pair_receive(sinew_transport *t, sn_received *r)
{
    pair *p = (pair *)(void *)t;
    if (t->read_fd < 0)
        return 0;
    transfer x = {.pair = p, .side = READING, .received = r};
    return (int)run_stoppable(&x);
}

static ssize_t pair_receive_into(sinew_transport *t, void *buffer, size_t n)
{
    pair *p = (pair *)(void *)t;
    if (t->read_fd < 0)
        return 0;
    transfer x = {.pair = p, .side = READING, .buffer = buffer, .length = n};
    return run_stoppable(&x);
}

static ssize_t pair_send(sinew_transport *t, const struct iovec *pieces, int count, bool wait)
{
    pair *p = (pair *)(void *)t;
    if (t->write_fd < 0)
        return -EPIPE;
    if (!wait)
        return p->written == PIPE ? fill_pipe(t->write_fd, pieces, count) : -EAGAIN;
    transfer x = {.pair = p, .side = WRITING, .buffer = (void *)(uintptr_t)pieces, .length = (uint64_t)count};
    return run_stoppable(&x);
}

/* The end of a pipe is its close; of a terminal there is none. */
static int pair_shutdown(sinew_transport *t, bool wait, bool last)
{
    (void)wait;
    (void)last;
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

static void pair_stop(sinew_transport *t, sinew_stop how)
{
    stop_side((pair *)(void *)t, READING);
    if (how != SINEW_STOP_RECEIVING)
        stop_side((pair *)(void *)t, WRITING);
}

static void pair_close(sinew_transport *t)
{
    if (t->read_fd >= 0)
        close(t->read_fd);
    if (t->write_fd >= 0 && t->write_fd != t->read_fd)
        close(t->write_fd);
}

static void pair_free(sinew_transport *t)
{
    free(t);
}

static const sinew_transport_ops pair_ops = {
    .receive = pair_receive,
    .receive_into = pair_receive_into,
    .send = pair_send,
    .shutdown = pair_shutdown,
    .stop = pair_stop,
    .close = pair_close,
    .free = pair_free,
};

static kind kind_of(int fd)
{
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return OTHER;
    return S_ISFIFO(status.st_mode) ? PIPE : S_ISSOCK(status.st_mode) ? SOCKET : OTHER;
}

sinew_transport *sn_transport_pair(int read_fd, int write_fd)
{
    pair *p = malloc(sizeof *p);
    if (!p)
        return NULL;
    *p =
        (pair){.transport = {.ops = &pair_ops, .read_fd = read_fd, .write_fd = write_fd}, .written = kind_of(write_fd)};
    ck_spinlock_init(&p->lock);
    return &p->transport;
}
