/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: sendfile and send_zc send every byte once and in order, say how many went out whatever stopped them, and leave
 * no descriptor.
 * Method: TCP on the loopback and unix pairs; readers that take little, stop, or go away; cancels at random moments,
 * after which what has arrived must be what the call said. The seed is printed; SINEW_TEST_SEED gives it back.
 * Cannot see: whether bytes are copied.
 */
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdlib.h>

#include <tests/support/child.h>
#include <tests/support/files.h>
#include <tests/support/process.h>
#include <tests/support/random.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

static char byte_at(size_t i)
{
    return (char)(i * 2654435761u >> 11);
}

static int new_file(size_t size)
{
    char *data = malloc(size);
    int fd = temporary_file(O_CLOEXEC);
    for (size_t i = 0; i < size; i++)
        data[i] = byte_at(i);
    CHECK_EQ(write(fd, data, size), size);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    free(data);
    return fd;
}

static void tcp_pair(int fds[2])
{
    struct sockaddr_in address;
    int listener = loopback_listener(1, &address);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(fds[0], (struct sockaddr *)&address, sizeof address), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
}

static void make_pair(bool tcp, int fds[2])
{
    if (tcp)
        tcp_pair(fds);
    else
        CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
}

/* Reads to the end and checks that it is the file's bytes from `begin` on. */
struct reader {
    int fd;
    size_t begin, got, wrong, chunk;
};

static intptr_t read_all(void *arg)
{
    struct reader *r = arg;
    char buf[20000];
    ssize_t n;
    while ((n = sinew_recv(r->fd, buf, r->chunk, 0)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            r->wrong += buf[i] != byte_at(r->begin + r->got + (size_t)i);
        r->got += (size_t)n;
    }
    return n;
}

static void send_and_check(bool tcp, bool with_offset, size_t begin, size_t count, size_t size, size_t chunk)
{
    int s[2], file = new_file(size), before = count_descriptors();
    size_t expected = begin >= size ? 0 : count < size - begin ? count : size - begin;
    make_pair(tcp, s);
    struct reader r = {.fd = s[1], .begin = begin, .chunk = chunk};
    sinew_task *t = sinew_spawn(read_all, &r);
    off_t at = (off_t)begin;
    if (!with_offset)
        CHECK_EQ(lseek(file, at, SEEK_SET), at);
    CHECK_EQ(sinew_sendfile(s[0], file, with_offset ? &at : NULL, count), expected);
    CHECK_EQ(with_offset ? at : lseek(file, 0, SEEK_CUR), begin + expected);
    if (with_offset)
        CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
    CHECK_EQ(count_descriptors(), before + 2);
    close(s[0]);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(r.got, expected);
    CHECK_EQ(r.wrong, 0);
    close(s[1]);
    close(file);
}

IN_RUNTIME(a_file_arrives_once_and_in_order)
{
    size_t size = scaled(3000000, 300000);
    for (int tcp = 0; tcp < 2; tcp++) {
        send_and_check(tcp, true, 0, size, size, 20000);
        send_and_check(tcp, false, 1000, size, size, 777);
        send_and_check(tcp, true, 100001, 65537, size, 20000);
        send_and_check(tcp, true, 5, 1, size, 1);
        send_and_check(tcp, true, size, 100, size, 1);
        send_and_check(tcp, false, 0, 0, 10, 1);
        send_and_check(tcp, true, 3, SIZE_MAX, 10, 20000);
    }
    return 0;
}

/* A connection that one sends to and both use, without O_NONBLOCK and with it. */
IN_RUNTIME(a_socket_with_o_nonblock_is_waited_for_too)
{
    int s[2], file = new_file(1000000);
    off_t at = 0;
    tcp_pair(s);
    set_nonblocking(s[0], true);
    struct reader r = {.fd = s[1], .chunk = 20000};
    sinew_task *t = sinew_spawn(read_all, &r);
    CHECK_EQ(sinew_sendfile(s[0], file, &at, 1000000), 1000000);
    close(s[0]);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(r.got, 1000000);
    CHECK_EQ(r.wrong, 0);
    close(s[1]);
    close(file);
    return 0;
}

IN_RUNTIME(what_sendfile_refuses_is_refused)
{
    int s[2], p[2], file = new_file(100), before = count_descriptors();
    off_t at = 0, below = -1;
    tcp_pair(s);
    CHECK_EQ(pipe2(p, O_CLOEXEC), 0);
    CHECK_EQ(sinew_sendfile(s[0], p[0], NULL, 1), -EINVAL);
    CHECK_EQ(sinew_sendfile(s[0], s[1], &at, 1), -EINVAL);
    CHECK_EQ(sinew_sendfile(s[0], -1, &at, 1), -EBADF);
    CHECK_EQ(sinew_sendfile(-1, file, &at, 1), -EBADF);
    CHECK_EQ(sinew_sendfile(s[0], file, &below, 1), -EINVAL);
    CHECK_EQ(at, 0);
    CHECK_EQ(lseek(file, 0, SEEK_CUR), 0);
    int write_only = open("/tmp", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    if (write_only >= 0)
        CHECK_EQ(sinew_sendfile(s[0], write_only, &at, 1), -EBADF);
    close(write_only);
    for (int i = 0; i < 2; i++) {
        close(s[i]);
        close(p[i]);
    }
    CHECK_EQ(count_descriptors(), before);
    close(file);
    return 0;
}

/* --- stopped in the middle ------------------------------------------------------------------------------------ */

struct sender {
    int out, file;
    off_t at;
    size_t count;
    ssize_t result;
    int next_checkpoint;
    ssize_t (*send)(struct sender *s);
    char *data;
};

static ssize_t by_sendfile(struct sender *s)
{
    return sinew_sendfile(s->out, s->file, &s->at, s->count);
}

static ssize_t by_send_zc(struct sender *s)
{
    return sinew_send_zc(s->out, s->data, s->count, 0);
}

static intptr_t run_sender(void *arg)
{
    struct sender *s = arg;
    s->result = s->send(s);
    s->next_checkpoint = sinew_yield();
    return 0;
}

/* Cancels while the peer takes little by little: exactly what the call has said arrives. */
static void cancel_in_the_middle(bool tcp, ssize_t (*send)(struct sender *), uint64_t *seed, int *partial)
{
    enum { SIZE = 2000000 };
    int s[2], before = count_descriptors();
    make_pair(tcp, s);
    struct sender out = {.out = s[0], .file = new_file(SIZE), .count = SIZE, .send = send, .result = -ECANCELED};
    out.data = malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++)
        out.data[i] = byte_at(i);
    sinew_task *t = sinew_spawn(run_sender, &out);
    size_t took = 0, wrong = 0, taken = random_next(seed) % 1000000;
    char buf[20000];
    while (took < taken && !sinew_done(t)) {
        ssize_t n = recv(s[1], buf, sizeof buf, MSG_DONTWAIT);
        for (ssize_t i = 0; i < n; i++)
            wrong += buf[i] != byte_at(took + (size_t)i);
        took += n > 0 ? (size_t)n : 0;
        sinew_yield();
    }
    bool told = sinew_cancel(t);
    if (send == by_send_zc) /* what the socket has taken is let go of when it has arrived */
        while (!sinew_done(t)) {
            ssize_t n = recv(s[1], buf, sizeof buf, MSG_DONTWAIT);
            for (ssize_t i = 0; i < n; i++)
                wrong += buf[i] != byte_at(took + (size_t)i);
            took += n > 0 ? (size_t)n : 0;
            sinew_yield();
        }
    sinew_await(t);
    close(s[0]);
    struct reader rest = {.fd = s[1], .begin = took, .chunk = 20000};
    CHECK_EQ(read_all(&rest), 0);
    CHECK_EQ(wrong + rest.wrong, 0);
    CHECK_EQ(took + rest.got, out.result > 0 ? out.result : 0);
    CHECK(out.result > 0 || out.result == -ECANCELED);
    if (send == by_sendfile) {
        CHECK_EQ(out.at, out.result > 0 ? out.result : 0);
        CHECK_EQ(out.next_checkpoint, told && out.result > 0 ? -ECANCELED : 0);
    }
    *partial += out.result > 0 && out.result < SIZE;
    free(out.data);
    close(s[1]);
    close(out.file);
    CHECK_EQ(count_descriptors(), before);
}

IN_RUNTIME(a_cancelled_sendfile_says_what_went_out)
{
    uint64_t seed = random_seed();
    int rounds = (int)scaled(30, 6), partial = 0;
    for (int i = 0; i < rounds; i++)
        cancel_in_the_middle(i % 2, by_sendfile, &seed, &partial);
    print_message("%u workers: %d of %d stopped in the middle\n", sinew_workers(), partial, rounds);
    return 0;
}

IN_RUNTIME(a_cancelled_send_zc_says_what_went_out)
{
    uint64_t seed = random_seed();
    int rounds = (int)scaled(30, 6), partial = 0;
    for (int i = 0; i < rounds; i++)
        cancel_in_the_middle(i % 2, by_send_zc, &seed, &partial);
    print_message("%u workers: %d of %d stopped in the middle\n", sinew_workers(), partial, rounds);
    return 0;
}

/* Nobody reads: a timeout ends it, and the count is what the socket took. */
IN_RUNTIME(a_timeout_of_a_sendfile_that_nobody_reads_gives_the_count)
{
    enum { SIZE = 20000000 };
    int s[2], file = new_file(SIZE);
    off_t at = 0;
    sinew_timeout limit;
    ssize_t n = -ETIMEDOUT;
    tcp_pair(s);
    for (sinew_time time = SINEW_MS(5); n == -ETIMEDOUT; time *= 2) { /* long enough for something to go out */
        sinew_timeout_begin(&limit, time);
        n = sinew_sendfile(s[0], file, &at, SIZE);
        if (n < 0)
            CHECK_EQ(sinew_timeout_end(&limit), n);
    }
    CHECK(n > 0 && n < SIZE);
    CHECK_EQ(at, n);
    /* The next one finds the request that the first one left, before anything went out. */
    CHECK_EQ(sinew_sendfile(s[0], file, &at, SIZE), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    CHECK_EQ(at, n);
    close(s[0]);
    struct reader r = {.fd = s[1], .chunk = 20000};
    CHECK_EQ(read_all(&r), 0);
    CHECK_EQ(r.got, n);
    CHECK_EQ(r.wrong, 0);
    close(s[1]);
    close(file);
    return 0;
}

static intptr_t send_to_nobody(void *arg)
{
    (void)arg;
    int file = new_file(1000);
    for (int tcp = 0; tcp < 2; tcp++) {
        int s[2];
        off_t at = 0;
        make_pair(tcp, s);
        close(s[1]);
        ssize_t n = 0;
        for (int i = 0; i < 100 && n >= 0; i++)
            n = sinew_sendfile(s[0], file, &at, 10); /* TCP learns of it by the answer to the first bytes */
        CHECK(n == -EPIPE || n == -ECONNRESET);
        n = sinew_send_zc(s[0], "x", 1, 0);
        CHECK_EQ(n, -EPIPE);
        close(s[0]);
    }
    close(file);
    return 0;
}

static int run_with_sigpipe_fatal(void *arg)
{
    signal(SIGPIPE, SIG_DFL);
    CHECK_EQ(run_workers(*(unsigned *)arg, send_to_nobody, NULL), 0);
    return 0;
}

static void a_peer_that_is_gone_gives_epipe_and_no_signal(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_with_sigpipe_fatal, &workers, &end));
        if (end.code != 0)
            child_fail(__func__, &end);
    }
}

/* --- without copying from memory ------------------------------------------------------------------------------ */

IN_RUNTIME(send_zc_lets_go_of_the_buffer_before_it_returns)
{
    enum { SIZE = 400000 };
    for (int tcp = 0; tcp < 2; tcp++) { /* unix sockets copy, and nobody notices */
        int s[2];
        make_pair(tcp, s);
        struct reader r = {.fd = s[1], .chunk = 20000};
        sinew_task *t = sinew_spawn(read_all, &r);
        char *data = malloc(SIZE);
        size_t sent = 0;
        while (sent < SIZE) {
            size_t len = SIZE - sent;
            for (size_t i = 0; i < len; i++)
                data[i] = byte_at(sent + i);
            ssize_t n = sinew_send_zc(s[0], data, len, 0);
            if (!CHECK(n > 0))
                break;
            sent += (size_t)n;
            memset(data, 0, SIZE); /* spoils what has not left it */
        }
        free(data);
        close(s[0]);
        CHECK_EQ(sinew_await(t), 0);
        CHECK_EQ(r.got, SIZE);
        CHECK_EQ(r.wrong, 0);
        close(s[1]);
    }
    return 0;
}

IN_RUNTIME(what_send_zc_refuses_is_refused)
{
    int p[2], s[2], loose = sinew_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(pipe(p), 0);
    tcp_pair(s);
    CHECK_EQ(sinew_send_zc(-1, "x", 1, 0), -EBADF);
    CHECK_EQ(sinew_send_zc(p[1], "x", 1, 0), -ENOTSOCK);
    CHECK_EQ(sinew_send_zc(s[0], (char *)16, 1, 0), -EFAULT);
    CHECK_EQ(sinew_send_zc(s[0], "", 0, 0), 0);
    CHECK_EQ(sinew_send_zc(loose, "x", 1, 0), -EPIPE);
    for (int i = 0; i < 2; i++) {
        close(p[i]);
        close(s[i]);
    }
    close(loose);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a_file_arrives_once_and_in_order),
          cmocka_unit_test(a_socket_with_o_nonblock_is_waited_for_too),
          cmocka_unit_test(what_sendfile_refuses_is_refused), cmocka_unit_test(a_cancelled_sendfile_says_what_went_out),
          cmocka_unit_test(a_cancelled_send_zc_says_what_went_out),
          cmocka_unit_test(a_timeout_of_a_sendfile_that_nobody_reads_gives_the_count),
          cmocka_unit_test(a_peer_that_is_gone_gives_epipe_and_no_signal),
          cmocka_unit_test(send_zc_lets_go_of_the_buffer_before_it_returns),
          cmocka_unit_test(what_send_zc_refuses_is_refused))
