/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP echo server as one writes it by hand: one thread, io_uring, one operation a connection at a time.
 *
 *     echo_uring ADDRESS:PORT
 *
 * recv, then send, then recv again; all that a pass over the completions has queued is submitted by the one system call
 * that also waits for more. A connection's buffer is its own, because the kernel holds it between passes.
 */
#include "support.h"

#include <errno.h>
#include <liburing.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { buffer_bytes = 4096, connections_max = 65536, submissions = 1024, completions = 8192 };

typedef struct connection {
    bool sending;
    size_t begin, end;
    char buffer[buffer_bytes];
} connection;

static connection connections[connections_max];
static struct io_uring ring;

static struct io_uring_sqe *next_sqe(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    if (sqe == NULL) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
        if (sqe == NULL) {
            errno = EBUSY;
            die("submission queue");
        }
    }
    return sqe;
}

static void start_accept(int listener)
{
    struct io_uring_sqe *sqe = next_sqe();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, (unsigned)listener);
}

static void start_recv(int fd)
{
    struct io_uring_sqe *sqe = next_sqe();
    connections[fd].sending = false;
    io_uring_prep_recv(sqe, fd, connections[fd].buffer, buffer_bytes, 0);
    io_uring_sqe_set_data64(sqe, (unsigned)fd);
}

static void start_send(int fd)
{
    connection *c = &connections[fd];
    struct io_uring_sqe *sqe = next_sqe();
    c->sending = true;
    io_uring_prep_send(sqe, fd, c->buffer + c->begin, c->end - c->begin, MSG_NOSIGNAL);
    io_uring_sqe_set_data64(sqe, (unsigned)fd);
}

static void accepted(int listener, const struct io_uring_cqe *cqe)
{
    if (cqe->res >= connections_max) {
        close(cqe->res);
    } else if (cqe->res >= 0) {
        tune_socket(cqe->res, false);
        start_recv(cqe->res);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        start_accept(listener);
}

static void transferred(int fd, int result)
{
    connection *c = &connections[fd];
    if (result <= 0) {
        close(fd);
    } else if (!c->sending) {
        c->begin = 0;
        c->end = (size_t)result;
        start_send(fd);
    } else {
        c->begin += (size_t)result;
        if (c->begin < c->end)
            start_send(fd);
        else
            start_recv(fd);
    }
}

static void open_ring(void)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        .cq_entries = completions,
    };
    int status = io_uring_queue_init_params(submissions, &ring, &params);
    if (status < 0) {
        errno = -status;
        die("io_uring");
    }
    io_uring_register_ring_fd(&ring);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fputs("usage: echo_uring ADDRESS:PORT\n", stderr);
        return 2;
    }
    raise_fd_limit();
    int listener = listen_on(argv[1]);
    open_ring();
    start_accept(listener);
    for (;;) {
        int status = io_uring_submit_and_wait(&ring, 1);
        if (status < 0 && status != -EINTR) {
            errno = -status;
            die("io_uring_enter");
        }
        struct io_uring_cqe *cqe;
        unsigned head, seen = 0;
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            int fd = (int)io_uring_cqe_get_data64(cqe);
            if (fd == listener)
                accepted(listener, cqe);
            else
                transferred(fd, cqe->res);
            seen++;
        }
        io_uring_cq_advance(&ring, seen);
    }
}
