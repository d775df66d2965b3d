/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: an eager task runs inside the spawn call up to its first suspension, and is an ordinary task after it.
 * Method: flags read right after the call, with 1, 2 and 8 workers.
 * Cannot see: that no scheduling happened at all, only that nothing observable did.
 */
#include <errno.h>
#include <string.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct eager_probe {
    sinew_task *creator, *self;
    int ran;
};

static intptr_t eager_body(void *arg)
{
    struct eager_probe *p = arg;
    p->self = sinew_self();
    p->ran++;
    return 7;
}

IN_RUNTIME(an_eager_task_that_never_suspends_is_done_when_spawn_returns)
{
    struct eager_probe p = {.creator = sinew_self()};
    sinew_task *t = spawn_eager(eager_body, &p);
    CHECK_EQ(p.ran, 1);
    CHECK(sinew_done(t));
    CHECK(p.self == t);
    CHECK(sinew_self() == p.creator);
    CHECK_EQ(sinew_await(t), 7);
    CHECK_EQ(p.ran, 1);
    return 0;
}

IN_RUNTIME(an_eager_error_is_kept_for_the_await)
{
    sinew_task *t = spawn_eager(return_arg, (void *)(intptr_t)-EIO);
    CHECK(t != NULL);
    CHECK(sinew_done(t));
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_await(t), -EIO);
    return 0;
}

IN_RUNTIME(an_eager_task_that_suspends_does_not_suspend_its_creator)
{
    gate g;
    gate_init(&g, 11);
    sinew_task *creator = sinew_self();
    sinew_task *t = spawn_eager(gate_pass, &g);
    CHECK_EQ(g.reached, 1);
    CHECK_EQ(g.ended, 0);
    CHECK(!sinew_done(t));
    CHECK(sinew_self() == creator);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(t), 11);
    return 0;
}

IN_RUNTIME(a_suspended_eager_task_can_be_cancelled)
{
    gate g;
    gate_init(&g, 11);
    sinew_task *t = spawn_eager(gate_pass, &g);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(g.cancelled, 1);
    CHECK_EQ(sinew_cancelling(), 0);
    return 0;
}

static intptr_t eager_nest(void *arg)
{
    intptr_t depth = (intptr_t)arg;
    if (depth == 0)
        return 0;
    sinew_task *self = sinew_self();
    sinew_task *t = spawn_eager(eager_nest, (void *)(depth - 1));
    CHECK(sinew_self() == self);
    intptr_t below = sinew_await(t);
    return below < 0 ? below : below + 1;
}

IN_RUNTIME(eager_tasks_nest)
{
    CHECK_EQ(sinew_await(spawn_eager(eager_nest, (void *)20)), 20);
    /* Deeper than one stack: each level may need one of its own. */
    CHECK_EQ(sinew_await(spawn_eager(eager_nest, (void *)(intptr_t)scaled(2000, 200))), (intmax_t)scaled(2000, 200));
    return 0;
}

static intptr_t eager_cancel_creator(void *arg)
{
    CHECK(sinew_cancel(arg));
    return 0;
}

IN_RUNTIME(an_eager_task_that_cancels_its_creator_does_not_stop_the_spawn_call)
{
    sinew_task *t = spawn_eager(eager_cancel_creator, sinew_self());
    CHECK_EQ(sinew_cancelling(), 1);
    CHECK_EQ(sinew_yield(), -ECANCELED);
    CHECK_EQ(sinew_uncancel(), 0);
    CHECK_EQ(sinew_await(t), 0);
    return 0;
}

IN_RUNTIME(many_eager_tasks_that_suspend_all_finish)
{
    gate g;
    gate_init(&g, 1);
    int n = (int)scaled(2000, 200);
    sinew_task **tasks = calloc((size_t)n, sizeof(sinew_task *));
    for (int i = 0; i < n; i++) {
        tasks[i] = spawn_eager(gate_pass, &g);
        if (g.reached != i + 1) {
            CHECK_EQ(g.reached, i + 1);
            break;
        }
    }
    gate_open(&g, (unsigned)n);
    CHECK_EQ(sinew_gather(tasks, (size_t)n, NULL), 0);
    CHECK_EQ(g.passed, n);
    free(tasks);
    return 0;
}

TEST_MAIN(cmocka_unit_test(an_eager_task_that_never_suspends_is_done_when_spawn_returns),
          cmocka_unit_test(an_eager_error_is_kept_for_the_await),
          cmocka_unit_test(an_eager_task_that_suspends_does_not_suspend_its_creator),
          cmocka_unit_test(a_suspended_eager_task_can_be_cancelled), cmocka_unit_test(eager_tasks_nest),
          cmocka_unit_test(an_eager_task_that_cancels_its_creator_does_not_stop_the_spawn_call),
          cmocka_unit_test(many_eager_tasks_that_suspend_all_finish))
