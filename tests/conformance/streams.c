/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: rules A184 to A196 (streams), as docs/conformance.md lists them; the number in a test's name is the rule's.
 * Method: a stream at one end of a socket pair, plain system calls at the other.
 * Cannot see: what happens on a real network; io/stream.c has pipes, files, and the races.
 */
#include <errno.h>

#include <tests/support/streams.h>

/* --- A184 to A188: reading ---------------------------------------------------------------------------------------- */

IN_RUNTIME(a184_a_read_gives_what_there_is_and_nothing_at_the_end)
{
    ends e = open_ends(NULL);
    char buffer[100];
    CHECK_EQ(sinew_stream_read(e.stream, buffer, 0), 0); /* at once: nothing is there */
    send_text(e.peer, "hello world");
    CHECK_EQ(sinew_stream_read(e.stream, buffer, 5), 5);
    CHECK(memcmp(buffer, "hello", 5) == 0);
    CHECK_EQ(sinew_stream_read(e.stream, buffer, sizeof buffer), 6);
    CHECK(memcmp(buffer, " world", 6) == 0);
    struct reader r;
    reader_start(&r, e.stream, reading_read); /* nothing there: it waits for the first byte */
    CHECK_EQ(r.result, 1000);
    send_text(e.peer, "x");
    CHECK_EQ(reader_end(&r), 1);
    send_text(e.peer, "y");
    close_peer(&e);
    CHECK_EQ(sinew_stream_read(e.stream, buffer, sizeof buffer), 1);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_stream_read(e.stream, buffer, sizeof buffer), 0);
    CHECK_EQ(sinew_stream_read(e.stream, buffer, 0), 0);
    close_ends(&e);
    return 0;
}

IN_RUNTIME(a184_read_all_gives_everything_until_the_end)
{
    static const size_t sizes[] = {0, 1, 4096, 4097, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        ends e = open_ends(NULL);
        struct feeder f;
        feeder_start(&f, &e, sizes[i], 10007, true);
        char *data;
        CHECK_EQ(sinew_stream_read_all(e.stream, &data, 0), (ssize_t)sizes[i]);
        CHECK_EQ(pattern_differs(data, 0, sizes[i]), 0);
        CHECK_EQ(data[sizes[i]], '\0');
        free(data);
        CHECK_EQ(sinew_stream_read_all(e.stream, &data, 0), 0);
        free(data);
        CHECK_EQ(sinew_await(f.task), 0);
        close_ends(&e);
    }
    return 0;
}

IN_RUNTIME(a184_read_all_with_too_much_is_an_error_and_keeps_it)
{
    ends e = open_ends(NULL);
    struct feeder f;
    feeder_start(&f, &e, 50000, 50000, true);
    char *data;
    CHECK_EQ(sinew_stream_read_all(e.stream, &data, 10000), -EMSGSIZE);
    CHECK(data == NULL);
    CHECK_EQ(sinew_stream_read_all(e.stream, &data, 50000), 50000);
    CHECK_EQ(pattern_differs(data, 0, 50000), 0);
    free(data);
    CHECK_EQ(sinew_await(f.task), 0);
    close_ends(&e);
    return 0;
}

IN_RUNTIME(a185_exactly_n_bytes_or_the_end_and_what_there_was_stays)
{
    ends e = open_ends(NULL);
    char buffer[100];
    send_text(e.peer, "abc");
    CHECK_EQ(sinew_stream_read_exactly(e.stream, buffer, 2), 0);
    CHECK(memcmp(buffer, "ab", 2) == 0);
    CHECK_EQ(sinew_stream_read_exactly(e.stream, buffer, 0), 0);
    CHECK_EQ(sinew_stream_read_exactly(e.stream, buffer, (size_t)-1), -EINVAL);
    struct reader r;
    reader_start(&r, e.stream, reading_exactly); /* 64 bytes */
    for (int i = 0; i < 62; i++)
        send_text(e.peer, "d");
    CHECK_EQ(r.result, 1000);
    send_text(e.peer, "ef");
    CHECK_EQ(reader_end(&r), 0);
    CHECK_PEEK(e.stream, "f");
    close_peer(&e);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(sinew_stream_read_exactly(e.stream, buffer, 2), -ENODATA);
    CHECK_EQ(sinew_stream_read(e.stream, buffer, sizeof buffer), 1); /* the partial data */
    CHECK_EQ(buffer[0], 'f');
    CHECK_EQ(sinew_stream_read_exactly(e.stream, buffer, 1), -ENODATA);
    CHECK_EQ(sinew_stream_read_exactly(e.stream, buffer, 0), 0);
    close_ends(&e);
    return 0;
}

IN_RUNTIME(a185_exact_reads_of_every_size_give_every_byte_once_and_in_order)
{
    enum { N = 200000 };
    static const size_t steps[] = {1, 7, 4095, 4096, 4097, 10000, 65536, 100000};
    char *buffer = malloc(100000);
    for (size_t step = 0; step < sizeof steps / sizeof steps[0]; step++) {
        ends e = open_ends(NULL);
        struct feeder f;
        size_t total = steps[step] < 100 ? N / 20 : N, at = 0;
        feeder_start(&f, &e, total, 3001, true);
        while (total - at >= steps[step]) {
            if (!CHECK_EQ(sinew_stream_read_exactly(e.stream, buffer, steps[step]), 0))
                break;
            CHECK_EQ(pattern_differs(buffer, at, steps[step]), 0);
            at += steps[step];
        }
        /* The rest is less than a step: it must be told, and all of it still be there. */
        CHECK_EQ(sinew_stream_read_exactly(e.stream, buffer, steps[step]), -ENODATA);
        char *rest;
        CHECK_EQ(sinew_stream_read_all(e.stream, &rest, 0), (ssize_t)(total - at));
        CHECK_EQ(pattern_differs(rest, at, total - at), 0);
        free(rest);
        CHECK_EQ(sinew_await(f.task), 0);
        close_ends(&e);
    }
    free(buffer);
    return 0;
}

IN_RUNTIME(a186_a_last_line_without_its_end_is_returned_and_then_nothing)
{
    ends e = open_ends(NULL);
    send_text(e.peer, "one\n\ntwo\nthr");
    CHECK_LINE(e.stream, "one\n");
    CHECK_LINE(e.stream, "\n");
    CHECK_LINE(e.stream, "two\n");
    struct reader r;
    reader_start(&r, e.stream, reading_line);
    CHECK_EQ(r.result, 1000);
    send_text(e.peer, "ee\nfour");
    CHECK_EQ(reader_end(&r), 6);
    close_peer(&e);
    CHECK_LINE(e.stream, "four");
    CHECK_LINE(e.stream, "");
    CHECK_LINE(e.stream, "");
    close_ends(&e);
    return 0;
}

/* Lines of many lengths, some longer than what is received at once, whatever pieces they arrive in. */
IN_RUNTIME(a186_lines_are_whole_whatever_pieces_they_arrive_in)
{
    static const size_t lengths[] = {1, 2, 4095, 4096, 4097, 3, 20000, 1, 60000, 5000};
    static const size_t chunks[] = {1, 4096, 4097, 10000, 1000000};
    enum { LINES = sizeof lengths / sizeof lengths[0] };
    for (size_t c = 0; c < sizeof chunks / sizeof chunks[0]; c++) {
        ends e = open_ends(NULL);
        size_t lines = chunks[c] == 1 ? 3 : LINES, total = 0;
        char *text = malloc(200000);
        for (size_t i = 0; i < lines; i++) {
            memset(text + total, 'a' + (int)i, lengths[i]);
            total += lengths[i];
            text[total - 1] = '\n';
        }
        sinew_stream *out;
        CHECK_EQ(sinew_stream_open(e.peer, NULL, &out), 0);
        e.peer = -1;
        for (size_t at = 0; at < total; at += chunks[c]) {
            CHECK_EQ(sinew_stream_write(out, text + at, total - at < chunks[c] ? total - at : chunks[c]), 0);
            if (at % 5 == 0)
                sinew_yield();
        }
        sinew_stream_unref(out);
        for (size_t i = 0, at = 0; i < lines; at += lengths[i++]) {
            const char *line;
            if (!CHECK_EQ(sinew_stream_readline(e.stream, &line), (ssize_t)lengths[i]))
                break;
            CHECK(memcmp(line, text + at, lengths[i]) == 0);
        }
        CHECK_LINE(e.stream, "");
        free(text);
        close_ends(&e);
    }
    return 0;
}

IN_RUNTIME(a187_data_over_the_limit_is_an_error_and_stays_buffered)
{
    const sinew_stream_options opt = {.limit = 10};
    const char *data;
    ends e = open_ends(&opt);
    send_text(e.peer, "0123456789;");
    ssize_t n = sinew_stream_read_until(e.stream, ";", &data); /* as much as may be */
    CHECK(is_text(data, n, "0123456789;"));
    send_text(e.peer, "0123456789a;b"); /* found, and too far away */
    for (int i = 0; i < 2; i++)
        CHECK_EQ(sinew_stream_read_until(e.stream, ";", &data), -EMSGSIZE);
    CHECK_PEEK(e.stream, "0123456789a;b");
    CHECK_EQ(sinew_stream_consume(e.stream, 13), 0);
    send_text(e.peer, "0123456789abc"); /* not found */
    for (int i = 0; i < 2; i++)
        CHECK_EQ(sinew_stream_read_until(e.stream, ";", &data), -EMSGSIZE);
    CHECK_PEEK(e.stream, "0123456789abc");
    CHECK_EQ(sinew_stream_peek_more(e.stream, 13, &data), -EMSGSIZE);
    CHECK_EQ(sinew_stream_consume(e.stream, 13), 0);
    CHECK_EQ(sinew_stream_read_until(e.stream, "", &data), -EINVAL);
    send_text(e.peer, "xy");
    close_peer(&e);
    CHECK_EQ(sinew_stream_read_until(e.stream, ";", &data), -ENODATA);
    CHECK_PEEK(e.stream, "xy");
    close_ends(&e);
    return 0;
}

IN_RUNTIME(a187_a_line_over_the_limit_is_an_error_and_is_dropped)
{
    const sinew_stream_options opt = {.limit = 10};
    const char *line;
    ends e = open_ends(&opt);
    send_text(e.peer, "0123456789abc\nnext\n"); /* all there: only that line goes */
    CHECK_EQ(sinew_stream_readline(e.stream, &line), -EMSGSIZE);
    CHECK_LINE(e.stream, "next\n");
    send_text(e.peer, "0123456789abc"); /* its end has not come: what is there goes */
    CHECK_EQ(sinew_stream_readline(e.stream, &line), -EMSGSIZE);
    CHECK_EQ(sinew_stream_buffered(e.stream), 0);
    send_text(e.peer, "def\n0123456789\n");
    CHECK_LINE(e.stream, "def\n");
    CHECK_LINE(e.stream, "0123456789\n"); /* just as long as it may be */
    close_ends(&e);
    return 0;
}

IN_RUNTIME(a188_of_several_separators_the_one_that_ends_first_ends_the_read)
{
    static const struct {
        const char *text;
        sinew_separator separators[3];
        size_t count;
        const char *parts[4];
    } cases[] = {
        {"a\r\nb\nc\r\n", {{"\r\n", 2}, {"\n", 1}}, 2, {"a\r\n", "b\n", "c\r\n"}},
        {"oneXtwoYY", {{"YY", 2}, {"X", 1}}, 2, {"oneX", "twoYY"}},
        {"abcdeX", {{"abcde", 5}, {"bc", 2}, {"X", 1}}, 3, {"abc", "deX"}},
        {"aXXXbXX", {{"XXX", 3}, {"XX", 2}}, 2, {"aXX", "XbXX"}},
    };
    const char *data;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int bytewise = 0; bytewise < 2; bytewise++) {
            ends e = open_ends(NULL);
            if (!bytewise)
                send_text(e.peer, cases[i].text);
            size_t sent = 0;
            for (int part = 0; part < 4 && cases[i].parts[part]; part++) {
                for (size_t j = 0; bytewise && j < strlen(cases[i].parts[part]); j++) {
                    CHECK_EQ(send(e.peer, cases[i].text + sent++, 1, 0), 1);
                    sinew_yield();
                }
                ssize_t n = sinew_stream_read_until_any(e.stream, cases[i].separators, cases[i].count, &data);
                CHECK(is_text(data, n, cases[i].parts[part]));
            }
            close_ends(&e);
        }
    }
    ends e = open_ends(NULL);
    const sinew_separator empty[2] = {{"x", 1}, {"", 0}};
    CHECK_EQ(sinew_stream_read_until_any(e.stream, empty, 2, &data), -EINVAL);
    CHECK_EQ(sinew_stream_read_until_any(e.stream, empty, 0, &data), -EINVAL);
    close_ends(&e);
    return 0;
}

IN_RUNTIME(a188_a_separator_may_arrive_in_pieces)
{
    static const char text[] = "head\r\n\r\r\n\r\nrest";
    ends e = open_ends(NULL);
    struct reader r;
    reader_start(&r, e.stream, reading_until); /* an empty line: CR LF CR LF */
    for (size_t i = 0; i < 11; i++) {
        CHECK_EQ(send(e.peer, text + i, 1, 0), 1);
        CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0); /* so that it sees them one by one; should it not, this tests less */
        if (i < 10)
            CHECK_EQ(r.result, 1000);
    }
    CHECK_EQ(reader_end(&r), 11);
    send_text(e.peer, text + 11);
    CHECK_PEEK(e.stream, "rest");
    close_ends(&e);
    return 0;
}

/* --- A189 to A192: who reads, and what goes wrong ----------------------------------------------------------------- */

IN_RUNTIME(a189_a_second_task_that_reads_is_refused)
{
    ends e = open_ends(NULL);
    for (int i = 0; i < READINGS; i++) {
        struct reader r;
        reader_start(&r, e.stream, readings[i].call);
        ssize_t second = -EBUSY;
        for (int j = 0; j < READINGS && r.result == 1000 && second == -EBUSY; j++)
            CHECK_EQ(second = readings[j].call(e.stream), -EBUSY);
        CHECK_EQ(sinew_stream_consume(e.stream, 0), -EBUSY);
        sinew_cancel(r.task);
        CHECK_EQ(sinew_await(r.task), 0);
        CHECK_EQ(r.result, -ECANCELED);
    }
    send_text(e.peer, "now another one may\n");
    CHECK_LINE(e.stream, "now another one may\n");
    close_ends(&e);
    return 0;
}

IN_RUNTIME(a190_cancelling_a_read_loses_no_bytes)
{
    for (int i = 0; i < READINGS; i++) {
        ends e = open_ends(NULL);
        if (readings[i].wants_more)
            send_text(e.peer, "a few bytes");
        struct reader r;
        reader_start(&r, e.stream, readings[i].call);
        if (readings[i].wants_more)
            send_text(e.peer, ", and some more");
        for (int j = 0; j < 10; j++)
            sinew_yield();
        CHECK(sinew_cancel(r.task));
        CHECK_EQ(reader_end(&r), -ECANCELED);
        if (!readings[i].wants_more)
            send_text(e.peer, "a few bytes, and some more");
        char buffer[26];
        CHECK_EQ(sinew_stream_read_exactly(e.stream, buffer, sizeof buffer), 0);
        CHECK(memcmp(buffer, "a few bytes, and some more", sizeof buffer) == 0);
        close_ends(&e);
    }
    return 0;
}

IN_RUNTIME(a190_a_timeout_of_a_read_loses_no_bytes)
{
    for (int i = 0; i < READINGS; i++) {
        ends e = open_ends(NULL);
        if (readings[i].wants_more)
            send_text(e.peer, "a few bytes");
        sinew_timeout t;
        sinew_timeout_begin(&t, SINEW_MS(2));
        CHECK_EQ(readings[i].call(e.stream), -ETIMEDOUT);
        CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
        if (!readings[i].wants_more)
            send_text(e.peer, "a few bytes");
        CHECK_PEEK(e.stream, "a few bytes");
        close_ends(&e);
    }
    return 0;
}

/* Reads cancelled at any moment while a pattern streams in. */
struct interrupted {
    sinew_stream *stream;
    size_t at, total;
    atomic_int reading, done;
};

static intptr_t read_on(void *arg)
{
    struct interrupted *x = arg;
    static const size_t steps[] = {1, 100, 5000, 20000};
    char *buffer = malloc(20000);
    for (unsigned i = 0; x->at < x->total; i++) {
        size_t n = steps[i % 4] < x->total - x->at ? steps[i % 4] : x->total - x->at;
        atomic_fetch_add(&x->reading, 1);
        int r = sinew_stream_read_exactly(x->stream, buffer, n);
        if (r == -ECANCELED) {
            sinew_uncancel();
            continue;
        }
        if (!CHECK_EQ(r, 0) || !CHECK_EQ(pattern_differs(buffer, x->at, n), 0))
            break;
        x->at += n;
    }
    free(buffer);
    atomic_store(&x->done, 1);
    return 0;
}

IN_RUNTIME(a190_reads_cancelled_at_any_moment_lose_and_repeat_nothing)
{
    ends e = open_ends(NULL);
    struct interrupted x = {.stream = e.stream, .total = scaled(2000000, 200000)};
    struct feeder f;
    feeder_start(&f, &e, x.total, 1777, true);
    sinew_task *t = sinew_spawn(read_on, &x);
    for (int seen = 0; !atomic_load(&x.done);) {
        if (atomic_load(&x.reading) != seen) {
            seen = atomic_load(&x.reading);
            sinew_cancel(t);
        }
        sinew_yield();
    }
    sinew_await(t);
    CHECK_EQ(x.at, x.total);
    CHECK_EQ(sinew_await(f.task), 0);
    close_ends(&e);
    return 0;
}

IN_RUNTIME(a191_an_error_of_the_transport_is_told_by_every_later_read)
{
    for (int i = 0; i < READINGS; i++) {
        ends e = open_tcp_ends(NULL);
        struct reader r;
        reader_start(&r, e.stream, readings[i].call);
        reset_peer(&e);
        CHECK_EQ(reader_end(&r), -ECONNRESET);
        for (int j = 0; j < READINGS; j++)
            CHECK_EQ(readings[j].call(e.stream), -ECONNRESET);
        CHECK(sinew_stream_is_closing(e.stream));
        close_ends(&e);
    }
    return 0;
}

IN_RUNTIME(a192_nothing_is_read_ahead_and_a_long_read_gets_all_it_needs)
{
    enum { LIMIT = 8192, LONG = 100 * LIMIT };
    const sinew_stream_options opt = {.limit = LIMIT};
    ends e = open_ends(&opt);
    struct feeder f;
    feeder_start(&f, &e, LONG + 2 * LIMIT, LONG, true);
    const char *data;
    size_t have = 0;
    while (have < LIMIT) { /* a parser that always wants more */
        ssize_t n = sinew_stream_peek_more(e.stream, have, &data);
        if (!CHECK(n > (ssize_t)have && n <= 2 * LIMIT))
            break;
        CHECK_EQ(pattern_differs(data, 0, (size_t)n), 0);
        have = (size_t)n;
    }
    CHECK_EQ(sinew_stream_peek_more(e.stream, have, &data), -EMSGSIZE);
    for (int i = 0; i < 100; i++)
        sinew_yield();
    CHECK_EQ(sinew_stream_buffered(e.stream), have); /* nobody reads on behind our back */
    CHECK(!sinew_done(f.task));                      /* so the peer is held up */
    char *buffer = malloc(LONG);
    CHECK_EQ(sinew_stream_read_exactly(e.stream, buffer, LONG), 0); /* far beyond any limit */
    CHECK_EQ(pattern_differs(buffer, 0, LONG), 0);
    free(buffer);
    char *rest;
    CHECK_EQ(sinew_stream_read_all(e.stream, &rest, 0), 2 * LIMIT);
    free(rest);
    CHECK_EQ(sinew_await(f.task), 0);
    close_ends(&e);
    return 0;
}

/* --- A193 to A196: writing ---------------------------------------------------------------------------------------- */

static intptr_t raise_flag(void *flag)
{
    atomic_store((atomic_int *)flag, 1);
    return 0;
}

IN_RUNTIME_PINNED(a193_a_write_never_waits_and_never_refuses_for_a_full_buffer)
{
    enum { N = 4000000 };
    char *bytes = pattern_new(N);
    ends e = open_ends(NULL);
    atomic_int others = 0;
    sinew_task *witness = spawn_pinned(raise_flag, &others);
    size_t at = 0;
    for (size_t chunk = 1; at + chunk <= N; at += chunk, chunk = chunk * 3 / 2 + 1)
        CHECK_EQ(sinew_stream_write(e.stream, bytes + at, chunk), 0);
    CHECK_EQ(others, 0); /* nobody else has run on this worker */
    CHECK(sinew_stream_unsent(e.stream) > 65536);
    sinew_await(witness);
    size_t received = 0;
    char *buffer = malloc(100000);
    while (received < at) {
        ssize_t n = sinew_recv(e.peer, buffer, 100000, 0);
        if (!CHECK(n > 0) || !CHECK_EQ(pattern_differs(buffer, received, (size_t)n), 0))
            break;
        received += (size_t)n;
    }
    free(buffer);
    free(bytes);
    close_ends(&e);
    return 0;
}

static intptr_t drain_task(void *arg)
{
    return sinew_stream_drain(arg);
}

static intptr_t flush_task(void *arg)
{
    return sinew_stream_flush(arg);
}

/* Fills what the system takes, so that `n` bytes which are written after that stay unsent. */
static void write_until_unsent(ends *e, size_t n)
{
    for (int i = 0; i < 3; i++) { /* over TCP the other side makes room in its own time */
        fill(sinew_stream_fd(e->stream));
        sinew_sleep(SINEW_MS(1));
    }
    fill(sinew_stream_fd(e->stream));
    char *block = pattern_new(n);
    CHECK_EQ(sinew_stream_write(e->stream, block, n), 0);
    free(block);
}

IN_RUNTIME(a193_a_drain_waits_above_the_high_mark_until_the_low_one_is_reached)
{
    const sinew_stream_options opt = {.write_high = 50000, .write_low = 10000};
    ends e = open_ends(&opt);
    write_until_unsent(&e, 50000);
    CHECK_EQ(sinew_stream_unsent(e.stream), 50000);
    CHECK_EQ(sinew_stream_drain(e.stream), 0); /* not above it: at once */
    CHECK_EQ(sinew_stream_unsent(e.stream), 50000);
    CHECK_EQ(sinew_stream_write(e.stream, "x", 1), 0);
    sinew_task *t = spawn_eager(drain_task, e.stream);
    char *buffer = malloc(5000);
    while (!sinew_done(t)) {
        for (int i = 0; i < 20; i++)
            sinew_yield();
        recv(e.peer, buffer, 5000, MSG_DONTWAIT);
    }
    CHECK_EQ(sinew_await(t), 0);
    CHECK(sinew_stream_unsent(e.stream) <= 10000);
    CHECK_EQ(sinew_stream_drain(e.stream), 0);
    t = spawn_eager(flush_task, e.stream); /* waits for all of it */
    while (!sinew_done(t)) {
        drain(e.peer);
        sinew_yield();
    }
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(sinew_stream_unsent(e.stream), 0);
    free(buffer);
    close_ends(&e);
    return 0;
}

IN_RUNTIME(a193_what_was_written_goes_out_without_the_writers_help)
{
    ends e = open_ends(NULL);
    CHECK_EQ(sinew_stream_write(e.stream, "hello, ", 7), 0);
    CHECK_EQ(sinew_stream_printf(e.stream, "%s number %d", "world", 7), 0);
    CHECK(peer_gets(e.peer, "hello, world number 7"));
    const struct iovec pieces[] = {{(void *)"a", 1}, {NULL, 0}, {(void *)"bc", 2}};
    CHECK_EQ(sinew_stream_writev(e.stream, pieces, 3), 0);
    CHECK(peer_gets(e.peer, "abc"));
    while (sinew_stream_unsent(e.stream) > 0) /* who sent it may still have to say so */
        sinew_yield();
    close_ends(&e);
    return 0;
}

IN_RUNTIME(a194_several_tasks_may_drain_at_once)
{
    enum { N = 20 };
    ends e = open_ends(NULL);
    write_until_unsent(&e, 200000);
    sinew_task *t[N];
    for (int i = 0; i < N; i++)
        t[i] = spawn_eager(i % 2 ? drain_task : flush_task, e.stream);
    CHECK(sinew_cancel(t[0]));
    CHECK(sinew_cancel(t[1]));
    CHECK_EQ(sinew_await(t[0]), -ECANCELED);
    CHECK_EQ(sinew_await(t[1]), -ECANCELED);
    CHECK(!sinew_done(t[2]));
    while (!sinew_done(t[2]) || !sinew_done(t[3])) {
        drain(e.peer);
        sinew_yield();
    }
    CHECK_EQ(sinew_gather(t + 2, N - 2, NULL), 0);
    close_ends(&e);
    return 0;
}

IN_RUNTIME(a194_a_drain_after_the_loss_of_the_connection_is_an_error)
{
    for (int waiting = 0; waiting < 2; waiting++) {
        ends e = open_tcp_ends(NULL);
        sinew_task *t[3] = {NULL};
        if (waiting) {
            write_until_unsent(&e, 200000);
            for (int i = 0; i < 3; i++)
                t[i] = spawn_eager(drain_task, e.stream);
            for (int i = 0; i < 20; i++)
                sinew_yield();
        }
        reset_peer(&e);
        while (sinew_stream_write(e.stream, "x", 1) == 0) /* it shows sooner or later */
            sinew_yield();
        CHECK_EQ(sinew_stream_write(e.stream, "x", 1), -EPIPE);
        for (int i = 0; waiting && i < 3; i++)
            CHECK_EQ(sinew_await(t[i]), -ECONNRESET);
        for (int i = 0; i < 2; i++) {
            CHECK_EQ(sinew_stream_drain(e.stream), -ECONNRESET);
            CHECK_EQ(sinew_stream_flush(e.stream), -ECONNRESET);
        }
        CHECK_EQ(sinew_stream_unsent(e.stream), 0);
        close_ends(&e);
    }
    return 0;
}

static intptr_t wait_closed_task(void *arg)
{
    return sinew_stream_wait_closed(arg);
}

IN_RUNTIME(a195_closing_sends_what_is_buffered_first_and_can_be_waited_for)
{
    ends e = open_ends(NULL);
    write_until_unsent(&e, 300000);
    CHECK_EQ(sinew_stream_write(e.stream, "the end", 7), 0);
    CHECK(!sinew_stream_is_closing(e.stream));
    CHECK_EQ(sinew_stream_close(e.stream), 0);
    CHECK_EQ(sinew_stream_close(e.stream), 0);
    CHECK(sinew_stream_is_closing(e.stream));
    CHECK_EQ(sinew_stream_write(e.stream, "x", 1), -EPIPE);
    sinew_task *t = spawn_eager(wait_closed_task, e.stream), *u = spawn_eager(wait_closed_task, e.stream);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(!sinew_done(t));
    CHECK(sinew_cancel(u));
    CHECK_EQ(sinew_await(u), -ECANCELED);
    char buffer[4096], last[7] = "";
    ssize_t n;
    while ((n = sinew_recv(e.peer, buffer, sizeof buffer, 0)) > 0) {
        size_t keep = n < 7 ? (size_t)n : 7;
        memmove(last, last + keep, 7 - keep);
        memcpy(last + 7 - keep, buffer + n - keep, keep);
    }
    CHECK_EQ(n, 0);
    CHECK(memcmp(last, "the end", 7) == 0);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(sinew_stream_wait_closed(e.stream), 0);
    CHECK_EQ(sinew_stream_fd(e.stream), -1);
    close_ends(&e);
    return 0;
}

IN_RUNTIME(a195_waiting_for_the_end_of_a_lost_connection_is_told_the_loss)
{
    ends e = open_tcp_ends(NULL);
    write_until_unsent(&e, 300000);
    CHECK_EQ(sinew_stream_close(e.stream), 0);
    sinew_task *t = spawn_eager(wait_closed_task, e.stream);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    reset_peer(&e);
    CHECK_EQ(sinew_await(t), -ECONNRESET);
    CHECK_EQ(sinew_stream_wait_closed(e.stream), -ECONNRESET);
    close_ends(&e);
    return 0;
}

IN_RUNTIME(a195_the_last_reference_closes_and_sends_what_is_buffered_first)
{
    for (int much = 0; much < 2; much++) {
        ends e = open_ends(NULL);
        if (much)
            write_until_unsent(&e, 300000);
        CHECK_EQ(sinew_stream_write(e.stream, "x", 1), 0);
        sinew_stream_unref(sinew_stream_ref(e.stream));
        CHECK(!sinew_stream_is_closing(e.stream));
        sinew_stream_unref(e.stream);
        size_t received = 0;
        char buffer[4096], last = 0;
        ssize_t n;
        while ((n = sinew_recv(e.peer, buffer, sizeof buffer, 0)) > 0) {
            received += (size_t)n;
            last = buffer[n - 1];
        }
        CHECK_EQ(n, 0);
        CHECK(received >= (much ? 300001 : 1));
        CHECK_EQ(last, 'x');
        close_peer(&e);
    }
    return 0;
}

IN_RUNTIME(a195_a_read_that_waits_finds_the_end_when_another_task_closes)
{
    for (int i = 0; i < READINGS; i++) {
        for (int hard = 0; hard < 2; hard++) {
            ends e = i % 2 ? open_ends(NULL) : open_tcp_ends(NULL);
            struct reader r;
            reader_start(&r, e.stream, readings[i].call);
            CHECK_EQ(hard ? sinew_stream_abort(e.stream) : sinew_stream_close(e.stream), 0);
            CHECK_EQ(sinew_stream_wait_closed(e.stream), 0);
            ssize_t n = reader_end(&r);
            CHECK(n == 0 || n == -ENODATA);
            n = readings[i].call(e.stream);
            CHECK(n == 0 || n == -ENODATA);
            close_ends(&e);
        }
    }
    return 0;
}

IN_RUNTIME(a196_write_eof_ends_the_writing_side_alone)
{
    for (int much = 0; much < 2; much++) {
        ends e = much ? open_tcp_ends(NULL) : open_ends(NULL);
        if (much)
            write_until_unsent(&e, 100000);
        CHECK_EQ(sinew_stream_write(e.stream, "last words", 10), 0);
        CHECK_EQ(sinew_stream_write_eof(e.stream), 0);
        CHECK_EQ(sinew_stream_write_eof(e.stream), 0);
        CHECK_EQ(sinew_stream_write(e.stream, "x", 1), -EPIPE);
        CHECK(!sinew_stream_is_closing(e.stream));
        char buffer[4096];
        size_t received = 0;
        ssize_t n;
        while ((n = sinew_recv(e.peer, buffer, sizeof buffer, 0)) > 0)
            received += (size_t)n;
        CHECK_EQ(n, 0);
        CHECK(received >= (much ? 100010 : 10));
        send_text(e.peer, "an answer\n");
        CHECK_LINE(e.stream, "an answer\n");
        close_peer(&e);
        CHECK_LINE(e.stream, "");
        CHECK_EQ(sinew_stream_close(e.stream), 0);
        CHECK_EQ(sinew_stream_write_eof(e.stream), -EPIPE);
        CHECK_EQ(sinew_stream_wait_closed(e.stream), 0);
        close_ends(&e);
    }
    return 0;
}

TEST_MAIN(cmocka_unit_test_that_closes(a184_a_read_gives_what_there_is_and_nothing_at_the_end),
          cmocka_unit_test_that_closes(a184_read_all_gives_everything_until_the_end),
          cmocka_unit_test_that_closes(a184_read_all_with_too_much_is_an_error_and_keeps_it),
          cmocka_unit_test_that_closes(a185_exactly_n_bytes_or_the_end_and_what_there_was_stays),
          cmocka_unit_test_that_closes(a185_exact_reads_of_every_size_give_every_byte_once_and_in_order),
          cmocka_unit_test_that_closes(a186_a_last_line_without_its_end_is_returned_and_then_nothing),
          cmocka_unit_test_that_closes(a186_lines_are_whole_whatever_pieces_they_arrive_in),
          cmocka_unit_test_that_closes(a187_data_over_the_limit_is_an_error_and_stays_buffered),
          cmocka_unit_test_that_closes(a187_a_line_over_the_limit_is_an_error_and_is_dropped),
          cmocka_unit_test_that_closes(a188_of_several_separators_the_one_that_ends_first_ends_the_read),
          cmocka_unit_test_that_closes(a188_a_separator_may_arrive_in_pieces),
          cmocka_unit_test_that_closes(a189_a_second_task_that_reads_is_refused),
          cmocka_unit_test_that_closes(a190_cancelling_a_read_loses_no_bytes),
          cmocka_unit_test_that_closes(a190_a_timeout_of_a_read_loses_no_bytes),
          cmocka_unit_test_that_closes(a190_reads_cancelled_at_any_moment_lose_and_repeat_nothing),
          cmocka_unit_test_that_closes(a191_an_error_of_the_transport_is_told_by_every_later_read),
          cmocka_unit_test_that_closes(a192_nothing_is_read_ahead_and_a_long_read_gets_all_it_needs),
          cmocka_unit_test_that_closes(a193_a_write_never_waits_and_never_refuses_for_a_full_buffer),
          cmocka_unit_test_that_closes(a193_a_drain_waits_above_the_high_mark_until_the_low_one_is_reached),
          cmocka_unit_test_that_closes(a193_what_was_written_goes_out_without_the_writers_help),
          cmocka_unit_test_that_closes(a194_several_tasks_may_drain_at_once),
          cmocka_unit_test_that_closes(a194_a_drain_after_the_loss_of_the_connection_is_an_error),
          cmocka_unit_test_that_closes(a195_closing_sends_what_is_buffered_first_and_can_be_waited_for),
          cmocka_unit_test_that_closes(a195_waiting_for_the_end_of_a_lost_connection_is_told_the_loss),
          cmocka_unit_test_that_closes(a195_the_last_reference_closes_and_sends_what_is_buffered_first),
          cmocka_unit_test_that_closes(a195_a_read_that_waits_finds_the_end_when_another_task_closes),
          cmocka_unit_test_that_closes(a196_write_eof_ends_the_writing_side_alone))
