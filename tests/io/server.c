/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a server that is closed at an awkward moment ends all the same: before it has begun to accept, and while
 * it makes a connection.
 * Method: on each driver. That moment is held open by a getsockopt of the test's own, which the library calls for each
 * connection that it has accepted, and which waits there until the server has been closed
 * Cannot see: other moments; tests/survive meets those by chance.
 */
#include <errno.h>
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

TEST_MAIN(cmocka_unit_test_that_closes(a_server_that_is_closed_before_it_accepts_ends),
          cmocka_unit_test_that_closes(a_connection_that_is_made_while_the_server_closes_is_dropped),
          cmocka_unit_test_that_closes(water_marks_that_contradict_the_default_are_refused_at_the_start))
