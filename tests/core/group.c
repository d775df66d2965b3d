/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: a group with very many children, with none, with children that add others, and inside another group ends with
 * the right result and leaves no request behind. Its rules one by one stand in tests/conformance/groups.c.
 * Method: children at gates; 1, 2 and 8 workers.
 * Cannot see: the errors after the first one, which a group does not return.
 */
#include <errno.h>

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

TEST_MAIN(cmocka_unit_test(wait_returns_zero_after_all_children_ended), cmocka_unit_test(an_empty_group_ends_at_once),
          cmocka_unit_test(a_child_that_ends_cancelled_is_no_failure),
          cmocka_unit_test(group_cancel_before_the_children_start_runs_none),
          cmocka_unit_test(children_may_add_children_while_the_owner_waits),
          cmocka_unit_test(two_groups_of_one_task_that_both_fail_each_report_and_leave_no_request),
          cmocka_unit_test(a_failure_of_the_outer_group_reaches_the_owner_inside_the_inner_one))
