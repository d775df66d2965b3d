/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: streams over pipes and other descriptors, both directions at once, files, and that each descriptor is closed
 * exactly once and nothing is left behind, whoever closes when; that a stream which waits holds no buffer.
 * Method: streams on both sides, races made by tasks on several workers, counts of descriptors.
 * Cannot see: asyncio's rules; conformance/streams.c has those.
 */
#include <errno.h>
#include <malloc.h>
#include <sys/mman.h>

#include <tests/support/random.h>
#include <tests/support/streams.h>

/* --- pipes -------------------------------------------------------------------------------------------------------- */

static sinew_stream *open_pair(int read_fd, int write_fd)
{
    sinew_stream *s;
    if (!CHECK_EQ(sinew_stream_open_pair(read_fd, write_fd, NULL, &s), 0))
        abort();
    return s;
}

/* A stream that reads and one that writes a pipe. */
static void open_pipe(sinew_stream **in, sinew_stream **out)
{
    int p[2];
    if (!CHECK_EQ(pipe(p), 0))
        abort();
    *in = open_pair(p[0], -1);
    *out = open_pair(-1, p[1]);
}

struct copy {
    sinew_stream *stream;
    size_t n;
};

static intptr_t write_pattern(void *arg)
{
    struct copy *c = arg;
    char *bytes = pattern_new(c->n);
    int r = 0;
    for (size_t at = 0, chunk = 1; r == 0 && at < c->n; at += chunk, chunk = chunk * 2 % 50021) {
        if (chunk > c->n - at)
            chunk = c->n - at;
        r = sinew_stream_write(c->stream, bytes + at, chunk);
        if (r == 0)
            r = sinew_stream_drain(c->stream);
    }
    free(bytes);
    if (r == 0)
        r = sinew_stream_write_eof(c->stream);
    return r;
}

static intptr_t read_pattern(void *arg)
{
    struct copy *c = arg;
    const char *data;
    ssize_t n;
    size_t at = 0;
    while ((n = sinew_stream_peek(c->stream, &data)) > 0) {
        CHECK_EQ(pattern_differs(data, at, (size_t)n), 0);
        at += (size_t)n;
        CHECK_EQ(sinew_stream_consume(c->stream, (size_t)n), 0);
    }
    CHECK_EQ(at, c->n);
    return n;
}

/* Both directions of a connection at once; each is a pair of tasks. */
static void exchange(sinew_stream *a, sinew_stream *b, size_t n)
{
    struct copy on_a = {a, n}, on_b = {b, n};
    sinew_task *t[4] = {sinew_spawn(write_pattern, &on_a), sinew_spawn(read_pattern, &on_b),
                        sinew_spawn(write_pattern, &on_b), sinew_spawn(read_pattern, &on_a)};
    CHECK_EQ(sinew_gather(t, 4, NULL), 0);
    sinew_stream_unref(a);
    sinew_stream_unref(b);
}

IN_RUNTIME(both_directions_at_once_move_every_byte_in_order)
{
    for (int kind = 0; kind < 3; kind++) {
        int x[2], y[2];
        sinew_stream *a, *b;
        if (kind == 2) { /* two pipes */
            CHECK_EQ(pipe(x) | pipe(y), 0);
            a = open_pair(x[0], y[1]);
            b = open_pair(y[0], x[1]);
        } else {
            if (kind == 0)
                tcp_pair(x);
            else
                CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, x), 0);
            CHECK_EQ(sinew_stream_open(x[0], NULL, &a), 0);
            CHECK_EQ(sinew_stream_open(x[1], NULL, &b), 0);
        }
        exchange(a, b, scaled(1000000, 100000));
    }
    return 0;
}

IN_RUNTIME(a_read_of_a_pipe_can_be_cancelled_timed_out_and_closed_by_others)
{
    for (int i = 0; i < READINGS; i++) {
        sinew_stream *in, *out;
        open_pipe(&in, &out);
        struct reader r;
        reader_start(&r, in, readings[i].call);
        CHECK(sinew_cancel(r.task));
        CHECK_EQ(reader_end(&r), -ECANCELED);
        sinew_timeout t;
        sinew_timeout_begin(&t, SINEW_MS(1));
        CHECK_EQ(readings[i].call(in), -ETIMEDOUT);
        CHECK_EQ(sinew_timeout_end(&t), -ETIMEDOUT);
        CHECK_EQ(sinew_stream_write(out, "still works\n", 12), 0);
        CHECK_LINE(in, "still works\n");
        reader_start(&r, in, readings[i].call);
        CHECK_EQ(i % 2 ? sinew_stream_abort(in) : sinew_stream_close(in), 0);
        CHECK_EQ(sinew_stream_wait_closed(in), 0); /* though the other end is open */
        ssize_t n = reader_end(&r);
        CHECK(n == 0 || n == -ENODATA);
        CHECK_EQ(sinew_uncancel(), 0);
        sinew_stream_unref(in);
        sinew_stream_unref(out);
    }
    return 0;
}

static intptr_t drain_task(void *arg)
{
    return sinew_stream_drain(arg);
}

IN_RUNTIME(a_full_pipe_can_be_given_up)
{
    static const char block[100000];
    sinew_stream *in, *out;
    open_pipe(&in, &out);
    CHECK_EQ(sinew_stream_write(out, block, sizeof block), 0);
    CHECK_EQ(sinew_stream_write(out, block, sizeof block), 0);
    sinew_task *t = spawn_eager(drain_task, out);
    for (int i = 0; i < 30; i++)
        sinew_yield();
    CHECK(!sinew_done(t));
    CHECK_EQ(sinew_stream_abort(out), 0);
    CHECK_EQ(sinew_stream_wait_closed(out), 0);
    CHECK_EQ(sinew_await(t), -ECONNRESET);
    char *data;
    CHECK(sinew_stream_read_all(in, &data, 0) < (ssize_t)(2 * sizeof block)); /* what the pipe had, and its end */
    free(data);
    sinew_stream_unref(in);
    sinew_stream_unref(out);
    return 0;
}

IN_RUNTIME(a_missing_side_is_the_end_and_bad_arguments_are_errors)
{
    sinew_stream *in, *out, *none;
    open_pipe(&in, &out);
    CHECK_LINE(out, "");
    CHECK_EQ(sinew_stream_write(in, "x", 1), 0); /* known only when it is sent */
    CHECK_EQ(sinew_stream_flush(in), -ECONNRESET);
    CHECK_EQ(sinew_stream_write(in, "x", 1), -EPIPE);
    CHECK_EQ(sinew_stream_write(out, "reading goes on\n", 16), 0);
    CHECK_LINE(in, "reading goes on\n");
    CHECK_EQ(sinew_stream_open(-1, NULL, &none), -EBADF);
    CHECK_EQ(sinew_stream_open_pair(-1, 12345, NULL, &none), -EBADF);
    CHECK_EQ(sinew_stream_open(0, NULL, NULL), -EINVAL);
    CHECK(none == NULL);
    CHECK_EQ(sinew_stream_write(NULL, "x", 1), -EINVAL);
    CHECK_EQ(sinew_stream_write(out, NULL, 1), -EINVAL);
    CHECK_EQ(sinew_stream_write(out, NULL, 0), 0);
    for (int i = 0; i < READINGS; i++)
        CHECK_EQ(readings[i].call(NULL), -EINVAL);
    CHECK_EQ(sinew_stream_consume(in, 1), -EINVAL);
    char text[64];
    CHECK_EQ(sinew_stream_peer(in, text, sizeof text), -ENOTSOCK);
    sinew_stream_unref(in);
    sinew_stream_unref(out);
    sinew_stream_unref(NULL);
    return 0;
}

/* --- files -------------------------------------------------------------------------------------------------------- */

/* Two connected streams of some kind; `out` can be written, `in` read. */
static void open_kind(int kind, sinew_stream **in, sinew_stream **out)
{
    if (kind == 0) {
        open_pipe(in, out);
        return;
    }
    int p[2];
    if (kind == 1)
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, p), 0);
    else
        tcp_pair(p);
    CHECK_EQ(sinew_stream_open(p[0], NULL, in) | sinew_stream_open(p[1], NULL, out), 0);
}

static int pattern_file(size_t n)
{
    int file = memfd_create("file", MFD_CLOEXEC);
    char *bytes = pattern_new(n);
    CHECK_EQ(write(file, bytes, n), (ssize_t)n);
    free(bytes);
    return file;
}

IN_RUNTIME(sendfile_sends_a_part_of_a_file_between_what_is_written)
{
    enum { N = 3000000 };
    int file = pattern_file(N);
    for (int kind = 0; kind < 3; kind++) {
        sinew_stream *in, *out;
        open_kind(kind, &in, &out);
        CHECK_EQ(sinew_stream_write(out, "[", 1), 0);
        CHECK_EQ(sinew_stream_sendfile(out, file, 10, 1000), 1000);
        CHECK_EQ(sinew_stream_write(out, "]", 1), 0);
        char got[1002];
        CHECK_EQ(sinew_stream_read_exactly(in, got, sizeof got), 0);
        CHECK(got[0] == '[' && got[1001] == ']');
        CHECK_EQ(pattern_differs(got + 1, 10, 1000), 0);
        struct copy whole = {in, N};
        sinew_task *t = sinew_spawn(read_pattern, &whole);
        CHECK_EQ(sinew_stream_sendfile(out, file, 0, N / 2), N / 2);
        CHECK_EQ(sinew_stream_sendfile(out, file, N / 2, 10 * N), N / 2); /* the file ends */
        CHECK_EQ(sinew_stream_sendfile(out, file, N, 1), 0);
        CHECK_EQ(sinew_stream_sendfile(out, file, -1, 1), -EINVAL);
        CHECK_EQ(sinew_stream_sendfile(out, -1, 0, N), -EBADF);
        sinew_stream_unref(out);
        CHECK_EQ(sinew_await(t), 0);
        sinew_stream_unref(in);
    }
    close(file);
    return 0;
}

struct file_sender {
    sinew_stream *stream;
    int file;
};

static intptr_t send_file(void *arg)
{
    const struct file_sender *f = arg;
    return (intptr_t)sinew_stream_sendfile(f->stream, f->file, 0, 50000000);
}

/* The peer does not read. What comes of the file is the caller's trouble, but nothing hangs and nothing is left. */
IN_RUNTIME(a_sendfile_that_is_stuck_can_be_cancelled_and_aborted)
{
    int file = pattern_file(50000000);
    for (int kind = 0; kind < 3; kind++) {
        for (int how = 0; how < 4; how++) {
            sinew_stream *in, *out;
            open_kind(kind, &in, &out);
            struct file_sender f = {out, file};
            sinew_task *t = spawn_eager(send_file, &f);
            CHECK_EQ(sinew_stream_write(out, "x", 1), 0); /* must not be waited for for ever, either */
            for (int i = 0; how % 2 && i < 50; i++)
                sinew_yield();
            CHECK(!sinew_done(t));
            if (how < 2) {
                CHECK(sinew_cancel(t));
                CHECK_EQ(sinew_await(t), -ECANCELED);
            }
            CHECK_EQ(sinew_stream_abort(out), 0);
            if (how >= 2)
                CHECK_EQ(sinew_await(t), -ECONNRESET);
            CHECK_EQ(sinew_stream_wait_closed(out), 0);
            sinew_stream_unref(out);
            sinew_stream_unref(in);
        }
    }
    close(file);
    return 0;
}

/* SIGPIPE has its default action here. */
IN_RUNTIME(a_reader_that_is_gone_is_an_error_and_no_signal)
{
    int file = pattern_file(1000000);
    for (int kind = 0; kind < 3; kind++) {
        for (int with_file = 0; with_file < 2; with_file++) {
            sinew_stream *in, *out;
            open_kind(kind, &in, &out);
            sinew_stream_unref(in);
            int64_t r = 0;
            while (r >= 0)
                r = with_file ? sinew_stream_sendfile(out, file, 0, 1000000)
                              : sinew_stream_write(out, "x", 1) + sinew_yield();
            CHECK(r == -EPIPE || r == -ECONNRESET);
            CHECK_EQ(sinew_stream_drain(out), -ECONNRESET);
            sinew_stream_unref(out);
        }
    }
    close(file);
    sigset_t pending;
    sigpending(&pending);
    CHECK(!sigismember(&pending, SIGPIPE));
    return 0;
}

IN_RUNTIME(a_file_can_be_read_and_written_as_a_stream)
{
    int file = memfd_create("file", MFD_CLOEXEC);
    sinew_stream *out = open_pair(-1, dup(file));
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(sinew_stream_printf(out, "line %d\n", i), 0);
    CHECK_EQ(sinew_stream_close(out), 0);
    CHECK_EQ(sinew_stream_wait_closed(out), 0);
    sinew_stream_unref(out);
    lseek(file, 0, SEEK_SET);
    sinew_stream *in;
    CHECK_EQ(sinew_stream_open(file, NULL, &in), 0);
    for (int i = 0; i < 1000; i++) {
        char text[32];
        snprintf(text, sizeof text, "line %d\n", i);
        CHECK_LINE(in, text);
    }
    CHECK_LINE(in, "");
    sinew_stream_unref(in);
    return 0;
}

/* --- races -------------------------------------------------------------------------------------------------------- */

/* Several tasks write lines; each line must arrive whole, and each task's in order. */
struct scribe {
    sinew_stream *stream;
    int number, lines;
};

static intptr_t write_lines(void *arg)
{
    struct scribe *w = arg;
    for (int i = 0; i < w->lines; i++) {
        CHECK_EQ(sinew_stream_printf(w->stream, "%d %d %0*d\n", w->number, i, 1 + i * 7 % 3000, 0), 0);
        if (i % 7 == w->number)
            CHECK_EQ(sinew_stream_drain(w->stream), 0);
    }
    return 0;
}

IN_RUNTIME(lines_of_several_writers_arrive_whole_and_each_writers_in_order)
{
    enum { WRITERS = 5 };
    ends e = open_tcp_ends(NULL);
    sinew_stream *in;
    CHECK_EQ(sinew_stream_open(e.peer, NULL, &in), 0);
    e.peer = -1;
    struct scribe w[WRITERS];
    sinew_task *t[WRITERS];
    int lines = (int)scaled(1000, 200), next[WRITERS] = {0};
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (struct scribe){e.stream, i, lines};
        t[i] = sinew_spawn(write_lines, &w[i]);
    }
    for (int i = 0; i < WRITERS * lines; i++) {
        const char *line;
        ssize_t n = sinew_stream_readline(in, &line);
        if (!CHECK(n > 0))
            break;
        int writer = line[0] - '0', number = (int)strtol(line + 2, NULL, 10);
        if (!CHECK(writer >= 0 && writer < WRITERS))
            break;
        CHECK_EQ(number, next[writer]++);
        char head[32];
        int expected = snprintf(head, sizeof head, "%d %d ", writer, number) + 1 + number * 7 % 3000 + 1;
        CHECK_EQ(n, expected);
    }
    CHECK_EQ(sinew_gather(t, WRITERS, NULL), 0);
    sinew_stream_unref(in);
    close_ends(&e);
    return 0;
}

/* Everybody does something to one stream until it is closed. */
struct party {
    sinew_stream *stream;
    atomic_int stop;
    uint64_t seed;
};

static intptr_t party_reader(void *arg)
{
    struct party *p = arg;
    uint64_t random = p->seed ^ 1;
    ssize_t n;
    do
        n = readings[random_below(&random, READINGS)].call(p->stream);
    while (n > 0);
    sinew_stream_unref(p->stream);
    return 0;
}

static intptr_t party_writer(void *arg)
{
    struct party *p = arg;
    static const char block[20000];
    uint64_t random = p->seed ^ 2;
    int r = 0;
    while (r == 0) {
        r = sinew_stream_write(p->stream, block, 1 + random_below(&random, sizeof block));
        if (r == 0 && random_below(&random, 3) == 0)
            r = sinew_stream_drain(p->stream);
        if (random_below(&random, 4) == 0)
            sinew_yield();
    }
    CHECK(r == -EPIPE || r == -ECONNRESET);
    sinew_stream_unref(p->stream);
    return 0;
}

static intptr_t party_end(void *arg)
{
    struct party *p = arg;
    uint64_t random = p->seed ^ 3;
    for (uint64_t i = random_below(&random, 200); i > 0; i--)
        sinew_yield();
    switch (random_below(&random, 4)) {
    case 0:
        sinew_stream_write_eof(p->stream);
        sinew_yield();
        sinew_stream_abort(p->stream);
        break;
    case 1:
        sinew_stream_close(p->stream);
        break;
    case 2:
        sinew_stream_abort(p->stream);
        break;
    default:
        sinew_stream_close(p->stream);
        sinew_stream_abort(p->stream);
    }
    int r = sinew_stream_wait_closed(p->stream);
    CHECK(r == 0 || r == -ECONNRESET);
    CHECK_EQ(sinew_stream_fd(p->stream), -1);
    atomic_store(&p->stop, 1);
    sinew_stream_unref(p->stream);
    return 0;
}

/* The other side: reads and sends something back, and leaves after a while. */
static intptr_t party_peer(void *arg)
{
    ends *e = arg;
    char buffer[30000];
    uint64_t random = (uint64_t)e->peer * 7919;
    for (uint64_t i = 5 + random_below(&random, 30); i > 0; i--) {
        ssize_t n = sinew_recv(e->peer, buffer, sizeof buffer, 0);
        if (n <= 0)
            break;
        sinew_send(e->peer, buffer, (size_t)n % 3000 + 1, MSG_DONTWAIT);
    }
    sinew_close(e->peer);
    return 0;
}

IN_RUNTIME(whoever_ends_a_stream_when_its_descriptor_is_closed_once_and_nothing_is_left)
{
    uint64_t random = random_seed();
    for (size_t round = 0; round < scaled(300, 60); round++) {
        ends e = round % 2 ? open_tcp_ends(NULL) : open_ends(NULL);
        struct party p = {.stream = e.stream, .seed = random_next(&random)};
        for (int i = 0; i < 4; i++)
            sinew_stream_ref(e.stream);
        sinew_task *t[5] = {sinew_spawn(party_reader, &p), sinew_spawn(party_writer, &p), sinew_spawn(party_writer, &p),
                            sinew_spawn(party_peer, &e), sinew_spawn(party_end, &p)};
        sinew_stream_unref(e.stream);
        CHECK_EQ(sinew_gather(t, 5, NULL), 0);
    }
    return 0;
}

static intptr_t write_and_leave(void *arg)
{
    static const char block[100000];
    ends *e = arg;
    for (int i = 0; i < 50; i++)
        CHECK_EQ(sinew_stream_write(e->stream, block, sizeof block), 0);
    sinew_stream_unref(e->stream);
    return 0;
}

/* A stream with much to send whose peer never reads must not keep the runtime from ending, nor be forgotten. */
static void the_end_of_the_runtime_drops_what_cannot_be_sent(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        ends e = {.peer = fds[1]};
        assert_int_equal(sinew_stream_open(fds[0], NULL, &e.stream), 0); /* in a plain thread */
        run_body("the_end_of_the_runtime_drops_what_cannot_be_sent", worker_counts[i], write_and_leave, &e);
        size_t sent = drain(e.peer);
        assert_true(sent > 0 && sent < 50 * 100000);
        char byte;
        assert_int_equal(recv(e.peer, &byte, 1, 0), 0);
        close(e.peer);
    }
}

static intptr_t read_one_of_two_lines(void *arg)
{
    ends *e = arg;
    CHECK_EQ(sinew_stream_open(e->peer, NULL, &e->stream), 0);
    CHECK_LINE(e->stream, "first\n");
    return 0;
}

static intptr_t read_the_other_one(void *arg)
{
    ends *e = arg;
    CHECK_LINE(e->stream, "second\n");
    return 0;
}

/* What has arrived may lie in memory of the runtime's. */
static void a_stream_may_outlive_its_runtime_with_what_has_arrived(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        ends e[2];
        for (int k = 0; k < 2; k++) {
            int fds[2];
            assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
            e[k].peer = fds[0];
            send_text(fds[1], "first\nsecond\n");
            run_body(__func__, worker_counts[i], read_one_of_two_lines, &e[k]);
            close(fds[1]);
        }
        run_body(__func__, worker_counts[i], read_the_other_one, &e[0]);
        sinew_stream_unref(e[0].stream);
        sinew_stream_unref(e[1].stream);
    }
}

/* --- memory ------------------------------------------------------------------------------------------------------- */

#if !SN_ASAN && !SN_TSAN
static intptr_t wait_for_a_line(void *arg)
{
    const char *line;
    return sinew_stream_readline(arg, &line);
}

/* A stream that waits is one small allocation, also when it has read and written before. */
IN_RUNTIME_WITH(a_stream_that_waits_has_no_buffers, 1)
{
    enum { N = 100 };
    ends e[N];
    sinew_task *t[N];
    size_t before = 0, after;
    for (int round = 0; round < 2; round++) { /* the first fills the pools of stacks and tasks */
        before = mallinfo2().uordblks;
        for (int i = 0; i < N; i++) {
            e[i] = open_ends(NULL);
            CHECK_EQ(sinew_stream_write(e[i].stream, "question\n", 9), 0);
            send_text(e[i].peer, "answer\n");
            CHECK_LINE(e[i].stream, "answer\n");
            t[i] = sinew_spawn(wait_for_a_line, e[i].stream);
        }
        for (int i = 0; i < 20; i++)
            sinew_yield();
        after = mallinfo2().uordblks;
        if (round == 1)
            CHECK(after - before <= N * 400u);
        for (int i = 0; i < N; i++) {
            CHECK(peer_gets(e[i].peer, "question\n"));
            close_peer(&e[i]);
            CHECK_EQ(sinew_await(t[i]), 0);
            close_ends(&e[i]);
        }
    }
    return 0;
}
#else
IN_RUNTIME(a_stream_that_waits_has_no_buffers)
{
    return 0; /* malloc is another one here */
}
#endif

TEST_MAIN(cmocka_unit_test_that_closes(both_directions_at_once_move_every_byte_in_order),
          cmocka_unit_test_that_closes(a_read_of_a_pipe_can_be_cancelled_timed_out_and_closed_by_others),
          cmocka_unit_test_that_closes(a_full_pipe_can_be_given_up),
          cmocka_unit_test_that_closes(a_missing_side_is_the_end_and_bad_arguments_are_errors),
          cmocka_unit_test_that_closes(sendfile_sends_a_part_of_a_file_between_what_is_written),
          cmocka_unit_test_that_closes(a_sendfile_that_is_stuck_can_be_cancelled_and_aborted),
          cmocka_unit_test_that_closes(a_reader_that_is_gone_is_an_error_and_no_signal),
          cmocka_unit_test_that_closes(a_file_can_be_read_and_written_as_a_stream),
          cmocka_unit_test_that_closes(lines_of_several_writers_arrive_whole_and_each_writers_in_order),
          cmocka_unit_test_that_closes(whoever_ends_a_stream_when_its_descriptor_is_closed_once_and_nothing_is_left),
          cmocka_unit_test_that_closes(the_end_of_the_runtime_drops_what_cannot_be_sent),
          cmocka_unit_test_that_closes(a_stream_may_outlive_its_runtime_with_what_has_arrived),
          cmocka_unit_test_that_closes(a_stream_that_waits_has_no_buffers))
