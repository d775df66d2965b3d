/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: reads and writes on pipes suspend the task, move every byte once and in order, and see the end of the stream.
 * Method: numbered bytes through pipes between tasks and plain threads; 1, 2 and 8 workers.
 * Cannot see: whether the worker ran something else meanwhile (core/fairness.c and core/busy.c do).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

struct stream {
    int fd;
    size_t size, chunk, moved;
};

static char byte_at(size_t i)
{
    return (char)(i * 2654435761u >> 11);
}

static intptr_t write_stream(void *arg)
{
    struct stream *s = arg;
    char *buf = malloc(s->chunk);
    while (s->moved < s->size) {
        size_t n = s->size - s->moved < s->chunk ? s->size - s->moved : s->chunk;
        for (size_t i = 0; i < n; i++)
            buf[i] = byte_at(s->moved + i);
        ssize_t w = sinew_write(s->fd, buf, n);
        if (!CHECK(w > 0 && (size_t)w <= n))
            break;
        s->moved += (size_t)w;
    }
    free(buf);
    return sinew_close(s->fd);
}

static intptr_t read_stream(void *arg)
{
    struct stream *s = arg;
    char *buf = malloc(s->chunk);
    ssize_t n;
    size_t wrong = 0;
    while ((n = sinew_read(s->fd, buf, s->chunk)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            wrong += buf[i] != byte_at(s->moved + (size_t)i);
        s->moved += (size_t)n;
    }
    CHECK_EQ(n, 0);
    CHECK_EQ(wrong, 0);
    free(buf);
    return sinew_close(s->fd);
}

IN_RUNTIME(every_byte_arrives_once_and_in_order)
{
    static const size_t chunks[][2] = {{1000, 777}, {100000, 333}, {50, 65536}, {200000, 200000}};
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        int p[2];
        if (!CHECK_EQ(pipe(p), 0))
            return 1;
        size_t size = scaled(1000000, 50000);
        struct stream out = {p[1], size, chunks[i][0], 0}, in = {p[0], 0, chunks[i][1], 0};
        sinew_task *tasks[2] = {sinew_spawn(write_stream, &out), sinew_spawn(read_stream, &in)};
        CHECK_EQ(sinew_gather(tasks, 2, NULL), 0);
        CHECK_EQ(in.moved, size);
    }
    return 0;
}

static intptr_t read_one(void *arg)
{
    char c = 0;
    ssize_t n = sinew_read(*(int *)arg, &c, 1);
    return n == 1 ? c : n;
}

IN_RUNTIME(a_reader_waits_until_a_byte_comes)
{
    int p[2];
    if (!CHECK_EQ(pipe(p), 0))
        return 1;
    sinew_task *t = sinew_spawn(read_one, &p[0]);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(!sinew_done(t));
    CHECK_EQ(write(p[1], "k", 1), 1);
    CHECK_EQ(sinew_await(t), 'k');
    /* Bytes that are there already, and several readers on one pipe. */
    enum { READERS = 10 };
    sinew_task *readers[READERS];
    intptr_t results[READERS], sum = 0;
    for (int i = 0; i < READERS; i++)
        readers[i] = sinew_spawn(read_one, &p[0]);
    sinew_yield();
    CHECK_EQ(write(p[1], "abcdefghij", READERS), READERS);
    CHECK_EQ(sinew_gather(readers, READERS, results), 0);
    for (int i = 0; i < READERS; i++)
        sum += results[i];
    CHECK_EQ(sum, 10 * 'a' + 45);
    close(p[0]);
    close(p[1]);
    return 0;
}

IN_RUNTIME(the_last_writers_close_is_the_end_of_the_stream)
{
    int p[2];
    if (!CHECK_EQ(pipe(p), 0))
        return 1;
    sinew_task *t = sinew_spawn(read_one, &p[0]);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK_EQ(sinew_close(p[1]), 0);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(sinew_await(sinew_spawn(read_one, &p[0])), 0);
    CHECK_EQ(sinew_close(p[0]), 0);
    return 0;
}

IN_RUNTIME(a_writer_waits_until_there_is_room)
{
    int p[2];
    if (!CHECK_EQ(pipe(p), 0))
        return 1;
    fill(p[1]);
    struct stream out = {p[1], 100, 100, 0};
    sinew_task *t = sinew_spawn(write_stream, &out);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(!sinew_done(t));
    char buf[4096];
    for (int i = 0; i < 4; i++)
        CHECK_EQ(read(p[0], buf, sizeof buf), (ssize_t)sizeof buf);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(out.moved, 100);
    close(p[0]);
    return 0;
}

IN_RUNTIME(a_write_without_reader_gives_epipe)
{
    /* As with write(2), the signal is the program's to ignore. */
    void (*before)(int) = signal(SIGPIPE, SIG_IGN);
    int p[2];
    if (!CHECK_EQ(pipe(p), 0))
        return 1;
    close(p[0]);
    CHECK_EQ(sinew_write(p[1], "x", 1), -EPIPE);
    close(p[1]);
    signal(SIGPIPE, before);
    return 0;
}

static intptr_t pass_on(void *arg)
{
    int *fds = arg;
    char c;
    ssize_t n;
    while ((n = sinew_read(fds[0], &c, 1)) == 1)
        if ((n = sinew_write(fds[1], &c, 1)) != 1)
            break;
    close(fds[1]);
    return n;
}

IN_RUNTIME(a_chain_of_a_hundred_pipes_passes_bytes_on)
{
    int n = (int)scaled(100, 20), bytes = (int)scaled(100, 20);
    int(*links)[2] = calloc((size_t)n, sizeof *links);
    sinew_task **tasks = calloc((size_t)n, sizeof(sinew_task *));
    int first[2], last[2];
    if (!CHECK_EQ(pipe(first), 0))
        return 1;
    last[0] = first[0];
    for (int i = 0; i < n; i++) {
        int next[2];
        if (!CHECK_EQ(pipe(next), 0))
            return 1;
        links[i][0] = last[0];
        links[i][1] = next[1];
        last[0] = next[0];
        tasks[i] = sinew_spawn(pass_on, links[i]);
    }
    for (int i = 0; i < bytes; i++) {
        char c = (char)i, back = -1;
        CHECK_EQ(sinew_write(first[1], &c, 1), 1);
        CHECK_EQ(sinew_read(last[0], &back, 1), 1);
        CHECK_EQ(back, c);
    }
    close(first[1]);
    CHECK_EQ(sinew_gather(tasks, (size_t)n, NULL), 0);
    for (int i = 0; i < n; i++)
        close(links[i][0]);
    close(last[0]);
    free(tasks);
    free(links);
    return 0;
}

TEST_MAIN(cmocka_unit_test(every_byte_arrives_once_and_in_order), cmocka_unit_test(a_reader_waits_until_a_byte_comes),
          cmocka_unit_test(the_last_writers_close_is_the_end_of_the_stream),
          cmocka_unit_test(a_writer_waits_until_there_is_room), cmocka_unit_test(a_write_without_reader_gives_epipe),
          cmocka_unit_test(a_chain_of_a_hundred_pipes_passes_bytes_on))
