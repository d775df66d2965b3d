/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: sleeps never end early, end in deadline order, and disappear when cancelled; yield lets everyone else run.
 * Method: real time with lower bounds only; order where one worker promises it.
 * Cannot see: lateness, which belongs to benchmarks.
 */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

IN_RUNTIME(now_is_the_monotonic_clock)
{
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    sinew_time now = sinew_now();
    clock_gettime(CLOCK_MONOTONIC, &after);
    CHECK(now >= (sinew_time)before.tv_sec * 1000000000 + before.tv_nsec);
    CHECK(now <= (sinew_time)after.tv_sec * 1000000000 + after.tv_nsec);
    for (int i = 0; i < 1000; i++) {
        sinew_time next = sinew_now();
        CHECK(next >= now);
        now = next;
    }
    return 0;
}

struct sleeper {
    sinew_time duration;
    sinew_time slept;
    event_log *log;
    int number;
};

static intptr_t sleep_for(void *arg)
{
    struct sleeper *s = arg;
    sinew_time begin = sinew_now();
    int r = sinew_sleep(s->duration);
    s->slept = sinew_now() - begin;
    if (s->log)
        log_event(s->log, s->number);
    return r;
}

IN_RUNTIME(sleep_never_ends_early)
{
    enum { SLEEPERS = 200 };
    static struct sleeper sleepers[SLEEPERS];
    sinew_task *tasks[SLEEPERS];
    for (int i = 0; i < SLEEPERS; i++) {
        sleepers[i] = (struct sleeper){.duration = SINEW_US((i * 7919) % 30000)};
        tasks[i] = sinew_spawn(sleep_for, &sleepers[i]);
    }
    CHECK_EQ(sinew_gather(tasks, SLEEPERS, NULL), 0);
    for (int i = 0; i < SLEEPERS; i++)
        CHECK(sleepers[i].slept >= sleepers[i].duration);
    return 0;
}

IN_RUNTIME(sleep_until_ends_at_or_after_the_instant)
{
    for (int i = 0; i < 10; i++) {
        sinew_time instant = sinew_now() + SINEW_US(500 * i);
        CHECK_EQ(sinew_sleep_until(instant), 0);
        CHECK(sinew_now() >= instant);
    }
    return 0;
}

static intptr_t mark(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

IN_RUNTIME_PINNED(a_sleep_without_duration_is_a_yield)
{
    enum { TASKS = 20 };
    for (int how = 0; how < 6; how++) {
        atomic_int marked = 0;
        sinew_task *tasks[TASKS];
        for (int i = 0; i < TASKS; i++)
            tasks[i] = spawn_pinned(mark, &marked);
        int r = how == 0   ? sinew_sleep(0)
                : how == 1 ? sinew_sleep(-1)
                : how == 2 ? sinew_sleep(INT64_MIN)
                : how == 3 ? sinew_sleep_until(0)
                : how == 4 ? sinew_sleep_until(sinew_now() - SINEW_S(1))
                           : sinew_yield();
        CHECK_EQ(r, 0);
        CHECK_EQ(marked, TASKS);
        CHECK_EQ(sinew_gather(tasks, TASKS, NULL), 0);
    }
    return 0;
}

IN_RUNTIME_WITH(one_worker_wakes_sleepers_in_deadline_order, 1)
{
    enum { SLEEPERS = 20 };
    struct sleeper sleepers[SLEEPERS];
    sinew_task *tasks[SLEEPERS];
    event_log log = {.n = 0};
    for (int i = 0; i < SLEEPERS; i++) {
        /* Every place of the order is far from its neighbours, and none is begun in that order. */
        int place = (i * 7) % SLEEPERS;
        sleepers[i] = (struct sleeper){.duration = SINEW_MS(5 + 3 * place), .log = &log, .number = place};
        tasks[i] = sinew_spawn(sleep_for, &sleepers[i]);
    }
    CHECK_EQ(sinew_gather(tasks, SLEEPERS, NULL), 0);
    for (int i = 0; i < SLEEPERS; i++)
        CHECK_EQ(log.events[i], i);
    return 0;
}

static intptr_t hog(void *arg)
{
    sinew_time end = sinew_now() + (sinew_time)(intptr_t)arg;
    while (sinew_now() < end)
        ;
    return 0;
}

IN_RUNTIME_WITH(timers_due_together_run_in_deadline_order_on_one_worker, 1)
{
    enum { SLEEPERS = 10 };
    struct sleeper sleepers[SLEEPERS];
    sinew_task *tasks[SLEEPERS];
    event_log log = {.n = 0};
    for (int i = 0; i < SLEEPERS; i++) {
        int place = (i * 3) % SLEEPERS;
        sleepers[i] = (struct sleeper){.duration = SINEW_MS(5) + SINEW_US(400) * place, .log = &log, .number = place};
        tasks[i] = sinew_spawn(sleep_for, &sleepers[i]);
    }
    CHECK_EQ(sinew_yield(), 0);
    /* All have passed when the worker looks again. */
    CHECK_EQ(sinew_await(sinew_spawn(hog, (void *)(intptr_t)SINEW_MS(20))), 0);
    CHECK_EQ(sinew_gather(tasks, SLEEPERS, NULL), 0);
    for (int i = 0; i < SLEEPERS; i++)
        CHECK_EQ(log.events[i], i);
    return 0;
}

static intptr_t sleep_forever(void *arg)
{
    return arg ? sinew_sleep_until(SINEW_FOREVER) : sinew_sleep(SINEW_FOREVER);
}

static intptr_t sleep_almost_forever(void *arg)
{
    return arg ? sinew_sleep_until(SINEW_FOREVER - 1) : sinew_sleep(SINEW_FOREVER - 1);
}

IN_RUNTIME(endless_sleeps_end_when_cancelled)
{
    sinew_task *tasks[5] = {sinew_spawn(sleep_forever, NULL), sinew_spawn(sleep_forever, ""),
                            sinew_spawn(sleep_almost_forever, NULL), sinew_spawn(sleep_almost_forever, ""),
                            sinew_spawn(sleep_very_long, NULL)};
    intptr_t results[5];
    CHECK_EQ(sinew_sleep(SINEW_MS(2)), 0);
    for (int i = 0; i < 5; i++) {
        CHECK(!sinew_done(tasks[i]));
        CHECK(sinew_cancel(tasks[i]));
    }
    CHECK_EQ(sinew_gather_settled(tasks, 5, results), 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(results[i], -ECANCELED);
    return 0;
}

IN_RUNTIME(ten_thousand_sleepers_wake)
{
    int n = (int)scaled(10000, 500);
    struct sleeper *sleepers = calloc((size_t)n, sizeof *sleepers);
    sinew_task **tasks = calloc((size_t)n, sizeof(sinew_task *));
    for (int i = 0; i < n; i++) {
        sleepers[i].duration = SINEW_MS(1 + i % 50);
        tasks[i] = sinew_spawn(sleep_for, &sleepers[i]);
    }
    CHECK_EQ(sinew_gather(tasks, (size_t)n, NULL), 0);
    int early = 0;
    for (int i = 0; i < n; i++)
        early += sleepers[i].slept < sleepers[i].duration;
    CHECK_EQ(early, 0);
    free(tasks);
    free(sleepers);
    return 0;
}

/* The cancelled timers of many rounds do not pile up or fire later. */
IN_RUNTIME(cancelled_sleeps_leave_nothing_behind)
{
    int rounds = (int)scaled(20, 3), n = (int)scaled(1000, 100);
    sinew_task **tasks = calloc((size_t)n, sizeof(sinew_task *));
    intptr_t *results = calloc((size_t)n, sizeof *results);
    struct sleeper *sleepers = calloc((size_t)n, sizeof *sleepers);
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < n; i++) {
            sleepers[i] = (struct sleeper){.duration = SINEW_MS(1 + i % 5)};
            tasks[i] = sinew_spawn(sleep_for, &sleepers[i]);
        }
        CHECK_EQ(sinew_yield(), 0);
        for (int i = 0; i < n; i++)
            sinew_cancel(tasks[i]);
        CHECK_EQ(sinew_gather_settled(tasks, (size_t)n, results), 0);
        for (int i = 0; i < n; i++)
            CHECK(results[i] == 0 || results[i] == -ECANCELED);
    }
    free(sleepers);
    free(results);
    free(tasks);
    return 0;
}

struct yielder {
    atomic_long *steps;
    int times;
};

static intptr_t yield_often(void *arg)
{
    struct yielder *y = arg;
    for (int i = 0; i < y->times; i++) {
        int r = sinew_yield();
        if (r < 0)
            return r;
        atomic_fetch_add(y->steps, 1);
    }
    return 0;
}

IN_RUNTIME(twenty_thousand_tasks_that_yield_all_end)
{
    size_t n = scaled(20000, 1000);
    atomic_long steps = 0;
    struct yielder y = {&steps, 3};
    CHECK_EQ(sinew_map(yield_often, &y, 0, n, NULL), 0);
    CHECK_EQ(steps, (long)n * 3);
    return 0;
}

static intptr_t yield_in_turn(void *arg)
{
    struct sleeper *s = arg;
    for (int i = 0; i < 5; i++) {
        log_event(s->log, s->number);
        sinew_yield();
    }
    return 0;
}

IN_RUNTIME_PINNED(yielding_tasks_take_turns_in_order)
{
    enum { TASKS = 10 };
    event_log log = {.n = 0};
    struct sleeper takers[TASKS];
    sinew_task *tasks[TASKS];
    for (int i = 0; i < TASKS; i++) {
        takers[i] = (struct sleeper){.log = &log, .number = i};
        tasks[i] = spawn_pinned(yield_in_turn, &takers[i]);
    }
    yield_until(&log.n, TASKS * 5);
    for (int i = 0; i < TASKS * 5; i++)
        CHECK_EQ(log.events[i], i % TASKS);
    CHECK_EQ(sinew_gather(tasks, TASKS, NULL), 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(now_is_the_monotonic_clock), cmocka_unit_test(sleep_never_ends_early),
          cmocka_unit_test(sleep_until_ends_at_or_after_the_instant),
          cmocka_unit_test(a_sleep_without_duration_is_a_yield),
          cmocka_unit_test(one_worker_wakes_sleepers_in_deadline_order),
          cmocka_unit_test(timers_due_together_run_in_deadline_order_on_one_worker),
          cmocka_unit_test(endless_sleeps_end_when_cancelled), cmocka_unit_test(ten_thousand_sleepers_wake),
          cmocka_unit_test(cancelled_sleeps_leave_nothing_behind),
          cmocka_unit_test(twenty_thousand_tasks_that_yield_all_end),
          cmocka_unit_test(yielding_tasks_take_turns_in_order))
