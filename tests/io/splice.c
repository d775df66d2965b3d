/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: splice waits for either side, moves what is there once and in order, and says what splice(2) says.
 * Method: pipes, unix and TCP sockets with and without O_NONBLOCK, files with offsets; each wait is also cancelled.
 * Cannot see: whether pages are moved or copied.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include <tests/support/files.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

struct transfer {
    int in, out;
    size_t length;
};

static intptr_t splice_once(void *arg)
{
    struct transfer *t = arg;
    return sinew_splice(t->in, NULL, t->out, NULL, t->length, 0);
}

/* From `in`, which `feed` feeds, to `out`, which `take` empties. */
struct route {
    int in, feed, out, take;
};

static void check_route(const struct route *r)
{
    char buf[16];
    struct transfer t = {r->in, r->out, 100};
    /* Data that comes later. */
    sinew_task *task = sinew_spawn(splice_once, &t);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(!sinew_done(task));
    CHECK_EQ(write(r->feed, "hello", 5), 5);
    CHECK_EQ(sinew_await(task), 5);
    CHECK_EQ(read(r->take, buf, sizeof buf), 5);
    CHECK_EQ(memcmp(buf, "hello", 5), 0);
    /* No data, and no wait wanted. */
    CHECK_EQ(sinew_splice(r->in, NULL, r->out, NULL, 100, SPLICE_F_NONBLOCK), -EAGAIN);
    CHECK_EQ(sinew_splice(r->in, NULL, r->out, NULL, 0, 0), 0);
    /* A cancel of the wait for data takes nothing. */
    task = sinew_spawn(splice_once, &t);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(sinew_cancel(task));
    CHECK_EQ(sinew_await(task), -ECANCELED);
    CHECK_EQ(write(r->feed, "abc", 3), 3);
    /* No room: it waits, a cancel takes nothing, and then there is room. */
    fill(r->out);
    task = sinew_spawn(splice_once, &t);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(!sinew_done(task));
    CHECK(sinew_cancel(task));
    CHECK_EQ(sinew_await(task), -ECANCELED);
    task = sinew_spawn(splice_once, &t);
    sinew_yield();
    size_t filled = drain(r->take);
    CHECK_EQ(sinew_await(task), 3);
    filled += drain(r->take);
    CHECK(filled > 3);
    /* The end. */
    close(r->feed);
    CHECK_EQ(sinew_splice(r->in, NULL, r->out, NULL, 100, 0), 0);
    close(r->in);
    close(r->out);
    close(r->take);
}

static void tcp_pair(int fds[2])
{
    struct sockaddr_in address;
    int listener = loopback_listener(1, &address);
    fds[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(connect(fds[0], (struct sockaddr *)&address, sizeof address), 0);
    fds[1] = accept(listener, NULL, NULL);
    close(listener);
}

enum { PIPE, UNIX, TCP, KINDS };

static void make_pair(int kind, int fds[2])
{
    if (kind == PIPE)
        CHECK_EQ(pipe(fds), 0);
    else if (kind == UNIX)
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    else
        tcp_pair(fds);
}

IN_RUNTIME(every_pair_of_kinds_waits_moves_and_is_cancelled)
{
    for (int from = 0; from < KINDS; from++) {
        for (int to = 0; to < KINDS; to++) {
            int a[2], b[2];
            if (from != PIPE && to != PIPE)
                continue;
            make_pair(from, a);
            make_pair(to, b);
            struct route r = {a[0], a[1], b[1], b[0]};
            check_route(&r);
        }
    }
    return 0;
}

IN_RUNTIME(offsets_of_files_are_used_and_moved_on)
{
    int p[2], file = temporary_file(O_CLOEXEC);
    char buf[16];
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(pwrite(file, "0123456789", 10, 0), 10);
    off_t at = 4;
    CHECK_EQ(sinew_splice(file, &at, p[1], NULL, 3, 0), 3);
    CHECK_EQ(at, 7);
    CHECK_EQ(read(p[0], buf, sizeof buf), 3);
    CHECK_EQ(memcmp(buf, "456", 3), 0);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
    CHECK_EQ(sinew_splice(file, NULL, p[1], NULL, 2, 0), 2);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 2);
    at = 10;
    CHECK_EQ(sinew_splice(file, &at, p[1], NULL, 3, 0), 0);
    at = 8;
    CHECK_EQ(sinew_splice(p[0], NULL, file, &at, 100, 0), 2);
    CHECK_EQ(at, 10);
    CHECK_EQ(pread(file, buf, sizeof buf, 0), 10);
    CHECK_EQ(memcmp(buf, "0123456701", 10), 0);
    close(file);
    close(p[0]);
    close(p[1]);
    return 0;
}

IN_RUNTIME(what_splice_refuses_is_refused_at_once)
{
    int p[2], s[2], file = temporary_file(O_CLOEXEC);
    off_t at = 0, below = -1;
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    CHECK_EQ(sinew_splice(-1, NULL, p[1], NULL, 1, 0), -EBADF);
    CHECK_EQ(sinew_splice(p[0], NULL, 1000000, NULL, 1, 0), -EBADF);
    CHECK_EQ(sinew_splice(p[1], NULL, s[1], NULL, 1, 0), -EBADF);
    CHECK_EQ(sinew_splice(s[0], NULL, p[0], NULL, 1, 0), -EBADF);
    CHECK_EQ(sinew_splice(s[0], NULL, s[1], NULL, 1, 0), -EINVAL);
    CHECK_EQ(sinew_splice(file, NULL, s[1], NULL, 1, 0), -EINVAL);
    CHECK_EQ(sinew_splice(p[0], &at, s[1], NULL, 1, 0), -ESPIPE);
    CHECK_EQ(sinew_splice(s[0], NULL, p[1], &at, 1, 0), -ESPIPE);
    CHECK_EQ(sinew_splice(file, &below, p[1], NULL, 1, 0), -EINVAL);
    CHECK_EQ(sinew_splice(file, &at, p[1], NULL, 1, 0x8000), -EINVAL);
    CHECK_EQ(at, 0);
    CHECK_EQ(sinew_splice(file, NULL, p[1], NULL, (size_t)INT_MAX + 1, 0), 0);
    close(file);
    for (int i = 0; i < 2; i++) {
        close(p[i]);
        close(s[i]);
    }
    return 0;
}

/* A proxy's loop, at full speed, next to a task that wants its turn. */
struct pump {
    int from, to, pipe[2];
    size_t moved;
};

static intptr_t pump(void *arg)
{
    struct pump *p = arg;
    ssize_t in, out = 0;
    while ((in = sinew_splice(p->from, NULL, p->pipe[1], NULL, 1 << 16, 0)) > 0) {
        for (; in > 0 && (out = sinew_splice(p->pipe[0], NULL, p->to, NULL, (size_t)in, 0)) > 0; in -= out)
            p->moved += (size_t)out;
        if (!CHECK_EQ(in, 0))
            return out;
    }
    sinew_shutdown(p->to, SHUT_WR);
    return in;
}

static char byte_at(size_t i)
{
    return (char)(i * 2654435761u >> 11);
}

struct stream {
    int fd;
    size_t size;
};

static intptr_t feed(void *arg)
{
    struct stream *s = arg;
    char *data = malloc(s->size);
    for (size_t i = 0; i < s->size; i++)
        data[i] = byte_at(i);
    int r = sinew_send_all(s->fd, data, s->size);
    free(data);
    sinew_shutdown(s->fd, SHUT_WR);
    return r;
}

static intptr_t check_stream(void *arg)
{
    struct stream *s = arg;
    char buf[5000];
    size_t at = 0, wrong = 0;
    ssize_t n;
    while ((n = sinew_recv(s->fd, buf, sizeof buf, 0)) > 0)
        for (ssize_t i = 0; i < n; i++)
            wrong += buf[i] != byte_at(at++);
    CHECK_EQ(wrong, 0);
    CHECK_EQ(at, s->size);
    return n;
}

static void pump_through(bool nonblocking)
{
    int a[2], b[2];
    tcp_pair(a);
    tcp_pair(b);
    struct pump p = {.from = a[1], .to = b[0]};
    struct stream out = {a[0], scaled(10000000, 500000)}, in = {b[1], out.size};
    CHECK_EQ(pipe(p.pipe), 0);
    set_nonblocking(p.from, nonblocking);
    set_nonblocking(p.to, nonblocking);
    sinew_task *tasks[] = {sinew_spawn(feed, &out), sinew_spawn(pump, &p), sinew_spawn(check_stream, &in)};
    CHECK_EQ(sinew_gather(tasks, 3, NULL), 0);
    CHECK_EQ(p.moved, out.size);
    for (int i = 0; i < 2; i++) {
        close(a[i]);
        close(b[i]);
        close(p.pipe[i]);
    }
}

IN_RUNTIME(a_stream_goes_through_a_pipe_once_and_in_order)
{
    pump_through(false);
    pump_through(true);
    return 0;
}

TEST_MAIN(cmocka_unit_test(every_pair_of_kinds_waits_moves_and_is_cancelled),
          cmocka_unit_test(offsets_of_files_are_used_and_moved_on),
          cmocka_unit_test(what_splice_refuses_is_refused_at_once),
          cmocka_unit_test(a_stream_goes_through_a_pipe_once_and_in_order))
