/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: connecting to a name with several addresses (A204), as docs/conformance.md lists it; the number in a test's
 * name is the rule's. Method: names with addresses from 127.0.0.0/8 by a stand-in for getaddrinfo; on each of them
 * somebody listens, or nobody, or a listener whose queue is full, which never answers. Which address won is seen by who
 * accepts. Cannot see: how long a stagger is, only that there is one; real networks.
 */
#include <errno.h>
#include <netinet/tcp.h>

#include <tests/support/names.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

enum { QUEUE = 8 };

/* A listener that never answers. */
struct silent {
    int listener, extra[QUEUE];
};

/* -1: somebody else has this port. */
static int listen_at(const char *host, int port, int backlog)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    inet_pton(AF_INET, host, &address.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, backlog) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Two listeners on one port, which is returned. */
static int listen_at_both(const char *first, int first_backlog, const char *second, int second_backlog, int fds[2])
{
    for (int tries = 0; tries < 100; tries++) {
        fds[0] = listen_at(first, 0, first_backlog);
        int port = sinew_local_port(fds[0]);
        fds[1] = listen_at(second, port, second_backlog);
        if (fds[1] >= 0)
            return port;
        close(fds[0]);
    }
    CHECK(false);
    return -1;
}

static void begin_silent(struct silent *s, int listener)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    s->listener = listener;
    CHECK_EQ(getsockname(s->listener, (struct sockaddr *)&address, &len), 0);
    fill_backlog((struct sockaddr *)&address, len, s->extra, QUEUE);
}

static void end_silent(struct silent *s)
{
    close(s->listener);
    for (int i = 0; i < QUEUE; i++)
        if (s->extra[i] >= 0)
            close(s->extra[i]);
}

static const char *text_of(const char *name, int port)
{
    static _Thread_local char text[128];
    snprintf(text, sizeof text, "%s:%d", name, port);
    return text;
}

/* The dialled connection is the one that this listener has, and the only one. */
static void check_won(int fd, int listener)
{
    char c = 0;
    if (!CHECK(fd >= 0)) {
        fprintf(stderr, "... dial gave %d\n", fd);
        return;
    }
    int peer = sinew_accept(listener, NULL, NULL, 0), nodelay = 0;
    socklen_t len = sizeof nodelay;
    CHECK(!(fcntl(fd, F_GETFL) & O_NONBLOCK));
    CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    CHECK_EQ(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &nodelay, &len), 0);
    CHECK(nodelay != 0);
    CHECK_EQ(sinew_send(fd, "!", 1, 0), 1);
    CHECK_EQ(sinew_recv(peer, &c, 1, 0), 1);
    CHECK_EQ(c, '!');
    close(peer);
    close(fd);
    set_nonblocking(listener, true);
    CHECK_EQ(accept(listener, NULL, NULL), -1);
    set_nonblocking(listener, false);
}

IN_RUNTIME(a204_a_name_is_looked_up_and_its_address_connected_to)
{
    names_clear();
    names_add("one.test", "127.0.0.1", NULL);
    int listener = listen_at("127.0.0.1", 0, 16), port = sinew_local_port(listener), before = count_descriptors();
    check_won(sinew_dial(text_of("one.test", port)), listener);
    CHECK_EQ(count_descriptors(), before);
    close(listener);
    return 0;
}

IN_RUNTIME(a204_an_address_that_refuses_is_followed_by_the_next_at_once)
{
    names_clear();
    names_add("two.test", "127.0.0.2", "127.0.0.3", "127.0.0.4", NULL);
    int listener = listen_at("127.0.0.4", 0, 16), port = sinew_local_port(listener), before = count_descriptors();
    /* With a stagger beyond the test's end only the refusals can bring the last one's turn. */
    sinew_dial_options in_turn = {.stagger = SINEW_FOREVER}, late = {.stagger = VERY_LONG};
    check_won(sinew_dial(text_of("two.test", port)), listener);
    check_won(sinew_dial_with(text_of("two.test", port), &in_turn), listener);
    check_won(sinew_dial_with(text_of("two.test", port), &late), listener);
    CHECK_EQ(count_descriptors(), before);
    close(listener);
    return 0;
}

IN_RUNTIME(a204_the_first_that_connects_wins_and_no_other_is_tried)
{
    names_clear();
    names_add("both.test", "127.0.0.2", "127.0.0.3", NULL);
    int fds[2], port = listen_at_both("127.0.0.2", 16, "127.0.0.3", 16, fds);
    check_won(sinew_dial(text_of("both.test", port)), fds[0]);
    set_nonblocking(fds[1], true);
    CHECK_EQ(accept(fds[1], NULL, NULL), -1);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

IN_RUNTIME(a204_an_address_that_does_not_answer_is_overtaken_after_the_stagger)
{
    names_clear();
    names_add("late.test", "127.0.0.2", "127.0.0.3", NULL);
    int fds[2], port = listen_at_both("127.0.0.2", 0, "127.0.0.3", 16, fds), listener = fds[1];
    struct silent silent;
    begin_silent(&silent, fds[0]);
    int before = count_descriptors();
    sinew_dial_options opt = {.stagger = SINEW_MS(5)};
    sinew_time began = sinew_now();
    check_won(sinew_dial_with(text_of("late.test", port), &opt), listener);
    CHECK(sinew_now() - began >= SINEW_MS(5));
    CHECK_EQ(count_descriptors(), before);
    /* In turn, it is waited for, and the time for the whole ends that. */
    opt = (sinew_dial_options){.stagger = SINEW_FOREVER, .timeout = SINEW_MS(5)};
    CHECK_EQ(sinew_dial_with(text_of("late.test", port), &opt), -ETIMEDOUT);
    CHECK_EQ(count_descriptors(), before);
    CHECK_EQ(sinew_yield(), 0);
    end_silent(&silent);
    close(listener);
    return 0;
}

struct dialler {
    const char *name;
    int port, result;
};

static intptr_t dial(void *arg)
{
    struct dialler *d = arg;
    sinew_dial_options opt = {.stagger = SINEW_US(100)};
    d->result = sinew_dial_with(text_of(d->name, d->port), &opt);
    return 0;
}

/* A connect that a full queue has dropped is tried again by the kernel after a second, and so are those that fill the
 * queue. */
IN_RUNTIME_WITH(a204_an_earlier_address_still_wins_when_it_answers_late, 2)
{
    names_clear();
    names_add("slow.test", "127.0.0.2", "127.0.0.3", NULL);
    struct silent first, second;
    int fds[2], port = listen_at_both("127.0.0.2", 0, "127.0.0.3", 0, fds);
    begin_silent(&first, fds[0]);
    begin_silent(&second, fds[1]);
    int before = count_descriptors();
    struct dialler d = {"slow.test", port, 0};
    sinew_task *t = sinew_spawn(dial, &d);
    while (count_descriptors() < before + 3)
        sinew_sleep(SINEW_US(100));
    while (!sinew_done(t)) {
        accept_all(first.listener);
        sinew_sleep(SINEW_MS(1));
    }
    sinew_await(t);
    sinew_address peer = {.length = sizeof peer.local};
    CHECK_EQ(getpeername(d.result, &peer.any, &peer.length), 0);
    CHECK_EQ(peer.v4.sin_addr.s_addr, inet_addr("127.0.0.2"));
    close(d.result);
    CHECK_EQ(count_descriptors(), before);
    end_silent(&first);
    end_silent(&second);
    return 0;
}

IN_RUNTIME(a204_all_failing_gives_the_first_error)
{
    names_clear();
    names_add("none.test", "127.0.0.2", "127.0.0.3", "127.0.0.4", NULL);
    names_add("v6first.test", "::1", "127.0.0.2", NULL);
    names_fail("unknown.test", EAI_NONAME, 0);
    int listener = listen_at("127.0.0.2", 0, 1), port = sinew_local_port(listener), before = count_descriptors();
    close(listener);
    CHECK_EQ(sinew_dial(text_of("none.test", port)), -ECONNREFUSED);
    CHECK_EQ(sinew_dial(text_of("unknown.test", port)), -ENOENT);
    /* That this machine cannot speak to the first one says less than that the second one refuses. */
    sinew_dial_options opt = {.local = "127.0.0.9:0"};
    CHECK_EQ(sinew_dial_with(text_of("v6first.test", port), &opt), -ECONNREFUSED);
    opt.local = "192.0.2.1:0";
    CHECK_EQ(sinew_dial_with(text_of("none.test", port), &opt), -EADDRNOTAVAIL);
    opt.local = "nowhere";
    CHECK_EQ(sinew_dial_with(text_of("none.test", port), &opt), -EINVAL);
    CHECK_EQ(count_descriptors(), before - 1);
    return 0;
}

IN_RUNTIME(a204_the_connection_comes_from_the_local_address_asked_for)
{
    names_clear();
    names_add("one.test", "127.0.0.2", NULL);
    names_add("two.test", "127.0.0.3", "127.0.0.2", NULL);
    int listener = listen_at("127.0.0.2", 0, 16), port = sinew_local_port(listener);
    sinew_dial_options opt = {.local = "127.0.0.77:0"};
    for (int i = 0; i < 2; i++) {
        sinew_address peer = {.length = sizeof peer.local};
        int fd = sinew_dial_with(text_of(i ? "two.test" : "one.test", port), &opt);
        CHECK(fd >= 0);
        int accepted = sinew_accept(listener, &peer.any, &peer.length, 0);
        CHECK_EQ(peer.v4.sin_addr.s_addr, inet_addr("127.0.0.77"));
        close(fd);
        close(accepted);
    }
    close(listener);
    return 0;
}

IN_RUNTIME(a204_the_families_take_turns)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    names_clear();
    names_add("mixed.test", "127.0.0.2", "127.0.0.3", "127.0.0.4", "::1", NULL);
    int other = listen_at("127.0.0.3", 0, 16), port = sinew_local_port(other), on = 1;
    int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    v6.sin6_port = htons((uint16_t)port);
    setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&v6, sizeof v6) != 0 || listen(listener, 16) != 0) {
        print_message("this machine has no IPv6 loopback: not tested\n");
    } else {
        check_won(sinew_dial(text_of("mixed.test", port)), listener);
    }
    close(listener);
    close(other);
    return 0;
}

IN_RUNTIME(a204_a_cancel_closes_what_is_half_made)
{
    names_clear();
    names_add("silent.test", "127.0.0.2", "127.0.0.3", NULL);
    names_hold("slow.test");
    struct silent first, second;
    int fds[2], port = listen_at_both("127.0.0.2", 0, "127.0.0.3", 0, fds);
    begin_silent(&first, fds[0]);
    begin_silent(&second, fds[1]);
    int before = count_descriptors();
    /* While the name is looked up. */
    struct dialler d = {"slow.test", port, 0};
    sinew_task *t = sinew_spawn(dial, &d);
    yield_until(&names_asked, 1);
    sinew_cancel(t);
    sinew_await(t);
    CHECK_EQ(d.result, -ECANCELED);
    names_let_go();
    /* While connections are being made: two, and the descriptor that waits for both. */
    d = (struct dialler){"silent.test", port, 0};
    t = sinew_spawn(dial, &d);
    while (count_descriptors() < before + 3)
        sinew_yield();
    sinew_cancel(t);
    sinew_await(t);
    CHECK_EQ(d.result, -ECANCELED);
    CHECK_EQ(count_descriptors(), before);
    end_silent(&first);
    end_silent(&second);
    return 0;
}

/* Cancels at any moment: a connection is either given out or not there. */
IN_RUNTIME(a204_a_cancel_that_meets_the_winner_leaks_nothing)
{
    names_clear();
    names_add("both.test", "127.0.0.2", "127.0.0.3", NULL);
    int listener = listen_at("127.0.0.3", 0, 16), port = sinew_local_port(listener), before = count_descriptors(),
        won = 0, rounds = (int)scaled(300, 40);
    for (int i = 0; i < rounds; i++) {
        struct dialler d = {"both.test", port, -ECANCELED};
        sinew_task *t = sinew_spawn(dial, &d);
        for (int k = 0; k < i % 7; k++)
            sinew_yield();
        if (i % 3 == 0)
            sinew_sleep(SINEW_US(i % 40));
        sinew_cancel(t);
        sinew_await(t);
        if (d.result >= 0) {
            won++;
            close(d.result);
        } else {
            CHECK_EQ(d.result, -ECANCELED);
        }
        accept_all(listener);
    }
    /* Lookups that were left have descriptors, too, for a moment; with a leak this does not end. */
    while (count_descriptors() != before)
        CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    print_message("%u workers: %d of %d had won\n", sinew_workers(), won, rounds);
    close(listener);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a204_a_name_is_looked_up_and_its_address_connected_to),
          cmocka_unit_test(a204_an_address_that_refuses_is_followed_by_the_next_at_once),
          cmocka_unit_test(a204_the_first_that_connects_wins_and_no_other_is_tried),
          cmocka_unit_test(a204_an_address_that_does_not_answer_is_overtaken_after_the_stagger),
          cmocka_unit_test(a204_an_earlier_address_still_wins_when_it_answers_late),
          cmocka_unit_test(a204_all_failing_gives_the_first_error),
          cmocka_unit_test(a204_the_connection_comes_from_the_local_address_asked_for),
          cmocka_unit_test(a204_the_families_take_turns), cmocka_unit_test(a204_a_cancel_closes_what_is_half_made),
          cmocka_unit_test(a204_a_cancel_that_meets_the_winner_leaks_nothing))
