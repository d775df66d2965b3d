/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: whatever a peer or the network between does, a handshake and a session end with the error that says so, nothing
 * hangs or is taken for what it is not, and timeouts and cancels reach every place in which a session can wait.
 * Method: both ends in this program, and a relay between them that passes bytes on, one at a time if need be, changes
 * one, and at a given byte stops or cuts the connection. That byte goes through all parts of the handshake.
 */
#include <tests/support/tls.h>

/* --- a network that can be broken --------------------------------------------------------------------------------- */

typedef enum end { NEVER, STALL, CUT } end;

typedef struct relay {
    sinew_stream *from, *to;
    size_t limit; /* so many bytes are passed on, then `then` */
    end then;
    size_t at_once;    /* 0: what comes */
    _Atomic bool flip; /* a bit of what comes next is changed */
    size_t passed;
} relay;

static intptr_t pass_on(void *arg)
{
    relay *r = arg;
    char block[4096];
    for (;;) {
        size_t most = r->at_once ? r->at_once : sizeof block;
        if (r->then != NEVER && r->limit - r->passed < most)
            most = r->limit - r->passed;
        if (most == 0)
            break;
        ssize_t n = sinew_stream_read(r->from, block, most);
        if (n <= 0) {
            sinew_stream_write_eof(r->to);
            return 0;
        }
        if (atomic_exchange(&r->flip, false))
            block[n - 1] ^= 0x20;
        if (sinew_stream_write(r->to, block, (size_t)n) != 0 || sinew_stream_flush(r->to) != 0)
            return 0;
        r->passed += (size_t)n;
    }
    if (r->then == CUT) {
        sinew_stream_close(r->to);
        sinew_stream_close(r->from);
    } else {
        sinew_sleep(SINEW_FOREVER);
    }
    return 0;
}

typedef struct network {
    tls_side client, server;
    sinew_stream *middle[2];
    relay up, down; /* to the server, to the client */
    sinew_task *tasks[2];
} network;

static bool network_begin(network *n)
{
    sinew_stream *near[2], *far[2];
    if (!stream_pair(near) || !stream_pair(far))
        return false;
    n->client.stream = near[0];
    n->server.stream = far[1];
    n->middle[0] = near[1];
    n->middle[1] = far[0];
    n->client.opt.server_name = "localhost";
    if (!n->client.context)
        n->client.context = client_context(NULL);
    if (!n->server.context)
        n->server.context = server_context("server", NULL);
    n->up.from = n->down.to = n->middle[0];
    n->up.to = n->down.from = n->middle[1];
    n->tasks[0] = sinew_spawn(pass_on, &n->up);
    n->tasks[1] = sinew_spawn(pass_on, &n->down);
    return true;
}

static void network_end(network *n)
{
    sinew_stream_close(n->client.stream);
    sinew_stream_close(n->server.stream);
    sinew_stream_close(n->middle[0]);
    sinew_stream_close(n->middle[1]);
    for (int i = 0; i < 2; i++) {
        sinew_cancel(n->tasks[i]);
        sinew_await(n->tasks[i]);
    }
    sinew_stream_unref(n->middle[0]);
    sinew_stream_unref(n->middle[1]);
    sinew_stream_unref(n->client.stream);
    sinew_stream_unref(n->server.stream);
    sinew_tls_context_unref(n->client.context);
    sinew_tls_context_unref(n->server.context);
}

/* The handshake on both sides at once. */
static void network_meet(network *n)
{
    sinew_task *other = sinew_spawn(tls_side_start, &n->server);
    tls_side_start(&n->client);
    CHECK_EQ(sinew_await(other), 0);
}

/* After a handshake that did not come to its end. */
static void check_unusable(tls_side *side, const char *why)
{
    char byte, text[256];
    CHECK_EQ(sinew_stream_read(side->stream, &byte, 1), -ECONNABORTED);
    CHECK_EQ(sinew_stream_write(side->stream, "x", 1), -EPIPE);
    CHECK_EQ(sinew_stream_drain(side->stream), -ECONNABORTED);
    CHECK(sinew_stream_is_closing(side->stream));
    CHECK_EQ(sinew_tls_start(side->stream, side->context, &side->opt), -ECONNABORTED);
    CHECK(sinew_tls_error(side->stream, text, sizeof text) > 0);
    CHECK_CONTAINS(text, why);
}

/* --- handshakes --------------------------------------------------------------------------------------------------- */

static intptr_t start_within_a_moment(void *arg)
{
    tls_side *side = arg;
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(30));
    tls_side_start(side);
    CHECK_EQ(sinew_timeout_end(&limit), side->result == -ETIMEDOUT ? -ETIMEDOUT : 0);
    return side->result;
}

IN_RUNTIME(a_peer_that_says_nothing_is_timed_out)
{
    for (int server = 0; server < 2; server++) {
        sinew_stream *s[2];
        tls_side side = {.context = server ? server_context("server", NULL) : client_context(NULL),
                         .opt.server_name = "localhost"};
        if (!stream_pair(s))
            return 0;
        side.stream = s[0];
        CHECK_EQ(start_within_a_moment(&side), -ETIMEDOUT);
        CHECK_CONTAINS(side.why.text, "took too long");
        check_unusable(&side, "took too long");
        close_pair(s);
        sinew_tls_context_unref(side.context);
    }
    return 0;
}

/* Cancels, at each byte of what one side says. A handshake has about 1.5 KiB of them. */
static void stop_at_each_part(bool up, bool cancel, sinew_tls_version version)
{
    sinew_tls_context_options opt = {.version_max = version};
    sinew_tls_context *client = client_context(NULL), *server = server_context("server", &opt);
    int stopped = 0;
    for (size_t limit = 0; limit < 3000; limit += scaled(97, 199)) {
        network n = {.client.context = sinew_tls_context_ref(client), .server.context = sinew_tls_context_ref(server)};
        relay *way = up ? &n.up : &n.down;
        *way = (relay){.limit = limit, .then = STALL};
        if (!network_begin(&n))
            return;
        tls_side *sides[2] = {&n.client, &n.server};
        sinew_task *tasks[2];
        for (int i = 0; i < 2; i++)
            tasks[i] = sinew_spawn(cancel ? tls_side_start : start_within_a_moment, sides[i]);
        if (cancel) {
            sinew_sleep(SINEW_MS(10));
            sinew_cancel(tasks[0]);
            sinew_cancel(tasks[1]);
        }
        for (int i = 0; i < 2; i++) {
            sinew_await(tasks[i]);
            int r = sides[i]->result;
            if (!CHECK(r == 0 || r == (cancel ? -ECANCELED : -ETIMEDOUT)))
                fprintf(stderr, "%s at %zu: %d %s\n", i ? "server" : "client", limit, r, sides[i]->why.text);
            if (r < 0) {
                stopped++;
                check_unusable(sides[i], cancel ? "cancelled" : "took too long");
            }
        }
        bool through = n.client.result == 0 && n.server.result == 0;
        network_end(&n);
        if (through)
            break;
    }
    CHECK(stopped >= 2);
    sinew_tls_context_unref(client);
    sinew_tls_context_unref(server);
}

IN_RUNTIME(a_handshake_that_stops_anywhere_is_timed_out)
{
    stop_at_each_part(true, false, SINEW_TLS_1_3);
    stop_at_each_part(false, false, SINEW_TLS_1_3);
    stop_at_each_part(true, false, SINEW_TLS_1_2);
    return 0;
}

IN_RUNTIME(a_handshake_that_stops_anywhere_can_be_cancelled)
{
    stop_at_each_part(true, true, SINEW_TLS_1_3);
    stop_at_each_part(false, true, SINEW_TLS_1_3);
    stop_at_each_part(false, true, SINEW_TLS_1_2);
    return 0;
}

IN_RUNTIME(a_handshake_that_is_cut_anywhere_fails_on_both_sides)
{
    sinew_tls_context *client = client_context(NULL), *server = server_context("server", NULL);
    int failed = 0;
    for (size_t limit = 0; limit < 1500; limit += scaled(79, 249))
        for (int up = 0; up < 2; up++) {
            network n = {.client.context = sinew_tls_context_ref(client),
                         .server.context = sinew_tls_context_ref(server)};
            *(up ? &n.up : &n.down) = (relay){.limit = limit, .then = CUT};
            if (!network_begin(&n))
                return 0;
            network_meet(&n);
            tls_side *sides[2] = {&n.client, &n.server};
            bool through = n.client.result == 0 && n.server.result == 0; /* it has no more bytes than that */
            for (int i = 0; i < 2 && !through; i++) {
                int r = sides[i]->result;
                char byte;
                if (r == 0) { /* its part was over */
                    r = (int)sinew_stream_read(sides[i]->stream, &byte, 1);
                    sinew_tls_error(sides[i]->stream, sides[i]->why.text, sizeof sides[i]->why.text);
                }
                if (!CHECK(r == -ECONNABORTED || r == -ECONNRESET))
                    fprintf(stderr, "%s at %zu %s: %d %s\n", i ? "server" : "client", limit, up ? "up" : "down", r,
                            sides[i]->why.text);
            }
            network_end(&n);
            failed += !through;
        }
    CHECK(failed > 5);
    sinew_tls_context_unref(client);
    sinew_tls_context_unref(server);
    return 0;
}

IN_RUNTIME(a_byte_at_a_time_is_as_good_as_any)
{
    network n = {.up.at_once = 1, .down.at_once = 1};
    char text[3000], got[3000];
    memset(text, 'x', sizeof text);
    if (!network_begin(&n))
        return 0;
    network_meet(&n);
    CHECK_EQ(n.client.result, 0);
    CHECK_EQ(n.server.result, 0);
    CHECK_EQ(sinew_stream_write(n.client.stream, text, sizeof text), 0);
    CHECK_EQ(sinew_stream_flush(n.client.stream), 0);
    CHECK_EQ(sinew_stream_read_exactly(n.server.stream, got, sizeof got), 0);
    CHECK(memcmp(text, got, sizeof got) == 0);
    network_end(&n);
    return 0;
}

static void say_instead(const char *text, size_t length, bool to_server, bool alert)
{
    sinew_stream *s[2];
    tls_side side = {.context = to_server ? server_context("server", NULL) : client_context(NULL),
                     .opt.server_name = "localhost"};
    if (!stream_pair(s))
        return;
    side.stream = s[0];
    CHECK_EQ(sinew_stream_write(s[1], text, length), 0);
    CHECK_EQ(sinew_stream_flush(s[1]), 0);
    tls_side_start(&side);
    CHECK_EQ(side.result, -EPROTO);
    CHECK_CONTAINS(side.why.text, "TLS failed");
    char first;
    CHECK_EQ(sinew_stream_close(s[0]), 0);
    ssize_t n = sinew_stream_read(s[1], &first, 1);
    if (!to_server)
        CHECK(n == 1 && first == 0x16); /* its hello */
    else if (alert)
        CHECK(n == 1 && first == 0x15);
    else
        CHECK(n <= 0);
    close_pair(s);
    sinew_tls_context_unref(side.context);
}

IN_RUNTIME(garbage_instead_of_a_handshake_is_a_protocol_error)
{
    char block[20000];
    for (size_t i = 0; i < sizeof block; i++)
        block[i] = (char)(i * i * 7 + 1);
    for (int to_server = 0; to_server < 2; to_server++) {
        say_instead("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 35, to_server, false);
        say_instead("220 smtp.example.org ready\r\n", 28, to_server, false);
        say_instead(block, sizeof block, to_server, false);
        say_instead("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10, to_server, true); /* a hello that is too short */
        say_instead("\x17\x03\x03\x00\x05hello", 10, to_server, true);                /* data before the handshake */
    }
    return 0;
}

static intptr_t close_later(void *arg)
{
    sinew_sleep(SINEW_MS(3));
    CHECK_EQ(sinew_stream_close(arg), 0);
    return 0;
}

static intptr_t abort_later(void *arg)
{
    sinew_sleep(SINEW_MS(3));
    CHECK_EQ(sinew_stream_abort(arg), 0);
    return 0;
}

IN_RUNTIME(a_close_or_an_abort_ends_a_handshake)
{
    for (int i = 0; i < 2; i++) {
        sinew_stream *s[2];
        tls_side side = {.context = client_context(NULL), .opt.server_name = "localhost"};
        if (!stream_pair(s))
            return 0;
        side.stream = s[0];
        sinew_task *other = sinew_spawn(i ? abort_later : close_later, s[0]);
        tls_side_start(&side);
        CHECK_EQ(side.result, -ECONNABORTED);
        CHECK_CONTAINS(side.why.text, "was closed");
        CHECK_EQ(sinew_await(other), 0);
        sinew_stream_wait_closed(s[0]);
        CHECK_EQ(sinew_stream_fd(s[0]), -1);
        close_pair(s);
        sinew_tls_context_unref(side.context);
    }
    return 0;
}

static intptr_t write_meanwhile(void *arg)
{
    sinew_stream *s = arg;
    sinew_sleep(SINEW_MS(3));
    CHECK_EQ(sinew_stream_write(s, "early\n", 6), 0);
    return sinew_stream_flush(s);
}

IN_RUNTIME(what_others_write_during_a_handshake_goes_out_encrypted_after_it)
{
    network n = {.up = {.limit = 100, .then = STALL}};
    const char *line;
    if (!network_begin(&n))
        return 0;
    sinew_task *writer = sinew_spawn(write_meanwhile, n.client.stream);
    CHECK_EQ(start_within_a_moment(&n.client), -ETIMEDOUT);
    CHECK_EQ(sinew_await(writer), -ECONNABORTED);
    network_end(&n);

    n = (network){.up.limit = 0};
    if (!network_begin(&n))
        return 0;
    sinew_task *client = sinew_spawn(tls_side_start, &n.client);
    writer = sinew_spawn(write_meanwhile, n.client.stream);
    while (sinew_stream_unsent(n.client.stream) == 0)
        sinew_sleep(SINEW_MS(1));
    sinew_sleep(SINEW_MS(3));
    CHECK_EQ(sinew_stream_unsent(n.client.stream), 6); /* waits, as the server says nothing yet */
    tls_side_start(&n.server);
    CHECK_EQ(sinew_await(client), 0);
    CHECK_EQ(n.client.result, 0);
    CHECK_EQ(n.server.result, 0);
    CHECK_EQ(sinew_await(writer), 0);
    CHECK_EQ(sinew_stream_readline(n.server.stream, &line), 6);
    network_end(&n);
    return 0;
}

/* --- open sessions ------------------------------------------------------------------------------------------------ */

IN_RUNTIME(a_byte_that_was_changed_on_its_way_is_noticed)
{
    network n = {.up.limit = 0};
    char byte;
    if (!network_begin(&n))
        return 0;
    network_meet(&n);
    CHECK_EQ(n.client.result, 0);
    CHECK_EQ(sinew_stream_write(n.client.stream, "one", 3), 0);
    char got[3];
    CHECK_EQ(sinew_stream_read_exactly(n.server.stream, got, 3), 0);
    atomic_store(&n.up.flip, true);
    CHECK_EQ(sinew_stream_write(n.client.stream, "two", 3), 0);
    CHECK_EQ(sinew_stream_flush(n.client.stream), 0);
    CHECK_EQ(sinew_stream_read(n.server.stream, &byte, 1), -EPROTO);
    CHECK_EQ(sinew_stream_read(n.server.stream, &byte, 1), -EPROTO);
    CHECK_EQ(sinew_stream_write(n.server.stream, "x", 1), -EPIPE);
    sinew_tls_error(n.server.stream, n.server.why.text, sizeof n.server.why.text);
    CHECK_CONTAINS(n.server.why.text, "bad record mac");
    CHECK_EQ(sinew_stream_read(n.client.stream, &byte, 1), -EPROTO);
    sinew_tls_error(n.client.stream, n.client.why.text, sizeof n.client.why.text);
    CHECK_CONTAINS(n.client.why.text, "the peer broke off");
    network_end(&n);
    return 0;
}

/* What came before the cut is still delivered. */
static void cut_after_data(bool ignore, ssize_t expected)
{
    network n = {.client.context = client_context(&(sinew_tls_context_options){.ignore_truncation = ignore})};
    char got[5], byte;
    if (!network_begin(&n))
        return;
    network_meet(&n);
    CHECK_EQ(n.client.result, 0);
    CHECK_EQ(sinew_stream_write(n.server.stream, "whole", 5), 0);
    CHECK_EQ(sinew_stream_flush(n.server.stream), 0);
    CHECK_EQ(sinew_stream_read_exactly(n.client.stream, got, 5), 0);
    CHECK_EQ(sinew_stream_write_eof(n.middle[0]), 0);
    CHECK_EQ(sinew_stream_read(n.client.stream, &byte, 1), expected);
    CHECK_EQ(sinew_stream_read(n.client.stream, &byte, 1), expected);
    sinew_tls_error(n.client.stream, n.client.why.text, sizeof n.client.why.text);
    CHECK_CONTAINS(n.client.why.text, ignore ? "" : "close_notify");
    network_end(&n);
}

IN_RUNTIME(an_end_without_a_goodbye_is_no_end)
{
    cut_after_data(false, -ECONNABORTED);
    return 0;
}

IN_RUNTIME(unless_one_does_not_care)
{
    cut_after_data(true, 0);
    return 0;
}

IN_RUNTIME(an_abort_tells_the_peer_of_no_end)
{
    sinew_stream *s[2];
    char byte;
    if (!tls_pair(s))
        return 0;
    CHECK_EQ(sinew_stream_abort(s[0]), 0);
    ssize_t r = sinew_stream_read(s[1], &byte, 1);
    CHECK(r == -ECONNRESET || r == -ECONNABORTED);
    CHECK_EQ(sinew_stream_wait_closed(s[0]), 0);
    close_pair(s);
    return 0;
}

static intptr_t time_to_close(void *arg)
{
    sinew_time begin = sinew_now();
    sinew_stream_close(arg);
    CHECK_EQ(sinew_stream_wait_closed(arg), 0);
    return (intptr_t)((sinew_now() - begin) / SINEW_MS(1));
}

IN_RUNTIME(a_close_gives_a_peer_that_does_not_answer_up)
{
    sinew_stream *s[2];
    sinew_tls_context_options opt = {.close_wait = SINEW_MS(40)};
    if (!tls_pair_of(s, client_context(&opt), server_context("server", NULL)))
        return 0;
    CHECK(time_to_close(s[0]) >= 40);
    close_pair(s);
    opt.close_wait = -1;
    if (!tls_pair_of(s, client_context(&opt), server_context("server", NULL)))
        return 0;
    time_to_close(s[0]);
    close_pair(s);
    return 0;
}

IN_RUNTIME(waiting_for_the_close_can_be_cut_short)
{
    sinew_stream *s[2];
    if (!tls_pair_of(s, client_context(&(sinew_tls_context_options){.close_wait = SINEW_FOREVER}),
                     server_context("server", NULL)))
        return 0;
    sinew_stream_close(s[0]);
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(20));
    CHECK_EQ(sinew_stream_wait_closed(s[0]), -ETIMEDOUT);
    sinew_timeout_end(&limit);
    sinew_stream_abort(s[0]);
    CHECK_EQ(sinew_stream_wait_closed(s[0]), 0);
    close_pair(s);
    return 0;
}

IN_RUNTIME(a_runtime_ends_with_open_sessions)
{
    sinew_stream *s[2];
    if (!tls_pair_of(s, client_context(&(sinew_tls_context_options){.close_wait = SINEW_FOREVER}),
                     server_context("server", NULL)))
        return 0;
    sinew_stream_write(s[0], "x", 1);
    close_pair(s); /* the goodbye of one is waited for, until there is nobody left to wait */
    return 0;
}

/* --- from the clear ----------------------------------------------------------------------------------------------- */

static intptr_t upgrading_server(void *arg)
{
    tls_side *side = arg;
    const char *line;
    CHECK_EQ(sinew_stream_readline(side->stream, &line), 9);
    CHECK_EQ(sinew_stream_write(side->stream, "go ahead\n", 9), 0); /* is sent before the handshake, in the clear */
    return tls_side_start(side);
}

IN_RUNTIME(a_stream_in_the_clear_becomes_a_session)
{
    sinew_stream *s[2];
    const char *line;
    if (!stream_pair(s))
        return 0;
    tls_side client = {.stream = s[0], .context = client_context(NULL), .opt.server_name = "localhost"};
    tls_side server = {.stream = s[1], .context = server_context("server", NULL)};
    sinew_task *other = sinew_spawn(upgrading_server, &server);
    CHECK_EQ(sinew_stream_write(s[0], "starttls\n", 9), 0);
    CHECK_EQ(sinew_stream_readline(s[0], &line), 9);
    tls_side_start(&client);
    CHECK_EQ(sinew_await(other), 0);
    CHECK_EQ(client.result, 0);
    CHECK_EQ(server.result, 0);
    CHECK_EQ(sinew_stream_write(s[0], "secret\n", 7), 0);
    CHECK_EQ(sinew_stream_flush(s[0]), 0);
    CHECK_EQ(sinew_stream_readline(s[1], &line), 7);
    sinew_tls_context_unref(client.context);
    sinew_tls_context_unref(server.context);
    close_pair(s);
    return 0;
}

IN_RUNTIME(bytes_in_the_clear_are_never_taken_for_encrypted_ones)
{
    sinew_stream *s[2];
    const char *line;
    if (!stream_pair(s))
        return 0;
    tls_side server = {.stream = s[1], .context = server_context("server", NULL)};
    CHECK_EQ(sinew_stream_write(s[0], "starttls\nrset\n", 14), 0);
    CHECK_EQ(sinew_stream_flush(s[0]), 0);
    CHECK_EQ(sinew_stream_readline(s[1], &line), 9);
    tls_side_start(&server);
    CHECK_EQ(server.result, -EBADMSG);
    CHECK_CONTAINS(server.why.text, "in the clear");
    CHECK_EQ(sinew_stream_readline(s[1], &line), 5); /* the stream is as it was */
    CHECK_EQ(sinew_stream_write(s[1], "no\n", 3), 0);
    CHECK_EQ(sinew_stream_flush(s[1]), 0);
    CHECK_EQ(sinew_stream_readline(s[0], &line), 3);
    /* What comes later, and was not yet read, is no handshake. */
    CHECK_EQ(sinew_stream_write(s[0], "rset\n", 5), 0);
    CHECK_EQ(sinew_stream_flush(s[0]), 0);
    tls_side_start(&server);
    CHECK_EQ(server.result, -EPROTO);
    sinew_tls_context_unref(server.context);
    close_pair(s);
    return 0;
}

static intptr_t read_a_line(void *arg)
{
    const char *line;
    return sinew_stream_readline(arg, &line);
}

IN_RUNTIME(no_handshake_while_another_task_reads_or_after_the_end)
{
    sinew_stream *s[2];
    if (!stream_pair(s))
        return 0;
    tls_side side = {.stream = s[1], .context = server_context("server", NULL)};
    sinew_task *reader = sinew_spawn(read_a_line, s[1]);
    sinew_sleep(SINEW_MS(2));
    tls_side_start(&side);
    CHECK_EQ(side.result, -EBUSY);
    CHECK_CONTAINS(side.why.text, "another task");
    CHECK_EQ(sinew_stream_write_eof(s[0]), 0);
    CHECK_EQ(sinew_await(reader), 0);
    tls_side_start(&side);
    CHECK_EQ(side.result, -ENODATA);
    CHECK_EQ(sinew_stream_close(s[1]), 0);
    tls_side_start(&side);
    CHECK(side.result == -ENODATA || side.result == -EPIPE);
    close_pair(s);
    if (!stream_pair(s))
        return 0;
    side.stream = s[1];
    CHECK_EQ(sinew_stream_write_eof(s[1]), 0);
    tls_side_start(&side);
    CHECK_EQ(side.result, -EPIPE);
    CHECK_CONTAINS(side.why.text, "ended");
    close_pair(s);
    sinew_tls_context_unref(side.context);
    return 0;
}

TLS_MAIN(cmocka_unit_test(a_peer_that_says_nothing_is_timed_out),
         cmocka_unit_test(a_handshake_that_stops_anywhere_is_timed_out),
         cmocka_unit_test(a_handshake_that_stops_anywhere_can_be_cancelled),
         cmocka_unit_test(a_handshake_that_is_cut_anywhere_fails_on_both_sides),
         cmocka_unit_test(a_byte_at_a_time_is_as_good_as_any),
         cmocka_unit_test(garbage_instead_of_a_handshake_is_a_protocol_error),
         cmocka_unit_test(a_close_or_an_abort_ends_a_handshake),
         cmocka_unit_test(what_others_write_during_a_handshake_goes_out_encrypted_after_it),
         cmocka_unit_test(a_byte_that_was_changed_on_its_way_is_noticed),
         cmocka_unit_test(an_end_without_a_goodbye_is_no_end), cmocka_unit_test(unless_one_does_not_care),
         cmocka_unit_test(an_abort_tells_the_peer_of_no_end),
         cmocka_unit_test(a_close_gives_a_peer_that_does_not_answer_up),
         cmocka_unit_test(waiting_for_the_close_can_be_cut_short), cmocka_unit_test(a_runtime_ends_with_open_sessions),
         cmocka_unit_test(a_stream_in_the_clear_becomes_a_session),
         cmocka_unit_test(bytes_in_the_clear_are_never_taken_for_encrypted_ones),
         cmocka_unit_test(no_handshake_while_another_task_reads_or_after_the_end))
