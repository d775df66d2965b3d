/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: shield awaits like await, but a cancel or timeout of the waiter does not reach the task.
 * Method: gates; the waiter in a task of its own; 1, 2 and 8 workers.
 * Cannot see: what becomes of an error nobody collects.
 */
#include <errno.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

IN_RUNTIME(shield_gives_the_tasks_result)
{
    CHECK_EQ(sinew_shield(sinew_spawn(return_arg, (void *)12)), 12);
    CHECK_EQ(sinew_shield(sinew_spawn(return_arg, (void *)(intptr_t)-EIO)), -EIO);
    sinew_task *t = sinew_spawn(return_arg, (void *)13);
    yield_until_done(t);
    CHECK_EQ(sinew_shield(t), 13);
    CHECK_EQ(sinew_shield(NULL), -EINVAL);
    gate g;
    gate_init(&g, 14);
    t = sinew_spawn(gate_pass, &g);
    yield_until(&g.reached, 1);
    gate_open(&g, 1);
    CHECK_EQ(sinew_shield(t), 14);
    return 0;
}

struct shielding {
    sinew_task *task;
    atomic_int started;
    int cancelling, next_checkpoint;
};

static intptr_t shield_in_task(void *arg)
{
    struct shielding *s = arg;
    atomic_store(&s->started, 1);
    intptr_t r = sinew_shield(s->task);
    s->cancelling = sinew_cancelling();
    s->next_checkpoint = sinew_yield();
    return r;
}

IN_RUNTIME(cancelling_the_waiter_returns_at_once_and_the_task_goes_on)
{
    gate g;
    gate_init(&g, 5);
    sinew_task *inner = sinew_spawn(gate_pass, &g);
    struct shielding s = {.task = sinew_ref(inner)};
    sinew_task *t = sinew_spawn(shield_in_task, &s);
    yield_until(&s.started, 1);
    yield_until(&g.reached, 1);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(s.cancelling, 1);
    CHECK_EQ(s.next_checkpoint, 0);
    CHECK(!sinew_done(inner));
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(inner), 5);
    CHECK_EQ(g.cancelled, 0);
    return 0;
}

IN_RUNTIME(a_shielded_task_that_has_not_started_still_runs_after_its_waiter_is_gone)
{
    gate g;
    gate_init(&g, 5);
    sinew_task *inner = spawn_pinned(gate_pass, &g);
    CHECK(sinew_cancel(sinew_self()));
    CHECK_EQ(sinew_shield(sinew_ref(inner)), -ECANCELED);
    CHECK_EQ(sinew_uncancel(), 0);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(inner), 5);
    CHECK_EQ(g.cancelled, 0);
    return 0;
}

IN_RUNTIME(a_timeout_of_the_waiter_leaves_the_task_alone)
{
    gate g;
    gate_init(&g, 5);
    sinew_task *inner = sinew_spawn(gate_pass, &g);
    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_MS(3));
    CHECK_EQ(sinew_shield(sinew_ref(inner)), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
    CHECK(!sinew_done(inner));
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(inner), 5);
    CHECK_EQ(g.cancelled, 0);
    return 0;
}

IN_RUNTIME(cancelling_the_task_itself_reaches_the_waiter_as_its_result)
{
    gate g;
    gate_init(&g, 5);
    sinew_task *inner = sinew_spawn(gate_pass, &g);
    struct shielding s = {.task = sinew_ref(inner)};
    sinew_task *t = sinew_spawn(shield_in_task, &s);
    yield_until(&s.started, 1);
    CHECK(sinew_cancel(inner));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(s.cancelling, 0);
    CHECK_EQ(s.next_checkpoint, 0);
    CHECK_EQ(sinew_await(inner), -ECANCELED);
    return 0;
}

IN_RUNTIME(a_task_whose_waiters_have_all_been_cancelled_may_fail_later)
{
    enum { WAITERS = 10 };
    gate g;
    gate_init(&g, -EIO);
    sinew_task *inner = sinew_spawn(gate_pass, &g);
    struct shielding s[WAITERS];
    sinew_task *waiters[WAITERS];
    for (int i = 0; i < WAITERS; i++) {
        s[i] = (struct shielding){.task = sinew_ref(inner)};
        waiters[i] = sinew_spawn(shield_in_task, &s[i]);
        yield_until(&s[i].started, 1);
    }
    for (int i = 0; i < WAITERS; i += 2)
        CHECK(sinew_cancel(waiters[i]));
    for (int i = 0; i < WAITERS; i += 2)
        CHECK_EQ(sinew_await(waiters[i]), -ECANCELED);
    sinew_detach(inner);
    gate_open(&g, 1);
    for (int i = 1; i < WAITERS; i += 2)
        CHECK_EQ(sinew_await(waiters[i]), -EIO);
    CHECK_EQ(g.cancelled, 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(shield_gives_the_tasks_result),
          cmocka_unit_test(cancelling_the_waiter_returns_at_once_and_the_task_goes_on),
          cmocka_unit_test(a_shielded_task_that_has_not_started_still_runs_after_its_waiter_is_gone),
          cmocka_unit_test(a_timeout_of_the_waiter_leaves_the_task_alone),
          cmocka_unit_test(cancelling_the_task_itself_reaches_the_waiter_as_its_result),
          cmocka_unit_test(a_task_whose_waiters_have_all_been_cancelled_may_fail_later))
