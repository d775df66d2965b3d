/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: datagrams go to and come from addresses; messages carry parts, flags and descriptors; address texts are read
 * and written.
 * Method: UDP on the loopback, unix datagram sockets and pairs; each wrong argument also given to the plain call.
 * Cannot see: loss and reordering, which the loopback has not.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

static sinew_address local_address(int fd)
{
    sinew_address a = {.length = sizeof a.local};
    CHECK_EQ(getsockname(fd, &a.any, &a.length), 0);
    return a;
}

static void ask_and_answer(const char *text)
{
    char buf[16];
    int server = sinew_bind_udp(text, NULL), client = sinew_bind_udp(text, NULL);
    if (!CHECK(server >= 0 && client >= 0))
        return;
    CHECK(fcntl(server, F_GETFD) & FD_CLOEXEC);
    CHECK(sinew_local_port(server) > 0);
    sinew_address to = local_address(server), own = local_address(client), from = {.length = sizeof from.local};
    CHECK_EQ(sinew_sendto(client, "question", 8, 0, &to.any, to.length), 8);
    CHECK_EQ(sinew_recvfrom(server, buf, sizeof buf, 0, &from.any, &from.length), 8);
    CHECK_EQ(memcmp(buf, "question", 8), 0);
    CHECK_EQ(from.length, own.length);
    CHECK_EQ(memcmp(&from, &own, own.length), 0);
    /* To where it came from; too long for the room, and told so. */
    CHECK_EQ(sinew_sendto(server, "answer", 6, 0, &from.any, from.length), 6);
    CHECK_EQ(sinew_recvfrom(client, buf, 3, MSG_TRUNC, NULL, NULL), 6);
    CHECK_EQ(memcmp(buf, "ans", 3), 0);
    /* An empty one is one, too. */
    CHECK_EQ(sinew_sendto(client, NULL, 0, 0, &to.any, to.length), 0);
    CHECK_EQ(sinew_recvfrom(server, buf, sizeof buf, 0, NULL, NULL), 0);
    CHECK_EQ(sinew_recvfrom(server, buf, sizeof buf, MSG_DONTWAIT, NULL, NULL), -EAGAIN);
    close(server);
    close(client);
}

IN_RUNTIME(udp_asks_and_answers)
{
    ask_and_answer("127.0.0.1:0");
    ask_and_answer("localhost:0");
    int v6 = sinew_bind_udp("[::1]:0", NULL);
    if (v6 >= 0)
        ask_and_answer("[::1]:0");
    else
        print_message("this machine has no IPv6 loopback\n");
    close(v6);
    return 0;
}

IN_RUNTIME(a_udp_port_is_shared_only_by_those_who_ask_for_it)
{
    sinew_listen_options shared = {.reuse_port = true};
    char text[64];
    int one = sinew_bind_udp("127.0.0.1:0", NULL);
    sinew_address a = local_address(one);
    CHECK(sinew_address_format(&a, text, sizeof text) > 0);
    CHECK_EQ(sinew_bind_udp(text, NULL), -EADDRINUSE);
    CHECK_EQ(sinew_bind_udp(text, &shared), -EADDRINUSE);
    close(one);
    one = sinew_bind_udp(text, &shared);
    int other = sinew_bind_udp(text, &shared);
    CHECK(one >= 0 && other >= 0);
    close(one);
    close(other);
    CHECK_EQ(sinew_bind_udp("unix:@x", NULL), -EINVAL);
    CHECK_EQ(sinew_bind_udp("example.org:53", NULL), -EINVAL);
    CHECK_EQ(sinew_bind_udp(NULL, NULL), -EINVAL);
    return 0;
}

static intptr_t receive_parts(void *arg)
{
    char a[3], b[10], name[64];
    struct iovec parts[] = {{a, 3}, {b, 10}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2, .msg_name = name, .msg_namelen = sizeof name};
    ssize_t n = sinew_recvmsg(*(int *)arg, &m, 0);
    CHECK_EQ(n, 7);
    CHECK_EQ(memcmp(a, "abc", 3), 0);
    CHECK_EQ(memcmp(b, "defg", 4), 0);
    CHECK_EQ(m.msg_namelen, sizeof(struct sockaddr_in));
    CHECK_EQ(m.msg_flags & MSG_TRUNC, 0);
    return n;
}

IN_RUNTIME(messages_have_parts_and_are_waited_for)
{
    int server = sinew_bind_udp("127.0.0.1:0", NULL), client = sinew_bind_udp("127.0.0.1:0", NULL);
    sinew_address to = local_address(server);
    struct iovec parts[] = {{"ab", 2}, {"cdefg", 5}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2, .msg_name = &to, .msg_namelen = to.length};
    sinew_task *t = sinew_spawn(receive_parts, &server);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(!sinew_done(t));
    CHECK_EQ(sinew_sendmsg(client, &m, 0), 7);
    CHECK_EQ(sinew_await(t), 7);
    close(server);
    close(client);
    return 0;
}

IN_RUNTIME(what_message_calls_refuse_is_refused)
{
    char c = 'c';
    int fd = sinew_bind_udp("127.0.0.1:0", NULL), p[2], tcp = sinew_socket(AF_INET, SOCK_STREAM, 0);
    sinew_address to = local_address(fd);
    socklen_t none = 0;
    struct msghdr empty = {0}, many = {.msg_iov = (struct iovec *)16, .msg_iovlen = 5000};
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(sinew_sendto(p[1], &c, 1, 0, &to.any, to.length), -ENOTSOCK);
    CHECK_EQ(sinew_recvfrom(p[0], &c, 1, 0, &to.any, &to.length), -ENOTSOCK);
    CHECK_EQ(sinew_recvmsg(p[0], &empty, 0), -ENOTSOCK);
    CHECK_EQ(sinew_sendmsg(-1, &empty, 0), -EBADF);
    CHECK_EQ(sinew_recvmsg(-1, &empty, 0), -EBADF);
    CHECK_EQ(sinew_sendmsg(fd, NULL, 0), -EFAULT);
    CHECK_EQ(sinew_recvmsg(fd, NULL, 0), -EFAULT);
    CHECK_EQ(sinew_sendmsg(fd, &many, 0), -EMSGSIZE);
    CHECK_EQ(sinew_recvmsg(fd, &many, MSG_DONTWAIT), -EMSGSIZE);
    CHECK_EQ(sinew_sendto(fd, &c, 1, 0, NULL, 0), -EDESTADDRREQ);
    CHECK_EQ(sinew_sendto(fd, &c, 1, 0, &to.any, 3), -EINVAL);
    CHECK_EQ(sinew_sendto(fd, (char *)16, 1, 0, &to.any, to.length), -EFAULT);
    CHECK_EQ(sinew_recvfrom(fd, &c, 1, MSG_DONTWAIT, &to.any, NULL), -EFAULT);
    CHECK_EQ(sinew_recvfrom(fd, &c, 1, MSG_DONTWAIT, &to.any, &none), -EAGAIN);
    char *large = calloc(1, 70000);
    CHECK_EQ(sinew_sendto(fd, large, 70000, 0, &to.any, to.length), -EMSGSIZE);
    free(large);
    CHECK_EQ(sinew_sendto(tcp, &c, 1, 0, NULL, 0), -EPIPE);
    CHECK_EQ(sinew_socketpair(AF_INET, SOCK_STREAM, 0, p), -EOPNOTSUPP);
    close(p[0]);
    close(p[1]);
    close(fd);
    close(tcp);
    return 0;
}

/* --- descriptors ---------------------------------------------------------------------------------------------- */

static intptr_t receive_descriptor(void *arg)
{
    return sinew_recv_fd(*(int *)arg);
}

IN_RUNTIME(a_descriptor_goes_over_a_unix_socket)
{
    int s[2], p[2], before = count_descriptors();
    char c = 0;
    CHECK_EQ(sinew_socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    CHECK(fcntl(s[1], F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(pipe(p), 0);
    sinew_task *t = sinew_spawn(receive_descriptor, &s[1]);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK_EQ(sinew_send_fd(s[0], p[1]), 0);
    int got = (int)sinew_await(t);
    CHECK(got >= 0 && got != p[1]);
    CHECK(fcntl(got, F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(write(got, "!", 1), 1);
    CHECK_EQ(read(p[0], &c, 1), 1);
    CHECK_EQ(c, '!');
    close(got);
    CHECK_EQ(sinew_send_fd(s[0], -1), -EBADF);
    CHECK_EQ(sinew_send_fd(p[1], p[0]), -ENOTSOCK);
    /* A byte alone; the end. */
    CHECK_EQ(write(s[0], "x", 1), 1);
    CHECK_EQ(sinew_recv_fd(s[1]), -EBADMSG);
    close(s[0]);
    CHECK_EQ(sinew_recv_fd(s[1]), -ENODATA);
    close(s[1]);
    close(p[0]);
    close(p[1]);
    CHECK_EQ(count_descriptors(), before);
    return 0;
}

/* Two at once, by sendmsg: recv_fd takes the first, and the other one does not leak. */
IN_RUNTIME(descriptors_beyond_the_first_do_not_leak)
{
    int s[2], before = count_descriptors(), two[2] = {STDIN_FILENO, STDERR_FILENO};
    char byte = 'b';
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof two)] = "";
    struct iovec part = {&byte, 1};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    *h = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof two), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    memcpy(CMSG_DATA(h), two, sizeof two);
    CHECK_EQ(sinew_socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    CHECK_EQ(sinew_sendmsg(s[0], &m, 0), 1);
    int got = sinew_recv_fd(s[1]);
    CHECK(got >= 0);
    CHECK_EQ(count_descriptors(), before + 3);
    close(got);
    /* All of them, by recvmsg, and closed by an exec without a word. */
    CHECK_EQ(sinew_sendmsg(s[0], &m, 0), 1);
    memset(control, 0, sizeof control);
    CHECK_EQ(sinew_recvmsg(s[1], &m, 0), 1);
    memcpy(two, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof two);
    for (int i = 0; i < 2; i++) {
        CHECK(fcntl(two[i], F_GETFD) & FD_CLOEXEC);
        close(two[i]);
        close(s[i]);
    }
    CHECK_EQ(count_descriptors(), before);
    return 0;
}

/* --- texts ---------------------------------------------------------------------------------------------------- */

static void address_texts_are_read_and_written(void **state)
{
    (void)state;
    static const char *const texts[] = {"127.0.0.1:80", "[::1]:443",           "[2001:db8::5]:0",
                                        "unix:/tmp/x",  "unix:@abstract name", "0.0.0.0:65535"};
    static const char *const wrong[] = {"localhost:80", "example.org:80", ":80", "127.0.0.1", "unix:", "", "[::1]"};
    char text[SINEW_ADDRESS_TEXT];
    sinew_address a;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        assert_int_equal(sinew_address_parse(texts[i], &a), 0);
        assert_int_equal(sinew_address_format(&a, text, sizeof text), strlen(texts[i]));
        assert_string_equal(text, texts[i]);
        assert_int_equal(sinew_address_format(&a, text, strlen(texts[i])), -ENOSPC);
        assert_int_equal(sinew_address_format(&a, text, strlen(texts[i]) + 1), strlen(texts[i]));
    }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_int_equal(sinew_address_parse(wrong[i], &a), -EINVAL);
    assert_int_equal(sinew_address_parse(NULL, &a), -EINVAL);
    assert_int_equal(sinew_address_parse("127.0.0.1:80", NULL), -EINVAL);
    assert_int_equal(sinew_address_format(NULL, text, sizeof text), -EINVAL);
    a = (sinew_address){.any = {.sa_family = AF_NETLINK}};
    assert_int_equal(sinew_address_format(&a, text, sizeof text), -EAFNOSUPPORT);
    /* The longest names, and none. */
    memset(&a.local, 'p', sizeof a.local);
    a.any.sa_family = AF_UNIX;
    a.length = sizeof a.local;
    assert_int_equal(sinew_address_format(&a, text, sizeof text), 5 + sizeof a.local.sun_path);
    a.length = sizeof a.any.sa_family;
    assert_int_equal(sinew_address_format(&a, text, sizeof text), 5);
}

TEST_MAIN(cmocka_unit_test(udp_asks_and_answers), cmocka_unit_test(a_udp_port_is_shared_only_by_those_who_ask_for_it),
          cmocka_unit_test(messages_have_parts_and_are_waited_for),
          cmocka_unit_test(what_message_calls_refuse_is_refused),
          cmocka_unit_test(a_descriptor_goes_over_a_unix_socket),
          cmocka_unit_test(descriptors_beyond_the_first_do_not_leak),
          cmocka_unit_test(address_texts_are_read_and_written))
