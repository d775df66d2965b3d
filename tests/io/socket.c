/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: socket calls do what their POSIX namesakes do, suspending the task.
 * Method: unix pairs and loopback TCP between tasks; 1, 2 and 8 workers.
 * Cannot see: what only a real network does (loss, resets by a peer that crashed).
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

IN_RUNTIME(a_pair_sends_and_receives)
{
    int s[2];
    char buf[16];
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0))
        return 1;
    CHECK_EQ(sinew_send(s[0], "hello", 5, 0), 5);
    CHECK_EQ(sinew_recv(s[1], buf, sizeof buf, MSG_PEEK), 5);
    CHECK_EQ(sinew_recv(s[1], buf, 3, 0), 3);
    CHECK_EQ(sinew_recv(s[1], buf + 3, sizeof buf - 3, 0), 2);
    CHECK_EQ(memcmp(buf, "hello", 5), 0);
    CHECK_EQ(sinew_write(s[1], "back", 4), 4);
    CHECK_EQ(sinew_read(s[0], buf, sizeof buf), 4);
    CHECK_EQ(memcmp(buf, "back", 4), 0);
    CHECK_EQ(sinew_recv(s[0], buf, 1, MSG_DONTWAIT), -EAGAIN);
    CHECK_EQ(sinew_shutdown(s[0], SHUT_WR), 0);
    CHECK_EQ(sinew_recv(s[1], buf, sizeof buf, 0), 0);
    CHECK_EQ(sinew_send(s[1], "still", 5, 0), 5);
    CHECK_EQ(sinew_recv(s[0], buf, sizeof buf, 0), 5);
    CHECK_EQ(sinew_close(s[1]), 0);
    CHECK_EQ(sinew_recv(s[0], buf, sizeof buf, 0), 0);
    CHECK_EQ(sinew_close(s[0]), 0);
    return 0;
}

IN_RUNTIME(datagrams_keep_their_boundaries)
{
    int s[2];
    char buf[16];
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, s), 0))
        return 1;
    CHECK_EQ(sinew_send(s[0], "one", 3, 0), 3);
    CHECK_EQ(sinew_send(s[0], "twotwo", 6, 0), 6);
    CHECK_EQ(sinew_send(s[0], "", 0, 0), 0);
    CHECK_EQ(sinew_recv(s[1], buf, sizeof buf, 0), 3);
    CHECK_EQ(sinew_recv(s[1], buf, 4, 0), 4);
    CHECK_EQ(sinew_recv(s[1], buf, sizeof buf, 0), 0);
    close(s[0]);
    close(s[1]);
    return 0;
}

struct server {
    int listener;
    int accepted;
};

static intptr_t echo_once(void *arg)
{
    struct server *s = arg;
    struct sockaddr_in peer;
    socklen_t len = sizeof peer;
    memset(&peer, 0, sizeof peer);
    int fd = sinew_accept(s->listener, (struct sockaddr *)&peer, &len, SOCK_CLOEXEC);
    if (fd < 0)
        return fd;
    CHECK_EQ(len, sizeof peer);
    CHECK_EQ(peer.sin_family, AF_INET);
    CHECK_EQ(ntohl(peer.sin_addr.s_addr), INADDR_LOOPBACK);
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    s->accepted++;
    char buf[512];
    ssize_t n;
    while ((n = sinew_recv(fd, buf, sizeof buf, 0)) > 0)
        CHECK_EQ(sinew_send_all(fd, buf, (size_t)n), 0);
    CHECK_EQ(sinew_close(fd), 0);
    return n;
}

static intptr_t talk(void *arg)
{
    const struct sockaddr_in *address = arg;
    int fd = sinew_socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!CHECK(fd >= 0))
        return fd;
    CHECK_EQ(sinew_connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
    for (int i = 0; i < 20; i++) {
        char out[64], in[64];
        int len = snprintf(out, sizeof out, "message %d", i), got = 0;
        CHECK_EQ(sinew_send_all(fd, out, (size_t)len), 0);
        while (got < len) {
            ssize_t n = sinew_recv(fd, in + got, sizeof in - (size_t)got, 0);
            if (!CHECK(n > 0))
                break;
            got += (int)n;
        }
        CHECK_EQ(memcmp(in, out, (size_t)len), 0);
    }
    CHECK_EQ(sinew_shutdown(fd, SHUT_WR), 0);
    char c;
    CHECK_EQ(sinew_recv(fd, &c, 1, 0), 0);
    CHECK_EQ(sinew_recv(fd, &c, 1, 0), 0);
    CHECK_EQ(sinew_close(fd), 0);
    return 0;
}

IN_RUNTIME(tcp_connects_accepts_and_echoes)
{
    enum { CLIENTS = 20 };
    struct sockaddr_in address;
    struct server servers[CLIENTS];
    sinew_task *tasks[2 * CLIENTS];
    int listener = loopback_listener(128, &address);
    if (!CHECK(listener >= 0))
        return 1;
    for (int i = 0; i < CLIENTS; i++) {
        servers[i] = (struct server){listener, 0};
        tasks[2 * i] = sinew_spawn(echo_once, &servers[i]);
        tasks[2 * i + 1] = sinew_spawn(talk, &address);
    }
    CHECK_EQ(sinew_gather(tasks, (size_t)CLIENTS * 2, NULL), 0);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(servers[i].accepted, 1);
    CHECK_EQ(sinew_close(listener), 0);
    return 0;
}

struct bulk {
    int fd;
    size_t size, received;
};

static intptr_t send_bulk(void *arg)
{
    struct bulk *b = arg;
    char *data = malloc(b->size);
    for (size_t i = 0; i < b->size; i++)
        data[i] = (char)(i >> 9);
    int r = sinew_send_all(b->fd, data, b->size);
    free(data);
    CHECK_EQ(sinew_shutdown(b->fd, SHUT_WR), 0);
    return r;
}

static intptr_t receive_bulk(void *arg)
{
    struct bulk *b = arg;
    char buf[10000];
    ssize_t n;
    size_t wrong = 0;
    while ((n = sinew_recv(b->fd, buf, sizeof buf, 0)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            wrong += buf[i] != (char)((b->received + (size_t)i) >> 9);
        b->received += (size_t)n;
    }
    CHECK_EQ(wrong, 0);
    return n;
}

IN_RUNTIME(send_all_sends_more_than_any_buffer_holds)
{
    int s[2];
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0))
        return 1;
    size_t size = scaled((size_t)16 << 20, (size_t)1 << 20);
    struct bulk out = {s[0], size, 0}, in = {s[1], size, 0};
    sinew_task *tasks[2] = {sinew_spawn(send_bulk, &out), sinew_spawn(receive_bulk, &in)};
    CHECK_EQ(sinew_gather(tasks, 2, NULL), 0);
    CHECK_EQ(in.received, size);
    CHECK_EQ(sinew_send_all(s[1], "", 0), 0);
    close(s[0]);
    close(s[1]);
    return 0;
}

static intptr_t poll_for(void *arg)
{
    int *p = arg;
    return sinew_poll(p[0], (short)p[1]);
}

IN_RUNTIME(poll_returns_the_events_that_are_ready)
{
    int s[2];
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0))
        return 1;
    CHECK_EQ(sinew_poll(s[0], POLLOUT), POLLOUT);
    CHECK_EQ(sinew_poll(s[0], POLLIN | POLLOUT), POLLOUT);
    int wait_in[2] = {s[0], POLLIN};
    sinew_task *t = sinew_spawn(poll_for, wait_in);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(!sinew_done(t));
    CHECK_EQ(write(s[1], "x", 1), 1);
    CHECK_EQ(sinew_await(t), POLLIN);
    CHECK_EQ(sinew_poll(s[0], POLLIN | POLLOUT), POLLIN | POLLOUT);
    close(s[1]);
    CHECK(sinew_poll(s[0], POLLIN) & (POLLIN | POLLHUP));
    close(s[0]);
    return 0;
}

static intptr_t accept_plain(void *arg)
{
    return sinew_accept(*(int *)arg, NULL, NULL, SOCK_NONBLOCK);
}

IN_RUNTIME(accept_without_an_address_and_with_flags)
{
    struct sockaddr_in address;
    int listener = loopback_listener(16, &address);
    sinew_task *t = sinew_spawn(accept_plain, &listener);
    int fd = sinew_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(sinew_connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    int peer = (int)sinew_await(t);
    CHECK(peer >= 0);
    CHECK(fcntl(peer, F_GETFL) & O_NONBLOCK);
    CHECK_EQ(sinew_accept(listener, NULL, NULL, 1 << 30), -EINVAL);
    CHECK_EQ(sinew_close(peer), 0);
    CHECK_EQ(sinew_close(fd), 0);
    CHECK_EQ(sinew_close(listener), 0);
    return 0;
}

IN_RUNTIME(shutting_down_ends_a_pending_receive)
{
    int s[2];
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0))
        return 1;
    struct bulk in = {s[0], 0, 0};
    sinew_task *t = sinew_spawn(receive_bulk, &in);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK_EQ(sinew_shutdown(s[0], SHUT_RDWR), 0);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(in.received, 0);
    close(s[0]);
    close(s[1]);
    return 0;
}

static intptr_t read_n(void *arg)
{
    struct bulk *b = arg;
    char buf[256];
    while (b->received < b->size) {
        ssize_t n = sinew_recv(b->fd, buf, sizeof buf, 0);
        if (n <= 0)
            return n < 0 ? n : -EIO;
        b->received += (size_t)n;
    }
    return 0;
}

static intptr_t write_n(void *arg)
{
    struct bulk *b = arg;
    char buf[256] = {0};
    for (size_t sent = 0; sent < b->size; sent += sizeof buf) {
        int r = sinew_send_all(b->fd, buf, sizeof buf);
        if (r < 0)
            return r;
    }
    return 0;
}

IN_RUNTIME(one_socket_is_read_and_written_by_two_tasks_at_once)
{
    int s[2];
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0))
        return 1;
    size_t size = scaled((size_t)4 << 20, (size_t)64 << 10);
    struct bulk ends[4] = {{s[0], size, 0}, {s[0], size, 0}, {s[1], size, 0}, {s[1], size, 0}};
    sinew_task *tasks[4] = {sinew_spawn(read_n, &ends[0]), sinew_spawn(write_n, &ends[1]),
                            sinew_spawn(read_n, &ends[2]), sinew_spawn(write_n, &ends[3])};
    CHECK_EQ(sinew_gather(tasks, 4, NULL), 0);
    CHECK_EQ(ends[0].received, size);
    CHECK_EQ(ends[2].received, size);
    close(s[0]);
    close(s[1]);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a_pair_sends_and_receives), cmocka_unit_test(datagrams_keep_their_boundaries),
          cmocka_unit_test(tcp_connects_accepts_and_echoes),
          cmocka_unit_test(send_all_sends_more_than_any_buffer_holds),
          cmocka_unit_test(poll_returns_the_events_that_are_ready),
          cmocka_unit_test(accept_without_an_address_and_with_flags),
          cmocka_unit_test(shutting_down_ends_a_pending_receive),
          cmocka_unit_test(one_socket_is_read_and_written_by_two_tasks_at_once))
