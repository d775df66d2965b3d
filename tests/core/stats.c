/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goal: the counters count what their names say, as far as one can know from outside.
 * Method: known numbers of tasks, switches, operations and stacks, before and after.
 * Cannot see: that the numbers are of one instant (they are not).
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <tests/support/run.h>
#include <tests/support/tasks.h>

IN_RUNTIME(spawned_and_finished_count_tasks)
{
    sinew_stats a, b, c;
    gate g;
    gate_init(&g, 0);
    CHECK_EQ(sinew_get_stats(&a), 0);
    sinew_task *tasks[100];
    for (int i = 0; i < 100; i++)
        tasks[i] = sinew_spawn(gate_pass, &g);
    yield_until(&g.reached, 100);
    CHECK_EQ(sinew_get_stats(&b), 0);
    CHECK_EQ(b.tasks_spawned - a.tasks_spawned, 100);
    CHECK_EQ(b.tasks_finished - a.tasks_finished, 0);
    CHECK(b.stacks_live >= 100);
    CHECK(b.switches > a.switches);
    gate_open(&g, 100);
    CHECK_EQ(sinew_gather(tasks, 100, NULL), 0);
    CHECK_EQ(sinew_get_stats(&c), 0);
    CHECK_EQ(c.tasks_spawned - a.tasks_spawned, 100);
    CHECK_EQ(c.tasks_finished - a.tasks_finished, 100);
    CHECK(c.tasks_finished <= c.tasks_spawned);
    return 0;
}

IN_RUNTIME(yields_are_switches)
{
    sinew_stats a, b;
    gate g;
    gate_init(&g, 0);
    sinew_task *t = sinew_spawn(gate_pass, &g);
    CHECK_EQ(sinew_get_stats(&a), 0);
    for (int i = 0; i < 1000; i++)
        CHECK_EQ(sinew_yield(), 0);
    gate_open(&g, 1);
    CHECK_EQ(sinew_await(t), 0);
    CHECK_EQ(sinew_get_stats(&b), 0);
    CHECK(b.switches >= a.switches);
    CHECK(b.polls >= a.polls);
    return 0;
}

IN_RUNTIME(operations_are_counted_in_and_out)
{
    sinew_stats a, b;
    int p[2];
    if (!CHECK_EQ(pipe(p), 0))
        return 1;
    CHECK_EQ(sinew_get_stats(&a), 0);
    for (int i = 0; i < 100; i++) {
        char c = 'x';
        CHECK_EQ(sinew_write(p[1], &c, 1), 1);
        CHECK_EQ(sinew_read(p[0], &c, 1), 1);
    }
    CHECK_EQ(sinew_get_stats(&b), 0);
    CHECK(b.ops_completed <= b.ops_submitted);
    /* A call may be answered without the ring, so there is no lower bound on the difference. */
    CHECK(b.ops_submitted - a.ops_submitted <= 200 + 100);
    close(p[0]);
    close(p[1]);
    return 0;
}

IN_RUNTIME(counters_never_go_back)
{
    sinew_stats a, b;
    CHECK_EQ(sinew_get_stats(&a), 0);
    for (int i = 0; i < 20; i++) {
        CHECK_EQ(sinew_map(return_arg, NULL, 0, 200, NULL), 0);
        sinew_sleep(SINEW_US(100));
        CHECK_EQ(sinew_get_stats(&b), 0);
        CHECK(b.tasks_spawned >= a.tasks_spawned + 200);
        CHECK(b.tasks_finished >= a.tasks_finished);
        CHECK(b.tasks_in_place >= a.tasks_in_place);
        CHECK(b.switches >= a.switches);
        CHECK(b.steals >= a.steals);
        CHECK(b.steals_failed >= a.steals_failed);
        CHECK(b.tasks_stolen >= a.tasks_stolen);
        CHECK(b.tasks_stolen >= b.steals || b.steals == 0);
        CHECK(b.parks >= a.parks);
        CHECK(b.wakes >= a.wakes);
        CHECK(b.polls >= a.polls);
        CHECK(b.ops_submitted >= a.ops_submitted);
        CHECK(b.ops_completed >= a.ops_completed);
        a = b;
    }
    return 0;
}

IN_RUNTIME_WITH(one_worker_steals_nothing, 1)
{
    sinew_stats s;
    CHECK_EQ(sinew_map(return_arg, NULL, 0, 1000, NULL), 0);
    CHECK_EQ(sinew_get_stats(&s), 0);
    CHECK_EQ(s.steals, 0);
    CHECK_EQ(s.tasks_stolen, 0);
    return 0;
}

static intptr_t spin_until(void *arg)
{
    atomic_int *all = arg;
    atomic_fetch_add(all, 1);
    while (atomic_load(all) < 2)
        ;
    return 0;
}

IN_RUNTIME_WITH(two_tasks_that_need_each_other_running_show_a_steal, 2, 8)
{
    sinew_stats s;
    atomic_int running = 0;
    sinew_task *tasks[2] = {sinew_spawn(spin_until, &running), sinew_spawn(spin_until, &running)};
    CHECK_EQ(sinew_gather(tasks, 2, NULL), 0);
    CHECK_EQ(sinew_get_stats(&s), 0);
    CHECK(s.steals >= 1);
    CHECK(s.tasks_stolen >= 1);
    return 0;
}

IN_RUNTIME(null_gives_einval)
{
    CHECK_EQ(sinew_get_stats(NULL), -EINVAL);
    return 0;
}

TEST_MAIN(cmocka_unit_test(spawned_and_finished_count_tasks), cmocka_unit_test(yields_are_switches),
          cmocka_unit_test(operations_are_counted_in_and_out), cmocka_unit_test(counters_never_go_back),
          cmocka_unit_test(one_worker_steals_nothing),
          cmocka_unit_test(two_tasks_that_need_each_other_running_show_a_steal), cmocka_unit_test(null_gives_einval))
