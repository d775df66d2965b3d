/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The least an HTTP server can do on one thread: epoll, and the same answer from memory to every GET.
 *
 *     http_epoll ADDRESS:PORT RESPONSE_FILE      the file holds the whole answer, status line and header included
 *
 * Keep-alive and pipelined requests; "Connection: close" is obeyed. Requests have no body; anything but GET closes the
 * connection. An event costs one recv and one send: what a recv brings is answered by one send, however many requests
 * it holds. A request cut in two waits in the connection's buffer for its rest. Nothing is allocated after the start.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A send carries at most burst_max answers. */
enum { request_bytes_max = 4096, burst_max = 64, events_max = 1024, connections_max = 65536 };

/* By descriptor. Pages that no cut request touches stay untouched. */
typedef struct connection {
    bool closing, waits_for_room;
    size_t held;   /* bytes of a request that is not whole yet */
    uint64_t owed; /* bytes of answers not sent yet */
    char request[request_bytes_max];
} connection;

static connection connections[connections_max];
static char *responses; /* the answer, burst_max times */
static size_t response_bytes;

static void watch(int epoll, int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll, operation, fd, &event) != 0)
        die("epoll_ctl");
}

static void accept_all(int epoll, int listener)
{
    int fd;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (fd >= connections_max) {
            close(fd);
            continue;
        }
        tune_socket(fd, false);
        connection *c = &connections[fd];
        c->closing = c->waits_for_room = false;
        c->held = 0;
        c->owed = 0;
        watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EMFILE)
        die("accept");
}

/* Does a header line of this request say "Connection: close"? */
static bool asks_to_close(const char *request, const char *end)
{
    static const char name[] = "connection:";
    for (const char *line = request; (line = memchr(line, '\n', (size_t)(end - line))) != NULL;) {
        line++;
        if ((size_t)(end - line) < sizeof name || strncasecmp(line, name, sizeof name - 1) != 0)
            continue;
        line += sizeof name - 1;
        while (line < end && *line == ' ')
            line++;
        return (size_t)(end - line) >= 5 && strncasecmp(line, "close", 5) == 0;
    }
    return false;
}

/* Answers the whole requests in [at, end); returns where the first that is not whole begins, or NULL for a request this
 * server does not know. */
static const char *answer_requests(connection *c, const char *at, const char *end)
{
    const char *blank;
    while (!c->closing && (blank = memmem(at, (size_t)(end - at), "\r\n\r\n", 4)) != NULL) {
        if (memcmp(at, "GET ", 4) != 0)
            return NULL;
        c->closing = asks_to_close(at, blank + 2);
        c->owed += response_bytes;
        at = blank + 4;
    }
    return at;
}

/* False: the connection is over. */
static bool send_owed(int epoll, int fd)
{
    connection *c = &connections[fd];
    while (c->owed > 0) {
        /* What is owed ends with a whole answer, so the rest of a cut one comes first. */
        size_t cut = (size_t)(c->owed % response_bytes);
        size_t begin = cut == 0 ? 0 : response_bytes - cut;
        size_t length = burst_max * response_bytes - begin;
        if (length > c->owed)
            length = (size_t)c->owed;
        ssize_t sent = send(fd, responses + begin, length, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            return false;
        if (sent > 0)
            c->owed -= (uint64_t)sent;
        if (sent < 0 || (size_t)sent < length)
            break;
    }
    if (c->waits_for_room != (c->owed > 0)) {
        c->waits_for_room = c->owed > 0;
        watch(epoll, EPOLL_CTL_MOD, fd, c->waits_for_room ? EPOLLOUT : EPOLLIN);
    }
    return c->owed > 0 || !c->closing;
}

/* False: the connection is over. */
static bool serve(int epoll, int fd)
{
    connection *c = &connections[fd];
    char buffer[2 * request_bytes_max];
    memcpy(buffer, c->request, c->held);
    ssize_t received = recv(fd, buffer + c->held, request_bytes_max, 0);
    if (received <= 0)
        return received < 0 && errno == EAGAIN;
    const char *end = buffer + c->held + received;
    const char *rest = answer_requests(c, buffer, end);
    if (rest == NULL || end - rest > request_bytes_max)
        return false;
    c->held = (size_t)(end - rest);
    if (c->held > 0)
        memcpy(c->request, rest, c->held);
    return send_owed(epoll, fd);
}

static void load_response(const char *path)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        die(path);
    response_bytes = (size_t)status.st_size;
    responses = malloc(burst_max * response_bytes + 1);
    if (responses == NULL)
        die("malloc");
    if (response_bytes == 0 || read(fd, responses, response_bytes) != status.st_size) {
        fprintf(stderr, "%s: cannot be read whole, or is empty\n", path);
        exit(1);
    }
    close(fd);
    for (size_t i = 1; i < burst_max; i++)
        memcpy(responses + i * response_bytes, responses, response_bytes);
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fputs("usage: http_epoll ADDRESS:PORT RESPONSE_FILE\n", stderr);
        return 2;
    }
    load_response(argv[2]);
    raise_fd_limit();
    int listener = listen_on(argv[1]);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0)
        die("epoll_create1");
    watch(epoll, EPOLL_CTL_ADD, listener, EPOLLIN);
    for (;;) {
        struct epoll_event events[events_max];
        int ready = epoll_wait(epoll, events, events_max, -1);
        if (ready < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener)
                accept_all(epoll, listener);
            else if (!((events[i].events & EPOLLOUT) ? send_owed(epoll, fd) : serve(epoll, fd)))
                close(fd);
        }
    }
}
