/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors for tests of I/O, made with plain system calls: pairs, full buffers, listeners with a full queue.
 */
#ifndef TESTS_SUPPORT_SOCKETS_H
#define TESTS_SUPPORT_SOCKETS_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static inline void set_nonblocking(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

/* Is something of a TCP connection still on its way? What it leaves behind when it arrives is room. */
static inline bool in_flight(int fd)
{
    struct tcp_info info;
    socklen_t len = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 && info.tcpi_unacked > 0;
}

/* Fills a pipe or socket until it takes no more; leaves it blocking. */
static inline void fill(int fd)
{
    static const char block[4096];
    bool flying, more;
    set_nonblocking(fd, true);
    do {
        flying = in_flight(fd);
        for (more = false; write(fd, block, sizeof block) > 0; more = true)
            ;
        for (; write(fd, block, 1) > 0; more = true)
            ;
        if (flying && !more)
            usleep(100);
    } while (flying || more);
    set_nonblocking(fd, false);
}

/* Takes everything out that is there; leaves it blocking. Returns how many bytes. */
static inline size_t drain(int fd)
{
    char block[4096];
    size_t total = 0;
    ssize_t n;
    set_nonblocking(fd, true);
    while ((n = read(fd, block, sizeof block)) > 0)
        total += (size_t)n;
    set_nonblocking(fd, false);
    return total;
}

/* A TCP listener on a free loopback port; its address is stored. -1: refused. */
static inline int loopback_listener(int backlog, struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof *address;
    memset(address, 0, sizeof *address);
    address->sin_family = AF_INET;
    address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (struct sockaddr *)address, sizeof *address) != 0 || listen(fd, backlog) != 0 ||
        getsockname(fd, (struct sockaddr *)address, &len) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* A listener in the abstract unix space, on a name the kernel picks. */
static inline int abstract_listener(int backlog, struct sockaddr_un *address, socklen_t *len)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    *len = sizeof *address;
    if (fd < 0 || bind(fd, (struct sockaddr *)address, sizeof address->sun_family) != 0 || listen(fd, backlog) != 0 ||
        getsockname(fd, (struct sockaddr *)address, len) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Connects until the listener's queue takes no more. The descriptors stay in `extra`, -1 where unused. */
static inline void fill_backlog(const struct sockaddr *address, socklen_t len, int *extra, int n)
{
    for (int i = 0; i < n; i++)
        extra[i] = -1;
    for (int i = 0; i < n; i++) {
        extra[i] = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(extra[i], address, len) == 0)
            continue;
        if (errno != EINPROGRESS)
            return;
        struct pollfd p = {extra[i], POLLOUT, 0};
        if (poll(&p, 1, 100) == 0)
            return;
    }
}

static inline void accept_all(int listener)
{
    int fd;
    set_nonblocking(listener, true);
    while ((fd = accept(listener, NULL, NULL)) >= 0)
        close(fd);
    set_nonblocking(listener, false);
}

#endif
