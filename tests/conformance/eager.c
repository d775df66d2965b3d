/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the rules of eager tasks, A138 to A144 (conformance/rules.tsv), one test or more for each.
 * Method: what an eager body did and saw, read right after the call that made it.
 * Cannot see: that no scheduling happened at all, only that no task was queued and nobody else ran.
 */
#include <errno.h>
#include <string.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

struct probe {
    sinew_task *during, *after_suspension;
    int steps, first, second;
    intptr_t result;
    bool suspends;
};

static intptr_t probe_body(void *arg)
{
    struct probe *p = arg;
    p->during = sinew_self();
    p->steps = 1;
    if (p->suspends) {
        p->first = sinew_yield();
        p->after_suspension = sinew_self();
        p->steps = 2;
    }
    return p->result;
}

static intptr_t count_run(void *arg)
{
    atomic_fetch_add((atomic_int *)arg, 1);
    return 0;
}

/* Everything here can be had without suspending, so the whole body runs inside the call. */
static intptr_t call_without_suspending(void *arg)
{
    struct probe *p = arg;
    sinew_sem one;
    sinew_sem_init(&one, 1);
    CHECK_EQ(sinew_sem_wait(&one), 0);
    sinew_task *ended = spawn_eager(return_arg, (void *)3);
    CHECK_EQ(sinew_await(ended), 3);
    if (sinew_workers() == 1) /* elsewhere it may be stolen, and then is waited for */
        CHECK_EQ(sinew_await(sinew_spawn(return_arg, (void *)4)), 4);
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_wait(&group), 0);
    p->steps = 1;
    return p->result;
}

IN_RUNTIME(a138_an_eager_task_runs_inside_the_call_until_it_suspends_and_is_done_if_it_ends)
{
    for (int kind = 0; kind < 2; kind++) {
        struct probe p = {.result = 7};
        sinew_task *t = spawn_eager(kind ? call_without_suspending : probe_body, &p);
        CHECK_EQ(p.steps, 1);
        CHECK(sinew_done(t));
        CHECK_EQ(sinew_await(t), 7);
        CHECK_EQ(p.steps, 1);
    }
    return 0;
}

IN_RUNTIME(a138_a_suspension_gives_the_call_back_to_the_creator)
{
    gate g;
    gate_init(&g, 11);
    sinew_task *t = spawn_eager(gate_pass, &g);
    CHECK_EQ(g.reached, 1);
    CHECK_EQ(g.ended, 0);
    CHECK(!sinew_done(t));
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(t), 11);
    CHECK_EQ(g.ended, 1);
    return 0;
}

IN_RUNTIME_WITH(a138_an_eager_task_that_ends_at_once_schedules_nothing, 1)
{
    atomic_int runs = 0;
    sinew_task *other = sinew_spawn(count_run, &runs);
    struct probe p = {.result = 7};
    CHECK_EQ(sinew_await(spawn_eager(probe_body, &p)), 7);
    CHECK_EQ(runs, 0); /* neither the call nor the await gave the processor to others */
    CHECK_EQ(sinew_await(other), 0);
    return 0;
}

IN_RUNTIME(a139_self_is_the_eager_task_inside_and_the_creator_after)
{
    for (int suspends = 0; suspends < 2; suspends++) {
        struct probe p = {.result = 1, .suspends = suspends != 0};
        sinew_task *creator = sinew_self();
        sinew_task *t = spawn_eager(probe_body, &p);
        CHECK(p.during == t);
        CHECK(sinew_self() == creator);
        CHECK_EQ(sinew_await(t), 1);
        CHECK(sinew_self() == creator);
        if (suspends)
            CHECK(p.after_suspension == p.during);
    }
    return 0;
}

static intptr_t nest_eagerly(void *arg)
{
    intptr_t depth = (intptr_t)arg;
    sinew_task *self = sinew_self();
    if (depth == 0)
        return sinew_yield();
    sinew_task *t = spawn_eager(nest_eagerly, (void *)(depth - 1));
    CHECK(sinew_self() == self);
    intptr_t below = sinew_await(t);
    CHECK(sinew_self() == self);
    return below < 0 ? below : below + 1;
}

IN_RUNTIME(a139_also_when_eager_tasks_create_eager_tasks)
{
    CHECK_EQ(sinew_await(spawn_eager(nest_eagerly, (void *)50)), 50);
    return 0;
}

IN_RUNTIME(a140_a_suspended_eager_task_is_an_ordinary_task)
{
    gate g;
    gate_init(&g, 4);
    sinew_task *t = spawn_eager(gate_pass, &g);
    bool done;
    CHECK(strncmp(sinew_name(t), "Task-", 5) == 0);
    CHECK_EQ(sinew_wait(&t, 1, SINEW_ALL_COMPLETED, 0, &done), 0);
    CHECK(!done);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(sinew_ref(t)), 4);
    CHECK_EQ(sinew_await(t), 4);

    gate_init(&g, 4);
    t = spawn_eager(gate_pass, &g);
    CHECK(sinew_cancel(t));
    if (sinew_workers() == 1)
        CHECK_EQ(g.cancelled, 0); /* not delivered inside the call */
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(g.cancelled, 1);
    CHECK_EQ(sinew_cancelling(), 0);
    return 0;
}

IN_RUNTIME(a141_an_error_of_the_eager_step_is_kept_for_the_await)
{
    static const intptr_t errors[] = {-EIO, -ECANCELED, -ETIMEDOUT, -EDEADLK};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        sinew_task *t = spawn_eager(return_arg, (void *)errors[i]);
        if (!CHECK(t != NULL))
            continue;
        CHECK(sinew_done(t));
        CHECK_EQ(sinew_cancelling(), 0);
        CHECK_EQ(sinew_yield(), 0);
        CHECK_EQ(sinew_await(sinew_ref(t)), errors[i]);
        CHECK_EQ(sinew_await(t), errors[i]);
    }
    return 0;
}

static intptr_t cancel_creator(void *creator)
{
    CHECK(sinew_cancel(creator));
    return 0;
}

/* What an eager task does to its creator acts at the creator's next checkpoint, not in the call. */
IN_RUNTIME(a142_a_cancel_of_the_creator_by_the_eager_step_acts_at_its_next_checkpoint)
{
    sinew_task *t = spawn_eager(cancel_creator, sinew_self());
    CHECK(t != NULL);
    CHECK_EQ(sinew_cancelling(), 1);
    CHECK(sinew_done(t));
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    CHECK_EQ(sinew_uncancel(), 0);
    CHECK_EQ(sinew_await(t), 0);
    return 0;
}

struct feeder {
    sinew_group *group;
    gate *failing;
};

/* Runs inside its creator's call, and makes the creator's group fail. */
static intptr_t let_child_fail(void *arg)
{
    struct feeder *f = arg;
    gate_open(f->failing, 1);
    yield_until(&f->failing->ended, 1);
    return 0;
}

IN_RUNTIME(a142_a_group_that_fails_stops_its_body_at_the_next_checkpoint_and_not_before)
{
    gate failing;
    gate_init(&failing, -EIO);
    atomic_int runs = 0;
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &failing), 0);
    yield_until(&failing.reached, 1);
    struct feeder f = {&group, &failing};
    sinew_task *t = spawn_eager(let_child_fail, &f);
    CHECK(t != NULL); /* the statement after the call is reached */
    int r = sinew_group_spawn(&group, count_run, &runs);
    CHECK(r == 0 || r == -ECANCELED);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    CHECK_EQ(sinew_group_wait(&group), -EIO);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_await(t), 0);
    return 0;
}

IN_RUNTIME(a143_eager_is_chosen_for_each_task)
{
    struct probe eager = {.result = 1}, lazy = {.result = 2};
    sinew_spawn_options opt = {.name = "chosen", .pinned = true, .eager = false};
    sinew_task *a = sinew_spawn_with(&opt, probe_body, &lazy);
    opt.eager = true;
    opt.pinned = false;
    sinew_task *b = sinew_spawn_with(&opt, probe_body, &eager);
    CHECK_EQ(eager.steps, 1);
    CHECK(sinew_done(b));
    if (sinew_workers() == 1)
        CHECK_EQ(lazy.steps, 0);
    CHECK_EQ(sinew_await(a), 2);
    CHECK_EQ(sinew_await(b), 1);
    return 0;
}

/* The same bodies, eager and not: the same results, errors and cancels. */
static intptr_t limited(void *arg)
{
    (void)arg;
    sinew_timeout t;
    sinew_timeout_begin(&t, SINEW_US(200));
    int r = sinew_sleep(VERY_LONG);
    return sinew_timeout_end(&t) == r ? 5 : -EBADMSG;
}

static intptr_t in_group(void *arg)
{
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, return_arg, arg), 0);
    int r = sinew_group_spawn(&group, sleep_very_long, NULL);
    CHECK(r == 0 || (r == -ECANCELED && sinew_workers() > 1)); /* the other one may have failed by now */
    return sinew_group_wait(&group);
}

static intptr_t cancel_myself(void *arg)
{
    CHECK(sinew_cancel(sinew_self()));
    if (arg)
        CHECK_EQ(sinew_yield(), -ECANCELED);
    return arg ? sinew_cancelling() : 9;
}

static intptr_t gather_some(void *arg)
{
    sinew_task *tasks[3];
    intptr_t results[3];
    for (intptr_t i = 0; i < 3; i++)
        tasks[i] = i == 1 ? spawn_eager(return_arg, (void *)i) : sinew_spawn(return_arg, (void *)i);
    (void)arg;
    CHECK_EQ(sinew_gather(tasks, 3, results), 0);
    return results[0] + results[1] + results[2];
}

IN_RUNTIME(a144_eager_changes_no_result_no_error_and_no_cancel)
{
    static const struct {
        sinew_fn fn;
        intptr_t arg, result;
    } cases[] = {{return_arg, 3, 3},     {return_arg, -EIO, -EIO},       {limited, 0, 5},
                 {in_group, -EIO, -EIO}, {cancel_myself, 0, -ECANCELED}, {cancel_myself, 1, 1},
                 {gather_some, 0, 3}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (int eager = 0; eager < 2; eager++) {
            sinew_spawn_options opt = {.eager = eager != 0};
            sinew_task *t = sinew_spawn_with(&opt, cases[i].fn, (void *)cases[i].arg);
            if (!CHECK_EQ(sinew_await(t), cases[i].result))
                fprintf(stderr, "case %zu, eager %d\n", i, eager);
            CHECK_EQ(sinew_cancelling(), 0);
            CHECK_EQ(sinew_yield(), 0);
        }
    return 0;
}

/* A request of the creator is its own: an eager task does not start cancelled, and takes nothing away. */
IN_RUNTIME(a144_an_eager_task_does_not_meet_its_creators_requests)
{
    struct probe p = {.result = 8, .suspends = true, .first = 1};
    sinew_timeout scope;
    sinew_timeout_begin(&scope, 0);
    CHECK(sinew_cancel(sinew_self()));
    sinew_task *t = spawn_eager(probe_body, &p);
    CHECK_EQ(p.steps >= 1, 1);
    CHECK_EQ(sinew_yield(), -ECANCELED);
    CHECK_EQ(sinew_timeout_end(&scope), 0);
    CHECK_EQ(sinew_uncancel(), 0);
    CHECK_EQ(sinew_await(t), 8);
    CHECK_EQ(p.first, 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(a138_an_eager_task_runs_inside_the_call_until_it_suspends_and_is_done_if_it_ends),
          cmocka_unit_test(a138_a_suspension_gives_the_call_back_to_the_creator),
          cmocka_unit_test(a138_an_eager_task_that_ends_at_once_schedules_nothing),
          cmocka_unit_test(a139_self_is_the_eager_task_inside_and_the_creator_after),
          cmocka_unit_test(a139_also_when_eager_tasks_create_eager_tasks),
          cmocka_unit_test(a140_a_suspended_eager_task_is_an_ordinary_task),
          cmocka_unit_test(a141_an_error_of_the_eager_step_is_kept_for_the_await),
          cmocka_unit_test(a142_a_cancel_of_the_creator_by_the_eager_step_acts_at_its_next_checkpoint),
          cmocka_unit_test(a142_a_group_that_fails_stops_its_body_at_the_next_checkpoint_and_not_before),
          cmocka_unit_test(a143_eager_is_chosen_for_each_task),
          cmocka_unit_test(a144_eager_changes_no_result_no_error_and_no_cancel),
          cmocka_unit_test(a144_an_eager_task_does_not_meet_its_creators_requests))
