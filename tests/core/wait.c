/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: wait looks at tasks without using them up or cancelling them, in all modes, with and without a limit.
 * Method: children held at gates; the waiter in a task of its own where it is cancelled; 1, 2 and 8 workers.
 * Cannot see: how long a wait takes beyond its lower bound.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

static void gates_begin(gate *gates, sinew_task **tasks, int n)
{
    for (int i = 0; i < n; i++) {
        gate_init(&gates[i], i + 1);
        tasks[i] = sinew_spawn(gate_pass, &gates[i]);
    }
    for (int i = 0; i < n; i++)
        yield_until(&gates[i].reached, 1);
}

/* Lets all through that are still held, and uses the handles up. */
static void gates_end(gate *gates, sinew_task **tasks, int n)
{
    for (int i = 0; i < n; i++) {
        gate_open(&gates[i], 1);
        sinew_await(tasks[i]);
    }
}

IN_RUNTIME(all_completed_returns_when_all_have_ended)
{
    gate gates[3];
    sinew_task *tasks[3];
    bool done[3] = {false, false, false};
    gates_begin(gates, tasks, 3);
    for (int i = 0; i < 3; i++)
        gate_open(&gates[i], 1);
    CHECK_EQ(sinew_wait(tasks, 3, SINEW_ALL_COMPLETED, SINEW_FOREVER, done), 3);
    for (int i = 0; i < 3; i++) {
        CHECK(done[i]);
        CHECK(sinew_done(tasks[i]));
        CHECK_EQ(sinew_await(tasks[i]), i + 1);
    }
    return 0;
}

struct opener {
    gate *gate;
    sinew_time after;
};

static intptr_t open_later(void *arg)
{
    struct opener *o = arg;
    sinew_sleep(o->after);
    gate_open(o->gate, 1);
    return 0;
}

IN_RUNTIME(first_completed_returns_when_one_has_ended)
{
    gate gates[3];
    sinew_task *tasks[3];
    bool done[3] = {true, true, true};
    gates_begin(gates, tasks, 3);
    struct opener o = {&gates[1], SINEW_MS(2)};
    sinew_task *opener = sinew_spawn(open_later, &o);
    CHECK_EQ(sinew_wait(tasks, 3, SINEW_FIRST_COMPLETED, SINEW_FOREVER, done), 1);
    CHECK(!done[0]);
    CHECK(done[1]);
    CHECK(!done[2]);
    CHECK(!sinew_done(tasks[0]));
    CHECK_EQ(sinew_await(opener), 0);
    gates_end(gates, tasks, 3);
    CHECK_EQ(gates[0].cancelled + gates[2].cancelled, 0);
    CHECK_EQ(gates[0].passed + gates[2].passed, 2);
    return 0;
}

IN_RUNTIME(first_exception_passes_over_values_and_cancels)
{
    gate gates[4];
    sinew_task *tasks[4];
    bool done[4];
    gates_begin(gates, tasks, 4);
    gates[3].result = -EIO;
    CHECK(sinew_cancel(tasks[0]));
    gate_open(&gates[1], 1);
    yield_until_done(tasks[0]);
    yield_until_done(tasks[1]);
    CHECK_EQ(sinew_wait(tasks, 4, SINEW_FIRST_EXCEPTION, SINEW_MS(5), done), 2);
    CHECK(done[0] && done[1] && !done[2] && !done[3]);
    struct opener o = {&gates[3], SINEW_MS(2)};
    sinew_task *opener = sinew_spawn(open_later, &o);
    CHECK_EQ(sinew_wait(tasks, 4, SINEW_FIRST_EXCEPTION, SINEW_FOREVER, done), 3);
    CHECK(done[0] && done[1] && !done[2] && done[3]);
    CHECK_EQ(sinew_await(opener), 0);
    CHECK_EQ(sinew_await(tasks[3]), -EIO);
    CHECK_EQ(sinew_await(tasks[0]), -ECANCELED);
    gates_end(&gates[1], &tasks[1], 2);
    return 0;
}

IN_RUNTIME(first_exception_without_one_waits_for_all)
{
    gate gates[3];
    sinew_task *tasks[3];
    gates_begin(gates, tasks, 3);
    CHECK(sinew_cancel(tasks[2]));
    gate_open(&gates[0], 1);
    gate_open(&gates[1], 1);
    CHECK_EQ(sinew_wait(tasks, 3, SINEW_FIRST_EXCEPTION, SINEW_FOREVER, NULL), 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(sinew_await(tasks[i]), i == 2 ? -ECANCELED : i + 1);
    return 0;
}

IN_RUNTIME(a_limit_that_passes_cancels_nobody)
{
    gate gates[3];
    sinew_task *tasks[3];
    bool done[3] = {true, false, true};
    gates_begin(gates, tasks, 3);
    gate_open(&gates[1], 1);
    sinew_time begin = sinew_now();
    CHECK_EQ(sinew_wait(tasks, 3, SINEW_ALL_COMPLETED, SINEW_MS(20), done), 1);
    CHECK(sinew_now() - begin >= SINEW_MS(20));
    CHECK(!done[0] && done[1] && !done[2]);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(gates[0].cancelled + gates[2].cancelled, 0);
    gates_end(gates, tasks, 3);
    CHECK_EQ(gates[0].passed + gates[1].passed + gates[2].passed, 3);
    return 0;
}

IN_RUNTIME(a_limit_of_zero_or_less_looks_once)
{
    gate gates[2];
    sinew_task *tasks[2];
    bool done[2];
    gates_begin(gates, tasks, 2);
    CHECK_EQ(sinew_wait(tasks, 2, SINEW_FIRST_COMPLETED, 0, done), 0);
    CHECK(!done[0] && !done[1]);
    CHECK_EQ(sinew_wait(tasks, 2, SINEW_FIRST_COMPLETED, -1, done), 0);
    gate_open(&gates[0], 1);
    yield_until_done(tasks[0]);
    CHECK_EQ(sinew_wait(tasks, 2, SINEW_ALL_COMPLETED, 0, done), 1);
    CHECK(done[0] && !done[1]);
    gates_end(gates, tasks, 2);
    return 0;
}

static intptr_t mark(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

IN_RUNTIME_PINNED(wait_suspends_once_even_if_all_have_ended)
{
    sinew_task *t = spawn_pinned(return_arg, NULL);
    yield_until_done(t);
    atomic_int marked = 0;
    sinew_task *marker = spawn_pinned(mark, &marked);
    CHECK_EQ(sinew_wait(&t, 1, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL), 1);
    CHECK_EQ(marked, 1);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(sinew_await(marker), 0);
    return 0;
}

IN_RUNTIME(wrong_arguments_give_einval)
{
    gate g;
    gate_init(&g, 0);
    sinew_task *t = sinew_spawn(gate_pass, &g);
    sinew_task *with_null[2] = {t, NULL};
    CHECK_EQ(sinew_wait(&t, 0, SINEW_ALL_COMPLETED, 0, NULL), -EINVAL);
    CHECK_EQ(sinew_wait(NULL, 0, SINEW_ALL_COMPLETED, 0, NULL), -EINVAL);
    CHECK_EQ(sinew_wait(with_null, 2, SINEW_ALL_COMPLETED, 0, NULL), -EINVAL);
    CHECK_EQ(sinew_wait(&t, 1, (sinew_wait_mode)17, 0, NULL), -EINVAL);
    CHECK_EQ(sinew_wait(&t, 1, (sinew_wait_mode)3, SINEW_FOREVER, NULL), -EINVAL);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(t), 0);
    return 0;
}

struct waiting {
    sinew_task **tasks;
    size_t n;
    atomic_int started;
    int cancelling, next_checkpoint;
};

static intptr_t wait_in_task(void *arg)
{
    struct waiting *w = arg;
    atomic_store(&w->started, 1);
    int r = sinew_wait(w->tasks, w->n, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL);
    w->cancelling = sinew_cancelling();
    w->next_checkpoint = sinew_yield();
    return r;
}

IN_RUNTIME(cancelling_a_wait_leaves_the_tasks_alone)
{
    gate gates[3];
    sinew_task *tasks[3];
    gates_begin(gates, tasks, 3);
    struct waiting w = {.tasks = tasks, .n = 3};
    sinew_task *t = sinew_spawn(wait_in_task, &w);
    yield_until(&w.started, 1);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(w.cancelling, 1);
    CHECK_EQ(w.next_checkpoint, 0);
    for (int i = 0; i < 3; i++)
        CHECK(!sinew_done(tasks[i]));
    gates_end(gates, tasks, 3);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(gates[i].cancelled, 0);
        CHECK_EQ(gates[i].passed, 1);
    }
    return 0;
}

IN_RUNTIME(a_timeout_scope_around_a_wait_gives_etimedout_and_leaves_the_tasks_alone)
{
    gate gates[2];
    sinew_task *tasks[2];
    gates_begin(gates, tasks, 2);
    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_MS(3));
    CHECK_EQ(sinew_wait(tasks, 2, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
    gates_end(gates, tasks, 2);
    CHECK_EQ(gates[0].passed + gates[1].passed, 2);
    return 0;
}

IN_RUNTIME(several_waits_may_watch_the_same_tasks)
{
    enum { WATCHERS = 20, TASKS = 5 };
    gate gates[TASKS];
    sinew_task *tasks[TASKS], *watchers[WATCHERS];
    struct waiting w[WATCHERS];
    gates_begin(gates, tasks, TASKS);
    for (int i = 0; i < WATCHERS; i++) {
        w[i] = (struct waiting){.tasks = tasks, .n = TASKS};
        watchers[i] = sinew_spawn(wait_in_task, &w[i]);
        yield_until(&w[i].started, 1);
    }
    for (int i = 0; i < TASKS; i++)
        gate_open(&gates[i], 1);
    for (int i = 0; i < WATCHERS; i++)
        CHECK_EQ(sinew_await(watchers[i]), TASKS);
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(sinew_await(tasks[i]), i + 1);
    return 0;
}

struct look {
    sinew_task *task;
    int rounds, missed;
};

static intptr_t wait_often(void *arg)
{
    struct look *l = arg;
    for (int i = 0; i < l->rounds; i++)
        sinew_wait(&l->task, 1, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL);
    return 0;
}

static intptr_t look_often(void *arg)
{
    struct look *l = arg;
    for (int i = 0; i < l->rounds * 10; i++)
        l->missed += !sinew_done(l->task);
    return 0;
}

IN_RUNTIME(what_is_done_stays_done_while_others_wait_for_it)
{
    sinew_task *ended = sinew_spawn(wait_in_task, &(struct waiting){.tasks = NULL});
    sinew_await(sinew_ref(ended));
    struct look looks[4];
    sinew_task *tasks[4];
    for (int i = 0; i < 4; i++) {
        looks[i] = (struct look){ended, (int)scaled(50000, 1000), 0};
        tasks[i] = sinew_spawn(i % 2 ? wait_often : look_often, &looks[i]);
    }
    CHECK_EQ(sinew_gather(tasks, 4, NULL), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(looks[i].missed, 0);
    sinew_detach(ended);
    return 0;
}

struct watch_end {
    sinew_task *awaited, *watched;
    atomic_int missed;
};

static intptr_t await_then_look(void *arg)
{
    struct watch_end *w = arg;
    intptr_t r = sinew_await(sinew_ref(w->awaited));
    if (!sinew_done(w->watched))
        atomic_fetch_add(&w->missed, 1);
    return r;
}

IN_RUNTIME(who_has_awaited_a_task_finds_it_done)
{
    for (int round = (int)scaled(300, 20); round > 0; round--) {
        gate g;
        gate_init(&g, 0);
        sinew_task *t = sinew_spawn(gate_pass, &g);
        struct watch_end w = {.awaited = t, .watched = t};
        sinew_task *awaiters[50];
        for (int i = 0; i < 50; i++)
            awaiters[i] = sinew_spawn(await_then_look, &w);
        yield_until(&g.reached, 1);
        gate_open(&g, 1);
        CHECK_EQ(sinew_gather(awaiters, 50, NULL), 0);
        CHECK_EQ(w.missed, 0);
        sinew_detach(t);
    }
    return 0;
}

IN_RUNTIME(tasks_are_taken_one_by_one_as_they_end)
{
    enum { TASKS = 50 };
    static gate gates[TASKS];
    sinew_task *left[TASKS];
    gates_begin(gates, left, TASKS);
    intptr_t sum = 0;
    for (int n = TASKS; n > 0;) {
        bool done[TASKS];
        gate_open(&gates[TASKS - n], 1);
        int ended = sinew_wait(left, (size_t)n, SINEW_FIRST_COMPLETED, SINEW_FOREVER, done);
        CHECK(ended >= 1);
        int kept = 0;
        for (int i = 0; i < n; i++) {
            if (done[i])
                sum += sinew_await(left[i]);
            else
                left[kept++] = left[i];
        }
        if (!CHECK_EQ(kept, n - ended))
            break;
        n = kept;
    }
    CHECK_EQ(sum, TASKS * (TASKS + 1) / 2);
    return 0;
}

IN_RUNTIME(waiting_often_on_a_long_lived_task_leaves_nothing_behind)
{
    gate gates[2];
    sinew_task *tasks[2];
    gates_begin(gates, tasks, 2);
    int rounds = (int)scaled(20000, 500);
    for (int i = 0; i < rounds; i++)
        if (!CHECK_EQ(sinew_wait(tasks, 2, SINEW_FIRST_COMPLETED, 0, NULL), 0))
            break;
    gates_end(gates, tasks, 2);
    return 0;
}

/* Each place of the array is a waiter of the task, and is taken off when the wait ends: were the time of one to grow
 * with the number of the others, this would not end before the alarm. */
IN_RUNTIME(one_task_may_be_waited_for_very_many_times)
{
    enum { TIMES = 500000 };
    sinew_task **tasks = malloc(TIMES * sizeof *tasks);
    if (!CHECK(tasks != NULL))
        return 0;
    gate g;
    gate_init(&g, 7);
    sinew_task *t = sinew_spawn(gate_pass, &g);
    for (int i = 0; i < TIMES; i++)
        tasks[i] = t;
    CHECK_EQ(sinew_wait(tasks, TIMES, SINEW_ALL_COMPLETED, 0, NULL), 0);
    gate_open(&g, 1);
    CHECK_EQ(sinew_wait(tasks, TIMES, SINEW_ALL_COMPLETED, SINEW_FOREVER, NULL), TIMES);
    free(tasks);
    return sinew_await(t) - 7;
}

TEST_MAIN(cmocka_unit_test(one_task_may_be_waited_for_very_many_times),
          cmocka_unit_test(all_completed_returns_when_all_have_ended),
          cmocka_unit_test(first_completed_returns_when_one_has_ended),
          cmocka_unit_test(first_exception_passes_over_values_and_cancels),
          cmocka_unit_test(first_exception_without_one_waits_for_all),
          cmocka_unit_test(a_limit_that_passes_cancels_nobody), cmocka_unit_test(a_limit_of_zero_or_less_looks_once),
          cmocka_unit_test(wait_suspends_once_even_if_all_have_ended), cmocka_unit_test(wrong_arguments_give_einval),
          cmocka_unit_test(cancelling_a_wait_leaves_the_tasks_alone),
          cmocka_unit_test(a_timeout_scope_around_a_wait_gives_etimedout_and_leaves_the_tasks_alone),
          cmocka_unit_test(several_waits_may_watch_the_same_tasks),
          cmocka_unit_test(what_is_done_stays_done_while_others_wait_for_it),
          cmocka_unit_test(who_has_awaited_a_task_finds_it_done),
          cmocka_unit_test(tasks_are_taken_one_by_one_as_they_end),
          cmocka_unit_test(waiting_often_on_a_long_lived_task_leaves_nothing_behind))
