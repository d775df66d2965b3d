/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: where io_uring is forbidden or missing, runs use epoll and say nothing about it; where io_uring is demanded,
 * they are refused with -ENOSYS and one sentence that says what to do. All workers use the same driver. Method: a
 * forked child installs a seccomp filter that answers io_uring_setup with an error, as containers and old kernels do,
 * and tries to run; a filter that asks another thread lets some rings be opened and not the others.
 * Cannot see: kernels that have io_uring but lack an operation.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <tests/support/child.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#else
#error "which architecture is this for seccomp?"
#endif

/* Meets system call `number` with `action`; all others pass. -1: refused; otherwise what seccomp(2) returns. */
static int filter_call(unsigned number, unsigned action, unsigned flags)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, action),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof filter[0], .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -1;
    return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static bool forbid(unsigned code)
{
    return filter_call(SYS_io_uring_setup, SECCOMP_RET_ERRNO | (code & SECCOMP_RET_DATA), 0) == 0;
}

enum { NO_FILTER = 7 };

struct refusal {
    unsigned code;
    sinew_driver driver;     /* in the options */
    const char *environment; /* SINEW_DRIVER, or NULL */
};

static void set_environment(const char *value)
{
    if (value)
        setenv("SINEW_DRIVER", value, 1);
    else
        unsetenv("SINEW_DRIVER");
}

/* Waits for a timer, for another thread and for a descriptor, and says how many workers and which driver there are. */
static intptr_t work(void *arg)
{
    int fds[2];
    char byte = 0;
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    CHECK_EQ(sinew_blocking(return_arg, (void *)4), 4);
    CHECK_EQ(pipe(fds), 0);
    CHECK_EQ(sinew_write(fds[1], "x", 1), 1);
    CHECK_EQ(sinew_read(fds[0], &byte, 1), 1);
    CHECK_EQ(byte, 'x');
    CHECK_EQ(sinew_close(fds[0]), 0);
    CHECK_EQ(sinew_close(fds[1]), 0);
    CHECK_EQ(strcmp(sinew_driver_name(), arg), 0);
    return (intptr_t)sinew_workers();
}

static intptr_t run_with_driver(unsigned workers, sinew_driver driver, const char *expected)
{
    sinew_options opt = {.workers = workers, .driver = driver};
    return sinew_run_with(&opt, work, (void *)(uintptr_t)expected);
}

static int run_without_uring(void *arg)
{
    const struct refusal *r = arg;
    int descriptors = count_descriptors(), threads = count_threads_before();
    if (!forbid(r->code))
        return NO_FILTER;
    set_environment(r->environment);
    bool demanded = r->driver == SINEW_DRIVER_IO_URING || r->environment;
    int expected = r->code == ENOMEM ? -ENOMEM : -ENOSYS;
    CHECK_EQ(run_with_driver(2, r->driver, "epoll"), demanded ? expected : 2);
    CHECK_EQ(run_with_driver(1, r->driver, "epoll"), demanded ? expected : 1);
    CHECK_EQ(count_descriptors(), descriptors);
    CHECK_EQ(count_threads_settled(threads), threads);
    return 0;
}

/* False: seccomp filters are refused. */
static bool run_refused(struct refusal r, child_end *end)
{
    assert_true(run_child(run_without_uring, &r, end));
    if (end->code == NO_FILTER)
        print_message("seccomp filters are refused here (valgrind, or no permission): not tested\n");
    return end->code != NO_FILTER;
}

static const unsigned refusals[] = {EPERM, ENOSYS, EACCES, EINVAL, ENOMEM};
#define REFUSALS (sizeof refusals / sizeof refusals[0])

static bool is_quiet(const child_end *end)
{
    return !strstr(end->err, "sinew:");
}

static void without_io_uring_runs_use_epoll_and_say_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < REFUSALS; i++) {
        child_end end;
        if (!run_refused((struct refusal){refusals[i], SINEW_DRIVER_DEFAULT, NULL}, &end))
            skip();
        if (end.code != 0 || !is_quiet(&end))
            child_fail("a quiet fallback", &end);
    }
}

static void expect_sentence(struct refusal r)
{
    child_end end;
    if (!run_refused(r, &end))
        skip();
    if (end.code != 0 || !strstr(end.err, "io_uring is"))
        child_fail("a refusal and a sentence about io_uring", &end);
}

static void io_uring_that_is_demanded_and_forbidden_gives_enosys_and_a_sentence(void **state)
{
    (void)state;
    for (size_t i = 0; i < REFUSALS; i++) {
        expect_sentence((struct refusal){refusals[i], SINEW_DRIVER_IO_URING, NULL});
        expect_sentence((struct refusal){refusals[i], SINEW_DRIVER_IO_URING, "epoll"});
        expect_sentence((struct refusal){refusals[i], SINEW_DRIVER_DEFAULT, "io_uring"});
    }
}

/* Answers as many calls as were asked for with "go on", the others with EPERM. */
struct gate_keeper {
    int listener;
    unsigned pass;
};

static void *keep_gate(void *arg)
{
    struct gate_keeper *k = arg;
    for (unsigned i = 0;; i++) {
        struct seccomp_notif call;
        memset(&call, 0, sizeof call);
        if (ioctl(k->listener, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0)
            return NULL;
        struct seccomp_notif_resp answer = {.id = call.id};
        if (i < k->pass)
            answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        else
            answer.error = -EPERM;
        ioctl(k->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
}

struct partial {
    unsigned workers, pass;
};

static int run_with_some_rings(void *arg)
{
    const struct partial *p = arg;
    pthread_t thread;
    struct gate_keeper k = {.pass = p->pass};
    set_environment(NULL);
    k.listener = filter_call(SYS_io_uring_setup, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
    if (k.listener < 0)
        return NO_FILTER;
    CHECK_EQ(pthread_create(&thread, NULL, keep_gate, &k), 0);
    int descriptors = count_descriptors(), threads = count_threads();
    CHECK_EQ(run_with_driver(p->workers, SINEW_DRIVER_DEFAULT, "epoll"), p->workers);
    CHECK_EQ(count_descriptors(), descriptors);
    CHECK_EQ(count_threads_settled(threads), threads);
    return 0;
}

static void a_ring_refused_to_one_worker_makes_all_use_epoll(void **state)
{
    (void)state;
    if (!workers_possible(4))
        skip();
    /* The first ring of a process is preceded by one that only asks for operations. */
    for (unsigned pass = 0; pass <= 4; pass++) {
        struct partial p = {4, pass};
        child_end end;
        assert_true(run_child(run_with_some_rings, &p, &end));
        if (end.code == NO_FILTER) {
            print_message("seccomp's notifications are refused here: not tested\n");
            skip();
        }
        if (end.code != 0 || !is_quiet(&end))
            child_fail("all workers use epoll", &end);
    }
}

static int run_with_epoll(void *arg)
{
    const struct refusal *r = arg;
    set_environment(r->environment);
    CHECK_EQ(run_with_driver(2, r->driver, "epoll"), 2);
    return 0;
}

static void epoll_is_used_where_it_is_asked_for(void **state)
{
    (void)state;
    struct refusal ways[] = {
        {0, SINEW_DRIVER_EPOLL, NULL}, {0, SINEW_DRIVER_EPOLL, "io_uring"}, {0, SINEW_DRIVER_DEFAULT, "epoll"}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        child_end end;
        assert_true(run_child(run_with_epoll, &ways[i], &end));
        if (end.code != 0 || !is_quiet(&end))
            child_fail("epoll", &end);
    }
}

TEST_MAIN(cmocka_unit_test(without_io_uring_runs_use_epoll_and_say_nothing),
          cmocka_unit_test(io_uring_that_is_demanded_and_forbidden_gives_enosys_and_a_sentence),
          cmocka_unit_test(a_ring_refused_to_one_worker_makes_all_use_epoll),
          cmocka_unit_test(epoll_is_used_where_it_is_asked_for))
