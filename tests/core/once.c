/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: of all who call at once, exactly one runs the function, and all get its result; a failure or a cancel passes
 * the turn on and is never taken for done.
 * Method: pinned groups with a gate inside of the function for every order of failure and cancel; many tasks that race.
 * Cannot see: a function that is run a second time without being counted.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

static sinew_once static_once = SINEW_ONCE_INIT;

struct work {
    sinew_once *once;
    gate *gate; /* to pass inside of the function; NULL: none */
    event_log *log;
    int number;
    intptr_t result;
};

static intptr_t do_work(void *arg)
{
    struct work *w = arg;
    if (w->log)
        log_event(w->log, w->number);
    if (w->gate) {
        intptr_t r = gate_pass(w->gate);
        if (r < 0)
            return r;
    }
    return w->result;
}

static intptr_t work_once(void *arg)
{
    struct work *w = arg;
    return sinew_once_run(w->once, do_work, w);
}

static void yield_some(void)
{
    for (int i = 0; i < 4; i++)
        CHECK_EQ(sinew_yield(), 0);
}

IN_RUNTIME(the_first_runs_it_and_later_ones_get_its_result)
{
    sinew_once once = SINEW_ONCE_INIT;
    event_log log = {.n = 0};
    struct work first = {&once, NULL, &log, 1, 42}, second = {&once, NULL, &log, 2, 43};
    CHECK_EQ(sinew_await(sinew_spawn(work_once, &first)), 42);
    CHECK_EQ(sinew_await(sinew_spawn(work_once, &second)), 42);
    CHECK_EQ(work_once(&second), 42);
    CHECK_EQ(log.n, 1);
    return 0;
}

IN_RUNTIME_PINNED(callers_meanwhile_wait_for_the_end)
{
    sinew_once once = SINEW_ONCE_INIT;
    event_log log = {.n = 0};
    gate g;
    struct work w[4];
    sinew_task *tasks[4];
    intptr_t results[4];
    gate_init(&g, 0);
    for (int i = 0; i < 4; i++) {
        w[i] = (struct work){&once, &g, &log, i, 10 + i};
        tasks[i] = spawn_pinned(work_once, &w[i]);
    }
    yield_some();
    for (int i = 0; i < 4; i++)
        CHECK(!sinew_done(tasks[i]));
    gate_open(&g, 1);
    CHECK_EQ(sinew_gather(tasks, 4, results), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(results[i], 10);
    CHECK_EQ(log.n, 1);
    return 0;
}

IN_RUNTIME_PINNED(after_a_failure_the_longest_waiter_tries_again)
{
    sinew_once once = SINEW_ONCE_INIT;
    event_log log = {.n = 0};
    gate g;
    struct work w[4];
    sinew_task *tasks[4];
    intptr_t results[4];
    gate_init(&g, 0);
    for (int i = 0; i < 4; i++) {
        w[i] = (struct work){&once, &g, &log, i, i < 2 ? -EIO : i};
        tasks[i] = spawn_pinned(work_once, &w[i]);
    }
    yield_some();
    gate_open(&g, 3);
    CHECK_EQ(sinew_gather_settled(tasks, 4, results), 0);
    CHECK_EQ(results[0], -EIO);
    CHECK_EQ(results[1], -EIO);
    CHECK_EQ(results[2], 2);
    CHECK_EQ(results[3], 2);
    CHECK_EQ(log.n, 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(log.events[i], i);
    return 0;
}

IN_RUNTIME(after_a_failure_that_nobody_waited_for_the_next_caller_tries_again)
{
    sinew_once once = SINEW_ONCE_INIT;
    struct work bad = {&once, NULL, NULL, 0, -EIO}, good = {&once, NULL, NULL, 0, 5};
    CHECK_EQ(work_once(&bad), -EIO);
    CHECK_EQ(work_once(&bad), -EIO);
    CHECK_EQ(work_once(&good), 5);
    CHECK_EQ(work_once(&bad), 5);
    return 0;
}

IN_RUNTIME_PINNED(a_cancelled_runner_passes_its_turn_on)
{
    sinew_once once = SINEW_ONCE_INIT;
    gate held, open;
    struct work w[2] = {{&once, &held, NULL, 0, 1}, {&once, &open, NULL, 1, 2}};
    sinew_task *tasks[2];
    gate_init(&held, 0);
    gate_init(&open, 0);
    gate_open(&open, 1);
    for (int i = 0; i < 2; i++)
        tasks[i] = spawn_pinned(work_once, &w[i]);
    yield_some();
    CHECK(sinew_cancel(tasks[0]));
    CHECK_EQ(sinew_await(tasks[0]), -ECANCELED);
    CHECK_EQ(sinew_await(tasks[1]), 2);
    return 0;
}

IN_RUNTIME_PINNED(a_waiter_cancelled_when_its_turn_had_come_passes_it_on)
{
    sinew_once once = SINEW_ONCE_INIT;
    event_log log = {.n = 0};
    struct work w[3];
    sinew_task *tasks[3];
    intptr_t results[3];
    gate g;
    gate_init(&g, 0);
    for (int i = 0; i < 3; i++) {
        w[i] = (struct work){&once, i == 0 ? &g : NULL, &log, i, i == 0 ? -EIO : i};
        tasks[i] = spawn_pinned(work_once, &w[i]);
    }
    yield_some();
    gate_open(&g, 1);
    while (!sinew_done(tasks[0])) /* the first fails; the second is woken behind this task and has not run */
        CHECK_EQ(sinew_yield(), 0);
    CHECK(!sinew_done(tasks[1]));
    CHECK_EQ(log.n, 1);
    CHECK(sinew_cancel(tasks[1]));
    CHECK_EQ(sinew_gather_settled(tasks, 3, results), 0);
    CHECK_EQ(results[0], -EIO);
    CHECK_EQ(results[1], -ECANCELED);
    CHECK_EQ(results[2], 2);
    CHECK_EQ(log.n, 2);
    CHECK_EQ(log.events[1], 2);
    return 0;
}

IN_RUNTIME_PINNED(a_cancelled_waiter_disturbs_nobody)
{
    sinew_once once = SINEW_ONCE_INIT;
    gate g;
    struct work w = {&once, &g, NULL, 0, 3};
    sinew_task *tasks[3];
    intptr_t results[3];
    gate_init(&g, 0);
    for (int i = 0; i < 3; i++)
        tasks[i] = spawn_pinned(work_once, &w);
    yield_some();
    CHECK(sinew_cancel(tasks[1]));
    yield_some();
    CHECK(sinew_done(tasks[1]));
    gate_open(&g, 1);
    CHECK_EQ(sinew_gather_settled(tasks, 3, results), 0);
    CHECK_EQ(results[0], 3);
    CHECK_EQ(results[1], -ECANCELED);
    CHECK_EQ(results[2], 3);
    return 0;
}

static intptr_t call_again(void *arg)
{
    return sinew_once_run(arg, call_again, arg);
}

IN_RUNTIME(a_function_that_calls_its_own_once_is_told)
{
    sinew_once once = SINEW_ONCE_INIT;
    struct work w = {&once, NULL, NULL, 0, 1};
    CHECK_EQ(sinew_once_run(&once, call_again, &once), -EDEADLK);
    CHECK_EQ(work_once(&w), 1);
    return 0;
}

struct race {
    sinew_once once;
    atomic_int inside, runs, ended;
    int failures; /* so many first runs fail */
    long value;   /* plain: the once orders it */
};

static intptr_t compute(void *arg)
{
    struct race *r = arg;
    CHECK_EQ(atomic_fetch_add(&r->inside, 1), 0);
    int run = atomic_fetch_add(&r->runs, 1);
    sinew_yield();
    r->value++;
    atomic_fetch_sub(&r->inside, 1);
    return run < r->failures ? -EIO : 1000 + run;
}

static intptr_t compute_once(void *arg)
{
    struct race *r = arg;
    intptr_t result = sinew_once_run(&r->once, compute, r);
    if (result >= 0)
        CHECK_EQ(r->value, r->failures + 1);
    if (atomic_fetch_add(&r->ended, 1) == 9)
        free(r);
    return result;
}

IN_RUNTIME(of_many_exactly_one_succeeds_and_the_once_may_end_when_all_are_back)
{
    int rounds = (int)scaled(1000, 100);
    for (int i = 0; i < rounds; i++) {
        struct race *r = malloc(sizeof *r);
        *r = (struct race){.once = SINEW_ONCE_INIT, .failures = i % 3};
        sinew_task *tasks[10];
        intptr_t results[10];
        for (int k = 0; k < 10; k++)
            tasks[k] = sinew_spawn(compute_once, r);
        sinew_gather_settled(tasks, 10, results);
        int failed = 0;
        for (int k = 0; k < 10; k++) {
            failed += results[k] == -EIO;
            CHECK(results[k] == -EIO || results[k] == 1000 + i % 3);
        }
        if (!CHECK_EQ(failed, i % 3))
            break;
    }
    return 0;
}

IN_RUNTIME(a_static_one_is_done_once_in_the_process)
{
    static atomic_int first;
    struct work w = {&static_once, NULL, NULL, 0, atomic_fetch_add(&first, 1)};
    CHECK_EQ(work_once(&w), 0);
    return 0;
}

static void misuse_is_told(void **state)
{
    (void)state;
    sinew_once once = SINEW_ONCE_INIT;
    assert_int_equal(sinew_once_run(NULL, return_arg, NULL), -EINVAL);
    assert_int_equal(sinew_once_run(&once, NULL, NULL), -EINVAL);
    assert_int_equal(sinew_once_run(&once, return_arg, NULL), -EPERM);
}

static intptr_t finish(void *arg)
{
    return sinew_once_run(arg, return_arg, (void *)9) - 9;
}

static void what_is_done_is_answered_outside_of_a_task_too(void **state)
{
    (void)state;
    sinew_once once = SINEW_ONCE_INIT;
    assert_int_equal(run_workers(1, finish, &once), 0);
    assert_int_equal(sinew_once_run(&once, return_arg, NULL), 9);
}

TEST_MAIN(cmocka_unit_test(the_first_runs_it_and_later_ones_get_its_result),
          cmocka_unit_test(callers_meanwhile_wait_for_the_end),
          cmocka_unit_test(after_a_failure_the_longest_waiter_tries_again),
          cmocka_unit_test(after_a_failure_that_nobody_waited_for_the_next_caller_tries_again),
          cmocka_unit_test(a_cancelled_runner_passes_its_turn_on),
          cmocka_unit_test(a_waiter_cancelled_when_its_turn_had_come_passes_it_on),
          cmocka_unit_test(a_cancelled_waiter_disturbs_nobody),
          cmocka_unit_test(a_function_that_calls_its_own_once_is_told),
          cmocka_unit_test(of_many_exactly_one_succeeds_and_the_once_may_end_when_all_are_back),
          cmocka_unit_test(a_static_one_is_done_once_in_the_process), cmocka_unit_test(misuse_is_told),
          cmocka_unit_test(what_is_done_is_answered_outside_of_a_task_too))
