/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: tasks are delivered once each, in the order in which they end, whatever happens to the caller and its handles.
 * Method: gated tasks that are let through in a known order; chains, in which each task ends because it has seen the
 * end of another; and very many that just end.
 * Cannot see: the order of two ends of which neither knows of the other.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/random.h>
#include <tests/support/run.h>
#include <tests/support/tasks.h>

/* Tasks that have all begun and are held, each at a gate of its own; they return 1, 2, 3 ... */
static void gates_begin(gate *gates, sinew_task **tasks, int n)
{
    for (int i = 0; i < n; i++) {
        gate_init(&gates[i], i + 1);
        tasks[i] = sinew_spawn(gate_pass, &gates[i]);
    }
    for (int i = 0; i < n; i++)
        yield_until(&gates[i].reached, 1);
}

static void let_through(gate *gates, sinew_task **tasks, int i)
{
    gate_open(&gates[i], 1);
    yield_until_done(tasks[i]);
}

static void await_all(sinew_task **tasks, int n)
{
    for (int i = 0; i < n; i++)
        CHECK_EQ(sinew_await(tasks[i]), i + 1);
}

/* --- A106 --------------------------------------------------------------------------------------------------------- */

IN_RUNTIME(tasks_are_delivered_as_they_end)
{
    static const int order[] = {3, 0, 4, 1, 2};
    gate gates[5];
    sinew_task *tasks[5];
    sinew_as_completed it;
    gates_begin(gates, tasks, 5);
    CHECK_EQ(sinew_as_completed_begin(&it, tasks, 5, SINEW_FOREVER), 0);
    for (int i = 0; i < 3; i++)
        let_through(gates, tasks, order[i]);
    for (int i = 0; i < 5; i++) {
        if (i >= 3)
            gate_open(&gates[order[i]], 1);
        CHECK_EQ(sinew_as_completed_next(&it), order[i]);
        CHECK(sinew_done(tasks[order[i]]));
    }
    CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
    CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
    sinew_as_completed_end(&it);
    await_all(tasks, 5);
    return 0;
}

IN_RUNTIME(what_had_ended_before_comes_first_in_the_order_of_the_array)
{
    gate gates[5];
    sinew_task *tasks[5];
    sinew_as_completed it;
    gates_begin(gates, tasks, 5);
    let_through(gates, tasks, 4);
    let_through(gates, tasks, 1);
    let_through(gates, tasks, 3);
    CHECK_EQ(sinew_as_completed_begin(&it, tasks, 5, SINEW_FOREVER), 0);
    let_through(gates, tasks, 2);
    let_through(gates, tasks, 0);
    static const int order[] = {1, 3, 4, 2, 0};
    for (int i = 0; i < 5; i++)
        CHECK_EQ(sinew_as_completed_next(&it), order[i]);
    CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
    sinew_as_completed_end(&it);
    await_all(tasks, 5);
    return 0;
}

IN_RUNTIME(a_task_that_is_there_several_times_is_delivered_once)
{
    gate gates[3];
    sinew_task *tasks[3];
    sinew_as_completed it;
    gates_begin(gates, tasks, 3);
    sinew_task *several[] = {tasks[2], tasks[0], tasks[2], tasks[1], tasks[0], tasks[2], tasks[1]};
    let_through(gates, tasks, 1);
    CHECK_EQ(sinew_as_completed_begin(&it, several, 7, SINEW_FOREVER), 0);
    let_through(gates, tasks, 0);
    let_through(gates, tasks, 2);
    CHECK_EQ(sinew_as_completed_next(&it), 3);
    CHECK_EQ(sinew_as_completed_next(&it), 1);
    CHECK_EQ(sinew_as_completed_next(&it), 0);
    CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
    sinew_as_completed_end(&it);
    await_all(tasks, 3);
    return 0;
}

IN_RUNTIME(of_no_tasks_there_is_none)
{
    sinew_as_completed it;
    CHECK_EQ(sinew_as_completed_begin(&it, NULL, 0, SINEW_MS(1)), 0);
    CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
    CHECK(!sinew_as_completed_timed_out(&it));
    sinew_as_completed_end(&it);
    return 0;
}

/* A chain: each task ends once it knows that the one before it has. */
struct link {
    sinew_task *before;
    bool polls;
};

static intptr_t follow(void *arg)
{
    struct link *l = arg;
    if (!l->polls)
        return sinew_await(l->before);
    yield_until_done(l->before);
    sinew_detach(l->before); /* an await would wait until everybody else has been woken */
    return 0;
}

IN_RUNTIME(a_task_that_has_seen_the_end_of_another_comes_after_it)
{
    enum { LINKS = 12 };
    int rounds = (int)scaled(2000, 150);
    uint64_t random = random_seed();
    for (int round = 0; round < rounds && !atomic_load(&check_failures); round++) {
        gate g;
        struct link links[LINKS];
        sinew_task *tasks[LINKS], *shuffled[LINKS];
        int place[LINKS], late = (int)random_below(&random, LINKS);
        sinew_as_completed it;
        gate_init(&g, 0);
        tasks[0] = sinew_spawn(gate_pass, &g);
        /* Some begin to wait before the iterator, some after it. */
        for (int i = 0; i < LINKS; i++)
            place[i] = i;
        for (int i = 1; i < LINKS; i++) {
            links[i] = (struct link){sinew_ref(tasks[i - 1]), random_below(&random, 2)};
            tasks[i] = sinew_spawn(follow, &links[i]);
            if (i == late)
                sinew_yield();
        }
        for (int i = LINKS - 1; i > 0; i--) {
            int j = (int)random_below(&random, (uint64_t)i + 1), swap = place[i];
            place[i] = place[j];
            place[j] = swap;
        }
        for (int i = 0; i < LINKS; i++)
            shuffled[place[i]] = tasks[i];
        CHECK_EQ(sinew_as_completed_begin(&it, shuffled, LINKS, SINEW_FOREVER), 0);
        gate_open(&g, 1);
        for (int i = 0; i < LINKS; i++) {
            intptr_t next = sinew_as_completed_next(&it);
            if (!CHECK_EQ(next, place[i]))
                break;
            CHECK(sinew_done(shuffled[next]));
        }
        sinew_as_completed_end(&it);
        for (int i = 0; i < LINKS; i++)
            CHECK_EQ(sinew_await(tasks[i]), 0);
    }
    return 0;
}

static intptr_t do_something(void *arg)
{
    intptr_t n = (intptr_t)arg;
    if (n % 5 == 0)
        sinew_sleep(SINEW_US(n % 300));
    else if (n % 3 == 0)
        sinew_yield();
    return n;
}

/* The task that ends has many to wake; meanwhile others can see already that it has ended. */
IN_RUNTIME_WITH(a_task_is_noted_before_its_end_can_be_seen, 2, 4, 8)
{
    enum { AWAITERS = 300 };
    int rounds = (int)scaled(100, 20);
    for (int round = 0; round < rounds && !atomic_load(&check_failures); round++) {
        gate g;
        struct link links[AWAITERS];
        sinew_task *awaiters[AWAITERS];
        gate_init(&g, 0);
        sinew_task *first = sinew_spawn(gate_pass, &g);
        yield_until(&g.reached, 1);
        for (int i = 0; i < AWAITERS; i++) {
            links[i] = (struct link){sinew_ref(first), false};
            awaiters[i] = spawn_eager(follow, &links[i]);
        }
        struct link polling = {sinew_ref(first), true};
        sinew_task *tasks[2] = {sinew_spawn(follow, &polling), first};
        sinew_as_completed it;
        CHECK_EQ(sinew_as_completed_begin(&it, tasks, 2, SINEW_FOREVER), 0);
        gate_open(&g, 1);
        CHECK_EQ(sinew_as_completed_next(&it), 1);
        CHECK_EQ(sinew_as_completed_next(&it), 0);
        sinew_as_completed_end(&it);
        CHECK_EQ(sinew_await(tasks[0]), 0);
        CHECK_EQ(sinew_await(first), 0);
        CHECK_EQ(sinew_gather(awaiters, AWAITERS, NULL), 0);
    }
    return 0;
}

IN_RUNTIME(each_of_very_many_is_delivered_exactly_once)
{
    size_t n = scaled(20000, 1000), delivered = 0;
    sinew_task **tasks = malloc(n * sizeof(sinew_task *));
    bool *seen = calloc(n, sizeof *seen);
    sinew_as_completed it;
    for (size_t i = 0; i < n; i++)
        tasks[i] = sinew_spawn(do_something, (void *)(intptr_t)i);
    CHECK_EQ(sinew_as_completed_begin(&it, tasks, n, SINEW_FOREVER), 0);
    for (intptr_t i; (i = sinew_as_completed_next(&it)) != -ENOENT; delivered++) {
        if (!CHECK(i >= 0 && (size_t)i < n && !seen[i]))
            break;
        seen[i] = true;
        CHECK_EQ(sinew_await(tasks[i]), i);
    }
    CHECK_EQ(delivered, n);
    sinew_as_completed_end(&it);
    free(tasks);
    free(seen);
    return 0;
}

IN_RUNTIME(two_iterators_may_watch_the_same_tasks)
{
    gate gates[3];
    sinew_task *tasks[3];
    sinew_as_completed a, b;
    gates_begin(gates, tasks, 3);
    CHECK_EQ(sinew_as_completed_begin(&a, tasks, 3, SINEW_FOREVER), 0);
    CHECK_EQ(sinew_as_completed_begin(&b, &tasks[1], 2, SINEW_FOREVER), 0);
    let_through(gates, tasks, 2);
    CHECK_EQ(sinew_as_completed_next(&b), 1);
    CHECK_EQ(sinew_as_completed_next(&a), 2);
    let_through(gates, tasks, 1);
    let_through(gates, tasks, 0);
    CHECK_EQ(sinew_as_completed_next(&b), 0);
    CHECK_EQ(sinew_as_completed_next(&a), 1);
    CHECK_EQ(sinew_as_completed_next(&a), 0);
    CHECK_EQ(sinew_as_completed_next(&b), -ENOENT);
    sinew_as_completed_end(&a);
    sinew_as_completed_end(&b);
    await_all(tasks, 3);
    return 0;
}

/* --- A107: the timeout -------------------------------------------------------------------------------------------- */

IN_RUNTIME(after_the_timeout_each_one_left_is_a_timeout_and_goes_on)
{
    gate gates[3];
    sinew_task *tasks[3];
    sinew_as_completed it;
    gates_begin(gates, tasks, 3);
    let_through(gates, tasks, 1);
    sinew_time begin = sinew_now();
    CHECK_EQ(sinew_as_completed_begin(&it, tasks, 3, SINEW_MS(20)), 0);
    CHECK_EQ(sinew_as_completed_next(&it), 1);
    CHECK(!sinew_as_completed_timed_out(&it));
    CHECK_EQ(sinew_as_completed_next(&it), -ETIMEDOUT);
    CHECK(sinew_now() - begin >= SINEW_MS(20));
    CHECK(sinew_as_completed_timed_out(&it));
    CHECK(!sinew_done(tasks[0]) && !sinew_done(tasks[2]));
    let_through(gates, tasks, 0); /* too late */
    CHECK_EQ(sinew_as_completed_next(&it), -ETIMEDOUT);
    CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
    CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
    CHECK(!sinew_done(tasks[2]));
    sinew_as_completed_end(&it);
    gate_open(&gates[2], 1);
    await_all(tasks, 3);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(gates[i].cancelled, 0);
    return 0;
}

/* False: the limit passed before the tasks had ended, so that this has shown nothing. */
static bool deliver_after_the_timeout(sinew_time limit)
{
    gate gates[3];
    sinew_task *tasks[3];
    sinew_as_completed it;
    gates_begin(gates, tasks, 3);
    sinew_time begin = sinew_now();
    CHECK_EQ(sinew_as_completed_begin(&it, tasks, 3, limit), 0);
    let_through(gates, tasks, 2);
    let_through(gates, tasks, 0);
    bool in_time = sinew_now() - begin < limit;
    CHECK_EQ(sinew_sleep(limit + SINEW_MS(5)), 0);
    if (in_time) {
        CHECK_EQ(sinew_as_completed_next(&it), 2);
        CHECK_EQ(sinew_as_completed_next(&it), 0);
        CHECK_EQ(sinew_as_completed_next(&it), -ETIMEDOUT);
        CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
    }
    sinew_as_completed_end(&it);
    gate_open(&gates[1], 1);
    await_all(tasks, 3);
    return in_time;
}

IN_RUNTIME(what_ended_in_time_is_delivered_also_after_the_timeout)
{
    sinew_time limit = SINEW_MS(10);
    while (!deliver_after_the_timeout(limit))
        limit *= 2;
    return 0;
}

IN_RUNTIME(a_timeout_of_nothing_gives_what_has_ended_already)
{
    for (sinew_time timeout = -1; timeout <= 0; timeout++) {
        gate gates[3];
        sinew_task *tasks[3];
        sinew_as_completed it;
        gates_begin(gates, tasks, 3);
        let_through(gates, tasks, 1);
        CHECK_EQ(sinew_as_completed_begin(&it, tasks, 3, timeout), 0);
        CHECK_EQ(sinew_as_completed_next(&it), 1);
        CHECK_EQ(sinew_as_completed_next(&it), -ETIMEDOUT);
        CHECK_EQ(sinew_as_completed_next(&it), -ETIMEDOUT);
        CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
        sinew_as_completed_end(&it);
        gate_open(&gates[0], 1);
        gate_open(&gates[2], 1);
        await_all(tasks, 3);
    }
    return 0;
}

IN_RUNTIME(a_scope_around_it_is_told_from_its_own_timeout)
{
    gate g;
    sinew_task *task;
    sinew_as_completed it;
    sinew_timeout scope;
    gates_begin(&g, &task, 1);
    CHECK_EQ(sinew_as_completed_begin(&it, &task, 1, SINEW_S(60)), 0);
    sinew_timeout_begin(&scope, SINEW_MS(2));
    CHECK_EQ(sinew_as_completed_next(&it), -ETIMEDOUT);
    CHECK(!sinew_as_completed_timed_out(&it));
    CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
    /* Nothing was lost by it. */
    gate_open(&g, 1);
    CHECK_EQ(sinew_as_completed_next(&it), 0);
    CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
    sinew_as_completed_end(&it);
    await_all(&task, 1);

    gates_begin(&g, &task, 1);
    sinew_timeout_begin(&scope, SINEW_S(60));
    CHECK_EQ(sinew_as_completed_begin(&it, &task, 1, SINEW_MS(2)), 0);
    CHECK_EQ(sinew_as_completed_next(&it), -ETIMEDOUT);
    CHECK(sinew_as_completed_timed_out(&it));
    CHECK_EQ(sinew_timeout_end(&scope), 0);
    sinew_as_completed_end(&it);
    gate_open(&g, 1);
    await_all(&task, 1);
    return 0;
}

/* --- cancel ------------------------------------------------------------------------------------------------------- */

struct watcher {
    sinew_task **tasks;
    size_t n;
    atomic_int waits;
    intptr_t got[4];
    bool goes_on;
};

static intptr_t watch(void *arg)
{
    struct watcher *w = arg;
    sinew_as_completed it;
    CHECK_EQ(sinew_as_completed_begin(&it, w->tasks, w->n, SINEW_FOREVER), 0);
    atomic_store(&w->waits, 1);
    w->got[0] = sinew_as_completed_next(&it);
    for (int i = 1; w->goes_on && i < 4; i++)
        w->got[i] = sinew_as_completed_next(&it);
    sinew_as_completed_end(&it);
    return w->got[0];
}

IN_RUNTIME(cancelling_the_caller_leaves_the_tasks_alone)
{
    gate gates[2];
    sinew_task *tasks[2];
    gates_begin(gates, tasks, 2);
    struct watcher w = {.tasks = tasks, .n = 2};
    sinew_task *watcher = sinew_spawn(watch, &w);
    yield_until(&w.waits, 1);
    CHECK(sinew_cancel(watcher));
    CHECK_EQ(sinew_await(watcher), -ECANCELED);
    CHECK(!sinew_done(tasks[0]) && !sinew_done(tasks[1]));
    for (int i = 0; i < 2; i++)
        gate_open(&gates[i], 1);
    await_all(tasks, 2);
    CHECK_EQ(gates[0].cancelled + gates[1].cancelled, 0);
    return 0;
}

IN_RUNTIME_PINNED(after_a_cancel_the_next_call_goes_on)
{
    gate gates[2];
    sinew_task *tasks[2];
    gates_begin(gates, tasks, 2);
    struct watcher w = {.tasks = tasks, .n = 2, .goes_on = true};
    sinew_task *watcher = spawn_pinned(watch, &w);
    yield_until(&w.waits, 1);
    CHECK_EQ(sinew_yield(), 0);
    /* The end of a task and the cancel come together: neither is lost. */
    let_through(gates, tasks, 1);
    CHECK(sinew_cancel(watcher) || w.got[0] == 1);
    gate_open(&gates[0], 1);
    intptr_t first = sinew_await(watcher);
    if (first == -ECANCELED) {
        CHECK_EQ(w.got[1], 1);
        CHECK_EQ(w.got[2], 0);
        CHECK_EQ(w.got[3], -ENOENT);
    } else {
        CHECK_EQ(first, 1);
    }
    await_all(tasks, 2);
    return 0;
}

static intptr_t cancel_me_first(void *arg)
{
    struct watcher *w = arg;
    sinew_as_completed it;
    CHECK_EQ(sinew_as_completed_begin(&it, w->tasks, w->n, SINEW_FOREVER), 0);
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_as_completed_next(&it), -ECANCELED);
    CHECK_EQ(sinew_as_completed_next(&it), 0);
    sinew_as_completed_end(&it);
    return 7;
}

IN_RUNTIME(a_pending_cancel_is_delivered_although_a_task_has_ended)
{
    sinew_task *task = sinew_spawn(return_arg, (void *)1);
    yield_until_done(task);
    struct watcher w = {.tasks = &task, .n = 1};
    CHECK_EQ(sinew_await(sinew_spawn(cancel_me_first, &w)), 7);
    CHECK_EQ(sinew_await(task), 1);
    return 0;
}

/* --- handles ------------------------------------------------------------------------------------------------------ */

IN_RUNTIME(handles_may_be_used_up_while_they_are_watched)
{
    sinew_task *tasks[4];
    for (int i = 0; i < 4; i++)
        tasks[i] = sinew_spawn(return_arg, (void *)(intptr_t)(i + 1));
    sinew_as_completed it;
    CHECK_EQ(sinew_as_completed_begin(&it, tasks, 4, SINEW_FOREVER), 0);
    /* With one worker none has begun, and the await runs it in place. */
    CHECK_EQ(sinew_await(tasks[2]), 3);
    sinew_detach(tasks[1]);
    intptr_t results[2];
    sinew_task *both[2] = {tasks[0], tasks[3]};
    CHECK_EQ(sinew_gather(both, 2, results), 0);
    bool seen[4] = {false};
    for (int i = 0; i < 4; i++) {
        intptr_t next = sinew_as_completed_next(&it);
        if (CHECK(next >= 0 && next < 4 && !seen[next]))
            seen[next] = true;
    }
    CHECK_EQ(sinew_as_completed_next(&it), -ENOENT);
    sinew_as_completed_end(&it);
    return 0;
}

IN_RUNTIME(it_may_be_ended_before_the_tasks_end)
{
    int rounds = (int)scaled(500, 50);
    for (int round = 0; round < rounds; round++) {
        gate gates[3];
        sinew_task *tasks[3];
        sinew_as_completed it;
        for (int i = 0; i < 3; i++) {
            gate_init(&gates[i], i + 1);
            tasks[i] = sinew_spawn(gate_pass, &gates[i]);
            gate_open(&gates[i], i < round % 4);
        }
        CHECK_EQ(sinew_as_completed_begin(&it, tasks, 3, round % 3 ? SINEW_FOREVER : SINEW_US(20)), 0);
        for (int i = 0; i < round % 3; i++)
            sinew_yield();
        if (round % 2)
            sinew_as_completed_end(&it);
        for (int i = 0; i < 3; i++)
            gate_open(&gates[i], i >= round % 4);
        if (!(round % 2))
            sinew_as_completed_end(&it);
        await_all(tasks, 3);
    }
    return 0;
}

static intptr_t use_of_another(void *arg)
{
    return sinew_as_completed_next(arg);
}

IN_RUNTIME(misuse_is_refused)
{
    gate g;
    sinew_task *task;
    gates_begin(&g, &task, 1);
    sinew_task *with_null[] = {task, NULL}, *with_self[] = {task, sinew_self()};
    sinew_as_completed it;
    CHECK_EQ(sinew_as_completed_begin(NULL, &task, 1, 0), -EINVAL);
    CHECK_EQ(sinew_as_completed_begin(&it, NULL, 1, 0), -EINVAL);
    CHECK_EQ(sinew_as_completed_begin(&it, with_null, 2, 0), -EINVAL);
    CHECK_EQ(sinew_as_completed_next(&it), -EINVAL); /* a begin that failed can be seen here, too */
    CHECK_EQ(sinew_as_completed_begin(&it, with_self, 2, 0), -EDEADLK);
    CHECK_EQ(sinew_as_completed_next(&it), -EINVAL);
    CHECK(!sinew_as_completed_timed_out(&it));
    sinew_as_completed_end(&it);
    sinew_as_completed_end(NULL);
    CHECK_EQ(sinew_as_completed_next(NULL), -EINVAL);
    CHECK(!sinew_as_completed_timed_out(NULL));
    CHECK_EQ(sinew_as_completed_begin(&it, &task, 1, SINEW_FOREVER), 0);
    CHECK_EQ(sinew_await(sinew_spawn(use_of_another, &it)), -EPERM);
    gate_open(&g, 1);
    CHECK_EQ(sinew_as_completed_next(&it), 0);
    sinew_as_completed_end(&it);
    CHECK_EQ(sinew_as_completed_next(&it), -EINVAL);
    sinew_as_completed_end(&it);
    await_all(&task, 1);
    return 0;
}

static void outside_of_a_task_it_is_not_permitted(void **state)
{
    (void)state;
    sinew_as_completed it = {{0}};
    assert_int_equal(sinew_as_completed_begin(&it, NULL, 0, 0), -EPERM);
    assert_int_equal(sinew_as_completed_next(&it), -EPERM);
    sinew_as_completed_end(&it);
}

TEST_MAIN(cmocka_unit_test(tasks_are_delivered_as_they_end),
          cmocka_unit_test(what_had_ended_before_comes_first_in_the_order_of_the_array),
          cmocka_unit_test(a_task_that_is_there_several_times_is_delivered_once),
          cmocka_unit_test(of_no_tasks_there_is_none),
          cmocka_unit_test(a_task_that_has_seen_the_end_of_another_comes_after_it),
          cmocka_unit_test(a_task_is_noted_before_its_end_can_be_seen),
          cmocka_unit_test(each_of_very_many_is_delivered_exactly_once),
          cmocka_unit_test(two_iterators_may_watch_the_same_tasks),
          cmocka_unit_test(after_the_timeout_each_one_left_is_a_timeout_and_goes_on),
          cmocka_unit_test(what_ended_in_time_is_delivered_also_after_the_timeout),
          cmocka_unit_test(a_timeout_of_nothing_gives_what_has_ended_already),
          cmocka_unit_test(a_scope_around_it_is_told_from_its_own_timeout),
          cmocka_unit_test(cancelling_the_caller_leaves_the_tasks_alone),
          cmocka_unit_test(after_a_cancel_the_next_call_goes_on),
          cmocka_unit_test(a_pending_cancel_is_delivered_although_a_task_has_ended),
          cmocka_unit_test(handles_may_be_used_up_while_they_are_watched),
          cmocka_unit_test(it_may_be_ended_before_the_tasks_end), cmocka_unit_test(misuse_is_refused),
          cmocka_unit_test(outside_of_a_task_it_is_not_permitted))
