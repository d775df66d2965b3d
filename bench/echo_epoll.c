/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TCP echo server as one writes it by hand: threads with an epoll each, level-triggered.
 *
 *     echo_epoll ADDRESS:PORT [--workers N] [--burn ROUNDS]
 *
 * The first thread accepts and deals connections out in turn, so that each has as many; a connection stays where it is.
 * An event costs one recv and one send, with no second recv to see that the socket is empty: what is left makes the
 * next event. Nothing is allocated; a connection only has state while its peer does not read, when the bytes
 * that did not fit wait in its own buffer and its event becomes "writable".
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { buffer_bytes = 4096, events_max = 1024, connections_max = 65536, workers_max = 64 };

/* By descriptor. Pages that no slow peer touches stay untouched. */
typedef struct connection {
    size_t begin, end;
    char unsent[buffer_bytes];
} connection;

static connection connections[connections_max];
static server_options options;
static int listener;
static int epolls[workers_max]; /* by thread */
static unsigned dealt;          /* the first thread's */

static void watch(int epoll, int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, operation, fd, &event) != 0)
        die("epoll_ctl");
}

static void accept_all(void)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= connections_max) {
            close(fd);
            continue;
        }
        tune_socket(fd, false);
        connections[fd].begin = connections[fd].end = 0;
        watch(epolls[dealt++ % options.workers], EPOLL_CTL_ADD, fd, EPOLLIN);
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EMFILE)
        die("accept");
}

/* False: the connection is over. */
static bool send_rest(int epoll, int fd)
{
    connection *c = &connections[fd];
    ssize_t sent = send(fd, c->unsent + c->begin, c->end - c->begin, MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN;
    c->begin += (size_t)sent;
    if (c->begin == c->end)
        watch(epoll, EPOLL_CTL_MOD, fd, EPOLLIN);
    return true;
}

static bool echo(int epoll, int fd)
{
    char buffer[buffer_bytes];
    ssize_t received = recv(fd, buffer, sizeof buffer, 0);
    if (received <= 0)
        return received < 0 && errno == EAGAIN;
    if (options.burn > 0)
        burn(options.burn * (unsigned char)buffer[0]);
    ssize_t sent = send(fd, buffer, (size_t)received, MSG_NOSIGNAL);
    if (sent == received)
        return true;
    if (sent < 0 && errno != EAGAIN)
        return false;
    connection *c = &connections[fd];
    c->begin = sent < 0 ? 0 : (size_t)sent;
    c->end = (size_t)received;
    memcpy(c->unsent + c->begin, buffer + c->begin, c->end - c->begin);
    watch(epoll, EPOLL_CTL_MOD, fd, EPOLLOUT);
    return true;
}

static void *serve(void *arg)
{
    int epoll = *(int *)arg;
    for (;;) {
        struct epoll_event events[events_max];
        int ready = epoll_wait(epoll, events, events_max, -1);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_all();
            else if (!((events[i].events & EPOLLOUT) ? send_rest(epoll, fd) : echo(epoll, fd)))
                close(fd);
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    options = read_server_options(argc, argv);
    if (options.workers > workers_max) {
        fprintf(stderr, "echo_epoll: at most %d workers\n", workers_max);
        return 2;
    }
    raise_fd_limit();
    listener = listen_on(options.address);
    for (unsigned i = 0; i < options.workers; i++) {
        epolls[i] = epoll_create1(EPOLL_CLOEXEC);
        if (epolls[i] < 0)
            die("epoll_create1");
    }
    watch(epolls[0], EPOLL_CTL_ADD, listener, EPOLLIN);
    for (unsigned i = 1; i < options.workers; i++) {
        pthread_t thread;
        errno = pthread_create(&thread, NULL, serve, &epolls[i]);
        if (errno != 0)
            die("pthread_create");
    }
    serve(&epolls[0]);
}
