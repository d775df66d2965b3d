/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: listeners count what arrives and lose nothing to a cancel; who waits for a signal is no deadlock, and a handler
 * keeps no runtime alive; SIGINT, fork, several runtimes, and a signalfd of the program's own beside all this. The
 * rules of handlers are in conformance/signals.c. Method: signals raised at the process itself, in forked children
 * where an action would end it. Cannot see: signals that the kernel has merged.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/signalfd.h>

#include <tests/support/child.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

static void (*action_of(int signo))(int)
{
    struct sigaction now;
    sigaction(signo, NULL, &now);
    return now.sa_handler;
}

static const int two[] = {SIGUSR1, SIGUSR2};

static void expect_clean(int (*fn)(void *), void *arg, const char *name)
{
    child_end end;
    assert_true(run_child(fn, arg, &end));
    if (end.code != 0 || end.signal != 0)
        child_fail(name, &end);
}

static void expect_clean_for_each(int (*fn)(void *), const char *name)
{
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        expect_clean(fn, &workers, name);
    }
}

/* --- listeners -------------------------------------------------------------------------------------------------------
 */

static sinew_signals *listen_to(const int *signals, size_t count)
{
    sinew_signals *s = NULL;
    CHECK_EQ(sinew_signal_open(signals, count, &s), 0);
    return s;
}

IN_RUNTIME(a_listener_counts_what_arrives_between_two_looks)
{
    sinew_signals *s = listen_to(two, 2);
    for (int i = 0; i < 5; i++)
        raise(SIGUSR2);
    for (int i = 0; i < 3; i++)
        raise(SIGUSR1);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(sinew_signal_next(s), i < 3 ? SIGUSR1 : SIGUSR2); /* by the order given */
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(2));
    CHECK_EQ(sinew_signal_next(s), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    CHECK_EQ(sinew_signal_close(s), 0);
    CHECK(action_of(SIGUSR1) == SIG_DFL && action_of(SIGUSR2) == SIG_DFL);
    return 0;
}

static intptr_t next_of(void *s)
{
    return sinew_signal_next(s);
}

IN_RUNTIME(each_listener_hears_and_each_arrival_is_one_waiters)
{
    enum { WAITERS = 8 };
    sinew_signals *shared = listen_to(two, 2), *other = listen_to(two, 1), *late;
    sinew_task *waiters[WAITERS];
    intptr_t got[WAITERS];
    for (int i = 0; i < WAITERS; i++)
        waiters[i] = sinew_spawn(next_of, shared);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    for (int i = 0; i < WAITERS; i++)
        raise(SIGUSR1);
    CHECK_EQ(sinew_gather(waiters, WAITERS, got), 0);
    for (int i = 0; i < WAITERS; i++)
        CHECK_EQ(got[i], SIGUSR1);
    late = listen_to(two, 2);
    raise(SIGUSR1);
    CHECK_EQ(sinew_signal_next(late), SIGUSR1);
    CHECK_EQ(sinew_signal_next(shared), SIGUSR1);
    for (int i = 0; i < WAITERS + 1; i++)
        CHECK_EQ(sinew_signal_next(other), SIGUSR1);
    CHECK_EQ(sinew_signal_close(shared), 0);
    CHECK(action_of(SIGUSR1) != SIG_DFL);
    CHECK_EQ(sinew_signal_close(other), 0);
    CHECK_EQ(sinew_signal_close(late), 0);
    CHECK(action_of(SIGUSR1) == SIG_DFL);
    return 0;
}

/* A result that comes together with a cancel is not the task's, so the task counts. */
static atomic_int taken;

static intptr_t take_next(void *s)
{
    int r = sinew_signal_next(s);
    CHECK(r == SIGUSR1 || r == -ECANCELED);
    atomic_fetch_add(&taken, r == SIGUSR1);
    return r;
}

IN_RUNTIME(a_cancelled_wait_loses_nothing)
{
    sinew_signals *s = listen_to(two, 1);
    int raised = 0;
    atomic_store(&taken, 0);
    for (int i = 0; i < (int)scaled(300, 50); i++) {
        sinew_task *t = sinew_spawn(take_next, s);
        if (i % 3)
            sinew_yield();
        if (i % 2 == 0) {
            raise(SIGUSR1);
            raised++;
        }
        sinew_cancel(t);
        sinew_await(t);
    }
    for (int left = raised - atomic_load(&taken); left > 0; left--)
        CHECK_EQ(sinew_signal_next(s), SIGUSR1);
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(1));
    CHECK_EQ(sinew_signal_next(s), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    CHECK_EQ(sinew_signal_close(s), 0);
    return 0;
}

IN_RUNTIME(who_waits_is_told_when_it_is_closed)
{
    for (int i = 0; i < (int)scaled(50, 10); i++) {
        int descriptors = count_descriptors();
        sinew_signals *s = listen_to(two, 2);
        sinew_task *waiters[5];
        intptr_t got[5];
        for (int k = 0; k < 5; k++)
            waiters[k] = spawn_eager(next_of, s);
        raise(SIGUSR1);
        raise(SIGUSR2);
        if (i % 2)
            CHECK_EQ(sinew_sleep(SINEW_US(20) * i), 0);
        CHECK_EQ(sinew_signal_close(s), 0);
        sinew_gather_settled(waiters, 5, got);
        int refused = 0;
        for (int k = 0; k < 5; k++) {
            CHECK(got[k] == -EPIPE || got[k] == SIGUSR1 || got[k] == SIGUSR2);
            refused += got[k] == -EPIPE;
        }
        CHECK(refused >= 3);
        CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(count_descriptors(), descriptors);
    }
    return 0;
}

static intptr_t wait_for_two(void *arg)
{
    (void)arg;
    return sinew_signal_wait(two, 2);
}

IN_RUNTIME(the_short_form_listens_until_the_first)
{
    sinew_task *t = spawn_eager(wait_for_two, NULL);
    CHECK(action_of(SIGUSR2) != SIG_DFL);
    raise(SIGUSR2);
    CHECK_EQ(sinew_await(t), SIGUSR2);
    CHECK(action_of(SIGUSR2) == SIG_DFL);
    t = spawn_eager(wait_for_two, NULL);
    sinew_cancel(t);
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK(action_of(SIGUSR1) == SIG_DFL);
    return 0;
}

/* Signals from another thread, while tasks begin and end to listen: the handler walks lists that change. */
static atomic_int storm_over;

static void *raise_all_the_time(void *arg)
{
    (void)arg;
    while (!atomic_load(&storm_over)) {
        kill(getpid(), SIGUSR1);
        kill(getpid(), SIGUSR2);
    }
    return NULL;
}

static intptr_t listen_again_and_again(void *arg)
{
    for (int i = 0; i < (int)scaled(100, 20); i++) {
        sinew_signals *s = listen_to(two + i % 2, 1);
        CHECK_EQ(sinew_signal_next(s), two[i % 2]);
        CHECK_EQ(sinew_signal_close(s), 0);
    }
    return (intptr_t)arg;
}

IN_RUNTIME(listeners_come_and_go_while_signals_arrive)
{
    pthread_t thread;
    atomic_store(&storm_over, 0);
    for (int i = 0; i < 2; i++)
        signal(two[i], SIG_IGN); /* for the moments in which nobody listens */
    CHECK_EQ(pthread_create(&thread, NULL, raise_all_the_time, NULL), 0);
    CHECK_EQ(sinew_map(listen_again_and_again, NULL, 0, 6, NULL), 0);
    atomic_store(&storm_over, 1);
    pthread_join(thread, NULL);
    for (int i = 0; i < 2; i++)
        signal(two[i], SIG_DFL);
    return 0;
}

IN_RUNTIME(wrong_arguments_are_refused)
{
    sinew_signals *s = (void *)1;
    const int wrong[] = {SIGUSR1, SIGKILL}, fault = SIGSEGV, kick = SIGURG, none = 0, doubled[] = {SIGUSR1, SIGUSR1};
    int descriptors = count_descriptors();
    CHECK_EQ(sinew_signal_open(two, 2, NULL), -EINVAL);
    CHECK_EQ(sinew_signal_open(NULL, 1, &s), -EINVAL);
    CHECK(s == NULL);
    CHECK_EQ(sinew_signal_open(two, 0, &s), -EINVAL);
    CHECK_EQ(sinew_signal_open(wrong, 2, &s), -EINVAL);
    CHECK_EQ(sinew_signal_open(&fault, 1, &s), -EINVAL);
    CHECK_EQ(sinew_signal_open(&kick, 1, &s), -EINVAL); /* or nobody could help a worker that computes */
    CHECK_EQ(sinew_signal_open(&none, 1, &s), -EINVAL);
    CHECK(action_of(SIGUSR1) == SIG_DFL);
    CHECK_EQ(sinew_signal_next(NULL), -EINVAL);
    CHECK_EQ(sinew_signal_close(NULL), -EINVAL);
    CHECK_EQ(sinew_signal_wait(wrong, 2), -EINVAL);
    CHECK_EQ(sinew_signal_handle(SIGUSR1, NULL, NULL), -EINVAL);
    CHECK_EQ(sinew_signal_remove(0), -EINVAL);
    CHECK_EQ(count_descriptors(), descriptors);
    s = listen_to(doubled, 2); /* is once */
    raise(SIGUSR1);
    CHECK_EQ(sinew_signal_next(s), SIGUSR1);
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(1));
    CHECK_EQ(sinew_signal_next(s), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    CHECK_EQ(sinew_signal_close(s), 0);
    return 0;
}

static intptr_t ignore(int signo, void *arg)
{
    (void)signo;
    (void)arg;
    return 0;
}

static void outside_of_a_task_only_listening_is_possible(void **state)
{
    (void)state;
    sinew_signals *s;
    assert_int_equal(sinew_signal_handle(SIGUSR1, ignore, NULL), -EPERM);
    assert_int_equal(sinew_signal_remove(SIGUSR1), -EPERM);
    assert_int_equal(sinew_signal_wait(two, 2), -EPERM);
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        assert_int_equal(sinew_signal_open(two, 2, &s), 0);
        assert_int_equal(sinew_signal_next(s), -EPERM);
        raise(SIGUSR1);
        assert_int_equal(run_workers(worker_counts[i], next_of, s), SIGUSR1);
        raise(SIGUSR2); /* between two runtimes */
        assert_int_equal(run_workers(worker_counts[i], next_of, s), SIGUSR2);
        assert_int_equal(sinew_signal_close(s), 0);
    }
}

/* --- life and death of the runtime
 * ------------------------------------------------------------------------------------ */

static int ready[2]; /* a pipe by which the child says that it waits */

static intptr_t wait_after_telling(void *arg)
{
    (void)arg;
    sinew_signals *s = listen_to(two, 2);
    CHECK_EQ(write(ready[1], "r", 1), 1);
    int r = sinew_signal_next(s);
    CHECK_EQ(sinew_signal_close(s), 0);
    return r;
}

static int run_that_only_waits(void *arg)
{
    CHECK_EQ(run_workers(*(unsigned *)arg, wait_after_telling, NULL), SIGUSR1);
    return 0;
}

static void send_later(pid_t pid, void *arg)
{
    (void)arg;
    char c;
    if (read(ready[0], &c, 1) == 1) {
        usleep(100000); /* many times as long as a standstill must last to be reported */
        kill(pid, SIGUSR1);
    }
}

static void to_wait_for_a_signal_is_no_deadlock(void **state)
{
    (void)state;
    assert_int_equal(pipe(ready), 0);
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child_with(run_that_only_waits, &workers, 60, send_later, NULL, &end));
        if (end.code != 0 || end.err[0])
            child_fail(__func__, &end);
    }
    close(ready[0]);
    close(ready[1]);
}

static intptr_t add_and_leave(void *arg)
{
    CHECK_EQ(sinew_signal_handle(SIGUSR1, ignore, NULL), 0);
    CHECK_EQ(sinew_signal_handle(SIGTERM, ignore, NULL), 0);
    return (intptr_t)arg;
}

static void handlers_keep_no_runtime_alive_and_end_with_it(void **state)
{
    (void)state;
    int failures = atomic_load(&check_failures), descriptors = count_descriptors();
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        watchdog_begin(__func__, worker_counts[i], 50);
        for (int k = 0; k < 20; k++)
            assert_int_equal(run_workers(worker_counts[i], add_and_leave, (void *)5), 5);
        watchdog_end();
        assert_true(action_of(SIGUSR1) == SIG_DFL && action_of(SIGTERM) == SIG_DFL);
    }
    assert_int_equal(count_descriptors(), descriptors);
    assert_int_equal(atomic_load(&check_failures), failures);
}

static atomic_int handler_begun, handler_cancelled;

static intptr_t hang(int signo, void *arg)
{
    (void)signo;
    atomic_fetch_add(&handler_begun, 1);
    if (sinew_sleep(VERY_LONG) == -ECANCELED)
        atomic_fetch_add(&handler_cancelled, 1);
    return (intptr_t)arg; /* answers the cancel */
}

static intptr_t leave_a_run_behind(void *arg)
{
    CHECK_EQ(sinew_signal_handle(SIGUSR1, hang, NULL), 0);
    raise(SIGUSR1);
    yield_until(&handler_begun, 1);
    return (intptr_t)arg;
}

static void a_run_under_way_is_cancelled_when_main_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        atomic_store(&handler_begun, 0);
        atomic_store(&handler_cancelled, 0);
        watchdog_begin(__func__, worker_counts[i], 50);
        assert_int_equal(run_workers(worker_counts[i], leave_a_run_behind, (void *)6), 6);
        watchdog_end();
        assert_int_equal(atomic_load(&handler_cancelled), 1);
    }
}

static atomic_int reports;

static void note_report(const sinew_error_report *report, void *arg)
{
    CHECK_EQ(report->error, -EIO);
    CHECK(strcmp(report->what, "a signal handler failed") == 0);
    CHECK(strcmp(report->name, "signal 10") == 0);
    atomic_fetch_add((atomic_int *)arg, 1);
}

static const sinew_local key;

static intptr_t fail_with_value(int signo, void *arg)
{
    (void)signo;
    CHECK(sinew_local_get(&key) == arg);
    return -EIO;
}

IN_RUNTIME(a_handler_sees_its_adders_values_and_its_error_is_reported)
{
    int a, b;
    atomic_store(&reports, 0);
    CHECK_EQ(sinew_set_error_handler(note_report, &reports), 0);
    CHECK_EQ(sinew_local_set(&key, &a), 0);
    CHECK_EQ(sinew_signal_handle(SIGUSR1, fail_with_value, &a), 0);
    CHECK_EQ(sinew_local_set(&key, &b), 0);
    raise(SIGUSR1);
    yield_until(&reports, 1);
    CHECK_EQ(sinew_signal_handle(SIGUSR1, fail_with_value, &b), 0);
    CHECK_EQ(sinew_local_set(&key, NULL), 0);
    raise(SIGUSR1);
    yield_until(&reports, 2);
    CHECK_EQ(sinew_signal_remove(SIGUSR1), 1);
    return 0;
}

static intptr_t remove_itself(int signo, void *arg)
{
    CHECK_EQ(sinew_signal_remove(signo), 1);
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

IN_RUNTIME(a_handler_may_remove_itself)
{
    atomic_int runs = 0;
    CHECK_EQ(sinew_signal_handle(SIGUSR1, remove_itself, &runs), 0);
    raise(SIGUSR1);
    yield_until(&runs, 1);
    CHECK(action_of(SIGUSR1) == SIG_DFL);
    CHECK_EQ(sinew_signal_remove(SIGUSR1), 0);
    return 0;
}

/* --- SIGINT
 * ----------------------------------------------------------------------------------------------------------- */

static intptr_t count_interrupt(int signo, void *arg)
{
    CHECK_EQ(signo, SIGINT);
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static intptr_t take_sigint_and_give_it_back(void *arg)
{
    atomic_int runs = 0;
    (void)arg;
    CHECK_EQ(sinew_signal_handle(SIGINT, count_interrupt, &runs), 0);
    for (int i = 1; i <= 3; i++) {
        raise(SIGINT);
        yield_until(&runs, i);
    }
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_signal_remove(SIGINT), 1);
    raise(SIGINT);
    return sinew_sleep(VERY_LONG);
}

static intptr_t be_interrupted(void *arg)
{
    (void)arg;
    raise(SIGINT);
    return sinew_sleep(VERY_LONG);
}

static int sigint_taken_and_given_back(void *arg)
{
    unsigned workers = *(unsigned *)arg;
    for (int i = 0; i < 2; i++) {
        CHECK_EQ(run_workers(workers, take_sigint_and_give_it_back, NULL), -EINTR);
        CHECK(action_of(SIGINT) == SIG_DFL);
        CHECK_EQ(run_workers(workers, be_interrupted, NULL), -EINTR);
    }
    return 0;
}

static void a_handler_takes_the_place_of_the_runs_own_sigint(void **state)
{
    (void)state;
    expect_clean_for_each(sigint_taken_and_given_back, __func__);
}

static sinew_signals *kept;

static intptr_t listen_and_leave(void *arg)
{
    static const int interrupt = SIGINT;
    (void)arg;
    kept = listen_to(&interrupt, 1);
    return 4;
}

static int listener_outlives_the_run(void *arg)
{
    unsigned workers = *(unsigned *)arg;
    CHECK_EQ(run_workers(workers, listen_and_leave, NULL), 4);
    raise(SIGINT); /* is heard: the end of the run leaves the action alone */
    CHECK_EQ(run_workers(workers, next_of, kept), SIGINT);
    CHECK_EQ(sinew_signal_close(kept), 0);
    CHECK(action_of(SIGINT) == SIG_DFL); /* and not that of the run which is over */
    CHECK_EQ(run_workers(workers, be_interrupted, NULL), -EINTR);
    return 0;
}

static void a_listener_to_sigint_outlives_the_run(void **state)
{
    (void)state;
    expect_clean_for_each(listener_outlives_the_run, __func__);
}

/* --- fork, several runtimes, signalfd
 * ---------------------------------------------------------------------------------- */

static intptr_t wait_for_child(void *pid)
{
    int status = 0;
    while (waitpid(*(pid_t *)pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int descriptors_before;

static void look_in_the_child(sinew_signals *s)
{
    CHECK(action_of(SIGUSR1) == SIG_DFL);
    CHECK(action_of(SIGUSR2) == SIG_IGN);
    CHECK(action_of(SIGINT) == SIG_DFL);
    sigset_t mask;
    pthread_sigmask(SIG_SETMASK, NULL, &mask);
    CHECK(!sigismember(&mask, SIGUSR1));
    raise(SIGUSR2);
    CHECK_EQ(count_descriptors(), descriptors_before);
    CHECK_EQ(sinew_signal_close(s), 0);
    CHECK_EQ(count_descriptors(), descriptors_before);
}

static intptr_t listen_in_child(void *arg)
{
    sinew_signals *s = listen_to(two, 2);
    raise(SIGUSR2);
    CHECK_EQ(sinew_signal_next(s), SIGUSR2);
    CHECK_EQ(sinew_signal_close(s), 0);
    CHECK_EQ(sinew_signal_handle(SIGUSR1, ignore, NULL), 0);
    CHECK_EQ(sinew_signal_remove(SIGUSR1), 1);
    return (intptr_t)arg;
}

static intptr_t fork_beside_listeners(void *arg)
{
    static const int three[] = {SIGUSR1, SIGUSR2, SIGINT};
    atomic_int runs = 0;
    (void)arg;
    sinew_signals *s = listen_to(three, 3);
    CHECK_EQ(sinew_signal_handle(SIGUSR1, count_interrupt, &runs), 0);
    pid_t pid = fork();
    if (pid == 0) {
        atomic_store(&check_failures, 0);
        look_in_the_child(s);
        if (!SN_TSAN) /* it delivers no signal to handlers of a forked child */
            CHECK_EQ(run_workers(1, listen_in_child, (void *)3), 3);
        raise(atomic_load(&check_failures) ? SIGABRT : SIGUSR1);
        _exit(1);
    }
    CHECK_EQ(sinew_blocking_wait(wait_for_child, &pid), -SIGUSR1);
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(2));
    CHECK_EQ(sinew_signal_next(s), -ETIMEDOUT); /* the child's signals were its own */
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&runs), 0);
    raise(SIGUSR2);
    CHECK_EQ(sinew_signal_next(s), SIGUSR2);
    CHECK_EQ(sinew_signal_close(s), 0);
    CHECK_EQ(sinew_signal_remove(SIGUSR1), 1);
    return 0;
}

static void a235_a_forked_child_has_the_former_actions_and_no_listeners(void **state)
{
    (void)state;
    descriptors_before = count_descriptors();
    signal(SIGUSR2, SIG_IGN);
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        run_body(__func__, worker_counts[i], fork_beside_listeners, NULL);
    signal(SIGUSR2, SIG_DFL);
}

static intptr_t count_run(int signo, void *arg)
{
    (void)signo;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

static intptr_t add_counting(void *arg)
{
    return sinew_signal_handle(SIGUSR1, ignore, NULL) != 0 ? -1 : sinew_signal_handle(SIGUSR1, count_run, arg);
}

static void each_runtime_has_handlers_of_its_own(void **state)
{
    (void)state;
    sinew_runtime *a, *b;
    atomic_int runs_a = 0, runs_b = 0;
    assert_int_equal(sinew_runtime_start(NULL, &a), 0);
    assert_int_equal(sinew_runtime_start(NULL, &b), 0);
    assert_int_equal(sinew_runtime_run(a, add_counting, &runs_a), 0);
    assert_int_equal(sinew_runtime_run(b, add_counting, &runs_b), 0);
    for (int i = 1; i <= 5; i++) {
        raise(SIGUSR1);
        while (atomic_load(&runs_a) < i || atomic_load(&runs_b) < i)
            usleep(500);
    }
    assert_int_equal(sinew_runtime_stop(a), 0);
    assert_true(action_of(SIGUSR1) != SIG_DFL);
    raise(SIGUSR1);
    while (atomic_load(&runs_b) < 6)
        usleep(500);
    assert_int_equal(sinew_runtime_stop(b), 0);
    assert_true(action_of(SIGUSR1) == SIG_DFL);
    assert_int_equal(atomic_load(&runs_a), 5);
}

static intptr_t read_signalfd(void *arg)
{
    int fd = *(int *)arg;
    struct signalfd_siginfo info;
    for (int i = 0; i < 3; i++) {
        kill(getpid(), SIGUSR1);
        if (i == 1)
            CHECK_EQ(sinew_poll(fd, POLLIN), POLLIN);
        CHECK_EQ(sinew_read(fd, &info, sizeof info), sizeof info);
        CHECK_EQ(info.ssi_signo, SIGUSR1);
        CHECK_EQ(info.ssi_pid, getpid());
    }
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(2));
    CHECK_EQ(sinew_read(fd, &info, sizeof info), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    return 0;
}

/* Blocked before the runtime starts, so in its workers, too. */
static void a_signalfd_of_the_programs_own_works(void **state)
{
    (void)state;
    sigset_t set, before;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, &before);
    int fd = signalfd(-1, &set, SFD_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        run_body(__func__, worker_counts[i], read_signalfd, &fd);
    close(fd);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

TEST_MAIN(cmocka_unit_test(a_listener_counts_what_arrives_between_two_looks),
          cmocka_unit_test(each_listener_hears_and_each_arrival_is_one_waiters),
          cmocka_unit_test(a_cancelled_wait_loses_nothing), cmocka_unit_test(who_waits_is_told_when_it_is_closed),
          cmocka_unit_test(the_short_form_listens_until_the_first),
          cmocka_unit_test(listeners_come_and_go_while_signals_arrive), cmocka_unit_test(wrong_arguments_are_refused),
          cmocka_unit_test(outside_of_a_task_only_listening_is_possible),
          cmocka_unit_test(to_wait_for_a_signal_is_no_deadlock),
          cmocka_unit_test(handlers_keep_no_runtime_alive_and_end_with_it),
          cmocka_unit_test(a_run_under_way_is_cancelled_when_main_ends),
          cmocka_unit_test(a_handler_sees_its_adders_values_and_its_error_is_reported),
          cmocka_unit_test(a_handler_may_remove_itself),
          cmocka_unit_test(a_handler_takes_the_place_of_the_runs_own_sigint),
          cmocka_unit_test(a_listener_to_sigint_outlives_the_run),
          cmocka_unit_test(a235_a_forked_child_has_the_former_actions_and_no_listeners),
          cmocka_unit_test(each_runtime_has_handlers_of_its_own),
          cmocka_unit_test(a_signalfd_of_the_programs_own_works))
