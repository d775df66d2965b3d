/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: one named test for each thing that is known to go wrong in programs that do I/O. What is said holds for every
 * driver.
 * Method: each hazard is brought about by events and counters, not by waiting. Those that have tests of their own:
 *
 *     a cancel that races with the completion            io/race.c
 *     a buffer on the stack under a cancel               io/interrupt.c
 *     thousands of cancels at once                       io/interrupt.c
 *     short reads and writes                             io/socket.c (send_all), io/vector.c (readv), io/sendfile.c
 *     a peer that is gone: EPIPE, and no SIGPIPE         io/errors.c, io/sendfile.c
 *     EMFILE while running                               io/errors.c; here only of descriptors that are received
 *     limits of descriptors and memory at the start      misuse/fdlimit.c, misuse/memory.c; here locked memory
 *     thousands of operations in flight                  io/many.c
 *     fork                                               core/fork.c; here with operations in flight
 *
 * Cannot see: hazards of devices and of real networks.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <tests/support/child.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

static void tcp_pair(int fds[2])
{
    struct sockaddr_in address;
    int listener = loopback_listener(1, &address);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(fds[0], (struct sockaddr *)&address, sizeof address), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
}

static void close_pair(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

static intptr_t read_byte(void *arg)
{
    char c = 0;
    ssize_t n = sinew_read(*(int *)arg, &c, 1);
    return n == 1 ? c : n;
}

/* Spawns a task that then waits inside of its call. */
static sinew_task *spawn_waiting(sinew_fn fn, void *arg)
{
    sinew_task *t = sinew_spawn(fn, arg);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(!sinew_done(t));
    return t;
}

/* --- descriptors that go away ------------------------------------------------------------------------------------- */

/* It goes on waiting or ends with an error; in any case a cancel ends it, and nothing of it is left. */
IN_RUNTIME(closing_a_descriptor_under_a_read_leaves_the_read_to_be_cancelled)
{
    for (int kind = 0; kind < 3; kind++) {
        int fds[2], before = count_descriptors();
        if (kind == 0)
            CHECK_EQ(pipe(fds), 0);
        else if (kind == 1)
            CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        else
            tcp_pair(fds);
        int fd = fds[0];
        sinew_task *t = spawn_waiting(read_byte, &fd);
        CHECK_EQ(sinew_close(fds[0]), 0);
        for (int i = 0; i < 20; i++)
            sinew_yield();
        sinew_cancel(t);
        intptr_t r = sinew_await(t);
        CHECK(r == -ECANCELED || r == -EBADF);
        CHECK_EQ(sinew_read(fd, &kind, 1), -EBADF);
        close(fds[1]);
        CHECK_EQ(count_descriptors(), before);
    }
    return 0;
}

IN_RUNTIME(a_read_of_a_closed_descriptor_takes_nothing_from_its_successor)
{
    int old[2], new[2];
    CHECK_EQ(pipe2(old, O_CLOEXEC), 0);
    CHECK_EQ(pipe2(new, O_CLOEXEC), 0);
    int fd = old[0];
    sinew_task *t = spawn_waiting(read_byte, &fd);
    CHECK_EQ(sinew_close(fd), 0);
    CHECK_EQ(fcntl(new[0], F_DUPFD_CLOEXEC, fd), fd); /* another file under the old number */
    CHECK_EQ(write(new[1], "n", 1), 1);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    sinew_cancel(t);
    intptr_t r = sinew_await(t);
    CHECK(r == -ECANCELED || r == -EBADF);
    CHECK_EQ(read_byte(&fd), 'n');
    close(fd);
    close(old[1]);
    close_pair(new);
    return 0;
}

IN_RUNTIME(closing_both_ends_under_thousands_of_reads_leaves_nothing)
{
    int n = (int)scaled(2000, 200), before = count_descriptors();
    sinew_task **tasks = calloc((size_t)n, sizeof(sinew_task *));
    int s[2];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    int fd = s[0];
    for (int i = 0; i < n; i++)
        tasks[i] = sinew_spawn(read_byte, &fd);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK_EQ(sinew_close(s[0]), 0);
    CHECK_EQ(sinew_close(s[1]), 0);
    for (int i = 0; i < n; i++)
        sinew_cancel(tasks[i]);
    int odd = 0;
    for (int i = 0; i < n; i++) {
        intptr_t r = sinew_await(tasks[i]);
        odd += r != 0 && r != -ECANCELED && r != -EBADF;
    }
    CHECK_EQ(odd, 0);
    CHECK_EQ(count_descriptors(), before);
    free(tasks);
    return 0;
}

/* --- signals ------------------------------------------------------------------------------------------------------ */

static atomic_int signals_seen;

static void count_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals_seen, 1);
}

static atomic_bool signals_wanted, signals_sent;

/* To every thread there is, again and again. */
static void *send_signals(void *arg)
{
    while (atomic_load(&signals_wanted)) {
        DIR *threads = opendir("/proc/self/task");
        for (struct dirent *e; (e = readdir(threads)) != NULL;) {
            int id = atoi(e->d_name);
            if (id > 0 && id != (int)syscall(SYS_gettid))
                syscall(SYS_tgkill, getpid(), id, SIGUSR1);
        }
        closedir(threads);
        usleep(50);
    }
    atomic_store(&signals_sent, true);
    return arg;
}

struct calls {
    int pipe[2], pair[2], listener, spliced[2];
    struct sockaddr_in address;
    atomic_int done;
};

static intptr_t wait_in_recv(void *arg)
{
    struct calls *c = arg;
    char buf[4];
    return sinew_recv(c->pair[0], buf, sizeof buf, 0);
}

static intptr_t wait_in_read(void *arg)
{
    struct calls *c = arg;
    return read_byte(&c->pipe[0]);
}

static intptr_t wait_in_accept(void *arg)
{
    struct calls *c = arg;
    int fd = sinew_accept(c->listener, NULL, NULL, 0);
    close(fd);
    return fd < 0 ? fd : 0;
}

static intptr_t wait_in_poll(void *arg)
{
    struct calls *c = arg;
    return sinew_poll(c->spliced[0], POLLIN);
}

static intptr_t wait_in_blocking(void *arg)
{
    struct calls *c = arg;
    char byte;
    return read(c->pipe[0], &byte, 1) == 1 ? 1 : -errno;
}

static intptr_t wait_in_thread(void *arg)
{
    return sinew_blocking_wait(wait_in_blocking, arg);
}

static intptr_t wait_in_sleep(void *arg)
{
    (void)arg;
    return sinew_sleep(SINEW_MS(3));
}

static intptr_t be_interrupted(void *arg)
{
    struct calls c;
    (void)arg;
    CHECK_EQ(pipe(c.pipe), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, c.pair), 0);
    CHECK_EQ(pipe(c.spliced), 0);
    c.listener = loopback_listener(4, &c.address);
    int before = atomic_load(&signals_seen);
    sinew_task *tasks[] = {sinew_spawn(wait_in_recv, &c),   sinew_spawn(wait_in_read, &c),
                           sinew_spawn(wait_in_accept, &c), sinew_spawn(wait_in_poll, &c),
                           sinew_spawn(wait_in_thread, &c), sinew_spawn(wait_in_sleep, NULL)};
    while (atomic_load(&signals_seen) < before + 100)
        CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    for (int i = 0; i < 5; i++)
        CHECK(!sinew_done(tasks[i]));
    CHECK_EQ(sinew_write(c.pair[1], "x", 1), 1);
    CHECK_EQ(sinew_write(c.pipe[1], "yy", 2), 2);
    CHECK_EQ(sinew_write(c.spliced[1], "z", 1), 1);
    int client = sinew_socket(AF_INET, SOCK_STREAM, 0);
    CHECK_EQ(sinew_connect(client, (struct sockaddr *)&c.address, sizeof c.address), 0);
    static const intptr_t expected[] = {1, 'y', 0, POLLIN, 1, 0};
    for (int i = 0; i < 6; i++)
        CHECK_EQ(sinew_await(tasks[i]), expected[i]);
    close(client);
    close(c.listener);
    close_pair(c.pipe);
    close_pair(c.pair);
    close_pair(c.spliced);
    if (SN_TSAN) { /* whose runtime locks itself out when a signal comes while pthread_join frees what the thread had */
        atomic_store(&signals_wanted, false);
        while (!atomic_load(&signals_sent))
            CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    }
    return 0;
}

static void signals_interrupt_no_call(void **state)
{
    (void)state;
    struct sigaction action = {.sa_handler = count_signal}, before; /* no SA_RESTART */
    sigaction(SIGUSR1, &action, &before);
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        pthread_t thread;
        atomic_store(&signals_wanted, true);
        atomic_store(&signals_sent, false);
        assert_int_equal(pthread_create(&thread, NULL, send_signals, NULL), 0);
        run_body(__func__, worker_counts[i], be_interrupted, NULL);
        atomic_store(&signals_wanted, false);
        pthread_join(thread, NULL);
    }
    sigaction(SIGUSR1, &before, NULL);
}

/* --- what is not there now ---------------------------------------------------------------------------------------- */

static intptr_t write_block(void *arg)
{
    static const char block[5000];
    return sinew_write(*(int *)arg, block, sizeof block);
}

static intptr_t accept_one(void *arg)
{
    int fd = sinew_accept(*(int *)arg, NULL, NULL, 0);
    close(fd);
    return fd < 0 ? fd : 0;
}

/* The one half of a pair is waited for although it does not want to be. */
static void check_waits(const int fds[2], bool both_ways)
{
    int reading = fds[0], writing = both_ways ? fds[0] : fds[1], peer = both_ways ? fds[1] : fds[0];
    set_nonblocking(reading, true);
    sinew_task *t = spawn_waiting(read_byte, &reading);
    CHECK_EQ(write(fds[1], "r", 1), 1);
    CHECK_EQ(sinew_await(t), 'r');
    fill(writing);
    set_nonblocking(writing, true);
    t = spawn_waiting(write_block, &writing);
    CHECK(drain(peer) > 0);
    CHECK(sinew_await(t) > 0);
}

IN_RUNTIME(descriptors_with_o_nonblock_are_waited_for)
{
    int p[2], s[2], t[2];
    struct sockaddr_in address;
    int listener = loopback_listener(1, &address);
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    tcp_pair(t);
    check_waits(p, false);
    check_waits(s, true);
    check_waits(t, true);
    set_nonblocking(listener, true);
    sinew_task *server = spawn_waiting(accept_one, &listener);
    int fd = sinew_socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    CHECK_EQ(sinew_connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    CHECK_EQ(sinew_await(server), 0);
    close(fd);
    close(listener);
    close_pair(p);
    close_pair(s);
    close_pair(t);
    return 0;
}

IN_RUNTIME(flags_that_ask_for_no_wait_give_eagain)
{
    int s[2];
    char c = 'c';
    struct iovec part = {&c, 1};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    CHECK_EQ(sinew_recv(s[0], &c, 1, MSG_DONTWAIT), -EAGAIN);
    CHECK_EQ(sinew_recvmsg(s[0], &m, MSG_DONTWAIT), -EAGAIN);
    fill(s[0]);
    CHECK_EQ(sinew_send(s[0], &c, 1, MSG_DONTWAIT), -EAGAIN);
    CHECK_EQ(sinew_sendmsg(s[0], &m, MSG_DONTWAIT), -EAGAIN);
    CHECK_EQ(sinew_send_zc(s[0], &c, 1, MSG_DONTWAIT), -EAGAIN);
    close_pair(s);
    return 0;
}

IN_RUNTIME(a_datagram_beyond_the_buffer_is_refused_and_a_full_queue_waited_for)
{
    int s[2], small = 4096;
    static char block[1 << 20];
    CHECK_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, s), 0);
    CHECK_EQ(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
    CHECK_EQ(sinew_send(s[0], block, sizeof block, 0), -EMSGSIZE);
    int sent = 0;
    while (send(s[0], block, 100, MSG_DONTWAIT) == 100)
        sent++;
    CHECK(sent > 0);
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(2));
    CHECK_EQ(sinew_send(s[0], block, 100, 0), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    for (int i = 0; i < sent; i++)
        CHECK_EQ(sinew_recv(s[1], block, sizeof block, 0), 100);
    CHECK_EQ(sinew_recv(s[1], block, sizeof block, MSG_DONTWAIT), -EAGAIN);
    CHECK_EQ(sinew_send(s[0], block, 100, 0), 100);
    close_pair(s);
    return 0;
}

/* More beside a message than the kernel has room for. */
IN_RUNTIME(enobufs_is_reported_and_the_socket_goes_on)
{
    enum { BESIDE = 4 << 20 };
    int s[2];
    char c = 'c', *control = calloc(1, BESIDE);
    struct iovec part = {&c, 1};
    struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = BESIDE};
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    CHECK_EQ(sinew_sendmsg(s[0], &m, 0), -ENOBUFS);
    m.msg_control = NULL;
    m.msg_controllen = 0;
    CHECK_EQ(sinew_sendmsg(s[0], &m, 0), 1);
    CHECK_EQ(sinew_recv(s[1], &c, 1, 0), 1);
    free(control);
    close_pair(s);
    return 0;
}

static intptr_t receive_at_the_limit(void *arg)
{
    int s[2];
    struct rlimit before, now;
    (void)arg;
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    CHECK_EQ(sinew_send_fd(s[0], s[0]), 0);
    CHECK_EQ(sinew_send_fd(s[0], s[0]), 0);
    getrlimit(RLIMIT_NOFILE, &before);
    now = before;
    now.rlim_cur = (rlim_t)dup(s[0]);
    close((int)now.rlim_cur);
    setrlimit(RLIMIT_NOFILE, &now);
    CHECK_EQ(sinew_recv_fd(s[1]), -EMFILE);
    int p[2];
    off_t at = 0;
    CHECK_EQ(sinew_pipe(p, 0), -EMFILE);
    CHECK_EQ(sinew_socketpair(AF_UNIX, SOCK_STREAM, 0, p), -EMFILE);
    ssize_t n = sinew_sendfile(s[0], STDIN_FILENO, &at, 1);
    CHECK(n == -EMFILE || n == 1); /* some drivers need none */
    setrlimit(RLIMIT_NOFILE, &before);
    int fd = sinew_recv_fd(s[1]);
    CHECK(fd >= 0);
    close(fd);
    close_pair(s);
    return 0;
}

static int run_at_the_limit(void *arg)
{
    int file = open("/etc/passwd", O_RDONLY);
    dup2(file, STDIN_FILENO);
    close(file);
    CHECK_EQ(run_workers(*(unsigned *)arg, receive_at_the_limit, NULL), 0);
    return 0;
}

static void descriptors_that_find_no_room_give_emfile(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_at_the_limit, &workers, &end));
        if (end.code != 0)
            child_fail(__func__, &end);
    }
}

enum { RAN = 3, REFUSED = 4 };

static intptr_t send_pinned(void *arg)
{
    int t[2];
    char *block = calloc(1, 100000), *got = malloc(100000);
    (void)arg;
    tcp_pair(t);
    for (int i = 0; i < 20; i++) {
        ssize_t n = sinew_send_zc(t[0], block, 100000, 0);
        CHECK(n > 0);
        while (n > 0)
            n -= sinew_recv(t[1], got, 100000, 0);
    }
    close_pair(t);
    free(block);
    free(got);
    return 5;
}

static int run_without_locked_memory(void *arg)
{
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_MEMLOCK, &none);
    if (getuid() == 0 && setuid(65534) != 0) /* root's memory is not counted */
        return RAN;
    intptr_t r = run_workers(*(unsigned *)arg, send_pinned, NULL);
    CHECK(r == 5 || r == -ENOMEM);
    return r == 5 ? RAN : REFUSED;
}

static void without_locked_memory_a_run_is_refused_or_works(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_without_locked_memory, &workers, &end));
        if (end.code == REFUSED && !strstr(end.err, "ulimit -l"))
            child_fail("a refusal says what to do", &end);
        if (end.code != RAN && end.code != REFUSED)
            child_fail(__func__, &end);
    }
}

/* --- peers -------------------------------------------------------------------------------------------------------- */

static void reset(int fd)
{
    struct linger hard = {1, 0};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close(fd);
}

static intptr_t send_much(void *arg)
{
    static char block[1 << 16];
    ssize_t n;
    while ((n = sinew_send(*(int *)arg, block, sizeof block, 0)) > 0)
        ;
    return n;
}

IN_RUNTIME(a_reset_ends_what_waits_with_econnreset)
{
    int t[2];
    char c;
    tcp_pair(t);
    sinew_task *reader = spawn_waiting(read_byte, &t[0]);
    reset(t[1]);
    CHECK_EQ(sinew_await(reader), -ECONNRESET);
    CHECK_EQ(sinew_recv(t[0], &c, 1, 0), 0);
    CHECK_EQ(sinew_send(t[0], "x", 1, 0), -EPIPE);
    close(t[0]);
    tcp_pair(t);
    fill(t[0]);
    sinew_task *writer = spawn_waiting(send_much, &t[0]);
    reset(t[1]);
    intptr_t r = sinew_await(writer);
    CHECK(r == -ECONNRESET || r == -EPIPE);
    CHECK(sinew_poll(t[0], POLLIN) & POLLHUP);
    close(t[0]);
    return 0;
}

struct slow_peer {
    int fd, length;
    sinew_sem next, sent; /* before and after each byte */
};

static intptr_t send_byte_by_byte(void *arg)
{
    struct slow_peer *p = arg;
    for (int i = 0; i < p->length; i++) {
        char c = (char)(i * 7);
        int r = sinew_sem_wait(&p->next);
        if (r < 0)
            return r;
        CHECK_EQ(sinew_send(p->fd, &c, 1, 0), 1);
        sinew_sem_post(&p->sent);
    }
    return 0;
}

struct message {
    int fd, length;
    char bytes[1000];
};

static intptr_t receive_message(void *arg)
{
    struct message *m = arg;
    for (int got = 0; got < m->length;) {
        ssize_t n = sinew_recv(m->fd, m->bytes + got, (size_t)(m->length - got), 0);
        if (n <= 0)
            return n < 0 ? n : -EIO;
        got += (int)n;
    }
    return 0;
}

/* A byte at a time, each only when the one before is long gone: others are served meanwhile, and nothing is lost. */
IN_RUNTIME(a_peer_that_sends_byte_by_byte_is_read_to_the_end)
{
    int t[2], u[2], length = (int)scaled(1000, 100);
    tcp_pair(t);
    tcp_pair(u);
    struct slow_peer peer = {.fd = t[1], .length = length};
    struct message slow = {.fd = t[0], .length = length};
    sinew_sem_init(&peer.next, 0);
    sinew_sem_init(&peer.sent, 0);
    sinew_task *sender = sinew_spawn(send_byte_by_byte, &peer), *receiver = sinew_spawn(receive_message, &slow);
    for (int i = 0; i < length; i++) {
        CHECK(!sinew_done(receiver));
        sinew_sem_post(&peer.next);
        CHECK_EQ(sinew_sem_wait(&peer.sent), 0);
        if (i % 50 == 0) { /* another connection, in between */
            char c = 0;
            CHECK_EQ(sinew_send(u[0], "q", 1, 0), 1);
            CHECK_EQ(sinew_recv(u[1], &c, 1, 0), 1);
            CHECK_EQ(c, 'q');
        }
    }
    CHECK_EQ(sinew_await(sender), 0);
    CHECK_EQ(sinew_await(receiver), 0);
    int wrong = 0;
    for (int i = 0; i < length; i++)
        wrong += slow.bytes[i] != (char)(i * 7);
    CHECK_EQ(wrong, 0);
    close_pair(t);
    close_pair(u);
    return 0;
}

/* Each send says what it has sent; together that is what the peer finds when it reads at last. */
static void send_to_one_that_does_not_read(int fds[2])
{
    static char block[100000];
    size_t sent = 0;
    int expired = 0;
    for (int round = 0; round < 3; round++) {
        sinew_timeout limit;
        ssize_t n;
        sinew_timeout_begin(&limit, SINEW_MS(3));
        while ((n = sinew_send(fds[0], block, sizeof block, 0)) > 0)
            sent += (size_t)n;
        CHECK_EQ(n, -ETIMEDOUT);
        expired += sinew_timeout_end(&limit) == -ETIMEDOUT;
    }
    CHECK_EQ(expired, 3);
    close(fds[0]);
    size_t got = 0;
    ssize_t n;
    while ((n = sinew_recv(fds[1], block, sizeof block, 0)) > 0)
        got += (size_t)n;
    CHECK_EQ(n, 0);
    CHECK_EQ(got, sent);
    close(fds[1]);
}

IN_RUNTIME(a_peer_that_never_reads_is_timed_out_and_the_count_is_right)
{
    int fds[2];
    tcp_pair(fds);
    send_to_one_that_does_not_read(fds);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    send_to_one_that_does_not_read(fds);
    return 0;
}

IN_RUNTIME(a_half_closed_connection_goes_on_in_the_other_direction)
{
    int t[2];
    tcp_pair(t);
    sinew_task *reader = spawn_waiting(read_byte, &t[1]);
    CHECK_EQ(sinew_shutdown(t[0], SHUT_WR), 0);
    CHECK_EQ(sinew_await(reader), 0);
    CHECK_EQ(sinew_send(t[0], "x", 1, 0), -EPIPE);
    reader = spawn_waiting(read_byte, &t[0]);
    CHECK_EQ(sinew_send(t[1], "y", 1, 0), 1);
    CHECK_EQ(sinew_await(reader), 'y');
    /* A wait for room does not take the half-close for an end. */
    fill(t[1]);
    int fd = t[1];
    sinew_task *writer = spawn_waiting(send_much, &fd);
    CHECK(drain(t[0]) > 0);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(sinew_cancel(writer));
    CHECK_EQ(sinew_await(writer), -ECANCELED);
    CHECK_EQ(sinew_shutdown(t[1], SHUT_WR), 0);
    static char rest[1 << 16];
    ssize_t n;
    while ((n = sinew_recv(t[0], rest, sizeof rest, 0)) > 0)
        ;
    CHECK_EQ(n, 0);
    close_pair(t);
    return 0;
}

/* --- more than the queues hold ------------------------------------------------------------------------------------ */

static intptr_t write_byte(void *arg)
{
    return sinew_write(*(int *)arg, "b", 1) == 1 ? 0 : -EIO;
}

static intptr_t take_one(void *arg)
{
    uint64_t value = 0;
    ssize_t n = sinew_read(*(int *)arg, &value, sizeof value);
    return n == sizeof value ? (intptr_t)value : n;
}

/* None of the tasks lets the worker hand anything over before the last one has submitted. */
IN_RUNTIME(thousands_of_submissions_in_one_pass_are_all_made)
{
    int n = (int)scaled(5000, 500), p[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(sinew_map(write_byte, &p[1], 0, (size_t)n, NULL), 0);
    CHECK_EQ(drain(p[0]), n);
    close_pair(p);
    return 0;
}

/* All complete while every worker computes. */
IN_RUNTIME(thousands_of_completions_that_nobody_reaps_are_not_lost)
{
    int n = (int)scaled(5000, 500), fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    uint64_t value = (uint64_t)n;
    sinew_task **tasks = calloc((size_t)n, sizeof(sinew_task *));
    intptr_t *results = calloc((size_t)n, sizeof *results), sum = 0;
    for (int round = 0; round < 3; round++) {
        sinew_stats before, now;
        CHECK_EQ(sinew_get_stats(&before), 0);
        for (int i = 0; i < n; i++)
            tasks[i] = sinew_spawn(take_one, &fd);
        do {
            sinew_yield();
            CHECK_EQ(sinew_get_stats(&now), 0);
        } while (now.ops_submitted < before.ops_submitted + (uint64_t)n);
        for (int i = 0; i < 10; i++)
            sinew_yield();
        CHECK_EQ(write(fd, &value, sizeof value), sizeof value);
        for (sinew_time end = sinew_now() + SINEW_MS(5); sinew_now() < end;)
            ;
        CHECK_EQ(sinew_gather(tasks, (size_t)n, results), 0);
        sum = 0;
        for (int i = 0; i < n; i++)
            sum += results[i];
        CHECK_EQ(sum, n);
    }
    free(tasks);
    free(results);
    close(fd);
    return 0;
}

/* --- fork --------------------------------------------------------------------------------------------------------- */

static intptr_t child_of_its_own(void *arg)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    (void)arg;
    sinew_task *t = sinew_spawn(take_one, &fd);
    sinew_yield();
    uint64_t one = 1;
    CHECK_EQ(sinew_write(fd, &one, sizeof one), sizeof one);
    return sinew_await(t);
}

static void *run_child_runtime(void *arg)
{
    (void)arg;
    return (void *)run_workers(2, child_of_its_own, NULL);
}

/* The child has copies of all descriptors, and a runtime of its own; the parent's operations are the parent's. */
IN_RUNTIME(operations_in_flight_survive_a_fork)
{
    enum { READERS = 50 };
    int fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE), sum = 0;
    sinew_task *tasks[READERS];
    for (int i = 0; i < READERS; i++)
        tasks[i] = sinew_spawn(take_one, &fd);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    pid_t pid = fork();
    if (pid == 0) {
        /* A run needs more stack than a task has left; and ThreadSanitizer allows no threads here. */
        pthread_t thread;
        void *result = (void *)1;
        if (!SN_TSAN && pthread_create(&thread, NULL, run_child_runtime, NULL) == 0)
            pthread_join(thread, &result);
        _exit((intptr_t)result == 1 ? 0 : 1);
    }
    CHECK(pid > 0);
    uint64_t value = READERS;
    CHECK_EQ(write(fd, &value, sizeof value), sizeof value);
    for (int i = 0; i < READERS; i++)
        sum += (int)sinew_await(tasks[i]);
    CHECK_EQ(sum, READERS);
    int status = -1;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    close(fd);
    return 0;
}

TEST_MAIN(cmocka_unit_test(closing_a_descriptor_under_a_read_leaves_the_read_to_be_cancelled),
          cmocka_unit_test(a_read_of_a_closed_descriptor_takes_nothing_from_its_successor),
          cmocka_unit_test(closing_both_ends_under_thousands_of_reads_leaves_nothing),
          cmocka_unit_test(signals_interrupt_no_call), cmocka_unit_test(descriptors_with_o_nonblock_are_waited_for),
          cmocka_unit_test(flags_that_ask_for_no_wait_give_eagain),
          cmocka_unit_test(a_datagram_beyond_the_buffer_is_refused_and_a_full_queue_waited_for),
          cmocka_unit_test(enobufs_is_reported_and_the_socket_goes_on),
          cmocka_unit_test(descriptors_that_find_no_room_give_emfile),
          cmocka_unit_test(without_locked_memory_a_run_is_refused_or_works),
          cmocka_unit_test(a_reset_ends_what_waits_with_econnreset),
          cmocka_unit_test(a_peer_that_sends_byte_by_byte_is_read_to_the_end),
          cmocka_unit_test(a_peer_that_never_reads_is_timed_out_and_the_count_is_right),
          cmocka_unit_test(a_half_closed_connection_goes_on_in_the_other_direction),
          cmocka_unit_test(thousands_of_submissions_in_one_pass_are_all_made),
          cmocka_unit_test(thousands_of_completions_that_nobody_reaps_are_not_lost),
          cmocka_unit_test(operations_in_flight_survive_a_fork))
