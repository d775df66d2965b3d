/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: awaiting a task that nobody has started runs it right there, and that is not observable except as order and
 * cost: identity, cancellation, timeouts and deep recursion are as for tasks with stacks of their own.
 * Method: recursion (fib, skynet, chains of 10,000 awaits), tasks that suspend while they run on their awaiter's
 * stack, and orders that a pinned group fixes.
 * Cannot see: whether a given await really ran in place when another worker took the task first; with one worker it
 * must have.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct logger {
    event_log *log;
    int number;
};

static intptr_t log_start(void *arg)
{
    struct logger *l = arg;
    log_event(l->log, l->number);
    return l->number;
}

/* The newest and the oldest of the unstarted ones; one worker, so that nobody else can have started it. */
IN_RUNTIME_WITH(awaiting_an_unstarted_task_runs_it_before_others, 1)
{
    enum { TASKS = 3 };
    for (int awaited = 0; awaited < TASKS; awaited += TASKS - 1) {
        event_log log = {.n = 0};
        struct logger loggers[TASKS];
        sinew_task *tasks[TASKS];
        for (int i = 0; i < TASKS; i++) {
            loggers[i] = (struct logger){&log, i};
            tasks[i] = sinew_spawn(log_start, &loggers[i]);
        }
        CHECK_EQ(sinew_await(tasks[awaited]), awaited);
        CHECK_EQ(log.events[0], awaited);
        for (int i = 0; i < TASKS; i++)
            if (i != awaited)
                CHECK_EQ(sinew_await(tasks[i]), i);
        CHECK_EQ(log.n, TASKS);
    }
    return 0;
}

IN_RUNTIME_PINNED(tasks_start_in_the_order_of_their_creation)
{
    enum { TASKS = 100 };
    event_log log = {.n = 0};
    struct logger loggers[TASKS];
    sinew_task *tasks[TASKS];
    for (int how = 0; how < 3; how++) {
        log_clear(&log);
        for (int i = 0; i < TASKS; i++) {
            loggers[i] = (struct logger){&log, i};
            tasks[i] = spawn_pinned(log_start, &loggers[i]);
        }
        CHECK_EQ(log.n, 0);
        if (how == 0)
            CHECK_EQ(sinew_yield(), 0);
        else if (how == 1)
            CHECK_EQ(sinew_sleep(SINEW_MS(1)), 0);
        if (how == 0)
            CHECK_EQ(log.n, TASKS);
        CHECK_EQ(sinew_gather(tasks, TASKS, NULL), 0);
        CHECK_EQ(log.n, TASKS);
        for (int i = 0; i < TASKS; i++)
            CHECK_EQ(log.events[i], i);
    }
    return 0;
}

/* The same for tasks that may be stolen: only one worker keeps the order. */
IN_RUNTIME_WITH(one_worker_starts_unpinned_tasks_in_creation_order, 1)
{
    enum { TASKS = 200 };
    event_log log = {.n = 0};
    struct logger loggers[TASKS];
    sinew_task *tasks[TASKS];
    for (int how = 0; how < 2; how++) {
        log_clear(&log);
        for (int i = 0; i < TASKS; i++) {
            loggers[i] = (struct logger){&log, i};
            tasks[i] = sinew_spawn(log_start, &loggers[i]);
        }
        if (how == 0)
            CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(sinew_gather(tasks, TASKS, NULL), 0);
        for (int i = 0; i < TASKS; i++)
            CHECK_EQ(log.events[i], i);
    }
    return 0;
}

struct fib {
    int n;
};

static intptr_t fib(void *arg)
{
    struct fib *f = arg;
    if (f->n < 2)
        return f->n;
    struct fib a = {f->n - 1}, b = {f->n - 2};
    sinew_task *t = sinew_spawn(fib, &a);
    intptr_t below = fib(&b);
    return sinew_await(t) + below;
}

IN_RUNTIME(fib_is_right)
{
    struct fib small = {(int)scaled(20, 12)};
    CHECK_EQ(fib(&small), scaled(6765, 144));
    CHECK_EQ(sinew_await(sinew_spawn(fib, &small)), scaled(6765, 144));
    return 0;
}

/* Skynet: ten children a node down to `size` leaves, each giving its own number. */
struct skynet {
    long first, size;
};

static intptr_t skynet(void *arg)
{
    struct skynet *s = arg;
    if (s->size == 1)
        return s->first;
    struct skynet children[10];
    sinew_task *tasks[10];
    for (int i = 0; i < 10; i++) {
        children[i] = (struct skynet){s->first + i * (s->size / 10), s->size / 10};
        tasks[i] = sinew_spawn(skynet, &children[i]);
    }
    intptr_t sum = 0;
    for (int i = 0; i < 10; i++)
        sum += sinew_await(tasks[i]);
    return sum;
}

IN_RUNTIME(skynet_sums_its_leaves)
{
    long size = (long)scaled(100000, 1000);
    struct skynet root = {0, size};
    CHECK_EQ(skynet(&root), size * (size - 1) / 2);
    return 0;
}

/* Each level awaits the next; the last one may suspend, and all with it. */
struct chain {
    long left;
    gate *bottom;
};

static intptr_t chain(void *arg)
{
    struct chain *c = arg;
    if (c->left == 0)
        return c->bottom ? gate_pass(c->bottom) : 0;
    struct chain next = {c->left - 1, c->bottom};
    intptr_t below = sinew_await(sinew_spawn(chain, &next));
    return below < 0 ? below : below + 1;
}

IN_RUNTIME(ten_thousand_awaits_deep_do_not_overflow)
{
    long depth = (long)scaled(10000, 1000);
    struct chain c = {depth, NULL};
    for (int i = 0; i < 3; i++)
        CHECK_EQ(chain(&c), depth);
    return 0;
}

IN_RUNTIME(a_chain_ten_thousand_deep_suspends_and_resumes)
{
    long depth = (long)scaled(10000, 1000);
    gate g;
    gate_init(&g, 0);
    struct chain c = {depth, &g};
    sinew_task *t = sinew_spawn(chain, &c);
    yield_until(&g.reached, 1);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(t), depth);
    return 0;
}

IN_RUNTIME(a_cancel_travels_down_a_deep_chain_and_back)
{
    long depth = (long)scaled(10000, 1000);
    gate g;
    gate_init(&g, 0);
    struct chain c = {depth, &g};
    sinew_task *t = sinew_spawn(chain, &c);
    yield_until(&g.reached, 1);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(g.cancelled, 1);
    CHECK_EQ(sinew_cancelling(), 0);
    return 0;
}

struct identity {
    sinew_task *outer;
    const char *name;
};

static intptr_t check_identity(void *arg)
{
    struct identity *id = arg;
    sinew_task *self = sinew_self();
    CHECK(self != id->outer);
    CHECK_EQ(strcmp(sinew_name(self), id->name), 0);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    CHECK(sinew_self() == self);
    CHECK_EQ(strcmp(sinew_name(self), id->name), 0);
    CHECK(sinew_cancel(self));
    CHECK_EQ(sinew_cancelling(), 1);
    CHECK_EQ(sinew_yield(), -ECANCELED);
    return 6;
}

IN_RUNTIME(a_task_run_in_place_keeps_its_own_identity)
{
    struct identity id = {sinew_self(), "inner"};
    CHECK_EQ(sinew_await(spawn_named("inner", check_identity, &id)), 6);
    CHECK(sinew_self() == id.outer);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

struct canceller {
    gate *gate;
    sinew_task *target;
};

static intptr_t cancel_when_reached(void *arg)
{
    struct canceller *c = arg;
    yield_until(&c->gate->reached, 1);
    CHECK(sinew_cancel(c->target));
    sinew_detach(c->target);
    return 0;
}

IN_RUNTIME(cancelling_a_task_that_runs_in_place_does_not_count_for_its_awaiter)
{
    gate g;
    gate_init(&g, 0);
    sinew_task *t = sinew_spawn(gate_pass, &g);
    struct canceller c = {&g, sinew_ref(t)};
    sinew_task *helper = sinew_spawn(cancel_when_reached, &c);
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sinew_await(helper), 0);
    return 0;
}

IN_RUNTIME(cancelling_the_awaiter_reaches_the_task_that_runs_in_place)
{
    gate g;
    gate_init(&g, 0);
    struct chain c = {1, &g};
    sinew_task *outer = sinew_spawn(chain, &c);
    struct canceller canceller = {&g, sinew_ref(outer)};
    sinew_task *helper = sinew_spawn(cancel_when_reached, &canceller);
    CHECK_EQ(sinew_await(outer), -ECANCELED);
    CHECK_EQ(g.cancelled, 1);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_await(helper), 0);
    return 0;
}

IN_RUNTIME(a_timeout_of_the_awaiter_cancels_the_task_that_runs_in_place)
{
    gate g;
    gate_init(&g, 0);
    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_MS(5));
    CHECK_EQ(sinew_await(sinew_spawn(gate_pass, &g)), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
    CHECK_EQ(g.cancelled, 1);
    CHECK_EQ(sinew_cancelling(), 0);
    return 0;
}

IN_RUNTIME_WITH(one_worker_counts_tasks_that_ran_in_place, 1)
{
    sinew_stats before, after;
    CHECK_EQ(sinew_get_stats(&before), 0);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(sinew_await(sinew_spawn(return_arg, NULL)), 0);
    CHECK_EQ(sinew_get_stats(&after), 0);
    /* Some may be handed to the scheduler for fairness. */
    CHECK(after.tasks_in_place - before.tasks_in_place >= 500);
    return 0;
}

TEST_MAIN(cmocka_unit_test(awaiting_an_unstarted_task_runs_it_before_others),
          cmocka_unit_test(tasks_start_in_the_order_of_their_creation),
          cmocka_unit_test(one_worker_starts_unpinned_tasks_in_creation_order), cmocka_unit_test(fib_is_right),
          cmocka_unit_test(skynet_sums_its_leaves), cmocka_unit_test(ten_thousand_awaits_deep_do_not_overflow),
          cmocka_unit_test(a_chain_ten_thousand_deep_suspends_and_resumes),
          cmocka_unit_test(a_cancel_travels_down_a_deep_chain_and_back),
          cmocka_unit_test(a_task_run_in_place_keeps_its_own_identity),
          cmocka_unit_test(cancelling_a_task_that_runs_in_place_does_not_count_for_its_awaiter),
          cmocka_unit_test(cancelling_the_awaiter_reaches_the_task_that_runs_in_place),
          cmocka_unit_test(a_timeout_of_the_awaiter_cancels_the_task_that_runs_in_place),
          cmocka_unit_test(one_worker_counts_tasks_that_ran_in_place))
