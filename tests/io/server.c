/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a server that is closed at an awkward moment ends all the same: before it has begun to accept.
 * Method: on each driver.
 * Cannot see: other moments; tests/survive meets those by chance.
 */
#include <errno.h>
#include <tests/support/drivers.h>
#include <tests/support/streams.h>

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

TEST_MAIN(cmocka_unit_test_that_closes(a_server_that_is_closed_before_it_accepts_ends))
