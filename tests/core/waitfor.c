/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: wait_for cancels at its limit, waits for the real end and passes on what the task answers.
 * Method: tasks that answer a cancel in each possible way; pinned ones where "never started" is claimed.
 * Cannot see: upper bounds of time.
 */
#include <errno.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

IN_RUNTIME(a_task_in_time_gives_its_result)
{
    CHECK_EQ(sinew_wait_for(sinew_spawn(return_arg, (void *)5), VERY_LONG), 5);
    CHECK_EQ(sinew_wait_for(sinew_spawn(return_arg, (void *)(intptr_t)-EIO), VERY_LONG), -EIO);
    CHECK_EQ(sinew_wait_for(sinew_spawn(return_arg, (void *)6), SINEW_FOREVER), 6);
    sinew_task *t = sinew_spawn(return_arg, (void *)7);
    yield_until_done(t);
    CHECK_EQ(sinew_wait_for(t, SINEW_MS(1)), 7);
    CHECK_EQ(sinew_cancelling(), 0);
    return 0;
}

IN_RUNTIME(null_gives_einval)
{
    CHECK_EQ(sinew_wait_for(NULL, VERY_LONG), -EINVAL);
    CHECK_EQ(sinew_wait_for(NULL, 0), -EINVAL);
    return 0;
}

static intptr_t slow_cleanup(void *arg)
{
    gate *g = arg;
    atomic_fetch_add(&g->reached, 1);
    intptr_t r = sinew_sleep(VERY_LONG);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(sinew_sleep(SINEW_US(200)), 0);
    atomic_fetch_add(&g->ended, 1);
    return r;
}

IN_RUNTIME(at_the_limit_the_task_is_cancelled_and_its_real_end_awaited)
{
    for (int started = 0; started < 2; started++) {
        gate g;
        gate_init(&g, 0);
        sinew_task *t = sinew_spawn(slow_cleanup, &g);
        if (started)
            yield_until(&g.reached, 1);
        sinew_time begin = sinew_now();
        CHECK_EQ(sinew_wait_for(t, SINEW_MS(5)), -ETIMEDOUT);
        CHECK(sinew_now() - begin >= SINEW_MS(5));
        CHECK_EQ(g.ended, 1);
        CHECK_EQ(sinew_cancelling(), 0);
        CHECK_EQ(sinew_yield(), 0);
    }
    return 0;
}

/* A task that has begun; one that has not would never hear of the limit. */
static sinew_task *spawn_begun(gate *g)
{
    sinew_task *t = sinew_spawn(gate_pass, g);
    yield_until(&g->reached, 1);
    return t;
}

IN_RUNTIME(a_task_that_answers_the_limit_with_a_value_or_another_error_is_heard)
{
    gate g;
    gate_init(&g, 0);
    g.when_stopped = 44;
    CHECK_EQ(sinew_wait_for(spawn_begun(&g), SINEW_MS(2)), 44);
    gate_init(&g, 0);
    g.when_stopped = -EBADMSG;
    CHECK_EQ(sinew_wait_for(spawn_begun(&g), SINEW_MS(2)), -EBADMSG);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME_PINNED(without_time_left_an_unstarted_task_never_starts)
{
    static const sinew_time limits[] = {0, -1, -SINEW_S(1), INT64_MIN};
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        gate g;
        gate_init(&g, 0);
        CHECK_EQ(sinew_wait_for(spawn_pinned(gate_pass, &g), limits[i]), -ETIMEDOUT);
        CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(g.reached, 0);
    }
    CHECK_EQ(sinew_cancelling(), 0);
    return 0;
}

IN_RUNTIME(without_time_left_a_finished_task_gives_its_result_and_a_running_one_is_cancelled)
{
    sinew_task *finished = sinew_spawn(return_arg, (void *)3);
    yield_until_done(finished);
    CHECK_EQ(sinew_wait_for(sinew_ref(finished), 0), 3);
    CHECK_EQ(sinew_wait_for(finished, -5), 3);
    gate g;
    gate_init(&g, 0);
    sinew_task *running = sinew_spawn(gate_pass, &g);
    yield_until(&g.reached, 1);
    CHECK_EQ(sinew_wait_for(running, 0), -ETIMEDOUT);
    CHECK_EQ(g.cancelled, 1);
    CHECK_EQ(g.ended, 1);
    return 0;
}

struct limited {
    sinew_task *task;
    sinew_time limit;
    atomic_int started;
    int cancelling, next_checkpoint;
};

static intptr_t wait_for_in_task(void *arg)
{
    struct limited *l = arg;
    atomic_store(&l->started, 1);
    intptr_t r = sinew_wait_for(l->task, l->limit);
    l->cancelling = sinew_cancelling();
    l->next_checkpoint = sinew_yield();
    return r;
}

IN_RUNTIME(cancelling_the_caller_cancels_the_task)
{
    static const sinew_time limits[] = {VERY_LONG, SINEW_FOREVER};
    for (size_t i = 0; i < 2; i++) {
        gate g;
        gate_init(&g, 0);
        struct limited l = {.task = sinew_spawn(gate_pass, &g), .limit = limits[i]};
        yield_until(&g.reached, 1);
        sinew_task *t = sinew_spawn(wait_for_in_task, &l);
        yield_until(&l.started, 1);
        CHECK(sinew_cancel(t));
        CHECK_EQ(sinew_await(t), -ECANCELED);
        CHECK_EQ(g.cancelled, 1);
        CHECK_EQ(l.cancelling, 1);
        CHECK_EQ(l.next_checkpoint, 0);
    }
    return 0;
}

IN_RUNTIME(a_task_cancelled_by_someone_else_gives_ecanceled_not_etimedout)
{
    gate g;
    gate_init(&g, 0);
    sinew_task *inner = sinew_spawn(gate_pass, &g);
    struct limited l = {.task = sinew_ref(inner), .limit = VERY_LONG};
    sinew_task *t = sinew_spawn(wait_for_in_task, &l);
    yield_until(&l.started, 1);
    CHECK(sinew_cancel(inner));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(l.cancelling, 0);
    CHECK_EQ(l.next_checkpoint, 0);
    CHECK_EQ(sinew_await(inner), -ECANCELED);
    return 0;
}

IN_RUNTIME(an_outer_scope_that_ends_first_wins)
{
    gate g;
    gate_init(&g, 0);
    sinew_timeout scope;
    sinew_timeout_begin(&scope, SINEW_MS(2));
    CHECK_EQ(sinew_wait_for(sinew_spawn(gate_pass, &g), VERY_LONG), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&scope), -ETIMEDOUT);
    CHECK_EQ(g.reached, g.ended);

    gate_init(&g, 0);
    sinew_timeout_begin(&scope, VERY_LONG);
    CHECK_EQ(sinew_wait_for(sinew_spawn(gate_pass, &g), SINEW_MS(2)), -ETIMEDOUT);
    CHECK_EQ(sinew_timeout_end(&scope), 0);
    return 0;
}

static intptr_t shield_it(void *arg)
{
    return sinew_shield(arg);
}

IN_RUNTIME(a_shielded_task_outlives_the_limit)
{
    gate g;
    gate_init(&g, 8);
    sinew_task *t = sinew_spawn(gate_pass, &g);
    yield_until(&g.reached, 1);
    CHECK_EQ(sinew_wait_for(sinew_spawn(shield_it, sinew_ref(t)), SINEW_MS(3)), -ETIMEDOUT);
    CHECK(!sinew_done(t));
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(t), 8);
    CHECK_EQ(g.cancelled, 0);
    return 0;
}

IN_RUNTIME(many_limits_pass_at_once)
{
    int n = (int)scaled(2000, 100);
    gate g;
    gate_init(&g, 0);
    struct limited *l = calloc((size_t)n, sizeof *l);
    sinew_task **tasks = calloc((size_t)n, sizeof(sinew_task *));
    intptr_t *results = calloc((size_t)n, sizeof *results);
    for (int i = 0; i < n; i++) {
        l[i].task = sinew_spawn(gate_pass, &g);
        l[i].limit = SINEW_MS(1 + i % 10);
        tasks[i] = sinew_spawn(wait_for_in_task, &l[i]);
    }
    CHECK_EQ(sinew_gather_settled(tasks, (size_t)n, results), 0);
    int wrong = 0;
    for (int i = 0; i < n; i++)
        wrong += results[i] != -ETIMEDOUT || l[i].cancelling != 0 || l[i].next_checkpoint != 0;
    CHECK_EQ(wrong, 0);
    CHECK_EQ(g.reached, g.cancelled);
    free(results);
    free(tasks);
    free(l);
    return 0;
}

static intptr_t cancel_the_parent_when_cancelled(void *arg)
{
    intptr_t r = sinew_sleep(SINEW_S(1000));
    sinew_cancel(arg);
    return r == -ECANCELED ? 9 : r;
}

static intptr_t wait_for_no_time(void *arg)
{
    sinew_time *limit = arg;
    sinew_task *t = spawn_eager(cancel_the_parent_when_cancelled, sinew_self());
    return sinew_wait_for(t, *limit);
}

/* The request comes when the task is as good as ended, before its parent goes on. */
IN_RUNTIME_WITH(a_cancel_at_the_end_of_the_awaited_task_is_not_taken_for_the_limit, 1)
{
    sinew_time limits[] = {0, SINEW_US(1), SINEW_MS(1)};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
        CHECK_EQ(sinew_await(sinew_spawn(wait_for_no_time, &limits[i])), -ECANCELED);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a_cancel_at_the_end_of_the_awaited_task_is_not_taken_for_the_limit),
          cmocka_unit_test(a_task_in_time_gives_its_result), cmocka_unit_test(null_gives_einval),
          cmocka_unit_test(at_the_limit_the_task_is_cancelled_and_its_real_end_awaited),
          cmocka_unit_test(a_task_that_answers_the_limit_with_a_value_or_another_error_is_heard),
          cmocka_unit_test(without_time_left_an_unstarted_task_never_starts),
          cmocka_unit_test(without_time_left_a_finished_task_gives_its_result_and_a_running_one_is_cancelled),
          cmocka_unit_test(cancelling_the_caller_cancels_the_task),
          cmocka_unit_test(a_task_cancelled_by_someone_else_gives_ecanceled_not_etimedout),
          cmocka_unit_test(an_outer_scope_that_ends_first_wins), cmocka_unit_test(a_shielded_task_outlives_the_limit),
          cmocka_unit_test(many_limits_pass_at_once))
