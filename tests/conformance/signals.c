/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of signal handlers, A215 to A218 (conformance/rules.tsv), one test or more for each.
 * Method: the process raises signals at itself; sigaction is asked what the kernel would do; forked children where a
 * default action would end the process.
 * Cannot see: signals that the kernel has merged.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include <tests/support/child.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* The action now: SIG_DFL, or whose function it is. */
static void (*action_of(int signo))(int)
{
    struct sigaction now;
    sigaction(signo, NULL, &now);
    return now.sa_handler;
}

/* --- A215: a handler is a task -------------------------------------------------------------------------------------
 */

struct seen {
    atomic_int runs, last;
    sinew_task *adder;
};

static intptr_t look_around(int signo, void *arg)
{
    struct seen *s = arg;
    CHECK(sinew_self() != NULL && sinew_self() != s->adder);
    CHECK_EQ(sinew_sleep(SINEW_US(100)), 0); /* may suspend ... */
    CHECK_EQ(sinew_await(sinew_spawn(return_arg, (void *)3)), 3);
    char *p = malloc(1000); /* ... and call what is not allowed in signal context */
    CHECK(p != NULL);
    free(p);
    atomic_store(&s->last, signo);
    atomic_fetch_add(&s->runs, 1);
    return 0;
}

IN_RUNTIME(a215_a_handler_runs_as_a_task_and_once_for_each_arrival)
{
    enum { ARRIVALS = 20 };
    struct seen s = {.adder = sinew_self()};
    CHECK_EQ(sinew_signal_handle(SIGUSR1, look_around, &s), 0);
    for (int i = 0; i < ARRIVALS; i++)
        raise(SIGUSR1);
    yield_until(&s.runs, ARRIVALS);
    CHECK_EQ(sinew_sleep(SINEW_MS(3)), 0);
    CHECK_EQ(atomic_load(&s.runs), ARRIVALS);
    CHECK_EQ(atomic_load(&s.last), SIGUSR1);
    CHECK_EQ(sinew_signal_remove(SIGUSR1), 1);
    return 0;
}

static intptr_t count_run(int signo, void *arg)
{
    (void)signo;
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

/* With one worker nothing else runs between two checkpoints, so a handler that had run in signal context would show. */
IN_RUNTIME_WITH(a215_never_in_signal_context_with_one_worker, 1)
{
    atomic_int runs = 0;
    CHECK_EQ(sinew_signal_handle(SIGUSR1, count_run, &runs), 0);
    CHECK_EQ(sinew_yield(), 0);
    raise(SIGUSR1);
    CHECK_EQ(atomic_load(&runs), 0);
    yield_until(&runs, 1);
    CHECK_EQ(sinew_signal_remove(SIGUSR1), 1);
    return 0;
}

static atomic_int at_once;

static intptr_t be_alone(int signo, void *arg)
{
    (void)signo;
    CHECK_EQ(atomic_fetch_add(&at_once, 1), 0);
    sinew_sleep(SINEW_US(200));
    atomic_fetch_sub(&at_once, 1);
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

IN_RUNTIME(a215_runs_for_one_signal_follow_each_other)
{
    atomic_int runs = 0;
    CHECK_EQ(sinew_signal_handle(SIGUSR1, be_alone, &runs), 0);
    for (int i = 0; i < 10; i++)
        raise(SIGUSR1);
    yield_until(&runs, 10);
    CHECK_EQ(sinew_signal_remove(SIGUSR1), 1);
    return 0;
}

static atomic_int first_may_end;

static intptr_t wait_for_permission(int signo, void *arg)
{
    (void)signo;
    atomic_fetch_add((atomic_int *)arg, 1);
    yield_until(&first_may_end, 1);
    return 0;
}

IN_RUNTIME(a215_adding_again_replaces)
{
    atomic_int first = 0, second = 0;
    atomic_store(&first_may_end, 0);
    CHECK_EQ(sinew_signal_handle(SIGUSR1, wait_for_permission, &first), 0);
    raise(SIGUSR1);
    yield_until(&first, 1);
    raise(SIGUSR1); /* arrives while the first one handles, and has not begun to run when that is replaced */
    CHECK_EQ(sinew_signal_handle(SIGUSR1, count_run, &second), 0);
    raise(SIGUSR1);
    atomic_store(&first_may_end, 1);
    yield_until(&second, 2);
    CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
    CHECK_EQ(atomic_load(&first), 1);
    CHECK_EQ(atomic_load(&second), 2);
    CHECK_EQ(sinew_signal_remove(SIGUSR1), 1);
    CHECK_EQ(sinew_signal_remove(SIGUSR1), 0);
    return 0;
}

/* --- A216: removing ------------------------------------------------------------------------------------------------
 */

IN_RUNTIME(a216_removing_tells_whether_one_was_there_and_restores_the_default)
{
    atomic_int runs = 0;
    CHECK_EQ(sinew_signal_remove(SIGUSR2), 0);
    for (int i = 0; i < 3; i++) {
        CHECK(action_of(SIGUSR2) == SIG_DFL);
        CHECK_EQ(sinew_signal_handle(SIGUSR2, count_run, &runs), 0);
        CHECK(action_of(SIGUSR2) != SIG_DFL);
        raise(SIGUSR2);
        yield_until(&runs, i + 1);
        CHECK_EQ(sinew_signal_remove(SIGUSR2), 1);
        CHECK(action_of(SIGUSR2) == SIG_DFL);
        CHECK_EQ(sinew_signal_remove(SIGUSR2), 0);
    }
    return 0;
}

static intptr_t remove_and_raise(void *arg)
{
    atomic_int *runs = arg;
    CHECK_EQ(sinew_signal_handle(SIGUSR2, count_run, runs), 0);
    raise(SIGUSR2);
    yield_until(runs, 1);
    CHECK_EQ(sinew_signal_remove(SIGUSR2), 1);
    raise(SIGUSR2);
    return 0;
}

static int die_of_the_default(void *arg)
{
    atomic_int runs = 0;
    run_workers(*(unsigned *)arg, remove_and_raise, &runs);
    return 1;
}

static void a216_after_removing_the_signal_ends_the_process_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(die_of_the_default, &workers, &end));
        if (end.signal != SIGUSR2)
            child_fail(__func__, &end);
    }
}

static void programs_own(int signo)
{
    (void)signo;
}

IN_RUNTIME(a216_what_the_program_had_set_before_is_restored)
{
    atomic_int runs = 0;
    void (*const before[])(int) = {programs_own, SIG_IGN};
    for (int i = 0; i < 2; i++) {
        signal(SIGUSR2, before[i]);
        CHECK_EQ(sinew_signal_handle(SIGUSR2, count_run, &runs), 0);
        CHECK(action_of(SIGUSR2) != before[i]);
        CHECK_EQ(sinew_signal_remove(SIGUSR2), 1);
        CHECK(action_of(SIGUSR2) == before[i]);
    }
    signal(SIGUSR2, SIG_DFL);
    return 0;
}

/* --- A217: what is refused -----------------------------------------------------------------------------------------
 */

static intptr_t handle_wrong_ones(void *arg)
{
    static const int uncatchable[] = {SIGKILL, SIGSTOP}, invalid[] = {0, -1, 32, 65, 1000};
    (void)arg;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(sinew_signal_handle(uncatchable[i], count_run, NULL), -EINVAL);
    fprintf(stderr, "and\n");
    for (int i = 0; i < 5; i++)
        CHECK_EQ(sinew_signal_handle(invalid[i], count_run, NULL), -EINVAL);
    return 0;
}

static int run_with_wrong_ones(void *arg)
{
    return (int)run_workers(*(unsigned *)arg, handle_wrong_ones, NULL);
}

static void a217_uncatchable_and_invalid_signals_are_refused_and_told_apart(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        child_end end;
        assert_true(run_child(run_with_wrong_ones, &workers, &end));
        char *rest = strstr(end.err, "and\n");
        if (end.code != 0 || !rest)
            child_fail(__func__, &end);
        *rest = '\0';
        if (!strstr(end.err, "signal 9 (Killed) cannot be caught") || strstr(end.err, "no signal") ||
            !strstr(rest + 4, "there is no signal 32") || strstr(rest + 4, "cannot be caught"))
            child_fail(__func__, &end);
    }
}

struct adder {
    int signo;
    atomic_int *started, *runs;
};

static intptr_t add_one(void *arg)
{
    struct adder *a = arg;
    atomic_fetch_add(a->started, 1);
    for (sinew_time end = sinew_now() + SINEW_MS(20); atomic_load(a->started) < 8 && sinew_now() < end;)
        ; /* so that others run on other workers */
    CHECK_EQ(sinew_signal_handle(a->signo, count_run, a->runs), 0);
    return 0;
}

IN_RUNTIME(a217_tasks_on_any_worker_may_add)
{
    atomic_int started = 0, runs = 0;
    struct adder adders[8];
    for (int i = 0; i < 8; i++)
        adders[i] = (struct adder){SIGRTMIN + i, &started, &runs};
    CHECK_EQ(sinew_map(add_one, adders, sizeof adders[0], 8, NULL), 0);
    for (int i = 0; i < 8; i++)
        raise(SIGRTMIN + i);
    yield_until(&runs, 8);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(sinew_signal_remove(SIGRTMIN + i), 1);
    return 0;
}

/* --- A218: SA_RESTART ----------------------------------------------------------------------------------------------
 */

static atomic_int reader_begun;

static void *read_plainly(void *arg)
{
    char c = 0;
    atomic_store(&reader_begun, 1);
    ssize_t n = read(*(int *)arg, &c, 1);
    return (void *)(intptr_t)(n == 1 ? c : n < 0 ? -errno : 0);
}

IN_RUNTIME(a218_system_calls_elsewhere_are_restarted)
{
    int p[2];
    atomic_int runs = 0;
    pthread_t reader;
    void *result;
    struct sigaction now;
    CHECK_EQ(sinew_signal_handle(SIGUSR1, count_run, &runs), 0);
    sigaction(SIGUSR1, NULL, &now);
    CHECK(now.sa_flags & SA_RESTART);
    CHECK_EQ(pipe(p), 0);
    atomic_store(&reader_begun, 0);
    CHECK_EQ(pthread_create(&reader, NULL, read_plainly, &p[0]), 0);
    yield_until(&reader_begun, 1);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
        pthread_kill(reader, SIGUSR1);
    }
    if (!SN_TSAN) /* it delivers no signal to a thread that is in a system call */
        yield_until(&runs, 1);
    CHECK_EQ(write(p[1], "x", 1), 1);
    pthread_join(reader, &result);
    CHECK_EQ((intptr_t)result, 'x');
    close(p[0]);
    close(p[1]);
    CHECK_EQ(sinew_signal_remove(SIGUSR1), 1);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a215_a_handler_runs_as_a_task_and_once_for_each_arrival),
          cmocka_unit_test(a215_never_in_signal_context_with_one_worker),
          cmocka_unit_test(a215_runs_for_one_signal_follow_each_other), cmocka_unit_test(a215_adding_again_replaces),
          cmocka_unit_test(a216_removing_tells_whether_one_was_there_and_restores_the_default),
          cmocka_unit_test(a216_after_removing_the_signal_ends_the_process_again),
          cmocka_unit_test(a216_what_the_program_had_set_before_is_restored),
          cmocka_unit_test(a217_uncatchable_and_invalid_signals_are_refused_and_told_apart),
          cmocka_unit_test(a217_tasks_on_any_worker_may_add),
          cmocka_unit_test(a218_system_calls_elsewhere_are_restarted))
