/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP echo server as one writes it by hand: threads with an io_uring each, one operation a connection at a time.
 *
 *     echo_uring ADDRESS:PORT [--workers N] [--burn ROUNDS]
 *
 * recv, then send, then recv again; all that a pass over the completions has queued is submitted by the one system call
 * that also waits for more. A connection's buffer is its own, because the kernel holds it between passes.
 *
 * The first thread accepts and deals connections out in turn, as echo_epoll does; another thread's come to it as a
 * message through its ring.
 */
#include "support.h"

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

enum { buffer_bytes = 4096, connections_max = 65536, submissions = 1024, completions = 8192, workers_max = 64 };

/* User data is a descriptor; with this bit, of a connection that begins. */
static const uint64_t begins = (uint64_t)1 << 32;

typedef struct connection {
    bool sending;
    size_t begin, end;
    char buffer[buffer_bytes];
} connection;

typedef struct worker {
    struct io_uring ring;
    int listener; /* or -1 */
} worker;

static connection connections[connections_max];
static server_options options;
static worker workers[workers_max];
static unsigned dealt; /* the first thread's */
static pthread_barrier_t rings_are_open;

static struct io_uring_sqe *next_sqe(worker *w)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&w->ring);
    if (sqe == NULL) {
        io_uring_submit(&w->ring);
        sqe = io_uring_get_sqe(&w->ring);
        if (sqe == NULL) {
            errno = EBUSY;
            die("submission queue");
        }
    }
    return sqe;
}

static void start_accept(worker *w)
{
    struct io_uring_sqe *sqe = next_sqe(w);
    io_uring_prep_multishot_accept(sqe, w->listener, NULL, NULL, SOCK_CLOEXEC);
    io_uring_sqe_set_data64(sqe, (unsigned)w->listener);
}

static void start_recv(worker *w, int fd)
{
    struct io_uring_sqe *sqe = next_sqe(w);
    connections[fd].sending = false;
    io_uring_prep_recv(sqe, fd, connections[fd].buffer, buffer_bytes, 0);
    io_uring_sqe_set_data64(sqe, (unsigned)fd);
}

static void start_send(worker *w, int fd)
{
    connection *c = &connections[fd];
    struct io_uring_sqe *sqe = next_sqe(w);
    c->sending = true;
    io_uring_prep_send(sqe, fd, c->buffer + c->begin, c->end - c->begin, MSG_NOSIGNAL);
    io_uring_sqe_set_data64(sqe, (unsigned)fd);
}

static void deal_out(worker *w, int fd)
{
    worker *to = &workers[dealt++ % options.workers];
    if (to == w) {
        start_recv(w, fd);
        return;
    }
    struct io_uring_sqe *sqe = next_sqe(w);
    io_uring_prep_msg_ring(sqe, to->ring.ring_fd, 0, begins | (unsigned)fd, 0);
    io_uring_sqe_set_flags(sqe, IOSQE_CQE_SKIP_SUCCESS);
}

static void accepted(worker *w, const struct io_uring_cqe *cqe)
{
    if (cqe->res >= connections_max) {
        close(cqe->res);
    } else if (cqe->res >= 0) {
        tune_socket(cqe->res, false);
        deal_out(w, cqe->res);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        start_accept(w);
}

static void transferred(worker *w, int fd, int result)
{
    connection *c = &connections[fd];
    if (result <= 0) {
        close(fd);
    } else if (!c->sending) {
        if (options.burn > 0)
            burn(options.burn * (unsigned char)c->buffer[0]);
        c->begin = 0;
        c->end = (size_t)result;
        start_send(w, fd);
    } else {
        c->begin += (size_t)result;
        if (c->begin < c->end)
            start_send(w, fd);
        else
            start_recv(w, fd);
    }
}

static void open_ring(worker *w)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
        .cq_entries = completions,
    };
    int status = io_uring_queue_init_params(submissions, &w->ring, &params);
    if (status < 0) {
        errno = -status;
        die("io_uring");
    }
    io_uring_register_ring_fd(&w->ring);
}

static void *serve(void *arg)
{
    worker *w = arg;
    open_ring(w);
    pthread_barrier_wait(&rings_are_open);
    if (w->listener >= 0)
        start_accept(w);
    for (;;) {
        int status = io_uring_submit_and_wait(&w->ring, 1);
        if (status < 0 && status != -EINTR) {
            errno = -status;
            die("io_uring_enter");
        }
        struct io_uring_cqe *cqe;
        unsigned head, seen = 0;
        io_uring_for_each_cqe(&w->ring, head, cqe)
        {
            uint64_t data = io_uring_cqe_get_data64(cqe);
            int fd = (int)(data & UINT32_MAX);
            if (data & begins)
                start_recv(w, fd);
            else if (fd == w->listener)
                accepted(w, cqe);
            else
                transferred(w, fd, cqe->res);
            seen++;
        }
        io_uring_cq_advance(&w->ring, seen);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    options = read_server_options(argc, argv);
    if (options.workers > workers_max) {
        fprintf(stderr, "echo_uring: at most %d workers\n", workers_max);
        return 2;
    }
    raise_fd_limit();
    pthread_barrier_init(&rings_are_open, NULL, options.workers);
    workers[0].listener = listen_on(options.address);
    for (unsigned i = 1; i < options.workers; i++) {
        pthread_t thread;
        workers[i].listener = -1;
        errno = pthread_create(&thread, NULL, serve, &workers[i]);
        if (errno != 0)
            die("pthread_create");
    }
    serve(&workers[0]);
}
