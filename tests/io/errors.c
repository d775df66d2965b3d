/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every I/O call reports the kernel's error as -errno, and none of them ends the process or the worker.
 * Method: descriptors and pointers that are wrong on purpose; forked children where a signal or a low limit is part
 * of the test.
 * Cannot see: errors that need a broken device or network.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include <tests/support/child.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

/* A number that is no descriptor, though it was one. */
static int closed_descriptor(void)
{
    int fd = dup(STDERR_FILENO);
    close(fd);
    return fd;
}

IN_RUNTIME(every_call_on_a_bad_descriptor_gives_ebadf)
{
    char c = 'c';
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct iovec part = {&c, 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    off_t at = 0;
    int bad[] = {-1, closed_descriptor(), 1 << 29};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        int fd = bad[i];
        CHECK_EQ(sinew_read(fd, &c, 1), -EBADF);
        CHECK_EQ(sinew_write(fd, &c, 1), -EBADF);
        CHECK_EQ(sinew_pread(fd, &c, 1, 0), -EBADF);
        CHECK_EQ(sinew_pwrite(fd, &c, 1, 0), -EBADF);
        CHECK_EQ(sinew_fsync(fd), -EBADF);
        CHECK_EQ(sinew_close(fd), -EBADF);
        CHECK_EQ(sinew_poll(fd, POLLIN), -EBADF);
        CHECK_EQ(sinew_connect(fd, (struct sockaddr *)&address, sizeof address), -EBADF);
        CHECK_EQ(sinew_accept(fd, NULL, NULL, 0), -EBADF);
        CHECK_EQ(sinew_recv(fd, &c, 1, 0), -EBADF);
        CHECK_EQ(sinew_send(fd, &c, 1, 0), -EBADF);
        CHECK_EQ(sinew_send_all(fd, &c, 1), -EBADF);
        CHECK_EQ(sinew_readv(fd, &part, 1), -EBADF);
        CHECK_EQ(sinew_writev(fd, &part, 1), -EBADF);
        CHECK_EQ(sinew_recvmsg(fd, &message, 0), -EBADF);
        CHECK_EQ(sinew_sendmsg(fd, &message, 0), -EBADF);
        CHECK_EQ(sinew_recvfrom(fd, &c, 1, 0, NULL, NULL), -EBADF);
        CHECK_EQ(sinew_sendto(fd, &c, 1, 0, (struct sockaddr *)&address, sizeof address), -EBADF);
        CHECK_EQ(sinew_send_zc(fd, &c, 1, 0), -EBADF);
        CHECK_EQ(sinew_send_fd(fd, 0), -EBADF);
        CHECK_EQ(sinew_recv_fd(fd), -EBADF);
        CHECK_EQ(sinew_sendfile(STDERR_FILENO, fd, &at, 1), -EBADF);
        CHECK_EQ(sinew_splice(fd, NULL, fd, NULL, 1, 0), -EBADF);
        CHECK_EQ(sinew_shutdown(fd, SHUT_RDWR), -EBADF);
        CHECK_EQ(sinew_local_port(fd), -EBADF);
    }
    CHECK_EQ(sinew_openat(closed_descriptor(), "relative", O_RDONLY, 0), -EBADF);
    return 0;
}

IN_RUNTIME(descriptors_of_the_wrong_kind_and_mode_are_reported)
{
    int p[2], s[2];
    char c = 'c';
    if (!CHECK(pipe(p) == 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0))
        return 1;
    CHECK_EQ(sinew_recv(p[0], &c, 1, 0), -ENOTSOCK);
    CHECK_EQ(sinew_send(p[1], &c, 1, 0), -ENOTSOCK);
    CHECK_EQ(sinew_accept(p[0], NULL, NULL, 0), -ENOTSOCK);
    CHECK_EQ(sinew_shutdown(p[0], SHUT_RD), -ENOTSOCK);
    CHECK_EQ(sinew_local_port(p[0]), -ENOTSOCK);
    CHECK_EQ(sinew_read(p[1], &c, 1), -EBADF);
    CHECK_EQ(sinew_write(p[0], &c, 1), -EBADF);
    CHECK_EQ(sinew_accept(s[0], NULL, NULL, 0), -EINVAL);
    CHECK_EQ(sinew_shutdown(s[0], 77), -EINVAL);
    CHECK(sinew_local_port(s[0]) < 0);
    int unconnected = sinew_socket(AF_INET, SOCK_STREAM, 0);
    CHECK(unconnected >= 0);
    CHECK_EQ(sinew_recv(unconnected, &c, 1, 0), -ENOTCONN);
    CHECK_EQ(sinew_send(unconnected, &c, 1, 0), -EPIPE);
    CHECK_EQ(sinew_shutdown(unconnected, SHUT_RDWR), -ENOTCONN);
    CHECK_EQ(sinew_socket(-1, SOCK_STREAM, 0), -EAFNOSUPPORT);
    CHECK_EQ(sinew_socket(AF_INET, 77, 0), -EINVAL);
    CHECK_EQ(sinew_socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), -EPROTONOSUPPORT);
    int file = sinew_openat(AT_FDCWD, "/dev/null", O_RDWR, 0);
    CHECK(file >= 0);
    CHECK_EQ(sinew_pread(file, &c, 1, -1), -EINVAL);
    CHECK_EQ(sinew_close(file), 0);
    CHECK_EQ(sinew_close(unconnected), 0);
    for (int i = 0; i < 2; i++) {
        close(p[i]);
        close(s[i]);
    }
    return 0;
}

IN_RUNTIME(positions_on_what_has_none_give_espipe)
{
    int p[2];
    char c = 'c';
    if (!CHECK_EQ(pipe(p), 0))
        return 1;
    CHECK_EQ(sinew_pwrite(p[1], &c, 1, 0), -ESPIPE);
    /* So that a read that ignores the position does not wait for ever. */
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(sinew_pread(p[0], &c, 1, 0), -ESPIPE);
    CHECK_EQ(c, 'c');
    close(p[0]);
    close(p[1]);
    return 0;
}

IN_RUNTIME(pointers_into_nowhere_give_efault)
{
    int p[2];
    char *nowhere = (char *)16;
    if (!CHECK_EQ(pipe(p), 0))
        return 1;
    CHECK_EQ(write(p[1], "xyz", 3), 3);
    CHECK_EQ(sinew_read(p[0], nowhere, 1), -EFAULT);
    CHECK_EQ(sinew_write(p[1], nowhere, 1), -EFAULT);
    CHECK_EQ(sinew_openat(AT_FDCWD, nowhere, O_RDONLY, 0), -EFAULT);
    char c = 0;
    CHECK_EQ(sinew_read(p[0], &c, 1), 1);
    CHECK_EQ(c, 'x');
    close(p[0]);
    close(p[1]);
    return 0;
}

IN_RUNTIME(paths_that_lead_nowhere_are_reported)
{
    static char long_name[5000];
    memset(long_name, 'a', sizeof long_name - 1);
    CHECK_EQ(sinew_openat(AT_FDCWD, "/nonexistent/file", O_RDONLY, 0), -ENOENT);
    CHECK_EQ(sinew_openat(AT_FDCWD, "", O_RDONLY, 0), -ENOENT);
    CHECK_EQ(sinew_openat(AT_FDCWD, "/dev/null/file", O_RDONLY, 0), -ENOTDIR);
    CHECK_EQ(sinew_openat(AT_FDCWD, "/tmp", O_WRONLY, 0), -EISDIR);
    CHECK_EQ(sinew_openat(AT_FDCWD, long_name, O_RDONLY, 0), -ENAMETOOLONG);
    return 0;
}

IN_RUNTIME(nobody_listening_gives_econnrefused)
{
    struct sockaddr_in address;
    struct sockaddr_un name;
    socklen_t name_len;
    int listener = loopback_listener(1, &address), local = abstract_listener(1, &name, &name_len);
    char text[64];
    snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(address.sin_port));
    close(listener);
    close(local);
    int fd = sinew_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(sinew_connect(fd, (struct sockaddr *)&address, sizeof address), -ECONNREFUSED);
    CHECK_EQ(sinew_close(fd), 0);
    fd = sinew_socket(AF_UNIX, SOCK_STREAM, 0);
    CHECK_EQ(sinew_connect(fd, (struct sockaddr *)&name, name_len), -ECONNREFUSED);
    CHECK_EQ(sinew_close(fd), 0);
    int descriptors = count_descriptors();
    CHECK_EQ(sinew_dial(text), -ECONNREFUSED);
    CHECK_EQ(count_descriptors(), descriptors);
    return 0;
}

static intptr_t send_to_nobody(void *arg)
{
    (void)arg;
    int s[2];
    char block[1000] = {0};
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0))
        return 1;
    close(s[1]);
    CHECK_EQ(sinew_send(s[0], "x", 1, 0), -EPIPE);
    CHECK_EQ(sinew_send(s[0], "x", 1, MSG_NOSIGNAL), -EPIPE);
    CHECK_EQ(sinew_send_all(s[0], block, sizeof block), -EPIPE);
    close(s[0]);
    struct sockaddr_in address;
    int listener = loopback_listener(1, &address);
    int fd = sinew_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(sinew_connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    int peer = sinew_accept(listener, NULL, NULL, 0);
    CHECK(peer >= 0);
    CHECK_EQ(sinew_shutdown(fd, SHUT_WR), 0);
    CHECK_EQ(sinew_send(fd, "x", 1, 0), -EPIPE);
    close(peer);
    close(fd);
    close(listener);
    return 0;
}

static int run_with_sigpipe_fatal(void *arg)
{
    signal(SIGPIPE, SIG_DFL);
    CHECK_EQ(run_workers(*(unsigned *)arg, send_to_nobody, NULL), 0);
    return 0;
}

static void sending_to_a_peer_that_is_gone_gives_epipe_and_no_signal(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_with_sigpipe_fatal, &workers, &end));
        if (end.code != 0)
            child_fail(__func__, &end);
    }
}

/* Leaves no descriptor free, below whatever the limit was. */
static struct rlimit use_up_descriptors(void)
{
    struct rlimit before, now;
    getrlimit(RLIMIT_NOFILE, &before);
    int lowest_free = dup(STDERR_FILENO);
    close(lowest_free);
    /* Holes below a higher descriptor are filled by staying under the lowest free one. */
    now = before;
    now.rlim_cur = (rlim_t)lowest_free;
    setrlimit(RLIMIT_NOFILE, &now);
    return before;
}

static intptr_t at_the_limit(void *arg)
{
    (void)arg;
    struct sockaddr_in address;
    int listener = loopback_listener(4, &address);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    char text[64];
    snprintf(text, sizeof text, "127.0.0.1:%d", ntohs(address.sin_port));
    struct rlimit before = use_up_descriptors();
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(sinew_openat(AT_FDCWD, "/dev/null", O_RDONLY, 0), -EMFILE);
        CHECK_EQ(sinew_socket(AF_INET, SOCK_STREAM, 0), -EMFILE);
        CHECK_EQ(sinew_accept(listener, NULL, NULL, 0), -EMFILE);
        CHECK_EQ(sinew_dial(text), -EMFILE);
        CHECK_EQ(sinew_listen("127.0.0.1:0", NULL), -EMFILE);
        /* What needs no new descriptor still works. */
        CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
        CHECK_EQ(sinew_await(sinew_spawn(return_arg, (void *)3)), 3);
    }
    setrlimit(RLIMIT_NOFILE, &before);
    int peer = sinew_accept(listener, NULL, NULL, 0);
    CHECK(peer >= 0);
    int file = sinew_openat(AT_FDCWD, "/dev/null", O_RDONLY, 0);
    CHECK(file >= 0);
    close(file);
    close(peer);
    close(client);
    close(listener);
    return 0;
}

static int run_at_the_limit(void *arg)
{
    CHECK_EQ(run_workers(*(unsigned *)arg, at_the_limit, NULL), 0);
    return 0;
}

static void at_the_descriptor_limit_calls_give_emfile_and_recover(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_at_the_limit, &workers, &end));
        if (end.code != 0)
            child_fail(__func__, &end);
    }
}

TEST_MAIN(cmocka_unit_test(every_call_on_a_bad_descriptor_gives_ebadf),
          cmocka_unit_test(descriptors_of_the_wrong_kind_and_mode_are_reported),
          cmocka_unit_test(positions_on_what_has_none_give_espipe), cmocka_unit_test(pointers_into_nowhere_give_efault),
          cmocka_unit_test(paths_that_lead_nowhere_are_reported), cmocka_unit_test(nobody_listening_gives_econnrefused),
          cmocka_unit_test(sending_to_a_peer_that_is_gone_gives_epipe_and_no_signal),
          cmocka_unit_test(at_the_descriptor_limit_calls_give_emfile_and_recover))
