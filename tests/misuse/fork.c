/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: in a child that a task forked, what must not be done there (returning from the task, using up its stack) ends
 * the child with a line that says what was wrong, and the parent goes on.
 * Method: a child of this program runs a runtime, whose tasks fork; it has never run one before, so that the fault
 * handler is its own.
 * Cannot see: what such a child does to files it shares with its parent before it ends.
 */
#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <tests/support/child.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

static int pid_pipe[2];

static pid_t fork_quietly(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGALRM, SIG_DFL);
        alarm((unsigned)scaled(30, 100));
    } else {
        CHECK_EQ(write(pid_pipe[1], &pid, sizeof pid), (ssize_t)sizeof pid);
    }
    return pid;
}

static intptr_t return_in_the_child(void *arg)
{
    (void)arg;
    return fork_quietly() == 0 ? 1 : 0;
}

static __attribute__((noinline)) int use_up(volatile char *above, unsigned depth)
{
    volatile char frame[512];
    frame[depth % sizeof frame] = *above;
    return depth == 0 ? frame[0] : use_up(frame, depth - 1) + frame[1];
}

static intptr_t overflow_in_the_child(void *arg)
{
    (void)arg;
    char c = 0;
    if (fork_quietly() == 0)
        _exit(use_up(&c, 1000000) == 12345); /* 0, if nothing stops it */
    return 0;
}

struct misuse {
    unsigned workers;
    sinew_fn fn;
};

static intptr_t spawn_misuse(void *arg)
{
    const struct misuse *m = arg;
    for (int in_place = 0; in_place < 2; in_place++) {
        pid_t pid = 0;
        int status = 0;
        CHECK_EQ(sinew_await(in_place ? sinew_spawn(m->fn, NULL) : spawn_pinned(m->fn, NULL)), 0);
        CHECK_EQ(read(pid_pipe[0], &pid, sizeof pid), (ssize_t)sizeof pid);
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK(status != 0);
        CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    }
    return 5;
}

static int run_misuse(void *arg)
{
    const struct misuse *m = arg;
    CHECK_EQ(pipe(pid_pipe), 0);
    CHECK_EQ(run_workers(m->workers, spawn_misuse, arg), 5);
    return 0;
}

static void expect_line(sinew_fn fn, const char *text)
{
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        struct misuse m = {worker_counts[i], fn};
        child_end end;
        assert_true(run_child(run_misuse, &m, &end));
        if (end.code != 0 || !strstr(end.err, text))
            child_fail(text, &end);
    }
}

static void a_task_that_returns_in_the_child_is_told(void **state)
{
    (void)state;
    expect_line(return_in_the_child, SN_ASAN ? "null pointer" : "must not return"); /* UBSan speaks first */
}

static void a_stack_overflow_in_the_child_is_told(void **state)
{
    (void)state;
    expect_line(overflow_in_the_child, "stack overflow");
}

TEST_MAIN(cmocka_unit_test(a_task_that_returns_in_the_child_is_told),
          cmocka_unit_test(a_stack_overflow_in_the_child_is_told))
