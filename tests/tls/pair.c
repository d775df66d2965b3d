/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a stream over TLS behaves as streams do: data, ends, half-closes, backpressure, both sides at once.
 * Method: both ends in this program. What a foreign implementation says of it is in peers.c, what goes wrong in
 * hazards.c and handshake.c.
 */
#include <tests/support/tls.h>

IN_RUNTIME(what_is_written_is_read_on_the_other_side)
{
    sinew_stream *s[2];
    const char *line;
    if (!tls_pair(s))
        return 0;
    CHECK_EQ(sinew_stream_write(s[0], "hello\n", 6), 0);
    CHECK_EQ(sinew_stream_flush(s[0]), 0);
    CHECK_EQ(sinew_stream_readline(s[1], &line), 6);
    CHECK(memcmp(line, "hello\n", 6) == 0);
    CHECK_EQ(sinew_stream_write(s[1], "you, too\n", 9), 0);
    CHECK_EQ(sinew_stream_flush(s[1]), 0);
    CHECK_EQ(sinew_stream_readline(s[0], &line), 9);
    close_pair(s);
    return 0;
}

TLS_MAIN(cmocka_unit_test(what_is_written_is_read_on_the_other_side))
