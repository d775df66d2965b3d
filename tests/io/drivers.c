/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: calls mean the same whatever driver carries them out, also where a driver that has only readiness to wait for
 * has to take trouble: descriptors whose numbers are used again, duplicates, many tasks on one descriptor, O_NONBLOCK,
 * descriptors that know no call which does not block, thieves, partial transfers, tasks that never wait.
 * Method: every body runs on each driver. A worker that blocks in a system call shows as a test that does not end with
 * one worker: who would let it go on is a task of that worker. A driver that runs round and round shows in how often
 * its worker went to sleep.
 * Cannot see: kernels that lack RWF_NOWAIT or epoll_pwait2.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>

#include <tests/support/drivers.h>
#include <tests/support/files.h>
#include <tests/support/process.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

struct reader {
    int fd;
    size_t bytes; /* at most */
    char buf[256];
};

static intptr_t read_some(void *arg)
{
    struct reader *r = arg;
    return sinew_read(r->fd, r->buf, r->bytes);
}

/* Long enough for a task that does not wait to have ended. */
static void let_others_run(void)
{
    for (int i = 0; i < 20; i++)
        sinew_yield();
    sinew_sleep(SINEW_MS(1));
}

/* How often workers go to sleep while nothing happens. */
static uint64_t parks_during(sinew_time span)
{
    sinew_stats before, after;
    CHECK_EQ(sinew_get_stats(&before), 0);
    CHECK_EQ(sinew_sleep(span), 0);
    CHECK_EQ(sinew_get_stats(&after), 0);
    return after.parks - before.parks;
}

enum { PARKS_IN_QUIET = 100 };

/* --- numbers and descriptions ------------------------------------------------------------------------------------ */

/* A reader that waits is cancelled, so that the driver knows the descriptor and nobody waits for it. */
static void wait_in_vain(int fd, size_t bytes)
{
    struct reader r = {.fd = fd, .bytes = bytes};
    sinew_task *t = sinew_spawn(read_some, &r);
    let_others_run();
    CHECK(!sinew_done(t));
    sinew_cancel(t);
    CHECK_EQ(sinew_await(t), -ECANCELED);
}

/* Both ends at numbers that stay the same from call to call. */
static void make_pair_at(int at, int kind)
{
    int fds[2];
    CHECK_EQ(kind % 3 == 0   ? pipe2(fds, O_CLOEXEC)
             : kind % 3 == 1 ? socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds)
                             : socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, fds),
             0);
    CHECK_EQ(dup3(fds[0], at, O_CLOEXEC), at);
    CHECK_EQ(dup3(fds[1], at + 1, O_CLOEXEC), at + 1);
    close(fds[0]);
    close(fds[1]);
}

static void exchange_at(int at)
{
    struct reader r = {.fd = at, .bytes = 8};
    sinew_task *t = sinew_spawn(read_some, &r);
    let_others_run();
    CHECK(!sinew_done(t));
    CHECK_EQ(write(at + 1, "abc", 3), 3);
    CHECK_EQ(sinew_await(t), 3);
    CHECK_EQ(memcmp(r.buf, "abc", 3), 0);
}

ON_EACH_DRIVER(numbers_of_closed_descriptors_may_be_used_again)
{
    enum { AT = 500 };
    for (int i = 0; i < 12; i++) {
        make_pair_at(AT, i);
        if (i % 4 != 3)
            wait_in_vain(AT, 1);
        if (i % 2)
            exchange_at(AT);
        if (i % 3) { /* otherwise dup3 replaces it */
            CHECK_EQ(i % 3 == 1 ? sinew_close(AT) : close(AT), 0);
            close(AT + 1);
        }
    }
    make_pair_at(AT, 0);
    exchange_at(AT);
    close(AT);
    close(AT + 1);
    return 0;
}

/* Which nobody should do; with io_uring the reader goes on to wait for the old file. */
ON_EACH_DRIVER(a_reader_whose_descriptor_is_closed_takes_nothing_from_the_next_file)
{
    enum { AT = 500 };
    for (int duplicated = 0; duplicated < 2; duplicated++) {
        make_pair_at(AT, 0);
        struct reader left = {.fd = AT, .bytes = 8}, next = left;
        sinew_task *old = spawn_pinned(read_some, &left); /* both with one worker, as far as one can tell */
        let_others_run();
        int duplicate = duplicated ? fcntl(AT, F_DUPFD_CLOEXEC, 0) : -1, writer = fcntl(AT + 1, F_DUPFD_CLOEXEC, 0);
        make_pair_at(AT, 1);
        sinew_task *new = spawn_pinned(read_some, &next);
        let_others_run();
        CHECK_EQ(write(AT + 1, "abc", 3), 3);
        CHECK_EQ(sinew_await(new), 3);
        CHECK_EQ(memcmp(next.buf, "abc", 3), 0);
        sinew_cancel(old);
        intptr_t n = sinew_await(old);
        CHECK(n == -EBADF || n == -ECANCELED);
        close(AT);
        close(AT + 1);
        close(writer);
        if (duplicated)
            close(duplicate);
    }
    return 0;
}

ON_EACH_DRIVER(a_duplicate_that_lives_on_disturbs_nobody)
{
    int fds[2], other[2];
    char byte;
    if (!CHECK(pipe2(fds, O_CLOEXEC) == 0 && pipe2(other, O_CLOEXEC) == 0))
        return 1;
    wait_in_vain(fds[0], 1);
    int duplicate = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
    close(fds[0]);
    CHECK_EQ(write(fds[1], "d", 1), 1); /* what is reported now is no open descriptor's */
    CHECK(parks_during(SINEW_MS(20)) < PARKS_IN_QUIET);
    CHECK_EQ(dup3(other[0], fds[0], O_CLOEXEC), fds[0]);
    struct reader r = {.fd = fds[0], .bytes = 1};
    sinew_task *t = sinew_spawn(read_some, &r);
    let_others_run();
    CHECK_EQ(write(fds[1], "d", 1), 1); /* nor is it the reader's */
    CHECK(parks_during(SINEW_MS(20)) < PARKS_IN_QUIET);
    CHECK(!sinew_done(t));
    CHECK_EQ(write(other[1], "o", 1), 1);
    CHECK_EQ(sinew_await(t), 1);
    CHECK_EQ(r.buf[0], 'o');
    CHECK_EQ(sinew_read(duplicate, &byte, 1), 1);
    /* And the same description under its old number again. */
    CHECK_EQ(dup3(duplicate, fds[0], O_CLOEXEC), fds[0]);
    CHECK_EQ(sinew_read(fds[0], &byte, 1), 1);
    t = sinew_spawn(read_some, &r);
    let_others_run();
    CHECK(!sinew_done(t));
    CHECK_EQ(write(fds[1], "e", 1), 1);
    CHECK_EQ(sinew_await(t), 1);
    CHECK_EQ(r.buf[0], 'e');
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(other[i]);
    }
    close(duplicate);
    return 0;
}

/* --- many on one descriptor -------------------------------------------------------------------------------------- */

struct poller {
    int fd;
    short events;
};

static intptr_t poll_for(void *arg)
{
    struct poller *p = arg;
    return sinew_poll(p->fd, p->events);
}

static intptr_t write_one(void *arg)
{
    struct reader *r = arg;
    return sinew_write(r->fd, "w", 1);
}

ON_EACH_DRIVER(readers_writers_and_pollers_share_a_socket)
{
    enum { EACH = 10 };
    int s[2];
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0))
        return 1;
    fill(s[0]);
    struct reader readers[EACH], writer = {.fd = s[0]};
    struct poller in = {s[0], POLLIN}, out = {s[0], POLLOUT}, hup = {s[0], 0};
    sinew_task *reads[EACH], *writes[EACH], *ins[EACH], *outs[EACH], *hups[EACH];
    intptr_t results[EACH];
    for (int i = 0; i < EACH; i++) {
        readers[i] = (struct reader){.fd = s[0], .bytes = 1};
        hups[i] = sinew_spawn(poll_for, &hup);
        outs[i] = sinew_spawn(poll_for, &out);
        reads[i] = sinew_spawn(read_some, &readers[i]);
        writes[i] = sinew_spawn(write_one, &writer);
        ins[i] = sinew_spawn(poll_for, &in);
    }
    let_others_run();
    for (int i = 0; i < EACH; i++)
        CHECK(!sinew_done(reads[i]) && !sinew_done(writes[i]) && !sinew_done(outs[i]) && !sinew_done(ins[i]));
    CHECK_EQ(write(s[1], "0123456789", EACH - 1), EACH - 1);
    int read_by = 0;
    for (int i = 0; i < EACH - 1; i++) /* one of them stays, and nobody knows which */
        while (read_by <= i) {
            sinew_yield();
            read_by = 0;
            for (int k = 0; k < EACH; k++)
                read_by += sinew_done(reads[k]);
        }
    CHECK_EQ(read_by, EACH - 1);
    CHECK(!sinew_done(writes[0]) && !sinew_done(outs[0]));
    drain(s[1]);
    CHECK_EQ(sinew_gather(writes, EACH, results), 0);
    CHECK_EQ(sinew_gather(outs, EACH, results), 0);
    for (int i = 0; i < EACH; i++)
        CHECK(results[i] == POLLOUT || results[i] == (POLLOUT | POLLIN));
    CHECK(!sinew_done(hups[0]));
    drain(s[1]); /* to close it with something unread would be an error for the others */
    close(s[1]);
    CHECK_EQ(sinew_gather(hups, EACH, results), 0);
    for (int i = 0; i < EACH; i++)
        CHECK_EQ(results[i] & ~POLLRDHUP, POLLHUP); /* io_uring tells of POLLRDHUP unasked */
    CHECK_EQ(sinew_gather(ins, EACH, NULL), 0);
    CHECK_EQ(sinew_gather(reads, EACH, results), 0);
    intptr_t sum = 0;
    for (int i = 0; i < EACH; i++)
        sum += results[i];
    CHECK_EQ(sum, EACH - 1);
    close(s[0]);
    return 0;
}

static intptr_t accept_one(void *arg)
{
    return sinew_accept(*(int *)arg, NULL, NULL, 0);
}

static int connect_plainly(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(connect(fd, (const struct sockaddr *)address, sizeof *address), 0);
    return fd;
}

ON_EACH_DRIVER(each_connection_goes_to_one_of_many_acceptors)
{
    enum { ACCEPTORS = 10 };
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        struct sockaddr_in address;
        sinew_task *tasks[ACCEPTORS];
        int listener = loopback_listener(64, &address), clients[ACCEPTORS];
        set_nonblocking(listener, nonblocking);
        int flags = fcntl(listener, F_GETFL);
        for (int i = 0; i < ACCEPTORS; i++)
            tasks[i] = sinew_spawn(accept_one, &listener);
        let_others_run();
        for (int i = 0; i < ACCEPTORS; i++) {
            clients[i] = connect_plainly(&address);
            int accepted = 0;
            while (accepted <= i) {
                sinew_yield();
                accepted = 0;
                for (int k = 0; k < ACCEPTORS; k++)
                    accepted += sinew_done(tasks[k]);
            }
            CHECK_EQ(accepted, i + 1);
            if (i == ACCEPTORS / 2) { /* the others can be cancelled and come back */
                for (int k = 0; k < ACCEPTORS; k++) {
                    if (sinew_done(tasks[k]))
                        continue;
                    sinew_cancel(tasks[k]);
                    CHECK_EQ(sinew_await(tasks[k]), -ECANCELED);
                    tasks[k] = sinew_spawn(accept_one, &listener);
                }
                let_others_run();
            }
        }
        CHECK_EQ(fcntl(listener, F_GETFL), flags);
        for (int i = 0; i < ACCEPTORS; i++) {
            int fd = (int)sinew_await(tasks[i]);
            CHECK(fd >= 0);
            close(fd);
            close(clients[i]);
        }
        close(listener);
    }
    return 0;
}

/* --- all sorts of descriptors ------------------------------------------------------------------------------------ */

struct sort {
    const char *name;
    bool (*make)(int fds[2]);  /* read from the first */
    void (*ready)(int fds[2]); /* makes it ready */
    size_t bytes;              /* to ask for */
};

static bool make_pipe(int fds[2])
{
    return pipe2(fds, O_CLOEXEC) == 0;
}

static void write_x(int fds[2])
{
    CHECK_EQ(write(fds[1], "x\n", 2), 2);
}

static bool make_fifo(int fds[2])
{
    char path[TEMPORARY_PATH];
    if (!temporary_path(path) || mkfifo(path, 0600) != 0)
        return false;
    fds[0] = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    fds[1] = open(path, O_WRONLY | O_CLOEXEC);
    set_nonblocking(fds[0], false);
    unlink(path);
    return fds[1] >= 0;
}

static bool make_tty(int fds[2])
{
    return openpty(&fds[1], &fds[0], NULL, NULL, NULL) == 0;
}

static bool make_eventfd(int fds[2])
{
    fds[0] = eventfd(0, EFD_CLOEXEC);
    fds[1] = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
    return fds[1] >= 0;
}

static void post_eventfd(int fds[2])
{
    uint64_t one = 1;
    CHECK_EQ(write(fds[1], &one, sizeof one), (ssize_t)sizeof one);
}

static bool make_timerfd(int fds[2])
{
    fds[0] = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    fds[1] = -1;
    return fds[0] >= 0;
}

static void start_timerfd(int fds[2])
{
    struct itimerspec soon = {.it_value = {.tv_nsec = 1000}};
    CHECK_EQ(timerfd_settime(fds[0], 0, &soon, NULL), 0);
}

static char watched[TEMPORARY_PATH];

static bool make_inotify(int fds[2])
{
    fds[1] = mkstemp(temporary_template(watched));
    fds[0] = inotify_init1(IN_CLOEXEC);
    return inotify_add_watch(fds[0], watched, IN_MODIFY) >= 0 && unlink(watched) == 0;
}

static bool make_unix(int fds[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0;
}

static bool make_tcp(int fds[2])
{
    struct sockaddr_in address;
    int listener = loopback_listener(1, &address);
    fds[1] = connect_plainly(&address);
    fds[0] = accept(listener, NULL, NULL);
    close(listener);
    return fds[0] >= 0;
}

static const struct sort sorts[] = {
    {"pipe", make_pipe, write_x, 2},
    {"fifo", make_fifo, write_x, 2},
    {"terminal", make_tty, write_x, 100},
    {"eventfd", make_eventfd, post_eventfd, 8},
    {"timerfd", make_timerfd, start_timerfd, 8},
    {"inotify", make_inotify, write_x, 256},
    {"unix socket", make_unix, write_x, 2},
    {"tcp socket", make_tcp, write_x, 2},
};
#define SORTS (sizeof sorts / sizeof sorts[0])

ON_EACH_DRIVER(reads_wait_on_every_sort_of_descriptor_and_leave_its_flags_alone)
{
    for (size_t i = 0; i < 2 * SORTS; i++) {
        const struct sort *sort = &sorts[i / 2];
        int fds[2], failures = atomic_load(&check_failures);
        if (!CHECK(sort->make(fds)))
            return 1;
        set_nonblocking(fds[0], i % 2);
        int flags = fcntl(fds[0], F_GETFL);
        snprintf(watchdog_text, sizeof watchdog_text, "\nhangs: %s %s, %s, %u workers\n",
                 i % 2 ? "non-blocking" : "blocking", sort->name, sinew_driver_name(), sinew_workers());
        wait_in_vain(fds[0], sort->bytes);
        struct reader r = {.fd = fds[0], .bytes = sort->bytes};
        struct poller p = {fds[0], POLLIN};
        sinew_task *polls = sinew_spawn(poll_for, &p), *reads = sinew_spawn(read_some, &r);
        let_others_run();
        CHECK(!sinew_done(polls) && !sinew_done(reads));
        sort->ready(fds);
        CHECK(sinew_await(reads) > 0);
        /* The reader may have come first, and have taken what there was. */
        bool cancelled = sinew_cancel(polls);
        CHECK_EQ(sinew_await(polls), cancelled ? -ECANCELED : POLLIN);
        CHECK_EQ(fcntl(fds[0], F_GETFL), flags);
        if (atomic_load(&check_failures) != failures)
            fprintf(stderr, "... on a %s %s, %s\n", i % 2 ? "non-blocking" : "blocking", sort->name,
                    sinew_driver_name());
        close(fds[0]);
        if (fds[1] >= 0)
            close(fds[1]);
    }
    return 0;
}

ON_EACH_DRIVER(a_child_process_is_awaited_by_its_pidfd)
{
    int hold[2];
    if (!CHECK_EQ(pipe2(hold, O_CLOEXEC), 0))
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        char byte;
        close(hold[1]);
        _exit(read(hold[0], &byte, 1) == 0 ? 7 : 8);
    }
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct poller p = {fd, POLLIN};
    sinew_task *t = sinew_spawn(poll_for, &p);
    let_others_run();
    CHECK(!sinew_done(t));
    close(hold[1]);
    CHECK_EQ(sinew_await(t), POLLIN);
    int status;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(WEXITSTATUS(status), 7);
    close(hold[0]);
    close(fd);
    return 0;
}

ON_EACH_DRIVER(connecting_leaves_the_sockets_flags_alone)
{
    struct sockaddr_in address;
    int listener = loopback_listener(4, &address);
    for (int nonblocking = 0; nonblocking < 2; nonblocking++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        set_nonblocking(fd, nonblocking);
        int flags = fcntl(fd, F_GETFL);
        CHECK_EQ(sinew_connect(fd, (struct sockaddr *)&address, sizeof address), 0);
        CHECK_EQ(sinew_connect(fd, (struct sockaddr *)&address, sizeof address), -EISCONN);
        CHECK_EQ(fcntl(fd, F_GETFL), flags);
        int peer = sinew_accept(listener, NULL, NULL, 0);
        CHECK_EQ(fcntl(peer, F_GETFL) & O_NONBLOCK, 0);
        CHECK_EQ(sinew_send(fd, "x", 1, 0), 1);
        char byte;
        CHECK_EQ(sinew_recv(peer, &byte, 1, 0), 1);
        close(fd);
        close(peer);
    }
    close(listener);
    return 0;
}

/* --- files ------------------------------------------------------------------------------------------------------- */

ON_EACH_DRIVER(files_are_read_and_written_whole)
{
    enum { BYTES = 3 << 20 };
    char path[TEMPORARY_PATH], *out = malloc(BYTES), *in = malloc(BYTES), *aligned = NULL;
    int fd = mkstemp(temporary_template(path));
    for (int i = 0; i < BYTES; i++)
        out[i] = (char)(i >> 7);
    CHECK_EQ(sinew_write(fd, out, BYTES), BYTES);
    CHECK_EQ(sinew_fsync(fd), 0);
    /* Half of it is not in memory any more, if the file system plays along. */
    posix_fadvise(fd, BYTES / 2, BYTES / 2, POSIX_FADV_DONTNEED);
    CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
    CHECK_EQ(sinew_read(fd, in, BYTES), BYTES);
    CHECK_EQ(memcmp(in, out, BYTES), 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), BYTES);
    CHECK_EQ(sinew_read(fd, in, BYTES), 0);
    memset(in, 0, BYTES);
    posix_fadvise(fd, 4096, BYTES - 8192, POSIX_FADV_DONTNEED);
    CHECK_EQ(sinew_pread(fd, in, BYTES, 10), BYTES - 10);
    CHECK_EQ(memcmp(in, out + 10, BYTES - 10), 0);
    CHECK_EQ(sinew_pread(fd, in, BYTES, BYTES), 0);
    CHECK_EQ(sinew_poll(fd, POLLIN), POLLIN);
    CHECK_EQ(sinew_close(fd), 0);
    fd = sinew_openat(AT_FDCWD, path, O_RDWR | O_DIRECT, 0);
    if (fd >= 0 && CHECK_EQ(posix_memalign((void **)&aligned, 4096, 8192), 0)) {
        CHECK_EQ(sinew_pread(fd, aligned, 8192, 4096), 8192);
        CHECK_EQ(memcmp(aligned, out + 4096, 8192), 0);
        CHECK_EQ(sinew_pwrite(fd, aligned, 8192, 0), 8192);
    }
    if (fd >= 0)
        CHECK_EQ(sinew_close(fd), 0);
    fd = sinew_openat(AT_FDCWD, path, O_RDWR | O_NONBLOCK | O_SYNC, 0);
    CHECK_EQ(sinew_pwrite(fd, "sync", 4, 0), 4);
    CHECK_EQ(sinew_pread(fd, in, 4, 0), 4);
    CHECK_EQ(memcmp(in, "sync", 4), 0);
    CHECK_EQ(sinew_close(fd), 0);
    fd = sinew_openat(AT_FDCWD, "/proc/self/stat", O_RDONLY, 0); /* a regular file that knows no RWF_NOWAIT */
    CHECK(sinew_read(fd, in, BYTES) > 0);
    CHECK_EQ(sinew_close(fd), 0);
    fd = sinew_openat(AT_FDCWD, "/dev/zero", O_RDONLY, 0);
    in[0] = 1;
    CHECK_EQ(sinew_read(fd, in, 1), 1);
    CHECK_EQ(in[0], 0);
    CHECK_EQ(sinew_close(fd), 0);
    unlink(path);
    free(aligned);
    free(out);
    free(in);
    return 0;
}

ON_EACH_DRIVER(a_cancel_stays_pending_behind_the_close_of_a_file)
{
    int fd = temporary_file(O_CLOEXEC), before = count_descriptors();
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_close(fd), 0);
    CHECK_EQ(count_descriptors(), before - 1);
    CHECK_EQ(sinew_yield(), -ECANCELED);
    CHECK_EQ(sinew_uncancel(), 0);
    return 0;
}

/* --- thieves ----------------------------------------------------------------------------------------------------- */

struct crowd {
    int fd;
    atomic_int bytes;
};

static intptr_t read_to_the_end(void *arg)
{
    struct crowd *c = arg;
    char buf[3];
    ssize_t n;
    while ((n = sinew_read(c->fd, buf, sizeof buf)) > 0)
        atomic_fetch_add(&c->bytes, (int)n);
    return n;
}

/* A child that reads the same pipe with blocking calls takes away what has made it ready. Its share is its result. */
static pid_t begin_thief(int read_fd, int write_fd, int report)
{
    pid_t pid = fork();
    if (pid == 0) {
        char buf[3];
        int bytes = 0;
        ssize_t n;
        close(write_fd);
        while ((n = read(read_fd, buf, sizeof buf)) > 0)
            bytes += (int)n;
        _exit(write(report, &bytes, sizeof bytes) == (ssize_t)sizeof bytes ? 0 : 1);
    }
    return pid;
}

ON_EACH_DRIVER(what_another_process_steals_blocks_nobody)
{
    enum { READERS = 4 };
    int rounds = (int)scaled(2000, 200);
    for (int kind = 0; kind < 2; kind++) {
        int fds[2], report[2], stolen = -1, status;
        struct crowd c = {.bytes = 0};
        sinew_task *tasks[READERS];
        /* On io_uring reads of a fifo block their worker where others take what is there: the kernel looks, and then
         * reads. */
        if (kind == 1 && strcmp(sinew_driver_name(), "epoll") != 0)
            break;
        if (!CHECK((kind == 0 ? make_pipe(fds) : make_fifo(fds)) && pipe2(report, O_CLOEXEC) == 0))
            return 1;
        pid_t thief = begin_thief(fds[0], fds[1], report[1]);
        c.fd = fds[0];
        for (int i = 0; i < READERS; i++)
            tasks[i] = sinew_spawn(read_to_the_end, &c);
        for (int i = 0; i < rounds; i++) {
            CHECK_EQ(sinew_write(fds[1], "abcd", 4), 4);
            if (i % 16 == 0)
                sinew_sleep(SINEW_US(50));
            else
                sinew_yield();
        }
        CHECK_EQ(sinew_close(fds[1]), 0);
        CHECK_EQ(sinew_gather(tasks, READERS, NULL), 0);
        CHECK_EQ(sinew_read(report[0], &stolen, sizeof stolen), (ssize_t)sizeof stolen);
        CHECK_EQ(waitpid(thief, &status, 0), thief);
        CHECK_EQ(stolen + c.bytes, 4 * rounds);
        close(fds[0]);
        close(report[0]);
        close(report[1]);
    }
    return 0;
}

/* Processes that share a blocking listener, as servers that fork do. */
static pid_t begin_accepting(int listener, int report)
{
    pid_t pid = fork();
    if (pid == 0) {
        for (;;) {
            int fd = accept(listener, NULL, NULL);
            char byte = 's';
            if (fd < 0 || write(report, &byte, 1) != 1)
                _exit(1);
            close(fd);
        }
    }
    return pid;
}

static atomic_int accepted_here;

static intptr_t accept_all_day(void *arg)
{
    for (;;) {
        int fd = sinew_accept(*(int *)arg, NULL, NULL, 0);
        if (fd < 0)
            return fd;
        atomic_fetch_add(&accepted_here, 1);
        close(fd);
    }
}

static intptr_t ask_whether_we_go_on(void *arg)
{
    for (atomic_int *stop = arg; !atomic_load(stop);)
        sinew_sleep(SINEW_MS(1));
    return 0;
}

ON_EACH_DRIVER(a_listener_that_another_process_accepts_from_blocks_nobody)
{
    int connections = (int)scaled(300, 50), report[2], status, there = 0;
    struct sockaddr_in address;
    int listener = loopback_listener(1024, &address);
    char bytes[64];
    if (!CHECK(listener >= 0 && pipe2(report, O_CLOEXEC) == 0))
        return 1;
    atomic_store(&accepted_here, 0);
    atomic_int stop = 0;
    pid_t other = begin_accepting(listener, report[1]);
    sinew_task *acceptors[3], *timer = sinew_spawn(ask_whether_we_go_on, &stop);
    for (int i = 0; i < 3; i++)
        acceptors[i] = sinew_spawn(accept_all_day, &listener);
    for (int i = 0; i < connections; i++) {
        close(connect_plainly(&address));
        if (i % 8 == 0)
            sinew_yield();
    }
    while (atomic_load(&accepted_here) + there < connections) {
        sinew_sleep(SINEW_MS(1));
        struct pollfd p = {report[0], POLLIN, 0};
        if (poll(&p, 1, 0) > 0)
            there += (int)read(report[0], bytes, sizeof bytes);
    }
    CHECK_EQ(atomic_load(&accepted_here) + there, connections);
    kill(other, SIGKILL);
    CHECK_EQ(waitpid(other, &status, 0), other);
    /* One of ours may stand in accept, in a thread of the pool, until there is a connection. */
    for (int i = 0; i < 3; i++)
        sinew_cancel(acceptors[i]);
    while (!sinew_done(acceptors[0]) || !sinew_done(acceptors[1]) || !sinew_done(acceptors[2])) {
        close(connect_plainly(&address));
        sinew_sleep(SINEW_MS(1));
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_await(acceptors[i]), -ECANCELED);
    atomic_store(&stop, 1);
    CHECK_EQ(sinew_await(timer), 0);
    close(listener);
    close(report[0]);
    close(report[1]);
    return 0;
}

/* --- parts ------------------------------------------------------------------------------------------------------- */

struct bulk {
    int fd, flags;
    size_t bytes;
    char *data;
};

static intptr_t recv_bulk(void *arg)
{
    struct bulk *b = arg;
    return sinew_recv(b->fd, b->data, b->bytes, b->flags);
}

static intptr_t send_bulk(void *arg)
{
    struct bulk *b = arg;
    return sinew_send(b->fd, b->data, b->bytes, b->flags);
}

ON_EACH_DRIVER(waitall_receives_all_or_what_came_before_the_end_or_a_cancel)
{
    enum { PIECES = 20, PIECE = 100 };
    char piece[PIECE], data[PIECES * PIECE];
    memset(piece, 'p', sizeof piece);
    for (int way = 0; way < 3; way++) {
        int s[2];
        if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0))
            return 1;
        struct bulk b = {s[0], MSG_WAITALL, sizeof data, data};
        sinew_task *t = sinew_spawn(recv_bulk, &b);
        int pieces = way == 0 ? PIECES : PIECES / 2;
        for (int i = 0; i < pieces; i++) {
            CHECK(!sinew_done(t));
            CHECK_EQ(write(s[1], piece, PIECE), PIECE);
            if (i % 4 == 0)
                let_others_run();
        }
        let_others_run();
        if (way == 1)
            CHECK_EQ(shutdown(s[1], SHUT_WR), 0);
        else if (way == 2)
            sinew_cancel(t);
        intptr_t n = sinew_await(t);
        CHECK(n == pieces * PIECE || (way == 2 && n == -ECANCELED)); /* the cancel of a task that ends with it */
        close(s[0]);
        close(s[1]);
    }
    return 0;
}

ON_EACH_DRIVER(what_was_looked_at_is_still_there)
{
    int s[2];
    char buf[8];
    if (!CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0))
        return 1;
    struct bulk b = {s[0], MSG_PEEK, sizeof buf, buf};
    sinew_task *t = sinew_spawn(recv_bulk, &b);
    let_others_run();
    CHECK(!sinew_done(t));
    CHECK_EQ(write(s[1], "peek", 4), 4);
    CHECK_EQ(sinew_await(t), 4);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_recv(s[0], buf, sizeof buf, MSG_PEEK), 4);
    CHECK_EQ(sinew_recv(s[0], buf, sizeof buf, 0), 4);
    CHECK_EQ(sinew_recv(s[0], buf, sizeof buf, MSG_DONTWAIT), -EAGAIN);
    CHECK_EQ(sinew_recv(s[0], buf, sizeof buf, MSG_PEEK | MSG_DONTWAIT), -EAGAIN);
    CHECK_EQ(sinew_recv(s[0], buf, sizeof buf, MSG_WAITALL | MSG_DONTWAIT), -EAGAIN);
    close(s[0]);
    close(s[1]);
    return 0;
}

ON_EACH_DRIVER(large_sends_are_short_unless_all_is_to_be_waited_for)
{
    size_t bytes = (size_t)2 << 20;
    int kept = 100000; /* by the kernel, on either side */
    char *data = calloc(1, bytes), *sink = malloc(bytes);
    int s[2];
    if (!CHECK(make_tcp(s)))
        return 1;
    CHECK_EQ(setsockopt(s[1], SOL_SOCKET, SO_SNDBUF, &kept, sizeof kept), 0);
    CHECK_EQ(setsockopt(s[0], SOL_SOCKET, SO_RCVBUF, &kept, sizeof kept), 0);
    ssize_t n = sinew_send(s[1], data, bytes, 0);
    CHECK(n > 0 && (size_t)n < bytes);
    CHECK_EQ(sinew_recv(s[0], sink, (size_t)n, MSG_WAITALL), n);
    struct bulk b = {s[1], MSG_WAITALL, bytes, data};
    sinew_task *t = sinew_spawn(send_bulk, &b);
    let_others_run();
    CHECK(!sinew_done(t));
    size_t got = 0;
    while (got < bytes) {
        n = sinew_recv(s[0], sink, bytes - got < 100000 ? bytes - got : 100000, 0);
        if (!CHECK(n > 0))
            break;
        got += (size_t)n;
    }
    CHECK_EQ(sinew_await(t), (intptr_t)bytes);
    /* What a cancelled one has sent is told, and arrives. */
    t = sinew_spawn(send_bulk, &b);
    let_others_run();
    sinew_cancel(t);
    intptr_t sent = sinew_await(t);
    CHECK(sent == -ECANCELED || (sent > 0 && (size_t)sent < bytes));
    close(s[0]);
    close(s[1]);
    free(data);
    free(sink);
    return 0;
}

/* --- readiness that does not help -------------------------------------------------------------------------------- */

/* An error in a socket's error queue keeps it "ready" while there is nothing to receive. */
ON_EACH_DRIVER(an_error_that_nobody_collects_makes_no_driver_run_round)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}, peer = own;
    socklen_t length = sizeof own;
    int on = 1, fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0),
        other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(bind(fd, (struct sockaddr *)&own, sizeof own), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&own, &length), 0);
    CHECK_EQ(bind(other, (struct sockaddr *)&peer, sizeof peer), 0);
    length = sizeof peer;
    CHECK_EQ(getsockname(other, (struct sockaddr *)&peer, &length), 0);
    close(other);
    CHECK_EQ(setsockopt(fd, SOL_IP, IP_RECVERR, &on, sizeof on), 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&peer, sizeof peer), 0);
    CHECK_EQ(sinew_send(fd, "x", 1, 0), 1);
    char byte;
    CHECK_EQ(sinew_recv(fd, &byte, 1, 0), -ECONNREFUSED);
    struct reader r = {.fd = fd, .bytes = 1};
    sinew_task *t = sinew_spawn(read_some, &r);
    let_others_run();
    CHECK(!sinew_done(t));
    CHECK(parks_during(SINEW_MS(50)) < 5 * PARKS_IN_QUIET);
    other = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (bind(other, (struct sockaddr *)&peer, sizeof peer) == 0) /* somebody else may have got the port */
        CHECK_EQ(sendto(other, "y", 1, 0, (struct sockaddr *)&own, sizeof own), 1);
    else
        sinew_cancel(t);
    intptr_t n = sinew_await(t);
    CHECK(n == 1 || n == -ECANCELED);
    close(other);
    close(fd);
    return 0;
}

/* --- fairness ---------------------------------------------------------------------------------------------------- */

struct busy {
    atomic_int stop;
    long times;
};

static intptr_t never_wait(void *arg)
{
    struct busy *b = arg;
    int fds[2];
    sinew_time end = sinew_now() + SINEW_S(10);
    char byte = 'b';
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    while (!atomic_load(&b->stop) && sinew_now() < end) {
        CHECK_EQ(sinew_write(fds[1], &byte, 1), 1);
        CHECK_EQ(sinew_read(fds[0], &byte, 1), 1);
        b->times++;
    }
    CHECK(atomic_load(&b->stop));
    close(fds[0]);
    close(fds[1]);
    return 0;
}

static intptr_t wait_in_turn(void *arg)
{
    (void)arg;
    int fds[2];
    char byte;
    CHECK_EQ(pipe2(fds, O_CLOEXEC), 0);
    for (int i = 0; i < 20; i++) {
        struct reader r = {.fd = fds[0], .bytes = 1};
        sinew_task *t = sinew_spawn(read_some, &r);
        CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
        CHECK_EQ(sinew_blocking(return_arg, (void *)1), 1);
        CHECK_EQ(write(fds[1], "x", 1), 1);
        CHECK_EQ(sinew_await(t), 1);
        CHECK_EQ(sinew_write(fds[1], "y", 1), 1);
        CHECK_EQ(sinew_read(fds[0], &byte, 1), 1);
    }
    close(fds[0]);
    close(fds[1]);
    return 0;
}

ON_EACH_DRIVER(tasks_whose_calls_never_wait_let_others_run)
{
    enum { BUSY = 10 };
    struct busy busy[BUSY];
    sinew_task *tasks[BUSY];
    for (int i = 0; i < BUSY; i++) {
        busy[i] = (struct busy){.times = 0};
        tasks[i] = sinew_spawn(never_wait, &busy[i]);
    }
    CHECK_EQ(wait_in_turn(NULL), 0);
    for (int i = 0; i < BUSY; i++)
        atomic_store(&busy[i].stop, 1);
    CHECK_EQ(sinew_gather(tasks, BUSY, NULL), 0);
    for (int i = 0; i < BUSY; i++)
        CHECK(busy[i].times > 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(numbers_of_closed_descriptors_may_be_used_again),
          cmocka_unit_test(a_reader_whose_descriptor_is_closed_takes_nothing_from_the_next_file),
          cmocka_unit_test(a_duplicate_that_lives_on_disturbs_nobody),
          cmocka_unit_test(readers_writers_and_pollers_share_a_socket),
          cmocka_unit_test(each_connection_goes_to_one_of_many_acceptors),
          cmocka_unit_test(reads_wait_on_every_sort_of_descriptor_and_leave_its_flags_alone),
          cmocka_unit_test(a_child_process_is_awaited_by_its_pidfd),
          cmocka_unit_test(connecting_leaves_the_sockets_flags_alone),
          cmocka_unit_test(files_are_read_and_written_whole),
          cmocka_unit_test(a_cancel_stays_pending_behind_the_close_of_a_file),
          cmocka_unit_test(what_another_process_steals_blocks_nobody),
          cmocka_unit_test(a_listener_that_another_process_accepts_from_blocks_nobody),
          cmocka_unit_test(waitall_receives_all_or_what_came_before_the_end_or_a_cancel),
          cmocka_unit_test(what_was_looked_at_is_still_there),
          cmocka_unit_test(large_sends_are_short_unless_all_is_to_be_waited_for),
          cmocka_unit_test(an_error_that_nobody_collects_makes_no_driver_run_round),
          cmocka_unit_test(tasks_whose_calls_never_wait_let_others_run))
