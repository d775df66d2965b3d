/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: operations that no public call of io.h has mean the same on each driver: vectors, messages, splices, names.
 * Method: sn_op_run on each driver, with 1, 2 and 8 workers. Cannot see: what a disk that is slow changes.
 */
#include "runtime/driver.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include <tests/support/drivers.h>
#include <tests/support/files.h>
#include <tests/support/process.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

struct call {
    sn_opcode opcode;
    int fd;
    void *buffer;
    uint64_t length;
    int64_t extra;
    int flags;
};

static intptr_t run_call(void *arg)
{
    const struct call *c = arg;
    return sn_op_run(c->opcode, c->fd, c->buffer, c->length, c->extra, c->flags);
}

/* A task that waits in the call. */
static sinew_task *begin(struct call *c)
{
    sinew_task *t = sinew_spawn(run_call, c);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    sinew_sleep(SINEW_MS(1));
    CHECK(!sinew_done(t));
    return t;
}

static int make_unix(int s[2], int type)
{
    return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, s);
}

ON_EACH_DRIVER(vectors_are_filled_in_order_on_pipes_and_files)
{
    int p[2];
    char a[3], b[4], c[5];
    struct iovec out[] = {{(void *)(uintptr_t) "one", 3}, {NULL, 0}, {(void *)(uintptr_t) "twoandthree", 11}};
    struct iovec in[] = {{a, 3}, {b, 4}, {c, 5}};
    if (!CHECK_EQ(pipe2(p, O_CLOEXEC), 0))
        return 1;
    CHECK_EQ(sn_op_run(SN_OP_READV, p[0], in, 3, -1, RWF_NOWAIT), -EAGAIN);
    struct call read = {SN_OP_READV, p[0], in, 3, -1, 0};
    sinew_task *t = begin(&read);
    CHECK_EQ(sn_op_run(SN_OP_WRITEV, p[1], out, 3, -1, 0), 14);
    CHECK_EQ(sinew_await(t), 12);
    CHECK_EQ(memcmp(a, "one", 3) | memcmp(b, "twoa", 4) | memcmp(c, "ndthr", 5), 0);
    CHECK_EQ(sn_op_run(SN_OP_READV, p[0], in, 3, -1, 0), 2);
    close(p[0]);
    close(p[1]);
    int fd = temporary_file(O_CLOEXEC);
    CHECK_EQ(sn_op_run(SN_OP_WRITEV, fd, out, 3, 100, RWF_DSYNC), 14);
    CHECK_EQ(sn_op_run(SN_OP_READV, fd, in, 3, 100, 0), 12);
    CHECK_EQ(memcmp(c, "ndthr", 5), 0);
    CHECK_EQ(sn_op_run(SN_OP_READV, fd, in, 3, 110, 0), 4);
    CHECK_EQ(sn_op_run(SN_OP_READV, fd, in, 3, 114, 0), 0);
    CHECK_EQ(sn_op_run(SN_OP_READV, -1, in, 3, -1, 0), -EBADF);
    close(fd);
    return 0;
}

ON_EACH_DRIVER(messages_carry_vectors_addresses_and_descriptors)
{
    int s[2], p[2];
    if (!CHECK(make_unix(s, SOCK_STREAM) == 0 && pipe2(p, O_CLOEXEC) == 0))
        return 1;
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } control, received;
    memset(&control, 0, sizeof control);
    struct iovec out[] = {{(void *)(uintptr_t) "12345", 5}, {(void *)(uintptr_t) "678", 3}};
    struct msghdr sent = {.msg_iov = out, .msg_iovlen = 2, .msg_control = &control, .msg_controllen = sizeof control};
    control.header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
    memcpy(CMSG_DATA(&control.header), &p[1], sizeof(int));
    char a[2], b[10];
    struct iovec in[] = {{a, 2}, {b, 10}};
    struct msghdr got = {.msg_iov = in, .msg_iovlen = 2, .msg_control = &received, .msg_controllen = sizeof received};
    struct call receive = {SN_OP_RECVMSG, s[0], &got, 0, 0, MSG_WAITALL};
    sinew_task *t = begin(&receive);
    CHECK_EQ(sn_op_run(SN_OP_SENDMSG, s[1], &sent, 0, 0, 0), 8);
    CHECK_EQ(sinew_await(t), 8); /* with control data in between there is no waiting for all */
    int fd = -1;
    CHECK_EQ(got.msg_controllen, (size_t)CMSG_SPACE(sizeof(int)));
    memcpy(&fd, CMSG_DATA(&received.header), sizeof fd);
    CHECK(fcntl(fd, F_GETFD) >= 0);
    close(fd);
    got = (struct msghdr){.msg_iov = in, .msg_iovlen = 2};
    t = begin(&receive);
    for (int i = 0; i < 12; i++) {
        CHECK(!sinew_done(t));
        CHECK_EQ(write(s[1], &"123456789abc"[i], 1), 1);
        sinew_sleep(SINEW_MS(1));
    }
    CHECK_EQ(sinew_await(t), 12);
    CHECK_EQ(memcmp(a, "12", 2) | memcmp(b, "3456789abc", 10), 0);
    close(s[0]);
    close(s[1]);
    close(p[0]);
    close(p[1]);
    return 0;
}

/* A vector of odd pieces, so that parts end in the middle of them. */
ON_EACH_DRIVER(a_large_message_is_sent_whole_with_waitall)
{
    enum { PIECES = 40 };
    size_t piece = scaled(50001, 20001), total = PIECES * piece, got = 0;
    char *data = malloc(total), *sink = calloc(1, total);
    struct iovec out[PIECES];
    int s[2];
    for (size_t i = 0; i < total; i++)
        data[i] = (char)(i * 2654435761u >> 9);
    for (size_t i = 0; i < PIECES; i++)
        out[i] = (struct iovec){data + i * piece, piece};
    if (!CHECK_EQ(make_unix(s, SOCK_STREAM), 0))
        return 1;
    struct msghdr m = {.msg_iov = out, .msg_iovlen = PIECES};
    struct call send = {SN_OP_SENDMSG, s[1], &m, 0, 0, MSG_WAITALL};
    sinew_task *t = begin(&send);
    while (got < total) {
        int n = sn_op_run(SN_OP_RECV, s[0], sink + got, total - got, 0, 0);
        if (!CHECK(n > 0))
            break;
        got += (size_t)n;
    }
    CHECK_EQ(sinew_await(t), (intptr_t)total);
    CHECK_EQ(memcmp(data, sink, total), 0);
    struct call zero_copy = {SN_OP_SEND_ZC, s[1], data, 5, 0, 0};
    int n = (int)run_call(&zero_copy);
    CHECK(n == 5 || n == -EOPNOTSUPP);
    close(s[0]);
    close(s[1]);
    free(data);
    free(sink);
    return 0;
}

/* Whose socket can always be written to, says poll, while the one it writes to is full. Not on io_uring: the kernel
 * (seen with 6.18) has forgotten the contents when it tries again, and sends an empty datagram. */
ON_EACH_DRIVER(a_datagram_to_a_full_receiver_waits_and_arrives)
{
    if (strcmp(sinew_driver_name(), "epoll") != 0)
        return 0;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t length = sizeof address;
    int receiver = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0),
        sender = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int other = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), filled = 0;
    CHECK_EQ(bind(receiver, (struct sockaddr *)&address, sizeof address.sun_family), 0);
    CHECK_EQ(getsockname(receiver, (struct sockaddr *)&address, &length), 0);
    while (sendto(other, "f", 1, MSG_DONTWAIT, (struct sockaddr *)&address, length) == 1)
        filled++;
    struct iovec byte = {(void *)(uintptr_t) "d", 1};
    struct msghdr m = {.msg_name = &address, .msg_namelen = length, .msg_iov = &byte, .msg_iovlen = 1};
    struct call send = {SN_OP_SENDMSG, sender, &m, 0, 0, 0};
    sinew_task *t = begin(&send);
    sinew_stats before, after;
    CHECK_EQ(sinew_get_stats(&before), 0);
    CHECK_EQ(sinew_sleep(SINEW_MS(50)), 0);
    CHECK_EQ(sinew_get_stats(&after), 0);
    CHECK(after.parks - before.parks < 500);
    CHECK(!sinew_done(t));
    char got = 0;
    for (int i = 0; i < filled; i++)
        CHECK_EQ(sn_op_run(SN_OP_RECV, receiver, &got, 1, 0, 0), 1);
    CHECK_EQ(sn_op_run(SN_OP_RECV, receiver, &got, 1, 0, 0), 1);
    CHECK_EQ(got, 'd');
    CHECK_EQ(sinew_await(t), 1);
    close(receiver);
    close(sender);
    close(other);
    return 0;
}

static int splice_run(int in, int out, uint64_t length, int flags)
{
    sn_splice s = {.fd_out = out, .offset_in = -1, .offset_out = -1};
    return sn_op_run(SN_OP_SPLICE, in, &s, length, 0, flags);
}

struct stretch {
    int in, out;
    size_t moved;
};

static intptr_t splice_to_the_end(void *arg)
{
    struct stretch *s = arg;
    int n;
    while ((n = splice_run(s->in, s->out, 65536, 0)) > 0)
        s->moved += (size_t)n;
    close(s->out);
    return n;
}

struct flood {
    int fd;
    size_t bytes;
};

static intptr_t pour(void *arg)
{
    const struct flood *f = arg;
    char block[5000];
    for (size_t sent = 0; sent < f->bytes;) {
        for (size_t i = 0; i < sizeof block; i++)
            block[i] = (char)((sent + i) >> 8);
        size_t left = f->bytes - sent;
        int n = sn_op_run(SN_OP_WRITE, f->fd, block, left < sizeof block ? left : sizeof block, -1, 0);
        if (!CHECK(n > 0))
            break;
        sent += (size_t)n;
    }
    close(f->fd);
    return 0;
}

/* What a proxy does: from a socket through a pipe to a socket. */
static intptr_t relay(void *arg)
{
    struct stretch *s = arg;
    int pipe[2], n;
    CHECK_EQ(pipe2(pipe, O_CLOEXEC), 0);
    while ((n = splice_run(s->in, pipe[1], 65536, 0)) > 0)
        for (int m; n > 0; n -= m, s->moved += (size_t)m)
            if (!CHECK((m = splice_run(pipe[0], s->out, (uint64_t)n, 0)) > 0))
                return m;
    close(pipe[0]);
    close(pipe[1]);
    close(s->out);
    return n;
}

static void expect_flood(int fd, const struct flood *f)
{
    char block[3000];
    size_t got = 0, wrong = 0;
    for (int n; (n = sn_op_run(SN_OP_READ, fd, block, sizeof block, -1, 0)) > 0; got += (size_t)n)
        for (size_t i = 0; i < (size_t)n; i++)
            wrong += block[i] != (char)((got + i) >> 8);
    CHECK_EQ(got, f->bytes);
    CHECK_EQ(wrong, 0);
}

ON_EACH_DRIVER(splices_relay_from_socket_to_socket)
{
    int left[2], right[2];
    if (!CHECK(make_unix(left, SOCK_STREAM) == 0 && make_unix(right, SOCK_STREAM) == 0))
        return 1;
    struct flood f = {left[0], scaled((size_t)4 << 20, (size_t)256 << 10)};
    struct stretch s = {left[1], right[0], 0};
    sinew_task *tasks[2] = {sinew_spawn(pour, &f), sinew_spawn(relay, &s)};
    expect_flood(right[1], &f);
    CHECK_EQ(sinew_gather(tasks, 2, NULL), 0);
    CHECK_EQ(s.moved, f.bytes);
    close(left[1]);
    close(right[1]);
    return 0;
}

/* With several tasks at one pipe. Not on io_uring: there the kernel holds the pipe's lock while a splice waits for the
 * socket, and who then uses the pipe's other end waits in the kernel, a worker too. */
ON_EACH_DRIVER(splices_join_pipes_and_sockets)
{
    if (strcmp(sinew_driver_name(), "epoll") != 0)
        return 0;
    int first[2], wire[2], middle[2], last[2];
    if (!CHECK(pipe2(first, O_CLOEXEC) == 0 && make_unix(wire, SOCK_STREAM) == 0 && pipe2(middle, O_CLOEXEC) == 0 &&
               make_unix(last, SOCK_STREAM) == 0))
        return 1;
    struct flood f = {first[1], scaled((size_t)4 << 20, (size_t)256 << 10)};
    struct stretch stretches[] = {{first[0], wire[0], 0}, {wire[1], middle[1], 0}, {middle[0], last[0], 0}};
    sinew_task *tasks[4] = {sinew_spawn(pour, &f)};
    for (int i = 0; i < 3; i++)
        tasks[i + 1] = sinew_spawn(splice_to_the_end, &stretches[i]);
    expect_flood(last[1], &f);
    CHECK_EQ(sinew_gather(tasks, 4, NULL), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(stretches[i].moved, f.bytes);
    close(first[0]);
    close(wire[1]);
    close(middle[0]);
    close(last[1]);
    return 0;
}

ON_EACH_DRIVER(splices_of_files_and_refusals)
{
    char buf[8];
    int fd = temporary_file(O_CLOEXEC), p[2], q[2], s[2];
    if (!CHECK(pipe2(p, O_CLOEXEC) == 0 && pipe2(q, O_CLOEXEC) == 0 && make_unix(s, SOCK_STREAM) == 0))
        return 1;
    CHECK_EQ(write(fd, "contents", 8), 8);
    sn_splice from_file = {.fd_out = p[1], .offset_in = 3, .offset_out = -1};
    CHECK_EQ(sn_op_run(SN_OP_SPLICE, fd, &from_file, 5, 0, 0), 5);
    CHECK_EQ(read(p[0], buf, 8), 5);
    CHECK_EQ(memcmp(buf, "tents", 5), 0);
    sn_splice to_file = {.fd_out = fd, .offset_in = -1, .offset_out = 8};
    struct call splice = {SN_OP_SPLICE, p[0], &to_file, 4, 0, 0};
    sinew_task *t = begin(&splice);
    CHECK_EQ(write(p[1], "more", 4), 4);
    CHECK_EQ(sinew_await(t), 4);
    CHECK_EQ(pread(fd, buf, 8, 8), 4);
    CHECK_EQ(memcmp(buf, "more", 4), 0);
    CHECK_EQ(splice_run(p[0], q[1], 1, SPLICE_F_NONBLOCK), -EAGAIN);
    CHECK_EQ(splice_run(s[0], fd, 1, 0), -EINVAL);
    CHECK_EQ(splice_run(-1, q[1], 1, 0), -EBADF);
    CHECK_EQ(splice_run(p[0], -1, 1, 0), -EBADF);
    CHECK_EQ(splice_run(p[1], q[1], 1, 0), -EBADF);
    CHECK_EQ(sn_op_run(SN_OP_SPLICE, p[0], &(sn_splice){q[1], 0, -1}, 1, 0, 0), -ESPIPE);
    set_nonblocking(p[0], true);
    CHECK_EQ(splice_run(p[0], q[1], 1, 0), -EAGAIN);
    for (int i = 0; i < 2; i++) {
        close(p[i]);
        close(q[i]);
        close(s[i]);
    }
    close(fd);
    return 0;
}

ON_EACH_DRIVER(names_and_sizes_of_files_change)
{
    char path[TEMPORARY_PATH];
    if (!CHECK(temporary_directory(path)))
        return 1;
    int dir = sn_op_run(SN_OP_OPENAT, AT_FDCWD, path, 0, 0, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = sn_op_run(SN_OP_OPENAT, dir, "a", 0600, 0, O_RDWR | O_CREAT | O_CLOEXEC);
    struct statx status;
    CHECK(fd >= 0);
    CHECK_EQ(sn_op_run(SN_OP_FTRUNCATE, fd, NULL, 1000, 0, 0), 0);
    CHECK_EQ(sn_op_run(SN_OP_FDATASYNC, fd, NULL, 0, 0, 0), 0);
    CHECK_EQ(sn_op_run(SN_OP_STATX, dir, "a", STATX_SIZE, (intptr_t)&status, 0), 0);
    CHECK_EQ(status.stx_size, 1000);
    int r = sn_op_run(SN_OP_FALLOCATE, fd, NULL, 5000, 0, 0);
    CHECK(r == 0 || r == -EOPNOTSUPP);
    CHECK_EQ(sn_op_run(SN_OP_RENAMEAT, dir, "a", (uint64_t)dir, (intptr_t) "b", 0), 0);
    CHECK_EQ(sn_op_run(SN_OP_LINKAT, dir, "b", (uint64_t)dir, (intptr_t) "c", 0), 0);
    CHECK_EQ(sn_op_run(SN_OP_SYMLINKAT, dir, "c", 0, (intptr_t) "d", 0), 0);
    CHECK_EQ(sn_op_run(SN_OP_MKDIRAT, dir, "e", 0700, 0, 0), 0);
    CHECK_EQ(sn_op_run(SN_OP_STATX, dir, "a", STATX_SIZE, (intptr_t)&status, 0), -ENOENT);
    CHECK_EQ(sn_op_run(SN_OP_UNLINKAT, dir, "e", 0, 0, 0), -EISDIR);
    CHECK_EQ(sn_op_run(SN_OP_UNLINKAT, dir, "e", 0, 0, AT_REMOVEDIR), 0);
    for (const char *name = "bcd"; *name; name++)
        CHECK_EQ(sn_op_run(SN_OP_UNLINKAT, dir, (char[]){*name, '\0'}, 0, 0, 0), 0);
    CHECK_EQ(sn_op_run(SN_OP_CLOSE, fd, NULL, 0, 0, 0), 0);
    CHECK_EQ(sn_op_run(SN_OP_CLOSE, dir, NULL, 0, 0, 0), 0);
    CHECK_EQ(sn_op_run(SN_OP_NOP, -1, NULL, 0, 0, 0), 0);
    CHECK_EQ(rmdir(path), 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(vectors_are_filled_in_order_on_pipes_and_files),
          cmocka_unit_test(messages_carry_vectors_addresses_and_descriptors),
          cmocka_unit_test(a_large_message_is_sent_whole_with_waitall),
          cmocka_unit_test(a_datagram_to_a_full_receiver_waits_and_arrives),
          cmocka_unit_test(splices_relay_from_socket_to_socket), cmocka_unit_test(splices_join_pipes_and_sockets),
          cmocka_unit_test(splices_of_files_and_refusals), cmocka_unit_test(names_and_sizes_of_files_change))
