/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a group waits for all its children, turns the first failure into a cancel of everyone inside, and leaves no
 * trace of that cancel behind.
 * Method: children at gates, owners that record what their checkpoints returned; 1, 2 and 8 workers.
 * Cannot see: the errors after the first one, which a group does not report.
 */
#include <errno.h>
#include <stdlib.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

IN_RUNTIME(wait_returns_zero_after_all_children_ended)
{
    int n = (int)scaled(10000, 500);
    gate g;
    gate_init(&g, 5);
    gate_open(&g, (unsigned)n);
    sinew_group group;
    sinew_group_init(&group);
    for (int i = 0; i < n; i++)
        if (!CHECK_EQ(sinew_group_spawn(&group, gate_pass, &g), 0))
            break;
    CHECK_EQ(sinew_group_wait(&group), 0);
    CHECK_EQ(g.ended, n);
    CHECK_EQ(g.passed, n);
    return 0;
}

IN_RUNTIME(an_empty_group_ends_at_once)
{
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_wait(&group), 0);
    /* And its memory may be used again. */
    gate g;
    gate_init(&g, 0);
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &g), 0);
    gate_open(&g, 1);
    CHECK_EQ(sinew_group_wait(&group), 0);
    CHECK_EQ(g.ended, 1);
    return 0;
}

IN_RUNTIME(the_first_failure_cancels_siblings_and_the_owner_and_is_returned)
{
    gate siblings, failing;
    gate_init(&siblings, 0);
    gate_init(&failing, -EIO);
    sinew_group group;
    sinew_group_init(&group);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(sinew_group_spawn(&group, gate_pass, &siblings), 0);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &failing), 0);
    yield_until(&siblings.reached, 5);
    gate_open(&failing, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &siblings), -ECANCELED);
    CHECK_EQ(sinew_group_wait(&group), -EIO);
    CHECK_EQ(siblings.cancelled, 5);
    CHECK_EQ(siblings.ended, 5);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(a_failure_while_the_owner_waits_for_the_group_is_returned)
{
    gate siblings;
    gate_init(&siblings, 0);
    sinew_group group;
    sinew_group_init(&group);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(sinew_group_spawn(&group, gate_pass, &siblings), 0);
    CHECK_EQ(sinew_group_spawn(&group, return_arg, (void *)(intptr_t)-EIO), 0);
    CHECK_EQ(sinew_group_wait(&group), -EIO);
    /* Those that had not started were stopped before they did. */
    CHECK_EQ(siblings.cancelled, siblings.reached);
    CHECK_EQ(siblings.ended, siblings.reached);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(an_owner_that_goes_on_after_the_cancel_still_gets_the_error)
{
    gate failing;
    gate_init(&failing, -EIO);
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &failing), 0);
    gate_open(&failing, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(sinew_sleep(SINEW_US(100)), 0);
    CHECK_EQ(sinew_group_wait(&group), -EIO);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

static intptr_t fail_when_cancelled(void *arg)
{
    gate *g = arg;
    atomic_fetch_add(&g->reached, 1);
    CHECK_EQ(sinew_sleep(VERY_LONG), -ECANCELED);
    sinew_yield();
    atomic_fetch_add(&g->ended, 1);
    return -EBADMSG;
}

IN_RUNTIME(of_several_failures_the_first_in_time_is_returned)
{
    gate first, late;
    gate_init(&first, -EIO);
    gate_init(&late, 0);
    sinew_group group;
    sinew_group_init(&group);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(sinew_group_spawn(&group, fail_when_cancelled, &late), 0);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &first), 0);
    yield_until(&late.reached, 4);
    gate_open(&first, 1);
    CHECK_EQ(sinew_group_wait(&group), -EIO);
    CHECK_EQ(late.ended, 4);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

static intptr_t cancel_myself(void *arg)
{
    (void)arg;
    sinew_cancel(sinew_self());
    return sinew_yield();
}

IN_RUNTIME(a_child_that_ends_cancelled_is_no_failure)
{
    gate sibling;
    gate_init(&sibling, 0);
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &sibling), 0);
    CHECK_EQ(sinew_group_spawn(&group, cancel_myself, NULL), 0);
    CHECK_EQ(sinew_group_spawn(&group, return_arg, (void *)(intptr_t)-ECANCELED), 0);
    for (int i = 0; i < 50; i++)
        CHECK_EQ(sinew_yield(), 0);
    CHECK_EQ(sibling.cancelled, 0);
    gate_open(&sibling, 1);
    CHECK_EQ(sinew_group_wait(&group), 0);
    CHECK_EQ(sibling.passed, 1);
    return 0;
}

/* An owner in a task of its own, for tests that cancel it from outside. */
struct owner {
    gate *children;
    int n;
    sinew_fn extra;
    void *extra_arg;
    sinew_time scope;
    atomic_int started;
    int waited, scope_end, cancelling, next_checkpoint;
};

static intptr_t own_group(void *arg)
{
    struct owner *o = arg;
    sinew_group group;
    sinew_timeout scope;
    if (o->scope)
        sinew_timeout_begin(&scope, o->scope);
    sinew_group_init(&group);
    for (int i = 0; i < o->n; i++)
        CHECK_EQ(sinew_group_spawn(&group, gate_pass, o->children), 0);
    if (o->extra)
        CHECK_EQ(sinew_group_spawn(&group, o->extra, o->extra_arg), 0);
    atomic_store(&o->started, 1);
    o->waited = sinew_group_wait(&group);
    if (o->scope)
        o->scope_end = sinew_timeout_end(&scope);
    o->cancelling = sinew_cancelling();
    o->next_checkpoint = sinew_yield();
    return o->waited;
}

IN_RUNTIME(cancelling_the_owner_cancels_all_children_and_waits_for_them)
{
    gate children;
    gate_init(&children, 0);
    struct owner o = {.children = &children, .n = 5};
    sinew_task *t = sinew_spawn(own_group, &o);
    yield_until(&children.reached, 5);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(children.cancelled, 5);
    CHECK_EQ(children.ended, 5);
    CHECK_EQ(o.cancelling, 1);
    CHECK_EQ(o.next_checkpoint, 0);
    return 0;
}

IN_RUNTIME(a_child_that_fails_during_an_outside_cancel_wins)
{
    gate children, failing;
    gate_init(&children, 0);
    gate_init(&failing, 0);
    struct owner o = {.children = &children, .n = 2, .extra = fail_when_cancelled, .extra_arg = &failing};
    sinew_task *t = sinew_spawn(own_group, &o);
    yield_until(&children.reached, 2);
    yield_until(&failing.reached, 1);
    yield_until(&o.started, 1);
    CHECK(sinew_cancel(t));
    CHECK_EQ(sinew_await(t), -EBADMSG);
    CHECK_EQ(o.waited, -EBADMSG);
    CHECK_EQ(o.cancelling, 1);
    /* The request from outside is not lost with it. */
    CHECK_EQ(o.next_checkpoint, -ECANCELED);
    return 0;
}

IN_RUNTIME(a_group_survives_repeated_cancels_until_its_last_child_ended)
{
    gate stubborn;
    gate_init(&stubborn, 0);
    stubborn.swallow = true;
    struct owner o = {.children = &stubborn, .n = 1, .waited = 1};
    sinew_task *t = sinew_spawn(own_group, &o);
    yield_until(&stubborn.reached, 1);
    yield_until(&o.started, 1);
    CHECK(sinew_cancel(t));
    yield_until(&stubborn.cancelled, 1);
    for (int i = 0; i < 50; i++)
        sinew_yield();
    CHECK(!sinew_done(t));
    CHECK_EQ(o.waited, 1);
    CHECK(sinew_cancel(t));
    for (int i = 0; i < 50; i++)
        sinew_yield();
    /* The second request may end the child's second wait; the group is left only after the child. */
    gate_open(&stubborn, 1);
    CHECK_EQ(sinew_await(t), -ECANCELED);
    CHECK_EQ(stubborn.ended, 1);
    return 0;
}

IN_RUNTIME(a_timeout_around_a_group_gives_etimedout_after_the_children_ended)
{
    gate children;
    gate_init(&children, 0);
    struct owner o = {.children = &children, .n = 5, .scope = SINEW_MS(5)};
    CHECK_EQ(sinew_await(sinew_spawn(own_group, &o)), -ETIMEDOUT);
    CHECK_EQ(o.scope_end, -ETIMEDOUT);
    CHECK_EQ(o.cancelling, 0);
    CHECK_EQ(o.next_checkpoint, 0);
    CHECK_EQ(children.ended, children.reached);
    CHECK_EQ(children.cancelled, children.reached);
    return 0;
}

IN_RUNTIME(group_cancel_stops_the_children_and_is_no_failure)
{
    gate children;
    gate_init(&children, 0);
    sinew_group group;
    sinew_group_init(&group);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(sinew_group_spawn(&group, gate_pass, &children), 0);
    yield_until(&children.reached, 5);
    sinew_group_cancel(&group);
    sinew_group_cancel(&group);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &children), -ECANCELED);
    CHECK_EQ(sinew_group_wait(&group), 0);
    CHECK_EQ(children.cancelled, 5);
    CHECK_EQ(children.reached, 5);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME_PINNED(group_cancel_before_the_children_start_runs_none)
{
    gate children;
    gate_init(&children, 0);
    gate_open(&children, 5);
    sinew_group group;
    sinew_group_init(&group);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(sinew_group_spawn(&group, gate_pass, &children), 0);
    if (sinew_workers() == 1)
        CHECK_EQ(children.reached, 0);
    sinew_group_cancel(&group);
    CHECK_EQ(sinew_group_wait(&group), 0);
    /* Children may be stolen, and so start, where there are other workers. */
    if (sinew_workers() == 1)
        CHECK_EQ(children.reached, 0);
    return 0;
}

IN_RUNTIME(a_child_that_fails_after_group_cancel_is_still_reported)
{
    gate failing;
    gate_init(&failing, 0);
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, fail_when_cancelled, &failing), 0);
    yield_until(&failing.reached, 1);
    sinew_group_cancel(&group);
    CHECK_EQ(sinew_group_wait(&group), -EBADMSG);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

struct breeder {
    sinew_group *group;
    int left;
    atomic_int *born;
};

static intptr_t breed(void *arg)
{
    struct breeder *b = arg;
    sinew_sleep(SINEW_US(200));
    atomic_fetch_add(b->born, 1);
    if (--b->left > 0)
        CHECK_EQ(sinew_group_spawn(b->group, breed, b), 0);
    return 0;
}

IN_RUNTIME(children_may_add_children_while_the_owner_waits)
{
    enum { LINES = 10, GENERATIONS = 20 };
    atomic_int born = 0;
    sinew_group group;
    struct breeder lines[LINES];
    sinew_group_init(&group);
    for (int i = 0; i < LINES; i++) {
        lines[i] = (struct breeder){&group, GENERATIONS, &born};
        CHECK_EQ(sinew_group_spawn(&group, breed, &lines[i]), 0);
    }
    CHECK_EQ(sinew_group_wait(&group), 0);
    CHECK_EQ(born, LINES * GENERATIONS);
    return 0;
}

static intptr_t inner_group_fails(void *arg)
{
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, arg), 0);
    CHECK_EQ(sinew_group_spawn(&group, return_arg, (void *)(intptr_t)-EIO), 0);
    return sinew_group_wait(&group);
}

IN_RUNTIME(an_inner_failure_reaches_the_outer_group)
{
    gate inner, outer;
    gate_init(&inner, 0);
    gate_init(&outer, 0);
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, gate_pass, &outer), 0);
    yield_until(&outer.reached, 1);
    CHECK_EQ(sinew_group_spawn(&group, inner_group_fails, &inner), 0);
    CHECK_EQ(sinew_group_wait(&group), -EIO);
    CHECK_EQ(outer.cancelled, 1);
    CHECK_EQ(inner.ended, inner.reached);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(two_groups_of_one_task_that_both_fail_each_report_and_leave_no_request)
{
    gate first, second;
    gate_init(&first, -EIO);
    gate_init(&second, -EBADMSG);
    sinew_group outer, inner;
    sinew_group_init(&outer);
    CHECK_EQ(sinew_group_spawn(&outer, gate_pass, &first), 0);
    sinew_group_init(&inner);
    CHECK_EQ(sinew_group_spawn(&inner, gate_pass, &second), 0);
    gate_open(&first, 1);
    gate_open(&second, 1);
    yield_until(&first.ended, 1);
    yield_until(&second.ended, 1);
    CHECK_EQ(sinew_group_wait(&inner), -EBADMSG);
    CHECK_EQ(sinew_group_wait(&outer), -EIO);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

IN_RUNTIME(a_failure_of_the_outer_group_reaches_the_owner_inside_the_inner_one)
{
    gate failing, children;
    gate_init(&failing, -EIO);
    gate_init(&children, 0);
    sinew_group outer, inner;
    sinew_group_init(&outer);
    CHECK_EQ(sinew_group_spawn(&outer, gate_pass, &failing), 0);
    sinew_group_init(&inner);
    CHECK_EQ(sinew_group_spawn(&inner, gate_pass, &children), 0);
    yield_until(&children.reached, 1);
    gate_open(&failing, 1);
    CHECK_EQ(sinew_group_wait(&inner), -ECANCELED);
    CHECK_EQ(children.cancelled, 1);
    CHECK_EQ(sinew_group_wait(&outer), -EIO);
    CHECK_EQ(sinew_cancelling(), 0);
    CHECK_EQ(sinew_yield(), 0);
    return 0;
}

static intptr_t wait_for_foreign_group(void *arg)
{
    return sinew_group_wait(arg);
}

IN_RUNTIME(wrong_use_gives_errors)
{
    sinew_group never = {{0}};
    CHECK_EQ(sinew_group_wait(NULL), -EINVAL);
    CHECK_EQ(sinew_group_wait(&never), -EINVAL);
    CHECK_EQ(sinew_group_spawn(NULL, return_arg, NULL), -EINVAL);
    CHECK_EQ(sinew_group_spawn(&never, return_arg, NULL), -EINVAL);
    sinew_group group;
    sinew_group_init(&group);
    CHECK_EQ(sinew_group_spawn(&group, NULL, NULL), -EINVAL);
    CHECK_EQ(sinew_await(sinew_spawn(wait_for_foreign_group, &group)), -EPERM);
    CHECK_EQ(sinew_group_wait(&group), 0);
    CHECK(sinew_group_spawn(&group, return_arg, NULL) < 0);
    return 0;
}

TEST_MAIN(cmocka_unit_test(wait_returns_zero_after_all_children_ended), cmocka_unit_test(an_empty_group_ends_at_once),
          cmocka_unit_test(the_first_failure_cancels_siblings_and_the_owner_and_is_returned),
          cmocka_unit_test(a_failure_while_the_owner_waits_for_the_group_is_returned),
          cmocka_unit_test(an_owner_that_goes_on_after_the_cancel_still_gets_the_error),
          cmocka_unit_test(of_several_failures_the_first_in_time_is_returned),
          cmocka_unit_test(a_child_that_ends_cancelled_is_no_failure),
          cmocka_unit_test(cancelling_the_owner_cancels_all_children_and_waits_for_them),
          cmocka_unit_test(a_child_that_fails_during_an_outside_cancel_wins),
          cmocka_unit_test(a_group_survives_repeated_cancels_until_its_last_child_ended),
          cmocka_unit_test(a_timeout_around_a_group_gives_etimedout_after_the_children_ended),
          cmocka_unit_test(group_cancel_stops_the_children_and_is_no_failure),
          cmocka_unit_test(group_cancel_before_the_children_start_runs_none),
          cmocka_unit_test(a_child_that_fails_after_group_cancel_is_still_reported),
          cmocka_unit_test(children_may_add_children_while_the_owner_waits),
          cmocka_unit_test(an_inner_failure_reaches_the_outer_group),
          cmocka_unit_test(two_groups_of_one_task_that_both_fail_each_report_and_leave_no_request),
          cmocka_unit_test(a_failure_of_the_outer_group_reaches_the_owner_inside_the_inner_one),
          cmocka_unit_test(wrong_use_gives_errors))
