/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the first SIGINT cancels main, the second ends the process, and a program's own handling is left alone.
 * Method: forked children that raise the signal themselves or get it from the parent once they say they are ready.
 * Cannot see: what a terminal does.
 */
#include <errno.h>
#include <signal.h>

#include <tests/support/child.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

static void expect_clean(int (*fn)(void *), void *arg)
{
    child_end end;
    assert_true(run_child(fn, arg, &end));
    if (end.code != 0 || end.signal != 0)
        child_fail(__func__, &end);
}

static intptr_t raise_and_sleep(void *arg)
{
    (void)arg;
    raise(SIGINT);
    int r = sinew_sleep(VERY_LONG);
    CHECK_EQ(r, -ECANCELED);
    CHECK_EQ(sinew_cancelling(), 1);
    return r;
}

static int interrupted_run(void *arg)
{
    CHECK_EQ(run_workers(*(unsigned *)arg, raise_and_sleep, NULL), -EINTR);
    struct sigaction now;
    sigaction(SIGINT, NULL, &now);
    CHECK(now.sa_handler == SIG_DFL);
    /* And once more: nothing of the first is left over. */
    CHECK_EQ(run_workers(*(unsigned *)arg, return_arg, (void *)5), 5);
    CHECK_EQ(run_workers(*(unsigned *)arg, raise_and_sleep, NULL), -EINTR);
    return 0;
}

static void the_first_sigint_cancels_main_and_run_gives_eintr(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        expect_clean(interrupted_run, &workers);
    }
}

static intptr_t raise_and_answer(void *arg)
{
    (void)arg;
    raise(SIGINT);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
    return 6;
}

static int answering_run(void *arg)
{
    CHECK_EQ(run_workers(*(unsigned *)arg, raise_and_answer, NULL), 6);
    return 0;
}

static void a_main_that_answers_with_a_value_is_heard(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        expect_clean(answering_run, &workers);
    }
}

static atomic_int leftover_cancelled;

static intptr_t leftover(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    int r = sinew_sleep(VERY_LONG);
    atomic_fetch_add(&leftover_cancelled, r == -ECANCELED);
    return r;
}

static intptr_t raise_with_leftovers(void *arg)
{
    static atomic_int started;
    (void)arg;
    atomic_store(&started, 0);
    for (int i = 0; i < 10; i++)
        sinew_detach(sinew_spawn(leftover, &started));
    yield_until(&started, 10);
    raise(SIGINT);
    return sinew_sleep(VERY_LONG);
}

static int run_with_leftovers(void *arg)
{
    CHECK_EQ(run_workers(*(unsigned *)arg, raise_with_leftovers, NULL), -EINTR);
    CHECK_EQ(leftover_cancelled, 10);
    return 0;
}

static void a_sigint_ends_the_other_tasks_through_main(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        unsigned workers = worker_counts[i];
        expect_clean(run_with_leftovers, &workers);
    }
}

/* The parent sends the signal when the child has written a byte and, most likely, all its workers sleep. */
struct outside {
    unsigned workers;
    int ready[2];
    int signals;
};

static intptr_t say_ready_and_sleep(void *arg)
{
    struct outside *o = arg;
    CHECK_EQ(write(o->ready[1], "r", 1), 1);
    int r = sinew_sleep(VERY_LONG);
    CHECK_EQ(r, -ECANCELED);
    if (o->signals == 2) {
        CHECK_EQ(write(o->ready[1], "r", 1), 1);
        /* Deaf to the first; the second must end the process. */
        sinew_sleep(VERY_LONG);
        return 1;
    }
    return r;
}

static int outside_run(void *arg)
{
    struct outside *o = arg;
    CHECK_EQ(run_workers(o->workers, say_ready_and_sleep, o), -EINTR);
    return 0;
}

static void send_signals(pid_t pid, void *arg)
{
    struct outside *o = arg;
    for (int i = 0; i < o->signals; i++) {
        char c;
        if (read(o->ready[0], &c, 1) != 1)
            return;
        usleep(5000);
        kill(pid, SIGINT);
    }
}

static void a_sigint_from_outside_wakes_a_sleeping_process(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        struct outside o = {.workers = worker_counts[i], .signals = 1};
        child_end end;
        assert_int_equal(pipe(o.ready), 0);
        assert_true(run_child_with(outside_run, &o, 60, send_signals, &o, &end));
        close(o.ready[0]);
        close(o.ready[1]);
        if (end.code != 0)
            child_fail(__func__, &end);
    }
}

static void the_second_sigint_ends_the_process(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        struct outside o = {.workers = worker_counts[i], .signals = 2};
        child_end end;
        assert_int_equal(pipe(o.ready), 0);
        assert_true(run_child_with(outside_run, &o, 60, send_signals, &o, &end));
        close(o.ready[0]);
        close(o.ready[1]);
        if (end.signal != SIGINT && end.code != 128 + SIGINT)
            child_fail(__func__, &end);
    }
}

static int run_that_keeps_sigint(void *arg)
{
    (void)arg;
    sinew_options opt = {.workers = 2, .keep_sigint = true};
    return sinew_run_with(&opt, raise_and_sleep, NULL) == 0 ? 1 : 2;
}

static void keep_sigint_leaves_the_default_action(void **state)
{
    (void)state;
    child_end end;
    assert_true(run_child(run_that_keeps_sigint, NULL, &end));
    assert_int_equal(end.signal, SIGINT);
}

static atomic_int own_handler_calls;

static void own_handler(int number)
{
    (void)number;
    atomic_fetch_add(&own_handler_calls, 1);
}

static intptr_t raise_and_go_on(void *arg)
{
    (void)arg;
    raise(SIGINT);
    CHECK_EQ(sinew_sleep(SINEW_MS(5)), 0);
    CHECK_EQ(own_handler_calls, 1);
    return 7;
}

static int run_with_own_handler(void *arg)
{
    (void)arg;
    signal(SIGINT, own_handler);
    CHECK_EQ(run_workers(2, raise_and_go_on, NULL), 7);
    struct sigaction now;
    sigaction(SIGINT, NULL, &now);
    CHECK(now.sa_handler == own_handler);
    return 0;
}

static void a_programs_own_handler_is_left_alone(void **state)
{
    (void)state;
    expect_clean(run_with_own_handler, NULL);
}

static intptr_t raise_ignored(void *arg)
{
    (void)arg;
    raise(SIGINT);
    CHECK_EQ(sinew_sleep(SINEW_MS(5)), 0);
    return 8;
}

static int run_with_sigint_ignored(void *arg)
{
    (void)arg;
    signal(SIGINT, SIG_IGN);
    CHECK_EQ(run_workers(2, raise_ignored, NULL), 8);
    return 0;
}

static void an_ignored_sigint_stays_ignored(void **state)
{
    (void)state;
    expect_clean(run_with_sigint_ignored, NULL);
}

static void *run_in_thread(void *arg)
{
    (void)arg;
    run_workers(2, raise_and_sleep, NULL);
    return NULL;
}

static int run_outside_the_main_thread(void *arg)
{
    (void)arg;
    pthread_t thread;
    pthread_create(&thread, NULL, run_in_thread, NULL);
    pthread_join(thread, NULL);
    return 3;
}

static void a_run_outside_the_main_thread_does_not_touch_sigint(void **state)
{
    (void)state;
    child_end end;
    assert_true(run_child(run_outside_the_main_thread, NULL, &end));
    assert_int_equal(end.signal, SIGINT);
}

TEST_MAIN(cmocka_unit_test(the_first_sigint_cancels_main_and_run_gives_eintr),
          cmocka_unit_test(a_main_that_answers_with_a_value_is_heard),
          cmocka_unit_test(a_sigint_ends_the_other_tasks_through_main),
          cmocka_unit_test(a_sigint_from_outside_wakes_a_sleeping_process),
          cmocka_unit_test(the_second_sigint_ends_the_process), cmocka_unit_test(keep_sigint_leaves_the_default_action),
          cmocka_unit_test(a_programs_own_handler_is_left_alone), cmocka_unit_test(an_ignored_sigint_stays_ignored),
          cmocka_unit_test(a_run_outside_the_main_thread_does_not_touch_sigint))
