/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: listen and dial read addresses as sinew/net.h says, set what it says, and refuse what is no address.
 * Method: each kind of address is listened on and dialled in one task; bad texts are given to both calls.
 * Cannot see: names other than localhost (io/resolve.c, conformance/dial.c); machines without IPv6 test less, and say
 * so.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <tests/support/child.h>
#include <tests/support/files.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

static bool have_v6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    struct sockaddr_in6 loopback = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&loopback, sizeof loopback) == 0;
    close(fd);
    if (!ok)
        print_message("this machine has no IPv6 loopback: its addresses are not tested\n");
    return ok;
}

/* A byte each way between a dialled and an accepted connection. Closes both. */
static void exchange(int listener, const char *address)
{
    int client = sinew_dial(address);
    if (!CHECK(client >= 0)) {
        fprintf(stderr, "... dial %s gave %d\n", address, client);
        return;
    }
    int server = sinew_accept(listener, NULL, NULL, 0);
    CHECK(server >= 0);
    char c = 0;
    CHECK_EQ(sinew_send(client, "?", 1, 0), 1);
    CHECK_EQ(sinew_recv(server, &c, 1, 0), 1);
    CHECK_EQ(c, '?');
    CHECK_EQ(sinew_send(server, "!", 1, 0), 1);
    CHECK_EQ(sinew_recv(client, &c, 1, 0), 1);
    CHECK_EQ(c, '!');
    CHECK_EQ(sinew_close(client), 0);
    CHECK_EQ(sinew_close(server), 0);
}

static void listen_and_exchange(const char *listen_on, const char *dial_format)
{
    char address[64];
    int listener = sinew_listen(listen_on, NULL);
    if (!CHECK(listener >= 0)) {
        fprintf(stderr, "... listen %s gave %d\n", listen_on, listener);
        return;
    }
    int port = sinew_local_port(listener);
    CHECK(port > 0 && port < 65536);
    snprintf(address, sizeof address, "%s:%d", dial_format, port);
    exchange(listener, address);
    CHECK_EQ(sinew_close(listener), 0);
}

IN_RUNTIME(v4_addresses_work)
{
    listen_and_exchange("127.0.0.1:0", "127.0.0.1");
    listen_and_exchange("0.0.0.0:0", "127.0.0.1");
    listen_and_exchange("127.0.0.1:0", "localhost");
    listen_and_exchange(":0", "127.0.0.1");
    listen_and_exchange(":0", "localhost");
    listen_and_exchange("localhost:0", "localhost");
    return 0;
}

IN_RUNTIME(v6_addresses_work)
{
    if (!have_v6())
        return 0;
    listen_and_exchange("[::1]:0", "[::1]");
    listen_and_exchange("[::]:0", "[::1]");
    /* Every address means both families. */
    listen_and_exchange(":0", "[::1]");
    listen_and_exchange("[::]:0", "127.0.0.1");
    /* localhost is tried in both families: here the first one answers. */
    listen_and_exchange("[::1]:0", "localhost");
    return 0;
}

IN_RUNTIME(v6_only_keeps_v4_out)
{
    if (!have_v6())
        return 0;
    sinew_listen_options opt = {.v6_only = true};
    char address[64];
    int listener = sinew_listen("[::]:0", &opt);
    CHECK(listener >= 0);
    snprintf(address, sizeof address, "127.0.0.1:%d", sinew_local_port(listener));
    CHECK_EQ(sinew_dial(address), -ECONNREFUSED);
    snprintf(address, sizeof address, "[::1]:%d", sinew_local_port(listener));
    exchange(listener, address);
    CHECK_EQ(sinew_close(listener), 0);
    return 0;
}

IN_RUNTIME(a_fixed_port_is_taken_once)
{
    char address[64];
    int first = sinew_listen("127.0.0.1:0", NULL);
    int port = sinew_local_port(first);
    snprintf(address, sizeof address, "127.0.0.1:%d", port);
    CHECK_EQ(sinew_listen(address, NULL), -EADDRINUSE);
    exchange(first, address);
    CHECK_EQ(sinew_close(first), 0);
    /* At once again, although the old connection may linger. */
    int second = sinew_listen(address, NULL);
    CHECK(second >= 0);
    CHECK_EQ(sinew_local_port(second), port);
    CHECK_EQ(sinew_close(second), 0);
    return 0;
}

IN_RUNTIME(reuse_port_lets_several_listen)
{
    sinew_listen_options opt = {.reuse_port = true};
    char address[64];
    int first = sinew_listen("127.0.0.1:0", &opt);
    snprintf(address, sizeof address, "127.0.0.1:%d", sinew_local_port(first));
    int second = sinew_listen(address, &opt);
    CHECK(second >= 0);
    CHECK_EQ(sinew_local_port(second), sinew_local_port(first));
    CHECK_EQ(sinew_close(first), 0);
    CHECK_EQ(sinew_close(second), 0);
    return 0;
}

IN_RUNTIME(dialled_tcp_sockets_send_at_once)
{
    char address[64];
    int listener = sinew_listen("127.0.0.1:0", NULL);
    snprintf(address, sizeof address, "127.0.0.1:%d", sinew_local_port(listener));
    int fd = sinew_dial(address), nodelay = 0;
    socklen_t len = sizeof nodelay;
    CHECK(fd >= 0);
    CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len), 0);
    CHECK(nodelay != 0);
    CHECK(sinew_local_port(fd) > 0);
    CHECK_EQ(sinew_close(fd), 0);
    CHECK_EQ(sinew_close(listener), 0);
    return 0;
}

IN_RUNTIME(unix_paths_work_and_stale_ones_are_replaced)
{
    char directory[TEMPORARY_PATH], path[96], address[128];
    if (!CHECK(temporary_directory(directory)))
        return 1;
    snprintf(path, sizeof path, "%s/socket", directory);
    snprintf(address, sizeof address, "unix:%s", path);
    CHECK_EQ(sinew_dial(address), -ENOENT);
    int listener = sinew_listen(address, NULL);
    CHECK(listener >= 0);
    exchange(listener, address);
    /* A path somebody listens on is not stale. Finding that out may take a connection. */
    CHECK_EQ(sinew_listen(address, NULL), -EADDRINUSE);
    accept_all(listener);
    exchange(listener, address);
    CHECK_EQ(sinew_close(listener), 0);
    struct stat st;
    CHECK_EQ(stat(path, &st), 0);
    CHECK_EQ(sinew_dial(address), -ECONNREFUSED);
    sinew_listen_options keep = {.keep_path = true};
    CHECK_EQ(sinew_listen(address, &keep), -EADDRINUSE);
    listener = sinew_listen(address, NULL);
    CHECK(listener >= 0);
    exchange(listener, address);
    CHECK_EQ(sinew_close(listener), 0);
    unlink(path);
    /* Something else than a socket is never removed. */
    FILE *file = fopen(path, "w");
    fclose(file);
    CHECK_EQ(sinew_listen(address, NULL), -EADDRINUSE);
    CHECK_EQ(stat(path, &st), 0);
    CHECK(S_ISREG(st.st_mode));
    unlink(path);
    CHECK_EQ(rmdir(directory), 0);
    return 0;
}

IN_RUNTIME(abstract_names_work)
{
    char address[64];
    snprintf(address, sizeof address, "unix:@sinew-test-%d-%u", getpid(), sinew_workers());
    CHECK_EQ(sinew_dial(address), -ECONNREFUSED);
    int listener = sinew_listen(address, NULL);
    CHECK(listener >= 0);
    exchange(listener, address);
    CHECK_EQ(sinew_listen(address, NULL), -EADDRINUSE);
    CHECK(sinew_local_port(listener) < 0);
    CHECK_EQ(sinew_close(listener), 0);
    return 0;
}

static const char *const bad_addresses[] = {
    "",
    "127.0.0.1",
    "127.0.0.1:",
    "127.0.0.1:65536",
    "127.0.0.1:99999999999999999999",
    "127.0.0.1:-1",
    "127.0.0.1:http",
    "127.0.0.1:80x",
    "127.0.0.1: 80",
    "300.0.0.1:80",
    "1.2.3:80x",
    "[::1]",
    "[::1:80",
    "::1]:80",
    "[]:80",
    "[::1]80",
    "[127.0.0.1]:80",
    "[xyz]:80",
    "unix:",
    "unix:@",
    ":",
    "-:80",
    "a..b:80",
    ".:80",
    ".org:80",
    "example.1:80",
    "exam ple.org:80",
    "ex\xc3\xa4mple.org:80",
    "tcp://127.0.0.1:80",
};

static intptr_t use_bad_addresses(void *arg)
{
    (void)arg;
    int descriptors = count_descriptors();
    for (size_t i = 0; i < sizeof bad_addresses / sizeof bad_addresses[0]; i++) {
        int listened = sinew_listen(bad_addresses[i], NULL), dialled = sinew_dial(bad_addresses[i]);
        if (!CHECK_EQ(listened, -EINVAL) || !CHECK_EQ(dialled, -EINVAL))
            fprintf(stderr, "... with \"%s\"\n", bad_addresses[i]);
    }
    /* Longer than a socket address. */
    static char long_path[300];
    memset(long_path, 'p', sizeof long_path - 1);
    memcpy(long_path, "unix:/", 6);
    int listened = sinew_listen(long_path, NULL), dialled = sinew_dial(long_path);
    CHECK(listened == -EINVAL || listened == -ENAMETOOLONG);
    CHECK(dialled == -EINVAL || dialled == -ENAMETOOLONG);
    CHECK_EQ(sinew_listen(NULL, NULL), -EINVAL);
    /* Listening does not look names up. */
    CHECK_EQ(sinew_listen("example.org:80", NULL), -EINVAL);
    CHECK_EQ(sinew_dial(NULL), -EINVAL);
    CHECK_EQ(count_descriptors(), descriptors);
    return 0;
}

static int run_bad_addresses(void *arg)
{
    CHECK_EQ(run_workers(*(unsigned *)arg, use_bad_addresses, NULL), 0);
    return 0;
}

static void bad_addresses_give_einval_and_a_line_on_stderr(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_bad_addresses, &workers, &end));
        /* The text complained of is shown. */
        if (end.code != 0 || !strstr(end.err, "127.0.0.1:65536"))
            child_fail(__func__, &end);
    }
}

static void listen_works_outside_of_a_task(void **state)
{
    (void)state;
    int fd = sinew_listen("127.0.0.1:0", NULL);
    assert_true(fd >= 0);
    int port = sinew_local_port(fd);
    assert_true(port > 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int client = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&address, sizeof address), 0);
    close(client);
    close(fd);
}

static intptr_t dial_and_close(void *arg)
{
    int fd = sinew_dial(arg);
    return fd < 0 ? fd : sinew_close(fd);
}

IN_RUNTIME(many_dial_one_listener_at_once)
{
    enum { DIALS = 200 };
    char address[64];
    int listener = sinew_listen("127.0.0.1:0", NULL);
    snprintf(address, sizeof address, "127.0.0.1:%d", sinew_local_port(listener));
    CHECK_EQ(sinew_map(dial_and_close, address, 0, DIALS, NULL), 0);
    for (int i = 0; i < DIALS; i++) {
        int fd = sinew_accept(listener, NULL, NULL, 0);
        if (!CHECK(fd >= 0))
            break;
        CHECK_EQ(sinew_close(fd), 0);
    }
    CHECK_EQ(sinew_close(listener), 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(v4_addresses_work), cmocka_unit_test(v6_addresses_work),
          cmocka_unit_test(v6_only_keeps_v4_out), cmocka_unit_test(a_fixed_port_is_taken_once),
          cmocka_unit_test(reuse_port_lets_several_listen), cmocka_unit_test(dialled_tcp_sockets_send_at_once),
          cmocka_unit_test(unix_paths_work_and_stale_ones_are_replaced), cmocka_unit_test(abstract_names_work),
          cmocka_unit_test(bad_addresses_give_einval_and_a_line_on_stderr),
          cmocka_unit_test(listen_works_outside_of_a_task), cmocka_unit_test(many_dial_one_listener_at_once))
