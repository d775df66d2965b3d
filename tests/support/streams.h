/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streams for tests: one side is a stream, the other a plain descriptor that the test reads and writes itself.
 */
#ifndef TESTS_SUPPORT_STREAMS_H
#define TESTS_SUPPORT_STREAMS_H

#include <stdlib.h>
#include <sys/time.h>

#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

/* A test that leaves no descriptor open. */
static int descriptors_before;

static inline int count_before(void **state)
{
    (void)state;
    descriptors_before = count_descriptors();
    return 0;
}

static inline int count_after(void **state)
{
    (void)state;
    if (count_descriptors() == descriptors_before)
        return 0;
    print_error("%d descriptors were open before, and now %d\n", descriptors_before, count_descriptors());
    return -1;
}

#define cmocka_unit_test_that_closes(f) cmocka_unit_test_setup_teardown(f, count_before, count_after)

typedef struct ends {
    sinew_stream *stream;
    int peer; /* -1: closed */
} ends;

/* Connected over TCP on the loopback: { this side, that side }. */
static inline void tcp_pair(int fds[2])
{
    struct sockaddr_in address;
    int listener = loopback_listener(1, &address);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    /* Of a fixed size: the system's own would grow while a test believes that they are full. */
    int bytes = 65536;
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    if (!CHECK(listener >= 0) || !CHECK_EQ(connect(fds[0], (struct sockaddr *)&address, sizeof address), 0))
        abort();
    fds[1] = accept(listener, NULL, NULL);
    if (!CHECK(fds[1] >= 0))
        abort();
    close(listener);
}

static inline ends open_ends_of(int fds[2], const sinew_stream_options *opt)
{
    ends e = {.peer = fds[1]};
    if (!CHECK_EQ(sinew_stream_open(fds[0], opt, &e.stream), 0))
        abort();
    return e;
}

static inline ends open_ends(const sinew_stream_options *opt)
{
    int fds[2];
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0))
        abort();
    return open_ends_of(fds, opt);
}

static inline ends open_tcp_ends(const sinew_stream_options *opt)
{
    int fds[2];
    tcp_pair(fds);
    return open_ends_of(fds, opt);
}

static inline void close_peer(ends *e)
{
    if (e->peer >= 0)
        close(e->peer);
    e->peer = -1;
}

static inline void close_ends(ends *e)
{
    close_peer(e);
    sinew_stream_unref(e->stream);
    e->stream = NULL;
}

/* Over TCP: the peer is gone without a farewell. */
static inline void reset_peer(ends *e)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    CHECK_EQ(setsockopt(e->peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close_peer(e);
}

static inline void send_text(int fd, const char *text)
{
    CHECK_EQ(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* Sends all of it by the calling task, which suspends where there is no room. */
static inline void send_bytes(int fd, const char *bytes, size_t n)
{
    CHECK_EQ(sinew_send_all(fd, bytes, n), 0);
}

/* Does the peer receive exactly this next? */
static inline bool peer_gets(int fd, const char *text)
{
    char got[256];
    size_t n = strlen(text), have = 0;
    while (have < n) {
        ssize_t some = sinew_recv(fd, got + have, n - have, 0);
        if (!CHECK(some > 0))
            return false;
        have += (size_t)some;
    }
    return CHECK(memcmp(got, text, n) == 0);
}

/* Does the peer find the end next? */
static inline bool peer_finds_the_end(int fd)
{
    char byte;
    return CHECK_EQ(sinew_recv(fd, &byte, 1, 0), 0);
}

static inline bool is_text(const char *data, ssize_t n, const char *text)
{
    if (n == (ssize_t)strlen(text) && memcmp(data, text, (size_t)n) == 0)
        return true;
    fprintf(stderr, "\"%.*s\" (%zd) instead of \"%s\"\n", n > 0 ? (int)n : 0, n > 0 ? data : "", n, text);
    return false;
}

/* The next line, or the next n bytes, is this text. */
#define CHECK_LINE(s, text)                                                     \
    do {                                                                        \
        const char *line_;                                                      \
        ssize_t n_ = sinew_stream_readline((s), &line_);                        \
        check_true(is_text(line_, n_, (text)), "the line", __FILE__, __LINE__); \
    } while (0)
#define CHECK_PEEK(s, text)                                                       \
    do {                                                                          \
        const char *data_;                                                        \
        ssize_t n_ = sinew_stream_peek((s), &data_);                              \
        check_true(is_text(data_, n_, (text)), "the buffer", __FILE__, __LINE__); \
    } while (0)

/* Byte i of a pattern without a short period. */
static inline char pattern_byte(size_t i)
{
    return (char)(i * 2654435761u >> 11);
}

static inline char *pattern_new(size_t n)
{
    char *p = malloc(n);
    if (!p)
        abort();
    for (size_t i = 0; i < n; i++)
        p[i] = pattern_byte(i);
    return p;
}

static inline size_t pattern_differs(const char *p, size_t from, size_t n)
{
    size_t wrong = 0;
    for (size_t i = 0; i < n; i++)
        wrong += p[i] != pattern_byte(from + i);
    return wrong;
}

/* A task that sends n bytes of the pattern, from the first on, to a descriptor, in chunks, and closes it if asked. */
struct feeder {
    int fd;
    size_t n, chunk;
    bool close;
    sinew_task *task;
};

static inline intptr_t feed(void *arg)
{
    struct feeder *f = arg;
    char *bytes = pattern_new(f->n);
    int r = 0;
    for (size_t at = 0; r == 0 && at < f->n; at += f->chunk)
        r = sinew_send_all(f->fd, bytes + at, f->n - at < f->chunk ? f->n - at : f->chunk);
    free(bytes);
    if (f->close)
        sinew_close(f->fd);
    return r;
}

/* The peer of `e`; with `close` it is the feeder's from now on. */
static inline void feeder_start(struct feeder *f, ends *e, size_t n, size_t chunk, bool close)
{
    *f = (struct feeder){.fd = e->peer, .n = n, .chunk = chunk, .close = close};
    if (close)
        e->peer = -1;
    f->task = sinew_spawn(feed, f);
}

/* A task in one reading call. */
typedef ssize_t (*reading_fn)(sinew_stream *s);

static inline ssize_t reading_read(sinew_stream *s)
{
    char buffer[64];
    return sinew_stream_read(s, buffer, sizeof buffer);
}

static inline ssize_t reading_read_long(sinew_stream *s)
{
    char *buffer = malloc(100000);
    ssize_t n = sinew_stream_read(s, buffer, 100000);
    free(buffer);
    return n;
}

static inline ssize_t reading_exactly(sinew_stream *s)
{
    char buffer[64];
    return sinew_stream_read_exactly(s, buffer, sizeof buffer);
}

static inline ssize_t reading_exactly_long(sinew_stream *s)
{
    char *buffer = malloc(100000);
    int r = sinew_stream_read_exactly(s, buffer, 100000);
    free(buffer);
    return r;
}

static inline ssize_t reading_all(sinew_stream *s)
{
    char *data;
    ssize_t n = sinew_stream_read_all(s, &data, 0);
    free(data);
    return n;
}

static inline ssize_t reading_line(sinew_stream *s)
{
    const char *line;
    return sinew_stream_readline(s, &line);
}

static inline ssize_t reading_until(sinew_stream *s)
{
    const char *data;
    return sinew_stream_read_until(s, "\r\n\r\n", &data);
}

static inline ssize_t reading_peek(sinew_stream *s)
{
    const char *data;
    return sinew_stream_peek(s, &data);
}

static inline ssize_t reading_peek_more(sinew_stream *s)
{
    const char *data;
    return sinew_stream_peek_more(s, 64, &data);
}

static inline ssize_t reading_idle(sinew_stream *s)
{
    return sinew_stream_idle(s);
}

typedef struct reading {
    const char *name;
    reading_fn call;
    bool wants_more; /* than the few bytes that are there */
} reading;

static const reading readings[] __attribute__((unused)) = {
    {"read", reading_read, false},           {"a long read", reading_read_long, false},
    {"peek", reading_peek, false},           {"idle", reading_idle, false},
    {"read_exactly", reading_exactly, true}, {"a long read_exactly", reading_exactly_long, true},
    {"read_all", reading_all, true},         {"readline", reading_line, true},
    {"read_until", reading_until, true},     {"peek_more", reading_peek_more, true},
};
enum { READINGS = sizeof readings / sizeof readings[0] };

struct reader {
    sinew_stream *stream;
    reading_fn call;
    atomic_long result; /* 1000: it goes on */
    sinew_task *task;
};

static inline intptr_t reader_body(void *arg)
{
    struct reader *r = arg;
    atomic_store(&r->result, r->call(r->stream));
    return 0;
}

/* When this returns the reader waits in its call, unless that has ended. */
static inline void reader_start(struct reader *r, sinew_stream *s, reading_fn call)
{
    *r = (struct reader){.stream = s, .call = call};
    atomic_store(&r->result, 1000);
    r->task = spawn_eager(reader_body, r);
}

static inline ssize_t reader_end(struct reader *r)
{
    CHECK_EQ(sinew_await(r->task), 0);
    return r->result;
}

#endif
