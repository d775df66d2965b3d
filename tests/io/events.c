/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: poll waits for descriptors of every kind, and reads of them give what their kind says; standard input and
 * output work as pipes, terminals and files. Method: one of each kind, waited for by a task and made ready by a plain
 * call; a pseudo-terminal for the terminal; children whose standard descriptors are replaced. Cannot see: devices.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <termios.h>

#include <tests/support/child.h>
#include <tests/support/files.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

static intptr_t poll_in(void *arg)
{
    return sinew_poll(*(int *)arg, POLLIN);
}

/* A task that waits for POLLIN, and has begun to. */
static sinew_task *wait_for(int *fd)
{
    sinew_task *t = sinew_spawn(poll_in, fd);
    for (int i = 0; i < 20; i++)
        sinew_yield();
    CHECK(!sinew_done(t));
    return t;
}

IN_RUNTIME(an_eventfd_is_waited_for)
{
    int fd = eventfd(0, EFD_CLOEXEC);
    uint64_t value = 3;
    sinew_task *t = wait_for(&fd);
    CHECK_EQ(write(fd, &value, sizeof value), sizeof value);
    CHECK_EQ(sinew_await(t), POLLIN);
    value = 4;
    CHECK_EQ(sinew_write(fd, &value, sizeof value), sizeof value);
    CHECK_EQ(sinew_read(fd, &value, sizeof value), sizeof value);
    CHECK_EQ(value, 7);
    CHECK_EQ(sinew_poll(fd, POLLOUT), POLLOUT);
    close(fd);
    return 0;
}

IN_RUNTIME(a_timerfd_is_waited_for)
{
    int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    uint64_t times = 0;
    struct itimerspec soon = {.it_value.tv_nsec = 1000000};
    sinew_task *t = wait_for(&fd);
    CHECK_EQ(timerfd_settime(fd, 0, &soon, NULL), 0);
    CHECK_EQ(sinew_await(t), POLLIN);
    CHECK_EQ(sinew_read(fd, &times, sizeof times), sizeof times);
    CHECK_EQ(times, 1);
    CHECK_EQ(timerfd_settime(fd, 0, &soon, NULL), 0);
    CHECK_EQ(sinew_read(fd, &times, sizeof times), sizeof times);
    close(fd);
    return 0;
}

IN_RUNTIME(inotify_tells_of_a_new_file)
{
    char directory[TEMPORARY_PATH], path[TEMPORARY_PATH + 4];
    CHECK(temporary_directory(directory));
    snprintf(path, sizeof path, "%s/new", directory);
    int fd = inotify_init1(IN_CLOEXEC);
    CHECK(inotify_add_watch(fd, directory, IN_CREATE) >= 0);
    sinew_task *t = wait_for(&fd);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    CHECK_EQ(sinew_await(t), POLLIN);
    _Alignas(struct inotify_event) char buf[1000];
    CHECK(sinew_read(fd, buf, sizeof buf) >= (ssize_t)sizeof(struct inotify_event));
    CHECK_EQ(strcmp(((struct inotify_event *)(void *)buf)->name, "new"), 0);
    unlink(path);
    rmdir(directory);
    close(fd);
    return 0;
}

/* For the whole process: a signal must find it blocked in every thread. */
static intptr_t wait_for_signal(void *arg)
{
    int fd = *(int *)arg;
    struct signalfd_siginfo info;
    sinew_task *t = wait_for(&fd);
    CHECK_EQ(kill(getpid(), SIGUSR2), 0);
    CHECK_EQ(sinew_await(t), POLLIN);
    CHECK_EQ(sinew_read(fd, &info, sizeof info), sizeof info);
    CHECK_EQ(info.ssi_signo, SIGUSR2);
    return 0;
}

static void a_signalfd_is_waited_for(void **state)
{
    (void)state;
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        run_body(__func__, worker_counts[i], wait_for_signal, &fd);
    close(fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

IN_RUNTIME(a_pidfd_is_ready_when_its_process_ends)
{
    int hold[2];
    CHECK_EQ(pipe2(hold, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        char c;
        close(hold[1]);
        _exit(read(hold[0], &c, 1) == 0 ? 7 : 8);
    }
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    CHECK(fd >= 0);
    sinew_task *t = wait_for(&fd);
    close(hold[0]);
    close(hold[1]);
    CHECK_EQ(sinew_await(t), POLLIN);
    int status = 0;
    CHECK_EQ(waitpid(pid, &status, WNOHANG), pid);
    CHECK_EQ(WEXITSTATUS(status), 7);
    close(fd);
    return 0;
}

IN_RUNTIME(an_epoll_descriptor_is_waited_for)
{
    int fd = epoll_create1(EPOLL_CLOEXEC), p[2];
    CHECK_EQ(pipe(p), 0);
    struct epoll_event event = {.events = EPOLLIN};
    CHECK_EQ(epoll_ctl(fd, EPOLL_CTL_ADD, p[0], &event), 0);
    sinew_task *t = wait_for(&fd);
    CHECK_EQ(write(p[1], "x", 1), 1);
    CHECK_EQ(sinew_await(t), POLLIN);
    close(fd);
    close(p[0]);
    close(p[1]);
    return 0;
}

IN_RUNTIME(ends_and_errors_wake_whatever_was_asked_for)
{
    int p[2], s[2];
    CHECK_EQ(pipe(p), 0);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
    sinew_task *t = wait_for(&p[0]);
    close(p[1]);
    CHECK_EQ(sinew_await(t), POLLHUP);
    CHECK_EQ(sinew_poll(p[0], 0), POLLHUP);
    t = wait_for(&s[0]);
    close(s[1]);
    CHECK_EQ(sinew_await(t), POLLIN | POLLHUP);
    CHECK_EQ(sinew_poll(s[0], POLLRDHUP), POLLHUP | POLLRDHUP);
    close(p[0]);
    close(s[0]);
    /* What is always ready. */
    int file = open("/etc/passwd", O_RDONLY | O_CLOEXEC);
    CHECK_EQ(sinew_poll(file, POLLIN), POLLIN);
    close(file);
    return 0;
}

struct waiting {
    int fd;
    short events;
};

static intptr_t poll_for(void *arg)
{
    struct waiting *w = arg;
    return sinew_poll(w->fd, w->events);
}

/* The peer sends no more, which is no answer to whether there is room. */
IN_RUNTIME(a_half_closed_peer_is_reported_only_to_those_who_ask)
{
    for (int tcp = 0; tcp < 2; tcp++) {
        int s[2];
        struct sockaddr_in address;
        if (tcp) {
            int listener = loopback_listener(1, &address);
            s[0] = socket(AF_INET, SOCK_STREAM, 0);
            CHECK_EQ(connect(s[0], (struct sockaddr *)&address, sizeof address), 0);
            s[1] = accept(listener, NULL, NULL);
            close(listener);
        } else {
            CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, s), 0);
        }
        fill(s[0]);
        CHECK_EQ(shutdown(s[1], SHUT_WR), 0);
        CHECK_EQ(sinew_poll(s[0], POLLIN), POLLIN);
        CHECK_EQ(sinew_poll(s[0], POLLIN | POLLRDHUP), POLLIN | POLLRDHUP);
        for (int way = 0; way < 2; way++) {
            struct waiting w = {s[0], POLLOUT};
            sinew_task *t = sinew_spawn(poll_for, &w);
            for (int i = 0; i < 20; i++)
                sinew_yield();
            CHECK(!sinew_done(t));
            if (way == 0)
                CHECK(sinew_cancel(t));
            else
                drain(s[1]);
            CHECK_EQ(sinew_await(t), way == 0 ? -ECANCELED : POLLOUT);
        }
        close(s[0]);
        close(s[1]);
    }
    return 0;
}

/* --- standard input and output ------------------------------------------------------------------------------------ */

/* Copies standard input to standard output in capitals, until its end. */
static intptr_t shout(void *arg)
{
    char buf[64];
    ssize_t n;
    (void)arg;
    while ((n = sinew_read(STDIN_FILENO, buf, sizeof buf)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            buf[i] = (char)(buf[i] >= 'a' && buf[i] <= 'z' ? buf[i] - 32 : buf[i]);
        for (ssize_t at = 0, w; at < n; at += w)
            if ((w = sinew_write(STDOUT_FILENO, buf + at, (size_t)(n - at))) < 0)
                return w;
    }
    return n;
}

struct standard {
    int in, out;
    int not_ours[2]; /* the other ends, that a child must not hold open */
    unsigned workers;
};

static int run_shouting(void *arg)
{
    const struct standard *s = arg;
    dup2(s->in, STDIN_FILENO);
    dup2(s->out, STDOUT_FILENO);
    close(s->in);
    if (s->out != s->in)
        close(s->out);
    for (int i = 0; i < 2; i++)
        if (s->not_ours[i] >= 0)
            close(s->not_ours[i]);
    return run_workers(s->workers, shout, NULL) == 0 ? 0 : 1;
}

struct dialogue {
    int in, out; /* the other ends, and descriptors of the child's to close here first */
    int close_first[2];
    bool terminal, ok;
};

static bool read_text(int fd, const char *text)
{
    char got[64];
    size_t n = 0, length = strlen(text);
    while (n < length) {
        ssize_t r = read(fd, got + n, length - n);
        if (r <= 0)
            return false;
        n += (size_t)r;
    }
    return memcmp(got, text, length) == 0;
}

static void converse(pid_t pid, void *arg)
{
    struct dialogue *d = arg;
    (void)pid;
    for (int i = 0; i < 2; i++)
        if (d->close_first[i] >= 0)
            close(d->close_first[i]);
    /* A word at a time, each after the answer to the one before: so the reader has to wait. */
    d->ok = true;
    for (int i = 0; i < 5; i++)
        d->ok = d->ok && write(d->in, "hello\n", 6) == 6 && read_text(d->out, "HELLO\n");
    if (d->terminal)
        d->ok = d->ok && write(d->in, "\4", 1) == 1; /* end of file, by hand */
    else
        close(d->in);
}

static void check_dialogue(struct standard *s, struct dialogue *d, const char *name)
{
    child_end end;
    assert_true(run_child_with(run_shouting, s, 60, converse, d, &end));
    if (end.code != 0 || !d->ok)
        child_fail(name, &end);
}

static void standard_descriptors_may_be_pipes(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        int in[2], out[2];
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        struct standard s = {in[0], out[1], {in[1], out[0]}, worker_counts[i]};
        struct dialogue d = {.in = in[1], .out = out[0], .close_first = {in[0], out[1]}};
        check_dialogue(&s, &d, __func__);
        close(out[0]);
    }
}

static void standard_descriptors_may_be_a_terminal(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
        int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
        assert_true(slave >= 0);
        struct termios t;
        tcgetattr(slave, &t);
        t.c_lflag &= ~(tcflag_t)ECHO;
        t.c_oflag &= ~(tcflag_t)OPOST;
        tcsetattr(slave, TCSANOW, &t);
        struct standard s = {slave, slave, {-1, -1}, worker_counts[i]};
        struct dialogue d = {.in = master, .out = master, .close_first = {-1, -1}, .terminal = true};
        check_dialogue(&s, &d, __func__);
        close(slave);
        close(master);
    }
}

static void standard_descriptors_may_be_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        FILE *in = tmpfile(), *out = tmpfile();
        char got[16] = "";
        assert_true(in && out && fputs("from a file\n", in) >= 0 && fflush(in) == 0);
        rewind(in);
        struct standard s = {fileno(in), fileno(out), {-1, -1}, worker_counts[i]};
        child_end end;
        assert_true(run_child(run_shouting, &s, &end));
        if (end.code != 0)
            child_fail(__func__, &end);
        assert_int_equal(pread(fileno(out), got, sizeof got, 0), 12);
        assert_string_equal(got, "FROM A FILE\n");
        fclose(in);
        fclose(out);
    }
}

IN_RUNTIME(a_read_of_a_terminal_is_cancelled_and_loses_nothing)
{
    char buf[16];
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(2));
    CHECK_EQ(sinew_read(slave, buf, sizeof buf), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    CHECK_EQ(sinew_pread(slave, buf, sizeof buf, 0), -ESPIPE);
    CHECK_EQ(sinew_write(master, "line\n", 5), 5);
    CHECK_EQ(sinew_poll(slave, POLLIN), POLLIN);
    CHECK_EQ(sinew_read(slave, buf, sizeof buf), 5);
    CHECK_EQ(memcmp(buf, "line\n", 5), 0);
    close(slave);
    close(master);
    return 0;
}

TEST_MAIN(cmocka_unit_test(an_eventfd_is_waited_for), cmocka_unit_test(a_timerfd_is_waited_for),
          cmocka_unit_test(inotify_tells_of_a_new_file), cmocka_unit_test(a_signalfd_is_waited_for),
          cmocka_unit_test(a_pidfd_is_ready_when_its_process_ends), cmocka_unit_test(an_epoll_descriptor_is_waited_for),
          cmocka_unit_test(ends_and_errors_wake_whatever_was_asked_for),
          cmocka_unit_test(a_half_closed_peer_is_reported_only_to_those_who_ask),
          cmocka_unit_test(standard_descriptors_may_be_pipes), cmocka_unit_test(standard_descriptors_may_be_a_terminal),
          cmocka_unit_test(standard_descriptors_may_be_files),
          cmocka_unit_test(a_read_of_a_terminal_is_cancelled_and_loses_nothing))
