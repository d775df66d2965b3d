/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: when a cancel or an expiry meets a completion, nothing is lost or doubled: a byte or connection is either
 * reported by the call, or still there for the next one.
 * Method: 20,000 rounds on one stream. Each round one numbered byte is written by a plain thread while the reading task
 * is cancelled or timed out; afterwards the byte must be in exactly one of the two places. The same for sends (the byte
 * has arrived exactly if the call says so) and for accepted connections. The moments are moved by a seeded generator,
 * whose seed is printed; SINEW_TEST_SEED gives it back.
 * Cannot see: which of the two came first; both outcomes are counted and printed.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include <tests/support/process.h>
#include <tests/support/random.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

struct receiver {
    int fd;
    bool by_timeout;
    sinew_time limit;
    char byte;
    ssize_t result;
    int next_checkpoint;
};

static intptr_t receive_byte(void *arg)
{
    struct receiver *r = arg;
    /* On the stack on purpose: the operation must be over when the call returns. */
    char byte = 0;
    sinew_timeout scope;
    if (r->by_timeout)
        sinew_timeout_begin(&scope, r->limit);
    r->result = sinew_read(r->fd, &byte, 1);
    if (r->by_timeout)
        sinew_timeout_end(&scope);
    r->byte = byte;
    r->next_checkpoint = sinew_yield();
    return 0;
}

/* A plain thread that acts once for each number it is given, after a delay in spins. */
struct actor {
    void (*act)(struct actor *a, int round);
    int fd;
    struct sockaddr_in address;
    int connected;
    atomic_int asked, done, delay;
};

static void *actor_thread(void *arg)
{
    struct actor *a = arg;
    for (int round = 1;; round++) {
        while (atomic_load(&a->asked) < round && atomic_load(&a->asked) >= 0)
            sched_yield();
        if (atomic_load(&a->asked) < 0)
            return NULL;
        for (volatile int i = atomic_load(&a->delay); i > 0; i = i - 1)
            ;
        a->act(a, round);
        atomic_store(&a->done, round);
    }
}

static void write_byte(struct actor *a, int round)
{
    char byte = (char)round;
    ssize_t n = write(a->fd, &byte, 1);
    if (n != 1)
        check_failed(__FILE__, __LINE__, "write gave %zd", n);
}

static void wait_for_actor(struct actor *a, int round)
{
    while (atomic_load(&a->done) < round) {
        sinew_yield();
        sched_yield(); /* the other thread may need this processor */
    }
}

/* On a busy machine each round can cost a slice of the processor: the rounds end then, and the test says where. */
static sinew_time race_deadline(void)
{
    return sinew_now() + SINEW_S(8);
}

static void delay(int spins)
{
    for (volatile int i = spins; i > 0; i = i - 1)
        ;
}

enum stream { PIPE, UNIX_SOCKET, TCP_SOCKET, STREAMS };

static bool make_stream(enum stream kind, int fds[2])
{
    if (kind == PIPE)
        return pipe(fds) == 0;
    if (kind == UNIX_SOCKET)
        return socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0;
    struct sockaddr_in address;
    int listener = loopback_listener(1, &address);
    fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    bool ok = connect(fds[1], (struct sockaddr *)&address, sizeof address) == 0;
    fds[0] = accept(listener, NULL, NULL);
    close(listener);
    return ok && fds[0] >= 0;
}

/* One round; true when the call reported the byte. */
static bool receive_round(int fd, struct actor *writer, int round, uint64_t *seed)
{
    struct receiver r = {.fd = fd, .by_timeout = round % 2 == 1};
    int span = (int)(random_next(seed) % 4000);
    r.limit = SINEW_US(random_next(seed) % 60);
    atomic_store(&writer->delay, (int)(random_next(seed) % 4000));
    sinew_task *t = sinew_spawn(receive_byte, &r);
    if (random_next(seed) % 8)
        sinew_yield();
    atomic_store(&writer->asked, round);
    bool took = false;
    if (!r.by_timeout) {
        delay(span);
        took = sinew_cancel(t);
    }
    intptr_t end = sinew_await(t);
    wait_for_actor(writer, round);
    char expected = (char)round, left = 0;
    set_nonblocking(fd, true);
    ssize_t n = read(fd, &left, 1);
    set_nonblocking(fd, false);
    if (end == -ECANCELED && r.result == 0) {
        /* Cancelled before its first statement. */
        CHECK(took);
        CHECK_EQ(n, 1);
        CHECK_EQ(left, expected);
        return false;
    }
    if (r.result == 1) {
        CHECK_EQ(r.byte, expected);
        CHECK_EQ(n, -1);
        /* A request that came too late for the read is still pending, or came even later. */
        CHECK(r.next_checkpoint == 0 || (r.next_checkpoint == -ECANCELED && took));
        return true;
    }
    CHECK_EQ(r.result, r.by_timeout ? -ETIMEDOUT : -ECANCELED);
    CHECK_EQ(r.next_checkpoint, 0);
    CHECK_EQ(n, 1);
    CHECK_EQ(left, expected);
    return false;
}

IN_RUNTIME(a_byte_that_meets_a_cancel_or_timeout_is_reported_or_still_there)
{
    int rounds = (int)scaled(20000, 600) / STREAMS, reported = 0, played = 0;
    sinew_time deadline = race_deadline();
    uint64_t seed = random_seed();
    for (int kind = 0; kind < STREAMS; kind++) {
        int fds[2];
        struct actor writer = {.act = write_byte};
        pthread_t thread;
        if (!CHECK(make_stream((enum stream)kind, fds)))
            return 1;
        writer.fd = fds[1];
        pthread_create(&thread, NULL, actor_thread, &writer);
        int failures = atomic_load(&check_failures);
        /* Each kind gets its third of the time. */
        sinew_time until = deadline - (STREAMS - 1 - kind) * SINEW_S(8) / STREAMS;
        for (int round = 1; round <= rounds && atomic_load(&check_failures) == failures && sinew_now() < until;
             round++) {
            reported += receive_round(fds[0], &writer, round, &seed);
            played++;
        }
        atomic_store(&writer.asked, -1);
        pthread_join(thread, NULL);
        CHECK_EQ(drain(fds[0]), 0);
        close(fds[0]);
        close(fds[1]);
    }
    print_message("%u workers: %d of %d reads reported their byte\n", sinew_workers(), reported, played);
    return 0;
}

struct sender {
    int fd;
    char byte;
    ssize_t result;
};

static intptr_t send_byte(void *arg)
{
    struct sender *s = arg;
    char byte = s->byte;
    s->result = sinew_send(s->fd, &byte, 1, 0);
    return 0;
}

static void drain_some(struct actor *a, int round)
{
    (void)round;
    char block[65536];
    ssize_t n = recv(a->fd, block, sizeof block, MSG_DONTWAIT);
    if (n > 0)
        a->connected += (int)n;
}

/* The socket is full, and room comes at about the moment of the cancel: what the calls say they sent is what arrives.
 */
IN_RUNTIME(what_cancelled_sends_report_is_what_arrives)
{
    int rounds = (int)scaled(3000, 200);
    uint64_t seed = random_seed();
    int fds[2];
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0))
        return 1;
    struct actor drainer = {.act = drain_some, .fd = fds[1]};
    pthread_t thread;
    pthread_create(&thread, NULL, actor_thread, &drainer);
    long sent = 0;
    sinew_time deadline = race_deadline();
    for (int round = 1; round <= rounds && sinew_now() < deadline; round++) {
        ssize_t n;
        static const char block[4096];
        while ((n = send(fds[0], block, sizeof block, MSG_DONTWAIT)) > 0 ||
               (n = send(fds[0], block, 1, MSG_DONTWAIT)) > 0)
            sent += n;
        struct sender s = {.fd = fds[0], .byte = (char)round, .result = -1};
        sinew_task *t = sinew_spawn(send_byte, &s);
        sinew_yield();
        atomic_store(&drainer.delay, (int)(random_next(&seed) % 4000));
        atomic_store(&drainer.asked, round);
        delay((int)(random_next(&seed) % 6000));
        bool took = sinew_cancel(t);
        intptr_t end = sinew_await(t);
        CHECK(s.result == 1 || s.result == -ECANCELED || (end == -ECANCELED && s.result == -1));
        CHECK(took || s.result == 1);
        if (s.result > 0)
            sent += s.result;
        wait_for_actor(&drainer, round);
    }
    atomic_store(&drainer.asked, -1);
    pthread_join(thread, NULL);
    CHECK_EQ((long)drainer.connected + (long)drain(fds[1]), sent);
    close(fds[0]);
    close(fds[1]);
    return 0;
}

struct acceptor {
    int listener, result;
};

static intptr_t accept_one(void *arg)
{
    struct acceptor *a = arg;
    a->result = sinew_accept(a->listener, NULL, NULL, SOCK_CLOEXEC);
    return 0;
}

static void connect_once(struct actor *a, int round)
{
    (void)round;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&a->address, sizeof a->address) == 0)
        a->connected++;
    else
        check_failed(__FILE__, __LINE__, "connect failed: %d", errno);
    /* A reset leaves no port behind in TIME_WAIT; the connection can still be accepted. */
    struct linger hard = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    a->fd = fd;
}

IN_RUNTIME(a_connection_that_meets_a_cancel_is_accepted_or_still_queued)
{
    int rounds = (int)scaled(3000, 200), accepted = 0;
    uint64_t seed = random_seed();
    struct actor client = {.act = connect_once};
    pthread_t thread;
    int listener = loopback_listener(16, &client.address), descriptors = count_descriptors();
    if (!CHECK(listener >= 0))
        return 1;
    pthread_create(&thread, NULL, actor_thread, &client);
    sinew_time deadline = race_deadline();
    int round = 1;
    /* How long the cancel waits follows the outcome, so that both stay frequent. */
    double span_us = 50;
    for (; round <= rounds && sinew_now() < deadline; round++) {
        struct acceptor a = {listener, -1};
        sinew_task *t = sinew_spawn(accept_one, &a);
        sinew_yield();
        atomic_store(&client.delay, (int)(random_next(&seed) % 3000));
        atomic_store(&client.asked, round);
        sinew_time until = sinew_now() + (sinew_time)(span_us * (double)(random_next(&seed) % 2000));
        while (sinew_now() < until)
            if (round % 2)
                sinew_yield();
        sinew_cancel(t);
        sinew_await(t);
        span_us = a.result >= 0 ? span_us * 0.95 : span_us < 5000 ? span_us * 1.05 : span_us;
        wait_for_actor(&client, round);
        set_nonblocking(listener, true);
        int queued = accept(listener, NULL, NULL);
        set_nonblocking(listener, false);
        if (a.result >= 0) {
            accepted++;
            CHECK_EQ(queued, -1);
            close(a.result);
        } else {
            CHECK(a.result == -ECANCELED || a.result == -1);
            CHECK(queued >= 0);
            close(queued);
        }
        close(client.fd);
    }
    atomic_store(&client.asked, -1);
    pthread_join(thread, NULL);
    CHECK_EQ(client.connected, round - 1);
    CHECK_EQ(count_descriptors(), descriptors);
    print_message("%u workers: %d of %d connections accepted before the cancel\n", sinew_workers(), accepted,
                  round - 1);
    close(listener);
    return 0;
}

struct connector {
    struct sockaddr_un address;
    socklen_t len;
    int result;
};

static intptr_t connect_to_full(void *arg)
{
    struct connector *c = arg;
    int fd = sinew_socket(AF_UNIX, SOCK_STREAM, 0);
    c->result = sinew_connect(fd, (struct sockaddr *)&c->address, c->len);
    sinew_close(fd);
    return 0;
}

/*
 * A connect to a listener with a full queue is tried again and again inside the kernel. A cancel that arrives between
 * two tries finds nothing to cancel; it must not be forgotten for that.
 */
IN_RUNTIME(a_cancel_that_meets_a_retry_inside_the_kernel_is_not_lost)
{
    int rounds = (int)scaled(1000, 100), extra[4];
    uint64_t seed = random_seed();
    struct connector c;
    int listener = abstract_listener(0, &c.address, &c.len);
    if (!CHECK(listener >= 0))
        return 1;
    fill_backlog((struct sockaddr *)&c.address, c.len, extra, 4);
    for (int round = 0; round < rounds; round++) {
        c.result = -1;
        sinew_task *t = sinew_spawn(connect_to_full, &c);
        sinew_time until = sinew_now() + SINEW_US(random_next(&seed) % 300);
        do
            sinew_yield();
        while (sinew_now() < until);
        sinew_cancel(t);
        sinew_await(t);
        CHECK(c.result == -ECANCELED || c.result == -1);
    }
    for (int i = 0; i < 4; i++)
        if (extra[i] >= 0)
            close(extra[i]);
    close(listener);
    return 0;
}

struct crowd {
    int fd;
    atomic_int waiting, got;
};

static intptr_t read_in_a_crowd(void *arg)
{
    struct crowd *c = arg;
    char byte;
    atomic_fetch_add(&c->waiting, 1);
    ssize_t n = sinew_read(c->fd, &byte, 1);
    if (n == 1)
        atomic_fetch_add(&c->got, 1);
    return n;
}

/* Many readers on one socket are woken for one byte and go back to wait: cancels meet them on the way. */
IN_RUNTIME(cancels_reach_every_reader_of_a_crowded_socket)
{
    enum { READERS = 20 };
    int rounds = (int)scaled(500, 30), fds[2];
    uint64_t seed = random_seed();
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0))
        return 1;
    for (int round = 0; round < rounds; round++) {
        struct crowd c = {.fd = fds[0]};
        sinew_task *tasks[READERS];
        intptr_t results[READERS];
        for (int i = 0; i < READERS; i++)
            tasks[i] = sinew_spawn(read_in_a_crowd, &c);
        for (unsigned i = 0; i < random_next(&seed) % 3; i++)
            sinew_yield();
        int sent = (int)(random_next(&seed) % 5);
        CHECK_EQ(write(fds[1], "01234", (size_t)sent), sent);
        delay((int)(random_next(&seed) % 3000));
        for (int i = 0; i < READERS; i++)
            sinew_cancel(tasks[i]);
        CHECK_EQ(sinew_gather_settled(tasks, READERS, results), 0);
        if (!CHECK_EQ(c.got + (int)drain(fds[0]), sent))
            break;
    }
    close(fds[0]);
    close(fds[1]);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a_byte_that_meets_a_cancel_or_timeout_is_reported_or_still_there),
          cmocka_unit_test(what_cancelled_sends_report_is_what_arrives),
          cmocka_unit_test(a_connection_that_meets_a_cancel_is_accepted_or_still_queued),
          cmocka_unit_test(a_cancel_that_meets_a_retry_inside_the_kernel_is_not_lost),
          cmocka_unit_test(cancels_reach_every_reader_of_a_crowded_socket))
