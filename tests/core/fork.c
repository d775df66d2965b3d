/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a process may fork while a runtime runs, in a task or in another thread. The child is outside of the runtime,
 * has nothing of its rings and its SIGINT handling, and may run a runtime of its own; the parent's tasks, timers and
 * I/O go on as if nothing had happened. Method: children that check and say with their exit code what they found; the
 * parent waits for them with sinew_blocking_wait while its own tasks go on. Cannot see: every moment at which another
 * thread may hold a lock during the fork; many forks beside busy workers try to hit some. Under ThreadSanitizer
 * children are not watched.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tests/support/child.h>
#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/sockets.h>
#include <tests/support/tasks.h>

/* The child runs fn(arg) and exits with what it returns. */
static pid_t fork_with(int (*fn)(void *), void *arg)
{
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    signal(SIGALRM, SIG_DFL); /* not the parent's watchdog */
    alarm((unsigned)scaled(30, 100));
    atomic_store(&check_failures, 0);
    int code = fn(arg);
    _exit(atomic_load(&check_failures) ? CHILD_CHECKS_FAILED : code);
}

/* Blocking. The exit code, or minus the signal. */
static intptr_t wait_for_child(void *pid)
{
    int status;
    while (waitpid(*(pid_t *)pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1000;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int code_of(pid_t pid)
{
    CHECK(pid > 0);
    return (int)sinew_blocking_wait(wait_for_child, &pid);
}

static int outside_of_the_runtime(void *arg)
{
    (void)arg;
    CHECK(sinew_self() == NULL);
    CHECK(sinew_spawn(return_arg, NULL) == NULL);
    CHECK_EQ(sinew_workers(), 0);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), -EPERM);
    CHECK_EQ(sinew_yield(), -EPERM);
    CHECK_EQ(sinew_blocking(return_arg, NULL), -EPERM);
    char c;
    CHECK_EQ(sinew_read(0, &c, 1), -EPERM);
    sinew_sem s;
    sinew_sem_init(&s, 1);
    CHECK_EQ(sinew_sem_wait(&s), -EPERM);
    return 7;
}

IN_RUNTIME(a235_a_child_of_a_task_is_outside_of_the_runtime)
{
    CHECK_EQ(code_of(fork_with(outside_of_the_runtime, NULL)), 7);
    CHECK(sinew_self() != NULL);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    return 0;
}

/* A little of everything. */
static intptr_t small_server(void *arg)
{
    char c;
    CHECK_EQ(sinew_read(((int *)arg)[0], &c, 1), 1);
    return c;
}

static intptr_t all_sorts_of_work(void *arg)
{
    int p[2];
    intptr_t results[50];
    CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
    CHECK_EQ(sinew_map(return_arg, arg, 0, 50, results), 0);
    if (!CHECK_EQ(pipe(p), 0))
        return 1;
    sinew_task *t = sinew_spawn(small_server, p);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    CHECK_EQ(sinew_write(p[1], "x", 1), 1);
    CHECK_EQ(sinew_await(t), 'x');
    CHECK_EQ(sinew_blocking(return_arg, (void *)4), 4);
    sinew_timeout limit;
    sinew_timeout_begin(&limit, SINEW_MS(2));
    CHECK_EQ(sinew_sleep(VERY_LONG), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&limit), -ETIMEDOUT);
    sinew_detach(sinew_spawn(sleep_very_long, NULL));
    CHECK(strncmp(sinew_name(sinew_self()), "Task-", 5) == 0);
    close(p[0]);
    close(p[1]);
    return 42;
}

static int runs_of_its_own(void *arg)
{
    unsigned workers = *(unsigned *)arg;
    CHECK_EQ(run_workers(workers, all_sorts_of_work, NULL), 42);
    CHECK_EQ(run_workers(1, all_sorts_of_work, NULL), 42);
    CHECK(sinew_self() == NULL);
    return 8;
}

IN_RUNTIME(a234_a_child_of_a_task_may_run_runtimes_of_its_own)
{
    for (unsigned workers = 1; workers <= 4; workers += 3) {
        CHECK_EQ(code_of(fork_with(runs_of_its_own, &workers)), 8);
        CHECK_EQ(all_sorts_of_work(NULL), 42);
    }
    return 0;
}

static int fork_in_a_runtime(void *arg);

static intptr_t fork_again(void *depth)
{
    int next = *(int *)depth - 1;
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    CHECK_EQ(code_of(fork_with(fork_in_a_runtime, &next)), 9);
    return all_sorts_of_work(NULL);
}

static int fork_in_a_runtime(void *arg)
{
    if (*(int *)arg > 0)
        CHECK_EQ(run_workers(2, fork_again, arg), 42);
    return 9;
}

IN_RUNTIME(children_may_fork_in_turn)
{
    int depth = 3;
    CHECK_EQ(code_of(fork_with(fork_in_a_runtime, &depth)), 9);
    return 0;
}

/* Beside workers that do what takes locks: names, stacks, timers, drivers of short runtimes. */
static atomic_int over;

static intptr_t make_names(void *arg)
{
    (void)arg;
    while (!atomic_load(&over)) {
        sinew_task *t = sinew_spawn(return_arg, (void *)1);
        CHECK(sinew_name(t) != NULL);
        CHECK_EQ(sinew_await(t), 1);
        CHECK_EQ(sinew_sleep(SINEW_US(20)), 0);
    }
    return 0;
}

static void *make_runtimes(void *arg)
{
    while (!atomic_load(&over))
        CHECK_EQ(run_workers(2, return_arg, (void *)3), 3);
    return arg;
}

static int one_small_run(void *arg)
{
    (void)arg;
    CHECK_EQ(run_workers(1, all_sorts_of_work, NULL), 42);
    return 10;
}

/* The sanitizers' allocators do not look after their locks at a fork: beside threads that allocate, a child must not.
 * (It would wait for ever in SizeClassAllocator64::GetFromAllocator, about once in a hundred.) */
static void *fork_many(void *arg)
{
    bool must_not = SN_ASAN || SN_TSAN;
    int times = (int)scaled(60, 8);
    if (must_not)
        fprintf(stderr, "note: under a sanitizer these children run no runtime\n");
    for (int i = 0; i < times; i++) {
        pid_t pid = fork_with(must_not ? outside_of_the_runtime : one_small_run, NULL);
        CHECK(pid > 0);
        CHECK_EQ(wait_for_child(&pid), must_not ? 7 : 10);
    }
    atomic_store(&over, 1);
    return arg;
}

IN_RUNTIME(a_plain_thread_may_fork_beside_a_busy_runtime)
{
    pthread_t forking, running;
    atomic_store(&over, 0);
    CHECK_EQ(pthread_create(&forking, NULL, fork_many, NULL), 0);
    CHECK_EQ(pthread_create(&running, NULL, make_runtimes, NULL), 0);
    sinew_task *tasks[4];
    for (int i = 0; i < 4; i++)
        tasks[i] = sinew_spawn(make_names, NULL);
    CHECK_EQ(sinew_gather(tasks, 4, NULL), 0);
    pthread_join(forking, NULL);
    pthread_join(running, NULL);
    return 0;
}

static intptr_t fork_and_wait(void *arg)
{
    pid_t pid = fork_with(one_small_run, arg);
    CHECK(pid > 0);
    return wait_for_child(&pid);
}

IN_RUNTIME(a_blocking_function_may_fork)
{
    CHECK_EQ(sinew_blocking(fork_and_wait, NULL), 10);
    CHECK_EQ(all_sorts_of_work(NULL), 42);
    return 0;
}

/* Reads and sleeps that are under way at the fork end as they should, whatever the child does. */
struct reader {
    int fds[2];
    atomic_int *ready;
};

static intptr_t read_a_byte(void *arg)
{
    struct reader *r = arg;
    char c = 0;
    atomic_fetch_add(r->ready, 1);
    CHECK_EQ(sinew_read(r->fds[0], &c, 1), 1);
    return c;
}

static int end_at_once_with_5(void *arg)
{
    (void)arg;
    return 5;
}

static int run_another_program(void *arg)
{
    (void)arg;
    execl("/bin/sh", "sh", "-c", "exit 5", (char *)NULL);
    return 6;
}

static int live_for_a_while(void *arg)
{
    (void)arg;
    usleep(50000);
    return 5;
}

static int run_and_end(void *arg)
{
    one_small_run(arg);
    return 5;
}

IN_RUNTIME(the_parents_operations_go_on)
{
    enum { READERS = 40 };
    static int (*const children[])(void *) = {end_at_once_with_5, run_another_program, live_for_a_while, run_and_end};
    static struct reader readers[READERS];
    sinew_task *tasks[READERS], *sleepers[READERS];
    for (size_t kind = 0; kind < sizeof children / sizeof children[0]; kind++) {
        atomic_int ready = 0;
        for (int i = 0; i < READERS; i++) {
            readers[i].ready = &ready;
            if (!CHECK_EQ(pipe2(readers[i].fds, O_CLOEXEC), 0))
                return 1;
            tasks[i] = sinew_spawn(read_a_byte, &readers[i]);
            sleepers[i] = sinew_spawn(sleep_very_long, NULL);
        }
        yield_until(&ready, READERS);
        CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0); /* the reads are with the kernel */
        pid_t pid = fork_with(children[kind], NULL);
        /* Some while the child is there (if it takes its time), the others after its end. */
        for (int i = 0; i < READERS / 2; i++)
            CHECK_EQ(write(readers[i].fds[1], "a", 1), 1);
        for (int i = 0; i < READERS / 2; i++)
            CHECK_EQ(sinew_await(tasks[i]), 'a');
        CHECK_EQ(code_of(pid), 5);
        CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
        for (int i = READERS / 2; i < READERS; i++)
            CHECK(!sinew_done(tasks[i]));
        for (int i = READERS / 2; i < READERS; i++)
            CHECK_EQ(write(readers[i].fds[1], "b", 1), 1);
        for (int i = READERS / 2; i < READERS; i++)
            CHECK_EQ(sinew_await(tasks[i]), 'b');
        for (int i = 0; i < READERS; i++) {
            CHECK(!sinew_done(sleepers[i]));
            CHECK(sinew_cancel(sleepers[i]));
            CHECK_EQ(sinew_await(sleepers[i]), -ECANCELED);
            close(readers[i].fds[0]);
            close(readers[i].fds[1]);
        }
    }
    return 0;
}

static int descriptors_before;

static int has_only_the_programs_descriptors(void *arg)
{
    (void)arg;
    CHECK_EQ(count_descriptors(), descriptors_before);
    CHECK_EQ(run_workers(2, return_arg, (void *)1), 1);
    CHECK_EQ(count_descriptors(), descriptors_before);
    return 11;
}

static intptr_t fork_and_count(void *arg)
{
    (void)arg;
    CHECK(count_descriptors() > descriptors_before);
    CHECK_EQ(code_of(fork_with(has_only_the_programs_descriptors, NULL)), 11);
    return 0;
}

static void the_child_has_no_descriptor_of_the_parents_runtime(void **state)
{
    (void)state;
    descriptors_before = count_descriptors();
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        run_body(__func__, worker_counts[i], fork_and_count, NULL);
    assert_int_equal(count_descriptors(), descriptors_before);
}

/* SIGINT. In children of this program, since it is the main thread's default action that matters. */
static int interrupt_itself(void *arg)
{
    struct sigaction now;
    CHECK_EQ(sigaction(SIGINT, NULL, &now), 0);
    CHECK(now.sa_handler == SIG_DFL);
    sigset_t mask;
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    CHECK(!sigismember(&mask, SIGINT));
    if (atomic_load(&check_failures))
        return 1;
    raise(SIGINT);
    (void)arg;
    return 2;
}

static intptr_t raise_and_sleep(void *arg)
{
    (void)arg;
    raise(SIGINT);
    return sinew_sleep(VERY_LONG);
}

static int be_interrupted(void *arg)
{
    (void)arg;
    CHECK_EQ(run_workers(2, raise_and_sleep, NULL), -EINTR);
    return 12;
}

static intptr_t fork_for_sigint(void *arg)
{
    (void)arg;
    CHECK_EQ(code_of(fork_with(interrupt_itself, NULL)), -SIGINT);
    if (SN_TSAN)
        fprintf(stderr,
                "note: ThreadSanitizer delivers no signal to handlers of a forked child; that part is left out\n");
    else
        CHECK_EQ(code_of(fork_with(be_interrupted, NULL)), 12);
    CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0); /* the parent's main has heard nothing */
    CHECK_EQ(sinew_cancelling(), 0);
    raise(SIGINT);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    CHECK_EQ(sinew_blocking_wait(return_arg, NULL), 0);
    return -ECANCELED;
}

static int run_that_forks_for_sigint(void *arg)
{
    CHECK_EQ(run_workers(*(unsigned *)arg, fork_for_sigint, NULL), -EINTR);
    return 0;
}

static void a235_the_child_has_its_own_sigint(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_that_forks_for_sigint, &workers, &end));
        if (end.code != 0)
            child_fail(__func__, &end);
    }
}

TEST_MAIN(cmocka_unit_test(a235_a_child_of_a_task_is_outside_of_the_runtime),
          cmocka_unit_test(a234_a_child_of_a_task_may_run_runtimes_of_its_own),
          cmocka_unit_test(children_may_fork_in_turn), cmocka_unit_test(a_plain_thread_may_fork_beside_a_busy_runtime),
          cmocka_unit_test(a_blocking_function_may_fork), cmocka_unit_test(the_parents_operations_go_on),
          cmocka_unit_test(the_child_has_no_descriptor_of_the_parents_runtime),
          cmocka_unit_test(a235_the_child_has_its_own_sigint))
