/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs a test's body as the main task, with 1, 2 and 8 workers.
 *
 *     IN_RUNTIME(await_returns_the_value)
 *     {
 *         CHECK_EQ(sinew_await(sinew_spawn(seven, NULL)), 7);
 *         return 0;
 *     }
 *     TEST_MAIN(cmocka_unit_test(await_returns_the_value))
 *
 * A body returns 0; a failed CHECK or another result fails the test and says with how many workers. A body that hangs
 * is ended by an alarm that names it. The program takes a test's name as its argument.
 */
#ifndef TESTS_SUPPORT_RUN_H
#define TESTS_SUPPORT_RUN_H

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <sinew.h>

#include <tests/support/check.h>
#include <tests/support/scale.h>

static const unsigned worker_counts[] __attribute__((unused)) = {1, 2, 8};
#define WORKER_COUNTS worker_counts_possible()

/* valgrind keeps its lock while a thread waits in io_uring_enter, so with it only runs with one worker get anywhere. */
static inline bool workers_possible(unsigned workers)
{
    if (workers <= 1 || !under_valgrind())
        return true;
    static bool told;
    if (!told) {
        told = true;
        fprintf(stderr, "note: under valgrind only one worker is possible; other counts are left out\n");
    }
    return false;
}

static inline size_t worker_counts_possible(void)
{
    size_t n = sizeof worker_counts / sizeof worker_counts[0];
    return workers_possible(worker_counts[n - 1]) ? n : 1;
}

static char watchdog_text[256] __attribute__((unused));

static inline void watchdog_bark(int signal_number)
{
    (void)signal_number;
    /* A failed write changes nothing: the process ends here anyway. */
    ssize_t ignored = write(STDERR_FILENO, watchdog_text, strlen(watchdog_text));
    (void)ignored;
    abort();
}

static inline void watchdog_begin(const char *name, unsigned workers, unsigned seconds)
{
    snprintf(watchdog_text, sizeof watchdog_text, "\n%s with %u workers: no end after %u s\n", name, workers, seconds);
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = watchdog_bark;
    sigaction(SIGALRM, &action, NULL);
    alarm(seconds);
}

static inline void watchdog_end(void)
{
    alarm(0);
}

static inline intptr_t run_workers(unsigned workers, sinew_fn fn, void *arg)
{
    sinew_options opt = {.workers = workers};
    return sinew_run_with(&opt, fn, arg);
}

static inline void run_body(const char *name, unsigned workers, sinew_fn main_task, void *arg)
{
    int failures_before = atomic_load(&check_failures);
    watchdog_begin(name, workers, (unsigned)scaled(50, 110));
    intptr_t result = run_workers(workers, main_task, arg);
    watchdog_end();
    int failures = atomic_load(&check_failures) - failures_before;
    if (result != 0 || failures != 0)
        fail_msg("%s with %u workers: result %ld, %d failed checks", name, workers, (long)result, failures);
}

static inline void run_body_for_each(const char *name, sinew_fn body, const unsigned *counts, size_t n)
{
    size_t ran = 0;
    for (size_t i = 0; i < n; i++) {
        if (!workers_possible(counts[i]))
            continue;
        run_body(name, counts[i], body, NULL);
        ran++;
    }
    if (ran == 0)
        skip();
}

/* Runs the body as a task that stays on its worker: what it spawns with spawn_pinned shares one processor with it. */
static inline intptr_t run_pinned(void *body)
{
    sinew_spawn_options opt = {.name = "pinned body", .pinned = true};
    sinew_fn *fn = body;
    return sinew_await(sinew_spawn_with(&opt, *fn, NULL));
}

static inline void run_body_pinned(const char *name, sinew_fn body)
{
    for (size_t i = 0; i < WORKER_COUNTS; i++)
        run_body(name, worker_counts[i], run_pinned, &body);
}

/* A test whose body runs as the main task with 1, 2 and 8 workers. */
#define IN_RUNTIME(name)                                                     \
    static intptr_t name##_body(void *unused_);                              \
    static void name(void **state)                                           \
    {                                                                        \
        (void)state;                                                         \
        run_body_for_each(#name, name##_body, worker_counts, WORKER_COUNTS); \
    }                                                                        \
    static intptr_t name##_body(void *unused_ __attribute__((unused)))

/* The same with the worker counts given. */
#define IN_RUNTIME_WITH(name, ...)                                                       \
    static intptr_t name##_body(void *unused_);                                          \
    static void name(void **state)                                                       \
    {                                                                                    \
        (void)state;                                                                     \
        static const unsigned counts[] = {__VA_ARGS__};                                  \
        run_body_for_each(#name, name##_body, counts, sizeof counts / sizeof counts[0]); \
    }                                                                                    \
    static intptr_t name##_body(void *unused_ __attribute__((unused)))

/* The same in a pinned task: between two of its checkpoints nothing else that is pinned there can run, so orders that
 * hold for one worker can be tested with many. */
#define IN_RUNTIME_PINNED(name)                 \
    static intptr_t name##_body(void *unused_); \
    static void name(void **state)              \
    {                                           \
        (void)state;                            \
        run_body_pinned(#name, name##_body);    \
    }                                           \
    static intptr_t name##_body(void *unused_ __attribute__((unused)))

#define TEST_MAIN(...)                                    \
    int main(int argc, char **argv)                       \
    {                                                     \
        const struct CMUnitTest tests[] = {__VA_ARGS__};  \
        if (argc > 1)                                     \
            cmocka_set_test_filter(argv[1]);              \
        return cmocka_run_group_tests(tests, NULL, NULL); \
    }

#endif
