/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: sinew_run returns main's result after every task has ended, cancels what main leaves behind exactly once and
 * for as long as it takes, and gives back all threads and descriptors, however often and wherever it is called.
 * Method: leftovers that count their ends in static counters; repeated and parallel runs; /proc/self before and after.
 * Cannot see: memory that stays with the allocator; growth over many runs is bounded only roughly.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/process.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

static void run_returns_mains_result(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        assert_int_equal(run_workers(worker_counts[i], return_arg, (void *)17), 17);
        assert_int_equal(run_workers(worker_counts[i], return_arg, NULL), 0);
        assert_int_equal(run_workers(worker_counts[i], return_arg, (void *)(intptr_t)-EIO), -EIO);
        assert_int_equal(run_workers(worker_counts[i], return_arg, (void *)(intptr_t)-ECANCELED), -ECANCELED);
    }
    assert_int_equal(sinew_run(return_arg, (void *)18), 18);
    assert_int_equal(sinew_run_with(NULL, return_arg, (void *)19), 19);
}

static void run_without_a_function_gives_einval(void **state)
{
    (void)state;
    sinew_options opt = {.workers = 2};
    assert_int_equal(sinew_run(NULL, NULL), -EINVAL);
    assert_int_equal(sinew_run_with(NULL, NULL, NULL), -EINVAL);
    assert_int_equal(sinew_run_with(&opt, NULL, NULL), -EINVAL);
}

static intptr_t look_at_workers(void *arg)
{
    unsigned expected = *(unsigned *)arg;
    CHECK_EQ(sinew_workers(), expected);
    for (int i = 0; i < 100; i++) {
        CHECK(sinew_worker_index() < expected);
        sinew_yield();
    }
    return 0;
}

static void the_number_of_workers_is_the_one_asked_for(void **state)
{
    (void)state;
    unsigned counts[] = {1, 2, 3, 8, 33};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++)
        assert_int_equal(run_workers(counts[i], look_at_workers, &counts[i]), 0);
    assert_int_equal(check_failures, 0);
}

static void the_environment_gives_the_default_number_of_workers(void **state)
{
    (void)state;
    unsigned expected = 3;
    setenv("SINEW_WORKERS", "3", 1);
    assert_int_equal(sinew_run(look_at_workers, &expected), 0);
    /* An explicit number wins. */
    expected = 2;
    assert_int_equal(run_workers(2, look_at_workers, &expected), 0);
    unsetenv("SINEW_WORKERS");
    assert_int_equal(check_failures, 0);
}

static struct {
    atomic_int started, cancelled, again, ended, unstarted_ran;
} leftovers;

static void leftovers_clear(void)
{
    memset(&leftovers, 0, sizeof leftovers);
}

static intptr_t leftover(void *arg)
{
    (void)arg;
    atomic_fetch_add(&leftovers.started, 1);
    int r = sinew_sleep(VERY_LONG);
    if (r == -ECANCELED)
        atomic_fetch_add(&leftovers.cancelled, 1);
    atomic_fetch_add(&leftovers.ended, 1);
    return r;
}

static intptr_t leave_many(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        sinew_detach(sinew_spawn(leftover, NULL));
    yield_until(&leftovers.started, 100);
    return 3;
}

static void leftovers_are_cancelled_and_awaited(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        leftovers_clear();
        assert_int_equal(run_workers(worker_counts[i], leave_many, NULL), 3);
        assert_int_equal(leftovers.cancelled, 100);
        assert_int_equal(leftovers.ended, 100);
    }
}

static intptr_t slow_leftover(void *arg)
{
    (void)arg;
    atomic_fetch_add(&leftovers.started, 1);
    if (sinew_sleep(VERY_LONG) == -ECANCELED)
        atomic_fetch_add(&leftovers.cancelled, 1);
    /* It takes its time, and is not disturbed a second time. */
    for (int i = 0; i < 20; i++)
        if (sinew_sleep(SINEW_MS(2)) != 0)
            atomic_fetch_add(&leftovers.again, 1);
    atomic_fetch_add(&leftovers.ended, 1);
    return 1;
}

static intptr_t leave_slow_ones(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        sinew_detach(sinew_spawn(slow_leftover, NULL));
    yield_until(&leftovers.started, 10);
    return 4;
}

static void a_leftover_that_swallows_the_cancel_is_waited_for_and_not_cancelled_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        leftovers_clear();
        assert_int_equal(run_workers(worker_counts[i], leave_slow_ones, NULL), 4);
        assert_int_equal(leftovers.cancelled, 10);
        assert_int_equal(leftovers.again, 0);
        assert_int_equal(leftovers.ended, 10);
    }
}

static intptr_t breeding_leftover(void *arg)
{
    intptr_t generations = (intptr_t)arg;
    atomic_fetch_add(&leftovers.started, 1);
    int r = sinew_sleep(VERY_LONG);
    if (r == -ECANCELED)
        atomic_fetch_add(&leftovers.cancelled, 1);
    if (generations > 0) {
        sinew_task *t = sinew_spawn(breeding_leftover, (void *)(generations - 1));
        /* Half of them let the child start before they go. */
        if (generations % 2)
            sinew_yield();
        sinew_detach(t);
    }
    atomic_fetch_add(&leftovers.ended, 1);
    return r;
}

static intptr_t leave_breeders(void *arg)
{
    (void)arg;
    for (int i = 0; i < 10; i++)
        sinew_detach(sinew_spawn(breeding_leftover, (void *)5));
    yield_until(&leftovers.started, 10);
    return 5;
}

static void leftovers_that_spawn_more_while_ending_are_cancelled_until_none_is_left(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        leftovers_clear();
        assert_int_equal(run_workers(worker_counts[i], leave_breeders, NULL), 5);
        assert_int_equal(leftovers.started, leftovers.ended);
        assert_int_equal(leftovers.started, leftovers.cancelled);
        assert_true(leftovers.started >= 10);
    }
}

static intptr_t unstarted(void *arg)
{
    (void)arg;
    atomic_fetch_add(&leftovers.unstarted_ran, 1);
    return 0;
}

static intptr_t leave_unstarted(void *arg)
{
    for (int i = 0; i < 100; i++) {
        sinew_spawn_options opt = {.pinned = arg != NULL};
        sinew_detach(sinew_spawn_with(&opt, unstarted, NULL));
    }
    return 6;
}

static void leftovers_that_never_started_never_start(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        leftovers_clear();
        assert_int_equal(run_workers(worker_counts[i], leave_unstarted, ""), 6);
        assert_int_equal(leftovers.unstarted_ran, 0);
        leftovers_clear();
        assert_int_equal(run_workers(worker_counts[i], leave_unstarted, NULL), 6);
        /* Another worker may have taken some before main returned. */
        if (worker_counts[i] == 1)
            assert_int_equal(leftovers.unstarted_ran, 0);
        assert_true(leftovers.unstarted_ran <= 100);
    }
}

static intptr_t failing_leftover(void *arg)
{
    (void)arg;
    atomic_fetch_add(&leftovers.started, 1);
    sinew_sleep(VERY_LONG);
    return -EIO;
}

static intptr_t leave_failing(void *arg)
{
    (void)arg;
    sinew_detach(sinew_spawn(failing_leftover, NULL));
    yield_until(&leftovers.started, 1);
    return 7;
}

static void a_leftover_that_fails_does_not_change_mains_result(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        leftovers_clear();
        assert_int_equal(run_workers(worker_counts[i], leave_failing, NULL), 7);
    }
}

static intptr_t cancel_main(void *arg)
{
    CHECK(sinew_cancel(sinew_self()));
    return arg ? sinew_sleep(VERY_LONG) : 8;
}

static void a_main_that_cancels_itself_ends_cancelled(void **state)
{
    (void)state;
    for (size_t i = 0; i < WORKER_COUNTS; i++) {
        assert_int_equal(run_workers(worker_counts[i], cancel_main, ""), -ECANCELED);
        assert_int_equal(run_workers(worker_counts[i], cancel_main, NULL), -ECANCELED);
    }
}

/* A little of everything, so that a run that keeps something back is noticed. */
static intptr_t some_work(void *arg)
{
    (void)arg;
    sinew_task *tasks[20];
    intptr_t results[20];
    for (int i = 0; i < 20; i++)
        tasks[i] = sinew_spawn(return_arg, (void *)(intptr_t)i);
    CHECK_EQ(sinew_gather(tasks, 20, results), 0);
    intptr_t sum = 0;
    for (int i = 0; i < 20; i++)
        sum += results[i];
    CHECK_EQ(sum, 190);
    CHECK_EQ(sinew_sleep(SINEW_US(50)), 0);
    sinew_detach(sinew_spawn(sleep_very_long, NULL));
    CHECK_EQ(sinew_yield(), 0);
    return sum;
}

static void hundreds_of_runs_give_back_all_threads_and_descriptors(void **state)
{
    (void)state;
    assert_int_equal(run_workers(4, some_work, NULL), 190);
    int descriptors = count_descriptors(), threads = count_threads_before();
    uint64_t resident = resident_bytes();
    int rounds = (int)scaled(300, 20);
    for (int i = 0; i < rounds; i++)
        assert_int_equal(run_workers((unsigned)(1 + i % 5), some_work, NULL), 190);
    assert_int_equal(count_descriptors(), descriptors);
    assert_int_equal(count_threads_settled(threads), threads);
    /* What a run needs is a few pages a worker; a leak of that in each would show. */
    if (!slowed_down())
        assert_true(resident_bytes() < resident + ((uint64_t)16 << 20));
    assert_int_equal(check_failures, 0);
}

static void *run_often(void *arg)
{
    int rounds = (int)scaled(30, 5);
    for (int i = 0; i < rounds; i++)
        if (!CHECK_EQ(run_workers(*(unsigned *)arg, some_work, NULL), 190))
            break;
    return NULL;
}

static void runs_side_by_side_do_not_meet(void **state)
{
    (void)state;
    enum { THREADS = 4 };
    pthread_t threads[THREADS];
    unsigned workers[THREADS] = {1, 2, 3, 2};
    int descriptors = count_descriptors();
    watchdog_begin("runs_side_by_side", 2, 60);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_often, &workers[i]), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    watchdog_end();
    assert_int_equal(count_descriptors(), descriptors);
    assert_int_equal(check_failures, 0);
}

static void *run_in_thread_of_a_task(void *arg)
{
    *(intptr_t *)arg = run_workers(2, some_work, NULL);
    return NULL;
}

IN_RUNTIME(a_plain_thread_may_run_another_runtime_beside_this_one)
{
    intptr_t result = 0;
    pthread_t thread;
    if (!CHECK_EQ(pthread_create(&thread, NULL, run_in_thread_of_a_task, &result), 0))
        return 1;
    pthread_join(thread, NULL);
    CHECK_EQ(result, 190);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

static intptr_t spawn_everywhere(void *arg)
{
    (void)arg;
    return sinew_map(return_arg, NULL, 0, 1000, NULL);
}

static void a_seed_is_accepted(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed < 5; seed++) {
        sinew_options opt = {.workers = 3, .seed = seed * 0x9e3779b97f4a7c15u};
        assert_int_equal(sinew_run_with(&opt, spawn_everywhere, NULL), 0);
    }
}

TEST_MAIN(cmocka_unit_test(run_returns_mains_result), cmocka_unit_test(run_without_a_function_gives_einval),
          cmocka_unit_test(the_number_of_workers_is_the_one_asked_for),
          cmocka_unit_test(the_environment_gives_the_default_number_of_workers),
          cmocka_unit_test(leftovers_are_cancelled_and_awaited),
          cmocka_unit_test(a_leftover_that_swallows_the_cancel_is_waited_for_and_not_cancelled_again),
          cmocka_unit_test(leftovers_that_spawn_more_while_ending_are_cancelled_until_none_is_left),
          cmocka_unit_test(leftovers_that_never_started_never_start),
          cmocka_unit_test(a_leftover_that_fails_does_not_change_mains_result),
          cmocka_unit_test(a_main_that_cancels_itself_ends_cancelled),
          cmocka_unit_test(hundreds_of_runs_give_back_all_threads_and_descriptors),
          cmocka_unit_test(runs_side_by_side_do_not_meet),
          cmocka_unit_test(a_plain_thread_may_run_another_runtime_beside_this_one),
          cmocka_unit_test(a_seed_is_accepted))
