/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: every call that can block ends with -ECANCELED or -ETIMEDOUT when its task is cancelled or its scope expires,
 * has let go of its buffer by then, and leaves the descriptor fit for the same call again.
 * Method: one table of blocked calls. Each is interrupted in four ways (cancel during the call, cancel before it,
 * expiry during it, scope that has expired before it). Afterwards the buffer is filled with a mark, the peer makes the
 * call possible, and time passes: the mark must stand. Then the call is made again and must succeed. Cannot see: a
 * write into the buffer that brings exactly the mark; races of interrupt and completion (io/race.c).
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/files.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

struct place {
    int fd, peer;
    struct sockaddr_storage address;
    socklen_t address_len;
    char text[64]; /* the address as sinew_dial reads it */
    int extra[8];
};

struct op {
    const char *name;
    bool (*begin)(struct place *p);
    ssize_t (*call)(struct place *p, char *buf, size_t len);
    void (*unblock)(struct place *p);
};

static bool begin_pipe(struct place *p)
{
    int fds[2];
    if (pipe(fds) != 0)
        return false;
    p->fd = fds[0];
    p->peer = fds[1];
    return true;
}

static bool begin_full_pipe(struct place *p)
{
    int fds[2];
    if (pipe(fds) != 0)
        return false;
    p->fd = fds[1];
    p->peer = fds[0];
    fill(p->fd);
    return true;
}

static bool begin_pair(struct place *p)
{
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return false;
    p->fd = fds[0];
    p->peer = fds[1];
    return true;
}

static bool begin_full_pair(struct place *p)
{
    if (!begin_pair(p))
        return false;
    fill(p->fd);
    return true;
}

static bool begin_tcp(struct place *p)
{
    struct sockaddr_in address;
    int listener = loopback_listener(1, &address);
    p->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (listener < 0 || connect(p->fd, (struct sockaddr *)&address, sizeof address) != 0)
        return false;
    p->peer = accept(listener, NULL, NULL);
    close(listener);
    return p->peer >= 0;
}

static bool begin_full_tcp(struct place *p)
{
    if (!begin_tcp(p))
        return false;
    fill(p->fd);
    return true;
}

static bool begin_udp(struct place *p)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    p->fd = socket(AF_INET, SOCK_DGRAM, 0);
    p->peer = socket(AF_INET, SOCK_DGRAM, 0);
    return bind(p->fd, (struct sockaddr *)&address, len) == 0 &&
           getsockname(p->fd, (struct sockaddr *)&address, &len) == 0 &&
           connect(p->peer, (struct sockaddr *)&address, len) == 0;
}

/* A pipe to splice from or to lies in extra[0] and [1], a file in extra[2]. */
static bool begin_splice(struct place *p)
{
    return begin_tcp(p) && pipe(p->extra) == 0;
}

static bool begin_full_splice(struct place *p)
{
    return begin_full_tcp(p) && pipe(p->extra) == 0 && write(p->extra[1], "0123456789", 10) == 10;
}

static bool begin_sendfile(struct place *p)
{
    p->extra[2] = temporary_file(O_CLOEXEC);
    return begin_full_tcp(p) && write(p->extra[2], "0123456789", 10) == 10;
}

static bool begin_listener(struct place *p)
{
    struct sockaddr_in address;
    p->fd = loopback_listener(16, &address);
    memcpy(&p->address, &address, sizeof address);
    p->address_len = sizeof address;
    return p->fd >= 0;
}

static bool begin_full_listener(struct place *p)
{
    struct sockaddr_in address;
    p->fd = loopback_listener(0, &address);
    if (p->fd < 0)
        return false;
    memcpy(&p->address, &address, sizeof address);
    p->address_len = sizeof address;
    snprintf(p->text, sizeof p->text, "127.0.0.1:%d", ntohs(address.sin_port));
    fill_backlog((struct sockaddr *)&address, sizeof address, p->extra, 8);
    return true;
}

static bool begin_full_unix_listener(struct place *p)
{
    struct sockaddr_un address;
    p->fd = abstract_listener(0, &address, &p->address_len);
    if (p->fd < 0)
        return false;
    memcpy(&p->address, &address, sizeof address);
    /* An abstract name: a zero byte, then the rest up to the length. */
    size_t name_len = p->address_len - offsetof(struct sockaddr_un, sun_path) - 1;
    snprintf(p->text, sizeof p->text, "unix:@%.*s", (int)name_len, address.sun_path + 1);
    fill_backlog((struct sockaddr *)&p->address, p->address_len, p->extra, 8);
    return true;
}

static void end_place(struct place *p)
{
    close(p->fd);
    if (p->peer >= 0)
        close(p->peer);
    for (size_t i = 0; i < sizeof p->extra / sizeof p->extra[0]; i++)
        if (p->extra[i] >= 0)
            close(p->extra[i]);
}

static ssize_t call_read(struct place *p, char *buf, size_t len)
{
    return sinew_read(p->fd, buf, len);
}

static ssize_t call_write(struct place *p, char *buf, size_t len)
{
    return sinew_write(p->fd, buf, len);
}

static ssize_t call_recv(struct place *p, char *buf, size_t len)
{
    return sinew_recv(p->fd, buf, len, 0);
}

static ssize_t call_send(struct place *p, char *buf, size_t len)
{
    return sinew_send(p->fd, buf, len, 0);
}

static ssize_t call_send_all(struct place *p, char *buf, size_t len)
{
    return sinew_send_all(p->fd, buf, len);
}

/* The peer's address is written into the buffer. */
static ssize_t call_accept(struct place *p, char *buf, size_t len)
{
    socklen_t address_len = (socklen_t)len;
    int fd = sinew_accept(p->fd, (struct sockaddr *)(void *)buf, &address_len, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    return fd;
}

/* Fresh sockets: one whose connect was interrupted is not for use again. The address is read from the buffer. */
static ssize_t call_connect(struct place *p, char *buf, size_t len)
{
    (void)len;
    int fd = socket(p->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memcpy(buf, &p->address, p->address_len);
    int r = sinew_connect(fd, (struct sockaddr *)(void *)buf, p->address_len);
    close(fd);
    return r;
}

static ssize_t call_dial(struct place *p, char *buf, size_t len)
{
    snprintf(buf, len, "%s", p->text);
    int fd = sinew_dial(buf);
    if (fd >= 0)
        close(fd);
    return fd;
}

static ssize_t call_poll(struct place *p, char *buf, size_t len)
{
    (void)buf;
    (void)len;
    return sinew_poll(p->fd, POLLIN);
}

static ssize_t call_readv(struct place *p, char *buf, size_t len)
{
    struct iovec parts[] = {{buf, 5}, {buf + 5, len - 5}};
    return sinew_readv(p->fd, parts, 2);
}

static ssize_t call_writev(struct place *p, char *buf, size_t len)
{
    struct iovec parts[] = {{buf, 5}, {buf + 5, len - 5}};
    return sinew_writev(p->fd, parts, 2);
}

static ssize_t call_recvmsg(struct place *p, char *buf, size_t len)
{
    struct iovec part = {buf, len};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    return sinew_recvmsg(p->fd, &m, 0);
}

static ssize_t call_sendmsg(struct place *p, char *buf, size_t len)
{
    struct iovec part = {buf, len};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    return sinew_sendmsg(p->fd, &m, 0);
}

/* Data and the peer's address in one buffer. */
static ssize_t call_recvfrom(struct place *p, char *buf, size_t len)
{
    socklen_t address_len = 16;
    return sinew_recvfrom(p->fd, buf + 16, len - 16, 0, (struct sockaddr *)(void *)buf, &address_len);
}

static ssize_t call_recv_fd(struct place *p, char *buf, size_t len)
{
    (void)buf;
    (void)len;
    int r = sinew_recv_fd(p->fd);
    return r == -EBADMSG ? 1 : r; /* the byte that comes has no descriptor with it */
}

static ssize_t call_send_zc(struct place *p, char *buf, size_t len)
{
    return sinew_send_zc(p->fd, buf, len, 0);
}

static ssize_t call_splice_in(struct place *p, char *buf, size_t len)
{
    (void)buf;
    return sinew_splice(p->fd, NULL, p->extra[1], NULL, len, 0);
}

static ssize_t call_splice_out(struct place *p, char *buf, size_t len)
{
    (void)buf;
    return sinew_splice(p->extra[0], NULL, p->fd, NULL, len, 0);
}

static ssize_t call_sendfile(struct place *p, char *buf, size_t len)
{
    (void)buf;
    off_t at = 0;
    return sinew_sendfile(p->fd, p->extra[2], &at, len);
}

static void unblock_by_writing(struct place *p)
{
    CHECK_EQ(write(p->peer, "0123456789", 10), 10);
}

static void unblock_by_draining(struct place *p)
{
    drain(p->peer);
}

static void unblock_by_connecting(struct place *p)
{
    p->peer = socket(p->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(p->peer, (struct sockaddr *)&p->address, p->address_len), 0);
}

/* Also of those who filled the queue and still try: they would fill it again. */
static void unblock_by_accepting(struct place *p)
{
    for (size_t i = 0; i < sizeof p->extra / sizeof p->extra[0]; i++)
        if (p->extra[i] >= 0) {
            close(p->extra[i]);
            p->extra[i] = -1;
        }
    accept_all(p->fd);
}

static const struct op ops[] = {
    {"read from an empty pipe", begin_pipe, call_read, unblock_by_writing},
    {"write to a full pipe", begin_full_pipe, call_write, unblock_by_draining},
    {"read from a socket", begin_pair, call_read, unblock_by_writing},
    {"recv from a unix socket", begin_pair, call_recv, unblock_by_writing},
    {"recv from a tcp socket", begin_tcp, call_recv, unblock_by_writing},
    {"send to a full unix socket", begin_full_pair, call_send, unblock_by_draining},
    {"send to a full tcp socket", begin_full_tcp, call_send, unblock_by_draining},
    {"write to a full socket", begin_full_pair, call_write, unblock_by_draining},
    {"send_all to a full socket", begin_full_pair, call_send_all, unblock_by_draining},
    {"accept", begin_listener, call_accept, unblock_by_connecting},
    {"connect to a full tcp listener", begin_full_listener, call_connect, unblock_by_accepting},
    {"connect to a full unix listener", begin_full_unix_listener, call_connect, unblock_by_accepting},
    {"dial a full tcp listener", begin_full_listener, call_dial, unblock_by_accepting},
    {"dial a full unix listener", begin_full_unix_listener, call_dial, unblock_by_accepting},
    {"poll", begin_pipe, call_poll, unblock_by_writing},
    {"readv from an empty pipe", begin_pipe, call_readv, unblock_by_writing},
    {"writev to a full pipe", begin_full_pipe, call_writev, unblock_by_draining},
    {"recvmsg from a unix socket", begin_pair, call_recvmsg, unblock_by_writing},
    {"recvmsg from a udp socket", begin_udp, call_recvmsg, unblock_by_writing},
    {"recvfrom a udp socket", begin_udp, call_recvfrom, unblock_by_writing},
    {"sendmsg to a full unix socket", begin_full_pair, call_sendmsg, unblock_by_draining},
    {"recv_fd", begin_pair, call_recv_fd, unblock_by_writing},
    {"send_zc to a full unix socket", begin_full_pair, call_send_zc, unblock_by_draining},
    {"splice from a tcp socket", begin_splice, call_splice_in, unblock_by_writing},
    {"splice to a full tcp socket", begin_full_splice, call_splice_out, unblock_by_draining},
    {"sendfile to a full tcp socket", begin_sendfile, call_sendfile, unblock_by_draining},
};
#define OPS (sizeof ops / sizeof ops[0])

enum way { CANCEL_DURING, CANCEL_BEFORE, EXPIRE_DURING, EXPIRE_BEFORE, WAYS };
static const char *const way_names[] = {"cancelled during", "cancelled before", "expired during", "expired before"};

#define BUFFER 256
#define MARK   'm'

struct attempt {
    const struct op *op;
    struct place *place;
    enum way way;
    atomic_int started, returned;
    sinew_sem unblocked;
    ssize_t first, second;
    int scope_end, next_checkpoint, cancelling;
    int spoiled;
};

static intptr_t attempt(void *arg)
{
    struct attempt *a = arg;
    _Alignas(16) volatile char buf[BUFFER];
    char *plain = (char *)(uintptr_t)buf;
    sinew_timeout scope;
    memset(plain, 'b', BUFFER);
    if (a->way == EXPIRE_DURING || a->way == EXPIRE_BEFORE)
        sinew_timeout_begin(&scope, a->way == EXPIRE_BEFORE ? 0 : SINEW_MS(2));
    if (a->way == CANCEL_BEFORE)
        sinew_cancel(sinew_self());
    atomic_store(&a->started, 1);
    a->first = a->op->call(a->place, plain, BUFFER);
    if (a->way == EXPIRE_DURING || a->way == EXPIRE_BEFORE)
        a->scope_end = sinew_timeout_end(&scope);
    memset(plain, MARK, BUFFER);
    a->cancelling = sinew_cancelling();
    a->next_checkpoint = sinew_yield();
    atomic_store(&a->returned, 1);
    int r = sinew_sem_wait(&a->unblocked);
    if (r < 0)
        return r;
    /* Room for an operation that is still alive to do its harm. */
    for (int i = 0; i < 3; i++)
        sinew_sleep(SINEW_MS(1));
    for (int i = 0; i < BUFFER; i++)
        a->spoiled += buf[i] != MARK;
    a->second = a->op->call(a->place, plain, BUFFER);
    return 0;
}

static void interrupt_op(const struct op *op, enum way way)
{
    struct place place = {.fd = -1, .peer = -1, .extra = {-1, -1, -1, -1, -1, -1, -1, -1}};
    struct attempt a = {.op = op, .place = &place, .way = way};
    int failures = atomic_load(&check_failures);
    sinew_sem_init(&a.unblocked, 0);
    if (!CHECK(op->begin(&place)))
        return;
    sinew_task *t = sinew_spawn(attempt, &a);
    if (way == CANCEL_DURING) {
        yield_until(&a.started, 1);
        sinew_sleep(SINEW_MS(1));
        CHECK(!atomic_load(&a.returned));
        CHECK(sinew_cancel(t));
    }
    yield_until(&a.returned, 1);
    bool cancelled = way == CANCEL_DURING || way == CANCEL_BEFORE;
    CHECK_EQ(a.first, cancelled ? -ECANCELED : -ETIMEDOUT);
    CHECK_EQ(a.cancelling, cancelled ? 1 : 0);
    CHECK_EQ(a.next_checkpoint, 0);
    if (!cancelled)
        CHECK_EQ(a.scope_end, -ETIMEDOUT);
    op->unblock(&place);
    sinew_sem_post(&a.unblocked);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(a.spoiled, 0);
    CHECK(a.second >= 0);
    if (atomic_load(&check_failures) != failures)
        fprintf(stderr, "... in: %s, %s, %u workers; first %zd, second %zd\n", op->name, way_names[way],
                sinew_workers(), a.first, a.second);
    end_place(&place);
}

static void interrupt_all(enum way way)
{
    int descriptors = count_descriptors();
    for (size_t i = 0; i < OPS; i++) {
        snprintf(watchdog_text, sizeof watchdog_text, "\nhangs: %s, %s, %u workers\n", ops[i].name, way_names[way],
                 sinew_workers());
        interrupt_op(&ops[i], way);
    }
    CHECK_EQ(count_descriptors(), descriptors);
}

IN_RUNTIME(every_blocked_call_is_cancelled_and_leaves_its_buffer_alone)
{
    interrupt_all(CANCEL_DURING);
    return 0;
}

IN_RUNTIME(a_cancel_pending_before_a_blocking_call_ends_it)
{
    interrupt_all(CANCEL_BEFORE);
    return 0;
}

IN_RUNTIME(every_blocked_call_times_out_and_leaves_its_buffer_alone)
{
    interrupt_all(EXPIRE_DURING);
    return 0;
}

IN_RUNTIME(a_scope_that_has_expired_before_a_blocking_call_ends_it)
{
    interrupt_all(EXPIRE_BEFORE);
    return 0;
}

struct many {
    int fd;
    atomic_int *started;
};

static intptr_t block_in_recv(void *arg)
{
    struct many *m = arg;
    char buf[16];
    atomic_fetch_add(m->started, 1);
    return sinew_recv(m->fd, buf, sizeof buf, 0);
}

/* More cancels at once than the submission queue may hold. */
IN_RUNTIME(thousands_of_blocked_calls_are_cancelled_at_once)
{
    int n = (int)scaled(5000, 300);
    atomic_int started = 0;
    int s[2];
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0))
        return 1;
    struct many m = {s[0], &started};
    sinew_task **tasks = calloc((size_t)n, sizeof(sinew_task *));
    intptr_t *results = calloc((size_t)n, sizeof *results);
    for (int i = 0; i < n; i++)
        tasks[i] = sinew_spawn(block_in_recv, &m);
    yield_until(&started, n);
    sinew_sleep(SINEW_MS(5));
    for (int i = 0; i < n; i++)
        CHECK(sinew_cancel(tasks[i]));
    CHECK_EQ(sinew_gather_settled(tasks, (size_t)n, results), 0);
    int wrong = 0;
    for (int i = 0; i < n; i++)
        wrong += results[i] != -ECANCELED;
    CHECK_EQ(wrong, 0);
    CHECK_EQ(write(s[1], "x", 1), 1);
    char c;
    CHECK_EQ(sinew_recv(s[0], &c, 1, 0), 1);
    free(results);
    free(tasks);
    close(s[0]);
    close(s[1]);
    return 0;
}

static intptr_t leave_blocked(void *arg)
{
    struct many *m = arg;
    for (int i = 0; i < 100; i++)
        sinew_detach(sinew_spawn(block_in_recv, m));
    yield_until(m->started, 100);
    sinew_sleep(SINEW_MS(2));
    return 5;
}

static void blocked_leftovers_end_with_the_run(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        atomic_int started = 0;
        int s[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
        struct many m = {s[0], &started};
        watchdog_begin("blocked_leftovers_end_with_the_run", worker_counts[i], 60);
        assert_int_equal(run_workers(worker_counts[i], leave_blocked, &m), 5);
        watchdog_end();
        close(s[0]);
        close(s[1]);
    }
}

/* The completion comes just before main ends, so that one resumption of the reader sees both. */
static int shutdown_pipe[2];

static intptr_t read_then_sleep(void *arg)
{
    char c;
    (void)arg;
    CHECK_EQ(sinew_read(shutdown_pipe[0], &c, 1), 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    return 0;
}

static void yield_until_polled(unsigned times)
{
    sinew_stats before, now;
    CHECK_EQ(sinew_get_stats(&before), 0);
    do {
        sinew_yield();
        CHECK_EQ(sinew_get_stats(&now), 0);
    } while (now.polls < before.polls + times);
}

static intptr_t end_with_a_completion(void *arg)
{
    (void)arg;
    sinew_detach(sinew_spawn(read_then_sleep, NULL));
    yield_until_polled(3); /* the read has been handed to the kernel */
    CHECK_EQ(write(shutdown_pipe[1], "x", 1), 1);
    yield_until_polled(1); /* it is complete, and the reader is behind us in the queue */
    return 0;
}

static void a_shutdown_that_comes_with_a_completion_is_delivered_later(void **state)
{
    (void)state;
    assert_int_equal(pipe(shutdown_pipe), 0);
    run_body(__func__, 1, end_with_a_completion, NULL);
    close(shutdown_pipe[0]);
    close(shutdown_pipe[1]);
}

TEST_MAIN(cmocka_unit_test(every_blocked_call_is_cancelled_and_leaves_its_buffer_alone),
          cmocka_unit_test(a_cancel_pending_before_a_blocking_call_ends_it),
          cmocka_unit_test(every_blocked_call_times_out_and_leaves_its_buffer_alone),
          cmocka_unit_test(a_scope_that_has_expired_before_a_blocking_call_ends_it),
          cmocka_unit_test(thousands_of_blocked_calls_are_cancelled_at_once),
          cmocka_unit_test(blocked_leftovers_end_with_the_run),
          cmocka_unit_test(a_shutdown_that_comes_with_a_completion_is_delivered_later))
