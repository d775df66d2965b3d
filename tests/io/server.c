/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a server that is closed at an awkward moment ends all the same: before it has begun to accept, and while it
 * makes a connection. What it can never work with is refused at the start; what it lacks for a while is waited for.
 * Method: on each driver. The moment in which a connection is made is held open by a getsockopt of the test's own,
 * which the library calls for each connection, and which waits there until the server has been closed.
 * Cannot see: other moments; tests/survive meets those by chance.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <tests/support/drivers.h>
#include <tests/support/streams.h>

enum { OPEN, ARMED, HELD };
static atomic_int door; /* ARMED: the next one who comes stands there until it is OPEN */

/* In place of the C library's. */
int getsockopt(int fd, int level, int option, void *restrict value, socklen_t *restrict length)
{
    int armed = ARMED;
    if (level == SOL_SOCKET && option == SO_TYPE && atomic_compare_exchange_strong(&door, &armed, HELD))
        while (atomic_load(&door) == HELD)
            sched_yield();
    return (int)syscall(SYS_getsockopt, fd, level, option, value, length);
}

static intptr_t echo(sinew_stream *s, void *arg)
{
    (void)arg;
    const char *line;
    ssize_t n;
    while ((n = sinew_stream_readline(s, &line)) > 0)
        sinew_stream_write(s, line, (size_t)n);
    return n;
}

static sinew_server *start(void)
{
    sinew_server *s;
    if (!CHECK_EQ(sinew_server_start(sinew_listen("127.0.0.1:0", NULL), NULL, echo, NULL, &s), 0))
        abort();
    return s;
}

/* With a limit, so that what never ends fails here. */
static int wait_closed(sinew_server *s)
{
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_S(10));
    int r = sinew_server_wait_closed(s);
    sinew_timeout_end(&limit);
    return r;
}

ON_EACH_DRIVER(a_server_that_is_closed_before_it_accepts_ends)
{
    sinew_server *s = start();
    CHECK_EQ(sinew_server_close(s), 0);
    CHECK_EQ(wait_closed(s), 0);
    sinew_server_free(s);
    s = start();
    sinew_server_free(s); /* and the descriptor goes with it */
    return 0;
}

/* The connection was made, but is not one of the server's yet, so nobody who closes those comes by. */
static void close_while_a_connection_is_made(void (*close)(sinew_server *s))
{
    sinew_server *s = start();
    char address[64];
    snprintf(address, sizeof address, "127.0.0.1:%d", sinew_server_port(s));
    atomic_store(&door, ARMED);
    int fd = sinew_dial(address);
    CHECK(fd >= 0);
    while (atomic_load(&door) == ARMED)
        sinew_yield();
    close(s);
    atomic_store(&door, OPEN);
    char byte;
    if (CHECK_EQ(wait_closed(s), 0))
        CHECK(sinew_recv(fd, &byte, 1, 0) <= 0);
    CHECK_EQ(sinew_close(fd), 0);
    sinew_server_free(s);
}

static void close_with_clients(sinew_server *s)
{
    CHECK_EQ(sinew_server_close(s), 0);
    CHECK_EQ(sinew_server_close_clients(s), 0);
}

static void drain_for_a_moment(sinew_server *s)
{
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(1));
    CHECK_EQ(sinew_server_drain(s, SINEW_FOREVER), -ETIMEDOUT); /* the connection is not made yet */
    sinew_timeout_end(&limit);
}

ON_EACH_DRIVER(a_connection_that_is_made_while_the_server_closes_is_dropped)
{
    if (sinew_workers() == 1) /* the one worker would stand at the door */
        return 0;
    close_while_a_connection_is_made(close_with_clients);
    close_while_a_connection_is_made(drain_for_a_moment);
    return 0;
}

ON_EACH_DRIVER(water_marks_that_contradict_the_default_are_refused_at_the_start)
{
    sinew_server_options opt = {.stream.write_low = 100000};
    sinew_server *s;
    int listener = sinew_listen("127.0.0.1:0", NULL);
    CHECK_EQ(sinew_server_start(listener, &opt, echo, NULL, &s), -EINVAL);
    opt.stream.write_high = 100000;
    CHECK_EQ(sinew_server_start(listener, &opt, echo, NULL, &s), 0);
    sinew_server_free(s);
    return 0;
}

static void take_report(const sinew_error_report *report, void *arg)
{
    atomic_store((atomic_int *)arg, (int)report->error);
}

/* A stack larger than the address space: no thread can be had. */
static void refuse_threads(bool refuse)
{
    static pthread_attr_t usual, impossible;
    if (refuse) {
        pthread_getattr_default_np(&usual);
        pthread_attr_init(&impossible);
        CHECK_EQ(pthread_attr_setstacksize(&impossible, (size_t)1 << 48), 0);
    }
    CHECK_EQ(pthread_setattr_default_np(refuse ? &impossible : &usual), 0);
}

/* Where no flag keeps accept from blocking it is made in a thread. */
ON_EACH_DRIVER(accepting_without_a_thread_is_a_shortage_like_others)
{
    if (strcmp(sinew_driver_name(), "epoll") != 0)
        return 0;
    atomic_int told = 0;
    sinew_server *s;
    struct sockaddr_in address;
    int listener = loopback_listener(1, &address); /* without O_NONBLOCK */
    CHECK_EQ(sinew_server_start(listener, NULL, echo, NULL, &s), 0);
    CHECK_EQ(sinew_set_error_handler(take_report, &told), 0);
    refuse_threads(true);
    char text[64];
    snprintf(text, sizeof text, "127.0.0.1:%d", sinew_server_port(s));
    int fd = sinew_dial(text);
    for (int i = 0; i < 5000 && atomic_load(&told) == 0; i++)
        CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    CHECK_EQ(told, -EAGAIN);
    refuse_threads(false);
    CHECK_EQ(sinew_send_all(fd, "line\n", 5), 0);
    char line[5];
    CHECK_EQ(sinew_recv(fd, line, 5, MSG_WAITALL), 5); /* after the pause */
    CHECK_EQ(sinew_close(fd), 0);
    CHECK_EQ(sinew_server_close(s), 0);
    CHECK_EQ(wait_closed(s), 0);
    sinew_server_free(s);
    CHECK_EQ(sinew_set_error_handler(NULL, NULL), 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test_that_closes(a_server_that_is_closed_before_it_accepts_ends),
          cmocka_unit_test_that_closes(a_connection_that_is_made_while_the_server_closes_is_dropped),
          cmocka_unit_test_that_closes(water_marks_that_contradict_the_default_are_refused_at_the_start),
          cmocka_unit_test_that_closes(accepting_without_a_thread_is_a_shortage_like_others))
